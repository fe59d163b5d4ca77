//! Operators between two vectors: which elements meet, and what labels the result has.

use super::operators::{Computation, Computed, Operator};
use super::{Column, Element, Steps, charge, without_reserved};
use model::labels::METRIC_NAME;
use model::metric::Histogram;
use model::{Budget, Error, ErrorKind, Labels, Result};
use std::collections::HashMap;
use std::sync::Arc;

/// How many elements of each side may meet in one match group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cardinality {
    OneToOne,
    /// `group_left`
    ManyToOne,
    /// `group_right`
    OneToMany,
    /// `and`, `or`, `unless`
    ManyToMany,
}

/// The modifiers of an operator between two vectors.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Matching {
    pub(crate) cardinality: Cardinality,
    /// Whether `labels` are those to match on; otherwise those to ignore.
    pub(crate) on: bool,
    pub(crate) labels: Vec<String>,
    /// Labels that the result takes from the "one" side.
    pub(crate) include: Vec<String>,
    /// `bool`: comparisons give 0 or 1 instead of filtering.
    pub(crate) return_bool: bool,
    /// Stands in for a missing element on the left.
    pub(crate) fill_left: Option<f64>,
    /// Stands in for a missing element on the right.
    pub(crate) fill_right: Option<f64>,
}

impl Default for Matching {
    fn default() -> Self {
        Self {
            cardinality: Cardinality::OneToOne,
            on: false,
            labels: Vec::new(),
            include: Vec::new(),
            return_bool: false,
            fill_left: None,
            fill_right: None,
        }
    }
}

impl Matching {
    /// The labels by which elements meet.
    fn signature(&self, labels: &Labels) -> Labels {
        if self.on {
            return labels.keep(&self.labels);
        }
        let ignored = |n: &str| n == METRIC_NAME || self.labels.iter().any(|l| l == n);
        if labels.iter().any(|(n, _)| ignored(n)) {
            Labels::from_pairs(labels.iter().filter(|(n, _)| !ignored(n)))
        } else {
            labels.clone()
        }
    }
    /// The labels of a result from one element of the "many" side and one of the "one" side.
    fn result_labels(&self, op: Operator, many: &Labels, one: &Labels) -> Labels {
        let base = if op.changes_meaning() {
            without_reserved(many)
        } else {
            many.clone()
        };
        let base = match (self.cardinality, self.on) {
            (Cardinality::OneToOne, true) => base.keep(&self.labels),
            (Cardinality::OneToOne, false) if !self.labels.is_empty() => base.drop(&self.labels),
            _ => base,
        };
        if self.include.is_empty() {
            return base;
        }
        let mut builder = base.to_builder();
        for name in &self.include {
            builder.set(name.as_str(), one.get(name).unwrap_or_default());
        }
        builder.build()
    }
}

/// Which series of a side belong to each match group.
struct Groups {
    /// The group of each series.
    of_series: Vec<usize>,
    /// The series of each group, in order.
    members: Vec<Vec<usize>>,
}

impl Groups {
    fn of(&self, group: usize) -> &[usize] {
        self.members.get(group).map_or(&[], Vec::as_slice)
    }
}

fn group(
    columns: &[Column],
    matching: &Matching,
    ids: &mut HashMap<Labels, usize>,
    signatures: &mut Vec<Labels>,
) -> Groups {
    let mut groups = Groups {
        of_series: Vec::with_capacity(columns.len()),
        members: vec![Vec::new(); signatures.len()],
    };
    for (i, column) in columns.iter().enumerate() {
        let signature = matching.signature(&column.labels);
        let id = *ids.entry(signature.clone()).or_insert_with(|| {
            signatures.push(signature);
            signatures.len() - 1
        });
        if groups.members.len() <= id {
            groups.members.resize(id + 1, Vec::new());
        }
        groups.of_series.push(id);
        groups.members[id].push(i);
    }
    groups
}

/// Whether any series has a value, per step.
fn any_present(columns: &[Column], steps: Steps) -> Vec<bool> {
    let mut any = vec![false; steps.count];
    for column in columns {
        for (step, seen) in any.iter_mut().enumerate() {
            *seen |= column.has(step);
        }
    }
    any
}

