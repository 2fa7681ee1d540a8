//! The query of a path as `application/x-www-form-urlencoded` (the URL standard, section 5.1).

use std::borrow::Cow;

use super::names::{Names, Slots};
#[cfg(test)]
use super::spelling;
use crate::http::percent::{self, BadEscape, Plus};

/// Returns the decoded values of parameters. If only some servers find a parameter of this name, because of
/// another separator or spelling, its value is a malformed token.
pub(super) fn find<'a>(path: &'a [u8], names: &Names, slots: &mut Slots<'_, 'a>) {
    let (head, pairs) = split(path);
    for pair in pairs {
        slots.next_pair();
        let (key, value) = key_and_value(pair);
        each_name(names, key, &mut |number, is_exact| {
            if !is_exact {
                slots.take_none(number);
            } else if slots.is_due(number) {
                slots.take(number, decode(value));
            }
        });
        find_parts(pair, names, slots);
    }
    for pair in hidden_query(head).into_iter().flat_map(pairs_of) {
        slots.next_pair();
        each_name(names, key_and_value(pair).0, &mut |number, _| {
            slots.take_none(number)
        });
        find_parts(pair, names, slots);
    }
}

/// The parameters of servers that split at `;` too.
fn find_parts(pair: &[u8], names: &Names, slots: &mut Slots<'_, '_>) {
    if memchr::memchr(b';', pair).is_some() {
        for part in pair.split(|byte| *byte == b';') {
            each_name(names, key_and_value(part).0, &mut |number, _| {
                slots.take_none(number)
            });
        }
    }
}

/// Calls `found` with each name for which some server takes the key, and with whether the key equals the
/// name. PHP reads `access.token`, `+access[token` and `access_token[]` as `access_token`. An equal name
/// comes first.
fn each_name(names: &Names, key: &[u8], found: &mut dyn FnMut(usize, bool)) {
    names.each_same(key, &mut |number| found(number, true));
    let Ok(mut decoded) = decode(key) else {
        // Some servers decode `%u005f`, and no client needs it.
        if key.windows(2).any(|two| two.eq_ignore_ascii_case(b"%u")) {
            names.up_to(key.len()).for_each(|number| found(number, false));
        }
        return;
    };
    if matches!(decoded, Cow::Owned(_)) {
        names.each_same(&decoded, &mut |number| found(number, true));
    }
    // A proxy may decode first, and then the application.
    for _ in 0..MAX_DECODINGS {
        names.each_beginning(&decoded, &mut |number| found(number, false));
        match percent::decode(&decoded, Plus::Plus) {
            Ok(Cow::Owned(again)) => decoded = Cow::Owned(again),
            Ok(Cow::Borrowed(_)) | Err(_) => return,
        }
        names.each_same(&decoded, &mut |number| found(number, false));
    }
}

/// The result of [`find`] for one name.
#[cfg(test)]
fn values<'a>(path: &'a [u8], name: &[u8]) -> impl Iterator<Item = Result<Cow<'a, [u8]>, BadEscape>> {
    let (head, pairs) = split(path);
    let none = || Ok(Cow::Borrowed(spelling::NO_TOKEN));
    let hidden = hidden_query(head).into_iter().flat_map(pairs_of);
    let hidden = hidden.filter_map(move |pair| {
        let key = key_and_value(pair).0;
        (is_named(key, name) || passes_for(pair, key, name)).then(none)
    });
    pairs
        .filter_map(move |pair| {
            let (key, value) = key_and_value(pair);
            if is_named(key, name) {
                Some(decode(value))
            } else {
                passes_for(pair, key, name).then(none)
            }
        })
        .chain(hidden)
}

/// The query as it appears to a server that decodes the path first.
fn hidden_query(head: &[u8]) -> Option<&[u8]> {
    memchr::memchr(b'%', head)?;
    let at = head
        .windows(3)
        .position(|three| three.eq_ignore_ascii_case(b"%3f"))?;
    head.get(at.saturating_add(3)..)
}

