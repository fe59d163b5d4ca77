//! Series descriptions, Prometheus' notation for test data: `name{label="value"} 1 2+3x4 _ stale {{sum:1 count:2}}x3`.
//!
//! The `.test` files of the conformance suite and the unit tests of rule files are written in it.

mod cursor;
mod histogram;
#[cfg(test)]
mod tests;

use cursor::Cursor;
pub use cursor::number;
use model::labels::METRIC_NAME;
use model::metric::{Histogram, HistogramSample, stale_nan};
use model::{Error, Labels, Result, Sample, Series};
use std::sync::Arc;

/// The most points that one description may stand for.
const MAX_POINTS: usize = 1_000_000;
/// The furthest time from the epoch, in milliseconds: some 28,000 years.
const MAX_TIME_MS: i64 = 1 << 50;

/// One point of a description.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
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

/// What is wrong, in words.
type Parsed<T> = std::result::Result<T, String>;

/// Reads a description: a metric and its points.
///
/// # Errors
/// `BadData` that says what is wrong and where.
pub fn parse(text: &str) -> Result<(Labels, Vec<Item>)> {
    whole(text, |cursor| {
        let labels = metric(cursor)?;
        let mut list = Vec::new();
        items(cursor, &mut list)?;
        Ok((labels, list))
    })
}

/// Reads a metric without points; an empty text is one without labels.
///
/// # Errors
/// As [`parse`].
pub fn parse_metric(text: &str) -> Result<Labels> {
    if text.trim().is_empty() {
        return Ok(Labels::empty());
    }
    whole(text.trim(), metric)
}

/// Reads points without a metric.
///
/// # Errors
/// As [`parse`].
pub fn parse_items(text: &str) -> Result<Vec<Item>> {
    let mut list = Vec::new();
    whole(&format!(" {text}"), |cursor| items(cursor, &mut list))?;
    Ok(list)
}

/// Whether a line gives start timestamps: its first word ends with `@st`.
pub fn is_of_starts(line: &str) -> bool {
    let metric = line.split([' ', '\t']).next().unwrap_or_default();
    metric.len() < line.len() && metric.ends_with("@st")
}

/// Reads a line of start timestamps: offsets in milliseconds from the times of the samples, or none.
///
/// # Errors
/// As [`parse`].
pub fn parse_starts(line: &str) -> Result<(Labels, Vec<Option<i64>>)> {
    starts(line).map_err(Error::bad_data)
}

/// Reads a text in one of Go's three kinds of quotes.
///
/// # Errors
/// As [`parse`].
pub fn parse_quoted(text: &str) -> Result<String> {
    whole(text, |cursor: &mut Cursor<'_>| cursor.quoted())
}

/// Milliseconds of a duration, or of a time as its distance from the epoch; perhaps negative.
///
/// # Errors
/// `BadData` for what is no duration, and for one of more than some 28,000 years.
pub fn parse_duration_ms(text: &str) -> Result<i64> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let ms = i64::try_from(model::duration::parse(digits)?.as_millis()).ok();
    ms.filter(|ms| *ms <= MAX_TIME_MS)
        .map(|ms| sign * ms)
        .ok_or_else(|| Error::bad_data(format!("{text} is too long")))
}

/// A native histogram in the notation, as Prometheus prints it.
pub fn print_histogram(histogram: &Histogram) -> String {
    histogram::print(histogram)
}

/// A series with its points at their times: the first at `first_ms`, the next ones `step_ms` apart. `starts` are the
/// distances of the start timestamps from the points, as far as there are any.
pub fn series(
    labels: Labels,
    items: Vec<Item>,
    starts: &[Option<i64>],
    first_ms: i64,
    step_ms: i64,
) -> Series {
    let mut series = Series {
        labels,
        ..Series::default()
    };
    let mut timestamp_ms = first_ms;
    for (at, item) in items.into_iter().enumerate() {
        let offset = starts.get(at).copied().flatten();
        let start_timestamp_ms = offset.map_or(0, |o| timestamp_ms.saturating_add(o));
        match item {
            Item::Gap => {}
            Item::Value(value) => {
                series.samples.push(Sample { timestamp_ms, value });
                series.start_timestamps_ms.push(start_timestamp_ms);
            }
            Item::Histogram { histogram, .. } => series.histograms.push(HistogramSample {
                timestamp_ms,
                start_timestamp_ms,
                histogram: histogram.as_ref().clone(),
            }),
        }
        timestamp_ms = timestamp_ms.saturating_add(step_ms);
    }
    series
}

/// Reads all of a text.
fn whole<T>(text: &str, read: impl FnOnce(&mut Cursor<'_>) -> Parsed<T>) -> Result<T> {
    let mut cursor = Cursor::new(text);
    let value = read(&mut cursor).map_err(Error::bad_data)?;
    if cursor.is_empty() {
        Ok(value)
    } else {
        Err(Error::bad_data(format!("unexpected {:?}", cursor.rest())))
    }
}

/// Points, each after a blank, to the end of the text.
fn items(cursor: &mut Cursor<'_>, list: &mut Vec<Item>) -> Parsed<()> {
    while !cursor.is_empty() {
        if !cursor.blanks() {
            return Err(format!("a blank is missing before {:?}", cursor.rest()));
        }
        if !cursor.is_empty() {
            item(cursor, list)?;
        }
    }
    Ok(())
}

fn starts(line: &str) -> Parsed<(Labels, Vec<Option<i64>>)> {
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
fn metric(cursor: &mut Cursor<'_>) -> Parsed<Labels> {
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
fn labels(cursor: &mut Cursor<'_>, pairs: &mut Vec<(String, String)>) -> Parsed<()> {
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
fn item(cursor: &mut Cursor<'_>, items: &mut Vec<Item>) -> Parsed<()> {
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
fn histograms(cursor: &mut Cursor<'_>, items: &mut Vec<Item>) -> Parsed<()> {
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
        check_room(items, count)?;
        for at in 1..count {
            let next = histogram::next(&points[at - 1], &change.histogram, is_sum)?;
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

fn repeat<T>(into: &mut Vec<T>, count: usize, make: impl FnMut() -> T) -> Parsed<()> {
    check_room(into, count)?;
    into.extend(std::iter::repeat_with(make).take(count));
    Ok(())
}

fn check_room<T>(items: &[T], count: usize) -> Parsed<()> {
    if items.len().saturating_add(count) > MAX_POINTS {
        return Err(format!("more than {MAX_POINTS} points in one line"));
    }
    Ok(())
}

/// One item of a line of start timestamps.
fn start_item(word: &str, into: &mut Vec<Option<i64>>) -> Parsed<()> {
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
fn offset(cursor: &mut Cursor<'_>) -> Parsed<i64> {
    let is_negative = cursor.eat("-");
    if !is_negative {
        cursor.eat("+");
    }
    let text = cursor.rest();
    cursor.take_while(|c| c.is_ascii_digit());
    cursor.take_while(|c| c.is_ascii_alphabetic() && c != 'x');
    let text = &text[..text.len() - cursor.rest().len()];
    let ms = parse_duration_ms(text).map_err(|e| e.message().to_owned())?;
    Ok(if is_negative { -ms } else { ms })
}
