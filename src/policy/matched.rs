//! A request with what the rules make of it.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;

use super::query::Query;
use crate::http::{Authority, is_token_byte};
use crate::ids::FieldId;
use crate::pattern::{Member, Search, StringMatcher};
use crate::request::RequestHead;

/// Where a field has more values, or a value more elements, they may hold anything: to look at each would take too long.
pub(super) const MAX_VALUES: usize = 16;

/// A request with what the rules make of it, each made once and where a rule asks for it only.
#[derive(Debug)]
pub struct Matched<'r> {
    /// The request.
    pub request: &'r RequestHead,
    authority: OnceCell<Option<Authority<'r>>>,
    query: OnceCell<Query<'r>>,
    search: RefCell<Search<'r>>,
    elements: RefCell<Vec<(&'r [u8], Rc<Elements<'r>>)>>,
    gave_up: Cell<bool>,
}

/// What is between the commas of a value, if it has any.
#[derive(Debug)]
pub(super) struct Elements<'r> {
    pub(super) first: Vec<&'r [u8]>,
    /// There are more than are looked at.
    pub(super) is_cut: bool,
}

impl<'r> Matched<'r> {
    /// Nothing is made of it yet.
    #[must_use]
    pub const fn new(request: &'r RequestHead) -> Self {
        Self {
            request,
            authority: OnceCell::new(),
            query: OnceCell::new(),
            search: RefCell::new(Search::new()),
            elements: RefCell::new(Vec::new()),
            gave_up: Cell::new(false),
        }
    }

    /// The elements of a header's value, looked for once for all rules.
    pub(super) fn elements(&self, value: &'r [u8]) -> Rc<Elements<'r>> {
        let mut known = self.elements.borrow_mut();
        if let Some((_, elements)) = known.iter().find(|(known, _)| std::ptr::eq(*known, value)) {
            return elements.clone();
        }
        let mut all = value.split(|byte| *byte == b',').map(without_spaces);
        let first: Vec<&[u8]> = all.by_ref().take(MAX_VALUES).collect();
        let elements = Rc::new(Elements {
            is_cut: all.next().is_some(),
            // One alone is the value itself.
            first: if first.len() > 1 { first } else { Vec::new() },
        });
        known.push((value, elements.clone()));
        elements
    }

    /// Whether a text passes the test. No, where it would cost too much to find out, which [`Self::gives_up`] says then.
    #[allow(
        clippy::ptr_arg,
        reason = "a text of the request itself is remembered, another is not"
    )]
    pub(super) fn passes(&self, matcher: &StringMatcher, text: &Cow<'r, [u8]>) -> bool {
        let mut search = self.search.borrow_mut();
        self.known(match text {
            Cow::Borrowed(text) => matcher.matches(text, &mut search),
            Cow::Owned(text) => matcher.matches_once(text, &mut search.effort),
        })
    }

    /// The same for a pattern.
    pub(super) fn is_match(&self, pattern: &Member, text: &'r [u8]) -> bool {
        self.known(pattern.matches(text, &mut self.search.borrow_mut()))
    }

    fn known(&self, found: Option<bool>) -> bool {
        self.gave_up.set(self.gave_up.get() || found.is_none());
        found == Some(true)
    }

    /// Whether anything since the last time would have cost too much. What was asked may be so, or not.
    pub(super) fn gives_up(&self) -> bool {
        self.gave_up.take()
    }

    /// `None`: it may be any.
    pub(super) fn authority(&self, field: FieldId) -> Option<&Authority<'r>> {
        let read = || self.request.authority(field);
        self.authority.get_or_init(read).as_ref()
    }

    pub(super) fn query(&self, path: FieldId) -> &Query<'r> {
        let read = || Query::new(self.request.first(path).unwrap_or_default());
        self.query.get_or_init(read)
    }
}

/// Whether it is a method at all (RFC 9110 section 9.1: a token). What is none may be any.
pub(super) fn is_method(method: &[u8]) -> bool {
    !method.is_empty() && method.iter().all(|byte| is_token_byte(*byte))
}

/// The value without what some server takes for white space at either end: all that Java's `trim` drops, and the spaces
/// beyond ASCII that Python's and JavaScript's drop, in Latin-1 and in UTF-8.
pub(super) fn without_spaces(mut value: &[u8]) -> &[u8] {
    while let [0xc2, 0x85 | 0xa0, rest @ ..] | [0..=b' ' | 0x85 | 0xa0, rest @ ..] = value {
        value = rest;
    }
    loop {
        value = match value {
            [rest @ .., 0xc2, 0x85 | 0xa0] | [rest @ .., 0..=b' '] => rest,
            // The end of a letter in UTF-8.
            [.., 0x80..=0xff, 0x85 | 0xa0] => return value,
            [rest @ .., 0x85 | 0xa0] => rest,
            _ => return value,
        };
    }
}
