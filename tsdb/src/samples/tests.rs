//! Tests of files of samples: against a plain model, with damage, with a failing disk, and kept files.

mod damage;

use super::*;
use crate::cache::Cache;
use model::metric::{Histogram, HistogramSample};
use model::{Exemplar, Fs, Labels};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use storage::{FaultyFs, PartEntry, layout};

const DAY: i64 = 19_675;
const BASE: i64 = DAY * PARTITION_MS;
const DIR: &str = "/d/metrics/t";

/// One series as a plain map.
#[derive(Debug, Clone, Default, PartialEq)]
struct Plain {
    /// By time: the bits of the value, and the start.
    floats: BTreeMap<i64, (u64, i64)>,
    histograms: BTreeMap<i64, (u32, i64)>,
    /// Time and number.
    exemplars: std::collections::BTreeSet<(i64, u32)>,
}

type Store = BTreeMap<SeriesId, Plain>;

impl Plain {
    fn to_run(&self) -> Run {
        let mut run = Run::default();
        for (time, (bits, start)) in &self.floats {
            run.times.push(*time);
            run.values.push(f64::from_bits(*bits));
            run::push_step(&mut run.starts, *time, *start);
        }
        run.histograms = self
            .histograms
            .iter()
            .map(|(time, (count, start))| histogram(*time, *count, *start))
            .collect();
        run.exemplars = self
            .exemplars
            .iter()
            .map(|(time, number)| exemplar(*time, *number))
            .collect();
        run
    }
    fn of(run: &Run) -> Self {
        let floats = run.times.iter().zip(&run.values);
        Self {
            floats: floats
                .map(|(t, v)| (*t, (v.to_bits(), run.start_at(*t))))
                .collect(),
            histograms: run
                .histograms
                .iter()
                .map(|h| (h.timestamp_ms, (h.histogram.count as u32, h.start_timestamp_ms)))
                .collect(),
            exemplars: run
                .exemplars
                .iter()
                .map(|e| {
                    assert_eq!(*e, exemplar(e.timestamp_ms, e.value as u32));
                    (e.timestamp_ms, e.value as u32)
                })
                .collect(),
        }
    }
    fn within(&self, range: (i64, i64)) -> Self {
        Self {
            floats: self
                .floats
                .range(range.0..=range.1)
                .map(|(t, v)| (*t, *v))
                .collect(),
            histograms: self
                .histograms
                .range(range.0..=range.1)
                .map(|(t, v)| (*t, *v))
                .collect(),
            exemplars: self
                .exemplars
                .iter()
                .copied()
                .filter(|e| range.0 <= e.0 && e.0 <= range.1)
                .collect(),
        }
    }
    /// Later data wins; returns how many had another value.
    fn add(&mut self, newer: &Self) -> u64 {
        let floats = newer.floats.iter();
        let other = |old: Option<&(u64, i64)>, new: &(u64, i64)| old.is_some_and(|old| old.0 != new.0);
        let mut replaced = floats.filter(|(t, v)| other(self.floats.get(t), v)).count();
        replaced += newer
            .histograms
            .iter()
            .filter(|(t, v)| self.histograms.get(t).is_some_and(|old| old != *v))
            .count();
        self.floats.extend(&newer.floats);
        self.histograms.extend(&newer.histograms);
        self.exemplars.extend(&newer.exemplars);
        replaced as u64
    }
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

fn histogram(timestamp_ms: i64, count: u32, start_timestamp_ms: i64) -> HistogramSample {
    let histogram = Histogram {
        count: f64::from(count),
        positive: vec![(3, f64::from(count))],
        ..Histogram::default()
    };
    HistogramSample {
        timestamp_ms,
        start_timestamp_ms,
        histogram,
    }
}
fn exemplar(timestamp_ms: i64, number: u32) -> Exemplar {
    Exemplar {
        labels: Labels::from_pairs([("trace_id", format!("{number:08x}"))]),
        timestamp_ms,
        value: f64::from(number),
    }
}

/// A disk with files of one partition.
struct Disk {
    fs: FaultyFs,
    cache: Arc<Cache>,
    next_id: u64,
}

impl Disk {
    fn new() -> Self {
        let fs = FaultyFs::new(1);
        fs.create_dir_all(&layout::parts_dir(Path::new(DIR))).unwrap();
        let cache = Arc::new(Cache::new(1 << 20));
        Self {
            fs,
            cache,
            next_id: 1,
        }
    }
    fn build(&mut self, effort: Effort, fill: impl FnOnce(&mut Builder)) -> Option<Arc<Part>> {
        let id = self.next_id;
        self.next_id += 1;
        let path = layout::part_file(Path::new(DIR), id);
        let mut builder = Builder::create(Arc::new(self.fs.clone()), &path, effort).unwrap();
        fill(&mut builder);
        let (size_bytes, meta) = builder.finish(id).unwrap()?;
        Some(self.open(PartEntry { id, size_bytes, meta }))
    }
    fn open(&self, entry: PartEntry<PartMeta>) -> Arc<Part> {
        Arc::new(Part::open(&self.fs, Path::new(DIR), entry, &self.cache).unwrap())
    }
    fn write(&mut self, store: &Store) -> Option<Arc<Part>> {
        self.build(Effort::Flush, |builder| {
            for (id, series) in store {
                builder.add(*id, &series.to_run()).unwrap();
            }
        })
    }
    fn file(&self, part: &Part) -> Vec<u8> {
        let path = layout::part_file(Path::new(DIR), part.entry.id);
        self.fs.read(&path, u64::MAX).unwrap()
    }
}

/// What a file has of some series.
fn read(part: &Arc<Part>, ids: &[SeriesId], range: (i64, i64), damaged: Damaged<'_>) -> Store {
    let mut reader = Reader::new(part.clone());
    let mut store = Store::new();
    for located in part.find(ids, damaged).unwrap() {
        let mut run = Run::default();
        reader.read(&located, range, &mut run, damaged).unwrap();
        reader.read_exemplars(&located, range, &mut run, damaged).unwrap();
        assert!(run.times.is_sorted_by(|a, b| a < b) && run.times.len() == run.values.len());
        store.insert(located.id, Plain::of(&run));
    }
    store
}
fn read_all(part: &Arc<Part>) -> Store {
    let ids: Vec<_> = part.ids().map(|id| id.unwrap()).collect();
    read(part, &ids, (i64::MIN, i64::MAX), &mut Err)
}

fn value() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => (0u32..50).prop_map(|n| f64::from(n).to_bits()),
        1 => any::<u64>(),
        1 => Just(model::metric::STALE_NAN_BITS),
        1 => Just((-0.0f64).to_bits()),
    ]
}

