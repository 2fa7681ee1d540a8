//! A parsed configuration, with keys instead of those that the filter would fetch.

use std::rc::Rc;

use crate::core::{self, Config};
use crate::inline_keys::set_keys;
use crate::source::Node;

/// A configuration that was read.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    /// With the keys in place.
    pub(crate) node: Node,
    pub(crate) config: Rc<Config>,
    /// The providers with keys that only Envoy can read.
    pub(crate) unread_keys: Vec<String>,
    /// The providers whose keys could not be fetched, and the cause for each.
    #[cfg_attr(not(feature = "cli"), allow(dead_code, reason = "the page fetches nothing"))]
    pub(crate) unfetched: Vec<(String, String)>,
}

impl Loaded {
    /// Reads the configuration again, with these key sets, each under the name of its provider.
    pub(crate) fn with_keys(mut self, given: Vec<(String, String)>) -> Result<Self, String> {
        if given.is_empty() {
            return Ok(self);
        }
        for (name, document) in given {
            self.unread_keys.retain(|unread| *unread != name);
            set_keys(&mut self.node, &name, &document);
        }
        let config = core::parse(&self.node, false).map_err(|error| format!("with these keys: {error}"))?;
        self.config = Rc::new(config);
        Ok(self)
    }
}
