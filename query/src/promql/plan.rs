//! From the syntax tree to the tree that is evaluated: times resolved, constants folded, parentheses gone, and what is
//! the same at every step marked.

use super::ast::{
    Aggregate, AggregateOp, Binary, Call, Expr, Extension, Function, Kind, Node, RangeFunction,
    RangeSelector, Selector, Subquery, TimeShift,
};
use super::functions;
use super::syntax::{self, At, Period};
use crate::columns::aggregate::{Aggregation, Grouping};
use crate::columns::matching::{Cardinality, Matching};
use crate::columns::operators::Operator;
use model::{Error, Result};

/// The times of a query: what `start()`, `end()`, `step()` and `range()` mean.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// Milliseconds since the epoch.
    pub(crate) start_ms: i64,
    /// Milliseconds since the epoch.
    pub(crate) end_ms: i64,
    /// 0 for an instant query.
    pub(crate) step_ms: i64,
}

impl Times {
    /// Those of an instant query.
    pub(crate) fn at(time_ms: i64) -> Self {
        Self {
            start_ms: time_ms,
            end_ms: time_ms,
            step_ms: 0,
        }
    }
    fn range_ms(&self) -> i64 {
        self.end_ms.saturating_sub(self.start_ms)
    }
}

/// Plans the evaluation of a text.
///
/// # Errors
/// `BadData` when it does not parse, or makes no sense at these times.
pub(crate) fn plan(text: &str, times: Times) -> Result<Expr> {
    let mut expr = Planner { times }.expr(&syntax::parse(text)?)?;
    mark_finding(&mut expr, Some(false));
    Ok(mark_invariant(expr))
}

struct Planner {
    times: Times,
}

impl Planner {
    fn expr(&self, expr: &syntax::Expr) -> Result<Expr> {
        let node = match expr.node() {
            syntax::Node::Number(n) => Node::Number(n.value),
            syntax::Node::String(text) => Node::Text(text.clone()),
            syntax::Node::Paren(inner) => self.expr(inner)?.node,
            syntax::Node::Unary(syntax::UnaryOp::Plus, inner) => self.expr(inner)?.node,
            syntax::Node::Unary(syntax::UnaryOp::Minus, inner) => Node::Negate(Box::new(self.expr(inner)?)),
            syntax::Node::Binary(b) => Node::Binary(Box::new(self.binary(b)?)),
            syntax::Node::Aggregate(a) => Node::Aggregate(Box::new(self.aggregate(a)?)),
            syntax::Node::Call(c) => self.call(c)?,
            syntax::Node::Vector(s) => Node::Selector(self.selector(s)?),
            syntax::Node::Matrix(m) => Node::Range(RangeSelector {
                selector: self.selector(&m.selector)?,
                range_ms: self.period(&m.range)?,
            }),
            syntax::Node::Subquery(s) => Node::Subquery(Box::new(Subquery {
                expr: self.expr(&s.expr)?,
                range_ms: self.period(&s.range)?,
                step_ms: s.step.as_ref().map(|step| self.period(step)).transpose()?,
                time: self.time_shift(s.at, &s.offset)?,
            })),
        };
        Ok(Expr {
            node,
            place: expr.span().start,
            end: expr.span().end,
        })
    }

    fn period(&self, period: &Period) -> Result<i64> {
        period.evaluate(self.times.step_ms, self.times.range_ms())
    }

    fn selector(&self, s: &syntax::VectorSelector) -> Result<Selector> {
        let extension = match (s.anchored, s.smoothed) {
            (true, _) => Some(Extension::Anchored),
            (_, true) => Some(Extension::Smoothed),
            _ => None,
        };
        Ok(Selector {
            matchers: s.matchers.clone(),
            time: self.time_shift(s.at, &s.offset)?,
            extension,
            finds_resets: false,
        })
    }

    fn time_shift(&self, at: Option<At>, offset: &Period) -> Result<TimeShift> {
        let at_ms = at.map(|at| match at {
            At::Time(ms) => ms,
            At::Start => self.times.start_ms,
            At::End => self.times.end_ms,
        });
        Ok(TimeShift {
            at_ms,
            offset_ms: offset.evaluate_offset(self.times.step_ms, self.times.range_ms())?,
        })
    }

