//! JSON Object Signing: compact JWS (RFC 7515), JWK and JWK sets (RFC 7517), algorithms (RFC 7518, RFC 8037).
//!
//! Owns what a token's envelope says, what a key is, and whether a signature is right. It must not know claims,
//! time, providers or the host; whether an algorithm is *allowed* is the caller's policy.

mod algorithm;
mod header;
mod jwk;
mod jwk_set;
mod jws;
#[cfg(test)]
mod mutations;
mod spki;
mod verifier;
mod verify;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

pub use algorithm::{Algorithm, AlgorithmSet};
pub use header::JoseHeader;
pub use jwk::{Jwk, JwkFault};
pub use jwk_set::{JwkSet, JwksFault, ParsedJwkSet};
pub use jws::{TokenFault, UnverifiedJwt};
pub use verifier::{CHECKS_BUDGET, Checked, Checks, Sandbox, SignatureVerifier, Spent};

/// Appends to `out` what `text` stands for; false when it is not base64url.
///
/// RFC 7515 section 2: "with all trailing '=' characters omitted […] and without the inclusion of any line breaks,
/// whitespace, or other additional characters". The engine also refuses stray bits in the last character, which
/// would give one token many spellings.
fn decode_base64url(text: &[u8], out: &mut Vec<u8>) -> bool {
    URL_SAFE_NO_PAD.decode_vec(text, out).is_ok()
}
