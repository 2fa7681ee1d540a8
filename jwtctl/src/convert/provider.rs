//! Parts of providers and requirements that all conversions write in the same way.

use super::notes::Notes;
use super::tree::{list, map, set, text};
use crate::source::{Node, Place, Value};

/// A provider's requirement.
pub(crate) fn provider_name(name: &str) -> Node {
    map(vec![("provider_name", text(name, &(0..0)))])
}

/// Any of these; if it is optional, also no token.
pub(crate) fn any_of(names: &[String], is_optional: bool) -> Node {
    let mut all: Vec<Node> = names.iter().map(|name| provider_name(name)).collect();
    if is_optional {
        all.push(map(vec![(
            "allow_missing",
            Node::new(Value::Map(Vec::new()), 0..0),
        )]));
    }
    match all.as_slice() {
        [one] => one.clone(),
        _ => map(vec![("requires_any", map(vec![("requirements", list(all))]))]),
    }
}

/// Removes locations that a provider names twice: the originals accept that.
pub(crate) fn without_repeats(provider: &mut Node) {
    for name in ["from_headers", "from_params", "from_cookies"] {
        let Some(all) = provider.get(name) else {
            continue;
        };
        let mut kept: Vec<Node> = Vec::new();
        for one in all.elements() {
            if !kept.iter().any(|known| known.to_json() == one.to_json()) {
                kept.push(one.clone());
            }
        }
        if kept.len() < all.elements().len() {
            set(provider, name, list(kept));
        }
    }
}

/// Keys at a URL that the user still has to write.
pub(crate) fn keys_to_write() -> Node {
    let added = |value: &str| text(value, &(0..0));
    let http = map(vec![
        ("uri", added("https://write-the-url.invalid/jwks.json")),
        ("cluster", added("idp")),
    ]);
    map(vec![("http_uri", http)])
}

/// The locations that jwt_authn and products based on it use by default.
pub(crate) fn default_locations(provider: &mut Node) {
    let bearer = map(vec![
        ("name", text("authorization", &(0..0))),
        ("value_prefix", text("Bearer ", &(0..0))),
    ]);
    set(provider, "from_headers", list(vec![bearer]));
    set(provider, "from_params", list(vec![text("access_token", &(0..0))]));
}

/// `claim` and `header`, in the names of Istio and Envoy Gateway.
pub(crate) fn claims_to_headers(claims: &Node) -> Node {
    let all = claims.elements().iter().map(|entry| {
        let of = |name: &str| entry.get(name).cloned().unwrap_or_else(|| text("", &entry.place));
        map(vec![("claim_name", of("claim")), ("header_name", of("header"))])
    });
    list(all.collect())
}

/// A provider's name for an issuer.
pub(crate) fn issuer_name(issuer: &str) -> String {
    let rest = issuer.split_once("://").map_or(issuer, |(_, rest)| rest);
    let host = rest.split(['/', ':', '@']).next().unwrap_or_default();
    let name: String = host
        .chars()
        .map(|letter| {
            if letter.is_ascii_alphanumeric() {
                letter.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .collect();
    match name.trim_matches('-') {
        "" => "issuer".to_owned(),
        name => name.to_owned(),
    }
}

/// The name, with a number after it if it is taken.
pub(crate) fn free_name(name: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let mut number = 1;
    let mut free = name.to_owned();
    while is_taken(&free) {
        number += 1;
        free = format!("{name}-{number}");
    }
    free
}

/// Copies the audiences, or accepts every audience and adds a warning.
pub(crate) fn set_audiences(node: &mut Node, from: &Node, place: &Place, notes: &mut Notes) {
    match from.get("audiences").filter(|all| !all.elements().is_empty()) {
        Some(audiences) => set(node, "audiences", audiences.clone()),
        None => {
            notes.look(
                place,
                "without `audiences`, tokens for any service are accepted; `[\"*\"]` keeps this",
            );
            set(node, "audiences", list(vec![text("*", &(0..0))]));
        }
    }
}

/// Istio's name of the cluster for a URL: plain for the mesh, with TLS begun by a DestinationRule.
pub(crate) fn cluster_of(url: &str) -> String {
    let (_, rest) = url.split_once("://").unwrap_or(("https", url));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("outbound|{port}||{host}")
        }
        // Also with https: port 80 of the ServiceEntry in envoy/istio leads to port 443 with TLS.
        _ => format!("outbound|80||{authority}"),
    }
}
