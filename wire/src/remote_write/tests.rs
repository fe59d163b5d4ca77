//! Round trips, refusals, and damage.

use super::*;
use crate::Quota;
use crate::protobuf::Writer;
use model::metric::{Histogram, HistogramSample, stale_nan};
use model::{Exemplar, Labels, MetricMetadata, MetricType, Metrics, Sample, Series};
use proptest::prelude::*;

fn read(body: &[u8]) -> Result<crate::Decoded<Metrics>> {
    decode(body, &Quota::new(1 << 24))
}

fn series_with(labels: &[(&str, &str)]) -> Vec<u8> {
    let mut w = Writer::default();
    w.message(1, |w| {
        for (name, value) in labels {
            w.message(1, |w| {
                w.text(1, name);
                w.text(2, value);
            });
        }
        w.message(2, |w| {
            w.double(1, 1.5);
            w.int(2, -7);
        });
    });
    w.finish()
}

#[test]
fn everything_reads_back() {
    let metrics = Metrics {
        series: vec![
            Series {
                start_timestamps_ms: Vec::new(),
                labels: Labels::from_pairs([("__name__", "up"), ("job", "x"), ("utf8.é", "ü")]),
                samples: vec![
                    Sample {
                        timestamp_ms: 1,
                        value: 0.0,
                    },
                    Sample {
                        timestamp_ms: -2,
                        value: -0.0,
                    },
                    Sample {
                        timestamp_ms: i64::MAX,
                        value: stale_nan(),
                    },
                ],
                histograms: vec![],
                exemplars: vec![Exemplar {
                    labels: Labels::from_pairs([("trace_id", "abc")]),
                    timestamp_ms: 9,
                    value: 3.5,
                }],
            },
            Series {
                labels: Labels::from_pairs([("__name__", "native")]),
                histograms: vec![HistogramSample {
                    start_timestamp_ms: 0,
                    timestamp_ms: 5,
                    histogram: Histogram {
                        schema: -2,
                        zero_threshold: 1e-128,
                        zero_count: 2.0,
                        count: 12.0,
                        sum: 18.4,
                        positive: vec![(-3, 1.0), (-2, 2.0), (4, 3.0)],
                        negative: vec![(0, 4.0)],
                        custom_bounds: vec![],
                        is_gauge: true,
                    },
                }],
                ..Series::default()
            },
        ],
        metadata: vec![MetricMetadata {
            family: "up".into(),
            metric_type: MetricType::Gauge,
            help: "Whether it is up.".into(),
            unit: "s".into(),
        }],
    };
    let decoded = read(&encode(&metrics)).unwrap();
    assert_eq!(decoded.payload, metrics);
    assert_eq!(decoded.rejected, []);
}

/// A request as another implementation writes it: integer histograms with deltas.
#[test]
fn integer_histograms() {
    let mut w = Writer::default();
    w.message(1, |w| {
        w.message(1, |w| {
            w.text(1, "__name__");
            w.text(2, "h");
        });
        w.message(4, |w| {
            w.uint(1, 10);
            w.double(3, 18.4);
            w.sint32(4, 1);
            w.double(5, 0.001);
            w.uint(6, 2);
            for (offset, length) in [(0, 2), (1, 2)] {
                w.message(11, |w| {
                    w.sint32(1, offset);
                    w.uint(2, length);
                });
            }
            // Packed sint64 deltas 1, 1, -1, 0: counts 1, 2, 1, 1.
            w.bytes(12, &[2, 2, 1, 0]);
            w.int(15, 77);
        });
    });
    let decoded = read(&w.finish()).unwrap();
    let h = &decoded.payload.series[0].histograms[0];
    assert_eq!(
        (h.timestamp_ms, h.histogram.count, h.histogram.zero_count),
        (77, 10.0, 2.0)
    );
    assert_eq!(h.histogram.positive, [(0, 1.0), (1, 2.0), (3, 1.0), (4, 1.0)]);
}

