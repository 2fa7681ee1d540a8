//! A token as it was sent, for the checks of its binding.

use super::nonce::NonceSecret;
use crate::request::RequestHead;

/// A token as it was sent.
#[derive(Clone, Copy, Debug)]
pub struct Presented<'a> {
    /// Its text.
    pub token: &'a [u8],
    /// By the scheme `DPoP`, and not as a bearer token.
    pub by_dpop: bool,
    /// By which request.
    pub request: &'a RequestHead,
    /// What the process makes nonces with, where a provider has no secret for that.
    pub nonce_secret: Option<&'a NonceSecret>,
}
