//! Our own log and spans reach a store, each exactly once, and do not feed themselves.

use super::*;
use crate::SystemClock;
use axum::Router;
use axum::body::Body;
use axum::routing::get;
use model::plain::PlainStore;
use model::{
    Batch, BoxFuture, Budget, LogBatch, Logs, Metrics, Predicate, Read, ScanRequest, SpanBatch, Spans,
    TimeRange, Write, WriteOutcome,
};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tower::ServiceExt as _;

/// A store that logs and makes spans while it writes, and fails as often as it is told.
#[derive(Default)]
struct Talkative {
    plain: PlainStore,
    failures: AtomicU32,
    forever: bool,
}

impl Talkative {
    fn fails(&self) -> Result<()> {
        let left = self.failures.load(Ordering::SeqCst);
        if self.forever || left > 0 {
            self.failures.store(left.saturating_sub(1), Ordering::SeqCst);
            return Err(Error::unavailable("full", Duration::from_millis(1)));
        }
        Ok(())
    }
}

impl Write<Logs> for Talkative {
    fn write(&self, batch: Batch<Logs>) -> BoxFuture<'_, Result<WriteOutcome>> {
        Box::pin(async move {
            tracing::info_span!("storing logs").in_scope(|| tracing::info!("stored"));
            tokio::task::yield_now().await;
            tracing::info!("stored after a pause");
            self.fails()?;
            Ok(self.plain.write_logs(batch))
        })
    }
}
impl Write<Spans> for Talkative {
    fn write(&self, batch: Batch<Spans>) -> BoxFuture<'_, Result<WriteOutcome>> {
        Box::pin(async move {
            tracing::info_span!("storing spans").in_scope(|| tracing::info!("stored"));
            self.fails()?;
            Ok(self.plain.write_spans(batch))
        })
    }
}
impl Write<Metrics> for Talkative {
    fn write(&self, batch: Batch<Metrics>) -> BoxFuture<'_, Result<WriteOutcome>> {
        Box::pin(async move { Ok(self.plain.write_metrics(batch)) })
    }
}

fn everything() -> ScanRequest {
    ScanRequest::new(
        Tenant::default(),
        TimeRange::ALL,
        Predicate::all(),
        Budget::unlimited(),
    )
}

impl Talkative {
    fn sinks(self: &Arc<Self>) -> Sinks {
        Sinks::new(self.clone(), self.clone(), self.clone())
    }
    fn lines(&self) -> Vec<(String, String)> {
        let rows = Read::<LogBatch>::scan(&self.plain, &everything()).unwrap().rows();
        rows.flat_map(|batch| {
            let batch = batch.unwrap();
            let labels = batch.labels.to_string();
            batch.entries.into_iter().map(move |e| (labels.clone(), e.line))
        })
        .collect()
    }
    fn spans(&self) -> Vec<model::ResourceSpans> {
        let rows = Read::<SpanBatch>::scan(&self.plain, &everything())
            .unwrap()
            .rows();
        rows.flat_map(|batch| batch.unwrap().groups).collect()
    }
}

fn options(filter: &str) -> Options {
    let mut resource = Resource::default();
    resource.set("service.name", "binnacle");
    resource.set("host.name", "n1");
    Options {
        filter: filter.to_owned(),
        format: Format::Human,
        resource,
    }
}

