//! LogQL: the engine, its answers and its parameters.

use crate::promql::InstantSample;
use model::{Budget, Direction, Error, LogBatch, QueryLimits, Read, Result, Sample, SeriesData, Tenant};
use std::sync::Arc;

/// What a LogQL query gives back.
#[derive(Debug, Clone)]
pub enum LogResult {
    /// Lines by stream; entries in the direction that was asked for, streams sorted by labels.
    Streams(Vec<LogBatch>),
    /// One value per series.
    Vector(Vec<InstantSample>),
    /// Values over time per series, sorted by labels.
    Matrix(Vec<SeriesData>),
    /// One number.
    Scalar(Sample),
}

/// The window of a range query. Times are in nanoseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogParams {
    /// The first time; for log queries lines at it are included.
    pub start_ns: i64,
    /// The last time; for log queries lines at it are excluded, as Loki does it.
    pub end_ns: i64,
    /// The distance of evaluation times of metric queries, more than 0.
    pub step_ns: i64,
    /// The most lines of a log query.
    pub limit: usize,
    /// Which end comes first.
    pub direction: Direction,
}

/// Evaluates LogQL over a read door. Clones share the door.
#[derive(Clone)]
pub struct Engine {
    store: Arc<dyn Read<LogBatch>>,
    limits: QueryLimits,
}

impl Engine {
    /// An engine with the default limits.
    pub fn new(store: Arc<dyn Read<LogBatch>>) -> Self {
        Self::with_limits(store, QueryLimits::default())
    }
    /// An engine with the limits of the configuration.
    pub fn with_limits(store: Arc<dyn Read<LogBatch>>, limits: QueryLimits) -> Self {
        Self { store, limits }
    }
    /// Evaluates a log query, or a metric query at each step of the range.
    ///
    /// # Errors
    /// `BadData` with line and column when the query does not parse or selects nothing in particular,
    /// `Execution` when it cannot be evaluated, `LimitReached`, `Timeout` and `Cancelled` from the budget.
    pub fn range(
        &self,
        tenant: &Tenant,
        expr: &str,
        params: LogParams,
        budget: &Budget,
    ) -> Result<LogResult> {
        let _ = (tenant, expr, params, budget, &self.store, &self.limits);
        Err(Error::internal("not there"))
    }
    /// Evaluates a metric query at one time.
    ///
    /// # Errors
    /// As [`Engine::range`]; a log query is `BadData`, as in Loki.
    pub fn instant(&self, tenant: &Tenant, expr: &str, at_ns: i64, budget: &Budget) -> Result<LogResult> {
        let _ = (tenant, expr, at_ns, budget);
        Err(Error::internal("not there"))
    }
}

/// Checks that a query parses and that this engine can evaluate it.
///
/// # Errors
/// `BadData` with line and column.
pub fn parse(expr: &str) -> Result<()> {
    let _ = expr;
    Err(Error::internal("not there"))
}
