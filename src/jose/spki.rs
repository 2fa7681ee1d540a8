//! SubjectPublicKeyInfo ([RFC 5280 section 4.1.2.7](https://www.rfc-editor.org/rfc/rfc5280#section-4.1.2.7)):
//! the form of public keys in X.509 and in the host's BoringSSL.
//!
//! It must not know JSON or JWK.

use super::der::{self, BIT_STRING, SEQUENCE, Unsigned};

/// `rsaEncryption` with its NULL parameters (RFC 3279 section 2.3.1).
pub(super) const RSA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
/// `id-ecPublicKey` with `secp256r1`, `secp384r1`, `secp521r1` (RFC 5480 section 2.1).
pub(super) const P256: &[u8] =
    b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
pub(super) const P384: &[u8] = b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22";
pub(super) const P521: &[u8] = b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x23";
/// `id-Ed25519`, without parameters (RFC 8410 section 3).
pub(super) const ED25519: &[u8] = b"\x06\x03\x2b\x65\x70";

/// The RSA key of `modulus` and `exponent`, both big-endian.
pub(super) fn rsa(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let numbers = [Unsigned::new(modulus), Unsigned::new(exponent)];
    let length = numbers
        .iter()
        .fold(0, |sum, number| number.encoded_len().saturating_add(sum));
    let mut bits = Vec::with_capacity(der::encoded_len(length));
    der::header(&mut bits, SEQUENCE, length);
    numbers.iter().for_each(|number| number.write(&mut bits));
    key(RSA, &bits)
}

/// The key whose bits are `key`, under one of the algorithms above.
pub(super) fn key(algorithm: &[u8], key: &[u8]) -> Vec<u8> {
    // The first byte of a BIT STRING counts the unused bits at its end.
    let bits = key.len().saturating_add(1);
    let length = der::encoded_len(algorithm.len()).saturating_add(der::encoded_len(bits));
    let mut out = Vec::with_capacity(der::encoded_len(length));
    der::header(&mut out, SEQUENCE, length);
    der::header(&mut out, SEQUENCE, algorithm.len());
    out.extend_from_slice(algorithm);
    der::header(&mut out, BIT_STRING, bits);
    out.push(0);
    out.extend_from_slice(key);
    out
}
