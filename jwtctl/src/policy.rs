//! A parsed configuration, with keys instead of those that the filter would fetch.

use std::rc::Rc;

use crate::core::{self, Config};
use crate::source::{Key, Node, Value, snake_case};

/// A configuration that was read.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    /// With the keys in place.
    pub(crate) node: Node,
    pub(crate) config: Rc<Config>,
}

impl Loaded {
    /// Reads the configuration again, with these key sets, each under the name of its provider.
    pub(crate) fn with_keys(mut self, given: Vec<(String, String)>) -> Result<Self, String> {
        if given.is_empty() {
            return Ok(self);
        }
        for (name, document) in given {
            set_keys(&mut self.node, &name, &document);
        }
        let config = core::parse(&self.node, false).map_err(|error| format!("with these keys: {error}"))?;
        self.config = Rc::new(config);
        Ok(self)
    }
}

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
