//! The proxy-wasm side: callbacks of the host in, host calls out, and no rule of its own.
//!
//! Only this module names `proxy_wasm` and `log`. All input is bytes here, and no host call can panic: the
//! calls go through `abi`. The SDK's own functions panic on every status that they do not expect.
//!
//! The words that every host reports to operators are public, because another host has other calls, but the
//! same words.

#[cfg(feature = "wasm-host")]
mod abi;
#[cfg(feature = "wasm-host")]
mod crypto;
#[cfg(feature = "wasm-host")]
mod filter;
#[cfg(feature = "wasm-host")]
mod held;
pub mod key_log;
#[cfg(feature = "wasm-host")]
mod logger;
#[cfg(feature = "wasm-host")]
mod metrics;
#[cfg(feature = "wasm-host")]
mod root;
#[cfg(feature = "wasm-host")]
mod shared_data;
#[cfg(feature = "wasm-host")]
mod stream;
#[cfg(feature = "wasm-host")]
mod written;

pub use crate::forward::text_on_one_line;

/// Registers the callbacks; called once when the module is loaded.
#[cfg(feature = "wasm-host")]
pub(crate) fn start() {
    logger::start();
    proxy_wasm::set_root_context(|id| Box::new(root::Root::new(id)));
}
