//! Metrics: each kind of point against the series that it becomes.

use super::*;
use model::metric::is_stale;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::*;

const CUMULATIVE: i32 = 2;
const DELTA: i32 = 1;
/// One second and three milliseconds, and some nanoseconds that are cut off.
const TIME: u64 = 1_003_999_999;

fn number(value: f64, attributes: &[(&str, &str)]) -> NumberDataPoint {
    NumberDataPoint {
        attributes: attributes.iter().map(|(k, v)| pair(k, v)).collect(),
        time_unix_nano: TIME,
        value: Some(number_data_point::Value::AsDouble(value)),
        ..Default::default()
    }
}

fn metric(name: &str, unit: &str, data: Data) -> Metric {
    Metric {
        name: name.into(),
        description: "Text.".into(),
        unit: unit.into(),
        data: Some(data),
        ..Default::default()
    }
}

fn gauge(points: Vec<NumberDataPoint>) -> Data {
    Data::Gauge(Gauge { data_points: points })
}

fn sum(points: Vec<NumberDataPoint>, is_monotonic: bool, aggregation_temporality: i32) -> Data {
    Data::Sum(Sum {
        data_points: points,
        aggregation_temporality,
        is_monotonic,
    })
}

fn histogram_point() -> HistogramDataPoint {
    HistogramDataPoint {
        time_unix_nano: TIME,
        count: 6,
        sum: Some(7.5),
        bucket_counts: vec![1, 2, 3],
        explicit_bounds: vec![0.5, 10.0],
        exemplars: vec![
            Exemplar {
                time_unix_nano: TIME,
                trace_id: vec![0xab; 16],
                filtered_attributes: vec![pair("user.id", "7")],
                value: Some(exemplar::Value::AsDouble(2.0)),
                ..Default::default()
            },
            Exemplar {
                value: Some(exemplar::Value::AsInt(99)),
                ..Default::default()
            },
            Exemplar::default(),
        ],
        ..Default::default()
    }
}

fn histogram(points: Vec<HistogramDataPoint>) -> Data {
    Data::Histogram(Histogram {
        data_points: points,
        aggregation_temporality: CUMULATIVE,
    })
}

fn request(attributes: &[(&str, &str)], metrics: Vec<Metric>) -> Vec<u8> {
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: resource(attributes),
            scope_metrics: vec![ScopeMetrics {
                metrics,
                ..Default::default()
            }],
            ..Default::default()
        }],
    }
    .encode_to_vec()
}

pub(super) fn example() -> Vec<u8> {
    request(
        &[("service.name", "shop")],
        vec![metric("h", "s", histogram(vec![histogram_point()]))],
    )
}

fn read(metrics: Vec<Metric>) -> Decoded<Metrics> {
    decode_metrics(&request(&[], metrics), Encoding::Protobuf, NOW_NS, &quota()).unwrap()
}

fn shown(decoded: &Decoded<Metrics>) -> Vec<String> {
    let show = |s: &model::Series| {
        let samples: Vec<String> = s
            .samples
            .iter()
            .map(|p| format!("{}@{}", p.value, p.timestamp_ms))
            .collect();
        let exemplars: Vec<String> = s
            .exemplars
            .iter()
            .map(|e| format!(" # {} {}@{}", e.labels, e.value, e.timestamp_ms))
            .collect();
        format!("{} {}{}", s.labels, samples.join(" "), exemplars.concat())
    };
    decoded.payload.series.iter().map(show).collect()
}

#[test]
fn gauges_and_sums() {
    let check = |data: Data, unit: &str, series: &str, metric_type: model::MetricType| {
        let decoded = read(vec![metric("queue.size", unit, data)]);
        assert_eq!(shown(&decoded), [series]);
        let metadata = &decoded.payload.metadata[0];
        assert_eq!(
            (
                metadata.metric_type,
                metadata.help.as_str(),
                metadata.unit.as_str()
            ),
            (metric_type, "Text.", unit)
        );
        assert_eq!(
            metadata.family,
            decoded.payload.series[0].labels.metric_name().unwrap()
        );
    };
    use model::MetricType::{Counter, Gauge};
    let point = || vec![number(1.5, &[("a.b", "c"), ("empty", "")])];
    check(
        gauge(point()),
        "By",
        "queue_size_bytes{a_b=\"c\"} 1.5@1003",
        Gauge,
    );
    check(gauge(point()), "1", "queue_size_ratio{a_b=\"c\"} 1.5@1003", Gauge);
    check(
        sum(point(), true, CUMULATIVE),
        "s",
        "queue_size_seconds_total{a_b=\"c\"} 1.5@1003",
        Counter,
    );
    check(
        sum(point(), false, CUMULATIVE),
        "{item}",
        "queue_size{a_b=\"c\"} 1.5@1003",
        Gauge,
    );
    let int = NumberDataPoint {
        value: Some(number_data_point::Value::AsInt(-4)),
        ..Default::default()
    };
    check(gauge(vec![int]), "", "queue_size -4@1700000000000", Gauge);
}

