//! Days rolled up to windows: against plain arithmetic, with a clock that is moved by hand.

use super::*;
use crate::Rollup;
use crate::samples::PARTITION_MS;
use model::metric::{is_stale, stale_nan};
use model::{ErrorKind, Resolution, RolledUp};
use proptest::prelude::*;

pub(super) const HOUR_MS: i64 = 3_600_000;
pub(super) const M5: i64 = 300_000;
/// The midnight before [`NOON_MS`].
pub(super) const MIDNIGHT_MS: i64 = NOON_MS - 12 * HOUR_MS;

pub(super) fn options() -> Options {
    let rollup = |resolution_ms: i64, days: u64| Rollup {
        resolution_ms: resolution_ms as u64,
        retention_ms: days * DAY_MS as u64,
    };
    Options {
        retention_ms: Some(3 * DAY_MS as u64),
        rollups: vec![rollup(M5, 10), rollup(HOUR_MS, 30)],
        ..super::options()
    }
}

pub(super) struct Bed {
    pub fs: FaultyFs,
    pub clock: Arc<ManualClock>,
    pub store: Store,
    options: Options,
}

impl Bed {
    fn new() -> Self {
        Self::with(options())
    }
    pub(super) fn with(options: Options) -> Self {
        let (fs, clock) = (FaultyFs::new(1), clock());
        let store = open_with(&fs, options.clone(), &clock).unwrap();
        Self {
            fs,
            clock,
            store,
            options,
        }
    }
    pub(super) fn advance(&self, ms: i64) {
        self.clock.advance_ns(ms as u64 * 1_000_000);
    }
    /// Everything that upkeep does, until there is nothing more to do.
    pub(super) fn upkeep(&self) {
        self.store.maintain().unwrap();
        while self.store.merge().unwrap() {}
        self.store.maintain().unwrap();
    }
    pub(super) fn reopen(&mut self) {
        self.store.close().unwrap();
        self.store = open_with(&self.fs, self.options.clone(), &self.clock).unwrap();
    }
    /// Parts by resolution.
    pub(super) fn parts(&self) -> BTreeMap<u64, usize> {
        let tenant = self.store.tenant(&Name::default());
        let mut parts = BTreeMap::new();
        for meta in tenant.map(|t| t.part_metas()).unwrap_or_default() {
            *parts.entry(meta.resolution_ms).or_default() += 1;
        }
        parts
    }
}

/// A request of the engine for a function over a range.
pub(super) fn asking(function: &str, resolution: Resolution) -> ScanRequest {
    let mut request = everything();
    request.hints.resolution = resolution;
    if !function.is_empty() {
        request.hints.function = Some(function.to_owned());
        request.hints.range_ms = HOUR_MS;
    }
    request
}

/// The only series of an answer.
fn answer(store: &Store, request: &ScanRequest) -> SeriesData {
    let mut rows = store.scan(request).unwrap().rows();
    let first = rows.next().transpose().unwrap().unwrap_or_default();
    assert!(rows.next().is_none());
    first
}

/// What is known of a window by looking at all samples: count, sum, min, max, last, increase, and whether a marker came
/// last.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Window {
    pub of_samples: Option<[f64; 6]>,
    has_ended: bool,
}

pub(super) type Samples = BTreeMap<i64, f64>;

fn growth(before: f64, after: f64) -> f64 {
    if after < before { after } else { after - before }
}

