//! Series pages: labels as numbers of pairs, each series told by what differs from the one before.

use crate::bytes::{Cursor, bad, put_int, put_uint};
use crate::cache::Page;
use crate::catalog::ids::{Ids, OFFSETS};
use crate::catalog::source::SeriesRef;
use model::Result;

/// A page is full when it has so many bytes.
const MAX_CODED: usize = 32 << 10;
/// Series of a block, which is decoded from its start.
const BLOCK: u32 = 32;

/// Gathers the series of a page.
#[derive(Default)]
pub(super) struct SeriesBuilder {
    blocks: Vec<u8>,
    /// The first offset of each block, and where it starts in `blocks`.
    starts: Vec<(u32, usize)>,
    in_block: u32,
    offset: u32,
    hour: i64,
    pairs: Vec<u32>,
}

impl SeriesBuilder {
    /// Adds a series above the ones before.
    pub(super) fn push(&mut self, series: SeriesRef<'_>) {
        if self.starts.is_empty() || self.in_block == BLOCK {
            self.starts.push((series.offset, self.blocks.len()));
            (self.in_block, self.hour) = (0, 0);
            self.pairs.clear();
        } else {
            put_uint(&mut self.blocks, u64::from(series.offset - self.offset - 1));
        }
        self.in_block += 1;
        let edits = edits(&self.pairs, series.pairs);
        let changed = series.hour != self.hour;
        put_uint(&mut self.blocks, (edits.len() as u64) << 1 | u64::from(changed));
        if changed {
            put_int(&mut self.blocks, series.hour.wrapping_sub(self.hour));
        }
        for edit in edits {
            let one_by_one = edit.removed == 1 && edit.added.len() == 1;
            put_uint(&mut self.blocks, (edit.kept as u64) << 1 | u64::from(one_by_one));
            if !one_by_one {
                put_uint(&mut self.blocks, edit.removed as u64);
                put_uint(&mut self.blocks, edit.added.len() as u64);
            }
            edit.added
                .iter()
                .for_each(|pair| put_uint(&mut self.blocks, u64::from(*pair)));
        }
        (self.offset, self.hour) = (series.offset, series.hour);
        self.pairs.clear();
        self.pairs.extend_from_slice(series.pairs);
    }
    /// Whether the next series belongs to the next page. Only between blocks.
    pub(super) fn is_full(&self) -> bool {
        self.in_block == BLOCK && self.blocks.len() >= MAX_CODED
    }
    /// The first offset and the bytes of the page, when there is a series in it; the builder starts the next one.
    pub(super) fn take(&mut self) -> Option<(u32, Vec<u8>)> {
        let done = std::mem::take(self);
        let first = done.starts.first()?.0;
        let mut bytes = Vec::with_capacity(done.blocks.len() + done.starts.len() * 4);
        put_uint(&mut bytes, done.starts.len() as u64);
        let ends = done.starts.iter().skip(1).map(|(_, start)| *start);
        let mut before = 0;
        for ((offset, start), end) in done.starts.iter().zip(ends.chain([done.blocks.len()])) {
            put_uint(&mut bytes, u64::from(offset - before));
            put_uint(&mut bytes, (end - start) as u64);
            before = *offset;
        }
        bytes.extend_from_slice(&done.blocks);
        Some((first, bytes))
    }
}

struct Edit<'a> {
    kept: usize,
    removed: usize,
    added: &'a [u32],
}

/// What makes one ascending list into another.
fn edits<'a>(old: &[u32], new: &'a [u32]) -> Vec<Edit<'a>> {
    let (mut edits, mut o, mut n) = (Vec::new(), 0, 0);
    while o < old.len() || n < new.len() {
        let kept = super::common_prefix(&old[o..], &new[n..]);
        (o, n) = (o + kept, n + kept);
        if o == old.len() && n == new.len() {
            break;
        }
        let (first_o, first_n) = (o, n);
        // To the next pair that both have.
        while o < old.len() && n < new.len() && old[o] != new[n] {
            if old[o] < new[n] { o += 1 } else { n += 1 }
        }
        if o == old.len() || n == new.len() {
            (o, n) = (old.len(), new.len());
        }
        edits.push(Edit {
            kept,
            removed: o - first_o,
            added: &new[first_n..n],
        });
    }
    edits
}