#[test]
fn histograms_become_classic_ones() {
    let decoded = read(vec![metric("latency", "ms", histogram(vec![histogram_point()]))]);
    assert_eq!(
        shown(&decoded),
        [
            "latency_milliseconds_sum 7.5@1003",
            "latency_milliseconds_count 6@1003",
            "latency_milliseconds_bucket{le=\"0.5\"} 1@1003",
            "latency_milliseconds_bucket{le=\"10\"} 3@1003 # {trace_id=\"abababababababababababababababab\", user_id=\"7\"} 2@1003",
            "latency_milliseconds_bucket{le=\"+Inf\"} 6@1003 # {} 99@0",
        ]
    );
    let bare = HistogramDataPoint {
        count: 2,
        time_unix_nano: TIME,
        ..Default::default()
    };
    assert_eq!(
        shown(&read(vec![metric("h", "", histogram(vec![bare]))])),
        ["h_count 2@1003", "h_bucket{le=\"+Inf\"} 2@1003"]
    );
}

#[test]
fn summaries() {
    let point = SummaryDataPoint {
        time_unix_nano: TIME,
        count: 4,
        sum: 9.0,
        quantile_values: vec![
            ValueAtQuantile {
                quantile: 0.5,
                value: 2.0,
            },
            ValueAtQuantile {
                quantile: 1.0,
                value: 3.0,
            },
        ],
        ..Default::default()
    };
    let decoded = read(vec![metric(
        "s",
        "",
        Data::Summary(Summary {
            data_points: vec![point],
        }),
    )]);
    assert_eq!(
        shown(&decoded),
        [
            "s_sum 9@1003",
            "s_count 4@1003",
            "s{quantile=\"0.5\"} 2@1003",
            "s{quantile=\"1\"} 3@1003"
        ]
    );
}

fn exponential(scale: i32, positive: Buckets) -> Data {
    let point = ExponentialHistogramDataPoint {
        time_unix_nano: TIME,
        count: 9,
        sum: Some(3.0),
        scale,
        zero_count: 1,
        positive: Some(positive),
        negative: Some(Buckets {
            offset: 0,
            bucket_counts: vec![2],
        }),
        ..Default::default()
    };
    Data::ExponentialHistogram(ExponentialHistogram {
        data_points: vec![point],
        aggregation_temporality: CUMULATIVE,
    })
}

#[test]
fn exponential_histograms_become_native_ones() {
    let check = |scale, offset, counts: &[u64], schema, positive: &[(i32, f64)]| {
        let data = exponential(
            scale,
            Buckets {
                offset,
                bucket_counts: counts.to_vec(),
            },
        );
        let decoded = read(vec![metric("h", "", data)]);
        let sample = &decoded.payload.series[0].histograms[0];
        let h = &sample.histogram;
        assert_eq!(
            (sample.timestamp_ms, h.schema, h.count, h.sum, h.zero_count),
            (1003, schema, 9.0, 3.0, 1.0)
        );
        assert_eq!(
            (h.zero_threshold, h.negative.as_slice()),
            (1e-128, &[(1, 2.0)][..])
        );
        assert_eq!(h.positive, positive, "scale {scale} offset {offset}");
    };
    check(0, 0, &[1, 0, 3], 0, &[(1, 1.0), (3, 3.0)]);
    check(8, -3, &[1, 2], 8, &[(-2, 1.0), (-1, 2.0)]);
    // One step finer than native: neighbours 2k and 2k+1 join, also below zero.
    check(9, -3, &[1, 2, 4, 8], 8, &[(-1, 1.0), (0, 6.0), (1, 8.0)]);
    check(-4, 0, &[5], -4, &[(1, 5.0)]);
    let refused = read(vec![metric("h", "", exponential(-5, Buckets::default()))]);
    assert!(
        refused.rejected[0].message.contains("scale -5"),
        "{:?}",
        refused.rejected
    );
    let refused = read(vec![metric(
        "h",
        "",
        exponential(
            0,
            Buckets {
                offset: i32::MAX,
                bucket_counts: vec![1],
            },
        ),
    )]);
    assert!(refused.rejected[0].message.contains("out of range"));
    let huge = read(vec![metric(
        "h",
        "",
        exponential(
            i32::MAX,
            Buckets {
                offset: -7,
                bucket_counts: vec![1],
            },
        ),
    )]);
    assert_eq!(
        huge.payload.series[0].histograms[0].histogram.positive,
        [(0, 1.0)]
    );
}

