//! The vocabulary of Binnacle, and the doors between its crates.
//!
//! Everything that more than one crate talks about lives here: labels, samples, log entries, spans, the
//! identity of a resource, tenants, time, limits, kinds of errors, and the traits through which data is
//! written ([`Write`]) and read ([`Read`]). Nothing here does I/O, starts a thread or looks at a clock; time
//! ([`Clock`]), disk ([`Fs`]) and counters ([`Meter`]) are traits that the programs hand in.

pub mod budget;
pub mod clock;
pub mod duration;
pub mod error;
pub mod fs;
pub mod identity;
pub mod labels;
pub mod limits;
pub mod log;
pub mod matcher;
pub mod meter;
pub mod metric;
pub mod plain;
pub mod predicate;
pub mod raw;
pub mod read;
pub mod resource;
pub mod span;
pub mod tenant;
pub mod time;
pub mod write;

pub use budget::{Budget, BudgetLimits, CancelToken, Pool};
pub use clock::{Clock, ManualClock};
pub use error::{Error, ErrorKind, Result};
pub use fs::Fs;
pub use labels::{Labels, LabelsBuilder};
pub use limits::{IngestLimits, QueryLimits};
pub use log::{LogBatch, LogEntry, LogStream, Logs};
pub use matcher::{MatchOp, Matcher};
pub use meter::{Counter, Gauge, Meter, MetricDef, MetricKind, NoMeter};
pub use metric::{Exemplar, MetricMetadata, MetricType, Metrics, RolledUp, Sample, Series, SeriesData};
pub use predicate::Predicate;
pub use raw::{RawMetrics, RawSeries};
pub use read::{Answer, Columns, Direction, Hints, Read, Resolution, Scan, ScanBatch, ScanRequest};
pub use resource::{Attributes, Resource, Scope, Value};
pub use span::{ResourceSpans, Span, SpanBatch, SpanId, SpanKind, Spans, TraceId};
pub use tenant::Tenant;
pub use time::TimeRange;
pub use write::{Batch, BoxFuture, Origin, Rejection, Sinks, Write, WriteOutcome};
