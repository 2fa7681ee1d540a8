//! Names that some server takes for another, and tokens where none is looked for.

/// Stands for a token that some upstream may find and that is not written as it should be: malformed, since no token has this
/// byte. So it is not missing where a token may be.
pub(crate) const NO_TOKEN: &[u8] = b"?";

/// A character of a name, to those who take others for it: ASP.NET ignores the case of letters; PHP writes `_` for `.`, ` ` and
/// `[`.
pub(super) const fn fold(byte: u8) -> u8 {
    match byte {
        b'.' | b' ' | b'[' => b'_',
        other => other.to_ascii_lowercase(),
    }
}

/// Whether these are one name to some server.
pub(super) fn is_alike(text: &[u8], name: &[u8]) -> bool {
    text.len() == name.len()
        && text
            .iter()
            .zip(name)
            .all(|(one, other)| fold(*one) == fold(*other))
}

/// Whether the value has a JWT anywhere: three parts or more of base64url, the first of which decodes to what begins with a
/// brace. No credential of RFC 7617 (Basic) has a dot, and what follows `=` is a parameter of another scheme (RFC 8292).
/// The scheme's word may be right before it.
pub(super) fn holds_jwt(value: &[u8], scheme: Option<&[u8]>) -> bool {
    let is_part =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'=' | b'"');
    // Hardly any value has a dot, so that a quick look is worth it.
    memchr::memchr(b'.', value).is_some()
        && value.split(|byte| !is_part(byte)).any(|word| {
            let word = match scheme.and_then(|scheme| word.split_at_checked(scheme.len()).zip(Some(scheme))) {
                Some(((start, rest), scheme)) if start.eq_ignore_ascii_case(scheme) => rest,
                _ => word,
            };
            matches!(word, [b'e', b'w'..=b'z', ..]) && memchr::memchr_iter(b'.', word).nth(1).is_some()
        })
}

/// Where a name may begin: PHP drops white space before it, and `URLSearchParams` a question mark before the first one.
pub(super) fn begin(key: &[u8]) -> &[u8] {
    let begin = key
        .iter()
        .position(|byte| !byte.is_ascii_whitespace() && *byte != b'?');
    begin.and_then(|begin| key.get(begin..)).unwrap_or_default()
}

/// Whether some server takes this for a parameter or a cookie of that name, and it is another: PHP ends a name at a NUL, and
/// takes a bracket behind it for a list; some drop white space behind it. For one name and without an index, as the tests of
/// those that have one need it.
#[cfg(test)]
pub(super) fn is_folded(key: &[u8], name: &[u8]) -> bool {
    let Some((start, rest)) = begin(key).split_at_checked(name.len()) else {
        return false;
    };
    key != name && matches!(rest.trim_ascii_end().first(), None | Some(b'[' | 0)) && is_alike(start, name)
}
