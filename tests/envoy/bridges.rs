//! Claims for other filters without dynamic metadata, as docs/coming-from-jwt_authn.md describes: the test
//! runs the blocks of that page.

use serde_json::{Value, json};
use testkit::{
    Bootstrap, EnvoyProcess, Listener, Request, Response, Upstream, load_yaml, wasm_filter, workspace_root,
};

use super::assert_alive;
use scenarios::{config, local_provider, token, with};

/// The filters of the page's blocks, in its order: those that hold all of these words.
fn shown(words: &[&str]) -> Vec<Value> {
    let page =
        std::fs::read_to_string(workspace_root().join("docs/coming-from-jwt_authn.md")).expect("the page");
    let (_, section) = page
        .split_once("\n## Filters that read claims\n")
        .expect("the section");
    let section = section.split("\n## ").next().expect("its text");
    let blocks = section
        .split("```yaml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next());
    let found: Vec<Value> = blocks
        .filter(|block| words.iter().all(|word| block.contains(word)))
        .flat_map(|block| {
            load_yaml(block)
                .expect("YAML")
                .as_array()
                .expect("filters")
                .clone()
        })
        .collect();
    assert!(!found.is_empty(), "the page has no block with {words:?}");
    found
}

/// An Envoy with this filter, then those.
fn start(filters: Vec<Value>) -> (EnvoyProcess, Upstream) {
    let claims = json!([
        {"claim_name": "sub", "header_name": "x-jwt-sub"},
        {"claim_name": "scope", "header_name": "x-jwt-scope"},
    ]);
    let config = with(
        config(with(local_provider(), json!({"claim_to_headers": claims}))),
        json!({
            "filter_state": {"subject": true},
            "rules": [{"match": {"path": "/open"}}, {"match": {"prefix": "/"}, "requires": {"provider_name": "corp"}}],
        }),
    );
    let upstream = Upstream::start();
    let listener = filters
        .into_iter()
        .fold(Listener::new("jwt").filter(wasm_filter(config)), Listener::filter);
    let bootstrap = Bootstrap::new()
        .cluster("upstream", upstream.addr())
        .listener(listener)
        .build();
    (EnvoyProcess::start(&bootstrap), upstream)
}

fn of(path: &str, sub: &str) -> Request {
    Request::get(path).bearer(&token().claim("sub", sub).mint())
}

/// RBAC allows only Alice, with any headers of the client.
fn only_alice_passes(envoy: &EnvoyProcess) {
    let client = envoy.client("jwt");
    let is_denied_by_rbac = |response: &Response| response.status == 403 && response.text().contains("RBAC");
    assert_eq!(
        client.request(of("/orders", "alice")).status,
        200,
        "{}",
        envoy.log()
    );
    for request in [
        of("/orders", "bob"),
        of("/orders", "bob").header("x-jwt-sub", "alice"),
        Request::get("/open"),
        Request::get("/open").header("x-jwt-sub", "alice"),
        // A bypassed request has no identity.
        of("/open", "alice"),
    ] {
        let response = client.request(request.clone());
        assert!(is_denied_by_rbac(&response), "{request:?}: {}", response.text());
    }
    assert_eq!(client.get("/orders").reason().as_deref(), Some("token_missing"));
    assert_alive(envoy);
}

#[test]
fn rbac_reads_the_subject_from_filter_state() {
    let (envoy, _upstream) = start(shown(&["rbac", "wasm.jwt.sub"]));
    only_alice_passes(&envoy);
}

#[test]
fn rbac_reads_the_old_namespace_behind_header_to_metadata() {
    let filters = [
        shown(&["header_to_metadata"]),
        shown(&["rbac", "path: [{key: sub}]"]),
    ]
    .concat();
    let (envoy, _upstream) = start(filters);
    only_alice_passes(&envoy);
}

#[test]
fn rbac_needs_no_change_behind_lua() {
    let mut rbac = shown(&["rbac", "path: [{key: sub}]"]);
    let path = "/typed_config/rules/policies/alice/principals/0/metadata/path";
    *rbac[0].pointer_mut(path).expect("the path") = json!([{"key": "jwt_payload"}, {"key": "sub"}]);
    let (envoy, _upstream) = start([shown(&["dynamicMetadata():set"]), rbac].concat());
    only_alice_passes(&envoy);
}

#[test]
fn a_rate_limit_is_each_users_own_behind_header_to_metadata() {
    let (envoy, upstream) = start([shown(&["header_to_metadata"]), shown(&["local_ratelimit"])].concat());
    let client = envoy.client("jwt");
    let statuses = |sub: &str, count: usize| -> Vec<u16> {
        let requests = (0..count).map(|_| of("/orders", sub).header("x-jwt-sub", "somebody"));
        requests.map(|request| client.request(request).status).collect()
    };
    assert_eq!(statuses("alice", 4), [200, 200, 429, 429], "{}", envoy.log());
    assert_eq!(statuses("bob", 3), [200, 200, 429]);
    assert_eq!(upstream.count(), 4);
    assert_alive(&envoy);
}

#[test]
fn lua_reads_filter_state_and_the_old_namespace() {
    let (envoy, _upstream) = start([shown(&["header_to_metadata"]), shown(&["filterState()"])].concat());
    let client = envoy.client("jwt");
    let seen = |request: Request| {
        let echo = client.request(request).echo();
        ["x-from-state", "x-from-metadata"].map(|name| echo.header(name).unwrap_or_default().to_owned())
    };
    assert_eq!(
        seen(of("/orders", "alice")),
        ["alice", "alice"],
        "{}",
        envoy.log()
    );
    let forged = Request::get("/open").header("x-jwt-sub", "root");
    assert_eq!(seen(forged), ["nobody", "nobody"]);
    assert_alive(&envoy);
}

#[test]
fn the_roll_out_of_the_page_opens_nothing_at_any_step() {
    let upstream = Upstream::start();
    let corp = local_provider();
    let rules = json!([{"match": {"prefix": "/"}, "requires": {"provider_name": "corp"}}]);
    let native = json!({
        "name": "envoy.filters.http.jwt_authn",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
            "providers": {"corp": corp.clone()},
            "rules": rules.clone(),
        },
    });
    let ours = |fields: Value, mode: &str| json!({"providers": {"corp": with(corp.clone(), fields)}, "rules": rules.clone(), "mode": mode});
    let steps = [
        ("tried", ours(json!({}), "shadow"), true),
        ("both", ours(json!({"forward": true}), "enforce"), true),
        ("swapped", ours(json!({}), "enforce"), false),
    ];
    let mut bootstrap = Bootstrap::new().cluster("upstream", upstream.addr());
    for (name, config, keeps_native) in &steps {
        let listener = Listener::new(name).filter(wasm_filter(config.clone()));
        bootstrap = bootstrap.listener(match keeps_native {
            true => listener.filter(native.clone()),
            false => listener,
        });
    }
    let envoy = EnvoyProcess::start(&bootstrap.build());
    for (name, ..) in &steps {
        let client = envoy.client(name);
        assert_eq!(client.request(of("/orders", "alice")).status, 200, "{name}");
        assert_eq!(client.get("/orders").status, 401, "{name}");
        let bad = Request::get("/orders").bearer(&token().expires_in(-600).mint());
        assert_eq!(client.request(bad).status, 401, "{name}");
    }
    assert_eq!(upstream.count(), steps.len());
    assert_alive(&envoy);
}
