//! `match.path` and `match.prefix`, canonical paths, and the interpretations of other paths.

mod interpretations;

use super::likeness::Match;
use super::matched::Matched;
use super::spelling::{self, in_normal_form};
use crate::http;
use crate::pattern::Member;

/// The path of a request, without its query.
#[derive(Clone, Copy, Debug)]
pub struct RequestPath<'a> {
    path: &'a [u8],
    /// This is an interpretation, and not the path as sent.
    is_interpretation: bool,
    /// The same path with the query of the request, if a rule tests both.
    with_query: Option<&'a [u8]>,
}

/// How far servers may disagree about a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathAmbiguity {
    /// They agree.
    None,
    /// They disagree within segments: every server finds the same number of segments, in the same places.
    Known,
    /// They may find different segments. The path is not canonical.
    Beyond,
}

/// Bytes that a plain path may have anywhere.
const PLAIN: u8 = 0;
/// Bytes that it may have, but not twice in a row.
const APART: u8 = 1;
/// Bytes that it does not have.
const ODD: u8 = 2;

/// The class of each byte.
static KINDS: [u8; 256] = {
    let mut kinds = [ODD; 256];
    let mut rest: &mut [u8] = &mut kinds;
    let mut byte = 0_u8;
    while let Some((kind, others)) = rest.split_first_mut() {
        *kind = match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => PLAIN,
            b'/' | b'.' => APART,
            _ => ODD,
        };
        byte = byte.wrapping_add(1);
        rest = others;
    }
    kinds
};

/// A pattern for the path of a request.
#[derive(Clone, Debug)]
pub struct PathPattern {
    test: PathTest,
    /// The test's text as an [interpretation](RequestPath::interpretations) spells it.
    normal: Box<[u8]>,
    ignore_case: bool,
}

/// The test of a path, byte by byte, as in jwt_authn.
#[derive(Clone, Debug)]
pub enum PathTest {
    /// `path`: exactly this path.
    Exact(Box<[u8]>),
    /// `prefix`: every path with this prefix.
    Prefix(Box<[u8]>),
    /// `path_separated_prefix`: this path, and every path that continues it with a slash.
    SeparatedPrefix(Box<[u8]>),
    /// `safe_regex`: every path that the pattern matches as a whole.
    Pattern(Member),
}

impl PathPattern {
    /// A pattern; `ignore_case` is `case_sensitive: false`, which ignores the case of ASCII letters.
    #[must_use]
    pub fn new(test: PathTest, ignore_case: bool) -> Self {
        let normal = match &test {
            PathTest::Exact(text) | PathTest::Prefix(text) | PathTest::SeparatedPrefix(text) => {
                in_normal_form(text)
            }
            PathTest::Pattern(_) => Vec::new(),
        };
        Self {
            test,
            normal: normal.into(),
            ignore_case,
        }
    }

    /// Whether the path matches. False if the test would cost too much.
    ///
    /// Many routers ignore a slash at the end of a path, so a path may match without it.
    #[must_use]
    pub fn matches<'r>(&self, path: &RequestPath<'r>, matched: &Matched<'r>) -> Match {
        if self.matches_as_it_is(path, matched) {
            return Match::YES;
        }
        let may_match = match &self.test {
            PathTest::Exact(expected) => {
                let expected = if path.is_interpretation {
                    &self.normal
                } else {
                    expected
                };
                match (path.path, &**expected) {
                    ([path @ .., b'/'], expected) | (path, [expected @ .., b'/']) => {
                        !path.is_empty() && self.is(path, expected)
                    }
                    _ => false,
                }
            }
            PathTest::Pattern(_) => path
                .without_last_slash()
                .is_some_and(|path| self.matches_as_it_is(&path, matched)),
            PathTest::Prefix(_) | PathTest::SeparatedPrefix(_) => false,
        };
        Match::NO.unless(may_match)
    }

    fn matches_as_it_is<'r>(&self, path: &RequestPath<'r>, matched: &Matched<'r>) -> bool {
        let spelt = |text| {
            if path.is_interpretation {
                &self.normal
            } else {
                text
            }
        };
        match &self.test {
            PathTest::Exact(expected) => self.is(path.path, spelt(expected)),
            PathTest::Prefix(prefix) => self.rest(path.path, spelt(prefix)).is_some(),
            PathTest::SeparatedPrefix(prefix) => self
                .rest(path.path, spelt(prefix))
                .is_some_and(|rest| rest.first().is_none_or(|byte| *byte == b'/')),
            PathTest::Pattern(pattern) => matched.is_match(pattern, path.path),
        }
    }

    /// The text of the test.
    pub(super) const fn test(&self) -> &PathTest {
        &self.test
    }

    pub(super) const fn ignores_case(&self) -> bool {
        self.ignore_case
    }

    /// The text of the test, as an interpretation spells it.
    pub(super) fn normal(&self) -> &[u8] {
        &self.normal
    }

    fn is(&self, path: &[u8], expected: &[u8]) -> bool {
        if self.ignore_case {
            path.eq_ignore_ascii_case(expected)
        } else {
            path == expected
        }
    }

    fn rest<'p>(&self, path: &'p [u8], prefix: &[u8]) -> Option<&'p [u8]> {
        let (head, rest) = path.split_at_checked(prefix.len())?;
        self.is(head, prefix).then_some(rest)
    }
}

