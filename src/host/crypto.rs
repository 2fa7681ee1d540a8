//! Signature checks by the host: Envoy's BoringSSL, through its foreign function `verify_signature`.
//!
//! The host is several times as fast as the sandbox. The filter trusts the host with the request anyway, but
//! tests it first: the host verifies an algorithm only after it has accepted a valid signature and refused a
//! changed one. Any answer other than a clear yes is a no. This file has the function's messages, and must
//! not know tokens or providers.

mod known_answers;
mod message;

use std::cell::Cell;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use self::known_answers::{KNOWN, Known, MESSAGE};
use super::abi;
use crate::jose::{Algorithm, AlgorithmSet, Jwk, Sandbox, SignatureVerifier};
use crate::json::Object;
use crate::settings::SignatureBackend;

/// Envoy's foreign function.
const FUNCTION: &str = "verify_signature";

/// The numbers of the fields `hash_func`, `signature` and `text`; the key as DER is field 2.
fn hash_name(algorithm: Algorithm) -> Option<&'static str> {
    Some(match algorithm {
        Algorithm::Rs256 | Algorithm::Es256 => "sha256",
        Algorithm::Rs384 | Algorithm::Es384 => "sha384",
        Algorithm::Rs512 | Algorithm::Es512 => "sha512",
        // The function supports neither PSS nor Ed25519.
        Algorithm::Ps256 | Algorithm::Ps384 | Algorithm::Ps512 | Algorithm::EdDsa => return None,
    })
}

/// Verifies with the host if the host has passed its test for the algorithm, and otherwise in the sandbox.
#[derive(Default)]
pub(super) struct HostCrypto {
    serves: AlgorithmSet,
    /// The current message, in a buffer that is reused.
    buffer: Cell<Vec<u8>>,
}

impl HostCrypto {
    /// Tests the host with every algorithm of `wanted` that it may support, unless the operator excludes the
    /// host. Fails with the algorithms that the host does not support if the operator requires the host.
    // Not inlined, for the memory of Envoy: docs/adr/0010-build-settings.md.
    #[inline(never)]
    pub(super) fn new(backend: SignatureBackend, wanted: AlgorithmSet) -> Result<Self, AlgorithmSet> {
        let mut crypto = Self::default();
        if backend == SignatureBackend::Sandbox {
            return Ok(crypto);
        }
        let expected: AlgorithmSet = wanted
            .iter()
            .filter(|algorithm| hash_name(*algorithm).is_some())
            .collect();
        crypto.serves = KNOWN
            .iter()
            .flat_map(|known| crypto.proven(known, expected))
            .collect();
        if backend == SignatureBackend::Host && crypto.serves != expected {
            return Err(expected
                .iter()
                .filter(|algorithm| !crypto.serves.contains(*algorithm))
                .collect());
        }
        Ok(crypto)
    }

    /// The algorithms that the host verifies.
    pub(super) fn serves(&self) -> AlgorithmSet {
        self.serves
    }

    /// The algorithms of `expected` for which the host accepts the known signature and refuses a changed one.
    fn proven(&self, known: &Known, expected: AlgorithmSet) -> Vec<Algorithm> {
        let wanted = |algorithm: &Algorithm| expected.contains(*algorithm);
        if !known.signatures.iter().any(|(algorithm, _)| wanted(algorithm)) {
            return Vec::new();
        }
        let key = Object::parse(known.jwk)
            .ok()
            .and_then(|jwk| Jwk::parse(&jwk).ok());
        let Some(key) = key else { return Vec::new() };
        known
            .signatures
            .iter()
            .filter(|(algorithm, signature)| {
                wanted(algorithm) && self.distinguishes(&key, *algorithm, signature).unwrap_or(false)
            })
            .map(|(algorithm, _)| *algorithm)
            .collect()
    }

    fn distinguishes(&self, key: &Jwk, algorithm: Algorithm, signature: &str) -> Option<bool> {
        let mut signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        if !self.ask(key, algorithm, MESSAGE, &signature)? {
            return Some(false);
        }
        // The changed bit is in the middle: for ECDSA, it is the first bit of `s`.
        let middle = signature.len() / 2;
        *signature.get_mut(middle)? ^= 1;
        Some(!self.ask(key, algorithm, MESSAGE, &signature)?)
    }

    /// The host's answer; `None` if it has none.
    fn ask(&self, key: &Jwk, algorithm: Algorithm, signing_input: &[u8], signature: &[u8]) -> Option<bool> {
        let hash = hash_name(algorithm)?;
        let mut buffer = self.buffer.take();
        buffer.clear();
        let is_ecdsa = matches!(algorithm, Algorithm::Es256 | Algorithm::Es384 | Algorithm::Es512);
        message::field(&mut buffer, 1, hash.as_bytes());
        message::field(&mut buffer, 2, key.spki_der());
        let is_written = if is_ecdsa {
            message::ecdsa_field(&mut buffer, 3, signature)
        } else {
            message::field(&mut buffer, 3, signature);
            true
        };
        message::field(&mut buffer, 4, signing_input);
        let answer = is_written.then(|| abi::call_foreign_function(FUNCTION, &buffer));
        self.buffer.set(buffer);
        answer?.ok().map(|answer| message::is_clear_yes(&answer))
    }
}

impl fmt::Debug for HostCrypto {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The buffer contains bytes of a token, which must not reach a log.
        formatter
            .debug_struct("HostCrypto")
            .field("serves", &self.serves)
            .finish_non_exhaustive()
    }
}

impl SignatureVerifier for HostCrypto {
    fn verify(&self, key: &Jwk, algorithm: Algorithm, signing_input: &[u8], signature: &[u8]) -> bool {
        if !self.serves.contains(algorithm) {
            return Sandbox.verify(key, algorithm, signing_input, signature);
        }
        // This checks the length, because with a lenient host one token could have two spellings.
        key.fits(algorithm)
            && key.signature_len(algorithm) == signature.len()
            && self.ask(key, algorithm, signing_input, signature) == Some(true)
    }

    fn cost(&self, key: &Jwk, algorithm: Algorithm) -> Option<u32> {
        match self.serves.contains(algorithm) {
            true => key.host_cost(algorithm),
            false => Sandbox.cost(key, algorithm),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_known_answers_are_right_and_cover_all_that_the_host_may_know() {
        let mut covered = AlgorithmSet::EMPTY;
        for known in KNOWN {
            let key = Jwk::parse(&Object::parse(known.jwk).unwrap()).unwrap();
            for (algorithm, signature) in known.signatures {
                let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
                assert!(key.verify(*algorithm, MESSAGE, &signature), "{algorithm}");
                assert_eq!(key.signature_len(*algorithm), signature.len());
                covered.insert(*algorithm);
            }
        }
        let askable: AlgorithmSet = Algorithm::ALL
            .into_iter()
            .filter(|algorithm| hash_name(*algorithm).is_some())
            .collect();
        assert_eq!(covered, askable);
    }
}
