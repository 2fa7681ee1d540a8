//! The proxy-wasm side: callbacks of the host in, host calls out, and no rule of its own.
//!
//! The only place that names `proxy_wasm` and `log`. Everything from outside is bytes here, and no host call can panic:
//! they go through [`abi`], not through the SDK's own, which panics on every status that it does not expect.

mod abi;
mod crypto;
mod filter;
mod key_log;
mod logger;
mod metrics;
mod root;
mod shared_data;
mod stream;

/// Registers the callbacks; called once when the module is loaded.
pub(crate) fn start() {
    logger::start();
    proxy_wasm::set_root_context(|id| Box::new(root::Root::new(id)));
}
