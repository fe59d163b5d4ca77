//! Quantiles, fractions, means and variances.

use super::super::testing::{close, custom, exponential, h};
use super::super::*;
use NanObservations::{LeftOut, ResultIsNan, ResultIsSkewed};
use proptest::prelude::*;

const INF: f64 = f64::INFINITY;

#[track_caller]
fn check_quantile(text: &str, q: f64, expected: f64) {
    let (value, note) = quantile(q, &h(text));
    assert!(close(value, expected), "{q} of {text}: {value}, not {expected}");
    assert_eq!(note, None);
}

#[test]
fn quantiles_of_exponential_buckets() {
    let above = "count:12 z_bucket:2 z_bucket_w:0.001 buckets:[2 3 0 1 4]";
    check_quantile(above, 1.1, INF);
    check_quantile(above, -0.1, -INF);
    check_quantile(above, f64::NAN, f64::NAN);
    check_quantile(above, 1.0, 16.0);
    check_quantile(above, 0.99, 15.67072476139083);
    check_quantile(above, 0.9, 12.99603834169977);
    check_quantile(above, 0.6, 4.594793419988138);
    check_quantile(above, 0.5, 1.5874010519681994);
    check_quantile(above, 0.1, 0.0006);
    check_quantile(above, 0.0, 0.0);
    let below = "count:12 z_bucket:2 z_bucket_w:0.001 n_buckets:[2 3 0 1 4]";
    check_quantile(below, 1.0, 0.0);
    check_quantile(below, 0.99, -6e-05);
    check_quantile(below, 0.9, -0.0006);
    check_quantile(below, 0.5, -1.5874010519681996);
    check_quantile(below, 0.1, -12.996038341699768);
    check_quantile(below, 0.0, -16.0);
    let both = "count:24 z_bucket:4 z_bucket_w:0.001 buckets:[2 3 0 1 4] n_buckets:[2 3 0 1 4]";
    check_quantile(both, 0.5, 0.0);
    check_quantile(both, 0.99, 15.34822590920423);
    check_quantile(both, 0.1, -10.556063286183154);
    check_quantile("", 0.5, f64::NAN);
    check_quantile("count:5", 0.0, f64::NAN);
}

#[test]
fn quantiles_of_custom_buckets() {
    let usual = "schema:-53 sum:5 count:4 custom_values:[5 10] buckets:[1 2 1]";
    check_quantile(usual, 0.5, 7.5);
    check_quantile(usual, 0.25, 5.0);
    check_quantile(usual, 0.1, 2.0);
    check_quantile(usual, 0.9, 10.0);
    check_quantile(
        "schema:-53 count:3 custom_values:[-5 10] buckets:[2 1]",
        0.5,
        -5.0,
    );
    check_quantile("schema:-53 count:3 buckets:[3]", 0.5, INF);
}

#[test]
fn observations_that_are_not_numbers_are_noted() {
    let check = |text: &str, q: f64, expected: (f64, Option<NanObservations>)| {
        let (value, note) = quantile(q, &h(text));
        assert!(
            close(value, expected.0) && note == expected.1,
            "{q}: {value} {note:?}"
        );
    };
    check("count:3 sum:NaN", 0.81, (f64::NAN, Some(ResultIsNan)));
    check(
        "count:15 sum:NaN buckets:[12]",
        0.81,
        (f64::NAN, Some(ResultIsNan)),
    );
    check("count:15 sum:NaN buckets:[12]", 0.8, (1.0, Some(ResultIsSkewed)));
    check("count:12 sum:NaN buckets:[12]", 0.5, (0.7071067811865475, None));
    let (value, note) = fraction(-INF, 0.7071067811865475, &h("count:15 sum:NaN buckets:[12]"));
    assert!(close(value, 0.4) && note == Some(LeftOut));
    assert_eq!(fraction(-INF, 1.0, &h("count:3 sum:NaN")), (0.0, Some(LeftOut)));
}

