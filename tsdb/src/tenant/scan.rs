//! Reading: a consistent look at head and parts, then series by series.

use super::{Context, Frozen, Tenant};
use crate::columns::{Columns, Scratch};
use crate::head::{Head, PassHasher};
use crate::part::{ChunkReader, Part, PartIndex};
use crate::select::{Index, is_conjunction, select};
use crate::validate;
use model::metric::HistogramSample;
use model::{Budget, Error, ErrorKind, Labels, Predicate, Result, ScanBatch, ScanRequest, SeriesData};
use std::collections::{BTreeSet, HashMap};
use std::hash::BuildHasherDefault;
use std::sync::Arc;

/// Series looked at between two looks at the budget's clock.
const CHECK_EVERY: usize = 256;

/// A series that was found, and where its samples lie.
#[derive(Default)]
struct Found {
    labels: Labels,
    /// The places in parts: which part, and the id there; parts from old to new.
    parts: Vec<(usize, u32)>,
    /// The id in the frozen head.
    frozen: Option<u32>,
    /// What the head had, copied.
    head: Option<Copied>,
}

#[derive(Default)]
struct Copied {
    times: Vec<i64>,
    values: Vec<f64>,
    histograms: Vec<HistogramSample>,
}

/// The found series, each once.
#[derive(Default)]
struct Collection {
    by_labels: HashMap<Labels, usize, BuildHasherDefault<PassHasher>>,
    series: Vec<Found>,
}

impl Collection {
    fn at(&mut self, labels: Labels, budget: &Budget) -> Result<&mut Found> {
        let next = self.series.len();
        let at = *self.by_labels.entry(labels.clone()).or_insert(next);
        if at == next {
            budget.charge_series(1)?;
            if next.is_multiple_of(CHECK_EVERY) {
                budget.check()?;
            }
            self.series.push(Found {
                labels,
                ..Found::default()
            });
        }
        Ok(&mut self.series[at])
    }
}

/// What a query looks at: all of it belongs to one moment.
struct Look {
    range: (i64, i64),
    parts: Arc<Vec<Arc<Part>>>,
    frozen: Option<Arc<Frozen>>,
}

impl Tenant {
    /// The times that a request asks for, as far as they are inside the retention.
    fn range_of(&self, request: &ScanRequest) -> (i64, i64) {
        let first_ms = validate::first_kept_ms(&self.context.options, self.context.clock.now_ms());
        (request.range.start_ms().max(first_ms), request.range.end_ms())
    }

    /// Takes a look; `with_head` sees the head in the same moment.
    fn look<T>(&self, request: &ScanRequest, with_head: impl FnOnce(&Head, (i64, i64)) -> T) -> (Look, T) {
        let range = self.range_of(request);
        let state = self.state();
        let from_head = with_head(&state.head, range);
        let look = Look {
            range,
            parts: state.parts.clone(),
            frozen: state.frozen.clone(),
        };
        (look, from_head)
    }

    /// See [`model::Read::scan`].
    pub(crate) fn scan(
        &self,
        request: &ScanRequest,
    ) -> Result<Box<dyn Iterator<Item = Result<ScanBatch<SeriesData>>> + Send>> {
        request.budget.check()?;
        let (look, copied) = self.look(request, |head, range| copy_head(head, range, request));
        let mut collection = copied?;
        look.each_source(request, &self.context, &mut |source, id, labels| {
            let found = collection.at(labels()?, &request.budget)?;
            match source {
                Source::Part(part) => found.parts.push((part, id)),
                Source::Frozen => found.frozen = Some(id),
            }
            Ok(())
        })?;
        let mut series = collection.series;
        series.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        let reading = Reading {
            readers: look.parts.iter().map(|_| None).collect(),
            look,
            budget: request.budget.clone(),
            context: self.context.clone(),
            scratch: Scratch::default(),
            series: series.into_iter(),
            failed: false,
        };
        Ok(Box::new(reading))
    }

    /// See [`model::Read::series`].
    pub(crate) fn series(&self, request: &ScanRequest) -> Result<Vec<Labels>> {
        let mut found = BTreeSet::new();
        self.each_series(request, &mut |index, id| {
            if found.insert(index.labels(id)?) {
                request.budget.charge_series(1)?;
            }
            Ok(())
        })?;
        Ok(found.into_iter().collect())
    }

