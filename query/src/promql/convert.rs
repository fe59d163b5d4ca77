//! From text to the engine's expression tree: `promql-parser` reads the text, this module checks types and
//! limits, resolves times and names what is not supported.

use super::ast::{
    Aggregate, AggregateOp, Binary, Call, Expr, Kind, RangeFunction, RangeSelector, Selector, Subquery,
    TimeShift,
};
use super::functions;
use crate::columns::Steps;
use crate::columns::aggregate::{Aggregation, Grouping};
use crate::columns::matching::{Cardinality, Matching};
use crate::columns::operators::Operator;
use model::labels::METRIC_NAME;
use model::{Error, MatchOp, Matcher, Result};
use promql_parser::label as parsed_label;
use promql_parser::parser::value::ValueType;
use promql_parser::parser::{self as parsed, token};
use std::time::{Duration, SystemTime};

/// The longest expression, in bytes.
const MAX_EXPRESSION_BYTES: usize = 64 << 10;
/// The most words and operators outside of label matchers: they bound the recursion of the parser.
const MAX_PARTS: usize = 2000;
/// The deepest tree.
const MAX_DEPTH: usize = 200;

/// Parses an expression for evaluation at some times.
///
/// # Errors
/// `BadData` when it does not parse; `Unsupported` things of the language are `BadData` too, and named.
pub(crate) fn expression(text: &str, steps: Steps) -> Result<Expr> {
    check_size(text)?;
    // The parser panics on durations that no clock can hold.
    let parsed = std::panic::catch_unwind(|| parsed::parse(text))
        .map_err(|_| bad("a duration or a time in it is out of range"))?
        .map_err(bad)?;
    let expr = Converter { steps }.expr(&parsed, 0)?;
    Ok(mark_invariant(expr))
}

fn bad(message: impl std::fmt::Display) -> Error {
    Error::bad_data(format!("parse error: {message}"))
}

/// Bounds the recursion of the parser, which has no limit of its own.
fn check_size(text: &str) -> Result<()> {
    if text.len() > MAX_EXPRESSION_BYTES {
        return Err(bad(format_args!(
            "the expression has {} bytes, more than {MAX_EXPRESSION_BYTES}",
            text.len()
        )));
    }
    let (mut quote, mut escaped, mut in_braces, mut blank, mut parts) = (None, false, false, true, 0);
    for c in text.bytes() {
        match (quote, c) {
            (Some(_), _) if escaped => escaped = false,
            (Some(b'"' | b'\''), b'\\') => escaped = true,
            (Some(q), c) => quote = (q != c).then_some(q),
            (None, b'"' | b'\'' | b'`') => quote = Some(c),
            (None, b'{') => in_braces = true,
            (None, b'}') => in_braces = false,
            _ if in_braces => {}
            (None, b'+' | b'-' | b'*' | b'/' | b'%' | b'^' | b'=' | b'<' | b'>' | b'(' | b')' | b'[') => {
                parts += 1;
            }
            _ => parts += usize::from(blank && !c.is_ascii_whitespace()),
        }
        blank = c.is_ascii_whitespace();
    }
    if parts > MAX_PARTS {
        return Err(bad(format_args!(
            "the expression has more than {MAX_PARTS} words and operators"
        )));
    }
    Ok(())
}

/// Wraps the largest parts that are the same at every step.
fn mark_invariant(expr: Expr) -> Expr {
    let markable = matches!(expr.kind(), Kind::Scalar | Kind::Vector)
        && !matches!(expr, Expr::Number(_) | Expr::StepInvariant(_));
    if markable && expr.is_invariant() {
        return Expr::StepInvariant(Box::new(expr));
    }
    match expr {
        Expr::Subquery(mut s) => {
            s.expr = mark_invariant(s.expr);
            Expr::Subquery(s)
        }
        Expr::Negate(e) => Expr::Negate(Box::new(mark_invariant(*e))),
        Expr::Binary(mut b) => {
            b.left = mark_invariant(b.left);
            b.right = mark_invariant(b.right);
            Expr::Binary(b)
        }
        Expr::Aggregate(mut a) => {
            a.expr = mark_invariant(a.expr);
            a.op = match a.op {
                AggregateOp::Quantile(e) => AggregateOp::Quantile(mark_invariant(e)),
                AggregateOp::TopK(e) => AggregateOp::TopK(mark_invariant(e)),
                AggregateOp::BottomK(e) => AggregateOp::BottomK(mark_invariant(e)),
                AggregateOp::LimitK(e) => AggregateOp::LimitK(mark_invariant(e)),
                op @ (AggregateOp::Plain(_) | AggregateOp::CountValues(_)) => op,
            };
            Expr::Aggregate(a)
        }
        Expr::Call(mut c) => {
            c.args = c.args.into_iter().map(mark_invariant).collect();
            Expr::Call(c)
        }
        leaf => leaf,
    }
}

