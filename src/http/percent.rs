//! Percent-encoding (RFC 3986 section 2.1), read strictly.

use std::borrow::Cow;

use super::hex::octet;

/// A percent sign that two hexadecimal digits do not follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadEscape;

/// What a plus sign stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plus {
    /// Itself, as in a path.
    Plus,
    /// A space, as in a form (the URL standard, section 5.1).
    Space,
}

/// The text without its escapes; borrowed where it has none.
///
/// # Errors
///
/// Fails where two hexadecimal digits do not follow a percent sign.
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
