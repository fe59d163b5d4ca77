//! Flushing the head into parts, and keeping the sets of parts and of the catalog's segments.

use super::retention::PARTLY;
use super::rollup::Ledger;
use super::{ENCODING, Family, Frozen, State, Tenant, TenantManifest, sort_parts};
use crate::codec::Effort;
use crate::directory::{SeriesId, SlotId};
use crate::head::Head;
use crate::samples::{Builder, PARTITION_MS, Part, PartMeta, Run, partition_of};
use model::{Error, Result};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};
use storage::{PartEntry, Position, layout};

/// A series that no batch had for so many seconds may lose its slot …
const IDLE_S: u32 = 30;
/// … if its last sample is so much older than the newest of all.
const IDLE_MS: i64 = 20 * 60_000;

impl Tenant {
    /// Whether the head is large or old enough to be flushed, or the catalog has much in memory.
    pub(crate) fn wants_flush(&self) -> bool {
        let options = &self.context.options;
        let series = self.active().directory.len() as u64;
        let samples = options.flush_samples_at(series);
        let state = self.state();
        let now_ns = self.context.clock.monotonic_ns();
        let age_ms = state
            .head_since_ns
            .map_or(0, |since| now_ns.saturating_sub(since) / 1_000_000);
        state.frozen.is_some()
            || state.head.samples() >= samples
            || state.head.size_bytes() >= options.flush_bytes
            || self.catalog.memory_series() >= options.flush_series
            || (state.head_since_ns.is_some() && age_ms >= options.flush_age_ms)
    }

    /// Writes everything that was acknowledged before into parts and removes the log that they make needless. Writes
    /// and reads go on meanwhile. After an error everything is as before, and the next flush tries again.
    pub(crate) fn flush(&self) -> Result<()> {
        let until = self.state().applied;
        loop {
            // A head that was set aside by a flush that failed goes first, alone.
            self.flush_head()?;
            if self.lock_manifest().log_position >= until {
                return Ok(());
            }
        }
    }

    fn flush_head(&self) -> Result<()> {
        let mut manifest = self.lock_manifest();
        let Some(frozen) = self.state_mut().freeze(&manifest) else {
            self.remove_log(manifest.log_position);
            return Ok(());
        };
        let flushed = self.flush_frozen(&mut manifest, &frozen);
        match &flushed {
            Ok(()) => self.context.metrics.flushed.inc(),
            Err(e) => {
                self.context.metrics.flush_failed.inc();
                tracing::warn!(tenant = %self.name, error = %e, "the head could not be flushed; trying again later");
            }
        }
        drop(manifest);
        flushed?;
        self.evict(Some(&frozen.head));
        Ok(())
    }

    fn flush_frozen(&self, manifest: &mut TenantManifest, frozen: &Arc<Frozen>) -> Result<()> {
        // The log that defines new series goes with the one that holds their samples: so the catalog is written
        // first.
        self.persist_catalog(manifest)?;
        let (mut entries, replaced) = self.write_head(manifest, &frozen.head)?;
        let ledger = Ledger::new(&self.context.options, manifest, self.context.clock.now_ms());
        for entry in &mut entries {
            // Late data of a day that is gone: of the other series only windows are left.
            if ledger.has_lost_all(entry.meta.partition) {
                entry.meta.retention_done = PARTLY;
            }
        }
        let mut next = manifest.clone();
        next.log_position = frozen.position;
        next.state.encoding = ENCODING;
        next.state.sequences = frozen.sequences.clone();
        next.state.families = frozen.families.clone();
        next.parts.extend(entries.iter().cloned());
        self.replace_parts(manifest, next, &entries, |state| state.frozen = None)?;
        self.context.metrics.replaced.add(replaced);
        self.remove_log(frozen.position);
        Ok(())
    }

    /// Removes what the manifest makes needless of the log. Costs nothing when that was done before.
    fn remove_log(&self, position: Position) {
        if let Err(e) = self.commit.remove_below(position) {
            tracing::warn!(tenant = %self.name, error = %e, "old log segments stay until the next flush");
        }
    }