/// `and`, `or`, `unless`.
pub(crate) fn set_operation(
    op: Operator,
    mut left: Vec<Column>,
    mut right: Vec<Column>,
    matching: &Matching,
    steps: Steps,
    budget: &Budget,
) -> Result<Vec<Column>> {
    let (mut ids, mut signatures) = (HashMap::new(), Vec::new());
    let left_groups = group(&left, matching, &mut ids, &mut signatures);
    let right_groups = group(&right, matching, &mut ids, &mut signatures);
    charge(budget, signatures.len(), steps)?;
    let presence = |columns: &[Column], groups: &Groups, id: usize| {
        let mut any = vec![false; steps.count];
        for &i in groups.of(id) {
            for (step, seen) in any.iter_mut().enumerate() {
                *seen |= columns[i].has(step);
            }
        }
        any
    };
    // One side decides, by match group and step, whether elements of the other side stay.
    let (deciding, deciding_groups) = match op {
        Operator::Or => (&left, &left_groups),
        _ => (&right, &right_groups),
    };
    let decided: Vec<Vec<bool>> = (0..signatures.len())
        .map(|id| presence(deciding, deciding_groups, id))
        .collect();
    let keep_where = |columns: &mut Vec<Column>, groups: &Groups, wanted: bool| {
        for (i, column) in columns.iter_mut().enumerate() {
            let decided = &decided[groups.of_series[i]];
            for (step, there) in decided.iter().enumerate() {
                if *there != wanted {
                    column.clear(step);
                }
            }
        }
        columns.retain(|c| !c.is_empty());
    };
    match op {
        Operator::And => keep_where(&mut left, &left_groups, true),
        Operator::Unless => keep_where(&mut left, &left_groups, false),
        _ => {
            keep_where(&mut right, &right_groups, false);
            left.extend(right);
            return merge_parts(left);
        }
    }
    Ok(left)
}

/// Joins series of both sides that have the same labels, when neither or both lose their name later.
fn merge_parts(columns: Vec<Column>) -> Result<Vec<Column>> {
    let mut seen: HashMap<(Labels, bool), usize> = HashMap::new();
    let mut merged: Vec<Column> = Vec::new();
    for column in columns {
        let key = (column.labels.clone(), column.drop_name);
        let Some(&index) = seen.get(&key) else {
            seen.insert(key, merged.len());
            merged.push(column);
            continue;
        };
        merged[index].join(&column)?;
    }
    Ok(merged)
}

/// Arithmetic and comparisons between two vectors.
///
/// # Errors
/// `Execution` when more elements meet than the modifiers allow.
pub(crate) fn vector_operation(
    op: Operator,
    left: &[Column],
    right: &[Column],
    matching: &Matching,
    steps: Steps,
    computation: Computation<'_>,
    budget: &Budget,
) -> Result<Vec<Column>> {
    let swapped = matching.cardinality == Cardinality::OneToMany;
    let (many, one) = if swapped { (right, left) } else { (left, right) };
    let (mut ids, mut signatures) = (HashMap::new(), Vec::new());
    let many_groups = group(many, matching, &mut ids, &mut signatures);
    let one_groups = group(one, matching, &mut ids, &mut signatures);
    let join = Join {
        op,
        matching,
        computation,
        swapped,
        steps,
        many,
        one,
        many_groups,
        one_groups,
        signatures,
    };
    join.check_one_side()?;
    let mut output = Output::new(steps, budget);
    for series in 0..many.len() {
        budget.check()?;
        join.match_series(series, &mut output)?;
    }
    if let Some(fill) = join.fill_many() {
        for series in 0..one.len() {
            join.fill_missing(series, fill, &mut output)?;
        }
    }
    Ok(output.finish())
}

