//! Envoy configuration as JSON values: clusters, listeners, the wasm filter. Tests add further fields to the
//! value afterwards.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Map, Value, json};

use crate::{module_path, native_module_path};

/// A whole bootstrap. The admin listener is added at start.
#[derive(Debug, Clone, Default)]
pub struct Bootstrap {
    clusters: Vec<Value>,
    listeners: Vec<Value>,
}

impl Bootstrap {
    /// A bootstrap without clusters and listeners.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a cluster of one address.
    pub fn cluster(self, name: &str, addr: SocketAddr) -> Self {
        self.cluster_value(static_cluster(name, addr))
    }

    /// Adds a cluster that the caller has written.
    pub fn cluster_value(mut self, cluster: Value) -> Self {
        self.clusters.push(cluster);
        self
    }

    /// Adds a listener.
    pub fn listener(self, listener: Listener) -> Self {
        self.listener_value(listener.build())
    }

    /// Adds a listener that the caller has written.
    pub fn listener_value(mut self, listener: Value) -> Self {
        self.listeners.push(listener);
        self
    }

    /// The bootstrap as Envoy reads it.
    pub fn build(self) -> Value {
        json!({"static_resources": {"clusters": self.clusters, "listeners": self.listeners}})
    }
}

/// A cluster of type STATIC with one address; HTTP/1.1, trailers passed on.
pub fn static_cluster(name: &str, addr: SocketAddr) -> Value {
    json!({
        "name": name,
        "type": "STATIC",
        // This machine accepts or refuses a connection at once. If the kernel does not run Envoy for this
        // long, Envoy takes an open connection for a failed one.
        "connect_timeout": "10s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": socket_address(addr)}}]}]
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http_protocol_options": {"enable_trailers": true}}
            }
        }
    })
}

/// A listener on a free port of 127.0.0.1 with an HTTP connection manager: its filters, then the router.
#[derive(Debug, Clone)]
pub struct Listener {
    name: String,
    filters: Vec<Value>,
    routes: Vec<Value>,
    virtual_host: Map<String, Value>,
    manager: Map<String, Value>,
}

impl Listener {
    /// A listener that routes everything to the cluster `upstream`.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            filters: Vec::new(),
            routes: Vec::new(),
            virtual_host: Map::new(),
            manager: Map::new(),
        }
    }

    /// A listener with the module that `make wasm` leaves, configured with `config`. Its access log prints
    /// status, response-code details and the module's reason.
    pub fn wasm(name: &str, config: Value) -> Self {
        Self::new(name)
            .filter(WasmFilter::new(config).build())
            .access_log(
                "%RESPONSE_CODE% %RESPONSE_CODE_DETAILS% %FILTER_STATE(wasm.jwt.reason:PLAIN)% %REQ(:PATH)%",
            )
    }

    /// Adds an HTTP filter before the router, after those already there.
    pub fn filter(mut self, filter: Value) -> Self {
        self.filters.push(filter);
        self
    }

    /// Adds a route; the first one given replaces the default route.
    pub fn route(mut self, route: Value) -> Self {
        self.routes.push(route);
        self
    }

    /// Writes an access log of this format, a line for a request, see [`EnvoyProcess::access_log`].
    ///
    /// [`EnvoyProcess::access_log`]: crate::EnvoyProcess::access_log
    pub fn access_log(self, format: &str) -> Self {
        let log = json!([{
            "name": "envoy.access_loggers.stdout",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
                "log_format": {"text_format_source": {"inline_string": format!("{format}\n")}}
            }
        }]);
        self.manager("access_log", log)
    }

    /// Sets a field of the virtual host that holds the routes.
    pub fn virtual_host(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.virtual_host.insert(field.into(), value.into());
        self
    }

    /// Sets a field of the HTTP connection manager, `normalize_path` for instance.
    pub fn manager(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.manager.insert(field.into(), value.into());
        self
    }

    /// The listener as Envoy reads it.
    pub fn build(self) -> Value {
        let mut filters = self.filters;
        filters.push(router_filter());
        let routes = if self.routes.is_empty() {
            vec![route("/", "upstream")]
        } else {
            self.routes
        };
        let mut virtual_host = json!({"name": "all", "domains": ["*"], "routes": routes});
        for (field, value) in self.virtual_host {
            virtual_host[field] = value;
        }
        let mut manager = json!({
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": self.name,
            "http_protocol_options": {"enable_trailers": true},
            "route_config": {
                "name": self.name,
                "virtual_hosts": [virtual_host]
            },
            "http_filters": filters
        });
        for (field, value) in self.manager {
            manager[field] = value;
        }
        json!({
            "name": self.name,
            "address": socket_address(([127, 0, 0, 1], 0).into()),
            "filter_chains": [{"filters": [{
                "name": "envoy.filters.network.http_connection_manager",
                "typed_config": manager
            }]}]
        })
    }
}

/// The wasm filter with its VM.
#[derive(Debug, Clone)]
pub struct WasmFilter {
    /// The module file.
    pub module: PathBuf,
    /// The name of the plugin in logs and statistics.
    pub name: String,
    /// Plugins of one `vm_id` and one module share a VM and its shared data.
    pub vm_id: String,
    /// The plugin's configuration.
    pub config: Value,
    /// Hand the configuration over as JSON text in a `google.protobuf.StringValue`, and not as a
    /// `google.protobuf.Struct`, which Envoy 1.40 passes on as the message's binary form.
    pub as_text: bool,
    /// Further fields of Envoy's `PluginConfig`, `allow_on_headers_stop_iteration` for instance.
    pub options: Map<String, Value>,
}

