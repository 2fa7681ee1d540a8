//! Seals for the data of a process that other modules can write: a MAC over each entry and its name. The key
//! comes from the operator's secret, from the whole configuration, or from random bytes of the process.
//!
//! Every module with the same `vm_id` can read and write Envoy's shared data. A seal proves that a VM with
//! the same key wrote the entry, under this name. A seal hides nothing, except a secret that was passed to
//! [`SealKey::hide`]. It cannot prevent another module that knows the name from erasing an entry.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

use crate::json::{Json, Kind};

/// The length of a key, and of the MAC before each entry.
const SIZE: usize = SealKey::SIZE;

/// The purpose of each derived key: no key reveals anything about another (`info` in RFC 5869 section 3.2).
const FROM_SECRET: &[u8] = b"proxy-wasm-jwt/2/seal/from-secret";
const FROM_CONFIGURATION: &[u8] = b"proxy-wasm-jwt/2/seal/from-configuration";
const FROM_PROCESS: &[u8] = b"proxy-wasm-jwt/2/seal/from-process";
const FOR_ENTRIES: &[u8] = b"proxy-wasm-jwt/2/seal/entries";
const FOR_NAMES: &[u8] = b"proxy-wasm-jwt/2/seal/names";
const FOR_NONCES: &[u8] = b"proxy-wasm-jwt/2/seal/nonces";

/// The key of one configuration, or of all configurations with the same secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SealKey {
    entries: [u8; SIZE],
    nonces: [u8; SIZE],
    id: Box<str>,
    is_secret: bool,
}

impl SealKey {
    /// The length of a key.
    pub const SIZE: usize = 32;

    /// The key from an operator's secret.
    #[must_use]
    pub fn from_secret(secret: &[u8]) -> Self {
        Self::derive(FROM_SECRET, &Sha256::digest(secret).into())
    }

    /// The key from a configuration. It is the same for the same values, whatever the order of members and
    /// the notation of numbers.
    #[must_use]
    pub fn from_configuration(configuration: Json<'_>) -> Self {
        let mut hash = Sha256::new();
        digest(configuration, &mut hash);
        Self::derive(FROM_CONFIGURATION, &hash.finalize().into())
    }

    /// The key from random bytes of a process.
    #[must_use]
    pub fn from_process(random: &[u8; SIZE]) -> Self {
        Self::derive(FROM_PROCESS, random)
    }

    fn derive(label: &[u8], material: &[u8; SIZE]) -> Self {
        let root = mac(material, &[label]).finalize().into_bytes().into();
        let of = |label: &[u8]| -> [u8; SIZE] { mac(&root, &[label]).finalize().into_bytes().into() };
        let id = of(FOR_NAMES);
        Self {
            entries: of(FOR_ENTRIES),
            nonces: of(FOR_NONCES),
            is_secret: label == FROM_SECRET,
            id: URL_SAFE_NO_PAD
                .encode(id.first_chunk::<12>().map_or(&id[..], |short| &short[..]))
                .into(),
        }
    }

    /// A public name of the key, for the names of its entries: entries with different keys do not overwrite
    /// each other.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether the key comes from an operator's secret.
    #[must_use]
    pub const fn is_secret(&self) -> bool {
        self.is_secret
    }

    /// The entry to write under a name.
    #[must_use]
    pub fn seal(&self, name: &str, content: &[u8]) -> Vec<u8> {
        let tag = self.tag(name, content).finalize().into_bytes();
        [tag.as_slice(), content].concat()
    }

    /// The sealed content, if this entry was sealed with this key for this name.
    #[must_use]
    pub fn open<'e>(&self, name: &str, entry: &'e [u8]) -> Option<&'e [u8]> {
        let (tag, content) = entry.split_first_chunk::<SIZE>()?;
        // In constant time: a client must not find a tag byte by byte.
        self.tag(name, content).verify_slice(tag).ok()?;
        Some(content)
    }

    fn tag(&self, name: &str, content: &[u8]) -> Hmac<Sha256> {
        let length = u64::try_from(name.len()).unwrap_or(u64::MAX).to_be_bytes();
        mac(&self.entries, &[&length, name.as_bytes(), content])
    }

    /// A secret from this key and public random bytes. Both are necessary to derive it.
    #[must_use]
    pub fn secret_of(&self, random: &[u8]) -> [u8; SIZE] {
        mac(&self.nonces, &[random]).finalize().into_bytes().into()
    }

    /// Bytes for an entry from which only this key gives the secret back. `random` must be new each time.
    #[must_use]
    pub fn hide(&self, secret: &[u8; SIZE], random: &[u8; SIZE]) -> Vec<u8> {
        [*random, xor(secret, &self.secret_of(random))].concat()
    }

    /// The secret that these bytes [hide](Self::hide).
    #[must_use]
    pub fn reveal(&self, hidden: &[u8]) -> Option<[u8; SIZE]> {
        let (random, masked) = hidden.split_first_chunk::<SIZE>()?;
        Some(xor(masked.try_into().ok()?, &self.secret_of(random)))
    }
}

fn xor(one: &[u8; SIZE], other: &[u8; SIZE]) -> [u8; SIZE] {
    let mut result = *one;
    for (byte, with) in result.iter_mut().zip(other) {
        *byte ^= with;
    }
    result
}

/// Random bytes. The seed of a hasher contains 128 random bits of the system. The standard library has no
/// other access to them.
#[must_use]
pub fn random_bytes() -> [u8; SIZE] {
    let seed = RandomState::new();
    let mut bytes = [0; SIZE];
    for (number, eight) in (0_u32..).zip(bytes.chunks_exact_mut(8)) {
        eight.copy_from_slice(&seed.hash_one(number).to_le_bytes());
    }
    bytes
}

