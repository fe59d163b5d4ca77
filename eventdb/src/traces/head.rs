//! Spans in memory: chunks shared with readers, and where each trace's spans stand.

use super::spans::{Row, group_size, span_size};
use crate::engine::{Applied, Head};
use model::{ResourceSpans, SpanId, SpanKind, Spans, TimeRange, TraceId};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Spans of a chunk. A writer copies an open chunk that a reader holds; its spans are shared even then.
const CHUNK_ROWS: usize = 512;
/// Memory of a span beside the span itself: its places in the chunk, the trace and the set of keys.
const ROW_BYTES: usize = 200;

/// What makes two spans the same. Zipkin shares ids between client and server, hence kind and service.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct SpanKey {
    pub(super) trace: TraceId,
    pub(super) span: SpanId,
    pub(super) kind: SpanKind,
    pub(super) service: Arc<str>,
}

/// The key of a row.
pub(super) fn key_of(row: &Row, services: &mut HashSet<Arc<str>>) -> SpanKey {
    SpanKey {
        trace: row.span.trace_id,
        span: row.span.span_id,
        kind: row.span.kind,
        service: intern(services, row.group.resource.service_name()),
    }
}

fn intern(texts: &mut HashSet<Arc<str>>, text: &str) -> Arc<str> {
    if let Some(known) = texts.get(text) {
        return Arc::clone(known);
    }
    let new: Arc<str> = text.into();
    texts.insert(Arc::clone(&new));
    new
}

/// Spans in order of arrival.
#[derive(Debug, Clone)]
pub(super) struct Chunk {
    pub(super) rows: Vec<Row>,
    /// Of the spans' starts.
    pub(super) range: TimeRange,
}

impl Default for Chunk {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            range: TimeRange {
                start_ns: i64::MAX,
                end_ns: i64::MIN,
            },
        }
    }
}

impl Chunk {
    pub(super) fn push(&mut self, row: Row) {
        let start_ns = row.span.start_ns;
        self.range = self.range.union(&TimeRange {
            start_ns,
            end_ns: start_ns,
        });
        self.rows.push(row);
    }
}

/// The head of one tenant's traces.
#[derive(Default)]
pub(crate) struct SpanHead {
    closed: Vec<Arc<Chunk>>,
    open: Arc<Chunk>,
    /// Numbers of the rows of each trace.
    traces: HashMap<TraceId, Vec<u32>>,
    keys: HashSet<SpanKey>,
    services: HashSet<Arc<str>>,
    rows: u32,
    bytes: usize,
}

impl SpanHead {
    /// All chunks in order of arrival.
    pub(super) fn chunks(&self) -> impl Iterator<Item = &Arc<Chunk>> {
        self.closed
            .iter()
            .chain((!self.open.rows.is_empty()).then_some(&self.open))
    }
    /// The rows of a trace, in order of arrival.
    pub(super) fn trace(&self, id: &TraceId) -> impl Iterator<Item = &Row> {
        self.traces
            .get(id)
            .into_iter()
            .flatten()
            .map(|row| self.row(*row))
    }
    fn row(&self, row: u32) -> &Row {
        let (chunk, place) = (row as usize / CHUNK_ROWS, row as usize % CHUNK_ROWS);
        let chunk = self.closed.get(chunk).unwrap_or(&self.open);
        &chunk.rows[place]
    }
}

impl Head for SpanHead {
    type Payload = Spans;

    fn apply(&mut self, before: Option<&Self>, payload: Spans, _: bool) -> Applied {
        let mut applied = Applied::default();
        for group in payload.groups {
            let shared = Arc::new(ResourceSpans {
                resource: group.resource,
                scope: group.scope,
                spans: Vec::new(),
            });
            let mut is_new = true;
            for span in group.spans {
                let row = Row {
                    group: Arc::clone(&shared),
                    span: Arc::new(span),
                };
                let key = key_of(&row, &mut self.services);
                if before.is_some_and(|head| head.keys.contains(&key)) || !self.keys.insert(key) {
                    applied.duplicates += 1;
                    continue;
                }
                applied.accepted += 1;
                if std::mem::take(&mut is_new) {
                    self.bytes += group_size(&shared).1;
                }
                self.bytes += span_size(&row.span).1 + ROW_BYTES;
                self.traces.entry(row.span.trace_id).or_default().push(self.rows);
                self.rows += 1;
                let open = Arc::make_mut(&mut self.open);
                open.push(row);
                if open.rows.len() == CHUNK_ROWS {
                    self.closed.push(std::mem::take(&mut self.open));
                }
            }
        }
        applied
    }
    fn is_empty(&self) -> bool {
        self.rows == 0
    }
    fn rows(&self) -> u64 {
        u64::from(self.rows)
    }
    fn bytes(&self) -> usize {
        self.bytes
    }
}
