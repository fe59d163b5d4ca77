//! Evaluates the expression tree, each node for all steps at once.

use super::Options;
use super::ast::{Aggregate, AggregateOp, Binary, Expr, Function, Kind, Node, Place};
use super::explain::Explaining;
use super::native;
use super::notes::{Notes, Operation};
use super::select::Wanted;
use super::share::Shared;
use super::vectors::element_text;
use crate::columns::aggregate::{self, Remark, Selection, Sink};
use crate::columns::operators::{Computation, Computed, Operator, with_scalar};
use crate::columns::{Column, Element, Steps, charge, charge_histograms, matching};
use model::{Budget, Error, ErrorKind, Read, Result, SeriesData, Tenant};
use std::cell::{Cell, RefCell};
use std::sync::Arc;

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
    /// The text.
    pub(crate) query: &'a str,
    pub(crate) notes: RefCell<Notes>,
    pub(crate) shared: Shared<'a>,
    /// Set when somebody wants to know how it went.
    pub(crate) explaining: Option<RefCell<Explaining>>,
}

impl Evaluator<'_> {
    /// Evaluates a scalar, string or instant vector expression.
    pub(crate) fn eval(&self, expr: &Expr, steps: Steps) -> Result<Value> {
        self.budget.check()?;
        self.explained(expr, steps.count, Value::series, || {
            if expr.kind() != Kind::Vector {
                return self.eval_node(expr, steps);
            }
            let columns = self.once(expr, steps, || match self.eval_node(expr, steps)? {
                Value::Vector(columns) => Ok(columns),
                Value::Scalar(_) | Value::Text(_) => Err(wrong_kind("an instant vector", expr)),
            })?;
            Ok(Value::Vector(columns))
        })
    }

    fn eval_node(&self, expr: &Expr, steps: Steps) -> Result<Value> {
        match &expr.node {
            Node::Number(n) => Ok(Value::Scalar(vec![*n; steps.count])),
            Node::Text(text) => Ok(Value::Text(text.clone())),
            Node::Selector(s) => self
                .instant_selector(s, steps, Wanted::Value, None, expr.place)
                .map(Value::Vector),
            Node::StepInvariant(inner) => self.eval_once(inner, steps),
            Node::Negate(inner) => match self.eval(inner, steps)? {
                Value::Scalar(mut values) => {
                    values.iter_mut().for_each(|v| *v = -*v);
                    Ok(Value::Scalar(values))
                }
                Value::Vector(mut columns) => {
                    columns.iter_mut().for_each(negate);
                    Ok(Value::Vector(columns))
                }
                Value::Text(_) => Err(wrong_kind("a number", expr)),
            },
            Node::Binary(b) => self.binary(b, expr.place, steps),
            Node::Aggregate(a) => self.aggregate(a, expr.place, steps).map(Value::Vector),
            Node::Call(c) => self.call(c, expr.place, steps),
            Node::Range(_) | Node::Subquery(_) => Err(wrong_kind("an instant vector", expr)),
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
                columns.iter_mut().for_each(|c| c.spread(steps.count));
                Ok(Value::Vector(columns))
            }
        }
    }

    /// Hands out the series of a vector as they come, in any order, where they need not be held together.
    fn each(&self, expr: &Expr, steps: Steps, sink: Sink<'_>) -> Result<()> {
        let count = Cell::new(0);
        let mut counted = |column: Column| {
            count.set(count.get() + 1);
            sink(column)
        };
        let streamed = match &expr.node {
            _ if self.is_repeated(expr) => None,
            Node::Selector(s) => Some(self.explained(
                expr,
                steps.count,
                |n| *n,
                || {
                    self.each_selected(s, steps, Wanted::Value, None, expr.place, &mut counted)?;
                    Ok(count.get())
                },
            )),
            Node::Call(c) => match c.function {
                Function::Range(f) => Some(self.explained(
                    expr,
                    steps.count,
                    |n| *n,
                    || {
                        self.each_of_range(f, c, steps, &mut counted)?;
                        Ok(count.get())
                    },
                )),
                _ => None,
            },
            _ => None,
        };
        match streamed {
            Some(streamed) => streamed.map(|_| ()),
            None => self.vector(expr, steps)?.into_iter().try_for_each(sink),
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

    fn binary(&self, b: &Binary, place: Place, steps: Steps) -> Result<Value> {
        let return_bool = b.matching.return_bool;
        let failure = RefCell::new(None);
        let histograms = |op: Operator, left: Element<'_>, right: Element<'_>| {
            let (mut notes, mut failure) = (self.notes.borrow_mut(), failure.borrow_mut());
            compute_histograms(op, left, right, place, &mut notes, &mut failure)
        };
        let computation = Computation {
            numbers: Operator::number,
            histograms: &histograms,
        };
        let columns = match (self.eval(&b.left, steps)?, self.eval(&b.right, steps)?) {
            (Value::Scalar(mut left), Value::Scalar(right)) => {
                for (l, r) in left.iter_mut().zip(right) {
                    *l = b.op.number(*l, r);
                }
                return Ok(Value::Scalar(left));
            }
            (Value::Vector(columns), Value::Scalar(right)) => {
                with_scalar(b.op, columns, &right, false, return_bool, computation)
            }
            (Value::Scalar(left), Value::Vector(columns)) => {
                with_scalar(b.op, columns, &left, true, return_bool, computation)
            }
            (Value::Vector(left), Value::Vector(right)) if b.op.is_set() => {
                matching::set_operation(b.op, left, right, &b.matching, steps, self.budget)?
            }
            (Value::Vector(left), Value::Vector(right)) => {
                matching::vector_operation(b.op, &left, &right, &b.matching, steps, computation, self.budget)?
            }
            (Value::Text(_), _) => return Err(wrong_kind("a number or an instant vector", &b.left)),
            (_, Value::Text(_)) => return Err(wrong_kind("a number or an instant vector", &b.right)),
        };
        for column in &columns {
            charge_histograms(self.budget, column)?;
        }
        match failure.take() {
            Some(e) => Err(e),
            None => Ok(Value::Vector(columns)),
        }
    }

    fn aggregate(&self, a: &Aggregate, place: Place, steps: Steps) -> Result<Vec<Column>> {
        let (grouping, budget) = (&a.grouping, self.budget);
        match &a.op {
            AggregateOp::Plain(op) => {
                let mut remarks = |remark: Remark<'_>| {
                    let mut notes = self.notes.borrow_mut();
                    notes.aggregation(a.expr.place, op.as_str(), remark);
                };
                aggregate::aggregate(*op, grouping, steps, budget, &mut remarks, |sink| {
                    self.each(&a.expr, steps, sink)
                })
            }
            AggregateOp::Quantile(parameter) => {
                let q = self.scalar(parameter, steps)?;
                self.notes.borrow_mut().quantiles(parameter.place, &q);
                let columns = self.vector(&a.expr, steps)?;
                let mut remarks = |remark: Remark<'_>| {
                    let mut notes = self.notes.borrow_mut();
                    notes.aggregation(a.expr.place, "quantile", remark);
                };
                aggregate::quantiles(&q, &columns, grouping, steps, budget, &mut remarks)
            }
            AggregateOp::TopK(k) => self.select(Selection::Top, k, a, place, steps),
            AggregateOp::BottomK(k) => self.select(Selection::Bottom, k, a, place, steps),
            AggregateOp::LimitK(k) => self.select(Selection::First, k, a, place, steps),
            AggregateOp::LimitRatio(parameter) => {
                let ratios = self.scalar(parameter, steps)?;
                if ratios.iter().any(|r| r.is_nan()) {
                    return Err(execution("Ratio value is NaN"));
                }
                self.notes.borrow_mut().ratios(parameter.place, &ratios);
                aggregate::limit_ratio(&ratios, self.vector(&a.expr, steps)?, steps, budget)
            }
            AggregateOp::CountValues(label) => {
                if label.is_empty() {
                    return Err(execution("invalid label name \"\""));
                }
                let columns = self.vector(&a.expr, steps)?;
                aggregate::count_values(label, element_text, &columns, grouping, steps, budget)
            }
        }
    }

    fn select(
        &self,
        selection: Selection,
        parameter: &Expr,
        a: &Aggregate,
        place: Place,
        steps: Steps,
    ) -> Result<Vec<Column>> {
        let k = self.scalar(parameter, steps)?;
        let columns = self.vector(&a.expr, steps)?;
        // As in Prometheus, where nothing is asked for nothing is checked.
        if k.iter().all(|k| *k < 1.0) {
            return Ok(Vec::new());
        }
        if k.iter().any(|k| k.is_nan()) {
            return Err(execution("Parameter value is NaN"));
        }
        if let Some(k) = k.iter().find(|k| **k <= i64::MIN as f64) {
            return Err(execution(format!("Scalar value {k} underflows int64")));
        }
        if let Some(k) = k.iter().find(|k| **k >= i64::MAX as f64) {
            return Err(execution(format!("Scalar value {k} overflows int64")));
        }
        let name = match selection {
            Selection::Top => "topk",
            Selection::Bottom => "bottomk",
            Selection::First => "limitk",
        };
        let mut remarks = |remark: Remark<'_>| self.notes.borrow_mut().aggregation(place, name, remark);
        aggregate::select(selection, &k, columns, &a.grouping, self.budget, &mut remarks)
    }

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

