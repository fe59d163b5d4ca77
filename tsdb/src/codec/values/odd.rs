//! Values that stand apart from their column's integers, bit by bit: markers, NaNs, infinities, -0.0, stray decimals.

use crate::bytes::{Cursor, bad, put_float, put_uint};
use model::Result;
use model::metric::STALE_NAN_BITS;
use std::ops::Range;

/// Patterns that occur often; others are written out.
const USUAL: [u64; 7] = [
    STALE_NAN_BITS,
    // The NaN of Prometheus and Go.
    0x7ff8_0000_0000_0001,
    0x7ff8_0000_0000_0000,
    0xfff8_0000_0000_0000,
    // -0.0
    0x8000_0000_0000_0000,
    // Both infinities.
    0x7ff0_0000_0000_0000,
    0xfff0_0000_0000_0000,
];
/// The code of patterns that are not in [`USUAL`]. Codes take three bits.
const WRITTEN: u64 = 7;

/// Odd values as runs of the same pattern, in order.
#[derive(Debug, Default)]
pub(super) struct Odd {
    runs: Vec<Run>,
    plain: usize,
}

#[derive(Debug)]
struct Run {
    from: usize,
    to: usize,
    bits: u64,
}

impl Odd {
    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }
    /// How many are ordinary numbers.
    pub(super) fn plain(&self) -> usize {
        self.plain
    }
    /// Adds the value at an index after all that are there.
    pub(super) fn push(&mut self, at: usize, value: f64) {
        let bits = value.to_bits();
        self.plain += usize::from(!USUAL.contains(&bits) && value.is_finite());
        match self.runs.last_mut() {
            Some(run) if run.to == at && run.bits == bits => run.to += 1,
            _ => self.runs.push(Run {
                from: at,
                to: at + 1,
                bits,
            }),
        }
    }
    /// A uint of the number of runs, then per run a uint of the gap before it, a uint of its length less one times 8
    /// plus the code of its pattern, and the pattern where the code does not say it.
    pub(super) fn write(&self, into: &mut Vec<u8>) {
        put_uint(into, self.runs.len() as u64);
        let mut at = 0;
        for run in &self.runs {
            let code = USUAL.iter().position(|bits| *bits == run.bits);
            put_uint(into, (run.from - at) as u64);
            put_uint(
                into,
                (run.to - run.from - 1) as u64 * 8 + code.map_or(WRITTEN, |c| c as u64),
            );
            if code.is_none() {
                put_float(into, f64::from_bits(run.bits));
            }
            at = run.to;
        }
    }
    /// Reads what [`Self::write`] wrote for a column of `count` values.
    pub(super) fn read(cursor: &mut Cursor<'_>, count: usize) -> Result<Self> {
        let mut odd = Self::default();
        let mut at = 0u64;
        for _ in 0..cursor.count(2)? {
            let from = at.saturating_add(cursor.uint()?);
            let length_and_code = cursor.uint()?;
            at = from.saturating_add(length_and_code / 8 + 1);
            if at > count as u64 {
                return Err(bad("an odd value lies outside of its column"));
            }
            let bits = match USUAL.get((length_and_code % 8) as usize) {
                Some(bits) => *bits,
                None => cursor.float()?.to_bits(),
            };
            odd.runs.push(Run {
                from: from as usize,
                to: at as usize,
                bits,
            });
        }
        Ok(odd)
    }
    /// Puts the odd values of a range to their places.
    pub(super) fn restore(&self, range: Range<usize>, values: &mut [f64]) {
        for run in &self.runs {
            let (from, to) = (run.from.max(range.start), run.to.min(range.end));
            if from < to {
                values[from - range.start..to - range.start].fill(f64::from_bits(run.bits));
            }
        }
    }
}
