//! Counters of our own, handed in like time and disk, so that cores can count without knowing who shows it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// What a metric of our own is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Goes both ways.
    Gauge,
}

/// A metric of our own. Definitions are `static`, so that the list of all of them can be printed and checked.
#[derive(Debug, PartialEq, Eq)]
pub struct MetricDef {
    /// Full name, `binnacle_…`, counters end in `_total`.
    pub name: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// Counter or gauge.
    pub kind: MetricKind,
    /// Names of the labels.
    pub labels: &'static [&'static str],
}

/// A counter. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }
    /// Adds many.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }
    /// The count.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A value that goes both ways. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Gauge(Arc<AtomicI64>);

impl Gauge {
    /// Sets the value.
    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }
    /// Changes the value.
    pub fn add(&self, by: i64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }
    /// The value.
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Where counters come from. The same definition with the same label values gives the same counter.
pub trait Meter: Send + Sync + 'static {
    /// A counter; `values` are as many as the definition has labels.
    fn counter(&self, def: &'static MetricDef, values: &[&str]) -> Counter;
    /// A gauge; `values` are as many as the definition has labels.
    fn gauge(&self, def: &'static MetricDef, values: &[&str]) -> Gauge;
}

/// A meter that nobody reads: each call gives a fresh counter.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoMeter;

impl Meter for NoMeter {
    fn counter(&self, _: &'static MetricDef, _: &[&str]) -> Counter {
        Counter::default()
    }
    fn gauge(&self, _: &'static MetricDef, _: &[&str]) -> Gauge {
        Gauge::default()
    }
}
