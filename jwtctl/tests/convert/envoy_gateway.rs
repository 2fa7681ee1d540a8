//! SecurityPolicies of Envoy Gateway.

use serde_json::{Value, json};
use testkit::{SigningKey, jwks, load_yaml, tamper_signature};

use crate::clients::{CORP, Keys, OTHER};
use crate::common::{Folder, jwtctl, jwtctl_with};

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
    // No rule allows the request, whatever its token contains.
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
        {"action": "Deny", "operation": {"methods": ["DELETE"]}, "principal": of("other", json!([]), json!([{"name": "iss", "values": [OTHER]}]))},
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
        // A dot leads into an object, and is not a part of a name.
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
    // A bad token does not prevent that.
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
