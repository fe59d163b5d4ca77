//! Reading what was found in a file of samples: only the times asked for, and neighbours together.

use super::columns::ColumnEntry;
use super::directory::{Located, RunRef, TimeRef};
use super::exemplars::Exemplars;
use super::part::{Opened, Part, cached};
use super::times::{BLOCK, Block, Column};
use super::{COLUMNS, DATA, Damaged, PARTITION_MS, Run, run};
use crate::bytes::{Cursor, bad};
use crate::cache::{Cache, PageKey};
use crate::codec;
use model::metric::HistogramSample;
use model::{ErrorKind, Result};
use std::sync::Arc;
use storage::PartReader;

/// Read ahead at most when series are read one after the other.
const WINDOW: u64 = 256 << 10;
/// What the container checks at once.
const PAGE: u64 = 16 << 10;
/// Columns of one piece of their section in the cache.
const ENTRIES: usize = 512;

/// Reads series of one file. Remembers what it read ahead and the times of the run before, so have one for each scan
/// and file, and ask in the order of the ids where that is possible.
pub(crate) struct Reader {
    part: Arc<Part>,
    cache: Arc<Cache>,
    data: Window,
    columns: Window,
    times: Times,
    fresh: Run,
    /// Histograms of so long before a range are read, too.
    lead_ms: i64,
}

impl Reader {
    /// A reader that keeps columns in the cache of the file.
    pub(crate) fn new(part: Arc<Part>) -> Self {
        let cache = part.cache.clone();
        Self::with_cache(part, cache)
    }
    /// A reader with a cache apart: one that reads everything once should throw nobody's pages out.
    pub(super) fn with_cache(part: Arc<Part>, cache: Arc<Cache>) -> Self {
        Self {
            part,
            cache,
            data: Window::default(),
            columns: Window::default(),
            times: Times::default(),
            fresh: Run::default(),
            lead_ms: 0,
        }
    }
    /// The same, that reads the histograms of some time before a range, too: what one counts is compared with the one before.
    pub(crate) fn with_lead(mut self, lead_ms: i64) -> Self {
        self.lead_ms = lead_ms;
        self
    }
    /// Bytes read from the file since this was last asked.
    pub(crate) fn take_bytes_read(&mut self) -> u64 {
        std::mem::take(&mut self.data.bytes_read) + std::mem::take(&mut self.columns.bytes_read)
    }

    /// Adds the samples and histograms of a series that lie in a range of times, both included; they supersede those
    /// that are there, so files are read from old to new. Damage costs a run, a chunk of histograms, or the starts.
    /// Returns how many samples had another value.
    pub(crate) fn read(
        &mut self,
        located: &Located,
        range_ms: (i64, i64),
        into: &mut Run,
        damaged: Damaged<'_>,
    ) -> Result<u64> {
        let part = self.part.clone();
        let opened = match part.opened() {
            Ok(opened) => opened,
            Err(e) => return damaged(e).map(|()| 0),
        };
        let base = opened.index.partition_ms;
        let from = range_ms.0.saturating_sub(base).max(0);
        let to = range_ms.1.saturating_sub(base).min(PARTITION_MS - 1);
        if from > to {
            return Ok(0);
        }
        let range = (from as u32, to as u32);
        let starts = match self.starts(opened, located) {
            Ok(starts) => starts,
            Err(e) => damaged(e).map(|()| Vec::new())?,
        };
        let (mut offset, mut replaced) = (located.offset, 0);
        for run in located.runs() {
            match self.read_run(opened, run, offset, range, &starts, into) {
                Ok(n) => replaced += n,
                Err(e) => damaged(e)?,
            }
            offset += u64::from(run.bytes);
        }
        if located.extras.as_ref().is_some_and(|e| e.histograms > 0) {
            let range_ms = (range_ms.0.saturating_sub(self.lead_ms), range_ms.1);
            replaced += self.read_histograms(opened, located, range_ms, into, damaged)?;
        }
        Ok(replaced)
    }

