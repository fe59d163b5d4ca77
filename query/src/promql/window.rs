//! Functions over the samples of a window that slides over one series.

pub(crate) mod extended;
pub(crate) mod mixed;
pub(crate) mod starts;

use super::ast::RangeFunction;
use super::extrapolation::Sampled;
use crate::columns::aggregate::quantile;
use crate::columns::kahan::{Mean, Sum};
use crate::columns::{ABSENT, Steps};
use model::{RolledUp, SeriesData};

/// The samples of one series without staleness markers, in time order.
#[derive(Clone, Copy)]
pub(crate) struct Samples<'a> {
    pub(crate) timestamps_ms: &'a [i64],
    pub(crate) values: &'a [f64],
    /// When the counter of each sample began; empty where nobody said.
    pub(crate) starts_ms: &'a [i64],
    /// How many samples each value stands for; empty when each stands for itself.
    pub(crate) counts: &'a [u32],
    /// Where values stand for windows of time.
    pub(crate) rolled_up: &'a [RolledUp],
}

impl<'a> Samples<'a> {
    /// Start and time of a sample.
    pub(crate) fn point(&self, i: usize) -> starts::Point {
        starts::Point {
            start_ms: self.starts_ms.get(i).copied().unwrap_or(0),
            time_ms: self.timestamps_ms[i],
        }
    }
    pub(crate) fn of(series: &'a SeriesData) -> Self {
        Self {
            timestamps_ms: &series.timestamps_ms,
            values: &series.values,
            starts_ms: &series.start_timestamps_ms,
            counts: &series.counts,
            rolled_up: &series.rolled_up,
        }
    }
}

/// Where the windows lie: at each step one, ending at `time` of the step, open on the left.
pub(crate) struct Windows<'a> {
    pub(crate) steps: Steps,
    /// The end of the window of a step, from the step's time.
    pub(crate) end_ms: &'a dyn Fn(i64) -> i64,
    pub(crate) range_ms: i64,
}

/// One scalar parameter per step; functions have none, one or two.
pub(crate) struct Parameters<'a> {
    pub(crate) first: Option<&'a [f64]>,
    pub(crate) second: Option<&'a [f64]>,
}

impl Parameters<'_> {
    fn first(&self, step: usize) -> f64 {
        self.first.map_or(f64::NAN, |p| p[step])
    }
    fn second(&self, step: usize) -> f64 {
        self.second.map_or(f64::NAN, |p| p[step])
    }
}

/// The samples in one window; at least one.
pub(crate) struct Window<'a> {
    timestamps_ms: &'a [i64],
    values: &'a [f64],
    /// Index of the first sample within the series.
    first: usize,
    start_ms: i64,
    end_ms: i64,
    step: usize,
}

