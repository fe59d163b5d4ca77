//! Symbols, references and metadata of 2.0.

use super::*;

fn read_v2(body: Vec<u8>) -> Metrics {
    let decoded = decode_raw(Message::V2, body, &quota()).unwrap();
    assert_eq!(decoded.rejected, []);
    decoded.payload.decode().unwrap()
}

/// A request, byte for byte.
const REQUEST: &[&[u8]] = &[
    b"\x22\x00\x22\x08__name__\x22\x04up_s\x22\x03job\x22\x01x",
    b"\x22\x08trace_id\x22\x03abc\x22\x04Help\x22\x01s",
    b"\x2a\x3e",
    b"\x0a\x04\x01\x02\x03\x04",
    b"\x12\x0e\x09\x00\x00\x00\x00\x00\x00\xf8\x3f\x10\xe8\x07\x18\x0a",
    b"\x12\x0c\x09\x00\x00\x00\x00\x00\x00\x00\x40\x10\xe9\x07",
    b"\x22\x10\x0a\x02\x05\x06\x11\x00\x00\x00\x00\x00\x00\x0c\x40\x18\xf2\x07",
    b"\x2a\x06\x08\x02\x18\x07\x20\x08",
];

fn request() -> Metrics {
    let sample = |timestamp_ms, value| Sample { timestamp_ms, value };
    Metrics {
        series: vec![Series {
            labels: Labels::from_pairs([("__name__", "up_s"), ("job", "x")]),
            samples: vec![sample(1000, 1.5), sample(1001, 2.0)],
            start_timestamps_ms: vec![10, 0],
            histograms: vec![],
            exemplars: vec![Exemplar {
                labels: Labels::from_pairs([("trace_id", "abc")]),
                timestamp_ms: 1010,
                value: 3.5,
            }],
        }],
        metadata: vec![MetricMetadata {
            family: "up_s".into(),
            metric_type: MetricType::Gauge,
            help: "Help".into(),
            unit: "s".into(),
        }],
    }
}

#[test]
fn a_kept_request() {
    let body = REQUEST.concat();
    assert_eq!(read_v2(body.clone()), request());
    assert_eq!(encode_v2(&request()), body);
}

/// A request with these symbols, and series as they are written.
fn request_with(symbols: &[&str], series: &[&dyn Fn(&mut Writer)]) -> Vec<u8> {
    let mut w = Writer::default();
    // The order of fields is nobody's promise.
    for s in series {
        w.message(5, |w| s(w));
    }
    for symbol in symbols {
        w.bytes_always(4, symbol.as_bytes());
    }
    w.finish()
}

fn sample(w: &mut Writer) {
    w.message(2, |w| w.int(2, 7));
}

const SYMBOLS: &[&str] = &["", "__name__", "m", "a", "1", "b", "2"];

/// What another sender may do with labels; the canonical form is made of all of it.
#[test]
fn labels_are_canonical() {
    let check = |refs: &[u32], expected: &[(&str, &str)]| {
        let packed = |w: &mut Writer| {
            w.uint32s(1, refs);
            sample(w);
        };
        let one_by_one = |w: &mut Writer| {
            sample(w);
            for r in refs {
                w.raw(0x08);
                w.varint(u64::from(*r));
            }
        };
        let raw = decode_raw(
            Message::V2,
            request_with(SYMBOLS, &[&packed, &one_by_one]),
            &quota(),
        )
        .unwrap()
        .payload;
        let mut canonical = Vec::new();
        raw::put_labels(&mut canonical, expected.iter().copied());
        assert_eq!(raw.series.len(), 2);
        for series in &raw.series {
            assert_eq!(raw.bytes[series.labels()], canonical, "{refs:?}");
            assert_eq!(series.samples, 1);
        }
    };
    check(&[1, 2, 3, 4], &[("__name__", "m"), ("a", "1")]);
    check(&[5, 6, 1, 2, 3, 4], &[("__name__", "m"), ("a", "1"), ("b", "2")]);
    check(&[1, 2, 3, 0, 5, 6], &[("__name__", "m"), ("b", "2")]);
    // These two the store refuses.
    check(&[0, 4, 1, 2], &[("", "1"), ("__name__", "m")]);
    check(&[3, 6, 1, 2, 3, 4], &[("__name__", "m"), ("a", "2"), ("a", "1")]);
    check(&[], &[]);
}

#[test]
fn bad_requests_are_refused_with_the_place() {
    let check = |symbols: &[&str], series: &dyn Fn(&mut Writer), says: &str| {
        let good = |w: &mut Writer| {
            w.uint32s(1, &[0, 0]);
            sample(w);
        };
        let e = decode_raw(Message::V2, request_with(symbols, &[&good, series]), &quota()).unwrap_err();
        assert_eq!((e.kind(), e.message()), (ErrorKind::BadData, says));
    };
    check(
        SYMBOLS,
        &|w| w.uint32s(1, &[1, 7]),
        "series 2: it refers to symbol 7, but the request has 7 symbols",
    );
    check(
        SYMBOLS,
        &|w| w.uint32s(1, &[u32::MAX, 2]),
        "series 2: it refers to symbol 4294967295, but the request has 7 symbols",
    );
    check(
        SYMBOLS,
        &|w| w.uint32s(1, &[1, 2, 3]),
        "series 2: it has 3 references to label names and values, which is not an even number",
    );
    check(
        SYMBOLS,
        &|w| w.message(4, |w| w.uint32s(1, &[1])),
        "series 2: it has 1 references to label names and values, which is not an even number",
    );
    check(
        SYMBOLS,
        &|w| {
            w.uint32s(1, &[1, 2]);
            w.message(5, |w| w.uint(3, 9));
        },
        "series 2: it refers to symbol 9, but the request has 7 symbols",
    );
    check(
        SYMBOLS,
        &|w| w.text(6, "x"),
        "series 2: the body is not valid protobuf: a field has the wrong type",
    );
    check(
        &[],
        &|_| (),
        "series 1: it refers to symbol 0, but the request has 0 symbols",
    );
    let e = decode_raw(Message::V2, b"\x22\x00\x22\x01\xff".to_vec(), &quota()).unwrap_err();
    assert_eq!(
        e.message(),
        "symbol 1: the body is not valid protobuf: a string is not valid UTF-8"
    );
}