/// One operation between a "many" and a "one" side; with one-to-one matching the left side is "many".
struct Join<'a> {
    op: Operator,
    matching: &'a Matching,
    computation: Computation<'a>,
    /// Whether the "many" side is the right one.
    swapped: bool,
    steps: Steps,
    many: &'a [Column],
    one: &'a [Column],
    many_groups: Groups,
    one_groups: Groups,
    signatures: Vec<Labels>,
}

impl Join<'_> {
    // As in Prometheus, the sides of the fill values stay where they are when `group_right` swaps the operands.
    fn fill_many(&self) -> Option<f64> {
        self.matching.fill_left
    }
    fn fill_one(&self) -> Option<f64> {
        self.matching.fill_right
    }

    /// At most one element per group on the "one" side. As in Prometheus, steps at which one side is empty are
    /// not looked at.
    fn check_one_side(&self) -> Result<()> {
        let crowded = || {
            self.one_groups
                .members
                .iter()
                .enumerate()
                .filter(|(_, m)| m.len() > 1)
        };
        if crowded().next().is_none() {
            return Ok(());
        }
        let many_present = any_present(self.many, self.steps);
        let has_fill = self.matching.fill_left.is_some() || self.matching.fill_right.is_some();
        for (id, members) in crowded() {
            for step in (0..self.steps.count).filter(|s| has_fill || many_present[*s]) {
                let mut there = members.iter().filter(|i| self.one[**i].has(step));
                if let (Some(first), Some(second)) = (there.next(), there.next()) {
                    return Err(self.duplicate(id, *first, *second));
                }
            }
        }
        Ok(())
    }
    fn duplicate(&self, group: usize, first: usize, second: usize) -> Error {
        let side = if self.swapped { "left" } else { "right" };
        let mut both = [first, second].map(|i| self.one[i].labels.to_string());
        both.sort();
        Error::new(
            ErrorKind::Execution,
            format!(
                "found duplicate series for the match group {} on the {side} hand-side of the operation: [{}, {}];many-to-many matching not allowed: matching labels must be unique on one side",
                self.signatures[group], both[0], both[1]
            ),
        )
    }

    /// What two elements that meet give.
    fn result(&self, many: Element<'_>, one: Element<'_>) -> Met {
        let (l, r) = if self.swapped { (one, many) } else { (many, one) };
        let return_bool = self.matching.return_bool;
        let computed = match (l, r) {
            (Element::Float(l), Element::Float(r)) if !self.op.is_trim() => {
                return match (self.op.is_comparison() && !return_bool, self.op.holds(l, r)) {
                    (true, true) => Met::Float(l),
                    (true, false) => Met::Nothing,
                    (false, _) => Met::Float((self.computation.numbers)(self.op, l, r)),
                };
            }
            _ => (self.computation.histograms)(self.op, l, r),
        };
        match computed {
            Computed::Unfit => Met::Never,
            Computed::Compared(holds, _) if return_bool => Met::Float(f64::from(u8::from(holds))),
            Computed::Compared(true, Some(histogram)) | Computed::Histogram(histogram) => {
                Met::Histogram(histogram)
            }
            Computed::Compared(..) => Met::Nothing,
        }
    }

    /// Lets one series of the "many" side meet its partners, and the fill value where it has none.
    fn match_series(&self, series: usize, output: &mut Output<'_>) -> Result<()> {
        let column = &self.many[series];
        let group = self.many_groups.of_series[series];
        let partners = self.one_groups.of(group);
        let one_to_one = self.matching.cardinality == Cardinality::OneToOne;
        let watched = (one_to_one && self.many_groups.of(group).len() > 1).then_some(group);
        let drop_name = self.matching.return_bool || column.drop_name;
        let mut targets: Vec<Option<usize>> = vec![None; partners.len() + 1];
        for step in 0..self.steps.count {
            let own = column.at(step);
            if own.is_absent() {
                continue;
            }
            let partner = partners.iter().position(|p| self.one[*p].has(step));
            let (slot, met, labels) = match (partner, self.fill_one()) {
                (Some(i), _) => {
                    let other = &self.one[partners[i]];
                    (i, self.result(own, other.at(step)), &other.labels)
                }
                (None, Some(fill)) => (
                    partners.len(),
                    self.result(own, Element::Float(fill)),
                    &self.signatures[group],
                ),
                (None, None) => continue,
            };
            if met == Met::Never {
                continue;
            }
            if let Some(group) = watched {
                output.take(group, step)?;
            }
            if met == Met::Nothing {
                continue;
            }
            let target = match targets[slot] {
                Some(target) => target,
                None => {
                    let labels = self.matching.result_labels(self.op, &column.labels, labels);
                    *targets[slot].insert(output.column(labels, drop_name)?)
                }
            };
            output.put(target, step, met, self.matching.cardinality)?;
        }
        Ok(())
    }

    /// Lets elements of the "one" side without a partner meet the fill value.
    fn fill_missing(&self, series: usize, fill: f64, output: &mut Output<'_>) -> Result<()> {
        let column = &self.one[series];
        let group = self.one_groups.of_series[series];
        let partners = self.many_groups.of(group);
        for step in 0..self.steps.count {
            let own = column.at(step);
            if own.is_absent() || partners.iter().any(|p| self.many[*p].has(step)) {
                continue;
            }
            let met = self.result(Element::Float(fill), own);
            if !matches!(met, Met::Never | Met::Nothing) {
                let labels = self
                    .matching
                    .result_labels(self.op, &self.signatures[group], &column.labels);
                let target = output.column(labels, self.matching.return_bool)?;
                output.put(target, step, met, self.matching.cardinality)?;
            }
        }
        Ok(())
    }
}

