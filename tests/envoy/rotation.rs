//! Unknown keys: those of an issuer that rotates, and those that a flood of forged tokens names.

use std::time::{Duration, Instant};

use serde_json::json;
use testkit::{Answer, EnvoyOptions, Issuer, Listener, Request};

use super::load::Load;
use super::{Stack, assert_alive, resident_bytes};
use crate::scenarios::{config, remote_provider, token, token_of, with, world};

/// A little longer than `unknown_kid_cooldown` here. Envoy's clock cannot be moved, so the test lets the time pass.
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
        // The next round begins with a set that has the old key alone, as if the new one were another each time.
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

#[test]
fn a_flood_of_unknown_kids_costs_the_issuer_two_fetches_and_good_requests_nothing() {
    const FLOOD: usize = 10_000;
    let issuer = Issuer::start();
    issuer.serve_jwks("/jwks", &[&world().rsa]);
    let listener = Listener::wasm("jwt", config(remote_provider()));
    let stack = Stack::start_around(issuer, listener, &EnvoyOptions::workers(2));
    let good = token().mint();
    assert_eq!(stack.status(&good), 200);
    let pause = Duration::from_millis(20);

    let quiet = Load::start(stack.client.addr(), 5, pause, std::slice::from_ref(&good));
    quiet.wait_for(250);
    let quiet = quiet.finish();
    quiet.assert_none_refused(50, "quiet");

    let before = resident_bytes(&stack.envoy);
    let begun = Instant::now();
    let load = Load::start(stack.client.addr(), 5, pause, std::slice::from_ref(&good));
    std::thread::scope(|scope| {
        for thread in 0..10 {
            let client = testkit::Client::new(stack.client.addr());
            scope.spawn(move || {
                for number in 0..FLOOD / 10 {
                    // Nothing but the signature is wrong with it, and that cannot be seen without its key.
                    let kid = format!("{thread}-{number}");
                    let forged = token().header("kid", kid).signature(&[7; 256]).mint();
                    let response = client.request(Request::get("/orders").bearer(&forged));
                    assert_eq!(
                        (response.status, response.reason().as_deref()),
                        (401, Some("key_unknown"))
                    );
                }
            });
        }
    });
    let took = begun.elapsed();
    let attacked = load.finish();
    attacked.assert_none_refused(50, "attacked");
    let grown = resident_bytes(&stack.envoy).saturating_sub(before);
    let fetches = stack.issuer.fetches("/jwks") - 1;
    println!("flood: {FLOOD} forged tokens in {took:?}: {fetches} fetches, {grown} bytes more");
    let windows = usize::try_from(took.as_secs() / 30).unwrap() + 1;
    assert!(
        (1..=2 * windows).contains(&fetches),
        "{fetches} fetches in {took:?}"
    );
    assert!(grown < 16 << 20, "{grown} bytes more");
    // Ten clients without a pause on the same cores: good requests wait for the processor, not for the issuer.
    assert!(
        attacked.percentile(50) < quiet.percentile(50) * 10 + Duration::from_millis(20),
        "{:?} instead of {:?}",
        attacked.percentile(50),
        quiet.percentile(50)
    );
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

    // Only the worker with the request asks for a kid, so that the lease is its own; then it dies with it. The lease is
    // good for the timeout of 1 s and a second more.
    let keys = Answer::jwks(&[&world.rsa, &world.rsa_next]);
    stack.issuer.serve("/jwks", keys.clone());
    stack
        .issuer
        .serve_once("/jwks", keys.delay(Duration::from_millis(900)));
    let new = token_of(&world.rsa_next).mint();
    let lost = stack.client.start(Request::get("/orders").bearer(&new));
    assert!(stack.issuer.wait_for_fetches("/jwks", 2, Duration::from_secs(2)));
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
    assert_eq!(times.len(), 3, "one fetch, the lost one, and its replacement");
    let between = times[2] - times[1];
    assert!(
        (Duration::from_millis(1900)..Duration::from_secs(5)).contains(&between),
        "{between:?}"
    );
}
