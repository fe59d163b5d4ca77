//! The write-ahead log: records are on disk before they are acknowledged.
//!
//! A log is a directory of segments (`docs/formats/log.md`). [`Log`] appends groups of records, each group with
//! one fsync, and replays them at start. [`GroupCommit`] puts a bounded queue and one thread before it, so that
//! everything queued meanwhile shares an fsync, and calls the store's `apply` in log order.
//!
//! After a failure the log cuts back to the last good offset and answers [`model::ErrorKind::Unavailable`]; the
//! next append tries again, in a new segment when an fsync had failed. What replay cannot read is told as
//! [`Damage`]; everything readable around it is still replayed.

mod commit;
mod format;
mod remove;
mod replay;

pub use commit::{Commit, CommitOptions, GroupCommit};
pub use replay::{Damage, Replay};

use crate::LogMetrics;
use format::{RECORD_HEADER, SEGMENT_HEADER, SegmentHeader};
use model::fs::AppendFile;
use model::{Error, Fs, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A place in a log: a segment's number and a byte offset in it. Positions grow with time; the first is
/// `Position::default()`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Position {
    /// The segment's number.
    pub segment: u64,
    /// Bytes from the segment's start.
    pub offset: u32,
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.segment, self.offset)
    }
}

/// Where a record stands. A replay that starts at `end` does not see it any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The record's first byte.
    pub start: Position,
    /// The byte after its last.
    pub end: Position,
}

/// One record. What kind and version mean is up to the store; kind 0 and 255 belong to the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// What the payload is.
    pub kind: u8,
    /// The version of the payload's encoding.
    pub version: u8,
    /// The payload.
    pub payload: &'a [u8],
}

/// When a write is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// After the fsync.
    #[default]
    Disk,
    /// Before the fsync, which follows at once: a crash of the machine may lose what was acknowledged last. Only
    /// by explicit choice.
    Memory,
}

/// How a log behaves.
#[derive(Debug, Clone)]
pub struct LogOptions {
    /// A segment that has reached this size is followed by a new one.
    pub segment_bytes: u32,
    /// The largest payload of a record.
    pub max_record_bytes: u32,
    /// When a write is acknowledged.
    pub durability: Durability,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 8 << 20,
            max_record_bytes: 64 << 20,
            durability: Durability::Disk,
        }
    }
}

/// The largest payload that a segment's 32-bit offsets leave room for.
const MAX_RECORD_BYTES: u32 = 1 << 30;
const MAX_SEGMENT_BYTES: u32 = 1 << 31;
/// A buffer that a large group has blown up is given back above this size.
const KEPT_BUFFER_BYTES: usize = 4 << 20;

/// An open log. Has one owner; [`GroupCommit`] shares it.
pub struct Log {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    options: LogOptions,
    metrics: LogMetrics,
    /// Sizes of the segments that are not written any more, and whether they are damaged.
    closed: BTreeMap<u64, Closed>,
    current: Option<Current>,
    next_number: u64,
    /// The last segment with good data before the current one, and the end of its good data.
    previous: Position,
    buffer: Vec<u8>,
    /// This log's part of the gauge.
    counted_bytes: i64,
}

#[derive(Debug, Clone, Copy)]
struct Closed {
    len: u64,
    /// The end of its last record, the seal left out.
    records_end: u32,
    /// The end that the next segment names or is going to name: who replays from before it misses the file.
    named_end: u32,
    damaged: bool,
}

struct Current {
    number: u64,
    file: Box<dyn AppendFile>,
    /// The end of what is acknowledged.
    good: u32,
    /// Bytes appended after `good`, not yet synced.
    staged: u32,
    /// Whether something before `good` was not synced (only with [`Durability::Memory`]).
    needs_sync: bool,
    /// Whether the file's name is on the disk.
    is_named: bool,
}

fn place(segment: u64, base: u32, added: usize) -> Position {
    let added = u32::try_from(added).expect("segments are limited to 2 GiB");
    Position {
        segment,
        offset: base + added,
    }
}

/// `<dir>/<number>.wal`, the number as 20 digits.
fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:020}.wal"))
}

