//! JWK sets (RFC 7517 section 5).
//!
//! Owns the split of a document into keys, and which of them a token asks for. It must not know how the document
//! was fetched or how long it is good for.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use super::algorithm::{Algorithm, AlgorithmSet};
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
    /// None of the keys can be used; why the first cannot, if there is one.
    NoUsableKey(Option<JwkFault>),
}

impl fmt::Display for JwksFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(fault) => write!(formatter, "the key set is faulty: {fault}"),
            Self::KeysMissing => formatter.write_str("the key set has no keys member"),
            Self::KeysNotAnArray => formatter.write_str("keys is not an array"),
            Self::TooManyKeys => formatter.write_str("the key set has too many keys"),
            Self::NoUsableKey(None) => formatter.write_str("the key set has no keys"),
            Self::NoUsableKey(Some(fault)) => {
                write!(formatter, "the key set has no usable key (the first: {fault})")
            }
        }
    }
}

impl std::error::Error for JwksFault {}

/// How many members a document may have beside its keys, and each key, those of objects in it included. No issuer writes
/// half as many.
const MAX_MEMBERS: usize = 64;

static NEXT_NUMBER: AtomicU64 = AtomicU64::new(0);

/// The usable keys of one document, in its order, found by `kid`.
#[derive(Debug)]
pub struct JwkSet {
    number: u64,
    keys: Vec<Jwk>,
    /// Positions of the keys that have a `kid`, ordered by it; keys that share one stay in document order.
    by_key_id: Vec<usize>,
}

/// Sets of the same keys are equal, each with a number of its own.
impl PartialEq for JwkSet {
    fn eq(&self, other: &Self) -> bool {
        self.keys == other.keys
    }
}

