//! Reading a part of the metrics store.

use super::{CHUNKS, ChunkKind, ChunkRef, IndexCache, KIND, PartIndex, PartMeta};
use crate::{chunk, histogram};
use model::metric::HistogramSample;
use model::{Error, ErrorKind, Fs, Result};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use storage::{PartEntry, PartReader, layout};

/// Read ahead when chunks are read one after the other.
const WINDOW: u64 = 256 << 10;

/// One part that counts.
pub(crate) struct Part {
    pub entry: PartEntry<PartMeta>,
    /// Unique in this process, for the cache of indexes.
    key: u64,
    /// The open file, or why it cannot be read: the rest of the store goes on without it.
    reader: Result<PartReader>,
    /// Whether damage was met in it; such a part is not merged, so that it can be mended from a copy.
    damaged: AtomicBool,
}

impl Part {
    /// Opens a part that the manifest names. One that is damaged is opened as unreadable; one of a newer format
    /// cannot be told from it here and is treated alike: nothing of it is touched.
    ///
    /// Errors: those of the disk.
    pub(crate) fn open(fs: &dyn Fs, store_dir: &Path, entry: PartEntry<PartMeta>) -> Result<Self> {
        static NEXT_KEY: AtomicU64 = AtomicU64::new(0);
        let reader = PartReader::open(fs, &layout::part_file(store_dir, entry.id), KIND);
        if let Err(e) = &reader
            && !matches!(e.kind(), ErrorKind::Corrupt | ErrorKind::NotFound)
        {
            return Err(e.clone());
        }
        Ok(Self {
            entry,
            key: NEXT_KEY.fetch_add(1, Ordering::Relaxed),
            reader,
            damaged: AtomicBool::new(false),
        })
    }
    /// Takes note of damage.
    pub(crate) fn mark_damaged(&self) {
        self.damaged.store(true, Ordering::Relaxed);
    }
    /// Whether damage was met.
    pub(crate) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Relaxed)
    }
    /// Why the part cannot be read, if so.
    pub(crate) fn unreadable(&self) -> Option<&Error> {
        self.reader.as_ref().err()
    }
    /// The index, from the cache or from the file.
    pub(crate) fn index(&self, cache: &IndexCache) -> Result<Arc<PartIndex>> {
        let reader = self.reader.as_ref().map_err(Clone::clone)?;
        cache.get(self.key, || PartIndex::load(reader))
    }
    /// Takes the part's index out of the cache: the part is gone.
    pub(crate) fn forget(&self, cache: &IndexCache) {
        cache.remove(self.key);
    }
    /// Whether the part may hold something in a range of times, both included.
    pub(crate) fn overlaps(&self, start_ms: i64, end_ms: i64) -> bool {
        self.entry.meta.min_ms <= end_ms && self.entry.meta.max_ms >= start_ms
    }
    /// Whether all of the part lies in a range of times.
    pub(crate) fn is_within(&self, start_ms: i64, end_ms: i64) -> bool {
        start_ms <= self.entry.meta.min_ms && self.entry.meta.max_ms <= end_ms
    }
}

/// Reads chunks of one part; remembers what it read ahead. One for each scan and part.
pub(crate) struct ChunkReader {
    part: Arc<Part>,
    window: Vec<u8>,
    window_start: u64,
    /// Bytes read from the file since the caller last asked.
    pub bytes_read: u64,
}

impl ChunkReader {
    pub(crate) fn new(part: Arc<Part>) -> Self {
        Self {
            part,
            window: Vec::new(),
            window_start: 0,
            bytes_read: 0,
        }
    }

    fn bytes(&mut self, chunk: &ChunkRef) -> Result<&[u8]> {
        let reader = self.part.reader.as_ref().map_err(Clone::clone)?;
        let (start, end) = (chunk.offset, chunk.offset.saturating_add(chunk.len));
        let window_end = self.window_start + self.window.len() as u64;
        if start < self.window_start || end > window_end {
            // Only who reads on where the last one ended is going to want what follows, too.
            let goes_on =
                !self.window.is_empty() && (self.window_start..=window_end + WINDOW).contains(&start);
            let section = reader.section_len(CHUNKS).unwrap_or(0);
            let wanted = if goes_on { chunk.len.max(WINDOW) } else { chunk.len };
            let len = wanted.min(section.saturating_sub(start)).max(chunk.len);
            self.window = match reader.read_range(CHUNKS, start, len) {
                // Damage further on must not cost this chunk.
                Err(_) if len > chunk.len => reader.read_range(CHUNKS, start, chunk.len)?,
                other => other?,
            };
            self.window_start = start;
            self.bytes_read += self.window.len() as u64;
        }
        let from = usize::try_from(start - self.window_start).unwrap_or(usize::MAX);
        let to = usize::try_from(end - self.window_start).unwrap_or(usize::MAX);
        self.window
            .get(from..to)
            .ok_or_else(|| crate::bytes::bad("a chunk lies outside of its section"))
    }

    /// Appends the float samples of a chunk that lie in a range to columns.
    pub(crate) fn floats(
        &mut self,
        chunk: &ChunkRef,
        range: (i64, i64),
        times: &mut Vec<i64>,
        values: &mut Vec<f64>,
    ) -> Result<()> {
        debug_assert_eq!(chunk.kind, ChunkKind::Floats);
        let start = times.len();
        let decoded = chunk::decode(self.bytes(chunk)?, chunk.count, times, values);
        if let Err(e) = decoded {
            times.truncate(start);
            values.truncate(start);
            return Err(self.at(chunk, e));
        }
        let from = start + times[start..].partition_point(|t| *t < range.0);
        let to = start + times[start..].partition_point(|t| *t <= range.1);
        times.truncate(to);
        values.truncate(to);
        times.drain(start..from.min(to));
        values.drain(start..from.min(to));
        Ok(())
    }

    /// The histogram samples of a chunk that lie in a range.
    pub(crate) fn histograms(&mut self, chunk: &ChunkRef, range: (i64, i64)) -> Result<Vec<HistogramSample>> {
        let decoded = histogram::decode_chunk(self.bytes(chunk)?, chunk.count);
        let mut samples = decoded.map_err(|e| self.at(chunk, e))?;
        samples.retain(|s| range.0 <= s.timestamp_ms && s.timestamp_ms <= range.1);
        Ok(samples)
    }

    fn at(&self, chunk: &ChunkRef, e: Error) -> Error {
        let path = self
            .part
            .reader
            .as_ref()
            .map_or_else(|_| Path::new(""), |r| r.path());
        e.within(format_args!(
            "{}: section {CHUNKS:?} at {}",
            path.display(),
            chunk.offset
        ))
    }
}
