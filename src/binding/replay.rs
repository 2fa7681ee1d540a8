//! Which proofs have been used: a bounded window, shared by the workers of a process (RFC 9449 section 11.1).
//!
//! A proof has its place in one of many records, by its own hash, so that workers seldom write the same one. A record forgets
//! what is out of time, and takes no more than so many: then proofs are refused rather than forgotten.

use sha2::{Digest as _, Sha256};

use crate::time::UnixTime;

/// Records of a process.
const RECORDS: u16 = 4096;
/// Proofs of a record: half a million in all, of 24 bytes each.
const PROOFS: usize = 128;

const HASH: usize = 16;
const ENTRY: usize = 24;

/// A proof, as it is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProofId {
    hash: [u8; HASH],
    until: UnixTime,
}

impl ProofId {
    /// The proof of this key and name, which is out of time then.
    #[must_use]
    pub fn new(thumbprint: &str, jti: &str, until: UnixTime) -> Self {
        let digest = Sha256::new()
            .chain_update(thumbprint)
            .chain_update([0])
            .chain_update(jti)
            .finalize();
        let mut hash = [0; HASH];
        for (to, from) in hash.iter_mut().zip(digest) {
            *to = from;
        }
        Self { hash, until }
    }

    /// The number of its record.
    #[must_use]
    pub fn record(&self) -> u16 {
        let [first, second, ..] = self.hash;
        u16::from_be_bytes([first, second]) % RECORDS
    }

    /// Its record with the proof in it. `None`: it was used before, or there is no room to remember it.
    #[must_use]
    pub fn enter(&self, record: &[u8], now: UnixTime) -> Option<Vec<u8>> {
        let mut kept = Vec::with_capacity(record.len().saturating_add(ENTRY));
        for entry in record.chunks_exact(ENTRY) {
            let (hash, until) = entry.split_first_chunk::<HASH>()?;
            let until = UnixTime::from_millis(u64::from_le_bytes(until.try_into().ok()?));
            if until <= now {
                continue;
            }
            if *hash == self.hash {
                return None;
            }
            kept.extend_from_slice(entry);
        }
        if kept.len() >= PROOFS.saturating_mul(ENTRY) {
            return None;
        }
        kept.extend_from_slice(&self.hash);
        kept.extend_from_slice(&self.until.as_millis().to_le_bytes());
        Some(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_good_once_and_forgotten_in_time() {
        let proof = |jti: &str| ProofId::new("key", jti, UnixTime::from_secs(100));
        let now = UnixTime::from_secs(10);
        let one = proof("a").enter(&[], now).unwrap();
        assert_eq!(proof("a").enter(&one, now), None);
        let two = proof("b").enter(&one, now).unwrap();
        assert_eq!(two.len(), 2 * ENTRY);
        assert_eq!(proof("a").enter(&two, now), None);
        assert!(
            ProofId::new("other", "a", UnixTime::from_secs(100))
                .enter(&two, now)
                .is_some()
        );
        let later = proof("c").enter(&two, UnixTime::from_secs(100)).unwrap();
        assert_eq!(later.len(), ENTRY);
        let mut record = Vec::new();
        for number in 0..PROOFS {
            record = proof(&number.to_string()).enter(&record, now).unwrap();
        }
        assert_eq!(proof("one too many").enter(&record, now), None);
    }
}
