//! The three stores over one data directory, their upkeep, and the doors that the rest of the program uses.

mod snapshot;

use crate::config::{Config, Durability};
use model::{Clock, Error, Meter, Result, Sinks};
use std::sync::Arc;
use std::time::Duration;
use storage::{DataDir, LogOptions, Snapshots};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

/// The stores. Cloning shares them.
#[derive(Clone)]
pub struct Stores {
    /// Metrics.
    pub metrics: Arc<tsdb::Store>,
    /// Logs.
    pub logs: Arc<eventdb::LogStore>,
    /// Traces.
    pub traces: Arc<eventdb::TraceStore>,
    snapshots: Arc<Snapshots>,
    clock: Arc<dyn Clock>,
    /// Holds the data directory's lock.
    _data: Arc<DataDir>,
}

impl Stores {
    /// Opens all three, replaying what their logs hold. Blocks on the disk.
    pub fn open(config: &Config, data: DataDir, clock: &Arc<dyn Clock>, meter: &dyn Meter) -> Result<Self> {
        let log = LogOptions {
            durability: match config.durability {
                Durability::Fsync => storage::Durability::Disk,
                Durability::Memory => storage::Durability::Memory,
            },
            ..LogOptions::default()
        };
        let limits = &config.limits.ingest;
        let (fs, root) = (data.fs(), data.root());
        let of_metrics = tsdb::Options {
            limits: limits.clone(),
            retention_ms: Some(ms(config.retention.metrics)),
            retention_rules: config.retention.rules()?,
            retention_bytes: config.retention.metrics_max_bytes,
            rollups: config.retention.rolled_up().map(rollup).collect(),
            log: log.clone(),
            ..tsdb::Options::default()
        };
        let of_events = |retention: Duration| eventdb::Options {
            limits: limits.clone(),
            retention_ms: Some(ms(retention)),
            log: log.clone(),
            ..eventdb::Options::default()
        };
        let (logs, traces) = (
            of_events(config.retention.logs),
            of_events(config.retention.traces),
        );
        Ok(Self {
            metrics: Arc::new(tsdb::Store::open(
                fs.clone(),
                root,
                of_metrics,
                clock.clone(),
                meter,
            )?),
            logs: Arc::new(eventdb::LogStore::open(
                fs.clone(),
                root,
                logs,
                clock.clone(),
                meter,
            )?),
            traces: Arc::new(eventdb::TraceStore::open(
                fs.clone(),
                root,
                traces,
                clock.clone(),
                meter,
            )?),
            snapshots: Arc::new(Snapshots::open(fs.clone(), root, config.limits.max_snapshots)),
            clock: clock.clone(),
            _data: Arc::new(data),
        })
    }
    /// The write doors.
    pub fn sinks(&self) -> Sinks {
        Sinks {
            raw_metrics: self.metrics.clone(),
            ..Sinks::new(self.metrics.clone(), self.logs.clone(), self.traces.clone())
        }
    }
    /// Flushes, merges (logs and traces) and forgets what is due, every second, until the token is cancelled.
    pub async fn maintain(self, shutdown: CancellationToken) {
        let mut due = tokio::time::interval(MAINTENANCE);
        due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = due.tick() => {}
            }
            let stores = self.clone();
            let work = spawn_blocking(move || {
                for (store, result) in [
                    ("metrics", stores.metrics.maintain()),
                    ("logs", stores.logs.maintain()),
                    ("traces", stores.traces.maintain()),
                ] {
                    if let Err(e) = result {
                        tracing::warn!(store, "upkeep failed and will be tried again: {e}");
                    }
                }
            });
            if let Err(e) = work.await {
                tracing::error!("upkeep ended in a bug: {e}");
            }
        }
    }
    /// Merges the parts of the metrics store when it is worth it, until the token is cancelled. Apart from the other
    /// upkeep, because a merge may take minutes and nothing must wait for it.
    pub async fn merge(self, shutdown: CancellationToken) {
        let mut due = tokio::time::interval(MAINTENANCE);
        due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = due.tick() => {}
            }
            let metrics = self.metrics.clone();
            match spawn_blocking(move || metrics.merge()).await {
                Ok(Ok(_)) => {}
                Ok(Err(e)) => tracing::warn!("merging failed and will be tried again: {e}"),
                Err(e) => tracing::error!("merging ended in a bug: {e}"),
            }
        }
    }
    /// Seals and merges everything in all stores.
    pub async fn compact(&self) -> Result<()> {
        let stores = self.clone();
        let work = spawn_blocking(move || {
            stores.metrics.compact()?;
            stores.logs.compact()?;
            stores.traces.compact()
        });
        work.await
            .map_err(|e| Error::internal(format!("compaction ended in a bug: {e}")))?
    }
    /// Closes the stores; what was acknowledged is on disk already. Blocks on the disk.
    pub fn close(&self) -> Result<()> {
        self.metrics.close()?;
        self.logs.close()?;
        self.traces.close()
    }
}

/// Time between two rounds of upkeep.
const MAINTENANCE: Duration = Duration::from_secs(1);

fn rollup((width, _, kept): (Duration, &str, Duration)) -> tsdb::Rollup {
    tsdb::Rollup {
        resolution_ms: ms(width),
        retention_ms: ms(kept),
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
