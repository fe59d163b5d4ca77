//! Measures the stores on made-up but lifelike data: `cargo run --release -p eventdb --example throughput`.

#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program that measures and prints"
)]

use eventdb::{LogStore, Options, TraceStore};
use model::predicate::{LineFilter, field};
use model::*;
use std::sync::Arc;
use std::time::Instant;
use storage::{CommitOptions, FaultyFs};

const ENTRIES: u64 = 1_000_000;
const SPANS: u64 = 300_000;

fn line(n: u64) -> String {
    let h = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let paths = ["cart", "checkout", "product/list", "health", "login", "search"];
    let (path, ms, status) = (
        paths[(h >> 8) as usize % 6],
        h % 997,
        [200, 200, 200, 404, 500][(h >> 20) as usize % 5],
    );
    format!(
        "ts=2026-11-21T10:{:02}:{:02}.{:03}Z level=info method=GET path=/api/{path} status={status} took={ms}ms \
         trace_id={h:016x}{:016x} msg=\"request handled\"",
        n / 60_000 % 60,
        n / 1000 % 60,
        n % 1000,
        h.rotate_left(17)
    )
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        if let std::task::Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
}

fn timed<T>(what: &str, megabytes: f64, f: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = f();
    let seconds = start.elapsed().as_secs_f64();
    println!("{what:<44} {seconds:>8.3} s {:>8.1} MB/s", megabytes / seconds);
    result
}

fn options() -> Options {
    Options {
        retention_ms: None,
        max_head_bytes: usize::MAX,
        commit: CommitOptions::inline(),
        ..Options::default()
    }
}

fn request(predicate: Predicate) -> ScanRequest {
    ScanRequest::new(Tenant::default(), TimeRange::ALL, predicate, Budget::unlimited())
}

fn main() -> Result<()> {
    let (fs, clock) = (Arc::new(FaultyFs::new(1)), Arc::new(ManualClock::default()));
    let root = std::path::Path::new("/d");
    logs(&LogStore::open(
        fs.clone(),
        root,
        options(),
        clock.clone(),
        &NoMeter,
    )?)?;
    traces(&TraceStore::open(fs, root, options(), clock, &NoMeter)?)
}

fn logs(store: &LogStore) -> Result<()> {
    let streams: Vec<Labels> = (0..20)
        .map(|i| Labels::from_pairs([("app", "shop".into()), ("pod", format!("p{i}"))]))
        .collect();
    let mut bytes = 0;
    let batches: Vec<Logs> = (0..ENTRIES / 1000)
        .map(|b| {
            let entries = (b * 1000..(b + 1) * 1000).map(|n| LogEntry {
                timestamp_ns: n as i64 * 1_000_000,
                line: line(n),
                metadata: Vec::new(),
            });
            let entries: Vec<LogEntry> = entries.collect();
            bytes += entries.iter().map(|e| e.line.len()).sum::<usize>();
            Logs {
                streams: vec![LogStream {
                    labels: streams[b as usize % 20].clone(),
                    entries,
                }],
            }
        })
        .collect();
    let mb = bytes as f64 / 1e6;
    let batch_count = batches.len();
    println!("{ENTRIES} lines, {mb:.0} MB");
    // Two halves, so that there are two parts to merge.
    let mut batches = batches.into_iter();
    for _ in 0..2 {
        let half = batches.by_ref().take(batch_count / 2);
        timed("logs: write half (in-memory disk)", mb / 2.0, || {
            half.into_iter()
                .try_for_each(|b| wait(store.write(Batch::new(Tenant::default(), b))).map(drop))
        })?;
        timed("logs: flush half with index", mb / 2.0, || store.flush())?;
    }
    let parts = store.stats().part_bytes as f64 / 1e6;
    println!(
        "{:<44} {parts:>8.1} MB, {:.1} times smaller",
        "logs: parts",
        mb / parts
    );
    timed("logs: merge", mb, || store.compact())?;
    let ask = |what: &str, needle: &str, limit: Option<usize>| {
        let mut request = request(Predicate::Line(LineFilter::Contains(needle.to_owned())));
        request.limit = limit;
        request.direction = Direction::Backward;
        let rows = timed(what, mb, || {
            store.scan(&request).map(|scan: Scan<LogBatch>| {
                scan.rows()
                    .map(|b| b.map_or(0, |b| b.entries.len()))
                    .sum::<usize>()
            })
        });
        rows.map(|rows| {
            println!(
                "{:<44} {rows} rows, {} looked at",
                "",
                request.budget.samples_used()
            );
        })
    };
    ask("logs: newest 100", "", Some(100))?;
    ask("logs: everything", "", None)?;
    ask("logs: substring in one line of six", "checkout", None)?;
    let needle = line(777_777);
    ask(
        "logs: one trace id",
        &needle[needle.len() - 70..needle.len() - 10],
        None,
    )
}

