//! Series descriptions: `name{label="value"} 1 2+3x4 _ stale {{sum:1 count:2}}x3`, and lines of start timestamps.

use super::histogram;
use super::text::Cursor;
use model::Labels;
use model::labels::METRIC_NAME;
use model::metric::{Histogram, stale_nan};
use std::sync::Arc;

/// The most points that one line may stand for.
const MAX_POINTS: usize = 1_000_000;

/// One point of a description.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Item {
    /// No point.
    Gap,
    /// A number; the staleness marker is one.
    Value(f64),
    /// A native histogram.
    Histogram {
        /// What it holds.
        histogram: Arc<Histogram>,
        /// Whether the description names the reset hint, so that it has to be the same.
        hint_is_written: bool,
    },
}

/// Reads a whole line.
pub(super) fn parse(line: &str) -> Result<(Labels, Vec<Item>), String> {
    let mut cursor = Cursor::new(line);
    let labels = metric(&mut cursor)?;
    let mut items = Vec::new();
    while !cursor.is_empty() {
        if !cursor.blanks() {
            return Err(format!("a blank is missing before {:?}", cursor.rest()));
        }
        if !cursor.is_empty() {
            item(&mut cursor, &mut items)?;
        }
    }
    Ok((labels, items))
}

/// Whether a line gives start timestamps: its first word ends with `@st`.
pub(super) fn is_of_starts(line: &str) -> bool {
    let metric = line.split([' ', '\t']).next().unwrap_or_default();
    metric.len() < line.len() && metric.ends_with("@st")
}

/// Reads a line of start timestamps: offsets in milliseconds from the times of the samples, or none.
pub(super) fn parse_starts(line: &str) -> Result<(Labels, Vec<Option<i64>>), String> {
    let mut words = line.split_whitespace();
    let metric_text = words.next().and_then(|w| w.strip_suffix("@st"));
    let mut cursor = Cursor::new(metric_text.ok_or("the metric is missing before @st")?);
    let labels = metric(&mut cursor)?;
    if !cursor.is_empty() {
        return Err(format!(
            "{:?} after the metric of a line of start timestamps",
            cursor.rest()
        ));
    }
    let mut offsets = Vec::new();
    for word in words {
        start_item(word, &mut offsets).map_err(|e| format!("start timestamp {word:?}: {e}"))?;
    }
    Ok((labels, offsets))
}

/// The metric at the start of a line.
fn metric(cursor: &mut Cursor<'_>) -> Result<Labels, String> {
    let name = cursor.word(true);
    let mut pairs = Vec::new();
    if !name.is_empty() {
        pairs.push((METRIC_NAME.to_owned(), name.to_owned()));
    }
    if cursor.eat("{") {
        labels(cursor, &mut pairs)?;
    } else if name.is_empty() {
        return Err(format!("no metric at {:?}", cursor.rest()));
    }
    Ok(Labels::from_pairs(pairs))
}

/// The labels after an opening brace, with the closing one.
fn labels(cursor: &mut Cursor<'_>, pairs: &mut Vec<(String, String)>) -> Result<(), String> {
    loop {
        cursor.blanks();
        if cursor.eat("}") {
            return Ok(());
        }
        let word = cursor.word(false).to_owned();
        let is_quoted = word.is_empty();
        let name = if is_quoted { cursor.quoted()? } else { word };
        cursor.blanks();
        if cursor.eat("=") {
            cursor.blanks();
            pairs.push((name, cursor.quoted()?));
        } else if is_quoted {
            pairs.push((METRIC_NAME.to_owned(), name));
        } else {
            return Err(format!("no value for the label {name}"));
        }
        cursor.blanks();
        if !cursor.eat(",") && cursor.peek() != Some('}') {
            return Err(format!("no comma and no brace at {:?}", cursor.rest()));
        }
    }
}

