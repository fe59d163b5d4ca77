//! Texts, numbers and durations as Go reads and writes them, since answers and messages are compared with those of
//! programs in Go.

use std::fmt::Write;

/// Whether a character is written as it is in a quoted text.
fn is_printable(c: char) -> bool {
    // Rust escapes what Go escapes, and combining marks where a text begins; so the text begins with another.
    let mut buffer = [b'a'; 5];
    let len = c.encode_utf8(&mut buffer[1..]).len();
    let text = std::str::from_utf8(&buffer[..=len]).expect("a letter and a character");
    matches!(c, '\'' | '"' | '\\') || text.escape_debug().nth(1) == Some(c)
}

fn write_char(out: &mut String, c: char, quote: char) {
    match c {
        '\\' => out.push_str("\\\\"),
        c if c == quote => out.extend(['\\', c]),
        '\u{7}' => out.push_str("\\a"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{b}' => out.push_str("\\v"),
        c if is_printable(c) => out.push(c),
        c => {
            let code = u32::from(c);
            let written = match code {
                0..0x20 | 0x7f => write!(out, "\\x{code:02x}"),
                0..0x10000 => write!(out, "\\u{code:04x}"),
                _ => write!(out, "\\U{code:08x}"),
            };
            written.expect("a string takes all that is written to it");
        }
    }
}

/// In double quotes, what cannot be seen escaped.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    text.chars().for_each(|c| write_char(&mut out, c, '"'));
    out.push('"');
    out
}

/// A character in single quotes; `None` is the end of the text.
pub fn quote_char(c: Option<char>) -> String {
    let mut out = String::from("'");
    write_char(&mut out, c.unwrap_or(char::REPLACEMENT_CHARACTER), '\'');
    out.push('\'');
    out
}

/// A character by number, and itself where it can be seen: `U+0078 'x'`.
pub fn code_point(c: char) -> String {
    let number = format!("U+{:04X}", u32::from(c));
    if is_printable(c) {
        format!("{number} '{c}'")
    } else {
        number
    }
}

/// The text that a literal stands for, whose escapes the lexer has checked.
///
/// # Errors
/// Escaped bytes may add up to what is no UTF-8; no label has such a value.
pub fn unquote(literal: &str) -> Result<String, String> {
    let inner = &literal[1..literal.len() - 1];
    if literal.starts_with('`') || !inner.contains('\\') {
        return Ok(inner.to_owned());
    }
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        rest = unescape(&rest[at + 1..], &mut bytes).ok_or("invalid syntax")?;
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())
}

/// Decodes what comes after a backslash and gives the rest.
fn unescape<'a>(text: &'a str, bytes: &mut Vec<u8>) -> Option<&'a str> {
    let c = text.chars().next()?;
    let plain = match c {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 11,
        '\\' | '\'' | '"' => c as u8,
        'x' => {
            bytes.push(u8::from_str_radix(text.get(1..3)?, 16).ok()?);
            return text.get(3..);
        }
        '0'..='7' => {
            bytes.push(u8::from_str_radix(text.get(..3)?, 8).ok()?);
            return text.get(3..);
        }
        'u' | 'U' => {
            let end = if c == 'u' { 5 } else { 9 };
            let decoded = char::from_u32(u32::from_str_radix(text.get(1..end)?, 16).ok()?)?;
            bytes.extend_from_slice(decoded.encode_utf8(&mut [0; 4]).as_bytes());
            return text.get(end..);
        }
        _ => return None,
    };
    bytes.push(plain);
    text.get(1..)
}

/// The value of a number: decimal, hexadecimal after `0x`, octal after `0`, with underscores between digits.
pub fn parse_number(text: &str) -> Result<f64, String> {
    let wrong = |what| {
        format!(
            "error parsing number: strconv.ParseFloat: parsing {}: {what}",
            quote(text)
        )
    };
    if !underscores_separate_digits(text) {
        return Err(wrong("invalid syntax"));
    }
    let digits = text.replace('_', "");
    if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        let value = (!hex.starts_with(['+', '-'])).then(|| i64::from_str_radix(hex, 16));
        return value
            .and_then(Result::ok)
            .map(|v| v as f64)
            .ok_or_else(|| wrong("invalid syntax"));
    }
    if digits.len() > 1
        && digits.starts_with('0')
        && let Ok(value) = i64::from_str_radix(&digits, 8)
    {
        return Ok(value as f64);
    }
    match digits.parse::<f64>() {
        Ok(value) if value.is_infinite() && !digits.to_ascii_lowercase().contains("inf") => {
            Err(wrong("value out of range"))
        }
        Ok(value) => Ok(value),
        Err(_) => Err(wrong("invalid syntax")),
    }
}

