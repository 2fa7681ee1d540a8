//! `jwtctl route`, `diff` and `test`, on the real binary.

#![cfg(test)]

mod common;

use common::{Folder, jwtctl, jwtctl_with};
use serde_json::{Value, json};

fn config() -> Value {
    json!({
        "providers": {
            "corp": {"issuer": "https://idp.example.com", "audiences": ["api"], "discovery": {"cluster": "idp"}, "claim_to_headers": [{"claim_name": "sub", "header_name": "x-sub"}]},
            "other": {"issuer": "https://b.example.com", "audiences": ["api"], "algorithms": ["RS256"], "subjects": {"prefix": "svc-"}, "discovery": {"cluster": "idp"}},
        },
        "rules": [
            {"match": {"path": "/healthz"}},
            {"match": {"prefix": "/admin/", "methods": ["GET"]}, "requires": {"provider_name": "corp"}, "authorize": {"scopes": {"all": ["admin"]}, "claims": [{"claim_name": "role", "any_of": ["a", "b"]}]}},
            {"match": {"prefix": "/opt"}, "requires": {"requires_any": {"requirements": [{"provider_name": "other"}, {"allow_missing_or_failed": {}}]}}},
            {"match": {"safe_regex": {"regex": "/v[0-9]+/items"}, "hosts": ["*.example.org"]}, "requires": {"provider_name": "other"}},
            {"match": {"prefix": "/"}, "requires": {"provider_name": "corp"}},
        ],
    })
}

fn edited(edit: impl FnOnce(&mut Value)) -> Value {
    let mut config = config();
    edit(&mut config);
    config
}

fn route(folder: &Folder, config: &Value, more: &[&str]) -> Vec<Value> {
    let path = folder.write("route.json", &config.to_string());
    let ran = jwtctl(&[&["route", &path, "--output", "json"], more].concat());
    assert_eq!(ran.code, 0, "{ran:?}");
    ran.json()["requests"].as_array().expect("requests").clone()
}

#[test]
fn the_matrix_has_each_rule_and_what_lies_beside_it() {
    let folder = Folder::new("policy-route");
    let rows = route(&folder, &config(), &[]);
    for rule in ["rules[0]", "rules[1]", "rules[2]", "rules[3]", "rules[4]"] {
        assert!(rows.iter().any(|row| row["rule"] == rule), "{rule}: {rows:#?}");
    }
    let of = |request: &str| {
        rows.iter()
            .find(|row| row["request"] == request)
            .unwrap_or_else(|| panic!("{request}: {rows:#?}"))["answers"]
            .clone()
    };
    assert_eq!(
        of("GET /admin/x"),
        json!({"no token": "401 token_missing", "corp": "403 scope_insufficient", "corp, all claims": "allowed (corp)", "other": "401 issuer_unknown", "other, all claims": "401 issuer_unknown", "forged": "401 signature_invalid"})
    );
    assert_eq!(of("GET /healthz")["no token"], "allowed");
    assert_eq!(of("GET /healthzx")["no token"], "401 token_missing");
    assert_eq!(of("GET /opt")["no token"], "allowed (anonymous)");
    assert_eq!(of("GET /opt")["other"], "allowed (other)");
    let given = route(
        &folder,
        &config(),
        &[
            "-X",
            "GET",
            "-X",
            "POST",
            "/admin/users",
            "https://a.example.org/v1/items",
        ],
    );
    let lines: Vec<(&str, &str)> = given
        .iter()
        .map(|row| {
            (
                row["request"].as_str().expect("a text"),
                row["rule"].as_str().expect("a text"),
            )
        })
        .collect();
    assert_eq!(
        lines,
        [
            ("GET /admin/users", "rules[1]"),
            ("POST /admin/users", "rules[4]"),
            ("GET /v1/items at a.example.org", "rules[3]"),
            ("POST /v1/items at a.example.org", "rules[3]")
        ]
    );
}

/// The differences: request, client, old and new answer.
fn diff(folder: &Folder, new: &Value) -> (i32, Vec<[String; 4]>) {
    diff_between(folder, &config(), new)
}

