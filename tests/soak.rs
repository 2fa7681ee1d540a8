//! `make soak` and `make soak-native`: mixed traffic through a real Envoy for a long time. Each response is
//! compared with the engine's decision.
//!
//! Three issuers rotate their keys, fail and recover, and the listener's configuration is replaced, while
//! clients send valid, cold, invalid and attacking requests over HTTP/1 and HTTP/2. The run fails at the
//! first wrong decision, or at its end if memory or descriptors have grown, or the module has crashed.

#![cfg(test)]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    reason = "a test may fail loudly, and has a clock"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, RwLock};
use std::time::{Duration, Instant};

use proxy_wasm_jwt::authenticator::{Authenticator, Decision, StreamId};
use proxy_wasm_jwt::config::Config;
use proxy_wasm_jwt::request::RequestHead;
use proxy_wasm_jwt::store::InMemoryStore;
use proxy_wasm_jwt::time::UnixTime;
use serde_json::{Value, json};
use testkit::{
    Algorithm, Answer, Bootstrap, Client, EnvoyOptions, EnvoyProcess, Issuer, Listener, Random, Request,
    Response, SigningKey, Token, Upstream, WasmFilter, jwks, route, static_cluster, unix_now,
};

const AUDIENCE: &str = "orders-api";
const ALGORITHMS: [Algorithm; 3] = [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa];
/// The interval between samples.
const SAMPLE: Duration = Duration::from_secs(10);
/// The permitted growth of Envoy after the first third, when caches and arenas are full.
const GROWTH: f64 = 0.10;
const GROWTH_OF_DESCRIPTORS: usize = 32;

fn issuer_name(number: usize) -> String {
    format!("https://issuer-{number}.example")
}

fn providers(keys: impl Fn(usize) -> Value) -> Value {
    let provider = |number: usize| {
        let mut provider = keys(number);
        provider["issuer"] = json!(issuer_name(number));
        provider["audiences"] = json!([AUDIENCE]);
        provider["claim_to_headers"] = json!([{"claim_name": "sub", "header_name": "x-jwt-sub"}]);
        (format!("p{number}"), provider)
    };
    (0..ALGORITHMS.len()).map(provider).collect()
}

/// The filter's configuration; only where the keys come from differs between Envoy and the engine.
fn config(keys: impl Fn(usize) -> Value, realm: &str) -> Value {
    let all: Vec<Value> = (0..ALGORITHMS.len())
        .map(|number| json!({"provider_name": format!("p{number}")}))
        .collect();
    let any = json!({"requires_any": {"requirements": all}});
    json!({
        "providers": providers(keys),
        "rules": [
            {"match": {"path": "/healthz"}},
            {"match": {"prefix": "/reports"}, "requires": any, "authorize": {"scopes": {"all": ["reports:read"]}}},
            {"match": {"prefix": "/"}, "requires": any},
        ],
        "response": {"realm": realm},
    })
}

fn remote(number: usize) -> Value {
    json!({
        "remote_jwks": {
            "http_uri": {"uri": "http://idp/jwks", "cluster": format!("idp{number}"), "timeout": "2s"},
            "cache_duration": "20s",
        },
        "key_cache": {"unknown_kid_cooldown": "1s"},
    })
}

/// An issuer, with the keys that it publishes; the first signs.
struct Idp {
    server: Issuer,
    algorithm: Algorithm,
    keys: Vec<SigningKey>,
    made: usize,
}

impl Idp {
    fn new(algorithm: Algorithm) -> Self {
        let mut idp = Self {
            server: Issuer::start(),
            algorithm,
            keys: Vec::new(),
            made: 0,
        };
        idp.rotate();
        idp
    }

    /// A new key signs, the one before stays published, and the one before that goes.
    fn rotate(&mut self) {
        self.made += 1;
        let key = SigningKey::generate(self.algorithm, Some(&format!("k{}", self.made)));
        self.keys.insert(0, key);
        self.keys.truncate(2);
        self.server.serve("/jwks", Answer::json(&self.document()));
    }

    fn document(&self) -> Value {
        jwks(&self.keys.iter().collect::<Vec<_>>())
    }
}

/// The issuers, and which set of keys this is.
struct World {
    idps: Vec<Idp>,
    generation: u64,
}

