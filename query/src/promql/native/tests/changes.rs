//! Rates and what belongs to them.

use super::super::testing::{assert_close, h, sample};
use super::super::*;
use Change::{Delta, Increase, Rate};
use model::metric::{HistogramSample, ResetHint};

const MINUTE_MS: i64 = 60_000;

/// Samples a minute apart, the first one at `from` minutes.
fn minutes(from: i64, texts: &[&str]) -> Vec<HistogramSample> {
    (from..)
        .zip(texts)
        .map(|(minute, text)| sample(minute * MINUTE_MS, h(text)))
        .collect()
}

fn window(start_ms: i64, end_ms: i64) -> Window {
    Window {
        start_ms,
        end_ms,
        range_ms: end_ms - start_ms,
        uses_starts: false,
    }
}

#[track_caller]
fn check(kind: Change, samples: &[HistogramSample], window: Window, expected: &str) -> Remarks {
    let outcome = change(kind, samples, window).unwrap();
    assert_close(&outcome.histogram.unwrap(), &h(expected));
    outcome.remarks
}

#[test]
fn rates_extrapolate() {
    let mut samples = minutes(0, &["count:15 sum:25 buckets:[5 10]"]);
    samples.extend((1..56).map(|m| sample(m * MINUTE_MS, h("count:2490 sum:75 buckets:[15 2475]"))));
    let remarks = check(
        Increase,
        &samples,
        window(-35 * MINUTE_MS, 55 * MINUTE_MS),
        "count:2490 sum:50.303030303030305 counter_reset_hint:gauge buckets:[10.06060606060606 2479.939393939394]",
    );
    assert_eq!(remarks, Remarks::default());
    let regular = minutes(
        0,
        &[
            "count:10 sum:5 buckets:[10]",
            "count:16 sum:7 buckets:[16]",
            "count:22 sum:9 buckets:[22]",
        ],
    );
    let whole = window(0, 2 * MINUTE_MS);
    check(
        Increase,
        &regular,
        whole,
        "count:12 sum:4 buckets:[12] counter_reset_hint:gauge",
    );
    check(
        Rate,
        &regular,
        whole,
        "count:0.1 sum:0.03333333333333333 buckets:[0.1]",
    );
    assert!(check(Delta, &regular, whole, "count:12 sum:4 buckets:[12]").not_gauge);
    assert_eq!(change(Rate, &regular[..1], whole).unwrap(), Outcome::default());
    assert_eq!(change(Rate, &[], whole).unwrap(), Outcome::default());
}

#[test]
fn resets_are_added() {
    let whole = window(0, 3 * MINUTE_MS);
    let samples = minutes(
        0,
        &[
            "count:100 buckets:[100]",
            "count:110 buckets:[110]",
            "count:3 offset:2 buckets:[3]",
            "count:9 offset:2 buckets:[9]",
        ],
    );
    check(
        Increase,
        &samples,
        whole,
        "count:19 buckets:[10 0 9] counter_reset_hint:gauge",
    );
    // The buckets of a first sample before a reset do not matter.
    let samples = minutes(
        0,
        &[
            "schema:-53 count:100 custom_values:[5] buckets:[100]",
            "count:10 buckets:[10]",
            "count:12 buckets:[12]",
        ],
    );
    check(
        Increase,
        &samples,
        window(0, 2 * MINUTE_MS),
        "count:12 buckets:[12]",
    );
    let samples = minutes(
        0,
        &[
            "schema:-2 count:100 buckets:[100]",
            "count:10 buckets:[10]",
            "count:12 buckets:[12]",
        ],
    );
    check(
        Increase,
        &samples,
        window(0, 2 * MINUTE_MS),
        "count:12 buckets:[12]",
    );
    // A hint is believed.
    let samples = minutes(
        0,
        &[
            "count:1 buckets:[1]",
            "count:5 buckets:[5] counter_reset_hint:reset",
        ],
    );
    check(Increase, &samples, window(0, MINUTE_MS), "count:5 buckets:[5]");
    let samples = minutes(
        0,
        &[
            "count:5 buckets:[5]",
            "count:1 buckets:[1] counter_reset_hint:not_reset",
        ],
    );
    check(Increase, &samples, window(0, MINUTE_MS), "count:-4 buckets:[-4]");
    // Deltas know no resets.
    let samples = minutes(
        0,
        &[
            "count:5 buckets:[5] counter_reset_hint:gauge",
            "count:1 buckets:[1] counter_reset_hint:gauge",
        ],
    );
    assert_eq!(
        check(Delta, &samples, window(0, MINUTE_MS), "count:-4 buckets:[-4]"),
        Remarks::default()
    );
    assert!(
        change(Rate, &samples, window(0, MINUTE_MS))
            .unwrap()
            .remarks
            .not_counter
    );
}

