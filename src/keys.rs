//! A provider's remote keys: when to fetch them, how long to keep them, and what workers share.
//!
//! Events in, values out, as in the rest of the core: this module decides whether a fetch is due, and
//! evaluates its response. The host sends the request, and the engine writes the shared store. Every decision
//! depends on the record, a small entry of the store that all workers of a process share. So a process
//! fetches once, however many workers it has.
//!
//! ```text
//! is_fetch_due ─▶ acquire_lease ─▶ [discovery document ─▶] JWKS ─▶ publish ─▶ shared store ─▶ read_shared
//! elsewhere
//! ```
//!
//! This module must not know the host, requests or tokens.

mod absent;
mod answers;
mod backends;
mod backoff;
mod discovery;
mod event;
mod exchange;
mod fetch;
mod fetching;
mod freshness;
mod in_flight;
mod record;
mod remote;
mod sightings;
mod source;

pub use backends::EXTENSION_BACKENDS;
pub(crate) use backends::MAX_CLUSTER_NAME;
pub(crate) use backoff::RandomSource;
pub use discovery::DiscoveryFault;
pub use event::KeyEvent;
pub(crate) use exchange::News;
pub use fetch::{Document, FetchError, FetchId, FetchRequest, Fetched};
pub use record::{KeyRecord, KeyState, Wants};
pub use remote::RemoteKeys;
pub use source::{
    ClusterRef, Discovery, Endpoint, KeyCache, KeyLocation, KeySource, LONGEST_TIMEOUT, RemoteKeySource,
};
