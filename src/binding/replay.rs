//! The used proofs: a bounded window that the workers of a process share
//! ([RFC 9449 section 11.1](https://www.rfc-editor.org/rfc/rfc9449#section-11.1)).
//!
//! The hash of a proof selects one of many records: workers seldom write the same one, and a client with many
//! proofs spreads them over all. A record forgets proofs that are out of time. It never forgets others: if it
//! is full, it refuses new proofs.
//!
//! The room of a record is shared. A part of it is reserved for the first proof of each client. A moving
//! threshold distributes the rest, as switches distribute a buffer among queues: a client may have a quarter
//! as many proofs in the record as this part has free room. A flood therefore uses up only the flooders'
//! room. Excluding one client takes a hundred others, each with a key and a token of its own: only a proof
//! that has passed every other check gets here.

use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::time::UnixTime;

/// The number of records of a process.
const RECORDS: u16 = 8192;
/// The number of proofs in a record: two million in all.
const PROOFS: usize = 256;
/// The number of them that are reserved for clients without a proof in the record.
const FOR_FIRST: usize = 96;
/// The rest of the record must have free room for this many times the client's proofs.
const ROOM_PER_PROOF: usize = 4;

/// The length of the hashes of a thumbprint and of a proof. A proof is mistaken for another client's, or for
/// a used one, only if two hashes are equal.
const HASH: usize = 8;
const TIME: usize = 4;
/// The client, the proof, and the second in which no filter accepts it any longer.
const ENTRY: usize = HASH + HASH + TIME;

/// The widest window of any configuration: a proof that is kept for it is kept for all.
pub const WIDEST_WINDOW: Duration = Duration::from_secs(5 * 60);
/// The longest validity of a proof in seconds: from one end of the widest window to the other.
const LONGEST: u64 = 2 * WIDEST_WINDOW.as_secs();

/// A proof, in the form that is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProofId {
    client: [u8; HASH],
    proof: [u8; HASH],
    record: u16,
    /// Seconds. The same in every configuration: a filter with a wider window must not take a proof for new
    /// that one with a narrower window has accepted and forgotten.
    until: u32,
    /// The window of this configuration, out of which a proof is forgotten.
    window: Duration,
}

/// The result of entering a proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entered {
    /// It is new. The record with the proof in it.
    New(Vec<u8>),
    /// It was used before.
    Used,
    /// The record has no room for a proof of this client, or for any proof.
    NoRoom,
    /// The record may have forgotten it, because the clock was set back, or because a filter with a narrower
    /// window did.
    Forgotten,
}

impl ProofId {
    /// The proof with this key, name and date, in a configuration with this window.
    #[must_use]
    pub fn new(thumbprint: &str, jti: &str, issued_at: UnixTime, window: Duration) -> Self {
        let of_client = Sha256::new().chain_update(thumbprint).chain_update([0]);
        let client: [u8; 32] = of_client.clone().finalize().into();
        let proof: [u8; 32] = of_client.chain_update(jti).finalize().into();
        let [high, low, ..] = proof;
        let seconds = issued_at.after(WIDEST_WINDOW).as_millis().div_ceil(1000);
        Self {
            client: part(client),
            proof: part(proof),
            record: u16::from_be_bytes([high, low]) % RECORDS,
            until: u32::try_from(seconds).unwrap_or(u32::MAX),
            window,
        }
    }

    /// The index of its record.
    #[must_use]
    pub fn record(&self) -> u16 {
        self.record
    }

