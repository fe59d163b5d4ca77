//! Vectors as columns: one value per evaluation time and series, for all times at once.

pub(crate) mod aggregate;
pub(crate) mod kahan;
pub(crate) mod matching;
pub(crate) mod operators;

use crate::promql::InstantSample;
use model::labels::METRIC_NAME;
use model::metric::{Histogram, HistogramSample, STALE_NAN_BITS, is_stale};
use model::{Budget, Error, ErrorKind, Labels, MatchOp, Matcher, Result, SeriesData};
use std::collections::HashMap;
use std::sync::Arc;

/// Marks a time at which a series has no value. The staleness marker can stand for it, because no expression
/// has it as a value: selectors drop it, and arithmetic makes every NaN quiet, which this one is not.
pub(crate) const ABSENT: f64 = f64::from_bits(STALE_NAN_BITS);

/// Whether there is no value; see [`ABSENT`].
pub(crate) fn is_absent(value: f64) -> bool {
    is_stale(value)
}

/// The times at which an expression is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Steps {
    /// The first time, milliseconds since the epoch.
    pub(crate) start_ms: i64,
    /// The distance between times; 0 when there is only one.
    pub(crate) step_ms: i64,
    /// How many there are.
    pub(crate) count: usize,
}

impl Steps {
    /// One time.
    pub(crate) fn at(time_ms: i64) -> Self {
        Self {
            start_ms: time_ms,
            step_ms: 0,
            count: 1,
        }
    }
    /// From a start by a step up to an end, both included.
    pub(crate) fn range(start_ms: i64, end_ms: i64, step_ms: i64) -> Self {
        let spans = if end_ms < start_ms {
            None
        } else {
            Some(end_ms.saturating_sub(start_ms) / step_ms)
        };
        Self {
            start_ms,
            step_ms,
            count: spans.map_or(0, |n| usize::try_from(n).unwrap_or(usize::MAX).saturating_add(1)),
        }
    }
    /// The time of a step.
    pub(crate) fn time(&self, i: usize) -> i64 {
        let steps = i64::try_from(i).unwrap_or(i64::MAX);
        self.start_ms.saturating_add(self.step_ms.saturating_mul(steps))
    }
    /// The last time.
    pub(crate) fn end_ms(&self) -> i64 {
        self.time(self.count.saturating_sub(1))
    }
    /// All times in order.
    pub(crate) fn times(self) -> impl Iterator<Item = i64> {
        (0..self.count).map(move |i| self.time(i))
    }
}

/// One series of a vector: as many values as there are steps.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    /// The labels, with the metric's name even when it is going to be dropped.
    pub(crate) labels: Labels,
    /// Whether the metric's name goes away at the end. Later, so that grouping and `label_replace` still see it.
    pub(crate) drop_name: bool,
    /// One value per step, or [`ABSENT`].
    pub(crate) values: Vec<f64>,
    /// Native histograms by step; empty where there is none at any. Where there is one, the value is [`ABSENT`].
    pub(crate) histograms: Vec<Option<Arc<Histogram>>>,
}

/// What a series has at one step.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Element<'a> {
    Absent,
    Float(f64),
    Histogram(&'a Arc<Histogram>),
}

impl Element<'_> {
    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

