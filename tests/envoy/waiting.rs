//! Requests that arrive before the first keys: held whole, answered once.

use std::time::{Duration, Instant};

use serde_json::json;
use testkit::{Answer, EnvoyOptions, Issuer, Listener, Request, WasmFilter};

use super::{Stack, assert_alive};
use crate::scenarios::{config, remote_provider, token, with, world};

/// An issuer whose first answer takes this long.
fn slow_issuer(delay: Duration) -> Issuer {
    let issuer = Issuer::start();
    issuer.serve("/jwks", Answer::jwks(&[&world().rsa]).delay(delay));
    issuer
}

#[test]
fn body_and_trailers_are_held_until_the_keys_are_there() {
    // With `allow_on_headers_stop_iteration` the host goes on to call for the body of a held request.
    for stop_iteration in [false, true] {
        let filter = WasmFilter::new(config(remote_provider()))
            .option("allow_on_headers_stop_iteration", stop_iteration)
            .build();
        let listener = Listener::new("jwt").filter(filter);
        let stack = Stack::start_around(
            slow_issuer(Duration::from_millis(900)),
            listener,
            &EnvoyOptions::default(),
        );
        let request = Request::post("/orders", "")
            .bearer(&token().mint())
            .header("trailer", "x-sum");
        let (mut body, pending) = stack.client.start_streaming(request);
        for piece in 0..50 {
            assert!(body.send(format!("piece {piece:03};").as_bytes()));
        }
        assert!(
            pending.poll(Duration::from_millis(200)).is_none(),
            "answered before the keys"
        );
        assert_eq!(
            stack.upstream.count(),
            0,
            "the upstream saw a request that was not decided"
        );
        body.finish_with_trailers(&[("x-sum", "42")]);
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
        .wait_for_stat("wasmcustom.jwt.waiting", Duration::from_secs(1), |waiting| {
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
    let limited = with(
        config(remote_provider()),
        json!({"limits": {"max_waiting_requests": 5, "max_wait": "10s"}}),
    );
    let stack = Stack::start_around(
        slow_issuer(Duration::from_millis(900)),
        Listener::wasm("jwt", limited),
        &EnvoyOptions::default(),
    );
    for _ in 0..4 {
        let leaving: Vec<_> = (0..5)
            .map(|_| {
                stack
                    .client
                    .start(Request::get("/orders").bearer(&token().mint()))
            })
            .collect();
        assert!(
            leaving
                .iter()
                .all(|pending| pending.poll(Duration::from_millis(20)).is_none())
        );
        drop(leaving);
        std::thread::sleep(Duration::from_millis(50));
    }
    let held = stack
        .client
        .start(Request::get("/orders").bearer(&token().mint()));
    assert_eq!(held.wait().status, 200);
    assert_eq!(
        stack.upstream.count(),
        1,
        "a request whose client had left went on"
    );
    assert_alive(&stack.envoy);
}
