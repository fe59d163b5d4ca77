//! Making the windows of a day: what is read for it, series by series.

use super::{CACHE_BYTES, TAIL_MS, Work, end_of, start_of};
use crate::cache::Cache;
use crate::rollup::{self, Before, Column};
use crate::samples::{Builder, Cursor, Dropped, Fate, PARTITION_MS, Part, PartMeta, Run, SeriesId, Sieve};
use crate::tenant::Tenant;
use crate::tenant::sieve::Unwanted;
use model::Result;
use model::metric::is_stale;
use std::sync::Arc;

/// What the windows of a day are made of.
pub(super) struct Sources {
    partition: i64,
    /// Of the day before.
    before: Vec<Arc<Part>>,
    own: Vec<Arc<Part>>,
    /// Of the next day, when one of them may have samples at the midnight between.
    after: Vec<Arc<Part>>,
    /// Windows of the day before, when samples of it are gone.
    windows_before: Option<Arc<Part>>,
    /// The windows that are made anew, for each resolution.
    old: Vec<Option<Arc<Part>>>,
    /// Whether samples may have gone of series that have some still.
    has_lost: bool,
}

impl Sources {
    pub(super) fn of(parts: &[Arc<Part>], work: &Work) -> Self {
        let partition = work.partition;
        let of_day = |day: i64, resolution_ms: u64| {
            let is_here = move |p: &&Arc<Part>| {
                (p.entry.meta.partition, p.entry.meta.resolution_ms) == (day, resolution_ms)
            };
            parts.iter().filter(is_here).cloned().collect::<Vec<_>>()
        };
        let day_before = partition.saturating_sub(1);
        let before = of_day(day_before, 0);
        let own = of_day(partition, 0);
        let after = of_day(partition.saturating_add(1), 0);
        let has_lost =
            |parts: &[Arc<Part>]| work.is_forgiving || parts.iter().any(|p| p.entry.meta.retention_done != 0);
        let mut windows_before = None;
        if before.is_empty() || has_lost(&before) {
            // The finest come first.
            let is_here =
                |p: &&Arc<Part>| p.entry.meta.resolution_ms > 0 && p.entry.meta.partition == day_before;
            windows_before = parts.iter().find(is_here).cloned();
        }
        let old = |resolution_ms: &u64| of_day(partition, *resolution_ms).pop();
        Self {
            partition,
            windows_before,
            has_lost: has_lost(&own) || has_lost(&after),
            old: work.resolutions.iter().map(old).collect(),
            before,
            own,
            after,
        }
    }
    /// All that must still count when the windows are made.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Part>> {
        let samples = self.before.iter().chain(&self.own).chain(&self.after);
        samples
            .chain(&self.windows_before)
            .chain(self.old.iter().flatten())
    }

    /// Adds the windows of all series to the files, one of each resolution. Series without samples keep the windows that
    /// they have. Whether damage was passed over. Memory: a series' samples of a day.
    ///
    /// Errors: those of the disk, and damage unless that is forgiven.
    pub(super) fn roll_up(&self, tenant: &Tenant, builders: &mut [Builder], work: &Work) -> Result<bool> {
        let cache = Arc::new(Cache::new(CACHE_BYTES));
        let (start_ms, end_ms) = (start_of(self.partition), end_of(self.partition));
        // The files have their numbers already: a deletion that is not seen here is newer than they, and holds for them.
        let group = |parts: &[Arc<Part>]| Group::new(tenant, parts, &cache, work.is_forgiving);
        let (mut before, mut own, mut after) = (group(&self.before)?, group(&self.own)?, group(&self.after)?);
        let mut windows_before = group(self.windows_before.as_slice())?;
        let of_resolution = self.old.iter().map(|part| group(part.as_slice()));
        let mut old = of_resolution.collect::<Result<Vec<_>>>()?;
        if self.after.iter().all(|p| p.entry.meta.min_ms > end_ms) {
            after = Group::default();
        }
        let (mut run, mut was) = (Run::default(), Before::default());
        loop {
            let with_windows = old.iter().filter_map(Group::next_series);
            let ids = with_windows.chain(own.next_series()).chain(after.next_series());
            let Some(id) = ids.min() else { break };
            tenant.go_on()?;
            run.clear();
            own.read(id, (start_ms, end_ms - 1), &mut run)?;
            let histograms = std::mem::take(&mut run.histograms);
            after.read(id, (end_ms, end_ms), &mut run)?;
            // What stands at the midnight that begins the day belongs to the windows of the day before.
            let own_from = run.times.partition_point(|t| *t <= start_ms);
            let has_any = own_from < run.times.len() || !histograms.is_empty();
            let mut value_before = last_finite(&run.values[..own_from]);
            if value_before.is_none() && has_any {
                value_before = before.last_before(id, start_ms)?;
            }
            if value_before.is_none() && has_any {
                value_before = windows_before.last_of_windows(id)?;
            }
            let samples = || {
                let times = run.times[own_from..].iter().copied();
                times.zip(run.values[own_from..].iter().copied())
            };
            for ((builder, resolution_ms), old) in builders.iter_mut().zip(&work.resolutions).zip(&mut old) {
                let resolution_ms = i64::try_from(*resolution_ms).unwrap_or(i64::MAX);
                was.clear();
                if has_any && !self.has_lost {
                    old.pass(id)?;
                } else {
                    old.read_windows(id, &mut was)?;
                }
                if !has_any {
                    for (column, windows) in was.columns() {
                        builder.add(rollup::id_in_file(id, column)?, windows)?;
                    }
                    continue;
                }
                let windows = match was.is_empty() {
                    true => rollup::roll_up(samples(), value_before, resolution_ms),
                    false => was.mend(samples(), value_before, resolution_ms),
                };
                for (column, windows) in windows.into_columns() {
                    builder.add(rollup::id_in_file(id, column)?, &windows)?;
                }
                let mut kept = Run {
                    histograms: rollup::kept_histograms(&histograms, resolution_ms),
                    ..Run::default()
                };
                let mut both = was.histograms().clone();
                both.add_newer(&mut kept);
                builder.add(rollup::id_in_file(id, Column::Histograms)?, &both)?;
            }
        }
        let mut groups = [&before, &own, &after, &windows_before].into_iter().chain(&old);
        Ok(groups.any(Group::has_passed_over))
    }
}

