//! Histograms for tests: read from the notation of Prometheus' own tests, or generated.

use model::metric::{Histogram, HistogramSample, ResetHint};
use proptest::prelude::*;

/// Reads `schema:0 sum:3 count:5 z_bucket:1 z_bucket_w:0.1 offset:1 buckets:[2 0 1] n_offset:1 n_buckets:[1]
/// custom_values:[5 10] counter_reset_hint:gauge`, each part if it is not the usual. Buckets of 0 are listed.
pub(super) fn h(text: &str) -> Histogram {
    let mut histogram = Histogram::default();
    let (mut offsets, mut buckets) = ([0, 0], [Vec::new(), Vec::new()]);
    let mut rest = text.trim();
    while let Some((key, after)) = rest.split_once(':') {
        let list = after.strip_prefix('[').and_then(|inner| inner.split_once(']'));
        let (value, after) = list.unwrap_or_else(|| after.split_once(' ').unwrap_or((after, "")));
        let numbers = || value.split_whitespace().map(number).collect::<Vec<_>>();
        match key.trim() {
            "schema" => histogram.schema = value.parse().unwrap(),
            "sum" => histogram.sum = number(value),
            "count" => histogram.count = number(value),
            "z_bucket" => histogram.zero_count = number(value),
            "z_bucket_w" => histogram.zero_threshold = number(value),
            "offset" => offsets[0] = value.parse().unwrap(),
            "n_offset" => offsets[1] = value.parse().unwrap(),
            "buckets" => buckets[0] = numbers(),
            "n_buckets" => buckets[1] = numbers(),
            "custom_values" => histogram.custom_bounds = numbers(),
            "counter_reset_hint" => histogram.reset_hint = hint(value),
            other => panic!("{other}?"),
        }
        rest = after.trim_start();
    }
    let [positive, negative] = buckets;
    histogram.positive = (offsets[0]..).zip(positive).collect();
    histogram.negative = (offsets[1]..).zip(negative).collect();
    histogram
}

fn number(text: &str) -> f64 {
    text.parse().unwrap()
}

fn hint(text: &str) -> ResetHint {
    match text {
        "unknown" => ResetHint::Unknown,
        "reset" => ResetHint::Reset,
        "not_reset" => ResetHint::NotReset,
        "gauge" => ResetHint::Gauge,
        other => panic!("{other}?"),
    }
}

/// A sample without a start.
pub(super) fn sample(timestamp_ms: i64, histogram: Histogram) -> HistogramSample {
    HistogramSample {
        timestamp_ms,
        start_timestamp_ms: 0,
        histogram,
    }
}

/// Fails unless two histograms are the same but for rounding, empty buckets and, if `expected` is of unknown hint, the
/// hint.
#[track_caller]
pub(super) fn assert_close(got: &Histogram, expected: &Histogram) {
    if let Some(difference) = difference(got, expected) {
        panic!("{difference}: got {got:?}, expected {expected:?}");
    }
}

pub(super) fn difference(got: &Histogram, expected: &Histogram) -> Option<&'static str> {
    let buckets = |list: &[(i32, f64)]| -> Vec<(i32, f64)> {
        list.iter().filter(|(_, n)| *n != 0.0).copied().collect()
    };
    let is_close = |a: &[(i32, f64)], b: &[(i32, f64)]| {
        let (a, b) = (buckets(a), buckets(b));
        a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a.0 == b.0 && close(a.1, b.1))
    };
    let checks = [
        (got.schema == expected.schema, "schema"),
        (got.zero_threshold == expected.zero_threshold, "zero threshold"),
        (close(got.zero_count, expected.zero_count), "zero count"),
        (close(got.count, expected.count), "count"),
        (close(got.sum, expected.sum), "sum"),
        (is_close(&got.positive, &expected.positive), "positive buckets"),
        (is_close(&got.negative, &expected.negative), "negative buckets"),
        (got.custom_bounds == expected.custom_bounds, "bounds"),
        (
            expected.reset_hint == ResetHint::Unknown || got.reset_hint == expected.reset_hint,
            "hint",
        ),
    ];
    checks.iter().find(|(is_same, _)| !is_same).map(|(_, what)| *what)
}

pub(super) fn close(a: f64, b: f64) -> bool {
    a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1e-3)
}

/// Counters as a program would have them: whole counts, all of them in the count.
pub(super) fn exponential() -> impl Strategy<Value = Histogram> {
    let schema = -2i32..4;
    let side = || prop::collection::btree_map(-6i32..8, 0u16..40, 0..8);
    let zero = prop::sample::select(vec![0.0, 1e-9]);
    (schema, zero, 0u16..9, side(), side(), -100i32..100).prop_map(
        |(schema, zero_threshold, zero_count, positive, negative, sum)| {
            let side = |counts: std::collections::BTreeMap<i32, u16>| -> Vec<(i32, f64)> {
                counts.into_iter().map(|(i, n)| (i, f64::from(n))).collect()
            };
            counted(Histogram {
                schema,
                zero_threshold,
                zero_count: f64::from(zero_count),
                sum: f64::from(sum) / 4.0,
                positive: side(positive),
                negative: side(negative),
                ..Histogram::default()
            })
        },
    )
}

/// The same with custom bounds.
pub(super) fn custom() -> impl Strategy<Value = Histogram> {
    let bounds = prop::collection::btree_set(-3i32..9, 0..6);
    (bounds, prop::collection::vec(0u16..40, 7), -100i32..100).prop_map(|(bounds, counts, sum)| {
        let buckets = (0..).zip(counts.iter().take(bounds.len() + 1));
        counted(Histogram {
            schema: model::metric::bounds::CUSTOM_SCHEMA,
            positive: buckets.map(|(i, n)| (i, f64::from(*n))).collect(),
            custom_bounds: bounds.into_iter().map(f64::from).collect(),
            sum: f64::from(sum) / 4.0,
            ..Histogram::default()
        })
    })
}

fn counted(mut histogram: Histogram) -> Histogram {
    let buckets = histogram.positive.iter().chain(&histogram.negative);
    histogram.count = histogram.zero_count + buckets.map(|(_, n)| n).sum::<f64>();
    histogram
}