#[cfg(test)]
fn passes_for(pair: &[u8], key: &[u8], name: &[u8]) -> bool {
    // No spelling of a name is shorter than the name.
    if pair.len() < name.len() {
        return false;
    }
    if is_folded(key, name) {
        return true;
    }
    let has_several = memchr::memchr(b';', pair).is_some();
    has_several
        && pair
            .split(|byte| *byte == b';')
            .filter(|part| part.len() >= name.len())
            .any(|part| {
                let key = key_and_value(part).0;
                is_named(key, name) || is_folded(key, name)
            })
}

#[cfg(test)]
fn is_folded(key: &[u8], name: &[u8]) -> bool {
    // Few names that are long enough begin with the same bytes.
    if key.len() < name.len() {
        return false;
    }
    let Ok(mut decoded) = decode(key) else {
        // Some servers decode `%u005f`, and no client needs it.
        return key.windows(2).any(|two| two.eq_ignore_ascii_case(b"%u"));
    };
    // A proxy may decode first, and then the application.
    for _ in 0..MAX_DECODINGS {
        if spelling::is_folded(&decoded, name) {
            return true;
        }
        match percent::decode(&decoded, Plus::Plus) {
            Ok(Cow::Owned(again)) => decoded = Cow::Owned(again),
            Ok(Cow::Borrowed(_)) | Err(_) => return false,
        }
        if *decoded == *name {
            return true;
        }
    }
    false
}

/// The number of decoding rounds in which the filter looks for another spelling of a name.
const MAX_DECODINGS: usize = 3;

/// The path without the parameters of this name. The others keep their bytes and their order.
pub(super) fn without(path: &[u8], name: &[u8]) -> Vec<u8> {
    let (head, pairs) = split(path);
    let mut rest = head.to_vec();
    let mut separator = b'?';
    for pair in pairs.filter(|pair| !is_named(key_and_value(pair).0, name)) {
        rest.push(separator);
        rest.extend_from_slice(pair);
        separator = b'&';
    }
    rest
}

/// The path, and the parts of its query.
fn split(path: &[u8]) -> (&[u8], impl Iterator<Item = &[u8]>) {
    let at = path.iter().position(|byte| *byte == b'?');
    let (head, query) = match at.and_then(|at| path.split_at_checked(at)) {
        Some((head, query)) => (head, query.strip_prefix(b"?")),
        None => (path, None),
    };
    (head, query.into_iter().flat_map(pairs_of))
}

fn pairs_of(query: &[u8]) -> impl Iterator<Item = &[u8]> {
    query.split(|byte| *byte == b'&')
}

fn key_and_value(pair: &[u8]) -> (&[u8], &[u8]) {
    match pair
        .iter()
        .position(|byte| *byte == b'=')
        .and_then(|at| pair.split_at_checked(at))
    {
        Some((key, value)) => (key, value.strip_prefix(b"=").unwrap_or(value)),
        None => (pair, b""),
    }
}

/// A name that cannot be decoded equals no name of the configuration.
fn is_named(key: &[u8], name: &[u8]) -> bool {
    key == name || decode(key).is_ok_and(|decoded| *decoded == *name)
}

