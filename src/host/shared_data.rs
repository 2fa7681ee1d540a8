//! What stands in shared data: a key source's record and document, proofs that were used, the secret for nonces.
//!
//! The number in the name is the format's: a later format takes another, so that old and new modules in one process never
//! read each other's bytes.

use std::hash::{BuildHasher as _, RandomState};

use super::abi::{self, Status};
use crate::binding::nonce::NonceSecret;
use crate::binding::replay::{Entered, ProofId};

/// The two names of a key source.
#[derive(Debug)]
pub(super) struct Place {
    head: String,
    document: String,
}

/// What a worker saw when it read a value, to be held against what it is when it writes.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) value: Option<Vec<u8>>,
    cas: u32,
}

/// A number that no value has: the write succeeds only where there is none yet.
const ABSENT: u32 = u32::MAX;

impl Place {
    pub(super) fn new(fingerprint: &str) -> Self {
        Self {
            head: format!("proxy-wasm-jwt/1/{fingerprint}/head"),
            document: format!("proxy-wasm-jwt/1/{fingerprint}/jwks"),
        }
    }

    /// The head, if the host can tell.
    pub(super) fn look(&self) -> Option<Seen> {
        look(&self.head)
    }

    /// Writes the head unless somebody else has since it was seen.
    pub(super) fn replace_head(&self, seen: &Seen, head: &[u8]) -> bool {
        replace(&self.head, seen, head)
    }

    pub(super) fn document(&self) -> Option<Vec<u8>> {
        abi::shared_data(&self.document)
            .ok()
            .flatten()
            .map(|(document, _)| document)
    }

    pub(super) fn write_document(&self, document: &[u8]) {
        if let Err(status) = abi::set_shared_data(&self.document, document, 0) {
            log::warn!("shared data cannot be written: {status:?}");
        }
    }
}

fn look(key: &str) -> Option<Seen> {
    match abi::shared_data(key) {
        Ok(Some((value, cas))) => Some(Seen {
            value: Some(value),
            cas,
        }),
        Ok(None) => Some(Seen {
            value: None,
            cas: ABSENT,
        }),
        Err(status) => {
            log::warn!("shared data cannot be read: {status:?}");
            None
        }
    }
}

fn replace(key: &str, seen: &Seen, value: &[u8]) -> bool {
    match abi::set_shared_data(key, value, seen.cas) {
        Ok(()) => true,
        Err(Status::CAS_MISMATCH) => false,
        Err(status) => {
            log::warn!("shared data cannot be written: {status:?}");
            false
        }
    }
}

/// How often a record is read anew that another worker has written meanwhile.
const ATTEMPTS: u32 = 16;

/// What became of a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remembered {
    /// It was not known, and is now.
    New,
    /// It was used before.
    Used,
    /// It could not be written down, so that nobody would know of it the next time.
    NoRoom,
}

/// Remembers a proof of possession for the whole process.
pub(super) fn remember(proof: &ProofId) -> Remembered {
    let Ok(now) = abi::now() else {
        return Remembered::NoRoom;
    };
    let key = format!("proxy-wasm-jwt/2/dpop/{}", proof.record());
    for _ in 0..ATTEMPTS {
        let (record, cas) = match abi::shared_data(&key) {
            Ok(Some(found)) => found,
            Ok(None) => (Vec::new(), ABSENT),
            Err(_) => return Remembered::NoRoom,
        };
        let entered = match proof.enter(&record, now) {
            Entered::New(entered) => entered,
            Entered::Used => return Remembered::Used,
            Entered::NoRoom => return Remembered::NoRoom,
        };
        match abi::set_shared_data(&key, &entered, cas) {
            Ok(()) => return Remembered::New,
            Err(Status::CAS_MISMATCH) => {}
            Err(_) => return Remembered::NoRoom,
        }
    }
    Remembered::NoRoom
}

const NONCE_SECRET: &str = "proxy-wasm-jwt/1/nonce-secret";

/// The process's secret for nonces, which the first VM that asks for it makes. It outlives configurations and VMs.
pub(super) fn nonce_secret() -> Option<NonceSecret> {
    let kept = |seen: &Seen| seen.value.as_deref().and_then(NonceSecret::from_bytes);
    let seen = look(NONCE_SECRET)?;
    kept(&seen).or_else(|| {
        // What counts is what stands there afterwards, whoever has written it.
        replace(NONCE_SECRET, &seen, &random_bytes());
        kept(&look(NONCE_SECRET)?)
    })
}

/// The seed of a hasher is 128 bits of the system's randomness, and the standard library has no other door to it.
fn random_bytes() -> [u8; NonceSecret::SIZE] {
    let seed = RandomState::new();
    let mut bytes = [0; NonceSecret::SIZE];
    for (number, eight) in (0_u32..).zip(bytes.chunks_exact_mut(8)) {
        eight.copy_from_slice(&seed.hash_one(number).to_le_bytes());
    }
    bytes
}