struct Converter {
    steps: Steps,
}

impl Converter {
    fn expr(&self, expr: &parsed::Expr, depth: usize) -> Result<Expr> {
        if depth > MAX_DEPTH {
            return Err(bad(format_args!(
                "the expression is nested more than {MAX_DEPTH} deep"
            )));
        }
        let depth = depth + 1;
        Ok(match expr {
            parsed::Expr::NumberLiteral(n) => Expr::Number(n.val),
            parsed::Expr::StringLiteral(s) => Expr::Text(s.val.clone()),
            parsed::Expr::Paren(p) => self.expr(&p.expr, depth)?,
            parsed::Expr::VectorSelector(s) => Expr::Selector(self.selector(s)?),
            parsed::Expr::MatrixSelector(m) => Expr::Range(RangeSelector {
                selector: self.selector(&m.vs)?,
                range_ms: positive(m.range, "range")?,
            }),
            parsed::Expr::Subquery(s) => Expr::Subquery(Box::new(Subquery {
                expr: self.vector(&s.expr, depth, "subquery")?,
                range_ms: positive(s.range, "range")?,
                step_ms: s.step.map(|step| positive(step, "resolution")).transpose()?,
                time: self.time_shift(s.at.as_ref(), s.offset.as_ref())?,
            })),
            parsed::Expr::Unary(u) => {
                let inner = self.expr(&u.expr, depth)?;
                if !matches!(inner.kind(), Kind::Scalar | Kind::Vector) {
                    return Err(bad(format_args!(
                        "unary expression only allowed on expressions of type scalar or instant vector, got {}",
                        inner.kind().as_str()
                    )));
                }
                Expr::Negate(Box::new(inner))
            }
            parsed::Expr::Binary(b) => self.binary(b, depth)?,
            parsed::Expr::Aggregate(a) => self.aggregate(a, depth)?,
            parsed::Expr::Call(c) => self.call(c, depth)?,
            parsed::Expr::Extension(_) => return Err(bad("extensions are not supported")),
        })
    }

    fn vector(&self, expr: &parsed::Expr, depth: usize, context: &str) -> Result<Expr> {
        self.of_kind(expr, depth, Kind::Vector, context)
    }
    fn of_kind(&self, expr: &parsed::Expr, depth: usize, kind: Kind, context: &str) -> Result<Expr> {
        let expr = self.expr(expr, depth)?;
        if expr.kind() != kind {
            return Err(bad(format_args!(
                "expected type {} in {context}, got {}",
                kind.as_str(),
                expr.kind().as_str()
            )));
        }
        Ok(expr)
    }

    fn selector(&self, s: &parsed::VectorSelector) -> Result<Selector> {
        if !s.matchers.or_matchers.is_empty() {
            return Err(bad("`or` between label matchers is not part of PromQL"));
        }
        let mut matchers = Vec::with_capacity(s.matchers.matchers.len() + 1);
        matchers.extend(
            s.name
                .iter()
                .map(|name| Matcher::equal(METRIC_NAME, name.as_str())),
        );
        for m in &s.matchers.matchers {
            let op = match m.op {
                parsed_label::MatchOp::Equal => MatchOp::Equal,
                parsed_label::MatchOp::NotEqual => MatchOp::NotEqual,
                parsed_label::MatchOp::Re(_) => MatchOp::Regex,
                parsed_label::MatchOp::NotRe(_) => MatchOp::NotRegex,
            };
            matchers.push(Matcher::new(&*m.name, op, &*m.value).map_err(|e| e.within("parse error"))?);
        }
        if matchers.iter().all(Matcher::matches_empty) {
            return Err(bad("vector selector must contain at least one non-empty matcher"));
        }
        let time = self.time_shift(s.at.as_ref(), s.offset.as_ref())?;
        Ok(Selector { matchers, time })
    }

