//! Going on after a restart: files are found again, and the batch that was under way is made again.

use super::Tailer;
use super::tracked::{Part, Tracked};
use crate::files::decode::{self, How};
use crate::files::discover;
use crate::files::fingerprint::{FileId, Fingerprint};
use crate::files::state::{Checkpoint, Intent, Range, State};
use std::collections::HashSet;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

impl Tailer {
    /// Finds the files of the state again, and makes the batch that was under way again.
    pub(super) fn resume(&mut self, state: State) {
        self.options.names.refresh();
        let known: HashSet<FileId> = state.files.iter().map(|c| c.id).collect();
        let under_way = state.under_way;
        let mut again = Vec::new();
        for checkpoint in state.files {
            let range = under_way
                .iter()
                .flat_map(|intent| &intent.ranges)
                .find(|range| range.id == checkpoint.id);
            let wanted = range.map_or(&checkpoint.fingerprint, |range| &range.end);
            match self.find_again(&checkpoint, wanted, &known) {
                Some(index) => {
                    if let Some(range) = range {
                        again.push((index, range.clone()));
                    }
                }
                None => self.not_found(&checkpoint, range, &known),
            }
        }
        let Some(intent) = under_way else { return };
        let mut parts = Vec::new();
        let mut ranges = Vec::new();
        for (index, mut range) in again {
            let id = self.tracked[index].id;
            if let Some(part) = self.read_again(index, &range, intent.read_at_ns) {
                range.id = id;
                ranges.push(range);
                parts.push(part);
            }
        }
        if !ranges.is_empty() {
            let outgoing = self.outgoing(parts, intent.sequence);
            let intent = Intent { ranges, ..intent };
            self.under_way = Some((Arc::new(outgoing), intent));
        }
    }

    fn find_again(
        &mut self,
        checkpoint: &Checkpoint,
        wanted: &Fingerprint,
        known: &HashSet<FileId>,
    ) -> Option<usize> {
        let (file, path) = discover::find(checkpoint.id, &checkpoint.path, wanted)
            .or_else(|| discover::find_copy(&checkpoint.named, wanted, |id| known.contains(&id)))?;
        let metadata = file.metadata().ok()?;
        let pattern = self
            .pattern_of(&checkpoint.named)
            .or_else(|| self.pattern_of(&path))?;
        let id = FileId::of(&metadata);
        if self.tracked.iter().any(|t| t.id == id) {
            return None;
        }
        let mut tracked = Tracked::new(id, file, path, pattern);
        checkpoint.named.clone_into(&mut tracked.named);
        tracked.print = checkpoint.fingerprint;
        tracked.skipping = checkpoint.skipping;
        tracked.acknowledged = checkpoint.fingerprint;
        tracked.acknowledged_skipping = checkpoint.skipping;
        self.label(&mut tracked);
        self.tracked.push(tracked);
        Some(self.tracked.len() - 1)
    }

    /// A file does not hold any more what was to be sent again, or is gone.
    fn not_found(&mut self, checkpoint: &Checkpoint, range: Option<&Range>, known: &HashSet<FileId>) {
        if let Some(range) = range {
            let bytes = range.end.offset.saturating_sub(checkpoint.fingerprint.offset);
            tracing::error!(path = %checkpoint.path.display(), bytes, "a log file vanished before its lines were acknowledged");
            self.lost("vanished", bytes);
            if self
                .find_again(checkpoint, &checkpoint.fingerprint, known)
                .is_some()
            {
                return;
            }
        }
        self.skipped("gone");
    }

    fn read_again(&mut self, index: usize, range: &Range, read_at_ns: i64) -> Option<Part> {
        let format = self.format_of(index);
        let t = &mut self.tracked[index];
        let len = usize::try_from(range.end.offset.checked_sub(t.print.offset)?).ok()?;
        let mut bytes = vec![0; len];
        t.file.read_exact_at(&mut bytes, t.print.offset).ok()?;
        let how = How {
            format,
            max_line_bytes: self.options.config.max_line_bytes,
            skipping: t.skipping,
        };
        let decoded = decode::decode_all(&bytes, how);
        t.print = range.end;
        t.skipping = range.skipping;
        Some(Part::new(decoded, t, len as u64, read_at_ns))
    }

    pub(super) fn pattern_of(&self, path: &Path) -> Option<usize> {
        self.patterns.iter().position(|p| p.matches(path))
    }
}
