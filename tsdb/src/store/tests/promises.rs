//! One test for each promise.

use super::*;
use crate::samples::PARTITION_MS;
use model::{BudgetLimits, ErrorKind, Matcher};
use storage::Durability;
use storage::faulty_fs::Operation;

/// The part files with a tag.
fn files(fs: &FaultyFs, tag: &[u8]) -> Vec<std::path::PathBuf> {
    let is_one = |(path, bytes): (std::path::PathBuf, Vec<u8>)| {
        let is_part = path.extension().is_some_and(|e| e == "part") && bytes.get(8..12) == Some(tag);
        is_part.then_some(path)
    };
    fs.snapshot().into_iter().filter_map(is_one).collect()
}

fn at(i: i64) -> i64 {
    NOON_MS + i * 15_000
}

#[test]
fn acknowledged_means_on_disk() {
    let fs = FaultyFs::new(3);
    for i in 0..20 {
        let store = open(&fs);
        assert_eq!(put(&store, &[(at(i), i as f64)]).accepted, 1);
        if i % 4 == 3 {
            store.flush().unwrap();
        }
        fs.crash();
        // The old process is dead: its handles fail, and it acknowledges nothing any more.
        let e = now(store.write(batch(vec![series(labels("up", "a"), &[(at(99), 0.0)])]))).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unavailable);
    }
    let expected: Vec<_> = (0..20).map(|i| (at(i), i as f64)).collect();
    assert_eq!(samples(&open(&fs)), expected);
}

#[test]
fn a_committer_with_a_thread_does_the_same() {
    let temp = tempfile::tempdir().unwrap();
    let options = Options {
        commit: CommitOptions::default(),
        ..options()
    };
    let open = || {
        let fs = Arc::new(storage::RealFs);
        Store::open(fs, temp.path(), options.clone(), clock(), &NoMeter).unwrap()
    };
    let store = open();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let writes = (0..50).map(|i| store.write(batch(vec![series(labels("up", "a"), &[(at(i), 1.0)])])));
    for write in writes {
        assert_eq!(runtime.block_on(write).unwrap().accepted, 1);
    }
    store.close().unwrap();
    drop(store);
    assert_eq!(samples(&open()).len(), 50);
}

#[test]
fn a_retry_shows_once_also_after_the_log_is_gone() {
    let fs = FaultyFs::new(1);
    let write = |store: &Store, sequence: u64, value: f64| {
        let mut batch = batch(vec![series(labels("up", "a"), &[(at(sequence as i64), value)])]);
        batch.origin = Some(origin(sequence));
        now(store.write(batch)).unwrap()
    };
    let store = open(&fs);
    assert_eq!(write(&store, 1, 1.0).accepted, 1);
    assert_eq!(write(&store, 2, 2.0).accepted, 1);
    let again = write(&store, 1, 99.0);
    assert_eq!((again.accepted, again.duplicates), (0, 1));
    store.flush().unwrap();
    assert_eq!(store.stats().log_bytes, log_tail(&fs), "old segments are gone");
    drop(store);
    fs.crash();
    let store = open(&fs);
    assert_eq!(write(&store, 2, 99.0).duplicates, 1);
    assert_eq!(samples(&store), [(at(1), 1.0), (at(2), 2.0)]);
}

fn log_tail(fs: &FaultyFs) -> u64 {
    fs.snapshot()
        .iter()
        .filter(|(p, _)| p.starts_with("/data/wal"))
        .map(|(_, b)| b.len() as u64)
        .sum()
}

#[test]
fn the_later_value_wins_and_is_counted_wherever_the_earlier_is() {
    let fs = FaultyFs::new(1);
    let store = open(&fs);
    let replaced = || store.inner.context.metrics.replaced.get();
    put(&store, &[(at(0), 1.0), (at(1), 1.0), (at(2), 1.0)]);
    put(&store, &[(at(2), 1.0), (at(1), 1.0)]);
    assert_eq!(replaced(), 0, "the same value again changes nothing");
    put(&store, &[(at(1), 2.0)]);
    store.flush().unwrap();
    assert_eq!(replaced(), 1);
    put(&store, &[(at(0), 3.0), (at(3), 3.0)]);
    let expected = [(at(0), 3.0), (at(1), 2.0), (at(2), 1.0), (at(3), 3.0)];
    assert_eq!(samples(&store), expected, "head over part");
    store.flush().unwrap();
    assert_eq!(samples(&store), expected, "part over part");
    store.compact().unwrap();
    assert_eq!(samples(&store), expected, "merged");
    assert_eq!(
        (replaced(), store.stats().parts, store.stats().part_samples),
        (2, 1, 4)
    );
}