    fn binary(&self, b: &syntax::Binary) -> Result<Binary> {
        let matching = b.matching.as_ref().map(matching).unwrap_or_default();
        Ok(Binary {
            op: operator(b.op),
            left: self.expr(&b.left)?,
            right: self.expr(&b.right)?,
            matching: Matching {
                return_bool: b.return_bool,
                ..matching
            },
        })
    }

    fn aggregate(&self, a: &syntax::Aggregate) -> Result<Aggregate> {
        use syntax::AggregateOp as Op;
        let parameter = || match &a.param {
            Some(parameter) => self.expr(parameter),
            None => Err(Error::internal("an aggregation lost its parameter")),
        };
        let op = match a.op {
            Op::Sum => AggregateOp::Plain(Aggregation::Sum),
            Op::Avg => AggregateOp::Plain(Aggregation::Avg),
            Op::Min => AggregateOp::Plain(Aggregation::Min),
            Op::Max => AggregateOp::Plain(Aggregation::Max),
            Op::Count => AggregateOp::Plain(Aggregation::Count),
            Op::Group => AggregateOp::Plain(Aggregation::Group),
            Op::Stddev => AggregateOp::Plain(Aggregation::Stddev),
            Op::Stdvar => AggregateOp::Plain(Aggregation::Stdvar),
            Op::Quantile => AggregateOp::Quantile(parameter()?),
            Op::TopK => AggregateOp::TopK(parameter()?),
            Op::BottomK => AggregateOp::BottomK(parameter()?),
            Op::LimitK => AggregateOp::LimitK(parameter()?),
            Op::LimitRatio => AggregateOp::LimitRatio(parameter()?),
            Op::CountValues => match parameter()?.node {
                Node::Text(label) => AggregateOp::CountValues(label),
                _ => return Err(Error::internal("count_values lost its label")),
            },
        };
        Ok(Aggregate {
            op,
            expr: self.expr(&a.expr)?,
            grouping: Grouping {
                without: a.without,
                labels: a.grouping.clone(),
            },
        })
    }

    fn call(&self, c: &syntax::Call) -> Result<Node> {
        let name = c.function.name;
        let constant = match name {
            "pi" => Some(std::f64::consts::PI),
            "start" => Some(self.times.start_ms as f64 / 1e3),
            "end" => Some(self.times.end_ms as f64 / 1e3),
            "range" => Some(self.times.range_ms() as f64 / 1e3),
            "step" if self.times.range_ms() == 0 => Some(0.0),
            "step" => Some(self.times.step_ms as f64 / 1e3),
            _ => None,
        };
        if let Some(constant) = constant {
            return Ok(Node::Number(constant));
        }
        let function = functions::by_name(name).ok_or_else(|| {
            Error::internal(format!("the function {name} is known and cannot be evaluated"))
        })?;
        let args = c.args.iter().map(|arg| self.expr(arg)).collect::<Result<_>>()?;
        Ok(Node::Call(Call { name, function, args }))
    }
}

impl RangeFunction {
    /// Which argument is the range vector.
    pub(crate) fn range_argument(self) -> usize {
        usize::from(self == Self::Quantile)
    }
}

/// Marks the selectors whose histograms are only asked for their count, sum or mean: there Prometheus compares each with
/// the one before. `finds` is `None` below what looks at buckets or at chosen samples.
fn mark_finding(expr: &mut Expr, finds: Option<bool>) {
    match &mut expr.node {
        Node::Number(_) | Node::Text(_) => {}
        Node::Selector(s) => s.finds_resets = finds == Some(true),
        Node::Range(r) => r.selector.finds_resets = finds == Some(true),
        Node::Subquery(s) => mark_finding(&mut s.expr, None),
        Node::StepInvariant(e) | Node::Negate(e) => mark_finding(e, finds),
        Node::Binary(b) => {
            let finds = finds.filter(|_| !b.op.is_trim());
            mark_finding(&mut b.left, finds);
            mark_finding(&mut b.right, finds);
        }
        Node::Aggregate(a) => mark_finding(&mut a.expr, finds),
        Node::Call(c) => {
            let finds = match c.name {
                "histogram_count" | "histogram_sum" | "histogram_avg" => finds.map(|_| true),
                "histogram_quantile" | "histogram_quantiles" | "histogram_fraction" => None,
                _ => finds,
            };
            c.args.iter_mut().for_each(|arg| mark_finding(arg, finds));
        }
    }
}

