//! The differences between hosts when they read a configuration.

use std::sync::Arc;

use crate::binding::nonce::NamedSecret;
use crate::jose::{JwkSet, JwksFault, ParsedJwkSet};

/// How a host reads a configuration.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// The host has written the text from a `google.protobuf.Struct`, so all its numbers were doubles.
    pub has_doubles: bool,
    /// The reader of `local_jwks`.
    pub read_keys: ReadKeys,
    /// The finder of secrets that the host gets under a name. A host without one refuses their names.
    pub find_secret: Option<FindSecret>,
}

impl Options {
    pub(super) fn with_doubles(self) -> Self {
        Self {
            has_doubles: true,
            ..self
        }
    }
}

/// Finds a secret by its name and by Envoy's `ConfigSource` for it, as JSON.
pub type FindSecret = fn(&str, Option<&str>) -> NamedSecret;

/// Reads a JWKS document. A host whose engines share memory hands in a function that returns the keys of a
/// document which another engine has read, so that it is parsed once.
#[derive(Clone, Copy, Debug)]
pub struct ReadKeys(pub fn(&[u8]) -> Result<Arc<ParsedJwkSet>, JwksFault>);

impl ReadKeys {
    pub(super) fn read(self, document: &[u8]) -> Result<Arc<ParsedJwkSet>, JwksFault> {
        (self.0)(document)
    }
}

impl Default for ReadKeys {
    fn default() -> Self {
        Self(|document| JwkSet::parse(document).map(Arc::new))
    }
}