    /// Adds the exemplars of a series that lie in a range of times.
    pub(crate) fn read_exemplars(
        &mut self,
        located: &Located,
        range_ms: (i64, i64),
        into: &mut Run,
        damaged: Damaged<'_>,
    ) -> Result<()> {
        let part = self.part.clone();
        let opened = match part.opened() {
            Ok(opened) if located.has_exemplars() => opened,
            Ok(_) => return Ok(()),
            Err(e) => return damaged(e),
        };
        let (pages, id) = (&opened.index.exemplars, located.id);
        let first = pages.partition_point(|p| p.last < id);
        for (number, page) in pages
            .iter()
            .enumerate()
            .skip(first)
            .take_while(|(_, p)| p.first <= id)
        {
            let key = self.key(cached::EXEMPLARS, number as u32);
            let bytes_read = &mut self.columns.bytes_read;
            let unpack = || {
                let bytes = opened.reader.read_range(DATA, page.offset, page.bytes)?;
                *bytes_read += page.bytes;
                Exemplars::unpack(&bytes).map_err(|e| opened.at(e, DATA, page.offset))
            };
            let mut found = Vec::new();
            let read = self.cache.get_or_load(key, unpack).and_then(|page_bytes| {
                page_bytes
                    .read(id, opened.index.partition_ms, range_ms, &mut found)
                    .map_err(|e| opened.at(e, DATA, page.offset))
            });
            run::add_exemplars(&mut into.exemplars, &mut found);
            if let Err(e) = read {
                damaged(e)?;
            }
        }
        Ok(())
    }

    /// The bytes of a series as they are, with the times of its runs; for copying.
    pub(super) fn raw(&mut self, located: &Located, times: &mut Vec<i64>) -> Result<&[u8]> {
        let part = self.part.clone();
        let opened = part.opened()?;
        for run in located.runs() {
            self.select(opened, &run.times, (0, u32::MAX))?;
            times.extend_from_slice(&self.times.selected);
        }
        self.data.get(&opened.reader, located.offset, located.bytes())
    }

    fn key(&self, section: u32, page: u32) -> PageKey {
        let file = self.part.file;
        PageKey { file, section, page }
    }

    fn read_run(
        &mut self,
        opened: &Opened,
        run: &RunRef,
        offset: u64,
        range: (u32, u32),
        starts: &[(i64, i64)],
        into: &mut Run,
    ) -> Result<u64> {
        self.select(opened, &run.times, range)?;
        let (times, skipped) = (&self.times.selected, self.times.skipped);
        let (Some(first), Some(last)) = (times.first().copied(), times.last().copied()) else {
            return Ok(0);
        };
        let bytes = self.data.get(&opened.reader, offset, u64::from(run.bytes))?;
        let wanted = skipped..skipped + times.len();
        // Nearly always the run follows what is there, and is unpacked in place.
        let follows = into.times.last().is_none_or(|t| *t < first);
        let target = if follows { &mut *into } else { &mut self.fresh };
        let before = target.values.len();
        codec::values::decode(bytes, run.times.count(), wanted, &mut target.values)
            .and_then(|()| {
                if target.values.len() - before == times.len() {
                    Ok(())
                } else {
                    Err(bad("a run has another number of values than of times"))
                }
            })
            .map_err(|e| {
                target.values.truncate(before);
                opened.at(e, DATA, offset)
            })?;
        let steps = &starts[..starts.partition_point(|s| s.0 <= last)];
        target.append_starts(first, steps);
        target.times.extend_from_slice(times);
        if follows {
            return Ok(0);
        }
        let replaced = into.add_newer(&mut self.fresh);
        self.fresh.clear();
        Ok(replaced)
    }

    /// The steps of a series' starts.
    fn starts(&mut self, opened: &Opened, located: &Located) -> Result<Vec<(i64, i64)>> {
        let len = located.extras.as_ref().map_or(0, |e| e.starts_bytes);
        if len == 0 {
            return Ok(Vec::new());
        }
        let offset = located.offset + located.values_bytes();
        let bytes = self.data.get(&opened.reader, offset, u64::from(len))?;
        parse_starts(bytes, opened.index.partition_ms).map_err(|e| opened.at(e, DATA, offset))
    }

