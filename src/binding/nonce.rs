//! Nonces for proofs ([RFC 9449 section 9](https://www.rfc-editor.org/rfc/rfc9449#section-9)): the time of
//! their creation, and a MAC.
//!
//! The filter remembers no nonce: with the secret, it recognizes its own nonces and their age. The secret
//! comes from [`crate::config`] or from the host.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

use crate::time::UnixTime;

/// `binding.dpop.nonce`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nonces {
    /// The lifetime of a nonce.
    pub lifetime: Duration,
    /// `secret`.
    pub secret: SecretSource,
}

/// The origin of the secret of nonces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// The process generates it.
    Process,
    /// It is in the configuration.
    Configured(NonceSecret),
    /// The host gets it under a name.
    Named(NamedSecret),
}

/// A secret that the host gets under a name, at any time, and may replace. All engines that have this value
/// see the same secret.
#[derive(Clone, Debug)]
pub struct NamedSecret(Arc<Named>);

#[derive(Debug)]
struct Named {
    name: Box<str>,
    sds_config: Option<Box<str>>,
    current: RwLock<Option<NonceSecret>>,
}

/// The secret from which nonces are made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct NonceSecret([u8; Self::SIZE]);

/// The lengths of the time in a nonce, and of its MAC: 128 bits cannot be guessed.
const TIME: usize = 8;
const TAG: usize = 16;

/// The prefix of the text under the MAC: a MAC with the same secret for another purpose is no nonce.
const PURPOSE: &[u8] = b"proxy-wasm-jwt/1/nonce/";

