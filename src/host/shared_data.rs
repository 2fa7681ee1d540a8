//! What stands in shared data: a key source's record and document, proofs that were used, the secret for nonces.
//!
//! Another module under the same `vm_id` reads and writes all of it. So what keys rest on has a seal, which only
//! the same configuration, or the same secret, can make; see [`crate::seal`]. Proofs that were used have none: whoever could
//! change a record could erase it as well, and a record that a new configuration cannot read forgets all of them.
//!
//! The number in the name is the format's: a later format takes another, so that old and new modules in one process never
//! read each other's bytes.

use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher as _, RandomState};

use super::abi::{self, Status};
use crate::binding::nonce::NonceSecret;
use crate::binding::replay::{Entered, ProofId};
use crate::seal::SealKey;

/// The two names of a key source, for one seal.
#[derive(Debug)]
pub(super) struct Place {
    fingerprint: String,
    head: String,
    document: String,
    seal: SealKey,
    /// The operator was told that somebody else writes here.
    is_reported: Cell<bool>,
}

/// What a worker saw when it read a value, to be held against what it is when it writes.
#[derive(Debug)]
pub(super) struct Seen {
    /// What was sealed; `None` where there is nothing, or nothing with our seal.
    pub(super) value: Option<Vec<u8>>,
    cas: u32,
}

/// A number that no value has: the write succeeds only where there is none yet.
const ABSENT: u32 = u32::MAX;

impl Place {
    pub(super) fn new(fingerprint: &str, seal: &SealKey) -> Self {
        let name = |what| format!("{}/{fingerprint}/{what}", home(seal));
        Self {
            fingerprint: fingerprint.to_owned(),
            head: name("head"),
            document: name("jwks"),
            seal: seal.clone(),
            is_reported: Cell::new(false),
        }
    }

    /// Where a configuration before this has left the same keys.
    pub(super) fn of_elder(&self, elder: &SealKey) -> Self {
        Self::new(&self.fingerprint, elder)
    }

    /// The head, if the host can tell.
    pub(super) fn look(&self) -> Option<Seen> {
        let mut seen = look(&self.head)?;
        if let Some(entry) = seen.value.take() {
            seen.value = self.open(&self.head, &entry);
        }
        Some(seen)
    }

    /// Writes the head unless somebody else has since it was seen.
    pub(super) fn replace_head(&self, seen: &Seen, head: &[u8]) -> bool {
        replace(&self.head, seen, &self.seal.seal(&self.head, head))
    }

    pub(super) fn document(&self) -> Option<Vec<u8>> {
        let (entry, _) = abi::shared_data(&self.document).ok().flatten()?;
        self.open(&self.document, &entry)
    }

    pub(super) fn write_document(&self, document: &[u8]) {
        let entry = self.seal.seal(&self.document, document);
        if let Err(status) = abi::set_shared_data(&self.document, &entry, 0) {
            log::warn!("shared data cannot be written: {status:?}");
        }
    }

    /// What does not have our seal is as good as not there. Said once: whoever writes it would write it again.
    fn open(&self, name: &str, entry: &[u8]) -> Option<Vec<u8>> {
        let content = self.seal.open(name, entry).map(<[u8]>::to_vec);
        if content.is_none() && !self.is_reported.replace(true) {
            log::warn!(
                "shared data {name} was not written by this filter: another module runs under the same vm_id; \
                 what it writes there counts for nothing"
            );
        }
        content
    }
}

/// What the names of all entries of a seal begin with.
fn home(seal: &SealKey) -> String {
    format!("proxy-wasm-jwt/2/{}", seal.id())
}

thread_local! {
    /// The seals of the configurations that this VM has run, the last one first. A VM's memory is its own: no other module
    /// reads or writes this.
    static SEALS: RefCell<Vec<SealKey>> = const { RefCell::new(Vec::new()) };
}

/// So many configurations are remembered.
const MAX_SEALS: usize = 8;

/// Remembers a configuration's seal for the one that comes after it.
pub(super) fn remember_seal(seal: &SealKey) {
    SEALS.with_borrow_mut(|seals| {
        seals.retain(|known| known != seal);
        seals.insert(0, seal.clone());
        seals.truncate(MAX_SEALS);
    });
}

/// The seals of other configurations whose records this one may take over. None where an operator has written a secret:
/// it is the same after a reload, and a record under a seal without it is less sure.
pub(super) fn elders(seal: &SealKey) -> Vec<SealKey> {
    if seal.is_secret() {
        return Vec::new();
    }
    let is_elder = |known: &&SealKey| *known != seal && !known.is_secret();
    SEALS.with_borrow(|seals| seals.iter().filter(is_elder).cloned().collect())
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

/// Where the random bytes are for a filter without `shared_data.secret`, whatever its configuration.
const NONCE_SECRET: &str = "proxy-wasm-jwt/1/nonce-secret";

/// The process's secret for nonces, of random bytes that the first VM leaves for all. It outlives configurations and VMs.
/// With `shared_data.secret` they have its seal, and the secret is made of them and of the seal's own key, so that a module
/// that reads them cannot make it. Without, it has to be the same for all configurations, so nobody's key is in it.
pub(super) fn nonce_secret(seal: &SealKey) -> Option<NonceSecret> {
    let name = match seal.is_secret() {
        true => format!("{}/nonce-secret", home(seal)),
        false => NONCE_SECRET.to_owned(),
    };
    let kept = |seen: &Seen| {
        let entry = seen.value.as_deref()?;
        if !seal.is_secret() {
            return NonceSecret::from_bytes(entry);
        }
        let random = seal.open(&name, entry)?;
        (random.len() == NonceSecret::SIZE).then(|| NonceSecret::new(seal.secret_of(random)))
    };
    let seen = look(&name)?;
    kept(&seen).or_else(|| {
        let random = random_bytes();
        let entry = match seal.is_secret() {
            true => seal.seal(&name, &random),
            false => random.to_vec(),
        };
        // What counts is what stands there afterwards, whoever has written it.
        replace(&name, &seen, &entry);
        kept(&look(&name)?)
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
