//! PromQL: the engine, its answers and its options.

mod ast;
mod calls;
mod eval;
mod explain;
mod extrapolation;
mod functions;
mod histogram;
mod info;
pub(crate) mod label_functions;
pub mod native;
mod notes;
mod plan;
mod ranges;
mod second_opinion;
mod select;
pub mod series_notation;
mod share;
pub mod syntax;
mod vectors;
mod window;

use crate::columns::{Column, Steps, drop_names, into_matrix, into_vector};
use eval::{Evaluator, Value};
pub use explain::Explained;
use explain::Explaining;
use model::metric::Histogram;
use model::{
    Budget, Error, Labels, Matcher, QueryLimits, Read, Resolution, Result, Sample, SeriesData, Tenant,
};
use plan::Times;
pub use second_opinion::second_opinion;
use std::cell::RefCell;
use std::sync::Arc;

/// One element of an instant vector.
#[derive(Debug, Clone, PartialEq)]
pub struct InstantSample {
    /// The element's labels.
    pub labels: Labels,
    /// Milliseconds since the epoch.
    pub timestamp_ms: i64,
    /// The value; not used where there is a histogram.
    pub value: f64,
    /// The native histogram, when the element is one.
    pub histogram: Option<Arc<Histogram>>,
}

/// The value of an expression.
#[derive(Debug, Clone)]
pub enum QueryValue {
    /// One number.
    Scalar(Sample),
    /// One text.
    String {
        /// Milliseconds since the epoch.
        timestamp_ms: i64,
        /// The text.
        value: String,
    },
    /// One value per series, in the order that Prometheus gives.
    Vector(Vec<InstantSample>),
    /// Values over time per series, sorted by labels.
    Matrix(Vec<SeriesData>),
}

/// What a query gives back.
#[derive(Debug, Clone)]
pub struct QueryResult {
    /// The value.
    pub value: QueryValue,
    /// Texts for the user: the answer is probably not what was meant. Sorted and unique.
    pub warnings: Vec<String>,
    /// Texts for the user: something to know about the answer. Sorted and unique.
    pub infos: Vec<String>,
    /// How the parts of the query were evaluated, for [`Engine::explaining`].
    pub explained: Option<Explained>,
    /// How long it took.
    pub timings: Timings,
}

/// Where the time of a query went, by the clock of its budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timings {
    /// Parsing, checking and planning, in nanoseconds.
    pub prepare_ns: u64,
    /// Reading and evaluating, in nanoseconds.
    pub evaluate_ns: u64,
    /// Putting the answer in order, in nanoseconds.
    pub sort_ns: u64,
}

/// The evaluation times of a range query: `start_ms`, `start_ms + step_ms`, … up to `end_ms` included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RangeParams {
    /// Milliseconds since the epoch.
    pub start_ms: i64,
    /// Milliseconds since the epoch.
    pub end_ms: i64,
    /// Milliseconds, more than 0.
    pub step_ms: i64,
}

impl RangeParams {
    /// Refuses more steps from the start to the end than so many.
    ///
    /// # Errors
    /// `BadData`, in the words of Prometheus and with the name of the limit.
    pub fn check_points(&self, max: u64) -> Result<()> {
        let steps = self.end_ms.saturating_sub(self.start_ms) / self.step_ms.max(1);
        if steps.unsigned_abs() <= max {
            return Ok(());
        }
        Err(Error::bad_data(format!(
            "exceeded maximum resolution of {} points per timeseries. Try decreasing the query resolution (?step=XX) (limits.query.max_points_per_series)",
            by_thousands(max)
        )))
    }
}

/// Digits in groups of three: `11,000`.
fn by_thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// How an engine evaluates, besides what the budget of each query says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// How far back an instant selector looks for a sample.
    pub lookback_ms: i64,
    /// The step of a subquery that names none.
    pub subquery_step_ms: i64,
    /// Steps of a range query from its start to its end.
    pub max_points_per_series: u64,
    /// Bytes of one answer, as held in memory.
    pub max_response_bytes: u64,
    /// Whether rolled-up data is wanted where there are samples as they came.
    pub resolution: Resolution,
}

