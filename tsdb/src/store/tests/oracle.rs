//! The store gives the same answers as the plain store, whatever happens in between.

use super::*;
use model::plain::PlainStore;
use model::{MatchOp, Matcher};
use proptest::prelude::*;
use std::path::PathBuf;

#[derive(Debug, Clone)]
enum Step {
    Write(Option<u64>, Vec<Series>),
    Flush,
    Merge,
    Compact,
    Snapshot,
    Reopen,
    Kill,
    Delete(Predicate, i64, i64),
    Clean,
}

fn any_labels() -> impl Strategy<Value = Labels> {
    let value = prop_oneof![Just(""), Just("a"), Just("b"), Just("ab")];
    (0u8..3, value.clone(), value).prop_map(|(name, job, pod)| {
        Labels::from_pairs([
            ("__name__", format!("m{name}")),
            ("job", job.to_owned()),
            ("pod", pod.to_owned()),
        ])
    })
}

/// Times over three days, many of them equal or out of order.
fn any_time() -> impl Strategy<Value = i64> {
    prop_oneof![
        (-100i64..100).prop_map(|s| NOON_MS + s * 1000),
        (-30i64..30).prop_map(|h| NOON_MS + h * 3_600_000)
    ]
}

fn any_value() -> impl Strategy<Value = f64> {
    let odd = [
        model::metric::STALE_NAN_BITS,
        (-0.0f64).to_bits(),
        f64::NAN.to_bits() | 77,
        f64::INFINITY.to_bits(),
    ];
    prop_oneof![
        4 => (0u32..4).prop_map(f64::from),
        1 => any::<u64>().prop_map(f64::from_bits),
        1 => prop::sample::select(odd.to_vec()).prop_map(f64::from_bits)
    ]
}

fn any_series() -> impl Strategy<Value = Series> {
    let samples = prop::collection::vec((any_time(), any_value()), 0..12);
    let histograms = prop::collection::vec((any_time(), 0u8..4, any_hint()), 0..3);
    let starts = prop::option::weighted(
        0.3,
        prop::collection::vec(prop::sample::select(vec![0, 5, 7]), 12),
    );
    (any_labels(), samples, histograms, starts).prop_map(|(labels, samples, histograms, starts)| {
        let mut series = series(labels, &samples);
        let starts = starts.map(|starts| starts[..samples.len()].to_vec());
        series.start_timestamps_ms = starts.unwrap_or_default();
        series.histograms = histograms
            .into_iter()
            .map(|(t, n, hint)| {
                let mut sample = histogram(t, f64::from(n));
                sample.histogram.reset_hint = hint;
                sample
            })
            .collect();
        series
    })
}

fn any_hint() -> impl Strategy<Value = ResetHint> {
    prop_oneof![
        4 => Just(ResetHint::Unknown),
        1 => prop::sample::select(vec![ResetHint::Reset, ResetHint::NotReset, ResetHint::Gauge])
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (prop::option::of(1u64..6), prop::collection::vec(any_series(), 0..6)).prop_map(|(o, s)| Step::Write(o, s)),
        2 => Just(Step::Flush),
        2 => Just(Step::Merge),
        1 => Just(Step::Compact),
        1 => Just(Step::Snapshot),
        1 => Just(Step::Reopen),
        1 => Just(Step::Kill),
        2 => (any_predicate(), any_time(), -5i64..100_000_000).prop_map(|(p, start, len)| Step::Delete(p, start, start + len)),
        1 => Just(Step::Clean),
    ]
}

fn any_predicate() -> impl Strategy<Value = Predicate> {
    let name = prop::sample::select(vec!["__name__", "job", "pod", "none"]);
    let text = prop::sample::select(vec!["", "m1", "a", "b", "a|b", "a.*", ".*", ".+", "m[02]"]);
    let op = prop::sample::select(vec![
        MatchOp::Equal,
        MatchOp::NotEqual,
        MatchOp::Regex,
        MatchOp::NotRegex,
    ]);
    let leaf = (name, op, text).prop_map(|(n, o, t)| Predicate::Label(Matcher::new(n, o, t).unwrap()));
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Predicate::And),
            prop::collection::vec(inner.clone(), 0..3).prop_map(Predicate::Or),
            inner.prop_map(|p| Predicate::Not(Box::new(p)))
        ]
    })
}