/// The parts of one day, read side by side.
#[derive(Default)]
struct Group<'a> {
    cursors: Vec<Cursor>,
    /// What was deleted, or is expired by a rule.
    unwanted: Option<Unwanted<'a>>,
    sifted: Run,
    /// Of one of them.
    meta: Option<PartMeta>,
}

impl<'a> Group<'a> {
    fn new(tenant: &'a Tenant, parts: &[Arc<Part>], cache: &Arc<Cache>, is_forgiving: bool) -> Result<Self> {
        if parts.is_empty() {
            return Ok(Self::default());
        }
        let cursors = parts.iter().map(|part| match is_forgiving {
            true => Cursor::forgiving(part, cache),
            false => Cursor::new(part, cache),
        });
        Ok(Self {
            cursors: cursors.collect::<Result<_>>()?,
            // Samples that a rule wants out have their windows still.
            unwanted: Some(Unwanted::deleted(tenant, parts)),
            sifted: Run::default(),
            meta: Some(parts[0].entry.meta.clone()),
        })
    }
    fn has_passed_over(&self) -> bool {
        self.cursors.iter().any(Cursor::has_passed_over)
    }
    fn next_series(&self) -> Option<SeriesId> {
        self.next_in_file().map(|id| self.series_of(id))
    }
    fn next_in_file(&self) -> Option<SeriesId> {
        let ids = self.cursors.iter().filter_map(|c| c.located().map(|l| l.id));
        ids.min()
    }
    fn series_of(&self, id: SeriesId) -> SeriesId {
        self.meta.as_ref().map_or(id, |meta| meta.series_of(id))
    }
    /// Goes past a series of windows.
    fn pass(&mut self, id: SeriesId) -> Result<()> {
        let next = rollup::id_in_file(id.saturating_add(1), Column::Count)?;
        for cursor in &mut self.cursors {
            seek(cursor, next)?;
        }
        Ok(())
    }
    /// Reads the windows of a series, and goes past it.
    fn read_windows(&mut self, id: SeriesId, into: &mut Before) -> Result<()> {
        while let Some(in_file) = self.next_in_file() {
            if self.series_of(in_file) > id {
                break;
            }
            self.read(in_file, (i64::MIN, i64::MAX), into.column(in_file))?;
        }
        Ok(())
    }
    /// The last value that the windows of a series say.
    fn last_of_windows(&mut self, id: SeriesId) -> Result<Option<f64>> {
        let mut run = Run::default();
        self.look(
            rollup::id_in_file(id, Column::Last)?,
            (i64::MIN, i64::MAX),
            &mut run,
        )?;
        Ok(last_finite(&run.values))
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

fn last_finite(values: &[f64]) -> Option<f64> {
    let mut found = values.iter().rev().filter(|v| !is_stale(**v) && v.is_finite());
    found.next().copied()
}
