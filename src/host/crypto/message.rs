//! The messages of `verify_signature`: protobuf with fields of bytes, and ECDSA signatures as DER inside.
//!
//! The functions append to one buffer: the filter writes a message for each token that it has not seen
//! before.

use crate::jose::der::{self, EcdsaSignature};

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

/// Two numbers of P-521, the longest: a header of two bytes and 67 bytes each.
const LONGEST_SIGNATURE: usize = 2 * (2 + 67);

/// Appends an ECDSA signature in the host's form, DER. Returns false, and appends nothing, if no curve has a
/// signature of this length.
pub(super) fn ecdsa_field(buffer: &mut Vec<u8>, number: u8, signature: &[u8]) -> bool {
    let signature = EcdsaSignature::new(signature);
    let length = signature.content_len();
    if length > LONGEST_SIGNATURE {
        return false;
    }
    start(buffer, number, der::encoded_len(length));
    signature.write(buffer);
    true
}

/// `result: true`, and no byte more: no error text, and no field of a later version that may revoke it.
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
        // A number that is too large for the curve is refused, not cut.
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
