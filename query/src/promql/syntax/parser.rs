//! From tokens to the tree, by recursive descent; the operators by their precedence.

mod durations;
mod selectors;

use super::duration::too_deep;
use super::lexer::Lexer;
use super::operators::{AggregateOp, BinaryOp, POWER, UnaryOp};
use super::token::{Token, TokenKind};
use super::{
    Aggregate, Binary, Call, Cardinality, Expr, MAX_DEPTH, MAX_TEXT_BYTES, Matching, Node, Number,
    ParseError, Span, VectorSelector, function,
};
use crate::go;
use model::Matcher;

type Parse<T> = Result<T, ParseError>;

/// Parses an expression without checking kinds.
pub(super) fn expression(text: &str) -> Parse<Expr> {
    let mut parser = Parser::new(text)?;
    if parser.peek()?.kind == TokenKind::Eof {
        return Err(ParseError::new(0, "no expression found in input"));
    }
    let expr = parser.expr()?;
    parser.expect(TokenKind::Eof)?;
    Ok(expr)
}

/// Parses a selector of series.
pub(super) fn metric_selector(text: &str) -> Parse<Vec<Matcher>> {
    let mut parser = Parser::new(text)?;
    let token = parser.peek()?;
    let expr = match token.kind {
        TokenKind::LeftBrace => parser.vector_selector(None)?,
        kind if is_metric_name(kind) => {
            parser.advance()?;
            parser.vector_selector(Some(token))?
        }
        _ => return Err(parser.unexpected(token)),
    };
    parser.expect(TokenKind::Eof)?;
    match expr.node {
        Node::Vector(VectorSelector { matchers, .. }) => Ok(matchers),
        _ => unreachable!("a vector selector was asked for"),
    }
}

/// What is being parsed when something unexpected comes, and what may come there; both may be empty.
#[derive(Debug, Clone, Copy)]
struct Context {
    within: &'static str,
    expected: &'static str,
}

impl Context {
    const NONE: Self = Self::new("", "");

    const fn new(within: &'static str, expected: &'static str) -> Self {
        Self { within, expected }
    }
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    /// The next token, once something has asked for it: errors of the lexer come no sooner than needed.
    peeked: Option<Token<'a>>,
    /// Where the last closing bracket, number or duration ends; Prometheus ends some spans there.
    last_closing: usize,
    context: Context,
    /// How deep the functions of the parser are in each other.
    nesting: u16,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Parse<Self> {
        if text.len() > MAX_TEXT_BYTES {
            let message = format!(
                "the expression has {} bytes, more than {MAX_TEXT_BYTES}",
                text.len()
            );
            return Err(ParseError::new(0, message));
        }
        Ok(Self {
            lexer: Lexer::new(text),
            peeked: None,
            last_closing: 0,
            context: Context::NONE,
            nesting: 0,
        })
    }

