//! The step from an unverified token to a verified one: the only maker of [`VerifiedJwt`].

use std::borrow::Cow;

use crate::claims::{ClaimPath, UnverifiedClaims};
use crate::jose::{Algorithm, AlgorithmSet, Checked, Checks, JwkSet, UnverifiedJwt};
use crate::json::{Json, Object};

/// A token whose signature a key of its provider has verified, and whose claims may be used.
#[derive(Debug)]
pub struct VerifiedJwt<'a> {
    claims: &'a Object<'a>,
}

/// The result of a signature check with a key set.
#[derive(Debug)]
pub enum SignatureCheck<'a> {
    /// A key of the set verifies the signature.
    Verified(VerifiedJwt<'a>),
    /// The set has the key with the token's `kid` or, without a `kid`, keys that fit. None of them verifies
    /// the signature.
    Invalid,
    /// The set has a key with the `kid`, but for another algorithm or curve.
    AlgorithmMismatch,
    /// The keys are larger than the verifier accepts.
    KeyTooLarge,
    /// The request has spent its budget for signature checks.
    BudgetExhausted,
    /// The set has no key with this `kid` and issuer or, without a `kid`, no key that fits.
    KeyNotFound {
        /// Whether the filter tried keys without a `kid` instead, without success.
        tried: bool,
    },
}

impl<'a> VerifiedJwt<'a> {
    /// Checks the signature with the keys of `set` that fit `algorithm` and `key_id`
    /// ([RFC 7515 section 5.2](https://www.rfc-editor.org/rfc/rfc7515#section-5.2), step 8). `of_any_key`
    /// lists the algorithms for which a key without an `alg` may be used.
    #[must_use]
    pub fn verify(
        token: &UnverifiedJwt<'_>,
        algorithm: Algorithm,
        key_id: Option<&str>,
        claims: &'a UnverifiedClaims<'a>,
        set: &JwkSet,
        of_any_key: AlgorithmSet,
        checks: Checks<'_>,
    ) -> SignatureCheck<'a> {
        let mut tried = false;
        let mut is_too_large = false;
        let issuer = claims.unverified_issuer().ok().flatten();
        let issuer = issuer.as_deref();
        for key in set.candidates(algorithm, key_id, issuer, of_any_key) {
            match checks.check(key, algorithm, token.signing_input(), token.signature()) {
                Checked::Good => {
                    return SignatureCheck::Verified(Self {
                        claims: &claims.members,
                    });
                }
                Checked::Bad => tried = true,
                Checked::KeyTooLarge => is_too_large = true,
                Checked::NothingLeft => return SignatureCheck::BudgetExhausted,
            }
        }
        if is_too_large && !tried {
            return SignatureCheck::KeyTooLarge;
        }
        match key_id.map(|key_id| set.has_kid_for(key_id, issuer)) {
            Some(true) | None if tried => SignatureCheck::Invalid,
            Some(true) => SignatureCheck::AlgorithmMismatch,
            Some(false) | None => SignatureCheck::KeyNotFound { tried },
        }
    }

    /// The value at `path`; `None` if the token has none.
    #[must_use]
    pub fn claim(&self, path: &ClaimPath) -> Option<Json<'a>> {
        path.resolve(self.claims)
    }

    /// `sub`.
    #[must_use]
    pub fn subject(&self) -> Option<Cow<'a, str>> {
        self.claims.member("sub")?.as_str()
    }

    /// The top-level claims, in the order of the token.
    pub fn members(&self) -> impl Iterator<Item = (&'a str, Json<'a>)> {
        self.claims.members()
    }
}
