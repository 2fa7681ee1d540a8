//! `jwtctl convert`, on the real binary; the original and what comes out decide the same requests in a real Envoy.

#![cfg(test)]

mod common;

use common::{Folder, Ran, jwtctl, jwtctl_with};
use serde_json::{Value, json};
use testkit::{
    Algorithm, Bootstrap, Client, EnvoyProcess, Listener, Request, SigningKey, Token, Upstream, jwks,
    load_yaml, module_path, route, tamper_signature, unix_now, wasm_filter,
};

struct Keys {
    corp: SigningKey,
    other: SigningKey,
}

const CORP: &str = "https://idp.example.com";
const OTHER: &str = "https://b.example.com";

impl Keys {
    fn new() -> Self {
        Self {
            corp: SigningKey::generate(Algorithm::Es256, Some("corp")),
            other: SigningKey::generate(Algorithm::Rs256, Some("other")),
        }
    }

    fn corp(&self) -> Token {
        Token::new(&self.corp)
            .claim("iss", CORP)
            .claim("aud", "orders-api")
            .claim("sub", "alice")
    }

    fn other(&self) -> Token {
        Token::new(&self.other)
            .claim("iss", OTHER)
            .claim("aud", "orders-api")
            .claim("sub", "bob")
    }

    /// Tokens of every kind, by name.
    fn tokens(&self) -> Vec<(&'static str, Option<String>)> {
        let now = unix_now();
        vec![
            ("none", None),
            ("corp", Some(self.corp().mint())),
            ("other", Some(self.other().mint())),
            ("for another", Some(self.corp().claim("aud", "billing").mint())),
            ("expired", Some(self.corp().expires_in(-7200).mint())),
            ("too early", Some(self.corp().claim("nbf", now + 7200).mint())),
            ("without exp", Some(self.corp().without_claim("exp").mint())),
            ("forged", Some(tamper_signature(&self.corp().mint()))),
            (
                "unknown issuer",
                Some(self.corp().claim("iss", "https://c.example.com").mint()),
            ),
            (
                "another key",
                Some(
                    Token::new(&self.other)
                        .claim("iss", CORP)
                        .claim("aud", "orders-api")
                        .mint(),
                ),
            ),
            (
                "admin",
                Some(
                    self.corp()
                        .claim("groups", json!(["users", "admins"]))
                        .claim("scope", "read write")
                        .mint(),
                ),
            ),
            (
                "user",
                Some(
                    self.corp()
                        .claim("groups", json!(["users"]))
                        .claim("scope", "read")
                        .mint(),
                ),
            ),
            (
                "bob",
                Some(
                    self.corp()
                        .claim("sub", "bob")
                        .claim("role", "x-boss")
                        .claim("realm", json!({"team": "red"}))
                        .mint(),
                ),
            ),
            ("without sub", Some(self.corp().without_claim("sub").mint())),
            (
                "numbers",
                Some(
                    self.corp()
                        .claim("role", 50)
                        .claim("groups", json!([5, 7]))
                        .mint(),
                ),
            ),
            (
                "empty values",
                Some(self.corp().claim("role", "").claim("groups", json!([])).mint()),
            ),
            ("team's bob", Some(self.corp().claim("sub", "team/bob").mint())),
            (
                "a truth",
                Some(self.corp().claim("role", json!({"boss": true})).mint()),
            ),
            ("garbage", Some("garbage".to_owned())),
        ]
    }
}

fn started(listener: Value, upstream: &Upstream) -> (EnvoyProcess, Client) {
    let bootstrap = Bootstrap::new()
        .cluster("upstream", upstream.addr())
        .listener_value(listener)
        .build();
    let envoy = EnvoyProcess::start(&bootstrap);
    let client = envoy.client("in");
    (envoy, client)
}

