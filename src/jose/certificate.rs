//! The public key in an X.509 certificate ([RFC 5280 section
//! 4.1](https://www.rfc-editor.org/rfc/rfc5280#section-4.1)), in DER or as PEM ([RFC
//! 7468](https://www.rfc-editor.org/rfc/rfc7468)).
//!
//! It has a strict parser for the path to the SubjectPublicKeyInfo, and reads no other part of a certificate.
//! The certificate only serves as a container for a key. The issuer publishes it over the same connection as
//! a JWK, so neither its signature nor its validity proves more than that connection does. It must not know
//! JSON.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::der::{BIT_STRING, INTEGER, SEQUENCE};
use super::fault::JwkFault;
use super::spki;
use super::verify::{Curve, PublicKey};

/// `[0]`, constructed: the version of a certificate.
const VERSION: u8 = 0xa0;

/// Base64 with or without padding: only the decoded key matters.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The key of a certificate, from the base64 of its DER, as in `x5c`.
///
/// # Errors
///
/// [`JwkFault::CertificateMalformed`], [`JwkFault::KeyTypeUnknown`], and the faults of the key itself.
pub(super) fn from_base64(text: &str) -> Result<PublicKey, JwkFault> {
    key_of(&decode(text)?)
}

/// The key of a certificate, or a public key, from PEM.
///
/// # Errors
///
/// As [`from_base64`].
pub(super) fn from_pem(text: &str) -> Result<PublicKey, JwkFault> {
    let text = text.trim_ascii();
    let body = |begin: &str, end: &str| text.strip_prefix(begin)?.split_once(end).map(|(body, _)| body);
    if let Some(body) = body("-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----") {
        return from_base64(body);
    }
    let body = body("-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----");
    let der = decode(body.ok_or(JwkFault::CertificateMalformed)?)?;
    let (info, rest) = element(&der, SEQUENCE).ok_or(JwkFault::CertificateMalformed)?;
    if rest.is_empty() {
        from_info(info)
    } else {
        Err(JwkFault::CertificateMalformed)
    }
}

/// Whether the text is PEM: the document then contains certificates.
pub(super) fn is_pem(text: &str) -> bool {
    text.trim_ascii_start().starts_with("-----BEGIN ")
}

fn decode(text: &str) -> Result<Vec<u8>, JwkFault> {
    let text: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    BASE64.decode(text).map_err(|_| JwkFault::CertificateMalformed)
}

fn key_of(der: &[u8]) -> Result<PublicKey, JwkFault> {
    from_info(info_of(der).ok_or(JwkFault::CertificateMalformed)?)
}

/// The contents of the SubjectPublicKeyInfo of a certificate.
fn info_of(der: &[u8]) -> Option<&[u8]> {
    let (certificate, rest) = element(der, SEQUENCE)?;
    if !rest.is_empty() {
        return None;
    }
    let (to_be_signed, _) = element(certificate, SEQUENCE)?;
    // A certificate of version 1 omits its version.
    let fields = element(to_be_signed, VERSION).map_or(to_be_signed, |(_, rest)| rest);
    let (_serial, fields) = element(fields, INTEGER)?;
    let (_algorithm, fields) = element(fields, SEQUENCE)?;
    let (_issuer, fields) = element(fields, SEQUENCE)?;
    let (_validity, fields) = element(fields, SEQUENCE)?;
    let (_subject, fields) = element(fields, SEQUENCE)?;
    element(fields, SEQUENCE).map(|(info, _)| info)
}

/// The key in the contents of a SubjectPublicKeyInfo.
fn from_info(info: &[u8]) -> Result<PublicKey, JwkFault> {
    let malformed = JwkFault::CertificateMalformed;
    let (algorithm, rest) = element(info, SEQUENCE).ok_or(malformed)?;
    let (bits, rest) = element(rest, BIT_STRING).ok_or(malformed)?;
    // The first octet counts the unused bits at the end. The bits of a key are whole octets.
    let Some((0, key)) = bits.split_first() else {
        return Err(malformed);
    };
    if !rest.is_empty() {
        return Err(malformed);
    }
    let curve = match algorithm {
        spki::RSA => {
            let (modulus, exponent) = rsa_numbers(key).ok_or(malformed)?;
            return PublicKey::rsa(modulus, exponent);
        }
        spki::ED25519 => return PublicKey::ed25519(key, true),
        spki::P256 => Curve::P256,
        spki::P384 => Curve::P384,
        spki::P521 => Curve::P521,
        _ => return Err(JwkFault::KeyTypeUnknown),
    };
    // SEC 1 section 2.3.3: 4 for an uncompressed point, then both coordinates.
    let Some((4, point)) = key.split_first() else {
        return Err(malformed);
    };
    let (x, y) = point.split_at_checked(point.len() / 2).ok_or(malformed)?;
    PublicKey::ec(curve, x, y, true)
}

/// RSAPublicKey ([RFC 8017 appendix A.1.1](https://www.rfc-editor.org/rfc/rfc8017#appendix-A.1.1)).
fn rsa_numbers(key: &[u8]) -> Option<(&[u8], &[u8])> {
    let (numbers, behind) = element(key, SEQUENCE)?;
    let (modulus, rest) = element(numbers, INTEGER)?;
    let (exponent, rest) = element(rest, INTEGER)?;
    let is_positive = |number: &[u8]| number.first().is_some_and(|byte| byte & 0x80 == 0);
    let is_whole = behind.is_empty() && rest.is_empty();
    (is_whole && is_positive(modulus) && is_positive(exponent)).then_some((modulus, exponent))
}