/// An underscore stands between digits, or between the prefix `0x` and a digit.
fn underscores_separate_digits(text: &str) -> bool {
    let text = text.as_bytes();
    let hex = text.len() > 1 && text[0] == b'0' && text[1] | 32 == b'x';
    let is_digit = |b: u8| b.is_ascii_digit() || hex && b.is_ascii_hexdigit();
    text.iter()
        .enumerate()
        .filter(|(_, b)| **b == b'_')
        .all(|(i, _)| {
            let before = i > 0 && (is_digit(text[i - 1]) || hex && i == 2);
            before && text.get(i + 1).is_some_and(|b| is_digit(*b))
        })
}

/// The shortest digits that give the number back, without an exponent.
pub fn format_number(value: f64) -> String {
    if value == f64::INFINITY {
        "+Inf".to_owned()
    } else if value == f64::NEG_INFINITY {
        "-Inf".to_owned()
    } else {
        format!("{value}")
    }
}

/// The shortest digits, with an exponent below 1e-4 and from 1e6 on.
pub fn format_short_number(value: f64) -> String {
    let scientific = format!("{value:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else {
        return format_number(value);
    };
    match exponent.parse::<i32>() {
        Ok(e) if value != 0.0 && !(-4..6).contains(&e) => {
            let sign = if e < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", e.abs())
        }
        _ => format_number(value),
    }
}

/// Two digits, with an exponent below 1e-4 and from 100 on.
pub fn format_two_digits(value: f64) -> String {
    let scientific = format!("{value:.1e}");
    let rounded: f64 = scientific.parse().unwrap_or(value);
    let Some((digits, exponent)) = scientific.split_once('e') else {
        return format_number(value);
    };
    match exponent.parse::<i32>() {
        Ok(e) if rounded != 0.0 && !(-4..2).contains(&e) => {
            let sign = if e < 0 { '-' } else { '+' };
            let digits = digits.strip_suffix(".0").unwrap_or(digits);
            format!("{digits}e{sign}{:02}", e.abs())
        }
        _ => format_number(rounded),
    }
}

const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// The seconds of a duration such as `1h30m`: larger units first, at most 292 years.
pub fn parse_duration(text: &str) -> Result<f64, String> {
    let invalid = || format!("not a valid duration string: {}", quote(text));
    let out_of_range = || "duration out of range".to_owned();
    let (mut rest, mut total_ms, mut next_unit) = (text, 0u64, 0);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().map_err(|_| invalid())?;
        rest = &rest[digits..];
        let letters = rest.bytes().take_while(|b| !b.is_ascii_digit()).count();
        if letters == 0 {
            return Err(invalid());
        }
        let name = &rest[..letters];
        let unit = UNITS
            .iter()
            .position(|(unit, _)| *unit == name)
            .ok_or_else(|| format!("unknown unit {} in duration {}", quote(name), quote(text)))?;
        if unit < next_unit {
            return Err(invalid());
        }
        next_unit = unit + 1;
        total_ms = number
            .checked_mul(UNITS[unit].1)
            .and_then(|ms| total_ms.checked_add(ms))
            .filter(|ms| *ms <= i64::MAX as u64 / 1_000_000)
            .ok_or_else(out_of_range)?;
        rest = &rest[letters..];
    }
    Ok((total_ms / 1000) as f64 + (total_ms % 1000 * 1_000_000) as f64 / 1e9)
}

/// A duration from milliseconds, without its sign. Years and weeks are used only where they come out even.
pub fn format_duration(ms: i64) -> String {
    let mut rest = ms.unsigned_abs();
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut out = String::new();
    for (name, unit_ms) in UNITS {
        let only_even = matches!(name, "y" | "w");
        if rest < unit_ms || only_even && !rest.is_multiple_of(unit_ms) {
            continue;
        }
        write!(out, "{}{name}", rest / unit_ms).expect("a string takes all that is written to it");
        rest %= unit_ms;
    }
    out
}

/// Whether a label name needs no quotes.
pub fn is_plain_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_go_does() {
        let check = |value: f64, short: &str, two: &str| {
            assert_eq!(
                (
                    format_short_number(value).as_str(),
                    format_two_digits(value).as_str()
                ),
                (short, two)
            );
        };
        check(0.5, "0.5", "0.5");
        check(-0.0, "-0", "-0");
        check(12.34, "12.34", "12");
        check(123.0, "123", "1.2e+02");
        check(99.9, "99.9", "1e+02");
        check(1e6, "1e+06", "1e+06");
        check(1.23e-5, "1.23e-05", "1.2e-05");
        check(0.0001, "0.0001", "0.0001");
        check(f64::INFINITY, "+Inf", "+Inf");
        check(f64::NAN, "NaN", "NaN");
        assert_eq!(format_number(1e21), "1000000000000000000000");
    }
}
