//! `match.query_parameters`: parameters of the query.

use std::borrow::Cow;

use super::likeness::Match;
use super::matched::{Matched, without_spaces};
use super::query::{Query, decode_once, decoded};
use crate::pattern::StringMatcher;

/// One of `query_parameters`.
#[derive(Debug)]
pub struct ParameterMatcher {
    /// Its name.
    pub name: Box<str>,
    /// What its first value must be; `None`: it must be there.
    pub value: Option<StringMatcher>,
    /// Whether it must be there at all.
    pub present: bool,
}

impl ParameterMatcher {
    /// Whether the parameter matches. As it is written, the first of several counts, by its name and value as the query spells
    /// them. A server may take another of them, decode both, or split the query otherwise.
    #[must_use]
    pub fn matches<'q>(&self, query: &Query<'q>, matched: &Matched<'q>) -> Match {
        let name = self.name.as_bytes();
        let of = |value: Option<&Cow<'q, [u8]>>| match &self.value {
            Some(matcher) => value.is_some_and(|value| matched.passes(matcher, value)),
            None => value.is_some() == self.present,
        };
        let first = query.pairs.iter().find(|pair| pair.name == name);
        let literal = of(first.map(|pair| Cow::Borrowed(pair.value)).as_ref());
        let is_doubtful = query.is_unclear
            || [&query.pairs, &query.finer].into_iter().any(|pairs| {
                // Without pairs of its own, the second is the first.
                let mut found = pairs.iter().filter(|pair| pair.is_named(name)).peekable();
                let is_absent = found.peek().is_none() && !pairs.is_empty();
                is_absent && of(None) != literal
                    || found.any(|pair| {
                        pair.name != name && of(None) != literal
                            || self.values_differ(pair.value, literal, of)
                    })
            });
        match matched.gives_up() {
            true => Match::PERHAPS,
            false => Match::sure(literal).unless(is_doubtful),
        }
    }

    /// Whether the value, read in some way, comes to another result than this.
    fn values_differ<'q>(
        &self,
        value: &'q [u8],
        literal: bool,
        of: impl Fn(Option<&Cow<'q, [u8]>>) -> bool,
    ) -> bool {
        if of(Some(&Cow::Borrowed(value))) != literal {
            return true;
        }
        if self.value.is_none() || !value.iter().any(|byte| matches!(byte, b'%' | b'+')) {
            return false;
        }
        [true, false].into_iter().any(|plus_is_space| {
            let once = decode_once(value, plus_is_space);
            let bare = without_spaces(&once);
            of(Some(&once)) != literal
                || bare.len() < once.len() && of(Some(&Cow::Owned(bare.to_vec()))) != literal
                || once.contains(&b'%')
                    && decoded(&once, false)
                        .is_none_or(|value| of(Some(&Cow::Owned(value.into_owned()))) != literal)
        })
    }
}
