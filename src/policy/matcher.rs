//! `match`: Envoy's `RouteMatch`, as far as a request's head decides it, and `methods` and `hosts`.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;

use super::header::{FieldKind, HeaderMatcher, MAX_VALUES, without_spaces};
use super::host::HostPattern;
use super::likeness::Match;
use super::path::{PathPattern, RequestPath};
use super::query::{ParameterMatcher, Query};
use crate::http::Authority;
use crate::ids::FieldId;
use crate::pattern::StringMatcher;
use crate::pattern::{Member, Search};
use crate::request::RequestHead;

/// Matches a request; all parts must.
#[derive(Debug, Default)]
pub struct RequestMatcher {
    /// Which paths; every one where it says nothing.
    pub path: Option<PathPattern>,
    /// Which methods, and the field; every one where it names none.
    pub methods: Option<(FieldId, Vec<Box<[u8]>>)>,
    /// Which hosts, and the field; every one where it names none.
    pub hosts: Option<(FieldId, Vec<HostPattern>)>,
    /// Header fields.
    pub headers: Vec<HeaderMatcher>,
    /// Parameters of the query, and the field of the path.
    pub parameters: Option<(FieldId, Vec<ParameterMatcher>)>,
}

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

/// What stands between the commas of a value, if it has any.
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

    fn query(&self, path: FieldId) -> &Query<'r> {
        let read = || Query::new(self.request.first(path).unwrap_or_default());
        self.query.get_or_init(read)
    }
}

impl RequestMatcher {
    /// Whether it looks at the path.
    #[must_use]
    pub fn reads_path(&self) -> bool {
        let is_path = |matcher: &HeaderMatcher| matcher.kind == FieldKind::Path;
        self.path.is_some() || self.headers.iter().any(is_path)
    }

    /// Whether the request matches, with its path read so.
    #[must_use]
    pub fn matches<'r>(&self, matched: &Matched<'r>, path: &RequestPath<'r>) -> Match {
        let is_path = self
            .path
            .as_ref()
            .is_none_or(|pattern| pattern.matches(path, matched));
        let by_path = match matched.gives_up() {
            true => Match::PERHAPS,
            false => Match::sure(is_path),
        };
        if by_path == Match::NO {
            return by_path;
        }
        let mut found = by_path;
        if let Some((field, methods)) = &self.methods {
            let method = matched.request.first(*field).unwrap_or_default();
            found = found.and(|| match_method(methods, method));
        }
        if let Some((field, hosts)) = &self.hosts {
            found = found.and(|| {
                let authority = matched.authority(*field);
                let matches = |found: Match, pattern: &HostPattern| found.or(|| pattern.matches(authority));
                hosts.iter().fold(Match::NO, matches)
            });
        }
        found = self.headers.iter().fold(found, |found, matcher| {
            found.and(|| matcher.matches(matched, path))
        });
        if let Some((field, parameters)) = &self.parameters {
            found = parameters.iter().fold(found, |found, matcher| {
                found.and(|| matcher.matches(matched.query(*field), matched))
            });
        }
        found
    }
}

/// Methods are case-sensitive (RFC 9110 section 9.1), but not to every server.
fn match_method(methods: &[Box<[u8]>], method: &[u8]) -> Match {
    if methods.iter().any(|known| **known == *method) {
        return Match::YES;
    }
    let is_alike = methods.iter().any(|known| known.eq_ignore_ascii_case(method));
    Match::NO.unless(!is_method(method) || is_alike)
}

/// Whether it is a method at all (RFC 9110 section 9.1: a token). What is none may be any.
pub(super) fn is_method(method: &[u8]) -> bool {
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !method.is_empty() && method.iter().all(is_token)
}
