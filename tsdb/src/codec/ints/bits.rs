//! Streams of bits, lowest bit of the first byte first.

/// Appends bits to bytes; [`BitWriter::finish`] fills the last byte with zeros.
#[derive(Debug)]
pub(super) struct BitWriter<'a> {
    into: &'a mut Vec<u8>,
    pending: u64,
    len: u32,
}

impl<'a> BitWriter<'a> {
    pub(super) fn new(into: &'a mut Vec<u8>) -> Self {
        Self {
            into,
            pending: 0,
            len: 0,
        }
    }
    /// Appends the lowest `len` bits, up to 64; those above must be zero.
    pub(super) fn put(&mut self, value: u64, len: u32) {
        if len <= 32 {
            self.put_short(value, len);
        } else {
            self.put_short(value & u64::from(u32::MAX), 32);
            self.put_short(value >> 32, len - 32);
        }
    }
    fn put_short(&mut self, value: u64, len: u32) {
        self.pending |= value << self.len;
        self.len += len;
        if self.len >= 32 {
            self.into.extend_from_slice(&(self.pending as u32).to_le_bytes());
            self.pending >>= 32;
            self.len -= 32;
        }
    }
    pub(super) fn finish(self) {
        let bytes = self.len.div_ceil(8) as usize;
        self.into.extend_from_slice(&self.pending.to_le_bytes()[..bytes]);
    }
}

/// Bits of which at least this many stand in a [`word_at`].
pub(super) const WORD_BITS: u32 = 57;

/// The bits from a position on, at least [`WORD_BITS`] of them; zeros stand for those behind the end.
pub(super) fn word_at(bytes: &[u8], position: usize) -> u64 {
    let from = position / 8;
    let word = match bytes.get(from..).and_then(|rest| rest.first_chunk()) {
        Some(chunk) => u64::from_le_bytes(*chunk),
        None => last_word(bytes, from),
    };
    word >> (position % 8)
}

#[cold]
fn last_word(bytes: &[u8], from: usize) -> u64 {
    let rest = bytes.get(from..).unwrap_or_default();
    rest.iter()
        .rev()
        .fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// The lowest `len` bits, up to 64, from a position on.
pub(super) fn bits_at(bytes: &[u8], position: usize, len: u32) -> u64 {
    if len <= WORD_BITS {
        return word_at(bytes, position) & mask(len);
    }
    let low = word_at(bytes, position) & u64::from(u32::MAX);
    low | (word_at(bytes, position + 32) & mask(len - 32)) << 32
}

/// As many ones as `len`, up to 64.
pub(super) fn mask(len: u32) -> u64 {
    u64::MAX.checked_shr(64 - len).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bits_come_back(fields in prop::collection::vec((any::<u64>(), 0u32..=64), 0..100)) {
            let mut bytes = vec![];
            let mut writer = BitWriter::new(&mut bytes);
            fields.iter().for_each(|(value, len)| writer.put(value & mask(*len), *len));
            writer.finish();
            let mut position = 0;
            for (value, len) in &fields {
                prop_assert_eq!(bits_at(&bytes, position, *len), value & mask(*len));
                position += *len as usize;
            }
            prop_assert_eq!(bytes.len(), position.div_ceil(8));
            prop_assert_eq!(bits_at(&bytes, position + 64, 64), 0);
        }
    }
}