#[test]
fn points_without_a_value_are_stale() {
    let stale = NumberDataPoint {
        flags: 1,
        value: None,
        ..number(0.0, &[])
    };
    let histogram_stale = HistogramDataPoint {
        flags: 1,
        ..histogram_point()
    };
    let decoded = read(vec![
        metric("g", "", gauge(vec![stale])),
        metric("h", "", histogram(vec![histogram_stale])),
    ]);
    assert_eq!(decoded.payload.series.len(), 6);
    for series in &decoded.payload.series {
        assert!(is_stale(series.samples[0].value), "{}", series.labels);
    }
}

#[test]
fn points_that_cannot_be_samples_are_refused_alone() {
    let good = || metric("good", "", gauge(vec![number(1.0, &[])]));
    let check = |bad: Metric, reason: &str, count: u64, says: &str| {
        let decoded = read(vec![bad, good()]);
        assert_eq!(shown(&decoded), ["good 1@1003"]);
        let refused = &decoded.rejected[0];
        assert_eq!((refused.reason, refused.count), (reason, count));
        assert!(refused.message.contains(says), "{}", refused.message);
    };
    let two = || vec![number(1.0, &[]), number(2.0, &[])];
    check(
        metric("a.delta", "", sum(two(), true, DELTA)),
        "temporality",
        2,
        "\"a.delta\" does not have cumulative",
    );
    check(
        metric("a", "", sum(two(), true, 0)),
        "temporality",
        2,
        "cumulative",
    );
    let delta = Data::Histogram(Histogram {
        data_points: vec![histogram_point()],
        aggregation_temporality: DELTA,
    });
    check(metric("a", "", delta), "temporality", 1, "cumulative");
    check(
        metric("", "s", gauge(two())),
        "invalid_name",
        2,
        "can't be a metric's name",
    );
    let empty = NumberDataPoint {
        value: None,
        ..number(0.0, &[])
    };
    check(
        metric("a", "", gauge(vec![empty])),
        "missing_value",
        1,
        "has no value",
    );
    for (bucket_counts, explicit_bounds) in [
        (vec![1, 2], vec![]),
        (vec![1, 2], vec![1.0, 2.0]),
        (vec![], vec![1.0]),
        (vec![1, 2, 3], vec![2.0, 1.0]),
        (vec![1, 2], vec![f64::NAN]),
    ] {
        let point = HistogramDataPoint {
            bucket_counts,
            explicit_bounds,
            ..histogram_point()
        };
        check(
            metric("a", "", histogram(vec![point])),
            "invalid_histogram",
            1,
            "rising bounds",
        );
    }
}

