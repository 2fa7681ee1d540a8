//! `remote_jwks` and `key_cache`: where a provider's keys are fetched, and how they are kept.

use std::time::Duration;

use super::error::ConfigError;
use super::reader::{Fields, Node};
use crate::http::HttpUri;
use crate::keys::{Endpoint, KeyCache, KeyLocation, KeySource, LONGEST_TIMEOUT, RemoteKeySource};
use crate::provider::Provider;

/// What a fetch says of its sender, unless `user_agent` says otherwise: firewalls in front of large issuers refuse a
/// request that does not say it.
const USER_AGENT: &str = concat!("proxy-wasm-jwt/", env!("CARGO_PKG_VERSION"));

const LONGEST_USER_AGENT: usize = 256;

/// Reads `user_agent`, and has the fetches of all providers send it.
pub(super) fn read_user_agent(
    node: Option<&Node<'_>>,
    providers: &mut [Provider],
) -> Result<(), Box<ConfigError>> {
    let Some(node) = node else { return Ok(()) };
    let text = node.name()?;
    if text.len() > LONGEST_USER_AGENT {
        return Err(node.invalid(format!(
            "must hold at most {LONGEST_USER_AGENT} bytes, not {}",
            text.len()
        )));
    }
    // RFC 9110 section 5.5: a field's value neither begins nor ends with whitespace.
    if !text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) || text.trim() != &*text {
        return Err(node.invalid("may hold printable ASCII characters only, without a space at either end"));
    }
    for provider in providers {
        if let KeySource::Remote(source) = &mut provider.keys {
            source.user_agent = text.clone();
        }
    }
    Ok(())
}

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3600);

pub(super) fn read(node: &Node<'_>, key_cache: KeyCache) -> Result<RemoteKeySource, Box<ConfigError>> {
    let fields = node.fields(&["http_uri", "cache_duration", "async_fetch", "retry_policy"])?;
    // Keys are always fetched ahead of the requests that need them, and a failed fetch is always tried again.
    if let Some(node) = fields.get("async_fetch") {
        let fields = node.fields(&["fast_listener", "failed_refetch_duration"])?;
        fields.flag("fast_listener")?;
        if let Some(node) = fields.get("failed_refetch_duration") {
            node.duration(Duration::ZERO..=DAY)?;
        }
    }
    if let Some(node) = fields.get("retry_policy") {
        read_retry_policy(node)?;
    }
    let http_uri = fields.require("http_uri", "write the address of the JWKS document")?;
    let uri_fields = http_uri.fields(&["uri", "cluster", "timeout"])?;
    let uri = uri_fields.require("uri", "write the URL of the JWKS document")?;
    let cluster = read_cluster(&uri_fields)?;
    let timeout = read_timeout(&uri_fields)?;
    let cache_duration = read_cache_duration(&fields)?;
    let uri = read_uri(uri)?;
    Ok(RemoteKeySource {
        location: KeyLocation::Jwks(Endpoint { cluster, uri }),
        timeout,
        cache_duration,
        key_cache,
        user_agent: default_user_agent(),
    })
}

pub(super) fn default_user_agent() -> Box<str> {
    USER_AGENT.into()
}

/// Envoy's `RetryPolicy`, as far as jwt_authn uses it.
fn read_retry_policy(node: &Node<'_>) -> Result<(), Box<ConfigError>> {
    let fields = node.fields(&["retry_back_off", "num_retries", "retry_on"])?;
    if let Some(node) = fields.get("num_retries") {
        node.integer(0..=u64::from(u32::MAX))?;
    }
    if let Some(node) = fields.get("retry_on") {
        node.text()?;
    }
    if let Some(node) = fields.get("retry_back_off") {
        let fields = node.fields(&["base_interval", "max_interval"])?;
        for field in ["base_interval", "max_interval"] {
            if let Some(node) = fields.get(field) {
                node.duration(Duration::from_millis(1)..=DAY)?;
            }
        }
    }
    Ok(())
}

pub(super) fn read_cluster(fields: &Fields<'_>) -> Result<Box<str>, Box<ConfigError>> {
    let fix = "write the name of the Envoy cluster that leads to the issuer";
    fields.require("cluster", fix)?.name()
}

pub(super) fn read_timeout(fields: &Fields<'_>) -> Result<Duration, Box<ConfigError>> {
    match fields.get("timeout") {
        Some(node) => node.duration(Duration::from_millis(1)..=LONGEST_TIMEOUT),
        None => Ok(Duration::from_secs(5)),
    }
}

pub(super) fn read_cache_duration(fields: &Fields<'_>) -> Result<Duration, Box<ConfigError>> {
    match fields.get("cache_duration") {
        Some(node) => node.duration(SECOND..=DAY.saturating_mul(365)),
        None => Ok(Duration::from_secs(600)),
    }
}

pub(super) fn read_uri(node: &Node<'_>) -> Result<HttpUri, Box<ConfigError>> {
    let uri = node.name()?;
    if uri.contains(['{', '}']) {
        return Err(
            node.invalid("a variable would stand for itself; write one URL, the same for every tenant")
        );
    }
    HttpUri::parse(&uri).map_err(|fault| node.invalid(format!("`{uri}` {fault}")))
}

pub(super) fn read_key_cache(node: &Node<'_>) -> Result<KeyCache, Box<ConfigError>> {
    let fields = node.fields(&[
        "refresh_ahead",
        "stale_if_error",
        "unknown_kid_cooldown",
        "max_response_bytes",
    ])?;
    let mut key_cache = KeyCache::default();
    if let Some(node) = fields.get("refresh_ahead") {
        let (text, share) = node.number("a number between 0 and 1")?;
        if !(0.1..=1.0).contains(&share) {
            return Err(node.invalid(format!("must be from 0.1 to 1, not {text}")));
        }
        key_cache.refresh_ahead = share;
    }
    if let Some(node) = fields.get("stale_if_error") {
        key_cache.stale_if_error = node.duration(Duration::ZERO..=DAY.saturating_mul(30))?;
    }
    if let Some(node) = fields.get("unknown_kid_cooldown") {
        key_cache.unknown_kid_cooldown = node.duration(SECOND..=DAY)?;
    }
    if let Some(node) = fields.get("max_response_bytes") {
        key_cache.max_response_bytes = usize::try_from(node.integer(256..=4_194_304)?).unwrap_or(usize::MAX);
    }
    Ok(key_cache)
}
