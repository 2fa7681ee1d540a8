//! proxy-wasm-jwt: verifies the JSON Web Token of each request inside Envoy and decides.

#![deny(unsafe_code)]

pub mod authenticator;
pub mod claims;
pub mod config;
pub mod credential;
pub mod denial;
pub mod edits;
mod forward;
mod host;
pub mod jose;
pub mod json;
pub mod keys;
mod percent;
pub mod policy;
pub mod reply;
pub mod request;
pub mod time;

/// The module's entry, which the host calls once.
mod entry {
    proxy_wasm::main! {{ crate::host::start(); }}
}
