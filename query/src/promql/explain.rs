//! How long each part of a query took, and what came of it.

use super::ast::{Expr, Node};
use super::eval::{Evaluator, Value};
use model::{Budget, Result};

/// One part of a query that was evaluated, with the parts below it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Explained {
    /// Its text in the query.
    pub text: String,
    /// What it is: `selector`, `range selector`, `sum`, `rate`, `+`, …
    pub kind: String,
    /// Nanoseconds, with the parts below.
    pub elapsed_ns: u64,
    /// Series of its value; of a range selector those that were read.
    pub series: u64,
    /// Samples that were read from the store, with the parts below.
    pub samples: u64,
    /// Evaluation times.
    pub steps: u64,
    /// Whether the value was known from an equal part.
    pub is_repeated: bool,
    /// The parts below, in the order in which they were evaluated.
    pub children: Vec<Self>,
}

/// The parts under way, the innermost last.
#[derive(Debug, Default)]
pub(crate) struct Explaining {
    open: Vec<Explained>,
    /// The whole, when it is done.
    pub(crate) done: Option<Explained>,
}

impl Explaining {
    fn enter(&mut self, expr: &Expr, query: &str, steps: usize, budget: &Budget) {
        self.open.push(Explained {
            text: expr.text(query).to_owned(),
            kind: kind(expr),
            steps: steps as u64,
            // What they are at the start, until they are known.
            elapsed_ns: budget.elapsed_ns(),
            samples: budget.samples_used(),
            ..Explained::default()
        });
    }
    fn leave(&mut self, series: usize, budget: &Budget) {
        let Some(mut part) = self.open.pop() else { return };
        part.elapsed_ns = budget.elapsed_ns().saturating_sub(part.elapsed_ns);
        part.samples = budget.samples_used().saturating_sub(part.samples);
        part.series = series as u64;
        match self.open.last_mut() {
            Some(parent) => parent.children.push(part),
            None => self.done = Some(part),
        }
    }
    pub(crate) fn is_repeated(&mut self) {
        if let Some(part) = self.open.last_mut() {
            part.is_repeated = true;
        }
    }
}

impl Evaluator<'_> {
    /// Evaluates a part, and notes how that went when somebody wants to know.
    pub(crate) fn explained<T>(
        &self,
        expr: &Expr,
        steps: usize,
        series: impl Fn(&T) -> usize,
        evaluate: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let Some(explaining) = &self.explaining else {
            return evaluate();
        };
        explaining
            .borrow_mut()
            .enter(expr, self.query, steps, self.budget);
        let value = evaluate();
        let series = value.as_ref().map_or(0, series);
        explaining.borrow_mut().leave(series, self.budget);
        value
    }
}

impl Value {
    /// How many series it has.
    pub(crate) fn series(&self) -> usize {
        match self {
            Self::Vector(columns) => columns.len(),
            Self::Scalar(_) | Self::Text(_) => 1,
        }
    }
}

fn kind(expr: &Expr) -> String {
    match &expr.node {
        Node::Number(_) => "number".to_owned(),
        Node::Text(_) => "string".to_owned(),
        Node::Selector(_) => "selector".to_owned(),
        Node::Range(_) => "range selector".to_owned(),
        Node::Subquery(_) => "subquery".to_owned(),
        Node::StepInvariant(_) => "the same at every step".to_owned(),
        Node::Negate(_) => "-".to_owned(),
        Node::Binary(b) => b.op.as_str().to_owned(),
        Node::Aggregate(a) => a.op.name().to_owned(),
        Node::Call(c) => c.name.to_owned(),
    }
}