    fn peek(&mut self) -> Parse<Token<'a>> {
        if let Some(token) = self.peeked {
            return Ok(token);
        }
        let token = self.lexer.next()?;
        if matches!(
            token.kind,
            TokenKind::RightBrace
                | TokenKind::RightParen
                | TokenKind::RightBracket
                | TokenKind::Duration
                | TokenKind::Number
        ) {
            self.last_closing = token.end();
        }
        self.peeked = Some(token);
        Ok(token)
    }
    fn advance(&mut self) -> Parse<Token<'a>> {
        let token = self.peek()?;
        self.peeked = None;
        Ok(token)
    }
    fn accept(&mut self, kind: TokenKind) -> Parse<Option<Token<'a>>> {
        if self.peek()?.kind == kind {
            return self.advance().map(Some);
        }
        Ok(None)
    }
    fn expect(&mut self, kind: TokenKind) -> Parse<Token<'a>> {
        let token = self.peek()?;
        if token.kind == kind {
            self.advance()
        } else {
            Err(self.unexpected(token))
        }
    }
    fn unexpected(&self, token: Token<'a>) -> ParseError {
        unexpected_in(token, self.context)
    }
    /// Runs with another context for errors.
    fn within<T>(&mut self, context: Context, parse: impl FnOnce(&mut Self) -> Parse<T>) -> Parse<T> {
        let outer = std::mem::replace(&mut self.context, context);
        let result = parse(self);
        self.context = outer;
        result
    }
    /// Runs one level deeper.
    fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parse<T>) -> Parse<T> {
        if self.nesting >= MAX_DEPTH {
            return Err(too_deep(self.peek()?.start));
        }
        self.nesting += 1;
        let result = parse(self);
        self.nesting -= 1;
        result
    }

    fn expr(&mut self) -> Parse<Expr> {
        self.binary(0)
    }

    /// An expression of operators of a precedence or higher.
    fn binary(&mut self, min_precedence: u8) -> Parse<Expr> {
        let mut left = self.unary()?;
        loop {
            let token = self.peek()?;
            let TokenKind::Operator(op) = token.kind else {
                return Ok(left);
            };
            if op.precedence() < min_precedence {
                return Ok(left);
            }
            self.advance()?;
            let (return_bool, matching) = self.binary_modifiers()?;
            let right = self.nested(|p| p.binary(op.right_precedence()))?;
            let span = Span {
                start: left.span.start,
                end: right.span.end,
            };
            let matching = Some(matching);
            left = new_expr(
                Node::Binary(Box::new(Binary {
                    op,
                    left,
                    right,
                    return_bool,
                    matching,
                })),
                span,
            )?;
        }
    }

    fn binary_modifiers(&mut self) -> Parse<(bool, Matching)> {
        let mut matching = Matching::default();
        let return_bool = self.accept(TokenKind::Bool)?.is_some();
        let on = self.accept(TokenKind::On)?.is_some();
        if on || self.accept(TokenKind::Ignoring)?.is_some() {
            matching.on = on;
            matching.labels = self.grouping_labels()?;
            let cardinality = match self.peek()?.kind {
                TokenKind::GroupLeft => Some(Cardinality::ManyToOne),
                TokenKind::GroupRight => Some(Cardinality::OneToMany),
                _ => None,
            };
            if let Some(cardinality) = cardinality {
                self.advance()?;
                matching.cardinality = cardinality;
                if !starts_expression(self.peek()?.kind) || self.peek()?.kind == TokenKind::LeftParen {
                    matching.include = self.grouping_labels()?;
                }
            }
        }
        match self.peek()?.kind {
            TokenKind::Fill => {
                matching.fill_left = Some(self.fill_value()?);
                matching.fill_right = matching.fill_left;
            }
            TokenKind::FillLeft => {
                matching.fill_left = Some(self.fill_value()?);
                if self.peek()?.kind == TokenKind::FillRight {
                    matching.fill_right = Some(self.fill_value()?);
                }
            }
            TokenKind::FillRight => {
                matching.fill_right = Some(self.fill_value()?);
                if self.peek()?.kind == TokenKind::FillLeft {
                    matching.fill_left = Some(self.fill_value()?);
                }
            }
            _ => {}
        }
        Ok((return_bool, matching))
    }

    /// A modifier with a number in parentheses.
    fn fill_value(&mut self) -> Parse<f64> {
        self.advance()?;
        self.expect(TokenKind::LeftParen)?;
        let sign = self.sign()?;
        let number = self.number()?;
        self.expect(TokenKind::RightParen)?;
        Ok(match sign {
            Some((UnaryOp::Minus, _)) => -number.value,
            _ => number.value,
        })
    }

    fn sign(&mut self) -> Parse<Option<(UnaryOp, Token<'a>)>> {
        let op = match self.peek()?.kind {
            TokenKind::Operator(BinaryOp::Add) => UnaryOp::Plus,
            TokenKind::Operator(BinaryOp::Sub) => UnaryOp::Minus,
            _ => return Ok(None),
        };
        Ok(Some((op, self.advance()?)))
    }

    /// Something with any number of signs before it, which bind as tight as `*`.
    fn unary(&mut self) -> Parse<Expr> {
        let Some((op, token)) = self.sign()? else {
            let expr = self.primary()?;
            return self.modifiers(expr);
        };
        let mut expr = self.nested(|p| p.binary(POWER))?;
        let span = Span {
            start: token.start,
            end: expr.span.end,
        };
        if let Node::Number(number) = &mut expr.node {
            if op == UnaryOp::Minus {
                number.value = -number.value;
            }
            expr.span = span;
            return Ok(expr);
        }
        new_expr(Node::Unary(op, Box::new(expr)), span)
    }

    /// An expression without operators and without what comes behind it.
    fn primary(&mut self) -> Parse<Expr> {
        let token = self.peek()?;
        match token.kind {
            TokenKind::Number | TokenKind::Duration => {
                let number = self.number()?;
                new_expr(Node::Number(number), span_of(token))
            }
            TokenKind::String => {
                self.advance()?;
                new_expr(Node::String(unquote(token)?), span_of(token))
            }
            TokenKind::LeftParen => {
                self.advance()?;
                let inner = self.nested(Self::expr)?;
                let span = Span {
                    start: token.start,
                    end: self.expect(TokenKind::RightParen)?.end(),
                };
                new_expr(Node::Paren(Box::new(inner)), span)
            }
            TokenKind::LeftBrace => self.vector_selector(None),
            TokenKind::Aggregator(op) => {
                self.advance()?;
                match self.peek()?.kind {
                    TokenKind::LeftParen | TokenKind::By | TokenKind::Without => self.aggregate(op, token),
                    _ => self.vector_selector(Some(token)),
                }
            }
            kind if is_function_name(kind) => {
                self.advance()?;
                match self.peek()?.kind {
                    TokenKind::LeftParen => self.call(token),
                    _ => self.vector_selector(Some(token)),
                }
            }
            kind if is_metric_name(kind) => {
                self.advance()?;
                self.vector_selector(Some(token))
            }
            _ => Err(self.unexpected(token)),
        }
    }

    fn number(&mut self) -> Parse<Number> {
        let token = self.peek()?;
        let value = match token.kind {
            TokenKind::Number => go::parse_number(token.text),
            TokenKind::Duration => go::parse_duration(token.text),
            _ => return Err(self.unexpected(token)),
        };
        self.advance()?;
        Ok(Number {
            value: value.map_err(|message| ParseError::new(token.start, message))?,
            is_duration: token.kind == TokenKind::Duration,
        })
    }

    fn aggregate(&mut self, op: AggregateOp, token: Token<'a>) -> Parse<Expr> {
        let in_aggregation = Context::new("aggregation", "");
        let before = self.grouping()?;
        let args = self.within(in_aggregation, Self::arguments)?;
        let mut end = self.last_closing;
        let grouping = match before {
            Some(grouping) => Some(grouping),
            None => {
                let after = self.grouping()?;
                if after.is_some() {
                    end = self.last_closing;
                }
                after
            }
        };
        let (without, grouping) = grouping.unwrap_or_default();
        let span = Span {
            start: token.start,
            end,
        };
        let wrong = |message: String| Err(ParseError::new(span.start, message));
        let (expected, got) = (1 + usize::from(op.has_param()), args.len());
        if got == 0 {
            return wrong("no arguments for aggregate expression provided".to_owned());
        }
        let mut args = args.into_iter();
        let param = if op.has_param() { args.next() } else { None };
        match (args.next(), args.next()) {
            (Some(expr), None) => new_expr(
                Node::Aggregate(Box::new(Aggregate {
                    op,
                    expr,
                    param,
                    grouping,
                    without,
                })),
                span,
            ),
            _ => wrong(format!(
                "wrong number of arguments for aggregate expression provided, expected {expected}, got {got}"
            )),
        }
    }

    /// `by ( … )` or `without ( … )`, and whether it is the latter.
    fn grouping(&mut self) -> Parse<Option<(bool, Vec<String>)>> {
        let without = match self.peek()?.kind {
            TokenKind::By => false,
            TokenKind::Without => true,
            _ => return Ok(None),
        };
        self.advance()?;
        Ok(Some((without, self.grouping_labels()?)))
    }

    fn call(&mut self, name: Token<'a>) -> Parse<Expr> {
        let args = self.arguments()?;
        let span = Span {
            start: name.start,
            end: self.last_closing,
        };
        let Some(function) = function(name.text) else {
            let message = format!("unknown function with name {}", go::quote(name.text));
            return Err(ParseError::new(name.start, message));
        };
        new_expr(Node::Call(Call { function, args }), span)
    }

    /// Expressions in parentheses.
    fn arguments(&mut self) -> Parse<Vec<Expr>> {
        let mut args = Vec::new();
        self.expect(TokenKind::LeftParen)?;
        if self.accept(TokenKind::RightParen)?.is_some() {
            return Ok(args);
        }
        loop {
            args.push(self.nested(Self::expr)?);
            let Some(comma) = self.accept(TokenKind::Comma)? else {
                break;
            };
            if !starts_expression(self.peek()?.kind) {
                let message = "trailing commas not allowed in function call args";
                return Err(ParseError::new(comma.start, message));
            }
        }
        self.expect(TokenKind::RightParen)?;
        Ok(args)
    }
}

