//! The arithmetic of windows: from the samples of a series to what stands for them.

use super::{Column, stored_ms};
use crate::samples::Run;
use model::metric::is_stale;

/// Makes windows of a series' float samples, given in the order of time: `(end - resolution, end]` each, ends being multiples
/// of the resolution. `before` is the last value before them, if one is known. Hands out each column as it is stored.
pub(crate) fn roll_up(
    samples: impl Iterator<Item = (i64, f64)>,
    before: Option<f64>,
    resolution_ms: i64,
) -> Windows {
    let mut windows = Windows::default();
    let mut counter = Counter(before.filter(|v| v.is_finite()));
    let mut open: Option<Window> = None;
    for (time_ms, value) in samples {
        let end_ms = end_of(time_ms, resolution_ms);
        if let Some(done) = open.take_if(|w| w.end_ms != end_ms) {
            windows.push(&done);
        }
        let window = open.get_or_insert_with(|| Window::new(end_ms));
        if is_stale(value) {
            window.ended = true;
        } else {
            window.add(value, counter.grow(value));
        }
    }
    if let Some(done) = open {
        windows.push(&done);
    }
    windows
}

/// The end of the window that a time lies in.
pub(super) fn end_of(time_ms: i64, resolution_ms: i64) -> i64 {
    let start = time_ms.saturating_sub(1).div_euclid(resolution_ms);
    start.saturating_add(1).saturating_mul(resolution_ms)
}

/// The windows of one series as columns.
#[derive(Debug, Default)]
pub(crate) struct Windows {
    times: Vec<i64>,
    columns: [Vec<f64>; Column::OF_SAMPLES.len()],
    ended: Vec<i64>,
}

impl Windows {
    fn push(&mut self, w: &Window) {
        let values = [w.count, w.sum.value(), w.min, w.max, w.last, w.increase.value()];
        self.add(w.end_ms, (w.count > 0.0).then_some(values), w.ended);
    }
    /// Adds a window, with what it says of its samples if it has any.
    pub(super) fn add(
        &mut self,
        end_ms: i64,
        columns: Option<[f64; Column::OF_SAMPLES.len()]>,
        has_ended: bool,
    ) {
        if has_ended {
            self.ended.push(stored_ms(end_ms));
        }
        let Some(values) = columns else { return };
        self.times.push(stored_ms(end_ms));
        self.columns
            .iter_mut()
            .zip(values)
            .for_each(|(column, value)| column.push(value));
    }
    /// Adds later windows.
    pub(super) fn append(&mut self, later: Self) {
        self.times.extend(later.times);
        self.ended.extend(later.ended);
        for (column, values) in self.columns.iter_mut().zip(later.columns) {
            column.extend(values);
        }
    }
    /// What the last window with samples has in a column of them.
    pub(super) fn last_of(&self, column: Column) -> Option<f64> {
        self.columns[column as usize].last().copied()
    }
    /// The columns that have anything, in the order of their numbers.
    pub(crate) fn into_columns(mut self) -> impl Iterator<Item = (Column, Run)> {
        let times = std::mem::take(&mut self.times);
        let of_samples = Column::OF_SAMPLES
            .into_iter()
            .zip(self.columns)
            .map(move |(column, values)| {
                let run = Run {
                    times: times.clone(),
                    values,
                    ..Run::default()
                };
                (column, run)
            });
        let ended = Run {
            values: vec![1.0; self.ended.len()],
            times: self.ended,
            ..Run::default()
        };
        of_samples.chain([(Column::Ended, ended)])
    }
}

/// The window that samples are added to.
struct Window {
    end_ms: i64,
    count: f64,
    sum: Sum,
    min: f64,
    max: f64,
    last: f64,
    increase: Sum,
    ended: bool,
}

impl Window {
    fn new(end_ms: i64) -> Self {
        Self {
            end_ms,
            count: 0.0,
            sum: Sum::default(),
            min: f64::NAN,
            max: f64::NAN,
            last: f64::NAN,
            increase: Sum::default(),
            ended: false,
        }
    }
    fn add(&mut self, value: f64, increase: f64) {
        self.count += 1.0;
        self.sum.add(value);
        // Comparisons with NaN are false: any number takes its place.
        if self.count == 1.0 || value < self.min || self.min.is_nan() {
            self.min = value;
        }
        if self.count == 1.0 || value > self.max || self.max.is_nan() {
            self.max = value;
        }
        self.last = value;
        self.increase.add(increase);
        self.ended = false;
    }
}

/// How a counter grows from sample to sample: after a reset from zero. Values that are no finite numbers are passed over.
/// When the counter began is not asked: `increase()` over the samples as they came does not ask either.
struct Counter(Option<f64>);

impl Counter {
    fn grow(&mut self, value: f64) -> f64 {
        if !value.is_finite() {
            return 0.0;
        }
        self.0.replace(value).map_or(0.0, |before| growth(before, value))
    }
}

/// How much a counter grew between two samples.
pub(super) fn growth(before: f64, value: f64) -> f64 {
    if value < before { value } else { value - before }
}

