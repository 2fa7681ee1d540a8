//! What servers may make of a path before they look at it.

use std::borrow::Cow;

use crate::http::{self, percent};

/// What servers do, one step each. Proxies and frameworks follow each other, and each does some of this, in an order of its own:
/// so a path's interpretations are whatever any of these steps make of it, in any order and any number of times. Any smaller set,
/// such as the one interpretation that does all of it, has paths that a server in between reads as something else:
/// `//a/x\..\..` is `/` where all of it is done, and below `/a` where slashes are merged and backslashes left alone.
///
/// Most paths that are not plain come to one interpretation or two, since a step that finds nothing to do adds nothing.
#[derive(Clone, Copy)]
enum Step {
    /// RFC 3986 section 6.2.2: what need not be encoded is not, what must be is.
    Normalize,
    /// Many routers decode first. What that uncovers, another server may decode again.
    Decode,
    /// RFC 3986 section 3.3 allows for parameters of a segment; servlets drop them.
    DropParameters,
    /// Programs that take a decoded path for a URL, or for a C string.
    CutShort,
    /// The URL standard, section 4.4, and Windows.
    TurnBackslashes,
    /// File systems, and everything that was made after them.
    MergeSlashes,
    /// RFC 3986 section 5.2.4.
    ResolveDots,
    /// The same by who decodes first, and stops reading a segment at the first strange character.
    ResolveStrangeDots,
    /// The same by who leaves no slash behind at the end.
    ResolveWithoutSlash,
    /// RFC 3986 section 4.2: to who takes a path for a reference, an authority follows two slashes, and by the URL standard
    /// more than two, and backslashes.
    DropAuthority,
    /// The URL standard, section 4.4, leaves tabs and line breaks out, and others all control characters.
    DropControls,
    /// Windows leaves out dots and spaces at the end of a name, and the name of a stream behind a colon (`::$DATA`); others
    /// spaces of all kinds, and what follows a NUL.
    TrimSegments,
    /// Programs that take characters for what they are compatible with (NFKC), or for the nearest.
    DecodeLoosely,
}

const STEPS: [Step; 13] = [
    Step::Normalize,
    Step::Decode,
    Step::DropParameters,
    Step::CutShort,
    Step::TurnBackslashes,
    Step::MergeSlashes,
    Step::ResolveDots,
    Step::ResolveStrangeDots,
    Step::ResolveWithoutSlash,
    Step::DropAuthority,
    Step::DropControls,
    Step::TrimSegments,
    Step::DecodeLoosely,
];

impl Step {
    /// Of these marks a path has one, or its normal form, or the step changes nothing but the form.
    const fn asks_for(self) -> u16 {
        match self {
            Self::Normalize => marks::NOT_NORMAL,
            Self::Decode => marks::SEPARATOR,
            Self::DropParameters => marks::SEMICOLON,
            Self::CutShort => marks::CUT,
            Self::TurnBackslashes => marks::BACKSLASH,
            Self::MergeSlashes => marks::SLASHES,
            Self::ResolveDots | Self::ResolveStrangeDots | Self::ResolveWithoutSlash => marks::SLASH_DOT,
            Self::DropAuthority => marks::SLASHES | marks::BACKSLASH,
            Self::DropControls => marks::CONTROL,
            Self::TrimSegments => marks::TRIMMED,
            Self::DecodeLoosely => marks::HIGH,
        }
    }

