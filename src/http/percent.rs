//! Percent-encoding ([RFC 3986 section 2.1](https://www.rfc-editor.org/rfc/rfc3986#section-2.1)), with strict
//! checks.

use std::borrow::Cow;

use super::hex::octet;

/// A percent sign without two hexadecimal digits after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadEscape;

/// The meaning of a plus sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plus {
    /// A plus sign, as in a path.
    Plus,
    /// A space, as in a form (the URL standard, section 5.1).
    Space,
}

/// The decoded text. It is borrowed if it has no escape.
///
/// # Errors
///
/// Fails if two hexadecimal digits do not follow a percent sign.
pub fn decode(text: &[u8], plus: Plus) -> Result<Cow<'_, [u8]>, BadEscape> {
    let is_special = |byte: &u8| *byte == b'%' || (*byte == b'+' && plus == Plus::Space);
    if !text.iter().any(is_special) {
        return Ok(Cow::Borrowed(text));
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let digits = bytes.next().zip(bytes.next());
                digits
                    .and_then(|(high, low)| octet(*high, *low))
                    .ok_or(BadEscape)?
            }
            b'+' if plus == Plus::Space => b' ',
            other => *other,
        });
    }
    Ok(Cow::Owned(decoded))
}

/// The first octet of a text, whether it is an escape, and the rest of the text. A percent sign without two
/// hexadecimal digits after it counts as itself.
#[must_use]
pub fn split_first(text: &[u8]) -> Option<(u8, bool, &[u8])> {
    let (first, rest) = text.split_first()?;
    if let (b'%', [high, low, rest @ ..]) = (first, rest)
        && let Some(octet) = octet(*high, *low)
    {
        return Some((octet, true, rest));
    }
    Some((*first, false, rest))
}

/// [RFC 3986 section 6.2.2.1](https://www.rfc-editor.org/rfc/rfc3986#section-6.2.2.1) and
/// [6.2.2.2](https://www.rfc-editor.org/rfc/rfc3986#section-6.2.2.2): "normalized by decoding any
/// percent-encoded octet that corresponds to an unreserved character"; the other escapes in upper case.
#[must_use]
pub fn normalize(mut text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    while let Some(letter) = text.chars().next() {
        let (length, plain) = match split_first(text.as_bytes()) {
            Some((octet, true, _)) if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) => {
                (3, Some(char::from(octet)))
            }
            Some((_, true, _)) => (3, None),
            _ => (letter.len_utf8(), Some(letter)),
        };
        let (written, rest) = text.split_at_checked(length).unwrap_or((text, ""));
        match plain {
            Some(plain) => out.push(plain),
            None => out.extend(written.chars().map(|letter| letter.to_ascii_uppercase())),
        }
        text = rest;
    }
    out
}