    /// Enters it into its record.
    #[must_use]
    pub fn enter(&self, record: &[u8], now: UnixTime) -> Entered {
        // With this window, a proof is out of time earlier than with the widest.
        let now = now.after(WIDEST_WINDOW.saturating_sub(self.window));
        let now = u32::try_from(now.as_millis() / 1000).unwrap_or(u32::MAX);
        // The beginning of the record: the time until which the latest forgotten proof was valid. A proof
        // that is valid no longer than that may have been forgotten, if the clock was set back, or by a
        // filter with a narrower window. If it is further ahead than any proof lasts, the clock was wrong
        // then.
        let (forgotten, entries) = record
            .split_first_chunk::<TIME>()
            .map_or((0, record), |(time, entries)| {
                (u32::from_le_bytes(*time), entries)
            });
        let mut forgotten = match u64::from(forgotten.saturating_sub(now)) > LONGEST {
            true => 0,
            false => forgotten,
        };
        let mut kept = Vec::with_capacity(record.len().saturating_add(TIME).saturating_add(ENTRY));
        kept.extend_from_slice(&[0; TIME]);
        let (mut count, mut own) = (0_usize, 0_usize);
        for entry in entries.chunks_exact(ENTRY) {
            let Some(known) = Self::read(entry) else { continue };
            if known.until <= now {
                forgotten = forgotten.max(known.until);
                continue;
            }
            if known.client == self.client {
                if known.proof == self.proof {
                    return Entered::Used;
                }
                own = own.saturating_add(1);
            }
            count = count.saturating_add(1);
            kept.extend_from_slice(entry);
        }
        let kept_free = if own == 0 { 0 } else { FOR_FIRST };
        let room = PROOFS.saturating_sub(count).saturating_sub(kept_free);
        if self.until <= forgotten {
            return Entered::Forgotten;
        }
        if own.saturating_mul(ROOM_PER_PROOF) >= room {
            return Entered::NoRoom;
        }
        kept.extend_from_slice(&self.client);
        kept.extend_from_slice(&self.proof);
        kept.extend_from_slice(&self.until.to_le_bytes());
        if let Some(time) = kept.first_chunk_mut::<TIME>() {
            *time = forgotten.to_le_bytes();
        }
        Entered::New(kept)
    }

    fn read(entry: &[u8]) -> Option<Self> {
        let (client, rest) = entry.split_first_chunk::<HASH>()?;
        let (proof, until) = rest.split_first_chunk::<HASH>()?;
        Some(Self {
            client: *client,
            proof: *proof,
            record: 0,
            window: WIDEST_WINDOW,
            until: u32::from_le_bytes(until.try_into().ok()?),
        })
    }
}

