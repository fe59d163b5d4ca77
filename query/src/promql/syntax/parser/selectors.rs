//! Selectors, their modifiers, and lists of labels.

use super::{Context, Parse, Parser, new_expr, span_of, unexpected_in, unquote};
use crate::go;
use crate::promql::syntax::operators::{BinaryOp, UnaryOp};
use crate::promql::syntax::token::{Token, TokenKind};
use crate::promql::syntax::{
    At, Expr, MatrixSelector, Node, ParseError, Period, Span, Subquery, VectorSelector,
};
use model::labels::METRIC_NAME;
use model::{MatchOp, Matcher};

impl<'a> Parser<'a> {
    /// A selector after its name.
    pub(super) fn vector_selector(&mut self, name: Option<Token<'a>>) -> Parse<Expr> {
        let mut matchers = Vec::new();
        let (start, mut end) = match name {
            Some(name) => (name.start, name.end()),
            None => (self.peek()?.start, 0),
        };
        if self.accept(TokenKind::LeftBrace)?.is_some() {
            matchers = self.label_matchers()?;
            end = self.last_closing;
        }
        let name = name.map_or("", |name| name.text);
        if !name.is_empty() {
            matchers.push(Matcher::equal(METRIC_NAME, name));
        }
        let selector = VectorSelector {
            name: name.to_owned(),
            matchers,
            at: None,
            offset: Period::ZERO,
            anchored: false,
            smoothed: false,
        };
        new_expr(Node::Vector(selector), Span { start, end })
    }

