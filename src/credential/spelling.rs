//! Names that some servers take for others, and tokens in places where the filter does not look for one.

/// Replaces a token that some upstream may find but that is not in the correct form. It is malformed, because
/// no token contains this byte, so the request does not count as one without a token.
pub(crate) const NO_TOKEN: &[u8] = b"?";

/// The representative of the characters that some servers treat alike in a name: ASP.NET ignores the case of
/// letters; PHP writes `_` for `.`, ` ` and `[`.
pub(super) const fn fold(byte: u8) -> u8 {
    match byte {
        b'.' | b' ' | b'[' => b'_',
        other => other.to_ascii_lowercase(),
    }
}

/// Whether some server treats these names alike.
pub(super) fn is_alike(text: &[u8], name: &[u8]) -> bool {
    text.len() == name.len()
        && text
            .iter()
            .zip(name)
            .all(|(one, other)| fold(*one) == fold(*other))
}

/// Whether the value contains a JWT: three or more parts of base64url, the first of which decodes to a text
/// that begins with a brace. No credential of RFC 7617 (Basic) contains a dot, and the text after `=` is a
/// parameter of another scheme (RFC 8292). The scheme may be directly before the JWT.
pub(super) fn holds_jwt(value: &[u8], scheme: Option<&[u8]>) -> bool {
    let is_part =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'=' | b'"');
    // Few values contain a dot, so the quick test pays.
    memchr::memchr(b'.', value).is_some()
        && value.split(|byte| !is_part(byte)).any(|word| {
            let word = match scheme.and_then(|scheme| word.split_at_checked(scheme.len()).zip(Some(scheme))) {
                Some(((start, rest), scheme)) if start.eq_ignore_ascii_case(scheme) => rest,
                _ => word,
            };
            matches!(word, [b'e', b'w'..=b'z', ..]) && memchr::memchr_iter(b'.', word).nth(1).is_some()
        })
}

/// The possible beginnings of a name: PHP drops white space before it, and `URLSearchParams` a question mark
/// before the first name.
pub(super) fn begin(key: &[u8]) -> &[u8] {
    let begin = key
        .iter()
        .position(|byte| !byte.is_ascii_whitespace() && *byte != b'?');
    begin.and_then(|begin| key.get(begin..)).unwrap_or_default()
}

/// Whether some server takes this other name for a parameter or a cookie of that name: PHP ends a name at a
/// NUL, and takes a bracket after it for a list; some drop white space after it. The function tests one name
/// without an index; the tests of the index compare with it.
#[cfg(test)]
pub(super) fn is_folded(key: &[u8], name: &[u8]) -> bool {
    let Some((start, rest)) = begin(key).split_at_checked(name.len()) else {
        return false;
    };
    key != name && matches!(rest.trim_ascii_end().first(), None | Some(b'[' | 0)) && is_alike(start, name)
}
