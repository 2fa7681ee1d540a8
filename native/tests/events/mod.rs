//! Events in an order that a seed decides, and what must hold after each.

use std::cell::RefCell;
use std::ffi::{c_char, c_int, c_void};
use std::ptr::{self, null};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{LazyLock, OnceLock};

use minting::{Algorithm, SigningKey, Token, jwks};

use crate::envoy::{Buffer, Config, Field, Fields, NEWER, SCHEDULERS, SECRET, Stream};

// The crate that exports these functions; the name links it.
use jwt as _;

#[rustfmt::skip]
unsafe extern "C" {
    safe fn envoy_dynamic_module_on_program_init() -> *const c_char;
    safe fn envoy_dynamic_module_on_http_filter_config_new(config: *mut c_void, name: Buffer, text: Buffer) -> *const c_void;
    safe fn envoy_dynamic_module_on_http_filter_config_destroy(filter: *const c_void);
    safe fn envoy_dynamic_module_on_http_filter_config_scheduled(config: *mut c_void, filter: *const c_void, event: u64);
    safe fn envoy_dynamic_module_on_http_filter_config_http_callout_done(config: *mut c_void, filter: *const c_void, id: u64, result: c_int, fields: *const Field, count: usize, chunks: *const Buffer, chunk_count: usize);
    safe fn envoy_dynamic_module_on_http_filter_per_route_config_new(name: Buffer, text: Buffer) -> *const c_void;
    safe fn envoy_dynamic_module_on_http_filter_per_route_config_destroy(config: *const c_void);
    safe fn envoy_dynamic_module_on_http_filter_new(filter: *const c_void, stream: *mut c_void) -> *const c_void;
    safe fn envoy_dynamic_module_on_http_filter_request_headers(stream: *mut c_void, ours: *const c_void, is_end: bool) -> c_int;
    safe fn envoy_dynamic_module_on_http_filter_request_body(stream: *mut c_void, ours: *const c_void, is_end: bool) -> c_int;
    safe fn envoy_dynamic_module_on_http_filter_request_trailers(stream: *mut c_void, ours: *const c_void) -> c_int;
    safe fn envoy_dynamic_module_on_http_filter_response_headers(stream: *mut c_void, ours: *const c_void, is_end: bool) -> c_int;
    safe fn envoy_dynamic_module_on_http_filter_response_body(stream: *mut c_void, ours: *const c_void, is_end: bool) -> c_int;
    safe fn envoy_dynamic_module_on_http_filter_response_trailers(stream: *mut c_void, ours: *const c_void) -> c_int;
    safe fn envoy_dynamic_module_on_http_filter_scheduled(stream: *mut c_void, ours: *const c_void, event: u64);
    safe fn envoy_dynamic_module_on_http_filter_stream_complete(stream: *mut c_void, ours: *const c_void);
    safe fn envoy_dynamic_module_on_http_filter_destroy(ours: *const c_void);
}

/// The filter checks every token that names this issuer, and refuses each.
const CONFIG: &str = r#"{
    "providers": {"corp": {
        "issuer": "https://issuer.example", "audiences": ["a"],
        "remote_jwks": {"http_uri": {"uri": "http://idp/jwks", "cluster": "CLUSTER", "timeout": "1s"}},
        "from_headers": [{"name": "authorization", "value_prefix": "Bearer "}],
        "from_params": ["access_token"],
        "claim_to_headers": [{"claim_name": "sub", "header_name": "x-jwt-sub"}],
        "binding": {"dpop": {"nonce": {"secret": {"name": "nonces", "sds_config": {"ads": {}}}}}},
        "payload_in_metadata": "claims", "failed_status_in_metadata": "failure"
    }},
    "rules": [{"match": {"path": "/open"}}, {"match": {"prefix": "/"}, "requires": {"provider_name": "corp"}}],
    "requirement_map": {"corp": {"provider_name": "corp"}, "open": {}},
    "filter_state_rules": {"name": "word", "requires": {"word": {}}},
    "limits": {"max_waiting_requests": 4}
}"#;