fn negate(column: &mut Column) {
    column.map(|v| -v);
    for histogram in column.histograms.iter_mut().flatten() {
        *histogram = Arc::new(native::multiply(histogram, -1.0));
    }
    column.drop_name = true;
}

/// An operator where there is a histogram on a side, and trims of anything.
fn compute_histograms(
    op: Operator,
    left: Element<'_>,
    right: Element<'_>,
    place: Place,
    notes: &mut Notes,
    failure: &mut Option<Error>,
) -> Computed {
    match (left, op, right) {
        (Element::Absent, ..) | (.., Element::Absent) => Computed::Unfit,
        (Element::Float(factor), Operator::Mul, Element::Histogram(h))
        | (Element::Histogram(h), Operator::Mul, Element::Float(factor)) => {
            Computed::Histogram(Arc::new(native::multiply(h, factor)))
        }
        (Element::Histogram(h), Operator::Div, Element::Float(divisor)) => {
            Computed::Histogram(Arc::new(native::divide(h, divisor)))
        }
        (Element::Histogram(h), Operator::TrimUpper, Element::Float(at)) => {
            Computed::Histogram(Arc::new(native::trim_upper(h, at)))
        }
        (Element::Histogram(h), Operator::TrimLower, Element::Float(at)) => {
            Computed::Histogram(Arc::new(native::trim_lower(h, at)))
        }
        (Element::Histogram(l), Operator::Equal, Element::Histogram(r)) => {
            Computed::Compared(native::is_equal(l, r), Some(l.clone()))
        }
        (Element::Histogram(l), Operator::NotEqual, Element::Histogram(r)) => {
            Computed::Compared(!native::is_equal(l, r), Some(l.clone()))
        }
        (Element::Histogram(l), Operator::Add | Operator::Sub, Element::Histogram(r)) => {
            let (operation, outcome) = if op == Operator::Add {
                (Operation::Addition, native::add(l, r))
            } else {
                (Operation::Subtraction, native::subtract(l, r))
            };
            let outcome = match outcome {
                Ok(outcome) => outcome,
                Err(e) => {
                    failure.get_or_insert(e);
                    return Computed::Unfit;
                }
            };
            let remarks = outcome.remarks;
            let Some(result) = outcome.histogram else {
                notes.unfit_buckets(place, op);
                return Computed::Unfit;
            };
            // As in Prometheus, there is no result then.
            if remarks.reset_collision {
                notes.reset_collision(place, operation);
                return Computed::Unfit;
            }
            if remarks.reconciled_in_addition || remarks.reconciled_in_subtraction {
                notes.bounds_reconciled(place, operation);
            }
            Computed::Histogram(Arc::new(result))
        }
        _ => {
            let kind = |element: Element<'_>| match element {
                Element::Histogram(_) => "histogram",
                _ => "float",
            };
            notes.unfit_operands(place, kind(left), op, kind(right));
            Computed::Unfit
        }
    }
}

pub(crate) fn execution(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::Execution, text)
}

pub(crate) fn wrong_kind(wanted: &str, expr: &Expr) -> Error {
    Error::internal(format!(
        "the tree has {} where {wanted} is needed",
        expr.kind().as_str()
    ))
}
