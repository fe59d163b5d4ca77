//! A file that is followed, and what one reading of it gave.

use crate::files::decode;
use crate::files::fingerprint::{FileId, Fingerprint};
use crate::files::range::{self, StreamLabels};
use std::fs::File;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::PathBuf;
use std::sync::Arc;
use wire::container_log::Format;

/// A copy, since when it has been as long as it is.
pub(super) struct Held {
    pub(super) id: FileId,
    pub(super) size: u64,
    pub(super) since_ns: u64,
}

/// A file that is followed.
pub(super) struct Tracked {
    pub(super) id: FileId,
    pub(super) file: File,
    pub(super) path: PathBuf,
    /// The path by which it was found first, or of the file that it is a copy of.
    pub(super) named: PathBuf,
    pub(super) pattern: usize,
    /// How far the file has been read, and what stands before that.
    pub(super) print: Fingerprint,
    pub(super) skipping: bool,
    /// How far it is acknowledged.
    pub(super) acknowledged: Fingerprint,
    pub(super) acknowledged_skipping: bool,
    /// Size and time of the last look that found nothing more to read.
    pub(super) exhausted: Option<(u64, i64)>,
    /// Since when the file is no longer found by its pattern and does not grow.
    pub(super) detached_since_ns: Option<u64>,
    /// Whether nothing is left to do once everything is acknowledged.
    pub(super) finished: bool,
    pub(super) format: Option<Format>,
    pub(super) labels: Option<Arc<StreamLabels>>,
}

impl Tracked {
    pub(super) fn new(id: FileId, file: File, path: PathBuf, pattern: usize) -> Self {
        Self {
            id,
            file,
            named: path.clone(),
            path,
            pattern,
            print: Fingerprint::default(),
            skipping: false,
            acknowledged: Fingerprint::default(),
            acknowledged_skipping: false,
            exhausted: None,
            detached_since_ns: None,
            finished: false,
            format: None,
            labels: None,
        }
    }
    pub(super) fn was_truncated(&self) -> bool {
        let Ok(metadata) = self.file.metadata() else {
            return false;
        };
        if metadata.len() < self.print.offset {
            return true;
        }
        let changed = self.exhausted != Some((metadata.len(), modified_ns(&metadata)));
        // Equal size and time as at the last look: nothing was written since.
        changed && !self.print.matches(&self.file)
    }
    pub(super) fn begin_anew(&mut self) {
        self.print = Fingerprint::default();
        self.acknowledged = Fingerprint::default();
        self.skipping = false;
        self.acknowledged_skipping = false;
        self.exhausted = None;
        self.format = None;
    }
    pub(super) fn undo_reading(&mut self) {
        self.print = self.acknowledged;
        self.skipping = self.acknowledged_skipping;
        self.exhausted = None;
        self.finished = false;
    }
}

/// The lines of one range and what happened while reading them.
pub(super) struct Part {
    pub(super) streams: Vec<model::LogStream>,
    pub(super) bytes: u64,
    pub(super) cut_lines: u64,
    pub(super) cut_bytes: u64,
    pub(super) malformed: u64,
}

impl Part {
    pub(super) fn new(decoded: decode::Decoded, t: &Tracked, bytes: u64, read_at_ns: i64) -> Self {
        let (cut_lines, cut_bytes, malformed) = (decoded.cut_lines, decoded.cut_bytes, decoded.malformed);
        let streams = match &t.labels {
            Some(labels) => range::streams(decoded, labels, read_at_ns),
            None => Vec::new(),
        };
        Self {
            streams,
            bytes,
            cut_lines,
            cut_bytes,
            malformed,
        }
    }
}

pub(super) fn modified_ns(metadata: &std::fs::Metadata) -> i64 {
    metadata
        .mtime()
        .saturating_mul(1_000_000_000)
        .saturating_add(metadata.mtime_nsec())
}

/// Up to `len` bytes from an offset, or fewer at the end of the file; `None` when it cannot be read.
pub(super) fn read_at<'a>(file: &File, buffer: &'a mut Vec<u8>, offset: u64, len: usize) -> Option<&'a [u8]> {
    buffer.resize(len, 0);
    let mut filled = 0;
    while filled < len {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
    Some(&buffer[..filled])
}
