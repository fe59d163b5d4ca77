//! Native histograms in series descriptions: `{{schema:1 sum:5 count:2 buckets:[1 1] offset:-1}}`, read and printed.

use super::cursor::Cursor;
use crate::go;
use crate::promql::native;
use model::metric::bounds::CUSTOM_SCHEMA;
use model::metric::{Histogram, ResetHint};

/// The most empty buckets in a row that are printed one by one.
const MAX_PRINTED_GAP: i64 = 1000;

/// The furthest that a schema or an offset may be from 0.
const MAX_WHOLE: i32 = 1_000_000_000;

/// A histogram as written.
pub(super) struct Written {
    pub(super) histogram: Histogram,
    /// Whether the description names the reset hint.
    pub(super) hint_is_written: bool,
}

/// Reads what follows the opening braces, with the closing ones.
pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<Written, String> {
    let mut written = Written {
        histogram: Histogram::default(),
        hint_is_written: false,
    };
    let h = &mut written.histogram;
    let (mut buckets, mut offset) = (Vec::new(), 0);
    let (mut n_buckets, mut n_offset) = (Vec::new(), 0);
    let mut seen = Vec::new();
    loop {
        let blanks = cursor.blanks();
        if cursor.eat("}}") {
            break;
        }
        if !blanks && !seen.is_empty() {
            return Err(format!("a histogram without an end at {:?}", cursor.rest()));
        }
        let key = cursor.word(false).to_ascii_lowercase();
        if !cursor.eat(":") {
            return Err(format!("no `key:` of a histogram at {key:?}{:?}", cursor.rest()));
        }
        match key.as_str() {
            "schema" => h.schema = whole(cursor)?,
            "sum" => h.sum = cursor.signed_number()?,
            "count" => h.count = cursor.signed_number()?,
            "z_bucket" => h.zero_count = cursor.signed_number()?,
            "z_bucket_w" => h.zero_threshold = threshold(cursor)?,
            "custom_values" => h.custom_bounds = list(cursor)?,
            "buckets" => buckets = list(cursor)?,
            "offset" => offset = whole(cursor)?,
            "n_buckets" => n_buckets = list(cursor)?,
            "n_offset" => n_offset = whole(cursor)?,
            "counter_reset_hint" => {
                h.reset_hint = hint(cursor)?;
                written.hint_is_written = true;
            }
            _ => return Err(format!("histograms have no {key:?}")),
        }
        if seen.contains(&key) {
            return Err(format!("a histogram with {key} twice"));
        }
        seen.push(key);
    }
    h.positive = (offset..).zip(buckets).collect();
    h.negative = (n_offset..).zip(n_buckets).collect();
    Ok(written)
}

fn threshold(cursor: &mut Cursor<'_>) -> Result<f64, String> {
    let number = cursor.signed_number()?;
    if number >= 0.0 {
        Ok(number)
    } else {
        Err(format!("the width {number} of the zero bucket is negative"))
    }
}

fn whole(cursor: &mut Cursor<'_>) -> Result<i32, String> {
    let is_negative = cursor.eat("-");
    let digits = cursor.take_while(|c| c.is_ascii_digit());
    let number = digits.parse::<i32>().ok().filter(|n| *n <= MAX_WHOLE);
    let number = number.ok_or_else(|| format!("{digits:?} is not a whole number up to {MAX_WHOLE}"))?;
    Ok(if is_negative { -number } else { number })
}

fn list(cursor: &mut Cursor<'_>) -> Result<Vec<f64>, String> {
    if !cursor.eat("[") {
        return Err(format!("no list at {:?}", cursor.rest()));
    }
    let mut numbers = Vec::new();
    loop {
        cursor.blanks();
        if cursor.eat("]") {
            return Ok(numbers);
        }
        numbers.push(cursor.signed_number()?);
    }
}

fn hint(cursor: &mut Cursor<'_>) -> Result<ResetHint, String> {
    match cursor.word(false) {
        "unknown" => Ok(ResetHint::Unknown),
        "reset" => Ok(ResetHint::Reset),
        "not_reset" => Ok(ResetHint::NotReset),
        "gauge" => Ok(ResetHint::Gauge),
        other => Err(format!("histograms have no reset hint {other:?}")),
    }
}

/// A histogram with another one added, or taken away: the next of a sequence.
pub(super) fn next(base: &Histogram, change: &Histogram, is_sum: bool) -> Result<Histogram, String> {
    let cannot = || format!("cannot merge from schema {} to {}", change.schema, base.schema);
    if base.schema > change.schema {
        return Err(cannot());
    }
    let combine = if is_sum {
        native::add
    } else {
        native::subtract_as_counter
    };
    let outcome = combine(base, change).map_err(|e| e.message().to_owned())?;
    outcome.histogram.ok_or_else(cannot)
}

/// A histogram in the notation, as Prometheus prints one: without what is 0, and without empty buckets at both ends.
pub(super) fn print(h: &Histogram) -> String {
    let mut parts = Vec::new();
    let mut number = |name: &str, value: f64| {
        if value != 0.0 {
            parts.push(format!("{name}:{}", go::format_short_number(value)));
        }
    };
    number("schema", f64::from(h.schema));
    number("count", h.count);
    number("sum", h.sum);
    number("z_bucket", h.zero_count);
    number("z_bucket_w", h.zero_threshold);
    if h.schema == CUSTOM_SCHEMA {
        let bounds: Vec<_> = h
            .custom_bounds
            .iter()
            .map(|b| go::format_short_number(*b))
            .collect();
        parts.push(format!("custom_values:[{}]", bounds.join(" ")));
    }
    let hint = match h.reset_hint {
        ResetHint::Unknown => None,
        ResetHint::Reset => Some("reset"),
        ResetHint::NotReset => Some("not_reset"),
        ResetHint::Gauge => Some("gauge"),
    };
    parts.extend(hint.map(|hint| format!("counter_reset_hint:{hint}")));
    print_buckets(&h.positive, "", &mut parts);
    print_buckets(&h.negative, "n_", &mut parts);
    format!("{{{{{}}}}}", parts.join(" "))
}

fn print_buckets(buckets: &[(i32, f64)], prefix: &str, parts: &mut Vec<String>) {
    let filled = || buckets.iter().filter(|(_, count)| *count != 0.0);
    let Some((first, _)) = filled().next() else { return };
    if *first != 0 {
        parts.push(format!("{prefix}offset:{first}"));
    }
    let (mut counts, mut at) = (Vec::new(), i64::from(*first));
    for (index, count) in filled() {
        let gap = i64::from(*index).saturating_sub(at);
        if gap > MAX_PRINTED_GAP {
            counts.push(format!("({gap} times 0)"));
        } else {
            counts.extend((0..gap).map(|_| "0".to_owned()));
        }
        counts.push(go::format_short_number(*count));
        at = i64::from(*index).saturating_add(1);
    }
    parts.push(format!("{prefix}buckets:[{}]", counts.join(" ")));
}
