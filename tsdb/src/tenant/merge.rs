//! Merging parts of one partition of time into larger ones, and segments of the catalog.
//!
//! A merge reads and writes without a lock: flushes go on meanwhile, and add newer parts. The manifest is locked only to
//! take a number for the new file and to name it in the place of its sources; if one of these has gone meanwhile, the work
//! is thrown away.

use super::Tenant;
use super::flush::next_file;
use super::sieve::Unwanted;
use crate::codec::Effort;
use crate::samples::{self, Dropped, Merged, Part};
use model::{ErrorKind, Result};
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

/// A part up to this many times the size of the newer ones together is merged with them.
const TIER: u64 = 2;
/// Parts below this size are of one size.
const SMALL_BYTES: u64 = 256 << 10;

impl Tenant {
    /// Merges one group of parts, or of the catalog's segments, that is worth it; false when there is none.
    pub(crate) fn merge_some(&self) -> Result<bool> {
        let options = &self.context.options;
        let merged = self.merge_chosen(|parts| {
            let sizes: Vec<u64> = parts.iter().map(|p| p.entry.size_bytes).collect();
            worth_merging(&sizes, options.merge_parts, options.max_part_bytes)
        })?;
        if merged || self.merge_segments()? {
            return Ok(true);
        }
        let cleaned = self.clean(options.tombstone_delay_ms)?;
        self.sweep(false)?;
        Ok(cleaned)
    }
    /// Merges the parts of each partition into one, without what is not wanted any more.
    pub(crate) fn merge_all(&self) -> Result<()> {
        // A part alone is written anew too, once: what a flush writes is packed in a hurry.
        let all = |parts: &[Arc<Part>]| {
            let is_done = parts.len() == 1 && parts[0].is_merged();
            (!is_done).then_some(0..parts.len())
        };
        while self.merge_chosen(all)? {}
        self.clean(0)?;
        self.sweep(true)?;
        while self.merge_segments()? {}
        Ok(())
    }

