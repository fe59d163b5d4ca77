//! Reading log entries: parts and streams in the order of time, each opened when its turn comes.

use super::columns::Columns;
use super::cursor::{Cursor, Env, Piece, Rows, Source};
use super::query::Query;
use super::{LogHead, LogSignal};
use crate::engine::{Context, Part, Snapshot};
use crate::limit::Limit;
use crate::words::{Kind, pair_term};
use model::read::Columns as Wanted;
use model::{Labels, LogBatch, LogEntry, Result, ScanBatch, ScanRequest};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::{Arc, OnceLock};

/// Rows of a batch, about.
const BATCH_ROWS: usize = 4096;
/// In parts with more streams than this, the labels that a query requires are looked up in the index.
const MANY_STREAMS: usize = 64;

/// A cursor's place in the queue of streams.
struct Lane {
    cursor: Cursor,
    /// Rows that are read and wait for their turn, and the key of the first.
    ready: Option<(i64, LogBatch)>,
    /// The key under which the lane stands in the queue; other entries of it are stale.
    queued: Option<i64>,
}

/// A running scan.
pub(super) struct LogScan {
    env: Env,
    columns: Wanted,
    /// Parts that were not opened yet, with their first key and rank; the next is last.
    parts: Vec<(i64, u32, Arc<Part>)>,
    lanes: Vec<Lane>,
    by_labels: HashMap<Labels, usize>,
    queue: BinaryHeap<Reverse<(i64, usize)>>,
    limit: Option<Limit>,
    is_done: bool,
}

impl LogScan {
    pub(super) fn new(
        context: &Arc<Context>,
        signal: &Arc<LogSignal>,
        snapshot: Option<Snapshot<'_, LogSignal>>,
        request: &ScanRequest,
    ) -> Result<Self> {
        request.budget.check()?;
        let mut scan = Self {
            env: Env {
                context: Arc::clone(context),
                signal: Arc::clone(signal),
                query: Query::new(&request.predicate, request.range, request.direction),
                budget: Some(request.budget.clone()),
                is_strict: false,
            },
            columns: request.columns,
            parts: Vec::new(),
            lanes: Vec::new(),
            by_labels: HashMap::new(),
            queue: BinaryHeap::new(),
            limit: request.limit.map(Limit::new),
            is_done: false,
        };
        if let Some(snapshot) = snapshot {
            scan.take_snapshot(snapshot)?;
        }
        Ok(scan)
    }
    fn take_snapshot(&mut self, snapshot: Snapshot<'_, LogSignal>) -> Result<()> {
        let parts = snapshot.parts();
        for (i, head) in snapshot.heads().enumerate() {
            self.add_head(head, (parts.len() + i) as u32)?;
        }
        drop(snapshot);
        let range = self.env.query.range;
        for (rank, part) in parts.iter().enumerate() {
            if part.meta().range().overlaps(&range) {
                let key = self.env.query.first_key(&part.meta().range());
                self.parts.push((key, rank as u32, Arc::clone(part)));
            }
        }
        self.parts.sort_by_key(|(key, rank, _)| Reverse((*key, *rank)));
        Ok(())
    }
    fn add_head(&mut self, head: &LogHead, rank: u32) -> Result<()> {
        for (labels, chunks) in head.streams() {
            if self.env.query.on_labels(labels) == Some(false) {
                continue;
            }
            for (i, chunk) in chunks.enumerate() {
                let range = chunk.range();
                if range.overlaps(&self.env.query.range) {
                    let piece = Piece {
                        rows: Rows::Chunk(Arc::clone(chunk)),
                        range,
                        rank: (rank, i as u32),
                    };
                    self.add_piece(labels, piece)?;
                }
            }
        }
        self.queue_all();
        Ok(())
    }
    fn add_piece(&mut self, labels: &Labels, piece: Piece) -> Result<()> {
        let lane = match self.by_labels.get(labels) {
            Some(lane) => *lane,
            None => {
                if let Some(budget) = &self.env.budget {
                    budget.charge_series(1)?;
                }
                self.lanes.push(Lane {
                    cursor: Cursor::new(labels.clone()),
                    ready: None,
                    queued: None,
                });
                self.by_labels.insert(labels.clone(), self.lanes.len() - 1);
                self.lanes.len() - 1
            }
        };
        self.lanes[lane].cursor.add(&self.env.query, piece);
        Ok(())
    }
    /// Queues every lane under its key of now.
    fn queue_all(&mut self) {
        (0..self.lanes.len()).for_each(|i| self.queue_lane(i));
    }
    fn queue_lane(&mut self, i: usize) {
        let lane = &mut self.lanes[i];
        let key = match &lane.ready {
            Some((key, _)) => Some(*key),
            None => lane.cursor.key(),
        };
        if lane.queued != key {
            lane.queued = key;
            if let Some(key) = key {
                self.queue.push(Reverse((key, i)));
            }
        }
    }

