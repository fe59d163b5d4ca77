//! What a store can be told.

use model::IngestLimits;
use storage::{CommitOptions, LogOptions};

/// How a [`crate::LogStore`] or a [`crate::TraceStore`] works. The defaults suit a node with a few gigabytes.
#[derive(Debug, Clone)]
pub struct Options {
    /// Limits on what comes in.
    pub limits: IngestLimits,
    /// Entries and spans older than this many milliseconds are refused, and parts that hold only older ones are
    /// removed. `None` keeps everything.
    pub retention_ms: Option<u64>,
    /// A tenant's head is flushed to parts when it takes this many bytes of memory.
    pub flush_bytes: usize,
    /// A tenant's head is flushed when its oldest entry has been there for this many milliseconds.
    pub flush_age_ms: u64,
    /// Writes are refused with 503 while a tenant's heads take this many bytes, until a flush has made room.
    pub max_head_bytes: usize,
    /// Uncompressed bytes after which a block is cut.
    pub block_bytes: usize,
    /// Distinct words after which a block of log lines is cut.
    pub block_words: usize,
    /// Parts are merged up to this size on disk, in bytes.
    pub max_part_bytes: u64,
    /// So many neighbouring parts of about one size are merged into one.
    pub merge_parts: usize,
    /// Bytes of memory for the indexes of parts that were read lately.
    pub cache_bytes: usize,
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
            flush_bytes: 64 << 20,
            flush_age_ms: 15 * 60_000,
            max_head_bytes: 384 << 20,
            block_bytes: 2 << 20,
            block_words: 4096,
            max_part_bytes: 256 << 20,
            merge_parts: 4,
            cache_bytes: 64 << 20,
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
    /// Entries or spans in memory.
    pub head_rows: u64,
    /// Bytes that they take, roughly.
    pub head_bytes: u64,
    /// Part files.
    pub parts: usize,
    /// Entries or spans in parts, before equal ones are hidden.
    pub part_rows: u64,
    /// Bytes of the part files.
    pub part_bytes: u64,
    /// Bytes of the write-ahead logs.
    pub log_bytes: u64,
    /// Damage found since the start: one sentence each that names file and place.
    pub damaged: Vec<String>,
}
