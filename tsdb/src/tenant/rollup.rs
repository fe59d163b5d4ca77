//! Rolling days up to windows, and keeping their samples until that is done.
//!
//! The windows of a day need its samples, the one at the midnight that ends it (of the next day's parts) and the last ones
//! of the day before. So a day is due when the next one is over, too, and is done anew when data came late for any of the
//! three. Files are read and written without a lock, as in a merge.

use super::flush::next_file;
use super::sieve::Unwanted;
use super::{Tenant, TenantManifest};
use crate::cache::Cache;
use crate::codec::Effort;
use crate::options::Options;
use crate::rollup;
use crate::samples::{Builder, Cursor, Dropped, Fate, PARTITION_MS, Part, PartMeta, Run, SeriesId, Sieve};
use crate::validate;
use model::metric::is_stale;
use model::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, MutexGuard, PoisonError};
use storage::{PartEntry, layout};

/// A day is due so long after the next one has ended: heads are flushed by then.
const SETTLE_MS: i64 = 3 * 3_600_000;
/// Late data of a day waits until none came for so long, so that one backfill is not many rounds.
const QUIET_NS: u64 = 3_600 * 1_000_000_000;
/// After a failure, a day is not tried again for so long.
const RETRY_NS: u64 = 600 * 1_000_000_000;
/// Samples that cannot be rolled up stay so much longer than their retention. Where nobody has tried, they stay.
const HOLD_MS: i64 = 3 * PARTITION_MS;
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
    /// The generation that a day has, and since when it was seen.
    seen: BTreeMap<i64, (u64, u64)>,
    /// When days that failed are tried again.
    retry_ns: BTreeMap<i64, u64>,
}

/// A day whose windows are to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Work {
    partition: i64,
    resolutions: Vec<u64>,
}

/// The parts of samples as they came, by day, as far as they matter here.
#[derive(Debug, Default)]
struct Days(BTreeMap<i64, Day>);

#[derive(Debug, Clone, Copy, Default)]
struct Day {
    /// The highest generation.
    generation: u64,
    min_ms: i64,
}

impl Days {
    fn of<'a>(parts: impl Iterator<Item = &'a PartMeta>) -> Self {
        let mut days = Self::default();
        for meta in parts.filter(|m| m.resolution_ms == 0) {
            let first = Day {
                generation: 0,
                min_ms: meta.min_ms,
            };
            let day = days.0.entry(meta.partition).or_insert(first);
            day.generation = day.generation.max(meta.generation);
            day.min_ms = day.min_ms.min(meta.min_ms);
        }
        days
    }
    /// The highest generation that matters for the windows of a day.
    fn generation(&self, partition: i64) -> u64 {
        let days = self.0.range(around(partition));
        days.map(|(_, day)| day.generation).max().unwrap_or_default()
    }
    fn has(&self, partition: i64) -> bool {
        self.0.contains_key(&partition)
    }
    /// Whether the next day may have samples at the midnight that ends this one.
    fn has_midnight(&self, partition: i64) -> bool {
        let next = self.0.get(&partition.saturating_add(1));
        next.is_some_and(|day| day.min_ms == end_of(partition))
    }
    /// Days that may have windows.
    fn all(&self) -> BTreeSet<i64> {
        let before = self.0.keys().map(|p| p.saturating_sub(1));
        let with_midnight = before.filter(|p| self.has_midnight(*p));
        self.0.keys().copied().chain(with_midnight).collect()
    }
}

/// Which windows there are to make, at a moment.
struct Ledger<'a> {
    options: &'a Options,
    days: Days,
    built: &'a [Built],
    /// Days that have windows of any resolution.
    with_windows: BTreeSet<i64>,
    now_ms: i64,
}

