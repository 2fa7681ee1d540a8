//! `jwtctl`: checks, explains, tests and converts configurations of proxy-wasm-jwt.
//!
//! This crate decides nothing. Each answer comes from the library that is the module in Envoy, and only
//! `core` names that library. The command line is behind the feature `cli`. Without it, the crate reads no
//! file, opens no connection and reads no clock, and contains only [`page`].

mod core;
mod examples;
mod explanation;
mod faults;
mod findings;
mod forms;
mod inline_keys;
mod input;
mod lints;
pub mod page;
mod policy;
mod report;
mod source;

#[cfg(feature = "cli")]
mod boundaries;
#[cfg(feature = "cli")]
mod check;
#[cfg(feature = "cli")]
mod cli;
#[cfg(feature = "cli")]
mod convert;
#[cfg(feature = "cli")]
mod expect;
#[cfg(feature = "cli")]
mod explain;
#[cfg(feature = "cli")]
mod http;
#[cfg(feature = "cli")]
mod issuer;
#[cfg(feature = "cli")]
mod mint;
#[cfg(feature = "cli")]
mod output;
#[cfg(feature = "cli")]
mod personas;
#[cfg(feature = "cli")]
mod route;
#[cfg(feature = "cli")]
mod schema;
#[cfg(feature = "cli")]
mod setup;
#[cfg(feature = "cli")]
mod yaml;

#[cfg(feature = "cli")]
pub use cli::main;
#[cfg(feature = "cli")]
use output::{Outcome, Output, print, print_whole};
