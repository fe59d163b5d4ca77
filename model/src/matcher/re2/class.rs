//! Classes of characters and escaped characters.

use super::{NOTHING, before, wrong};
use regex::Regex;
use std::fmt::Write;

/// Writes a character so that it stands for itself, also inside of `[ ]`.
pub(super) fn push_char(out: &mut String, c: char) {
    if c.is_ascii_punctuation() && !matches!(c, '<' | '>' | '_') {
        out.push('\\');
    }
    out.push(c);
}

/// `\d`, `\pL` and the like, alone or inside of `[ ]`; `None` when it is something else.
pub(super) fn named(text: &str) -> Result<Option<(String, &str)>, String> {
    let kind = text.strip_prefix('\\').and_then(|t| t.chars().next());
    let class = match kind {
        Some('d') => "[0-9]",
        Some('D') => "[^0-9]",
        Some('s') => r"[\t\n\x0C\r ]",
        Some('S') => r"[^\t\n\x0C\r ]",
        Some('w') => "[0-9A-Za-z_]",
        Some('W') => "[^0-9A-Za-z_]",
        Some('p' | 'P') => return unicode(text).map(Some),
        _ => return Ok(None),
    };
    Ok(Some((class.to_owned(), &text[2..])))
}

/// `\pL`, `\p{Greek}`, `\P{^Greek}`.
fn unicode(text: &str) -> Result<(String, &str), String> {
    let behind = &text[2..];
    let (name, rest) = match behind.strip_prefix('{') {
        Some(name) => match name.split_once('}') {
            Some(parts) => parts,
            None => return wrong("invalid character class range", text),
        },
        None => behind.split_at(behind.chars().next().map_or(0, char::len_utf8)),
    };
    let shown = before(text, rest);
    let (positive, name) = match name.strip_prefix('^') {
        Some(name) => (text.starts_with(r"\P"), name),
        None => (text.starts_with(r"\p"), name),
    };
    let is_word = !name.is_empty() && name.bytes().all(|b| b == b'_' || b.is_ascii_alphabetic());
    let property = ["gc", "sc"].iter().find_map(|property| {
        let class = format!("{{{property}={name}}}");
        let known = is_word && Regex::new(&format!(r"\p{class}")).is_ok();
        known.then_some(class)
    });
    match property {
        Some(class) => Ok((format!("\\{}{class}", if positive { 'p' } else { 'P' }), rest)),
        None => wrong("invalid character class range", shown),
    }
}

const POSIX: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
    "upper", "word", "xdigit",
];

/// `[:alpha:]` inside of `[ ]`; `None` when it is something else.
fn posix(text: &str) -> Result<Option<(&str, &str)>, String> {
    let Some(end) = text.strip_prefix("[:").and_then(|t| t.find(":]")) else {
        return Ok(None);
    };
    let (class, rest) = text.split_at(end + 4);
    let name = &class[2..class.len() - 2];
    if POSIX.contains(&name.strip_prefix('^').unwrap_or(name)) {
        return Ok(Some((class, rest)));
    }
    wrong("invalid character class range", class)
}

/// A class in brackets, and what comes behind it.
pub(super) fn bracketed(whole: &str) -> Result<(String, &str), String> {
    let mut rest = &whole[1..];
    let negated = rest.starts_with('^');
    if negated {
        rest = &rest[1..];
    }
    let (mut items, mut first) = (String::new(), true);
    while first || !rest.starts_with(']') {
        first = false;
        if let Some((class, behind)) = posix(rest)? {
            items.push_str(class);
            rest = behind;
        } else if let Some((class, behind)) = named(rest)? {
            items.push_str(&class);
            rest = behind;
        } else {
            rest = range(rest, whole, &mut items)?;
        }
    }
    let class = match (items.is_empty(), negated) {
        (true, false) => NOTHING.to_owned(),
        (true, true) => r"[\x00-\x{10FFFF}]".to_owned(),
        (false, false) => format!("[{items}]"),
        (false, true) => format!("[^{items}]"),
    };
    Ok((class, &rest[1..]))
}

/// One character or a range of them.
fn range<'a>(text: &'a str, whole: &str, items: &mut String) -> Result<&'a str, String> {
    let (low, mut rest) = class_char(text, whole)?;
    let mut high = low;
    if rest.starts_with('-') && rest.len() > 1 && !rest.starts_with("-]") {
        (high, rest) = class_char(&rest[1..], whole)?;
    }
    if high < low {
        return wrong("invalid character class range", before(text, rest));
    }
    // No text has halves of surrogate pairs in it.
    let low = char::from_u32(low).unwrap_or('\u{e000}');
    let high = char::from_u32(high).unwrap_or('\u{d7ff}');
    if low < high {
        write!(items, "\\x{{{:X}}}-\\x{{{:X}}}", u32::from(low), u32::from(high))
            .expect("a string takes all that is written to it");
    } else if low == high {
        push_char(items, low);
    }
    Ok(rest)
}

fn class_char<'a>(text: &'a str, whole: &str) -> Result<(u32, &'a str), String> {
    match text.chars().next() {
        None => wrong("missing closing ]", whole),
        Some('\\') => escape(text),
        Some(c) => Ok((u32::from(c), &text[c.len_utf8()..])),
    }
}

/// The number of an escaped character, and what comes behind it.
pub(super) fn escape(text: &str) -> Result<(u32, &str), String> {
    let mut chars = text[1..].chars();
    let Some(c) = chars.next() else {
        return wrong("trailing backslash at end of expression", "");
    };
    let rest = chars.as_str();
    let octal = rest.bytes().take_while(|b| matches!(b, b'0'..=b'7')).count();
    let code = match c {
        '1'..='7' if octal == 0 => None,
        '0'..='7' => {
            let end = 2 + octal.min(2);
            let code = u32::from_str_radix(&text[1..end], 8).ok();
            return code.map(|code| (code, &text[end..])).ok_or_else(String::new);
        }
        'x' => return hexadecimal(text, rest),
        'a' => Some(7),
        'f' => Some(12),
        'n' => Some(10),
        'r' => Some(13),
        't' => Some(9),
        'v' => Some(11),
        c => (c.is_ascii() && !c.is_ascii_alphanumeric()).then_some(u32::from(c)),
    };
    match code {
        Some(code) => Ok((code, rest)),
        None => wrong("invalid escape sequence", before(text, rest)),
    }
}

/// `\x41` or `\x{1F600}`, whose digits start in `digits`.
fn hexadecimal<'a>(text: &'a str, digits: &'a str) -> Result<(u32, &'a str), String> {
    let mut chars = digits.chars();
    let mut code = 0;
    let braces = digits.starts_with('{');
    if braces {
        chars.next();
    }
    for read in 0.. {
        if !braces && read == 2 {
            return Ok((code, chars.as_str()));
        }
        match chars.next() {
            Some('}') if braces && read > 0 => return Ok((code, chars.as_str())),
            Some(c) => match c.to_digit(16) {
                Some(digit) if code * 16 + digit <= u32::from(char::MAX) => code = code * 16 + digit,
                _ => {
                    // Two digits are shown as two, whatever they are.
                    if !braces && read == 0 {
                        chars.next();
                    }
                    break;
                }
            },
            None => break,
        }
    }
    wrong("invalid escape sequence", before(text, chars.as_str()))
}