    fn take(self, path: &[u8], normal: &[u8]) -> Vec<u8> {
        let mut made = Vec::with_capacity(path.len());
        match self {
            Self::Normalize => made.extend_from_slice(normal),
            Self::Decode => return respell(path, true),
            Self::DropParameters => {
                for (number, segment) in path.split(|byte| *byte == b'/').enumerate() {
                    if number > 0 {
                        made.push(b'/');
                    }
                    let end = memchr::memchr(b';', segment).unwrap_or(segment.len());
                    made.extend_from_slice(segment.get(..end).unwrap_or_default());
                }
            }
            Self::CutShort => {
                let ends = |at: &usize| {
                    let escape = path.get(*at..at.saturating_add(3));
                    matches!(escape, Some(b"%3F" | b"%23" | b"%00"))
                };
                let end = memchr::memchr_iter(b'%', path).find(ends);
                made.extend_from_slice(end.and_then(|end| path.get(..end)).unwrap_or(path));
            }
            Self::TurnBackslashes => {
                made.extend_from_slice(path);
                for byte in made.iter_mut().filter(|byte| **byte == b'\\') {
                    *byte = b'/';
                }
            }
            Self::MergeSlashes => {
                made.extend_from_slice(path);
                made.dedup_by(|byte, before| *byte == b'/' && *before == b'/');
            }
            Self::ResolveDots => return without_dot_segments(path, self),
            Self::ResolveStrangeDots | Self::ResolveWithoutSlash => {
                return without_dot_segments(normal, self);
            }
            Self::DropAuthority => return without_authority(path),
            Self::DropControls => return without_controls(normal),
            Self::TrimSegments => return with_trimmed_segments(normal),
            Self::DecodeLoosely => return loosely(normal).0,
        }
        made
    }
}

/// What a path has that some step changes.
mod marks {
    /// Without it, a path is in normal form.
    pub(super) const NOT_NORMAL: u16 = 1;
    pub(super) const SEMICOLON: u16 = 1 << 2;
    pub(super) const BACKSLASH: u16 = 1 << 3;
    /// Several slashes, one after the other.
    pub(super) const SLASHES: u16 = 1 << 4;
    /// A segment that begins with a dot.
    pub(super) const SLASH_DOT: u16 = 1 << 5;
    /// A segment that ends with a dot or an escape, or in which a NUL or the name of a stream begins.
    pub(super) const TRIMMED: u16 = 1 << 6;
    /// The escape of `?`, `#` or NUL, where some servers end a path.
    pub(super) const CUT: u16 = 1 << 1;
    /// The escape of a slash, a backslash or a percent sign.
    pub(super) const SEPARATOR: u16 = 1 << 7;
    /// The escape of a control character.
    pub(super) const CONTROL: u16 = 1 << 8;
    /// The escape of a byte beyond ASCII.
    pub(super) const HIGH: u16 = 1 << 9;
    /// `%u`.
    pub(super) const UNICODE: u16 = 1 << 10;
}

/// The marks of a path.
fn marks_of(path: &[u8]) -> u16 {
    let mut found = 0;
    let mut rest = path;
    while let Some((byte, mut after)) = rest.split_first() {
        found |= match byte {
            // The name of a stream follows.
            b':' if after.first() == Some(&b'$') => marks::TRIMMED,
            byte if is_plain(*byte) => 0,
            b'%' => match (escape(rest), after) {
                (Some((octet, behind)), [high, low, ..]) => {
                    let is_lower = high.is_ascii_lowercase() || low.is_ascii_lowercase();
                    let of = match octet {
                        octet if is_lower || is_plain(octet) || octet == b';' => marks::NOT_NORMAL,
                        _ => 0,
                    };
                    let kind = match octet {
                        0 => marks::CUT | marks::CONTROL | marks::TRIMMED,
                        1..=0x1f | 0x7f => marks::CONTROL,
                        b'?' | b'#' => marks::CUT,
                        b'/' | b'\\' | b'%' => marks::SEPARATOR,
                        0x80.. => marks::HIGH,
                        _ => 0,
                    };
                    after = behind;
                    of | kind
                }
                (_, [b'u' | b'U', ..]) => marks::UNICODE,
                _ => 0,
            },
            b';' => marks::SEMICOLON,
            b'\\' => marks::BACKSLASH,
            b'/' => {
                let before = path.len().checked_sub(rest.len()).and_then(|at| path.get(..at));
                let of = match after.first() {
                    Some(b'/') => marks::SLASHES,
                    Some(b'.') => marks::SLASH_DOT,
                    _ => 0,
                };
                of | mark_of_end(before.unwrap_or_default())
            }
            _ => marks::NOT_NORMAL,
        };
        rest = after;
    }
    found | mark_of_end(path)
}

/// Whether a segment that ends so may have an end that some server drops.
const fn mark_of_end(path: &[u8]) -> u16 {
    match path {
        [.., b'.'] | [.., b'%', _, _] => marks::TRIMMED,
        _ => 0,
    }
}

