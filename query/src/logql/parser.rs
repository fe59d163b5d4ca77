//! From text to the expression tree; every error says its line and column.

mod stages;

use super::ast::{Binary, LogSelector, Metric, Query, RangeAggregation, RangeOp, VectorOp};
use super::lexer::{Token, error_at, tokens};
use crate::columns::aggregate::{Aggregation, Grouping};
use crate::columns::matching::{Cardinality, Matching};
use crate::columns::operators::Operator;
use model::matcher::anchored_regex;
use model::{Error, Result};

/// The deepest nesting.
const MAX_DEPTH: usize = 100;
/// The most operators; a chain of them is as deep as it is long.
const MAX_OPERATORS: usize = 200;

/// Range aggregations that need a stage which this version does not have.
const UNSUPPORTED_RANGE: [&str; 10] = [
    "sum_over_time",
    "avg_over_time",
    "min_over_time",
    "max_over_time",
    "first_over_time",
    "last_over_time",
    "stddev_over_time",
    "stdvar_over_time",
    "quantile_over_time",
    "rate_counter",
];

/// Parses a query.
///
/// # Errors
/// `BadData` with line and column.
pub(super) fn parse(query: &str) -> Result<Query> {
    let mut parser = Parser {
        query,
        tokens: tokens(query)?,
        at: 0,
        depth: 0,
        operators: 0,
    };
    let parsed = parser.binary(0)?;
    match parser.peek() {
        Token::End => Ok(parsed),
        _ => Err(parser.unexpected("the end of the query")),
    }
}

struct Parser<'a> {
    query: &'a str,
    tokens: Vec<(Token, usize)>,
    at: usize,
    depth: usize,
    operators: usize,
}

