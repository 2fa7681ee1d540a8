//! Istio's RequestAuthentication and AuthorizationPolicy.

mod operations;
mod principals;
mod workloads;

use std::rc::Rc;

use self::operations::{operations, set_of, with_header};
use self::principals::principals;
use self::workloads::Workloads;

use super::form;
use super::grants::{self, Grant, Need, Providers, Test, all_of, every_request, quote};
use super::notes::{Converted, Notes};
use super::provider::{
    claims_to_headers, cluster_of, default_locations, free_name, issuer_name, keys_to_write, set_audiences,
    without_repeats,
};
use super::tree::{flag, list, map, set, text};
use crate::source::{Node, Place};

/// The API group of both kinds.
const GROUP: &str = "security.istio.io";

/// Every resource of this kind of an API group, those in a list included. Other products have kinds of the
/// same name.
pub(super) fn of_kind<'d>(documents: &'d [Rc<Node>], group: &str, kind: &str) -> Vec<&'d Node> {
    let is_of_group = |node: &Node| match node.text_at(&["apiVersion"]) {
        Some(version) => version.split('/').next() == Some(group),
        // A part of a file.
        None => true,
    };
    let mut all = Vec::new();
    for document in documents {
        let items = document.get("items").map_or(&[][..], Node::elements);
        all.extend(
            std::iter::once(&**document)
                .chain(items)
                .filter(|node| node.text_at(&["kind"]) == Some(kind) && is_of_group(node)),
        );
    }
    all
}

/// A configuration for each set of workloads that has policies of its own.
pub(super) fn convert(documents: &[Rc<Node>], notes: &mut Notes) -> Vec<Converted> {
    let authentications = of_kind(documents, GROUP, "RequestAuthentication");
    let policies = of_kind(documents, GROUP, "AuthorizationPolicy");
    for (resources, form) in [
        (&authentications, &form::REQUEST_AUTHENTICATION),
        (&policies, &form::AUTHORIZATION_POLICY),
    ] {
        for resource in resources {
            form::check(resource, form, notes);
        }
    }
    let Some(first) = authentications.first() else {
        if let Some(policy) = policies.first() {
            notes.lost(
                &policy.place,
                "without a RequestAuthentication there is no issuer; name the file with the RequestAuthentication too",
            );
        }
        return Vec::new();
    };
    let mut groups: Vec<Workloads> = Vec::new();
    for resource in authentications.iter().chain(&policies) {
        let workloads = Workloads::of(resource);
        if !groups.contains(&workloads) {
            groups.push(workloads);
        }
    }
    let mut all = Vec::new();
    let has_several = groups.len() > 1;
    for group in &groups {
        let here = |resources: &[&Node]| -> Vec<Rc<Node>> {
            let applying = resources.iter().filter(|one| Workloads::of(one).contain(group));
            applying.map(|one| Rc::new((**one).clone())).collect()
        };
        let own = authentications
            .iter()
            .chain(&policies)
            .find(|one| Workloads::of(one) == *group)
            .unwrap_or(first);
        let (authentications, here) = (here(&authentications), here(&policies));
        if authentications.is_empty() {
            notes.look(
                &own.place,
                format!("no RequestAuthentication in these files selects these workloads ({group}): keep this policy in Istio"),
            );
            continue;
        }
        for other in groups.iter().filter(|other| *other != group) {
            if !other.contain(group) && !group.contain(other) && group.may_overlap(other) {
                notes.look(
                    &own.place,
                    format!("Istio applies the policies of both to a workload that is in ({group}) and in ({other}); this filter needs one configuration for it"),
                );
            }
        }
        let is_wide = groups.iter().any(|other| other != group && group.contain(other));
        if is_wide {
            notes.look(
                &own.place,
                format!("a WasmPlugin for ({group}) also runs in workloads for which this output has a separate configuration; select the others by a label"),
            );
        }
        let authentications: Vec<&Node> = authentications.iter().map(|one| &**one).collect();
        let here: Vec<&Node> = here.iter().map(|one| &**one).collect();
        if let Some(mut converted) = one(&authentications, &here, notes) {
            converted.title = has_several.then(|| group.to_string());
            all.push(converted);
        }
    }
    notes.look(
        &first.place,
        "load the filter with a WasmPlugin for the same workloads, see envoy/istio; then remove these resources",
    );
    all
}

