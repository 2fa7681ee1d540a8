//! A request, with the values that rules have computed for it.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;

use super::likeness::Match;
use super::query::Query;
use super::values::{FieldInterpretations, FieldKind, is_method};
use crate::denial::{Doubt, Doubtful};
use crate::http::Authority;
use crate::ids::{FieldId, MatcherId};
use crate::pattern::{Hits, Member, PatternSet, Search, StringMatcher, Text};
use crate::request::RequestHead;

/// A request, with the values that rules have computed for it. Each is computed at most once, and only if a
/// rule needs it.
#[derive(Debug)]
pub struct Matched<'r> {
    /// The request.
    pub request: &'r RequestHead,
    authority: OnceCell<Option<Authority<'r>>>,
    query: OnceCell<Query<'r>>,
    is_method: OnceCell<bool>,
    search: RefCell<Search<'r>>,
    /// By the index of the field.
    fields: RefCell<Vec<Option<Rc<FieldInterpretations<'r>>>>>,
    /// The results of matchers apart from the path, by matcher, if the path has several interpretations.
    apart_from_path: RefCell<Vec<Option<Match>>>,
    gave_up: Cell<bool>,
    /// The first part of the request, apart from the path, that is in doubt for the rule that is compared
    /// now.
    doubt: Cell<Option<Doubt>>,
    /// The first rule that may apply or not.
    doubtful: Cell<Doubtful>,
}

impl<'r> Matched<'r> {
    /// Nothing is computed yet.
    #[must_use]
    pub const fn new(request: &'r RequestHead) -> Self {
        Self {
            request,
            authority: OnceCell::new(),
            query: OnceCell::new(),
            is_method: OnceCell::new(),
            search: RefCell::new(Search::new()),
            fields: RefCell::new(Vec::new()),
            apart_from_path: RefCell::new(Vec::new()),
            gave_up: Cell::new(false),
            doubt: Cell::new(None),
            doubtful: Cell::new(Doubtful::PATH),
        }
    }

    /// The result for a part of the request.
    #[inline(never)]
    pub(super) fn noted(&self, found: Match, part: Doubt) -> Match {
        if !found.is_sure && self.doubt.get().is_none() {
            self.doubt.set(Some(part));
        }
        found
    }

    /// Notes that a rule may apply or not.
    #[inline(never)]
    pub(super) fn note_rule(&self, rule: usize, is_waiver: bool) {
        let part = self.doubt.take();
        if self.doubtful.get().rule == Doubtful::NO_RULE {
            self.doubtful.set(Doubtful {
                part: part.unwrap_or(Doubt::Path),
                rule: small(rule),
                is_waiver,
            });
        }
    }

    /// The first rule that may apply or not. Otherwise only the path can select another rule.
    pub(super) fn doubtful(&self) -> Doubtful {
        self.doubtful.get()
    }

    /// Prepares room for the results of this many matchers.
    pub(super) fn remember(&self, matchers: usize) {
        self.apart_from_path.borrow_mut().resize(matchers, None);
    }

    /// The result of this matcher apart from the path.
    pub(super) fn apart_from_path(&self, id: MatcherId, find: impl FnOnce() -> Match) -> Match {
        let known = self.apart_from_path.borrow().get(id.index()).copied().flatten();
        known.unwrap_or_else(|| {
            let found = find();
            if let Some(known) = self.apart_from_path.borrow_mut().get_mut(id.index()) {
                *known = Some(found);
            }
            found
        })
    }

    /// The interpretations of the values of a field, computed once for all rules.
    pub(super) fn field(&self, field: FieldId, kind: FieldKind) -> Rc<FieldInterpretations<'r>> {
        let known = self.fields.borrow().get(field.index()).cloned().flatten();
        known.unwrap_or_else(|| {
            let authority = match kind {
                FieldKind::Authority => self.authority(field),
                FieldKind::Method | FieldKind::Path | FieldKind::Cookie | FieldKind::Other => None,
            };
            let interpretations = Rc::new(FieldInterpretations::new(
                self.request.all(field),
                kind,
                authority,
            ));
            let mut fields = self.fields.borrow_mut();
            if fields.len() <= field.index() {
                fields.resize(field.index().saturating_add(1), None);
            }
            if let Some(place) = fields.get_mut(field.index()) {
                *place = Some(interpretations.clone());
            }
            interpretations
        })
    }

    /// Whether a text passes the test. False if the test would cost too much; then [`Self::gives_up`] returns
    /// true.
    pub(super) fn passes(&self, matcher: &StringMatcher, text: &Text<'r>) -> bool {
        self.known(matcher.matches(text, &mut self.search.borrow_mut()))
    }

    /// The same for a pattern.
    pub(super) fn is_match(&self, pattern: &Member, text: &'r [u8]) -> bool {
        self.known(pattern.matches(&Text::Borrowed(text), &mut self.search.borrow_mut()))
    }

    /// All patterns of a set that match.
    pub(super) fn hits(&self, set: &PatternSet, text: &'r [u8]) -> Hits {
        let mut search = self.search.borrow_mut();
        search.matching(set, &Text::Borrowed(text)).clone()
    }

    fn known(&self, found: Option<bool>) -> bool {
        self.gave_up.set(self.gave_up.get() || found.is_none());
        found == Some(true)
    }

    /// Whether the request has used up its effort, so that a further test would decide nothing.
    pub(super) fn is_spent(&self) -> bool {
        self.search.borrow().effort.is_spent()
    }

    /// Whether any test since the last call would have cost too much. Its result may be wrong.
    pub(super) fn gives_up(&self) -> bool {
        self.gave_up.take()
    }

    /// `None`: the method may be any.
    pub(super) fn authority(&self, field: FieldId) -> Option<&Authority<'r>> {
        let read = || self.request.authority(field);
        self.authority.get_or_init(read).as_ref()
    }

    /// Whether the request's method is a valid method.
    pub(super) fn is_method(&self, method: &[u8]) -> bool {
        *self.is_method.get_or_init(|| is_method(method))
    }

    pub(super) fn query(&self, path: FieldId) -> &Query<'r> {
        let read = || Query::new(self.request.first(path).unwrap_or_default());
        self.query.get_or_init(read)
    }
}

/// An index as a doubt has it.
pub(super) fn small(index: usize) -> u16 {
    u16::try_from(index).unwrap_or(u16::MAX)
}
