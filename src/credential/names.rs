//! The names of parameters or cookies that may contain a token. One pass over the request finds them all.

use std::borrow::Cow;

use super::spelling;
use crate::denial::{Denial, Detail, Reason};
use crate::http::percent::BadEscape;
use crate::ids::{FieldId, LocationId};

/// The names in one field.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// The field.
    pub(super) field: FieldId,
    /// The names, in the order of their locations.
    list: Vec<(LocationId, Box<[u8]>)>,
    /// The hashes of the names as [`spelling::fold`] writes them, sorted.
    by_hash: Vec<(u32, usize)>,
    longest: usize,
    /// The first bytes of the names: one bit for each byte, without its upper three bits.
    first_bytes: u32,
}

/// The result so far for each name, in the order of [`Names`].
#[derive(Debug)]
pub(super) struct Slots<'n, 'a> {
    names: &'n Names,
    all: Vec<Slot<'a>>,
    /// The number of the current pair: a pair counts once for each name.
    pair: usize,
}

#[derive(Clone, Debug)]
struct Slot<'a> {
    found: Result<Option<Cow<'a, [u8]>>, Denial>,
    pair: usize,
}

impl Names {
    pub(super) fn add(&mut self, id: LocationId, field: FieldId, name: &[u8]) {
        self.field = field;
        let hash = name.iter().copied().map(spelling::fold).fold(START, mix);
        let at = self.by_hash.partition_point(|(known, _)| *known < hash);
        self.by_hash.insert(at, (hash, self.list.len()));
        self.list.push((id, name.into()));
        self.longest = self.longest.max(name.len());
        self.first_bytes |= name.first().map_or(u32::MAX, |byte| first_bit(*byte));
    }

    /// The index of the name at this location.
    pub(super) fn number(&self, id: LocationId) -> Option<usize> {
        self.list.binary_search_by_key(&id, |(known, _)| *known).ok()
    }

    /// Calls `found` with each name that equals the text exactly.
    pub(super) fn each_same(&self, text: &[u8], found: &mut dyn FnMut(usize)) {
        if text.len() <= self.longest && self.may_begin(text) {
            let hash = text.iter().copied().map(spelling::fold).fold(START, mix);
            for (number, name) in self.of(hash) {
                if *name == *text {
                    found(number);
                }
            }
        }
    }

    /// Calls `found` with each name for which some server takes the text, because that server ends the name
    /// at a NUL, a bracket or white space.
    pub(super) fn each_beginning(&self, text: &[u8], found: &mut dyn FnMut(usize)) {
        let text = spelling::begin(text);
        let end = text.trim_ascii_end().len();
        if !self.may_begin(text) {
            return;
        }
        let mut hash = START;
        let mut rest = text;
        for length in 0..=self.longest {
            let next = rest.split_first();
            if length >= end || matches!(next, Some((b'[' | 0, _))) {
                let head = text.get(..length).unwrap_or(text);
                for (number, name) in self.of(hash) {
                    if spelling::is_alike(head, name) {
                        found(number);
                    }
                }
            }
            let Some((byte, after)) = next else { break };
            hash = mix(hash, spelling::fold(*byte));
            rest = after;
        }
    }

    fn may_begin(&self, text: &[u8]) -> bool {
        text.first()
            .is_none_or(|byte| first_bit(*byte) & self.first_bytes != 0)
    }

    /// The indexes of all names that are not longer than this.
    pub(super) fn up_to(&self, length: usize) -> impl Iterator<Item = usize> {
        let names = self.list.iter().enumerate();
        names
            .filter(move |(_, (_, name))| name.len() <= length)
            .map(|(number, _)| number)
    }

    fn of(&self, hash: u32) -> impl Iterator<Item = (usize, &[u8])> {
        let start = self.by_hash.partition_point(|(known, _)| *known < hash);
        let found = self.by_hash.get(start..).unwrap_or_default().iter();
        found
            .take_while(move |(known, _)| *known == hash)
            .filter_map(|(_, number)| Some((*number, &*self.list.get(*number)?.1)))
    }
}

