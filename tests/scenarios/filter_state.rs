//! Requests with the filter state that the filter sets for each, on the backends that have filter state.

use serde_json::{Value, json};

use super::dpop::Client;
use super::*;

/// The filter states that are looked at.
pub(crate) const NAMES: [&str; 5] = ["decision", "reason", "rule", "provider", "sub"];

/// A request, and its states in the order of [`NAMES`]; empty: none.
pub(crate) type Told = (Request, [&'static str; 5]);

/// All of it is asked for.
pub(crate) fn config() -> Value {
    let other = json!({"issuer": "https://other.example", "from_headers": [{"name": "x-tok"}]});
    json!({
        "providers": {
            "corp": with(local_provider(), json!({"binding": {"dpop": {}}})),
            "other": with(local_provider(), other),
        },
        "protected_resource": {"resource": "https://api.example.com"},
        "filter_state": {"decision": true, "rule": true, "subject": true},
        "rules": [
            {
                "name": "scoped", "match": {"prefix": "/scoped"}, "authorize": {"scopes": {"all": ["a"]}},
                "requires": {"requires_any": {"requirements": [{"provider_name": "corp"}, {"provider_name": "other"}]}},
            },
            {"name": "all", "match": {"prefix": "/"}, "requires": {"provider_name": "corp"}},
        ],
    })
}

pub(crate) fn list() -> Vec<Told> {
    let alice = token().mint();
    let bob = |scope: &str| {
        let claims = json!({"iss": "https://other.example", "sub": "bob", "scope": scope});
        token().claims(claims).mint()
    };
    let scoped = || get("/scoped").bearer(&alice);
    let client = Client::new(&world().es256);
    let proven = client.request(&client.proof("told", json!({})).mint());
    let bearer = |token: &str| get("/orders").bearer(token);
    vec![
        (bearer(&alice), ["allowed", "", "all", "corp", "alice"]),
        // Who was verified and may not is known; who was not is nobody.
        (
            scoped(),
            ["denied", "scope_insufficient", "scoped", "corp", "alice"],
        ),
        (
            bearer(&token().expires_in(-600).mint()),
            ["denied", "token_expired", "all", "corp", ""],
        ),
        (
            bearer(&testkit::tamper_signature(&alice)),
            ["denied", "signature_invalid", "all", "corp", ""],
        ),
        (get("/scoped"), ["denied", "token_missing", "scoped", "", ""]),
        // Of two, the one that has what is asked for; where neither has, the first.
        (
            scoped().header("x-tok", bob("a")),
            ["allowed", "", "scoped", "other", "bob"],
        ),
        (
            scoped().header("x-tok", bob("b")),
            ["denied", "scope_insufficient", "scoped", "corp", "alice"],
        ),
        (proven.clone(), ["allowed", "", "all", "corp", "alice"]),
        (proven, ["denied", "proof_replayed", "all", "corp", "alice"]),
        (
            get("/.well-known/oauth-protected-resource"),
            ["answered", "", "", "", ""],
        ),
    ]
}
