//! Snapshots of logs and traces: of one moment, independent of what the store does later.

use crate::support::*;
use model::*;
use std::path::Path;
use std::sync::Arc;
use storage::{FaultyFs, StoreName, snapshot};

fn write(store: &eventdb::LogStore, from: i64, to: i64) {
    let entries = (from..to)
        .map(|t| entry(t, &format!("line number {t}")))
        .collect();
    let batch = Batch::new(Tenant::default(), logs(stream(1), entries));
    now(Write::write(store, batch)).unwrap();
}

fn count(store: &eventdb::LogStore) -> usize {
    log_rows(store, &request(Predicate::all(), TimeRange::ALL))
        .unwrap()
        .len()
}

#[test]
fn a_snapshot_of_logs_is_of_its_moment() {
    for links in [true, false] {
        let (fs, clock) = (Arc::new(FaultyFs::new(1)), Arc::new(ManualClock::default()));
        fs.set_links(links);
        let store = open_logs(&fs, small(), &clock).unwrap();
        write(&store, 0, 50);
        store.flush().unwrap();
        write(&store, 50, 100);
        let (with_head, without) = (Path::new("/with"), Path::new("/without"));
        store.snapshot(without, true).unwrap();
        let taken = store.snapshot(with_head, false).unwrap();
        assert_eq!((taken.tenants, taken.copied_bytes == 0), (1, links));
        write(&store, 100, 150);
        store.compact().unwrap();
        fs.crash();
        for (path, expected) in [(without, 50), (with_head, 100)] {
            let fs = fs.clone();
            let opened = eventdb::LogStore::open(fs, path, small(), clock.clone(), &NoMeter).unwrap();
            assert_eq!(count(&opened), expected, "{}", path.display());
        }
        assert_eq!(count(&open_logs(&fs, small(), &clock).unwrap()), 150);
    }
}

#[test]
fn logs_and_traces_go_into_one_snapshot_and_back() {
    let (fs, clock) = (Arc::new(FaultyFs::new(1)), Arc::new(ManualClock::default()));
    let of_logs = open_logs(&fs, small(), &clock).unwrap();
    let of_traces = open_traces(&fs, small(), &clock).unwrap();
    write(&of_logs, 0, 10);
    let span = Span {
        trace_id: TraceId([1; 16]),
        span_id: SpanId([1; 8]),
        ..Span::default()
    };
    let groups = vec![ResourceSpans {
        spans: vec![span],
        ..ResourceSpans::default()
    }];
    let batch = Batch::new(Tenant::default(), Spans { groups });
    now(Write::write(&of_traces, batch)).unwrap();
    let shared: Arc<dyn Fs> = fs.clone();
    let snapshots = storage::Snapshots::open(shared.clone(), Path::new(DATA), 1);
    let name = "20261121T171500Z-0123456789abcdef";
    let taken = snapshots.create(name, |to| {
        let mut taken = of_logs.snapshot(to, false)?;
        taken += of_traces.snapshot(to, false)?;
        Ok(taken)
    });
    assert_eq!(taken.unwrap().tenants, 2);
    let to = storage::DataDir::open(shared.clone(), Path::new("/new")).unwrap();
    let from = Path::new(DATA).join("snapshots").join(name);
    let restored = snapshot::restore(&shared, &from, &to, &mut |_| {}).unwrap();
    let stores: Vec<StoreName> = restored.iter().map(|(store, _)| *store).collect();
    assert_eq!(stores, [StoreName::Logs, StoreName::Traces]);
    let (root, options) = (to.root(), small());
    let logs =
        eventdb::LogStore::open(shared.clone(), root, options.clone(), clock.clone(), &NoMeter).unwrap();
    let traces = eventdb::TraceStore::open(shared, root, options, clock, &NoMeter).unwrap();
    assert_eq!((count(&logs), traces.stats().part_rows), (10, 1));
}