fn diff_between(folder: &Folder, old: &Value, new: &Value) -> (i32, Vec<[String; 4]>) {
    let old = folder.write("old.json", &old.to_string());
    let new = folder.write("new.json", &new.to_string());
    let ran = jwtctl(&["diff", &old, &new, "--output", "json"]);
    let changes = ran.json()["changes"].as_array().expect("changes").clone();
    let text = |change: &Value, name: &str| change[name].as_str().expect("a text").to_owned();
    let changes = changes
        .iter()
        .map(|change| ["request", "client", "old", "new"].map(|name| text(change, name)));
    (ran.code, changes.collect())
}

#[test]
fn each_change_of_a_policy_is_seen() {
    let folder = Folder::new("policy-diff");
    assert_eq!(diff(&folder, &config()), (0, Vec::new()));
    let rule = |number: usize| {
        move |config: &mut Value, name: &str, value: Value| config["rules"][number]["match"][name] = value
    };
    let edits: Vec<(&str, Value)> = vec![
        (
            "a path",
            edited(|config| rule(0)(config, "path", json!("/health"))),
        ),
        (
            "a prefix",
            edited(|config| rule(1)(config, "prefix", json!("/admin"))),
        ),
        (
            "a method",
            edited(|config| rule(1)(config, "methods", json!(["GET", "PUT"]))),
        ),
        (
            "a host",
            edited(|config| rule(3)(config, "hosts", json!(["b.example.net"]))),
        ),
        (
            "a pattern",
            edited(|config| rule(3)(config, "safe_regex", json!({"regex": "/v[0-9]+/things"}))),
        ),
        (
            "case",
            edited(|config| rule(1)(config, "case_sensitive", json!(false))),
        ),
        (
            "a scope",
            edited(|config| config["rules"][1]["authorize"]["scopes"] = json!({"all": ["admin", "audit"]})),
        ),
        (
            "a value",
            edited(|config| config["rules"][1]["authorize"]["claims"][0]["any_of"] = json!(["a"])),
        ),
        (
            "a condition",
            edited(|config| config["rules"][1]["authorize"] = json!({"scopes": {"all": ["admin"]}})),
        ),
        (
            "a waiver",
            edited(|config| {
                drop(
                    config["rules"][4]
                        .as_object_mut()
                        .expect("a rule")
                        .remove("requires"),
                )
            }),
        ),
        (
            "a provider",
            edited(|config| config["rules"][4]["requires"] = json!({"provider_name": "other"})),
        ),
        (
            "an audience",
            edited(|config| config["providers"]["corp"]["audiences"] = json!(["api", "web"])),
        ),
        (
            "any audience",
            edited(|config| config["providers"]["corp"]["audiences"] = json!(["*"])),
        ),
        (
            "an issuer",
            edited(|config| config["providers"]["corp"]["issuer"] = json!("https://new.example.com")),
        ),
        (
            "expiration",
            edited(|config| config["providers"]["corp"]["require_expiration"] = json!(false)),
        ),
        (
            "a header",
            edited(|config| {
                config["providers"]["corp"]["claim_to_headers"][0]["header_name"] = json!("x-user")
            }),
        ),
        ("shadow mode", edited(|config| config["mode"] = json!("shadow"))),
        (
            "a removed rule",
            edited(|config| drop(config["rules"].as_array_mut().expect("rules").remove(1))),
        ),
    ];
    for (what, new) in &edits {
        let (code, changes) = diff(&folder, new);
        assert!(code == 1 && !changes.is_empty(), "{what} is not seen");
    }
    // The order of two rules that overlap. One that hides another is refused.
    let with_another_at = |place: usize| {
        edited(|config| {
            let rule = json!({"match": {"prefix": "/", "methods": ["DELETE"]}, "requires": {"provider_name": "corp"}});
            config["rules"].as_array_mut().expect("rules").insert(place, rule);
        })
    };
    let (code, changes) = diff_between(&folder, &with_another_at(3), &with_another_at(2));
    assert_eq!(code, 1);
    assert!(
        changes
            .iter()
            .all(|[request, ..]| request.starts_with("DELETE /opt")),
        "{changes:#?}"
    );
    // Only what has changed.
    let (_, changes) = diff(&folder, &edits[7].1);
    assert!(
        changes.iter().all(|[request, client, old, new]| {
            request.contains("/admin/")
                && client == "corp, role \"b\""
                && old == "allowed (corp)"
                && new == "403 claim_rejected"
        }),
        "{changes:#?}"
    );
}

