//! The dynamic metadata of verified tokens, which other filters read.

use serde_json::{Value, json};
use testkit::{Bootstrap, EnvoyProcess, Listener, Request, Upstream, wasm_filter};

use super::assert_alive;
use scenarios::{config, local_provider, token, with};

fn provider() -> Value {
    with(
        local_provider(),
        json!({
            "payload_in_metadata": "claims",
            "normalize_payload_in_metadata": {"space_delimited_claims": ["scope"]},
            "header_in_metadata": "header",
            "failed_status_in_metadata": "failure",
        }),
    )
}

fn start(listener: Listener) -> (EnvoyProcess, Upstream) {
    let upstream = Upstream::start();
    let bootstrap = Bootstrap::new()
        .cluster("upstream", upstream.addr())
        .listener(listener)
        .build();
    (EnvoyProcess::start(&bootstrap), upstream)
}

#[test]
fn other_filters_read_the_claims() {
    // RBAC allows only requests whose claims contain the group in a nested list.
    let rbac = json!({
        "name": "envoy.filters.http.rbac",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
            "rules": {"action": "ALLOW", "policies": {"admins": {
                "permissions": [{"any": true}],
                "principals": [{"metadata": {
                    "filter": "envoy.filters.http.jwt_authn",
                    "path": [{"key": "claims"}, {"key": "realm"}, {"key": "groups"}],
                    "value": {"list_match": {"one_of": {"string_match": {"exact": "admins"}}}},
                }}],
            }}},
        },
    });
    let (envoy, _upstream) = start(
        Listener::new("jwt")
            .filter(wasm_filter(config(provider())))
            .filter(rbac),
    );
    let client = envoy.client("jwt");
    let status = |groups: Value| {
        let token = token().claim("realm", json!({"groups": groups})).mint();
        client.request(Request::get("/").bearer(&token)).status
    };
    assert_eq!(status(json!(["users", "admins"])), 200);
    assert_eq!(status(json!(["users"])), 403);
    assert_eq!(status(json!("admins")), 403, "a text is no list");
    assert_alive(&envoy);
}

#[test]
fn the_access_log_reads_claims_header_and_failure() {
    let log = [
        "claims:sub",
        "claims:scope",
        "claims:level",
        "header:kid",
        "failure:message",
        "failure:code",
    ]
    .map(|path| format!("%DYNAMIC_METADATA(envoy.filters.http.jwt_authn:{path})%"))
    .join(" ");
    let listener = Listener::new("jwt")
        .filter(wasm_filter(config(provider())))
        .access_log(&log);
    let (envoy, _upstream) = start(listener);
    let client = envoy.client("jwt");
    let good = token().claim("scope", "a b").claim("level", 3);
    assert_eq!(client.request(Request::get("/").bearer(&good.mint())).status, 200);
    let expired = token().expires_in(-600).mint();
    assert_eq!(client.request(Request::get("/").bearer(&expired)).status, 401);
    let lines = envoy.wait_for_access_log(2);
    assert!(lines[0].ends_with(r#"["a","b"] 3 rsa-1 - -"#), "{}", lines[0]);
    assert_eq!(lines[1], "- - - - token_expired 16", "{}", lines[1]);
    assert_alive(&envoy);
}
