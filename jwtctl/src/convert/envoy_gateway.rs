//! Envoy Gateway's SecurityPolicy: `jwt` and `authorization`.

use std::rc::Rc;

use super::form;
use super::grants::{self, Grant, Need, Providers, Test, all_of, every_request};
use super::istio::of_kind;
use super::notes::{Converted, Notes};
use super::provider::{
    any_of, claims_to_headers, default_locations, keys_to_write, provider_name, set_audiences,
    without_repeats,
};
use super::tree::{flag, list, map, set, text};
use crate::source::{Node, Place, Value};

pub(super) fn convert(documents: &[Rc<Node>], notes: &mut Notes) -> Vec<Converted> {
    let policies = of_kind(documents, "gateway.envoyproxy.io", "SecurityPolicy");
    let has_several = policies.len() > 1;
    let mut all = Vec::new();
    for policy in policies {
        form::check(policy, &form::SECURITY_POLICY, notes);
        let name = policy.text_at(&["metadata", "name"]).unwrap_or_default();
        let title = has_several.then(|| format!("SecurityPolicy {name}"));
        all.extend(one(policy, notes).map(|converted| Converted { title, ..converted }));
    }
    all
}

fn one(policy: &Node, notes: &mut Notes) -> Option<Converted> {
    let spec = policy.get("spec")?;
    // Other filters, which decide independently of this one.
    const OTHERS: [&str; 6] = ["cors", "csrf", "basicAuth", "apiKeyAuth", "oidc", "extAuth"];
    for (key, _) in spec
        .members()
        .iter()
        .filter(|(key, _)| OTHERS.contains(&&*key.name))
    {
        notes.look(
            &key.place,
            format!(
                "`{}` stays in the SecurityPolicy: remove only `jwt` and `authorization` from it",
                key.name
            ),
        );
    }
    if let Some(place) = spec.key_place("mergeType") {
        notes.lost(
            &place,
            "Envoy Gateway merges this policy with that of its Gateway: write the merged policy, without `mergeType`, and convert it",
        );
    }
    let Some(jwt) = spec.get("jwt") else {
        notes.lost(&policy.place, "it has no `jwt`, so there are no issuers");
        return None;
    };
    let is_optional = jwt.get("optional").and_then(Node::bool) == Some(true);
    let fail_open = jwt
        .get("failOpen")
        .filter(|fail_open| fail_open.bool() == Some(true));
    let mut providers: Vec<(String, Node)> = Vec::new();
    let mut clusters: Vec<(String, String)> = Vec::new();
    for provider in jwt.get("providers").map_or(&[][..], Node::elements) {
        let name = provider.text_at(&["name"]).unwrap_or("provider").to_owned();
        let node = translate(provider, &name, &mut clusters, notes);
        providers.push((name, node));
    }
    let names: Vec<String> = providers.iter().map(|(name, _)| name.clone()).collect();
    if names.is_empty() {
        notes.lost(&jwt.place, "it has no providers");
        return None;
    }
    let rules = match spec.get("authorization") {
        None => {
            let requires = match fail_open {
                Some(place) => any_of_failing(&names, &place.place),
                None => any_of(&names, is_optional),
            };
            list(vec![map(vec![
                ("match", every_request()),
                ("requires", requires),
            ])])
        }
        Some(authorization) => {
            if let Some(fail_open) = fail_open {
                notes.lost(
                    &fail_open.place,
                    "with `failOpen`, these rules treat a request with a bad token as one without a token; this filter refuses a bad token before it reads conditions",
                );
            }
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
        "attach the filter to the same targets with an EnvoyExtensionPolicy, see envoy/gateway; then remove this policy",
    );
    let members = providers
        .iter()
        .map(|(name, node)| (name.as_str(), node.clone()))
        .collect();
    Some(Converted {
        config: map(vec![("providers", map(members)), ("rules", rules)]),
        document: None,
        title: None,
        is_within_another: false,
    })
}

/// A token of one of these providers, no token, or a token that none of them accepts.
fn any_of_failing(names: &[String], place: &Place) -> Node {
    let mut all: Vec<Node> = names.iter().map(|name| provider_name(name)).collect();
    let nothing = Node::new(Value::Map(Vec::new()), place.clone());
    all.push(map(vec![("allow_missing_or_failed", nothing)]));
    map(vec![("requires_any", map(vec![("requirements", list(all))]))])
}

/// The cluster for the keys at this host. Each host needs its own; the first is named as in
/// envoy/gateway/issuer.yaml.
fn cluster(url: &str, name: &str, clusters: &mut Vec<(String, String)>) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = rest.split('/').next().unwrap_or_default().to_owned();
    if let Some((_, cluster)) = clusters.iter().find(|(known, _)| *known == host) {
        return cluster.clone();
    }
    let cluster = match clusters.is_empty() {
        true => "idp".to_owned(),
        false => format!("idp-{name}"),
    };
    clusters.push((host, cluster.clone()));
    cluster
}

