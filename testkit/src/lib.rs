//! The real parts around the filter, for end-to-end tests and the demo.
//!
//! ```text
//!  Client ──▶ EnvoyProcess (the filter inside) ──▶ Upstream   echoes what reached it
//!                     │
//!                     └──▶ Issuer   JWKS documents, counted, with faults on demand
//!  SigningKey ──▶ Token   what the client sends; public half ──▶ Issuer
//! ```
//!
//! Everything binds 127.0.0.1 on a free port by default, and everything is synchronous: tests are plain
//! `#[test]` functions, and the runtime for them is internal. As a test tool, it panics with a message if a
//! test cannot continue.

mod bootstrap;
mod certificates;
mod client;
mod envoy;
mod golden;
mod host_crypto;
mod issuer;
mod random;
mod rt;
mod stand_in;
mod struct_message;
mod template;
mod upstream;
mod workload;

pub use bootstrap::{
    Bootstrap, Listener, WasmFilter, requirement_metadata, route, route_requirement, router_filter,
    static_cluster, use_native_module, uses_native_module, wasm_filter,
};
pub use certificates::{Authority, Certificate, certificate_of};
pub use client::{BodySender, Client, Pending, Request, Response, raw_exchange, status_of};
pub use envoy::{EnvoyOptions, EnvoyProcess, envoy_binary, load_yaml};
pub use golden::{assert_golden, assert_golden_section};
pub use host_crypto::{verifies_spki, verify_signature};
pub use issuer::{Answer, ClosedPort, Fetch, Gate, Issuer};
pub use minting::{
    Algorithm, SigningKey, Token, encode_segment, jwks, random_id, sha256_segment, tamper_claims,
    tamper_signature, unix_now,
};
pub use random::Random;
pub use stand_in::{Provider, StandIns};
pub use struct_message::struct_message;
pub use template::Template;
pub use upstream::{Echo, Upstream, latin1};
pub use workload::{workload, workload_issuer};

/// The workspace's root as it was when this crate was built.
pub fn workspace_root() -> std::path::PathBuf {
    let manifest = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest
        .parent()
        .expect("testkit lies in the workspace's root")
        .to_path_buf()
}

/// The module: `JWT_WASM`, else what `make wasm` leaves, `envoy/jwt.wasm`.
pub fn module_path() -> std::path::PathBuf {
    std::env::var_os("JWT_WASM").map_or_else(|| workspace_root().join("envoy/jwt.wasm"), Into::into)
}

/// The native module: `JWT_NATIVE`, else what `make native` leaves, `envoy/libjwt.so`.
pub fn native_module_path() -> std::path::PathBuf {
    std::env::var_os("JWT_NATIVE").map_or_else(|| workspace_root().join("envoy/libjwt.so"), Into::into)
}
