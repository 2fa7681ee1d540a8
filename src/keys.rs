//! A provider's remote keys: when to fetch, what to keep, what to tell the other workers.
//!
//! Events in, values out, as in the rest of the core: this module decides that a fetch is due and what its answer means;
//! the host sends the request and writes shared data. Every decision rests on the head, the small record in shared
//! data that all workers of a process see, so that one process fetches once, however many workers it has.
//!
//! Must not know the host, requests or tokens.

mod absent;
mod backoff;
mod fetch;
mod freshness;
mod head;
mod remote;

pub(crate) use backoff::Chance;
pub use fetch::{Claim, FetchError, FetchId, FetchRequest, Fetched, Publication};
pub use remote::KeyNotice;
pub(crate) use remote::RemoteKeys;
