//! Istio's RequestAuthentication and AuthorizationPolicy.

use std::rc::Rc;

use super::grants::{self, Grant, Need, Providers, Test, all_of, every_request, quote};
use super::{Converted, Notes, default_locations, flag, list, map, set, text};
use crate::source::{Node, Place};

/// Every resource of this kind, those in a list included.
pub(super) fn of_kind<'d>(documents: &'d [Rc<Node>], kind: &str) -> Vec<&'d Node> {
    let mut all = Vec::new();
    for document in documents {
        let items = document.get("items").map_or(&[][..], Node::elements);
        all.extend(
            std::iter::once(&**document)
                .chain(items)
                .filter(|node| node.text_at(&["kind"]) == Some(kind)),
        );
    }
    all
}

pub(super) fn convert(documents: &[Rc<Node>], notes: &mut Notes) -> Option<Converted> {
    let authentications = of_kind(documents, "RequestAuthentication");
    let policies = of_kind(documents, "AuthorizationPolicy");
    if authentications.is_empty() && policies.is_empty() {
        return None;
    }
    if authentications.is_empty() {
        notes.lost(
            &policies[0].place,
            "there is no RequestAuthentication, so there are no issuers",
        );
        return None;
    }
    let target = |node: &Node| {
        let spec = node.get("spec").cloned().unwrap_or_else(|| map(Vec::new()));
        let part = |name: &str| spec.get(name).map(Node::to_json).unwrap_or_default();
        (
            node.text_at(&["metadata", "namespace"])
                .unwrap_or_default()
                .to_owned(),
            part("selector") + &part("targetRef") + &part("targetRefs"),
        )
    };
    let first = target(authentications[0]);
    for other in authentications.iter().skip(1).chain(&policies) {
        if target(other) != first {
            notes.lost(
                &other.place,
                "it is for other workloads than the first RequestAuthentication; convert those for the same workloads together",
            );
        }
    }
    let mut providers: Vec<(String, Node, String)> = Vec::new();
    for authentication in &authentications {
        let Some(spec) = authentication.get("spec") else {
            continue;
        };
        notes.only(
            spec,
            &["selector", "targetRef", "targetRefs", "jwtRules"],
            "RequestAuthentication",
        );
        for rule in spec.get("jwtRules").map_or(&[][..], Node::elements) {
            let issuer = rule.text_at(&["issuer"]).unwrap_or_default().to_owned();
            let base = super::issuer_name(&issuer);
            let name = super::free_name(&base, |name| providers.iter().any(|(known, ..)| known == name));
            let node = provider(rule, &issuer, notes);
            providers.push((name, node, issuer));
        }
    }
    if providers.is_empty() {
        notes.lost(&authentications[0].place, "it has no jwtRules");
        return None;
    }
    let issuers: Vec<(String, String)> = providers
        .iter()
        .map(|(name, _, issuer)| (name.clone(), issuer.clone()))
        .collect();
    let members = providers
        .iter()
        .map(|(name, node, _)| (name.as_str(), node.clone()))
        .collect();
    let rules = policy(&policies, &issuers, notes);
    notes.look(
        &authentications[0].place,
        "load the filter by a WasmPlugin for the same workloads, see envoy/istio; then take these resources out",
    );
    Some(Converted {
        config: map(vec![("providers", map(members)), ("rules", rules)]),
        document: None,
    })
}

