//! The store: all tenants behind the doors.

use crate::cache::Cache;
use crate::catalog::Cardinality;
use crate::metrics::Metrics;
use crate::options::{Options, Stats};
use crate::tenant::{Context, Tenant};
use model::{
    Answer, Batch, BoxFuture, Budget, Clock, Error, ErrorKind, Exemplar, Fs, Labels, Meter, MetricMetadata,
    NoMeter, Predicate, RawMetrics, Read, Result, Scan, ScanRequest, SeriesData, Tenant as Name, TimeRange,
    Write, WriteOutcome,
};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use storage::{LogMetrics, StoreName, Taken, layout};

/// Merges of one tenant in one [`Store::merge`]: enough to keep up, few enough to let others have their turn.
const MERGES_AT_ONCE: usize = 4;
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The metrics of all tenants. Clones share one store.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    context: Arc<Context>,
    tenants: RwLock<BTreeMap<Name, Arc<Tenant>>>,
}

impl Store {
    /// Opens the store below a data directory whose lock the caller holds; the log is replayed for every tenant
    /// that is on disk.
    ///
    /// Errors: those of the disk, and [`model::ErrorKind::Corrupt`] for a damaged manifest or a newer format.
    /// Damaged parts and log records do not keep it from opening: they are counted, logged, and shown by
    /// [`Store::stats`] and in the warnings of queries that miss them.
    pub fn open(
        fs: Arc<dyn Fs>,
        data_dir: &Path,
        options: Options,
        clock: Arc<dyn Clock>,
        meter: &dyn Meter,
    ) -> Result<Self> {
        options.check()?;
        let names = layout::tenants(fs.as_ref(), data_dir, StoreName::Metrics)?;
        let context = Arc::new(Context {
            cache: Arc::new(Cache::new(options.cache_bytes)),
            active_series: AtomicI64::new(0),
            stopping: AtomicBool::new(false),
            metrics: Metrics::new(meter),
            log_metrics: LogMetrics::new(meter, StoreName::Metrics.as_str()),
            data_dir: data_dir.to_owned(),
            fs,
            options,
            clock,
        });
        let mut tenants = BTreeMap::new();
        for name in names {
            let tenant =
                Tenant::open(&context, &name, meter).map_err(|e| e.within(format_args!("tenant {name}")))?;
            tenants.insert(name, Arc::new(tenant));
        }
        let store = Self {
            inner: Arc::new(Inner {
                context,
                tenants: RwLock::new(tenants),
            }),
        };
        store.show_stats();
        Ok(store)
    }

