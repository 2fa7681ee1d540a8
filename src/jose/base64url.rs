//! base64url as in [RFC 7515 section 2](https://www.rfc-editor.org/rfc/rfc7515#section-2): no padding, no
//! stray bits, no other characters.
//!
//! All bytes of every token go through here. Vectors of WebAssembly decode whole blocks in the module, and
//! tables elsewhere. The base64 crate, which decodes the rest, would take a quarter of all instructions for a
//! new token in the module, and a fifth of those of the native module beside the signature.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::fault::EncodingFault;

/// Decodes `text` to the beginning of `room`, and returns the number of bytes; `None` if it is not base64url,
/// or if there is no room.
// Not inlined, because the module would contain it three times.
#[inline(never)]
pub(super) fn decode(text: &[u8], room: &mut [u8]) -> Option<usize> {
    let (text, room, start) = blocks::decode(text, room)?;
    let end = URL_SAFE_NO_PAD.decode_slice(text, room).ok()?;
    start.checked_add(end)
}

/// The first fault of a text that is not base64url.
#[cold]
pub(super) fn fault(text: &[u8]) -> EncodingFault {
    let mut faults = text.iter().filter_map(|byte| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => None,
        b'=' => Some(EncodingFault::Padding),
        b'+' | b'/' => Some(EncodingFault::Standard),
        _ => Some(EncodingFault::Character),
    });
    faults.next().unwrap_or(EncodingFault::End)
}

/// Whole blocks of a text.
mod blocks {
    #[cfg(not(target_arch = "wasm32"))]
    use super::tables::decode_block;
    #[cfg(target_arch = "wasm32")]
    use super::vectors::decode_block;

    /// The number of characters of a block.
    pub(super) const TEXT: usize = 16;
    /// The number of its bytes.
    pub(super) const BYTES: usize = 12;

    /// Decodes whole blocks. Returns the rest of the text, the rest of the room, and the number of bytes so
    /// far.
    pub(super) fn decode<'t, 'r>(
        text: &'t [u8],
        room: &'r mut [u8],
    ) -> Option<(&'t [u8], &'r mut [u8], usize)> {
        let (blocks, rest) = text.as_chunks::<TEXT>();
        let bytes = blocks.len().checked_mul(BYTES)?;
        let (places, room) = room.split_at_mut_checked(bytes)?;
        let (places, _) = places.as_chunks_mut::<BYTES>();
        for (block, place) in blocks.iter().zip(places) {
            *place = decode_block(block)?;
        }
        Some((rest, room, bytes))
    }
}

/// tests/instructions.rs tests this code in the module.
#[cfg(target_arch = "wasm32")]
mod vectors {
    use super::blocks::{BYTES, TEXT};
    use std::arch::wasm32::{
        i8x16_shuffle, i16x8_shl, i32x4_shl, u8x16_add, u8x16_all_true, u8x16_lt, u8x16_splat, u8x16_sub,
        u16x8_shr, u16x8_splat, u32x4_extract_lane, u32x4_shr, u32x4_splat, u64x2, u64x2_extract_lane,
        v128_and, v128_or,
    };

