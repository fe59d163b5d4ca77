//! Varints and a cursor over bytes, for the log record and the part sections.

use model::{Error, Result};

/// Appends an unsigned LEB128 number.
pub(crate) fn put_uint(into: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        into.push((value as u8) | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}
/// Appends a signed number, zigzag-coded, so that small ones of both signs are short.
pub(crate) fn put_int(into: &mut Vec<u8>, value: i64) {
    put_uint(into, ((value << 1) ^ (value >> 63)) as u64);
}
/// Appends a length and the bytes.
pub(crate) fn put_bytes(into: &mut Vec<u8>, bytes: &[u8]) {
    put_uint(into, bytes.len() as u64);
    into.extend_from_slice(bytes);
}
/// Appends the bits of a float, little endian.
pub(crate) fn put_float(into: &mut Vec<u8>, value: f64) {
    into.extend_from_slice(&value.to_bits().to_le_bytes());
}

/// Reads from the front of a slice. Every error says that the bytes do not add up; the caller adds the place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// Everything that is left.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.0
    }
    pub(crate) fn byte(&mut self) -> Result<u8> {
        let (first, rest) = self
            .0
            .split_first()
            .ok_or_else(|| bad("the bytes end too early"))?;
        self.0 = rest;
        Ok(*first)
    }
    pub(crate) fn uint(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(bad("a number is too long"))
    }
    pub(crate) fn int(&mut self) -> Result<i64> {
        let value = self.uint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }
    /// A number of things that follow, each of at least `min_bytes`, so that a wrong one asks for no memory.
    pub(crate) fn count(&mut self, min_bytes: usize) -> Result<usize> {
        let count = usize::try_from(self.uint()?).map_err(|_| bad("a count is too large"))?;
        if count.saturating_mul(min_bytes) > self.0.len() {
            return Err(bad("a count is larger than what follows"));
        }
        Ok(count)
    }
    pub(crate) fn u32(&mut self) -> Result<u32> {
        u32::try_from(self.uint()?).map_err(|_| bad("a number is too large"))
    }
    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let (piece, rest) = self
            .0
            .split_at_checked(len)
            .ok_or_else(|| bad("the bytes end too early"))?;
        self.0 = rest;
        Ok(piece)
    }
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8]> {
        let len = self.count(1)?;
        self.take(len)
    }
    pub(crate) fn text(&mut self) -> Result<&'a str> {
        std::str::from_utf8(self.bytes()?).map_err(|_| bad("a text is not UTF-8"))
    }
    pub(crate) fn float(&mut self) -> Result<f64> {
        let bytes = self.take(8)?;
        Ok(f64::from_bits(u64::from_le_bytes(
            *bytes.first_chunk().expect("take gave eight bytes"),
        )))
    }
}

/// The error for bytes that passed their checksum and make no sense all the same.
pub(crate) fn bad(why: &str) -> Error {
    Error::corrupt(why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(unsigned: u64, signed: i64, float in any::<u64>().prop_map(f64::from_bits), text: String) {
            let mut bytes = Vec::new();
            put_uint(&mut bytes, unsigned);
            put_int(&mut bytes, signed);
            put_float(&mut bytes, float);
            put_bytes(&mut bytes, text.as_bytes());
            let mut cursor = Cursor::new(&bytes);
            prop_assert_eq!(cursor.uint().unwrap(), unsigned);
            prop_assert_eq!(cursor.int().unwrap(), signed);
            prop_assert_eq!(cursor.float().unwrap().to_bits(), float.to_bits());
            prop_assert_eq!(cursor.text().unwrap(), text);
            prop_assert!(cursor.is_empty() && cursor.byte().is_err());
        }
        #[test]
        fn garbage_is_an_error_and_no_panic(bytes: Vec<u8>) {
            let mut cursor = Cursor::new(&bytes);
            let _ = (cursor.bytes(), cursor.uint(), cursor.count(4), cursor.float());
        }
    }
}
