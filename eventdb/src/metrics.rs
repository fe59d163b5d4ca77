//! What the stores count about themselves.

use model::{Counter, Gauge, Meter, MetricDef, MetricKind};

const fn counter(name: &'static str, help: &'static str, labels: &'static [&'static str]) -> MetricDef {
    MetricDef {
        name,
        help,
        kind: MetricKind::Counter,
        labels,
    }
}
const fn gauge(name: &'static str, help: &'static str, labels: &'static [&'static str]) -> MetricDef {
    MetricDef {
        name,
        help,
        kind: MetricKind::Gauge,
        labels,
    }
}

/// Entries and spans taken.
pub static ACCEPTED: MetricDef = counter(
    "binnacle_events_accepted_total",
    "Log entries and spans taken.",
    &["store"],
);
/// Entries and spans that were there already.
pub static DUPLICATES: MetricDef = counter(
    "binnacle_events_duplicates_total",
    "Log entries and spans that were there already: found when written, flushed or merged.",
    &["store", "found"],
);
/// Entries and spans refused.
pub static REJECTED: MetricDef = counter(
    "binnacle_events_rejected_total",
    "Log entries and spans refused, by reason.",
    &["store", "reason"],
);
/// Lines cut.
pub static LINES_CUT: MetricDef = counter(
    "binnacle_log_lines_cut_total",
    "Log lines cut because they were longer than limits.ingest.max_line_bytes.",
    &[],
);
/// Whole writes refused because memory is full.
pub static HEAD_FULL: MetricDef = counter(
    "binnacle_events_head_full_total",
    "Writes refused because the data in memory could not be flushed fast enough.",
    &["store"],
);
/// Flushes.
pub static FLUSHES: MetricDef = counter(
    "binnacle_events_flushes_total",
    "Flushes of the head to parts, by outcome.",
    &["store", "outcome"],
);
/// Merges.
pub static MERGES: MetricDef = counter(
    "binnacle_events_merges_total",
    "Merges of parts, by outcome.",
    &["store", "outcome"],
);
/// Parts that went by retention.
pub static EXPIRED_PARTS: MetricDef = counter(
    "binnacle_events_expired_parts_total",
    "Parts removed because their time was over.",
    &["store"],
);
/// Damage found.
pub static DAMAGED: MetricDef = counter(
    "binnacle_events_damaged_total",
    "Blocks, indexes or whole parts that could not be read because their bytes are damaged.",
    &["store"],
);
/// Bytes of the parts.
pub static PART_BYTES: MetricDef = gauge(
    "binnacle_events_part_bytes",
    "Bytes of the part files.",
    &["store"],
);
/// Number of the parts.
pub static PARTS: MetricDef = gauge("binnacle_events_parts", "Part files.", &["store"]);
/// Bytes in memory.
pub static HEAD_BYTES: MetricDef = gauge(
    "binnacle_events_head_bytes",
    "Bytes of memory that data takes before it is flushed.",
    &["store"],
);

/// Every metric of this crate, for the printed list.
pub static ALL: &[&MetricDef] = &[
    &ACCEPTED,
    &DUPLICATES,
    &REJECTED,
    &LINES_CUT,
    &HEAD_FULL,
    &FLUSHES,
    &MERGES,
    &EXPIRED_PARTS,
    &DAMAGED,
    &PART_BYTES,
    &PARTS,
    &HEAD_BYTES,
];

/// Reasons for which items are refused; a counter stands ready for each.
pub(crate) const REASONS: &[&str] = &[
    "too_old",
    "too_far_in_future",
    "label_limit",
    "metadata_limit",
    "stream_limit",
    "span_limit",
    "invalid_id",
];

/// The counters of one store.
pub(crate) struct StoreMetrics {
    pub(crate) accepted: Counter,
    pub(crate) duplicates_written: Counter,
    pub(crate) duplicates_merged: Counter,
    rejected: Vec<(&'static str, Counter)>,
    pub(crate) lines_cut: Counter,
    pub(crate) head_full: Counter,
    pub(crate) flushed: Counter,
    pub(crate) flush_failed: Counter,
    pub(crate) merged: Counter,
    pub(crate) merge_failed: Counter,
    pub(crate) expired_parts: Counter,
    pub(crate) damaged: Counter,
    pub(crate) part_bytes: Gauge,
    pub(crate) parts: Gauge,
    pub(crate) head_bytes: Gauge,
}

impl StoreMetrics {
    pub(crate) fn new(meter: &dyn Meter, store: &str) -> Self {
        Self {
            accepted: meter.counter(&ACCEPTED, &[store]),
            duplicates_written: meter.counter(&DUPLICATES, &[store, "written"]),
            duplicates_merged: meter.counter(&DUPLICATES, &[store, "merged"]),
            rejected: REASONS
                .iter()
                .map(|r| (*r, meter.counter(&REJECTED, &[store, r])))
                .collect(),
            lines_cut: meter.counter(&LINES_CUT, &[]),
            head_full: meter.counter(&HEAD_FULL, &[store]),
            flushed: meter.counter(&FLUSHES, &[store, "ok"]),
            flush_failed: meter.counter(&FLUSHES, &[store, "failed"]),
            merged: meter.counter(&MERGES, &[store, "ok"]),
            merge_failed: meter.counter(&MERGES, &[store, "failed"]),
            expired_parts: meter.counter(&EXPIRED_PARTS, &[store]),
            damaged: meter.counter(&DAMAGED, &[store]),
            part_bytes: meter.gauge(&PART_BYTES, &[store]),
            parts: meter.gauge(&PARTS, &[store]),
            head_bytes: meter.gauge(&HEAD_BYTES, &[store]),
        }
    }
    /// Counts the refusals of an outcome.
    pub(crate) fn count_rejected(&self, outcome: &model::WriteOutcome) {
        for rejection in &outcome.rejected {
            if let Some((_, counter)) = self.rejected.iter().find(|(r, _)| *r == rejection.reason) {
                counter.add(rejection.count);
            }
        }
    }
}
