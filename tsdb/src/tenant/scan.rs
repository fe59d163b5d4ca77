//! Reading: a consistent look at catalog, head and parts, then series by series.

use super::{Context, Frozen, Tenant};
use crate::catalog::View;
use crate::directory::{KeyHasher, SeriesId, SlotId};
use crate::rollup::{Asked, Kept, Pieces, Plans};
use crate::samples::{Damaged, Located, Part, Reader, Run};
use crate::tombstones::Tombstone;
use model::metric::mark_continued;
use model::{Budget, Error, ErrorKind, Labels, Result, ScanBatch, ScanRequest, SeriesData};
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::hash::BuildHasherDefault;
use std::sync::Arc;

/// Series looked at between two looks at the budget's clock.
const CHECK_EVERY: usize = 256;

/// A series that was found, and where its samples lie.
#[derive(Default)]
struct Found {
    labels: Labels,
    /// Its place in the list of ids.
    place: usize,
    plan: usize,
    /// Places in parts, from old to new: which part, and where in it.
    parts: Vec<(u32, Located)>,
    /// In the frozen head: several only if two ids have the same labels.
    frozen: Vec<(SeriesId, Option<SlotId>)>,
    /// What the head had, copied.
    head: Vec<Run>,
}

/// What a query looks at: all of it belongs to one moment.
pub(super) struct Look {
    pub plans: Plans,
    pub parts: Arc<Vec<Arc<Part>>>,
    /// For each part, the deletions that it lacks.
    deletions: Vec<Vec<Arc<Tombstone>>>,
    frozen: Option<Arc<Frozen>>,
    /// By the place in the list of ids: what is in memory.
    in_memory: Vec<InMemory>,
}

/// The series that have one plan.
pub(super) struct Wanted<'a> {
    pub plan: usize,
    pub ids: Cow<'a, [SeriesId]>,
    /// Their places in the list of all; none when they are all.
    pub places: Option<Vec<usize>>,
    /// Their ids in files of windows, once they are needed.
    pub in_windows: Option<Vec<SeriesId>>,
}

/// Points of one series that are not in a part.
struct InMemory {
    at: usize,
    frozen: Option<(SeriesId, Option<SlotId>)>,
    head: Option<Run>,
}

impl Tenant {
    /// Takes a look at the series with these ids; `with_points` copies what the head has of them.
    fn look(&self, request: &ScanRequest, ids: &[SeriesId], with_points: bool) -> Look {
        let kept = Kept::new(&self.context.options, self.context.clock.now_ms());
        let active = self.active();
        let state = self.state();
        let asked = (request.range.start_ms(), request.range.end_ms());
        let mut plans = Plans::new(&state.parts, asked, request.hints.resolution, kept);
        let range = plans.first().raw_range();
        let mut in_memory = Vec::new();
        let overlaps = |times: Option<(i64, i64)>| times.is_some_and(|(a, b)| range.0 <= b && a <= range.1);
        let look_in_head = overlaps(state.head.times()) || state.head.has_exemplars();
        let frozen = state
            .frozen
            .as_ref()
            .filter(|f| overlaps(f.head.times()) || f.head.has_exemplars());
        for (at, id) in ids.iter().enumerate() {
            if !look_in_head && frozen.is_none() {
                break;
            }
            let slot = active.directory.slot_of(*id);
            let frozen = frozen
                .filter(|f| f.head.has_any(*id, slot, range))
                .map(|_| (*id, slot));
            let mut head = None;
            if look_in_head && state.head.has_any(*id, slot, range) {
                let mut run = Run::default();
                if with_points {
                    state.head.copy_with_lead(*id, slot, range, LEAD_MS, &mut run);
                }
                head = Some(run);
            }
            if frozen.is_some() || head.is_some() {
                in_memory.push(InMemory { at, frozen, head });
            }
        }
        for day in &mut plans.days {
            let range = day.times();
            let heads = [Some(&state.head), state.frozen.as_ref().map(|f| &f.head)];
            for head in heads.into_iter().flatten() {
                if !head.times().is_some_and(|(a, b)| range.0 <= b && a <= range.1) {
                    continue;
                }
                let has_any = |id: SeriesId| head.has_any(id, active.directory.slot_of(id), range);
                let here = (0..ids.len()).filter(|at| has_any(ids[*at]));
                here.for_each(|at| day.has_samples.insert(at));
            }
        }
        let deletions_of = |part: &Arc<Part>| {
            let concerning = state.tombstones.iter().filter(|t| t.concerns(&part.entry.meta));
            concerning.cloned().collect()
        };
        Look {
            plans,
            deletions: state.parts.iter().map(deletions_of).collect(),
            parts: state.parts.clone(),
            frozen: state.frozen.clone(),
            in_memory,
        }
    }