/// The engine's decision: the status, and the reason of a refusal.
struct Oracle {
    config: Rc<Config>,
    engine: Authenticator,
    store: InMemoryStore,
    generation: u64,
    streams: u32,
}

impl Oracle {
    fn new(world: &World) -> Self {
        let keys = |number: usize| {
            let document = world.idps.get(number).map(Idp::document);
            json!({"local_jwks": {"inline_string": document.unwrap_or_default().to_string()}})
        };
        let config = Config::parse(config(keys, "a").to_string().as_bytes()).expect("a configuration");
        let config = Rc::new(config);
        Self {
            engine: Authenticator::new(config.clone(), 1),
            store: InMemoryStore::default(),
            config,
            generation: world.generation,
            streams: 0,
        }
    }

    fn verdict(&mut self, request: &Request) -> (u16, Option<String>) {
        let mut head = RequestHead::new();
        let fields = [
            (":method", request.method.as_bytes()),
            (":path", request.path.as_bytes()),
        ];
        let headers = request
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_slice()));
        for (name, value) in fields.into_iter().chain(headers) {
            head.take(&self.config.headers, name.as_bytes(), value);
        }
        self.streams = self.streams.wrapping_add(1);
        let now = UnixTime::from_secs(u64::try_from(unix_now()).expect("a time after 1970"));
        match self
            .engine
            .handle_request(StreamId(self.streams), &mut head, &(), now, &self.store)
        {
            Decision::Allow(_) => (200, None),
            Decision::Deny(refusal) => {
                let reply = self.config.replies.to(&refusal);
                (reply.status, Some(refusal.denial.reason.label().to_owned()))
            }
            Decision::Answer(reply) => (reply.status, None),
            Decision::Wait => panic!("keys of the configuration are there at once"),
        }
    }
}

/// A request of one of these kinds, by chance.
fn request(
    world: &World,
    random: &mut Random,
    kept: &mut BTreeMap<(usize, u64), String>,
) -> (&'static str, Request) {
    let number = random.below(world.idps.len());
    let idp = &world.idps[number];
    let signer = &idp.keys[0];
    let token = |key: &SigningKey| {
        Token::new(key).claims(json!({
            "iss": issuer_name(number), "aud": AUDIENCE, "sub": "alice", "scope": "orders:read",
        }))
    };
    let serial = random.below(usize::MAX);
    let orders = |token: &str| Request::get("/orders").bearer(token);
    match random.below(100) {
        // The same token again, as most clients send it.
        0..35 => {
            let kept = kept
                .entry((number, world.generation))
                .or_insert_with(|| token(signer).mint());
            ("known token", orders(kept))
        }
        35..50 => (
            "new token",
            orders(&token(signer).claim("jti", serial.to_string()).mint()),
        ),
        50..55 => match idp.keys.get(1) {
            Some(key) => (
                "key before",
                orders(&token(key).claim("jti", serial.to_string()).mint()),
            ),
            None => ("no token", Request::get("/orders")),
        },
        55..60 => ("no token", Request::get("/orders")),
        60..64 => ("expired", orders(&token(signer).expires_in(-600).mint())),
        64..68 => (
            "other audience",
            orders(&token(signer).claim("aud", "else").mint()),
        ),
        68..74 => (
            "altered",
            orders(&testkit::tamper_signature(
                &token(signer).claim("jti", serial.to_string()).mint(),
            )),
        ),
        74..76 => ("alg none", orders(&token(signer).unsecured().mint())),
        76..80 => (
            "unknown key",
            orders(&token(signer).header("kid", format!("unknown-{serial}")).mint()),
        ),
        80..82 => (
            "unknown issuer",
            orders(&token(signer).claim("iss", "https://evil.example").mint()),
        ),
        82..85 => ("scope", Request::get("/reports").bearer(&token(signer).mint())),
        85..88 => (
            "enough scope",
            Request::get("/reports").bearer(&token(signer).claim("scope", "reports:read").mint()),
        ),
        88..91 => ("no token needed", Request::get("/healthz")),
        91..94 => ("odd path", Request::get("/healthz/../orders")),
        94..96 => (
            "two tokens",
            orders(&token(signer).mint()).bearer(&token(signer).mint()),
        ),
        96..98 => (
            "noise",
            orders(
                &(0..random.below(300))
                    .map(|_| random.pick(b"aZ09-_.=") as char)
                    .collect::<String>(),
            ),
        ),
        _ => ("long", orders(&"a.".repeat(8000))),
    }
}

