//! One process fetches once, with any number of workers.

use std::time::{Duration, Instant};

use serde_json::json;
use testkit::{Answer, Client, EnvoyOptions, Issuer, Listener, Request};

use super::{Stack, assert_alive};
use scenarios::{config, remote_provider, token, token_of, with, world};

/// Requests over connections of their own, so that every worker gets some.
fn statuses(stack: &Stack, token: &str, count: usize) -> Vec<u16> {
    let pending: Vec<_> = (0..count)
        .map(|_| Client::new(stack.client.addr()).start(Request::get("/orders").bearer(token)))
        .collect();
    pending.into_iter().map(|pending| pending.wait().status).collect()
}

#[test]
fn cold_start_refresh_and_rotation_cost_one_fetch_each() {
    let world = world();
    for workers in [1, 2, 4] {
        let issuer = Issuer::start();
        issuer.serve(
            "/jwks",
            Answer::jwks(&[&world.rsa]).delay(Duration::from_millis(300)),
        );
        let listener = Listener::wasm("jwt", config(remote_provider()));
        let stack = Stack::start_around(issuer, listener, &EnvoyOptions::workers(workers));
        let all_good = |token: &str| statuses(&stack, token, 50).iter().all(|status| *status == 200);

        assert!(all_good(&token().mint()), "cold, {workers} workers");
        assert_eq!(stack.issuer.fetches("/jwks"), 1, "cold, {workers} workers");

        stack.issuer.serve(
            "/jwks",
            Answer::jwks(&[&world.rsa, &world.rsa_next]).delay(Duration::from_millis(300)),
        );
        assert!(
            all_good(&token_of(&world.rsa_next).mint()),
            "rotation, {workers} workers"
        );
        assert!(all_good(&token().mint()), "old key, {workers} workers");
        assert_eq!(stack.issuer.fetches("/jwks"), 2, "rotation, {workers} workers");
        assert_alive(&stack.envoy);
    }
}

#[test]
fn keys_are_refreshed_ahead_of_their_end_and_not_by_requests() {
    let provider = with(
        remote_provider(),
        json!({
            "remote_jwks": {
                "http_uri": {"uri": "http://idp.example.com/jwks", "cluster": "issuer", "timeout": "1s"},
                "cache_duration": "2s",
            },
        }),
    );
    let stack = Stack::start_with(config(provider), &EnvoyOptions::workers(2));
    assert_eq!(stack.status(&token().mint()), 200);
    // No request is sent meanwhile. A lifetime of 2 s is refreshed after 1.44 s to 1.76 s, seen at a tick.
    assert!(stack.issuer.wait_for_fetches("/jwks", 4, Duration::from_secs(9)));
    let times = stack.issuer.fetch_times("/jwks");
    for pair in times.windows(2) {
        let between = pair[1] - pair[0];
        assert!(
            (Duration::from_millis(1300)..Duration::from_millis(2500)).contains(&between),
            "{between:?}"
        );
    }
}

#[test]
fn a_failing_issuer_is_asked_less_and_less_and_the_old_keys_serve() {
    let provider = with(
        remote_provider(),
        json!({
            "remote_jwks": {
                "http_uri": {"uri": "http://idp.example.com/jwks", "cluster": "issuer", "timeout": "1s"},
                "cache_duration": "1s",
            },
        }),
    );
    let stack = Stack::start_with(config(provider), &EnvoyOptions::workers(2));
    let good = token().mint();
    assert_eq!(stack.status(&good), 200);
    stack.issuer.serve("/jwks", Answer::status(500));
    stack.issuer.clear_fetches();
    let begun = Instant::now();
    // Four attempts fail, with pauses of at least 0.5, 1 and 2 s between them. Meanwhile every request is
    // served.
    while !stack
        .issuer
        .wait_for_fetches("/jwks", 4, Duration::from_millis(100))
    {
        assert_eq!(stack.status(&good), 200);
        assert!(begun.elapsed() < Duration::from_secs(30), "{}", stack.envoy.log());
    }
    let times = stack.issuer.fetch_times("/jwks");
    for (pair, pause) in times.windows(2).zip([450, 900, 1800]) {
        assert!(pair[1] - pair[0] >= Duration::from_millis(pause), "{times:?}");
    }
    let stale = stack.envoy.wait_for_stat(
        "wasmcustom.jwt.provider.corp.keys_stale",
        Duration::from_secs(20),
        |stale| stale == 1,
    );
    assert_eq!(stale, Ok(1));
    stack.issuer.serve_jwks("/jwks", &[&world().rsa]);
    assert!(
        stack
            .envoy
            .wait_for_log("fetching keys works again", Duration::from_secs(12)),
        "{}",
        stack.envoy.log()
    );
    // Once while they were fresh, if a fetch failed that early, and once when they no longer were.
    let log = stack.envoy.log();
    assert!(log.matches("the keys are fresh until").count() <= 1, "{log}");
    assert_eq!(
        log.matches("the keys are past their lifetime and serve until")
            .count(),
        1,
        "{log}"
    );
}
