//! The task that writes what was captured.

use super::{Item, Shared, spans};
use model::{
    Batch, Error, ErrorKind, Labels, LogEntry, LogStream, Logs, Resource, Spans, Tenant, Write, WriteOutcome,
};
use opentelemetry_sdk::trace::SpanData;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// How long records are collected before they are written.
const BATCH_TIME: Duration = Duration::from_millis(200);
/// Records of one batch.
const BATCH_LENGTH: usize = 2048;
/// How often a write is tried when the store says to come back later, and the longest wait between.
const ATTEMPTS: u32 = 5;
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Takes records out of the queue and writes them until the queue's other end is gone.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) logs: Arc<dyn Write<Logs>>,
    pub(super) spans: Arc<dyn Write<Spans>>,
    pub(super) tenant: Tenant,
    pub(super) stream: Labels,
    pub(super) resource: Arc<Resource>,
}

#[derive(Default)]
struct Collected {
    logs: BTreeMap<&'static str, Vec<LogEntry>>,
    spans: Vec<SpanData>,
    flushes: Vec<oneshot::Sender<()>>,
}

impl Collected {
    fn add(&mut self, items: &mut Vec<Item>) {
        for item in items.drain(..) {
            match item {
                Item::Log { level, entry } => self.logs.entry(level).or_default().push(entry),
                Item::Span(span) => self.spans.push(*span),
                Item::Flush(done) => self.flushes.push(done),
            }
        }
    }
    fn len(&self) -> usize {
        self.spans.len() + self.logs.values().map(Vec::len).sum::<usize>()
    }
}

impl Writer {
    pub(super) async fn run(self, mut queue: mpsc::Receiver<Item>) {
        loop {
            let collected = collect(&mut queue).await;
            let closed = queue.is_closed() && queue.is_empty();
            self.write(collected).await;
            if closed {
                return;
            }
        }
    }

    async fn write(&self, collected: Collected) {
        let log_count = collected.logs.values().map(|e| e.len() as u64).sum::<u64>();
        if log_count > 0 {
            let stream = |(level, entries): (&'static str, Vec<LogEntry>)| {
                let mut labels = self.stream.to_builder();
                labels.set("level", level);
                LogStream {
                    labels: labels.build(),
                    entries,
                }
            };
            let payload = Logs {
                streams: collected.logs.into_iter().map(stream).collect(),
            };
            let batch = Batch::new(self.tenant.clone(), payload);
            let refused = write_patiently(&*self.logs, batch, "logs", log_count).await;
            self.shared.dropped_logs.write_failed.add(refused);
        }
        let span_count = collected.spans.len() as u64;
        if span_count > 0 {
            let payload = Spans {
                groups: spans::to_model(&self.resource, collected.spans),
            };
            let batch = Batch::new(self.tenant.clone(), payload);
            let refused = write_patiently(&*self.spans, batch, "spans", span_count).await;
            self.shared.dropped_spans.write_failed.add(refused);
        }
        for done in collected.flushes {
            // Nobody waits any more; that is theirs to decide.
            let _ = done.send(());
        }
    }
}

/// Waits for something to write, then a little for more of it; a flush ends the waiting.
async fn collect(queue: &mut mpsc::Receiver<Item>) -> Collected {
    let mut collected = Collected::default();
    let mut items = Vec::new();
    if queue.recv_many(&mut items, BATCH_LENGTH).await == 0 {
        return collected;
    }
    collected.add(&mut items);
    let deadline = tokio::time::Instant::now() + BATCH_TIME;
    while collected.flushes.is_empty() && collected.len() < BATCH_LENGTH {
        match tokio::time::timeout_at(deadline, queue.recv_many(&mut items, BATCH_LENGTH)).await {
            Ok(0) | Err(_) => break,
            Ok(_) => collected.add(&mut items),
        }
    }
    collected
}

/// Writes a batch, again when the store asks for it; gives back how many records were lost. Equal lines and
/// spans of a second try are recognised by the store.
async fn write_patiently<P: Clone + 'static>(
    sink: &dyn Write<P>,
    batch: Batch<P>,
    signal: &'static str,
    count: u64,
) -> u64 {
    let mut attempt = 1;
    let lost: Error = loop {
        match sink.write(batch.clone()).await {
            Ok(outcome) => return report(signal, &outcome),
            Err(e) if e.kind() == ErrorKind::Unavailable && attempt < ATTEMPTS => {
                let wait = e.retry_after().unwrap_or(Duration::from_secs(1));
                tokio::time::sleep(wait.min(LONGEST_WAIT)).await;
                attempt += 1;
            }
            Err(e) => break e,
        }
    };
    tracing::error!(signal, count, "cannot store our own telemetry: {lost}");
    count
}

fn report(signal: &'static str, outcome: &WriteOutcome) -> u64 {
    let refused = outcome.rejected_count();
    if refused > 0 {
        tracing::warn!(
            signal,
            "the store refused our own telemetry: {}",
            outcome.rejection_message()
        );
    }
    refused
}
