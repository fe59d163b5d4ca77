//! Warnings and infos that come with an answer, in Prometheus' words.

use super::ast::Place;
use super::functions::utc;
use super::native::{self, NanObservations};
use super::syntax::position;
use crate::columns::aggregate::Remark;
use crate::columns::operators::Operator;
use crate::go;
use model::RolledUp;
use std::collections::BTreeMap;
use std::time::Duration;

/// Collects notes; equal ones show once, with the place where they came up last.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    warnings: BTreeMap<String, Note>,
    infos: BTreeMap<String, Note>,
}

#[derive(Debug, Clone, Copy)]
struct Note {
    place: Option<Place>,
    detail: Detail,
}

/// What is counted of equal notes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Detail {
    None,
    /// How often.
    Times(u64),
    Forced(Forced),
}

impl Detail {
    fn join(self, other: Self) -> Self {
        match (self, other) {
            (Self::Times(a), Self::Times(b)) => Self::Times(a + b),
            (Self::Forced(a), Self::Forced(b)) => Self::Forced(a.join(b)),
            (_, other) => other,
        }
    }
}

/// Where the counts of a classic histogram had to be mended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Forced {
    /// The first and the last time, milliseconds.
    pub(crate) times_ms: (i64, i64),
    /// The lowest and the highest bound.
    pub(crate) bounds: (f64, f64),
    /// The largest decrease.
    pub(crate) difference: f64,
    /// At how many steps.
    pub(crate) samples: u64,
}

impl Forced {
    fn join(self, other: Self) -> Self {
        Self {
            times_ms: (
                self.times_ms.0.min(other.times_ms.0),
                self.times_ms.1.max(other.times_ms.1),
            ),
            bounds: (
                self.bounds.0.min(other.bounds.0),
                self.bounds.1.max(other.bounds.1),
            ),
            difference: self.difference.max(other.difference),
            samples: self.samples + other.samples,
        }
    }
}

/// What histograms were doing when something was worth saying.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Addition,
    Subtraction,
    Aggregation,
}

impl Operation {
    fn as_str(self) -> &'static str {
        match self {
            Self::Addition => "addition",
            Self::Subtraction => "subtraction",
            Self::Aggregation => "aggregation",
        }
    }
}

impl Notes {
    /// The texts of warnings and infos, with their places in the query.
    pub(crate) fn texts(&self, query: &str) -> (Vec<String>, Vec<String>) {
        let texts = |notes: &BTreeMap<String, Note>| notes.iter().map(|(t, n)| n.text(t, query)).collect();
        (texts(&self.warnings), texts(&self.infos))
    }

    /// Takes over the notes about a part for an equal one at another place.
    pub(crate) fn take_over(&mut self, others: &Self, from: Place, to: Place) {
        let moved = |note: &Note| Note {
            place: note.place.map(|place| (place + to).saturating_sub(from)),
            detail: note.detail,
        };
        for (own, others) in [
            (&mut self.warnings, &others.warnings),
            (&mut self.infos, &others.infos),
        ] {
            for (text, note) in others {
                let mut note = moved(note);
                if let Some(known) = own.get(text) {
                    note.detail = known.detail.join(note.detail);
                }
                own.insert(text.clone(), note);
            }
        }
    }

    fn warn(&mut self, place: Place, text: impl std::fmt::Display) {
        let note = Note {
            place: Some(place),
            detail: Detail::None,
        };
        self.warnings.insert(format!("PromQL warning: {text}"), note);
    }
    fn info(&mut self, place: Place, text: impl std::fmt::Display) {
        let note = Note {
            place: Some(place),
            detail: Detail::None,
        };
        self.infos.insert(format!("PromQL info: {text}"), note);
    }

