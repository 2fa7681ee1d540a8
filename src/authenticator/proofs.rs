//! The part of proofs of possession ([RFC 9449](https://www.rfc-editor.org/rfc/rfc9449)) that a process
//! remembers: the secret of its nonces, and the used proofs.

use super::decision::{Decision, Outcome};
use super::engine::Authenticator;
use crate::binding::nonce::{NonceSecret, Nonces, SecretSource};
use crate::binding::replay::{Entered, ProofId};
use crate::denial::{Detail, Reason};
use crate::request::RequestHead;
use crate::seal::random_bytes;
use crate::store::{SharedStore, StoreKey, SwapError};
use crate::time::UnixTime;

/// How often the engine reads a list of proofs again after another worker has changed it.
const ATTEMPTS: u32 = 16;

/// The result of remembering a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Remembered {
    /// The proof was unknown, and is now remembered.
    New,
    /// The proof was used before.
    Used,
    /// The store could not remember the proof, for this cause: no worker would recognize it the next time.
    NoRoom(&'static str),
}

impl Authenticator {
    /// The final decision for a request that does not wait. The process accepts a proof of possession only
    /// once.
    pub(super) fn spend_proof(
        &self,
        outcome: Outcome,
        request: &RequestHead,
        now: UnixTime,
        store: &dyn SharedStore,
    ) -> Decision {
        if let Some(missing) = outcome.missing {
            return Decision::Deny(missing.denial().into());
        }
        let Some(proof) = outcome.proof else {
            return outcome.decision;
        };
        let (reason, detail) = match remember(&proof.id, now, store) {
            Remembered::New => return outcome.decision,
            Remembered::Used => (Reason::ProofReplayed, Detail::Word("jti")),
            Remembered::NoRoom(cause) => (Reason::ProofStoreFull, Detail::Word(cause)),
        };
        self.without_proof(*proof, reason, detail, request, now)
    }

    /// Finds the secret of all workers for nonces, if a provider requires nonces and has no secret of its
    /// own. Until the engine knows it, it refuses proofs that need it.
    pub(super) fn agree_on_nonces(&mut self, store: &dyn SharedStore) {
        let lacks_secret = |nonces: &Nonces| nonces.secret == SecretSource::Process;
        let mut providers = self.config.providers.iter();
        if self.nonce_secret.is_some()
            || !providers.any(|provider| provider.binding.nonces().is_some_and(lacks_secret))
        {
            return;
        }
        let read = || {
            let entry = store.get(StoreKey::NonceSecret)?;
            let random = entry.value.as_deref().and_then(|bytes| bytes.try_into().ok());
            Some((random, entry.version))
        };
        let Some((known, version)) = read() else { return };
        let random = known.or_else(|| {
            let _ = store.swap(StoreKey::NonceSecret, version, &random_bytes());
            // The engine uses the stored entry, whichever worker wrote it.
            read()?.0
        });
        self.nonce_secret = random.map(|random| self.nonce_secret_of(random));
    }

    /// With `shared_data.secret`, the secret is derived from the random bytes and the operator's secret: a
    /// module that can read the bytes cannot derive it. Otherwise the bytes are the secret, because it must
    /// be the same for all configurations.
    fn nonce_secret_of(&self, random: [u8; NonceSecret::SIZE]) -> NonceSecret {
        let seal = &self.config.seal;
        NonceSecret::new(match seal.is_secret() {
            true => seal.secret_of(&random),
            false => random,
        })
    }
}

/// Remembers a proof of possession for the whole process.
fn remember(proof: &ProofId, now: UnixTime, store: &dyn SharedStore) -> Remembered {
    let key = StoreKey::UsedProofs(proof.record());
    for _ in 0..ATTEMPTS {
        let Some(seen) = store.get(key) else {
            return Remembered::NoRoom("the store fails");
        };
        let entered = match proof.enter(&seen.value.unwrap_or_default(), now) {
            Entered::New(entered) => entered,
            Entered::Used => return Remembered::Used,
            Entered::NoRoom => return Remembered::NoRoom("no room"),
            Entered::Forgotten => return Remembered::NoRoom("perhaps forgotten"),
        };
        match store.swap(key, seen.version, &entered) {
            Ok(()) => return Remembered::New,
            Err(SwapError::Conflict) => {}
            Err(SwapError::Failed) => return Remembered::NoRoom("the store fails"),
        }
    }
    Remembered::NoRoom("conflicts with other workers")
}
