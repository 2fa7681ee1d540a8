//! `match.path` and `match.prefix`, and what a canonical path is.

/// The path of a request, without its query.
#[derive(Clone, Copy, Debug)]
pub struct RequestPath<'a> {
    path: &'a [u8],
}

/// A pattern for the path of a request.
#[derive(Clone, Debug)]
pub struct PathPattern {
    /// What is compared.
    pub test: PathTest,
    /// `case_sensitive: false`: ASCII letters match in either case.
    pub ignore_case: bool,
}

/// What a path is compared with; byte by byte, as jwt_authn does.
#[derive(Clone, Debug)]
pub enum PathTest {
    /// `path`: this path alone.
    Exact(Box<[u8]>),
    /// `prefix`: every path that begins so.
    Prefix(Box<[u8]>),
    /// `path_separated_prefix`: this path, and every one that goes on after it with a slash.
    SeparatedPrefix(Box<[u8]>),
    /// `safe_regex`: every path that it matches as a whole.
    Regex(regex_lite::Regex),
}

impl PathPattern {
    /// Whether the path matches.
    #[must_use]
    pub fn matches(&self, path: &RequestPath<'_>) -> bool {
        match &self.test {
            PathTest::Exact(expected) => self.is(path.path, expected),
            PathTest::Prefix(prefix) => self.rest(path.path, prefix).is_some(),
            PathTest::SeparatedPrefix(prefix) => self
                .rest(path.path, prefix)
                .is_some_and(|rest| rest.first().is_none_or(|byte| *byte == b'/')),
            // A path that is no text matches no pattern.
            PathTest::Regex(regex) => std::str::from_utf8(path.path).is_ok_and(|path| regex.is_match(path)),
        }
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
        let end = field
            .iter()
            .position(|byte| matches!(byte, b'?' | b'#'))
            .unwrap_or(field.len());
        Self {
            path: field.split_at_checked(end).map_or(field, |(path, _)| path),
        }
    }

    /// The path's bytes.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.path
    }

    /// Whether every server would read the path alike: it begins with `/`, has no empty and no dot segments (those with
    /// a `;parameter` included, which some servers drop), no backslash, and no slash, backslash or dot in
    /// percent-encoding.
    #[must_use]
    pub fn is_canonical(&self) -> bool {
        let Some(rest) = self.path.strip_prefix(b"/") else {
            return false;
        };
        let mut segments = rest.split(|byte| *byte == b'/').peekable();
        while let Some(segment) = segments.next() {
            // The last segment is empty where the path ends with a slash.
            if segment.is_empty() && segments.peek().is_some() {
                return false;
            }
            let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
            if matches!(name, b"." | b"..") || segment.contains(&b'\\') || has_encoded_separator(segment) {
                return false;
            }
        }
        true
    }
}

fn has_encoded_separator(segment: &[u8]) -> bool {
    segment.windows(3).any(|three| {
        matches!(
            three,
            [b'%', b'2', b'f' | b'F' | b'e' | b'E'] | [b'%', b'5', b'c' | b'C']
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_servers_read_differently_are_not_canonical() {
        for path in [
            "/",
            "/healthz",
            "/a/b/",
            "/a.b/..c/...",
            "/a%20b",
            "/a;v=1/b",
            "/%2a",
        ] {
            assert!(RequestPath::new(path.as_bytes()).is_canonical(), "{path}");
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
        ] {
            assert!(!RequestPath::new(path.as_bytes()).is_canonical(), "{path}");
        }
    }

    #[test]
    fn the_query_is_no_part_of_the_path() {
        let sensitive = |test| PathPattern {
            test,
            ignore_case: false,
        };
        let exact = sensitive(PathTest::Exact((*b"/a").into()));
        assert!(exact.matches(&RequestPath::new(b"/a?b=/../c")));
        assert!(RequestPath::new(b"/a?b=/../c").is_canonical());
        assert!(!exact.matches(&RequestPath::new(b"/a/?b")));
        assert!(sensitive(PathTest::Prefix((*b"/a").into())).matches(&RequestPath::new(b"/ab")));
        let separated = sensitive(PathTest::SeparatedPrefix((*b"/a").into()));
        assert!(separated.matches(&RequestPath::new(b"/a?x")));
        assert!(separated.matches(&RequestPath::new(b"/a/b")));
        assert!(!separated.matches(&RequestPath::new(b"/ab")));
        let any_case = PathPattern {
            test: PathTest::Prefix((*b"/Api").into()),
            ignore_case: true,
        };
        assert!(any_case.matches(&RequestPath::new(b"/aPI/x")));
    }
}
