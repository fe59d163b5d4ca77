//! Reading spans: chunks of the heads and blocks of the parts in the order of time, each read when its turn comes.

use super::TraceSignal;
use super::head::{Chunk, key_of};
use super::part::{OpenPart, fingerprint};
use super::query::{LeafHits, Query};
use super::spans::Row;
use crate::engine::{Context, Part, Snapshot};
use crate::limit::Limit;
use model::{Budget, Error, ErrorKind, ResourceSpans, Result, ScanBatch, ScanRequest, SpanBatch, TimeRange};
use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeSet, BinaryHeap, HashMap, HashSet};
use std::sync::Arc;

/// One part as a query sees it.
struct Source {
    part: Arc<Part>,
    open: Arc<OpenPart>,
    hits: Vec<Option<LeafHits>>,
}

/// What waits for its turn.
enum Item {
    Part(Arc<Part>),
    Chunk(Arc<Chunk>),
    Block(Arc<Source>, u32),
    Ready(Vec<Row>),
}

/// An item under the key of the first span that may come from it.
struct Queued {
    key: i64,
    /// Keeps the order of equal keys the same from run to run.
    number: usize,
    item: Item,
}

impl Ord for Queued {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.key, self.number).cmp(&(other.key, other.number))
    }
}
impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Queued {}

/// A running scan.
pub(super) struct SpanScan {
    context: Arc<Context>,
    signal: Arc<TraceSignal>,
    pub(super) query: Query,
    budget: Budget,
    /// All parts of the snapshot, for spans of the heads that may be there already.
    parts: Arc<Vec<Arc<Part>>>,
    queue: BinaryHeap<Reverse<Queued>>,
    queued: usize,
    limit: Option<Limit>,
    is_done: bool,
}

/// Damage costs what is damaged and nothing else; other errors end the query.
pub(super) fn survive(context: &Context, part: &Part, e: Error) -> Result<()> {
    if e.kind() != ErrorKind::Corrupt {
        return Err(e);
    }
    part.set_damaged();
    context.note_damage(&e);
    Ok(())
}

impl SpanScan {
    pub(super) fn new(
        context: &Arc<Context>,
        signal: &Arc<TraceSignal>,
        snapshot: Option<Snapshot<'_, TraceSignal>>,
        request: &ScanRequest,
    ) -> Result<Self> {
        request.budget.check()?;
        let mut scan = Self {
            context: Arc::clone(context),
            signal: Arc::clone(signal),
            query: Query::new(&request.predicate, request.range, request.direction),
            budget: request.budget.clone(),
            parts: Arc::default(),
            queue: BinaryHeap::new(),
            queued: 0,
            limit: request.limit.map(Limit::new),
            is_done: false,
        };
        if let Some(snapshot) = snapshot {
            scan.take_snapshot(&snapshot);
        }
        Ok(scan)
    }
    fn take_snapshot(&mut self, snapshot: &Snapshot<'_, TraceSignal>) {
        let range = self.query.range;
        for head in snapshot.heads() {
            if let Some(id) = self.query.required_trace() {
                let mut chunk = Chunk::default();
                head.trace(&id).cloned().for_each(|row| chunk.push(row));
                if !chunk.rows.is_empty() {
                    self.push(self.query.first_key(&chunk.range), Item::Chunk(Arc::new(chunk)));
                }
                continue;
            }
            for chunk in head.chunks().filter(|c| c.range.overlaps(&range)) {
                self.push(self.query.first_key(&chunk.range), Item::Chunk(Arc::clone(chunk)));
            }
        }
        self.parts = snapshot.parts();
        for part in Arc::clone(&self.parts)
            .iter()
            .filter(|p| p.meta().range().overlaps(&range))
        {
            self.push(
                self.query.first_key(&part.meta().range()),
                Item::Part(Arc::clone(part)),
            );
        }
    }
    fn push(&mut self, key: i64, item: Item) {
        self.queued += 1;
        let number = self.queued;
        self.queue.push(Reverse(Queued { key, number, item }));
    }
    /// Takes the parts that lie wholly inside the range out of the scan, for callers that can answer from a
    /// part's index alone; the scan then gives the rest.
    pub(super) fn take_whole_parts(&mut self) -> Vec<Arc<Part>> {
        let range = self.query.range;
        let is_inside = |r: TimeRange| range.contains(r.start_ns) && range.contains(r.end_ns);
        let mut whole = Vec::new();
        let rest = std::mem::take(&mut self.queue)
            .into_iter()
            .filter_map(|Reverse(queued)| match queued.item {
                Item::Part(part) if is_inside(part.meta().range()) => {
                    whole.push(part);
                    None
                }
                _ => Some(Reverse(queued)),
            });
        self.queue = rest.collect();
        whole
    }
    /// Puts a part back that the caller could not answer.
    pub(super) fn put_back(&mut self, part: Arc<Part>) {
        self.push(self.query.first_key(&part.meta().range()), Item::Part(part));
    }
    pub(super) fn signal(&self) -> &TraceSignal {
        &self.signal
    }
    pub(super) fn survive(&self, part: &Part, e: Error) -> Result<()> {
        survive(&self.context, part, e)
    }

