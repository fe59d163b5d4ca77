//! Numbers and verbs as Go's `fmt` and `strconv` write them.

use super::TemplateError;
use super::eval::Value;

/// Digits and the decimal exponent of a finite number: `d.ddd * 10^exponent`. `precision` counts digits after the
/// first; `None` is the shortest text that reads back.
fn digits(value: f64, precision: Option<usize>) -> (String, i32) {
    let text = match precision {
        Some(p) => format!("{:.p$e}", value.abs()),
        None => format!("{:e}", value.abs()),
    };
    let (mantissa, exponent) = text.split_once('e').expect("Rust writes an exponent for {:e}");
    (
        mantissa.to_owned(),
        exponent.parse().expect("Rust writes a number after e"),
    )
}

fn special(value: f64) -> Option<&'static str> {
    if value.is_nan() {
        Some("NaN")
    } else if value.is_infinite() {
        Some(if value > 0.0 { "+Inf" } else { "-Inf" })
    } else {
        None
    }
}

fn sign(value: f64) -> &'static str {
    if value.is_sign_negative() { "-" } else { "" }
}

fn with_exponent(value: f64, mantissa: &str, exponent: i32) -> String {
    let exponent_sign = if exponent < 0 { '-' } else { '+' };
    format!("{}{mantissa}e{exponent_sign}{:02}", sign(value), exponent.abs())
}

/// `%v` and `%g`: the shortest text that reads back.
pub(super) fn float_v(value: f64) -> String {
    float_g(value, None)
}

/// `%.Ng`, or `%g` without a precision.
pub(super) fn float_g(value: f64, precision: Option<usize>) -> String {
    if let Some(text) = special(value) {
        return text.to_owned();
    }
    let significant = precision.map(|p| p.max(1));
    let (mantissa, exponent) = digits(value, significant.map(|p| p - 1));
    let limit = match significant {
        Some(p) => i32::try_from(p).unwrap_or(i32::MAX),
        // strconv's rule: for the shortest form the decision is made as if the precision were 6, so that a
        // million is 1e+06 and 123456 stays as it is.
        None => 6,
    };
    if exponent < -4 || exponent >= limit {
        let mantissa = trim_zeros(&mantissa);
        return with_exponent(value, mantissa, exponent);
    }
    let text = match significant {
        Some(p) => {
            let decimals =
                usize::try_from(i64::try_from(p).unwrap_or(0) - 1 - i64::from(exponent)).unwrap_or(0);
            format!("{:.decimals$}", value.abs())
        }
        None => format!("{}", value.abs()),
    };
    format!("{}{}", sign(value), trim_zeros(&text))
}

fn trim_zeros(text: &str) -> &str {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        text
    }
}

/// `strconv.FormatFloat(value, 'e', -1, 64)`, which Prometheus' API uses for the value of an alert.
pub(crate) fn float_e(value: f64) -> String {
    if let Some(text) = special(value) {
        return text.to_owned();
    }
    let (mantissa, exponent) = digits(value, None);
    with_exponent(value, &mantissa, exponent)
}

