//! Istio's RequestAuthentication and AuthorizationPolicy.

use std::rc::Rc;

use super::grants::{self, Grant, Need, every_request};
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
    let names: Vec<String> = providers.iter().map(|(name, ..)| name.clone()).collect();
    let issuers: Vec<(String, String)> = providers
        .iter()
        .map(|(name, _, issuer)| (name.clone(), issuer.clone()))
        .collect();
    let members = providers
        .iter()
        .map(|(name, node, _)| (name.as_str(), node.clone()))
        .collect();
    let rules = policy(&policies, &names, &issuers, notes);
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

/// The permissions of the policies.
fn policy(policies: &[&Node], names: &[String], issuers: &[(String, String)], notes: &mut Notes) -> Node {
    let mut grants: Vec<Grant> = Vec::new();
    let mut denials: Vec<Node> = Vec::new();
    let mut demands: Vec<Node> = Vec::new();
    let mut has_allow = false;
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
                has_allow = true;
                for rule in rules {
                    grants.extend(allow(rule, names, issuers, notes));
                }
            }
            "DENY" => {
                for rule in rules {
                    deny(rule, &mut denials, &mut demands, notes);
                }
            }
            "AUDIT" => notes.look(&policy.place, "AUDIT decides nothing, and is left out"),
            action => notes.lost(
                &policy.place,
                format!("the action {action} asks another service; keep this policy in Istio"),
            ),
        }
    }
    let otherwise = if has_allow { Need::Never } else { Need::Optional };
    // That rule denies a request without a token, whatever another one allows.
    let is_total = demands
        .iter()
        .any(|matcher| crate::lints::covers(matcher, &every_request()));
    if is_total {
        for grant in grants.iter_mut().filter(|grant| grant.need == Need::Optional) {
            grant.need = Need::Token(names.to_vec());
        }
    } else if has_allow && !demands.is_empty() {
        for matcher in &demands {
            notes.lost(
                &matcher.place,
                "this denies requests without a token on some paths, while ALLOW policies speak of others; write the paths into those",
            );
        }
    }
    let otherwise = match (is_total, otherwise) {
        (true, Need::Optional) => Need::Token(names.to_vec()),
        (_, otherwise) => otherwise,
    };
    let mut first: Vec<Node> = Vec::new();
    for matcher in &denials {
        let grant = Grant {
            matches: Vec::new(),
            need: Need::Never,
            authorize: None,
            place: matcher.place.clone(),
        };
        first.push(grants::rule(matcher, &grant, names));
    }
    if !has_allow && !is_total {
        for matcher in &demands {
            let grant = Grant {
                matches: Vec::new(),
                need: Need::Token(names.to_vec()),
                authorize: None,
                place: matcher.place.clone(),
            };
            first.push(grants::rule(matcher, &grant, names));
        }
    }
    let rest = grants::rules(grants, names, &otherwise, notes);
    first.extend(rest.elements().iter().cloned());
    list(first)
}

