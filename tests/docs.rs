//! The documentation compared with the filter: each page must describe the actual behavior.
//!
//! The tests load examples, compare tables of fields, formats and constants with the code, and compare
//! metrics and log lines with a real Envoy. A test that finds too few examples fails.

#![cfg(test)]
#![allow(
    clippy::arithmetic_side_effects,
    reason = "a test that overflows fails, which is what it should do"
)]

#[path = "docs/bearer.rs"]
mod bearer;
#[path = "docs/constants.rs"]
mod constants;
#[path = "docs/decisions.rs"]
mod decisions;
#[path = "docs/examples.rs"]
mod examples;
#[path = "docs/links.rs"]
mod links;
#[path = "docs/markdown.rs"]
mod markdown;
#[path = "docs/operators.rs"]
mod operators;
#[path = "docs/performance.rs"]
mod performance;
#[path = "docs/reference.rs"]
mod reference;
#[path = "docs/replies.rs"]
mod replies;
#[path = "docs/scenarios.rs"]
mod scenarios;
#[path = "docs/security.rs"]
mod security;
#[path = "docs/style.rs"]
mod style;
