//! The checked configuration for the engine and the host, with everything computed that does not depend on a
//! request.
//!
//! It must not know the text of the configuration.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::credential::Locations;
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
    /// The accepted issuers; [`ProviderId`] is the index.
    pub providers: Vec<Provider>,
    /// The providers by issuer.
    pub issuers: IssuerIndex,
    /// The locations of tokens; [`crate::ids::LocationId`] is the index.
    pub locations: Locations,
    /// The requirements of requests.
    pub policy: Policy,
    /// The header fields that decisions need; [`crate::ids::FieldId`] is the index.
    pub wanted: WantedFields,
    /// The headers that the filter owns: it sets or removes each of them on every allowed request.
    pub owned_headers: OwnedHeaders,
    /// All header fields that the configuration names, for the reader of a request.
    pub headers: HeaderFields,
    /// A part of the metrics' names; empty for none.
    pub stat_prefix: String,
    /// The conditions of `authorize`, and the parameters in `match`; [`crate::ids::ConditionId`] is the
    /// index.
    pub conditions: Vec<ConditionText>,
    /// Warnings about settings that may not be intended, each with its place.
    pub warnings: Vec<String>,
    /// Whether decisions need the client's certificate.
    pub reads_certificate: bool,
    /// Whether decisions need the client's address.
    pub reads_address: bool,
    /// Whether decisions contain the token's `sub`.
    pub asks_subject: bool,
    /// In shadow mode: Envoy forwards requests exactly as they came (`shadow_changes_nothing`).
    pub changes_nothing: bool,
    /// The filter state of allowed requests for the access log.
    pub shown: Shown,
    /// The reply for each reason.
    pub replies: Replies,
    /// Limits on the resources that a client can use.
    pub limits: Limits,
    /// The verifier of signatures.
    pub signature_backend: SignatureBackend,
    /// The key for entries in shared data.
    pub seal: SealKey,
}

/// A condition of `authorize`, or a parameter in `match`, for the operator.
#[derive(Debug)]
pub struct ConditionText {
    /// The place of the condition in the configuration, or the name of the parameter.
    pub name: String,
    /// The condition as in the configuration.
    pub text: Box<str>,
}

/// Finds providers by the `iss` of a token, at the same cost for any number of providers.
#[derive(Debug, Default)]
pub struct IssuerIndex {
    /// The providers of each issuer, in their order.
    exact: BTreeMap<Box<str>, Vec<ProviderId>>,
    /// The providers whose issuer has variables.
    patterns: Vec<ProviderId>,
}

impl IssuerIndex {
    /// The index of these providers.
    #[must_use]
    pub fn new(providers: &[Provider]) -> Self {
        let mut index = Self::default();
        for (id, provider) in (0..).map(ProviderId::new).zip(providers) {
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
        index
    }

    /// The providers that could accept a token of this issuer. All others refuse it.
    pub fn of(&self, issuer: &str) -> impl Iterator<Item = ProviderId> {
        let exact = self.exact.get(issuer).into_iter().flatten();
        exact.chain(&self.patterns).copied()
    }
}

/// Fields that occur once in a request, or that Envoy joins into one value.
const SINGLE: &[&str] = &[
    ":path",
    ":method",
    ":authority",
    "x-forwarded-proto",
    "authorization",
];

impl Config {
    /// Whether a host may read the wanted fields by name: each occurs once, and no field has to be removed.
    #[must_use]
    pub fn may_read_by_name(&self) -> bool {
        self.owned_headers.is_empty() && self.wanted.iter().all(|(_, name)| SINGLE.contains(&name))
    }

    /// Whether the request has a field that may contain a token. Without one, its decision does not depend on
    /// the time.
    #[must_use]
    pub fn may_hold_token(&self, request: &RequestHead) -> bool {
        self.locations
            .iter()
            .any(|location| request.first(location.field()).is_some())
    }

    /// The provider with this index.
    #[must_use]
    pub fn provider(&self, id: ProviderId) -> Option<&Provider> {
        self.providers.get(id.index())
    }

    /// The indexes of all providers.
    pub fn provider_ids(&self) -> impl Iterator<Item = ProviderId> + use<> {
        (0..self.providers.len()).map(ProviderId::new)
    }
}

/// The verifier of signatures: `signature_backend`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SignatureBackend {
    /// The host for the algorithms that it supports, and the sandbox for the others.
    #[default]
    Auto,
    /// The sandbox alone.
    Sandbox,
    /// The host for every algorithm of its interface. Without its support, the configuration is refused.
    Host,
}

/// The optional filter state: `filter_state`. Each one costs a host call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// `wasm.jwt.sub`: personal data.
    pub subject: bool,
    /// `wasm.jwt.rule`.
    pub rule: bool,
    /// `wasm.jwt.decision`, also for allowed requests.
    pub decision: bool,
    /// `wasm.jwt.token` for refusals: the content of the token.
    pub token: bool,
}

/// Limits on the resources that a client can use: `limits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The filter refuses a longer token without parsing it.
    pub max_token_bytes: usize,
    /// The number of requests that may wait for keys at the same time, in each worker.
    pub max_waiting_requests: usize,
    /// How long a request may wait for the first keys.
    pub max_wait: Duration,
    /// The number of verified tokens in each worker's cache; 0: no cache.
    pub token_cache_entries: usize,
}
