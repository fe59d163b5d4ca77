//! What the tests share: a simulated disk, stores with small blocks, a way to wait for a write.

use eventdb::{LogStore, Options, TraceStore};
use model::*;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use storage::{CommitOptions, FaultyFs, layout};

pub(crate) const DATA: &str = "/data";

/// The result of a future that needs nobody else to make progress: writes of a store without a committer thread.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the write is not done"),
    }
}

/// Small blocks and merges of few parts, no thread, so that little data goes through everything.
pub(crate) fn small() -> Options {
    Options {
        retention_ms: None,
        block_bytes: 200,
        block_words: 12,
        merge_parts: 2,
        commit: CommitOptions::inline(),
        ..Options::default()
    }
}

pub(crate) fn open_logs(fs: &Arc<FaultyFs>, options: Options, clock: &Arc<ManualClock>) -> Result<LogStore> {
    LogStore::open(fs.clone(), Path::new(DATA), options, clock.clone(), &NoMeter)
}

pub(crate) fn open_traces(
    fs: &Arc<FaultyFs>,
    options: Options,
    clock: &Arc<ManualClock>,
) -> Result<TraceStore> {
    TraceStore::open(fs.clone(), Path::new(DATA), options, clock.clone(), &NoMeter)
}

pub(crate) fn stream(n: usize) -> Labels {
    Labels::from_pairs([("app", format!("a{}", n % 3)), ("pod", format!("p{n}"))])
}

pub(crate) fn entry(timestamp_ns: i64, line: &str) -> LogEntry {
    LogEntry {
        timestamp_ns,
        line: line.to_owned(),
        metadata: Vec::new(),
    }
}

pub(crate) fn logs(labels: Labels, entries: Vec<LogEntry>) -> Logs {
    Logs {
        streams: vec![LogStream { labels, entries }],
    }
}

pub(crate) fn origin(agent: &str, sequence: u64) -> Origin {
    Origin {
        agent: agent.to_owned(),
        epoch: 1,
        stream: "s".to_owned(),
        sequence,
    }
}

pub(crate) fn request(predicate: Predicate, range: TimeRange) -> ScanRequest {
    ScanRequest::new(Tenant::default(), range, predicate, Budget::unlimited())
}

pub(crate) type Row = (i64, Labels, String, Vec<(String, String)>);

/// All rows of a scan, after the order of its batches was checked.
pub(crate) fn log_rows(store: &dyn Read<LogBatch>, request: &ScanRequest) -> Result<Vec<Row>> {
    let scan = store.scan(request)?;
    assert!(scan.predicates.iter().all(|a| *a == Answer::Exact));
    let mut rows = Vec::new();
    let mut last = None;
    let key = |t: i64| {
        if request.direction == Direction::Forward {
            t
        } else {
            !t
        }
    };
    for batch in scan.rows() {
        let batch = batch?;
        let keys: Vec<i64> = batch.entries.iter().map(|e| key(e.timestamp_ns)).collect();
        assert!(keys.is_sorted(), "entries of a batch are in order");
        assert!(
            last.is_none_or(|last| last <= keys[0]),
            "batches are in order of their first entry"
        );
        last = Some(keys[0]);
        let labels = batch.labels;
        rows.extend(
            batch
                .entries
                .into_iter()
                .map(|e| (e.timestamp_ns, labels.clone(), e.line, e.metadata)),
        );
    }
    Ok(rows)
}

/// Start, service, the rest.
pub(crate) type SpanRow = (i64, String, String);

/// All spans of a scan.
pub(crate) fn span_rows(store: &dyn Read<SpanBatch>, request: &ScanRequest) -> Result<Vec<SpanRow>> {
    let scan = store.scan(request)?;
    assert!(scan.predicates.iter().all(|a| *a == Answer::Exact));
    let mut rows = Vec::new();
    for batch in scan.rows() {
        rows.extend(rows_of(batch?));
    }
    Ok(rows)
}

/// All spans of a scan, after the order of its batches was checked. (The plain store puts several spans of a group
/// into one batch by their oldest, whatever the direction.)
pub(crate) fn ordered_span_rows(store: &dyn Read<SpanBatch>, request: &ScanRequest) -> Result<Vec<SpanRow>> {
    let key = |t: i64| {
        if request.direction == Direction::Forward {
            t
        } else {
            !t
        }
    };
    let mut last = None;
    let mut all = Vec::new();
    for batch in store.scan(request)?.rows() {
        let rows = rows_of(batch?);
        let first = rows.iter().map(|r| key(r.0)).min();
        assert!(
            first.is_some() && last <= first,
            "batches are in order of their first span"
        );
        last = first;
        all.extend(rows);
    }
    Ok(all)
}

fn rows_of(batch: SpanBatch) -> Vec<SpanRow> {
    let mut rows = Vec::new();
    for group in batch.groups {
        let service = group.resource.service_name().to_owned();
        let rest = |s: &Span| format!("{s:?} {:?} {:?}", group.resource, group.scope);
        rows.extend(group.spans.iter().map(|s| (s.start_ns, service.clone(), rest(s))));
    }
    rows
}

/// The part files of a store, sorted.
pub(crate) fn part_files(fs: &FaultyFs, store: storage::StoreName) -> Vec<PathBuf> {
    let dir = layout::parts_dir(&layout::store_dir(Path::new(DATA), &Tenant::default(), store));
    let entries = fs.read_dir(&dir).unwrap_or_default();
    entries.into_iter().map(|e| dir.join(e.name)).collect()
}
