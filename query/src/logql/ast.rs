//! The expression tree of LogQL.

use crate::columns::aggregate::{Aggregation, Grouping};
use crate::columns::matching::Matching;
use crate::columns::operators::Operator;
use model::predicate::LineFilter;
use model::{Matcher, Predicate};

/// A whole query.
#[derive(Debug, Clone)]
pub(super) enum Query {
    Log(LogSelector),
    Metric(Metric),
}

/// Streams and what is done with their lines.
#[derive(Debug, Clone)]
pub(super) struct LogSelector {
    pub(super) matchers: Vec<Matcher>,
    pub(super) stages: Vec<Stage>,
}

impl LogSelector {
    /// What a store can decide: labels and lines. No stage changes the line, so filters behind parsers count too.
    pub(super) fn predicate(&self) -> Predicate {
        let labels = self.matchers.iter().cloned().map(Predicate::Label);
        let lines = self.stages.iter().filter_map(|stage| match stage {
            Stage::Line(filter) => Some(filter.predicate()),
            Stage::Json(_) | Stage::Logfmt(_) | Stage::Label(_) => None,
        });
        Predicate::And(labels.chain(lines).collect())
    }
    /// The stages that a store does not do.
    pub(super) fn engine_stages(&self) -> impl Iterator<Item = &Stage> {
        self.stages
            .iter()
            .filter(|stage| !matches!(stage, Stage::Line(_)))
    }
}

/// One step of a pipeline.
#[derive(Debug, Clone)]
pub(super) enum Stage {
    Line(LineMatch),
    /// `json`: all fields, or those that are listed.
    Json(Vec<Extraction>),
    Logfmt(Logfmt),
    Label(LabelFilter),
}

/// `|= "a" or "b"` and its kin. Negated: none of them.
#[derive(Debug, Clone)]
pub(super) struct LineMatch {
    pub(super) negated: bool,
    pub(super) alternatives: Vec<LineFilter>,
}

impl LineMatch {
    fn predicate(&self) -> Predicate {
        let mut parts: Vec<Predicate> = self.alternatives.iter().cloned().map(Predicate::Line).collect();
        let any = if parts.len() == 1 {
            parts.remove(0)
        } else {
            Predicate::Or(parts)
        };
        if self.negated {
            Predicate::Not(Box::new(any))
        } else {
            any
        }
    }
}

/// A label to write, and where its value is.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Extraction {
    pub(super) label: String,
    pub(super) path: Vec<PathPart>,
}

/// One step into a JSON document.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum PathPart {
    Key(String),
    Index(usize),
}

#[derive(Debug, Clone)]
pub(super) struct Logfmt {
    /// A line that is not logfmt throughout is an error.
    pub(super) strict: bool,
    /// Keys without a value become labels with an empty one.
    pub(super) keep_empty: bool,
    /// The fields to take; all when empty.
    pub(super) fields: Vec<Extraction>,
}

/// A condition on labels.
#[derive(Debug, Clone)]
pub(super) enum LabelFilter {
    And(Box<LabelFilter>, Box<LabelFilter>),
    Or(Box<LabelFilter>, Box<LabelFilter>),
    Text(Matcher),
    Number {
        label: String,
        op: Operator,
        value: f64,
        unit: Unit,
    },
}

/// How a label's text is read before it is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Number,
    /// In nanoseconds.
    Duration,
    Bytes,
}

/// An expression whose value is numbers.
#[derive(Debug, Clone)]
pub(super) enum Metric {
    Number(f64),
    /// `vector(1)`
    Vector(f64),
    Range(RangeAggregation),
    Aggregate {
        op: VectorOp,
        grouping: Grouping,
        expr: Box<Metric>,
    },
    Binary(Box<Binary>),
    /// Destination, replacement, source, expression.
    LabelReplace {
        expr: Box<Metric>,
        args: [String; 4],
    },
}

#[derive(Debug, Clone)]
pub(super) struct RangeAggregation {
    pub(super) op: RangeOp,
    pub(super) selector: LogSelector,
    pub(super) range_ns: i64,
    pub(super) offset_ns: i64,
}

/// What is done with the lines of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RangeOp {
    Rate,
    CountOverTime,
    BytesRate,
    BytesOverTime,
    AbsentOverTime,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum VectorOp {
    Plain(Aggregation),
    TopK(f64),
    BottomK(f64),
    Sort { descending: bool },
}

#[derive(Debug, Clone)]
pub(super) struct Binary {
    pub(super) op: Operator,
    pub(super) left: Metric,
    pub(super) right: Metric,
    pub(super) matching: Matching,
}
