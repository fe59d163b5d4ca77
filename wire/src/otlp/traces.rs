//! Spans: protocol to model.

use super::{attributes, nanos};
use crate::Decoded;
use model::span::{SpanEvent, SpanLink, StatusCode};
use model::{ResourceSpans, Span, SpanId, SpanKind, Spans, TraceId};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1 as trace;
use std::sync::Arc;

pub(super) fn to_model(request: ExportTraceServiceRequest) -> Decoded<Spans> {
    let mut decoded = Decoded::<Spans>::default();
    for group in request.resource_spans {
        let resource = Arc::new(attributes::resource(group.resource));
        for group in group.scope_spans {
            let scope = Arc::new(attributes::scope(group.scope));
            let mut spans = Vec::with_capacity(group.spans.len());
            for proto in group.spans {
                match (valid_id(&proto.trace_id).map(TraceId), valid_id(&proto.span_id).map(SpanId)) {
                    (Some(trace_id), Some(span_id)) => spans.push(span(proto, trace_id, span_id)),
                    _ => decoded.reject("invalid_id", 1, || {
                        format!(
                            "span {:?} needs a trace id of 16 bytes and a span id of 8 bytes, not all of them zero",
                            proto.name.chars().take(80).collect::<String>()
                        )
                    }),
                }
            }
            if !spans.is_empty() {
                decoded.payload.groups.push(ResourceSpans {
                    resource: Arc::clone(&resource),
                    scope,
                    spans,
                });
            }
        }
    }
    decoded
}

fn valid_id<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.try_into().ok().filter(|id| *id != [0; N])
}

fn span(proto: trace::Span, trace_id: TraceId, span_id: SpanId) -> Span {
    let status = proto.status.unwrap_or_default();
    Span {
        trace_id,
        span_id,
        parent_span_id: valid_id(&proto.parent_span_id).map(SpanId),
        trace_state: proto.trace_state,
        flags: proto.flags,
        name: proto.name,
        kind: SpanKind::from_u8(u8::try_from(proto.kind).unwrap_or_default()),
        start_ns: nanos(proto.start_time_unix_nano),
        end_ns: nanos(proto.end_time_unix_nano),
        attributes: attributes::attributes(proto.attributes),
        events: proto.events.into_iter().map(event).collect(),
        links: proto.links.into_iter().filter_map(link).collect(),
        status: match status.code {
            1 => StatusCode::Ok,
            2 => StatusCode::Error,
            _ => StatusCode::Unset,
        },
        status_message: status.message,
    }
}

fn event(proto: trace::span::Event) -> SpanEvent {
    SpanEvent {
        timestamp_ns: nanos(proto.time_unix_nano),
        name: proto.name,
        attributes: attributes::attributes(proto.attributes),
    }
}

/// A link without valid ids leads nowhere.
fn link(proto: trace::span::Link) -> Option<SpanLink> {
    Some(SpanLink {
        trace_id: TraceId(valid_id(&proto.trace_id)?),
        span_id: SpanId(valid_id(&proto.span_id)?),
        trace_state: proto.trace_state,
        attributes: attributes::attributes(proto.attributes),
    })
}