/// The keys of an issuer, and its tokens: two valid ones, one with an unpublished key, one that has expired.
struct Issuer {
    keys: String,
    /// The same keys and one more.
    later_keys: String,
    tokens: Vec<String>,
}

fn issuer() -> &'static Issuer {
    static ISSUER: OnceLock<Issuer> = OnceLock::new();
    ISSUER.get_or_init(|| {
        let key = |algorithm, kid| SigningKey::generate(algorithm, Some(kid));
        let (rsa, ec) = (key(Algorithm::Rs256, "rsa"), key(Algorithm::Es256, "ec"));
        let (ed, other) = (key(Algorithm::EdDsa, "ed"), key(Algorithm::Es256, "other"));
        let token = |key: &SigningKey| {
            Token::new(key)
                .claim("iss", "https://issuer.example")
                .claim("aud", "a")
                .claim("sub", "s")
        };
        let mut tokens: Vec<String> = [&rsa, &ec, &ed, &other].map(|key| token(key).mint()).into();
        tokens.push(token(&ec).expires_in(-900).mint());
        Issuer {
            keys: jwks(&[&rsa, &ec, &ed]).to_string(),
            later_keys: jwks(&[&rsa, &ec, &ed, &other]).to_string(),
            tokens,
        }
    })
}

/// The document that the issuer publishes.
pub(crate) fn keys() -> &'static str {
    &issuer().keys
}

/// A configuration, on the main thread.
pub(crate) struct Main {
    config: Box<Config>,
    filter: *const c_void,
}

impl Main {
    fn new(text: &str) -> Self {
        assert!(!envoy_dynamic_module_on_program_init().is_null());
        let config = Box::new(Config::default());
        let filter = new_filter(&config, text.as_bytes());
        assert!(!filter.is_null(), "{text}");
        Self { config, filter }
    }

    pub(crate) fn with_remote_keys(path: &str) -> Self {
        let text = CONFIG
            .replace("CLUSTER", "idp")
            .replace("/jwks", &format!("/{path}"));
        Self::new(&text)
    }

