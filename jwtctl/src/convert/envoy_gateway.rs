//! Envoy Gateway's SecurityPolicy: `jwt` and `authorization`.

use std::rc::Rc;

use super::grants::{self, Grant, Need, Providers, Test, all_of, every_request};
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
        Some(authorization) => {
            let issuers: Vec<(String, String)> = providers
                .iter()
                .map(|(name, node)| {
                    let issuer = node.text_at(&["issuer"]).unwrap_or_default();
                    (name.clone(), issuer.to_owned())
                })
                .collect();
            authorize(authorization, &issuers, is_optional, notes)
        }
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

/// Rules of which the first that matches a client decides.
fn authorize(authorization: &Node, providers: &Providers, is_optional: bool, notes: &mut Notes) -> Node {
    notes.only(authorization, &["rules", "defaultAction"], "authorization");
    // Without `optional`, Envoy Gateway refuses a request without a token before it evaluates a rule.
    let open = if is_optional { Need::OPTIONAL } else { Need::TOKEN };
    let otherwise = match authorization.text_at(&["defaultAction"]).unwrap_or("Deny") {
        "Allow" => open.clone(),
        _ => Need::never(),
    };
    let mut grants = Vec::new();
    for rule in authorization.get("rules").map_or(&[][..], Node::elements) {
        notes.only(rule, &["name", "action", "operation", "principal"], "a rule");
        let mut need = open.clone();
        let mut matches = vec![every_request()];
        let nothing = map(Vec::new());
        let principal = rule.get("principal").unwrap_or(&nothing);
        for (key, part) in principal.members() {
            match &*key.name {
                "jwt" => {
                    notes.only(part, &["provider", "scopes", "claims"], "principal.jwt");
                    let name = part.text_at(&["provider"]).unwrap_or_default().to_owned();
                    need = need.and(&Need::one_of(vec![Test::Provider(name, true)]));
                    for scope in part.get("scopes").map_or(&[][..], Node::elements) {
                        need = need.and(&Need::one_of(vec![Test::Scope {
                            claim: "scope".to_owned(),
                            value: scope.clone(),
                            holds: true,
                        }]));
                    }
                    for claim in part.get("claims").map_or(&[][..], Node::elements) {
                        notes.only(claim, &["name", "valueType", "values"], "a claim");
                        let values = claim.get("values").cloned().unwrap_or_else(|| list(Vec::new()));
                        let name = claim
                            .get("name")
                            .cloned()
                            .unwrap_or_else(|| text("", &claim.place));
                        for clause in claim_clauses(&name, claim.text_at(&["valueType"]), &values) {
                            need = need.and(&Need::one_of(clause));
                        }
                    }
                }
                "headers" => {
                    for header in part.elements() {
                        notes.only(header, &["name", "values"], "a header");
                        let name = header.text_at(&["name"]).unwrap_or_default().to_ascii_lowercase();
                        let values = header.get("values").map_or(&[][..], Node::elements);
                        let one_of = values.iter().map(|value| {
                            let test = map(vec![
                                ("name", text(name.clone(), &header.place)),
                                ("string_match", map(vec![("exact", value.clone())])),
                            ]);
                            let mut matcher = every_request();
                            set(&mut matcher, "headers", list(vec![test]));
                            matcher
                        });
                        matches = all_of(&matches, &one_of.collect::<Vec<_>>());
                    }
                }
                name => notes.lost(
                    &key.place,
                    format!("`{name}` is not about tokens; keep this in a SecurityPolicy"),
                ),
            }
        }
        if let Some(methods) = rule
            .at(&["operation", "methods"])
            .filter(|all| !all.elements().is_empty())
        {
            let mut matcher = every_request();
            set(&mut matcher, "methods", methods.clone());
            matches = all_of(&matches, &[matcher]);
        }
        if let Some(operation) = rule.get("operation") {
            notes.only(operation, &["methods"], "operation");
        }
        grants.push(Grant {
            matches,
            need,
            allows: rule.text_at(&["action"]) == Some("Allow"),
            place: rule.place.clone(),
        });
    }
    grants::rules(&grants, providers, &otherwise, notes)
}

/// A claim must be one of these texts, or with `StringArray` a list that contains one of them. A list is not a
/// text, and a text is not a list.
fn claim_clauses(name: &Node, value_type: Option<&str>, values: &Node) -> Vec<Vec<Test>> {
    let test = |test: &'static str, value: Node, inverted: bool| {
        let mut members = vec![("claim_name", name.clone()), (test, value)];
        if inverted {
            members.push(("invert", flag(true)));
        }
        Test::Claim(map(members))
    };
    let in_list = |inverted| {
        let values = values.elements().iter();
        values.map(move |value| test("all_of", list(vec![value.clone()]), inverted))
    };
    if value_type == Some("StringArray") {
        return vec![in_list(false).collect()];
    }
    // `any_of` also accepts a list that contains one of the texts.
    let mut clauses = vec![vec![test("any_of", values.clone(), false)]];
    clauses.extend(in_list(true).map(|test| vec![test]));
    clauses
}
