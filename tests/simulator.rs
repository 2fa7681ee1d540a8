//! The keys with a simulated clock and a scripted issuer: one process with its workers, and fleets of
//! processes.

#![cfg(test)]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    reason = "a test may fail loudly, and has a clock"
)]

#[path = "simulator/fleet.rs"]
mod fleet;
#[path = "simulator/floods.rs"]
mod floods;
#[path = "simulator/key_refresh.rs"]
mod key_refresh;
#[path = "simulator/memory.rs"]
mod memory;
#[path = "simulator/one_fetcher.rs"]
mod one_fetcher;
#[path = "simulator/process.rs"]
mod process;
#[path = "simulator/update.rs"]
mod update;
