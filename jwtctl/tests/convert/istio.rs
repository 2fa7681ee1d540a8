//! Compares policies of Istio with the filters that istiod makes of them.

use serde_json::{Value, json};
use testkit::{Listener, SigningKey, Upstream, jwks, load_yaml, route, wasm_filter};

use crate::clients::{CORP, Keys, OTHER, compare, converted, started};
use crate::common::{Folder, jwtctl, jwtctl_with};
use crate::jwt_authn::authn_listener;

/// jwt_authn and RBAC, as istiod generates them from a RequestAuthentication of two issuers and an
/// AuthorizationPolicy.
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

pub(crate) fn request_authentication(keys: &Keys) -> Value {
    json!({
        "apiVersion": "security.istio.io/v1", "kind": "RequestAuthentication", "metadata": {"name": "a", "namespace": "n"},
        "spec": {"jwtRules": [
            {"issuer": CORP, "audiences": ["orders-api"], "jwks": jwks(&[&keys.corp]).to_string()},
            {"issuer": OTHER, "jwks": jwks(&[&keys.other]).to_string()},
        ]},
    })
}

pub(crate) fn authorization_policy(action: &str, rules: Value) -> Value {
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
            {"to": [{"operation": {"paths": ["/d/{*}/e/{**}", "/{**}.js"]}}], "from": [{"source": {"requestPrincipals": ["*/bob"]}}]},
            {"to": [{"operation": {"paths": ["/write"], "methods": ["P*"]}}]},
        ]),
    )];
    let prefix = or_list(text(json!({"prefix": "5"})));
    let rbac = json!({
        "role": on("/boss", claim(&["role"], or_list(any_text.clone()))),
        "groups": on("/red", claim(&["groups"], or_list(any_text.clone()))),
        "five": on("/any/x", json!({"or_ids": {"ids": [claim(&["role"], prefix.clone()), claim(&["role"], or_list(text(json!({"suffix": "0"}))))]}})),
        "not five": on("/open", json!({"not_id": {"or_ids": {"ids": [claim(&["role"], prefix), claim(&["role"], or_list(text(json!({"prefix": "x"}))))]}}})),
        "bob": on("/bob", both(vec![claim(&["iss"], any_text.clone()), claim(&["sub"], exact("bob"))])),
        "template": {"permissions": [template("/b/*/c")], "principals": [{"any": true}]},
        "long template": {"permissions": [template("/d/*/e/**"), template("/**.js")],
            "principals": [both(vec![claim(&["iss"], any_text.clone()), claim(&["sub"], exact("bob"))])]},
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
        // The usual way to require a token, and a rule that always denies.
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
        // Several rules for the same requests, with exceptions. Each of them may allow a request.
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
        // Denials with conditions, which Istio applies before its permissions.
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
        // A rule that denies all requests, and one that denies none.
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
        ("GET", "/d/x-y/e/"),
        ("GET", "/d/x-y/e/f/g-h/i"),
        ("GET", "/d/x/y/e/f"),
        ("GET", "/d/x/e/f|g"),
        ("GET", "/static/a-b/c.js"),
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
fn a_star_within_a_path_of_istio_is_a_plain_character() {
    let keys = Keys::new();
    let folder = Folder::new("convert-star");
    let denial = |paths: Value| {
        let policy = json!([{"from": [{"source": {"notRequestPrincipals": ["*"]}}], "to": [{"operation": {"notPaths": paths}}]}]);
        let resources = [
            request_authentication(&keys),
            authorization_policy("DENY", policy),
        ];
        json!({"apiVersion": "v1", "kind": "List", "items": resources}).to_string()
    };
    let open = |text: &str, path: &str| {
        let ran = jwtctl_with(&["convert", "-"], text);
        assert_eq!(ran.code, 0, "{}", ran.err);
        let config = folder.write("config.yaml", &ran.out);
        (jwtctl(&["explain", &config, path]).code == 0, ran.err)
    };
    // As many installations have them: the second adds nothing to the first.
    let both = denial(json!(["/login/*", "/login/**", "/oauth2/*", "/health"]));
    for (path, is_open) in [
        ("/login/x", true),
        ("/oauth2/x", true),
        ("/health", true),
        ("/login", false),
        ("/x", false),
    ] {
        assert_eq!(open(&both, path).0, is_open, "{path}");
    }
    let (is_open, messages) = open(&denial(json!(["/login/**"])), "/login/x");
    assert!(
        !is_open && messages.contains("paths with the text `/login/*`"),
        "{messages}"
    );
}

/// The denials of an operator of Kubernetes: one rule for each method and path that it does not name.
#[test]
fn no_rule_of_a_conversion_is_hidden_by_those_before_it() {
    let token =
        |name: &str, value: &str| json!({"key": format!("request.auth.claims[{name}]"), "values": [value]});
    let policies = [
        authorization_policy(
            "ALLOW",
            json!([
                {"to": [{"operation": {"paths": ["/user*"], "notMethods": ["GET", "POST"]}}, {"operation": {"notPaths": ["/user*"]}}], "when": [token("role", "base")]},
                {"to": [{"operation": {"paths": ["/user*"]}}], "when": [token("role", "base"), token("role", "user")]},
            ]),
        ),
        authorization_policy(
            "ALLOW",
            json!([
                {"to": [{"operation": {"paths": ["/a", "/common"], "notPaths": ["/b"]}}], "when": [token("aud", "one")]},
                {"to": [{"operation": {"paths": ["/b", "/common"], "notPaths": ["/a"]}}], "when": [token("aud", "two")]},
            ]),
        ),
    ];
    for policy in policies {
        let items = [request_authentication(&Keys::new()), policy];
        let text = json!({"kind": "List", "items": items}).to_string();
        let config = jwtctl_with(&["convert", "-"], &text);
        assert_eq!(config.code, 0, "{}", config.err);
        let ran = jwtctl_with(&["check", "--level", "error", "-"], &config.out);
        assert_eq!(ran.code, 0, "{}\n{}", ran.out, config.out);
    }
}
