//! Sums, differences, means, products and cuts.

use super::super::arithmetic::to_schema;
use super::super::testing::{assert_close, custom, difference, exponential, h, sample};
use super::super::*;
use model::metric::{HistogramSample, ResetHint};
use proptest::prelude::*;

const BOTH: &str =
    "sum:12 count:10 z_bucket:3 z_bucket_w:0.01 buckets:[1 0 3 4 7] n_offset:1 n_buckets:[3 0 4]";

#[track_caller]
fn check_sum(a: &str, b: &str, expected: &str) -> Remarks {
    let outcome = add(&h(a), &h(b)).unwrap();
    assert_close(&outcome.histogram.unwrap(), &h(expected));
    let mut sum = Sum::new(&h(a));
    sum.add(&h(b)).unwrap();
    assert_close(&sum.finish().histogram.unwrap(), &h(expected));
    outcome.remarks
}

#[test]
fn sums_have_the_buckets_of_both() {
    check_sum(
        BOTH,
        BOTH,
        "sum:24 count:20 z_bucket:6 z_bucket_w:0.01 buckets:[2 0 6 8 14] n_offset:1 n_buckets:[6 0 8]",
    );
    check_sum(
        "count:1 buckets:[1]",
        "count:2 offset:5 buckets:[2]",
        "count:3 buckets:[1 0 0 0 0 2]",
    );
    check_sum(
        "count:2 offset:5 buckets:[2]",
        "count:1 offset:-2 buckets:[1]",
        "count:3 offset:-2 buckets:[1 0 0 0 0 0 0 2]",
    );
    check_sum(
        "count:3 offset:-1 buckets:[1 2]",
        "count:3 buckets:[1 1 1]",
        "count:6 offset:-1 buckets:[1 3 1 1]",
    );
    // What adds up to nothing is not there.
    let outcome = add(&h("count:1 buckets:[1 2]"), &h("count:1 buckets:[-1 2]")).unwrap();
    assert_eq!(outcome.histogram.unwrap().positive, [(1, 4.0)]);
}

#[test]
fn sums_have_the_coarser_schema() {
    check_sum(
        "schema:0 sum:1 count:10 buckets:[1 2 3] n_buckets:[4]",
        "schema:1 sum:2 count:9 offset:-1 buckets:[1 1 1 2 2 2]",
        "schema:0 sum:3 count:19 buckets:[3 5 7] n_buckets:[4]",
    );
    check_sum(
        "schema:1 sum:2 count:9 offset:-1 buckets:[1 1 1 2 2 2]",
        "schema:-1 sum:1 count:3 offset:1 buckets:[3]",
        "schema:-1 sum:3 count:12 offset:0 buckets:[2 10]",
    );
}

#[test]
fn the_bucket_around_zero_holds_those_of_both() {
    // A wider one takes up buckets of the other one.
    let narrow =
        "count:20 z_bucket:2 z_bucket_w:0.01 offset:-3 buckets:[1 2 3 4] n_offset:-2 n_buckets:[5 3]";
    check_sum(
        "count:7 z_bucket:3 z_bucket_w:0.25 offset:0 buckets:[4]",
        narrow,
        "count:27 z_bucket:13 z_bucket_w:0.25 offset:-1 buckets:[3 8] n_offset:-1 n_buckets:[3]",
    );
    check_sum(
        narrow,
        "count:7 z_bucket:3 z_bucket_w:0.25 offset:0 buckets:[4]",
        "count:27 z_bucket:13 z_bucket_w:0.25 offset:-1 buckets:[3 8] n_offset:-1 n_buckets:[3]",
    );
    // It does not end within a bucket with observations.
    check_sum(
        narrow,
        "count:3 z_bucket:3 z_bucket_w:0.2",
        "count:23 z_bucket:13 z_bucket_w:0.25 offset:-1 buckets:[3 4] n_offset:-1 n_buckets:[3]",
    );
    check_sum(
        "count:3 z_bucket:3 z_bucket_w:0.3 offset:-1 buckets:[0]",
        narrow,
        "count:23 z_bucket:19 z_bucket_w:0.5 offset:0 buckets:[4]",
    );
    // Both grow in turn: 0.3 ends within a bucket of the other one, whose end 0.5 lies within one of the first.
    check_sum(
        "schema:-1 count:5 z_bucket:3 z_bucket_w:0.3 offset:0 buckets:[2]",
        "schema:0 count:9 z_bucket:2 z_bucket_w:0.01 offset:-1 buckets:[3 4]",
        "schema:-1 count:14 z_bucket:14 z_bucket_w:1",
    );
    check_sum(
        "count:1 z_bucket:1 z_bucket_w:0.01",
        "count:2 z_bucket:2 z_bucket_w:0.02",
        "count:3 z_bucket:3 z_bucket_w:0.02",
    );
    let odd = add(&h("z_bucket_w:NaN"), &h("z_bucket_w:1 buckets:[1]")).unwrap();
    assert!(odd.histogram.unwrap().zero_threshold.is_nan());
}

