//! The memory of signatures in several threads. `native/tests/loom.rs` runs it in each order of their steps.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::verified::{PLACES, Signed, VerifiedSignatures};

const SETS: usize = 1024;

fn memory() -> VerifiedSignatures {
    VerifiedSignatures::new(SETS)
}

struct Case {
    digest: [u8; 32],
    signature: Vec<u8>,
}

fn cases(count: usize) -> Vec<Case> {
    (0..count)
        .map(|number| Case {
            digest: [u8::try_from(number % 251).unwrap(); 32],
            signature: format!("{number:0256}").into_bytes(),
        })
        .collect()
}

fn signed(key: u64, case: &Case) -> Signed<'_> {
    Signed {
        key,
        algorithm: 0,
        digest: &case.digest,
        signature: &case.signature,
    }
}

#[test]
fn four_workers_verify_a_signature_twice_and_no_forged_one_is_remembered() {
    let (all, verified) = (memory(), AtomicUsize::new(0));
    let cases = cases(50);
    let verify = |is_good| {
        verified.fetch_add(1, Ordering::Relaxed);
        is_good
    };
    for _ in 0..4 {
        thread::scope(|scope| {
            scope.spawn(|| {
                for case in &cases {
                    assert!(all.check(signed(1, case), || verify(true)));
                }
            });
        });
    }
    assert_eq!(verified.swap(0, Ordering::Relaxed), 100);
    for _ in 0..4 {
        assert!(!all.check(signed(2, &cases[0]), || verify(false)));
    }
    assert_eq!(
        verified.load(Ordering::Relaxed),
        4,
        "another key is asked each time"
    );
}

#[test]
fn four_workers_at_once_get_what_verification_says() {
    let all = memory();
    let cases = cases(2000);
    let is_good = |number: usize| !number.is_multiple_of(3);
    let memory_said = AtomicUsize::new(0);
    thread::scope(|scope| {
        for worker in 0..4 {
            let (all, cases, memory_said) = (&all, &cases, &memory_said);
            scope.spawn(move || {
                for round in 0..20 {
                    for offset in 0..cases.len() {
                        let number = (offset * 7 + worker * 501 + round) % cases.len();
                        let mut was_asked = false;
                        let result = all.check(signed(1, &cases[number]), || {
                            was_asked = true;
                            is_good(number)
                        });
                        assert_eq!(result, is_good(number), "{number}");
                        memory_said.fetch_add(usize::from(!was_asked), Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert!(
        memory_said.into_inner() > 4 * 15 * 1300,
        "memory answers for most"
    );
}

#[test]
fn each_part_counts() {
    let all = memory();
    let good = &cases(1)[0];
    for _ in 0..2 {
        assert!(all.check(signed(1, good), || true));
    }
    let never = || -> bool { panic!("it is remembered") };
    assert!(all.check(signed(1, good), never));
    let mut others = vec![
        Signed {
            key: 2,
            ..signed(1, good)
        },
        Signed {
            algorithm: 1,
            ..signed(1, good)
        },
    ];
    let digests: Vec<[u8; 32]> = (0..32)
        .map(|place| {
            let mut digest = good.digest;
            digest[place] ^= 1;
            digest
        })
        .collect();
    others.extend(digests.iter().map(|digest| Signed {
        digest,
        ..signed(1, good)
    }));
    let signatures: Vec<Vec<u8>> = (0..good.signature.len())
        .map(|place| {
            let mut signature = good.signature.clone();
            signature[place] ^= 1;
            signature
        })
        .collect();
    others.extend(signatures.iter().map(|signature| Signed {
        signature,
        ..signed(1, good)
    }));
    others.push(Signed {
        signature: &good.signature[1..],
        ..signed(1, good)
    });
    for other in others {
        assert!(!all.check(other, || false));
    }
}

#[test]
fn a_flood_displaces_nothing_and_memory_is_bounded() {
    let all = memory();
    let cases = cases(40_000);
    let (used, flood) = cases.split_at(40);
    for case in used.iter().chain(used).chain(flood) {
        assert!(all.check(signed(1, case), || true));
    }
    let never = || -> bool { panic!("it is remembered") };
    for case in used {
        assert!(all.check(signed(1, case), never));
    }
    for case in flood.iter().flat_map(|case| [case, case]) {
        assert!(all.check(signed(1, case), || true));
    }
    let count = all.len();
    assert!(count > SETS && count <= SETS * PLACES, "{count}");
}