    /// Quantiles outside of 0 to 1.
    pub(crate) fn quantiles(&mut self, place: Place, values: &[f64]) {
        for q in values.iter().filter(|q| !(0.0..=1.0).contains(*q)) {
            self.warn(
                place,
                format_args!(
                    "quantile value should be between 0 and 1, got {}",
                    go::format_short_number(*q)
                ),
            );
        }
    }
    /// Ratios outside of -1 to 1.
    pub(crate) fn ratios(&mut self, place: Place, values: &[f64]) {
        for r in values.iter().filter(|r| r.abs() > 1.0) {
            let text = format!(
                "ratio value should be between -1 and 1, got {}, capping to {}",
                go::format_short_number(*r),
                r.signum()
            );
            self.warn(place, text);
        }
    }
    /// The labels of a series of which a rate is taken.
    pub(crate) fn counter_name(&mut self, place: Place, name: &str) {
        let fits = ["_total", "_sum", "_count", "_bucket"]
            .iter()
            .any(|suffix| name.ends_with(suffix));
        if !name.is_empty() && !fits {
            let name = go::quote(name);
            self.info(
                place,
                format_args!(
                    "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {name}"
                ),
            );
        }
    }
    /// What was answered from windows that stand for samples.
    pub(crate) fn rolled_up(&mut self, stretches: &[RolledUp]) {
        let shown = stretches.iter().map(|s| {
            format!(
                "windows of {} from {} to {}",
                width(s.resolution_ms),
                utc(s.after_ms),
                utc(s.until_ms)
            )
        });
        let shown: Vec<String> = shown.collect();
        if !shown.is_empty() {
            let note = Note {
                place: None,
                detail: Detail::None,
            };
            let text = format!("PromQL info: rolled-up samples were used: {}", shown.join(", "));
            self.infos.insert(text, note);
        }
    }
    pub(crate) fn sort_is_ineffective(&mut self, place: Place) {
        self.warn(
            place,
            "sort is ineffective for range queries since results are always ordered by labels",
        );
    }
    pub(crate) fn bad_bucket_label(&mut self, place: Place, value: &str, name: &str) {
        self.warn(
            place,
            format_args!(
                "bucket label \"le\" is missing or has a malformed value of {}{}",
                go::quote(value),
                for_metric(name)
            ),
        );
    }
    pub(crate) fn forced_monotonicity(&mut self, place: Place, name: &str, forced: Forced) {
        let text = format!(
            "PromQL info: input to histogram_quantile needed to be fixed for monotonicity (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile){}",
            for_metric(name)
        );
        let detail = match self.infos.get(&text).map(|n| n.detail) {
            Some(Detail::Forced(known)) => known.join(forced),
            _ => forced,
        };
        let note = Note {
            place: Some(place),
            detail: Detail::Forced(detail),
        };
        self.infos.insert(text, note);
    }
    /// Start times that lie before the sample before, at so many windows.
    pub(crate) fn start_time_overlaps(&mut self, place: Place, name: &str, times: u64) {
        let name = go::quote(name);
        let text = format!(
            "PromQL warning: sample has start time that overlaps with previous sample timestamp for metric {name}"
        );
        let known = match self.warnings.get(&text).map(|n| n.detail) {
            Some(Detail::Times(known)) => known,
            _ => 0,
        };
        let note = Note {
            place: Some(place),
            detail: Detail::Times(known + times),
        };
        self.warnings.insert(text, note);
    }

