//! Flushing the head into parts, and keeping the set of parts.

use super::{Frozen, Kept, State, Tenant, sort_parts};
use crate::chunk::Effort;
use crate::head::Head;
use crate::part::{Builder, PARTITION_MS, Part, PartMeta, partition_of};
use crate::validate;
use model::{Error, Result};
use std::collections::BTreeSet;
use std::sync::{Arc, MutexGuard, PoisonError};
use storage::{Manifest, PartEntry, layout};

impl Tenant {
    /// Whether the head is large or old enough to be flushed.
    pub(crate) fn wants_flush(&self) -> bool {
        let options = &self.context.options;
        let state = self.state();
        let now_ns = self.context.clock.monotonic_ns();
        let age_ms = state
            .head_since_ns
            .map_or(0, |since| now_ns.saturating_sub(since) / 1_000_000);
        state.frozen.is_some()
            || state.head.samples() >= options.flush_samples
            || state.head.size_bytes() >= options.flush_bytes
            || (state.head_since_ns.is_some() && age_ms >= options.flush_age_ms)
    }

    /// Writes the head into parts and removes the log that they make needless. Writes and reads go on meanwhile.
    /// After an error everything is as before, and the next flush tries again.
    pub(crate) fn flush(&self) -> Result<()> {
        let mut manifest = self.lock_manifest();
        let Some(frozen) = self.state_mut().freeze(&manifest) else {
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
        flushed
    }

    fn flush_frozen(&self, manifest: &mut Manifest<PartMeta, Kept>, frozen: &Arc<Frozen>) -> Result<()> {
        let entries = self.write_head(manifest, &frozen.head)?;
        let mut next = manifest.clone();
        next.log_position = frozen.position;
        next.state = frozen.kept.clone();
        next.parts.extend(entries.iter().cloned());
        self.replace_parts(manifest, next, &entries, |state| state.frozen = None)?;
        if let Err(e) = self.commit.remove_below(frozen.position) {
            tracing::warn!(tenant = %self.name, error = %e, "old log segments stay until the next flush");
        }
        Ok(())
    }

    /// One part for each partition of time that the head has samples in.
    fn write_head(
        &self,
        manifest: &mut Manifest<PartMeta, Kept>,
        head: &Head,
    ) -> Result<Vec<PartEntry<PartMeta>>> {
        let mut order: Vec<u32> = (0..head.series().len() as u32).collect();
        order.sort_by(|a, b| {
            head.series()[*a as usize]
                .labels
                .cmp(&head.series()[*b as usize].labels)
        });
        let mut work: Vec<(i64, u32)> = Vec::with_capacity(order.len());
        for (rank, id) in order.iter().enumerate() {
            let partitions = head.series()[*id as usize].partitions();
            work.extend(partitions.into_iter().map(|p| (p, rank as u32)));
        }
        work.sort_unstable();
        let mut entries = Vec::new();
        for group in work.chunk_by(|a, b| a.0 == b.0) {
            let start = group[0].0.saturating_mul(PARTITION_MS);
            let end = start.saturating_add(PARTITION_MS - 1);
            let fill = |builder: &mut Builder| {
                let (mut times, mut values) = (Vec::new(), Vec::new());
                for (_, rank) in group {
                    let series = &head.series()[order[*rank as usize] as usize];
                    times.clear();
                    values.clear();
                    series.copy(start, end, &mut times, &mut values);
                    builder.add(&series.labels, &times, &values, &series.histograms_in(start, end))?;
                }
                Ok(())
            };
            let written = self.write_part(manifest, Effort::Flush, None, fill);
            match written {
                Ok(entry) => entries.extend(entry),
                Err(e) => {
                    // No manifest has named them yet.
                    self.remove_files(&entries);
                    return Err(e);
                }
            }
        }
        Ok(entries)
    }

    /// Writes a part under a new id; `None` when nothing was put in. The id is used up also when this fails.
    pub(super) fn write_part(
        &self,
        manifest: &mut Manifest<PartMeta, Kept>,
        effort: Effort,
        generation: Option<u64>,
        fill: impl FnOnce(&mut Builder) -> Result<()>,
    ) -> Result<Option<PartEntry<PartMeta>>> {
        let fs = &self.context.fs;
        let parts_dir = layout::parts_dir(&self.dir);
        fs.create_dir_all(&parts_dir)
            .map_err(|e| Error::from(e).within(parts_dir.display()))?;
        let id = manifest.next_part;
        manifest.next_part += 1;
        let mut builder = Builder::create(fs.clone(), &layout::part_file(&self.dir, id), effort)?;
        fill(&mut builder)?;
        if builder.is_empty() {
            return Ok(None);
        }
        let (size_bytes, meta) = builder.finish(generation.unwrap_or(id))?;
        Ok(Some(PartEntry { id, size_bytes, meta }))
    }

    /// Makes a new manifest count, opens the parts that are new in it, and shows the new set to reads; the files
    /// of parts that it does not name any more are removed. `also` changes the state in the same moment.
    ///
    /// After an error nothing has changed for this process. The files of new parts stay all the same: a manifest
    /// that names them may have reached the disk.
    pub(super) fn replace_parts(
        &self,
        manifest: &mut Manifest<PartMeta, Kept>,
        mut next: Manifest<PartMeta, Kept>,
        added: &[PartEntry<PartMeta>],
        also: impl FnOnce(&mut State),
    ) -> Result<()> {
        let fs = self.context.fs.as_ref();
        next.next_part = manifest.next_part;
        next.parts.sort_by_key(|p| p.id);
        let opened = added
            .iter()
            .map(|entry| Part::open(fs, &self.dir, entry.clone()).map(Arc::new));
        let opened: Vec<Arc<Part>> = opened.collect::<Result<_>>()?;
        if let Some(e) = opened.iter().find_map(|p| p.unreadable()) {
            return Err(e
                .clone()
                .within("a part that was just written cannot be read back"));
        }
        next.store(fs, &self.dir)?;
        let named: BTreeSet<u64> = next.parts.iter().map(|p| p.id).collect();
        *manifest = next;
        let gone: Vec<Arc<Part>> = {
            let mut state = self.state_mut();
            let (mut parts, gone): (Vec<_>, Vec<_>) = state
                .parts
                .iter()
                .cloned()
                .partition(|p| named.contains(&p.entry.id));
            parts.extend(opened);
            sort_parts(&mut parts);
            state.parts = Arc::new(parts);
            also(&mut state);
            gone
        };
        gone.iter().for_each(|p| p.forget(&self.context.cache));
        // Reads that began before keep the files open.
        self.remove_files(&gone.iter().map(|p| p.entry.clone()).collect::<Vec<_>>());
        Ok(())
    }

    fn remove_files(&self, entries: &[PartEntry<PartMeta>]) {
        for entry in entries {
            let path = layout::part_file(&self.dir, entry.id);
            if let Err(e) = self.context.fs.remove_file(&path) {
                tracing::warn!(path = %path.display(), error = %e, "a part that is not needed stays until the start");
            }
        }
    }

    /// Removes the parts that hold nothing inside the retention any more.
    pub(crate) fn enforce_retention(&self, now_ms: i64) -> Result<()> {
        let first_ms = validate::first_kept_ms(&self.context.options, now_ms);
        let mut manifest = self.lock_manifest();
        let mut next = manifest.clone();
        next.parts.retain(|p| p.meta.max_ms >= first_ms);
        if next.parts.len() == manifest.parts.len() {
            return Ok(());
        }
        let count = |m: &Manifest<PartMeta, Kept>| m.parts.iter().map(|p| p.meta.samples).sum::<u64>();
        let expired = count(&manifest) - count(&next);
        self.replace_parts(&mut manifest, next, &[], |_| {})?;
        self.context.metrics.expired.add(expired);
        Ok(())
    }

    pub(super) fn lock_manifest(&self) -> MutexGuard<'_, Manifest<PartMeta, Kept>> {
        self.manifest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Sets the head aside for a flush; gives back the one set aside before when its flush failed. `None` when
    /// the manifest says all that there is.
    fn freeze(&mut self, manifest: &Manifest<PartMeta, Kept>) -> Option<Arc<Frozen>> {
        if let Some(frozen) = &self.frozen {
            return Some(frozen.clone());
        }
        if self.applied == manifest.log_position {
            return None;
        }
        let frozen = Arc::new(Frozen {
            head: std::mem::take(&mut self.head),
            position: self.applied,
            kept: self.kept(),
        });
        self.head_since_ns = None;
        self.frozen = Some(frozen.clone());
        Some(frozen)
    }
}

impl crate::head::HeadSeries {
    /// The partitions of time that the series has samples in.
    fn partitions(&self) -> BTreeSet<i64> {
        let mut found = BTreeSet::new();
        let mut last = None;
        for time in self.times() {
            let partition = partition_of(time);
            if last.replace(partition) != Some(partition) {
                found.insert(partition);
            }
        }
        found
    }
}