/// What went to stderr.
#[derive(Clone, Default)]
struct Printed(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Printed {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct Test {
    printed: Printed,
    registry: crate::Registry,
    telemetry: Telemetry,
    dispatch: tracing::Dispatch,
}

fn start(filter: &str) -> Test {
    let registry = crate::Registry::new("binnacle", "1");
    let printed = Printed::default();
    let output = {
        let printed = printed.clone();
        BoxMakeWriter::new(move || printed.clone())
    };
    let clock = Arc::new(SystemClock::new());
    let (telemetry, subscriber) = build_onto(options(filter), &registry, clock, output).unwrap();
    Test {
        printed,
        registry,
        telemetry,
        dispatch: tracing::Dispatch::new(subscriber),
    }
}

impl Test {
    fn printed(&self, text: &str) -> usize {
        String::from_utf8_lossy(&self.printed.0.lock().unwrap())
            .matches(text)
            .count()
    }
    fn dropped(&self, signal: &str, reason: &str) -> u64 {
        self.registry.counter(&DROPPED, &[signal, reason]).get()
    }
}

#[tokio::test]
async fn the_log_reaches_the_store_once() {
    let test = start("info");
    let store = Arc::new(Talkative::default());
    store.failures.store(2, Ordering::SeqCst);
    let telemetry = &test.telemetry;
    async {
        tracing::info!(path = "/data", count = 3, "opening");
        tracing::debug!("not wanted");
        telemetry.attach(&store.sinks(), Tenant::default());
        tracing::warn!(error = "no such file", "later");
        tracing::error!(code = 7);
        telemetry.flush().await;
        telemetry.flush().await;
    }
    .with_subscriber(test.dispatch.clone())
    .await;
    let line = |level: &str, text: &str| {
        let labels = format!("{{level={level:?}, node=\"n1\", service_name=\"binnacle\"}}");
        (labels, text.to_owned())
    };
    assert_eq!(
        store.lines(),
        [
            line("info", "opening path=/data count=3"),
            line("warn", "later error=\"no such file\""),
            line("error", "code=7"),
        ]
    );
    assert_eq!(test.dropped("logs", "write_failed"), 0);
    assert_eq!((test.printed("opening"), test.printed("not wanted")), (1, 0));
    // The store's own log, once for each of the three tries, is printed but not stored.
    assert_eq!(test.printed("stored after a pause"), 3);
}

#[tokio::test]
async fn what_cannot_be_stored_is_counted() {
    let test = start("info");
    let store = Arc::new(Talkative {
        forever: true,
        ..Talkative::default()
    });
    let telemetry = &test.telemetry;
    async {
        telemetry.attach(&store.sinks(), Tenant::default());
        tracing::info!("one");
        tracing::info!("two");
        telemetry.flush().await;
        telemetry.shutdown().await;
        tracing::info!("three");
    }
    .with_subscriber(test.dispatch.clone())
    .await;
    assert_eq!(test.dropped("logs", "write_failed"), 2);
    assert_eq!(test.dropped("logs", "queue_full"), 1);
}

#[tokio::test]
async fn the_queue_before_the_stores_is_bounded() {
    let test = start("info");
    tracing::dispatcher::with_default(&test.dispatch, || {
        for i in 0..QUEUE_LENGTH + 5 {
            tracing::info!(i, "early");
        }
    });
    assert_eq!(test.dropped("logs", "queue_full"), 5);
}

#[tokio::test]
async fn a_request_becomes_a_span_that_continues_its_trace() {
    let test = start("warn");
    let store = Arc::new(Talkative::default());
    let handler = || async {
        tracing::warn!("slow disk");
        tracing::info_span!("read", bytes = 12).in_scope(|| ());
        "ok"
    };
    let router = Router::new().route("/items/{id}", get(handler));
    let router = crate::metrics::observe::layer(router, &test.registry, Arc::new(SystemClock::new()));
    let telemetry = &test.telemetry;
    async {
        telemetry.attach(&store.sinks(), Tenant::default());
        let request = ::http::Request::get("/items/7?secret=1")
            .header(
                "traceparent",
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            )
            .body(Body::empty())
            .unwrap();
        let response = router.oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
        drop(response);
        telemetry.flush().await;
        telemetry.flush().await;
    }
    .with_subscriber(test.dispatch.clone())
    .await;
    let groups = store.spans();
    let spans: Vec<_> = groups.iter().flat_map(|g| &g.spans).collect();
    assert_eq!(spans.len(), 2, "{spans:?}");
    assert!(groups.iter().all(|g| g.resource.service_name() == "binnacle"));
    let root = spans.iter().find(|s| s.name == "GET /items/{id}").unwrap();
    let child = spans.iter().find(|s| s.name == "read").unwrap();
    assert_eq!(root.kind, model::SpanKind::Server);
    assert_eq!(root.trace_id.to_string(), "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(root.parent_span_id.unwrap().to_string(), "b7ad6b7169203331");
    assert_eq!(child.parent_span_id, Some(root.span_id));
    assert_eq!(child.trace_id, root.trace_id);
    let attribute = |s: &model::Span, key: &str| {
        let found = s.attributes.iter().find(|(k, _)| k == key);
        found.map(|(_, v)| v.to_string())
    };
    assert_eq!(attribute(root, "http.request.method").as_deref(), Some("GET"));
    assert_eq!(attribute(root, "http.route").as_deref(), Some("/items/{id}"));
    assert_eq!(attribute(root, "url.path").as_deref(), Some("/items/7"));
    assert_eq!(
        attribute(root, "http.response.status_code").as_deref(),
        Some("200")
    );
    assert_eq!(attribute(child, "bytes").as_deref(), Some("12"));
    // The line of the handler carries the trace, so that one leads to the other.
    let rows = Read::<LogBatch>::scan(&store.plain, &everything())
        .unwrap()
        .rows();
    let entries: Vec<_> = rows.flat_map(|b| b.unwrap().entries).collect();
    assert_eq!(entries.len(), 1);
    let metadata = |key: &str| {
        let found = entries[0].metadata.iter().find(|(k, _)| k == key);
        found.map(|(_, v)| v.clone())
    };
    assert_eq!(metadata("trace_id"), Some(root.trace_id.to_string()));
    assert_eq!(metadata("span_id"), Some(root.span_id.to_string()));
}

#[test]
fn a_bad_filter_is_an_error() {
    let built = build(
        options("binnacle=loud"),
        &model::NoMeter,
        Arc::new(SystemClock::new()),
    );
    let error = built.err().unwrap();
    assert!(
        error
            .message()
            .starts_with("the log filter \"binnacle=loud\" cannot be read: "),
        "{error}"
    );
}
