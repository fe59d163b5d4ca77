//! Packings with prefix codes: for residuals that all differ, and for those of which most are the same.

use super::PAGE;
use super::bits::{BitWriter, WORD_BITS, bits_at, mask, word_at};
use super::prefix::{Code, MAX_DETAIL, Table, range_of, token_of};
use crate::bytes::{Cursor, bad, put_int, put_uint};
use model::Result;
use std::cell::OnceCell;

/// How residuals become numbers from zero on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shift {
    /// The residual that becomes 0: the smallest, or when folded one in the middle.
    pub reference: i64,
    /// Whether there are residuals on both sides, which then take turns (zigzag).
    pub folded: bool,
}

impl Shift {
    pub(super) fn apply(self, residual: i64) -> u64 {
        let distance = residual.wrapping_sub(self.reference);
        if self.folded {
            (distance << 1 ^ distance >> 63) as u64
        } else {
            distance as u64
        }
    }
    fn undo(self, number: u64) -> i64 {
        let distance = if self.folded {
            (number >> 1) as i64 ^ -((number & 1) as i64)
        } else {
            number as i64
        };
        self.reference.wrapping_add(distance)
    }
}

/// Numbers as their tokens' codes, one after the other, then the added bits of each.
#[derive(Debug)]
pub(super) struct Block {
    code: Code,
    table: OnceCell<Table>,
}

impl Block {
    pub(super) fn new(code: Code) -> Self {
        Self {
            code,
            table: OnceCell::new(),
        }
    }
    fn read(cursor: &mut Cursor<'_>, detail: u32) -> Result<Self> {
        Ok(Self::new(Code::read(cursor, detail)?))
    }
    fn pack(&self, writer: &mut BitWriter<'_>, numbers: impl Iterator<Item = u64> + Clone) {
        let words = self.code.words();
        for number in numbers.clone() {
            words.put(writer, token_of(number, self.code.detail));
        }
        for number in numbers {
            let (_, added) = range_of(token_of(number, self.code.detail), self.code.detail);
            writer.put(number & mask(added), added);
        }
    }
    /// Reads a number for each place, at most [`PAGE`], from a position on; gives the position behind them.
    fn unpack(&self, page: &[u8], position: usize, into: &mut [u64]) -> Result<usize> {
        let table = self.table.get_or_init(|| self.code.table());
        let mut tokens = [0; PAGE];
        let tokens = &mut tokens[..into.len()];
        let mut position = table.tokens(page, position, tokens);
        for (place, token) in into.iter_mut().zip(tokens) {
            let (smallest, added) = range_of(usize::from(*token), table.detail);
            let low = if added <= WORD_BITS {
                word_at(page, position) & mask(added)
            } else {
                bits_at(page, position, added)
            };
            *place = smallest + low;
            position += added as usize;
        }
        if position > page.len() * 8 {
            return Err(bad("a page ends too early"));
        }
        Ok(position)
    }
}

/// Tokens of gaps say this many bits.
pub(super) const GAP_DETAIL: u32 = 1;
const FOLDED: u8 = 1;

/// What the flags in a page's head say: bit 0 folded, bits 1 and 2 the detail of tokens.
fn flags(shift: Shift, block: &Block) -> u8 {
    u8::from(shift.folded) | (block.code.detail as u8) << 1
}
fn read_flags(cursor: &mut Cursor<'_>, flags: u8) -> Result<(Shift, u32)> {
    let detail = u32::from(flags >> 1);
    if detail > MAX_DETAIL {
        return Err(bad("tokens of this detail are not known"));
    }
    let shift = Shift {
        folded: flags & FOLDED != 0,
        reference: cursor.int()?,
    };
    Ok((shift, detail))
}

/// Every residual has a code.
#[derive(Debug)]
pub(super) struct Dense {
    pub shift: Shift,
    pub block: Block,
}