#[test]
fn rates_have_the_coarsest_schema() {
    let samples = minutes(
        0,
        &[
            "schema:1 count:2 buckets:[1 1]",
            "schema:-1 count:5 buckets:[2 3]",
            "schema:1 count:9 buckets:[2 3 4]",
        ],
    );
    // From the coarser to the finer schema the counting began anew.
    check(
        Increase,
        &samples,
        window(0, 2 * MINUTE_MS),
        "schema:-1 count:12 buckets:[3 9]",
    );
    // Also of a sample between that has no part in the result.
    let samples = minutes(
        0,
        &[
            "schema:1 count:2 buckets:[1 1]",
            "schema:-1 count:5 buckets:[2 3]",
            "schema:1 count:9 buckets:[2 3 4] counter_reset_hint:not_reset",
        ],
    );
    check(
        Increase,
        &samples,
        window(0, 2 * MINUTE_MS),
        "schema:-1 count:7 buckets:[1 6]",
    );
}

#[test]
fn rates_do_not_mix_buckets() {
    let check = |texts: &[&str], kind: Change, expected: bool| {
        let samples = minutes(0, texts);
        let outcome = change(kind, &samples, window(0, 5 * MINUTE_MS)).unwrap();
        assert_eq!(outcome.remarks.mixed_buckets, expected);
        assert_eq!(outcome.histogram.is_none(), expected);
    };
    let (exponential, custom) = ("count:1 buckets:[1]", "schema:-53 count:1 buckets:[1]");
    check(&[exponential, exponential, custom], Rate, true);
    check(&[exponential, custom, exponential], Increase, true);
    check(&[exponential, custom, custom], Rate, false);
    check(&[exponential, custom, custom], Delta, true);
    check(&[exponential, custom, exponential], Delta, false);
    let reconciled = minutes(
        0,
        &[
            "schema:-53 count:1 custom_values:[1 2] buckets:[1]",
            "schema:-53 count:3 custom_values:[2] buckets:[3]",
        ],
    );
    let outcome = change(Increase, &reconciled, window(0, MINUTE_MS)).unwrap();
    assert_eq!(
        outcome.remarks,
        Remarks {
            reconciled_in_subtraction: true,
            ..Remarks::default()
        }
    );
}

