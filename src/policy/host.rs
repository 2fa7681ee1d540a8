//! `match.hosts`: patterns for `:authority`; and what an authority is.

use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::likeness::Match;
use crate::request::{FieldId, RequestHead};

/// The authority of a request or a URL (RFC 3986 section 3.2), in the one form that all its spellings have: a name in lower
/// case without a dot at its end, or the value of an IPv6 address; and the value of the port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority<'a> {
    host: Host<'a>,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host<'a> {
    Name(Cow<'a, [u8]>),
    Address(Ipv6Addr),
}

/// A pattern for the host of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// `*`.
    Any,
    /// `example.com`: this host, on any port; `example.com:8443`: on this port.
    Exact(Authority<'static>),
    /// `*.example.com`: any host under it, on any port or on this one.
    Under(Authority<'static>),
}

/// Ports that a client leaves out (RFC 9110 sections 4.2.1 and 4.2.2).
const DEFAULT_PORTS: [u16; 2] = [80, 443];

impl<'a> Authority<'a> {
    /// Reads an authority. `None` where it is none that every server reads alike: it has a user, an escape, several ports or
    /// an empty one, an empty label, an IPv4 address in another form than four decimal numbers, or an IPv6 zone.
    #[must_use]
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let end = match text {
            [b'[', ..] => text.iter().position(|byte| *byte == b']')?.checked_add(1)?,
            _ => text.iter().position(|byte| *byte == b':').unwrap_or(text.len()),
        };
        let (host, port) = text.split_at_checked(end)?;
        let port = match port {
            [] => None,
            [b':', digits @ ..] => Some(read_port(digits)?),
            _ => return None,
        };
        let host = match host {
            [b'[', address @ .., b']'] => Host::Address(std::str::from_utf8(address).ok()?.parse().ok()?),
            name => Host::Name(read_name(name)?),
        };
        Some(Self { host, port })
    }

    /// The authority of a request; `None` where servers may read it otherwise, or there is none or more than one.
    #[must_use]
    pub fn of(request: &'a RequestHead, field: FieldId) -> Option<Self> {
        let mut values = request.all(field);
        let authority = Self::parse(values.next()?)?;
        // To some, an IPv6 address that stands for one of IPv4 is that one.
        let is_other = matches!(authority.host, Host::Address(address) if address.to_ipv4_mapped().is_some());
        (values.next().is_none() && !is_other).then_some(authority)
    }

    /// The host in the one form that all its spellings have: an IPv6 address as RFC 5952 writes it, in brackets.
    #[must_use]
    pub fn host(&self) -> Cow<'_, [u8]> {
        match &self.host {
            Host::Name(name) => Cow::Borrowed(name),
            Host::Address(address) => Cow::Owned(format!("[{address}]").into_bytes()),
        }
    }

    /// The authority in the one form that all its spellings have.
    #[must_use]
    pub fn text(&self) -> Cow<'_, [u8]> {
        match self.port {
            Some(port) => self.on_port(port),
            None => self.host(),
        }
    }

    /// The same host on this port.
    fn on_port(&self, port: u16) -> Cow<'_, [u8]> {
        let mut text = self.host().into_owned();
        text.extend_from_slice(format!(":{port}").as_bytes());
        Cow::Owned(text)
    }

    /// Other authorities that the same server may be asked by: without a port that is there, and with the usual ones where
    /// none is.
    pub(super) fn others(&self) -> impl Iterator<Item = Cow<'_, [u8]>> {
        let without = self.port.map(|_| self.host());
        let ports = DEFAULT_PORTS.into_iter().filter(|_| self.port.is_none());
        without.into_iter().chain(ports.map(|port| self.on_port(port)))
    }

    /// Whether it names no port.
    #[must_use]
    pub const fn has_no_port(&self) -> bool {
        self.port.is_none()
    }

    /// Whether both name the same host, on whatever port.
    #[must_use]
    pub fn is_host_of(&self, other: &Authority<'_>) -> bool {
        self.host == other.host
    }

    /// The same, kept.
    #[must_use]
    pub fn into_owned(self) -> Authority<'static> {
        let host = match self.host {
            Host::Name(name) => Host::Name(Cow::Owned(name.into_owned())),
            Host::Address(address) => Host::Address(address),
        };
        Authority {
            host,
            port: self.port,
        }
    }
}

/// A port from 1 to 65535, by its value.
fn read_port(digits: &[u8]) -> Option<u16> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits.iter().fold(0_u32, |value, digit| {
        value
            .saturating_mul(10)
            .saturating_add(u32::from(digit.wrapping_sub(b'0')))
    });
    u16::try_from(value).ok().filter(|port| *port > 0)
}

fn read_name(name: &[u8]) -> Option<Cow<'_, [u8]>> {
    let name = name.strip_suffix(b".").unwrap_or(name);
    let is_label = |label: &[u8]| {
        let is_sound = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
        !label.is_empty() && label.iter().all(is_sound)
    };
    let mut labels = name.split(|byte| *byte == b'.');
    if !labels.clone().all(is_label) {
        return None;
    }
    // The URL standard, section 3.5: a name whose last label is a number is an IPv4 address, in whatever form.
    let is_number = |label: &[u8]| match label {
        [b'0', b'x' | b'X', digits @ ..] => digits.iter().all(u8::is_ascii_hexdigit),
        digits => digits.iter().all(u8::is_ascii_digit),
    };
    if labels.next_back().is_some_and(is_number) {
        std::str::from_utf8(name).ok()?.parse::<Ipv4Addr>().ok()?;
    }
    Some(match name.iter().any(u8::is_ascii_uppercase) {
        true => Cow::Owned(name.to_ascii_lowercase()),
        false => Cow::Borrowed(name),
    })
}

impl HostPattern {
    /// Whether the authority of a request matches; `None`: it may be any.
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
        let is_host = match (&pattern.host, &authority.host) {
            (Host::Name(suffix), Host::Name(name)) if is_under => name
                .strip_suffix(&**suffix)
                .is_some_and(|rest| rest.len() > 1 && rest.ends_with(b".")),
            (pattern, host) => !is_under && pattern == host,
        };
        match (pattern.port, authority.port) {
            _ if !is_host => Match::NO,
            (None, _) => Match::YES,
            // A client leaves out the port that is its scheme's own.
            (Some(port), None) if DEFAULT_PORTS.contains(&port) => Match::PERHAPS,
            (port, given) => Match::sure(port == given),
        }
    }
}

/// Whether it is a host as in a URL, with a port or without (RFC 3986 section 3.2).
pub(crate) fn is_authority(text: &[u8]) -> bool {
    Authority::parse(text).is_some()
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
            "admin.test..",
            "admin%2etest",
            "127.1",
            "0177.0.0.1",
            "0x7f.0.0.1",
            "2130706433",
            "0x7f000001",
            "127.0.0.01",
            "a.0x",
            "a/b",
            "a b",
            "a\"b",
        ] {
            assert!(!is_authority(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn a_wildcard_stands_for_at_least_one_label() {
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
        // What cannot be read may be any, and so may a port that is left out.
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
        assert_eq!(
            authority("[2001:DB8:0::1]:0443").text(),
            &b"[2001:db8::1]:443"[..]
        );
    }
}