fn traces(store: &TraceStore) -> Result<()> {
    let mut resource = Resource::default();
    resource.set("service.name", "shop");
    let resource = Arc::new(resource);
    let span = |n: u64| {
        let h = (n / 8).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut id = [1; 16];
        id[..8].copy_from_slice(&h.to_le_bytes());
        Span {
            trace_id: TraceId(id),
            span_id: SpanId((n + 1).to_le_bytes()),
            name: format!("op{}", n % 40),
            start_ns: n as i64 * 1_000_000,
            end_ns: n as i64 * 1_000_000 + (h % 1_000_000_000) as i64,
            attributes: vec![
                ("http.method".into(), "GET".into()),
                ("http.status_code".into(), Value::Int(200)),
                ("url".into(), format!("/api/cart/{h}").into()),
            ],
            ..Span::default()
        }
    };
    let batches: Vec<Spans> = (0..SPANS / 500)
        .map(|b| Spans {
            groups: vec![ResourceSpans {
                resource: Arc::clone(&resource),
                scope: Arc::default(),
                spans: (b * 500..(b + 1) * 500).map(span).collect(),
            }],
        })
        .collect();
    // About what OTLP takes for such a span.
    let mb = SPANS as f64 * 180.0 / 1e6;
    let batch_count = batches.len();
    println!("{SPANS} spans, {mb:.0} MB as OTLP");
    // Two halves, so that there are two parts to merge.
    let mut batches = batches.into_iter();
    for _ in 0..2 {
        let half = batches.by_ref().take(batch_count / 2);
        timed("traces: write half (in-memory disk)", mb / 2.0, || {
            half.into_iter()
                .try_for_each(|b| wait(store.write(Batch::new(Tenant::default(), b))).map(drop))
        })?;
        timed("traces: flush half with index", mb / 2.0, || store.flush())?;
    }
    let parts = store.stats().part_bytes as f64 / 1e6;
    println!(
        "{:<44} {parts:>8.1} MB, {:.0} bytes a span",
        "traces: parts",
        parts * 1e6 / SPANS as f64
    );
    timed("traces: merge", mb, || store.compact())?;
    let ask = |what: &str, predicate: Predicate| {
        let request = request(predicate);
        let rows = timed(what, mb, || {
            let scan: Scan<SpanBatch> = store.scan(&request)?;
            let spans = |b: SpanBatch| b.groups.iter().map(|g| g.spans.len()).sum::<usize>();
            scan.rows().map(|b| b.map(spans)).sum::<Result<usize>>()
        });
        rows.map(|rows| {
            println!(
                "{:<44} {rows} rows, {} looked at",
                "",
                request.budget.samples_used()
            );
        })
    };
    ask("traces: one trace", Predicate::Trace(span(100_000).trace_id))?;
    ask(
        "traces: one operation",
        Predicate::Field(Matcher::equal(field::NAME, "op3")),
    )?;
    ask(
        "traces: one url",
        Predicate::Field(Matcher::equal("url", span(100_000).attributes[2].1.to_string())),
    )
}