    /// Opens a part and queues those of its blocks that may matter.
    fn open_part(&mut self, part: Arc<Part>) -> Result<()> {
        self.budget.check()?;
        let open = match self.signal.open(&part) {
            Ok(open) => open,
            Err(e) => return self.survive(&part, e),
        };
        let words = if self.query.uses_words() {
            match self.signal.words(&part, &open) {
                Ok(words) => Some(words),
                Err(e) => {
                    // Without the index all blocks are looked at: slower, not wrong.
                    self.context.note_damage(&e);
                    None
                }
            }
        } else {
            None
        };
        let hits = self
            .query
            .look_up(&open, words.as_deref(), |e| self.survive(&part, e))?;
        let source = Arc::new(Source {
            part,
            open: Arc::clone(&open),
            hits,
        });
        let range = self.query.range;
        for (block, info) in open.index.blocks.iter().enumerate() {
            if info.range.overlaps(&range) {
                self.push(
                    self.query.first_key(&info.range),
                    Item::Block(Arc::clone(&source), block as u32),
                );
            }
        }
        Ok(())
    }
    fn read_block(&mut self, source: &Source, block: u32) -> Result<()> {
        match self.query.may_match(&source.open, block, &source.hits) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            // Without its bloom filter the block itself must be looked at.
            Err(e) => self.survive(&source.part, e)?,
        }
        let info = &source.open.index.blocks[block as usize];
        self.charge(info.rows as usize, info.raw_bytes as usize)?;
        let mut rows = match source.open.read_block(block) {
            Ok(rows) => rows,
            Err(e) => return self.survive(&source.part, e),
        };
        rows.retain(|row| self.query.matches(row));
        self.push_ready(rows);
        Ok(())
    }
    fn read_chunk(&mut self, chunk: &Chunk) -> Result<()> {
        self.charge(chunk.rows.len(), chunk.rows.len() * size_of::<Row>())?;
        let rows: Vec<Row> = chunk
            .rows
            .iter()
            .filter(|row| self.query.matches(row))
            .cloned()
            .collect();
        let rows = without_stored(&self.context, &self.signal, rows, &self.parts)?;
        self.push_ready(rows);
        Ok(())
    }
    fn push_ready(&mut self, rows: Vec<Row>) {
        let first = rows.iter().map(|row| self.query.key(row.span.start_ns)).min();
        if let Some(first) = first {
            self.push(first, Item::Ready(rows));
        }
    }
    fn charge(&self, rows: usize, bytes: usize) -> Result<()> {
        self.budget.check()?;
        self.budget.charge_samples(rows as u64)?;
        self.budget.charge_bytes(bytes as u64)
    }
    /// The next rows; `None` at the end.
    pub(super) fn next_rows(&mut self) -> Result<Option<Vec<Row>>> {
        loop {
            let Some(Reverse(next)) = self.queue.pop() else {
                return Ok(None);
            };
            if self.limit.as_ref().is_some_and(|limit| limit.is_over(next.key)) {
                self.queue.clear();
                return Ok(None);
            }
            match next.item {
                Item::Part(part) => self.open_part(part)?,
                Item::Chunk(chunk) => self.read_chunk(&chunk)?,
                Item::Block(source, block) => self.read_block(&source, block)?,
                Item::Ready(rows) => {
                    if let Some(limit) = &mut self.limit {
                        rows.iter()
                            .for_each(|row| limit.note(self.query.key(row.span.start_ns)));
                    }
                    return Ok(Some(rows));
                }
            }
        }
    }
}

/// Leaves out the spans that are in a part already: among parts no span occurs twice, because a flush drops those
/// that an earlier part has. A part can only have a span whose start lies in its range.
pub(super) fn without_stored(
    context: &Context,
    signal: &TraceSignal,
    mut rows: Vec<Row>,
    parts: &[Arc<Part>],
) -> Result<Vec<Row>> {
    for part in parts {
        let range = part.meta().range();
        if !rows.iter().any(|row| range.contains(row.span.start_ns)) {
            continue;
        }
        let open = match signal.open(part) {
            Ok(open) => open,
            Err(e) => {
                survive(context, part, e)?;
                continue;
            }
        };
        let inside = rows.iter().filter(|row| range.contains(row.span.start_ns));
        let wanted: BTreeSet<u64> = inside.map(|row| fingerprint(&row.span.trace_id)).collect();
        let wanted: Vec<u64> = wanted.into_iter().collect();
        let blocks = match open.blocks_of(&wanted) {
            Ok(blocks) => blocks,
            Err(e) => {
                survive(context, part, e)?;
                continue;
            }
        };
        let (mut keys, mut services) = (HashSet::new(), HashSet::new());
        for block in blocks {
            match open.read_block(block) {
                Ok(stored) => {
                    let stored = stored
                        .iter()
                        .filter(|row| wanted.binary_search(&fingerprint(&row.span.trace_id)).is_ok());
                    keys.extend(stored.map(|row| key_of(row, &mut services)));
                }
                Err(e) => survive(context, part, e)?,
            }
        }
        if !keys.is_empty() {
            rows.retain(|row| !keys.contains(&key_of(row, &mut services)));
        }
    }
    Ok(rows)
}

/// Rows as a batch: spans of one resource and scope together.
fn batch(rows: Vec<Row>) -> SpanBatch {
    let mut batch = SpanBatch::default();
    let mut places: HashMap<*const ResourceSpans, usize> = HashMap::new();
    for row in rows {
        let place = *places.entry(Arc::as_ptr(&row.group)).or_insert_with(|| {
            batch.groups.push(ResourceSpans {
                resource: Arc::clone(&row.group.resource),
                scope: Arc::clone(&row.group.scope),
                spans: Vec::new(),
            });
            batch.groups.len() - 1
        });
        let span = Arc::try_unwrap(row.span).unwrap_or_else(|shared| (*shared).clone());
        batch.groups[place].spans.push(span);
    }
    batch
}

impl Iterator for SpanScan {
    type Item = Result<ScanBatch<SpanBatch>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        let rows = self.next_rows();
        self.is_done = !matches!(rows, Ok(Some(_)));
        rows.transpose()
            .map(|rows| rows.map(|rows| ScanBatch::Rows(batch(rows))))
    }
}