#[test]
fn custom_bounds_are_reconciled() {
    let remarks = check_sum(
        "schema:-53 custom_values:[5 10] sum:3 count:5 buckets:[1 2 2]",
        "schema:-53 custom_values:[5 10] sum:3 count:5 offset:2 buckets:[5]",
        "schema:-53 custom_values:[5 10] sum:6 count:10 buckets:[1 2 7]",
    );
    assert_eq!(remarks, Remarks::default());
    let reconciled = Remarks {
        reconciled_in_addition: true,
        ..Remarks::default()
    };
    let remarks = check_sum(
        "schema:-53 custom_values:[1 2 3 4] sum:5 count:11 buckets:[1 0 3 4 3]",
        "schema:-53 custom_values:[0 1 2 4 5] sum:7 count:21 buckets:[1 2 3 4 5 6]",
        "schema:-53 custom_values:[1 2 4] sum:12 count:32 buckets:[4 3 11 14]",
    );
    assert_eq!(remarks, reconciled);
    let remarks = check_sum(
        "schema:-53 custom_values:[1 2] count:6 buckets:[1 2 3]",
        "schema:-53 custom_values:[3] count:9 buckets:[4 5]",
        "schema:-53 count:15 buckets:[15]",
    );
    assert_eq!(remarks, reconciled);
    let difference = subtract(
        &h("schema:-53 custom_values:[1 2] count:6 buckets:[1 2 3]"),
        &h("schema:-53 custom_values:[2] count:9 buckets:[3 5]"),
    );
    let difference = difference.unwrap();
    assert_close(
        &difference.histogram.unwrap(),
        &h("schema:-53 custom_values:[2] count:-3 buckets:[0 -2] counter_reset_hint:gauge"),
    );
    assert!(difference.remarks.reconciled_in_subtraction && !difference.remarks.reconciled_in_addition);
}

#[test]
fn kinds_of_buckets_do_not_mix() {
    let (exponential, custom) = (h("count:1 buckets:[1]"), h("schema:-53 count:1 buckets:[1]"));
    let mixed = Outcome::none(Remarks::MIXED);
    assert_eq!(add(&exponential, &custom).unwrap(), mixed);
    assert_eq!(subtract(&custom, &exponential).unwrap(), mixed);
    let mut sum = Sum::new(&exponential);
    assert_eq!(sum.add(&custom).unwrap(), Remarks::MIXED);
    assert_eq!(sum.add(&exponential).unwrap(), Remarks::default());
    assert_eq!(sum.finish(), mixed);
    let samples = [sample(1, exponential), sample(2, custom)];
    assert_eq!(sum_over(&samples).unwrap(), mixed);
    assert_eq!(average_over(&samples).unwrap(), mixed);
}