#[test]
fn any_time_inside_the_retention_is_taken_and_the_rest_is_refused_by_reason() {
    let fs = FaultyFs::new(1);
    let store = open_with(
        &fs,
        Options {
            limits: model::IngestLimits {
                max_future_ms: 1000,
                ..Default::default()
            },
            ..options()
        },
        &clock(),
    )
    .unwrap();
    let (first, last) = (NOON_MS - 10 * DAY_MS, NOON_MS + 1000);
    let outcome = put(
        &store,
        &[
            (last, 1.0),
            (first - 1, 1.0),
            (first, 1.0),
            (last + 1, 1.0),
            (at(0), 1.0),
        ],
    );
    let reasons: Vec<_> = outcome.rejected.iter().map(|r| (r.reason, r.count)).collect();
    assert_eq!(
        (outcome.accepted, reasons),
        (3, vec![("too_old", 1), ("too_far_in_future", 1)])
    );
    store.flush().unwrap();
    assert_eq!(samples(&store), [(first, 1.0), (at(0), 1.0), (last, 1.0)]);
    assert_eq!(store.stats().parts, 2, "one part for each day");
}

#[test]
fn compaction_packs_a_part_alone_anew_but_once() {
    let fs = FaultyFs::new(1);
    let store = open(&fs);
    let samples: Vec<_> = (0..500)
        .map(|i| (at(i), f64::from(i % 7 == 0) * (i * i % 1000) as f64))
        .collect();
    put(&store, &samples);
    store.flush().unwrap();
    let flushed = store.stats();
    store.compact().unwrap();
    let compacted = store.stats();
    assert_eq!((flushed.parts, compacted.parts), (1, 1));
    assert!(
        compacted.part_bytes < flushed.part_bytes,
        "{compacted:?} {flushed:?}"
    );
    let before = files(&fs, b"SMPL");
    store.compact().unwrap();
    assert!(files(&fs, b"SMPL") == before, "nothing is left to do");
}

#[test]
fn retention_drops_whole_parts_and_filters_at_read() {
    let (fs, clock) = (FaultyFs::new(1), clock());
    let store = open_with(&fs, options(), &clock).unwrap();
    put(
        &store,
        &(0..8).map(|d| (NOON_MS - d * DAY_MS, 1.0)).collect::<Vec<_>>(),
    );
    store.flush().unwrap();
    store.compact().unwrap();
    assert_eq!(store.stats().parts, 8, "days are not merged with each other");
    clock.advance_ns(5 * DAY_MS as u64 * 1_000_000 + 1_000_000);
    assert_eq!(samples(&store).len(), 5, "filtered at read");
    store.enforce_retention(clock.now_ms()).unwrap();
    assert_eq!((store.stats().parts, samples(&store).len()), (5, 5));
    assert_eq!(store.inner.context.metrics.removed_by_age.get(), 3);
    drop(store);
    fs.crash();
    let files = files(&fs, b"SMPL").len();
    assert!((5..=8).contains(&files));
    assert_eq!(samples(&open_with(&fs, options(), &clock).unwrap()).len(), 5);
}

#[test]
fn a_full_disk_refuses_writes_serves_reads_and_recovers() {
    let fs = FaultyFs::new(1);
    let store = open(&fs);
    put(&store, &[(at(0), 1.0)]);
    fs.set_capacity(Some(fs.used_bytes() + 10));
    let e = now(store.write(batch(vec![series(labels("up", "a"), &[(at(1), 1.0)])]))).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unavailable);
    assert!(e.retry_after().is_some());
    assert_eq!(store.flush().unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(
        samples(&store),
        [(at(0), 1.0)],
        "reads go on, the frozen head included"
    );
    fs.set_capacity(None);
    put(&store, &[(at(1), 2.0)]);
    store.flush().unwrap();
    put(&store, &[(at(2), 3.0)]);
    drop(store);
    fs.crash();
    assert_eq!(samples(&open(&fs)), [(at(0), 1.0), (at(1), 2.0), (at(2), 3.0)]);
}

#[test]
fn a_head_that_cannot_be_flushed_is_bounded() {
    let fs = FaultyFs::new(1);
    let store = open_with(
        &fs,
        Options {
            max_head_bytes: 4000,
            ..options()
        },
        &clock(),
    )
    .unwrap();
    let write = |i: i64| now(store.write(batch(vec![series(labels("up", "a"), &[(at(i), 1.0)])])));
    let refused = (0..1000).find_map(|i| write(i).err()).unwrap();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert!(refused.message().contains("waits to be flushed"), "{refused}");
    store.flush().unwrap();
    write(1000).unwrap();
}

