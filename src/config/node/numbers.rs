//! Numbers and durations.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::Node;
use crate::config::duration;
use crate::config::error::ConfigError;
use crate::json::Kind;

impl<'a> Node<'a> {
    pub(in crate::config) fn integer(&self, range: RangeInclusive<u64>) -> Result<u64, Box<ConfigError>> {
        let (text, number) = self.number("a whole number")?;
        if number.fract() != 0.0 {
            return Err(self.invalid(format!("must be a whole number, not {text}")));
        }
        // Exact: every whole double in the permitted ranges (below 2^53) converts without loss.
        let whole = if number >= 0.0 { number as u64 } else { 0 };
        if number < 0.0 || !range.contains(&whole) {
            return Err(self.invalid(format!(
                "must be from {} to {}, not {text}",
                range.start(),
                range.end()
            )));
        }
        Ok(whole)
    }

    /// A whole number, positive or negative.
    pub(in crate::config) fn signed(&self) -> Result<i64, Box<ConfigError>> {
        let text = self
            .value
            .as_number_text()
            .ok_or_else(|| self.wrong_type("a whole number"))?;
        let whole = text.strip_suffix(".0").unwrap_or(text);
        whole
            .parse()
            .map_err(|_| self.invalid(format!("must be a whole number of 64 bits, not {text}")))
    }

    /// A number as written, and the nearest double.
    pub(in crate::config) fn number(
        &self,
        expected: &'static str,
    ) -> Result<(&'a str, f64), Box<ConfigError>> {
        let text = self
            .value
            .as_number_text()
            .ok_or_else(|| self.wrong_type(expected))?;
        // Not the library's own reader, which would add 15 KB: this one is present for JSON anyway, and the
        // last binary digit does not matter here.
        match serde_json::from_str(text) {
            Ok(number) => Ok((text, number)),
            Err(_) => Err(self.invalid(format!("the number {text} is out of range"))),
        }
    }

    /// A number between two numbers of tenths.
    pub(in crate::config) fn share(&self, low: u8, high: u8) -> Result<f64, Box<ConfigError>> {
        let (text, number) = self.number("a number between 0 and 1")?;
        let bound = |tenths: u8| f64::from(tenths) / 10.0;
        if !(bound(low)..=bound(high)).contains(&number) {
            return Err(self.invalid(format!(
                "must be from {} to {}, not {text}",
                tenths(low),
                tenths(high)
            )));
        }
        Ok(number)
    }

    /// `"10s"`, `"1.5s"`, `"500ms"`, `"5m"`, `"1h"`, `"1d"`, a number of seconds, or `{seconds, nanos}`.
    pub(in crate::config) fn duration(
        &self,
        range: RangeInclusive<Duration>,
    ) -> Result<Duration, Box<ConfigError>> {
        const EXPECTED: &str = "a duration such as \"10s\", \"5m\", \"1h\" or a number of seconds";
        let parsed = match self.value.kind() {
            Kind::String => {
                let text = self.text()?;
                duration::parse(&text).ok_or_else(|| {
                    self.invalid(format!(
                        "`{text}` is not a duration; write it as in \"10s\", \"5m\", \"1h\", or as a number of seconds"
                    ))
                })?
            }
            Kind::Number => {
                let (text, seconds) = self.number(EXPECTED)?;
                duration::from_secs(seconds)
                    .ok_or_else(|| self.invalid(format!("{text} seconds is not a duration")))?
            }
            Kind::Object => {
                let parts = self.found(&["seconds", "nanos"])?;
                let part = |name: &str, most| match parts.get(name) {
                    Some(node) => node.integer(0..=most),
                    None => Ok(0),
                };
                let nanos = Duration::from_nanos(part("nanos", 999_999_999)?);
                Duration::from_secs(part("seconds", 315_576_000_000)?).saturating_add(nanos)
            }
            Kind::Null | Kind::Bool | Kind::Array => return Err(self.wrong_type(EXPECTED)),
        };
        if range.contains(&parsed) {
            Ok(parsed)
        } else {
            Err(self.invalid(format!(
                "must be from {} to {}",
                duration::display(*range.start()),
                duration::display(*range.end())
            )))
        }
    }
}

/// A number of tenths in decimal notation. The library's own writer for doubles would add 19 KB.
pub(in crate::config) fn tenths(number: u8) -> String {
    match (number / 10, number % 10) {
        (whole, 0) => whole.to_string(),
        (whole, rest) => format!("{whole}.{rest}"),
    }
}