/// What came of two elements that belong together.
#[derive(Debug, PartialEq)]
enum Met {
    /// They can't be put together, as if they had not met.
    Never,
    /// A comparison that is not true.
    Nothing,
    Float(f64),
    Histogram(Arc<Histogram>),
}

/// The result of an operation while it grows: one column per label set.
struct Output<'a> {
    steps: Steps,
    budget: &'a Budget,
    columns: Vec<Column>,
    by_labels: HashMap<(Labels, bool), usize>,
    /// For groups of one-to-one matching with several series on the left: at which steps one had a result.
    taken: HashMap<usize, Vec<bool>>,
}

impl<'a> Output<'a> {
    fn new(steps: Steps, budget: &'a Budget) -> Self {
        Self {
            steps,
            budget,
            columns: Vec::new(),
            by_labels: HashMap::new(),
            taken: HashMap::new(),
        }
    }
    fn column(&mut self, labels: Labels, drop_name: bool) -> Result<usize> {
        let key = (labels, drop_name);
        if let Some(index) = self.by_labels.get(&key) {
            return Ok(*index);
        }
        charge(self.budget, 1, self.steps)?;
        let column = Column::absent(key.0.clone(), drop_name, self.steps.count);
        self.by_labels.insert(key, self.columns.len());
        self.columns.push(column);
        Ok(self.columns.len() - 1)
    }
    /// Notes that a series of a group has met its partner; only one may at each step.
    fn take(&mut self, group: usize, step: usize) -> Result<()> {
        let taken = self
            .taken
            .entry(group)
            .or_insert_with(|| vec![false; self.steps.count]);
        if std::mem::replace(&mut taken[step], true) {
            return Err(Error::new(
                ErrorKind::Execution,
                "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)",
            ));
        }
        Ok(())
    }
    fn put(&mut self, target: usize, step: usize, met: Met, cardinality: Cardinality) -> Result<()> {
        let column = &mut self.columns[target];
        if column.has(step) {
            return match cardinality {
                Cardinality::OneToOne => Err(super::same_labels()),
                _ => Err(Error::new(
                    ErrorKind::Execution,
                    "multiple matches for labels: grouping labels must ensure unique matches",
                )),
            };
        }
        match met {
            Met::Float(value) => column.values[step] = value,
            Met::Histogram(histogram) => column.set_histogram(step, histogram),
            Met::Never | Met::Nothing => {}
        }
        Ok(())
    }
    fn finish(mut self) -> Vec<Column> {
        self.columns.retain(|c| !c.is_empty());
        self.columns
    }
}