#[test]
fn the_resource_is_on_every_series() {
    let attributes = [
        ("service.name", "shop"),
        ("service.instance.id", "i-1"),
        ("k8s.pod.name", "shop-1"),
        ("process.pid", "7"),
        ("os.type", "linux"),
    ];
    let points = vec![
        number(
            1.0,
            &[("pod", "other"), ("job", "shop"), ("a.b", "2"), ("a_b", "1")],
        ),
        NumberDataPoint {
            time_unix_nano: 9_000_000_000,
            ..number(2.0, &[])
        },
    ];
    let body = request(&attributes, vec![metric("g", "", gauge(points))]);
    let decoded = decode_metrics(&body, Encoding::Protobuf, NOW_NS, &quota()).unwrap();
    assert_eq!(
        shown(&decoded),
        [
            "g{a_b=\"2;1\", exported_pod=\"other\", instance=\"i-1\", job=\"shop\", pod=\"shop-1\"} 1@1003",
            "g{instance=\"i-1\", job=\"shop\", pod=\"shop-1\"} 2@9000",
            "target_info{instance=\"i-1\", job=\"shop\", os_type=\"linux\", pod=\"shop-1\", process_pid=\"7\"} 1@1003 1@9000",
        ]
    );
    // Nothing beyond the identity, or no points: no target_info.
    let body = request(
        &[("service.name", "shop")],
        vec![metric("g", "", gauge(vec![number(1.0, &[])]))],
    );
    assert_eq!(
        decode_metrics(&body, Encoding::Protobuf, 0, &quota())
            .unwrap()
            .payload
            .series
            .len(),
        1
    );
    let body = request(&attributes, vec![metric("g", "", gauge(vec![]))]);
    assert_eq!(
        decode_metrics(&body, Encoding::Protobuf, 0, &quota())
            .unwrap()
            .payload
            .series
            .len(),
        0
    );
}

#[test]
fn counters_say_when_they_began() {
    const START: u64 = 500_999_999;
    let check = |start: u64, data: fn(u64) -> Data, expected: &[(&str, i64)]| {
        let decoded = read(vec![metric("m", "", data(start))]);
        let starts = |s: &model::Series| {
            let histograms = s.histograms.iter().map(|h| h.start_timestamp_ms);
            let all: Vec<i64> = s.start_timestamps_ms.iter().copied().chain(histograms).collect();
            let quantile = s.labels.get("quantile").is_some();
            (
                s.labels.metric_name().unwrap().to_owned() + if quantile { "{q}" } else { "" },
                all,
            )
        };
        let found: Vec<_> = decoded.payload.series.iter().map(starts).collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(name, start)| {
                let is_native = decoded.payload.series.iter().any(|s| !s.histograms.is_empty());
                let start = (*start != 0 || is_native).then_some(*start);
                ((*name).to_owned(), start.into_iter().collect::<Vec<i64>>())
            })
            .collect();
        assert_eq!(found, expected);
    };
    fn point(start_time_unix_nano: u64) -> NumberDataPoint {
        NumberDataPoint {
            start_time_unix_nano,
            ..number(1.0, &[])
        }
    }
    let counter = |start| sum(vec![point(start)], true, CUMULATIVE);
    check(START, counter, &[("m_total", 500)]);
    check(TIME, counter, &[("m_total", 1003)]);
    check(0, counter, &[("m_total", 0)]);
    // After the point's own time, and less than a millisecond after the epoch.
    check(TIME + 1_000_000, counter, &[("m_total", 0)]);
    check(999_999, counter, &[("m_total", 0)]);
    check(
        START,
        |start| sum(vec![point(start)], false, CUMULATIVE),
        &[("m", 500)],
    );
    check(START, |start| gauge(vec![point(start)]), &[("m", 0)]);
    let classic = |start_time_unix_nano| {
        histogram(vec![HistogramDataPoint {
            start_time_unix_nano,
            ..histogram_point()
        }])
    };
    let bucket = ("m_bucket", 500);
    check(
        START,
        classic,
        &[("m_sum", 500), ("m_count", 500), bucket, bucket, bucket],
    );
    let native = |start_time_unix_nano| {
        let Data::ExponentialHistogram(mut h) = exponential(0, Buckets::default()) else {
            panic!("made as one");
        };
        h.data_points[0].start_time_unix_nano = start_time_unix_nano;
        Data::ExponentialHistogram(h)
    };
    check(START, native, &[("m", 500)]);
    check(0, native, &[("m", 0)]);
    let summary = |start_time_unix_nano| {
        Data::Summary(Summary {
            data_points: vec![SummaryDataPoint {
                time_unix_nano: TIME,
                start_time_unix_nano,
                quantile_values: vec![ValueAtQuantile::default()],
                ..Default::default()
            }],
        })
    };
    check(START, summary, &[("m_sum", 500), ("m_count", 500), ("m{q}", 0)]);
}