    pub(super) fn decode_block(block: &[u8; TEXT]) -> Option<[u8; BYTES]> {
        let ([first, second], []) = block.as_chunks::<8>() else {
            return None;
        };
        let text = u64x2(u64::from_le_bytes(*first), u64::from_le_bytes(*second));
        let is_from =
            |start: u8, count: u8| u8x16_lt(u8x16_sub(text, u8x16_splat(start)), u8x16_splat(count));
        let (upper, lower, digit) = (is_from(b'A', 26), is_from(b'a', 26), is_from(b'0', 10));
        let (dash, line) = (is_from(b'-', 1), is_from(b'_', 1));
        let is_valid = v128_or(v128_or(upper, lower), v128_or(digit, v128_or(dash, line)));
        if !u8x16_all_true(is_valid) {
            return None;
        }
        // The distance of each character from its value.
        let distance = v128_or(
            v128_or(
                v128_and(upper, u8x16_splat(0_u8.wrapping_sub(b'A'))),
                v128_and(lower, u8x16_splat(26_u8.wrapping_sub(b'a'))),
            ),
            v128_or(
                v128_and(digit, u8x16_splat(52_u8.wrapping_sub(b'0'))),
                v128_or(
                    v128_and(dash, u8x16_splat(62_u8.wrapping_sub(b'-'))),
                    v128_and(line, u8x16_splat(63_u8.wrapping_sub(b'_'))),
                ),
            ),
        );
        let values = u8x16_add(text, distance);
        // This joins two values of 6 bits to 12 bits, and two of these to 24 bits.
        let twelve = v128_or(
            i16x8_shl(v128_and(values, u16x8_splat(0x00ff)), 6),
            u16x8_shr(values, 8),
        );
        let all = v128_or(
            i32x4_shl(v128_and(twelve, u32x4_splat(0xffff)), 12),
            u32x4_shr(twelve, 16),
        );
        let bytes = i8x16_shuffle::<2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, 3, 3, 3, 3>(all, all);
        let [a, b, c, d, e, f, g, h] = u64x2_extract_lane::<0>(bytes).to_le_bytes();
        let [i, j, k, l] = u32x4_extract_lane::<2>(bytes).to_le_bytes();
        Some([a, b, c, d, e, f, g, h, i, j, k, l])
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod tables {
    use super::blocks::{BYTES, TEXT};

    /// For each of four characters, the bits of each byte in the 24 bits of all four. With the shifts in the
    /// tables, a block takes half of the instructions that it takes with one table.
    static TABLES: [[u32; 256]; 4] = [table(18), table(12), table(6), table(0)];

    /// The bit of a byte that is no character of base64url.
    const WRONG: u32 = 1 << 31;

    const fn table(shift: u32) -> [u32; 256] {
        let mut table = [0; 256];
        let mut places: &mut [u32] = &mut table;
        let mut byte = 0_u8;
        while let Some((place, rest)) = places.split_first_mut() {
            *place = match byte {
                b'A'..=b'Z' => (byte.wrapping_sub(b'A') as u32) << shift,
                b'a'..=b'z' => (byte.wrapping_sub(b'a').wrapping_add(26) as u32) << shift,
                b'0'..=b'9' => (byte.wrapping_sub(b'0').wrapping_add(52) as u32) << shift,
                b'-' => 62 << shift,
                b'_' => 63 << shift,
                _ => WRONG,
            };
            places = rest;
            byte = byte.wrapping_add(1);
        }
        table
    }

    #[inline]
    pub(super) fn decode_block(block: &[u8; TEXT]) -> Option<[u8; BYTES]> {
        let ([first, second, third, fourth], []) = block.as_chunks() else {
            return None;
        };
        let [first, second, third, fourth] = [first, second, third, fourth].map(bits);
        if (first | second | third | fourth) & WRONG != 0 {
            return None;
        }
        let [start, end] = [(first, second), (third, fourth)]
            .map(|(first, second)| (u64::from(first) << 24) | u64::from(second));
        let all = (u128::from(start) << 80) | (u128::from(end) << 32);
        all.to_be_bytes().first_chunk().copied()
    }

    fn bits([a, b, c, d]: &[u8; 4]) -> u32 {
        let [first, second, third, fourth] = &TABLES;
        let of = |table: &[u32; 256], byte: &u8| table.get(usize::from(*byte)).copied().unwrap_or(WRONG);
        of(first, a) | of(second, b) | of(third, c) | of(fourth, d)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_room_there_is_no_text() {
        let text = URL_SAFE_NO_PAD.encode([7; 40]);
        for size in 0..40 {
            assert_eq!(decode(text.as_bytes(), &mut vec![0; size]), None, "{size}");
        }
        assert_eq!(decode(text.as_bytes(), &mut [0; 40]), Some(40));
    }

    #[test]
    fn blocks_are_decoded_as_the_crate_decodes_them() {
        let check = |text: &[u8]| {
            let mut room = vec![0; text.len()];
            let decoded = decode(text, &mut room).and_then(|length| room.get(..length));
            let expected = URL_SAFE_NO_PAD.decode(text).ok();
            assert_eq!(decoded, expected.as_deref(), "{}", text.escape_ascii());
        };
        // Each byte in each place of two blocks, and of the characters after them.
        for length in 32..=36 {
            for place in 0..length {
                for byte in 0..=u8::MAX {
                    let mut text = vec![b'A'; length];
                    text[place] = byte;
                    check(&text);
                }
            }
        }
        // Each character beside different ones.
        for start in 0..=u8::MAX {
            let bytes: Vec<u8> = (0..120_u8)
                .map(|step| start.wrapping_add(step.wrapping_mul(step)))
                .collect();
            check(URL_SAFE_NO_PAD.encode(bytes).as_bytes());
        }
    }
}
