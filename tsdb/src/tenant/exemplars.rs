//! Reading exemplars: those of parts, of the frozen head and of the head, series by series.

use super::Tenant;
use crate::directory::SeriesId;
use crate::samples::{PartMeta, Reader, Run};
use crate::validate;
use model::{Budget, Exemplar, Labels, Predicate, Result};
use std::collections::{BTreeMap, BTreeSet};

impl Tenant {
    /// See [`crate::Store::exemplars`].
    pub(crate) fn exemplars(
        &self,
        predicates: &[Predicate],
        range_ms: (i64, i64),
        budget: &Budget,
    ) -> Result<Vec<(Labels, Vec<Exemplar>)>> {
        budget.check()?;
        let kept_ms = validate::first_kept_ms(&self.context.options, self.context.clock.now_ms());
        let range = (range_ms.0.max(kept_ms), range_ms.1);
        let view = self.catalog.view().noting_damage(budget);
        let mut ids = BTreeSet::new();
        for predicate in predicates {
            ids.extend(view.select(predicate, budget)?);
        }
        let ids: Vec<SeriesId> = ids.into_iter().collect();
        let mut found = self.exemplars_of(&ids, range, budget)?;
        let with_some: Vec<SeriesId> = found.keys().copied().collect();
        // Ids with the same labels are one series.
        let mut series: BTreeMap<Labels, Run> = BTreeMap::new();
        view.labels(&with_some, &mut |id, labels| {
            let Some(mut run) = found.remove(&id) else {
                return Ok(());
            };
            budget.charge_series(1)?;
            series.entry(labels.clone()).or_default().add_newer(&mut run);
            Ok(())
        })?;
        Ok(series.into_iter().map(|(l, run)| (l, run.exemplars)).collect())
    }

    /// By id, which must ascend; ids without exemplars are left out.
    fn exemplars_of(
        &self,
        ids: &[SeriesId],
        range: (i64, i64),
        budget: &Budget,
    ) -> Result<BTreeMap<SeriesId, Run>> {
        let (parts, tombstones, frozen, head) = {
            let state = self.state();
            let mut head = BTreeMap::new();
            copy(state.head.exemplars(ids), range, budget, &mut head)?;
            let (parts, tombstones) = (state.parts.clone(), state.tombstones.clone());
            (parts, tombstones, state.frozen.clone(), head)
        };
        let mut found: BTreeMap<SeriesId, Run> = BTreeMap::new();
        for part in parts.iter().filter(|p| may_have(&p.entry.meta, range)) {
            budget.check()?;
            let meta = &part.entry.meta;
            let mut damaged = |e| self.context.damaged(part, budget, e);
            let mut reader = Reader::new(part.clone());
            for located in part.find(ids, &mut damaged)? {
                let mut run = Run::default();
                reader.read_exemplars(&located, range, &mut run, &mut damaged)?;
                let deletions = tombstones.iter().filter(|t| t.names(located.id));
                for tombstone in deletions.filter(|t| t.concerns(meta)) {
                    run.retain(|time_ms| !tombstone.takes(meta, time_ms));
                }
                add(located.id, run, budget, &mut found)?;
            }
            budget.charge_bytes(reader.take_bytes_read())?;
        }
        if let Some(frozen) = frozen {
            copy(frozen.head.exemplars(ids), range, budget, &mut found)?;
        }
        for (id, mut run) in head {
            found.entry(id).or_default().add_newer(&mut run);
        }
        Ok(found)
    }
}

/// Whether a part may have exemplars in a range of times: those of windows have none.
fn may_have(meta: &PartMeta, range: (i64, i64)) -> bool {
    meta.resolution_ms == 0 && meta.min_ms <= range.1 && range.0 <= meta.max_ms
}

/// Copies what a head has.
fn copy<'a>(
    of_head: impl Iterator<Item = (SeriesId, &'a [Exemplar])>,
    range: (i64, i64),
    budget: &Budget,
    into: &mut BTreeMap<SeriesId, Run>,
) -> Result<()> {
    for (id, exemplars) in of_head {
        let within = |e: &&Exemplar| range.0 <= e.timestamp_ms && e.timestamp_ms <= range.1;
        let mut exemplars: Vec<Exemplar> = exemplars.iter().filter(within).cloned().collect();
        exemplars.sort_by_key(|e| e.timestamp_ms);
        let run = Run {
            exemplars,
            ..Run::default()
        };
        add(id, run, budget, into)?;
    }
    Ok(())
}

/// Adds what is newer, and charges for it.
fn add(id: SeriesId, mut run: Run, budget: &Budget, into: &mut BTreeMap<SeriesId, Run>) -> Result<()> {
    if run.exemplars.is_empty() {
        return Ok(());
    }
    budget.charge_samples(run.exemplars.len() as u64)?;
    let bytes = |e: &Exemplar| size_of::<Exemplar>() + e.labels.size_bytes();
    budget.charge_bytes(run.exemplars.iter().map(bytes).sum::<usize>() as u64)?;
    into.entry(id).or_default().add_newer(&mut run);
    Ok(())
}
