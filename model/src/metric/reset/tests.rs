//! Tests of the detection of resets.

use super::*;
use crate::metric::bounds::CUSTOM_SCHEMA;

/// A histogram that others differ from in one thing.
fn usual() -> Histogram {
    Histogram {
        zero_threshold: 0.01,
        zero_count: 5.5,
        count: 3493.3,
        sum: 2_349_209.324,
        positive: vec![(-2, 1.0), (-1, 1.23), (1, 3.3), (2, 4.2), (3, 0.1)],
        negative: vec![(3, 3.1), (4, 3.0), (8, 1.234e5), (9, 1000.0)],
        ..Histogram::default()
    }
}

fn with(change: impl FnOnce(&mut Histogram)) -> Histogram {
    let mut histogram = usual();
    change(&mut histogram);
    histogram
}

fn custom(bounds: &[f64], counts: &[(i32, f64)]) -> Histogram {
    Histogram {
        schema: CUSTOM_SCHEMA,
        count: 100.0,
        custom_bounds: bounds.to_vec(),
        positive: counts.to_vec(),
        ..Histogram::default()
    }
}

#[track_caller]
fn check(previous: &Histogram, current: &Histogram, expected: bool) {
    assert_eq!(
        current.is_reset_after(previous),
        expected,
        "{previous} to {current}"
    );
}

#[test]
fn a_count_that_falls_is_a_reset() {
    let empty = Histogram::default();
    check(&empty, &empty, false);
    check(&empty, &usual(), false);
    check(&usual(), &empty, true);
    check(&usual(), &usual(), false);
    check(&with(|h| h.positive.retain(|b| b.0 != -1)), &usual(), false);
    check(&usual(), &with(|h| h.positive.retain(|b| b.0 != -1)), true);
    check(&usual(), &with(|h| h.negative.truncate(3)), true);
    check(&usual(), &with(|h| h.negative.clear()), true);
    check(&usual(), &with(|h| h.zero_count = 5.4), true);
    check(&usual(), &with(|h| h.zero_count = 5.6), false);
    check(&usual(), &with(|h| h.count = 3493.2), true);
    check(&usual(), &with(|h| h.count = 3493.4), false);
    check(&usual(), &with(|h| h.sum = 0.0), false);
    check(&usual(), &with(|h| h.positive[3].1 = 4.1), true);
    check(&usual(), &with(|h| h.positive[3].1 = 4.3), false);
    check(&usual(), &with(|h| h.negative[1].1 = 2.9), true);
    check(&usual(), &with(|h| h.negative[1].1 = 3.1), false);
}

#[test]
fn an_empty_bucket_may_vanish() {
    let emptied = with(|h| h.positive[1].1 = 0.0);
    let without = with(|h| h.positive.retain(|b| b.0 != -1));
    check(&emptied, &without, false);
    check(&without, &emptied, false);
    let last = with(|h| h.positive[4].1 = 0.0);
    check(&last, &with(|h| h.positive.truncate(4)), false);
    let previous = with(|h| (h.negative, h.positive) = (vec![(1, 0.0), (2, 5.0)], Vec::new()));
    check(&previous, &with(|h| h.negative.clear()), true);
}

#[test]
fn the_bucket_around_zero_may_grow() {
    check(&usual(), &with(|h| h.zero_threshold = 0.009), true);
    check(&usual(), &with(|h| h.zero_threshold = 0.011), false);
    let grown = |zero_count: f64| {
        with(|h| {
            (h.zero_threshold, h.zero_count) = (1.0, zero_count);
            h.positive.drain(..2);
        })
    };
    check(&usual(), &grown(7.73), false);
    check(&usual(), &grown(7.7), true);
    // Into the middle of a bucket with observations.
    check(&usual(), &with(|h| h.zero_threshold = 0.3), true);
    check(&usual(), &with(|h| h.zero_threshold = f64::NAN), true);
}

#[test]
fn the_schema_may_get_coarser() {
    let fine = with(|h| {
        h.schema = 1;
        let counts = [0.4, 0.6, 1.0, 0.23, 2.0, 1.3, 1.2, 3.0, 0.05, 0.05];
        h.positive = (-5..=-2).chain(1..=6).zip(counts).collect();
        let counts = [2.0, 1.1, 2.0, 1.0, 0.234e5, 1e5, 500.0, 500.0];
        h.negative = (5..=8).chain(15..=18).zip(counts).collect();
    });
    check(&usual(), &fine, true);
    check(&fine, &usual(), false);
    check(&fine, &with(|h| h.positive[2].1 = 4.3), false);
    check(&fine, &with(|h| h.positive[2].1 = 2.3), true);
}

#[test]
fn the_hint_goes_before() {
    let hinted = |hint| with(|h| h.reset_hint = hint);
    let more = with(|h| h.count += 1.0);
    check(&usual(), &hinted(ResetHint::Reset), true);
    check(&more, &hinted(ResetHint::NotReset), false);
    check(&more, &hinted(ResetHint::Gauge), true);
    check(&hinted(ResetHint::Reset), &more, false);
}

