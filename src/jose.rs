//! JSON Object Signing: compact JWS (RFC 7515), JWK and JWK sets (RFC 7517), algorithms (RFC 7518, RFC 8037).
//!
//! Owns what a token's envelope says, what a key is, and whether a signature is right. It must not know claims,
//! time, providers or the host; whether an algorithm is *allowed* is the caller's policy.

mod algorithm;
mod certificate;
mod fault;
mod header;
mod jwk;
mod jwk_set;
mod jws;
#[cfg(test)]
mod mutations;
mod spki;
mod verifier;
mod verify;

pub use algorithm::{Algorithm, AlgorithmSet};
pub use fault::{JwkFault, JwksFault, SkippedKey, SkippedKeys, TokenFault};
pub use header::JoseHeader;
pub use jwk::Jwk;
pub use jwk_set::{JwkSet, ParsedJwkSet};
pub use jws::UnverifiedJwt;
pub use verifier::{CHECKS_BUDGET, Checked, Checks, Sandbox, SignatureVerifier, Spent};
