//! Metrics that only this module has.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use testkit::{Answer, EnvoyOptions, Gate, Issuer, Listener, Request};

use super::{Stack, assert_alive};
use scenarios::{config, local_provider, remote_provider, token, with, world};

#[test]
fn refusals_are_counted_with_labels() {
    let stack = Stack::start(config(local_provider()));
    assert_eq!(stack.status(&token().expires_in(-600).mint()), 401);
    assert_eq!(stack.client.request(Request::get("/orders")).status, 401);
    let page = stack.envoy.admin("/stats/prometheus?filter=refused");
    for labels in [
        r#"{reason="token_expired",provider="corp"}"#,
        r#"{reason="token_missing",provider="none"}"#,
    ] {
        let line = format!("jwt_refused{labels} 1");
        assert!(page.contains(&line), "{line} is not in\n{page}");
    }
    assert_alive(&stack.envoy);
}

/// The module looks the labelled counter up for the first refusal of a kind at once, and for those that
/// follow soon together.
#[test]
fn none_of_many_refusals_is_missing_from_the_counter_with_labels() {
    let stack = Stack::start(config(local_provider()));
    let expired = token().expires_in(-600).mint();
    for _ in 0..100 {
        assert_eq!(stack.status(&expired), 401);
        assert_eq!(stack.client.request(Request::get("/orders")).status, 401);
    }
    for labels in [
        r#"{reason="token_expired",provider="corp"}"#,
        r#"{reason="token_missing",provider="none"}"#,
    ] {
        wait_until(labels, &stack, || {
            let page = stack.envoy.admin("/stats/prometheus?filter=refused");
            page.contains(&format!("jwt_refused{labels} 100\n"))
        });
    }
    assert_alive(&stack.envoy);
}

/// Polls, since Envoy takes in histograms every few seconds and the module logs once a second.
fn wait_until(what: &str, stack: &Stack, is_there: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_there() {
        let log = stack.envoy.log();
        assert!(
            begun.elapsed() < Duration::from_secs(15),
            "{what} does not come\n{log}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn waits_and_fetches_have_histograms() {
    let (issuer, gate) = (Issuer::start(), Gate::closed());
    issuer.serve("/jwks", Answer::jwks(&[&world().rsa]).behind(&gate));
    let listener = Listener::wasm("jwt", config(remote_provider()));
    let stack = Stack::start_around(issuer, listener, &EnvoyOptions::default());
    let held = stack
        .client
        .start(Request::get("/orders").bearer(&token().mint()));
    wait_until("the wait", &stack, || {
        stack.envoy.stat("wasmcustom.jwt.waiting") == 1
    });
    gate.open();
    assert_eq!(held.wait().status, 200);
    for name in ["jwt_waiting_ms", "jwt_provider_corp_fetch_ms"] {
        wait_until(name, &stack, || {
            let page = stack.envoy.admin("/stats/prometheus?filter=_ms");
            page.contains(&format!("{name}_count{{}} 1"))
        });
    }
    assert_alive(&stack.envoy);
}

#[test]
fn refusals_are_summed_up_in_the_log_and_say_what_the_token_says() {
    let mut config = config(local_provider());
    config["filter_state"] = json!({"token": true});
    let format = "%FILTER_STATE(wasm.jwt.token:PLAIN)%";
    let listener = Listener::wasm("jwt", config).access_log(format);
    let stack = Stack::start_around(Issuer::start(), listener, &EnvoyOptions::default());
    let expired = token().expires_in(-600).mint();
    for _ in 0..5 {
        assert_eq!(stack.status(&expired), 401);
    }
    let is_summed_up = || {
        let log = stack.envoy.log();
        log.contains("denied: token_expired: ") && log.contains(" requests within ")
    };
    wait_until("the summary", &stack, is_summed_up);
    let lines = stack.envoy.wait_for_access_log(5);
    assert!(lines[0].starts_with(r#"{"unverified":true,"#), "{lines:?}");
    let signature = expired.rsplit('.').next().unwrap();
    assert!(!lines.concat().contains(signature) && !stack.envoy.log().contains(signature));
}

#[test]
fn the_metrics_of_many_providers_are_bounded() {
    let providers: Map<String, Value> = (0..102)
        .map(|number| {
            let issuer = format!("https://idp-{number}.example");
            (
                format!("p{number:03}"),
                with(local_provider(), json!({"issuer": issuer})),
            )
        })
        .collect();
    let last = json!({"provider_name": "p101"});
    let config = json!({"providers": providers, "rules": [{"match": {"prefix": "/"}, "requires": last}]});
    let stack = Stack::start(config);
    let other = token()
        .claim("iss", "https://idp-101.example")
        .expires_in(-600)
        .mint();
    assert_eq!(stack.status(&other), 401);
    let stats = stack.envoy.stats("wasmcustom.jwt.");
    assert_eq!(stats.get("wasmcustom.jwt.other_providers.denied"), Some(&1));
    assert!(stats.contains_key("wasmcustom.jwt.provider.p099.denied"));
    assert!(!stats.contains_key("wasmcustom.jwt.provider.p100.denied"));
}
