//! Header maps as Envoy keeps them and as the ABI writes them.

use testkit::{Request, latin1};

/// Names in lower case, values as bytes, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HeaderMap(Vec<(String, Vec<u8>)>);

impl HeaderMap {
    /// A request's head as it reaches a filter: the pseudo-fields first, `host` among them.
    pub(crate) fn of_request(request: &Request) -> Self {
        let mut map = Self::default();
        map.push(":authority", b"gateway.example");
        map.push(":path", request.path.as_bytes());
        map.push(":method", request.method.as_bytes());
        map.push(":scheme", b"https");
        for (name, value) in &request.headers {
            match name.to_ascii_lowercase().as_str() {
                "host" => map.replace(":authority", value),
                // Envoy keeps each of these in a single place and appends to it.
                name @ ("authorization" | "x-forwarded-client-cert") if map.first(name).is_some() => {
                    let joined = [map.first(name).unwrap(), b",", value].concat();
                    map.replace(name, &joined);
                }
                name => map.push(name, value),
            }
        }
        map
    }

    pub(crate) fn push(&mut self, name: &str, value: &[u8]) {
        self.0.push((name.to_ascii_lowercase(), value.to_vec()));
    }

    /// All that a read by name gives, however many there are.
    pub(crate) fn first(&self, name: &str) -> Option<&[u8]> {
        let name = name.to_ascii_lowercase();
        self.0
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.as_slice())
    }

    pub(crate) fn replace(&mut self, name: &str, value: &[u8]) {
        self.remove(name);
        self.push(name, value);
    }

    pub(crate) fn remove(&mut self, name: &str) {
        let name = name.to_ascii_lowercase();
        self.0.retain(|(known, _)| *known != name);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// All fields, values as Latin-1.
    pub(crate) fn texts(&self) -> Vec<(String, String)> {
        self.0
            .iter()
            .map(|(name, value)| (name.clone(), latin1(value)))
            .collect()
    }

    /// As the ABI serializes a map: the number of pairs, their sizes, then the texts, each with a NUL after
    /// it.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let size = |length: usize| u32::try_from(length).expect("a map fits").to_le_bytes();
        if self.0.is_empty() {
            return Vec::new();
        }
        let mut bytes = size(self.0.len()).to_vec();
        for (name, value) in &self.0 {
            bytes.extend(size(name.len()));
            bytes.extend(size(value.len()));
        }
        for (name, value) in &self.0 {
            bytes.extend([name.as_bytes(), b"\0", value, b"\0"].concat());
        }
        bytes
    }

    /// The reverse; `None` if the bytes are not exactly one map.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let number = |at: usize| {
            let bytes = bytes.get(at..at + 4)?;
            usize::try_from(u32::from_le_bytes(bytes.try_into().ok()?)).ok()
        };
        let count = number(0)?;
        let mut at = 4 + count * 8;
        let mut text = |size: usize| {
            let text = bytes.get(at..at + size)?;
            let end = bytes.get(at + size)?;
            at += size + 1;
            (*end == 0).then_some(text)
        };
        let mut map = Self::default();
        for index in 0..count {
            let name = text(number(4 + index * 8)?)?;
            let value = text(number(8 + index * 8)?)?;
            map.push(std::str::from_utf8(name).ok()?, value);
        }
        (at == bytes.len()).then_some(map)
    }
}

#[test]
fn a_map_survives_its_serialization() {
    let map = HeaderMap::of_request(
        &Request::get("/a")
            .bearer("one")
            .bearer("two")
            .header("Empty", "")
            .header("X", b"\xff"),
    );
    assert_eq!(HeaderMap::from_bytes(&map.to_bytes()), Some(map.clone()));
    assert_eq!(map.first("Authorization"), Some(&b"Bearer one,Bearer two"[..]));
    assert_eq!(HeaderMap::from_bytes(&[map.to_bytes(), vec![0]].concat()), None);
}
