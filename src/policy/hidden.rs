//! Parts of rules that earlier rules hide together, such as one for `GET` and one for all other methods.
//!
//! The search tries requests that represent all others: with each path, method, host and field that the
//! earlier rules distinguish, and with a value that they do not know. If the search is not sure, it reports
//! nothing.

use super::header::HeaderTest;
use super::host::HostPattern;
use super::matched::Matched;
use super::matcher::{AnyMatcher, RequestMatcher};
use super::path::{PathPattern, PathTest, RequestPath};
use super::{FieldKind, Match, Policy};
use crate::ids::{FieldId, RuleId};
use crate::request::RequestHead;

/// A value that represents all values that no rule names.
const OTHER: &[u8] = b"zqxj";

/// The most steps of the searches for one configuration. Each compares a rule with a request. Every worker
/// does this when it reads the configuration.
const MOST_STEPS: usize = 200_000;

/// The steps for one further request, whose path has to be read.
const REQUEST_STEPS: usize = 8;

/// The most paths, fields, and values of a field that one search distinguishes.
const MOST_VALUES: usize = 64;

/// The values of a field that rules distinguish. An empty value means that the field is absent.
type Axis = (FieldId, Vec<Vec<u8>>);

/// Whether one part of a rule is hidden.
struct Search<'p> {
    policy: &'p Policy,
    rule: RuleId,
    part: &'p RequestMatcher,
    paths: Vec<Vec<u8>>,
    axes: Vec<Axis>,
    /// The rules that match its requests, in order.
    by: Vec<RuleId>,
    /// The steps that are left. With none, the search is not sure.
    left: usize,
    /// There are more paths, fields or values than the search distinguishes.
    is_beyond: bool,
}

impl Search<'_> {
    /// Adds everything that the part distinguishes.
    #[inline(never)]
    fn take(&mut self, part: &RequestMatcher) {
        if let Some((text, is_whole)) = part.path.as_ref().and_then(text_of) {
            self.add_path(text);
            if !is_whole {
                self.add_path(&[text, OTHER].concat());
                self.add_path(&[text, b"/", OTHER].concat());
            }
        }
        for (field, methods) in part.methods.iter() {
            for method in methods {
                self.add(*field, OTHER, method);
            }
        }
        for (field, hosts) in part.hosts.iter() {
            for host in hosts {
                let text = match host {
                    HostPattern::Any => OTHER.to_vec(),
                    HostPattern::Exact(host) => host.text().into_owned(),
                    HostPattern::Under(host) => [OTHER, b".", &host.text()].concat(),
                };
                self.add(*field, OTHER, &text);
            }
        }
        for header in &part.headers {
            self.add(header.field, b"", OTHER);
            if let HeaderTest::Text(test) = &header.test {
                self.add(header.field, b"", test.only().unwrap_or(OTHER));
            }
        }
        for part in part.not.iter().flat_map(|not| &not.0) {
            self.take(part);
        }
    }

    fn add_path(&mut self, path: &[u8]) {
        if !self.is_beyond && !self.paths.iter().any(|known| known == path) {
            self.is_beyond |= self.paths.len() >= MOST_VALUES;
            self.paths.push(path.to_vec());
        }
    }

    #[inline(never)]
    fn add(&mut self, field: FieldId, other: &[u8], value: &[u8]) {
        if self.is_beyond {
            return;
        }
        let known = self.axes.iter().position(|(known, _)| *known == field);
        let at = known.unwrap_or(self.axes.len());
        if known.is_none() {
            self.is_beyond |= at >= MOST_VALUES;
            self.axes.push((field, vec![other.to_vec()]));
        }
        if let Some((_, values)) = self.axes.get_mut(at)
            && !values.iter().any(|known| known == value)
        {
            self.is_beyond |= values.len() >= MOST_VALUES;
            values.push(value.to_vec());
        }
    }

    /// Whether earlier rules certainly match all requests of the part.
    fn is_hidden(&mut self) -> bool {
        let own = self.part.path.as_ref().map_or(Some((&b"/"[..], false)), text_of);
        let Some((own, is_whole)) = own else { return false };
        self.take(self.part);
        if self.paths.is_empty() {
            self.add_path(own);
            self.add_path(&[own, OTHER].concat());
        }
        // The rules for one of the paths may distinguish further paths.
        let mut at = 0;
        while let Some(path) = self.paths.get(at).cloned() {
            at = at.saturating_add(1);
            let is_own = path.starts_with(own) && !(is_whole && path != own);
            if !is_own {
                continue;
            }
            let mut is_taken = false;
            let (request, read) = (RequestHead::new(), RequestPath::new(&path));
            self.visit(&Matched::new(&request), &read, &mut |search, _, matcher| {
                is_taken = true;
                for part in &matcher.0 {
                    search.take(part);
                }
                search.is_beyond
            });
            if !is_taken || self.is_beyond {
                return false;
            }
        }
        let axes = std::mem::take(&mut self.axes);
        let mut paths = std::mem::take(&mut self.paths);
        paths.retain(|path| path.starts_with(own));
        paths
            .iter()
            .all(|path| self.covers(path, &axes, &RequestHead::new()))
            && !self.by.is_empty()
            && self.left > 0
    }

    /// Shows each earlier rule that may match a request with this path, in order, until the caller has seen
    /// enough. Leaves out the rules that distinguish more than the tried requests show.
    fn visit<'r>(
        &mut self,
        matched: &Matched<'r>,
        path: &RequestPath<'r>,
        is_enough: &mut dyn FnMut(&mut Self, RuleId, &AnyMatcher) -> bool,
    ) {
        let mut candidates = self.policy.index.candidates(path);
        if let Some(candidates) = &mut candidates {
            self.spend(candidates.skip_patterns());
        }
        let mut next = 0;
        while self.left > 0 {
            if let Some(candidates) = &mut candidates {
                let Some(found) = candidates.from(next, path, matched) else {
                    return;
                };
                next = found;
            }
            let Ok(id) = usize::try_from(next).map(RuleId::new) else {
                return;
            };
            let rule = self.policy.rules.get(id.index());
            let Some(rule) = rule.filter(|_| id < self.rule) else {
                return;
            };
            self.spend(rule.matcher.0.len());
            if is_plain(&rule.matcher) && is_enough(self, id, &rule.matcher) {
                return;
            }
            next = next.saturating_add(1);
        }
    }

    fn spend(&mut self, steps: usize) {
        self.left = self.left.saturating_sub(steps);
    }

    /// Whether earlier rules match all requests of the part with this path.
    fn covers(&mut self, path: &[u8], axes: &[Axis], request: &RequestHead) -> bool {
        if let Some(((field, values), axes)) = axes.split_first() {
            return values.iter().all(|value| {
                let mut request = request.clone();
                if !value.is_empty() {
                    request.push(*field, value);
                }
                self.covers(path, axes, &request)
            });
        }
        self.spend(REQUEST_STEPS);
        let (matched, read) = (Matched::new(request), RequestPath::new(path));
        if self.part.matches(&matched, &read) != Match::YES {
            return self.left > 0;
        }
        let mut is_covered = false;
        self.visit(&matched, &read, &mut |search, id, matcher| {
            is_covered = matcher.matches(&matched, &read) == Match::YES;
            if is_covered && let Err(at) = search.by.binary_search(&id) {
                search.by.insert(at, id);
            }
            is_covered
        });
        is_covered
    }
}