#[test]
fn a_new_series_over_the_limit_is_refused_and_known_ones_go_on() {
    let fs = FaultyFs::new(1);
    let limits = model::IngestLimits {
        max_series: 2,
        max_tenants: 1,
        ..Default::default()
    };
    let store = open_with(&fs, Options { limits, ..options() }, &clock()).unwrap();
    let jobs = ["a", "b", "c", "a", "c", "d"];
    let of = |job: &&str| series(labels("up", job), &[(at(0), 1.0)]);
    let outcome = now(store.write(batch(jobs.iter().map(of).collect()))).unwrap();
    assert_eq!((outcome.accepted, outcome.rejected_count()), (3, 3));
    assert_eq!(outcome.rejected[0].reason, "series_limit");
    assert_eq!(put(&store, &[(at(1), 1.0)]).accepted, 1);
    let mut other = batch(vec![of(&"a")]);
    other.tenant = Name::new("other").unwrap();
    assert_eq!(
        now(store.write(other)).unwrap_err().kind(),
        ErrorKind::LimitReached
    );
}

#[test]
fn tenants_see_only_their_own() {
    let fs = FaultyFs::new(1);
    let store = open(&fs);
    let mut other = batch(vec![series(labels("up", "b"), &[(at(0), 1.0)])]);
    other.tenant = Name::new("other").unwrap();
    now(store.write(other)).unwrap();
    put(&store, &[(at(0), 1.0)]);
    store.flush().unwrap();
    drop(store);
    let store = open(&fs);
    assert_eq!(
        store.tenants().iter().map(Name::as_str).collect::<Vec<_>>(),
        ["default", "other"]
    );
    let jobs = |tenant: &str| {
        let mut request = everything();
        request.tenant = Name::new(tenant).unwrap();
        store.label_values(&request, "job").unwrap()
    };
    assert_eq!(
        (jobs("default"), jobs("other"), jobs("nobody")),
        (vec!["a".into()], vec!["b".into()], vec![])
    );
    for path in fs.snapshot().keys().filter(|p| p.components().count() > 3) {
        let text = path.display().to_string();
        assert!(text.contains("/default/") || text.contains("/other/"), "{text}");
    }
}

#[test]
fn a_flipped_bit_in_a_part_is_named_and_costs_only_its_place() {
    let fs = FaultyFs::new(1);
    let store = open(&fs);
    put(
        &store,
        &(0..30).map(|i| (at(i), (i * i % 7) as f64)).collect::<Vec<_>>(),
    );
    store.flush().unwrap();
    let part = files(&fs, b"SMPL").remove(0);
    let before = samples(&store);
    put(&store, &[(at(100), 1.0)]);
    drop(store);
    let bits = fs.snapshot()[&part].len() as u64 * 8;
    for bit in (0..bits).step_by(5) {
        fs.flip_bit(&part, bit);
        let store = open(&fs);
        let request = everything();
        let found = rows(&store, &request).unwrap();
        let times: Vec<i64> = found[0].1.iter().map(|(t, _)| *t).collect();
        assert_eq!(times, [at(100)], "bit {bit}: the rest is there");
        let warnings = request.budget.warnings();
        assert!(
            warnings.iter().any(|w| w.contains(&part.display().to_string())),
            "{warnings:?}"
        );
        // What is damaged is not merged away, not even with a younger part.
        let _ = store.compact();
        assert!(fs.exists(&part).unwrap());
        drop(store);
        fs.flip_bit(&part, bit);
    }
    let store = open(&fs);
    assert_eq!(samples(&store)[..before.len()], before);
}

#[test]
fn damage_in_one_chunk_costs_only_that_series() {
    let fs = FaultyFs::new(1);
    let store = open(&fs);
    // Values that do not pack, so that each chunk fills pages of its own.
    let mut rng = storage::Rng::new(1);
    for job in 0..4 {
        let samples: Vec<_> = (0..3000)
            .map(|i| (NOON_MS + i, f64::from_bits(rng.next_u64())))
            .collect();
        now(store.write(batch(vec![series(labels("up", &job.to_string()), &samples)]))).unwrap();
    }
    store.flush().unwrap();
    let part = files(&fs, b"SMPL").remove(0);
    fs.flip_bit(&part, (16 + 100) * 8);
    let request = everything();
    let found = rows(&store, &request).unwrap();
    assert_eq!(
        found.iter().map(|r| r.1.len()).collect::<Vec<_>>(),
        [3000, 3000, 3000]
    );
    assert!(
        request.budget.warnings()[0].contains("section \"data\" is damaged"),
        "{:?}",
        request.budget.warnings()
    );
    assert!(store.inner.context.metrics.unreadable.get() > 0);
}

