//! Requests that arrive before the first keys: Envoy holds them completely, and they get one response.

use std::time::{Duration, Instant};

use serde_json::json;
use testkit::{
    Answer, Bootstrap, EnvoyOptions, EnvoyProcess, Gate, Issuer, Listener, Request, Upstream, WasmFilter,
};

use super::{Stack, assert_alive, resident_bytes};
use scenarios::{config, remote_provider, token, with, world};

/// An issuer whose first answer takes this long.
fn slow_issuer(delay: Duration) -> Issuer {
    let issuer = Issuer::start();
    issuer.serve("/jwks", Answer::jwks(&[&world().rsa]).delay(delay));
    issuer
}

/// An issuer that answers when the gate is opened. The fetch has ten seconds for it, and so has a request.
fn gated_issuer() -> (Issuer, Gate) {
    let (issuer, gate) = (Issuer::start(), Gate::closed());
    issuer.serve("/jwks", Answer::jwks(&[&world().rsa]).behind(&gate));
    (issuer, gate)
}

/// The configuration for it.
fn patient() -> serde_json::Value {
    let mut config = config(remote_provider());
    config["providers"]["corp"]["remote_jwks"]["http_uri"]["timeout"] = json!("10s");
    config["limits"] = json!({"max_wait": "10s"});
    config
}

/// The number of requests held so far.
fn wait_until_held(envoy: &EnvoyProcess, count: u64) {
    let held = envoy.wait_for_stat("wasmcustom.jwt.waiting", Duration::from_secs(20), |held| {
        held == count
    });
    assert_eq!(held, Ok(count), "held requests");
}

#[test]
fn body_and_trailers_are_held_until_the_keys_are_there() {
    // With `allow_on_headers_stop_iteration`, the host also delivers the body of a held request.
    for stop_iteration in [false, true] {
        let filter = WasmFilter::new(patient())
            .option("allow_on_headers_stop_iteration", stop_iteration)
            .build();
        let listener = Listener::new("jwt").filter(filter);
        let (issuer, gate) = gated_issuer();
        let stack = Stack::start_around(issuer, listener, &EnvoyOptions::default());
        let request = Request::post("/orders", "")
            .bearer(&token().mint())
            .header("trailer", "x-sum");
        let (mut body, pending) = stack.client.start_streaming(request);
        for piece in 0..50 {
            assert!(body.send(format!("piece {piece:03};").as_bytes()));
        }
        wait_until_held(&stack.envoy, 1);
        assert!(pending.poll(Duration::ZERO).is_none(), "answered before the keys");
        assert_eq!(
            stack.upstream.count(),
            0,
            "the upstream saw a request that was not decided"
        );
        body.finish_with_trailers(&[("x-sum", "42")]);
        gate.open();
        let echo = pending.wait().echo();
        assert_eq!(echo.body_len, 50 * 10, "stop_iteration {stop_iteration}");
        assert_eq!(echo.trailers, [("x-sum".to_owned(), "42".to_owned())]);
        assert_eq!(stack.upstream.count(), 1);
        assert_alive(&stack.envoy);
    }
}

#[test]
fn fifty_requests_wait_for_one_fetch_and_bad_ones_are_still_refused() {
    let stack = Stack::start_around(
        slow_issuer(Duration::from_millis(700)),
        Listener::wasm("jwt", config(remote_provider())),
        &EnvoyOptions::default(),
    );
    let good: Vec<_> = (0..50)
        .map(|_| {
            stack
                .client
                .start(Request::get("/orders").bearer(&token().mint()))
        })
        .collect();
    let forged: Vec<_> = (0..10)
        .map(|_| {
            stack
                .client
                .start(Request::get("/orders").bearer(&testkit::tamper_signature(&token().mint())))
        })
        .collect();
    assert!(good.into_iter().all(|pending| pending.wait().status == 200));
    assert!(forged.into_iter().all(|pending| pending.wait().status == 401));
    assert_eq!(stack.issuer.fetches("/jwks"), 1);
    assert_alive(&stack.envoy);
}

