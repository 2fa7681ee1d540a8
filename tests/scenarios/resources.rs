//! `protected_resource`: RFC 9728 metadata, and challenges that lead to it.

use serde_json::{Value, json};

use super::*;

const PATH: &str = "/.well-known/oauth-protected-resource";

fn protecting(name: &'static str, resource: Value) -> Scenario {
    Scenario::new(
        name,
        with(config(local_provider()), json!({"protected_resource": resource})),
    )
}

fn challenge(error: &str, url: &str) -> ReplyHas {
    ReplyHas::Header(
        "www-authenticate",
        format!("Bearer realm=\"jwt\"{error}, resource_metadata=\"{url}\""),
    )
}

fn header(name: &'static str, value: &str) -> ReplyHas {
    ReplyHas::Header(name, value.to_owned())
}

/// A document with the defaults of one local provider.
fn document(resource: &str) -> ReplyHas {
    ReplyHas::Body(format!(
        "{{\"resource\":\"{resource}\",\"authorization_servers\":[\"{ISSUER}\"],\"bearer_methods_supported\":[\"header\"]}}"
    ))
}

pub(super) fn list() -> Vec<Scenario> {
    let missing = |url: &str| denied("token_missing").reply(challenge("", url));
    vec![
        protecting(
            "a resource says where to get a token",
            json!({
                "resource": "https://API.example.com/mcp", "scopes_supported": ["orders:read", "orders:write"],
                "resource_name": "Orders", "resource_documentation": "https://docs.example.com/orders",
            }),
        )
        .request(
            get(&format!("{PATH}/mcp")),
            answered(200)
                .reply(header("content-type", "application/json"))
                .reply(header("cache-control", "max-age=3600"))
                .reply(header("access-control-allow-origin", "*"))
                .reply(ReplyHas::Body(format!(
                    "{{\"resource\":\"https://api.example.com/mcp\",\"authorization_servers\":[\"{ISSUER}\"],\
                     \"scopes_supported\":[\"orders:read\",\"orders:write\"],\"bearer_methods_supported\":[\"header\"],\
                     \"resource_name\":\"Orders\",\"resource_documentation\":\"https://docs.example.com/orders\"}}"
                ))),
        )
        .request(get(PATH), answered(200))
        .request(get(&format!("{PATH}/mcp?x=1")), answered(200))
        .request(Request::new("HEAD", PATH), answered(200))
        .request(
            Request::new("OPTIONS", PATH).header("origin", "https://app.example"),
            answered(204).reply(header("access-control-allow-origin", "*")),
        )
        .request(
            get(&format!("{PATH}/other")),
            missing("https://api.example.com/.well-known/oauth-protected-resource/mcp"),
        )
        .request(
            Request::new("POST", PATH),
            missing("https://api.example.com/.well-known/oauth-protected-resource/mcp"),
        )
        .request(
            get("/x/../.well-known/oauth-protected-resource"),
            missing("https://api.example.com/.well-known/oauth-protected-resource/mcp"),
        )
        .token(
            token().expires_in(-600).mint(),
            denied("token_expired").reply(challenge(
                ", error=\"invalid_token\", error_description=\"the token has expired\"",
                "https://api.example.com/.well-known/oauth-protected-resource/mcp",
            )),
        )
        .token(token().mint(), forwarded()),
        protecting(
            "other authorization servers than the issuers",
            json!({
                "resource": "https://api.example.com", "authorization_servers": ["https://as.example"],
            }),
        )
        .request(
            get(PATH),
            answered(200).reply(ReplyHas::Body(
                "{\"resource\":\"https://api.example.com\",\"authorization_servers\":[\"https://as.example\"],\
                 \"bearer_methods_supported\":[\"header\"]}"
                    .into(),
            )),
        ),
        protecting(
            "a resource on whatever host it is asked for",
            json!({"resource_from_host": true, "resource_path": "/mcp"}),
        )
        .request(
            get(&format!("{PATH}/mcp"))
                .header("host", "Blue.example:8443")
                .header("x-forwarded-proto", "https"),
            answered(200)
                .reply(header("cache-control", "no-store"))
                .reply(document("https://blue.example:8443/mcp")),
        )
        .request(
            get(&format!("{PATH}/mcp"))
                .header("host", "red.example")
                .header("x-forwarded-proto", "http"),
            answered(200).reply(document("http://red.example/mcp")),
        )
        .request(
            get("/orders")
                .header("host", "red.example")
                .header("x-forwarded-proto", "https"),
            missing("https://red.example/.well-known/oauth-protected-resource/mcp"),
        )
        .request(
            get("/orders").header("host", "user@host").header("x-forwarded-proto", "https"),
            denied("token_missing").reply(header("www-authenticate", "Bearer realm=\"jwt\"")),
        )
        .request(
            get(&format!("{PATH}/mcp")).header("host", "user@host"),
            denied("request_malformed"),
        )
        .request(
            get(&format!("{PATH}/mcp")).header("host", "a..b"),
            denied("request_malformed"),
        )
        .request(
            get(&format!("{PATH}/mcp")).header("host", "[::1]:80"),
            answered(200),
        )
        .request(
            get(&format!("{PATH}/mcp")).header("host", "api.test:99999"),
            denied("request_malformed"),
        ),
        rules(),
        shared(),
        Scenario::new(
            "metadata is answered in shadow mode too",
            with(
                config(local_provider()),
                json!({"mode": "shadow", "protected_resource": {"resource": "https://api.example.com"}}),
            ),
        )
        .request(get(PATH), answered(200).reply(document("https://api.example.com")))
        .request(get("/"), forwarded()),
    ]
}