    pub(crate) fn with_local_keys() -> Self {
        let text = CONFIG.replace("CLUSTER", "idp");
        let (before, source) = text.split_once(r#""remote_jwks""#).expect("a source of keys");
        let (_, after) = source.split_once('\n').expect("a line");
        let local = format!(r#""local_jwks": {{"inline_string": {:?}}},"#, keys());
        Self::new(&[before, &local, "\n", after].concat())
    }

    /// Lets the main thread fetch, and answers.
    pub(crate) fn fetch(&self) {
        envoy_dynamic_module_on_http_filter_config_scheduled(config_pointer(&self.config), self.filter, 0);
        let id = self.config.calls.borrow_mut().pop().expect("a request for keys");
        let status = Field {
            name: Buffer::of(b":status"),
            value: Buffer::of(b"200"),
        };
        let body = Buffer::of(keys().as_bytes());
        envoy_dynamic_module_on_http_filter_config_http_callout_done(
            config_pointer(&self.config),
            self.filter,
            id,
            0,
            &raw const status,
            1,
            &raw const body,
            1,
        );
    }

    pub(crate) fn end(self) {
        envoy_dynamic_module_on_http_filter_config_destroy(self.filter);
    }
}

/// A worker thread's view of a configuration.
pub(crate) struct Worker {
    filter: Crossing,
    number: u32,
}

impl Worker {
    pub(crate) fn new(main: &Main, number: u32) -> Self {
        Self {
            filter: Crossing(main.filter),
            number,
        }
    }

    /// Each good token passes. The filter refuses every other token, and a token that another issuer's key
    /// has signed.
    pub(crate) fn decide_each_token(&self) {
        for (index, token) in issuer().tokens.iter().enumerate() {
            let envoy = Box::new(Stream {
                headers: RefCell::new(vec![
                    (b":method".to_vec(), b"GET".to_vec()),
                    (b":path".to_vec(), b"/".to_vec()),
                    (b"authorization".to_vec(), format!("Bearer {token}").into_bytes()),
                ]),
                worker: self.number,
                ..Stream::default()
            });
            let stream = Open::pointer(&envoy);
            let ours = envoy_dynamic_module_on_http_filter_new(self.filter.get(), stream);
            let status = envoy_dynamic_module_on_http_filter_request_headers(stream, ours, true);
            envoy.take_back();
            // The first three are good, the key of the fourth is not published, the fifth is over.
            match index {
                0..=2 => assert_eq!(status, 0, "token {index}"),
                3 => assert!(status == 1 || status == 4, "token {index}: {status}"),
                _ => assert_eq!(status, 1, "token {index}"),
            }
            envoy_dynamic_module_on_http_filter_destroy(ours);
            envoy.take_back();
        }
    }
}

/// The events of all runs: a test that reaches none of them proves nothing.
#[derive(Default)]
pub(crate) struct Reached {
    forwarded: AtomicUsize,
    refused: AtomicUsize,
    held: AtomicUsize,
    resumed: AtomicUsize,
    refused_later: AtomicUsize,
    answers: AtomicUsize,
    ended_within: AtomicUsize,
}

pub(crate) static REACHED: LazyLock<Reached> = LazyLock::new(Reached::default);

impl Reached {
    /// Each of them, often.
    pub(crate) fn check(&self) {
        for (what, count) in [
            ("forwarded", &self.forwarded),
            ("refused", &self.refused),
            ("held", &self.held),
            ("resumed", &self.resumed),
            ("refused after a wait", &self.refused_later),
            ("answers to fetches", &self.answers),
            ("ended within a call", &self.ended_within),
        ] {
            let count = count.load(Ordering::Relaxed);
            assert!(count >= 3, "{what}: {count}");
        }
        for (index, count) in NEWER.iter().enumerate() {
            let count = count.load(Ordering::Relaxed);
            assert!(count >= 3, "function {index} that the module looks up: {count}");
        }
    }
}

fn note(counter: &AtomicUsize) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// The numbers that a fuzzer gives, and after those xorshift: the same numbers for the same seed.
struct Chance<'g> {
    given: std::slice::Iter<'g, u8>,
    state: u64,
}

impl Chance<'_> {
    fn new(seed: u64) -> Self {
        Self {
            given: [].iter(),
            state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
        }
    }

    fn next(&mut self) -> u64 {
        if let Some(one) = self.given.next() {
            let other = self.given.next().unwrap_or(&0);
            // The callers use the bits from 33 on, and the third and the fourth byte.
            let (one, other) = (u64::from(*one), u64::from(*other));
            return one << 33 | other << 41 | one << 16 | other << 24;
        }
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap() % end
    }

    fn one<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }

    fn bytes(&mut self) -> Vec<u8> {
        (0..self.below(40))
            .map(|_| self.next().to_le_bytes()[3])
            .collect()
    }

    /// The text, or with a byte of it changed.
    fn spoiled(&mut self, text: &str) -> Vec<u8> {
        let mut bytes = text.as_bytes().to_vec();
        if self.below(8) == 0 && !bytes.is_empty() {
            let place = self.below(bytes.len());
            bytes[place] = self.next().to_le_bytes()[2];
        }
        bytes
    }

    fn headers(&mut self) -> Fields {
        let mut fields: Fields = vec![
            (b":method".to_vec(), b"GET".to_vec()),
            (b":authority".to_vec(), b"orders.example".to_vec()),
        ];
        let path = self.one(&[
            "/",
            "/",
            "/",
            "/x?v=1",
            "/open",
            "/open/../x",
            "/x?access_token=a.b.c&v=1",
        ]);
        fields.push((b":path".to_vec(), self.spoiled(path)));
        for _ in 0..self.below(4) {
            let name = self.one(&[
                "authorization",
                "authorization",
                "authorization",
                "x-jwt-sub",
                "X_Jwt_Sub",
                "content-type",
                "x-request-id",
                "cookie",
            ]);
            let tokens = &issuer().tokens;
            let token = &tokens[self.below(tokens.len())];
            let value = match self.below(8) {
                0 => self
                    .bytes()
                    .into_iter()
                    .filter(|byte| !matches!(byte, b'\r' | b'\n' | 0))
                    .collect(),
                1 => b"application/grpc".to_vec(),
                _ => [b"Bearer ".to_vec(), self.spoiled(token)].concat(),
            };
            fields.push((name.as_bytes().to_vec(), value));
        }
        fields
    }
}