fn write(store: &dyn Write<Metrics>, step: &Step) -> Option<WriteOutcome> {
    let Step::Write(sequence, series) = step else {
        return None;
    };
    let mut batch = batch(series.clone());
    batch.origin = sequence.map(origin);
    Some(now(store.write(batch)).unwrap())
}

/// Answers to labels, values and series hold at least what the plain store says, and nothing that is not there at
/// any time: the range counts by chunk.
fn compare_names(store: &Store, plain: &PlainStore, request: &ScanRequest) {
    type Ask = Box<dyn Fn(&dyn Read<SeriesData>, &ScanRequest) -> Vec<String>>;
    let asks: [Ask; 3] = [
        Box::new(|s, r| s.label_names(r).unwrap()),
        Box::new(|s, r| s.label_values(r, "job").unwrap()),
        Box::new(|s, r| s.series(r).unwrap().iter().map(ToString::to_string).collect()),
    ];
    let mut all = request.clone();
    all.range = TimeRange::ALL;
    for ask in asks {
        let (ours, least, most) = (ask(store, request), ask(plain, request), ask(plain, &all));
        assert!(
            least.iter().all(|x| ours.contains(x)),
            "{ours:?} lacks some of {least:?}"
        );
        assert!(
            ours.iter().all(|x| most.contains(x)),
            "{ours:?} has more than {most:?}"
        );
        assert_eq!(ask(store, &all), most);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]
    #[test]
    fn the_store_answers_like_the_plain_store(
        steps in prop::collection::vec(any_step(), 1..25),
        asks in prop::collection::vec((any_predicate(), any_time(), -5i64..200_000_000), 1..5),
        cache_bytes in prop::sample::select(vec![0, 3000, 1 << 20]),
        links in any::<bool>(),
    ) {
        let (fs, clock, plain) = (FaultyFs::new(1), clock(), PlainStore::default());
        let mut snapshots = Vec::new();
        fs.set_links(links);
        let options = Options { cache_bytes, ..options() };
        let mut store = open_with(&fs, options.clone(), &clock).unwrap();
        for step in steps {
            match &step {
                Step::Write(..) => {
                    let (ours, expected) = (write(&store, &step).unwrap(), write(&plain, &step).unwrap());
                    prop_assert_eq!(ours, expected);
                }
                Step::Flush => store.flush().unwrap(),
                Step::Merge => {
                    store.maintain().unwrap();
                    store.merge().unwrap();
                }
                Step::Compact => {
                    store.compact().unwrap();
                    prop_assert!(store.stats().parts <= 5 && store.stats().head_samples == 0);
                }
                Step::Delete(predicate, start, end) => {
                    let predicates = std::slice::from_ref(predicate);
                    store.delete(&Name::default(), predicates, (*start, *end), &Budget::unlimited()).unwrap();
                    plain.delete_metrics(&Name::default(), predicate, (*start, *end));
                }
                Step::Clean => {
                    store.clean().unwrap();
                    prop_assert_eq!(store.stats().tombstones, 0);
                }
                Step::Snapshot => {
                    let to = PathBuf::from(format!("/snapshots/{}", snapshots.len()));
                    let taken = store.snapshot(&to, false).unwrap();
                    prop_assert_eq!(taken.copied_bytes, if links { 0 } else { taken.bytes });
                    snapshots.push((to, rows(&plain, &everything()).unwrap()));
                }
                Step::Reopen | Step::Kill => {
                    if matches!(step, Step::Reopen) {
                        store.close().unwrap();
                    }
                    drop(store);
                    fs.kill();
                    store = open_with(&fs, options.clone(), &clock).unwrap();
                }
            }
        }
        prop_assert_eq!(rows(&store, &everything()).unwrap(), rows(&plain, &everything()).unwrap());
        for (path, expected) in snapshots {
            let opened = Store::open(Arc::new(fs.clone()), &path, options.clone(), clock.clone(), &NoMeter).unwrap();
            prop_assert_eq!(rows(&opened, &everything()).unwrap(), expected);
        }
        for (predicate, start, len) in asks {
            let request = request(predicate, start, start + len);
            prop_assert_eq!(rows(&store, &request).unwrap(), rows(&plain, &request).unwrap());
            compare_names(&store, &plain, &request);
        }
    }
}
