//! jwt_authn's configuration with the stricter rules of this filter: its decision then shows whether the
//! rules are the cause.

use serde_json::{Value, json};

use crate::deviations;

/// One deviation at a time: a last rule for what no rule matches, and no waiver, as for a path that is not
/// canonical.
pub(crate) fn stricter(config: &Value) -> Vec<(&'static str, Value)> {
    let rules = config["rules"].as_array().map_or(&[][..], Vec::as_slice);
    let mut found = Vec::new();
    if rules
        .last()
        .is_none_or(|rule| rule["match"] != json!({"prefix": "/"}))
    {
        found.push((deviations::NO_RULE, with_last_rule(config, rules.to_vec())));
    }
    let strict: Vec<Value> = rules
        .iter()
        .filter_map(|rule| strict_rule(config, rule))
        .collect();
    if strict != rules {
        found.push((deviations::WAIVER, with_last_rule(config, strict)));
    }
    found
}

/// The rule in the form that requires a token; `None` if nothing remains. A rule that always requires a token
/// does not change.
fn strict_rule(config: &Value, rule: &Value) -> Option<Value> {
    let requirement = match rule["requirement_name"].as_str() {
        Some(name) => &config["requirement_map"][name],
        None => &rule["requires"],
    };
    if needs_token(requirement) {
        return Some(rule.clone());
    }
    let requires = without_waiver(requirement, &provider_names(config))?;
    Some(json!({"match": rule["match"], "requires": requires}))
}

/// Whether no request without a token meets the requirement.
fn needs_token(requirement: &Value) -> bool {
    if let Some(parts) = parts(requirement, "requires_any") {
        return parts.iter().all(needs_token);
    }
    if let Some(parts) = parts(requirement, "requires_all") {
        return parts.iter().any(needs_token);
    }
    requirement.get("provider_name").is_some() || requirement.get("provider_and_audiences").is_some()
}

/// The requirement for requests that need a token. `spoken_of` are the providers to which an `allow_missing`
/// in this place refers.
fn without_waiver(requirement: &Value, spoken_of: &[String]) -> Option<Value> {
    if let Some(parts) = parts(requirement, "requires_any") {
        let needing: Vec<Value> = parts.iter().filter(|part| needs_token(part)).cloned().collect();
        if !needing.is_empty() {
            return group("requires_any", needing);
        }
        let named: Vec<String> = parts.iter().flat_map(named).collect();
        let spoken_of = if named.is_empty() { spoken_of } else { &named };
        return group(
            "requires_any",
            parts
                .iter()
                .filter_map(|part| without_waiver(part, spoken_of))
                .collect(),
        );
    }
    if let Some(parts) = parts(requirement, "requires_all") {
        return group(
            "requires_all",
            parts
                .iter()
                .filter_map(|part| without_waiver(part, spoken_of))
                .collect(),
        );
    }
    if requirement.get("allow_missing").is_some() || requirement.get("allow_missing_or_failed").is_some() {
        return any_of(spoken_of);
    }
    needs_token(requirement).then(|| requirement.clone())
}

fn parts<'r>(requirement: &'r Value, name: &str) -> Option<&'r Vec<Value>> {
    requirement.pointer(&format!("/{name}/requirements"))?.as_array()
}

/// The providers that a requirement names itself.
pub(crate) fn named(requirement: &Value) -> Vec<String> {
    let group = parts(requirement, "requires_any").or_else(|| parts(requirement, "requires_all"));
    let mut found: Vec<String> = group.into_iter().flatten().flat_map(named).collect();
    for pointer in ["/provider_name", "/provider_and_audiences/provider_name"] {
        found.extend(
            requirement
                .pointer(pointer)
                .and_then(Value::as_str)
                .map(str::to_owned),
        );
    }
    found
}

/// jwt_authn requires at least two members in a group.
fn group(name: &str, mut parts: Vec<Value>) -> Option<Value> {
    match parts.len() {
        0 => None,
        1 => parts.pop(),
        _ => Some(json!({name: {"requirements": parts}})),
    }
}

fn any_of(providers: &[String]) -> Option<Value> {
    group(
        "requires_any",
        providers
            .iter()
            .map(|name| json!({"provider_name": name}))
            .collect(),
    )
}

fn provider_names(config: &Value) -> Vec<String> {
    config["providers"]
        .as_object()
        .expect("providers")
        .keys()
        .cloned()
        .collect()
}

/// A request that no rule matches needs a token of any provider.
fn with_last_rule(config: &Value, mut rules: Vec<Value>) -> Value {
    rules.push(json!({"match": {"prefix": "/"}, "requires": any_of(&provider_names(config))}));
    let mut closed = config.clone();
    closed["rules"] = rules.into();
    closed
}