    /// Writes every head into parts.
    pub fn flush(&self) -> Result<()> {
        self.each(Tenant::flush)
    }
    /// Writes every head into parts, merges the parts of each day into one, and rolls up the days that are due.
    pub fn compact(&self) -> Result<()> {
        self.each(|tenant| {
            tenant.flush()?;
            tenant.merge_all()?;
            while tenant.roll_up(true)? {}
            // Rules have waited for the windows.
            tenant.clean(0).map(|_| ())
        })
    }
    /// Removes parts that are older than the retention at this time.
    pub fn enforce_retention(&self, now_ms: i64) -> Result<()> {
        self.each(|tenant| tenant.enforce_retention(now_ms))
    }
    /// Deletes what series that satisfy one of the predicates have in a range of times in milliseconds, both included,
    /// as far as it was acknowledged before; how many series there are. Nobody sees it any more when this returns;
    /// it is gone from the disk some time later, see [`Store::clean`].
    ///
    /// Errors: those of the disk, [`ErrorKind::LimitReached`] when too many deletions wait already or the budget is used up.
    pub fn delete(
        &self,
        tenant: &Name,
        predicates: &[Predicate],
        range_ms: (i64, i64),
        budget: &Budget,
    ) -> Result<u64> {
        self.tenant(tenant)
            .map_or(Ok(0), |t| t.delete(predicates, range_ms, budget))
    }
    /// Writes parts anew until nothing that was deleted, or is expired by a rule, is left on the disk.
    pub fn clean(&self) -> Result<()> {
        self.each(|tenant| tenant.clean(0).map(|_| ()))
    }
    /// What has to be done from time to time: flushes heads that are large or old, enforces the retention, forgets
    /// series that are idle, brings the gauges up to date. Blocks; call it about once a second where blocking is
    /// allowed. An error (the first one; the others are logged) leaves everything as it was, and the next call tries
    /// again. Merging is apart, in [`Store::merge`]: it may take minutes, and a head must not wait for it.
    pub fn maintain(&self) -> Result<()> {
        let now_ms = self.inner.context.clock.now_ms();
        let done = self.each(|tenant| {
            // One that fails must not keep the others from being done: a full disk is freed by the retention.
            let flushed = if tenant.wants_flush() {
                tenant.flush()
            } else {
                Ok(())
            };
            let retained = tenant.enforce_retention(now_ms);
            tenant.evict(None);
            flushed.and(retained)
        });
        let sized = self.enforce_size();
        self.show_stats();
        done.and(sized)
    }
    /// Removes the oldest days, whose ever they are, while there is too much: first samples of which there are windows.
    fn enforce_size(&self) -> Result<()> {
        let Some(limit) = self.inner.context.options.retention_bytes else {
            return Ok(());
        };
        loop {
            let stats = self.stats();
            if stats.part_bytes + stats.catalog_bytes + stats.log_bytes <= limit {
                return Ok(());
            }
            let tenants = self.all();
            let oldest = tenants.iter().filter_map(|t| Some((t.oldest()?, t)));
            let Some((oldest, tenant)) = oldest.min_by_key(|(oldest, _)| *oldest) else {
                return Ok(());
            };
            tenant.remove_oldest(oldest)?;
        }
    }
    /// Merges parts and segments of the catalog where it is worth it, a few for each tenant, and rolls up a day that is
    /// due; whether anything was done. Blocks, for minutes where there is much; writes, flushes and reads go on meanwhile.
    pub fn merge(&self) -> Result<bool> {
        let did = AtomicBool::new(false);
        self.each(|tenant| {
            for _ in 0..MERGES_AT_ONCE {
                if !tenant.merge_some()? {
                    break;
                }
                did.store(true, Ordering::Relaxed);
            }
            if tenant.roll_up(false)? {
                did.store(true, Ordering::Relaxed);
            }
            Ok(())
        })?;
        Ok(did.into_inner())
    }
    /// Takes everything into a data directory that is being built, see [`storage::Snapshots::create`]; nothing else
    /// may write there. What was acknowledged before the call is in it; with `skip_head` only what was flushed before.
    /// Writes, flushes, merges and reads go on meanwhile.
    ///
    /// Errors: those of the disk, and [`model::ErrorKind::Corrupt`] when a part is missing. What was built up to then
    /// is of no use; the store is as before.
    pub fn snapshot(&self, to: &Path, skip_head: bool) -> Result<Taken> {
        let mut taken = Taken::default();
        for tenant in self.all() {
            let name = tenant.name();
            let of_tenant = tenant.snapshot(to, !skip_head);
            taken += of_tenant.map_err(|e| e.within(format_args!("tenant {name}")))?;
        }
        Ok(taken)
    }
    /// What senders said of a tenant's metric families, by name.
    pub fn metadata(&self, tenant: &Name) -> Vec<MetricMetadata> {
        self.tenant(tenant).map(|t| t.metadata()).unwrap_or_default()
    }
    /// The exemplars of all series that satisfy one of the predicates in a range of times: series sorted by labels, each
    /// with what it has in the order of time.
    ///
    /// Errors: those of the disk and of the budget.
    pub fn exemplars(
        &self,
        tenant: &Name,
        predicates: &[Predicate],
        range: TimeRange,
        budget: &Budget,
    ) -> Result<Vec<(Labels, Vec<Exemplar>)>> {
        let range_ms = (range.start_ms(), range.end_ms());
        self.tenant(tenant)
            .map_or(Ok(Vec::new()), |t| t.exemplars(predicates, range_ms, budget))
    }
    /// What a tenant has much of, the `limit` largest of each kind: for whoever looks for the cause of too many series.
    /// Reads the catalog from disk where it is not in memory.
    pub fn cardinality(&self, tenant: &Name, limit: usize) -> Result<Cardinality> {
        self.tenant(tenant)
            .map_or_else(|| Ok(Cardinality::default()), |t| t.cardinality(limit))
    }
    /// What a tenant holds right now.
    pub fn tenant_stats(&self, tenant: &Name) -> Stats {
        let mut stats = Stats::default();
        if let Some(tenant) = self.tenant(tenant) {
            tenant.add_stats(&mut stats);
        }
        stats
    }
    /// The tenants that have metrics, sorted.
    pub fn tenants(&self) -> Vec<Name> {
        self.read_tenants().keys().cloned().collect()
    }
    /// What the store holds right now.
    pub fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        self.all().iter().for_each(|tenant| tenant.add_stats(&mut stats));
        stats
    }
    /// Commits what is queued and closes the logs. Later writes are refused, reads go on.
    pub fn close(&self) -> Result<()> {
        self.inner.context.stopping.store(true, Ordering::Relaxed);
        self.each(Tenant::close)
    }

    /// Does something for every tenant; the first error is returned once all have had their turn.
    fn each(&self, act: impl Fn(&Tenant) -> Result<()>) -> Result<()> {
        let mut outcome = Ok(());
        for tenant in self.all() {
            let done = act(&tenant);
            if outcome.is_ok() {
                outcome = done;
            } else if let Err(e) = done {
                tracing::warn!(error = %e, "a tenant of the metrics store could not be maintained");
            }
        }
        outcome
    }
    fn all(&self) -> Vec<Arc<Tenant>> {
        self.read_tenants().values().cloned().collect()
    }
    fn tenant(&self, name: &Name) -> Option<Arc<Tenant>> {
        self.read_tenants().get(name).cloned()
    }
    fn read_tenants(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<Name, Arc<Tenant>>> {
        self.inner.tenants.read().unwrap_or_else(PoisonError::into_inner)
    }
    fn tenant_for_write(&self, name: &Name) -> Result<Arc<Tenant>> {
        if let Some(tenant) = self.tenant(name) {
            return Ok(tenant);
        }
        let mut tenants = self.inner.tenants.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(tenant) = tenants.get(name) {
            return Ok(tenant.clone());
        }
        let limit = self.inner.context.options.limits.max_tenants;
        if tenants.len() >= limit {
            return Err(Error::limit(format!(
                "tenant {name} would be one more than {limit} (limits.ingest.max_tenants)"
            )));
        }
        // Leftovers of a tenant that was not there at start do not exist, so nobody has to count them.
        let tenant = Tenant::open(&self.inner.context, name, &NoMeter).map_err(|e| match e.kind() {
            // A disk that fails or is full now may not be so at the next try.
            ErrorKind::Internal => Error::unavailable(e.message().to_owned(), RETRY_AFTER),
            _ => e,
        })?;
        let tenant = Arc::new(tenant);
        tenants.insert(name.clone(), tenant.clone());
        Ok(tenant)
    }

    fn show_stats(&self) {
        let (stats, metrics) = (self.stats(), &self.inner.context.metrics);
        let set = |gauge: &model::Gauge, value: u64| gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        set(&metrics.head_series, stats.head_series);
        set(&metrics.catalog_series, stats.catalog_series);
        set(&metrics.head_samples, stats.head_samples);
        set(&metrics.head_bytes, stats.head_bytes);
        set(&metrics.cache_bytes, self.inner.context.cache.used_bytes() as u64);
        set(&metrics.parts, stats.parts as u64);
        set(&metrics.part_bytes, stats.part_bytes);
        set(&metrics.tombstones, stats.tombstones as u64);
        set(&metrics.unreadable_parts, stats.unreadable.len() as u64);
    }
}

