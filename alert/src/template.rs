//! Prometheus' templates in labels and annotations: the part of Go's text/template that rule files use.
//!
//! Text with actions in `{{ … }}`: values, pipes, `if`, `range`, `with`, variables and Prometheus' functions. The
//! functions that query (`query`, `first`, `value`, `label`, …) and named templates are refused when a file is
//! read.

mod eval;
mod functions;
mod go_format;
mod parse;
#[cfg(test)]
mod tests;

pub(crate) use functions::graph_path;
pub(crate) use go_format::float_e as go_float_e;
use model::Labels;

/// The longest text that a template may make, in bytes; a longer one is an error.
pub const MAX_OUTPUT_BYTES: usize = 64 << 10;

/// What is wrong with a template, or with the values it was given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TemplateError(pub(crate) String);

/// A parsed template.
#[derive(Debug, Clone)]
pub struct Template {
    nodes: Vec<parse::Node>,
}

/// What a template can see.
#[derive(Debug, Clone, Copy)]
pub struct Data<'a> {
    /// `$labels` and `.Labels`: the labels of the expression's result.
    pub labels: &'a Labels,
    /// `$externalLabels`.
    pub external_labels: &'a Labels,
    /// `$externalURL`.
    pub external_url: &'a str,
    /// `$value` and `.Value`.
    pub value: f64,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// What Go would refuse when it parses, and what is not supported here.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        Ok(Self {
            nodes: parse::parse(text)?,
        })
    }

    /// The text for these values.
    ///
    /// # Errors
    /// A function that does not fit its values, an unknown field, too long an output.
    pub fn expand(&self, data: &Data<'_>) -> Result<String, TemplateError> {
        eval::run(&self.nodes, data)
    }
}

/// Expands a template as Prometheus does for an alert: an error becomes the text, so that the alert still goes out.
pub fn expand_or_explain(text: &str, data: &Data<'_>) -> String {
    // Most labels and many annotations have no action at all.
    if !text.contains("{{") {
        return text.to_owned();
    }
    Template::parse(text)
        .and_then(|t| t.expand(data))
        .unwrap_or_else(|e| format!("<error expanding template: {e}>"))
}
