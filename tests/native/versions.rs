//! The features that must work in each supported Envoy. `make native-versions` runs these tests in all of
//! them, and the whole binary in the pinned one.

use std::time::{Duration, Instant};

use serde_json::json;
use testkit::{Answer, EnvoyOptions, Issuer, Listener, Request, wasm_filter};

use super::{Stack, assert_alive};
use crate::native_secrets;
use scenarios::{config, local_provider, remote_provider, token, token_of, with, world};

/// `1.40` of the Envoy that runs.
fn minor(stack: &Stack) -> u32 {
    let info = stack.envoy.admin("/server_info");
    let version = info.split("\"version\": \"").nth(1).expect("a version");
    let number = version
        .split('/')
        .nth(1)
        .and_then(|number| number.split('.').nth(1));
    number.and_then(|number| number.parse().ok()).expect("a number")
}

#[test]
fn decisions_waiting_keys_and_metrics_work() {
    let issuer = Issuer::start();
    let keys = Answer::jwks(&[&world().rsa]).delay(Duration::from_millis(200));
    issuer.serve("/jwks", keys);
    let provider = with(
        remote_provider(),
        json!({
            "claim_to_headers": [{"claim_name": "sub", "header_name": "x-jwt-sub"}],
            "payload_in_metadata": "claims",
        }),
    );
    let listener = Listener::new("jwt")
        .filter(wasm_filter(config(provider)))
        .access_log(
            "%RESPONSE_CODE% %RESPONSE_CODE_DETAILS% %FILTER_STATE(wasm.jwt.provider:PLAIN)% \
         %DYNAMIC_METADATA(envoy.filters.http.jwt_authn:claims:sub)%",
        );
    let stack = Stack::start_around(issuer, listener, &EnvoyOptions::workers(2));
    let good = token().claim("sub", "alice").mint();
    // Two requests wait for their keys, one of them with its body.
    let forged = [&good[..good.len() - 8], "AAAAAAAA"].concat();
    let refused = stack.client.start(Request::get("/orders").bearer(&forged));
    let echo = stack
        .client
        .request(Request::post("/orders", "a body").bearer(&good))
        .echo();
    let sub = echo.headers.iter().find(|(name, _)| name == "x-jwt-sub");
    assert_eq!(sub.map(|(_, value)| value.as_str()), Some("alice"));
    assert_eq!(refused.wait().reason().as_deref(), Some("signature_invalid"));
    assert_eq!(stack.client.get("/orders").status, 401);
    assert_eq!(stack.status(&token().expires_in(-600).mint()), 401);
    let grpc = Request::post("/pkg.Service/Method", "").header("content-type", "application/grpc");
    assert_eq!(
        stack.client.request(grpc).header("grpc-status").as_deref(),
        Some("16")
    );
    // A rotated key is learnt from its first token.
    stack
        .issuer
        .serve_jwks("/jwks", &[&world().rsa, &world().rsa_next]);
    assert_eq!(stack.status(&token_of(&world().rsa_next).mint()), 200);
    assert_eq!(stack.issuer.fetches("/jwks"), 2);
    // Envoy 1.38 shows the counts of the main thread after a later request.
    let begun = Instant::now();
    while stack.envoy.stat("wasmcustom.jwt.provider.corp.fetch_success") != 2 {
        assert!(begun.elapsed() < Duration::from_secs(5), "{}", stack.envoy.log());
        stack.client.get("/orders");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(stack.envoy.stat("wasmcustom.jwt.allowed") >= 2);

    let lines = stack.envoy.wait_for_access_log(6);
    let metadata = if minor(&stack) >= 40 { "alice" } else { "-" };
    let expected = format!("200 via_upstream corp {metadata}");
    assert!(lines.contains(&expected), "{expected} is not in {lines:?}");
    assert!(
        lines.iter().any(|line| line == "401 jwt_token_expired corp -"),
        "{lines:?}"
    );
    assert_alive(&stack.envoy);
}

#[test]
fn an_envoy_without_secrets_for_modules_refuses_a_configuration_that_names_one() {
    let has_secrets = minor(&Stack::start(config(local_provider()))) >= 40;
    let secrets =
        json!([{"name": "nonces", "generic_secret": {"secret": {"inline_string": "x".repeat(32)}}}]);
    let started = native_secrets::start(&json!({"name": "nonces"}), &secrets, &EnvoyOptions::default());
    match started {
        Ok(_) => assert!(has_secrets),
        Err(fault) => {
            assert!(!has_secrets, "{fault}");
            let reason = "this Envoy does not supply the secret `nonces` to a module; Envoy 1.40 does";
            assert!(fault.contains(reason), "{fault}");
        }
    }
}