pub(super) fn windows(samples: &Samples, resolution_ms: i64) -> BTreeMap<i64, Window> {
    let end_of = |t: i64| (t - 1).div_euclid(resolution_ms) * resolution_ms + resolution_ms;
    let mut by_end: BTreeMap<i64, Vec<(i64, f64)>> = BTreeMap::new();
    for (time, value) in samples {
        by_end.entry(end_of(*time)).or_default().push((*time, *value));
    }
    let window = |(end, all): (i64, Vec<(i64, f64)>)| {
        let has_ended = all.last().is_some_and(|s| is_stale(s.1));
        let real: Vec<(i64, f64)> = all.into_iter().filter(|s| !is_stale(s.1)).collect();
        // The sample before is looked for in the same day and in the one before.
        let day = (end - 1).div_euclid(PARTITION_MS) * PARTITION_MS;
        let start = end - resolution_ms;
        let before = samples
            .range(day - PARTITION_MS + 1..=start)
            .rfind(|s| !is_stale(*s.1));
        let chain: Vec<f64> = before
            .map(|s| *s.1)
            .into_iter()
            .chain(real.iter().map(|s| s.1))
            .collect();
        let values = || real.iter().map(|s| s.1);
        let of_samples = real.last().map(|last| {
            [
                real.len() as f64,
                values().sum(),
                values().fold(f64::INFINITY, f64::min),
                values().fold(f64::NEG_INFINITY, f64::max),
                last.1,
                chain.windows(2).map(|w| growth(w[0], w[1])).sum(),
            ]
        });
        (
            end,
            Window {
                of_samples,
                has_ended,
            },
        )
    };
    by_end.into_iter().map(window).collect()
}

/// Points that an answer must have: each with the width of its window, 0 for a sample as it came.
pub(super) fn points(samples: &Samples, rolled_up: &[RolledUp], from_ms: i64) -> Vec<(i64, i64, Window)> {
    let mut points = Vec::new();
    for (time, value) in samples.range(from_ms..) {
        if !rolled_up
            .iter()
            .any(|s| s.after_ms < *time && *time <= s.until_ms)
        {
            let of_samples = Some([1.0, *value, *value, *value, *value, 0.0]);
            let window = Window {
                of_samples,
                has_ended: false,
            };
            points.push((*time, 0, window));
        }
    }
    for stretch in rolled_up {
        for (end, window) in windows(samples, stretch.resolution_ms) {
            if stretch.after_ms < end && end <= stretch.until_ms {
                points.push((end, stretch.resolution_ms, window));
            }
        }
    }
    points.sort_by_key(|p| p.0);
    points
}

/// Compares the answers for all columns with what looking at all samples gives. Gives back the stretches of windows.
fn check(store: &Store, samples: &Samples, resolution: Resolution, first_ms: i64) -> Arc<[RolledUp]> {
    let stretches = answer(store, &asking("", resolution)).rolled_up;
    assert!(stretches.is_sorted_by(|a, b| a.until_ms <= b.after_ms));
    let expected = points(samples, &stretches, first_ms);
    let columns = [
        ("count_over_time", 0),
        ("sum_over_time", 1),
        ("avg_over_time", 1),
        ("min_over_time", 2),
        ("max_over_time", 3),
        ("last_over_time", 4),
    ];
    let bits = |points: Vec<(i64, f64)>| -> Vec<(i64, u64)> {
        points.into_iter().map(|(t, v)| (t, v.to_bits())).collect()
    };
    for (function, column) in columns {
        let data = answer(store, &asking(function, resolution));
        let of_column = expected.iter().filter_map(|(t, r, w)| {
            let columns = w.of_samples?;
            // Of samples as they came, the value.
            Some((*t, columns[if *r == 0 { 4 } else { column }]))
        });
        let got = data
            .timestamps_ms
            .iter()
            .copied()
            .zip(data.values.iter().copied());
        same(&bits(got.collect()), &bits(of_column.collect()), function);
        if matches!(function, "count_over_time" | "avg_over_time") {
            let counts = expected
                .iter()
                .filter_map(|(_, _, w)| w.of_samples.map(|c| c[0] as u32));
            let counts: Vec<u32> = counts.collect();
            let ours = match data.counts.is_empty() {
                true => vec![1; counts.len()],
                false => data.counts.clone(),
            };
            assert_eq!(ours, counts, "{function}");
        }
    }
    check_instants(store, &expected, resolution);
    check_counter(store, &expected, resolution);
    stretches
}

/// Shows the first difference only.
pub(super) fn same<T: PartialEq + std::fmt::Debug>(got: &[T], expected: &[T], what: &str) {
    let at = (0..got.len().max(expected.len())).find(|i| got.get(*i) != expected.get(*i));
    if let Some(at) = at {
        panic!("{what}: {:?} instead of {:?}", got.get(at), expected.get(at));
    }
}

