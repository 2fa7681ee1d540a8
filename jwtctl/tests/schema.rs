//! The JSON Schema of the configuration: it is what `jwtctl schema` prints, and agrees with the filter.

#![cfg(test)]

mod common;

use common::{jwtctl, root};
use proxy_wasm_jwt::config::{Config, ConfigProblem};
use serde_json::{Value, json};
use testkit::load_yaml;

const FILE: &str = "envoy/jwt.schema.json";

#[test]
fn the_file_is_what_the_command_prints() {
    let printed = jwtctl(&["schema"]);
    assert_eq!(printed.code, 0);
    let path = root().join(FILE);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &printed.out).expect("the schema is written");
    }
    let file = std::fs::read_to_string(path).expect("the schema");
    assert!(
        file == printed.out,
        "{FILE} is another; run this test with BLESS=1"
    );
}

/// A schema, with as much of JSON Schema as it uses; another keyword is a fault of this test.
struct Schema(Value);

impl Schema {
    fn is_valid(&self, value: &Value) -> bool {
        self.accepts(&self.0, value)
    }

    /// The target of a reference.
    fn target(&self, reference: &str) -> &Value {
        let pointer = reference
            .strip_prefix('#')
            .expect("a reference within the schema");
        let mut decoded = Vec::new();
        let mut bytes = pointer.bytes();
        while let Some(byte) = bytes.next() {
            match byte {
                b'%' => {
                    let digits: Vec<u8> = bytes.by_ref().take(2).collect();
                    let digits = String::from_utf8(digits).expect("digits");
                    decoded.push(u8::from_str_radix(&digits, 16).expect("an escape"));
                }
                byte => decoded.push(byte),
            }
        }
        let pointer = String::from_utf8(decoded).expect("UTF-8");
        self.0
            .pointer(&pointer)
            .unwrap_or_else(|| panic!("{reference} leads nowhere"))
    }

    fn accepts(&self, schema: &Value, value: &Value) -> bool {
        let Value::Object(keywords) = schema else {
            return schema == true;
        };
        keywords.iter().all(|(keyword, means)| match keyword.as_str() {
            "$schema" | "$defs" | "title" | "description" | "default" => true,
            "$ref" => self.accepts(self.target(means.as_str().expect("a reference")), value),
            "type" => match means {
                Value::Array(types) => types.iter().any(|name| is_of_type(name, value)),
                name => is_of_type(name, value),
            },
            "enum" => means.as_array().expect("values").contains(value),
            "minLength" => value
                .as_str()
                .is_none_or(|text| text.chars().count() as u64 >= means.as_u64().expect("a length")),
            // The one of durations.
            "pattern" => value.as_str().is_none_or(|text| {
                let number = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
                let unit = &text[number.len()..];
                !number.is_empty()
                    && number
                        .chars()
                        .all(|letter| letter.is_ascii_digit() || letter == '.')
                    && ["ms", "s", "m", "h", "d"].contains(&unit)
            }),
            "minimum" => value
                .as_f64()
                .is_none_or(|number| number >= means.as_f64().expect("a number")),
            "maximum" => value
                .as_f64()
                .is_none_or(|number| number <= means.as_f64().expect("a number")),
            "minItems" => value
                .as_array()
                .is_none_or(|all| all.len() as u64 >= means.as_u64().expect("a length")),
            "maxProperties" => value
                .as_object()
                .is_none_or(|all| all.len() as u64 <= means.as_u64().expect("a length")),
            "items" => value
                .as_array()
                .is_none_or(|all| all.iter().all(|value| self.accepts(means, value))),
            "properties" => value.as_object().is_none_or(|members| {
                members
                    .iter()
                    .all(|(name, value)| means.get(name).is_none_or(|schema| self.accepts(schema, value)))
            }),
            "additionalProperties" => value.as_object().is_none_or(|members| {
                let known = keywords.get("properties");
                let others = members
                    .iter()
                    .filter(|(name, _)| known.is_none_or(|known| known.get(*name).is_none()));
                others
                    .map(|(_, value)| value)
                    .all(|value| self.accepts(means, value))
            }),
            "required" => value.as_object().is_none_or(|members| {
                means
                    .as_array()
                    .expect("names")
                    .iter()
                    .all(|name| members.contains_key(name.as_str().expect("a name")))
            }),
            "anyOf" => means
                .as_array()
                .expect("schemas")
                .iter()
                .any(|schema| self.accepts(schema, value)),
            "allOf" => means
                .as_array()
                .expect("schemas")
                .iter()
                .all(|schema| self.accepts(schema, value)),
            "not" => !self.accepts(means, value),
            other => panic!("the schema has the keyword {other}"),
        })
    }
}

fn is_of_type(name: &Value, value: &Value) -> bool {
    match name.as_str().expect("a type") {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        other => panic!("the schema has the type {other}"),
    }
}

fn schema() -> Schema {
    Schema(jwtctl(&["schema"]).json())
}