fn provider(rule: &Node, issuer: &str, notes: &mut Notes) -> Node {
    notes.only(
        rule,
        &[
            "issuer",
            "audiences",
            "jwksUri",
            "jwks_uri",
            "jwks",
            "fromHeaders",
            "fromParams",
            "fromCookies",
            "outputPayloadToHeader",
            "outputClaimToHeaders",
            "forwardOriginalToken",
            "timeout",
        ],
        "jwtRules",
    );
    let place = rule
        .get("issuer")
        .map_or(rule.place.clone(), |node| node.place.clone());
    let mut node = map(vec![("issuer", text(issuer, &place))]);
    match rule.get("audiences").filter(|all| !all.elements().is_empty()) {
        Some(audiences) => set(&mut node, "audiences", audiences.clone()),
        None => {
            notes.look(
                &place,
                "without `audiences` tokens for any service are accepted; `[\"*\"]` says so now",
            );
            set(&mut node, "audiences", list(vec![text("*", &(0..0))]));
        }
    }
    if let Some(jwks) = rule.get("jwks") {
        set(
            &mut node,
            "local_jwks",
            map(vec![("inline_string", jwks.clone())]),
        );
    } else if let Some(uri) = rule.get("jwksUri") {
        let cluster = super::cluster_of(uri.text().unwrap_or_default());
        notes.look(
            &uri.place,
            format!(
                "Envoy needs the cluster `{cluster}`: a ServiceEntry with TLS, as in envoy/istio/issuer.yaml"
            ),
        );
        let mut http = map(vec![("uri", uri.clone()), ("cluster", text(cluster, &(0..0)))]);
        if let Some(timeout) = rule.get("timeout") {
            set(&mut http, "timeout", timeout.clone());
        }
        set(&mut node, "remote_jwks", map(vec![("http_uri", http)]));
    } else {
        let cluster = super::cluster_of(issuer);
        notes.look(
            &place,
            format!(
                "Envoy needs the cluster `{cluster}`: a ServiceEntry with TLS, as in envoy/istio/issuer.yaml"
            ),
        );
        set(
            &mut node,
            "discovery",
            map(vec![("cluster", text(cluster, &(0..0)))]),
        );
    }
    notes.look(
        &place,
        "Istio accepts tokens that never expire; `require_expiration: false` says so now",
    );
    set(&mut node, "require_expiration", flag(false));
    let mut has_locations = false;
    if let Some(headers) = rule.get("fromHeaders").filter(|all| !all.elements().is_empty()) {
        has_locations = true;
        let all = headers.elements().iter().map(|header| {
            let mut members = vec![(
                "name",
                header
                    .get("name")
                    .cloned()
                    .unwrap_or_else(|| text("", &header.place)),
            )];
            if let Some(prefix) = header.get("prefix") {
                members.push(("value_prefix", prefix.clone()));
            }
            map(members)
        });
        set(&mut node, "from_headers", list(all.collect()));
    }
    for (from, to) in [("fromParams", "from_params"), ("fromCookies", "from_cookies")] {
        if let Some(all) = rule.get(from).filter(|all| !all.elements().is_empty()) {
            has_locations = true;
            set(&mut node, to, all.clone());
        }
    }
    if !has_locations {
        default_locations(&mut node);
    }
    if let Some(forward) = rule.get("forwardOriginalToken") {
        set(&mut node, "forward", forward.clone());
    }
    if let Some(header) = rule.get("outputPayloadToHeader") {
        set(&mut node, "forward_payload_header", header.clone());
    }
    if let Some(claims) = rule.get("outputClaimToHeaders") {
        set(&mut node, "claim_to_headers", super::claims_to_headers(claims));
    }
    node
}

/// The permissions of the policies: denials come first. If any policy allows, one of its rules must.
fn policy(policies: &[&Node], issuers: &Providers, notes: &mut Notes) -> Node {
    let mut denials: Vec<Grant> = Vec::new();
    let mut grants: Vec<Grant> = Vec::new();
    let mut otherwise = Need::OPTIONAL;
    for policy in policies {
        let nothing = map(Vec::new());
        let spec = policy.get("spec").unwrap_or(&nothing);
        notes.only(
            spec,
            &["selector", "targetRef", "targetRefs", "action", "rules"],
            "AuthorizationPolicy",
        );
        let rules = spec.get("rules").map_or(&[][..], Node::elements);
        match spec.text_at(&["action"]).unwrap_or("ALLOW") {
            "ALLOW" => {
                otherwise = Need::never();
                grants.extend(rules.iter().filter_map(|rule| grant(rule, true, issuers, notes)));
            }
            "DENY" => denials.extend(rules.iter().filter_map(|rule| grant(rule, false, issuers, notes))),
            "AUDIT" => notes.look(&policy.place, "AUDIT decides nothing, and is left out"),
            action => notes.lost(
                &policy.place,
                format!("the action {action} asks another service; keep this policy in Istio"),
            ),
        }
    }
    denials.extend(grants);
    grants::rules(&denials, issuers, &otherwise, notes)
}

