//! Tokens of LogQL, with their places.

use model::{Error, Result};

/// The longest query, in bytes.
const MAX_QUERY_BYTES: usize = 64 << 10;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Word(String),
    Text(String),
    Number(f64),
    /// Nanoseconds.
    Duration(i64),
    Bytes(f64),
    /// `--strict`
    Flag(String),
    Symbol(&'static str),
    End,
}

impl Token {
    /// As it is shown in errors.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Word(w) => w.clone(),
            Self::Text(t) => format!("{t:?}"),
            Self::Number(n) => n.to_string(),
            Self::Duration(ns) => format!("{}s", *ns as f64 / 1e9),
            Self::Bytes(n) => format!("{n}B"),
            Self::Flag(f) => format!("--{f}"),
            Self::Symbol(s) => (*s).to_owned(),
            Self::End => "end of the query".to_owned(),
        }
    }
}

/// Symbols; longer ones before their beginnings.
const SYMBOLS: [&str; 29] = [
    "|=", "|~", "|>", "!=", "!~", "!>", "==", "=~", ">=", "<=", "{", "}", "(", ")", "[", "]", ",", "=", ">",
    "<", "|", "+", "-", "*", "/", "%", "^", ".", "!",
];

/// The error for a place in a query, lines and columns counted from 1.
pub(super) fn error_at(query: &str, offset: usize, message: impl std::fmt::Display) -> Error {
    let before = &query[..offset.min(query.len())];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    Error::bad_data(format!("parse error at line {line}, col {column}: {message}"))
}

/// All tokens with their offsets; ends with [`Token::End`].
pub(super) fn tokens(query: &str) -> Result<Vec<(Token, usize)>> {
    if query.len() > MAX_QUERY_BYTES {
        return Err(Error::bad_data(format!(
            "parse error: the query has {} bytes, more than {MAX_QUERY_BYTES}",
            query.len()
        )));
    }
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(c) = query[at..].chars().next() {
        let rest = &query[at..];
        if c.is_whitespace() {
            at += c.len_utf8();
            continue;
        }
        if c == '#' {
            at += rest.find('\n').unwrap_or(rest.len());
            continue;
        }
        let (token, len) = token(rest, c).map_err(|message| error_at(query, at, message))?;
        tokens.push((token, at));
        at += len;
    }
    tokens.push((Token::End, query.len()));
    Ok(tokens)
}

fn token(rest: &str, first: char) -> Result<(Token, usize), String> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let second = rest[first.len_utf8()..].chars().next();
    match first {
        '"' | '`' => text(rest, first),
        c if c.is_ascii_digit() || (c == '.' && second.is_some_and(|s| s.is_ascii_digit())) => number(rest),
        c if c.is_alphabetic() || c == '_' => {
            let len = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            Ok((Token::Word(rest[..len].to_owned()), len))
        }
        '-' if rest[1..].starts_with('-') && rest[2..].starts_with(|c: char| c.is_ascii_alphabetic()) => {
            let name = &rest[2..];
            let len = name.find(|c: char| !is_word(c) && c != '-').unwrap_or(name.len());
            Ok((Token::Flag(name[..len].to_owned()), len + 2))
        }
        c => match SYMBOLS.iter().find(|s| rest.starts_with(**s)) {
            Some(symbol) => Ok((Token::Symbol(symbol), symbol.len())),
            None => Err(format!("unexpected character {c:?}")),
        },
    }
}

/// A text in quotes with escapes, or a raw one in backquotes.
fn text(rest: &str, quote: char) -> Result<(Token, usize), String> {
    let mut value = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((i, c)) = chars.next() {
        match c {
            c if c == quote => return Ok((Token::Text(value), i + 1)),
            '\n' if quote == '"' => break,
            '\\' if quote == '"' => value.push(escape(&mut chars)?),
            c => value.push(c),
        }
    }
    Err("literal not terminated".to_owned())
}

