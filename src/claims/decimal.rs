//! Compares JSON numbers ([RFC 8259 section 6](https://www.rfc-editor.org/rfc/rfc8259#section-6)) by their
//! digits and not as floats. So the comparison rounds no number, and two different numbers are never equal.

/// The parts of a number, as in the text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decimal<'a> {
    pub(super) is_negative: bool,
    /// The digits before the point.
    pub(super) whole: &'a str,
    /// The digits after the point.
    pub(super) decimals: &'a str,
    /// The exponent, or the nearest number of 64 bits.
    pub(super) exponent: i64,
}

impl<'a> Decimal<'a> {
    /// Reads a number's text.
    pub(crate) fn read(text: &'a str) -> Self {
        let (is_negative, unsigned) = match text.strip_prefix('-') {
            Some(unsigned) => (true, unsigned),
            None => (false, text),
        };
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)),
            None => (unsigned, 0),
        };
        let (whole, decimals) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        Self {
            is_negative,
            whole,
            decimals,
            exponent,
        }
    }

    /// All digits, the most significant first.
    pub(super) fn digits(self) -> impl Iterator<Item = u8> {
        self.whole.bytes().chain(self.decimals.bytes())
    }

    /// Whether both are the same number, in whatever notation: 5, 5.0 and 0.5e1 are equal.
    pub(crate) fn equals(self, other: Self) -> bool {
        if self.is_zero() || other.is_zero() {
            return self.is_zero() && other.is_zero();
        }
        let place = self.place();
        let (mut digits, mut others) = (self.significant(), other.significant());
        place.is_some()
            && place == other.place()
            && self.is_negative == other.is_negative
            && loop {
                // The further digits of the longer one have to be zeros.
                match (digits.next(), others.next()) {
                    (None, None) => break true,
                    (one, another) if one.unwrap_or(b'0') == another.unwrap_or(b'0') => {}
                    _ => break false,
                }
            }
    }

    fn is_zero(self) -> bool {
        self.significant().next().is_none()
    }

    fn significant(self) -> impl Iterator<Item = u8> {
        self.digits().skip_while(|digit| *digit == b'0')
    }

    /// The position of the first digit other than 0, counted from the point. `None` if it is too far from the
    /// point to be represented.
    fn place(self) -> Option<i64> {
        // At either end of the range of 64 bits, the position may be beyond it.
        let exponent =
            Some(self.exponent).filter(|exponent| exponent.unsigned_abs() < i64::MAX.unsigned_abs())?;
        let zeros = self.digits().take_while(|digit| *digit == b'0').count();
        let length = i64::try_from(self.whole.len()).ok()?;
        length
            .checked_sub(i64::try_from(zeros).ok()?)?
            .checked_add(exponent)
    }
}

fn parse_exponent(text: &str) -> i64 {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let size = digits.bytes().fold(0_i64, |size, byte| {
        size.saturating_mul(10)
            .saturating_add(i64::from(byte.wrapping_sub(b'0')))
    });
    if negative { size.saturating_neg() } else { size }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn equal(one: &str, another: &str) -> bool {
        let equal = Decimal::read(one).equals(Decimal::read(another));
        assert_eq!(
            equal,
            Decimal::read(another).equals(Decimal::read(one)),
            "{one} {another}"
        );
        equal
    }

    #[test]
    fn a_number_is_the_same_however_it_is_written() {
        for spelling in [
            "5",
            "5.0",
            "5e0",
            "0.5e1",
            "0.005E+3",
            "50e-1",
            "500.00e-2",
            "5E-0",
        ] {
            assert!(equal("5", spelling), "{spelling}");
            assert!(!equal("-5", spelling), "{spelling}");
        }
        for zero in ["0", "-0", "0.0", "0e99999999999999999999", "-0.00e-7"] {
            assert!(equal("0", zero), "{zero}");
        }
        assert!(equal("-1.50", "-15e-1"));
        assert!(equal("1e300", "10e299"));
        assert!(equal("9007199254740993", "9007199254740993.0"));
        let long = format!("1{}", "0".repeat(299));
        assert!(equal(&long, "1e299"));
    }

    #[test]
    fn numbers_that_a_double_takes_for_one_are_two() {
        for (one, another) in [
            ("9007199254740993", "9007199254740992"),
            ("5", "4.9999999999999999999999"),
            ("5", "5.0000000000000000000001"),
            ("0", "1e-400"),
            ("1e-400", "2e-400"),
            ("5", "50"),
            ("5", "0.5"),
            ("5", "55"),
            ("1", "1e-99999999999999999999"),
            ("1e-99999999999999999999", "1e-99999999999999999998"),
            ("1e-9223372036854775807", "1e-9223372036854775808"),
        ] {
            assert!(!equal(one, another), "{one} {another}");
        }
    }
}
