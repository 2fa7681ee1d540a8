//! The claims with which a token meets the conditions of a configuration.
//!
//! [`Demands::meet`] proposes claims for each condition, and evaluates every condition with the result. It
//! names the conditions that the claims do not meet, or whose result it cannot know.

use serde_json::{Map, Value, json};

use super::{member, strings};

/// The conditions for the tokens of one provider, each with its place in the configuration.
#[derive(Debug, Default)]
pub(super) struct Demands<'v> {
    /// `authorize` of the provider, then of the rules that may ask for it.
    authorize: Vec<(String, &'v Value)>,
    /// `subjects` of the provider, with its place.
    subjects: Option<(String, &'v Value)>,
}

impl<'v> Demands<'v> {
    /// Those of the provider with this name.
    pub(super) fn of(config: &'v Value, name: &str, provider: &'v Value) -> Self {
        let mut authorize = Vec::new();
        if let Some(own) = member(provider, "authorize") {
            authorize.push((format!("providers.{name}.authorize"), own));
        }
        let rules = member(config, "rules").and_then(Value::as_array);
        for (index, rule) in rules.into_iter().flatten().enumerate() {
            let is_for = requirements(config, rule).any(|requires| names(requires, name));
            if let Some(of_rule) = member(rule, "authorize").filter(|_| is_for) {
                authorize.push((format!("rules[{index}].authorize"), of_rule));
            }
        }
        let subjects = member(provider, "subjects");
        Self {
            authorize,
            subjects: subjects.map(|subjects| (format!("providers.{name}.subjects"), subjects)),
        }
    }

    /// Adds claims that meet the conditions, and returns the places of the conditions that they do not meet.
    pub(super) fn meet(&self, claims: &mut Map<String, Value>) -> Vec<String> {
        if let Some((_, subjects)) = &self.subjects
            && matches(
                subjects,
                claims.get("sub").and_then(Value::as_str).unwrap_or_default(),
            ) != Some(true)
            && let Some(subject) = text_for(subjects)
        {
            claims.insert("sub".into(), subject.into());
        }
        for (_, authorize) in &self.authorize {
            if let Some(scopes) = member(authorize, "scopes") {
                add_scopes(scopes, claims);
            }
            for condition in conditions(authorize) {
                if holds(condition, claims) != Some(true) {
                    propose(condition, claims);
                }
            }
        }
        let mut unmet = Vec::new();
        if let Some((place, subjects)) = &self.subjects
            && matches(
                subjects,
                claims.get("sub").and_then(Value::as_str).unwrap_or_default(),
            ) != Some(true)
        {
            unmet.push(place.clone());
        }
        for (place, authorize) in &self.authorize {
            for (index, condition) in conditions(authorize).enumerate() {
                if holds(condition, claims) != Some(true) {
                    unmet.push(format!("{place}.claims[{index}]"));
                }
            }
        }
        unmet
    }
}

fn conditions(authorize: &Value) -> impl Iterator<Item = &Value> {
    let claims = member(authorize, "claims").and_then(Value::as_array);
    claims.into_iter().flatten()
}

/// The requirements of a rule: its own, or the one that it names.
fn requirements<'v>(config: &'v Value, rule: &'v Value) -> impl Iterator<Item = &'v Value> {
    let named = member(rule, "requirement_name").and_then(Value::as_str);
    let named = named.and_then(|name| member(config, "requirement_map")?.get(name));
    member(rule, "requires").into_iter().chain(named)
}

/// Whether a requirement names the provider, or accepts every provider.
fn names(requires: &Value, provider: &str) -> bool {
    match requires {
        Value::Object(members) => members.iter().any(|(name, value)| match name.as_str() {
            "provider_name" | "providerName" => value == provider,
            "allow_missing" | "allowMissing" | "allow_missing_or_failed" | "allowMissingOrFailed" => true,
            _ => names(value, provider),
        }),
        Value::Array(elements) => elements.iter().any(|element| names(element, provider)),
        _ => false,
    }
}

/// `provider_and_audiences` for this provider, anywhere in the configuration: the audiences that they list.
pub(super) fn audiences_of_requirements<'v>(config: &'v Value, provider: &str, found: &mut Vec<&'v str>) {
    match config {
        Value::Object(members) => {
            if member(config, "provider_name").is_some_and(|name| name == provider) {
                found.extend(strings(config, "audiences").take(1));
            }
            for value in members.values() {
                audiences_of_requirements(value, provider, found);
            }
        }
        Value::Array(elements) => {
            for element in elements {
                audiences_of_requirements(element, provider, found);
            }
        }
        _ => {}
    }
}

/// Adds the scopes to the first of the claims that may contain them.
fn add_scopes(scopes: &Value, claims: &mut Map<String, Value>) {
    let named = strings(scopes, "claim_names").next().unwrap_or("scope");
    let wanted = strings(scopes, "all").chain(strings(scopes, "any").take(1));
    for scope in wanted {
        match claims.entry(named).or_insert_with(|| "".into()) {
            Value::Array(held) if !held.iter().any(|held| held == scope) => held.push(scope.into()),
            Value::String(held) if !held.split(' ').any(|held| held == scope) => {
                *held = format!("{held} {scope}").trim().to_owned();
            }
            _ => {}
        }
    }
}

