//! `remote_jwks` and `key_cache`: the URL of a provider's keys, and the rules of their cache.

use super::error::ConfigError;
use super::fields::{
    AsyncFetchObject, ClusterObject, HttpUriObject, KeyCacheObject, RemoteJwksObject, RetryBackOffObject,
    RetryPolicyObject,
};
use super::leftover::{has_any, has_part};
use super::node::Node;
use super::reader::Fields;
use crate::http::HttpUri;
use crate::json::Kind;
use crate::keys::{ClusterRef, Endpoint, KeyCache, KeyLocation, KeySource, RemoteKeySource};
use crate::provider::Provider;

/// The default `user-agent` of fetches: firewalls in front of large issuers refuse requests without the
/// field.
const USER_AGENT: &str = concat!("proxy-wasm-jwt/", env!("CARGO_PKG_VERSION"));

const LONGEST_USER_AGENT: usize = 256;

/// Reads `user_agent`, and sets it for the fetches of all providers.
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

// Not inlined, for the memory of Envoy: docs/adr/0010-build-settings.md.
#[inline(never)]
pub(super) fn read(node: &Node<'_>, key_cache: KeyCache) -> Result<RemoteKeySource, Box<ConfigError>> {
    let fields = node.fields(RemoteJwksObject)?;
    // The filter always fetches keys ahead of requests, and always retries a failed fetch.
    if let Some(node) = fields.get(RemoteJwksObject::async_fetch) {
        let fields = node.fields(AsyncFetchObject)?;
        fields.read(AsyncFetchObject::fast_listener)?;
        fields.read(AsyncFetchObject::failed_refetch_duration)?;
    }
    if let Some(node) = fields.get(RemoteJwksObject::retry_policy) {
        read_retry_policy(node)?;
    }
    let cache_duration = fields.value(RemoteJwksObject::cache_duration)?;
    let fields = fields
        .require(RemoteJwksObject::http_uri)?
        .fields(HttpUriObject)?;
    let timeout = fields.value(HttpUriObject::timeout)?;
    let cluster = fields.keep(fields.require(HttpUriObject::cluster).and_then(read_cluster));
    let node = fields.require(HttpUriObject::uri)?;
    let uri = read_uri(node)?;
    if is_discovery_document(&uri.path) {
        return Err(node.invalid(
            "is the URL of a discovery document; write `discovery: {cluster: …}` in place of `remote_jwks`, or its \
             `jwks_uri` here",
        ));
    }
    let cluster = cluster.ok_or_else(ConfigError::reported)?;
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
    let fields = node.fields(RetryPolicyObject)?;
    fields.read(RetryPolicyObject::num_retries)?;
    fields.read(RetryPolicyObject::retry_on)?;
    if let Some(node) = fields.get(RetryPolicyObject::retry_back_off) {
        let fields = node.fields(RetryBackOffObject)?;
        fields.read(RetryBackOffObject::base_interval)?;
        fields.read(RetryBackOffObject::max_interval)?;
    }
    Ok(())
}

pub(super) fn read_uri(node: &Node<'_>) -> Result<HttpUri, Box<ConfigError>> {
    let uri = node.name()?;
    if has_any(&uri, "{}") {
        return Err(node.invalid("variables are not replaced here; write one URL, the same for every tenant"));
    }
    if has_part(&uri, ",http") {
        return Err(node.invalid(format!("`{uri}` is one URL; write one alone")));
    }
    HttpUri::parse(&uri).map_err(|fault| node.invalid(format!("`{uri}` {fault}")))
}

/// Whether an address, or the path of one, is a discovery document's.
fn is_discovery_document(address: &str) -> bool {
    address.ends_with("/.well-known/openid-configuration")
        || address.ends_with("/.well-known/oauth-authorization-server")
}

/// The name of a cluster, or `{backend: <alias>}`.
pub(super) fn read_cluster(node: &Node<'_>) -> Result<ClusterRef, Box<ConfigError>> {
    if node.value().kind() == Kind::Object {
        let alias = node.fields(ClusterObject)?.required(ClusterObject::backend)?;
        // The host reads it as a part of a path, which ends at a NUL character.
        if alias.contains('\0') {
            return Err(node.invalid("a name has no NUL character"));
        }
        return Ok(ClusterRef::Backend(alias));
    }
    let cluster = node.name()?;
    if has_part(&cluster, "//") {
        return Err(
            node.invalid("is a URL; write the `name` of a cluster in Envoy's configuration, such as idp")
        );
    }
    Ok(ClusterRef::Named(cluster))
}

pub(super) fn read_key_cache(fields: &Fields<'_, KeyCacheObject>) -> KeyCache {
    let max_response_bytes = fields.kept(KeyCacheObject::max_response_bytes);
    KeyCache {
        refresh_ahead: fields.kept(KeyCacheObject::refresh_ahead),
        stale_if_error: fields.kept(KeyCacheObject::stale_if_error),
        unknown_kid_cooldown: fields.kept(KeyCacheObject::unknown_kid_cooldown),
        max_response_bytes: usize::try_from(max_response_bytes).unwrap_or(usize::MAX),
    }
}
