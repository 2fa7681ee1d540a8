//! proxy-wasm-jwt: verifies the JSON Web Tokens of each request inside Envoy, and decides whether Envoy
//! forwards it.
//!
//! ```text
//!  events in                            the engine                                           decisions out
//!
//!  headers ────▶ host ─▶ handle_request   policy        what is needed?       ─▶ Allow ────▶ edits, continue
//!                                         credential    where is a token?        Deny ─────▶ reply
//!                                         jose, claims  what does it say,        Wait ─────▶ hold
//!                                                       unverified?
//!                                         keys, claims  is it true?
//!                                         forward       what is forwarded?
//!
//!  tick ───────▶ host ─▶ handle_tick      keys, store   is a fetch due?       ─▶ fetches ──▶ HTTP calls
//!  answer ─────▶ host ─▶ handle_fetched   keys, store   is it usable?         ─▶ poll_decision: waiting requests
//! ```
//!
//! The engine does not wait, read a clock, log or call the host. Time is an argument, every input is an
//! event, and every output is a value. It may call out through traits that the host passes to it: the
//! [`store`] that all workers share, and the verifier of signatures. A module uses only the modules below it
//! in this table:
//!
//! | module | owns |
//! | --- | --- |
//! | `host` | the SDK, the log and every host call; no rule |
//! | [`config`] | reads the text of the configuration into the types of the others |
//! | [`metrics`] | the names of the metrics, and the events that each counts |
//! | [`authenticator`] | the engine: the steps from a request to its decision |
//! | `token_cache` | tokens that were verified or refused before |
//! | [`account`] | a refusal in words, for the operator |
//! | [`settings`] | the checked configuration, with all values that do not depend on a request |
//! | [`provider`] | an issuer, its keys, and the conditions for its tokens |
//! | [`policy`] | the requirement of each request, and conditions on verified claims |
//! | [`forward`] | verified claims as header values |
//! | [`binding`] | tokens that only their owner may use (RFC 8705, RFC 9449) |
//! | [`keys`] | remote keys: when to fetch, what to keep, what workers exchange |
//! | [`credential`] | where a request carries tokens (RFC 6750 section 2) |
//! | [`claims`] | RFC 7519, and the step from unverified to verified |
//! | [`reply`] | status, challenge and body (RFC 6750 section 3) |
//! | [`denial`] | the reasons for which a request is refused |
//! | [`request`] | the header fields of a request that the configuration needs |
//! | [`edits`] | changes to a request's header fields |
//! | [`store`] | the data that all workers of a process share, with compare-and-swap |
//! | [`jose`] | RFC 7515, 7517, 7518, 8037: the parts of tokens, keys, signatures |
//! | [`seal`] | MACs over entries that other modules can write |
//! | [`http`] | URLs, authorities, percent-encoding, names |
//! | [`json`] | JSON, read strictly and without copying |
//! | [`pattern`] | patterns: all patterns on one text in one pass |
//! | `sort` | sorting in little code |
//! | `bytes` | the comparison of bytes by words |
//! | [`ids`] | the indexes by which one part of the configuration refers to another |
//! | [`time`] | a point in time |
//!
//! `docs/design.md` says why.

#![deny(unsafe_code)]

pub mod account;
pub mod authenticator;
pub mod binding;
mod bytes;
pub mod claims;
pub mod config;
pub mod credential;
pub mod denial;
pub mod edits;
pub mod forward;
pub mod host;
pub mod http;
pub mod ids;
pub mod jose;
pub mod json;
pub mod keys;
pub mod metrics;
pub mod pattern;
pub mod policy;
pub mod provider;
pub mod reply;
pub mod request;
pub mod seal;
pub mod settings;
mod sort;
pub mod store;
pub mod time;
mod token_cache;

/// The module's entry, which the host calls once.
#[cfg(feature = "wasm-host")]
mod entry {
    proxy_wasm::main! {{ crate::host::start(); }}
}