/// One `%…` of a format.
#[derive(Default)]
struct Verb {
    minus: bool,
    plus: bool,
    zero: bool,
    space: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// The widest field; wider ones come only from mistakes.
const MAX_WIDTH: usize = 1000;

/// `fmt.Sprintf`.
pub(super) fn sprintf(format: &str, arguments: &[Value<'_>]) -> Result<String, TemplateError> {
    let mut output = String::new();
    let mut rest = arguments.iter();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            output.push(c);
            continue;
        }
        let mut verb = Verb::default();
        while let Some(flag) = chars.next_if(|c| matches!(c, '-' | '+' | '0' | ' ' | '#')) {
            match flag {
                '-' => verb.minus = true,
                '+' => verb.plus = true,
                '0' => verb.zero = true,
                ' ' => verb.space = true,
                _ => {}
            }
        }
        verb.width = number(&mut chars)?;
        if chars.next_if_eq(&'.').is_some() {
            verb.precision = Some(number(&mut chars)?.unwrap_or(0));
        }
        match chars.next() {
            None => output.push_str("%!(NOVERB)"),
            Some('%') => output.push('%'),
            Some(letter) => match rest.next() {
                None => output.push_str(&format!("%!{letter}(MISSING)")),
                Some(value) => output.push_str(&verb.write(letter, value)),
            },
        }
    }
    let extra: Vec<_> = rest.map(|v| format!("{}={}", v.kind(), v.text())).collect();
    if !extra.is_empty() {
        output.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    Ok(output)
}

fn number(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Option<usize>, TemplateError> {
    let mut digits = String::new();
    while let Some(c) = chars.next_if(char::is_ascii_digit) {
        digits.push(c);
    }
    if digits.is_empty() {
        return Ok(None);
    }
    match digits.parse() {
        Ok(n) if n <= MAX_WIDTH => Ok(Some(n)),
        _ => Err(TemplateError(format!(
            "a width or precision is more than {MAX_WIDTH}"
        ))),
    }
}

impl Verb {
    fn write(&self, letter: char, value: &Value<'_>) -> String {
        let text = match (letter, value) {
            ('v', Value::Float(f)) => self.signed(float_g(*f, self.precision)),
            ('v', v) => v.text(),
            ('t', Value::Bool(b)) => b.to_string(),
            ('d', Value::Int(n)) => self.signed(n.to_string()),
            ('x', Value::Int(n)) => self.signed(format!("{n:x}")),
            ('X', Value::Int(n)) => self.signed(format!("{n:X}")),
            ('c', Value::Int(n)) => u32::try_from(*n)
                .ok()
                .and_then(char::from_u32)
                .unwrap_or('\u{FFFD}')
                .to_string(),
            ('f' | 'F', Value::Float(f)) => self.signed(match special(*f) {
                Some(text) => text.to_owned(),
                None => format!("{f:.*}", self.precision.unwrap_or(6)),
            }),
            ('e', Value::Float(f)) => self.signed(match special(*f) {
                Some(text) => text.to_owned(),
                None => {
                    let (mantissa, exponent) = digits(*f, Some(self.precision.unwrap_or(6)));
                    with_exponent(*f, &mantissa, exponent)
                }
            }),
            ('g' | 'G', Value::Float(f)) => self.signed(float_g(*f, self.precision)),
            ('s', Value::Str(s)) => match self.precision {
                Some(p) => s.chars().take(p).collect(),
                None => s.clone(),
            },
            ('s', v @ Value::Map(_)) => v.text(),
            ('q', Value::Str(s)) => format!("{s:?}"),
            ('x', Value::Str(s)) => s.bytes().map(|b| format!("{b:02x}")).collect(),
            (letter, v) => return format!("%!{letter}({}={})", v.kind(), v.text()),
        };
        self.pad(text, matches!(value, Value::Int(_) | Value::Float(_)))
    }
    fn signed(&self, text: String) -> String {
        let positive = !text.starts_with(['-', '+']);
        match () {
            () if positive && self.plus => format!("+{text}"),
            () if positive && self.space => format!(" {text}"),
            () => text,
        }
    }
    fn pad(&self, text: String, is_number: bool) -> String {
        let missing = self.width.unwrap_or(0).saturating_sub(text.chars().count());
        if missing == 0 {
            return text;
        }
        if self.minus {
            return text + &" ".repeat(missing);
        }
        let finite = text.ends_with(|c: char| c.is_ascii_digit());
        if self.zero && is_number && finite {
            let digits = text.trim_start_matches(['-', '+', ' ']);
            let sign = &text[..text.len() - digits.len()];
            return format!("{sign}{}{digits}", "0".repeat(missing));
        }
        " ".repeat(missing) + &text
    }
}
