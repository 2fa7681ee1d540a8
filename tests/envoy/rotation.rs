//! Unknown keys: those of an issuer that rotates, and those that a flood of forged tokens names.

use std::time::{Duration, Instant};

use serde_json::json;
use testkit::{Answer, EnvoyOptions, Issuer, Listener, Request};

use super::load::Load;
use super::{Stack, assert_alive, resident_bytes};
use scenarios::{config, remote_provider, token, token_of, with, world};

/// A little longer than `unknown_kid_cooldown` here. Envoy's clock cannot be moved, so the test lets the time
/// pass.
const COOLDOWN_OVER: Duration = Duration::from_millis(1200);

#[test]
fn rotation_under_load_refuses_nobody() {
    let world = world();
    let provider = with(
        remote_provider(),
        json!({"key_cache": {"unknown_kid_cooldown": "1s"}}),
    );
    let stack = Stack::start_with(config(provider), &EnvoyOptions::workers(4));
    let (old, new) = (token().mint(), token_of(&world.rsa_next).mint());
    assert_eq!(stack.status(&old), 200);

    let load = Load::start(
        stack.client.addr(),
        50,
        Duration::from_millis(2),
        std::slice::from_ref(&old),
    );
    for _ in 0..3 {
        std::thread::sleep(COOLDOWN_OVER);
        // The issuer publishes the next key, signs with it, and withdraws the one before after a while.
        stack
            .issuer
            .serve("/jwks", Answer::jwks(&[&world.rsa, &world.rsa_next]));
        load.send(&[old.clone(), new.clone()]);
        std::thread::sleep(COOLDOWN_OVER);
        load.send(std::slice::from_ref(&old));
        // The next round begins with a set that contains only the old key, so that the new key counts as
        // another one each time.
        stack.issuer.serve_jwks("/jwks", &[&world.rsa]);
        let unknown = token().header("kid", "nobody's").mint();
        assert_eq!(stack.status(&unknown), 401);
    }
    load.finish().assert_none_refused(1000, "rotation");
    // One for each rotation, one for each unknown kid (the same one is remembered as absent), one at first.
    let fetches = stack.issuer.fetches("/jwks");
    println!("rotation: {fetches} fetches");
    assert!((4..=7).contains(&fetches), "{fetches} fetches");
    assert_alive(&stack.envoy);
}

/// Only its signature is wrong, and the filter cannot see that without the key.
fn forged(kid: &str) -> String {
    token().header("kid", kid).signature(&[7; 256]).mint()
}

#[test]
fn in_a_flood_of_made_up_kids_a_rotated_key_is_learnt_and_good_requests_notice_nothing() {
    rotation_in_a_flood(|thread, sent| format!("{thread}-{sent}"), 3);
}

#[test]
fn in_a_flood_of_the_same_few_kids_a_rotated_key_is_learnt_and_good_requests_notice_nothing() {
    rotation_in_a_flood(|thread, _| format!("{}", thread % 5), 5);
}

