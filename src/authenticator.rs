//! The engine: events in, decisions out.
//!
//! It knows no host, no clock and no log. Time is an argument. Every input is an event (`handle_*`), and
//! every output a value. The engine may call out through traits that the host passes to it: the
//! [`SharedStore`](crate::store::SharedStore) with each event, the
//! [`RequestContext`](crate::request::RequestContext) with each request, and the
//! [`SignatureVerifier`](crate::jose::SignatureVerifier). After each event, call
//! [`Authenticator::poll_decision`] and [`Authenticator::poll_event`] until they return `None`. Further calls
//! do no harm.

mod backends;
mod cache;
mod decision;
mod engine;
mod event;
mod failure;
mod header_memory;
mod keys;
mod proofs;
mod request;
mod requirement;
mod reroute;
mod route_memory;
mod rule;
mod token;
mod waiting;

pub use cache::CacheCounts;
pub use decision::{Allowed, Basis, Decision};
pub use engine::Authenticator;
pub use event::{Event, KeyGauges, StreamId, WantedKey};