/// Series of a few targets: times of the target, some of them missing, and what else a series may have.
fn store() -> impl Strategy<Value = Store> {
    let target = (0i64..5000, 1i64..700, 1usize..1200);
    let series = (
        1u64..5,
        any::<prop::sample::Index>(),
        (0usize..100, 0usize..1300),
        prop::collection::vec(value(), 1..8),
        prop::collection::vec((0usize..1200, 0i64..3), 0..3),
        prop::collection::btree_set(0usize..1200, 0..3),
        (0usize..20, prop::collection::btree_map(0i64..5000, 0u32..9, 0..4)),
    );
    let targets = prop::collection::vec(target, 1..4);
    (targets, prop::collection::vec(series, 0..40)).prop_map(|(targets, series)| {
        let (mut id, mut store) = (0, Store::new());
        for (step, target, (skip, take), values, starts, missing, (histograms, exemplars)) in series {
            id += step;
            let (offset, interval, count) = targets[target.index(targets.len())];
            let mut plain = Plain::default();
            for i in (0..count).skip(skip).take(take).filter(|i| !missing.contains(i)) {
                let start = starts
                    .iter()
                    .filter(|s| s.0 <= i)
                    .map(|s| s.1)
                    .next_back()
                    .unwrap_or(0);
                let time = BASE + offset + i as i64 * interval;
                plain.floats.insert(time, (values[i % values.len()], start));
            }
            // Few series have histograms, and those have many.
            if histograms > 16 {
                let histogram = |i: i64| (BASE + offset + i * interval, (i as u32 % 7, i % 3));
                plain.histograms = (0..histograms as i64 * 10).map(histogram).collect();
            }
            if histograms < 5 {
                plain.exemplars = exemplars.into_iter().map(|(t, n)| (BASE + t, n)).collect();
            }
            if !plain.is_empty() {
                store.insert(id, plain);
            }
        }
        store
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_is_written_is_read(
        store in store(),
        ids in prop::collection::btree_set(0u64..120, 0..30),
        ranges in prop::collection::vec((0i64..900_000, 0i64..900_000), 1..4),
    ) {
        let mut disk = Disk::new();
        let Some(part) = disk.write(&store) else {
            prop_assert!(store.is_empty());
            return Ok(());
        };
        let meta = &part.entry.meta;
        prop_assert_eq!(meta.series, store.len() as u64);
        let samples = store.values().map(|s| s.floats.len() + s.histograms.len()).sum::<usize>();
        prop_assert_eq!((meta.samples, meta.partition), (samples as u64, DAY));
        prop_assert_eq!(&read_all(&part), &store);
        part.verify().unwrap();
        let ids: Vec<_> = ids.into_iter().collect();
        for (from, len) in ranges {
            let range = (BASE + from - 1000, BASE + from + len);
            let expected: Store = store.iter().filter(|(id, _)| ids.contains(id)).map(|(id, s)| (*id, s.within(range))).collect();
            prop_assert_eq!(read(&part, &ids, range, &mut Err), expected);
        }
    }

    #[test]
    fn a_merge_keeps_the_newest(stores in prop::collection::vec(store(), 1..5), sift in 0u64..4) {
        struct Some(u64);
        impl Sieve for Some {
            fn fate(&self, _: usize, id: SeriesId) -> Fate {
                match (self.0, id % 7) {
                    (0, _) => Fate::Keep,
                    (_, 1) => Fate::Drop(Reason::Rule),
                    (_, 2) => Fate::Sift,
                    _ => Fate::Keep,
                }
            }
            fn sift(&self, _: usize, _: SeriesId, run: &mut Run, dropped: &mut Dropped) {
                let before = run.samples();
                run.retain(|t| t % 2 == 0);
                dropped.add(Reason::Age, before - run.samples());
            }
        }
        let mut disk = Disk::new();
        let parts: Vec<_> = stores.iter().filter_map(|s| disk.write(s)).collect();
        let (mut expected, mut replaced, mut dropped) = (Store::new(), 0, 0);
        for (id, series) in stores.iter().flatten() {
            if sift > 0 && id % 7 == 1 {
                dropped += (series.floats.len() + series.histograms.len()) as u64;
                continue;
            }
            let mut series = series.clone();
            if sift > 0 && id % 7 == 2 {
                let before = series.floats.len() + series.histograms.len();
                series.floats.retain(|t, _| t % 2 == 0);
                series.histograms.retain(|t, _| t % 2 == 0);
                series.exemplars.retain(|(t, _)| t % 2 == 0);
                dropped += (before - series.floats.len() - series.histograms.len()) as u64;
            }
            replaced += expected.entry(*id).or_default().add(&series);
        }
        expected.retain(|_, s| !s.is_empty());
        // The order of stores is that of generations, so a later one wins per series, too.
        let mut merged = Merged::default();
        let part = disk.build(Effort::Merge, |builder| merged = merge(&parts, builder, &Some(sift)).unwrap());
        prop_assert_eq!((merged.replaced, merged.dropped.age + merged.dropped.rule, merged.copied), (replaced, dropped, 0));
        let Option::Some(part) = part else {
            prop_assert!(expected.is_empty());
            return Ok(());
        };
        prop_assert_eq!(&read_all(&part), &expected);
        // Merging it with nothing copies it, and the copy is the same to the byte.
        let mut again = Merged::default();
        let copy = disk.build(Effort::Merge, |builder| again = merge(std::slice::from_ref(&part), builder, &KeepAll).unwrap()).unwrap();
        prop_assert_eq!(again.copied, expected.len() as u64);
        prop_assert_eq!(read_all(&copy), expected);
        prop_assert!(disk.file(&copy) == disk.file(&part), "a copy has other bytes");
    }

    #[test]
    fn several_files_are_read_into_one_run(stores in prop::collection::vec(store(), 1..5), from in 0i64..100_000, len in 0i64..500_000) {
        let mut disk = Disk::new();
        let parts: Vec<_> = stores.iter().filter_map(|s| disk.write(s)).collect();
        let range = (BASE + from, BASE + from + len);
        let (mut expected, mut runs) = (Store::new(), BTreeMap::<SeriesId, Run>::new());
        for (id, series) in stores.iter().flatten() {
            expected.entry(*id).or_default().add(&series.within(range));
        }
        for part in parts {
            let mut reader = Reader::new(part.clone());
            let ids: Vec<_> = part.ids().map(|id| id.unwrap()).collect();
            for located in part.find(&ids, &mut Err).unwrap() {
                let run = runs.entry(located.id).or_default();
                reader.read(&located, range, run, &mut Err).unwrap();
                reader.read_exemplars(&located, range, run, &mut Err).unwrap();
            }
        }
        let got: Store = runs.iter().map(|(id, run)| (*id, Plain::of(run))).collect();
        prop_assert_eq!(got, expected);
    }
}

fn plain(times: impl IntoIterator<Item = i64>) -> Plain {
    let floats = times.into_iter().map(|t| (BASE + t, ((t / 7) as f64).to_bits()));
    Plain {
        floats: floats.map(|(t, v)| (t, (v, 0))).collect(),
        ..Plain::default()
    }
}

/// Values that no encoding makes small.
fn noisy(id: SeriesId, times: impl IntoIterator<Item = i64>) -> Plain {
    let mut rng = storage::Rng::new(id);
    let mut noisy = plain(times);
    noisy.floats.values_mut().for_each(|v| v.0 = rng.next_u64());
    noisy
}

/// A small store with something of everything.
fn everything() -> Store {
    let mut store: Store = (1..20)
        .map(|id| (id * 3, plain((0..30).map(|i| 15_000 * i + 100))))
        .collect();
    store.insert(70, plain((0..1500).map(|i| 1000 * i)));
    let with_starts = store.get_mut(&9).unwrap();
    with_starts
        .floats
        .values_mut()
        .skip(5)
        .for_each(|v| v.1 = BASE - 77);
    let more = store.entry(71).or_default();
    more.histograms = (0..300).map(|i| (BASE + i * 9, (i as u32 % 5, BASE))).collect();
    more.exemplars = (0..40).map(|i| (BASE + i, 3)).collect();
    store.entry(72).or_default().exemplars.insert((BASE + 5, 1));
    store
        .entry(75)
        .or_default()
        .floats
        .insert(BASE + 86_399_999, (0, 0));
    store
}

#[test]
fn a_run_of_more_samples_is_cut_and_an_hour_is_read_without_the_day() {
    let mut disk = Disk::new();
    let second = plain((0..86_400).map(|i| i * 1000 + i % 3));
    let store = Store::from([(5, second.clone()), (6, second), (7, plain([8]))]);
    let part = disk.write(&store).unwrap();
    assert_eq!(read_all(&part), store);
    let range = (BASE + 65_500_000, BASE + 65_600_000);
    let expected: Store = store.iter().map(|(id, s)| (*id, s.within(range))).collect();
    assert_eq!(expected[&5].floats.len(), 100);
    disk.cache.forget_file(part.file);
    let before = disk.cache.used_bytes();
    assert_eq!(read(&part, &[5, 6, 7], range, &mut Err), expected);
    // Of the times only two blocks were unpacked: 512 times each, and the packed columns.
    let used = disk.cache.used_bytes() - before;
    assert!(used < 200_000, "{used}");
}

#[test]
fn neighbours_are_read_together() {
    let mut disk = Disk::new();
    let store: Store = (1..3000)
        .map(|id| (id, noisy(id, (0..100).map(|i| i * 1000 + id as i64 % 3))))
        .collect();
    let part = disk.write(&store).unwrap();
    let ids: Vec<_> = store.keys().copied().collect();
    let found = part.find(&ids, &mut Err).unwrap();
    let mut reader = Reader::new(part.clone());
    let mut run = Run::default();
    for located in &found {
        run.clear();
        reader.read(located, (0, i64::MAX), &mut run, &mut Err).unwrap();
    }
    let size = part.entry.size_bytes;
    assert!(size > 256 << 10, "{size}");
    let bytes_read = reader.take_bytes_read();
    assert!(bytes_read < size + size / 4, "{bytes_read} of {size}");
    // One series alone costs a page or two, and the page of its times.
    disk.cache.forget_file(part.file);
    let mut reader = Reader::new(part.clone());
    reader
        .read(&found[1500], (0, i64::MAX), &mut run, &mut Err)
        .unwrap();
    assert!(reader.take_bytes_read() <= 4 * (16 << 10) + 512 * 20);
}

#[test]
fn exemplars_go_on_over_pages() {
    let mut disk = Disk::new();
    let with = |from: i64, to: i64| Plain {
        exemplars: (from..to)
            .map(|i| (BASE + i, (i as u32).wrapping_mul(0x9E37_79B9) >> 1))
            .collect(),
        ..Plain::default()
    };
    // Several pages of one series, several series of one page.
    let mut store: Store = (1..50).map(|id| (id, with(0, 3))).collect();
    store.insert(50, with(0, 3000));
    store.insert(51, with(5, 9));
    let part = disk.write(&store).unwrap();
    assert_eq!(read_all(&part), store);
    let range = (BASE + 2, BASE + 2500);
    let expected: Store = store.iter().map(|(id, s)| (*id, s.within(range))).collect();
    let ids: Vec<_> = store.keys().copied().collect();
    assert_eq!(read(&part, &ids, range, &mut Err), expected);
}

#[test]
fn nothing_makes_no_file() {
    let mut disk = Disk::new();
    assert!(disk.write(&Store::new()).is_none());
    assert!(disk.write(&Store::from([(1, Plain::default())])).is_none());
    assert!(
        disk.fs
            .read_dir(&layout::parts_dir(Path::new(DIR)))
            .unwrap()
            .is_empty()
    );
}

#[test]
fn what_does_not_belong_into_a_file_is_refused() {
    let check = |runs: &[(SeriesId, Run)], says: &str| {
        let path = layout::part_file(Path::new(DIR), 1);
        let disk = Disk::new();
        let mut builder = Builder::create(Arc::new(disk.fs.clone()), &path, Effort::Flush).unwrap();
        let added = runs.iter().try_for_each(|(id, run)| builder.add(*id, run));
        let error = added.unwrap_err();
        assert!(error.message().contains(says), "{error}");
        drop(builder);
        assert!(disk.fs.read_dir(path.parent().unwrap()).unwrap().is_empty());
    };
    let run = |times: &[i64]| Run {
        times: times.to_vec(),
        values: vec![0.0; times.len()],
        ..Run::default()
    };
    check(&[(2, run(&[1])), (1, run(&[1]))], "ascending order");
    check(&[(1, run(&[1])), (1, run(&[1]))], "ascending order");
    check(&[(1, run(&[2, 1]))], "one partition");
    check(&[(1, run(&[1, 3, 2, 4]))], "ascending times");
    check(&[(1, run(&[1, PARTITION_MS]))], "one partition");
    check(&[(1, run(&[1])), (2, run(&[-1]))], "one partition");
    check(
        &[(
            1,
            Run {
                values: Vec::new(),
                ..run(&[1])
            },
        )],
        "as many values",
    );
}

/// To write the files anew after the format has changed: `BINNACLE_WRITE_KEPT=1 cargo test -p tsdb kept_files`.
#[test]
fn kept_files_of_format_1_are_read_and_written_the_same() {
    let store = everything();
    let mut disk = Disk::new();
    let flushed = disk.write(&store).unwrap();
    let merged = disk.build(Effort::Merge, |b| {
        assert_eq!(
            merge(std::slice::from_ref(&flushed), b, &KeepAll).unwrap().copied,
            0
        );
    });
    for (name, part) in [("flushed.part", flushed), ("merged.part", merged.unwrap())] {
        let kept = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("testdata/samples-1")
            .join(name);
        let written = disk.file(&part);
        if std::env::var_os("BINNACLE_WRITE_KEPT").is_some() {
            std::fs::write(&kept, &written).unwrap();
        }
        let bytes = std::fs::read(&kept).unwrap();
        assert!(
            bytes == written,
            "{name}: the writer writes other bytes than it did"
        );
        let path = layout::part_file(Path::new(DIR), 100);
        disk.fs.replace(&path, &bytes).unwrap();
        let entry = PartEntry {
            id: 100,
            ..part.entry.clone()
        };
        assert_eq!(read_all(&disk.open(entry)), store, "{name}");
    }
}