/// An instant selector sees the last values, and where a series had ended.
fn check_instants(store: &Store, expected: &[(i64, i64, Window)], resolution: Resolution) {
    let data = answer(store, &asking("", resolution));
    let instants = expected
        .iter()
        .map(|(t, _, w)| match (w.has_ended, w.of_samples) {
            (false, Some(columns)) => (*t, columns[4].to_bits()),
            _ => (*t, stale_nan().to_bits()),
        });
    let got = data
        .timestamps_ms
        .iter()
        .zip(&data.values)
        .map(|(t, v)| (*t, v.to_bits()));
    same(
        &got.collect::<Vec<_>>(),
        &instants.collect::<Vec<_>>(),
        "instants",
    );
}

/// A counter's neighbours differ by what it grew; what follows the last window stays as it came.
fn check_counter(store: &Store, expected: &[(i64, i64, Window)], resolution: Resolution) {
    let data = answer(store, &asking("rate", resolution));
    let real: Vec<_> = expected
        .iter()
        .filter(|(_, _, w)| w.of_samples.is_some_and(|c| !is_stale(c[4])))
        .map(|(t, r, w)| (*t, *r, w.of_samples.unwrap_or_default()))
        .collect();
    let got = data
        .timestamps_ms
        .iter()
        .copied()
        .zip(data.values.iter().copied());
    let mut got: Vec<(i64, f64)> = got.filter(|(_, v)| !is_stale(*v)).collect();
    if let Some((first, resolution_ms, columns)) = real.first().filter(|p| p.1 > 0) {
        let before = got.remove(0);
        assert_eq!(before.0, first - resolution_ms);
        assert_eq!(got[0].1 - before.1, columns[5]);
    }
    assert_eq!(
        got.iter().map(|p| p.0).collect::<Vec<_>>(),
        real.iter().map(|p| p.0).collect::<Vec<_>>()
    );
    let last_window = real.iter().rposition(|p| p.1 > 0);
    for (i, (_, resolution_ms, columns)) in real.iter().enumerate() {
        if last_window.is_none_or(|last| i >= last) {
            assert_eq!(got[i].1, columns[4], "as it came");
        } else {
            assert!(
                got[i].1 <= got[i + 1].1 || last_window == Some(i),
                "no false reset"
            );
        }
        if i > 0 && last_window.is_some_and(|last| i <= last) {
            let grown = match resolution_ms {
                0 => growth(real[i - 1].2[4], columns[4]),
                _ => columns[5],
            };
            assert_eq!(got[i].1 - got[i - 1].1, grown);
        }
    }
}

/// 15 minutes of data for each hour of some days, at odd and even times; a counter with resets.
pub(super) fn some_days(days: std::ops::Range<i64>) -> Samples {
    let mut samples = Samples::new();
    for hour in days.start * 24..days.end * 24 {
        for i in 0..15 {
            let time = MIDNIGHT_MS + hour * HOUR_MS + i * 60_000 + if i % 2 == 0 { 0 } else { 17 };
            samples.insert(time, (hour * 15 + i).rem_euclid(50) as f64);
        }
    }
    samples
}

fn put_all(store: &Store, samples: &Samples) {
    let samples: Vec<(i64, f64)> = samples.iter().map(|(t, v)| (*t, *v)).collect();
    let outcome = put(store, &samples);
    assert_eq!(outcome.rejected_count(), 0);
}

fn stretch(after_ms: i64, until_ms: i64, resolution_ms: i64) -> RolledUp {
    RolledUp {
        after_ms,
        until_ms,
        resolution_ms,
    }
}

