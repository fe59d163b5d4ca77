//! `tombstones`: which samples of which series are deleted.

use super::crc32c;
use super::source::{Cursor, Source};
use model::Result;
use std::collections::HashMap;
use std::ops::RangeInclusive;

const MAGIC: u32 = 0x0130_BA30;
const VERSION: u8 = 1;
const CRC: usize = 4;
/// The file is read whole: a hundred thousand deletions of ten thousand series each would be smaller.
const MAX_BYTES: u64 = 1 << 30;

/// Deleted times, by series.
#[derive(Debug, Default)]
pub(super) struct Tombstones(HashMap<u64, Vec<RangeInclusive<i64>>>);

impl Tombstones {
    pub(super) fn read(source: &Source) -> Result<Self> {
        if source.len() > MAX_BYTES {
            return Err(source.damaged(0, "the file is larger than 1 GiB"));
        }
        let bytes = source.read(0, source.len())?;
        let damaged = |why: &str| source.damaged(0, why);
        let (body, crc) = bytes
            .split_last_chunk::<CRC>()
            .ok_or_else(|| damaged("it is too short"))?;
        let mut at = Cursor::new(body);
        if at.be32() != Some(MAGIC) {
            return Err(damaged("it does not begin as tombstones do"));
        }
        let version = *at
            .take(1)
            .ok_or_else(|| damaged("it is too short"))?
            .first()
            .unwrap_or(&0);
        if version != VERSION {
            return Err(source.unknown(&format!("version {version} of tombstones")));
        }
        // The version is not under the checksum.
        if crc32c::checksum(at.rest()) != u32::from_be_bytes(*crc) {
            return Err(damaged("the bytes do not fit their checksum"));
        }
        let mut ranges: HashMap<u64, Vec<_>> = HashMap::new();
        while !at.rest().is_empty() {
            let offset = (body.len() - at.rest().len()) as u64;
            let mut stone = || Some((at.uvarint()?, at.varint()?..=at.varint()?));
            let (series, range) = stone().ok_or_else(|| source.damaged(offset, "a tombstone is cut off"))?;
            ranges.entry(series).or_default().push(range);
        }
        Ok(Self(ranges))
    }
    /// What is deleted of a series.
    pub(super) fn of(&self, series: u64) -> &[RangeInclusive<i64>] {
        self.0.get(&series).map_or(&[], Vec::as_slice)
    }
}
