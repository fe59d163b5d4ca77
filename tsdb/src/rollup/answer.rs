//! What was read of a series, as one answer: windows and samples each in its stretches of time.

use super::plan::Plan;
use super::windows::growth;
use super::{Column, column_in_file, end_ms, id_in_file};
use crate::samples::{Run, SeriesId};
use model::metric::{HistogramSample, stale_nan};
use model::{Hints, Result, RolledUp};
use std::sync::Arc;

/// What a query wants to know of windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// One number for each.
    Value(Column),
    /// The last value, unless the series had ended before the end of the window.
    Instant,
    /// The sum and of how many.
    Mean,
    /// How many.
    Count,
    /// A counter that grows as that of the samples did, without resets.
    Counter,
}

impl Asked {
    /// What the function around a selector needs.
    pub(crate) fn of(hints: &Hints) -> Self {
        if hints.range_ms == 0 {
            return Self::Instant;
        }
        match hints.function.as_deref().unwrap_or_default() {
            "sum_over_time" => Self::Value(Column::Sum),
            "avg_over_time" => Self::Mean,
            "count_over_time" => Self::Count,
            "min_over_time" | "ts_of_min_over_time" => Self::Value(Column::Min),
            "max_over_time" | "ts_of_max_over_time" => Self::Value(Column::Max),
            "rate" | "increase" | "irate" => Self::Counter,
            _ => Self::Value(Column::Last),
        }
    }
    /// The ids under which a file of windows has what is needed of series, both ascending.
    pub(crate) fn ids_in_file(self, series: &[SeriesId]) -> Result<Vec<SeriesId>> {
        let one;
        let columns: &[Column] = match self {
            Self::Value(column) => {
                one = [column];
                &one
            }
            Self::Instant => &[Column::Last, Column::Ended],
            Self::Mean => &[Column::Count, Column::Sum],
            Self::Count => &[Column::Count],
            Self::Counter => &[Column::Last, Column::Increase],
        };
        let columns = columns.iter().chain(&[Column::Histograms]);
        let of_one = |id: &SeriesId| {
            let id = *id;
            columns.clone().map(move |column| id_in_file(id, *column))
        };
        series.iter().flat_map(of_one).collect()
    }
}

/// What was read of one series, by resolution.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    windows: Vec<(i64, u64, Run)>,
}

impl Pieces {
    /// Where a column of a resolution is read to.
    pub(crate) fn column(&mut self, resolution_ms: u64, id_in_file: SeriesId) -> &mut Run {
        let key = (resolution_ms as i64, column_in_file(id_in_file));
        let known = self.windows.iter().position(|w| (w.0, w.1) == key);
        let at = known.unwrap_or_else(|| {
            self.windows.push((key.0, key.1, Run::default()));
            self.windows.len() - 1
        });
        &mut self.windows[at].2
    }

    fn get(&self, resolution_ms: i64, column: Column) -> Option<&Run> {
        let key = (resolution_ms, column as u64);
        self.windows
            .iter()
            .find(|w| (w.0, w.1) == key)
            .map(|(_, _, run)| run)
    }

    /// Joins windows and samples: each in its stretches.
    pub(crate) fn join(&self, raw: &Run, raw_starts: &[i64], asked: Asked, plan: &Plan) -> Joined {
        let mut joined = Joined::default();
        for stretch in plan.stretches() {
            match stretch.resolution_ms {
                0 => joined.add_raw(raw, raw_starts, stretch),
                _ => self.add_windows(asked, stretch, &mut joined),
            }
        }
        if asked == Asked::Counter {
            joined.make_counter();
        }
        if joined.starts.iter().all(|start| *start == 0) {
            joined.starts.clear();
        }
        if !matches!(asked, Asked::Mean | Asked::Count) || joined.counts.iter().all(|n| *n == 1) {
            joined.counts.clear();
        }
        joined
    }

    fn add_windows(&self, asked: Asked, stretch: &RolledUp, joined: &mut Joined) {
        let of = |column| self.get(stretch.resolution_ms, column);
        if let Some(run) = of(Column::Histograms) {
            let inside = |h: &&HistogramSample| is_inside(stretch, h.timestamp_ms);
            joined
                .histograms
                .extend(run.histograms.iter().filter(inside).cloned());
        }
        let value = match asked {
            Asked::Value(column) => column,
            Asked::Instant | Asked::Counter => Column::Last,
            Asked::Mean => Column::Sum,
            Asked::Count => Column::Count,
        };
        let second = match asked {
            Asked::Mean | Asked::Count => of(Column::Count),
            Asked::Counter => of(Column::Increase),
            Asked::Value(_) | Asked::Instant => None,
        };
        let first_new = joined.times.len();
        for (stored, value) in points(of(value)) {
            let end = end_ms(stored);
            if !is_inside(stretch, end) {
                continue;
            }
            let other = second.and_then(|run| value_at(run, stored));
            let is_counter = asked == Asked::Counter;
            joined.times.push(end);
            joined.values.push(value);
            joined.starts.push(0);
            joined.counts.push(if is_counter {
                1
            } else {
                other.map_or(1, |n| n as u32)
            });
            joined.growths.push(Some(Growth {
                by: if is_counter { other.unwrap_or(0.0) } else { 0.0 },
                resolution_ms: stretch.resolution_ms,
            }));
        }
        if asked == Asked::Instant
            && let Some(ended) = of(Column::Ended)
        {
            joined.end_series(first_new, ended, stretch);
        }
    }
}