impl Column {
    pub(crate) fn new(labels: Labels, values: Vec<f64>) -> Self {
        Self {
            labels,
            drop_name: false,
            values,
            histograms: Vec::new(),
        }
    }
    /// A column without anything in it yet.
    pub(crate) fn absent(labels: Labels, drop_name: bool, steps: usize) -> Self {
        Self {
            drop_name,
            ..Self::new(labels, vec![ABSENT; steps])
        }
    }
    /// What there is at a step.
    pub(crate) fn at(&self, step: usize) -> Element<'_> {
        if let Some(Some(histogram)) = self.histograms.get(step) {
            return Element::Histogram(histogram);
        }
        match self.values[step] {
            value if is_absent(value) => Element::Absent,
            value => Element::Float(value),
        }
    }
    /// Whether there is anything at a step.
    pub(crate) fn has(&self, step: usize) -> bool {
        !is_absent(self.values[step]) || self.histogram(step).is_some()
    }
    /// The histogram at a step.
    pub(crate) fn histogram(&self, step: usize) -> Option<&Arc<Histogram>> {
        self.histograms.get(step).and_then(Option::as_ref)
    }
    /// Puts a histogram at a step where there is no value.
    pub(crate) fn set_histogram(&mut self, step: usize, histogram: Arc<Histogram>) {
        if self.histograms.is_empty() {
            self.histograms.resize(self.values.len(), None);
        }
        self.values[step] = ABSENT;
        self.histograms[step] = Some(histogram);
    }
    /// Puts what another column has at a step.
    pub(crate) fn set(&mut self, step: usize, element: Element<'_>) {
        match element {
            Element::Absent => self.clear(step),
            Element::Float(value) => {
                self.clear(step);
                self.values[step] = value;
            }
            Element::Histogram(histogram) => self.set_histogram(step, histogram.clone()),
        }
    }
    /// Takes away what there is at a step.
    pub(crate) fn clear(&mut self, step: usize) {
        self.values[step] = ABSENT;
        if let Some(histogram) = self.histograms.get_mut(step) {
            *histogram = None;
        }
    }
    /// Keeps only the values.
    pub(crate) fn drop_histograms(&mut self) {
        self.histograms = Vec::new();
    }
    /// Whether there is nothing at any time.
    pub(crate) fn is_empty(&self) -> bool {
        self.values.iter().all(|v| is_absent(*v)) && self.histograms.iter().all(Option::is_none)
    }
    /// The same at every step as at the first one.
    pub(crate) fn spread(&mut self, steps: usize) {
        self.values = vec![self.values[0]; steps];
        if let Some(first) = self.histograms.first().cloned() {
            self.histograms = vec![first; steps];
        }
    }
    /// Replaces each value that is there.
    pub(crate) fn map(&mut self, f: impl Fn(f64) -> f64) {
        for value in &mut self.values {
            if !is_absent(*value) {
                *value = f(*value);
            }
        }
    }
    /// Replaces each value that is there, with its step.
    pub(crate) fn map_steps(&mut self, f: impl Fn(usize, f64) -> f64) {
        for (i, value) in self.values.iter_mut().enumerate() {
            if !is_absent(*value) {
                *value = f(i, *value);
            }
        }
    }
    /// Takes over what another column has where this one has nothing.
    ///
    /// # Errors
    /// `Execution` when both have something at a step.
    pub(crate) fn join(&mut self, other: &Self) -> Result<()> {
        for step in 0..self.values.len() {
            let element = other.at(step);
            if element.is_absent() {
                continue;
            }
            if self.has(step) {
                return Err(same_labels());
            }
            self.set(step, element);
        }
        Ok(())
    }
}

/// Takes the bytes of a vector out of the purse before it is built.
pub(crate) fn charge(budget: &Budget, columns: usize, steps: Steps) -> Result<()> {
    budget.check()?;
    budget.charge_bytes((columns as u64).saturating_mul(steps.count as u64 * 8 + size_of::<Column>() as u64))
}

/// Takes the bytes of the histograms of a column out of the purse.
pub(crate) fn charge_histograms(budget: &Budget, column: &Column) -> Result<()> {
    let of = |h: &Arc<Histogram>| size_of::<Histogram>() + 16 * buckets(h);
    let bytes: usize = column.histograms.iter().flatten().map(of).sum();
    budget.charge_bytes(bytes as u64)
}

/// The error for two elements with the same labels at one time.
pub(crate) fn same_labels() -> Error {
    Error::new(
        ErrorKind::Execution,
        "vector cannot contain metrics with the same labelset",
    )
}

/// Joins series that have the same labels and never a value at the same time.
///
/// # Errors
/// `Execution` when two of them have a value at the same time.
pub(crate) fn merge_same_labels(columns: Vec<Column>) -> Result<Vec<Column>> {
    let mut seen: HashMap<Labels, usize> = HashMap::with_capacity(columns.len());
    let mut merged: Vec<Column> = Vec::with_capacity(columns.len());
    for column in columns {
        let Some(&index) = seen.get(&column.labels) else {
            seen.insert(column.labels.clone(), merged.len());
            merged.push(column);
            continue;
        };
        let into = &mut merged[index];
        into.join(&column)?;
        into.drop_name |= column.drop_name;
    }
    Ok(merged)
}

/// Labels that say what a metric is, and no longer hold once its values are computed with.
const RESERVED: [&str; 3] = [METRIC_NAME, "__type__", "__unit__"];

/// Labels without the metric's name, type and unit.
pub(crate) fn without_reserved(labels: &Labels) -> Labels {
    if RESERVED.iter().all(|name| labels.get(name).is_none()) {
        return labels.clone();
    }
    labels.drop(&RESERVED)
}

