//! One file of samples made of several of the same partition, series by series.

use super::build::Copied;
use super::directory::{Located, Walk};
use super::part::Part;
use super::read::{Reader, parse_chunks};
use super::{Builder, DIRECTORY, Run, SeriesId};
use crate::cache::Cache;
use model::{ErrorKind, Result};
use std::sync::Arc;

/// Memory for the time columns of all files of a merge.
const CACHE_BYTES: usize = 16 << 20;
const ALL: (i64, i64) = (i64::MIN, i64::MAX);

/// What happens to a series in a merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It stays as it is.
    Keep,
    /// [`Sieve::sift`] looks at its data.
    Sift,
    /// All of it goes.
    Drop(Reason),
}

/// Why a sample is not wanted any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It is older than what is kept.
    Age,
    /// It is older than what is kept of its series.
    Rule,
    /// It was deleted.
    Deleted,
}

/// Samples that went, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Dropped {
    pub age: u64,
    pub rule: u64,
    pub deleted: u64,
}

impl Dropped {
    pub(crate) fn add(&mut self, reason: Reason, samples: u64) {
        *match reason {
            Reason::Age => &mut self.age,
            Reason::Rule => &mut self.rule,
            Reason::Deleted => &mut self.deleted,
        } += samples;
    }
}

/// Says what of the data of a merge is not wanted any more: of each file apart, since what was deleted may have been
/// written again later. `source` is a file's place among the sources.
pub(crate) trait Sieve {
    /// What happens to what a file has of a series.
    fn fate(&self, source: usize, id: SeriesId) -> Fate;
    /// Takes out what is not wanted of it, and counts it.
    fn sift(&self, source: usize, id: SeriesId, run: &mut Run, dropped: &mut Dropped);
    /// Asked before each series: an error ends the merge.
    fn go_on(&self) -> Result<()> {
        Ok(())
    }
}

/// Everything stays.
#[cfg(test)]
pub(crate) struct KeepAll;

#[cfg(test)]
impl Sieve for KeepAll {
    fn fate(&self, _: usize, _: SeriesId) -> Fate {
        Fate::Keep
    }
    fn sift(&self, _: usize, _: SeriesId, _: &mut Run, _: &mut Dropped) {}
}

/// What a merge did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Merged {
    /// Samples superseded by newer ones with another value.
    pub replaced: u64,
    /// Samples that the sieve took out.
    pub dropped: Dropped,
    /// Series whose bytes were copied as they were.
    pub copied: u64,
}

/// Walks through a file, series by series in the order of their ids.
pub(crate) struct Cursor {
    part: Arc<Part>,
    reader: Reader,
    next_leaf: usize,
    walk: Option<Walk<Vec<u8>>>,
    located: Option<Located>,
    damage: Damage,
}

/// What a cursor does about damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Damage {
    /// It is an error.
    Fails,
    /// It costs what is damaged.
    Forgiven,
    /// The same, and some was met.
    Met,
}

impl Cursor {
    /// Stands at the first series.
    pub(crate) fn new(part: &Arc<Part>, cache: &Arc<Cache>) -> Result<Self> {
        Self::start(part, cache, Damage::Fails)
    }
    /// The same; what is damaged is passed over.
    pub(crate) fn forgiving(part: &Arc<Part>, cache: &Arc<Cache>) -> Result<Self> {
        Self::start(part, cache, Damage::Forgiven)
    }
    /// Whether damage was passed over.
    pub(crate) fn has_passed_over(&self) -> bool {
        self.damage == Damage::Met
    }
    fn start(part: &Arc<Part>, cache: &Arc<Cache>, damage: Damage) -> Result<Self> {
        let mut cursor = Self {
            part: part.clone(),
            reader: Reader::with_cache(part.clone(), cache.clone()),
            next_leaf: 0,
            walk: None,
            located: None,
            damage,
        };
        cursor.advance()?;
        Ok(cursor)
    }
    /// The series where it stands; `None` at the end.
    pub(crate) fn located(&self) -> Option<&Located> {
        self.located.as_ref()
    }
    /// Goes on to the next series.
    pub(crate) fn advance(&mut self) -> Result<()> {
        loop {
            let next = self.find_next();
            match note(&self.part, next) {
                Ok(next) => {
                    self.located = next;
                    return Ok(());
                }
                Err(e) => forgive(&mut self.damage, e)?,
            }
            if self.part.unreadable().is_some() {
                self.located = None;
                return Ok(());
            }
            // The rest of the leaf, or a leaf that could not even be begun.
            if self.walk.take().is_none() {
                self.next_leaf += 1;
            }
        }
    }
    /// Adds all data of the series to a run; says how many samples had another value.
    pub(crate) fn read(&mut self, into: &mut Run) -> Result<u64> {
        let Some(located) = &self.located else {
            return Ok(0);
        };
        let read = self
            .reader
            .read(located, ALL, into, &mut Err)
            .and_then(|replaced| {
                self.reader.read_exemplars(located, ALL, into, &mut Err)?;
                Ok(replaced)
            });
        note(&self.part, read)
    }