/// The names that lead to the claim of a condition.
fn path(condition: &Value) -> Vec<&str> {
    match member(condition, "claim_path").and_then(Value::as_array) {
        Some(keys) => keys
            .iter()
            .filter_map(|key| key.as_str().or_else(|| member(key, "key")?.as_str()))
            .collect(),
        None => member(condition, "claim_name")
            .and_then(Value::as_str)
            .into_iter()
            .collect(),
    }
}

fn claim<'c>(claims: &'c Map<String, Value>, path: &[&str]) -> Option<&'c Value> {
    let (first, rest) = path.split_first()?;
    let found = rest
        .iter()
        .try_fold(claims.get(*first)?, |value, name| value.get(name))?;
    Some(found).filter(|found| !found.is_null())
}

fn set(claims: &mut Map<String, Value>, path: &[&str], value: Option<Value>) {
    let Some((last, before)) = path.split_last() else {
        return;
    };
    let mut object = claims;
    for name in before {
        let inner = object.entry(*name).or_insert_with(|| json!({}));
        if !inner.is_object() {
            *inner = json!({});
        }
        let Value::Object(inner) = inner else { return };
        object = inner;
    }
    match value {
        Some(value) => object.insert((*last).to_owned(), value),
        None => object.remove(*last),
    };
}

fn flag(object: &Value, name: &str) -> bool {
    member(object, name).and_then(Value::as_bool).unwrap_or_default()
}

/// Sets the claim to a value that meets the condition, or removes it.
fn propose(condition: &Value, claims: &mut Map<String, Value>) {
    if let Some(any) = member(condition, "any").and_then(Value::as_array) {
        for one in any {
            let before = claims.clone();
            propose(one, claims);
            if holds(one, claims) == Some(true) {
                return;
            }
            *claims = before;
        }
        return;
    }
    let path = path(condition);
    if let Some(exists) = member(condition, "exists").and_then(Value::as_bool) {
        let is_wanted = exists != flag(condition, "invert");
        return set(claims, &path, is_wanted.then(|| "demo".into()));
    }
    if flag(condition, "invert") {
        return set(claims, &path, Some("demo-other".into()));
    }
    let first = || member(condition, "any_of").and_then(|values| values.get(0));
    let named = member(condition, "equals")
        .or_else(first)
        .or_else(|| member(condition, "all_of"));
    let Some(value) = named.cloned().or_else(|| text_for(condition).map(Value::from)) else {
        return;
    };
    // A list meets several conditions on one claim.
    let value = match claim(claims, &path) {
        Some(Value::Array(held)) => {
            let more = value.as_array().cloned().unwrap_or_else(|| vec![value]);
            held.iter().cloned().chain(more).collect()
        }
        _ => value,
    };
    set(claims, &path, Some(value));
}

/// Whether the claims meet the condition; `None` if that depends on a pattern or on the request.
fn holds(condition: &Value, claims: &Map<String, Value>) -> Option<bool> {
    if let Some(any) = member(condition, "any").and_then(Value::as_array) {
        let all: Vec<_> = any.iter().map(|one| holds(one, claims)).collect();
        return if all.contains(&Some(true)) {
            Some(true)
        } else if all.contains(&None) {
            None
        } else {
            Some(false)
        };
    }
    let found = claim(claims, &path(condition));
    let is_inverted = flag(condition, "invert");
    if let Some(exists) = member(condition, "exists").and_then(Value::as_bool) {
        return Some((found.is_some() == exists) != is_inverted);
    }
    let Some(found) = found else { return Some(false) };
    let elements = found.as_array().cloned().unwrap_or_else(|| vec![found.clone()]);
    let holds = if let Some(value) = member(condition, "equals") {
        elements.contains(value)
    } else if let Some(values) = member(condition, "any_of").and_then(Value::as_array) {
        elements.iter().any(|element| values.contains(element))
    } else if let Some(values) = member(condition, "all_of").and_then(Value::as_array) {
        found.is_array() && values.iter().all(|value| elements.contains(value))
    } else if member(condition, "equals_request").is_some() || member(condition, "regex").is_some() {
        return None;
    } else {
        let texts = elements.iter().filter_map(Value::as_str);
        texts
            .filter_map(|text| matches(condition, text))
            .any(|holds| holds)
    };
    Some(holds != is_inverted)
}

/// A text that a string matcher, or the test of a claim's text, accepts.
fn text_for(matcher: &Value) -> Option<String> {
    let of = |name: &str| member(matcher, name).and_then(Value::as_str);
    of("exact")
        .map(str::to_owned)
        .or_else(|| of("prefix").map(|prefix| format!("{prefix}demo")))
        .or_else(|| of("suffix").map(|suffix| format!("demo{suffix}")))
        .or_else(|| of("contains").map(str::to_owned))
}

/// Whether the text passes; `None` for a pattern.
fn matches(matcher: &Value, text: &str) -> Option<bool> {
    let cased = |text: &str| match flag(matcher, "ignore_case") {
        true => text.to_ascii_lowercase(),
        false => text.to_owned(),
    };
    let text = cased(text);
    let of = |name: &str| member(matcher, name).and_then(Value::as_str).map(cased);
    of("exact")
        .map(|exact| text == exact)
        .or_else(|| of("prefix").map(|prefix| text.starts_with(&prefix)))
        .or_else(|| of("suffix").map(|suffix| text.ends_with(&suffix)))
        .or_else(|| of("contains").map(|part| text.contains(&part)))
}
