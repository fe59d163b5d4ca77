//! Seeded lives with crashes, failing and full disks: what was acknowledged is there, once.

use super::rollups::{self, asking};
use super::*;
use model::{Resolution, RolledUp};
use std::collections::BTreeSet;
use storage::faulty_fs::Operation;
use storage::verify::{self, Event};
use storage::{DataDir, Rng, Snapshots, snapshot};

/// The values that a series and time may have.
type Allowed = BTreeMap<(Labels, i64), BTreeSet<u64>>;

/// What the clients knew when a snapshot was asked for.
struct Promise {
    allowed: Allowed,
    acknowledged: BTreeMap<(Labels, i64), u64>,
    /// Whether they were told that it is there.
    is_told: bool,
}

/// What the clients know.
struct Sim {
    fs: FaultyFs,
    rng: Rng,
    clock: Arc<ManualClock>,
    /// The values that a series and time may have: what was acknowledged last, or any write without an answer
    /// since.
    allowed: Allowed,
    /// The series and times that must be there, with the value that was acknowledged.
    acknowledged: BTreeMap<(Labels, i64), u64>,
    snapshots: BTreeMap<String, Promise>,
    sequence: u64,
    next_value: u64,
    taken: u64,
    taken_snapshots: u64,
    /// Windows that were looked at.
    windows: usize,
}

impl Sim {
    fn new(seed: u64) -> Self {
        Self {
            fs: FaultyFs::new(seed),
            rng: Rng::new(seed ^ 0xb1aac1e),
            clock: clock(),
            allowed: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            sequence: 0,
            next_value: 1,
            taken: 0,
            taken_snapshots: 0,
            windows: 0,
        }
    }

    fn open(&mut self) -> Store {
        loop {
            let options = Options {
                retention_ms: options().retention_ms,
                ..rollups::options()
            };
            let e = match open_with(&self.fs, options, &self.clock) {
                Ok(store) => return store,
                Err(e) => e,
            };
            assert_ne!(e.kind(), ErrorKind::Corrupt, "{e}");
            if self.fs.is_powerless() {
                self.fs.crash();
            }
            self.fs.heal();
        }
    }

    /// Looks at everything. After a start each value is settled: what is seen was on the disk or replayed from it,
    /// and what is not seen is gone for good. Before one, a write without an answer may still come to light.
    fn check(&mut self, store: &Store, is_start: bool) {
        let seen = check_values(store, &self.allowed);
        if is_start {
            for (labels, samples, ..) in rows(store, &asking("", Resolution::Raw)).unwrap() {
                for (time, bits) in samples {
                    self.allowed
                        .insert((labels.clone(), time), BTreeSet::from([bits]));
                }
            }
            self.allowed.retain(|key, _| seen.contains(key));
        }
        for key in self.acknowledged.keys() {
            assert!(seen.contains(key), "{key:?} was acknowledged and is gone");
        }
    }

    /// Once everything is rolled up, windows say what the samples say.
    fn check_windows(&mut self, store: &Store) {
        store.compact().unwrap();
        let samples: BTreeMap<Labels, rollups::Samples> = rows(store, &asking("", Resolution::Raw))
            .unwrap()
            .into_iter()
            .map(|(labels, samples, ..)| {
                let of_bits = |(time, bits)| (time, f64::from_bits(bits));
                (labels, samples.into_iter().map(of_bits).collect())
            })
            .collect();
        for (function, column) in [("count_over_time", 0), ("sum_over_time", 1)] {
            let request = asking(function, Resolution::AtMost(300_000));
            for data in store.scan(&request).unwrap().rows() {
                let data = data.unwrap();
                let resolution_at = |time: i64| RolledUp::resolution_at(&data.rolled_up, time);
                let points = data
                    .timestamps_ms
                    .iter()
                    .copied()
                    .zip(data.values.iter().copied());
                let got: Vec<(i64, f64)> = points.filter(|(time, _)| resolution_at(*time) > 0).collect();
                let expected = rollups::windows(&samples[&data.labels], 300_000);
                let expected: Vec<(i64, f64)> = expected
                    .into_iter()
                    .filter(|(end, _)| resolution_at(*end) > 0)
                    .filter_map(|(end, w)| Some((end, w.of_samples?[column])))
                    .collect();
                assert_eq!(got, expected, "{function} of {}", data.labels);
                self.windows += got.len();
            }
            assert!(request.budget.warnings().is_empty());
        }
    }

