//! JWK sets ([RFC 7517 section 5](https://www.rfc-editor.org/rfc/rfc7517#section-5)).
//!
//! It splits a document into keys, and selects the keys for a token. It must not know how the document was
//! fetched or how long it is valid.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use super::algorithm::{Algorithm, AlgorithmSet};
use super::certificate;
use super::fault::{JwkFault, JwksFault, OtherDocument, SkippedKeys};
use super::jwk::Jwk;
use crate::json::{Json, JsonError, Kind, Object};

/// The most members of a key, those of nested objects included. Issuers write at most half as many.
const MAX_MEMBERS: usize = 64;

/// The most members of all keys of a document together: eight, as issuers write them, for each key of a full
/// set.
const MAX_MEMBERS_OF_ALL: usize = 16_384;

/// The most elements of `keys` that are read, the unusable ones included.
const MAX_ELEMENTS: usize = 4_096;

/// The number of elements whose points are checked when the set is read. The points of further elements are
/// checked at their first use, because the check takes longer than parsing the rest of the key.
const CHECKED_AT_ONCE: usize = 64;

static NEXT_NUMBER: AtomicU64 = AtomicU64::new(0);

/// The usable keys of one document, in its order, with an index by `kid`.
#[derive(Debug, Default)]
pub struct JwkSet {
    number: u64,
    keys: Vec<Jwk>,
    /// Positions of the keys with a `kid`, sorted by it. Keys with the same `kid` stay in document order.
    by_key_id: Vec<usize>,
}

/// Sets of the same keys are equal, although each has a number of its own.
impl PartialEq for JwkSet {
    fn eq(&self, other: &Self) -> bool {
        self.keys == other.keys
    }
}

impl Eq for JwkSet {}

/// A key set, and the members that it leaves out.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ParsedJwkSet {
    /// The usable keys, at least one.
    pub set: JwkSet,
    /// The unusable members.
    pub skipped: SkippedKeys,
}

impl JwkSet {
    /// The most usable keys of a set. It skips further ones.
    pub const MAX_KEYS: usize = 2048;

    /// The most keys that the filter tries for a token without a `kid`, or with a `kid` that several keys
    /// have. Each costs a signature check.
    pub const MAX_TRIES: usize = 4;

    /// Parses a document: a JWK set, or an object with a certificate in PEM for each `kid`. It skips each key
    /// that it cannot use. [RFC 7517 section 5](https://www.rfc-editor.org/rfc/rfc7517#section-5):
    /// "Implementations SHOULD ignore JWKs within a JWK Set that use 'kty' […] values that are not understood
    /// by them, that are missing required members, or for which values are out of the supported ranges."
    ///
    /// # Errors
    ///
    /// Fails with a [`JwksFault`] if the document is not a key set, or none of its keys is usable.
    pub fn parse(document: &[u8]) -> Result<ParsedJwkSet, JwksFault> {
        // RFC 8259 section 8.1: parsers "MAY ignore the presence of a byte order mark". Some servers write
        // one.
        let document = document.strip_prefix(b"\xef\xbb\xbf").unwrap_or(document);
        let text = document;
        let document = Object::outline_up_to(Self::MAX_KEYS, text).map_err(|fault| {
            let is_other = matches!(fault, JsonError::Syntax | JsonError::NotAnObject);
            let other = OtherDocument::of_text(text).filter(|_| is_other);
            other.map_or(JwksFault::Json(fault), JwksFault::Other)
        })?;
        let mut reading = Reading::new();
        match document.member("keys") {
            // Null counts as an empty set: some issuers write it before they have a key.
            Some(keys) if keys.kind() == Kind::Null => {}
            Some(keys) => {
                if !keys.each_element(&mut |element| reading.take_jwk(element)) {
                    return Err(JwksFault::KeysNotAnArray);
                }
            }
            None => {
                let is_pem = |value: Json<'_>| value.as_str().is_some_and(|text| certificate::is_pem(&text));
                // Cloud Foundry's UAA publishes a single key with a copy of it in PEM.
                if document.member("kty").is_some() || !document.members().any(|(_, value)| is_pem(value)) {
                    return Err(match (document.member("jwks_uri"), document.member("kty")) {
                        (Some(_), _) => JwksFault::Other(OtherDocument::Discovery),
                        (None, Some(_)) => JwksFault::Other(OtherDocument::Key),
                        (None, None) => JwksFault::KeysMissing,
                    });
                }
                for (key_id, value) in document.members() {
                    reading.take_pem(key_id, value);
                }
            }
        }
        let Reading { keys, skipped, .. } = reading;
        if keys.is_empty() {
            return Err(JwksFault::NoUsableKey(skipped));
        }
        Ok(ParsedJwkSet {
            set: Self::new(keys),
            skipped,
        })
    }

