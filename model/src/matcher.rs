//! Label matchers: `=`, `!=`, `=~`, `!~`.

mod re2;

use crate::{Error, Labels, Result};
use re2::Dot;
use std::fmt;

/// How a matcher compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`, fully anchored
    Regex,
    /// `!~`, fully anchored
    NotRegex,
}

impl MatchOp {
    /// As it is written in a selector.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Regex => "=~",
            Self::NotRegex => "!~",
        }
    }
}

/// The largest compiled program of one regular expression, in bytes.
const REGEX_SIZE_LIMIT: usize = 4 << 20;
/// Deeper than any expression that the translation lets through.
const REGEX_NESTING: u32 = 4000;

/// One condition on one label. A label that is absent compares as the empty string.
#[derive(Clone)]
pub struct Matcher {
    name: String,
    op: MatchOp,
    value: String,
    regex: Option<regex::Regex>,
}

impl Matcher {
    /// Builds a matcher; a regular expression that does not compile is [`crate::ErrorKind::BadData`].
    pub fn new(name: impl Into<String>, op: MatchOp, value: impl Into<String>) -> Result<Self> {
        let value = value.into();
        let regex = match op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Regex | MatchOp::NotRegex => Some(anchored_regex(&value)?),
        };
        Ok(Self {
            name: name.into(),
            op,
            value,
            regex,
        })
    }
    /// `name="value"`.
    pub fn equal(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            op: MatchOp::Equal,
            value: value.into(),
            regex: None,
        }
    }
    /// The label's name.
    pub fn name(&self) -> &str {
        &self.name
    }
    /// The comparison.
    pub fn op(&self) -> MatchOp {
        self.op
    }
    /// The value or the expression, as written.
    pub fn value(&self) -> &str {
        &self.value
    }
    /// Whether a label value (empty when absent) satisfies this matcher.
    pub fn matches(&self, value: &str) -> bool {
        match (self.op, &self.regex) {
            (MatchOp::Equal, _) => value == self.value,
            (MatchOp::NotEqual, _) => value != self.value,
            (MatchOp::Regex, Some(r)) => r.is_match(value),
            (MatchOp::NotRegex, Some(r)) => !r.is_match(value),
            (MatchOp::Regex | MatchOp::NotRegex, None) => unreachable!("new() compiles these"),
        }
    }
    /// Whether a label set satisfies this matcher.
    pub fn matches_labels(&self, labels: &Labels) -> bool {
        self.matches(labels.get(&self.name).unwrap_or_default())
    }
    /// Whether a series without the label satisfies it too; such a matcher alone selects nothing in particular.
    pub fn matches_empty(&self) -> bool {
        self.matches("")
    }
}

/// Compiles a label expression by the rules of Prometheus, which are those of RE2: anchored at both ends, `.` matches
/// line breaks.
///
/// # Errors
/// `BadData`, in Go's words.
pub fn anchored_regex(expression: &str) -> Result<regex::Regex> {
    let pattern = re2::translate(expression, Dot::Everything).map_err(|e| invalid(&e))?;
    compile(&format!("^(?s:{pattern})$"), expression)
}

/// Compiles a line filter's expression by the rules of RE2: not anchored, `.` does not match line breaks.
///
/// # Errors
/// `BadData`, in Go's words.
pub fn search_regex(expression: &str) -> Result<regex::Regex> {
    let pattern = re2::translate(expression, Dot::InLine).map_err(|e| invalid(&e))?;
    compile(&pattern, expression)
}

fn invalid(problem: &str) -> Error {
    Error::bad_data(format!("error parsing regexp: {problem}"))
}

fn compile(pattern: &str, expression: &str) -> Result<regex::Regex> {
    regex::RegexBuilder::new(pattern)
        .size_limit(REGEX_SIZE_LIMIT)
        .nest_limit(REGEX_NESTING)
        .build()
        .map_err(|e| match e {
            regex::Error::CompiledTooBig(_) => invalid(&format!("expression too large: `{expression}`")),
            // The translation knows all that RE2 refuses; this is what RE2 takes and the crate does not.
            e => invalid(&format!("{e}: `{expression}`")),
        })
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.op, &self.value) == (&other.name, other.op, &other.value)
    }
}
impl Eq for Matcher {}
impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{:?}", self.name, self.op.as_str(), self.value)
    }
}
impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests;