#[test]
fn windows_take_over_where_the_samples_end() {
    let mut bed = Bed::new();
    let samples = some_days(-2..1);
    put_all(&bed.store, &samples);
    bed.upkeep();
    assert_eq!(bed.parts().get(&(M5 as u64)), None, "nobody waits an hour");
    // The day before yesterday has its windows when yesterday is over for three hours, and it was quiet for one.
    bed.upkeep();
    bed.advance(HOUR_MS);
    bed.store.flush().unwrap();
    bed.upkeep();
    bed.advance(HOUR_MS);
    bed.upkeep();
    // Its midnight belongs to a window of the day before that.
    assert_eq!(bed.parts()[&(M5 as u64)], 2);
    assert_eq!(bed.parts()[&(HOUR_MS as u64)], 2);
    let merged = bed.parts();
    bed.upkeep();
    bed.reopen();
    bed.advance(2 * HOUR_MS);
    bed.upkeep();
    assert_eq!(bed.parts(), merged, "once");

    for days in 1..=9 {
        bed.advance(DAY_MS);
        bed.upkeep();
        bed.advance(HOUR_MS);
        bed.upkeep();
        let now = bed.clock.now_ms();
        let first = now - 3 * DAY_MS;
        let all = check(&bed.store, &samples, Resolution::Auto, 0);
        let up = |t: i64| (t - 1).div_euclid(HOUR_MS) * HOUR_MS + HOUR_MS;
        let raw_ends = samples.last_key_value().map(|s| *s.0).unwrap_or_default();
        if days == 2 {
            let kept = all.last().copied().unwrap_or(stretch(0, 0, 0));
            assert_eq!((kept.until_ms, kept.resolution_ms), (up(first), M5));
        }
        if first > raw_ends + DAY_MS {
            assert_eq!(bed.parts().get(&0), None, "day {days}: the samples have gone");
        }
        check(&bed.store, &samples, Resolution::AtMost(HOUR_MS), 0);
        check(&bed.store, &samples, Resolution::AtMost(M5), 0);
    }
    let stretches = answer(&bed.store, &asking("", Resolution::Auto)).rolled_up;
    let widths: Vec<i64> = stretches.iter().map(|s| s.resolution_ms).collect();
    assert_eq!(widths, [HOUR_MS, M5]);
    let request = asking("", Resolution::Auto);
    answer(&bed.store, &request);
    let noted = request.budget.rolled_up();
    assert_eq!(
        noted.iter().map(|s| s.resolution_ms).collect::<Vec<_>>(),
        [HOUR_MS, M5]
    );
    assert_eq!(bed.store.label_values(&request, "job").unwrap(), ["a"]);
    assert_eq!(bed.store.series(&request).unwrap().len(), 1);
    let raw = asking("", Resolution::Raw);
    assert!(answer(&bed.store, &raw).timestamps_ms.is_empty());
    assert!(raw.budget.rolled_up().is_empty());
    assert!(bed.store.series(&raw).unwrap().is_empty());
    bed.advance(30 * DAY_MS);
    bed.upkeep();
    assert!(bed.parts().is_empty(), "windows have a retention, too");
}

#[test]
fn late_data_is_rolled_up_when_it_is_quiet_or_the_samples_must_go() {
    let bed = Bed::new();
    let mut samples = some_days(-1..0);
    put_all(&bed.store, &samples);
    bed.advance(DAY_MS + 4 * HOUR_MS);
    bed.store.compact().unwrap();
    check(&bed.store, &samples, Resolution::AtMost(M5), 0);
    let before = samples.clone();
    let late = |samples: &mut Samples, minute: i64| {
        let one = Samples::from([(MIDNIGHT_MS - DAY_MS + minute * 60_000, 1000.0)]);
        put_all(&bed.store, &one);
        samples.extend(one);
        bed.store.flush().unwrap();
    };
    late(&mut samples, 17);
    bed.upkeep();
    bed.advance(HOUR_MS / 2);
    bed.upkeep();
    check(&bed.store, &before, Resolution::AtMost(M5), 0);
    late(&mut samples, 18);
    bed.upkeep();
    bed.advance(HOUR_MS - 1);
    bed.upkeep();
    check(&bed.store, &before, Resolution::AtMost(M5), 0);
    bed.advance(1);
    bed.upkeep();
    check(&bed.store, &samples, Resolution::AtMost(M5), 0);
    // Shortly before the end of the retention nothing is waited for.
    bed.advance(DAY_MS + 6 * HOUR_MS);
    late(&mut samples, 23 * 60 + 50);
    bed.advance(HOUR_MS);
    bed.store.maintain().unwrap();
    assert!(bed.parts().contains_key(&0), "the samples wait for their windows");
    bed.upkeep();
    assert_eq!(bed.parts().get(&0), None);
    check(&bed.store, &samples, Resolution::Auto, 0);
}

