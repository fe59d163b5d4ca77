//! Checks on the whole tree: kinds, numbers of arguments, what may be matched how.

use super::{
    Aggregate, AggregateOp, Binary, Call, Cardinality, Expr, Kind, Node, ParseError, Span, VectorSelector,
};
use crate::go;
use model::Matcher;
use model::labels::METRIC_NAME;

type Check<T> = Result<T, ParseError>;

fn wrong<T>(span: Span, message: impl Into<String>) -> Check<T> {
    Err(ParseError::new(span.start, message))
}

/// Checks an expression and all below it, and says what it evaluates to. Settles how operators match.
pub(super) fn check(expr: &mut Expr, text: &str) -> Check<Kind> {
    let (kind, span) = (expr.kind(), expr.span);
    match &mut expr.node {
        Node::Number(_) | Node::String(_) => {}
        Node::Paren(inner) => _ = check(inner, text)?,
        Node::Unary(_, inner) => {
            let inner = check(inner, text)?;
            if !matches!(inner, Kind::Scalar | Kind::Vector) {
                let message = format!(
                    "unary expression only allowed on expressions of type scalar or instant vector, got \"{}\"",
                    inner.documented()
                );
                return wrong(span, message);
            }
        }
        Node::Binary(b) => check_binary(b, span, text)?,
        Node::Aggregate(a) => check_aggregate(a, text)?,
        Node::Call(c) => check_call(c, span, text)?,
        Node::Vector(s) => check_selector(s, span, false)?,
        Node::Matrix(m) => check_selector(&m.selector, m.selector_span, false)?,
        Node::Subquery(s) => {
            let inner = check(&mut s.expr, text)?;
            if inner != Kind::Vector {
                let message = format!(
                    "subquery is only allowed on instant vector, got {} instead",
                    inner.as_str()
                );
                return wrong(span, message);
            }
        }
    }
    Ok(kind)
}

fn expect_kind(expr: &mut Expr, wanted: Kind, context: &str, text: &str) -> Check<()> {
    let kind = check(expr, text)?;
    if kind == wanted {
        return Ok(());
    }
    wrong(expr.span, not_of_kind(wanted, context, kind))
}

fn not_of_kind(wanted: Kind, context: &str, got: Kind) -> String {
    format!(
        "expected type {} in {context}, got {}",
        wanted.documented(),
        got.documented()
    )
}

fn check_aggregate(a: &mut Aggregate, text: &str) -> Check<()> {
    expect_kind(&mut a.expr, Kind::Vector, "aggregation expression", text)?;
    let wanted = match a.op {
        AggregateOp::CountValues => Kind::String,
        _ => Kind::Scalar,
    };
    match &mut a.param {
        Some(param) => expect_kind(param, wanted, "aggregation parameter", text),
        None => Ok(()),
    }
}

fn check_binary(b: &mut Binary, span: Span, text: &str) -> Check<()> {
    let left = check(&mut b.left, text)?;
    let right = check(&mut b.right, text)?;
    let op = b.op;
    let at_operator = || operator_span(b.left.span.end, text);
    if b.return_bool && !op.is_comparison() {
        let message = "bool modifier can only be used on comparison operators";
        return wrong(at_operator(), message);
    }
    if op.is_comparison() && !b.return_bool && left == Kind::Scalar && right == Kind::Scalar {
        let message = "comparisons between scalars must use BOOL modifier";
        return wrong(at_operator(), message);
    }
    let matching = b.matching.get_or_insert_default();
    if op.is_set() && matching.cardinality == Cardinality::OneToOne {
        matching.cardinality = Cardinality::ManyToMany;
    }
    let twice = |label: &&String| matching.on && matching.include.contains(label);
    if let Some(label) = matching.labels.iter().find(twice) {
        let message = format!(
            "label {} must not occur in ON and GROUP clause at once",
            go::quote(label)
        );
        return wrong(at_operator(), message);
    }
    for (kind, side) in [(left, &b.left), (right, &b.right)] {
        if !matches!(kind, Kind::Scalar | Kind::Vector) {
            let message = "binary expression must contain only scalar and instant vector types";
            return wrong(side.span, message);
        }
    }
    let fills = matching.fill_left.is_some() || matching.fill_right.is_some();
    if left != Kind::Vector || right != Kind::Vector {
        if !matching.labels.is_empty() {
            return wrong(span, "vector matching only allowed between instant vectors");
        }
        if fills {
            let message = "filling in missing series only allowed between instant vectors";
            return wrong(span, message);
        }
        b.matching = None;
        if op.is_set() {
            let message = format!(
                "set operator \"{}\" not allowed in binary scalar expression",
                op.as_str()
            );
            return wrong(span, message);
        }
    } else if op.is_set() {
        if matching.cardinality != Cardinality::ManyToMany {
            let message = format!("no grouping allowed for \"{}\" operation", op.as_str());
            return wrong(span, message);
        }
        if fills {
            let message = "filling in missing series not allowed for set operators";
            return wrong(span, message);
        }
    }
    Ok(())
}

