//! One queue of the spool: batches on a write-ahead log, first in, first out.

use super::payload::{self, Head, Signal, Spooled};
use crate::counters::{self, Counters};
use crate::id::AgentId;
use model::{Batch, Counter, Error, Fs, Gauge, Origin, Result, Tenant, WriteOutcome};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use storage::{CommitOptions, GroupCommit, Log, LogMetrics, LogOptions, Position, Record, Sequences, Span};
use tokio::sync::Notify;

/// The version of the queue's state file.
const STATE_VERSION: u32 = 1;
/// Acknowledgements after which the state is saved, if no segment has become free before.
const SAVE_EVERY: u32 = 256;
/// Largest state file: sequences of a hundred thousand senders.
const STATE_LIMIT_BYTES: u64 = 64 << 20;

/// What a queue does when the spool is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// Answers `Unavailable`.
    Refuse,
    /// Drops its own oldest batches.
    DropOldest,
}

/// How a queue works.
pub(super) struct QueueOptions {
    pub(super) name: &'static str,
    pub(super) when_full: WhenFull,
    pub(super) segment_bytes: u32,
    pub(super) commit: CommitOptions,
}

/// The bytes that all queues share.
pub(super) struct Budget {
    limit: u64,
    segment_bytes: u32,
    used: AtomicU64,
}

impl Budget {
    /// Of so many bytes on disk. A segment is freed as a whole, so one for each queue is set aside.
    pub(super) fn new(max_bytes: u64) -> Self {
        let segment = (max_bytes / 32).clamp(16 << 10, 8 << 20);
        Self {
            limit: max_bytes.saturating_sub(4 * segment),
            segment_bytes: u32::try_from(segment).expect("at most 8 MiB"),
            used: AtomicU64::new(0),
        }
    }
    pub(super) fn segment_bytes(&self) -> u32 {
        self.segment_bytes
    }
    fn reserve(&self, bytes: u64) -> bool {
        let fits = |used: u64| Some(used + bytes).filter(|sum| *sum <= self.limit);
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
            .is_ok()
    }
    fn take(&self, bytes: u64) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }
    fn release(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// A queue. Writers add at its end, one sender takes from its front.
pub struct Queue {
    name: &'static str,
    when_full: WhenFull,
    log: GroupCommit<Added, ()>,
    waiting: Arc<Waiting>,
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    budget: Arc<Budget>,
    agent: String,
    epoch: u64,
    /// Batches that carry an origin are taken one at a time, so that a retry can't overtake what it repeats.
    one_origin: tokio::sync::Mutex<()>,
    counters: Arc<Counters>,
    refused: Counter,
}

/// What is shared with the thread that commits.
struct Waiting {
    state: Mutex<State>,
    added: Notify,
    bytes: Gauge,
    batches: Gauge,
}

#[derive(Default)]
struct State {
    entries: VecDeque<Entry>,
    sequences: Sequences,
    /// The end of what was taken out.
    done: Position,
    taken_since_save: u32,
}

/// A batch on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    span: Span,
    signal: Signal,
    len: u32,
    hash: u64,
}

/// What travels beside a record to the committer.
struct Added {
    signal: Signal,
    len: u32,
    hash: u64,
    origin: Option<Origin>,
}

/// The first batch of a queue, ready to be sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Front {
    /// What it holds.
    pub signal: Signal,
    /// Whose data it is.
    pub tenant: Tenant,
    /// Its place in this agent's stream.
    pub origin: Origin,
    /// How many samples, entries or spans.
    pub items: u64,
    /// Of metrics, which message the body is.
    pub message: wire::remote_write::Message,
    /// The body, compressed as its signal's protocol says.
    pub body: bytes::Bytes,
    start: Position,
}

#[derive(Serialize, Deserialize)]
struct StoredState {
    version: u32,
    epoch: u64,
    position: Position,
    sequences: Sequences,
}

