//! Retention: by time, by rules for some series, by size.

use super::rollup::Keeping;
use super::sieve::Series;
use super::{Tenant, TenantManifest};
use crate::idset::IdSet;
use crate::options::Options;
use crate::samples::{PARTITION_MS, PartMeta};
use model::{Budget, Result};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

/// What the rules want out of a partition of time that is over.
pub(super) struct Expired {
    /// Says the same as what was done to a part when nothing is left to do; 0 for nothing.
    pub fingerprint: u64,
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
            fingerprint = hash(text.chain(done).chain(others.then_some("+"))).max(1);
        }
        Self {
            fingerprint,
            rules,
            others,
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
        self.context.metrics.roll_up_given_up.add(given_up.len() as u64);
        for day in given_up {
            tracing::error!(tenant = %self.name, day, "samples past their retention were removed without being rolled up, which failed for days");
        }
        Ok(())
    }

    /// The oldest partition of time, unless it is the newest as well.
    pub(crate) fn oldest_partition(&self) -> Option<i64> {
        let state = self.state();
        let partitions = state.parts.iter().map(|p| p.entry.meta.partition);
        let oldest = partitions.clone().min()?;
        partitions.max().filter(|newest| *newest > oldest).map(|_| oldest)
    }

    /// Removes a partition of time because the disk is wanted for newer ones.
    pub(crate) fn remove_partition(&self, partition: i64) -> Result<()> {
        let removed = self.remove_parts(|manifest| {
            let parts = manifest.parts.iter();
            parts
                .filter(|p| p.meta.partition == partition)
                .map(|p| p.id)
                .collect()
        })?;
        self.context.metrics.removed_by_size.add(removed);
        tracing::info!(tenant = %self.name, partition, samples = removed, "the oldest day was removed to keep the size");
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
        let expired = Expired::of(&self.context.options, meta, self.context.clock.now_ms());
        expired.fingerprint != 0 && expired.fingerprint != meta.retention_done
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
