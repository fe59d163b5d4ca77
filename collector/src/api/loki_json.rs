//! Loki's JSON: streams, matrices and vectors, and the errors of its API, which are plain text.

use super::prometheus_json::{json, quoted, write_labels, write_point};
use axum::response::{IntoResponse, Response};
use model::{Direction, Error, Labels, LogBatch, LogEntry};
use query::logql::LogResult;
use std::collections::HashMap;
use std::fmt::Write as _;

/// An error of this API: plain text, with Loki's status codes.
pub struct ApiError(pub Error);

impl From<Error> for ApiError {
    fn from(e: Error) -> Self {
        Self(e)
    }
}
impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        {
            let mut response = runtime::http::plain_error(&self.0);
            *response.status_mut() = runtime::http::query_status_of(&self.0);
            response
        }
    }
}

/// Result of a handler of this API.
pub type ApiResult = Result<Response, ApiError>;

/// How structured metadata is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metadata {
    /// Beside the stream's labels, as Loki does unless asked otherwise.
    InLabels,
    /// In a third element of each value; asked for by `X-Loki-Response-Encoding-Flags: categorize-labels`.
    Categorised,
}

/// A query's answer; one that is longer than the limit is an error.
pub fn answer(
    result: &LogResult,
    warnings: &[String],
    direction: Direction,
    metadata: Metadata,
    max_bytes: u64,
) -> ApiResult {
    let mut out = String::from(r#"{"status":"success","data":"#);
    match result {
        LogResult::Streams(batches) => write_streams(&mut out, batches, direction, metadata),
        LogResult::Vector(samples) => {
            super::prometheus_json::write_value(
                &mut out,
                &query::promql::QueryValue::Vector(samples.clone()),
            );
        }
        LogResult::Matrix(series) => {
            super::prometheus_json::write_value(&mut out, &query::promql::QueryValue::Matrix(series.clone()));
        }
        LogResult::Scalar(sample) => {
            out.push_str(r#"{"resultType":"scalar","result":"#);
            write_point(&mut out, sample.timestamp_ms, sample.value);
            out.push('}');
        }
    }
    // `data` is open still: its last brace makes room for the statistics that clients expect there.
    out.truncate(out.len() - 1);
    if metadata == Metadata::Categorised {
        out.push_str(r#","encodingFlags":["categorize-labels"]"#);
    }
    out.push_str(r#","stats":{}}"#);
    if !warnings.is_empty() {
        let list = serde_json::to_string(warnings).map_err(|e| Error::internal(e.to_string()))?;
        let _ = write!(out, r#","warnings":{list}"#);
    }
    out.push('}');
    if out.len() as u64 > max_bytes {
        let message = format!(
            "the answer has {} bytes, more than {max_bytes} (limits.query.max_response_bytes); ask for fewer lines",
            out.len()
        );
        return Err(Error::limit(message).into());
    }
    Ok(json(out))
}

fn write_streams(out: &mut String, batches: &[LogBatch], direction: Direction, metadata: Metadata) {
    out.push_str(r#"{"resultType":"streams","result":["#);
    for (i, (labels, mut entries)) in grouped(batches, metadata).into_iter().enumerate() {
        entries.sort_by_key(|e| e.timestamp_ns);
        if direction == Direction::Backward {
            entries.reverse();
        }
        out.push_str(if i == 0 { r#"{"stream":"# } else { r#",{"stream":"# });
        write_labels(out, &labels);
        out.push_str(r#","values":["#);
        for (k, entry) in entries.iter().enumerate() {
            out.push_str(if k == 0 { "" } else { "," });
            write_entry(out, entry, metadata);
        }
        out.push_str("]}");
    }
    out.push_str("]}");
}

/// Entries by what is shown as their stream, in the order in which the streams first appear.
fn grouped(batches: &[LogBatch], metadata: Metadata) -> Vec<(Labels, Vec<&LogEntry>)> {
    let mut groups: Vec<(Labels, Vec<&LogEntry>)> = Vec::new();
    let mut places: HashMap<Labels, usize> = HashMap::new();
    for batch in batches {
        for entry in &batch.entries {
            let labels = match metadata {
                Metadata::InLabels if !entry.metadata.is_empty() => with_metadata(&batch.labels, entry),
                _ => batch.labels.clone(),
            };
            let place = *places.entry(labels.clone()).or_insert_with(|| {
                groups.push((labels, Vec::new()));
                groups.len() - 1
            });
            groups[place].1.push(entry);
        }
    }
    groups
}

fn with_metadata(labels: &Labels, entry: &LogEntry) -> Labels {
    let mut builder = labels.to_builder();
    for (name, value) in &entry.metadata {
        // A label of the stream keeps its name; Loki marks what clashes with it.
        let clashes = labels.get(name).is_some();
        builder.set(
            if clashes {
                format!("{name}_extracted")
            } else {
                name.clone()
            },
            value.clone(),
        );
    }
    builder.build()
}

fn write_entry(out: &mut String, entry: &LogEntry, metadata: Metadata) {
    let _ = write!(out, r#"["{}",{}"#, entry.timestamp_ns, quoted(&entry.line));
    if metadata == Metadata::Categorised {
        out.push_str(",{");
        if !entry.metadata.is_empty() {
            out.push_str(r#""structuredMetadata":"#);
            write_labels(out, &Labels::from_pairs(entry.metadata.iter().cloned()));
        }
        out.push('}');
    }
    out.push(']');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(timestamp_ns: i64, line: &str, metadata: &[(&str, &str)]) -> LogEntry {
        let metadata = metadata
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        LogEntry {
            timestamp_ns,
            line: line.into(),
            metadata,
        }
    }

    fn shown(metadata: Metadata) -> String {
        let labels = Labels::from_pairs([("app", "a")]);
        let entries = vec![
            entry(2, "two", &[("trace_id", "t")]),
            entry(1, "one \"x\"", &[("app", "b")]),
        ];
        let mut out = String::new();
        write_streams(
            &mut out,
            &[LogBatch { labels, entries }],
            Direction::Backward,
            metadata,
        );
        out
    }

    #[test]
    fn metadata_stands_beside_the_labels_or_apart() {
        assert_eq!(
            shown(Metadata::InLabels),
            r#"{"resultType":"streams","result":[{"stream":{"app":"a","trace_id":"t"},"values":[["2","two"]]},{"stream":{"app":"a","app_extracted":"b"},"values":[["1","one \"x\""]]}]}"#
        );
        assert_eq!(
            shown(Metadata::Categorised),
            r#"{"resultType":"streams","result":[{"stream":{"app":"a"},"values":[["2","two",{"structuredMetadata":{"trace_id":"t"}}],["1","one \"x\"",{"structuredMetadata":{"app":"b"}}]]}]}"#
        );
    }
}
