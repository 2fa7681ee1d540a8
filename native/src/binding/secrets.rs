//! Generic secrets, which Envoy gets by SDS or has in its bootstrap. Envoy 1.40 and later supply them.

use std::ffi::c_void;
use std::num::NonZeroUsize;

use super::buffer::Buffer;
use super::config::ConfigHost;
use super::declarations::{GetSecret, newer};
use super::stream::Host;

/// A secret: the number that Envoy has given it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SecretId(NonZeroUsize);

/// Whether Envoy has the functions for secrets.
pub(crate) fn has_secrets() -> bool {
    newer().subscribe_secret.is_some()
}

impl ConfigHost<'_> {
    /// Subscribes to a secret; `None` if Envoy refuses. Only while the configuration is made.
    pub(crate) fn subscribe_secret(self, name: &str, sds_config: Option<&str>) -> Option<SecretId> {
        let source = sds_config.map_or(Buffer::EMPTY, |json| Buffer::of(json.as_bytes()));
        // SAFETY: rules 1 and 2.
        let number = unsafe { (newer().subscribe_secret?)(self.config, Buffer::of(name.as_bytes()), source) };
        NonZeroUsize::new(number).map(SecretId)
    }

    /// The secret; `None` if it has not arrived yet. On the main thread.
    pub(crate) fn secret(self, id: SecretId) -> Option<Vec<u8>> {
        read(newer().config_secret?, self.config, id)
    }
}

impl Host<'_> {
    /// The secret as this stream's thread has it; `None` if it has not arrived yet.
    pub(crate) fn secret(&self, id: SecretId) -> Option<Vec<u8>> {
        read(newer().stream_secret?, self.filter, id)
    }
}

/// Reads with the function for this handle.
fn read(get: GetSecret, handle: *mut c_void, id: SecretId) -> Option<Vec<u8>> {
    let mut value = Buffer::EMPTY;
    // SAFETY: rule 1; the result is a local.
    let is_found = unsafe { get(handle, id.0.get(), &raw mut value) };
    // SAFETY: rule 3; copied at once.
    is_found.then(|| unsafe { value.bytes() }.to_vec())
}