#[test]
fn histograms_stay_at_their_own_times() {
    let bed = Bed::new();
    let time = |i: i64| MIDNIGHT_MS - DAY_MS + i * 60_000;
    let counts = [1.0, 2.0, 3.0, 1.0, 4.0, 5.0];
    let mut one = series(labels("up", "a"), &[]);
    one.histograms = (1..).zip(counts).map(|(i, n)| histogram(time(i), n)).collect();
    now(bed.store.write(batch(vec![one]))).unwrap();
    bed.advance(DAY_MS + 4 * HOUR_MS);
    bed.store.compact().unwrap();
    let kept = |resolution| {
        let data = answer(&bed.store, &asking("rate", resolution));
        let shown = |h: &HistogramSample| {
            let minute = (h.timestamp_ms - time(0)) / 60_000;
            (minute, h.histogram.count, h.histogram.reset_hint)
        };
        data.histograms.iter().map(shown).collect::<Vec<_>>()
    };
    assert_eq!(kept(Resolution::Auto).len(), 6);
    // Before the reset, at the end of the first window, and of the second. That there was a reset would not show.
    use model::metric::ResetHint::{NotReset, Reset, Unknown};
    let of_5m = [(3, 3.0, Unknown), (5, 4.0, Reset), (6, 5.0, NotReset)];
    assert_eq!(kept(Resolution::AtMost(M5)), of_5m);
    let of_1h = [(3, 3.0, Unknown), (6, 5.0, Reset)];
    assert_eq!(kept(Resolution::AtMost(HOUR_MS)), of_1h);
}

#[test]
fn a_histogram_at_midnight_is_there_once_whatever_is_rolled_up() {
    let bed = Bed::new();
    let times = [-DAY_MS, -60_000, 0, 60_000].map(|ms| MIDNIGHT_MS + ms);
    let mut one = series(labels("up", "a"), &[(MIDNIGHT_MS, 1.0)]);
    one.histograms = (1..)
        .zip(times)
        .map(|(n, time)| histogram(time, f64::from(n)))
        .collect();
    now(bed.store.write(batch(vec![one]))).unwrap();
    let check = |bed: &Bed| {
        for resolution in [Resolution::Auto, Resolution::AtMost(M5)] {
            let mut request = asking("rate", resolution);
            let found = |request: &ScanRequest| {
                let data = answer(&bed.store, request);
                data.histograms.iter().map(|h| h.timestamp_ms).collect::<Vec<_>>()
            };
            assert_eq!(found(&request), times, "{resolution:?}");
            // Asked from that midnight on it comes, too, and asked from later on it does not.
            request.range = TimeRange {
                start_ns: MIDNIGHT_MS * 1_000_000,
                end_ns: (MIDNIGHT_MS + DAY_MS) * 1_000_000,
            };
            assert!(found(&request).ends_with(&times[2..]), "{resolution:?}");
        }
    };
    check(&bed);
    // The day before is rolled up, then both are.
    bed.advance(4 * HOUR_MS);
    for of_5m in [1, 2] {
        bed.advance(DAY_MS);
        bed.store.compact().unwrap();
        assert_eq!(bed.parts()[&(M5 as u64)], of_5m);
        check(&bed);
    }
}

#[test]
fn damage_delays_the_retention_for_days_and_no_longer() {
    let bed = Bed::new();
    let mut samples = some_days(-1..0);
    samples.pop_first();
    put_all(&bed.store, &samples);
    bed.store.flush().unwrap();
    let file = bed
        .fs
        .snapshot()
        .into_iter()
        .find(|(_, bytes)| bytes.get(8..12) == Some(b"SMPL"))
        .unwrap()
        .0;
    bed.fs.flip_bit(&file, 64 * 8);
    let metrics = &bed.store.inner.context.metrics;
    bed.advance(DAY_MS + 4 * HOUR_MS);
    bed.store.merge().unwrap();
    bed.advance(HOUR_MS);
    assert_eq!(bed.store.merge().unwrap_err().kind(), ErrorKind::Corrupt);
    assert!(!bed.store.merge().unwrap(), "not again at once");
    assert_eq!(metrics.roll_up_failed.get(), 1);
    for _ in 0..4 {
        bed.advance(DAY_MS);
        drop(bed.store.merge());
        bed.store.maintain().unwrap();
        assert!(bed.parts().contains_key(&0));
    }
    assert!(metrics.roll_up_failed.get() > 3);
    bed.advance(DAY_MS);
    drop(bed.store.merge());
    bed.store.maintain().unwrap();
    assert_eq!((bed.parts().len(), metrics.roll_up_given_up.get()), (0, 1));
}

