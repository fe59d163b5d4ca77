//! Parses stream selectors and the stages behind them.

use super::Parser;
use crate::columns::operators::Operator;
use crate::logql::ast::{Extraction, LabelFilter, LineMatch, LogSelector, Logfmt, PathPart, Stage, Unit};
use crate::logql::lexer::{Token, error_at};
use model::matcher::search_regex;
use model::predicate::LineFilter;
use model::{MatchOp, Matcher, Result};

/// Stages of Loki that this version does not have.
const UNSUPPORTED_STAGES: [&str; 10] = [
    "regexp",
    "pattern",
    "unpack",
    "line_format",
    "label_format",
    "unwrap",
    "decolorize",
    "drop",
    "keep",
    "distinct",
];
impl Parser<'_> {
    pub(super) fn selector(&mut self) -> Result<LogSelector> {
        let start = self.offset();
        self.expect("{")?;
        let mut matchers = Vec::new();
        while !self.take("}") {
            matchers.push(self.matcher()?);
            if !self.is("}") && !self.take(",") {
                return Err(self.unexpected("} or ,"));
            }
        }
        if matchers.iter().all(Matcher::matches_empty) {
            return Err(error_at(
                self.query,
                start,
                "queries require at least one regexp or equality matcher that does not have an empty-compatible value. For instance, app=~\".*\" does not meet this requirement, but app=~\".+\" will",
            ));
        }
        Ok(LogSelector {
            matchers,
            stages: Vec::new(),
        })
    }

    fn matcher(&mut self) -> Result<Matcher> {
        let name = self.word("IDENTIFIER or }")?;
        let op = match self.peek() {
            Token::Symbol("=") => MatchOp::Equal,
            Token::Symbol("!=") => MatchOp::NotEqual,
            Token::Symbol("=~") => MatchOp::Regex,
            Token::Symbol("!~") => MatchOp::NotRegex,
            _ => return Err(self.unexpected("=, !=, =~ or !~")),
        };
        self.next();
        let value = self.text()?;
        Matcher::new(name, op, value)
            .map_err(|e| self.error_before(format_args!("error parsing regexp: {}", e.message())))
    }

    pub(super) fn stages(&mut self, mut selector: LogSelector) -> Result<LogSelector> {
        loop {
            let (negated, is_regex) = match self.peek() {
                Token::Symbol("|=") => (false, false),
                Token::Symbol("|~") => (false, true),
                // Before a text or ip() these filter lines; before anything else they compare.
                Token::Symbol("!=") if self.starts_line_filter() => (true, false),
                Token::Symbol("!~") => (true, true),
                Token::Symbol(s @ ("|>" | "!>")) => {
                    return Err(self.error(format_args!("the pattern filter {s} is not supported yet")));
                }
                Token::Symbol("|") => {
                    self.next();
                    let stage = self.stage()?;
                    selector.stages.push(stage);
                    continue;
                }
                _ => return Ok(selector),
            };
            self.next();
            let stage = self.line_match(negated, is_regex)?;
            selector.stages.push(Stage::Line(stage));
        }
    }

    fn starts_line_filter(&self) -> bool {
        matches!(self.peek_second(), Token::Text(_))
            || matches!(self.peek_second(), Token::Word(w) if w == "ip")
    }

    fn line_match(&mut self, negated: bool, is_regex: bool) -> Result<LineMatch> {
        let mut alternatives = Vec::new();
        loop {
            if self.is_word("ip") {
                return Err(self.error("the filter ip() is not supported yet"));
            }
            let text = match self.peek() {
                Token::Text(_) => self.text()?,
                _ => return Err(self.unexpected("STRING or ip")),
            };
            alternatives.push(if is_regex {
                LineFilter::Matches(
                    search_regex(&text).map_err(|e| {
                        self.error_before(format_args!("error parsing regexp: {}", e.message()))
                    })?,
                )
            } else {
                LineFilter::Contains(text)
            });
            let goes_on = self.is_word("or") && self.starts_line_filter();
            if !goes_on {
                return Ok(LineMatch {
                    negated,
                    alternatives,
                });
            }
            self.next();
        }
    }

    /// What stands behind a `|`.
    fn stage(&mut self) -> Result<Stage> {
        if let Token::Word(word) = self.peek().clone() {
            let is_condition = self.starts_condition();
            if !is_condition {
                match word.as_str() {
                    "json" => {
                        self.next();
                        return self.extractions(true).map(Stage::Json);
                    }
                    "logfmt" => {
                        self.next();
                        return self.logfmt();
                    }
                    _ => {}
                }
            }
            if !is_condition && UNSUPPORTED_STAGES.contains(&word.as_str()) {
                return Err(self.error(format_args!("the stage {word} is not supported yet")));
            }
        }
        self.nested(Self::label_filter_or).map(Stage::Label)
    }

    fn logfmt(&mut self) -> Result<Stage> {
        let (mut strict, mut keep_empty) = (false, false);
        while let Token::Flag(flag) = self.peek() {
            match flag.as_str() {
                "strict" => strict = true,
                "keep-empty" => keep_empty = true,
                _ => return Err(self.unexpected("--strict or --keep-empty")),
            }
            self.next();
        }
        let fields = self.extractions(false)?;
        Ok(Stage::Logfmt(Logfmt {
            strict,
            keep_empty,
            fields,
        }))
    }

    /// `label="path", label` behind a parser; none at all is fine.
    fn extractions(&mut self, is_json: bool) -> Result<Vec<Extraction>> {
        let mut extractions = Vec::new();
        while let Token::Word(label) = self.peek().clone() {
            self.next();
            let path = if self.take("=") {
                self.text()?
            } else {
                label.clone()
            };
            let path = if is_json {
                json_path(&path)
                    .ok_or_else(|| self.error_before(format_args!("{path:?} is not a JSON path")))?
            } else {
                vec![PathPart::Key(path)]
            };
            extractions.push(Extraction { label, path });
            if !self.take(",") {
                break;
            }
        }
        Ok(extractions)
    }

    fn label_filter_or(&mut self) -> Result<LabelFilter> {
        let mut left = self.label_filter_and()?;
        while self.take_word("or") {
            let right = self.label_filter_and()?;
            left = LabelFilter::Or(Box::new(left), Box::new(right));
        }
        Ok(left)
    }
    fn label_filter_and(&mut self) -> Result<LabelFilter> {
        let mut left = self.label_filter()?;
        // Conditions side by side hold together, with or without a word or a comma between them.
        while self.take_word("and") || self.take(",") || self.starts_condition() {
            let right = self.label_filter()?;
            left = LabelFilter::And(Box::new(left), Box::new(right));
        }
        Ok(left)
    }
    fn starts_condition(&self) -> bool {
        let comparison = ["=", "!=", "=~", "!~", "==", ">", ">=", "<", "<="];
        matches!(self.peek(), Token::Word(_))
            && matches!(self.peek_second(), Token::Symbol(s) if comparison.contains(s))
    }
    fn label_filter(&mut self) -> Result<LabelFilter> {
        if self.take("(") {
            let inner = self.nested(Self::label_filter_or)?;
            self.expect(")")?;
            return Ok(inner);
        }
        let Token::Word(label) = self.peek().clone() else {
            return Err(self.unexpected("a parser, a filter or a label"));
        };
        if matches!(self.peek_second(), Token::Symbol("=" | "!=" | "=~" | "!~"))
            && matches!(self.tokens.get(self.at + 2), Some((Token::Text(_), _)))
        {
            return self.matcher().map(LabelFilter::Text);
        }
        self.next();
        let op = match self.peek() {
            Token::Symbol("=" | "==") => Operator::Equal,
            Token::Symbol("!=") => Operator::NotEqual,
            Token::Symbol(">") => Operator::Greater,
            Token::Symbol(">=") => Operator::GreaterEqual,
            Token::Symbol("<") => Operator::Less,
            Token::Symbol("<=") => Operator::LessEqual,
            _ => return Err(self.unexpected("a comparison")),
        };
        self.next();
        let sign = if self.take("-") { -1.0 } else { 1.0 };
        let (value, unit) = match *self.peek() {
            Token::Number(n) => (n, Unit::Number),
            Token::Duration(ns) => (ns as f64, Unit::Duration),
            Token::Bytes(n) => (n, Unit::Bytes),
            Token::Word(ref w) if w == "ip" => {
                return Err(self.error("the filter ip() is not supported yet"));
            }
            _ => return Err(self.unexpected("a text, a number, a duration or a size")),
        };
        self.next();
        Ok(LabelFilter::Number {
            label,
            op,
            value: value * sign,
            unit,
        })
    }
}

/// `a.b[0]["c"]`
fn json_path(text: &str) -> Option<Vec<PathPart>> {
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            let end = inner.find(']')?;
            let index = inner[..end].trim();
            let quoted = index.strip_prefix('"').and_then(|i| i.strip_suffix('"'));
            parts.push(match quoted {
                Some(key) => PathPart::Key(key.to_owned()),
                None => PathPart::Index(index.parse().ok()?),
            });
            rest = &inner[end + 1..];
        } else {
            let name = if parts.is_empty() {
                rest
            } else {
                rest.strip_prefix('.')?
            };
            let end = name.find(['.', '[']).unwrap_or(name.len());
            if end == 0 {
                return None;
            }
            parts.push(PathPart::Key(name[..end].to_owned()));
            rest = &name[end..];
        }
    }
    (!parts.is_empty()).then_some(parts)
}
