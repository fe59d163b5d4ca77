//! Aggregation over series: by or without labels, at all steps at once.

use super::kahan::{Mean, Sum};
use super::{ABSENT, Column, Steps, charge, is_absent};
use model::labels::METRIC_NAME;
use model::{Budget, Labels, Result};
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
) -> Result<Vec<Column>> {
    match aggregation {
        Aggregation::Sum => fold(columns, grouping, steps, budget, Sum::add, Sum::value),
        Aggregation::Avg => fold(columns, grouping, steps, budget, Mean::add, Mean::value),
        Aggregation::Min => fold(columns, grouping, steps, budget, Extreme::add_min, |e| e.0),
        Aggregation::Max => fold(columns, grouping, steps, budget, Extreme::add_max, |e| e.0),
        Aggregation::Count => fold(
            columns,
            grouping,
            steps,
            budget,
            |n: &mut f64, _| *n += 1.0,
            |n| *n,
        ),
        Aggregation::Group => fold(
            columns,
            grouping,
            steps,
            budget,
            |n: &mut f64, _| *n = 1.0,
            |n| *n,
        ),
        Aggregation::Stddev => fold(columns, grouping, steps, budget, Variance::add, |v| {
            v.value().sqrt()
        }),
        Aggregation::Stdvar => fold(columns, grouping, steps, budget, Variance::add, Variance::value),
    }
}

fn fold<S: Default + Clone>(
    columns: &[Column],
    grouping: &Grouping,
    steps: Steps,
    budget: &Budget,
    add: impl Fn(&mut S, f64),
    value: impl Fn(&S) -> f64,
) -> Result<Vec<Column>> {
    let grouped = group(columns, grouping);
    let state_bytes = (size_of::<S>() + 1) as u64 * steps.count as u64;
    budget.charge_bytes(state_bytes.saturating_mul(grouped.groups.len() as u64))?;
    charge(budget, grouped.groups.len(), steps)?;
    let mut states = vec![vec![(false, S::default()); steps.count]; grouped.groups.len()];
    for (column, id) in columns.iter().zip(&grouped.of_series) {
        budget.check()?;
        for (state, v) in states[*id].iter_mut().zip(&column.values) {
            if !is_absent(*v) {
                state.0 = true;
                add(&mut state.1, *v);
            }
        }
    }
    let column = |((labels, drop_name), states): ((Labels, bool), Vec<(bool, S)>)| Column {
        labels,
        drop_name,
        values: states
            .iter()
            .map(|(any, s)| if *any { value(s) } else { ABSENT })
            .collect(),
    };
    Ok(grouped
        .groups
        .into_iter()
        .zip(states)
        .map(column)
        .filter(|c| !c.is_empty())
        .collect())
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
) -> Result<Vec<Column>> {
    let grouped = group(columns, grouping);
    charge(budget, grouped.groups.len(), steps)?;
    let mut result: Vec<Column> = grouped
        .groups
        .iter()
        .map(|(labels, drop_name)| Column {
            labels: labels.clone(),
            drop_name: *drop_name,
            values: vec![ABSENT; steps.count],
        })
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
/// At a single step the elements of each group come in their rank's order.
pub(crate) fn select(
    selection: Selection,
    k: &[f64],
    mut columns: Vec<Column>,
    grouping: &Grouping,
    budget: &Budget,
) -> Result<Vec<Column>> {
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
            let there = || {
                group
                    .iter()
                    .copied()
                    .filter(|i| !is_absent(columns[*i].values[step]))
            };
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
                    columns[i].values[step] = ABSENT;
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
    text: impl Fn(f64) -> String,
    columns: &[Column],
    grouping: &Grouping,
    steps: Steps,
    budget: &Budget,
) -> Result<Vec<Column>> {
    let mut counts: HashMap<(Labels, u64), Vec<f64>> = HashMap::new();
    let mut order: Vec<(Labels, u64)> = Vec::new();
    for column in columns {
        budget.check()?;
        // The new label may replace one that the grouping keeps.
        let base = grouping.key(&column.labels);
        for (step, value) in column.values.iter().enumerate().filter(|(_, v)| !is_absent(**v)) {
            let key = (base.clone(), value.to_bits());
            if !counts.contains_key(&key) {
                charge(budget, 1, steps)?;
                order.push(key.clone());
                counts.insert(key.clone(), vec![0.0; steps.count]);
            }
            if let Some(counts) = counts.get_mut(&key) {
                counts[step] += 1.0;
            }
        }
    }
    let mut result: Vec<Column> = Vec::new();
    let mut by_labels: HashMap<Labels, usize> = HashMap::new();
    for key in order {
        let mut builder = key.0.to_builder();
        builder.set(label, text(f64::from_bits(key.1)));
        let labels = builder.build();
        let index = *by_labels.entry(labels.clone()).or_insert_with(|| {
            result.push(Column::new(labels, vec![ABSENT; steps.count]));
            result.len() - 1
        });
        for (sum, n) in result[index].values.iter_mut().zip(&counts[&key]) {
            if *n > 0.0 {
                *sum = if is_absent(*sum) { *n } else { *sum + n };
            }
        }
    }
    Ok(result)
}
