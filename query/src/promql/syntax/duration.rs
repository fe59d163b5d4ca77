//! Durations in expressions: fixed ones, and sums that the step or the range of the query goes into.

use super::{MAX_DEPTH, Number, ParseError, Span, UnaryOp};
use model::{Error, Result};

/// The length of a range, of a step or of an offset.
#[derive(Debug, Clone, PartialEq)]
pub enum Period {
    /// Nanoseconds.
    Fixed(i64),
    /// To be evaluated.
    Expr(Box<DurationExpr>),
}

/// Part of a duration that is evaluated.
#[derive(Debug, Clone, PartialEq)]
pub struct DurationExpr {
    /// What it is.
    pub kind: DurationKind,
    /// Whether it stands in parentheses.
    pub wrapped: bool,
    /// Where it stands in the text.
    pub span: Span,
    pub(super) depth: u16,
}

/// The kinds of parts of durations.
#[derive(Debug, Clone, PartialEq)]
pub enum DurationKind {
    /// Seconds, or a duration.
    Number(Number),
    /// `step()`, the step of the query.
    Step,
    /// `range()`, the length of the query.
    Range,
    /// A sign. A plus also stands for the parentheses around a number.
    Unary(UnaryOp, Box<DurationExpr>),
    /// Something of two.
    Binary(DurationOp, Box<DurationExpr>, Box<DurationExpr>),
}

/// What can be made of two durations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DurationOp {
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
    /// `%`
    Mod,
    /// `^`
    Pow,
    /// `min_of( … , … )`
    Min,
    /// `max_of( … , … )`
    Max,
}

impl DurationOp {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Mod => "%",
            Self::Pow => "^",
            Self::Min => "min_of",
            Self::Max => "max_of",
        }
    }
    /// Whether it is written before its operands, as a function.
    pub fn is_call(self) -> bool {
        matches!(self, Self::Min | Self::Max)
    }
}

/// More seconds than any duration has: 2^63 nanoseconds.
const MAX_SECONDS: f64 = 9_223_372_036.854_775;

/// Whether no duration has so many seconds.
pub(super) fn is_out_of_range(seconds: f64) -> bool {
    seconds.is_nan() || seconds.abs() > MAX_SECONDS
}

impl Period {
    /// No time at all: what an offset is that is not there.
    pub const ZERO: Self = Self::Fixed(0);

    /// A fixed one where it is a number.
    pub(super) fn from_expr(expr: DurationExpr) -> Self {
        match expr.kind {
            DurationKind::Number(n) => Self::Fixed((n.value * 1e9).round() as i64),
            _ => Self::Expr(Box::new(expr)),
        }
    }

    /// The milliseconds of a range or of a step, in a query with a step and a range, both in milliseconds.
    ///
    /// # Errors
    /// `BadData` when the result is not more than 0, no number, or more than 292 years, and for a division by zero.
    pub fn evaluate(&self, step_ms: i64, range_ms: i64) -> Result<i64> {
        self.evaluate_signed(step_ms, range_ms, false)
    }
    /// The milliseconds of an offset: as [`Period::evaluate`], but it may be negative or zero.
    ///
    /// # Errors
    /// As [`Period::evaluate`].
    pub fn evaluate_offset(&self, step_ms: i64, range_ms: i64) -> Result<i64> {
        self.evaluate_signed(step_ms, range_ms, true)
    }

    fn evaluate_signed(&self, step_ms: i64, range_ms: i64, may_be_negative: bool) -> Result<i64> {
        let expr = match self {
            Self::Fixed(nanos) => return Ok(nanos / 1_000_000),
            Self::Expr(expr) => expr,
        };
        let seconds = expr.seconds(step_ms as f64 / 1e3, range_ms as f64 / 1e3)?;
        if !seconds.is_finite() {
            return Err(expr.error("duration is NaN or infinite"));
        }
        if seconds <= 0.0 && !may_be_negative {
            return Err(expr.error("duration must be greater than 0"));
        }
        if is_out_of_range(seconds) {
            return Err(expr.error("duration is out of range"));
        }
        Ok((seconds * 1000.0) as i64)
    }
}

impl DurationExpr {
    /// # Errors
    /// When it is nested too deep.
    pub(super) fn new(kind: DurationKind, span: Span) -> Result<Self, ParseError> {
        let below = match &kind {
            DurationKind::Number(_) | DurationKind::Step | DurationKind::Range => 0,
            DurationKind::Unary(_, e) => e.depth,
            DurationKind::Binary(_, l, r) => l.depth.max(r.depth),
        };
        if below >= MAX_DEPTH {
            return Err(too_deep(span.start));
        }
        Ok(Self {
            kind,
            wrapped: false,
            span,
            depth: below + 1,
        })
    }
    /// The number, when it is one.
    pub(super) fn number(&self) -> Option<Number> {
        match self.kind {
            DurationKind::Number(n) => Some(n),
            _ => None,
        }
    }

    fn error(&self, what: &str) -> Error {
        Error::bad_data(format!("{}:{}: {what}", self.span.start, self.span.end))
    }

    fn seconds(&self, step: f64, range: f64) -> Result<f64> {
        let (op, left, right) = match &self.kind {
            DurationKind::Number(n) => return Ok(n.value),
            DurationKind::Step => return Ok(step),
            DurationKind::Range => return Ok(range),
            DurationKind::Unary(UnaryOp::Plus, e) => return e.seconds(step, range),
            DurationKind::Unary(UnaryOp::Minus, e) => return Ok(-e.seconds(step, range)?),
            DurationKind::Binary(op, left, right) => (op, left, right),
        };
        let (left, right) = (left.seconds(step, range)?, right.seconds(step, range)?);
        Ok(match op {
            DurationOp::Add => left + right,
            DurationOp::Sub => left - right,
            DurationOp::Mul => left * right,
            DurationOp::Div if right == 0.0 => return Err(self.error("division by zero")),
            DurationOp::Div => left / right,
            DurationOp::Mod if right == 0.0 => return Err(self.error("modulo by zero")),
            DurationOp::Mod => left % right,
            DurationOp::Pow => left.powf(right),
            // What is no number stays: then the whole is none either, and that is an error.
            DurationOp::Min | DurationOp::Max if left.is_nan() || right.is_nan() => f64::NAN,
            DurationOp::Min => left.min(right),
            DurationOp::Max => left.max(right),
        })
    }
}

pub(super) fn too_deep(offset: usize) -> ParseError {
    ParseError::new(
        offset,
        format!("the expression is nested more than {MAX_DEPTH} deep"),
    )
}