impl NamedSecret {
    /// A secret with this name that did not arrive yet. `sds_config` is Envoy's `ConfigSource` as JSON.
    #[must_use]
    pub fn new(name: &str, sds_config: Option<&str>) -> Self {
        Self(Arc::new(Named {
            name: name.into(),
            sds_config: sds_config.map(Box::from),
            current: RwLock::default(),
        }))
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Envoy's `ConfigSource` for it, as JSON.
    #[must_use]
    pub fn sds_config(&self) -> Option<&str> {
        self.0.sds_config.as_deref()
    }

    /// Whether anything else has this secret.
    #[must_use]
    pub fn has_users(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// The secret as it last arrived.
    #[must_use]
    pub fn current(&self) -> Option<NonceSecret> {
        // A secret is written as a whole, so it is complete even after a panic.
        *self.0.current.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the secret. The nonces that were made with the previous one are no longer valid.
    pub fn replace(&self, secret: NonceSecret) {
        *self.0.current.write().unwrap_or_else(PoisonError::into_inner) = Some(secret);
    }
}

impl PartialEq for NamedSecret {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for NamedSecret {}

impl NonceSecret {
    /// The length of a secret.
    pub const SIZE: usize = 32;

    /// A secret of these random bytes; `None` if their number is wrong.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// A secret of these bytes, of which others know at most a part.
    #[must_use]
    pub const fn new(bytes: [u8; Self::SIZE]) -> Self {
        Self(bytes)
    }

    /// A secret derived from an operator's text of any length.
    #[must_use]
    pub fn derive(text: &[u8]) -> Self {
        Self(Sha256::digest(text).into())
    }

    /// A fresh nonce.
    #[must_use]
    pub fn issue(&self, now: UnixTime) -> String {
        let time = now.as_millis().to_be_bytes();
        let tag = self.mac(time).finalize().into_bytes();
        let mut nonce = time.to_vec();
        nonce.extend_from_slice(tag.get(..TAG).unwrap_or_default());
        URL_SAFE_NO_PAD.encode(nonce)
    }

    /// The time at which the nonce was made; `None` if it was not made with this secret.
    #[must_use]
    pub fn time_of(&self, nonce: &str) -> Option<UnixTime> {
        let bytes = URL_SAFE_NO_PAD.decode(nonce).ok()?;
        let (time, tag) = bytes.split_first_chunk::<TIME>()?;
        // In constant time: a client must not find a tag byte by byte.
        let is_ours = tag.len() == TAG && self.mac(*time).verify_truncated_left(tag).is_ok();
        is_ours.then(|| UnixTime::from_millis(u64::from_be_bytes(*time)))
    }

    fn mac(&self, time: [u8; TIME]) -> Hmac<Sha256> {
        // The key fills a whole block, because a shorter key may be refused. RFC 2104 section 2 pads shorter
        // keys in the same way.
        let mut block = [0; 64];
        for (to, from) in block.iter_mut().zip(self.0) {
            *to = from;
        }
        Hmac::new(&block.into()).chain_update(PURPOSE).chain_update(time)
    }
}

// The secret is never shown.
impl fmt::Debug for NonceSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("NonceSecret(…)")
    }
}

impl Nonces {
    /// The secret. `of_process` is the one that the process has generated.
    #[must_use]
    pub fn secret(&self, of_process: Option<&NonceSecret>) -> Option<NonceSecret> {
        match &self.secret {
            SecretSource::Process => of_process.copied(),
            SecretSource::Configured(secret) => Some(*secret),
            SecretSource::Named(named) => named.current(),
        }
    }

    /// The fault of another nonce, for the operator.
    #[must_use]
    pub const fn foreign(&self) -> &'static str {
        match self.secret {
            SecretSource::Process => "of another process, or no nonce",
            SecretSource::Configured(_) | SecretSource::Named(_) => "of another secret, or no nonce",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCES: Nonces = Nonces {
        lifetime: Duration::from_secs(10),
        secret: SecretSource::Process,
    };

    fn secret() -> NonceSecret {
        NonceSecret([7; 32])
    }

    #[test]
    fn a_nonce_is_a_time_and_its_hmac() {
        // The result of Python's hmac.
        assert_eq!(
            secret().issue(UnixTime::from_millis(1_700_000_000_123)),
            "AAABi8_laHutw3h5uMcStNLZrL3qsOGS"
        );
        let derived = NonceSecret::derive(b"0123456789abcdef0123456789abcdef");
        assert_eq!(
            derived.issue(UnixTime::from_millis(1_700_000_000_123)),
            "AAABi8_laHsRGn6L5gi-rVAM332lCVGD"
        );
    }

    #[test]
    fn a_nonce_that_was_changed_or_is_anothers_is_none() {
        let now = UnixTime::from_secs(100);
        let nonce = secret().issue(now);
        assert_eq!(secret().time_of(&nonce), Some(now));
        assert_eq!(NonceSecret([8; 32]).time_of(&nonce), None);
        let bytes = URL_SAFE_NO_PAD.decode(&nonce).unwrap();
        for index in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[index] ^= 1;
            assert_eq!(
                secret().time_of(&URL_SAFE_NO_PAD.encode(changed)),
                None,
                "{index}"
            );
        }
        for length in 0..bytes.len() {
            assert_eq!(secret().time_of(&URL_SAFE_NO_PAD.encode(&bytes[..length])), None);
        }
        for other in [
            "",
            "\u{fffd}",
            &format!("{nonce}="),
            &format!("{nonce}AAAA"),
            nonce.get(1..).unwrap(),
        ] {
            assert_eq!(secret().time_of(other), None, "{other}");
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        assert_eq!(format!("{:?}", secret()), "NonceSecret(…)");
        let named = NamedSecret::new("nonces", None);
        named.replace(secret());
        assert!(!format!("{named:?}").contains('7'));
    }

    #[test]
    fn a_named_secret_is_that_of_its_host_and_never_that_of_the_process() {
        let named = NamedSecret::new("nonces", None);
        let nonces = Nonces {
            secret: SecretSource::Named(named.clone()),
            ..NONCES
        };
        assert_eq!(nonces.secret(Some(&secret())), None);
        let now = UnixTime::from_secs(100);
        let [old, new] = [1, 2].map(|byte| NonceSecret([byte; 32]));
        named.replace(old);
        assert_eq!(nonces.secret(Some(&secret())), Some(old));
        named.replace(new);
        assert_eq!(nonces.secret(None), Some(new));
        assert_eq!(new.time_of(&old.issue(now)), None);
    }
}
