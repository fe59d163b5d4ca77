//! Logs on disk: [`LogStore`].
//!
//! A stream's entries are gathered in the head, flushed as blocks to a part for each day, and merged into larger
//! parts. Every entry remembers whether an agent sent it. A foreign sender's entry is shown unless an equal one
//! (same stream, time and line) arrived before it; repeats inside an agent's batches are real and all shown,
//! because a repeated batch as a whole is known by its sequence.

mod build;
mod columns;
mod cursor;
mod head;
mod part;
mod query;
mod record;
mod scan;
mod validate;

pub(crate) use head::LogHead;
pub use validate::CUT_MARK;

use crate::cache::Cache;
use crate::codec::Decoder;
use crate::engine::{Context, Engine, Part, PartFactory, Signal, day_of};
use crate::words::WordsReader;
use crate::{Options, Stats};
use build::LogPartWriter;
use columns::Columns;
use cursor::{Cursor, Env, Piece, Rows, Source};
use model::write::BoxFuture;
use model::*;
use part::{LOG_PART, OpenPart};
use query::Query;
use scan::LogScan;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use storage::{PartKind, StoreName};

/// zstd levels: a flush is on the way of writers, a merge is not.
const FLUSH_LEVEL: i32 = 1;
const MERGE_LEVEL: i32 = 3;

/// What is particular about logs.
pub(crate) struct LogSignal {
    options: Options,
    open: Cache<OpenPart>,
    words: Cache<WordsReader>,
}

impl LogSignal {
    fn new(options: &Options) -> Self {
        Self {
            options: options.clone(),
            open: Cache::new(options.cache_bytes / 2),
            words: Cache::new(options.cache_bytes / 2),
        }
    }
    fn open(&self, part: &Part) -> Result<Arc<OpenPart>> {
        self.open.get(part.key, || OpenPart::load(part.open(LOG_PART)?))
    }
    fn words(&self, part: &Part, open: &OpenPart) -> Result<Arc<WordsReader>> {
        self.words.get(part.key, || {
            let words = WordsReader::open(Arc::clone(&open.reader), open.index.blocks.len())?;
            let memory = words.memory_bytes();
            Ok((words, memory))
        })
    }
    /// An environment for work of our own: everything, oldest first, and damage is an error.
    fn own_env(self: &Arc<Self>, context: &Arc<Context>) -> Env {
        Env {
            context: Arc::clone(context),
            signal: Arc::clone(self),
            query: Query::new(&Predicate::all(), TimeRange::ALL, Direction::Forward),
            budget: None,
            is_strict: true,
        }
    }
}

impl Signal for LogSignal {
    const STORE: StoreName = StoreName::Logs;
    const PART: PartKind = LOG_PART;
    const RECORD_VERSION: u8 = 1;
    type Payload = Logs;
    type Head = LogHead;

    fn count(payload: &Logs) -> u64 {
        payload.streams.iter().map(|s| s.entries.len() as u64).sum()
    }
    fn encode(payload: &Logs, out: &mut Vec<u8>) {
        record::encode(payload, out);
    }
    fn decode(decoder: &mut Decoder<'_>) -> Result<Logs> {
        record::decode(decoder)
    }
    fn validate(&self, context: &Context, head: &LogHead, payload: &mut Logs) -> WriteOutcome {
        validate::validate(context, head, payload)
    }
    fn write_parts(
        self: &Arc<Self>,
        context: &Arc<Context>,
        factory: &mut PartFactory,
        head: &LogHead,
        _: &[Arc<Part>],
    ) -> Result<()> {
        let env = self.own_env(context);
        let streams: BTreeMap<&Labels, _> = head.streams().collect();
        let mut days: BTreeMap<i64, Vec<(&Labels, Columns)>> = BTreeMap::new();
        for (labels, chunks) in streams {
            let mut cursor = Cursor::new(labels.clone());
            for (i, chunk) in chunks.enumerate() {
                let piece = Piece {
                    rows: Rows::Chunk(Arc::clone(chunk)),
                    range: chunk.range(),
                    rank: (0, i as u32),
                };
                cursor.add(&env.query, piece);
            }
            each_row(&env, &mut cursor, |rows, row| {
                let day = days.entry(day_of(rows.time(row))).or_default();
                if day.last().is_none_or(|(last, _)| *last != labels) {
                    day.push((labels, Columns::default()));
                }
                if let Some((_, columns)) = day.last_mut() {
                    columns.push(
                        rows.time(row),
                        rows.line(row),
                        rows.metadata(row),
                        rows.is_kept(row),
                    );
                }
                Ok(())
            })?;
            factory.duplicates += cursor.hidden;
        }
        for streams in days.into_values() {
            let mut writer = LogPartWriter::new(factory.create()?, &self.options, FLUSH_LEVEL)?;
            for (labels, columns) in streams {
                writer.begin_stream(labels)?;
                (0..columns.len()).try_for_each(|row| writer.push(&columns, row))?;
            }
            writer.finish(factory)?;
        }
        Ok(())
    }
    fn merge_parts(
        self: &Arc<Self>,
        context: &Arc<Context>,
        factory: &mut PartFactory,
        parts: &[Arc<Part>],
    ) -> Result<()> {
        let env = self.own_env(context);
        let mut streams: BTreeMap<Labels, Cursor> = BTreeMap::new();
        for (rank, part) in parts.iter().enumerate() {
            let open = self.open(part).inspect_err(|_| part.set_damaged())?;
            let source = Arc::new(Source {
                part: Arc::clone(part),
                open: Arc::clone(&open),
                hits: OnceLock::new(),
            });
            for (block, info) in open.index.blocks.iter().enumerate() {
                let labels = &open.index.streams[info.stream as usize];
                let cursor = streams
                    .entry(labels.clone())
                    .or_insert_with(|| Cursor::new(labels.clone()));
                let piece = Piece {
                    rows: Rows::Block(Arc::clone(&source), block as u32),
                    range: info.range,
                    rank: (rank as u32, block as u32),
                };
                cursor.add(&env.query, piece);
            }
        }
        let mut writer = LogPartWriter::new(factory.create()?, &self.options, MERGE_LEVEL)?;
        for (labels, mut cursor) in streams {
            writer.begin_stream(&labels)?;
            each_row(&env, &mut cursor, |rows, row| writer.push(rows, row))?;
            factory.duplicates += cursor.hidden;
        }
        writer.finish(factory)
    }
    fn forget(&self, part: u64) {
        self.open.remove(part);
        self.words.remove(part);
    }
}

