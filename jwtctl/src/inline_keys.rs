//! Key sets in the text of a configuration, in place of those that the filter would fetch.

use crate::source::{Key, Node, Value, snake_case};

/// Writes a key set into a provider, in place of the source of its keys.
pub(crate) fn set_keys(node: &mut Node, provider: &str, document: &str) {
    let Value::Map(members) = &mut node.value else {
        return;
    };
    let providers = members.iter_mut().find(|(key, _)| key.name == "providers");
    let Some((_, providers)) = providers else { return };
    let Value::Map(providers) = &mut providers.value else {
        return;
    };
    let Some((_, provider)) = providers.iter_mut().find(|(key, _)| key.name == provider) else {
        return;
    };
    let place = provider.place.clone();
    let Value::Map(fields) = &mut provider.value else {
        return;
    };
    fields.retain(|(key, _)| {
        !matches!(
            &*snake_case(&key.name),
            "discovery" | "remote_jwks" | "local_jwks" | "key_cache"
        )
    });
    let member = |name: &str, value| {
        let key = Key {
            name: name.to_owned(),
            place: place.clone(),
        };
        (key, Node::new(value, place.clone()))
    };
    let inline = member("inline_string", Value::Text(document.to_owned()));
    fields.push(member("local_jwks", Value::Map(vec![inline])));
}