/// Whether Envoy's answer is the engine's.
fn agrees(seen: &Response, wanted: &(u16, Option<String>)) -> bool {
    let reason = seen.reason();
    if (seen.status, &reason) == (wanted.0, &wanted.1) {
        return true;
    }
    // The engine of this test has all keys. The filter may answer that it could not ask the issuer.
    let unasked = (503, Some("keys_unavailable".to_owned()));
    wanted.1.as_deref() == Some("key_unknown") && (seen.status, reason) == unasked
}

#[derive(Default)]
struct Tally {
    sent: AtomicU64,
    retried: AtomicU64,
    /// The latencies of allowed requests since the last sample.
    micros: Mutex<Vec<u32>>,
    kinds: Mutex<BTreeMap<String, u64>>,
    wrong: Mutex<Vec<String>>,
    /// The longest time that one request took.
    longest: AtomicU64,
}

fn client(world: &RwLock<World>, clients: &[Client], seed: u64, tally: &Tally, ended: &AtomicBool) {
    let mut random = Random::new(seed);
    let mut kept = BTreeMap::new();
    let mut oracle = Oracle::new(&world.read().expect("no panic"));
    while !ended.load(Ordering::Relaxed) {
        // While the request is under way, no key is withdrawn.
        let world = world.read().expect("no panic");
        if oracle.generation != world.generation {
            oracle = Oracle::new(&world);
            kept.clear();
        }
        let (kind, request) = request(&world, &mut random, &mut kept);
        let wanted = oracle.verdict(&request);
        let client = &clients[random.below(clients.len())];
        let begun = Instant::now();
        let mut answer = client.try_request(request.clone());
        for _ in 0..3 {
            // An update of the listener closes its connections, which a client sees now and then.
            if answer.is_ok() {
                break;
            }
            tally.retried.fetch_add(1, Ordering::Relaxed);
            answer = client.try_request(request.clone());
        }
        let took = u32::try_from(begun.elapsed().as_micros()).unwrap_or(u32::MAX);
        tally.longest.fetch_max(u64::from(took), Ordering::Relaxed);
        drop(world);
        tally.sent.fetch_add(1, Ordering::Relaxed);
        // A token with an absent key waits for the issuer: that is no latency of the filter.
        if wanted.0 == 200 {
            tally.micros.lock().expect("no panic").push(took);
        }
        match answer {
            Ok(answer) if agrees(&answer, &wanted) => {
                let key = format!("{kind}: {}", wanted.1.as_deref().unwrap_or("200"));
                *tally.kinds.lock().expect("no panic").entry(key).or_default() += 1;
            }
            Ok(answer) => tally.wrong.lock().expect("no panic").push(format!(
                "{kind}: {} {:?} and not {wanted:?}, sent {:.3} s before the end, answered after {} ms",
                answer.status,
                answer.reason(),
                begun.elapsed().as_secs_f32(),
                took / 1000
            )),
            Err(error) => tally
                .wrong
                .lock()
                .expect("no panic")
                .push(format!("{kind}: no answer: {error}")),
        }
    }
}

/// Resident memory in KiB, and open descriptors.
fn figures(envoy: &EnvoyProcess) -> (usize, usize) {
    let process = format!("/proc/{}", envoy.pid());
    let status = fs::read_to_string(format!("{process}/status")).expect("Envoy runs");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .expect("VmRSS");
    let resident = line.split_whitespace().nth(1).expect("a number");
    let descriptors = fs::read_dir(format!("{process}/fd")).expect("Envoy runs").count();
    (resident.parse().expect("a number"), descriptors)
}

fn percentile(sorted: &[u32], share: usize) -> f64 {
    let at = sorted.len().saturating_mul(share) / 100;
    f64::from(
        sorted
            .get(at.min(sorted.len().saturating_sub(1)))
            .copied()
            .unwrap_or(0),
    ) / 1000.0
}

