//! Configurations of jwt_authn, with the additional fields of this filter.

use proxy_wasm_jwt::config::Config;
use serde_json::{Map, Value, json};
use testkit::Random;

use crate::listeners::remote_path;
use crate::world::{KeySet, idps};

const NAMES: [&str; 3] = ["corp", "partner", "legacy"];

/// The audiences of the first provider's tokens and so on; `*` for any.
pub(crate) const AUDIENCES: &[&[&str]] = &[
    &["orders-api"],
    &["orders-api", "billing-api"],
    &["https://api.example.com/"],
    &["*"],
];

/// A configuration that both filters take.
pub(crate) fn generate(random: &mut Random) -> Value {
    let count = 1 + random.below(3);
    let mut providers = Map::new();
    for (number, name) in NAMES.iter().enumerate().take(count) {
        // Now and then two providers of the same issuer.
        let idp = if random.percent(10) { 0 } else { number };
        providers.insert((*name).to_owned(), provider(idp, random));
    }
    let names = &NAMES[..count];
    let mut config = json!({"providers": providers});
    let named = random.percent(20);
    if named {
        config["requirement_map"] =
            json!({"first": requirement(names, 2, random), "second": requirement(names, 1, random)});
    }
    if random.percent(97) {
        let mut rules: Vec<Value> = (0..random.below(5)).map(|_| rule(names, named, random)).collect();
        if random.percent(88) {
            let mut last = json!({"match": {"prefix": "/"}});
            if random.percent(92) {
                last["requires"] = requirement(names, 2, random);
            }
            rules.push(last);
        }
        config["rules"] = rules.into();
    }
    if random.percent(20) {
        config["bypass_cors_preflight"] = true.into();
    }
    if random.percent(15) {
        config["strip_failure_response"] = true.into();
    }
    without_dead_rules(config)
}

/// The configuration without rules that never match, which ours refuses.
fn without_dead_rules(mut config: Value) -> Value {
    while let Err(error) = Config::parse(config.to_string().as_bytes())
        && error.to_string().contains(": can never match")
    {
        let number = error
            .path
            .strip_prefix("rules[")
            .and_then(|path| path.strip_suffix(']'));
        let number: usize = number.expect("a rule").parse().expect("its number");
        config["rules"].as_array_mut().expect("rules").remove(number);
    }
    config
}

fn provider(number: usize, random: &mut Random) -> Value {
    let idp = &idps()[number];
    let mut provider = json!({"issuer": idp.issuer, "audiences": random.pick(AUDIENCES)});
    let mut set = |name: &str, value: Value| provider[name] = value;
    let keys = if random.percent(60) {
        KeySet::Full
    } else {
        random.pick(&KeySet::ALL)
    };
    if random.percent(15) {
        set(
            "remote_jwks",
            json!({
                "http_uri": {"uri": format!("http://idp.example.com{}", remote_path(number, keys)), "cluster": "issuer", "timeout": "5s"},
                "cache_duration": {"seconds": 300}
            }),
        );
    } else {
        set("local_jwks", json!({"inline_string": keys.of(idp).to_string()}));
    }
    match random.below(10) {
        0..=2 => {}
        3 | 4 => set("require_expiration", true.into()),
        _ => set("require_expiration", false.into()),
    }
    match random.below(6) {
        0 => set("clock_skew_seconds", 5.into()),
        1 => set("clock_skew_seconds", 600.into()),
        _ => {}
    }
    if random.percent(10) {
        set("max_lifetime", "3600s".into());
    }
    if random.percent(20) {
        set("subjects", parsed(random.pick(SUBJECTS)));
    }
    if random.percent(50) {
        let headers: Vec<Value> = random.some(HEADERS, 50).into_iter().map(parsed).collect();
        if !headers.is_empty() {
            set("from_headers", headers.into());
        }
        let params = random.some(&["access_token", "jwt"], 40);
        if !params.is_empty() {
            set("from_params", json!(params));
        }
        let cookies = random.some(&["session", "auth"], 40);
        if !cookies.is_empty() {
            set("from_cookies", json!(cookies));
        }
    }
    if random.percent(50) {
        set("forward", random.percent(60).into());
    }
    if random.percent(40) {
        set(
            "forward_payload_header",
            random.pick(&["x-jwt-payload", "X-Payload"]).into(),
        );
        if random.percent(40) {
            set("pad_forward_payload_header", true.into());
        }
    }
    let claims: Vec<Value> = random
        .some(CLAIMS, 20)
        .into_iter()
        .map(|(claim, header)| json!({"claim_name": claim, "header_name": header}))
        .collect();
    if !claims.is_empty() {
        set("claim_to_headers", claims.into());
    }
    provider
}

const SUBJECTS: &[&str] = &[
    r#"{"exact": "alice"}"#,
    r#"{"prefix": "service:"}"#,
    r#"{"suffix": "LICE", "ignore_case": true}"#,
    r#"{"contains": "lic"}"#,
    r#"{"safe_regex": {"regex": "al.*"}}"#,
];

