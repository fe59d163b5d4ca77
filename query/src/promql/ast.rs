//! The expression tree that the engine evaluates: typed, with times resolved and parentheses gone.

use crate::columns::aggregate::{Aggregation, Grouping};
use crate::columns::matching::Matching;
use crate::columns::operators::Operator;
use model::Matcher;
use model::metric::Histogram;

/// An expression, and where it stands in the query.
#[derive(Debug, Clone)]
pub(crate) struct Expr {
    pub(crate) node: Node,
    /// Where the text of it begins, in bytes.
    pub(crate) place: Place,
    /// The byte after its last.
    pub(crate) end: Place,
}

/// A place in the text of a query, in bytes from its start.
pub(crate) type Place = usize;

/// What an expression is.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    Number(f64),
    Text(String),
    /// An instant vector selector.
    Selector(Selector),
    /// A range vector selector: an argument of a function, or the whole of an instant query.
    Range(RangeSelector),
    /// A subquery; stands where a range vector selector may stand.
    Subquery(Box<Subquery>),
    /// Has the same value at every step, so it is evaluated at one.
    StepInvariant(Box<Expr>),
    Negate(Box<Expr>),
    Binary(Box<Binary>),
    Aggregate(Box<Aggregate>),
    Call(Call),
}

/// What an expression evaluates to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Scalar,
    Text,
    Vector,
    Matrix,
}

impl Kind {
    /// As Prometheus says it in errors.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Text => "string",
            Self::Vector => "instant vector",
            Self::Matrix => "range vector",
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Selector {
    pub(crate) matchers: Vec<Matcher>,
    pub(crate) time: TimeShift,
    pub(crate) extension: Option<Extension>,
    /// Whether hints are found out for histograms of which nobody says whether they count on.
    pub(crate) finds_resets: bool,
}

/// How a selector looks beyond its range for the values at its ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extension {
    /// Takes the last sample at or before the start for the value there.
    Anchored,
    /// Interpolates between the samples around each end.
    Smoothed,
}

/// Moves the time at which something is looked at: `@` fixes it, `offset` shifts it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct TimeShift {
    pub(crate) at_ms: Option<i64>,
    pub(crate) offset_ms: i64,
}

impl TimeShift {
    /// The time to look at when the evaluation is at a time.
    pub(crate) fn apply(&self, time_ms: i64) -> i64 {
        self.at_ms.unwrap_or(time_ms).saturating_sub(self.offset_ms)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct RangeSelector {
    pub(crate) selector: Selector,
    pub(crate) range_ms: i64,
}

#[derive(Debug, Clone)]
pub(crate) struct Subquery {
    pub(crate) expr: Expr,
    pub(crate) range_ms: i64,
    /// `None`: the engine's default.
    pub(crate) step_ms: Option<i64>,
    pub(crate) time: TimeShift,
}

#[derive(Debug, Clone)]
pub(crate) struct Binary {
    pub(crate) op: Operator,
    pub(crate) left: Expr,
    pub(crate) right: Expr,
    pub(crate) matching: Matching,
}

#[derive(Debug, Clone)]
pub(crate) struct Aggregate {
    pub(crate) op: AggregateOp,
    pub(crate) expr: Expr,
    pub(crate) grouping: Grouping,
}

#[derive(Debug, Clone)]
pub(crate) enum AggregateOp {
    Plain(Aggregation),
    Quantile(Expr),
    TopK(Expr),
    BottomK(Expr),
    LimitK(Expr),
    LimitRatio(Expr),
    CountValues(String),
}

impl AggregateOp {
    /// As it is written.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Plain(op) => op.as_str(),
            Self::Quantile(_) => "quantile",
            Self::TopK(_) => "topk",
            Self::BottomK(_) => "bottomk",
            Self::LimitK(_) => "limitk",
            Self::LimitRatio(_) => "limit_ratio",
            Self::CountValues(_) => "count_values",
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) name: &'static str,
    pub(crate) function: Function,
    pub(crate) args: Vec<Expr>,
}

/// Functions, by the shape of what they do.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Function {
    /// One range vector to one value per window.
    Range(RangeFunction),
    AbsentOverTime,
    /// Each value by itself; the name is dropped.
    Map(fn(f64) -> f64),
    /// As [`Function::Map`], on the evaluation time when the argument is missing.
    Date(fn(f64) -> f64),
    Round,
    Clamp,
    ClampMin,
    ClampMax,
    Absent,
    Scalar,
    Vector,
    Time,
    Timestamp,
    StartTimestamp,
    Sort {
        descending: bool,
    },
    SortByLabel {
        descending: bool,
    },
    LabelReplace,
    LabelJoin,
    HistogramQuantile,
    HistogramQuantiles,
    HistogramFraction,
    /// One number of each native histogram; float samples give nothing.
    OfHistogram(fn(&Histogram) -> f64),
    Info,
    MinOf,
    MaxOf,
}