/// The listener with the filter, and one in front that speaks HTTP/2 to it.
fn listeners(port: u16, realm: &str) -> Vec<Value> {
    let filter = WasmFilter::new(config(remote, realm)).build();
    let mut jwt = Listener::new("jwt").filter(filter).build();
    jwt["address"]["socket_address"]["port_value"] = json!(port);
    let mut front = Listener::new("front").route(route("/", "over-http2"));
    front = front.manager("stream_idle_timeout", "30s");
    vec![jwt, front.build()]
}

fn over_http2(port: u16) -> Value {
    let mut cluster = static_cluster("over-http2", ([127, 0, 0, 1], port).into());
    cluster["typed_extension_protocol_options"]["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"]["explicit_http_config"] =
        json!({"http2_protocol_options": {}});
    cluster
}

/// When each issuer was asked in the last seconds.
fn last_fetches(world: &World) -> String {
    let mut text = String::new();
    for (number, idp) in world.idps.iter().enumerate() {
        let times = idp.server.fetch_times("/jwks");
        let ago = times.iter().rev().map(|at| at.elapsed().as_secs_f32());
        let ago: Vec<_> = ago.take_while(|ago| *ago < 10.0).collect();
        let _ = writeln!(text, "seconds since the fetches of p{number}: {ago:?}");
    }
    text
}