fn points(run: Option<&Run>) -> impl Iterator<Item = (i64, f64)> + '_ {
    run.into_iter()
        .flat_map(|run| run.times.iter().copied().zip(run.values.iter().copied()))
}

fn value_at(run: &Run, time_ms: i64) -> Option<f64> {
    let at = run.times.binary_search(&time_ms).ok()?;
    run.values.get(at).copied()
}

fn is_inside(stretch: &RolledUp, time_ms: i64) -> bool {
    stretch.after_ms < time_ms && time_ms <= stretch.until_ms
}

/// One series' answer: columns of one length, but for `histograms`. `starts` and `counts` are empty where they would say
/// nothing.
#[derive(Debug, Default)]
pub(crate) struct Joined {
    pub times: Vec<i64>,
    pub values: Vec<f64>,
    pub starts: Vec<i64>,
    pub counts: Vec<u32>,
    pub histograms: Vec<HistogramSample>,
    /// Of windows, by how much the counter grew in them.
    growths: Vec<Option<Growth>>,
}

/// The point after the one that is looked at.
struct Ahead {
    came: f64,
    is: f64,
    /// Of a window: how much the counter grew in it since the point before.
    grown: Option<f64>,
}

#[derive(Debug, Clone, Copy)]
struct Growth {
    by: f64,
    resolution_ms: i64,
}

impl Joined {
    fn add_raw(&mut self, raw: &Run, starts: &[i64], stretch: &RolledUp) {
        let from = raw.times.partition_point(|t| *t <= stretch.after_ms);
        let to = raw.times.partition_point(|t| *t <= stretch.until_ms);
        self.times.extend_from_slice(&raw.times[from..to]);
        self.values.extend_from_slice(&raw.values[from..to]);
        match starts.get(from..to) {
            Some(starts) => self.starts.extend_from_slice(starts),
            None => self.starts.resize(self.times.len(), 0),
        }
        self.counts.resize(self.times.len(), 1);
        self.growths.resize(self.times.len(), None);
        // The one where windows end may be known from them.
        let last_ms = self.histograms.last().map_or(i64::MIN, |h| h.timestamp_ms);
        let inside = |h: &&HistogramSample| {
            (stretch.after_ms..=stretch.until_ms).contains(&h.timestamp_ms) && h.timestamp_ms > last_ms
        };
        self.histograms
            .extend(raw.histograms.iter().filter(inside).cloned());
    }

    /// Puts staleness markers where a series ended within a window.
    fn end_series(&mut self, first: usize, ended: &Run, stretch: &RolledUp) {
        for (stored, _) in points(Some(ended)) {
            let end = end_ms(stored);
            if !is_inside(stretch, end) {
                continue;
            }
            let at = first + self.times[first..].partition_point(|t| *t < end);
            if self.times.get(at) == Some(&end) {
                self.values[at] = stale_nan();
            } else {
                self.times.insert(at, end);
                self.values.insert(at, stale_nan());
                self.starts.insert(at, 0);
                self.counts.insert(at, 1);
                self.growths.insert(at, None);
            }
        }
    }

    /// Makes values of which neighbours differ by what the counter grew between them. Counted back from the last window,
    /// whose value stays: so what follows it goes on as it came, resets included, and there is no false one. Windows
    /// before a reset may get values below zero.
    ///
    /// Where windows come first, a point before them says from where the first one grew.
    fn make_counter(&mut self) {
        let Some(last) = self.growths.iter().rposition(Option::is_some) else {
            return;
        };
        let by = |growth: &Option<Growth>| growth.map(|g| g.by);
        let next = self.values[last..].iter().copied().find(|v| v.is_finite());
        let mut ahead = Ahead {
            came: next.unwrap_or(0.0),
            is: next.unwrap_or(0.0),
            grown: by(&self.growths[last]),
        };
        self.values[last] = ahead.is;
        for i in (0..last).rev() {
            let (came, window) = (self.values[i], self.growths[i]);
            if window.is_none() && !came.is_finite() {
                continue;
            }
            let grown = ahead.grown.unwrap_or_else(|| growth(came, ahead.came));
            // Comparisons with NaN are false: it is no growth.
            let is = if grown > 0.0 { ahead.is - grown } else { ahead.is };
            self.values[i] = is;
            let came = if came.is_finite() { came } else { ahead.came };
            ahead = Ahead {
                came,
                is,
                grown: by(&window),
            };
        }
        if let Some(Some(growth)) = self.growths.first().copied() {
            let before = self.values[0] - growth.by.max(0.0);
            self.times
                .insert(0, self.times[0].saturating_sub(growth.resolution_ms));
            self.values.insert(0, before);
            self.starts.insert(0, 0);
            self.counts.insert(0, 1);
            self.growths.insert(0, None);
        }
    }
}

impl Joined {
    /// The answer.
    pub(crate) fn into_data(self, labels: model::Labels, rolled_up: &Arc<[RolledUp]>) -> model::SeriesData {
        model::SeriesData {
            labels,
            timestamps_ms: self.times,
            values: self.values,
            start_timestamps_ms: self.starts,
            histograms: self.histograms,
            counts: self.counts,
            rolled_up: rolled_up.clone(),
        }
    }
}
