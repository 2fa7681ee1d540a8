//! Which rules may match a path: found by the beginning of the path, so that a request costs the same however many rules
//! there are.
//!
//! Finds too many rules rather than too few: the rules themselves decide.

use std::rc::Rc;

use super::matched::Matched;
use super::matcher::AnyMatcher;
use super::path::{PathTest, RequestPath};
use crate::pattern::{Hits, PatternSet};
use crate::sort::heap_sort;

/// So few rules are asked one after the other.
const FEW_RULES: usize = 8;

/// The rules by what they ask of a path.
#[derive(Debug, Default)]
pub struct RuleIndex {
    /// Whether there are so few rules that it is not used.
    is_off: bool,
    /// Whether any rule looks at path and query at once.
    reads_whole_path: bool,
    /// Rules with a matcher that takes any path, in order.
    any_path: Vec<u32>,
    /// The texts of `path`, `prefix` and `path_separated_prefix` in lower case, in order, each once.
    beginnings: Vec<Beginning>,
    /// The length of the longest of them.
    longest: usize,
    /// The numbers of patterns, each with its rule: both in order, since the patterns are numbered as they are read.
    patterns: Vec<(u32, u32)>,
    /// All patterns for paths.
    set: Option<Rc<PatternSet>>,
}

/// What paths may begin with.
#[derive(Debug)]
struct Beginning {
    text: Box<[u8]>,
    /// The longest other one with which this one begins.
    shorter: Option<usize>,
    /// The rules that have it.
    rules: Vec<u32>,
}

/// The rules that may match one path.
pub(super) struct Candidates<'i> {
    index: &'i RuleIndex,
    /// Those that its beginning has found, in order.
    found: Vec<u32>,
    /// Those whose patterns match, in order; `None` as long as no one has asked.
    by_pattern: Option<Vec<u32>>,
}

impl RuleIndex {
    /// The index of rules with these matchers.
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
        for (number, rule) in (0..).zip(rules) {
            for matcher in &rule.0 {
                let Some(path) = &matcher.path else {
                    index.any_path.push(number);
                    continue;
                };
                match path.test() {
                    PathTest::Exact(text) | PathTest::Prefix(text) | PathTest::SeparatedPrefix(text) => {
                        // An interpretation of a path is compared with another spelling.
                        texts.push((text.to_ascii_lowercase().into(), number));
                        if **text != *path.normal() {
                            texts.push((path.normal().to_ascii_lowercase().into(), number));
                        }
                    }
                    PathTest::Pattern(pattern) => {
                        index.patterns.push((pattern.number(), number));
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

    /// Whether any rule looks at path and query at once.
    pub(super) const fn reads_whole_path(&self) -> bool {
        self.reads_whole_path
    }

    /// The rules that may match the path; `None`: any may.
    pub(super) fn candidates(&self, path: &RequestPath<'_>) -> Option<Candidates<'_>> {
        if self.is_off {
            return None;
        }
        let head = path.bytes();
        let head = head.get(..self.longest).unwrap_or(head).to_ascii_lowercase();
        // Every beginning of the path is a beginning of the last text that is not after the path.
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
        let hits = self.set.as_ref().map(|set| matched.hits(set, path.bytes()));
        let rule_of = |(_, rule): &(u32, u32)| *rule;
        let rules: Vec<u32> = match hits {
            None => Vec::new(),
            Some(Hits::Unknown) => self.patterns.iter().map(rule_of).collect(),
            Some(Hits::Known(hits)) => hits
                .iter()
                .filter_map(|hit| {
                    let at = self.patterns.binary_search_by_key(hit, |(number, _)| *number);
                    at.ok().and_then(|at| self.patterns.get(at)).map(rule_of)
                })
                .collect(),
        };
        // Both lists are in the order of the rules.
        rules
    }
}

impl Candidates<'_> {
    /// The first candidate from this rule on. Patterns are tried only where one could be it.
    #[inline(never)]
    pub(super) fn from<'r>(
        &mut self,
        number: u32,
        path: &RequestPath<'r>,
        matched: &Matched<'r>,
    ) -> Option<u32> {
        let index = self.index;
        let first = |list: &[u32]| list.get(list.partition_point(|rule| *rule < number)).copied();
        let known = [first(&self.found), first(&index.any_path)]
            .into_iter()
            .flatten()
            .min();
        let of_patterns = match &self.by_pattern {
            Some(rules) => first(rules),
            None => {
                let next = index.patterns.partition_point(|(_, rule)| *rule < number);
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
