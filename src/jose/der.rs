//! Writes the part of DER (X.690) that keys and signatures need, into one buffer.
//!
//! A caller writes the header of a value first, with the length of its content, and then the content.

pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const INTEGER: u8 = 0x02;

/// The length of a value, its header included.
pub(crate) fn encoded_len(content: usize) -> usize {
    let header = match content {
        0..0x80 => 2,
        long => length_bytes(long).count().saturating_add(2),
    };
    content.saturating_add(header)
}

/// Appends the header of a value: its tag, and the length of its content.
pub(crate) fn header(buffer: &mut Vec<u8>, tag: u8, content: usize) {
    buffer.push(tag);
    match u8::try_from(content) {
        Ok(short @ 0..0x80) => buffer.push(short),
        // X.690 section 8.1.3.5: the first byte has its highest bit set and counts the bytes of the length.
        _ => {
            let count = length_bytes(content).count();
            buffer.extend(u8::try_from(count).map(|count| count | 0x80));
            buffer.extend(length_bytes(content));
        }
    }
}

/// A length in big-endian order, without leading zeros.
fn length_bytes(length: usize) -> impl Iterator<Item = u8> {
    length.to_be_bytes().into_iter().skip_while(|byte| *byte == 0)
}

/// A number as INTEGER: without leading zeros. Integers of DER are signed: a zero precedes a set highest bit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unsigned<'a> {
    bytes: &'a [u8],
    has_sign: bool,
}

impl<'a> Unsigned<'a> {
    /// The number with these big-endian bytes.
    pub(crate) fn new(mut bytes: &'a [u8]) -> Self {
        while let [0, rest @ ..] = bytes {
            bytes = rest;
        }
        Self {
            bytes,
            has_sign: bytes.first().is_none_or(|byte| byte & 0x80 != 0),
        }
    }

    fn content_len(self) -> usize {
        self.bytes.len().saturating_add(usize::from(self.has_sign))
    }

    /// The length of the INTEGER.
    pub(crate) fn encoded_len(self) -> usize {
        encoded_len(self.content_len())
    }

    /// Appends the INTEGER.
    pub(crate) fn write(self, buffer: &mut Vec<u8>) {
        header(buffer, INTEGER, self.content_len());
        if self.has_sign {
            buffer.push(0);
        }
        buffer.extend_from_slice(self.bytes);
    }
}

/// An ECDSA signature, `r || s` of equal length (RFC 7518 section 3.4), in the form of other libraries: DER
/// (RFC 3279 section 2.2.3).
#[derive(Clone, Copy, Debug)]
pub struct EcdsaSignature<'a> {
    r: Unsigned<'a>,
    s: Unsigned<'a>,
}

impl<'a> EcdsaSignature<'a> {
    /// The signature with these bytes.
    #[must_use]
    pub fn new(signature: &'a [u8]) -> Self {
        let (r, s) = signature.split_at(signature.len() / 2);
        Self {
            r: Unsigned::new(r),
            s: Unsigned::new(s),
        }
    }

    /// The length of both numbers.
    pub(crate) fn content_len(&self) -> usize {
        self.r.encoded_len().saturating_add(self.s.encoded_len())
    }

    /// Appends the SEQUENCE of both numbers.
    pub fn write(&self, buffer: &mut Vec<u8>) {
        header(buffer, SEQUENCE, self.content_len());
        self.r.write(buffer);
        self.s.write(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_has_the_shortest_form_of_the_length() {
        for (content, expected) in [
            (0, &[0x30, 0][..]),
            (127, &[0x30, 0x7f]),
            (128, &[0x30, 0x81, 0x80]),
            (255, &[0x30, 0x81, 0xff]),
            (256, &[0x30, 0x82, 1, 0]),
            (65_536, &[0x30, 0x83, 1, 0, 0]),
        ] {
            let mut buffer = Vec::new();
            header(&mut buffer, SEQUENCE, content);
            assert_eq!(buffer, expected, "{content}");
            assert_eq!(encoded_len(content), content + expected.len());
        }
    }

    #[test]
    fn numbers_are_positive_and_have_no_leading_zeros() {
        for (bytes, expected) in [
            (&[][..], &[2, 1, 0][..]),
            (&[0, 0], &[2, 1, 0]),
            (&[0, 0x7f], &[2, 1, 0x7f]),
            (&[0x80], &[2, 2, 0, 0x80]),
            (&[0, 1, 0], &[2, 2, 1, 0]),
        ] {
            let mut buffer = Vec::new();
            Unsigned::new(bytes).write(&mut buffer);
            assert_eq!(buffer, expected, "{bytes:?}");
            assert_eq!(Unsigned::new(bytes).encoded_len(), expected.len());
        }
    }
}