#[test]
fn more_requests_than_may_wait_get_503_at_once() {
    let limited = with(
        config(remote_provider()),
        json!({"limits": {"max_waiting_requests": 3, "max_wait": "2s"}}),
    );
    let issuer = Issuer::start();
    issuer.serve("/jwks", Answer::jwks(&[&world().rsa]).hang());
    let stack = Stack::start_around(issuer, Listener::wasm("jwt", limited), &EnvoyOptions::default());
    let begun = Instant::now();
    let held: Vec<_> = (0..3)
        .map(|_| {
            stack
                .client
                .start(Request::get("/orders").bearer(&token().mint()))
        })
        .collect();
    stack
        .envoy
        .wait_for_stat("wasmcustom.jwt.waiting", Duration::from_secs(20), |waiting| {
            waiting == 3
        })
        .expect("three requests wait");
    let refused = stack
        .client
        .request(Request::get("/orders").bearer(&token().mint()));
    assert_eq!(
        (refused.status, refused.reason().as_deref()),
        (503, Some("keys_unavailable"))
    );
    assert!(begun.elapsed() < Duration::from_millis(1500), "the fourth waited");
    for pending in held {
        let response = pending.wait();
        assert_eq!(response.status, 503);
        assert_eq!(response.header("retry-after").as_deref(), Some("5"));
    }
    let waited = begun.elapsed();
    assert!(
        (Duration::from_millis(1900)..Duration::from_secs(4)).contains(&waited),
        "{waited:?}"
    );
}

#[test]
fn clients_that_leave_make_room() {
    let mut limited = patient();
    limited["limits"]["max_waiting_requests"] = json!(5);
    let (issuer, gate) = gated_issuer();
    let stack = Stack::start_around(issuer, Listener::wasm("jwt", limited), &EnvoyOptions::default());
    for round in 1..=4 {
        let leaving: Vec<_> = (0..5)
            .map(|_| {
                stack
                    .client
                    .start(Request::get("/orders").bearer(&token().mint()))
            })
            .collect();
        wait_until_held(&stack.envoy, 5 * round);
        assert!(
            leaving
                .iter()
                .all(|pending| pending.poll(Duration::ZERO).is_none())
        );
        drop(leaving);
        let active = stack.envoy.wait_for_stat(
            "http.jwt.downstream_rq_active",
            Duration::from_secs(20),
            |active| active == 0,
        );
        assert_eq!(active, Ok(0), "requests whose clients have left");
    }
    let held = stack
        .client
        .start(Request::get("/orders").bearer(&token().mint()));
    wait_until_held(&stack.envoy, 21);
    gate.open();
    assert_eq!(held.wait().status, 200);
    assert_eq!(
        stack.upstream.count(),
        1,
        "a request whose client had left went on"
    );
    assert_alive(&stack.envoy);
}

#[test]
fn a_large_body_is_held_by_envoys_own_watermarks() {
    const MEGABYTES: usize = 16;
    let (issuer, gate) = gated_issuer();
    let upstream = Upstream::start();
    let mut listener = Listener::wasm("jwt", patient()).build();
    listener["per_connection_buffer_limit_bytes"] = json!(65_536);
    let bootstrap = Bootstrap::new()
        .cluster("issuer", issuer.addr())
        .cluster("upstream", upstream.addr())
        .listener_value(listener)
        .build();
    let envoy = EnvoyProcess::start(&bootstrap);
    let client = envoy.client("jwt");
    let before = resident_bytes(&envoy);
    let held: Vec<_> = (0..4)
        .map(|_| {
            let body = vec![b'x'; MEGABYTES << 20];
            client.start(Request::post("/orders", body).bearer(&token().mint()))
        })
        .collect();
    wait_until_held(&envoy, 4);
    // When Envoy stops reading, its buffers are full.
    let read = || envoy.stat("http.jwt.downstream_cx_rx_bytes_total");
    let (mut before_pause, mut after_pause) = (0, read());
    while before_pause == 0 || before_pause != after_pause {
        before_pause = after_pause;
        assert!(held[0].poll(Duration::from_millis(100)).is_none());
        after_pause = read();
    }
    assert!(held.iter().all(|pending| pending.poll(Duration::ZERO).is_none()));
    let grown = resident_bytes(&envoy).saturating_sub(before);
    println!("4 bodies of {MEGABYTES} MB held: {grown} bytes more");
    assert!(
        grown < MEGABYTES << 20,
        "{grown} bytes more while four bodies are held"
    );
    gate.open();
    for pending in held {
        assert_eq!(pending.wait().echo().body_len, MEGABYTES << 20);
    }
    assert_alive(&envoy);
}