/// Functions over the samples of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RangeFunction {
    Rate,
    Increase,
    Delta,
    Irate,
    Idelta,
    Deriv,
    PredictLinear,
    Changes,
    Resets,
    Avg,
    Count,
    First,
    Last,
    Mad,
    Max,
    Min,
    Present,
    Quantile,
    Smoothing,
    Stddev,
    Stdvar,
    Sum,
    TimestampOfFirst,
    TimestampOfLast,
    TimestampOfMax,
    TimestampOfMin,
}

impl Expr {
    /// Its part of the query's text.
    pub(crate) fn text<'a>(&self, query: &'a str) -> &'a str {
        query.get(self.place..self.end).unwrap_or_default()
    }
    /// The expressions directly below.
    pub(crate) fn children(&self) -> Vec<&Self> {
        match &self.node {
            Node::Number(_) | Node::Text(_) | Node::Selector(_) | Node::Range(_) => Vec::new(),
            Node::Subquery(s) => vec![&s.expr],
            Node::StepInvariant(e) | Node::Negate(e) => vec![e],
            Node::Binary(b) => vec![&b.left, &b.right],
            Node::Aggregate(a) => match &a.op {
                AggregateOp::Quantile(e)
                | AggregateOp::TopK(e)
                | AggregateOp::BottomK(e)
                | AggregateOp::LimitK(e)
                | AggregateOp::LimitRatio(e) => vec![e, &a.expr],
                AggregateOp::Plain(_) | AggregateOp::CountValues(_) => vec![&a.expr],
            },
            Node::Call(c) => c.args.iter().collect(),
        }
    }
    /// What it evaluates to.
    pub(crate) fn kind(&self) -> Kind {
        match &self.node {
            Node::Number(_) => Kind::Scalar,
            Node::Text(_) => Kind::Text,
            Node::Selector(_) | Node::Aggregate(_) => Kind::Vector,
            Node::Range(_) | Node::Subquery(_) => Kind::Matrix,
            Node::StepInvariant(e) | Node::Negate(e) => e.kind(),
            Node::Binary(b) => {
                let scalars = b.left.kind() == Kind::Scalar && b.right.kind() == Kind::Scalar;
                if scalars { Kind::Scalar } else { Kind::Vector }
            }
            Node::Call(c) => match c.function {
                Function::Scalar | Function::Time | Function::MinOf | Function::MaxOf => Kind::Scalar,
                _ => Kind::Vector,
            },
        }
    }
    /// Without the marks that it is step-invariant.
    pub(crate) fn bare(&self) -> &Self {
        match &self.node {
            Node::StepInvariant(e) => e.bare(),
            _ => self,
        }
    }
    /// Whether it is the same at every step of a query.
    pub(crate) fn is_invariant(&self) -> bool {
        match &self.node {
            Node::Number(_) | Node::Text(_) | Node::StepInvariant(_) => true,
            Node::Selector(s) => s.time.at_ms.is_some(),
            Node::Range(r) => r.selector.time.at_ms.is_some(),
            Node::Subquery(s) => s.time.at_ms.is_some(),
            Node::Negate(e) => e.is_invariant(),
            Node::Binary(b) => b.left.is_invariant() && b.right.is_invariant(),
            Node::Aggregate(a) => {
                let parameter = match &a.op {
                    AggregateOp::Quantile(e)
                    | AggregateOp::TopK(e)
                    | AggregateOp::BottomK(e)
                    | AggregateOp::LimitK(e)
                    | AggregateOp::LimitRatio(e) => e.is_invariant(),
                    AggregateOp::Plain(_) | AggregateOp::CountValues(_) => true,
                };
                parameter && a.expr.is_invariant()
            }
            Node::Call(c) => !c.looks_at_time() && c.args.iter().all(Self::is_invariant),
        }
    }
}

impl Call {
    /// Whether the value depends on the evaluation time besides its arguments.
    fn looks_at_time(&self) -> bool {
        match self.function {
            Function::Time | Function::Timestamp | Function::StartTimestamp | Function::Info => true,
            Function::Range(RangeFunction::PredictLinear) => true,
            Function::Date(_) => self.args.is_empty(),
            _ => false,
        }
    }
}