/// A rule of an ALLOW policy.
fn allow(rule: &Node, names: &[String], issuers: &[(String, String)], notes: &mut Notes) -> Option<Grant> {
    notes.only(rule, &["from", "to", "when"], "a rule");
    let mut need = Need::Optional;
    let mut claims: Vec<Node> = Vec::new();
    let mut scopes: Option<Node> = None;
    let mut headers: Vec<Node> = Vec::new();
    let sources = rule.get("from").map_or(&[][..], Node::elements);
    match sources {
        [] => {}
        [one] => {
            let nothing = map(Vec::new());
            let source = one.get("source").unwrap_or(&nothing);
            for (key, values) in source.members() {
                match &*key.name {
                    "requestPrincipals" => {
                        need = Need::Token(names.to_vec());
                        principals(values, issuers, &mut need, &mut claims, notes);
                    }
                    name => notes.lost(
                        &key.place,
                        format!("`{name}` is not about tokens; keep this in an AuthorizationPolicy of Istio"),
                    ),
                }
            }
        }
        [_, second, ..] => notes.lost(&second.place, "several `from` in one rule: write a rule for each"),
    }
    for condition in rule.get("when").map_or(&[][..], Node::elements) {
        let key = condition.text_at(&["key"]).unwrap_or_default();
        let place = condition
            .get("key")
            .map_or(condition.place.clone(), |node| node.place.clone());
        notes.only(condition, &["key", "values", "notValues"], "a condition");
        let values = condition.get("values");
        let not_values = condition.get("notValues");
        let claim = match key {
            "request.auth.audiences" => Some(vec!["aud".to_owned()]),
            "request.auth.presenter" => Some(vec!["azp".to_owned()]),
            key => claim_path(key),
        };
        if let Some(path) = claim {
            if not_values.is_some() {
                notes.lost(
                    &place,
                    "`notValues` of a claim also allows requests without a token; write what is allowed",
                );
            }
            let Some(values) = values else { continue };
            if need == Need::Optional {
                need = Need::Token(names.to_vec());
            }
            // Istio splits these two at spaces.
            if matches!(path.as_slice(), [one] if one == "scope" || one == "permission")
                && scopes.is_none()
                && !has_wildcard(values)
            {
                scopes = Some(map(vec![
                    ("any", values.clone()),
                    ("claim_names", list(vec![text(path[0].clone(), &place)])),
                ]));
            } else {
                claims.push(claim_condition(&path, &place, values));
            }
        } else if key == "request.auth.principal" {
            need = Need::Token(names.to_vec());
            if let Some(values) = values {
                principals(values, issuers, &mut need, &mut claims, notes);
            }
            if not_values.is_some() {
                notes.lost(
                    &place,
                    "`notValues` of a principal also allows requests without a token; write what is allowed",
                );
            }
        } else if let Some(header) = key
            .strip_prefix("request.headers[")
            .and_then(|rest| rest.strip_suffix(']'))
        {
            let values = values.map_or(&[][..], Node::elements);
            match (values, not_values) {
                ([one], None) => headers.push(map(vec![
                    ("name", text(header, &place)),
                    ("string_match", string_match(one)),
                ])),
                _ => notes.lost(
                    &place,
                    "a header with several values, or with `notValues`: write a rule for each value",
                ),
            }
        } else {
            notes.lost(
                &place,
                format!("`{key}` is not about tokens; keep this in an AuthorizationPolicy of Istio"),
            );
        }
    }
    let matches = operations(rule, &headers, notes);
    let mut authorize = Vec::new();
    if let Some(scopes) = scopes {
        authorize.push(("scopes", scopes));
    }
    if !claims.is_empty() {
        authorize.push(("claims", list(claims)));
    }
    Some(Grant {
        matches,
        need,
        authorize: (!authorize.is_empty()).then(|| map(authorize)),
        place: rule.place.clone(),
    })
}

/// A rule of a DENY policy.
fn deny(rule: &Node, denials: &mut Vec<Node>, demands: &mut Vec<Node>, notes: &mut Notes) {
    notes.only(rule, &["from", "to", "when"], "a rule");
    if let Some(when) = rule.get("when") {
        notes.lost(&when.place, "a denial with a condition: the rules after it would have to be asked as well; write what is allowed");
        return;
    }
    let matches = operations(rule, &[], notes);
    let sources = rule.get("from").map_or(&[][..], Node::elements);
    match sources {
        [] => denials.extend(matches),
        [one] => {
            let nothing = map(Vec::new());
            let source = one.get("source").unwrap_or(&nothing);
            let without = source.get("notRequestPrincipals");
            let is_any =
                without.is_some_and(|all| matches!(all.elements(), [one] if one.text() == Some("*")));
            match source.members() {
                [_] if is_any => demands.extend(matches),
                _ => notes.lost(
                    &one.place,
                    "a denial by anything but `notRequestPrincipals: [\"*\"]`: write what is allowed",
                ),
            }
        }
        [_, second, ..] => notes.lost(&second.place, "several `from` in one rule: write a rule for each"),
    }
}

/// `request.auth.claims[a][b]`.
fn claim_path(key: &str) -> Option<Vec<String>> {
    let rest = key.strip_prefix("request.auth.claims[")?.strip_suffix(']')?;
    Some(rest.split("][").map(str::to_owned).collect())
}

