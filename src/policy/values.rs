//! The interpretations of the values of a header field.

use std::borrow::Cow;
use std::cell::OnceCell;

use crate::http::{Authority, is_token_byte, octet};
use crate::pattern::Text;

/// A field with more values or more elements of values may contain anything: a look at each would take
/// too long.
pub(super) const MAX_VALUES: usize = 16;

/// The kinds of fields that servers interpret differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// `:method`.
    Method,
    /// `:path`, with its query.
    Path,
    /// `:authority`.
    Authority,
    /// `cookie`.
    Cookie,
    /// Any other field.
    Other,
}

/// A text, and its value as a number.
#[derive(Debug)]
pub(super) struct Interpretation<'r> {
    pub(super) text: Text<'r>,
    number: OnceCell<Option<i64>>,
}

/// An interpretation of one value.
#[derive(Debug)]
pub(super) struct ValueInterpretations<'r> {
    /// As it is written.
    pub(super) whole: Interpretation<'r>,
    /// The value in another spelling.
    pub(super) spelt: Option<Interpretation<'r>>,
    /// An interpretation of some servers only: one element of the value, or the value with another port.
    pub(super) others: Vec<Interpretation<'r>>,
    /// Some server may take it for anything.
    pub(super) may_be_any: bool,
    /// As above, but only servers that split the value into elements.
    pub(super) is_cut: bool,
}

/// The interpretations of a field's values.
#[derive(Debug)]
pub(super) struct FieldInterpretations<'r> {
    /// The first values.
    pub(super) values: Vec<ValueInterpretations<'r>>,
    /// The field has too many values, so the rest may contain anything.
    pub(super) further: Vec<Interpretation<'r>>,
    joined: OnceCell<[Interpretation<'r>; 2]>,
}

impl<'r> Interpretation<'r> {
    pub(super) const fn new(text: Text<'r>) -> Self {
        Self {
            text,
            number: OnceCell::new(),
        }
    }

    fn borrowed(text: &'r [u8]) -> Self {
        Self::new(Text::Borrowed(text))
    }

    fn owned(text: Vec<u8>) -> Self {
        Self::new(Text::Shared(text.into()))
    }

    /// Its value as an integer.
    pub(super) fn number(&self) -> Option<i64> {
        *self
            .number
            .get_or_init(|| std::str::from_utf8(&self.text).ok()?.parse().ok())
    }
}

impl<'r> FieldInterpretations<'r> {
    /// The interpretations of these values of a request with this authority.
    pub(super) fn new(
        mut all: impl Iterator<Item = &'r [u8]>,
        kind: FieldKind,
        authority: Option<&Authority<'_>>,
    ) -> Self {
        let first: Vec<&'r [u8]> = all.by_ref().take(MAX_VALUES).collect();
        let rest: Vec<&'r [u8]> = all.collect();
        let looked_at = if rest.is_empty() { first.len() } else { 1 };
        let (values, further) = first.split_at(looked_at.min(first.len()));
        let mut room = MAX_VALUES;
        Self {
            values: values
                .iter()
                .map(|value| ValueInterpretations::new(value, kind, authority, &mut room))
                .collect(),
            further: further
                .iter()
                .chain(&rest)
                .map(|value| Interpretation::borrowed(value))
                .collect(),
            joined: OnceCell::new(),
        }
    }

    /// All values joined (RFC 9110 section 5.3).
    pub(super) fn joined(&self) -> &[Interpretation<'r>; 2] {
        self.joined.get_or_init(|| {
            let all: Vec<&[u8]> = self.values.iter().map(|value| &*value.whole.text).collect();
            [
                Interpretation::owned(all.join(&b","[..])),
                Interpretation::owned(all.join(&b", "[..])),
            ]
        })
    }
}

impl<'r> ValueInterpretations<'r> {
    /// `room` is the number of elements of the field that the filter still looks at.
    fn new(value: &'r [u8], kind: FieldKind, authority: Option<&Authority<'_>>, room: &mut usize) -> Self {
        let mut interpretations = Self {
            whole: Interpretation::borrowed(value),
            spelt: None,
            others: Vec::new(),
            may_be_any: false,
            is_cut: false,
        };
        match kind {
            // The caller passes one interpretation of the path at a time.
            FieldKind::Path => {}
            FieldKind::Method => {
                interpretations.may_be_any = !is_method(value);
                if value.iter().any(u8::is_ascii_lowercase) {
                    interpretations.spelt = Some(Interpretation::owned(value.to_ascii_uppercase()));
                }
            }
            FieldKind::Authority => match authority {
                Some(authority) => {
                    let owned = |text: Cow<'_, [u8]>| Interpretation::owned(text.into_owned());
                    interpretations.spelt = Some(authority.text()).filter(|text| **text != *value).map(owned);
                    interpretations.others = authority.others().map(owned).collect();
                }
                None => interpretations.may_be_any = true,
            },
            FieldKind::Cookie | FieldKind::Other => {
                let bare = without_spaces(value);
                interpretations.spelt = (bare.len() < value.len()).then(|| Interpretation::borrowed(bare));
                let mut elements = value.split(|byte| *byte == b',').map(without_spaces);
                // At least two elements are taken: they show whether the value has more than one.
                let first: Vec<&'r [u8]> = elements.by_ref().take((*room).max(2)).collect();
                interpretations.is_cut = elements.next().is_some();
                // A single element is the value itself.
                if first.len() > 1 {
                    *room = room.saturating_sub(first.len());
                    interpretations.others = first.into_iter().map(Interpretation::borrowed).collect();
                }
                if kind == FieldKind::Cookie {
                    interpretations
                        .others
                        .push(Interpretation::owned(plain_cookies(value)));
                }
            }
        }
        interpretations
    }
}

/// Cookies without escapes, white space and quotes: many servers drop these around names and values.
#[inline(never)]
fn plain_cookies(cookies: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(cookies.len());
    let mut rest = cookies;
    while let [first, after @ ..] = rest {
        let (mut byte, mut next) = (*first, after);
        if byte == b'%'
            && let [high, low, others @ ..] = after
            && let Some(decoded) = octet(*high, *low)
        {
            (byte, next) = (decoded, others);
        }
        rest = next;
        if byte > b' ' && byte != b'"' {
            plain.push(byte);
        }
        // As browsers write it.
        if byte == b';' {
            plain.push(b' ');
        }
    }
    plain
}

/// Whether it is a valid method (RFC 9110 section 9.1: a token). A server may take an invalid one for any
/// method.
pub(super) fn is_method(method: &[u8]) -> bool {
    !method.is_empty() && method.iter().all(|byte| is_token_byte(*byte))
}

/// The value without white space at both ends, as any server defines it: everything that Java's `trim` drops,
/// and the spaces beyond ASCII that Python's and JavaScript's drop, in Latin-1 and in UTF-8.
pub(super) fn without_spaces(mut value: &[u8]) -> &[u8] {
    while let [0xc2, 0x85 | 0xa0, rest @ ..] | [0..=b' ' | 0x85 | 0xa0, rest @ ..] = value {
        value = rest;
    }
    loop {
        value = match value {
            [rest @ .., 0xc2, 0x85 | 0xa0] | [rest @ .., 0..=b' '] => rest,
            // The byte ends another character in UTF-8.
            [.., 0x80..=0xff, 0x85 | 0xa0] => return value,
            [rest @ .., 0x85 | 0xa0] => rest,
            _ => return value,
        };
    }
}
