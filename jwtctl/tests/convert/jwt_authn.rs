//! Configurations of jwt_authn, and the settings of its routes.

use serde_json::{Value, json};
use testkit::{Listener, SigningKey, Upstream, jwks, route};

use crate::clients::{CORP, Keys, OTHER, compare, converted, started};
use crate::common::jwtctl_with;

pub(crate) fn authn_listener(authn: &Value, routes: Vec<Value>) -> Value {
    let mut config = authn.clone();
    config["@type"] =
        "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication".into();
    let filter = json!({"name": "envoy.filters.http.jwt_authn", "typed_config": config});
    let listener = Listener::new("in").filter(filter);
    routes.into_iter().fold(listener, Listener::route).build()
}

fn per_route(path: &str, setting: Value) -> Value {
    let mut route = route(path, "upstream");
    let mut setting = setting;
    setting["@type"] = "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig".into();
    route["typed_per_filter_config"] = json!({"envoy.filters.http.jwt_authn": setting});
    route
}

fn providers(keys: &Keys) -> Value {
    let local = |key: &SigningKey| json!({"inline_string": jwks(&[key]).to_string()});
    json!({
        "corp": {"issuer": CORP, "audiences": ["orders-api"], "local_jwks": local(&keys.corp)},
        "other": {"issuer": OTHER, "local_jwks": local(&keys.other), "forward": true},
    })
}

#[test]
fn jwt_authn_and_its_conversion_let_the_same_requests_pass() {
    let keys = Keys::new();
    let upstream = Upstream::start();
    let any = |names: &[&str]| {
        let all: Vec<Value> = names.iter().map(|name| json!({"provider_name": name})).collect();
        json!({"requires_any": {"requirements": all}})
    };
    let configs = [
        json!({"providers": providers(&keys)}),
        json!({"providers": providers(&keys), "rules": [
            {"match": {"path": "/healthz"}},
            {"match": {"prefix": "/admin"}, "requires": {"provider_name": "corp"}},
            {"match": {"prefix": "/both"}, "requires": any(&["corp", "other"])},
            {"match": {"prefix": "/opt"}, "requires": {"requires_any": {"requirements": [{"provider_name": "corp"}, {"allow_missing": {}}]}}},
            {"match": {"prefix": "/lax"}, "requires": {"requires_any": {"requirements": [{"provider_name": "corp"}, {"allow_missing_or_failed": {}}]}}},
            {"match": {"safe_regex": {"regex": "/v[0-9]+/.*"}, "headers": [{"name": ":method", "string_match": {"exact": "POST"}}]}, "requires": {"provider_and_audiences": {"provider_name": "corp", "audiences": ["billing"]}}},
        ]}),
        json!({"providers": providers(&keys), "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "corp"}}],
            "requirement_map": {"other": {"provider_name": "other"}, "open": {"provider_name": "corp"}}}),
    ];
    let requests = [
        ("GET", "/"),
        ("GET", "/healthz"),
        ("GET", "/healthzx"),
        ("GET", "/admin"),
        ("POST", "/admin/x"),
        ("GET", "/both"),
        ("GET", "/opt/x"),
        ("GET", "/lax"),
        ("GET", "/v1/x"),
        ("POST", "/v1/x"),
        ("GET", "/named/x"),
        ("GET", "/free/x"),
    ];
    for config in configs {
        let routes = match config.get("requirement_map") {
            Some(_) => vec![
                per_route("/named", json!({"requirement_name": "other"})),
                per_route("/free", json!({"disabled": true})),
                route("/", "upstream"),
            ],
            None => vec![route("/", "upstream")],
        };
        let listener = authn_listener(&config, routes);
        let (_original, before) = started(listener.clone(), &upstream);
        let (_converted, after) = started(converted(&listener.to_string(), &[]), &upstream);
        let (allowed, denied) = compare(&before, &after, &keys, &requests);
        assert!(allowed > 20, "only {allowed} were allowed, {denied} denied");
    }
}

