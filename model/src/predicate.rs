//! The tree of conditions of a scan request, and its plain evaluation for one row.

use crate::{Labels, LogEntry, Matcher, ResourceSpans, Span, SpanId, TraceId};

/// Field names of spans that are not attributes, for [`Predicate::Field`] and `Read::label_values`.
pub mod field {
    /// `service.name` of the resource.
    pub const SERVICE: &str = "service.name";
    /// The span's name (Jaeger's operation).
    pub const NAME: &str = "name";
    /// `server`, `client`, …
    pub const KIND: &str = "kind";
    /// `unset`, `ok`, `error`.
    pub const STATUS: &str = "status";
}

/// How a line is searched.
#[derive(Debug, Clone)]
pub enum LineFilter {
    /// Contains this text, byte by byte (`|=`).
    Contains(String),
    /// Matches this expression somewhere (`|~`).
    Matches(regex::Regex),
}

impl LineFilter {
    /// Whether a line satisfies it.
    pub fn matches(&self, line: &str) -> bool {
        match self {
            Self::Contains(text) => line.contains(text.as_str()),
            Self::Matches(regex) => regex.is_match(line),
        }
    }
}

/// A condition, or a tree of them. A store may take a leaf of a kind that it does not know as true and answer
/// [`crate::Answer::NotDone`] for it.
#[derive(Debug, Clone)]
pub enum Predicate {
    /// All of them; an empty list is true.
    And(Vec<Predicate>),
    /// At least one of them; an empty list is false.
    Or(Vec<Predicate>),
    /// Not this one.
    Not(Box<Predicate>),
    /// A label of the series or stream.
    Label(Matcher),
    /// The text of a log line.
    Line(LineFilter),
    /// Structured metadata of a log entry; an absent key compares as the empty string.
    Metadata(Matcher),
    /// A field of a span (see [`field`]), or else an attribute of the span or its resource; typed values compare
    /// by their text, absent ones as the empty string.
    Field(Matcher),
    /// The span's trace.
    Trace(TraceId),
    /// The span itself.
    Span(SpanId),
    /// The span's duration in nanoseconds, both ends included.
    Duration {
        /// At least.
        min_ns: i64,
        /// At most.
        max_ns: i64,
    },
}

impl Predicate {
    /// True for every row.
    pub fn all() -> Self {
        Self::And(Vec::new())
    }
    /// All these matchers on labels.
    pub fn labels(matchers: impl IntoIterator<Item = Matcher>) -> Self {
        Self::And(matchers.into_iter().map(Self::Label).collect())
    }
    /// The leaves from left to right: the order of [`crate::Scan::predicates`].
    pub fn leaves(&self) -> Vec<&Self> {
        let mut leaves = Vec::new();
        self.collect_leaves(&mut leaves);
        leaves
    }
    fn collect_leaves<'a>(&'a self, into: &mut Vec<&'a Self>) {
        match self {
            Self::And(parts) | Self::Or(parts) => parts.iter().for_each(|p| p.collect_leaves(into)),
            Self::Not(part) => part.collect_leaves(into),
            leaf => into.push(leaf),
        }
    }
    /// The label matchers that every row must satisfy: those at the top or under `And` alone. What a store can
    /// look up in its index before it reads anything.
    pub fn required_matchers(&self) -> Vec<&Matcher> {
        match self {
            Self::Label(m) => vec![m],
            Self::And(parts) => parts.iter().flat_map(Self::required_matchers).collect(),
            _ => Vec::new(),
        }
    }
    /// Evaluates the tree with the caller's answer for each leaf; `None` means undecided. The result is `None`
    /// when the undecided leaves decide.
    pub fn evaluate(&self, leaf: &mut impl FnMut(&Self) -> Option<bool>) -> Option<bool> {
        match self {
            Self::And(parts) => combine(parts, false, leaf),
            Self::Or(parts) => combine(parts, true, leaf),
            Self::Not(part) => part.evaluate(leaf).map(|b| !b),
            other => leaf(other),
        }
    }
    /// What labels alone say: `Some(false)` means that no row of this series or stream can match.
    pub fn on_labels(&self, labels: &Labels) -> Option<bool> {
        self.evaluate(&mut |leaf| match leaf {
            Self::Label(m) => Some(m.matches_labels(labels)),
            _ => None,
        })
    }
    /// Whether a log entry of a stream satisfies the tree. Leaves about spans are false.
    pub fn on_entry(&self, labels: &Labels, entry: &LogEntry) -> bool {
        self.on_line(labels, &entry.line, &entry.metadata)
    }
    /// As [`Predicate::on_entry`], for a line and its metadata.
    pub fn on_line(&self, labels: &Labels, line: &str, metadata: &[(String, String)]) -> bool {
        let value = |key: &str| {
            metadata
                .iter()
                .find(|(k, _)| k == key)
                .map_or("", |(_, v)| v.as_str())
        };
        self.evaluate(&mut |leaf| {
            Some(match leaf {
                Self::Label(m) => m.matches_labels(labels),
                Self::Line(filter) => filter.matches(line),
                Self::Metadata(m) => m.matches(value(m.name())),
                _ => false,
            })
        }) == Some(true)
    }
    /// Whether a span satisfies the tree. Leaves about lines are false.
    pub fn on_span(&self, group: &ResourceSpans, span: &Span) -> bool {
        self.evaluate(&mut |leaf| {
            Some(match leaf {
                Self::Field(m) | Self::Label(m) => span_field_matches(m, group, span),
                Self::Trace(id) => span.trace_id == *id,
                Self::Span(id) => span.span_id == *id,
                Self::Duration { min_ns, max_ns } => (*min_ns..=*max_ns).contains(&span.duration_ns()),
                _ => false,
            })
        }) == Some(true)
    }
}

