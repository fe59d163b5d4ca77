//! Numbers and texts as Go prints them, since answers and messages are compared with those of programs in Go.

use std::fmt::Write as _;

/// `%g`: the shortest text that reads back as the same number, with an exponent below 1e-4 and from 1e21 on.
pub(crate) fn shortest(value: f64) -> String {
    match special(value) {
        Some(text) => text.to_owned(),
        None => general(&format!("{value:e}"), 21),
    }
}

/// `%.2g`: two digits.
pub(crate) fn two_digits(value: f64) -> String {
    match special(value) {
        Some(text) => text.to_owned(),
        None => general(&format!("{value:.1e}"), 2),
    }
}

/// `%f` with as many digits as are needed to read the same number back.
pub(crate) fn plain(value: f64) -> String {
    match special(value) {
        Some(text) => text.to_owned(),
        None => value.to_string(),
    }
}

fn special(value: f64) -> Option<&'static str> {
    if value.is_nan() {
        Some("NaN")
    } else if value == f64::INFINITY {
        Some("+Inf")
    } else if value == f64::NEG_INFINITY {
        Some("-Inf")
    } else {
        None
    }
}

/// Chooses between the forms with and without an exponent, from the scientific one.
fn general(scientific: &str, first_exponent: i32) -> String {
    let (digits, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let digits = match digits.contains('.') {
        true => digits.trim_end_matches('0').trim_end_matches('.'),
        false => digits,
    };
    if (-4..first_exponent).contains(&exponent) {
        let text: f64 = format!("{digits}e{exponent}").parse().unwrap_or_default();
        return text.to_string();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

/// `%q`: a text in quotes, with escapes.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            c if c.is_ascii_control() => {
                let _ = write!(quoted, "\\x{:02x}", u32::from(c));
            }
            // Rust's own escapes know which characters can be printed.
            c if !c.is_ascii() && c.escape_debug().len() > 1 => {
                let _ = match u32::from(c) {
                    code @ ..=0xffff => write!(quoted, "\\u{code:04x}"),
                    code => write!(quoted, "\\U{code:08x}"),
                };
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_go_does() {
        let check = |value: f64, expected: &str| assert_eq!(shortest(value), expected);
        check(0.5, "0.5");
        check(1.1, "1.1");
        check(-0.0, "-0");
        check(100.0, "100");
        check(1e20, "100000000000000000000");
        check(1e21, "1e+21");
        check(1.25e-5, "1.25e-05");
        check(0.0001, "0.0001");
        check(f64::INFINITY, "+Inf");
        check(f64::NAN, "NaN");
        let check = |value: f64, expected: &str| assert_eq!(two_digits(value), expected);
        check(1.0, "1");
        check(12.34, "12");
        check(0.123, "0.12");
        check(123.0, "1.2e+02");
        assert_eq!(plain(1e21), "1000000000000000000000");
    }

    #[test]
    fn texts_are_quoted_as_go_does() {
        assert_eq!(quote("a\"b\\c\nd\u{1}é\u{feff}"), r#""a\"b\\c\nd\x01é\ufeff""#);
    }
}
