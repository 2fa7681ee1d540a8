//! Policies in which several rules apply to a request, as rules of which the first that matches applies.
//!
//! For each combination of rules that a request can match, the filter gets a rule of its own, the narrowest
//! first. The requirement of that rule is the result of the combination.

use super::notes::Notes;
use super::provider::any_of;
use super::tree::{flag, list, map, set, text};
use crate::lints::covers::covers;
use crate::source::{Node, Place, Value};

/// The most rules of a policy that a person can review.
const MOST_RULES: usize = 200;

/// The most combinations of rules that `convert` evaluates.
const MOST_CASES: usize = 2000;

/// The most clauses of a condition that a person can review.
const MOST_CLAUSES: usize = 64;

/// A test of a token, or its opposite.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Test {
    /// Whether the token belongs to the provider with this name.
    Provider(String, bool),
    /// Whether a claim with scopes, split at spaces, contains this one.
    Scope { claim: String, value: Node, holds: bool },
    /// A condition of `authorize`.
    Claim(Node),
}

impl Test {
    fn negated(&self) -> Self {
        match self {
            Self::Provider(name, holds) => Self::Provider(name.clone(), !holds),
            Self::Scope { claim, value, holds } => Self::Scope {
                claim: claim.clone(),
                value: value.clone(),
                holds: !holds,
            },
            Self::Claim(node) => {
                let mut node = node.clone();
                let opposite = match node.get("exists").and_then(Node::bool) {
                    Some(exists) => ("exists", !exists),
                    None => ("invert", node.get("invert").and_then(Node::bool) != Some(true)),
                };
                match opposite {
                    ("invert", false) => {
                        if let Value::Map(members) = &mut node.value {
                            members.retain(|(key, _)| key.name != "invert");
                        }
                    }
                    (name, value) => set(&mut node, name, flag(value)),
                }
                Self::Claim(node)
            }
        }
    }
}

/// The requirement on a client. A token that is present must be valid in any case.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Need {
    /// Whether a client without a token passes.
    pub(super) missing: bool,
    /// The clauses for a token: it must pass one test of each. Every token meets an empty list, and no token
    /// meets an empty clause.
    pub(super) all: Vec<Vec<Test>>,
    /// Whether clauses are missing, so that this is no longer the policy.
    is_too_long: bool,
}

impl Need {
    /// None; a token that is present must be valid.
    pub(super) const OPTIONAL: Self = Self {
        missing: true,
        all: Vec::new(),
        is_too_long: false,
    };
    /// Any token.
    pub(super) const TOKEN: Self = Self {
        missing: false,
        all: Vec::new(),
        is_too_long: false,
    };

    /// No client meets it.
    pub(super) fn never() -> Self {
        Self::one_of(Vec::new())
    }

    /// A token that meets one of these.
    pub(super) fn one_of(tests: Vec<Test>) -> Self {
        Self {
            all: vec![tests],
            ..Self::TOKEN
        }
    }

    fn of(missing: bool, clauses: Vec<Vec<Test>>, is_too_long: bool) -> Self {
        let mut all = simplified(clauses);
        let is_too_long = is_too_long || all.len() > MOST_CLAUSES;
        all.truncate(MOST_CLAUSES);
        Self {
            missing,
            all,
            is_too_long,
        }
    }

    pub(super) fn and(&self, other: &Self) -> Self {
        let all = self.all.iter().chain(&other.all).cloned().collect();
        let is_too_long = self.is_too_long || other.is_too_long;
        Self::of(self.missing && other.missing, all, is_too_long)
    }

    pub(super) fn or(&self, other: &Self) -> Self {
        let pairs = self.all.iter().flat_map(|these| {
            other
                .all
                .iter()
                .map(move |those| [&these[..], &those[..]].concat())
        });
        let is_too_long = self.is_too_long || other.is_too_long;
        Self::of(self.missing || other.missing, pairs.collect(), is_too_long)
    }

    pub(super) fn negated(&self) -> Self {
        let mut negated = Self::never();
        for clause in &self.all {
            let opposite = clause.iter().map(|test| vec![test.negated()]).collect();
            negated = negated.or(&Self::of(false, opposite, self.is_too_long));
        }
        negated.missing = !self.missing;
        negated
    }

    /// The strictness of the requirement, roughly.
    fn weight(&self) -> usize {
        match (self.missing, self.all.len()) {
            (true, clauses) => clauses,
            (false, clauses) => 1 + clauses,
        }
    }
}