#[test]
fn hints_of_sums() {
    use ResetHint::{Gauge, NotReset, Reset, Unknown};
    let check = |a: ResetHint, b: ResetHint, expected: ResetHint, collides: bool| {
        let of = |reset_hint| Histogram {
            reset_hint,
            ..h("count:1 buckets:[1]")
        };
        let outcome = add(&of(a), &of(b)).unwrap();
        assert_eq!(outcome.histogram.unwrap().reset_hint, expected, "{a:?} + {b:?}");
        assert_eq!(outcome.remarks.reset_collision, collides, "{a:?} + {b:?}");
        let difference = subtract(&of(a), &of(b)).unwrap();
        assert_eq!(difference.histogram.unwrap().reset_hint, Gauge);
        assert_eq!(difference.remarks.reset_collision, collides);
        let sum = sum_over(&[sample(1, of(a)), sample(2, of(b))]).unwrap();
        assert_eq!(sum.histogram.unwrap().reset_hint, expected);
        assert_eq!(sum.remarks.reset_collision, collides);
    };
    for hint in [Unknown, Reset, NotReset, Gauge] {
        check(hint, hint, hint, false);
        check(hint, Gauge, Gauge, false);
        check(Gauge, hint, Gauge, false);
    }
    check(Unknown, Reset, Unknown, false);
    check(NotReset, Unknown, Unknown, false);
    check(Reset, NotReset, Unknown, true);
    check(NotReset, Reset, Unknown, true);
    // A sum knows of a collision also where others came between.
    let samples = ["not_reset", "gauge", "reset"]
        .map(|hint| sample(0, h(&format!("count:1 buckets:[1] counter_reset_hint:{hint}"))));
    let outcome = average_over(&samples).unwrap();
    assert!(outcome.remarks.reset_collision);
    assert_eq!(outcome.histogram.unwrap().reset_hint, Gauge);
}

#[test]
fn products_and_quotients() {
    let both = h(BOTH);
    let check = |got: Histogram, expected: &str| assert_close(&got, &h(expected));
    check(
        multiply(&both, 3.0),
        "sum:36 count:30 z_bucket:9 z_bucket_w:0.01 buckets:[3 0 9 12 21] n_offset:1 n_buckets:[9 0 12]",
    );
    check(
        multiply(&both, -1.0),
        "sum:-12 count:-10 z_bucket:-3 z_bucket_w:0.01 buckets:[-1 0 -3 -4 -7] n_offset:1 n_buckets:[-3 0 -4] counter_reset_hint:gauge",
    );
    check(multiply(&both, 0.0), "z_bucket_w:0.01");
    assert!(multiply(&both, 0.0).positive.is_empty());
    check(
        divide(&both, 2.0),
        "sum:6 count:5 z_bucket:1.5 z_bucket_w:0.01 buckets:[0.5 0 1.5 2 3.5] n_offset:1 n_buckets:[1.5 0 2]",
    );
    check(
        divide(&both, 0.0),
        "sum:inf count:inf z_bucket:inf z_bucket_w:0.01",
    );
    check(
        divide(&h("count:0 buckets:[0]"), 0.0),
        "sum:NaN count:NaN z_bucket:NaN",
    );
    assert!(divide(&both, -1.0).is_gauge());
    assert_eq!(multiply(&both, 1.0).reset_hint, ResetHint::Unknown);
}

#[test]
fn equality_is_of_bits() {
    let both = h(BOTH);
    let differing = |change: fn(&mut Histogram)| {
        let mut other = both.clone();
        change(&mut other);
        is_equal(&both, &other) && is_equal(&other, &both)
    };
    assert!(differing(|h| h.reset_hint = ResetHint::Gauge));
    assert!(!differing(|h| h.sum += 1.0));
    assert!(!differing(|h| h.count += 1.0));
    assert!(!differing(|h| h.zero_count += 1.0));
    assert!(!differing(|h| h.zero_threshold += 1.0));
    assert!(!differing(|h| h.schema += 1));
    assert!(!differing(|h| h.positive[1].1 = -0.0));
    assert!(!differing(|h| h.positive.truncate(1)));
    assert!(!differing(|h| h.negative.truncate(1)));
    let (nan, zero) = (h("sum:NaN"), h("sum:0"));
    assert!(is_equal(&nan, &nan) && !is_equal(&zero, &h("sum:-0")));
    let custom = h("schema:-53 custom_values:[1]");
    assert!(!is_equal(&custom, &h("schema:-53 custom_values:[2]")));
}

