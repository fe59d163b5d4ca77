//! Merging parts of one partition of time into larger ones.

use super::Tenant;
use crate::chunk::Effort;
use crate::columns::{Columns, Scratch};
use crate::part::{Builder, ChunkReader, Part, PartIndex};
use crate::select::Index;
use crate::validate;
use model::{Labels, Result};
use std::ops::Range;
use std::sync::Arc;

/// A part up to this many times the size of the newer ones together is merged with them.
const TIER: u64 = 2;
/// Parts below this size are of one size.
const SMALL_BYTES: u64 = 256 << 10;

impl Tenant {
    /// Merges one group of parts that is worth it; false when there is none.
    pub(crate) fn merge_some(&self) -> Result<bool> {
        let options = &self.context.options;
        self.merge_chosen(|parts| {
            let sizes: Vec<u64> = parts.iter().map(|p| p.entry.size_bytes).collect();
            worth_merging(&sizes, options.merge_parts, options.max_part_bytes)
        })
    }
    /// Merges the parts of each partition into one.
    pub(crate) fn merge_all(&self) -> Result<()> {
        while self.merge_chosen(|parts| (parts.len() > 1).then_some(0..parts.len()))? {}
        Ok(())
    }

    /// Asks `choose` about each run of neighbouring readable parts of a partition, and merges the first choice.
    fn merge_chosen(&self, choose: impl Fn(&[Arc<Part>]) -> Option<Range<usize>>) -> Result<bool> {
        let mut manifest = self.lock_manifest();
        let parts = self.state().parts.clone();
        // A part that cannot be read stays where it is, and what lies on both sides of it apart.
        let belong = |a: &Arc<Part>, b: &Arc<Part>| {
            a.entry.meta.partition == b.entry.meta.partition
                && a.unreadable().is_none()
                && b.unreadable().is_none()
                && !a.is_damaged()
                && !b.is_damaged()
        };
        for run in parts.chunk_by(|a, b| belong(a, b)) {
            let Some(chosen) = choose(run).filter(|r| r.len() > 1) else {
                continue;
            };
            let sources = &run[chosen];
            let merged = self.merge(&mut manifest, sources);
            match &merged {
                Ok(()) => self.context.metrics.merged.inc(),
                Err(e) => {
                    self.context.metrics.merge_failed.inc();
                    tracing::warn!(tenant = %self.name, error = %e, "parts could not be merged; they stay as they are");
                }
            }
            merged?;
            return Ok(true);
        }
        Ok(false)
    }

    fn merge(
        &self,
        manifest: &mut storage::Manifest<crate::part::PartMeta, super::Kept>,
        sources: &[Arc<Part>],
    ) -> Result<()> {
        let first_ms = validate::first_kept_ms(&self.context.options, self.context.clock.now_ms());
        let mut inputs = sources
            .iter()
            .map(|p| self.input(p))
            .collect::<Result<Vec<Input>>>()?;
        let generation = sources.iter().map(|p| p.entry.meta.generation).max();
        let mut replaced = 0;
        let written = self.write_part(manifest, Effort::Merge, generation, |builder| {
            replaced = merge_series(&mut inputs, builder, first_ms)?;
            Ok(())
        })?;
        let gone: Vec<u64> = sources.iter().map(|p| p.entry.id).collect();
        let mut next = manifest.clone();
        next.parts.retain(|p| !gone.contains(&p.id));
        let added: Vec<_> = written.into_iter().collect();
        next.parts.extend(added.iter().cloned());
        let before: u64 = sources.iter().map(|p| p.entry.meta.samples).sum();
        let dropped: u64 = inputs.iter().map(|i| i.expired).sum();
        tracing::debug!(tenant = %self.name, parts = sources.len(), samples = before, "merging parts");
        self.replace_parts(manifest, next, &added, |_| {})?;
        self.context.metrics.replaced.add(replaced);
        self.context.metrics.expired.add(dropped);
        Ok(())
    }

    fn input(&self, part: &Arc<Part>) -> Result<Input> {
        let index = part
            .index(&self.context.cache)
            .inspect_err(|_| part.mark_damaged())?;
        let mut input = Input {
            part: part.clone(),
            reader: ChunkReader::new(part.clone()),
            next: 0,
            labels: None,
            index,
            expired: 0,
        };
        input.advance()?;
        Ok(input)
    }
}

/// One part on its way into a merged one; its series come in the order of their labels.
struct Input {
    part: Arc<Part>,
    index: Arc<PartIndex>,
    reader: ChunkReader,
    next: u32,
    /// The labels of the series before `next`, `None` at the end.
    labels: Option<Labels>,
    /// Samples left out because the retention is over.
    expired: u64,
}

impl Input {
    fn advance(&mut self) -> Result<()> {
        self.labels = if self.next < self.index.len() {
            Some(self.index.labels(self.next)?)
        } else {
            None
        };
        self.next += 1;
        Ok(())
    }
}

fn merge_series(inputs: &mut [Input], builder: &mut Builder, first_ms: i64) -> Result<u64> {
    let (mut scratch, mut replaced) = (Scratch::default(), 0);
    while let Some(labels) = inputs.iter().filter_map(|i| i.labels.as_ref()).min().cloned() {
        let mut columns = Columns::default();
        for input in inputs.iter_mut().filter(|i| i.labels.as_ref() == Some(&labels)) {
            let chunks = input.index.chunks(input.next - 1)?;
            let held: u64 = chunks.iter().map(|c| c.count as u64).sum();
            let (mut part, before) = (Columns::default(), first_ms);
            let added = part.add_chunks(
                &mut input.reader,
                &chunks,
                (before, i64::MAX),
                &mut scratch,
                &mut Err,
            );
            if added.is_err() {
                input.part.mark_damaged();
            }
            added?;
            input.expired += held - part.len();
            columns.add_floats(&part.times, &part.values);
            columns.add_histograms(part.histograms);
            input.advance()?;
        }
        replaced += columns.replaced;
        builder.add(&labels, &columns.times, &columns.values, &columns.histograms)?;
    }
    Ok(replaced)
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
