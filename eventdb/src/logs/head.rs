//! Log entries in memory: chunks per stream, shared with readers.

use super::columns::Columns;
use crate::engine::{Applied, Head};
use model::{Labels, LogEntry, Logs};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

/// A chunk is closed when its lines reach this size. A writer copies an open chunk that a reader holds, so small
/// is good; each closed one is merged at query time, so tiny is bad.
const CHUNK_BYTES: usize = 64 << 10;
const CHUNK_ROWS: usize = 4096;
/// Memory of an empty stream, roughly.
const STREAM_BYTES: usize = 512;

/// Entries of one stream that are not in a part yet, in order of arrival.
#[derive(Default)]
struct Stream {
    closed: Vec<Arc<Columns>>,
    /// Rows in `closed` before each chunk.
    starts: Vec<u32>,
    open: Arc<Columns>,
    rows: u32,
    /// Where an entry stands, by the hash of its time and line. Built when a foreign sender first writes to the
    /// stream; entries of agents alone need none.
    seen: Option<HashMap<u64, u32>>,
}

/// The head of one tenant's logs.
#[derive(Default)]
pub(crate) struct LogHead {
    streams: HashMap<Labels, Stream>,
    rows: u64,
    bytes: usize,
}

fn entry_hash(time: i64, line: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(line.as_bytes(), time as u64)
}

impl Stream {
    fn chunk_of(&self, row: u32) -> (&Columns, usize) {
        let place = self.starts.partition_point(|start| *start <= row);
        let open_start = self.rows - self.open.len() as u32;
        if row >= open_start {
            return (&self.open, (row - open_start) as usize);
        }
        let chunk = place - 1;
        (&self.closed[chunk], (row - self.starts[chunk]) as usize)
    }
    fn index(&mut self) {
        if self.seen.is_some() {
            return;
        }
        let mut seen = HashMap::with_capacity(self.rows as usize);
        let mut row = 0;
        for chunk in self.chunks() {
            for i in 0..chunk.len() {
                seen.entry(entry_hash(chunk.time(i), chunk.line(i)))
                    .or_insert(row);
                row += 1;
            }
        }
        self.seen = Some(seen);
    }
    /// Whether an equal entry is here. Two different entries of one hash (which nobody has seen) both stay, and
    /// the later of them is compared again when it is read.
    fn contains(&self, hash: u64, time: i64, line: &str) -> bool {
        let Some(row) = self.seen.as_ref().and_then(|s| s.get(&hash)) else {
            return false;
        };
        let (chunk, i) = self.chunk_of(*row);
        chunk.time(i) == time && chunk.line(i) == line
    }
    /// Returns the memory it took.
    fn push(&mut self, entry: LogEntry, hash: u64, from_agent: bool) -> usize {
        let mut memory = 0;
        if let Some(seen) = &mut self.seen {
            seen.entry(hash).or_insert(self.rows);
            memory += 16;
        }
        let metadata = (!entry.metadata.is_empty()).then(|| Arc::new(entry.metadata));
        let open = Arc::make_mut(&mut self.open);
        memory += open.push(entry.timestamp_ns, &entry.line, metadata.as_ref(), from_agent);
        self.rows += 1;
        if open.text_bytes() >= CHUNK_BYTES || open.len() >= CHUNK_ROWS {
            let closed = std::mem::take(&mut self.open);
            self.starts.push(self.rows - closed.len() as u32);
            self.closed.push(closed);
        }
        memory
    }
    fn chunks(&self) -> impl Iterator<Item = &Arc<Columns>> {
        self.closed
            .iter()
            .chain((!self.open.is_empty()).then_some(&self.open))
    }
}

impl LogHead {
    /// How many streams there are.
    pub(crate) fn len(&self) -> usize {
        self.streams.len()
    }
    pub(crate) fn has_stream(&self, labels: &Labels) -> bool {
        self.streams.contains_key(labels)
    }
    /// All streams with their chunks in order of arrival.
    pub(crate) fn streams(&self) -> impl Iterator<Item = (&Labels, impl Iterator<Item = &Arc<Columns>>)> {
        self.streams
            .iter()
            .map(|(labels, stream)| (labels, stream.chunks()))
    }
}

impl Head for LogHead {
    type Payload = Logs;

    fn apply(&mut self, before: Option<&Self>, payload: Logs, from_agent: bool) -> Applied {
        let mut applied = Applied::default();
        for incoming in payload.streams {
            if incoming.entries.is_empty() {
                continue;
            }
            let earlier = before.and_then(|head| head.streams.get(&incoming.labels));
            let stream = match self.streams.entry(incoming.labels) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => {
                    self.bytes += STREAM_BYTES + entry.key().size_bytes();
                    entry.insert(Stream::default())
                }
            };
            if !from_agent {
                stream.index();
            }
            for entry in incoming.entries {
                let hash = if stream.seen.is_some() {
                    entry_hash(entry.timestamp_ns, &entry.line)
                } else {
                    0
                };
                let is_known = |s: &Stream| s.contains(hash, entry.timestamp_ns, &entry.line);
                if !from_agent && (is_known(stream) || earlier.is_some_and(is_known)) {
                    applied.duplicates += 1;
                } else {
                    self.bytes += stream.push(entry, hash, from_agent);
                    self.rows += 1;
                    applied.accepted += 1;
                }
            }
        }
        applied
    }
    fn is_empty(&self) -> bool {
        self.rows == 0
    }
    fn rows(&self) -> u64 {
        self.rows
    }
    fn bytes(&self) -> usize {
        self.bytes
    }
}