fn decode(text: &[u8]) -> Result<Cow<'_, [u8]>, BadEscape> {
    percent::decode(text, Plus::Space)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str) -> Vec<Result<String, BadEscape>> {
        values(path.as_bytes(), b"token")
            .map(|value| value.map(|value| String::from_utf8(value.into_owned()).unwrap()))
            .collect()
    }

    fn rest(path: &str) -> String {
        String::from_utf8(without(path.as_bytes(), b"token")).unwrap()
    }

    #[test]
    fn parameters_are_found_decoded() {
        assert_eq!(found("/a?x=1&token=a.b.c&y"), [Ok("a.b.c".to_owned())]);
        assert_eq!(found("/a?t%6fken=a%2Eb%2ec"), [Ok("a.b.c".to_owned())]);
        assert_eq!(
            found("/a?token=a&token=b"),
            [Ok("a".to_owned()), Ok("b".to_owned())]
        );
        assert_eq!(found("/a?token"), [Ok(String::new())]);
        assert_eq!(found("/a?token=%zz"), [Err(BadEscape)]);
        assert_eq!(found("/a?token=%2"), [Err(BadEscape)]);
        assert!(found("/a?mytoken=1&tokens=2&%zz=3").is_empty());
        assert!(found("/token=1").is_empty());
    }

    #[test]
    fn what_servers_take_for_a_parameter_is_one_that_holds_no_token() {
        let found = |path: &str| -> Vec<Vec<u8>> {
            let values = values(path.as_bytes(), b"access_token");
            values.map(|value| value.unwrap().into_owned()).collect()
        };
        for path in [
            "/?a=1;access_token=E",
            "/?;access_token=E",
            "/?a;b;access%5ftoken=E;c",
            "/?access.token=E",
            "/?access%2Etoken=E",
            "/?access+token=E",
            "/?access[token=E",
            "/?+access_token=E",
            "/?%20%20access.token=E",
            "/?access_token[]=E",
            "/?access_token%5B0%5D=E",
            "/?access_token%00x=E",
            "/?a=1;access.token=E",
            "/?Access_Token=E",
            "/?ACCESS%5fTOKEN=E",
            "/?access_token+=E",
            "/?access_token%20%09=E",
            "/??access_token=E",
            "/?%3faccess%255ftoken=E",
            "/?access%255ftoken=E",
            "/?access%25255Ftoken=E",
            "/?access%u005ftoken=E",
            "/x%3faccess_token=E",
            "/x%3Fa=1&access_token=E?b",
        ] {
            assert_eq!(found(path), [spelling::NO_TOKEN], "{path}");
        }
        for path in [
            "/?a=1;b=2",
            "/?a=access_token",
            "/?xaccess.token=E",
            "/?access.tokens=E",
            "/?access%zztoken=E",
            "/x%3fb=access_token",
            "/?access-token=E",
            "/?a=;=;;",
        ] {
            assert!(found(path).is_empty(), "{path}");
        }
        assert_eq!(found("/?access_token=a.b.c;d=1"), [b"a.b.c;d=1"]);
        assert_eq!(found("/?access_token=a&b;access_token=b").len(), 2);
    }

    #[test]
    fn the_other_parameters_stay_as_they_were() {
        assert_eq!(rest("/a?x=%41&token=t&y=+&&z"), "/a?x=%41&y=+&&z");
        assert_eq!(rest("/a?token=t"), "/a");
        assert_eq!(rest("/a?t%6Fken=t&b"), "/a?b");
        assert_eq!(rest("/a?"), "/a?");
        assert_eq!(rest("/a"), "/a");
    }

    #[test]
    fn all_names_at_once_have_what_each_has_alone() {
        use crate::credential::names::tests::{NAMES, names, only, texts};
        use crate::denial::{Denial, Detail, Reason};
        use crate::ids::LocationId;

        const PIECES: &[&str] = &[
            "a", "b", "_", ".", "[", "]", "=", "=", "&", "&", ";", "?", "%3f", "+", "A", "B", "%5f", "%255f",
            "%61", "%", "%u005f", "%00", "%20", "%25255f", "token", "access", "a=", "ab=1", "/",
        ];
        let all = names();
        let (mut found, mut refused) = (0, 0);
        for text in texts(PIECES) {
            for path in [format!("/{text}"), format!("/?{text}")] {
                let mut slots = Slots::new(&all);
                super::find(path.as_bytes(), &all, &mut slots);
                for (number, name) in NAMES.iter().enumerate() {
                    let id = LocationId::new(number);
                    let refusal = Denial::new(Reason::RequestMalformed).because(Detail::BrokenEscape(id));
                    let broken = |_| refusal;
                    let values = values(path.as_bytes(), name.as_bytes()).map(|value| value.map_err(broken));
                    let expected = only(id, values);
                    found += usize::from(matches!(expected, Ok(Some(_))));
                    refused += usize::from(expected.is_err());
                    assert_eq!(slots.at(id), expected, "{name} {path:?}");
                }
            }
        }
        assert!(found > 5_000 && refused > 500, "{found} {refused}");
    }
}
