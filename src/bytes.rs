//! The comparison of bytes by words.
//!
//! On wasm32, the standard library compares byte by byte. That takes longer than the rest of the work for a
//! known token.

/// Whether both are equal. If the lengths are equal, the function compares all bytes.
#[inline]
#[must_use]
pub(crate) fn is_same(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len() && are_same_words(left, right)
}

/// The same for two texts of equal length.
#[inline(never)]
fn are_same_words(left: &[u8], right: &[u8]) -> bool {
    let (left_chunks, left_rest) = left.as_chunks::<32>();
    let (right_chunks, right_rest) = right.as_chunks::<32>();
    let chunks = left_chunks.iter().zip(right_chunks);
    let difference = chunks.fold(0, |difference, (left, right)| {
        difference | difference_of_chunks(left, right)
    });
    let (left_words, left_rest) = left_rest.as_chunks::<8>();
    let (right_words, right_rest) = right_rest.as_chunks::<8>();
    let words = left_words.iter().zip(right_words);
    let difference = words.fold(difference, |difference, (left, right)| {
        difference | (u64::from_ne_bytes(*left) ^ u64::from_ne_bytes(*right))
    });
    difference == 0 && left_rest.iter().eq(right_rest)
}

/// There is no loop here, because its overhead would be most of the cost.
fn difference_of_chunks(left: &[u8; 32], right: &[u8; 32]) -> u64 {
    let (([a, b, c, d], []), ([e, f, g, h], [])) = (left.as_chunks::<8>(), right.as_chunks::<8>()) else {
        return u64::MAX;
    };
    let word = |bytes: &[u8; 8]| u64::from_ne_bytes(*bytes);
    (word(a) ^ word(e)) | (word(b) ^ word(f)) | (word(c) ^ word(g)) | (word(d) ^ word(h))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_byte_anywhere_makes_another_of_it() {
        let bytes: Vec<u8> = (0..=255).cycle().take(150).collect();
        for length in 0..=bytes.len() {
            let text = &bytes[..length];
            assert!(is_same(text, &bytes.clone()[..length]), "{length}");
            for place in 0..length {
                let mut other = text.to_vec();
                other[place] ^= 0x80;
                assert!(!is_same(text, &other), "{length} {place}");
            }
            if let Some(shorter) = length.checked_sub(1) {
                assert!(!is_same(text, &bytes[..shorter]), "{length}");
            }
        }
    }
}
