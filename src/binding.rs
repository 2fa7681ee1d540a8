//! Tokens that only their owner may use: `cnf` held against the client's certificate (RFC 8705 section 3, RFC 7800).
//!
//! Asked only of a [`VerifiedJwt`]. Knows nothing of connections: the host says which certificate a client has shown.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::claims::VerifiedJwt;
use crate::denial::{Denial, Reason};
use crate::request::{FieldId, RequestHead};

/// `binding`, of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// `binding: off`: whoever holds a token may use it, whatever its `cnf` says.
    Off,
    /// A token with a `cnf` is good only if that is checked here.
    Checked {
        /// Whether the certificate is.
        mtls: Check,
        /// `trust_xfcc`: the field in which a proxy in front says whose certificate it has seen.
        forwarded: Option<FieldId>,
    },
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
        }
    }
}

const CERTIFICATE: &str = "x5t#S256";

impl Binding {
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

    /// Whether the token's client is the one that it was issued to.
    pub fn check(self, jwt: &VerifiedJwt<'_>, request: &RequestHead) -> Result<(), Denial> {
        let Self::Checked { mtls, forwarded } = self else {
            return Ok(());
        };
        let mismatch = |detail| Err(Denial::new(Reason::BindingMismatch).with_detail(detail));
        let Some((_, confirmation)) = jwt.members().find(|(name, _)| *name == "cnf") else {
            return match mtls {
                Check::Required => mismatch("no cnf"),
                Check::Off | Check::IfPresent => Ok(()),
            };
        };
        let Some(confirmation) = confirmation.as_object() else {
            return Err(Denial::new(Reason::ClaimMalformed).with_detail("cnf"));
        };
        // RFC 7800 section 3.1 leaves it to the application which members it needs. Here every one has to hold: an issuer that
        // ties a token to a key in a way that nobody checks would have issued a plain bearer token.
        if mtls == Check::Off || confirmation.members().any(|(name, _)| name != CERTIFICATE) {
            return mismatch("cnf of a kind that is not checked");
        }
        let Some(expected) = confirmation.member(CERTIFICATE) else {
            return mismatch("empty cnf");
        };
        let Some(expected) = expected.as_str() else {
            return Err(Denial::new(Reason::ClaimMalformed).with_detail("cnf"));
        };
        let Some(shown) = certificate_hash(forwarded, request) else {
            return mismatch("no client certificate");
        };
        // RFC 8705 section 3.1: "the base64url-encoded SHA-256 hash […] of the DER encoding of the X.509 certificate".
        if *expected == URL_SAFE_NO_PAD.encode(shown) {
            Ok(())
        } else {
            mismatch("another client certificate")
        }
    }
}

/// The SHA-256 of the client's certificate. What a trusted proxy has forwarded counts before the connection, which is then
/// that proxy's own.
fn certificate_hash(forwarded: Option<FieldId>, request: &RequestHead) -> Option<[u8; 32]> {
    if let Some(field) = forwarded {
        let mut values = request.all(field);
        if let Some(value) = values.next() {
            // Of several, nobody knows which one the trusted proxy has written.
            return match values.next() {
                Some(_) => None,
                None => forwarded_hash(value),
            };
        }
    }
    read_hex(request.peer_certificate.as_deref()?)
}

/// `Hash` of an `x-forwarded-client-cert` with exactly one element. More than one come about where a proxy appends to what its
/// client has sent: then a part of it may be the client's own words.
fn forwarded_hash(value: &[u8]) -> Option<[u8; 32]> {
    if split_unquoted(value, b',').len() != 1 {
        return None;
    }
    let mut hashes = split_unquoted(value, b';').into_iter().filter_map(|pair| {
        let at = pair.iter().position(|byte| *byte == b'=')?;
        let (name, value) = pair.split_at_checked(at)?;
        name.trim_ascii()
            .eq_ignore_ascii_case(b"Hash")
            .then(|| value.get(1..).unwrap_or_default().trim_ascii())
    });
    match (hashes.next(), hashes.next()) {
        (Some(hash), None) => read_hex(hash),
        _ => None,
    }
}

/// The parts between separators that do not stand in a quoted-string.
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

fn read_hex(text: &[u8]) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (byte, digits) in hash.iter_mut().zip(text.chunks_exact(2)) {
        let mut value = 0_u32;
        for digit in digits {
            value = value.wrapping_mul(16) | char::from(*digit).to_digit(16)?;
        }
        *byte = u8::try_from(value).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forwarded_hash_is_that_of_the_only_element() {
        let hash = "ab".repeat(32);
        let is_read = |value: &str| forwarded_hash(value.as_bytes()) == Some([0xab; 32]);
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
        ] {
            assert_eq!(forwarded_hash(value.as_bytes()), None, "{value}");
        }
    }
}
