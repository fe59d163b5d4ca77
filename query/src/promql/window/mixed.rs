//! Functions over windows of a series that has native histograms, alone or besides numbers.

use super::super::ast::{Extension, Place, RangeFunction};
use super::super::native;
use super::super::notes::Notes;
use super::{Parameters, Samples, Windows, starts, widened};
use crate::columns::{Column, is_absent};
use model::metric::{Histogram, HistogramSample};
use model::{Result, SeriesData};
use std::sync::Arc;

/// What a function gives for a window.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    Nothing,
    Float(f64),
    Histogram(Arc<Histogram>),
}

/// Samples of both kinds, each in time order, without staleness markers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parts<'a> {
    pub(crate) times_ms: &'a [i64],
    pub(crate) values: &'a [f64],
    /// Empty where nobody said.
    pub(crate) starts_ms: &'a [i64],
    pub(crate) histograms: &'a [HistogramSample],
}

impl<'a> Parts<'a> {
    /// All of a series.
    pub(crate) fn of(series: &'a SeriesData) -> Self {
        Self {
            times_ms: &series.timestamps_ms,
            values: &series.values,
            starts_ms: &series.start_timestamps_ms,
            histograms: &series.histograms,
        }
    }
    /// Those in `(after_ms, until_ms]`.
    pub(crate) fn within(&self, after_ms: i64, until_ms: i64) -> Self {
        let floats = self.times_ms.partition_point(|t| *t <= after_ms)
            ..self.times_ms.partition_point(|t| *t <= until_ms);
        let histograms = self.histograms.partition_point(|h| h.timestamp_ms <= after_ms)
            ..self.histograms.partition_point(|h| h.timestamp_ms <= until_ms);
        if floats.is_empty() && histograms.is_empty() {
            return Self {
                times_ms: &[],
                values: &[],
                starts_ms: &[],
                histograms: &[],
            };
        }
        Self {
            times_ms: self.times_ms.get(floats.clone()).unwrap_or_default(),
            values: self.values.get(floats.clone()).unwrap_or_default(),
            starts_ms: self.starts_ms.get(floats).unwrap_or_default(),
            histograms: self.histograms.get(histograms).unwrap_or_default(),
        }
    }
    fn is_empty(&self) -> bool {
        self.times_ms.is_empty() && self.histograms.is_empty()
    }
    /// All samples in time order.
    fn merged(&self) -> impl Iterator<Item = (starts::Point, Value<'a>)> + use<'a> {
        let parts = *self;
        let (mut float, mut histogram) = (0, 0);
        std::iter::from_fn(move || {
            let float_ms = parts.times_ms.get(float).copied();
            let next = parts.histograms.get(histogram);
            let is_float = match (float_ms, next) {
                (None, None) => return None,
                (Some(f), Some(h)) => f <= h.timestamp_ms,
                (is_there, _) => is_there.is_some(),
            };
            if is_float {
                let point = starts::Point {
                    start_ms: parts.starts_ms.get(float).copied().unwrap_or(0),
                    time_ms: float_ms?,
                };
                float += 1;
                return Some((point, Value::Float(parts.values[float - 1])));
            }
            histogram += 1;
            let sample = next?;
            Some((point_of(sample), Value::Histogram(sample)))
        })
    }
}

fn point_of(sample: &HistogramSample) -> starts::Point {
    starts::Point {
        start_ms: sample.start_timestamp_ms,
        time_ms: sample.timestamp_ms,
    }
}

#[derive(Debug, Clone, Copy)]
enum Value<'a> {
    Float(f64),
    Histogram(&'a HistogramSample),
}

/// What a function works on, and where notes about it belong.
pub(crate) struct Asked<'a> {
    pub(crate) function: RangeFunction,
    pub(crate) extension: Option<Extension>,
    pub(crate) lookback_ms: i64,
    /// The metric's name.
    pub(crate) name: &'a str,
    pub(crate) place: Place,
}

