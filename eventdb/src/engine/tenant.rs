//! One tenant's data of one kind: log, head, parts.

use super::factory::{PartFactory, discard};
use super::{Applied, Context, Head, Part, PartMeta, Signal};
use crate::Stats;
use crate::codec::{Decoder, put_str, put_uint};
use model::{Error, Meter, Origin, Result, Tenant, WriteOutcome};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;
use storage::log::{Record, Span};
use storage::{GroupCommit, Log, Manifest, PartEntry, Position, Sequences, StoreSnapshot, Taken, layout};

/// The only kind of record: a batch.
const KIND_BATCH: u8 = 1;

type TenantManifest = Manifest<PartMeta, Sequences>;

/// A batch on its way through the log.
struct Pending<P> {
    origin: Option<Origin>,
    payload: P,
}

/// What is visible, and what a flush must write.
struct State<S: Signal> {
    head: S::Head,
    /// Everything of the log before it is in the head or in the parts.
    end: Position,
    /// When the head got its first entry, by the monotonic clock.
    head_since_ns: Option<u64>,
    frozen: Option<Arc<Frozen<S>>>,
    /// In order of arrival within each day.
    parts: Arc<Vec<Arc<Part>>>,
    sequences: Sequences,
}

/// A head that is being flushed.
struct Frozen<S: Signal> {
    head: S::Head,
    end: Position,
    sequences: Sequences,
}

/// What a reader sees: one moment of head and parts.
pub(crate) struct Snapshot<'a, S: Signal> {
    state: RwLockReadGuard<'a, State<S>>,
}

impl<S: Signal> Snapshot<'_, S> {
    /// The heads, in order of arrival.
    pub(crate) fn heads(&self) -> impl Iterator<Item = &S::Head> {
        let frozen = self.state.frozen.as_ref().map(|f| &f.head);
        frozen.into_iter().chain([&self.state.head])
    }
    pub(crate) fn parts(&self) -> Arc<Vec<Arc<Part>>> {
        Arc::clone(&self.state.parts)
    }
}

/// One tenant's store.
pub(crate) struct TenantStore<S: Signal> {
    pub(super) context: Arc<Context>,
    pub(super) signal: Arc<S>,
    tenant: Tenant,
    pub(super) dir: PathBuf,
    state: Arc<RwLock<State<S>>>,
    log: RwLock<Option<GroupCommit<Pending<S::Payload>, Applied>>>,
    /// Held by whoever changes the set of parts; one at a time.
    manifest: Mutex<TenantManifest>,
}

impl<S: Signal> TenantStore<S> {
    /// Opens a tenant's directory: reads the manifest, replays the log. With a meter it also removes what a
    /// crash left behind.
    pub(super) fn open(
        context: &Arc<Context>,
        signal: &Arc<S>,
        tenant: &Tenant,
        meter: Option<&dyn Meter>,
    ) -> Result<Self> {
        let fs = &context.fs;
        let dir = layout::store_dir(&context.data_dir, tenant, S::STORE);
        let manifest = TenantManifest::load(fs.as_ref(), &dir)?;
        manifest.remove_leftovers(fs.as_ref(), &dir, &[], S::STORE, meter.unwrap_or(&model::NoMeter))?;
        let part = |entry: &PartEntry<PartMeta>| Arc::new(Part::new(Arc::clone(fs), &dir, entry.clone()));
        let mut state = State::<S> {
            head: S::Head::default(),
            end: manifest.log_position,
            head_since_ns: None,
            frozen: None,
            parts: Arc::new(manifest.parts.iter().map(part).collect()),
            sequences: manifest.state.clone(),
        };
        let now = context.clock.monotonic_ns();
        let (log, _) = Log::open(
            Arc::clone(fs),
            &layout::wal_dir(&context.data_dir, tenant, S::STORE),
            context.options.log.clone(),
            context.log_metrics.clone(),
            manifest.log_position,
            &mut |span, record| {
                let pending = decode_record::<S>(&record)?;
                state.apply(span, pending, now);
                Ok(())
            },
        )?;
        let state = Arc::new(RwLock::new(state));
        let (shared, clock) = (Arc::clone(&state), Arc::clone(&context.clock));
        let name = format!("{} {tenant}", S::STORE.as_str());
        let apply = move |span: Span, pending: Pending<S::Payload>| {
            let now = clock.monotonic_ns();
            shared
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .apply(span, pending, now)
        };
        let log = GroupCommit::start(log, &name, context.options.commit.clone(), apply)?;
        Ok(Self {
            context: Arc::clone(context),
            signal: Arc::clone(signal),
            tenant: tenant.clone(),
            dir,
            state,
            log: RwLock::new(Some(log)),
            manifest: Mutex::new(manifest),
        })
    }

