//! Aggregation over series: by or without labels, at all steps at once.

mod histograms;
mod ratio;

use super::kahan::{Mean, Sum};
use super::{ABSENT, Column, Element, Steps, charge, is_absent};
use model::labels::METRIC_NAME;
use model::{Budget, Labels, Result};
pub(crate) use ratio::limit_ratio;
use std::collections::HashMap;

/// What an aggregation does with the elements of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aggregation {
    Sum,
    Avg,
    Min,
    Max,
    Count,
    Group,
    Stddev,
    Stdvar,
}

impl Aggregation {
    /// As it is written.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Min => "min",
            Self::Max => "max",
            Self::Count => "count",
            Self::Group => "group",
            Self::Stddev => "stddev",
            Self::Stdvar => "stdvar",
        }
    }
}

/// What is worth saying about histograms in an aggregation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remark<'a> {
    /// They were left out.
    Ignored,
    /// A group had floats and histograms: it has no result.
    Mixed,
    /// Exponential and custom buckets met: the group has no result. The name of the metric at which it showed.
    Incompatible(&'a str),
    /// Some of them say that counting began anew, others that it went on.
    ResetCollision,
    /// Custom buckets were not the same.
    BoundsReconciled,
}

/// Takes remarks.
pub(crate) type Remarks<'a> = &'a mut dyn FnMut(Remark<'_>);

/// The labels by which elements are grouped.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Grouping {
    /// `without`: all labels but these and the metric's name; otherwise only these.
    pub(crate) without: bool,
    pub(crate) labels: Vec<String>,
}

impl Grouping {
    /// The labels of an element's group.
    pub(crate) fn key(&self, labels: &Labels) -> Labels {
        if !self.without {
            return labels.keep(&self.labels);
        }
        let kept = labels
            .iter()
            .filter(|(n, _)| *n != METRIC_NAME && self.labels.iter().all(|l| l != n));
        Labels::from_pairs(kept)
    }
}

/// The groups of a vector, in the order in which their first elements come.
pub(crate) struct Grouped {
    /// The labels of each group, and whether a member's name is to be dropped.
    pub(crate) groups: Vec<(Labels, bool)>,
    /// The group of each series.
    pub(crate) of_series: Vec<usize>,
}

/// Sorts series into groups.
pub(crate) fn group(columns: &[Column], grouping: &Grouping) -> Grouped {
    let mut ids: HashMap<Labels, usize> = HashMap::new();
    let mut grouped = Grouped {
        groups: Vec::new(),
        of_series: Vec::with_capacity(columns.len()),
    };
    for column in columns {
        let key = grouping.key(&column.labels);
        let id = *ids.entry(key.clone()).or_insert_with(|| {
            grouped.groups.push((key, false));
            grouped.groups.len() - 1
        });
        grouped.groups[id].1 |= column.drop_name;
        grouped.of_series.push(id);
    }
    grouped
}

/// `sum`, `avg`, `min`, `max`, `count`, `group`, `stddev`, `stdvar`.
pub(crate) fn aggregate(
    aggregation: Aggregation,
    columns: &[Column],
    grouping: &Grouping,
    steps: Steps,
    budget: &Budget,
    remarks: Remarks<'_>,
) -> Result<Vec<Column>> {
    let grouped = group(columns, grouping);
    charge(budget, grouped.groups.len(), steps)?;
    let fold = Fold {
        columns,
        grouped: &grouped,
        steps,
        budget,
    };
    let mut result = match aggregation {
        Aggregation::Sum => fold.run(Sum::add, Sum::value)?,
        Aggregation::Avg => fold.run(Mean::add, Mean::value)?,
        Aggregation::Min => fold.run(Extreme::add_min, |e| e.0)?,
        Aggregation::Max => fold.run(Extreme::add_max, |e| e.0)?,
        Aggregation::Count => fold.count(|n| n + 1.0)?,
        Aggregation::Group => fold.count(|_| 1.0)?,
        Aggregation::Stddev => fold.run(Variance::add, |v| v.value().sqrt())?,
        Aggregation::Stdvar => fold.run(Variance::add, Variance::value)?,
    };
    if columns.iter().any(|c| !c.histograms.is_empty()) {
        match aggregation {
            Aggregation::Sum | Aggregation::Avg => {
                let is_mean = aggregation == Aggregation::Avg;
                histograms::combine(columns, &grouped, is_mean, steps, budget, &mut result, remarks)?;
            }
            Aggregation::Count | Aggregation::Group => {}
            _ => remarks(Remark::Ignored),
        }
    }
    result.retain(|c| !c.is_empty());
    Ok(result)
}

