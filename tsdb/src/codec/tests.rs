//! Value columns through the front door: any pattern comes back, usual ones become small, and written bytes stay.

use super::*;
use model::metric::{HistogramSample, stale_nan};
use proptest::prelude::*;
use std::fmt::Write;

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|v| v.to_bits()).collect()
}

fn encoded(values: &[f64], effort: Effort) -> Vec<u8> {
    let mut bytes = vec![];
    values::encode(&mut bytes, values, effort);
    bytes
}

/// Checks both efforts; gives the size after a merge.
fn round_trip(values: &[f64]) -> usize {
    let [_, size] = [Effort::Flush, Effort::Merge].map(|effort| {
        let bytes = encoded(values, effort);
        let mut back = vec![42.0];
        values::decode(&bytes, values.len(), 0..values.len(), &mut back).unwrap();
        assert_eq!(bits(&back[1..]), bits(values), "{effort:?}");
        bytes.len()
    });
    size
}

/// Noise from 0 to 1 that is the same each time.
fn noise(at: usize, seed: u64) -> f64 {
    let mut x =
        (at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ seed.wrapping_mul(0xd6e8_feb8_6659_fd93);
    x = (x ^ x >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
    (x >> 40) as f64 / (1u64 << 24) as f64
}

/// A counter from its increments.
fn counter(count: usize, start: f64, mut increment: impl FnMut(usize) -> f64) -> Vec<f64> {
    let mut total = start;
    (0..count)
        .map(|at| {
            total += increment(at);
            total
        })
        .collect()
}

fn scaled(values: Vec<f64>, scale: impl Fn(f64) -> f64) -> Vec<f64> {
    values.into_iter().map(scale).collect()
}

/// What a day of scrapes is made of, by name.
fn usual(count: usize) -> Vec<(&'static str, Vec<f64>)> {
    let rare = |at: usize| {
        if noise(at, 3) < 0.15 {
            (noise(at, 4) * 9.0).ceil()
        } else {
            0.0
        }
    };
    let requests = |at: usize| (noise(at, 1) * 100.0).floor() + 50.0;
    let nanos = |at: usize| (noise(at, 5) * 3e9).floor();
    let with = |mut values: Vec<f64>, at: usize, odd: f64| {
        values[at] = odd;
        values
    };
    let restarted = |mut values: Vec<f64>| {
        let half = values.len() / 2;
        let lost = values[half];
        values[half..].iter_mut().for_each(|v| *v -= lost);
        values
    };
    vec![
        ("one", vec![1.0; count]),
        ("a limit", vec![2147483648.0; count]),
        ("a fraction", vec![0.1; count]),
        ("never a number", vec![f64::NAN; count]),
        ("a straight line", counter(count, 1e9, |_| 15.0)),
        (
            "rarely changes",
            counter(count, 3.0, |at| f64::from(at % 300 == 299)),
        ),
        ("a counter", counter(count, 1e6, requests)),
        (
            "a counter that restarts",
            restarted(counter(count, 1e6, requests)),
        ),
        (
            "a counter that ends",
            with(counter(count, 1e6, requests), count - 1, stale_nan()),
        ),
        ("a counter that idles", counter(count, 0.0, rare)),
        (
            "hundredths of a second",
            scaled(counter(count, 1e6, requests), |n| n / 100.0),
        ),
        (
            "milliseconds times 0.001",
            scaled(counter(count, 1e6, requests), |n| n * 0.001),
        ),
        (
            "microseconds divided twice",
            scaled(counter(count, 1e9, requests), |n| n / 1000.0 / 1000.0),
        ),
        ("nanoseconds", scaled(counter(count, 1e14, nanos), |n| n / 1e9)),
        (
            "pages of memory",
            (0..count)
                .map(|at| (noise(at / 3, 6) * 50.0 + 5000.0).floor() * 4096.0)
                .collect(),
        ),
        ("a ratio", (0..count).map(|at| noise(at, 7) / 3.0).collect()),
        ("a sum of floats", counter(count, 0.0, |at| noise(at, 8) / 3.0)),
        ("mostly zero", (0..count).map(rare).collect()),
        (
            "a load",
            (0..count)
                .map(|at| (noise(at, 9) * 300.0).floor() / 100.0)
                .collect(),
        ),
    ]
}

#[test]
fn usual_columns_become_small() {
    // Bytes of 120, 480 and 5760 values.
    let at_most = [
        ("one", [5, 5, 5]),
        ("a limit", [9, 9, 9]),
        ("a fraction", [5, 5, 5]),
        ("never a number", [9, 9, 10]),
        ("a straight line", [10, 10, 10]),
        ("rarely changes", [5, 8, 62]),
        ("a counter", [118, 424, 4980]),
        ("a counter that restarts", [123, 432, 5030]),
        ("a counter that ends", [121, 433, 4990]),
        ("a counter that idles", [35, 78, 900]),
        ("hundredths of a second", [118, 424, 4980]),
        ("milliseconds times 0.001", [118, 424, 4980]),
        ("microseconds divided twice", [120, 426, 4980]),
        ("nanoseconds", [492, 1920, 23_000]),
        ("pages of memory", [58, 166, 2080]),
        ("a ratio", [845, 3300, 39_500]),
        ("a sum of floats", [760, 2870, 31_200]),
        ("mostly zero", [35, 78, 890]),
        ("a load", [140, 520, 6200]),
    ];
    for (place, count) in [120, 480, 5760].into_iter().enumerate() {
        for ((name, values), (expected, at_most)) in usual(count).into_iter().zip(at_most) {
            assert_eq!(name, expected);
            let size = round_trip(&values);
            assert!(size <= at_most[place], "{count} of {name}: {size} bytes");
        }
    }
}

#[test]
fn odd_values_cost_little_more_than_their_bits() {
    let plain: Vec<f64> = (0..480).map(|i| f64::from(i * i % 97) / 10.0).collect();
    let size = round_trip(&plain);
    let check = |odd: f64, places: &[usize], at_most: usize| {
        let mut values = plain.clone();
        places.iter().for_each(|place| values[*place] = odd);
        let more = round_trip(&values).saturating_sub(size);
        assert!(more <= at_most, "{odd} ({:x}): {more} bytes", odd.to_bits());
    };
    check(stale_nan(), &[479], 8);
    check(stale_nan(), &[0], 8);
    check(-0.0, &[100, 200], 14);
    check(f64::NAN, &[7, 8, 9, 10], 10);
    check(f64::INFINITY, &[7], 8);
    check(f64::NEG_INFINITY, &[7], 8);
    check(f64::from_bits(0x7ff8_dead_beef_0001), &[7, 8], 18);
    check(0.1 + 0.2, &[7], 16);
    check(1e300, &[7, 300], 34);
}

#[test]
fn numbers_at_the_edges_come_back() {
    let edges = [
        0.0,
        -0.0,
        f64::MIN_POSITIVE,
        f64::MIN_POSITIVE / 4.0,
        f64::MAX,
        f64::MIN,
        9_007_199_254_740_992.0,
        9_007_199_254_740_993.0,
        -9_007_199_254_740_991.0,
        4_503_599_627_370_497.0,
        i64::MAX as f64,
        i64::MIN as f64,
        1e18,
        1e-18,
        0.1,
        f64::EPSILON,
    ];
    round_trip(&edges);
    for a in edges {
        round_trip(&[a]);
        edges.iter().for_each(|b| _ = round_trip(&[a, *b, a, a, *b]));
    }
}

fn any_value() -> impl Strategy<Value = f64> {
    prop_oneof![
        8 => (-100_000i64..100_000, 0i32..4).prop_map(|(n, e)| n as f64 / 10f64.powi(e)),
        4 => (0i64..50).prop_map(|n| n as f64),
        1 => any::<u64>().prop_map(f64::from_bits),
        1 => any::<i64>().prop_map(|n| n as f64),
        1 => prop::sample::select(vec![stale_nan(), f64::NAN, -f64::NAN, -0.0, f64::INFINITY, f64::NEG_INFINITY]),
    ]
}

/// Stretches of different kinds, one after the other.
fn any_column() -> impl Strategy<Value = Vec<f64>> {
    let stretch = prop_oneof![
        prop::collection::vec(any_value(), 1..300),
        prop::collection::vec(any::<u64>().prop_map(f64::from_bits), 1..100),
        (any_value(), 1usize..700).prop_map(|(value, count)| vec![value; count]),
        (any_value(), any_value(), 1usize..700).prop_map(|(start, step, count)| counter(
            count,
            start,
            |_| step
        )),
        (any_value(), 1u32..1_000_000, 1usize..700, 0i32..10).prop_map(|(start, most, count, e)| {
            let increments = counter(count, start, |at| {
                (noise(at, u64::from(most)) * f64::from(most)).floor()
            });
            scaled(increments, |n| n / 10f64.powi(e))
        }),
        (any_value(), 1usize..700, 1usize..100).prop_map(|(value, count, every)| {
            counter(count, 0.0, |at| if at % every == 0 { value } else { 0.0 })
        }),
    ];
    prop::collection::vec(stretch, 1..4).prop_map(|stretches| stretches.concat())
}

proptest! {
    #[test]
    fn any_column_comes_back(values in any_column()) {
        round_trip(&values);
    }
    #[test]
    fn any_part_is_the_slice(values in any_column(), ends in any::<[prop::sample::Index; 2]>(), merge: bool) {
        let mut ends = ends.map(|end| end.index(values.len() + 1));
        ends.sort_unstable();
        let effort = if merge { Effort::Merge } else { Effort::Flush };
        let bytes = encoded(&values, effort);
        let mut back = vec![42.0];
        values::decode(&bytes, values.len(), ends[0]..ends[1], &mut back).unwrap();
        prop_assert_eq!(bits(&back[1..]), bits(&values[ends[0]..ends[1]]));
    }
    #[test]
    fn garbage_is_an_error_and_no_panic(bytes: Vec<u8>, head in 0u8..10, count in 0usize..3000) {
        let _ = values::decode(&bytes, count, 0..count, &mut vec![]);
        // Most bytes are no scale: past it, there is more to stumble over.
        let column = [&[0, head & 3, 0][..], &bytes].concat();
        let _ = values::decode(&column, count, count / 2..count, &mut vec![]);
    }
    #[test]
    fn a_flipped_bit_makes_no_panic(values in any_column(), flip in any::<prop::sample::Index>(), bit in 0u8..8, merge: bool) {
        let mut bytes = encoded(&values, if merge { Effort::Merge } else { Effort::Flush });
        *flip.get_mut(&mut bytes) ^= 1 << bit;
        let mut back = vec![];
        if values::decode(&bytes, values.len(), 0..values.len(), &mut back).is_ok() {
            prop_assert_eq!(back.len(), values.len());
        }
        let _ = values::decode(&bytes[..flip.index(bytes.len())], values.len(), 0..values.len(), &mut back);
    }
}

#[test]
fn a_range_outside_is_an_error() {
    let bytes = encoded(&[1.0; 10], Effort::Merge);
    let check = |range| values::decode(&bytes, 10, range, &mut vec![]).unwrap_err();
    check(5..11);
    #[allow(clippy::reversed_empty_ranges, reason = "that is what must not get through")]
    check(5..4);
}

#[test]
fn damage_is_named() {
    let check = |what: &str, bytes: &[u8]| {
        let error = values::decode(bytes, 10, 0..10, &mut vec![]).unwrap_err();
        assert!(error.message().contains(what), "{bytes:?}: {error}");
    };
    // Scale, head of the integers, first, head of the page: packing + order * 8 + folded * 32 + detail * 64.
    check("too early", &[]);
    check("scale", &[30]);
    check("scale", &[3 << 6]);
    check("odd value lies outside", &[32, 1, 10, 0, 0, 0, 9, 0]);
    check("odd value lies outside", &[32, 1, 0, 10 * 8, 0, 0, 9, 0]);
    check("kind", &[0, 4, 0, 9, 0]);
    check("no page to repeat", &[0, 0, 0, 0]);
    check("packing 5", &[0, 0, 0, 5 + 8]);
    check("order", &[0, 0, 0, 1 + 3 * 8, 0]);
    check("step lies outside", &[0, 0, 0, 9, 0, 9, 2]);
    check("wider", &[0, 0, 0, 2 + 8, 0, 65]);
    check(
        "page ends too early",
        &[0, 0, 0, 2 + 8, 0, 7, 1, 2, 3, 4, 5, 6, 7],
    );
    check("detail", &[0, 0, 0, 3 + 8 + 3 * 64, 0]);
    check("code ends too early", &[0, 0, 0, 3 + 8, 0, 200, 0, 0]);
    check("not complete", &[0, 0, 0, 3 + 8, 0, 1, 0, 0]);
    check("cannot be", &[0, 0, 0, 3 + 8, 0, 1, 65, 3]);
    check("cannot be", &[0, 0, 0, 3 + 8, 0, 1, 0, 0b101_0011]);
    // A code of no bits, and nine numbers with 8 added bits each.
    check(
        "page ends too early",
        &[0, 0, 0, 3 + 8, 0, 1, 9, 3, 1, 2, 3, 4, 5, 6, 7, 8],
    );
    check("more residuals", &[0, 0, 0, 4 + 8, 0, 1, 0, 3, 1, 0, 3, 10]);
    check(
        "residual lies outside",
        &[0, 0, 0, 4 + 8, 0, 1, 6, 3, 1, 0, 3, 2, 0],
    );

    let times = |bytes: &[u8]| times::decode(bytes, 10, &mut vec![]).unwrap_err();
    assert!(times(&[0, 1, 1, 10, 2, 0, 0, 9, 0]).message().contains("jump"));
}

#[test]
fn a_column_that_was_cut_is_an_error() {
    for (name, values) in usual(600) {
        let bytes = encoded(&values, Effort::Merge);
        // A list of steps has no end of its own.
        if bytes.len() < 80 {
            continue;
        }
        let result = values::decode(&bytes[..bytes.len() - 1], 600, 0..600, &mut vec![]);
        assert!(result.is_err(), "{name}");
    }
}

#[test]
fn integers_are_exact_up_to_two_to_the_53() {
    let check = |start: f64, at_most: usize| {
        let size = round_trip(&(0..480).map(|i| start + f64::from(i) * 3.0).collect::<Vec<_>>());
        assert!(size <= at_most, "from {start}: {size} bytes");
    };
    check(4_503_599_627_370_497.0, 16);
    check(9_007_199_254_730_001.0, 16);
    check(-9_007_199_254_730_001.0, 16);
}

/// Samples whose bytes are kept: when they change, files that were written before are read no more.
fn kept() -> String {
    let mut text = String::new();
    let mut line = |name: &str, effort: Effort, bytes: &[u8]| {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(text, "{name}, {effort:?}: {hex}").unwrap();
    };
    for effort in [Effort::Flush, Effort::Merge] {
        let columns = usual(60);
        for (name, values) in &columns {
            line(name, effort, &encoded(values, effort));
        }
        let paged = counter(1100, 0.0, |at| {
            f64::from(at % 7 == 0) + f64::from(at % 40 == 0) * 3.0
        });
        line("pages", effort, &encoded(&paged, effort));
        let due: Vec<i64> = (0..60)
            .map(|at| 1_795_132_807_123 + (at + at / 25) * 15_000)
            .collect();
        let mut bytes = vec![];
        times::encode(&mut bytes, &due, effort);
        line("times", effort, &bytes);
        let late: Vec<i64> = due
            .iter()
            .enumerate()
            .map(|(at, t)| t + (noise(at, 2) * 8.0) as i64)
            .collect();
        bytes.clear();
        times::encode(&mut bytes, &late, effort);
        line("times with jitter", effort, &bytes);
        bytes.clear();
        histograms::encode(&mut bytes, &kept_histograms(), effort).unwrap();
        line("histograms", effort, &bytes);
    }
    text
}

fn kept_histograms() -> Vec<HistogramSample> {
    let mut samples = histograms::tests::scraped(5);
    samples[2].histogram.reset_hint = model::metric::ResetHint::Gauge;
    samples[4].histogram = model::metric::Histogram {
        sum: stale_nan(),
        ..Default::default()
    };
    samples
}

#[test]
fn written_bytes_stay() {
    let kept_before = include_str!("../../testdata/codec.txt");
    let now = kept();
    for (before, now) in kept_before.lines().zip(now.lines()) {
        assert_eq!(before, now);
    }
    assert_eq!(kept_before, now, "all of it:\n{now}");
}

#[test]
fn kept_bytes_are_read() {
    let kept = include_str!("../../testdata/codec.txt");
    let bytes_of = |name: &str, effort: Effort| -> Vec<u8> {
        let prefix = format!("{name}, {effort:?}: ");
        let hex = kept.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap();
        let digits: Vec<u8> = hex.chars().map(|c| c.to_digit(16).unwrap() as u8).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    };
    for effort in [Effort::Flush, Effort::Merge] {
        for (name, values) in usual(60) {
            let mut back = vec![];
            values::decode(&bytes_of(name, effort), 60, 0..60, &mut back).unwrap();
            assert_eq!(bits(&back), bits(&values), "{name}");
        }
        let mut back = vec![];
        histograms::decode(&bytes_of("histograms", effort), 5, &mut back).unwrap();
        // NaN does not equal itself, but its text does.
        assert_eq!(format!("{back:?}"), format!("{:?}", kept_histograms()));
        let mut back = vec![];
        times::decode(&bytes_of("times", effort), 60, &mut back).unwrap();
        assert_eq!(back[59], 1_795_132_807_123 + 61 * 15_000);
    }
}
