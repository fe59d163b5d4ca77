//! Rolling days up to windows, and keeping their samples until that is done.
//!
//! The windows of a day need its samples, the one at the midnight that ends it (of the next day's parts) and the last ones
//! of the day before. So a day is due when the next one is over, too, and is done anew when data came late for any of the
//! three. What was made of samples that have gone since stays. Files are read and written without a lock, as in a merge.

mod ledger;
mod sources;

pub(crate) use ledger::Oldest;
pub(super) use ledger::{Keeping, Ledger};

use super::Tenant;
use super::flush::next_file;
use crate::codec::Effort;
use crate::samples::{Builder, PARTITION_MS, PartMeta};
use ledger::Days;
use model::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use sources::Sources;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{MutexGuard, PoisonError};
use storage::{PartEntry, layout};

/// A day is due so long after the next one has ended: heads are flushed by then.
const SETTLE_MS: i64 = 3 * 3_600_000;
/// Late data of a day waits until none came for so long, so that one backfill is not many rounds.
const QUIET_NS: u64 = 3_600 * 1_000_000_000;
/// And no longer than this, if there is no end to it.
const PATIENCE_NS: u64 = 86_400 * 1_000_000_000;
/// After a failure, a day is not tried again for so long.
const RETRY_NS: u64 = 600 * 1_000_000_000;
/// Samples of a day with damage stay so much longer than their retention; then what can be read is rolled up. Where nobody
/// has tried, they stay.
pub(super) const HOLD_MS: i64 = 3 * PARTITION_MS;
/// The last samples of the day before are looked for here first.
const TAIL_MS: i64 = 3_600_000;
/// Memory for the time columns of all files that are read.
const CACHE_BYTES: usize = 16 << 20;

/// That the windows of a day were made: kept in the manifest as long as samples are there of which they could be made anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Built {
    resolution_ms: u64,
    partition: i64,
    /// The highest generation of the parts that they were made of.
    generation: u64,
}

/// What is known of days that wait.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// What was seen of a day since it waits.
    seen: BTreeMap<i64, Seen>,
    /// When days that failed are tried again.
    retry_ns: BTreeMap<i64, u64>,
    /// Days of which not even what can be read could be rolled up.
    hopeless: BTreeSet<i64>,
    /// Days of which samples went without windows, and that was said.
    pub(super) given_up: BTreeSet<i64>,
}

impl Waiting {
    /// Whether windows that need the samples of a day cannot be made.
    pub(super) fn is_hopeless(&self, partition: i64) -> bool {
        self.hopeless.range(around(partition)).next().is_some()
    }
}

/// A day that waits.
#[derive(Debug, Clone, Copy)]
struct Seen {
    generation: u64,
    /// Since when it has this generation.
    changed_ns: u64,
    first_ns: u64,
}

/// A day whose windows are to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Work {
    partition: i64,
    resolutions: Vec<u64>,
    /// It failed, and the samples have waited for too long: what is damaged is passed over.
    is_forgiving: bool,
}

impl Tenant {
    /// Makes the windows of one day that is due; false when there is none. With `at_once` late data is not waited for.
    pub(crate) fn roll_up(&self, at_once: bool) -> Result<bool> {
        if self.context.options.rollups.is_empty() {
            return Ok(false);
        }
        let _alone = self.merging.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(work) = self.choose_day(at_once) else {
            return Ok(false);
        };
        let rolled = self.roll_up_day(&work);
        match &rolled {
            Ok(has_passed_over) => {
                let mut waiting = self.waiting();
                waiting.retry_ns.remove(&work.partition);
                waiting.hopeless.remove(&work.partition);
                if *has_passed_over {
                    self.context.metrics.roll_up_given_up.inc();
                    tracing::error!(tenant = %self.name, day = work.partition, "a day was rolled up without what is damaged, after days of trying; older windows of what could not be read were kept");
                } else {
                    self.context.metrics.rolled_up.inc();
                }
            }
            Err(e) if e.kind() == ErrorKind::Cancelled => {}
            Err(e) => {
                self.context.metrics.roll_up_failed.inc();
                let retry_ns = self.context.clock.monotonic_ns().saturating_add(RETRY_NS);
                let mut waiting = self.waiting();
                waiting.retry_ns.insert(work.partition, retry_ns);
                if work.is_forgiving {
                    waiting.hopeless.insert(work.partition);
                }
                tracing::warn!(tenant = %self.name, day = work.partition, error = %e, "a day could not be rolled up; its samples stay for now");
            }
        }
        rolled.map(|_| true)
    }