    fn write(&mut self, store: &Store) {
        let mut series_of_batch = Vec::new();
        for _ in 0..=self.rng.below(3) {
            let job = ["a", "b", "c"][self.rng.below(3) as usize];
            let time = NOON_MS + self.rng.below(40) as i64 * 7_200_000 - 40 * 3_600_000;
            self.next_value += 1;
            series_of_batch.push(series(labels("up", job), &[(time, self.next_value as f64)]));
        }
        let mut batch = batch(series_of_batch.clone());
        if self.rng.one_in(2) {
            self.sequence += 1;
            batch.origin = Some(origin(self.sequence));
        }
        // An agent tries again until it has an answer.
        for _ in 0..3 {
            let result = now(store.write(batch.clone()));
            for s in &series_of_batch {
                let key = (s.labels.clone(), s.samples[0].timestamp_ms);
                let bits = s.samples[0].value.to_bits();
                if result.is_ok() {
                    self.allowed.insert(key.clone(), BTreeSet::from([bits]));
                    self.acknowledged.insert(key, bits);
                } else {
                    self.allowed.entry(key).or_default().insert(bits);
                }
            }
            match result {
                Ok(outcome) => {
                    self.taken += outcome.accepted + outcome.duplicates;
                    assert_eq!(outcome.rejected_count(), 0);
                    return;
                }
                Err(e) => assert_eq!(e.kind(), ErrorKind::Unavailable, "{e}"),
            }
        }
    }

    /// Deletes a job in a range of times. What was acknowledged before is gone for good if it was done, and may be
    /// if not.
    fn delete(&mut self, store: &Store) {
        let job = ["a", "b", "c"][self.rng.below(3) as usize];
        let start = NOON_MS + self.rng.below(40) as i64 * 7_200_000 - 40 * 3_600_000;
        let range = (start, start + self.rng.below(20) as i64 * 7_200_000);
        let selector = Predicate::Label(model::Matcher::new("job", model::MatchOp::Equal, job).unwrap());
        let done = store.delete(&Name::default(), &[selector], range, &Budget::unlimited());
        let keys = self.acknowledged.keys();
        let meant = keys
            .filter(|(labels, time)| labels.get("job") == Some(job) && (range.0..=range.1).contains(time));
        for key in meant.cloned().collect::<Vec<_>>() {
            let bits = self.acknowledged.remove(&key);
            if let (Ok(_), Some(bits), Some(allowed)) = (&done, bits, self.allowed.get_mut(&key)) {
                // A write that had no answer may still come to light.
                allowed.remove(&bits);
            }
        }
    }

    /// Time passes, or somebody sets the clock: never so far that the retention would take anything.
    fn pass_time(&mut self) {
        if self.rng.one_in(2) {
            let by_s = self.rng.below(3600);
            self.clock.advance_ns(by_s * 1_000_000_000);
        }
        if self.rng.one_in(2) {
            let days = self.rng.below(8) as i64 - 4;
            self.clock.jump_to_ns((NOON_MS + days * DAY_MS) * 1_000_000);
        }
    }

    /// Takes a snapshot while the disk does what it likes.
    fn snapshot(&mut self, store: &Store) {
        let name = format!("20231114T221320Z-{:016x}", self.snapshots.len());
        let snapshots = Snapshots::open(Arc::new(self.fs.clone()), Path::new("/data"), 1000);
        self.fs.set_links(!self.rng.one_in(3));
        let promise = Promise {
            allowed: self.allowed.clone(),
            acknowledged: self.acknowledged.clone(),
            is_told: false,
        };
        self.snapshots.insert(name.clone(), promise);
        let (fs, rng) = (self.fs.clone(), &mut self.rng);
        let taken = snapshots.create(&name, |to| {
            match rng.below(8) {
                0 | 1 => fs.fail_power_after(rng.below(60)),
                2 => fs.set_capacity(Some(fs.used_bytes() + rng.below(3000))),
                3 => fs.set_error_rate(Operation::Name, 0.1),
                4 => fs.set_error_rate(Operation::SyncDir, 0.1),
                _ => {}
            }
            store.snapshot(to, false)
        });
        if let Some(promise) = self.snapshots.get_mut(&name) {
            promise.is_told = taken.is_ok();
        }
        // What was left unfinished goes when there is room and power again, and no list shows it.
        let listed = snapshots.list().unwrap_or_default();
        assert!(taken.is_err() || listed.iter().any(|s| s.name == name) || self.fs.is_powerless());
    }

