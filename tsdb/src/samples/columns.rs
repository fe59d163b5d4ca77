//! Time columns while a file is written: each run is found in a column that is there, or makes one.

use super::MAX_RUN;
use super::directory::TimeRef;
use super::times;
use crate::codec::Effort;
use model::{Error, Result};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// The memory that open columns may take.
const MAX_OPEN_BYTES: usize = 32 << 20;
/// Each eighth time of a column is in the index: a run that has eight of its times one after the other is found.
const STRIDE: usize = 8;
/// After so many new columns in a row that the index had nothing for, only some runs still ask it.
const PATIENCE: u64 = 256;
/// One of so many.
const SELDOM: u64 = 16;
/// What a time in the index costs, roughly.
const INDEXED_BYTES: usize = 16;
/// Columns that were used lately and are tried before the index is asked.
const RECENT: usize = 4;
/// No column has this number.
const NONE: u32 = u32::MAX;

/// Where a column lies, as it stands in the section of columns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ColumnEntry {
    pub offset: u64,
    pub bytes: u32,
    /// How many times, at least 1.
    pub count: u32,
    /// Since the start of the partition, as all times here.
    pub first: u32,
    pub last: u32,
}

impl ColumnEntry {
    pub(super) const BYTES: usize = 20;

    pub(super) fn encode(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..6].copy_from_slice(&self.offset.to_le_bytes()[..6]);
        bytes[6..10].copy_from_slice(&self.bytes.to_le_bytes());
        bytes[10..12].copy_from_slice(&(self.count.wrapping_sub(1) as u16).to_le_bytes());
        bytes[12..16].copy_from_slice(&self.first.to_le_bytes());
        bytes[16..].copy_from_slice(&self.last.to_le_bytes());
        bytes
    }
    pub(super) fn decode(bytes: &[u8; Self::BYTES]) -> Self {
        let number = |from: usize, to: usize| {
            let mut wide = [0; 8];
            wide[..to - from].copy_from_slice(&bytes[from..to]);
            u64::from_le_bytes(wide)
        };
        Self {
            offset: number(0, 6),
            bytes: number(6, 10) as u32,
            count: number(10, 12) as u32 + 1,
            first: number(12, 16) as u32,
            last: number(16, 20) as u32,
        }
    }
}

/// A column that runs may still refer to and add to.
struct Open {
    number: u32,
    times: Vec<u32>,
    used: u64,
}

/// The columns of a file that is being written.
#[derive(Default)]
pub(super) struct Columns {
    /// By number; those that are still open have no place yet.
    entries: Vec<ColumnEntry>,
    open: HashMap<u32, Open, BuildHasherDefault<TimeHasher>>,
    /// From a time to the last column that has it.
    index: HashMap<u32, u32, BuildHasherDefault<TimeHasher>>,
    recent: [u32; RECENT],
    next_recent: usize,
    bytes: usize,
    /// Counts runs.
    now: u64,
    /// Columns made since the index last knew one.
    in_vain: u64,
}

impl Columns {
    /// Finds a run's times, or keeps them. `before` is the reference of the run before and becomes that of this one.
    /// False when they do not ascend.
    pub(super) fn find(&mut self, times: &[u32], before: &mut TimeRef) -> Result<bool> {
        self.now += 1;
        if let Some(column) = self.open.get_mut(&before.column) {
            let (start, count) = (before.first.0 as usize, before.first.1 as usize);
            if before.rest.is_empty() && column.times.get(start..start + count) == Some(times) {
                column.used = self.now;
                return Ok(true);
            }
        }
        // What is equal to a piece of a column needs no look.
        if !times.is_sorted_by(|a, b| a < b) {
            return Ok(false);
        }
        let column = self.search(before.column, times, before)?;
        if let Some(open) = self.open.get_mut(&column) {
            open.used = self.now;
        }
        if !self.recent.contains(&column) {
            self.recent[self.next_recent % RECENT] = column;
            self.next_recent += 1;
        }
        Ok(true)
    }

    fn search(&mut self, last: u32, times: &[u32], found: &mut TimeRef) -> Result<u32> {
        let mut to_extend = None;
        let mut tried = [NONE; 1 + RECENT];
        tried[0] = last;
        tried[1..].copy_from_slice(&self.recent);
        let mut refused = NONE;
        // Series with times of their own each would ask it for nothing.
        let asks = self.in_vain < PATIENCE || self.now.is_multiple_of(SELDOM);
        let asked = &times[..if asks { times.len().min(2 * STRIDE) } else { 0 }];
        let hits = asked.iter().filter_map(|t| self.index.get(t));
        for (i, number) in tried.iter().chain(hits).enumerate() {
            if *number == refused {
                continue;
            }
            let Some(column) = self.open.get(number) else {
                continue;
            };
            match locate(&column.times, times, found) {
                Fit::Whole => {
                    found.column = *number;
                    if i >= tried.len() {
                        self.in_vain = 0;
                    }
                    return Ok(*number);
                }
                Fit::Beyond(matched) if to_extend.is_none() => to_extend = Some((*number, matched)),
                Fit::Beyond(_) | Fit::Not => {}
            }
            refused = *number;
        }
        let number = match to_extend.filter(|(number, matched)| {
            let len = self.open.get(number).map_or(usize::MAX, |c| c.times.len());
            len + times.len() - matched <= MAX_RUN
        }) {
            Some((number, matched)) => {
                self.extend(number, &times[matched..]);
                number
            }
            None => {
                self.in_vain += 1;
                self.create(times)?
            }
        };
        found.column = number;
        match self.open.get(&number).map(|c| locate(&c.times, times, found)) {
            Some(Fit::Whole) => Ok(number),
            _ => Err(Error::internal(
                "a time column does not hold what it was made for",
            )),
        }
    }

