//! `match.hosts`: patterns for `:authority`; and what a host is.

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

/// Whether it is a host as in a URL, with a port or without (RFC 3986 section 3.2): no user, no escapes, no port that is left
/// empty.
pub(crate) fn is_authority(authority: &[u8]) -> bool {
    let host = without_port(authority);
    let port = authority.iter().skip(host.len().saturating_add(1));
    let port = port.fold(0_u32, |port, digit| {
        port.saturating_mul(10)
            .saturating_add(u32::from(digit.wrapping_sub(b'0')))
    });
    if host.len() < authority.len() && !(1..=65_535).contains(&port) {
        return false;
    }
    match host {
        [b'[', address @ .., b']'] => is_ipv6(address),
        name => {
            // As if a dot stood in front: none may follow another.
            let mut last = b'.';
            let is_name = name.iter().all(|byte| {
                let is_sound = match byte {
                    b'.' => last != b'.',
                    byte => byte.is_ascii_alphanumeric() || b"-_".contains(byte),
                };
                last = *byte;
                is_sound
            });
            is_name && !name.is_empty()
        }
    }
}

/// Eight groups of hexadecimal digits, or fewer around `::`.
fn is_ipv6(address: &[u8]) -> bool {
    const NONE: usize = 9;
    fn groups(part: &[u8]) -> usize {
        let is_group =
            |group: &[u8]| (1..=4).contains(&group.len()) && group.iter().all(u8::is_ascii_hexdigit);
        let groups = part.split(|byte| *byte == b':');
        match part {
            [] => 0,
            _ if groups.clone().all(is_group) => groups.count(),
            _ => NONE,
        }
    }
    let gap = address.windows(2).position(|two| two == b"::");
    match gap.and_then(|at| address.split_at_checked(at)) {
        Some((before, [_, _, after @ ..])) => groups(before).saturating_add(groups(after)) < 8,
        _ => groups(address) == 8,
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
    fn an_authority_is_a_host_that_could_be_one() {
        for good in [
            "api.test",
            "API.test:8443",
            "a_b-c",
            "api.test.",
            "127.0.0.1:80",
            "[::1]",
            "[2001:db8::1]:65535",
            "[::ffff:c000:201]",
            "[::]",
            "[1:2:3:4:5:6:7:8]",
        ] {
            assert!(is_authority(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            ".",
            "a..b",
            ".a",
            "a.:80:",
            "[::1",
            "::1",
            "[]",
            "[:]",
            "[:::]",
            "[1::2::3]",
            "[1:2:3:4:5:6:7]",
            "[1:2:3:4:5:6:7::8:9]",
            "[12345::]",
            "[::1]x",
            "[::1]:",
            "[fe80::1%25eth0]",
            "api.test:",
            "api.test:0",
            "api.test:99999",
            "api.test:+80",
            "a:80:80",
            "user@host",
            "a/b",
            "a b",
            "a\"b",
        ] {
            assert!(!is_authority(bad.as_bytes()), "{bad}");
        }
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
