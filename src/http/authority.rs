//! The authority of a request or a URL ([RFC 3986 section
//! 3.2](https://www.rfc-editor.org/rfc/rfc3986#section-3.2)).

use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The authority of a request or a URL in a normal form: a name in lower case without a dot at its end, or
/// the value of an IPv6 address; and the value of the port.
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

/// Ports that a client leaves out ([RFC 9110 section
/// 4.2.1](https://www.rfc-editor.org/rfc/rfc9110#section-4.2.1) and
/// [4.2.2](https://www.rfc-editor.org/rfc/rfc9110#section-4.2.2)).
pub const DEFAULT_PORTS: [u16; 2] = [80, 443];

impl<'a> Authority<'a> {
    /// Parses an authority. `None` if servers could disagree about it: it has a user, an escape, several
    /// ports or an empty one, an empty label, an IPv4 address in another form than four decimal numbers, or
    /// an IPv6 zone.
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

    /// The host in its normal form. An IPv6 address is in brackets, in the form of RFC 5952.
    #[must_use]
    pub fn host(&self) -> Cow<'_, [u8]> {
        match &self.host {
            Host::Name(name) => Cow::Borrowed(name),
            Host::Address(address) => Cow::Owned(format!("[{address}]").into_bytes()),
        }
    }

    /// The authority in its normal form.
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

    /// Other authorities that a client may use for the same server: without the port or, if it has none, with
    /// the usual ports.
    pub fn others(&self) -> impl Iterator<Item = Cow<'_, [u8]>> {
        let without = self.port.map(|_| self.host());
        let ports = DEFAULT_PORTS.into_iter().filter(|_| self.port.is_none());
        without.into_iter().chain(ports.map(|port| self.on_port(port)))
    }

    /// The port, if there is one.
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        self.port
    }

    /// Whether the host is an IPv6 address that some servers treat as an IPv4 address.
    #[must_use]
    pub fn is_mapped_address(&self) -> bool {
        matches!(self.host, Host::Address(address) if address.to_ipv4_mapped().is_some())
    }

    /// Whether both have the same host, on any port.
    #[must_use]
    pub fn is_host_of(&self, other: &Authority<'_>) -> bool {
        self.host == other.host
    }

    /// Whether the host is a subdomain of the other's.
    #[must_use]
    pub fn is_below(&self, other: &Authority<'_>) -> bool {
        match (&self.host, &other.host) {
            (Host::Name(name), Host::Name(suffix)) => name
                .strip_suffix(&**suffix)
                .is_some_and(|rest| rest.len() > 1 && rest.ends_with(b".")),
            _ => false,
        }
    }

    /// The same, with its own copy of the name.
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

/// The value of a port from 1 to 65535.
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
    // The URL standard, section 3.5: a name whose last label is a number is an IPv4 address, in any form.
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

#[cfg(test)]
mod tests {
    use super::*;

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
            assert!(Authority::parse(good.as_bytes()).is_some(), "{good}");
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
            assert!(Authority::parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }

    #[test]
    fn an_address_has_one_text() {
        let authority = Authority::parse(b"[2001:DB8:0::1]:0443").unwrap();
        assert_eq!(authority.text(), &b"[2001:db8::1]:443"[..]);
    }
}
