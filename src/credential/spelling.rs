//! Names that some server takes for another.

/// Stands for a token that some upstream may find and that is not written as it should be: malformed, since no token has this
/// byte. So it is not missing where a token may be.
pub(super) const NO_TOKEN: &[u8] = b"?";

/// Whether some server takes this for a parameter or a cookie of that name. ASP.NET ignores the case of letters; PHP drops white
/// space before it, ends it at a NUL, takes a bracket behind it for a list, and writes `_` for `.`, ` ` and `[`.
pub(super) fn is_folded(key: &[u8], name: &[u8]) -> bool {
    let fold = |byte: u8| match byte {
        b'.' | b' ' | b'[' => b'_',
        other => other.to_ascii_lowercase(),
    };
    let Some((start, rest)) = key.trim_ascii_start().split_at_checked(name.len()) else {
        return false;
    };
    // The name itself is none of these.
    key != name
        && matches!(rest.first(), None | Some(b'[' | 0))
        && start
            .iter()
            .zip(name)
            .all(|(one, other)| fold(*one) == fold(*other))
}
