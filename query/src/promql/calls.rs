//! Calls of functions over instant vectors and scalars.

use super::ast::{Call, Expr, Function, Node, Place};
use super::eval::{Evaluator, Value, execution};
use super::functions::{max_or_nan, min_or_nan, round};
use super::label_functions::{label_join, label_replace, sort_by_label};
use super::select::Wanted;
use super::vectors::{absent_labels, clamp, only_values, sorted, texts, without_absent, zip};
use crate::columns::{ABSENT, Column, Steps, absent, merge_same_labels};
use model::{Error, Labels, Result};

impl Evaluator<'_> {
    pub(crate) fn call(&self, c: &Call, place: Place, steps: Steps) -> Result<Value> {
        let arg = |i: usize| {
            c.args
                .get(i)
                .ok_or_else(|| Error::internal("a function lost an argument"))
        };
        let mapped = |f: &dyn Fn(usize, f64) -> f64| -> Result<Value> {
            let mut columns = self.vector(arg(0)?, steps)?;
            for column in &mut columns {
                column.drop_histograms();
                column.map_steps(f);
                column.drop_name = true;
            }
            columns.retain(|c| !c.is_empty());
            Ok(Value::Vector(columns))
        };
        let scalar = |i: usize| self.scalar(arg(i)?, steps);
        match c.function {
            Function::Range(f) => self.range_function(f, c, steps).map(Value::Vector),
            Function::AbsentOverTime => self.absent_over_time(c, steps).map(Value::Vector),
            Function::Map(f) => mapped(&|_, v| f(v)),
            Function::Date(f) if c.args.is_empty() => {
                // Whole seconds, cut off towards zero.
                let values = steps.times().map(|t| f((t / 1000) as f64)).collect();
                Ok(Value::Vector(vec![Column::new(Labels::empty(), values)]))
            }
            Function::Date(f) => mapped(&|_, v| f(v)),
            Function::Round => {
                let to_nearest = if c.args.len() > 1 {
                    scalar(1)?
                } else {
                    vec![1.0; steps.count]
                };
                mapped(&|i, v| round(v, to_nearest[i]))
            }
            Function::Clamp => {
                let (min, max) = (scalar(1)?, scalar(2)?);
                mapped(&|i, v| {
                    if max[i] < min[i] {
                        ABSENT
                    } else {
                        clamp(v, min[i], max[i])
                    }
                })
            }
            Function::ClampMin => {
                let min = scalar(1)?;
                mapped(&|i, v| max_or_nan(min[i], v))
            }
            Function::ClampMax => {
                let max = scalar(1)?;
                mapped(&|i, v| min_or_nan(max[i], v))
            }
            Function::Absent => {
                let columns = self.vector(arg(0)?, steps)?;
                let labels = absent_labels(arg(0)?);
                Ok(Value::Vector(absent(&columns, labels, steps.count)))
            }
            Function::Scalar => Ok(Value::Scalar(only_values(&self.vector(arg(0)?, steps)?, steps))),
            Function::Vector => {
                let values = without_absent(scalar(0)?);
                Ok(Value::Vector(vec![Column::new(Labels::empty(), values)]))
            }
            Function::Time => Ok(Value::Scalar(steps.times().map(|t| t as f64 / 1000.0).collect())),
            Function::Timestamp => self.timestamp(arg(0)?, steps).map(Value::Vector),
            Function::StartTimestamp => self.start_timestamp(arg(0)?, steps).map(Value::Vector),
            Function::MinOf => Ok(Value::Scalar(zip(scalar(0)?, &scalar(1)?, min_or_nan))),
            Function::MaxOf => Ok(Value::Scalar(zip(scalar(0)?, &scalar(1)?, max_or_nan))),
            Function::Sort { descending } => {
                let mut columns = self.sortable(c, place, steps)?;
                columns.iter_mut().for_each(Column::drop_histograms);
                columns.retain(|c| !c.is_empty());
                Ok(Value::Vector(sorted(columns, steps, descending)))
            }
            Function::SortByLabel { descending } => {
                let columns = self.sortable(c, place, steps)?;
                let labels = texts(&c.args[1..]);
                Ok(Value::Vector(sort_by_label(columns, &labels, steps, descending)))
            }
            Function::LabelReplace => {
                let columns = label_replace(&texts(&c.args[1..]), || self.vector(arg(0)?, steps))?;
                merge_same_labels(columns).map(Value::Vector)
            }
            Function::LabelJoin => {
                let columns = label_join(&texts(&c.args[1..]), || self.vector(arg(0)?, steps))?;
                merge_same_labels(columns).map(Value::Vector)
            }
            Function::HistogramQuantile => {
                let q = scalar(0)?;
                self.notes.borrow_mut().quantiles(arg(0)?.place, &q);
                self.histogram_quantile(arg(1)?, &q, steps).map(Value::Vector)
            }
            Function::HistogramQuantiles => self.histogram_quantiles(c, steps).map(Value::Vector),
            Function::HistogramFraction => {
                let (lower, upper) = (scalar(0)?, scalar(1)?);
                self.histogram_fraction(arg(2)?, &lower, &upper, steps)
                    .map(Value::Vector)
            }
            Function::OfHistogram(f) => {
                let mut columns = self.vector(arg(0)?, steps)?;
                columns.retain(|c| !c.histograms.is_empty());
                for column in &mut columns {
                    let of = |h: &Option<_>| h.as_deref().map_or(ABSENT, f);
                    column.values = column.histograms.iter().map(of).collect();
                    column.drop_histograms();
                    column.drop_name = true;
                }
                columns.retain(|c| !c.is_empty());
                Ok(Value::Vector(columns))
            }
            Function::Info => self.info(c, steps).map(Value::Vector),
        }
    }

    /// The argument of a sort, with a warning where sorting has no effect.
    fn sortable(&self, c: &Call, place: Place, steps: Steps) -> Result<Vec<Column>> {
        if steps.count > 1 {
            self.notes.borrow_mut().sort_is_ineffective(place);
        }
        self.vector(&c.args[0], steps)
    }

    /// `timestamp()` of a selector gives the samples' times; of anything else the evaluation time.
    fn timestamp(&self, arg: &Expr, steps: Steps) -> Result<Vec<Column>> {
        let mut columns = match &arg.node {
            Node::Selector(s) => {
                self.instant_selector(s, steps, Wanted::Timestamp, Some("timestamp"), arg.place)?
            }
            Node::StepInvariant(inner) if matches!(inner.bare().node, Node::Selector(_)) => {
                let mut columns = self.timestamp(inner, Steps::at(steps.start_ms))?;
                columns.iter_mut().for_each(|c| c.spread(steps.count));
                columns
            }
            _ => {
                let mut columns = self.vector(arg, steps)?;
                for column in &mut columns {
                    let time = |i: usize| steps.time(i) as f64 / 1000.0;
                    let values = (0..steps.count).map(|i| if column.has(i) { time(i) } else { ABSENT });
                    column.values = values.collect();
                    column.drop_histograms();
                }
                columns
            }
        };
        columns.iter_mut().for_each(|c| c.drop_name = true);
        Ok(columns)
    }

    /// `start_timestamp()`: only samples that a selector finds have one.
    fn start_timestamp(&self, arg: &Expr, steps: Steps) -> Result<Vec<Column>> {
        let mut columns = match &arg.node {
            Node::Selector(s) => self.instant_selector(
                s,
                steps,
                Wanted::StartTimestamp,
                Some("start_timestamp"),
                arg.place,
            )?,
            Node::StepInvariant(inner) => {
                let mut columns = self.start_timestamp(inner, Steps::at(steps.start_ms))?;
                columns.iter_mut().for_each(|c| c.spread(steps.count));
                columns
            }
            _ => {
                self.vector(arg, steps)?;
                Vec::new()
            }
        };
        columns.iter_mut().for_each(|c| c.drop_name = true);
        Ok(columns)
    }
}

/// Refuses an empty name of a label.
pub(crate) fn check_label(name: &str, what: &str, function: &str) -> Result<()> {
    if name.is_empty() {
        return Err(execution(format!(
            "invalid {what} label name in {function}(): {name}"
        )));
    }
    Ok(())
}
