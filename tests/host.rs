//! The real callbacks of the SDK, run natively against a stub of the host: the behavior of `src/host`, call
//! by call.
//!
//! ```text
//!  scenarios, cache, faults …  ──▶ vm        calls `proxy_on_*` as Envoy does: contexts, streams, ticks, answers
//!                                   │ ▲
//!                                   ▼ │       the SDK's dispatcher and `src/host`, the code that Envoy runs
//!                                  stub      answers `proxy_*` as Envoy does, and remembers
//! ```

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test may fail loudly, and has a clock; clippy does not see that this is one, since `main` is ours"
)]

#[macro_use]
extern crate testkit_macros;

mod backends;
mod harness;

#[path = "host/cache.rs"]
mod cache;
#[path = "host/crypto.rs"]
mod crypto;
#[path = "host/faults.rs"]
mod faults;
#[path = "host/fetches.rs"]
mod fetches;
#[path = "host/filter_state.rs"]
mod filter_state;
#[path = "host/host_calls.rs"]
mod host_calls;
#[path = "host/leaks.rs"]
mod leaks;
#[path = "host/lifecycle.rs"]
mod lifecycle;
#[path = "host/routes.rs"]
mod routes;
#[path = "host/scenario_backend.rs"]
mod scenario_backend;
#[path = "host/secrets.rs"]
mod secrets;
#[path = "host/stub/mod.rs"]
mod stub;
#[path = "host/trailers.rs"]
mod trailers;
#[path = "host/vm.rs"]
mod vm;
#[path = "host/workers.rs"]
mod workers;

use std::process::ExitCode;

use harness::Tests;
use scenario_backend::OnStub;
use scenarios::Scenario;

fn main() -> ExitCode {
    // The log's level belongs to the process, and each VM sets it.
    Tests::new()
        .at_once(1)
        .scenarios(None, |_| |_, scenario: &Scenario| run(scenario, &scenario.config))
        .scenarios(Some("signatures_checked_in_the_sandbox"), |_| {
            |_, scenario: &Scenario| {
                let mut config = scenario.config.clone();
                config["signature_backend"] = "sandbox".into();
                run(scenario, &config)
            }
        })
        .run()
}

fn run(scenario: &Scenario, config: &serde_json::Value) -> Vec<String> {
    let mut running = OnStub::new(scenario, config);
    let faults = backends::run(scenario, &mut running);
    running.close();
    faults
}
