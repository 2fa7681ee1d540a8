//! RFC 6750 section 2: where a request carries its token, and how it is taken out of the request.

mod cookie;
mod query;

use std::borrow::Cow;
use std::rc::Rc;

use crate::config::{Location, LocationId};
use crate::denial::{Denial, Reason};
use crate::edits::HeaderEdits;
use crate::request::RequestHead;

/// A token as it was found. Nothing is known of it but where it stood.
#[derive(Debug)]
pub struct Credential<'a> {
    /// Where.
    pub location: LocationId,
    /// The token's bytes.
    pub token: Cow<'a, [u8]>,
}

/// Looks for tokens at these locations: at each there may be one.
///
/// Fails with `token_multiple` where a location holds several, since a good token must not hide a bad one that the upstream
/// may prefer; with `request_malformed` where a parameter cannot be decoded.
pub fn find<'a>(
    request: &'a RequestHead,
    locations: &[Location],
    ids: &[LocationId],
) -> Result<Vec<Credential<'a>>, Denial> {
    let mut all: Vec<Credential<'a>> = Vec::new();
    for id in ids {
        let Some(location) = locations.get(id.index()) else {
            continue;
        };
        let mut found: Option<Cow<'a, [u8]>> = None;
        let mut take = |token: Cow<'a, [u8]>| match found.replace(token) {
            None => Ok(()),
            Some(_) => Err(Denial::new(Reason::TokenMultiple)),
        };
        match location {
            Location::Header { field, prefix, .. } => {
                for value in request.all(*field) {
                    if let Some(token) = after_prefix(value, prefix) {
                        // Envoy joins repeated `authorization` fields with a comma, which no token holds.
                        if is_repeated(token, prefix) {
                            return Err(Denial::new(Reason::TokenMultiple));
                        }
                        take(Cow::Borrowed(token))?;
                    }
                }
            }
            Location::Parameter { field, name } => {
                let path = request.first(*field).unwrap_or_default();
                for value in query::values(path, name.as_bytes()) {
                    take(value.map_err(|_| Denial::new(Reason::RequestMalformed).with_detail("query"))?)?;
                }
            }
            Location::Cookie { field, name } => {
                for value in request
                    .all(*field)
                    .flat_map(|line| cookie::values(line, name.as_bytes()))
                {
                    take(Cow::Borrowed(value))?;
                }
            }
        }
        all.extend(found.map(|token| Credential { location: *id, token }));
    }
    Ok(all)
}

/// Takes the tokens out of the request, wherever they stand at these locations.
pub fn strip(request: &RequestHead, locations: &[&Location], edits: &mut HeaderEdits) {
    let mut path: Option<Vec<u8>> = None;
    let mut cookies: Option<Vec<u8>> = None;
    for location in locations {
        match location {
            Location::Header { name, .. } => edits.push(name.clone(), None),
            Location::Parameter { field, name } => {
                let before = path
                    .take()
                    .unwrap_or_else(|| request.first(*field).unwrap_or_default().to_vec());
                path = Some(query::without(&before, name.as_bytes()));
            }
            Location::Cookie { field, name } => {
                cookies = Some(match cookies.take() {
                    Some(rest) => cookie::without(std::iter::once(rest.as_slice()), name.as_bytes()),
                    None => cookie::without(request.all(*field), name.as_bytes()),
                });
            }
        }
    }
    if let Some(path) = path {
        edits.push(Rc::from(":path"), Some(path));
    }
    if let Some(rest) = cookies {
        edits.push(
            Rc::from("cookie"),
            if rest.is_empty() { None } else { Some(rest) },
        );
    }
}

/// What follows the prefix; the scheme `Bearer` in any case and with any number of spaces (RFC 9110 section 11.4:
/// `auth-scheme [ 1*SP token68 ]`, "case-insensitive"), other prefixes exactly. The scheme alone is an empty token.
fn after_prefix<'a>(value: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let Some(scheme) = bearer_scheme(prefix) else {
        return value.strip_prefix(prefix);
    };
    let (head, rest) = value.split_at_checked(scheme.len())?;
    if !head.eq_ignore_ascii_case(scheme) {
        return None;
    }
    match rest.first() {
        None => Some(rest),
        Some(b' ') => Some(rest.trim_ascii()),
        Some(_) => None,
    }
}

/// The scheme that a prefix stands for, with its space or without.
fn bearer_scheme(prefix: &[u8]) -> Option<&[u8]> {
    Some(prefix.trim_ascii_end())
        .filter(|scheme| scheme.eq_ignore_ascii_case(b"Bearer") || scheme.eq_ignore_ascii_case(b"DPoP"))
}

/// Whether after the first token another value of the same header follows that holds one too.
fn is_repeated(token: &[u8], prefix: &[u8]) -> bool {
    token.split(|byte| *byte == b',').skip(1).any(|part| {
        let part = part.trim_ascii();
        !part.is_empty() && (prefix.is_empty() || after_prefix(part, prefix).is_some())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bearer_scheme_is_anchored_and_in_any_case() {
        for (value, expected) in [
            (&b"Bearer abc"[..], Some(&b"abc"[..])),
            (b"bearer abc", Some(b"abc")),
            (b"BEARER   abc ", Some(b"abc")),
            (b"Bearer", Some(b"")),
            (b"Bearer ", Some(b"")),
            (b"Bearerabc", None),
            (b"Bearer\tabc", None),
            (b"Basic Bearer abc", None),
            (b" Bearer abc", None),
            (b"", None),
        ] {
            assert_eq!(
                after_prefix(value, b"Bearer "),
                expected,
                "{}",
                String::from_utf8_lossy(value)
            );
        }
    }

    #[test]
    fn the_scheme_is_known_without_its_space_too() {
        assert_eq!(after_prefix(b"Bearer abc", b"Bearer"), Some(&b"abc"[..]));
        assert_eq!(after_prefix(b"Bearerabc", b"bearer"), None);
    }

    #[test]
    fn other_prefixes_are_exact() {
        assert_eq!(after_prefix(b"JWT abc", b"JWT "), Some(&b"abc"[..]));
        assert_eq!(after_prefix(b"jwt abc", b"JWT "), None);
        assert_eq!(after_prefix(b"abc", b""), Some(&b"abc"[..]));
    }

    #[test]
    fn joined_fields_are_seen() {
        assert!(is_repeated(b"a,Bearer b", b"Bearer "));
        assert!(is_repeated(b"a, bearer b", b"Bearer "));
        assert!(!is_repeated(b"a,b", b"Bearer "));
        assert!(!is_repeated(b"a", b"Bearer "));
        assert!(is_repeated(b"a,b", b""));
    }
}
