//! The filter as a dynamic module of Envoy: the core of the wasm module under another host.
//!
//! ```text
//!  a worker                     what all threads share             the main thread
//!
//!  Stream ─▶ Worker             Filter: bytes, metrics             Fetcher: an engine that fetches
//!            an engine  ◀─────  store: records of key sources ◀──  sends requests, takes answers
//!            that does  ─────▶  unknown kids                  ──▶
//!            not fetch          clock: one thread, wakes both
//! ```
//!
//! | module | owns |
//! | --- | --- |
//! | `binding` | Envoy's C interface, and all unsafe code |
//! | `hooks` | what Envoy calls, each behind a guard that catches panics and fails closed |
//! | `stream` | one request: read, decided, carried out |
//! | `worker` | one configuration on one worker: its engine, the requests that wait |
//! | `fetcher` | one configuration on the main thread: the engine that fetches keys |
//! | `store` | keys, used proofs and the secret of nonces, for the whole process |
//! | `filter` | what the threads of one configuration share |
//! | `clock` | the thread that wakes the others |
//! | `crypto` | RSA and ECDSA, and the signatures that were verified |
//! | `metadata` | JSON as dynamic metadata |
//! | `metrics` | counters and gauges |
//! | `secrets` | secrets that Envoy gets |
//! | `source` | keys and secrets in files and in the environment |
//! | `sync` | the locks and numbers that loom replaces in a test |
//! | `text` | the text of a configuration, whoever has written it |
//! | `route` | the configuration of a route |
//! | `logger` | Envoy's log |
//!
//! It contains no rule of the policy. `docs/native.md` compares the two modules.

#![deny(unsafe_code)]

mod binding;
mod clock;
mod crypto;
mod fetcher;
mod filter;
mod hooks;
mod logger;
mod metadata;
mod metrics;
mod route;
mod secrets;
mod source;
mod store;
mod stream;
mod sync;
mod text;
mod worker;

#[cfg(all(feature = "test-trap", not(debug_assertions)))]
compile_error!(
    "`test-trap` lets any client make the filter panic: it is for the profile `dev` only, never for a release"
);
