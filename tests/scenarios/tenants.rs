//! `issuer_claims`: one provider for all tenants of an issuer, and several issuers that share a `kid`.

use serde_json::json;

use super::*;

const TENANT: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";

pub(super) fn list() -> Vec<Scenario> {
    let of = |issuer: &str, tenant: &str| {
        let issuer = format!("https://login.example.com/{issuer}/v2.0");
        token().claims(json!({"iss": issuer, "tid": tenant})).mint()
    };
    let tenants = with(
        local_provider(),
        json!({
            "issuer": "https://login.example.com/{tenantid}/v2.0",
            "issuer_claims": {"tenantid": "tid"},
            "claim_to_headers": [{"claim_name": "tid", "header_name": "x-tenant"}],
        }),
    );
    let unnamed = token().claim("iss", format!("https://login.example.com/{TENANT}/v2.0"));
    let long = "a".repeat(129);
    // The same `kid`, another key.
    let impostor = world().rsa_next.with_kid(Some("rsa-1"));
    let of_issuer = |issuer: &str, key: &SigningKey| {
        let keys = testkit::jwks(&[key]).to_string();
        with(
            local_provider(),
            json!({"issuer": issuer, "local_jwks": {"inline_string": keys}}),
        )
    };
    let (a, b) = ("https://a.example", "https://b.example");
    let signed = |issuer: &str, key: &SigningKey| token_of(key).claim("iss", issuer).mint();
    vec![
        Scenario::new("an issuer has many tenants", config(tenants.clone()))
            .token(of(TENANT, TENANT), forwarded().header("x-tenant", TENANT))
            .token(of("blue", "blue"), forwarded())
            .token(of("blue", "red"), denied("issuer_unknown"))
            .token(of("blue", "Blue"), denied("issuer_unknown"))
            .token(unnamed.mint(), denied("issuer_unknown"))
            .token(unnamed.claim("tid", 7).mint(), denied("issuer_unknown"))
            .token(of("{tenantid}", "{tenantid}"), denied("issuer_unknown"))
            .token(of("..", ".."), denied("issuer_unknown"))
            .token(of("", ""), denied("issuer_unknown"))
            .token(of("a/b", "a/b"), denied("issuer_unknown"))
            .token(of(&long, &long), denied("issuer_unknown"))
            .token(
                testkit::tamper_claims(&of("blue", "blue"), |claims| {
                    claims["iss"] = "https://login.example.com/red/v2.0".into();
                    claims["tid"] = "red".into();
                }),
                denied("signature_invalid"),
            ),
        Scenario::new(
            "one tenant of many has a provider of its own, with the same keys",
            json!({
                "providers": {"all": tenants, "blue": with(local_provider(), json!({
                    "issuer": "https://login.example.com/blue/v2.0",
                    "audiences": ["blue-api"],
                }))},
            }),
        )
        .token(of("blue", "blue"), forwarded().header("x-tenant", "blue"))
        .token(
            token()
                .claims(json!({"iss": "https://login.example.com/blue/v2.0", "aud": "blue-api"}))
                .mint(),
            forwarded(),
        )
        .token(
            token()
                .claims(json!({"iss": "https://login.example.com/red/v2.0", "aud": "blue-api", "tid": "red"}))
                .mint(),
            denied("audience_mismatch"),
        ),
        Scenario::new(
            "the same kid at two issuers is never taken for one key",
            json!({
                "providers": {"a": of_issuer(a, &world().rsa), "b": of_issuer(b, &impostor)},
                "rules": [{"match": {"prefix": "/"}, "requires": {"requires_any": {"requirements": [
                    {"provider_name": "a"}, {"provider_name": "b"},
                ]}}}],
            }),
        )
        .token(signed(a, &world().rsa), forwarded())
        .token(signed(b, &impostor), forwarded())
        .token(signed(a, &impostor), denied("signature_invalid"))
        .token(signed(b, &world().rsa), denied("signature_invalid")),
    ]
}
