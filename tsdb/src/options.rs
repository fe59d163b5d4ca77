//! What a store can be told, and what it says about itself.

use model::IngestLimits;
use storage::{CommitOptions, LogOptions};

/// How a [`crate::Store`] works. The defaults suit a node with a few gigabytes.
#[derive(Debug, Clone)]
pub struct Options {
    /// Limits on what comes in.
    pub limits: IngestLimits,
    /// Samples older than this many milliseconds are refused and not shown, and parts that hold only older ones
    /// are removed. `None` keeps everything.
    pub retention_ms: Option<u64>,
    /// A tenant's head is flushed to parts when it holds this many samples.
    pub flush_samples: u64,
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

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: IngestLimits::default(),
            retention_ms: Some(15 * 86_400_000),
            flush_samples: 4_000_000,
            flush_bytes: 256 << 20,
            flush_age_ms: 2 * 3_600_000,
            max_head_bytes: 768 << 20,
            max_part_bytes: 2 << 30,
            merge_parts: 4,
            cache_bytes: 128 << 20,
            max_families: 50_000,
            log: LogOptions::default(),
            commit: CommitOptions::default(),
        }
    }
}

/// What a store holds right now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Tenants.
    pub tenants: usize,
    /// Series in memory.
    pub head_series: u64,
    /// Samples in memory.
    pub head_samples: u64,
    /// Bytes that they take, roughly.
    pub head_bytes: u64,
    /// Part files.
    pub parts: usize,
    /// Samples in parts, before superseded ones are hidden.
    pub part_samples: u64,
    /// Bytes of the part files.
    pub part_bytes: u64,
    /// Bytes of the write-ahead logs.
    pub log_bytes: u64,
    /// Parts that cannot be read: one sentence each that names the file and why.
    pub unreadable: Vec<String>,
}
