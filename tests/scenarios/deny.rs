//! Matches with several parts, `not`, `deny`, and conditions that apply to tokens only.

use serde_json::{Value, json};

use super::*;

fn with_rules(rules: Value) -> Value {
    json!({"providers": {"corp": local_provider()}, "rules": rules})
}

fn corp() -> Value {
    json!({"provider_name": "corp"})
}

pub(super) fn list() -> Vec<Scenario> {
    let good = token().mint();
    let banned = token().claim("banned", true).mint();
    let forged = testkit::tamper_signature(&good);
    let with_token = |path: &str| get(path).bearer(&good);
    vec![
        Scenario::new(
            "a rule may have several paths",
            with_rules(json!([
                {"match": [{"path": "/healthz"}, {"prefix": "/public/", "methods": ["GET"]}]},
                {"match": {"prefix": "/"}, "requires": corp()},
            ])),
        )
        .request(get("/healthz"), forwarded())
        .request(get("/public/a"), forwarded())
        .request(Request::post("/public/a", "x"), denied("token_missing"))
        .request(get("/orders"), denied("token_missing"))
        // If servers may interpret the path differently, no part of the match bypasses the token.
        .request(get("/public/../orders"), denied("token_missing"))
        .request(get("/public/%2e%2e/orders"), denied("token_missing"))
        .request(get("/healthz/"), denied("token_missing")),
        Scenario::new(
            "a rule may deny paths with spaces or characters beyond ASCII",
            with_rules(json!([
                {"match": {"safe_regex": {"regex": ".*(%20|%[89A-Fa-f]|[^!-~]).*"}}, "deny": true},
                {"match": {"prefix": "/"}},
            ])),
        )
        .request(get("/admin"), forwarded())
        .request(get("/a%2Dz/~b"), forwarded())
        .request(get("/ad%20min"), denied("route_denied"))
        .request(get("/adm%C3%A9in"), denied("route_denied"))
        .request(get("/adm%c3%a9in"), denied("route_denied")),
        Scenario::new(
            "what not excludes is left to the next rule",
            with_rules(json!([
                {"match": {"prefix": "/", "not": [{"prefix": "/admin"}, {"methods": ["DELETE"]}]}},
                {"match": {"prefix": "/"}, "requires": corp()},
            ])),
        )
        .request(get("/orders"), forwarded())
        .request(get("/admin"), denied("token_missing"))
        .request(with_token("/admin"), forwarded())
        .request(get("/%61dmin"), denied("token_missing"))
        .request(get("/x/../admin"), denied("token_missing"))
        .request(get("/x;a=b/../admin"), denied("token_missing"))
        .request(get("/orders%2f..%2fadmin"), denied("token_missing"))
        .request(
            Request::new("DELETE", "/orders"),
            denied("token_missing"),
        ),
        Scenario::new(
            "not looks at header fields and parameters too",
            with_rules(json!([
                {"match": {"prefix": "/", "not": {"headers": [{"name": "x-env", "string_match": {"exact": "prod"}}]}}},
                {"match": {"prefix": "/"}, "requires": corp()},
            ])),
        )
        .request(get("/"), forwarded())
        .request(get("/").header("x-env", "test"), forwarded())
        .request(get("/").header("x-env", "prod"), denied("token_missing"))
        .request(get("/").header("x-env", "test").header("x-env", "prod"), denied("token_missing")),
        Scenario::new(
            "a rule may refuse whatever the token",
            with_rules(json!([
                {"match": {"path_separated_prefix": "/internal"}, "deny": true},
                {"match": {"path": "/healthz"}},
                {"match": {"prefix": "/"}, "requires": corp()},
            ])),
        )
        .request(
            get("/internal/metrics"),
            denied("route_denied")
                .reply(ReplyHas::NoHeader("www-authenticate"))
                .reply(ReplyHas::Body(
                    r#"{"error_description":"this request is not allowed","reason":"route_denied"}"#.to_owned(),
                )),
        )
        .request(with_token("/internal"), denied("route_denied"))
        .request(with_token("/internals"), forwarded())
        // Servers may interpret these as the same path.
        .request(with_token("/%69nternal/metrics"), denied("route_denied"))
        .request(with_token("/orders/../internal"), denied("route_denied"))
        .request(with_token("/orders//internal"), forwarded())
        .request(get("/healthz"), forwarded()),
        Scenario::new(
            "what a rule denies is counted only in shadow mode",
            with_rules(json!([
                {"match": {"prefix": "/internal"}, "deny": true, "mode": "shadow"},
                {"match": {"prefix": "/"}, "requires": corp()},
            ])),
        )
        .request(get("/internal"), forwarded())
        .request(get("/orders"), denied("token_missing")),
        Scenario::new(
            "no token, or one of somebody who is not banned",
            with_rules(json!([{
                "match": {"prefix": "/"},
                "requires": {"allow_missing": {}},
                "authorize": {
                    "optional": true,
                    "claims": [{"claim_name": "banned", "exists": false}],
                },
            }])),
        )
        .request(get("/news"), forwarded())
        .request(with_token("/news"), forwarded())
        .request(get("/news").bearer(&banned), denied("claim_rejected"))
        .request(get("/news").bearer(&forged), denied("signature_invalid"))
        // Such a path needs a token, and the token has to meet the conditions.
        .request(get("/a/../news"), denied("token_missing"))
        .request(get("/a/../news").bearer(&banned), denied("claim_rejected"))
        .request(with_token("/a/../news"), forwarded()),
        Scenario::new(
            "a bad token counts as none, and a good one has to meet the conditions",
            with_rules(json!([{
                "match": {"prefix": "/"},
                "requires": {"allow_missing_or_failed": {}},
                "authorize": {
                    "optional": true,
                    "claims": [{"claim_name": "banned", "exists": false}],
                },
            }])),
        )
        .request(get("/news"), forwarded())
        .request(get("/news").bearer(&forged), forwarded())
        .request(get("/news").bearer(&banned), denied("claim_rejected"))
        .request(with_token("/news"), forwarded()),
        Scenario::new(
            "conditions are for everybody unless they are optional",
            with_rules(json!([{
                "match": {"prefix": "/"},
                "requires": {"allow_missing": {}},
                "authorize": {"claims": [{"claim_name": "banned", "exists": false}]},
            }])),
        )
        .request(get("/news"), denied("token_missing"))
        .request(with_token("/news"), forwarded()),
    ]
}
