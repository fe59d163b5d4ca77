//! Time columns as bytes, in blocks, so that an hour is read without the rest of the day.

use crate::bytes::{Cursor, bad, put_uint};
use crate::cache::Page;
use crate::codec::{Effort, times};
use model::Result;
use std::ops::Range;

/// Times of one block.
pub(super) const BLOCK: usize = 512;

/// Appends a column of ascending times.
pub(super) fn encode(into: &mut Vec<u8>, column: &[u32], effort: Effort) {
    let mut wide = Vec::with_capacity(BLOCK.min(column.len()));
    let mut put = |into: &mut Vec<u8>, block: &[u32]| {
        wide.clear();
        wide.extend(block.iter().map(|t| i64::from(*t)));
        times::encode(into, &wide, effort);
    };
    if column.len() <= BLOCK {
        return put(into, column);
    }
    let (mut blocks, mut before) = (Vec::new(), 0);
    for block in column.chunks(BLOCK) {
        let start = blocks.len();
        put(&mut blocks, block);
        put_uint(into, (blocks.len() - start) as u64);
        put_uint(into, u64::from(block[0] - before));
        before = block[0];
    }
    into.extend_from_slice(&blocks);
}

/// A column that is still packed: its bytes, and the first time and the place of each block.
pub(super) struct Column {
    bytes: Vec<u8>,
    count: usize,
    blocks: Vec<(u32, Range<usize>)>,
}

impl Page for Column {
    fn size_bytes(&self) -> usize {
        self.bytes.capacity() + self.blocks.capacity() * size_of::<(u32, Range<usize>)>()
    }
}

impl Column {
    /// Takes the bytes of a column of `count` times, the first of which is known.
    pub(super) fn parse(bytes: Vec<u8>, count: usize, first: u32) -> Result<Self> {
        let blocks = if count <= BLOCK {
            vec![(first, 0..bytes.len())]
        } else {
            let mut cursor = Cursor::new(&bytes);
            let (mut blocks, mut end, mut first) = (Vec::with_capacity(count.div_ceil(BLOCK)), 0usize, 0u32);
            for _ in 0..count.div_ceil(BLOCK) {
                let len = cursor.u32()? as usize;
                first = first.checked_add(cursor.u32()?).ok_or_else(outside)?;
                blocks.push((first, end..end + len));
                end += len;
            }
            let header = bytes.len() - cursor.rest().len();
            if header + end != bytes.len() {
                return Err(bad("the blocks of a time column do not add up"));
            }
            for (_, place) in &mut blocks {
                *place = place.start + header..place.end + header;
            }
            blocks
        };
        Ok(Self { bytes, count, blocks })
    }
    /// The times of a block.
    pub(super) fn decode(&self, block: usize) -> Result<Box<[u32]>> {
        let (first, place) = self.blocks.get(block).ok_or_else(outside)?;
        let bytes = self.bytes.get(place.clone()).ok_or_else(outside)?;
        let count = BLOCK.min(self.count - block * BLOCK);
        let mut wide = Vec::with_capacity(count);
        times::decode(bytes, count, &mut wide)?;
        let narrow: Option<Box<[u32]>> = wide.iter().map(|t| u32::try_from(*t).ok()).collect();
        let next = self.blocks.get(block + 1).map(|(next, _)| next);
        let ascends = |times: &[u32]| {
            let ends_before = next.is_none_or(|next| times.last().is_some_and(|last| last < next));
            times.first() == Some(first) && times.is_sorted_by(|a, b| a < b) && ends_before
        };
        narrow
            .filter(|times| times.len() == count && ascends(times))
            .ok_or_else(|| bad("the times of a column make no sense"))
    }
    /// The last block that begins at a time or before; the first one when none does.
    pub(super) fn block_of(&self, time: u32) -> usize {
        self.blocks
            .partition_point(|(first, _)| *first <= time)
            .saturating_sub(1)
    }
    /// Whether it is one block only.
    #[cfg(test)]
    pub(super) fn is_single(&self) -> bool {
        self.blocks.len() == 1
    }
}

/// A block that was unpacked.
pub(super) struct Block(pub(super) Box<[u32]>);

impl Page for Block {
    fn size_bytes(&self) -> usize {
        size_of_val(&*self.0)
    }
}

fn outside() -> model::Error {
    bad("a time column ends too early")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn column() -> impl Strategy<Value = Vec<u32>> {
        (0u32..1000, prop::collection::vec(1u32..9, 1..2000)).prop_map(|(first, steps)| {
            let next = |at: &mut u32, step: u32| {
                *at += step;
                Some(*at)
            };
            steps.into_iter().scan(first, next).collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn columns_come_back_by_the_block(times in column(), effort in prop_oneof![Just(Effort::Flush), Just(Effort::Merge)]) {
            let mut bytes = Vec::new();
            encode(&mut bytes, &times, effort);
            let column = Column::parse(bytes, times.len(), times[0]).unwrap();
            prop_assert_eq!(column.is_single(), times.len() <= BLOCK);
            for (i, block) in times.chunks(BLOCK).enumerate() {
                prop_assert_eq!(&*column.decode(i).unwrap(), block);
                prop_assert_eq!(column.block_of(block[0]), i);
                prop_assert_eq!(column.block_of(block[block.len() - 1]), i);
            }
        }
        #[test]
        fn garbage_is_an_error_and_no_panic(bytes: Vec<u8>, count in 1usize..70_000, first: u32) {
            if let Ok(column) = Column::parse(bytes, count, first) {
                (0..=count.div_ceil(BLOCK)).for_each(|i| drop(column.decode(i)));
            }
        }
        #[test]
        fn changed_bytes_are_an_error_or_ascend(times in column(), at: prop::sample::Index, with: u8) {
            let mut bytes = Vec::new();
            encode(&mut bytes, &times, Effort::Merge);
            let at = at.index(bytes.len());
            bytes[at] = with;
            if let Ok(column) = Column::parse(bytes, times.len(), times[0]) {
                for i in 0..times.len().div_ceil(BLOCK) {
                    prop_assert!(column.decode(i).map_or(true, |times| times.is_sorted()));
                }
            }
        }
    }
}
