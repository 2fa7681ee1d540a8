//! `match.hosts`: patterns for `:authority`.

/// A pattern for the host of a request, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// `*`.
    Any,
    /// `example.com`: this host, on any port; `example.com:8443`: on this port.
    Exact(Box<[u8]>),
    /// `*.example.com`: any host under it; kept with its leading dot.
    Under(Box<[u8]>),
}

impl HostPattern {
    /// Whether an `:authority` matches; letters match in either case (RFC 3986 section 3.2.2).
    #[must_use]
    pub fn matches(&self, authority: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(host) => {
                authority.eq_ignore_ascii_case(host) || without_port(authority).eq_ignore_ascii_case(host)
            }
            Self::Under(suffix) => ends_with_ignoring_case(without_port(authority), suffix),
        }
    }
}

/// The host of an `authority`; an IPv6 address keeps its brackets, which its colons stand in.
pub(super) fn without_port(authority: &[u8]) -> &[u8] {
    let Some(colon) = authority.iter().rposition(|byte| *byte == b':') else {
        return authority;
    };
    match authority.split_at_checked(colon) {
        Some((host, port)) if port.iter().skip(1).all(u8::is_ascii_digit) => host,
        _ => authority,
    }
}

/// With at least one byte before the suffix.
fn ends_with_ignoring_case(host: &[u8], suffix: &[u8]) -> bool {
    match host.len().checked_sub(suffix.len()) {
        Some(at) if at > 0 => host
            .split_at_checked(at)
            .is_some_and(|(_, tail)| tail.eq_ignore_ascii_case(suffix)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(host: &str) -> HostPattern {
        HostPattern::Exact(host.as_bytes().into())
    }

    #[test]
    fn a_host_matches_on_any_port_and_in_any_case() {
        assert!(exact("example.com").matches(b"Example.COM:8443"));
        assert!(exact("example.com").matches(b"example.com"));
        assert!(exact("example.com:8443").matches(b"example.com:8443"));
        assert!(!exact("example.com:8443").matches(b"example.com"));
        assert!(!exact("example.com").matches(b"example.com.evil.org"));
        assert!(!exact("example.com").matches(b""));
        assert!(exact("[::1]").matches(b"[::1]:80"));
        assert!(exact("[::1]").matches(b"[::1]"));
    }

    #[test]
    fn a_wildcard_stands_for_at_least_one_label() {
        let pattern = HostPattern::Under((*b".example.com").into());
        assert!(pattern.matches(b"a.example.com"));
        assert!(pattern.matches(b"A.B.Example.com:80"));
        assert!(!pattern.matches(b"example.com"));
        assert!(!pattern.matches(b".example.com"));
        assert!(!pattern.matches(b"evilexample.com"));
    }
}
