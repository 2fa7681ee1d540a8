//! RFC 6265 section 4.2: the `cookie` field.

/// The values of the cookies of this name in a `cookie` field; quotes around a value are dropped.
pub(super) fn values<'a>(line: &'a [u8], name: &[u8]) -> impl Iterator<Item = &'a [u8]> {
    pairs(line).filter_map(move |pair| value_of(pair, name))
}

/// The fields' cookies but those of this name, as one field.
pub(super) fn without<'a>(lines: impl Iterator<Item = &'a [u8]>, name: &[u8]) -> Vec<u8> {
    let mut rest = Vec::new();
    for pair in lines
        .flat_map(pairs)
        .filter(|pair| !pair.is_empty() && value_of(pair, name).is_none())
    {
        if !rest.is_empty() {
            rest.extend_from_slice(b"; ");
        }
        rest.extend_from_slice(pair);
    }
    rest
}

fn pairs(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b';').map(<[u8]>::trim_ascii)
}

fn value_of<'a>(pair: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let equals = pair.iter().position(|byte| *byte == b'=')?;
    let (key, value) = pair.split_at_checked(equals)?;
    if key.trim_ascii_end() != name {
        return None;
    }
    let value = value.strip_prefix(b"=")?.trim_ascii_start();
    Some(
        value
            .strip_prefix(b"\"")
            .and_then(|inner| inner.strip_suffix(b"\""))
            .unwrap_or(value),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(line: &str) -> Vec<String> {
        values(line.as_bytes(), b"session")
            .map(|value| String::from_utf8(value.to_vec()).unwrap())
            .collect()
    }

    fn rest(lines: &[&str]) -> String {
        String::from_utf8(without(lines.iter().map(|line| line.as_bytes()), b"session")).unwrap()
    }

    #[test]
    fn cookies_are_found_by_their_exact_name() {
        assert_eq!(found("a=1; session=x.y.z; b=2"), ["x.y.z"]);
        assert_eq!(found("session=\"x\""), ["x"]);
        assert_eq!(found("session=x;session=y"), ["x", "y"]);
        assert_eq!(found("xsession=x; Session=y; session"), Vec::<String>::new());
        assert_eq!(found("session="), [""]);
        assert_eq!(found("session=\""), ["\""]);
    }

    #[test]
    fn the_other_cookies_stay_as_they_were() {
        assert_eq!(rest(&["a=1; session=x; b=\"2 3\""]), "a=1; b=\"2 3\"");
        assert_eq!(rest(&["session=x"]), "");
        assert_eq!(rest(&["a=1", "session=x;c=3"]), "a=1; c=3");
    }
}
