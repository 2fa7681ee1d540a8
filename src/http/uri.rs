//! An http or https URL ([RFC 3986](https://www.rfc-editor.org/rfc/rfc3986)), split into the parts of a
//! request. It comes from an operator, or from an issuer in its discovery document.

use std::fmt;

/// The longest URL. The filter keeps a URL of an issuer's document in memory, and writes it into logs.
const MAX_BYTES: usize = 2048;

/// The parts of a URL, each of which is valid as a header value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpUri {
    /// `:scheme`.
    pub scheme: &'static str,
    /// `:authority`.
    pub authority: Box<str>,
    /// `:path`, the query included.
    pub path: Box<str>,
}

/// The reason for which a text is not such a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpUriFault {
    /// It does not begin with `http://` or `https://`.
    Scheme,
    /// It has no host, it has a user, or it contains a byte that a request line must not contain.
    HostOrPath,
    /// It is longer than any real URL.
    TooLong,
}

/// Scheme, authority, and path with query and fragment, as written ([RFC 3986 section
/// 3](https://www.rfc-editor.org/rfc/rfc3986#section-3)).
#[must_use]
pub fn split_url(url: &str) -> Option<(&str, &str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at_checked(end)?;
    Some((scheme, authority, rest))
}

impl fmt::Display for HttpUriFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "is not an http or https URL, which begins with https://",
            Self::HostOrPath => "is not a URL with a host and a path",
            Self::TooLong => "is longer than 2048 bytes",
        })
    }
}

impl HttpUri {
    /// Parses a URL, without its fragment, which is never sent ([RFC 3986 section
    /// 3.5](https://www.rfc-editor.org/rfc/rfc3986#section-3.5)).
    ///
    /// # Errors
    ///
    /// Fails for each reason that [`HttpUriFault`] lists.
    pub fn parse(uri: &str) -> Result<Self, HttpUriFault> {
        if uri.len() > MAX_BYTES {
            return Err(HttpUriFault::TooLong);
        }
        let (scheme, authority, path) = match split_url(uri) {
            Some((scheme, authority, rest)) if scheme.eq_ignore_ascii_case("https") => {
                ("https", authority, rest)
            }
            Some((scheme, authority, rest)) if scheme.eq_ignore_ascii_case("http") => {
                ("http", authority, rest)
            }
            _ => return Err(HttpUriFault::Scheme),
        };
        let path = path.split_once('#').map_or(path, |(before, _)| before);
        let clean = |text: &str| text.bytes().all(|byte| (0x21..0x7f).contains(&byte));
        let port = authority.rsplit_once(':').map_or("", |(_, port)| port);
        let is_port = port.ends_with(']') || port.bytes().all(|byte| byte.is_ascii_digit());
        if authority.is_empty()
            || !is_port
            || authority.contains(['@', '\\'])
            || !clean(authority)
            || !clean(path)
        {
            return Err(HttpUriFault::HostOrPath);
        }
        let path = match path.chars().next() {
            Some('/') => path.to_owned(),
            _ => format!("/{path}"),
        };
        Ok(Self {
            scheme,
            authority: authority.into(),
            path: path.into(),
        })
    }

    /// The host, without a port.
    #[must_use]
    pub fn host(&self) -> &str {
        match self.authority.rsplit_once(':') {
            // A colon within the brackets of an IPv6 address precedes no port.
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            _ => &self.authority,
        }
    }
}

impl fmt::Display for HttpUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        for (uri, authority, host, path) in [
            ("https://a.example", "a.example", "a.example", "/"),
            (
                "HTTP://a.example:8080/x?y#z",
                "a.example:8080",
                "a.example",
                "/x?y",
            ),
            ("https://a.example?x=/", "a.example", "a.example", "/?x=/"),
            ("http://[::1]:80/x", "[::1]:80", "[::1]", "/x"),
            ("http://[::1]/x", "[::1]", "[::1]", "/x"),
        ] {
            let parsed = HttpUri::parse(uri).unwrap();
            assert_eq!(
                (&*parsed.authority, parsed.host(), &*parsed.path),
                (authority, host, path),
                "{uri}"
            );
            assert_eq!(HttpUri::parse(&parsed.to_string()), Ok(parsed));
        }
    }

    #[test]
    fn what_cannot_be_a_request_is_refused() {
        let long = format!("https://a/{}", "x".repeat(MAX_BYTES));
        for (uri, fault) in [
            ("", HttpUriFault::Scheme),
            ("a.example/x", HttpUriFault::Scheme),
            ("file:///etc/passwd", HttpUriFault::Scheme),
            ("https:///x", HttpUriFault::HostOrPath),
            ("https://user@a/x", HttpUriFault::HostOrPath),
            ("https://a\\@b/x", HttpUriFault::HostOrPath),
            ("https://a/x y", HttpUriFault::HostOrPath),
            ("https://a/x\r\nhost: b", HttpUriFault::HostOrPath),
            ("https://ä/x", HttpUriFault::HostOrPath),
            (&long, HttpUriFault::TooLong),
        ] {
            assert_eq!(HttpUri::parse(uri), Err(fault), "{uri}");
        }
    }
}
