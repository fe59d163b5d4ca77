//! Merging of parts: which ones, and the exchange in the manifest.

use super::{Part, Signal, TenantStore};
use model::{ErrorKind, Result};
use std::sync::Arc;

/// The most parts that are merged at once; bounds the open files and the memory of a merge.
const MAX_MERGED: usize = 32;
/// Parts up to this size are all of the smallest class.
const SMALLEST_CLASS_BYTES: u64 = 1 << 20;

/// Each class holds parts four times the size of the one before.
fn class_of(part: &Part) -> u32 {
    let units = (part.entry.size_bytes / SMALLEST_CLASS_BYTES).max(1);
    units.ilog2() / 2
}

/// Neighbours of one day that may be merged: in order of arrival, without damaged ones between them.
fn runs(parts: &[Arc<Part>]) -> Vec<Vec<Arc<Part>>> {
    let mut by_day = std::collections::BTreeMap::<i64, Vec<Vec<Arc<Part>>>>::new();
    for part in parts {
        let runs = by_day.entry(part.meta().day).or_default();
        if part.is_damaged() || runs.is_empty() {
            runs.push(Vec::new());
        }
        if !part.is_damaged()
            && let Some(run) = runs.last_mut()
        {
            run.push(Arc::clone(part));
        }
    }
    by_day.into_values().flatten().collect()
}

/// The next neighbours worth merging: at least `wanted` in a row of a class or smaller, small classes first.
fn choose(parts: &[Arc<Part>], wanted: usize, max_bytes: u64) -> Option<Vec<Arc<Part>>> {
    let runs = runs(parts);
    let largest = parts.iter().map(|p| class_of(p)).max()?;
    for class in 0..=largest {
        for run in &runs {
            let groups = run.split(|p| class_of(p) > class);
            for group in groups {
                let group = cut(group, max_bytes);
                if group.len() >= wanted.max(2) {
                    return Some(group.to_vec());
                }
            }
        }
    }
    None
}

/// The first neighbours that together stay under the limits.
fn cut(run: &[Arc<Part>], max_bytes: u64) -> &[Arc<Part>] {
    let mut total = 0;
    let fits = |p: &&Arc<Part>| {
        total += p.entry.size_bytes;
        total <= max_bytes
    };
    &run[..run.iter().take_while(fits).count().min(MAX_MERGED)]
}

impl<S: Signal> TenantStore<S> {
    /// Merges the next group of neighbours that is worth it, if there is one.
    pub(super) fn merge_some(&self) -> Result<()> {
        let options = &self.context.options;
        let chosen = choose(&self.parts(), options.merge_parts, options.max_part_bytes);
        chosen.map_or(Ok(()), |parts| self.merge(&parts))
    }
    /// Flushes and merges everything as far as the size limit allows.
    pub(super) fn compact(&self) -> Result<()> {
        self.flush()?;
        let max_bytes = self.context.options.max_part_bytes;
        for run in runs(&self.parts()) {
            let mut rest = run.as_slice();
            while !rest.is_empty() {
                let group = cut(rest, max_bytes);
                let taken = group.len().max(1);
                if group.len() > 1 {
                    self.merge(group)?;
                }
                rest = &rest[taken..];
            }
        }
        Ok(())
    }
    fn merge(&self, parts: &[Arc<Part>]) -> Result<()> {
        let done = self.try_merge(parts);
        let metrics = &self.context.metrics;
        if done.is_ok() {
            &metrics.merged
        } else {
            &metrics.merge_failed
        }
        .inc();
        match done {
            // The damaged part is known now and left out from here on; its neighbours are merged another time.
            Err(e) if e.kind() == ErrorKind::Corrupt => {
                self.context.note_damage(&e);
                Ok(())
            }
            done => done.map_err(|e| e.within(format_args!("merge in {}", self.dir.display()))),
        }
    }
    fn try_merge(&self, parts: &[Arc<Part>]) -> Result<()> {
        let mut manifest = self.lock_manifest();
        let ids: Vec<u64> = parts.iter().map(|p| p.entry.id).collect();
        let Some(place) = manifest.parts.iter().position(|e| ids.contains(&e.id)) else {
            return Ok(());
        };
        if ids.iter().any(|id| !manifest.parts.iter().any(|e| e.id == *id)) {
            // Retention was faster.
            return Ok(());
        }
        let mut factory = self.factory(&manifest);
        let written = self.signal.merge_parts(&self.context, &mut factory, parts);
        manifest.next_part = factory.next_part();
        if let Err(e) = written {
            factory.discard();
            return Err(e);
        }
        let duplicates = factory.duplicates;
        let (entries, _) = factory.into_entries();
        let mut next = manifest.clone();
        next.parts.retain(|e| !ids.contains(&e.id));
        // The merged part takes the place of the first, so that the order of arrival stays.
        next.parts.splice(place..place, entries.iter().cloned());
        let is_sure = self.store_manifest(&mut manifest, next, &entries)?;
        let gone = self.adopt(&manifest, false);
        self.remove_parts(&gone, is_sure);
        self.context.metrics.duplicates_merged.add(duplicates);
        Ok(())
    }
}