    /// Opens the next part and hands its blocks to their streams.
    fn open_part(&mut self) -> Result<()> {
        let Some((_, rank, part)) = self.parts.pop() else {
            return Ok(());
        };
        let open = match self.env.signal.open(&part) {
            Ok(open) => open,
            Err(e) => return self.env.survive(&part, e),
        };
        let candidates = self.candidates(&part, &open);
        let source = Arc::new(Source {
            part,
            open: Arc::clone(&open),
            hits: OnceLock::new(),
        });
        let mut verdicts = vec![None; open.index.streams.len()];
        let mut touched = Vec::new();
        let mut consider = |scan: &mut Self, block: u32| -> Result<()> {
            let info = &open.index.blocks[block as usize];
            if !info.range.overlaps(&scan.env.query.range) {
                return Ok(());
            }
            let labels = &open.index.streams[info.stream as usize];
            let verdict = &mut verdicts[info.stream as usize];
            if !*verdict.get_or_insert_with(|| scan.env.query.on_labels(labels) != Some(false)) {
                return Ok(());
            }
            let piece = Piece {
                rows: Rows::Block(Arc::clone(&source), block),
                range: info.range,
                rank: (rank, block),
            };
            scan.add_piece(labels, piece)?;
            touched.push(info.stream);
            Ok(())
        };
        match candidates {
            Some(blocks) => blocks.into_iter().try_for_each(|b| consider(self, b))?,
            None => (0..open.index.blocks.len() as u32).try_for_each(|b| consider(self, b))?,
        }
        touched.dedup();
        for stream in touched {
            if let Some(lane) = self.by_labels.get(&open.index.streams[stream as usize]) {
                self.queue_lane(*lane);
            }
        }
        Ok(())
    }
    /// The blocks whose stream has all required labels, by the index; `None` means that all may.
    fn candidates(&self, part: &Arc<Part>, open: &Arc<super::part::OpenPart>) -> Option<Vec<u32>> {
        if open.index.streams.len() <= MANY_STREAMS {
            return None;
        }
        let mut found: Option<Vec<u32>> = None;
        let mut look_up = || -> Result<()> {
            for (name, value) in self.env.query.required_pairs() {
                let words = self.env.signal.words(part, open)?;
                let blocks = words.blocks(Kind::Pair, &pair_term(name, value))?;
                found = Some(match found.take() {
                    None => blocks,
                    Some(mut found) => {
                        found.retain(|b| blocks.binary_search(b).is_ok());
                        found
                    }
                });
            }
            Ok(())
        };
        if let Err(e) = look_up() {
            self.env.context.note_damage(&e);
            return None;
        }
        found
    }

    fn advance(&mut self) -> Result<Option<LogBatch>> {
        loop {
            if let Some(budget) = &self.env.budget {
                budget.check()?;
            }
            let fence = self.parts.last().map(|(key, _, _)| *key);
            let top = self.queue.peek().map(|Reverse((key, _))| *key);
            let Some(next) = fence.into_iter().chain(top).min() else {
                return Ok(None);
            };
            if self.limit.as_ref().is_some_and(|limit| limit.is_over(next)) {
                return Ok(None);
            }
            if fence == Some(next) {
                self.open_part()?;
                continue;
            }
            let Some(Reverse((key, i))) = self.queue.pop() else {
                return Ok(None);
            };
            if self.lanes[i].queued != Some(key) {
                continue;
            }
            self.lanes[i].queued = None;
            if let Some((_, batch)) = self.lanes[i].ready.take() {
                self.queue_lane(i);
                if let Some(limit) = &mut self.limit {
                    batch
                        .entries
                        .iter()
                        .for_each(|e| limit.note(self.env.query.key(e.timestamp_ns)));
                }
                return Ok(Some(batch));
            }
            self.fill(i, fence)?;
            self.queue_lane(i);
        }
    }
    /// Reads the next rows of a lane.
    fn fill(&mut self, i: usize, fence: Option<i64>) -> Result<()> {
        let lane = &mut self.lanes[i];
        let wanted = self
            .limit
            .as_ref()
            .map_or(BATCH_ROWS, |l| l.rows.clamp(1, BATCH_ROWS));
        let mut entries = Vec::new();
        let columns = self.columns;
        lane.cursor
            .next_rows(&self.env, fence, wanted, &mut |rows, row| {
                entries.push(entry(rows, row, columns));
                Ok(())
            })?;
        if let Some(first) = entries.first() {
            let key = self.env.query.key(first.timestamp_ns);
            let labels = lane.cursor.labels.clone();
            lane.ready = Some((key, LogBatch { labels, entries }));
        }
        Ok(())
    }

    /// The streams that have at least one row, sorted.
    pub(super) fn streams(mut self) -> Result<Vec<Labels>> {
        while !self.parts.is_empty() {
            self.open_part()?;
        }
        let mut found = Vec::new();
        for lane in &mut self.lanes {
            if has_rows(&self.env, &mut lane.cursor)? {
                found.push(lane.cursor.labels.clone());
            }
        }
        found.sort();
        Ok(found)
    }
}

/// Whether a stream has a visible row, read as little as possible for it.
fn has_rows(env: &Env, cursor: &mut Cursor) -> Result<bool> {
    let range = env.query.range;
    let is_inside = |p: &Piece| range.contains(p.range.start_ns) && range.contains(p.range.end_ns);
    if env.query.on_labels(&cursor.labels) == Some(true) && cursor.pending().any(is_inside) {
        return Ok(true);
    }
    while cursor.key().is_some() {
        if cursor.next_rows(env, None, 1, &mut |_, _| Ok(()))? > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

fn entry(rows: &Columns, row: usize, wanted: Wanted) -> LogEntry {
    if wanted == Wanted::ALL {
        return rows.entry(row);
    }
    let metadata = rows.metadata(row).filter(|_| wanted.attributes);
    LogEntry {
        timestamp_ns: rows.time(row),
        line: if wanted.body {
            rows.line(row).to_owned()
        } else {
            String::new()
        },
        metadata: metadata.map(|m| m.as_ref().clone()).unwrap_or_default(),
    }
}

impl Iterator for LogScan {
    type Item = Result<ScanBatch<LogBatch>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        let batch = self.advance();
        self.is_done = !matches!(batch, Ok(Some(_)));
        batch.transpose().map(|batch| batch.map(ScanBatch::Rows))
    }
}
