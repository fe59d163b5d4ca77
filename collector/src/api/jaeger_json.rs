//! Jaeger's v1 JSON: traces with a table of processes, times in microseconds.

use model::span::{SpanEvent, StatusCode};
use model::{Attributes, Resource, ResourceSpans, Span, SpanKind, Value};
use serde_json::{Value as Json, json};

/// The answer around a list.
pub fn envelope(data: &Json, total: usize) -> Json {
    json!({ "data": data, "total": total, "limit": 0, "offset": 0, "errors": null })
}

/// The answer to a request that failed.
pub fn error(code: u16, message: &str) -> Json {
    json!({ "data": null, "total": 0, "limit": 0, "offset": 0, "errors": [{ "code": code, "msg": message }] })
}

/// One trace. Groups of one resource share a process.
pub fn trace(groups: &[ResourceSpans]) -> Json {
    let mut processes: Vec<&Resource> = Vec::new();
    let mut spans: Vec<(i64, Json)> = Vec::new();
    let mut trace_id = String::new();
    for group in groups {
        let process = processes
            .iter()
            .position(|p| **p == *group.resource)
            .unwrap_or_else(|| {
                processes.push(&group.resource);
                processes.len() - 1
            });
        for span in &group.spans {
            trace_id = span.trace_id.to_string();
            spans.push((span.start_ns, span_json(group, span, &process_id(process))));
        }
    }
    spans.sort_by_key(|(start, _)| *start);
    let table: serde_json::Map<String, Json> = processes
        .iter()
        .enumerate()
        .map(|(i, p)| (process_id(i), process_json(p)))
        .collect();
    let spans: Vec<Json> = spans.into_iter().map(|(_, s)| s).collect();
    json!({ "traceID": trace_id, "spans": spans, "processes": table, "warnings": null })
}

fn process_id(index: usize) -> String {
    format!("p{}", index + 1)
}

fn process_json(resource: &Resource) -> Json {
    let others: Vec<Json> = resource
        .attributes
        .iter()
        .filter(|(k, _)| k != "service.name")
        .map(|(k, v)| tag(k, v))
        .collect();
    json!({ "serviceName": resource.service_name(), "tags": others })
}

fn span_json(group: &ResourceSpans, span: &Span, process: &str) -> Json {
    let trace_id = span.trace_id.to_string();
    let mut references = Vec::new();
    if let Some(parent) = span.parent_span_id {
        references.push(json!({ "refType": "CHILD_OF", "traceID": trace_id, "spanID": parent.to_string() }));
    }
    for link in &span.links {
        let (trace, span) = (link.trace_id.to_string(), link.span_id.to_string());
        references.push(json!({ "refType": "FOLLOWS_FROM", "traceID": trace, "spanID": span }));
    }
    json!({
        "traceID": trace_id,
        "spanID": span.span_id.to_string(),
        "operationName": span.name,
        "references": references,
        "startTime": span.start_ns.div_euclid(1000),
        "duration": span.duration_ns() / 1000,
        "tags": span_tags(group, span),
        "logs": span.events.iter().map(event).collect::<Vec<_>>(),
        "processID": process,
        "flags": span.flags,
        "warnings": null,
    })
}

/// Attributes, and what OpenTelemetry has as fields where Jaeger has tags.
fn span_tags(group: &ResourceSpans, span: &Span) -> Vec<Json> {
    let mut tags = tags(&span.attributes);
    if span.kind != SpanKind::Unspecified {
        tags.push(tag("span.kind", &span.kind.as_str().into()));
    }
    match span.status {
        StatusCode::Unset => {}
        StatusCode::Ok => tags.push(tag("otel.status_code", &"OK".into())),
        StatusCode::Error => {
            tags.push(tag("otel.status_code", &"ERROR".into()));
            tags.push(tag("error", &Value::Bool(true)));
        }
    }
    if !span.status_message.is_empty() {
        tags.push(tag(
            "otel.status_description",
            &span.status_message.as_str().into(),
        ));
    }
    if !group.scope.name.is_empty() {
        tags.push(tag("otel.scope.name", &group.scope.name.as_str().into()));
    }
    if !group.scope.version.is_empty() {
        tags.push(tag("otel.scope.version", &group.scope.version.as_str().into()));
    }
    if !span.trace_state.is_empty() {
        tags.push(tag("w3c.tracestate", &span.trace_state.as_str().into()));
    }
    tags
}

fn event(event: &SpanEvent) -> Json {
    let mut fields = tags(&event.attributes);
    fields.push(tag("event", &event.name.as_str().into()));
    json!({ "timestamp": event.timestamp_ns.div_euclid(1000), "fields": fields })
}

fn tags(attributes: &Attributes) -> Vec<Json> {
    attributes.iter().map(|(k, v)| tag(k, v)).collect()
}

fn tag(key: &str, value: &Value) -> Json {
    let (kind, value) = match value {
        Value::Bool(b) => ("bool", json!(b)),
        Value::Int(i) => ("int64", json!(i)),
        Value::Double(d) if d.is_finite() => ("float64", json!(d)),
        other => ("string", json!(other.to_string())),
    };
    json!({ "key": key, "type": kind, "value": value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{SpanId, TraceId};

    #[test]
    fn a_trace_shows_as_jaeger_shows_it() {
        let resource = |service: &str| {
            let mut r = Resource::default();
            r.set("service.name", service);
            r.set("host.name", "h");
            std::sync::Arc::new(r)
        };
        let span = |id: u8, parent: Option<u8>, start_ns: i64| Span {
            trace_id: TraceId([1; 16]),
            span_id: SpanId([id; 8]),
            parent_span_id: parent.map(|p| SpanId([p; 8])),
            name: format!("op{id}"),
            kind: SpanKind::Server,
            start_ns,
            end_ns: start_ns + 2_500,
            status: StatusCode::Error,
            attributes: vec![("n".into(), Value::Int(7))],
            ..Span::default()
        };
        let group = |service: &str, spans: Vec<Span>| ResourceSpans {
            resource: resource(service),
            spans,
            ..ResourceSpans::default()
        };
        let json = trace(&[
            group("b", vec![span(2, Some(1), 9_000)]),
            group("a", vec![span(1, None, 5_000)]),
            group("b", vec![span(3, Some(1), 10_000)]),
        ]);
        let names: Vec<_> = json["spans"]
            .as_array()
            .unwrap()
            .iter()
            .map(|s| s["operationName"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["op1", "op2", "op3"], "by start");
        assert_eq!(json["processes"].as_object().unwrap().len(), 2);
        let second = &json["spans"][1];
        assert_eq!(
            (second["startTime"].as_i64(), second["duration"].as_i64()),
            (Some(9), Some(2))
        );
        assert_eq!(second["references"][0]["spanID"], "0101010101010101");
        assert_eq!(
            json["processes"][second["processID"].as_str().unwrap()]["serviceName"],
            "b"
        );
        let tags = second["tags"].as_array().unwrap();
        assert!(tags.contains(&serde_json::json!({ "key": "n", "type": "int64", "value": 7 })));
        assert!(tags.contains(&serde_json::json!({ "key": "error", "type": "bool", "value": true })));
    }
}