impl<'a> RequestPath<'a> {
    /// The path of a `:path` field.
    #[must_use]
    pub fn new(field: &'a [u8]) -> Self {
        let end = memchr::memchr2(b'?', b'#', field).unwrap_or(field.len());
        Self {
            path: field.split_at_checked(end).map_or(field, |(path, _)| path),
            is_interpretation: false,
            with_query: Some(field),
        }
    }

    /// The path's bytes.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.path
    }

    /// The same without the slash at its end, if it has one and something else.
    pub(super) fn without_last_slash(&self) -> Option<Self> {
        let path = self.path.strip_suffix(b"/").filter(|path| !path.is_empty())?;
        Some(Self { path, ..*self })
    }

    /// A `:path` field with this path in place of its own; only the path, if the field is absent.
    #[must_use]
    pub fn field(&self) -> &'a [u8] {
        self.with_query.unwrap_or(self.path)
    }

    /// Whether every server finds the same segments in the path. A canonical path begins with `/`. It has no
    /// empty segment, no dot segment, no segment that some servers take for one of these (`..;v=1`, `..%00`,
    /// `%20` before another segment), no backslash, no control character, no broken escape, and no slash,
    /// backslash, dot or percent sign that is percent-encoded or from another script.
    #[must_use]
    pub fn is_canonical(&self) -> bool {
        self.ambiguity() != PathAmbiguity::Beyond
    }

    /// How far servers may disagree about the path.
    #[must_use]
    pub fn ambiguity(&self) -> PathAmbiguity {
        if self.is_plain() {
            return PathAmbiguity::None;
        }
        let Some(mut rest) = self.path.strip_prefix(b"/") else {
            return PathAmbiguity::Beyond;
        };
        let mut found = PathAmbiguity::None;
        // The state within a segment: the number of dots so far, or, from `NAME` on, a name. Three dots are a
        // name, and so is a plain character with anything after it.
        const NAME: u8 = 3;
        let mut dots = None;
        // The previous byte was a colon in a name: the name of a stream may follow.
        let mut ends_in_colon = false;
        // The previous byte was a dot at the end of a name.
        let mut ends_in_dot = false;
        let mut is_ascii = true;
        // The segment from its first byte, if some servers may leave nothing of it.
        let mut odd_segment: Option<&[u8]> = None;
        while let Some((byte, after)) = rest.split_first() {
            let before = rest;
            rest = after;
            let byte = match (byte, after) {
                (b'%', [high, low, after @ ..]) => match http::octet(*high, *low) {
                    // No UTF-8 contains 0xC0 or 0xC1, but some servers decode `%c0%ae` to a dot.
                    None | Some(b'/' | b'\\' | b'.' | b'%' | 0xc0 | 0xc1) => return PathAmbiguity::Beyond,
                    Some(octet) => {
                        found = PathAmbiguity::Known;
                        rest = after;
                        octet
                    }
                },
                (byte, _) => *byte,
            };
            is_ascii &= byte.is_ascii();
            if dots.is_none() && matches!(byte, b' ' | b':' | 0x80..) {
                odd_segment = Some(before);
            }
            if byte == b'/'
                && let Some(segment) = odd_segment.take()
                // No path of this length has interpretations.
                && (self.path.len() > interpretations::MOST
                    || interpretations::is_blank(segment.get(..segment.len().saturating_sub(before.len()))))
            {
                return PathAmbiguity::Beyond;
            }
            if byte == b'/' && ends_in_dot {
                found = PathAmbiguity::Known;
            }
            if byte == b'$' && ends_in_colon {
                found = PathAmbiguity::Known;
            }
            ends_in_colon = byte == b':';
            ends_in_dot = byte == b'.' && matches!(dots, Some(2 | NAME));
            dots = match (byte, dots) {
                (b'/', Some(NAME)) => None,
                (b'.', before) => Some(before.unwrap_or(0).saturating_add(1).min(NAME)),
                (b'/' | b'\\' | b'%' | 0..=0x1f | 0x7f, _) => return PathAmbiguity::Beyond,
                // Windows reads a colon after a dot segment as the beginning of a stream's name.
                (b':', Some(1 | 2)) => return PathAmbiguity::Beyond,
                (byte, _) if spelling::is_plain(byte) => Some(NAME),
                // Parameters of an empty segment or of a dot segment, or dots before characters that some
                // servers drop.
                (b';', None) | (_, Some(1 | 2)) => return PathAmbiguity::Beyond,
                _ => {
                    found = PathAmbiguity::Known;
                    Some(NAME)
                }
            };
        }
        // A character from another script that resembles a dot or a slash, or a longer encoding of one.
        if !is_ascii
            && (self.path.len() > interpretations::MOST
                || spelling::is_deceptive(self.path)
                || spelling::decoded_loosely(self.path).1
                // A segment that contains only dots, or bytes that are not UTF-8.
                || spelling::without_invalid(self.path)
                    .is_some_and(|path| RequestPath::new(&path).ambiguity() == PathAmbiguity::Beyond))
        {
            return PathAmbiguity::Beyond;
        }
        match dots {
            Some(1 | 2) => PathAmbiguity::Beyond,
            _ if ends_in_dot => PathAmbiguity::Known,
            _ => found,
        }
    }

    /// Whether the path consists of single slashes, letters, digits, hyphens, underscores, and dots between
    /// these, as nearly every path does. Such a path needs no closer look.
    fn is_plain(&self) -> bool {
        let mut before = PLAIN;
        self.path.first() == Some(&b'/')
            && self.path.last() != Some(&b'.')
            // This works in blocks, because a test of the result after each byte would take as long as the
            // rest.
            && self.path.chunks(64).all(|piece| {
                let odd = piece.iter().fold(PLAIN, |odd, byte| {
                    let kind = KINDS.get(usize::from(*byte)).copied().unwrap_or(ODD);
                    let of = kind & (before | ODD);
                    before = kind;
                    odd | of
                });
                odd == PLAIN
            })
    }

    /// All interpretations of the path by servers, in normal form, which encodes only what a segment must
    /// encode. Empty if there is only one; `None` if there are too many.
    #[must_use]
    pub fn interpretations(&self) -> Option<Vec<Vec<u8>>> {
        self.interpretations_if(self.ambiguity())
    }

    /// As above, if the ambiguity of the path is known.
    pub(super) fn interpretations_if(&self, ambiguity: PathAmbiguity) -> Option<Vec<Vec<u8>>> {
        match ambiguity {
            PathAmbiguity::None => Some(Vec::new()),
            // Some servers parse the path as a URL: `http://a/orders` and `orders` are both `/orders`, and
            // `//` is optional.
            _ if !self.path.starts_with(b"/") && !matches!(self.path, b"" | b"*") => None,
            PathAmbiguity::Known | PathAmbiguity::Beyond => interpretations::of(self.path),
        }
    }

    /// One of its [`interpretations`](Self::interpretations).
    #[must_use]
    pub const fn interpretation(path: &'a [u8]) -> Self {
        Self {
            path,
            is_interpretation: true,
            with_query: None,
        }
    }

    /// The same as part of this `:path` field, which also has the query.
    #[must_use]
    pub const fn with_field(self, field: &'a [u8]) -> Self {
        Self {
            with_query: Some(field),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_path_is_never_ambiguous() {
        for path in ["/", "/a", "/a/b.c/d-e_f", "/a/", "/v1.2/x.tar.gz"] {
            assert!(RequestPath::new(path.as_bytes()).is_plain(), "{path}");
        }
        for path in [
            "", "a", "//", "/a//b", "/.", "/a/.b", "/a./b", "/a.", "/a..b", "/a b", "/a%20", "*",
        ] {
            assert!(!RequestPath::new(path.as_bytes()).is_plain(), "{path}");
        }
    }

    #[test]
    fn paths_that_servers_read_differently_are_not_canonical() {
        let ambiguity = |path: &str| RequestPath::new(path.as_bytes()).ambiguity();
        for path in [
            "/",
            "/healthz",
            "/a/b/",
            "/a.b/..c/x",
            "/.well-known/x",
            "/a:b@c,d/e=f&g",
            "/v1/a:cancel/$x",
        ] {
            assert_eq!(ambiguity(path), PathAmbiguity::None, "{path}");
        }
        for path in [
            "/%20",
            "/a/%c2%a0",
            "/%20a/b",
            "/...%20/b",
            "/a.b/..c/...",
            "/a%20b",
            "/a;v=1/b",
            "/a;v=1",
            "/...;v=1",
            "/a::$DATA",
            "/a:$I30:$INDEX_ALLOCATION/b",
            "/a%c2%a0/b",
            "/%2a",
            "/..%61",
            "/caf%c3%a9",
            "/caf%e9/x%e9.",
            "/café",
            "/a b",
        ] {
            assert_eq!(ambiguity(path), PathAmbiguity::Known, "{path}");
        }
        for path in [
            "",
            "*",
            "healthz",
            "//",
            "/a//b",
            "//a",
            "/.",
            "/..",
            "/a/../b",
            "/a/./b",
            "/a/..",
            "/a%2fb",
            "/a%2Fb",
            "/a%5cb",
            "/a%5Cb",
            "/%2e%2e/b",
            "/a%2Eb",
            "/a\\b",
            "/a/..;/b",
            "/a/.;x=y/b",
            "/a/..%3b/b",
            "/a/..%00/b",
            "/a/..%09",
            "/a/..%0a/b",
            "/a/..%20/b",
            "/a/..%23",
            "/a/..%3f/b",
            "/a/.%00./b",
            "/a/..é/b",
            "/a/%252e%252e/b",
            "/a/..%252fb",
            "/a%25",
            "/a%00b",
            "/a\u{7f}b",
            "/;a/b",
            "/a/%3ba",
            "/a%zz",
            "/a%",
            "/a%2",
            "/%u002e%u002e/b",
            "/a/%c0%ae%c0%ae/b",
            "/a/..%C0%AFb",
            "/a/%ad/b",
            "/a/%ff..%e2%82/b",
            "/a/.%ad",
            "/a/..:$I30:$INDEX_ALLOCATION/b",
            "/a/.%3a%24DATA/b",
            "/a/%20/b",
            "/a/%20/",
            "/ /b",
            "/%20./b",
            "/%20;v=1/b",
            "/\u{2003}%20/b",
            "/a/%ff%20/b",
            "/::$DATA/b",
        ] {
            assert_eq!(ambiguity(path), PathAmbiguity::Beyond, "{path}");
            assert!(!RequestPath::new(path.as_bytes()).is_canonical(), "{path}");
        }
    }

    #[test]
    fn the_query_is_no_part_of_the_path() {
        let is_match = |pattern: &PathPattern, path: &[u8]| {
            pattern.matches(
                &RequestPath::new(path),
                &Matched::new(&crate::request::RequestHead::new()),
            ) == Match::YES
        };
        let sensitive = |test| PathPattern::new(test, false);
        let exact = sensitive(PathTest::Exact((*b"/a").into()));
        assert!(is_match(&exact, b"/a?b=/../c"));
        assert!(RequestPath::new(b"/a?b=/../c").is_canonical());
        assert!(!is_match(&exact, b"/a/?b"));
        assert!(is_match(&sensitive(PathTest::Prefix((*b"/a").into())), b"/ab"));
        let separated = sensitive(PathTest::SeparatedPrefix((*b"/a").into()));
        assert!(is_match(&separated, b"/a?x"));
        assert!(is_match(&separated, b"/a/b"));
        assert!(!is_match(&separated, b"/ab"));
        let any_case = PathPattern::new(PathTest::Prefix((*b"/Api").into()), true);
        assert!(is_match(&any_case, b"/aPI/x"));
    }
}