    /// See [`model::Read::scan`].
    pub(crate) fn scan(
        &self,
        request: &ScanRequest,
    ) -> Result<Box<dyn Iterator<Item = Result<ScanBatch<SeriesData>>> + Send>> {
        request.budget.check()?;
        let view = self.catalog.view().noting_damage(&request.budget);
        let ids = view.select(&request.predicate, &request.budget)?;
        let mut look = self.look(request, &ids, true);
        let mut found: Vec<Option<Found>> = Vec::new();
        found.resize_with(ids.len(), || None);
        let asked = Asked::of(&request.hints);
        for mut wanted in self.wanted(&mut look, &ids, &request.budget)? {
            for number in 0..look.parts.len() {
                for (at, located) in self.find_in(&look, number, &mut wanted, asked, &request.budget)? {
                    let found = found[at].get_or_insert_default();
                    found.plan = wanted.plan;
                    found.parts.push((number as u32, located));
                }
            }
        }
        for in_memory in std::mem::take(&mut look.in_memory) {
            let found = found[in_memory.at].get_or_insert_default();
            found.plan = look.plans.of(in_memory.at);
            found.frozen.extend(in_memory.frozen);
            found.head.extend(in_memory.head);
        }
        let series = self.with_labels(&view, &ids, found, &mut look.plans, &request.budget)?;
        Ok(Box::new(Reading {
            readers: look.parts.iter().map(|_| None).collect(),
            asked,
            look,
            budget: request.budget.clone(),
            context: self.context.clone(),
            series: series.into_iter(),
            failed: false,
        }))
    }

    /// Where a part has the points of series that their plan wants of it, with the places of their ids; nothing when it
    /// cannot be read.
    fn find_in(
        &self,
        look: &Look,
        number: usize,
        wanted: &mut Wanted<'_>,
        asked: Asked,
        budget: &Budget,
    ) -> Result<Vec<(usize, Located)>> {
        let part = &look.parts[number];
        let (meta, plan) = (&part.entry.meta, look.plans.get(wanted.plan));
        let ranges: Vec<_> = plan.ranges(meta).collect();
        if ranges.is_empty() {
            return Ok(Vec::new());
        }
        budget.check()?;
        let (ids, in_windows) = (&*wanted.ids, &mut wanted.in_windows);
        let in_file = match meta.resolution_ms {
            0 => ids,
            _ if in_windows.is_none() => in_windows.insert(asked.ids_in_file(ids)?),
            _ => in_windows.as_deref().unwrap_or_default(),
        };
        let found = part.find(in_file, &mut |e| self.context.damaged(part, budget, e))?;
        let found = self.not_deleted(look, number, found, &ranges, budget)?;
        if let Some(used) = plan.used(meta).filter(|_| !found.is_empty()) {
            budget.note_rolled_up(used);
        }
        let place = |located: Located| {
            let at = ids.binary_search(&meta.series_of(located.id));
            let at = at.expect("a part finds what it was asked for");
            (wanted.places.as_ref().map_or(at, |places| places[at]), located)
        };
        Ok(found.into_iter().map(place).collect())
    }

    /// What deletions left of what a part has in some ranges of times.
    pub(super) fn not_deleted(
        &self,
        look: &Look,
        number: usize,
        mut found: Vec<Located>,
        ranges: &[(i64, i64)],
        budget: &Budget,
    ) -> Result<Vec<Located>> {
        let (part, deletions) = (&look.parts[number], &look.deletions[number]);
        if deletions.is_empty() {
            return Ok(found);
        }
        let meta = &part.entry.meta;
        // Whether anything is left of a series shows only in its samples.
        let (mut reader, mut failed) = (Reader::new(part.clone()), None);
        found.retain(|located| {
            let series = meta.series_of(located.id);
            let mut of_series = deletions.iter().filter(|t| t.names(series)).peekable();
            if failed.is_some() || of_series.peek().is_none() {
                return true;
            }
            if of_series.any(|t| t.takes_all(meta)) {
                return false;
            }
            let mut damaged = |e| self.context.damaged(part, budget, e);
            let mut is_left = |range| {
                let run = left(&mut reader, part, deletions, located, range, &mut damaged)?;
                Ok::<_, Error>(!run.is_empty())
            };
            let mut any = ranges.iter().copied().map(&mut is_left);
            any.find(|left| !matches!(left, Ok(false)))
                .transpose()
                .unwrap_or_else(|e| {
                    failed = Some(e);
                    Some(true)
                })
                .unwrap_or(false)
        });
        budget.charge_bytes(reader.take_bytes_read())?;
        failed.map_or(Ok(found), Err)
    }

