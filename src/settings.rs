//! The checked configuration: what the engine and the host need, with everything computed that can be.
//!
//! Knows nothing of the text that it was read from.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::credential::Location;
use crate::forward::OwnedHeaders;
use crate::ids::ProviderId;
use crate::policy::Policy;
use crate::provider::Provider;
use crate::reply::Replies;
use crate::request::{HeaderFields, RequestHead, WantedFields};
use crate::seal::SealKey;

/// A checked configuration.
#[derive(Debug)]
pub struct Config {
    /// The issuers whose tokens are accepted; [`ProviderId`] is the index.
    pub providers: Vec<Provider>,
    /// Whose a token may be.
    pub issuers: IssuerIndex,
    /// Where tokens are looked for; [`crate::ids::LocationId`] is the index.
    pub locations: Vec<Location>,
    /// Which request needs what.
    pub policy: Policy,
    /// The header fields that a decision reads; [`crate::ids::FieldId`] is the index.
    pub wanted: WantedFields,
    /// The headers that the filter owns: set or removed on every request that passes.
    pub owned_headers: OwnedHeaders,
    /// All the header fields that it names, for whoever reads a request.
    pub headers: HeaderFields,
    /// A word of the metrics' names; empty for none.
    pub stat_prefix: String,
    /// Where each condition of `authorize` is in the configuration.
    pub conditions: Vec<String>,
    /// What the operator should look at, although it may be meant: each with its place.
    pub warnings: Vec<String>,
    /// The host is asked for the client's certificate.
    pub reads_certificate: bool,
    /// The host is asked for the client's address.
    pub reads_address: bool,
    /// Decisions say whose token it was.
    pub asks_subject: bool,
    /// In shadow mode: requests go on exactly as they came (`shadow_changes_nothing`).
    pub changes_nothing: bool,
    /// What the access log is told of requests that go on.
    pub shown: Shown,
    /// The reply for each reason.
    pub replies: Replies,
    /// Bounds on what a client can make us do.
    pub limits: Limits,
    /// Who checks signatures.
    pub signature_backend: SignatureBackend,
    /// What entries in shared data are sealed with.
    pub seal: SealKey,
}

/// Finds providers by the `iss` of a token, so that a request costs the same however many there are.
#[derive(Debug, Default)]
pub struct IssuerIndex {
    /// The providers of each issuer, in their order.
    exact: BTreeMap<Box<str>, Vec<ProviderId>>,
    /// Those whose issuer has variables.
    patterns: Vec<ProviderId>,
    /// Of the providers that look for tokens in the same places, the first.
    kinds: Vec<ProviderId>,
}

impl IssuerIndex {
    /// The index of these providers.
    #[must_use]
    pub fn new(providers: &[Provider]) -> Self {
        let mut index = Self::default();
        for (number, provider) in providers.iter().enumerate() {
            let id = ProviderId::new(number);
            if provider.claims.issuer_pattern.is_some() {
                index.patterns.push(id);
                continue;
            }
            for issuer in &provider.claims.issuers {
                let named = index.exact.entry(issuer.clone()).or_default();
                if named.last() != Some(&id) {
                    named.push(id);
                }
            }
        }
        for (number, provider) in providers.iter().enumerate() {
            let is_alike = |known: &ProviderId| {
                let known = providers.get(known.index());
                known.is_some_and(|known| {
                    known.locations == provider.locations && known.preferred == provider.preferred
                })
            };
            if !index.kinds.iter().any(is_alike) {
                index.kinds.push(ProviderId::new(number));
            }
        }
        index
    }

    /// The providers that could accept a token of this issuer; the others refuse it, whatever it says.
    pub fn of(&self, issuer: &str) -> impl Iterator<Item = ProviderId> {
        let exact = self.exact.get(issuer).into_iter().flatten();
        exact.chain(&self.patterns).copied()
    }

    /// A provider of each kind: another one of the kind finds the same tokens.
    #[must_use]
    pub fn kinds(&self) -> &[ProviderId] {
        &self.kinds
    }
}

impl Config {
    /// Whether the request has any field in which a token could be. Where it has none, its decision rests on no time.
    #[must_use]
    pub fn may_hold_token(&self, request: &RequestHead) -> bool {
        self.locations
            .iter()
            .any(|location| request.first(location.field()).is_some())
    }

    /// The provider of this number.
    #[must_use]
    pub fn provider(&self, id: ProviderId) -> Option<&Provider> {
        self.providers.get(id.index())
    }

    /// All providers' numbers.
    pub fn provider_ids(&self) -> impl Iterator<Item = ProviderId> + use<> {
        (0..self.providers.len()).map(ProviderId::new)
    }
}

/// Who checks signatures: `signature_backend`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SignatureBackend {
    /// The host, for the algorithms that it proves to know; the sandbox for the others.
    #[default]
    Auto,
    /// The sandbox alone.
    Sandbox,
    /// The host for all that its interface has; a host that does not prove to know it is a fault.
    Host,
}

/// What is left in filter state beside the provider, and of a refusal its reason: `filter_state`. Each costs a call of the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// `wasm.jwt.sub`: a personal datum.
    pub subject: bool,
    /// `wasm.jwt.rule`.
    pub rule: bool,
    /// `wasm.jwt.decision` of requests that go on too.
    pub decision: bool,
    /// `wasm.jwt.token` of refusals: what the token says of itself.
    pub token: bool,
}

/// Bounds on what a client can make us do: `limits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A longer token is refused unread.
    pub max_token_bytes: usize,
    /// Requests that may wait for keys at a time, in each worker.
    pub max_waiting_requests: usize,
    /// How long a request may wait for the first keys.
    pub max_wait: Duration,
    /// How many verified tokens each worker keeps; 0: none.
    pub token_cache_entries: usize,
}
