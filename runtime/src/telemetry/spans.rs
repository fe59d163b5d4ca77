//! OpenTelemetry's finished spans: into the queue, and from there into the model's spans.

use super::{Item, Shared};
use crate::clock::wall_ns;
use model::span::{SpanEvent, SpanLink, StatusCode};
use model::{Attributes, Resource, ResourceSpans, Scope, Span, SpanId, SpanKind, TraceId, Value};
use opentelemetry::trace::{SpanContext, Status};
use opentelemetry::{Array, Context, KeyValue};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanProcessor};
use std::sync::Arc;
use std::time::Duration;

/// Queues finished spans. The queue is bounded; what does not fit is counted.
pub(super) struct QueueProcessor {
    shared: Arc<Shared>,
}

impl QueueProcessor {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

impl std::fmt::Debug for QueueProcessor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("QueueProcessor")
    }
}

impl SpanProcessor for QueueProcessor {
    fn on_start(&self, _: &mut opentelemetry_sdk::trace::Span, _: &Context) {}
    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() && self.shared.queue.try_send(Item::Span(Box::new(span))).is_err() {
            self.shared.dropped_spans.queue_full.inc();
        }
    }
    /// The queue is flushed by [`super::Telemetry::flush`], which can wait without blocking a thread.
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }
    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// Spans in the model's form, all of one resource.
pub(super) fn to_model(resource: &Arc<Resource>, spans: Vec<SpanData>) -> Vec<ResourceSpans> {
    let mut groups: Vec<ResourceSpans> = Vec::new();
    for data in spans {
        let (name, version) = {
            let scope = &data.instrumentation_scope;
            (scope.name(), scope.version().unwrap_or_default())
        };
        let known = groups
            .iter()
            .position(|g| g.scope.name == name && g.scope.version == version);
        let at = known.unwrap_or_else(|| {
            groups.push(ResourceSpans {
                resource: resource.clone(),
                scope: Arc::new(Scope {
                    name: name.to_owned(),
                    version: version.to_owned(),
                    attributes: Vec::new(),
                }),
                spans: Vec::new(),
            });
            groups.len() - 1
        });
        groups[at].spans.push(span(data));
    }
    groups
}

fn span(data: SpanData) -> Span {
    let (status, status_message) = match data.status {
        Status::Unset => (StatusCode::Unset, String::new()),
        Status::Ok => (StatusCode::Ok, String::new()),
        Status::Error { description } => (StatusCode::Error, description.into_owned()),
    };
    let parent = SpanId(data.parent_span_id.to_bytes());
    Span {
        trace_id: TraceId(data.span_context.trace_id().to_bytes()),
        span_id: SpanId(data.span_context.span_id().to_bytes()),
        parent_span_id: (!parent.is_zero()).then_some(parent),
        trace_state: data.span_context.trace_state().header(),
        flags: u32::from(data.span_context.trace_flags().to_u8()),
        name: data.name.into_owned(),
        kind: match data.span_kind {
            opentelemetry::trace::SpanKind::Internal => SpanKind::Internal,
            opentelemetry::trace::SpanKind::Server => SpanKind::Server,
            opentelemetry::trace::SpanKind::Client => SpanKind::Client,
            opentelemetry::trace::SpanKind::Producer => SpanKind::Producer,
            opentelemetry::trace::SpanKind::Consumer => SpanKind::Consumer,
        },
        start_ns: wall_ns(data.start_time),
        end_ns: wall_ns(data.end_time),
        attributes: attributes(data.attributes),
        events: data.events.into_iter().map(event).collect(),
        links: data
            .links
            .into_iter()
            .map(|l| link(&l.span_context, l.attributes))
            .collect(),
        status,
        status_message,
    }
}

fn event(event: opentelemetry::trace::Event) -> SpanEvent {
    SpanEvent {
        timestamp_ns: wall_ns(event.timestamp),
        name: event.name.into_owned(),
        attributes: attributes(event.attributes),
    }
}

fn link(context: &SpanContext, pairs: Vec<KeyValue>) -> SpanLink {
    SpanLink {
        trace_id: TraceId(context.trace_id().to_bytes()),
        span_id: SpanId(context.span_id().to_bytes()),
        trace_state: context.trace_state().header(),
        attributes: attributes(pairs),
    }
}

fn attributes(pairs: Vec<KeyValue>) -> Attributes {
    let pair = |kv: KeyValue| (kv.key.as_str().to_owned(), value(kv.value));
    pairs.into_iter().map(pair).collect()
}

fn value(value: opentelemetry::Value) -> Value {
    match value {
        opentelemetry::Value::Bool(b) => Value::Bool(b),
        opentelemetry::Value::I64(i) => Value::Int(i),
        opentelemetry::Value::F64(d) => Value::Double(d),
        opentelemetry::Value::String(s) => Value::String(s.as_str().to_owned()),
        opentelemetry::Value::Array(array) => Value::Array(match array {
            Array::Bool(items) => items.into_iter().map(Value::Bool).collect(),
            Array::I64(items) => items.into_iter().map(Value::Int).collect(),
            Array::F64(items) => items.into_iter().map(Value::Double).collect(),
            Array::String(items) => items.iter().map(|s| Value::from(s.as_str())).collect(),
            other => vec![Value::String(other.to_string())],
        }),
        other => Value::String(other.to_string()),
    }
}
