//! Parts of format 1, kept as they were written: they must stay readable.
//!
//! `BINNACLE_WRITE_SAMPLES=1 cargo test -p eventdb samples` writes them anew, for a new version of the format.

use crate::support::*;
use model::*;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use storage::{FaultyFs, StoreName, layout};

fn sample_logs() -> Logs {
    let cut = |n: i64| LogEntry {
        metadata: vec![("trace_id".into(), format!("{n:032x}"))],
        ..entry(
            n,
            &format!("level=info user=u{n} msg=\"größe {n}\" id=4bf92f35{n}"),
        )
    };
    logs(stream(1), (0..60).map(cut).collect())
}

fn sample_spans() -> Spans {
    let span = |n: u64| Span {
        trace_id: TraceId([n as u8 / 4 + 1; 16]),
        span_id: SpanId((n + 1).to_be_bytes()),
        parent_span_id: (!n.is_multiple_of(4)).then(|| SpanId(n.to_be_bytes())),
        name: format!("GET /{}", n % 3),
        start_ns: n as i64 * 1000,
        end_ns: n as i64 * 1000 + 500,
        attributes: vec![
            ("http.status".into(), Value::Int(200)),
            (
                "list".into(),
                Value::Array(vec![Value::Bool(true), Value::Double(0.5), Value::Empty]),
            ),
            (
                "map".into(),
                Value::Map(vec![("k".into(), Value::Bytes(vec![1, 2]))]),
            ),
        ],
        events: vec![span::SpanEvent {
            timestamp_ns: 7,
            name: "e".into(),
            attributes: Vec::new(),
        }],
        ..Span::default()
    };
    let mut resource = Resource::default();
    resource.set("service.name", "shop");
    let spans = (0..40).map(span).collect();
    Spans {
        groups: vec![ResourceSpans {
            resource: resource.into(),
            spans,
            ..ResourceSpans::default()
        }],
    }
}

fn kept(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name)
}

/// The store's files after everything was flushed: the manifest and one part.
fn written(store: StoreName) -> (Arc<FaultyFs>, Vec<u8>) {
    let (fs, clock) = (Arc::new(FaultyFs::new(1)), Arc::new(ManualClock::default()));
    match store {
        StoreName::Logs => {
            let logs = open_logs(&fs, small(), &clock).unwrap();
            now(logs.write(Batch::new(Tenant::default(), sample_logs()))).unwrap();
            logs.close().unwrap();
        }
        _ => {
            let traces = open_traces(&fs, small(), &clock).unwrap();
            now(traces.write(Batch::new(Tenant::default(), sample_spans()))).unwrap();
            traces.close().unwrap();
        }
    }
    let files = part_files(&fs, store);
    assert_eq!(files.len(), 1);
    let bytes = fs.read(&files[0], 1 << 20).unwrap();
    (fs, bytes)
}

/// A disk where the store's part is the kept one.
fn with_kept_part(store: StoreName, name: &str) -> Arc<FaultyFs> {
    let (fs, bytes) = written(store);
    if std::env::var_os("BINNACLE_WRITE_SAMPLES").is_some() {
        std::fs::create_dir_all(kept("")).unwrap();
        std::fs::write(kept(name), bytes).unwrap();
    }
    let dir = layout::store_dir(Path::new(DATA), &Tenant::default(), store);
    fs.replace(&layout::part_file(&dir, 1), &std::fs::read(kept(name)).unwrap())
        .unwrap();
    fs
}

#[test]
fn kept_logs_of_format_1_are_readable() {
    let fs = with_kept_part(StoreName::Logs, "logs-v1.part");
    let store = open_logs(&fs, small(), &Arc::new(ManualClock::default())).unwrap();
    let rows = log_rows(&store, &request(Predicate::all(), TimeRange::ALL)).unwrap();
    let expected: Vec<Row> = sample_logs().streams[0]
        .entries
        .iter()
        .map(|e| (e.timestamp_ns, stream(1), e.line.clone(), e.metadata.clone()))
        .collect();
    assert_eq!(rows, expected);
    for (needle, found) in [(" user=u17 ", 1), (" msg=\"größe ", 60), (" nothing ", 0)] {
        let has = Predicate::Line(predicate::LineFilter::Contains(needle.into()));
        assert_eq!(
            log_rows(&store, &request(has, TimeRange::ALL)).unwrap().len(),
            found,
            "{needle}"
        );
    }
    assert!(store.stats().damaged.is_empty());
}

#[test]
fn kept_spans_of_format_1_are_readable() {
    let fs = with_kept_part(StoreName::Traces, "spans-v1.part");
    let store = open_traces(&fs, small(), &Arc::new(ManualClock::default())).unwrap();
    let mut spans = Vec::new();
    for batch in (&store as &dyn Read<SpanBatch>)
        .scan(&request(Predicate::all(), TimeRange::ALL))
        .unwrap()
        .rows()
    {
        spans.extend(batch.unwrap().groups.into_iter().flat_map(|g| g.spans));
    }
    assert_eq!(spans, sample_spans().groups[0].spans);
    let service = Predicate::Field(Matcher::equal("service.name", "shop"));
    assert_eq!(
        span_rows(&store, &request(service, TimeRange::ALL))
            .unwrap()
            .len(),
        40
    );
    assert_eq!(
        span_rows(
            &store,
            &request(Predicate::Trace(TraceId([3; 16])), TimeRange::ALL)
        )
        .unwrap()
        .len(),
        4
    );
    assert!(store.stats().damaged.is_empty());
}

#[test]
fn the_same_data_gives_the_same_bytes() {
    for store in [StoreName::Logs, StoreName::Traces] {
        assert!(written(store).1 == written(store).1, "{store:?}");
    }
}
