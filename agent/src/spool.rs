//! The spool: what was collected or received waits on disk until the collector has acknowledged it.
//!
//! Four queues, each a write-ahead log of `storage` under `<data>/agent/spool/<queue>`: `own` for the metrics that
//! this agent collects, and `metrics`, `logs` and `spans` for everything else. A write is acknowledged once it is on
//! disk ([`queue`]). One sender per queue posts the batches in order ([`sender`]); a batch is removed once the
//! collector has acknowledged it.
//!
//! Each batch goes out with this agent's id, the queue's epoch and name, and a sequence that is the batch's place
//! in the log. If an answer is lost, or the agent dies before it remembers an answer, the same batch goes out under
//! the same sequence, and the collector recognises it.
//!
//! The spool is bounded by bytes. When it is full, writes are answered `Unavailable`, so that log files wait where
//! they are and clients try again; only the queue `own` makes room by dropping its oldest batches, because
//! yesterday's samples are worth less than today's. What is dropped is counted.

mod payload;
pub mod queue;
pub mod sender;

use crate::counters::Counters;
use crate::id::AgentId;
use model::{Batch, BoxFuture, Fs, Logs, Metrics, Result, Sinks, Spans, Write, WriteOutcome};
use queue::{Budget, Queue, QueueOptions, WhenFull};
use std::path::Path;
use std::sync::Arc;
use storage::CommitOptions;

/// How large the spool may get, and how it works.
#[derive(Debug, Clone)]
pub struct SpoolOptions {
    /// Bytes on disk, all queues together.
    pub max_bytes: u64,
    /// How writes are committed.
    pub commit: CommitOptions,
}

/// An open spool. Clones share it.
#[derive(Clone)]
pub struct Spool {
    own: Arc<Queue>,
    metrics: Arc<Queue>,
    logs: Arc<Queue>,
    spans: Arc<Queue>,
}

impl Spool {
    /// Opens the spool below `dir`, which is created. What was not acknowledged before is there again.
    pub fn open(
        fs: &Arc<dyn Fs>,
        dir: &Path,
        options: &SpoolOptions,
        agent: &AgentId,
        counters: &Arc<Counters>,
    ) -> Result<Self> {
        let budget = Arc::new(Budget::new(options.max_bytes));
        let open = |name: &'static str, when_full| {
            let queue = QueueOptions {
                name,
                when_full,
                segment_bytes: budget.segment_bytes(),
                commit: options.commit.clone(),
            };
            let dir = dir.join("spool").join(name);
            Queue::open(fs.clone(), &dir, queue, agent, budget.clone(), counters.clone()).map(Arc::new)
        };
        Ok(Self {
            own: open("own", WhenFull::DropOldest)?,
            metrics: open("metrics", WhenFull::Refuse)?,
            logs: open("logs", WhenFull::Refuse)?,
            spans: open("spans", WhenFull::Refuse)?,
        })
    }
    /// The doors for what the agent itself collects.
    pub fn own_sinks(&self) -> Sinks {
        self.sinks(&self.own)
    }
    /// The doors for what others send.
    pub fn relay_sinks(&self) -> Sinks {
        self.sinks(&self.metrics)
    }
    fn sinks(&self, metrics: &Arc<Queue>) -> Sinks {
        Sinks::new(
            Arc::new(Door(metrics.clone())),
            Arc::new(Door(self.logs.clone())),
            Arc::new(Door(self.spans.clone())),
        )
    }
    /// All queues, for their senders.
    pub fn queues(&self) -> [Arc<Queue>; 4] {
        [
            self.own.clone(),
            self.metrics.clone(),
            self.logs.clone(),
            self.spans.clone(),
        ]
    }
    /// Batches that wait.
    pub fn waiting(&self) -> usize {
        self.queues().iter().map(|q| q.len()).sum()
    }
    /// Commits what is under way and remembers what was acknowledged. Blocks.
    pub fn close(&self) -> Result<()> {
        self.queues().iter().try_for_each(|queue| queue.close())
    }
}

/// A queue as a write door.
struct Door(Arc<Queue>);

impl Write<Metrics> for Door {
    fn write(&self, batch: Batch<Metrics>) -> BoxFuture<'_, Result<WriteOutcome>> {
        Box::pin(self.0.write(batch))
    }
}
impl Write<Logs> for Door {
    fn write(&self, batch: Batch<Logs>) -> BoxFuture<'_, Result<WriteOutcome>> {
        Box::pin(self.0.write(batch))
    }
}
impl Write<Spans> for Door {
    fn write(&self, batch: Batch<Spans>) -> BoxFuture<'_, Result<WriteOutcome>> {
        Box::pin(self.0.write(batch))
    }
}

#[cfg(test)]
mod tests;
