//! The native module in a real Envoy: the scenarios, and the tests of `tests/envoy/` that are about the
//! filter and not about VMs.
//!
//! Tests of features that only this module has are in `tests/native/`.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test may fail loudly, and has a clock; clippy does not see that this is one, since `main` is ours"
)]

#[macro_use]
extern crate testkit_macros;

#[path = "envoy/access_log.rs"]
mod access_log;
mod backends;
#[path = "envoy/binding.rs"]
mod binding;
#[path = "envoy/bridges.rs"]
mod bridges;
#[path = "envoy/configuration.rs"]
mod configuration;
#[path = "envoy/discovery.rs"]
mod discovery;
#[path = "envoy/dpop.rs"]
mod dpop;
#[path = "envoy/fields.rs"]
mod fields;
#[path = "envoy/guides.rs"]
mod guides;
mod harness;
#[path = "envoy/hostile.rs"]
mod hostile;
#[path = "envoy/http2.rs"]
mod http2;
#[path = "envoy/load.rs"]
mod load;
#[path = "envoy/malformed_requests.rs"]
mod malformed_requests;
#[path = "envoy/mcp.rs"]
mod mcp;
#[path = "native/faults.rs"]
mod native_faults;
#[path = "native/metadata.rs"]
mod native_metadata;
#[path = "native/metrics.rs"]
mod native_metrics;
#[path = "native/routes.rs"]
mod native_routes;
#[path = "native/secrets.rs"]
mod native_secrets;
#[path = "native/sources.rs"]
mod native_sources;
#[path = "native/versions.rs"]
mod native_versions;
#[path = "envoy/neighbour.rs"]
mod neighbour;
#[path = "envoy/operators.rs"]
mod operators;
#[path = "envoy/outage.rs"]
mod outage;
#[path = "envoy/reload.rs"]
mod reload;
#[path = "envoy/replies.rs"]
mod replies;
#[path = "envoy/reroutes.rs"]
mod reroutes;
#[path = "envoy/rotation.rs"]
mod rotation;
#[path = "envoy/routes.rs"]
mod routes;
#[path = "envoy/skipped.rs"]
mod skipped;
#[path = "envoy/stack.rs"]
mod stack;
#[path = "envoy/waiting.rs"]
mod waiting;
#[path = "envoy/workers.rs"]
mod workers;

use std::process::ExitCode;

use stack::{
    Stack, assert_alive, release_module, replaceable, resident_bytes, spring_trap, trap_listener,
    trap_module, wait_until_good,
};

fn main() -> ExitCode {
    testkit::use_native_module();
    stack::run()
}
