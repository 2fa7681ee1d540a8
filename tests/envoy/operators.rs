//! The operator's view: metrics, access log, log. None of them contains a token.

use std::time::Duration;

use serde_json::json;
use testkit::{
    Bootstrap, EnvoyOptions, EnvoyProcess, Listener, Request, Upstream, tamper_signature, wasm_filter,
};

use super::{Stack, assert_alive};
use scenarios::{local_provider, remote_provider, token, with};

#[test]
fn metrics_access_log_and_log_show_each_event_and_no_token() {
    let config = json!({
        "providers": {"corp": remote_provider()},
        "rules": [{"match": {"path": "/healthz"}}, {"match": {"prefix": "/"}, "requires": {"provider_name": "corp"}}],
        "stat_prefix": "edge",
    });
    let stack = Stack::start_with(config, &EnvoyOptions::default().component_levels("wasm:trace"));
    let good = token().mint();
    let expired = token().expires_in(-600).mint();
    let forged = tamper_signature(&good);
    let unknown = token().header("kid", "unknown-kid").mint();
    assert_eq!(stack.status(&good), 200);
    assert_eq!(stack.client.get("/healthz").status, 200);
    assert_eq!(stack.client.get("/orders").status, 401);
    for bad in [&expired, &forged, &unknown] {
        assert_eq!(stack.status(bad), 401);
    }

    let lines = stack.envoy.wait_for_access_log(6);
    for (line, expected) in lines.iter().zip([
        "200 via_upstream - /orders",
        "200 via_upstream - /healthz",
        "401 jwt_token_missing token_missing /orders",
        "401 jwt_token_expired token_expired /orders",
        "401 jwt_signature_invalid signature_invalid /orders",
        "401 jwt_key_unknown key_unknown /orders",
    ]) {
        assert_eq!(line, expected);
    }

    for (name, expected) in [
        ("allowed", 1),
        ("bypassed", 1),
        ("denied_total", 4),
        ("shadow_denied_total", 0),
        ("provider.corp.denied", 3),
        ("provider.corp.shadow_denied", 0),
        ("denied.token_missing", 1),
        ("denied.token_expired", 1),
        ("denied.signature_invalid", 1),
        ("denied.key_unknown", 1),
        ("denied.token_multiple", 0),
        ("provider.corp.fetch_success", 2),
        ("provider.corp.fetch_failed", 0),
        ("provider.corp.unknown_kid", 1),
        ("provider.corp.keys", 1),
        ("provider.corp.keys_stale", 0),
    ] {
        let name = format!("wasmcustom.jwt.edge.{name}");
        assert!(
            stack.envoy.stats(&name).contains_key(&name),
            "{name} is not defined"
        );
        let seen = stack
            .envoy
            .wait_for_stat(&name, Duration::from_secs(20), |value| value == expected);
        assert_eq!(seen, Ok(expected), "{name}");
    }

    let log = stack.envoy.log();
    assert!(log.contains("provider corp: 1 keys loaded, 0 skipped"), "{log}");
    assert!(
        log.contains("denied: token_expired"),
        "refusals are logged at debug:\n{log}"
    );
    let everything = log + &lines.join("\n") + &stack.envoy.admin("/stats");
    for token in [&good, &expired, &forged, &unknown] {
        for part in token.split('.') {
            assert!(!everything.contains(part), "a part of a token is shown: {part}");
        }
    }
    assert!(!everything.contains("alice"), "a subject is shown");
    assert_alive(&stack.envoy);
}

#[test]
fn grpc_and_head_requests_get_replies_of_their_own_kind() {
    let stack = Stack::start(scenarios::config(scenarios::local_provider()));
    let head = stack.client.request(Request::new("HEAD", "/orders"));
    assert_eq!(head.status, 401);
    assert!(head.body.is_empty() && head.header("www-authenticate").is_some());
    let grpc = stack
        .client
        .request(Request::post("/pkg.Service/Method", "").header("content-type", "application/grpc"));
    assert_eq!(grpc.status, 200);
    assert_eq!(
        grpc.header("grpc-status").as_deref(),
        Some("16"),
        "UNAUTHENTICATED"
    );
    assert_eq!(stack.upstream.count(), 0);
}

/// A pinned Envoy supports all functions of its interface. This test shows if a later version does not.
#[test]
fn envoy_proves_to_know_what_its_interface_has() {
    // The native module has a library for RSA-PSS, too.
    let all = if testkit::uses_native_module() { 9 } else { 6 };
    for (backend, served) in [("auto", all), ("host", all), ("sandbox", 0)] {
        let mut config = scenarios::config(remote_provider());
        config["signature_backend"] = backend.into();
        let stack = Stack::start(config);
        assert_eq!(stack.status(&token().mint()), 200, "{backend}");
        assert_eq!(
            stack.envoy.stat("wasmcustom.jwt.signature_backend_host"),
            served,
            "{backend}"
        );
    }
}

/// The first step of the roll-out in docs/coming-from-jwt_authn.md.
#[test]
fn a_trial_in_front_of_jwt_authn_changes_nothing() {
    let provider = with(
        local_provider(),
        json!({"claim_to_headers": [{"claim_name": "sub", "header_name": "x-jwt-sub"}], "clear_route_cache": true}),
    );
    let jwt_authn = json!({
        "name": "envoy.filters.http.jwt_authn",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
            "providers": {"corp": with(local_provider(), json!({"forward": true}))},
            "rules": [
                {"match": {"path": "/open"}},
                {"match": {"prefix": "/"}, "requires": {"provider_name": "corp"}},
            ],
        },
    });
    let trial = json!({
        "providers": {"corp": provider},
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "corp"}, "authorize": {"scopes": {"all": ["a"]}}}],
        "mode": "shadow",
        "shadow_changes_nothing": true,
    });
    let upstream = Upstream::start();
    let log = "%RESPONSE_CODE% %FILTER_STATE(wasm.jwt.decision:PLAIN)% %FILTER_STATE(wasm.jwt.reason:PLAIN)%";
    let alone = Listener::new("alone").filter(jwt_authn.clone());
    let tried = Listener::new("tried")
        .filter(wasm_filter(trial))
        .filter(jwt_authn)
        .access_log(log);
    let bootstrap = Bootstrap::new()
        .cluster("upstream", upstream.addr())
        .listener(alone)
        .listener(tried)
        .build();
    let envoy = EnvoyProcess::start(&bootstrap);
    let good = token().claim("scope", "a").mint();
    let requests = [
        Request::get("/orders")
            .bearer(&good)
            .header("x-jwt-sub", "root")
            .header("x_jwt_sub", "root"),
        Request::get("/orders").bearer(&token().mint()),
        Request::get("/orders").bearer(&token().expires_in(-600).mint()),
        Request::get("/orders"),
        Request::get("/open").header("X-JWT_Sub", "root"),
    ];
    for request in requests {
        let [alone, tried] = ["alone", "tried"].map(|listener| {
            let response = envoy.client(listener).request(request.clone());
            let seen = upstream.last().filter(|_| response.status == 200);
            let mut headers = seen.map(|seen| seen.headers).unwrap_or_default();
            // Each request has its own.
            headers.retain(|(name, _)| !matches!(name.as_str(), "x-request-id" | "host"));
            (response.status, headers)
        });
        assert_eq!(alone, tried);
    }
    assert_eq!(
        envoy.wait_for_access_log(5),
        [
            "200 - -",
            "200 shadow_denied scope_insufficient",
            "401 shadow_denied token_expired",
            "401 shadow_denied token_missing",
            "200 shadow_denied token_missing",
        ]
    );
    assert_alive(&envoy);
}