    /// What came up in an aggregation: at the aggregation itself, or at what it is of.
    pub(crate) fn aggregation(&mut self, place: Place, name: &str, remark: Remark<'_>) {
        match remark {
            Remark::Ignored => self.info(place, format_args!("ignored histogram in {name} aggregation")),
            Remark::Mixed => self.warn(
                place,
                "encountered a mix of histograms and floats for aggregation",
            ),
            Remark::Incompatible(metric) => self.mixed_buckets(place, metric),
            Remark::ResetCollision => self.reset_collision(place, Operation::Aggregation),
            Remark::BoundsReconciled => self.bounds_reconciled(place, Operation::Aggregation),
        }
    }
    pub(crate) fn mixed_samples(&mut self, place: Place, name: &str) {
        let name = go::quote(name);
        self.warn(
            place,
            format_args!("encountered a mix of histograms and floats for metric name {name}"),
        );
    }
    pub(crate) fn mixed_buckets(&mut self, place: Place, name: &str) {
        let name = go::quote(name);
        self.warn(
            place,
            format_args!("vector contains a mix of histograms with exponential and custom buckets schemas for metric name {name}"),
        );
    }
    pub(crate) fn mixed_kinds(&mut self, place: Place, name: &str) {
        self.warn(
            place,
            format_args!(
                "vector contains a mix of classic and native histograms{}",
                for_metric(name)
            ),
        );
    }
    pub(crate) fn not_a_counter(&mut self, place: Place, name: &str) {
        let name = go::quote(name);
        self.warn(
            place,
            format_args!("this native histogram metric is not a counter: {name}"),
        );
    }
    pub(crate) fn not_a_gauge(&mut self, place: Place, name: &str) {
        let name = go::quote(name);
        self.warn(
            place,
            format_args!("this native histogram metric is not a gauge: {name}"),
        );
    }
    pub(crate) fn reset_collision(&mut self, place: Place, operation: Operation) {
        self.warn(
            place,
            format_args!(
                "conflicting counter resets during histogram {}",
                operation.as_str()
            ),
        );
    }
    pub(crate) fn bounds_reconciled(&mut self, place: Place, operation: Operation) {
        self.info(
            place,
            format_args!(
                "mismatched custom buckets were reconciled during {}",
                operation.as_str()
            ),
        );
    }
    pub(crate) fn unfit_operands(&mut self, place: Place, left: &str, op: Operator, right: &str) {
        let op = op.as_str();
        self.info(
            place,
            format_args!(
                "incompatible sample types encountered for binary operator \"{op}\": {left} {op} {right}"
            ),
        );
    }
    pub(crate) fn unfit_buckets(&mut self, place: Place, op: Operator) {
        self.warn(
            place,
            format_args!(
                "incompatible bucket layout encountered for binary operator {}",
                op.as_str()
            ),
        );
    }
    pub(crate) fn histograms_ignored(&mut self, place: Place, name: &str) {
        let name = go::quote(name);
        self.info(
            place,
            format_args!(
                "ignored histograms in a range containing both floats and histograms for metric name {name}"
            ),
        );
    }
    /// Observations in a native histogram that are no numbers.
    pub(crate) fn quantile_of_nans(&mut self, place: Place, name: &str, nans: NanObservations) {
        let what = match nans {
            NanObservations::ResultIsNan => "result is NaN",
            NanObservations::ResultIsSkewed | NanObservations::LeftOut => "result is skewed higher",
        };
        self.info(
            place,
            format_args!(
                "input to histogram_quantile has NaN observations, {what}{}",
                for_metric(name)
            ),
        );
    }
    /// What came up in a function over a range.
    pub(crate) fn range(&mut self, place: Place, name: &str, remarks: native::Remarks) {
        if remarks.mixed_buckets {
            self.mixed_buckets(place, name);
        }
        if remarks.reconciled_in_addition {
            self.bounds_reconciled(place, Operation::Addition);
        }
        if remarks.reconciled_in_subtraction {
            self.bounds_reconciled(place, Operation::Subtraction);
        }
        if remarks.not_counter {
            self.not_a_counter(place, name);
        }
        if remarks.not_gauge {
            self.not_a_gauge(place, name);
        }
        if remarks.start_overlap {
            self.start_time_overlaps(place, name, 1);
        }
    }
    /// What came up in a sum or a mean over a range.
    pub(crate) fn range_aggregation(&mut self, place: Place, name: &str, remarks: native::Remarks) {
        if remarks.mixed_buckets {
            self.mixed_buckets(place, name);
        }
        if remarks.reset_collision {
            self.reset_collision(place, Operation::Aggregation);
        }
        if remarks.reconciled_in_addition {
            self.bounds_reconciled(place, Operation::Aggregation);
        }
    }
    pub(crate) fn fraction_of_nans(&mut self, place: Place, name: &str) {
        self.info(
            place,
            format_args!(
                "input to histogram_fraction has NaN observations, which are excluded from all fractions{}",
                for_metric(name)
            ),
        );
    }
}

impl Note {
    fn text(&self, text: &str, query: &str) -> String {
        let place = match self.place {
            Some(place) => {
                let (line, column) = position(query, place).unwrap_or((1, 1));
                format!(" ({line}:{column})")
            }
            None => String::new(),
        };
        match self.detail {
            Detail::None | Detail::Times(1) => format!("{text}{place}"),
            Detail::Times(times) => format!("{text} ({times} occurrences){place}"),
            Detail::Forced(f) => format!(
                "{text}, from buckets {} to {}, with a max diff of {}, over {} samples from {} to {}{place}",
                go::format_short_number(f.bounds.0),
                go::format_short_number(f.bounds.1),
                go::format_two_digits(f.difference),
                f.samples,
                utc(f.times_ms.0),
                utc(f.times_ms.1)
            ),
        }
    }
}

/// A width of windows as people write it.
fn width(ms: i64) -> String {
    model::duration::format(Duration::from_millis(ms.unsigned_abs()))
}

fn for_metric(name: &str) -> String {
    if name.is_empty() {
        String::new()
    } else {
        format!(" for metric name {}", go::quote(name))
    }
}
