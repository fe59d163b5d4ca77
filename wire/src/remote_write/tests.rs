//! Round trips, refusals, and damage.

use super::*;
use crate::Quota;
use crate::protobuf::Writer;
use model::metric::{Histogram, HistogramSample, ResetHint, stale_nan};
use model::{Exemplar, Labels, MetricMetadata, MetricType, Metrics, Sample, Series};
use model::{RawSeries, raw};
use proptest::prelude::*;

mod v1;
mod v2;

fn read(body: &[u8]) -> Result<Decoded<Metrics>> {
    decode(body, &Quota::new(1 << 24))
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
                        reset_hint: ResetHint::Gauge,
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
            w.uint(1, 7);
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
        (77, 7.0, 2.0)
    );
    assert_eq!(h.histogram.positive, [(0, 1.0), (1, 2.0), (3, 1.0), (4, 1.0)]);
}

fn histogram_with(body: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut w = Writer::default();
    w.message(1, |w| {
        w.message(1, |w| {
            w.text(1, "__name__");
            w.text(2, "h");
        });
        w.message(4, body);
    });
    w.finish()
}

#[test]
fn contradicting_histograms_are_refused_alone() {
    fn check(body: impl FnOnce(&mut Writer), says: &str) {
        let decoded = read(&histogram_with(body)).unwrap();
        assert_eq!(decoded.payload.series, []);
        let refused = &decoded.rejected[0];
        assert_eq!((refused.reason, refused.count), ("invalid_histogram", 1));
        let message = &refused.message;
        assert!(message.contains("of h ") && message.contains(says), "{message}");
    }
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
    check(
        |w| {
            w.sint32(4, -53);
            w.doubles(16, [f64::NAN].into_iter());
        },
        "do not rise",
    );
    let counts = |count: u64, sum: f64| {
        move |w: &mut Writer| {
            w.uint(1, count);
            w.double(3, sum);
            w.uint(6, 2);
            w.message(11, |w| w.uint(2, 1));
            w.bytes(12, &[2]);
        }
    };
    check(counts(4, 1.0), "count of 4, but its buckets add up to 3");
    check(counts(2, f64::NAN), "count of 2, but its buckets add up to 3");
    let body = histogram_with(counts(4, f64::NAN));
    assert_eq!(read(&body).unwrap().payload.series[0].histograms.len(), 1);
}

#[test]
fn many_small_items_end_at_the_quota() {
    let check = |message: Message, body: &[u8]| {
        let e = decode_raw(message, body.repeat(10_000), &Quota::new(100_000)).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::TooLarge, "{body:?}: {e}");
        assert!(e.message().starts_with("the request holds"), "{e}");
    };
    // A series with an empty sample, one with an empty exemplar, one with an empty histogram, empty metadata.
    check(Message::V1, &[0x0a, 0x02, 0x12, 0x00]);
    check(Message::V1, &[0x0a, 0x02, 0x1a, 0x00]);
    check(Message::V1, &[0x0a, 0x02, 0x22, 0x00]);
    check(Message::V1, &[0x1a, 0x00]);
    // Labels that have to be copied, and those of an exemplar.
    check(
        Message::V1,
        &[0x0a, 0x0e, 0x12, 0x00, 0x0a, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    );
    check(Message::V1, &[0x0a, 0x04, 0x1a, 0x02, 0x0a, 0x00]);
    // A series with a great many labels.
    let mut labels = Writer::default();
    labels.bytes_always(4, b"");
    labels.message(5, |w| w.uint32s(1, &[0; 10_000]));
    let e = decode_raw(Message::V2, labels.finish(), &Quota::new(100_000)).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::TooLarge);
    // Nothing but symbols, and a long symbol that everybody refers to.
    check(Message::V2, &[0x22, 0x00]);
    let mut long = Writer::default();
    long.bytes_always(4, b"");
    long.bytes_always(4, &[b'x'; 1000]);
    let mut series = Writer::default();
    series.message(5, |w| {
        w.uint32s(1, &[1, 1]);
        w.message(2, |_| ());
    });
    let mut body = long.finish();
    body.extend_from_slice(&series.finish().repeat(100));
    let e = decode_raw(Message::V2, body, &Quota::new(100_000)).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::TooLarge);
}