impl Default for Options {
    fn default() -> Self {
        Self::from(&QueryLimits::default())
    }
}

impl From<&QueryLimits> for Options {
    fn from(limits: &QueryLimits) -> Self {
        Self {
            lookback_ms: 300_000,
            subquery_step_ms: 60_000,
            max_points_per_series: limits.max_points_per_series,
            max_response_bytes: limits.max_response_bytes,
            resolution: Resolution::Auto,
        }
    }
}

/// Evaluates PromQL over a read door. Clones share the door.
#[derive(Clone)]
pub struct Engine {
    store: Arc<dyn Read<SeriesData>>,
    options: Options,
    explains: bool,
}

impl Engine {
    /// An engine with the default options.
    pub fn new(store: Arc<dyn Read<SeriesData>>) -> Self {
        Self::with_options(store, Options::default())
    }
    /// An engine with options, for instance from the limits of the configuration.
    pub fn with_options(store: Arc<dyn Read<SeriesData>>, options: Options) -> Self {
        Self {
            store,
            options,
            explains: false,
        }
    }
    /// The same engine for queries that want rolled-up data, or none.
    #[must_use]
    pub fn at_resolution(&self, resolution: Resolution) -> Self {
        let mut engine = self.clone();
        engine.options.resolution = resolution;
        engine
    }
    /// The same engine for queries of which somebody wants to know how they are evaluated.
    #[must_use]
    pub fn explaining(&self) -> Self {
        Self {
            explains: true,
            ..self.clone()
        }
    }
    /// The same engine with another look back for samples.
    #[must_use]
    pub fn with_lookback(&self, lookback_ms: i64) -> Self {
        let mut engine = self.clone();
        engine.options.lookback_ms = lookback_ms;
        engine
    }
    /// Evaluates an expression at one time.
    ///
    /// # Errors
    /// `BadData` when the expression does not parse, `Execution` when it cannot be evaluated over this data (for
    /// instance many-to-many matching), `LimitReached`, `Timeout` and `Cancelled` from the budget.
    pub fn instant(&self, tenant: &Tenant, expr: &str, at_ms: i64, budget: &Budget) -> Result<QueryResult> {
        let steps = Steps::at(at_ms);
        let text = expr;
        let mut watch = Watch::new(budget);
        let expr = plan::plan(text, Times::at(at_ms))?;
        let prepare_ns = watch.lap_ns();
        let evaluator = self.evaluator(tenant, budget, text, &expr);
        let limit = self.options.max_response_bytes;
        let (value, evaluate_ns) = if expr.kind() == ast::Kind::Matrix {
            let matrix = evaluator.raw(&expr, steps)?;
            (QueryValue::Matrix(matrix), watch.lap_ns())
        } else {
            let value = evaluator.eval(&expr, steps)?;
            let evaluate_ns = watch.lap_ns();
            let value = match value {
                Value::Scalar(values) => QueryValue::Scalar(Sample {
                    timestamp_ms: at_ms,
                    value: values[0],
                }),
                Value::Text(value) => QueryValue::String {
                    timestamp_ms: at_ms,
                    value,
                },
                Value::Vector(columns) => {
                    QueryValue::Vector(into_vector(drop_names(columns)?, at_ms, limit)?)
                }
            };
            (value, evaluate_ns)
        };
        let timings = Timings {
            prepare_ns,
            evaluate_ns,
            sort_ns: watch.lap_ns(),
        };
        Ok(evaluator.result(value, timings))
    }
    /// Evaluates an expression at each step of a range; the value is always a matrix.
    ///
    /// # Errors
    /// As [`Engine::instant`]; more points than `max_points_per_series` are `BadData`.
    pub fn range(
        &self,
        tenant: &Tenant,
        expr: &str,
        params: RangeParams,
        budget: &Budget,
    ) -> Result<QueryResult> {
        let steps = self.steps(params)?;
        let text = expr;
        let times = Times {
            start_ms: params.start_ms,
            end_ms: params.end_ms,
            step_ms: params.step_ms,
        };
        let mut watch = Watch::new(budget);
        let expr = plan::plan(text, times)?;
        Evaluator::check_range_kind(&expr)?;
        let prepare_ns = watch.lap_ns();
        let evaluator = self.evaluator(tenant, budget, text, &expr);
        let value = evaluator.eval(&expr, steps)?;
        let evaluate_ns = watch.lap_ns();
        let columns = match value {
            Value::Scalar(values) => vec![Column::new(Labels::empty(), values)],
            Value::Vector(columns) => drop_names(columns)?,
            Value::Text(_) => Vec::new(),
        };
        let matrix = into_matrix(columns, steps, self.options.max_response_bytes)?;
        let timings = Timings {
            prepare_ns,
            evaluate_ns,
            sort_ns: watch.lap_ns(),
        };
        Ok(evaluator.result(QueryValue::Matrix(matrix), timings))
    }

