//! One tenant's store: log, directory, head, catalog, parts.
//!
//! A write is resolved (whose series are these?), written to the log and then applied to the head, in log order;
//! start-up applies the log again. A flush freezes the head and writes it to parts while writes go on in a new one; the
//! manifest then names the parts and the log position up to which they hold everything. Within a partition of time
//! parts are ordered by generation, so that the sample that was acknowledged later wins wherever the two came to lie.
//!
//! Locks are taken in this order: manifest, directory, state. None is held while a record is on its way to the disk.

mod delete;
mod exemplars;
mod fallback;
mod flush;
mod intake;
mod merge;
mod replay;
mod retention;
mod rollup;
mod scan;
mod sieve;
mod snapshot;
mod sweep;

#[cfg(test)]
pub(crate) use rollup::Oldest;

use crate::cache::Cache;
use crate::catalog::{Cardinality, Catalog, SegmentEntry};
use crate::directory::{Directory, SeriesId};
use crate::head::{Head, Put};
use crate::idset::IdSet;
use crate::metrics::Metrics;
use crate::options::{Options, Stats};
use crate::record;
use crate::samples::{Part, PartMeta};
use crate::tombstones::{Tombstone, TombstoneEntry};
use model::{Clock, Error, Fs, Meter, MetricMetadata, Result, Tenant as Name, WriteOutcome};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use storage::{GroupCommit, Log, LogMetrics, Manifest, Position, Sequences, Span, StoreName, layout};

/// What all tenants of a store share.
pub(crate) struct Context {
    pub fs: Arc<dyn Fs>,
    pub data_dir: PathBuf,
    pub options: Options,
    pub clock: Arc<dyn Clock>,
    pub metrics: Metrics,
    pub log_metrics: LogMetrics,
    pub cache: Arc<Cache>,
    /// Active series of all tenants.
    pub active_series: AtomicI64,
    /// Set when the store closes, so that a merge ends early.
    pub stopping: AtomicBool,
}

impl Context {
    /// Seconds on the monotonic clock.
    fn now_s(&self) -> u32 {
        (self.clock.monotonic_ns() / 1_000_000_000) as u32
    }
}

/// The version of the log record, of the parts and of what the manifest keeps.
const ENCODING: u32 = 2;

/// What the manifest keeps besides the parts.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Kept {
    /// The version of what is kept here and of the parts.
    #[serde(default)]
    encoding: u32,
    sequences: Sequences,
    families: Vec<Family>,
    /// The segments of the catalog.
    #[serde(default)]
    catalog: Vec<SegmentEntry>,
    /// Ids below this one may be in use.
    #[serde(default)]
    next_series: SeriesId,
    /// Deletions that some part lacks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tombstones: Vec<TombstoneEntry>,
    /// Days whose windows are made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    rolled_up: Vec<rollup::Built>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Family {
    name: String,
    #[serde(rename = "type")]
    metric_type: model::MetricType,
    help: String,
    unit: String,
}

type TenantManifest = Manifest<PartMeta, Kept>;

/// What writes change and reads look at.
struct State {
    head: Head,
    /// When the head got its first record.
    head_since_ns: Option<u64>,
    /// The end of the last record applied.
    applied: Position,
    sequences: Sequences,
    families: BTreeMap<String, MetricMetadata>,
    /// The head that is on its way into parts.
    frozen: Option<Arc<Frozen>>,
    /// By resolution, then by partition, then by generation.
    parts: Arc<Vec<Arc<Part>>>,
    /// Deletions that some part lacks, by number.
    tombstones: Arc<Vec<Arc<Tombstone>>>,
}

/// A head that takes no more writes, and what belongs into the manifest with it.
struct Frozen {
    head: Head,
    position: Position,
    sequences: Sequences,
    families: Vec<Family>,
}

/// A record on its way through the committer.
struct Write {
    batch: record::Batch,
    outcome: WriteOutcome,
}

/// The active series and the id that the next one gets.
struct Active {
    directory: Directory,
    next_series: SeriesId,
    /// Series that the catalog is losing or has lost lately, because nothing was left of them: one that comes again
    /// gets a new id, whatever a look at the catalog before said.
    dying: IdSet,
}

/// One tenant.
pub(crate) struct Tenant {
    context: Arc<Context>,
    name: Name,
    dir: PathBuf,
    catalog: Catalog,
    active: Arc<RwLock<Active>>,
    state: Arc<RwLock<State>>,
    commit: GroupCommit<Write, WriteOutcome>,
    /// Held by whoever changes the set of parts.
    manifest: Mutex<TenantManifest>,
    /// Held by whoever merges: one at a time, without keeping a flush from its work.
    merging: Mutex<()>,
    /// Whether parts lost series since the catalog was swept.
    wants_sweep: AtomicBool,
    /// Days that wait to be rolled up.
    waiting: Mutex<rollup::Waiting>,
}