#[test]
fn starts_say_when_counting_began() {
    let started = |minute: i64, start_ms: i64, text: &str| HistogramSample {
        start_timestamp_ms: start_ms,
        ..sample(minute * MINUTE_MS, h(text))
    };
    let using = |start_ms, end_ms| Window {
        uses_starts: true,
        ..window(start_ms, end_ms)
    };
    // One sample is enough when its counter began in the window.
    let one = [started(2, MINUTE_MS, "count:6 buckets:[6]")];
    check(Increase, &one, using(0, 2 * MINUTE_MS), "count:6 buckets:[6]");
    assert_eq!(
        change(Increase, &one, window(0, 2 * MINUTE_MS)).unwrap(),
        Outcome::default()
    );
    assert_eq!(
        change(Increase, &one, using(MINUTE_MS, 2 * MINUTE_MS)).unwrap(),
        Outcome::default()
    );
    // A reset that the counts do not show.
    let two = [
        started(1, 1, "count:6 buckets:[6]"),
        started(2, MINUTE_MS + 1, "count:8 buckets:[8]"),
    ];
    check(Increase, &two, using(0, 2 * MINUTE_MS), "count:14 buckets:[14]");
    check(Increase, &two, window(0, 2 * MINUTE_MS), "count:4 buckets:[4]");
    assert!(is_reset(&two[0], &two[1], true) && !is_reset(&two[0], &two[1], false));
    // A start at the sample before is a reset when that one had a start of its own.
    let differences = |first_start: i64| {
        let pair = [
            started(1, first_start, "count:6 buckets:[6]"),
            started(2, MINUTE_MS, "count:8 buckets:[8]"),
        ];
        is_reset(&pair[0], &pair[1], true)
    };
    assert!(differences(1) && !differences(0) && !differences(MINUTE_MS) && !differences(2 * MINUTE_MS));
    let overlapping = [
        started(1, 5, "count:6 buckets:[6]"),
        started(2, 7, "count:8 buckets:[8]"),
    ];
    assert!(
        change(Rate, &overlapping, using(0, 2 * MINUTE_MS))
            .unwrap()
            .remarks
            .start_overlap
    );
    assert!(
        !change(Rate, &overlapping, window(0, 2 * MINUTE_MS))
            .unwrap()
            .remarks
            .start_overlap
    );
}

#[test]
fn instant_rates_are_of_two_samples() {
    let check = |is_rate: bool, texts: [&str; 2], expected: &str| {
        let pair = minutes(0, &texts);
        let outcome = instant_change(is_rate, &pair[0], &pair[1], false).unwrap();
        assert_close(&outcome.histogram.unwrap(), &h(expected));
        outcome.remarks
    };
    let grown = ["count:6 buckets:[6]", "count:12 buckets:[12]"];
    assert_eq!(
        check(true, grown, "count:0.1 buckets:[0.1] counter_reset_hint:gauge"),
        Remarks::default()
    );
    assert!(check(false, grown, "count:6 buckets:[6] counter_reset_hint:gauge").not_gauge);
    check(
        true,
        ["count:6 buckets:[6]", "count:3 buckets:[3]"],
        "count:0.05 buckets:[0.05]",
    );
    check(
        false,
        ["count:6 buckets:[6]", "count:3 buckets:[3]"],
        "count:-3 buckets:[-3]",
    );
    let gauge = "count:6 buckets:[6] counter_reset_hint:gauge";
    assert!(check(true, [gauge, gauge], "").not_counter);
    assert!(!check(false, [gauge, gauge], "").not_gauge);
    let pair = minutes(0, &["count:1", "schema:-53 count:2"]);
    assert!(
        instant_change(false, &pair[0], &pair[1], false)
            .unwrap()
            .remarks
            .mixed_buckets
    );
    assert_eq!(
        instant_change(true, &pair[0], &pair[0], false).unwrap(),
        Outcome::default()
    );
}

#[test]
fn between_two_samples() {
    let check = |texts: [&str; 2], at_ms: i64, is_counter: bool, expected: &str| {
        let pair = minutes(0, &texts);
        let outcome = interpolate(&pair[0], &pair[1], at_ms, is_counter).unwrap();
        assert_close(&outcome.histogram.unwrap(), &h(expected));
    };
    let grown = ["count:4 sum:1 buckets:[4]", "count:8 sum:3 buckets:[6 2]"];
    check(grown, 0, true, grown[0]);
    check(grown, MINUTE_MS, true, grown[1]);
    check(grown, 15_000, true, "count:5 sum:1.5 buckets:[4.5 0.5]");
    check(
        ["count:10 buckets:[10]", "count:2 buckets:[2]"],
        30_000,
        true,
        "count:1 buckets:[1]",
    );
    check(
        ["count:10 buckets:[10]", "count:2 buckets:[2]"],
        30_000,
        false,
        "count:6 buckets:[6]",
    );
    let pair = minutes(0, &["count:1", "schema:-53 count:2"]);
    assert!(
        interpolate(&pair[0], &pair[1], 1, false)
            .unwrap()
            .remarks
            .mixed_buckets
    );
}

