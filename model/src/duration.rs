//! Durations as Prometheus writes them: `1h30m`, `15s`, `250ms`, `2w`.

use crate::{Error, Result};
use std::time::Duration;

const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// Reads a duration: numbers with units, larger units first, each unit at most once; a bare `0` is allowed.
pub fn parse(text: &str) -> Result<Duration> {
    let bad = || {
        Error::bad_data(format!(
            "{text:?} is not a duration: write for instance 15s, 1h30m or 250ms (units y w d h m s ms)"
        ))
    };
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let (mut rest, mut total_ms, mut next_unit) = (text, 0u64, 0);
    if rest.is_empty() {
        return Err(bad());
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().map_err(|_| bad())?;
        rest = &rest[digits..];
        let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let unit = UNITS
            .iter()
            .position(|(name, _)| *name == &rest[..letters])
            .ok_or_else(bad)?;
        if unit < next_unit {
            return Err(bad());
        }
        next_unit = unit + 1;
        total_ms = number
            .checked_mul(UNITS[unit].1)
            .and_then(|ms| total_ms.checked_add(ms))
            .ok_or_else(bad)?;
        rest = &rest[letters..];
    }
    Ok(Duration::from_millis(total_ms))
}

/// Writes a duration so that [`parse`] reads it back; parts of a millisecond are cut off.
pub fn format(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (name, ms) in UNITS {
        // Weeks and years only when they come out even: 8d reads better than 1w1d.
        let coarse = matches!(name, "y" | "w");
        if rest < ms || (coarse && rest % ms != 0) {
            continue;
        }
        text.push_str(&format!("{}{name}", rest / ms));
        rest %= ms;
    }
    text
}

/// For `#[serde(with = "model::duration::serde_text")]`: durations as text in configuration.
pub mod serde_text {
    use serde::{Deserialize as _, Deserializer, Serializer};
    use std::time::Duration;

    /// Writes the text form.
    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::format(*duration))
    }
    /// Reads the text form.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        super::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// For `#[serde(with = "model::duration::serde_optional")]`: as [`serde_text`], or nothing. The field needs a default.
pub mod serde_optional {
    use serde::{Deserializer, Serializer};
    use std::time::Duration;

    /// Writes the text form.
    pub fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => super::serde_text::serialize(duration, serializer),
            None => serializer.serialize_none(),
        }
    }
    /// Reads the text form.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        super::serde_text::deserialize(deserializer).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_like_prometheus() {
        let check = |text: &str, ms: u64, again: &str| {
            assert_eq!(parse(text).unwrap(), Duration::from_millis(ms), "{text}");
            assert_eq!(format(Duration::from_millis(ms)), again);
        };
        check("15s", 15_000, "15s");
        check("1h30m", 5_400_000, "1h30m");
        check("90m", 5_400_000, "1h30m");
        check("250ms", 250, "250ms");
        check("0", 0, "0s");
        check("2w", 14 * 86_400_000, "2w");
        check("1y", 365 * 86_400_000, "1y");
        check("8d", 8 * 86_400_000, "8d");
        for bad in [
            "",
            "5",
            "s",
            "1m1h",
            "1s1s",
            "-1s",
            "1.5h",
            "1x",
            "99999999999y",
            "1 s",
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
