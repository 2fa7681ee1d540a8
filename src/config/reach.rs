//! Parts of the configuration that no request reaches: rules behind another rule, and unused providers.
//!
//! They protect nothing, although their author believes that they do.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use super::error::ConfigError;
use super::node::Node;
use crate::ids::RuleId;
use crate::pattern::Pattern;
use crate::policy::{Policy, Requirement};
use crate::provider::Provider;

/// The requests of one matcher, as far as two matchers can be compared.
#[derive(Debug, Default)]
pub(super) struct Reach {
    paths: Paths,
    /// The common prefix of all these paths.
    text: String,
    ignore_case: bool,
    /// The other tests, as written.
    tests: String,
    /// The text of a pattern.
    pattern: Option<Box<str>>,
}

/// The kinds of path sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Paths {
    /// All paths that begin with the text.
    #[default]
    Beginning,
    /// The same, up to a maximal length and without line breaks: a pattern such as `/api/.*`.
    NearlyBeginning,
    /// The text, and all paths that continue it after a slash.
    Below,
    /// Only the text.
    Exact,
    /// Some paths that begin with the text: a pattern.
    Some,
}

/// The matchers before the current one.
#[derive(Debug, Default)]
pub(super) struct Earlier {
    /// Their indexes, by the set in one text. Each further kind of map would add kilobytes to the module.
    rules: BTreeMap<String, RuleId>,
    key: String,
    /// Some of them ignore case.
    ignores_case: bool,
    /// Some of them are patterns for nearly all paths.
    has_open_patterns: bool,
}

/// The reason for which a matcher has no effect.
#[derive(Clone, Copy)]
enum Covered {
    Surely(RuleId),
    Probably(RuleId),
}

impl Reach {
    pub(super) fn beginning(&mut self, text: &[u8], ignore_case: bool) {
        self.set(Paths::Beginning, text, ignore_case);
    }

    pub(super) fn below(&mut self, text: &[u8], ignore_case: bool) {
        self.set(Paths::Below, text, ignore_case);
    }

    pub(super) fn exact(&mut self, text: &[u8], ignore_case: bool) {
        self.set(Paths::Exact, text, ignore_case);
    }

    pub(super) fn pattern(&mut self, text: Box<str>, pattern: &Pattern) {
        let (begins, is_open) = pattern.beginning();
        let paths = if is_open {
            Paths::NearlyBeginning
        } else {
            Paths::Some
        };
        self.set(paths, &begins, false);
        self.pattern = Some(text);
    }

    fn set(&mut self, paths: Paths, text: &[u8], ignore_case: bool) {
        self.paths = paths;
        self.ignore_case = ignore_case;
        self.text = String::from_utf8_lossy(text).into_owned();
        if ignore_case {
            self.text.make_ascii_lowercase();
        }
    }

    /// Another test, with its value.
    pub(super) fn test(&mut self, name: &str, value: &str) {
        self.tests.push_str(name);
        self.tests.push_str(value);
    }

    /// Whether no other test limits the matcher.
    pub(super) fn is_everything(&self) -> bool {
        self.paths == Paths::Beginning && self.text.is_empty() && self.tests.is_empty()
    }
}

impl Earlier {
    /// Adds a matcher of a rule. Refuses it if an earlier rule makes it useless.
    pub(super) fn add(
        &mut self,
        reach: &Reach,
        rule: RuleId,
        node: &Node<'_>,
        warnings: &mut Vec<String>,
    ) -> Result<(), Box<ConfigError>> {
        match self.covering(reach) {
            Some(Covered::Surely(earlier)) if earlier == rule => {
                return Err(node.invalid(
                    "a part of its `match` can never match: an earlier part takes every request that this matches; \
                     remove it",
                ));
            }
            Some(Covered::Surely(earlier)) => {
                return Err(node.invalid(format!(
                    "can never match: rules[{}] comes first and takes every request that this matches; write the \
                     narrower rule before the wider one, or remove this",
                    earlier.index()
                )));
            }
            Some(Covered::Probably(earlier)) if earlier != rule => warnings.push(format!(
                "{}: hardly ever matches: rules[{}] comes first, and its pattern takes nearly every request that \
                 this matches; write the narrower rule before the wider one",
                node.path(),
                earlier.index()
            )),
            Some(Covered::Probably(_)) | None => {}
        }
        self.take(reach, rule);
        Ok(())
    }