    /// The found series with their labels, in the order of their ids, which is that of the files. Ids with the same
    /// labels are one series.
    fn with_labels(
        &self,
        view: &View,
        ids: &[SeriesId],
        mut found: Vec<Option<Found>>,
        plans: &mut Plans,
        budget: &Budget,
    ) -> Result<Vec<Found>> {
        let places: Vec<usize> = (0..ids.len()).filter(|at| found[*at].is_some()).collect();
        let wanted: Vec<SeriesId> = places.iter().map(|at| ids[*at]).collect();
        let mut series: Vec<Found> = Vec::with_capacity(wanted.len());
        let mut places = places.into_iter();
        let mut by_labels: HashMap<Labels, usize, BuildHasherDefault<KeyHasher>> = HashMap::default();
        view.labels(&wanted, &mut |id, labels| {
            // Labels that cannot be read are passed over, so the place is looked for, not counted.
            let at = places.by_ref().find(|at| ids[*at] == id);
            let Some(mut one) = at.and_then(|at| found[at].take()) else {
                return Ok(());
            };
            let next = series.len();
            one.place = at.unwrap_or_default();
            let at = *by_labels.entry(labels.clone()).or_insert(next);
            if at < next {
                series[at].plan = plans.join(series[at].place, one.place);
                series[at].join(one);
                return Ok(());
            }
            one.labels = labels.clone();
            budget.charge_series(1)?;
            if next.is_multiple_of(CHECK_EVERY) {
                budget.check()?;
            }
            series.push(one);
            Ok(())
        })?;
        Ok(series)
    }

    /// The ids that a request selects and that have anything in parts that touch its range, or in memory.
    fn present(&self, view: &View, request: &ScanRequest) -> Result<Vec<SeriesId>> {
        request.budget.check()?;
        let ids = view.select(&request.predicate, &request.budget)?;
        let mut look = self.look(request, &ids, false);
        let mut is_there = vec![false; ids.len()];
        for mut wanted in self.wanted(&mut look, &ids, &request.budget)? {
            for number in 0..look.parts.len() {
                // Every window with samples has a count.
                for (at, _) in self.find_in(&look, number, &mut wanted, Asked::Count, &request.budget)? {
                    is_there[at] = true;
                }
            }
        }
        look.in_memory.iter().for_each(|m| is_there[m.at] = true);
        let mut there = is_there.into_iter();
        Ok(ids.into_iter().filter(|_| there.next() == Some(true)).collect())
    }

    /// See [`model::Read::series`].
    pub(crate) fn series(&self, request: &ScanRequest) -> Result<Vec<Labels>> {
        let view = self.catalog.view().noting_damage(&request.budget);
        let ids = self.present(&view, request)?;
        let mut found = BTreeSet::new();
        view.labels(&ids, &mut |_, labels| {
            if found.insert(labels.clone()) {
                request.budget.charge_series(1)?;
            }
            Ok(())
        })?;
        Ok(found.into_iter().collect())
    }

    /// See [`model::Read::label_names`].
    pub(crate) fn label_names(&self, request: &ScanRequest) -> Result<Vec<String>> {
        let view = self.catalog.view().noting_damage(&request.budget);
        let ids = self.present(&view, request)?;
        view.label_names(Some(&ids))
    }

    /// See [`model::Read::label_values`].
    pub(crate) fn label_values(&self, request: &ScanRequest, name: &str) -> Result<Vec<String>> {
        let view = self.catalog.view().noting_damage(&request.budget);
        let ids = self.present(&view, request)?;
        view.label_values(name, Some(&ids))
    }
}

impl Context {
    /// Damage costs only what is damaged: the query goes on without, is told so, and it is counted.
    pub(super) fn damaged(&self, part: &Part, budget: &Budget, e: Error) -> Result<()> {
        if !matches!(e.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) {
            return Err(e);
        }
        part.mark_damaged();
        self.metrics.unreadable.inc();
        tracing::error!(error = %e, "an answer goes without damaged data");
        budget.warn(format!("the answer is incomplete: {e}"));
        Ok(())
    }
}

impl Found {
    /// Takes what another id has of the same labels.
    fn join(&mut self, other: Self) {
        self.parts.extend(other.parts);
        // From old to new, as the samples of one id are.
        self.parts.sort_by_key(|(number, _)| *number);
        self.frozen.extend(other.frozen);
        self.head.extend(other.head);
    }
}

/// Histograms of so long before a range are looked at, for the hint whether the first one of it counts on.
const LEAD_MS: i64 = 5 * 60_000;

