//! The policy finds rules by the path, and evaluates a test that several rules share once. Neither may change
//! the choices: this test compares them with a reference that evaluates rule by rule and remembers nothing.

use std::rc::Rc;

use proxy_wasm_jwt::authenticator::{Authenticator, Decision, StreamId};
use proxy_wasm_jwt::config::Config;
use proxy_wasm_jwt::denial::Reason;
use proxy_wasm_jwt::ids::{Choice, RuleId};
use proxy_wasm_jwt::policy::{Match, Matched, PathAmbiguity, Policy, RequestPath};
use proxy_wasm_jwt::request::RequestHead;
use proxy_wasm_jwt::store::InMemoryStore;
use proxy_wasm_jwt::time::UnixTime;
use serde_json::{Value, json};
use testkit::Random;

use scenarios::{local_provider, token, with};

const PIECES: [&str; 34] = [
    "/", "/", "/", "a", "b", "A", "api", "api/", "/api", "/a", "/b", "svc1", "svc12", "svc", "-", "1", ".",
    "..", "//", ";v=1", "%61", "%41", "%2f", "%20", "%2e%2e", "\\", "é", "%c3%a9", "x", "%3f", "%25", "/a/b",
    "/x/y", "~",
];

fn text(chance: &mut Random, most: usize) -> String {
    (0..chance.below(most)).map(|_| chance.pick(&PIECES)).collect()
}

/// A random match.
fn matcher(chance: &mut Random, depth: usize) -> Value {
    let mut matcher = json!({});
    let path = format!("/{}", text(chance, 4).trim_start_matches('/'));
    let plain = path
        .trim_end_matches('/')
        .replace(['*', '{', '}', ';', '?', '#'], "");
    match chance.below(8) {
        0 => matcher["path"] = path.into(),
        1..=3 => matcher["prefix"] = path.into(),
        4 if plain.len() > 1 => matcher["path_separated_prefix"] = plain.into(),
        5 => {
            let ends = ["", ".*", "/.*", "[^/]*", "(/.*)?"];
            let quoted = path.replace(['\\', '.'], "[.]");
            matcher["safe_regex"] = json!({"regex": format!("{quoted}{}", chance.pick(&ends))});
        }
        _ => matcher["prefix"] = "/".into(),
    }
    if chance.percent(20) {
        matcher["case_sensitive"] = false.into();
    }
    let string_match = |chance: &mut Random| {
        let form = chance.pick(&["exact", "prefix", "suffix", "contains"]);
        json!({form: chance.pick(&["a", "b", "ab", "A"])})
    };
    if chance.percent(15) {
        matcher["methods"] = json!([chance.pick(&["GET", "POST"])]);
    }
    if chance.percent(15) {
        matcher["hosts"] = json!([chance.pick(&["a.test", "*.a.test", "b.test:8080", "*"])]);
    }
    if chance.percent(25) {
        let name = chance.pick(&["x-a", "x-b", ":path", ":authority", ":method"]);
        matcher["headers"] = json!([{
            "name": name, "string_match": string_match(chance), "invert_match": chance.percent(20),
        }]);
    }
    if chance.percent(20) {
        matcher["query_parameters"] =
            json!([{"name": chance.pick(&["a", "b", "a_b"]), "string_match": string_match(chance)}]);
    }
    if depth > 0 && chance.percent(10) {
        matcher["not"] = self::matcher(chance, depth - 1);
    }
    matcher
}

fn configured(rules: &[Value]) -> Option<Config> {
    let config = json!({"providers": {"corp": local_provider()}, "rules": rules});
    Config::parse(config.to_string().as_bytes()).ok()
}

/// Some rules, without those that the reader refuses: they can never match, or their path is not normalized.
fn configuration(chance: &mut Random) -> (Config, Value) {
    let count = chance.pick(&[1, 7, 8, 9, 12, 30]);
    let mut rules: Vec<Value> = Vec::new();
    loop {
        let alternatives: Vec<Value> = (0..=chance.below(2)).map(|_| matcher(chance, 1)).collect();
        let mut rule = json!({"match": alternatives});
        match chance.below(4) {
            0 => {}
            1 => {
                rule["requires"] = json!({"requires_any": {"requirements": [
                    {"provider_name": "corp"}, {"allow_missing": {}},
                ]}})
            }
            _ => rule["requires"] = json!({"provider_name": "corp"}),
        }
        // Anywhere, because no rule can match after one that takes every request.
        let place = chance.below(rules.len() + 1);
        rules.insert(place, rule);
        match configured(&rules) {
            None => {
                rules.remove(place);
            }
            Some(config) if rules.len() == count => return (config, rules.into()),
            Some(_) => {}
        }
    }
}

