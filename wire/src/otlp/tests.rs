//! Both encodings against tables, the conformance data where it is at hand, and round trips.

mod logs;
mod metrics;
mod traces;

use super::*;
use crate::testdata::shared;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use proptest::prelude::*;
use prost::Message;

const NOW_NS: i64 = 1_700_000_000_000_000_000;

fn quota() -> Quota {
    Quota::new(1 << 26)
}

#[test]
fn edge_cases_of_json() {
    let Some(folder) = shared("otlp/edge_cases") else {
        return;
    };
    let mut seen = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let body = std::fs::read(&path).unwrap();
        let result = decode_traces(&body, Encoding::Json, &quota());
        let refuse = name.starts_with("06_enum_name") || name.starts_with("09_badhex");
        match result {
            Ok(decoded) if !refuse => assert_eq!(decoded.rejected, [], "{name}"),
            Err(e) if refuse => assert_eq!(e.kind(), ErrorKind::BadData, "{name}"),
            other => panic!("{name}: {other:?}"),
        }
        seen += 1;
    }
    assert!(seen > 10);
}

#[test]
fn official_examples_of_json() {
    let Some(folder) = shared("otlp") else { return };
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let logs = decode_logs(&read("logs.json"), Encoding::Json, NOW_NS, &quota()).unwrap();
    assert_eq!(logs.payload.streams[0].entries[0].line, "Example log record");
    let events = decode_logs(&read("events.json"), Encoding::Json, NOW_NS, &quota()).unwrap();
    let line = &events.payload.streams[0].entries[0].line;
    assert!(line.starts_with(r#"{"type":0,"url":"https://"#), "{line}");
    let traces = decode_traces(&read("trace.json"), Encoding::Json, &quota()).unwrap();
    assert_eq!(traces.payload.groups[0].spans[0].name, "I'm a server span");
    let metrics = decode_metrics(&read("metrics.json"), Encoding::Json, NOW_NS, &quota()).unwrap();
    let names: Vec<_> = metrics
        .payload
        .metadata
        .iter()
        .map(|m| m.family.as_str())
        .collect();
    assert_eq!(names, ["my_gauge_ratio"]);
    // The counter and both histograms of the example are deltas.
    assert_eq!(
        (metrics.rejected[0].reason, metrics.rejected_count()),
        ("temporality", 3)
    );
}

fn text(value: &str) -> Option<AnyValue> {
    Some(AnyValue {
        value: Some(any_value::Value::StringValue(value.to_owned())),
    })
}

fn pair(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: text(value),
        ..KeyValue::default()
    }
}

fn resource(pairs: &[(&str, &str)]) -> Option<opentelemetry_proto::tonic::resource::v1::Resource> {
    Some(opentelemetry_proto::tonic::resource::v1::Resource {
        attributes: pairs.iter().map(|(k, v)| pair(k, v)).collect(),
        ..Default::default()
    })
}

#[test]
fn json_that_is_no_request() {
    let check = |body: &str, says: &str| {
        let e = decode_traces(body.as_bytes(), Encoding::Json, &quota()).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::BadData);
        assert!(
            e.message().contains(says) && e.message().len() < 600,
            "{body}: {e}"
        );
    };
    let span =
        |fields: &str| format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{fields}}}]}}]}}]}}"#);
    check("", "EOF");
    check("[]", "expected an object");
    check("{} {}", "trailing characters");
    check(r#"{"resourceSpans":{}}"#, "expected a list of objects");
    check(&span(r#""name":1"#), "expected a string");
    check(&span(r#""kind":"2""#), "invalid type");
    check(&span(r#""traceId":"5b8e""#), "not an id of 16 bytes");
    check(&span(r#""spanId":"eee19b7ec3c1b1zz""#), "not an id of 8 bytes");
    check(&span(r#""startTimeUnixNano":"-1""#), "whole number of 64 bits");
    check(&span(r#""startTimeUnixNano":1.5"#), "whole number of 64 bits");
    check(
        &span(r#""startTimeUnixNano":"18446744073709551616""#),
        "whole number of 64 bits",
    );
    check(&span(r#""flags":4294967296"#), "whole number of 32 bits");
    check(
        &span(r#""attributes":[{"value":{"doubleValue":"x"}}]"#),
        "expected a number",
    );
    check(
        &span(r#""attributes":[{"value":{"bytesValue":"*"}}]"#),
        "not base64",
    );
    check(
        &span(&format!(r#""traceId":"{}""#, "x".repeat(5000))),
        "not an id of 16 bytes",
    );
    let deep = format!(
        "{}{}",
        r#"{"arrayValue":{"values":["#.repeat(200),
        "]}}".repeat(200)
    );
    check(
        &span(&format!(r#""attributes":[{{"value":{deep}}}]"#)),
        "recursion limit",
    );
}

#[test]
fn numbers_come_in_all_their_forms() {
    let body = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"a","gauge":{"dataPoints":[
        {"timeUnixNano":"1000000","asInt":"9007199254740993"},{"timeUnixNano":1e6,"asInt":5},{"timeUnixNano":1000000,"asDouble":"-Infinity"},
        {"timeUnixNano":"1000000","asDouble":2},{"timeUnixNano":"1000000","asDouble":"2.5","asInt":null}
    ]}}]}]}]}"#;
    let decoded = decode_metrics(body.as_bytes(), Encoding::Json, NOW_NS, &quota()).unwrap();
    let values: Vec<f64> = decoded
        .payload
        .series
        .iter()
        .map(|s| s.samples[0].value)
        .collect();
    assert_eq!(
        values,
        [9_007_199_254_740_992.0, 5.0, f64::NEG_INFINITY, 2.0, 2.5]
    );
    assert!(
        decoded
            .payload
            .series
            .iter()
            .all(|s| s.samples[0].timestamp_ms == 1)
    );
}

#[test]
fn damaged_protobuf_is_bad_data() {
    for body in [&b"garbage"[..], &[0x0a, 0x7f], &[0x0a, 0x02, 0x12, 0x05]] {
        assert_eq!(
            decode_logs(body, Encoding::Protobuf, 0, &quota())
                .unwrap_err()
                .kind(),
            ErrorKind::BadData
        );
        assert_eq!(
            decode_traces(body, Encoding::Protobuf, &quota())
                .unwrap_err()
                .kind(),
            ErrorKind::BadData
        );
        assert_eq!(
            decode_metrics(body, Encoding::Protobuf, 0, &quota())
                .unwrap_err()
                .kind(),
            ErrorKind::BadData
        );
    }
    // A value that nests far deeper than anybody needs.
    let mut value = AnyValue::default().encode_to_vec();
    for _ in 0..300 {
        let mut w = crate::protobuf::Writer::default();
        w.message(5, |w| w.message(1, |w| value.iter().for_each(|b| w.raw(*b))));
        value = w.finish();
    }
    let mut w = crate::protobuf::Writer::default();
    w.message(1, |w| w.message(2, |w| w.message(2, |w| w.bytes(5, &value))));
    let e = decode_logs(&w.finish(), Encoding::Protobuf, 0, &quota()).unwrap_err();
    assert_eq!(
        (e.kind(), e.message().contains("deeper than 100")),
        (ErrorKind::BadData, true)
    );
}

#[test]
fn many_small_messages_end_at_the_quota() {
    let small = Quota::new(1 << 20);
    // 20,000 empty spans of two bytes each.
    let mut spans = crate::protobuf::Writer::default();
    spans.message(1, |w| {
        w.message(2, |w| (0..20_000).for_each(|_| w.message(2, |_| ())));
    });
    let e = decode_traces(&spans.finish(), Encoding::Protobuf, &small).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::TooLarge);
    let json = format!(r#"{{"resourceSpans":[{}{{}}]}}"#, "{},".repeat(20_000));
    let e = decode_traces(json.as_bytes(), Encoding::Json, &Quota::new(1 << 20)).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::TooLarge, "{e}");
    // 2,000 empty records, each with a copy of a resource of 10,000 bytes.
    let json = format!(
        r#"{{"resourceLogs":[{{"resource":{{"attributes":[{{"key":"a","value":{{"stringValue":"{}"}}}}]}},"scopeLogs":[{{"logRecords":[{}{{}}]}}]}}]}}"#,
        "x".repeat(10_000),
        "{},".repeat(2000)
    );
    let e = decode_logs(json.as_bytes(), Encoding::Json, 0, &Quota::new(5 << 20)).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::TooLarge, "{e}");
    // One histogram point becomes a series per bucket.
    let counts = vec!["1"; 5001].join(",");
    let bounds: Vec<String> = (0..5000).map(|i| i.to_string()).collect();
    let json = format!(
        r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"name":"a","histogram":{{"aggregationTemporality":2,"dataPoints":[{{"bucketCounts":[{counts}],"explicitBounds":[{}]}}]}}}}]}}]}}]}}"#,
        bounds.join(",")
    );
    let e = decode_metrics(json.as_bytes(), Encoding::Json, 0, &Quota::new(500_000)).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::TooLarge, "{e}");
}