/// A stream and the module's part of it.
struct Open {
    envoy: Box<Stream>,
    ours: *const c_void,
    has_headers: bool,
}

impl Open {
    fn new(
        filter: *const c_void,
        worker: u32,
        chance: &mut Chance<'_>,
        route: Option<*const c_void>,
    ) -> Self {
        let metadata = match chance.below(4) {
            0 => vec![(b"requirement_name".to_vec(), Some(chance.spoiled("corp")))],
            1 => vec![
                (b"requirement_name".to_vec(), None),
                (b"other".to_vec(), Some(Vec::new())),
            ],
            _ => Vec::new(),
        };
        let envoy = Box::new(Stream {
            headers: RefCell::new(chance.headers()),
            trailers: RefCell::new(vec![
                (b"x-jwt-sub".to_vec(), chance.bytes()),
                (b"t".to_vec(), Vec::new()),
            ]),
            route: RefCell::new(route.filter(|_| chance.below(4) == 0)),
            metadata: RefCell::new(metadata),
            worker,
            has_no_scheduler: chance.below(16) == 0,
            ..Stream::default()
        });
        let ours = envoy_dynamic_module_on_http_filter_new(filter, Self::pointer(&envoy));
        assert!(!ours.is_null(), "older Envoys go on with a null");
        envoy.ours.set(Some(ours));
        Self {
            envoy,
            ours,
            has_headers: false,
        }
    }

    fn pointer(envoy: &Stream) -> *mut c_void {
        std::ptr::from_ref(envoy).cast_mut().cast()
    }

    fn stream(&self) -> *mut c_void {
        Self::pointer(&self.envoy)
    }

    /// The conditions that hold after each hook.
    fn check(&self) {
        self.envoy.take_back();
        let (responses, resumed) = (self.envoy.responses.borrow().len(), *self.envoy.resumed.borrow());
        assert!(responses <= 1, "answered twice");
        assert!(resumed <= 1, "resumed twice");
        assert!(responses == 0 || resumed == 0, "answered and resumed");
    }

    /// Decides what Envoy does within the next call of the module.
    fn prepare(&self, chance: &mut Chance<'_>) {
        self.envoy.within.set(match chance.below(4) {
            0 => Some(continue_within),
            1 => Some(end_within),
            _ => None,
        });
    }

