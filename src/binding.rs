//! Tokens that only their owner may use: the filter compares `cnf`
//! ([RFC 7800](https://www.rfc-editor.org/rfc/rfc7800)) with the client's certificate
//! ([RFC 8705 section 3](https://www.rfc-editor.org/rfc/rfc8705#section-3)), or with the client's proof
//! ([RFC 9449](https://www.rfc-editor.org/rfc/rfc9449)).
//!
//! It checks only a [`VerifiedJwt`]. It knows no connections: the host provides the client's certificate.

pub mod dpop;
pub mod nonce;
mod presented;
pub mod replay;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::claims::VerifiedJwt;
use crate::denial::{Denial, Reason};
use crate::http;
use crate::ids::FieldId;
use crate::jose::Checks;
use crate::request::RequestHead;
use crate::time::UnixTime;
use dpop::Dpop;
use nonce::Nonces;
pub use presented::Presented;
use replay::ProofId;

/// `binding` of a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Binding {
    /// `binding: off`: anyone with the token may use it, whatever its `cnf` contains.
    Off,
    /// A token with a `cnf` is valid only if one of these checks succeeds.
    Checked {
        /// The check of the certificate.
        mtls: Check,
        /// `trust_xfcc`: the filter uses the certificate that a proxy in front of Envoy has verified.
        forwarded: Option<Forwarded>,
        /// The check of the proof of possession.
        dpop: Option<Dpop>,
    },
}

/// The header in which a proxy in front of Envoy forwards the certificate that it has verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forwarded {
    /// `x-forwarded-client-cert`.
    pub field: FieldId,
    /// The element of the list that describes the client.
    pub element: Element,
}

/// The client's element in a list to which each proxy on the way may have appended its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// The only element. If a proxy appends to the client's own header, there is more than one, and the
    /// client may have written some of them.
    Only,
    /// The element before this many at the end, which trusted proxies have appended for other trusted proxies
    /// (`trusted_hops`).
    LastBut(usize),
}

/// When the filter checks a kind of binding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Check {
    /// Never: the filter refuses a token with this binding.
    #[default]
    Off,
    /// If the token has this binding.
    IfPresent,
    /// Always: the filter refuses a token without this binding.
    Required,
}

impl Default for Binding {
    fn default() -> Self {
        Self::Checked {
            mtls: Check::Off,
            forwarded: None,
            dpop: None,
        }
    }
}

const CERTIFICATE: &str = "x5t#S256";
const KEY: &str = "jkt";
/// The methods of confirmation in IANA's registry "JWT Confirmation Methods".
const METHODS: [&str; 7] = ["jwk", "jwe", "kid", "jku", CERTIFICATE, "osc", KEY];

impl Binding {
    /// The requirements on proofs of possession, if the filter checks them.
    #[must_use]
    pub const fn dpop(&self) -> Option<&Dpop> {
        match self {
            Self::Off => None,
            Self::Checked { dpop, .. } => dpop.as_ref(),
        }
    }

    /// The requirements on nonces, if proofs must contain one.
    #[must_use]
    pub fn nonces(&self) -> Option<&Nonces> {
        self.dpop()?.nonce.as_ref()
    }

