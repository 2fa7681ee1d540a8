//! `discovery`, `remote_jwks` and `local_jwks`: the source of a provider's keys.

use std::sync::Arc;

use super::error::{ConfigError, ConfigProblem};
use super::fields::{KeyCacheObject, LocalJwksObject, ProviderObject};
use super::node::Node;
use super::options::ReadKeys;
use super::reader::Fields;
use super::{data_source, discovery, remote};
use crate::jose::{JwksFault, ParsedJwkSet};
use crate::keys::KeySource;

// Not inlined, for the memory of Envoy: docs/adr/0010-build-settings.md.
#[inline(never)]
pub(super) fn read(
    fields: &Fields<'_, ProviderObject>,
    issuers: &[Box<str>],
    read_keys: ReadKeys,
) -> Result<KeySource, Box<ConfigError>> {
    let discovery = fields.get(ProviderObject::discovery);
    let remote = fields.get(ProviderObject::remote_jwks);
    let local = fields.get(ProviderObject::local_jwks);
    let key_cache = fields.get(ProviderObject::key_cache);
    let read_key_cache = remote::read_key_cache(&match discovery.or(remote) {
        Some(_) => fields.within(ProviderObject::key_cache, KeyCacheObject),
        None => fields.absent(KeyCacheObject),
    });
    let remote_source = |source| KeySource::Remote(Box::new(source));
    match (discovery, remote, local) {
        (Some(node), None, None) => discovery::read(node, issuers, read_key_cache).map(remote_source),
        (None, Some(node), None) => remote::read(node, read_key_cache).map(remote_source),
        (None, None, Some(node)) => match &key_cache {
            Some(key_cache) => Err(key_cache.invalid(
                "the filter never fetches `local_jwks`; `key_cache` applies only to `discovery` and `remote_jwks`",
            )),
            None => Ok(KeySource::Local(read_local_jwks(node, read_keys)?)),
        },
        (None, None, None) => Err(fields.error(ConfigProblem::Invalid(
            "has no source of keys; write one of `discovery`, `remote_jwks`, `local_jwks`".to_owned(),
        ))),
        (discovery, remote, local) => {
            // The message reports the last of them as superfluous.
            let surplus = local.or(remote).or(discovery);
            let what =
                "a provider has one source of keys: write one of `discovery`, `remote_jwks`, `local_jwks`";
            Err(match surplus {
                Some(node) => node.invalid(what),
                None => fields.error(ConfigProblem::Invalid(what.to_owned())),
            })
        }
    }
}

fn read_local_jwks(node: &Node<'_>, read_keys: ReadKeys) -> Result<Arc<ParsedJwkSet>, Box<ConfigError>> {
    let (inline, document) = data_source::read(
        node,
        data_source::written!(node, LocalJwksObject),
        "write the document into `inline_string`, or serve it and write `remote_jwks`",
    )?;
    match read_keys.read(&document) {
        Ok(parsed) => Ok(parsed),
        Err(fault) => Err(inline.invalid(format!(
            "not a usable JWKS document: {fault}{}",
            match &fault {
                JwksFault::Other(_) => "",
                JwksFault::Json(_) | JwksFault::NoUsableKey(_) => "; copy the issuer's own",
                _ => r#"; it looks like {"keys":[{"kty":…}]}"#,
            }
        ))),
    }
}
