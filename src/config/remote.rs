//! `remote_jwks` and `key_cache`: where a provider's keys are fetched, and how they are kept.

use super::error::ConfigError;
use super::fields::{
    ASYNC_FETCH, HTTP_URI, KEY_CACHE, KeyCacheObject, REMOTE_JWKS, RETRY_BACK_OFF, RETRY_POLICY,
};
use super::reader::{Fields, Node};
use crate::http::HttpUri;
use crate::keys::{Endpoint, KeyCache, KeyLocation, KeySource, RemoteKeySource};
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

pub(super) fn read(node: &Node<'_>, key_cache: KeyCache) -> Result<RemoteKeySource, Box<ConfigError>> {
    let fields = node.fields(REMOTE_JWKS)?;
    // Keys are always fetched ahead of the requests that need them, and a failed fetch is always tried again.
    if let Some(node) = fields.get(REMOTE_JWKS.async_fetch) {
        let fields = node.fields(ASYNC_FETCH)?;
        fields.read(ASYNC_FETCH.fast_listener)?;
        fields.read(ASYNC_FETCH.failed_refetch_duration)?;
    }
    if let Some(node) = fields.get(REMOTE_JWKS.retry_policy) {
        read_retry_policy(node)?;
    }
    let uri_fields = fields.require(REMOTE_JWKS.http_uri)?.fields(HTTP_URI)?;
    let uri = uri_fields.require(HTTP_URI.uri)?;
    let cluster = uri_fields.required(HTTP_URI.cluster)?;
    let timeout = uri_fields.value(HTTP_URI.timeout)?;
    let cache_duration = fields.value(REMOTE_JWKS.cache_duration)?;
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
    let fields = node.fields(RETRY_POLICY)?;
    fields.read(RETRY_POLICY.num_retries)?;
    fields.read(RETRY_POLICY.retry_on)?;
    if let Some(node) = fields.get(RETRY_POLICY.retry_back_off) {
        let fields = node.fields(RETRY_BACK_OFF)?;
        fields.read(RETRY_BACK_OFF.base_interval)?;
        fields.read(RETRY_BACK_OFF.max_interval)?;
    }
    Ok(())
}

pub(super) fn read_uri(node: &Node<'_>) -> Result<HttpUri, Box<ConfigError>> {
    let uri = node.name()?;
    if uri.contains(['{', '}']) {
        return Err(node.invalid("variables are not replaced here; write one URL, the same for every tenant"));
    }
    HttpUri::parse(&uri).map_err(|fault| node.invalid(format!("`{uri}` {fault}")))
}

pub(super) fn read_key_cache(fields: &Fields<'_, KeyCacheObject>) -> Result<KeyCache, Box<ConfigError>> {
    let max_response_bytes = fields.kept(KEY_CACHE.max_response_bytes);
    Ok(KeyCache {
        refresh_ahead: fields.kept(KEY_CACHE.refresh_ahead),
        stale_if_error: fields.kept(KEY_CACHE.stale_if_error),
        unknown_kid_cooldown: fields.kept(KEY_CACHE.unknown_kid_cooldown),
        max_response_bytes: usize::try_from(max_response_bytes).unwrap_or(usize::MAX),
    })
}
