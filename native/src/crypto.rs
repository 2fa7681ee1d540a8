//! RSA and ECDSA with AWS-LC, whose keys are parsed once. The core verifies Ed25519, because it is faster.

#[cfg(test)]
#[allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that fails is a test that does its work"
)]
mod differential;
mod verified;
#[cfg(test)]
#[allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that fails is a test that does its work"
)]
mod verified_tests;

use aws_lc_rs::digest::{SHA256, SHA384, SHA512, digest};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ECDSA_P521_SHA512_ASN1, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, VerificationAlgorithm,
};
use proxy_wasm_jwt::jose::{Algorithm, EcdsaSignature, Jwk, Sandbox, SignatureVerifier};

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, OnceLock};

use verified::{Signed, VerifiedSignatures};

/// The signatures that the workers of the process have verified.
static VERIFIED: LazyLock<VerifiedSignatures> = LazyLock::new(|| VerifiedSignatures::new(1024));

/// The algorithms that AWS-LC verifies here.
pub(crate) const SERVES: [Algorithm; 9] = [
    Algorithm::Rs256,
    Algorithm::Rs384,
    Algorithm::Rs512,
    Algorithm::Ps256,
    Algorithm::Ps384,
    Algorithm::Ps512,
    Algorithm::Es256,
    Algorithm::Es384,
    Algorithm::Es512,
];

/// The key in AWS-LC's form for each of [`SERVES`], made at its first use; `None` if AWS-LC does not accept
/// it.
struct Prepared {
    /// No other key of the process has or had it.
    number: u64,
    forms: [OnceLock<Option<ParsedPublicKey>>; SERVES.len()],
}

impl Prepared {
    fn new() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self {
            number: LAST.fetch_add(1, Ordering::Relaxed),
            forms: Default::default(),
        }
    }
}

/// The position in [`SERVES`], and the verifier.
fn scheme(algorithm: Algorithm) -> Option<(usize, &'static dyn VerificationAlgorithm)> {
    let place = SERVES.iter().position(|known| *known == algorithm)?;
    let scheme: &'static dyn VerificationAlgorithm = match algorithm {
        Algorithm::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
        Algorithm::Rs384 => &RSA_PKCS1_2048_8192_SHA384,
        Algorithm::Rs512 => &RSA_PKCS1_2048_8192_SHA512,
        Algorithm::Ps256 => &RSA_PSS_2048_8192_SHA256,
        Algorithm::Ps384 => &RSA_PSS_2048_8192_SHA384,
        Algorithm::Ps512 => &RSA_PSS_2048_8192_SHA512,
        Algorithm::Es256 => &ECDSA_P256_SHA256_ASN1,
        Algorithm::Es384 => &ECDSA_P384_SHA384_ASN1,
        Algorithm::Es512 => &ECDSA_P521_SHA512_ASN1,
        Algorithm::EdDsa => return None,
    };
    Some((place, scheme))
}

/// An ECDSA signature in the form that AWS-LC reads. From a signature of the form that JWS has, AWS-LC would
/// write this one itself, in 7,000 instructions.
fn der(signature: &[u8]) -> Vec<u8> {
    // Three headers of at most three bytes, and a byte in front of each number.
    let mut der = Vec::with_capacity(signature.len().saturating_add(11));
    EcdsaSignature::new(signature).write(&mut der);
    der
}

/// Checks signatures with AWS-LC, and Ed25519 with the core.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AwsLc {
    /// Whether signatures that a worker has verified are remembered for the others.
    pub(crate) remembers: bool,
}

impl SignatureVerifier for AwsLc {
    fn verify(&self, key: &Jwk, algorithm: Algorithm, signing_input: &[u8], signature: &[u8]) -> bool {
        let Some((place, scheme)) = scheme(algorithm) else {
            return Sandbox.verify(key, algorithm, signing_input, signature);
        };
        // Both lengths are checked here: with a lenient library, one token could have two spellings.
        if !key.fits(algorithm) || key.signature_len(algorithm) != signature.len() {
            return false;
        }
        let parse = || ParsedPublicKey::new(scheme, key.spki_der()).ok();
        let Some(prepared) = key.prepared(Prepared::new) else {
            return false;
        };
        let form = prepared.forms.get(place);
        let Some(key) = form.and_then(|form| form.get_or_init(parse).as_ref()) else {
            return false;
        };
        let hash = match algorithm {
            Algorithm::Rs256 | Algorithm::Ps256 | Algorithm::Es256 | Algorithm::EdDsa => &SHA256,
            Algorithm::Rs384 | Algorithm::Ps384 | Algorithm::Es384 => &SHA384,
            Algorithm::Rs512 | Algorithm::Ps512 | Algorithm::Es512 => &SHA512,
        };
        let digest = digest(hash, signing_input);
        let verify = || {
            let in_der;
            let form = match algorithm {
                Algorithm::Es256 | Algorithm::Es384 | Algorithm::Es512 => {
                    in_der = der(signature);
                    &*in_der
                }
                _ => signature,
            };
            key.verify_digest_sig(&digest, form).is_ok()
        };
        let signed = Signed {
            key: prepared.number,
            algorithm: place,
            digest: digest.as_ref(),
            signature,
        };
        match self.remembers {
            true => VERIFIED.check(signed, verify),
            false => verify(),
        }
    }

    fn cost(&self, key: &Jwk, algorithm: Algorithm) -> Option<u32> {
        match scheme(algorithm) {
            Some(_) => key.host_cost(algorithm),
            None => Sandbox.cost(key, algorithm),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_algorithm_has_its_own_scheme() {
        for (index, algorithm) in SERVES.iter().enumerate() {
            assert_eq!(
                scheme(*algorithm).map(|(place, _)| place),
                Some(index),
                "{algorithm}"
            );
        }
        assert!(scheme(Algorithm::EdDsa).is_none());
        assert_eq!(SERVES.len() + 1, Algorithm::ALL.len());
    }
}