/// Hands out the found series, each whole.
struct Reading {
    look: Look,
    asked: Asked,
    series: std::vec::IntoIter<Found>,
    /// One for each part, once it is needed.
    readers: Vec<Option<Reader>>,
    budget: Budget,
    context: Arc<Context>,
    failed: bool,
}

impl Reading {
    fn read(&mut self, found: Found) -> Result<Option<SeriesData>> {
        self.budget.check()?;
        let (mut run, mut pieces) = (Run::default(), Pieces::default());
        let (plan, rolled_up) = (
            self.look.plans.get(found.plan),
            self.look.plans.rolled_up(found.plan),
        );
        let raw_range = plan.raw_range();
        for (number, located) in &found.parts {
            let part = &self.look.parts[*number as usize];
            let reader = || Reader::new(part.clone()).with_lead(LEAD_MS);
            let reader = self.readers[*number as usize].get_or_insert_with(reader);
            let (context, budget) = (&self.context, &self.budget);
            let mut damaged = |e| context.damaged(part, budget, e);
            let (meta, deletions) = (&part.entry.meta, &self.look.deletions[*number as usize]);
            let has_deletions = deletions.iter().any(|t| t.names(meta.series_of(located.id)));
            let into = match meta.resolution_ms {
                0 => &mut run,
                windows => pieces.column(windows, located.id),
            };
            for range in plan.ranges(meta) {
                if has_deletions {
                    into.add_newer(&mut left(reader, part, deletions, located, range, &mut damaged)?);
                } else {
                    reader.read(located, range, into, &mut damaged)?;
                }
            }
            self.budget.charge_bytes(reader.take_bytes_read())?;
        }
        if let Some(frozen) = &self.look.frozen {
            for (id, slot) in &found.frozen {
                let mut newer = Run::default();
                frozen
                    .head
                    .copy_with_lead(*id, *slot, raw_range, LEAD_MS, &mut newer);
                run.add_newer(&mut newer);
            }
        }
        for mut newer in found.head {
            run.add_newer(&mut newer);
        }
        let starts = starts(&run);
        let data = if plan.is_all_raw() {
            mark_continued(&mut run.histograms, &run.times);
            run.histograms.retain(|h| h.timestamp_ms >= raw_range.0);
            SeriesData {
                start_timestamps_ms: starts,
                labels: found.labels,
                timestamps_ms: run.times,
                values: run.values,
                histograms: run.histograms,
                ..SeriesData::default()
            }
        } else {
            let joined = pieces.join(&run, &starts, self.asked, plan);
            let mut data = joined.into_data(found.labels, rolled_up);
            mark_continued(&mut data.histograms, &data.timestamps_ms);
            data
        };
        if data.timestamps_ms.is_empty() && data.histograms.is_empty() {
            return Ok(None);
        }
        let samples = (data.timestamps_ms.len() + data.histograms.len()) as u64;
        self.budget.charge_samples(samples)?;
        self.budget.charge_bytes(samples * 16)?;
        Ok(Some(data))
    }
}

/// What deletions left of a series in a part.
fn left(
    reader: &mut Reader,
    part: &Part,
    deletions: &[Arc<Tombstone>],
    located: &Located,
    range: (i64, i64),
    damaged: Damaged<'_>,
) -> Result<Run> {
    let mut run = Run::default();
    reader.read(located, range, &mut run, damaged)?;
    let series = part.entry.meta.series_of(located.id);
    for tombstone in deletions.iter().filter(|t| t.names(series)) {
        run.retain(|time_ms| !tombstone.takes(&part.entry.meta, time_ms));
    }
    Ok(run)
}

/// The start of each sample; none when no sample has one.
fn starts(run: &Run) -> Vec<i64> {
    let mut steps = run.starts.iter().peekable();
    if steps.peek().is_none() {
        return Vec::new();
    }
    let mut start = 0;
    let of = |time: &i64| {
        while let Some(step) = steps.next_if(|(from, _)| from <= time) {
            start = step.1;
        }
        start
    };
    let starts: Vec<i64> = run.times.iter().map(of).collect();
    if starts.iter().all(|start| *start == 0) {
        return Vec::new();
    }
    starts
}

impl Iterator for Reading {
    type Item = Result<ScanBatch<SeriesData>>;
    fn next(&mut self) -> Option<Self::Item> {
        while !self.failed {
            let found = self.series.next()?;
            match self.read(found) {
                Ok(Some(data)) => return Some(Ok(ScanBatch::Rows(data))),
                Ok(None) => {}
                Err(e) => {
                    self.failed = true;
                    return Some(Err(e));
                }
            }
        }
        None
    }
}