    /// Writes the series that the catalog has in memory only to segments: all that there are now.
    fn persist_catalog(&self, manifest: &mut TenantManifest) -> Result<()> {
        let until = self.active().next_series;
        while self.catalog.holds_below(until) {
            let id = next_file(manifest);
            let Some(segment) = self.catalog.write_memory(id)? else {
                return Ok(());
            };
            let mut next = manifest.clone();
            next.state.encoding = ENCODING;
            next.state.next_series = self.active().next_series;
            next.state.catalog.push(segment.clone());
            next.store(self.context.fs.as_ref(), &self.dir)?;
            *manifest = next;
            self.catalog.replace(&[], &[segment])?;
        }
        Ok(())
    }

    /// One part for each partition of time that the head has samples in; and how many samples were superseded.
    fn write_head(
        &self,
        manifest: &mut TenantManifest,
        head: &Head,
    ) -> Result<(Vec<PartEntry<PartMeta>>, u64)> {
        let (mut entries, mut replaced) = (Vec::new(), 0);
        for (partition, series) in by_partition(head) {
            let start = partition.saturating_mul(PARTITION_MS);
            let range = (start, start.saturating_add(PARTITION_MS - 1));
            let fill = |builder: &mut Builder| {
                let mut run = Run::default();
                for (id, slot) in series {
                    run.clear();
                    replaced += head.copy(id, slot, range, &mut run);
                    builder.add(id, &run)?;
                }
                Ok(())
            };
            let id = next_file(manifest);
            match self.write_part(id, Effort::Flush, id, fill) {
                Ok(entry) => entries.extend(entry),
                Err(e) => {
                    // No manifest has named them yet.
                    self.remove_files(entries.iter().map(|e| e.id));
                    return Err(e);
                }
            }
        }
        Ok((entries, replaced))
    }

    /// Writes a part; `None` when nothing was put in.
    pub(super) fn write_part(
        &self,
        id: u64,
        effort: Effort,
        generation: u64,
        fill: impl FnOnce(&mut Builder) -> Result<()>,
    ) -> Result<Option<PartEntry<PartMeta>>> {
        let fs = &self.context.fs;
        let parts_dir = layout::parts_dir(&self.dir);
        fs.create_dir_all(&parts_dir)
            .map_err(|e| Error::from(e).within(parts_dir.display()))?;
        let mut builder = Builder::create(fs.clone(), &layout::part_file(&self.dir, id), effort)?;
        fill(&mut builder)?;
        let finished = builder.finish(generation)?;
        Ok(finished.map(|(size_bytes, meta)| PartEntry { id, size_bytes, meta }))
    }

    /// Makes a new manifest count, opens the parts that are new in it or of which it says something new, and shows
    /// the new set to reads; the files of parts that it does not name any more are removed. `also` changes the state in the same moment.
    ///
    /// After an error nothing has changed for this process. The files of new parts stay all the same: a manifest
    /// that names them may have reached the disk.
    pub(super) fn replace_parts(
        &self,
        manifest: &mut TenantManifest,
        mut next: TenantManifest,
        added: &[PartEntry<PartMeta>],
        also: impl FnOnce(&mut State),
    ) -> Result<()> {
        let fs = self.context.fs.as_ref();
        next.next_part = manifest.next_part;
        next.parts.sort_by_key(|p| p.id);
        let opened = added
            .iter()
            .map(|entry| Part::open(fs, &self.dir, entry.clone(), &self.context.cache).map(Arc::new));
        let opened: Vec<Arc<Part>> = opened.collect::<Result<_>>()?;
        if let Some(e) = opened.iter().find_map(|p| p.unreadable()) {
            return Err(e
                .clone()
                .within("a part that was just written cannot be read back"));
        }
        next.store(fs, &self.dir)?;
        let named: BTreeSet<u64> = next.parts.iter().map(|p| p.id).collect();
        *manifest = next;
        let is_added = |part: &Arc<Part>| added.iter().any(|entry| entry.id == part.entry.id);
        let gone: Vec<Arc<Part>> = {
            let mut state = self.state_mut();
            let (mut parts, gone): (Vec<_>, Vec<_>) = state
                .parts
                .iter()
                .cloned()
                .partition(|p| named.contains(&p.entry.id) && !is_added(p));
            parts.extend(opened);
            sort_parts(&mut parts);
            state.parts = Arc::new(parts);
            also(&mut state);
            gone
        };
        for part in &gone {
            part.forget();
        }
        // Reads that began before keep the files open.
        self.remove_files(gone.iter().map(|p| p.entry.id).filter(|id| !named.contains(id)));
        Ok(())
    }