    fn steps(&self, params: RangeParams) -> Result<Steps> {
        let RangeParams {
            start_ms,
            end_ms,
            step_ms,
        } = params;
        if step_ms <= 0 {
            return Err(Error::bad_data(format!(
                "the step of {step_ms} ms is not more than 0"
            )));
        }
        if end_ms < start_ms {
            return Err(Error::bad_data("the end of the range is before its start"));
        }
        params.check_points(self.options.max_points_per_series)?;
        Ok(Steps::range(start_ms, end_ms, step_ms))
    }

    fn evaluator<'a>(
        &'a self,
        tenant: &'a Tenant,
        budget: &'a Budget,
        query: &'a str,
        expr: &ast::Expr,
    ) -> Evaluator<'a> {
        Evaluator {
            store: &*self.store,
            tenant,
            budget,
            options: &self.options,
            query,
            notes: RefCell::default(),
            shared: share::Shared::of(expr, query),
            explaining: self.explains.then(|| RefCell::new(Explaining::default())),
        }
    }
}

impl Evaluator<'_> {
    fn result(self, value: QueryValue, timings: Timings) -> QueryResult {
        let mut notes = self.notes.into_inner();
        notes.rolled_up(&self.budget.rolled_up());
        let (warnings, infos) = notes.texts(self.query);
        QueryResult {
            value,
            warnings: self.budget.warnings().into_iter().chain(warnings).collect(),
            infos,
            explained: self.explaining.and_then(|e| e.into_inner().done),
            timings,
        }
    }
}

/// Takes the times of the parts of a query.
struct Watch<'a> {
    budget: &'a Budget,
    since_ns: u64,
}

impl<'a> Watch<'a> {
    fn new(budget: &'a Budget) -> Self {
        let since_ns = budget.elapsed_ns();
        Self { budget, since_ns }
    }
    /// Time since the last time that was taken.
    fn lap_ns(&mut self) -> u64 {
        let now_ns = self.budget.elapsed_ns();
        now_ns.saturating_sub(std::mem::replace(&mut self.since_ns, now_ns))
    }
}

/// Checks that an expression parses and that this engine can evaluate it; for rule files.
///
/// # Errors
/// `BadData` with a sentence that says what is wrong.
pub fn parse(expr: &str) -> Result<()> {
    plan::plan(expr, Times::at(0)).map(|_| ())
}

/// Reads a bare selector, as the parameter `match[]` has it, into its matchers.
///
/// # Errors
/// `BadData` when it does not parse, or is more than a selector of instants without modifiers.
pub fn parse_selector(text: &str) -> Result<Vec<Matcher>> {
    syntax::parse_metric_selector(text)
}
