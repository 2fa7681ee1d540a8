//! The headers of the last tokens, parsed: an issuer gives all of its tokens the same one, byte for byte.

use std::fmt;
use std::rc::Rc;

use crate::jose::{JoseHeader, TokenFault, UnverifiedJwt};

/// The number of headers: several issuers and keys are in use at a time.
const ENTRIES: usize = 4;

struct Entry {
    json: Box<[u8]>,
    header: Rc<JoseHeader>,
}

// The text comes from a client: it must not reach a log.
impl fmt::Debug for Entry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Entry")
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct HeaderMemory {
    known: [Option<Entry>; ENTRIES],
    /// The number of headers that it has kept so far, which wraps around.
    count: usize,
}

impl HeaderMemory {
    /// The header of a token. The same bytes always give the same header.
    pub(super) fn parse(&mut self, token: &UnverifiedJwt<'_>) -> Result<Rc<JoseHeader>, TokenFault> {
        let json = token.header_json();
        let mut known = self.known.iter().flatten();
        if let Some(entry) = known.find(|entry| *entry.json == *json) {
            return Ok(entry.header.clone());
        }
        let header = Rc::new(token.header()?);
        if let Some(oldest) = self.known.get_mut(self.count % ENTRIES) {
            *oldest = Some(Entry {
                json: json.into(),
                header: header.clone(),
            });
        }
        self.count = self.count.wrapping_add(1);
        Ok(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_id(memory: &mut HeaderMemory, header: &str) -> Result<Option<String>, TokenFault> {
        use base64::Engine as _;
        let header = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(header);
        let text = format!("{header}.e30.e30");
        let token = UnverifiedJwt::decode(text.as_bytes()).unwrap();
        let header = memory.parse(&token)?;
        Ok(header.key_id.as_deref().map(str::to_owned))
    }

    #[test]
    fn each_header_is_read_as_without_the_memory() {
        let mut memory = HeaderMemory::default();
        for round in 0..30 {
            // More keys than the memory has places, in another order each time, and long headers.
            for number in (0..round % 9).chain([round]) {
                let padding = "x".repeat(round * 30);
                let header = format!(r#"{{"alg":"RS256","kid":"k{number}","x":"{padding}"}}"#);
                let found = key_id(&mut memory, &header).unwrap();
                assert_eq!(found, Some(format!("k{number}")));
            }
            for _ in 0..2 {
                assert_eq!(
                    key_id(&mut memory, r#"{"kid":"k1"}"#),
                    Err(TokenFault::AlgorithmMissing)
                );
            }
        }
    }

    #[test]
    fn the_same_bytes_are_parsed_once() {
        let mut memory = HeaderMemory::default();
        let token = UnverifiedJwt::decode(b"eyJhbGciOiJFUzI1NiJ9.e30.e30").unwrap();
        let first = memory.parse(&token).unwrap();
        assert!(Rc::ptr_eq(&first, &memory.parse(&token).unwrap()));
    }
}
