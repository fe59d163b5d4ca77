//! Log records to entries of streams.

use super::{attributes, nanos};
use crate::{Decoded, Quota};
use model::identity::{label_name, stream_labels};
use model::log::Metadata;
use model::{Attributes, Labels, LogEntry, LogStream, Logs, Resource, Result, Value};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::logs::v1::LogRecord;

/// A resource attribute that lists further attributes which are to become stream labels, as OpenTelemetry's Loki
/// exporter knows it. Our own agents use it for stream labels outside of the identity's table.
pub(super) const LABELS_HINT: &str = "loki.resource.labels";

pub(super) fn to_model(
    request: ExportLogsServiceRequest,
    now_ns: i64,
    quota: &Quota,
) -> Result<Decoded<Logs>> {
    let mut streams = Vec::new();
    for group in request.resource_logs {
        let (labels, resource_metadata) = stream(&attributes::resource(group.resource));
        let mut entries = Vec::new();
        for group in group.scope_logs {
            let scope = attributes::scope(group.scope);
            let mut shared = Metadata::new();
            push(&mut shared, "scope_name", scope.name);
            push(&mut shared, "scope_version", scope.version);
            push_attributes(&mut shared, "", scope.attributes);
            shared.extend(resource_metadata.iter().cloned());
            // Every entry gets a copy, so a few bytes of record may cost all of the resource's attributes.
            let shared_bytes = size_bytes(&shared);
            for record in group.log_records {
                quota.take(size_of::<LogEntry>() + shared_bytes)?;
                entries.push(entry(record, &shared, now_ns));
            }
        }
        if !entries.is_empty() {
            streams.push(LogStream { labels, entries });
        }
    }
    Ok(Decoded {
        payload: Logs { streams },
        rejected: Vec::new(),
    })
}

fn size_bytes(metadata: &Metadata) -> usize {
    let pairs = metadata.iter();
    pairs
        .map(|pair| size_of_val(pair) + pair.0.len() + pair.1.len())
        .sum()
}

fn stream(resource: &Resource) -> (Labels, Metadata) {
    let (labels, mut metadata) = stream_labels(resource);
    let Some(Value::String(hint)) = resource.get(LABELS_HINT) else {
        return (labels, metadata);
    };
    let mut builder = labels.to_builder();
    let hint_name = label_name(LABELS_HINT);
    let wanted: std::collections::HashSet<String> =
        hint.split(',').map(|name| label_name(name.trim())).collect();
    metadata.retain(|(name, value)| {
        let promoted = wanted.contains(name);
        if promoted && labels.get(name).is_none() {
            builder.push(name.as_str(), value.as_str());
        }
        !promoted && *name != hint_name
    });
    (builder.build(), metadata)
}

fn entry(record: LogRecord, shared: &Metadata, now_ns: i64) -> LogEntry {
    let timestamp_ns = match (record.time_unix_nano, record.observed_time_unix_nano) {
        (0, 0) => now_ns,
        (0, observed) => nanos(observed),
        (time, _) => nanos(time),
    };
    let level = level(record.severity_number, &record.severity_text);
    let mut metadata = Metadata::new();
    if record.severity_number != 0 {
        push(
            &mut metadata,
            "severity_number",
            record.severity_number.to_string(),
        );
    }
    push(&mut metadata, "severity_text", record.severity_text);
    push(&mut metadata, "trace_id", id(&record.trace_id));
    push(&mut metadata, "span_id", id(&record.span_id));
    push(&mut metadata, "event_name", record.event_name);
    if record.flags != 0 {
        push(&mut metadata, "flags", record.flags.to_string());
    }
    push_attributes(&mut metadata, "", attributes::attributes(record.attributes));
    metadata.extend(shared.iter().cloned());
    push(&mut metadata, "level", level.unwrap_or_default().to_owned());
    // The order of names, and of equal names the first one: an attribute `level` goes before the detected one.
    metadata.sort_by(|a, b| a.0.cmp(&b.0));
    metadata.dedup_by(|later, earlier| later.0 == earlier.0);
    LogEntry {
        timestamp_ns,
        line: attributes::value(record.body).to_string(),
        metadata,
    }
}

/// One word for a severity, by OpenTelemetry's ranges of numbers, else by the text.
pub(super) fn level(number: i32, text: &str) -> Option<&'static str> {
    match number {
        1..=4 => return Some("trace"),
        5..=8 => return Some("debug"),
        9..=12 => return Some("info"),
        13..=16 => return Some("warn"),
        17..=20 => return Some("error"),
        21..=24 => return Some("fatal"),
        _ => {}
    }
    let text = text.get(..16).unwrap_or(text).to_ascii_lowercase();
    match text.as_str() {
        "trace" | "trc" => Some("trace"),
        "debug" | "dbg" => Some("debug"),
        "info" | "inf" | "information" | "informational" | "notice" => Some("info"),
        "warn" | "wrn" | "warning" => Some("warn"),
        "error" | "err" => Some("error"),
        "critical" | "crit" => Some("critical"),
        "fatal" | "panic" | "alert" | "emerg" | "emergency" => Some("fatal"),
        _ => None,
    }
}

fn id(bytes: &[u8]) -> String {
    if bytes.iter().all(|b| *b == 0) {
        String::new()
    } else {
        hex::encode(bytes)
    }
}

fn push(metadata: &mut Metadata, name: &str, value: String) {
    if !value.is_empty() {
        metadata.push((name.to_owned(), value));
    }
}

/// Attributes with Loki's names; the entries of a map become pairs of their own (`outer_inner`), as in Loki.
fn push_attributes(metadata: &mut Metadata, prefix: &str, attributes: Attributes) {
    for (key, value) in attributes {
        let name = if prefix.is_empty() {
            label_name(&key)
        } else {
            format!("{prefix}_{}", label_name(&key))
        };
        match value {
            Value::Map(inner) => push_attributes(metadata, &name, inner),
            value => push(metadata, &name, value.to_string()),
        }
    }
}