    fn event(&mut self, chance: &mut Chance<'_>) {
        if self.envoy.has_ended.get() {
            return;
        }
        if !self.has_headers {
            self.has_headers = true;
            let status = envoy_dynamic_module_on_http_filter_request_headers(self.stream(), self.ours, false);
            self.check();
            let answered = !self.envoy.responses.borrow().is_empty();
            match status {
                0 => {
                    note(&REACHED.forwarded);
                    assert!(!answered);
                    // The client's own values under the filter's names are gone; `s` is the subject of the
                    // token.
                    let fields = self.envoy.headers.borrow();
                    let is_forged = |(name, value): &(Vec<u8>, Vec<u8>)| {
                        name == b"X_Jwt_Sub" || (name.eq_ignore_ascii_case(b"x-jwt-sub") && value != b"s")
                    };
                    assert!(!fields.iter().any(is_forged), "{fields:?}");
                }
                1 => {
                    note(&REACHED.refused);
                    assert!(answered);
                }
                4 => {
                    note(&REACHED.held);
                    assert!(!answered);
                }
                _ => panic!("status {status}"),
            }
            return;
        }
        let is_over = !self.envoy.responses.borrow().is_empty();
        match chance.below(10) {
            0 => {
                let status =
                    envoy_dynamic_module_on_http_filter_request_body(self.stream(), self.ours, false);
                assert!((0..=3).contains(&status));
                assert!(status != 0 || !is_over, "the body of an answered request goes on");
            }
            1 => {
                let status = envoy_dynamic_module_on_http_filter_request_trailers(self.stream(), self.ours);
                assert!((0..=1).contains(&status));
                let trailers = self.envoy.trailers.borrow();
                assert!(!trailers.iter().any(|(name, _)| name == b"x-jwt-sub"));
            }
            2 if !is_over => {
                self.prepare(chance);
                envoy_dynamic_module_on_http_filter_response_headers(self.stream(), self.ours, false);
            }
            3 => {
                envoy_dynamic_module_on_http_filter_response_body(self.stream(), self.ours, true);
                envoy_dynamic_module_on_http_filter_response_trailers(self.stream(), self.ours);
            }
            _ => {
                self.prepare(chance);
                let before = (self.envoy.responses.borrow().len(), *self.envoy.resumed.borrow());
                envoy_dynamic_module_on_http_filter_scheduled(self.stream(), self.ours, chance.next());
                let after = (self.envoy.responses.borrow().len(), *self.envoy.resumed.borrow());
                match (after.0 > before.0, after.1 > before.1) {
                    (true, _) => note(&REACHED.refused_later),
                    (false, true) => note(&REACHED.resumed),
                    (false, false) => {}
                }
            }
        }
        self.envoy.within.set(None);
        self.check();
    }

    fn close(self, chance: &mut Chance<'_>) {
        if self.envoy.has_ended.get() {
            return;
        }
        if chance.below(2) == 0 {
            envoy_dynamic_module_on_http_filter_stream_complete(self.stream(), self.ours);
        }
        envoy_dynamic_module_on_http_filter_destroy(self.ours);
        self.check();
    }
}

/// The filters behind this one take the request, and the upstream responds, while the module still waits for
/// its call to return.
fn continue_within(envoy: &Stream, is_answered: bool) {
    let (stream, ours) = (Open::pointer(envoy), envoy.ours.get().expect("a stream"));
    if !is_answered {
        let status = envoy_dynamic_module_on_http_filter_request_body(stream, ours, false);
        assert_eq!(status, 0, "the body of a request that continues");
        envoy_dynamic_module_on_http_filter_request_trailers(stream, ours);
        envoy_dynamic_module_on_http_filter_response_headers(stream, ours, true);
    }
}

/// The same, and the stream ends: Envoy gives the module its part back.
fn end_within(envoy: &Stream, is_answered: bool) {
    continue_within(envoy, is_answered);
    let (stream, ours) = (Open::pointer(envoy), envoy.ours.get().expect("a stream"));
    envoy_dynamic_module_on_http_filter_stream_complete(stream, ours);
    envoy_dynamic_module_on_http_filter_destroy(ours);
    envoy.has_ended.set(true);
    note(&REACHED.ended_within);
}

/// Envoy answers a request for keys itself, while the module still waits for its number.
fn answer_within(config: &Config) {
    let Some(filter) = config.ours.get() else { return };
    let status = Field {
        name: Buffer::of(b":status"),
        value: Buffer::of(b"503"),
    };
    envoy_dynamic_module_on_http_filter_config_http_callout_done(
        config_pointer(config),
        filter,
        1,
        0,
        &raw const status,
        1,
        null(),
        0,
    );
}

/// A configuration, its streams and its requests for keys.
struct World {
    config: Box<Config>,
    filter: *const c_void,
    open: Vec<Open>,
}

fn config_pointer(config: &Config) -> *mut c_void {
    std::ptr::from_ref(config).cast_mut().cast()
}

