//! Telemetry about ourselves: our log to stderr, and our log and our spans into the stores.
//!
//! [`init`] comes first, because the stores log while they open. What is raised before [`Telemetry::attach`]
//! waits in a bounded queue; afterwards one task writes it through the write doors like anybody else's data.
//! Nothing that is raised while that task writes is captured again, so that the store's own log cannot feed
//! itself; it still goes to stderr.

mod capture;
mod spans;
mod suppress;
mod writer;

use model::{Clock, Counter, Error, Labels, Meter, MetricDef, MetricKind, Resource, Result, Sinks, Tenant};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::SdkTracerProvider;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tracing::Subscriber;
use tracing::instrument::WithSubscriber as _;
use tracing_subscriber::filter::{FilterExt as _, LevelFilter, dynamic_filter_fn};
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::{EnvFilter, Registry, fmt};

/// Records that may wait for the writer.
const QUEUE_LENGTH: usize = 16_384;

static DROPPED: MetricDef = MetricDef {
    name: "binnacle_telemetry_dropped_total",
    help: "Log records and spans of our own that were dropped, by signal and reason (queue_full, write_failed).",
    kind: MetricKind::Counter,
    labels: &["signal", "reason"],
};

/// How the log on stderr looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    #[default]
    Human,
    /// One JSON object per line.
    Json,
}

/// How the program tells about itself.
#[derive(Debug, Clone)]
pub struct Options {
    /// What is logged, as `RUST_LOG` has it: `info`, `info,tsdb=debug`.
    pub filter: String,
    /// How the log on stderr looks.
    pub format: Format,
    /// What we are: `service.name` and the node's attributes.
    pub resource: Resource,
}

/// The handle on what [`init`] started.
pub struct Telemetry {
    shared: Arc<Shared>,
    provider: SdkTracerProvider,
    resource: Arc<Resource>,
    receiver: Mutex<Option<mpsc::Receiver<Item>>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// What the capturing layers share: the way into the queue and the counters.
struct Shared {
    queue: mpsc::Sender<Item>,
    clock: Arc<dyn Clock>,
    dropped_logs: Dropped,
    dropped_spans: Dropped,
}

struct Dropped {
    queue_full: Counter,
    write_failed: Counter,
}

impl Dropped {
    fn new(meter: &dyn Meter, signal: &str) -> Self {
        Self {
            queue_full: meter.counter(&DROPPED, &[signal, "queue_full"]),
            write_failed: meter.counter(&DROPPED, &[signal, "write_failed"]),
        }
    }
}

/// What waits for the writer.
enum Item {
    Log {
        level: &'static str,
        entry: model::LogEntry,
    },
    Span(Box<opentelemetry_sdk::trace::SpanData>),
    Flush(oneshot::Sender<()>),
}

/// Sets up the process's log and spans. Call once, before anything logs; a second call is an error.
pub fn init(options: Options, meter: &dyn Meter, clock: Arc<dyn Clock>) -> Result<Telemetry> {
    let (telemetry, subscriber) = build(options, meter, clock)?;
    tracing::subscriber::set_global_default(subscriber)
        .map_err(|_| Error::internal("the log of this process is set up twice"))?;
    Ok(telemetry)
}

/// As [`init`], for whoever installs the subscriber in another way, for instance for one test only.
pub fn build(
    options: Options,
    meter: &dyn Meter,
    clock: Arc<dyn Clock>,
) -> Result<(Telemetry, impl Subscriber + Send + Sync + 'static)> {
    build_onto(options, meter, clock, BoxMakeWriter::new(std::io::stderr))
}

fn build_onto(
    options: Options,
    meter: &dyn Meter,
    clock: Arc<dyn Clock>,
    output: BoxMakeWriter,
) -> Result<(Telemetry, impl Subscriber + Send + Sync + 'static)> {
    let (queue, receiver) = mpsc::channel(QUEUE_LENGTH);
    let shared = Arc::new(Shared {
        queue,
        clock,
        dropped_logs: Dropped::new(meter, "logs"),
        dropped_spans: Dropped::new(meter, "spans"),
    });
    let provider = SdkTracerProvider::builder()
        .with_span_processor(spans::QueueProcessor::new(shared.clone()))
        .build();
    let filter = || {
        EnvFilter::try_new(&options.filter)
            .map_err(|e| Error::bad_data(format!("the log filter {:?} cannot be read: {e}", options.filter)))
    };
    let not_ours = || dynamic_filter_fn(|_, _| !suppress::is_suppressed());
    let stderr = fmt::layer().with_writer(output);
    let stderr = match options.format {
        Format::Human => {
            let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
            stderr.with_ansi(ansi).with_filter(filter()?).boxed()
        }
        Format::Json => stderr.json().flatten_event(true).with_filter(filter()?).boxed(),
    };
    // Spans do not depend on how much is logged: a filter of `warn` must not make the traces vanish. Debug spans
    // of the HTTP libraries stay out.
    let traces = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("binnacle"))
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_filter(LevelFilter::INFO.and(not_ours()));
    let capture = capture::CaptureLayer::new(shared.clone()).with_filter(filter()?.and(not_ours()));
    let subscriber = Registry::default().with(vec![traces.boxed(), stderr, capture.boxed()]);
    let telemetry = Telemetry {
        shared,
        provider,
        resource: Arc::new(options.resource),
        receiver: Mutex::new(Some(receiver)),
        task: Mutex::new(None),
    };
    Ok((telemetry, subscriber))
}

impl Telemetry {
    /// Starts to write what was and will be captured. Call within a tokio runtime, once; later calls do nothing.
    pub fn attach(&self, sinks: &Sinks, tenant: Tenant) {
        let receiver = self
            .receiver
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(receiver) = receiver else { return };
        let writer = writer::Writer {
            shared: self.shared.clone(),
            logs: sinks.logs.clone(),
            spans: sinks.spans.clone(),
            tenant,
            stream: self.stream_labels(),
            resource: self.resource.clone(),
        };
        let task = suppress::Suppressed::new(writer.run(receiver)).with_current_subscriber();
        let task = tokio::spawn(task);
        *self.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
    }
    /// Waits until everything that was captured so far is written (or given up). Does nothing before
    /// [`Telemetry::attach`].
    pub async fn flush(&self) {
        if self.task.lock().unwrap_or_else(PoisonError::into_inner).is_none() {
            return;
        }
        let (done, wait) = oneshot::channel();
        if self.shared.queue.send(Item::Flush(done)).await.is_ok() {
            // An error means that the writer has ended, and then there is nothing to wait for.
            let _ = wait.await;
        }
    }
    /// Flushes and stops the writer; later records are dropped and counted. Call before the stores close.
    pub async fn shutdown(&self) {
        self.flush().await;
        let _ = self.provider.shutdown();
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            task.abort();
            let _ = task.await;
        }
    }
    fn stream_labels(&self) -> Labels {
        model::identity::stream_labels(&self.resource).0
    }
}

#[cfg(test)]
mod tests;