/// `absorbing` is the value that decides the whole list: false for And, true for Or.
fn combine(
    parts: &[Predicate],
    absorbing: bool,
    leaf: &mut impl FnMut(&Predicate) -> Option<bool>,
) -> Option<bool> {
    let mut undecided = false;
    for part in parts {
        match part.evaluate(leaf) {
            Some(b) if b == absorbing => return Some(absorbing),
            Some(_) => {}
            None => undecided = true,
        }
    }
    if undecided { None } else { Some(!absorbing) }
}

fn span_field_matches(matcher: &Matcher, group: &ResourceSpans, span: &Span) -> bool {
    match matcher.name() {
        field::SERVICE => matcher.matches(group.resource.service_name()),
        field::NAME => matcher.matches(&span.name),
        field::KIND => matcher.matches(span.kind.as_str()),
        field::STATUS => matcher.matches(status_name(span.status)),
        key => {
            let of_span = span.attributes.iter().find(|(k, _)| k == key).map(|(_, v)| v);
            match of_span.or_else(|| group.resource.get(key)) {
                Some(value) => matcher.matches(&value.to_string()),
                None => matcher.matches_empty(),
            }
        }
    }
}

/// The text of [`field::STATUS`].
pub fn status_name(status: crate::span::StatusCode) -> &'static str {
    match status {
        crate::span::StatusCode::Unset => "unset",
        crate::span::StatusCode::Ok => "ok",
        crate::span::StatusCode::Error => "error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MatchOp;

    fn has(text: &str) -> Predicate {
        Predicate::Line(LineFilter::Contains(text.into()))
    }

    #[test]
    fn trees_evaluate_with_three_values() {
        let labels = Labels::from_pairs([("app", "a")]);
        let app = |v: &str| Predicate::Label(Matcher::equal("app", v));
        let check = |p: Predicate, on_labels: Option<bool>, on_line: bool| {
            assert_eq!(p.on_labels(&labels), on_labels, "{p:?}");
            assert_eq!(p.on_line(&labels, "hello", &[]), on_line, "{p:?}");
        };
        check(Predicate::all(), Some(true), true);
        check(Predicate::Or(vec![]), Some(false), false);
        check(Predicate::And(vec![app("a"), has("ell")]), None, true);
        check(Predicate::And(vec![app("b"), has("ell")]), Some(false), false);
        check(Predicate::Or(vec![app("a"), has("nope")]), Some(true), true);
        check(Predicate::Not(Box::new(has("nope"))), None, true);
        check(
            Predicate::Metadata(Matcher::new("k", MatchOp::NotEqual, "v").unwrap()),
            None,
            true,
        );
    }

    #[test]
    fn leaves_come_in_order() {
        let p = Predicate::And(vec![
            has("a"),
            Predicate::Not(Box::new(Predicate::Or(vec![has("b"), has("c")]))),
        ]);
        let texts: Vec<_> = p.leaves().iter().map(|l| format!("{l:?}")).collect();
        assert_eq!(
            texts,
            [
                r#"Line(Contains("a"))"#,
                r#"Line(Contains("b"))"#,
                r#"Line(Contains("c"))"#
            ]
        );
    }

    #[test]
    fn spans_match_by_field_attribute_and_resource() {
        let mut resource = crate::Resource::default();
        resource.set("service.name", "shop");
        resource.set("region", "eu");
        let span = Span {
            name: "GET /".into(),
            end_ns: 5,
            attributes: vec![("code".into(), crate::Value::Int(500))],
            ..Span::default()
        };
        let group = ResourceSpans {
            resource: resource.into(),
            ..ResourceSpans::default()
        };
        let check = |p: Predicate, expected: bool| assert_eq!(p.on_span(&group, &span), expected, "{p:?}");
        let f = |k: &str, v: &str| Predicate::Field(Matcher::equal(k, v));
        check(f("service.name", "shop"), true);
        check(f("name", "GET /"), true);
        check(f("status", "unset"), true);
        check(f("code", "500"), true);
        check(f("region", "eu"), true);
        check(f("missing", ""), true);
        check(f("missing", "x"), false);
        check(Predicate::Duration { min_ns: 5, max_ns: 9 }, true);
        check(has("x"), false);
    }
}
