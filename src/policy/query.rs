//! The query of a request, in every interpretation by a server.

use std::borrow::Cow;
use std::cell::OnceCell;

use super::spelling::is_deceptive;
use super::values::without_spaces;
use crate::http::percent;
use crate::pattern::Text;

/// The query of a request, split into parameters.
#[derive(Debug)]
pub struct Query<'q> {
    /// The parameters as the URL standard splits them, at `&`.
    pub(super) pairs: Pairs<'q>,
    /// The parameters of servers that split at `;` as well; empty if the query has no `;`.
    pub(super) finer: Pairs<'q>,
    /// The query may contain any parameter.
    pub(super) is_unclear: bool,
}

/// Parameters, with an index by name.
#[derive(Debug, Default)]
pub(super) struct Pairs<'q> {
    list: Vec<Pair<'q>>,
    /// The hashes of their names, sorted.
    by_name: Vec<(u32, usize)>,
}

#[derive(Debug)]
pub(super) struct Pair<'q> {
    /// As written.
    pub(super) name: &'q [u8],
    /// Decoded once or several times.
    decoded: Cow<'q, [u8]>,
    pub(super) value: Text<'q>,
    decoded_values: OnceCell<DecodedValues>,
}

/// The interpretations of a value with escapes.
#[derive(Debug, Default)]
pub(super) struct DecodedValues {
    pub(super) all: Vec<Text<'static>>,
    /// The value may decode to anything.
    pub(super) may_be_any: bool,
}

/// A query with more parameters may contain any parameter: a search for the parameters of each rule would
/// take too long.
const MAX_PAIRS: usize = 256;

/// The number of decoding rounds. A value that still contains an escape after them may be anything.
const MAX_ROUNDS: usize = 3;

impl<'q> Query<'q> {
    /// The query of a `:path` field: the part after the first question mark.
    #[must_use]
    pub fn new(field: &'q [u8]) -> Self {
        let at = |byte| field.iter().position(|known| *known == byte);
        let end = at(b'#').unwrap_or(field.len());
        let start = at(b'?').filter(|start| *start < end).unwrap_or(end);
        let path = field.get(..start).unwrap_or(field);
        let query = field.get(start.saturating_add(1)..end).unwrap_or_default();
        // A server that decodes the path before it looks for the query finds another query.
        let hides_query =
            path.contains(&b'%') && decoded(path, false).is_none_or(|path| path.contains(&b'?'));
        // As in a path: an overlong form of UTF-8, or a `%u002e`, may be anything.
        let is_deceptive = query.contains(&b'%') && is_deceptive(query);
        let mut is_unclear = hides_query || is_deceptive || end < field.len();
        let mut split = |is_separator: fn(&u8) -> bool| {
            let mut pairs = Pairs::default();
            for pair in query.split(is_separator).filter(|pair| !pair.is_empty()) {
                match Pair::new(pair) {
                    Some(pair) if pairs.list.len() < MAX_PAIRS => pairs.push(pair),
                    _ => {
                        is_unclear = true;
                        break;
                    }
                }
            }
            pairs
        };
        let pairs = split(|byte| *byte == b'&');
        let finer = match query.contains(&b';') {
            true => split(|byte| matches!(byte, b'&' | b';')),
            false => Pairs::default(),
        };
        Self {
            pairs,
            finer,
            is_unclear,
        }
    }
}

impl<'q> Pair<'q> {
    /// `None`: the name may be any.
    fn new(pair: &'q [u8]) -> Option<Self> {
        let end = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
        let (name, value) = pair.split_at_checked(end)?;
        Some(Self {
            name,
            decoded: decoded(name, true)?,
            value: Text::Borrowed(value.strip_prefix(b"=").unwrap_or(value)),
            decoded_values: OnceCell::new(),
        })
    }

    /// The interpretations of its value, beside the value as written.
    pub(super) fn decoded_values(&self) -> &DecodedValues {
        self.decoded_values.get_or_init(|| {
            let mut made = DecodedValues::default();
            if !self.value.iter().any(|byte| matches!(byte, b'%' | b'+')) {
                return made;
            }
            let mut add = |text: &[u8]| {
                if made.all.iter().all(|known| **known != *text) {
                    made.all.push(Text::Shared(text.into()));
                }
            };
            for plus_is_space in [true, false] {
                let once = decode_once(&self.value, plus_is_space);
                add(&once);
                add(without_spaces(&once));
                match once.contains(&b'%').then(|| decoded(&once, false)) {
                    None => {}
                    Some(Some(text)) => add(&text),
                    Some(None) => made.may_be_any = true,
                }
            }
            made
        })
    }