/// How much may be made of one path, in bytes: whoever sends the worst of paths costs a worker a tenth of a millisecond.
pub(super) const MOST: usize = 16 * 1024;
/// What the shortest interpretation counts: so there are 42 at most.
const LEAST: usize = 384;
/// How many bytes all steps together may go through.
const MOST_WORK: usize = 6 * MOST;

/// Every interpretation in normal form; `None`: there are too many to look for, or it may be read as anything. No client has use for
/// such a path.
///
/// What is not in normal form is left out, since to a pattern it is what its normal form is.
pub(super) fn of(path: &[u8]) -> Option<Vec<Vec<u8>>> {
    // The path itself counts, too: each step looks at all of it.
    let mut left = MOST.checked_sub(path.len())?;
    let mut work = MOST_WORK;
    let mut found = vec![Found::new(path.to_vec())];
    let mut next = 0_usize;
    while let Some(path) = found.get(next).map(|found| found.path.clone()) {
        work = work.checked_sub(path.len())?;
        let mut has = marks_of(&path);
        let mut normal = Cow::Borrowed(&*path);
        let is_normal = has & marks::NOT_NORMAL == 0;
        if !is_normal {
            work = work.checked_sub(path.len())?;
            normal = in_normal_form(&path).into();
            work = work.checked_sub(normal.len())?;
            has |= marks_of(&normal) | marks::NOT_NORMAL;
        }
        if has & (marks::HIGH | marks::UNICODE) != 0 && is_deceptive_if_normal(&normal) {
            return None;
        }
        if let Some(found) = found.get_mut(next) {
            found.is_normal = is_normal;
        }
        for step in STEPS {
            if step.asks_for() & has == 0 {
                continue;
            }
            work = work.checked_sub(path.len())?;
            let made = Found::new(step.take(&path, &normal));
            if !found.iter().any(|known| known.is_same(&made)) {
                left = left.checked_sub(made.path.len().max(LEAST))?;
                found.push(made);
            }
        }
        next = next.saturating_add(1);
    }
    found.retain(|found| found.is_normal);
    Some(found.into_iter().map(|found| found.path).collect())
}

/// An interpretation.
struct Found {
    path: Vec<u8>,
    /// Tells most of the others from it.
    hash: u64,
    is_normal: bool,
}

impl Found {
    fn new(path: Vec<u8>) -> Self {
        let mut hash = 0_u64;
        let mut rest = &*path;
        while let Some((eight, after)) = rest.split_first_chunk() {
            hash = (hash.rotate_left(5) ^ u64::from_le_bytes(*eight)).wrapping_mul(0x517c_c1b7_2722_0a95);
            rest = after;
        }
        let hash = rest.iter().fold(hash, |hash, byte| {
            (hash.rotate_left(5) ^ u64::from(*byte)).wrapping_mul(0x517c_c1b7_2722_0a95)
        });
        Self {
            path,
            hash,
            is_normal: false,
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        self.hash == other.hash && self.path == other.path
    }
}

/// Whether a byte of a path means itself and nothing else (RFC 3986 section 3.3: `pchar`, but for `;`).
pub(super) const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.'
                | b'_'
                | b'~'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b'='
                | b':'
                | b'@'
        )
}

/// The path with nothing encoded that may stand for itself in a segment, all else encoded, and its escapes in capitals.
pub(super) fn in_normal_form(path: &[u8]) -> Vec<u8> {
    respell(path, false)
}

/// The same with what separates decoded as well.
fn respell(mut path: &[u8], separators: bool) -> Vec<u8> {
    let stands = |byte: u8| is_plain(byte) || matches!(byte, b';' | b'/' | b'\\');
    let mut spelt = Vec::with_capacity(path.len());
    loop {
        // Most of a path stands for itself.
        let end = path.iter().position(|byte| !stands(*byte)).unwrap_or(path.len());
        let Some((plain, rest)) = path.split_at_checked(end) else {
            break;
        };
        spelt.extend_from_slice(plain);
        let Some((octet, is_escaped, rest)) = percent::split_first(rest) else {
            break;
        };
        path = rest;
        let stands = match octet {
            b'/' | b'\\' | b'%' => separators || !is_escaped,
            octet => stands(octet),
        };
        if stands {
            spelt.push(octet);
        } else {
            let digit = |half: u8| half.saturating_add(if half < 10 { b'0' } else { b'A' - 10 });
            spelt.extend([b'%', digit(octet >> 4), digit(octet & 0xf)]);
        }
    }
    spelt
}

