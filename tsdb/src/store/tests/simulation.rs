//! Seeded lives with crashes, failing and full disks: what was acknowledged is there, once.

use super::*;
use std::collections::BTreeSet;
use storage::Rng;
use storage::faulty_fs::Operation;

/// What the clients know.
struct Sim {
    fs: FaultyFs,
    rng: Rng,
    clock: Arc<ManualClock>,
    /// The values that a series and time may have: what was acknowledged last, or any write without an answer
    /// since.
    allowed: BTreeMap<(Labels, i64), BTreeSet<u64>>,
    /// The series and times that must be there, with the value that was acknowledged.
    acknowledged: BTreeMap<(Labels, i64), u64>,
    sequence: u64,
    next_value: u64,
    taken: u64,
}

impl Sim {
    fn new(seed: u64) -> Self {
        Self {
            fs: FaultyFs::new(seed),
            rng: Rng::new(seed ^ 0xb1aac1e),
            clock: clock(),
            allowed: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            sequence: 0,
            next_value: 1,
            taken: 0,
        }
    }

    fn open(&mut self) -> Store {
        loop {
            let e = match open_with(&self.fs, options(), &self.clock) {
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
        let request = everything();
        let found = rows(store, &request).unwrap();
        assert!(
            request.budget.warnings().is_empty(),
            "{:?}",
            request.budget.warnings()
        );
        let mut seen = BTreeSet::new();
        for (labels, samples, ..) in found {
            assert!(
                samples.is_sorted_by(|a, b| a.0 < b.0),
                "each time once: {samples:?}"
            );
            for (time, bits) in samples {
                let key = (labels.clone(), time);
                let allowed = self.allowed.get(&key);
                assert!(
                    allowed.is_some_and(|a| a.contains(&bits)),
                    "{key:?} has {bits}, not one of {allowed:?}"
                );
                if is_start {
                    self.allowed.insert(key.clone(), BTreeSet::from([bits]));
                }
                seen.insert(key);
            }
        }
        if is_start {
            self.allowed.retain(|key, _| seen.contains(key));
        }
        for key in self.acknowledged.keys() {
            assert!(seen.contains(key), "{key:?} was acknowledged and is gone");
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

    fn life(&mut self) {
        let store = self.open();
        self.check(&store, true);
        if self.rng.one_in(2) {
            self.fs.fail_power_after(self.rng.below(120));
        }
        for _ in 0..self.rng.below(25) {
            match self.rng.below(28) {
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

#[test]
fn simulated_lives_keep_what_was_acknowledged() {
    let mut taken = 0;
    for seed in 0..seeds(1000) {
        let run = std::panic::catch_unwind(|| {
            let mut sim = Sim::new(seed);
            (0..6).for_each(|_| sim.life());
            let store = sim.open();
            sim.check(&store, true);
            sim.taken
        });
        match run {
            Ok(n) => taken += n,
            Err(cause) => {
                eprintln!("seed {seed}");
                std::panic::resume_unwind(cause);
            }
        }
    }
    assert!(taken > 0);
}
