//! `anchored` and `smoothed`: values at the ends of a range, from samples beyond them.

use super::super::ast::{Extension, Place, RangeFunction};
use super::super::native;
use super::super::notes::Notes;
use super::mixed::{Outcome, Parts};
use crate::columns::{Column, Element, Steps};
use model::metric::{Histogram, HistogramSample};
use model::{Result, SeriesData};
use std::sync::Arc;

/// A sample of numbers.
type Point = (i64, f64);

/// On the line through two samples at a time. A counter that was reset between them is taken to have begun at zero.
fn interpolate(before: Point, after: Point, time_ms: i64, is_counter: bool) -> f64 {
    let from = if is_counter && after.1 < before.1 {
        0.0
    } else {
        before.1
    };
    from + (after.1 - from) * (time_ms - before.0) as f64 / (after.0 - before.0) as f64
}

/// The samples that matter for a range: the last one at or before its start, and those up to its end; smoothed, the first
/// one at or behind the end as well. Indexes of the first and the last of them; `None` where none lies in the range.
fn bounds(times_ms: &dyn Fn(usize) -> i64, count: usize, range: Range) -> Option<(usize, usize)> {
    let last = count.checked_sub(1)?;
    let search = |is_behind: &dyn Fn(i64) -> bool| {
        // Within all but the last one.
        let (mut low, mut high) = (0, last);
        while low < high {
            let middle = usize::midpoint(low, high);
            if is_behind(times_ms(middle)) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        low
    };
    let first = search(&|t| t > range.start_ms).saturating_sub(1);
    let last = if range.is_smoothed {
        search(&|t| t >= range.end_ms)
    } else {
        last
    };
    let is_before = times_ms(last) <= range.start_ms;
    let is_behind = range.is_smoothed && times_ms(first) > range.end_ms;
    (!is_before && !is_behind).then_some((first, last))
}

/// A range whose ends get values.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Range {
    pub(crate) start_ms: i64,
    pub(crate) end_ms: i64,
    pub(crate) is_smoothed: bool,
}

/// What a function needs besides its samples.
pub(crate) struct Asked<'a> {
    pub(crate) function: RangeFunction,
    pub(crate) range: Range,
    /// The metric's name, for notes.
    pub(crate) name: &'a str,
    pub(crate) place: Place,
}

impl Asked<'_> {
    fn is_counter(&self) -> bool {
        self.function != RangeFunction::Delta
    }
    fn seconds(&self) -> Option<f64> {
        let seconds = (self.range.end_ms - self.range.start_ms) as f64 / 1000.0;
        (self.function == RangeFunction::Rate).then_some(seconds)
    }
}

/// `rate`, `increase` and `delta` of what lies around a range.
pub(crate) fn change(parts: &Parts<'_>, asked: &Asked<'_>, notes: &mut Notes) -> Result<Outcome> {
    Ok(match (parts.times_ms.is_empty(), parts.histograms.is_empty()) {
        (true, true) => Outcome::Nothing,
        (false, false) => {
            notes.mixed_samples(asked.place, asked.name);
            Outcome::Nothing
        }
        (false, true) => change_of_numbers(parts, asked).map_or(Outcome::Nothing, Outcome::Float),
        (true, false) => {
            let window = native::Window {
                start_ms: asked.range.start_ms,
                end_ms: asked.range.end_ms,
                range_ms: asked.range.end_ms.saturating_sub(asked.range.start_ms),
                uses_starts: true,
            };
            let (kind, is_smoothed) = (asked.function.as_change(), asked.range.is_smoothed);
            let outcome = native::extended_change(kind, parts.histograms, window, is_smoothed)?;
            notes.range(asked.place, asked.name, outcome.remarks);
            outcome.into()
        }
    })
}

fn change_of_numbers(parts: &Parts<'_>, asked: &Asked<'_>) -> Option<f64> {
    let point = |i: usize| (parts.times_ms[i], parts.values[i]);
    let range = asked.range;
    let (first, last) = bounds(&|i| parts.times_ms[i], parts.times_ms.len(), range)?;
    let is_counter = asked.is_counter();
    let left = if range.is_smoothed && point(first).0 < range.start_ms {
        interpolate(point(first), point(first + 1), range.start_ms, is_counter)
    } else {
        point(first).1
    };
    let right = if range.is_smoothed && last > 0 && point(last).0 > range.end_ms {
        interpolate(point(last - 1), point(last), range.end_ms, is_counter)
    } else {
        point(last).1
    };
    let mut change = right - left;
    if is_counter {
        let from = first + usize::from(point(first).0 <= range.start_ms);
        let to = last + usize::from(point(last).0 < range.end_ms);
        let mut previous = left;
        let inside = parts.values.get(from..to).unwrap_or_default();
        for value in inside.iter().copied().chain([right]) {
            if value < previous {
                change += previous;
            }
            previous = value;
        }
    }
    Some(asked.seconds().map_or(change, |seconds| change / seconds))
}

