//! What one query may spend, and the means to stop it.

use crate::{Clock, Error, ErrorKind, Result, RolledUp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The most that one query may use of each thing. The names are those of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BudgetLimits {
    /// Series or streams touched.
    pub max_series: u64,
    /// Samples, entries or spans held or looked at.
    pub max_samples: u64,
    /// Bytes read from disk and held in memory.
    pub max_bytes: u64,
    /// Time from the start, in milliseconds.
    pub timeout_ms: u64,
}

impl BudgetLimits {
    /// No limit at all; for tests and for work of our own that is bounded otherwise.
    pub const UNLIMITED: Self = Self {
        max_series: u64::MAX,
        max_samples: u64::MAX,
        max_bytes: u64::MAX,
        timeout_ms: u64::MAX,
    };
}

/// Stops a query from outside, for instance when its client has gone.
#[derive(Debug, Clone, Default)]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    /// Asks the query to stop at its next look.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
    /// Whether somebody asked.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A query's purse, shared by the engine and the stores that it reads. Clones share it.
#[derive(Clone)]
pub struct Budget(Arc<Inner>);

struct Inner {
    limits: BudgetLimits,
    series: AtomicU64,
    samples: AtomicU64,
    bytes: AtomicU64,
    clock: Arc<dyn Clock>,
    started_ns: u64,
    cancel: CancelToken,
    warnings: Mutex<BTreeSet<String>>,
    /// By resolution.
    rolled_up: Mutex<BTreeMap<i64, RolledUp>>,
    pool: Option<Pool>,
}

/// Bytes that all queries together may hold. Clones share it; a purse gives back what it took when the query ends.
#[derive(Debug, Clone)]
pub struct Pool {
    used: Arc<AtomicU64>,
    max_bytes: u64,
}

impl Pool {
    /// A pool of so many bytes.
    pub fn new(max_bytes: u64) -> Self {
        let used = Arc::default();
        Self { used, max_bytes }
    }
    /// Bytes that queries hold now.
    pub fn used_bytes(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }
    fn take(&self, n: u64) -> Result<()> {
        if self.used.fetch_add(n, Ordering::Relaxed).saturating_add(n) <= self.max_bytes {
            return Ok(());
        }
        let message = format!(
            "all queries together need more than {} bytes (limits.query.max_total_bytes); try again when others have ended",
            self.max_bytes
        );
        Err(Error::unavailable(message, Duration::from_secs(5)))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(pool) = &self.pool {
            pool.used
                .fetch_sub(self.bytes.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }
}

/// Different warnings that one query keeps; more add nothing for its reader.
const MAX_WARNINGS: usize = 20;

impl Budget {
    /// A full purse whose time starts now.
    pub fn new(limits: BudgetLimits, clock: Arc<dyn Clock>) -> Self {
        Self::of_pool(limits, clock, None)
    }
    /// As [`Budget::new`], for one of many queries that share a pool of bytes.
    pub fn of_pool(limits: BudgetLimits, clock: Arc<dyn Clock>, pool: Option<Pool>) -> Self {
        let zero = || AtomicU64::new(0);
        let started_ns = clock.monotonic_ns();
        let cancel = CancelToken::default();
        Self(Arc::new(Inner {
            limits,
            series: zero(),
            samples: zero(),
            bytes: zero(),
            clock,
            started_ns,
            cancel,
            warnings: Mutex::default(),
            rolled_up: Mutex::default(),
            pool,
        }))
    }
    /// A purse without bottom; for tests and for bounded work of our own.
    pub fn unlimited() -> Self {
        Self::new(BudgetLimits::UNLIMITED, Arc::new(crate::ManualClock::default()))
    }
    /// The token that stops this query.
    pub fn cancel_token(&self) -> CancelToken {
        self.0.cancel.clone()
    }
    /// The limits that this purse started with.
    pub fn limits(&self) -> BudgetLimits {
        self.0.limits
    }
    /// Samples charged so far.
    pub fn samples_used(&self) -> u64 {
        self.0.samples.load(Ordering::Relaxed)
    }
    /// Bytes charged so far.
    pub fn bytes_used(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }
    /// Nanoseconds since the query started.
    pub fn elapsed_ns(&self) -> u64 {
        self.0.clock.monotonic_ns().saturating_sub(self.0.started_ns)
    }
    /// Takes series out of the purse.
    pub fn charge_series(&self, n: u64) -> Result<()> {
        charge(
            &self.0.series,
            n,
            self.0.limits.max_series,
            "series",
            "max_series",
        )
    }
    /// Takes samples, entries or spans out of the purse.
    pub fn charge_samples(&self, n: u64) -> Result<()> {
        charge(
            &self.0.samples,
            n,
            self.0.limits.max_samples,
            "samples",
            "max_samples",
        )
    }
    /// Takes bytes out of the purse.
    pub fn charge_bytes(&self, n: u64) -> Result<()> {
        // Counted before it can fail, because what is counted is what the end of the query gives back.
        let own = charge(&self.0.bytes, n, self.0.limits.max_bytes, "bytes", "max_bytes");
        let shared = self.0.pool.as_ref().map_or(Ok(()), |pool| pool.take(n));
        own.and(shared)
    }
    /// Notes that the answer lacks something, for instance because of a damaged file. Equal ones are noted once.
    pub fn warn(&self, text: impl Into<String>) {
        let mut warnings = self.0.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        if warnings.len() < MAX_WARNINGS {
            warnings.insert(text.into());
        }
    }
    /// What was noted, for the warnings of the query's result.
    pub fn warnings(&self) -> Vec<String> {
        let warnings = self.0.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        warnings.iter().cloned().collect()
    }
    /// Notes that a stretch of time was answered from rolled-up data. Of each resolution one stretch is kept, which holds
    /// all that were noted.
    pub fn note_rolled_up(&self, stretch: RolledUp) {
        let mut all = self.0.rolled_up.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.entry(stretch.resolution_ms).or_insert(stretch);
        known.after_ms = known.after_ms.min(stretch.after_ms);
        known.until_ms = known.until_ms.max(stretch.until_ms);
    }
    /// What was answered from rolled-up data, the widest windows first; for the infos of the query's result.
    pub fn rolled_up(&self) -> Vec<RolledUp> {
        let all = self.0.rolled_up.lock().unwrap_or_else(PoisonError::into_inner);
        all.values().rev().copied().collect()
    }
    /// Fails when the query was cancelled or its time is over. Cheap enough for once per series or block.
    pub fn check(&self) -> Result<()> {
        if self.0.cancel.is_cancelled() {
            return Err(Error::new(ErrorKind::Cancelled, "the query was cancelled"));
        }
        let timeout_ms = self.0.limits.timeout_ms;
        if timeout_ms != u64::MAX && self.elapsed_ns() / 1_000_000 >= timeout_ms {
            return Err(Error::new(
                ErrorKind::Timeout,
                format!("the query took longer than {timeout_ms} ms (limits.query.timeout_ms)"),
            ));
        }
        Ok(())
    }
}

fn charge(used: &AtomicU64, n: u64, limit: u64, what: &str, key: &str) -> Result<()> {
    if used.fetch_add(n, Ordering::Relaxed).saturating_add(n) <= limit {
        return Ok(());
    }
    Err(Error::limit(format!(
        "the query needs more than {limit} {what} (limits.query.{key}); narrow it or raise the limit"
    )))
}

impl std::fmt::Debug for Budget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Budget")
            .field("limits", &self.0.limits)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ManualClock;

    #[test]
    fn queries_share_a_pool_and_give_back_what_they_took() {
        let pool = Pool::new(100);
        let query = || {
            Budget::of_pool(
                BudgetLimits::UNLIMITED,
                Arc::new(ManualClock::default()),
                Some(pool.clone()),
            )
        };
        let (first, second) = (query(), query());
        first.charge_bytes(80).unwrap();
        let error = second.charge_bytes(30).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.message().contains("max_total_bytes"), "{error}");
        drop(second);
        drop(first);
        assert_eq!(pool.used_bytes(), 0);
        query().charge_bytes(100).unwrap();
    }

    #[test]
    fn each_limit_ends_the_query_by_name() {
        let clock = Arc::new(ManualClock::default());
        let limits = BudgetLimits {
            max_series: 1,
            max_samples: 10,
            max_bytes: 100,
            timeout_ms: 5,
        };
        let budget = Budget::new(limits, clock.clone());
        budget.charge_series(1).unwrap();
        let says = |r: Result<()>, key: &str| {
            let e = r.unwrap_err();
            assert!(e.message().contains(key), "{e}");
            e.kind()
        };
        assert_eq!(
            says(budget.charge_series(1), "max_series"),
            ErrorKind::LimitReached
        );
        assert_eq!(
            says(budget.charge_samples(11), "max_samples"),
            ErrorKind::LimitReached
        );
        assert_eq!(
            says(budget.charge_bytes(u64::MAX), "max_bytes"),
            ErrorKind::LimitReached
        );
        budget.check().unwrap();
        clock.advance_ns(5_000_000);
        assert_eq!(says(budget.check(), "timeout_ms"), ErrorKind::Timeout);
        budget.clone().cancel_token().cancel();
        assert_eq!(says(budget.check(), "cancelled"), ErrorKind::Cancelled);
    }

    #[test]
    fn of_each_resolution_one_stretch_is_noted() {
        let budget = Budget::unlimited();
        let stretch = |resolution_ms, after_ms, until_ms| RolledUp {
            after_ms,
            until_ms,
            resolution_ms,
        };
        for noted in [stretch(5, 20, 30), stretch(60, 0, 20), stretch(5, 25, 40)] {
            budget.clone().note_rolled_up(noted);
        }
        assert_eq!(budget.rolled_up(), [stretch(60, 0, 20), stretch(5, 20, 40)]);
        let of = |time_ms| RolledUp::resolution_at(&budget.rolled_up(), time_ms);
        assert_eq!([0, 1, 20, 21, 40, 41].map(of), [0, 60, 60, 5, 5, 0]);
    }

    #[test]
    fn equal_warnings_are_noted_once_and_not_without_end() {
        let budget = Budget::unlimited();
        budget.warn("a part is damaged");
        budget.clone().warn("a part is damaged");
        assert_eq!(budget.warnings(), ["a part is damaged"]);
        (0..100).for_each(|i| budget.warn(format!("{i}")));
        assert_eq!(budget.warnings().len(), 20);
    }
}
