//! A panic in the module: it ends one request, and the requests that waited for the same engine.

use std::time::Duration;

use testkit::{Answer, EnvoyOptions, Gate, Issuer, Request};

use super::{Stack, spring_trap, trap_listener};
use scenarios::{config, local_provider, remote_provider, token, world};

#[test]
fn a_panic_ends_one_request_with_500() {
    let listener = trap_listener(config(local_provider()));
    let stack = Stack::start_around(Issuer::start(), listener, &EnvoyOptions::default());
    let good = token().mint();
    assert_eq!(stack.status(&good), 200);
    let before = stack.upstream.count();
    for _ in 0..20 {
        let request = Request::post("/orders", "a body")
            .bearer(&good)
            .header("x-test-trap", "1");
        assert_eq!(stack.client.request(request).status, 500);
        assert_eq!(stack.status(&good), 200);
    }
    assert_eq!(
        stack.upstream.count(),
        before + 20,
        "no request passed by a panic"
    );
    assert_eq!(stack.envoy.stat("wasmcustom.jwt.panicked"), 20);
    let log = stack.envoy.log();
    assert!(
        log.contains("a fault of the module") && log.contains("a trap for the tests"),
        "{log}"
    );
}

#[test]
fn requests_that_waited_for_the_engine_are_answered() {
    let issuer = Issuer::start();
    let gate = Gate::closed();
    issuer.serve("/jwks", Answer::jwks(&[&world().rsa]).behind(&gate));
    let stack = Stack::start_around(
        issuer,
        trap_listener(config(remote_provider())),
        &EnvoyOptions::default(),
    );
    let good = token().mint();
    let waiting: Vec<_> = (0..8)
        .map(|_| {
            stack
                .client
                .start(Request::post("/orders", "a body").bearer(&good))
        })
        .collect();
    let held = |waiting| waiting == 8;
    stack
        .envoy
        .wait_for_stat("wasmcustom.jwt.waiting", Duration::from_secs(20), held)
        .expect("8 that wait");
    spring_trap(&stack);
    for waiting in waiting {
        assert_eq!(waiting.wait().status, 500);
    }
    assert_eq!(stack.upstream.count(), 0);
    gate.open();
    // The main thread has fetched, and not the worker, so its keys are there.
    assert_eq!(stack.status(&good), 200);
    assert_eq!(stack.issuer.fetches("/jwks"), 1);
}

#[test]
fn other_workers_go_on() {
    let listener = trap_listener(config(local_provider()));
    let stack = Stack::start_around(Issuer::start(), listener, &EnvoyOptions::workers(2));
    let good = token().mint();
    for _ in 0..10 {
        spring_trap(&stack);
        for _ in 0..10 {
            let client = testkit::Client::new(stack.client.addr());
            assert_eq!(client.request(Request::get("/orders").bearer(&good)).status, 200);
        }
    }
}
