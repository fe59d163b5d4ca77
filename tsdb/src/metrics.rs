//! What the store counts about itself.

use crate::samples::Dropped;
use model::{Counter, Gauge, Meter, MetricDef, MetricKind};

const fn counter(name: &'static str, help: &'static str, labels: &'static [&'static str]) -> MetricDef {
    MetricDef {
        name,
        help,
        kind: MetricKind::Counter,
        labels,
    }
}
const fn gauge(name: &'static str, help: &'static str) -> MetricDef {
    MetricDef {
        name,
        help,
        kind: MetricKind::Gauge,
        labels: &[],
    }
}

/// Samples taken.
pub static SAMPLES: MetricDef = counter("binnacle_tsdb_samples_total", "Samples acknowledged.", &[]);
/// Samples refused.
pub static REJECTED: MetricDef = counter(
    "binnacle_tsdb_rejected_total",
    "Samples refused for good, by reason.",
    &["reason"],
);
/// Samples superseded by a later one.
pub static REPLACED: MetricDef = counter(
    "binnacle_tsdb_replaced_total",
    "Samples superseded by a later one of the same series and time with another value.",
    &[],
);
/// Retries recognised.
pub static RETRIES: MetricDef = counter(
    "binnacle_tsdb_retries_total",
    "Batches of agents that had been taken before.",
    &[],
);
/// Samples that came late.
pub static LATE: MetricDef = counter(
    "binnacle_tsdb_late_samples_total",
    "Samples taken that lie before another sample of their series.",
    &[],
);
/// Exemplars taken.
pub static EXEMPLARS: MetricDef = counter("binnacle_tsdb_exemplars_total", "Exemplars acknowledged.", &[]);
/// Metadata refused.
pub static FAMILIES: MetricDef = counter(
    "binnacle_tsdb_metadata_dropped_total",
    "Descriptions of metric families not remembered because there are too many.",
    &[],
);
/// Flushes of heads to parts.
pub static FLUSHES: MetricDef = counter(
    "binnacle_tsdb_flushes_total",
    "Flushes of the head to parts, by outcome.",
    &["outcome"],
);
/// Merges of parts.
pub static MERGES: MetricDef = counter(
    "binnacle_tsdb_merges_total",
    "Merges of parts, by outcome.",
    &["outcome"],
);
/// Samples that are gone for good.
pub static REMOVED: MetricDef = counter(
    "binnacle_tsdb_removed_samples_total",
    "Samples removed: older than the retention, than the retention of their series, to keep the size, or deleted.",
    &["reason"],
);
/// Days rolled up.
pub static ROLLUPS: MetricDef = counter(
    "binnacle_tsdb_rollups_total",
    "Days of samples rolled up to windows, by outcome; of those given up the samples are gone.",
    &["outcome"],
);
/// Damage met while reading.
pub static UNREADABLE: MetricDef = counter(
    "binnacle_tsdb_unreadable_total",
    "Times that damage in a part was met while reading; the answer went without it, with a warning.",
    &[],
);
/// Active series.
pub static HEAD_SERIES: MetricDef = gauge(
    "binnacle_tsdb_head_series",
    "Active series: those that had samples lately.",
);
/// Series ever seen that are not removed yet.
pub static CATALOG_SERIES: MetricDef = gauge(
    "binnacle_tsdb_catalog_series",
    "Series in the catalog, those that are no longer active included.",
);
/// Samples in memory.
pub static HEAD_SAMPLES: MetricDef = gauge("binnacle_tsdb_head_samples", "Samples in memory.");
/// Bytes in memory.
pub static HEAD_BYTES: MetricDef = gauge(
    "binnacle_tsdb_head_bytes",
    "Bytes that series and samples take in memory.",
);
/// Bytes of the cache.
pub static CACHE_BYTES: MetricDef = gauge(
    "binnacle_tsdb_cache_bytes",
    "Bytes of unpacked pages of parts and of the catalog in memory.",
);
/// Part files.
pub static PARTS: MetricDef = gauge("binnacle_tsdb_parts", "Part files.");
/// Bytes of part files.
pub static PART_BYTES: MetricDef = gauge("binnacle_tsdb_part_bytes", "Bytes of the part files.");
/// Deletions that wait.
pub static TOMBSTONES: MetricDef = gauge(
    "binnacle_tsdb_tombstones",
    "Deletions that are hidden from reads but still on disk.",
);
/// Parts that cannot be read.
pub static UNREADABLE_PARTS: MetricDef = gauge(
    "binnacle_tsdb_unreadable_parts",
    "Part files that could not be opened.",
);

/// Every metric of this crate, for the printed list.
pub static ALL: &[&MetricDef] = &[
    &SAMPLES,
    &REJECTED,
    &REPLACED,
    &RETRIES,
    &LATE,
    &EXEMPLARS,
    &FAMILIES,
    &FLUSHES,
    &MERGES,
    &REMOVED,
    &ROLLUPS,
    &UNREADABLE,
    &HEAD_SERIES,
    &CATALOG_SERIES,
    &HEAD_SAMPLES,
    &HEAD_BYTES,
    &CACHE_BYTES,
    &PARTS,
    &PART_BYTES,
    &TOMBSTONES,
    &UNREADABLE_PARTS,
];