impl Log {
    /// Opens a log, creates its directory when missing, and replays every record from `from` on in log order.
    ///
    /// Segments wholly before `from` are removed. An unfinished tail, which was never acknowledged, is cut.
    /// Everything replayed is on disk when this returns, so a retry may be answered by it.
    ///
    /// Errors: those of the disk, those of `apply`, and [`model::ErrorKind::Corrupt`] for a segment of a newer
    /// format (nothing is touched then). Damage is not an error but told in [`Replay::damages`], counted and
    /// logged: everything that can be read has been replayed.
    pub fn open(
        fs: Arc<dyn Fs>,
        dir: &Path,
        mut options: LogOptions,
        metrics: LogMetrics,
        from: Position,
        apply: &mut dyn FnMut(Span, Record<'_>) -> Result<()>,
    ) -> Result<(Self, Replay)> {
        options.segment_bytes = options
            .segment_bytes
            .clamp(SEGMENT_HEADER as u32, MAX_SEGMENT_BYTES);
        options.max_record_bytes = options.max_record_bytes.min(MAX_RECORD_BYTES);
        let mut log = Self {
            fs,
            dir: dir.to_owned(),
            options,
            metrics,
            closed: BTreeMap::new(),
            current: None,
            next_number: 1,
            previous: Position::default(),
            buffer: Vec::new(),
            counted_bytes: 0,
        };
        let replay = log.replay(from, apply)?;
        log.count_bytes(log.size_bytes() as i64);
        if let Err(e) = log.remove_closed_below(from) {
            tracing::warn!(error = %e, "old segments of the write-ahead log stay until the next flush");
        }
        Ok((log, replay))
    }

    /// Appends records as one group with one fsync, and says where each stands. Nothing or all of the group is
    /// in the log afterwards.
    ///
    /// Errors: [`model::ErrorKind::TooLarge`] for a payload over the limit; [`model::ErrorKind::Unavailable`]
    /// for a disk that is full or fails. The next call tries again.
    pub fn append(&mut self, records: &[Record<'_>]) -> Result<Vec<Span>> {
        let spans = self.stage(records)?;
        match self.options.durability {
            Durability::Disk => self.sync()?,
            Durability::Memory => self.accept_staged(),
        }
        Ok(spans)
    }
    /// [`Log::append`] of one record; for the simulation and for callers without a thread.
    pub fn append_sync(&mut self, record: Record<'_>) -> Result<Span> {
        Ok(self.append(&[record])?[0])
    }
    /// The position after the last record: a replay from there sees only what comes later.
    pub fn position(&self) -> Position {
        match &self.current {
            Some(current) => Position {
                segment: current.number,
                offset: current.good,
            },
            None => Position {
                segment: self.next_number,
                offset: 0,
            },
        }
    }
    /// Bytes that the log takes on disk.
    pub fn size_bytes(&self) -> u64 {
        let current = self.current.as_ref().map_or(0, |c| u64::from(c.good));
        self.closed.values().map(|c| c.len).sum::<u64>() + current
    }
    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
    /// Syncs and closes the current segment with a seal, so that a later start can tell damage at its end from
    /// an unfinished write. The log stays usable.
    pub fn seal(&mut self) -> Result<()> {
        if self.current.is_none() {
            return Ok(());
        }
        let seal = Record {
            kind: format::SEAL,
            version: 0,
            payload: &[],
        };
        self.stage_into_current(&[seal])?;
        self.sync()?;
        self.close_current();
        Ok(())
    }

    /// Appends a group to the file without a sync.
    fn stage(&mut self, records: &[Record<'_>]) -> Result<Vec<Span>> {
        let limit = self.options.max_record_bytes;
        if let Some(large) = records.iter().find(|r| r.payload.len() > limit as usize) {
            return Err(Error::new(
                model::ErrorKind::TooLarge,
                format!(
                    "a record of {} bytes is over the log's limit of {limit}",
                    large.payload.len()
                ),
            ));
        }
        let group: u64 = records
            .iter()
            .map(|r| (RECORD_HEADER + r.payload.len()) as u64)
            .sum();
        if group + SEGMENT_HEADER as u64 > u64::from(MAX_SEGMENT_BYTES) {
            return Err(Error::new(
                model::ErrorKind::TooLarge,
                "the group does not fit into a segment",
            ));
        }
        let is_full = |c: &Current| {
            u64::from(c.good) + group > u64::from(self.options.segment_bytes)
                && c.good > SEGMENT_HEADER as u32
        };
        if self.current.as_ref().is_some_and(is_full) {
            self.sync()?;
            self.close_current();
        }
        self.stage_into_current(records)
    }

    fn stage_into_current(&mut self, records: &[Record<'_>]) -> Result<Vec<Span>> {
        let mut current = match self.current.take() {
            Some(current) => current,
            None => self.create_segment()?,
        };
        let (number, group) = (current.number, current.good);
        self.buffer.clear();
        if group == 0 {
            let header = SegmentHeader {
                number,
                previous: self.previous,
            };
            self.buffer.extend_from_slice(&header.encode());
        }
        let mut spans = Vec::with_capacity(records.len());
        for record in records {
            let start = place(number, group, self.buffer.len());
            format::encode_record(&mut self.buffer, start, group, record);
            let end = place(number, group, self.buffer.len());
            spans.push(Span { start, end });
        }
        let written = current.file.append(&self.buffer);
        current.staged = place(number, 0, self.buffer.len()).offset;
        if self.buffer.capacity() > KEPT_BUFFER_BYTES {
            self.buffer = Vec::new();
        }
        if let Err(e) = written {
            return Err(self.fail(current, &e, false));
        }
        self.metrics.appended_records.add(records.len() as u64);
        self.current = Some(current);
        Ok(spans)
    }

    /// Counts what was staged as good.
    fn accept_staged(&mut self) {
        if let Some(current) = &mut self.current {
            let added = std::mem::take(&mut current.staged);
            current.good += added;
            current.needs_sync = true;
            self.metrics.appended_bytes.add(u64::from(added));
            self.count_bytes(i64::from(added));
        }
    }

    /// Makes everything staged durable. After a failure what was staged is cut off again.
    pub(crate) fn sync(&mut self) -> Result<()> {
        let needs_sync = |c: &Current| c.needs_sync || c.staged > 0;
        let Some(mut current) = self.current.take_if(|c| needs_sync(c)) else {
            return Ok(());
        };
        let mut done = current.file.sync();
        if done.is_ok() && !current.is_named {
            done = self.fs.sync_dir(&self.dir);
        }
        if let Err(e) = done {
            return Err(self.fail(current, &e, true));
        }
        current.is_named = true;
        self.metrics.fsyncs.inc();
        self.current = Some(current);
        self.accept_staged();
        if let Some(current) = &mut self.current {
            current.needs_sync = false;
        }
        Ok(())
    }

    fn create_segment(&mut self) -> Result<Current> {
        let number = self.next_number;
        let path = segment_path(&self.dir, number);
        // The number is used up even when this fails: the entry may be there all the same.
        self.next_number += 1;
        match self.fs.create(&path) {
            Ok(file) => Ok(Current {
                number,
                file,
                good: 0,
                staged: 0,
                needs_sync: false,
                is_named: false,
            }),
            Err(e) => Err(self.explain(&e, &path)),
        }
    }

    /// Cuts the current segment back to what is good, and gives it up unless it is known to be sound: a segment
    /// whose fsync failed may have lost earlier pages, and a later fsync of it would prove nothing.
    fn fail(&mut self, mut current: Current, e: &std::io::Error, while_syncing: bool) -> Error {
        let path = segment_path(&self.dir, current.number);
        let is_cut = current.file.truncate(u64::from(current.good)).is_ok();
        let is_sound = !while_syncing && is_full_disk(e) && is_cut && current.good > 0;
        if is_sound {
            current.staged = 0;
            self.current = Some(current);
        } else if current.good > 0 {
            self.current = Some(current);
            self.close_current();
        } else if let Err(tidy) = self.fs.remove_file(&path) {
            // An empty or torn segment that no later one names; replay knows it for what it is.
            tracing::debug!(path = %path.display(), error = %tidy, "a failed segment stays behind");
        }
        self.explain(e, &path)
    }

    fn close_current(&mut self) {
        if let Some(current) = self.current.take() {
            self.previous = Position {
                segment: current.number,
                offset: current.good,
            };
            let closed = Closed {
                len: u64::from(current.good),
                records_end: current.good,
                named_end: current.good,
                damaged: false,
            };
            self.closed.insert(current.number, closed);
        }
    }

    fn count_bytes(&mut self, by: i64) {
        self.counted_bytes += by;
        self.metrics.size_bytes.add(by);
    }

    fn explain(&self, e: &std::io::Error, path: &Path) -> Error {
        let shown = path.display();
        tracing::warn!(path = %shown, error = %e, "the write-ahead log could not take a group of records");
        if is_full_disk(e) {
            self.metrics.full.inc();
            return Error::unavailable(
                format!("the disk is full: {shown} cannot grow; make room, writing goes on by itself ({e})"),
                Duration::from_secs(10),
            );
        }
        self.metrics.io.inc();
        Error::unavailable(format!("{shown} cannot be written: {e}"), Duration::from_secs(5))
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.count_bytes(-self.counted_bytes);
    }
}

fn is_full_disk(e: &std::io::Error) -> bool {
    matches!(
        e.kind(),
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded
    )
}

#[cfg(test)]
mod tests;
