//! The filter's configuration on a route, a virtual host or a route configuration
//! (`typed_per_filter_config`).

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use testkit::{
    Bootstrap, EnvoyOptions, EnvoyProcess, Listener, Request, Upstream, native_module_path, route,
    route_requirement, wasm_filter,
};

use super::assert_alive;
use scenarios::{local_provider, token, with};

const ADMIN: &str = "https://admin.example";

fn of_route(config: Value) -> Value {
    of_module(&native_module_path(), config)
}

fn of_module(module: &Path, config: Value) -> Value {
    json!({"jwt": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilterPerRoute",
        "dynamic_module_config": {
            "module": {"local": {"filename": module}},
            "do_not_close": true,
        },
        "filter_name": "jwt",
        "filter_config": {"@type": "type.googleapis.com/google.protobuf.Struct", "value": config},
    }})
}

fn with_config(mut route: Value, config: Value) -> Value {
    route["typed_per_filter_config"] = of_route(config);
    route
}

fn filter() -> Value {
    let corp = with(
        local_provider(),
        json!({"claim_to_headers": [{"claim_name": "sub", "header_name": "x-jwt-sub"}]}),
    );
    let mut filter = wasm_filter(json!({
        "providers": {"corp": corp, "admin": with(local_provider(), json!({"issuer": ADMIN}))},
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "corp"}}],
        "requirement_map": {"admin": {"provider_name": "admin"}, "open": {}},
    }));
    filter["name"] = "jwt".into();
    filter
}

fn bootstrap(listener: Value, upstream: &Upstream) -> Value {
    Bootstrap::new()
        .cluster("upstream", upstream.addr())
        .listener_value(listener)
        .build()
}

#[test]
fn a_route_has_a_configuration_of_its_own() {
    let upstream = Upstream::start();
    let listener = Listener::new("jwt")
        .filter(filter())
        .route(with_config(
            route("/admin", "upstream"),
            json!({"requirement_name": "admin"}),
        ))
        .route(with_config(
            route("/open", "upstream"),
            json!({"requirement_name": "open"}),
        ))
        .route(with_config(route("/off", "upstream"), json!({"disabled": true})))
        .route(with_config(
            route("/typo", "upstream"),
            json!({"requirement_name": "admn"}),
        ))
        // The route's configuration counts before its metadata.
        .route(with_config(
            route_requirement("/both", "open"),
            json!({"requirement_name": "admin"}),
        ))
        .route(route("/", "upstream"));
    let envoy = EnvoyProcess::start(&bootstrap(listener.build(), &upstream));
    let client = envoy.client("jwt");
    let corp = token().mint();
    let admin = token().claim("iss", ADMIN).mint();
    let status = |path: &str, token: &str| {
        let response = client.request(Request::get(path).bearer(token));
        (response.status, response.reason().unwrap_or_default())
    };
    let unknown_issuer = (401, "issuer_unknown".to_owned());
    assert_eq!(status("/admin", &admin).0, 200);
    assert_eq!(status("/admin", &corp), unknown_issuer);
    assert_eq!(status("/both", &corp), unknown_issuer);
    assert_eq!(status("/orders", &corp).0, 200);
    assert_eq!(status("/orders", &admin), unknown_issuer);
    assert_eq!(
        status("/typo", &corp),
        (500, "route_requirement_unknown".to_owned())
    );
    assert_eq!(client.get("/open").status, 200);

    // On a route that needs no token, the upstream still gets a claim header only from the filter.
    let forged = Request::get("/off")
        .header("x-jwt-sub", "root")
        .header("X_Jwt_Sub", "root");
    let echo = client.request(forged).echo();
    assert!(
        !echo.headers.iter().any(|(name, _)| name.contains("jwt")),
        "{:?}",
        echo.headers
    );
    assert_eq!(envoy.stat("wasmcustom.jwt.bypassed"), 2);
    assert_alive(&envoy);
}