/// Puts a node into the tree.
///
/// # Errors
/// When the tree is too deep: everything that walks over it recurses.
fn new_expr(node: Node, span: Span) -> Parse<Expr> {
    let mut expr = Expr { node, span, depth: 1 };
    let below = expr.children().iter().map(|child| child.depth).max().unwrap_or(0);
    if below >= MAX_DEPTH {
        return Err(too_deep(span.start));
    }
    expr.depth = below + 1;
    Ok(expr)
}

fn unexpected_in(token: Token<'_>, context: Context) -> ParseError {
    let mut message = format!("unexpected {}", token.describe());
    for (word, what) in [(" in ", context.within), (", expected ", context.expected)] {
        if !what.is_empty() {
            message.push_str(word);
            message.push_str(what);
        }
    }
    ParseError::new(token.start, message)
}

fn span_of(token: Token<'_>) -> Span {
    Span {
        start: token.start,
        end: token.end(),
    }
}

fn unquote(token: Token<'_>) -> Parse<String> {
    go::unquote(token.text).map_err(|e| {
        let message = format!("error unquoting string {}: {e}", go::quote(token.text));
        ParseError::new(token.start, message)
    })
}

fn is_function_name(kind: TokenKind) -> bool {
    matches!(
        kind,
        TokenKind::Identifier
            | TokenKind::Start
            | TokenKind::End
            | TokenKind::Step
            | TokenKind::Range
            | TokenKind::MaxOf
            | TokenKind::MinOf
    )
}

/// Names, and the keywords that are names where no keyword can stand.
fn is_metric_name(kind: TokenKind) -> bool {
    is_function_name(kind)
        || matches!(
            kind,
            TokenKind::MetricIdentifier
                | TokenKind::Aggregator(_)
                | TokenKind::Operator(BinaryOp::And | BinaryOp::Or | BinaryOp::Unless)
                | TokenKind::By
                | TokenKind::Without
                | TokenKind::Offset
                | TokenKind::Anchored
                | TokenKind::Smoothed
                | TokenKind::Fill
                | TokenKind::FillLeft
                | TokenKind::FillRight
        )
}

fn starts_expression(kind: TokenKind) -> bool {
    is_metric_name(kind)
        || matches!(
            kind,
            TokenKind::Number
                | TokenKind::Duration
                | TokenKind::String
                | TokenKind::LeftParen
                | TokenKind::LeftBrace
                | TokenKind::Operator(BinaryOp::Add | BinaryOp::Sub)
        )
}
