//! Prefix codes (Huffman) over tokens, and the tokens: numbers by their size, with the bits that tell them apart.
//!
//! The token of a number says its highest bit and the `detail` bits below; smaller numbers have a token each.

use super::PAGE;
use super::bits::{BitWriter, WORD_BITS, mask, word_at};
use crate::bytes::{Cursor, bad};
use model::Result;
use std::sync::LazyLock;

mod lengths;

/// Tokens are below this.
pub(super) const TOKENS: usize = 256;
/// The most bits below the highest that a token says.
pub(super) const MAX_DETAIL: u32 = 2;
/// The longest code. Tables for decoding have `1 << MAX_LEN` entries at most.
const MAX_LEN: u32 = 9;
/// The length of a code that the first one is compared with.
const FIRST_LEN: u32 = 6;

/// The token of a number.
pub(super) fn token_of(number: u64, detail: u32) -> usize {
    let exponent = 63 - (number | 1).leading_zeros();
    if exponent <= detail {
        return number as usize;
    }
    let low_bits = exponent - detail;
    ((low_bits << detail) as usize) + (number >> low_bits) as usize
}

/// The smallest number of a token, and how many bits are to be added.
pub(super) fn range_of(token: usize, detail: u32) -> (u64, u32) {
    let (token, low_bits) = (token as u64, ((token >> detail) as u32).saturating_sub(1));
    ((token - (u64::from(low_bits) << detail)) << low_bits, low_bits)
}

/// The tokens of some numbers.
#[derive(Debug)]
pub(super) struct Tokens {
    detail: u32,
    /// How many there are of each that occurs, in order.
    counts: Vec<(u8, u32)>,
}

impl Tokens {
    /// Counts the tokens of at most a page of numbers.
    pub(super) fn of(numbers: impl Iterator<Item = u64>, detail: u32) -> Self {
        let mut counts = [0; TOKENS];
        numbers.for_each(|number| counts[token_of(number, detail)] += 1);
        Self {
            detail,
            counts: (0..=u8::MAX)
                .zip(counts)
                .filter(|(_, count)| *count > 0)
                .collect(),
        }
    }

    /// The detail up to this one that makes a block smallest, and the bits that it then takes.
    pub(super) fn best(self) -> (f32, Self) {
        let mut best = (self.estimate(), self);
        for detail in (0..best.1.detail).rev() {
            let coarser = best.1.fold(detail);
            let bits = coarser.estimate();
            if bits < best.0 {
                best = (bits, coarser);
            }
        }
        best
    }

    /// The same numbers' tokens with less detail.
    fn fold(&self, detail: u32) -> Self {
        let mut counts: Vec<(u8, u32)> = Vec::with_capacity(self.counts.len());
        for (token, count) in &self.counts {
            let token = token_of(range_of(usize::from(*token), self.detail).0, detail) as u8;
            match counts.last_mut() {
                Some((last, total)) if *last == token => *total += count,
                _ => counts.push((token, *count)),
            }
        }
        Self { detail, counts }
    }

    /// Bits that a block with these tokens takes, roughly: codes, added bits, and the code's description.
    pub(super) fn estimate(&self) -> f32 {
        let (mut total, mut most, mut added, mut weighted) = (0, 0, 0, 0f32);
        for (token, count) in &self.counts {
            added += count * range_of(usize::from(*token), self.detail).1;
            weighted += entropy_weight(*count);
            total += count;
            most = most.max(*count);
        }
        let mut codes = entropy_weight(total) - weighted;
        if most * 2 > total && most < total {
            // A code has one bit at least, which is more than the most frequent token is worth.
            codes +=
                entropy_weight(most) + entropy_weight(total - most) - entropy_weight(total) + total as f32;
        }
        codes + added as f32 + 2.5 * self.counts.len() as f32 + 20.0
    }
}

/// `n * log2(n)`.
fn entropy_weight(n: u32) -> f32 {
    static WEIGHTS: LazyLock<[f32; PAGE + 1]> =
        LazyLock::new(|| std::array::from_fn(|n| n as f32 * (n.max(1) as f32).log2()));
    WEIGHTS[n as usize]
}

/// A complete canonical prefix code.
#[derive(Debug)]
pub(super) struct Code {
    /// What its tokens say of a number, see [`token_of`].
    pub detail: u32,
    /// Tokens in order, with the lengths of their codes. A single token has length 0.
    lens: Vec<(u8, u32)>,
    longest: u32,
}

impl Code {
    /// The best code for these tokens; there is at least one.
    pub(super) fn of(tokens: &Tokens) -> Self {
        let lens = lengths::of(&tokens.counts);
        let longest = lens.iter().map(|(_, len)| *len).max().unwrap_or(0);
        Self {
            detail: tokens.detail,
            lens,
            longest,
        }
    }

