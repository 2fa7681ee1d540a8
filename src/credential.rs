//! [RFC 6750 section 2](https://www.rfc-editor.org/rfc/rfc6750#section-2): the places in which a request
//! carries its token, and the removal of the token from the request.

mod cookie;
mod location;
mod names;
mod query;
mod spelling;

use std::borrow::Cow;
use std::ops::{Deref, Range};
use std::rc::Rc;

use crate::denial::{Denial, Detail, Reason};
use crate::edits::HeaderEdits;
use crate::http::is_token_byte;
use crate::ids::LocationId;
use crate::request::RequestHead;
pub use location::{DPOP_PREFIX, Location};
use names::{Names, Slots};
pub(crate) use spelling::NO_TOKEN;

/// A token as the request carries it. The filter knows only its location.
#[derive(Debug)]
pub struct Credential<'a> {
    /// The location.
    pub location: LocationId,
    /// The token's bytes.
    pub token: Cow<'a, [u8]>,
}

impl Credential<'_> {
    /// As above, without a copy of the token.
    #[must_use]
    pub fn borrowed(&self) -> Credential<'_> {
        Credential {
            location: self.location,
            token: Cow::Borrowed(&self.token),
        }
    }
}

/// All locations of a configuration.
#[derive(Debug, Default)]
pub struct Locations {
    list: Vec<Location>,
    parameters: Names,
    cookies: Names,
}

impl Locations {
    /// The locations with these indexes.
    #[must_use]
    pub fn new(list: Vec<Location>) -> Self {
        let mut all = Self::default();
        for (number, location) in list.iter().enumerate() {
            let id = LocationId::new(number);
            match location {
                Location::Header { .. } => {}
                Location::Parameter { field, name } => all.parameters.add(id, *field, name.as_bytes()),
                Location::Cookie { field, name } => all.cookies.add(id, *field, name.as_bytes()),
            }
        }
        all.list = list;
        all
    }
}

impl Deref for Locations {
    type Target = [Location];

    fn deref(&self) -> &[Location] {
        &self.list
    }
}

/// Looks for tokens at these locations, each of which may contain one.
///
/// # Errors
///
/// Fails with `token_multiple` if a location contains several tokens: a good token must not hide a bad one
/// that the upstream may prefer. Fails with `request_malformed` if a parameter cannot be decoded.
pub fn find<'a>(
    request: &'a RequestHead,
    locations: &Locations,
    ids: &[LocationId],
) -> Result<Vec<Credential<'a>>, Denial> {
    let mut finder = Finder::new(request, locations);
    // Most requests without a token allocate no memory here.
    let mut all: Vec<Credential<'a>> = Vec::new();
    for id in ids {
        all.extend(finder.find(*id)?);
    }
    if all.len() > 1 {
        keep_innermost(&mut all);
    }
    Ok(all)
}

/// Leaves out a token that contains the token of another location: of `Bearer eyJ…`, a location of the same
/// header without a prefix reads the scheme too. They are one credential, and the other location reads it as
/// its author meant it.
// Not inlined: most requests have one token.
#[inline(never)]
pub fn keep_innermost(credentials: &mut Vec<Credential<'_>>) {
    let all: Vec<_> = credentials
        .iter()
        .map(|credential| credential.token.as_ptr_range())
        .collect();
    credentials.retain(|credential| {
        let own = credential.token.as_ptr_range();
        let is_inside = |inner: &Range<*const u8>| {
            let is_shorter = own.start < inner.start || inner.end < own.end;
            is_shorter && own.start <= inner.start && inner.end <= own.end && inner.start < inner.end
        };
        !all.iter().any(is_inside)
    });
}

/// Whether two locations have read the same bytes of the request, and not two copies.
#[must_use]
pub fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.as_ptr_range() == other.as_ptr_range()
}

/// Looks for tokens at one location after another. It reads the query and the cookies once for all locations.
#[derive(Debug)]
pub struct Finder<'l, 'a> {
    request: &'a RequestHead,
    locations: &'l Locations,
    parameters: Option<Slots<'l, 'a>>,
    cookies: Option<Slots<'l, 'a>>,
}