fn new_filter(config: &Config, text: &[u8]) -> *const c_void {
    config.ours.set(None);
    let filter = envoy_dynamic_module_on_http_filter_config_new(
        config_pointer(config),
        Buffer::of(b"jwt"),
        Buffer::of(text),
    );
    config.take_back();
    config.ours.set((!filter.is_null()).then_some(filter));
    filter
}

/// A different path and secret for each world, so that none finds those of another.
fn text(cluster: &str, world: u64) -> String {
    CONFIG
        .replace("CLUSTER", cluster)
        .replace("/jwks", &format!("/jwks-{world}"))
        .replace("nonces", &format!("nonces-{world}"))
}

impl World {
    fn answer(&self, chance: &mut Chance<'_>) {
        let Some(id) = self.config.calls.borrow_mut().pop() else {
            return;
        };
        let id = if chance.below(5) == 0 { chance.next() } else { id };
        let issuer = issuer();
        let keys = chance
            .one(&[issuer.keys.as_str(), issuer.later_keys.as_str()])
            .to_owned();
        let body = chance.spoiled(&keys);
        note(&REACHED.answers);
        let middle = body.len() / 2;
        let chunks = [
            Buffer::of(&body[..middle]),
            Buffer::EMPTY,
            Buffer::of(&body[middle..]),
        ];
        let status = chance
            .one(&["200", "200", "200", "200", "200", "304", "503", "x", ""])
            .to_owned();
        let fields = [
            (":status", status.as_str()),
            ("Cache-Control", "max-age=1"),
            ("etag", "\"a\""),
        ]
        .map(|(name, value)| Field {
            name: Buffer::of(name.as_bytes()),
            value: Buffer::of(value.as_bytes()),
        });
        let (result, is_empty) = (chance.below(8), chance.below(8) == 0);
        // 0 is a valid answer; Envoy never uses 3.
        let result = c_int::try_from(result).unwrap().saturating_sub(4).max(0);
        let (fields, count, chunks, chunk_count) = match is_empty {
            true => (null(), 0, null(), 0),
            false => (fields.as_ptr(), fields.len(), chunks.as_ptr(), chunks.len()),
        };
        envoy_dynamic_module_on_http_filter_config_http_callout_done(
            config_pointer(&self.config),
            self.filter,
            id,
            result,
            fields,
            count,
            chunks,
            chunk_count,
        );
        self.config.take_back();
    }
}

/// One run on one thread, which is the main thread and a worker.
pub(crate) fn run(seed: u64, events: usize) {
    run_by(Chance::new(seed), seed, |_, done| done < events);
}

/// The same with the numbers of a fuzzer, until none are left.
pub(crate) fn run_given(bytes: &[u8]) {
    static RUNS: AtomicU64 = AtomicU64::new(1 << 32);
    let chance = Chance {
        given: bytes.iter(),
        state: 1,
    };
    run_by(chance, RUNS.fetch_add(1, Ordering::Relaxed), |chance, _| {
        chance.given.len() > 0
    });
}