impl Tenant {
    /// Opens a tenant's data, or starts it anew.
    pub(crate) fn open(context: &Arc<Context>, name: &Name, meter: &dyn Meter) -> Result<Self> {
        let dir = layout::store_dir(&context.data_dir, name, StoreName::Metrics);
        let fs = context.fs.as_ref();
        let manifest = TenantManifest::load(fs, &dir)?;
        check_encoding(&manifest, &dir)?;
        let segments = manifest.state.catalog.iter().map(|s| s.id);
        let tombstones = manifest.state.tombstones.iter().map(|t| t.id);
        let others: Vec<u64> = segments.chain(tombstones).collect();
        manifest.remove_leftovers(fs, &dir, &others, StoreName::Metrics, meter)?;
        let catalog = Catalog::open(
            context.fs.clone(),
            dir.clone(),
            &manifest.state.catalog,
            context.cache.clone(),
        )?;
        let parts = open_parts(fs, &dir, &manifest, &context.cache)?;
        let tombstones = delete::open_tombstones(fs, &dir, &manifest)?;
        let mut replay = replay::Replay::new(context, &catalog, &manifest, parts, tombstones);
        let (log, _) = Log::open(
            context.fs.clone(),
            &layout::wal_dir(&context.data_dir, name, StoreName::Metrics),
            context.options.log.clone(),
            context.log_metrics.clone(),
            manifest.log_position,
            &mut |span, r| replay.record(span, r.kind, r.version, r.payload),
        )?;
        let (active, state) = replay.finish();
        context
            .active_series
            .fetch_add(active.directory.len() as i64, Ordering::Relaxed);
        let (active, state) = (Arc::new(RwLock::new(active)), Arc::new(RwLock::new(state)));
        let (of_committer, applied, shared) = (active.clone(), state.clone(), context.clone());
        let apply = move |span: Span, write: Write| commit(&of_committer, &applied, &shared, span, write);
        let commit = GroupCommit::start(
            log,
            &format!("metrics {name}"),
            context.options.commit.clone(),
            apply,
        )?;
        Ok(Self {
            context: context.clone(),
            name: name.clone(),
            dir,
            catalog,
            active,
            state,
            commit,
            manifest: Mutex::new(manifest),
            merging: Mutex::new(()),
            wants_sweep: AtomicBool::new(false),
            waiting: Mutex::default(),
        })
    }

    /// What senders said of their metric families, by name.
    pub(crate) fn metadata(&self) -> Vec<MetricMetadata> {
        self.state().families.values().cloned().collect()
    }

    /// See [`crate::Store::cardinality`].
    pub(crate) fn cardinality(&self, limit: usize) -> Result<Cardinality> {
        self.catalog.view().cardinality(None, limit)
    }

    /// Adds this tenant's figures.
    pub(crate) fn add_stats(&self, stats: &mut Stats) {
        stats.log_bytes += self.commit.size_bytes();
        stats.tenants += 1;
        let catalog = self.catalog.stats();
        stats.catalog_series += catalog.0;
        stats.catalog_bytes += catalog.1;
        let (active_series, active_bytes) = {
            let active = self.active();
            (active.directory.len(), active.directory.size_bytes())
        };
        stats.head_series += active_series as u64;
        stats.head_bytes +=
            (active_bytes + self.catalog.memory_bytes() + self.catalog.segment_bytes()) as u64;
        stats
            .unreadable
            .extend(self.catalog.damage().iter().map(ToString::to_string));
        let state = self.state();
        stats.tombstones += state.tombstones.len();
        let deletions = state.tombstones.iter().filter_map(|t| t.unreadable());
        stats.unreadable.extend(deletions.map(ToString::to_string));
        for head in [Some(&state.head), state.frozen.as_ref().map(|f| &f.head)]
            .into_iter()
            .flatten()
        {
            stats.head_samples += head.samples();
            stats.head_blocks += head.blocks();
            stats.head_bytes += head.size_bytes() as u64;
        }
        let of_heads = [Some(&state.head), state.frozen.as_ref().map(|f| &f.head)];
        let of_heads = of_heads.into_iter().flatten().filter_map(Head::times);
        let of_parts = state
            .parts
            .iter()
            .map(|p| (p.entry.meta.min_ms, p.entry.meta.max_ms));
        for (first, last) in of_heads.chain(of_parts) {
            let is_first = stats.min_ms == 0 && stats.max_ms == 0;
            stats.min_ms = if is_first { first } else { stats.min_ms.min(first) };
            stats.max_ms = if is_first { last } else { stats.max_ms.max(last) };
        }
        for part in state.parts.iter() {
            stats.parts += 1;
            stats.part_samples += part.entry.meta.samples;
            stats.part_bytes += part.entry.size_bytes;
            stats
                .unreadable
                .extend(part.unreadable().map(ToString::to_string));
        }
    }

    /// Commits what is queued and seals the log; later writes are refused.
    pub(crate) fn close(&self) -> Result<()> {
        self.commit.close()
    }

    fn active(&self) -> RwLockReadGuard<'_, Active> {
        self.active.read().unwrap_or_else(PoisonError::into_inner)
    }
    fn active_mut(&self) -> RwLockWriteGuard<'_, Active> {
        self.active.write().unwrap_or_else(PoisonError::into_inner)
    }
    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
    fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Applies a durable record and answers its writer.
