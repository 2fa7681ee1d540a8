//! Faulty configurations and the exact message for each: the place of the fault, the fault, and the nearest
//! valid value.
//!
//! `config_errors.golden` has a block for each: changes to a good configuration, `/path = JSON` to set and
//! `/path -` to take away, then the message of each fault after `> `. `make bless` rewrites the messages;
//! read them before you commit them.

#![cfg(test)]
#![allow(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly, and reads the clock"
)]

use proxy_wasm_jwt::config::reference::{FieldReference, Shape};
use proxy_wasm_jwt::config::{Config, ConfigError, declarations};
use serde_json::{Value, json};

const FILE: &str = "tests/config_errors.golden";

/// The least number of faulty configurations; a file that was cut off must not pass.
const AT_LEAST: usize = 500;

/// In place of a message, when the golden file is written: no fault at all.
const ACCEPTED: &str = "(taken for a good configuration)";

#[test]
fn golden_message_of_every_fault() {
    let golden = std::fs::read_to_string(testkit::workspace_root().join(FILE)).expect("the golden file");
    let blocks: Vec<&str> = golden
        .split("\n\n")
        .filter(|block| !block.trim().is_empty())
        .collect();
    assert!(
        blocks.len() >= AT_LEAST,
        "only {} faulty configurations",
        blocks.len()
    );
    let found: Vec<String> = blocks.iter().map(|block| with_message(block)).collect();
    let found = format!("{}\n", found.join("\n\n"));
    testkit::assert_golden(FILE, &found);
    assert!(!found.contains(ACCEPTED), "{found}");
}

#[test]
fn faults_have_the_order_of_the_text() {
    let provider = r#""local_jwks":{"inline_string":"{}"}"#;
    let text = format!(
        r#"{{"stat_prefix":"/","rules":[{{"match":{{"prefix":"a"}}}},{{"match":{{}}}}],"providers":{{"p":{{{provider}}}}},"mode":7}}"#
    );
    let error = Config::parse(text.as_bytes()).expect_err("four places with faults");
    let paths: Vec<&str> = error.all().map(|fault| fault.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "stat_prefix",
            "rules[0].match.prefix",
            "rules[1].match",
            "providers.p",
            "providers.p",
            "providers.p.local_jwks.inline_string",
            "mode"
        ]
    );
}

#[test]
fn the_good_configuration_is_good() {
    Config::parse(good().to_string().as_bytes()).expect("what the faults are made from");
}

/// Every worker searches for hidden rules when it reads a configuration. Without a bound, one of these took
/// more than a minute.
#[test]
fn very_many_rules_end_the_search_for_hidden_ones() {
    let rule = |name: String, value: String| {
        let header = json!({"name": name, "string_match": {"exact": value}});
        json!({"match": {"headers": [header]}, "requires": {"provider_name": "corp"}})
    };
    let numbers = 0..5_000;
    let of_one_field = numbers.clone().map(|at| rule("x".into(), at.to_string()));
    let of_many_fields = numbers.map(|at| rule(format!("x{at}"), "1".into()));
    for rules in [of_one_field.collect::<Vec<_>>(), of_many_fields.collect()] {
        let mut config = good();
        config["rules"] = json!(rules);
        let before = std::time::Instant::now();
        let config = Config::parse(config.to_string().as_bytes()).expect("a good configuration");
        assert!(
            !config
                .warnings
                .iter()
                .any(|warning| warning.contains("never matches"))
        );
        assert!(before.elapsed().as_secs() < 30, "{:?}", before.elapsed());
    }
}

/// The block with the message that its configuration gets.
fn with_message(block: &str) -> String {
    let mut text = String::new();
    let mut config = Some(good());
    for line in block.lines().filter(|line| !line.starts_with("> ")) {
        text.push_str(line);
        text.push('\n');
        if line.starts_with('#') {
            continue;
        }
        if let Some(raw) = line.strip_prefix("text") {
            let error = Config::parse(raw.as_bytes()).expect_err(line);
            text.push_str(&messages(&error));
            config = None;
        } else {
            change(config.as_mut().expect("text stands alone"), line);
        }
    }
    if let Some(config) = config {
        text.push_str(&match Config::parse(config.to_string().as_bytes()) {
            Ok(_) => format!("> {ACCEPTED}"),
            Err(error) => messages(&error),
        });
    }
    text
}

