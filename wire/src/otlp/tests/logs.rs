//! Logs: what becomes of a record, and that our agents' streams come back as they were.

use super::*;
use model::{Labels, LogEntry, LogStream};
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValueList};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};

fn request(records: Vec<LogRecord>) -> Vec<u8> {
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: resource(&[
                ("service.name", "shop"),
                ("k8s.pod.name", "shop-1"),
                ("process.pid", "7"),
            ]),
            scope_logs: vec![ScopeLogs {
                scope: Some(InstrumentationScope {
                    name: "lib".into(),
                    version: "1".into(),
                    attributes: vec![pair("scope.key", "s")],
                    ..Default::default()
                }),
                log_records: records,
                ..Default::default()
            }],
            ..Default::default()
        }],
    }
    .encode_to_vec()
}

pub(super) fn example() -> Vec<u8> {
    request(vec![LogRecord {
        time_unix_nano: 5,
        observed_time_unix_nano: 6,
        severity_number: 17,
        severity_text: "Error".into(),
        body: text("boom"),
        attributes: vec![pair("http.method", "GET"), pair("empty", "")],
        flags: 1,
        trace_id: vec![0xab; 16],
        span_id: vec![0xcd; 8],
        event_name: "e".into(),
        ..Default::default()
    }])
}

fn one(record: LogRecord) -> LogEntry {
    let decoded = decode_logs(&request(vec![record]), Encoding::Protobuf, NOW_NS, &quota()).unwrap();
    decoded.payload.streams[0].entries[0].clone()
}

fn shown(entry: &LogEntry) -> Vec<String> {
    entry.metadata.iter().map(|(n, v)| format!("{n}={v}")).collect()
}

#[test]
fn a_record_becomes_an_entry() {
    let decoded = decode_logs(&example(), Encoding::Protobuf, NOW_NS, &quota()).unwrap();
    let stream = &decoded.payload.streams[0];
    assert_eq!(
        stream.labels,
        Labels::from_pairs([("service_name", "shop"), ("pod", "shop-1")])
    );
    let entry = &stream.entries[0];
    assert_eq!((entry.timestamp_ns, entry.line.as_str()), (5, "boom"));
    assert_eq!(
        shown(entry),
        [
            "event_name=e",
            "flags=1",
            "http_method=GET",
            "level=error",
            "process_pid=7",
            "scope_key=s",
            "scope_name=lib",
            "scope_version=1",
            "severity_number=17",
            "severity_text=Error",
            "span_id=cdcdcdcdcdcdcdcd",
            "trace_id=abababababababababababababababab",
        ]
    );
}

#[test]
fn time_falls_back() {
    let at = |time_unix_nano, observed_time_unix_nano| {
        one(LogRecord {
            time_unix_nano,
            observed_time_unix_nano,
            ..Default::default()
        })
        .timestamp_ns
    };
    assert_eq!(at(5, 6), 5);
    assert_eq!(at(0, 6), 6);
    assert_eq!(at(0, 0), NOW_NS);
    assert_eq!(at(u64::MAX, 0), i64::MAX);
}

#[test]
fn bodies_become_lines() {
    use any_value::Value as Any;
    let check = |value: Any, line: &str| {
        let body = Some(AnyValue { value: Some(value) });
        assert_eq!(
            one(LogRecord {
                body,
                ..Default::default()
            })
            .line,
            line
        );
    };
    check(Any::StringValue("plain \"text\"".into()), "plain \"text\"");
    check(Any::IntValue(-3), "-3");
    check(
        Any::KvlistValue(KeyValueList {
            values: vec![pair("a\"", "b\n")],
        }),
        r#"{"a\"":"b\n"}"#,
    );
    assert_eq!(one(LogRecord::default()).line, "");
}

#[test]
fn levels_come_from_the_severity() {
    let check = |severity_number, severity_text: &str, attribute: &str, level: Option<&str>| {
        let attributes = if attribute.is_empty() {
            vec![]
        } else {
            vec![pair("level", attribute)]
        };
        let entry = one(LogRecord {
            severity_number,
            severity_text: severity_text.into(),
            attributes,
            ..Default::default()
        });
        let found = entry
            .metadata
            .iter()
            .find(|(n, _)| n == "level")
            .map(|(_, v)| v.as_str());
        assert_eq!(found, level, "{severity_number} {severity_text}");
    };
    check(1, "", "", Some("trace"));
    check(8, "", "", Some("debug"));
    check(9, "WARN", "", Some("info"));
    check(16, "", "", Some("warn"));
    check(20, "", "", Some("error"));
    check(24, "", "", Some("fatal"));
    check(0, "Warning", "", Some("warn"));
    check(0, "CRITICAL", "", Some("critical"));
    check(0, "ünbekannt und viel zu lang", "", None);
    check(0, "", "", None);
    check(99, "", "", None);
    check(17, "", "mine", Some("mine"));
}

