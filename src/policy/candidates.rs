//! Finds the rules that may match a path by the beginning of the path. The cost for a request does not depend
//! on the number of rules.
//!
//! The index may return too many rules, but never too few: the rules themselves decide.

use std::rc::Rc;

use super::matched::Matched;
use super::matcher::AnyMatcher;
use super::path::{PathTest, RequestPath};
use crate::pattern::{Hits, PatternSet};
use crate::sort::heap_sort;

/// Up to this number of rules, the engine evaluates them one after the other, without the index.
const FEW_RULES: usize = 8;

/// The rules, indexed by the paths that they match.
#[derive(Debug, Default)]
pub struct RuleIndex {
    /// There are so few rules that the index is not used.
    is_off: bool,
    /// A rule tests path and query together.
    reads_whole_path: bool,
    /// The rules with a matcher for any path, in order.
    any_path: Vec<u32>,
    /// The texts of `path`, `prefix` and `path_separated_prefix` in lower case, sorted, without duplicates.
    beginnings: Vec<Beginning>,
    /// The length of the longest text.
    longest: usize,
    /// The indexes of patterns, each with its rule. Both are in order, because the reader numbers the
    /// patterns as it reads them.
    patterns: Vec<(u32, u32)>,
    /// All patterns for paths.
    set: Option<Rc<PatternSet>>,
}

/// A text with which paths may begin.
#[derive(Debug)]
struct Beginning {
    text: Box<[u8]>,
    /// The longest other text that is a prefix of this one.
    shorter: Option<usize>,
    /// The rules with this text.
    rules: Vec<u32>,
}

/// The rules that may match one path.
pub(super) struct Candidates<'i> {
    index: &'i RuleIndex,
    /// The rules that the beginning of the path selects, in order.
    found: Vec<u32>,
    /// The rules whose patterns match, in order; `None` until the first caller needs them.
    by_pattern: Option<Vec<u32>>,
}

impl RuleIndex {
    /// The index for the rules with these matchers.
    #[must_use]
    pub fn new(rules: &[&AnyMatcher]) -> Self {
        let mut index = Self {
            is_off: rules.len() <= FEW_RULES,
            reads_whole_path: rules.iter().any(|rule| rule.reads_whole_path()),
            ..Self::default()
        };
        if index.is_off {
            return index;
        }
        let mut texts: Vec<(Box<[u8]>, u32)> = Vec::new();
        for (rule, matchers) in (0..).zip(rules) {
            for matcher in &matchers.0 {
                let Some(path) = &matcher.path else {
                    index.any_path.push(rule);
                    continue;
                };
                match path.test() {
                    PathTest::Exact(text) | PathTest::Prefix(text) | PathTest::SeparatedPrefix(text) => {
                        let is_exact = matches!(path.test(), PathTest::Exact(_));
                        // The path may match without the slash at its end.
                        let found_by = |text: &[u8]| match text {
                            [text @ .., b'/'] if is_exact && !text.is_empty() => text.to_ascii_lowercase(),
                            text => text.to_ascii_lowercase(),
                        };
                        // The index compares an interpretation of a path in another spelling.
                        texts.push((found_by(text).into(), rule));
                        if **text != *path.normal() {
                            texts.push((found_by(path.normal()).into(), rule));
                        }
                    }
                    PathTest::Pattern(pattern) => {
                        index.patterns.push((pattern.index(), rule));
                        index.set.get_or_insert_with(|| pattern.set().clone());
                    }
                }
            }
        }
        index.any_path.dedup();
        heap_sort(&mut texts);
        for (text, rule) in texts {
            index.longest = index.longest.max(text.len());
            match index.beginnings.last_mut() {
                Some(last) if last.text == text => last.rules.push(rule),
                _ => {
                    let mut shorter = index.beginnings.len().checked_sub(1);
                    while let Some(other) = shorter.and_then(|at| index.beginnings.get(at))
                        && !text.starts_with(&other.text)
                    {
                        shorter = other.shorter;
                    }
                    index.beginnings.push(Beginning {
                        text,
                        shorter,
                        rules: vec![rule],
                    });
                }
            }
        }
        index
    }

    /// Whether any rule tests path and query together.
    pub(super) const fn reads_whole_path(&self) -> bool {
        self.reads_whole_path
    }

    /// The rules that may match the path; `None` if any rule may.
    pub(super) fn candidates(&self, path: &RequestPath<'_>) -> Option<Candidates<'_>> {
        if self.is_off {
            return None;
        }
        let head = path.bytes();
        let head = head.get(..self.longest).unwrap_or(head).to_ascii_lowercase();
        // Every prefix of the path is a prefix of the last text that is not greater than the path.
        let after = self.beginnings.partition_point(|other| *other.text <= *head);
        let mut next = after.checked_sub(1);
        let mut found = Vec::new();
        let mut is_beginning = false;
        while let Some(beginning) = next.and_then(|at| self.beginnings.get(at)) {
            is_beginning = is_beginning || head.starts_with(&beginning.text);
            if is_beginning {
                found.extend_from_slice(&beginning.rules);
            }
            next = beginning.shorter;
        }
        heap_sort(&mut found);
        Some(Candidates {
            index: self,
            found,
            by_pattern: None,
        })
    }

    /// The rules with patterns that may match the path, in order.
    fn by_pattern<'r>(&self, path: &RequestPath<'r>, matched: &Matched<'r>) -> Vec<u32> {
        let rule_of = |(_, rule): &(u32, u32)| *rule;
        let Some(set) = &self.set else { return Vec::new() };
        let rules_for = |path: &RequestPath<'r>| -> Vec<u32> {
            match matched.hits(set, path.bytes()) {
                Hits::Unknown => self.patterns.iter().map(rule_of).collect(),
                Hits::Known(hits) => hits
                    .iter()
                    .filter_map(|hit| {
                        let at = self.patterns.binary_search_by_key(hit, |(pattern, _)| *pattern);
                        at.ok().and_then(|at| self.patterns.get(at)).map(rule_of)
                    })
                    .collect(),
            }
        };
        // Both lists are in the order of the rules.
        let mut rules = rules_for(path);
        if let Some(path) = path.without_last_slash() {
            rules.append(&mut rules_for(&path));
            heap_sort(&mut rules);
        }
        rules
    }
}

impl Candidates<'_> {
    /// Leaves the rules with patterns out, and returns the number of the others that it has collected.
    pub(super) fn skip_patterns(&mut self) -> usize {
        self.by_pattern = Some(Vec::new());
        self.found.len()
    }

    /// The first candidate at or after this rule. The function tries patterns only if one of them could be
    /// the first.
    #[inline(never)]
    pub(super) fn from<'r>(
        &mut self,
        start: u32,
        path: &RequestPath<'r>,
        matched: &Matched<'r>,
    ) -> Option<u32> {
        let index = self.index;
        let first = |list: &[u32]| list.get(list.partition_point(|rule| *rule < start)).copied();
        let known = [first(&self.found), first(&index.any_path)]
            .into_iter()
            .flatten()
            .min();
        let of_patterns = match &self.by_pattern {
            Some(rules) => first(rules),
            None => {
                let next = index.patterns.partition_point(|(_, rule)| *rule < start);
                let (_, next) = index.patterns.get(next).copied().unzip();
                match next {
                    Some(next) if known.is_none_or(|known| next < known) => {
                        first(self.by_pattern.insert(index.by_pattern(path, matched)))
                    }
                    _ => None,
                }
            }
        };
        [known, of_patterns].into_iter().flatten().min()
    }
}