/// A page in memory: the bytes, and where the blocks start.
#[derive(Debug)]
pub(super) struct SeriesPage {
    bytes: Vec<u8>,
    /// The first offset of each block, and where it ends in `bytes`.
    blocks: Vec<(u32, u32)>,
    start: u32,
}

impl Page for SeriesPage {
    fn size_bytes(&self) -> usize {
        self.bytes.capacity() + self.blocks.capacity() * 8 + 64
    }
}

impl SeriesPage {
    /// Reads what stands before the blocks.
    pub(super) fn parse(bytes: Vec<u8>) -> Result<Self> {
        let mut cursor = Cursor::new(&bytes);
        let count = cursor.count(2)?;
        let mut blocks: Vec<(u32, u32)> = Vec::with_capacity(count);
        let (mut offset, mut end) = (0u32, 0u32);
        for at in 0..count {
            let more = cursor.u32()?;
            offset = offset
                .checked_add(more)
                .ok_or_else(|| bad("an offset is too large"))?;
            if more == 0 && at > 0 {
                return Err(bad("blocks are out of order"));
            }
            end = end
                .checked_add(cursor.u32()?)
                .ok_or_else(|| bad("a block is too long"))?;
            blocks.push((offset, end));
        }
        let start = (bytes.len() - cursor.rest().len()) as u32;
        if end as usize != cursor.rest().len() {
            return Err(bad("the blocks do not fill their page"));
        }
        blocks.iter_mut().for_each(|(_, end)| *end += start);
        Ok(Self { bytes, blocks, start })
    }
    /// Hands out the series of a set that are in this page, or all of them.
    pub(super) fn series(
        &self,
        ids: Option<&Ids>,
        visit: &mut dyn FnMut(SeriesRef<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut wanted = Wanted::of(ids);
        let (mut start, mut pairs) = (self.start, Vec::new());
        for (at, (first, end)) in self.blocks.iter().enumerate() {
            let next = self.blocks.get(at + 1).map_or(u32::MAX, |(offset, _)| *offset);
            if wanted.any_within(*first, next) {
                let bytes = &self.bytes[start as usize..*end as usize];
                decode_block(bytes, *first, next, &mut pairs, &mut |series| {
                    if wanted.has(series.offset) {
                        visit(series)?;
                    }
                    Ok(())
                })?;
            }
            start = *end;
        }
        Ok(())
    }
}

/// Walks through a set alongside ascending offsets.
struct Wanted<'a>(Option<&'a [std::ops::Range<u32>]>);

impl<'a> Wanted<'a> {
    fn of(ids: Option<&'a Ids>) -> Self {
        Self(ids.map(Ids::runs))
    }
    fn skip_below(&mut self, offset: u32) -> Option<Option<&'a std::ops::Range<u32>>> {
        let runs = self.0.as_mut()?;
        while runs.first().is_some_and(|run| run.end <= offset) {
            *runs = &runs[1..];
        }
        Some(runs.first())
    }
    fn any_within(&mut self, start: u32, end: u32) -> bool {
        self.skip_below(start)
            .is_none_or(|run| run.is_some_and(|run| run.start < end))
    }
    fn has(&mut self, offset: u32) -> bool {
        self.skip_below(offset)
            .is_none_or(|run| run.is_some_and(|run| run.start <= offset))
    }
}