impl Queue {
    pub(super) fn open(
        fs: Arc<dyn Fs>,
        dir: &Path,
        options: QueueOptions,
        agent: &AgentId,
        budget: Arc<Budget>,
        counters: Arc<Counters>,
    ) -> Result<Self> {
        fs.create_dir_all(dir)
            .map_err(|e| Error::from(e).within(dir.display()))?;
        let stored = match load_state(&*fs, dir)? {
            Some(stored) => stored,
            None => {
                let stored = StoredState {
                    version: STATE_VERSION,
                    epoch: agent.new_epoch()?,
                    position: Position::default(),
                    sequences: Sequences::default(),
                };
                save_state(&*fs, dir, &stored)?;
                stored
            }
        };
        let waiting = Arc::new(Waiting {
            state: Mutex::new(State {
                sequences: stored.sequences,
                done: stored.position,
                ..State::default()
            }),
            added: Notify::new(),
            bytes: counters.gauge(&counters::SPOOL_BYTES, &[options.name]),
            batches: counters.gauge(&counters::SPOOL_BATCHES, &[options.name]),
        });
        let log_options = LogOptions {
            segment_bytes: options.segment_bytes,
            ..LogOptions::default()
        };
        let metrics = LogMetrics::new(&*counters.meter(), &format!("spool_{}", options.name));
        let mut replay = |span: Span, record: Record<'_>| {
            let added = added_of(&record).map_err(|e| e.within(dir.display()))?;
            budget.take(u64::from(added.len));
            waiting.add(span, &added);
            Ok(())
        };
        let (log, _) = Log::open(
            fs.clone(),
            dir,
            log_options,
            metrics,
            stored.position,
            &mut replay,
        )?;
        let to_committer = waiting.clone();
        let log = GroupCommit::start(log, options.name, options.commit, move |span, added| {
            to_committer.add(span, &added);
        })?;
        Ok(Self {
            name: options.name,
            when_full: options.when_full,
            refused: counters.counter(&counters::SPOOL_REFUSED, &[options.name]),
            log,
            waiting,
            fs,
            dir: dir.to_owned(),
            budget,
            agent: agent.id(),
            epoch: stored.epoch,
            one_origin: tokio::sync::Mutex::new(()),
            counters,
        })
    }

    /// The queue's name.
    pub fn name(&self) -> &'static str {
        self.name
    }
    /// Batches that wait.
    pub fn len(&self) -> usize {
        self.waiting.state().entries.len()
    }
    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a batch; on disk when this returns. A batch that was taken before is not added again.
    pub(super) async fn write<P: Spooled + Sync>(&self, batch: Batch<P>) -> Result<WriteOutcome> {
        let items = batch.payload.items();
        let origin = batch.origin.clone();
        let _one_at_a_time = match &origin {
            Some(_) => Some(self.one_origin.lock().await),
            None => None,
        };
        if origin
            .as_ref()
            .is_some_and(|o| self.waiting.state().sequences.is_retry(o))
        {
            return Ok(WriteOutcome {
                duplicates: items,
                ..WriteOutcome::default()
            });
        }
        // Compressing a large batch takes tens of milliseconds.
        let payload = tokio::task::spawn_blocking(move || payload::encode(&batch))
            .await
            .map_err(|e| Error::internal(format!("a batch could not be encoded: {e}")))?;
        let len = u32::try_from(payload.len())
            .map_err(|_| Error::new(model::ErrorKind::TooLarge, "a batch of more than 4 GiB"))?;
        self.make_room(u64::from(len))?;
        let added = Added {
            signal: P::SIGNAL,
            len,
            hash: hash(&payload),
            origin,
        };
        let commit = self
            .log
            .submit(P::SIGNAL.kind(), payload::VERSION, payload, added);
        if let Err(e) = commit.await {
            self.budget.release(u64::from(len));
            return Err(e);
        }
        Ok(WriteOutcome {
            accepted: items,
            ..WriteOutcome::default()
        })
    }

    fn make_room(&self, bytes: u64) -> Result<()> {
        while !self.budget.reserve(bytes) {
            let dropped = match self.when_full {
                WhenFull::DropOldest => self.waiting.state().entries.front().copied(),
                WhenFull::Refuse => None,
            };
            let Some(oldest) = dropped else {
                self.refused.inc();
                return Err(Error::unavailable(
                    "the agent's spool is full (spool.max_bytes): the collector does not take what is waiting",
                    Duration::from_secs(5),
                ));
            };
            if self.take_out(oldest.span.start) {
                self.dropped("full");
            }
        }
        Ok(())
    }

    /// Counts a batch that will never be sent.
    pub(super) fn dropped(&self, reason: &'static str) {
        self.counters
            .counter(&counters::SPOOL_DROPPED, &[self.name, reason])
            .inc();
    }

    /// The batch that waits longest. Blocks for a read. One that can't be read any more is dropped and counted.
    pub fn front(&self) -> Option<Front> {
        loop {
            let entry = *self.waiting.state().entries.front()?;
            match self.read(&entry) {
                Ok(front) => return Some(front),
                Err(e) => {
                    // It may have been dropped to make room while it was being read.
                    if self.take_out(entry.span.start) {
                        tracing::error!(error = %e, queue = self.name, "a batch in the spool is damaged and lost");
                        self.dropped("damaged");
                    }
                }
            }
        }
    }
    /// Waits until a batch is added.
    pub async fn added(&self) {
        self.waiting.added.notified().await;
    }
    /// The batch was acknowledged: removes it. Blocks when the state is saved.
    pub fn acknowledged(&self, front: &Front) {
        self.take_out(front.start);
    }

    fn read(&self, entry: &Entry) -> Result<Front> {
        // A record's payload stands at its end; `docs/formats/log.md` has the layout.
        let segment = entry.span.end.segment;
        let path = self.dir.join(format!("{segment:020}.wal"));
        let at = |e: std::io::Error| Error::from(e).within(path.display());
        let offset = u64::from(entry.span.end.offset.saturating_sub(entry.len));
        let file = self.fs.open(&path).map_err(at)?;
        let bytes = file.read_vec(offset, entry.len as usize).map_err(at)?;
        if hash(&bytes) != entry.hash {
            return Err(Error::corrupt(format!(
                "{}: the batch at {offset} is not what was written",
                path.display()
            )));
        }
        let (head, body) = payload::decode(&bytes)?;
        Ok(Front {
            signal: entry.signal,
            tenant: head.tenant()?,
            origin: Origin {
                agent: self.agent.clone(),
                epoch: self.epoch,
                stream: self.name.to_owned(),
                sequence: sequence_of(entry.span.start),
            },
            items: head.items,
            message: head.message(),
            body: bytes::Bytes::from(bytes).slice(body..),
            start: entry.span.start,
        })
    }

    /// Removes the first batch, if it is the one that starts here.
    fn take_out(&self, start: Position) -> bool {
        let mut state = self.waiting.state();
        let Some(entry) = state.entries.pop_front_if(|entry| entry.span.start == start) else {
            return false;
        };
        self.waiting.count(&entry, -1);
        self.budget.release(u64::from(entry.len));
        let left_segment = state
            .entries
            .front()
            .is_some_and(|next| next.span.start.segment > entry.span.end.segment);
        state.done = entry.span.end;
        state.taken_since_save += 1;
        if left_segment || state.taken_since_save >= SAVE_EVERY {
            drop(state);
            if let Err(e) = self.save() {
                // Nothing is lost: after a crash the collector recognises what it has taken.
                tracing::warn!(error = %e, queue = self.name, "the spool's state cannot be saved");
            }
        }
        true
    }

    /// Remembers what was taken out, and frees segments that nothing needs.
    fn save(&self) -> Result<()> {
        let stored = {
            let mut state = self.waiting.state();
            state.taken_since_save = 0;
            let position = state.entries.front().map_or(state.done, |entry| entry.span.start);
            StoredState {
                version: STATE_VERSION,
                epoch: self.epoch,
                position,
                sequences: state.sequences.clone(),
            }
        };
        save_state(&*self.fs, &self.dir, &stored)?;
        self.log.remove_below(stored.position)?;
        Ok(())
    }

    /// Commits what is under way, and remembers what was taken out.
    pub(super) fn close(&self) -> Result<()> {
        self.log.close()?;
        self.save()
    }
}