/// An aggregation under way.
struct Fold<'a> {
    columns: &'a [Column],
    grouped: &'a Grouped,
    steps: Steps,
    budget: &'a Budget,
}

impl Fold<'_> {
    /// One column for each group, those without any value too.
    fn run<S: Default + Clone>(
        &self,
        add: impl Fn(&mut S, f64),
        value: impl Fn(&S) -> f64,
    ) -> Result<Vec<Column>> {
        let groups = self.grouped.groups.len();
        let state_bytes = (size_of::<S>() + 1) as u64 * self.steps.count as u64;
        self.budget
            .charge_bytes(state_bytes.saturating_mul(groups as u64))?;
        let mut states = vec![vec![(false, S::default()); self.steps.count]; groups];
        for (column, id) in self.columns.iter().zip(&self.grouped.of_series) {
            self.budget.check()?;
            for (state, v) in states[*id].iter_mut().zip(&column.values) {
                if !is_absent(*v) {
                    state.0 = true;
                    add(&mut state.1, *v);
                }
            }
        }
        let values = |states: Vec<(bool, S)>| {
            let of = |(any, s): &(bool, S)| if *any { value(s) } else { ABSENT };
            states.iter().map(of).collect()
        };
        Ok(self.columns_of(states.into_iter().map(values)))
    }

    /// The same for what looks at presence only.
    fn count(&self, add: impl Fn(f64) -> f64) -> Result<Vec<Column>> {
        let mut counts = vec![vec![0.0; self.steps.count]; self.grouped.groups.len()];
        for (column, id) in self.columns.iter().zip(&self.grouped.of_series) {
            self.budget.check()?;
            for (step, count) in counts[*id].iter_mut().enumerate() {
                if column.has(step) {
                    *count = add(*count);
                }
            }
        }
        let values = |counts: Vec<f64>| {
            let of = |n: f64| if n == 0.0 { ABSENT } else { n };
            counts.into_iter().map(of).collect()
        };
        Ok(self.columns_of(counts.into_iter().map(values)))
    }

    fn columns_of(&self, values: impl Iterator<Item = Vec<f64>>) -> Vec<Column> {
        let column = |((labels, drop_name), values): (&(Labels, bool), Vec<f64>)| Column {
            drop_name: *drop_name,
            ..Column::new(labels.clone(), values)
        };
        self.grouped.groups.iter().zip(values).map(column).collect()
    }
}

/// The smallest or largest value; a NaN only when there is nothing else.
#[derive(Clone)]
struct Extreme(f64);

impl Default for Extreme {
    fn default() -> Self {
        Self(f64::NAN)
    }
}
impl Extreme {
    fn add_min(&mut self, value: f64) {
        if value < self.0 || self.0.is_nan() {
            self.0 = value;
        }
    }
    fn add_max(&mut self, value: f64) {
        if value > self.0 || self.0.is_nan() {
            self.0 = value;
        }
    }
}

