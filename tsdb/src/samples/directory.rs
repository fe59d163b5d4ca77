//! The directory of a file of samples: what each series has and where, in leaves of blocks of series.

use super::{MAX_RUN, SeriesId};
use crate::bytes::{Cursor, bad, put_int, put_uint};
use model::Result;

/// Leaves start at multiples of this, so that one is read with one page of the container.
pub(super) const LEAF: usize = 16 << 10;
/// Series of a block.
const BLOCK: usize = 64;
/// What a block adds to the header of its leaf, at most.
const BLOCK_HEADER: usize = 16;

/// No series has more histograms in bytes; so that sums of lengths make no overflow.
const MAX_BYTES: u64 = 1 << 48;

const OWN_TIMES: u8 = 1;
const SEVERAL_RUNS: u8 = 2;
const STARTS: u8 = 4;
const HISTOGRAMS: u8 = 8;
const EXEMPLARS: u8 = 16;

/// Which times of which column: ranges as position and count. An empty first range stands for no times.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct TimeRef {
    pub column: u32,
    pub first: (u32, u32),
    pub rest: Vec<(u32, u32)>,
}

impl TimeRef {
    pub(super) fn ranges(&self) -> impl Iterator<Item = (usize, usize)> {
        std::iter::once(&self.first)
            .chain(&self.rest)
            .map(|(start, count)| (*start as usize, *count as usize))
    }
    /// How many times there are.
    pub(super) fn count(&self) -> usize {
        self.ranges().map(|r| r.1).sum()
    }
}

/// Where a run lies: its times, and how many bytes its values take.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RunRef {
    pub times: TimeRef,
    pub bytes: u32,
}

/// What a series has besides one run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Extras {
    /// Runs after the first one.
    pub runs: Vec<RunRef>,
    pub starts_bytes: u32,
    /// How many histograms.
    pub histograms: u32,
    pub histogram_header_bytes: u32,
    /// With the header.
    pub histogram_bytes: u64,
    pub exemplars: bool,
}

/// A series that was found in a file, and where its data lies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Located {
    /// The series.
    pub id: SeriesId,
    pub(super) offset: u64,
    /// The first run; without times when the series has none.
    pub(super) run: RunRef,
    pub(super) extras: Option<Box<Extras>>,
}

impl Located {
    pub(super) fn runs(&self) -> impl Iterator<Item = &RunRef> {
        let more = self.extras.iter().flat_map(|e| &e.runs);
        std::iter::once(&self.run)
            .filter(|r| r.times.first.1 > 0)
            .chain(more)
    }
    /// Float samples and histograms.
    pub(crate) fn samples(&self) -> u64 {
        let floats: usize = self.runs().map(|r| r.times.count()).sum();
        floats as u64 + self.extras.as_ref().map_or(0, |e| u64::from(e.histograms))
    }
    /// Whether there are exemplars.
    pub(crate) fn has_exemplars(&self) -> bool {
        self.extras.as_ref().is_some_and(|e| e.exemplars)
    }
    pub(super) fn values_bytes(&self) -> u64 {
        let more = self
            .extras
            .as_ref()
            .map_or(0, |e| e.runs.iter().map(|r| u64::from(r.bytes)).sum());
        u64::from(self.run.bytes) + more
    }
    /// All of its bytes.
    pub(super) fn bytes(&self) -> u64 {
        let extras = self.extras.as_ref();
        self.values_bytes() + extras.map_or(0, |e| u64::from(e.starts_bytes) + e.histogram_bytes)
    }
}

/// The leaves of a directory that is being written.
#[derive(Default)]
pub(super) struct Writer {
    /// The leaves that are done, with the gaps between them.
    pub bytes: Vec<u8>,
    /// The first id and the length of each leaf.
    pub leaves: Vec<(SeriesId, usize)>,
    /// The blocks of the open leaf: first id, bytes.
    blocks: Vec<(SeriesId, usize)>,
    body: Vec<u8>,
    block: Vec<u8>,
    first: SeriesId,
    count: usize,
    last: SeriesId,
    /// Where the data of the next series of the block lies.
    end: u64,
    times: TimeRef,
}

impl Writer {
    /// Adds a series; ids ascend.
    pub(super) fn add(&mut self, series: &Located) {
        if self.count == BLOCK || (self.count > 0 && self.end != series.offset) {
            self.end_block();
        }
        if self.count == 0 {
            put_uint(&mut self.block, series.offset);
            self.first = series.id;
            self.times = TimeRef::default();
        }
        let delta = match self.count {
            0 => 0,
            _ => series.id - self.last - 1,
        };
        self.put(delta, series);
        self.count += 1;
        self.last = series.id;
        self.end = series.offset + series.bytes();
        // A block that grew large is ended, so that a leaf seldom has more than a page.
        if self.block.len() > LEAF / 4 {
            self.end_block();
        }
    }

