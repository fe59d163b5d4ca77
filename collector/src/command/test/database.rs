//! The store in memory that a group of tests runs over, with its engine.

use model::{
    Batch, Budget, BudgetLimits, Clock, ManualClock, Metrics, NoMeter, QueryLimits, Result, Series, Tenant,
    Write as _,
};
use query::promql::{Engine, Options, QueryResult};
use std::collections::VecDeque;
use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use storage::{CommitOptions, FaultyFs};
use tsdb::Store;

/// A store that starts empty, and the series that come into it as time goes on.
pub(super) struct Database {
    store: Store,
    engine: Engine,
    clock: Arc<dyn Clock>,
    tenant: Tenant,
    coming: Vec<Coming>,
}

/// What is left of a series.
struct Coming {
    series: Series,
    samples: VecDeque<model::Sample>,
    histograms: VecDeque<model::metric::HistogramSample>,
}

impl Database {
    /// An empty one. `clock` measures the time of queries.
    pub(super) fn open(
        series: Vec<Series>,
        subquery_step_ms: i64,
        start_ms: i64,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let mut options = tsdb::Options {
            retention_ms: None,
            commit: CommitOptions::inline(),
            ..tsdb::Options::default()
        };
        options.limits.max_future_ms = u64::MAX;
        let store = Store::open(
            Arc::new(FaultyFs::new(0)),
            Path::new("/data"),
            options,
            Arc::new(ManualClock::at_ns(
                start_ms.saturating_mul(model::time::NS_PER_MS),
            )),
            &NoMeter,
        )?;
        let engine_options = Options {
            subquery_step_ms,
            ..Options::default()
        };
        let coming = series.into_iter().map(|mut series| Coming {
            samples: std::mem::take(&mut series.samples).into(),
            histograms: std::mem::take(&mut series.histograms).into(),
            series,
        });
        Ok(Self {
            engine: Engine::with_options(Arc::new(store.clone()), engine_options),
            store,
            clock,
            tenant: Tenant::default(),
            coming: coming.collect(),
        })
    }

    /// Lets the points up to a time come in.
    pub(super) fn load_until(&mut self, time_ms: i64) -> Result<()> {
        let mut due = Vec::new();
        for coming in &mut self.coming {
            let mut series = Series {
                labels: coming.series.labels.clone(),
                ..Series::default()
            };
            while let Some(sample) = coming.samples.pop_front_if(|s| s.timestamp_ms <= time_ms) {
                series.samples.push(sample);
            }
            while let Some(sample) = coming.histograms.pop_front_if(|h| h.timestamp_ms <= time_ms) {
                series.histograms.push(sample);
            }
            if !series.samples.is_empty() || !series.histograms.is_empty() {
                due.push(series);
            }
        }
        self.coming
            .retain(|c| !c.samples.is_empty() || !c.histograms.is_empty());
        self.write(due)
    }

    /// Writes series; all of it is taken, or it is an error.
    pub(super) fn write(&self, series: Vec<Series>) -> Result<()> {
        if series.is_empty() {
            return Ok(());
        }
        let payload = Metrics {
            series,
            ..Metrics::default()
        };
        let outcome = done(self.store.write(Batch::new(self.tenant.clone(), payload)))?;
        if outcome.rejected_count() == 0 {
            return Ok(());
        }
        Err(model::Error::limit(format!(
            "the store refuses a part: {}",
            outcome.rejection_message()
        )))
    }

    /// Evaluates an expression at a time.
    pub(super) fn ask(&self, expr: &str, at_ms: i64) -> Result<QueryResult> {
        let limits = QueryLimits::default();
        let limits = BudgetLimits {
            max_series: limits.max_series,
            max_samples: limits.max_samples,
            max_bytes: limits.max_bytes,
            timeout_ms: limits.timeout_ms,
        };
        let budget = Budget::new(limits, Arc::clone(&self.clock));
        self.engine.instant(&self.tenant, expr, at_ms, &budget)
    }
}

/// The answer of a future that never waits: commits are inline.
fn done<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    let mut future = pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => Err(model::Error::internal("a write to the store in memory waits")),
    }
}
