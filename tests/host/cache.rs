//! Verified tokens in the cache: the cache uses a result exactly as long as all its conditions hold.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Request, SigningKey, jwks};

use super::stub::{self, State};
use super::vm::{self, Answer, Vm};
use scenarios::{config, get, local_provider, remote_provider, token, token_of, with, world};

/// The status of the reply, or 200, and whether the signature was checked.
fn outcome(vm: &mut Vm, request: &Request) -> (u32, bool) {
    stub::with(|host| host.story.clear());
    let stream = vm.request(request);
    let is_checked = stub::with(|host| host.story.iter().any(|line| line == "verify_signature"));
    (stream.reply.map_or(200, |reply| reply.status), is_checked)
}

fn local(fields: Value) -> Vm {
    Vm::start(&config(with(local_provider(), fields)))
}

#[test]
fn it_is_checked_once() {
    let mut vm = local(json!({}));
    let request = get("/orders").bearer(&token().mint());
    assert_eq!(outcome(&mut vm, &request), (200, true));
    for _ in 0..3 {
        assert_eq!(outcome(&mut vm, &request), (200, false));
    }
}

#[test]
fn none_is_kept_where_none_is_to_be() {
    let mut config = config(local_provider());
    config["limits"] = json!({"token_cache_entries": 0});
    let mut vm = Vm::start(&config);
    let request = get("/orders").bearer(&token().mint());
    for _ in 0..3 {
        assert_eq!(outcome(&mut vm, &request), (200, true));
    }
}

#[test]
fn its_time_runs_out() {
    let mut vm = local(json!({"clock_skew_seconds": 0}));
    let request = get("/orders").bearer(&token().expires_in(10).mint());
    assert_eq!(outcome(&mut vm, &request), (200, true));
    vm.pass(Duration::from_secs(8));
    assert_eq!(outcome(&mut vm, &request), (200, false));
    vm.pass(Duration::from_secs(3));
    assert_eq!(outcome(&mut vm, &request), (401, false));
}

#[test]
fn its_key_leaves_the_set() {
    let mut vm = Vm::start(&config(remote_provider()));
    vm.pass_to_tick();
    let serve = |vm: &mut Vm, key: &SigningKey| {
        vm.answer_next(&Answer::document(&jwks(&[key]).to_string()));
    };
    serve(&mut vm, &world().rsa);
    let request = get("/orders").bearer(&token().expires_in(7200).mint());
    assert_eq!(outcome(&mut vm, &request), (200, true));
    assert_eq!(outcome(&mut vm, &request), (200, false));
    // The filter fetches the keys again before they expire. The steps are short compared with the deadline of
    // the fetch.
    while stub::with(|host| host.calls.is_empty()) {
        vm.pass(Duration::from_millis(500));
    }
    // If a request arrives in the millisecond in which the fetch begins, the fetch counts as its answer.
    vm.pass(Duration::from_millis(10));
    serve(&mut vm, &world().rsa_next);
    // The issuer has just withdrawn the key.
    assert_eq!(outcome(&mut vm, &request), (401, false));
}

#[test]
fn it_is_known_to_the_demand_that_it_met_and_to_no_other() {
    let rules = json!([
        {"match": {"prefix": "/a"}, "requires": {"provider_name": "corp"}},
        {"match": {"prefix": "/b"}, "requires": {"provider_and_audiences": {"provider_name": "corp", "audiences": ["b"]}}},
        {"match": {"prefix": "/c"}, "requires": {"provider_name": "corp"}, "authorize": {"scopes": {"all": ["c:read"]}}},
    ]);
    let mut config = config(local_provider());
    config["rules"] = rules;
    let mut vm = Vm::start(&config);
    let token = token().mint();
    for _ in 0..2 {
        assert_eq!(outcome(&mut vm, &get("/a").bearer(&token)).0, 200);
        assert_eq!(outcome(&mut vm, &get("/b").bearer(&token)).0, 401);
        assert_eq!(outcome(&mut vm, &get("/c").bearer(&token)).0, 403);
    }
}

#[test]
fn what_the_decision_asks_of_the_request_is_asked_of_each() {
    let mut config = config(local_provider());
    config["rules"] = json!([{
        "match": {"prefix": "/"},
        "requires": {"provider_name": "corp"},
        "authorize": {"claims": [{
            "claim_path": [{"key": "sub"}],
            "equals_request": {"header": "x-user"},
        }]},
    }]);
    let mut vm = Vm::start(&config);
    let request = |user: &str| get("/").bearer(&token().mint()).header("x-user", user);
    for _ in 0..2 {
        assert_eq!(outcome(&mut vm, &request("alice")).0, 200);
        assert_eq!(outcome(&mut vm, &request("mallory")).0, 403);
    }
}

