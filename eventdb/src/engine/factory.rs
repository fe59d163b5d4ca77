//! Makes part files: numbers, writers, and the lines for the manifest.

use super::part::{PartMeta, day_of};
use model::{Error, Fs, Result, TimeRange};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use storage::{PartEntry, PartKind, PartWriter, layout};

/// Creates the part files of one flush or merge and collects what the manifest has to say about them.
pub(crate) struct PartFactory {
    fs: Arc<dyn Fs>,
    store_dir: PathBuf,
    kind: PartKind,
    next_part: u64,
    entries: Vec<PartEntry<PartMeta>>,
    /// Items found to be there already while the parts were written.
    pub(crate) duplicates: u64,
}

impl PartFactory {
    pub(super) fn new(fs: Arc<dyn Fs>, store_dir: &Path, kind: PartKind, next_part: u64) -> Self {
        Self {
            fs,
            store_dir: store_dir.to_owned(),
            kind,
            next_part,
            entries: Vec::new(),
            duplicates: 0,
        }
    }
    /// Starts the next part file.
    pub(crate) fn create(&mut self) -> Result<PartWriter> {
        self.next_part += 1;
        let path = layout::part_file(&self.store_dir, self.next_part - 1);
        PartWriter::create(Arc::clone(&self.fs), &path, self.kind)
    }
    /// Finishes the part that was created last.
    pub(crate) fn finish(
        &mut self,
        writer: PartWriter,
        range: TimeRange,
        rows: u64,
        raw_bytes: u64,
    ) -> Result<()> {
        let size_bytes = writer.finish()?;
        self.entries.push(PartEntry {
            id: self.next_part - 1,
            size_bytes,
            meta: PartMeta {
                day: day_of(range.start_ns),
                start_ns: range.start_ns,
                end_ns: range.end_ns,
                rows,
                raw_bytes,
            },
        });
        Ok(())
    }
    /// The parts, and the number of the next one.
    pub(super) fn into_entries(self) -> (Vec<PartEntry<PartMeta>>, u64) {
        (self.entries, self.next_part)
    }
    pub(super) fn next_part(&self) -> u64 {
        self.next_part
    }
    /// Removes finished files that no manifest will name.
    pub(super) fn discard(&self) {
        discard(self.fs.as_ref(), &self.store_dir, &self.entries);
    }
}

/// Removes part files that no manifest names.
pub(super) fn discard(fs: &dyn Fs, store_dir: &Path, entries: &[PartEntry<PartMeta>]) {
    for entry in entries {
        let path = layout::part_file(store_dir, entry.id);
        if let Err(e) = fs.remove_file(&path) {
            let e = Error::from(e);
            tracing::warn!(path = %path.display(), error = %e, "a part that was not needed could not be removed");
        }
    }
}