fn has_wildcard(values: &Node) -> bool {
    values.elements().iter().any(|value| {
        value
            .text()
            .is_some_and(|text| text.starts_with('*') || text.ends_with('*'))
    })
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

/// A condition that one of the values meets.
fn claim_condition(path: &[String], place: &Place, values: &Node) -> Node {
    let claim = || match path {
        [one] if !one.contains('.') => ("claim_name", text(one.clone(), place)),
        path => {
            let keys = path
                .iter()
                .map(|key| map(vec![("key", text(key.clone(), place))]));
            ("claim_path", list(keys.collect()))
        }
    };
    let mut exact = Vec::new();
    let mut all = Vec::new();
    for value in values.elements() {
        let found = value.text().unwrap_or_default();
        match (found.strip_prefix('*'), found.strip_suffix('*')) {
            (Some(""), _) => all.push(map(vec![claim(), ("exists", flag(true))])),
            (Some(suffix), _) => all.push(map(vec![claim(), ("suffix", text(suffix, &value.place))])),
            (None, Some(prefix)) => all.push(map(vec![claim(), ("prefix", text(prefix, &value.place))])),
            (None, None) => exact.push(value.clone()),
        }
    }
    if !exact.is_empty() {
        all.push(map(vec![claim(), ("any_of", list(exact))]));
    }
    match all.as_slice() {
        [one] => one.clone(),
        _ => map(vec![("any", list(all))]),
    }
}

/// `<issuer>/<subject>`, with a wildcard at one end.
fn principals(
    values: &Node,
    issuers: &[(String, String)],
    need: &mut Need,
    claims: &mut Vec<Node>,
    notes: &mut Notes,
) {
    let mut of: Vec<String> = Vec::new();
    let mut subjects: Vec<Node> = Vec::new();
    let mut is_whole_issuer = false;
    for value in values.elements() {
        let found = value.text().unwrap_or_default();
        if found == "*" {
            // Any token: the other values are superfluous.
            return;
        }
        let known = issuers
            .iter()
            .filter(|(_, issuer)| found.starts_with(&format!("{issuer}/")))
            .max_by_key(|(_, issuer)| issuer.len());
        let Some((name, issuer)) = known else {
            notes.lost(
                &value.place,
                "no RequestAuthentication here has this issuer, or the wildcard is at its beginning",
            );
            continue;
        };
        let subject = found.get(issuer.len() + 1..).unwrap_or_default();
        match subject {
            "*" => is_whole_issuer = true,
            subject if subject.ends_with('*') => subjects.push(text(subject, &value.place)),
            subject => subjects.push(text(subject, &value.place)),
        }
        if !of.contains(name) {
            of.push(name.clone());
        }
    }
    if of.len() > 1 && !subjects.is_empty() || is_whole_issuer && !subjects.is_empty() {
        notes.lost(
            &values.place,
            "principals of several issuers, or an issuer beside subjects of it: write a rule for each issuer",
        );
    }
    if !of.is_empty() {
        *need = Need::Token(of);
    }
    if !subjects.is_empty() && !is_whole_issuer {
        claims.push(claim_condition(
            &["sub".to_owned()],
            &values.place,
            &list(subjects),
        ));
    }
}

/// The requests to which the operations of a rule apply.
fn operations(rule: &Node, headers: &[Node], notes: &mut Notes) -> Vec<Node> {
    let mut all = Vec::new();
    let with = |mut members: Vec<(&str, Node)>, methods: &Option<Node>, hosts: &Option<Node>| {
        if let Some(methods) = methods {
            members.push(("methods", methods.clone()));
        }
        if let Some(hosts) = hosts {
            members.push(("hosts", hosts.clone()));
        }
        if !headers.is_empty() {
            members.push(("headers", list(headers.to_vec())));
        }
        map(members)
    };
    let to = rule.get("to").map_or(&[][..], Node::elements);
    if to.is_empty() {
        let mut matcher = with(vec![("prefix", text("/", &(0..0)))], &None, &None);
        matcher.place = rule.place.clone();
        return vec![matcher];
    }
    for operation in to {
        let nothing = map(Vec::new());
        let operation = operation.get("operation").unwrap_or(&nothing);
        for (key, _) in operation.members() {
            if !matches!(&*key.name, "paths" | "methods" | "hosts") {
                let name = &key.name;
                notes.lost(&key.place, format!("`{name}`: a rule of this filter says which requests it is for, not which it is not for"));
            }
        }
        let list_of = |name: &str| {
            let found = operation.get(name)?;
            let is_any = found.elements().iter().any(|value| value.text() == Some("*"));
            (!is_any && !found.elements().is_empty()).then(|| found.clone())
        };
        let (methods, hosts) = (list_of("methods"), list_of("hosts"));
        match operation.get("paths") {
            None => {
                let mut matcher = with(vec![("prefix", text("/", &(0..0)))], &methods, &hosts);
                matcher.place = rule.place.clone();
                all.push(matcher);
            }
            Some(paths) => {
                for path in paths.elements() {
                    all.push(with(vec![path_match(path)], &methods, &hosts));
                }
            }
        }
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

/// A text as a literal pattern.
fn quote(text: &str) -> String {
    let mut pattern = String::new();
    for letter in text.chars() {
        if ".+*?()|[]{}^$\\".contains(letter) {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern
}