#[test]
fn small_counts_survive_large_ones() {
    let samples = [
        "sum:1 count:1 z_bucket:1 buckets:[1]",
        "sum:1e100 count:1e100 z_bucket:1e100 buckets:[1e100]",
        "sum:1 count:1 z_bucket:1 buckets:[1 4]",
        "sum:-1e100 count:-1e100 z_bucket:-1e100 buckets:[-1e100]",
    ]
    .map(|text| sample(0, h(text)));
    let expected = h("sum:2 count:2 z_bucket:2 buckets:[2 4]");
    assert_close(&sum_over(&samples).unwrap().histogram.unwrap(), &expected);
    assert_close(
        &average_over(&samples).unwrap().histogram.unwrap(),
        &divide(&expected, 4.0),
    );
    // Also through a change of the schema.
    let samples = [
        "schema:1 buckets:[0 1e100 1]",
        "schema:0 buckets:[0 0]",
        "schema:1 buckets:[0 -1e100 0]",
    ]
    .map(|text| sample(0, h(text)));
    let sum = sum_over(&samples).unwrap().histogram.unwrap();
    assert_close(&sum, &h("schema:0 offset:1 buckets:[1]"));
}

#[test]
fn means_do_not_overflow() {
    let big = "sum:1e308 count:1e308 z_bucket:1e308 buckets:[1.5e308 2]";
    let check = |texts: &[&str], expected: &str| {
        let samples: Vec<_> = texts.iter().map(|text| sample(0, h(text))).collect();
        let outcome = average_over(&samples).unwrap();
        assert_close(&outcome.histogram.unwrap(), &h(expected));
    };
    check(&[big; 4], big);
    check(
        &[big, big, "sum:0", "sum:0"],
        "sum:5e307 count:5e307 z_bucket:5e307 buckets:[7.5e307 1]",
    );
    check(&["sum:inf count:2", "sum:1 count:4"], "sum:inf count:3");
    check(&["sum:NaN count:2", "sum:1 count:4"], "sum:NaN count:3");
    check(&["sum:1 count:2 buckets:[2]"; 3], "sum:1 count:2 buckets:[2]");
    check(
        &["sum:8 count:2 buckets:[2]", "sum:1 count:1 offset:4 buckets:[1]"],
        "sum:4.5 count:1.5 buckets:[1 0 0 0 0.5]",
    );
    assert_eq!(average_over(&[]).unwrap(), Outcome::default());
}