/// The same as [`Policy::choose`] of a request whose route names no requirement.
fn one_by_one(policy: &Policy, request: &RequestHead) -> (Choice, Vec<Choice>) {
    let field = policy
        .path_field
        .map(|field| request.first(field).unwrap_or_default());
    let path = RequestPath::new(field.unwrap_or_default());
    let ambiguity = field.map_or(PathAmbiguity::None, |_| path.ambiguity());
    let interpretations = path.interpretations();
    let query = field.and_then(|field| Some(&field[field.iter().position(|byte| *byte == b'?')?..]));
    let fields: Vec<Vec<u8>> = interpretations
        .iter()
        .flatten()
        .map(|path| [path, query.unwrap_or_default()].concat())
        .collect();
    let mut paths = vec![(path, ambiguity != PathAmbiguity::Beyond)];
    if ambiguity != PathAmbiguity::None {
        paths.extend(
            interpretations
                .iter()
                .flatten()
                .zip(&fields)
                .map(|(path, field)| {
                    let path = RequestPath::interpretation(path).with_field(field);
                    (path, path.is_canonical())
                }),
        );
    }
    let mut first = None;
    let mut others: Vec<Choice> = Vec::new();
    let mut add = |choice, may_be_first| match first {
        None if may_be_first => first = Some(choice),
        _ if others.contains(&choice) => {}
        _ => others.push(choice),
    };
    for (position, (path, is_canonical)) in paths.iter().enumerate() {
        let mut is_over = false;
        for (index, rule) in policy.rules.iter().enumerate() {
            let found = rule.matcher.matches(&Matched::new(request), path);
            let is_clear = *is_canonical && found.is_sure;
            if found == Match::NO || !is_clear && rule.demand.without_bypass().is_none() {
                continue;
            }
            let is_strict = rule.demand.is_stricter(is_clear);
            let choice = Choice::Rule {
                id: RuleId::new(index),
                is_strict,
            };
            add(choice, position == 0 && found.is_literal);
            if found.is_sure {
                is_over = true;
                break;
            }
        }
        if !is_over {
            add(Choice::Otherwise, position == 0);
        }
    }
    if interpretations.is_none() {
        add(Choice::Otherwise, false);
        for (index, rule) in policy.rules.iter().enumerate() {
            let is_strict = rule.demand.is_stricter(false);
            let id = RuleId::new(index);
            add(Choice::Rule { id, is_strict }, false);
        }
    }
    let first = first.unwrap_or(Choice::Otherwise);
    others.retain(|choice| *choice != first);
    (first, others)
}

fn head(config: &Config, fields: &[(&str, String)]) -> RequestHead {
    let mut head = RequestHead::new();
    for (name, value) in fields {
        head.take(&config.headers, name.as_bytes(), value.as_bytes());
    }
    head
}

fn request(chance: &mut Random) -> Vec<(&'static str, String)> {
    let mut path = format!("/{}", text(chance, 7).trim_start_matches(['?']));
    if chance.percent(40) {
        let pairs = [
            "a=a", "a=b", "b=a", "A=a", "a.b=a", "a=%61", "a=a;b=b", "%61=a", "a", "a[]=a", "a=%2561",
        ];
        let query: Vec<&str> = (0..=chance.below(4)).map(|_| chance.pick(&pairs)).collect();
        path += &format!("?{}", query.join("&"));
    }
    let method = chance.pick(&["GET", "POST", "get", "G@T"]);
    let host = chance.pick(&[
        "a.test",
        "x.a.test",
        "b.test",
        "b.test:8080",
        "A.test.",
        "x@a.test",
    ]);
    let mut fields = vec![
        (":path", path),
        (":method", method.to_owned()),
        (":authority", host.to_owned()),
    ];
    for name in ["x-a", "x-b"] {
        for _ in 0..chance.pick(&[0, 0, 1, 1, 2, 3, 20]) {
            fields.push((
                name,
                chance
                    .pick(&["a", "b", "ab", " a", "a,b", "b\u{a0}", ""])
                    .to_owned(),
            ));
        }
    }
    fields
}

#[test]
fn rules_that_are_found_by_the_path_are_those_that_match() {
    let mut chance = Random::new(12);
    let mut several = 0;
    for _ in 0..300 {
        let (config, rules) = configuration(&mut chance);
        for _ in 0..60 {
            let fields = request(&mut chance);
            let head = head(&config, &fields);
            let choices = config.policy.choose(&head).unwrap();
            let expected = one_by_one(&config.policy, &head);
            several += usize::from(expected.1.len() > 2);
            assert_eq!((choices.first, choices.others), expected, "{fields:?} {rules}");
        }
    }
    assert!(several > 100, "{several}");
}

