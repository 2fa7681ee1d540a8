//! ES256 (RFC 7518 section 3.4) for jwt-compact: ECDSA on P-256 with SHA-256.
//!
//! Owns one implementation of jwt-compact's trait and must not know more.

use std::borrow::Cow;
use std::convert::Infallible;
use std::num::NonZeroUsize;

use jwt_compact::{Algorithm, AlgorithmSignature};
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{Signature, VerifyingKey};

/// The algorithm; verifies only.
pub(super) struct Es256;

/// R and S side by side, each of the curve's length, neither zero nor beyond its order.
pub(super) struct Es256Signature(Signature);

impl AlgorithmSignature for Es256Signature {
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

impl Algorithm for Es256 {
    /// The module holds no private key: a type without values makes `sign` impossible to call.
    type SigningKey = Infallible;
    type VerifyingKey = VerifyingKey;
    type Signature = Es256Signature;

    fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed("ES256")
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
        key.verify(message, &signature.0).is_ok()
    }
}