#[test]
fn settings_of_routes_move_into_metadata_and_leave_nothing_behind() {
    let keys = Keys::new();
    let authn = json!({
        "providers": providers(&keys),
        "requirement_map": {"admin": {"provider_name": "corp"}},
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "other"}}],
    });
    let mut listener = authn_listener(
        &authn,
        vec![
            per_route("/a", json!({"requirement_name": "admin"})),
            route("/b", "upstream"),
        ],
    );
    let config = &mut listener["filter_chains"][0]["filters"][0]["typed_config"];
    let setting = json!({"@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig", "disabled": true});
    config["route_config"]["virtual_hosts"][0]["typed_per_filter_config"] =
        json!({"envoy.filters.http.jwt_authn": setting, "other": {"x": 1}});
    let after = converted(&listener.to_string(), &[]);
    let host = &after["filter_chains"][0]["filters"][0]["typed_config"]["route_config"]["virtual_hosts"][0];
    let name = |number: usize| {
        host["routes"][number]["metadata"]["filter_metadata"]["proxy-wasm-jwt"]["requirement_name"].clone()
    };
    assert_eq!((name(0), name(1)), (json!("admin"), json!("open")));
    assert_eq!(host["typed_per_filter_config"], json!({"other": {"x": 1}}));
    assert!(host["routes"][0].get("typed_per_filter_config").is_none());
    let bare = converted(&listener.to_string(), &["--bare"]);
    assert_eq!(
        bare["requirement_map"],
        json!({"admin": {"provider_name": "corp"}, "open": {}})
    );
    let unknown = listener
        .to_string()
        .replace("\"requirement_name\":\"admin\"", "\"requirement_name\":\"admn\"");
    assert_eq!(jwtctl_with(&["convert", "-"], &unknown).code, 1);
}

#[test]
fn each_value_says_where_it_comes_from() {
    let keys = Keys::new();
    let text = authn_listener(
        &json!({"providers": providers(&keys)}),
        vec![route("/", "upstream")],
    )
    .to_string();
    let ran = jwtctl_with(&["convert", "-", "--bare", "--map"], &text);
    assert!(
        ran.out.contains("# providers.corp.issuer: <stdin>:1:"),
        "{}",
        ran.out
    );
    assert!(ran.out.contains("# rules[0].match.prefix: added"), "{}", ran.out);
}

#[test]
fn several_filters_of_a_file_and_the_names_in_routes_have_origins_of_their_own() {
    let authn = |issuer: &str| {
        let keys = json!({"http_uri": {"uri": "https://a.example/keys", "cluster": "idp", "timeout": "1s"}});
        json!({
            "providers": {"corp": {"issuer": issuer, "audiences": ["a"], "remote_jwks": keys}},
            "requirement_map": {"admin": {"provider_name": "corp"}},
        })
    };
    let routes = vec![
        per_route("/a", json!({"requirement_name": "admin"})),
        per_route("/b", json!({"disabled": true})),
    ];
    let both = json!({"static_resources": {"listeners": [
        authn_listener(&authn("https://one.example"), routes),
        authn_listener(&authn("https://two.example"), vec![]),
    ]}});
    let text = format!("{both:#}");
    let place = |part: &str| {
        let line = text
            .lines()
            .position(|line| line.contains(part))
            .expect("the part");
        format!("<stdin>:{}:", line + 1)
    };
    let ran = jwtctl_with(&["convert", "-", "--map"], &text);
    assert_eq!(ran.code, 0);
    // One document, which Envoy can load, and comments.
    let document = testkit::load_yaml(&ran.out).expect("one document");
    assert_eq!(
        document["static_resources"]["listeners"].as_array().map(Vec::len),
        Some(2)
    );
    let comments: Vec<&str> = ran.out.lines().filter(|line| line.starts_with('#')).collect();
    let titles = comments
        .iter()
        .filter(|line| line.starts_with("# jwt_authn in <stdin>, line "));
    assert_eq!(titles.count(), 2, "{comments:#?}");
    let has = |path: &str, place: &str| {
        let mut found = comments.iter().filter(|line| line.contains(path));
        assert!(
            found.any(|line| line.contains(place)),
            "{path} {place}: {comments:#?}"
        );
    };
    has("providers.corp.issuer: ", &place("https://one.example"));
    has("providers.corp.issuer: ", &place("https://two.example"));
    has("requirement_map.open: ", &place("\"disabled\""));
    has(
        "routes[0].metadata.filter_metadata.proxy-wasm-jwt.requirement_name: ",
        &place("\"requirement_name\""),
    );
    has(
        "routes[1].metadata.filter_metadata.proxy-wasm-jwt.requirement_name: ",
        &place("\"disabled\""),
    );
    let bare = jwtctl_with(&["convert", "-", "--bare"], &text);
    assert_eq!(
        bare.out.matches("# jwt_authn in <stdin>, line ").count(),
        2,
        "{}",
        bare.out
    );
    assert_eq!(bare.out.matches("\nproviders:").count(), 2, "{}", bare.out);
}