/// From which samples on `resets` and `changes` of an anchored range look: the last one at or before its start, whatever
/// it is, and all behind it. `None` where there is none in the range.
pub(crate) fn anchored<'a>(parts: &Parts<'a>, start_ms: i64) -> Option<Parts<'a>> {
    let floats = parts.times_ms.partition_point(|t| *t <= start_ms);
    let histograms = parts.histograms.partition_point(|h| h.timestamp_ms <= start_ms);
    if floats == parts.times_ms.len() && histograms == parts.histograms.len() {
        return None;
    }
    let float_ms = floats.checked_sub(1).map(|i| parts.times_ms[i]);
    let histogram_ms = histograms
        .checked_sub(1)
        .map(|i| parts.histograms[i].timestamp_ms);
    let is_float = float_ms.is_some() && float_ms >= histogram_ms;
    let is_histogram = histogram_ms.is_some() && !is_float;
    Some(parts.from(
        floats - usize::from(is_float),
        histograms - usize::from(is_histogram),
    ))
}

/// The samples of a range with values at its ends, as a matrix shows them; nothing where none lies in it.
pub(crate) fn with_ends(times_ms: &[i64], values: &[f64], range: Range) -> Vec<Point> {
    let point = |i: usize| (times_ms[i], values[i]);
    let Some((first, last)) = bounds(&|i| times_ms[i], times_ms.len(), range) else {
        return Vec::new();
    };
    let left = if range.is_smoothed && point(first).0 < range.start_ms {
        interpolate(point(first), point(first + 1), range.start_ms, false)
    } else {
        point(first).1
    };
    let right = if range.is_smoothed && last > 0 && point(last).0 > range.end_ms {
        interpolate(point(last - 1), point(last), range.end_ms, false)
    } else {
        point(last).1
    };
    let inside = (first..=last)
        .map(point)
        .filter(|(t, _)| range.start_ms < *t && *t < range.end_ms);
    let mut points = vec![(range.start_ms, left)];
    points.extend(inside);
    points.push((range.end_ms, right));
    points
}

/// A smoothed instant selector: at each step the value on the line between the samples around it; behind the last one
/// that one's. `series` has no staleness markers.
pub(crate) fn smoothed_column(
    series: &SeriesData,
    steps: Steps,
    look_at: &dyn Fn(i64) -> i64,
    lookback_ms: i64,
    place: Place,
    notes: &mut Notes,
) -> Result<Column> {
    let name = series.labels.metric_name().unwrap_or_default();
    let mut column = Column::absent(series.labels.clone(), false, steps.count);
    for (step, time) in steps.times().enumerate() {
        let at = look_at(time);
        let parts = Parts::of(series).within(at.saturating_sub(lookback_ms), at.saturating_add(lookback_ms));
        match (parts.times_ms.is_empty(), parts.histograms.is_empty()) {
            (true, true) => {}
            (false, false) => notes.mixed_samples(place, name),
            (false, true) => {
                let behind = parts.times_ms.partition_point(|t| *t < at);
                let point = |i: usize| (parts.times_ms[i], parts.values[i]);
                if parts.times_ms.get(behind) == Some(&at) {
                    column.values[step] = parts.values[behind];
                } else if behind > 0 {
                    column.values[step] = if behind < parts.times_ms.len() {
                        interpolate(point(behind - 1), point(behind), at, false)
                    } else {
                        parts.values[behind - 1]
                    };
                }
            }
            (true, false) => {
                if let Some(histogram) = smoothed_histogram(parts.histograms, at, name, place, notes)? {
                    column.set(step, Element::Histogram(&Arc::new(histogram)));
                }
            }
        }
    }
    Ok(column)
}

fn smoothed_histogram(
    all: &[HistogramSample],
    at: i64,
    name: &str,
    place: Place,
    notes: &mut Notes,
) -> Result<Option<Histogram>> {
    let behind = all.partition_point(|h| h.timestamp_ms < at);
    if let Some(exact) = all.get(behind).filter(|h| h.timestamp_ms == at) {
        return Ok(Some(exact.histogram.clone()));
    }
    let Some(before) = behind.checked_sub(1).map(|i| &all[i]) else {
        return Ok(None);
    };
    let Some(after) = all.get(behind) else {
        let mut histogram = before.histogram.clone();
        // Of what comes before the step nothing is known.
        histogram.reset_hint = model::metric::ResetHint::Unknown;
        return Ok(Some(histogram));
    };
    if before.histogram.has_custom_bounds() != after.histogram.has_custom_bounds() {
        notes.mixed_buckets(place, name);
        return Ok(None);
    }
    let is_counter = !(before.histogram.is_gauge() && after.histogram.is_gauge());
    let outcome = native::interpolate(before, after, at, is_counter)?;
    notes.range(place, name, outcome.remarks);
    Ok(outcome.histogram)
}

impl<'a> Parts<'a> {
    /// From some samples on.
    fn from(&self, floats: usize, histograms: usize) -> Parts<'a> {
        Parts {
            times_ms: &self.times_ms[floats..],
            values: &self.values[floats..],
            starts_ms: self.starts_ms.get(floats..).unwrap_or_default(),
            histograms: &self.histograms[histograms..],
        }
    }
}

impl Extension {
    /// As it is written.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Anchored => "anchored",
            Self::Smoothed => "smoothed",
        }
    }
    /// The functions that can do with it, sorted.
    pub(crate) fn functions(self) -> &'static [&'static str] {
        match self {
            Self::Anchored => &["changes", "delta", "increase", "rate", "resets"],
            Self::Smoothed => &["delta", "increase", "rate"],
        }
    }
}