/// The text of a path pattern, and whether it is the whole path. `None` if the pattern is not a text, or is
/// one of several spellings.
fn text_of(path: &PathPattern) -> Option<(&[u8], bool)> {
    match path.test() {
        _ if path.ignores_case() => None,
        PathTest::Exact(text) => Some((text, true)),
        PathTest::Prefix(text) | PathTest::SeparatedPrefix(text) => Some((text, false)),
        PathTest::Pattern(_) => None,
    }
}

/// Whether the tried requests show everything that it distinguishes.
fn is_plain(matcher: &AnyMatcher) -> bool {
    matcher.0.iter().all(|part| {
        part.path.as_ref().is_none_or(|path| text_of(path).is_some())
            && part.parameters.is_none()
            && part.headers.iter().all(|header| match &header.test {
                HeaderTest::Text(test) => header.kind == FieldKind::Other && test.only().is_some(),
                HeaderTest::Present(_) => header.kind == FieldKind::Other,
                HeaderTest::Range(..) => false,
            })
            && part.not.as_ref().is_none_or(is_plain)
    })
}

impl Policy {
    /// Each part of a rule that earlier rules hide together: the rule, the part, and those rules.
    #[must_use]
    pub fn hidden(&self) -> Vec<(RuleId, usize, Vec<RuleId>)> {
        let mut found = Vec::new();
        let mut left = MOST_STEPS;
        for (index, rule) in self.rules.iter().enumerate() {
            for (position, part) in rule.matcher.0.iter().enumerate() {
                let mut search = Search {
                    policy: self,
                    rule: RuleId::new(index),
                    part,
                    paths: Vec::new(),
                    axes: Vec::new(),
                    by: Vec::new(),
                    left,
                    is_beyond: false,
                };
                if search.is_hidden() {
                    found.push((search.rule, position, std::mem::take(&mut search.by)));
                }
                left = search.left;
                if left == 0 {
                    return found;
                }
            }
        }
        found
    }
}