    fn new(keys: Vec<Jwk>) -> Self {
        // Sorts by `kid`. Keys with the same `kid` stay in document order. The standard library's sort would
        // add 9 KB to the module.
        let mut by_key_id: Vec<usize> = Vec::with_capacity(keys.len());
        let name = |index: &usize| keys.get(*index).and_then(Jwk::key_id);
        for index in 0..keys.len() {
            let own = name(&index);
            if own.is_some() {
                let place = by_key_id.partition_point(|other| name(other) <= own);
                by_key_id.insert(place, index);
            }
        }
        Self {
            number: NEXT_NUMBER.fetch_add(1, Ordering::Relaxed),
            keys,
            by_key_id,
        }
    }

    /// A number that no other set of this process has: results of one set do not apply to another.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The number of usable keys, at least one.
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

    /// The keys to try for a token of `algorithm` and `issuer`. With a `kid`, these are the keys with exactly
    /// this `kid` or, if there are none, the keys without a `kid`. Without a `kid`, these are all keys. Of
    /// these, it returns the first [`JwkSet::MAX_TRIES`] that fit the algorithm and serve the issuer, in
    /// document order. The filter never tries a key with another `kid`, and tries a key without `alg` only
    /// for the algorithms in `of_any_key`.
    pub fn candidates<'s>(
        &'s self,
        algorithm: Algorithm,
        key_id: Option<&str>,
        issuer: Option<&'s str>,
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
            .filter(move |key| key.serves_issuer(issuer))
            .take(Self::MAX_TRIES)
    }

    /// Whether any key has exactly this `kid`, whatever its algorithm and issuer.
    #[must_use]
    pub fn has_kid(&self, key_id: &str) -> bool {
        !self.with_key_id(key_id).is_empty()
    }

    /// Whether any key has exactly this `kid` and serves this issuer, whatever its algorithm.
    #[must_use]
    pub fn has_kid_for(&self, key_id: &str, issuer: Option<&str>) -> bool {
        let named = self.with_key_id(key_id).iter();
        named
            .filter_map(|index| self.keys.get(*index))
            .any(|key| key.serves_issuer(issuer))
    }

    fn with_key_id(&self, key_id: &str) -> &[usize] {
        let name = |index: &usize| self.keys.get(*index).and_then(Jwk::key_id);
        let start = self.by_key_id.partition_point(|index| name(index) < Some(key_id));
        let rest = self.by_key_id.get(start..).unwrap_or_default();
        let count = rest.partition_point(|index| name(index) == Some(key_id));
        rest.get(..count).unwrap_or_default()
    }
}

/// The keys of a document so far.
struct Reading {
    position: usize,
    keys: Vec<Jwk>,
    skipped: SkippedKeys,
    /// The number of further members that the keys may have.
    members: usize,
}

impl Reading {
    fn new() -> Self {
        Self {
            position: 0,
            keys: Vec::new(),
            skipped: SkippedKeys::default(),
            members: MAX_MEMBERS_OF_ALL,
        }
    }

    /// Reads an element of `keys`. Returns false after the last element that is to be read.
    fn take_jwk(&mut self, element: Json<'_>) -> bool {
        let is_full = self.keys.len() >= JwkSet::MAX_KEYS;
        if is_full && self.skipped.first().len() >= SkippedKeys::NAMED {
            self.take(None, Err(JwkFault::TooManyKeys));
        } else if element.kind() == Kind::Object {
            let most = MAX_MEMBERS.min(self.members);
            let room = Cell::new(most);
            let object = Object::parse_within(&room, element.text().as_bytes());
            let used = match &object {
                Ok(_) => most.saturating_sub(room.get()),
                Err(_) => most,
            };
            self.members = self.members.saturating_sub(used);
            match object {
                Err(fault) => self.take(None, Err(JwkFault::Json(fault))),
                Ok(object) => {
                    let key = Jwk::parse_published(&object, self.position < CHECKED_AT_ONCE);
                    let key_id = object.member("kid").and_then(Json::as_str);
                    self.take(key_id.as_deref(), key);
                }
            }
        } else {
            self.take(None, Err(JwkFault::NotAnObject));
        }
        self.position < MAX_ELEMENTS
    }