impl<'l, 'a> Finder<'l, 'a> {
    /// A finder before its first search.
    #[must_use]
    pub const fn new(request: &'a RequestHead, locations: &'l Locations) -> Self {
        Self {
            request,
            locations,
            parameters: None,
            cookies: None,
        }
    }

    /// The token at a location, if it has one. Call this once for each location.
    ///
    /// # Errors
    ///
    /// Fails like [`find`].
    pub fn find(&mut self, id: LocationId) -> Result<Option<Credential<'a>>, Denial> {
        let (request, locations) = (self.request, self.locations);
        let found = match locations.get(id.index()) {
            None => None,
            Some(Location::Header { field, prefix, .. }) => {
                let several = Denial::new(Reason::TokenMultiple).because(Detail::Twice(id));
                let mut found = None;
                for value in request.all(*field) {
                    let token = after_prefix(value, prefix);
                    // Envoy joins repeated `authorization` fields with a comma, and no token contains a
                    // comma.
                    if (token.is_some() || scheme(prefix).is_some()) && is_repeated(value, prefix) {
                        return Err(several);
                    }
                    if let Some(token) = token
                        && found.replace(Cow::Borrowed(token)).is_some()
                    {
                        return Err(several);
                    }
                }
                found
            }
            Some(Location::Parameter { .. }) => {
                let names = &locations.parameters;
                let slots = self.parameters.get_or_insert_with(|| {
                    let mut slots = Slots::new(names);
                    query::find(request.first(names.field).unwrap_or_default(), names, &mut slots);
                    slots
                });
                slots.at(id)?
            }
            Some(Location::Cookie { .. }) => {
                let names = &locations.cookies;
                let slots = self.cookies.get_or_insert_with(|| {
                    let mut slots = Slots::new(names);
                    for line in request.all(names.field) {
                        cookie::find(line, names, &mut slots);
                    }
                    slots
                });
                slots.at(id)?
            }
        };
        Ok(found.map(|token| Credential { location: id, token }))
    }
}

impl Location {
    /// Whether this header contains a JWT without a scheme, or after a scheme that none of these locations
    /// reads, such as `JWT eyJ…`. Only the upstream may find it.
    #[must_use]
    pub fn has_unread_jwt(&self, request: &RequestHead, all: &[Self]) -> bool {
        let Self::Header { field, prefix, .. } = self else {
            return false;
        };
        let is_read = |value: &[u8]| {
            all.iter().any(|location| match location {
                Self::Header {
                    field: other, prefix, ..
                } => other == field && after_prefix(value, prefix).is_some(),
                Self::Parameter { .. } | Self::Cookie { .. } => false,
            })
        };
        request
            .all(*field)
            .any(|value| spelling::holds_jwt(value, scheme(prefix)) && !is_read(value))
    }
}

/// Removes the tokens at these locations from the request.
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

/// The part after the prefix. The schemes `Bearer` and `DPoP` match in any case and with any number of spaces
/// (RFC 9110 section 11.4: `auth-scheme [ 1*SP token68 ]`, "case-insensitive"); other prefixes match exactly.
/// After the scheme alone, the token is empty.
///
/// A value that contains the scheme in another form counts as a malformed token: the upstream may be more
/// tolerant than the filter. The returned value begins with a byte that no token contains.
fn after_prefix<'a>(value: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    // In the usual form there is nothing to interpret.
    if prefix.ends_with(b" ")
        && let Some(token @ [first, .., last]) = value.strip_prefix(prefix)
        && is_token_byte(*first)
        && is_token_byte(*last)
    {
        return Some(token);
    }
    let Some(scheme) = scheme(prefix) else {
        return value.strip_prefix(prefix);
    };
    let start = value.iter().position(|byte| is_token_byte(*byte))?;
    let Some(rest) = after_scheme(value.get(start..)?, scheme) else {
        return holds_scheme(value, scheme).then_some(spelling::NO_TOKEN);
    };
    if start > 0 {
        return Some(value);
    }
    Some(match rest.first() {
        Some(b' ') if is_known(scheme) => rest.trim_ascii(),
        _ => value.strip_prefix(prefix).unwrap_or(rest),
    })
}

