//! Numbers of any width, from the highest bit of each byte down, and Prometheus' encodings of them.

use super::source::zigzag;

/// Bits from front to back. `None` when they end.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    /// Bits that were read.
    at: usize,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }
    /// How many are left.
    pub(super) fn left(&self) -> usize {
        self.bytes.len() * 8 - self.at
    }
    /// A number of 0 to 64 bits.
    pub(super) fn bits(&mut self, width: u32) -> Option<u64> {
        if self.left() < width as usize {
            return None;
        }
        if width > 56 {
            let high = self.bits(width - 32)?;
            return Some(high << 32 | self.bits(32)?);
        }
        if width == 0 {
            return Some(0);
        }
        let from = &self.bytes[self.at / 8..];
        // 56 bits and the seven before them in their byte fit into these.
        let word = match from.first_chunk::<8>() {
            Some(eight) => u64::from_be_bytes(*eight),
            None => {
                let mut eight = [0; 8];
                eight[..from.len()].copy_from_slice(from);
                u64::from_be_bytes(eight)
            }
        };
        let value = word << (self.at % 8) >> (64 - width);
        self.at += width as usize;
        Some(value)
    }
    pub(super) fn bit(&mut self) -> Option<bool> {
        self.bits(1).map(|bit| bit == 1)
    }
    /// How many ones come before a zero, at most `most`; the zero is read too, but not after `most` ones.
    pub(super) fn ones(&mut self, most: u32) -> Option<u32> {
        for count in 0..most {
            if !self.bit()? {
                return Some(count);
            }
        }
        Some(most)
    }
    pub(super) fn float(&mut self) -> Option<f64> {
        self.bits(64).map(f64::from_bits)
    }
    /// LEB128; its bytes need not stand at the border of a byte.
    pub(super) fn uvarint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.bits(8)?;
            let part = byte & 0x7F;
            if shift == 63 && part > 1 {
                return None;
            }
            value |= part << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
    /// Zigzag LEB128.
    pub(super) fn varint(&mut self) -> Option<i64> {
        self.uvarint().map(zigzag)
    }
    /// A signed number of `width` bits whose range is shifted by one: 3 bits hold -3 to 4.
    pub(super) fn shifted(&mut self, width: u32) -> Option<i64> {
        let value = self.bits(width)?.cast_signed();
        Some(if value > 1 << (width - 1) {
            value - (1 << width)
        } else {
            value
        })
    }
    /// A signed number in two's complement.
    pub(super) fn signed(&mut self, width: u32) -> Option<i64> {
        let unused = 64 - width;
        Some((self.bits(width)? << unused).cast_signed() >> unused)
    }
    /// An unsigned number in one of nine widths, which a run of ones names.
    pub(super) fn varbit_uint(&mut self) -> Option<u64> {
        let width = WIDTHS[self.ones(8)? as usize];
        self.bits(width)
    }
    /// The same, signed.
    pub(super) fn varbit_int(&mut self) -> Option<i64> {
        match WIDTHS[self.ones(8)? as usize] {
            0 => Some(0),
            64 => self.bits(64).map(u64::cast_signed),
            width => self.shifted(width),
        }
    }
}

/// Widths of a number after no one, one one, two ones, …
const WIDTHS: [u32; 9] = [0, 3, 6, 9, 12, 18, 25, 56, 64];

/// A float that is stored as what differs from the one before it: the bits between the leading and the trailing
/// zeros of their XOR.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct XorFloat {
    pub value: f64,
    leading: u32,
    trailing: u32,
}

impl XorFloat {
    pub(super) fn new(value: f64) -> Self {
        Self {
            value,
            ..Self::default()
        }
    }
    /// The next value: a zero for the same one, else what [`XorFloat::changed`] reads.
    pub(super) fn read(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        if bits.bit()? {
            let is_new = bits.bit()?;
            self.changed(bits, is_new)?;
        }
        Some(())
    }
    /// A value that differs: with a new window, or within the last one.
    pub(super) fn changed(&mut self, bits: &mut Bits<'_>, is_new_window: bool) -> Option<()> {
        if is_new_window {
            let leading = bits.bits(5)? as u32;
            // 64 does not fit into six bits and is written as 0, for which there would be no need.
            let width = match bits.bits(6)? as u32 {
                0 => 64,
                width => width,
            };
            self.trailing = 64u32.checked_sub(leading + width)?;
            self.leading = leading;
        }
        let difference = bits.bits(64 - self.leading - self.trailing)? << self.trailing;
        self.value = f64::from_bits(self.value.to_bits() ^ difference);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_all_widths() {
        let bytes: Vec<u8> = (0..=255).collect();
        let all: Vec<bool> = bytes
            .iter()
            .flat_map(|b| (0..8).rev().map(move |i| b >> i & 1 == 1))
            .collect();
        for width in 0..=64 {
            let (mut bits, mut at) = (Bits::new(&bytes), 0);
            while let Some(value) = bits.bits(width).filter(|_| width > 0) {
                let end = at + width as usize;
                let expected = all[at..end]
                    .iter()
                    .fold(0u64, |sum, bit| sum << 1 | u64::from(*bit));
                assert_eq!(value, expected, "{width} bits at {at}");
                at = end;
            }
            assert!(width == 0 || all.len() - at < width as usize, "{width}");
        }
    }

    #[test]
    fn signed_numbers() {
        let shifted = |byte: u8| Bits::new(&[byte << 5]).shifted(3).unwrap();
        assert_eq!(
            [0b000, 0b011, 0b100, 0b101, 0b111].map(shifted),
            [0, 3, 4, -3, -1]
        );
        let signed = |byte: u8| Bits::new(&[byte << 5]).signed(3).unwrap();
        assert_eq!(
            [0b000, 0b011, 0b100, 0b101, 0b111].map(signed),
            [0, 3, -4, -3, -1]
        );
    }
}