    fn create(&mut self, times: &[u32]) -> Result<u32> {
        let number = u32::try_from(self.entries.len())
            .ok()
            .filter(|n| *n != NONE)
            .ok_or_else(|| Error::internal("a file of samples has too many time columns"))?;
        self.entries.push(ColumnEntry::default());
        let open = Open {
            number,
            times: Vec::with_capacity(times.len()),
            used: self.now,
        };
        self.open.insert(number, open);
        self.extend(number, times);
        Ok(number)
    }

    fn extend(&mut self, number: u32, times: &[u32]) {
        let Some(column) = self.open.get_mut(&number) else {
            return;
        };
        let from = column.times.len();
        column.times.extend_from_slice(times);
        for time in indexed(&column.times, from) {
            self.index.insert(time, number);
            self.bytes += INDEXED_BYTES;
        }
        self.bytes += size_of_val(times);
    }

    /// Whether so much is open that some should be closed.
    pub(super) fn is_full(&self) -> bool {
        self.bytes > MAX_OPEN_BYTES
    }
    /// Closes columns that were used least lately, until a quarter of the memory is free; all of them when `all`.
    /// Their bytes are appended to `into`, which will stand at an offset of the section.
    pub(super) fn close(&mut self, all: bool, into: &mut Vec<u8>, offset: u64, effort: Effort) {
        let mut by_use: Vec<(u64, u32, usize)> = self
            .open
            .values()
            .map(|c| (c.used, c.number, c.times.len()))
            .collect();
        by_use.sort_unstable();
        let mut numbers = Vec::new();
        let mut left = self.bytes;
        for (_, number, len) in by_use {
            if !all && left <= MAX_OPEN_BYTES / 4 * 3 {
                break;
            }
            left = left.saturating_sub(len * size_of::<u32>() + len.div_ceil(STRIDE) * INDEXED_BYTES);
            numbers.push(number);
        }
        self.bytes = left;
        numbers.sort_unstable();
        let start = into.len();
        for number in numbers {
            let Some(column) = self.open.remove(&number) else {
                continue;
            };
            for time in indexed(&column.times, 0) {
                if self.index.get(&time) == Some(&number) {
                    self.index.remove(&time);
                }
            }
            let from = into.len();
            times::encode(into, &column.times, effort);
            self.entries[number as usize] = ColumnEntry {
                offset: offset + (from - start) as u64,
                bytes: (into.len() - from) as u32,
                count: column.times.len() as u32,
                first: column.times.first().copied().unwrap_or(0),
                last: column.times.last().copied().unwrap_or(0),
            };
        }
    }
    /// Where all columns lie, once all of them are closed.
    pub(super) fn entries(&self) -> &[ColumnEntry] {
        debug_assert!(self.open.is_empty(), "all columns were closed");
        &self.entries
    }
}

/// The times of a column that stand in the index, from a position on.
fn indexed(times: &[u32], from: usize) -> impl Iterator<Item = u32> {
    let first = from.next_multiple_of(STRIDE).min(times.len());
    times[first..].iter().step_by(STRIDE).copied()
}

/// How a run's times lie in a column.
enum Fit {
    /// All of them are in it.
    Whole,
    /// The column ends after so many of them.
    Beyond(usize),
    /// Some are missing in the middle, or it takes too many ranges.
    Not,
}

/// Looks for a run's times in a column; both ascend.
fn locate(column: &[u32], times: &[u32], found: &mut TimeRef) -> Fit {
    found.first = (0, 0);
    found.rest.clear();
    let max_ranges = 4 + times.len() / 4;
    let (mut at, mut done) = (0, 0);
    while done < times.len() {
        at += gallop(&column[at..], times[done]);
        if at == column.len() {
            // Only a run that has something in common with it may lengthen a column.
            return if done > 0 { Fit::Beyond(done) } else { Fit::Not };
        }
        if column[at] != times[done] {
            return Fit::Not;
        }
        let len = common(&column[at..], &times[done..]);
        let range = (at as u32, len as u32);
        if done == 0 {
            found.first = range;
        } else {
            found.rest.push(range);
        }
        at += len;
        done += len;
        // What is left needs one more, in this column or at its end.
        if found.rest.len() >= max_ranges && done < times.len() {
            return Fit::Not;
        }
    }
    Fit::Whole
}

