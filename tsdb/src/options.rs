//! What a store can be told, and what it says about itself.

use crate::samples::PARTITION_MS;
use model::{Error, IngestLimits, Predicate, Result};
use storage::{CommitOptions, LogOptions};

/// How a [`crate::Store`] works. The defaults suit a node with a few gigabytes.
#[derive(Debug, Clone)]
pub struct Options {
    /// Limits on what comes in.
    pub limits: IngestLimits,
    /// Samples older than this many milliseconds are refused and not shown, and parts that hold only older ones
    /// are removed. `None` keeps everything.
    pub retention_ms: Option<u64>,
    /// Series that are kept for another time than the rest. Of the rules that fit a series the first one holds. Their
    /// samples go day by day, when the whole of a day is older.
    pub retention_rules: Vec<RetentionRule>,
    /// The oldest days are removed while all tenants' files together take more bytes. The newest day stays.
    pub retention_bytes: Option<u64>,
    /// Deletions of one tenant that are hidden but still on disk.
    pub max_tombstones: usize,
    /// How long a deletion waits for others before parts are written anew, in milliseconds.
    pub tombstone_delay_ms: u64,
    /// What is kept longer than the samples themselves: windows that sum them up. Queries use them where the samples
    /// have ended.
    pub rollups: Vec<Rollup>,
    /// A tenant's head is flushed to parts when it holds this many samples; earlier when there are few series, later
    /// when there are many.
    pub flush_samples: u64,
    /// And not before it holds so many samples for each active series on the average.
    pub flush_samples_per_series: u64,
    /// A tenant's head is flushed when the catalog has so many series in memory only.
    pub flush_series: usize,
    /// A tenant's head is flushed when it takes this many bytes of memory.
    pub flush_bytes: usize,
    /// A tenant's head is flushed when its oldest write has been there for this many milliseconds.
    pub flush_age_ms: u64,
    /// Writes are refused with 503 while a tenant's heads take this many bytes, until a flush has made room.
    pub max_head_bytes: usize,
    /// Parts are merged up to this size on disk, in bytes.
    pub max_part_bytes: u64,
    /// So many neighbouring parts of about one size are merged into one.
    pub merge_parts: usize,
    /// Bytes of memory for the indexes of parts that were read lately.
    pub cache_bytes: usize,
    /// Metric families of one tenant whose type and help are remembered.
    pub max_families: usize,
    /// The write-ahead log.
    pub log: LogOptions,
    /// The committer before it.
    pub commit: CommitOptions,
}

/// Windows that samples are rolled up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rollup {
    /// The width of the windows: a part of a day, and a multiple of the next narrower one.
    pub resolution_ms: u64,
    /// Windows that end earlier than this many milliseconds ago are not shown, and removed.
    pub retention_ms: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: IngestLimits::default(),
            retention_ms: Some(15 * 86_400_000),
            retention_rules: Vec::new(),
            retention_bytes: None,
            max_tombstones: 1000,
            tombstone_delay_ms: 10 * 60_000,
            rollups: Vec::new(),
            flush_samples: 2_000_000,
            flush_samples_per_series: 12,
            flush_series: 250_000,
            flush_bytes: 512 << 20,
            flush_age_ms: 2 * 3_600_000,
            max_head_bytes: 1 << 30,
            max_part_bytes: 2 << 30,
            merge_parts: 4,
            cache_bytes: 48 << 20,
            max_families: 50_000,
            log: LogOptions::default(),
            commit: CommitOptions::default(),
        }
    }
}

/// How long some series are kept.
#[derive(Debug, Clone)]
pub struct RetentionRule {
    /// The rule as its author wrote it, with everything that changes its meaning.
    pub name: String,
    /// Which series.
    pub selector: Predicate,
    /// How long, in milliseconds.
    pub keep_ms: u64,
}

/// Samples of each series at which a head with few series is flushed: longer runs are not much smaller.
const HEAD_SAMPLES_OF_FEW: u64 = 120;
const MIN_FLUSH_SAMPLES: u64 = 100_000;

impl Options {
    /// Refuses widths of windows that do not fit each other.
    pub(crate) fn check(&self) -> Result<()> {
        let mut widths: Vec<u64> = self.rollups.iter().map(|r| r.resolution_ms).collect();
        widths.sort_unstable();
        widths.push(PARTITION_MS as u64);
        let fit = widths
            .windows(2)
            .all(|w| w[0] > 1 && w[0] < w[1] && w[1].is_multiple_of(w[0]));
        if fit || self.rollups.is_empty() {
            return Ok(());
        }
        Err(Error::bad_data(
            "the windows of rolled-up samples must be parts of a day, and wider ones multiples of the narrower",
        ))
    }
    /// The samples at which a head with so many active series is flushed.
    pub(crate) fn flush_samples_at(&self, series: u64) -> u64 {
        (series * HEAD_SAMPLES_OF_FEW)
            .max(MIN_FLUSH_SAMPLES)
            .min(self.flush_samples)
            .max(series * self.flush_samples_per_series)
    }
}

/// What a store holds right now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Tenants.
    pub tenants: usize,
    /// Active series: those that had samples lately.
    pub head_series: u64,
    /// Series in the catalogs.
    pub catalog_series: u64,
    /// Bytes of the catalogs' segments.
    pub catalog_bytes: u64,
    /// The first and the last time of a sample, in milliseconds since the epoch; 0 without samples.
    pub min_ms: i64,
    /// See `min_ms`.
    pub max_ms: i64,
    /// Samples in memory.
    pub head_samples: u64,
    /// Blocks of a few samples in which they lie.
    pub head_blocks: u64,
    /// Bytes that they take, roughly.
    pub head_bytes: u64,
    /// Part files.
    pub parts: usize,
    /// Samples in parts, before superseded ones are hidden.
    pub part_samples: u64,
    /// Bytes of the part files.
    pub part_bytes: u64,
    /// Deletions that are hidden but still on disk.
    pub tombstones: usize,
    /// Bytes of the write-ahead logs.
    pub log_bytes: u64,
    /// Parts that cannot be read: one sentence each that names the file and why.
    pub unreadable: Vec<String>,
}
