//! Reading series for selectors: one scan each, every series turned into a column as it comes.

use super::ast::{Extension, Place, Selector};
use super::eval::Evaluator;
use super::native;
use super::window::{extended, widened};
use crate::columns::aggregate::Sink;
use crate::columns::{ABSENT, Column, Element, Steps};
use model::metric::is_stale;
use model::{
    Answer, Columns, Error, Hints, Labels, Predicate, Result, ScanBatch, ScanRequest, SeriesData, TimeRange,
};
use std::sync::Arc;

/// The function and the width of the range selector that a scan is for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Purpose {
    pub(crate) function: Option<&'static str>,
    pub(crate) range_ms: i64,
}

/// What an instant selector gives for each sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    Value,
    /// The sample's time in seconds.
    Timestamp,
    /// The same for numbers; histograms stay what they are.
    TimestampOfFloats,
    /// When the counting began, in seconds; 0 where nobody said.
    StartTimestamp,
}

impl Evaluator<'_> {
    /// Reads the series of a selector with their samples in `(after_ms, until_ms]`, in no order.
    pub(crate) fn read(
        &self,
        selector: &Selector,
        after_ms: i64,
        until_ms: i64,
        steps: Steps,
        purpose: Purpose,
        mut each: impl FnMut(SeriesData) -> Result<()>,
    ) -> Result<()> {
        let predicate = Predicate::labels(selector.matchers.iter().cloned());
        let range = TimeRange::from_ms(after_ms.saturating_add(1), until_ms);
        let mut request = ScanRequest::new(self.tenant.clone(), range, predicate, self.budget.clone());
        request.columns = Columns {
            body: true,
            attributes: false,
        };
        request.hints = Hints {
            step_ms: steps.step_ms,
            range_ms: purpose.range_ms,
            function: purpose.function.map(str::to_owned),
            resolution: self.options.resolution,
            ..Hints::default()
        };
        let scan = self.store.scan(&request)?;
        let all_exact = scan.predicates.iter().all(|a| *a == Answer::Exact);
        for batch in scan.batches {
            self.budget.check()?;
            let mut series = match batch? {
                ScanBatch::Rows(series) => series,
                ScanBatch::Aggregated(_) => {
                    return Err(Error::internal(
                        "the store aggregated a scan that asked for raw samples",
                    ));
                }
            };
            if !all_exact
                && selector
                    .matchers
                    .iter()
                    .any(|m| !m.matches_labels(&series.labels))
            {
                continue;
            }
            if selector.finds_resets {
                native::detect_hints(&mut series.histograms);
            }
            each(series)?;
        }
        Ok(())
    }

    /// An instant vector selector at every step: the last sample of the lookback window, unless it marks the
    /// series as stale.
    pub(crate) fn instant_selector(
        &self,
        selector: &Selector,
        steps: Steps,
        wanted: Wanted,
        function: Option<&'static str>,
        place: Place,
    ) -> Result<Vec<Column>> {
        let mut columns = Vec::new();
        self.each_selected(selector, steps, wanted, function, place, &mut |column| {
            columns.push(column);
            Ok(())
        })?;
        sort_by_labels(&mut columns, |c| &c.labels);
        Ok(columns)
    }

    /// The same, series by series in no order.
    pub(crate) fn each_selected(
        &self,
        selector: &Selector,
        steps: Steps,
        wanted: Wanted,
        function: Option<&'static str>,
        place: Place,
        sink: Sink<'_>,
    ) -> Result<()> {
        if steps.count == 0 {
            return Ok(());
        }
        let look_at = |time| selector.time.apply(time);
        let lookback_ms = self.options.lookback_ms;
        let after_ms = look_at(steps.start_ms).saturating_sub(lookback_ms);
        let is_smoothed = selector.extension == Some(Extension::Smoothed) && wanted == Wanted::Value;
        let ahead_ms = if is_smoothed { lookback_ms } else { 0 };
        let until_ms = look_at(steps.end_ms()).saturating_add(ahead_ms);
        let purpose = Purpose {
            function,
            range_ms: 0,
        };
        self.read(selector, after_ms, until_ms, steps, purpose, |mut series| {
            crate::columns::charge(self.budget, 1, steps)?;
            let column = if is_smoothed {
                without_stale(&mut series);
                let mut notes = self.notes.borrow_mut();
                extended::smoothed_column(&series, steps, &look_at, lookback_ms, place, &mut notes)?
            } else if series.histograms.is_empty() {
                let values = float_column(&series, steps, &look_at, lookback_ms, wanted);
                Column::new(series.labels.clone(), values)
            } else {
                mixed_column(series, steps, &look_at, lookback_ms, wanted)
            };
            if column.is_empty() {
                return Ok(());
            }
            sink(column)
        })
    }
}

