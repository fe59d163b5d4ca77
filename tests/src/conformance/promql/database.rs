//! An engine over a store of its own, as a program has them, in memory.

use model::{Batch, Budget, BudgetLimits, ManualClock, Metrics, NoMeter, Result, Series, Tenant, Write as _};
use query::promql::{Engine, QueryResult};
use runtime::SystemClock;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use storage::{CommitOptions, FaultyFs};
use tsdb::{Options, Store};

/// What one query may use, as in the reference.
const MAX_SAMPLES: u64 = 10_000;
/// The time that one query may take, in milliseconds.
const TIMEOUT_MS: u64 = 10_000;
/// The store's time: 1975. What is loaded lies before it and may be as old as it likes.
const NOW_NS: i64 = 5 * 365 * 86_400 * 1_000_000_000;

/// A store with its engine.
pub(super) struct Database {
    store: Store,
    engine: Engine,
    clock: SystemClock,
    tenant: Tenant,
}

impl Database {
    /// An empty one.
    pub(super) fn open() -> Result<Self> {
        let options = Options {
            retention_ms: None,
            commit: CommitOptions::inline(),
            ..Options::default()
        };
        let store = Store::open(
            Arc::new(FaultyFs::new(0)),
            Path::new("/data"),
            options,
            Arc::new(ManualClock::at_ns(NOW_NS)),
            &NoMeter,
        )?;
        Ok(Self {
            engine: Engine::new(Arc::new(store.clone())),
            store,
            clock: SystemClock::new(),
            tenant: Tenant::default(),
        })
    }

    /// Writes series; all of it is acknowledged, or it is an error.
    pub(super) fn load(&self, series: Vec<Series>) -> Result<(), String> {
        let with_points = |s: &Series| !s.samples.is_empty() || !s.histograms.is_empty();
        let payload = Metrics {
            series: series.into_iter().filter(with_points).collect(),
            ..Metrics::default()
        };
        let outcome = done(self.store.write(Batch::new(self.tenant.clone(), payload)))?;
        let outcome = outcome.map_err(|e| e.to_string())?;
        match outcome.rejected.first() {
            Some(rejection) => Err(format!("the store refuses a part: {rejection:?}")),
            None => Ok(()),
        }
    }

    /// Asks the engine; a panic is an error too.
    pub(super) fn ask(
        &self,
        query: impl FnOnce(&Engine, &Tenant, &Budget) -> Result<QueryResult>,
    ) -> Result<QueryResult, Problem> {
        let limits = BudgetLimits {
            max_samples: MAX_SAMPLES,
            timeout_ms: TIMEOUT_MS,
            ..BudgetLimits::UNLIMITED
        };
        let budget = Budget::new(limits, Arc::new(self.clock.clone()));
        match catch_unwind(AssertUnwindSafe(|| query(&self.engine, &self.tenant, &budget))) {
            Ok(answer) => answer.map_err(|e| Problem::Error(e.message().to_owned())),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
                Err(Problem::Panic(text.unwrap_or("without a text").to_owned()))
            }
        }
    }
}

/// Why there is no answer.
pub(super) enum Problem {
    /// The engine says so.
    Error(String),
    /// The engine is broken.
    Panic(String),
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Error(text) => write!(f, "error: {text}"),
            Self::Panic(text) => write!(f, "panic: {text}"),
        }
    }
}

/// The answer of a future that never waits: commits are inline.
fn done<T>(future: impl Future<Output = T>) -> Result<T, String> {
    let mut future = pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Ok(value),
        Poll::Pending => Err("the write waits for something".to_owned()),
    }
}
