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