#[test]
fn results_have_a_limit() {
    let of = |from: i32| Histogram {
        positive: (0..60_000).map(|i| (from + 2 * i, 1.0)).collect(),
        ..Histogram::default()
    };
    assert!(add(&of(0), &of(0)).is_ok());
    let error = add(&of(0), &of(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Execution);
    assert!(error.message().contains("100000 buckets"), "{error}");
    assert!(Sum::new(&of(0)).add(&of(1)).is_err());
}

#[test]
fn cuts_keep_what_lies_on_one_side() {
    let check = |text: &str, operator: &str, at: f64, expected: &str| {
        let got = match operator {
            "</" => trim_upper(&h(text), at),
            _ => trim_lower(&h(text), at),
        };
        assert_close(&got, &h(expected));
    };
    let usual = "sum:123.75 count:34 z_bucket:1 z_bucket_w:0.001 buckets:[2 4 8 16] n_buckets:[1 2]";
    check(usual, "</", f64::INFINITY, usual);
    check(usual, ">/", f64::NEG_INFINITY, usual);
    check(usual, "</", f64::NEG_INFINITY, "z_bucket_w:0.001");
    check(usual, ">/", f64::INFINITY, "z_bucket_w:0.001");
    check(
        usual,
        ">/",
        std::f64::consts::SQRT_2,
        "count:26 sum:116.50067065041982 z_bucket_w:0.001 buckets:[0 2 8 16]",
    );
    check(
        usual,
        "</",
        2.0,
        "count:10 sum:3.5355339059327373 z_bucket:1 z_bucket_w:0.001 buckets:[2 4] n_buckets:[1 2]",
    );
    check(
        usual,
        ">/",
        2.0,
        "count:24 sum:113.13708498984761 z_bucket_w:0.001 offset:2 buckets:[8 16]",
    );
    check(
        usual,
        ">/",
        -1.0,
        "count:32 sum:119.50104602052653 z_bucket:1 z_bucket_w:0.001 buckets:[2 4 8 16] n_buckets:[1]",
    );
    check(
        usual,
        "</",
        -1.0,
        "count:2 sum:-2.8284271247461903 z_bucket_w:0.001 n_offset:1 n_buckets:[2]",
    );
    let fine = "schema:2 sum:12.8286080906 count:28 z_bucket:1 z_bucket_w:0.001 buckets:[1 2 4 7 3] n_buckets:[1 5 3 1]";
    check(
        fine,
        "</",
        1.13,
        "schema:2 count:13.410582181123704 sum:-9.385798726068233 z_bucket:1 z_bucket_w:0.001 buckets:[1 1.410582181123704] n_buckets:[1 5 3 1]",
    );
    check(
        fine,
        ">/",
        1.13,
        "schema:2 count:14.589417818876296 sum:22.168126492693734 z_bucket_w:0.001 offset:1 buckets:[0.589417818876296 4 7 3]",
    );
    check(
        fine,
        "</",
        -1.3,
        "schema:2 count:2.45786052095524 sum:-3.5189307983595066 z_bucket_w:0.001 n_offset:2 n_buckets:[1.45786052095524 1]",
    );

    let above = "sum:8.0210678118654755 count:12 z_bucket:2 z_bucket_w:0.5 buckets:[10]";
    check(above, "</", 0.0, "z_bucket_w:0.5");
    let below = "sum:-8.0210678118654755 count:12 z_bucket:2 z_bucket_w:0.5 n_buckets:[10]";
    check(
        below,
        "</",
        -0.1,
        "count:11.6 sum:-7.551067811865476 z_bucket:1.6 z_bucket_w:0.5 n_buckets:[10]",
    );
    check(
        below,
        ">/",
        -0.1,
        "count:0.4 sum:-0.02 z_bucket:0.4 z_bucket_w:0.5",
    );
    let around = "count:5 sum:0 z_bucket:5 z_bucket_w:0.1";
    check(around, "</", 0.1, around);
    check(
        around,
        ">/",
        0.05,
        "count:1.25 sum:0.09375 z_bucket:1.25 z_bucket_w:0.1",
    );
    check(around, "</", -0.1, "z_bucket_w:0.1");

    let custom = "schema:-53 sum:172.5 count:15 custom_values:[5 10 15 20] buckets:[1 6 4 3 1]";
    check(
        custom,
        "</",
        15.0,
        "schema:-53 count:11 sum:97.5 custom_values:[5 10 15 20] buckets:[1 6 4]",
    );
    check(
        custom,
        ">/",
        13.0,
        "schema:-53 count:5.6 sum:94.9 custom_values:[5 10 15 20] offset:2 buckets:[1.6 3 1]",
    );
    check(
        custom,
        "</",
        7.5,
        "schema:-53 count:4 sum:21.25 custom_values:[5 10 15 20] buckets:[1 3]",
    );
    check(
        custom,
        "</",
        50.0,
        "schema:-53 count:14 sum:150 custom_values:[5 10 15 20] buckets:[1 6 4 3]",
    );
    check(
        custom,
        ">/",
        f64::INFINITY,
        "schema:-53 custom_values:[5 10 15 20]",
    );
    check(custom, ">/", 0.0, custom);
    check(custom, "</", 0.0, "schema:-53 custom_values:[5 10 15 20]");
    let endless = "schema:-53 sum:33 count:101 custom_values:[0] buckets:[1 100]";
    check(
        endless,
        "</",
        10.0,
        "schema:-53 count:1 custom_values:[0] buckets:[1]",
    );
    check(
        endless,
        ">/",
        -10.0,
        "schema:-53 count:100 custom_values:[0] buckets:[0 100]",
    );
}

fn any_kind() -> impl Strategy<Value = Vec<Histogram>> {
    prop_oneof![
        prop::collection::vec(exponential(), 2..6),
        prop::collection::vec(custom(), 2..6),
    ]
}

fn total(parts: &[Histogram]) -> Histogram {
    let samples: Vec<HistogramSample> = parts.iter().map(|h| sample(0, h.clone())).collect();
    sum_over(&samples).unwrap().histogram.unwrap()
}

proptest! {
    #[test]
    fn what_was_added_can_be_taken_away(parts in any_kind()) {
        let (a, b) = (&parts[0], &parts[1]);
        let sum = add(a, b).unwrap().histogram.unwrap();
        prop_assert_eq!(sum.count, a.count + b.count);
        prop_assert_eq!(sum.sum, a.sum + b.sum);
        let back = subtract(&sum, b).unwrap().histogram.unwrap();
        // The same as the first one, as coarse as the sum.
        let nothing = multiply(&sum, 0.0);
        let expected = add(&nothing, a).unwrap().histogram.unwrap();
        prop_assert_eq!(difference(&back, &expected), None, "{:?} {:?}", back, expected);
    }

    #[test]
    fn the_order_of_a_sum_does_not_matter(parts in any_kind()) {
        // The bucket around zero takes up others before or after they get coarser: that is not the same in Prometheus either.
        let parts: Vec<_> = parts.into_iter().map(|h| Histogram { zero_threshold: 0.0, ..h }).collect();
        let mut reversed = parts.clone();
        reversed.reverse();
        let (sum, other) = (total(&parts), total(&reversed));
        prop_assert_eq!(difference(&sum, &other), None, "{:?} {:?}", sum, other);
        let one_by_one = parts[1..].iter().fold(parts[0].clone(), |sum, h| add(&sum, h).unwrap().histogram.unwrap());
        prop_assert_eq!(difference(&sum, &one_by_one), None, "{:?} {:?}", sum, one_by_one);
        let samples: Vec<_> = parts.iter().map(|h| sample(0, h.clone())).collect();
        let mean = average_over(&samples).unwrap().histogram.unwrap();
        prop_assert_eq!(difference(&mean, &divide(&sum, parts.len() as f64)), None);
    }

    #[test]
    fn a_coarser_schema_keeps_the_observations(fine in exponential(), by in 1i32..4) {
        let coarse = to_schema(&fine, fine.schema - by);
        prop_assert_eq!((coarse.count, coarse.sum, coarse.schema), (fine.count, fine.sum, fine.schema - by));
        let all = |list: &[(i32, f64)]| list.iter().map(|(_, n)| n).sum::<f64>();
        prop_assert_eq!(all(&coarse.positive), all(&fine.positive));
        prop_assert_eq!(all(&coarse.negative), all(&fine.negative));
        prop_assert!(coarse.positive.is_sorted_by(|a, b| a.0 < b.0));
        prop_assert!(!coarse.is_reset_after(&fine));
    }

    #[test]
    fn two_cuts_make_the_whole(whole in prop_oneof![exponential(), custom()], at in -20.0..20.0f64) {
        let (below, above) = (trim_upper(&whole, at), trim_lower(&whole, at));
        prop_assert!(below.count >= 0.0 && below.count <= whole.count * 1.000001, "{below}");
        // Of buckets without an end one side may keep nothing, and the other one all or nothing.
        let has_ends = !whole.has_custom_bounds();
        if has_ends {
            let mut sum = add(&below, &above).unwrap().histogram.unwrap();
            sum.sum = whole.sum;
            prop_assert_eq!(difference(&sum, &whole), None, "{} + {} = {}", below, above, whole);
        }
    }
}
