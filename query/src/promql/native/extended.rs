//! Changes over windows that are `anchored` or `smoothed`: from edge to edge, without extrapolation.

use super::arithmetic::{add_into, compact, scale, shrink};
use super::change::no_result;
use super::running::Sign;
use super::{Change, Outcome, Refused, Remarks, Window};
use model::Result;
use model::metric::{Histogram, HistogramSample, ResetHint};

type Refusable<T> = std::result::Result<T, Refused>;

/// The histogram at a time between two samples, linear between them. Where a counter (`is_counter`) began anew between
/// them, it counts from zero. The time may be that of either sample.
///
/// # Errors
/// `Execution` when the result would have too many buckets.
pub fn interpolate(
    before: &HistogramSample,
    after: &HistogramSample,
    at_ms: i64,
    is_counter: bool,
) -> Result<Outcome> {
    let mut remarks = Remarks::default();
    match interpolated(before, after, at_ms, is_counter, &mut remarks) {
        Ok(histogram) => Ok(Outcome::some(histogram, remarks)),
        Err(refused) => no_result(refused),
    }
}

fn interpolated(
    before: &HistogramSample,
    after: &HistogramSample,
    at_ms: i64,
    is_counter: bool,
    remarks: &mut Remarks,
) -> Refusable<Histogram> {
    if at_ms == before.timestamp_ms {
        return Ok(before.histogram.clone());
    }
    let mut result = after.histogram.clone();
    if at_ms == after.timestamp_ms {
        return Ok(result);
    }
    let part = at_ms.saturating_sub(before.timestamp_ms) as f64;
    let whole = after.timestamp_ms.saturating_sub(before.timestamp_ms) as f64;
    if is_counter && after.histogram.is_reset_after(&before.histogram) {
        scale(&mut result, part / whole);
        return Ok(result);
    }
    *remarks |= add_into(&mut result, &before.histogram, Sign::Minus)?;
    scale(&mut result, part / whole);
    *remarks |= add_into(&mut result, &before.histogram, Sign::Plus)?;
    remarks.reset_collision = false;
    Ok(result)
}

/// `rate`, `increase` and `delta` of an anchored or smoothed selector. `samples` are those of the window and around it: for
/// an anchored one from before its start, for a smoothed one also up to after its end.
///
/// # Errors
/// As [`interpolate`].
pub fn extended_change(
    kind: Change,
    samples: &[HistogramSample],
    window: Window,
    is_smoothed: bool,
) -> Result<Outcome> {
    let Some(edges) = Edges::of(samples, window, is_smoothed) else {
        return Ok(Outcome::default());
    };
    edges.change(kind).or_else(no_result)
}

/// The samples at the edges of a window, and what lies between.
struct Edges<'a> {
    samples: &'a [HistogramSample],
    window: Window,
    is_smoothed: bool,
}

impl<'a> Edges<'a> {
    /// `None` when nothing lies in the window.
    fn of(samples: &'a [HistogramSample], window: Window, is_smoothed: bool) -> Option<Self> {
        let Window { start_ms, end_ms, .. } = window;
        let mut last = samples.len().checked_sub(1)?;
        let until_start = samples[..last].partition_point(|s| s.timestamp_ms <= start_ms);
        let first = until_start.saturating_sub(1);
        if is_smoothed {
            last = samples[..last].partition_point(|s| s.timestamp_ms < end_ms);
        }
        let is_after_end = is_smoothed && samples[first].timestamp_ms > end_ms;
        if samples[last].timestamp_ms <= start_ms || is_after_end || first > last {
            return None;
        }
        Some(Self {
            samples: &samples[first..=last],
            window,
            is_smoothed,
        })
    }

    /// Whether the first sample lies before the window and is not used itself.
    fn cuts_first(&self) -> bool {
        self.is_smoothed && self.samples.len() > 1 && self.samples[0].timestamp_ms < self.window.start_ms
    }

    fn change(&self, kind: Change) -> Refusable<Outcome> {
        let is_counter = kind.is_counter();
        let is_custom = self.samples[0].histogram.has_custom_bounds();
        let mut remarks = Remarks::default();
        for h in self.samples.iter().map(|s| &s.histogram) {
            if h.has_custom_bounds() != is_custom {
                remarks.mixed_buckets = true;
                return Ok(Outcome::none(remarks));
            }
            remarks.not_counter |= is_counter && h.is_gauge();
        }
        let left = self.left(is_counter, &mut remarks)?;
        let right = self.right(is_counter, &mut remarks)?;
        let are_gauges = left.is_gauge() && right.is_gauge();
        remarks.not_gauge = !is_counter && !are_gauges;
        let mut result = right.clone();
        remarks |= add_into(&mut result, &left, Sign::Minus)?;
        if is_counter && let Some(correction) = self.correction(&left, &right, &mut remarks)? {
            remarks |= add_into(&mut result, &correction, Sign::Plus)?;
        }
        if kind == Change::Rate {
            shrink(&mut result, self.window.range_ms as f64 / 1000.0);
        }
        remarks.reset_collision = false;
        result.reset_hint = ResetHint::Gauge;
        compact(&mut result);
        Ok(Outcome::some(result, remarks))
    }

    fn left(&self, is_counter: bool, remarks: &mut Remarks) -> Refusable<Histogram> {
        let first = &self.samples[0];
        if self.cuts_first() {
            return interpolated(first, &self.samples[1], self.window.start_ms, is_counter, remarks);
        }
        Ok(first.histogram.clone())
    }

    fn right(&self, is_counter: bool, remarks: &mut Remarks) -> Refusable<Histogram> {
        match self.samples {
            [.., before, last] if self.is_smoothed && last.timestamp_ms > self.window.end_ms => {
                interpolated(before, last, self.window.end_ms, is_counter, remarks)
            }
            [.., last] => Ok(last.histogram.clone()),
            [] => Ok(Histogram::default()),
        }
    }

    /// What the counter had at its resets between the edges, which the samples at the edges stand for.
    fn correction(
        &self,
        left: &Histogram,
        right: &Histogram,
        remarks: &mut Remarks,
    ) -> Refusable<Option<Histogram>> {
        let (mut previous, mut between) = (left, 1..self.samples.len() - 1);
        if self.cuts_first() {
            let second = &self.samples[1].histogram;
            if second.is_reset_after(&self.samples[0].histogram) {
                // The interpolation on the left has counted this reset.
                if self.samples.len() == 2 {
                    return Ok(None);
                }
                (previous, between.start) = (second, 2);
            }
        }
        if self.samples.len() == 1 {
            return Ok(None);
        }
        let mut correction: Option<Histogram> = None;
        let inner = self.samples[between].iter().map(|s| &s.histogram);
        for h in inner.chain([right]) {
            if h.is_reset_after(previous) {
                match &mut correction {
                    Some(sum) => *remarks |= add_into(sum, previous, Sign::Plus)?,
                    None => correction = Some(previous.clone()),
                }
            }
            previous = h;
        }
        Ok(correction)
    }
}