// A key is never shown.
impl fmt::Debug for SealKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SealKey(…)")
    }
}

fn mac(key: &[u8; SIZE], parts: &[&[u8]]) -> Hmac<Sha256> {
    // The type requires a key of a whole block. RFC 2104 section 2 pads shorter keys in the same way.
    let mut block = [0; 64];
    for (to, from) in block.iter_mut().zip(key) {
        *to = *from;
    }
    let mut mac = Hmac::<Sha256>::new(&block.into());
    for part in parts {
        mac.update(part);
    }
    mac
}

/// Hashes a value so that different values hash different bytes. A member that is `null` counts as absent, as
/// everywhere in the configuration.
fn digest(value: Json<'_>, hash: &mut Sha256) {
    let mut number = |kind: u8, number: u64| {
        hash.update([kind]);
        hash.update(number.to_be_bytes());
    };
    let size = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
    match value.kind() {
        Kind::Null => number(b'n', 0),
        Kind::Bool => number(b'b', u64::from(value.as_bool().unwrap_or_default())),
        // A whole number may have been a double before.
        Kind::Number => {
            let double: f64 = serde_json::from_str(value.text()).unwrap_or_default();
            number(b'd', double.to_bits());
        }
        Kind::String => {
            let text = value.as_str().unwrap_or_default();
            number(b's', size(text.len()));
            hash.update(text.as_bytes());
        }
        Kind::Array => {
            let elements = value.as_array().unwrap_or_default();
            number(b'a', size(elements.len()));
            for element in elements {
                digest(element, hash);
            }
        }
        Kind::Object => {
            let Some(object) = value.as_object() else { return };
            let mut members: Vec<(&str, Json<'_>)> = Vec::new();
            for (name, value) in object.members().filter(|(_, value)| value.kind() != Kind::Null) {
                // An insertion for each member: a sorting routine would add several KB to the module.
                let place = members.partition_point(|(before, _)| *before < name);
                members.insert(place, (name, value));
            }
            number(b'o', size(members.len()));
            for (name, value) in members {
                hash.update(size(name.len()).to_be_bytes());
                hash.update(name.as_bytes());
                digest(value, hash);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(configuration: &str) -> SealKey {
        SealKey::from_configuration(Json::parse(configuration.as_bytes()).unwrap())
    }

    #[test]
    fn an_entry_is_opened_under_its_own_name_and_key_only() {
        let key = SealKey::from_secret(b"one");
        for content in [&b""[..], b"content"] {
            let entry = key.seal("name", content);
            assert_eq!(key.open("name", &entry), Some(content));
            assert_eq!(key.open("nam", &entry), None);
            assert_eq!(SealKey::from_secret(b"other").open("name", &entry), None);
            for at in 0..entry.len() {
                let mut changed = entry.clone();
                changed[at] ^= 1;
                assert_eq!(key.open("name", &changed), None, "{at}");
                assert_eq!(key.open("name", &entry[..at]), None, "{at}");
            }
        }
        // A name with a part of the content is another name.
        assert_eq!(key.open("na", &key.seal("n", b"ab")), None);
        assert_eq!(key.open("n", &key.seal("na", b"b")), None);
    }

    #[test]
    fn a_configuration_gives_the_same_key_in_any_order_and_another_one_another() {
        let key = of(r#"{"a":{"b":600,"c":["x",true]},"d":"\u0061"}"#);
        assert_eq!(key, of(r#"{"d":"a","a":{"c":["x",true],"b":6e2},"e":null}"#));
        for other in [
            r#"{"a":{"b":601,"c":["x",true]},"d":"a"}"#,
            r#"{"a":{"b":600,"c":[true,"x"]},"d":"a"}"#,
            r#"{"a":{"b":600,"c":["x",false]},"d":"a"}"#,
            r#"{"a":{"b":600,"c":["x",true]},"d":"ab"}"#,
            r#"{"a":{"b":"600","c":["x",true]},"d":"a"}"#,
            r#"{"a":{"b":600,"c":["x"],"t":true},"d":"a"}"#,
            r#"{"a":{"b":600,"c":["x",true],"d":"a"}}"#,
        ] {
            assert_ne!(key, of(other), "{other}");
        }
    }

    #[test]
    fn a_hidden_secret_is_found_with_the_same_key_only() {
        let (key, secret) = (SealKey::from_secret(b"one"), random_bytes());
        let hidden = key.hide(&secret, &random_bytes());
        assert_eq!(key.reveal(&hidden), Some(secret));
        assert_ne!(SealKey::from_secret(b"other").reveal(&hidden), Some(secret));
        assert_ne!(key.hide(&secret, &random_bytes())[SIZE..], hidden[SIZE..]);
        assert_eq!(key.reveal(&hidden[1..]), None);
        assert_eq!(key.reveal(&[&hidden[..], b"x"].concat()), None);
        assert_ne!(
            SealKey::from_process(&secret).id(),
            SealKey::from_process(&random_bytes()).id()
        );
    }

    #[test]
    fn keys_secrets_and_names_are_apart() {
        let key = SealKey::from_secret(b"{}");
        assert_ne!(key.id(), of("{}").id());
        assert_ne!(key.entries, key.nonces);
        assert_eq!(key.id().len(), 16);
        assert_ne!(key.secret_of(b"a"), key.secret_of(b"b"));
        assert_ne!(
            key.secret_of(b"a"),
            SealKey::from_secret(b"other").secret_of(b"a")
        );
        assert_eq!(format!("{key:?}"), "SealKey(…)");
    }
}