impl Dense {
    pub(super) fn flags(&self) -> u8 {
        flags(self.shift, &self.block)
    }
    pub(super) fn write(&self, into: &mut Vec<u8>) {
        put_int(into, self.shift.reference);
        self.block.code.write(into);
    }
    pub(super) fn read(cursor: &mut Cursor<'_>, flags: u8) -> Result<Self> {
        let (shift, detail) = read_flags(cursor, flags)?;
        let block = Block::read(cursor, detail)?;
        Ok(Self { shift, block })
    }
    pub(super) fn bits(&self, residuals: &[i64]) -> Option<f32> {
        self.block
            .code
            .bits(residuals.iter().map(|r| self.shift.apply(*r)))
    }
    pub(super) fn pack(&self, into: &mut Vec<u8>, residuals: &[i64]) {
        let mut writer = BitWriter::new(into);
        self.block
            .pack(&mut writer, residuals.iter().map(|r| self.shift.apply(*r)));
        writer.finish();
    }
    pub(super) fn unpack(&self, page: &[u8], into: &mut [i64]) -> Result<()> {
        let mut numbers = [0; PAGE];
        let numbers = &mut numbers[..into.len()];
        self.block.unpack(page, 0, numbers)?;
        for (place, number) in into.iter_mut().zip(numbers) {
            *place = self.shift.undo(*number);
        }
        Ok(())
    }
}

/// Residuals that are not the reference have a code, and so has the gap before each.
#[derive(Debug)]
pub(super) struct Sparse {
    pub shift: Shift,
    pub gaps: Block,
    pub others: Block,
}

impl Sparse {
    pub(super) fn flags(&self) -> u8 {
        flags(self.shift, &self.others)
    }
    pub(super) fn write(&self, into: &mut Vec<u8>) {
        put_int(into, self.shift.reference);
        self.gaps.code.write(into);
        self.others.code.write(into);
    }
    pub(super) fn read(cursor: &mut Cursor<'_>, flags: u8) -> Result<Self> {
        let (shift, detail) = read_flags(cursor, flags)?;
        let gaps = Block::read(cursor, GAP_DETAIL)?;
        let others = Block::read(cursor, detail)?;
        Ok(Self { shift, gaps, others })
    }
    pub(super) fn bits(&self, residuals: &[i64]) -> Option<f32> {
        let (gaps, others) = split(residuals, self.shift);
        let gaps = self.gaps.code.bits(gaps.into_iter())?;
        Some(gaps + self.others.code.bits(others.into_iter())? + 12.0)
    }
    pub(super) fn pack(&self, into: &mut Vec<u8>, residuals: &[i64]) {
        let (gaps, others) = split(residuals, self.shift);
        put_uint(into, gaps.len() as u64);
        let mut writer = BitWriter::new(into);
        self.gaps.pack(&mut writer, gaps.iter().copied());
        self.others.pack(&mut writer, others.iter().copied());
        writer.finish();
    }
    pub(super) fn unpack(&self, page: &[u8], into: &mut [i64]) -> Result<()> {
        let mut cursor = Cursor::new(page);
        let count = usize::try_from(cursor.uint()?).unwrap_or(usize::MAX);
        if count > into.len() {
            return Err(bad("a page has more residuals than numbers"));
        }
        let page = cursor.rest();
        let (mut gaps, mut others) = ([0; PAGE], [0; PAGE]);
        let (gaps, others) = (&mut gaps[..count], &mut others[..count]);
        let position = self.gaps.unpack(page, 0, gaps)?;
        self.others.unpack(page, position, others)?;
        into.fill(self.shift.reference);
        let mut at = 0usize;
        for (gap, other) in gaps.iter().zip(others) {
            at = at.saturating_add(*gap as usize);
            *into
                .get_mut(at)
                .ok_or_else(|| bad("a residual lies outside of its page"))? =
                self.shift.undo(other.wrapping_add(1));
            at += 1;
        }
        Ok(())
    }
}

/// The gaps before residuals that are not the reference, and how far these are from it, less one.
pub(super) fn split(residuals: &[i64], shift: Shift) -> (Vec<u64>, Vec<u64>) {
    let (mut gaps, mut others) = (Vec::new(), Vec::new());
    let mut gap = 0;
    for residual in residuals {
        let number = shift.apply(*residual);
        if number == 0 {
            gap += 1;
        } else {
            gaps.push(gap);
            others.push(number - 1);
            gap = 0;
        }
    }
    (gaps, others)
}