#[test]
fn contradicting_histograms_are_refused_by_name() {
    let series = |w: &mut Writer| {
        w.uint32s(1, &[1, 2]);
        w.message(3, |w| w.sint32(4, 9));
        w.message(3, |w| w.sint32(4, 10));
    };
    let decoded = decode_raw(Message::V2, request_with(SYMBOLS, &[&series]), &quota()).unwrap();
    assert_eq!(decoded.payload, RawMetrics::default());
    let refused = &decoded.rejected[0];
    assert_eq!((refused.reason, refused.count), ("invalid_histogram", 2));
    assert!(
        refused.message.contains("of m has schema 10"),
        "{}",
        refused.message
    );
}

/// A sender that takes 1.0 for 2.0, or the other way round, sends nothing at all.
#[test]
fn the_other_message_is_empty() {
    let v2 = decode_raw(Message::V2, encode(&request()), &quota()).unwrap();
    let v1 = decode_raw(Message::V1, encode_v2(&request()), &quota()).unwrap();
    assert_eq!((v1.payload.is_empty(), v2.payload.is_empty()), (true, true));
}

/// Drafts of the protocol said once for a series when its counters began.
#[test]
fn a_series_may_say_when_it_began() {
    let series = |w: &mut Writer| {
        w.uint32s(1, &[1, 2]);
        sample(w);
        w.message(2, |w| {
            w.int(2, 8);
            w.int(3, 5);
        });
        w.message(3, |w| w.int(15, 7));
        w.message(3, |w| {
            w.int(15, 8);
            w.int(17, 5);
        });
        w.int(6, 3);
    };
    let before = |w: &mut Writer| {
        w.uint32s(1, &[1, 2]);
        sample(w);
    };
    let metrics = read_v2(request_with(SYMBOLS, &[&before, &series, &before]));
    let starts: Vec<_> = metrics
        .series
        .iter()
        .map(|s| s.start_timestamps_ms.clone())
        .collect();
    assert_eq!(starts, [vec![0], vec![3, 5], vec![0]]);
    let histograms = &metrics.series[1].histograms;
    let starts: Vec<_> = histograms.iter().map(|h| h.start_timestamp_ms).collect();
    assert_eq!(starts, [3, 5]);
}

#[test]
fn metadata_is_kept_once_for_a_family() {
    let check = |series: &[(&str, u64, u64)], expected: &[(&str, MetricType, &str)]| {
        let names: Vec<&str> = series.iter().map(|(name, ..)| *name).collect();
        let symbols = [&["", "__name__", "one", "two"], &names[..]].concat();
        let mut w = Writer::default();
        for (name, (_, metric_type, help)) in (4..).zip(series) {
            w.message(5, |w| {
                w.uint32s(1, &[1, name]);
                w.message(5, |w| {
                    w.uint(1, *metric_type);
                    w.uint(3, *help);
                });
            });
        }
        let body = [request_with(&symbols, &[]), w.finish()].concat();
        let metadata = read_v2(body).metadata;
        let found: Vec<_> = metadata
            .iter()
            .map(|m| (m.family.as_str(), m.metric_type, m.help.as_str()))
            .collect();
        assert_eq!(found, expected, "{series:?}");
    };
    use MetricType::{Counter, Gauge, GaugeHistogram, Histogram, Summary, Unknown};
    check(
        &[
            ("h_bucket", 3, 2),
            ("h_bucket", 3, 2),
            ("h_sum", 3, 2),
            ("h_count", 3, 2),
        ],
        &[("h", Histogram, "one")],
    );
    check(
        &[("s", 5, 2), ("s_count", 5, 2), ("g_gsum", 4, 3)],
        &[("s", Summary, "one"), ("g", GaugeHistogram, "two")],
    );
    check(
        &[("x_total", 1, 2), ("x_count", 2, 3)],
        &[("x_total", Counter, "one"), ("x_count", Gauge, "two")],
    );
    // The later word counts; a type that nobody knows is none.
    check(
        &[("x", 2, 2), ("y", 0, 2), ("x", 1, 3)],
        &[("x", Counter, "two"), ("y", Unknown, "one")],
    );
    check(&[("x", 0, 0), ("", 1, 2), ("y", 99, 0)], &[]);
    check(&[("_sum", 3, 2)], &[("_sum", Histogram, "one")]);
}

#[test]
fn metadata_without_series_finds_its_way() {
    let metadata = |family: &str, metric_type| MetricMetadata {
        family: family.into(),
        metric_type,
        help: "h".into(),
        unit: String::new(),
    };
    let series = |name: &str| Series {
        labels: Labels::from_pairs([("__name__", name)]),
        samples: vec![Sample {
            timestamp_ms: 1,
            value: 1.0,
        }],
        ..Series::default()
    };
    let metrics = Metrics {
        series: vec![series("h_bucket"), series("other")],
        metadata: vec![
            metadata("h", MetricType::Histogram),
            metadata("gone", MetricType::Counter),
        ],
    };
    assert_eq!(read_v2(encode_v2(&metrics)), metrics);
}