    fn state(&self) -> RwLockReadGuard<'_, State<S>> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
    fn state_mut(&self) -> RwLockWriteGuard<'_, State<S>> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
    pub(super) fn lock_manifest(&self) -> MutexGuard<'_, TenantManifest> {
        self.manifest.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// One consistent moment. Writers wait while it is held: take out what is needed and let go.
    pub(crate) fn snapshot(&self) -> Snapshot<'_, S> {
        Snapshot { state: self.state() }
    }

    /// Validates and makes durable; what is accepted is visible when this returns.
    pub(super) async fn write(
        &self,
        origin: Option<Origin>,
        mut payload: S::Payload,
    ) -> Result<WriteOutcome> {
        let mut outcome;
        {
            let state = self.state();
            let count = S::count(&payload);
            if origin.as_ref().is_some_and(|o| state.sequences.is_retry(o)) {
                return Ok(WriteOutcome {
                    duplicates: count,
                    ..WriteOutcome::default()
                });
            }
            self.check_room(&state)?;
            outcome = self.signal.validate(&self.context, &state.head, &mut payload);
        }
        if S::count(&payload) == 0 && origin.is_none() {
            return Ok(outcome);
        }
        let bytes = encode_record::<S>(origin.as_ref(), &payload);
        let pending = Pending { origin, payload };
        let commit = match &*self.log.read().unwrap_or_else(PoisonError::into_inner) {
            Some(log) => log.submit(KIND_BATCH, S::RECORD_VERSION, bytes, pending),
            None => {
                let message = format!("the {} store is shutting down", S::STORE.as_str());
                return Err(Error::unavailable(message, Duration::from_secs(5)));
            }
        };
        let applied = commit.await?;
        outcome.accepted += applied.accepted;
        outcome.duplicates += applied.duplicates;
        Ok(outcome)
    }
    /// Memory is bounded: while flushes cannot keep up, writers wait outside.
    fn check_room(&self, state: &State<S>) -> Result<()> {
        let limit = self.context.options.max_head_bytes;
        if state.memory() < limit {
            return Ok(());
        }
        self.context.metrics.head_full.inc();
        Err(Error::unavailable(
            format!(
                "the {} store of tenant {} holds {limit} bytes that are not flushed yet (is the disk full or \
                 slow?); try again",
                S::STORE.as_str(),
                self.tenant
            ),
            Duration::from_secs(2),
        ))
    }

    pub(super) fn wants_flush(&self) -> bool {
        let state = self.state();
        let age_ns = self.context.options.flush_age_ms.saturating_mul(1_000_000);
        let now = self.context.clock.monotonic_ns();
        let is_old = state
            .head_since_ns
            .is_some_and(|since| now.saturating_sub(since) >= age_ns);
        state.frozen.is_some() || is_old || state.head.bytes() >= self.context.options.flush_bytes
    }
    /// Writes everything that is in memory now to parts. On failure it stays in memory (and in the log), visible,
    /// and the next flush tries again.
    pub(super) fn flush(&self) -> Result<()> {
        let mut manifest = self.lock_manifest();
        // What an earlier flush could not write comes first, then what came in since.
        while let Some(frozen) = self.freeze(&manifest) {
            let done = self.flush_frozen(&mut manifest, &frozen);
            let metrics = &self.context.metrics;
            if done.is_ok() {
                &metrics.flushed
            } else {
                &metrics.flush_failed
            }
            .inc();
            done.map_err(|e| e.within(format_args!("flush of {}", self.dir.display())))?;
        }
        Ok(())
    }
    fn freeze(&self, manifest: &TenantManifest) -> Option<Arc<Frozen<S>>> {
        let mut state = self.state_mut();
        if state.frozen.is_none() {
            if state.head.is_empty() && state.end == manifest.log_position {
                return None;
            }
            state.head_since_ns = None;
            state.frozen = Some(Arc::new(Frozen {
                head: std::mem::take(&mut state.head),
                end: state.end,
                sequences: state.sequences.clone(),
            }));
        }
        state.frozen.clone()
    }
    fn flush_frozen(&self, manifest: &mut TenantManifest, frozen: &Arc<Frozen<S>>) -> Result<()> {
        let existing = Arc::clone(&self.state().parts);
        let mut factory = self.factory(manifest);
        let written = self
            .signal
            .write_parts(&self.context, &mut factory, &frozen.head, &existing);
        manifest.next_part = factory.next_part();
        if let Err(e) = written {
            factory.discard();
            return Err(e);
        }
        let duplicates = factory.duplicates;
        let (entries, _) = factory.into_entries();
        let mut next = manifest.clone();
        next.parts.extend(entries.iter().cloned());
        next.log_position = frozen.end;
        next.state = frozen.sequences.clone();
        let is_sure = self.store_manifest(manifest, next, &entries)?;
        self.adopt(manifest, true);
        self.context.metrics.duplicates_merged.add(duplicates);
        if is_sure && let Some(log) = &*self.log.read().unwrap_or_else(PoisonError::into_inner) {
            // What was flushed is in parts all the same.
            if let Err(e) = log.remove_below(frozen.end) {
                tracing::warn!(error = %e, dir = %self.dir.display(), "old log segments stay until the next flush");
            }
        }
        Ok(())
    }
    pub(super) fn factory(&self, manifest: &TenantManifest) -> PartFactory {
        PartFactory::new(
            Arc::clone(&self.context.fs),
            &self.dir,
            S::PART,
            manifest.next_part,
        )
    }
    /// Makes `next` the manifest, in memory and on disk. When the disk fails half-way, the file says what holds:
    /// the answer is then whether the new one is there, and false, because it may still be lost in a crash.
    pub(super) fn store_manifest(
        &self,
        manifest: &mut TenantManifest,
        next: TenantManifest,
        new: &[PartEntry<PartMeta>],
    ) -> Result<bool> {
        let fs = self.context.fs.as_ref();
        let stored = next.store(fs, &self.dir);
        let Err(e) = stored else {
            *manifest = next;
            return Ok(true);
        };
        let position = next.log_position;
        match TenantManifest::load(fs, &self.dir) {
            Ok(found) if found.log_position == position && found.parts == next.parts => {
                tracing::warn!(error = %e, "the manifest was replaced but may not be durable yet");
                *manifest = next;
                Ok(false)
            }
            Ok(_) => {
                discard(fs, &self.dir, new);
                Err(e)
            }
            Err(_) => Err(e),
        }
    }
    /// Shows the manifest's parts; with `flushed` they hold what was frozen. Returns the parts that are gone.
    pub(super) fn adopt(&self, manifest: &TenantManifest, flushed: bool) -> Vec<Arc<Part>> {
        let mut state = self.state_mut();
        let old = Arc::clone(&state.parts);
        let find = |entry: &PartEntry<PartMeta>| match old.iter().find(|p| p.entry.id == entry.id) {
            Some(part) => Arc::clone(part),
            None => Arc::new(Part::new(Arc::clone(&self.context.fs), &self.dir, entry.clone())),
        };
        state.parts = Arc::new(manifest.parts.iter().map(find).collect());
        if flushed {
            state.frozen = None;
        }
        let is_gone = |p: &&Arc<Part>| !manifest.parts.iter().any(|e| e.id == p.entry.id);
        old.iter().filter(is_gone).cloned().collect()
    }
    /// The parts that are shown now.
    pub(super) fn parts(&self) -> Arc<Vec<Arc<Part>>> {
        Arc::clone(&self.state().parts)
    }
    /// Lets parts go that the manifest does not name any more.
    pub(super) fn remove_parts(&self, gone: &[Arc<Part>], is_sure: bool) {
        for part in gone {
            self.signal.forget(part.key);
            // Without certainty about the manifest the files stay; the next start removes those not named.
            if is_sure {
                part.remove();
            }
        }
    }
    /// Removes the parts that hold nothing from `oldest_ns` on.
    pub(super) fn expire(&self, oldest_ns: i64) -> Result<()> {
        let mut manifest = self.lock_manifest();
        let is_over = |e: &PartEntry<PartMeta>| e.meta.end_ns < oldest_ns;
        let over = manifest.parts.iter().filter(|e| is_over(e)).count();
        if over == 0 {
            return Ok(());
        }
        let mut next = manifest.clone();
        next.parts.retain(|e| !is_over(e));
        let is_sure = self.store_manifest(&mut manifest, next, &[])?;
        let gone = self.adopt(&manifest, false);
        self.remove_parts(&gone, is_sure);
        self.context.metrics.expired_parts.add(over as u64);
        Ok(())
    }
    /// Takes this tenant's files into a data directory that is being built; see [`crate::LogStore::snapshot`].
    pub(super) fn take(&self, to: &Path, with_head: bool) -> Result<Taken> {
        if with_head {
            self.flush()?;
        }
        let to = layout::store_dir(to, &self.tenant, S::STORE);
        let begun = StoreSnapshot::begin(&self.context.fs, &self.lock_manifest(), &self.dir, &to)?;
        begun.finish(&mut |_| {})
    }
    /// Commits what is queued and closes the log.
    pub(super) fn close(&self) -> Result<()> {
        let log = self.log.write().unwrap_or_else(PoisonError::into_inner).take();
        log.map_or(Ok(()), |log| log.close())
    }
    pub(super) fn add_stats(&self, stats: &mut Stats) {
        let state = self.state();
        let frozen = state.frozen.as_ref();
        stats.tenants += 1;
        stats.head_rows += state.head.rows() + frozen.map_or(0, |f| f.head.rows());
        stats.head_bytes += state.memory() as u64;
        stats.parts += state.parts.len();
        for part in state.parts.iter() {
            stats.part_rows += part.meta().rows;
            stats.part_bytes += part.entry.size_bytes;
        }
        drop(state);
        if let Some(log) = &*self.log.read().unwrap_or_else(PoisonError::into_inner) {
            stats.log_bytes += log.size_bytes();
        }
    }
}

