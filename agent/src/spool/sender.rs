//! Sending a queue to the collector, in order, until it is acknowledged.

use super::payload::Signal;
use super::queue::{Front, Queue};
use crate::backoff::Backoff;
use crate::counters::{self, Counters};
use model::{Error, ErrorKind, Result};
use reqwest::StatusCode;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use runtime::client::Client;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What the collector says of itself in an error, at most.
const ERROR_TEXT_BYTES: usize = 300;

/// Where the collector takes each signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    metrics: String,
    logs: String,
    spans: String,
}

impl Addresses {
    /// Below the collector's own address; `otlp` where logs and spans are taken elsewhere.
    pub fn new(collector: &str, otlp: Option<&str>) -> Self {
        let collector = collector.trim_end_matches('/');
        let otlp = otlp.unwrap_or(collector).trim_end_matches('/');
        Self {
            metrics: format!("{collector}/api/v1/write"),
            logs: format!("{otlp}/v1/logs"),
            spans: format!("{otlp}/v1/traces"),
        }
    }
    fn of(&self, signal: Signal) -> &str {
        match signal {
            Signal::Metrics => &self.metrics,
            Signal::Logs => &self.logs,
            Signal::Spans => &self.spans,
        }
    }
}

/// Sends one queue.
pub struct Sender {
    /// The queue.
    pub queue: Arc<Queue>,
    /// The connection, with its credentials.
    pub client: Client,
    /// Where to.
    pub addresses: Addresses,
    /// What happens.
    pub counters: Arc<Counters>,
}

impl Sender {
    /// Sends until told to stop; the batch that is under way then is finished or stays in the spool.
    pub async fn run(self, stop: CancellationToken) {
        let mut backoff = Backoff::new();
        loop {
            let Some(front) = self.front().await else {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = self.queue.added() => continue,
                }
            };
            let pause = match self.send(&front).await {
                Ok(()) => {
                    backoff.reset();
                    self.counters.counter(&counters::SENT, &[self.queue.name()]).inc();
                    self.remove(front).await;
                    None
                }
                Err(e) => self.failed(e, front, &mut backoff).await,
            };
            match pause {
                None if stop.is_cancelled() && self.queue.is_empty() => return,
                None => {}
                Some(_) if stop.is_cancelled() => return,
                Some(pause) => tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(pause) => {}
                },
            }
        }
    }

    /// Posts one batch once.
    pub async fn send(&self, front: &Front) -> Result<()> {
        let url = self.addresses.of(front.signal);
        let request = self
            .client
            .post(url)?
            .headers(receive::origin_headers(&front.origin)?)
            .header("x-scope-orgid", front.tenant.as_str())
            .header(CONTENT_ENCODING, front.signal.encoding().name());
        let request = match front.signal {
            Signal::Metrics => request
                .header(CONTENT_TYPE, front.message.content_type())
                .header("x-prometheus-remote-write-version", front.message.version()),
            Signal::Logs | Signal::Spans => request.header(CONTENT_TYPE, "application/x-protobuf"),
        };
        let answer = request
            .body(front.body.clone())
            .send()
            .await
            .map_err(|e| runtime::client::unavailable(url, &e))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let retry_after = answer
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map(Duration::from_secs);
        let text = start_of_body(answer).await;
        Err(error_of(status, retry_after, &text).within(url))
    }

    async fn failed(&self, e: Error, front: Front, backoff: &mut Backoff) -> Option<Duration> {
        let name = self.queue.name();
        self.counters
            .counter(&counters::SEND_ERRORS, &[name, counters::reason(&e)])
            .inc();
        let hopeless = matches!(
            e.kind(),
            ErrorKind::BadData | ErrorKind::TooLarge | ErrorKind::Unsupported
        );
        if hopeless {
            tracing::error!(error = %e, queue = name, items = front.items, "the collector refuses a batch for good; it is dropped");
            self.queue.dropped(counters::reason(&e));
            self.remove(front).await;
            return None;
        }
        let pause = backoff.next(e.retry_after());
        tracing::warn!(error = %e, queue = name, waiting = self.queue.len(), "cannot send; trying again");
        Some(pause)
    }

    async fn front(&self) -> Option<Front> {
        let queue = self.queue.clone();
        tokio::task::spawn_blocking(move || queue.front()).await.ok()?
    }
    async fn remove(&self, front: Front) {
        let queue = self.queue.clone();
        let removed = tokio::task::spawn_blocking(move || queue.acknowledged(&front)).await;
        if let Err(e) = removed {
            tracing::error!(error = %e, "a sent batch could not be removed from the spool; it is sent again");
        }
    }
}

/// What an answer means for the batch: only a batch that can never be taken is given up. A wrong address or wrong
/// credentials are mended by people, so the batch waits.
fn error_of(status: StatusCode, retry_after: Option<Duration>, text: &str) -> Error {
    let message = format!("the collector answered {status}: {text}");
    let kind = match status.as_u16() {
        400 | 422 => ErrorKind::BadData,
        413 => ErrorKind::TooLarge,
        415 => ErrorKind::Unsupported,
        401 => ErrorKind::Unauthenticated,
        403 => ErrorKind::Forbidden,
        404 | 405 => ErrorKind::NotFound,
        429 => ErrorKind::LimitReached,
        _ => return Error::unavailable(message, retry_after.unwrap_or_default()),
    };
    match retry_after {
        Some(after) if kind == ErrorKind::LimitReached => Error::unavailable(message, after),
        _ => Error::new(kind, message),
    }
}

async fn start_of_body(mut answer: reqwest::Response) -> String {
    let mut text = Vec::new();
    while text.len() < ERROR_TEXT_BYTES {
        match answer.chunk().await {
            Ok(Some(chunk)) => text.extend_from_slice(&chunk),
            _ => break,
        }
    }
    text.truncate(ERROR_TEXT_BYTES);
    String::from_utf8_lossy(&text).trim().to_owned()
}