    /// Adds a matcher without that check.
    pub(super) fn take(&mut self, reach: &Reach, rule: RuleId) {
        let kind = kind(reach.paths, reach.ignore_case);
        self.ignores_case |= reach.ignore_case;
        self.has_open_patterns |= reach.paths == Paths::NearlyBeginning;
        let pattern = reach.pattern.as_deref().map(|pattern| ('p', pattern));
        for (kind, text) in [Some((kind, &*reach.text)), pattern].into_iter().flatten() {
            self.spell(&reach.tests, kind, text);
            if !self.rules.contains_key(&self.key) {
                self.rules.insert(self.key.clone(), rule);
            }
        }
    }

    /// Whether one of the earlier matchers covers every request of this one.
    pub(super) fn surely_covers(&mut self, reach: &Reach) -> bool {
        matches!(self.covering(reach), Some(Covered::Surely(_)))
    }

    fn spell(&mut self, tests: &str, kind: char, text: &str) {
        self.key.clear();
        self.key.push_str(tests);
        self.key.push(kind);
        self.key.push_str(text);
    }

    fn find(&mut self, tests: &str, kind: char, text: &str) -> Option<RuleId> {
        self.spell(tests, kind, text);
        self.rules.get(&self.key).copied()
    }

    fn covering(&mut self, reach: &Reach) -> Option<Covered> {
        let mut probable = None;
        let own = Some(&*reach.tests).filter(|tests| !tests.is_empty());
        for tests in [Some(""), own].into_iter().flatten() {
            match self.covering_with(tests, reach) {
                Some(Covered::Probably(rule)) => probable = probable.or(Some(rule)),
                Some(sure) => return Some(sure),
                None => {}
            }
        }
        probable.map(Covered::Probably)
    }

    /// One of the matchers with the same other tests that covers all of these paths.
    fn covering_with(&mut self, tests: &str, reach: &Reach) -> Option<Covered> {
        if let Some(pattern) = &reach.pattern
            && let Some(rule) = self.find(tests, 'p', pattern)
        {
            return Some(Covered::Surely(rule));
        }
        let lower = reach.text.to_ascii_lowercase();
        let is_narrow = matches!(reach.paths, Paths::Exact | Paths::Below);
        let mut probable = None;
        for (text, ignore_case) in [(&reach.text, false), (&lower, true)] {
            // A case-sensitive matcher does not cover a matcher that ignores case.
            if reach.ignore_case && !ignore_case || ignore_case && !self.ignores_case {
                continue;
            }
            for end in 0..=text.len() {
                let Some((head, tail)) = text.split_at_checked(end) else {
                    continue;
                };
                let is_whole = tail.is_empty();
                for (paths, is_covered) in [
                    (Paths::Beginning, true),
                    (Paths::Below, tail.starts_with('/') || is_whole && is_narrow),
                    (Paths::Exact, is_whole && reach.paths == Paths::Exact),
                    (Paths::NearlyBeginning, !ignore_case && self.has_open_patterns),
                ] {
                    let rule = match is_covered {
                        true => self.find(tests, kind(paths, ignore_case), head),
                        false => None,
                    };
                    match (rule, paths) {
                        (Some(rule), Paths::NearlyBeginning) => probable = probable.or(Some(rule)),
                        (Some(rule), _) => return Some(Covered::Surely(rule)),
                        (None, _) => {}
                    }
                }
            }
        }
        probable.map(Covered::Probably)
    }
}