impl<'n, 'a> Slots<'n, 'a> {
    pub(super) fn new(names: &'n Names) -> Self {
        let nothing = Slot {
            found: Ok(None),
            pair: 0,
        };
        Self {
            names,
            all: vec![nothing; names.list.len()],
            pair: 0,
        }
    }

    /// The next pair follows.
    pub(super) fn next_pair(&mut self) {
        self.pair = self.pair.saturating_add(1);
    }

    /// Notes the pair's value for a name, once for each pair. Fails with `token_multiple` if an earlier pair
    /// had a value, and with `request_malformed` if the value has a broken escape.
    pub(super) fn take(&mut self, number: usize, value: Result<Cow<'a, [u8]>, BadEscape>) {
        let Some(slot) = self.all.get_mut(number).filter(|slot| slot.pair != self.pair) else {
            return;
        };
        slot.pair = self.pair;
        if let Ok(before) = &slot.found {
            let id = self.names.list.get(number).map(|(id, _)| *id).unwrap_or_default();
            slot.found = match (before, value) {
                (_, Err(_)) => Err(Denial::new(Reason::RequestMalformed).because(Detail::BrokenEscape(id))),
                (None, Ok(value)) => Ok(Some(value)),
                (Some(_), Ok(_)) => Err(Denial::new(Reason::TokenMultiple).because(Detail::Twice(id))),
            };
        }
    }

    /// Whether the value of this name matters: the name has not occurred twice.
    pub(super) fn is_due(&self, number: usize) -> bool {
        self.all.get(number).is_some_and(|slot| slot.found.is_ok())
    }

    /// Notes a malformed token: only some servers find the name.
    pub(super) fn take_none(&mut self, number: usize) {
        self.take(number, Ok(Cow::Borrowed(spelling::NO_TOKEN)));
    }

    /// The result for a location.
    pub(super) fn at(&mut self, id: LocationId) -> Result<Option<Cow<'a, [u8]>>, Denial> {
        let number = self.names.number(id);
        let slot = number.and_then(|number| self.all.get_mut(number));
        slot.map_or(Ok(None), |slot| std::mem::replace(&mut slot.found, Ok(None)))
    }
}

fn first_bit(byte: u8) -> u32 {
    1 << (spelling::fold(byte) & 0x1f)
}

const START: u32 = 0x811c_9dc5;

/// FNV-1a.
fn mix(hash: u32, byte: u8) -> u32 {
    (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Names that are prefixes of each other, and names that servers confuse.
    pub(in crate::credential) const NAMES: [&str; 9] = [
        "a",
        "ab",
        "a_b",
        "token",
        "access_token",
        "a[b]",
        "A",
        "_b",
        "a+b",
    ];

    pub(in crate::credential) fn names() -> Names {
        let mut names = Names::default();
        for (number, name) in NAMES.iter().enumerate() {
            names.add(LocationId::new(number), FieldId::new(0), name.as_bytes());
        }
        names
    }

    /// All texts of these pieces, in a fixed order.
    pub(in crate::credential) fn texts(pieces: &'static [&'static str]) -> impl Iterator<Item = String> {
        let mut state = 7_u64;
        let mut below = move |end: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            ((state >> 33) as usize).checked_rem(end).expect("a choice")
        };
        (0..20_000).map(move |_| (0..below(10)).map(|_| pieces[below(pieces.len())]).collect())
    }

    /// The result for a location whose values were found one by one.
    pub(in crate::credential) fn only<'a>(
        id: LocationId,
        values: impl Iterator<Item = Result<Cow<'a, [u8]>, Denial>>,
    ) -> Result<Option<Cow<'a, [u8]>>, Denial> {
        let mut found = None;
        for value in values {
            if found.replace(value?).is_some() {
                return Err(Denial::new(Reason::TokenMultiple).because(Detail::Twice(id)));
            }
        }
        Ok(found)
    }
}
