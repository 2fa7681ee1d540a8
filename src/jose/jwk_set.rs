//! JWK sets (RFC 7517 section 5).
//!
//! Owns the split of a document into keys, and which of them a token asks for. It must not know how the document
//! was fetched or how long it is good for.

use std::fmt;

use super::algorithm::Algorithm;
use super::jwk::{Jwk, JwkFault};
use crate::json::{JsonError, Object};

/// Why a document gives no key set at all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JwksFault {
    /// The document is not one JSON object, or names a member twice.
    Json(JsonError),
    /// There is no `keys`.
    KeysMissing,
    /// `keys` is not an array.
    KeysNotAnArray,
    /// There are more than [`JwkSet::MAX_KEYS`] keys.
    TooManyKeys,
    /// None of the keys can be used.
    NoUsableKey,
}

impl fmt::Display for JwksFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(fault) => write!(formatter, "the key set is faulty: {fault}"),
            Self::KeysMissing => formatter.write_str("the key set has no keys member"),
            Self::KeysNotAnArray => formatter.write_str("keys is not an array"),
            Self::TooManyKeys => formatter.write_str("the key set has too many keys"),
            Self::NoUsableKey => formatter.write_str("the key set has no usable key"),
        }
    }
}

impl std::error::Error for JwksFault {}

/// The usable keys of one document, in its order, found by `kid`.
#[derive(Debug, PartialEq, Eq)]
pub struct JwkSet {
    keys: Vec<Jwk>,
    /// Positions of the keys that have a `kid`, ordered by it; keys that share one stay in document order.
    by_key_id: Vec<usize>,
}

/// A key set, and what was left out of it.
#[derive(Debug)]
pub struct ParsedJwkSet {
    /// The usable keys, at least one.
    pub set: JwkSet,
    /// The others: position in `keys`, and why.
    pub skipped: Vec<(usize, JwkFault)>,
}

impl JwkSet {
    /// How many keys a document may have, the unusable ones included.
    pub const MAX_KEYS: usize = 200;

    /// How many keys are tried for a token that names none: each costs a signature check.
    pub const MAX_KEYS_WITHOUT_KID: usize = 4;

    /// Reads a document and skips the keys that cannot be used one by one. RFC 7517 section 5: "Implementations SHOULD
    /// ignore JWKs within a JWK Set that use 'kty' […] values that are not understood by them, that are missing
    /// required members, or for which values are out of the supported ranges."
    ///
    /// # Errors
    ///
    /// Fails with a [`JwksFault`] when the document is no key set, or none of its keys is usable.
    pub fn parse(document: &[u8]) -> Result<ParsedJwkSet, JwksFault> {
        let document = Object::outline(document).map_err(JwksFault::Json)?;
        let elements = document.member("keys").ok_or(JwksFault::KeysMissing)?;
        let elements = elements.as_array().ok_or(JwksFault::KeysNotAnArray)?;
        if elements.len() > Self::MAX_KEYS {
            return Err(JwksFault::TooManyKeys);
        }
        let mut keys = Vec::with_capacity(elements.len());
        let mut skipped = Vec::new();
        for (index, element) in elements.into_iter().enumerate() {
            let key = Object::parse(element.text().as_bytes())
                .map_err(|fault| match fault {
                    JsonError::NotAnObject => JwkFault::NotAnObject,
                    fault => JwkFault::Json(fault),
                })
                .and_then(|object| Jwk::parse(&object));
            match key {
                Ok(key) => keys.push(key),
                Err(fault) => skipped.push((index, fault)),
            }
        }
        if keys.is_empty() {
            return Err(JwksFault::NoUsableKey);
        }
        Ok(ParsedJwkSet {
            set: Self::new(keys),
            skipped,
        })
    }

    fn new(keys: Vec<Jwk>) -> Self {
        let mut named: Vec<(&str, usize)> = keys
            .iter()
            .enumerate()
            .filter_map(|(index, key)| Some((key.key_id()?, index)))
            .collect();
        named.sort_unstable();
        let by_key_id = named.into_iter().map(|(_, index)| index).collect();
        Self { keys, by_key_id }
    }

    /// How many usable keys there are, never none.
    #[must_use]
    #[expect(
        clippy::len_without_is_empty,
        reason = "a set without usable keys does not exist"
    )]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// The usable keys, in document order.
    #[must_use]
    pub fn keys(&self) -> &[Jwk] {
        &self.keys
    }

    /// The keys to try for a token of `algorithm`: with a `kid` those of exactly this `kid`, without one the first
    /// [`JwkSet::MAX_KEYS_WITHOUT_KID`]; only keys that fit the algorithm, in document order.
    pub fn candidates<'s>(
        &'s self,
        algorithm: Algorithm,
        key_id: Option<&str>,
    ) -> impl Iterator<Item = &'s Jwk> + use<'s> {
        let (named, unnamed, limit): (_, &[Jwk], _) = match key_id {
            Some(key_id) => (self.with_key_id(key_id), &[], usize::MAX),
            None => (&[][..], &self.keys, Self::MAX_KEYS_WITHOUT_KID),
        };
        named
            .iter()
            .filter_map(|index| self.keys.get(*index))
            .chain(unnamed)
            .filter(move |key| key.fits(algorithm))
            .take(limit)
    }

    /// Whether any key has exactly this `kid`, whatever its algorithm.
    #[must_use]
    pub fn has_kid(&self, key_id: &str) -> bool {
        !self.with_key_id(key_id).is_empty()
    }

    fn with_key_id(&self, key_id: &str) -> &[usize] {
        let name = |index: &usize| self.keys.get(*index).and_then(Jwk::key_id);
        let start = self.by_key_id.partition_point(|index| name(index) < Some(key_id));
        let rest = self.by_key_id.get(start..).unwrap_or_default();
        let count = rest.partition_point(|index| name(index) == Some(key_id));
        rest.get(..count).unwrap_or_default()
    }
}
