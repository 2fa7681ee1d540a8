//! NumericDate ([RFC 7519 section 2](https://www.rfc-editor.org/rfc/rfc7519#section-2)): seconds since the
//! epoch, possibly with a fraction or an exponent.
//!
//! The filter reads the digits of the number, and not a float: rounding must never extend the lifetime of a
//! token.

use super::decimal::Decimal;
use crate::time::UnixTime;

/// A date, as precise as the comparison with a clock of milliseconds requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumericDate {
    /// The last whole millisecond at or before the date.
    floor_millis: i64,
    /// The date lies strictly after `floor_millis`.
    fraction: bool,
}

impl NumericDate {
    /// Reads the text of a JSON number ([RFC 8259 section
    /// 6](https://www.rfc-editor.org/rfc/rfc8259#section-6)). `None` for a date before the epoch, and for a
    /// date beyond 64 bits of milliseconds: no issuer means either.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        // Nearly every token has whole seconds, and 32 bits suffice until 2106.
        if let Ok(seconds) = text.parse::<u32>() {
            let floor_millis = i64::from(seconds).saturating_mul(1000);
            return Some(Self {
                floor_millis,
                fraction: false,
            });
        }
        let number = Decimal::read(text);
        if number.is_negative {
            return None;
        }
        // Digits before this position are whole milliseconds, and those after it a fraction.
        let point = i64::try_from(number.whole.len())
            .unwrap_or(i64::MAX)
            .saturating_add(number.exponent)
            .saturating_add(3);
        let mut millis: i64 = 0;
        let mut fraction = false;
        let mut position: i64 = 0;
        for digit in number.digits().map(|byte| i64::from(byte.wrapping_sub(b'0'))) {
            if position < point {
                millis = millis.checked_mul(10)?.checked_add(digit)?;
            } else {
                fraction = fraction || digit != 0;
            }
            position = position.saturating_add(1);
        }
        // The exponent may add zeros at the end. After 19 of them only zero is in range.
        let zeros = point.saturating_sub(position).clamp(0, 20);
        for _ in 0..zeros {
            millis = millis.checked_mul(10)?;
        }
        Some(Self {
            floor_millis: millis,
            fraction,
        })
    }

    /// The first whole millisecond at or after the date.
    #[must_use]
    pub fn rounded_up(self) -> UnixTime {
        let millis = self.floor_millis.saturating_add(i64::from(self.fraction));
        UnixTime::from_millis(u64::try_from(millis).unwrap_or_default())
    }

    /// Whether the date is at or before `time`, without its fraction of a millisecond.
    #[must_use]
    pub fn is_on_or_before(self, time: UnixTime) -> bool {
        self.floor_millis <= clock(time)
    }

    /// Whether the date is after `time`, even by a fraction of a millisecond.
    #[must_use]
    pub fn is_after(self, time: UnixTime) -> bool {
        let time = clock(time);
        self.floor_millis > time || (self.floor_millis == time && self.fraction)
    }
}

fn clock(time: UnixTime) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(floor_millis: i64, fraction: bool) -> Option<NumericDate> {
        Some(NumericDate {
            floor_millis,
            fraction,
        })
    }

    #[test]
    fn integers_fractions_and_exponents_are_read_exactly() {
        for (text, expected) in [
            ("0", date(0, false)),
            ("1700000000", date(1_700_000_000_000, false)),
            ("1700000000.0", date(1_700_000_000_000, false)),
            ("1.7e9", date(1_700_000_000_000, false)),
            ("1.7E+9", date(1_700_000_000_000, false)),
            ("17000000000e-1", date(1_700_000_000_000, false)),
            ("1700000000.25", date(1_700_000_000_250, false)),
            ("1700000000.2505", date(1_700_000_000_250, true)),
            ("1700000000.99999999999999999999", date(1_700_000_000_999, true)),
            ("0.0001", date(0, true)),
            ("1e-400", date(0, true)),
            ("0e999999999999999999999", date(0, false)),
            ("9223372036854775", date(9_223_372_036_854_775_000, false)),
        ] {
            assert_eq!(NumericDate::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "-1",
            "-0.0001",
            "-0",
            "1e400",
            "1e30",
            "123456789012345678901234567890",
            "9223372036854776",
        ] {
            assert_eq!(NumericDate::parse(text), None, "{text}");
        }
    }

    #[test]
    fn rounded_up_a_date_is_not_earlier() {
        for (text, millis) in [("1", 1_000), ("1.0004", 1_001), ("1.001", 1_001), ("0", 0)] {
            let date = NumericDate::parse(text).unwrap();
            assert_eq!(date.rounded_up(), UnixTime::from_millis(millis), "{text}");
        }
    }

    #[test]
    fn a_fraction_never_lets_a_token_live_longer() {
        let time = UnixTime::from_millis(1_000);
        assert!(NumericDate::parse("1.0004").unwrap().is_on_or_before(time));
        assert!(NumericDate::parse("1.0004").unwrap().is_after(time));
        assert!(!NumericDate::parse("1.001").unwrap().is_on_or_before(time));
        assert!(!NumericDate::parse("1").unwrap().is_after(time));
    }
}
