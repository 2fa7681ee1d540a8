//! Durations in the configuration.

use std::time::Duration;

use crate::time::millis;

/// Reads `"10s"`, `"1.5s"`, `"500ms"`, `"5m"`, `"1h"`, `"1d"`; `None` for anything else.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let unit_at = text
        .bytes()
        .position(|byte| !byte.is_ascii_digit() && byte != b'.')?;
    let (number, unit) = text.split_at_checked(unit_at)?;
    let factor = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86400.0,
        _ => return None,
    };
    let (whole, decimals) = match number.split_once('.') {
        Some((whole, decimals)) => (whole, Some(decimals)),
        None => (number, None),
    };
    let part = match decimals {
        Some(decimals) => {
            let places = i32::try_from(decimals.len()).ok()?;
            digits(decimals)? / 10_f64.powi(places)
        }
        None => 0.0,
    };
    from_secs((digits(whole)? + part) * factor)
}

/// The value of these digits. The library's parser for floating-point numbers would add 15 KB to the module.
fn digits(text: &str) -> Option<f64> {
    let number = text.bytes().try_fold(0.0, |number, byte| {
        let digit = char::from(byte).to_digit(10)?;
        Some(number * 10.0 + f64::from(digit))
    });
    number.filter(|_| !text.is_empty())
}

/// Exact to the nanosecond, and up to 584 years; every permitted range ends far below. The library's own
/// conversion would add 1 KB.
pub(super) fn from_secs(seconds: f64) -> Option<Duration> {
    let is_duration = (0.0..u64::MAX as f64).contains(&seconds);
    is_duration.then(|| Duration::from_nanos((seconds * 1e9).round_ties_even() as u64))
}

/// Writes a duration in the largest unit that divides it.
pub(super) fn display(duration: Duration) -> String {
    let millis = millis(duration);
    for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)] {
        if millis >= size && millis.checked_rem(size) == Some(0) {
            return format!("{}{unit}", millis.checked_div(size).unwrap_or_default());
        }
    }
    if millis == 0 {
        "0s".to_owned()
    } else {
        format!("{millis}ms")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_spellings_are_read() {
        for (text, millis) in [
            ("10s", 10_000),
            ("1.5s", 1500),
            ("500ms", 500),
            ("5m", 300_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(parse(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in [
            "", "s", "10", "10 s", "-1s", "1e3s", ".5s", "1.s", "1..5s", "10sec", "ten",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_largest_fitting_unit_is_written() {
        assert_eq!(display(Duration::from_secs(86400)), "1d");
        assert_eq!(display(Duration::from_secs(90)), "90s");
        assert_eq!(display(Duration::from_millis(1500)), "1500ms");
        assert_eq!(display(Duration::ZERO), "0s");
    }
}
