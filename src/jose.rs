//! JSON Object Signing: compact JWS ([RFC 7515](https://www.rfc-editor.org/rfc/rfc7515)), JWK and JWK sets
//! ([RFC 7517](https://www.rfc-editor.org/rfc/rfc7517)), algorithms
//! ([RFC 7518](https://www.rfc-editor.org/rfc/rfc7518), [RFC 8037](https://www.rfc-editor.org/rfc/rfc8037)).
//!
//! It parses the parts of a token and keys, and checks signatures. It must not know claims, time, providers
//! or the host. The caller decides whether an algorithm is *allowed*.

mod algorithm;
mod base64url;
mod certificate;
pub(crate) mod der;
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
pub use der::EcdsaSignature;
pub use fault::{EncodingFault, JwkFault, JwksFault, OtherDocument, SkippedKey, SkippedKeys, TokenFault};
pub use header::JoseHeader;
pub use jwk::Jwk;
pub use jwk_set::{JwkSet, ParsedJwkSet};
pub use jws::UnverifiedJwt;
pub use verifier::{CHECKS_BUDGET, Checked, Checks, Sandbox, SignatureVerifier, Spent};