#[test]
fn content_types() {
    let check = |header: Option<&str>, message: Message| {
        assert_eq!(Message::from_content_type(header).unwrap(), message, "{header:?}");
    };
    check(None, Message::V1);
    check(Some("application/x-protobuf"), Message::V1);
    check(Some("Application/X-Protobuf; charset=utf-8"), Message::V1);
    check(
        Some("application/x-protobuf;proto=prometheus.WriteRequest"),
        Message::V1,
    );
    check(
        Some("application/x-protobuf; proto=\"io.prometheus.write.v2.Request\""),
        Message::V2,
    );
    for message in [Message::V1, Message::V2] {
        check(Some(message.content_type()), message);
    }
    for bad in [
        "application/x-protobuf;proto=io.prometheus.write.v3.Request",
        "application/x-protobuf;proto=prometheus.WriteRequest;proto=io.prometheus.write.v2.Request",
        "application/json",
        "application/json;proto=prometheus.WriteRequest",
        "",
    ] {
        let e = Message::from_content_type(Some(bad)).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unsupported, "{bad}");
        for message in [Message::V1, Message::V2] {
            assert!(e.message().contains(message.content_type()), "{e}");
        }
    }
}

#[test]
fn types_have_their_numbers() {
    for (number, metric) in (0..).zip(METRIC_TYPES) {
        assert_eq!(metric_type(number), metric);
        assert_eq!(metric_type_number(metric), u64::try_from(number).unwrap());
    }
    assert_eq!((metric_type(8), metric_type(-1)), Default::default());
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_not_panic(bytes: Vec<u8>) {
        for message in [Message::V1, Message::V2] {
            if let Ok(decoded) = decode_raw(message, bytes.clone(), &quota()) {
                let _ = decoded.payload.decode();
            }
        }
    }

    /// Cut anywhere, or with one byte changed: an error or fewer data, and the counts always add up.
    #[test]
    fn damaged_requests(metrics in any_metrics(), at: prop::sample::Index, byte: u8) {
        for (message, whole) in [(Message::V1, encode(&metrics)), (Message::V2, encode_v2(&metrics))] {
            if whole.is_empty() {
                continue;
            }
            let at = at.index(whole.len());
            let mut changed = whole.clone();
            changed[at] = byte;
            for body in [whole[..at].to_vec(), changed] {
                let Ok(decoded) = decode_raw(message, body, &quota()) else { continue };
                let raw = decoded.payload;
                let sum = |of: fn(&RawSeries) -> u32| raw.series.iter().map(of).sum::<u32>() as usize;
                prop_assert_eq!(sum(|s| s.samples), raw.samples.len());
                prop_assert_eq!(sum(|s| s.histograms), raw.histograms.len());
                prop_assert_eq!(sum(|s| s.exemplars), raw.exemplars.len());
                prop_assert!(raw.start_timestamps_ms.is_empty() || raw.start_timestamps_ms.len() == raw.samples.len());
                prop_assert!(raw.series.iter().all(|s| raw.bytes.get(s.labels()).is_some()));
            }
        }
    }

    #[test]
    fn requests_read_back(mut metrics in any_metrics()) {
        let v2 = decode_raw(Message::V2, encode_v2(&metrics), &quota()).unwrap();
        prop_assert_eq!(v2.rejected, vec![]);
        let again = v2.payload.decode().unwrap();
        // Once one sample of a request has a start, all samples have one or 0.
        if metrics.series.iter().any(|s| s.start_timestamps_ms.iter().any(|t| *t != 0)) {
            metrics.series.iter_mut().for_each(|s| s.start_timestamps_ms.resize(s.samples.len(), 0));
        } else {
            metrics.series.iter_mut().for_each(|s| s.start_timestamps_ms.clear());
        }
        prop_assert_eq!(&again.series, &metrics.series);
        // Families of series come in the order of the series, the others behind them.
        let sorted = |metadata: &[MetricMetadata]| {
            let mut all = metadata.to_vec();
            all.sort_by(|a, b| a.family.cmp(&b.family));
            all
        };
        prop_assert_eq!(sorted(&again.metadata), sorted(&metrics.metadata));
        // 1.0 has no place for the starts of samples.
        let v1 = read(&encode(&metrics)).unwrap();
        metrics.series.iter_mut().for_each(|s| s.start_timestamps_ms.clear());
        prop_assert_eq!(v1.payload, metrics);
        prop_assert_eq!(v1.rejected, vec![]);
    }
}

