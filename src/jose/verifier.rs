//! The trait for the verification of signatures, and the budget of a request. Another verifier may replace
//! the sandbox.
//!
//! Pure functions of bytes. The caller has already decided which key may be used.

use std::cell::Cell;
use std::fmt;

use super::algorithm::Algorithm;
use super::jwk::Jwk;

/// Checks signatures.
pub trait SignatureVerifier: fmt::Debug {
    /// Whether `signature` is a signature of `algorithm` over `signing_input` with `key`. Also false if the
    /// key does not fit the algorithm, or is larger than the verifier accepts.
    fn verify(&self, key: &Jwk, algorithm: Algorithm, signing_input: &[u8], signature: &[u8]) -> bool;

    /// The approximate duration of a check in microseconds; `None` if the key is larger than the verifier
    /// accepts.
    fn cost(&self, key: &Jwk, algorithm: Algorithm) -> Option<u32>;
}

/// Checks signatures with the code of this module.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sandbox;

impl SignatureVerifier for Sandbox {
    fn verify(&self, key: &Jwk, algorithm: Algorithm, signing_input: &[u8], signature: &[u8]) -> bool {
        key.verify(algorithm, signing_input, signature)
    }

    fn cost(&self, key: &Jwk, algorithm: Algorithm) -> Option<u32> {
        key.module_cost(algorithm)
    }
}

/// The duration of all checks of one request together, in microseconds. The filter makes no check beyond it:
/// neither an issuer with many keys nor a client with many tokens can delay the other requests of a worker.
pub const CHECKS_BUDGET: u32 = 4_000;

/// The duration of the checks of a request so far, and their results.
pub struct Spent {
    /// Microseconds.
    left: Cell<u32>,
    /// Another rule may check the same token.
    known: Cell<Vec<Known>>,
}

impl Default for Spent {
    fn default() -> Self {
        Self {
            left: Cell::new(CHECKS_BUDGET),
            known: Cell::default(),
        }
    }
}

impl Spent {
    /// The checks of the previous request are over.
    pub fn clear(&mut self) {
        self.left.set(CHECKS_BUDGET);
        self.known.get_mut().clear();
    }
}

/// A check and its result.
struct Known {
    algorithm: Algorithm,
    /// Key, signing input and signature, in one piece.
    checked: Box<[u8]>,
    key_length: usize,
    input_length: usize,
    is_good: bool,
}

impl Known {
    fn new(algorithm: Algorithm, [key, signing_input, signature]: [&[u8]; 3], is_good: bool) -> Self {
        Self {
            algorithm,
            checked: [key, signing_input, signature].concat().into(),
            key_length: key.len(),
            input_length: signing_input.len(),
            is_good,
        }
    }

    fn is_of(&self, algorithm: Algorithm, [key, signing_input, signature]: [&[u8]; 3]) -> bool {
        self.algorithm == algorithm
            && self.key_length == key.len()
            && self.input_length == signing_input.len()
            && self
                .checked
                .strip_prefix(key)
                .and_then(|rest| rest.strip_prefix(signing_input))
                == Some(signature)
    }
}

// It contains tokens of a client, which must not reach a log.
impl fmt::Debug for Spent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Spent")
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

/// The checks of one request.
#[derive(Clone, Copy, Debug)]
pub struct Checks<'c> {
    verifier: &'c dyn SignatureVerifier,
    spent: &'c Spent,
}

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// The signature was made with this key.
    Good,
    /// It is not.
    Bad,
    /// Not checked: the key is larger than the verifier accepts.
    KeyTooLarge,
    /// Not checked: the request has spent its budget.
    NothingLeft,
}

impl<'c> Checks<'c> {
    /// Checks with this verifier, after the checks in `spent`.
    #[must_use]
    pub fn new(verifier: &'c dyn SignatureVerifier, spent: &'c Spent) -> Self {
        Self { verifier, spent }
    }