impl WasmFilter {
    /// The module that `make wasm` leaves, with this configuration.
    pub fn new(config: Value) -> Self {
        Self {
            module: module_path(),
            name: "jwt".into(),
            vm_id: "jwt".into(),
            config,
            as_text: false,
            options: Map::new(),
        }
    }

    /// The same with the configuration as text.
    pub fn as_text(mut self) -> Self {
        self.as_text = true;
        self
    }

    /// The same with another VM: nothing shared with other listeners.
    pub fn vm_id(mut self, vm_id: &str) -> Self {
        self.vm_id = vm_id.into();
        self
    }

    /// Sets a field of `PluginConfig`.
    pub fn option(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.options.insert(field.into(), value.into());
        self
    }

    /// The HTTP filter as Envoy reads it. `FAIL_RELOAD`: after a crash Envoy makes a new VM, and no request
    /// passes meanwhile. After [`use_native_module`] it is the native one, in place of this project's own
    /// module.
    pub fn build(self) -> Value {
        if uses_native_module() && self.module == module_path() {
            return self.build_native(&native_module_path());
        }
        let configuration = self.configuration();
        let mut config = json!({
            "name": self.name,
            "root_id": "",
            "failure_policy": "FAIL_RELOAD",
            "vm_config": {
                "vm_id": self.vm_id,
                "runtime": "envoy.wasm.runtime.v8",
                "code": {"local": {"filename": self.module}}
            },
            "configuration": configuration
        });
        for (field, value) in self.options {
            config[field] = value;
        }
        json!({
            "name": "envoy.filters.http.wasm",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
                "config": config
            }
        })
    }
}

impl WasmFilter {
    fn configuration(&self) -> Value {
        if self.as_text {
            json!({"@type": "type.googleapis.com/google.protobuf.StringValue", "value": self.config.to_string()})
        } else {
            json!({"@type": "type.googleapis.com/google.protobuf.Struct", "value": self.config})
        }
    }

    /// The same filter as a dynamic module, its metrics under the names that the wasm module's have. Fields
    /// that only a VM has are omitted.
    pub fn build_native(&self, module: &Path) -> Value {
        native_filter(module, &self.configuration())
    }
}

fn native_filter(module: &Path, configuration: &Value) -> Value {
    json!({
        "name": "envoy.filters.http.dynamic_modules",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter",
            "dynamic_module_config": {
                "module": {"local": {"filename": module}},
                "do_not_close": true,
                "metrics_namespace": "wasmcustom"
            },
            "filter_name": "jwt",
            "filter_config": configuration
        }
    })
}

/// Puts the native module in the place of this project's Wasm module, wherever an example has it.
pub(crate) fn put_native_filters(config: &mut Value) {
    if config
        .get("name")
        .is_some_and(|name| name == "envoy.filters.http.wasm")
    {
        let plugin = &config["typed_config"]["config"];
        let file = plugin["vm_config"]["code"]["local"]["filename"].as_str();
        if file.is_some_and(|file| Path::new(file).file_name() == module_path().file_name()) {
            *config = native_filter(&native_module_path(), &plugin["configuration"]);
        }
        return;
    }
    match config {
        Value::Object(members) => members.values_mut().for_each(put_native_filters),
        Value::Array(elements) => elements.iter_mut().for_each(put_native_filters),
        _ => {}
    }
}

static IS_NATIVE: AtomicBool = AtomicBool::new(false);

/// From now on every filter of this process is the native module. Log settings for Envoy's component `wasm`
/// apply to `dynamic_modules`.
pub fn use_native_module() {
    IS_NATIVE.store(true, Ordering::Relaxed);
}

/// See [`use_native_module`].
pub fn uses_native_module() -> bool {
    IS_NATIVE.load(Ordering::Relaxed)
}

/// The wasm filter with the module that `make wasm` leaves, as Envoy reads it.
pub fn wasm_filter(config: Value) -> Value {
    WasmFilter::new(config).build()
}

/// The router, which ends every filter list.
pub fn router_filter() -> Value {
    json!({
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}
    })
}

/// A route of a path prefix to a cluster.
pub fn route(prefix: &str, cluster: &str) -> Value {
    json!({"name": prefix, "match": {"prefix": prefix}, "route": {"cluster": cluster}})
}

/// A route of a path prefix to the cluster `upstream` whose metadata names an entry of `requirement_map`.
pub fn route_requirement(prefix: &str, requirement: &str) -> Value {
    let mut route = route(prefix, "upstream");
    route["metadata"] = requirement_metadata(requirement);
    route
}

/// The metadata of a route or a virtual host that names an entry of `requirement_map`.
pub fn requirement_metadata(requirement: &str) -> Value {
    json!({"filter_metadata": {"proxy-wasm-jwt": {"requirement_name": requirement}}})
}

/// An address as Envoy writes it.
pub(crate) fn socket_address(addr: SocketAddr) -> Value {
    json!({"socket_address": {"address": addr.ip().to_string(), "port_value": addr.port()}})
}
