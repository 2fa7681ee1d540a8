//! EdDSA on Ed25519 (RFC 8037 section 3.1) for jwt-compact.
//!
//! Owns one implementation of jwt-compact's trait and must not know more.

use std::borrow::Cow;
use std::convert::Infallible;
use std::num::NonZeroUsize;

use ed25519_dalek::{Signature, VerifyingKey};
use jwt_compact::{Algorithm, AlgorithmSignature};

/// The algorithm; verifies only, and strictly: plain `verify` accepts points of small order, with which one signature is
/// good for several messages.
pub(super) struct StrictEd25519;

/// R and S side by side.
pub(super) struct Ed25519Signature(Signature);

impl AlgorithmSignature for Ed25519Signature {
    const LENGTH: Option<NonZeroUsize> = NonZeroUsize::new(64);

    fn try_from_slice(bytes: &[u8]) -> anyhow::Result<Self> {
        Signature::from_slice(bytes)
            .map(Self)
            .map_err(|_| anyhow::Error::msg("malformed"))
    }

    fn as_bytes(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.0.to_bytes().to_vec())
    }
}

impl Algorithm for StrictEd25519 {
    /// The module holds no private key: a type without values makes `sign` impossible to call.
    type SigningKey = Infallible;
    type VerifyingKey = VerifyingKey;
    type Signature = Ed25519Signature;

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
        key.verify_strict(message, &signature.0).is_ok()
    }
}
