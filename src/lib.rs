//! proxy-wasm-jwt: verifies the JSON Web Token of each request inside Envoy and decides.

pub mod jose;
pub mod json;
