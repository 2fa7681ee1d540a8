//! When the clock's thread wakes: the lock and the condition around its sleep.
//!
//! A thread that has work for a later time writes that time first, and then calls [`Alarm::due`]. The clock
//! calls [`Alarm::begin`] first, and then reads all times. So it reads the time, or `due` finds it awake or
//! about to sleep for too long, and ends that sleep.

use std::sync::PoisonError;
use std::time::Duration;

use crate::sync::{Condvar, Mutex, MutexGuard};

/// See the module.
#[derive(Debug)]
pub(crate) struct Alarm {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// The clock must not sleep before it has read all times again.
    is_poked: bool,
    /// A record was written: threads with waiting requests have to read it.
    has_news: bool,
    /// The end of the clock's sleep, in milliseconds; the largest number while it is awake.
    sleeps_until: u64,
}

impl Alarm {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::new(State {
                is_poked: false,
                has_news: false,
                sleeps_until: u64::MAX,
            }),
            changed: Condvar::new(),
        }
    }

    /// Only complete values are written under this lock, so they are consistent after a panic.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Work is due at this time, which may be earlier than the clock knows.
    pub(crate) fn due(&self, at: u64) {
        let mut state = self.state();
        if at < state.sleeps_until {
            state.is_poked = true;
            drop(state);
            self.changed.notify_one();
        }
    }

    /// Threads with waiting requests have to read the new record.
    pub(crate) fn bring_news(&self) {
        self.state().has_news = true;
        self.changed.notify_one();
    }

    /// The clock is awake, and reads all times after this call. Returns whether there is news.
    pub(crate) fn begin(&self) -> bool {
        let mut state = self.state();
        state.is_poked = false;
        state.sleeps_until = u64::MAX;
        std::mem::take(&mut state.has_news)
    }

    /// Sleeps until `next`, or until something happens. `length` is the time until then.
    pub(crate) fn sleep(&self, next: u64, length: impl FnOnce() -> Duration) {
        let mut state = self.state();
        if state.is_poked || state.has_news {
            return;
        }
        state.sleeps_until = next;
        drop(self.changed.wait_timeout(state, length()));
    }
}