/// How many times of a column lie before one; quick when they are few.
fn gallop(column: &[u32], time: u32) -> usize {
    let mut bound = 1;
    while bound < column.len() && column[bound] < time {
        bound *= 2;
    }
    let from = bound / 2;
    let piece = &column[from.min(column.len())..column.len().min(bound + 1)];
    from.min(column.len()) + piece.partition_point(|t| *t < time)
}

/// How many times two columns have in common at their beginning.
fn common(a: &[u32], b: &[u32]) -> usize {
    const PIECE: usize = 32;
    let len = a.len().min(b.len());
    let mut same = 0;
    while same + PIECE <= len && a[same..same + PIECE] == b[same..same + PIECE] {
        same += PIECE;
    }
    while same < len && a[same] == b[same] {
        same += 1;
    }
    same
}

/// Times and numbers of columns need only be spread.
#[derive(Default)]
struct TimeHasher(u64);

impl Hasher for TimeHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|b| self.write_u32(u32::from(*b)));
    }
    fn write_u32(&mut self, number: u32) {
        let mixed = (self.0 ^ u64::from(number)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = mixed ^ (mixed >> 32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn times_of(columns: &Columns, found: &TimeRef) -> Vec<u32> {
        let column = &columns.open[&found.column].times;
        let ranges = std::iter::once(found.first).chain(found.rest.iter().copied());
        ranges
            .flat_map(|(start, count)| column[start as usize..(start + count) as usize].to_vec())
            .collect()
    }
    fn find(columns: &mut Columns, times: &[u32]) -> TimeRef {
        let mut found = TimeRef::default();
        assert!(columns.find(times, &mut found).unwrap());
        assert_eq!(times_of(columns, &found), times);
        found
    }
    fn every(step: usize, from: u32, to: u32) -> Vec<u32> {
        (from..to).step_by(step).collect()
    }

    #[test]
    fn runs_of_a_target_share_a_column() {
        let mut columns = Columns::default();
        let day = every(15_000, 7, 86_400_000);
        let check = |columns: &mut Columns, times: &[u32], ranges: usize, count: usize| {
            let found = find(columns, times);
            assert_eq!(
                (1 + found.rest.len(), columns.entries.len()),
                (ranges, count),
                "{times:?}"
            );
        };
        // The first series went away early; the next one lengthens its column.
        check(&mut columns, &day[..100], 1, 1);
        check(&mut columns, &day, 1, 1);
        assert_eq!(columns.open[&0].times, day);
        let missed: Vec<u32> = day.iter().copied().filter(|t| t % 1_000_000 != 7).collect();
        check(&mut columns, &missed, 29, 1);
        check(&mut columns, &day[17..60], 1, 1);
        // Others in between, so that only the index can know.
        (1..20).for_each(|i| check(&mut columns, &every(15_000, 7 + i, 86_400_000), 1, 1 + i as usize));
        check(&mut columns, &day[3000..3016], 1, 20);
        // Times that are not among the column's make another one.
        let own: Vec<u32> = day.iter().map(|t| t + u32::from(*t == 30_007)).collect();
        check(&mut columns, &own, 1, 21);
        check(&mut columns, &own, 1, 21);
    }

    #[test]
    fn a_run_in_pieces_that_goes_beyond_its_column_is_kept() {
        for pieces in 1..40 {
            let mut columns = Columns::default();
            find(&mut columns, &every(1, 0, 2 * pieces));
            let mut run = every(2, 0, 2 * pieces);
            run.extend([100, 101]);
            find(&mut columns, &run);
        }
    }

    #[test]
    fn memory_of_open_columns_is_bounded() {
        let mut columns = Columns::default();
        let (mut bytes, mut max) = (Vec::new(), 0);
        for i in 0..4000u32 {
            find(&mut columns, &every(15_000, i, 86_400_000));
            if columns.is_full() {
                let offset = bytes.len() as u64;
                columns.close(false, &mut bytes, offset, Effort::Flush);
            }
            max = max.max(columns.bytes);
        }
        assert!(
            max < MAX_OPEN_BYTES + (1 << 20) && columns.open.len() < 4000,
            "{max}"
        );
        let offset = bytes.len() as u64;
        columns.close(true, &mut bytes, offset, Effort::Flush);
        assert_eq!(
            (columns.bytes, columns.index.len(), columns.entries.len()),
            (0, 0, 4000)
        );
        for (i, entry) in columns.entries().iter().enumerate() {
            assert_eq!((entry.first as usize, entry.count), (i, 5760));
            assert_eq!(ColumnEntry::decode(&entry.encode()), *entry);
        }
    }

    proptest! {
        #[test]
        fn a_run_is_found_as_it_was(runs in prop::collection::vec(prop::collection::btree_set(0u32..60, 1..40), 1..30)) {
            let mut columns = Columns::default();
            let mut before = TimeRef::default();
            for run in runs {
                let times: Vec<u32> = run.into_iter().collect();
                prop_assert!(columns.find(&times, &mut before).unwrap());
                prop_assert_eq!(times_of(&columns, &before), times);
                prop_assert!(columns.open.values().all(|c| c.times.is_sorted_by(|a, b| a < b)));
            }
        }
    }
}