/// The reasons for which a sample can be refused: the values of the label `reason`.
pub static REASONS: &[&str] = &[
    reason::NO_LABELS,
    reason::NO_NAME,
    reason::LABEL_LIMIT,
    reason::LABEL_NAME,
    reason::LABEL_VALUE,
    reason::BAD_LABELS,
    reason::SERIES_LIMIT,
    reason::TOTAL_LIMIT,
    reason::TARGET_LIMIT,
    reason::TOO_OLD,
    reason::TOO_NEW,
];

/// Why a sample was refused.
pub mod reason {
    /// The series has no labels at all.
    pub const NO_LABELS: &str = "no_labels";
    /// The series has no metric name.
    pub const NO_NAME: &str = "no_metric_name";
    /// More labels than `limits.ingest.max_labels`.
    pub const LABEL_LIMIT: &str = "label_limit";
    /// A label's name is empty, too long or holds control characters.
    pub const LABEL_NAME: &str = "label_name";
    /// A label's value is too long.
    pub const LABEL_VALUE: &str = "label_value";
    /// The labels are damaged or not UTF-8.
    pub const BAD_LABELS: &str = "bad_labels";
    /// A new series would be over `limits.ingest.max_series`.
    pub const SERIES_LIMIT: &str = "series_limit";
    /// A new series would be over `limits.ingest.max_series_total`.
    pub const TOTAL_LIMIT: &str = "total_series_limit";
    /// A new series would be over `limits.ingest.max_series_per_target`.
    pub const TARGET_LIMIT: &str = "target_series_limit";
    /// The time is before the retention.
    pub const TOO_OLD: &str = "too_old";
    /// The time is too far in the future.
    pub const TOO_NEW: &str = "too_far_in_future";
}

/// The counters of a store.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    pub samples: Counter,
    pub replaced: Counter,
    pub late: Counter,
    pub retries: Counter,
    pub exemplars: Counter,
    pub families: Counter,
    pub flushed: Counter,
    pub flush_failed: Counter,
    pub merged: Counter,
    pub merge_failed: Counter,
    pub removed_by_age: Counter,
    pub removed_by_size: Counter,
    pub removed_by_rule: Counter,
    pub removed_by_deletion: Counter,
    pub rolled_up: Counter,
    pub roll_up_failed: Counter,
    pub roll_up_given_up: Counter,
    pub unreadable: Counter,
    pub head_series: Gauge,
    pub catalog_series: Gauge,
    pub head_samples: Gauge,
    pub head_bytes: Gauge,
    pub cache_bytes: Gauge,
    pub parts: Gauge,
    pub part_bytes: Gauge,
    pub tombstones: Gauge,
    pub unreadable_parts: Gauge,
    rejected: Vec<(&'static str, Counter)>,
}

impl Metrics {
    pub(crate) fn new(meter: &dyn Meter) -> Self {
        Self {
            samples: meter.counter(&SAMPLES, &[]),
            replaced: meter.counter(&REPLACED, &[]),
            late: meter.counter(&LATE, &[]),
            retries: meter.counter(&RETRIES, &[]),
            exemplars: meter.counter(&EXEMPLARS, &[]),
            families: meter.counter(&FAMILIES, &[]),
            flushed: meter.counter(&FLUSHES, &["done"]),
            flush_failed: meter.counter(&FLUSHES, &["failed"]),
            merged: meter.counter(&MERGES, &["done"]),
            merge_failed: meter.counter(&MERGES, &["failed"]),
            removed_by_age: meter.counter(&REMOVED, &["age"]),
            removed_by_size: meter.counter(&REMOVED, &["size"]),
            removed_by_rule: meter.counter(&REMOVED, &["rule"]),
            removed_by_deletion: meter.counter(&REMOVED, &["deleted"]),
            rolled_up: meter.counter(&ROLLUPS, &["done"]),
            roll_up_failed: meter.counter(&ROLLUPS, &["failed"]),
            roll_up_given_up: meter.counter(&ROLLUPS, &["given_up"]),
            unreadable: meter.counter(&UNREADABLE, &[]),
            head_series: meter.gauge(&HEAD_SERIES, &[]),
            catalog_series: meter.gauge(&CATALOG_SERIES, &[]),
            head_samples: meter.gauge(&HEAD_SAMPLES, &[]),
            head_bytes: meter.gauge(&HEAD_BYTES, &[]),
            cache_bytes: meter.gauge(&CACHE_BYTES, &[]),
            parts: meter.gauge(&PARTS, &[]),
            part_bytes: meter.gauge(&PART_BYTES, &[]),
            tombstones: meter.gauge(&TOMBSTONES, &[]),
            unreadable_parts: meter.gauge(&UNREADABLE_PARTS, &[]),
            rejected: REASONS
                .iter()
                .map(|r| (*r, meter.counter(&REJECTED, &[r])))
                .collect(),
        }
    }
    /// Counts what a merge left out.
    pub(crate) fn removed(&self, dropped: Dropped) {
        self.removed_by_age.add(dropped.age);
        self.removed_by_rule.add(dropped.rule);
        self.removed_by_deletion.add(dropped.deleted);
    }
    /// Counts refusals by reason.
    pub(crate) fn reject(&self, outcome: &model::WriteOutcome) {
        for rejection in &outcome.rejected {
            if let Some((_, counter)) = self.rejected.iter().find(|(r, _)| *r == rejection.reason) {
                counter.add(rejection.count);
            }
        }
    }
}