/// A sum that keeps what rounding would lose (Neumaier), so that sums of windows add up to the sum of the samples.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    sum: f64,
    correction: f64,
}

impl Sum {
    fn add(&mut self, value: f64) {
        let total = self.sum + value;
        self.correction += if self.sum.abs() >= value.abs() {
            (self.sum - total) + value
        } else {
            (value - total) + self.sum
        };
        self.sum = total;
    }
    fn value(&self) -> f64 {
        // The correction means nothing once the sum is infinite.
        if self.sum.is_finite() {
            self.sum + self.correction
        } else {
            self.sum
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::metric::stale_nan;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const RESOLUTION_MS: i64 = 300_000;

    /// By the end of the window: the columns.
    fn windows(samples: &[(i64, f64)], before: Option<f64>) -> BTreeMap<(i64, u64), f64> {
        let mut found = BTreeMap::new();
        for (column, run) in roll_up(samples.iter().copied(), before, RESOLUTION_MS).into_columns() {
            assert!(run.times.is_sorted_by(|a, b| a < b) && run.times.len() == run.values.len());
            for (time, value) in run.times.iter().zip(run.values) {
                found.insert((super::super::end_ms(*time), column as u64), value);
            }
        }
        found
    }

    /// Each window by looking at all samples.
    fn naive(samples: &[(i64, f64)], before: Option<f64>) -> BTreeMap<(i64, u64), f64> {
        let mut expected = BTreeMap::new();
        let ends: Vec<i64> = (-3..=3).map(|i| i * RESOLUTION_MS).collect();
        for end in ends {
            let inside = |t: i64| end - RESOLUTION_MS < t && t <= end;
            let all: Vec<f64> = samples.iter().filter(|(t, _)| inside(*t)).map(|s| s.1).collect();
            if all.last().is_some_and(|v| is_stale(*v)) {
                expected.insert((end, 6), 1.0);
            }
            let values: Vec<f64> = all.into_iter().filter(|v| !is_stale(*v)).collect();
            let Some(last) = values.last() else { continue };
            let finite = |limit: i64| {
                let of_samples = samples.iter().filter(move |(t, v)| *t <= limit && v.is_finite());
                before
                    .into_iter()
                    .chain(of_samples.map(|(_, v)| *v))
                    .collect::<Vec<f64>>()
            };
            let total = |values: &[f64]| {
                values
                    .windows(2)
                    .map(|w| if w[1] < w[0] { w[1] } else { w[1] - w[0] })
                    .sum::<f64>()
            };
            expected.insert((end, 0), values.len() as f64);
            expected.insert((end, 1), values.iter().sum());
            expected.insert((end, 2), values.iter().copied().fold(f64::NAN, f64::min));
            expected.insert((end, 3), values.iter().copied().fold(f64::NAN, f64::max));
            expected.insert((end, 4), *last);
            expected.insert(
                (end, 5),
                total(&finite(end)) - total(&finite(end - RESOLUTION_MS)),
            );
        }
        expected
    }

    fn bits(windows: BTreeMap<(i64, u64), f64>) -> Vec<((i64, u64), u64)> {
        let shown = |v: f64| if v.is_nan() { f64::NAN } else { v };
        windows
            .into_iter()
            .map(|(k, v)| (k, shown(v).to_bits()))
            .collect()
    }

    proptest! {
        #[test]
        fn windows_say_what_looking_at_all_samples_says(
            samples in prop::collection::btree_map(
                prop_oneof![-890_000i64..=890_000, (-2i64..=2).prop_map(|i| i * RESOLUTION_MS)],
                prop_oneof![6 => (0u32..100).prop_map(f64::from), 1 => Just(f64::NAN), 1 => Just(stale_nan())], 0..40),
            before in prop::option::of((0u32..100).prop_map(f64::from)),
        ) {
            let samples: Vec<_> = samples.into_iter().collect();
            prop_assert_eq!(bits(windows(&samples, before)), bits(naive(&samples, before)));
        }
    }

    #[test]
    fn a_window_holds_its_end_and_not_its_start() {
        let check = |time: i64, end: i64| assert_eq!(end_of(time, RESOLUTION_MS), end, "{time}");
        check(0, 0);
        check(1, RESOLUTION_MS);
        check(RESOLUTION_MS, RESOLUTION_MS);
        check(RESOLUTION_MS + 1, 2 * RESOLUTION_MS);
        check(-1, 0);
        check(-RESOLUTION_MS, -RESOLUTION_MS);
    }

    #[test]
    fn sums_keep_what_rounding_would_lose() {
        let samples = [(1, 1.0), (2, 1e100), (3, 1.0), (4, -1e100)];
        assert_eq!(windows(&samples, None)[&(RESOLUTION_MS, 1)], 2.0);
        let samples = [(1, f64::INFINITY), (2, 1.0)];
        assert_eq!(windows(&samples, None)[&(RESOLUTION_MS, 1)], f64::INFINITY);
    }
}