/// Configurations that the filter accepts, from everywhere in this repository.
fn accepted() -> Vec<(String, Value)> {
    let mut all = Vec::new();
    let mut take = |name: &str, config: &Value| {
        if config.get("providers").is_some() && Config::parse(config.to_string().as_bytes()).is_ok() {
            all.push((name.to_owned(), config.clone()));
        }
    };
    fn search(value: &Value, take: &mut dyn FnMut(&Value)) {
        take(value);
        match value {
            Value::Array(elements) => elements.iter().for_each(|value| search(value, take)),
            Value::Object(members) => members.values().for_each(|value| search(value, take)),
            _ => {}
        }
    }
    for folder in [
        "tests/public_configs",
        "envoy",
        "envoy/issuers",
        "envoy/istio",
        "envoy/gateway",
    ] {
        for entry in std::fs::read_dir(root().join(folder)).expect("a folder") {
            let path = entry.expect("an entry").path();
            let Ok(text) = std::fs::read_to_string(&path) else {
                continue;
            };
            let keys = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"1","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
            for document in text.split("\n---\n") {
                let Ok(mut value) = load_yaml(&document.replace("PUBLIC-KEY", &keys.replace('"', "\\\"")))
                else {
                    continue;
                };
                for (_, provider) in value
                    .get_mut("providers")
                    .and_then(Value::as_object_mut)
                    .into_iter()
                    .flatten()
                {
                    if provider.get("audiences").is_none() {
                        provider["audiences"] = json!(["*"]);
                    }
                }
                search(&value, &mut |value| take(&path.to_string_lossy(), value));
            }
        }
    }
    for entry in std::fs::read_dir(root().join("docs")).expect("docs") {
        let path = entry.expect("an entry").path();
        let Ok(text) = std::fs::read_to_string(&path) else {
            continue;
        };
        for block in text
            .split("```yaml\n")
            .skip(1)
            .filter_map(|rest| rest.split("```").next())
        {
            if let Ok(value) = load_yaml(block) {
                search(&value, &mut |value| take(&path.to_string_lossy(), value));
                // A part of a provider, or of the whole.
                if let Value::Object(fields) = &value {
                    let provider =
                        json!({"issuer": "https://a", "audiences": ["a"], "discovery": {"cluster": "idp"}});
                    let mut part = json!({"providers": {"corp": provider}});
                    let mut whole = part.clone();
                    for (name, value) in fields {
                        part["providers"]["corp"][name] = value.clone();
                        whole[name] = value.clone();
                    }
                    take(&path.to_string_lossy(), &part);
                    take(&path.to_string_lossy(), &whole);
                }
            }
        }
    }
    all
}

#[test]
fn what_the_filter_accepts_the_schema_accepts() {
    let schema = schema();
    let all = accepted();
    assert!(all.len() >= 50, "only {} configurations", all.len());
    for (name, config) in all {
        assert!(schema.is_valid(&config), "{name}: the schema refuses {config:#}");
    }
}

/// Every place in a value.
fn places(value: &Value, at: &str, all: &mut Vec<String>) {
    match value {
        Value::Array(elements) => {
            for (position, value) in elements.iter().enumerate() {
                let at = format!("{at}/{position}");
                all.push(at.clone());
                places(value, &at, all);
            }
        }
        Value::Object(members) => {
            for (name, value) in members {
                let at = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
                all.push(at.clone());
                places(value, &at, all);
            }
        }
        _ => {}
    }
}

#[test]
fn what_has_a_wrong_form_both_refuse() {
    let schema = schema();
    let (mut refused, mut kept) = (0, 0);
    for (name, config) in accepted() {
        let mut all = Vec::new();
        places(&config, "", &mut all);
        for place in all {
            for wrong in [
                json!(null),
                json!(true),
                json!(7),
                json!("zz"),
                json!([]),
                json!({}),
                json!({"zz": 1}),
                json!([{"zz": 1}]),
            ] {
                let mut config = config.clone();
                *config.pointer_mut(&place).expect("a place") = wrong;
                let is_valid = schema.is_valid(&config);
                match Config::parse(config.to_string().as_bytes()) {
                    Ok(_) => {
                        kept += 1;
                        assert!(is_valid, "{name}: the schema refuses {place} in {config:#}");
                    }
                    Err(error) => {
                        // The schema does not cover faults that only the filter can recognize.
                        let is_form = error.all().any(|fault| match &fault.problem {
                            ConfigProblem::UnknownField { .. } | ConfigProblem::WrongType { .. } => true,
                            ConfigProblem::Invalid(what) => what.starts_with("is null"),
                            _ => false,
                        });
                        if is_form {
                            refused += 1;
                            assert!(
                                !is_valid,
                                "{name}: the schema accepts {place} in {config:#}: {error}"
                            );
                        }
                    }
                }
            }
        }
    }
    assert!(refused > 500 && kept > 50, "{refused} {kept}");
}