/// A rule of a policy. `None`: no request matches it.
fn grant(rule: &Node, allows: bool, issuers: &Providers, notes: &mut Notes) -> Option<Grant> {
    notes.only(rule, &["from", "to", "when"], "a rule");
    let mut need = Need::OPTIONAL;
    let sources = rule.get("from").map_or(&[][..], Node::elements);
    if !sources.is_empty() {
        let mut any = Need::never();
        for one in sources {
            let nothing = map(Vec::new());
            let source = one.get("source").unwrap_or(&nothing);
            let mut of_source = Need::OPTIONAL;
            for (key, values) in source.members() {
                match &*key.name {
                    "requestPrincipals" => of_source = of_source.and(&principals(values, issuers, notes)),
                    "notRequestPrincipals" => {
                        of_source = of_source.and(&principals(values, issuers, notes).negated());
                    }
                    name => notes.lost(
                        &key.place,
                        format!("`{name}` is not about tokens; keep this in an AuthorizationPolicy of Istio"),
                    ),
                }
            }
            any = any.or(&of_source);
        }
        need = any;
    }
    let mut matches = operations(rule, notes);
    for condition in rule.get("when").map_or(&[][..], Node::elements) {
        let key = condition.text_at(&["key"]).unwrap_or_default();
        let place = condition
            .get("key")
            .map_or(condition.place.clone(), |node| node.place.clone());
        notes.only(condition, &["key", "values", "notValues"], "a condition");
        let lists = [("values", true), ("notValues", false)];
        for (name, holds) in lists {
            let Some(values) = condition.get(name) else {
                continue;
            };
            let claim = match key {
                "request.auth.audiences" => Some(vec!["aud".to_owned()]),
                "request.auth.presenter" => Some(vec!["azp".to_owned()]),
                key => claim_path(key),
            };
            if let Some(path) = claim {
                let tests = claim_tests(&path, &place, values);
                let found = Need::one_of(tests);
                need = need.and(&if holds { found } else { found.negated() });
            } else if key == "request.auth.principal" {
                let found = principals(values, issuers, notes);
                need = need.and(&if holds { found } else { found.negated() });
            } else if let Some(header) = key
                .strip_prefix("request.headers[")
                .and_then(|rest| rest.strip_suffix(']'))
            {
                let with_value = values.elements().iter().map(|value| {
                    let test = map(vec![
                        ("name", text(header.to_ascii_lowercase(), &place)),
                        ("string_match", string_match(value)),
                    ]);
                    set_of(every_request(), "headers", list(vec![test]))
                });
                let with_value: Vec<Node> = with_value.collect();
                matches = match holds {
                    true => all_of(&matches, &with_value),
                    false => all_of(&matches, &[set_of(every_request(), "not", list(with_value))]),
                };
            } else {
                notes.lost(
                    &place,
                    format!("`{key}` is not about tokens; keep this in an AuthorizationPolicy of Istio"),
                );
            }
        }
    }
    (!matches.is_empty()).then(|| Grant {
        matches,
        need,
        allows,
        place: rule.place.clone(),
    })
}

fn set_of(mut node: Node, name: &str, value: Node) -> Node {
    set(&mut node, name, value);
    node
}

/// `request.auth.claims[a][b]`.
fn claim_path(key: &str) -> Option<Vec<String>> {
    let rest = key.strip_prefix("request.auth.claims[")?.strip_suffix(']')?;
    Some(rest.split("][").map(str::to_owned).collect())
}

