//! The steps by which servers change a path.

use super::marks;
use crate::policy::spelling::{is_plain, loosely, respell, without_invalid_if_normal};

/// The changes that servers make to a path, one step each. Proxies and frameworks follow each other, and each
/// applies some of these steps in its own order. The interpretations of a path are therefore the results of
/// all steps in any order, any number of times. A smaller set would miss some: `//a/x\..\..` is `/` after all
/// steps, but a server that merges slashes and keeps backslashes finds a path below `/a`.
///
/// Most paths that are not plain have one interpretation or two, because a step without an effect adds none.
#[derive(Clone, Copy)]
pub(super) enum Step {
    /// RFC 3986 section 6.2.2: encodes what a path must encode, and decodes everything else.
    Normalize,
    /// Many routers decode first. Another server may decode the result again.
    Decode,
    /// RFC 3986 section 3.3 allows parameters in a segment; servlets drop them.
    DropParameters,
    /// Programs that treat a decoded path as a URL or as a C string.
    CutShort,
    /// The URL standard, section 4.4, and Windows.
    TurnBackslashes,
    /// File systems, and programs that follow their rules.
    MergeSlashes,
    /// RFC 3986 section 5.2.4.
    ResolveDots,
    /// Some servers decode first, and stop reading a segment at the first unusual character.
    ResolveStrangeDots,
    /// Some servers leave no slash at the end.
    ResolveWithoutSlash,
    /// RFC 3986 section 4.2: a server that parses the path as a reference finds an authority after two
    /// slashes. By the URL standard, more slashes and backslashes count too.
    DropAuthority,
    /// The URL standard, section 4.4, drops tabs and line breaks. Others drop all control characters.
    DropControls,
    /// Windows drops dots and spaces at the end of a name, and the name of a stream after a colon
    /// (`::$DATA`). Others drop spaces of all kinds, and everything after a NUL.
    TrimSegments,
    /// Programs that replace characters by compatible ones (NFKC), or by the nearest ones.
    DecodeLoosely,
    /// Programs that decode a path to text, and leave out bytes that are not UTF-8.
    DropInvalid,
}

pub(super) const STEPS: [Step; 14] = [
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
    Step::DropInvalid,
];

impl Step {
    /// The marks that this step changes. A step is useful only if the path or its normal form has one of
    /// them.
    pub(super) const fn asks_for(self) -> u16 {
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
            Self::DecodeLoosely | Self::DropInvalid => marks::HIGH,
        }
    }

    pub(super) fn take(self, path: &[u8], normal: &[u8]) -> Vec<u8> {
        let mut made = Vec::with_capacity(path.len());
        match self {
            Self::Normalize => made.extend_from_slice(normal),
            Self::Decode => return respell(path, true),
            Self::DropParameters => {
                for (index, segment) in path.split(|byte| *byte == b'/').enumerate() {
                    if index > 0 {
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
            Self::DropInvalid => return without_invalid_if_normal(normal),
        }
        made
    }
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

/// The part after the authority, if there is an authority.
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

/// The path in normal form, without encoded control characters.
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

/// The path in normal form, with each segment as [`trimmed`] leaves it. Windows drops three dots or more at
/// the end of a path, and keeps them as a name within it.
fn with_trimmed_segments(path: &[u8]) -> Vec<u8> {
    let last = memchr::memchr_iter(b'/', path).count();
    let mut left = Vec::with_capacity(path.len());
    for (index, segment) in path.split(|byte| *byte == b'/').enumerate() {
        if index > 0 {
            left.push(b'/');
        }
        let trimmed = trimmed(segment);
        let stays = trimmed.is_empty() && index < last && segment.starts_with(b".");
        left.extend_from_slice(if stays { segment } else { trimmed });
    }
    left
}

/// Whether the segment in normal form consists of blanks, perhaps with parameters. Servers that drop blanks
/// at the end of a segment find `/a//b` in `/a/%20/b`.
pub(super) fn is_blank(segment: &[u8]) -> bool {
    let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
    trimmed(name).is_empty()
}

/// A segment in normal form without the name of a stream, everything after a NUL, and the dots, spaces and
/// control characters at its end.
fn trimmed(segment: &[u8]) -> &[u8] {
    let mut trimmed = segment;
    if has_stream(trimmed) {
        trimmed = trimmed.split(|byte| *byte == b':').next().unwrap_or_default();
    }
    if let Some(end) = trimmed.windows(3).position(|three| three == b"%00") {
        trimmed = trimmed.get(..end).unwrap_or_default();
    }
    // A dot segment may have the name of a stream, too: `..:$I30:$INDEX_ALLOCATION`. Three dots are not a
    // dot segment.
    let is_dots =
        |trimmed: &[u8]| matches!(trimmed, b"." | b"..") && segment.get(trimmed.len()) != Some(&b'.');
    while let Some(before) = without_last_blank(trimmed).filter(|_| !is_dots(trimmed)) {
        trimmed = before;
    }
    trimmed
}

/// Whether Windows may find the name of a stream in the segment: `name::$DATA`,
/// `name:$I30:$INDEX_ALLOCATION`.
fn has_stream(segment: &[u8]) -> bool {
    segment.windows(2).any(|two| two == b":$")
}

/// Invisible characters in normal form: U+0020, U+0085, U+00A0, U+1680, U+2028, U+2029, U+202F, U+205F,
/// U+3000, U+FEFF.
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

/// A segment in normal form without the dot, space or control character at its end; `None` if it ends with
/// none of these.
fn without_last_blank(segment: &[u8]) -> Option<&[u8]> {
    match segment {
        [before @ .., b'.'] | [before @ .., b'%', b'0' | b'1', _] => Some(before),
        // The spaces from U+2000 to U+200B, escaped.
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
