//! Tokens: their kinds, the keywords, and what they are called in errors.

use super::operators::{AggregateOp, BinaryOp};
use crate::go;

/// The kinds of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    Eof,
    Identifier,
    /// An identifier with a colon in it.
    MetricIdentifier,
    String,
    Number,
    Duration,
    LeftParen,
    RightParen,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    Comma,
    Colon,
    /// `=`
    Assign,
    /// `=~`
    RegexMatch,
    /// `!~`
    RegexNoMatch,
    At,
    Operator(BinaryOp),
    Aggregator(AggregateOp),
    Bool,
    By,
    Without,
    On,
    Ignoring,
    GroupLeft,
    GroupRight,
    Fill,
    FillLeft,
    FillRight,
    Offset,
    Anchored,
    Smoothed,
    Start,
    End,
    Step,
    Range,
    MaxOf,
    MinOf,
}

const KEYWORDS: [(&str, TokenKind); 25] = [
    ("and", TokenKind::Operator(BinaryOp::And)),
    ("or", TokenKind::Operator(BinaryOp::Or)),
    ("unless", TokenKind::Operator(BinaryOp::Unless)),
    ("atan2", TokenKind::Operator(BinaryOp::Atan2)),
    ("offset", TokenKind::Offset),
    ("smoothed", TokenKind::Smoothed),
    ("anchored", TokenKind::Anchored),
    ("by", TokenKind::By),
    ("without", TokenKind::Without),
    ("on", TokenKind::On),
    ("ignoring", TokenKind::Ignoring),
    ("group_left", TokenKind::GroupLeft),
    ("group_right", TokenKind::GroupRight),
    ("fill", TokenKind::Fill),
    ("fill_left", TokenKind::FillLeft),
    ("fill_right", TokenKind::FillRight),
    ("bool", TokenKind::Bool),
    ("start", TokenKind::Start),
    ("end", TokenKind::End),
    ("step", TokenKind::Step),
    ("range", TokenKind::Range),
    ("max_of", TokenKind::MaxOf),
    ("min_of", TokenKind::MinOf),
    ("inf", TokenKind::Number),
    ("nan", TokenKind::Number),
];

/// The longest keyword, in bytes.
const MAX_KEYWORD_BYTES: usize = 12;

/// The keyword that a word is, in whatever case.
pub(super) fn keyword(word: &str) -> Option<TokenKind> {
    if word.len() > MAX_KEYWORD_BYTES {
        return None;
    }
    let found = KEYWORDS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
    let aggregation = || {
        let op = AggregateOp::ALL
            .into_iter()
            .find(|op| op.as_str().eq_ignore_ascii_case(word))?;
        Some(TokenKind::Aggregator(op))
    };
    found.map(|(_, kind)| *kind).or_else(aggregation)
}

/// A token and where it stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token<'a> {
    pub(super) kind: TokenKind,
    pub(super) start: usize,
    pub(super) text: &'a str,
}

impl Token<'_> {
    pub(super) fn end(&self) -> usize {
        self.start + self.text.len()
    }
    /// What it is called in errors.
    pub(super) fn describe(&self) -> String {
        let text = self.text;
        let what = match self.kind {
            TokenKind::Eof => return "end of input".to_owned(),
            TokenKind::Identifier => return format!("identifier {}", go::quote(text)),
            TokenKind::MetricIdentifier => return format!("metric identifier {}", go::quote(text)),
            TokenKind::String => "string ",
            TokenKind::Number => "number ",
            TokenKind::Duration => "duration ",
            TokenKind::RegexMatch | TokenKind::RegexNoMatch | TokenKind::At | TokenKind::Operator(_) => {
                return format!("<op:{text}>");
            }
            TokenKind::Aggregator(_) => return format!("<aggr:{text}>"),
            TokenKind::Bool
            | TokenKind::By
            | TokenKind::Without
            | TokenKind::On
            | TokenKind::Ignoring
            | TokenKind::GroupLeft
            | TokenKind::GroupRight
            | TokenKind::Fill
            | TokenKind::FillLeft
            | TokenKind::FillRight
            | TokenKind::Offset
            | TokenKind::Anchored
            | TokenKind::Smoothed => return format!("<{text}>"),
            _ => "",
        };
        match text.char_indices().nth(10) {
            _ if text.len() <= 10 => format!("{what}{}", go::quote(text)),
            Some((end, _)) => format!("{what}{}...", go::quote(&text[..end])),
            None => format!("{what}{}...", go::quote(text)),
        }
    }
}