#[test]
fn budgets_end_a_query_and_cancelling_does_too() {
    let fs = FaultyFs::new(1);
    let store = open(&fs);
    let of = |job: i32| {
        series(
            labels("up", &job.to_string()),
            &(0..10).map(|i| (at(i), 1.0)).collect::<Vec<_>>(),
        )
    };
    now(store.write(batch((0..10).map(of).collect()))).unwrap();
    store.flush().unwrap();
    let check = |limits: BudgetLimits, key: &str| {
        let mut request = everything();
        request.budget = Budget::new(limits, clock());
        let e = rows(&store, &request).unwrap_err();
        assert!(
            e.kind() == ErrorKind::LimitReached && e.message().contains(key),
            "{e}"
        );
    };
    let all = BudgetLimits::UNLIMITED;
    check(BudgetLimits { max_series: 9, ..all }, "max_series");
    check(
        BudgetLimits {
            max_samples: 99,
            ..all
        },
        "max_samples",
    );
    check(
        BudgetLimits {
            max_bytes: 1000,
            ..all
        },
        "max_bytes",
    );
    let request = everything();
    request.budget.cancel_token().cancel();
    assert_eq!(rows(&store, &request).unwrap_err().kind(), ErrorKind::Cancelled);
}

#[test]
fn a_scan_sees_one_moment() {
    let fs = FaultyFs::new(1);
    let store = open(&fs);
    put(&store, &[(at(0), 1.0)]);
    store.flush().unwrap();
    put(&store, &[(at(1), 1.0)]);
    let scan = store.scan(&everything()).unwrap();
    put(&store, &[(at(0), 9.0), (at(1), 9.0), (at(2), 9.0)]);
    store.compact().unwrap();
    let data: Vec<SeriesData> = scan.rows().map(|r| r.unwrap()).collect();
    assert_eq!(data[0].values, [1.0, 1.0]);
}

#[test]
fn what_senders_say_of_families_survives() {
    let fs = FaultyFs::new(1);
    let store = open(&fs);
    let mut with = batch(vec![]);
    with.payload.metadata = vec![MetricMetadata {
        family: "up".into(),
        metric_type: model::MetricType::Gauge,
        help: "Whether it is up.".into(),
        unit: String::new(),
    }];
    now(store.write(with.clone())).unwrap();
    let bytes = store.stats().log_bytes;
    now(store.write(with.clone())).unwrap();
    assert_eq!(
        store.stats().log_bytes,
        bytes,
        "what is known is not written again"
    );
    drop(store);
    fs.crash();
    let store = open(&fs);
    assert_eq!(store.metadata(&Name::default()), with.payload.metadata);
    store.flush().unwrap();
    drop(store);
    fs.crash();
    assert_eq!(open(&fs).metadata(&Name::default()), with.payload.metadata);
}

#[test]
fn maintenance_flushes_by_size_and_age_and_merges_what_is_small() {
    let (fs, clock) = (FaultyFs::new(1), clock());
    let small = Options {
        flush_samples: 10,
        flush_samples_per_series: 0,
        ..options()
    };
    let store = open_with(&fs, small, &clock).unwrap();
    put(&store, &[(at(0), 1.0)]);
    store.maintain().unwrap();
    assert_eq!(store.stats().head_samples, 1);
    clock.advance_ns(3 * 3_600_000_000_000);
    store.maintain().unwrap();
    assert_eq!(
        (store.stats().head_samples, store.stats().parts),
        (0, 1),
        "by age"
    );
    for round in 1..20 {
        put(
            &store,
            &(0..10).map(|i| (at(round * 10 + i), 1.0)).collect::<Vec<_>>(),
        );
        store.maintain().unwrap();
        store.merge().unwrap();
        assert_eq!(store.stats().head_samples, 0, "by size");
        assert!(store.stats().parts <= 2);
    }
    assert_eq!(samples(&store).len(), 191);
}

