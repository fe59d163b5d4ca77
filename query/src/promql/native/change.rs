//! How histograms change over a window: `rate`, `increase`, `delta`, `irate`, `idelta`, and where the counting began anew.

use super::arithmetic::{add_into, compact, scale, shrink, to_schema};
use super::running::Sign;
use super::{Outcome, Refused, Remarks};
use crate::promql::extrapolation::Sampled;
use model::Result;
use model::metric::{Histogram, HistogramSample, ResetHint};

/// Which change is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Of a counter, per second.
    Rate,
    /// Of a counter.
    Increase,
    /// Of a gauge.
    Delta,
}

impl Change {
    pub(super) fn is_counter(self) -> bool {
        self != Self::Delta
    }
}

/// The window of a function of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The window begins after this time: milliseconds since the epoch.
    pub start_ms: i64,
    /// The last time in it.
    pub end_ms: i64,
    /// The width that the selector says; rates are over this one.
    pub range_ms: i64,
    /// Whether the samples' own word counts for when their counters began.
    pub uses_starts: bool,
}

/// `rate`, `increase` and `delta` over the samples of a window, extrapolated to its ends.
///
/// # Errors
/// `Execution` when the result would have too many buckets.
pub fn change(kind: Change, samples: &[HistogramSample], window: Window) -> Result<Outcome> {
    extrapolated(kind, samples, window).or_else(no_result)
}

/// The outcome of a refusal.
pub(super) fn no_result(refused: Refused) -> Result<Outcome> {
    refused.remarks().map(Outcome::none)
}

type Refusable<T> = std::result::Result<T, Refused>;

fn extrapolated(kind: Change, samples: &[HistogramSample], window: Window) -> Refusable<Outcome> {
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else {
        return Ok(Outcome::default());
    };
    let is_counter = kind.is_counter();
    let mut remarks = Remarks::default();
    let mut result = None;
    if samples.len() > 1 {
        let Some(change) = total_change(is_counter, samples, window.uses_starts, &mut remarks)? else {
            return Ok(Outcome::none(remarks));
        };
        result = Some(change);
    }
    let mut sampled = Sampled {
        first_ms: first.timestamp_ms,
        last_ms: last.timestamp_ms,
        gaps: samples.len() - 1,
        window_ms: (window.start_ms, window.end_ms),
    };
    let start_ms = first.start_timestamp_ms;
    let has_start = is_counter
        && window.uses_starts
        && start_ms != 0
        && start_ms > window.start_ms
        && start_ms < first.timestamp_ms;
    let (mut result, mut factor) = match (has_start, result) {
        (true, result) => {
            sampled.first_ms = start_ms;
            let factor = sampled.extrapolation_from_zero(first.timestamp_ms);
            match result {
                Some(mut result) => {
                    match add_into(&mut result, &first.histogram, Sign::Plus) {
                        Ok(added) => remarks |= added,
                        Err(Refused::MixedBuckets) => {
                            remarks |= Remarks::MIXED;
                            return Ok(Outcome::none(remarks));
                        }
                        Err(refused) => return Err(refused),
                    }
                    remarks.reset_collision = false;
                    (result, factor)
                }
                None => (first.histogram.clone(), factor),
            }
        }
        (false, Some(result)) => {
            let is_limited = is_counter && result.count > 0.0 && first.histogram.count >= 0.0;
            let to_zero = is_limited.then_some(first.histogram.count / result.count);
            (result, sampled.extrapolation(to_zero))
        }
        (false, None) => return Ok(Outcome::default()),
    };
    if kind == Change::Rate {
        factor /= window.range_ms as f64 / 1000.0;
    }
    scale(&mut result, factor);
    Ok(Outcome::some(result, remarks))
}

