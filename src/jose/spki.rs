//! SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7): a public key as X.509 and the host's BoringSSL write it.
//!
//! Owns the few DER forms that takes. It writes only and must not know JSON or JWK.

pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const SEQUENCE: u8 = 0x30;

/// `rsaEncryption` with its NULL parameters (RFC 3279 section 2.3.1).
pub(super) const RSA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
/// `id-ecPublicKey` with `secp256r1`, `secp384r1`, `secp521r1` (RFC 5480 section 2.1).
pub(super) const P256: &[u8] =
    b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
pub(super) const P384: &[u8] = b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22";
pub(super) const P521: &[u8] = b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x23";
/// `id-Ed25519`, without parameters (RFC 8410 section 3).
pub(super) const ED25519: &[u8] = b"\x06\x03\x2b\x65\x70";

/// The RSA key of `modulus` and `exponent`, both big-endian and without leading zeros.
pub(super) fn rsa(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let modulus = unsigned(modulus);
    let exponent = unsigned(exponent);
    key(RSA, &der(SEQUENCE, &[modulus.as_slice(), exponent.as_slice()]))
}

/// The key whose bits are `key`, under one of the algorithms above.
pub(super) fn key(algorithm: &[u8], key: &[u8]) -> Vec<u8> {
    let algorithm = der(SEQUENCE, &[algorithm]);
    // The leading byte of a BIT STRING counts the unused bits at its end.
    let bits = der(BIT_STRING, &[&[0], key]);
    der(SEQUENCE, &[algorithm.as_slice(), bits.as_slice()])
}

/// DER integers are signed: a number with its highest bit set takes a zero in front.
fn unsigned(number: &[u8]) -> Vec<u8> {
    let sign: &[u8] = if number.first().is_some_and(|byte| byte & 0x80 != 0) {
        &[0]
    } else {
        &[]
    };
    der(INTEGER, &[sign, number])
}

fn der(tag: u8, contents: &[&[u8]]) -> Vec<u8> {
    let contents = contents.concat();
    let length = contents.len().to_be_bytes();
    let length: Vec<u8> = length.into_iter().skip_while(|byte| *byte == 0).collect();
    let mut out = Vec::with_capacity(contents.len().saturating_add(8));
    out.push(tag);
    match length.as_slice() {
        [] => out.push(0),
        [short] if *short < 0x80 => out.push(*short),
        // X.690 section 8.1.3.5: the first byte has its highest bit set and counts the bytes of the length.
        long => {
            out.extend(u8::try_from(long.len()).map(|count| count | 0x80));
            out.extend(long);
        }
    }
    out.extend(contents);
    out
}
