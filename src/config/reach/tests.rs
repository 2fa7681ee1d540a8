//! Tests of the rules and providers that the reader reports as unreachable.

use serde_json::{Value, json};

use crate::config::Config;

fn config(rules: Value) -> Value {
    let provider =
        |issuer: &str| json!({"issuer": issuer, "audiences": ["*"], "discovery": {"cluster": "idp"}});
    json!({
        "providers": {"a": provider("https://a.example"), "b": provider("https://b.example")},
        "rules": rules,
    })
}

/// Rules with these matchers.
fn of(matches: &[Value]) -> Result<Config, String> {
    let rule = |matcher: &Value| json!({"match": matcher, "requires": {"provider_name": "a"}});
    let rules: Vec<Value> = matches.iter().map(rule).collect();
    Config::parse(config(json!(rules)).to_string().as_bytes()).map_err(|error| error.to_string())
}

fn is_refused(earlier: &Value, later: &Value) -> bool {
    match of(&[earlier.clone(), later.clone()]) {
        Ok(_) => false,
        Err(fault) => {
            assert!(
                fault.starts_with("rules[1]: can never match: rules[0] "),
                "{fault}"
            );
            true
        }
    }
}

#[test]
fn a_rule_that_an_earlier_one_hides_is_refused() {
    let regex = |regex: &str| json!({"safe_regex": {"regex": regex}});
    let hidden = [
        (json!({"prefix": "/"}), json!({"path": "/a"})),
        (json!({"prefix": "/"}), json!({"prefix": "/"})),
        (json!({"prefix": "/"}), json!({"connect_matcher": {}})),
        (json!({"prefix": "/"}), regex("/a.*")),
        (json!({"prefix": "/a"}), json!({"path": "/a"})),
        (
            json!({"prefix": "/a"}),
            json!({"path": "/ab", "methods": ["GET"]}),
        ),
        (
            json!({"prefix": "/a"}),
            json!({"prefix": "/a/b", "headers": [{"name": "x"}]}),
        ),
        (json!({"prefix": "/a"}), json!({"path_separated_prefix": "/a"})),
        (json!({"prefix": "/a"}), regex("/ab[0-9]+")),
        (json!({"path_separated_prefix": "/a"}), json!({"path": "/a"})),
        (json!({"path_separated_prefix": "/a"}), json!({"prefix": "/a/"})),
        (
            json!({"path_separated_prefix": "/a"}),
            json!({"path_separated_prefix": "/a/b"}),
        ),
        (json!({"path": "/a"}), json!({"path": "/a", "methods": ["GET"]})),
        (
            json!({"prefix": "/A", "case_sensitive": false}),
            json!({"prefix": "/aB"}),
        ),
        (regex("/[a-c]+"), regex("/[a-c]+")),
        (json!({"methods": ["GET"]}), json!({"methods": ["GET"]})),
        (
            json!({"methods": ["GET"]}),
            json!({"methods": ["GET"], "path": "/a"}),
        ),
        (
            json!({"prefix": "/a", "not": {"path": "/ax"}}),
            json!({"prefix": "/ab", "not": {"path": "/ax"}}),
        ),
        (json!([{"path": "/x"}, {"prefix": "/a"}]), json!({"path": "/ab"})),
        (
            json!([{"path": "/x"}, {"prefix": "/a"}]),
            json!([{"path": "/y"}, {"path": "/ab"}]),
        ),
        (
            json!({"methods": ["GET"], "prefix": "/a"}),
            json!({"path": "/ab", "methods": ["GET"]}),
        ),
    ];
    for (earlier, later) in hidden {
        assert!(is_refused(&earlier, &later), "{earlier} {later}");
    }
}

#[test]
fn a_rule_that_can_match_is_taken() {
    let regex = |regex: &str| json!({"safe_regex": {"regex": regex}});
    let seen = [
        (json!({"path": "/a"}), json!({"prefix": "/"})),
        (json!({"path": "/a"}), json!({"prefix": "/a"})),
        (json!({"path": "/a"}), json!({"path_separated_prefix": "/a"})),
        (json!({"path_separated_prefix": "/a"}), json!({"prefix": "/a"})),
        (json!({"path_separated_prefix": "/a"}), json!({"path": "/ab"})),
        (json!({"prefix": "/a"}), json!({"prefix": "/A"})),
        (
            json!({"prefix": "/a"}),
            json!({"prefix": "/a", "case_sensitive": false}),
        ),
        (json!({"prefix": "/a"}), regex("/(a|b)")),
        (json!({"prefix": "/ab"}), regex("/ab?")),
        (
            json!({"prefix": "/a", "methods": ["GET"]}),
            json!({"prefix": "/a"}),
        ),
        (
            json!({"prefix": "/a", "methods": ["GET"]}),
            json!({"prefix": "/a", "methods": ["POST"]}),
        ),
        (
            json!({"prefix": "/", "hosts": ["a.example"]}),
            json!({"prefix": "/", "hosts": ["b.example"]}),
        ),
        (json!({"connect_matcher": {}}), json!({"prefix": "/"})),
        (regex("/a"), regex("/b")),
        (
            json!({"prefix": "/a", "not": {"path": "/ax"}}),
            json!({"path": "/ax"}),
        ),
    ];
    for (earlier, later) in seen {
        assert!(!is_refused(&earlier, &later), "{earlier} {later}");
    }
}

