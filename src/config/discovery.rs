//! `discovery`: the issuer's own document contains the URL of its keys ([OpenID Connect Discovery 1.0 section
//! 4](https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderConfigurationRequest),
//! [RFC 8414 section 3](https://www.rfc-editor.org/rfc/rfc8414#section-3)).

use super::error::ConfigError;
use super::fields::DiscoveryObject;
use super::issuer::refuse_document;
use super::node::Node;
use super::remote;
use crate::http::HttpUri;
use crate::keys::{ClusterRef, Discovery, Endpoint, KeyCache, KeyLocation, RemoteKeySource};

/// OpenID Connect Discovery 1.0 section 4: "If the Issuer value contains a path component, any terminating /
/// MUST be removed before appending /.well-known/openid-configuration."
const SUFFIX: &str = "/.well-known/openid-configuration";

/// RFC 8414 section 3.1: "inserting /.well-known/ and the well-known URI suffix between the host component
/// and the path component", where any terminating / of the path is removed as well.
const OAUTH: &str = "/.well-known/oauth-authorization-server";

fn oauth_document(issuer: &str) -> Option<HttpUri> {
    let issuer = HttpUri::parse(issuer.trim_end_matches('/')).ok()?;
    let path = format!("{OAUTH}{}", issuer.path.trim_end_matches('/'));
    Some(HttpUri {
        path: path.into(),
        ..issuer
    })
}

