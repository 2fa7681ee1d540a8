//! Rules: the requests that need a token.

use serde_json::json;

use super::*;

pub(super) fn list() -> Vec<Scenario> {
    let good = token().mint();
    let partner = token().claim("iss", "https://partner.example").mint();
    let rules = |rules: serde_json::Value| {
        json!({
            "providers": {
                "corp": local_provider(),
                "partner": with(local_provider(), json!({"issuer": "https://partner.example"})),
            },
            "rules": rules,
        })
    };
    let host = |host: &str, path: &str| get(path).header("host", host);

    vec![
        Scenario::new("without rules any provider's token will do", {
            let mut config = rules(json!([]));
            config.as_object_mut().unwrap().remove("rules");
            config
        })
        .token(&good, forwarded())
        .token(&partner, forwarded())
        .request(get("/"), denied("token_missing")),
        Scenario::new(
            "the first rule that matches decides",
            rules(json!([
                {"match": {"path": "/healthz"}},
                {"match": {"prefix": "/partner"}, "requires": {"provider_name": "partner"}},
                {"match": {"prefix": "/"}, "requires": {"provider_name": "corp"}},
            ])),
        )
        .request(get("/healthz"), forwarded())
        .request(get("/healthz?verbose=1"), forwarded())
        .request(get("/healthzz"), denied("token_missing"))
        .request(get("/partner/x").bearer(&partner), forwarded())
        .request(get("/partner/x").bearer(&good), denied("issuer_unknown"))
        .request(get("/orders").bearer(&partner), denied("issuer_unknown"))
        .token(&good, forwarded()),
        Scenario::new("a request that no rule matches needs a token", rules(json!([{"match": {"path": "/healthz"}}])))
            .request(get("/healthz"), forwarded())
            .request(get("/orders"), denied("token_missing"))
            .token(&good, forwarded())
            .token(&partner, forwarded()),
        Scenario::new(
            "a rule that waives the token matches canonical paths only",
            rules(json!([{"match": {"prefix": "/open"}}, {"match": {"path": "/"}}])),
        )
        .request(get("/open/a.b/c;v=1"), forwarded())
        .request(get("/"), forwarded())
        .request(get("/open/../orders"), denied("token_missing"))
        .request(get("/open/./a"), denied("token_missing"))
        .request(get("/open//a"), denied("token_missing"))
        .request(get("/open/%2e%2e/orders"), denied("token_missing"))
        .request(get("/open%2f..%2forders"), denied("token_missing"))
        .request(get("/open/..;/orders"), denied("token_missing"))
        .request(get("/open\\..\\orders"), denied("token_missing"))
        .request(get("/open%5corders"), denied("token_missing"))
        .request(get("/open/../orders").bearer(&good), forwarded()),
        Scenario::new(
            "rules may ask for method and host",
            rules(json!([
                {"match": {"prefix": "/", "methods": ["GET", "HEAD"], "hosts": ["*.public.example", "public.example"]}},
                {"match": {"hosts": ["partner.example"]}, "requires": {"provider_name": "partner"}},
            ])),
        )
        .request(host("public.example", "/x"), forwarded())
        .request(host("A.Public.Example:8080", "/x"), forwarded())
        .request(host("notpublic.example", "/x"), denied("token_missing"))
        .request(Request::post("/x", "body").header("host", "public.example"), denied("token_missing"))
        .request(host("partner.example", "/x").bearer(&good), denied("issuer_unknown"))
        .request(host("partner.example", "/x").bearer(&partner), forwarded())
        .request(host("other.example", "/x").bearer(&good), forwarded()),
        Scenario::new(
            "everything else may be opened in so many words",
            rules(json!([
                {"match": {"prefix": "/admin"}, "requires": {"provider_name": "corp"}},
                {"match": {"prefix": "/"}},
            ])),
        )
        .request(get("/anything"), forwarded())
        .request(get("/admin"), denied("token_missing"))
        .request(get("/x/../admin"), denied("token_missing")),
        Scenario::new(
            "a CORS preflight needs no token where the operator says so",
            with(rules(json!([{"match": {"prefix": "/"}, "requires": {"provider_name": "corp"}}])), json!({
                "bypass_cors_preflight": true,
            })),
        )
        .request(
            Request::new("OPTIONS", "/orders")
                .header("origin", "https://app.example")
                .header("access-control-request-method", "POST"),
            forwarded(),
        )
        .request(Request::new("OPTIONS", "/orders").header("origin", "https://app.example"), denied("token_missing"))
        .request(
            get("/orders").header("origin", "https://app.example").header("access-control-request-method", "POST"),
            denied("token_missing"),
        ),
        Scenario::new(
            "providers that share an issuer are distinguished by their demands",
            json!({"providers": {
                "a": with(local_provider(), json!({"audiences": ["a-api"]})),
                "b": with(local_provider(), json!({"audiences": ["b-api"]})),
            }}),
        )
        .token(token().claim("aud", "a-api").mint(), forwarded())
        .token(token().claim("aud", "b-api").mint(), forwarded())
        .token(token().claim("aud", "c-api").mint(), denied("audience_mismatch")),
    ]
}
