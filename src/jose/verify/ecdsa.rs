//! ES256, ES384 and ES512 ([RFC 7518 section 3.4](https://www.rfc-editor.org/rfc/rfc7518#section-3.4)) for
//! jwt-compact: ECDSA on P-256, P-384 and P-521, each with its hash.
//!
//! One implementation of jwt-compact's trait for the three crates.

use std::borrow::Cow;
use std::convert::Infallible;
use std::num::NonZeroUsize;

use jwt_compact::{Algorithm, AlgorithmSignature};

macro_rules! ecdsa {
    ($scheme:ident, $signature:ident, $name:literal, $curve:ident, $length:literal) => {
        /// The algorithm, for verification only.
        pub(super) struct $scheme;

        /// R and S in sequence, each with the length of the curve, neither zero nor beyond its order.
        pub(super) struct $signature($curve::ecdsa::Signature);

        impl AlgorithmSignature for $signature {
            const LENGTH: Option<NonZeroUsize> = NonZeroUsize::new($length);

            fn try_from_slice(bytes: &[u8]) -> anyhow::Result<Self> {
                $curve::ecdsa::Signature::from_slice(bytes)
                    .map(Self)
                    .map_err(|_| anyhow::Error::msg("malformed"))
            }

            fn as_bytes(&self) -> Cow<'_, [u8]> {
                Cow::Owned(self.0.to_bytes().to_vec())
            }
        }

        impl Algorithm for $scheme {
            /// The module has no private key: a type without values makes `sign` impossible to call.
            type SigningKey = Infallible;
            type VerifyingKey = $curve::ecdsa::VerifyingKey;
            type Signature = $signature;

            fn name(&self) -> Cow<'static, str> {
                Cow::Borrowed($name)
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
                use $curve::ecdsa::signature::Verifier as _;
                key.verify(message, &signature.0).is_ok()
            }
        }
    };
}

ecdsa!(Es256, Es256Signature, "ES256", p256, 64);
ecdsa!(Es384, Es384Signature, "ES384", p384, 96);
ecdsa!(Es512, Es512Signature, "ES512", p521, 132);