#[test]
fn attributes_of_attributes_are_flat() {
    let inner = any_value::Value::KvlistValue(KeyValueList {
        values: vec![pair("b.c", "1"), pair("d", "2")],
    });
    let nested = KeyValue {
        key: "a".into(),
        value: Some(AnyValue { value: Some(inner) }),
        ..Default::default()
    };
    let entry = one(LogRecord {
        attributes: vec![nested, pair("scope.key", "own"), pair("a.d", "x")],
        ..Default::default()
    });
    let shown = shown(&entry);
    for expected in ["a_b_c=1", "a_d=2", "scope_key=own"] {
        assert!(shown.iter().any(|s| s == expected), "{expected} in {shown:?}");
    }
    assert!(
        entry.metadata.is_sorted_by(|a, b| a.0 < b.0),
        "names are unique: {shown:?}"
    );
}

#[test]
fn streams_of_our_own_come_back() {
    let metadata = |pairs: &[(&str, &str)]| {
        pairs
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect()
    };
    let entry = |pairs: &[(&str, &str)]| LogEntry {
        timestamp_ns: 7,
        line: "x".into(),
        metadata: metadata(pairs),
    };
    let logs = Logs {
        streams: vec![
            LogStream {
                labels: Labels::from_pairs([
                    ("service_name", "shop"),
                    ("namespace", "n"),
                    ("pod", "p"),
                    ("container", "c"),
                    ("container_id", "id"),
                    ("node", "host"),
                    ("filename", "/var/log/x"),
                    ("stream", "stderr"),
                    ("app", "outside of the table"),
                    ("team", "t"),
                ]),
                entries: vec![
                    entry(&[]),
                    entry(&[
                        ("level", "error"),
                        ("severity_number", "17"),
                        ("severity_text", "ERROR"),
                    ]),
                    entry(&[
                        ("level", "odd"),
                        ("severity_number", "007"),
                        ("span_id", "00"),
                        ("trace_id", "zz"),
                    ]),
                    entry(&[
                        ("span_id", "cdcdcdcdcdcdcdcd"),
                        ("trace_id", "0af7651916cd43dd8448eb211c80319c"),
                    ]),
                    entry(&[("level", "warn"), ("severity_text", "warning")]),
                ],
            },
            LogStream {
                labels: Labels::from_pairs([("service_name", "other")]),
                entries: vec![entry(&[("a", "b")])],
            },
        ],
    };
    let decoded = decode_logs(&encode_logs(&logs), Encoding::Protobuf, NOW_NS, &quota()).unwrap();
    assert_eq!((decoded.payload, decoded.rejected), (logs, vec![]));
}

proptest! {
    #[test]
    fn streams_come_back(
        labels in prop::collection::btree_map("[a-z_]{1,6}|container|pod|stream", ".{1,6}", 0..5),
        entries in prop::collection::vec((0..i64::MAX, any::<String>(),
            prop::collection::btree_map("[a-z_]{1,5}|trace_id|severity_number", ".{1,9}", 0..4)), 1..4),
    ) {
        let labels = labels.into_iter().chain([("service_name".to_owned(), "s".to_owned())]);
        let labels = Labels::from_pairs(labels);
        let entries: Vec<LogEntry> = entries
            .into_iter()
            // A time of zero means none in the protocol; `severity_text` makes a level of its own.
            .map(|(t, line, metadata)| LogEntry { timestamp_ns: t.max(1), line, metadata: metadata.into_iter().collect() })
            .collect();
        let logs = Logs { streams: vec![LogStream { labels, entries }] };
        let decoded = decode_logs(&encode_logs(&logs), Encoding::Protobuf, NOW_NS, &quota()).unwrap();
        let mut got = decoded.payload;
        for (got, sent) in got.streams[0].entries.iter_mut().zip(&logs.streams[0].entries) {
            if sent.metadata.iter().all(|(n, _)| n != "level") {
                got.metadata.retain(|(n, _)| n != "level");
            }
        }
        prop_assert_eq!(got, logs);
    }
}
