//! Attacks that only a real Envoy shows: tunnels, floods of resets, configurations that end while requests
//! wait, and requests as large as Envoy can accept.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};
use testkit::{
    Answer, Client, EnvoyOptions, Gate, Issuer, Listener, Request, raw_exchange, status_of, wasm_filter,
};

use super::http2::{DATA, END_HEADERS, HEADERS, PREFACE, RST_STREAM, SETTINGS, block, frame};
use super::{Stack, assert_alive, replaceable};
use scenarios::{AUDIENCE, config, local_provider, remote_provider, token, with, world};

const PATIENCE: Duration = Duration::from_secs(10);

/// An issuer that answers when the gate is opened.
fn gated_issuer() -> (Issuer, Gate) {
    let (issuer, gate) = (Issuer::start(), Gate::closed());
    issuer.serve("/jwks", Answer::jwks(&[&world().rsa]).behind(&gate));
    (issuer, gate)
}

/// A configuration whose requests wait for that issuer.
fn patient() -> Value {
    let mut config = config(remote_provider());
    config["providers"]["corp"]["remote_jwks"]["http_uri"]["timeout"] = json!("30s");
    config["limits"] = json!({"max_wait": "30s", "max_waiting_requests": 600});
    config
}

fn wait_until_held(stack: &Stack, count: u64) {
    let held = stack
        .envoy
        .wait_for_stat("wasmcustom.jwt.waiting", PATIENCE, |held| held >= count);
    assert_eq!(held, Ok(count), "held requests");
}

#[test]
fn upgrades_and_tunnels_need_a_token_and_wait_for_keys_like_other_requests() {
    let (issuer, gate) = gated_issuer();
    let mut config = patient();
    // A tunnel has no path, so the filter cannot say that it is not for `/admin`.
    config["rules"] = json!([
        {"match": {"prefix": "/admin"}, "requires": {"provider_name": "corp"}},
        {"match": {"prefix": "/"}},
    ]);
    let tunnel = json!({"match": {"connect_matcher": {}}, "route": {
        "cluster": "upstream",
        "upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {}}],
    }});
    let listener = Listener::new("jwt")
        .filter(wasm_filter(config))
        .route(tunnel)
        .route(testkit::route("/", "upstream"))
        .manager(
            "upgrade_configs",
            json!([{"upgrade_type": "CONNECT"}, {"upgrade_type": "websocket"}]),
        );
    let stack = Stack::start_around(issuer, listener, &EnvoyOptions::default());
    let upgrade =
        "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
    let heads = [("GET /admin/events", upgrade), ("CONNECT a.example:443", "")];
    let head = |(target, fields): (&str, &str), token: &str| {
        format!("{target} HTTP/1.1\r\nhost: a.example:443\r\n{fields}{token}\r\nearly data")
    };
    let addr = stack.client.addr();
    for (number, target) in (1..).zip(heads) {
        let refused = raw_exchange(addr, head(target, "").as_bytes(), PATIENCE);
        assert_eq!(status_of(&refused), Some(401), "{target:?}");
        let with_token = head(target, &format!("authorization: Bearer {}\r\n", token().mint()));
        let held = std::thread::spawn(move || raw_exchange(addr, with_token.as_bytes(), PATIENCE));
        if number == 1 {
            wait_until_held(&stack, 1);
            assert_eq!(stack.upstream.count(), 0, "it was not decided");
            gate.open();
        }
        assert_eq!(
            status_of(&held.join().expect("an answer")),
            Some(200),
            "{target:?}"
        );
    }
    assert_alive(&stack.envoy);
}

#[test]
fn requests_that_wait_outlive_their_configuration() {
    let mut audience = patient();
    audience["providers"]["corp"]["audiences"] = json!([AUDIENCE, "https://other.example"]);
    let mut source = patient();
    source["providers"]["corp"]["remote_jwks"]["http_uri"]["uri"] = json!("http://issuer/other");
    let changes = [
        Listener::wasm("jwt", audience),
        Listener::wasm("jwt", source),
        Listener::new("jwt"),
    ];
    for (number, next) in changes.into_iter().enumerate() {
        let (issuer, gate) = gated_issuer();
        let mut options = replaceable(EnvoyOptions::workers(2));
        options.args = vec!["--drain-time-s".into(), "600".into()];
        let stack = Stack::start_around(issuer, Listener::wasm("jwt", patient()), &options);
        let token = token().mint();
        let held: Vec<_> = (0..20)
            .map(|_| Client::new(stack.client.addr()).start(Request::post("/orders", "body").bearer(&token)))
            .collect();
        wait_until_held(&stack, 20);
        stack
            .envoy
            .reload_listeners(&[next.build()])
            .expect("a good configuration");
        gate.open();
        for pending in held {
            let response = pending.wait();
            assert_eq!(response.status, 200, "{number}: {:?}", response.reason());
        }
        assert_eq!(stack.issuer.fetches("/jwks"), 1, "{number}");
        assert_alive(&stack.envoy);
    }
}

/// Streams of a connection before Envoy would end it for its many resets.
const STREAMS: u32 = 400;