    fn read_histograms(
        &mut self,
        opened: &Opened,
        located: &Located,
        range_ms: (i64, i64),
        into: &mut Run,
        damaged: Damaged<'_>,
    ) -> Result<u64> {
        let Some(extras) = located.extras.as_deref() else {
            return Ok(0);
        };
        let start = located.offset + located.values_bytes() + u64::from(extras.starts_bytes);
        let header = u64::from(extras.histogram_header_bytes);
        let chunks = self.data.get(&opened.reader, start, header).and_then(|bytes| {
            parse_chunks(bytes, opened.index.partition_ms).map_err(|e| opened.at(e, DATA, start))
        });
        let chunks = match chunks {
            Ok(chunks) => chunks,
            Err(e) => return damaged(e).map(|()| 0),
        };
        let (mut offset, mut replaced, mut found) = (start + header, 0, Vec::new());
        for chunk in chunks {
            if chunk.first_ms <= range_ms.1 && chunk.last_ms >= range_ms.0 {
                found.clear();
                let read = self
                    .data
                    .get(&opened.reader, offset, chunk.bytes)
                    .and_then(|bytes| {
                        codec::histograms::decode(bytes, chunk.count, &mut found)
                            .and_then(|()| check_histograms(&found, &chunk))
                            .map_err(|e| opened.at(e, DATA, offset))
                    });
                match read {
                    Ok(()) => {
                        found.retain(|h| range_ms.0 <= h.timestamp_ms && h.timestamp_ms <= range_ms.1);
                        replaced += run::add_histograms(&mut into.histograms, &mut found);
                    }
                    Err(e) => damaged(e)?,
                }
            }
            offset = offset.saturating_add(chunk.bytes);
        }
        Ok(replaced)
    }

    /// Selects the times of a reference that lie in a range.
    fn select(&mut self, opened: &Opened, times: &TimeRef, range: (u32, u32)) -> Result<()> {
        if self.times.of == *times && self.times.range == range {
            return Ok(());
        }
        // So that a failure leaves nothing that looks right.
        self.times.of.first = (0, 0);
        self.times.selected.clear();
        self.times.skipped = 0;
        let entry = self.entry(opened, times.column)?;
        let end = times.ranges().last().map_or(0, |(start, count)| start + count);
        if end > entry.count as usize {
            let number = u64::from(times.column);
            return Err(opened.at(bad("a run has more times than its column"), COLUMNS, number));
        }
        let from = if range.0 <= entry.first {
            0
        } else {
            self.position(opened, times.column, &entry, range.0, |t, bound| t < bound)?
        };
        let to = if range.1 >= entry.last {
            entry.count as usize
        } else {
            self.position(opened, times.column, &entry, range.1, |t, bound| t <= bound)?
        };
        for (start, count) in times.ranges() {
            let (a, b) = (start.max(from), (start + count).min(to));
            self.times.skipped += from.clamp(start, start + count) - start;
            if a < b {
                self.copy(opened, times.column, &entry, a, b)?;
            }
        }
        let base = opened.index.partition_ms;
        let wanted = base.saturating_add(range.0.into())..=base.saturating_add(range.1.into());
        let is_outside = |time: Option<&i64>| time.is_some_and(|time| !wanted.contains(time));
        if is_outside(self.times.selected.first()) || is_outside(self.times.selected.last()) {
            self.times.selected.clear();
            let number = u64::from(times.column);
            return Err(opened.at(bad("a column has other times than it says"), COLUMNS, number));
        }
        self.times.of.clone_from(times);
        self.times.range = range;
        Ok(())
    }

    /// The position after the last time of a column that is before a bound.
    fn position(
        &mut self,
        opened: &Opened,
        column: u32,
        entry: &ColumnEntry,
        bound: u32,
        is_before: fn(u32, u32) -> bool,
    ) -> Result<usize> {
        if bound < entry.first {
            return Ok(0);
        }
        let number = if entry.count as usize <= BLOCK {
            0
        } else {
            self.column(opened, column, entry)?.block_of(bound)
        };
        let block = self.block(opened, column, entry, number)?;
        Ok(number * BLOCK + block.0.partition_point(|t| is_before(*t, bound)))
    }

