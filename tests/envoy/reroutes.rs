//! Routes that a request takes only after the filter has changed it: the request has to meet their
//! requirements as well.

use serde_json::{Value, json};
use testkit::{
    Bootstrap, EnvoyProcess, Issuer, Listener, Request, Upstream, WasmFilter, route, route_requirement,
};

use super::assert_alive;
use scenarios::{config, local_provider, remote_provider, token, with, world};

const ADMIN: &str = "https://admin.example";

/// Corp's tokens, admins' tokens, and a requirement for each.
fn filter_config(corp: Value) -> Value {
    let fields = json!({
        "claim_to_headers": [{"claim_name": "tenant", "header_name": "x-tenant"}],
        "from_headers": [{"name": "authorization", "value_prefix": "Bearer "}],
        "from_params": ["access_token"],
        "from_cookies": ["session"],
    });
    // Only the native module keeps the route, unless the configuration selects it again.
    let fields = match testkit::uses_native_module() {
        true => with(fields, json!({"clear_route_cache": true})),
        false => fields,
    };
    let mut config = config(with(corp, fields.clone()));
    config["providers"]["admin"] = with(with(local_provider(), json!({"issuer": ADMIN})), fields);
    config["requirement_map"] = json!({
        "corp": {"provider_name": "corp"},
        "admin": {"provider_name": "admin"},
        "both": {"requires_any": {"requirements": [{"provider_name": "corp"}, {"provider_name": "admin"}]}},
        "optional": {"requires_any": {"requirements": [{"provider_name": "corp"}, {"allow_missing": {}}]}},
        "open": {},
    });
    config
}

/// A route of `/` to the cluster `upstream` that names this, for requests with this.
fn when(requirement: &str, field: &str, matcher: Value) -> Value {
    let mut route = route_requirement("/", requirement);
    route["match"][field] = json!([matcher]);
    route
}

struct Routes {
    envoy: EnvoyProcess,
    upstream: Upstream,
    /// Kept because dropping it stops it, and remote keys are fetched while Envoy runs.
    _issuer: Issuer,
}

impl Routes {
    fn start(config: Value, routes: Vec<Value>) -> Self {
        let (issuer, upstream) = (Issuer::start(), Upstream::start());
        issuer.serve_jwks("/jwks", &[&world().rsa]);
        let filter = WasmFilter::new(config).build();
        let listener = routes
            .into_iter()
            .fold(Listener::new("jwt").filter(filter), Listener::route);
        let bootstrap = Bootstrap::new()
            .cluster("upstream", upstream.addr())
            .cluster("issuer", issuer.addr())
            .listener(listener)
            .build();
        let envoy = EnvoyProcess::start(&bootstrap);
        Self {
            envoy,
            upstream,
            _issuer: issuer,
        }
    }

    fn outcome(&self, request: &Request) -> (u16, String) {
        let response = self.envoy.client("jwt").request(request.clone());
        (response.status, response.reason().unwrap_or_default())
    }

    /// The client gets no response of the upstream. From the second request on, no request reaches the
    /// upstream.
    fn refuses(&self, request: &Request, status: u16, reason: &str) {
        for number in 0..3 {
            let before = self.upstream.count();
            assert_eq!(
                self.outcome(request),
                (status, reason.to_owned()),
                "request {number}"
            );
            let reached = self.upstream.count() - before;
            assert!(
                reached == 0 || number == 0,
                "request {number} reached the upstream"
            );
        }
    }

    /// The wasm module's Envoy selects the route again, since a field was changed, and that route refuses.
    /// The native module's leaves the request on the route whose requirement it has met.
    fn refuses_unless_it_stays(&self, request: &Request) {
        match testkit::uses_native_module() {
            true => self.passes(request),
            false => self.refuses(request, 401, "issuer_unknown"),
        }
    }

    fn passes(&self, request: &Request) {
        assert_eq!(self.outcome(request), (200, String::new()));
    }
}

fn corp() -> String {
    token().mint()
}

fn admin() -> String {
    token().claim("iss", ADMIN).mint()
}

