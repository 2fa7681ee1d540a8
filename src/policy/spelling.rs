//! The spellings of a path: its normal form, and characters that some servers take for others.

use crate::http::{self, percent};

/// Whether a byte of a path always means itself (RFC 3986 section 3.3: `pchar` without `;`).
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

/// The normal form of the path: with escapes only where a segment needs them, and with their digits in upper
/// case.
pub(crate) fn in_normal_form(path: &[u8]) -> Vec<u8> {
    respell(path, false)
}

/// The same, with separators decoded as well.
pub(super) fn respell(mut path: &[u8], separators: bool) -> Vec<u8> {
    let is_literal = |byte: u8| is_plain(byte) || matches!(byte, b';' | b'/' | b'\\');
    let mut spelt = Vec::with_capacity(path.len());
    loop {
        // Most bytes of a path need no change.
        let end = path
            .iter()
            .position(|byte| !is_literal(*byte))
            .unwrap_or(path.len());
        let Some((plain, rest)) = path.split_at_checked(end) else {
            break;
        };
        spelt.extend_from_slice(plain);
        let Some((octet, is_escaped, rest)) = percent::split_first(rest) else {
            break;
        };
        path = rest;
        let is_literal = match octet {
            b'/' | b'\\' | b'%' => separators || !is_escaped,
            octet => is_literal(octet),
        };
        if is_literal {
            spelt.push(octet);
        } else {
            let digit = |half: u8| half.saturating_add(if half < 10 { b'0' } else { b'A' - 10 });
            spelt.extend([b'%', digit(octet >> 4), digit(octet & 0xf)]);
        }
    }
    spelt
}

/// The path in normal form, with each character replaced by its compatible ASCII characters; and whether any
/// of these is neither a letter nor a digit.
pub(super) fn decoded_loosely(path: &[u8]) -> (Vec<u8>, bool) {
    loosely(&in_normal_form(path))
}

/// As above, for a path in normal form.
pub(super) fn loosely(mut path: &[u8]) -> (Vec<u8>, bool) {
    let mut made = Vec::with_capacity(path.len());
    let mut is_structural = false;
    // Everything but an escape stays as it is.
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

/// The path in normal form without the bytes that are not UTF-8; `None` if it has none of them.
pub(super) fn without_invalid(path: &[u8]) -> Option<Vec<u8>> {
    let normal = in_normal_form(path);
    let left = without_invalid_if_normal(&normal);
    (left.len() < normal.len()).then_some(left)
}

/// As above, for a path in normal form; the whole path if it has none of them.
pub(super) fn without_invalid_if_normal(mut path: &[u8]) -> Vec<u8> {
    let mut left = Vec::with_capacity(path.len());
    while let Some((plain, escaped)) = path.split_at_checked(memchr::memchr(b'%', path).unwrap_or(path.len()))
    {
        left.extend_from_slice(plain);
        let after = match (escape(escaped), character(escaped)) {
            (None, _) if escaped.is_empty() => break,
            (Some((0x80.., _)), Some((character, after))) if char::from_u32(character).is_some() => after,
            (Some((0x80.., after)), _) => {
                path = after;
                continue;
            }
            _ => escaped.get(1..).unwrap_or_default(),
        };
        let taken = escaped.len().saturating_sub(after.len());
        left.extend_from_slice(escaped.get(..taken).unwrap_or_default());
        path = after;
    }
    left
}

/// Whether the path contains an overlong form of UTF-8 or a `%u002e`. No client needs these, and some servers
/// decode them to any character.
pub(super) fn is_deceptive(path: &[u8]) -> bool {
    is_deceptive_if_normal(&in_normal_form(path))
}

/// As above, for a path in normal form.
pub(super) fn is_deceptive_if_normal(normal: &[u8]) -> bool {
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

/// The first character of a path in normal form if it is beyond ASCII, and the rest of the path.
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

/// The octet of an escape, and the rest of the path.
pub(super) fn escape(path: &[u8]) -> Option<(u8, &[u8])> {
    let (octet, is_escaped, rest) = percent::split_first(path)?;
    is_escaped.then_some((octet, rest))
}

/// The ASCII character that replaces a character in compatibility normalization (NFKC) or in a conversion to
/// the nearest character, and how often it occurs.
const fn compatible(character: u32) -> Option<(u8, usize)> {
    let ascii = match character {
        // The full-width forms of ASCII.
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