#[test]
fn fractions() {
    let check = |text: &str, lower: f64, upper: f64, expected: f64| {
        let (value, note) = fraction(lower, upper, &h(text));
        assert!(
            close(value, expected),
            "{lower} to {upper} of {text}: {value}, not {expected}"
        );
        assert_eq!(note, None);
    };
    let above = "count:12 z_bucket:2 z_bucket_w:0.001 buckets:[2 3 0 1 4]";
    check(above, -INF, INF, 1.0);
    check(above, 0.0, INF, 1.0);
    check(above, -0.001, 0.0, 0.0);
    check(above, 0.0, 0.001, 2.0 / 12.0);
    check(above, 0.0, 0.0005, 1.0 / 12.0);
    check(above, 1.0, 2.0, 3.0 / 12.0);
    check(above, 1.5, 2.0, 3.0 / 12.0 * (1.0 - 1.5f64.log2()));
    check(above, 1.0, 8.0, 4.0 / 12.0);
    check(above, 3.0, 1.0, 0.0);
    check(above, 3.0, 3.0, 0.0);
    check(above, f64::NAN, 3.0, f64::NAN);
    check(above, 1.0, f64::NAN, f64::NAN);
    check("", 0.0, 1.0, f64::NAN);
    let below = "count:12 z_bucket:2 z_bucket_w:0.001 n_buckets:[2 3 0 1 4]";
    check(below, -2.0, -1.0, 3.0 / 12.0);
    check(below, -2.0, -1.5, 3.0 / 12.0 * (1.0 - 1.5f64.log2()));
    check(below, -0.001, INF, 2.0 / 12.0);
    check(below, 0.0, INF, 0.0);
    let custom = "schema:-53 sum:5 count:4 custom_values:[5 10] buckets:[1 2 1]";
    check(custom, 0.0, 5.0, 0.25);
    check(custom, 0.0, 7.5, 0.5);
    check(custom, -INF, 2.5, 0.125);
    check(custom, 10.0, INF, 0.25);
    check(custom, 20.0, INF, 0.25);
    check(
        "schema:-53 count:4 custom_values:[-5 10] buckets:[1 3]",
        -INF,
        -7.0,
        0.25,
    );
}

#[test]
fn means_and_variances() {
    let check = |text: &str, mean: f64, variance_of: f64| {
        let histogram = h(text);
        assert!(
            close(average(&histogram), mean),
            "{text}: {}",
            average(&histogram)
        );
        assert!(
            close(variance(&histogram), variance_of),
            "{text}: {}",
            variance(&histogram)
        );
    };
    check(
        "schema:2 count:4 sum:10 buckets:[1 0 0 0 1 0 0 1 1]",
        2.5,
        1.163807968526718,
    );
    check("schema:8 count:10 sum:10 buckets:[1 2 3 4]", 1.0, super_fine());
    check(
        "schema:0 count:10 sum:-100 n_offset:4 n_buckets:[10]",
        -10.0,
        1.725830020304794,
    );
    check("schema:3 count:7 sum:NaN z_bucket:1", f64::NAN, f64::NAN);
    check(
        "schema:-53 count:4 sum:28 custom_values:[5 10] buckets:[0 4]",
        7.0,
        0.25,
    );
    check("", f64::NAN, f64::NAN);
}

fn super_fine() -> f64 {
    let bound = |i: f64| (i / 256.0).exp2();
    let middle = |i: f64| (bound(i) * bound(i - 1.0)).sqrt() - 1.0;
    (0..4)
        .map(|i| f64::from(i + 1) * middle(f64::from(i)).powi(2))
        .sum::<f64>()
        / 10.0
}

proptest! {
    #[test]
    fn quantiles_rise(histogram in prop_oneof![exponential(), custom()], q in 0.0..1.0f64, more in 0.0..0.5f64) {
        let (low, high) = (quantile(q, &histogram).0, quantile((q + more).min(1.0), &histogram).0);
        let tolerance = 1e-9 * low.abs().max(1.0);
        prop_assert!(low <= high + tolerance || low.is_nan() && high.is_nan(), "{low} {high}");
    }

    #[test]
    fn the_fraction_below_a_quantile_is_its_rank(histogram in exponential(), q in 0.01..0.99f64) {
        prop_assume!(histogram.count > 0.0);
        let value = quantile(q, &histogram).0;
        // A quantile within a bucket; those at bounds may stand for a gap.
        prop_assume!(value != 0.0 && value.log2().fract().abs() > 1e-6);
        let (part, _) = fraction(-INF, value, &histogram);
        let zero = histogram.zero_bucket().unwrap();
        let is_around_zero = zero.count > 0.0 && zero.lower <= value && value <= zero.upper;
        prop_assert!((part - q).abs() < 1e-6 || is_around_zero || part.is_nan() || gap(&histogram, value), "{q} {value} {part}");
    }
}

/// Whether a value is a bound of the buckets.
fn gap(histogram: &Histogram, value: f64) -> bool {
    histogram
        .buckets()
        .any(|b| (b.lower - value).abs() < 1e-9 * value.abs() || (b.upper - value).abs() < 1e-9 * value.abs())
}
