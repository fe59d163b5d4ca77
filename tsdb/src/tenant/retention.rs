//! Retention: by time, by rules for some series, by size.

use super::rollup::{HOLD_MS, Keeping, Ledger, Oldest};
use super::sieve::Series;
use super::{Tenant, TenantManifest};
use crate::idset::IdSet;
use crate::options::Options;
use crate::samples::{PARTITION_MS, PartMeta};
use model::{Budget, Result};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

/// For [`PartMeta::retention_done`]: samples of the day have gone, but what the rules want is not all done.
pub(super) const PARTLY: u64 = 1;

/// What the rules want out of a partition of time that is over.
pub(super) struct Expired {
    /// Says the same as what was done to a part when nothing is left to do; 0 for nothing.
    pub fingerprint: u64,
    /// Whether the windows of the samples could not be made, for days.
    pub is_given_up: bool,
    /// For each rule, whether its series are to go.
    rules: Vec<bool>,
    /// Whether the series without a rule are to go.
    others: bool,
}

impl Expired {
    /// What the rules want out of a part's partition at this time.
    pub(super) fn of(options: &Options, meta: &PartMeta, now_ms: i64) -> Self {
        let end_ms = meta.partition.saturating_add(1).saturating_mul(PARTITION_MS);
        let is_over = |keep_ms: u64| end_ms <= now_ms.saturating_sub_unsigned(keep_ms);
        let has_rules = !options.retention_rules.is_empty() && meta.resolution_ms == 0;
        let rules: Vec<bool> = options
            .retention_rules
            .iter()
            .map(|rule| has_rules && is_over(rule.keep_ms))
            .collect();
        let others = has_rules && options.retention_ms.is_some_and(is_over);
        let mut fingerprint = 0;
        if others || rules.contains(&true) {
            let text = options.retention_rules.iter().map(|rule| rule.name.as_str());
            let done = rules.iter().map(|done| if *done { "+" } else { "-" });
            fingerprint = hash(text.chain(done).chain(others.then_some("+"))).max(PARTLY + 1);
        }
        Self {
            fingerprint,
            is_given_up: false,
            rules,
            others,
        }
    }
    /// What was done to a part that is made of some to which this was done.
    pub(super) fn done(&self, mut sources: impl Iterator<Item = u64>) -> u64 {
        let first = sources.next().unwrap_or_default();
        match self.fingerprint {
            0 if sources.all(|done| done == first) => first,
            0 => PARTLY,
            all => all,
        }
    }
}

/// FNV-1a: stands in the manifest, so it must stay what it is.
fn hash<'a>(texts: impl Iterator<Item = &'a str>) -> u64 {
    let bytes = texts.flat_map(|text| text.bytes().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

impl Tenant {
    /// Removes the parts that hold nothing inside the retention any more.
    pub(crate) fn enforce_retention(&self, now_ms: i64) -> Result<()> {
        let mut given_up = BTreeSet::new();
        let removed = self.remove_parts(|manifest| {
            let mut keeping = Keeping::new(&self.context.options, manifest, now_ms, &self.waiting());
            manifest
                .parts
                .iter()
                .filter(|p| keeping.is_over(&p.meta, &mut given_up))
                .map(|p| p.id)
                .collect()
        })?;
        self.context.metrics.removed_by_age.add(removed);
        for day in given_up {
            self.give_up(day);
        }
        Ok(())
    }

    /// Says that samples of a day go without windows.
    pub(super) fn give_up(&self, day: i64) {
        if self.waiting().given_up.insert(day) {
            self.context.metrics.roll_up_given_up.inc();
            tracing::error!(tenant = %self.name, day, "samples past their retention were removed without being rolled up, which failed for days");
        }
    }

    /// What goes next when the disk is wanted for newer data.
    pub(crate) fn oldest(&self) -> Option<Oldest> {
        let manifest = self.lock_manifest();
        let now_ms = self.context.clock.now_ms();
        Ledger::new(&self.context.options, &manifest, now_ms).oldest(manifest.parts.iter().map(|p| &p.meta))
    }

    /// Removes what is the oldest because the disk is wanted for newer data.
    pub(crate) fn remove_oldest(&self, oldest: Oldest) -> Result<()> {
        let removed = self.remove_parts(|manifest| {
            let parts = manifest.parts.iter();
            parts.filter(|p| oldest.holds(&p.meta)).map(|p| p.id).collect()
        })?;
        self.context.metrics.removed_by_size.add(removed);
        tracing::info!(tenant = %self.name, ?oldest, samples = removed, "the oldest data was removed to keep the size");
        Ok(())
    }

    /// Removes the parts that are chosen by number; how many samples were in them.
    fn remove_parts(&self, choose: impl FnOnce(&TenantManifest) -> BTreeSet<u64>) -> Result<u64> {
        let mut manifest = self.lock_manifest();
        let chosen = choose(&manifest);
        if chosen.is_empty() {
            return Ok(0);
        }
        let mut next = manifest.clone();
        next.parts.retain(|p| !chosen.contains(&p.id));
        let count = |m: &TenantManifest| m.parts.iter().map(|p| p.meta.samples).sum::<u64>();
        let removed = count(&manifest) - count(&next);
        self.replace_parts(&mut manifest, next, &[], |_| {})?;
        self.wants_sweep.store(true, Ordering::Relaxed);
        Ok(removed)
    }

    /// Whether a rule may want something out of a part that is not done.
    pub(super) fn is_expired_in(&self, meta: &PartMeta) -> bool {
        let is_left = |expired: &Expired| ![0, meta.retention_done].contains(&expired.fingerprint);
        let now_ms = self.context.clock.now_ms();
        is_left(&Expired::of(&self.context.options, meta, now_ms)) && is_left(&self.expired_of(meta))
    }

    /// What the rules want out of a part's partition now. They wait for its windows, as the retention of all does.
    pub(super) fn expired_of(&self, meta: &PartMeta) -> Expired {
        let (options, now_ms) = (&self.context.options, self.context.clock.now_ms());
        let expired = Expired::of(options, meta, now_ms);
        if expired.fingerprint == 0 || options.rollups.is_empty() {
            return expired;
        }
        let manifest = self.lock_manifest();
        let ledger = Ledger::new(options, &manifest, now_ms);
        if ledger.is_done(meta.partition) {
            return expired;
        }
        if self.waiting().is_hopeless(meta.partition) {
            return Expired {
                is_given_up: true,
                ..Expired::of(options, meta, now_ms.saturating_sub(HOLD_MS))
            };
        }
        Expired::of(options, meta, i64::MIN)
    }

    /// The series that rules want out.
    pub(super) fn expired_series(&self, expired: &Expired) -> Result<Option<Series>> {
        if expired.fingerprint == 0 {
            return Ok(None);
        }
        let (view, budget) = (self.catalog.view(), Budget::unlimited());
        let (mut gone, mut kept) = (IdSet::default(), IdSet::default());
        for (rule, is_over) in self.context.options.retention_rules.iter().zip(&expired.rules) {
            let selected: IdSet = view.select(&rule.selector, &budget)?.into_iter().collect();
            // The first rule that fits a series holds.
            let own = selected.without(&gone).without(&kept);
            if *is_over {
                gone = gone.with(&own);
            } else {
                kept = kept.with(&own);
            }
        }
        Ok(Some(match expired.others {
            true => Series::AllBut(kept),
            false => Series::Only(gone),
        }))
    }
}