/// The end of a hash: its beginning selects the record.
fn part(hash: [u8; 32]) -> [u8; HASH] {
    hash.last_chunk::<HASH>().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime::from_secs(10);
    const MINUTE: Duration = Duration::from_secs(60);

    fn proof(client: &str, jti: &str) -> ProofId {
        until(client, jti, UnixTime::from_secs(100))
    }

    /// A proof that is out of time then.
    fn until(client: &str, jti: &str, until: UnixTime) -> ProofId {
        ProofId::new(client, jti, until.before(MINUTE), MINUTE)
    }

    /// The record with the proof in it, which must be new.
    fn with(record: &[u8], id: ProofId, now: UnixTime) -> Vec<u8> {
        match id.enter(record, now) {
            Entered::New(record) => record,
            other => panic!("{other:?}"),
        }
    }

    /// The record with as many proofs of a client as it accepts, and their number.
    fn flooded(mut record: Vec<u8>, client: &str) -> (Vec<u8>, usize) {
        for number in 0.. {
            match proof(client, &number.to_string()).enter(&record, NOW) {
                Entered::New(more) => record = more,
                Entered::NoRoom | Entered::Forgotten => return (record, number),
                Entered::Used => panic!("none is sent twice"),
            }
        }
        panic!("a record has an end")
    }

    #[test]
    fn a_proof_is_good_once_and_forgotten_in_time() {
        let one = with(&[], proof("key", "a"), NOW);
        assert_eq!(proof("key", "a").enter(&one, NOW), Entered::Used);
        let two = with(&one, proof("key", "b"), NOW);
        assert_eq!(two.len(), TIME + 2 * ENTRY);
        assert_eq!(proof("key", "a").enter(&two, NOW), Entered::Used);
        with(&two, proof("other", "a"), NOW);
        // The proof is valid until the end of the second in which it expires.
        let last = until("key", "c", UnixTime::from_millis(99_001));
        let three = with(&[], last, NOW);
        assert_eq!(last.enter(&three, UnixTime::from_millis(99_999)), Entered::Used);
        let later = until("key", "c", UnixTime::from_secs(200));
        assert_eq!(with(&two, later, UnixTime::from_secs(100)).len(), TIME + ENTRY);
    }

    #[test]
    fn a_flood_of_one_client_leaves_room_for_the_others() {
        let (record, count) = flooded(Vec::new(), "flood");
        assert_eq!(count, 32);
        assert_eq!(proof("flood", "0").enter(&record, NOW), Entered::Used);
        // Others get a fair share of the free room.
        let (record, count) = flooded(record, "second");
        assert!((20..32).contains(&count), "{count}");
        with(&record, proof("another", "a"), NOW);
    }

    #[test]
    fn a_hundred_floods_leave_room_for_another_client() {
        let mut record = Vec::new();
        for number in 0..100 {
            (record, _) = flooded(record, &format!("flood {number}"));
        }
        with(&record, proof("new", "a"), NOW);
        // They are forgotten as well.
        with(
            &record,
            until("new", "b", UnixTime::from_secs(200)),
            UnixTime::from_secs(100),
        );
    }

    #[test]
    fn a_record_is_full_when_as_many_clients_as_it_has_room_for_have_filled_it() {
        let mut record = Vec::new();
        for number in 0..PROOFS {
            record = with(&record, proof(&number.to_string(), "a"), NOW);
        }
        assert_eq!(record.len(), TIME + PROOFS * ENTRY);
        assert_eq!(proof("new", "a").enter(&record, NOW), Entered::NoRoom);
        // A used proof stays used.
        assert_eq!(proof("7", "a").enter(&record, NOW), Entered::Used);
    }

    #[test]
    fn a_clock_that_is_set_back_makes_no_used_proof_new() {
        let at = UnixTime::from_secs;
        let old = until("key", "a", at(100));
        let record = with(&[], old, at(10));
        // Time passes, and the store forgets the proof.
        let record = with(&record, until("key", "b", at(200)), at(150));
        assert_eq!(record.len(), TIME + ENTRY);
        // The clock is set back by a minute and a half.
        assert_eq!(old.enter(&record, at(60)), Entered::Forgotten);
        // A new proof was not forgotten, because it is valid for longer.
        with(&record, until("key", "c", at(120)), at(60));
        // A clock that was years ahead does not exclude every client when it is corrected.
        let ahead = with(&[], until("key", "a", at(1_000_000)), at(999_940));
        let ahead = with(&ahead, until("key", "b", at(1_000_100)), at(1_000_050));
        with(&ahead, until("key", "c", at(120)), at(60));
    }

    #[test]
    fn a_filter_with_a_wider_window_takes_no_used_proof_for_new() {
        let at = UnixTime::from_secs;
        let of =
            |jti, issued_at, window| ProofId::new("key", jti, at(issued_at), Duration::from_secs(window));
        for (narrow, wide) in [(5, 60), (5, 300), (60, 61)] {
            let record = with(&[], of("a", 1000, narrow), at(1000));
            let later = 1000 + narrow;
            assert_eq!(of("a", 1000, wide).enter(&record, at(later)), Entered::Used);
            // The narrower one forgets it.
            let record = with(&record, of("b", later, narrow), at(later));
            assert_eq!(record.len(), TIME + ENTRY);
            assert_eq!(of("a", 1000, wide).enter(&record, at(later)), Entered::Forgotten);
            with(&record, of("c", later, wide), at(later));
            // The wider one keeps it as long as it accepts it.
            let record = with(&[], of("a", 1000, wide), at(1000));
            let last = UnixTime::from_millis((1000 + wide) * 1000 - 1);
            assert_eq!(of("a", 1000, wide).enter(&record, last), Entered::Used);
            let record = with(&record, of("b", 1000 + wide, wide), at(1000 + wide));
            assert_eq!(record.len(), TIME + ENTRY);
        }
    }

    #[test]
    fn any_bytes_are_a_record() {
        for length in 0..200 {
            for byte in [0, 1, 0xff] {
                let _ = proof("key", "a").enter(&vec![byte; length], NOW);
            }
        }
    }
}
