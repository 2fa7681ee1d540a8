//! Marks: features of a path that some step changes.

use crate::policy::spelling::{escape, is_plain};

/// A path without this mark is in normal form.
pub(super) const NOT_NORMAL: u16 = 1;
pub(super) const SEMICOLON: u16 = 1 << 2;
pub(super) const BACKSLASH: u16 = 1 << 3;
/// Several slashes in a row.
pub(super) const SLASHES: u16 = 1 << 4;
/// A segment that begins with a dot.
pub(super) const SLASH_DOT: u16 = 1 << 5;
/// A segment that ends with a dot or an escape, or that contains a NUL or the name of a stream.
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

/// The marks of a path.
pub(super) fn marks_of(path: &[u8]) -> u16 {
    let mut found = 0;
    let mut rest = path;
    while let Some((byte, mut after)) = rest.split_first() {
        found |= match byte {
            // On Windows, the name of a stream begins here.
            b':' if after.first() == Some(&b'$') => TRIMMED,
            byte if is_plain(*byte) => 0,
            b'%' => match (escape(rest), after) {
                (Some((octet, behind)), [high, low, ..]) => {
                    let is_lower = high.is_ascii_lowercase() || low.is_ascii_lowercase();
                    let of = match octet {
                        octet if is_lower || is_plain(octet) || octet == b';' => NOT_NORMAL,
                        _ => 0,
                    };
                    let kind = match octet {
                        0 => CUT | CONTROL | TRIMMED,
                        1..=0x1f | 0x7f => CONTROL,
                        b'?' | b'#' => CUT,
                        b'/' | b'\\' | b'%' => SEPARATOR,
                        0x80.. => HIGH,
                        _ => 0,
                    };
                    after = behind;
                    of | kind
                }
                (_, [b'u' | b'U', ..]) => UNICODE,
                _ => 0,
            },
            b';' => SEMICOLON,
            b'\\' => BACKSLASH,
            b'/' => {
                let before = path.len().checked_sub(rest.len()).and_then(|at| path.get(..at));
                let of = match after.first() {
                    Some(b'/') => SLASHES,
                    Some(b'.') => SLASH_DOT,
                    _ => 0,
                };
                of | mark_of_end(before.unwrap_or_default())
            }
            _ => NOT_NORMAL,
        };
        rest = after;
    }
    found | mark_of_end(path)
}

/// Whether some server may drop the end of a segment that ends like this path.
const fn mark_of_end(path: &[u8]) -> u16 {
    match path {
        [.., b'.'] | [.., b'%', _, _] => TRIMMED,
        _ => 0,
    }
}
