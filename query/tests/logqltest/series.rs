//! Series descriptions: `name{label="value"} 1 2+3x4 _ stale`.

use model::Labels;

/// One point of a description.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Item {
    Gap,
    Value(f64),
    Stale,
    Histogram,
}

impl Item {
    pub(crate) fn is_met_by(&self, got: f64) -> bool {
        matches!(self, Self::Value(expected) if almost_equal(*expected, got))
    }
}

/// Equal as the reference means it: both NaN, or nearly the same number.
pub(crate) fn almost_equal(a: f64, b: f64) -> bool {
    if a.is_nan() || b.is_nan() {
        return a.is_nan() && b.is_nan();
    }
    a == b || (a - b).abs() / (a.abs() + b.abs()).min(f64::MAX) < 1e-6
}

/// Reads a whole line.
pub(crate) fn parse(line: &str) -> Result<(Labels, Vec<Item>), String> {
    let (labels, rest) = labels(line.trim())?;
    Ok((labels, items(rest)?))
}

/// Reads the metric at the start of a line; gives back the rest.
pub(crate) fn labels(line: &str) -> Result<(Labels, &str), String> {
    let name_end = line
        .find(|c: char| c == '{' || c == '@' || c.is_whitespace())
        .unwrap_or(line.len());
    let mut pairs = vec![("__name__".to_owned(), line[..name_end].to_owned())];
    let mut rest = &line[name_end..];
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner.trim_start();
        while !rest.starts_with('}') {
            let (name, after) = word(rest)?;
            rest = after.trim_start();
            if let Some(after) = rest.strip_prefix('=') {
                let (value, after) = word(after.trim_start())?;
                pairs.push((name, value));
                rest = after.trim_start();
            } else {
                pairs.push(("__name__".to_owned(), name));
            }
            rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
        }
        rest = &rest[1..];
    }
    pairs.retain(|(_, v)| !v.is_empty());
    Ok((Labels::from_pairs(pairs), rest))
}

/// A bare or a quoted word.
fn word(text: &str) -> Result<(String, &str), String> {
    let Some(quote) = text.chars().next().filter(|c| matches!(c, '"' | '\'' | '`')) else {
        let end = text
            .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'))
            .unwrap_or(text.len());
        if end == 0 {
            return Err(format!("no label at {text:?}"));
        }
        return Ok((text[..end].to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((i, c)) = chars.next() {
        match c {
            c if c == quote => return Ok((value, &text[i + 1..])),
            '\\' if quote != '`' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, 't')) => value.push('\t'),
                Some((_, c)) => value.push(c),
                None => break,
            },
            c => value.push(c),
        }
    }
    Err(format!("no end of the text at {text:?}"))
}

pub(crate) fn items(text: &str) -> Result<Vec<Item>, String> {
    let mut items = Vec::new();
    for token in tokens(text) {
        item(&token, &mut items).ok_or_else(|| format!("item {token:?}"))?;
    }
    Ok(items)
}

/// Splits at blanks outside of histogram braces.
fn tokens(text: &str) -> Vec<String> {
    let (mut tokens, mut depth) = (vec![String::new()], 0);
    for c in text.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if c.is_whitespace() && depth == 0 {
            tokens.push(String::new());
        } else {
            tokens.last_mut().unwrap().push(c);
        }
    }
    tokens.retain(|t| !t.is_empty());
    tokens
}

fn item(token: &str, into: &mut Vec<Item>) -> Option<()> {
    if token.starts_with("{{") {
        let after = &token[token.rfind("}}")? + 2..];
        let (is_sum, count) = match after.strip_prefix('x') {
            Some(n) => (token.matches("{{").count() > 1, n.parse::<usize>().ok()?),
            None => (false, 0),
        };
        let extra = usize::from(is_sum || !after.is_empty());
        into.extend(vec![
            Item::Histogram;
            if after.is_empty() { 1 } else { count + extra }
        ]);
        return Some(());
    }
    if token == "stale" {
        into.push(Item::Stale);
        return Some(());
    }
    if let Some(gap) = token.strip_prefix('_') {
        let count = if gap.is_empty() {
            1
        } else {
            gap.strip_prefix('x')?.parse().ok()?
        };
        into.extend(vec![Item::Gap; count]);
        return Some(());
    }
    if let Some((base, count)) = token.split_once('x') {
        let count: usize = count.parse().ok()?;
        // The sign between base and step is not the one of the base or of an exponent.
        let sign = base
            .char_indices()
            .skip(1)
            .find(|(i, c)| matches!(c, '+' | '-') && !matches!(base.as_bytes()[i - 1], b'e' | b'E'));
        let (start, step) = match sign {
            Some((i, '-')) => (number(&base[..i])?, -number(&base[i + 1..])?),
            Some((i, _)) => (number(&base[..i])?, number(&base[i + 1..])?),
            None => (number(base)?, 0.0),
        };
        let mut value = start;
        for _ in 0..=count {
            into.push(Item::Value(value));
            value += step;
        }
        return Some(());
    }
    into.push(Item::Value(number(token)?));
    Some(())
}

pub(crate) fn number(text: &str) -> Option<f64> {
    text.parse().ok()
}
