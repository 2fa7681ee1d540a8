//! The claims of a provider's tokens that become headers or filter state, and the headers that the filter
//! owns.

use std::rc::Rc;

use crate::claims::ClaimPath;

/// The headers with the claims of a provider's tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderRules {
    /// The owned header that receives the payload, in base64url as in the token.
    pub payload: Option<usize>,
    /// The payload in that header is padded (`pad_forward_payload_header`).
    pub pads_payload: bool,
    /// The claims that become headers.
    pub claims: Vec<ClaimToHeader>,
}

/// A claim that becomes a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimToHeader {
    /// The claim.
    pub claim: ClaimPath,
    /// The index of the owned header that receives it.
    pub header: usize,
    /// The format of the value.
    pub format: ValueFormat,
}

/// The format of a claim as a header's value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ValueFormat {
    /// A scalar as text; a list or an object as the base64 of its compact JSON, as in jwt_authn.
    #[default]
    Auto,
    /// A list of scalars with commas between them; a scalar as text.
    Csv,
    /// Compact JSON.
    Json,
    /// Base64 of the text of a string, or of the compact JSON of anything else.
    Base64,
}

/// The filter state `wasm.jwt.metadata.<name>` with parts of a provider's tokens: a module's substitute for
/// the dynamic metadata of jwt_authn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// `payload_in_metadata`: the name for the claims.
    pub payload: Option<Box<str>>,
    /// `normalize_payload_in_metadata.space_delimited_claims`: strings that become lists there.
    pub space_delimited: Vec<Box<str>>,
    /// `header_in_metadata`: the name for the JOSE header.
    pub header: Option<Box<str>>,
    /// `failed_status_in_metadata`: the name for the reason of a refusal.
    pub failed_status: Option<Box<str>>,
}

/// The headers that the filter owns: it sets or removes them on every allowed request. Each name is there
/// once, in lower case.
#[derive(Clone, Debug, Default)]
pub struct OwnedHeaders(Vec<Rc<str>>);

impl OwnedHeaders {
    /// The index of the header with this name, which the filter owns from now on.
    pub fn index_of(&mut self, name: &str) -> usize {
        if let Some(index) = self.0.iter().position(|owned| **owned == *name) {
            return index;
        }
        self.0.push(name.into());
        self.0.len().saturating_sub(1)
    }

    /// Whether the filter owns the header with this name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|owned| **owned == *name)
    }

    /// Whether the filter owns no header.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names, by their index.
    pub fn iter(&self) -> impl Iterator<Item = &Rc<str>> {
        self.0.iter()
    }
}
