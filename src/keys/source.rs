//! Where a provider's keys come from: the configuration itself, or an address of the issuer, and how they are kept.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::http::HttpUri;
use crate::jose::ParsedJwkSet;

/// Where a provider's keys come from.
#[derive(Debug)]
pub enum KeySource {
    /// `local_jwks`: the configuration itself.
    Local(Arc<ParsedJwkSet>),
    /// `discovery` or `remote_jwks`.
    Remote(Box<RemoteKeySource>),
}

impl KeySource {
    /// Whether they are the same keys.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Local(one), Self::Local(other)) => {
                let (one, other) = (one.set.keys(), other.set.keys());
                one.len() == other.len()
                    && one
                        .iter()
                        .zip(other)
                        .all(|(one, other)| one.spki_der() == other.spki_der())
            }
            (Self::Remote(one), Self::Remote(other)) => one.fingerprint() == other.fingerprint(),
            _ => false,
        }
    }
}

/// Keys that are fetched through Envoy, and how they are kept.
#[derive(Clone, Debug, PartialEq)]
pub struct RemoteKeySource {
    /// Where they are.
    pub location: KeyLocation,
    /// After which a request has failed.
    pub timeout: Duration,
    /// How long the keys are fresh, where the answer does not say.
    pub cache_duration: Duration,
    /// How the keys are kept.
    pub key_cache: KeyCache,
    /// What each request says of its sender: `user_agent`. No part of the source's name.
    pub user_agent: Box<str>,
}

/// Where keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyLocation {
    /// `remote_jwks`: here.
    Jwks(Endpoint),
    /// `discovery`: where the issuer's document says.
    Discovery(Discovery),
}

/// A document at an HTTP address, fetched through a cluster of Envoy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The cluster that the request is sent to.
    pub cluster: Box<str>,
    /// What is asked for there.
    pub uri: HttpUri,
}

impl RemoteKeySource {
    /// A name for the key source, equal for equal sources and short: the place of its keys in shared data. A changed
    /// source gets another place, an unchanged one finds its keys again after a reload.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        let mut add = |part: &str| {
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
            hash.update(part.as_bytes());
        };
        let (kind, endpoint) = match &self.location {
            KeyLocation::Jwks(endpoint) => ("jwks", endpoint),
            KeyLocation::Discovery(discovery) => ("discovery", &discovery.document),
        };
        let uri = &endpoint.uri;
        for part in [kind, &endpoint.cluster, uri.scheme, &uri.authority, &uri.path] {
            add(part);
        }
        if let KeyLocation::Discovery(discovery) = &self.location {
            add(&discovery.issuer);
            for (host, cluster) in &discovery.clusters {
                add(host);
                add(cluster);
            }
        }
        let digest = hash.finalize();
        URL_SAFE_NO_PAD.encode(digest.first_chunk::<16>().map_or(&digest[..], |short| &short[..]))
    }
}

/// Where the document is, whose it must be, and which cluster leads to the keys that it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovery {
    /// The document.
    pub document: Endpoint,
    /// Where it is asked for instead, if there is nothing at the first address; none where `uri` is written.
    pub fallback: Option<Endpoint>,
    /// The document's `issuer` must equal this exactly. The tokens' `iss` may be another.
    pub issuer: Box<str>,
    /// The cluster for a `jwks_uri` on another host, by host; in the hosts' order.
    pub clusters: Vec<(Box<str>, Box<str>)>,
}

impl Discovery {
    /// The endpoint of the keys, whose URL the document gives.
    #[must_use]
    pub fn keys_at(&self, jwks_uri: HttpUri) -> Endpoint {
        let named = |name: &str| {
            let found = self
                .clusters
                .iter()
                .find(|(host, _)| host.eq_ignore_ascii_case(name));
            found.map(|(_, cluster)| cluster)
        };
        let cluster = named(&jwks_uri.authority)
            .or_else(|| named(jwks_uri.host()))
            .unwrap_or(&self.document.cluster)
            .clone();
        Endpoint {
            cluster,
            uri: jwks_uri,
        }
    }
}

/// How fetched keys are kept: `key_cache`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KeyCache {
    /// The share of the lifetime after which fresh keys are fetched.
    pub refresh_ahead: f64,
    /// For how long after their lifetime old keys serve on while the issuer fails.
    pub stale_if_error: Duration,
    /// The window in which unknown `kid`s may cause two fetches.
    pub unknown_kid_cooldown: Duration,
    /// A longer document is refused.
    pub max_response_bytes: usize,
}

/// No request to an issuer lasts longer than this, whatever is configured.
pub const LONGEST_TIMEOUT: Duration = Duration::from_secs(60);