/// The contents of the first element, which must have this tag, and everything behind it. The length must be
/// the shortest encoding, as DER demands.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (len, rest) = match *first {
        len @ ..=0x7f => (usize::from(len), rest),
        // One to three octets of length: no document is longer.
        count @ 0x81..=0x83 => {
            let (octets, rest) = rest.split_at_checked(usize::from(count & 0x7f))?;
            let len = octets.iter().fold(0, |len, octet| len << 8 | usize::from(*octet));
            let is_shortest = len >= 0x80 && octets.first().is_some_and(|octet| *octet != 0);
            if !is_shortest {
                return None;
            }
            (len, rest)
        }
        _ => return None,
    };
    if *found != tag {
        return None;
    }
    rest.split_at_checked(len)
}

#[cfg(test)]
mod tests {
    use testkit::{Algorithm, SigningKey, certificate_of};

    use super::*;
    use crate::jose::Jwk;
    use crate::json::Object;

    const ALGORITHMS: [Algorithm; 5] = [
        Algorithm::Rs256,
        Algorithm::Es256,
        Algorithm::Es384,
        Algorithm::Es512,
        Algorithm::EdDsa,
    ];

    fn fault(text: &str) -> JwkFault {
        from_pem(text).map(|_| ()).unwrap_err()
    }

    fn pem(label: &str, der: &[u8]) -> String {
        let body = BASE64.encode(der);
        format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
    }

    #[test]
    fn a_certificate_has_the_key_that_it_was_made_for() {
        for algorithm in ALGORITHMS {
            let key = SigningKey::generate(algorithm, None);
            let jwk = key.public_jwk().to_string();
            let expected = Jwk::parse(&Object::parse(jwk.as_bytes()).unwrap()).unwrap();
            let certificate = certificate_of(&key);
            let found = [
                from_pem(&certificate),
                from_pem(&certificate.replace('\n', "\r\n")),
                from_pem(&format!("\n  {certificate}\n")),
                from_pem(&pem("PUBLIC KEY", expected.spki_der())),
            ];
            for key in found {
                let key = key.map_err(|fault| fault.to_string()).unwrap();
                assert_eq!(key.to_spki_der(), expected.spki_der(), "{algorithm}");
            }
        }
    }

    #[test]
    fn what_is_no_certificate_is_a_fault() {
        let malformed = JwkFault::CertificateMalformed;
        let certificate = certificate_of(&SigningKey::generate(Algorithm::Es256, None));
        let body: String = certificate
            .lines()
            .filter(|line| !line.starts_with("-----"))
            .collect();
        let der = BASE64.decode(&body).unwrap();
        assert!(from_base64(&body).is_ok());
        for text in [
            "",
            "-----BEGIN CERTIFICATE-----",
            "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----",
            "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----",
            "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
            &certificate.replace("CERTIFICATE", "PRIVATE KEY"),
            &certificate.replace("CERTIFICATE", "PUBLIC KEY"),
            &certificate.replace("END CERTIFICATE", "END"),
            &pem("CERTIFICATE", &[&der[..], &[0]].concat()),
        ] {
            assert_eq!(fault(text), malformed, "{text}");
        }
        for end in 0..der.len() {
            assert_eq!(fault(&pem("CERTIFICATE", &der[..end])), malformed, "{end}");
        }
    }

    #[test]
    fn no_spoiled_certificate_gives_a_panic() {
        for algorithm in ALGORITHMS {
            let certificate = certificate_of(&SigningKey::generate(algorithm, None));
            let body: String = certificate
                .lines()
                .filter(|line| !line.starts_with("-----"))
                .collect();
            let der = BASE64.decode(&body).unwrap();
            for position in 0..der.len() {
                for value in [0, 1, 0x30, 0x7f, 0x80, 0x81, 0x83, 0x84, 0xff, der[position] ^ 1] {
                    let mut spoiled = der.clone();
                    spoiled[position] = value;
                    let _ = key_of(&spoiled);
                }
            }
        }
    }

    #[test]
    fn lengths_are_the_shortest_and_end_within_the_text() {
        assert_eq!(element(&[2, 1, 7, 8], INTEGER), Some((&[7][..], &[8][..])));
        let long = [&[2, 0x81, 0x80][..], &[1; 0x80]].concat();
        assert_eq!(element(&long, INTEGER), Some((&[1; 0x80][..], &[][..])));
        for bad in [
            &[][..],
            &[2],
            &[2, 2, 1],
            &[2, 0x80, 0, 0],
            &[2, 0x81],
            &[2, 0x81, 1, 7],
            &[2, 0x82, 0, 0x81],
            &[2, 0x84, 0, 0, 0, 1, 7],
            &[2, 0xff],
        ] {
            assert_eq!(element(bad, INTEGER), None, "{bad:?}");
        }
        assert_eq!(element(&[3, 1, 7], INTEGER), None);
    }
}
