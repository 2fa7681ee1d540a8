//! proxy-wasm-jwt: verifies the JSON Web Tokens of each request inside Envoy, and decides what becomes of it.
//!
//! ```text
//!  events in                            the engine                                           decisions out
//!
//!  headers ────▶ host ─▶ handle_request   policy        what is needed?       ─▶ Allow ────▶ edits, continue
//!                                         credential    where is a token?        Deny ─────▶ reply
//!                                         jose, claims  what does it say,        Wait ─────▶ hold
//!                                                       unverified?
//!                                         keys, claims  is it true?
//!                                         forward       what goes on?
//!
//!  tick ───────▶ host ─▶ handle_timeout   keys          is a fetch due?       ─▶ acquire_lease ▶ HTTP call
//!  answer ─────▶ host ─▶ handle_fetched   keys          what is it worth?     ─▶ settle ───▶ shared data
//!  shared data ▶ host ─▶ handle_shared    keys          what do others know?  ─▶ poll_decision: those that waited
//! ```
//!
//! The engine waits for nothing and calls nobody: time is an argument, every input an event, every output a value. A module
//! uses those below it; only [`config`] makes types of [`policy`], [`claims`] and [`reply`] that in turn know its own.
//!
//! | module | owns |
//! | --- | --- |
//! | `host` | the SDK, the log and every host call; no rule |
//! | [`authenticator`] | the engine: the way of a request to its decision |
//! | `forward` | verified claims as header values |
//! | [`binding`] | tokens that only their owner may use (RFC 8705, RFC 9449) |
//! | [`credential`] | where a request carries tokens (RFC 6750 section 2) |
//! | [`keys`] | remote keys: when to fetch, what to keep, what to tell other workers |
//! | [`config`] | the configuration, checked, with everything computed that can be |
//! | [`policy`] | which request needs what, and what verified claims must say |
//! | [`claims`] | RFC 7519, and the step from unverified to verified |
//! | [`jose`] | RFC 7515, 7517, 7518, 8037: tokens taken apart, keys, signatures |
//! | [`reply`] | status, challenge and body (RFC 6750 section 3) |
//! | [`denial`] | the reasons for which a request is refused |
//! | [`edits`] | changes to a request's header fields |
//! | [`request`] | a request's head, as far as the configuration asks for it |
//! | [`json`] | JSON, read strictly and without copying |
//! | [`pattern`] | patterns, all that stand on one text in one pass |
//! | [`seal`] | MACs over what stands where other modules can write |
//! | `percent` | percent-encoding, read strictly |
//! | [`time`] | a point in time |
//! | `token_cache` | tokens that were verified or refused before |
//!
//! `docs/design.md` says why.

#![deny(unsafe_code)]

pub mod authenticator;
pub mod binding;
pub mod claims;
pub mod config;
pub mod credential;
pub mod denial;
pub mod edits;
mod forward;
mod host;
pub mod jose;
pub mod json;
pub mod keys;
pub mod pattern;
mod percent;
pub mod policy;
pub mod reply;
pub mod request;
pub mod seal;
pub mod time;
mod token_cache;

/// The module's entry, which the host calls once.
mod entry {
    proxy_wasm::main! {{ crate::host::start(); }}
}
