//! Each failure of an issuer, before the first keys and later: the requests, the log, and the end of the
//! outage.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::{Answer, Bootstrap, Client, EnvoyOptions, EnvoyProcess, Issuer, Listener, Request, Upstream};

use super::assert_alive;
use scenarios::{AUDIENCE, ISSUER, token, with, world};

const TIMEOUT: Duration = Duration::from_millis(500);
const MAX_WAIT: Duration = Duration::from_millis(700);
/// `cache_duration` and `stale_if_error`.
const LIFETIME: Duration = Duration::from_secs(1);
const STALE: Duration = Duration::from_secs(3);
/// The longest pause between attempts while there are no keys, the attempt itself, and a tick.
const BACKOFF_STEP: Duration = Duration::from_millis(5000 + 500 + 1000);

enum Fault {
    Refused,
    Answers(Answer),
}

/// Each fault with its line in the log.
fn faults() -> Vec<(&'static str, Fault, &'static str)> {
    let set = testkit::jwks(&[&world().rsa]).to_string();
    let half = set.get(..set.len() / 2).expect("ASCII");
    let json = |body: &str| Fault::Answers(Answer::new("application/json", body));
    vec![
        ("refused", Fault::Refused, "the issuer was not reached"),
        (
            "status-500",
            Fault::Answers(Answer::status(500)),
            "status was 500",
        ),
        (
            "status-403",
            Fault::Answers(Answer::status(403)),
            "status was 403",
        ),
        (
            "redirect",
            Fault::Answers(Answer::redirect("http://evil.example/jwks")),
            "redirect (302), which is not followed",
        ),
        (
            "hang",
            Fault::Answers(Answer::new("application/json", set.clone()).hang()),
            "no answer came within the timeout",
        ),
        (
            "hang-mid-body",
            Fault::Answers(Answer::new("application/json", set.clone()).hang_after(20)),
            "no answer came within the timeout",
        ),
        (
            "reset",
            Fault::Answers(Answer::new("application/json", set.clone()).reset()),
            "the issuer was not reached",
        ),
        (
            "reset-mid-body",
            Fault::Answers(Answer::new("application/json", set.clone()).reset_after(20)),
            "the connection was reset",
        ),
        (
            "cut-short",
            Fault::Answers(Answer::new("application/json", set.clone()).truncate_after(20)),
            "the connection was reset",
        ),
        ("empty", json(""), "not JSON"),
        ("half-a-document", json(half), "not JSON"),
        (
            "oversized",
            Fault::Answers(Answer::padded_jwks(&[&world().rsa], 300_000)),
            "longer than key_cache.max_response_bytes",
        ),
        (
            "compressed",
            Fault::Answers(Answer::new("application/json", set.clone()).header("content-encoding", "gzip")),
            "the document is compressed (`gzip`)",
        ),
        (
            "no-json",
            json("<html>maintenance</html>"),
            "not a key set but an HTML or XML page",
        ),
        ("a-list", json("[]"), "not a key set but a list"),
        ("another-shape", json(r#"{"error":"x"}"#), "no keys member"),
        (
            "no-usable-key",
            json(r#"{"keys":[{"kty":"oct","k":"AA"}]}"#),
            "no usable key",
        ),
        ("no-key", json(r#"{"keys":[]}"#), "has no keys"),
        (
            "no-http",
            Fault::Answers(Answer::raw("SSH-2.0-x\r\n")),
            "the issuer was not reached",
        ),
    ]
}

/// A configuration with this name of the provider, which identifies it in the log.
fn listener(name: &str) -> Value {
    json!({
        "providers": {name: {
            "issuer": ISSUER, "audiences": [AUDIENCE],
            "remote_jwks": {
                "http_uri": {"uri": "http://idp.example.com/jwks", "cluster": name, "timeout": "0.5s"},
                "cache_duration": "1s",
            },
            "key_cache": {"stale_if_error": "3s"},
        }},
        "limits": {"max_wait": "0.7s"},
    })
}

struct Case {
    name: String,
    fault: Fault,
    logged: &'static str,
    is_warm: bool,
    issuer: Issuer,
}

impl Case {
    fn begin(&self) {
        match &self.fault {
            Fault::Refused => self.issuer.stop(),
            Fault::Answers(answer) => self.issuer.serve("/jwks", answer.clone()),
        }
    }

    fn end(&self) {
        self.issuer.serve_jwks("/jwks", &[&world().rsa]);
        if let Fault::Refused = self.fault {
            self.issuer.restart().unwrap();
        }
    }
}

#[test]
fn every_outage_cold_and_warm() {
    let upstream = Upstream::start();
    let mut bootstrap = Bootstrap::new().cluster("upstream", upstream.addr());
    let mut cases = Vec::new();
    for is_warm in [false, true] {
        for (name, fault, logged) in faults() {
            let name = format!("{}-{name}", if is_warm { "warm" } else { "cold" });
            let issuer = Issuer::start();
            issuer.serve_jwks("/jwks", &[&world().rsa]);
            bootstrap = bootstrap
                .cluster(&name, issuer.addr())
                .listener(Listener::wasm(&name, listener(&name)));
            let case = Case {
                name,
                fault,
                logged,
                is_warm,
                issuer,
            };
            if !is_warm {
                case.begin();
            }
            cases.push(case);
        }
    }
    let envoy = EnvoyProcess::start_with(&bootstrap.build(), &EnvoyOptions::workers(2));
    let faults: Vec<String> = std::thread::scope(|scope| {
        let running: Vec<_> = cases
            .iter()
            .map(|case| {
                let envoy = &envoy;
                scope.spawn(move || {
                    run(case, envoy)
                        .err()
                        .map(|fault| format!("{}: {fault}", case.name))
                })
            })
            .collect();
        running
            .into_iter()
            .filter_map(|case| case.join().unwrap())
            .collect()
    });
    assert!(faults.is_empty(), "{}\n{}", faults.join("\n"), envoy.log());
    assert_alive(&envoy);
}

#[test]
fn an_issuer_that_asks_to_be_left_alone_is() {
    const PAUSE: Duration = Duration::from_secs(2);
    let (upstream, issuer) = (Upstream::start(), Issuer::start());
    issuer.serve("/jwks", Answer::status(429).header("retry-after", "2"));
    let bootstrap = Bootstrap::new()
        .cluster("upstream", upstream.addr())
        .cluster("busy", issuer.addr())
        .listener(Listener::wasm("busy", listener("busy")));
    let envoy = EnvoyProcess::start_with(&bootstrap.build(), &EnvoyOptions::workers(2));
    assert!(issuer.wait_for_fetches("/jwks", 3, PAUSE * 5), "{}", envoy.log());
    let times = issuer.fetch_times("/jwks");
    for pause in times.windows(2).map(|pair| pair[1] - pair[0]) {
        // The test and the filter use different clocks.
        assert!(pause > PAUSE * 9 / 10, "{times:?}");
    }
    assert_alive(&envoy);
}

fn run(case: &Case, envoy: &EnvoyProcess) -> Result<(), String> {
    let client = envoy.client(&case.name);
    let good = token().mint();
    if case.is_warm {
        serve_until_stale(case, &client, &good)?;
    }
    // Without keys, a request waits for `max_wait`, and then gets 503 with `retry-after`.
    let begun = Instant::now();
    let response = client.request(Request::get("/orders").bearer(&good));
    let waited = begun.elapsed();
    ensure(response.status == 503, || {
        format!("{} {}", response.status, response.text())
    })?;
    ensure(response.reason().as_deref() == Some("keys_unavailable"), || {
        response.text()
    })?;
    ensure(response.header("retry-after").is_some(), || {
        "no retry-after".to_owned()
    })?;
    ensure(response.header("www-authenticate").is_none(), || {
        "a challenge".to_owned()
    })?;
    ensure(
        (MAX_WAIT - Duration::from_millis(20)..MAX_WAIT * 3).contains(&waited),
        || format!("waited {waited:?}"),
    )?;

    case.end();
    let begun = Instant::now();
    while client.request(Request::get("/orders").bearer(&good)).status != 200 {
        ensure(begun.elapsed() < BACKOFF_STEP, || {
            "it does not recover".to_owned()
        })?;
    }
    let recovered = begun.elapsed();
    println!("{}: recovered after {recovered:?}", case.name);
    ensure(recovered < BACKOFF_STEP, || {
        format!("recovered after {recovered:?}")
    })?;

    // One line for each change of state.
    let line = |what: &str| format!("provider {}: {what}", case.name);
    ensure(
        envoy.wait_for_log(&line("fetching keys works again"), Duration::from_secs(20)),
        || "the recovery is not logged".to_owned(),
    )?;
    let log = envoy.log();
    let failing: Vec<&str> = log
        .lines()
        .filter(|logged| logged.contains(&line("fetching keys has failed since 20")))
        .collect();
    let count = |needle: &str| failing.iter().filter(|logged| logged.contains(needle)).count();
    ensure(failing.iter().any(|logged| logged.contains(case.logged)), || {
        format!("the log does not say {:?}: {failing:#?}", case.logged)
    })?;
    // A fault with two possible effects (a race between bytes and a reset) is listed with both.
    ensure(count("there are no keys") <= 2, || {
        format!("logged too often: {failing:#?}")
    })?;
    ensure(count("there are no keys") >= 1, || {
        format!("not logged: {failing:#?}")
    })?;
    ensure(!case.is_warm || count("are past their lifetime") >= 1, || {
        format!("not logged: {failing:#?}")
    })
}

/// With keys: no request is refused before their time is over.
fn serve_until_stale(case: &Case, client: &Client, good: &str) -> Result<(), String> {
    ensure(
        client.request(Request::get("/orders").bearer(good)).status == 200,
        || "cold".to_owned(),
    )?;
    case.begin();
    let last_good = *case.issuer.fetch_times("/jwks").last().ok_or("no fetch")?;
    let (mut served, begun) = (0, Instant::now());
    let refused_at = loop {
        let sent = Instant::now();
        let response = client.request(Request::get("/orders").bearer(good));
        if response.status != 200 {
            break sent;
        }
        served += 1;
        ensure(begun.elapsed() < (LIFETIME + STALE) * 3, || {
            "never refused".to_owned()
        })?;
        std::thread::sleep(Duration::from_millis(50));
    };
    let served_for = refused_at - last_good;
    println!("{}: {served} served in {served_for:?}", case.name);
    // The client may have sent the refused request just before the keys ended.
    let promised = LIFETIME + STALE;
    ensure(
        (promised - Duration::from_millis(60)..promised + LIFETIME + TIMEOUT + BACKOFF_STEP)
            .contains(&served_for),
        || format!("refused after {served_for:?}"),
    )
}

#[test]
fn one_broken_key_among_good_ones_costs_only_itself() {
    let provider = with(
        scenarios::remote_provider(),
        json!({"key_cache": {"unknown_kid_cooldown": "1s"}}),
    );
    let issuer = Issuer::start();
    let broken = json!({"kty": "RSA", "kid": "broken", "n": "AA", "e": "AQAB"});
    let set = |keys: &[Value]| Answer::json(&json!({"keys": keys}));
    issuer.serve("/jwks", set(&[broken.clone(), world().rsa.public_jwk()]));
    let stack = super::Stack::start_around(
        issuer,
        Listener::wasm("jwt", scenarios::config(provider)),
        &EnvoyOptions::default(),
    );
    assert_eq!(stack.status(&token().mint()), 200, "cold");
    assert!(
        stack
            .envoy
            .wait_for_log("1 keys loaded, 1 skipped: keys[0]", Duration::from_secs(20)),
        "{}",
        stack.envoy.log()
    );
    let next = &world().rsa_next;
    stack.issuer.serve(
        "/jwks",
        set(&[world().rsa.public_jwk(), broken, next.public_jwk()]),
    );
    assert_eq!(stack.status(&scenarios::token_of(next).mint()), 200, "warm");
    assert_eq!(stack.status(&token().mint()), 200);
    assert_alive(&stack.envoy);
}

#[test]
fn pauses_between_attempts_double_and_are_jittered() {
    const PROXIES: usize = 4;
    let upstream = Upstream::start();
    let mut bootstrap = Bootstrap::new().cluster("upstream", upstream.addr());
    let mut issuers = Vec::new();
    for number in 0..PROXIES {
        let name = format!("proxy-{number}");
        let issuer = Issuer::start();
        issuer.serve("/jwks", Answer::status(500));
        bootstrap = bootstrap
            .cluster(&name, issuer.addr())
            .listener(Listener::wasm(&name, listener(&name)));
        issuers.push(issuer);
    }
    let envoy = EnvoyProcess::start_with(&bootstrap.build(), &EnvoyOptions::workers(2));
    let mut first_pauses = Vec::new();
    for issuer in &issuers {
        assert!(issuer.wait_for_fetches("/jwks", 7, Duration::from_secs(25)));
        let times = issuer.fetch_times("/jwks");
        let pauses: Vec<Duration> = times.windows(2).map(|pair| pair[1] - pair[0]).take(6).collect();
        println!("cold: {pauses:.0?}");
        for (step, pause) in pauses.iter().enumerate() {
            let full = Duration::from_millis(200 << step).min(Duration::from_secs(5));
            // For the issuer, the tick and the transmission add to the pause, and so does a busy machine.
            assert!(
                (full / 2 - Duration::from_millis(20)..full + Duration::from_millis(700)).contains(pause),
                "{step}: {pauses:?}"
            );
        }
        first_pauses.push(pauses[4]);
    }
    first_pauses.sort_unstable();
    let spread = first_pauses[PROXIES - 1] - first_pauses[0];
    println!("cold: the fifth pauses of {PROXIES} proxies spread over {spread:.0?}");
    assert!(spread > Duration::from_millis(50), "in step: {first_pauses:?}");
    assert_alive(&envoy);
}

fn ensure(holds: bool, fault: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(fault()) }
}