    /// Every snapshot that there is, whether somebody was told of it or not, is whole; and those that somebody was
    /// told of are there. Called after a start.
    fn check_snapshots(&mut self) {
        let fs: Arc<dyn Fs> = Arc::new(self.fs.clone());
        let snapshots = Snapshots::open(fs.clone(), Path::new("/data"), 1000);
        let listed: Vec<String> = snapshots.list().unwrap().into_iter().map(|s| s.name).collect();
        let there: Vec<String> = (fs.read_dir(Path::new("/data/snapshots")).into_iter().flatten())
            .map(|e| e.name)
            .collect();
        assert_eq!(there, listed, "nothing unfinished stays");
        for (name, promise) in std::mem::take(&mut self.snapshots) {
            if !listed.contains(&name) {
                assert!(!promise.is_told, "{name} is gone");
                continue;
            }
            self.taken_snapshots += 1;
            let from = Path::new("/data/snapshots").join(&name);
            let tenants = layout::tenants(fs.as_ref(), &from, StoreName::Metrics).unwrap();
            for tenant in &tenants {
                verify::store(&fs, &from, tenant, StoreName::Metrics, &mut |event| {
                    assert!(!matches!(event, Event::Problem(_)), "{name}: {event:?}");
                });
            }
            if tenants.is_empty() {
                assert!(promise.acknowledged.is_empty());
                snapshots.remove(&name).unwrap();
                continue;
            }
            let to = DataDir::open(fs.clone(), Path::new("/restored")).unwrap();
            snapshot::restore(&fs, &from, &to, &mut |_| {}).unwrap();
            let restored =
                Store::open(fs.clone(), to.root(), options(), self.clock.clone(), &NoMeter).unwrap();
            let seen = check_values(&restored, &promise.allowed);
            let lost = promise.acknowledged.keys().find(|key| !seen.contains(*key));
            assert!(
                lost.is_none(),
                "{name}: {lost:?} was acknowledged before and is not in it"
            );
            drop((restored, to));
            fs.remove_dir_all(Path::new("/restored")).unwrap();
            snapshots.remove(&name).unwrap();
        }
    }

    fn life(&mut self) {
        let store = self.open();
        self.check(&store, true);
        self.check_snapshots();
        if self.rng.one_in(2) {
            self.fs.fail_power_after(self.rng.below(120));
        }
        for _ in 0..self.rng.below(25) {
            match self.rng.below(30) {
                0 => self
                    .fs
                    .set_capacity(Some(self.fs.used_bytes() + self.rng.below(2000))),
                1 => self.fs.set_error_rate(Operation::Sync, 0.2),
                2 => self.fs.set_error_rate(Operation::Write, 0.2),
                3 => self.fs.set_error_rate(Operation::SyncDir, 0.2),
                4 => self.fs.set_error_rate(Operation::Name, 0.2),
                5 | 6 => self.fs.heal(),
                // Failures are what this is about; what they must not cost is checked at the next start.
                7 | 8 => drop(store.flush()),
                9 | 10 => drop(store.maintain().and_then(|()| store.merge())),
                11 => drop(store.compact()),
                12 if self.rng.one_in(3) => drop(store.close()),
                13 | 14 => self.delete(&store),
                15 => drop(store.clean()),
                16 => self.pass_time(),
                17 | 18 => self.snapshot(&store),
                _ => self.write(&store),
            }
        }
        if !self.fs.is_powerless() {
            self.fs.heal();
            self.check(&store, false);
        }
        drop(store);
        if self.rng.one_in(3) && !self.fs.is_powerless() {
            self.fs.kill();
        } else {
            self.fs.crash();
        }
        self.fs.heal();
    }
}

/// What a store shows: each time once, and only values that it may have.
fn check_values(store: &Store, allowed: &Allowed) -> BTreeSet<(Labels, i64)> {
    // Days whose samples changed lately may have old windows.
    let request = asking("", Resolution::Raw);
    let found = rows(store, &request).unwrap();
    let warnings = request.budget.warnings();
    assert!(warnings.is_empty(), "{warnings:?}");
    let mut seen = BTreeSet::new();
    for (labels, samples, ..) in found {
        assert!(
            samples.is_sorted_by(|a, b| a.0 < b.0),
            "each time once: {samples:?}"
        );
        for (time, bits) in samples {
            let key = (labels.clone(), time);
            let allowed = allowed.get(&key);
            assert!(
                allowed.is_some_and(|a| a.contains(&bits)),
                "{key:?} has {bits}, not one of {allowed:?}"
            );
            seen.insert(key);
        }
    }
    seen
}

#[test]
fn simulated_lives_keep_what_was_acknowledged() {
    let (mut taken, mut snapshots, mut windows) = (0, 0, 0);
    for seed in 0..seeds(1000) {
        let run = std::panic::catch_unwind(|| {
            let mut sim = Sim::new(seed);
            (0..6).for_each(|_| sim.life());
            let store = sim.open();
            sim.check(&store, true);
            sim.check_snapshots();
            sim.check_windows(&store);
            (sim.taken, sim.taken_snapshots, sim.windows)
        });
        match run {
            Ok((samples, of_sim, looked_at)) => {
                taken += samples;
                snapshots += of_sim;
                windows += looked_at;
            }
            Err(cause) => {
                eprintln!("seed {seed}");
                std::panic::resume_unwind(cause);
            }
        }
    }
    assert!(
        taken > 0 && snapshots > 0 && windows > 0,
        "{taken}, {snapshots}, {windows}"
    );
}