#[test]
fn extended_windows_go_from_edge_to_edge() {
    let check = |kind: Change,
                 step_s: i64,
                 texts: &[&str],
                 (start_s, end_s): (i64, i64),
                 is_smoothed: bool,
                 expected: Option<&str>| {
        let samples: Vec<_> = (0..)
            .zip(texts)
            .map(|(i, text)| sample(i * step_s * 1000, h(text)))
            .collect();
        let window = window(start_s * 1000, end_s * 1000);
        let outcome = extended_change(kind, &samples, window, is_smoothed).unwrap();
        match (outcome.histogram, expected) {
            (Some(got), Some(expected)) => assert_close(&got, &h(expected)),
            (got, expected) => assert!(got.is_none() && expected.is_none(), "{got:?}"),
        }
    };
    let custom = [
        "schema:-53 sum:1 count:1 custom_values:[5 10] buckets:[1]",
        "schema:-53 sum:4 count:4 custom_values:[5 10] buckets:[4]",
    ];
    check(
        Increase,
        30,
        &custom,
        (0, 30),
        false,
        Some("schema:-53 sum:3 count:3 custom_values:[5 10] buckets:[3] counter_reset_hint:gauge"),
    );
    let doubled = [
        "count:10 sum:10 buckets:[10]",
        "count:5 sum:5 buckets:[5] counter_reset_hint:reset",
        "count:2 sum:2 buckets:[2] counter_reset_hint:reset",
        "count:4 sum:4 buckets:[4]",
    ];
    check(
        Increase,
        10,
        &doubled,
        (1, 15),
        true,
        Some("count:5.5 sum:5.5 buckets:[5.5]"),
    );
    check(
        Increase,
        20,
        &doubled[..2],
        (5, 15),
        true,
        Some("count:2.5 sum:2.5 buckets:[2.5]"),
    );
    let at_end = [
        "count:5 buckets:[5]",
        "count:10 buckets:[10]",
        "count:3 buckets:[3] counter_reset_hint:reset",
    ];
    check(Rate, 10, &at_end, (5, 15), true, Some("count:0.4 buckets:[0.4]"));
    check(Increase, 30, &at_end, (0, 60), false, Some("count:8 buckets:[8]"));
    check(Increase, 30, &at_end[..1], (0, 0), false, None);
    check(Increase, 30, &at_end[..1], (5, 60), false, None);
    check(Increase, 30, &[], (5, 60), true, None);
    // One sample within an anchored window has changed by nothing.
    check(Increase, 30, &at_end[..1], (-5, 60), false, Some(""));
    check(Delta, 30, &at_end, (0, 60), false, Some("count:-2 buckets:[-2]"));
    check(
        Increase,
        30,
        &["count:1", "schema:-53 count:1"],
        (0, 60),
        false,
        None,
    );
}

#[test]
fn hints_are_found_by_comparing() {
    use ResetHint::{Gauge, NotReset, Reset, Unknown};
    let mut samples = minutes(
        0,
        &[
            "count:0",
            "count:2",
            "count:1",
            "sum:1 counter_reset_hint:gauge",
            "count:3",
            "count:2 counter_reset_hint:not_reset",
            "count:5",
        ],
    );
    let mut stale = h("");
    stale.sum = model::metric::stale_nan();
    samples.insert(6, sample(0, stale));
    detect_hints(&mut samples);
    let hints: Vec<_> = samples.iter().map(|s| s.histogram.reset_hint).collect();
    assert_eq!(
        hints,
        [
            Unknown, NotReset, Reset, Gauge, NotReset, NotReset, Unknown, NotReset
        ]
    );
}