fn quota() -> Quota {
    Quota::new(1 << 24)
}

prop_compose! {
    fn any_labels()(pairs in prop::collection::btree_map("[a-z]{1,4}", "([^\0]{1,6}|[x-z]{120,140})", 0..4)) -> Labels {
        Labels::from_pairs(pairs.into_iter().chain([("__name__".into(), "m".into())]))
    }
}

prop_compose! {
    fn any_histogram()(
        timestamp_ms: i64,
        start_timestamp_ms: i64,
        positive in prop::collection::btree_map(-40i32..40, 1u32..100, 0..9),
        negative in prop::collection::btree_map(-40i32..40, 1u32..100, 0..3),
        reset_hint in prop::sample::select(vec![ResetHint::Unknown, ResetHint::Reset, ResetHint::NotReset, ResetHint::Gauge]),
    ) -> HistogramSample {
        let buckets = |map: std::collections::BTreeMap<i32, u32>| {
            map.into_iter().map(|(i, c)| (i, f64::from(c))).collect()
        };
        HistogramSample {
            timestamp_ms,
            start_timestamp_ms,
            histogram: Histogram {
                positive: buckets(positive),
                negative: buckets(negative),
                reset_hint,
                ..Histogram::default()
            },
        }
    }
}

prop_compose! {
    fn any_series()(
        labels in any_labels(),
        samples in prop::collection::vec((any::<i64>(), any::<f64>(), prop_oneof![Just(0), any::<i64>()]), 0..5),
        histograms in prop::collection::vec(any_histogram(), 0..2),
        exemplars in prop::collection::vec((any_labels(), any::<i64>(), any::<f64>()), 0..2),
    ) -> Series {
        Series {
            labels,
            start_timestamps_ms: samples.iter().map(|(_, _, start)| *start).collect(),
            samples: samples.iter().map(|(t, v, _)| Sample { timestamp_ms: *t, value: *v }).collect(),
            histograms,
            exemplars: exemplars
                .into_iter()
                .map(|(labels, timestamp_ms, value)| Exemplar { labels, timestamp_ms, value })
                // Equal but for the sign or the payload of a NaN would be unequal.
                .filter(|e| !e.value.is_nan())
                .collect(),
        }
    }
}

prop_compose! {
    fn any_metrics()(
        mut series in prop::collection::vec(any_series(), 0..6),
        families in prop::collection::btree_map("[a-z]{2,5}|m", (0usize..8, "[a-z ]{1,9}", "[a-z]{0,3}"), 0..3),
    ) -> Metrics {
        series.retain(|s| !(s.samples.is_empty() && s.histograms.is_empty() && s.exemplars.is_empty()));
        let metadata = families.into_iter().map(|(family, (metric_type, help, unit))| MetricMetadata {
            family,
            metric_type: METRIC_TYPES[metric_type],
            help,
            unit,
        });
        Metrics { metadata: metadata.collect(), series }
    }
}
