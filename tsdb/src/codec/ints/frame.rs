//! Frame of reference: each residual as its distance from the smallest, in as many bits as the largest needs.

use super::bits::{BitWriter, WORD_BITS, bits_at, mask, word_at};
use crate::bytes::{Cursor, bad, put_int};
use model::Result;

/// The frame.
#[derive(Debug)]
pub(super) struct Frame {
    /// The smallest residual.
    pub smallest: i64,
    /// Bits of each distance, up to 64.
    pub width: u32,
}

impl Frame {
    /// The frame that holds all from the smallest to the largest.
    pub(super) fn around(smallest: i64, largest: i64) -> Self {
        Self {
            smallest,
            width: 64 - (largest.wrapping_sub(smallest) as u64).leading_zeros(),
        }
    }
    pub(super) fn write(&self, into: &mut Vec<u8>) {
        put_int(into, self.smallest);
        into.push(self.width as u8);
    }
    pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<Self> {
        let (smallest, width) = (cursor.int()?, u32::from(cursor.byte()?));
        if width > 64 {
            return Err(bad("a frame is wider than a number"));
        }
        Ok(Self { smallest, width })
    }
    pub(super) fn pack(&self, into: &mut Vec<u8>, residuals: &[i64]) {
        let mut writer = BitWriter::new(into);
        for residual in residuals {
            writer.put(residual.wrapping_sub(self.smallest) as u64, self.width);
        }
        writer.finish();
    }
    /// Bits that residuals take, if they all lie within the frame.
    pub(super) fn bits(&self, residuals: &[i64]) -> Option<f32> {
        let within = |r: &i64| r.wrapping_sub(self.smallest) as u64 <= mask(self.width);
        residuals
            .iter()
            .all(within)
            .then_some((residuals.len() * self.width as usize) as f32)
    }
    pub(super) fn unpack(&self, page: &[u8], into: &mut [i64]) -> Result<()> {
        if page.len() * 8 < into.len() * self.width as usize {
            return Err(bad("a page ends too early"));
        }
        let (width, mut position) = (self.width as usize, 0);
        if self.width <= WORD_BITS {
            let mask = mask(self.width);
            for residual in into {
                *residual = self
                    .smallest
                    .wrapping_add((word_at(page, position) & mask) as i64);
                position += width;
            }
        } else {
            for residual in into {
                *residual = self
                    .smallest
                    .wrapping_add(bits_at(page, position, self.width) as i64);
                position += width;
            }
        }
        Ok(())
    }
}