// Not inlined, for the memory of Envoy: docs/adr/0010-build-settings.md.
#[inline(never)]
pub(super) fn read(
    node: &Node<'_>,
    issuers: &[Box<str>],
    key_cache: KeyCache,
) -> Result<RemoteKeySource, Box<ConfigError>> {
    let fields = node.fields(DiscoveryObject)?;
    let timeout = fields.value(DiscoveryObject::timeout)?;
    let cache_duration = fields.value(DiscoveryObject::cache_duration)?;
    let mut clusters: Vec<(Box<str>, ClusterRef)> = Vec::new();
    if let Some(node) = fields.get(DiscoveryObject::clusters) {
        for (host, node) in node.map()?.iter() {
            if host.is_empty() || host.contains('/') {
                node.report(
                    node.invalid("goes under a host, as in `keys.example.com` or `keys.example.com:8443`"),
                );
            }
            if let Some(cluster) = node.keep(remote::read_cluster(&node)) {
                // Sorted: the host may pass the members in any order.
                let place = clusters.partition_point(|(before, _)| **before < *host);
                clusters.insert(place, (host.into(), cluster));
            }
        }
    }
    let cluster = fields.require(DiscoveryObject::cluster);
    let cluster = fields.keep(cluster.and_then(remote::read_cluster));
    // Of several spellings, the document contains one that is a URL.
    let of_tokens = issuers.iter().find(|issuer| HttpUri::parse(issuer).is_ok());
    let of_tokens = of_tokens
        .or_else(|| issuers.first())
        .map_or("", |issuer| &**issuer);
    let named = fields.read(DiscoveryObject::issuer)?;
    if let (Some(node), Some(named)) = (fields.get(DiscoveryObject::issuer), &named) {
        refuse_document(node, named)?;
    }
    let issuer = named.as_deref().unwrap_or(of_tokens);
    let written = fields.get(DiscoveryObject::uri);
    let uri = match written {
        Some(node) => {
            let uri = remote::read_uri(node)?;
            if &*uri.path == "/" {
                return Err(node.invalid(
                    "is the URL of the document itself, with its path /.well-known/openid-configuration",
                ));
            }
            uri
        }
        None => HttpUri::parse(&format!("{}{SUFFIX}", issuer.trim_end_matches('/')))
            .ok()
            .filter(|_| !issuer.contains(['?', '#', '{']))
            .ok_or_else(|| match issuer {
                // An empty issuer was reported at its own field.
                "" => ConfigError::reported(),
                _ => node.invalid(format!(
                    "`{issuer}` is not an http or https URL; write the URL of the document as `uri`"
                )),
            })?,
    };
    let cluster = cluster.ok_or_else(ConfigError::reported)?;
    let fallback = match written {
        Some(_) => None,
        None => oauth_document(issuer).map(|uri| Endpoint {
            cluster: cluster.clone(),
            uri,
        }),
    };
    Ok(RemoteKeySource {
        location: KeyLocation::Discovery(Discovery {
            document: Endpoint { cluster, uri },
            fallback,
            issuer: issuer.into(),
            clusters,
        }),
        timeout,
        cache_duration,
        key_cache,
        user_agent: remote::default_user_agent(),
    })
}

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use crate::http::HttpUri;
    use crate::keys::{ClusterRef, KeyLocation, KeySource, RemoteKeySource};

    fn source(issuer: &str, rest: &str) -> Result<RemoteKeySource, String> {
        let text = format!(r#"{{"providers":{{"p":{{"issuer":"{issuer}","audiences":["*"],{rest}}}}}}}"#);
        let config = Config::parse(text.as_bytes()).map_err(|error| error.to_string())?;
        match config.providers.into_iter().next().map(|provider| provider.keys) {
            Some(KeySource::Remote(source)) => Ok(*source),
            _ => Err("the keys are local".to_owned()),
        }
    }

    #[test]
    fn the_document_is_where_the_standard_has_it() {
        for (issuer, url, fallback) in [
            (
                "https://a.example",
                "https://a.example/.well-known/openid-configuration",
                "https://a.example/.well-known/oauth-authorization-server",
            ),
            (
                "https://a.example/",
                "https://a.example/.well-known/openid-configuration",
                "https://a.example/.well-known/oauth-authorization-server",
            ),
            (
                "https://a.example:8443/x/y",
                "https://a.example:8443/x/y/.well-known/openid-configuration",
                "https://a.example:8443/.well-known/oauth-authorization-server/x/y",
            ),
            (
                "https://a.example/x/",
                "https://a.example/x/.well-known/openid-configuration",
                "https://a.example/.well-known/oauth-authorization-server/x",
            ),
        ] {
            let KeyLocation::Discovery(discovery) =
                source(issuer, r#""discovery":{"cluster":"c"}"#).unwrap().location
            else {
                panic!("no discovery");
            };
            assert_eq!(discovery.document.uri.to_string(), url);
            assert_eq!(discovery.fallback.unwrap().uri.to_string(), fallback);
        }
    }

    #[test]
    fn each_fault_is_named_with_its_place() {
        let plain = "https://a.example";
        for (issuer, rest, message) in [
            (
                plain,
                r#""discovery":{}"#,
                "providers.p.discovery: `cluster` is missing",
            ),
            (
                plain,
                r#""discovery":{"cluster":""}"#,
                "providers.p.discovery.cluster: must not be empty",
            ),
            (
                plain,
                r#""discovery":{"cluster":{}}"#,
                "providers.p.discovery.cluster: `backend` is missing",
            ),
            (
                plain,
                r#""discovery":{"cluster":{"backend":""}}"#,
                "providers.p.discovery.cluster.backend: must not be empty",
            ),
            (
                plain,
                r#""discovery":{"cluster":{"alias":"x"}}"#,
                "providers.p.discovery.cluster: unknown field `alias`",
            ),
            (
                plain,
                r#""discovery":{"cluster":7}"#,
                "providers.p.discovery.cluster",
            ),
            (
                plain,
                r#""discovery":{"cluster":"c","url":"x"}"#,
                "unknown field `url`; did you mean `uri`?",
            ),
            (
                plain,
                r#""discovery":{"cluster":"c","uri":"x"}"#,
                "providers.p.discovery.uri: `x` is not an http",
            ),
            (
                plain,
                r#""discovery":{"cluster":"c","timeout":"2m"}"#,
                "providers.p.discovery.timeout: must be from",
            ),
            (
                plain,
                r#""discovery":{"cluster":"c","clusters":{"https://x":"y"}}"#,
                "goes under a host",
            ),
            (
                "corp",
                r#""discovery":{"cluster":"c"}"#,
                "`corp` is not an http or https URL; write",
            ),
            (
                "https://a.example/?t=1",
                r#""discovery":{"cluster":"c"}"#,
                "is not an http or https URL; write",
            ),
            (
                plain,
                r#""key_cache":{}"#,
                "write one of `discovery`, `remote_jwks`, `local_jwks`",
            ),
            (
                plain,
                r#""discovery":{"cluster":"c"},"remote_jwks":{}"#,
                "providers.p.remote_jwks: a provider has one source of keys",
            ),
            (
                plain,
                r#""discovery":{"cluster":"c"},"local_jwks":{}"#,
                "providers.p.local_jwks: a provider has one source of keys",
            ),
            (
                plain,
                r#""key_cache":{},"local_jwks":{}"#,
                "`key_cache` applies only to `discovery` and `remote_jwks`",
            ),
        ] {
            let error = source(issuer, rest).unwrap_err();
            assert!(error.contains(message), "{message}: {error}");
        }
    }

    #[test]
    fn another_source_is_kept_in_another_place() {
        let fingerprint = |issuer, rest: &str| source(issuer, rest).unwrap().fingerprint();
        let plain = "https://a.example";
        let sources = [
            (plain, r#""discovery":{"cluster":"c"}"#),
            (
                "https://b.example",
                r#""discovery":{"cluster":"c","uri":"https://a.example/.well-known/openid-configuration"}"#,
            ),
            (plain, r#""discovery":{"cluster":"d"}"#),
            (plain, r#""discovery":{"cluster":{"backend":"c"}}"#),
            (plain, r#""discovery":{"cluster":{"backend":"d"}}"#),
            (
                plain,
                r#""discovery":{"cluster":"c","uri":"https://a.example/x"}"#,
            ),
            (plain, r#""discovery":{"cluster":"c","clusters":{"x":"y"}}"#),
            (
                plain,
                r#""remote_jwks":{"http_uri":{"cluster":"c","uri":"https://a.example/x"}}"#,
            ),
        ];
        let places: std::collections::HashSet<_> = sources
            .iter()
            .map(|(issuer, rest)| fingerprint(issuer, rest))
            .collect();
        assert_eq!(places.len(), sources.len());
        // The settings of the cache, and the order of the members, are no part of the source.
        assert_eq!(
            fingerprint(
                plain,
                r#""discovery":{"cluster":"c","clusters":{"x":"y","a":"b"}}"#
            ),
            fingerprint(
                plain,
                r#""key_cache":{"refresh_ahead":0.5},"discovery":{"timeout":"1s","clusters":{"a":"b","x":"y"},"cluster":"c"}"#
            ),
        );
    }

    #[test]
    fn the_cluster_goes_by_the_host_of_the_keys() {
        let rest = r#""discovery":{"cluster":"c","clusters":{"Keys.example":"k","keys.example:8443":"l"}}"#;
        let KeyLocation::Discovery(discovery) = source("https://a.example", rest).unwrap().location else {
            panic!("no discovery");
        };
        for (uri, cluster) in [
            ("https://a.example/jwks", "c"),
            ("https://keys.example/jwks", "k"),
            ("https://keys.example:1/jwks", "k"),
            ("https://KEYS.example:8443/jwks", "l"),
        ] {
            let uri = HttpUri::parse(uri).unwrap();
            assert_eq!(discovery.keys_at(uri).cluster, ClusterRef::Named(cluster.into()));
        }
    }
}