/// Many requests on one connection, each of them reset in another phase.
fn reset_many(addr: SocketAddr, token: &str) {
    let authorization = format!("Bearer {token}");
    let fields = block(&[
        (":method", b"POST"),
        (":scheme", b"http"),
        (":path", b"/orders"),
        (":authority", b"a.example"),
        ("authorization", authorization.as_bytes()),
    ]);
    let mut sent = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    for number in 0..STREAMS {
        let stream = 2 * number + 1;
        sent.extend(frame(HEADERS, END_HEADERS, stream, &fields));
        if number % 3 == 1 {
            sent.extend(frame(DATA, 0, stream, b"a part of the body"));
        }
        // RFC 9113 section 7: CANCEL. The others end with their connection.
        if number % 4 != 0 {
            sent.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
        }
    }
    let mut socket = TcpStream::connect(addr).expect("a connection");
    // Envoy may close it first.
    let _ = socket.write_all(&sent);
}

#[test]
fn thousands_of_requests_that_are_reset_leave_room_for_others() {
    let (issuer, gate) = gated_issuer();
    let listener = Listener::wasm("jwt", patient());
    let stack = Stack::start_around(issuer, listener, &EnvoyOptions::workers(2));
    let (addr, token) = (stack.client.addr(), token().mint());
    let forged = testkit::tamper_signature(&token);
    let active = |count: u64| {
        let name = "http.jwt.downstream_rq_active";
        let active = stack
            .envoy
            .wait_for_stat(name, PATIENCE, |active| active == count);
        assert_eq!(active, Ok(count), "{name}");
    };
    // While the keys are missing, when they come, and when they are there.
    for _ in 0..8 {
        reset_many(addr, &token);
        reset_many(addr, &forged);
    }
    active(0);
    let waited = stack
        .envoy
        .wait_for_stat("wasmcustom.jwt.waiting", PATIENCE, |waited| waited > 1000);
    assert!(waited.is_ok(), "{waited:?}");
    let held: Vec<_> = (0..200)
        .map(|_| stack.client.start(Request::get("/orders").bearer(&token)))
        .collect();
    active(200);
    let flood = {
        let token = token.clone();
        std::thread::spawn(move || (0..4).for_each(|_| reset_many(addr, &token)))
    };
    gate.open();
    for pending in held {
        let response = pending.wait();
        assert_eq!(response.status, 200, "{:?}", response.reason());
    }
    flood.join().expect("the flood");
    reset_many(addr, &forged);
    active(0);
    assert_eq!(stack.status(&token), 200);
    assert_alive(&stack.envoy);
}

#[test]
fn requests_of_megabytes_stop_nothing() {
    const MIB: usize = 1 << 20;
    let provider = json!({
        "from_headers": [{"name": "authorization", "value_prefix": "Bearer "}, {"name": "x-token"}],
        "from_params": ["access_token"],
        "from_cookies": ["session"],
        "claim_to_headers": [{"claim_name": "sub", "header_name": "x-sub"}],
    });
    let mut config = config(with(local_provider(), provider));
    let all = json!({"provider_name": "corp"});
    config["rules"] = json!([
        {"match": {"prefix": "/", "headers": [{"name": "x-a", "string_match": {"safe_regex": {"regex": ".*a.*b"}}}]}, "requires": all},
        {"match": {"prefix": "/", "query_parameters": [{"name": "q", "string_match": {"contains": "z"}}]},
         "requires": all},
        {"match": {"prefix": "/"}, "requires": all},
    ]);
    // The most that Envoy accepts.
    let listener = Listener::new("jwt")
        .filter(wasm_filter(config))
        .manager("max_request_headers_kb", 8192)
        .manager(
            "common_http_protocol_options",
            json!({"max_headers_count": 100_000}),
        );
    let stack = Stack::start_around(Issuer::start(), listener, &EnvoyOptions::default());
    let good = token().mint();
    let bearer = format!("authorization: Bearer {good}\r\n");
    let many = |line: &str| line.repeat(60_000);
    let heads = [
        (
            "/".to_owned(),
            format!("authorization: Bearer {0}.{0}.{0}\r\n", "eyJh".repeat(MIB / 2)),
        ),
        (
            "/".to_owned(),
            format!("{bearer}x-a: {}\r\n", "a".repeat(6 * MIB)),
        ),
        (format!("/{}", "%2e%2e%2f".repeat(MIB / 2)), bearer.clone()),
        (format!("/?{}", "access_token=a&".repeat(MIB / 4)), String::new()),
        (format!("/?{}", "a&".repeat(2 * MIB)), bearer.clone()),
        (
            "/".to_owned(),
            format!("cookie: {}\r\n", "session=x;".repeat(MIB / 2)),
        ),
        ("/".to_owned(), many("authorization: Bearer a.b.c\r\n")),
        ("/".to_owned(), many("x-token: a\r\n")),
        (
            "/".to_owned(),
            format!("{bearer}{}", many("x-sub: root\r\nx.sub: root\r\n")),
        ),
    ];
    for (path, fields) in heads {
        let head = format!("GET {path} HTTP/1.1\r\nhost: a.example\r\n{fields}\r\n");
        let answer = raw_exchange(stack.client.addr(), head.as_bytes(), PATIENCE);
        let begin = (&head[..60.min(head.len())], head.len());
        assert!(status_of(&answer).is_some(), "{begin:?}: no answer");
        assert_eq!(stack.status(&good), 200, "after {begin:?}");
    }
    assert_alive(&stack.envoy);
}