fn translate(provider: &Node, name: &str, clusters: &mut Vec<(String, String)>, notes: &mut Notes) -> Node {
    let place = provider
        .get("name")
        .map_or(provider.place.clone(), |name| name.place.clone());
    let mut node = map(Vec::new());
    match provider.get("issuer").filter(|issuer| issuer.text() != Some("")) {
        Some(issuer) => set(&mut node, "issuer", issuer.clone()),
        None => {
            notes.lost(&place, "without `issuer`, Envoy Gateway accepts tokens of any issuer that this key signs; write the `iss` of the tokens");
            set(
                &mut node,
                "issuer",
                text("https://write-the-issuer.invalid", &(0..0)),
            );
        }
    }
    set_audiences(&mut node, provider, &place, notes);
    if let Some(remote) = provider.get("remoteJWKS") {
        let uri = remote
            .get("uri")
            .cloned()
            .unwrap_or_else(|| text("", &remote.place));
        let cluster = cluster(uri.text().unwrap_or_default(), name, clusters);
        notes.look(
            &uri.place,
            format!(
                "Envoy needs a cluster `{cluster}` that connects to this host with TLS: see envoy/gateway/issuer.yaml"
            ),
        );
        for settings in ["backendRef", "backendRefs", "backendSettings"] {
            if let Some(place) = remote.key_place(settings) {
                notes.look(
                    &place,
                    format!(
                        "`{settings}` describes the connection to the issuer: configure it in the cluster `{cluster}`"
                    ),
                );
            }
        }
        let mut keys = map(vec![(
            "http_uri",
            map(vec![("uri", uri), ("cluster", text(cluster, &(0..0)))]),
        )]);
        if let Some(duration) = remote.get("cacheDuration") {
            set(&mut keys, "cache_duration", duration.clone());
        }
        if let Some(duration) = remote.get("failedRefetchDuration") {
            let fetch = map(vec![("failed_refetch_duration", duration.clone())]);
            set(&mut keys, "async_fetch", fetch);
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
                    "a module cannot read a ConfigMap: write the keys into `inline`",
                );
                set(&mut node, "remote_jwks", keys_to_write());
            }
        }
    } else {
        let issuer = provider.text_at(&["issuer"]).unwrap_or_default();
        let cluster = cluster(issuer, name, clusters);
        notes.look(
            &place,
            format!("Envoy needs a cluster `{cluster}` that connects to the issuer with TLS: see envoy/gateway/issuer.yaml"),
        );
        set(
            &mut node,
            "discovery",
            map(vec![("cluster", text(cluster, &(0..0)))]),
        );
    }
    notes.look(
        &place,
        "Envoy Gateway accepts tokens that never expire; `require_expiration: false` keeps this",
    );
    set(&mut node, "require_expiration", flag(false));
    match provider.get("extractFrom") {
        None => default_locations(&mut node),
        Some(from) => {
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
    without_repeats(&mut node);
    // Envoy Gateway leaves the token in the request.
    set(&mut node, "forward", flag(true));
    if let Some(claims) = provider.get("claimToHeaders") {
        set(&mut node, "claim_to_headers", claims_to_headers(claims));
    }
    if let Some(recompute) = provider.get("recomputeRoute") {
        set(&mut node, "clear_route_cache", recompute.clone());
    }
    node
}

/// Rules of which the first that matches a client decides.
fn authorize(authorization: &Node, providers: &Providers, is_optional: bool, notes: &mut Notes) -> Node {
    // Without `optional`, Envoy Gateway refuses a request without a token before it evaluates a rule.
    let open = if is_optional { Need::OPTIONAL } else { Need::TOKEN };
    let otherwise = match authorization.text_at(&["defaultAction"]).unwrap_or("Deny") {
        "Allow" => open.clone(),
        _ => Need::never(),
    };
    let mut grants = Vec::new();
    for rule in authorization.get("rules").map_or(&[][..], Node::elements) {
        let mut need = open.clone();
        let mut matches = vec![every_request()];
        let nothing = map(Vec::new());
        let principal = rule.get("principal").unwrap_or(&nothing);
        for (key, part) in principal.members() {
            match &*key.name {
                "jwt" => {
                    let name = part.text_at(&["provider"]).unwrap_or_default().to_owned();
                    if !providers.iter().any(|(known, _)| *known == name) {
                        let place = part.get("provider").map_or(&part.place, |node| &node.place);
                        notes.lost(
                            place,
                            format!("`jwt.providers` has no `{name}`, so no token meets this rule; write the name of a provider"),
                        );
                    }
                    need = need.and(&Need::one_of(vec![Test::Provider(name, true)]));
                    for scope in part.get("scopes").map_or(&[][..], Node::elements) {
                        need = need.and(&Need::one_of(scope_tests(&SCOPES, scope)));
                    }
                    for claim in part.get("claims").map_or(&[][..], Node::elements) {
                        let values = claim.get("values").cloned().unwrap_or_else(|| list(Vec::new()));
                        let name = claim
                            .get("name")
                            .cloned()
                            .unwrap_or_else(|| text("", &claim.place));
                        let value_type = claim.text_at(&["valueType"]);
                        if name.text().is_some_and(|name| SCOPES.contains(&name))
                            && value_type != Some("StringArray")
                        {
                            notes.look(
                                &name.place,
                                "Envoy Gateway splits this claim into a list, so a String never matches it; write it under `scopes`",
                            );
                        }
                        for clause in claim_clauses(&name, value_type, &values) {
                            need = need.and(&Need::one_of(clause));
                        }
                    }
                }
                "headers" => {
                    for header in part.elements() {
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
                    format!("`{name}` does not concern tokens; keep this in a SecurityPolicy"),
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
        if let Some(path) = rule.at(&["operation", "path"]) {
            let mut part = vec![path_match(path)];
            if path.get("invert").and_then(Node::bool) == Some(true) {
                let mut outside = every_request();
                set(&mut outside, "not", list(part));
                part = vec![outside];
            }
            matches = all_of(&matches, &part);
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

/// The claims that Envoy Gateway splits at spaces.
const SCOPES: [&str; 2] = ["scope", "scp"];

/// One of these claims contains the scope.
fn scope_tests(claims: &[&str], scope: &Node) -> Vec<Test> {
    let tests = claims.iter().map(|claim| Test::Scope {
        claim: (*claim).to_owned(),
        value: scope.clone(),
        holds: true,
    });
    tests.collect()
}

/// The path of an operation.
fn path_match(path: &Node) -> Node {
    let value = path
        .get("value")
        .cloned()
        .unwrap_or_else(|| text("/", &path.place));
    let found = value.text().unwrap_or_default();
    match path.text_at(&["type"]).unwrap_or("PathPrefix") {
        "Exact" => map(vec![("path", value)]),
        // It is matched against the path with its query.
        "RegularExpression" => {
            let pattern = map(vec![("safe_regex", map(vec![("regex", value.clone())]))]);
            let test = map(vec![
                ("name", text(":path", &value.place)),
                ("string_match", pattern),
            ]);
            let mut matcher = every_request();
            set(&mut matcher, "headers", list(vec![test]));
            matcher
        }
        _ => match found.trim_end_matches('/') {
            "" => every_request(),
            prefix => map(vec![("path_separated_prefix", text(prefix, &value.place))]),
        },
    }
}

/// A claim must be one of these texts, or with `StringArray` a list that contains one of them. A list is not
/// a text, and a text is not a list.
fn claim_clauses(name: &Node, value_type: Option<&str>, values: &Node) -> Vec<Vec<Test>> {
    let found = name.text().unwrap_or_default();
    if SCOPES.contains(&found) {
        return vec![match value_type {
            Some("StringArray") => {
                let tests = values.elements().iter();
                tests.flat_map(|value| scope_tests(&[found], value)).collect()
            }
            _ => Vec::new(),
        }];
    }
    // Each dot leads into an object, also where a claim has one in its name.
    let claim = match found.contains('.') {
        true => {
            let keys = found.split('.');
            let keys = keys.map(|key| map(vec![("key", text(key, &name.place))]));
            ("claim_path", list(keys.collect()))
        }
        false => ("claim_name", name.clone()),
    };
    let test = |test: &'static str, value: Node, inverted: bool| {
        let mut members = vec![claim.clone(), (test, value)];
        if inverted {
            members.push(("invert", flag(true)));
        }
        Test::Claim(map(members))
    };
    let in_list = |inverted: bool| {
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
