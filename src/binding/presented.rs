//! A token in its request, for the checks of its binding.

use super::nonce::NonceSecret;
use crate::request::RequestHead;

/// A token in its request.
#[derive(Clone, Copy, Debug)]
pub struct Presented<'a> {
    /// Its text.
    pub token: &'a [u8],
    /// Whether its scheme is `DPoP`, and not `Bearer`.
    pub by_dpop: bool,
    /// The request.
    pub request: &'a RequestHead,
    /// The secret of the process for nonces, for a provider without a secret of its own.
    pub nonce_secret: Option<&'a NonceSecret>,
}