/// What a selector finds at each step in a series of floats.
fn float_column(
    series: &SeriesData,
    steps: Steps,
    look_at: &dyn Fn(i64) -> i64,
    lookback_ms: i64,
    wanted: Wanted,
) -> Vec<f64> {
    let mut end = 0;
    let at_step = |time| {
        let at = look_at(time);
        while end < series.timestamps_ms.len() && series.timestamps_ms[end] <= at {
            end += 1;
        }
        let Some(last) = end.checked_sub(1) else {
            return ABSENT;
        };
        let (found_ms, value) = (series.timestamps_ms[last], series.values[last]);
        // A value that stands for a window is good until the next one.
        let lookback_ms = widened(lookback_ms, &series.rolled_up, found_ms);
        if found_ms <= at.saturating_sub(lookback_ms) || is_stale(value) {
            return ABSENT;
        }
        let start_ms = series.start_timestamps_ms.get(last).copied().unwrap_or(0);
        wanted_of(wanted, value, found_ms, start_ms)
    };
    steps.times().map(at_step).collect()
}

fn wanted_of(wanted: Wanted, value: f64, time_ms: i64, start_ms: i64) -> f64 {
    match wanted {
        Wanted::Value => value,
        Wanted::Timestamp | Wanted::TimestampOfFloats => time_ms as f64 / 1000.0,
        Wanted::StartTimestamp => start_ms as f64 / 1000.0,
    }
}

/// The same for a series that has histograms, too: whatever came last.
fn mixed_column(
    series: SeriesData,
    steps: Steps,
    look_at: &dyn Fn(i64) -> i64,
    lookback_ms: i64,
    wanted: Wanted,
) -> Column {
    let starts = |i: usize| series.start_timestamps_ms.get(i).copied().unwrap_or(0);
    let histograms: Vec<_> = series
        .histograms
        .into_iter()
        .map(|h| (h.timestamp_ms, h.start_timestamp_ms, Arc::new(h.histogram)))
        .collect();
    let mut column = Column::absent(series.labels, false, steps.count);
    let (mut floats_end, mut histograms_end) = (0, 0);
    for (step, time) in steps.times().enumerate() {
        let at = look_at(time);
        while series.timestamps_ms.get(floats_end).is_some_and(|t| *t <= at) {
            floats_end += 1;
        }
        while histograms.get(histograms_end).is_some_and(|h| h.0 <= at) {
            histograms_end += 1;
        }
        let float = floats_end.checked_sub(1);
        let histogram = histograms_end.checked_sub(1).map(|i| &histograms[i]);
        let float_ms = float.map_or(i64::MIN, |i| series.timestamps_ms[i]);
        let found_ms = float_ms.max(histogram.map_or(i64::MIN, |h| h.0));
        let lookback_ms = widened(lookback_ms, &series.rolled_up, found_ms);
        if found_ms <= at.saturating_sub(lookback_ms) {
            continue;
        }
        match (float, histogram) {
            (_, Some((time_ms, start_ms, histogram))) if *time_ms > float_ms => {
                if is_stale(histogram.sum) {
                    continue;
                }
                match wanted {
                    Wanted::Value | Wanted::TimestampOfFloats => {
                        column.set(step, Element::Histogram(histogram));
                    }
                    _ => column.values[step] = wanted_of(wanted, ABSENT, *time_ms, *start_ms),
                }
            }
            (Some(i), _) if !is_stale(series.values[i]) => {
                column.values[step] = wanted_of(wanted, series.values[i], float_ms, starts(i));
            }
            _ => {}
        }
    }
    column
}

/// Series come from a store in its order; evaluation starts with them sorted, as in Prometheus.
pub(crate) fn sort_by_labels<T>(items: &mut [T], labels: impl Fn(&T) -> &Labels) {
    items.sort_by(|a, b| labels(a).cmp(labels(b)));
}

/// Takes out the staleness markers.
pub(crate) fn without_stale(series: &mut SeriesData) {
    series.histograms.retain(|h| !is_stale(h.histogram.sum));
    if !series.values.iter().any(|v| is_stale(*v)) {
        return;
    }
    let kept: Vec<bool> = series.values.iter().map(|v| !is_stale(*v)).collect();
    fn keep<T: Copy>(column: &mut Vec<T>, kept: &[bool]) {
        let mut i = 0;
        column.retain(|_| {
            i += 1;
            kept.get(i - 1).copied().unwrap_or(true)
        });
    }
    keep(&mut series.timestamps_ms, &kept);
    keep(&mut series.values, &kept);
    keep(&mut series.start_timestamps_ms, &kept);
    keep(&mut series.counts, &kept);
}
