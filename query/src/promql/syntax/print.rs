//! Expressions as text on one line.

use super::{
    Aggregate, At, Binary, Cardinality, DurationExpr, DurationKind, Expr, MatrixSelector, Node, Number,
    Period, Subquery, UnaryOp, VectorSelector,
};
use crate::go;
use model::labels::METRIC_NAME;
use model::{MatchOp, Matcher};
use std::fmt::{Display, Formatter, Result};

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match &self.node {
            Node::Number(n) => n.fmt(f),
            Node::String(text) => f.write_str(&go::quote(text)),
            Node::Paren(inner) => write!(f, "({inner})"),
            Node::Unary(op, inner) => write!(f, "{}{inner}", op.as_str()),
            Node::Binary(b) => write!(f, "{} {} {}", b.left, Operator(b), b.right),
            Node::Aggregate(a) => {
                write!(f, "{}(", Aggregation(a))?;
                if let Some(param) = &a.param {
                    write!(f, "{param}, ")?;
                }
                write!(f, "{})", a.expr)
            }
            Node::Call(c) => {
                write!(f, "{}(", c.function.name)?;
                for (i, arg) in c.args.iter().enumerate() {
                    write!(f, "{}{arg}", if i > 0 { ", " } else { "" })?;
                }
                f.write_str(")")
            }
            Node::Vector(s) => s.fmt(f),
            Node::Matrix(m) => m.fmt(f),
            Node::Subquery(s) => write!(f, "{}{}", s.expr, Window(s)),
        }
    }
}

impl Display for Number {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        if !self.is_duration {
            return f.write_str(&go::format_number(self.value));
        }
        let sign = if self.value < 0.0 { "-" } else { "" };
        let nanos = (self.value.abs() * 1e9) as i64;
        write!(f, "{sign}{}", go::format_duration(nanos / 1_000_000))
    }
}

/// An aggregation before its arguments.
pub(super) struct Aggregation<'a>(pub(super) &'a Aggregate);

impl Display for Aggregation<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let a = self.0;
        f.write_str(a.op.as_str())?;
        match (a.without, a.grouping.is_empty()) {
            (true, _) => write!(f, " without ({}) ", Names(&a.grouping)),
            (false, false) => write!(f, " by ({}) ", Names(&a.grouping)),
            (false, true) => Ok(()),
        }
    }
}

/// Label names, those in quotes that need them.
struct Names<'a>(&'a [String]);

impl Display for Names<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        for (i, name) in self.0.iter().enumerate() {
            f.write_str(if i > 0 { ", " } else { "" })?;
            if go::is_plain_name(name) {
                f.write_str(name)?;
            } else {
                f.write_str(&go::quote(name))?;
            }
        }
        Ok(())
    }
}

/// An operator with its modifiers.
pub(super) struct Operator<'a>(pub(super) &'a Binary);

impl Display for Operator<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let b = self.0;
        f.write_str(b.op.as_str())?;
        if b.return_bool {
            f.write_str(" bool")?;
        }
        let Some(m) = &b.matching else {
            return Ok(());
        };
        let group = match m.cardinality {
            Cardinality::ManyToOne => Some("group_left"),
            Cardinality::OneToMany => Some("group_right"),
            Cardinality::OneToOne | Cardinality::ManyToMany => None,
        };
        if m.on || !m.labels.is_empty() || group.is_some() {
            let how = if m.on { "on" } else { "ignoring" };
            write!(f, " {how} ({})", Names(&m.labels))?;
        }
        if let Some(group) = group {
            write!(f, " {group} ({})", Names(&m.include))?;
        }
        match (m.fill_left, m.fill_right) {
            (Some(l), Some(r)) if l == r => write!(f, " fill ({})", go::format_short_number(l)),
            (left, right) => [(" fill_left", left), (" fill_right", right)]
                .iter()
                .try_for_each(|(name, value)| match value {
                    Some(value) => write!(f, "{name} ({})", go::format_short_number(*value)),
                    None => Ok(()),
                }),
        }
    }
}

impl Display for Period {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Fixed(nanos) => {
                let sign = if *nanos < 0 { "-" } else { "" };
                write!(f, "{sign}{}", go::format_duration(nanos / 1_000_000))
            }
            Self::Expr(expr) => expr.fmt(f),
        }
    }
}

impl Display for DurationExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let (open, close) = if self.wrapped { ("(", ")") } else { ("", "") };
        f.write_str(open)?;
        match &self.kind {
            DurationKind::Number(n) => n.fmt(f),
            DurationKind::Step => f.write_str("step()"),
            DurationKind::Range => f.write_str("range()"),
            DurationKind::Unary(UnaryOp::Plus, inner) => inner.fmt(f),
            DurationKind::Unary(UnaryOp::Minus, inner) => write!(f, "-{inner}"),
            DurationKind::Binary(op, l, r) if op.is_call() => write!(f, "{}({l}, {r})", op.as_str()),
            DurationKind::Binary(op, l, r) => write!(f, "{l} {} {r}", op.as_str()),
        }?;
        f.write_str(close)
    }
}

impl Display for At {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Time(ms) => write!(f, "{:.3}", *ms as f64 / 1000.0),
            Self::Start => f.write_str("start()"),
            Self::End => f.write_str("end()"),
        }
    }
}

impl VectorSelector {
    fn write_matchers(&self, f: &mut Formatter<'_>) -> Result {
        let is_name = |m: &&Matcher| {
            m.name() == METRIC_NAME
                && m.op() == MatchOp::Equal
                && m.value() == self.name
                && !m.value().is_empty()
        };
        let mut matchers: Vec<String> = self
            .matchers
            .iter()
            .filter(|m| !is_name(m))
            .map(matcher_text)
            .collect();
        matchers.sort_unstable();
        f.write_str(&self.name)?;
        if matchers.is_empty() {
            return Ok(());
        }
        write!(f, "{{{}}}", matchers.join(","))
    }
    fn write_extension(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(match (self.anchored, self.smoothed) {
            (true, _) => " anchored",
            (false, true) => " smoothed",
            (false, false) => "",
        })
    }
}

pub(super) fn matcher_text(m: &Matcher) -> String {
    let value = go::quote(m.value());
    if go::is_plain_name(m.name()) {
        format!("{}{}{value}", m.name(), m.op().as_str())
    } else {
        format!("{}{}{value}", go::quote(m.name()), m.op().as_str())
    }
}

fn write_at(f: &mut Formatter<'_>, at: Option<At>) -> Result {
    match at {
        Some(at) => write!(f, " @ {at}"),
        None => Ok(()),
    }
}

fn write_offset(f: &mut Formatter<'_>, offset: &Period) -> Result {
    if *offset == Period::ZERO {
        return Ok(());
    }
    write!(f, " offset {offset}")
}

impl Display for VectorSelector {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        self.write_matchers(f)?;
        write_at(f, self.at)?;
        self.write_extension(f)?;
        write_offset(f, &self.offset)
    }
}

impl Display for MatrixSelector {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        self.selector.write_matchers(f)?;
        write!(f, "[{}]", self.range)?;
        self.selector.write_extension(f)?;
        write_at(f, self.selector.at)?;
        write_offset(f, &self.selector.offset)
    }
}

/// A subquery behind its expression.
pub(super) struct Window<'a>(pub(super) &'a Subquery);

impl Display for Window<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let s = self.0;
        match &s.step {
            Some(step) => write!(f, "[{}:{step}]", s.range)?,
            None => write!(f, "[{}:]", s.range)?,
        }
        write_at(f, s.at)?;
        write_offset(f, &s.offset)
    }
}