#[test]
#[ignore = "takes SOAK_SECONDS; `make soak`"]
fn mixed_traffic_for_a_long_time() {
    if std::env::var_os("SOAK_NATIVE").is_some() {
        testkit::use_native_module();
    }
    let number = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |text| {
            text.parse().unwrap_or_else(|_| panic!("{name} is a number"))
        })
    };
    let length = Duration::from_secs(number("SOAK_SECONDS", 600));
    let seed = number("SOAK_SEED", 1);
    let port = TcpListener::bind("127.0.0.1:0")
        .and_then(|socket| socket.local_addr())
        .expect("a port")
        .port();
    let world = World {
        idps: ALGORITHMS.map(Idp::new).into_iter().collect(),
        generation: 0,
    };
    let upstream = Upstream::start();
    let mut bootstrap = Bootstrap::new()
        .cluster("upstream", upstream.addr())
        .cluster_value(over_http2(port));
    for (number, idp) in world.idps.iter().enumerate() {
        bootstrap = bootstrap.cluster(&format!("idp{number}"), idp.server.addr());
    }
    let bootstrap = listeners(port, "a")
        .into_iter()
        .fold(bootstrap, Bootstrap::listener_value);
    let mut options = EnvoyOptions::workers(2).reloadable();
    // Envoy keeps a replaced listener, and the filter's configuration in it, for ten minutes by default.
    options
        .args
        .extend(["--drain-time-s".to_owned(), "60".to_owned()]);
    let mut envoy = EnvoyProcess::start_with(&bootstrap.build(), &options);
    let clients = [envoy.client("jwt"), envoy.client("front")];
    let world = RwLock::new(world);
    let tally = Tally::default();
    let ended = AtomicBool::new(false);
    let mut samples: Vec<(Duration, usize, usize)> = Vec::new();
    let (mut rotations, mut outages, mut updates) = (0_u32, 0_u32, 0_u32);
    let mut rotated: Vec<(usize, Instant)> = Vec::new();
    let started = Instant::now();
    println!("seconds  requests  p50 ms  p99 ms  resident KiB  descriptors  rotations  outages  updates");
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let (world, clients, tally, ended) = (&world, &clients, &tally, &ended);
            scope.spawn(move || client(world, clients, seed.wrapping_mul(1000) + thread, tally, ended));
        }
        let mut random = Random::new(seed);
        let mut down: Option<(usize, Instant)> = None;
        let mut sampled = Instant::now();
        while started.elapsed() < length && tally.wrong.lock().expect("no panic").is_empty() {
            std::thread::sleep(Duration::from_millis(500));
            match down {
                Some((number, since)) if since.elapsed() > Duration::from_secs(6) => {
                    let world = world.read().expect("no panic");
                    world.idps[number]
                        .server
                        .restart()
                        .expect("its port is still free");
                    down = None;
                }
                Some(_) => {}
                None => match random.below(24) {
                    0..3 => {
                        let mut world = world.write().expect("no panic");
                        let number = random.below(ALGORITHMS.len());
                        world.idps[number].rotate();
                        world.generation += 1;
                        rotations += 1;
                        rotated.push((number, Instant::now()));
                    }
                    3 => {
                        let number = random.below(ALGORITHMS.len());
                        // Envoy has the newest keys before the issuer goes: a token of a key that it cannot
                        // have is not good.
                        let newest = {
                            let world = world.read().expect("no panic");
                            let token = Token::new(&world.idps[number].keys[0]).claims(json!({
                                "iss": issuer_name(number), "aud": AUDIENCE, "sub": "before", "jti": "outage",
                            }));
                            token.mint()
                        };
                        for client in &clients {
                            let answer = client.try_request(Request::get("/orders").bearer(&newest));
                            assert!(
                                answer.is_ok_and(|answer| answer.status == 200),
                                "before an outage"
                            );
                        }
                        world.read().expect("no panic").idps[number].server.stop();
                        down = Some((number, Instant::now()));
                        outages += 1;
                    }
                    4 => {
                        let realm = if updates % 2 == 0 { "b" } else { "a" };
                        envoy
                            .reload_listeners(&listeners(port, realm))
                            .unwrap_or_else(|log| panic!("an update was refused:\n{log}"));
                        updates += 1;
                    }
                    _ => {}
                },
            }
            if sampled.elapsed() >= SAMPLE {
                sampled = Instant::now();
                let (resident, descriptors) = figures(&envoy);
                let mut micros = std::mem::take(&mut *tally.micros.lock().expect("no panic"));
                micros.sort_unstable();
                println!(
                    "{:>7}  {:>8}  {:>6.2}  {:>6.2}  {resident:>12}  {descriptors:>11}  {rotations:>9}  {outages:>7}  {updates:>7}",
                    started.elapsed().as_secs(),
                    tally.sent.load(Ordering::Relaxed),
                    percentile(&micros, 50),
                    percentile(&micros, 99),
                );
                samples.push((started.elapsed(), resident, descriptors));
            }
        }
        ended.store(true, Ordering::Relaxed);
    });

    let sent = tally.sent.load(Ordering::Relaxed);
    let mut kinds = String::new();
    for (kind, count) in tally.kinds.lock().expect("no panic").iter() {
        let _ = writeln!(kinds, "{count:>9}  {kind}");
    }
    println!(
        "\n{kinds}\n{sent} requests, {} retried, the longest took {} ms",
        tally.retried.load(Ordering::Relaxed),
        tally.longest.load(Ordering::Relaxed) / 1000
    );
    let wrong = tally.wrong.lock().expect("no panic");
    assert!(
        wrong.is_empty(),
        "{} wrong of {sent}: {:#?}\nseconds since the last rotations, provider first: {:?}\n{}\n{}",
        wrong.len(),
        wrong.iter().take(5),
        rotated
            .iter()
            .rev()
            .take(4)
            .map(|(number, at)| (number, at.elapsed().as_secs_f32()))
            .collect::<Vec<_>>(),
        last_fetches(&world.read().expect("no panic")),
        envoy.log()
    );
    assert!(envoy.is_running(), "{}", envoy.log());
    let crashes: Vec<_> = envoy
        .stats("vm_reload|crash|panicked")
        .into_iter()
        .filter(|(_, value)| *value > 0)
        .collect();
    assert!(crashes.is_empty(), "{crashes:?}");
    assert!(!envoy.log().contains("Uncaught"), "{}", envoy.log());
    // The minimum of a span: memory that is released between two updates is not a leak.
    let span = |from: Duration, to: Duration| {
        let within = samples.iter().filter(|(at, ..)| (from..=to).contains(at));
        within.fold((usize::MAX, usize::MAX), |(resident, descriptors), sample| {
            (resident.min(sample.1), descriptors.min(sample.2))
        })
    };
    if length >= Duration::from_secs(120) {
        let early = span(length / 3, length * 2 / 3);
        let late = span(length * 2 / 3, length + SAMPLE);
        println!(
            "resident KiB: {} in the second third, {} in the last",
            early.0, late.0
        );
        #[allow(clippy::cast_precision_loss, reason = "of a few hundred MiB")]
        let grown = late.0 as f64 / early.0 as f64 - 1.0;
        assert!(grown <= GROWTH, "memory has grown by {:.0} %", grown * 100.0);
        assert!(
            late.1 <= early.1 + GROWTH_OF_DESCRIPTORS,
            "{} descriptors, then {}",
            early.1,
            late.1
        );
    }
}
