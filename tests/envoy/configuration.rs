//! Envoy refuses an invalid configuration with the reason in the log, and keeps the running one.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{
    Bootstrap, Client, EnvoyOptions, EnvoyProcess, Issuer, Listener, Request, Upstream, WasmFilter,
};

use super::{Stack, assert_alive, replaceable};
use scenarios::{config, local_provider, token, with, world};

#[test]
fn envoy_does_not_start_with_a_faulty_configuration() {
    let only_ed25519 = testkit::jwks(&[&world().ed25519]).to_string();
    for (config, message) in [
        (
            json!({}),
            "configuration refused: the configuration is not a JSON object: it is empty",
        ),
        (
            json!({"rules": []}),
            "configuration refused: `providers` is missing",
        ),
        (
            config(with(local_provider(), json!({"audiences": null}))),
            "configuration refused: providers.corp: `audiences` is missing",
        ),
        (
            with(
                config(local_provider()),
                json!({"rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "corp"}, "authorize": {"claims": [
                    {"claim_name": "account", "equals": 9_007_199_254_740_993_u64},
                ]}}]}),
            ),
            "configuration refused: rules[0].authorize.claims[0].equals: a google.protobuf.Struct has no whole numbers beyond 2^53",
        ),
        (
            config(with(
                local_provider(),
                json!({"algorithms": ["RS256"], "local_jwks": {"inline_string": only_ed25519}}),
            )),
            "providers.corp.algorithms: no token can be accepted: no key of `local_jwks` is for one of these",
        ),
        (
            config(with(local_provider(), json!({"isuer": "x"}))),
            "configuration refused: providers.corp: unknown field `isuer`; did you mean `issuer`?",
        ),
    ] {
        // A dynamic module gets an empty message as `{}`.
        let message = match testkit::uses_native_module() {
            true => message.replace(
                "the configuration is not a JSON object: it is empty",
                "`providers` is missing",
            ),
            false => message.to_owned(),
        };
        let upstream = Upstream::start();
        let bootstrap = Bootstrap::new()
            .cluster("upstream", upstream.addr())
            .listener(Listener::wasm("jwt", config))
            .build();
        let log =
            EnvoyProcess::try_start(&bootstrap, &EnvoyOptions::default()).expect_err("Envoy has started");
        assert!(log.contains(&message), "{message}\n{log}");
    }
}

#[test]
fn rules_without_effect_are_in_the_log() {
    let rule = |matcher: Value| json!({"match": matcher, "requires": {"provider_name": "corp"}});
    let rules = [
        rule(json!({"prefix": "/a", "methods": ["GET"]})),
        rule(json!({"prefix": "/a", "not": {"methods": ["GET"]}})),
        rule(json!({"prefix": "/a/b"})),
        rule(json!({"safe_regex": {"regex": "^/x"}})),
    ];
    let stack = Stack::start(with(config(local_provider()), json!({"rules": rules})));
    for line in [
        "rules[2]: never matches: rules[0] and rules[1] take every request that this matches",
        "rules[3].match.safe_regex.regex: the pattern has to match the whole path",
    ] {
        let patience = Duration::from_secs(10);
        assert!(
            stack.envoy.wait_for_log(line, patience),
            "{line}\n{}",
            stack.envoy.log()
        );
    }
}

#[test]
fn text_and_message_are_the_same_configuration() {
    let upstream = Upstream::start();
    let issuer = Issuer::start();
    let mut text = WasmFilter::new(config(with(local_provider(), json!({"clockSkewSeconds": 60}))));
    text = text.as_text();
    let bootstrap = Bootstrap::new()
        .cluster("upstream", upstream.addr())
        .cluster("issuer", issuer.addr())
        .listener(Listener::new("text").filter(text.build()))
        .listener(Listener::wasm(
            "message",
            config(with(local_provider(), json!({"clock_skew_seconds": 60.0}))),
        ))
        .build();
    let envoy = EnvoyProcess::start(&bootstrap);
    for listener in ["text", "message"] {
        let client = envoy.client(listener);
        assert_eq!(
            client.request(Request::get("/").bearer(&token().mint())).status,
            200,
            "{listener}"
        );
        assert_eq!(client.get("/").status, 401, "{listener}");
    }
}

#[test]
fn a_running_envoy_keeps_its_configuration_when_the_next_is_faulty() {
    let stack = Stack::start_with(config(local_provider()), &replaceable(EnvoyOptions::default()));
    let good = token().mint();
    assert_eq!(stack.status(&good), 200);
    let faulty = Listener::wasm("jwt", config(with(local_provider(), json!({"audience": ["x"]})))).build();
    let log = stack
        .envoy
        .reload_listeners(&[faulty])
        .expect_err("the faulty configuration was taken");
    assert!(
        log.contains("unknown field `audience`; did you mean `audiences`?"),
        "{log}"
    );
    assert_eq!(stack.status(&good), 200);
    assert_eq!(stack.client.get("/").status, 401);
    stack.replace_listener(config(with(local_provider(), json!({"audiences": ["another"]}))));
    let client = Client::new(stack.client.addr());
    let response = client.request(Request::get("/").bearer(&good));
    assert_eq!(response.reason().as_deref(), Some("audience_mismatch"));
    assert_alive(&stack.envoy);
}
