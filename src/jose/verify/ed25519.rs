//! EdDSA on Ed25519 (RFC 8037 section 3.1) for jwt-compact, stricter than its own.
//!
//! Owns one implementation of jwt-compact's trait and must not know more.

use std::borrow::Cow;
use std::convert::Infallible;

use jwt_compact::Algorithm;
use jwt_compact::alg::Ed25519;

/// The algorithm; verifies only. jwt-compact calls `verify`, which accepts points of small order: with those one
/// signature is good for several messages. `verify_strict` refuses them.
pub(super) struct StrictEd25519;

impl Algorithm for StrictEd25519 {
    /// The module holds no private key: a type without values makes `sign` impossible to call.
    type SigningKey = Infallible;
    type VerifyingKey = <Ed25519 as Algorithm>::VerifyingKey;
    type Signature = <Ed25519 as Algorithm>::Signature;

    fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed("EdDSA")
    }

    fn sign(&self, signing_key: &Self::SigningKey, _: &[u8]) -> Self::Signature {
        match *signing_key {}
    }

    fn verify_signature(
        &self,
        signature: &Self::Signature,
        key: &Self::VerifyingKey,
        message: &[u8],
    ) -> bool {
        key.verify_strict(message, signature).is_ok()
    }
}
