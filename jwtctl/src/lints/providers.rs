//! Providers, and the clusters from which the filter fetches their keys.

use super::{Lints, is_sound, name_place};
use crate::faults::Faults;
use crate::input::Found;
use crate::report::Level;
use crate::source::Node;

impl Lints {
    pub(super) fn providers(&mut self, found: &Found, faults: &Faults) {
        let config = &faults.config;
        let clusters = clusters(&found.document);
        for (key, provider) in found.config.get("providers").map_or(&[][..], Node::members) {
            self.private_keys(provider, &format!("providers.{}", key.name));
        }
        let providers = config.get("providers").map_or(&[][..], Node::members);
        for (key, provider) in providers {
            let path = format!("providers.{}", key.name);
            let audiences = provider.get("audiences");
            let is_any = |node: &Node| node.text() == Some("*");
            if let Some(audiences) = audiences.filter(|all| is_any(all) || all.elements().iter().any(is_any))
                && !audiences.place.is_empty()
                && is_sound(audiences, faults)
            {
                let message = "the filter also accepts tokens that the issuer made for any other service";
                self.add(
                    Level::Warning,
                    "any-audience",
                    message,
                    audiences.place.clone(),
                    &format!("{path}.audiences"),
                )
                .help =
                    Some("list the audience of this service, if the issuer's tokens have `aud`".to_owned());
            }
            if let Some(flag) = provider
                .get("require_expiration")
                .filter(|flag| flag.bool() == Some(false))
            {
                let message = "the filter accepts a token without `exp` for ever";
                let path = format!("{path}.require_expiration");
                self.add(
                    Level::Warning,
                    "no-expiration",
                    message,
                    flag.place.clone(),
                    &path,
                );
            }
            let mut sources = Vec::new();
            if let Some(uri) = provider.at(&["remote_jwks", "http_uri"]) {
                sources.push((
                    uri.get("cluster"),
                    uri.get("uri"),
                    uri.text_at(&["uri"]).unwrap_or_default().to_owned(),
                ));
            }
            if let Some(discovery) = provider.get("discovery") {
                let issuer = discovery.get("issuer").or(provider.get("issuer"));
                let uri = discovery.get("uri").or(issuer);
                let text = uri.and_then(Node::text).unwrap_or_default().to_owned();
                sources.push((discovery.get("cluster"), uri, text));
                for (_, cluster) in discovery.get("clusters").map_or(&[][..], Node::members) {
                    sources.push((Some(cluster), None, "https://".to_owned()));
                }
            }
            for (cluster, address, uri) in sources {
                let Some(cluster) = cluster else { continue };
                let name = cluster.text().unwrap_or_default();
                let is_local = uri.strip_prefix("http://").is_some_and(|rest| {
                    ["127.0.0.1", "localhost", "[::1]"]
                        .iter()
                        .any(|host| rest.starts_with(host))
                });
                if uri.starts_with("http://") && !is_local {
                    let message = format!(
                        "the filter fetches the keys of {} without TLS: an attacker in the network can replace them",
                        key.name
                    );
                    let place = address.unwrap_or(cluster).place.clone();
                    self.add(Level::Warning, "plain-http", message, place, &path);
                }
                let Some(clusters) = &clusters else { continue };
                match clusters
                    .known
                    .iter()
                    .find(|known| known.text_at(&["name"]) == Some(name))
                {
                    None if cluster.place.is_empty() || name == "stand-in" => {}
                    // Envoy Gateway creates this cluster.
                    None if cluster.get("backend").is_some() => {}
                    None => {
                        let level = if clusters.is_all {
                            Level::Error
                        } else {
                            Level::Warning
                        };
                        let names: Vec<&str> = clusters
                            .known
                            .iter()
                            .filter_map(|known| known.text_at(&["name"]))
                            .collect();
                        let message =
                            format!("the bootstrap has no cluster `{name}`, so the filter cannot fetch keys");
                        self.add(level, "unknown-cluster", message, cluster.place.clone(), &path)
                            .help = Some(match names.is_empty() {
                            true => "it has no clusters".to_owned(),
                            false => format!("it has: {}", names.join(", ")),
                        });
                    }
                    Some(known) => self.tls(known, &uri, &path),
                }
            }
        }
    }