/// The clauses without redundant ones.
fn simplified(clauses: Vec<Vec<Test>>) -> Vec<Vec<Test>> {
    let mut kept: Vec<Vec<Test>> = Vec::new();
    for clause in clauses {
        let mut tests: Vec<Test> = Vec::new();
        for test in clause {
            if !tests.contains(&test) {
                tests.push(test);
            }
        }
        if tests.iter().any(|test| tests.contains(&test.negated())) {
            continue;
        }
        // A clause with fewer tests is stricter.
        if kept
            .iter()
            .any(|known| known.iter().all(|test| tests.contains(test)))
        {
            continue;
        }
        kept.retain(|known| !tests.iter().all(|test| known.contains(test)));
        kept.push(tests);
    }
    kept
}

/// A rule of a policy.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    /// The requests: any of these.
    pub(super) matches: Vec<Node>,
    /// The clients.
    pub(super) need: Need,
    /// Whether these clients pass. Later rules decide about other clients.
    pub(super) allows: bool,
    pub(super) place: Place,
}

/// The providers, each with its name and its issuer.
pub(super) type Providers = [(String, String)];

pub(super) fn every_request() -> Node {
    map(vec![("prefix", text("/", &(0..0)))])
}

/// The path of a match that is more than `prefix: /`.
fn path_of(matcher: &Node) -> Option<&str> {
    let names = ["path", "prefix", "path_separated_prefix", "safe_regex"];
    let name = names.into_iter().find(|name| matcher.get(name).is_some())?;
    (name != "prefix" || matcher.text_at(&["prefix"]) != Some("/")).then_some(name)
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
        && !these
            .iter()
            .chain(&those)
            .any(|host| host.contains(['*', ':', '.']) && host.starts_with('*'))
        && !these.iter().any(|host| {
            let name = |host: &str| host.split(':').next().unwrap_or_default().to_ascii_lowercase();
            those.iter().any(|that| name(that) == name(host))
        })
    {
        return true;
    }
    let excludes = |node: &Node, other: &Node| {
        let all = node.get("not").map_or(&[][..], Node::elements);
        all.iter().any(|excluded| covers(excluded, other))
    };
    if excludes(one, other) || excludes(other, one) {
        return true;
    }
    let end = |node: &Node| match (node.text_at(&["path"]), node.text_at(&["safe_regex", "regex"])) {
        (Some(path), _) => Some((true, path.to_owned())),
        (None, Some(pattern)) => Some((false, literal_end(pattern)?)),
        (None, None) => None,
    };
    match (end(one), end(other)) {
        (Some((_, these)), Some((false, those))) if !these.ends_with(&those) && !those.ends_with(&these) => {
            return true;
        }
        (Some((false, these)), Some((_, those))) if !these.ends_with(&those) && !those.ends_with(&these) => {
            return true;
        }
        // A path has no more text before it.
        (Some((true, path)), Some((false, end))) | (Some((false, end)), Some((true, path)))
            if !path.ends_with(&end) =>
        {
            return true;
        }
        _ => {}
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

/// The common end of all paths that a pattern `.*…` matches. `None`: the pattern has another form.
fn literal_end(pattern: &str) -> Option<String> {
    let mut end = String::new();
    let mut letters = pattern.strip_prefix(".*")?.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => end.push(letters.next()?),
            letter if ".+*?()|[]{}^$".contains(letter) => return None,
            letter => end.push(letter),
        }
    }
    Some(end)
}

/// The match for requests that match both. `None`: there are none.
pub(super) fn both(one: &Node, other: &Node) -> Option<Node> {
    if are_apart(one, other) {
        return None;
    }
    if covers(one, other) {
        return Some(other.clone());
    }
    if covers(other, one) {
        return Some(one.clone());
    }
    let (wide, narrow) = match path_of(one) {
        None => (one, other),
        Some(_) => (other, one),
    };
    if path_of(wide).is_none()
        && let Some(merged) = merged(wide, narrow)
    {
        return Some(merged);
    }
    // Excludes the requests that the other one does not match.
    let outside = with(every_request(), "not", list(vec![wide.clone()]));
    Some(with(narrow.clone(), "not", list(vec![outside])))
}

/// The match with one more element in a list.
fn with(mut matcher: Node, name: &str, more: Node) -> Node {
    let known = matcher.get(name).cloned();
    let all = match known {
        None => more,
        Some(known) => {
            let known = match known.value {
                Value::List(elements) => elements,
                _ => vec![known],
            };
            list(known.into_iter().chain(more.elements().iter().cloned()).collect())
        }
    };
    set(&mut matcher, name, all);
    matcher
}