    /// See [`model::Read::label_names`].
    pub(crate) fn label_names(&self, request: &ScanRequest) -> Result<Vec<String>> {
        let mut names = BTreeSet::new();
        self.each_index(request, &mut |index, all| {
            if let Some(ids) = all {
                for id in ids {
                    let labels = index.labels(id)?;
                    for (name, _) in labels.iter().filter(|(n, _)| !n.is_empty()) {
                        if !names.contains(name) {
                            names.insert(name.to_owned());
                        }
                    }
                }
            } else {
                names.extend(index.names()?);
            }
            Ok(())
        })?;
        Ok(names.into_iter().collect())
    }

    /// See [`model::Read::label_values`].
    pub(crate) fn label_values(&self, request: &ScanRequest, name: &str) -> Result<Vec<String>> {
        let mut values = BTreeSet::new();
        self.each_index(request, &mut |index, all| {
            if let Some(ids) = all {
                for id in ids {
                    index.with_value(id, name, &mut |value| {
                        if !values.contains(value) {
                            values.insert(value.to_owned());
                        }
                    })?;
                }
            } else {
                values.extend(index.values(name)?);
            }
            Ok(())
        })?;
        Ok(values.into_iter().collect())
    }

    fn each_series(
        &self,
        request: &ScanRequest,
        visit: &mut dyn FnMut(&dyn Index, u32) -> Result<()>,
    ) -> Result<()> {
        self.each_index(request, &mut |index, ids| {
            let ids = ids.unwrap_or_else(|| (0..index.len()).collect());
            ids.into_iter().try_for_each(|id| visit(index, id))
        })
    }

    /// Visits head and parts with the ids that a request selects there; `None` stands for all of them.
    fn each_index(&self, request: &ScanRequest, visit: VisitIndex<'_>) -> Result<()> {
        request.budget.check()?;
        let wants_all = is_conjunction(&request.predicate) && request.predicate.leaves().is_empty();
        let mut visit_head = |head: &Head, range: (i64, i64)| {
            let is_within = head
                .times()
                .is_none_or(|(first, last)| range.0 <= first && last <= range.1);
            if wants_all && is_within {
                return visit(head, None);
            }
            let ids = select_head(head, range, &request.predicate)?;
            visit(head, Some(ids))
        };
        let (look, visited) = self.look(request, &mut visit_head);
        visited?;
        if let Some(frozen) = &look.frozen {
            visit_head(&frozen.head, look.range)?;
        }
        for part in look
            .parts
            .iter()
            .filter(|p| p.overlaps(look.range.0, look.range.1))
        {
            request.budget.check()?;
            let Some(index) =
                self.context
                    .readable(part, &request.budget, part.index(&self.context.cache))?
            else {
                continue;
            };
            let ids = if wants_all && part.is_within(look.range.0, look.range.1) {
                None
            } else {
                Some(select_part(&index, part, look.range, &request.predicate)?)
            };
            visit(index.as_ref(), ids)?;
        }
        Ok(())
    }
}

/// Sees an index with the ids selected there; `None` stands for all of them.
type VisitIndex<'a> = &'a mut dyn FnMut(&dyn Index, Option<Vec<u32>>) -> Result<()>;

enum Source {
    Part(usize),
    Frozen,
}

type Visit<'a> = &'a mut dyn FnMut(Source, u32, &mut dyn FnMut() -> Result<Labels>) -> Result<()>;

impl Look {
    /// Visits the selected series of the frozen head and of every part, parts from old to new.
    fn each_source(&self, request: &ScanRequest, context: &Context, visit: Visit<'_>) -> Result<()> {
        if let Some(frozen) = &self.frozen {
            for id in select_head(&frozen.head, self.range, &request.predicate)? {
                visit(Source::Frozen, id, &mut || frozen.head.labels(id))?;
            }
        }
        for (i, part) in self.parts.iter().enumerate() {
            if !part.overlaps(self.range.0, self.range.1) {
                continue;
            }
            request.budget.check()?;
            let Some(index) = context.readable(part, &request.budget, part.index(&context.cache))? else {
                continue;
            };
            for id in select_part(&index, part, self.range, &request.predicate)? {
                visit(Source::Part(i), id, &mut || index.labels(id))?;
            }
        }
        Ok(())
    }
}

