//! The JSON Schema of the configuration: `jwtctl schema` prints it, and the filter agrees with it.

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

#[test]
fn for_the_native_module_the_schema_has_its_sources() {
    let [of_wasm, of_native] = [schema(), Schema(jwtctl(&["schema", "--host", "native"]).json())];
    let with = |keys: &Value, secret: &Value| {
        let nonce = match secret.is_null() {
            true => json!({}),
            false => json!({"secret": secret}),
        };
        json!({"providers": {"corp": {
            "issuer": "https://a", "audiences": ["a"], "local_jwks": keys,
            "binding": {"dpop": {"required": true, "nonce": nonce}},
        }}})
    };
    let file = json!({"filename": "/etc/jwt/keys.json"});
    let long = "x".repeat(32);
    let configs = [
        (&file, Value::Null),
        (&json!({"environment_variable": "KEYS"}), Value::Null),
        (&json!({"environmentVariable": "KEYS"}), Value::Null),
        (&json!({"filename": 7}), Value::Null),
        (
            &json!({"filename": "/k", "environment_variable": "KEYS"}),
            Value::Null,
        ),
        (
            &json!({"filename": "/k", "watched_directory": {"path": "/"}}),
            Value::Null,
        ),
        (&json!({}), Value::Null),
        (&file, json!({"name": "nonces"})),
        (&file, json!({"name": "nonces", "sds_config": {"ads": {}}})),
        (&file, json!({"name": "nonces", "sdsConfig": {"ads": {}}})),
        (&file, json!({"sds_config": {"ads": {}}})),
        (&file, json!({"name": ""})),
        (&file, json!({"name": "nonces", "inline_string": long})),
        (&file, json!({"name": "nonces", "filename": "/etc/jwt/nonces"})),
        (&file, json!({"filename": "/etc/jwt/nonces"})),
        (&file, json!({"inline_string": long})),
        (
            &file,
            json!({"inline_string": long, "filename": "/etc/jwt/nonces"}),
        ),
    ];
    let mut accepted = 0;
    for (keys, secret) in &configs {
        let config = with(keys, secret);
        let checked = common::jwtctl_with(&["check", "--host", "native", "-"], &config.to_string());
        let is_valid = of_native.is_valid(&config);
        assert_eq!(is_valid, checked.code == 0, "{config:#}: {}", checked.out);
        accepted += usize::from(is_valid);
        assert!(!of_wasm.is_valid(&config), "{config:#}");
    }
    assert_eq!(accepted, 8);
}

/// Evaluates the part of JSON Schema that the schema uses. Another keyword fails this test.
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
            "minProperties" => value
                .as_object()
                .is_none_or(|all| all.len() as u64 >= means.as_u64().expect("a length")),
            "maxItems" => value
                .as_array()
                .is_none_or(|all| all.len() as u64 <= means.as_u64().expect("a length")),
            "contains" => value
                .as_array()
                .is_none_or(|all| all.iter().any(|value| self.accepts(means, value))),
            "const" => value == means,
            "oneOf" => {
                let schemas = means.as_array().expect("schemas").iter();
                schemas.filter(|schema| self.accepts(schema, value)).count() == 1
            }
            "if" => !self.accepts(means, value) || self.accepts(&keywords["then"], value),
            "then" => true,
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

/// One object of a configuration that has each object with relations between its fields.
struct Related {
    /// The place of the object, as a JSON pointer.
    place: &'static str,
    /// The fields that it always has.
    base: Value,
    /// Fields that are fine by themselves, with a value.
    fields: Value,
}

const KEYS: &str =
    r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"1","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

fn whole() -> Value {
    json!({
        "providers": {"corp": {
            "issuer": "https://idp.example.com",
            "audiences": ["api"],
            "discovery": {"cluster": "idp"},
            "claim_to_headers": [{"header_name": "x-jwt-a", "claim_name": "a"}],
        }},
        "rules": [{
            "match": {"prefix": "/x", "headers": [{"name": "x-b"}], "query_parameters": [{"name": "c"}]},
            "requires": {"requires_any": {"requirements": [{"provider_name": "corp"}]}},
            "authorize": {
                "scopes": {"any": ["read"]},
                "claims": [{"claim_name": "tenant", "equals_request": {"header": "x-tenant"}}],
            },
        }],
        "requirement_map": {"named": {"provider_name": "corp"}},
    })
}