    fn take_pem(&mut self, key_id: &str, value: Json<'_>) {
        let key = match value.as_str() {
            Some(pem) => Jwk::of_pem(key_id, &pem),
            None => Err(JwkFault::CertificateMalformed),
        };
        self.take(Some(key_id), key);
    }

    fn take(&mut self, key_id: Option<&str>, key: Result<Jwk, JwkFault>) {
        match key {
            Ok(key) if self.keys.len() < JwkSet::MAX_KEYS => self.keys.push(key),
            Ok(_) => self.skipped.add(self.position, key_id, JwkFault::TooManyKeys),
            Err(fault) => self.skipped.add(self.position, key_id, fault),
        }
        self.position = self.position.saturating_add(1);
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

    /// The positions of the keys to try, in the set.
    fn tried(set: &JwkSet, algorithm: Algorithm, kid: Option<&str>) -> Vec<usize> {
        let position = |found: &Jwk| {
            set.keys()
                .iter()
                .position(|key| std::ptr::eq(key, found))
                .unwrap()
        };
        set.candidates(algorithm, kid, None, AlgorithmSet::OF_ANY_KEY)
            .map(position)
            .collect()
    }

    #[test]
    fn a_document_that_is_no_key_set_is_a_fault() {
        for (document, fault) in [
            ("", JwksFault::Json(JsonError::Syntax)),
            ("{\"keys\":[", JwksFault::Json(JsonError::Syntax)),
            ("7", JwksFault::Json(JsonError::NotAnObject)),
            ("<html>", JwksFault::Other(OtherDocument::Html)),
            (" []", JwksFault::Other(OtherDocument::List)),
            ("-----BEGIN PUBLIC KEY-----", JwksFault::Other(OtherDocument::Pem)),
            (
                "https://idp.example.com/jwks",
                JwksFault::Other(OtherDocument::Address),
            ),
            (r#"{"kty":"RSA"}"#, JwksFault::Other(OtherDocument::Key)),
            (
                r#"{"kty":"RSA","value":"-----BEGIN PUBLIC KEY-----"}"#,
                JwksFault::Other(OtherDocument::Key),
            ),
            (r#"{"jwks_uri":"x"}"#, JwksFault::Other(OtherDocument::Discovery)),
            (
                r#"{"keys":[],"keys":[]}"#,
                JwksFault::Json(JsonError::DuplicateMember),
            ),
            (r#"{"error":"x"}"#, JwksFault::KeysMissing),
            (r#"{"keys":{}}"#, JwksFault::KeysNotAnArray),
            (r#"{"keys":"-----BEGIN"}"#, JwksFault::KeysNotAnArray),
            (r#"{"keys":null}"#, JwksFault::NoUsableKey(SkippedKeys::default())),
            (r#"{"keys":[]}"#, JwksFault::NoUsableKey(SkippedKeys::default())),
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

        let fault = JwkSet::parse(br#"{"keys":[{"kty":"oct","kid":"a"},1]}"#).unwrap_err();
        assert_eq!(
            fault.to_string(),
            "the key set has no usable key: keys[0] (kid `a`): kty is oct, a shared secret; \
             keys[1]: not a JSON object"
        );
    }

    #[test]
    fn keys_beyond_the_most_are_skipped() {
        let keys = |count: usize| vec![format!("{P256}}}"); count].join(",");
        let full = parse(&keys(JwkSet::MAX_KEYS)).unwrap();
        assert!(full.set.len() == JwkSet::MAX_KEYS && full.skipped.is_empty());
        let more = parse(&keys(JwkSet::MAX_KEYS + 3)).unwrap();
        assert_eq!((more.set.len(), more.skipped.count()), (JwkSet::MAX_KEYS, 3));
        assert_eq!(more.skipped.first()[0].position, JwkSet::MAX_KEYS);
        assert_eq!(more.skipped.first()[0].fault, JwkFault::TooManyKeys);
        // Unusable elements do not count as keys, but the filter reads only a limited number of elements.
        let junk = format!("{}{P256}}}", "0,".repeat(MAX_ELEMENTS - 1));
        let junk = parse(&junk).unwrap();
        assert_eq!((junk.set.len(), junk.skipped.count()), (1, MAX_ELEMENTS - 1));
        let beyond = format!("{}{P256}}}", "0,".repeat(MAX_ELEMENTS));
        assert!(
            matches!(parse(&beyond), Err(JwksFault::NoUsableKey(skipped)) if skipped.count() == MAX_ELEMENTS)
        );
        assert_eq!(junk.skipped.first().len(), SkippedKeys::NAMED);
        assert!(junk.skipped.to_string().ends_with("; and 4079 more"));
    }

    #[test]
    fn the_keys_of_a_set_have_so_many_members_together() {
        let members: Vec<String> = (0..60).map(|number| format!(r#""{number}":0"#)).collect();
        let crowded = format!("{P256},{}}}", members.join(","));
        let count = MAX_MEMBERS_OF_ALL / 64 + 5;
        let parsed = parse(&vec![crowded.clone(); count].join(",")).unwrap();
        assert_eq!((parsed.set.len(), parsed.skipped.count()), (count - 5, 5));
        // Members of members count.
        let nested = crowded.replace(r#""0":0,"#, r#""m":{"#).replace("}", "}}");
        let parsed = parse(&vec![nested; count].join(",")).unwrap();
        assert_eq!((parsed.set.len(), parsed.skipped.count()), (count - 5, 5));
        assert_eq!(
            parsed.skipped.first()[0].fault,
            JwkFault::Json(JsonError::TooManyMembers)
        );
    }

    #[test]
    fn a_skipped_key_is_named_by_the_beginning_of_its_kid() {
        let kid = format!(r"\n\u0000`{}", "x".repeat(1_000));
        let parsed = parse(&format!(r#"{P256}}},{P256},"kid":"{kid}","use":"enc"}}"#)).unwrap();
        assert_eq!(
            parsed.skipped.to_string(),
            format!(r"keys[1] (kid `\n\0`{}`): use is not sig", "x".repeat(61))
        );
    }

    #[test]
    fn points_are_checked_in_any_number() {
        let off_curve = format!("{P256}}}").replace("\"x\":\"f83", "\"x\":\"f84");
        let small = r#"{"kty":"OKP","crv":"Ed25519","x":"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}"#;
        let mut keys = vec![format!("{ED25519}}}"); CHECKED_AT_ONCE];
        keys[0] = small.to_owned();
        keys[1] = off_curve.clone();
        keys.extend([ED25519, ED25519].map(|key| format!("{key}}}")));
        keys.extend([off_curve, small.to_owned()]);
        let parsed = parse(&keys.join(",")).unwrap();
        assert_eq!(parsed.skipped.count(), 2);
        assert_eq!(parsed.skipped.first()[0].fault, JwkFault::PointInvalid);
        assert_eq!(parsed.skipped.first()[1].fault, JwkFault::PointInvalid);
        // The last is checked when it is used: R of order one, and S of zero, are a signature of the neutral
        // element.
        let mut signature = [0; 64];
        signature[0] = 1;
        let last = parsed.set.keys().last().unwrap();
        assert!(!last.verify(Algorithm::EdDsa, b"message", &signature));
        let other = parsed.set.keys().iter().rev().nth(1).unwrap();
        assert!(other.fits(Algorithm::Es256));
        assert!((0..9_u8).all(|byte| !other.verify(Algorithm::Es256, b"message", &[byte; 64])));
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
            parsed
                .skipped
                .first()
                .iter()
                .map(|key| (key.position, key.fault))
                .collect::<Vec<_>>(),
            [
                (0, JwkFault::NotAnObject),
                (1, JwkFault::Json(JsonError::DuplicateMember)),
                (2, JwkFault::KeyTypeUnknown),
                (3, JwkFault::Json(JsonError::TooDeep)),
                (5, JwkFault::PrivateMember("d")),
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
        // A name that no key has: the filter tries keys without a name, and never keys with another name. An
        // empty name counts as none.
        for kid in ["", "A", "aa", "c", "abc", "\\u0061"] {
            assert_eq!(tried(&set, Algorithm::Es256, Some(kid)), [2, 4], "{kid}");
            assert!(!set.has_kid(kid), "{kid}");
        }
        assert!(set.has_kid("a") && set.has_kid("b") && set.has_kid("ab"));
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
        assert_eq!(set.candidates(Algorithm::Ps256, None, None, named).count(), 2);
    }
}
