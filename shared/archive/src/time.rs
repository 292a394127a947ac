//! Times as text.
//!
//! Promise: exact to the nanosecond, one text for each time: `1700000000`, `1700000000.5`, `-1.25`.

use crate::Time;
use std::fmt;

/// As in PAX: a decimal number of seconds.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Nanoseconds count forward: -1 s and 750,000,000 ns are -0.25 s.
        let total = i128::from(self.seconds) * 1_000_000_000 + i128::from(self.nanos);
        let sign = if total < 0 { "-" } else { "" };
        let total = total.unsigned_abs();
        write!(f, "{sign}{}", total / 1_000_000_000)?;
        let nanos = total % 1_000_000_000;
        if nanos > 0 {
            let digits = format!("{nanos:09}");
            write!(f, ".{}", digits.trim_end_matches('0'))?;
        }
        Ok(())
    }
}

impl Time {
    /// The time that is written so, and None for any other text.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
        if part.len() > 9 {
            return None;
        }
        let nanos: i128 = format!("{part:0<9}").parse().ok()?;
        let total = whole.parse::<i64>().ok()? as i128 * 1_000_000_000 + nanos;
        let total = if text.starts_with('-') { -total } else { total };
        let time = Self {
            seconds: i64::try_from(total.div_euclid(1_000_000_000)).ok()?,
            nanos: u32::try_from(total.rem_euclid(1_000_000_000)).ok()?,
        };
        (time.to_string() == text).then_some(time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_comes_back_from_its_text() {
        for (seconds, nanos, text) in [
            (0, 0, "0"),
            (1_700_000_000, 123_456_789, "1700000000.123456789"),
            (5, 500_000_000, "5.5"),
            (-1, 750_000_000, "-0.25"),
            (-2, 0, "-2"),
        ] {
            let time = Time { seconds, nanos };
            assert_eq!(time.to_string(), text);
            assert_eq!(Time::parse(text), Some(time));
        }
    }

    #[test]
    fn another_text_is_no_time() {
        for text in [
            "",
            "-",
            "1.",
            "1.50",
            "01",
            "+1",
            "-0",
            "1e3",
            "1.0000000001",
            " 1",
        ] {
            assert_eq!(Time::parse(text), None, "{text:?}");
        }
    }
}
