//! Policies whose rules are joined by "or", as rules of which the first that matches applies.

use super::{Notes, any_of, flag, list, map, text};
use crate::lints::covers;
use crate::source::{Node, Place};

/// The requirement on a client.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Need {
    /// None; a token that is present must be valid.
    Optional,
    /// A token of one of these.
    Token(Vec<String>),
    /// No client meets it.
    Never,
}

/// A permission.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    /// The requests: any of these.
    pub(super) matches: Vec<Node>,
    pub(super) need: Need,
    /// The conditions on the token.
    pub(super) authorize: Option<Node>,
    pub(super) place: Place,
}

impl Grant {
    /// The strictness of the requirement: a lower one comes first.
    fn weight(&self) -> u8 {
        match (&self.need, &self.authorize) {
            (Need::Optional, _) => 0,
            (Need::Token(_), None) => 1,
            (Need::Token(_), Some(_)) => 2,
            (Need::Never, _) => 3,
        }
    }

    /// Whether the other permission covers this one for requests that match both.
    fn is_within(&self, other: &Self) -> bool {
        match (&self.need, &other.need) {
            (_, Need::Optional) | (Need::Never, _) => true,
            (Need::Token(these), Need::Token(those)) => {
                these.iter().all(|name| those.contains(name))
                    && (other.authorize.is_none() || other.authorize == self.authorize)
            }
            _ => false,
        }
    }
}

pub(super) fn every_request() -> Node {
    map(vec![("prefix", text("/", &(0..0)))])
}

/// Whether no request matches both. True only in obvious cases.
fn are_apart(one: &Node, other: &Node) -> bool {
    let texts = |node: &Node, name: &str| -> Option<Vec<String>> {
        let found = node.get(name)?;
        Some(
            found
                .elements()
                .iter()
                .filter_map(Node::text)
                .map(str::to_owned)
                .collect(),
        )
    };
    if let (Some(these), Some(those)) = (texts(one, "methods"), texts(other, "methods"))
        && !these.iter().any(|method| those.contains(method))
    {
        return true;
    }
    if let (Some(these), Some(those)) = (texts(one, "hosts"), texts(other, "hosts"))
        && !these.iter().chain(&those).any(|host| host.contains('*'))
        && !these.iter().any(|host| those.contains(host))
    {
        return true;
    }
    let path = |node: &Node| {
        let plain = ["path", "prefix"]
            .iter()
            .find_map(|name| Some((*name, node.text_at(&[name])?.to_owned())));
        // The common prefix of all paths that a pattern matches.
        plain.or_else(|| Some(("prefix", literal_start(node.text_at(&["safe_regex", "regex"])?))))
    };
    match (path(one), path(other)) {
        (Some((kind, these)), Some((other_kind, those))) => match (kind, other_kind) {
            ("path", "path") => these != those,
            ("path", _) => !these.starts_with(&those),
            (_, "path") => !those.starts_with(&these),
            _ => !these.starts_with(&those) && !those.starts_with(&these),
        },
        _ => false,
    }
}

/// The text before the first special character of a pattern.
fn literal_start(pattern: &str) -> String {
    let end = pattern.find(|letter: char| ".+*?()|[]{}^$\\".contains(letter));
    let mut start = pattern
        .get(..end.unwrap_or(pattern.len()))
        .unwrap_or_default()
        .to_owned();
    let next = end.and_then(|end| pattern.get(end..)?.chars().next());
    // The last letter may be optional, or the pattern may have an alternative.
    if matches!(next, Some('*' | '?' | '{')) {
        start.pop();
    }
    if pattern.contains('|') {
        start.clear();
    }
    start
}

/// The rules for these permissions, and for the requests that none of them covers.
pub(super) fn rules(
    mut grants: Vec<Grant>,
    providers: &[String],
    otherwise: &Need,
    notes: &mut Notes,
) -> Node {
    grants.sort_by_key(Grant::weight);
    for (position, one) in grants.iter().enumerate() {
        for other in grants.iter().skip(position + 1) {
            let overlap = one
                .matches
                .iter()
                .any(|these| other.matches.iter().any(|those| !are_apart(these, those)));
            // The first of two rules applies. If the second one permits nothing more, the result equals "or".
            if overlap && !other.is_within(one) {
                notes.lost(
                    &other.place,
                    "another rule is for some of the same requests and asks for something else. Either would do there; of this \
                     filter's rules the first that matches counts. Write one rule with `any`, or rules for different requests",
                );
            }
        }
    }
    let mut all: Vec<Node> = Vec::new();
    let mut add = |matcher: &Node, grant: &Grant| {
        let is_useless = all
            .iter()
            .any(|rule| rule.get("match").is_some_and(|earlier| covers(earlier, matcher)));
        if !is_useless {
            all.push(rule(matcher, grant, providers));
        }
    };
    for grant in &grants {
        for matcher in &grant.matches {
            add(matcher, grant);
        }
    }
    let last = Grant {
        matches: Vec::new(),
        need: otherwise.clone(),
        authorize: None,
        place: 0..0,
    };
    add(&every_request(), &last);
    list(all)
}

pub(super) fn rule(matcher: &Node, grant: &Grant, providers: &[String]) -> Node {
    let mut members = vec![("match", matcher.clone())];
    match &grant.need {
        Need::Optional => members.push(("requires", any_of(providers, true))),
        Need::Token(names) => members.push(("requires", any_of(names, false))),
        Need::Never => {
            members.push(("requires", any_of(providers, false)));
            // Every token has an issuer, so no token is sufficient.
            let never = map(vec![
                ("claim_name", text("iss", &(0..0))),
                ("exists", flag(false)),
            ]);
            members.push(("authorize", map(vec![("claims", list(vec![never]))])));
        }
    }
    if let (Need::Token(_), Some(authorize)) = (&grant.need, &grant.authorize) {
        members.push(("authorize", authorize.clone()));
    }
    map(members)
}
