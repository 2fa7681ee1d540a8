//! Which claims of a provider's tokens become headers or filter state, and which headers the filter owns.

use std::rc::Rc;

use crate::claims::ClaimPath;

/// What a provider's tokens say in headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderRules {
    /// The owned header that takes the payload, as the token has it (base64url).
    pub payload: Option<usize>,
    /// The payload in that header is padded (`pad_forward_payload_header`).
    pub pads_payload: bool,
    /// Claims that are passed on.
    pub claims: Vec<ClaimToHeader>,
}

/// A claim that is passed on in a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimToHeader {
    /// Which claim.
    pub claim: ClaimPath,
    /// The number of the owned header that takes it.
    pub header: usize,
    /// How it is written.
    pub format: ValueFormat,
}

/// How a claim is written as a header's value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ValueFormat {
    /// A scalar as text; a list or an object as the base64 of its compact JSON, as jwt_authn does.
    #[default]
    Auto,
    /// A list of scalars with commas between them; a scalar as text.
    Csv,
    /// Compact JSON.
    Json,
    /// Base64 of the text of a string, or of the compact JSON of anything else.
    Base64,
}

/// What a provider's tokens leave behind in the filter state `wasm.jwt.metadata.<name>`: the nearest that a module can do to
/// the dynamic metadata that jwt_authn writes.
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

/// The headers that the filter owns: set or removed on every request that passes. Each name once, in lower case.
#[derive(Clone, Debug, Default)]
pub struct OwnedHeaders(Vec<Rc<str>>);

impl OwnedHeaders {
    /// The index of the header of this name, which the filter owns from now on.
    pub fn index_of(&mut self, name: &str) -> usize {
        if let Some(index) = self.0.iter().position(|owned| **owned == *name) {
            return index;
        }
        self.0.push(name.into());
        self.0.len().saturating_sub(1)
    }

    /// Whether the filter owns the header of this name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|owned| **owned == *name)
    }

    /// Whether it owns none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names, by their index.
    pub fn iter(&self) -> impl Iterator<Item = &Rc<str>> {
        self.0.iter()
    }
}
