//! Key sets in the text of a configuration, in place of those that the filter would fetch or read.

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

/// Writes a text in place of the files and variables of Envoy's environment that the native module reads.
/// Returns the providers whose keys they contain.
pub(crate) fn fill_sources(config: &mut Node, text: &str) -> Vec<String> {
    let mut unread = Vec::new();
    let Value::Map(members) = &mut config.value else {
        return unread;
    };
    for (key, member) in members {
        match &mut member.value {
            Value::Map(providers) if key.name == "providers" => {
                for (name, provider) in providers {
                    if fill(provider, text) {
                        unread.push(name.name.clone());
                    }
                }
            }
            _ => {
                fill(member, text);
            }
        }
    }
    unread
}

/// Writes the text into each source within this node. Returns whether one of them was of keys.
fn fill(node: &mut Node, text: &str) -> bool {
    let mut has_keys = false;
    match &mut node.value {
        Value::Map(members) => {
            for (key, member) in members {
                let of_keys = snake_case(&key.name) == "local_jwks";
                match (of_keys || key.name == "secret") && is_read_by_envoy(member) {
                    true => {
                        let place = member.place.clone();
                        let inline = Key {
                            name: "inline_string".to_owned(),
                            place: place.clone(),
                        };
                        member.value =
                            Value::Map(vec![(inline, Node::new(Value::Text(text.to_owned()), place))]);
                        has_keys |= of_keys;
                    }
                    false => has_keys |= fill(member, text),
                }
            }
        }
        Value::List(elements) => elements
            .iter_mut()
            .for_each(|element| has_keys |= fill(element, text)),
        _ => {}
    }
    has_keys
}

/// Whether this is a `DataSource` with the name of a file or a variable alone.
fn is_read_by_envoy(node: &Node) -> bool {
    let [(key, value)] = node.members() else {
        return false;
    };
    value.text().is_some() && matches!(&*snake_case(&key.name), "filename" | "environment_variable")
}
