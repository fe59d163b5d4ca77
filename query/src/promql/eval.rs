//! Evaluates the expression tree, each node for all steps at once.

use super::Options;
use super::ast::{
    Aggregate, AggregateOp, Binary, Call, Expr, Function, Kind, RangeFunction, RangeSelector, Subquery,
};
use super::notes::Notes;
use super::select::{Purpose, Wanted, sort_by_labels, without_stale};
use super::vectors::{
    absent_labels, clamp, number_text, only_values, series_of, sorted, texts, without_absent, zip,
};
use super::window::{Parameters, Samples, Windows, evaluate, widened};
use crate::columns::aggregate::{self, Selection};
use crate::columns::operators::{Operator, with_scalar};
use crate::columns::{
    ABSENT, Column, Steps, absent, charge, is_absent, matching, merge_same_labels, without_reserved,
};
use model::{Budget, Error, ErrorKind, Labels, Read, Result, SeriesData, Tenant};
use std::cell::RefCell;

/// The value of an expression at every step.
pub(crate) enum Value {
    /// One number per step.
    Scalar(Vec<f64>),
    Text(String),
    Vector(Vec<Column>),
}

/// One query under way.
pub(crate) struct Evaluator<'a> {
    pub(crate) store: &'a dyn Read<SeriesData>,
    pub(crate) tenant: &'a Tenant,
    pub(crate) budget: &'a Budget,
    pub(crate) options: &'a Options,
    pub(crate) notes: RefCell<Notes>,
}

