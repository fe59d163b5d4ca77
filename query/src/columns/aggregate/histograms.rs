//! Sums and means of groups that have native histograms.

use super::super::{Column, Steps};
use super::{Remark, Remarks};
use crate::promql::native::{Mean, Outcome, Sum};
use model::metric::Histogram;
use model::{Budget, Result};
use std::sync::Arc;

/// A sum or a mean.
enum Running {
    Sum(Sum),
    Mean(Mean),
}

impl Running {
    fn new(is_mean: bool, first: &Histogram) -> Self {
        if is_mean {
            Self::Mean(Mean::new(first))
        } else {
            Self::Sum(Sum::new(first))
        }
    }
    /// Whether there can still be a result.
    fn add(&mut self, histogram: &Histogram) -> Result<bool> {
        let remarks = match self {
            Self::Sum(sum) => sum.add(histogram)?,
            Self::Mean(mean) => mean.add(histogram)?,
        };
        Ok(!remarks.mixed_buckets)
    }
    fn finish(self) -> Outcome {
        match self {
            Self::Sum(sum) => sum.finish(),
            Self::Mean(mean) => mean.finish(),
        }
    }
}

/// Adds what histograms, with the number of their group each, give to what numbers gave: `result` has one column for each group. Where a group has both, it has
/// no result.
pub(super) fn combine(
    columns: &[(usize, Column)],
    is_mean: bool,
    steps: Steps,
    budget: &Budget,
    result: &mut [Column],
    remarks: Remarks<'_>,
) -> Result<()> {
    let mut of_groups: Vec<Vec<&Column>> = vec![Vec::new(); result.len()];
    for (id, column) in columns {
        of_groups[*id].push(column);
    }
    // In what order they are added shows in the last digits only, but it should be the same each time.
    for members in &mut of_groups {
        members.sort_by(|a, b| a.labels.cmp(&b.labels));
    }
    for (members, column) in of_groups.iter().zip(result) {
        for step in 0..steps.count {
            budget.check()?;
            let Some((outcome, last)) = run(members, step, is_mean)? else {
                continue;
            };
            let has_floats = !super::is_absent(column.values[step]);
            column.clear(step);
            if outcome.remarks.reconciled_in_addition {
                remarks(Remark::BoundsReconciled);
            }
            if outcome.remarks.mixed_buckets {
                remarks(Remark::Incompatible(
                    last.labels.metric_name().unwrap_or_default(),
                ));
                continue;
            }
            if has_floats {
                remarks(Remark::Mixed);
                continue;
            }
            if outcome.remarks.reset_collision {
                remarks(Remark::ResetCollision);
            }
            if let Some(mut histogram) = outcome.histogram {
                crate::promql::native::compact(&mut histogram);
                column.set_histogram(step, Arc::new(histogram));
            }
        }
        super::super::charge_histograms(budget, column)?;
    }
    Ok(())
}

/// What the histograms of a group give at a step, and the series that came last; `None` where there is none.
fn run<'a>(members: &[&'a Column], step: usize, is_mean: bool) -> Result<Option<(Outcome, &'a Column)>> {
    let there = |column: &&&'a Column| column.histogram(step).is_some();
    let mut members = members.iter().filter(there);
    let Some(first) = members.next() else {
        return Ok(None);
    };
    let mut last: &Column = first;
    let Some(histogram) = first.histogram(step) else {
        return Ok(None);
    };
    let mut running = Running::new(is_mean, histogram);
    for column in members {
        last = column;
        let Some(histogram) = column.histogram(step) else {
            continue;
        };
        if !running.add(histogram)? {
            break;
        }
    }
    Ok(Some((running.finish(), last)))
}
