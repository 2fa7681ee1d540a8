//! Who checks signatures: the seam at which something faster than the sandbox can be put in.
//!
//! Pure functions of bytes. Whether a key may be used at all, and which, is settled before.

use std::fmt;

use super::algorithm::Algorithm;
use super::jwk::Jwk;

/// Checks signatures.
pub trait SignatureVerifier: fmt::Debug {
    /// Whether `signature` is one of `algorithm` over `signing_input` by the holder of `key`; false also when the key does
    /// not fit the algorithm.
    fn verify(&self, key: &Jwk, algorithm: Algorithm, signing_input: &[u8], signature: &[u8]) -> bool;
}

/// Checks them in this module's own code.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sandbox;

impl SignatureVerifier for Sandbox {
    fn verify(&self, key: &Jwk, algorithm: Algorithm, signing_input: &[u8], signature: &[u8]) -> bool {
        key.verify(algorithm, signing_input, signature)
    }
}