fn commit(
    active: &RwLock<Active>,
    state: &RwLock<State>,
    context: &Context,
    span: Span,
    write: Write,
) -> WriteOutcome {
    let Write { batch, mut outcome } = write;
    if !batch.definitions.is_empty() {
        let mut active = active.write().unwrap_or_else(PoisonError::into_inner);
        for (id, _) in &batch.definitions {
            active.directory.set_defined(*id);
        }
    }
    let (items, histograms) = (batch.items(), batch.histograms.len() as u64);
    let mut state = state.write().unwrap_or_else(PoisonError::into_inner);
    match state.apply(span, batch, context.clock.as_ref()) {
        Some(applied) => {
            context.metrics.samples.add(items);
            context.metrics.replaced.add(applied.replaced);
            context.metrics.late.add(applied.late);
            context.metrics.exemplars.add(applied.exemplars);
            outcome.accepted = items;
            outcome.accepted_histograms = histograms;
            outcome.accepted_exemplars = applied.exemplars;
        }
        None => {
            context.metrics.retries.inc();
            outcome.duplicates = items;
        }
    }
    outcome
}

/// What a record did.
#[derive(Default)]
struct Applied {
    replaced: u64,
    late: u64,
    exemplars: u64,
}

impl State {
    /// Applies a record: the same from the committer and from the log. `None` for a batch that was taken before.
    fn apply(&mut self, span: Span, batch: record::Batch, clock: &dyn Clock) -> Option<Applied> {
        self.applied = span.end;
        self.head_since_ns.get_or_insert_with(|| clock.monotonic_ns());
        if batch
            .origin
            .as_ref()
            .is_some_and(|origin| !self.sequences.observe(origin))
        {
            return None;
        }
        for m in batch.metadata {
            self.families.insert(m.family.clone(), m);
        }
        let mut applied = Applied::default();
        let mut samples = batch.samples.iter();
        let mut starts = batch.starts_ms.iter();
        let (mut histograms, mut exemplars) = (batch.histograms.into_iter(), batch.exemplars.into_iter());
        for entry in &batch.entries {
            for sample in samples.by_ref().take(entry.samples as usize) {
                let start_ms = starts.next().copied().unwrap_or_default();
                match self
                    .head
                    .push(entry.slot, entry.id, sample.timestamp_ms, sample.value, start_ms)
                {
                    Put::Appended | Put::Same => {}
                    Put::Late => applied.late += 1,
                    Put::Replaced => applied.replaced += 1,
                }
            }
            for h in histograms.by_ref().take(entry.histograms as usize) {
                self.head.push_histogram(entry.id, h);
            }
            for e in exemplars.by_ref().take(entry.exemplars as usize) {
                // Said again is taken all the same.
                applied.exemplars += 1;
                self.head.push_exemplar(entry.id, e);
            }
        }
        Some(applied)
    }
}

impl Family {
    fn entry(&self) -> (String, MetricMetadata) {
        let metadata = MetricMetadata {
            family: self.name.clone(),
            metric_type: self.metric_type,
            help: self.help.clone(),
            unit: self.unit.clone(),
        };
        (self.name.clone(), metadata)
    }
}

impl From<&MetricMetadata> for Family {
    fn from(m: &MetricMetadata) -> Self {
        Self {
            name: m.family.clone(),
            metric_type: m.metric_type,
            help: m.help.clone(),
            unit: m.unit.clone(),
        }
    }
}

/// Refuses what another version wrote, before anything is touched.
fn check_encoding(manifest: &TenantManifest, dir: &std::path::Path) -> Result<()> {
    let is_new = manifest.parts.is_empty() && manifest.log_position == Position::default();
    if manifest.state.encoding == ENCODING || is_new {
        return Ok(());
    }
    Err(Error::corrupt(format!(
        "{}: the metrics were written in encoding {}, this version knows {ENCODING}; nothing was touched. Use the \
         version that wrote them, or move the directory away",
        dir.display(),
        manifest.state.encoding.max(1)
    )))
}

fn open_parts(
    fs: &dyn Fs,
    dir: &std::path::Path,
    manifest: &TenantManifest,
    cache: &Arc<Cache>,
) -> Result<Vec<Arc<Part>>> {
    let mut parts = Vec::with_capacity(manifest.parts.len());
    for entry in &manifest.parts {
        let part = Part::open(fs, dir, entry.clone(), cache)?;
        if let Some(e) = part.unreadable() {
            tracing::error!(error = %e, samples = entry.meta.samples, "a part cannot be read; answers go without it");
        }
        parts.push(Arc::new(part));
    }
    sort_parts(&mut parts);
    Ok(parts)
}

fn sort_parts(parts: &mut [Arc<Part>]) {
    parts.sort_by_key(|p| {
        let meta = &p.entry.meta;
        (meta.resolution_ms, meta.partition, meta.generation)
    });
}
