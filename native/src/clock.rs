//! The only thread of the module's own: Envoy has no timers for HTTP filters, and does not wake workers by
//! itself.
//!
//! It has no engine and decides nothing. At the right time it commits a scheduler, and Envoy calls the thread
//! of that scheduler.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use crate::filter::Filter;
use crate::logger::now;

#[derive(Debug)]
struct Clock {
    state: Mutex<State>,
    poked: Condvar,
    /// The end of the clock's sleep, in milliseconds; the largest number while it is awake.
    sleeps_until: AtomicU64,
}

#[derive(Debug)]
struct State {
    filters: Vec<Weak<Filter>>,
    is_running: bool,
    is_poked: bool,
    /// A record was written: threads with waiting requests have to read it.
    has_news: bool,
}

static CLOCK: Clock = Clock {
    state: Mutex::new(State {
        filters: Vec::new(),
        is_running: false,
        is_poked: false,
        has_news: false,
    }),
    poked: Condvar::new(),
    sleeps_until: AtomicU64::new(u64::MAX),
};

/// The longest sleep, in milliseconds.
const LONGEST: u64 = 1000;

fn state() -> MutexGuard<'static, State> {
    CLOCK.state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A configuration needs the clock from now on. False if the system provides no thread.
pub(crate) fn watch(filter: &Arc<Filter>) -> bool {
    let mut state = state();
    state.filters.push(Arc::downgrade(filter));
    state.is_poked = true;
    CLOCK.poked.notify_one();
    if state.is_running {
        return true;
    }
    let begun = thread::Builder::new().name("jwt-clock".to_owned()).spawn(run);
    state.is_running = begun.is_ok();
    begun.is_ok()
}

/// Work is due at this time, which may be earlier than the clock knows.
pub(crate) fn due(at: u64) {
    if at < CLOCK.sleeps_until.load(Ordering::SeqCst) {
        state().is_poked = true;
        CLOCK.poked.notify_one();
    }
}

/// Threads with waiting requests have to read the new record.
pub(crate) fn wake_waiting() {
    state().has_news = true;
    CLOCK.poked.notify_one();
}

fn run() {
    loop {
        // Without its clock, the module would never decide a waiting request.
        if std::panic::catch_unwind(wake).is_err() {
            thread::sleep(Duration::from_millis(LONGEST));
        }
    }
}

/// Wakes the threads that are due, and sleeps until the next one is.
fn wake() {
    CLOCK.sleeps_until.store(u64::MAX, Ordering::SeqCst);
    let (filters, has_news) = {
        let mut state = state();
        state.filters.retain(|filter| filter.strong_count() > 0);
        state.is_poked = false;
        let has_news = std::mem::take(&mut state.has_news);
        let filters: Vec<Arc<Filter>> = state.filters.iter().filter_map(Weak::upgrade).collect();
        (filters, has_news)
    };
    let now_is = now().as_millis();
    let mut next = now_is.saturating_add(LONGEST);
    for filter in filters {
        next = next.min(filter.wake_due(now_is, has_news));
    }
    let state = state();
    if state.is_poked || state.has_news {
        return;
    }
    CLOCK.sleeps_until.store(next, Ordering::SeqCst);
    let sleep = Duration::from_millis(next.saturating_sub(now().as_millis()).max(1));
    drop(CLOCK.poked.wait_timeout(state, sleep));
}
