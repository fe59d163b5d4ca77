//! Bytes of our own formats: varints, length-prefixed strings, capped zstd, and a reader that never panics.

use model::{Error, Result};

/// Appends an unsigned number, seven bits to a byte, low bits first.
pub(crate) fn put_uint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push((n as u8) | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// Appends a signed number, zigzag.
pub(crate) fn put_int(out: &mut Vec<u8>, n: i64) {
    put_uint(out, ((n << 1) ^ (n >> 63)) as u64);
}

/// Appends a length and the bytes.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_uint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a length and the text.
pub(crate) fn put_str(out: &mut Vec<u8>, text: &str) {
    put_bytes(out, text.as_bytes());
}

/// Reads what the functions above wrote. Every error is [`model::ErrorKind::Corrupt`] and says where it happened.
pub(crate) struct Decoder<'a> {
    what: &'static str,
    all: usize,
    rest: &'a [u8],
}

impl<'a> Decoder<'a> {
    /// `what` names the bytes in errors.
    pub(crate) fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self {
            what,
            all: bytes.len(),
            rest: bytes,
        }
    }
    /// An error at the current place.
    pub(crate) fn bad(&self, problem: &str) -> Error {
        let at = self.all - self.rest.len();
        Error::corrupt(format!("{} is damaged at byte {at}: {problem}", self.what))
    }
    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let (head, tail) = self
            .rest
            .split_at_checked(len)
            .ok_or_else(|| self.bad("it ends too early"))?;
        self.rest = tail;
        Ok(head)
    }
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let bytes = self.take(N)?;
        Ok(bytes.try_into().expect("take gives as many bytes as asked"))
    }
    pub(crate) fn u8(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }
    pub(crate) fn u64_le(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }
    pub(crate) fn uint(&mut self) -> Result<u64> {
        let mut n = 0_u64;
        for (i, byte) in self.rest.iter().take(10).enumerate() {
            n |= u64::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[i + 1..];
                return Ok(n);
            }
        }
        Err(self.bad("a number does not end"))
    }
    pub(crate) fn int(&mut self) -> Result<i64> {
        let n = self.uint()?;
        Ok(((n >> 1) as i64) ^ -((n & 1) as i64))
    }
    pub(crate) fn u32(&mut self) -> Result<u32> {
        u32::try_from(self.uint()?).map_err(|_| self.bad("a number is too large"))
    }
    /// A count of things that take at least one byte each, so that a damaged one cannot ask for much memory.
    pub(crate) fn count(&mut self) -> Result<usize> {
        let n = self.uint()?;
        match usize::try_from(n) {
            Ok(n) if n <= self.rest.len() => Ok(n),
            _ => Err(self.bad("a count is too large")),
        }
    }
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8]> {
        let len = self.count()?;
        self.take(len)
    }
    pub(crate) fn str(&mut self) -> Result<&'a str> {
        std::str::from_utf8(self.bytes()?).map_err(|_| self.bad("text is not UTF-8"))
    }
    pub(crate) fn string(&mut self) -> Result<String> {
        self.str().map(str::to_owned)
    }
    /// Fails when something is left.
    pub(crate) fn finish(self) -> Result<()> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.bad("there is more than expected"))
        }
    }
}

/// The stable hash of our formats: XXH3-64 without a seed.
pub(crate) fn checksum(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(bytes)
}

/// Compresses with one context for many pieces.
pub(crate) struct Compressor(zstd::bulk::Compressor<'static>);

impl Compressor {
    pub(crate) fn new(level: i32) -> Result<Self> {
        Ok(Self(zstd::bulk::Compressor::new(level)?))
    }
    /// Appends raw length, compressed length and a zstd frame.
    pub(crate) fn put(&mut self, out: &mut Vec<u8>, raw: &[u8]) -> Result<()> {
        put_uint(out, raw.len() as u64);
        put_bytes(out, &self.0.compress(raw)?);
        Ok(())
    }
}

/// The most that one compressed piece of ours may hold once unpacked.
const MAX_RAW_BYTES: u64 = 1 << 30;

impl<'a> Decoder<'a> {
    /// A piece that [`Compressor::put`] wrote, still packed.
    pub(crate) fn packed(&mut self) -> Result<Packed<'a>> {
        let raw_len = self.uint()?;
        if raw_len > MAX_RAW_BYTES {
            return Err(self.bad("a compressed piece claims to be too large"));
        }
        Ok(Packed {
            what: self.what,
            raw_len: raw_len as usize,
            frame: self.bytes()?,
        })
    }
}

/// A compressed piece.
pub(crate) struct Packed<'a> {
    what: &'static str,
    /// Its length once unpacked.
    pub(crate) raw_len: usize,
    frame: &'a [u8],
}

impl Packed<'_> {
    /// Unpacks it; never to more than it claims.
    pub(crate) fn unpack(&self) -> Result<Vec<u8>> {
        let raw = zstd::bulk::decompress(self.frame, self.raw_len)
            .map_err(|e| Error::corrupt(format!("{} does not unpack: {e}", self.what)))?;
        if raw.len() != self.raw_len {
            return Err(Error::corrupt(format!(
                "{} unpacks to {} bytes instead of {}",
                self.what,
                raw.len(),
                self.raw_len
            )));
        }
        Ok(raw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(u in any::<u64>(), i in any::<i64>(), s in ".{0,20}") {
            let mut out = Vec::new();
            put_uint(&mut out, u);
            put_int(&mut out, i);
            put_str(&mut out, &s);
            let mut d = Decoder::new("test", &out);
            prop_assert_eq!(d.uint().unwrap(), u);
            prop_assert_eq!(d.int().unwrap(), i);
            prop_assert_eq!(d.str().unwrap(), s);
            d.finish().unwrap();
        }

        #[test]
        fn garbage_is_an_error_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut d = Decoder::new("test", &bytes);
            while d.string().is_ok_and(|s| !s.is_empty()) {}
            let mut d = Decoder::new("test", &bytes);
            if let Ok(packed) = d.packed() {
                let _ = packed.unpack();
            }
        }
    }

    #[test]
    fn pieces_unpack_to_what_they_were() {
        let raw = b"abc".repeat(1000);
        let mut out = Vec::new();
        Compressor::new(1).unwrap().put(&mut out, &raw).unwrap();
        assert!(out.len() < 100);
        assert_eq!(
            Decoder::new("test", &out).packed().unwrap().unpack().unwrap(),
            raw
        );
    }
}