/// Whether the two let the same requests pass; how many were allowed by the way.
fn compare(original: &Client, converted: &Client, keys: &Keys, requests: &[(&str, &str)]) -> (usize, usize) {
    let mut faults = Vec::new();
    let (mut allowed, mut denied) = (0, 0);
    for (method, path) in requests {
        for (name, token) in keys.tokens() {
            for place in ["header", "parameter"] {
                let request = match (&token, place) {
                    (None, "header") => Request::new(method, path),
                    (None, _) => continue,
                    (Some(token), "header") => Request::new(method, path).bearer(token),
                    (Some(token), _) => Request::new(method, &format!("{path}?access_token={token}")),
                };
                let request = match path.starts_with("/team") {
                    true => request.header("x-team", "red"),
                    false => request,
                };
                let passes = |client: &Client| client.request(request.clone()).status == 200;
                match (passes(original), passes(converted)) {
                    (true, true) => allowed += 1,
                    (false, false) => denied += 1,
                    (was, is) => faults.push(format!(
                        "{method} {path}, {name} in the {place}: was {was}, is {is}"
                    )),
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    (allowed, denied)
}

fn converted(text: &str, more: &[&str]) -> Value {
    let ran = jwtctl_with(
        &[
            &["convert", "-", "--module", &module_path().to_string_lossy()],
            more,
        ]
        .concat(),
        text,
    );
    assert_eq!(ran.code, 0, "{}", ran.err);
    load_yaml(&ran.out).unwrap_or_else(|error| panic!("{error}: {}", ran.out))
}

fn authn_listener(authn: &Value, routes: Vec<Value>) -> Value {
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

/// jwt_authn and RBAC as istiod makes them of a RequestAuthentication of two issuers and an AuthorizationPolicy.
fn istiod(keys: &Keys, rbac: &[(&str, Value)]) -> Value {
    let provider = |issuer: &str, key: &SigningKey, audiences: &[&str]| json!({"issuer": issuer, "audiences": audiences, "local_jwks": {"inline_string": jwks(&[key]).to_string()}, "payload_in_metadata": "payload", "normalize_payload_in_metadata": {"space_delimited_claims": ["scope", "permission"]}});
    let or_missing = |name: &str| json!({"requires_any": {"requirements": [{"provider_name": name}, {"allow_missing": {}}]}});
    let authn = json!({
        "providers": {"origins-0": provider(CORP, &keys.corp, &["orders-api"]), "origins-1": provider(OTHER, &keys.other, &[])},
        "rules": [{"match": {"prefix": "/"}, "requires": {"requires_any": {"requirements": [
            {"provider_name": "origins-0"}, {"provider_name": "origins-1"},
            {"requires_all": {"requirements": [or_missing("origins-0"), or_missing("origins-1")]}},
        ]}}}],
    });
    let mut listener = authn_listener(&authn, vec![route("/", "upstream")]);
    let filters = listener["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"]
        .as_array_mut()
        .expect("filters");
    for (action, policies) in rbac {
        let filter = json!({
            "name": "envoy.filters.http.rbac",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
                "rules": {"action": action, "policies": policies},
            },
        });
        filters.insert(filters.len() - 1, filter);
    }
    listener
}

fn claim(path: &[&str], matcher: Value) -> Value {
    let path: Vec<Value> = std::iter::once("payload")
        .chain(path.iter().copied())
        .map(|key| json!({"key": key}))
        .collect();
    json!({"metadata": {"filter": "envoy.filters.http.jwt_authn", "path": path, "value": matcher}})
}

fn exact(text: &str) -> Value {
    json!({"string_match": {"exact": text}})
}

fn one_of(text: &str) -> Value {
    json!({"list_match": {"one_of": exact(text)}})
}

fn of_path(matcher: Value) -> Value {
    json!({"url_path": {"path": matcher}})
}

fn template(path: &str) -> Value {
    json!({"uri_template": {"name": "t", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig", "path_template": path,
    }}})
}

fn request_authentication(keys: &Keys) -> Value {
    json!({
        "apiVersion": "security.istio.io/v1", "kind": "RequestAuthentication", "metadata": {"name": "a", "namespace": "n"},
        "spec": {"jwtRules": [
            {"issuer": CORP, "audiences": ["orders-api"], "jwks": jwks(&[&keys.corp]).to_string()},
            {"issuer": OTHER, "jwks": jwks(&[&keys.other]).to_string()},
        ]},
    })
}

fn authorization_policy(action: &str, rules: Value) -> Value {
    json!({
        "apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": {"name": "p", "namespace": "n"},
        "spec": {"action": action, "rules": rules},
    })
}

/// istiod's translation of wildcards: they are tests of strings, and of the elements of a list.
fn values_that_are_no_strings() -> Case {
    let text = |matcher: Value| json!({"string_match": matcher});
    let or_list = |matcher: Value| json!({"or_match": {"value_matchers": [{"list_match": {"one_of": matcher}}, matcher]}});
    let any_text = text(json!({"safe_regex": {"regex": ".+"}}));
    let on = |path: &str, principal: Value| json!({"permissions": [of_path(json!({"exact": path}))], "principals": [principal]});
    let both = |parts: Vec<Value>| json!({"and_ids": {"ids": parts}});
    let method = json!({"header": {"name": ":method", "string_match": {"prefix": "P"}}});
    let policies = vec![authorization_policy(
        "ALLOW",
        json!([
            {"to": [{"operation": {"paths": ["/boss"]}}], "when": [{"key": "request.auth.claims[role]", "values": ["*"]}]},
            {"to": [{"operation": {"paths": ["/red"]}}], "when": [{"key": "request.auth.claims[groups]", "values": ["*"]}]},
            {"to": [{"operation": {"paths": ["/any/x"]}}], "when": [{"key": "request.auth.claims[role]", "values": ["5*", "*0"]}]},
            {"to": [{"operation": {"paths": ["/open"]}}], "when": [{"key": "request.auth.claims[role]", "notValues": ["5*", "x*"]}]},
            {"to": [{"operation": {"paths": ["/bob"]}}], "from": [{"source": {"requestPrincipals": ["*/bob"]}}]},
            {"to": [{"operation": {"paths": ["/b/{*}/c"]}}]},
            {"to": [{"operation": {"paths": ["/write"], "methods": ["P*"]}}]},
        ]),
    )];
    let prefix = or_list(text(json!({"prefix": "5"})));
    let rbac = json!({
        "role": on("/boss", claim(&["role"], or_list(any_text.clone()))),
        "groups": on("/red", claim(&["groups"], or_list(any_text.clone()))),
        "five": on("/any/x", json!({"or_ids": {"ids": [claim(&["role"], prefix.clone()), claim(&["role"], or_list(text(json!({"suffix": "0"}))))]}})),
        "not five": on("/open", json!({"not_id": {"or_ids": {"ids": [claim(&["role"], prefix), claim(&["role"], or_list(text(json!({"prefix": "x"}))))]}}})),
        "bob": on("/bob", both(vec![claim(&["iss"], any_text), claim(&["sub"], exact("bob"))])),
        "template": {"permissions": [template("/b/*/c")], "principals": [{"any": true}]},
        "method": {"permissions": [{"and_rules": {"rules": [of_path(json!({"exact": "/write"})), method]}}], "principals": [{"any": true}]},
    });
    (policies, vec![("ALLOW", rbac)])
}

/// Policies, and RBAC filters with their actions.
type Case = (Vec<Value>, Vec<(&'static str, Value)>);

#[test]
fn policies_of_istio_and_their_conversion_let_the_same_requests_pass() {
    let keys = Keys::new();
    let upstream = Upstream::start();
    let any = json!([{"any": true}]);
    let any_text = json!({"string_match": {"safe_regex": {"regex": ".+"}}});
    let subject = claim(&["sub"], any_text.clone());
    let with_token = json!({"and_ids": {"ids": [claim(&["iss"], any_text), subject]}});
    let cases: Vec<Case> = vec![
        // Authentication alone.
        (vec![], vec![]),
        // Paths, methods, principals, claims, scopes.
        (
            vec![authorization_policy(
                "ALLOW",
                json!([
                    {"to": [{"operation": {"paths": ["/healthz", "/static/*", "*.css"]}}]},
                    {"from": [{"source": {"requestPrincipals": ["*"]}}], "to": [{"operation": {"paths": ["/any*"], "methods": ["GET"]}}]},
                    {"from": [{"source": {"requestPrincipals": [format!("{CORP}/bob"), format!("{CORP}/al*")]}}], "to": [{"operation": {"paths": ["/bob"]}}]},
                    {"to": [{"operation": {"paths": ["/admin/*"]}}], "when": [{"key": "request.auth.claims[groups]", "values": ["admins", "root"]}]},
                    {"to": [{"operation": {"paths": ["/write"]}}], "when": [{"key": "request.auth.claims[scope]", "values": ["write"]}]},
                    {"to": [{"operation": {"paths": ["/boss"]}}], "when": [{"key": "request.auth.claims[role]", "values": ["*boss"]}]},
                    {"to": [{"operation": {"paths": ["/red"]}}], "when": [{"key": "request.auth.claims[realm][team]", "values": ["red"]}]},
                    {"from": [{"source": {"requestPrincipals": [format!("{OTHER}/*")]}}], "to": [{"operation": {"paths": ["/b/{*}/c"]}}]},
                ]),
            )],
            vec![(
                "ALLOW",
                json!({
                    "0": {"permissions": [of_path(json!({"exact": "/healthz"})), of_path(json!({"prefix": "/static/"})), of_path(json!({"suffix": ".css"}))], "principals": any},
                    "1": {"permissions": [{"and_rules": {"rules": [of_path(json!({"prefix": "/any"})), {"header": {"name": ":method", "string_match": {"exact": "GET"}}}]}}], "principals": [with_token]},
                    "2": {"permissions": [of_path(json!({"exact": "/bob"}))], "principals": [{"and_ids": {"ids": [claim(&["iss"], exact(CORP)), {"or_ids": {"ids": [claim(&["sub"], exact("bob")), claim(&["sub"], json!({"string_match": {"prefix": "al"}}))]}}]}}]},
                    "3": {"permissions": [of_path(json!({"prefix": "/admin/"}))], "principals": [claim(&["groups"], one_of("admins")), claim(&["groups"], one_of("root"))]},
                    "4": {"permissions": [of_path(json!({"exact": "/write"}))], "principals": [claim(&["scope"], one_of("write"))]},
                    "5": {"permissions": [of_path(json!({"exact": "/boss"}))], "principals": [claim(&["role"], json!({"string_match": {"suffix": "boss"}}))]},
                    "6": {"permissions": [of_path(json!({"exact": "/red"}))], "principals": [claim(&["realm", "team"], exact("red"))]},
                    "7": {"permissions": [template("/b/*/c")], "principals": [{"and_ids": {"ids": [claim(&["iss"], exact(OTHER)), subject]}}]},
                }),
            )],
        ),
        // The usual way to demand a token, beside something that is always denied.
        (
            vec![authorization_policy(
                "DENY",
                json!([
                    {"from": [{"source": {"notRequestPrincipals": ["*"]}}]},
                    {"to": [{"operation": {"paths": ["/internal*"]}}]},
                ]),
            )],
            vec![(
                "DENY",
                json!({
                    "0": {"permissions": any, "principals": [{"not_id": with_token}]},
                    "1": {"permissions": [of_path(json!({"prefix": "/internal"}))], "principals": any},
                }),
            )],
        ),
        // A token on some paths only.
        (
            vec![authorization_policy(
                "DENY",
                json!([
                    {"from": [{"source": {"notRequestPrincipals": ["*"]}}], "to": [{"operation": {"paths": ["/bob", "/admin*"]}}]},
                ]),
            )],
            vec![(
                "DENY",
                json!({
                    "0": {"permissions": [of_path(json!({"exact": "/bob"})), of_path(json!({"prefix": "/admin"}))], "principals": [{"not_id": with_token}]},
                }),
            )],
        ),
        // Rules for the same requests, with what they are not for; each may allow.
        (
            vec![authorization_policy(
                "ALLOW",
                json!([
                    {"when": [{"key": "request.auth.claims[groups]", "values": ["admins"]}]},
                    {"to": [{"operation": {"paths": ["/any*", "*.css"], "methods": ["GET"]}}], "when": [{"key": "request.auth.claims[scope]", "values": ["read", "other"]}]},
                    {"from": [{"source": {"requestPrincipals": [format!("{CORP}/bob")]}}, {"source": {"requestPrincipals": [format!("{OTHER}/*")]}}],
                        "to": [{"operation": {"notPaths": ["/internal*", "/bob"], "notMethods": ["POST"]}}]},
                    {"from": [{"source": {"notRequestPrincipals": ["*"]}}], "to": [{"operation": {"paths": ["/open"]}}]},
                    {"from": [{"source": {"notRequestPrincipals": [format!("{CORP}/*")]}}], "to": [{"operation": {"paths": ["/not-corp"]}}]},
                    {"to": [{"operation": {"paths": ["/red"]}}], "when": [{"key": "request.auth.claims[realm][team]", "notValues": ["red"]}, {"key": "request.auth.principal", "values": ["*/bob", "*ice"]}]},
                    {"to": [{"operation": {"paths": ["/team*"]}}], "when": [{"key": "request.headers[X-Team]", "values": ["blue", "r*"]}, {"key": "request.headers[x-other]", "notValues": ["*"]}]},
                    {"to": [{"operation": {"paths": ["/team/not"]}}], "when": [{"key": "request.headers[x-team]", "notValues": ["red"]}]},
                    {"to": [{"operation": {"paths": ["/boss"]}}], "when": [{"key": "request.auth.claims[scope]", "notValues": ["write"]}, {"key": "request.auth.claims[role]", "notValues": ["x-*"]}]},
                ]),
            )],
            vec![("ALLOW", {
                let and = |rules: Value| json!({"and_rules": {"rules": rules}});
                let all = |ids: Value| json!({"and_ids": {"ids": ids}});
                let one = |ids: Value| json!({"or_ids": {"ids": ids}});
                let not = |id: Value| json!({"not_id": id});
                let method =
                    |name: &str| json!({"header": {"name": ":method", "string_match": {"exact": name}}});
                let header =
                    |name: &str, matcher: Value| json!({"header": {"name": name, "string_match": matcher}});
                let not_rule = |rule: Value| json!({"not_rule": rule});
                json!({
                    "0": {"permissions": any, "principals": [claim(&["groups"], one_of("admins"))]},
                    "1": {"permissions": [and(json!([{"or_rules": {"rules": [of_path(json!({"prefix": "/any"})), of_path(json!({"suffix": ".css"}))]}}, method("GET")]))],
                        "principals": [claim(&["scope"], one_of("read")), claim(&["scope"], one_of("other"))]},
                    "2": {"permissions": [and(json!([not_rule(of_path(json!({"prefix": "/internal"}))), not_rule(of_path(json!({"exact": "/bob"}))), not_rule(method("POST"))]))],
                        "principals": [all(json!([claim(&["iss"], exact(CORP)), claim(&["sub"], exact("bob"))])), all(json!([claim(&["iss"], exact(OTHER)), subject]))]},
                    "3": {"permissions": [of_path(json!({"exact": "/open"}))], "principals": [not(with_token.clone())]},
                    "4": {"permissions": [of_path(json!({"exact": "/not-corp"}))], "principals": [not(all(json!([claim(&["iss"], exact(CORP)), subject])))]},
                    "5": {"permissions": [of_path(json!({"exact": "/red"}))], "principals": [all(json!([
                        not(claim(&["realm", "team"], exact("red"))),
                        one(json!([claim(&["sub"], exact("bob")), claim(&["sub"], json!({"string_match": {"suffix": "ice"}}))])),
                    ]))]},
                    "6": {"permissions": [of_path(json!({"prefix": "/team"}))], "principals": [all(json!([
                        one(json!([header("x-team", json!({"exact": "blue"})), header("x-team", json!({"prefix": "r"}))])),
                        not(json!({"header": {"name": "x-other", "present_match": true}})),
                    ]))]},
                    "7": {"permissions": [of_path(json!({"exact": "/team/not"}))], "principals": [not(header("x-team", json!({"exact": "red"})))]},
                    "8": {"permissions": [of_path(json!({"exact": "/boss"}))], "principals": [all(json!([
                        not(claim(&["scope"], one_of("write"))), not(claim(&["role"], json!({"string_match": {"prefix": "x-"}}))),
                    ]))]},
                })
            })],
        ),
        // Denials with conditions, which come before what is allowed.
        (
            vec![
                authorization_policy(
                    "DENY",
                    json!([
                        {"to": [{"operation": {"paths": ["/admin*"]}}], "when": [{"key": "request.auth.claims[groups]", "notValues": ["admins"]}]},
                        {"from": [{"source": {"requestPrincipals": [format!("{CORP}/bob")]}}, {"source": {"requestPrincipals": [format!("{OTHER}/*")]}}],
                            "to": [{"operation": {"methods": ["POST"]}}]},
                        {"to": [{"operation": {"paths": ["/write"]}}], "when": [{"key": "request.auth.claims[scope]", "values": ["read"]}, {"key": "request.auth.claims[groups]", "values": ["admins", "root"]}]},
                    ]),
                ),
                authorization_policy(
                    "ALLOW",
                    json!([
                        {"from": [{"source": {"requestPrincipals": ["*"]}}], "to": [{"operation": {"notPaths": ["/internal*"]}}]},
                        {"to": [{"operation": {"paths": ["/healthz", "/admin"]}}]},
                    ]),
                ),
            ],
            vec![
                (
                    "DENY",
                    json!({
                        "0": {"permissions": [of_path(json!({"prefix": "/admin"}))], "principals": [{"not_id": claim(&["groups"], one_of("admins"))}]},
                        "1": {"permissions": [{"header": {"name": ":method", "string_match": {"exact": "POST"}}}],
                            "principals": [{"and_ids": {"ids": [claim(&["iss"], exact(CORP)), claim(&["sub"], exact("bob"))]}}, {"and_ids": {"ids": [claim(&["iss"], exact(OTHER)), subject]}}]},
                        "2": {"permissions": [of_path(json!({"exact": "/write"}))], "principals": [{"and_ids": {"ids": [
                            claim(&["scope"], one_of("read")), {"or_ids": {"ids": [claim(&["groups"], one_of("admins")), claim(&["groups"], one_of("root"))]}},
                        ]}}]},
                    }),
                ),
                (
                    "ALLOW",
                    json!({
                        "0": {"permissions": [{"not_rule": of_path(json!({"prefix": "/internal"}))}], "principals": [with_token]},
                        "1": {"permissions": [of_path(json!({"exact": "/healthz"})), of_path(json!({"exact": "/admin"}))], "principals": any},
                    }),
                ),
            ],
        ),
        // A denial of all requests, and one of none.
        (
            vec![
                authorization_policy("DENY", json!([])),
                authorization_policy(
                    "DENY",
                    json!([{"to": [{"operation": {"notPaths": ["/healthz", "/any*"]}}]}]),
                ),
            ],
            vec![(
                "DENY",
                json!({"0": {"permissions": [{"not_rule": {"or_rules": {"rules": [of_path(json!({"exact": "/healthz"})), of_path(json!({"prefix": "/any"}))]}}}], "principals": any}}),
            )],
        ),
        // Nothing is allowed.
        (
            vec![authorization_policy("ALLOW", json!([]))],
            vec![("ALLOW", json!({}))],
        ),
    ];
    let requests = [
        ("GET", "/"),
        ("GET", "/healthz"),
        ("POST", "/healthz"),
        ("GET", "/static/a"),
        ("GET", "/x/a.css"),
        ("GET", "/any/x"),
        ("POST", "/any/x"),
        ("GET", "/bob"),
        ("GET", "/bobby"),
        ("GET", "/admin/x"),
        ("GET", "/admin"),
        ("GET", "/write"),
        ("GET", "/boss"),
        ("GET", "/red"),
        ("GET", "/b/x/c"),
        ("GET", "/b/x/y/c"),
        ("GET", "/b/x*y/c"),
        ("GET", "/b/x|y/c"),
        ("GET", "/internal/x"),
        ("GET", "/internal/x.css"),
        ("GET", "/any/x.css"),
        ("POST", "/any/x.css"),
        ("GET", "/open"),
        ("GET", "/not-corp"),
        ("GET", "/team/x"),
        ("GET", "/team/not"),
        ("POST", "/write"),
        ("POST", "/team/x"),
    ];
    let cases = cases.into_iter().chain([values_that_are_no_strings()]);
    for (policies, rbac) in cases {
        let mut resources = vec![request_authentication(&keys)];
        resources.extend(policies);
        let text = json!({"apiVersion": "v1", "kind": "List", "items": resources}).to_string();
        let config = converted(&text, &[]);
        let (_original, before) = started(istiod(&keys, &rbac), &upstream);
        let listener = Listener::new("in").filter(wasm_filter(config)).build();
        let (_converted, after) = started(listener, &upstream);
        compare(&before, &after, &keys, &requests);
    }
}

#[test]
fn a_policy_of_envoy_gateway_becomes_what_it_says() {
    let folder = Folder::new("convert-gateway");
    let keys = Keys::new();
    let policy = json!({
        "apiVersion": "gateway.envoyproxy.io/v1alpha1", "kind": "SecurityPolicy", "metadata": {"name": "p"},
        "spec": {
            "targetRefs": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "r"}],
            "jwt": {"providers": [{"name": "corp", "issuer": CORP, "audiences": ["orders-api"], "localJWKS": {"inline": jwks(&[&keys.corp]).to_string()},
                "claimToHeaders": [{"claim": "sub", "header": "x-sub"}], "extractFrom": {"headers": [{"name": "x-token", "valuePrefix": "T "}]}}]},
            "authorization": {"defaultAction": "Deny", "rules": [
                {"action": "Allow", "operation": {"methods": ["GET"]}, "principal": {"jwt": {"provider": "corp", "scopes": ["read"], "claims": [{"name": "groups", "valueType": "StringArray", "values": ["users"]}]}}},
            ]},
        },
    });
    let ran = jwtctl_with(&["convert", "-"], &policy.to_string());
    assert_eq!(ran.code, 0, "{}", ran.err);
    let config = folder.write("config.yaml", &ran.out);
    let explain = |method: &str, token: &str| {
        let header = format!("x-token: T {token}");
        let ran = jwtctl(&[
            "explain", &config, "/x", "-X", method, "-H", &header, "--output", "json",
        ]);
        ran.json()["decision"]["reason"]
            .as_str()
            .unwrap_or("allowed")
            .to_owned()
    };
    let good = keys
        .corp()
        .claim("scope", "read write")
        .claim("groups", json!(["users"]))
        .mint();
    assert_eq!(explain("GET", &good), "allowed");
    // No rule allows it, whatever the token says.
    assert_eq!(explain("POST", &good), "route_denied");
    assert_eq!(
        explain("GET", &keys.corp().claim("groups", json!(["users"])).mint()),
        "scope_insufficient"
    );
    assert_eq!(
        explain("GET", &keys.corp().claim("scope", "read").mint()),
        "claim_rejected"
    );
}

#[test]
fn claims_of_envoy_gateway_keep_texts_and_lists_apart() {
    let folder = Folder::new("convert-claim-types");
    let keys = Keys::new();
    for (value_type, passes, is_refused) in [
        ("String", json!("admins"), json!(["admins"])),
        ("StringArray", json!(["users", "admins"]), json!("admins")),
    ] {
        let claims = json!([{"name": "groups", "valueType": value_type, "values": ["admins", "root"]}]);
        let policy = json!({
            "kind": "SecurityPolicy", "spec": {
                "jwt": {"providers": [{"name": "corp", "issuer": CORP, "localJWKS": {"inline": jwks(&[&keys.corp]).to_string()}}]},
                "authorization": {"defaultAction": "Deny", "rules": [
                    {"action": "Allow", "principal": {"jwt": {"provider": "corp", "claims": claims}}},
                ]},
            },
        });
        let ran = jwtctl_with(&["convert", "-"], &policy.to_string());
        assert_eq!(ran.code, 0, "{}", ran.err);
        let config = folder.write("config.yaml", &ran.out);
        for (groups, reason) in [
            (passes, "allowed"),
            (is_refused, "claim_rejected"),
            (json!("users"), "claim_rejected"),
            (json!(["users"]), "claim_rejected"),
        ] {
            let token = keys.corp().claim("groups", groups.clone()).mint();
            let header = format!("authorization: Bearer {token}");
            let ran = jwtctl(&["explain", &config, "/x", "-H", &header, "--output", "json"]);
            let seen = ran.json()["decision"]["reason"]
                .as_str()
                .unwrap_or("allowed")
                .to_owned();
            assert_eq!(seen, reason, "{value_type} and {groups}");
        }
    }
}

#[test]
fn rules_of_envoy_gateway_decide_in_their_order() {
    let folder = Folder::new("convert-order");
    let keys = Keys::new();
    let local = |key: &SigningKey| json!({"inline": jwks(&[key]).to_string()});
    let policy = |authorization: Value, optional: bool| {
        json!({
            "kind": "SecurityPolicy", "spec": {
                "jwt": {"optional": optional, "providers": [
                    {"name": "corp", "issuer": CORP, "localJWKS": local(&keys.corp)},
                    {"name": "other", "issuer": OTHER, "localJWKS": local(&keys.other)},
                ]},
                "authorization": authorization,
            },
        })
    };
    let of = |provider: &str, scopes: Value, claims: Value| json!({"jwt": {"provider": provider, "scopes": scopes, "claims": claims}});
    let groups = |name: &str| json!([{"name": "groups", "valueType": "StringArray", "values": [name]}]);
    let denied_first = json!({"defaultAction": "Allow", "rules": [
        {"action": "Allow", "principal": of("corp", json!([]), groups("root"))},
        {"action": "Deny", "principal": of("corp", json!([]), groups("banned"))},
        {"action": "Deny", "operation": {"methods": ["DELETE"]}, "principal": of("other", json!([]), json!([]))},
    ]});
    let allowed_only = json!({"defaultAction": "Deny", "rules": [
        {"action": "Deny", "principal": {"headers": [{"name": "X-Env", "values": ["test", "dev"]}]}},
        {"action": "Allow", "principal": of("corp", json!(["read", "write"]), json!([]))},
        {"action": "Allow", "operation": {"methods": ["GET"]}},
    ]});
    let with = |groups: &[&str]| keys.corp().claim("groups", json!(groups)).mint();
    let scoped = |scope: &str| keys.corp().claim("scope", scope).mint();
    let other = keys.other().mint();
    let none = String::new();
    for (authorization, optional, method, header, token, passes) in [
        (&denied_first, false, "GET", "a: b", &with(&["users"]), true),
        (
            &denied_first,
            false,
            "GET",
            "a: b",
            &with(&["users", "banned"]),
            false,
        ),
        (
            &denied_first,
            false,
            "GET",
            "a: b",
            &with(&["root", "banned"]),
            true,
        ),
        (&denied_first, false, "GET", "a: b", &other, true),
        (&denied_first, false, "DELETE", "a: b", &other, false),
        (&denied_first, false, "DELETE", "a: b", &with(&[]), true),
        (&denied_first, false, "GET", "a: b", &none, false),
        (&denied_first, true, "GET", "a: b", &none, true),
        (&denied_first, true, "DELETE", "a: b", &none, true),
        (&denied_first, true, "DELETE", "a: b", &other, false),
        (&allowed_only, false, "GET", "a: b", &other, true),
        (&allowed_only, false, "POST", "a: b", &other, false),
        (&allowed_only, false, "POST", "a: b", &scoped("write read"), true),
        (&allowed_only, false, "POST", "a: b", &scoped("write"), false),
        (
            &allowed_only,
            false,
            "POST",
            "x-env: prod",
            &scoped("write read"),
            true,
        ),
        (
            &allowed_only,
            false,
            "POST",
            "x-env: dev",
            &scoped("write read"),
            false,
        ),
        (&allowed_only, false, "GET", "x-env: test", &other, false),
        (&allowed_only, false, "GET", "a: b", &none, false),
        (&allowed_only, true, "GET", "a: b", &none, true),
        (&allowed_only, true, "POST", "a: b", &none, false),
    ] {
        let ran = jwtctl_with(
            &["convert", "-"],
            &policy(authorization.clone(), optional).to_string(),
        );
        assert_eq!(ran.code, 0, "{}", ran.err);
        let config = folder.write("config.yaml", &ran.out);
        let mut arguments = vec!["explain", &config, "/x", "-X", method, "-H", header];
        if !token.is_empty() {
            arguments.extend(["--token", token]);
        }
        let explained = jwtctl(&arguments);
        assert_eq!(explained.code, i32::from(!passes), "{}\n{explained:?}", ran.out);
    }
}

#[test]
fn rules_that_overlap_in_too_many_ways_are_an_error() {
    let rules: Vec<Value> = (0..12)
        .map(|number| {
            json!({"to": [{"operation": {"methods": ["GET"], "paths": [format!("/{{*}}/{number}/{{**}}")]}}],
                "when": [{"key": format!("request.auth.claims[c{number}]"), "values": ["x"]}]})
        })
        .collect();
    let resources = [
        request_authentication(&Keys::new()),
        authorization_policy("ALLOW", rules.into()),
    ];
    let text = json!({"kind": "List", "items": resources}).to_string();
    let ran = jwtctl_with(&["convert", "-", "--findings", "json"], &text);
    assert_eq!((ran.code, &*ran.out), (1, ""));
    assert!(
        errors(&ran)
            .iter()
            .any(|(_, what)| what.contains("overlaps with too many other rules")),
        "{ran:?}"
    );
}

/// The errors, each as its line and message.
fn errors(ran: &Ran) -> Vec<(u64, String)> {
    let report: Value = serde_json::from_str(&ran.err).unwrap_or_else(|error| panic!("{error}: {}", ran.err));
    let findings = report["findings"].as_array().expect("findings").clone();
    let errors = findings.iter().filter(|finding| finding["level"] == "error");
    errors
        .map(|finding| {
            (
                finding["line"].as_u64().expect("a line"),
                finding["message"].as_str().expect("a text").to_owned(),
            )
        })
        .collect()
}

#[test]
fn what_cannot_be_carried_over_is_an_error_with_its_place() {
    let authn = |fields: &str| {
        format!(
            "\"@type\": type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication\n{fields}"
        )
    };
    let istio = |rule: &str| {
        format!(
            "kind: RequestAuthentication\nspec: {{jwtRules: [{{issuer: 'https://a'}}, {{issuer: 'https://b'}}]}}\n---\nkind: AuthorizationPolicy\nspec:\n  rules:\n  - {rule}\n"
        )
    };
    let gateway = |spec: &str| {
        format!("kind: SecurityPolicy\nspec:\n  jwt: {{providers: [{{name: a, issuer: x}}]}}\n  {spec}\n")
    };
    for (text, line, message) in [
        (
            authn("providers: {a: {local_jwks: {inline_string: ''}}}"),
            2,
            "without `issuer`",
        ),
        (
            authn("providers:\n  a: {issuer: x, local_jwks: {filename: /k}}"),
            3,
            "file",
        ),
        (
            authn(
                "providers:\n  a: {issuer: x, remote_jwks: {http_uri: {uri: 'https://a/', cluster: c}}}\nrules:\n- match: {prefix: /, grpc: {}}\n",
            ),
            5,
            "jwt_authn",
        ),
        (
            authn(
                "providers:\n  a: {issuer: x, remote_jwks: {http_uri: {uri: 'https://a/', cluster: c}}}\nrules:\n- match: {prefix: /}\n  requires: {extract_only_without_validation: {}}\n",
            ),
            6,
            "verified",
        ),
        (istio("from: [{source: {principals: ['a']}}]"), 7, "`principals`"),
        (istio("from: [{source: {ipBlocks: ['a']}}]"), 7, "`ipBlocks`"),
        (istio("to: [{operation: {notPorts: ['80']}}]"), 7, "`notPorts`"),
        (istio("to: [{operation: {ports: ['80']}}]"), 7, "`ports`"),
        (
            istio("when: [{key: source.ip, values: ['1.2.3.4']}]"),
            7,
            "`source.ip`",
        ),
        (
            istio("when: [{key: 'source.principal', notValues: ['x']}]"),
            7,
            "`source.principal`",
        ),
        (
            istio("from: [{source: {notRequestPrincipals: ['*c/b']}}]"),
            7,
            "the issuer `…c`",
        ),
        // Before the last slash is the issuer.
        (
            istio("from: [{source: {requestPrincipals: ['https://a/team/x']}}]"),
            7,
            "the issuer `https://a/team`",
        ),
        (
            istio("from: [{source: {requestPrincipals: ['https://a*']}}]"),
            7,
            "the issuer `https:/`",
        ),
        (
            "kind: RequestAuthentication\nspec: {jwtRules: [{issuer: someone}]}\n".to_owned(),
            2,
            "is not a URL",
        ),
        (
            "kind: RequestAuthentication\nspec:\n  jwtRules: [{issuer: 'https://a', spaceDelimitedClaims: [roles]}, {issuer: 'https://b'}]\n".to_owned(),
            3,
            "`roles` at spaces only for some issuers",
        ),
        (
            istio("from: [{source: {requestPrincipals: ['https://c/x']}}]"),
            7,
            "issuer",
        ),
        (
            istio("{}").replace("rules:", "action: CUSTOM\n  rules:"),
            4,
            "CUSTOM",
        ),
        (gateway("mergeType: JSONMerge"), 4, "merged"),
        (gateway("unheard: {}"), 4, "`unheard`"),
        (
            gateway("authorization: {rules: [{action: Allow, cel: 'true'}]}"),
            4,
            "`cel`",
        ),
        (
            gateway("authorization: {defaultAction: Deny}").replace("jwt: {", "jwt: {failOpen: true, "),
            3,
            "`failOpen`",
        ),
        (
            gateway(
                "authorization: {defaultAction: Allow, rules: [{action: Deny, principal: {geoIP: [a]}}]}",
            ),
            4,
            "`geoIP`",
        ),
        (
            gateway("authorization: {rules: [{action: Allow, principal: {clientCIDRs: [a]}}]}"),
            4,
            "`clientCIDRs`",
        ),
    ] {
        let ran = jwtctl_with(&["convert", "-", "--findings", "json"], &text);
        assert_eq!((ran.code, &*ran.out), (1, ""), "{text}\n{ran:?}");
        let found = errors(&ran);
        assert!(
            found
                .iter()
                .any(|(at, what)| *at == line && what.contains(message)),
            "{text}\n{found:#?}"
        );
        // What could be carried over, where that is asked for.
        assert!(
            jwtctl_with(&["convert", "-", "--partial"], &text)
                .out
                .contains("providers:"),
            "{text}"
        );
    }
    assert_eq!(jwtctl_with(&["convert", "-"], "a: 1").code, 2);
    assert_eq!(jwtctl_with(&["convert", "-"], "a: [").code, 2);
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
fn policies_for_several_workloads_become_a_configuration_for_each() {
    let authentication = |namespace: &str, labels: Value, issuer: &str| {
        json!({
            "kind": "RequestAuthentication", "metadata": {"name": "a", "namespace": namespace},
            "spec": {"selector": {"matchLabels": labels}, "jwtRules": [{"issuer": issuer}]},
        })
    };
    let policy = |namespace: &str, spec: Value| json!({"kind": "AuthorizationPolicy", "metadata": {"name": "p", "namespace": namespace}, "spec": spec});
    let to = |path: &str| json!([{"to": [{"operation": {"paths": [path]}}]}]);
    let items = [
        authentication("shop", json!({"app": "orders"}), "https://orders.example.com"),
        authentication("shop", json!({"app": "bills"}), "https://bills.example.com"),
        policy("istio-system", json!({"action": "DENY", "rules": to("/debug")})),
        policy(
            "shop",
            json!({"selector": {"matchLabels": {"app": "orders"}}, "rules": [to("/orders")[0], to("/de*")[0]]}),
        ),
        policy("other", json!({"rules": to("/other")})),
    ];
    let text = json!({"kind": "List", "items": items}).to_string();
    let ran = jwtctl_with(&["convert", "-", "--bare"], &text);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let parts: Vec<(&str, Value)> = ran
        .out
        .split("---\n")
        .map(|part| {
            let (title, config) = part.split_once('\n').expect("a title");
            (title, load_yaml(config).expect("YAML"))
        })
        .collect();
    let titles: Vec<&str> = parts.iter().map(|(title, _)| *title).collect();
    assert_eq!(
        titles,
        ["# namespace shop, app=orders", "# namespace shop, app=bills"]
    );
    let has_path = |config: &Value, path: &str| config["rules"].to_string().contains(&format!("\"{path}\""));
    for (number, (_, config)) in parts.iter().enumerate() {
        let name = ["orders-example-com", "bills-example-com"][number];
        assert!(config["providers"].get(name).is_some(), "{config}");
        assert_eq!(config["providers"].as_object().map(serde_json::Map::len), Some(1));
        // A denial in the root namespace applies everywhere.
        assert!(has_path(config, "/debug"), "{config}");
        assert_eq!(has_path(config, "/orders"), number == 0, "{config}");
        assert!(!has_path(config, "/other"), "{config}");
    }
    // A policy without an issuer is not lost in silence.
    for group in ["(every namespace)", "(namespace other)"] {
        assert!(
            ran.err.contains(&format!("{group}: keep this policy in Istio")),
            "{}",
            ran.err
        );
    }
    let overlapping = [
        authentication("shop", json!({"app": "orders"}), "https://orders.example.com"),
        authentication("shop", json!({"tier": "front"}), "https://bills.example.com"),
    ];
    let text = json!({"kind": "List", "items": overlapping}).to_string();
    let ran = jwtctl_with(&["convert", "-"], &text);
    assert!(
        ran.err.contains("Istio applies the policies of both"),
        "{}",
        ran.err
    );
}

#[test]
fn a_policy_that_istio_only_logs_is_left_out() {
    let mut policy = authorization_policy("DENY", json!([{}]));
    let resources = |policy: &Value| {
        let all = [request_authentication(&Keys::new()), policy.clone()];
        json!({"kind": "List", "items": all}).to_string()
    };
    assert!(
        jwtctl_with(&["convert", "-"], &resources(&policy))
            .out
            .contains("deny: true")
    );
    policy["metadata"]["annotations"] = json!({"istio.io/dry-run": "true"});
    let ran = jwtctl_with(&["convert", "-"], &resources(&policy));
    assert!(!ran.out.contains("deny: true"), "{}", ran.out);
    assert!(ran.err.contains("only logs"), "{}", ran.err);
}

#[test]
fn claims_that_istio_splits_at_spaces_are_split() {
    let folder = Folder::new("convert-split");
    let keys = Keys::new();
    let resources = json!({"kind": "List", "items": [
        {"kind": "RequestAuthentication", "spec": {"jwtRules": [
            {"issuer": CORP, "jwks": jwks(&[&keys.corp]).to_string(), "spaceDelimitedClaims": ["entitlements"]},
        ]}},
        {"kind": "AuthorizationPolicy", "spec": {"rules": [
            {"when": [{"key": "request.auth.claims[entitlements]", "values": ["gold", "sil*"]}]},
        ]}},
    ]});
    let ran = jwtctl_with(&["convert", "-"], &resources.to_string());
    let config = folder.write("config.yaml", &ran.out);
    for (claim, passes) in [
        (json!("tin gold"), true),
        (json!("silver tin"), true),
        (json!(["tin", "gold"]), true),
        (json!("golden tin"), false),
        (json!("tin"), false),
    ] {
        let token = keys.corp().claim("entitlements", claim.clone()).mint();
        let ran = jwtctl(&["explain", &config, "/x", "--token", &token]);
        assert_eq!(ran.code, i32::from(!passes), "{claim}: {}", ran.out);
    }
}

#[test]
fn a_policy_of_envoy_gateway_reads_claims_as_envoy_gateway_does() {
    let folder = Folder::new("convert-claims");
    let keys = Keys::new();
    let policy = |authorization: Value, more: Value| {
        let mut jwt = json!({"providers": [{"name": "corp", "issuer": CORP, "localJWKS": {"inline": jwks(&[&keys.corp]).to_string()}}]});
        for (name, value) in more.as_object().expect("an object") {
            jwt[name] = value.clone();
        }
        let mut spec = json!({"jwt": jwt});
        if !authorization.is_null() {
            spec["authorization"] = authorization;
        }
        json!({"kind": "SecurityPolicy", "spec": spec})
    };
    let allow = |jwt: Value| json!({"rules": [{"action": "Allow", "principal": {"jwt": jwt}}]});
    let claim = |name: &str, kind: &str, value: &str| {
        allow(json!({"provider": "corp", "claims": [{"name": name, "valueType": kind, "values": [value]}]}))
    };
    let path = |path: Value| json!({"rules": [{"action": "Allow", "operation": {"path": path}}]});
    let scopes = allow(json!({"provider": "corp", "scopes": ["read", "write"]}));
    for (authorization, claims, url, passes) in [
        (scopes.clone(), json!({"scope": "write read"}), "/", true),
        (scopes.clone(), json!({"scp": ["read", "write"]}), "/", true),
        (
            scopes.clone(),
            json!({"scope": "read", "scp": "write"}),
            "/",
            true,
        ),
        (scopes, json!({"scope": "read"}), "/", false),
        // A dot leads into an object, and is no letter of a name.
        (claim("a.b", "String", "x"), json!({"a": {"b": "x"}}), "/", true),
        (claim("a.b", "String", "x"), json!({"a.b": "x"}), "/", false),
        (
            claim("a.b", "String", "x"),
            json!({"a": {"b": ["x"]}}),
            "/",
            false,
        ),
        (
            claim("scope", "StringArray", "x"),
            json!({"scope": "w x"}),
            "/",
            true,
        ),
        (claim("scope", "String", "x"), json!({"scope": "x"}), "/", false),
        (
            path(json!({"type": "Exact", "value": "/a"})),
            json!({}),
            "/a?b",
            true,
        ),
        (
            path(json!({"type": "Exact", "value": "/a"})),
            json!({}),
            "/a/b",
            false,
        ),
        (path(json!({"value": "/a/"})), json!({}), "/a/b", true),
        (path(json!({"value": "/a/"})), json!({}), "/ab", false),
        (
            path(json!({"value": "/a", "invert": true})),
            json!({}),
            "/b",
            true,
        ),
        (
            path(json!({"value": "/a", "invert": true})),
            json!({}),
            "/a/b",
            false,
        ),
        (
            path(json!({"type": "RegularExpression", "value": "/a\\?.*x=1"})),
            json!({}),
            "/a?b&x=1",
            true,
        ),
        (
            path(json!({"type": "RegularExpression", "value": "/a"})),
            json!({}),
            "/a?b",
            false,
        ),
    ] {
        let ran = jwtctl_with(
            &["convert", "-"],
            &policy(authorization.clone(), json!({})).to_string(),
        );
        assert_eq!(ran.code, 0, "{}", ran.err);
        let config = folder.write("config.yaml", &ran.out);
        let token = keys.corp().claims(claims.clone()).mint();
        let explained = jwtctl(&["explain", &config, url, "--token", &token]);
        assert_eq!(
            explained.code,
            i32::from(!passes),
            "{authorization} {claims} {url}\n{}",
            explained.out
        );
    }
    // A bad token is no hindrance.
    let ran = jwtctl_with(
        &["convert", "-"],
        &policy(Value::Null, json!({"failOpen": true})).to_string(),
    );
    let config = folder.write("config.yaml", &ran.out);
    let bad = tamper_signature(&keys.corp().mint());
    assert_eq!(
        jwtctl(&["explain", &config, "/", "--token", &bad]).code,
        0,
        "{}",
        ran.out
    );
}

#[test]
fn each_host_of_keys_has_a_cluster_of_its_own() {
    let text = "\
kind: SecurityPolicy
spec:
  cors: {}
  jwt:
    providers:
    - {name: a, issuer: 'https://a.example.com', remoteJWKS: {uri: 'https://a.example.com/keys', backendSettings: {}}}
    - {name: b, issuer: 'https://b.example.com', remoteJWKS: {uri: 'https://b.example.com/keys'}}
    - {name: c, issuer: 'https://c.example.com', remoteJWKS: {uri: 'https://a.example.com/more'}}
";
    let ran = jwtctl_with(&["convert", "-"], text);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let config = load_yaml(&ran.out).expect("YAML");
    let cluster = |name: &str| config["providers"][name]["remote_jwks"]["http_uri"]["cluster"].clone();
    assert_eq!(
        (cluster("a"), cluster("b"), cluster("c")),
        (json!("idp"), json!("idp-b"), json!("idp"))
    );
    for warning in ["`cors` stays", "`backendSettings` describes", "a cluster `idp-b`"] {
        assert!(ran.err.contains(warning), "{warning}: {}", ran.err);
    }
}