/// Wraps the largest parts that are the same at every step.
fn mark_invariant(mut expr: Expr) -> Expr {
    let markable = matches!(expr.kind(), Kind::Scalar | Kind::Vector)
        && !matches!(expr.node, Node::Number(_) | Node::StepInvariant(_));
    if markable && expr.is_invariant() {
        return Expr {
            place: expr.place,
            end: expr.end,
            node: Node::StepInvariant(Box::new(expr)),
        };
    }
    expr.node = match expr.node {
        Node::Subquery(mut s) => {
            s.expr = mark_invariant(s.expr);
            Node::Subquery(s)
        }
        Node::Negate(e) => Node::Negate(Box::new(mark_invariant(*e))),
        Node::Binary(mut b) => {
            b.left = mark_invariant(b.left);
            b.right = mark_invariant(b.right);
            Node::Binary(b)
        }
        Node::Aggregate(mut a) => {
            a.expr = mark_invariant(a.expr);
            a.op = match a.op {
                AggregateOp::Quantile(e) => AggregateOp::Quantile(mark_invariant(e)),
                AggregateOp::TopK(e) => AggregateOp::TopK(mark_invariant(e)),
                AggregateOp::BottomK(e) => AggregateOp::BottomK(mark_invariant(e)),
                AggregateOp::LimitK(e) => AggregateOp::LimitK(mark_invariant(e)),
                AggregateOp::LimitRatio(e) => AggregateOp::LimitRatio(mark_invariant(e)),
                op @ (AggregateOp::Plain(_) | AggregateOp::CountValues(_)) => op,
            };
            Node::Aggregate(a)
        }
        // The info series are those of each step.
        Node::Call(c) if matches!(c.function, Function::Info) => Node::Call(c),
        Node::Call(mut c) => {
            c.args = c.args.into_iter().map(mark_invariant).collect();
            Node::Call(c)
        }
        leaf => leaf,
    };
    expr
}

fn matching(m: &syntax::Matching) -> Matching {
    Matching {
        cardinality: match m.cardinality {
            syntax::Cardinality::OneToOne => Cardinality::OneToOne,
            syntax::Cardinality::ManyToOne => Cardinality::ManyToOne,
            syntax::Cardinality::OneToMany => Cardinality::OneToMany,
            syntax::Cardinality::ManyToMany => Cardinality::ManyToMany,
        },
        on: m.on,
        labels: m.labels.clone(),
        include: m.include.clone(),
        return_bool: false,
        fill_left: m.fill_left,
        fill_right: m.fill_right,
    }
}

fn operator(op: syntax::BinaryOp) -> Operator {
    use syntax::BinaryOp as Op;
    match op {
        Op::Add => Operator::Add,
        Op::Sub => Operator::Sub,
        Op::Mul => Operator::Mul,
        Op::Div => Operator::Div,
        Op::Mod => Operator::Mod,
        Op::Pow => Operator::Pow,
        Op::Atan2 => Operator::Atan2,
        Op::Equal => Operator::Equal,
        Op::NotEqual => Operator::NotEqual,
        Op::Greater => Operator::Greater,
        Op::GreaterEqual => Operator::GreaterEqual,
        Op::Less => Operator::Less,
        Op::LessEqual => Operator::LessEqual,
        Op::TrimUpper => Operator::TrimUpper,
        Op::TrimLower => Operator::TrimLower,
        Op::And => Operator::And,
        Op::Or => Operator::Or,
        Op::Unless => Operator::Unless,
    }
}
