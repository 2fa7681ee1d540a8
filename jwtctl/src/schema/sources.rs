//! The sources that only the native module reads: Envoy's `DataSource` with the name of a file or of a
//! variable of the environment, and a secret that Envoy gets by its name.

use serde_json::{Value, json};

use crate::core::ObjectReference;

/// Lets the schema of an object that has such sources accept them.
pub(super) fn accept(schema: &mut Value, object: &ObjectReference) {
    if !object.names.contains(&"filename") {
        return;
    }
    let mut names = vec!["filename", "environment_variable", "environmentVariable"];
    let mut forms: Vec<Value> = names
        .iter()
        .map(|name| json!({"required": [name], "maxProperties": 1}))
        .collect();
    let text = |meaning: &str| json!({"type": "string", "minLength": 1, "description": meaning});
    let properties = &mut schema["properties"];
    properties["filename"] = text("a file with the bytes, which the native module reads");
    for name in ["environment_variable", "environmentVariable"] {
        properties[name] =
            text("a variable of Envoy's environment with the bytes, which the native module reads");
    }
    if object.names.contains(&"sds_config") {
        properties["name"] = text("the name of a secret that Envoy supplies to the native module");
        for name in ["sds_config", "sdsConfig"] {
            properties[name] = json!({
                "type": "object",
                "description": "Envoy's ConfigSource for the secret; without it, the secret is in the bootstrap",
            });
        }
        let bytes = ["inline_string", "inlineString", "inline_bytes", "inlineBytes"];
        let others: Vec<Value> = bytes.iter().chain(&names).map(required).collect();
        forms.push(json!({"required": ["name"], "not": {"anyOf": others}}));
        names.extend(["name", "sds_config", "sdsConfig"]);
    }
    let others: Vec<Value> = names.iter().map(required).collect();
    let conditions = schema["allOf"].take();
    forms.push(json!({"allOf": conditions, "not": {"anyOf": others}}));
    schema["allOf"] = json!([{"anyOf": forms}]);
}

fn required(name: &&str) -> Value {
    json!({"required": [name]})
}
