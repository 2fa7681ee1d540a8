//! The real callbacks of the SDK, natively, against a stub of the host: what the glue in `src/host` does, call by call.
//!
//! ```text
//!  Running, stories, faults …  ──▶ vm        calls `proxy_on_*` as Envoy does: contexts, streams, ticks, answers
//!                                   │ ▲
//!                                   ▼ │       the SDK's dispatcher and `src/host`, the code that Envoy runs
//!                                  stub      answers `proxy_*` as Envoy does, and remembers
//! ```

#![cfg(test)]
#![allow(
    clippy::arithmetic_side_effects,
    reason = "a test that overflows fails, which is what it should do"
)]

mod backends;
mod scenarios;

#[path = "host/cache.rs"]
mod cache;
#[path = "host/crypto.rs"]
mod crypto;
#[path = "host/faults.rs"]
mod faults;
#[path = "host/leaks.rs"]
mod leaks;
#[path = "host/lifecycle.rs"]
mod lifecycle;
#[path = "host/routes.rs"]
mod routes;
#[path = "host/running.rs"]
mod running;
#[path = "host/secrets.rs"]
mod secrets;
#[path = "host/stories.rs"]
mod stories;
#[path = "host/stub/mod.rs"]
mod stub;
#[path = "host/told.rs"]
mod told;
#[path = "host/vm.rs"]
mod vm;
#[path = "host/workers.rs"]
mod workers;

use running::OnStub;

#[test]
fn every_scenario_on_the_host_stub() {
    let scenarios = scenarios::all();
    let faults = scenarios
        .iter()
        .flat_map(|scenario| {
            let mut running = OnStub::new(scenario);
            let faults = backends::run(scenario, &mut running);
            running.close();
            faults
        })
        .collect();
    backends::report(faults, scenarios.len());
}
