//! Replies for clients that do not read JSON: HEAD, gRPC, and browsers with preflight requests.

use serde_json::json;
use testkit::Request;

use super::{Stack, assert_alive};
use scenarios::{config, local_provider, token, with};

fn stack() -> Stack {
    let config = with(
        config(local_provider()),
        json!({
            "bypass_cors_preflight": true,
            "protected_resource": {"resource": "https://api.example.com"},
            "rules": [{
                "match": {"prefix": "/"}, "requires": {"provider_name": "corp"}, "authorize": {"scopes": {"all": ["a"]}},
            }],
        }),
    );
    Stack::start(config)
}

#[test]
fn a_client_of_grpc_reads_its_own_status_and_the_message() {
    let stack = stack();
    let call = |token: &str| {
        let request = Request::post("/pkg.Service/Method", "")
            .header("content-type", "application/grpc+proto")
            .header("te", "trailers");
        stack.client.request(match token {
            "" => request,
            token => request.header("authorization", format!("Bearer {token}")),
        })
    };
    for (token, status, message, challenge) in [
        (
            String::new(),
            "16",
            "the request carries no token",
            "Bearer realm=\"jwt\"",
        ),
        (
            token().expires_in(-600).mint(),
            "16",
            "the token has expired",
            "Bearer realm=\"jwt\", error=\"invalid_token\"",
        ),
        (
            token().mint(),
            "7",
            "the token lacks a required scope",
            "Bearer realm=\"jwt\", error=\"insufficient_scope\"",
        ),
        (
            "a,Bearer b".to_owned(),
            "3",
            "the request carries more than one token",
            "Bearer realm=\"jwt\", error=\"invalid_request\"",
        ),
    ] {
        let response = call(&token);
        assert_eq!(response.status, 200, "gRPC's own status is not HTTP's");
        assert_eq!(response.header("grpc-status").as_deref(), Some(status));
        assert_eq!(response.header("grpc-message").as_deref(), Some(message));
        assert_eq!(
            response.header("content-type").as_deref(),
            Some("application/grpc")
        );
        let seen = response.header("www-authenticate").expect("a challenge");
        assert!(seen.starts_with(challenge), "{seen}");
        assert!(response.body.is_empty());
    }
    // Its clients in browsers read HTTP.
    let web = Request::post("/x", "").header("content-type", "application/grpc-web+proto");
    assert_eq!(stack.client.request(web).status, 401);
    assert_alive(&stack.envoy);
}

#[test]
fn the_answer_to_head_is_that_to_get_without_its_body() {
    let stack = stack();
    for path in ["/orders", "/.well-known/oauth-protected-resource"] {
        let (get, head) = (
            stack.client.get(path),
            stack.client.request(Request::new("HEAD", path)),
        );
        assert_eq!(head.status, get.status);
        assert!(head.body.is_empty() && !get.body.is_empty());
        for name in ["www-authenticate", "content-type", "cache-control"] {
            assert_eq!(head.header(name), get.header(name), "{path} {name}");
        }
    }
    assert_alive(&stack.envoy);
}

#[test]
fn a_browser_may_ask_first() {
    let stack = stack();
    let ask = |method: &str, path: &str| {
        Request::new(method, path)
            .header("origin", "https://app.example")
            .header("access-control-request-method", "GET")
    };
    // The upstream's own answer, or a filter's for CORS before it; with a real request it is another matter.
    let response = stack.client.request(ask("OPTIONS", "/orders"));
    assert_eq!(response.echo().method, "OPTIONS");
    assert_eq!(stack.client.request(ask("GET", "/orders")).status, 401);
    let response = stack
        .client
        .request(ask("OPTIONS", "/.well-known/oauth-protected-resource"));
    assert_eq!(response.status, 204);
    assert_eq!(
        response.header("access-control-allow-origin").as_deref(),
        Some("*")
    );
    assert_alive(&stack.envoy);
}
