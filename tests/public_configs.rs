//! Configurations of jwt_authn from documentation and generators: each loads, or is refused with a helpful
//! message.
//!
//! One file each in `public_configs/`, with names of its own: `# after:` says where its shape comes from, `#
//! refused:` the exact message where it does not load. Two things are done to each first: a provider without
//! `audiences` gets `["*"]`, which says in so many words what leaving them out says to jwt_authn, and
//! `PUBLIC-KEY` becomes a key set.

#![cfg(test)]
#![allow(clippy::panic, clippy::indexing_slicing, reason = "a test may fail loudly")]

use std::path::PathBuf;

use proxy_wasm_jwt::config::Config;
use serde_json::{Value, json};

const KEYS: &str =
    r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"1","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

#[test]
fn public_configurations_load_or_say_why_not() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/public_configs");
    let mut faults = Vec::new();
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).expect("the folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).expect("a file");
        assert!(
            text.starts_with("# after: "),
            "{name} does not say where it comes from"
        );
        let refused = text.lines().filter_map(|line| line.strip_prefix("# refused: "));
        let refused: Vec<String> = refused.map(str::to_owned).collect();
        let config = adapted(testkit::load_yaml(&text).unwrap_or_else(|error| panic!("{name}: {error}")));
        let found: Vec<String> = match Config::parse(config.to_string().as_bytes()) {
            Ok(_) => Vec::new(),
            Err(error) => error.all().map(ToString::to_string).collect(),
        };
        if found != refused {
            faults.push(format!("{name}: expected {refused:?}\n    found {found:?}"));
        }
        seen += 1;
    }
    assert!(seen >= 60, "only {seen} configurations");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// An unknown field may be any of the absent ones. No fault may follow from that alone.
#[test]
fn an_unknown_field_is_the_only_fault() {
    const UNKNOWN: &str = "zzz";
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut wrong = Vec::new();
    let mut tried = 0;
    for folder in ["tests/public_configs", "envoy", "envoy/issuers"] {
        for entry in std::fs::read_dir(root.join(folder)).expect("the folder") {
            let path = entry.expect("an entry").path();
            if path.extension().is_none_or(|end| end != "yaml") {
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("a file");
            let mut configs = Vec::new();
            collect_configs(&testkit::load_yaml(&text).expect("YAML"), &mut configs);
            for config in configs.into_iter().map(adapted) {
                if Config::parse(config.to_string().as_bytes()).is_err() {
                    continue;
                }
                let mut places = Vec::new();
                collect_fields("", &config, &mut places);
                for (object, field) in places {
                    for removed in [None, Some(&field)] {
                        let mut changed = config.clone();
                        let members = changed.pointer_mut(&object).expect("a place").as_object_mut();
                        let members = members.expect("an object");
                        let value = removed.and_then(|field| members.remove(field));
                        members.insert(UNKNOWN.to_owned(), value.unwrap_or_else(|| json!({})));
                        let Err(error) = Config::parse(changed.to_string().as_bytes()) else {
                            // The names in this object are the operator's own, here and below.
                            continue;
                        };
                        if !error
                            .all()
                            .any(|fault| fault.to_string().contains("unknown field"))
                        {
                            continue;
                        }
                        tried += 1;
                        if error.all().count() > 1 {
                            let faults: Vec<String> = error.all().map(ToString::to_string).collect();
                            wrong.push(format!("{}: {object}/{field}: {faults:#?}", path.display()));
                        }
                    }
                }
            }
        }
    }
    assert!(tried > 1_000, "only {tried} unknown fields");
    assert!(
        wrong.is_empty(),
        "{} of {tried}: {}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// The configurations of the filter in a document of Envoy.
fn collect_configs(value: &Value, into: &mut Vec<Value>) {
    if value.get("providers").is_some() {
        into.push(value.clone());
        return;
    }
    let members = value.as_object().into_iter().flat_map(|object| object.values());
    for part in members.chain(value.as_array().into_iter().flatten()) {
        collect_configs(part, into);
    }
}

/// The members of all objects: the pointer to the object, and the name.
fn collect_fields(at: &str, value: &Value, into: &mut Vec<(String, String)>) {
    let escaped = |name: &str| name.replace('~', "~0").replace('/', "~1");
    for (name, part) in value.as_object().into_iter().flatten() {
        into.push((at.to_owned(), name.clone()));
        collect_fields(&format!("{at}/{}", escaped(name)), part, into);
    }
    for (index, part) in value.as_array().into_iter().flatten().enumerate() {
        collect_fields(&format!("{at}/{index}"), part, into);
    }
}

fn adapted(mut config: Value) -> Value {
    for (_, provider) in config["providers"].as_object_mut().into_iter().flatten() {
        if provider.get("audiences").is_none() {
            provider["audiences"] = json!(["*"]);
        }
    }
    serde_json::from_str(
        &config
            .to_string()
            .replace("\"PUBLIC-KEY\"", &json!(KEYS).to_string()),
    )
    .expect("still JSON")
}