/// A text of Istio: `*`, `abc*`, `*abc` or `abc`.
fn string_match(value: &Node) -> Node {
    let found = value.text().unwrap_or_default();
    match (found.strip_prefix('*'), found.strip_suffix('*')) {
        (Some(""), _) => map(vec![(
            "safe_regex",
            map(vec![("regex", text(".+", &value.place))]),
        )]),
        (Some(suffix), _) => map(vec![("suffix", text(suffix, &value.place))]),
        (None, Some(prefix)) => map(vec![("prefix", text(prefix, &value.place))]),
        (None, None) => map(vec![("exact", value.clone())]),
    }
}

/// Tests of a claim, one for each value.
fn claim_tests(path: &[String], place: &Place, values: &Node) -> Vec<Test> {
    let claim = || match path {
        [one] if !one.contains('.') => ("claim_name", text(one.clone(), place)),
        path => {
            let keys = path
                .iter()
                .map(|key| map(vec![("key", text(key.clone(), place))]));
            ("claim_path", list(keys.collect()))
        }
    };
    // Istio splits these two at spaces.
    let scopes = match path {
        [one] if one == "scope" || one == "permission" => Some(one),
        _ => None,
    };
    let mut exact = Vec::new();
    let mut all = Vec::new();
    for value in values.elements() {
        let found = value.text().unwrap_or_default();
        let mut add = |name: &str, value: Node| all.push(Test::Claim(map(vec![claim(), (name, value)])));
        match (found.strip_prefix('*'), found.strip_suffix('*')) {
            (Some(""), _) => add("exists", flag(true)),
            // One of the scopes ends with it, or begins with it.
            (Some(suffix), _) if scopes.is_some() => add(
                "regex",
                text(format!("(.*{0})|(.*{0} .*)", quote(suffix)), &value.place),
            ),
            (None, Some(prefix)) if scopes.is_some() => {
                add("regex", text(format!("(.* )?{}.*", quote(prefix)), &value.place));
            }
            (Some(suffix), _) => add("suffix", text(suffix, &value.place)),
            (None, Some(prefix)) => add("prefix", text(prefix, &value.place)),
            (None, None) => match scopes {
                Some(claim) => all.push(Test::Scope {
                    claim: claim.clone(),
                    value: value.clone(),
                    holds: true,
                }),
                None => exact.push(value.clone()),
            },
        }
    }
    if !exact.is_empty() {
        all.push(Test::Claim(map(vec![claim(), ("any_of", list(exact))])));
    }
    all
}

/// `<issuer>/<subject>`, with a wildcard at one end.
fn principals(values: &Node, issuers: &Providers, notes: &mut Notes) -> Need {
    let mut any = Need::never();
    for value in values.elements() {
        let found = value.text().unwrap_or_default();
        any = any.or(&principal(found, value, issuers).unwrap_or_else(|| {
            notes.lost(
                &value.place,
                "no RequestAuthentication here has this issuer, or the wildcard is within the issuer",
            );
            Need::never()
        }));
    }
    any
}

fn principal(found: &str, value: &Node, issuers: &Providers) -> Option<Need> {
    let subject = |kind: &str, wanted: &str| {
        let wanted = text(wanted, &value.place);
        Test::Claim(map(vec![
            ("claim_name", text("sub", &value.place)),
            match kind {
                "any_of" => (kind, list(vec![wanted])),
                _ => (kind, wanted),
            },
        ]))
    };
    // Istio's principal is issuer and subject: a token without a subject gives none.
    let has_subject = Need::one_of(vec![Test::Claim(map(vec![
        ("claim_name", text("sub", &value.place)),
        ("exists", flag(true)),
    ]))]);
    if found == "*" {
        return Some(has_subject);
    }
    if let Some(suffix) = found.strip_prefix('*') {
        return match suffix.strip_prefix('/') {
            _ if !suffix.contains('/') => Some(Need::one_of(vec![subject("suffix", suffix)])),
            // The whole subject, or the end of a subject with a slash.
            Some(rest) if !rest.contains('/') => Some(Need::one_of(vec![
                subject("any_of", rest),
                subject("suffix", suffix),
            ])),
            _ => None,
        };
    }
    let mut any: Option<Need> = None;
    for (name, issuer) in issuers {
        let of_issuer = Need::one_of(vec![Test::Provider(name.clone(), true)]);
        let start = format!("{issuer}/");
        let one = match (found.strip_prefix(&start), found.strip_suffix('*')) {
            (_, Some(prefix)) if start.starts_with(prefix) => of_issuer.and(&has_subject),
            (Some(rest), Some(_)) => {
                let rest = rest.strip_suffix('*').unwrap_or(rest);
                of_issuer.and(&Need::one_of(vec![subject("prefix", rest)]))
            }
            (Some(rest), None) => of_issuer.and(&Need::one_of(vec![subject("any_of", rest)])),
            (None, _) => continue,
        };
        any = Some(any.map_or(one.clone(), |any| any.or(&one)));
    }
    any
}

