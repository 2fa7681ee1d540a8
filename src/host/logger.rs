//! The log of the host behind the `log` facade. It replaces the SDK's logger, which panics if the host
//! refuses a line.

use std::panic;

use log::{LevelFilter, Log, Metadata, Record};

use super::abi;

struct HostLog;

/// Replaces the default logger and the default panic message. Further calls do no harm.
pub(super) fn start() {
    if log::set_logger(&HostLog).is_ok() {
        log::set_max_level(LevelFilter::Info);
        panic::set_hook(Box::new(|info| abi::log(CRITICAL, &info.to_string())));
    }
}

/// The ABI's highest level, which has no name in `log`.
const CRITICAL: u32 = 5;

/// Adopts the host's level, so that the filter does not write lines that the host discards.
pub(super) fn follow_level() {
    log::set_max_level(match abi::log_level() {
        Ok(0) => LevelFilter::Trace,
        Ok(1) => LevelFilter::Debug,
        Ok(2) => LevelFilter::Info,
        Ok(3) => LevelFilter::Warn,
        Ok(4) => LevelFilter::Error,
        Ok(_) => LevelFilter::Off,
        Err(_) => LevelFilter::Info,
    });
}

impl Log for HostLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let level = match record.level() {
                log::Level::Trace => 0,
                log::Level::Debug => 1,
                log::Level::Info => 2,
                log::Level::Warn => 3,
                log::Level::Error => 4,
            };
            abi::log(level, &record.args().to_string());
        }
    }

    fn flush(&self) {}
}
