//! `match.hosts`: patterns for `:authority`.

use super::likeness::Match;
use crate::http::{Authority, DEFAULT_PORTS};

/// A pattern for the host of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// `*`.
    Any,
    /// `example.com` matches this host on any port; `example.com:8443` matches it on this port only.
    Exact(Authority<'static>),
    /// `*.example.com` matches any host below it, on any port or on this one.
    Under(Authority<'static>),
}

impl HostPattern {
    /// Whether the authority of a request matches; `None` if servers may interpret it differently.
    #[must_use]
    pub fn matches(&self, authority: Option<&Authority<'_>>) -> Match {
        let (pattern, is_under) = match self {
            Self::Any => return Match::YES,
            Self::Exact(pattern) => (pattern, false),
            Self::Under(pattern) => (pattern, true),
        };
        let Some(authority) = authority else {
            return Match::PERHAPS;
        };
        let is_host = match is_under {
            true => authority.is_below(pattern),
            false => authority.is_host_of(pattern),
        };
        match (pattern.port(), authority.port()) {
            _ if !is_host => Match::NO,
            (None, _) => Match::YES,
            // A client omits the default port of its scheme.
            (Some(port), None) if DEFAULT_PORTS.contains(&port) => Match::PERHAPS,
            (port, given) => Match::sure(port == given),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authority(text: &str) -> Authority<'_> {
        Authority::parse(text.as_bytes()).expect(text)
    }

    fn exact(host: &'static str) -> HostPattern {
        HostPattern::Exact(authority(host))
    }

    fn of(pattern: &HostPattern, host: &str) -> Match {
        pattern.matches(Authority::parse(host.as_bytes()).as_ref())
    }

    #[test]
    fn a_host_matches_on_any_port_and_in_any_case() {
        assert_eq!(of(&exact("example.com"), "Example.COM:8443"), Match::YES);
        assert_eq!(of(&exact("example.com"), "example.com"), Match::YES);
        assert_eq!(of(&exact("example.com:8443"), "example.com:8443"), Match::YES);
        assert_eq!(of(&exact("example.com:8443"), "example.com"), Match::NO);
        assert_eq!(of(&exact("example.com"), "example.com.evil.org"), Match::NO);
        assert_eq!(of(&exact("example.com"), ""), Match::PERHAPS);
        assert_eq!(of(&exact("[::1]"), "[::1]:80"), Match::YES);
        assert_eq!(of(&exact("[::1]"), "[::1]"), Match::YES);
    }

    #[test]
    fn a_wildcard_matches_at_least_one_label() {
        let pattern = HostPattern::Under(authority("example.com"));
        assert_eq!(of(&pattern, "a.example.com"), Match::YES);
        assert_eq!(of(&pattern, "A.B.Example.com:80"), Match::YES);
        assert_eq!(of(&pattern, "example.com"), Match::NO);
        assert_eq!(of(&pattern, ".example.com"), Match::PERHAPS);
        assert_eq!(of(&pattern, "evilexample.com"), Match::NO);
    }

    #[test]
    fn spellings_of_a_host_are_one_host() {
        for (pattern, spellings) in [
            (
                "admin.test",
                &["ADMIN.test", "admin.test.", "Admin.Test.:080", "admin.test:65535"][..],
            ),
            ("admin.test:8443", &["admin.test.:8443", "admin.test:008443"]),
            (
                "[2001:db8::1]",
                &["[2001:DB8:0:0:0:0:0:1]", "[2001:0db8::0.0.0.1]:80"],
            ),
            ("[0:0::1]:80", &["[::1]:80", "[::0.0.0.1]:80"]),
            ("127.0.0.1", &["127.0.0.1.", "127.0.0.1:80"]),
        ] {
            for ambiguity in spellings {
                assert_eq!(
                    of(&exact(pattern), ambiguity),
                    Match::YES,
                    "{pattern} {ambiguity}"
                );
            }
        }
        // An authority that cannot be parsed, or that has no port, may be any authority.
        for (pattern, other) in [
            ("admin.test", "x@admin.test"),
            ("admin.test", "admin.test:80:80"),
            ("[::1]", "[::1%25lo]"),
            ("127.0.0.1", "127.1"),
            ("admin.test:443", "admin.test"),
            ("admin.test:80", "Admin.test."),
        ] {
            assert_eq!(of(&exact(pattern), other), Match::PERHAPS, "{pattern} {other}");
        }
        assert_eq!(of(&exact("admin.test:8443"), "admin.test"), Match::NO);
    }
}
