//! Expressions as text over several lines.

use super::print::{Aggregation, Operator, Window};
use super::{Expr, Node};

/// Longer expressions are broken up, in bytes.
const MAX_LINE_BYTES: usize = 100;

pub(super) fn pretty(expr: &Expr) -> String {
    lines(expr, 0)
}

fn indent(level: usize) -> String {
    "  ".repeat(level)
}

/// The lines of an expression that stands some levels in. The indentation before the first is included.
fn lines(expr: &Expr, level: usize) -> String {
    let one_line = expr.to_string();
    let (outer, inner) = (indent(level), level + 1);
    if let Node::Unary(op, operand) = &expr.node {
        return format!("{outer}{}{}", op.as_str(), lines(operand, level).trim());
    }
    if one_line.len() <= MAX_LINE_BYTES {
        // Prometheus does not indent subqueries that fit.
        let outer = if matches!(expr.node, Node::Subquery(_)) {
            ""
        } else {
            &*outer
        };
        return format!("{outer}{one_line}");
    }
    match &expr.node {
        Node::Paren(e) => format!("{outer}(\n{}\n{outer})", lines(e, inner)),
        Node::Binary(b) => format!(
            "{}\n{outer}{}\n{}",
            lines(&b.left, inner),
            Operator(b),
            lines(&b.right, inner)
        ),
        Node::Aggregate(a) => {
            let param = a.param.as_ref();
            let param = param.map_or_else(String::new, |p| format!("{},\n", lines(p, inner)));
            let body = lines(&a.expr, inner);
            format!("{outer}{}(\n{param}{body}\n{outer})", Aggregation(a))
        }
        Node::Call(c) => {
            let args: Vec<String> = c.args.iter().map(|arg| lines(arg, inner)).collect();
            format!("{outer}{}(\n{}\n{outer})", c.function.name, args.join(",\n"))
        }
        Node::Subquery(s) => format!("{}{}", lines(&s.expr, level), Window(s)),
        Node::Unary(..) | Node::Number(_) | Node::String(_) | Node::Vector(_) | Node::Matrix(_) => {
            format!("{outer}{one_line}")
        }
    }
}
