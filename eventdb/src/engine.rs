//! What logs and traces share: tenants, the way through the log into the head, flush, merge, retention.
//!
//! A [`Signal`] says what a record, a head and a part of its kind look like; everything about durability, order
//! and files is here. A write is validated, encoded, made durable by the log's committer and applied to the head
//! in log order. A flush freezes the head, writes it to parts by day, and names them in the manifest together
//! with the log position up to which they hold everything. Part files are removed when nobody reads them.

mod factory;
mod merge;
mod part;
mod tenant;

pub(crate) use factory::PartFactory;
pub(crate) use part::{Part, PartMeta, day_of};
pub(crate) use tenant::{Snapshot, TenantStore};

use crate::codec::Decoder;
use crate::metrics::StoreMetrics;
use crate::{Options, Stats};
use model::{Batch, Clock, Error, Fs, Meter, Result, Tenant, WriteOutcome};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use storage::{LogMetrics, PartKind, StoreName, Taken, layout};

/// What was done with the items of one payload.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Applied {
    pub(crate) accepted: u64,
    pub(crate) duplicates: u64,
}

/// Data in memory, not yet in a part.
pub(crate) trait Head: Default + Send + Sync + 'static {
    /// What comes in.
    type Payload;
    /// Takes a payload; `before` is the head that is being flushed. Must depend on nothing but the arguments and
    /// what was applied before, because replay after a crash calls it again.
    fn apply(&mut self, before: Option<&Self>, payload: Self::Payload, from_agent: bool) -> Applied;
    /// Whether nothing was applied.
    fn is_empty(&self) -> bool;
    /// Entries or spans.
    fn rows(&self) -> u64;
    /// Bytes of memory, roughly.
    fn bytes(&self) -> usize;
}

/// One kind of data: log entries or spans.
pub(crate) trait Signal: Send + Sync + Sized + 'static {
    /// Names paths and metrics.
    const STORE: StoreName;
    /// Tag and newest version of the part files.
    const PART: PartKind;
    /// The version of the log records' payload.
    const RECORD_VERSION: u8;
    /// What comes in.
    type Payload: Send + 'static;
    /// Where it is kept at first.
    type Head: Head<Payload = Self::Payload>;

    /// Items of a payload.
    fn count(payload: &Self::Payload) -> u64;
    /// Appends the bytes of a record.
    fn encode(payload: &Self::Payload, out: &mut Vec<u8>);
    /// Reads them.
    fn decode(decoder: &mut Decoder<'_>) -> Result<Self::Payload>;
    /// Refuses what is over a limit, too old or too new, and counts it.
    fn validate(&self, context: &Context, head: &Self::Head, payload: &mut Self::Payload) -> WriteOutcome;
    /// Writes everything of a head to new parts, each of one day. `existing` are the parts so far.
    fn write_parts(
        self: &Arc<Self>,
        context: &Arc<Context>,
        factory: &mut PartFactory,
        head: &Self::Head,
        existing: &[Arc<Part>],
    ) -> Result<()>;
    /// Writes neighbouring parts of one day into one new part, in order of arrival.
    fn merge_parts(
        self: &Arc<Self>,
        context: &Arc<Context>,
        factory: &mut PartFactory,
        parts: &[Arc<Part>],
    ) -> Result<()>;
    /// Forgets what is cached of a part.
    fn forget(&self, part: u64);
}

/// What is handed in, once for all tenants of a store.
pub(crate) struct Context {
    pub(crate) fs: Arc<dyn Fs>,
    pub(crate) data_dir: PathBuf,
    pub(crate) options: Options,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: StoreMetrics,
    pub(crate) log_metrics: LogMetrics,
    /// Sentences about damage, each once, at most [`MAX_DAMAGE_NOTES`].
    damaged: Mutex<Vec<String>>,
}

/// The damage that [`Stats`] tells in words; all of it is counted.
const MAX_DAMAGE_NOTES: usize = 100;