/// A line for each fault, and one for the omitted faults.
fn messages(error: &ConfigError) -> String {
    let mut lines: Vec<String> = error.all().map(|fault| format!("> {fault}")).collect();
    assert!(lines.len() <= ConfigError::MOST, "{} faults", lines.len());
    if error.omitted > 0 {
        lines.push(format!("> (and {} more)", error.omitted));
    }
    lines.join("\n")
}

fn change(config: &mut Value, line: &str) {
    let (pointer, value) = match line.split_once(" = ") {
        Some((pointer, value)) => {
            let value = serde_json::from_str(value).unwrap_or_else(|error| panic!("{line}: {error}"));
            (pointer, Some(value))
        }
        None => (
            line.strip_suffix(" -")
                .unwrap_or_else(|| panic!("no change: {line}")),
            None,
        ),
    };
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
    let parent = config
        .pointer_mut(parent)
        .unwrap_or_else(|| panic!("no such place: {line}"));
    match (parent, value) {
        (Value::Array(list), Some(value)) if name == "+" => list.push(value),
        (Value::Array(list), Some(value)) => list[name.parse::<usize>().expect("an index")] = value,
        (Value::Object(fields), Some(value)) => drop(fields.insert(name.to_owned(), value)),
        (Value::Object(fields), None) => {
            assert!(fields.remove(name).is_some(), "nothing to take away: {line}");
        }
        _ => panic!("no such place: {line}"),
    }
}

fn good() -> Value {
    let key = json!({
        "kty": "OKP", "crv": "Ed25519", "kid": "1", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
    });
    json!({
        "providers": {
            "corp": {
                "issuer": "https://idp.example.com/realms/main",
                "audiences": ["orders-api"],
                "local_jwks": {"inline_string": json!({"keys": [key]}).to_string()},
                "claim_to_headers": [{"claim_name": "sub", "header_name": "x-sub"}]
            },
            "partner": {
                "issuer": "https://partner.example.org",
                "audiences": ["orders-api"],
                "remote_jwks": {
                    "http_uri": {"uri": "https://partner.example.org/jwks", "cluster": "partner", "timeout": "5s"}
                }
            }
        },
        "requirement_map": {"both": {"requires_all": {"requirements": [
            {"provider_name": "corp"}, {"provider_name": "partner"}
        ]}}},
        "rules": [
            {"match": {"path": "/healthz"}},
            {"match": {"prefix": "/"}, "requires": {"provider_name": "corp"}}
        ]
    })
}

/// A field of an object of the configuration.
struct Spot {
    /// The JSON pointer of the object.
    object: String,
    /// The path of the field, as in a message.
    path: String,
    name: &'static str,
    is_present: bool,
    /// A value of another type.
    wrong: Value,
}

impl Spot {
    fn spoil(&self, config: &mut Value) {
        config.pointer_mut(&self.object).expect("an object")[self.name] = self.wrong.clone();
    }

    fn remove(&self, config: &mut Value) {
        let object = config.pointer_mut(&self.object).and_then(Value::as_object_mut);
        object.expect("an object").remove(self.name);
    }

