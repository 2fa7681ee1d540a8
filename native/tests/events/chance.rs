//! Choices: of a seed, or of a fuzzer.

use crate::envoy::Fields;

use super::issuer::issuer;

/// The numbers that a fuzzer gives, and after those xorshift: the same numbers for the same seed.
pub(super) struct Chance<'g> {
    pub(super) given: std::slice::Iter<'g, u8>,
    pub(super) state: u64,
}

impl Chance<'_> {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            given: [].iter(),
            state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
        }
    }

    pub(super) fn next(&mut self) -> u64 {
        if let Some(one) = self.given.next() {
            let other = self.given.next().unwrap_or(&0);
            // The callers use the bits from 33 on, and the third and the fourth byte.
            let (one, other) = (u64::from(*one), u64::from(*other));
            return one << 33 | other << 41 | one << 16 | other << 24;
        }
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap() % end
    }

    pub(super) fn one<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }

    pub(super) fn bytes(&mut self) -> Vec<u8> {
        (0..self.below(40))
            .map(|_| self.next().to_le_bytes()[3])
            .collect()
    }

    /// The text, or with a byte of it changed.
    pub(super) fn spoiled(&mut self, text: &str) -> Vec<u8> {
        let mut bytes = text.as_bytes().to_vec();
        if self.below(8) == 0 && !bytes.is_empty() {
            let place = self.below(bytes.len());
            bytes[place] = self.next().to_le_bytes()[2];
        }
        bytes
    }

    pub(super) fn headers(&mut self) -> Fields {
        let mut fields: Fields = vec![
            (b":method".to_vec(), b"GET".to_vec()),
            (b":authority".to_vec(), b"orders.example".to_vec()),
        ];
        let path = self.one(&[
            "/",
            "/",
            "/",
            "/x?v=1",
            "/open",
            "/open/../x",
            "/x?access_token=a.b.c&v=1",
        ]);
        fields.push((b":path".to_vec(), self.spoiled(path)));
        for _ in 0..self.below(4) {
            let name = self.one(&[
                "authorization",
                "authorization",
                "authorization",
                "x-jwt-sub",
                "X_Jwt_Sub",
                "content-type",
                "x-request-id",
                "cookie",
            ]);
            let tokens = &issuer().tokens;
            let token = &tokens[self.below(tokens.len())];
            let value = match self.below(8) {
                0 => self
                    .bytes()
                    .into_iter()
                    .filter(|byte| !matches!(byte, b'\r' | b'\n' | 0))
                    .collect(),
                1 => b"application/grpc".to_vec(),
                _ => [b"Bearer ".to_vec(), self.spoiled(token)].concat(),
            };
            fields.push((name.as_bytes().to_vec(), value));
        }
        fields
    }
}