#[test]
fn custom_bounds_are_compared_where_both_have_them() {
    let bounds = [1.0, 2.0, 3.0];
    let some = custom(&bounds, &[(0, 1.0), (1, 3.3), (3, 0.1)]);
    let exponential = Histogram {
        count: 100.0,
        ..Histogram::default()
    };
    check(&exponential, &some, true);
    check(&some, &exponential, true);
    check(&custom(&bounds, &[]), &some, false);
    check(&some, &custom(&bounds, &[]), true);
    check(
        &some,
        &custom(&bounds, &[(0, 1.0), (1, 3.3), (2, 0.5), (3, 0.1)]),
        false,
    );
    check(&some, &custom(&bounds, &[(0, 1.0), (1, 3.2), (3, 9.0)]), true);

    let differing = |previous: (&[f64], &[(i32, f64)]), current: (&[f64], &[(i32, f64)]), expected| {
        check(
            &custom(previous.0, previous.1),
            &custom(current.0, current.1),
            expected,
        );
    };
    differing(
        (
            &[0.0, 1.0, 2.0, 3.0],
            &[(0, 20.0), (1, 35.0), (2, 40.0), (3, 50.0)],
        ),
        (
            &[0.0, 0.5, 1.0, 2.0, 3.0],
            &[(0, 25.0), (1, 15.0), (2, 40.0), (3, 50.0), (4, 70.0)],
        ),
        false,
    );
    differing(
        (
            &[0.0, 1.0, 3.0, 5.0],
            &[(1, 10.0), (2, 15.0), (3, 20.0), (4, 25.0)],
        ),
        (
            &[0.0, 1.0, 2.0, 3.0, 5.0],
            &[(1, 10.0), (2, 16.0), (3, 10.0), (4, 5.0), (5, 25.0)],
        ),
        true,
    );
    // Only what lies above the last bound is less.
    differing(
        (&[0.0, 1.0, 2.0], &[(1, 10.0), (2, 20.0), (3, 20.0)]),
        (
            &[0.0, 1.0, 2.0, 3.0],
            &[(1, 100.0), (2, 200.0), (3, 8.0), (4, 7.0)],
        ),
        true,
    );
    differing(
        (&[4.0, 5.0, 6.0], &[(1, 10.0), (2, 20.0), (3, 30.0)]),
        (&[1.0, 2.0, 3.0], &[(1, 15.0), (2, 25.0), (3, 35.0)]),
        false,
    );
    differing(
        (
            &[0.0, 1.0, 3.0, 5.0],
            &[(0, 10.0), (1, 20.0), (2, 30.0), (3, 40.0)],
        ),
        (
            &[0.0, 2.0, 3.0, 4.0, 5.0],
            &[(0, 15.0), (1, 25.0), (2, 70.0), (3, 50.0), (4, 100.0)],
        ),
        false,
    );
    differing(
        (
            &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0],
            &[(0, 10.0), (1, 20.0), (3, 30.0), (4, 40.0), (5, 50.0)],
        ),
        (
            &[0.0, 1.0, 3.0, 4.0, 5.0, 7.0],
            &[(0, 15.0), (1, 25.0), (2, 35.0), (4, 25.0), (5, 60.0)],
        ),
        true,
    );
}

#[test]
fn hints_say_what_counts_on() {
    use ResetHint::{Gauge, NotReset, Reset, Unknown};
    let check = |cases: &[(Histogram, ResetHint)], floats_ms: &[i64]| {
        let mut samples: Vec<HistogramSample> = (0..)
            .zip(cases)
            .map(|(i, (histogram, _))| HistogramSample {
                timestamp_ms: 10 * i,
                start_timestamp_ms: 0,
                histogram: histogram.clone(),
            })
            .collect();
        mark_continued(&mut samples, floats_ms);
        let got: Vec<_> = samples.iter().map(|s| s.histogram.reset_hint).collect();
        let expected: Vec<_> = cases.iter().map(|(_, hint)| *hint).collect();
        assert_eq!(got, expected);
    };
    let counting = |count: f64, reset_hint| Histogram {
        count,
        reset_hint,
        ..Histogram::default()
    };
    let of = |count| counting(count, Unknown);
    check(&[], &[]);
    check(
        &[(of(1.0), Unknown), (of(1.0), NotReset), (of(2.0), NotReset)],
        &[],
    );
    check(
        &[(of(5.0), Unknown), (of(1.0), Unknown), (of(2.0), NotReset)],
        &[],
    );
    // What was sent, and does not hold here.
    check(
        &[
            (counting(5.0, NotReset), Unknown),
            (counting(1.0, NotReset), Unknown),
        ],
        &[],
    );
    check(
        &[
            (counting(5.0, Reset), Reset),
            (counting(6.0, Reset), Reset),
            (of(7.0), NotReset),
        ],
        &[],
    );
    check(
        &[
            (of(1.0), Unknown),
            (counting(2.0, Gauge), Gauge),
            (of(3.0), Unknown),
        ],
        &[],
    );
    let stale = Histogram {
        sum: super::super::stale_nan(),
        ..of(2.0)
    };
    check(&[(of(1.0), Unknown), (stale, Unknown), (of(3.0), Unknown)], &[]);
    // Other buckets.
    check(
        &[(Histogram { schema: 1, ..of(1.0) }, Unknown), (of(3.0), Unknown)],
        &[],
    );
    check(
        &[
            (of(1.0), Unknown),
            (
                Histogram {
                    zero_threshold: 1.0,
                    ..of(1.0)
                },
                Unknown,
            ),
        ],
        &[],
    );
    check(
        &[(custom(&[1.0], &[]), Unknown), (custom(&[2.0], &[]), Unknown)],
        &[],
    );
    // Floats between them.
    let three = [(of(1.0), Unknown), (of(2.0), Unknown), (of(3.0), NotReset)];
    check(&three, &[5]);
    check(&three, &[0, 10, 21]);
    check(&[(of(1.0), Unknown), (of(2.0), NotReset)], &[-1, 0, 11]);
}
