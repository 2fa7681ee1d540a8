//! The configuration of a medium-sized gateway: ten issuers, a hundred rules. Every measurement uses it.

use serde_json::{Value, json};

/// The issuer of that number.
pub fn workload_issuer(number: usize) -> String {
    format!("https://idp-{number}.example.com/realms/main")
}

/// A configuration with ten providers, whose keys are all `jwks`, and a hundred rules; the last one is for
/// `/`, and requires a token of the first provider.
pub fn workload(jwks: &Value) -> Value {
    let jwks = jwks.to_string();
    let provider = |number: usize| {
        json!({
            "issuer": workload_issuer(number),
            "audiences": ["orders-api", format!("service-{number}")],
            "local_jwks": {"inline_string": jwks},
            "claim_to_headers": [
                {"claim_name": "sub", "header_name": "x-jwt-sub"},
                {"claim_path": [{"key": "realm_access"}, {"key": "roles"}], "header_name": "x-jwt-roles", "format": "csv"}
            ],
        })
    };
    let providers: serde_json::Map<String, Value> = (0..10)
        .map(|number| (format!("issuer-{number}"), provider(number)))
        .collect();
    let mut rules: Vec<Value> = (0..99).map(rule).collect();
    rules.push(json!({"match": {"prefix": "/"}, "requires": {"provider_name": "issuer-0"}}));
    json!({"providers": providers, "rules": rules})
}

/// One of each usual kind, in turn.
fn rule(number: usize) -> Value {
    let provider = format!("issuer-{}", number % 10);
    let requires = json!({"provider_name": provider});
    match number % 5 {
        0 => json!({"match": {"path": format!("/service-{number}/healthz")}}),
        1 => json!({
            "match": {"prefix": format!("/service-{number}/"), "methods": ["POST", "PUT", "DELETE"]},
            "requires": requires,
            "authorize": {"scopes": {"all": [format!("service-{number}:write")]}},
        }),
        2 => json!({
            "match": {"safe_regex": {"regex": format!("/service-{number}/v[0-9]+/.*")}},
            "requires": requires,
        }),
        3 => json!({
            "match": {"prefix": format!("/service-{number}/"), "hosts": ["*.example.com"]},
            "requires": {"provider_and_audiences": {
                "provider_name": provider, "audiences": [format!("service-{number}")]
            }},
            "authorize": {"claims": [
                {"claim_path": [{"key": "realm_access"}, {"key": "roles"}], "any_of": ["admin", "clerk"]}
            ]},
        }),
        _ => json!({
            "match": {"prefix": format!("/service-{number}/")},
            "requires": {"requires_any": {"requirements": [
                {"provider_name": provider}, {"provider_name": "issuer-9"}
            ]}},
        }),
    }
}
