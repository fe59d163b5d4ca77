//! Traces: both encodings say the same, bad ids are refused alone, and spans come back as they were.

use super::*;
use model::span::{SpanEvent, SpanLink, StatusCode};
use model::{Resource, ResourceSpans, Scope, Span, SpanId, SpanKind, TraceId, Value};
use std::sync::Arc;

fn full_span() -> Span {
    let attributes = vec![
        ("s".to_owned(), Value::from("x")),
        ("b".to_owned(), Value::Bool(true)),
        ("i".to_owned(), Value::Int(i64::MIN)),
        ("d".to_owned(), Value::Double(1.5)),
        ("bytes".to_owned(), Value::Bytes(vec![1, 2, 3])),
        (
            "list".to_owned(),
            Value::Array(vec!["q".into(), Value::Int(3), Value::Empty]),
        ),
        (
            "map".to_owned(),
            Value::Map(vec![("k".to_owned(), Value::from("v"))]),
        ),
        ("empty".to_owned(), Value::Empty),
    ];
    Span {
        trace_id: TraceId([1; 16]),
        span_id: SpanId([2; 8]),
        parent_span_id: Some(SpanId([3; 8])),
        trace_state: "a=1".into(),
        flags: 257,
        name: "GET /".into(),
        kind: SpanKind::Server,
        start_ns: 10,
        end_ns: 20,
        attributes: attributes.clone(),
        events: vec![SpanEvent {
            timestamp_ns: 11,
            name: "exception".into(),
            attributes: attributes.clone(),
        }],
        links: vec![SpanLink {
            trace_id: TraceId([4; 16]),
            span_id: SpanId([5; 8]),
            trace_state: "b=2".into(),
            attributes,
        }],
        status: StatusCode::Error,
        status_message: "no".into(),
    }
}

fn example_spans() -> Spans {
    let resource = Resource {
        attributes: vec![("service.name".to_owned(), Value::from("shop"))],
    };
    let scope = Scope {
        name: "lib".into(),
        version: "1".into(),
        attributes: vec![("k".into(), Value::from("v"))],
    };
    let root = Span {
        trace_id: TraceId([1; 16]),
        span_id: SpanId([9; 8]),
        ..Span::default()
    };
    Spans {
        groups: vec![
            ResourceSpans {
                resource: Arc::new(resource),
                scope: Arc::new(scope),
                spans: vec![full_span(), root.clone()],
            },
            ResourceSpans {
                spans: vec![root],
                ..ResourceSpans::default()
            },
        ],
    }
}

pub(super) fn example() -> Vec<u8> {
    encode_spans(&example_spans())
}

#[test]
fn spans_of_our_own_come_back() {
    let decoded = decode_traces(&example(), Encoding::Protobuf, &quota()).unwrap();
    assert_eq!((decoded.payload, decoded.rejected), (example_spans(), vec![]));
}

#[test]
fn json_says_the_same() {
    let body = r#"{"resourceSpans":[
      {"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},"scopeSpans":[{
        "scope":{"name":"lib","version":"1","attributes":[{"key":"k","value":{"stringValue":"v"}}]},
        "spans":[{"traceId":"01010101010101010101010101010101","spanId":"0202020202020202","parentSpanId":"0303030303030303",
          "traceState":"a=1","flags":257,"name":"GET /","kind":2,"startTimeUnixNano":"10","endTimeUnixNano":20,
          "attributes":ATTRIBUTES,"events":[{"timeUnixNano":"11","name":"exception","attributes":ATTRIBUTES}],
          "links":[{"traceId":"04040404040404040404040404040404","spanId":"0505050505050505","traceState":"b=2","attributes":ATTRIBUTES},{}],
          "status":{"code":2,"message":"no"}},
         {"traceId":"01010101010101010101010101010101","spanId":"0909090909090909"}]}]},
      {"scopeSpans":[{"spans":[{"traceId":"01010101010101010101010101010101","spanId":"0909090909090909"}]}]}]}"#;
    let attributes = r#"[{"key":"s","value":{"stringValue":"x"}},{"key":"b","value":{"boolValue":true}},
        {"key":"i","value":{"intValue":"-9223372036854775808"}},{"key":"d","value":{"doubleValue":1.5}},
        {"key":"bytes","value":{"bytesValue":"AQID"}},
        {"key":"list","value":{"arrayValue":{"values":[{"stringValue":"q"},{"intValue":3},{}]}}},
        {"key":"map","value":{"kvlistValue":{"values":[{"key":"k","value":{"stringValue":"v"}}]}}},{"key":"empty","value":null}]"#;
    let body = body.replace("ATTRIBUTES", attributes);
    let decoded = decode_traces(body.as_bytes(), Encoding::Json, &quota()).unwrap();
    assert_eq!((decoded.payload, decoded.rejected), (example_spans(), vec![]));
}

#[test]
fn spans_without_ids_are_refused_alone() {
    let span = |trace: &str, span: &str| format!(r#"{{"traceId":"{trace}","spanId":"{span}","name":"n"}}"#);
    let (trace_id, span_id) = ("5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174");
    let spans = [
        span(trace_id, span_id),
        span("", span_id),
        span(trace_id, ""),
        span(&"0".repeat(32), span_id),
    ];
    let body = format!(
        r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{}]}}]}}]}}"#,
        spans.join(",")
    );
    let decoded = decode_traces(body.as_bytes(), Encoding::Json, &quota()).unwrap();
    assert_eq!(decoded.payload.groups[0].spans.len(), 1);
    assert_eq!(
        (decoded.rejected[0].reason, decoded.rejected_count()),
        ("invalid_id", 3)
    );
}