fn related() -> Vec<Related> {
    let object = |place, base, fields| Related { place, base, fields };
    let corp = json!({"provider_name": "corp"});
    let resource = json!({"resource": "https://api.example.com/mcp"});
    let secret = "0123456789abcdef0123456789abcdef";
    let encoded = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    let forms = json!([
        ["provider_name", "corp"],
        ["provider_and_audiences", {"provider_name": "corp", "audiences": ["b"]}],
        ["requires_any", {"requirements": [corp]}],
        ["requires_all", {"requirements": [corp]}],
        ["allow_missing", {}],
        ["allow_missing_or_failed", {}],
    ]);
    let beside = json!([
        ["authorize", {"scopes": {"any": ["read"]}}],
        ["mode", "shadow"],
        ["mode", "enforce"],
        ["shadow_percent", 100],
        ["protected_resource", resource],
    ]);
    let with = |one: &Value, other: Value| {
        let parts = [one.clone(), other].map(|part| part.as_array().expect("fields").clone());
        Value::Array(parts.concat())
    };
    vec![
        object(
            "",
            whole(),
            json!([
                ["mode", "shadow"], ["mode", "enforce"], ["shadow_percent", 100], ["strip_failure_response", true],
                ["shadow_changes_nothing", true], ["shadow_changes_nothing", false], ["providers", {}],
                ["providers", {"corp": {"issuer": "https://a.example", "audiences": "a", "local_jwks": {"inline_string": KEYS},
                    "binding": {"dpop": {"nonce": true}}}}],
            ]),
        ),
        object(
            "/providers/corp",
            json!({"issuer": "https://idp.example.com", "audiences": ["api"]}),
            json!([
                ["discovery", {"cluster": "idp"}], ["local_jwks", {"inline_string": KEYS}],
                ["remote_jwks", {"http_uri": {"uri": "https://idp.example.com/keys", "cluster": "idp"}}],
                ["key_cache", {"refresh_ahead": 0.5}], ["profile", "rfc9068"], ["token_types", ["at+jwt"]],
                ["token_types", []], ["normalize_payload_in_metadata", {}], ["payload_in_metadata", "jwt"],
                ["payload_in_metadata", ""], ["binding", "off"], ["binding", false], ["audiences", []],
                ["authorize", {"scopes": {"any": ["a"]}}], ["authorize", {"scopes": {"any": ["a"]}, "optional": true}],
                ["authorize", {"claims": [{"claim_name": "a", "equals_request": {"host": true}}]}],
                ["issuer", ["https://a.example", "https://b.example"]],
                ["issuer", ["a:1", "a:2", "a:3", "a:4", "a:5", "a:6", "a:7", "a:8", "a:9"]], ["issuer_claims", {}],
            ]),
        ),
        object(
            "/providers/corp/claim_to_headers/0",
            json!({"header_name": "x-jwt-a"}),
            json!([["claim_name", "a"], ["claim_path", [{"key": "a"}]], ["format", "json"]]),
        ),
        object(
            "/providers/corp/subjects",
            json!({}),
            json!([
                ["exact", "a"], ["prefix", "a"], ["suffix", "a"], ["contains", "a"], ["safe_regex", {"regex": "a+"}],
                ["ignore_case", true], ["ignore_case", false],
            ]),
        ),
        object(
            "/providers/corp/binding",
            json!({}),
            json!([
                ["mtls", "off"], ["mtls", false], ["mtls", "if_present"], ["mtls", "required"], ["trust_xfcc", true],
                ["trust_xfcc", false], ["trust_xfcc", {"trusted_hops": 1}], ["dpop", {}], ["dpop", "off"],
                ["dpop", false], ["dpop", {"required": true}],
            ]),
        ),
        object(
            "/providers/corp/local_jwks",
            json!({}),
            json!([["inline_string", KEYS], ["inline_string", null]]),
        ),
        object(
            "/providers/corp/binding/dpop/nonce/secret",
            json!({}),
            json!([
                ["inline_string", secret],
                ["inline_bytes", encoded],
                ["inline_bytes", null]
            ]),
        ),
        object(
            "/shared_data/secret",
            json!({}),
            json!([
                ["inline_string", secret],
                ["inline_bytes", encoded],
                ["inline_bytes", null]
            ]),
        ),
        object(
            "/protected_resource",
            json!({}),
            json!([
                ["resource", "https://api.example.com/mcp"],
                ["resource_from_host", true],
                ["resource_from_host", false],
                ["resource_path", "/mcp"],
                ["scopes_supported", ["read"]],
            ]),
        ),
        object(
            "/rules/0",
            json!({"match": {"prefix": "/x"}}),
            with(
                &beside,
                json!([
                    ["requires", corp],
                    ["requires", {}],
                    ["requires", null],
                    ["requirement_name", "named"],
                    ["deny", true],
                    ["deny", false],
                    ["name", "orders"],
                ]),
            ),
        ),
        object("/rules/0/requires", json!({}), forms.clone()),
        object(
            "/rules/0/requires/requires_any",
            json!({}),
            json!([
                ["requirements", [corp]],
                ["requirements", [{}]],
                ["requirements", [corp, {}]],
                ["requirements", []]
            ]),
        ),
        object("/requirement_map/named", json!({}), with(&forms, beside)),
        object(
            "/rules/0/authorize",
            json!({}),
            json!([
                ["scopes", {"all": "a"}], ["claims", [{"claim_name": "a", "exists": true}]], ["claims", null],
                ["optional", false],
            ]),
        ),
        object(
            "/rules/0/authorize/scopes",
            json!({}),
            json!([["any", ["a"]], ["all", ["b"]], ["claim_names", ["scp"]]]),
        ),
        object(
            "/rules/0/authorize/claims/0",
            json!({}),
            json!([
                ["claim_name", "a"], ["claim_path", [{"key": "a"}]], ["equals", 5], ["any_of", ["a"]],
                ["all_of", ["a"]], ["prefix", "a"], ["suffix", "a"], ["contains", "a"], ["regex", "a+"],
                ["exists", true], ["equals_request", {"host": true}], ["strings_only", true], ["invert", true],
                ["any", [{"claim_name": "b", "exists": true}]],
            ]),
        ),
        object(
            "/rules/0/authorize/claims/0/equals_request",
            json!({}),
            json!([
                ["path_template", "/t/{tenant}/**"],
                ["variable", "tenant"],
                ["header", "x-tenant"],
                ["host", true],
                ["host", false],
            ]),
        ),
        object(
            "/rules/0/match",
            json!({}),
            json!([
                ["path", "/a"], ["prefix", "/b"], ["path_separated_prefix", "/c"], ["safe_regex", {"regex": "/d/.+"}],
                ["connect_matcher", {}], ["methods", ["GET"]], ["hosts", ["a.example"]], ["headers", [{"name": "x-b"}]],
                ["headers", []], ["query_parameters", [{"name": "c"}]], ["query_parameters", []],
                ["not", {"prefix": "/e"}], ["case_sensitive", false],
            ]),
        ),
        object(
            "/rules/0/match/headers/0",
            json!({"name": "x-b"}),
            json!([
                ["present_match", true], ["string_match", {"exact": "a"}], ["range_match", {"start": 1, "end": 5}],
                ["exact_match", "a"], ["prefix_match", "a"], ["suffix_match", "a"], ["contains_match", "a"],
                ["safe_regex_match", {"regex": "a+"}], ["invert_match", true], ["treat_missing_header_as_empty", true],
            ]),
        ),
        object(
            "/rules/0/match/query_parameters/0",
            json!({"name": "c"}),
            json!([["string_match", {"prefix": "a"}], ["present_match", true], ["present_match", false]]),
        ),
    ]
}

