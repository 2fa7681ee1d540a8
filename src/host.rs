//! The proxy-wasm side: callbacks of the host in, host calls out, and no rule of its own.
//!
//! The only place that names `proxy_wasm` and `log`. Everything from outside is bytes here, and no host call can panic:
//! they go through [`abi`], not through the SDK's own, which panics on every status that it does not expect.

mod abi;
mod filter;
mod key_log;
mod metrics;
mod root;
mod shared_data;
mod stream;

use proxy_wasm::types::LogLevel;

/// Registers the callbacks; called once when the module is loaded.
pub(crate) fn start() {
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|id| Box::new(root::Root::new(id)));
}

/// Follows the host's log level, so that a line that nobody reads is never written.
fn follow_log_level() {
    proxy_wasm::set_log_level(match abi::log_level() {
        Ok(0) => LogLevel::Trace,
        Ok(1) => LogLevel::Debug,
        Ok(2) => LogLevel::Info,
        Ok(3) => LogLevel::Warn,
        Ok(_) => LogLevel::Error,
        Err(_) => LogLevel::Info,
    });
}
