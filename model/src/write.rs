//! The write door: batches go in, an outcome comes back once they are on disk.

use crate::{Result, Tenant};
use std::future::Future;
use std::pin::Pin;

/// A boxed future, so that the doors can be trait objects.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Who made a batch, and its place in that sender's stream. Only our agents say this. A store keeps the last
/// sequence of each `(agent, epoch, stream)` in the same log record as the data, and drops a batch whose
/// sequence it has already taken, so a retry after a lost answer is recognised even after a crash.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The agent's own id, made once and kept in its data directory.
    pub agent: String,
    /// Rises when the agent lost its spool and starts to count anew.
    pub epoch: u64,
    /// One ordered sequence of batches, for instance `logs` or `metrics`.
    pub stream: String,
    /// Counts up by one for each batch of the stream, from 1.
    pub sequence: u64,
}

/// A batch on its way in: whose it is, where it comes from, and the data.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch<P> {
    /// Whose data this is.
    pub tenant: Tenant,
    /// Which agent sent it, if one of ours did.
    pub origin: Option<Origin>,
    /// [`crate::Metrics`], [`crate::Logs`] or [`crate::Spans`].
    pub payload: P,
}

impl<P> Batch<P> {
    /// A batch of a foreign sender.
    pub fn new(tenant: Tenant, payload: P) -> Self {
        Self {
            tenant,
            origin: None,
            payload,
        }
    }
}

/// Items of one batch that were not taken, for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// A short word for the counter's label, for instance `label_limit`.
    pub reason: &'static str,
    /// How many items (samples, entries, spans).
    pub count: u64,
    /// One sentence with an example, for the answer to the sender.
    pub message: String,
}

/// What became of a batch. What is accepted is on disk and visible to queries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WriteOutcome {
    /// Items (samples, entries, spans) taken.
    pub accepted: u64,
    /// Those of the accepted samples that are native histograms.
    pub accepted_histograms: u64,
    /// Exemplars taken; they do not count as items.
    pub accepted_exemplars: u64,
    /// Items that were there already and changed nothing; a retry. They count as accepted to the sender.
    pub duplicates: u64,
    /// Items refused for good; sending them again will not help.
    pub rejected: Vec<Rejection>,
}

impl WriteOutcome {
    /// How many items were refused.
    pub fn rejected_count(&self) -> u64 {
        self.rejected.iter().map(|r| r.count).sum()
    }
    /// Adds a refusal, joining it with an earlier one for the same reason.
    pub fn reject(&mut self, reason: &'static str, count: u64, message: impl FnOnce() -> String) {
        match self.rejected.iter_mut().find(|r| r.reason == reason) {
            Some(r) => r.count += count,
            None => self.rejected.push(Rejection {
                reason,
                count,
                message: message(),
            }),
        }
    }
    /// The refusals as one sentence, empty when there are none.
    pub fn rejection_message(&self) -> String {
        self.rejected
            .iter()
            .map(|r| format!("{} ({} refused)", r.message, r.count))
            .collect::<Vec<_>>()
            .join("; ")
    }
    /// Adds another outcome to this one.
    pub fn merge(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.accepted_histograms += other.accepted_histograms;
        self.accepted_exemplars += other.accepted_exemplars;
        self.duplicates += other.duplicates;
        for r in other.rejected {
            self.reject(r.reason, r.count, || r.message);
        }
    }
}

/// Takes batches of one kind of payload. `Ok` means on disk (fsynced) and visible to queries that start
/// afterwards; `Err` means that nothing of the batch was acknowledged and its kind says whether to try again.
pub trait Write<P>: Send + Sync + 'static {
    /// Writes a batch.
    fn write(&self, batch: Batch<P>) -> BoxFuture<'_, Result<WriteOutcome>>;
}

/// The write doors of whoever takes data in: the stores in the collector, the spool in the agent.
#[derive(Clone)]
pub struct Sinks {
    /// Takes metrics.
    pub metrics: std::sync::Arc<dyn Write<crate::Metrics>>,
    /// Takes metrics as they came, for protocols whose labels need not be decoded.
    pub raw_metrics: std::sync::Arc<dyn Write<crate::RawMetrics>>,
    /// Takes logs.
    pub logs: std::sync::Arc<dyn Write<crate::Logs>>,
    /// Takes spans.
    pub spans: std::sync::Arc<dyn Write<crate::Spans>>,
}

impl Sinks {
    /// Doors of which the one for metrics wants them decoded.
    pub fn new(
        metrics: std::sync::Arc<dyn Write<crate::Metrics>>,
        logs: std::sync::Arc<dyn Write<crate::Logs>>,
        spans: std::sync::Arc<dyn Write<crate::Spans>>,
    ) -> Self {
        Self {
            raw_metrics: std::sync::Arc::new(crate::raw::Decoding(metrics.clone())),
            metrics,
            logs,
            spans,
        }
    }
}
