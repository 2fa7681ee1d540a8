//! Tokens that only their owner may use: `cnf` (RFC 7800) held against the client's certificate (RFC 8705 section 3), or against
//! the proof that it sends (RFC 9449).
//!
//! Asked only of a [`VerifiedJwt`]. Knows nothing of connections: the host says which certificate a client has shown.

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

/// `binding`, of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// `binding: off`: whoever holds a token may use it, whatever its `cnf` says.
    Off,
    /// A token with a `cnf` is good only if that is checked here.
    Checked {
        /// Whether the certificate is.
        mtls: Check,
        /// `trust_xfcc`: whose certificate a proxy in front has seen counts.
        forwarded: Option<Forwarded>,
        /// Whether a proof of possession is.
        dpop: Option<Dpop>,
    },
}

/// Where a proxy in front says whose certificate it has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forwarded {
    /// `x-forwarded-client-cert`.
    pub field: FieldId,
    /// Which of its elements is the client's.
    pub element: Element,
}

/// An element of a list to which each proxy on the way may have appended its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// The only one: more than one come about where a proxy appends to what its client has sent, and then a part of them may be
    /// the client's own words.
    Only,
    /// The last but so many, which trusted proxies have appended for other trusted proxies (`trusted_hops`).
    LastBut(usize),
}

/// When a kind of binding is checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Check {
    /// Never: a token that is bound so is refused.
    #[default]
    Off,
    /// Where the token is bound so.
    IfPresent,
    /// Always: a token that is not bound so is refused.
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
    /// What is asked of proofs of possession, where they are checked.
    #[must_use]
    pub const fn dpop(self) -> Option<Dpop> {
        match self {
            Self::Off => None,
            Self::Checked { dpop, .. } => dpop,
        }
    }

    /// What is asked of nonces, where proofs must hold any.
    #[must_use]
    pub fn nonces(self) -> Option<Nonces> {
        self.dpop()?.nonce
    }

    /// Whether it asks for the client's certificate.
    #[must_use]
    pub const fn needs_certificate(self) -> bool {
        matches!(
            self,
            Self::Checked {
                mtls: Check::IfPresent | Check::Required,
                ..
            }
        )
    }

    /// Whether that the token is good with one request says nothing of the next.
    #[must_use]
    pub fn asks_each_request(self, jwt: &VerifiedJwt<'_>) -> bool {
        self != Self::Off && jwt.members().any(|(name, _)| name == "cnf")
    }

    /// Whether the token's client is the one that it was issued to; the proof, which must not be used again.
    pub fn check(
        self,
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
        // Every method of confirmation has to hold: an issuer that ties a token to a key in a way that the filter does not
        // check would have issued a plain bearer token. RFC 7800 section 3.1 has other members ignored, and Keycloak writes
        // one beside `jkt`; but a `cnf` of such members alone may be of a method that the filter does not know.
        if let Some(object) = &confirmation {
            let is_checked = |name: &str| match name {
                CERTIFICATE => mtls != Check::Off,
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
            None if mtls == Check::Required => return mismatch("no certificate in cnf"),
            None => {}
            Some(expected) => {
                let expected = expected.as_str().ok_or_else(malformed)?;
                let Some(shown) = certificate_hash(forwarded, presented.request) else {
                    return mismatch("no client certificate");
                };
                // RFC 8705 section 3.1: "the base64url-encoded SHA-256 hash […] of the DER encoding of the X.509 certificate".
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

/// The SHA-256 of the client's certificate. What a trusted proxy has forwarded counts before the connection, which is then
/// that proxy's own.
fn certificate_hash(forwarded: Option<Forwarded>, request: &RequestHead) -> Option<[u8; 32]> {
    if let Some(Forwarded { field, element }) = forwarded {
        let lines: Vec<&[u8]> = request.all(field).collect();
        // Who has come by fewer proxies than there are has shown them nothing.
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

/// The elements of a list, the last first. Trusted proxies have written its end, so it is read from there: a quotation mark that
/// a client has left open before it swallows none of what they say.
fn elements_from_the_end(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut is_quoted, mut turns) = (false, false);
    list.rsplit(move |byte| {
        let is_separator = !is_quoted && *byte == b',';
        // Read backwards, a quotation mark comes before what escapes it: each backslash in front of it makes it one, or none.
        turns = *byte == b'"' || (turns && *byte == b'\\');
        is_quoted ^= turns;
        is_separator
    })
}

/// The parts between separators that are not in a quoted-string.
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
            // A client that wants what a proxy appends to be a part of its own last word.
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
