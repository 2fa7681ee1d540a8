//! The claims that conditions name, and values that meet or fail them.

use serde_json::{Map, Value as Json, json};

use crate::examples::example;
use crate::policy::Loaded;
use crate::source::{Node, Value};

/// Puts the value into objects with these names.
pub(super) fn nested(path: &[String], value: Json) -> Json {
    path.iter()
        .rev()
        .fold(value, |inner, name| json!({name.as_str(): inner}))
}

/// The claims that conditions name, each with the values that they name.
pub(super) fn values_of_claims(all: &[&Loaded]) -> Vec<(Vec<String>, Vec<Json>)> {
    let mut found: Vec<(Vec<String>, Vec<Json>)> = Vec::new();
    for loaded in all {
        loaded.node.walk(&mut |node| {
            let conditions = node.at(&["authorize", "claims"]);
            conditions.into_iter().for_each(|conditions| {
                conditions.walk(&mut |condition| {
                    let path = claim_path(condition);
                    if path.is_empty() {
                        return;
                    }
                    let mut values = condition_values(condition);
                    values.extend(longer_values(condition));
                    match found.iter_mut().find(|(known, _)| *known == path) {
                        Some((_, known)) => {
                            for value in values {
                                if !known.contains(&value) {
                                    known.push(value);
                                }
                            }
                        }
                        None => found.push((path, values)),
                    }
                });
            });
            for header in node.get("claim_to_headers").map_or(&[][..], Node::elements) {
                let path = claim_path(header);
                if !path.is_empty() && !found.iter().any(|(known, _)| *known == path) {
                    found.push((path, vec![json!("x")]));
                }
            }
            let required = node.get("required_claims").map_or(&[][..], Node::elements);
            for name in required.iter().filter_map(Node::text) {
                let path = vec![name.to_owned()];
                if !found.iter().any(|(known, _)| *known == path) {
                    found.push((path, Vec::new()));
                }
            }
        });
    }
    found
}

/// The names that lead to the claim of a condition; none where the node is none.
fn claim_path(condition: &Node) -> Vec<String> {
    match condition.get("claim_path") {
        Some(keys) => keys
            .elements()
            .iter()
            .filter_map(|key| key.text_at(&["key"]).or(key.text()))
            .map(str::to_owned)
            .collect(),
        None => condition
            .text_at(&["claim_name"])
            .map(str::to_owned)
            .into_iter()
            .collect(),
    }
}

/// The values that a condition names, whether it asks for them or refuses them.
fn condition_values(condition: &Node) -> Vec<Json> {
    let mut values: Vec<Json> = Vec::new();
    let as_json = |node: &Node| serde_json::from_str::<Json>(&node.to_json()).ok();
    for name in ["equals", "any_of", "all_of", "prefix", "suffix", "contains"] {
        match condition.get(name) {
            Some(node) if matches!(node.value, Value::List(_)) => {
                values.extend(node.elements().iter().filter_map(as_json))
            }
            Some(node) => values.extend(as_json(node)),
            None => {}
        }
    }
    if let Some(example) = condition.text_at(&["regex"]).and_then(example) {
        values.push(json!(example));
    }
    values
}

/// Texts that a condition's `prefix`, `suffix` or `contains` accepts, longer than the text that it names:
/// another condition may name that text itself.
fn longer_values(condition: &Node) -> Vec<Json> {
    let of = |name: &str| condition.text_at(&[name]);
    let prefix = of("prefix").map(|text| format!("{text}jwtctl"));
    let suffix = of("suffix").map(|text| format!("jwtctl{text}"));
    let contains = of("contains").map(|text| format!("jw{text}ctl"));
    [prefix, suffix, contains]
        .into_iter()
        .flatten()
        .map(Json::from)
        .collect()
}

/// Adds claims that probably fail every condition: for an inverted condition a value that it names, and for
/// each other condition another value.
pub(super) fn refuse(authorize: &Node, claims: &mut Map<String, Json>) {
    let Some(conditions) = authorize.get("claims") else {
        return;
    };
    conditions.walk(&mut |condition| {
        let path = claim_path(condition);
        let Some((name, rest)) = path.split_first() else {
            return;
        };
        let is = |name: &str, wanted: bool| condition.get(name).and_then(Node::bool) == Some(wanted);
        let value = if is("exists", true) && !is("invert", true) {
            Json::Null
        } else if is("exists", false) {
            json!("x")
        } else if is("invert", true) {
            let named = condition_values(condition);
            match condition.get("all_of") {
                Some(_) => Json::Array(named),
                None => named.into_iter().next().unwrap_or_else(|| json!("x")),
            }
        } else {
            json!("jwtctl-another")
        };
        claims.entry(name.clone()).or_insert_with(|| nested(rest, value));
    });
}

/// Adds the claims that conditions require. A claim with several values is a list, of which one has to pass.
pub(super) fn ask(authorize: &Node, claims: &mut Map<String, Json>) {
    if let Some(scopes) = authorize.get("scopes") {
        let claim = scopes
            .get("claim_names")
            .and_then(|names| names.text().or_else(|| names.elements().first()?.text()));
        let entry = claims
            .entry(claim.unwrap_or("scope").to_owned())
            .or_insert_with(|| json!(""));
        for name in ["all", "any"] {
            let wanted = scopes.get(name);
            for scope in wanted
                .into_iter()
                .flat_map(|node| node.elements().iter().filter_map(Node::text).chain(node.text()))
            {
                let held = entry.as_str().unwrap_or_default();
                if !held.split(' ').any(|held| held == scope) {
                    *entry = json!(format!("{held} {scope}").trim());
                }
            }
        }
    }
    let mut take = |condition: &Node| {
        if condition.get("invert").and_then(Node::bool) == Some(true)
            || condition.get("exists").and_then(Node::bool) == Some(false)
        {
            return;
        }
        let mut values = condition_values(condition);
        if values.is_empty() {
            values.push(json!("x"));
        }
        let mut path = claim_path(condition);
        let Some(last) = path.pop() else { return };
        let mut object = &mut *claims;
        for name in path {
            let inner = object.entry(name).or_insert_with(|| json!({}));
            let Json::Object(inner) = inner else { return };
            object = inner;
        }
        match object.get_mut(&last) {
            Some(Json::Array(known)) => {
                for value in values {
                    if !known.contains(&value) {
                        known.push(value);
                    }
                }
            }
            _ => drop(object.insert(last, Json::Array(values))),
        }
    };
    authorize.get("claims").into_iter().for_each(|claims| {
        claims.walk(&mut |node| {
            if node.get("claim_name").is_some() || node.get("claim_path").is_some() {
                take(node);
            }
        });
    });
}
