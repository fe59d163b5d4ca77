//! Runs one line through the stages that a store does not do: parsers and label filters.

use super::ast::{Extraction, LabelFilter, Logfmt, PathPart, Stage, Unit};
use super::{json, lexer, logfmt};
use crate::columns::operators::Operator;
use model::identity::label_name;
use model::log::Metadata;
use model::{Labels, LabelsBuilder};

/// The label that says that a stage failed.
pub(super) const ERROR: &str = "__error__";
/// The label that says why.
pub(super) const ERROR_DETAILS: &str = "__error_details__";

/// A line's labels while it goes through the stages. Labels of the stream and structured metadata stay as they
/// are; what a parser finds under a name that is taken gets `_extracted` behind it.
struct Line<'a> {
    stream: &'a Labels,
    metadata: &'a Metadata,
    parsed: Vec<(String, String)>,
    error: Option<(&'static str, String)>,
}

impl Line<'_> {
    fn is_taken(&self, name: &str) -> bool {
        self.stream.get(name).is_some() || self.metadata.iter().any(|(k, _)| k == name)
    }
    fn get(&self, name: &str) -> Option<&str> {
        match (name, &self.error) {
            (ERROR, Some((kind, _))) => return Some(kind),
            (ERROR_DETAILS, Some((_, details))) => return Some(details),
            _ => {}
        }
        let of = |pairs: &'_ [(String, String)]| pairs.iter().position(|(k, _)| k == name);
        if let Some(i) = of(&self.parsed) {
            return Some(&self.parsed[i].1);
        }
        self.stream
            .get(name)
            .or_else(|| of(self.metadata).map(|i| self.metadata[i].1.as_str()))
    }
    /// Adds a label; the first of equal names stays.
    fn add(&mut self, name: &str, value: String) {
        let name = if self.is_taken(name) {
            format!("{name}_extracted")
        } else {
            name.to_owned()
        };
        if self.parsed.iter().all(|(k, _)| *k != name) {
            self.parsed.push((name, value));
        }
    }
}

/// What the stages made of a line that passed.
pub(super) struct Passed {
    /// Labels that parsers found, and the error labels.
    pub(super) parsed: Vec<(String, String)>,
    /// The kind of error, when a stage failed.
    pub(super) error: Option<&'static str>,
}

impl Passed {
    /// Whether the labels are those of the stream.
    pub(super) fn is_plain(&self) -> bool {
        self.parsed.is_empty()
    }
    /// Puts the labels that were found into a set.
    pub(super) fn write_to(self, builder: &mut LabelsBuilder) {
        for (name, value) in self.parsed {
            builder.set(name, value);
        }
    }
}

/// Runs a line through the stages; `None` when a filter drops it.
pub(super) fn run(stages: &[&Stage], stream: &Labels, text: &str, metadata: &Metadata) -> Option<Passed> {
    let mut line = Line {
        stream,
        metadata,
        parsed: Vec::new(),
        error: None,
    };
    for stage in stages {
        match stage {
            Stage::Line(_) => {}
            Stage::Json(extractions) => parse_json(&mut line, text, extractions),
            Stage::Logfmt(options) => parse_logfmt(&mut line, text, options),
            Stage::Label(filter) => {
                if !passes(filter, &mut line) {
                    return None;
                }
            }
        }
    }
    let error = line.error.as_ref().map(|(kind, _)| *kind);
    if let Some((kind, details)) = line.error.take() {
        line.parsed.push((ERROR.to_owned(), kind.to_owned()));
        line.parsed.push((ERROR_DETAILS.to_owned(), details));
    }
    Some(Passed {
        parsed: line.parsed,
        error,
    })
}

fn parse_json(line: &mut Line<'_>, text: &str, extractions: &[Extraction]) {
    let mut found = Vec::new();
    if let Err(problem) = json::flatten(text, &mut |path, value| found.push((path.to_vec(), value))) {
        line.error = Some(("JSONParserErr", problem));
        return;
    }
    if extractions.is_empty() {
        for (path, value) in found {
            // Elements of arrays have no name of their own.
            let keys: Option<Vec<&str>> = path
                .iter()
                .map(|part| match part {
                    PathPart::Key(key) => Some(key.as_str()),
                    PathPart::Index(_) => None,
                })
                .collect();
            if let Some(keys) = keys {
                line.add(&label_name(&keys.join("_")), value);
            }
        }
        return;
    }
    for extraction in extractions {
        let value = found
            .iter()
            .find(|(path, _)| *path == extraction.path)
            .map(|(_, v)| v.clone());
        line.add(&extraction.label, value.unwrap_or_default());
    }
}

fn parse_logfmt(line: &mut Line<'_>, text: &str, options: &Logfmt) {
    let (pairs, problem) = logfmt::pairs(text, options.strict);
    if let (true, Some(problem)) = (options.strict, problem) {
        line.error = Some(("LogfmtParserErr", problem));
        return;
    }
    if options.fields.is_empty() {
        for (key, value) in pairs {
            if !value.is_empty() || options.keep_empty {
                line.add(&label_name(&key), value);
            }
        }
        return;
    }
    for field in &options.fields {
        let [PathPart::Key(wanted)] = &field.path[..] else {
            continue;
        };
        let value = pairs.iter().find(|(k, _)| k == wanted).map(|(_, v)| v.clone());
        line.add(&field.label, value.unwrap_or_default());
    }
}

/// Whether a line stays. One on which a stage failed passes every filter but those on texts, so that the failure
/// shows unless it is asked for by name.
fn passes(filter: &LabelFilter, line: &mut Line<'_>) -> bool {
    match filter {
        LabelFilter::And(a, b) => passes(a, line) && passes(b, line),
        LabelFilter::Or(a, b) => passes(a, line) || passes(b, line),
        LabelFilter::Text(matcher) => matcher.matches(line.get(matcher.name()).unwrap_or_default()),
        LabelFilter::Number {
            label,
            op,
            value,
            unit,
        } => {
            if line.error.is_some() {
                return true;
            }
            let Some(text) = line.get(label) else { return false };
            match (read(text, *unit), op) {
                (Some(number), op) => Operator::holds(*op, number, *value),
                (None, _) => {
                    let details = format!("label {label}: {text:?} cannot be compared");
                    line.error = Some(("LabelFilterErr", details));
                    true
                }
            }
        }
    }
}

fn read(text: &str, unit: Unit) -> Option<f64> {
    match unit {
        Unit::Number => text.parse().ok(),
        Unit::Duration => lexer::label_duration_ns(text).map(|ns| ns as f64),
        Unit::Bytes => lexer::bytes(text).or_else(|| text.parse().ok()),
    }
}
