//! Istio's RequestAuthentication and AuthorizationPolicy.

use std::rc::Rc;

use super::grants::{self, Grant, Need, Providers, Test, all_of, every_request, quote};
use super::notes::{Converted, Notes};
use super::provider::{
    claims_to_headers, cluster_of, default_locations, free_name, issuer_name, keys_to_write, set_audiences,
    without_repeats,
};
use super::tree::{flag, list, map, set, text};
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

/// The namespace whose policies are for every namespace.
const ROOT_NAMESPACE: &str = "istio-system";

/// The workloads of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Workloads {
    namespace: String,
    labels: Vec<(String, String)>,
    /// `targetRef` and `targetRefs`.
    targets: Vec<String>,
}

impl Workloads {
    fn of(policy: &Node) -> Self {
        let text = |path: &[&str]| policy.text_at(path).unwrap_or_default().to_owned();
        let labels = policy.at(&["spec", "selector", "matchLabels"]);
        let mut labels: Vec<(String, String)> = labels
            .map_or(&[][..], Node::members)
            .iter()
            .map(|(key, value)| (key.name.clone(), value.to_json().to_string()))
            .collect();
        labels.sort();
        let target = policy.at(&["spec", "targetRef"]);
        let targets = policy.at(&["spec", "targetRefs"]).map_or(&[][..], Node::elements);
        let mut targets: Vec<String> = target
            .into_iter()
            .chain(targets)
            .map(|target| {
                let part = |name: &str| target.text_at(&[name]).unwrap_or_default().to_owned();
                format!("{} {}", part("kind"), part("name"))
            })
            .collect();
        targets.sort();
        Self {
            namespace: text(&["metadata", "namespace"]),
            labels,
            targets,
        }
    }

    fn are_all(&self) -> bool {
        self.labels.is_empty() && self.targets.is_empty()
    }

    /// Whether a policy for these applies to all of those as well.
    fn contain(&self, those: &Self) -> bool {
        let is_root = self.namespace == ROOT_NAMESPACE;
        (is_root || self.namespace == those.namespace)
            && self.targets.iter().all(|target| those.targets.contains(target))
            && self.labels.iter().all(|label| those.labels.contains(label))
    }

    /// Whether some workload may belong to both, judged by the labels.
    fn may_overlap(&self, those: &Self) -> bool {
        let is_root = |one: &Self| one.namespace == ROOT_NAMESPACE;
        let differs = |(name, value): &(String, String)| {
            those
                .labels
                .iter()
                .any(|(other, text)| other == name && text != value)
        };
        (is_root(self) || is_root(those) || self.namespace == those.namespace)
            && self.targets.is_empty() == those.targets.is_empty()
            && !self.labels.iter().any(differs)
    }
}

impl std::fmt::Display for Workloads {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &*self.namespace {
            "" => write!(to, "the namespace of the policies")?,
            ROOT_NAMESPACE if self.are_all() => write!(to, "every namespace")?,
            namespace => write!(to, "namespace {namespace}")?,
        }
        for (name, value) in &self.labels {
            write!(to, ", {name}={}", value.trim_matches('"'))?;
        }
        for target in &self.targets {
            write!(to, ", {target}")?;
        }
        Ok(())
    }
}

/// A configuration for each set of workloads that has policies of its own.
pub(super) fn convert(documents: &[Rc<Node>], notes: &mut Notes) -> Vec<Converted> {
    let authentications = of_kind(documents, "RequestAuthentication");
    let policies = of_kind(documents, "AuthorizationPolicy");
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
        notes.only(
            spec,
            &["selector", "targetRef", "targetRefs", "jwtRules"],
            "RequestAuthentication",
        );
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
            "spaceDelimitedClaims",
            "timeout",
        ],
        "jwtRules",
    );
    let place = rule
        .get("issuer")
        .map_or(rule.place.clone(), |node| node.place.clone());
    let mut node = map(vec![("issuer", text(issuer, &place))]);
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
        notes.only(
            spec,
            &["selector", "targetRef", "targetRefs", "action", "rules"],
            "AuthorizationPolicy",
        );
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

fn set_of(mut node: Node, name: &str, value: Node) -> Node {
    set(&mut node, name, value);
    node
}

/// `request.auth.claims[a][b]`.
fn claim_path(key: &str) -> Option<Vec<String>> {
    let rest = key.strip_prefix("request.auth.claims[")?.strip_suffix(']')?;
    Some(rest.split("][").map(str::to_owned).collect())
}