#[test]
fn expectations_are_run_and_compared_with_the_decision() {
    let folder = Folder::new("policy-test");
    folder.write("config.json", &config().to_string());
    let good = folder.write(
        "good.yaml",
        "\
config: config.json
tests:
- {request: GET /healthz, expect: allowed}
- {request: /x, expect: token_missing}
- {request: /x, expect: refused}
- {request: /x, expect: 401}
- request: {method: GET, path: /admin/x, headers: {x-a: [b, c]}}
  token: {claims: {scope: admin, role: b, sub: alice}}
  expect: {decision: allowed, rule: 'rules[1]', provider: corp, upstream: {x-sub: alice, x-a: [b, c], authorization: null}}
- {request: /admin/x, token: {claims: {scope: admin}}, expect: {reason: claim_rejected, status: 403}}
- {request: /x, token: {lifetime: -100}, expect: token_expired}
- {request: /x, token: {lifetime: -30}, expect: allowed}
- {request: /x, token: {forged: true}, expect: signature_invalid}
- {request: /x, token: {claims: {exp: null}}, expect: claim_missing}
- {request: /x, token: {header: {alg: none}}, expect: algorithm_rejected}
- {request: /x, token: not.a.token, expect: token_malformed}
- {request: {url: 'https://a.example.org/v1/items'}, token: {provider: other}, expect: {provider: other}}
- {request: /x, token: {claims: {exp: 1000000300, iat: 1000000000}}, time: 2001-09-09T01:46:40Z, expect: allowed}
",
    );
    let ran = jwtctl(&["test", &good]);
    assert_eq!(ran.code, 0, "{}", ran.out);
    assert!(ran.out.contains("14 passed, 0 failed"), "{}", ran.out);
    let wrong = folder.write(
        "wrong.yaml",
        "\
tests:
- {name: 'a <b> & \"c\"', request: GET /healthz, expect: refused}
- {request: /x, expect: allowed}
- {request: /x, expect: token_expired}
- {request: /x, expect: 403}
- {request: /x, token: {claims: {sub: bob}}, expect: {upstream: {x-sub: alice}}}
- {request: /x, token: {}, expect: {upstream: {authorization: x}}}
- {request: /x, token: {}, expect: {rule: 'rules[0]'}}
- {request: /x, expect: {decision: refused, upstream: {a: b}}}
- {request: /x, token: {}, expect: {status: 200}}
- {request: /healthz, expect: allowed}
",
    );
    let config = folder.path("config.json");
    let ran = jwtctl(&["test", &wrong, "--config", &config, "--output", "json"]);
    assert_eq!(
        (ran.code, &ran.json()["failed"], &ran.json()["passed"]),
        (1, &json!(9), &json!(1)),
        "{}",
        ran.out
    );
    let ran = jwtctl(&["test", &wrong, "--config", &config, "--output", "junit"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.out.contains("<testsuites tests=\"10\" failures=\"9\">"),
        "{}",
        ran.out
    );
    assert!(
        ran.out.contains("name=\"a &lt;b&gt; &amp; &quot;c&quot;\""),
        "{}",
        ran.out
    );
    assert_eq!(ran.out.matches("<failure ").count(), 9);
    let report = quick_junit::Report::deserialize_from_str(&ran.out).expect("JUnit");
    assert_eq!((report.tests, report.failures, report.errors), (10, 9, 0));
    let cases = &report.test_suites[0].test_cases;
    assert_eq!(cases[0].name.as_str(), "a <b> & \"c\"");
}

#[test]
fn a_file_of_expectations_with_a_mistake_is_no_success() {
    let folder = Folder::new("policy-mistakes");
    let config = folder.write("config.json", &config().to_string());
    for (text, message) in [
        ("tests: []", "no tests"),
        ("test: []", "unknown field `test`"),
        ("tests: [{request: /x}]", "`expect` is missing"),
        ("tests: [{expect: allowed}]", "`request` is missing"),
        ("tests: [{request: /x, expect: alowed}]", "expected allowed"),
        (
            "tests: [{request: /x, expect: {decison: allowed}}]",
            "unknown field `decison`",
        ),
        (
            "tests: [{request: /x, expect: {reason: token_missed}}]",
            "`token_missed`",
        ),
        (
            "tests: [{request: /x, tokn: {}, expect: allowed}]",
            "unknown field `tokn`",
        ),
        (
            "tests: [{request: /x, token: {provider: crop}, expect: allowed}]",
            "no provider is named `crop`",
        ),
        (
            "tests: [{request: {pth: /x}, expect: allowed}]",
            "unknown field `pth`",
        ),
        (
            "tests: [{request: /x, time: noon, expect: allowed}]",
            "is not a time",
        ),
        (
            "tests: [{request: '', expect: allowed}]",
            "expected a method and a path",
        ),
        (
            "tests: [{request: /x, expect: {}}]",
            "the expectation says nothing",
        ),
        (
            "tests: [{request: {path: /x, headers: [a]}, expect: refused}]",
            "expected an object",
        ),
        (
            "tests: [{request: {path: [/x]}, expect: refused}]",
            "expected a text",
        ),
        (
            "tests: [{request: /x, token: {claims: [sub]}, expect: allowed}]",
            "expected an object",
        ),
        (
            "tests: [{request: /x, token: {header: typ}, expect: allowed}]",
            "expected an object",
        ),
        (
            "tests: [{request: /x, token: {forged: 'no'}, expect: refused}]",
            "expected true or false",
        ),
        (
            "tests: [{request: /x, token: {}, expect: {upstream: x-sub}}]",
            "expected an object",
        ),
        ("a: [", ""),
    ] {
        let ran = jwtctl_with(&["test", "-", "--config", &config], text);
        assert_eq!(ran.code, 2, "{text}: {ran:?}");
        assert!(ran.err.contains(message), "{text}: {}", ran.err);
        assert!(ran.err.contains("<stdin>"), "{}", ran.err);
    }
    assert_eq!(
        jwtctl_with(&["test", "-"], "tests: [{request: /x, expect: allowed}]").code,
        2
    );
}

#[test]
fn a_token_is_where_its_provider_looks_for_it() {
    let folder = Folder::new("policy-locations");
    let keys =
        r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    let provider =
        |issuer: &str| json!({"issuer": issuer, "audiences": ["api"], "local_jwks": {"inline_string": keys}});
    let mut bot = provider("https://bot.example");
    bot["from_headers"] = json!([{"name": "x-bot"}]);
    let mut page = provider("https://page.example");
    page["from_cookies"] = json!(["session"]);
    let config = json!({
        "providers": {"corp": provider("https://corp.example"), "bot": bot, "page": page},
        "rules": [{"match": {"prefix": "/"}, "requires": {"requires_any": {"requirements": [
            {"provider_name": "corp"}, {"provider_name": "bot"}, {"provider_name": "page"}]}}}],
    });
    let config = folder.write("config.json", &config.to_string());
    let tests = "\
tests:
- {request: /, token: {provider: corp}, expect: {decision: allowed, provider: corp}}
- {request: /, token: {provider: bot}, expect: {decision: allowed, provider: bot}}
- {request: /, token: {provider: page}, expect: {decision: allowed, provider: page}}
";
    let ran = jwtctl_with(&["test", "-", "--config", &config], tests);
    assert_eq!(ran.code, 0, "{}", ran.out);
    let matrix = jwtctl(&["route", &config]);
    for name in ["corp", "bot", "page"] {
        assert!(
            matrix.out.contains(&format!("allowed ({name})")),
            "{name}: {}",
            matrix.out
        );
    }
}