    fn time_shift(
        &self,
        at: Option<&parsed::AtModifier>,
        offset: Option<&parsed::Offset>,
    ) -> Result<TimeShift> {
        let at_ms = match at {
            None => None,
            Some(parsed::AtModifier::Start) => Some(self.steps.start_ms),
            Some(parsed::AtModifier::End) => Some(self.steps.end_ms()),
            Some(parsed::AtModifier::At(time)) => Some(epoch_ms(*time)?),
        };
        let offset_ms = match offset {
            None => 0,
            Some(parsed::Offset::Pos(d)) => millis(*d)?,
            Some(parsed::Offset::Neg(d)) => -millis(*d)?,
        };
        Ok(TimeShift { at_ms, offset_ms })
    }

    fn binary(&self, b: &parsed::BinaryExpr, depth: usize) -> Result<Expr> {
        let op =
            operator(b.op.id()).ok_or_else(|| bad(format_args!("operator {} is not supported", b.op)))?;
        let (left, right) = (self.expr(&b.lhs, depth)?, self.expr(&b.rhs, depth)?);
        let matching = b.modifier.as_ref().map(matching).unwrap_or_default();
        let of_vectors = left.kind() == Kind::Vector && right.kind() == Kind::Vector;
        if !of_vectors && matching.cardinality != Cardinality::OneToOne && !op.is_set() {
            return Err(bad("vector matching only allowed between instant vectors"));
        }
        if op.is_set() && (matching.fill_left.is_some() || matching.fill_right.is_some()) {
            return Err(bad("filling in missing series not allowed for set operators"));
        }
        Ok(Expr::Binary(Box::new(Binary {
            op,
            left,
            right,
            matching,
        })))
    }

    fn aggregate(&self, a: &parsed::AggregateExpr, depth: usize) -> Result<Expr> {
        let plain = |a| Ok(AggregateOp::Plain(a));
        let number = || match &a.param {
            Some(p) => self.of_kind(p, depth, Kind::Scalar, "aggregation parameter"),
            None => Err(bad(format_args!("{} needs a parameter", a.op))),
        };
        let op = match a.op.id() {
            token::T_SUM => plain(Aggregation::Sum),
            token::T_AVG => plain(Aggregation::Avg),
            token::T_MIN => plain(Aggregation::Min),
            token::T_MAX => plain(Aggregation::Max),
            token::T_COUNT => plain(Aggregation::Count),
            token::T_GROUP => plain(Aggregation::Group),
            token::T_STDDEV => plain(Aggregation::Stddev),
            token::T_STDVAR => plain(Aggregation::Stdvar),
            token::T_QUANTILE => number().map(AggregateOp::Quantile),
            token::T_TOPK => number().map(AggregateOp::TopK),
            token::T_BOTTOMK => number().map(AggregateOp::BottomK),
            token::T_LIMITK => number().map(AggregateOp::LimitK),
            token::T_COUNT_VALUES => match &a.param {
                Some(p) => match self.expr(p, depth)? {
                    Expr::Text(label) => Ok(AggregateOp::CountValues(label)),
                    _ => Err(bad("count_values needs the name of a label as a string")),
                },
                None => Err(bad("count_values needs the name of a label")),
            },
            _ => Err(bad(format_args!("aggregation {} is not supported yet", a.op))),
        }?;
        let grouping = match &a.modifier {
            None => Grouping::default(),
            Some(m) => Grouping {
                without: !m.is_include(),
                labels: m.labels().labels.clone(),
            },
        };
        let expr = self.vector(&a.expr, depth, "aggregation expression")?;
        Ok(Expr::Aggregate(Box::new(Aggregate { op, expr, grouping })))
    }