/// Welford's running variance.
#[derive(Clone, Default)]
struct Variance {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Variance {
    fn add(&mut self, value: f64) {
        self.count += 1.0;
        if self.count == 1.0 {
            self.mean = value;
            self.squares = if value.is_finite() { 0.0 } else { f64::NAN };
            return;
        }
        let delta = value - self.mean;
        self.mean += delta / self.count;
        self.squares += delta * (value - self.mean);
    }
    fn value(&self) -> f64 {
        self.squares / self.count
    }
}

/// The φ-quantile of values, interpolated between the two nearest; sorts them, NaN first.
pub(crate) fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    values.sort_by(|a, b| nan_first(*a, *b));
    let rank = q * (values.len() - 1) as f64;
    let lower = (rank.floor() as usize).min(values.len() - 1);
    let upper = (lower + 1).min(values.len() - 1);
    let weight = rank - rank.floor();
    values[lower] * (1.0 - weight) + values[upper] * weight
}

/// Ascending, NaN before everything.
pub(crate) fn nan_first(a: f64, b: f64) -> std::cmp::Ordering {
    b.is_nan()
        .cmp(&a.is_nan())
        .then_with(|| a.partial_cmp(&b).unwrap_or(std::cmp::Ordering::Equal))
}

/// `quantile` with one parameter per step.
pub(crate) fn quantiles(
    parameters: &[f64],
    columns: &[Column],
    grouping: &Grouping,
    steps: Steps,
    budget: &Budget,
    remarks: Remarks<'_>,
) -> Result<Vec<Column>> {
    if columns.iter().any(|c| !c.histograms.is_empty()) {
        remarks(Remark::Ignored);
    }
    let grouped = group(columns, grouping);
    charge(budget, grouped.groups.len(), steps)?;
    let mut result: Vec<Column> = grouped
        .groups
        .iter()
        .map(|(labels, drop_name)| Column::absent(labels.clone(), *drop_name, steps.count))
        .collect();
    let mut values: Vec<Vec<f64>> = vec![Vec::new(); grouped.groups.len()];
    for (step, q) in parameters.iter().enumerate() {
        values.iter_mut().for_each(Vec::clear);
        for (column, id) in columns.iter().zip(&grouped.of_series) {
            if !is_absent(column.values[step]) {
                values[*id].push(column.values[step]);
            }
        }
        for (column, values) in result.iter_mut().zip(&mut values) {
            if !values.is_empty() {
                column.values[step] = quantile(*q, values);
            }
        }
    }
    result.retain(|c| !c.is_empty());
    Ok(result)
}

/// Which elements of a group stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Selection {
    Top,
    Bottom,
    /// The first ones.
    First,
}

/// `topk`, `bottomk`, `limitk`: keeps at most `k` elements of each group at each step; less than 1 keeps none.
/// At a single step the elements of each group come in their rank's order. Histograms have no rank.
pub(crate) fn select(
    selection: Selection,
    k: &[f64],
    mut columns: Vec<Column>,
    grouping: &Grouping,
    budget: &Budget,
    remarks: Remarks<'_>,
) -> Result<Vec<Column>> {
    if selection != Selection::First && columns.iter().any(|c| !c.histograms.is_empty()) {
        remarks(Remark::Ignored);
        columns.iter_mut().for_each(Column::drop_histograms);
    }
    let grouped = group(&columns, grouping);
    let mut members: Vec<Vec<usize>> = vec![Vec::new(); grouped.groups.len()];
    for (series, id) in grouped.of_series.iter().enumerate() {
        members[*id].push(series);
    }
    let mut order = Vec::new();
    let mut is_kept = vec![false; columns.len()];
    for (step, k) in k.iter().enumerate() {
        budget.check()?;
        let k = if *k < 1.0 { 0 } else { *k as usize };
        for group in &members {
            let there = || group.iter().copied().filter(|i| columns[*i].has(step));
            let kept: Vec<usize> = match selection {
                Selection::First => there().take(k).collect(),
                Selection::Top | Selection::Bottom => {
                    let sign = if selection == Selection::Top { 1.0 } else { -1.0 };
                    largest(k, there().map(|i| (columns[i].values[step] * sign, i)))
                }
            };
            kept.iter().for_each(|i| is_kept[*i] = true);
            for &i in group {
                if !std::mem::take(&mut is_kept[i]) {
                    columns[i].clear(step);
                }
            }
            order.extend(kept);
        }
    }
    if k.len() == 1 {
        let mut slots: Vec<Option<Column>> = columns.into_iter().map(Some).collect();
        return Ok(order.into_iter().filter_map(|i| slots[i].take()).collect());
    }
    columns.retain(|c| !c.is_empty());
    Ok(columns)
}