    /// Appends times of a column to the selected ones.
    fn copy(
        &mut self,
        opened: &Opened,
        column: u32,
        entry: &ColumnEntry,
        from: usize,
        to: usize,
    ) -> Result<()> {
        let base = opened.index.partition_ms;
        for number in from / BLOCK..to.div_ceil(BLOCK) {
            let block = self.block(opened, column, entry, number)?;
            let start = number * BLOCK;
            let piece = block
                .0
                .get(from.max(start) - start..to.min(start + BLOCK) - start);
            let piece = piece.ok_or_else(|| bad("a block of times is too short"))?;
            self.times
                .selected
                .extend(piece.iter().map(|t| base + i64::from(*t)));
        }
        Ok(())
    }

    fn entry(&mut self, opened: &Opened, column: u32) -> Result<ColumnEntry> {
        let piece = column as usize / ENTRIES;
        let key = self.key(cached::ENTRIES, piece as u32);
        let columns = &mut self.columns;
        let entries = self.cache.get_or_load(key, || {
            let size = (ENTRIES * ColumnEntry::BYTES) as u64;
            let offset = piece as u64 * size;
            let len = opened
                .reader
                .section_len(COLUMNS)
                .unwrap_or(0)
                .saturating_sub(offset)
                .min(size);
            columns.bytes_read += len;
            opened.reader.read_range(COLUMNS, offset, len)
        })?;
        entries
            .chunks_exact(ColumnEntry::BYTES)
            .nth(column as usize % ENTRIES)
            .and_then(|bytes| bytes.first_chunk())
            .map(ColumnEntry::decode)
            .ok_or_else(|| {
                let number = u64::from(column);
                opened.at(bad("there is no such time column"), COLUMNS, number)
            })
    }

    /// A column of several blocks.
    fn column(&mut self, opened: &Opened, number: u32, entry: &ColumnEntry) -> Result<Arc<Column>> {
        let key = self.key(cached::COLUMNS, number);
        let window = &mut self.columns;
        self.cache.get_or_load(key, || load_column(opened, window, entry))
    }

    fn block(
        &mut self,
        opened: &Opened,
        column: u32,
        entry: &ColumnEntry,
        number: usize,
    ) -> Result<Arc<Block>> {
        if let Some((at, block)) = &self.times.block
            && *at == (column, number)
        {
            return Ok(block.clone());
        }
        let in_column = |e| opened.at(e, DATA, entry.offset);
        let block = if entry.count as usize <= BLOCK {
            let key = self.key(cached::COLUMNS, column);
            let window = &mut self.columns;
            self.cache.get_or_load(key, || {
                let column = load_column(opened, window, entry)?;
                column.decode(0).map(Block).map_err(in_column)
            })
        } else {
            let key = self.key(cached::BLOCKS + number as u32, column);
            match self.cache.get(key) {
                Some(block) => Ok(block),
                None => {
                    let column = self.column(opened, column, entry)?;
                    self.cache
                        .get_or_load(key, || column.decode(number).map(Block).map_err(in_column))
                }
            }
        }?;
        self.times.block = Some(((column, number), block.clone()));
        Ok(block)
    }
}

fn load_column(opened: &Opened, window: &mut Window, entry: &ColumnEntry) -> Result<Column> {
    let bytes = window.get(&opened.reader, entry.offset, u64::from(entry.bytes))?;
    Column::parse(bytes.to_vec(), entry.count as usize, entry.first)
        .map_err(|e| opened.at(e, DATA, entry.offset))
}

/// The times that were selected last: the series of a target come one after the other.
#[derive(Default)]
struct Times {
    of: TimeRef,
    range: (u32, u32),
    selected: Vec<i64>,
    /// How many of the run lie before them.
    skipped: usize,
    block: Option<((u32, usize), Arc<Block>)>,
}

/// A piece of the data section.
#[derive(Default)]
struct Window {
    bytes: Vec<u8>,
    start: u64,
    /// How much was read ahead last time.
    ahead: u64,
    bytes_read: u64,
}