impl<S: Signal> State<S> {
    /// Takes a durable batch. Called in log order, live and in replay alike.
    fn apply(&mut self, span: Span, pending: Pending<S::Payload>, now_ns: u64) -> Applied {
        self.end = span.end;
        let count = S::count(&pending.payload);
        if pending
            .origin
            .as_ref()
            .is_some_and(|o| !self.sequences.observe(o))
        {
            return Applied {
                accepted: 0,
                duplicates: count,
            };
        }
        let before = self.frozen.as_ref().map(|f| &f.head);
        let applied = self.head.apply(before, pending.payload, pending.origin.is_some());
        if self.head_since_ns.is_none() && !self.head.is_empty() {
            self.head_since_ns = Some(now_ns);
        }
        applied
    }
    fn memory(&self) -> usize {
        self.head.bytes() + self.frozen.as_ref().map_or(0, |f| f.head.bytes())
    }
}

fn encode_record<S: Signal>(origin: Option<&Origin>, payload: &S::Payload) -> Vec<u8> {
    let mut bytes = Vec::new();
    match origin {
        None => bytes.push(0),
        Some(origin) => {
            bytes.push(1);
            put_str(&mut bytes, &origin.agent);
            put_uint(&mut bytes, origin.epoch);
            put_str(&mut bytes, &origin.stream);
            put_uint(&mut bytes, origin.sequence);
        }
    }
    S::encode(payload, &mut bytes);
    bytes
}

fn decode_record<S: Signal>(record: &Record<'_>) -> Result<Pending<S::Payload>> {
    if record.kind != KIND_BATCH || record.version > S::RECORD_VERSION {
        return Err(Error::corrupt(format!(
            "the log holds a record of kind {} version {}, this version knows kind {KIND_BATCH} up to version {}; \
             nothing was touched",
            record.kind,
            record.version,
            S::RECORD_VERSION
        )));
    }
    let mut decoder = Decoder::new("a record of the write-ahead log", record.payload);
    let origin = match decoder.u8()? {
        0 => None,
        1 => Some(Origin {
            agent: decoder.string()?,
            epoch: decoder.uint()?,
            stream: decoder.string()?,
            sequence: decoder.uint()?,
        }),
        _ => return Err(decoder.bad("unknown kind of origin")),
    };
    let payload = S::decode(&mut decoder)?;
    decoder.finish()?;
    Ok(Pending { origin, payload })
}