fn escape(chars: &mut impl Iterator<Item = (usize, char)>) -> Result<char, String> {
    let Some((_, c)) = chars.next() else {
        return Err("literal not terminated".to_owned());
    };
    let mut code = |radix: u32, n: usize, mut digits: String| {
        digits.extend(chars.take(n).map(|(_, c)| c));
        let code = u32::from_str_radix(&digits, radix).ok().and_then(char::from_u32);
        code.ok_or_else(|| format!("invalid escape with the digits {digits:?}"))
    };
    match c {
        'a' => Ok('\u{7}'),
        'b' => Ok('\u{8}'),
        'f' => Ok('\u{c}'),
        'n' => Ok('\n'),
        'r' => Ok('\r'),
        't' => Ok('\t'),
        'v' => Ok('\u{b}'),
        '\\' | '"' | '\'' => Ok(c),
        'x' => code(16, 2, String::new()),
        'u' => code(16, 4, String::new()),
        'U' => code(16, 8, String::new()),
        '0'..='7' => code(8, 2, c.to_string()),
        _ => Err(format!("invalid escape \\{c}")),
    }
}

/// A number, a duration (`1h30m`) or a size (`2.5KiB`).
fn number(rest: &str) -> Result<(Token, usize), String> {
    let mut len = 0;
    for (i, c) in rest.char_indices() {
        let in_exponent = matches!(c, '+' | '-')
            && rest[..i].ends_with(['e', 'E'])
            && rest[..i - 1].bytes().all(|b| b.is_ascii_digit() || b == b'.');
        if !(c.is_ascii_alphanumeric() || c == '.' || c == 'µ' || in_exponent) {
            break;
        }
        len = i + c.len_utf8();
    }
    let text = &rest[..len];
    let token = if let Ok(n) = text.parse() {
        Token::Number(n)
    } else if let Some(ns) = duration_ns(text) {
        Token::Duration(ns)
    } else if let Some(n) = bytes(text) {
        Token::Bytes(n)
    } else {
        return Err(format!("{text:?} is not a number, a duration or a size"));
    };
    Ok((token, len))
}

/// Splits a number from the unit behind it.
fn split_unit(text: &str) -> Option<(f64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    Some((text[..digits].parse().ok()?, &text[digits..]))
}

/// Durations in a query: as Go writes them, with days, weeks and years; whole nanoseconds.
pub(super) fn duration_ns(text: &str) -> Option<i64> {
    parse_duration(text, true)
}

/// Durations in the text of a label: as Go reads them, hours are the largest unit.
pub(super) fn label_duration_ns(text: &str) -> Option<i64> {
    parse_duration(text, false)
}

fn parse_duration(text: &str, with_days: bool) -> Option<i64> {
    const UNITS: [(&str, f64); 10] = [
        ("ns", 1.0),
        ("us", 1e3),
        ("µs", 1e3),
        ("ms", 1e6),
        ("s", 1e9),
        ("m", 60e9),
        ("h", 3600e9),
        ("d", 86_400e9),
        ("w", 7.0 * 86_400e9),
        ("y", 365.0 * 86_400e9),
    ];
    let units = if with_days { &UNITS[..] } else { &UNITS[..7] };
    let (sign, mut rest) = text.strip_prefix('-').map_or((1.0, text), |rest| (-1.0, rest));
    if rest == "0" {
        return Some(0);
    }
    let mut total = 0.0;
    while !rest.is_empty() {
        let (number, after) = split_unit(rest)?;
        let end = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (_, scale) = units.iter().find(|(unit, _)| *unit == &after[..end])?;
        total += number * scale;
        rest = &after[end..];
    }
    let ns = sign * total;
    (!text.is_empty() && ns.abs() < i64::MAX as f64).then_some(ns as i64)
}

/// Sizes as people write them: `5KB` is 5000, `5KiB` is 5120; case does not matter.
pub(super) fn bytes(text: &str) -> Option<f64> {
    let (number, unit) = split_unit(text)?;
    let unit = unit.to_ascii_lowercase();
    let scale = match unit.trim_end_matches('b') {
        "" => 1.0,
        "k" => 1e3,
        "m" => 1e6,
        "g" => 1e9,
        "t" => 1e12,
        "p" => 1e15,
        "ki" => 1024.0,
        "mi" => 1024f64.powi(2),
        "gi" => 1024f64.powi(3),
        "ti" => 1024f64.powi(4),
        "pi" => 1024f64.powi(5),
        _ => return None,
    };
    Some(number * scale)
}