/// The value at the place, with the objects that lead to it.
fn at<'a>(config: &'a mut Value, place: &str) -> &'a mut Value {
    let mut value = config;
    for step in place.split('/').skip(1) {
        value = match step.parse::<usize>() {
            Ok(index) => &mut value[index],
            Err(_) => &mut value[step],
        };
    }
    value
}

fn camel_case(name: &str) -> String {
    let mut parts = name.split('_');
    let mut camel = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (first, rest) = part.split_at(1);
        camel += &(first.to_ascii_uppercase() + rest);
    }
    camel
}

/// All selections of at most three of so many things.
fn selections(count: usize) -> Vec<Vec<usize>> {
    let mut all = vec![vec![]];
    for first in 0..count {
        all.push(vec![first]);
        for second in first + 1..count {
            all.push(vec![first, second]);
            all.extend((second + 1..count).map(|third| vec![first, second, third]));
        }
    }
    all
}

#[test]
fn of_what_fields_say_about_each_other_schema_and_filter_say_the_same() {
    let schema = schema();
    for Related { place, base, fields } in related() {
        let fields = fields.as_array().expect("fields");
        let (mut refused, mut kept) = (0, 0);
        for chosen in selections(fields.len()) {
            for is_camel in [false, true] {
                let mut object = base.clone();
                for field in &chosen {
                    let name = fields[*field][0].as_str().expect("a name");
                    let name = if is_camel {
                        camel_case(name)
                    } else {
                        name.to_owned()
                    };
                    object[name] = fields[*field][1].clone();
                }
                // The base may have the same field in the other spelling.
                if is_camel && !base.as_object().is_none_or(serde_json::Map::is_empty) {
                    continue;
                }
                let mut config = whole();
                *at(&mut config, place) = object;
                if place == "/providers/corp/local_jwks" {
                    config["providers"]["corp"]["discovery"] = Value::Null;
                }
                let is_valid = schema.is_valid(&config);
                match Config::parse(config.to_string().as_bytes()) {
                    Ok(_) => {
                        kept += 1;
                        assert!(is_valid, "{place}: the schema refuses {config:#}");
                    }
                    Err(error) => {
                        refused += 1;
                        assert!(!is_valid, "{place}: the schema accepts {config:#}: {error}");
                    }
                }
            }
        }
        assert!(refused > 0 && kept > 0, "{place}: {refused} refused, {kept} kept");
    }
}