/// Drops the names that were to be dropped at the end.
///
/// # Errors
/// `Execution` when that leaves two elements with the same labels at one time.
pub(crate) fn drop_names(mut columns: Vec<Column>) -> Result<Vec<Column>> {
    for column in &mut columns {
        if std::mem::take(&mut column.drop_name) {
            column.labels = without_reserved(&column.labels);
        }
    }
    merge_same_labels(columns)
}

/// 1 at each step at which no series has a value.
pub(crate) fn absent(columns: &[Column], labels: Labels, steps: usize) -> Vec<Column> {
    let mut values = vec![1.0; steps];
    for column in columns {
        for (step, value) in values.iter_mut().enumerate() {
            if column.has(step) {
                *value = ABSENT;
            }
        }
    }
    let column = Column::new(labels, values);
    if column.is_empty() {
        Vec::new()
    } else {
        vec![column]
    }
}

/// The labels that matchers ask for by `=`, unless they name them more than once.
pub(crate) fn labels_asked_for(matchers: &[Matcher]) -> Labels {
    let named = |name: &str| matchers.iter().filter(|m| m.name() == name).count();
    let once = matchers
        .iter()
        .filter(|m| m.op() == MatchOp::Equal && m.name() != METRIC_NAME && named(m.name()) == 1);
    Labels::from_pairs(once.map(|m| (m.name(), m.value())))
}

/// Counts the bytes of an answer against their limit.
struct ResponseLimit {
    left: u64,
    limit: u64,
}

impl ResponseLimit {
    fn new(limit: u64) -> Self {
        Self { left: limit, limit }
    }
    fn take(&mut self, labels: &Labels, points: usize) -> Result<()> {
        let bytes = (labels.size_bytes() + points * 16) as u64;
        self.left = self.left.checked_sub(bytes).ok_or_else(|| {
            Error::limit(format!(
                "the answer needs more than {} bytes (limits.query.max_response_bytes); aggregate more or ask for less",
                self.limit
            ))
        })?;
        Ok(())
    }
}

fn buckets(histogram: &Histogram) -> usize {
    histogram.positive.len() + histogram.negative.len() + histogram.custom_bounds.len()
}

/// The elements at the only step, in order.
pub(crate) fn into_vector(
    columns: Vec<Column>,
    time_ms: i64,
    max_response_bytes: u64,
) -> Result<Vec<InstantSample>> {
    let mut limit = ResponseLimit::new(max_response_bytes);
    let mut samples = Vec::with_capacity(columns.len());
    for column in columns {
        let (value, histogram) = match column.values.first().map(|_| column.at(0)) {
            None | Some(Element::Absent) => continue,
            Some(Element::Float(value)) => (value, None),
            Some(Element::Histogram(histogram)) => (f64::NAN, Some(histogram.clone())),
        };
        limit.take(&column.labels, 1 + histogram.as_ref().map_or(0, |h| buckets(h)))?;
        samples.push(InstantSample {
            labels: column.labels,
            timestamp_ms: time_ms,
            value,
            histogram,
        });
    }
    Ok(samples)
}

/// The series with their values over time, sorted by labels; series without any value vanish.
pub(crate) fn into_matrix(
    columns: Vec<Column>,
    steps: Steps,
    max_response_bytes: u64,
) -> Result<Vec<SeriesData>> {
    let mut limit = ResponseLimit::new(max_response_bytes);
    let mut matrix = Vec::with_capacity(columns.len());
    for column in columns {
        let present = column.values.iter().filter(|v| !is_absent(**v)).count();
        let of_histograms: usize = column.histograms.iter().flatten().map(|h| 1 + buckets(h)).sum();
        if present + of_histograms == 0 {
            continue;
        }
        limit.take(&column.labels, present + of_histograms)?;
        let histograms = steps.times().zip(column.histograms);
        let histograms = histograms
            .filter_map(|(timestamp_ms, h)| {
                Some(HistogramSample {
                    timestamp_ms,
                    start_timestamp_ms: 0,
                    histogram: Arc::unwrap_or_clone(h?),
                })
            })
            .collect();
        let (timestamps_ms, values) = steps
            .times()
            .zip(column.values)
            .filter(|(_, v)| !is_absent(*v))
            .unzip();
        matrix.push(SeriesData {
            labels: column.labels,
            timestamps_ms,
            values,
            histograms,
            ..SeriesData::default()
        });
    }
    matrix.sort_by(|a, b| a.labels.cmp(&b.labels));
    Ok(matrix)
}
