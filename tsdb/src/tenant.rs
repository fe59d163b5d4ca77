//! One tenant's store: log, head, parts.
//!
//! A write is checked, written to the log and then applied to the head, in log order; start-up applies the log
//! again. A flush freezes the head and writes it to parts while writes go on in a new one; the manifest then names
//! the parts and the log position up to which they hold everything. Within a partition of time parts are ordered
//! by generation, so that the sample that was acknowledged later wins wherever the two came to lie.

mod flush;
mod merge;
mod scan;

use crate::head::Head;
use crate::metrics::{Metrics, reason};
use crate::options::{Options, Stats};
use crate::part::{IndexCache, Part, PartMeta};
use crate::record::{self, Decoder};
use crate::validate::{self, Window};
use model::{Batch, Clock, Error, Fs, Labels, Meter, MetricMetadata, Result, Tenant as Name, WriteOutcome};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;
use storage::{GroupCommit, Log, LogMetrics, Manifest, Position, Sequences, Span, StoreName, layout};

/// What all tenants of a store share.
pub(crate) struct Context {
    pub fs: Arc<dyn Fs>,
    pub data_dir: PathBuf,
    pub options: Options,
    pub clock: Arc<dyn Clock>,
    pub metrics: Metrics,
    pub log_metrics: LogMetrics,
    pub cache: IndexCache,
}

/// What the manifest keeps besides the parts.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Kept {
    sequences: Sequences,
    families: Vec<Family>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Family {
    name: String,
    #[serde(rename = "type")]
    metric_type: model::MetricType,
    help: String,
    unit: String,
}

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
    /// By partition, then by generation.
    parts: Arc<Vec<Arc<Part>>>,
}

/// A head that takes no more writes, and what belongs into the manifest with it.
struct Frozen {
    head: Head,
    position: Position,
    kept: Kept,
}

/// A record on its way through the committer.
struct Write {
    batch: record::Batch,
    outcome: WriteOutcome,
}

/// One tenant.
pub(crate) struct Tenant {
    context: Arc<Context>,
    name: Name,
    dir: PathBuf,
    state: Arc<RwLock<State>>,
    commit: GroupCommit<Write, WriteOutcome>,
    /// Held by whoever changes the set of parts.
    manifest: Mutex<Manifest<PartMeta, Kept>>,
}