/// The requests to which the operations of a rule apply.
fn operations(rule: &Node, notes: &mut Notes) -> Vec<Node> {
    let to = rule.get("to").map_or(&[][..], Node::elements);
    if to.is_empty() {
        let mut matcher = every_request();
        matcher.place = rule.place.clone();
        return vec![matcher];
    }
    let mut all = Vec::new();
    for operation in to {
        let nothing = map(Vec::new());
        let operation = operation.get("operation").unwrap_or(&nothing);
        let mut matcher = every_request();
        matcher.place = rule.place.clone();
        let mut matches = vec![matcher];
        for (key, values) in operation.members() {
            let (name, holds) = match &*key.name {
                "paths" => ("paths", true),
                "notPaths" => ("paths", false),
                "methods" => ("methods", true),
                "notMethods" => ("methods", false),
                "hosts" => ("hosts", true),
                "notHosts" => ("hosts", false),
                name => {
                    notes.lost(
                        &key.place,
                        format!("`{name}` is not in a request; keep this in an AuthorizationPolicy of Istio"),
                    );
                    continue;
                }
            };
            if values.elements().is_empty() {
                continue;
            }
            let is_any = values.elements().iter().any(|value| value.text() == Some("*"));
            let part = match name {
                _ if is_any => vec![every_request()],
                "paths" => values
                    .elements()
                    .iter()
                    .map(|path| map(vec![path_match(path)]))
                    .collect(),
                name => {
                    let is_host_with_any_port =
                        |value: &Node| value.text().is_some_and(|text| !text.contains(':'));
                    if name == "hosts" && values.elements().iter().any(is_host_with_any_port) {
                        notes.look(
                            &values.place,
                            "Istio compares a host with its port; of this filter, a host without a port is for every port",
                        );
                    }
                    vec![set_of(every_request(), name, values.clone())]
                }
            };
            matches = match holds {
                true => all_of(&matches, &part),
                // No request remains.
                false if is_any => Vec::new(),
                false => all_of(&matches, &[set_of(every_request(), "not", list(part))]),
            };
        }
        all.extend(matches);
    }
    all
}

/// A path of Istio: exact, `/a*`, `*/a`, `*`, or a template with `{*}` and `{**}`.
fn path_match(path: &Node) -> (&'static str, Node) {
    let found = path.text().unwrap_or_default();
    let pattern = |regex: String| ("safe_regex", map(vec![("regex", text(regex, &path.place))]));
    if found.contains("{*}") || found.contains("{**}") {
        let parts: Vec<String> = found
            .split("{**}")
            .map(|part| part.split("{*}").map(quote).collect::<Vec<_>>().join("[^/]+"))
            .collect();
        return pattern(parts.join(".*"));
    }
    match (found.strip_prefix('*'), found.strip_suffix('*')) {
        (Some(""), _) => ("prefix", text("/", &path.place)),
        (Some(suffix), _) => pattern(format!(".*{}", quote(suffix))),
        (None, Some(prefix)) => ("prefix", text(prefix, &path.place)),
        (None, None) => ("path", path.clone()),
    }
}
