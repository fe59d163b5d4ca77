//! Writers, flushes, merges and readers at once, on a real disk with the committer's thread.

use crate::support::*;
use eventdb::{LogStore, Options, TraceStore};
use model::*;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use storage::{DataDir, RealFs};

const WRITERS: i64 = 4;
const BATCHES: i64 = 40;

fn options() -> Options {
    Options {
        commit: storage::CommitOptions::default(),
        block_bytes: 4000,
        ..small()
    }
}

fn span(writer: i64, n: i64) -> Span {
    Span {
        trace_id: TraceId([n as u8 % 7 + 1; 16]),
        span_id: SpanId((writer * 1000 + n + 1).to_be_bytes()),
        start_ns: n * 1_000_000,
        ..Span::default()
    }
}

#[test]
fn everything_acknowledged_is_seen_once_at_any_moment() {
    let temp = tempfile::tempdir().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    let dir = DataDir::open(Arc::new(RealFs), temp.path()).unwrap();
    let open = || {
        let logs = LogStore::open(dir.fs().clone(), dir.root(), options(), clock.clone(), &NoMeter);
        let traces = TraceStore::open(dir.fs().clone(), dir.root(), options(), clock.clone(), &NoMeter);
        (logs.unwrap(), traces.unwrap())
    };
    let (logs_store, traces_store) = open();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    let maintenance = {
        let (logs_store, traces_store, is_over) = (logs_store.clone(), traces_store.clone(), is_over.clone());
        std::thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                logs_store.flush().unwrap();
                logs_store.maintain().unwrap();
                traces_store.flush().unwrap();
                traces_store.maintain().unwrap();
            }
        })
    };
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (logs_store, traces_store) = (logs_store.clone(), traces_store.clone());
            runtime.spawn(async move {
                for n in 0..BATCHES {
                    let line = format!("line {n} of writer {writer}");
                    let payload = logs(stream(writer as usize), vec![entry(n * 1_000_000, &line)]);
                    logs_store
                        .write(Batch::new(Tenant::default(), payload))
                        .await
                        .unwrap();
                    let group = ResourceSpans {
                        spans: vec![span(writer, n)],
                        ..ResourceSpans::default()
                    };
                    let payload = Spans { groups: vec![group] };
                    traces_store
                        .write(Batch::new(Tenant::default(), payload))
                        .await
                        .unwrap();
                    // What this writer was told is there must be there now, once.
                    let own = Predicate::labels([Matcher::equal("pod", format!("p{writer}"))]);
                    let rows = log_rows(&logs_store, &request(own, TimeRange::ALL)).unwrap();
                    assert_eq!(rows.len() as i64, n + 1);
                    let one = Predicate::Span(span(writer, n).span_id);
                    assert_eq!(
                        span_rows(&traces_store, &request(one, TimeRange::ALL))
                            .unwrap()
                            .len(),
                        1
                    );
                }
            })
        })
        .collect();
    for writer in writers {
        runtime.block_on(writer).unwrap();
    }
    is_over.store(true, Ordering::Relaxed);
    maintenance.join().unwrap();
    let check = |logs_store: &LogStore, traces_store: &TraceStore| {
        let rows = log_rows(logs_store, &request(Predicate::all(), TimeRange::ALL)).unwrap();
        let distinct: BTreeSet<_> = rows.iter().map(|r| r.2.clone()).collect();
        assert_eq!(
            (rows.len() as i64, distinct.len() as i64),
            (WRITERS * BATCHES, WRITERS * BATCHES)
        );
        let spans = span_rows(traces_store, &request(Predicate::all(), TimeRange::ALL)).unwrap();
        assert_eq!(spans.len() as i64, WRITERS * BATCHES);
    };
    check(&logs_store, &traces_store);
    logs_store.close().unwrap();
    traces_store.close().unwrap();
    drop((logs_store, traces_store));
    let (logs_store, traces_store) = open();
    check(&logs_store, &traces_store);
    logs_store.compact().unwrap();
    traces_store.compact().unwrap();
    check(&logs_store, &traces_store);
    assert_eq!((logs_store.stats().parts, traces_store.stats().parts), (1, 1));
}