impl Waiting {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn add(&self, span: Span, added: &Added) {
        let entry = Entry {
            span,
            signal: added.signal,
            len: added.len,
            hash: added.hash,
        };
        let mut state = self.state();
        if let Some(origin) = &added.origin {
            state.sequences.observe(origin);
        }
        state.entries.push_back(entry);
        drop(state);
        self.count(&entry, 1);
        self.added.notify_one();
    }
    fn count(&self, entry: &Entry, by: i64) {
        self.batches.add(by);
        self.bytes.add(by * i64::from(entry.len));
    }
}

/// A place in the log as one growing number. Places are never used twice, not even after a restart.
fn sequence_of(position: Position) -> u64 {
    (position.segment << 32) | u64::from(position.offset)
}

fn added_of(record: &Record<'_>) -> Result<Added> {
    if record.version != payload::VERSION {
        return Err(Error::corrupt(format!(
            "the spool holds a batch of version {}, this program knows {}; let the newer program send it first",
            record.version,
            payload::VERSION
        )));
    }
    let signal = Signal::of_kind(record.kind)
        .ok_or_else(|| Error::corrupt(format!("the spool holds a batch of unknown kind {}", record.kind)))?;
    let (head, _): (Head, usize) = payload::decode(record.payload)?;
    Ok(Added {
        signal,
        len: u32::try_from(record.payload.len()).map_err(|_| Error::corrupt("a batch of more than 4 GiB"))?,
        hash: hash(record.payload),
        origin: head.origin(),
    })
}

/// FNV-1a over eight bytes at a time: tells whether what is read is what was written; kept in memory only.
fn hash(bytes: &[u8]) -> u64 {
    let step = |hash: u64, word: u64| (hash ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(23);
    let (words, rest) = bytes.as_chunks::<8>();
    let start = 0xcbf2_9ce4_8422_2325 ^ bytes.len() as u64;
    let hash = words.iter().fold(start, |h, w| step(h, u64::from_le_bytes(*w)));
    rest.iter().fold(hash, |h, b| step(h, u64::from(*b)))
}

fn state_path(dir: &Path) -> PathBuf {
    dir.join("state.json")
}

fn load_state(fs: &dyn Fs, dir: &Path) -> Result<Option<StoredState>> {
    let path = state_path(dir);
    let bytes = match fs.read(&path, STATE_LIMIT_BYTES) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::from(e).within(path.display())),
    };
    let bad = |what: String| Error::corrupt(format!("{}: {what}", path.display()));
    let stored: StoredState = serde_json::from_slice(&bytes).map_err(|e| bad(e.to_string()))?;
    if stored.version != STATE_VERSION {
        return Err(bad(format!(
            "format version {} is not known; this program knows {STATE_VERSION}",
            stored.version
        )));
    }
    Ok(Some(stored))
}

fn save_state(fs: &dyn Fs, dir: &Path, stored: &StoredState) -> Result<()> {
    let path = state_path(dir);
    let bytes = serde_json::to_vec(stored).map_err(|e| Error::internal(e.to_string()))?;
    fs.replace(&path, &bytes)
        .map_err(|e| Error::from(e).within(path.display()))
}