/// One item of a sequence: a point, or several.
fn item(cursor: &mut Cursor<'_>, items: &mut Vec<Item>) -> Result<(), String> {
    if cursor.eat("_") {
        let count = if cursor.eat("x") { cursor.count()? } else { 1 };
        return repeat(items, count, || Item::Gap);
    }
    if cursor.eat("{{") {
        return histograms(cursor, items);
    }
    let stale = cursor.rest().strip_prefix("stale");
    if stale.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')) {
        cursor.eat("stale");
        return repeat(items, 1, || Item::Value(stale_nan()));
    }
    let mut value = cursor.signed_number()?;
    let change = match cursor.peek() {
        Some('+' | '-') => Some(cursor.signed_number()?),
        _ => None,
    };
    if cursor.eat("x") {
        let count = cursor.count()?;
        return repeat(items, count.saturating_add(1), || {
            let now = value;
            value += change.unwrap_or(0.0);
            Item::Value(now)
        });
    }
    match change {
        Some(_) => Err("a step without a number of repetitions".to_owned()),
        None => repeat(items, 1, || Item::Value(value)),
    }
}

/// What follows the opening braces of a histogram.
fn histograms(cursor: &mut Cursor<'_>, items: &mut Vec<Item>) -> Result<(), String> {
    let base = histogram::parse(cursor)?;
    let is_sum = cursor.eat("+{{");
    let change = if is_sum || cursor.eat("-{{") {
        Some(histogram::parse(cursor)?)
    } else {
        None
    };
    let count = match (cursor.eat("x"), &change) {
        (true, _) => cursor.count()?.saturating_add(1),
        (false, None) => 1,
        (false, Some(_)) => return Err("a step without a number of repetitions".to_owned()),
    };
    // Whether the hint counts is said by the last histogram that is written.
    let hint_is_written = change.as_ref().unwrap_or(&base).hint_is_written;
    let mut points = vec![base.histogram];
    if let Some(change) = change {
        let sign = if is_sum { 1.0 } else { -1.0 };
        check_room(items, count)?;
        for at in 1..count {
            let next = histogram::add(&points[at - 1], &change.histogram, sign)?;
            points.push(next);
        }
    }
    let mut points = points.into_iter().map(Arc::new);
    let mut last = points.next().ok_or("no histogram")?;
    repeat(items, count, || {
        let histogram = last.clone();
        last = points.next().unwrap_or_else(|| last.clone());
        Item::Histogram {
            histogram,
            hint_is_written,
        }
    })
}

fn repeat<T>(into: &mut Vec<T>, count: usize, make: impl FnMut() -> T) -> Result<(), String> {
    check_room(into, count)?;
    into.extend(std::iter::repeat_with(make).take(count));
    Ok(())
}

fn check_room<T>(items: &[T], count: usize) -> Result<(), String> {
    if items.len().saturating_add(count) > MAX_POINTS {
        return Err(format!("more than {MAX_POINTS} points in one line"));
    }
    Ok(())
}

/// One item of a line of start timestamps.
fn start_item(word: &str, into: &mut Vec<Option<i64>>) -> Result<(), String> {
    let mut cursor = Cursor::new(word);
    if cursor.eat("_") {
        let count = if cursor.eat("x") { cursor.count()? } else { 1 };
        if count == 0 || !cursor.is_empty() {
            return Err("not a number of repetitions".to_owned());
        }
        return repeat(into, count, || None);
    }
    let mut offset_ms = offset(&mut cursor)?;
    let change_ms = match cursor.peek() {
        Some('+' | '-') => Some(offset(&mut cursor)?),
        _ => None,
    };
    let count = match (cursor.eat("x"), change_ms) {
        (true, _) => cursor.count()?.saturating_add(1),
        (false, None) => 1,
        (false, Some(_)) => return Err("a step without a number of repetitions".to_owned()),
    };
    if !cursor.is_empty() {
        return Err(format!("unexpected {:?}", cursor.rest()));
    }
    repeat(into, count, || {
        let now = offset_ms;
        offset_ms = offset_ms.saturating_add(change_ms.unwrap_or(0));
        Some(now)
    })
}

/// A duration with one unit, with or without a sign, in milliseconds.
fn offset(cursor: &mut Cursor<'_>) -> Result<i64, String> {
    let is_negative = cursor.eat("-");
    if !is_negative {
        cursor.eat("+");
    }
    let text = cursor.rest();
    cursor.take_while(|c| c.is_ascii_digit());
    cursor.take_while(|c| c.is_ascii_alphabetic() && c != 'x');
    let text = &text[..text.len() - cursor.rest().len()];
    let ms = super::script::duration_ms(text)?;
    Ok(if is_negative { -ms } else { ms })
}