impl<'a> Window<'a> {
    /// The same window for a function of changes: where it begins in rolled-up data, the value at its beginning belongs to
    /// it. So changes of neighbouring windows add up, and one window of the data is enough to tell a change.
    fn with_start(&self, samples: Samples<'a>) -> Window<'a> {
        let resolution_ms = RolledUp::resolution_at(samples.rolled_up, self.start_ms);
        let at_start = self
            .first
            .checked_sub(1)
            .filter(|i| samples.timestamps_ms[*i] > self.start_ms.saturating_sub(resolution_ms));
        let first = at_start.unwrap_or(self.first);
        Window {
            timestamps_ms: &samples.timestamps_ms[first..self.end()],
            values: &samples.values[first..self.end()],
            first,
            ..*self
        }
    }
    /// How many samples there are.
    fn count(&self, samples: Samples<'_>) -> u64 {
        match samples.counts.get(self.first..self.end()) {
            Some(counts) => counts.iter().map(|n| u64::from(*n)).sum(),
            None => self.values.len() as u64,
        }
    }
    fn range_ms(&self) -> i64 {
        self.end_ms.saturating_sub(self.start_ms)
    }
    /// The index after the last sample within the series.
    fn end(&self) -> usize {
        self.first + self.values.len()
    }
    fn last(&self) -> usize {
        self.values.len() - 1
    }
}

/// Evaluates a function at every step; [`ABSENT`] where the window has too few samples.
pub(crate) fn evaluate(
    function: RangeFunction,
    samples: Samples<'_>,
    windows: &Windows<'_>,
    parameters: &Parameters<'_>,
) -> Vec<f64> {
    use RangeFunction as F;
    let slide = |f: &mut dyn FnMut(&Window<'_>) -> f64| slide(samples, windows, f);
    let changes = |f: &mut dyn FnMut(&Window<'_>) -> f64| slide(&mut |w| f(&w.with_start(samples)));
    let per_second = |ms: i64| ms as f64 / 1000.0;
    match function {
        F::Rate | F::Increase | F::Delta => {
            let is_counter = function != F::Delta;
            let resets = if is_counter {
                reset_positions(samples)
            } else {
                Vec::new()
            };
            changes(&mut |w| {
                let divisor = if function == F::Rate {
                    per_second(w.range_ms())
                } else if w.range_ms() == windows.range_ms {
                    1.0
                } else {
                    w.range_ms() as f64 / windows.range_ms as f64
                };
                extrapolated_change(w, is_counter, &resets, samples.starts_ms)
                    .map_or(ABSENT, |change| change / divisor)
            })
        }
        F::Irate | F::Idelta => changes(&mut |w| instant_change(w, function == F::Irate, samples)),
        F::Deriv => changes(&mut |w| regression(w, w.timestamps_ms[0]).map_or(ABSENT, |(slope, _)| slope)),
        F::PredictLinear => changes(&mut |w| match regression(w, windows.steps.time(w.step)) {
            Some((slope, intercept)) => slope * parameters.first(w.step) + intercept,
            None => ABSENT,
        }),
        F::Changes => {
            let changes = running_count(samples.values, |a, b| a != b && !(a.is_nan() && b.is_nan()));
            slide(&mut |w| f64::from(changes[w.end() - 1] - changes[w.first]))
        }
        F::Resets => {
            let resets = reset_positions(samples);
            let up_to = |i: usize| resets.partition_point(|reset| *reset <= i);
            slide(&mut |w| (up_to(w.end() - 1) - up_to(w.first)) as f64)
        }
        F::Count => slide(&mut |w| w.count(samples) as f64),
        F::Present => slide(&mut |_| 1.0),
        F::First => slide(&mut |w| w.values[0]),
        F::Last => slide(&mut |w| w.values[w.last()]),
        F::Sum => slide(&mut |w| sum(w.values)),
        F::Avg => slide(&mut |w| {
            let count = w.count(samples);
            if count > w.values.len() as u64 {
                // The values are sums.
                return sum(w.values) / count as f64;
            }
            let mut mean = Mean::default();
            w.values.iter().for_each(|v| mean.add(*v));
            mean.value()
        }),
        F::Stddev => slide(&mut |w| variance(w.values).sqrt()),
        F::Stdvar => slide(&mut |w| variance(w.values)),
        F::Min => extremes(samples, windows, |kept, new| kept < new, |w, i| w.values[i]),
        F::Max => extremes(samples, windows, |kept, new| kept > new, |w, i| w.values[i]),
        F::TimestampOfMin => extremes(
            samples,
            windows,
            |kept, new| kept < new,
            |w, i| per_second(w.timestamps_ms[i]),
        ),
        F::TimestampOfMax => extremes(
            samples,
            windows,
            |kept, new| kept > new,
            |w, i| per_second(w.timestamps_ms[i]),
        ),
        F::TimestampOfFirst => slide(&mut |w| per_second(w.timestamps_ms[0])),
        F::TimestampOfLast => slide(&mut |w| per_second(w.timestamps_ms[w.last()])),
        F::Quantile => {
            let mut scratch = Vec::new();
            slide(&mut |w| {
                scratch.clear();
                scratch.extend_from_slice(w.values);
                quantile(parameters.first(w.step), &mut scratch)
            })
        }
        F::Mad => slide(&mut |w| median_absolute_deviation(w.values)),
        F::Smoothing => {
            slide(&mut |w| smoothed(w.values, parameters.first(w.step), parameters.second(w.step)))
        }
    }
}

fn sum(values: &[f64]) -> f64 {
    let mut sum = Sum::default();
    values.iter().for_each(|v| sum.add(*v));
    sum.value()
}

/// Calls a function for each window that has samples. Bounds move with the window: every sample is passed once. In
/// rolled-up data a window is as wide as one of the data at least.
fn slide(
    samples: Samples<'_>,
    windows: &Windows<'_>,
    function: &mut dyn FnMut(&Window<'_>) -> f64,
) -> Vec<f64> {
    let times = samples.timestamps_ms;
    let (mut first, mut end, mut previous_end, mut previous_start) = (0, 0, i64::MIN, i64::MIN);
    windows
        .steps
        .times()
        .enumerate()
        .map(|(step, time)| {
            let end_ms = (windows.end_ms)(time);
            let range_ms = widened(windows.range_ms, samples.rolled_up, end_ms);
            // Only where the resolution gets coarser with time could the start go back.
            let start_ms = end_ms.saturating_sub(range_ms).max(previous_start);
            previous_start = start_ms;
            debug_assert!(end_ms >= previous_end, "windows move forward");
            previous_end = end_ms;
            while end < times.len() && times[end] <= end_ms {
                end += 1;
            }
            while first < end && times[first] <= start_ms {
                first += 1;
            }
            if first == end {
                return ABSENT;
            }
            function(&Window {
                timestamps_ms: &times[first..end],
                values: &samples.values[first..end],
                first,
                start_ms,
                end_ms,
                step,
            })
        })
        .collect()
}

/// The width of a window that ends at a time, where that is in rolled-up data.
pub(crate) fn widened(range_ms: i64, rolled_up: &[RolledUp], end_ms: i64) -> i64 {
    range_ms.max(RolledUp::resolution_at(rolled_up, end_ms))
}

/// Indexes of samples before which a counter began anew: they are smaller than the one before, or say so.
pub(crate) fn reset_positions(samples: Samples<'_>) -> Vec<usize> {
    let values = samples.values;
    if samples.starts_ms.is_empty() {
        return (1..values.len()).filter(|i| values[*i] < values[i - 1]).collect();
    }
    let is_reset =
        |i: &usize| values[*i] < values[i - 1] || starts::is_reset(samples.point(i - 1), samples.point(*i));
    (1..values.len()).filter(is_reset).collect()
}

/// How often a condition on neighbours was true up to each sample.
fn running_count(values: &[f64], condition: impl Fn(f64, f64) -> bool) -> Vec<u32> {
    let mut count = 0;
    (0..values.len())
        .map(|i| {
            count += u32::from(i > 0 && condition(values[i - 1], values[i]));
            count
        })
        .collect()
}

/// The change over a window, extrapolated to its ends as Prometheus does it (`extrapolatedRate`): up to half of
/// the average distance between samples, or to the end itself when that is near; counters never below zero. A counter
/// that is known to have begun within the window counts from zero there.
fn extrapolated_change(w: &Window<'_>, is_counter: bool, resets: &[usize], starts_ms: &[i64]) -> Option<f64> {
    let (first, last) = (w.values[0], w.values[w.last()]);
    let mut change = last - first;
    let from = resets.partition_point(|i| *i <= w.first);
    for &reset in resets[from..].iter().take_while(|i| **i < w.end()) {
        change += w.values[reset - w.first - 1];
    }
    let (first_ms, last_ms) = (w.timestamps_ms[0], w.timestamps_ms[w.last()]);
    let sampled = |from_ms| Sampled {
        first_ms: from_ms,
        last_ms,
        gaps: w.last(),
        window_ms: (w.start_ms, w.end_ms),
    };
    let begun_ms = starts_ms.get(w.first).copied().filter(|_| is_counter);
    let is_inside = |begun: &i64| *begun != 0 && *begun > w.start_ms && *begun < first_ms;
    if let Some(begun_ms) = begun_ms.filter(is_inside) {
        return Some((change + first) * sampled(begun_ms).extrapolation_from_zero(first_ms));
    }
    if w.last() == 0 {
        return None;
    }
    let to_zero = (is_counter && change > 0.0 && first >= 0.0).then(|| first / change);
    Some(change * sampled(first_ms).extrapolation(to_zero))
}

/// The change between the last two samples.
fn instant_change(w: &Window<'_>, is_rate: bool, samples: Samples<'_>) -> f64 {
    let Some(before) = w.last().checked_sub(1) else {
        return ABSENT;
    };
    let (previous, last) = (w.values[before], w.values[w.last()]);
    let says_reset = || {
        !samples.starts_ms.is_empty()
            && starts::is_reset(samples.point(w.first + before), samples.point(w.end() - 1))
    };
    let change = if is_rate && (last < previous || says_reset()) {
        last
    } else {
        last - previous
    };
    if is_rate {
        change / ((w.timestamps_ms[w.last()] - w.timestamps_ms[before]) as f64 / 1000.0)
    } else {
        change
    }
}

/// Slope per second, and value at a time, of the line through the samples (least squares).
fn regression(w: &Window<'_>, intercept_ms: i64) -> Option<(f64, f64)> {
    if w.values.len() < 2 {
        return None;
    }
    let first = w.values[0];
    if w.values.iter().all(|v| *v == first) {
        return Some(if first.is_infinite() {
            (f64::NAN, f64::NAN)
        } else {
            (0.0, first)
        });
    }
    let n = w.values.len() as f64;
    let [mut x_sum, mut y_sum, mut xy_sum, mut xx_sum] = [Sum::default(); 4];
    for (t, y) in w.timestamps_ms.iter().zip(w.values) {
        let x = (t - intercept_ms) as f64 / 1000.0;
        x_sum.add(x);
        y_sum.add(*y);
        xy_sum.add(x * y);
        xx_sum.add(x * x);
    }
    let (x, y) = (x_sum.value(), y_sum.value());
    let covariance = xy_sum.value() - x * y / n;
    let variance = xx_sum.value() - x * x / n;
    let slope = covariance / variance;
    Some((slope, y / n - slope * x / n))
}

fn variance(values: &[f64]) -> f64 {
    let (mut mean, mut squares) = (Sum::default(), Sum::default());
    for (i, value) in values.iter().enumerate() {
        let delta = value - mean.value();
        mean.add(delta / (i + 1) as f64);
        squares.add(delta * (value - mean.value()));
    }
    squares.value() / values.len() as f64
}

/// The smallest or largest sample of each window. A deque holds the samples that can still become it, so each
/// one is looked at a constant number of times. NaN only when there is nothing else; of equal samples the first
/// for values, as it makes no difference, and the last for their times.
fn extremes(
    samples: Samples<'_>,
    windows: &Windows<'_>,
    beats: impl Fn(f64, f64) -> bool,
    result: impl Fn(&Window<'_>, usize) -> f64,
) -> Vec<f64> {
    let mut candidates: std::collections::VecDeque<usize> = std::collections::VecDeque::new();
    let mut seen = 0;
    slide(samples, windows, &mut |w| {
        for i in seen.max(w.first)..w.end() {
            let new = samples.values[i];
            if new.is_nan() {
                continue;
            }
            while candidates.back().is_some_and(|c| !beats(samples.values[*c], new)) {
                candidates.pop_back();
            }
            candidates.push_back(i);
        }
        seen = w.end();
        while candidates.front().is_some_and(|c| *c < w.first) {
            candidates.pop_front();
        }
        match candidates.front() {
            Some(best) => result(w, best - w.first),
            None => result(w, w.last()),
        }
    })
}

fn median_absolute_deviation(values: &[f64]) -> f64 {
    if values.iter().any(|v| v.is_nan()) {
        return f64::NAN;
    }
    let mut scratch = values.to_vec();
    let median = quantile(0.5, &mut scratch);
    scratch.iter_mut().for_each(|v| *v = (*v - median).abs());
    quantile(0.5, &mut scratch)
}

/// Double exponential smoothing, without seasons.
fn smoothed(values: &[f64], smoothing: f64, trend_factor: f64) -> f64 {
    if values.len() < 2 {
        return ABSENT;
    }
    let (mut previous, mut level, mut trend) = (0.0, values[0], values[1] - values[0]);
    for (i, value) in values.iter().enumerate().skip(1) {
        if i > 1 {
            trend = trend_factor * (level - previous) + (1.0 - trend_factor) * trend;
        }
        let next = smoothing * value + (1.0 - smoothing) * (level + trend);
        (previous, level) = (level, next);
    }
    level
}