#[test]
fn merging_fails_alone_when_the_disk_fails() {
    let fs = FaultyFs::new(1);
    let store = open(&fs);
    for i in 0..3 {
        put(&store, &[(at(i), 1.0)]);
        store.flush().unwrap();
    }
    for operation in [
        Operation::Write,
        Operation::Sync,
        Operation::SyncDir,
        Operation::Name,
    ] {
        fs.fail_nth(operation, 1, std::io::ErrorKind::Other);
        store.compact().unwrap_err();
        assert_eq!(samples(&store).len(), 3);
    }
    store.compact().unwrap();
    assert_eq!((samples(&store).len(), store.stats().parts), (3, 1));
}

#[test]
fn merging_older_parts_does_not_put_them_over_a_newer_one() {
    let fs = FaultyFs::new(1);
    let small = Options {
        max_part_bytes: 40_000,
        ..options()
    };
    let store = open_with(&fs, small, &clock()).unwrap();
    for value in [1.0, 2.0] {
        put(&store, &[(at(0), value)]);
        store.flush().unwrap();
    }
    let mut rng = storage::Rng::new(1);
    let mut large: Vec<_> = (0..3000)
        .map(|i| (at(0) + i, f64::from_bits(rng.next_u64())))
        .collect();
    large[0].1 = 3.0;
    put(&store, &large);
    store.flush().unwrap();
    store.merge().unwrap();
    assert_eq!(
        store.stats().parts,
        2,
        "the large one is done, the small ones are merged"
    );
    assert_eq!(samples(&store)[0], (at(0), 3.0));
}

#[test]
fn memory_durability_is_an_explicit_choice() {
    assert_eq!(Options::default().log.durability, Durability::Disk);
}

#[test]
fn the_index_answers_without_reading_samples() {
    let fs = FaultyFs::new(1);
    let store = open(&fs);
    let of = |job: i32| series(labels("up", &job.to_string()), &[(at(0), 1.0)]);
    now(store.write(batch((0..5).map(of).collect()))).unwrap();
    store.flush().unwrap();
    let mut request = everything();
    request.predicate = Predicate::labels([Matcher::equal("job", "3")]);
    let limits = BudgetLimits {
        max_samples: 0,
        max_bytes: 0,
        ..BudgetLimits::UNLIMITED
    };
    request.budget = Budget::new(limits, clock());
    assert_eq!(store.series(&request).unwrap(), [labels("up", "3")]);
    assert_eq!(store.label_names(&request).unwrap(), ["__name__", "job"]);
    assert_eq!(store.label_values(&request, "job").unwrap(), ["3"]);
    let mut elsewhere = request.clone();
    elsewhere.range = TimeRange::from_ms(NOON_MS + PARTITION_MS, NOON_MS + 2 * PARTITION_MS);
    assert!(store.series(&elsewhere).unwrap().is_empty());
}

/// What the files in testdata/v2 hold: a part, and a log with more.
fn write_kept(store: &Store) {
    let mut first = batch(vec![
        series(
            labels("up", "a"),
            &(0..40)
                .map(|i| (at(i), (i % 7) as f64 / 10.0))
                .collect::<Vec<_>>(),
        ),
        series(
            labels("up", "b"),
            &[
                (at(0), f64::from_bits(model::metric::STALE_NAN_BITS)),
                (at(3), -0.0),
            ],
        ),
        series(
            labels("go", "a"),
            &(0..40).map(|i| (at(i * i), i as f64)).collect::<Vec<_>>(),
        ),
    ]);
    first.payload.series[1].histograms = vec![histogram(at(1), 5.0), histogram(at(2), 0.5)];
    first.payload.metadata = vec![MetricMetadata {
        family: "up".into(),
        metric_type: model::MetricType::Gauge,
        help: "Whether it is up.".into(),
        unit: "1".into(),
    }];
    first.origin = Some(origin(7));
    now(store.write(first)).unwrap();
    store.flush().unwrap();
    let mut second = batch(vec![series(labels("up", "a"), &[(at(0), 9.0), (at(50), 1.0)])]);
    second.payload.series[0].histograms = vec![histogram(at(4), 1.0)];
    second.origin = Some(origin(8));
    now(store.write(second)).unwrap();
}

