//! Metadata of routes and filter state of other filters as input, and filter state as output.

use serde_json::{Value, json};
use testkit::{
    Bootstrap, EnvoyProcess, Issuer, Listener, Request, Upstream, WasmFilter, route, route_requirement,
    wasm_filter,
};

use super::assert_alive;
use scenarios::{config, local_provider, token, with};

/// An Envoy with this listener, and an upstream.
fn start(listener: Listener) -> (EnvoyProcess, Upstream) {
    let upstream = Upstream::start();
    let bootstrap = Bootstrap::new()
        .cluster("upstream", upstream.addr())
        .cluster("other", upstream.addr())
        .cluster("issuer", Issuer::start().addr())
        .listener(listener)
        .build();
    (EnvoyProcess::start(&bootstrap), upstream)
}

fn two_providers() -> Value {
    json!({
        "corp": local_provider(),
        "admin": with(local_provider(), json!({"issuer": "https://admin.example"})),
    })
}

#[test]
fn a_route_names_its_requirement() {
    let config = json!({
        "providers": two_providers(),
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "corp"}}],
        "requirement_map": {
            "admin": {"provider_name": "admin"}, "open": {}, "tried": {"provider_name": "admin", "mode": "shadow"},
        },
    });
    let listener = Listener::wasm("jwt", config)
        .route(route_requirement("/admin", "admin"))
        .route(route_requirement("/open", "open"))
        .route(route_requirement("/tried", "tried"))
        .route(route_requirement("/typo", "admn"))
        .route(route("/", "upstream"));
    let (envoy, upstream) = start(listener);
    let client = envoy.client("jwt");
    let corp = token().mint();
    let admin = token().claim("iss", "https://admin.example").mint();
    let status = |path: &str, token: Option<&str>| {
        let request = Request::get(path);
        let response = client.request(match token {
            Some(token) => request.bearer(token),
            None => request,
        });
        (response.status, response.reason().unwrap_or_default())
    };
    assert_eq!(status("/admin", Some(&admin)).0, 200);
    assert_eq!(status("/admin", Some(&corp)), (401, "issuer_unknown".to_owned()));
    assert_eq!(status("/orders", Some(&corp)).0, 200);
    assert_eq!(
        status("/orders", Some(&admin)),
        (401, "issuer_unknown".to_owned())
    );
    assert_eq!(status("/open", None).0, 200);
    assert_eq!(status("/tried", None).0, 200);
    for path in ["/open/../admin", "/open/..%3b/admin", "/tried/../admin"] {
        assert_eq!(status(path, None), (401, "token_missing".to_owned()), "{path}");
    }
    let before = upstream.count();
    assert_eq!(
        status("/typo", Some(&corp)),
        (500, "route_requirement_unknown".to_owned())
    );
    assert_eq!(upstream.count(), before);
    assert_alive(&envoy);
}

#[test]
fn another_filter_names_the_requirement() {
    let config = json!({
        "providers": two_providers(),
        "rules": [{"match": {"path": "/ruled"}, "requires": {"provider_name": "corp"}}],
        "filter_state_rules": {"name": "jwt_selector", "requires": {"admins": {"provider_name": "admin"}, "none": {}}},
    });
    let set_state = json!({
        "name": "envoy.filters.http.set_filter_state",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config",
            "on_request_headers": [{
                "object_key": "jwt_selector",
                "factory_key": "envoy.string",
                "format_string": {"text_format_source": {"inline_string": "%REQ(x-selector)%"}}
            }]
        }
    });
    let listener = Listener::new("jwt").filter(set_state).filter(wasm_filter(config));
    let (envoy, _upstream) = start(listener);
    let client = envoy.client("jwt");
    let admin = token().claim("iss", "https://admin.example").mint();
    let reason = |request: Request| client.request(request).reason();
    let selected = |word: &str| Request::get("/x").header("x-selector", word);
    assert_eq!(reason(selected("admins").bearer(&admin)), None);
    assert_eq!(
        reason(selected("admins").bearer(&token().mint())).as_deref(),
        Some("issuer_unknown")
    );
    assert_eq!(reason(selected("none")), None);
    // jwt_authn lets a word through that is not in its list; here the default holds.
    assert_eq!(reason(selected("unheard-of")).as_deref(), Some("token_missing"));
    let ruled = Request::get("/ruled").header("x-selector", "none");
    assert_eq!(reason(ruled).as_deref(), Some("token_missing"));
    assert_alive(&envoy);
}

