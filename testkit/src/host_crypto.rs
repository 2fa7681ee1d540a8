//! Envoy's foreign function `verify_signature` with AWS-LC, and the same with the names of JOSE: another
//! implementation than the module's own.

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};

use minting::Algorithm;

/// Envoy's answer to this argument: field 1 says whether the signature is valid, and field 2 contains an
/// error.
pub fn verify_signature(argument: &[u8]) -> Vec<u8> {
    let Some([hash, key, signature, text]) = fields(argument) else {
        return no("the argument cannot be read");
    };
    let is_rsa = key
        .windows(RSA_ENCRYPTION.len())
        .any(|window| window == RSA_ENCRYPTION);
    let algorithm: &dyn VerificationAlgorithm = match (hash, is_rsa) {
        (b"sha256", true) => &signature::RSA_PKCS1_2048_8192_SHA256,
        (b"sha384", true) => &signature::RSA_PKCS1_2048_8192_SHA384,
        (b"sha512", true) => &signature::RSA_PKCS1_2048_8192_SHA512,
        (b"sha256", false) => &signature::ECDSA_P256_SHA256_ASN1,
        (b"sha384", false) => &signature::ECDSA_P384_SHA384_ASN1,
        (b"sha512", false) => &signature::ECDSA_P521_SHA512_ASN1,
        _ => return no("the hash is not supported"),
    };
    match UnparsedPublicKey::new(algorithm, key).verify(text, signature) {
        Ok(()) => vec![0x08, 0x01],
        Err(_) => no("the signature is wrong"),
    }
}

/// Whether `signature`, in the form of a token, is a signature of `algorithm` over `message` with `key`, a
/// DER SubjectPublicKeyInfo.
pub fn verifies_spki(algorithm: Algorithm, key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(algorithm.verification(), key)
        .verify(message, signature)
        .is_ok()
}

/// The DER of RSA's object identifier (RFC 8017 appendix A).
const RSA_ENCRYPTION: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";

fn no(why: &str) -> Vec<u8> {
    let length = u8::try_from(why.len()).expect("a short text");
    [&[0x12, length], why.as_bytes()].concat()
}

/// The fields 1 to 4 of a message that has only fields of bytes.
fn fields(mut message: &[u8]) -> Option<[&[u8]; 4]> {
    let mut fields: [&[u8]; 4] = [&[]; 4];
    while let Some((tag, rest)) = message.split_first() {
        if tag & 7 != 2 {
            return None;
        }
        let mut length = 0;
        let mut shift = 0;
        message = rest;
        loop {
            let (byte, rest) = message.split_first()?;
            message = rest;
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let (value, rest) = message.split_at_checked(length)?;
        *fields.get_mut(usize::from(tag >> 3).checked_sub(1)?)? = value;
        message = rest;
    }
    Some(fields)
}
