//! Hexadecimal digits.

/// The octet with these two hexadecimal digits.
#[must_use]
pub fn octet(high: u8, low: u8) -> Option<u8> {
    let digit = |byte| char::from(byte).to_digit(16);
    u8::try_from(digit(high)?.wrapping_mul(16).wrapping_add(digit(low)?)).ok()
}

/// The octets of a text that has exactly two digits for each.
#[must_use]
pub fn octets<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut octets = [0; N];
    let (pairs, []) = text.as_chunks::<2>() else {
        return None;
    };
    if pairs.len() != N {
        return None;
    }
    for (to, [high, low]) in octets.iter_mut().zip(pairs) {
        *to = octet(*high, *low)?;
    }
    Some(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_have_either_case_and_a_fixed_number() {
        assert_eq!(octets::<2>(b"0aFf"), Some([0x0a, 0xff]));
        for text in [&b"0aF"[..], b"0aFf0", b"0aFf00", b"0aFg", b"", b"+aff"] {
            assert_eq!(octets::<2>(text), None);
        }
    }
}
