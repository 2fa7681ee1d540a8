//! The events that the engine reports to its host beside decisions, and the id of a request.

use std::time::Duration;

use crate::ids::ProviderId;
use crate::keys::{KeyEvent, Wants};
use crate::time::UnixTime;

/// The number by which the host identifies a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamId(pub u32);

/// An event for the operator, or for another engine. The host logs it, counts it, or passes it on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A provider's keys changed their state.
    Keys(ProviderId, KeyEvent),
    /// A token named a key that the provider does not have.
    UnknownKid(ProviderId),
    /// A request waits for a key, and this engine [does not fetch](super::Authenticator::without_fetches).
    /// Pass the event to [`Authenticator::handle_event`](super::Authenticator::handle_event) of the engine
    /// that fetches.
    KeyWanted(WantedKey),
    /// The route of a request names the cluster of an extension backend, and this engine [does not
    /// fetch](super::Authenticator::without_fetches). Pass the event to
    /// [`Authenticator::handle_event`](super::Authenticator::handle_event) of the engine that fetches.
    BackendNamed(Box<str>, Box<str>),
    /// The route of a request names no cluster for this alias. Reported once.
    BackendMissing(Box<str>),
}

/// A key that a request names and its provider does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedKey {
    /// The provider of the key.
    pub provider: ProviderId,
    /// The `kid` of the key.
    pub key_id: Box<str>,
    /// The urgency of the requests so far.
    pub wants: Wants,
    /// Whether the provider has a key with this `kid` that does not fit the token.
    pub is_held: bool,
    /// The arrival of the request. Keys that were fetched later show whether the issuer has the key.
    pub since: UnixTime,
}

/// The state of a provider's keys, for the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyGauges {
    /// The number of usable keys.
    pub keys: usize,
    /// The time since the request for these keys.
    pub age: Option<Duration>,
    /// Whether their lifetime is over.
    pub stale: bool,
}