/// The configuration for the workloads to which all of these apply.
fn one(authentications: &[&Node], policies: &[&Node], notes: &mut Notes) -> Option<Converted> {
    let mut providers: Vec<(String, Node, String)> = Vec::new();
    // Istio splits these two at spaces, and those that every issuer's rule names.
    let mut split = vec!["scope".to_owned(), "permission".to_owned()];
    let mut more: Vec<(Vec<String>, Place)> = Vec::new();
    for authentication in authentications {
        let Some(spec) = authentication.get("spec") else {
            continue;
        };
        for rule in spec.get("jwtRules").map_or(&[][..], Node::elements) {
            let issuer = rule.text_at(&["issuer"]).unwrap_or_default().to_owned();
            let base = issuer_name(&issuer);
            let name = free_name(&base, |name| providers.iter().any(|(known, ..)| known == name));
            let node = provider(rule, &issuer, notes);
            providers.push((name, node, issuer));
            let names = rule.get("spaceDelimitedClaims");
            let place = names.map_or(rule.place.clone(), |names| names.place.clone());
            let names = names.map_or(&[][..], Node::elements).iter();
            more.push((names.filter_map(Node::text).map(str::to_owned).collect(), place));
        }
    }
    if providers.is_empty() {
        let place = authentications.first().map_or(0..0, |first| first.place.clone());
        notes.lost(&place, "it has no jwtRules");
        return None;
    }
    for (names, place) in &more {
        for name in names {
            if !more.iter().all(|(others, _)| others.contains(name)) {
                notes.lost(
                    place,
                    format!("Istio splits `{name}` at spaces only for some issuers; list it in `spaceDelimitedClaims` of every rule, or of no rule"),
                );
            } else if !split.contains(name) {
                split.push(name.clone());
            }
        }
    }
    let issuers: Vec<(String, String)> = providers
        .iter()
        .map(|(name, _, issuer)| (name.clone(), issuer.clone()))
        .collect();
    let members = providers
        .iter()
        .map(|(name, node, _)| (name.as_str(), node.clone()))
        .collect();
    let rules = policy(policies, &issuers, &split, notes);
    Some(Converted {
        config: map(vec![("providers", map(members)), ("rules", rules)]),
        document: None,
        title: None,
        is_within_another: false,
    })
}