/// A letter that identifies the kind of set.
const fn kind(paths: Paths, ignore_case: bool) -> char {
    match (paths, ignore_case) {
        (Paths::Beginning, false) => 'b',
        (Paths::Beginning, true) => 'B',
        (Paths::Below, false) => 's',
        (Paths::Below, true) => 'S',
        (Paths::Exact, false) => 'e',
        (Paths::Exact, true) => 'E',
        (Paths::NearlyBeginning, _) => 'n',
        (Paths::Some, _) => 'x',
    }
}

/// Warns of rules that earlier rules hide together.
// Not inlined here and below, for the memory of Envoy: docs/adr/0010-build-settings.md.
#[inline(never)]
pub(super) fn warn_of_hidden(policy: &Policy, warnings: &mut Vec<String>) {
    for (rule, part, by) in policy.hidden() {
        let mut place = format!("rules[{}]", rule.index());
        if policy
            .rules
            .get(rule.index())
            .is_some_and(|rule| rule.matcher.0.len() > 1)
        {
            place.push_str(&format!(".match[{part}]"));
        }
        for (at, rule) in by.into_iter().enumerate() {
            place.push_str(if at == 0 { ": never matches: " } else { " and " });
            place.push_str(&format!("rules[{}]", rule.index()));
        }
        place.push_str(
            " take every request that this matches; write the narrower rule before the wider one, or remove this",
        );
        warnings.push(place);
    }
}

/// Warns of providers that no request uses. `everything` is the rule that matches every request, if there is
/// one.
#[inline(never)]
pub(super) fn warn_of_unused(
    policy: &Policy,
    providers: &[Provider],
    everything: Option<RuleId>,
    warnings: &mut Vec<String>,
) {
    // If no rule matches, a token of any provider suffices.
    let Some(everything) = everything else { return };
    let rule = everything.index();
    if policy.filter_state_rules.is_some() {
        warnings.push(format!(
            "filter_state_rules: never used: rules[{rule}] takes every request, and filter_state_rules apply where no \
             rule matches"
        ));
    }
    let demands = policy.rules.iter().map(|rule| &rule.demand);
    let demands = demands.chain(policy.requirement_map.iter().map(|(_, demand)| demand));
    let mut used = vec![false; providers.len()];
    for named in demands.flat_map(|demand| demand.requirement.providers()) {
        if let Some(used) = used.get_mut(named.provider.index()) {
            *used = true;
        }
    }
    for (provider, _) in providers.iter().zip(used).filter(|(_, used)| !used) {
        warnings.push(format!(
            "providers.{}: never used: no rule and no entry of requirement_map names it, and rules[{rule}] takes every \
             request",
            provider.name
        ));
    }
}

/// Two providers whose tokens cannot come with the same request: both use the same locations, and each
/// location has one token.
pub(super) fn exclude_each_other(
    parts: &[Requirement],
    providers: &[Provider],
) -> Option<(Box<str>, Box<str>)> {
    let of = |part: &Requirement| match part {
        Requirement::Provider(named) => providers.get(named.provider.index()),
        _ => None,
    };
    for (index, one) in parts.iter().enumerate() {
        for (one, other) in of(one).into_iter().flat_map(|one| {
            let later = parts.iter().skip(index.saturating_add(1)).filter_map(of);
            later.map(move |other| (one, other))
        }) {
            let overlap = one.claims.issuers.iter().any(|one| {
                let mut others = other.claims.issuers.iter();
                others.any(|other| crate::claims::issuers_overlap(one, other))
            });
            if !overlap && (shares_places(one, other) || shares_places(other, one)) {
                return Some((one.name.clone(), other.name.clone()));
            }
        }
    }
    None
}

/// Whether the second provider uses every location of the first, and cannot choose between two tokens.
fn shares_places(few: &Provider, many: &Provider) -> bool {
    many.preferred.is_empty()
        && few
            .locations
            .iter()
            .all(|location| many.locations.contains(location))
}
