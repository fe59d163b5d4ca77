//! Metrics: samples, native histograms, exemplars, metadata.

pub mod bounds;
mod buckets;
mod reset;
mod text;

pub use buckets::Bucket;
pub use reset::mark_continued;

use crate::Labels;
use bounds::CUSTOM_SCHEMA;
use std::sync::Arc;

/// The bits of the NaN that marks a series as ended, as Prometheus writes it.
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// The staleness marker.
pub fn stale_nan() -> f64 {
    f64::from_bits(STALE_NAN_BITS)
}

/// Whether a value is the staleness marker (compares bits: other NaNs are ordinary values).
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}

/// One value at one time.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Milliseconds since the epoch.
    pub timestamp_ms: i64,
    /// Any bit pattern; NaNs keep their payload.
    pub value: f64,
}

impl PartialEq for Sample {
    /// Bit-exact, so that NaN equals itself and -0.0 differs from 0.0.
    fn eq(&self, other: &Self) -> bool {
        self.timestamp_ms == other.timestamp_ms && self.value.to_bits() == other.value.to_bits()
    }
}

/// A native histogram: exponential buckets of a schema, or custom bounds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Histogram {
    /// -4 to 8: exponential, base 2^(2^-schema). -53: the bounds are in `custom_bounds`.
    pub schema: i32,
    /// Width of the bucket around zero.
    pub zero_threshold: f64,
    /// Observations in the bucket around zero.
    pub zero_count: f64,
    /// All observations.
    pub count: f64,
    /// Sum of all observations.
    pub sum: f64,
    /// Buckets above zero: index and absolute count, by index.
    pub positive: Vec<(i32, f64)>,
    /// Buckets below zero: index and absolute count, by index.
    pub negative: Vec<(i32, f64)>,
    /// Upper bounds for schema -53.
    pub custom_bounds: Vec<f64>,
    /// What is known of the counting before it.
    pub reset_hint: ResetHint,
}

/// Whether a histogram counts on from the one before it in its series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ResetHint {
    /// Nobody said: whoever needs to know compares.
    #[default]
    Unknown,
    /// The counting began anew.
    Reset,
    /// It counts on.
    NotReset,
    /// It is a gauge: rates make no sense.
    Gauge,
}

impl Histogram {
    /// Whether it is a gauge.
    pub fn is_gauge(&self) -> bool {
        self.reset_hint == ResetHint::Gauge
    }
    /// Whether it is a staleness marker.
    pub fn is_stale(&self) -> bool {
        is_stale(self.sum)
    }
    /// Whether its bounds are listed.
    pub fn has_custom_bounds(&self) -> bool {
        self.schema == CUSTOM_SCHEMA
    }
    /// The upper bound of the bucket of an index above zero; see [`bounds::upper_bound`].
    pub fn upper_bound(&self, index: i32) -> f64 {
        bounds::upper_bound(index, self.schema, &self.custom_bounds)
    }
}

/// A native histogram at a time.
#[derive(Debug, Clone, PartialEq)]
pub struct HistogramSample {
    /// Milliseconds since the epoch.
    pub timestamp_ms: i64,
    /// When the counting began, in milliseconds since the epoch; 0 where nobody said.
    pub start_timestamp_ms: i64,
    /// The distribution.
    pub histogram: Histogram,
}

/// An example observation with its own labels, usually a `trace_id`.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar {
    /// The exemplar's labels.
    pub labels: Labels,
    /// Milliseconds since the epoch.
    pub timestamp_ms: i64,
    /// The observed value.
    pub value: f64,
}

/// What a metric family is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names of the exposition formats say it")]
pub enum MetricType {
    #[default]
    Unknown,
    Counter,
    Gauge,
    Histogram,
    GaugeHistogram,
    Summary,
    Info,
    StateSet,
}

/// What is known of a metric family besides its samples.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MetricMetadata {
    /// The family's name.
    pub family: String,
    /// Its type.
    pub metric_type: MetricType,
    /// One sentence.
    pub help: String,
    /// The unit, where the format has one.
    pub unit: String,
}

/// One series with new points, on its way in.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Series {
    /// The identity, metric name included.
    pub labels: Labels,
    /// Float samples, in any order.
    pub samples: Vec<Sample>,
    /// When the counter behind each sample began, in milliseconds since the epoch; 0 where nobody said. Empty, or
    /// one for each sample.
    pub start_timestamps_ms: Vec<i64>,
    /// Native histogram samples, in any order.
    pub histograms: Vec<HistogramSample>,
    /// Exemplars.
    pub exemplars: Vec<Exemplar>,
}

/// The payload of a batch of metrics.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Metrics {
    /// Series, each with its new points. A series may occur more than once.
    pub series: Vec<Series>,
    /// What the sender says of its families.
    pub metadata: Vec<MetricMetadata>,
}

/// One series on its way out: columns in time order, one point per timestamp.
#[derive(Debug, Clone, Default)]
pub struct SeriesData {
    /// The identity, metric name included.
    pub labels: Labels,
    /// Milliseconds since the epoch, ascending and unique.
    pub timestamps_ms: Vec<i64>,
    /// As many values as timestamps; staleness markers included.
    pub values: Vec<f64>,
    /// As many as timestamps, or none when no sample says when its counter began; 0 where one does not.
    pub start_timestamps_ms: Vec<i64>,
    /// Native histogram samples, ascending, with the hints of [`mark_continued`].
    pub histograms: Vec<HistogramSample>,
    /// How many samples each value stands for: as many as timestamps, or none when each stands for itself. Where it is
    /// more than one, the value is the sum of them, or what the hints of the request made the store choose.
    pub counts: Vec<u32>,
    /// Which times were answered from rolled-up data, ascending and disjoint; empty when none was.
    pub rolled_up: Arc<[RolledUp]>,
}

/// A stretch of time in which a point stands for a window: the one that ends at the point's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RolledUp {
    /// The stretch begins after this time: milliseconds since the epoch.
    pub after_ms: i64,
    /// The last time in it.
    pub until_ms: i64,
    /// The width of the windows.
    pub resolution_ms: i64,
}

impl RolledUp {
    /// The width of the window that a point at a time stands for; 0 where points are samples as they came.
    pub fn resolution_at(stretches: &[Self], time_ms: i64) -> i64 {
        let at = stretches.partition_point(|s| s.until_ms < time_ms);
        let stretch = stretches.get(at).filter(|s| s.after_ms < time_ms);
        stretch.map_or(0, |s| s.resolution_ms)
    }
}