/// Evaluates a function at every step, for series with histograms and for extended ranges.
pub(crate) fn evaluate(
    asked: &Asked<'_>,
    series: &SeriesData,
    windows: &Windows<'_>,
    parameters: &Parameters<'_>,
    notes: &mut Notes,
) -> Result<Column> {
    let mut column = Column::absent(series.labels.clone(), false, windows.steps.count);
    let all = Parts::of(series);
    for (step, time) in windows.steps.times().enumerate() {
        let end_ms = (windows.end_ms)(time);
        let range_ms = widened(windows.range_ms, &series.rolled_up, end_ms);
        let start_ms = end_ms.saturating_sub(range_ms);
        let lookback_ms = asked.lookback_ms;
        let parts = match asked.extension {
            None => all.within(start_ms, end_ms),
            Some(Extension::Anchored) => all.within(start_ms.saturating_sub(lookback_ms), end_ms),
            Some(Extension::Smoothed) => all.within(
                start_ms.saturating_sub(lookback_ms),
                end_ms.saturating_add(lookback_ms),
            ),
        };
        if parts.is_empty() {
            continue;
        }
        let window = One {
            asked,
            parts,
            start_ms,
            end_ms,
            time_ms: time,
            parameters: (parameters.first(step), parameters.second(step)),
            series,
        };
        match window.evaluate(notes)? {
            Outcome::Nothing => {}
            Outcome::Float(value) => column.values[step] = value,
            Outcome::Histogram(histogram) => column.set_histogram(step, histogram),
        }
    }
    Ok(column)
}

/// One window; there is a sample in it.
struct One<'a> {
    asked: &'a Asked<'a>,
    parts: Parts<'a>,
    start_ms: i64,
    end_ms: i64,
    /// The time of the step.
    time_ms: i64,
    parameters: (f64, f64),
    series: &'a SeriesData,
}