/// Rules of which a request has to meet all, since its path can be read in too many ways.
fn decide(rules: Value, token: Option<&str>) -> Decision {
    let config = json!({"providers": {"corp": local_provider()}, "rules": rules});
    let config = Rc::new(Config::parse(config.to_string().as_bytes()).unwrap());
    let mut fields = vec![(":path", "//a/%2e%2e/".repeat(700))];
    fields.extend(token.map(|token| ("authorization", format!("Bearer {token}"))));
    let mut head = head(&config, &fields);
    let mut engine = Authenticator::new(config, 1);
    let now = UnixTime::from_secs(u64::try_from(testkit::unix_now()).unwrap());
    engine.handle_request(StreamId(1), &mut head, &(), now, &InMemoryStore::default())
}

#[test]
fn a_request_that_meets_a_demand_meets_no_other_one_by_it() {
    let rule = |number: usize, scope: &str| {
        json!({
            "match": {"prefix": format!("/x{number}/")}, "requires": {"provider_name": "corp"},
            "authorize": {"scopes": {"all": [scope]}},
        })
    };
    let token = token().claim("scope", "read").mint();
    let mut rules: Vec<Value> = (0..40).map(|number| rule(number, "read")).collect();
    assert!(matches!(
        decide(rules.clone().into(), Some(&token)),
        Decision::Allow(_)
    ));
    for (number, last) in [
        (3, rule(40, "write")),
        (
            20,
            with(
                rule(40, "read"),
                json!({"requires": {"provider_and_audiences": {
                    "provider_name": "corp", "audiences": ["other"],
                }}}),
            ),
        ),
        (39, json!({"match": {"prefix": "/x40/"}, "deny": true})),
    ] {
        rules.insert(number, last);
        assert!(
            matches!(decide(rules.clone().into(), Some(&token)), Decision::Deny(_)),
            "{number}"
        );
        rules.remove(number);
    }
    // A demand in shadow mode refuses no request, and its result does not count for the same demand in
    // another rule that enforces it.
    rules
        .iter_mut()
        .take(20)
        .for_each(|rule| rule["mode"] = "shadow".into());
    assert!(matches!(decide(rules.clone().into(), None), Decision::Deny(_)));
}

/// Tests of header fields and parameters share the effort of a request with the patterns.
#[test]
fn a_request_that_costs_too_much_has_to_meet_every_rule() {
    let good = token().mint();
    let field = |test: Value| json!({"headers": [{"name": "x-env", "string_match": test}]});
    // A comparison of long texts counts more steps.
    let named = |number: usize| format!("{number:0500}");
    type Form = fn(String) -> Value;
    let forms: [(&str, Form); 3] = [
        ("exact", |text| json!({"exact": text})),
        ("prefix", |text| json!({"prefix": text})),
        ("suffix", |text| json!({"suffix": text})),
    ];
    for (form, test) in forms {
        let rule = |number: usize| json!({"match": field(test(named(number))), "deny": true});
        let mut rules: Vec<Value> = (0..400).map(rule).collect();
        rules.push(json!({"match": field(json!({"prefix": "open"}))}));
        let config = json!({"providers": {"corp": local_provider()}, "rules": rules});
        let config = Rc::new(Config::parse(config.to_string().as_bytes()).unwrap());
        let mut engine = Authenticator::new(config.clone(), 1);
        let mut decide = |values: Vec<String>, token: Option<&str>| {
            let mut fields = vec![(":path", "/".to_owned())];
            fields.extend(token.map(|token| ("authorization", format!("Bearer {token}"))));
            fields.extend(values.into_iter().map(|value| ("x-env", value)));
            let now = UnixTime::from_secs(u64::try_from(testkit::unix_now()).unwrap());
            let mut head = head(&config, &fields);
            engine.handle_request(StreamId(1), &mut head, &(), now, &InMemoryStore::default())
        };
        let reason = |decision: Decision| match decision {
            Decision::Deny(refusal) => Some(refusal.denial.reason),
            _ => None,
        };
        assert_eq!(reason(decide(vec!["open".to_owned()], None)), None, "{form}");
        assert_eq!(
            reason(decide(vec!["closed".to_owned()], None)),
            Some(Reason::TokenMissing),
            "{form}"
        );
        assert_eq!(
            reason(decide(vec![named(399)], None)),
            Some(Reason::RouteDenied),
            "{form}"
        );
        // Sixteen elements are compared with each of the rules.
        let open = format!("open{:0496}", 400);
        let costly = vec![[open.as_str(); 15].join(","), open.clone()];
        assert!(reason(decide(costly.clone(), None)).is_some(), "{form}");
        assert_eq!(
            reason(decide(costly, Some(&good))),
            Some(Reason::RouteDenied),
            "{form}"
        );
        let other = vec![open; 2];
        assert_eq!(reason(decide(other, Some(&good))), None, "{form}");
    }
}
