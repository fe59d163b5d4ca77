//! Native histograms of `.test` files: their notation, sums for sequences, and when two are the same.

use super::compare::almost_equal;
use super::text::Cursor;
use model::metric::{Histogram, ResetHint};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The schema whose bounds are written.
const CUSTOM: i32 = -53;

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

/// A histogram with another one added (sign 1) or taken away (sign -1), for sequences. What a sequence cannot mean is an
/// error: other custom bounds, or a change that is coarser than what it changes.
pub(super) fn add(base: &Histogram, change: &Histogram, sign: f64) -> Result<Histogram, String> {
    if base.schema > change.schema || (base.schema == CUSTOM) != (change.schema == CUSTOM) {
        return Err(format!(
            "cannot merge from schema {} to {}",
            change.schema, base.schema
        ));
    }
    if base.schema == CUSTOM && base.custom_bounds != change.custom_bounds {
        return Err("the custom bounds of a sequence differ".to_owned());
    }
    let (mut sum, mut change) = (base.clone(), change.clone());
    coarsen(&mut change, base.schema);
    // Widening one may widen it beyond the other, because it goes to the end of a bucket.
    while sum.schema != CUSTOM && sum.zero_threshold != change.zero_threshold {
        let threshold = sum.zero_threshold.max(change.zero_threshold);
        widen_zero(&mut sum, threshold);
        widen_zero(&mut change, threshold);
    }
    sum.zero_count += sign * change.zero_count;
    sum.count += sign * change.count;
    sum.sum += sign * change.sum;
    add_buckets(&mut sum.positive, &change.positive, sign);
    add_buckets(&mut sum.negative, &change.negative, sign);
    sum.reset_hint = match (sum.reset_hint, change.reset_hint) {
        (a, b) if a == b => a,
        (ResetHint::Gauge, _) | (_, ResetHint::Gauge) => ResetHint::Gauge,
        _ => ResetHint::Unknown,
    };
    Ok(sum)
}

/// Brings a histogram of an exponential schema to a coarser one.
fn coarsen(h: &mut Histogram, schema: i32) {
    let halvings = (h.schema - schema).clamp(0, 31);
    if halvings == 0 {
        return;
    }
    for buckets in [&mut h.positive, &mut h.negative] {
        let fine = std::mem::take(buckets);
        let coarse: Vec<_> = fine
            .into_iter()
            .map(|(index, count)| (((index - 1) >> halvings) + 1, count))
            .collect();
        add_buckets(buckets, &coarse, 1.0);
    }
    h.schema = schema;
}

/// Widens the bucket around zero; further than asked for where it would cut a bucket with observations.
fn widen_zero(h: &mut Histogram, threshold: f64) {
    if threshold <= h.zero_threshold {
        return;
    }
    let bound = |index: i32| (f64::from(index) * (-f64::from(h.schema)).exp2()).exp2();
    let buckets = || h.positive.iter().chain(&h.negative);
    // A bucket that it would cut is taken whole, and that may cut another one on the other side.
    let mut widened = threshold;
    while let Some((index, _)) =
        buckets().find(|(i, n)| *n != 0.0 && bound(i - 1) < widened && widened < bound(*i))
    {
        widened = bound(*index);
    }
    let inside = |(index, _): &(i32, f64)| bound(index - 1) < widened;
    let taken: f64 = buckets().filter(|b| inside(b)).map(|(_, count)| count).sum();
    let positive = h.positive.iter().copied().filter(|b| !inside(b)).collect();
    let negative = h.negative.iter().copied().filter(|b| !inside(b)).collect();
    h.zero_count += taken;
    (h.positive, h.negative, h.zero_threshold) = (positive, negative, widened);
}

fn add_buckets(into: &mut Vec<(i32, f64)>, buckets: &[(i32, f64)], sign: f64) {
    let mut by_index: BTreeMap<i32, f64> = BTreeMap::new();
    let signed = buckets.iter().map(|(index, count)| (*index, sign * count));
    for (index, count) in std::mem::take(into).into_iter().chain(signed) {
        *by_index.entry(index).or_default() += count;
    }
    *into = by_index.into_iter().collect();
}

/// Whether two histograms are the same as far as a case can tell: empty buckets don't matter, counts and sums may differ a
/// little, and the reset hint matters only where it is asked for.
pub(super) fn is_same(expected: &Histogram, got: &Histogram, with_hint: bool) -> bool {
    let same_buckets = |a: &[(i32, f64)], b: &[(i32, f64)]| {
        let (mut a, mut b) = (filled(a), filled(b));
        loop {
            match (a.next(), b.next()) {
                (None, None) => return true,
                (Some((i, x)), Some((j, y))) if i == j && almost_equal(x, y) => {}
                _ => return false,
            }
        }
    };
    expected.schema == got.schema
        && almost_equal(expected.count, got.count)
        && almost_equal(expected.sum, got.sum)
        && (expected.schema != CUSTOM || expected.custom_bounds == got.custom_bounds)
        && expected.zero_threshold == got.zero_threshold
        && almost_equal(expected.zero_count, got.zero_count)
        && same_buckets(&expected.positive, &got.positive)
        && same_buckets(&expected.negative, &got.negative)
        && (!with_hint || expected.reset_hint == got.reset_hint)
}

fn filled(buckets: &[(i32, f64)]) -> impl Iterator<Item = (i32, f64)> {
    buckets.iter().copied().filter(|(_, count)| *count != 0.0)
}

/// A histogram for a reader: like the notation, but each bucket that is not empty with its index.
pub(super) fn show(h: &Histogram) -> String {
    let mut text = format!("{{{{schema:{} count:{:?} sum:{:?}", h.schema, h.count, h.sum);
    if h.zero_count != 0.0 || h.zero_threshold != 0.0 {
        let _ = write!(
            text,
            " z_bucket:{:?} z_bucket_w:{:?}",
            h.zero_count, h.zero_threshold
        );
    }
    if !h.custom_bounds.is_empty() {
        let _ = write!(text, " custom_values:{:?}", h.custom_bounds);
    }
    for (name, buckets) in [("buckets", &h.positive), ("n_buckets", &h.negative)] {
        let shown: Vec<_> = filled(buckets).map(|(i, n)| format!("{i}={n:?}")).collect();
        if !shown.is_empty() {
            let _ = write!(text, " {name}:[{}]", shown.join(" "));
        }
    }
    if h.reset_hint != ResetHint::Unknown {
        let _ = write!(text, " hint:{:?}", h.reset_hint);
    }
    text + "}}"
}