    /// Matchers and the brace behind them.
    fn label_matchers(&mut self) -> Parse<Vec<Matcher>> {
        let mut matchers = Vec::new();
        while self.accept(TokenKind::RightBrace)?.is_none() {
            matchers.push(self.label_matcher()?);
            let token = self.peek()?;
            match token.kind {
                TokenKind::Comma => _ = self.advance()?,
                TokenKind::RightBrace => {}
                _ => {
                    return Err(unexpected_in(
                        token,
                        Context::new("label matching", r#""," or "}""#),
                    ));
                }
            }
        }
        Ok(matchers)
    }

    fn label_matcher(&mut self) -> Parse<Matcher> {
        let wrong = |token, expected| Err(unexpected_in(token, Context::new("label matching", expected)));
        let label = self.peek()?;
        let name = match label.kind {
            TokenKind::Identifier => label.text.to_owned(),
            TokenKind::String => unquote(label)?,
            _ => return wrong(label, r#"identifier or "}""#),
        };
        self.advance()?;
        let token = self.peek()?;
        let op = match token.kind {
            TokenKind::Assign => MatchOp::Equal,
            TokenKind::Operator(BinaryOp::NotEqual) => MatchOp::NotEqual,
            TokenKind::RegexMatch => MatchOp::Regex,
            TokenKind::RegexNoMatch => MatchOp::NotRegex,
            _ if label.kind == TokenKind::String => return Ok(Matcher::equal(METRIC_NAME, name)),
            _ => return wrong(token, "label matching operator"),
        };
        self.advance()?;
        let value = self.peek()?;
        if value.kind != TokenKind::String {
            return wrong(value, "string");
        }
        self.advance()?;
        Matcher::new(name, op, unquote(value)?).map_err(|e| ParseError::new(label.start, e.message()))
    }

    /// Names of labels in parentheses.
    pub(super) fn grouping_labels(&mut self) -> Parse<Vec<String>> {
        let wrong = |token, expected| Err(unexpected_in(token, Context::new("grouping opts", expected)));
        let mut labels = Vec::new();
        let open = self.peek()?;
        if open.kind != TokenKind::LeftParen {
            return wrong(open, r#""(""#);
        }
        self.advance()?;
        while self.accept(TokenKind::RightParen)?.is_none() {
            let token = self.peek()?;
            let label = match token.kind {
                TokenKind::String => unquote(token)?,
                kind if is_label_name(kind) => token.text.to_owned(),
                _ => return wrong(token, "label"),
            };
            if label.is_empty() {
                let message = format!("invalid label name for grouping: {}", go::quote(&label));
                return Err(ParseError::new(token.start, message));
            }
            labels.push(label);
            self.advance()?;
            let token = self.peek()?;
            match token.kind {
                TokenKind::Comma => _ = self.advance()?,
                TokenKind::RightParen => {}
                _ => return wrong(token, r#""," or ")""#),
            }
        }
        Ok(labels)
    }

    /// What comes behind an expression: ranges, `offset`, `@`, `anchored`, `smoothed`.
    pub(super) fn modifiers(&mut self, mut expr: Expr) -> Parse<Expr> {
        loop {
            let token = self.peek()?;
            expr = match token.kind {
                TokenKind::LeftBracket => self.range(expr)?,
                TokenKind::Offset => self.offset(expr)?,
                TokenKind::At => self.at(expr)?,
                TokenKind::Anchored | TokenKind::Smoothed => self.extended(expr)?,
                _ => return Ok(expr),
            };
        }
    }

    fn range(&mut self, expr: Expr) -> Parse<Expr> {
        const DURATION: &str = "number, duration, step(), or range()";
        let open = self.advance()?;
        let start = expr.span.start;
        let range = self.within(
            Context::new("subquery or range selector", DURATION),
            Self::positive_duration,
        )?;
        let token = self.peek()?;
        match token.kind {
            TokenKind::RightBracket => {
                let end = self.advance()?.end();
                return matrix_selector(expr, range, open, end);
            }
            TokenKind::Colon => _ = self.advance()?,
            _ => {
                let context = Context::new("subquery or range", r#"":" or "]""#);
                return Err(unexpected_in(token, context));
            }
        }
        let mut step = None;
        if self.peek()?.kind != TokenKind::RightBracket {
            let context = Context::new(
                "subquery selector",
                r#"number, duration, step(), range(), or "]""#,
            );
            // A step of less than a nanosecond is none.
            step = Some(self.within(context, Self::positive_duration)?).filter(|s| *s != Period::ZERO);
        }
        let token = self.peek()?;
        if token.kind != TokenKind::RightBracket {
            return Err(unexpected_in(token, Context::new("subquery selector", r#""]""#)));
        }
        let end = self.advance()?.end();
        let subquery = Subquery {
            expr,
            range,
            step,
            at: None,
            offset: Period::ZERO,
        };
        new_expr(Node::Subquery(Box::new(subquery)), Span { start, end })
    }

    fn offset(&mut self, mut expr: Expr) -> Parse<Expr> {
        self.advance()?;
        let context = Context::new("offset", "number, duration, step(), or range()");
        let offset = self.within(context, Self::offset_duration)?;
        let span = expr.span;
        let slot = match &mut expr.node {
            Node::Vector(s) => &mut s.offset,
            Node::Matrix(m) => &mut m.selector.offset,
            Node::Subquery(s) => &mut s.offset,
            _ => {
                let message = "offset modifier must be preceded by an instant vector selector or range vector selector or a subquery";
                return Err(ParseError::new(span.start, message));
            }
        };
        if *slot != Period::ZERO {
            return Err(ParseError::new(
                span.start,
                "offset may not be set multiple times",
            ));
        }
        *slot = offset;
        expr.span.end = self.last_closing;
        Ok(expr)
    }

    fn at(&mut self, mut expr: Expr) -> Parse<Expr> {
        self.advance()?;
        let at = self.within(Context::new("@", "timestamp"), Self::timestamp)?;
        let wrong = |message: String| Err(ParseError::new(expr.span.start, message));
        let at = match at {
            Timestamp::Seconds(s) if !s.is_finite() || s.abs() >= i64::MAX as f64 => {
                let shown = if s.is_finite() {
                    format!("{s:.6}")
                } else {
                    go::format_number(s)
                };
                return wrong(format!("timestamp out of bounds for @ modifier: {shown}"));
            }
            Timestamp::Seconds(s) => At::Time((s * 1000.0).round() as i64),
            Timestamp::OfQuery(at) => at,
        };
        let slot = match &mut expr.node {
            Node::Vector(s) => &mut s.at,
            Node::Matrix(m) => &mut m.selector.at,
            Node::Subquery(s) => &mut s.at,
            _ => {
                return wrong("@ modifier must be preceded by an instant vector selector or range vector selector or a subquery".to_owned());
            }
        };
        if slot.is_some() {
            return wrong("@ <timestamp> may not be set multiple times".to_owned());
        }
        *slot = Some(at);
        expr.span.end = self.last_closing;
        Ok(expr)
    }

    fn timestamp(&mut self) -> Parse<Timestamp> {
        let at = match self.peek()?.kind {
            TokenKind::Start => At::Start,
            TokenKind::End => At::End,
            _ => {
                let sign = self.sign()?;
                let value = self.number()?.value;
                return Ok(Timestamp::Seconds(match sign {
                    Some((UnaryOp::Minus, _)) => -value,
                    _ => value,
                }));
            }
        };
        self.advance()?;
        self.expect(TokenKind::LeftParen)?;
        self.expect(TokenKind::RightParen)?;
        Ok(Timestamp::OfQuery(at))
    }

    fn extended(&mut self, mut expr: Expr) -> Parse<Expr> {
        let token = self.advance()?;
        let anchored = token.kind == TokenKind::Anchored;
        let name = if anchored { "anchored" } else { "smoothed" };
        let start = expr.span.start;
        let selector = match &mut expr.node {
            Node::Vector(s) => s,
            Node::Matrix(m) => &mut m.selector,
            Node::Subquery(_) => {
                let message = format!("{name} modifier is not supported for subqueries");
                return Err(ParseError::new(start, message));
            }
            _ => return Err(ParseError::new(start, format!("{name} modifier not implemented"))),
        };
        selector.anchored |= anchored;
        selector.smoothed |= !anchored;
        if selector.anchored && selector.smoothed {
            let message = "anchored and smoothed modifiers cannot be used together";
            return Err(ParseError::new(start, message));
        }
        Ok(expr)
    }
}

/// What may stand behind `@`.
enum Timestamp {
    Seconds(f64),
    OfQuery(At),
}

fn matrix_selector(expr: Expr, range: Period, open: Token<'_>, end: usize) -> Parse<Expr> {
    let wrong = |message| Err(ParseError::new(span_of(open).start, message));
    let selector_span = expr.span;
    let Node::Vector(selector) = expr.node else {
        return wrong("ranges only allowed for vector selectors");
    };
    if selector.offset != Period::ZERO {
        return wrong("no offset modifiers allowed before range");
    }
    if selector.at.is_some() {
        return wrong("no @ modifiers allowed before range");
    }
    let span = Span {
        start: selector_span.start,
        end,
    };
    new_expr(
        Node::Matrix(MatrixSelector {
            selector,
            selector_span,
            range,
        }),
        span,
    )
}

/// Names, and the keywords that may be names of labels in lists.
fn is_label_name(kind: TokenKind) -> bool {
    matches!(
        kind,
        TokenKind::Identifier
            | TokenKind::MetricIdentifier
            | TokenKind::Aggregator(_)
            | TokenKind::Operator(BinaryOp::And | BinaryOp::Or | BinaryOp::Unless | BinaryOp::Atan2)
            | TokenKind::Bool
            | TokenKind::By
            | TokenKind::On
            | TokenKind::Ignoring
            | TokenKind::GroupLeft
            | TokenKind::GroupRight
            | TokenKind::Fill
            | TokenKind::FillLeft
            | TokenKind::FillRight
            | TokenKind::Offset
            | TokenKind::Anchored
            | TokenKind::Smoothed
            | TokenKind::Start
            | TokenKind::End
            | TokenKind::Step
            | TokenKind::Range
            | TokenKind::MaxOf
            | TokenKind::MinOf
    )
}
