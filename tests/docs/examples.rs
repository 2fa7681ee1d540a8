//! Loads every fenced YAML block, and every configuration under `envoy/`.

use std::path::Path;
use std::process::Command;

use proxy_wasm_jwt::config::{Config, ConfigError};
use serde_json::{Value, json};
use testkit::{Listener, load_yaml, router_filter};

use crate::markdown::{Block, pages, root};

pub(crate) fn parse(config: &Value) -> Result<Config, Box<ConfigError>> {
    Config::parse(config.to_string().as_bytes())
}

/// A configuration of one provider with these of its fields set.
pub(crate) fn with_provider_fields(fields: &Value) -> Value {
    let mut provider = json!({"issuer": "https://idp.example.com", "audiences": ["orders-api"]});
    if fields.get("local_jwks").is_none() && fields.get("discovery").is_none() {
        provider["remote_jwks"] =
            json!({"http_uri": {"uri": "https://idp.example.com/jwks", "cluster": "idp"}});
    }
    merge(&mut provider, fields);
    json!({"providers": {"corp": provider}})
}

fn with_top_level_fields(fields: &Value) -> Value {
    let mut config = with_provider_fields(&json!({}));
    merge(&mut config, fields);
    config
}

fn merge(object: &mut Value, fields: &Value) {
    for (name, value) in fields.as_object().expect("an object of fields") {
        object[name] = value.clone();
    }
}

/// The configurations of all our filters in an Envoy configuration.
fn wasm_configurations(value: &Value) -> Vec<&Value> {
    if value["@type"] == "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm" {
        return vec![&value["config"]["configuration"]["value"]];
    }
    match value {
        Value::Array(elements) => elements.iter().flat_map(wasm_configurations).collect(),
        Value::Object(members) => members.values().flat_map(wasm_configurations).collect(),
        _ => Vec::new(),
    }
}

/// The module's file in place of the one that the example names.
fn with_real_module(value: &mut Value) {
    if let Some(name) = value.pointer_mut("/local/filename")
        && name.as_str().is_some_and(|name| name.ends_with(".wasm"))
    {
        *name = json!(testkit::module_path());
    }
    match value {
        Value::Array(elements) => elements.iter_mut().for_each(with_real_module),
        Value::Object(members) => members.values_mut().for_each(with_real_module),
        _ => {}
    }
}