    pub(super) fn remove_files(&self, ids: impl IntoIterator<Item = u64>) {
        for id in ids {
            let path = layout::part_file(&self.dir, id);
            if let Err(e) = self.context.fs.remove_file(&path) {
                tracing::warn!(path = %path.display(), error = %e, "a part that is not needed stays until the start");
            }
        }
    }

    /// Takes the slots of series that send no more. `flushed` is the head that was just written, if one was.
    pub(crate) fn evict(&self, flushed: Option<&Head>) {
        let now_s = self.context.now_s();
        let mut active = self.active_mut();
        let state = self.state();
        if state.frozen.is_some() {
            return;
        }
        let newest = [Some(&state.head), flushed].into_iter().flatten();
        let Some(newest_ms) = newest.filter_map(Head::times).map(|(_, last)| last).max() else {
            return;
        };
        let is_fresh = |head: &Head, slot: SlotId| {
            head.newest_ms(slot)
                .is_some_and(|ms| ms > newest_ms.saturating_sub(IDLE_MS))
        };
        let gone = active.directory.evict(now_s, IDLE_S, |slot| {
            state.head.is_idle(slot) && !flushed.is_some_and(|head| is_fresh(head, slot))
        });
        self.context
            .active_series
            .fetch_sub(gone as i64, Ordering::Relaxed);
    }

    pub(super) fn lock_manifest(&self) -> MutexGuard<'_, TenantManifest> {
        self.manifest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the number of the next file: of a part or of a segment. It is used up even if the file never comes.
pub(super) fn next_file(manifest: &mut TenantManifest) -> u64 {
    let id = manifest.next_part;
    manifest.next_part += 1;
    id
}

type Located = (SeriesId, Option<SlotId>);

/// The series of each partition of time that a head has points in, ascending.
fn by_partition(head: &Head) -> Vec<(i64, Vec<Located>)> {
    let series = head.series();
    if let Some((first, last)) = head.times()
        && partition_of(first) == partition_of(last)
        && !head.has_exemplars()
    {
        return vec![(partition_of(first), series)];
    }
    let mut work: Vec<(i64, Located)> = Vec::with_capacity(series.len());
    for (id, slot) in series {
        let mut found = BTreeSet::new();
        head.each_time(id, slot, &mut |time| {
            found.insert(partition_of(time));
        });
        work.extend(found.into_iter().map(|p| (p, (id, slot))));
    }
    work.sort_unstable();
    work.chunk_by(|a, b| a.0 == b.0)
        .map(|group| (group[0].0, group.iter().map(|(_, located)| *located).collect()))
        .collect()
}

impl State {
    /// Sets the head aside for a flush; gives back the one set aside before when its flush failed. `None` when
    /// the manifest says all that there is.
    fn freeze(&mut self, manifest: &TenantManifest) -> Option<Arc<Frozen>> {
        if let Some(frozen) = &self.frozen {
            return Some(frozen.clone());
        }
        if self.applied == manifest.log_position {
            return None;
        }
        let frozen = Arc::new(Frozen {
            head: std::mem::take(&mut self.head),
            position: self.applied,
            sequences: self.sequences.clone(),
            families: self.families.values().map(Family::from).collect(),
        });
        self.head_since_ns = None;
        self.frozen = Some(frozen.clone());
        Some(frozen)
    }
}