impl Eq for JwkSet {}

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

    /// How many keys are tried for a token, be it that it names none, or that several have the name: each costs a signature
    /// check.
    pub const MAX_TRIES: usize = 4;

    /// Reads a document and skips the keys that cannot be used one by one. RFC 7517 section 5: "Implementations SHOULD
    /// ignore JWKs within a JWK Set that use 'kty' […] values that are not understood by them, that are missing
    /// required members, or for which values are out of the supported ranges."
    ///
    /// # Errors
    ///
    /// Fails with a [`JwksFault`] when the document is no key set, or none of its keys is usable.
    pub fn parse(document: &[u8]) -> Result<ParsedJwkSet, JwksFault> {
        let document = Object::outline_up_to(MAX_MEMBERS, document).map_err(JwksFault::Json)?;
        let elements = document.member("keys").ok_or(JwksFault::KeysMissing)?;
        let elements = elements
            .as_array_up_to(Self::MAX_KEYS)
            .ok_or(JwksFault::KeysNotAnArray)?;
        if elements.len() > Self::MAX_KEYS {
            return Err(JwksFault::TooManyKeys);
        }
        let mut keys = Vec::with_capacity(elements.len());
        let mut skipped = Vec::new();
        for (index, element) in elements.into_iter().enumerate() {
            let key = Object::parse_up_to(MAX_MEMBERS, element.text().as_bytes())
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
            return Err(JwksFault::NoUsableKey(skipped.first().map(|(_, fault)| *fault)));
        }
        Ok(ParsedJwkSet {
            set: Self::new(keys),
            skipped,
        })
    }

    fn new(keys: Vec<Jwk>) -> Self {
        let mut named: Vec<(&str, usize)> = Vec::with_capacity(keys.len());
        for (index, key) in keys.iter().enumerate() {
            if let Some(key_id) = key.key_id() {
                // Put where it belongs, behind those of its name: a set is small, and a sort is not.
                let place = named.partition_point(|(before, _)| *before <= key_id);
                named.insert(place, (key_id, index));
            }
        }
        let by_key_id = named.into_iter().map(|(_, index)| index).collect();
        Self {
            number: NEXT_NUMBER.fetch_add(1, Ordering::Relaxed),
            keys,
            by_key_id,
        }
    }

    /// A number that no other set of this process has: what was verified with one set is not with another.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
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

    /// The keys to try for a token of `algorithm`: with a `kid` those of exactly this `kid` or, where there are none, those
    /// without a name; without one all. Of these the first [`JwkSet::MAX_TRIES`] that fit the algorithm, in document order. A
    /// key of another name is never tried, and one without an `alg` of its own only for what is in `of_any_key`.
    pub fn candidates<'s>(
        &'s self,
        algorithm: Algorithm,
        key_id: Option<&str>,
        of_any_key: AlgorithmSet,
    ) -> impl Iterator<Item = &'s Jwk> + use<'s> {
        let named = key_id.map_or(&[][..], |key_id| self.with_key_id(key_id));
        let unnamed: &[Jwk] = if named.is_empty() { &self.keys } else { &[] };
        let only_nameless = key_id.is_some();
        let is_for_any = of_any_key.contains(algorithm);
        named
            .iter()
            .filter_map(|index| self.keys.get(*index))
            .chain(
                unnamed
                    .iter()
                    .filter(move |key| !only_nameless || key.key_id().is_none()),
            )
            .filter(move |key| key.fits(algorithm) && (is_for_any || key.algorithm().is_some()))
            .take(Self::MAX_TRIES)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7515 appendix A.3 and RFC 8037 appendix A, open for more members.
    const P256: &str = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0""#;
    const ED25519: &str = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo""#;

    fn parse(keys: &str) -> Result<ParsedJwkSet, JwksFault> {
        JwkSet::parse(format!(r#"{{"keys":[{keys}]}}"#).as_bytes())
    }

    /// The positions in the set of the keys that are to be tried.
    fn tried(set: &JwkSet, algorithm: Algorithm, kid: Option<&str>) -> Vec<usize> {
        let position = |found: &Jwk| {
            set.keys()
                .iter()
                .position(|key| std::ptr::eq(key, found))
                .unwrap()
        };
        set.candidates(algorithm, kid, AlgorithmSet::OF_ANY_KEY)
            .map(position)
            .collect()
    }

    #[test]
    fn a_document_that_is_no_key_set_is_a_fault() {
        for (document, fault) in [
            ("", JwksFault::Json(JsonError::Syntax)),
            ("<html>", JwksFault::Json(JsonError::Syntax)),
            ("[]", JwksFault::Json(JsonError::NotAnObject)),
            (
                r#"{"keys":[],"keys":[]}"#,
                JwksFault::Json(JsonError::DuplicateMember),
            ),
            (r#"{"error":"x"}"#, JwksFault::KeysMissing),
            (r#"{"keys":null}"#, JwksFault::KeysNotAnArray),
            (r#"{"keys":{}}"#, JwksFault::KeysNotAnArray),
            (r#"{"keys":[]}"#, JwksFault::NoUsableKey(None)),
            (
                r#"{"keys":[{"kty":"oct"},1]}"#,
                JwksFault::NoUsableKey(Some(JwkFault::Symmetric)),
            ),
        ] {
            assert_eq!(
                JwkSet::parse(document.as_bytes()).unwrap_err(),
                fault,
                "{document}"
            );
            assert!(!fault.to_string().is_empty() && !fault.to_string().ends_with('.'));
        }
        assert_eq!(
            JwkSet::parse(b"{\"keys\":[\"\xff\"]}").unwrap_err(),
            JwksFault::Json(JsonError::NotUtf8)
        );

        let keys = |count: usize| vec![format!("{P256}}}"); count].join(",");
        assert_eq!(
            parse(&keys(JwkSet::MAX_KEYS)).unwrap().set.len(),
            JwkSet::MAX_KEYS
        );
        assert_eq!(
            parse(&keys(JwkSet::MAX_KEYS + 1)).unwrap_err(),
            JwksFault::TooManyKeys
        );
    }

    #[test]
    fn keys_that_cannot_be_used_are_skipped_one_by_one() {
        let deep = format!(r#"{{"kty":{}{}}}"#, "[".repeat(40), "]".repeat(40));
        let keys = format!(
            r#"null, {P256},"kid":"a","kid":"a"}}, {{"kty":"AKP"}}, {deep}, {P256},"kid":"good"}}, {P256},"d":"AA"}}"#
        );
        let parsed = parse(&keys).unwrap();
        assert_eq!(parsed.set.len(), 1);
        assert_eq!(parsed.set.keys()[0].key_id(), Some("good"));
        assert_eq!(
            parsed.skipped,
            [
                (0, JwkFault::NotAnObject),
                (1, JwkFault::Json(JsonError::DuplicateMember)),
                (2, JwkFault::KeyTypeUnknown),
                (3, JwkFault::Json(JsonError::TooDeep)),
                (5, JwkFault::PrivateMembers),
            ]
        );
    }

    #[test]
    fn a_kid_finds_exactly_its_keys_in_document_order() {
        let keys = [
            format!(r#"{P256},"kid":"b"}}"#),
            format!(r#"{ED25519},"kid":"a"}}"#),
            format!("{P256}}}"),
            format!(r#"{P256},"kid":"\u0061"}}"#),
            format!(r#"{P256},"kid":""}}"#),
            format!(r#"{P256},"kid":"a","alg":"ES256"}}"#),
            format!(r#"{P256},"kid":"ab"}}"#),
        ];
        let set = parse(&keys.join(",")).unwrap().set;
        assert_eq!(tried(&set, Algorithm::Es256, Some("a")), [3, 5]);
        assert_eq!(tried(&set, Algorithm::EdDsa, Some("a")), [1]);
        assert_eq!(tried(&set, Algorithm::Es256, Some("b")), [0]);
        assert_eq!(tried(&set, Algorithm::Es256, Some("")), [4]);
        // A name that no key has: the key without a name is tried, those of other names never.
        for kid in ["A", "aa", "c", "abc", "\\u0061"] {
            assert_eq!(tried(&set, Algorithm::Es256, Some(kid)), [2], "{kid}");
            assert!(!set.has_kid(kid), "{kid}");
        }
        assert!(set.has_kid("a") && set.has_kid("b") && set.has_kid("") && set.has_kid("ab"));
        assert_eq!(tried(&set, Algorithm::Rs256, Some("a")), [0; 0]);
    }

    #[test]
    fn without_a_kid_a_few_keys_that_fit_are_tried() {
        let keys =
            [ED25519, P256, P256, ED25519, P256, P256, P256].map(|key| format!(r#"{key},"kid":"x"}}"#));
        let set = parse(&keys.join(",")).unwrap().set;
        assert_eq!(tried(&set, Algorithm::Es256, None), [1, 2, 4, 5]);
        assert_eq!(tried(&set, Algorithm::EdDsa, None), [0, 3]);
        assert_eq!(tried(&set, Algorithm::Ps256, None), [0; 0]);
    }

    #[test]
    fn with_a_kid_no_more_keys_are_tried() {
        let keys = vec![format!(r#"{P256},"kid":"a"}}"#); 100];
        let set = parse(&keys.join(",")).unwrap().set;
        assert_eq!(tried(&set, Algorithm::Es256, Some("a")), [0, 1, 2, 3]);
        let keys = vec![format!("{P256}}}"); 100];
        let set = parse(&keys.join(",")).unwrap().set;
        assert_eq!(tried(&set, Algorithm::Es256, Some("a")), [0, 1, 2, 3]);
    }

    #[test]
    fn an_rsa_key_is_for_pss_where_it_or_the_operator_says_so() {
        let n = format!("{}AQ", "_".repeat(340));
        let key = |more: &str| format!(r#"{{"kty":"RSA","n":"{n}","e":"AQAB"{more}}}"#);
        let keys = [key(""), key(r#","alg":"PS256""#), key(r#","alg":"RS256""#)];
        let set = parse(&keys.join(",")).unwrap().set;
        assert_eq!(tried(&set, Algorithm::Ps256, None), [1]);
        assert_eq!(tried(&set, Algorithm::Rs256, None), [0, 2]);
        let named = AlgorithmSet::from_iter([Algorithm::Ps256]);
        assert_eq!(set.candidates(Algorithm::Ps256, None, named).count(), 2);
    }
}
