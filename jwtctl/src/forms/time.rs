//! A time in words.

use crate::core::UnixTime;

/// A time: RFC 3339 in UTC or with an offset, or seconds since 1970.
pub(crate) fn parse_time(text: &str) -> Result<UnixTime, String> {
    let fault =
        || format!("`{text}` is not a time; write it as in 2026-01-31T12:00:00Z, or as seconds since 1970");
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(UnixTime::from_secs(seconds));
    }
    let number = |range: std::ops::Range<usize>| -> Result<i64, String> {
        text.get(range)
            .and_then(|digits| digits.parse().ok())
            .ok_or_else(fault)
    };
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    let bytes = text.as_bytes();
    let is_sound = separators.iter().all(|(at, byte)| {
        bytes
            .get(*at)
            .is_some_and(|found| found.eq_ignore_ascii_case(byte) || *at == 10 && *found == b' ')
    }) && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second < 61;
    if !is_sound {
        return Err(fault());
    }
    let zone = text
        .get(19..)
        .unwrap_or_default()
        .trim_start_matches(|letter: char| letter == '.' || letter.is_ascii_digit());
    let offset = match zone.split_at_checked(1) {
        Some(("Z" | "z", "")) => 0,
        Some((sign @ ("+" | "-"), zone)) => {
            let (hours, minutes) = zone.split_once(':').ok_or_else(fault)?;
            let hours: i64 = hours.parse().map_err(|_| fault())?;
            let minutes: i64 = minutes.parse().map_err(|_| fault())?;
            (hours * 60 + minutes) * if sign == "-" { -1 } else { 1 }
        }
        _ => return Err(fault()),
    };
    // Howard Hinnant's `days_from_civil`.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second - offset * 60;
    u64::try_from(seconds)
        .map(UnixTime::from_secs)
        .map_err(|_| fault())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_every_form() {
        for (text, seconds) in [
            ("0", 0),
            ("1970-01-01T00:00:00Z", 0),
            ("2026-01-31T12:00:00Z", 1_769_860_800),
            ("2026-01-31T13:30:00.123+01:30", 1_769_860_800),
            ("2024-02-29 23:59:59z", 1_709_251_199),
        ] {
            assert_eq!(parse_time(text), Ok(UnixTime::from_secs(seconds)), "{text}");
        }
        for text in [
            "",
            "yesterday",
            "2026-13-01T00:00:00Z",
            "2026-01-01",
            "2026-01-01T00:00:00",
            "é026-01-01T00:00:00Z",
        ] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }
}