impl<'a> Ledger<'a> {
    fn new(options: &'a Options, manifest: &'a TenantManifest, now_ms: i64) -> Self {
        let windows = manifest.parts.iter().filter(|p| p.meta.resolution_ms > 0);
        Self {
            options,
            days: Days::of(manifest.parts.iter().map(|p| &p.meta)),
            built: &manifest.state.rolled_up,
            with_windows: windows.map(|p| p.meta.partition).collect(),
            now_ms,
        }
    }
    /// The resolutions whose windows of a day are missing or out of date.
    fn missing(&self, partition: i64) -> Vec<u64> {
        let generation = self.days.generation(partition);
        let is_missing = |resolution_ms: u64| {
            let built = self
                .built
                .iter()
                .find(|b| (b.resolution_ms, b.partition) == (resolution_ms, partition));
            match built {
                Some(_) if self.is_gone(partition) => false,
                Some(built) => built.generation < generation,
                // The midnight alone must not stand for a day whose samples are gone already.
                None => {
                    self.days.has(partition)
                        || (self.days.has_midnight(partition) && !self.with_windows.contains(&partition))
                }
            }
        };
        let is_kept =
            |retention_ms: u64| end_of(partition) >= self.now_ms.saturating_sub_unsigned(retention_ms);
        let wanted = self.options.rollups.iter().filter(|r| is_kept(r.retention_ms));
        wanted
            .map(|r| r.resolution_ms)
            .filter(|r| is_missing(*r))
            .collect()
    }
    /// Whether a day's samples went, by age or by rules: what was made of them stays.
    fn is_gone(&self, partition: i64) -> bool {
        let may_go = self.is_expired(partition) || !self.options.retention_rules.is_empty();
        may_go && !self.days.has(partition)
    }
    /// Whether a day's windows may be made: the next day is over, and a while.
    fn is_due(&self, partition: i64) -> bool {
        // Windows that are there are mended even if somebody has set the clock back since.
        self.with_windows.contains(&partition)
            || end_of(partition.saturating_add(1)).saturating_add(SETTLE_MS) <= self.now_ms
    }
    /// Whether a day's samples are past their retention.
    fn is_expired(&self, partition: i64) -> bool {
        end_of(partition) <= validate::first_kept_ms(self.options, self.now_ms)
    }
    /// Whether the retention waits for the windows of a day: its samples or those of a neighbour that it needs.
    fn is_urgent(&self, partition: i64) -> bool {
        self.is_expired(partition.saturating_sub(1))
    }
    /// Whether no window needs the samples of a day any more.
    fn is_done(&self, partition: i64) -> bool {
        around(partition).all(|p| self.missing(p).is_empty())
    }
}

