//! Patterns (`safe_regex`, `regex`, `contains`): all patterns for one text are decided in one pass over it.
//!
//! RE2's syntax without Unicode classes. A pattern has to match the whole text. The text is bytes: what is UTF-8 counts as its
//! characters, and each byte that is not as a character of its own, which `.` and every negated class match. No such byte
//! hides what is beside it.
//!
//! A text costs a step for each byte, and more only where no text led there before. What that may cost one request is bounded
//! by [`Effort`]; beyond it the answer is [`Hits::Unknown`], and who asked has to decide for the safe side.

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

/// One pattern, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Node);

/// The patterns for one text.
#[derive(Debug)]
pub struct PatternSet {
    /// Those that are no part of the program yet.
    patterns: RefCell<Vec<Node>>,
    program: RefCell<Option<Program>>,
    states: RefCell<States>,
    /// The same for texts with line feeds, or where a pattern looks around it.
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
    number: u32,
}

/// One request's questions: what they may still cost, and the answers, so that no text is gone through twice.
#[derive(Debug)]
pub struct Search<'t> {
    /// What it may still cost.
    pub effort: Effort,
    found: Vec<(*const PatternSet, Text<'t>, Hits)>,
    /// Where the next answer is, if questions come in the same order again.
    next: usize,
}

/// A text that is kept as long as the answers for it, so that its address tells it from others.
#[derive(Clone, Debug)]
pub enum Text<'t> {
    /// A part of the request.
    Borrowed(&'t [u8]),
    /// What was made of one.
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
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// What is wrong with it, for whoever wrote it.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let node = syntax::parse(text)?;
        program::check(&node)?;
        Ok(Self(node))
    }

    /// What every text that it matches begins with, and whether nearly every text that begins so matches.
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

    /// Every text that holds this one.
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
    /// Adds a pattern. All have to be there before the first text is.
    #[must_use]
    pub fn add(self: &Rc<Self>, pattern: Pattern) -> Member {
        let mut patterns = self.patterns.borrow_mut();
        let number = u32::try_from(patterns.len()).unwrap_or(u32::MAX);
        patterns.push(pattern.0);
        Member {
            set: self.clone(),
            number,
        }
    }

    /// No pattern is added any more: does now what the first text would have to wait for.
    pub fn finish(&self) {
        self.program.borrow_mut().get_or_insert_with(|| {
            let mut compiler = Compiler::default();
            for (number, pattern) in (0..).zip(self.patterns.take()) {
                compiler.add(pattern, number);
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
                // What looks around it is decided where it looks, and not where it is reached.
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
    /// A pattern of its own.
    #[must_use]
    pub fn alone(pattern: Pattern) -> Self {
        let member = Rc::new(PatternSet::default()).add(pattern);
        member.set.finish();
        member
    }

    /// Whether it matches this text; `None`: to find out would cost too much.
    #[must_use]
    pub fn matches<'t>(&self, text: &Text<'t>, search: &mut Search<'t>) -> Option<bool> {
        search.matching(&self.set, text).hold(self.number)
    }

    /// The patterns of which it is one.
    #[must_use]
    pub const fn set(&self) -> &Rc<PatternSet> {
        &self.set
    }

    /// Its number among these.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// The same for a text that no one asks of again.
    #[must_use]
    pub fn matches_once(&self, text: &[u8], effort: &mut Effort) -> Option<bool> {
        self.set.matching(text, effort).hold(self.number)
    }
}

impl<'t> Search<'t> {
    /// With what one request may cost.
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
    /// Whether the pattern of this number matches; `None`: no one knows.
    #[must_use]
    pub fn hold(&self, number: u32) -> Option<bool> {
        match self {
            Self::Known(hits) => Some(hits.binary_search(&number).is_ok()),
            Self::Unknown => None,
        }
    }
}
