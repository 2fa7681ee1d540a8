//! The messages of `verify_signature`: protobuf with fields of bytes, and ECDSA signatures as DER inside.
//!
//! Written straight into one buffer, since this happens for each token that was not seen before.

/// Appends a field of bytes (wire type 2).
pub(super) fn field(buffer: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    start(buffer, number, bytes.len());
    buffer.extend_from_slice(bytes);
}

fn start(buffer: &mut Vec<u8>, number: u8, mut length: usize) {
    buffer.push(number << 3 | 2);
    while length > 0x7f {
        buffer.push(low_byte(length) | 0x80);
        length >>= 7;
    }
    buffer.push(low_byte(length));
}

fn low_byte(number: usize) -> u8 {
    let [low, ..] = number.to_le_bytes();
    low
}

/// Appends an ECDSA signature, `r || s` of equal length (RFC 7518 section 3.4), as the DER that the host reads (RFC 3279
/// section 2.2.3). False, with nothing appended, where it cannot be one.
pub(super) fn ecdsa_field(buffer: &mut Vec<u8>, number: u8, signature: &[u8]) -> bool {
    let (r, s) = signature.split_at(signature.len() / 2);
    let (r, s) = (Integer::new(r), Integer::new(s));
    let contents = r.encoded_len().saturating_add(s.encoded_len());
    // P-521 is the longest: 2 × (2 + 67).
    let (Ok(length), true) = (
        u8::try_from(contents),
        r.bytes.len() < 0x7f && s.bytes.len() < 0x7f,
    ) else {
        return false;
    };
    // X.690 section 8.1.3: lengths from 128 on take a byte that says how many follow.
    let is_long = length >= 0x80;
    start(
        buffer,
        number,
        contents.saturating_add(if is_long { 3 } else { 2 }),
    );
    buffer.push(0x30);
    if is_long {
        buffer.push(0x81);
    }
    buffer.push(length);
    r.write(buffer);
    s.write(buffer);
    true
}

/// A number as DER INTEGER: no leading zeros, but one where the highest bit is set, since DER integers are signed.
struct Integer<'a> {
    bytes: &'a [u8],
    has_sign: bool,
}

impl<'a> Integer<'a> {
    fn new(mut bytes: &'a [u8]) -> Self {
        while let [0, rest @ ..] = bytes {
            bytes = rest;
        }
        Self {
            bytes,
            has_sign: bytes.first().is_none_or(|byte| byte & 0x80 != 0),
        }
    }

    fn encoded_len(&self) -> usize {
        self.bytes.len().saturating_add(if self.has_sign { 3 } else { 2 })
    }

    fn write(&self, buffer: &mut Vec<u8>) {
        let length = self.encoded_len().saturating_sub(2);
        buffer.extend([0x02, u8::try_from(length).unwrap_or_default()]);
        if self.has_sign {
            buffer.push(0);
        }
        buffer.extend_from_slice(self.bytes);
    }
}

/// `result: true`, and not a byte more: no error text beside it, no field of a later version that may take it back.
pub(super) fn is_clear_yes(answer: &[u8]) -> bool {
    answer == [0x08, 0x01]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut buffer = Vec::new();
        write(&mut buffer);
        buffer
    }

    #[test]
    fn fields_have_their_number_and_length_in_front() {
        assert_eq!(written(|buffer| field(buffer, 1, b"ab")), b"\x0a\x02ab");
        assert_eq!(written(|buffer| field(buffer, 4, b"")), b"\x22\x00");
        for (length, prefix) in [
            (127, &[0x12, 0x7f][..]),
            (128, &[0x12, 0x80, 0x01]),
            (300, &[0x12, 0xac, 0x02]),
            (16_383, &[0x12, 0xff, 0x7f]),
            (16_384, &[0x12, 0x80, 0x80, 0x01]),
        ] {
            let bytes = vec![7; length];
            let expected = [prefix, &bytes].concat();
            assert_eq!(written(|buffer| field(buffer, 2, &bytes)), expected, "{length}");
        }
    }

    #[test]
    fn ecdsa_signatures_become_der() {
        for (signature, der) in [
            (&[1, 2][..], &[0x30, 6, 2, 1, 1, 2, 1, 2][..]),
            (&[0x80, 0x7f], &[0x30, 7, 2, 2, 0, 0x80, 2, 1, 0x7f]),
            (&[0, 1, 0, 0x80], &[0x30, 7, 2, 1, 1, 2, 2, 0, 0x80]),
            (&[0, 0, 1, 0], &[0x30, 7, 2, 1, 0, 2, 2, 1, 0]),
        ] {
            let expected = written(|buffer| field(buffer, 3, der));
            let mut buffer = Vec::new();
            assert!(ecdsa_field(&mut buffer, 3, signature));
            assert_eq!(buffer, expected, "{signature:?}");
        }
        // The longest: P-521 with both numbers' highest byte at work.
        let mut buffer = Vec::new();
        assert!(ecdsa_field(&mut buffer, 3, &[0x01; 132]));
        assert_eq!(buffer[..8], [0x1a, 0x8b, 0x01, 0x30, 0x81, 0x88, 0x02, 0x42]);
        assert_eq!(buffer.len(), 3 + 3 + 2 * 68);
        // What no curve has is refused, not cut.
        let mut buffer = Vec::new();
        assert!(!ecdsa_field(&mut buffer, 3, &[0xff; 512]) && buffer.is_empty());
    }

    #[test]
    fn only_a_clear_yes_is_a_yes() {
        assert!(is_clear_yes(&[0x08, 0x01]));
        for answer in [
            &[][..],
            &[0x08],
            &[0x08, 0x00],
            &[0x08, 0x02],
            &[0x08, 0x81, 0x00],
            &[0x08, 0x01, 0x12, 0x00],
            &[0x08, 0x01, 0x08, 0x00],
            &[0x12, 0x02, b'n', b'o'],
            b"true",
        ] {
            assert!(!is_clear_yes(answer), "{answer:?}");
        }
    }
}
