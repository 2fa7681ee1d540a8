//! [RFC 6265 section 4.2](https://www.rfc-editor.org/rfc/rfc6265#section-4.2): the `cookie` field.

use std::borrow::Cow;

use super::names::{Names, Slots};
#[cfg(test)]
use super::spelling;
use crate::http::is_token_byte;
use crate::http::percent::{self, Plus};

/// Returns the values of cookies in a `cookie` field, without quotes. If only some servers find a cookie of
/// this name, because of another separator or spelling, its value is a malformed token.
pub(super) fn find<'a>(line: &'a [u8], names: &Names, slots: &mut Slots<'_, 'a>) {
    for pair in pairs(line) {
        slots.next_pair();
        let mut rest = pair;
        let mut is_first = true;
        // Every `=` may end a name, at any length.
        while let Some(at) = memchr::memchr(b'=', rest)
            && let Some((before, after)) = rest.split_at_checked(at)
        {
            let before = before.trim_ascii_end();
            if std::mem::take(&mut is_first) {
                names.each_same(before, &mut |number| {
                    slots.take(number, Ok(Cow::Borrowed(value_in(after))))
                });
            }
            let start = before.iter().rposition(|byte| !is_name_byte(*byte));
            let key = start.and_then(|start| before.get(start.saturating_add(1)..));
            names.each_beginning(before, &mut |number| slots.take_none(number));
            if let Some(key) = key {
                names.each_beginning(key, &mut |number| slots.take_none(number));
            }
            let key = key.unwrap_or(before);
            if memchr::memchr(b'%', key).is_some()
                && let Ok(key) = percent::decode(key, Plus::Plus)
            {
                names.each_same(&key, &mut |number| slots.take_none(number));
                names.each_beginning(&key, &mut |number| slots.take_none(number));
            }
            rest = after.get(1..).unwrap_or_default();
        }
    }
}

/// The result of [`find`] for one name.
#[cfg(test)]
fn values<'a>(line: &'a [u8], name: &[u8]) -> impl Iterator<Item = &'a [u8]> {
    pairs(line).filter_map(move |pair| {
        value_of(pair, name).or_else(|| passes_for(pair, name).then_some(spelling::NO_TOKEN))
    })
}

/// Whether some server takes this pair, or a part of it, for a cookie of this name. Some servers split at
/// commas and white space too, some decode names, and PHP reads `my.session` as `my_session`.
#[cfg(test)]
fn passes_for(pair: &[u8], name: &[u8]) -> bool {
    let mut rest = pair;
    // Every `=` may end a name, at any length.
    while let Some(at) = memchr::memchr(b'=', rest)
        && let Some((before, after)) = rest.split_at_checked(at)
    {
        let before = before.trim_ascii_end();
        let start = before.iter().rposition(|byte| !is_name_byte(*byte));
        let key = start
            .and_then(|start| before.get(start.saturating_add(1)..))
            .unwrap_or(before);
        if key == name
            || spelling::is_folded(key, name)
            || spelling::is_folded(before, name)
            || key.len() > name.len()
                && memchr::memchr(b'%', key).is_some()
                && percent::decode(key, Plus::Plus)
                    .is_ok_and(|key| *key == *name || spelling::is_folded(&key, name))
        {
            return true;
        }
        rest = after.get(1..).unwrap_or_default();
    }
    false
}

/// A byte at which no server ends a cookie.
fn is_name_byte(byte: u8) -> bool {
    is_token_byte(byte) || byte == b'['
}

/// The cookies of the fields, without those of this name, as one field.
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
    Some(value_in(value))
}

/// The value after this `=`.
fn value_in(value: &[u8]) -> &[u8] {
    let value = value.strip_prefix(b"=").unwrap_or(value).trim_ascii_start();
    value
        .strip_prefix(b"\"")
        .and_then(|inner| inner.strip_suffix(b"\""))
        .unwrap_or(value)
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
        assert_eq!(found("xsession=x; sessions=y; session"), Vec::<String>::new());
        assert_eq!(found("session="), [""]);
        assert_eq!(found("session=\""), ["\""]);
    }

    #[test]
    fn what_servers_take_for_a_cookie_is_one_that_holds_no_token() {
        let found = |line: &str| -> Vec<Vec<u8>> {
            values(line.as_bytes(), b"my_session")
                .map(<[u8]>::to_vec)
                .collect()
        };
        for line in [
            "a=1 my_session=E",
            "a=1\tmy_session=E",
            "a=1,my_session=E",
            "a=1, my_session =E",
            "a=\"1\"my_session=E",
            "\u{b}my_session=E",
            "my.session=E",
            "my[session=E",
            "my session=E",
            "my%5Fsession=E",
            "my%5Fsession%00=E",
            "my%2esession=E",
            "a my_session=E",
            "my_session[0]=E",
            "My_Session=E",
            "a=1 MY.SESSION=E",
        ] {
            assert_eq!(found(line), [spelling::NO_TOKEN], "{line}");
        }
        for line in [
            "a=my_session",
            "xmy_session=1",
            "my-session=1",
            "a=1 b=2, c=3",
            "a=x.my_session=",
            "my_sessions=1",
            "===",
        ] {
            assert!(found(line).is_empty(), "{line}");
        }
    }

    #[test]
    fn the_other_cookies_stay_as_they_were() {
        assert_eq!(rest(&["a=1; session=x; b=\"2 3\""]), "a=1; b=\"2 3\"");
        assert_eq!(rest(&["session=x"]), "");
        assert_eq!(rest(&["a=1", "session=x;c=3"]), "a=1; c=3");
    }

    #[test]
    fn all_names_at_once_have_what_each_has_alone() {
        use crate::credential::names::tests::{NAMES, names, only, texts};
        use crate::ids::LocationId;

        const PIECES: &[&str] = &[
            "a", "b", "_", ".", "[", "]", "=", "=", ";", "; ", " ", ",", "\t", "A", "B", "%5f", "%61", "%",
            "token", "access", "\"", "a=", "ab=1", "+", "a_b", "; a=", "; ab=", "; token=",
        ];
        let all = names();
        let (mut found, mut several) = (0, 0);
        for line in texts(PIECES) {
            let mut slots = Slots::new(&all);
            super::find(line.as_bytes(), &all, &mut slots);
            for (number, name) in NAMES.iter().enumerate() {
                let id = LocationId::new(number);
                let values = values(line.as_bytes(), name.as_bytes()).map(|value| Ok(Cow::Borrowed(value)));
                let expected = only(id, values);
                found += usize::from(matches!(expected, Ok(Some(_))));
                several += usize::from(expected.is_err());
                assert_eq!(slots.at(id), expected, "{name} {line:?}");
            }
        }
        assert!(found > 5_000 && several > 500, "{found} {several}");
    }
}