/// Envoy's output for a bootstrap that it refuses, with its log.
fn validate(bootstrap: &Value) -> Result<(), String> {
    let mut bootstrap = bootstrap.clone();
    with_real_module(&mut bootstrap);
    let file = std::env::temp_dir().join(format!(
        "docs-{}-{:?}.json",
        std::process::id(),
        std::thread::current().id()
    ));
    std::fs::write(&file, bootstrap.to_string()).expect("the bootstrap is written");
    let output = Command::new(testkit::envoy_binary())
        .args(["--mode", "validate", "--log-level", "error", "--config-path"])
        .arg(&file)
        .output()
        .expect("Envoy runs; `make envoy` gets it");
    std::fs::remove_file(&file).expect("the bootstrap is removed");
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

fn cluster(name: &str) -> Value {
    testkit::static_cluster(name, ([127, 0, 0, 1], 9).into())
}

fn bootstrap(clusters: Vec<Value>, listeners: Vec<Value>) -> Value {
    json!({"static_resources": {"clusters": clusters, "listeners": listeners}})
}

/// A bootstrap of one listener with these fields of its connection manager.
fn around(manager: &Value) -> Value {
    let mut listener = Listener::new("example").build();
    merge(
        &mut listener["filter_chains"][0]["filters"][0]["typed_config"],
        manager,
    );
    bootstrap(
        ["idp", "upstream", "backend"].map(cluster).to_vec(),
        vec![listener],
    )
}

/// The content of a block.
#[derive(Debug, PartialEq, Eq)]
enum Shown {
    /// A whole configuration of the filter.
    Filter,
    /// Fields of a provider, or of the whole.
    Fragment,
    /// Envoy's configuration, or a part of it.
    Envoy,
}

/// The connection manager's fields for these routes.
fn routed(routes: &Value) -> Value {
    let host = json!({"name": "all", "domains": ["*"], "routes": routes});
    json!({"route_config": {"name": "example", "virtual_hosts": [host]}})
}

/// A part of Envoy's configuration that is a list: clusters, HTTP filters or routes.
fn check_list(list: &[Value]) -> Result<(), String> {
    let all_have = |field: &str| list.iter().all(|element| element.get(field).is_some());
    if all_have("load_assignment") {
        validate(&bootstrap(list.to_vec(), Vec::new()))
    } else if all_have("typed_config") {
        let filters = [list, &[router_filter()]].concat();
        validate(&around(&json!({"http_filters": filters})))
    } else if all_have("match") && all_have("route") {
        validate(&around(&routed(&json!(list))))
    } else {
        Err("a list of something that is not known".into())
    }
}

fn check(value: &Value) -> Result<Shown, String> {
    let parsed = |config: &Value| parse(config).map(drop).map_err(|error| error.to_string());
    for config in wasm_configurations(value) {
        parsed(config)?;
    }
    if value.get("static_resources").is_some() {
        return validate(value).map(|()| Shown::Envoy);
    }
    if let Some(stats) = value.get("stats_config") {
        let mut whole = bootstrap(Vec::new(), Vec::new());
        whole["stats_config"] = stats.clone();
        return validate(&whole).map(|()| Shown::Envoy);
    }
    if let Some(list) = value.as_array() {
        return check_list(list).map(|()| Shown::Envoy);
    }
    if value.get("http_filters").is_some() || value.get("access_log").is_some() {
        return validate(&around(value)).map(|()| Shown::Envoy);
    }
    if let Some(routes) = value.get("routes") {
        return validate(&around(&routed(routes))).map(|()| Shown::Envoy);
    }
    if value.get("providers").is_some() {
        return parsed(value).map(|()| Shown::Filter);
    }
    match (
        parsed(&with_provider_fields(value)),
        parsed(&with_top_level_fields(value)),
    ) {
        (Ok(()), Err(_)) | (Err(_), Ok(())) => Ok(Shown::Fragment),
        (Ok(()), Ok(())) => Err("says nothing".into()),
        (Err(of_provider), Err(of_whole)) => Err(format!(
            "as a provider's: {of_provider}; as the whole's: {of_whole}"
        )),
    }
}

#[test]
fn every_yaml_block_is_loaded() {
    let mut shown = Vec::new();
    let mut faults = Vec::new();
    for page in pages() {
        let not_run: Vec<_> = page
            .blocks
            .iter()
            .filter_map(|block| block.not_run.as_ref())
            .collect();
        assert!(not_run.len() <= 2, "{}: {not_run:?}", page.name.display());
        for block in &page.blocks {
            if block.info != "yaml" || block.not_run.is_some() {
                continue;
            }
            let place = format!("{}:{}", page.name.display(), block.line);
            match load_yaml(&block.text).and_then(|value| check(&value)) {
                Ok(found) => shown.push(found),
                Err(fault) => faults.push(format!("{place}: {fault}")),
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let count = |what: Shown| shown.iter().filter(|found| **found == what).count();
    assert!(count(Shown::Filter) >= 1, "{shown:?}");
    assert!(count(Shown::Fragment) >= 8, "{shown:?}");
    assert!(count(Shown::Envoy) >= 3, "{shown:?}");
}

#[test]
fn every_block_is_of_a_kind_that_is_checked() {
    for page in pages() {
        for block in &page.blocks {
            // `jwtctl/tests/page.rs` runs the commands of these pages and compares what they print.
            let runs_jwtctl = block.info == "console"
                && (page.name.ends_with("README.md") || page.name.ends_with("jwtctl.md"));
            let is_scenario = block.info == "rust" && page.name.ends_with("adding-a-scenario.md");
            assert!(
                is_scenario
                    || runs_jwtctl
                    || ["yaml", "yaml refused", "text", "http", "sh"].contains(&block.info.as_str()),
                "{}:{}: {:?}",
                page.name.display(),
                block.line,
                block.info
            );
        }
    }
}

/// The message without the host's prefix.
fn message(block: &Block) -> &str {
    block
        .text
        .trim_end()
        .strip_prefix("configuration refused: ")
        .unwrap_or_else(|| panic!("line {}: not a line of the log: {}", block.line, block.text))
}

#[test]
fn every_documented_message_is_what_the_documented_fault_gives() {
    let mut seen = 0;
    for page in pages() {
        for pair in page.blocks.windows(2) {
            let [faulty, said] = pair else { continue };
            if faulty.info != "yaml refused" {
                continue;
            }
            assert_eq!(said.info, "text", "{}:{}", page.name.display(), said.line);
            let config = load_yaml(&faulty.text).expect("YAML");
            let error = parse(&config).expect_err("the faulty configuration was accepted");
            assert_eq!(
                error.to_string(),
                message(said),
                "{}:{}",
                page.name.display(),
                faulty.line
            );
            seen += 1;
        }
        let faulty = page
            .blocks
            .last()
            .is_some_and(|block| block.info == "yaml refused");
        assert!(!faulty, "{}: a fault without its message", page.name.display());
    }
    assert!(seen >= 3, "only {seen} messages");
}

/// Envoy reads the documents of a file of several one by one.
fn documents(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).expect("a text");
    text.split("\n---\n")
        .map(|text| load_yaml(text).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
        .collect()
}

#[test]
fn every_shipped_configuration_is_accepted() {
    let mut accepted = Vec::new();
    let mut folders = vec![root().join("envoy")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if path.extension().is_none_or(|extension| extension != "yaml") {
                continue;
            }
            for document in documents(&path) {
                let mut configs = wasm_configurations(&document);
                configs.extend(document.get("providers").map(|_| &document));
                configs.extend(document["spec"].get("pluginConfig"));
                let policies = document["spec"]["wasm"].as_array().into_iter().flatten();
                configs.extend(policies.map(|policy| &policy["config"]));
                for config in configs {
                    if let Err(error) = parse(config) {
                        panic!("{}: {error}", path.display());
                    }
                    accepted.push(path.clone());
                }
            }
        }
    }
    // Five of issuers, two of Istio, one of Envoy Gateway, the demo's.
    assert!(accepted.len() >= 9, "only {accepted:?}");
}

#[test]
fn the_shipped_bootstrap_is_valid_and_a_spoiled_one_is_not() {
    let mut shipped = documents(&root().join("envoy/envoy.yaml")).remove(0);
    assert_eq!(validate(&shipped), Ok(()));
    let filter =
        "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters/0/typed_config";
    let provider = format!("{filter}/config/configuration/value/providers/demo");
    let provider = shipped.pointer_mut(&provider).expect("the provider");
    provider["audience"] = json!(["x"]);
    let log = validate(&shipped).expect_err("a faulty configuration is valid");
    assert!(
        log.contains(
            "configuration refused: providers.demo: unknown field `audience`; did you mean `audiences`?"
        ),
        "{log}"
    );
}