    fn put(&mut self, delta: u64, series: &Located) {
        let into = &mut self.block;
        let has_run = series.run.times.first.1 > 0;
        let is_same = has_run && series.run.times == self.times;
        let Some(extras) = series
            .extras
            .as_deref()
            .or(if is_same { None } else { Some(&NO_EXTRAS) })
        else {
            put_uint(into, delta << 1);
            return put_uint(into, u64::from(series.run.bytes));
        };
        let runs = usize::from(has_run) + extras.runs.len();
        let flag = |is: bool, flag: u8| if is { flag } else { 0 };
        put_uint(into, delta << 1 | 1);
        into.push(
            flag(runs == 1 && !is_same, OWN_TIMES)
                | flag(runs != 1, SEVERAL_RUNS)
                | flag(extras.starts_bytes > 0, STARTS)
                | flag(extras.histograms > 0, HISTOGRAMS)
                | flag(extras.exemplars, EXEMPLARS),
        );
        if runs == 1 {
            if !is_same {
                put_times(into, &series.run.times, self.times.column);
                self.times.clone_from(&series.run.times);
            }
            put_uint(into, u64::from(series.run.bytes));
        } else {
            put_uint(into, runs as u64);
            for run in series.runs() {
                put_times(into, &run.times, self.times.column);
                self.times.column = run.times.column;
                put_uint(into, u64::from(run.bytes));
            }
        }
        if extras.starts_bytes > 0 {
            put_uint(into, u64::from(extras.starts_bytes));
        }
        if extras.histograms > 0 {
            put_uint(into, u64::from(extras.histograms));
            put_uint(into, u64::from(extras.histogram_header_bytes));
            put_uint(into, extras.histogram_bytes);
        }
    }

    fn end_block(&mut self) {
        if self.count == 0 {
            return;
        }
        let header = (self.blocks.len() + 2) * BLOCK_HEADER;
        if !self.blocks.is_empty() && header + self.body.len() + self.block.len() > LEAF {
            self.end_leaf();
        }
        self.blocks.push((self.first, self.block.len()));
        self.body.append(&mut self.block);
        self.count = 0;
    }

    fn end_leaf(&mut self) {
        let Some((first, _)) = self.blocks.first().copied() else {
            return;
        };
        self.bytes.resize(self.bytes.len().next_multiple_of(LEAF), 0);
        let start = self.bytes.len();
        put_uint(&mut self.bytes, self.blocks.len() as u64);
        let mut before = first;
        for (id, len) in self.blocks.drain(..) {
            put_uint(&mut self.bytes, id - before);
            put_uint(&mut self.bytes, len as u64);
            before = id;
        }
        self.bytes.append(&mut self.body);
        self.leaves.push((first, self.bytes.len() - start));
    }

    /// Ends the last leaf.
    pub(super) fn finish(&mut self) {
        self.end_block();
        self.end_leaf();
    }
}

static NO_EXTRAS: Extras = Extras {
    runs: Vec::new(),
    starts_bytes: 0,
    histograms: 0,
    histogram_header_bytes: 0,
    histogram_bytes: 0,
    exemplars: false,
};

fn put_times(into: &mut Vec<u8>, times: &TimeRef, before: u32) {
    put_int(into, i64::from(times.column) - i64::from(before));
    put_uint(into, times.rest.len() as u64);
    let mut end = 0;
    for (start, count) in std::iter::once(&times.first).chain(&times.rest) {
        put_uint(into, u64::from(start - end));
        put_uint(into, u64::from(count - 1));
        end = start + count;
    }
}

/// Walks through a leaf, series by series.
pub(super) struct Walk<B> {
    leaf: B,
    /// The blocks that are left: first id, bytes.
    blocks: std::vec::IntoIter<(SeriesId, usize)>,
    /// What is left of the block: where it goes on, and where the next one begins.
    at: usize,
    end: usize,
    is_first: bool,
    /// The series that was read last.
    series: Located,
    /// The times that the next series may share.
    times: TimeRef,
    /// Whether they are those of the series that was read last.
    is_shared: bool,
}

impl<B: AsRef<[u8]>> Walk<B> {
    /// Starts before the first series of a leaf, whose id is known.
    pub(super) fn new(leaf: B, first: SeriesId) -> Result<Self> {
        let mut cursor = Cursor::new(leaf.as_ref());
        let count = cursor.count(2)?;
        let (mut blocks, mut id) = (Vec::with_capacity(count), first);
        for _ in 0..count {
            id = id.checked_add(cursor.uint()?).ok_or_else(outside)?;
            let len = usize::try_from(cursor.uint()?).map_err(|_| outside())?;
            blocks.push((id, len));
        }
        let start = leaf.as_ref().len() - cursor.rest().len();
        Ok(Self {
            leaf,
            blocks: blocks.into_iter(),
            at: start,
            end: start,
            is_first: true,
            series: Located::default(),
            times: TimeRef::default(),
            is_shared: false,
        })
    }

