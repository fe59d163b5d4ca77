//! Operators between two histograms, and between a histogram and a number.

use super::running::{Running, Sign};
use super::{Outcome, Refused, Remarks};
use model::Result;
use model::metric::bounds::coarser_index;
use model::metric::{Histogram, ResetHint};

/// `a + b`. A collision of reset hints and custom bounds that differ are remarks; when one has exponential and the other
/// one custom buckets, there is no result.
///
/// # Errors
/// `Execution` when the result would have too many buckets.
pub fn add(a: &Histogram, b: &Histogram) -> Result<Outcome> {
    operate(a, b, Sign::Plus)
}

/// `a - b`, a gauge; as [`add`] otherwise.
///
/// # Errors
/// As [`add`].
pub fn subtract(a: &Histogram, b: &Histogram) -> Result<Outcome> {
    let mut outcome = operate(a, b, Sign::Minus)?;
    if let Some(result) = &mut outcome.histogram {
        result.reset_hint = ResetHint::Gauge;
    }
    Ok(outcome)
}

/// `a - b` with the hint as a sum has it: how the histograms of a series description count down.
pub(crate) fn subtract_as_counter(a: &Histogram, b: &Histogram) -> Result<Outcome> {
    operate(a, b, Sign::Minus)
}

fn operate(a: &Histogram, b: &Histogram, sign: Sign) -> Result<Outcome> {
    let mut result = a.clone();
    match add_into(&mut result, b, sign) {
        Ok(remarks) => {
            compact(&mut result);
            Ok(Outcome::some(result, remarks))
        }
        Err(refused) => Ok(Outcome::none(refused.remarks()?)),
    }
}

/// Adds a histogram to another one, or takes it away; the result may list buckets without observations.
pub(super) fn add_into(
    into: &mut Histogram,
    other: &Histogram,
    sign: Sign,
) -> std::result::Result<Remarks, Refused> {
    let mut running = Running::from(std::mem::take(into));
    let added = running.add(other, sign);
    *into = running.into();
    added
}

/// `h * factor`; a negative factor makes a gauge.
pub fn multiply(h: &Histogram, factor: f64) -> Histogram {
    let mut result = h.clone();
    scale(&mut result, factor);
    compact(&mut result);
    result
}

/// `h / divisor`; a negative divisor makes a gauge, and division by zero leaves no buckets.
pub fn divide(h: &Histogram, divisor: f64) -> Histogram {
    let mut result = h.clone();
    shrink(&mut result, divisor);
    compact(&mut result);
    result
}

/// Multiplies in place.
pub(super) fn scale(h: &mut Histogram, factor: f64) {
    map(h, |n| n * factor);
    if factor < 0.0 {
        h.reset_hint = ResetHint::Gauge;
    }
}

/// Divides in place.
pub(super) fn shrink(h: &mut Histogram, divisor: f64) {
    if divisor == 0.0 {
        h.positive.clear();
        h.negative.clear();
    }
    map(h, |n| n / divisor);
    if divisor < 0.0 {
        h.reset_hint = ResetHint::Gauge;
    }
}

fn map(h: &mut Histogram, f: impl Fn(f64) -> f64) {
    let mut running = Running::from(std::mem::take(h));
    running.map(f);
    *h = running.into();
}

/// Leaves out the buckets without observations.
pub fn compact(h: &mut Histogram) {
    h.positive.retain(|(_, count)| *count != 0.0);
    h.negative.retain(|(_, count)| *count != 0.0);
}

/// A copy with a coarser schema; of a finer one, and with custom buckets, as it is.
pub(super) fn to_schema(h: &Histogram, schema: i32) -> Histogram {
    let mut result = h.clone();
    if schema < h.schema && !h.has_custom_bounds() {
        for list in [&mut result.positive, &mut result.negative] {
            super::layout::remap(list, |index| coarser_index(index, h.schema, schema));
        }
        result.schema = schema;
    }
    result
}

/// Whether two histograms are the same, bit by bit, but for their hints: what `==` compares. Empty buckets count.
pub fn is_equal(a: &Histogram, b: &Histogram) -> bool {
    let same = |x: f64, y: f64| x.to_bits() == y.to_bits();
    let same_buckets = |x: &[(i32, f64)], y: &[(i32, f64)]| {
        x.len() == y.len() && x.iter().zip(y).all(|(x, y)| x.0 == y.0 && same(x.1, y.1))
    };
    a.schema == b.schema
        && same(a.count, b.count)
        && same(a.sum, b.sum)
        && (!a.has_custom_bounds() || a.custom_bounds == b.custom_bounds)
        && a.zero_threshold == b.zero_threshold
        && same(a.zero_count, b.zero_count)
        && same_buckets(&a.negative, &b.negative)
        && same_buckets(&a.positive, &b.positive)
}
