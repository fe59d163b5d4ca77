//! The tree as JSON, member by member as Prometheus' interface for its query builder has it.

use super::{
    Aggregate, At, Binary, Call, Cardinality, DurationExpr, DurationKind, Expr, Kind, MatrixSelector, Node,
    Period, Subquery, VectorSelector,
};
use crate::go;
use model::Matcher;
use std::fmt::Write;

/// A JSON value.
enum Json {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    Array(Vec<Json>),
    /// The members are sorted when they are written.
    Object(Vec<(&'static str, Json)>),
}

impl From<bool> for Json {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}
impl From<i64> for Json {
    fn from(value: i64) -> Self {
        Self::Number(value.to_string())
    }
}
impl From<&str> for Json {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}
impl<T: Into<Json>> From<Option<T>> for Json {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

pub(super) fn to_json(expr: &Expr) -> String {
    let mut out = String::new();
    tree(expr).write(&mut out);
    out
}

fn tree(expr: &Expr) -> Json {
    match &expr.node {
        Node::Number(n) => Json::Object(vec![
            ("type", "numberLiteral".into()),
            ("val", Json::Text(go::format_number(n.value))),
        ]),
        Node::String(text) => Json::Object(vec![
            ("type", "stringLiteral".into()),
            ("val", text.as_str().into()),
        ]),
        Node::Paren(e) => Json::Object(vec![("type", "parenExpr".into()), ("expr", tree(e))]),
        Node::Unary(op, e) => Json::Object(vec![
            ("type", "unaryExpr".into()),
            ("op", op.as_str().into()),
            ("expr", tree(e)),
        ]),
        Node::Binary(b) => binary(b),
        Node::Aggregate(a) => aggregate(a),
        Node::Call(c) => call(c),
        Node::Vector(s) => vector_selector(s),
        Node::Matrix(m) => matrix_selector(m),
        Node::Subquery(s) => subquery(s),
    }
}

fn binary(b: &Binary) -> Json {
    let matching = b.matching.as_ref().map(|m| {
        let cardinality = match m.cardinality {
            Cardinality::OneToOne => "one-to-one",
            Cardinality::ManyToOne => "many-to-one",
            Cardinality::OneToMany => "one-to-many",
            Cardinality::ManyToMany => "many-to-many",
        };
        Json::Object(vec![
            ("card", cardinality.into()),
            ("labels", names(&m.labels)),
            ("on", m.on.into()),
            ("include", names(&m.include)),
            (
                "fillValues",
                Json::Object(vec![("lhs", fill(m.fill_left)), ("rhs", fill(m.fill_right))]),
            ),
        ])
    });
    Json::Object(vec![
        ("type", "binaryExpr".into()),
        ("op", b.op.as_str().into()),
        ("lhs", tree(&b.left)),
        ("rhs", tree(&b.right)),
        ("matching", matching.into()),
        ("bool", b.return_bool.into()),
    ])
}

fn names(names: &[String]) -> Json {
    Json::Array(names.iter().map(|name| name.as_str().into()).collect())
}

/// JSON has no infinities.
fn fill(value: Option<f64>) -> Json {
    value
        .filter(|v| v.is_finite())
        .map_or(Json::Null, |v| Json::Number(format_json_number(v)))
}

/// With an exponent only below 1e-6 and from 1e21 on.
fn format_json_number(value: f64) -> String {
    if value == 0.0 || (1e-6..1e21).contains(&value.abs()) {
        return go::format_number(value);
    }
    let text = go::format_short_number(value);
    text.replace("e-0", "e-")
}

fn aggregate(a: &Aggregate) -> Json {
    Json::Object(vec![
        ("type", "aggregation".into()),
        ("op", a.op.as_str().into()),
        ("expr", tree(&a.expr)),
        ("param", a.param.as_ref().map(tree).into()),
        ("grouping", names(&a.grouping)),
        ("without", a.without.into()),
    ])
}

fn call(c: &Call) -> Json {
    let kind = |kind: &Kind| kind.as_str().into();
    let function = Json::Object(vec![
        ("name", c.function.name.into()),
        (
            "argTypes",
            Json::Array(c.function.args.iter().map(kind).collect()),
        ),
        ("variadic", i64::from(c.function.variadic).into()),
        ("returnType", kind(&c.function.returns)),
    ]);
    Json::Object(vec![
        ("type", "call".into()),
        ("func", function),
        ("args", Json::Array(c.args.iter().map(tree).collect())),
    ])
}

fn vector_selector(s: &VectorSelector) -> Json {
    let mut members = vec![("type", "vectorSelector".into())];
    members.extend(selector_members(s));
    Json::Object(members)
}

fn matrix_selector(m: &MatrixSelector) -> Json {
    let mut members = vec![("type", "matrixSelector".into())];
    members.extend(period("range", "rangeExpr", &m.range));
    members.extend(selector_members(&m.selector));
    Json::Object(members)
}

fn selector_members(s: &VectorSelector) -> Vec<(&'static str, Json)> {
    let mut members = vec![
        ("name", s.name.as_str().into()),
        ("matchers", Json::Array(s.matchers.iter().map(matcher).collect())),
        ("anchored", s.anchored.into()),
        ("smoothed", s.smoothed.into()),
    ];
    members.extend(period("offset", "offsetExpr", &s.offset));
    members.extend(at(s.at));
    members
}

fn matcher(m: &Matcher) -> Json {
    Json::Object(vec![
        ("name", m.name().into()),
        ("value", m.value().into()),
        ("type", m.op().as_str().into()),
    ])
}

fn subquery(s: &Subquery) -> Json {
    let mut members = vec![("type", "subquery".into()), ("expr", tree(&s.expr))];
    members.extend(period("range", "rangeExpr", &s.range));
    members.extend(period("offset", "offsetExpr", &s.offset));
    members.extend(period(
        "step",
        "stepExpr",
        s.step.as_ref().unwrap_or(&Period::ZERO),
    ));
    members.extend(at(s.at));
    Json::Object(members)
}

/// Milliseconds where they are known, and what they are evaluated from where not.
fn period(fixed: &'static str, expr: &'static str, period: &Period) -> [(&'static str, Json); 2] {
    match period {
        Period::Fixed(nanos) => [(fixed, (nanos / 1_000_000).into()), (expr, Json::Null)],
        Period::Expr(e) => [(fixed, 0.into()), (expr, duration(e))],
    }
}

fn at(at: Option<At>) -> [(&'static str, Json); 2] {
    let (time, of_query) = match at {
        None => (None, None),
        Some(At::Time(ms)) => (Some(ms), None),
        Some(At::Start) => (None, Some("start")),
        Some(At::End) => (None, Some("end")),
    };
    [("timestamp", time.into()), ("startOrEnd", of_query.into())]
}

fn duration(expr: &DurationExpr) -> Json {
    let (op, left, right) = match &expr.kind {
        DurationKind::Number(n) => {
            return Json::Object(vec![
                ("type", "numberLiteral".into()),
                ("val", Json::Text(go::format_number(n.value))),
                ("duration", n.is_duration.into()),
            ]);
        }
        DurationKind::Step => ("step", None, None),
        DurationKind::Range => ("range", None, None),
        DurationKind::Unary(op, e) => (op.as_str(), None, Some(e)),
        DurationKind::Binary(op, l, r) => (op.as_str(), Some(l), Some(r)),
    };
    Json::Object(vec![
        ("type", "durationExpr".into()),
        ("op", op.into()),
        ("lhs", left.map(|e| duration(e)).into()),
        ("rhs", right.map(|e| duration(e)).into()),
        ("wrapped", expr.wrapped.into()),
    ])
}

impl Json {
    fn write(self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if value { "true" } else { "false" }),
            Self::Number(digits) => out.push_str(&digits),
            Self::Text(text) => write_text(&text, out),
            Self::Array(values) => {
                out.push('[');
                for (i, value) in values.into_iter().enumerate() {
                    out.push_str(if i > 0 { "," } else { "" });
                    value.write(out);
                }
                out.push(']');
            }
            Self::Object(mut members) => {
                members.sort_unstable_by_key(|(name, _)| *name);
                out.push('{');
                for (i, (name, value)) in members.into_iter().enumerate() {
                    out.push_str(if i > 0 { "," } else { "" });
                    write_text(name, out);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

/// Escaped so that it may stand in HTML, as Prometheus does it.
fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..=' ' if c != ' ' => escape(c, out),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => escape(c, out),
            c => out.push(c),
        }
    }
    out.push('"');
}

fn escape(c: char, out: &mut String) {
    write!(out, "\\u{:04x}", u32::from(c)).expect("a string takes all that is written to it");
}
