//! LogQL: the engine, its answers and its parameters.

mod ast;
mod eval;
mod json;
mod lexer;
mod logfmt;
mod parser;
mod pipeline;

use crate::columns::{Column, into_matrix, into_vector};
use crate::promql::InstantSample;
use ast::Query;
use eval::{Evaluator, Times, Value};
use model::{
    Budget, Direction, Error, Labels, LogBatch, Matcher, QueryLimits, Read, Result, Sample, SeriesData,
    Tenant, TimeRange,
};
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
        let evaluator = self.evaluator(tenant, budget);
        match parser::parse(expr)? {
            Query::Log(selector) => {
                let max = self.limits.max_rows;
                if params.limit as u64 > max {
                    return Err(Error::bad_data(format!(
                        "max entries limit per query exceeded, limit > max_entries_limit ({} > {max}, limits.query.max_rows)",
                        params.limit
                    )));
                }
                let range = TimeRange {
                    start_ns: params.start_ns,
                    end_ns: params.end_ns.saturating_sub(1),
                };
                let streams = evaluator.log(&selector, range, params.limit, params.direction)?;
                self.check_size(&streams)?;
                Ok(LogResult::Streams(streams))
            }
            Query::Metric(metric) => {
                let times = self.times(params)?;
                let columns = match evaluator.metric(&metric, times)? {
                    Value::Vector(columns) => columns,
                    Value::Scalar(n) => vec![Column::new(Labels::empty(), vec![n; times.count])],
                };
                let matrix = into_matrix(columns, times.steps(), self.limits.max_response_bytes)?;
                Ok(LogResult::Matrix(matrix))
            }
        }
    }
    /// Evaluates a metric query at one time.
    ///
    /// # Errors
    /// As [`Engine::range`]; a log query is `BadData`, as in Loki.
    pub fn instant(&self, tenant: &Tenant, expr: &str, at_ns: i64, budget: &Budget) -> Result<LogResult> {
        let Query::Metric(metric) = parser::parse(expr)? else {
            return Err(Error::bad_data(
                "log queries are not supported as an instant query type, please change your query to a range query type",
            ));
        };
        let times = Times {
            start_ns: at_ns,
            step_ns: 0,
            count: 1,
        };
        let at_ms = times.steps().start_ms;
        match self.evaluator(tenant, budget).metric(&metric, times)? {
            Value::Scalar(value) => Ok(LogResult::Scalar(Sample {
                timestamp_ms: at_ms,
                value,
            })),
            Value::Vector(columns) => {
                let vector = into_vector(columns, at_ms, self.limits.max_response_bytes)?;
                Ok(LogResult::Vector(vector))
            }
        }
    }

    fn evaluator<'a>(&'a self, tenant: &'a Tenant, budget: &'a Budget) -> Evaluator<'a> {
        Evaluator {
            store: &*self.store,
            tenant,
            budget,
        }
    }

    fn times(&self, params: LogParams) -> Result<Times> {
        if params.step_ns < 1_000_000 {
            return Err(Error::bad_data(
                "the step of a metric query must be at least a millisecond",
            ));
        }
        if params.end_ns < params.start_ns {
            return Err(Error::bad_data("the end of the range is before its start"));
        }
        let points = (params.end_ns.saturating_sub(params.start_ns) / params.step_ns).unsigned_abs() + 1;
        let max = self.limits.max_points_per_series;
        if points > max {
            return Err(Error::bad_data(format!(
                "exceeded maximum resolution of {max} points per timeseries (limits.query.max_points_per_series). Try increasing the value of the step parameter"
            )));
        }
        Ok(Times {
            start_ns: params.start_ns,
            step_ns: params.step_ns,
            count: usize::try_from(points).unwrap_or(usize::MAX),
        })
    }

    fn check_size(&self, streams: &[LogBatch]) -> Result<()> {
        let of_entry = |e: &model::LogEntry| {
            32 + e.line.len()
                + e.metadata
                    .iter()
                    .map(|(k, v)| k.len() + v.len() + 8)
                    .sum::<usize>()
        };
        let bytes: usize = streams
            .iter()
            .map(|s| s.labels.size_bytes() + s.entries.iter().map(of_entry).sum::<usize>())
            .sum();
        let max = self.limits.max_response_bytes;
        if bytes as u64 > max {
            return Err(Error::limit(format!(
                "the answer has {bytes} bytes, more than {max} (limits.query.max_response_bytes); ask for fewer lines"
            )));
        }
        Ok(())
    }
}

/// Checks that a query parses and that this engine can evaluate it.
///
/// # Errors
/// `BadData` with line and column.
pub fn parse(expr: &str) -> Result<()> {
    parser::parse(expr).map(|_| ())
}

/// Reads a bare stream selector, as the parameters `match[]` and `query` of the label endpoints have it.
///
/// # Errors
/// `BadData` with line and column when it does not parse or has a pipeline.
pub fn parse_selector(text: &str) -> Result<Vec<Matcher>> {
    match parser::parse(text)? {
        Query::Log(selector) if selector.stages.is_empty() => Ok(selector.matchers),
        _ => Err(Error::bad_data(format!("{text:?} is not a stream selector"))),
    }
}