    /// Goes on to the first series with an id or a higher one; ids are asked for in ascending order.
    pub(super) fn seek(&mut self, id: SeriesId) -> Result<Option<&Located>> {
        // Blocks are passed over as long as the one after them begins at the id or before.
        while self
            .blocks
            .as_slice()
            .first()
            .is_some_and(|(first, _)| *first <= id)
        {
            self.enter_block()?;
        }
        while self.is_first || self.series.id < id {
            if !self.advance()? {
                return Ok(None);
            }
        }
        Ok(Some(&self.series))
    }

    /// The next series.
    pub(super) fn next(&mut self) -> Result<Option<&Located>> {
        Ok(self.advance()?.then_some(&self.series))
    }

    fn advance(&mut self) -> Result<bool> {
        while self.at == self.end {
            if self.blocks.as_slice().is_empty() {
                return Ok(false);
            }
            self.enter_block()?;
        }
        let series = &mut self.series;
        let mut cursor = Cursor::new(self.leaf.as_ref().get(self.at..self.end).ok_or_else(outside)?);
        let step = u64::from(!self.is_first);
        series.offset = if self.is_first {
            cursor.uint()?
        } else {
            let next = series.offset.checked_add(series.bytes());
            next.ok_or_else(outside)?
        };
        self.is_first = false;
        let head = cursor.uint()?;
        let past = (head >> 1).checked_add(step).ok_or_else(outside)?;
        series.id = series.id.checked_add(past).ok_or_else(outside)?;
        if head & 1 == 0 && self.is_shared {
            series.extras = None;
            series.run.bytes = cursor.u32()?;
        } else {
            let flags = if head & 1 == 0 { 0 } else { cursor.byte()? };
            read_series(&mut cursor, flags, series, &mut self.times)?;
            self.is_shared = flags & SEVERAL_RUNS == 0;
        }
        self.at = self.end - cursor.rest().len();
        Ok(true)
    }

    fn enter_block(&mut self) -> Result<()> {
        let Some((id, len)) = self.blocks.next() else {
            return Ok(());
        };
        self.at = self.end;
        self.end = self.at.checked_add(len).ok_or_else(outside)?;
        self.is_first = true;
        self.series.id = id;
        self.times = TimeRef::default();
        self.is_shared = false;
        Ok(())
    }
}

/// Reads what a series with flags has.
fn read_series(cursor: &mut Cursor<'_>, flags: u8, series: &mut Located, times: &mut TimeRef) -> Result<()> {
    let mut extras = Extras {
        exemplars: flags & EXEMPLARS != 0,
        ..Extras::default()
    };
    if flags & SEVERAL_RUNS == 0 {
        if flags & OWN_TIMES != 0 {
            let before = times.column;
            take_times(cursor, times, before)?;
        }
        if times.first.1 == 0 {
            return Err(bad("a series of the directory has no times"));
        }
        series.run.times.clone_from(times);
        series.run.bytes = cursor.u32()?;
    } else {
        series.run = RunRef::default();
        for i in 0..cursor.count(4)? {
            let mut run = RunRef::default();
            take_times(cursor, &mut run.times, times.column)?;
            times.column = run.times.column;
            run.bytes = cursor.u32()?;
            if i == 0 {
                series.run = run;
            } else {
                extras.runs.push(run);
            }
        }
    }
    if flags & STARTS != 0 {
        extras.starts_bytes = cursor.u32()?;
    }
    if flags & HISTOGRAMS != 0 {
        extras.histograms = cursor.u32()?;
        extras.histogram_header_bytes = cursor.u32()?;
        extras.histogram_bytes = cursor.uint()?;
    }
    if u64::from(extras.histogram_header_bytes) > extras.histogram_bytes || extras.histogram_bytes > MAX_BYTES
    {
        return Err(outside());
    }
    series.extras = if flags & !OWN_TIMES == 0 {
        None
    } else {
        Some(Box::new(extras))
    };
    Ok(())
}

fn take_times(cursor: &mut Cursor<'_>, times: &mut TimeRef, before: u32) -> Result<()> {
    let column = i64::from(before).checked_add(cursor.int()?);
    times.column = column.and_then(|c| u32::try_from(c).ok()).ok_or_else(outside)?;
    times.rest.clear();
    let ranges = cursor.count(2)?;
    let (mut end, mut total) = (0u32, 0usize);
    for i in 0..=ranges {
        let start = end.checked_add(cursor.u32()?).ok_or_else(outside)?;
        let count = cursor.u32()?.checked_add(1).ok_or_else(outside)?;
        end = start.checked_add(count).ok_or_else(outside)?;
        total += count as usize;
        if i == 0 {
            times.first = (start, count);
        } else {
            times.rest.push((start, count));
        }
    }
    if end as usize > MAX_RUN || total > MAX_RUN {
        return Err(outside());
    }
    Ok(())
}

fn outside() -> model::Error {
    bad("the directory does not add up")
}

#[cfg(test)]
mod tests;