fn decode_block(
    bytes: &[u8],
    first: u32,
    next: u32,
    pairs: &mut Vec<u32>,
    visit: &mut dyn FnMut(SeriesRef<'_>) -> Result<()>,
) -> Result<()> {
    let mut cursor = Cursor::new(bytes);
    let (mut offset, mut hour) = (u64::from(first), 0i64);
    let mut before = Vec::new();
    pairs.clear();
    for at in 0.. {
        if cursor.is_empty() {
            break;
        }
        if at > 0 {
            offset = offset.saturating_add(cursor.uint()?).saturating_add(1);
        }
        if offset >= u64::from(next).min(OFFSETS) || at >= BLOCK {
            return Err(bad("series are out of order"));
        }
        let head = cursor.uint()?;
        if head & 1 == 1 {
            hour = hour.wrapping_add(cursor.int()?);
        }
        if head > 1 {
            std::mem::swap(pairs, &mut before);
            apply(&mut cursor, head >> 1, &before, pairs)?;
        }
        visit(SeriesRef {
            offset: offset as u32,
            hour,
            pairs,
        })?;
    }
    Ok(())
}

fn apply(cursor: &mut Cursor<'_>, edits: u64, mut old: &[u32], new: &mut Vec<u32>) -> Result<()> {
    let too_many = || bad("a series keeps more labels than there were");
    new.clear();
    for _ in 0..edits {
        let head = cursor.uint()?;
        let (kept, rest) = usize::try_from(head >> 1)
            .ok()
            .and_then(|kept| old.split_at_checked(kept))
            .ok_or_else(too_many)?;
        new.extend_from_slice(kept);
        let (removed, added) = match head & 1 {
            1 => (1, 1),
            _ => (cursor.u32()? as usize, cursor.count(1)?),
        };
        old = rest.get(removed..).ok_or_else(too_many)?;
        for _ in 0..added {
            new.push(cursor.u32()?);
        }
    }
    new.extend_from_slice(old);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Owned = (u32, i64, Vec<u32>);

    fn series() -> impl Strategy<Value = Vec<Owned>> {
        let one = (1u32..50, 0i64..3, prop::collection::btree_set(0u32..12, 0..6));
        prop::collection::vec(one, 0..150).prop_map(|list| {
            let mut offset = 0;
            let place = |(gap, hour, pairs): (u32, i64, std::collections::BTreeSet<u32>)| {
                offset += gap;
                (offset, 490_000 + hour, pairs.into_iter().collect())
            };
            list.into_iter().map(place).collect()
        })
    }
    fn page_of(list: &[Owned]) -> Vec<u8> {
        let mut builder = SeriesBuilder::default();
        for (offset, hour, pairs) in list {
            let (offset, hour) = (*offset, *hour);
            builder.push(SeriesRef { offset, hour, pairs });
        }
        builder.take().map_or_else(Vec::new, |(_, bytes)| bytes)
    }
    fn read(bytes: Vec<u8>, ids: Option<&Ids>) -> Result<Vec<Owned>> {
        let mut found = Vec::new();
        SeriesPage::parse(bytes)?.series(ids, &mut |s| {
            found.push((s.offset, s.hour, s.pairs.to_vec()));
            Ok(())
        })?;
        Ok(found)
    }

    proptest! {
        #[test]
        fn series_come_back(list in series(), some in prop::collection::btree_set(0u32..5000, 0..200)) {
            prop_assume!(!list.is_empty());
            prop_assert_eq!(read(page_of(&list), None).unwrap(), list.clone());
            let ids = Ids::from_sorted(some.iter().copied());
            let wanted: Vec<_> = list.iter().filter(|s| some.contains(&s.0)).cloned().collect();
            prop_assert_eq!(read(page_of(&list), Some(&ids)).unwrap(), wanted);
        }
        #[test]
        fn garbage_is_an_error_and_no_panic(bytes: Vec<u8>) {
            let _ = read(bytes, None);
        }
        #[test]
        fn flipped_bytes_are_an_error_or_series(list in series(), at: usize, with in 1u8..=255) {
            prop_assume!(!list.is_empty());
            let mut bytes = page_of(&list);
            let at = at % bytes.len();
            bytes[at] ^= with;
            let _ = read(bytes, None);
        }
    }
}
