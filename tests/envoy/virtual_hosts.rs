//! Requirements that a virtual host names for its routes. Only the wasm module can read them; for the native
//! module, Envoy has configurations of virtual hosts.

use serde_json::json;
use testkit::{
    Bootstrap, EnvoyProcess, Listener, Request, Upstream, requirement_metadata, route, route_requirement,
};

use super::assert_alive;
use scenarios::{local_provider, token, with};

#[test]
fn a_virtual_host_names_the_requirement_of_routes_that_name_none() {
    let config = json!({
        "providers": {
            "corp": local_provider(),
            "admin": with(local_provider(), json!({"issuer": "https://admin.example"})),
        },
        "rules": [{"match": {"prefix": "/"}}],
        "requirement_map": {"admin": {"provider_name": "admin"}, "corp": {"provider_name": "corp"}, "open": {}},
    });
    let mut other = route("/other", "upstream");
    other["metadata"] = json!({"filter_metadata": {"proxy-wasm-jwt": {"owner": "billing"}, "other": {"requirement_name": "open"}}});
    let listener = Listener::wasm("jwt", config.clone())
        .route(route_requirement("/corp", "corp"))
        .route(route_requirement("/open", "open"))
        .route(route_requirement("/empty", ""))
        .route(other)
        .route(route("/", "upstream"))
        .virtual_host("metadata", requirement_metadata("admin"));
    let typo = Listener::wasm("typo", config)
        .route(route_requirement("/open", "open"))
        .route(route("/", "upstream"))
        .virtual_host("metadata", requirement_metadata("admn"));
    let upstream = Upstream::start();
    let bootstrap = Bootstrap::new()
        .cluster("upstream", upstream.addr())
        .listener(listener)
        .listener(typo)
        .build();
    let envoy = EnvoyProcess::start(&bootstrap);
    let client = envoy.client("jwt");
    let corp = token().mint();
    let admin = token().claim("iss", "https://admin.example").mint();
    let reason = |path: &str, token: &str| client.request(Request::get(path).bearer(token)).reason();
    for path in ["/orders", "/other"] {
        assert_eq!(
            client.get(path).reason().as_deref(),
            Some("token_missing"),
            "{path}"
        );
        assert_eq!(reason(path, &corp).as_deref(), Some("issuer_unknown"), "{path}");
        assert_eq!(reason(path, &admin), None, "{path}");
    }
    // The route's own requirement takes precedence, whether it is stricter or not.
    assert_eq!(reason("/corp", &corp), None);
    assert_eq!(reason("/corp", &admin).as_deref(), Some("issuer_unknown"));
    assert_eq!(client.get("/open").status, 200);
    assert_eq!(
        reason("/empty", &admin).as_deref(),
        Some("route_requirement_unknown")
    );
    let client = envoy.client("typo");
    assert_eq!(
        client.get("/orders").reason().as_deref(),
        Some("route_requirement_unknown")
    );
    assert_eq!(client.get("/open").status, 200);
    assert_alive(&envoy);
}