/// The operator stands behind the blanks behind its left side.
fn operator_span(left_end: usize, text: &str) -> Span {
    let behind = text.as_bytes().get(left_end..).unwrap_or_default();
    let blanks = behind
        .iter()
        .take_while(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r'))
        .count();
    let start = left_end + blanks;
    Span { start, end: start }
}

fn check_call(c: &mut Call, span: Span, text: &str) -> Check<()> {
    let function = c.function;
    let name = go::quote(function.name);
    check_argument_count(c, span, &name)?;
    if function.name == "info"
        && let Some(selector) = c.args.get_mut(1)
    {
        check_info_selector(selector, span)?;
    }
    for (i, arg) in c.args.iter_mut().enumerate() {
        let Some(&wanted) = function.args.get(i).or(function.args.last()) else {
            break;
        };
        // The second argument of `info` selects among few series anyway.
        if function.name == "info" && i == 1 {
            continue;
        }
        let kind = check(arg, text)?;
        if kind != wanted {
            let context = format!("call to function {name}");
            return wrong(arg.span, not_of_kind(wanted, &context, kind));
        }
    }
    Ok(())
}

fn check_argument_count(c: &Call, span: Span, name: &str) -> Check<()> {
    let (kinds, got) = (c.function.args.len(), c.args.len());
    let message = match usize::try_from(c.function.variadic) {
        Ok(0) if kinds != got => format!("expected {kinds} argument(s) in call to {name}, got {got}"),
        Ok(0) => return Ok(()),
        _ if kinds - 1 > got => format!(
            "expected at least {} argument(s) in call to {name}, got {got}",
            kinds - 1
        ),
        Ok(more) if kinds - 1 + more < got => format!(
            "expected at most {} argument(s) in call to {name}, got {got}",
            kinds - 1 + more
        ),
        _ => return Ok(()),
    };
    wrong(span, message)
}

fn check_info_selector(arg: &Expr, call: Span) -> Check<()> {
    let kind = arg.kind();
    if kind != Kind::Vector {
        let context = "call to function \"info\"";
        return wrong(call, not_of_kind(Kind::Vector, context, kind));
    }
    match &arg.node {
        Node::Vector(s) if s.name.is_empty() => check_selector(s, arg.span, true),
        Node::Vector(_) => wrong(
            arg.span,
            "expected label selectors only, got vector selector instead",
        ),
        _ => wrong(arg.span, "expected label selectors only"),
    }
}

fn check_selector(s: &VectorSelector, span: Span, may_be_empty: bool) -> Check<()> {
    if let Some((_, others)) = s.matchers.split_last().filter(|_| !s.name.is_empty()) {
        return match others.iter().find(|m| m.name() == METRIC_NAME) {
            Some(m) => wrong(
                span,
                format!(
                    "metric name must not be set twice: {} or {}",
                    go::quote(&s.name),
                    go::quote(m.value())
                ),
            ),
            None => Ok(()),
        };
    }
    if !may_be_empty && s.matchers.iter().all(Matcher::matches_empty) {
        let message = "vector selector must contain at least one non-empty matcher";
        return wrong(span, message);
    }
    Ok(())
}
