//! The exported functions of the module under a stand-in for Envoy that is as hostile as Envoy's interface
//! allows: it frees the memory that it hands out as soon as the interface permits, and checks the arguments
//! of each call.
//!
//! The order of events is drawn from a seed, so that a failure can be seen again; `NATIVE_FUZZ_SECONDS` runs
//! further seeds. `scripts/native-asan.sh` runs the same under AddressSanitizer.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::undocumented_unsafe_blocks,
    clippy::multiple_unsafe_ops_per_block,
    missing_docs,
    reason = "a test that fails is a test that does its work"
)]

mod envoy;
mod events;

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use events::Worker;
use proxy_wasm_jwt::jose::JwkSet;

/// An allocator that sees a later use of freed memory without a sanitizer, too. It spoils what is freed, and
/// keeps it for a while to see whether anybody writes there.
struct Spoiling;

/// A byte that no address and no length consists of.
const SPOILT: u8 = 0xdd;

/// The module's part of a stream is smaller.
const LARGEST_KEPT: usize = 256;

/// The memory that was freed last, as addresses.
static FREED: Mutex<Freed> = Mutex::new(Freed {
    next: 0,
    all: [None; 512],
});

struct Freed {
    next: usize,
    all: [Option<(usize, Layout)>; 512],
}

unsafe impl GlobalAlloc for Spoiling {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        unsafe { memory.write_bytes(SPOILT, layout.size()) };
        if layout.size() > LARGEST_KEPT {
            return unsafe { System.dealloc(memory, layout) };
        }
        let oldest = {
            let mut freed = FREED.lock().unwrap_or_else(PoisonError::into_inner);
            let next = freed.next;
            freed.next = (next + 1) % freed.all.len();
            freed.all[next].replace((memory.expose_provenance(), layout))
        };
        let Some((address, layout)) = oldest else { return };
        let memory = std::ptr::with_exposed_provenance_mut::<u8>(address);
        let bytes = unsafe { std::slice::from_raw_parts(memory, layout.size()) };
        if bytes.iter().any(|byte| *byte != SPOILT) {
            // The test's own output would allocate memory.
            let _ = std::io::stderr().write_all(b"memory was written after it was freed\n");
            std::process::abort();
        }
        unsafe { System.dealloc(memory, layout) }
    }
}

// ThreadSanitizer takes the lock of this allocator for an order between threads, and would miss races.
#[cfg_attr(not(thread_sanitizer), global_allocator)]
static SPOILING: Spoiling = Spoiling;

/// Events of one run.
const EVENTS: usize = 600;

/// The tests run one at a time, because they count events of the whole process.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn no_order_of_events_breaks_the_rules() {
    let _alone = alone();
    for seed in 0..800 {
        events::run(seed, EVENTS);
    }
    events::REACHED.check();
    let seconds = std::env::var("NATIVE_FUZZ_SECONDS").ok();
    let seconds = seconds.and_then(|text| text.parse().ok()).unwrap_or(0);
    let (begun, mut seed) = (Instant::now(), 1_000);
    while begun.elapsed() < Duration::from_secs(seconds) {
        events::run(seed, EVENTS);
        seed += 1;
    }
}

/// The input of a fuzzer: native/fuzz has the fuzzer.
#[test]
fn no_bytes_break_the_rules() {
    let _alone = alone();
    for length in 0..200_u32 {
        let bytes: Vec<u8> = (0..length * 7)
            .map(|place| (place.wrapping_mul(length.wrapping_mul(2_654_435_761) | 1) >> 11).to_le_bytes()[0])
            .collect();
        events::run_given(&bytes);
    }
}

#[test]
fn workers_share_one_configuration() {
    let _alone = alone();
    events::run_workers(4, 400);
}

/// How many key sets the process has parsed while this ran: each has the next number.
fn parses_during(run: impl FnOnce()) -> u64 {
    let number = || {
        JwkSet::parse(events::keys().as_bytes())
            .expect("keys")
            .set
            .number()
    };
    let before = number();
    run();
    number() - before - 1
}

/// A good token of each kind of key passes each of four workers, and a bad one passes none.
fn four_workers_decide(main: &events::Main) {
    let workers: Vec<_> = (0..4).map(|worker| Worker::new(main, worker)).collect();
    std::thread::scope(|scope| {
        for worker in &workers {
            scope.spawn(|| worker.decide_each_token());
        }
    });
}

#[test]
fn keys_are_parsed_once_for_all_workers() {
    let _alone = alone();
    let local = parses_during(|| {
        let main = events::Main::with_local_keys();
        four_workers_decide(&main);
        main.end();
    });
    assert_eq!(local, 1, "local_jwks");
    let remote = parses_during(|| {
        let main = events::Main::with_remote_keys("once");
        main.fetch();
        four_workers_decide(&main);
        // A configuration that takes the place of another has its keys at once.
        let next = events::Main::with_remote_keys("once");
        four_workers_decide(&next);
        main.end();
        four_workers_decide(&next);
        next.end();
    });
    assert_eq!(remote, 1, "remote_jwks");
}