impl Context {
    /// Counts and logs damage, the same sentence once.
    pub(crate) fn note_damage(&self, e: &Error) {
        let mut notes = self.damaged.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.iter().any(|n| n == e.message()) {
            return;
        }
        self.metrics.damaged.inc();
        tracing::error!(error = %e, "stored data is damaged; the rest goes on without it");
        if notes.len() < MAX_DAMAGE_NOTES {
            notes.push(e.message().to_owned());
        }
    }
    fn damage_notes(&self) -> Vec<String> {
        self.damaged
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
    /// The oldest time that is kept, in nanoseconds.
    pub(crate) fn oldest_kept_ns(&self, now_ns: i64) -> i64 {
        let keep_ns = self
            .options
            .retention_ms
            .and_then(|ms| i64::try_from(ms).ok()?.checked_mul(1_000_000));
        keep_ns.map_or(i64::MIN, |keep| now_ns.saturating_sub(keep))
    }
    /// The newest time that is taken, in nanoseconds.
    pub(crate) fn newest_taken_ns(&self, now_ns: i64) -> i64 {
        let ahead = i64::try_from(self.options.limits.max_future_ms).unwrap_or(i64::MAX);
        now_ns.saturating_add(ahead.saturating_mul(1_000_000))
    }
}

type Tenants<S> = BTreeMap<Tenant, Arc<TenantStore<S>>>;

/// All tenants of one store.
pub(crate) struct Engine<S: Signal> {
    pub(crate) context: Arc<Context>,
    pub(crate) signal: Arc<S>,
    tenants: RwLock<Tenants<S>>,
}

impl<S: Signal> Engine<S> {
    pub(crate) fn open(
        signal: S,
        fs: Arc<dyn Fs>,
        data_dir: &Path,
        options: Options,
        clock: Arc<dyn Clock>,
        meter: &dyn Meter,
    ) -> Result<Self> {
        let context = Arc::new(Context {
            data_dir: data_dir.to_owned(),
            options,
            clock,
            metrics: StoreMetrics::new(meter, S::STORE.as_str()),
            log_metrics: LogMetrics::new(meter, S::STORE.as_str()),
            damaged: Mutex::default(),
            fs,
        });
        let signal = Arc::new(signal);
        let mut tenants = Tenants::new();
        for tenant in layout::tenants(context.fs.as_ref(), data_dir, S::STORE)? {
            let store = TenantStore::open(&context, &signal, &tenant, Some(meter))?;
            tenants.insert(tenant, Arc::new(store));
        }
        Ok(Self {
            context,
            signal,
            tenants: RwLock::new(tenants),
        })
    }
    fn tenants(&self) -> RwLockReadGuard<'_, Tenants<S>> {
        self.tenants.read().unwrap_or_else(PoisonError::into_inner)
    }
    fn all(&self) -> Vec<Arc<TenantStore<S>>> {
        self.tenants().values().cloned().collect()
    }
    /// A tenant that has written before.
    pub(crate) fn tenant(&self, tenant: &Tenant) -> Option<Arc<TenantStore<S>>> {
        self.tenants().get(tenant).cloned()
    }
    fn tenant_or_new(&self, tenant: &Tenant) -> Result<Arc<TenantStore<S>>> {
        if let Some(store) = self.tenant(tenant) {
            return Ok(store);
        }
        let mut tenants = self.tenants.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = tenants.get(tenant) {
            return Ok(Arc::clone(store));
        }
        let limit = self.context.options.limits.max_tenants;
        if tenants.len() >= limit {
            return Err(Error::limit(format!(
                "tenant {tenant} is not taken: there are {limit} tenants already (limits.ingest.max_tenants)"
            )));
        }
        let store = Arc::new(TenantStore::open(&self.context, &self.signal, tenant, None)?);
        tenants.insert(tenant.clone(), Arc::clone(&store));
        Ok(store)
    }
    pub(crate) async fn write(&self, batch: Batch<S::Payload>) -> Result<WriteOutcome> {
        let store = self.tenant_or_new(&batch.tenant)?;
        let outcome = store.write(batch.origin, batch.payload).await?;
        self.context.metrics.accepted.add(outcome.accepted);
        self.context.metrics.duplicates_written.add(outcome.duplicates);
        self.context.metrics.count_rejected(&outcome);
        Ok(outcome)
    }
    /// Does something for every tenant; all get their turn, the first error is told.
    fn each(&self, mut f: impl FnMut(&TenantStore<S>) -> Result<()>) -> Result<()> {
        let mut result = Ok(());
        for store in self.all() {
            let done = f(&store);
            result = result.and(done);
        }
        self.stats();
        result
    }
    pub(crate) fn flush(&self) -> Result<()> {
        self.each(TenantStore::flush)
    }
    pub(crate) fn compact(&self) -> Result<()> {
        self.each(TenantStore::compact)
    }
    pub(crate) fn snapshot(&self, to: &Path, skip_head: bool) -> Result<Taken> {
        let mut taken = Taken::default();
        for store in self.all() {
            taken += store.take(to, !skip_head)?;
        }
        Ok(taken)
    }
    pub(crate) fn enforce_retention(&self, now_ns: i64) -> Result<()> {
        let oldest = self.context.oldest_kept_ns(now_ns);
        self.each(|store| store.expire(oldest))
    }
    pub(crate) fn maintain(&self) -> Result<()> {
        let oldest = self.context.oldest_kept_ns(self.context.clock.now_ns());
        self.each(|store| {
            store.expire(oldest)?;
            if store.wants_flush() {
                store.flush()?;
            }
            store.merge_some()
        })
    }
    /// Flushes, so that the next start is fast, and closes the logs. What a failed flush leaves is in the log.
    pub(crate) fn close(&self) -> Result<()> {
        self.each(|store| {
            if let Err(e) = store.flush() {
                tracing::warn!(error = %e, "not flushed at the end; the next start replays the log");
            }
            store.close()
        })
    }
    pub(crate) fn stats(&self) -> Stats {
        let mut stats = Stats {
            damaged: self.context.damage_notes(),
            ..Stats::default()
        };
        self.all().iter().for_each(|store| store.add_stats(&mut stats));
        let gauge = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        self.context.metrics.head_bytes.set(gauge(stats.head_bytes));
        self.context.metrics.part_bytes.set(gauge(stats.part_bytes));
        self.context.metrics.parts.set(gauge(stats.parts as u64));
        stats
    }
}