impl Window {
    fn get(&mut self, reader: &PartReader, offset: u64, len: u64) -> Result<&[u8]> {
        let end = offset.saturating_add(len);
        let has = |window: &Self| window.start <= offset && end <= window.start + window.bytes.len() as u64;
        if !has(self) {
            self.fill(reader, offset, len)?;
        }
        let from = usize::try_from(offset - self.start).unwrap_or(usize::MAX);
        let to = usize::try_from(end - self.start).unwrap_or(usize::MAX);
        self.bytes
            .get(from..to)
            .ok_or_else(|| bad("a piece of data lies outside of its section"))
    }

    fn fill(&mut self, reader: &PartReader, offset: u64, len: u64) -> Result<()> {
        let section = reader.section_len(DATA).unwrap_or(0);
        let end = offset.saturating_add(len);
        let window_end = self.start + self.bytes.len() as u64;
        // Only who reads on where the last one ended is going to want what follows, too.
        let goes_on = !self.bytes.is_empty() && (self.start..=window_end + PAGE).contains(&offset);
        self.ahead = if goes_on {
            (self.ahead * 2).clamp(2 * PAGE, WINDOW)
        } else {
            0
        };
        self.bytes.clear();
        if end > section {
            // An error that names the place.
            return reader.read_range(DATA, offset, len).map(|_| ());
        }
        let from = offset / PAGE * PAGE;
        let to_page = |end: u64| end.next_multiple_of(PAGE).min(section);
        let (needed, wanted) = (to_page(end), to_page(end.max(from + self.ahead)));
        self.bytes = match reader.read_range(DATA, from, wanted - from) {
            // Damage further on must not cost this piece.
            Err(e) if e.kind() == ErrorKind::Corrupt && wanted > needed => {
                reader.read_range(DATA, from, needed - from)?
            }
            other => other?,
        };
        self.start = from;
        self.bytes_read += self.bytes.len() as u64;
        Ok(())
    }
}

/// A chunk of histograms as the header before them says.
pub(super) struct Chunk {
    pub count: usize,
    pub bytes: u64,
    pub first_ms: i64,
    pub last_ms: i64,
}

pub(super) fn parse_chunks(bytes: &[u8], partition_ms: i64) -> Result<Vec<Chunk>> {
    let (mut cursor, mut at, mut chunks) = (Cursor::new(bytes), partition_ms, Vec::new());
    for _ in 0..cursor.count(4)? {
        let (count, bytes) = (cursor.u32()? as usize, cursor.uint()?);
        let first_ms = at.wrapping_add(cursor.uint()? as i64);
        let last_ms = first_ms.wrapping_add(cursor.uint()? as i64);
        if count > super::build::HISTOGRAM_CHUNK || last_ms < first_ms {
            return Err(bad("the chunks of histograms make no sense"));
        }
        at = last_ms;
        chunks.push(Chunk {
            count,
            bytes,
            first_ms,
            last_ms,
        });
    }
    Ok(chunks)
}

fn check_histograms(found: &[HistogramSample], chunk: &Chunk) -> Result<()> {
    let ascend = found.is_sorted_by(|a, b| a.timestamp_ms < b.timestamp_ms);
    let fit = |h: Option<&HistogramSample>, ms: i64| h.is_some_and(|h| h.timestamp_ms == ms);
    if ascend
        && found.len() == chunk.count
        && fit(found.first(), chunk.first_ms)
        && fit(found.last(), chunk.last_ms)
    {
        Ok(())
    } else {
        Err(bad("the histograms of a chunk do not fit what the header says"))
    }
}

fn parse_starts(bytes: &[u8], partition_ms: i64) -> Result<Vec<(i64, i64)>> {
    let (mut cursor, mut at) = (Cursor::new(bytes), (partition_ms, 0i64));
    let count = cursor.count(2)?;
    let mut steps = Vec::with_capacity(count);
    for _ in 0..count {
        at = (at.0.wrapping_add(cursor.int()?), at.1.wrapping_add(cursor.int()?));
        steps.push(at);
    }
    if steps.is_sorted_by(|a, b| a.0 < b.0) {
        Ok(steps)
    } else {
        Err(bad("the starts of a counter do not ascend"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn garbage_is_an_error_and_no_panic(bytes: Vec<u8>) {
            let _ = (parse_chunks(&bytes, 0), parse_starts(&bytes, 0));
        }
    }
}
