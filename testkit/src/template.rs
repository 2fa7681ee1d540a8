//! A configuration for other machines, whose addresses and files are replaced by those of this machine.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};

use crate::bootstrap::{socket_address, static_cluster};
use crate::envoy::load_yaml;

/// An Envoy bootstrap read from a YAML file.
#[derive(Debug, Clone)]
pub struct Template(Value);

impl Template {
    /// Reads the file; the error names it.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read or parsed; the text names it.
    pub fn load(path: &Path) -> Result<Self, String> {
        let named = |error: String| format!("{}: {error}", path.display());
        let text = std::fs::read_to_string(path).map_err(|error| named(error.to_string()))?;
        load_yaml(&text).map(Self).map_err(named)
    }

    /// Gives a cluster one address in place of its own, or adds the cluster.
    pub fn cluster(mut self, name: &str, addr: SocketAddr) -> Self {
        let clusters = list(&mut self.0, "clusters");
        clusters.retain(|cluster| cluster["name"] != name);
        clusters.push(static_cluster(name, addr));
        self
    }

    /// Binds a listener elsewhere.
    pub fn listen(mut self, name: &str, addr: SocketAddr) -> Self {
        self.listener(name)["address"] = socket_address(addr);
        self
    }

    /// Adds a copy of a listener with the filter's configuration edited.
    pub fn copy_listener(mut self, name: &str, copy: &str, edit: impl FnOnce(&mut Value)) -> Self {
        let mut listener = self.listener(name).clone();
        listener["name"] = copy.into();
        manager(&mut listener)["stat_prefix"] = copy.into();
        edit(&mut wasm_config(&mut listener)["configuration"]["value"]);
        list(&mut self.0, "listeners").push(listener);
        self
    }

    /// Loads the module from this file, in every listener.
    pub fn module(mut self, path: &Path) -> Self {
        for listener in list(&mut self.0, "listeners") {
            wasm_config(listener)["vm_config"]["code"]["local"]["filename"] = json!(path);
        }
        self
    }

    /// The bootstrap without its admin section: `EnvoyProcess` adds one on a free port.
    pub fn build(mut self) -> Value {
        self.0
            .as_object_mut()
            .expect("a bootstrap is an object")
            .remove("admin");
        self.0
    }

    fn listener(&mut self, name: &str) -> &mut Value {
        let found = list(&mut self.0, "listeners")
            .iter_mut()
            .find(|listener| listener["name"] == name);
        found.unwrap_or_else(|| panic!("the template has no listener {name:?}"))
    }
}

fn list<'a>(bootstrap: &'a mut Value, kind: &str) -> &'a mut Vec<Value> {
    let list = bootstrap["static_resources"][kind].as_array_mut();
    list.unwrap_or_else(|| panic!("the template has no {kind}"))
}

fn manager(listener: &mut Value) -> &mut Value {
    &mut listener["filter_chains"][0]["filters"][0]["typed_config"]
}

fn wasm_config(listener: &mut Value) -> &mut Value {
    let filters = manager(listener)["http_filters"]
        .as_array_mut()
        .into_iter()
        .flatten();
    let wasm = filters
        .into_iter()
        .find(|filter| filter["name"] == "envoy.filters.http.wasm");
    &mut wasm.expect("the listener has a wasm filter")["typed_config"]["config"]
}
