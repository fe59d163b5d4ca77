//! The PromQL parser: the syntax tree with positions, and the ways from text to tree and back.

mod check;
mod duration;
mod functions;
mod json;
mod lexer;
mod operators;
mod parser;
mod pretty;
mod print;
#[cfg(test)]
mod tests;
mod token;

pub use duration::{DurationExpr, DurationKind, DurationOp, Period};
pub use functions::{Function, function, functions};
pub use operators::{AggregateOp, BinaryOp, UnaryOp};

use model::{Error, Matcher, Result};

/// The longest expression, in bytes.
pub const MAX_TEXT_BYTES: usize = 64 << 10;
/// The deepest tree, in nodes.
pub const MAX_DEPTH: u16 = 200;

/// A stretch of the text of an expression, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
}

/// What an expression evaluates to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A number.
    Scalar,
    /// A text.
    String,
    /// An instant vector.
    Vector,
    /// A range vector.
    Matrix,
}

impl Kind {
    /// As the HTTP API names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::String => "string",
            Self::Vector => "vector",
            Self::Matrix => "matrix",
        }
    }
    /// As the documentation and most errors name it.
    pub fn documented(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::String => "string",
            Self::Vector => "instant vector",
            Self::Matrix => "range vector",
        }
    }
}

/// An expression as it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Expr {
    node: Node,
    span: Span,
    depth: u16,
}

/// The kinds of expressions.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// `1.5`, `0x1f`, `Inf`, `1h`
    Number(Number),
    /// `"text"`
    String(String),
    /// `( … )`
    Paren(Box<Expr>),
    /// `- …`
    Unary(UnaryOp, Box<Expr>),
    /// `… + …`
    Binary(Box<Binary>),
    /// `sum by (job) ( … )`
    Aggregate(Box<Aggregate>),
    /// `rate( … )`
    Call(Call),
    /// `up{job="a"}`
    Vector(VectorSelector),
    /// `up{job="a"}[5m]`
    Matrix(MatrixSelector),
    /// `( … )[1h:5m]`
    Subquery(Box<Subquery>),
}

/// A number; a duration is its seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Number {
    /// The value.
    pub value: f64,
    /// Whether it is written as a duration.
    pub is_duration: bool,
}

/// An operator between two expressions.
#[derive(Debug, Clone, PartialEq)]
pub struct Binary {
    /// The operator.
    pub op: BinaryOp,
    /// The left side.
    pub left: Expr,
    /// The right side.
    pub right: Expr,
    /// `bool`: a comparison gives 0 or 1 instead of filtering.
    pub return_bool: bool,
    /// How elements meet; `None` unless both sides are instant vectors.
    pub matching: Option<Matching>,
}

/// How many elements of each side may meet in one match group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cardinality {
    /// One of each.
    #[default]
    OneToOne,
    /// `group_left`
    ManyToOne,
    /// `group_right`
    OneToMany,
    /// `and`, `or`, `unless`
    ManyToMany,
}

/// The modifiers of an operator between two vectors.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Matching {
    /// How many elements may meet.
    pub cardinality: Cardinality,
    /// Whether `labels` are those to match on; otherwise those to ignore.
    pub on: bool,
    /// The labels of `on` or `ignoring`.
    pub labels: Vec<String>,
    /// Labels that the result takes from the "one" side.
    pub include: Vec<String>,
    /// Stands in for a missing element on the left.
    pub fill_left: Option<f64>,
    /// Stands in for a missing element on the right.
    pub fill_right: Option<f64>,
}

/// An aggregation over the elements of a vector.
#[derive(Debug, Clone, PartialEq)]
pub struct Aggregate {
    /// The aggregation.
    pub op: AggregateOp,
    /// What is aggregated.
    pub expr: Expr,
    /// The first argument of those that have two.
    pub param: Option<Expr>,
    /// The labels of `by` or `without`.
    pub grouping: Vec<String>,
    /// Whether `grouping` is what is left out.
    pub without: bool,
}

/// A function call.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The function.
    pub function: &'static Function,
    /// The arguments, right in number and kinds.
    pub args: Vec<Expr>,
}

/// Where `@` puts the evaluation time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// Milliseconds since the epoch.
    Time(i64),
    /// `start()` of the query.
    Start,
    /// `end()` of the query.
    End,
}

/// An instant vector selector.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorSelector {
    /// The metric name before the braces; empty when there is none.
    pub name: String,
    /// All matchers; that of `name` is the last.
    pub matchers: Vec<Matcher>,
    /// `@`
    pub at: Option<At>,
    /// `offset`; zero when there is none.
    pub offset: Period,
    /// `anchored`
    pub anchored: bool,
    /// `smoothed`
    pub smoothed: bool,
}

/// A range vector selector. Its modifiers are those of the instant vector selector in it.
#[derive(Debug, Clone, PartialEq)]
pub struct MatrixSelector {
    /// What is selected.
    pub selector: VectorSelector,
    /// The span of the selector without the range, as far as it goes before `[`.
    pub selector_span: Span,
    /// The length of the window.
    pub range: Period,
}

