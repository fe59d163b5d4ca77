//! How the parts of a query were evaluated, which `explain` asks for.

use query::promql::Explained;
use serde::Serialize;

/// One part of a query, with the parts below it.
#[derive(Debug, Serialize)]
pub struct Part<'a> {
    /// Its text in the query.
    text: &'a str,
    /// What it is.
    kind: &'a str,
    /// Time, with the parts below.
    seconds: f64,
    /// Series of its value, or those that a range selector read.
    series: u64,
    /// Samples that were read from the store, with the parts below.
    samples: u64,
    /// Evaluation times.
    steps: u64,
    /// Whether it was known from an equal part.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    repeated: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parts: Vec<Self>,
}

impl<'a> From<&'a Explained> for Part<'a> {
    fn from(explained: &'a Explained) -> Self {
        Self {
            text: &explained.text,
            kind: &explained.kind,
            seconds: explained.elapsed_ns as f64 / 1e9,
            series: explained.series,
            samples: explained.samples,
            steps: explained.steps,
            repeated: explained.is_repeated,
            parts: explained.children.iter().map(Self::from).collect(),
        }
    }
}
