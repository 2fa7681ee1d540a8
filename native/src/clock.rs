//! The only thread of the module's own: Envoy has no timers for HTTP filters, and does not wake workers by
//! itself.
//!
//! It has no engine and decides nothing. At the right time it commits a scheduler, and Envoy calls the thread
//! of that scheduler.

mod alarm;

use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use crate::logger::now;
use alarm::Alarm;

/// Something with threads that the clock wakes.
pub(crate) trait Wake: Send + Sync {
    /// Calls the threads that are due, and returns the time of the next one, in milliseconds. After news,
    /// every waiting request is due.
    fn wake_due(&self, now: u64, has_news: bool) -> u64;
}

struct Watched {
    sleepers: Vec<Weak<dyn Wake>>,
    is_running: bool,
}

static WATCHED: Mutex<Watched> = Mutex::new(Watched {
    sleepers: Vec::new(),
    is_running: false,
});

static ALARM: LazyLock<Alarm> = LazyLock::new(Alarm::new);

/// The longest sleep, in milliseconds.
const LONGEST: u64 = 1000;

/// Wakes these threads from now on, until the value is dropped. False if the system provides no thread for
/// the clock.
pub(crate) fn watch(sleeper: Weak<dyn Wake>) -> bool {
    let mut watched = WATCHED.lock().unwrap_or_else(PoisonError::into_inner);
    watched.sleepers.push(sleeper);
    if watched.is_running {
        ALARM.due(0);
        return true;
    }
    let begun = thread::Builder::new().name("jwt-clock".to_owned()).spawn(run);
    watched.is_running = begun.is_ok();
    begun.is_ok()
}

/// Work is due at this time, which may be earlier than the clock knows.
pub(crate) fn due(at: u64) {
    ALARM.due(at);
}

/// Threads with waiting requests have to read the new record.
pub(crate) fn wake_waiting() {
    ALARM.bring_news();
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
    let has_news = ALARM.begin();
    let sleepers: Vec<Arc<dyn Wake>> = {
        let mut watched = WATCHED.lock().unwrap_or_else(PoisonError::into_inner);
        watched.sleepers.retain(|sleeper| sleeper.strong_count() > 0);
        watched.sleepers.iter().filter_map(Weak::upgrade).collect()
    };
    let now_is = now().as_millis();
    let mut next = now_is.saturating_add(LONGEST);
    for sleeper in sleepers {
        next = next.min(sleeper.wake_due(now_is, has_news));
    }
    ALARM.sleep(next, || {
        Duration::from_millis(next.saturating_sub(now().as_millis()).max(1))
    });
}
