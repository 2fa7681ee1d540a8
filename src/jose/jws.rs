//! The compact form of a JWS ([RFC 7515 section 3.1](https://www.rfc-editor.org/rfc/rfc7515#section-3.1)) and
//! its faults.
//!
//! It splits and decodes the three parts. It must not know the content of the payload.

use std::fmt;

use super::base64url;
use super::fault::TokenFault;
use super::header::JoseHeader;

/// A parsed and decoded token, which is not verified.
pub struct UnverifiedJwt<'a> {
    signing_input: &'a [u8],
    payload_text: &'a [u8],
    /// Header, payload and signature, one after the other in one allocation.
    decoded: Vec<u8>,
    payload_start: usize,
    signature_start: usize,
}

impl<'a> UnverifiedJwt<'a> {
    /// Parses a compact JWS.
    ///
    /// # Errors
    ///
    /// [`TokenFault::Parts`], [`TokenFault::Encrypted`] and [`TokenFault::Encoding`].
    /// [`UnverifiedJwt::header`] reads the content of the header.
    pub fn decode(token: &'a [u8]) -> Result<Self, TokenFault> {
        let (header, rest) = at_period(token).ok_or(TokenFault::Parts)?;
        let (payload, signature) = at_period(rest).ok_or(TokenFault::Parts)?;
        if memchr::memchr(b'.', signature).is_some() {
            // RFC 7516 section 9: "If the object is using the JWS Compact Serialization or the JWE Compact
            // Serialization, the number of base64url-encoded segments separated by period ('.') characters
            // differs for JWSs and JWEs. JWSs have three segments […]. JWEs have five segments".
            return Err(match signature.split(|byte| *byte == b'.').count() {
                3 => TokenFault::Encrypted,
                _ => TokenFault::Parts,
            });
        }
        // The signing input ends before the signature and the period before it.
        let signed = token.len().checked_sub(signature.len().saturating_add(1));
        let signing_input = signed.and_then(|end| token.get(..end)).ok_or(TokenFault::Parts)?;

        // Never more than the length of the token: one allocation holds all three parts.
        let mut decoded = vec![0; token.len()];
        let mut end = 0;
        let mut append = |part: &'static str, text: &'a [u8]| {
            let room = decoded.get_mut(end..).unwrap_or_default();
            let length = base64url::decode(text, room).ok_or((part, text))?;
            end = end.saturating_add(length);
            Ok(end)
        };
        let mut append_all = || {
            Ok([
                append("header", header)?,
                append("payload", payload)?,
                append("signature", signature)?,
            ])
        };
        let [payload_start, signature_start, end] =
            append_all().map_err(|(part, text)| TokenFault::Encoding(part, base64url::fault(text)))?;
        decoded.truncate(end);
        Ok(Self {
            signing_input,
            payload_text: payload,
            decoded,
            payload_start,
            signature_start,
        })
    }

    /// Parses the header. Each call parses it again.
    ///
    /// # Errors
    ///
    /// As [`JoseHeader::parse`].
    pub fn header(&self) -> Result<JoseHeader, TokenFault> {
        JoseHeader::parse(self.header_json())
    }

    /// The decoded JOSE header, as JSON text.
    #[must_use]
    pub fn header_json(&self) -> &[u8] {
        self.decoded.get(..self.payload_start).unwrap_or_default()
    }

    /// The decoded payload, which is the claims set of a JWT. Before the signature is verified, it may only
    /// select the keys for the verification.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.decoded
            .get(self.payload_start..self.signature_start)
            .unwrap_or_default()
    }

    /// The payload as received, in base64url.
    #[must_use]
    pub fn payload_text(&self) -> &'a [u8] {
        self.payload_text
    }

    /// The signing input ([RFC 7515 section 5.2](https://www.rfc-editor.org/rfc/rfc7515#section-5.2), step
    /// 8): the first two parts as received.
    #[must_use]
    pub fn signing_input(&self) -> &'a [u8] {
        self.signing_input
    }

    /// The decoded signature.
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        self.decoded.get(self.signature_start..).unwrap_or_default()
    }
}