#[test]
fn claims_choose_the_route_and_are_left_in_filter_state() {
    let provider = with(
        local_provider(),
        json!({
            "claim_to_headers": [{"claim_name": "tenant", "header_name": "x-tenant"}],
            "clear_route_cache": true,
            "payload_in_metadata": "claims",
            "normalize_payload_in_metadata": {"space_delimited_claims": ["scope"]},
            "header_in_metadata": "header",
            "failed_status_in_metadata": "failure",
        }),
    );
    let mut to_other = route("/", "other");
    to_other["match"]["headers"] = json!([{"name": "x-tenant", "string_match": {"exact": "blue"}}]);
    let listener = Listener::new("jwt")
        .filter(WasmFilter::new(config(provider)).build())
        .route(to_other)
        .route(route("/", "upstream"))
        .access_log(
            "%UPSTREAM_CLUSTER% %FILTER_STATE(wasm.jwt.provider:PLAIN)% %FILTER_STATE(wasm.jwt.metadata.claims:PLAIN)% \
             %FILTER_STATE(wasm.jwt.metadata.header:PLAIN)% %FILTER_STATE(wasm.jwt.metadata.failure:PLAIN)%",
        );
    let (envoy, _upstream) = start(listener);
    let client = envoy.client("jwt");
    let blue = token().raw_payload(
        format!(
            r#"{{"iss":"{}","aud":"{}","exp":9999999999,"tenant":"blue","scope":"a b"}}"#,
            scenarios::ISSUER,
            scenarios::AUDIENCE
        )
        .as_bytes(),
    );
    assert_eq!(client.request(Request::get("/").bearer(&blue.mint())).status, 200);
    assert_eq!(
        client
            .request(
                Request::get("/")
                    .bearer(&token().mint())
                    .header("x-tenant", "blue")
            )
            .status,
        200
    );
    assert_eq!(
        client
            .request(Request::get("/").bearer(&token().expires_in(-600).mint()))
            .status,
        401
    );
    let lines = envoy.wait_for_access_log(3);
    assert!(lines[0].starts_with("other corp {"), "{}", lines[0]);
    assert!(
        lines[0].contains(r#""tenant":"blue","scope":["a","b"]"#),
        "{}",
        lines[0]
    );
    assert!(lines[0].contains(r#""kid":"rsa-1""#), "{}", lines[0]);
    assert!(
        lines[1].starts_with("upstream corp {"),
        "a client chose its route: {}",
        lines[1]
    );
    assert!(lines[2].ends_with("- - token_expired"), "{}", lines[2]);
    assert_alive(&envoy);
}

#[test]
fn a_route_that_names_a_requirement_is_refused_where_there_are_none() {
    let config = json!({"providers": two_providers(), "rules": [{"match": {"prefix": "/"}}]});
    let listener = Listener::wasm("jwt", config)
        .route(route_requirement("/admin", "admin"))
        .route(route("/", "upstream"));
    let (envoy, upstream) = start(listener);
    let client = envoy.client("jwt");
    assert_eq!(client.get("/orders").status, 200);
    let refused = client.get("/admin");
    assert_eq!(
        (refused.status, refused.reason().as_deref()),
        (500, Some("route_requirement_unknown"))
    );
    assert_eq!(upstream.count(), 1);
}
