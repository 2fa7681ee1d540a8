//! Requests for which Envoy skips the filter: it removes no header of the client's own then, so that the
//! route has to, or a rule that needs no token takes the place of the skipping.

use serde_json::{Value, json};
use testkit::{Bootstrap, EnvoyProcess, Listener, Request, Upstream, route, wasm_filter};

use super::assert_alive;
use scenarios::{local_provider, token, with};

/// The filter, unless the path begins with `/off`.
fn unless_off(filter: &Value) -> Value {
    let skip = json!({"name": "skip", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.common.matcher.action.v3.SkipFilter",
    }});
    let input = json!({"name": "path", "typed_config": {
        "@type": "type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput", "header_name": ":path",
    }});
    json!({
        "name": filter["name"],
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.common.matching.v3.ExtensionWithMatcher",
            "extension_config": filter,
            "xds_matcher": {"matcher_tree": {
                "input": input, "prefix_match_map": {"map": {"/off": {"action": skip}}},
            }},
        },
    })
}

#[test]
fn a_route_without_the_filter_has_to_remove_claim_headers_itself() {
    let claim = json!({"claim_to_headers": [{"claim_name": "sub", "header_name": "x-jwt-sub"}]});
    let filter = wasm_filter(json!({
        "providers": {"corp": with(local_provider(), claim)},
        "rules": [
            {"match": {"path_separated_prefix": "/open"}},
            {"match": {"prefix": "/"}, "requires": {"provider_name": "corp"}},
        ],
    }));
    let disabled = json!({filter["name"].as_str().expect("a name"): {
        "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": true,
    }});
    let routes = |is_disabled: bool| {
        let off = |path: &str| {
            let mut route = route(path, "upstream");
            if is_disabled {
                route["typed_per_filter_config"] = disabled.clone();
            }
            route
        };
        let mut safe = off("/off/safe");
        safe["request_headers_to_remove"] = json!(["x-jwt-sub"]);
        [safe, off("/off"), route("/", "upstream")]
    };
    let listener = |name: &str, filter: Value, is_disabled: bool| {
        let all = routes(is_disabled).into_iter();
        all.fold(Listener::new(name).filter(filter), Listener::route)
    };
    let upstream = Upstream::start();
    let bootstrap = Bootstrap::new()
        .cluster("upstream", upstream.addr())
        .listener(listener("disabled", filter.clone(), true))
        .listener(listener("matcher", unless_off(&filter), false));
    let envoy = EnvoyProcess::start(&bootstrap.build());
    for name in ["disabled", "matcher"] {
        let client = envoy.client(name);
        let ask = |path: &str| Request::get(path).header("x-jwt-sub", "mallory");
        let seen = |request: Request| {
            client
                .request(request)
                .echo()
                .header("x-jwt-sub")
                .map(str::to_owned)
        };
        // The documentation warns of this.
        assert_eq!(seen(ask("/off")).as_deref(), Some("mallory"), "{name}");
        for path in ["/off/safe", "/open"] {
            assert_eq!(seen(ask(path)), None, "{name} {path}");
        }
        assert_eq!(client.request(ask("/orders")).status, 401, "{name}");
        let good = ask("/orders").bearer(&token().mint());
        assert_eq!(seen(good).as_deref(), Some("alice"), "{name}");
    }
    assert_alive(&envoy);
}
