//! Patterns (`safe_regex`, `regex`, `contains`): one pass over a text decides all patterns for it.
//!
//! The syntax is RE2's without Unicode classes. A pattern must match the whole text. A text is a sequence of
//! bytes. Valid UTF-8 counts as its characters. Every other byte counts as a character of its own, which `.`
//! and every negated class match, so that it does not hide its neighbors.
//!
//! Each byte of a text costs one step, and more only if no earlier text reached the same state. [`Effort`]
//! limits the cost for one request. Beyond this limit the answer is [`Hits::Unknown`], and the caller has to
//! make the safe choice.

mod automaton;
mod effort;
mod program;
mod string_matcher;
mod syntax;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::ops::Deref;
use std::rc::Rc;

use automaton::States;
pub use effort::{Effort, Hits};
use program::{Compiler, Program};
pub use string_matcher::StringMatcher;
pub use syntax::Fault;
use syntax::Node;

/// A parsed pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Node);

/// The patterns for one text.
#[derive(Debug)]
pub struct PatternSet {
    /// The patterns that are not yet a part of the program.
    patterns: RefCell<Vec<Node>>,
    program: RefCell<Option<Program>>,
    states: RefCell<States>,
    /// The program for texts with line feeds, or for patterns with assertions.
    states_of_lines: RefCell<States>,
}

impl Default for PatternSet {
    fn default() -> Self {
        Self {
            patterns: RefCell::default(),
            program: RefCell::default(),
            states: States::of_texts(false).into(),
            states_of_lines: States::of_texts(true).into(),
        }
    }
}

/// One pattern of a set.
#[derive(Clone, Debug)]
pub struct Member {
    set: Rc<PatternSet>,
    index: u32,
}

/// The remaining effort of one request, and the results so far: no text is searched twice.
#[derive(Debug)]
pub struct Search<'t> {
    /// The remaining effort.
    pub effort: Effort,
    found: Vec<(*const PatternSet, Text<'t>, Hits)>,
    /// The index of the next result if the searches have the same order as before.
    next: usize,
}

/// A text that lives as long as its results. Its address identifies it.
#[derive(Clone, Debug)]
pub enum Text<'t> {
    /// A part of the request.
    Borrowed(&'t [u8]),
    /// A text that was computed from a part of the request.
    Shared(Rc<[u8]>),
}

impl Deref for Text<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Borrowed(text) => text,
            Self::Shared(text) => text,
        }
    }
}

impl Pattern {
    /// Parses a pattern.
    ///
    /// # Errors
    ///
    /// Fails with the reason for which the pattern is invalid, for its author.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let node = syntax::parse(text)?;
        program::check(&node)?;
        Ok(Self(node))
    }

    /// The common prefix of all texts that the pattern matches, and whether it matches nearly every text with
    /// this prefix.
    #[must_use]
    pub fn beginning(&self) -> (Vec<u8>, bool) {
        let mut text = String::new();
        let parts = match &self.0 {
            Node::Concat(parts) => parts.as_slice(),
            only => std::slice::from_ref(only),
        };
        let mut rest = parts.iter();
        for part in rest.by_ref() {
            match part {
                Node::Char(letter) if let Some(letter) = char::from_u32(*letter) => text.push(letter),
                Node::Repeat(part, 0, None) => {
                    let is_open = matches!(&**part, Node::Set(ranges) if is_nearly_anything(ranges));
                    return (text.into_bytes(), is_open && rest.next().is_none());
                }
                _ => return (text.into_bytes(), false),
            }
        }
        (text.into_bytes(), false)
    }

    /// A pattern for every text that contains this one.
    #[must_use]
    pub fn containing(text: &str, ignore_case: bool) -> Self {
        let text = syntax::literal(text, ignore_case);
        Self(Node::Concat(vec![syntax::anything(), text, syntax::anything()]))
    }
}

