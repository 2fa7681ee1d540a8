//! Leftovers of templates, shells and editors in a text: white space around it, quotes in it, a placeholder.
//!
//! The filter compares texts as they are written. With such a leftover, a text equals nothing in a token or a
//! request, or it is a name that an attacker knows.

/// Whether the text contains this part. Each call of the standard library's search adds a kilobyte to the
/// module.
#[inline(never)]
pub(super) fn has_part(text: &str, part: &str) -> bool {
    let mut windows = text.as_bytes().windows(part.len().max(1));
    windows.any(|window| window == part.as_bytes())
}

/// Whether the text has any of these characters of ASCII.
#[inline(never)]
pub(super) fn has_any(text: &str, letters: &str) -> bool {
    text.bytes().any(|byte| letters.as_bytes().contains(&byte))
}

/// The fault of a text that is a name or a whole value.
#[inline(never)]
pub(super) fn in_name(text: &str) -> Option<String> {
    let trimmed = text.trim_ascii();
    let (what, inside) = if trimmed.len() < text.len() {
        ("has white space at an end", trimmed)
    } else if has_unseen(text.as_bytes()) {
        ("holds a line break or another character that cannot be seen", "")
    } else {
        match text.as_bytes() {
            [b'"', .., b'"'] | [b'\'', .., b'\''] => {
                let inside = text.get(1..text.len().saturating_sub(1));
                ("has quotes of its own", inside.unwrap_or_default())
            }
            _ => return placeholder(text),
        }
    };
    Some(match inside {
        "" => what.to_owned(),
        _ => format!("{what}; write `{inside}`"),
    })
}

/// The fault of a text that is a part of a value. Its spaces may be intended.
pub(super) fn placeholder(text: &str) -> Option<String> {
    let is_name = |name: &[u8]| {
        let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || b" _-.,:/".contains(byte);
        !name.is_empty() && name.iter().all(is_letter)
    };
    let is_left = match text.as_bytes() {
        [b'<', name @ .., b'>'] | [b'%', name @ .., b'%'] => is_name(name),
        [b'$', name @ ..] if is_name(name) => name.iter().all(|byte| !byte.is_ascii_lowercase()),
        bytes => bytes.windows(3).enumerate().any(|(place, three)| match three {
            [b'{', b'{', _] => true,
            // `${NAME}` and `${NAME:-default}`, and no pattern such as `${jndi:…}`.
            [b'$', b'{', _] => {
                let rest = bytes.get(place.saturating_add(2)..).unwrap_or_default();
                let end = rest.iter().position(|byte| *byte == b':' || *byte == b'}');
                let (name, end) = rest.split_at_checked(end.unwrap_or_default()).unwrap_or_default();
                is_name(name) && (end.starts_with(b"}") || end.starts_with(b":-"))
            }
            _ => false,
        }),
    };
    is_left.then(|| format!("`{text}` is a placeholder that was not replaced; Envoy replaces none"))
}

/// Control characters, the byte order mark, no-break spaces and zero-width spaces.
fn has_unseen(text: &[u8]) -> bool {
    text.iter().any(u8::is_ascii_control)
        || text.windows(3).any(|three| {
            matches!(
                three,
                [0xef, 0xbb, 0xbf] | [0xe2, 0x80, 0x8b..=0x8f | 0xa8 | 0xa9] | [0xe2, 0x81, 0xa0]
            )
        })
        || text.windows(2).any(|two| two == [0xc2, 0xa0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_are_found() {
        for text in [
            " a",
            "a\t",
            "a\n",
            "\u{feff}a",
            "a\u{200b}",
            "\u{a0}a",
            "a\nb",
            "\"a\"",
            "'a'",
            "${A}",
            "x-${a_1}/y",
            "${A:-b}",
            "{{ .Values.a }}",
            "<your-issuer>",
            "<your issuer, such as https://login.example.com/>",
            "$ISSUER",
            "%ISSUER%",
        ] {
            assert!(in_name(text).is_some(), "{text:?}");
        }
    }

    #[test]
    fn what_may_be_meant_is_none() {
        for text in [
            "",
            "a",
            "a b",
            "https://a.example/{tenant}/v2.0",
            "it's",
            "\"",
            "'",
            "$",
            "$a",
            "a$B",
            "${jndi:x",
            "100%",
            "%",
            "<",
            "a<b>",
            "<!DOCTYPE html>x",
            "${",
            "${}",
            "p${a",
            "é",
        ] {
            assert_eq!(in_name(text), None, "{text:?}");
        }
        assert_eq!(placeholder("Bearer "), None);
    }
}