    /// The members of `cnf` that the filter checks.
    #[must_use]
    pub const fn checked(&self) -> &'static str {
        match (self.needs_certificate(), self.dpop().is_some()) {
            (false, false) => "none",
            (true, false) => CERTIFICATE,
            (false, true) => KEY,
            (true, true) => "x5t#S256, jkt",
        }
    }

    /// Whether the check needs the client's certificate.
    #[must_use]
    pub const fn needs_certificate(&self) -> bool {
        matches!(
            self,
            Self::Checked {
                mtls: Check::IfPresent | Check::Required,
                ..
            }
        )
    }

    /// Whether the result for one request does not apply to the next request.
    #[must_use]
    pub fn asks_each_request(&self, jwt: &VerifiedJwt<'_>) -> bool {
        *self != Self::Off && jwt.members().any(|(name, _)| name == "cnf")
    }

    /// Checks that the client is the one to which the token was issued. Returns the proof, which must not be
    /// used again.
    ///
    /// # Errors
    ///
    /// Fails with the denial of the first check that fails.
    pub fn check(
        &self,
        jwt: &VerifiedJwt<'_>,
        presented: Presented<'_>,
        checks: Checks<'_>,
        now: UnixTime,
    ) -> Result<Option<ProofId>, Denial> {
        let Self::Checked {
            mtls,
            forwarded,
            dpop,
        } = self
        else {
            return Ok(None);
        };
        let mismatch = |detail| Err(Denial::new(Reason::BindingMismatch).with_detail(detail));
        let malformed = || Denial::new(Reason::ClaimMalformed).with_detail("cnf");
        let confirmation = match jwt.members().find(|(name, _)| *name == "cnf") {
            Some((_, confirmation)) => Some(confirmation.as_object().ok_or_else(malformed)?),
            None => None,
        };
        let member = |name: &str| confirmation.as_ref().and_then(|object| object.member(name));
        // Every method of confirmation has to succeed. An issuer that binds a token in a way that the filter
        // does not check would otherwise have issued a bearer token. Other members are ignored, as RFC 7800
        // section 3.1 requires: Keycloak writes one beside `jkt`. But a `cnf` with such members only may use
        // an unknown method.
        if let Some(object) = &confirmation {
            let is_checked = |name: &str| match name {
                CERTIFICATE => *mtls != Check::Off,
                KEY => dpop.is_some(),
                _ => false,
            };
            let is_left_out = |name: &str| METHODS.contains(&name) && !is_checked(name);
            let mut names = object.members().map(|(name, _)| name);
            let mut again = object.members().map(|(name, _)| name);
            if !names.any(is_checked) || again.any(is_left_out) {
                return mismatch("cnf of a kind that is not checked");
            }
        }
        match member(CERTIFICATE) {
            None if *mtls == Check::Required => return mismatch("no certificate in cnf"),
            None => {}
            Some(expected) => {
                let expected = expected.as_str().ok_or_else(malformed)?;
                let Some(shown) = certificate_hash(*forwarded, presented.request) else {
                    return mismatch("no client certificate");
                };
                // RFC 8705 section 3.1: "the base64url-encoded SHA-256 hash […] of the DER encoding of the
                // X.509 certificate".
                if *expected != URL_SAFE_NO_PAD.encode(shown) {
                    return mismatch("another client certificate");
                }
            }
        }
        match (member(KEY), dpop) {
            (Some(thumbprint), Some(dpop)) => {
                // RFC 9449 section 7.2: such a resource "MUST NOT accept" a bound token "as a bearer token".
                if !presented.by_dpop {
                    return mismatch("a bound token by the scheme Bearer");
                }
                let thumbprint = thumbprint.as_str().ok_or_else(malformed)?;
                dpop.check(&thumbprint, presented, checks, now).map(Some)
            }
            (None, Some(dpop)) if dpop.required => mismatch("no key in cnf"),
            (None, _) if presented.by_dpop => mismatch("a token that is not bound by the scheme DPoP"),
            _ => Ok(None),
        }
    }
}

/// The SHA-256 of the client's certificate. A forwarded certificate takes precedence over that of the
/// connection, which is the trusted proxy's own.
fn certificate_hash(forwarded: Option<Forwarded>, request: &RequestHead) -> Option<[u8; 32]> {
    if let Some(Forwarded { field, element }) = forwarded {
        let lines: Vec<&[u8]> = request.all(field).collect();
        // A request that has passed fewer proxies than configured did not come through them.
        if !lines.is_empty() || element != Element::Only {
            // RFC 9110 section 5.3: several lines are one list, in their order.
            return forwarded_hash(&lines.join(&b','), element);
        }
    }
    http::octets(request.peer_certificate.as_deref()?)
}