#[test]
fn equal_keys_become_one() {
    let pairs = vec![
        pair("a", "1"),
        pair("b", "2"),
        pair("a", "3"),
        pair("c", "4"),
        pair("a", "5"),
    ];
    let unique = attributes::attributes(pairs);
    let shown: Vec<String> = unique.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(shown, ["a=5", "b=2", "c=4"]);
}

#[test]
fn answers() {
    use crate::otlp::Encoding::{Json, Protobuf};
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
    assert_eq!(encode_response(Signal::Logs, 0, "", Protobuf), b"");
    assert_eq!(encode_response(Signal::Logs, 0, "", Json), b"{}");
    let bytes = encode_response(Signal::Traces, 3, "why", Protobuf);
    let partial = ExportTraceServiceResponse::decode(&*bytes)
        .unwrap()
        .partial_success
        .unwrap();
    assert_eq!(
        (partial.rejected_spans, partial.error_message.as_str()),
        (3, "why")
    );
    let json = |signal| String::from_utf8(encode_response(signal, 3, "why", Json)).unwrap();
    assert_eq!(
        json(Signal::Traces),
        r#"{"partialSuccess":{"errorMessage":"why","rejectedSpans":"3"}}"#
    );
    assert_eq!(
        json(Signal::Logs),
        r#"{"partialSuccess":{"errorMessage":"why","rejectedLogRecords":"3"}}"#
    );
    assert_eq!(
        json(Signal::Metrics),
        r#"{"partialSuccess":{"errorMessage":"why","rejectedDataPoints":"3"}}"#
    );
    let status = Status {
        code: 14,
        message: "full",
        retry_after: Some(std::time::Duration::from_millis(1500)),
    };
    let json = String::from_utf8(encode_status(&status, Json)).unwrap();
    assert_eq!(
        json,
        r#"{"code":14,"details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"1.5s"}],"message":"full"}"#
    );
    insta::assert_snapshot!(hex::encode(encode_status(&status, Protobuf)), @"080e120466756c6c1a360a28747970652e676f6f676c65617069732e636f6d2f676f6f676c652e7270632e5265747279496e666f120a0a0808011080cab5ee01");
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_not_panic(bytes: Vec<u8>) {
        for encoding in [Encoding::Protobuf, Encoding::Json] {
            let _ = decode_logs(&bytes, encoding, 0, &quota());
            let _ = decode_traces(&bytes, encoding, &quota());
            let _ = decode_metrics(&bytes, encoding, 0, &quota());
        }
    }

    #[test]
    fn damaged_requests_do_not_panic(at: prop::sample::Index, byte: u8) {
        for mut body in [logs::example(), traces::example(), metrics::example()] {
            let at = at.index(body.len());
            body[at] = byte;
            let _ = decode_logs(&body, Encoding::Protobuf, 0, &quota());
            let _ = decode_traces(&body, Encoding::Protobuf, &quota());
            let _ = decode_metrics(&body, Encoding::Protobuf, 0, &quota());
        }
    }
}