/// The requests with this value in a header: `*` for any, `abc*`, `*abc` or `abc`.
fn with_header(name: &str, place: &Place, value: &Node, ignores_case: bool) -> Node {
    let found = value.text().unwrap_or_default();
    let matcher = match (found.strip_prefix('*'), found.strip_suffix('*')) {
        (Some(""), _) => None,
        (Some(suffix), _) => Some(("suffix", text(suffix, &value.place))),
        (None, Some(prefix)) => Some(("prefix", text(prefix, &value.place))),
        (None, None) => Some(("exact", value.clone())),
    };
    let test = match matcher {
        None => ("present_match", flag(true)),
        Some(matcher) if ignores_case => ("string_match", map(vec![matcher, ("ignore_case", flag(true))])),
        Some(matcher) => ("string_match", map(vec![matcher])),
    };
    let header = map(vec![("name", text(name, place)), test]);
    set_of(every_request(), "headers", list(vec![header]))
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

/// `<issuer>/<subject>`, with a wildcard at one end.
fn principals(values: &Node, issuers: &Providers, notes: &mut Notes) -> Need {
    let mut any = Need::never();
    for value in values.elements() {
        let found = value.text().unwrap_or_default();
        let one = principal(found, value, issuers).unwrap_or_else(|issuer| {
            // People leave out a slash at the end of the issuer, or write `*` for the rest of its path.
            let meant = issuers
                .iter()
                .map(|(_, known)| known)
                .find(|known| found.strip_suffix("/*").is_some_and(|start| known.starts_with(start)));
            let advice = match meant {
                Some(known) => format!("write `{known}/*` for `{known}`"),
                None => "add that RequestAuthentication, or remove this value".to_owned(),
            };
            notes.lost(
                &value.place,
                format!(
                    "no RequestAuthentication here has the issuer {issuer}, the text before the last slash; {advice}"
                ),
            );
            Need::never()
        });
        any = any.or(&one);
    }
    any
}

/// A text, or one of those with a certain beginning or end.
#[derive(Clone, Copy)]
enum Pattern<'t> {
    Any,
    Exact(&'t str),
    Prefix(&'t str),
    Suffix(&'t str),
}

impl Pattern<'_> {
    fn matches(self, found: &str) -> bool {
        match self {
            Self::Any => !found.is_empty(),
            Self::Exact(text) => found == text,
            Self::Prefix(text) => found.starts_with(text),
            Self::Suffix(text) => found.ends_with(text),
        }
    }
}

/// Issuer and subject as istiod separates them: at the last slash, because an issuer may be a URL.
fn principal_parts(found: &str) -> (Pattern<'_>, Pattern<'_>) {
    match found.rsplit_once('/') {
        _ if found == "*" => (Pattern::Any, Pattern::Any),
        Some(("*", subject)) => (Pattern::Any, Pattern::Exact(subject)),
        Some((issuer, subject)) => match (issuer.strip_prefix('*'), subject.strip_suffix('*')) {
            (Some(issuer), _) => (Pattern::Suffix(issuer), Pattern::Exact(subject)),
            (None, Some("")) => (Pattern::Exact(issuer), Pattern::Any),
            (None, Some(subject)) => (Pattern::Exact(issuer), Pattern::Prefix(subject)),
            (None, None) => (Pattern::Exact(issuer), Pattern::Exact(subject)),
        },
        None => match (found.strip_prefix('*'), found.strip_suffix('*')) {
            (Some(subject), _) => (Pattern::Any, Pattern::Suffix(subject)),
            (None, Some(issuer)) => (Pattern::Prefix(issuer), Pattern::Any),
            (None, None) => (Pattern::Exact(found), Pattern::Exact("")),
        },
    }
}

/// The need for a principal. Fails with a description of the issuer if no provider has it.
fn principal(found: &str, value: &Node, issuers: &Providers) -> Result<Need, String> {
    let (issuer, subject) = principal_parts(found);
    let of_issuer: Vec<Test> = issuers
        .iter()
        .filter(|(_, known)| issuer.matches(known))
        .map(|(name, _)| Test::Provider(name.clone(), true))
        .collect();
    if of_issuer.is_empty() {
        return Err(match issuer {
            Pattern::Any => "anything".to_owned(),
            Pattern::Exact(text) => format!("`{text}`"),
            Pattern::Prefix(text) => format!("`{text}…`"),
            Pattern::Suffix(text) => format!("`…{text}`"),
        });
    }
    let (name, wanted) = match subject {
        // A token without a subject has no principal.
        Pattern::Any => ("regex", ".+"),
        Pattern::Exact("") => return Ok(Need::never()),
        Pattern::Exact(text) => ("any_of", text),
        Pattern::Prefix(text) => ("prefix", text),
        Pattern::Suffix(text) => ("suffix", text),
    };
    let wanted = text(wanted, &value.place);
    let test = match name {
        "any_of" => vec![(name, list(vec![wanted]))],
        _ => vec![(name, wanted), ("strings_only", flag(true))],
    };
    let claim = vec![("claim_name", text("sub", &value.place))];
    let of_subject = Need::one_of(vec![Test::Claim(map(claim.into_iter().chain(test).collect()))]);
    Ok(match of_issuer.len() == issuers.len() {
        true => of_subject,
        false => Need::one_of(of_issuer).and(&of_subject),
    })
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
                "paths" => without_narrower(values)
                    .into_iter()
                    .map(|path| map(vec![path_match(path, notes)]))
                    .collect(),
                name => {
                    let (field, ignores_case) = match name {
                        "hosts" => (":authority", true),
                        _ => (":method", false),
                    };
                    // Istio compares a host with its port, and so without other spellings: as a header.
                    let is_plain = |value: &&Node| {
                        name != "hosts" && !value.text().is_some_and(|text| text.contains('*'))
                    };
                    let (plain, other): (Vec<&Node>, Vec<&Node>) =
                        values.elements().iter().partition(is_plain);
                    let other = other
                        .into_iter()
                        .map(|value| with_header(field, &value.place, value, ignores_case));
                    let mut part: Vec<Node> = other.collect();
                    if !plain.is_empty() {
                        let plain = list(plain.into_iter().cloned().collect());
                        part.push(set_of(every_request(), name, plain));
                    }
                    part
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

/// The characters that a wildcard of Envoy's path templates takes.
const SEGMENT: &str = "a-zA-Z0-9._~%!$&'()*+,;:@=-";

/// The paths without those below another of them: `/a/**` is for paths that begin with `/a/*`, and `/a/*` is
/// for all of these.
fn without_narrower(paths: &Node) -> Vec<&Node> {
    let paths: Vec<&Node> = paths.elements().iter().collect();
    let is_narrower = |path: &Node| {
        let found = path.text().unwrap_or_default();
        let is_template = found.contains("{*}") || found.contains("{**}");
        // A prefix is not below itself, and an exact path is below the prefix of the same text.
        let begins = |other: &str| match found.strip_suffix('*') {
            Some(prefix) => prefix.starts_with(other) && prefix != other,
            None => found.starts_with(other),
        };
        let prefixes = paths.iter().filter_map(|other| other.text()?.strip_suffix('*'));
        let mut prefixes = prefixes.filter(|other| !other.starts_with('*') && !other.contains('{'));
        !is_template && !found.starts_with('*') && prefixes.any(begins)
    };
    paths.iter().copied().filter(|path| !is_narrower(path)).collect()
}

/// A path of Istio: exact, `/a*`, `*/a`, `*`, or a template with `{*}` and `{**}`.
fn path_match(path: &Node, notes: &mut Notes) -> (&'static str, Node) {
    let found = path.text().unwrap_or_default();
    let pattern = |regex: String| ("safe_regex", map(vec![("regex", text(regex, &path.place))]));
    if found.contains("{*}") || found.contains("{**}") {
        let segment = format!("[{SEGMENT}]+");
        let parts: Vec<String> = found
            .split("{**}")
            .map(|part| part.split("{*}").map(quote).collect::<Vec<_>>().join(&segment))
            .collect();
        return pattern(parts.join(&format!("[{SEGMENT}/]*")));
    }
    match (found.strip_prefix('*'), found.strip_suffix('*')) {
        (Some(""), _) => ("prefix", text("/", &path.place)),
        (Some(suffix), _) => pattern(format!(".*{}", quote(suffix))),
        (None, rest) => {
            let literal = rest.unwrap_or(found);
            if literal.contains('*') {
                let message = format!(
                    "Istio reads `*` only at one end of a path, so this is for paths with the text `{literal}`"
                );
                notes.look(&path.place, message);
                let end = if rest.is_some() { ".*" } else { "" };
                return pattern(format!("{}{end}", quote(literal)));
            }
            match rest {
                Some(prefix) => ("prefix", text(prefix, &path.place)),
                None => ("path", path.clone()),
            }
        }
    }
}