fn without_dot_segments(path: &[u8], step: Step) -> Vec<u8> {
    let Some(path) = path.strip_prefix(b"/") else {
        return path.to_vec();
    };
    let mut left = Vec::with_capacity(path.len());
    let mut segments = path.split(|byte| *byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        let is_part = |byte: &u8| is_plain(*byte) || matches!(step, Step::ResolveDots);
        let end = segment
            .iter()
            .position(|byte| !is_part(byte))
            .unwrap_or(segment.len());
        match segment.get(..end) {
            Some(b".") => {}
            Some(b"..") => left.truncate(left.iter().rposition(|byte| *byte == b'/').unwrap_or(0)),
            _ => {
                left.push(b'/');
                left.extend_from_slice(segment);
                continue;
            }
        }
        if segments.peek().is_none() && !matches!(step, Step::ResolveWithoutSlash) {
            left.push(b'/');
        }
    }
    if left.is_empty() {
        left.push(b'/');
    }
    left
}

/// What follows the authority, if there is one.
fn without_authority(path: &[u8]) -> Vec<u8> {
    let is_slash = |byte: &u8| matches!(byte, b'/' | b'\\');
    let start = path.iter().position(|byte| !is_slash(byte)).unwrap_or(path.len());
    if start < 2 {
        return path.to_vec();
    }
    let rest = path.get(start..).unwrap_or_default();
    let mut left = vec![b'/'];
    if let Some(end) = rest.iter().position(is_slash) {
        left.extend_from_slice(rest.get(end.saturating_add(1)..).unwrap_or_default());
    }
    left
}

/// The path in normal form without what are control characters, encoded.
fn without_controls(mut path: &[u8]) -> Vec<u8> {
    let mut left = Vec::with_capacity(path.len());
    while let [byte, after @ ..] = path {
        path = match path {
            [b'%', b'0' | b'1', digit, after @ ..] if digit.is_ascii_hexdigit() => after,
            [b'%', b'7', b'F', after @ ..] => after,
            _ => {
                left.push(*byte);
                after
            }
        };
    }
    left
}

/// The path in normal form, each segment without the name of a stream, what follows a NUL, and the dots, spaces and control
/// characters at its end, unless it has nothing else.
fn with_trimmed_segments(path: &[u8]) -> Vec<u8> {
    let mut left = Vec::with_capacity(path.len());
    for (number, segment) in path.split(|byte| *byte == b'/').enumerate() {
        if number > 0 {
            left.push(b'/');
        }
        let mut trimmed = segment;
        if has_stream(trimmed) {
            trimmed = trimmed.split(|byte| *byte == b':').next().unwrap_or_default();
        }
        if let Some(end) = trimmed.windows(3).position(|three| three == b"%00") {
            trimmed = trimmed.get(..end).unwrap_or_default();
        }
        while let Some(before) = without_last_blank(trimmed) {
            trimmed = before;
        }
        left.extend_from_slice(if trimmed.is_empty() { segment } else { trimmed });
    }
    left
}

/// Whether Windows may read the name of a stream in it: `name::$DATA`, `name:$I30:$INDEX_ALLOCATION`.
fn has_stream(segment: &[u8]) -> bool {
    segment.windows(2).any(|two| two == b":$")
}

/// What has no ink, in normal form: U+0020, U+0085, U+00A0, U+1680, U+2028, U+2029, U+202F, U+205F, U+3000, U+FEFF.
const BLANKS: [&[u8]; 10] = [
    b"%20",
    b"%C2%85",
    b"%C2%A0",
    b"%E1%9A%80",
    b"%E2%80%A8",
    b"%E2%80%A9",
    b"%E2%80%AF",
    b"%E2%81%9F",
    b"%E3%80%80",
    b"%EF%BB%BF",
];

/// A segment in normal form without the dot, space or control character at its end, if there is one.
fn without_last_blank(segment: &[u8]) -> Option<&[u8]> {
    match segment {
        [before @ .., b'.'] | [before @ .., b'%', b'0' | b'1', _] => Some(before),
        // U+2000 to U+200B.
        [
            before @ ..,
            b'%',
            b'E',
            b'2',
            b'%',
            b'8',
            b'0',
            b'%',
            b'8',
            b'0'..=b'9' | b'A' | b'B',
        ] => Some(before),
        _ => BLANKS.iter().find_map(|blank| segment.strip_suffix(*blank)),
    }
}