fn run_by(mut chance: Chance<'_>, number: u64, goes_on: impl Fn(&Chance<'_>, usize) -> bool) {
    assert!(!envoy_dynamic_module_on_program_init().is_null());
    // It arrives later, or never.
    SECRET.lock().unwrap().clear();
    let cluster = chance.one(&["idp", "idp", "absent", "full"]).to_owned();
    let config = Box::new(Config::default());
    // Spoiled, it may or may not be a configuration.
    let spoiled = chance.spoiled(&text(&cluster, number));
    let maybe = new_filter(&config, &spoiled);
    if !maybe.is_null() {
        envoy_dynamic_module_on_http_filter_config_destroy(maybe);
    }
    let filter = new_filter(&config, text(&cluster, number).as_bytes());
    assert!(!filter.is_null());
    config.within.set(Some(answer_within));
    let routes: Vec<*const c_void> = [
        r#"{"requirement_name":"corp"}"#,
        r#"{"disabled":true}"#,
        "{}",
        "\0",
    ]
    .into_iter()
    .map(|text| {
        let text = chance.spoiled(text);
        envoy_dynamic_module_on_http_filter_per_route_config_new(Buffer::of(b"jwt"), Buffer::of(&text))
    })
    .filter(|route| !route.is_null())
    .collect();
    // Envoy also hands out the configuration that another module has made for a route. Only that module may
    // read it.
    let foreign = [ptr::without_provenance(1), ptr::from_ref(&chance).cast()];
    let lent: Vec<*const c_void> = routes.iter().copied().chain(foreign).collect();
    let mut world = World {
        config,
        filter,
        open: Vec::new(),
    };
    let mut done = 0;
    while goes_on(&chance, done) {
        done += 1;
        match chance.below(8) {
            0 | 1 if world.open.len() < 12 => {
                let route = (chance.below(8) > 0).then(|| lent[chance.below(lent.len())]);
                world.open.push(Open::new(world.filter, 0, &mut chance, route));
            }
            2 => {
                if chance.below(4) == 0 {
                    // Most are long enough for a secret.
                    *SECRET.lock().unwrap() = chance.bytes().repeat(3);
                }
                envoy_dynamic_module_on_http_filter_config_scheduled(
                    config_pointer(&world.config),
                    world.filter,
                    chance.next(),
                );
                world.config.take_back();
            }
            3 => world.answer(&mut chance),
            4 if !world.open.is_empty() => {
                let index = chance.below(world.open.len());
                world.open.swap_remove(index).close(&mut chance);
            }
            _ if !world.open.is_empty() => {
                let index = chance.below(world.open.len());
                world.open[index].event(&mut chance);
            }
            _ => {}
        }
    }
    for open in world.open {
        open.close(&mut chance);
    }
    for route in routes {
        envoy_dynamic_module_on_http_filter_per_route_config_destroy(route);
    }
    envoy_dynamic_module_on_http_filter_config_destroy(filter);
}

/// A pointer that goes to another thread, as Envoy's own do.
#[derive(Clone, Copy)]
struct Crossing(*const c_void);

unsafe impl Send for Crossing {}
unsafe impl Sync for Crossing {}

impl Crossing {
    fn get(self) -> *const c_void {
        self.0
    }
}

/// Streams on many threads, while the main thread fetches and the configuration ends.
pub(crate) fn run_workers(workers: u32, events: usize) {
    assert!(!envoy_dynamic_module_on_program_init().is_null());
    let config = Box::new(Config::default());
    let filter = new_filter(&config, text("idp", u64::MAX).as_bytes());
    assert!(!filter.is_null());
    let threads: Vec<_> = (0..workers)
        .map(|worker| {
            let filter = Crossing(filter);
            std::thread::spawn(move || {
                let mut chance = Chance::new(u64::from(worker) + 7);
                let mut open: Vec<Open> = Vec::new();
                for _ in 0..events {
                    match chance.below(4) {
                        0 if open.len() < 8 => open.push(Open::new(filter.get(), worker, &mut chance, None)),
                        1 if !open.is_empty() => {
                            let index = chance.below(open.len());
                            open.swap_remove(index).close(&mut chance);
                        }
                        _ if !open.is_empty() => {
                            let index = chance.below(open.len());
                            open[index].event(&mut chance);
                        }
                        _ => {}
                    }
                }
                for open in open {
                    open.close(&mut chance);
                }
            })
        })
        .collect();
    let world = World {
        config,
        filter,
        open: Vec::new(),
    };
    let mut chance = Chance::new(99);
    while threads.iter().any(|thread| !thread.is_finished()) {
        envoy_dynamic_module_on_http_filter_config_scheduled(config_pointer(&world.config), filter, 0);
        world.answer(&mut chance);
        std::thread::yield_now();
    }
    for thread in threads {
        thread.join().expect("a worker without a fault");
    }
    let before = SCHEDULERS.load(Ordering::SeqCst);
    envoy_dynamic_module_on_http_filter_config_destroy(filter);
    assert!(
        SCHEDULERS.load(Ordering::SeqCst) < before,
        "the configuration's scheduler was deleted"
    );
}
