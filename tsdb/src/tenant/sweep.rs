//! Sweeping the catalog: series of which nothing is left anywhere lose their labels too.
//!
//! A series that a writer brings back at this very moment must not lose its labels behind its back. So what is about to
//! go is written into [`super::Active`] first, under the lock that gives out ids: from then on such a series comes back
//! as a new one.

use super::flush::next_file;
use super::{State, Tenant};
use crate::directory::SlotId;
use crate::head::Head;
use crate::idset::IdSet;
use crate::samples::{Part, SeriesId};
use model::Result;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

/// A segment is written anew when at least one of so many of its series is gone.
const WORTH: u64 = 8;

impl Tenant {
    /// Takes series of which nothing is left out of the catalog, if parts have lost any since the last time. All of
    /// them, or only where it is worth writing a segment anew.
    pub(super) fn sweep(&self, all: bool) -> Result<()> {
        if !self.wants_sweep.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        let _alone = self.merging.lock().unwrap_or_else(PoisonError::into_inner);
        let swept = self.sweep_segments(all);
        if swept.is_err() {
            self.wants_sweep.store(true, Ordering::Relaxed);
        }
        swept
    }

    fn sweep_segments(&self, all: bool) -> Result<()> {
        let segments = self.catalog.segment_ids()?;
        let parts = self.state().parts.clone();
        let Some(alive) = ids_in(&parts)? else {
            // What a damaged part has cannot be told.
            return Ok(());
        };
        let mut dead = IdSet::default();
        for (_, ids) in &segments {
            dead = dead.with(&ids.without(&alive));
        }
        let Some(dead) = self.condemn(&dead, &parts) else {
            self.wants_sweep.store(true, Ordering::Relaxed);
            return Ok(());
        };
        for (segment, ids) in segments {
            let gone = ids.len() - ids.without(&dead).len();
            if gone > 0 && (all || gone * WORTH >= ids.len()) {
                self.rewrite_segment(segment, &dead)?;
            }
        }
        Ok(())
    }

    /// Of series that these parts have nothing of, those that memory has nothing of either. From now on none of them
    /// is given to a writer. `None` when there are other parts by now: a flush may have put a series there that neither
    /// the head nor the directory has any more.
    fn condemn(&self, candidates: &IdSet, parts: &Arc<Vec<Arc<Part>>>) -> Option<IdSet> {
        let mut active = self.active_mut();
        let directory = &active.directory;
        let of_slots = (0..directory.slots()).map(|slot| directory.id(slot as SlotId));
        let alive: IdSet = of_slots.collect();
        let in_heads: IdSet = {
            let state = self.state();
            if !Arc::ptr_eq(&state.parts, parts) {
                return None;
            }
            state.ids().collect()
        };
        active.dying = candidates.without(&alive).without(&in_heads);
        Some(active.dying.clone())
    }

    fn rewrite_segment(&self, segment: u64, dead: &IdSet) -> Result<()> {
        let id = next_file(&mut self.lock_manifest());
        let kept = self
            .catalog
            .merge(&[segment], id, &|series| !dead.contains(series))?;
        let mut manifest = self.lock_manifest();
        let mut next = manifest.clone();
        next.state.catalog.retain(|s| s.id != segment);
        next.state.catalog.extend(kept.clone());
        self.replace_parts(&mut manifest, next, &[], |_| {})?;
        self.catalog.replace(&[segment], kept.as_slice())?;
        self.remove_files([segment]);
        Ok(())
    }
}

/// The series that parts have something of; `None` when one cannot be read.
fn ids_in(parts: &[Arc<Part>]) -> Result<Option<IdSet>> {
    let mut alive = IdSet::default();
    for part in parts {
        if part.unreadable().is_some() {
            return Ok(None);
        }
        let meta = &part.entry.meta;
        let ids = part.ids().map(|id| id.map(|id| meta.series_of(id)));
        alive = alive.with(&ids.collect::<Result<IdSet>>()?);
    }
    Ok(Some(alive))
}

impl State {
    /// The series that the heads have something of.
    fn ids(&self) -> impl Iterator<Item = SeriesId> {
        let heads = [Some(&self.head), self.frozen.as_ref().map(|f| &f.head)];
        let series: Vec<_> = heads.into_iter().flatten().flat_map(Head::series).collect();
        series.into_iter().map(|(id, _)| id)
    }
}
