//! Deletion: hidden at once by a tombstone, gone for good when the parts have been written anew.

use super::flush::next_file;
use super::sieve::Unwanted;
use super::{ENCODING, State, Tenant, TenantManifest};
use crate::idset::IdSet;
use crate::samples::Part;
use crate::tombstones::{Tombstone, TombstoneMeta};
use model::{Budget, Error, Predicate, Result};
use std::sync::{Arc, PoisonError};

impl Tenant {
    /// Deletes what series that satisfy one of the predicates have in a range of times, both included, as far as it
    /// was acknowledged before; how many series there are. Reads do not show it any more when this returns.
    pub(crate) fn delete(
        &self,
        predicates: &[Predicate],
        range_ms: (i64, i64),
        budget: &Budget,
    ) -> Result<u64> {
        // Then it is in parts, which are older than the tombstone; what is written from now on is not meant.
        self.flush()?;
        let view = self.catalog.view().noting_damage(budget);
        let mut ids = IdSet::default();
        for predicate in predicates {
            let selected: IdSet = view.select(predicate, budget)?.into_iter().collect();
            ids = ids.with(&selected);
        }
        if ids.is_empty() {
            return Ok(0);
        }
        let series = ids.len();
        let mut manifest = self.lock_manifest();
        let limit = self.context.options.max_tombstones;
        if manifest.state.tombstones.len() >= limit {
            return Err(Error::limit(format!(
                "{limit} deletions wait to be carried out already; POST /api/v1/admin/tsdb/clean_tombstones carries \
                 them out"
            )));
        }
        let meta = TombstoneMeta {
            min_ms: range_ms.0,
            max_ms: range_ms.1,
            series,
            created_ms: self.context.clock.now_ms(),
        };
        let id = next_file(&mut manifest);
        let tombstone = Tombstone::write(&self.context.fs, &self.dir, id, meta, ids)?;
        let mut next = manifest.clone();
        next.state.encoding = ENCODING;
        next.state.tombstones.push(tombstone.entry.clone());
        self.replace_parts(&mut manifest, next, &[], |state| state.add_tombstone(tombstone))?;
        tracing::info!(tenant = %self.name, series, "series were deleted in a range of times");
        Ok(series)
    }

    /// Writes parts anew that have something in them which is not wanted any more, so that it is gone for good, and
    /// removes the tombstones that are carried out. Tombstones younger than this wait for others to come.
    pub(crate) fn clean(&self, min_age_ms: u64) -> Result<bool> {
        let _alone = self.merging.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut did, parts) = (false, self.state().parts.clone());
        for part in parts.iter() {
            if part.unreadable().is_none() && !part.is_damaged() && self.is_due(part, min_age_ms) {
                self.clean_part(part)?;
                did = true;
            }
        }
        self.forget_tombstones()?;
        Ok(did)
    }

    /// Whether a tombstone that is old enough or a rule of retention may want something out of a part.
    fn is_due(&self, part: &Part, min_age_ms: u64) -> bool {
        let old_ms = self.context.clock.now_ms().saturating_sub_unsigned(min_age_ms);
        let tombstones = self.state().tombstones.clone();
        let mut due = tombstones
            .iter()
            .filter(|t| t.unreadable().is_none() && t.entry.meta.created_ms <= old_ms);
        due.any(|t| t.concerns(&part.entry.meta)) || self.is_expired_in(&part.entry.meta)
    }

    fn clean_part(&self, part: &Arc<Part>) -> Result<()> {
        let sources = std::slice::from_ref(part);
        let unwanted = Unwanted::of(self, sources)?;
        let has_any = unwanted.has_any(0, part).inspect_err(|_| part.mark_damaged())?;
        if has_any {
            return self.merge_noted(sources);
        }
        let mut manifest = self.lock_manifest();
        let mut next = manifest.clone();
        let Some(entry) = next.parts.iter_mut().find(|p| p.id == part.entry.id) else {
            return Ok(());
        };
        entry.meta.deletions_done = unwanted.deletions_done;
        entry.meta.retention_done = unwanted.retention_done;
        let marked = [entry.clone()];
        self.replace_parts(&mut manifest, next, &marked, |_| {})
    }

    /// Removes the tombstones that no part needs.
    fn forget_tombstones(&self) -> Result<()> {
        let mut manifest = self.lock_manifest();
        let (tombstones, parts) = {
            let state = self.state();
            (state.tombstones.clone(), state.parts.clone())
        };
        let is_needed =
            |t: &Tombstone| t.unreadable().is_some() || parts.iter().any(|p| t.concerns(&p.entry.meta));
        let (needed, done): (Vec<_>, Vec<_>) = tombstones.iter().cloned().partition(|t| is_needed(t));
        if done.is_empty() {
            return Ok(());
        }
        let mut next = manifest.clone();
        next.state.tombstones = needed.iter().map(|t| t.entry.clone()).collect();
        self.replace_parts(&mut manifest, next, &[], |state| {
            state.tombstones = Arc::new(needed);
        })?;
        self.remove_files(done.iter().map(|t| t.entry.id));
        Ok(())
    }
}

impl State {
    fn add_tombstone(&mut self, tombstone: Tombstone) {
        let mut tombstones = self.tombstones.to_vec();
        tombstones.push(Arc::new(tombstone));
        self.tombstones = Arc::new(tombstones);
    }
}

/// Opens the tombstones that a manifest names, by number.
pub(super) fn open_tombstones(
    fs: &dyn model::Fs,
    dir: &std::path::Path,
    manifest: &TenantManifest,
) -> Result<Arc<Vec<Arc<Tombstone>>>> {
    let mut entries = manifest.state.tombstones.clone();
    entries.sort_by_key(|entry| entry.id);
    let open = |entry| Tombstone::open(fs, dir, entry).map(Arc::new);
    let opened = entries.into_iter().map(open).collect::<Result<Vec<_>>>()?;
    for e in opened.iter().filter_map(|t| t.unreadable()) {
        tracing::error!(error = %e, "a deletion cannot be read; what it deleted may show again");
    }
    Ok(Arc::new(opened))
}