impl Write<RawMetrics> for Store {
    fn write(&self, batch: Batch<RawMetrics>) -> BoxFuture<'_, Result<WriteOutcome>> {
        Box::pin(async move { self.tenant_for_write(&batch.tenant)?.write(batch).await })
    }
}

impl Write<model::Metrics> for Store {
    fn write(&self, batch: Batch<model::Metrics>) -> BoxFuture<'_, Result<WriteOutcome>> {
        Box::pin(async move {
            let batch = Batch {
                tenant: batch.tenant,
                origin: batch.origin,
                payload: RawMetrics::try_from(batch.payload)?,
            };
            self.tenant_for_write(&batch.tenant)?.write(batch).await
        })
    }
}

impl Read<SeriesData> for Store {
    fn scan(&self, request: &ScanRequest) -> Result<Scan<SeriesData>> {
        let batches = match self.tenant(&request.tenant) {
            Some(tenant) => tenant.scan(request)?,
            None => Box::new(std::iter::empty()),
        };
        Ok(Scan {
            predicates: vec![Answer::Exact; request.predicate.leaves().len()],
            aggregate: Answer::NotDone,
            batches,
        })
    }
    fn label_names(&self, request: &ScanRequest) -> Result<Vec<String>> {
        self.tenant(&request.tenant)
            .map_or(Ok(Vec::new()), |t| t.label_names(request))
    }
    fn label_values(&self, request: &ScanRequest, name: &str) -> Result<Vec<String>> {
        self.tenant(&request.tenant)
            .map_or(Ok(Vec::new()), |t| t.label_values(request, name))
    }
    fn series(&self, request: &ScanRequest) -> Result<Vec<Labels>> {
        self.tenant(&request.tenant)
            .map_or(Ok(Vec::new()), |t| t.series(request))
    }
}

#[cfg(test)]
mod tests;