fn provider(rule: &Node, issuer: &str, notes: &mut Notes) -> Node {
    let place = rule
        .get("issuer")
        .map_or(rule.place.clone(), |node| node.place.clone());
    let mut node = map(vec![("issuer", text(issuer, &place))]);
    if issuer.is_empty() {
        notes.lost(
            &place,
            "without `issuer`, Istio accepts tokens of any issuer that this key signs; write the `iss` of the tokens",
        );
        set(
            &mut node,
            "issuer",
            text("https://write-the-issuer.invalid", &(0..0)),
        );
    }
    set_audiences(&mut node, rule, &place, notes);
    if let Some(jwks) = rule.get("jwks") {
        set(
            &mut node,
            "local_jwks",
            map(vec![("inline_string", jwks.clone())]),
        );
    // Istio takes both spellings of this one field.
    } else if let Some(uri) = rule.get("jwksUri").or_else(|| rule.get("jwks_uri")) {
        let cluster = cluster_of(uri.text().unwrap_or_default());
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
    } else if !issuer.starts_with("https://") && !issuer.starts_with("http://") {
        notes.lost(
            &place,
            "the rule has neither `jwks` nor `jwksUri`, and Istio cannot find metadata because the issuer is not a URL; Istio refuses every token of this issuer",
        );
        // A place for the keys that the filter accepts, so that this is the only message.
        set(&mut node, "remote_jwks", keys_to_write());
    } else {
        let cluster = cluster_of(issuer);
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
        "Istio accepts tokens that never expire; `require_expiration: false` keeps this",
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
    without_repeats(&mut node);
    if let Some(forward) = rule.get("forwardOriginalToken") {
        set(&mut node, "forward", forward.clone());
    }
    if let Some(header) = rule.get("outputPayloadToHeader") {
        set(&mut node, "forward_payload_header", header.clone());
    }
    if let Some(claims) = rule.get("outputClaimToHeaders") {
        set(&mut node, "claim_to_headers", claims_to_headers(claims));
    }
    node
}

/// The permissions of the policies: denials come first. If any policy allows, one of its rules must.
fn policy(policies: &[&Node], issuers: &Providers, split: &[String], notes: &mut Notes) -> Node {
    let mut denials: Vec<Grant> = Vec::new();
    let mut grants: Vec<Grant> = Vec::new();
    let mut otherwise = Need::OPTIONAL;
    for policy in policies {
        let nothing = map(Vec::new());
        let is_dry = policy.at(&["metadata", "annotations", "istio.io/dry-run"]);
        if let Some(annotation) =
            is_dry.filter(|node| node.text() == Some("true") || node.bool() == Some(true))
        {
            notes.look(
                &annotation.place,
                "with this annotation, Istio only logs the decision of the policy, so the conversion leaves the policy out",
            );
            continue;
        }
        let spec = policy.get("spec").unwrap_or(&nothing);
        let rules = spec.get("rules").map_or(&[][..], Node::elements);
        match spec.text_at(&["action"]).unwrap_or("ALLOW") {
            "ALLOW" => {
                otherwise = Need::never();
                grants.extend(
                    rules
                        .iter()
                        .filter_map(|rule| grant(rule, true, issuers, split, notes)),
                );
            }
            "DENY" => denials.extend(
                rules
                    .iter()
                    .filter_map(|rule| grant(rule, false, issuers, split, notes)),
            ),
            "AUDIT" => notes.look(
                &policy.place,
                "an AUDIT policy decides nothing, so the conversion leaves it out",
            ),
            action => notes.lost(
                &policy.place,
                format!("with the action {action}, another service decides; keep this policy in Istio"),
            ),
        }
    }
    denials.extend(grants);
    grants::rules(&denials, issuers, &otherwise, notes)
}

/// A rule of a policy. `None`: no request matches it.
fn grant(
    rule: &Node,
    allows: bool,
    issuers: &Providers,
    split: &[String],
    notes: &mut Notes,
) -> Option<Grant> {
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
                        format!(
                            "`{name}` does not concern tokens; keep this in an AuthorizationPolicy of Istio"
                        ),
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
                if let [name] = path.as_slice()
                    && name.contains(['/', '.'])
                    && !name.contains(':')
                {
                    let parts = name.replace(['/', '.'], "][");
                    let message = format!(
                        "Istio reads a claim of the name `{name}`; a member of an object is `request.auth.claims[{parts}]`"
                    );
                    notes.look(&place, message);
                }
                let tests = claim_tests(&path, &place, values, split);
                let found = Need::one_of(tests);
                need = need.and(&if holds { found } else { found.negated() });
            } else if key == "request.auth.principal" {
                let found = principals(values, issuers, notes);
                need = need.and(&if holds { found } else { found.negated() });
            } else if let Some(header) = key
                .strip_prefix("request.headers[")
                .and_then(|rest| rest.strip_suffix(']'))
            {
                let header = header.to_ascii_lowercase();
                let with_value: Vec<Node> = values
                    .elements()
                    .iter()
                    .map(|value| with_header(&header, &place, value, false))
                    .collect();
                matches = match holds {
                    true => all_of(&matches, &with_value),
                    false => all_of(&matches, &[set_of(every_request(), "not", list(with_value))]),
                };
            } else {
                notes.lost(
                    &place,
                    format!("`{key}` does not concern tokens; keep this in an AuthorizationPolicy of Istio"),
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

/// `request.auth.claims[a][b]`.
fn claim_path(key: &str) -> Option<Vec<String>> {
    let rest = key.strip_prefix("request.auth.claims[")?.strip_suffix(']')?;
    Some(rest.split("][").map(str::to_owned).collect())
}

/// Tests of a claim, one for each value. Istio splits these claims at spaces.
fn claim_tests(path: &[String], place: &Place, values: &Node, split: &[String]) -> Vec<Test> {
    let claim = || match path {
        [one] if !one.contains('.') => ("claim_name", text(one.clone(), place)),
        path => {
            let keys = path
                .iter()
                .map(|key| map(vec![("key", text(key.clone(), place))]));
            ("claim_path", list(keys.collect()))
        }
    };
    let scopes = match path {
        [one] if split.contains(one) => Some(one),
        _ => None,
    };
    let mut exact = Vec::new();
    let mut all = Vec::new();
    for value in values.elements() {
        let found = value.text().unwrap_or_default();
        // Istio compares strings only: no number and no boolean matches.
        let mut add = |name: &str, value: Node| {
            all.push(Test::Claim(map(vec![
                claim(),
                (name, value),
                ("strings_only", flag(true)),
            ])));
        };
        // A scope has no spaces, so nothing matches.
        if scopes.is_some() && found.contains(' ') {
            continue;
        }
        match (found.strip_prefix('*'), found.strip_suffix('*')) {
            // An empty text or list does not match.
            (Some(""), _) => add("regex", text(".+", &value.place)),
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