/// `Hash` of one element of an `x-forwarded-client-cert`.
fn forwarded_hash(list: &[u8], element: Element) -> Option<[u8; 32]> {
    let mut elements = elements_from_the_end(list);
    let element = match element {
        Element::LastBut(count) => elements.nth(count)?,
        Element::Only => {
            let last = elements.next()?;
            if elements.next().is_some() {
                return None;
            }
            last
        }
    };
    let mut hashes = split_unquoted(element, b';').into_iter().filter_map(|pair| {
        let at = pair.iter().position(|byte| *byte == b'=')?;
        let (name, value) = pair.split_at_checked(at)?;
        name.trim_ascii()
            .eq_ignore_ascii_case(b"Hash")
            .then(|| value.get(1..).unwrap_or_default().trim_ascii())
    });
    match (hashes.next(), hashes.next()) {
        (Some(hash), None) => http::octets(hash),
        _ => None,
    }
}

/// The elements of a list, the last one first. Trusted proxies have written its end, so the search begins
/// there: an unbalanced quotation mark of a client further in front hides none of their elements.
fn elements_from_the_end(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut is_quoted, mut turns) = (false, false);
    list.rsplit(move |byte| {
        let is_separator = !is_quoted && *byte == b',';
        // Read backwards, a quotation mark comes before the backslashes in front of it: an odd number of them
        // escapes it.
        turns = *byte == b'"' || (turns && *byte == b'\\');
        is_quoted ^= turns;
        is_separator
    })
}

/// The parts between separators, of which those in a quoted-string do not count.
fn split_unquoted(value: &[u8], separator: u8) -> Vec<&[u8]> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    value
        .split(|byte| {
            let is_separator = !is_quoted && *byte == separator;
            if !is_escaped && *byte == b'"' {
                is_quoted = !is_quoted;
            }
            is_escaped = is_quoted && !is_escaped && *byte == b'\\';
            is_separator
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forwarded_hash_is_that_of_the_only_element() {
        let hash = "ab".repeat(32);
        let is_read = |value: &str| forwarded_hash(value.as_bytes(), Element::Only) == Some([0xab; 32]);
        assert!(is_read(&format!("Hash={hash}")));
        assert!(is_read(&format!(
            "By=spiffe://a/b;hash={};Subject=\"CN=a,O=\\\"x;y\\\"\"",
            hash.to_uppercase()
        )));
        assert!(is_read(&format!("Subject=\"Hash=00,;\";Hash={hash};URI=")));
        for value in [
            String::new(),
            format!("Hash={hash},Hash={hash}"),
            format!("By=a,Hash={hash}"),
            format!("Hash={hash};Hash={hash}"),
            format!("Hash={}", "ab".repeat(31)),
            format!("Hash={}", "xy".repeat(32)),
            format!("Hash=\"{hash}\""),
            format!("Subject=\"Hash={hash}\""),
            format!("Subject=\"a\";Hash={hash},By=\"b\""),
            // A client tries to make the proxy's element a part of its own last element.
            format!("Hash={hash};Subject=\",By=b;Hash={}", "cd".repeat(32)),
            format!("Hash={hash};Subject=\",Hash={};Subject=\"b\"", "cd".repeat(32)),
        ] {
            assert_eq!(forwarded_hash(value.as_bytes(), Element::Only), None, "{value}");
        }
    }

    #[test]
    fn elements_are_counted_from_the_end_whatever_a_client_has_written_before_them() {
        let element = |byte: &str| format!("By=b;Hash={};Subject=\"CN=\\\"x,y\\\\\"", byte.repeat(32));
        let list = format!("{},{}, {}", element("01"), element("02"), element("03"));
        let at = |list: &str, count| forwarded_hash(list.as_bytes(), Element::LastBut(count));
        for (count, expected) in [(0, Some(3)), (1, Some(2)), (2, Some(1)), (3, None), (8, None)] {
            assert_eq!(at(&list, count), expected.map(|byte| [byte; 32]), "{count}");
        }
        for words in [
            "",
            ",",
            "\"",
            "\\",
            "\\\"",
            "a=\"\\",
            "Hash=\"",
            &element("04"),
            "Hash=04;Subject=\"",
        ] {
            let list = format!("{words},{},{}", element("01"), element("02"));
            assert_eq!(at(&list, 0), Some([2; 32]), "{list}");
            assert_eq!(at(&list, 1), Some([1; 32]), "{list}");
        }
        assert_eq!(at("", 0), None);
        assert_eq!(at(&format!("{},,", element("01")), 1), None);
    }
}
