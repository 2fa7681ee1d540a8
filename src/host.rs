//! The proxy-wasm side: callbacks of the host in, host calls out, and no rule of its own.
//!
//! The only place that names `proxy_wasm` and `log`. Everything from outside is bytes here, and no host call can panic:
//! they go through `abi`, not through the SDK's own, which panics on every status that it does not expect.
//!
//! What every host reports to operators in the same words is public: another host has other calls, and these words.

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
