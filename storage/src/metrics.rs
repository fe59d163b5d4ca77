//! What storage counts about itself.

use model::{Counter, Gauge, Meter, MetricDef, MetricKind};

const fn counter(name: &'static str, help: &'static str, labels: &'static [&'static str]) -> MetricDef {
    MetricDef {
        name,
        help,
        kind: MetricKind::Counter,
        labels,
    }
}

/// Bytes appended to logs, framing included.
pub static APPENDED_BYTES: MetricDef = counter(
    "binnacle_wal_appended_bytes_total",
    "Bytes appended to the write-ahead log.",
    &["log"],
);
/// Records appended to logs.
pub static APPENDED_RECORDS: MetricDef = counter(
    "binnacle_wal_appended_records_total",
    "Records appended to the write-ahead log.",
    &["log"],
);
/// Successful fsyncs of logs.
pub static FSYNCS: MetricDef = counter(
    "binnacle_wal_fsyncs_total",
    "Fsyncs of the write-ahead log that succeeded.",
    &["log"],
);
/// Failed appends and fsyncs.
pub static FAILURES: MetricDef = counter(
    "binnacle_wal_failures_total",
    "Groups of records that the write-ahead log could not make durable, by reason.",
    &["log", "reason"],
);
/// Writers that found the queue full.
pub static QUEUE_FULL: MetricDef = counter(
    "binnacle_wal_queue_full_total",
    "Writes refused because the queue before the write-ahead log was full.",
    &["log"],
);
/// Damaged ranges found at start.
pub static DAMAGES: MetricDef = counter(
    "binnacle_wal_damages_total",
    "Damaged ranges of the write-ahead log whose acknowledged records could not be read back.",
    &["log"],
);
/// Bytes cut from ends at start.
pub static CUT_BYTES: MetricDef = counter(
    "binnacle_wal_cut_bytes_total",
    "Bytes of unfinished, never acknowledged writes cut from the end of the write-ahead log.",
    &["log"],
);
/// Bytes that logs take on disk.
pub static SIZE_BYTES: MetricDef = MetricDef {
    name: "binnacle_wal_size_bytes",
    help: "Bytes that the write-ahead log takes on disk.",
    kind: MetricKind::Gauge,
    labels: &["log"],
};
/// Part files that no manifest named.
pub static LEFTOVER_PARTS: MetricDef = counter(
    "binnacle_leftover_parts_total",
    "Part files that no manifest named, left by a crash and removed at start.",
    &["store"],
);

/// Every metric of this crate, for the printed list.
pub static ALL: &[&MetricDef] = &[
    &APPENDED_BYTES,
    &APPENDED_RECORDS,
    &FSYNCS,
    &FAILURES,
    &QUEUE_FULL,
    &DAMAGES,
    &CUT_BYTES,
    &SIZE_BYTES,
    &LEFTOVER_PARTS,
];

/// The counters of one log; logs of the same name (of other tenants) count together.
#[derive(Debug, Clone, Default)]
pub struct LogMetrics {
    pub(crate) appended_bytes: Counter,
    pub(crate) appended_records: Counter,
    pub(crate) fsyncs: Counter,
    pub(crate) full: Counter,
    pub(crate) io: Counter,
    pub(crate) queue_full: Counter,
    pub(crate) damages: Counter,
    pub(crate) cut_bytes: Counter,
    pub(crate) size_bytes: Gauge,
}

impl LogMetrics {
    /// The counters for a log's name, for instance `metrics`.
    pub fn new(meter: &dyn Meter, log: &str) -> Self {
        Self {
            appended_bytes: meter.counter(&APPENDED_BYTES, &[log]),
            appended_records: meter.counter(&APPENDED_RECORDS, &[log]),
            fsyncs: meter.counter(&FSYNCS, &[log]),
            full: meter.counter(&FAILURES, &[log, "disk_full"]),
            io: meter.counter(&FAILURES, &[log, "io"]),
            queue_full: meter.counter(&QUEUE_FULL, &[log]),
            damages: meter.counter(&DAMAGES, &[log]),
            cut_bytes: meter.counter(&CUT_BYTES, &[log]),
            size_bytes: meter.gauge(&SIZE_BYTES, &[log]),
        }
    }
    /// Fsyncs that succeeded.
    pub fn fsyncs(&self) -> u64 {
        self.fsyncs.get()
    }
    /// Groups that could not be made durable.
    pub fn failures(&self) -> u64 {
        self.full.get() + self.io.get()
    }
}