#[test]
fn widths_that_do_not_fit_are_refused() {
    let open = |widths: &[u64]| {
        let rollup = |resolution_ms: &u64| Rollup {
            resolution_ms: *resolution_ms,
            retention_ms: 1,
        };
        let options = Options {
            rollups: widths.iter().map(rollup).collect(),
            ..super::options()
        };
        open_with(&FaultyFs::new(1), options, &clock()).map(drop)
    };
    open(&[300_000, 3_600_000]).unwrap();
    open(&[3_600_000]).unwrap();
    for bad in [
        &[0][..],
        &[7_000],
        &[300_000, 300_000],
        &[120_000, 300_000],
        &[86_400_000],
    ] {
        assert_eq!(open(bad).unwrap_err().kind(), ErrorKind::BadData, "{bad:?}");
    }
}

#[derive(Debug, Clone)]
enum Step {
    Write(Vec<(i64, f64)>),
    Flush,
    Upkeep,
    Compact,
    Reopen,
    Advance(i64),
}

/// Hours before now, and a bit; often at or beside full hours, and so at midnights.
fn any_age() -> impl Strategy<Value = i64> {
    let hours = 0i64..72;
    prop_oneof![
        3 => hours.clone().prop_map(|h| h * HOUR_MS),
        1 => hours.clone().prop_map(|h| h * HOUR_MS + 1),
        1 => hours.clone().prop_map(|h| h * HOUR_MS - 1),
        4 => (hours, 0i64..60).prop_map(|(h, m)| h * HOUR_MS + m * 60_000),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    let value = prop_oneof![9 => (0u32..60).prop_map(f64::from), 1 => Just(stale_nan())];
    prop_oneof![
        8 => prop::collection::vec((any_age(), value), 1..25).prop_map(Step::Write),
        2 => Just(Step::Flush),
        3 => Just(Step::Upkeep),
        1 => Just(Step::Compact),
        1 => Just(Step::Reopen),
        6 => (1i64..30).prop_map(|h| Step::Advance(h * HOUR_MS)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]
    #[test]
    fn windows_say_what_the_samples_said(steps in prop::collection::vec(any_step(), 1..40)) {
        let mut bed = Bed::new();
        let mut samples = Samples::new();
        for step in steps {
            match step {
                Step::Write(points) => {
                    // Ages are those at a full hour.
                    let now_ms = bed.clock.now_ms();
                    let first_ms = now_ms - 3 * DAY_MS;
                    let points: Vec<_> = points.into_iter().map(|(age, v)| (now_ms - age, v)).filter(|p| p.0 >= first_ms).collect();
                    put(&bed.store, &points);
                    samples.extend(points);
                }
                Step::Flush => bed.store.flush().unwrap(),
                Step::Upkeep => bed.upkeep(),
                Step::Compact => bed.store.compact().unwrap(),
                Step::Reopen => bed.reopen(),
                Step::Advance(ms) => {
                    bed.advance(ms);
                    bed.store.maintain().unwrap();
                }
            }
        }
        bed.store.compact().unwrap();
        bed.store.maintain().unwrap();
        for resolution in [Resolution::Auto, Resolution::AtMost(M5), Resolution::AtMost(HOUR_MS)] {
            check(&bed.store, &samples, resolution, i64::MIN);
        }
        bed.advance(4 * DAY_MS);
        bed.upkeep();
        bed.advance(HOUR_MS);
        bed.upkeep();
        prop_assert!(!bed.parts().contains_key(&0));
        check(&bed.store, &samples, Resolution::Auto, i64::MIN);
    }
}