    fn is_named_by(&self, faults: &[(String, String)]) -> bool {
        faults.iter().any(|(path, _)| {
            let rest = path.strip_prefix(&self.path);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
    }
}

/// The declared fields of each object in a configuration, object by object.
fn spots(value: &Value, shape: &Shape, at: (&str, &str), all: &mut Vec<Vec<Spot>>) {
    let (pointer, path) = at;
    match (shape, value) {
        (Shape::Object(reference), Value::Object(members)) => {
            let fields = reference().fields;
            let of_field = |field: &FieldReference| Spot {
                object: pointer.to_owned(),
                path: [path, field.name].join(if path.is_empty() { "" } else { "." }),
                name: field.name,
                is_present: members.contains_key(field.name),
                wrong: match field.shape {
                    Shape::Boolean | Shape::Whole(..) | Shape::Signed | Shape::Tenths(..) => json!("zz"),
                    Shape::Duration(..) => json!(true),
                    Shape::Scalar => json!([]),
                    _ => json!(7),
                },
            };
            let is_read = |field: &&FieldReference| !matches!(field.shape, Shape::Opaque);
            all.push(fields.iter().filter(is_read).map(of_field).collect());
            for field in &fields {
                if let Some(value) = members.get(field.name) {
                    let path = [path, field.name].join(if path.is_empty() { "" } else { "." });
                    let pointer = format!("{pointer}/{}", field.name);
                    spots(value, &field.shape, (&pointer, &path), all);
                }
            }
        }
        (Shape::Map(of), Value::Object(members)) => {
            for (name, value) in members {
                let at = (format!("{pointer}/{name}"), format!("{path}.{name}"));
                spots(value, of, (&at.0, &at.1), all);
            }
        }
        (Shape::List { of, .. } | Shape::OneOrSome(of), Value::Array(elements)) => {
            for (index, value) in elements.iter().enumerate() {
                let at = (format!("{pointer}/{index}"), format!("{path}[{index}]"));
                spots(value, of, (&at.0, &at.1), all);
            }
        }
        (Shape::OneOrSome(of) | Shape::FlagOr(of) | Shape::TextOr(of), Value::Object(_)) => {
            spots(value, of, at, all);
        }
        _ => {}
    }
}

/// The place and the message of each fault.
fn faults(config: &Value) -> Vec<(String, String)> {
    match Config::parse(config.to_string().as_bytes()) {
        Ok(_) => Vec::new(),
        Err(error) => error
            .all()
            .map(|fault| (fault.path.clone(), fault.to_string()))
            .collect(),
    }
}

/// Whether a message says that fields exclude each other: a field is superfluous, whatever its value.
fn is_about_a_choice(faults: &[(String, String)]) -> bool {
    let words = [
        "one of",
        "exactly one",
        "has no other",
        "leave one of the two out",
        "already",
        "or `resource_from_host",
    ];
    faults
        .iter()
        .any(|(_, message)| words.iter().any(|word| message.contains(word)))
}

/// One fault must not give another, and must not hide another one: the second report would come only after
/// another deployment.
#[test]
fn every_fault_of_an_object_is_reported_at_once() {
    let full = full();
    assert_eq!(faults(&full), []);
    let mut objects = Vec::new();
    spots(&full, &Shape::Object(declarations), ("", ""), &mut objects);
    let (mut wrong, mut pairs) = (Vec::new(), 0);
    for object in &objects {
        for (index, one) in object.iter().enumerate() {
            let mut spoilt = full.clone();
            one.spoil(&mut spoilt);
            let found = faults(&spoilt);
            let is_choice = !one.is_present && is_about_a_choice(&found);
            if !is_choice && (found.len() != 1 || !one.is_named_by(&found)) {
                wrong.push(format!("{} alone: {found:?}", one.path));
            }
            for other in object.iter().skip(index + 1) {
                let mut config = spoilt.clone();
                other.spoil(&mut config);
                let found = faults(&config);
                let both = one.is_named_by(&found) && other.is_named_by(&found);
                let is_choice = !(one.is_present && other.is_present) && is_about_a_choice(&found);
                if !both && !is_choice {
                    wrong.push(format!("{} and {}: {found:?}", one.path, other.name));
                }
                pairs += 1;
            }
            if !one.is_present {
                continue;
            }
            let mut without = full.clone();
            one.remove(&mut without);
            // Other faults compare it with a value that is spoilt here.
            let mut expected = faults(&without);
            expected.retain(|(_, message)| message.contains("is missing;"));
            for other in object
                .iter()
                .filter(|other| other.is_present && other.name != one.name)
            {
                if expected.is_empty() || other.is_named_by(&expected) {
                    continue;
                }
                let mut config = without.clone();
                other.spoil(&mut config);
                let found = faults(&config);
                if !other.is_named_by(&found) || !expected.iter().all(|fault| found.contains(fault)) {
                    wrong.push(format!("{} without {}: {found:?}", other.path, one.name));
                }
                pairs += 1;
            }
        }
    }
    assert!(pairs > 3_000, "only {pairs} pairs");
    assert!(
        wrong.is_empty(),
        "{} of {pairs}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// A configuration with a value for each field of each object, or for one of those that exclude each other.
fn full() -> Value {
    serde_json::from_str(include_str!("config_errors/full.json")).expect("a configuration")
}
