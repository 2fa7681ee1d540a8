//! `jwtctl convert`, on the real binary. In a real Envoy, the original and its conversion decide the same
//! requests.

#![cfg(test)]

mod common;

#[path = "convert/clients.rs"]
mod clients;
#[path = "convert/envoy_gateway.rs"]
mod envoy_gateway;
#[path = "convert/errors.rs"]
mod errors;
#[path = "convert/istio.rs"]
mod istio;
#[path = "convert/jwt_authn.rs"]
mod jwt_authn;