#[test]
fn what_is_not_sure_is_a_warning_with_both_indexes() {
    let matches = [
        json!({"safe_regex": {"regex": "/a/.*"}}),
        json!({"prefix": "/a/b"}),
    ];
    let warnings = of(&matches).expect("a warning is no fault").warnings;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].starts_with("rules[1]: hardly ever matches: rules[0] "),
        "{warnings:?}"
    );
}

#[test]
fn two_tokens_in_one_place_are_a_warning() {
    let all = json!({"requires_all": {"requirements": [{"provider_name": "a"}, {"provider_name": "b"}]}});
    let mut config = config(json!([{"match": {"prefix": "/"}, "requires": all}]));
    let warnings = |config: &Value| {
        Config::parse(config.to_string().as_bytes())
            .expect("no fault")
            .warnings
    };
    let found = warnings(&config);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("rules[0].requires.requires_all: can never be met: `a` and `b` "),
        "{found:?}"
    );
    let usual = json!({"name": "authorization", "value_prefix": "Bearer "});
    config["providers"]["b"]["from_headers"] = json!([usual]);
    config["providers"]["b"]["from_cookies"] = json!(["b"]);
    assert_eq!(warnings(&config).len(), 1);
    // The second provider reads the token at its own location, even if the first location is empty.
    config["providers"]["b"]["prefer"] = "cookie".into();
    assert_eq!(warnings(&config), Vec::<String>::new());
    config["providers"]["b"]["prefer"] = Value::Null;
    config["providers"]["b"]["from_headers"] = Value::Null;
    assert_eq!(warnings(&config), Vec::<String>::new());
    config["providers"]["b"]["from_cookies"] = Value::Null;
    config["providers"]["b"]["issuer"] = "https://a.example".into();
    assert_eq!(warnings(&config), Vec::<String>::new());
}

#[test]
fn a_match_that_excludes_itself_is_refused() {
    let parts = json!([{"path": "/a"}, {"prefix": "/a"}, {"prefix": "/a/b"}]);
    for (matcher, fault) in [
        (parts, "rules[0]: a part of its `match` can never match"),
        (
            json!({"path": "/a/b", "not": {"prefix": "/a"}}),
            "rules[0].match.not: can never match",
        ),
        (
            json!({"prefix": "/a", "not": [{"path": "/x"}, {"prefix": "/"}]}),
            "rules[0].match.not: can never match",
        ),
    ] {
        let found = of(&[matcher]).expect_err(fault);
        assert!(found.starts_with(fault), "{found}");
    }
    for matcher in [
        json!({"prefix": "/a", "not": {"path": "/a"}}),
        json!({"not": {"methods": ["GET"]}}),
    ] {
        assert!(of(&[matcher]).is_ok());
    }
}

#[test]
fn what_no_request_asks_for_is_a_warning() {
    let warnings = |changes: Value| {
        let mut config = config(json!([
            {"match": {"path": "/healthz"}},
            {"match": {"prefix": "/"}, "requires": {"provider_name": "a"}},
        ]));
        for (name, value) in changes.as_object().expect("an object") {
            config[name] = value.clone();
        }
        let config = Config::parse(config.to_string().as_bytes()).expect("a good configuration");
        config.warnings
    };
    let found = warnings(json!({"filter_state_rules": {"name": "x", "requires": {}}}));
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found[0].starts_with("filter_state_rules: never used: rules[1] "),
        "{found:?}"
    );
    assert!(found[1].starts_with("providers.b: never used: "), "{found:?}");
    for used in [
        json!({"requirement_map": {"x": {"provider_name": "b"}}}),
        json!({"rules": [{"match": {"prefix": "/x"}, "requires": {"provider_name": "a"}}]}),
        json!({"rules": [{"match": {"prefix": "/"}, "requires": {"allow_missing": {}}}]}),
    ] {
        assert_eq!(warnings(used.clone()), Vec::<String>::new(), "{used}");
    }
}

/// The warnings of rules with these matchers.
fn warnings_of(matches: &[Value]) -> Vec<String> {
    let warnings = of(matches).expect("a warning is no fault").warnings;
    let of_rules = warnings
        .into_iter()
        .filter(|warning| warning.starts_with("rules["));
    of_rules.collect()
}