#[test]
fn an_owned_header_chooses_no_route() {
    let lenient = || {
        when(
            "open",
            "headers",
            json!({"name": "x-tenant", "string_match": {"exact": "open"}}),
        )
    };
    let routes = Routes::start(
        filter_config(local_provider()),
        vec![lenient(), route_requirement("/", "corp")],
    );
    let spoofed = |request: Request| request.header("x-tenant", "open");
    let before = routes.upstream.count();
    routes.refuses(&spoofed(Request::get("/")), 401, "token_missing");
    routes.refuses(&spoofed(Request::get("/").bearer(&corp())), 401, "issuer_unknown");
    assert_eq!(routes.upstream.count(), before);
    routes.passes(&Request::get("/").bearer(&corp()));
    assert_alive(&routes.envoy);
}

#[test]
fn a_parameter_that_is_taken_out_chooses_no_route() {
    let lenient = when(
        "corp",
        "query_parameters",
        json!({"name": "access_token", "present_match": true}),
    );
    let routes = Routes::start(
        filter_config(local_provider()),
        vec![lenient, route_requirement("/", "admin")],
    );
    routes.refuses_unless_it_stays(&Request::get(&format!("/?access_token={}", corp())));
    routes.passes(&Request::get("/").bearer(&admin()));
    routes.refuses(&Request::get("/").bearer(&corp()), 401, "issuer_unknown");
    assert_alive(&routes.envoy);
}

#[test]
fn the_presence_of_a_token_chooses_no_route() {
    let lenient = || {
        when(
            "corp",
            "headers",
            json!({"name": "authorization", "present_match": true}),
        )
    };
    for provider in [local_provider(), remote_provider()] {
        let routes = Routes::start(
            filter_config(provider),
            vec![lenient(), route_requirement("/", "admin")],
        );
        routes.refuses_unless_it_stays(&Request::get("/").bearer(&corp()));
        assert_alive(&routes.envoy);
    }
    // A token that stays in the request changes nothing.
    let forwarding = with(local_provider(), json!({"forward": true}));
    let routes = Routes::start(
        filter_config(forwarding),
        vec![lenient(), route_requirement("/", "admin")],
    );
    routes.passes(&Request::get("/").bearer(&corp()));
}

#[test]
fn a_cookie_that_is_taken_out_chooses_no_route() {
    let lenient = when(
        "corp",
        "headers",
        json!({"name": "cookie", "present_match": true}),
    );
    let routes = Routes::start(
        filter_config(local_provider()),
        vec![lenient, route_requirement("/", "admin")],
    );
    routes.refuses_unless_it_stays(&Request::get("/").header("cookie", format!("session={}", corp())));
    assert_alive(&routes.envoy);
}

#[test]
fn a_route_that_a_claim_chooses_is_checked_too() {
    let blue = || {
        when(
            "admin",
            "headers",
            json!({"name": "x-tenant", "string_match": {"exact": "blue"}}),
        )
    };
    let red = || {
        when(
            "both",
            "headers",
            json!({"name": "x-tenant", "string_match": {"exact": "red"}}),
        )
    };
    let routes = Routes::start(
        filter_config(local_provider()),
        vec![blue(), red(), route_requirement("/", "corp")],
    );
    let of = |tenant: &str| Request::get("/").bearer(&token().claim("tenant", tenant).mint());
    routes.passes(&of("red"));
    routes.passes(&of("green"));
    routes.refuses(&of("blue"), 401, "issuer_unknown");
    assert_alive(&routes.envoy);
}

#[test]
fn a_route_without_a_requirement_is_held_to_the_rules() {
    let lenient = when(
        "optional",
        "headers",
        json!({"name": "authorization", "present_match": true}),
    );
    let mut config = filter_config(local_provider());
    config["rules"] = json!([{"match": {"prefix": "/"}, "requires": {"provider_name": "admin"}}]);
    let routes = Routes::start(config, vec![lenient, route("/", "upstream")]);
    routes.refuses_unless_it_stays(&Request::get("/").bearer(&corp()));
    assert_alive(&routes.envoy);
}

#[test]
fn in_shadow_mode_nothing_is_refused() {
    let lenient = when(
        "corp",
        "headers",
        json!({"name": "authorization", "present_match": true}),
    );
    let mut config = filter_config(local_provider());
    config["mode"] = "shadow".into();
    let routes = Routes::start(config, vec![lenient, route_requirement("/", "admin")]);
    routes.passes(&Request::get("/").bearer(&token().claim("tenant", "blue").mint()));
    assert_alive(&routes.envoy);
}