    fn choose_day(&self, at_once: bool) -> Option<Work> {
        let now_ns = self.context.clock.monotonic_ns();
        let now_ms = self.context.clock.now_ms();
        let manifest = self.lock_manifest();
        let ledger = Ledger::new(&self.context.options, &manifest, now_ms);
        let mut waiting = self.waiting();
        let mut chosen = None;
        for partition in ledger.days.all() {
            let resolutions = ledger.missing(partition);
            if resolutions.is_empty() || !ledger.is_due(partition) {
                waiting.seen.remove(&partition);
                continue;
            }
            let generation = ledger.days.generation(partition);
            let seen = waiting.seen.entry(partition).or_insert(Seen {
                generation,
                changed_ns: now_ns,
                first_ns: now_ns,
            });
            if seen.generation != generation {
                (seen.generation, seen.changed_ns) = (generation, now_ns);
            }
            let is_quiet = now_ns.saturating_sub(seen.changed_ns) >= QUIET_NS
                || now_ns.saturating_sub(seen.first_ns) >= PATIENCE_NS;
            let retry_ns = waiting.retry_ns.get(&partition).copied();
            let failed = retry_ns.is_some_and(|at| now_ns < at);
            if chosen.is_none() && !failed && (at_once || is_quiet || ledger.is_urgent(partition)) {
                chosen = Some(Work {
                    partition,
                    resolutions,
                    is_forgiving: retry_ns.is_some() && ledger.is_hold_over(partition),
                });
            }
        }
        chosen
    }

    /// Whether damage was passed over.
    fn roll_up_day(&self, work: &Work) -> Result<bool> {
        let parts = self.state().parts.clone();
        let sources = Sources::of(&parts, work);
        // The parts and the manifest change together, but were looked at one after the other.
        let generation = Days::of(sources.all().map(|p| &p.entry.meta)).generation(work.partition);
        let mut has_passed_over = false;
        let added = self.write_windows(work, |builders| {
            has_passed_over = sources.roll_up(self, builders, work)?;
            Ok(())
        })?;
        let mut manifest = self.lock_manifest();
        let mut next = manifest.clone();
        let named: BTreeSet<u64> = next.parts.iter().map(|p| p.id).collect();
        if !sources.all().all(|p| named.contains(&p.entry.id)) {
            // The retention was faster, or a deletion: what was made is out of date.
            self.remove_files(added.iter().map(|e| e.id));
            return Ok(false);
        }
        let is_redone = |partition: i64, resolution_ms: u64| {
            partition == work.partition && work.resolutions.contains(&resolution_ms)
        };
        next.parts
            .retain(|p| !is_redone(p.meta.partition, p.meta.resolution_ms));
        next.parts.extend(added.iter().cloned());
        let days = Days::of(next.parts.iter().map(|p| &p.meta));
        let built = &mut next.state.rolled_up;
        built.retain(|b| !is_redone(b.partition, b.resolution_ms) && days.generation(b.partition) > 0);
        built.extend(work.resolutions.iter().map(|resolution_ms| Built {
            resolution_ms: *resolution_ms,
            partition: work.partition,
            generation,
        }));
        tracing::debug!(tenant = %self.name, day = work.partition, "rolled a day up");
        self.replace_parts(&mut manifest, next, &added, |_| {})?;
        Ok(has_passed_over)
    }

    /// Writes one file for each resolution.
    fn write_windows(
        &self,
        work: &Work,
        fill: impl FnOnce(&mut [Builder]) -> Result<()>,
    ) -> Result<Vec<PartEntry<PartMeta>>> {
        let fs = &self.context.fs;
        let parts_dir = layout::parts_dir(&self.dir);
        fs.create_dir_all(&parts_dir)
            .map_err(|e| Error::from(e).within(parts_dir.display()))?;
        let ids: Vec<u64> = {
            let mut manifest = self.lock_manifest();
            let resolutions = work.resolutions.iter();
            resolutions.map(|_| next_file(&mut manifest)).collect()
        };
        let create =
            |id: &u64| Builder::create(fs.clone(), &layout::part_file(&self.dir, *id), Effort::Merge);
        let mut builders = ids.iter().map(create).collect::<Result<Vec<_>>>()?;
        fill(&mut builders)?;
        let mut added = Vec::new();
        for ((builder, id), resolution_ms) in builders.into_iter().zip(ids).zip(&work.resolutions) {
            match builder.finish(id) {
                Ok(None) => {}
                Ok(Some((size_bytes, mut meta))) => {
                    meta.resolution_ms = *resolution_ms;
                    added.push(PartEntry { id, size_bytes, meta });
                }
                Err(e) => {
                    // No manifest has named them yet.
                    self.remove_files(added.iter().map(|e| e.id));
                    return Err(e);
                }
            }
        }
        Ok(added)
    }

    /// What the parts are, for tests.
    #[cfg(test)]
    pub(crate) fn part_metas(&self) -> Vec<PartMeta> {
        let parts = self.state().parts.clone();
        parts.iter().map(|p| p.entry.meta.clone()).collect()
    }
    pub(super) fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A day and its neighbours.
fn around(partition: i64) -> std::ops::RangeInclusive<i64> {
    partition.saturating_sub(1)..=partition.saturating_add(1)
}

fn start_of(partition: i64) -> i64 {
    partition.saturating_mul(PARTITION_MS)
}

/// The midnight that ends a day.
fn end_of(partition: i64) -> i64 {
    start_of(partition.saturating_add(1))
}