/// Each rule may protect a resource of its own.
fn rules() -> Scenario {
    let rule = |prefix: &str, provider: &str, resource: &str| {
        json!({
            "match": {"prefix": prefix}, "requires": {"provider_name": provider}, "authorize": {"scopes": {"all": ["a"]}},
            "protected_resource": {"resource": resource, "scopes_supported": ["a"]},
        })
    };
    let other = "https://other.example.com";
    let config = json!({
        "providers": {
            "corp": local_provider(),
            "other": with(local_provider(), json!({"issuer": other, "from_params": ["access_token"]})),
        },
        "protected_resource": {"resource": "https://api.example.com"},
        "rules": [
            rule("/a", "corp", "https://api.example.com/a"),
            rule("/b", "other", "https://api.example.com/b"),
            rule("/c", "other", "https://c.example.com/b"),
            {"match": {"path": "/open"}},
        ],
    });
    let of_rule = |issuer: &str, method: &str, resource: &str| {
        answered(200).reply(ReplyHas::Body(format!(
            "{{\"resource\":\"{resource}\",\"authorization_servers\":[\"{issuer}\"],\"scopes_supported\":[\"a\"],\
             \"bearer_methods_supported\":[\"{method}\"]}}"
        )))
    };
    let missing = |scope: &str, url: &str| denied("token_missing").reply(challenge(scope, url));
    Scenario::new("a rule protects a resource of its own", config)
        .request(
            get(PATH),
            answered(200).reply(ReplyHas::Body(format!(
                "{{\"resource\":\"https://api.example.com\",\"authorization_servers\":[\"{ISSUER}\",\"{other}\"],\
                 \"bearer_methods_supported\":[\"header\",\"query\"]}}"
            ))),
        )
        .request(
            get(&format!("{PATH}/a")),
            of_rule(ISSUER, "header", "https://api.example.com/a"),
        )
        .request(
            get(&format!("{PATH}/b")).header("host", "api.example.com"),
            of_rule(other, "query", "https://api.example.com/b"),
        )
        .request(
            get(&format!("{PATH}/b")).header("host", "C.example.com"),
            of_rule(other, "query", "https://c.example.com/b"),
        )
        .request(
            get("/a"),
            missing(
                ", scope=\"a\"",
                "https://api.example.com/.well-known/oauth-protected-resource/a",
            ),
        )
        .request(
            get("/c"),
            missing(
                ", scope=\"a\"",
                "https://c.example.com/.well-known/oauth-protected-resource/b",
            ),
        )
        .request(
            get("/d"),
            missing("", "https://api.example.com/.well-known/oauth-protected-resource"),
        )
        .request(get("/open"), forwarded())
        .request(
            get("/a").bearer(&token().mint()),
            denied("scope_insufficient").reply(challenge(
                ", error=\"insufficient_scope\", error_description=\"the token lacks a required scope\", scope=\"a\"",
                "https://api.example.com/.well-known/oauth-protected-resource/a",
            )),
        )
}

/// The host of the request selects one of two resources with the same path. Another host gets neither.
fn shared() -> Scenario {
    let rule = |prefix: &str, resource: Value| {
        json!({
            "match": {"prefix": prefix}, "requires": {"provider_name": "corp"}, "protected_resource": resource,
        })
    };
    let at = |host: &str| json!({"resource": format!("https://{host}.example.com/x")});
    let config = with(
        config(local_provider()),
        json!({"rules": [
            rule("/a", at("a")),
            rule("/b", at("b")),
            rule("/c", json!({"resource": "https://c.example.com/y"})),
            rule("/d", json!({"resource_from_host": true, "resource_path": "/y"})),
        ]}),
    );
    let of = |path: &str, host: &str| get(&format!("{PATH}{path}")).header("host", host);
    Scenario::new("resources of two hosts at one path", config)
        .request(
            of("/x", "a.example.com"),
            answered(200).reply(document("https://a.example.com/x")),
        )
        .request(
            of("/x", "b.example.com:8443"),
            answered(200).reply(document("https://b.example.com/x")),
        )
        .request(of("/x", "third.example.com"), denied("token_missing"))
        .request(
            of("/y", "c.example.com"),
            answered(200).reply(document("https://c.example.com/y")),
        )
        .request(
            of("/y", "third.example.com").header("x-forwarded-proto", "https"),
            answered(200).reply(document("https://third.example.com/y")),
        )
}