/// Decides which parts the retention removes.
pub(super) struct Keeping<'a> {
    ledger: Ledger<'a>,
    kept: rollup::Kept,
    done: BTreeMap<i64, bool>,
    /// Days that were tried in vain.
    failed: BTreeSet<i64>,
}
impl<'a> Keeping<'a> {
    pub(super) fn new(
        options: &'a Options,
        manifest: &'a TenantManifest,
        now_ms: i64,
        waiting: &Waiting,
    ) -> Self {
        Self {
            ledger: Ledger::new(options, manifest, now_ms),
            kept: rollup::Kept::new(options, now_ms),
            done: BTreeMap::new(),
            failed: waiting.retry_ns.keys().copied().collect(),
        }
    }
    /// Whether a part is to go. With windows configured, the samples of a day go together and when all windows that need
    /// them are made; days for which that failed for too long are noted.
    pub(super) fn is_over(&mut self, meta: &PartMeta, given_up: &mut BTreeSet<i64>) -> bool {
        let ledger = &self.ledger;
        if meta.resolution_ms > 0 || ledger.options.rollups.is_empty() {
            let resolution_ms = i64::try_from(meta.resolution_ms).unwrap_or(i64::MAX);
            let last_ms = meta.max_ms.saturating_add(i64::from(resolution_ms > 0));
            return last_ms < self.kept.first_ms(resolution_ms);
        }
        if !ledger.is_expired(meta.partition) {
            return false;
        }
        let is_done = self
            .done
            .entry(meta.partition)
            .or_insert_with(|| ledger.is_done(meta.partition));
        let first_ms = validate::first_kept_ms(ledger.options, ledger.now_ms);
        let is_over = end_of(meta.partition).saturating_add(HOLD_MS) <= first_ms;
        let has_failed = || self.failed.range(around(meta.partition)).next().is_some();
        if !*is_done && is_over && has_failed() {
            given_up.insert(meta.partition);
            return true;
        }
        *is_done
    }
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
            Ok(()) => {
                self.waiting().retry_ns.remove(&work.partition);
                self.context.metrics.rolled_up.inc();
            }
            Err(e) if e.kind() == ErrorKind::Cancelled => {}
            Err(e) => {
                self.context.metrics.roll_up_failed.inc();
                let retry_ns = self.context.clock.monotonic_ns().saturating_add(RETRY_NS);
                self.waiting().retry_ns.insert(work.partition, retry_ns);
                tracing::warn!(tenant = %self.name, day = work.partition, error = %e, "a day could not be rolled up; its samples stay for now");
            }
        }
        rolled.map(|()| true)
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
            let seen = waiting.seen.entry(partition).or_insert((generation, now_ns));
            if seen.0 != generation {
                *seen = (generation, now_ns);
            }
            let is_quiet = now_ns.saturating_sub(seen.1) >= QUIET_NS;
            let failed = waiting.retry_ns.get(&partition).is_some_and(|at| now_ns < *at);
            if chosen.is_none() && !failed && (at_once || is_quiet || ledger.is_urgent(partition)) {
                chosen = Some(Work {
                    partition,
                    resolutions,
                });
            }
        }
        chosen
    }

    fn roll_up_day(&self, work: &Work) -> Result<()> {
        let parts = self.state().parts.clone();
        let sources = Sources::of(&parts, work.partition);
        // The parts and the manifest change together, but were looked at one after the other.
        let generation = Days::of(sources.all().map(|p| &p.entry.meta)).generation(work.partition);
        let added = self.write_windows(work, |builders| {
            sources.roll_up(self, builders, &work.resolutions)
        })?;
        let mut manifest = self.lock_manifest();
        let mut next = manifest.clone();
        let named: BTreeSet<u64> = next.parts.iter().map(|p| p.id).collect();
        if !sources.all().all(|p| named.contains(&p.entry.id)) {
            // The retention was faster, or a deletion: what was made is out of date.
            self.remove_files(added.iter().map(|e| e.id));
            return Ok(());
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
        self.replace_parts(&mut manifest, next, &added, |_| {})
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

/// What the windows of a day are made of.
struct Sources {
    partition: i64,
    /// Of the day before.
    before: Vec<Arc<Part>>,
    own: Vec<Arc<Part>>,
    /// Of the next day, when one of them may have samples at the midnight between.
    after: Vec<Arc<Part>>,
    /// Windows of the day before, when its samples are gone.
    windows_before: Option<Arc<Part>>,
}

impl Sources {
    fn of(parts: &[Arc<Part>], partition: i64) -> Self {
        let of_day = |day: i64, resolution_ms: u64| {
            let is_here = move |p: &&Arc<Part>| {
                (p.entry.meta.partition, p.entry.meta.resolution_ms) == (day, resolution_ms)
            };
            parts.iter().filter(is_here).cloned().collect::<Vec<_>>()
        };
        let before = of_day(partition.saturating_sub(1), 0);
        let finest = |p: &&Arc<Part>| p.entry.meta.partition == partition.saturating_sub(1);
        let windows_before = parts.iter().find(finest).filter(|_| before.is_empty()).cloned();
        Self {
            partition,
            windows_before,
            before,
            own: of_day(partition, 0),
            after: of_day(partition.saturating_add(1), 0),
        }
    }
    /// All that must still count when the windows are made.
    fn all(&self) -> impl Iterator<Item = &Arc<Part>> {
        let samples = self.before.iter().chain(&self.own).chain(&self.after);
        samples.chain(&self.windows_before)
    }

    /// Adds the windows of all series to the files, one of each resolution. Memory: a series' samples of a day.
    ///
    /// Errors: those of the disk, and damage.
    fn roll_up(&self, tenant: &Tenant, builders: &mut [Builder], resolutions: &[u64]) -> Result<()> {
        let cache = Arc::new(Cache::new(CACHE_BYTES));
        let (start_ms, end_ms) = (start_of(self.partition), end_of(self.partition));
        // The files have their numbers already: a deletion that is not seen here is newer than they, and holds for them.
        let group = |parts: &[Arc<Part>]| Group::new(tenant, parts, &cache);
        let (mut before, mut own, mut after) = (group(&self.before)?, group(&self.own)?, group(&self.after)?);
        let mut windows_before = match &self.windows_before {
            Some(part) => Some(Cursor::new(part, &cache)?),
            None => None,
        };
        if self.after.iter().all(|p| p.entry.meta.min_ms > end_ms) {
            after = Group::default();
        }
        let mut run = Run::default();
        while let Some(id) = own.next_id().into_iter().chain(after.next_id()).min() {
            own.go_on()?;
            after.go_on()?;
            run.clear();
            own.read(id, (start_ms, end_ms - 1), &mut run)?;
            let histograms = std::mem::take(&mut run.histograms);
            after.read(id, (end_ms, end_ms), &mut run)?;
            // What stands at the midnight that begins the day belongs to the windows of the day before.
            let own_from = run.times.partition_point(|t| *t <= start_ms);
            if own_from == run.times.len() && histograms.is_empty() {
                continue;
            }
            let mut value_before = last_finite(&run.values[..own_from]);
            if value_before.is_none() {
                value_before = before.last_before(id, start_ms)?;
            }
            if let (None, Some(windows)) = (value_before, &mut windows_before) {
                value_before = last_of_windows(windows, id)?;
            }
            let samples = || {
                let times = run.times[own_from..].iter().copied();
                times.zip(run.values[own_from..].iter().copied())
            };
            for (builder, resolution_ms) in builders.iter_mut().zip(resolutions) {
                let resolution_ms = i64::try_from(*resolution_ms).unwrap_or(i64::MAX);
                for (column, windows) in
                    rollup::roll_up(samples(), value_before, resolution_ms).into_columns()
                {
                    builder.add(rollup::id_in_file(id, column)?, &windows)?;
                }
                let kept = Run {
                    histograms: rollup::kept_histograms(&histograms, resolution_ms),
                    ..Run::default()
                };
                builder.add(rollup::id_in_file(id, rollup::Column::Histograms)?, &kept)?;
            }
        }
        Ok(())
    }
}

/// The parts of one day, read side by side.
#[derive(Default)]
struct Group<'a> {
    cursors: Vec<Cursor>,
    /// What was deleted, or is expired by a rule.
    unwanted: Option<Unwanted<'a>>,
    sifted: Run,
}

impl<'a> Group<'a> {
    fn new(tenant: &'a Tenant, parts: &[Arc<Part>], cache: &Arc<Cache>) -> Result<Self> {
        if parts.is_empty() {
            return Ok(Self::default());
        }
        let cursors = parts.iter().map(|part| Cursor::new(part, cache));
        Ok(Self {
            cursors: cursors.collect::<Result<_>>()?,
            unwanted: Some(Unwanted::of(tenant, parts)?),
            sifted: Run::default(),
        })
    }
    /// An error when the store closes.
    fn go_on(&self) -> Result<()> {
        self.unwanted.as_ref().map_or(Ok(()), Sieve::go_on)
    }
    fn next_id(&self) -> Option<SeriesId> {
        let ids = self.cursors.iter().filter_map(|c| c.located().map(|l| l.id));
        ids.min()
    }
    /// Adds what the parts have of a series in a range of times, and goes past it. Ids ascend.
    fn read(&mut self, id: SeriesId, range_ms: (i64, i64), into: &mut Run) -> Result<()> {
        self.look(id, range_ms, into)?;
        for cursor in &mut self.cursors {
            if cursor.located().is_some_and(|l| l.id == id) {
                cursor.advance()?;
            }
        }
        Ok(())
    }
    fn look(&mut self, id: SeriesId, range_ms: (i64, i64), into: &mut Run) -> Result<()> {
        for (source, cursor) in self.cursors.iter_mut().enumerate() {
            if !seek(cursor, id)? {
                continue;
            }
            let Some(unwanted) = &self.unwanted else { continue };
            match unwanted.fate(source, id) {
                Fate::Drop(_) => {}
                Fate::Keep => cursor.read_range(range_ms, into)?,
                Fate::Sift => {
                    self.sifted.clear();
                    cursor.read_range(range_ms, &mut self.sifted)?;
                    unwanted.sift(source, id, &mut self.sifted, &mut Dropped::default());
                    into.add_newer(&mut self.sifted);
                }
            }
        }
        Ok(())
    }
    /// The last finite value of a series before a time, which ends the day.
    fn last_before(&mut self, id: SeriesId, before_ms: i64) -> Result<Option<f64>> {
        let mut run = Run::default();
        for from_ms in [before_ms - TAIL_MS, before_ms - PARTITION_MS + 1] {
            run.clear();
            self.look(id, (from_ms, before_ms - 1), &mut run)?;
            let last = last_finite(&run.values);
            if last.is_some() {
                return Ok(last);
            }
        }
        Ok(None)
    }
}

/// Goes on to a series; whether it is there.
fn seek(cursor: &mut Cursor, id: SeriesId) -> Result<bool> {
    while cursor.located().is_some_and(|l| l.id < id) {
        cursor.advance()?;
    }
    Ok(cursor.located().is_some_and(|l| l.id == id))
}

/// The last value that the windows of a series say.
fn last_of_windows(windows: &mut Cursor, id: SeriesId) -> Result<Option<f64>> {
    if !seek(windows, rollup::id_in_file(id, rollup::Column::Last)?)? {
        return Ok(None);
    }
    let mut run = Run::default();
    windows.read(&mut run)?;
    Ok(last_finite(&run.values))
}

fn last_finite(values: &[f64]) -> Option<f64> {
    let mut found = values.iter().rev().filter(|v| !is_stale(**v) && v.is_finite());
    found.next().copied()
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
