//! The data that the threads of one configuration share. This file must not know an engine, because each
//! engine stays on its thread.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use proxy_wasm_jwt::account::RefusalSummary;
use proxy_wasm_jwt::authenticator::Event;
use proxy_wasm_jwt::denial::Denial;
use proxy_wasm_jwt::settings::Config;
use proxy_wasm_jwt::time::UnixTime;

use crate::binding::{ConfigScheduler, Scheduler};
use crate::clock;
use crate::metrics::Metrics;
use crate::secrets::Secrets;
use crate::store::Source;

/// The most events on their way to the main thread. A flood of invented `kid`s displaces none of them. A
/// later request reports an omitted event again.
const MOST_EVENTS: usize = 1024;

/// The delay before another stream is woken, if the first one had no effect: it may just have ended.
const AGAIN: u64 = 20;

/// See the module.
#[derive(Debug)]
pub(crate) struct Filter {
    /// The configuration as Envoy passed it, with the contents of its files. Each worker parses it for
    /// itself.
    pub(crate) text: Box<[u8]>,
    pub(crate) metrics: Metrics,
    pub(crate) secrets: Secrets,
    /// Lives as long as the configuration.
    _sources: Vec<Arc<Source>>,
    /// The scheduler of the main thread; gone with the configuration.
    scheduler: Mutex<Option<ConfigScheduler>>,
    /// The time of the next call of the main thread, in milliseconds.
    main_due: AtomicU64,
    waiting: Mutex<Waiting>,
    /// Keys and clusters that workers report, for the engine that fetches.
    for_main: Mutex<Vec<Event>>,
    is_gone: AtomicBool,
    /// The refusals of all workers, for the log.
    refusals: Mutex<RefusalSummary>,
}

/// The waiting streams.
#[derive(Debug, Default)]
struct Waiting {
    /// The scheduler of each, and its worker.
    streams: HashMap<u64, (u32, Scheduler)>,
    next: u64,
    /// The time at which a stream of a worker has to be woken, in milliseconds.
    due: HashMap<u32, u64>,
}

/// Only complete values are written under these locks, so they are consistent after a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Filter {
    pub(crate) fn new(
        text: &[u8],
        metrics: Metrics,
        secrets: Secrets,
        sources: Vec<Arc<Source>>,
        scheduler: Option<ConfigScheduler>,
    ) -> Self {
        Self {
            text: text.into(),
            metrics,
            secrets,
            _sources: sources,
            scheduler: Mutex::new(scheduler),
            main_due: AtomicU64::new(u64::MAX),
            waiting: Mutex::default(),
            for_main: Mutex::default(),
            is_gone: AtomicBool::new(false),
            refusals: Mutex::default(),
        }
    }

    // --- the main thread

    /// Lets Envoy call the main thread now.
    pub(crate) fn call_main(&self) {
        if let Some(scheduler) = &*lock(&self.scheduler) {
            scheduler.commit();
        }
    }

    /// Lets Envoy call the main thread at this time, at the latest.
    pub(crate) fn call_main_at(&self, at: u64) {
        self.main_due.store(at, Ordering::SeqCst);
        clock::due(at);
    }

    /// The configuration is replaced, and its last stream has ended.
    pub(crate) fn end(&self) {
        self.is_gone.store(true, Ordering::Release);
        lock(&self.scheduler).take();
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Acquire)
    }

    // --- events of the workers

    /// The engine that fetches has to handle this event of a worker's engine.
    pub(crate) fn pass_to_main(&self, event: Event) {
        let is_first = {
            let mut events = lock(&self.for_main);
            if events.len() < MOST_EVENTS {
                events.push(event);
            }
            events.len() == 1
        };
        if is_first {
            self.call_main();
        }
    }

    pub(crate) fn take_events(&self) -> Vec<Event> {
        std::mem::take(&mut lock(&self.for_main))
    }

    // --- streams that wait

    /// A stream of this worker waits. Returns the identifier with which to wake it.
    pub(crate) fn wait(&self, worker: u32, scheduler: Scheduler) -> u64 {
        let mut waiting = lock(&self.waiting);
        let id = waiting.next;
        waiting.next = id.wrapping_add(1);
        waiting.streams.insert(id, (worker, scheduler));
        id
    }

    /// The stream no longer waits.
    pub(crate) fn end_wait(&self, id: u64) {
        lock(&self.waiting).streams.remove(&id);
    }

    /// Wakes one stream.
    pub(crate) fn wake(&self, id: u64) {
        if let Some((_, scheduler)) = lock(&self.waiting).streams.get(&id) {
            scheduler.commit();
        }
    }

    /// A stream of this worker has to be woken at this time.
    pub(crate) fn wake_worker_at(&self, worker: u32, at: u64) {
        lock(&self.waiting).due.insert(worker, at);
        clock::due(at);
    }

    // --- the log

    /// Counts a request that was refused, or that shadow mode let through.
    pub(crate) fn note_refusal(&self, denial: &Denial, is_shadowed: bool, now: UnixTime) {
        lock(&self.refusals).note(denial, is_shadowed, now);
    }

    /// Logs the refusals that are due.
    pub(crate) fn sum_up_refusals(&self, config: &Config, now: UnixTime) {
        loop {
            let due = lock(&self.refusals).next_due(now);
            let Some(refusals) = due else { return };
            log::info!("{}", refusals.line(config));
        }
    }
}

impl clock::Wake for Filter {
    fn wake_due(&self, now: u64, has_news: bool) -> u64 {
        let mut next = self.main_due.load(Ordering::SeqCst);
        if next <= now {
            // If the main thread sets another time meanwhile, that time counts.
            let idle = now.saturating_add(1000);
            let _ = self
                .main_due
                .compare_exchange(next, idle, Ordering::SeqCst, Ordering::SeqCst);
            self.call_main();
            next = idle;
        }
        let mut waiting = lock(&self.waiting);
        let Waiting { streams, due, .. } = &mut *waiting;
        due.retain(|worker, at| {
            if *at > now && !has_news {
                next = next.min(*at);
                return true;
            }
            let Some((_, scheduler)) = streams.values().find(|(of, _)| of == worker) else {
                return false;
            };
            scheduler.commit();
            *at = now.saturating_add(AGAIN);
            next = next.min(*at);
            true
        });
        next
    }
}

// These types cross threads, and the compiler checks that they may.
const _: () = {
    const fn is_shared<T: Send + Sync>() {}
    is_shared::<Filter>();
};
