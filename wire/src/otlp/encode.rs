//! The model to OTLP protobuf: what our agents send.

use super::attributes::{to_pair, to_pairs, to_resource, to_scope};
use super::logs::{LABELS_HINT, level};
use model::identity::{TABLE, resource_of_stream};
use model::log::Metadata;
use model::span::StatusCode;
use model::{LogEntry, LogStream, Logs, ResourceSpans, Span, SpanId, Spans, TraceId, Value};
use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest,
};
use opentelemetry_proto::tonic::common::v1 as common;
use opentelemetry_proto::tonic::{logs::v1 as logs, trace::v1 as trace};
use prost::Message as _;

/// Writes an `ExportLogsServiceRequest`. Stream labels travel as resource attributes; [`super::decode_logs`]
/// makes the same streams of them.
pub fn encode_logs(payload: &Logs) -> Vec<u8> {
    let resource_logs = payload.streams.iter().map(resource_logs).collect();
    ExportLogsServiceRequest { resource_logs }.encode_to_vec()
}

fn resource_logs(stream: &LogStream) -> logs::ResourceLogs {
    let mut resource = resource_of_stream(&stream.labels);
    let outside = |label: &&str| TABLE.iter().all(|row| row.stream_label != Some(*label));
    let further: Vec<&str> = stream
        .labels
        .iter()
        .map(|(name, _)| name)
        .filter(outside)
        .collect();
    if !further.is_empty() {
        resource.set(LABELS_HINT, further.join(","));
    }
    let scope_logs = logs::ScopeLogs {
        log_records: stream.entries.iter().map(log_record).collect(),
        ..logs::ScopeLogs::default()
    };
    logs::ResourceLogs {
        resource: Some(to_resource(&resource)),
        scope_logs: vec![scope_logs],
        ..logs::ResourceLogs::default()
    }
}

fn log_record(entry: &LogEntry) -> logs::LogRecord {
    let mut record = logs::LogRecord {
        time_unix_nano: unsigned(entry.timestamp_ns),
        body: Some(common::AnyValue {
            value: Some(common::any_value::Value::StringValue(entry.line.clone())),
        }),
        ..logs::LogRecord::default()
    };
    let mut rest = Metadata::new();
    for (name, value) in &entry.metadata {
        match name.as_str() {
            "severity_text" => record.severity_text.clone_from(value),
            "severity_number" if severity(value).is_some() => {
                record.severity_number = severity(value).unwrap_or_default();
            }
            "trace_id" if is_id(value, 32) => record.trace_id = hex::decode(value).unwrap_or_default(),
            "span_id" if is_id(value, 16) => record.span_id = hex::decode(value).unwrap_or_default(),
            _ => rest.push((name.clone(), value.clone())),
        }
    }
    // The receiver finds the level again in the severity.
    let detected = level(record.severity_number, &record.severity_text);
    rest.retain(|(name, value)| name != "level" || detected != Some(value));
    record.attributes = rest
        .iter()
        .map(|(name, value)| to_pair(name, &Value::from(value.as_str())))
        .collect();
    record
}

/// A number that reads back as the same text.
fn severity(text: &str) -> Option<i32> {
    text.parse()
        .ok()
        .filter(|n: &i32| *n != 0 && n.to_string() == text)
}

/// An id that reads back as the same text.
fn is_id(text: &str, digits: usize) -> bool {
    text.len() == digits
        && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        && text.bytes().any(|b| b != b'0')
}

/// Times before the epoch have no form in the protocol.
fn unsigned(ns: i64) -> u64 {
    u64::try_from(ns).unwrap_or(0)
}

/// Writes an `ExportTraceServiceRequest`.
pub fn encode_spans(payload: &Spans) -> Vec<u8> {
    let resource_spans = payload.groups.iter().map(resource_spans).collect();
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

fn resource_spans(group: &ResourceSpans) -> trace::ResourceSpans {
    let scope_spans = trace::ScopeSpans {
        scope: to_scope(&group.scope),
        spans: group.spans.iter().map(span).collect(),
        ..trace::ScopeSpans::default()
    };
    trace::ResourceSpans {
        resource: Some(to_resource(&group.resource)),
        scope_spans: vec![scope_spans],
        ..trace::ResourceSpans::default()
    }
}

fn span(span: &Span) -> trace::Span {
    let TraceId(trace_id) = span.trace_id;
    let SpanId(span_id) = span.span_id;
    trace::Span {
        trace_id: trace_id.to_vec(),
        span_id: span_id.to_vec(),
        parent_span_id: span.parent_span_id.map(|id| id.0.to_vec()).unwrap_or_default(),
        trace_state: span.trace_state.clone(),
        flags: span.flags,
        name: span.name.clone(),
        kind: i32::from(span.kind.as_u8()),
        start_time_unix_nano: unsigned(span.start_ns),
        end_time_unix_nano: unsigned(span.end_ns),
        attributes: to_pairs(&span.attributes),
        events: span.events.iter().map(event).collect(),
        links: span.links.iter().map(link).collect(),
        status: status(span),
        ..trace::Span::default()
    }
}

fn event(event: &model::span::SpanEvent) -> trace::span::Event {
    trace::span::Event {
        time_unix_nano: unsigned(event.timestamp_ns),
        name: event.name.clone(),
        attributes: to_pairs(&event.attributes),
        dropped_attributes_count: 0,
    }
}

fn link(link: &model::span::SpanLink) -> trace::span::Link {
    trace::span::Link {
        trace_id: link.trace_id.0.to_vec(),
        span_id: link.span_id.0.to_vec(),
        trace_state: link.trace_state.clone(),
        attributes: to_pairs(&link.attributes),
        ..trace::span::Link::default()
    }
}

fn status(span: &Span) -> Option<trace::Status> {
    let code = match span.status {
        StatusCode::Unset => 0,
        StatusCode::Ok => 1,
        StatusCode::Error => 2,
    };
    (code != 0 || !span.status_message.is_empty()).then(|| trace::Status {
        message: span.status_message.clone(),
        code,
    })
}