/// The match with the conditions of another one, which has any path. `None`: one match cannot express it.
fn merged(wide: &Node, narrow: &Node) -> Option<Node> {
    let mut merged = narrow.clone();
    for (key, part) in wide.members() {
        match &*key.name {
            "prefix" => {}
            "headers" | "query_parameters" | "not" => merged = with(merged, &key.name, part.clone()),
            "methods" => {
                let both = match merged.get("methods") {
                    None => part.clone(),
                    Some(known) => list(
                        known
                            .elements()
                            .iter()
                            .filter(|method| part.elements().contains(method))
                            .cloned()
                            .collect(),
                    ),
                };
                set(&mut merged, "methods", both);
            }
            name if merged.get(name).is_none() => set(&mut merged, name, part.clone()),
            _ => return None,
        }
    }
    Some(merged)
}

/// The matches for requests that match one of each list.
pub(super) fn all_of(these: &[Node], those: &[Node]) -> Vec<Node> {
    let mut all: Vec<Node> = Vec::new();
    for one in these {
        for other in those {
            if let Some(found) = both(one, other)
                && !all.iter().any(|known| covers(known, &found))
            {
                all.push(found);
            }
        }
    }
    all
}

const TOO_MANY: &str = "this rule overlaps with too many other rules; write rules for different requests";

/// Rules that a request can match at once.
struct Case {
    grants: Vec<usize>,
    matches: Vec<Node>,
    need: Need,
}

/// The rules for these permissions and denials, of which the first that a client meets decides.
pub(super) fn rules(grants: &[Grant], providers: &Providers, otherwise: &Need, notes: &mut Notes) -> Node {
    let mut cases = vec![Case {
        grants: Vec::new(),
        matches: vec![every_request()],
        need: otherwise.clone(),
    }];
    // Each combination once: the known ones, with and without this rule.
    for (position, grant) in grants.iter().enumerate() {
        for number in 0..cases.len() {
            let known = &cases[number];
            let matches = all_of(&known.matches, &grant.matches);
            if matches.is_empty() {
                continue;
            }
            let mut all = known.grants.clone();
            all.push(position);
            // The first one decides, so the evaluation begins with the last one.
            let need = all
                .iter()
                .rev()
                .fold(otherwise.clone(), |rest, position| match &grants[*position] {
                    Grant {
                        need, allows: true, ..
                    } => need.or(&rest),
                    Grant { need, .. } => need.negated().and(&rest),
                });
            if cases.len() >= MOST_CASES || need.is_too_long {
                notes.lost(&grant.place, TOO_MANY);
                return list(Vec::new());
            }
            cases.push(Case {
                grants: all,
                matches,
                need,
            });
        }
    }
    // If a request matches two cases, the one with more rules comes first.
    cases.sort_by_key(|case| {
        (
            std::cmp::Reverse(case.grants.len()),
            case.need.weight(),
            case.grants.clone(),
        )
    });
    // A case is superfluous if the next one that its requests match has the same result. Smaller cases are
    // decided first.
    let mut is_kept = vec![true; cases.len()];
    for position in (0..cases.len()).rev() {
        let case = &cases[position];
        let is_part = |other: &Case| other.grants.iter().all(|grant| case.grants.contains(grant));
        let next = (position + 1..cases.len()).find(|next| is_kept[*next] && is_part(&cases[*next]));
        is_kept[position] = next.is_none_or(|next| cases[next].need != case.need);
    }
    let mut all: Vec<Node> = Vec::new();
    for (case, _) in cases.iter().zip(is_kept).filter(|(_, is_kept)| *is_kept) {
        let mut matches = case.matches.clone();
        matches.retain(|matcher| {
            let mut earlier = all.iter().filter_map(|rule| rule.get("match"));
            !earlier.any(|earlier| covers(earlier, matcher))
        });
        let matcher = match matches.as_slice() {
            [] => continue,
            [one] => one.clone(),
            _ => list(matches),
        };
        all.push(rule(&matcher, &case.need, providers));
    }
    if all.len() > MOST_RULES
        && let Some(last) = grants.last()
    {
        notes.lost(&last.place, TOO_MANY);
    }
    list(all)
}

