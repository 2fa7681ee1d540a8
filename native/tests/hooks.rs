//! The exported functions of the module under a stand-in for Envoy that is as hostile as Envoy's interface allows: what it
//! hands out is freed as soon as the interface says that it may be, and what it is called with is checked.
//!
//! The order of events is drawn from a seed, so that a failure can be seen again; `NATIVE_FUZZ_SECONDS` runs further seeds.
//! `scripts/native-asan.sh` runs the same under AddressSanitizer.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::undocumented_unsafe_blocks,
    clippy::multiple_unsafe_ops_per_block,
    missing_docs,
    reason = "a test that fails is a test that does its work"
)]

mod envoy;
mod events;

use std::time::{Duration, Instant};

/// Events of one run.
const EVENTS: usize = 600;

#[test]
fn no_order_of_events_breaks_the_rules() {
    for seed in 0..800 {
        events::run(seed, EVENTS);
    }
    events::REACHED.check();
    let seconds = std::env::var("NATIVE_FUZZ_SECONDS").ok();
    let seconds = seconds.and_then(|text| text.parse().ok()).unwrap_or(0);
    let (begun, mut seed) = (Instant::now(), 1_000);
    while begun.elapsed() < Duration::from_secs(seconds) {
        events::run(seed, EVENTS);
        seed += 1;
    }
}

#[test]
fn workers_share_one_configuration() {
    events::run_workers(4, 400);
}
