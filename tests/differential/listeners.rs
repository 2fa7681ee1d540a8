//! The listeners of a trial: ours, theirs, and theirs with the stricter rules that ours follows.

use serde_json::{Value, json};
use testkit::Listener;

use crate::case::DETAILS;
use crate::world::{KeySet, idps};

/// The place of an issuer's key set.
pub(crate) fn remote_path(number: usize, set: KeySet) -> String {
    format!("/{number}/{set:?}")
}

/// The key set that an issuer serves at this address.
pub(crate) fn remote_keys(uri: &str) -> Option<String> {
    if let Some(document) = crate::key_documents::at(uri) {
        return Some(document);
    }
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

/// The same configuration for jwt_authn: without the fields that only ours has.
pub(crate) fn native(config: &Value) -> Value {
    let mut config = config.clone();
    config["@type"] =
        "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication".into();
    config.as_object_mut().expect("a configuration").remove("limits");
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