    /// The hashes of the names under which a server may find it.
    fn hashes(&self) -> [u32; 4] {
        let decoded = hash(&self.decoded);
        let name = match self.decoded {
            Cow::Borrowed(_) => decoded,
            Cow::Owned(_) => hash(self.name),
        };
        // Each of these is a part of the one before, and mostly all of it.
        let unless_all = |text: &[u8], all: &[u8], of_all| match text.len() == all.len() {
            true => of_all,
            false => hash(text),
        };
        let whole = unless_all(self.whole_name(), &self.decoded, decoded);
        let short = unless_all(self.short_name(), self.whole_name(), whole);
        [name, decoded, whole, short]
    }

    /// Its name for servers that drop white space or a question mark before it.
    fn whole_name(&self) -> &[u8] {
        let is_kept = |byte: &u8| !byte.is_ascii_whitespace() && *byte != b'?';
        let begin = self.decoded.iter().position(is_kept);
        begin
            .and_then(|begin| self.decoded.get(begin..))
            .unwrap_or_default()
    }

    /// Its name for servers that also drop the part in brackets or after a NUL, and white space at the end.
    fn short_name(&self) -> &[u8] {
        let text = self.whole_name();
        let end = text.iter().position(|byte| matches!(byte, b'[' | 0));
        end.and_then(|end| text.get(..end))
            .unwrap_or(text)
            .trim_ascii_end()
    }

    /// Whether some server takes its name for this one. PHP replaces dots, spaces and an open bracket by
    /// underscores. PHP and others drop the part in brackets. `URLSearchParams` drops a question mark before
    /// the first name. Some servers ignore the case of letters, or stop at a NUL.
    pub(super) fn is_named(&self, name: &[u8]) -> bool {
        let is_alike = |text: &[u8]| text.iter().map(plain).eq(name.iter().map(plain));
        is_alike(&self.decoded) || is_alike(self.whole_name()) || is_alike(self.short_name())
    }
}

impl<'q> Pairs<'q> {
    fn push(&mut self, pair: Pair<'q>) {
        let index = self.list.len();
        let mut last = None;
        for hash in pair.hashes() {
            if last.replace(hash) == Some(hash) {
                continue;
            }
            // The lists are short, and a sort costs the module more bytes than it saves time.
            let place = self.by_name.partition_point(|known| *known < (hash, index));
            if self.by_name.get(place) != Some(&(hash, index)) {
                self.by_name.insert(place, (hash, index));
            }
        }
        self.list.push(pair);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The parameters that may have this name, in order.
    pub(super) fn about(&self, name: &[u8]) -> impl Iterator<Item = &Pair<'q>> + Clone {
        let hash = hash(name);
        let start = self.by_name.partition_point(|(known, _)| *known < hash);
        let found = self.by_name.get(start..).unwrap_or_default().iter();
        found
            .take_while(move |(known, _)| *known == hash)
            .filter_map(|(_, index)| self.list.get(*index))
    }
}

/// The representative of the characters that a server may treat alike in a name.
fn plain(byte: &u8) -> u8 {
    match byte {
        b'.' | b' ' | b'[' => b'_',
        byte => byte.to_ascii_lowercase(),
    }
}

/// FNV-1a.
fn hash(name: &[u8]) -> u32 {
    name.iter().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(plain(byte))).wrapping_mul(0x0100_0193)
    })
}

/// The value after several rounds of decoding; `None` if it may decode to anything.
pub(super) fn decoded(text: &[u8], plus_is_space: bool) -> Option<Cow<'_, [u8]>> {
    let mut found = Cow::Borrowed(text);
    for _ in 0..MAX_ROUNDS {
        match decode_once(&found, plus_is_space) {
            Cow::Borrowed(_) => return Some(found),
            Cow::Owned(next) => found = Cow::Owned(next),
        }
    }
    match decode_once(&found, false) {
        Cow::Borrowed(_) => Some(found),
        Cow::Owned(_) => None,
    }
}

/// The value after one round as most servers decode, which leave a broken escape unchanged. Borrowed if there
/// is nothing to decode.
pub(super) fn decode_once(mut text: &[u8], plus_is_space: bool) -> Cow<'_, [u8]> {
    let whole = text;
    let mut made = Vec::new();
    let mut is_changed = false;
    if !text.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return Cow::Borrowed(whole);
    }
    while let Some((octet, is_escaped, rest)) = percent::split_first(text) {
        text = rest;
        let is_space = octet == b'+' && !is_escaped && plus_is_space;
        is_changed |= is_escaped || is_space;
        made.push(if is_space { b' ' } else { octet });
    }
    match is_changed {
        true => Cow::Owned(made),
        false => Cow::Borrowed(whole),
    }
}