    /// Asks `choose` about each run of neighbouring readable parts of a partition, and merges the first choice.
    fn merge_chosen(&self, choose: impl Fn(&[Arc<Part>]) -> Option<Range<usize>>) -> Result<bool> {
        let _alone = self.merging.lock().unwrap_or_else(PoisonError::into_inner);
        let parts = self.state().parts.clone();
        // A part that cannot be read stays where it is, and what lies on both sides of it apart.
        let is_sound = |part: &Arc<Part>| part.unreadable().is_none() && !part.is_damaged();
        let belong = |a: &Arc<Part>, b: &Arc<Part>| {
            a.entry.meta.resolution_ms == b.entry.meta.resolution_ms
                && a.entry.meta.partition == b.entry.meta.partition
                && is_sound(a)
                && is_sound(b)
        };
        for run in parts
            .chunk_by(|a, b| belong(a, b))
            .filter(|run| run.iter().all(is_sound))
        {
            let Some(chosen) = choose(run).filter(|r| !r.is_empty()) else {
                continue;
            };
            self.merge_noted(&run[chosen])?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Merges parts and counts it.
    pub(super) fn merge_noted(&self, sources: &[Arc<Part>]) -> Result<()> {
        let merged = self.merge(sources);
        match &merged {
            Ok(()) => self.context.metrics.merged.inc(),
            Err(e) if e.kind() == ErrorKind::Cancelled => {}
            Err(e) => {
                self.context.metrics.merge_failed.inc();
                tracing::warn!(tenant = %self.name, error = %e, "parts could not be merged; they stay as they are");
            }
        }
        merged
    }

    fn merge(&self, sources: &[Arc<Part>]) -> Result<()> {
        let unwanted = Unwanted::of(self, sources)?;
        let generation = sources
            .iter()
            .map(|p| p.entry.meta.generation)
            .max()
            .unwrap_or_default();
        let id = next_file(&mut self.lock_manifest());
        let mut merged = Merged::default();
        let mut written = self.write_part(id, Effort::Merge, generation, |builder| {
            merged = samples::merge(sources, builder, &unwanted)?;
            Ok(())
        })?;
        if let Some(entry) = &mut written {
            entry.meta.resolution_ms = sources[0].entry.meta.resolution_ms;
            entry.meta.deletions_done = unwanted.deletions_done;
            entry.meta.retention_done = unwanted.retention_done;
        }
        let gone: Vec<u64> = sources.iter().map(|p| p.entry.id).collect();
        let added: Vec<_> = written.into_iter().collect();
        let mut manifest = self.lock_manifest();
        let mut next = manifest.clone();
        next.parts.retain(|p| !gone.contains(&p.id));
        if next.parts.len() + gone.len() != manifest.parts.len() {
            // The retention was faster, or a deletion: what was merged is out of date.
            self.remove_files(added.iter().map(|e| e.id));
            return Ok(());
        }
        next.parts.extend(added.iter().cloned());
        let before: u64 = sources.iter().map(|p| p.entry.meta.samples).sum();
        tracing::debug!(tenant = %self.name, parts = sources.len(), samples = before, "merged parts");
        self.replace_parts(&mut manifest, next, &added, |_| {})?;
        self.context.metrics.replaced.add(merged.replaced);
        self.context.metrics.removed(merged.dropped);
        if unwanted.is_given_up && merged.dropped.rule > 0 {
            self.give_up(sources[0].entry.meta.partition);
        }
        if merged.dropped != Dropped::default() {
            self.wants_sweep.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Merges segments of the catalog that are worth it. All series stay: those that are gone for good are the
    /// sweep's matter.
    fn merge_segments(&self) -> Result<bool> {
        let _alone = self.merging.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(chosen) = self.catalog.choose_merge() else {
            return Ok(false);
        };
        let id = next_file(&mut self.lock_manifest());
        let Some(segment) = self.catalog.merge(&chosen, id, &|_| true)? else {
            return Ok(false);
        };
        let mut manifest = self.lock_manifest();
        let mut next = manifest.clone();
        next.state.catalog.retain(|s| !chosen.contains(&s.id));
        next.state.catalog.push(segment.clone());
        self.replace_parts(&mut manifest, next, &[], |_| {})?;
        self.catalog.replace(&chosen, &[segment])?;
        // Reads that began before keep the files open.
        self.remove_files(chosen);
        Ok(true)
    }
}

/// Which neighbours to merge, from their sizes in the order of their generations: the newest ones, and older ones
/// as long as they are not much larger. So a sample is written again only a few times in its life.
fn worth_merging(sizes: &[u64], at_least: usize, max_bytes: u64) -> Option<Range<usize>> {
    let mut end = sizes.len();
    while end > 0 {
        // A part of half the largest size is done: merging it again would gain little.
        let is_done = |i: usize| sizes[i] >= max_bytes / 2;
        if is_done(end - 1) {
            end -= 1;
            continue;
        }
        let (mut start, mut total) = (end - 1, sizes[end - 1]);
        while start > 0 && !is_done(start - 1) {
            let size = sizes[start - 1];
            if size > (total * TIER).max(SMALL_BYTES) || total + size > max_bytes {
                break;
            }
            total += size;
            start -= 1;
        }
        if end - start >= at_least.max(2) {
            return Some(start..end);
        }
        // Go on with the older neighbours only across a part that is done: others wait for more to come.
        end = (0..start).rev().find(|i| is_done(*i))?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_waits_until_it_is_worth_it() {
        const M: u64 = 1 << 20;
        let check = |sizes: &[u64], expected: Option<Range<usize>>| {
            assert_eq!(worth_merging(sizes, 4, 1000 * M), expected, "{sizes:?}");
        };
        check(&[], None);
        check(&[M, M, M], None);
        check(&[M, M, M, M], Some(0..4));
        check(&[100 * M, M, M, M, M], Some(1..5));
        check(&[100 * M, 8 * M, M, M, M, M], Some(1..6));
        check(&[100 * M, 2 * M, M], None);
        check(&[1, 200_000, 1, 1], Some(0..4));
        check(&[900 * M, 900 * M, 900 * M], None);
        check(&[M, M, M, M, 990 * M], Some(0..4));
        check(&[M, M, M, M, 999 * M, M], Some(0..4));
    }

    #[test]
    fn a_sample_is_written_again_only_a_few_times() {
        let (mut sizes, mut written) = (Vec::new(), 0u64);
        for _ in 0..1000 {
            sizes.push(1 << 20);
            while let Some(range) = worth_merging(&sizes, 4, 1 << 40) {
                let total: u64 = sizes[range.clone()].iter().sum();
                written += total;
                sizes.splice(range, [total]);
            }
        }
        let per_sample = written as f64 / (1000u64 << 20) as f64;
        assert!(
            per_sample < 8.0 && sizes.len() < 12,
            "written {per_sample} times, {} parts",
            sizes.len()
        );
    }
}