    /// Whether the server that responds for the issuer has to prove its identity.
    fn tls(&mut self, cluster: &Node, uri: &str, path: &str) {
        let place = name_place(cluster);
        let name = cluster.text_at(&["name"]).unwrap_or_default();
        if self
            .findings
            .iter()
            .any(|known| known.code == "tls-validation" && known.place == place)
        {
            return;
        }
        let mut contexts = Vec::new();
        cluster.walk(&mut |node| {
            let of_type = node.text_at(&["@type"]).unwrap_or_default();
            if of_type.ends_with("transport_sockets.tls.v3.UpstreamTlsContext") {
                contexts.push(node);
            }
        });
        if contexts.is_empty() {
            if uri.starts_with("https://")
                && cluster.get("transport_socket").is_none()
                && !is_at_home(cluster)
            {
                let message =
                    format!("the cluster `{name}` does not use TLS, although the issuer's URL is https");
                self.add(Level::Error, "tls-validation", message, place, path)
                    .help = Some(TLS.to_owned());
            }
            return;
        }
        for context in contexts {
            let common = context.get("common_tls_context");
            let validation = common.and_then(|common| {
                common
                    .get("validation_context")
                    .or_else(|| common.at(&["combined_validation_context", "default_validation_context"]))
            });
            let by_secret = common.is_some_and(|common| {
                common.get("validation_context_sds_secret_config").is_some()
                    || common.get("combined_validation_context").is_some()
            });
            let has_authority = by_secret
                || validation.is_some_and(|validation| {
                    [
                        "trusted_ca",
                        "system_root_certs",
                        "ca_certificate_provider_instance",
                        "verify_certificate_spki",
                        "verify_certificate_hash",
                    ]
                    .iter()
                    .any(|name| validation.get(name).is_some())
                });
            if !has_authority {
                let message = format!(
                    "the cluster `{name}` accepts any certificate, so an attacker in the network can replace the keys"
                );
                self.add(Level::Error, "tls-validation", message, place.clone(), path)
                    .help = Some(TLS.to_owned());
                continue;
            }
            let names_host = by_secret
                || validation.is_some_and(|validation| {
                    [
                        "match_typed_subject_alt_names",
                        "match_subject_alt_names",
                        "verify_certificate_spki",
                        "verify_certificate_hash",
                    ]
                    .iter()
                    .any(|name| {
                        validation
                            .get(name)
                            .is_some_and(|node| !node.elements().is_empty())
                    })
                })
                || context.get("auto_sni_san_validation").and_then(Node::bool) == Some(true)
                || cluster_has(cluster, "auto_san_validation");
            if !names_host {
                let message = format!("the cluster `{name}` accepts a certificate of any host");
                self.add(Level::Warning, "tls-validation", message, place.clone(), path)
                    .help = Some(
                    "write `match_typed_subject_alt_names` with the issuer's host into `validation_context`"
                        .to_owned(),
                );
            }
        }
    }

    /// Private keys in place of public ones.
    fn private_keys(&mut self, provider: &Node, path: &str) {
        let Some(text) = provider.at(&["local_jwks", "inline_string"]) else {
            return;
        };
        let Ok(document) = serde_json::from_str::<serde_json::Value>(text.text().unwrap_or_default()) else {
            return;
        };
        let keys = document.get("keys").and_then(|keys| keys.as_array());
        let is_private =
            |key: &serde_json::Value| ["d", "p", "q", "k"].iter().any(|name| key.get(name).is_some());
        if keys.is_some_and(|keys| keys.iter().any(is_private)) {
            let message =
                "a key has its private members: anyone who can read the configuration can make tokens";
            let path = format!("{path}.local_jwks.inline_string");
            self.add(Level::Error, "private-key", message, text.place.clone(), &path).help = Some(
                "remove `d`, `p`, `q`, `dp`, `dq`, `qi` and `k`, and replace the key at the issuer: it is no longer secret".to_owned(),
            );
        }
    }
}

const TLS: &str = "add a `transport_socket` with `validation_context: {trusted_ca: …, match_typed_subject_alt_names: …}`, as in \
                   envoy/issuers";

struct Clusters<'d> {
    known: Vec<&'d Node>,
    /// Other places do not occur.
    is_all: bool,
}

/// The clusters of a bootstrap. `None` if the document is not a bootstrap.
fn clusters(document: &Node) -> Option<Clusters<'_>> {
    let resources = document.get("static_resources")?;
    Some(Clusters {
        known: resources
            .get("clusters")
            .map_or(&[][..], Node::elements)
            .iter()
            .collect(),
        is_all: document.at(&["dynamic_resources", "cds_config"]).is_none(),
    })
}

fn cluster_has(cluster: &Node, flag: &str) -> bool {
    let mut found = false;
    cluster.walk(&mut |node| found |= node.get(flag).and_then(Node::bool) == Some(true));
    found
}

/// Whether every endpoint is on this machine.
fn is_at_home(cluster: &Node) -> bool {
    let mut addresses = Vec::new();
    cluster.walk(&mut |node| {
        if let Some(address) = node.at(&["socket_address", "address"]) {
            addresses.push(address.text().unwrap_or_default().to_owned());
        }
    });
    !addresses.is_empty()
        && addresses
            .iter()
            .all(|address| address.starts_with("127.") || address == "::1" || address == "localhost")
}
