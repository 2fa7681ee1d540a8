//! `remote_jwks` and `key_cache`: where a provider's keys are fetched, and how they are kept.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use super::error::ConfigError;
use super::reader::Node;

/// A JWKS document at an HTTP address, fetched through a cluster of Envoy.
#[derive(Clone, Debug, PartialEq)]
pub struct RemoteJwks {
    /// The cluster that the request is sent to.
    pub cluster: Box<str>,
    /// `:scheme` of the request.
    pub scheme: &'static str,
    /// `:authority` of the request.
    pub authority: Box<str>,
    /// `:path` of the request, the query included.
    pub path: Box<str>,
    /// After which the fetch has failed.
    pub timeout: Duration,
    /// How long the keys are fresh, where the answer does not say.
    pub cache_duration: Duration,
    /// How the keys are kept.
    pub key_cache: KeyCache,
}

impl RemoteJwks {
    /// A name for the key source, equal for equal sources and short: the place of its keys in shared data. A changed
    /// source gets another place, an unchanged one finds its keys again after a reload.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        for part in [&*self.cluster, self.scheme, &*self.authority, &*self.path] {
            hash.update(part.len().to_le_bytes());
            hash.update(part.as_bytes());
        }
        let digest = hash.finalize();
        URL_SAFE_NO_PAD.encode(digest.first_chunk::<16>().map_or(&digest[..], |short| &short[..]))
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

impl Default for KeyCache {
    fn default() -> Self {
        Self {
            refresh_ahead: 0.8,
            stale_if_error: Duration::from_secs(24 * 3600),
            unknown_kid_cooldown: Duration::from_secs(30),
            max_response_bytes: 262_144,
        }
    }
}

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3600);

pub(super) fn read(node: &Node<'_>, key_cache: KeyCache) -> Result<RemoteJwks, ConfigError> {
    let mut fields = node.fields(&["http_uri", "cache_duration", "async_fetch", "retry_policy"])?;
    // Keys are always fetched ahead of the requests that need them, and a failed fetch is always tried again.
    if let Some(node) = fields.take("async_fetch") {
        let mut fields = node.fields(&["fast_listener", "failed_refetch_duration"])?;
        fields.flag("fast_listener")?;
        if let Some(node) = fields.take("failed_refetch_duration") {
            node.duration(Duration::ZERO..=DAY)?;
        }
    }
    if let Some(node) = fields.take("retry_policy") {
        read_retry_policy(&node)?;
    }
    let http_uri = fields.require("http_uri", "write the address of the JWKS document")?;
    let mut uri_fields = http_uri.fields(&["uri", "cluster", "timeout"])?;
    let uri_node = uri_fields.require("uri", "write the URL of the JWKS document")?;
    let cluster = uri_fields
        .require(
            "cluster",
            "write the name of the Envoy cluster that leads to the issuer",
        )?
        .name()?;
    let timeout = match uri_fields.take("timeout") {
        Some(node) => node.duration(Duration::from_millis(1)..=Duration::from_secs(60))?,
        None => Duration::from_secs(5),
    };
    let cache_duration = match fields.take("cache_duration") {
        Some(node) => node.duration(SECOND..=DAY.saturating_mul(365))?,
        None => Duration::from_secs(600),
    };
    let (scheme, authority, path) = read_uri(&uri_node)?;
    Ok(RemoteJwks {
        cluster: cluster.into(),
        scheme,
        authority,
        path,
        timeout,
        cache_duration,
        key_cache,
    })
}

/// Envoy's `RetryPolicy`, as far as jwt_authn uses it.
fn read_retry_policy(node: &Node<'_>) -> Result<(), ConfigError> {
    let mut fields = node.fields(&["retry_back_off", "num_retries", "retry_on"])?;
    if let Some(node) = fields.take("num_retries") {
        node.integer(0..=u64::from(u32::MAX))?;
    }
    if let Some(node) = fields.take("retry_on") {
        node.text()?;
    }
    if let Some(node) = fields.take("retry_back_off") {
        let mut fields = node.fields(&["base_interval", "max_interval"])?;
        for field in ["base_interval", "max_interval"] {
            if let Some(node) = fields.take(field) {
                node.duration(Duration::from_millis(1)..=DAY)?;
            }
        }
    }
    Ok(())
}

fn read_uri(node: &Node<'_>) -> Result<(&'static str, Box<str>, Box<str>), ConfigError> {
    let uri = node.name()?;
    let split = match uri.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => Some(("https", rest)),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => Some(("http", rest)),
        _ => None,
    };
    let Some((scheme, rest)) = split else {
        return Err(node.invalid(format!("`{uri}` is not an http or https URL")));
    };
    let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(at).unwrap_or((rest, ""));
    let clean = |text: &str| text.bytes().all(|byte| (0x21..0x7f).contains(&byte));
    if authority.is_empty() || authority.contains('@') || !clean(authority) || !clean(path) {
        return Err(node.invalid(format!("`{uri}` is not a URL with a host and a path")));
    }
    let path = match path.chars().next() {
        Some('/') => path.to_owned(),
        _ => format!("/{path}"),
    };
    Ok((scheme, authority.into(), path.into()))
}

pub(super) fn read_key_cache(node: &Node<'_>) -> Result<KeyCache, ConfigError> {
    let mut fields = node.fields(&[
        "refresh_ahead",
        "stale_if_error",
        "unknown_kid_cooldown",
        "max_response_bytes",
    ])?;
    let mut key_cache = KeyCache::default();
    if let Some(node) = fields.take("refresh_ahead") {
        let share = node.number("a number between 0 and 1")?;
        if !(0.1..=1.0).contains(&share) {
            return Err(node.invalid(format!("must be from 0.1 to 1, not {share}")));
        }
        key_cache.refresh_ahead = share;
    }
    if let Some(node) = fields.take("stale_if_error") {
        key_cache.stale_if_error = node.duration(Duration::ZERO..=DAY.saturating_mul(30))?;
    }
    if let Some(node) = fields.take("unknown_kid_cooldown") {
        key_cache.unknown_kid_cooldown = node.duration(SECOND..=DAY)?;
    }
    if let Some(node) = fields.take("max_response_bytes") {
        key_cache.max_response_bytes = usize::try_from(node.integer(256..=4_194_304)?).unwrap_or(usize::MAX);
    }
    Ok(key_cache)
}
