//! The demo's processes and servers, started from `envoy/envoy.yaml` or a configuration like it.

use std::path::PathBuf;

use testkit::{
    ClosedPort, EnvoyOptions, EnvoyProcess, Issuer, SigningKey, Template, Upstream, jwks, module_path,
    workspace_root,
};

/// The issuer that the template's provider expects.
pub(crate) const ISSUER: &str = "https://issuer.example";
/// The audience that the template's provider expects.
pub(crate) const AUDIENCE: &str = "orders-api";
/// The path of the issuer's keys.
pub(crate) const JWKS: &str = "/jwks";

/// The configuration that the demo starts from.
pub(crate) fn template() -> PathBuf {
    workspace_root().join("envoy/envoy.yaml")
}

/// All running parts. Envoy ends first.
pub(crate) struct Stack {
    /// Listener `main` is the template's. The issuer of listener `cold` was never reachable.
    pub(crate) envoy: EnvoyProcess,
    pub(crate) issuer: Issuer,
    _upstream: Upstream,
    _closed: ClosedPort,
}

impl Stack {
    /// Starts it with `key` published.
    pub(crate) fn start(key: &SigningKey) -> Result<Self, String> {
        let module = need_module()?;
        let (issuer, upstream, closed) = (Issuer::start(), Upstream::start(), ClosedPort::reserve());
        publish(&issuer, &[key]);
        let config = Template::load(&template())?
            .module(&module)
            .cluster("issuer", issuer.addr())
            .cluster("upstream", upstream.addr())
            .cluster("unreachable", closed.addr())
            .copy_listener("main", "cold", |config| {
                config["stat_prefix"] = "cold".into();
                let uri = &mut config["providers"]["demo"]["remote_jwks"]["http_uri"];
                uri["cluster"] = "unreachable".into();
                uri["uri"] = "http://unreachable:8080/jwks".into();
            })
            .listen("main", ([127, 0, 0, 1], 0).into())
            .listen("cold", ([127, 0, 0, 1], 0).into())
            .build();
        let envoy = EnvoyProcess::try_start(&config, &EnvoyOptions::workers(2))
            .map_err(|log| format!("Envoy did not start:\n{log}"))?;
        Ok(Self {
            envoy,
            issuer,
            _upstream: upstream,
            _closed: closed,
        })
    }
}

/// The module, if it was built.
pub(crate) fn need_module() -> Result<PathBuf, String> {
    let module = module_path();
    match module.exists() {
        true => Ok(module),
        false => Err(format!(
            "{} is not there: `make wasm` builds it",
            module.display()
        )),
    }
}

/// Publishes these keys, and a discovery document that leads to them.
pub(crate) fn publish(issuer: &Issuer, keys: &[&SigningKey]) {
    issuer.serve(
        JWKS,
        testkit::Answer::json(&jwks(keys)).cache_control("max-age=600"),
    );
    issuer.serve_discovery(ISSUER, &issuer.url(JWKS));
}
