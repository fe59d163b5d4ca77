//! The read door: a scan request goes in, batches come back, and the store says how much of the work it did.

use crate::{Budget, Labels, Predicate, Result, Tenant, TimeRange};

/// Which end of the time range comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// Oldest first.
    #[default]
    Forward,
    /// Newest first.
    Backward,
}

/// The columns that the caller will look at. A store may return more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Columns {
    /// Sample values, log lines, or whole spans; without it identities and times are enough.
    pub body: bool,
    /// Structured metadata, or attributes, events and links of spans.
    pub attributes: bool,
}

impl Columns {
    /// All of them.
    pub const ALL: Self = Self {
        body: true,
        attributes: true,
    };
}

/// Which samples a query wants where there are rolled-up ones besides those that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Resolution {
    /// Rolled-up ones only where the others have ended.
    #[default]
    Auto,
    /// Never rolled-up ones.
    Raw,
    /// Those of the widest windows up to so many milliseconds; where there are none, as [`Resolution::Auto`].
    AtMost(i64),
}

/// What the query is going to do with the data. A store may ignore all of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Hints {
    /// Distance between evaluation times, 0 for an instant query.
    pub step_ms: i64,
    /// The range selector's width, 0 for an instant selector.
    pub range_ms: i64,
    /// The function or aggregation around the selector, for instance `rate` or `count_over_time`.
    pub function: Option<String>,
    /// The labels of the aggregation around it: names, and whether they are `by` (true) or `without`.
    pub grouping: Option<(Vec<String>, bool)>,
    /// Upper bound on the number of series or streams that can matter, for labels-only requests.
    pub series_limit: Option<usize>,
    /// Whether rolled-up data will do.
    pub resolution: Resolution,
}

/// What to read.
#[derive(Debug, Clone)]
pub struct ScanRequest {
    /// Whose data.
    pub tenant: Tenant,
    /// Times, both included.
    pub range: TimeRange,
    /// Conditions.
    pub predicate: Predicate,
    /// Columns wanted.
    pub columns: Columns,
    /// What it is for.
    pub hints: Hints,
    /// Order of the batches; see [`Scan::batches`].
    pub direction: Direction,
    /// Rows after which the caller will stop; a store may use it to read less, never to return other rows.
    pub limit: Option<usize>,
    /// What the query may spend; charged by the store for what it reads. Holds the cancel token.
    pub budget: Budget,
}

impl ScanRequest {
    /// A request for everything that satisfies a predicate in a range.
    pub fn new(tenant: Tenant, range: TimeRange, predicate: Predicate, budget: Budget) -> Self {
        Self {
            tenant,
            range,
            predicate,
            columns: Columns::ALL,
            hints: Hints::default(),
            direction: Direction::Forward,
            limit: None,
            budget,
        }
    }
}

/// How far the store took a predicate or an aggregation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Done: the caller need not look again.
    Exact,
    /// Everything that satisfies it is there, and perhaps more: the caller checks each row.
    Superset,
    /// Ignored: the caller does all of it.
    NotDone,
}

/// One batch of an answer.
#[derive(Debug)]
pub enum ScanBatch<B> {
    /// Rows as stored.
    Rows(B),
    /// The aggregation of the hints, already done: only when [`Scan::aggregate`] is [`Answer::Exact`].
    Aggregated(Vec<crate::SeriesData>),
}

/// A store's answer.
pub struct Scan<B> {
    /// One answer for each leaf of the predicate, in the order of [`Predicate::leaves`].
    pub predicates: Vec<Answer>,
    /// Whether the aggregation of the hints is done.
    pub aggregate: Answer,
    /// The rows. Logs and spans: batches come ordered by their newest row for [`Direction::Backward`] (newest
    /// first) and by their oldest for [`Direction::Forward`], so a caller with a limit can stop as soon as no
    /// later batch can matter. Metrics: a series comes whole, in one batch. The time range is exact, but where a series
    /// begins with rolled-up data it goes back by one window, so that one ends before the range begins.
    pub batches: Box<dyn Iterator<Item = Result<ScanBatch<B>>> + Send>,
}

impl<B> Scan<B> {
    /// The rows of all batches; fails on the first error. For callers that gave no aggregation hint.
    pub fn rows(self) -> impl Iterator<Item = Result<B>> {
        self.batches.filter_map(|batch| match batch {
            Ok(ScanBatch::Rows(rows)) => Some(Ok(rows)),
            Ok(ScanBatch::Aggregated(_)) => None,
            Err(e) => Some(Err(e)),
        })
    }
}

/// Reads batches of one kind. Calls block on disk and on the processor: run them where blocking is allowed.
pub trait Read<B>: Send + Sync + 'static {
    /// Rows that satisfy the request.
    fn scan(&self, request: &ScanRequest) -> Result<Scan<B>>;
    /// Names of labels (of attributes, for spans) that occur in what the request selects, sorted.
    fn label_names(&self, request: &ScanRequest) -> Result<Vec<String>>;
    /// Values of one label (of one attribute, for spans; see [`crate::predicate::field`]) in what the request
    /// selects, sorted.
    fn label_values(&self, request: &ScanRequest, name: &str) -> Result<Vec<String>>;
    /// Identities of the series or streams that the request selects, sorted. For spans: the resources, as labels.
    fn series(&self, request: &ScanRequest) -> Result<Vec<Labels>>;
}