/// The path in normal form, with characters for what they are compatible with; and whether any of these is more than a letter
/// or a digit.
pub(super) fn decoded_loosely(path: &[u8]) -> (Vec<u8>, bool) {
    loosely(&in_normal_form(path))
}

/// The same of a path in normal form.
fn loosely(mut path: &[u8]) -> (Vec<u8>, bool) {
    let mut made = Vec::with_capacity(path.len());
    let mut is_structural = false;
    // Only an escape is ever anything else.
    while let Some((plain, escaped)) = path.split_at_checked(memchr::memchr(b'%', path).unwrap_or(path.len()))
    {
        made.extend_from_slice(plain);
        let [byte, after @ ..] = escaped else {
            break;
        };
        match character(escaped).and_then(|(character, rest)| Some((compatible(character)?, rest))) {
            Some(((ascii, count), rest)) => {
                is_structural |= !ascii.is_ascii_alphanumeric();
                made.extend(std::iter::repeat_n(ascii, count));
                path = rest;
            }
            None => {
                made.push(*byte);
                path = after;
            }
        }
    }
    (in_normal_form(&made), is_structural)
}

/// Whether the path holds what no client has use for and some servers read as anything: a form of UTF-8 that is longer than
/// need be, or a `%u002e`.
pub(in crate::policy) fn is_deceptive(path: &[u8]) -> bool {
    is_deceptive_if_normal(&in_normal_form(path))
}

/// The same of a path in normal form.
fn is_deceptive_if_normal(normal: &[u8]) -> bool {
    memchr::memchr_iter(b'%', normal).any(|at| match normal.get(at..) {
        Some([b'%', b'u' | b'U', a, b, c, d, ..]) => {
            http::octet(*a, *b).is_some() && http::octet(*c, *d).is_some()
        }
        Some(path) => match escape(path) {
            Some((0xc0 | 0xc1 | 0xf8..=0xfd, _)) => true,
            Some((0xe0, rest)) => matches!(escape(rest), Some((0x80..=0x9f, _))),
            Some((0xf0, rest)) => matches!(escape(rest), Some((0x80..=0x8f, _))),
            _ => false,
        },
        None => false,
    })
}

/// The first character of a path in normal form where it is none of ASCII, and what follows.
fn character(path: &[u8]) -> Option<(u32, &[u8])> {
    let (lead, mut rest) = escape(path)?;
    let count = lead.leading_ones();
    if !(2..=4).contains(&count) {
        return None;
    }
    let mut character = u32::from(lead) & (0x7f_u32 >> count);
    for _ in 1..count {
        let (octet, after) = escape(rest)?;
        if octet & 0xc0 != 0x80 {
            return None;
        }
        character = character << 6 | u32::from(octet & 0x3f);
        rest = after;
    }
    Some((character, rest))
}

/// The octet of an escape, and what follows.
fn escape(path: &[u8]) -> Option<(u8, &[u8])> {
    let (octet, is_escaped, rest) = percent::split_first(path)?;
    is_escaped.then_some((octet, rest))
}

/// What a character is in ASCII, to who normalizes (NFKC, NFC) or looks for the nearest; and how often.
const fn compatible(character: u32) -> Option<(u8, usize)> {
    let ascii = match character {
        // Full width.
        0xff01..=0xff5e => character.wrapping_sub(0xfee0).to_le_bytes()[0],
        0x2025 => return Some((b'.', 2)),
        0x2026 => return Some((b'.', 3)),
        0x2024 | 0x3002 | 0xfe52 | 0xff61 => b'.',
        0x2044 | 0x2215 | 0x29f8 => b'/',
        0x2216 | 0x29f5 | 0xfe68 => b'\\',
        0xfe6a => b'%',
        0x037e | 0xfe54 => b';',
        0xfe56 => b'?',
        0xfe5f => b'#',
        _ => return None,
    };
    Some((ascii, 1))
}

#[cfg(test)]
mod tests;