    /// Adds the samples and histograms of the series in a range of times, both included.
    pub(crate) fn read_range(&mut self, range_ms: (i64, i64), into: &mut Run) -> Result<()> {
        let Some(located) = &self.located else {
            return Ok(());
        };
        let damage = &mut self.damage;
        let mut damaged = |e| forgive(damage, e);
        let read = self.reader.read(located, range_ms, into, &mut damaged);
        note(&self.part, read).map(|_| ())
    }

    /// Copies the series as it is; false when its bytes would not be those of a fresh encoding.
    fn copy(&mut self, run: &mut Run, builder: &mut Builder) -> Result<bool> {
        let (opened, Some(located)) = (self.part.opened()?, &self.located) else {
            return Ok(false);
        };
        if opened.index.effort != builder.effort() {
            return Ok(false);
        }
        run.clear();
        let prepared = self
            .reader
            .read_exemplars(located, ALL, run, &mut Err)
            .and_then(|()| self.reader.raw(located, &mut run.times))
            .and_then(|bytes| {
                let histograms = histogram_times(located, bytes, opened.index.partition_ms)?;
                Ok((bytes, histograms))
            });
        let (bytes, histograms) = note(&self.part, prepared)?;
        let copied = Copied {
            located,
            bytes,
            times: &run.times,
            histograms,
        };
        builder.copy(&copied, &run.exemplars)?;
        Ok(true)
    }

    fn find_next(&mut self) -> Result<Option<Located>> {
        let opened = self.part.opened()?;
        loop {
            if let Some(walk) = &mut self.walk {
                let offset = opened.index.leaves[self.next_leaf - 1].1;
                let next = walk.next().map_err(|e| opened.at(e, DIRECTORY, offset))?;
                if let Some(located) = next {
                    return Ok(Some(located.clone()));
                }
                self.walk = None;
            }
            let Some((first, offset, _)) = opened.index.leaves.get(self.next_leaf).copied() else {
                return Ok(None);
            };
            let leaf = opened.leaf(self.next_leaf)?;
            self.walk = Some(Walk::new(leaf, first).map_err(|e| opened.at(e, DIRECTORY, offset))?);
            self.next_leaf += 1;
        }
    }
}

/// Goes on after damage if it is forgiven.
fn forgive(damage: &mut Damage, e: model::Error) -> Result<()> {
    if *damage == Damage::Fails || !matches!(e.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) {
        return Err(e);
    }
    *damage = Damage::Met;
    Ok(())
}

/// A file in which damage was met is not merged again.
fn note<T>(part: &Part, result: Result<T>) -> Result<T> {
    result.inspect_err(|e| {
        if e.kind() == ErrorKind::Corrupt {
            part.mark_damaged();
        }
    })
}

/// The first and the last time of a series' histograms.
fn histogram_times(located: &Located, bytes: &[u8], partition_ms: i64) -> Result<Option<(i64, i64)>> {
    let Some(extras) = located.extras.as_ref().filter(|e| e.histograms > 0) else {
        return Ok(None);
    };
    let start = located.values_bytes() + u64::from(extras.starts_bytes);
    let header = usize::try_from(start)
        .ok()
        .and_then(|start| bytes.get(start..))
        .unwrap_or_default();
    let header = header
        .get(..extras.histogram_header_bytes as usize)
        .unwrap_or_default();
    let chunks = parse_chunks(header, partition_ms)?;
    Ok(chunks
        .first()
        .zip(chunks.last())
        .map(|(first, last)| (first.first_ms, last.last_ms)))
}

/// Merges files of one partition, given from the oldest generation to the newest: of samples with the same series and
/// time the newest stays. Memory: a series' data, and some 256 KiB for each file.
///
/// Errors: those of the disk, and damage; nothing of a damaged file may be lost by a merge.
pub(crate) fn merge(sources: &[Arc<Part>], builder: &mut Builder, sieve: &dyn Sieve) -> Result<Merged> {
    let cache = Arc::new(Cache::new(CACHE_BYTES));
    let mut cursors = sources
        .iter()
        .map(|p| Cursor::new(p, &cache))
        .collect::<Result<Vec<_>>>()?;
    let (mut merged, mut run, mut sifted) = (Merged::default(), Run::default(), Run::default());
    while let Some(id) = cursors.iter().filter_map(|c| c.located().map(|l| l.id)).min() {
        sieve.go_on()?;
        let is_here = |c: &Cursor| c.located().is_some_and(|l| l.id == id);
        let holders = cursors.iter().filter(|c| is_here(c)).count();
        run.clear();
        let mut is_done = false;
        for (source, cursor) in cursors.iter_mut().enumerate().filter(|(_, c)| is_here(c)) {
            match sieve.fate(source, id) {
                Fate::Drop(reason) => {
                    let samples = cursor.located().map_or(0, Located::samples);
                    merged.dropped.add(reason, samples);
                }
                Fate::Keep if holders == 1 && cursor.copy(&mut run, builder)? => is_done = true,
                Fate::Keep => merged.replaced += cursor.read(&mut run)?,
                Fate::Sift => {
                    sifted.clear();
                    cursor.read(&mut sifted)?;
                    sieve.sift(source, id, &mut sifted, &mut merged.dropped);
                    merged.replaced += run.add_newer(&mut sifted);
                }
            }
            cursor.advance()?;
        }
        merged.copied += u64::from(is_done);
        if !is_done {
            builder.add(id, &run)?;
        }
    }
    Ok(merged)
}
