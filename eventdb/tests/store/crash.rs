//! Power failures at every kind of place: what was acknowledged is there, once.

use crate::support::*;
use model::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use storage::{FaultyFs, Rng};

/// What a run wrote: a number for each entry, and whether its batch was acknowledged.
#[derive(Default)]
struct Ledger {
    acknowledged: BTreeMap<u64, bool>,
    next: u64,
    sequence: u64,
}

impl Ledger {
    fn numbers(&mut self, count: u64) -> Vec<u64> {
        self.next += count;
        (self.next - count..self.next).collect()
    }
    fn note(&mut self, numbers: &[u64], acknowledged: bool) {
        for n in numbers {
            let known = self.acknowledged.entry(*n).or_default();
            *known |= acknowledged;
        }
    }
    /// Each acknowledged number is seen once; others at most once.
    fn check(&self, seen: &[u64], seed: u64) {
        let mut counts = BTreeMap::new();
        seen.iter().for_each(|n| *counts.entry(*n).or_insert(0) += 1);
        for (n, acknowledged) in &self.acknowledged {
            let count = counts.remove(n).unwrap_or(0);
            assert!(
                count == 1 || count == 0 && !acknowledged,
                "seed {seed}: {n} ({acknowledged}) is seen {count} times"
            );
        }
        assert!(counts.is_empty(), "seed {seed}: {counts:?} was never written");
    }
}

/// A store that writes numbers and shows them again.
trait Numbers {
    fn write(&self, numbers: &[u64], origin: Option<Origin>) -> Result<WriteOutcome>;
    fn read(&self) -> Result<Vec<u64>>;
    fn flush(&self) -> Result<()>;
    fn compact(&self) -> Result<()>;
    fn maintain(&self) -> Result<()>;
}

fn time_of(n: u64) -> i64 {
    // Over two days, in no order.
    (n as i64 * 7919 % 2000) * 86_400_000_000
}

impl Numbers for eventdb::LogStore {
    fn write(&self, numbers: &[u64], origin: Option<Origin>) -> Result<WriteOutcome> {
        let entries = numbers
            .iter()
            .map(|n| entry(time_of(*n), &format!("line {n} is written")))
            .collect();
        let payload = logs(stream(numbers.len() % 4), entries);
        now(Write::write(
            self,
            Batch {
                tenant: Tenant::default(),
                origin,
                payload,
            },
        ))
    }
    fn read(&self) -> Result<Vec<u64>> {
        let rows = log_rows(self, &request(Predicate::all(), TimeRange::ALL))?;
        Ok(rows
            .iter()
            .map(|r| r.2.split(' ').nth(1).unwrap().parse().unwrap())
            .collect())
    }
    fn flush(&self) -> Result<()> {
        Self::flush(self)
    }
    fn compact(&self) -> Result<()> {
        Self::compact(self)
    }
    fn maintain(&self) -> Result<()> {
        Self::maintain(self)
    }
}

impl Numbers for eventdb::TraceStore {
    fn write(&self, numbers: &[u64], origin: Option<Origin>) -> Result<WriteOutcome> {
        let span = |n: &u64| Span {
            trace_id: TraceId([(n % 5) as u8 + 1; 16]),
            span_id: SpanId((n + 1).to_be_bytes()),
            start_ns: time_of(*n),
            ..Span::default()
        };
        let group = ResourceSpans {
            spans: numbers.iter().map(span).collect(),
            ..ResourceSpans::default()
        };
        let payload = Spans { groups: vec![group] };
        now(Write::write(
            self,
            Batch {
                tenant: Tenant::default(),
                origin,
                payload,
            },
        ))
    }
    fn read(&self) -> Result<Vec<u64>> {
        let request = request(Predicate::all(), TimeRange::ALL);
        let mut numbers = Vec::new();
        for batch in (self as &dyn Read<SpanBatch>).scan(&request)?.rows() {
            let spans = batch?.groups.into_iter().flat_map(|g| g.spans);
            numbers.extend(spans.map(|s| u64::from_be_bytes(s.span_id.0) - 1));
        }
        Ok(numbers)
    }
    fn flush(&self) -> Result<()> {
        Self::flush(self)
    }
    fn compact(&self) -> Result<()> {
        Self::compact(self)
    }
    fn maintain(&self) -> Result<()> {
        Self::maintain(self)
    }
}

/// Writes, flushes, merges, and loses power again and again; after each start all is checked.
fn simulate<S: Numbers>(seed: u64, open: impl Fn(&Arc<FaultyFs>) -> Result<S>) {
    let fs = Arc::new(FaultyFs::new(seed));
    let mut rng = Rng::new(seed ^ 0x5eed);
    let mut ledger = Ledger::default();
    // A batch whose answer was lost is sent again until it is acknowledged, as an agent does.
    let mut unsure: Option<(Vec<u64>, Option<Origin>)> = None;
    for _ in 0..6 {
        fs.fail_power_after(rng.below(60));
        if let Ok(store) = open(&fs) {
            for _ in 0..12 {
                if fs.is_powerless() {
                    break;
                }
                match rng.below(8) {
                    0 => drop(store.flush()),
                    1 => drop(store.compact()),
                    2 => drop(store.maintain()),
                    _ => {
                        let (numbers, origin) = unsure.take().unwrap_or_else(|| {
                            let count = 1 + rng.below(20);
                            let numbers = ledger.numbers(count);
                            let origin = rng.one_in(2).then(|| {
                                ledger.sequence += 1;
                                origin("a", ledger.sequence)
                            });
                            (numbers, origin)
                        });
                        let done = store.write(&numbers, origin.clone());
                        ledger.note(&numbers, done.is_ok());
                        if done.is_err() {
                            unsure = Some((numbers, origin));
                        }
                    }
                }
            }
        }
        fs.crash();
        let store = open(&fs).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        ledger.check(&store.read().unwrap(), seed);
        if let Some((numbers, origin)) = unsure.take() {
            store.write(&numbers, origin).unwrap();
            ledger.note(&numbers, true);
            ledger.check(&store.read().unwrap(), seed);
        }
    }
}

fn options() -> eventdb::Options {
    // A flush in every third maintenance or so, and small segments, so that all kinds of files come and go.
    let log = storage::LogOptions {
        segment_bytes: 2000,
        ..storage::LogOptions::default()
    };
    eventdb::Options {
        flush_bytes: 3000,
        log,
        ..small()
    }
}

#[test]
fn acknowledged_log_entries_survive_power_failures() {
    let clock = Arc::new(ManualClock::default());
    for seed in 0..150 {
        simulate(seed, |fs| open_logs(fs, options(), &clock));
    }
}

#[test]
fn acknowledged_spans_survive_power_failures() {
    let clock = Arc::new(ManualClock::default());
    for seed in 1000..1150 {
        simulate(seed, |fs| open_traces(fs, options(), &clock));
    }
}
