//! Envoy Gateway's SecurityPolicy: `jwt` and `authorization`.

use std::rc::Rc;

use super::grants::{self, Grant, Need, every_request};
use super::istio::of_kind;
use super::{Converted, Notes, any_of, default_locations, flag, list, map, set, text};
use crate::source::Node;

pub(super) fn convert(documents: &[Rc<Node>], notes: &mut Notes) -> Vec<Converted> {
    let policies = of_kind(documents, "SecurityPolicy");
    policies
        .into_iter()
        .filter_map(|policy| one(policy, notes))
        .collect()
}

fn one(policy: &Node, notes: &mut Notes) -> Option<Converted> {
    let spec = policy.get("spec")?;
    notes.only(
        spec,
        &[
            "targetRef",
            "targetRefs",
            "targetSelectors",
            "jwt",
            "authorization",
        ],
        "SecurityPolicy",
    );
    let Some(jwt) = spec.get("jwt") else {
        notes.lost(&policy.place, "it has no `jwt`, so there are no issuers");
        return None;
    };
    notes.only(jwt, &["providers", "optional"], "jwt");
    let is_optional = jwt.get("optional").and_then(Node::bool) == Some(true);
    let mut providers: Vec<(String, Node)> = Vec::new();
    for provider in jwt.get("providers").map_or(&[][..], Node::elements) {
        let name = provider.text_at(&["name"]).unwrap_or("provider").to_owned();
        providers.push((name, translate(provider, notes)));
    }
    let names: Vec<String> = providers.iter().map(|(name, _)| name.clone()).collect();
    if names.is_empty() {
        notes.lost(&jwt.place, "it has no providers");
        return None;
    }
    let rules = match spec.get("authorization") {
        None => list(vec![map(vec![
            ("match", every_request()),
            ("requires", any_of(&names, is_optional)),
        ])]),
        Some(authorization) => authorize(authorization, &names, is_optional, notes),
    };
    notes.look(
        &policy.place,
        "attach the filter by an EnvoyExtensionPolicy to the same targets, see envoy/gateway; then take this policy out",
    );
    let members = providers
        .iter()
        .map(|(name, node)| (name.as_str(), node.clone()))
        .collect();
    Some(Converted {
        config: map(vec![("providers", map(members)), ("rules", rules)]),
        document: None,
    })
}

fn translate(provider: &Node, notes: &mut Notes) -> Node {
    notes.only(
        provider,
        &[
            "name",
            "issuer",
            "audiences",
            "remoteJWKS",
            "localJWKS",
            "claimToHeaders",
            "extractFrom",
            "recomputeRoute",
        ],
        "a provider",
    );
    let place = provider
        .get("name")
        .map_or(provider.place.clone(), |name| name.place.clone());
    let mut node = map(Vec::new());
    match provider.get("issuer").filter(|issuer| issuer.text() != Some("")) {
        Some(issuer) => set(&mut node, "issuer", issuer.clone()),
        None => {
            notes.lost(&place, "without `issuer` tokens of any issuer that this key signs are accepted; write the tokens' `iss`");
            set(
                &mut node,
                "issuer",
                text("https://write-the-issuer.invalid", &(0..0)),
            );
        }
    }
    match provider.get("audiences").filter(|all| !all.elements().is_empty()) {
        Some(audiences) => set(&mut node, "audiences", audiences.clone()),
        None => {
            notes.look(
                &place,
                "without `audiences` tokens for any service are accepted; `[\"*\"]` says so now",
            );
            set(&mut node, "audiences", list(vec![text("*", &(0..0))]));
        }
    }
    if let Some(remote) = provider.get("remoteJWKS") {
        notes.only(remote, &["uri", "backendRefs", "cacheDuration"], "remoteJWKS");
        let uri = remote
            .get("uri")
            .cloned()
            .unwrap_or_else(|| text("", &remote.place));
        notes.look(
            &uri.place,
            "Envoy needs a cluster `idp` that leads there, with TLS: see envoy/gateway/issuer.yaml",
        );
        let mut keys = map(vec![(
            "http_uri",
            map(vec![("uri", uri), ("cluster", text("idp", &(0..0)))]),
        )]);
        if let Some(duration) = remote.get("cacheDuration") {
            set(&mut keys, "cache_duration", duration.clone());
        }
        set(&mut node, "remote_jwks", keys);
    } else if let Some(local) = provider.get("localJWKS") {
        match local.get("inline") {
            Some(inline) => set(
                &mut node,
                "local_jwks",
                map(vec![("inline_string", inline.clone())]),
            ),
            None => {
                notes.lost(
                    &local.place,
                    "a module reads no ConfigMap: write the keys into `inline`",
                );
                set(
                    &mut node,
                    "discovery",
                    map(vec![("cluster", text("idp", &(0..0)))]),
                );
            }
        }
    } else {
        notes.look(
            &place,
            "Envoy needs a cluster `idp` that leads to the issuer, with TLS: see envoy/gateway/issuer.yaml",
        );
        set(
            &mut node,
            "discovery",
            map(vec![("cluster", text("idp", &(0..0)))]),
        );
    }
    notes.look(
        &place,
        "Envoy Gateway accepts tokens that never expire; `require_expiration: false` says so now",
    );
    set(&mut node, "require_expiration", flag(false));
    match provider.get("extractFrom") {
        None => default_locations(&mut node),
        Some(from) => {
            notes.only(from, &["headers", "cookies", "params"], "extractFrom");
            let headers = from
                .get("headers")
                .map_or(&[][..], Node::elements)
                .iter()
                .map(|header| {
                    let mut members = vec![(
                        "name",
                        header
                            .get("name")
                            .cloned()
                            .unwrap_or_else(|| text("", &header.place)),
                    )];
                    if let Some(prefix) = header.get("valuePrefix") {
                        members.push(("value_prefix", prefix.clone()));
                    }
                    map(members)
                });
            let headers: Vec<Node> = headers.collect();
            if !headers.is_empty() {
                set(&mut node, "from_headers", list(headers));
            }
            for (name, to) in [("cookies", "from_cookies"), ("params", "from_params")] {
                if let Some(all) = from.get(name) {
                    set(&mut node, to, all.clone());
                }
            }
        }
    }
    // Envoy Gateway leaves the token in the request.
    set(&mut node, "forward", flag(true));
    if let Some(claims) = provider.get("claimToHeaders") {
        set(&mut node, "claim_to_headers", super::claims_to_headers(claims));
    }
    if let Some(recompute) = provider.get("recomputeRoute") {
        set(&mut node, "clear_route_cache", recompute.clone());
    }
    node
}