    /// A byte with the number of tokens and one with the first of them. Then bits, for each token from there on: 0 for
    /// a code as long as the one before (at first 6); 01 and 11 for one bit less or more; 0 after 10 for 4 bits of
    /// length; 1 after 10 for 4 bits with one less than the tokens to skip.
    pub(super) fn write(&self, into: &mut Vec<u8>) {
        into.push(self.lens.len() as u8);
        let mut next = self.lens[0].0;
        into.push(next);
        let mut writer = BitWriter::new(into);
        let mut previous = FIRST_LEN;
        for (token, len) in &self.lens {
            while next < *token {
                let skip = (*token - next).min(16);
                writer.put(0b111 | u64::from(skip - 1) << 3, 7);
                next += skip;
            }
            match i64::from(*len) - i64::from(previous) {
                0 => writer.put(0, 1),
                -1 => writer.put(0b001, 3),
                1 => writer.put(0b101, 3),
                _ => writer.put(0b011 | u64::from(*len) << 3, 7),
            }
            previous = *len;
            next += 1;
        }
        writer.finish();
    }

    /// Reads what [`Self::write`] wrote.
    pub(super) fn read(cursor: &mut Cursor<'_>, detail: u32) -> Result<Self> {
        let (tokens, first) = (cursor.byte()?, cursor.byte()?);
        let mut lens = Vec::with_capacity(usize::from(tokens));
        let (mut next, mut previous) = (usize::from(first), FIRST_LEN);
        let (bytes, mut position) = (cursor.rest(), 0);
        while lens.len() < usize::from(tokens) {
            let word = word_at(bytes, position);
            let four = (word >> 3 & 15) as u32;
            let (bits, len) = match word & 7 {
                0b001 => (3, previous.wrapping_sub(1)),
                0b101 => (3, previous + 1),
                0b011 => (7, four),
                0b111 => {
                    next += four as usize + 1;
                    position += 7;
                    continue;
                }
                _ => (1, previous),
            };
            if next > token_of(u64::MAX, detail) || len > MAX_LEN {
                return Err(bad("a prefix code has a token or a length that cannot be"));
            }
            lens.push((next as u8, len));
            (next, previous) = (next + 1, len);
            position += bits;
            if position > bytes.len() * 8 {
                return Err(bad("a prefix code ends too early"));
            }
        }
        cursor.take(position.div_ceil(8))?;
        let longest = lens.iter().map(|(_, len)| *len).max().unwrap_or(0);
        let kraft: u32 = lens.iter().map(|(_, len)| 1 << (longest - len)).sum();
        if kraft != 1 << longest {
            return Err(bad("a prefix code is not complete"));
        }
        Ok(Self {
            detail,
            lens,
            longest,
        })
    }

    /// Bits that numbers take, if there is a code for all of their tokens.
    pub(super) fn bits(&self, numbers: impl Iterator<Item = u64>) -> Option<f32> {
        let mut lens = self.lens.iter();
        let mut bits = 0;
        for (token, count) in Tokens::of(numbers, self.detail).counts {
            let (_, len) = lens.find(|(known, _)| *known == token)?;
            bits += count * (len + range_of(usize::from(token), self.detail).1);
        }
        Some(bits as f32)
    }

    /// Calls `visit` for each token with its code and the code's length, in the order of the codes.
    fn codes(&self, mut visit: impl FnMut(u8, u32, u32)) {
        let mut next = 0u32;
        for len in 0..=self.longest {
            for (token, _) in self.lens.iter().filter(|(_, l)| *l == len) {
                let reversed = (next as u16).reverse_bits();
                visit(
                    *token,
                    u32::from(reversed.checked_shr(16 - len).unwrap_or(0)),
                    len,
                );
                next += 1;
            }
            next <<= 1;
        }
    }

    /// For writing: code and its length by token.
    pub(super) fn words(&self) -> Words {
        let mut words = [(0, 0); TOKENS];
        self.codes(|token, word, len| words[usize::from(token)] = (word as u16, len as u8));
        Words(words)
    }

    /// For reading: token and length of its code by the bits that come.
    pub(super) fn table(&self) -> Table {
        let mut entries = vec![0; 1 << self.longest];
        self.codes(|token, word, len| {
            for entry in entries[word as usize..].iter_mut().step_by(1 << len) {
                *entry = u16::from(token) | (len as u16) << 8;
            }
        });
        Table {
            detail: self.detail,
            longest: self.longest,
            entries,
        }
    }
}

/// A code, ready for writing.
#[derive(Debug)]
pub(super) struct Words([(u16, u8); TOKENS]);

impl Words {
    pub(super) fn put(&self, writer: &mut BitWriter<'_>, token: usize) {
        let (word, len) = self.0[token];
        writer.put(u64::from(word), u32::from(len));
    }
}

/// A code, ready for reading.
#[derive(Debug)]
pub(super) struct Table {
    /// What its tokens say of a number, see [`token_of`].
    pub detail: u32,
    longest: u32,
    /// A token, and above it the length of its code.
    entries: Vec<u16>,
}

impl Table {
    /// Reads a token for each place from a position on; gives the position behind them.
    pub(super) fn tokens(&self, bytes: &[u8], mut position: usize, into: &mut [u8]) -> usize {
        let mask = mask(self.longest) as usize;
        for tokens in into.chunks_mut((WORD_BITS / MAX_LEN) as usize) {
            let mut word = word_at(bytes, position);
            for place in tokens {
                let entry = self.entries[word as usize & mask];
                *place = entry as u8;
                let len = usize::from(entry >> 8);
                word >>= len;
                position += len;
            }
        }
        position
    }
}

#[cfg(test)]
mod tests;
