//! A client of the Model Context Protocol's authorization: it knows only the URL of a tool, and gets from the
//! first 401 to a token (RFC 9728 section 5, RFC 8414 section 3).

use std::net::SocketAddr;

use serde_json::{Value, json};
use testkit::{Answer, Client, Issuer, Listener, Request, Response};

use super::{Stack, assert_alive};
use scenarios::{AUDIENCE, config, local_provider, token, with, world};

/// The parts of a URL.
fn split(url: &str) -> (SocketAddr, String) {
    let rest = url.strip_prefix("http://").expect("a URL of this machine");
    let (addr, path) = rest.split_once('/').unwrap_or((rest, ""));
    (addr.parse().expect("an address"), format!("/{path}"))
}

fn fetch(url: &str, request: impl FnOnce(&str) -> Request) -> Response {
    let (addr, path) = split(url);
    Client::new(addr).request(request(&path).header("host", addr.to_string()))
}

fn document(url: &str) -> Value {
    let response = fetch(url, Request::get);
    assert_eq!(response.status, 200, "{url}");
    assert_eq!(
        response.header("content-type").as_deref(),
        Some("application/json")
    );
    response.json()
}

/// A parameter of a challenge.
fn parameter(challenge: &str, name: &str) -> Option<String> {
    let (_, rest) = challenge.split_once(&format!("{name}=\""))?;
    Some(rest.split_once('"')?.0.to_owned())
}

/// The client: the response to its call, after all steps.
fn call(url: &str) -> Response {
    let ask = |path: &str| Request::post(path, r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
    let refused = fetch(url, ask);
    assert_eq!(refused.status, 401);
    let challenge = refused.header("www-authenticate").expect("a challenge");
    let metadata_url = parameter(&challenge, "resource_metadata").expect("an address of metadata");

    let metadata = document(&metadata_url);
    // RFC 9728 section 3.3: "The resource value returned MUST be identical to the protected resource's
    // resource identifier".
    assert_eq!(metadata["resource"], url);
    let issuer = metadata["authorization_servers"][0].as_str().expect("an issuer");
    let scope = metadata["scopes_supported"][0].as_str().expect("a scope");

    let server = document(&format!("{issuer}/.well-known/oauth-authorization-server"));
    assert_eq!(server["issuer"], issuer);
    let endpoint = server["token_endpoint"].as_str().expect("an endpoint");
    let granted = fetch(endpoint, |path| {
        Request::post(
            path,
            format!("grant_type=client_credentials&resource={url}&scope={scope}"),
        )
        .header("content-type", "application/x-www-form-urlencoded")
    });
    let token = granted.json()["access_token"]
        .as_str()
        .expect("a token")
        .to_owned();
    fetch(url, |path| ask(path).bearer(&token))
}

#[test]
fn a_client_that_knows_only_the_url_gets_in() {
    let issuer = Issuer::start();
    let name = issuer.url("");
    issuer.serve(
        "/.well-known/oauth-authorization-server",
        Answer::json(&json!({"issuer": name, "token_endpoint": issuer.url("/token")})),
    );
    issuer.serve_jwks("/jwks", &[&world().rsa]);
    let granted = token()
        .claims(json!({"iss": name, "aud": AUDIENCE, "scope": "tools:call"}))
        .mint();
    issuer.serve(
        "/token",
        Answer::json(&json!({"access_token": granted, "token_type": "Bearer"})),
    );
    let config = with(
        config(with(local_provider(), json!({"issuer": name}))),
        json!({
            "protected_resource": {
                "resource_from_host": true, "resource_path": "/mcp", "scopes_supported": ["tools:call"],
            },
            "rules": [{
                "match": {"prefix": "/mcp"}, "requires": {"provider_name": "corp"},
                "authorize": {"scopes": {"all": ["tools:call"]}},
            }],
        }),
    );
    let stack = Stack::start_around(issuer, Listener::wasm("jwt", config), &Default::default());
    let url = format!("http://{}/mcp", stack.envoy.addr("jwt"));
    let response = call(&url);
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(response.echo().path, "/mcp");
    assert_eq!(stack.issuer.fetches("/token"), 1);
    assert_eq!(stack.envoy.stat("wasmcustom.jwt.metadata_served"), 1);
    let lines = stack.envoy.wait_for_access_log(3);
    assert!(
        lines[1].starts_with("200 jwt_protected_resource_metadata -"),
        "{lines:?}"
    );
    assert_alive(&stack.envoy);
}