    /// Checks a signature, if the budget permits it. It does not repeat a check.
    #[must_use]
    pub fn check(self, key: &Jwk, algorithm: Algorithm, signing_input: &[u8], signature: &[u8]) -> Checked {
        // A signature of another length is invalid, and costs nothing.
        if !key.fits(algorithm) || key.signature_len(algorithm) != signature.len() {
            return Checked::Bad;
        }
        let Some(cost) = self.verifier.cost(key, algorithm) else {
            return Checked::KeyTooLarge;
        };
        let mut known = self.spent.known.take();
        let parts = [key.spki_der(), signing_input, signature];
        let before = known.iter().find(|known| known.is_of(algorithm, parts));
        let is_good = match (before, self.spent.left.get().checked_sub(cost)) {
            (Some(known), _) => Some(known.is_good),
            (None, None) => None,
            (None, Some(left)) => {
                self.spent.left.set(left);
                let is_good = self.verifier.verify(key, algorithm, signing_input, signature);
                known.push(Known::new(algorithm, parts, is_good));
                Some(is_good)
            }
        };
        self.spent.known.set(known);
        match is_good {
            Some(true) => Checked::Good,
            Some(false) => Checked::Bad,
            None => Checked::NothingLeft,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Object;

    /// Counts its calls.
    #[derive(Debug)]
    struct Costly(Cell<u32>, Option<u32>);

    impl SignatureVerifier for Costly {
        fn verify(&self, _: &Jwk, _: Algorithm, _: &[u8], signature: &[u8]) -> bool {
            self.0.set(self.0.get().saturating_add(1));
            signature == [1; 64]
        }

        fn cost(&self, _: &Jwk, _: Algorithm) -> Option<u32> {
            self.1
        }
    }

    fn key() -> Jwk {
        // RFC 8037 appendix A.
        let jwk = br#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
        Jwk::parse(&Object::parse(jwk).unwrap()).unwrap()
    }

    #[test]
    fn checks_end_when_they_have_taken_what_they_may() {
        let verifier = Costly(Cell::new(0), Some(CHECKS_BUDGET / 3));
        let mut spent = Spent::default();
        let key = key();
        let check = |spent: &Spent, message: &[u8], signature: &[u8]| {
            Checks::new(&verifier, spent).check(&key, Algorithm::EdDsa, message, signature)
        };
        assert_eq!(check(&spent, b"a", &[1; 64]), Checked::Good);
        assert_eq!(check(&spent, b"b", &[1; 64]), Checked::Good);
        assert_eq!(check(&spent, b"b", &[2; 64]), Checked::Bad);
        assert_eq!(check(&spent, b"c", &[1; 64]), Checked::NothingLeft);
        // A known result costs nothing, and neither does a text that cannot be a signature.
        assert_eq!(check(&spent, b"a", &[1; 64]), Checked::Good);
        assert_eq!(check(&spent, b"b", &[2; 64]), Checked::Bad);
        assert_eq!(check(&spent, b"c", &[1; 63]), Checked::Bad);
        assert_eq!(verifier.0.get(), 3);
        spent.clear();
        assert_eq!(check(&spent, b"c", &[1; 64]), Checked::Good);
        assert_eq!(check(&spent, b"a", &[1; 64]), Checked::Good);
        assert_eq!(verifier.0.get(), 5);
    }

    #[test]
    fn a_key_that_the_verifier_does_not_take_is_not_tried() {
        let verifier = Costly(Cell::new(0), None);
        let spent = Spent::default();
        let checked = Checks::new(&verifier, &spent).check(&key(), Algorithm::EdDsa, b"a", &[1; 64]);
        assert_eq!((checked, verifier.0.get()), (Checked::KeyTooLarge, 0));
    }

    #[test]
    fn no_single_check_of_the_module_takes_more_than_a_request_may() {
        for (jwk, algorithm) in [
            (r#"{"kty":"RSA","n":"MODULUS","e":"AQAB"}"#, Algorithm::Rs256),
            (r#"{"kty":"RSA","n":"MODULUS","e":"__8"}"#, Algorithm::Ps512),
        ] {
            let jwk = jwk.replace("MODULUS", &format!("{}8", "_".repeat(682)));
            let key = Jwk::parse(&Object::parse(jwk.as_bytes()).unwrap()).unwrap();
            let cost = Sandbox.cost(&key, algorithm).unwrap();
            assert!((500..CHECKS_BUDGET / 2).contains(&cost), "{cost}");
        }
    }
}