impl Tenant {
    /// Opens a tenant's data, or starts it anew.
    pub(crate) fn open(context: &Arc<Context>, name: &Name, meter: &dyn Meter) -> Result<Self> {
        let dir = layout::store_dir(&context.data_dir, name, StoreName::Metrics);
        let fs = context.fs.as_ref();
        let manifest = Manifest::<PartMeta, Kept>::load(fs, &dir)?;
        manifest.remove_leftovers(fs, &dir, StoreName::Metrics, meter)?;
        let parts = open_parts(fs, &dir, &manifest)?;
        let mut state = State {
            head: Head::default(),
            head_since_ns: None,
            applied: manifest.log_position,
            sequences: manifest.state.sequences.clone(),
            families: manifest.state.families.iter().map(Family::entry).collect(),
            frozen: None,
            parts: Arc::new(parts),
        };
        let mut decoder = Decoder::default();
        let (log, _) = Log::open(
            context.fs.clone(),
            &layout::wal_dir(&context.data_dir, name, StoreName::Metrics),
            context.options.log.clone(),
            context.log_metrics.clone(),
            manifest.log_position,
            &mut |span, record| {
                let batch = decoder.decode(record.kind, record.version, record.payload)?;
                state.apply(span, &batch, context);
                Ok(())
            },
        )?;
        let state = Arc::new(RwLock::new(state));
        let (applied, shared) = (state.clone(), context.clone());
        let apply = move |span: Span, write: Write| {
            let mut state = applied.write().unwrap_or_else(PoisonError::into_inner);
            state.commit(span, write, &shared)
        };
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
            state,
            commit,
            manifest: Mutex::new(manifest),
        })
    }

    /// Takes a batch: see [`model::Write::write`].
    pub(crate) async fn write(&self, batch: Batch<model::Metrics>) -> Result<WriteOutcome> {
        let items = batch
            .payload
            .series
            .iter()
            .map(|s| (s.samples.len() + s.histograms.len()) as u64)
            .sum();
        let exemplars: usize = batch.payload.series.iter().map(|s| s.exemplars.len()).sum();
        let (options, metrics) = (&self.context.options, &self.context.metrics);
        if batch
            .origin
            .as_ref()
            .is_some_and(|o| self.state().sequences.is_retry(o))
        {
            metrics.retries.inc();
            return Ok(WriteOutcome {
                duplicates: items,
                ..WriteOutcome::default()
            });
        }
        let mut outcome = WriteOutcome::default();
        let mut series = batch.payload.series;
        let window = Window::new(options, self.context.clock.now_ms());
        validate::retain_valid(&mut series, &options.limits, window, &mut outcome);
        self.check_room(&mut series, &mut outcome)?;
        metrics.reject(&outcome);
        metrics.exemplars.add(exemplars as u64);
        let batch = record::Batch {
            origin: batch.origin,
            series,
            metadata: self.new_metadata(batch.payload.metadata),
        };
        if batch.series.is_empty() && batch.metadata.is_empty() && batch.origin.is_none() {
            return Ok(outcome);
        }
        let payload = record::encode(&batch);
        let write = Write { batch, outcome };
        self.commit
            .submit(record::KIND, record::VERSION, payload, write)
            .await
    }

    /// Refuses everything while the heads are full, and new series over the limit.
    fn check_room(&self, series: &mut Vec<model::Series>, outcome: &mut WriteOutcome) -> Result<()> {
        let options = &self.context.options;
        let state = self.state();
        let held = state.head.size_bytes() + state.frozen.as_ref().map_or(0, |f| f.head.size_bytes());
        if held >= options.max_head_bytes && !series.is_empty() {
            return Err(Error::unavailable(
                format!(
                    "the head of tenant {} takes {held} bytes and waits to be flushed (is the disk full?); try again",
                    self.name
                ),
                Duration::from_secs(5),
            ));
        }
        let mut room = options
            .limits
            .max_series
            .saturating_sub(state.head.series_count());
        if room >= series.len() as u64 {
            return Ok(());
        }
        let mut new: HashSet<Labels> = HashSet::new();
        series.retain(|s| {
            if state.head.contains(&s.labels) || new.contains(&s.labels) {
                return true;
            }
            if room > 0 {
                room -= 1;
                new.insert(s.labels.clone());
                return true;
            }
            outcome.reject(
                reason::SERIES_LIMIT,
                (s.samples.len() + s.histograms.len()) as u64,
                || {
                    format!(
                        "{}: tenant {} has {} active series already (limits.ingest.max_series)",
                        validate::shown(&s.labels),
                        self.name,
                        options.limits.max_series
                    )
                },
            );
            false
        });
        Ok(())
    }

    /// Only what says something new goes to the log: senders repeat their metadata all the time.
    fn new_metadata(&self, mut metadata: Vec<MetricMetadata>) -> Vec<MetricMetadata> {
        let limits = &self.context.options.limits;
        let state = self.state();
        metadata.retain_mut(|m| {
            cut_text(&mut m.help, limits.max_label_value_bytes);
            cut_text(&mut m.unit, limits.max_label_value_bytes);
            let fits = !m.family.is_empty()
                && m.family.len() <= limits.max_label_value_bytes
                && (state.families.len() < self.context.options.max_families
                    || state.families.contains_key(&m.family));
            self.context.metrics.families.add(u64::from(!fits));
            fits && state.families.get(&m.family) != Some(m)
        });
        metadata
    }

    /// What senders said of their metric families, by name.
    pub(crate) fn metadata(&self) -> Vec<MetricMetadata> {
        self.state().families.values().cloned().collect()
    }

    /// Adds this tenant's figures.
    pub(crate) fn add_stats(&self, stats: &mut Stats) {
        let log_bytes = self.commit.size_bytes();
        let state = self.state();
        stats.tenants += 1;
        stats.log_bytes += log_bytes;
        for head in [Some(&state.head), state.frozen.as_ref().map(|f| &f.head)]
            .into_iter()
            .flatten()
        {
            stats.head_series += head.series_count();
            stats.head_samples += head.samples();
            stats.head_bytes += head.size_bytes() as u64;
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

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
    fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Applies a record and answers its writer.
    fn commit(&mut self, span: Span, write: Write, context: &Context) -> WriteOutcome {
        let Write { batch, mut outcome } = write;
        let items = batch
            .series
            .iter()
            .map(|s| (s.samples.len() + s.histograms.len()) as u64)
            .sum();
        match self.apply(span, &batch, context) {
            Some(replaced) => {
                context.metrics.samples.add(items);
                context.metrics.replaced.add(replaced);
                outcome.accepted = items;
            }
            None => {
                context.metrics.retries.inc();
                outcome.duplicates = items;
            }
        }
        outcome
    }

    /// Applies a record: the same from the committer and from the log. Returns how many samples were superseded,
    /// `None` for a batch that was taken before.
    fn apply(&mut self, span: Span, batch: &record::Batch, context: &Context) -> Option<u64> {
        self.applied = span.end;
        self.head_since_ns
            .get_or_insert_with(|| context.clock.monotonic_ns());
        if batch
            .origin
            .as_ref()
            .is_some_and(|origin| !self.sequences.observe(origin))
        {
            return None;
        }
        for m in &batch.metadata {
            self.families.insert(m.family.clone(), m.clone());
        }
        Some(self.head.insert(&batch.series).replaced)
    }

    fn kept(&self) -> Kept {
        Kept {
            sequences: self.sequences.clone(),
            families: self.families.values().map(Family::from).collect(),
        }
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

/// Cuts a text at the last character that ends within a number of bytes.
fn cut_text(text: &mut String, bytes: usize) {
    text.truncate(text.floor_char_boundary(bytes));
}

fn open_parts(fs: &dyn Fs, dir: &Path, manifest: &Manifest<PartMeta, Kept>) -> Result<Vec<Arc<Part>>> {
    let mut parts = Vec::with_capacity(manifest.parts.len());
    for entry in &manifest.parts {
        let part = Part::open(fs, dir, entry.clone())?;
        if let Some(e) = part.unreadable() {
            tracing::error!(error = %e, samples = entry.meta.samples, "a part cannot be read; answers go without it");
        }
        parts.push(Arc::new(part));
    }
    sort_parts(&mut parts);
    Ok(parts)
}

fn sort_parts(parts: &mut [Arc<Part>]) {
    parts.sort_by_key(|p| (p.entry.meta.partition, p.entry.meta.generation));
}