/// Calls back for all visible rows of a stream.
fn each_row(env: &Env, cursor: &mut Cursor, mut f: impl FnMut(&Columns, usize) -> Result<()>) -> Result<()> {
    while cursor.key().is_some() {
        cursor.next_rows(env, None, usize::MAX, &mut f)?;
    }
    Ok(())
}

/// Logs of all tenants. Cheap to clone; clones share the store.
#[derive(Clone)]
pub struct LogStore(Arc<Engine<LogSignal>>);

impl LogStore {
    /// Opens the logs of a data directory: reads the manifests and replays the write-ahead logs.
    ///
    /// The caller holds the directory's lock ([`storage::DataDir`]). Errors: those of the disk, and
    /// [`ErrorKind::Corrupt`] for a damaged manifest or a newer format; nothing is touched then.
    pub fn open(
        fs: Arc<dyn Fs>,
        data_dir: &Path,
        options: Options,
        clock: Arc<dyn Clock>,
        meter: &dyn Meter,
    ) -> Result<Self> {
        let signal = LogSignal::new(&options);
        Ok(Self(Arc::new(Engine::open(
            signal, fs, data_dir, options, clock, meter,
        )?)))
    }
    /// Writes everything in memory to parts. What cannot be written (the disk is full) stays visible, in memory
    /// and in the log, and the next flush tries again.
    pub fn flush(&self) -> Result<()> {
        self.0.flush()
    }
    /// Takes everything into a data directory that is being built, see [`storage::Snapshots::create`]; nothing else
    /// may write there. What was acknowledged before the call is in it; with `skip_head` only what was flushed before.
    /// Writes and reads go on meanwhile.
    pub fn snapshot(&self, to: &Path, skip_head: bool) -> Result<storage::Taken> {
        self.0.snapshot(to, skip_head)
    }
    /// Flushes, and merges all parts of each day as far as [`Options::max_part_bytes`] allows.
    pub fn compact(&self) -> Result<()> {
        self.0.compact()
    }
    /// Removes parts that hold only entries older than the retention. Parts are of one day each, so an entry may
    /// stay up to a day longer.
    pub fn enforce_retention(&self, now_ns: i64) -> Result<()> {
        self.0.enforce_retention(now_ns)
    }
    /// Does what is due: retention, a flush when the head is large or old, one merge. Call it every second or so,
    /// where blocking is allowed.
    pub fn maintain(&self) -> Result<()> {
        self.0.maintain()
    }
    /// What the store holds.
    pub fn stats(&self) -> Stats {
        self.0.stats()
    }
    /// Flushes and closes. Further writes are answered [`ErrorKind::Unavailable`]; reads go on.
    pub fn close(&self) -> Result<()> {
        self.0.close()
    }
    fn start(&self, request: &ScanRequest) -> Result<LogScan> {
        let tenant = self.0.tenant(&request.tenant);
        let snapshot = tenant.as_ref().map(|t| t.snapshot());
        LogScan::new(&self.0.context, &self.0.signal, snapshot, request)
    }
    fn streams(&self, request: &ScanRequest) -> Result<Vec<Labels>> {
        self.start(request)?.streams()
    }
}

impl Write<Logs> for LogStore {
    fn write(&self, batch: Batch<Logs>) -> BoxFuture<'_, Result<WriteOutcome>> {
        Box::pin(self.0.write(batch))
    }
}

impl Read<LogBatch> for LogStore {
    fn scan(&self, request: &ScanRequest) -> Result<Scan<LogBatch>> {
        Ok(Scan {
            predicates: vec![Answer::Exact; request.predicate.leaves().len()],
            aggregate: Answer::NotDone,
            batches: Box::new(self.start(request)?),
        })
    }
    fn label_names(&self, request: &ScanRequest) -> Result<Vec<String>> {
        let streams = self.streams(request)?;
        let names: BTreeSet<&str> = streams
            .iter()
            .flat_map(|s| s.iter().map(|(name, _)| name))
            .collect();
        Ok(names.into_iter().map(str::to_owned).collect())
    }
    fn label_values(&self, request: &ScanRequest, name: &str) -> Result<Vec<String>> {
        let streams = self.streams(request)?;
        let values: BTreeSet<&str> = streams.iter().filter_map(|s| s.get(name)).collect();
        Ok(values.into_iter().map(str::to_owned).collect())
    }
    fn series(&self, request: &ScanRequest) -> Result<Vec<Labels>> {
        self.streams(request)
    }
}
