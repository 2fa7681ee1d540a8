//! Percent-encoding (RFC 3986 section 2.1), read strictly.

use std::borrow::Cow;

/// A percent sign that two hexadecimal digits do not follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadEscape;

/// What a plus sign stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plus {
    /// Itself, as in a path.
    Plus,
    /// A space, as in a form (the URL standard, section 5.1).
    Space,
}

/// The octet that two hexadecimal digits stand for.
pub(crate) fn octet(high: u8, low: u8) -> Option<u8> {
    let digit = |byte| char::from(byte).to_digit(16);
    u8::try_from(digit(high)?.wrapping_mul(16).wrapping_add(digit(low)?)).ok()
}

/// The text without its escapes; borrowed where it has none.
pub(crate) fn decode(text: &[u8], plus: Plus) -> Result<Cow<'_, [u8]>, BadEscape> {
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