#[test]
fn the_nearest_configuration_counts() {
    let upstream = Upstream::start();
    let mut listener = Listener::new("jwt")
        .filter(filter())
        .route(with_config(
            route("/corp", "upstream"),
            json!({"requirement_name": "open"}),
        ))
        .route(route("/", "upstream"))
        .build();
    let routes = &mut listener["filter_chains"][0]["filters"][0]["typed_config"]["route_config"];
    routes["typed_per_filter_config"] = of_route(json!({"disabled": true}));
    routes["virtual_hosts"][0]["typed_per_filter_config"] = of_route(json!({"requirement_name": "admin"}));
    let other = json!({"name": "other", "domains": ["other.example"], "routes": [route("/", "upstream")]});
    routes["virtual_hosts"].as_array_mut().unwrap().push(other);
    let envoy = EnvoyProcess::start(&bootstrap(listener, &upstream));
    let client = envoy.client("jwt");
    assert_eq!(client.get("/corp").status, 200, "the route's");
    assert_eq!(client.get("/orders").status, 401, "the virtual host's");
    let other = Request::get("/orders").header("host", "other.example");
    assert_eq!(client.request(other).status, 200, "that of all routes");
    assert_alive(&envoy);
}

/// Envoy gives the filter the configuration of a route whatever module has made it. To read the memory of
/// another module would end Envoy.
#[test]
fn a_configuration_of_another_module_is_not_read() {
    let name = format!("libjwt-{}.so", std::process::id());
    let copy = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::copy(native_module_path(), &copy).unwrap();
    let upstream = Upstream::start();
    let foreign = |config| {
        let mut route = route("/", "upstream");
        route["typed_per_filter_config"] = of_module(&copy, config);
        route
    };
    let mut open = foreign(json!({"requirement_name": "open"}));
    open["match"] = json!({"prefix": "/open"});
    let listener = Listener::new("jwt")
        .filter(filter())
        .route(open)
        .route(with_config(
            route("/own", "upstream"),
            json!({"requirement_name": "open"}),
        ))
        .route(foreign(json!({"disabled": true})));
    let envoy = EnvoyProcess::start(&bootstrap(listener.build(), &upstream));
    let client = envoy.client("jwt");
    for path in ["/open", "/orders"] {
        let response = client.request(Request::get(path).bearer(&token().mint()));
        assert_eq!(
            (response.status, response.reason().as_deref()),
            (500, Some("route_requirement_unknown")),
            "{path}"
        );
    }
    assert_eq!(client.get("/own").status, 200);
    let log = envoy.log();
    assert_eq!(log.matches("is of another module").count(), 1, "{log}");
    assert_alive(&envoy);
    fs::remove_file(&copy).unwrap();
}

#[test]
fn a_configuration_without_a_meaning_is_refused() {
    let upstream = Upstream::start();
    for (config, said) in [
        (json!({}), "write `requirement_name` or `disabled`"),
        (json!({"requirement": "admin"}), "`requirement` is not a field"),
        (json!({"disabled": false}), "`disabled` may only be true"),
    ] {
        let listener = Listener::new("jwt")
            .filter(filter())
            .route(with_config(route("/", "upstream"), config));
        let bootstrap = bootstrap(listener.build(), &upstream);
        let Err(log) = EnvoyProcess::try_start(&bootstrap, &EnvoyOptions::default()) else {
            panic!("Envoy starts, and {said:?} is expected");
        };
        assert!(log.contains(said), "{log}");
    }
}

#[test]
fn a_route_is_selected_again_only_if_asked_for() {
    for (clears, expected) in [(false, "/plain"), (true, "/blue")] {
        let upstream = Upstream::start();
        let provider = with(
            local_provider(),
            json!({
                "claim_to_headers": [{"claim_name": "tenant", "header_name": "x-tenant"}],
                "clear_route_cache": clears,
            }),
        );
        let mut blue = route("/", "upstream");
        blue["match"]["headers"] = json!([{"name": "x-tenant", "string_match": {"exact": "blue"}}]);
        blue["route"]["prefix_rewrite"] = "/blue".into();
        let mut plain = route("/", "upstream");
        plain["route"]["prefix_rewrite"] = "/plain".into();
        let listener = Listener::new("jwt")
            .filter(wasm_filter(scenarios::config(provider)))
            .route(blue)
            .route(plain);
        let envoy = EnvoyProcess::start(&bootstrap(listener.build(), &upstream));
        let client = envoy.client("jwt");
        let of_blue = token().claim("tenant", "blue").mint();
        let path = |request: Request| client.request(request).echo().path;
        assert_eq!(path(Request::get("/").bearer(&of_blue)), expected);
        // The client does not select a route by a header that only the filter may write.
        let forged = Request::get("/")
            .header("x-tenant", "blue")
            .bearer(&token().mint());
        assert_eq!(path(forged), "/plain");
        assert_alive(&envoy);
    }
}