/// The last sample less the first one; for counters with what they had at each reset. `None` after a mix of buckets of
/// the samples at the ends.
fn total_change(
    is_counter: bool,
    samples: &[HistogramSample],
    uses_starts: bool,
    remarks: &mut Remarks,
) -> Refusable<Option<Histogram>> {
    let (first, second, last) = (&samples[0], &samples[1], &samples[samples.len() - 1]);
    let ends = [&first.histogram, &last.histogram];
    remarks.not_counter |= is_counter && ends.iter().any(|h| h.is_gauge());
    remarks.not_gauge |= !is_counter && ends.iter().any(|h| !h.is_gauge());
    // A first sample before a reset does not matter, nor do its buckets.
    let nothing = Histogram {
        schema: second.histogram.schema,
        custom_bounds: second.histogram.custom_bounds.clone(),
        ..Histogram::default()
    };
    let mut previous = &first.histogram;
    if is_counter && is_reset(first, second, uses_starts) {
        previous = &nothing;
    }
    let is_custom = previous.has_custom_bounds();
    let last = &last.histogram;
    if last.has_custom_bounds() != is_custom {
        remarks.not_gauge = false;
        remarks.mixed_buckets = true;
        return Ok(None);
    }
    let mut schema = last.schema.min(previous.schema);
    if is_counter {
        for sample in &samples[1..samples.len() - 1] {
            let h = &sample.histogram;
            remarks.not_counter |= h.is_gauge();
            schema = schema.min(h.schema);
            if h.has_custom_bounds() != is_custom {
                return Err(Refused::MixedBuckets);
            }
        }
    }
    let mut change = to_schema(last, schema);
    *remarks |= add_into(&mut change, previous, Sign::Minus)?;
    if is_counter {
        for pair in samples.windows(2) {
            let (before, current) = (&pair[0], &pair[1]);
            remarks.start_overlap |= uses_starts && starts_overlap(before, current);
            let begins_anew = uses_starts && is_reset_by_start(before, current);
            if begins_anew || current.histogram.is_reset_after(previous) {
                *remarks |= add_into(&mut change, previous, Sign::Plus)?;
            }
            previous = &current.histogram;
        }
    }
    // Resets are dealt with here: that hints differ says nothing new.
    remarks.reset_collision = false;
    change.reset_hint = ResetHint::Gauge;
    compact(&mut change);
    Ok(Some(change))
}

/// `irate` (`is_rate`) and `idelta` of the last two samples of a window.
///
/// # Errors
/// As [`change`].
pub fn instant_change(
    is_rate: bool,
    previous: &HistogramSample,
    last: &HistogramSample,
    uses_starts: bool,
) -> Result<Outcome> {
    let interval_ms = last.timestamp_ms.saturating_sub(previous.timestamp_ms);
    if interval_ms == 0 {
        return Ok(Outcome::default());
    }
    let has_gauge = previous.histogram.is_gauge() || last.histogram.is_gauge();
    let has_counter = !previous.histogram.is_gauge() || !last.histogram.is_gauge();
    let mut remarks = Remarks {
        not_counter: is_rate && has_gauge,
        not_gauge: !is_rate && has_counter,
        ..Remarks::default()
    };
    let mut result = last.histogram.clone();
    if !is_rate || !is_reset(previous, last, uses_starts) {
        match add_into(&mut result, &previous.histogram, Sign::Minus) {
            Ok(added) => remarks |= added,
            Err(refused) => {
                remarks |= refused.remarks()?;
                return Ok(Outcome::none(remarks));
            }
        }
        remarks.reset_collision = false;
    }
    result.reset_hint = ResetHint::Gauge;
    compact(&mut result);
    if is_rate {
        shrink(&mut result, interval_ms as f64 / 1000.0);
    }
    Ok(Outcome::some(result, remarks))
}

/// Whether the counting began anew between two samples, by when their counters began or by their counts.
pub fn is_reset(previous: &HistogramSample, current: &HistogramSample, uses_starts: bool) -> bool {
    (uses_starts && is_reset_by_start(previous, current))
        || current.histogram.is_reset_after(&previous.histogram)
}

/// Whether a counter began after the sample before it. When it began just there, it is a series of differences, unless the
/// start of that sample is not known either.
fn is_reset_by_start(previous: &HistogramSample, current: &HistogramSample) -> bool {
    let (start_ms, before_ms) = (current.start_timestamp_ms, previous.timestamp_ms);
    if start_ms == 0 || start_ms >= current.timestamp_ms || start_ms < before_ms {
        return false;
    }
    let previous_start_ms = previous.start_timestamp_ms;
    start_ms > before_ms || (previous_start_ms != 0 && previous_start_ms < before_ms)
}

/// Whether a counter began before the sample before it, and not when the counter of that one began.
fn starts_overlap(previous: &HistogramSample, current: &HistogramSample) -> bool {
    let start_ms = current.start_timestamp_ms;
    start_ms != 0 && start_ms < previous.timestamp_ms && start_ms != previous.start_timestamp_ms
}

/// Gives samples without a hint the one that comparison with the sample before them shows; the first one stays as it is.
/// Prometheus does so where `histogram_count`, `histogram_sum` or `histogram_avg` stand around a selector.
pub fn detect_hints(samples: &mut [HistogramSample]) {
    let mut last: Option<usize> = None;
    for i in 0..samples.len() {
        if samples[i].histogram.is_stale() {
            continue;
        }
        if let Some(last) = last
            && samples[i].histogram.reset_hint == ResetHint::Unknown
        {
            // What the one before says of itself does not matter.
            let is_reset = samples[i].histogram.is_reset_after(&samples[last].histogram);
            samples[i].histogram.reset_hint = match is_reset {
                true => ResetHint::Reset,
                false => ResetHint::NotReset,
            };
        }
        last = Some(i);
    }
}
