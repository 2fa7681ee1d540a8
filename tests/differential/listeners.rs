//! The listeners of a trial: ours, theirs, and theirs with the stricter rules that ours follows.

use serde_json::{Value, json};
use testkit::Listener;

use crate::case::DETAILS;
use crate::deviations;
use crate::world::{KeySet, idps};

/// Where an issuer serves a key set.
pub(crate) fn remote_path(number: usize, set: KeySet) -> String {
    format!("/{number}/{set:?}")
}

/// The key set that an issuer serves at this address.
pub(crate) fn remote_keys(uri: &str) -> Option<String> {
    idps().iter().enumerate().find_map(|(number, idp)| {
        let set = KeySet::ALL
            .into_iter()
            .find(|set| uri.ends_with(&remote_path(number, *set)))?;
        Some(set.of(idp).to_string())
    })
}

pub(crate) fn listener(name: &str, filter: Value, route: &Value) -> Listener {
    let mut all = testkit::route("/", "upstream");
    for (field, value) in route.as_object().into_iter().flatten() {
        all[field] = value.clone();
    }
    // Both filters say in the response-code details why they refuse, whatever their reply says.
    let details = json!({"mappers": [{
        "filter": {"status_code_filter": {"comparison": {
            "op": "GE", "value": {"default_value": 400, "runtime_key": "differential.details"}
        }}},
        "headers_to_add": [{"header": {"key": DETAILS, "value": "%RESPONSE_CODE_DETAILS%"}}]
    }]});
    Listener::new(name)
        .filter(filter)
        .route(all)
        .manager("local_reply_config", details)
}

/// The same configuration for jwt_authn: without what only ours has.
pub(crate) fn native(config: &Value) -> Value {
    let mut config = config.clone();
    config["@type"] =
        "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication".into();
    for provider in config["providers"]
        .as_object_mut()
        .into_iter()
        .flatten()
        .map(|(_, provider)| provider)
    {
        if provider["audiences"] == json!(["*"]) {
            provider.as_object_mut().expect("a provider").remove("audiences");
        }
    }
    json!({"name": "envoy.filters.http.jwt_authn", "typed_config": config})
}

/// The configuration with the rules that ours adds to it, one deviation at a time: a last rule for what no rule matches,
/// and no waiver, as for a path that is not canonical.
pub(crate) fn stricter(config: &Value) -> Vec<(&'static str, Value)> {
    let rules = config["rules"].as_array().map_or(&[][..], Vec::as_slice);
    let waives = |rule: &Value| !needs_token(config, rule);
    let mut found = Vec::new();
    if rules
        .last()
        .is_none_or(|rule| rule["match"] != json!({"prefix": "/"}))
    {
        found.push((deviations::NO_RULE, with_last_rule(config, rules.to_vec())));
    }
    if rules.iter().any(waives) {
        let kept = rules
            .iter()
            .filter(|rule| needs_token(config, rule))
            .cloned()
            .collect();
        found.push((deviations::WAIVER, with_last_rule(config, kept)));
    }
    found
}

/// Whether no request without a token meets the rule, or the requirement.
fn needs_token(config: &Value, rule: &Value) -> bool {
    let parts = |group: &str| {
        rule.pointer(&format!("/{group}/requirements"))
            .and_then(Value::as_array)
    };
    if let Some(requirement) = rule.get("requires") {
        return needs_token(config, requirement);
    }
    if let Some(Value::String(name)) = rule.get("requirement_name") {
        return needs_token(config, &config["requirement_map"][name]);
    }
    if let Some(parts) = parts("requires_any") {
        return parts.iter().all(|part| needs_token(config, part));
    }
    if let Some(parts) = parts("requires_all") {
        return parts.iter().any(|part| needs_token(config, part));
    }
    rule.get("provider_name").is_some() || rule.get("provider_and_audiences").is_some()
}

/// A token of any provider for what no rule matches.
fn with_last_rule(config: &Value, mut rules: Vec<Value>) -> Value {
    let mut any: Vec<Value> = config["providers"]
        .as_object()
        .expect("providers")
        .keys()
        .map(|name| json!({"provider_name": name}))
        .collect();
    let requires = if any.len() == 1 {
        any.remove(0)
    } else {
        json!({"requires_any": {"requirements": any}})
    };
    rules.push(json!({"match": {"prefix": "/"}, "requires": requires}));
    let mut closed = config.clone();
    closed["rules"] = rules.into();
    closed
}