/// The text before the first period, and the text after it.
fn at_period(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let period = memchr::memchr(b'.', text)?;
    let (before, after) = text.split_at_checked(period)?;
    Some((before, after.get(1..)?))
}

// A token is a credential: its bytes must not reach a log.
impl fmt::Debug for UnverifiedJwt<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("UnverifiedJwt")
            .field("signing_input_len", &self.signing_input.len())
            .field("signature_len", &self.signature().len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::{Algorithm, EncodingFault};
    use crate::json::JsonError;

    #[test]
    fn a_token_comes_apart_into_what_it_was_made_of() {
        // {"alg":"ES256"}, {"a":1}, three bytes that no text has.
        let token = b"eyJhbGciOiJFUzI1NiJ9.eyJhIjoxfQ._-7_";
        let jwt = UnverifiedJwt::decode(token).unwrap();
        assert_eq!(jwt.header().unwrap().algorithm, Some(Algorithm::Es256));
        assert_eq!(jwt.payload(), br#"{"a":1}"#);
        assert_eq!(jwt.signing_input(), b"eyJhbGciOiJFUzI1NiJ9.eyJhIjoxfQ");
        assert_eq!(jwt.signature(), [0xff, 0xee, 0xff]);
        assert_eq!(
            format!("{jwt:?}"),
            "UnverifiedJwt { signing_input_len: 31, signature_len: 3, .. }"
        );
        assert_eq!(jwt.decoded.capacity(), token.len(), "one allocation is enough");
    }

    #[test]
    fn parts_may_be_empty_but_must_be_three() {
        let jwt = UnverifiedJwt::decode(b"..").unwrap();
        assert_eq!(
            (jwt.payload(), jwt.signature(), jwt.signing_input()),
            (&b""[..], &b""[..], &b"."[..])
        );
        assert_eq!(
            jwt.header().unwrap_err(),
            TokenFault::HeaderJson(JsonError::Syntax)
        );
        for (token, fault) in [
            ("", TokenFault::Parts),
            ("e30", TokenFault::Parts),
            ("e30.e30", TokenFault::Parts),
            ("e30.e30.e30.e30", TokenFault::Parts),
            ("e30.e30.e30.e30.e30", TokenFault::Encrypted),
            ("....", TokenFault::Encrypted),
            ("e30.e30.e30.e30.e30.e30", TokenFault::Parts),
        ] {
            assert_eq!(
                UnverifiedJwt::decode(token.as_bytes()).unwrap_err(),
                fault,
                "{token}"
            );
        }
    }

    #[test]
    fn base64url_is_strict_in_every_part() {
        // Padding, the other alphabet, white space, stray bits (e31 is e30 with one), an impossible length,
        // no ASCII.
        use EncodingFault::{Character, End, Padding, Standard};
        for (part, fault) in [
            ("e30=", Padding),
            ("e3+0", Standard),
            ("e3/=", Standard),
            ("e3 0", Character),
            ("e30\n", Character),
            ("e30%3D", Character),
            ("é30", Character),
            ("e31", End),
            ("e", End),
            ("e30e3", End),
        ] {
            for (token, name) in [
                (format!("{part}.e30.e30"), "header"),
                (format!("e30.{part}.e30"), "payload"),
                (format!("e30.e30.{part}"), "signature"),
            ] {
                assert_eq!(
                    UnverifiedJwt::decode(token.as_bytes()).unwrap_err(),
                    TokenFault::Encoding(name, fault),
                    "{token}"
                );
            }
        }
    }

    #[test]
    fn every_fault_reads_as_a_phrase() {
        for fault in [
            TokenFault::Parts,
            TokenFault::Encoding("header", EncodingFault::Padding),
            TokenFault::HeaderJson(JsonError::TooDeep),
            TokenFault::HeaderMember("kid"),
            TokenFault::AlgorithmMissing,
            TokenFault::CriticalHeader,
            TokenFault::Encrypted,
            TokenFault::Nested,
        ] {
            let text = fault.to_string();
            assert!(text.starts_with("the ") && !text.ends_with('.'), "{text}");
        }
    }
}