/// Rules of which the first that matches a client decides: here the rules that allow, with a default that
/// denies.
fn authorize(authorization: &Node, names: &[String], is_optional: bool, notes: &mut Notes) -> Node {
    notes.only(authorization, &["rules", "defaultAction"], "authorization");
    let is_denied = authorization.text_at(&["defaultAction"]).unwrap_or("Deny") == "Deny";
    let open = if is_optional {
        Need::Optional
    } else {
        Need::Token(names.to_vec())
    };
    let mut grants = Vec::new();
    for rule in authorization.get("rules").map_or(&[][..], Node::elements) {
        notes.only(rule, &["name", "action", "operation", "principal"], "a rule");
        let is_allow = rule.text_at(&["action"]) == Some("Allow");
        if !is_allow || !is_denied {
            notes.lost(&rule.place, "a rule that denies, or a default that allows: here rules say what is needed; write what is allowed, with `defaultAction: Deny`");
            continue;
        }
        let mut need = open.clone();
        let mut claims = Vec::new();
        let mut scopes = None;
        let mut headers = Vec::new();
        let nothing = map(Vec::new());
        let principal = rule.get("principal").unwrap_or(&nothing);
        for (key, part) in principal.members() {
            match &*key.name {
                "jwt" => {
                    notes.only(part, &["provider", "scopes", "claims"], "principal.jwt");
                    need = Need::Token(vec![part.text_at(&["provider"]).unwrap_or_default().to_owned()]);
                    if let Some(all) = part.get("scopes").filter(|all| !all.elements().is_empty()) {
                        scopes = Some(map(vec![
                            ("all", all.clone()),
                            ("claim_names", list(vec![text("scope", &(0..0))])),
                        ]));
                    }
                    for claim in part.get("claims").map_or(&[][..], Node::elements) {
                        notes.only(claim, &["name", "valueType", "values"], "a claim");
                        let values = claim.get("values").cloned().unwrap_or_else(|| list(Vec::new()));
                        let name = claim
                            .get("name")
                            .cloned()
                            .unwrap_or_else(|| text("", &claim.place));
                        claims.push(map(vec![("claim_name", name), ("any_of", values)]));
                    }
                }
                "headers" => {
                    for header in part.elements() {
                        let values = header.get("values").map_or(&[][..], Node::elements);
                        match values {
                            [one] => headers.push(map(vec![
                                (
                                    "name",
                                    header
                                        .get("name")
                                        .cloned()
                                        .unwrap_or_else(|| text("", &header.place)),
                                ),
                                ("string_match", map(vec![("exact", one.clone())])),
                            ])),
                            _ => notes.lost(
                                &header.place,
                                "a header with several values: write a rule for each",
                            ),
                        }
                    }
                }
                name => notes.lost(
                    &key.place,
                    format!("`{name}` is not about tokens; keep this in a SecurityPolicy"),
                ),
            }
        }
        let mut matcher = every_request();
        if let Some(methods) = rule
            .at(&["operation", "methods"])
            .filter(|all| !all.elements().is_empty())
        {
            set(&mut matcher, "methods", methods.clone());
        }
        if let Some(operation) = rule.get("operation") {
            notes.only(operation, &["methods"], "operation");
        }
        if !headers.is_empty() {
            set(&mut matcher, "headers", list(headers));
        }
        let mut authorize = Vec::new();
        if let Some(scopes) = scopes {
            authorize.push(("scopes", scopes));
        }
        if !claims.is_empty() {
            authorize.push(("claims", list(claims)));
        }
        grants.push(Grant {
            matches: vec![matcher],
            need,
            authorize: (!authorize.is_empty()).then(|| map(authorize)),
            place: rule.place.clone(),
        });
    }
    let otherwise = if is_denied { Need::Never } else { open };
    grants::rules(grants, names, &otherwise, notes)
}