#[test]
fn kept_files_of_encoding_2_are_readable() {
    let fs = FaultyFs::new(1);
    for (path, bytes) in KEPT {
        let path = Path::new(path);
        fs.create_dir_all(path.parent().unwrap()).unwrap();
        fs.replace(path, bytes).unwrap();
    }
    let keep_all = || Options {
        retention_ms: None,
        ..options()
    };
    let store = open_with(&fs, keep_all(), &clock()).unwrap();
    assert_eq!((store.stats().unreadable, store.stats().parts), (vec![], 1));
    let fresh = open_with(&FaultyFs::new(1), keep_all(), &clock()).unwrap();
    write_kept(&fresh);
    assert_eq!(
        rows(&store, &everything()).unwrap(),
        rows(&fresh, &everything()).unwrap()
    );
    assert_eq!(store.metadata(&Name::default()), fresh.metadata(&Name::default()));
    let mut retry = batch(vec![series(labels("up", "a"), &[(at(0), 1.0)])]);
    retry.origin = Some(origin(8));
    assert_eq!(now(store.write(retry)).unwrap().duplicates, 1);
}

#[test]
fn another_encoding_is_refused_and_nothing_is_touched() {
    let fs = FaultyFs::new(1);
    let path = Path::new("/data/metrics/default/MANIFEST");
    fs.create_dir_all(path.parent().unwrap()).unwrap();
    fs.replace(path, include_bytes!("../../../testdata/v1/MANIFEST"))
        .unwrap();
    let before = fs.snapshot();
    let e = open_with(&fs, options(), &clock()).map(|_| ()).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Corrupt);
    assert!(e.message().contains("encoding 1, this version knows 2"), "{e}");
    assert_eq!(fs.snapshot(), before);
}

const KEPT: [(&str, &[u8]); 5] = [
    (
        "/data/metrics/default/MANIFEST",
        include_bytes!("../../../testdata/v2/MANIFEST"),
    ),
    (
        "/data/metrics/default/parts/00000000000000000001.part",
        include_bytes!("../../../testdata/v2/00000000000000000001.part"),
    ),
    (
        "/data/metrics/default/parts/00000000000000000002.part",
        include_bytes!("../../../testdata/v2/00000000000000000002.part"),
    ),
    (
        "/data/wal/default/metrics/00000000000000000001.wal",
        include_bytes!("../../../testdata/v2/00000000000000000001.wal"),
    ),
    (
        "/data/wal/default/metrics/00000000000000000002.wal",
        include_bytes!("../../../testdata/v2/00000000000000000002.wal"),
    ),
];

#[test]
fn a_histogram_says_whether_it_counts_on() {
    use ResetHint::{NotReset, Reset, Unknown};
    let fs = FaultyFs::new(1);
    let mut store = open_with(&fs, options(), &clock()).unwrap();
    let sent = |i: i64, count: f64, reset_hint| {
        let mut sample = histogram(at(i), count);
        sample.histogram.reset_hint = reset_hint;
        sample
    };
    let write = |store: &Store, samples: Vec<HistogramSample>| {
        let mut one = series(labels("up", "a"), &[]);
        one.histograms = samples;
        now(store.write(batch(vec![one]))).unwrap();
    };
    let hints = |store: &Store, from: i64, to: i64| -> Vec<ResetHint> {
        let scan = store.scan(&request(Predicate::all(), at(from), at(to))).unwrap();
        let found = scan.rows().flat_map(|data| data.unwrap().histograms);
        found.map(|h| h.histogram.reset_hint).collect()
    };
    let first = [
        (0, 5.0, Unknown),
        (1, 6.0, Unknown),
        (2, 1.0, NotReset),
        (3, 2.0, Unknown),
        (4, 9.0, Reset),
    ];
    write(&store, first.map(|(i, n, hint)| sent(i, n, hint)).to_vec());
    let check = |store: &Store| {
        assert_eq!(hints(store, 0, 9), [Unknown, NotReset, Unknown, NotReset, Reset]);
        // Those before the range are seen.
        assert_eq!(hints(store, 1, 1), [NotReset]);
        assert_eq!(hints(store, 2, 3), [Unknown, NotReset]);
        assert_eq!(hints(store, 3, 3), [NotReset]);
        assert_eq!(hints(store, 4, 4), [Reset]);
    };
    check(&store);
    drop(store);
    fs.kill();
    store = open_with(&fs, options(), &clock()).unwrap();
    check(&store);
    store.flush().unwrap();
    check(&store);
    // From the file to the head; then one that comes late between them.
    write(&store, vec![sent(6, 10.0, Unknown), sent(7, 11.0, Unknown)]);
    assert_eq!(hints(&store, 3, 9), [NotReset, Reset, NotReset, NotReset]);
    write(&store, vec![sent(5, 10.5, Unknown)]);
    assert_eq!(hints(&store, 4, 9), [Reset, NotReset, Unknown, NotReset]);
}
