//! The head against a map.

use super::*;
use model::metric::Histogram;
use proptest::prelude::*;

/// One series after another: samples by time, and the start of each.
type Model = BTreeMap<SeriesId, BTreeMap<i64, (u64, i64)>>;

fn sample() -> impl Strategy<Value = (u32, i64, u64, i64)> {
    let time = prop_oneof![
        6 => 1_000i64..1_060,
        1 => any::<i64>(),
        1 => Just(i64::from(i32::MAX) + 2_000),
    ];
    (
        0u32..4,
        time,
        0u64..6,
        prop_oneof![Just(0i64), Just(100), Just(200)],
    )
}

fn run_of(head: &Head, slot: u32, range: (i64, i64)) -> Run {
    let mut run = Run::default();
    head.copy(u64::from(slot) + 10, Some(slot), range, &mut run);
    run
}

/// The start of each sample, from the steps of a run.
fn starts_of(run: &Run) -> Vec<i64> {
    let start = |time: &i64| {
        let after = run.starts.partition_point(|(from, _)| from <= time);
        after.checked_sub(1).map_or(0, |at| run.starts[at].1)
    };
    run.times.iter().map(start).collect()
}

proptest! {
    #[test]
    fn a_head_is_a_map(samples in prop::collection::vec(sample(), 0..200), range in (990i64..1_070, 990i64..1_070)) {
        let (mut head, mut model) = (Head::default(), Model::new());
        let mut replaced = 0;
        for (slot, time, value, start) in &samples {
            let id = u64::from(*slot) + 10;
            let put = head.push(*slot, id, *time, f64::from_bits(*value), *start);
            replaced += u64::from(put == Put::Replaced);
            model.entry(id).or_default().insert(*time, (*value, *start));
        }
        for everything in [true, false] {
            let range = if everything { (i64::MIN, i64::MAX) } else { range };
            for slot in 0..4u32 {
                let run = run_of(&head, slot, range);
                let expected: Vec<_> = model.get(&(u64::from(slot) + 10)).into_iter().flatten()
                    .filter(|(t, _)| range.0 <= **t && **t <= range.1).collect();
                prop_assert_eq!(&run.times, &expected.iter().map(|(t, _)| **t).collect::<Vec<_>>());
                prop_assert_eq!(run.values.iter().map(|v| v.to_bits()).collect::<Vec<_>>(), expected.iter().map(|(_, v)| v.0).collect::<Vec<_>>());
                let id = u64::from(slot) + 10;
                prop_assert_eq!(head.has_any(id, Some(slot), range), !expected.is_empty());
                if everything {
                    prop_assert_eq!(starts_of(&run), expected.iter().map(|(_, v)| v.1).collect::<Vec<_>>());
                }
            }
        }
        prop_assert!(replaced as usize <= samples.len());
        let there: Vec<_> = head.series().into_iter().map(|(id, _)| id).collect();
        prop_assert_eq!(there, model.keys().copied().collect::<Vec<_>>());
    }
}

#[test]
fn a_slot_that_changed_hands_mixes_nothing_up() {
    let mut head = Head::default();
    assert_eq!(head.push(3, 10, 1, 0.5, 0), Put::Appended);
    assert_eq!(head.push(3, 11, 2, 1.5, 0), Put::Late);
    let mut run = Run::default();
    head.copy(11, Some(3), (i64::MIN, i64::MAX), &mut run);
    assert_eq!((run.times, run.values), (vec![2], vec![1.5]));
    let mut run = Run::default();
    head.copy(10, Some(3), (i64::MIN, i64::MAX), &mut run);
    assert_eq!((run.times, run.values), (vec![1], vec![0.5]));
    assert_eq!(head.series(), [(10, Some(3)), (11, None)]);
}

#[test]
fn of_equal_histograms_the_later_one_counts() {
    let mut head = Head::default();
    for (time, count) in [(5, 1.0), (3, 2.0), (5, 3.0)] {
        head.push_histogram(
            1,
            HistogramSample {
                timestamp_ms: time,
                start_timestamp_ms: 0,
                histogram: Histogram {
                    count,
                    ..Histogram::default()
                },
            },
        );
    }
    let mut run = Run::default();
    assert_eq!(head.copy(1, None, (i64::MIN, i64::MAX), &mut run), 1);
    let counts: Vec<_> = run
        .histograms
        .iter()
        .map(|h| (h.timestamp_ms, h.histogram.count))
        .collect();
    assert_eq!(counts, [(3, 2.0), (5, 3.0)]);
}

#[test]
fn an_exemplar_said_again_is_kept_once() {
    let mut head = Head::default();
    let exemplar = Exemplar {
        labels: model::Labels::from_pairs([("trace_id", "a")]),
        timestamp_ms: 1,
        value: 2.0,
    };
    assert!(head.push_exemplar(1, exemplar.clone()));
    assert!(!head.push_exemplar(1, exemplar));
}

#[test]
fn memory_is_a_few_bytes_a_sample() {
    let mut head = Head::default();
    let (mut bytes, mut fills) = (0, 0);
    // A head of many series is flushed at a dozen samples for each, so this is what it takes on the average.
    for scrape in 0..12 {
        for slot in 0..10_000 {
            head.push(slot, u64::from(slot) + 1, scrape * 15_000, 1.0, 0);
        }
        (bytes, fills) = (bytes + head.size_bytes(), fills + 10_000);
    }
    let bytes = bytes as f64 / f64::from(fills);
    assert!(bytes < 200.0, "{bytes} bytes a series");
}
