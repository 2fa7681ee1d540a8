//! The source of a provider's keys: the configuration itself, or a URL of the issuer, and the rules of their
//! cache.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::http::HttpUri;
use crate::jose::ParsedJwkSet;

/// The source of a provider's keys.
#[derive(Debug)]
pub enum KeySource {
    /// `local_jwks`: the keys in the configuration.
    Local(Arc<ParsedJwkSet>),
    /// `discovery` or `remote_jwks`.
    Remote(Box<RemoteKeySource>),
}

impl KeySource {
    /// Whether both are the same keys.
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

/// Keys that the filter fetches through Envoy, and the rules of their cache.
#[derive(Clone, Debug, PartialEq)]
pub struct RemoteKeySource {
    /// Their place.
    pub location: KeyLocation,
    /// The timeout of a request.
    pub timeout: Duration,
    /// The lifetime of the keys, if the response does not define it.
    pub cache_duration: Duration,
    /// The rules of the cache.
    pub key_cache: KeyCache,
    /// The `user-agent` of each request. It is no part of the source's name.
    pub user_agent: Box<str>,
}

/// The place of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyLocation {
    /// `remote_jwks`: this URL.
    Jwks(Endpoint),
    /// `discovery`: the URL in the issuer's document.
    Discovery(Discovery),
}

/// A cluster of Envoy, as the configuration names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClusterRef {
    /// By its name.
    Named(Box<str>),
    /// By the alias of an extension backend of Envoy Gateway. The metadata of routes contain the cluster's
    /// name.
    Backend(Box<str>),
}

impl ClusterRef {
    /// Calls this with one text for a name, or with two for an alias, of which the first is no name.
    fn each_part(&self, add: &mut dyn FnMut(&str)) {
        match self {
            Self::Named(name) => add(name),
            Self::Backend(alias) => {
                add("");
                add(alias);
            }
        }
    }
}

/// A document at a URL, fetched through a cluster of Envoy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The cluster that receives the request.
    pub cluster: ClusterRef,
    /// The URL of the document.
    pub uri: HttpUri,
}

impl RemoteKeySource {
    /// The aliases of extension backends through which the keys are fetched, each once.
    #[must_use]
    pub fn backends(&self) -> Vec<Box<str>> {
        let (first, others) = match &self.location {
            KeyLocation::Jwks(endpoint) => (&endpoint.cluster, &[][..]),
            KeyLocation::Discovery(discovery) => (&discovery.document.cluster, &discovery.clusters[..]),
        };
        let mut all: Vec<Box<str>> = Vec::new();
        for cluster in std::iter::once(first).chain(others.iter().map(|(_, cluster)| cluster)) {
            if let ClusterRef::Backend(alias) = cluster
                && !all.contains(alias)
            {
                all.push(alias.clone());
            }
        }
        all
    }

    /// A short name for the key source, the same for equal sources: the name of its entries in shared data. A
    /// changed source gets other entries, and an unchanged one finds its keys again after a reload.
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
        add(kind);
        endpoint.cluster.each_part(&mut add);
        for part in [uri.scheme, &uri.authority, &uri.path] {
            add(part);
        }
        if let KeyLocation::Discovery(discovery) = &self.location {
            add(&discovery.issuer);
            for (host, cluster) in &discovery.clusters {
                add(host);
                cluster.each_part(&mut add);
            }
        }
        let digest = hash.finalize();
        URL_SAFE_NO_PAD.encode(digest.first_chunk::<16>().map_or(&digest[..], |short| &short[..]))
    }
}

/// The place of the document, its issuer, and the cluster for the keys that it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovery {
    /// The document.
    pub document: Endpoint,
    /// The second address, if the first one answers 404; none if the configuration has `uri`.
    pub fallback: Option<Endpoint>,
    /// The document's `issuer` must equal this exactly. The `iss` of tokens may differ.
    pub issuer: Box<str>,
    /// The clusters for a `jwks_uri` on another host, sorted by host.
    pub clusters: Vec<(Box<str>, ClusterRef)>,
}

impl Discovery {
    /// The endpoint of the keys, from the URL in the document.
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

/// The rules of the cache: `key_cache`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KeyCache {
    /// The share of the lifetime after which the filter fetches fresh keys.
    pub refresh_ahead: f64,
    /// How long the filter uses keys after their lifetime while the issuer fails.
    pub stale_if_error: Duration,
    /// The window: in two of them, unknown `kid`s may cause at most six fetches.
    pub unknown_kid_cooldown: Duration,
    /// The filter refuses a longer document.
    pub max_response_bytes: usize,
}

/// The longest timeout of a request to an issuer, whatever the configuration says.
pub const LONGEST_TIMEOUT: Duration = Duration::from_secs(60);