impl Parser<'_> {
    fn peek(&self) -> &Token {
        &self.tokens[self.at].0
    }
    fn peek_second(&self) -> &Token {
        &self.tokens[(self.at + 1).min(self.tokens.len() - 1)].0
    }
    fn offset(&self) -> usize {
        self.tokens[self.at].1
    }
    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        if self.at + 1 < self.tokens.len() {
            self.at += 1;
        }
        token
    }
    fn error(&self, message: impl std::fmt::Display) -> Error {
        error_at(self.query, self.offset(), message)
    }
    fn error_before(&self, message: impl std::fmt::Display) -> Error {
        error_at(self.query, self.tokens[self.at.saturating_sub(1)].1, message)
    }
    fn unexpected(&self, wanted: &str) -> Error {
        self.error(format_args!(
            "syntax error: unexpected {}, expecting {wanted}",
            self.peek().shown()
        ))
    }
    fn is(&self, symbol: &str) -> bool {
        matches!(self.peek(), Token::Symbol(s) if *s == symbol)
    }
    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Token::Word(w) if w == word)
    }
    fn take(&mut self, symbol: &str) -> bool {
        let found = self.is(symbol);
        if found {
            self.next();
        }
        found
    }
    fn take_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        if found {
            self.next();
        }
        found
    }
    fn expect(&mut self, symbol: &str) -> Result<()> {
        if self.take(symbol) {
            Ok(())
        } else {
            Err(self.unexpected(symbol))
        }
    }
    fn word(&mut self, wanted: &str) -> Result<String> {
        match self.peek().clone() {
            Token::Word(word) => {
                self.next();
                Ok(word)
            }
            _ => Err(self.unexpected(wanted)),
        }
    }
    fn text(&mut self) -> Result<String> {
        match self.peek().clone() {
            Token::Text(text) => {
                self.next();
                Ok(text)
            }
            _ => Err(self.unexpected("STRING")),
        }
    }
    fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth >= MAX_DEPTH {
            return Err(self.error(format_args!("the query is nested more than {MAX_DEPTH} deep")));
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    /// Operators that bind at least as strongly as a level: `or`, `and unless`, comparisons, `+ -`, `* / %`, `^`.
    fn binary(&mut self, level: u8) -> Result<Query> {
        let start = self.at;
        let mut left = self.nested(Self::primary)?;
        while let Some((op, precedence)) = self.operator().filter(|(_, p)| *p >= level) {
            let Query::Metric(left_metric) = left else {
                let offset = self.tokens[start].1;
                let message = format!(
                    "unexpected type for left leg of binary operation ({})",
                    op.as_str()
                );
                return Err(error_at(self.query, offset, message));
            };
            self.operators += 1;
            if self.operators > MAX_OPERATORS {
                return Err(self.error(format_args!("the query has more than {MAX_OPERATORS} operators")));
            }
            self.next();
            let matching = self.matching(op)?;
            let right_offset = self.offset();
            let next_level = if op == Operator::Pow {
                precedence
            } else {
                precedence + 1
            };
            let Query::Metric(right_metric) = self.nested(|p| p.binary(next_level))? else {
                let message = format!(
                    "unexpected type for right leg of binary operation ({})",
                    op.as_str()
                );
                return Err(error_at(self.query, right_offset, message));
            };
            for (side, leg) in [("left", &left_metric), ("right", &right_metric)] {
                if op.is_set() && matches!(leg, Metric::Number(_)) {
                    return Err(error_at(
                        self.query,
                        right_offset,
                        format_args!(
                            "unexpected literal for {side} leg of logical/set binary operation ({})",
                            op.as_str()
                        ),
                    ));
                }
            }
            left = Query::Metric(combine(op, left_metric, right_metric, matching));
        }
        Ok(left)
    }

    fn operator(&self) -> Option<(Operator, u8)> {
        let text = match self.peek() {
            Token::Symbol(s) => s,
            Token::Word(w) => w.as_str(),
            _ => return None,
        };
        Some(match text {
            "or" => (Operator::Or, 0),
            "and" => (Operator::And, 1),
            "unless" => (Operator::Unless, 1),
            "==" => (Operator::Equal, 2),
            "!=" => (Operator::NotEqual, 2),
            ">" => (Operator::Greater, 2),
            ">=" => (Operator::GreaterEqual, 2),
            "<" => (Operator::Less, 2),
            "<=" => (Operator::LessEqual, 2),
            "+" => (Operator::Add, 3),
            "-" => (Operator::Sub, 3),
            "*" => (Operator::Mul, 4),
            "/" => (Operator::Div, 4),
            "%" => (Operator::Mod, 4),
            "^" => (Operator::Pow, 5),
            _ => return None,
        })
    }

    fn matching(&mut self, op: Operator) -> Result<Matching> {
        let mut matching = Matching::default();
        if self.is_word("bool") {
            if !op.is_comparison() {
                return Err(self.error("bool is only allowed with comparison operators"));
            }
            self.next();
            matching.return_bool = true;
        }
        matching.on = self.is_word("on");
        if matching.on || self.is_word("ignoring") {
            self.next();
            matching.labels = self.label_list()?;
            let (left, right) = (self.is_word("group_left"), self.is_word("group_right"));
            if left || right {
                self.next();
                matching.cardinality = if left {
                    Cardinality::ManyToOne
                } else {
                    Cardinality::OneToMany
                };
                if self.is("(") {
                    matching.include = self.label_list()?;
                }
            }
        }
        if op.is_set() {
            matching.cardinality = Cardinality::ManyToMany;
        }
        Ok(matching)
    }

    /// `(a, b)`
    fn label_list(&mut self) -> Result<Vec<String>> {
        self.expect("(")?;
        let mut labels = Vec::new();
        while !self.take(")") {
            labels.push(self.word("IDENTIFIER or )")?);
            if !self.is(")") {
                self.expect(",")?;
            }
        }
        Ok(labels)
    }

    fn primary(&mut self) -> Result<Query> {
        match self.peek().clone() {
            Token::Symbol("(") => {
                self.next();
                let inner = self.binary(0)?;
                self.expect(")")?;
                match inner {
                    Query::Log(selector) => self.stages(selector).map(Query::Log),
                    metric @ Query::Metric(_) => Ok(metric),
                }
            }
            Token::Symbol("{") => {
                let selector = self.selector()?;
                self.stages(selector).map(Query::Log)
            }
            Token::Number(_) | Token::Symbol("+" | "-") => {
                self.signed_number().map(|n| Query::Metric(Metric::Number(n)))
            }
            Token::Word(word) => self.function(&word).map(Query::Metric),
            _ => Err(self.unexpected("a query")),
        }
    }

    fn signed_number(&mut self) -> Result<f64> {
        let negative = self.is("-");
        if negative || self.is("+") {
            self.next();
        }
        match self.peek() {
            Token::Number(n) => {
                let n = if negative { -n } else { *n };
                self.next();
                Ok(n)
            }
            _ => Err(self.unexpected("NUMBER")),
        }
    }

    fn function(&mut self, name: &str) -> Result<Metric> {
        let range = match name {
            "rate" => Some(RangeOp::Rate),
            "count_over_time" => Some(RangeOp::CountOverTime),
            "bytes_rate" => Some(RangeOp::BytesRate),
            "bytes_over_time" => Some(RangeOp::BytesOverTime),
            "absent_over_time" => Some(RangeOp::AbsentOverTime),
            _ => None,
        };
        if let Some(op) = range {
            return self.range_aggregation(name, op);
        }
        if UNSUPPORTED_RANGE.contains(&name) {
            return Err(self.error(format_args!(
                "{name} is not supported yet, because it needs unwrap"
            )));
        }
        let plain = match name {
            "sum" => Some(VectorOp::Plain(Aggregation::Sum)),
            "avg" => Some(VectorOp::Plain(Aggregation::Avg)),
            "min" => Some(VectorOp::Plain(Aggregation::Min)),
            "max" => Some(VectorOp::Plain(Aggregation::Max)),
            "count" => Some(VectorOp::Plain(Aggregation::Count)),
            "stddev" => Some(VectorOp::Plain(Aggregation::Stddev)),
            "stdvar" => Some(VectorOp::Plain(Aggregation::Stdvar)),
            "topk" => Some(VectorOp::TopK(0.0)),
            "bottomk" => Some(VectorOp::BottomK(0.0)),
            "sort" => Some(VectorOp::Sort { descending: false }),
            "sort_desc" => Some(VectorOp::Sort { descending: true }),
            _ => None,
        };
        if let Some(op) = plain {
            return self.vector_aggregation(name, op);
        }
        match name {
            "vector" => {
                self.next();
                self.expect("(")?;
                let n = self.signed_number()?;
                self.expect(")")?;
                Ok(Metric::Vector(n))
            }
            "label_replace" => self.label_replace(),
            "approx_topk" => Err(self.error("approx_topk is not supported yet")),
            _ => Err(self.error(format_args!("syntax error: unexpected IDENTIFIER {name}"))),
        }
    }

    fn metric(&mut self, context: &str) -> Result<Metric> {
        let offset = self.offset();
        match self.binary(0)? {
            Query::Metric(metric) => Ok(metric),
            Query::Log(_) => {
                let message = format!("{context} needs a metric query, for instance rate({{...}}[5m])");
                Err(error_at(self.query, offset, message))
            }
        }
    }

    fn label_replace(&mut self) -> Result<Metric> {
        self.next();
        self.expect("(")?;
        let expr = Box::new(self.metric("label_replace")?);
        let mut args = [const { String::new() }; 4];
        for arg in &mut args {
            self.expect(",")?;
            *arg = self.text()?;
        }
        anchored_regex(&args[3]).map_err(|e| {
            self.error_before(format_args!("invalid regex in label_replace: {}", e.message()))
        })?;
        if args[0].is_empty() {
            return Err(self.error_before("label_replace needs the name of a label to write"));
        }
        self.expect(")")?;
        Ok(Metric::LabelReplace { expr, args })
    }

    fn grouping(&mut self) -> Result<Option<Grouping>> {
        let without = self.is_word("without");
        if !without && !self.is_word("by") {
            return Ok(None);
        }
        self.next();
        let labels = self.label_list()?;
        Ok(Some(Grouping { without, labels }))
    }

    fn vector_aggregation(&mut self, name: &str, op: VectorOp) -> Result<Metric> {
        self.next();
        let before = self.grouping()?;
        self.expect("(")?;
        let ranked = matches!(op, VectorOp::TopK(_) | VectorOp::BottomK(_));
        let parameter = match (self.peek(), self.peek_second()) {
            (Token::Number(n), Token::Symbol(",")) => Some(*n),
            _ => None,
        };
        let op = match (op, parameter) {
            (op, None) if !ranked => op,
            (_, None) => return Err(self.error(format_args!("parameter required for operation {name}"))),
            (VectorOp::TopK(_), Some(k)) if k.fract() == 0.0 && k > 0.0 => VectorOp::TopK(k),
            (VectorOp::BottomK(_), Some(k)) if k.fract() == 0.0 && k > 0.0 => VectorOp::BottomK(k),
            (_, Some(k)) if ranked => return Err(self.error(format_args!("invalid parameter {name}({k},"))),
            (_, Some(k)) => {
                return Err(self.error(format_args!("unsupported parameter for operation {name}({k},")));
            }
        };
        if parameter.is_some() {
            self.next();
            self.next();
        }
        let expr = Box::new(self.metric(name)?);
        self.expect(")")?;
        let grouping = match before {
            Some(grouping) => grouping,
            None => self.grouping()?.unwrap_or_default(),
        };
        Ok(Metric::Aggregate { op, grouping, expr })
    }

    fn range_aggregation(&mut self, name: &str, op: RangeOp) -> Result<Metric> {
        self.next();
        self.expect("(")?;
        let mut selector = self.range_selector()?;
        let mut range_ns = self.range()?;
        selector = self.stages(selector)?;
        if range_ns.is_none() {
            range_ns = self.range()?;
        }
        let Some(range_ns) = range_ns else {
            return Err(self.unexpected("a range such as [5m]"));
        };
        let offset_ns = self.range_offset()?;
        selector = self.stages(selector)?;
        self.expect(")")?;
        if self.is_word("by") || self.is_word("without") {
            return Err(self.error(format_args!("grouping not allowed for {name} aggregation")));
        }
        Ok(Metric::Range(RangeAggregation {
            op,
            selector,
            range_ns,
            offset_ns,
        }))
    }

    /// A selector with or without parentheses, with its stages.
    fn range_selector(&mut self) -> Result<LogSelector> {
        if self.take("(") {
            let inner = self.nested(Self::range_selector)?;
            let inner = self.stages(inner)?;
            self.expect(")")?;
            return Ok(inner);
        }
        if !self.is("{") {
            return Err(self.unexpected("{"));
        }
        self.selector()
    }

    fn range(&mut self) -> Result<Option<i64>> {
        if !self.take("[") {
            return Ok(None);
        }
        let range_ns = match self.peek() {
            Token::Duration(ns) if *ns > 0 => *ns,
            _ => return Err(self.unexpected("a duration such as 5m")),
        };
        self.next();
        self.expect("]")?;
        Ok(Some(range_ns))
    }

    fn range_offset(&mut self) -> Result<i64> {
        if !self.take_word("offset") {
            return Ok(0);
        }
        let negative = self.take("-");
        match *self.peek() {
            Token::Duration(ns) => {
                self.next();
                Ok(if negative { -ns } else { ns })
            }
            _ => Err(self.unexpected("a duration such as 5m")),
        }
    }
}

/// Numbers combine at once, as Loki does it; a comparison gives 1 or 0.
fn combine(op: Operator, left: Metric, right: Metric, matching: Matching) -> Metric {
    match (left, right) {
        (Metric::Number(l), Metric::Number(r)) => Metric::Number(super::eval::compute(op, l, r)),
        (left, right) => Metric::Binary(Box::new(Binary {
            op,
            left,
            right,
            matching,
        })),
    }
}