#[test]
fn waits_leave_no_memory_behind() {
    const AT_ONCE: usize = 500;
    // WAITS=100000 for the figure in the documentation.
    let waits = std::env::var("WAITS").map_or(10_000, |waits| waits.parse().expect("a number"));
    let limited = with(config(remote_provider()), json!({"limits": {"max_wait": "50ms"}}));
    let issuer = Issuer::start();
    issuer.serve("/jwks", Answer::status(500));
    let stack = Stack::start_around(issuer, Listener::wasm("jwt", limited), &EnvoyOptions::default());
    let good = token().mint();
    let round = || {
        let mut pending: Vec<_> = (0..AT_ONCE)
            .map(|_| stack.client.start(Request::get("/orders").bearer(&good)))
            .collect();
        // Some clients disconnect while their requests wait.
        pending.truncate(AT_ONCE - AT_ONCE / 10);
        for pending in pending {
            let response = pending.try_wait();
            assert!(
                response.as_ref().is_ok_and(|response| response.status == 503),
                "{response:?}
{}",
                stack.envoy.log()
            );
        }
    };
    for _ in 0..4 {
        round();
    }
    let before = resident_bytes(&stack.envoy);
    for _ in 0..waits / AT_ONCE {
        round();
    }
    let grown = resident_bytes(&stack.envoy).saturating_sub(before);
    let waited = stack.envoy.stat("wasmcustom.jwt.waiting");
    println!("{waits} waits ({waited} counted): {grown} bytes more");
    assert!(
        waited >= u64::try_from(waits).unwrap() * 8 / 10,
        "only {waited} waited"
    );
    assert!(grown < 6 << 20, "{grown} bytes more");
    assert_alive(&stack.envoy);
}

#[test]
fn a_thousand_that_wait_are_let_through_at_once_or_refused_at_once() {
    // Each request has a body, so that the host calls the module again when it continues the request. A
    // single call that answers them all would nest a thousand deep.
    let slow = Duration::from_millis(900);
    let provider = with(
        remote_provider(),
        json!({"remote_jwks": {
            "http_uri": {"uri": "http://idp.example.com/jwks", "cluster": "issuer", "timeout": "5s"},
        }}),
    );
    for (answer, max_wait, expected) in [
        (Answer::jwks(&[&world().rsa]).delay(slow), "20s", 200),
        (Answer::status(500).delay(slow), "2s", 503),
    ] {
        let limited = with(
            config(provider.clone()),
            json!({"limits": {"max_wait": max_wait}}),
        );
        let issuer = Issuer::start();
        issuer.serve("/jwks", answer);
        let stack = Stack::start_around(issuer, Listener::wasm("jwt", limited), &EnvoyOptions::default());
        let good = token().mint();
        let pending: Vec<_> = (0..1000)
            .map(|_| {
                stack
                    .client
                    .start(Request::post("/orders", "a body").bearer(&good))
            })
            .collect();
        let mut others = Vec::new();
        for pending in pending {
            match pending.try_wait() {
                Ok(response) if response.status == expected => {}
                Ok(response) => others.push(format!("{} {}", response.status, response.text())),
                Err(fault) => others.push(fault),
            }
        }
        assert_alive(&stack.envoy);
        others.sort_unstable();
        let number = others.len();
        others.dedup();
        assert_eq!(
            number,
            0,
            "of a thousand, instead of {expected}: {others:?}\n{}",
            stack.envoy.log()
        );
    }
}

#[test]
fn one_address_cannot_keep_others_from_waiting_for_the_first_keys() {
    const PLACES: u32 = 60;
    let limited = with(
        config(remote_provider()),
        json!({"limits": {"max_waiting_requests": PLACES, "max_wait": "10s"}}),
    );
    let issuer = Issuer::start();
    // The issuer publishes no keys until all requests have arrived.
    issuer.serve("/jwks", Answer::status(500));
    let stack = Stack::start_around(issuer, Listener::wasm("jwt", limited), &EnvoyOptions::default());
    let client = |last: u8| testkit::Client::from_address(stack.client.addr(), [127, 0, 0, last].into());
    let forged = |number: u32| {
        token()
            .header("kid", format!("forged-{number}"))
            .signature(&[7; 256])
            .mint()
    };
    let flood = client(2);
    let flood: Vec<_> = (0..2 * PLACES)
        .map(|number| flood.start(Request::get("/orders").bearer(&forged(number))))
        .collect();
    stack
        .envoy
        .wait_for_stat("wasmcustom.jwt.denied_total", Duration::from_secs(20), |denied| {
            denied >= u64::from(PLACES)
        })
        .expect("half of the flood finds no place");
    // Three more addresses, each with its share of the places.
    let clients: Vec<_> = (3..6).map(client).collect();
    let good: Vec<_> = (0..PLACES / 4)
        .flat_map(|_| &clients)
        .map(|client| client.start(Request::get("/orders").bearer(&token().mint())))
        .collect();
    std::thread::sleep(Duration::from_millis(500));
    stack.issuer.serve_jwks("/jwks", &[&world().rsa]);
    let statuses: Vec<_> = good.into_iter().map(|pending| pending.wait().status).collect();
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    assert!(
        flood
            .into_iter()
            .all(|pending| matches!(pending.wait().status, 401 | 503))
    );
    assert_alive(&stack.envoy);
}
