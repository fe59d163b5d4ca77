//! The way into the store: batches of bounded size, upkeep between them.

use model::{
    Batch, Clock, Error, ErrorKind, MetricMetadata, Metrics, Result, Series, Tenant, Write as _, WriteOutcome,
};
use std::collections::HashSet;
use std::sync::Arc;

/// Samples of a batch, a histogram counted as its numbers: a log record of about a megabyte.
const BATCH_SAMPLES: usize = 50_000;
/// Series of a batch.
const BATCH_SERIES: usize = 10_000;
/// Time between two rounds of upkeep.
const UPKEEP_NS: u64 = 1_000_000_000;

/// Gathers batches and writes them.
pub(super) struct Writer {
    store: tsdb::Store,
    runtime: tokio::runtime::Runtime,
    tenant: Tenant,
    clock: Arc<dyn Clock>,
    upkeep_at_ns: u64,
    batch: Metrics,
    batch_samples: usize,
    outcome: WriteOutcome,
    /// Hashes of the identities of all series.
    series: HashSet<u64>,
}

impl Writer {
    pub(super) fn new(store: tsdb::Store, tenant: Tenant, clock: Arc<dyn Clock>) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Error::internal(format!("no thread to write from: {e}")))?;
        Ok(Self {
            store,
            runtime,
            tenant,
            upkeep_at_ns: clock.monotonic_ns() + UPKEEP_NS,
            clock,
            batch: Metrics::default(),
            batch_samples: 0,
            outcome: WriteOutcome::default(),
            series: HashSet::new(),
        })
    }
    /// What the store said so far.
    pub(super) fn outcome(&self) -> &WriteOutcome {
        &self.outcome
    }
    /// How many different series came by.
    pub(super) fn series(&self) -> u64 {
        self.series.len() as u64
    }
    /// Takes samples of a series. They are written when enough have gathered.
    pub(super) fn push(&mut self, series: Series) -> Result<()> {
        self.series.insert(series.labels.hash());
        self.batch_samples += weight(&series);
        self.batch.series.push(series);
        if self.batch_samples >= BATCH_SAMPLES || self.batch.series.len() >= BATCH_SERIES {
            self.write()?;
        }
        Ok(())
    }
    /// Takes what is known of a family.
    pub(super) fn describe(&mut self, metadata: MetricMetadata) {
        self.batch.metadata.push(metadata);
    }
    /// Writes what has gathered.
    pub(super) fn finish(&mut self) -> Result<()> {
        if self.batch.series.is_empty() && self.batch.metadata.is_empty() {
            return Ok(());
        }
        self.write()
    }

    fn write(&mut self) -> Result<()> {
        let batch = Batch::new(self.tenant.clone(), std::mem::take(&mut self.batch));
        self.batch_samples = 0;
        let first = self.runtime.block_on(self.store.write(batch.clone()));
        let outcome = match first {
            // Memory is full: a flush makes room.
            Err(e) if e.kind() == ErrorKind::Unavailable => {
                self.store.flush()?;
                self.runtime.block_on(self.store.write(batch))?
            }
            first => first?,
        };
        self.outcome.merge(outcome);
        if self.clock.monotonic_ns() >= self.upkeep_at_ns {
            self.store.maintain()?;
            self.upkeep_at_ns = self.clock.monotonic_ns() + UPKEEP_NS;
        }
        Ok(())
    }
}

/// How many samples a series counts for in a batch.
pub(super) fn weight(series: &Series) -> usize {
    let histograms = series.histograms.iter().map(|h| {
        let h = &h.histogram;
        8 + 2 * (h.positive.len() + h.negative.len()) + h.custom_bounds.len()
    });
    series.samples.len() + histograms.sum::<usize>()
}

/// Whether a series should be handed over before it grows more.
pub(super) fn is_large(series: &Series) -> bool {
    weight(series) >= BATCH_SAMPLES
}