/// The scheme of a prefix: a word with a space after it. `Bearer` and `DPoP` need no space.
fn scheme(prefix: &[u8]) -> Option<&[u8]> {
    let scheme = prefix.trim_ascii_end();
    (prefix.ends_with(b" ") || is_known(scheme))
        .then_some(scheme)
        .filter(|scheme| scheme.first().is_some_and(|byte| is_token_byte(*byte)))
}

/// One of the schemes whose tokens are JWTs.
fn is_known(scheme: &[u8]) -> bool {
    scheme.eq_ignore_ascii_case(b"Bearer") || scheme.eq_ignore_ascii_case(b"DPoP")
}

/// The part after the scheme, in any case; `None` if the value begins with another word, or with a longer
/// one.
fn after_scheme<'a>(value: &'a [u8], scheme: &[u8]) -> Option<&'a [u8]> {
    let (word, rest) = value.split_at_checked(scheme.len())?;
    let ends = rest.first().is_none_or(|byte| !is_token_byte(*byte));
    (ends && word.eq_ignore_ascii_case(scheme)).then_some(rest)
}

/// Whether a value of another scheme contains the scheme and a space: an upstream that splits the value at
/// `Bearer ` uses the rest as its token.
fn holds_scheme(value: &[u8], scheme: &[u8]) -> bool {
    memchr::memchr_iter(b' ', value).any(|end| {
        let word = end
            .checked_sub(scheme.len())
            .and_then(|start| value.get(start..end));
        word.is_some_and(|word| word.eq_ignore_ascii_case(scheme))
    })
}