impl Evaluator<'_> {
    /// Evaluates a scalar, string or instant vector expression.
    pub(crate) fn eval(&self, expr: &Expr, steps: Steps) -> Result<Value> {
        self.budget.check()?;
        match expr {
            Expr::Number(n) => Ok(Value::Scalar(vec![*n; steps.count])),
            Expr::Text(text) => Ok(Value::Text(text.clone())),
            Expr::Selector(s) => self
                .instant_selector(s, steps, Wanted::Value, None)
                .map(Value::Vector),
            Expr::StepInvariant(inner) => self.eval_once(inner, steps),
            Expr::Negate(inner) => match self.eval(inner, steps)? {
                Value::Scalar(mut values) => {
                    values.iter_mut().for_each(|v| *v = -*v);
                    Ok(Value::Scalar(values))
                }
                Value::Vector(mut columns) => {
                    for column in &mut columns {
                        column.map(|v| -v);
                        column.drop_name = true;
                    }
                    Ok(Value::Vector(columns))
                }
                Value::Text(_) => Err(wrong_kind("a number", expr)),
            },
            Expr::Binary(b) => self.binary(b, steps),
            Expr::Aggregate(a) => self.aggregate(a, steps).map(Value::Vector),
            Expr::Call(c) => self.call(c, steps),
            Expr::Range(_) | Expr::Subquery(_) => Err(wrong_kind("an instant vector", expr)),
        }
    }

    /// Evaluates what is the same at every step at the first one.
    fn eval_once(&self, expr: &Expr, steps: Steps) -> Result<Value> {
        if steps.count <= 1 {
            return self.eval(expr, steps);
        }
        match self.eval(expr, Steps::at(steps.start_ms))? {
            Value::Scalar(values) => Ok(Value::Scalar(vec![values[0]; steps.count])),
            Value::Text(text) => Ok(Value::Text(text)),
            Value::Vector(mut columns) => {
                charge(self.budget, columns.len(), steps)?;
                for column in &mut columns {
                    column.values = vec![column.values[0]; steps.count];
                }
                Ok(Value::Vector(columns))
            }
        }
    }

    pub(crate) fn vector(&self, expr: &Expr, steps: Steps) -> Result<Vec<Column>> {
        match self.eval(expr, steps)? {
            Value::Vector(columns) => Ok(columns),
            Value::Scalar(_) | Value::Text(_) => Err(wrong_kind("an instant vector", expr)),
        }
    }
    pub(crate) fn scalar(&self, expr: &Expr, steps: Steps) -> Result<Vec<f64>> {
        match self.eval(expr, steps)? {
            Value::Scalar(values) => Ok(values),
            Value::Vector(_) | Value::Text(_) => Err(wrong_kind("a scalar", expr)),
        }
    }

    fn binary(&self, b: &Binary, steps: Steps) -> Result<Value> {
        let return_bool = b.matching.return_bool;
        match (self.eval(&b.left, steps)?, self.eval(&b.right, steps)?) {
            (Value::Scalar(mut left), Value::Scalar(right)) => {
                for (l, r) in left.iter_mut().zip(right) {
                    *l = b.op.number(*l, r);
                }
                Ok(Value::Scalar(left))
            }
            (Value::Vector(columns), Value::Scalar(right)) => Ok(Value::Vector(with_scalar(
                b.op,
                columns,
                &right,
                false,
                return_bool,
                Operator::number,
            ))),
            (Value::Scalar(left), Value::Vector(columns)) => Ok(Value::Vector(with_scalar(
                b.op,
                columns,
                &left,
                true,
                return_bool,
                Operator::number,
            ))),
            (Value::Vector(left), Value::Vector(right)) => {
                let columns = if b.op.is_set() {
                    matching::set_operation(b.op, left, right, &b.matching, steps, self.budget)?
                } else {
                    let compute = Operator::number;
                    matching::vector_operation(b.op, &left, &right, &b.matching, steps, compute, self.budget)?
                };
                Ok(Value::Vector(columns))
            }
            (Value::Text(_), _) => Err(wrong_kind("a number or an instant vector", &b.left)),
            (_, Value::Text(_)) => Err(wrong_kind("a number or an instant vector", &b.right)),
        }
    }

    fn aggregate(&self, a: &Aggregate, steps: Steps) -> Result<Vec<Column>> {
        let (grouping, budget) = (&a.grouping, self.budget);
        match &a.op {
            AggregateOp::Plain(op) => {
                let columns = self.vector(&a.expr, steps)?;
                aggregate::aggregate(*op, &columns, grouping, steps, budget)
            }
            AggregateOp::Quantile(q) => {
                let q = self.scalar(q, steps)?;
                self.notes.borrow_mut().quantiles(&q);
                let columns = self.vector(&a.expr, steps)?;
                aggregate::quantiles(&q, &columns, grouping, steps, budget)
            }
            AggregateOp::TopK(k) => self.select(Selection::Top, k, a, steps),
            AggregateOp::BottomK(k) => self.select(Selection::Bottom, k, a, steps),
            AggregateOp::LimitK(k) => self.select(Selection::First, k, a, steps),
            AggregateOp::CountValues(label) => {
                let columns = self.vector(&a.expr, steps)?;
                aggregate::count_values(label, number_text, &columns, grouping, steps, budget)
            }
        }
    }

    fn select(&self, selection: Selection, k: &Expr, a: &Aggregate, steps: Steps) -> Result<Vec<Column>> {
        let k = self.scalar(k, steps)?;
        if k.iter().any(|k| k.is_nan()) {
            return Err(execution("Parameter value is NaN"));
        }
        if let Some(k) = k.iter().find(|k| k.abs() >= i64::MAX as f64) {
            return Err(execution(format!("Scalar value {k} overflows int64")));
        }
        let columns = self.vector(&a.expr, steps)?;
        aggregate::select(selection, &k, columns, &a.grouping, self.budget)
    }

    fn call(&self, c: &Call, steps: Steps) -> Result<Value> {
        let arg = |i: usize| {
            c.args
                .get(i)
                .ok_or_else(|| Error::internal("a function lost an argument"))
        };
        let mapped = |f: &dyn Fn(usize, f64) -> f64| -> Result<Value> {
            let mut columns = self.vector(arg(0)?, steps)?;
            for column in &mut columns {
                column.map_steps(f);
                column.drop_name = true;
            }
            Ok(Value::Vector(columns))
        };
        let scalar = |i: usize| self.scalar(arg(i)?, steps);
        match c.function {
            Function::Range(f) => self.range_function(f, c, steps).map(Value::Vector),
            Function::AbsentOverTime => self.absent_over_time(c, steps).map(Value::Vector),
            Function::Map(f) => mapped(&|_, v| f(v)),
            Function::Date(f) if c.args.is_empty() => {
                let values = steps.times().map(|t| f(t as f64 / 1000.0)).collect();
                Ok(Value::Vector(vec![Column::new(Labels::empty(), values)]))
            }
            Function::Date(f) => mapped(&|_, v| f(v)),
            Function::Round => {
                let to_nearest = if c.args.len() > 1 {
                    scalar(1)?
                } else {
                    vec![1.0; steps.count]
                };
                mapped(&|i, v| super::functions::round(v, to_nearest[i]))
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
                mapped(&|i, v| super::functions::max_or_nan(min[i], v))
            }
            Function::ClampMax => {
                let max = scalar(1)?;
                mapped(&|i, v| super::functions::min_or_nan(max[i], v))
            }
            Function::Absent => {
                let columns = self.vector(arg(0)?, steps)?;
                Ok(Value::Vector(absent(
                    &columns,
                    absent_labels(arg(0)?),
                    steps.count,
                )))
            }
            Function::Scalar => Ok(Value::Scalar(only_values(&self.vector(arg(0)?, steps)?, steps))),
            Function::Vector => Ok(Value::Vector(vec![Column::new(
                Labels::empty(),
                without_absent(scalar(0)?),
            )])),
            Function::Time => Ok(Value::Scalar(steps.times().map(|t| t as f64 / 1000.0).collect())),
            Function::Timestamp => self.timestamp(arg(0)?, steps).map(Value::Vector),
            Function::MinOf => Ok(Value::Scalar(zip(
                scalar(0)?,
                &scalar(1)?,
                super::functions::min_or_nan,
            ))),
            Function::MaxOf => Ok(Value::Scalar(zip(
                scalar(0)?,
                &scalar(1)?,
                super::functions::max_or_nan,
            ))),
            Function::Sort { descending } => {
                let columns = self.sortable(c, steps)?;
                Ok(Value::Vector(sorted(columns, steps, descending)))
            }
            Function::SortByLabel { descending } => {
                let columns = self.sortable(c, steps)?;
                let labels = texts(&c.args[1..]);
                Ok(Value::Vector(super::label_functions::sort_by_label(
                    columns, &labels, steps, descending,
                )))
            }
            Function::LabelReplace => {
                super::label_functions::label_replace(self.vector(arg(0)?, steps)?, &texts(&c.args[1..]))
                    .and_then(merge_same_labels)
                    .map(Value::Vector)
            }
            Function::LabelJoin => {
                let columns =
                    super::label_functions::label_join(self.vector(arg(0)?, steps)?, &texts(&c.args[1..]));
                merge_same_labels(columns).map(Value::Vector)
            }
            Function::HistogramQuantile => {
                let q = scalar(0)?;
                self.notes.borrow_mut().quantiles(&q);
                self.histogram_quantile(arg(1)?, &q, None, steps)
                    .map(Value::Vector)
            }
            Function::HistogramQuantiles => self.histogram_quantiles(c, steps).map(Value::Vector),
            Function::HistogramFraction => {
                let (lower, upper) = (scalar(0)?, scalar(1)?);
                self.histogram_fraction(arg(2)?, &lower, &upper, steps)
                    .map(Value::Vector)
            }
            Function::NativeOnly => self.vector(arg(0)?, steps).map(|_| Value::Vector(Vec::new())),
        }
    }

    /// The argument of a sort, with a warning where sorting has no effect.
    fn sortable(&self, c: &Call, steps: Steps) -> Result<Vec<Column>> {
        if steps.count > 1 {
            self.notes.borrow_mut().sort_is_ineffective();
        }
        self.vector(&c.args[0], steps)
    }

    /// `timestamp()` of a selector gives the samples' times; of anything else the evaluation time.
    fn timestamp(&self, arg: &Expr, steps: Steps) -> Result<Vec<Column>> {
        let mut columns = match arg {
            Expr::Selector(s) => self.instant_selector(s, steps, Wanted::Timestamp, Some("timestamp"))?,
            Expr::StepInvariant(inner) if matches!(inner.bare(), Expr::Selector(_)) => {
                let mut columns = self.timestamp(inner, Steps::at(steps.start_ms))?;
                columns
                    .iter_mut()
                    .for_each(|c| c.values = vec![c.values[0]; steps.count]);
                columns
            }
            other => {
                let mut columns = self.vector(other, steps)?;
                columns
                    .iter_mut()
                    .for_each(|c| c.map_steps(|i, _| steps.time(i) as f64 / 1000.0));
                columns
            }
        };
        columns.iter_mut().for_each(|c| c.drop_name = true);
        Ok(columns)
    }

    fn range_function(&self, f: RangeFunction, c: &Call, steps: Steps) -> Result<Vec<Column>> {
        let range_argument = f.range_argument();
        let mut parameters = Vec::new();
        for (_, arg) in c.args.iter().enumerate().filter(|(i, _)| *i != range_argument) {
            parameters.push(self.scalar(arg, steps)?);
        }
        self.check_parameters(f, &parameters)?;
        let parameters = Parameters {
            first: parameters.first().map(Vec::as_slice),
            second: parameters.get(1).map(Vec::as_slice),
        };
        let keeps_name = matches!(f, RangeFunction::First | RangeFunction::Last);
        let mut columns = Vec::new();
        self.series_windows(
            &c.args[range_argument],
            c.name,
            steps,
            |series, drop_name, windows| {
                charge(self.budget, 1, steps)?;
                let samples = Samples::of(series);
                let mut column =
                    Column::new(series.labels.clone(), evaluate(f, samples, windows, &parameters));
                column.drop_name = drop_name || !keeps_name;
                if !column.is_empty() {
                    if matches!(f, RangeFunction::Rate | RangeFunction::Increase) {
                        self.notes
                            .borrow_mut()
                            .counter_name(column.labels.metric_name().unwrap_or_default());
                    }
                    columns.push(column);
                }
                Ok(())
            },
        )?;
        sort_by_labels(&mut columns, |c| &c.labels);
        Ok(columns)
    }

    fn check_parameters(&self, f: RangeFunction, parameters: &[Vec<f64>]) -> Result<()> {
        match f {
            RangeFunction::Quantile => {
                parameters
                    .iter()
                    .for_each(|q| self.notes.borrow_mut().quantiles(q));
                Ok(())
            }
            RangeFunction::Smoothing => {
                for (values, what) in parameters.iter().zip(["smoothing", "trend"]) {
                    if let Some(bad) = values.iter().find(|v| !(0.0..=1.0).contains(*v)) {
                        let letter = &what[..1];
                        return Err(execution(format!(
                            "invalid {what} factor. Expected: 0 <= {letter}f <= 1 got {bad}"
                        )));
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Hands out each series of a range vector, without staleness markers, and where its windows lie.
    fn series_windows(
        &self,
        arg: &Expr,
        function: &'static str,
        steps: Steps,
        mut each: impl FnMut(&SeriesData, bool, &Windows<'_>) -> Result<()>,
    ) -> Result<()> {
        if steps.count == 0 {
            return Ok(());
        }
        match arg.bare() {
            Expr::Range(RangeSelector { selector, range_ms }) => {
                let end_ms = |time| selector.time.apply(time);
                let windows = Windows {
                    steps,
                    end_ms: &end_ms,
                    range_ms: *range_ms,
                };
                let after_ms = end_ms(steps.start_ms).saturating_sub(*range_ms);
                let purpose = Purpose {
                    function: Some(function),
                    range_ms: *range_ms,
                };
                self.read(
                    selector,
                    after_ms,
                    end_ms(steps.end_ms()),
                    steps,
                    purpose,
                    |mut series| {
                        without_stale(&mut series);
                        each(&series, false, &windows)
                    },
                )
            }
            Expr::Subquery(subquery) => {
                let end_ms = |time| subquery.time.apply(time);
                let windows = Windows {
                    steps,
                    end_ms: &end_ms,
                    range_ms: subquery.range_ms,
                };
                let inner_steps = self.subquery_steps(subquery, steps)?;
                for column in self.vector(&subquery.expr, inner_steps)? {
                    let (labels, drop_name) = (column.labels.clone(), column.drop_name);
                    let series = series_of(labels, &column.values, inner_steps);
                    each(&series, drop_name, &windows)?;
                }
                Ok(())
            }
            other => Err(wrong_kind("a range vector", other)),
        }
    }

    /// The times at which a subquery is evaluated: multiples of its step, for all windows at once.
    fn subquery_steps(&self, s: &Subquery, steps: Steps) -> Result<Steps> {
        let step_ms = s.step_ms.unwrap_or(self.options.subquery_step_ms);
        let after_ms = s.time.apply(steps.start_ms).saturating_sub(s.range_ms);
        let start_ms = after_ms
            .div_euclid(step_ms)
            .saturating_add(1)
            .saturating_mul(step_ms);
        let inner = Steps::range(start_ms, s.time.apply(steps.end_ms()), step_ms);
        // What the subquery holds is charged series by series; this stops absurd numbers of steps at once.
        self.budget.charge_bytes((inner.count as u64).saturating_mul(8))?;
        Ok(inner)
    }

    fn absent_over_time(&self, c: &Call, steps: Steps) -> Result<Vec<Column>> {
        let mut found = vec![false; steps.count];
        let arg = &c.args[0];
        let none = Parameters {
            first: None,
            second: None,
        };
        self.series_windows(arg, c.name, steps, |series, _, windows| {
            let samples = Samples::of(series);
            let present = evaluate(RangeFunction::Present, samples, windows, &none);
            for (found, present) in found.iter_mut().zip(present) {
                *found |= !is_absent(present);
            }
            Ok(())
        })?;
        let values: Vec<f64> = found
            .iter()
            .map(|found| if *found { ABSENT } else { 1.0 })
            .collect();
        let column = Column::new(absent_labels(arg), values);
        Ok(if column.is_empty() {
            Vec::new()
        } else {
            vec![column]
        })
    }

    /// The samples of a range vector, for an instant query that asks for nothing else.
    pub(crate) fn raw(&self, expr: &Expr, steps: Steps) -> Result<Vec<SeriesData>> {
        let mut matrix = Vec::new();
        self.series_windows(expr, "", steps, |series, drop_name, windows| {
            let end_ms = (windows.end_ms)(steps.start_ms);
            let range_ms = widened(windows.range_ms, &series.rolled_up, end_ms);
            let start_ms = end_ms.saturating_sub(range_ms);
            let points = series
                .timestamps_ms
                .iter()
                .copied()
                .zip(series.values.iter().copied());
            let (timestamps_ms, values): (Vec<i64>, Vec<f64>) =
                points.filter(|(t, _)| start_ms < *t && *t <= end_ms).unzip();
            self.budget.charge_bytes(16 * values.len() as u64)?;
            let labels = if drop_name {
                without_reserved(&series.labels)
            } else {
                series.labels.clone()
            };
            if !values.is_empty() {
                matrix.push(SeriesData {
                    labels,
                    timestamps_ms,
                    values,
                    ..SeriesData::default()
                });
            }
            Ok(())
        })?;
        sort_by_labels(&mut matrix, |s| &s.labels);
        Ok(matrix)
    }
}

fn execution(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::Execution, text)
}

fn wrong_kind(wanted: &str, expr: &Expr) -> Error {
    Error::internal(format!(
        "the tree has {} where {wanted} is needed",
        expr.kind().as_str()
    ))
}

impl Evaluator<'_> {
    /// Whether an expression can be the whole of a range query.
    pub(crate) fn check_range_kind(expr: &Expr) -> Result<()> {
        match expr.kind() {
            Kind::Scalar | Kind::Vector => Ok(()),
            kind => Err(Error::bad_data(format!(
                "invalid expression type {:?} for range query, must be Scalar or instant Vector",
                kind.as_str()
            ))),
        }
    }
}