#[test]
fn the_rest_of_a_cookie_is_that_of_each_request() {
    let mut vm = local(json!({"from_cookies": ["session"]}));
    let token = token().mint();
    for (number, is_checked) in [(1, true), (2, false), (3, false)] {
        stub::with(|host| host.story.clear());
        let cookie = format!("a={number}; session={token}");
        let stream = vm.request(&get("/").header("cookie", &cookie));
        let rest = stream.headers.first("cookie").map(<[u8]>::to_vec);
        assert_eq!(rest, Some(format!("a={number}").into_bytes()));
        let checked = stub::with(|host| host.story.iter().any(|line| line == "verify_signature"));
        assert_eq!(checked, is_checked);
    }
}

#[test]
fn bad_tokens_drive_none_out() {
    let mut config = config(local_provider());
    config["limits"] = json!({"token_cache_entries": 2});
    let mut vm = Vm::start(&config);
    let good = get("/").bearer(&token().mint());
    assert_eq!(outcome(&mut vm, &good), (200, true));
    for number in 0..20 {
        let bad = token_of(&world().es256).claim("jti", number.to_string()).mint();
        let bad = testkit::tamper_signature(&bad);
        assert_eq!(outcome(&mut vm, &get("/").bearer(&bad)), (401, true));
    }
    assert_eq!(outcome(&mut vm, &good), (200, false));
}

/// The number of cache hits so far.
fn hits(vm: &mut Vm) -> u64 {
    vm.pass_to_tick();
    stub::with(|host| host.metric("jwt.cache_hit")).expect("it is defined")
}

#[test]
fn a_token_that_was_refused_is_refused_without_a_check() {
    let mut vm = local(json!({}));
    let forged = get("/").bearer(&testkit::tamper_signature(&token().mint()));
    assert_eq!(outcome(&mut vm, &forged), (401, true));
    let expired = get("/").bearer(&token().expires_in(-100).mint());
    assert_eq!(outcome(&mut vm, &expired), (401, false));
    assert_eq!(hits(&mut vm), 0);
    for _ in 0..3 {
        assert_eq!(outcome(&mut vm, &forged), (401, false));
        assert_eq!(outcome(&mut vm, &expired), (401, false));
    }
    assert_eq!(hits(&mut vm), 6);
    let counted = |name: &str| stub::with(|host| host.metric(name));
    assert_eq!(counted("jwt.denied.signature_invalid"), Some(4));
    assert_eq!(counted("jwt.denied.token_expired"), Some(4));
}

#[test]
fn a_token_that_was_too_early_is_good_in_time() {
    let mut vm = local(json!({"clock_skew_seconds": 0}));
    let request = get("/").bearer(&token().claim("nbf", testkit::unix_now() + 10).mint());
    for _ in 0..2 {
        assert_eq!(outcome(&mut vm, &request), (401, false));
    }
    vm.pass(Duration::from_secs(11));
    assert_eq!(outcome(&mut vm, &request), (200, true));
}

#[test]
fn keys_that_were_not_there_are_waited_for_again() {
    let mut vm = Vm::start(&config(remote_provider()));
    let request = get("/").bearer(&token().mint());
    let id = vm.open(&request);
    while vm::state(id) == State::Open {
        vm.pass(Duration::from_millis(500));
    }
    vm.finish(id);
    let id = vm.open(&request);
    assert_eq!(vm::state(id), State::Open);
    vm.finish(id);
}

#[test]
fn a_bound_token_is_held_against_each_request() {
    let mut vm = local(json!({"binding": {"mtls": "if_present"}}));
    let digest = "connection.sha256_peer_certificate_digest";
    let show = |certificate: u8| {
        let hex = format!("{certificate:02x}").repeat(32);
        stub::with(|host| host.properties.insert(digest.into(), hex.into()));
    };
    let thumbprint = testkit::encode_segment(&[7; 32]);
    let bound = token().claim("cnf", json!({"x5t#S256": thumbprint})).mint();
    let request = get("/").bearer(&bound);
    for _ in 0..2 {
        show(7);
        assert_eq!(outcome(&mut vm, &request), (200, true));
        show(8);
        assert_eq!(outcome(&mut vm, &request), (401, true));
    }
}