/// `kid` names the key of a connection's next forged token. The most fetches after the first one.
fn rotation_in_a_flood(kid: impl Fn(usize, usize) -> String + Sync, most: usize) {
    const CONNECTIONS: usize = 60;
    const FLOOD: Duration = Duration::from_secs(20);
    let world = world();
    let issuer = Issuer::start();
    issuer.serve_jwks("/jwks", &[&world.rsa]);
    let listener = Listener::wasm("jwt", config(remote_provider()));
    let stack = Stack::start_around(issuer, listener, &EnvoyOptions::workers(2));
    let (good, new) = (token().mint(), token_of(&world.rsa_next).mint());
    assert_eq!(stack.status(&good), 200);

    let before = resident_bytes(&stack.envoy);
    let begun = Instant::now();
    let load = Load::start(
        stack.client.addr(),
        5,
        Duration::from_millis(20),
        std::slice::from_ref(&good),
    );
    let (sent, learnt) = std::thread::scope(|scope| {
        let flood: Vec<_> = (0..CONNECTIONS)
            .map(|thread| {
                let client = testkit::Client::new(stack.client.addr());
                let kid = &kid;
                scope.spawn(move || {
                    let mut sent = 0;
                    while begun.elapsed() < FLOOD {
                        let response =
                            client.request(Request::get("/orders").bearer(&forged(&kid(thread, sent))));
                        let outcome = (response.status, response.reason());
                        let is_expected = match (outcome.0, outcome.1.as_deref()) {
                            (401, Some("key_unknown")) => true,
                            (503, Some("keys_unavailable")) => response.header("retry-after").is_some(),
                            _ => false,
                        };
                        assert!(is_expected, "{outcome:?}");
                        sent += 1;
                        std::thread::sleep(Duration::from_millis(100));
                    }
                    sent
                })
            })
            .collect();
        std::thread::sleep(Duration::from_secs(6));
        stack
            .issuer
            .serve("/jwks", Answer::jwks(&[&world.rsa, &world.rsa_next]));
        let rotated = Instant::now();
        let mut learnt = None;
        while begun.elapsed() < FLOOD {
            let status = testkit::Client::new(stack.client.addr())
                .request(Request::get("/orders").bearer(&new))
                .status;
            assert!(matches!(status, 200 | 503), "a good token got {status}");
            if status == 200 {
                learnt.get_or_insert_with(|| rotated.elapsed());
            } else {
                assert!(
                    rotated.elapsed() < Duration::from_secs(5),
                    "it was not learnt in time"
                );
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let sent: usize = flood.into_iter().map(|thread| thread.join().unwrap()).sum();
        (sent, learnt)
    });
    load.finish().assert_none_refused(50, "attacked");
    let grown = resident_bytes(&stack.envoy).saturating_sub(before);
    let fetches = stack.issuer.fetches("/jwks") - 1;
    println!(
        "flood: {sent} forged tokens in {FLOOD:?}: {fetches} fetches, learnt after {learnt:?}, {grown} bytes more"
    );
    assert!(sent > 1000, "{sent}");
    assert!(learnt.is_some_and(|learnt| learnt < Duration::from_secs(5)));
    assert!((1..=most).contains(&fetches), "{fetches} fetches");
    assert!(grown < 16 << 20, "{grown} bytes more");
    assert_alive(&stack.envoy);
}

#[test]
fn a_fetch_whose_holder_died_is_begun_again_after_its_deadline() {
    let world = world();
    let provider = with(
        remote_provider(),
        json!({"key_cache": {"unknown_kid_cooldown": "1s"}}),
    );
    let stack = Stack::start_around(
        {
            let issuer = Issuer::start();
            issuer.serve_jwks("/jwks", &[&world.rsa]);
            issuer
        },
        super::trap_listener(config(provider)),
        &EnvoyOptions::default(),
    );
    assert_eq!(stack.status(&token().mint()), 200);

    // Only the worker with the request asks for the `kid`, so this worker holds the lease, and then it
    // crashes. The lease lasts for the timeout of 1 s and a second more.
    let keys = Answer::jwks(&[&world.rsa, &world.rsa_next]);
    stack.issuer.serve("/jwks", keys.clone());
    stack
        .issuer
        .serve_once("/jwks", keys.delay(Duration::from_millis(900)));
    let new = token_of(&world.rsa_next).mint();
    let lost = stack.client.start(Request::get("/orders").bearer(&new));
    assert!(stack.issuer.wait_for_fetches("/jwks", 2, Duration::from_secs(20)));
    super::spring_trap(&stack);
    let died = Instant::now();
    drop(lost);

    super::wait_until_good(&stack, &token().mint());
    while stack.status(&new) != 200 {
        assert!(died.elapsed() < Duration::from_secs(8), "{}", stack.envoy.log());
    }
    let took = died.elapsed();
    println!("dead holder: replaced after {took:?}");
    let times = stack.issuer.fetch_times("/jwks");
    if testkit::uses_native_module() {
        // No worker holds a lease there: the fetch outlives the worker's fault.
        assert_eq!(times.len(), 2, "one fetch, and another");
        return;
    }
    assert_eq!(times.len(), 3, "one fetch, the lost one, and its replacement");
    let between = times[2] - times[1];
    assert!(
        (Duration::from_millis(1900)..Duration::from_secs(5)).contains(&between),
        "{between:?}"
    );
}