#[test]
fn rules_that_hide_another_together_are_a_warning() {
    let present = |is_there: bool| json!({"headers": [{"name": "x", "present_match": is_there}]});
    let method = |list: &[&str]| json!({"prefix": "/a", "methods": list});
    let hidden = [
        (vec![method(&["GET", "POST"]), method(&["GET"])], "rules[0]"),
        (
            vec![method(&["GET"]), method(&["POST"]), method(&["POST", "GET"])],
            "rules[0] and rules[1]",
        ),
        (
            vec![
                json!({"methods": ["GET"]}),
                json!({"not": {"methods": ["GET"]}}),
                json!({"prefix": "/a"}),
            ],
            "rules[0] and rules[1]",
        ),
        (
            vec![
                json!({"hosts": ["a.test"]}),
                json!({"hosts": ["*.a.test"]}),
                json!({"hosts": ["b.a.test", "a.test"]}),
            ],
            "rules[0] and rules[1]",
        ),
        (vec![json!({"hosts": ["*"]}), json!({"path": "/a"})], "rules[0]"),
        (
            vec![
                json!({"path": "/a"}),
                json!({"prefix": "/a/"}),
                json!({"path_separated_prefix": "/a"}),
            ],
            "rules[0] and rules[1]",
        ),
        (
            vec![present(true), present(false), json!({"prefix": "/"})],
            "rules[0] and rules[1]",
        ),
        (
            vec![
                json!({"headers": [{"name": "x", "string_match": {"exact": "1"}}]}),
                json!({"headers": [{"name": "x", "string_match": {"exact": "1"}, "invert_match": true}]}),
                present(true),
            ],
            "rules[0] and rules[1]",
        ),
        (
            vec![
                json!([{"path": "/a"}, {"path": "/b"}]),
                json!([{"path": "/c"}, {"prefix": "/"}]),
                json!({"hosts": ["a"]}),
            ],
            "rules[1]",
        ),
        (
            vec![
                json!({"not": {"path": "/x"}}),
                json!({"path": "/x"}),
                json!({"prefix": "/"}),
            ],
            "rules[0] and rules[1]",
        ),
        (
            vec![json!({"not": {"path": "/x"}}), json!({"prefix": "/a"})],
            "rules[0]",
        ),
    ];
    for (matches, by) in hidden {
        // Where one rule alone hides it, some of these are refused already.
        let found = of(&matches).map(|config| config.warnings);
        let number = matches.len() - 1;
        match found {
            Ok(_) => {
                let expected = format!("rules[{number}]: never matches: {by} take every request ");
                let found = warnings_of(&matches);
                assert!(
                    found.len() == 1 && found[0].starts_with(&expected),
                    "{matches:?} {found:?}"
                );
            }
            Err(fault) => assert!(
                fault.starts_with(&format!("rules[{number}]: can never match: {by} ")),
                "{fault}"
            ),
        }
    }
    let part = warnings_of(&[
        json!({"methods": ["GET"]}),
        json!({"not": {"methods": ["GET"]}, "prefix": "/a"}),
        json!([{"path": "/a"}, {"path": "/b"}]),
    ]);
    assert!(
        part.len() == 1 && part[0].starts_with("rules[2].match[0]: never matches: "),
        "{part:?}"
    );
}

#[test]
fn rules_that_leave_something_hide_nothing() {
    let text = |test: Value| json!({"headers": [{"name": "x", "string_match": test}]});
    for matches in [
        vec![
            json!({"methods": ["GET"]}),
            json!({"methods": ["POST"]}),
            json!({"prefix": "/"}),
        ],
        vec![json!({"methods": ["GET"]}), json!({"methods": ["GET", "POST"]})],
        vec![
            json!({"hosts": ["*.a.test"]}),
            json!({"hosts": ["a.test", "b.a.test"]}),
        ],
        vec![json!({"hosts": ["a.test:8443"]}), json!({"hosts": ["a.test"]})],
        vec![
            json!({"path": "/a"}),
            json!({"prefix": "/a/b"}),
            json!({"path_separated_prefix": "/a"}),
        ],
        vec![
            json!({"prefix": "/a", "case_sensitive": false, "methods": ["GET"]}),
            json!({"prefix": "/A"}),
        ],
        vec![
            json!({"prefix": "/a", "hosts": ["*"]}),
            json!({"prefix": "/a", "case_sensitive": false}),
        ],
        // A field that is absent matches no text, inverted or not.
        vec![
            text(json!({"exact": "1"})),
            json!({"headers": [{"name": "x", "string_match": {"exact": "1"}, "invert_match": true}]}),
            json!({"prefix": "/"}),
        ],
        vec![
            text(json!({"prefix": "1"})),
            text(json!({"exact": "1", "ignore_case": true})),
        ],
        vec![
            text(json!({"safe_regex": {"regex": "[a-z]+"}})),
            text(json!({"exact": "zqxj"})),
        ],
        vec![
            text(json!({"contains": "q"})),
            json!({"headers": [{"name": "x"}]}),
        ],
        vec![json!({"safe_regex": {"regex": "/[a-z]*"}}), json!({"path": "/a"})],
        vec![json!({"not": {"path": "/x"}}), json!({"prefix": "/x"})],
        vec![json!({"not": {"methods": ["GET"]}}), json!({"path": "/a"})],
        vec![
            json!({"query_parameters": [{"name": "q", "string_match": {"exact": "1"}}]}),
            json!({"query_parameters": [{"name": "q"}]}),
        ],
    ] {
        assert_eq!(warnings_of(&matches), Vec::<String>::new(), "{matches:?}");
    }
}
