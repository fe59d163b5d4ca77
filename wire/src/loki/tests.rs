//! Tables of label texts and requests, and round trips.

use super::*;
use crate::Quota;
use crate::protobuf::Writer;
use proptest::prelude::*;

fn entry(timestamp_ns: i64, line: &str, metadata: &[(&str, &str)]) -> LogEntry {
    let pair = |(n, v): &(&str, &str)| ((*n).to_owned(), (*v).to_owned());
    LogEntry {
        timestamp_ns,
        line: line.to_owned(),
        metadata: metadata.iter().map(pair).collect(),
    }
}

#[test]
fn label_texts() {
    let check = |text: &str, expected: &[(&str, &str)]| {
        let expected = Labels::from_pairs(expected.iter().copied());
        assert_eq!(parse_labels(text).unwrap(), expected, "{text}");
    };
    check("{}", &[]);
    check(r#"{a="b"}"#, &[("a", "b")]);
    check(r#" { a = "b" ,c_1="d", } "#, &[("a", "b"), ("c_1", "d")]);
    check(
        r#"{a="x\"y\\z\n\t\u00e9\x41\101"}"#,
        &[("a", "x\"y\\z\n\té\u{41}A")],
    );
    check(r#"{a="\xc3\xa9"}"#, &[("a", "é")]);
    check("{a=`raw \\n}`}", &[("a", "raw \\n}")]);
    check(r#"{a="é, }", b=""}"#, &[("a", "é, }")]);
}

#[test]
fn label_texts_that_are_none() {
    let check = |text: &str, says: &str| {
        let e = parse_labels(text).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::BadData);
        assert!(e.message().contains(says), "{text}: {e}");
    };
    check("", "\"{\" is expected at column 1");
    check("a=\"b\"", "\"{\" is expected");
    check("{a=\"b\"", "\",\" or \"}\" is expected at column 7");
    check("{a=\"b} ", "closing quote");
    check("{a=`b} ", "closing backquote");
    check("{a=b}", "\"\\\"\" is expected at column 4");
    check("{a!=\"b\"}", "\"=\" is expected");
    check("{1a=\"b\"}", "label name is expected at column 2");
    check("{a.b=\"c\"}", "\"=\" is expected");
    check("{,}", "label name is expected");
    check("{a=\"b\" c=\"d\"}", "\",\" or \"}\" is expected");
    check("{a=\"b\"} x", "nothing is expected");
    check("{a=\"1\",a=\"2\"}", "\"a\" twice");
    for bad in [
        r#"{a="\q"}"#,
        r#"{a="\x4"}"#,
        r#"{a="\u12"}"#,
        r#"{a="\ud800"}"#,
        r#"{a="\777"}"#,
        r#"{a="\x+1"}"#,
        "{a=\"\\é\"}",
    ] {
        check(bad, "escape is not known");
    }
    check(r#"{a="\xff"}"#, "not valid UTF-8");
}

#[test]
fn json_requests() {
    let body = br#"{"streams":[
        {"stream":{"job":"x","empty":""},"values":[["1","one"],["2","two \u00e9",{"trace_id":"abc","":"x"}],[3,"three"]],"extra":1},
        {"stream":{},"values":[["4","lost"]]},
        {"stream":{"not-a-name":"x"},"values":[["5","lost"],["6","lost"]]}
    ],"more":null}"#;
    let decoded = decode_json(body).unwrap();
    let expected = LogStream {
        labels: Labels::from_pairs([("job", "x")]),
        entries: vec![
            entry(1, "one", &[]),
            entry(2, "two é", &[("trace_id", "abc")]),
            entry(3, "three", &[]),
        ],
    };
    assert_eq!(decoded.payload.streams, [expected]);
    let refused: Vec<_> = decoded.rejected.iter().map(|r| (r.reason, r.count)).collect();
    assert_eq!(refused, [("missing_labels", 1), ("invalid_labels", 2)]);
}

#[test]
fn json_that_is_no_request() {
    let check = |body: &str, says: &str| {
        let e = decode_json(body.as_bytes()).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::BadData);
        assert!(
            e.message().contains(says) && e.message().len() < 600,
            "{body}: {e}"
        );
    };
    check("", "EOF");
    check("{}", "missing field `streams`");
    check(r#"{"streams":[{"values":[]}]}"#, "missing field `stream`");
    check(
        r#"{"streams":[{"stream":{"a":1},"values":[]}]}"#,
        "expected a string",
    );
    check(
        r#"{"streams":[{"stream":{},"values":[["x","line"]]}]}"#,
        "time in nanoseconds",
    );
    check(
        r#"{"streams":[{"stream":{},"values":[["1"]]}]}"#,
        "invalid length 1",
    );
    check(
        r#"{"streams":[{"stream":{},"values":[["1","a",{},1]]}]}"#,
        "invalid length 4",
    );
    check(
        r#"{"streams":[{"stream":{},"values":[["1",2]]}]}"#,
        "expected a string",
    );
    check(r#"{"streams":[]} x"#, "trailing characters");
    check(
        &format!(r#"{{"streams":"{}"}}"#, "x".repeat(5000)),
        "invalid type",
    );
}

#[test]
fn protobuf_requests() {
    let logs = Logs {
        streams: vec![LogStream {
            labels: Labels::from_pairs([("job", "x"), ("quote", "a\"b\\c\nd")]),
            entries: vec![
                entry(1_719_828_000_123_456_789, "one", &[("trace_id", "abc")]),
                entry(-1, "", &[]),
                entry(0, "zero", &[]),
            ],
        }],
    };
    let decoded = decode_protobuf(&encode_protobuf(&logs), &Quota::new(1 << 20)).unwrap();
    assert_eq!((decoded.payload, decoded.rejected), (logs, vec![]));
    let mut w = Writer::default();
    for labels in ["{}", "", "{a=b}"] {
        w.message(1, |w| {
            w.text(1, labels);
            w.message(2, |w| w.text(2, "lost"));
        });
    }
    let decoded = decode_protobuf(&w.finish(), &Quota::new(1 << 20)).unwrap();
    let refused: Vec<_> = decoded.rejected.iter().map(|r| (r.reason, r.count)).collect();
    assert_eq!(refused, [("missing_labels", 2), ("invalid_labels", 1)]);
    assert!(decoded.payload.streams.is_empty());
}

#[test]
fn many_small_streams_end_at_the_quota() {
    let e = decode_protobuf(&[0x0a, 0x00].repeat(10_000), &Quota::new(100_000)).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::TooLarge);
}

#[test]
fn content_types() {
    assert_eq!(Format::from_content_type(None).unwrap(), Format::Protobuf);
    assert_eq!(
        Format::from_content_type(Some("application/json; charset=utf-8")).unwrap(),
        Format::Json
    );
    assert_eq!(
        Format::from_content_type(Some("text/plain")).unwrap_err().kind(),
        ErrorKind::Unsupported
    );
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_not_panic(bytes: Vec<u8>, text: String, near in r#"[{}a-c="`\\,xu0-9é ]{0,30}"#) {
        let _ = decode_protobuf(&bytes, &Quota::new(1 << 20));
        let _ = decode_json(&bytes);
        let _ = parse_labels(&text);
        let _ = parse_labels(&near);
    }

    #[test]
    fn requests_read_back(all in prop::collection::vec((
        prop::collection::btree_map("[a-z_][a-z0-9_]{0,4}", ".{1,6}", 1..4),
        prop::collection::vec((any::<i64>(), any::<String>(), prop::collection::btree_map("[a-z]{1,3}", ".{1,3}", 0..3)), 0..4),
    ), 0..4)) {
        let streams: Vec<LogStream> = all.into_iter().map(|(labels, entries)| LogStream {
            labels: Labels::from_pairs(labels),
            entries: entries
                .into_iter()
                .map(|(timestamp_ns, line, metadata)| LogEntry { timestamp_ns, line, metadata: metadata.into_iter().collect() })
                .collect(),
        }).collect();
        let logs = Logs { streams };
        let decoded = decode_protobuf(&encode_protobuf(&logs), &Quota::new(1 << 24)).unwrap();
        prop_assert_eq!(&decoded.payload, &logs);
        let json = serde_json::json!({ "streams": logs.streams.iter().map(|s| serde_json::json!({
            "stream": s.labels,
            "values": s.entries.iter().map(|e| {
                let metadata: std::collections::BTreeMap<_, _> = e.metadata.iter().cloned().collect();
                serde_json::json!([e.timestamp_ns.to_string(), e.line, metadata])
            }).collect::<Vec<_>>(),
        })).collect::<Vec<_>>() });
        prop_assert_eq!(&decode_json(json.to_string().as_bytes()).unwrap().payload, &logs);
    }
}
