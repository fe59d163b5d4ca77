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

/// Takes the series of a vector, one by one.
pub(crate) type Sink<'a> = &'a mut dyn FnMut(Column) -> Result<()>;

/// `sum`, `avg`, `min`, `max`, `count`, `group`, `stddev`, `stdvar` of what `feed` hands out, series by series in any
/// order, so that a vector need not be held as a whole. The groups come sorted by their labels.
pub(crate) fn aggregate(
    aggregation: Aggregation,
    grouping: &Grouping,
    steps: Steps,
    budget: &Budget,
    remarks: Remarks<'_>,
    feed: impl FnOnce(Sink<'_>) -> Result<()>,
) -> Result<Vec<Column>> {
    match aggregation {
        Aggregation::Sum => fold::<Sum>(aggregation, grouping, steps, budget, remarks, feed),
        Aggregation::Avg => fold::<Mean>(aggregation, grouping, steps, budget, remarks, feed),
        Aggregation::Min => fold::<Min>(aggregation, grouping, steps, budget, remarks, feed),
        Aggregation::Max => fold::<Max>(aggregation, grouping, steps, budget, remarks, feed),
        Aggregation::Count => fold::<Count>(aggregation, grouping, steps, budget, remarks, feed),
        Aggregation::Group => fold::<Group>(aggregation, grouping, steps, budget, remarks, feed),
        Aggregation::Stddev => fold::<Stddev>(aggregation, grouping, steps, budget, remarks, feed),
        Aggregation::Stdvar => fold::<Variance>(aggregation, grouping, steps, budget, remarks, feed),
    }
}

fn fold<S: State>(
    aggregation: Aggregation,
    grouping: &Grouping,
    steps: Steps,
    budget: &Budget,
    remarks: Remarks<'_>,
    feed: impl FnOnce(Sink<'_>) -> Result<()>,
) -> Result<Vec<Column>> {
    let mut fold = Fold::<S> {
        grouping,
        steps,
        budget,
        ids: HashMap::new(),
        groups: Vec::new(),
        of_histograms: Vec::new(),
    };
    feed(&mut |column| fold.add(column))?;
    let of_histograms = std::mem::take(&mut fold.of_histograms);
    let mut result = fold.finish();
    if !of_histograms.is_empty() {
        match aggregation {
            Aggregation::Sum | Aggregation::Avg => {
                let is_mean = aggregation == Aggregation::Avg;
                histograms::combine(&of_histograms, is_mean, steps, budget, &mut result, remarks)?;
            }
            Aggregation::Count | Aggregation::Group => {}
            _ => remarks(Remark::Ignored),
        }
    }
    result.retain(|c| !c.is_empty());
    result.sort_by(|a, b| a.labels.cmp(&b.labels));
    Ok(result)
}

/// What an aggregation knows of a group at one step.
trait State: Default + Clone {
    /// Whether histograms count like numbers.
    const COUNTS_HISTOGRAMS: bool = false;
    fn add(&mut self, value: f64);
    fn value(&self) -> f64;
}

/// An aggregation under way.
struct Fold<'a, S> {
    grouping: &'a Grouping,
    steps: Steps,
    budget: &'a Budget,
    ids: HashMap<Labels, usize>,
    groups: Vec<OfGroup<S>>,
    /// Series with histograms, and their groups.
    of_histograms: Vec<(usize, Column)>,
}

struct OfGroup<S> {
    labels: Labels,
    drop_name: bool,
    /// By step; `None` where nothing came.
    states: Vec<Option<S>>,
}

impl<S: State> Fold<'_, S> {
    fn add(&mut self, column: Column) -> Result<()> {
        self.budget.check()?;
        let key = self.grouping.key(&column.labels);
        let id = match self.ids.get(&key) {
            Some(id) => *id,
            None => self.begin_group(key)?,
        };
        let group = &mut self.groups[id];
        group.drop_name |= column.drop_name;
        for (state, value) in group.states.iter_mut().zip(&column.values) {
            if !is_absent(*value) {
                state.get_or_insert_default().add(*value);
            }
        }
        if !column.histograms.is_empty() {
            if S::COUNTS_HISTOGRAMS {
                let there = column.histograms.iter().zip(&mut group.states);
                for (_, state) in there.filter(|(h, _)| h.is_some()) {
                    state.get_or_insert_default().add(0.0);
                }
            }
            super::charge_histograms(self.budget, &column)?;
            self.of_histograms.push((id, column));
        }
        Ok(())
    }
    fn begin_group(&mut self, key: Labels) -> Result<usize> {
        charge(self.budget, 1, self.steps)?;
        let state_bytes = size_of::<Option<S>>() as u64 * self.steps.count as u64;
        self.budget.charge_bytes(state_bytes)?;
        self.groups.push(OfGroup {
            labels: key.clone(),
            drop_name: false,
            states: vec![None; self.steps.count],
        });
        self.ids.insert(key, self.groups.len() - 1);
        Ok(self.groups.len() - 1)
    }
    /// One column for each group, those without any value too.
    fn finish(self) -> Vec<Column> {
        let column = |group: OfGroup<S>| {
            let value = |state: &Option<S>| state.as_ref().map_or(ABSENT, State::value);
            Column {
                drop_name: group.drop_name,
                ..Column::new(group.labels, group.states.iter().map(value).collect())
            }
        };
        self.groups.into_iter().map(column).collect()
    }
}

impl State for Sum {
    fn add(&mut self, value: f64) {
        Sum::add(self, value);
    }
    fn value(&self) -> f64 {
        Sum::value(self)
    }
}
impl State for Mean {
    fn add(&mut self, value: f64) {
        Mean::add(self, value);
    }
    fn value(&self) -> f64 {
        Mean::value(self)
    }
}

/// The smallest value; a NaN only when there is nothing else.
#[derive(Clone)]
struct Min(f64);

impl Default for Min {
    fn default() -> Self {
        Self(f64::NAN)
    }
}
impl State for Min {
    fn add(&mut self, value: f64) {
        if value < self.0 || self.0.is_nan() {
            self.0 = value;
        }
    }
    fn value(&self) -> f64 {
        self.0
    }
}

/// The largest value; a NaN only when there is nothing else.
#[derive(Clone)]
struct Max(f64);

impl Default for Max {
    fn default() -> Self {
        Self(f64::NAN)
    }
}
impl State for Max {
    fn add(&mut self, value: f64) {
        if value > self.0 || self.0.is_nan() {
            self.0 = value;
        }
    }
    fn value(&self) -> f64 {
        self.0
    }
}

/// How many there are.
#[derive(Clone, Default)]
struct Count(f64);

impl State for Count {
    const COUNTS_HISTOGRAMS: bool = true;
    fn add(&mut self, _: f64) {
        self.0 += 1.0;
    }
    fn value(&self) -> f64 {
        self.0
    }
}

/// That there is any.
#[derive(Clone, Default)]
struct Group;

impl State for Group {
    const COUNTS_HISTOGRAMS: bool = true;
    fn add(&mut self, _: f64) {}
    fn value(&self) -> f64 {
        1.0
    }
}

/// Welford's running variance.
#[derive(Clone, Default)]
struct Variance {
    count: f64,
    mean: f64,
    squares: f64,
}

impl State for Variance {
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

/// Its root.
#[derive(Clone, Default)]
struct Stddev(Variance);

impl State for Stddev {
    fn add(&mut self, value: f64) {
        self.0.add(value);
    }
    fn value(&self) -> f64 {
        self.0.value().sqrt()
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
