//! Durations of ranges, steps and offsets.

use super::{Parse, Parser, span_of};
use crate::promql::syntax::duration::{DurationExpr, DurationKind, DurationOp, Period, is_out_of_range};
use crate::promql::syntax::operators::{BinaryOp, POWER, UnaryOp};
use crate::promql::syntax::token::{Token, TokenKind};
use crate::promql::syntax::{ParseError, Span};

impl<'a> Parser<'a> {
    /// The duration of a range or of a step.
    pub(super) fn positive_duration(&mut self) -> Parse<Period> {
        let expr = self.duration(0)?;
        if expr.number().is_some_and(|n| n.value <= 0.0) {
            let message = "duration must be greater than 0";
            return Err(ParseError::new(expr.span.start, message));
        }
        Ok(Period::from_expr(expr))
    }

    /// The duration of an offset. Operators behind it are those of the expression, unless it begins with a
    /// parenthesis or with two signs: `a offset 5m + 5` is a sum of vectors.
    pub(super) fn offset_duration(&mut self) -> Parse<Period> {
        let expr = match self.sign()? {
            None if self.peek()?.kind == TokenKind::LeftParen => {
                let first = self.duration_primary()?;
                self.duration_operators(first, 0)?
            }
            None => self.duration_primary()?,
            Some((op, token)) if self.sees_sign()? => {
                let inner = self.nested(|p| p.duration(POWER))?;
                let first = signed(op, token, inner)?;
                self.duration_operators(first, 0)?
            }
            Some((op, token)) if matches!(self.peek()?.kind, TokenKind::Number | TokenKind::Duration) => {
                let span = span_of(self.peek()?);
                let number = self.number()?;
                if is_out_of_range(number.value) {
                    return Err(ParseError::new(token.start, "duration out of range"));
                }
                signed(op, token, DurationExpr::new(DurationKind::Number(number), span)?)?
            }
            Some((UnaryOp::Plus, token)) => {
                let inner = self.duration_primary()?;
                kept_plus(token, inner)?
            }
            Some((op, token)) => {
                let inner = self.duration_primary()?;
                signed(op, token, inner)?
            }
        };
        Ok(Period::from_expr(expr))
    }

    fn sees_sign(&mut self) -> Parse<bool> {
        let kind = self.peek()?.kind;
        Ok(matches!(kind, TokenKind::Operator(BinaryOp::Add | BinaryOp::Sub)))
    }

    /// Operators of a precedence or higher.
    fn duration(&mut self, min_precedence: u8) -> Parse<DurationExpr> {
        let first = match self.sign()? {
            None => self.duration_primary()?,
            Some((op, token)) => {
                let inner = self.nested(|p| p.duration(POWER))?;
                signed(op, token, inner)?
            }
        };
        self.duration_operators(first, min_precedence)
    }

    fn duration_operators(&mut self, mut left: DurationExpr, min_precedence: u8) -> Parse<DurationExpr> {
        loop {
            let token = self.peek()?;
            let TokenKind::Operator(op) = token.kind else {
                return Ok(left);
            };
            let Some(duration_op) = duration_operator(op).filter(|_| op.precedence() >= min_precedence)
            else {
                return Ok(left);
            };
            self.advance()?;
            let right = self.nested(|p| p.duration(op.right_precedence()))?;
            if right.number().is_some_and(|n| n.value == 0.0) {
                match op {
                    BinaryOp::Div => return Err(ParseError::new(token.start, "division by zero")),
                    BinaryOp::Mod => return Err(ParseError::new(token.start, "modulo by zero")),
                    _ => {}
                }
            }
            left = binary(duration_op, left, right)?;
        }
    }

    fn duration_primary(&mut self) -> Parse<DurationExpr> {
        let token = self.peek()?;
        let op = match token.kind {
            TokenKind::Number | TokenKind::Duration => {
                let number = self.number()?;
                if is_out_of_range(number.value) {
                    return Err(ParseError::new(token.start, "duration out of range"));
                }
                let span = span_of(token);
                return DurationExpr::new(DurationKind::Number(number), span);
            }
            TokenKind::LeftParen => {
                self.advance()?;
                let inner = self.nested(|p| p.duration(0))?;
                self.expect(TokenKind::RightParen)?;
                return wrapped(inner, token.start);
            }
            TokenKind::Step | TokenKind::Range => {
                self.advance()?;
                self.expect(TokenKind::LeftParen)?;
                let span = Span {
                    start: token.start,
                    end: self.expect(TokenKind::RightParen)?.end(),
                };
                let kind = match token.kind {
                    TokenKind::Step => DurationKind::Step,
                    _ => DurationKind::Range,
                };
                return DurationExpr::new(kind, span);
            }
            TokenKind::MinOf => DurationOp::Min,
            TokenKind::MaxOf => DurationOp::Max,
            _ => return Err(self.unexpected(token)),
        };
        self.advance()?;
        self.expect(TokenKind::LeftParen)?;
        let left = self.nested(|p| p.duration(0))?;
        self.expect(TokenKind::Comma)?;
        let right = self.nested(|p| p.duration(0))?;
        self.expect(TokenKind::RightParen)?;
        binary(op, left, right)
    }
}

/// Spans from operand to operand, also for those that are written as a function.
fn binary(op: DurationOp, left: DurationExpr, right: DurationExpr) -> Parse<DurationExpr> {
    let span = Span {
        start: left.span.start,
        end: right.span.end,
    };
    DurationExpr::new(DurationKind::Binary(op, Box::new(left), Box::new(right)), span)
}

fn signed(op: UnaryOp, token: Token<'_>, mut inner: DurationExpr) -> Parse<DurationExpr> {
    let span = Span {
        start: token.start,
        end: inner.span.end,
    };
    if let DurationKind::Number(number) = &mut inner.kind {
        if op == UnaryOp::Minus {
            number.value = -number.value;
        }
        inner.span = span;
        return Ok(inner);
    }
    if op == UnaryOp::Plus {
        return Ok(inner);
    }
    DurationExpr::new(DurationKind::Unary(op, Box::new(inner)), span)
}

/// The plus of an offset stays in the tree where it does nothing: so has Prometheus' tree.
fn kept_plus(token: Token<'_>, inner: DurationExpr) -> Parse<DurationExpr> {
    if inner.wrapped {
        return signed(UnaryOp::Plus, token, inner);
    }
    let span = Span {
        start: token.start,
        end: inner.span.end,
    };
    DurationExpr::new(DurationKind::Unary(UnaryOp::Plus, Box::new(inner)), span)
}

/// Marks that it stood in parentheses, so that it is printed so.
fn wrapped(inner: DurationExpr, start: usize) -> Parse<DurationExpr> {
    let mut outer = if inner.number().is_some() {
        let span = Span {
            start,
            end: inner.span.end,
        };
        DurationExpr::new(DurationKind::Unary(UnaryOp::Plus, Box::new(inner)), span)?
    } else {
        inner
    };
    outer.wrapped = true;
    Ok(outer)
}

fn duration_operator(op: BinaryOp) -> Option<DurationOp> {
    Some(match op {
        BinaryOp::Add => DurationOp::Add,
        BinaryOp::Sub => DurationOp::Sub,
        BinaryOp::Mul => DurationOp::Mul,
        BinaryOp::Div => DurationOp::Div,
        BinaryOp::Mod => DurationOp::Mod,
        BinaryOp::Pow => DurationOp::Pow,
        _ => return None,
    })
}