/// The `k` largest in descending order, NaN last; which of equal values stay follows Prometheus' heap.
fn largest(k: usize, items: impl Iterator<Item = (f64, usize)>) -> Vec<usize> {
    let mut heap: Vec<(f64, usize)> = Vec::new();
    for (value, index) in items {
        if k == 0 {
            break;
        }
        if heap.len() < k {
            heap.push((value, index));
            let last = heap.len() - 1;
            sift_up(&mut heap, last);
        } else if heap[0].0 < value || (heap[0].0.is_nan() && !value.is_nan()) {
            heap[0] = (value, index);
            sift_down(&mut heap);
        }
    }
    heap.sort_by(|a, b| nan_first(b.0, a.0));
    heap.into_iter().map(|(_, i)| i).collect()
}

fn is_less(heap: &[(f64, usize)], i: usize, j: usize) -> bool {
    heap[i].0.is_nan() || heap[i].0 < heap[j].0
}
fn sift_up(heap: &mut [(f64, usize)], mut i: usize) {
    while i > 0 {
        let parent = (i - 1) / 2;
        if !is_less(heap, i, parent) {
            break;
        }
        heap.swap(i, parent);
        i = parent;
    }
}
fn sift_down(heap: &mut [(f64, usize)]) {
    let mut i = 0;
    loop {
        let (left, right) = (2 * i + 1, 2 * i + 2);
        if left >= heap.len() {
            break;
        }
        let child = if right < heap.len() && is_less(heap, right, left) {
            right
        } else {
            left
        };
        if !is_less(heap, child, i) {
            break;
        }
        heap.swap(i, child);
        i = child;
    }
}

/// `count_values`: counts equal values per group, the value's text in a label.
pub(crate) fn count_values(
    label: &str,
    text: impl Fn(Element<'_>) -> String,
    columns: &[Column],
    grouping: &Grouping,
    steps: Steps,
    budget: &Budget,
) -> Result<Vec<Column>> {
    let mut result: Vec<Column> = Vec::new();
    let mut by_labels: HashMap<Labels, usize> = HashMap::new();
    // The texts of numbers that were met lately: most series have few.
    let mut known: HashMap<u64, String> = HashMap::new();
    for column in columns {
        budget.check()?;
        let base = grouping.key(&column.labels);
        let mut last: Option<(u64, usize)> = None;
        for step in 0..steps.count {
            let element = column.at(step);
            let bits = match element {
                Element::Absent => continue,
                Element::Float(value) => Some(value.to_bits()),
                Element::Histogram(_) => None,
            };
            let index = match last {
                Some((same, index)) if Some(same) == bits => index,
                _ => {
                    let value = match bits {
                        Some(bits) => known.entry(bits).or_insert_with(|| text(element)).clone(),
                        None => text(element),
                    };
                    if known.len() > MAX_KNOWN_TEXTS {
                        known.clear();
                    }
                    // The new label may replace one that the grouping keeps; `without` may name it.
                    let mut builder = base.to_builder();
                    if !(grouping.without && grouping.labels.iter().any(|l| l == label)) {
                        builder.set(label, value);
                    }
                    let labels = builder.build();
                    match by_labels.get(&labels) {
                        Some(index) => *index,
                        None => {
                            charge(budget, 1, steps)?;
                            by_labels.insert(labels.clone(), result.len());
                            result.push(Column::new(labels, vec![ABSENT; steps.count]));
                            result.len() - 1
                        }
                    }
                }
            };
            last = bits.map(|bits| (bits, index));
            let count = &mut result[index].values[step];
            *count = if is_absent(*count) { 1.0 } else { *count + 1.0 };
        }
    }
    Ok(result)
}

const MAX_KNOWN_TEXTS: usize = 10_000;