    fn call(&self, c: &parsed::Call, depth: usize) -> Result<Expr> {
        let name = c.func.name;
        let constant = match name {
            "pi" => Some(std::f64::consts::PI),
            "start" => Some(self.steps.start_ms as f64 / 1e3),
            "end" => Some(self.steps.end_ms() as f64 / 1e3),
            "range" => Some(self.steps.end_ms().saturating_sub(self.steps.start_ms) as f64 / 1e3),
            "step" => Some(self.steps.step_ms as f64 / 1e3),
            _ => None,
        };
        if let Some(constant) = constant {
            return Ok(Expr::Number(constant));
        }
        let function = functions::by_name(name)
            .ok_or_else(|| bad(format_args!("function {name} is not supported yet")))?;
        let mut args = Vec::with_capacity(c.args.args.len());
        for (i, arg) in c.args.args.iter().enumerate() {
            let expected = match c.func.arg_types.get(i).or(c.func.arg_types.last()) {
                Some(ValueType::Scalar) => Kind::Scalar,
                Some(ValueType::String) => Kind::Text,
                Some(ValueType::Matrix) => Kind::Matrix,
                Some(ValueType::Vector) | None => Kind::Vector,
            };
            args.push(self.of_kind(arg, depth, expected, &format!("call to function {name:?}"))?);
        }
        let call = Call { name, function, args };
        functions::check_arguments(&call)?;
        Ok(Expr::Call(call))
    }
}

impl RangeFunction {
    /// Which argument is the range vector.
    pub(crate) fn range_argument(self) -> usize {
        usize::from(self == Self::Quantile)
    }
}

fn matching(m: &parsed::BinModifier) -> Matching {
    let (cardinality, include) = match &m.card {
        parsed::VectorMatchCardinality::OneToOne => (Cardinality::OneToOne, Vec::new()),
        parsed::VectorMatchCardinality::ManyToOne(l) => (Cardinality::ManyToOne, l.labels.clone()),
        parsed::VectorMatchCardinality::OneToMany(l) => (Cardinality::OneToMany, l.labels.clone()),
        parsed::VectorMatchCardinality::ManyToMany => (Cardinality::ManyToMany, Vec::new()),
    };
    Matching {
        cardinality,
        on: m.is_matching_on(),
        labels: m
            .matching
            .as_ref()
            .map(|l| l.labels().labels.clone())
            .unwrap_or_default(),
        include,
        return_bool: m.return_bool,
        fill_left: m.fill_values.lhs,
        fill_right: m.fill_values.rhs,
    }
}

fn operator(id: token::TokenId) -> Option<Operator> {
    Some(match id {
        token::T_ADD => Operator::Add,
        token::T_SUB => Operator::Sub,
        token::T_MUL => Operator::Mul,
        token::T_DIV => Operator::Div,
        token::T_MOD => Operator::Mod,
        token::T_POW => Operator::Pow,
        token::T_ATAN2 => Operator::Atan2,
        token::T_EQLC => Operator::Equal,
        token::T_NEQ => Operator::NotEqual,
        token::T_GTR => Operator::Greater,
        token::T_GTE => Operator::GreaterEqual,
        token::T_LSS => Operator::Less,
        token::T_LTE => Operator::LessEqual,
        token::T_LAND => Operator::And,
        token::T_LOR => Operator::Or,
        token::T_LUNLESS => Operator::Unless,
        _ => return None,
    })
}

fn millis(duration: Duration) -> Result<i64> {
    i64::try_from(duration.as_millis()).map_err(|_| bad("duration out of range"))
}

fn positive(duration: Duration, what: &str) -> Result<i64> {
    match millis(duration)? {
        0 => Err(bad(format_args!("{what} must be at least a millisecond"))),
        ms => Ok(ms),
    }
}

fn epoch_ms(time: SystemTime) -> Result<i64> {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => millis(after),
        Err(before) => millis(before.duration()).map(|ms| -ms),
    }
}
