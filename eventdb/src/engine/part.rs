//! An immutable part: its line in the manifest, and its file for as long as anybody uses it.

use model::{Error, Fs, Result, TimeRange};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use storage::{PartEntry, PartKind, PartReader, layout};

/// Nanoseconds of a day.
const DAY_NS: i64 = 86_400 * 1_000_000_000;

/// The day (since the epoch) that a time belongs to. Parts hold one day each.
pub(crate) fn day_of(time_ns: i64) -> i64 {
    time_ns.div_euclid(DAY_NS)
}

/// What the manifest says about a part, so that it need not be opened to know that it does not matter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PartMeta {
    /// Days since the epoch.
    pub(crate) day: i64,
    /// The oldest entry, or the earliest start of a span, in nanoseconds.
    pub(crate) start_ns: i64,
    /// The newest entry, or the latest start of a span.
    pub(crate) end_ns: i64,
    /// Entries or spans.
    pub(crate) rows: u64,
    /// Bytes before compression.
    pub(crate) raw_bytes: u64,
}

impl PartMeta {
    pub(crate) fn range(&self) -> TimeRange {
        TimeRange {
            start_ns: self.start_ns,
            end_ns: self.end_ns,
        }
    }
}

/// A part that a manifest names, or named when a reader took its snapshot.
pub(crate) struct Part {
    /// Unique in this process; names the part in caches.
    pub(crate) key: u64,
    pub(crate) entry: PartEntry<PartMeta>,
    fs: Arc<dyn Fs>,
    path: PathBuf,
    /// Whether the file goes when the last user is done.
    is_removed: AtomicBool,
    is_damaged: AtomicBool,
}

static NEXT_KEY: AtomicU64 = AtomicU64::new(1);

impl Part {
    pub(crate) fn new(fs: Arc<dyn Fs>, store_dir: &Path, entry: PartEntry<PartMeta>) -> Self {
        Self {
            key: NEXT_KEY.fetch_add(1, Ordering::Relaxed),
            path: layout::part_file(store_dir, entry.id),
            entry,
            fs,
            is_removed: AtomicBool::new(false),
            is_damaged: AtomicBool::new(false),
        }
    }
    pub(crate) fn meta(&self) -> &PartMeta {
        &self.entry.meta
    }
    pub(crate) fn open(&self, kind: PartKind) -> Result<PartReader> {
        PartReader::open(self.fs.as_ref(), &self.path, kind).map_err(|e| match e.kind() {
            model::ErrorKind::NotFound => Error::corrupt(format!("{e}; the manifest names this part")),
            _ => e,
        })
    }
    /// Lets the file go with its last user.
    pub(crate) fn remove(&self) {
        self.is_removed.store(true, Ordering::Relaxed);
    }
    /// A damaged part is left as it is: it is never merged, so that nothing more of it is lost.
    pub(crate) fn set_damaged(&self) {
        self.is_damaged.store(true, Ordering::Relaxed);
    }
    pub(crate) fn is_damaged(&self) -> bool {
        self.is_damaged.load(Ordering::Relaxed)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if self.is_removed.load(Ordering::Relaxed)
            && let Err(e) = self.fs.remove_file(&self.path)
        {
            // The next start removes it, because no manifest names it.
            tracing::warn!(path = %self.path.display(), error = %e, "an old part could not be removed");
        }
    }
}
