//! The worked example of `docs/adding-a-scenario.md`.

use serde_json::json;

use super::*;

pub(super) fn list() -> Vec<Scenario> {
    let mut config = config(remote_provider());
    config["rules"] = json!([
        {
            "match": {"prefix": "/orders", "methods": ["DELETE"]},
            "requires": {"provider_name": "corp"},
            "authorize": {"scopes": {"all": ["orders:delete"]}},
        },
        {"match": {"prefix": "/"}, "requires": {"provider_name": "corp"}},
    ]);
    let reader = token().claim("scope", "orders:read").mint();
    let editor = token().claim("scope", "orders:read orders:delete").mint();
    let delete = |token: &str| Request::new("DELETE", "/orders/7").bearer(token);
    vec![
        Scenario::new("a token needs a scope to delete an order", config)
            .token(&reader, forwarded())
            .request(delete(&reader), denied("scope_insufficient"))
            .request(delete(&editor), forwarded().no_header("authorization"))
            .fetches(1),
    ]
}
