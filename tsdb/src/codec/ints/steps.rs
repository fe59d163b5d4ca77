//! Few residuals that differ from the usual one, as a list: constants, straight lines, rare changes.

use crate::bytes::{Cursor, bad, put_int, put_uint};
use model::Result;

/// A list of those that differ.
#[derive(Debug)]
pub(super) struct Steps {
    /// The usual residual.
    pub usual: i64,
}

impl Steps {
    pub(super) fn write(&self, into: &mut Vec<u8>) {
        put_int(into, self.usual);
    }
    pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<Self> {
        Ok(Self { usual: cursor.int()? })
    }
    pub(super) fn pack(&self, into: &mut Vec<u8>, residuals: &[i64]) {
        let mut gap = 0;
        for residual in residuals {
            if *residual == self.usual {
                gap += 1;
                continue;
            }
            put_uint(into, gap);
            put_int(into, residual.wrapping_sub(self.usual));
            gap = 0;
        }
    }
    pub(super) fn unpack(&self, page: &[u8], into: &mut [i64]) -> Result<()> {
        into.fill(self.usual);
        let mut cursor = Cursor::new(page);
        let mut rest = into;
        while !cursor.is_empty() {
            let gap = usize::try_from(cursor.uint()?).map_err(|_| bad("a step lies outside"))?;
            let step = cursor.int()?;
            let (here, after) = rest
                .get_mut(gap..)
                .and_then(<[i64]>::split_first_mut)
                .ok_or_else(|| bad("a step lies outside"))?;
            *here = self.usual.wrapping_add(step);
            rest = after;
        }
        Ok(())
    }
    /// Bytes that [`Self::pack`] would write, if not more than `limit`.
    pub(super) fn size(&self, residuals: &[i64], limit: usize) -> Option<usize> {
        let (mut gap, mut size) = (0u64, 0);
        for residual in residuals {
            if *residual == self.usual {
                gap += 1;
                continue;
            }
            let step = residual.wrapping_sub(self.usual);
            size += uint_len(gap) + uint_len((step << 1 ^ step >> 63) as u64);
            gap = 0;
            if size > limit {
                return None;
            }
        }
        Some(size)
    }
}

fn uint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros()).div_ceil(7) as usize
}