impl One<'_> {
    fn evaluate(&self, notes: &mut Notes) -> Result<Outcome> {
        use RangeFunction as F;
        let parts = &self.parts;
        let (floats, histograms) = (parts.times_ms.len(), parts.histograms.len());
        Ok(match self.asked.function {
            F::Rate | F::Increase | F::Delta => return self.change(notes),
            F::Irate | F::Idelta => return self.instant_change(notes),
            F::Changes | F::Resets => self.count_breaks(),
            F::Count => Outcome::Float((floats + histograms) as f64),
            F::Present => Outcome::Float(1.0),
            F::First => self.outcome(parts.merged().next()),
            F::Last => self.outcome(parts.merged().last()),
            F::TimestampOfFirst => self.seconds(parts.merged().next()),
            F::TimestampOfLast => self.seconds(parts.merged().last()),
            F::Sum | F::Avg if floats > 0 && histograms > 0 => {
                notes.mixed_samples(self.asked.place, self.asked.name);
                Outcome::Nothing
            }
            F::Sum | F::Avg if histograms > 0 => {
                return self.combined(self.asked.function == F::Avg, notes);
            }
            _ if floats == 0 => Outcome::Nothing,
            _ => {
                if histograms > 0 {
                    notes.histograms_ignored(self.asked.place, self.asked.name);
                }
                self.of_floats()
            }
        })
    }

    /// The function over the numbers alone.
    fn of_floats(&self) -> Outcome {
        let samples = Samples {
            timestamps_ms: self.parts.times_ms,
            values: self.parts.values,
            starts_ms: self.parts.starts_ms,
            counts: &[],
            rolled_up: &self.series.rolled_up,
        };
        let end_ms = |_| self.end_ms;
        let windows = Windows {
            steps: crate::columns::Steps::at(self.time_ms),
            end_ms: &end_ms,
            range_ms: self.end_ms.saturating_sub(self.start_ms),
        };
        let parameters = Parameters {
            first: Some(&[self.parameters.0]),
            second: Some(&[self.parameters.1]),
        };
        match super::evaluate(self.asked.function, samples, &windows, &parameters)[0] {
            value if is_absent(value) => Outcome::Nothing,
            value => Outcome::Float(value),
        }
    }

    fn outcome(&self, found: Option<(starts::Point, Value<'_>)>) -> Outcome {
        match found {
            None => Outcome::Nothing,
            Some((_, Value::Float(value))) => Outcome::Float(value),
            Some((_, Value::Histogram(sample))) => Outcome::Histogram(Arc::new(sample.histogram.clone())),
        }
    }
    fn seconds(&self, found: Option<(starts::Point, Value<'_>)>) -> Outcome {
        found.map_or(Outcome::Nothing, |(point, _)| {
            Outcome::Float(point.time_ms as f64 / 1000.0)
        })
    }

    /// `rate`, `increase`, `delta`.
    fn change(&self, notes: &mut Notes) -> Result<Outcome> {
        let (asked, parts) = (self.asked, &self.parts);
        if let Some(extension) = asked.extension {
            let range = super::extended::Range {
                start_ms: self.start_ms,
                end_ms: self.end_ms,
                is_smoothed: extension == Extension::Smoothed,
            };
            let asked = super::extended::Asked {
                function: asked.function,
                range,
                name: asked.name,
                place: asked.place,
            };
            return super::extended::change(parts, &asked, notes);
        }
        match (parts.times_ms.is_empty(), parts.histograms) {
            (true, all) => self.change_of_histograms(all, notes),
            (false, []) => Ok(self.of_floats()),
            (false, _) => {
                notes.mixed_samples(asked.place, asked.name);
                Ok(Outcome::Nothing)
            }
        }
    }

    fn change_of_histograms(&self, all: &[HistogramSample], notes: &mut Notes) -> Result<Outcome> {
        let window = self.native_window();
        let outcome = native::change(self.asked.function.as_change(), all, window)?;
        notes.range(self.asked.place, self.asked.name, outcome.remarks);
        Ok(outcome.into())
    }

    fn native_window(&self) -> native::Window {
        native::Window {
            start_ms: self.start_ms,
            end_ms: self.end_ms,
            range_ms: self.end_ms.saturating_sub(self.start_ms),
            uses_starts: true,
        }
    }

    /// `irate`, `idelta`: from the last two samples.
    fn instant_change(&self, notes: &mut Notes) -> Result<Outcome> {
        let (asked, parts) = (self.asked, &self.parts);
        let is_rate = asked.function == RangeFunction::Irate;
        let mut last_two: [Option<(starts::Point, Value<'_>)>; 2] = [None, None];
        for sample in parts.merged() {
            last_two = [last_two[1].take(), Some(sample)];
        }
        let [Some((before_at, before)), Some((now_at, now))] = last_two else {
            return Ok(Outcome::Nothing);
        };
        let seconds = (now_at.time_ms - before_at.time_ms) as f64 / 1000.0;
        if seconds == 0.0 {
            return Ok(Outcome::Nothing);
        }
        let says_reset = starts::is_reset(before_at, now_at);
        match (before, now) {
            (Value::Float(before), Value::Float(now)) => {
                let change = if is_rate && (now < before || says_reset) {
                    now
                } else {
                    now - before
                };
                Ok(Outcome::Float(if is_rate { change / seconds } else { change }))
            }
            (Value::Histogram(before), Value::Histogram(now)) => {
                let outcome = native::instant_change(is_rate, before, now, true)?;
                notes.range(asked.place, asked.name, outcome.remarks);
                Ok(outcome.into())
            }
            _ => {
                notes.mixed_samples(asked.place, asked.name);
                Ok(Outcome::Nothing)
            }
        }
    }

    /// `changes`, `resets`.
    fn count_breaks(&self) -> Outcome {
        let is_resets = self.asked.function == RangeFunction::Resets;
        let parts = match self.asked.extension {
            None => self.parts,
            Some(_) => match super::extended::anchored(&self.parts, self.start_ms) {
                Some(parts) => parts,
                None => return Outcome::Nothing,
            },
        };
        let mut count = 0.0;
        let mut before: Option<(starts::Point, Value<'_>)> = None;
        for now in parts.merged() {
            let is_break = before.is_some_and(|before| match (before.1, now.1) {
                (Value::Float(b), Value::Float(n)) if is_resets => n < b || starts::is_reset(before.0, now.0),
                (Value::Float(b), Value::Float(n)) => n != b && !(n.is_nan() && b.is_nan()),
                (Value::Histogram(b), Value::Histogram(n)) if is_resets => native::is_reset(b, n, true),
                (Value::Histogram(b), Value::Histogram(n)) => !native::is_equal(&b.histogram, &n.histogram),
                _ => true,
            });
            count += f64::from(u8::from(is_break));
            before = Some(now);
        }
        Outcome::Float(count)
    }

    /// `sum_over_time`, `avg_over_time` of histograms.
    fn combined(&self, is_mean: bool, notes: &mut Notes) -> Result<Outcome> {
        let samples = self.parts.histograms;
        let outcome = if is_mean {
            native::average_over(samples)?
        } else {
            native::sum_over(samples)?
        };
        notes.range_aggregation(self.asked.place, self.asked.name, outcome.remarks);
        Ok(outcome.into())
    }
}

impl From<native::Outcome> for Outcome {
    fn from(outcome: native::Outcome) -> Self {
        outcome
            .histogram
            .map_or(Self::Nothing, |h| Self::Histogram(Arc::new(h)))
    }
}

impl RangeFunction {
    /// Which change of histograms it asks for.
    pub(super) fn as_change(self) -> native::Change {
        match self {
            Self::Rate => native::Change::Rate,
            Self::Delta => native::Change::Delta,
            _ => native::Change::Increase,
        }
    }
}