const HEADERS: &[&str] = &[
    r#"{"name": "Authorization", "value_prefix": "Bearer "}"#,
    r#"{"name": "x-jwt"}"#,
    r#"{"name": "x-goog-iap", "value_prefix": "JWT "}"#,
];

/// Claims, each with a header of its own.
pub(crate) const CLAIMS: &[(&str, &str)] = &[
    ("sub", "x-sub"),
    ("iss", "X-Iss"),
    ("scope", "x-scope"),
    ("flag", "x-flag"),
    ("number", "x-number"),
    ("big", "x-big"),
    ("fraction", "x-fraction"),
    ("negative", "x-negative"),
    ("list", "x-list"),
    ("object", "x-object"),
    ("nested", "x-nested"),
    ("nested.key", "x-nested-key"),
    ("nested.deep.er", "x-nested-deeper"),
    ("dotted.name", "x-dotted"),
    ("https://example.com/verified", "x-verified"),
    ("empty", "x-empty"),
    ("null", "x-null"),
    ("accent", "x-accent"),
    ("spaced", "x-spaced"),
    ("absent", "x-absent"),
];

fn rule(names: &[&str], named: bool, random: &mut Random) -> Value {
    let mut matcher = parsed(random.pick(PATHS));
    if random.percent(10) {
        matcher["case_sensitive"] = random.percent(30).into();
    }
    if random.percent(20) {
        matcher["headers"] = json!([parsed(random.pick(HEADER_MATCHERS))]);
    }
    if random.percent(15) {
        matcher["query_parameters"] = json!([parsed(random.pick(QUERY_MATCHERS))]);
    }
    let mut rule = json!({"match": matcher});
    if named && random.percent(40) {
        rule["requirement_name"] = random.pick(&["first", "second"]).into();
    } else if random.percent(80) {
        rule["requires"] = requirement(names, 2, random);
    }
    rule
}

const PATHS: &[&str] = &[
    r#"{"prefix": "/orders"}"#,
    r#"{"prefix": "/"}"#,
    r#"{"prefix": "/healthz"}"#,
    r#"{"path": "/orders"}"#,
    r#"{"path": "/healthz"}"#,
    r#"{"safe_regex": {"regex": "/orders/[0-9]+"}}"#,
    r#"{"safe_regex": {"google_re2": {}, "regex": "/(api|public)/.*"}}"#,
    r#"{"path_separated_prefix": "/orders"}"#,
    r#"{"path_separated_prefix": "/public"}"#,
];

const HEADER_MATCHERS: &[&str] = &[
    r#"{"name": "x-env", "string_match": {"exact": "prod"}}"#,
    r#"{"name": "X-Env", "string_match": {"prefix": "PR", "ignore_case": true}}"#,
    r#"{"name": "x-env", "exact_match": "prod", "invert_match": true}"#,
    r#"{"name": "x-env", "present_match": true}"#,
    r#"{"name": "x-env", "present_match": false}"#,
    r#"{"name": "x-env"}"#,
    r#"{"name": "x-env", "string_match": {"exact": ""}, "treat_missing_header_as_empty": true}"#,
    r#"{"name": "x-env", "safe_regex_match": {"regex": "pr.."}}"#,
    r#"{"name": "x-number", "range_match": {"start": 1, "end": 10}}"#,
    r#"{"name": "x-env", "contains_match": "ro"}"#,
    r#"{"name": ":method", "string_match": {"exact": "POST"}}"#,
    r#"{"name": ":method", "string_match": {"safe_regex": {"regex": "GET|HEAD"}}}"#,
];

const QUERY_MATCHERS: &[&str] = &[
    r#"{"name": "v", "string_match": {"exact": "1"}}"#,
    r#"{"name": "v", "present_match": true}"#,
    r#"{"name": "v"}"#,
    r#"{"name": "v", "string_match": {"prefix": "b"}}"#,
];

fn requirement(names: &[&str], depth: usize, random: &mut Random) -> Value {
    let name = random.pick(names);
    match random.below(if depth == 0 { 6 } else { 12 }) {
        0..=3 => json!({"provider_name": name}),
        4 | 5 => {
            json!({"provider_and_audiences": {"provider_name": name, "audiences": random.pick(&AUDIENCES[..3])}})
        }
        6 => json!({"allow_missing": {}}),
        7 => json!({"allow_missing_or_failed": {}}),
        8..=10 => json!({"requires_any": {"requirements": several(names, depth, random)}}),
        _ => json!({"requires_all": {"requirements": several(names, depth, random)}}),
    }
}

fn several(names: &[&str], depth: usize, random: &mut Random) -> Vec<Value> {
    let mut all: Vec<Value> = (0..2 + random.below(2))
        .map(|_| requirement(names, depth - 1, random))
        .collect();
    if random.percent(25) {
        all.push(json!({"allow_missing": {}}));
    }
    all
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}
