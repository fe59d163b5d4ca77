//! Which windows there are to make, and what waits for them.

use super::{Built, HOLD_MS, SETTLE_MS, Waiting, around, end_of};
use crate::options::Options;
use crate::rollup;
use crate::samples::PartMeta;
use crate::tenant::TenantManifest;
use crate::validate;
use std::collections::{BTreeMap, BTreeSet};

/// The parts of samples as they came, by day, as far as they matter here.
#[derive(Debug, Default)]
pub(super) struct Days(BTreeMap<i64, Day>);

#[derive(Debug, Clone, Copy, Default)]
struct Day {
    /// The highest generation.
    generation: u64,
    min_ms: i64,
}

impl Days {
    pub(super) fn of<'a>(parts: impl Iterator<Item = &'a PartMeta>) -> Self {
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
    pub(super) fn generation(&self, partition: i64) -> u64 {
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
    pub(super) fn all(&self) -> BTreeSet<i64> {
        let before = self.0.keys().map(|p| p.saturating_sub(1));
        let with_midnight = before.filter(|p| self.has_midnight(*p));
        self.0.keys().copied().chain(with_midnight).collect()
    }
}

/// Which windows there are to make, at a moment.
pub(in crate::tenant) struct Ledger<'a> {
    options: &'a Options,
    pub(super) days: Days,
    built: &'a [Built],
    /// Days that have windows of any resolution.
    with_windows: BTreeSet<i64>,
    now_ms: i64,
}

impl<'a> Ledger<'a> {
    pub(in crate::tenant) fn new(options: &'a Options, manifest: &'a TenantManifest, now_ms: i64) -> Self {
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
    pub(super) fn missing(&self, partition: i64) -> Vec<u64> {
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
    /// Whether a day's samples went, by age, by rules or for size: what was made of them stays.
    fn is_gone(&self, partition: i64) -> bool {
        let options = self.options;
        let may_go = self.is_expired(partition)
            || !options.retention_rules.is_empty()
            || options.retention_bytes.is_some();
        may_go && !self.days.has(partition)
    }
    /// Whether there are only windows of a day that had samples.
    pub(in crate::tenant) fn has_lost_all(&self, partition: i64) -> bool {
        self.with_windows.contains(&partition) && self.is_gone(partition)
    }
    /// Whether a day's windows may be made: the next day is over, and a while.
    pub(super) fn is_due(&self, partition: i64) -> bool {
        // Windows that are there are mended even if somebody has set the clock back since.
        self.with_windows.contains(&partition)
            || end_of(partition.saturating_add(1)).saturating_add(SETTLE_MS) <= self.now_ms
    }
    /// Whether a day's samples are past their retention.
    fn is_expired(&self, partition: i64) -> bool {
        end_of(partition) <= validate::first_kept_ms(self.options, self.now_ms)
    }
    /// Whether the retention waits for the windows of a day: its samples or those of a neighbour that it needs.
    pub(super) fn is_urgent(&self, partition: i64) -> bool {
        self.is_expired(partition.saturating_sub(1))
    }
    /// Whether no window needs the samples of a day any more.
    pub(in crate::tenant) fn is_done(&self, partition: i64) -> bool {
        around(partition).all(|p| self.missing(p).is_empty())
    }
    /// Whether samples have waited for the windows of a day for too long, by their age or by a rule.
    pub(super) fn is_hold_over(&self, partition: i64) -> bool {
        let of_rules = self.options.retention_rules.iter().map(|rule| rule.keep_ms);
        let shortest = of_rules.chain(self.options.retention_ms).min();
        let first = around(partition).find(|p| self.days.has(*p));
        shortest.zip(first).is_some_and(|(keep_ms, day)| {
            end_of(day).saturating_add(HOLD_MS) <= self.now_ms.saturating_sub_unsigned(keep_ms)
        })
    }
    /// What goes next when the disk is wanted for newer data; `None` when only the newest day is left.
    pub(in crate::tenant) fn oldest<'p>(&self, parts: impl Iterator<Item = &'p PartMeta>) -> Option<Oldest> {
        let mut raw = self.days.0.keys().copied();
        // The newest stays.
        raw.next_back();
        let summed_up = |p: &i64| self.with_windows.contains(p) && self.is_done(*p);
        if let Some(samples) = raw.find(summed_up) {
            return Some(Oldest::Samples(samples));
        }
        let days: BTreeSet<i64> = parts.map(|meta| meta.partition).collect();
        let oldest = days.first().filter(|_| days.len() > 1)?;
        Some(Oldest::Day(*oldest))
    }
}

/// What goes first of a tenant's data when there is too much: detail before history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Oldest {
    /// The samples of a day that has windows.
    Samples(i64),
    /// All of a day.
    Day(i64),
}

impl Oldest {
    /// Whether a part belongs to it.
    pub(in crate::tenant) fn holds(self, meta: &PartMeta) -> bool {
        match self {
            Self::Samples(partition) => (meta.partition, meta.resolution_ms) == (partition, 0),
            Self::Day(partition) => meta.partition == partition,
        }
    }
}

/// Decides which parts the retention removes.
pub(in crate::tenant) struct Keeping<'a> {
    ledger: Ledger<'a>,
    kept: rollup::Kept,
    done: BTreeMap<i64, bool>,
    /// Days of which not even what can be read could be rolled up.
    hopeless: BTreeSet<i64>,
}
impl<'a> Keeping<'a> {
    pub(in crate::tenant) fn new(
        options: &'a Options,
        manifest: &'a TenantManifest,
        now_ms: i64,
        waiting: &Waiting,
    ) -> Self {
        Self {
            ledger: Ledger::new(options, manifest, now_ms),
            kept: rollup::Kept::new(options, now_ms),
            done: BTreeMap::new(),
            hopeless: waiting.hopeless.clone(),
        }
    }
    /// Whether a part is to go. With windows configured, the samples of a day go together and when all windows that need
    /// them are made; days for which that failed for too long are noted.
    pub(in crate::tenant) fn is_over(&mut self, meta: &PartMeta, given_up: &mut BTreeSet<i64>) -> bool {
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
        let is_hopeless = || self.hopeless.range(around(meta.partition)).next().is_some();
        if !*is_done && is_over && is_hopeless() {
            given_up.insert(meta.partition);
            return true;
        }
        *is_done
    }
}
