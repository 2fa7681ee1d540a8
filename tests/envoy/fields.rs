//! A client's header fields, trailers and claims in a real Envoy, and the fields that reach the upstream.

use serde_json::json;
use testkit::{Bootstrap, EnvoyProcess, Issuer, Listener, Request, Upstream, WasmFilter};

use super::assert_alive;
use scenarios::{config, local_provider, remote_provider, token, with, world};

#[test]
fn trailers_that_servers_take_for_headers_never_arrive() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    issuer.serve_jwks("/jwks", &[&world().rsa]);
    let claims = json!({"claim_to_headers": [{"claim_name": "sub", "header_name": "x-jwt-sub"}]});
    let listener = |name: &str, provider, mode: &str| {
        let mut config = config(with(provider, claims.clone()));
        config["mode"] = mode.into();
        config["rules"] = json!([{"match": {"path": "/open"}}, {"match": {"prefix": "/"}, "requires": {"provider_name": "corp"}}]);
        Listener::new(name).filter(WasmFilter::new(config).vm_id(name).build())
    };
    let bootstrap = Bootstrap::new()
        .cluster("upstream", upstream.addr())
        .cluster("issuer", issuer.addr())
        .listener(listener("local", local_provider(), "enforce"))
        .listener(listener("remote", remote_provider(), "enforce"))
        .listener(listener("shadow", local_provider(), "shadow"))
        .build();
    let envoy = EnvoyProcess::start(&bootstrap);
    for (listener, path) in [
        ("local", "/orders"),
        ("local", "/open"),
        ("remote", "/orders"),
        ("shadow", "/orders"),
    ] {
        let request = Request::post(path, "body")
            .header("trailer", "x-jwt-sub, x_jwt_sub, authorization, x-checksum")
            .bearer(&token().mint());
        let (sender, pending) = envoy.client(listener).start_streaming(request);
        sender.finish_with_trailers(&[
            ("x-jwt-sub", "root"),
            ("x_jwt_sub", "root"),
            ("authorization", "Bearer x"),
            ("x-checksum", "1"),
        ]);
        let echo = pending.wait().try_echo().expect("it is forwarded");
        assert_eq!(
            echo.trailers,
            [("x-checksum".to_owned(), "1".to_owned())],
            "{listener} {path}"
        );
    }
    assert_alive(&envoy);
}

#[test]
fn no_token_forges_a_line_of_the_access_log() {
    let provider = with(
        local_provider(),
        json!({"payload_in_metadata": "claims", "header_in_metadata": "header"}),
    );
    let mut config = config(provider);
    config["filter_state"] = json!({"subject": true});
    let listener = Listener::new("jwt").filter(WasmFilter::new(config).build()).access_log(
        "%FILTER_STATE(wasm.jwt.sub:PLAIN)% %FILTER_STATE(wasm.jwt.metadata.claims:PLAIN)% %FILTER_STATE(wasm.jwt.metadata.header:PLAIN)%",
    );
    let upstream = Upstream::start();
    let bootstrap = Bootstrap::new()
        .cluster("upstream", upstream.addr())
        .listener(listener)
        .build();
    let envoy = EnvoyProcess::start(&bootstrap);
    let payload = format!(
        "{{\n\"iss\":\"{}\",\r\n\"aud\":\"{}\",\"exp\":9999999999,\"sub\":\"a\\nFORGED root\u{2028}\u{85}\u{7f}\"}}",
        scenarios::ISSUER,
        scenarios::AUDIENCE
    );
    let forged = token().raw_payload(payload.as_bytes()).mint();
    let client = envoy.client("jwt");
    assert_eq!(client.request(Request::get("/").bearer(&forged)).status, 200);
    assert_eq!(
        client.request(Request::get("/").bearer(&token().mint())).status,
        200
    );
    let lines = envoy.wait_for_access_log(2);
    assert!(
        lines[0].starts_with(r"a\u000aFORGED root\u2028\u0085\u007f {"),
        "{lines:?}"
    );
    assert!(
        lines[0].contains(r#""sub":"a\nFORGED root\u2028\u0085\u007f"}"#),
        "{lines:?}"
    );
    assert!(lines[1].starts_with("alice {"), "{lines:?}");
    assert_alive(&envoy);
}