fn rule(matcher: &Node, need: &Need, providers: &Providers) -> Node {
    let mut rule = map(vec![("match", matcher.clone())]);
    let mut names: Vec<String> = providers.iter().map(|(name, _)| name.clone()).collect();
    let mut clauses: Vec<&Vec<Test>> = Vec::new();
    for clause in &need.all {
        let of: Option<Vec<(&String, bool)>> = clause
            .iter()
            .map(|test| match test {
                Test::Provider(name, holds) => Some((name, *holds)),
                _ => None,
            })
            .collect();
        match of {
            // The requirement expresses it.
            Some(of) => {
                names.retain(|name| of.iter().any(|(known, holds)| (*known == name) == *holds));
            }
            None => clauses.push(clause),
        }
    }
    match (names.is_empty(), need.missing) {
        (true, false) => {
            set(&mut rule, "deny", flag(true));
            return rule;
        }
        (true, true) => {
            let all: Vec<String> = providers.iter().map(|(name, _)| name.clone()).collect();
            set(&mut rule, "requires", any_of(&all, true));
            // Every token has an issuer, so no token is sufficient.
            let never = map(vec![
                ("claim_name", text("iss", &(0..0))),
                ("exists", flag(false)),
            ]);
            let authorize = map(vec![("claims", list(vec![never])), ("optional", flag(true))]);
            set(&mut rule, "authorize", authorize);
            return rule;
        }
        (false, missing) => set(&mut rule, "requires", any_of(&names, missing)),
    }
    if clauses.is_empty() {
        return rule;
    }
    let mut authorize: Vec<(&str, Node)> = Vec::new();
    // There is one object for scopes: for the first clause of scopes, or for all clauses with one scope of
    // its claims.
    let first = clauses
        .iter()
        .position(|clause| scopes_of(clause).is_some())
        .map(|first| clauses.remove(first));
    if let Some((names, mut values)) = first.and_then(|clause| scopes_of(clause)) {
        let mut kind = "any";
        if values.len() == 1 {
            clauses.retain(|clause| match scopes_of(clause) {
                Some((of, one)) if of == names && one.len() == 1 => {
                    kind = "all";
                    values.extend(one);
                    false
                }
                _ => true,
            });
        }
        let names = list(names.into_iter().map(|name| text(name, &(0..0))).collect());
        authorize.push(("scopes", map(vec![(kind, list(values)), ("claim_names", names)])));
    }
    if !clauses.is_empty() {
        let claims = clauses.iter().map(|clause| {
            let tests: Vec<Node> = clause.iter().map(|test| condition(test, providers)).collect();
            match tests.as_slice() {
                [one] => one.clone(),
                _ => map(vec![("any", list(tests))]),
            }
        });
        authorize.push(("claims", list(claims.collect())));
    }
    if need.missing {
        authorize.push(("optional", flag(true)));
    }
    set(&mut rule, "authorize", map(authorize));
    rule
}

/// The claims and the scopes of a clause that any of these scopes in any of these claims meets.
fn scopes_of(clause: &[Test]) -> Option<(Vec<String>, Vec<Node>)> {
    let (mut names, mut values): (Vec<String>, Vec<Node>) = (Vec::new(), Vec::new());
    for test in clause {
        let Test::Scope {
            claim,
            value,
            holds: true,
        } = test
        else {
            return None;
        };
        if !names.contains(claim) {
            names.push(claim.clone());
        }
        if !values.iter().any(|known| known.text() == value.text()) {
            values.push(value.clone());
        }
    }
    (!clause.is_empty() && clause.len() == names.len().saturating_mul(values.len()))
        .then_some((names, values))
}

/// A test as a condition of `authorize`.
fn condition(test: &Test, providers: &Providers) -> Node {
    let invert = |node: Node, holds: bool| match holds {
        true => node,
        false => with(node, "invert", flag(true)),
    };
    match test {
        Test::Provider(name, holds) => {
            let issuer = providers
                .iter()
                .find(|(known, _)| known == name)
                .map_or("", |(_, issuer)| issuer);
            let node = map(vec![
                ("claim_name", text("iss", &(0..0))),
                ("equals", text(issuer, &(0..0))),
            ]);
            invert(node, *holds)
        }
        Test::Scope { claim, value, holds } => {
            let scope = quote(value.text().unwrap_or_default());
            let node = map(vec![
                ("claim_name", text(claim.clone(), &value.place)),
                ("regex", text(format!("(.* )?{scope}( .*)?"), &value.place)),
                ("strings_only", flag(true)),
            ]);
            invert(node, *holds)
        }
        Test::Claim(node) => node.clone(),
    }
}

/// A text as a literal pattern.
pub(super) fn quote(text: &str) -> String {
    let mut pattern = String::new();
    for letter in text.chars() {
        if ".+*?()|[]{}^$\\".contains(letter) {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern
}