/// A subquery.
#[derive(Debug, Clone, PartialEq)]
pub struct Subquery {
    /// What is evaluated at each step.
    pub expr: Expr,
    /// The length of the window.
    pub range: Period,
    /// `None`: the engine's default.
    pub step: Option<Period>,
    /// `@`
    pub at: Option<At>,
    /// `offset`; zero when there is none.
    pub offset: Period,
}

impl Expr {
    /// What it is.
    pub fn node(&self) -> &Node {
        &self.node
    }
    /// What it is, taken out.
    pub fn into_node(self) -> Node {
        self.node
    }
    /// Where it stands in the text.
    pub fn span(&self) -> Span {
        self.span
    }
    /// What it evaluates to.
    pub fn kind(&self) -> Kind {
        match &self.node {
            Node::Number(_) => Kind::Scalar,
            Node::String(_) => Kind::String,
            Node::Paren(e) | Node::Unary(_, e) => e.kind(),
            Node::Binary(b) => {
                let scalars = b.left.kind() == Kind::Scalar && b.right.kind() == Kind::Scalar;
                if scalars { Kind::Scalar } else { Kind::Vector }
            }
            Node::Aggregate(_) | Node::Vector(_) => Kind::Vector,
            Node::Call(c) => c.function.returns,
            Node::Matrix(_) | Node::Subquery(_) => Kind::Matrix,
        }
    }
    /// The expressions directly below, in the order of the text; an aggregation gives its parameter last.
    pub fn children(&self) -> Vec<&Expr> {
        match &self.node {
            Node::Number(_) | Node::String(_) | Node::Vector(_) | Node::Matrix(_) => Vec::new(),
            Node::Paren(e) | Node::Unary(_, e) => vec![e],
            Node::Binary(b) => vec![&b.left, &b.right],
            Node::Aggregate(a) => std::iter::once(&a.expr).chain(&a.param).collect(),
            Node::Call(c) => c.args.iter().collect(),
            Node::Subquery(s) => vec![&s.expr],
        }
    }
    /// The matchers of every selector in the expression, in the order of the text.
    pub fn selectors(&self) -> Vec<&[Matcher]> {
        let mut found = Vec::new();
        self.add_selectors(&mut found);
        found
    }
    fn add_selectors<'a>(&'a self, found: &mut Vec<&'a [Matcher]>) {
        match &self.node {
            Node::Vector(v) => found.push(&v.matchers),
            Node::Matrix(m) => found.push(&m.selector.matchers),
            _ => self.children().into_iter().for_each(|e| e.add_selectors(found)),
        }
    }
    /// The expression over several lines, as `/api/v1/format_query` gives it.
    pub fn pretty(&self) -> String {
        pretty::pretty(self)
    }
    /// The tree as JSON text, as `/api/v1/parse_query` gives it.
    pub fn to_json(&self) -> String {
        json::to_json(self)
    }
}

/// Parses and checks an expression.
///
/// # Errors
/// `BadData`: `line:col: parse error: …`, in the words of Prometheus. Texts over [`MAX_TEXT_BYTES`] and trees deeper
/// than [`MAX_DEPTH`] are errors too.
pub fn parse(text: &str) -> Result<Expr> {
    let expr = parser::expression(text).and_then(|mut expr| {
        check::check(&mut expr, text)?;
        Ok(expr)
    });
    expr.map_err(|e| e.within(text))
}

/// Parses a series selector, as the endpoints for series and labels take it.
///
/// # Errors
/// As [`parse`]. A selector of nothing in particular (`{}`) is fine here.
pub fn parse_metric_selector(text: &str) -> Result<Vec<Matcher>> {
    parser::metric_selector(text).map_err(|e| e.within(text))
}

/// The line and the column, both from 1, of a byte in a text; columns count bytes. `None` behind the text's end.
pub fn position(text: &str, offset: usize) -> Option<(usize, usize)> {
    let before = text.as_bytes().get(..offset)?;
    let line = before.iter().filter(|&&b| b == b'\n').count() + 1;
    let line_start = before.iter().rposition(|&b| b == b'\n').map_or(0, |i| i + 1);
    Some((line, offset - line_start + 1))
}

/// What is wrong with a text, and from which byte on.
#[derive(Debug)]
struct ParseError {
    offset: usize,
    message: String,
}

impl ParseError {
    fn new(offset: usize, message: impl Into<String>) -> Self {
        Self {
            offset,
            message: message.into(),
        }
    }
    fn within(self, text: &str) -> Error {
        let place = match position(text, self.offset) {
            _ if text.is_empty() => "unknown position".to_owned(),
            Some((line, column)) => format!("{line}:{column}"),
            None => "invalid position".to_owned(),
        };
        Error::bad_data(format!("{place}: parse error: {}", self.message))
    }
}
