//! Reading series for selectors: one scan each, every series turned into a column as it comes.

use super::ast::Selector;
use super::eval::Evaluator;
use super::window::widened;
use crate::columns::{ABSENT, Column, Steps};
use model::metric::is_stale;
use model::{
    Answer, Columns, Error, Hints, Labels, Predicate, Result, ScanBatch, ScanRequest, SeriesData, TimeRange,
};

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
            let series = match batch? {
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
            if !series.histograms.is_empty() {
                self.budget.warn(NO_HISTOGRAMS);
                if series.values.is_empty() {
                    continue;
                }
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
    ) -> Result<Vec<Column>> {
        if steps.count == 0 {
            return Ok(Vec::new());
        }
        let look_at = |time| selector.time.apply(time);
        let lookback_ms = self.options.lookback_ms;
        let after_ms = look_at(steps.start_ms).saturating_sub(lookback_ms);
        let purpose = Purpose {
            function,
            range_ms: 0,
        };
        let mut columns = Vec::new();
        self.read(
            selector,
            after_ms,
            look_at(steps.end_ms()),
            steps,
            purpose,
            |series| {
                crate::columns::charge(self.budget, 1, steps)?;
                let mut end = 0;
                let values = steps.times().map(|time| {
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
                    match wanted {
                        Wanted::Value => value,
                        Wanted::Timestamp => found_ms as f64 / 1000.0,
                    }
                });
                let column = Column::new(series.labels.clone(), values.collect());
                if !column.is_empty() {
                    columns.push(column);
                }
                Ok(())
            },
        )?;
        sort_by_labels(&mut columns, |c| &c.labels);
        Ok(columns)
    }
}

/// Series come from a store in its order; evaluation starts with them sorted, as in Prometheus.
pub(crate) fn sort_by_labels<T>(items: &mut [T], labels: impl Fn(&T) -> &Labels) {
    items.sort_by(|a, b| labels(a).cmp(labels(b)));
}

/// A wrong number would be worse than none, and one such series must not take the others with it.
const NO_HISTOGRAMS: &str =
    "native histogram samples were left out: this version stores them but does not evaluate them";

/// Takes out the staleness markers.
pub(crate) fn without_stale(series: &mut SeriesData) {
    if !series.values.iter().any(|v| is_stale(*v)) {
        return;
    }
    if !series.counts.is_empty() {
        let is_kept = |i: &usize| !is_stale(series.values[*i]);
        series.counts = (0..series.counts.len())
            .filter(is_kept)
            .map(|i| series.counts[i])
            .collect();
    }
    let kept = series
        .timestamps_ms
        .iter()
        .zip(&series.values)
        .filter(|(_, v)| !is_stale(**v));
    let (timestamps_ms, values) = kept.unzip();
    series.timestamps_ms = timestamps_ms;
    series.values = values;
}