/// Whether the characters are those of `.`.
fn is_nearly_anything(ranges: &[(u32, u32)]) -> bool {
    let has = |letter| ranges.iter().any(|(low, high)| (*low..=*high).contains(&letter));
    (0..128).filter(|letter| *letter != 10).all(has)
}

impl PatternSet {
    /// Adds a pattern. Add all patterns before the first search.
    #[must_use]
    pub fn add(self: &Rc<Self>, pattern: Pattern) -> Member {
        let mut patterns = self.patterns.borrow_mut();
        let index = u32::try_from(patterns.len()).unwrap_or(u32::MAX);
        patterns.push(pattern.0);
        Member {
            set: self.clone(),
            index,
        }
    }

    /// The set is complete. This does the work that the first search would do otherwise.
    pub fn finish(&self) {
        self.program.borrow_mut().get_or_insert_with(|| {
            let mut compiler = Compiler::default();
            for (index, pattern) in (0..).zip(self.patterns.take()) {
                compiler.add(pattern, index);
            }
            compiler.finish()
        });
    }

    /// The patterns that match this text as a whole.
    #[must_use]
    pub fn matching(&self, text: &[u8], effort: &mut Effort) -> Hits {
        if self.program.borrow().is_none() {
            self.finish();
        }
        match &*self.program.borrow() {
            Some(program) => {
                // The automaton decides an assertion at the place that it tests.
                let is_simple = !program.looks && memchr::memchr(b'\n', text).is_none();
                let states = match is_simple {
                    true => &self.states,
                    false => &self.states_of_lines,
                };
                states.borrow_mut().run(program, text, effort)
            }
            None => Hits::Unknown,
        }
    }
}

impl Member {
    /// A pattern with a set of its own.
    #[must_use]
    pub fn alone(pattern: Pattern) -> Self {
        let member = Rc::new(PatternSet::default()).add(pattern);
        member.set.finish();
        member
    }

    /// Whether the pattern matches this text; `None`: the search would cost too much.
    #[must_use]
    pub fn matches<'t>(&self, text: &Text<'t>, search: &mut Search<'t>) -> Option<bool> {
        search.matching(&self.set, text).hold(self.index)
    }

    /// The set of the pattern.
    #[must_use]
    pub const fn set(&self) -> &Rc<PatternSet> {
        &self.set
    }

    /// Its index in the set.
    #[must_use]
    pub const fn index(&self) -> u32 {
        self.index
    }

    /// The same as above, for a text that is searched only once.
    #[must_use]
    pub fn matches_once(&self, text: &[u8], effort: &mut Effort) -> Option<bool> {
        self.set.matching(text, effort).hold(self.index)
    }
}

impl<'t> Search<'t> {
    /// A matcher with the effort of one request.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            effort: Effort::of_a_request(),
            found: Vec::new(),
            next: 0,
        }
    }

    /// The patterns of the set that match the text.
    pub fn matching(&mut self, set: &PatternSet, text: &Text<'t>) -> &Hits {
        let is_it = |(known, of, _): &(*const PatternSet, Text<'t>, Hits)| {
            std::ptr::eq(*known, set) && std::ptr::eq::<[u8]>(&**of, &**text)
        };
        let (before, after) = self.found.split_at(self.next.min(self.found.len()));
        let found = match after.iter().position(is_it) {
            Some(at) => before.len().saturating_add(at),
            None => before.iter().position(is_it).unwrap_or(self.found.len()),
        };
        if found == self.found.len() {
            let hits = set.matching(text, &mut self.effort);
            self.found.push((set, text.clone(), hits));
        }
        self.next = found;
        self.found.get(found).map_or(&Hits::Unknown, |(_, _, hits)| hits)
    }
}

impl Default for Search<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl Hits {
    /// Whether the pattern with this index matches; `None` if that is unknown.
    #[must_use]
    pub fn hold(&self, index: u32) -> Option<bool> {
        match self {
            Self::Known(hits) => Some(hits.binary_search(&index).is_ok()),
            Self::Unknown => None,
        }
    }
}