/// Whether another value of the same header with a token follows after a comma.
fn is_repeated(value: &[u8], prefix: &[u8]) -> bool {
    // Few values have a comma, so the quick test pays.
    if memchr::memchr(b',', value).is_none() {
        return false;
    }
    value.split(|byte| *byte == b',').skip(1).any(|part| {
        let part = part.trim_ascii();
        match scheme(prefix) {
            // `Digest username="x", Bearer=y` has a parameter with that name.
            Some(scheme) => after_scheme(part, scheme).is_some_and(|rest| rest.first() != Some(&b'=')),
            None => !part.is_empty() && part.starts_with(prefix),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &[u8], prefix: &[u8]) -> Option<Vec<u8>> {
        after_prefix(value, prefix).map(<[u8]>::to_vec)
    }

    #[test]
    fn the_bearer_scheme_is_anchored_and_in_any_case() {
        for (value, expected) in [
            (&b"Bearer abc"[..], Some(&b"abc"[..])),
            (b"bearer abc", Some(b"abc")),
            (b"BEARER   abc ", Some(b"abc")),
            (b"Bearer", Some(b"")),
            (b"Bearer ", Some(b"")),
            (b"Bearerabc", None),
            (b"Bearer-x abc", None),
            (b"Basic x Bearer", None),
            (b"Digest username=\"Bearer\", realm=\"x\"", None),
            (b"Negotiate abc", None),
            (b"Bear", None),
            (b"\xff\xfe", None),
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
    fn a_scheme_that_is_not_written_as_it_should_be_has_a_token_that_is_none() {
        for value in [
            &b"Bearer\tabc"[..],
            b"bearer:abc",
            b"Bearer=abc",
            b"Bearer\xa0abc",
            b"Bearer,abc",
            b" Bearer abc",
            b"\xc2\xa0Bearer abc",
            b"\"Bearer abc\"",
            b"Basic Bearer abc",
            b"Basic x bearer  abc",
            b"xBearer abc",
        ] {
            let token = read(value, b"Bearer ").unwrap();
            assert!(!is_token_byte(token[0]), "{}", String::from_utf8_lossy(value));
        }
        for value in [&b"JWT\tabc"[..], b"jwt abc", b"JWT:abc"] {
            let token = read(value, b"JWT ").unwrap();
            assert!(!is_token_byte(token[0]), "{}", String::from_utf8_lossy(value));
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
        assert_eq!(after_prefix(b"JWT", b"JWT "), Some(&b""[..]));
        assert_eq!(after_prefix(b"JWTabc", b"JWT "), None);
        assert_eq!(after_prefix(b"token=abc", b"token="), Some(&b"abc"[..]));
        assert_eq!(after_prefix(b"Token=abc", b"token="), None);
        assert_eq!(after_prefix(b"<jwt> abc", b"<jwt> "), Some(&b"abc"[..]));
        assert_eq!(after_prefix(b"abc", b""), Some(&b"abc"[..]));
    }

    #[test]
    fn a_jwt_behind_a_scheme_of_no_provider_is_seen() {
        let mut wanted = crate::request::WantedFields::default();
        let field = wanted.id("authorization");
        let location = |prefix: &str| Location::Header {
            field,
            name: Rc::from("authorization"),
            prefix: prefix.as_bytes().into(),
        };
        let of = |value: &[u8], others: &[Location]| {
            let mut request = RequestHead::new();
            request.push(field, value);
            let all = [&[location("Bearer ")], others].concat();
            all[0].has_unread_jwt(&request, &all)
        };
        for value in [
            &b"eyJhIjoxfQ.e30.c2ln"[..],
            b"JWT eyJhIjoxfQ.e30.c2ln",
            b"Token  ewoiYSI6MX0.e30.",
            b"JWT\teyJhIjoxfQ.e30.c2ln",
            b"Basic eyJhIjoxfQ.e30.c2ln",
            b"Basic YTpi,JWT eyJhIjoxfQ.e30.c2ln",
            b"JWT:eyJhIjoxfQ.e30.c2ln",
            b"BearereyJhIjoxfQ.e30.c2ln",
            b"JWE eyJhIjoxfQ.a.b.c.d",
            b"\xffeyJhIjoxfQ.e30.c2ln",
        ] {
            assert!(of(value, &[]), "{}", String::from_utf8_lossy(value));
        }
        for value in [
            &b""[..],
            b"Basic eyJhIjoxfQ==",
            b"Negotiate YII.x.y",
            b"Digest username=\"e.y.J\", realm=\"x\"",
            b"AWS4-HMAC-SHA256 Credential=AKIA/20130524/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=fe5f",
            b"Token v4.public.eyJhIjoxfQ",
            b"Token ABC.DEF.GHI",
            b"vapid t=eyJhIjoxfQ.e30.c2ln, k=BA1Hxz",
            b"vapid t=\"eyJhIjoxfQ.e30.c2ln\"",
        ] {
            assert!(!of(value, &[]), "{}", String::from_utf8_lossy(value));
        }
        assert!(!of(b"Token eyJhIjoxfQ.e30.c2ln", &[location("Token ")]));
        assert!(of(b"JWT eyJhIjoxfQ.e30.c2ln", &[location("Token ")]));
    }

    #[test]
    fn joined_fields_are_seen() {
        for value in [
            &b"Bearer a,Bearer b"[..],
            b"Bearer a, bearer b",
            b"Bearer,Bearer b",
            b"Basic x,Bearer b",
            b"Basic x,\t Bearer\tb",
            b"Basic x, Bearer",
            b",Bearer b",
        ] {
            assert!(
                is_repeated(value, b"Bearer "),
                "{}",
                String::from_utf8_lossy(value)
            );
        }
        for value in [
            &b"Bearer a,b"[..],
            b"Bearer a",
            b"Bearer ,",
            b"Digest username=\"x\", Bearer=y",
            b"Digest username=\"x\", Bearer-x=y",
        ] {
            assert!(
                !is_repeated(value, b"Bearer "),
                "{}",
                String::from_utf8_lossy(value)
            );
        }
        assert!(is_repeated(b"a,b", b""));
        assert!(!is_repeated(b"a,", b""));
    }
}
