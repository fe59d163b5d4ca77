//! A consistent look at the catalog for one query.

use super::SeriesId;
use super::cardinality::{self, Cardinality};
use super::ids::{Ids, OFFSETS};
use super::memory::MemoryView;
use super::segment::Segment;
use super::select::Plan;
use super::source::{Damage, Name, PairText, Source, read_labels};
use model::{Budget, ErrorKind, Labels, Predicate, Result};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Series that are brought into the order of their ids at a time.
const PIECE: usize = 1024;

/// The catalog as it was when [`super::Catalog::view`] was called. Damage is an error, unless
/// [`View::noting_damage`] was asked for.
#[derive(Clone)]
pub(crate) struct View {
    memory: Vec<MemoryView>,
    segments: Arc<[Arc<Segment>]>,
    budget: Option<Budget>,
}

impl View {
    pub(super) fn new(memory: Vec<MemoryView>, segments: Arc<[Arc<Segment>]>) -> Self {
        Self {
            memory,
            segments,
            budget: None,
        }
    }
    /// The same view for a query that goes on without what is damaged: each damaged page costs the series that
    /// stand in it or have a label that does, and is a warning in the budget. The budget also ends long work.
    #[must_use]
    pub(crate) fn noting_damage(self, budget: &Budget) -> Self {
        Self {
            budget: Some(budget.clone()),
            ..self
        }
    }
    /// The ids of the series that satisfy a predicate, ascending. A series is not selected when its labels alone do
    /// not decide.
    pub(crate) fn select(&self, predicate: &Predicate, budget: &Budget) -> Result<Vec<SeriesId>> {
        let plan = Plan::of(predicate);
        let mut selected = Vec::new();
        for source in self.sources() {
            budget.check()?;
            let ids = match plan.select(source, budget) {
                Err(e) if e.kind() == ErrorKind::Corrupt && self.budget.is_some() => {
                    self.damage().note(e)?;
                    plan.select_by_labels(source, self.damage())?
                }
                selected => selected?,
            };
            selected.extend(ids.iter().map(|offset| source.base() + u64::from(offset)));
        }
        // Each source's ids are a run that the sort finds.
        selected.sort();
        selected.dedup();
        Ok(selected)
    }
    /// Hands out the labels of series, in the order of the ids, which must ascend. An id that is not known, or whose
    /// labels can't be read and that was noted, is left out.
    pub(crate) fn labels(
        &self,
        ids: &[SeriesId],
        visit: &mut dyn FnMut(SeriesId, &Labels) -> Result<()>,
    ) -> Result<()> {
        let sources: Vec<_> = self.sources().collect();
        let mut found: Vec<(SeriesId, Labels)> = Vec::with_capacity(ids.len().min(PIECE));
        for piece in ids.chunks(PIECE) {
            found.clear();
            for source in &sources {
                let wanted = offsets(piece, source.base());
                if !wanted.is_empty() {
                    read_labels(*source, Some(&wanted), self.damage(), &mut |offset, labels| {
                        found.push((source.base() + u64::from(offset), labels));
                        Ok(())
                    })?;
                }
            }
            found.sort_by_key(|(id, _)| *id);
            found.dedup_by_key(|(id, _)| *id);
            for (id, labels) in &found {
                visit(*id, labels)?;
            }
        }
        Ok(())
    }
    /// The label names of some series, or of all; sorted.
    pub(crate) fn label_names(&self, ids: Option<&[SeriesId]>) -> Result<Vec<String>> {
        let mut names = BTreeSet::new();
        for source in self.sources() {
            let here = source.names(self.damage())?;
            match ids {
                None => names.extend(here.into_iter().map(|(name, _)| name)),
                Some(ids) => {
                    let of_these = self.names_of(source, here, ids)?;
                    names.extend(of_these);
                }
            }
        }
        Ok(names.into_iter().collect())
    }
    /// The values of a label that some series have, or all; sorted.
    pub(crate) fn label_values(&self, name: &str, ids: Option<&[SeriesId]>) -> Result<Vec<String>> {
        let mut values = BTreeSet::new();
        for source in self.sources() {
            let done = match ids {
                None => source.scan(name, "", self.damage(), &mut |value, _| {
                    values.insert(value.to_owned());
                    Ok(())
                }),
                Some(ids) => self.values_of(source, name, ids, &mut values),
            };
            done.or_else(|e| self.damage().note(e))?;
        }
        Ok(values.into_iter().collect())
    }
    /// What there is much of: among some series, or all.
    pub(crate) fn cardinality(&self, alive: Option<&[SeriesId]>, limit: usize) -> Result<Cardinality> {
        let kept = |source: &dyn Source| alive.map(|ids| offsets(ids, source.base()));
        let inputs = self.sources().map(|source| (source, kept(source))).collect();
        cardinality::count(inputs, limit, self.damage())
    }

    fn sources(&self) -> impl Iterator<Item = &dyn Source> {
        let segments = self.segments.iter().map(|s| s.as_ref() as &dyn Source);
        segments.chain(self.memory.iter().map(|m| m as &dyn Source))
    }
    fn damage(&self) -> Damage<'_> {
        Damage(self.budget.as_ref())
    }
    fn names_of(
        &self,
        source: &dyn Source,
        names: Vec<(String, Name)>,
        ids: &[SeriesId],
    ) -> Result<Vec<String>> {
        let mut left = names;
        let mut found = Vec::new();
        source.series(Some(&offsets(ids, source.base())), self.damage(), &mut |series| {
            let mut at = 0;
            while at < left.len() {
                if source.pair_of(series.pairs, left[at].1).is_some() {
                    found.push(left.swap_remove(at).0);
                } else {
                    at += 1;
                }
            }
            Ok(())
        })?;
        Ok(found)
    }
    fn values_of(
        &self,
        source: &dyn Source,
        name: &str,
        ids: &[SeriesId],
        values: &mut BTreeSet<String>,
    ) -> Result<()> {
        let wanted = offsets(ids, source.base());
        if wanted.is_empty() {
            return Ok(());
        }
        let Some(place) = source.name(name)? else {
            return Ok(());
        };
        let mut pairs = BTreeSet::new();
        source.series(Some(&wanted), self.damage(), &mut |series| {
            pairs.extend(source.pair_of(series.pairs, place));
            Ok(())
        })?;
        let mut text = PairText::default();
        for pair in pairs {
            match source.pair(pair, &mut text) {
                Ok(_) => {
                    values.insert(text.value.clone());
                }
                Err(e) => self.damage().note(e)?,
            }
        }
        Ok(())
    }
}

/// Ascending ids as offsets, as far as they can lie in a source.
fn offsets(ids: &[SeriesId], base: SeriesId) -> Ids {
    let start = ids.partition_point(|id| *id < base);
    let here = ids[start..]
        .iter()
        .map(|id| id - base)
        .take_while(|offset| *offset < OFFSETS);
    Ids::from_sorted(here.map(|offset| offset as u32))
}
