//! The only thread of the module's own: Envoy has no timers for HTTP filters, and does not wake workers by
//! itself.
//!
//! It has no engine and decides nothing. At the right time it commits a scheduler, and Envoy calls the thread
//! of that scheduler.

mod alarm;

use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use crate::filter::Filter;
use crate::logger::now;
use alarm::Alarm;

#[derive(Debug)]
struct Watched {
    filters: Vec<Weak<Filter>>,
    is_running: bool,
}

static WATCHED: Mutex<Watched> = Mutex::new(Watched {
    filters: Vec::new(),
    is_running: false,
});

static ALARM: LazyLock<Alarm> = LazyLock::new(Alarm::new);

/// The longest sleep, in milliseconds.
const LONGEST: u64 = 1000;

/// A configuration needs the clock from now on. False if the system provides no thread.
pub(crate) fn watch(filter: &Arc<Filter>) -> bool {
    let mut watched = WATCHED.lock().unwrap_or_else(PoisonError::into_inner);
    watched.filters.push(Arc::downgrade(filter));
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
    let filters: Vec<Arc<Filter>> = {
        let mut watched = WATCHED.lock().unwrap_or_else(PoisonError::into_inner);
        watched.filters.retain(|filter| filter.strong_count() > 0);
        watched.filters.iter().filter_map(Weak::upgrade).collect()
    };
    let now_is = now().as_millis();
    let mut next = now_is.saturating_add(LONGEST);
    for filter in filters {
        next = next.min(filter.wake_due(now_is, has_news));
    }
    ALARM.sleep(next, || {
        Duration::from_millis(next.saturating_sub(now().as_millis()).max(1))
    });
}
