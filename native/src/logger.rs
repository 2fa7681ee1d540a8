//! Envoy's log behind the `log` facade, and the message of a panic.

use std::hash::{BuildHasher as _, RandomState};
use std::panic;
use std::time::{SystemTime, UNIX_EPOCH};

use log::{Level, LevelFilter, Log, Metadata, Record};
use proxy_wasm_jwt::time::UnixTime;

use crate::binding;

struct EnvoyLog;

/// Envoy's number of a level.
const fn number(level: Level) -> i32 {
    match level {
        Level::Trace => 0,
        Level::Debug => 1,
        Level::Info => 2,
        Level::Warn => 3,
        Level::Error => 4,
    }
}

/// Envoy's highest level, which has no name in `log`.
const CRITICAL: i32 = 5;

/// Replaces the default logger and the default panic message. It may be called again.
pub(crate) fn start() {
    if log::set_logger(&EnvoyLog).is_ok() {
        log::set_max_level(LevelFilter::Trace);
        panic::set_hook(Box::new(|info| {
            binding::log(CRITICAL, &format!("a fault of the module: {info}"));
        }));
    }
}

impl Log for EnvoyLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        binding::log_enabled(number(metadata.level()))
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            binding::log(number(record.level()), &record.args().to_string());
        }
    }

    fn flush(&self) {}
}

/// The wall clock.
#[expect(clippy::disallowed_methods, reason = "this is the host, which has the clock")]
pub(crate) fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixTime::from_millis(proxy_wasm_jwt::time::millis(since))
}

/// A number that is unique to an engine, for its jitter.
pub(crate) fn seed() -> u64 {
    RandomState::new().hash_one(0)
}