impl Context {
    /// Damage costs only what is damaged: the query goes on without, is told so, and it is counted.
    fn readable<T>(&self, part: &Part, budget: &Budget, result: Result<T>) -> Result<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(e) if matches!(e.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) => {
                self.note_damage(part, budget, &e);
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }
    fn note_damage(&self, part: &Part, budget: &Budget, e: &Error) {
        part.mark_damaged();
        self.metrics.unreadable.inc();
        tracing::error!(error = %e, "an answer goes without damaged data");
        budget.warn(format!("the answer is incomplete: {e}"));
    }
}

fn select_head(head: &Head, range: (i64, i64), predicate: &Predicate) -> Result<Vec<u32>> {
    let mut ids = select(head, predicate)?;
    ids.retain(|id| head.series()[*id as usize].has_any(range.0, range.1));
    Ok(ids)
}

fn select_part(index: &PartIndex, part: &Part, range: (i64, i64), predicate: &Predicate) -> Result<Vec<u32>> {
    let mut ids = select(index, predicate)?;
    if !part.is_within(range.0, range.1) {
        let mut failed = Ok(());
        ids.retain(|id| {
            index.touches(*id, range.0, range.1).unwrap_or_else(|e| {
                failed = Err(e);
                false
            })
        });
        failed?;
    }
    Ok(ids)
}

/// Copies what a request wants of the head: the lock is held, so nothing is read from disk here.
fn copy_head(head: &Head, range: (i64, i64), request: &ScanRequest) -> Result<Collection> {
    let mut collection = Collection::default();
    for id in select_head(head, range, &request.predicate)? {
        let series = &head.series()[id as usize];
        let mut copied = Copied::default();
        series.copy(range.0, range.1, &mut copied.times, &mut copied.values);
        copied.histograms = series.histograms_in(range.0, range.1);
        collection.at(series.labels.clone(), &request.budget)?.head = Some(copied);
    }
    Ok(collection)
}

/// Hands out the found series, each whole, in the order of their labels.
struct Reading {
    look: Look,
    series: std::vec::IntoIter<Found>,
    /// One for each part, once it is needed, with the part's index.
    readers: Vec<Option<(ChunkReader, Arc<PartIndex>)>>,
    budget: Budget,
    context: Arc<Context>,
    scratch: Scratch,
    failed: bool,
}

impl Reading {
    fn read(&mut self, found: Found) -> Result<Option<SeriesData>> {
        self.budget.check()?;
        let mut columns = Columns::default();
        for (part, id) in &found.parts {
            self.add_part(*part, *id, &mut columns)?;
        }
        let (start, end) = self.look.range;
        if let (Some(frozen), Some(id)) = (&self.look.frozen, found.frozen) {
            let series = &frozen.head.series()[id as usize];
            let (mut times, mut values) = (Vec::new(), Vec::new());
            series.copy(start, end, &mut times, &mut values);
            columns.add_floats(&times, &values);
            columns.add_histograms(series.histograms_in(start, end));
        }
        if let Some(copied) = found.head {
            if columns.times.is_empty() {
                (columns.times, columns.values) = (copied.times, copied.values);
            } else {
                columns.add_floats(&copied.times, &copied.values);
            }
            columns.add_histograms(copied.histograms);
        }
        if columns.is_empty() {
            return Ok(None);
        }
        self.budget.charge_samples(columns.len())?;
        self.budget.charge_bytes(columns.len() * 16)?;
        Ok(Some(SeriesData {
            start_timestamps_ms: Vec::new(),
            labels: found.labels,
            timestamps_ms: columns.times,
            values: columns.values,
            histograms: columns.histograms,
        }))
    }

    fn add_part(&mut self, at: usize, id: u32, columns: &mut Columns) -> Result<()> {
        let part = &self.look.parts[at];
        let (reader, index) = match &mut self.readers[at] {
            Some(ready) => ready,
            empty => {
                let index = part.index(&self.context.cache);
                let Some(index) = self.context.readable(part, &self.budget, index)? else {
                    return Ok(());
                };
                empty.insert((ChunkReader::new(part.clone()), index))
            }
        };
        let chunks = index.chunks(id)?;
        let mut damaged = |e: Error| match e.kind() {
            ErrorKind::Corrupt => {
                self.context.note_damage(part, &self.budget, &e);
                Ok(())
            }
            _ => Err(e),
        };
        columns.add_chunks(reader, &chunks, self.look.range, &mut self.scratch, &mut damaged)?;
        self.budget.charge_bytes(std::mem::take(&mut reader.bytes_read))
    }
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