#[test]
fn bad_series_are_refused_alone() {
    let check = |labels: &[(&str, &str)], says: &str| {
        let good = series_with(&[("__name__", "good")]);
        let decoded = read(&[series_with(labels), good].concat()).unwrap();
        assert_eq!(decoded.payload.series.len(), 1);
        let refused = &decoded.rejected[0];
        assert_eq!((refused.reason, refused.count), ("invalid_labels", 1));
        assert!(refused.message.contains(says), "{}", refused.message);
    };
    check(&[], "no metric name");
    check(&[("job", "x")], "no metric name");
    check(&[("__name__", "")], "no metric name");
    check(&[("__name__", "a"), ("", "x")], "label without a name");
    check(&[("__name__", "a"), ("b", "1"), ("b", "2")], "\"b\" twice");
    check(&[("b", "1"), ("__name__", "a"), ("b", "2")], "\"b\" twice");
    let unsorted = read(&series_with(&[("b", "1"), ("__name__", "a"), ("c", "")])).unwrap();
    assert_eq!(unsorted.payload.series[0].labels.to_string(), "a{b=\"1\"}");
    assert_eq!(
        unsorted.payload.series[0].samples,
        [Sample {
            timestamp_ms: -7,
            value: 1.5
        }]
    );
}

#[test]
fn contradicting_histograms_are_refused_alone() {
    let check = |body: fn(&mut Writer), says: &str| {
        let mut w = Writer::default();
        w.message(1, |w| {
            w.message(1, |w| {
                w.text(1, "__name__");
                w.text(2, "h");
            });
            w.message(4, body);
        });
        let decoded = read(&w.finish()).unwrap();
        assert!(decoded.payload.series[0].histograms.is_empty());
        assert!(
            decoded.rejected[0].message.contains(says),
            "{}",
            decoded.rejected[0].message
        );
    };
    check(|w| w.sint32(4, 9), "schema 9");
    check(
        |w| {
            w.message(11, |w| w.uint(2, u64::from(u32::MAX)));
            w.bytes(12, &[2]);
        },
        "spans for 4294967295 buckets and counts for 1",
    );
    check(
        |w| {
            w.message(11, |w| w.uint(2, 1));
            w.message(11, |w| {
                w.sint32(1, -1);
                w.uint(2, 1);
            });
            w.bytes(12, &[2, 2]);
        },
        "overlap",
    );
    check(
        |w| {
            w.message(11, |w| w.uint(2, 1));
            w.bytes(12, &[1]);
        },
        "negative count",
    );
    check(
        |w| {
            w.sint32(4, -53);
            w.doubles(16, [2.0, 1.0].into_iter());
        },
        "do not rise",
    );
}

#[test]
fn many_small_series_end_at_the_quota() {
    let e = decode(&[0x0a, 0x00].repeat(10_000), &Quota::new(100_000)).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::TooLarge);
}

#[test]
fn content_types() {
    for good in [
        None,
        Some("application/x-protobuf"),
        Some("application/x-protobuf;proto=prometheus.WriteRequest"),
    ] {
        check_content_type(good).unwrap();
    }
    for bad in [
        "application/x-protobuf;proto=io.prometheus.write.v2.Request",
        "application/json",
        "",
    ] {
        assert_eq!(
            check_content_type(Some(bad)).unwrap_err().kind(),
            ErrorKind::Unsupported,
            "{bad}"
        );
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_not_panic(bytes: Vec<u8>) {
        let _ = read(&bytes);
    }

    #[test]
    fn damaged_requests_do_not_panic(at: prop::sample::Index, byte: u8) {
        let mut body = series_with(&[("__name__", "a"), ("b", "c")]);
        let at = at.index(body.len());
        body[at] = byte;
        let _ = read(&body);
    }

    #[test]
    fn series_read_back(all in prop::collection::vec((
        prop::collection::btree_map("[a-z]{1,4}", "[^\0]{1,6}", 0..4),
        prop::collection::vec((any::<i64>(), any::<f64>()), 0..5),
        prop::collection::btree_map(-40i32..40, 1u32..100, 0..9),
    ), 0..6)) {
        let series = all.into_iter().map(|(labels, samples, buckets)| Series {
            start_timestamps_ms: Vec::new(),
            labels: Labels::from_pairs(labels.into_iter().chain([("__name__".into(), "m".into())])),
            samples: samples.into_iter().map(|(timestamp_ms, value)| Sample { timestamp_ms, value }).collect(),
            histograms: vec![HistogramSample {
                start_timestamp_ms: 0,
                timestamp_ms: 1,
                histogram: Histogram {
                    positive: buckets.into_iter().map(|(i, c)| (i, f64::from(c))).collect(),
                    ..Histogram::default()
                },
            }],
            exemplars: vec![],
        });
        let metrics = Metrics { series: series.collect(), metadata: vec![] };
        let decoded = read(&encode(&metrics)).unwrap();
        prop_assert_eq!(decoded.payload, metrics);
        prop_assert_eq!(decoded.rejected, vec![]);
    }
}
