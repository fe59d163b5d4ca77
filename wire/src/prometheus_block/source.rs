//! A file of a block, read through a window, and the integers that stand in it.

use model::fs::ReadFile;
use model::{Error, Result};
use std::sync::Arc;

/// Bytes that are read at once; the files are walked from front to back.
const WINDOW: u64 = 256 << 10;

/// A file, and the name that errors call it.
#[derive(Clone)]
pub struct Source {
    name: Arc<str>,
    file: Arc<dyn ReadFile>,
}

impl Source {
    /// A file under a name, usually its path.
    pub fn new(name: impl Into<Arc<str>>, file: Arc<dyn ReadFile>) -> Self {
        Self {
            name: name.into(),
            file,
        }
    }
    pub(super) fn len(&self) -> u64 {
        self.file.len()
    }
    /// The error for damage at an offset.
    pub(super) fn damaged(&self, offset: u64, why: &str) -> Error {
        Error::corrupt(format!("{} is damaged at offset {offset}: {why}", self.name))
    }
    /// The error for a format that this version does not know.
    pub(super) fn unknown(&self, what: &str) -> Error {
        Error::corrupt(format!("{}: {what} is not known to this version", self.name))
    }
    /// A piece of the file.
    pub(super) fn read(&self, offset: u64, len: u64) -> Result<Vec<u8>> {
        if offset.checked_add(len).is_none_or(|end| end > self.len()) {
            return Err(self.damaged(
                offset,
                &format!("{len} bytes should be here, the file ends before"),
            ));
        }
        let size = usize::try_from(len).map_err(|_| self.damaged(offset, "a piece is too large"))?;
        self.file
            .read_vec(offset, size)
            .map_err(|e| Error::from(e).within(&self.name))
    }
}

/// A piece of a file that is held in memory and follows the reader.
pub(super) struct Window {
    source: Source,
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    pub(super) fn new(source: Source) -> Self {
        Self {
            source,
            start: 0,
            bytes: Vec::new(),
        }
    }
    pub(super) fn source(&self) -> &Source {
        &self.source
    }
    /// `len` bytes from an offset; an error when the file ends before.
    pub(super) fn get(&mut self, offset: u64, len: u64) -> Result<&[u8]> {
        let held = self.start..self.start + self.bytes.len() as u64;
        let end = offset.saturating_add(len);
        if !(held.start <= offset && end <= held.end) {
            let ahead = WINDOW.min(self.source.len().saturating_sub(offset));
            self.bytes = self.source.read(offset, len.max(ahead))?;
            self.start = offset;
        }
        let from = usize::try_from(offset - self.start).expect("the window is in memory");
        let to = usize::try_from(end - self.start).expect("the window is in memory");
        Ok(&self.bytes[from..to])
    }
    /// As many bytes as there are from an offset, at most `len`.
    pub(super) fn get_up_to(&mut self, offset: u64, len: u64) -> Result<&[u8]> {
        let len = len.min(self.source.len().saturating_sub(offset));
        self.get(offset, len)
    }
}

/// Integers from front to back. `None` when the bytes end, or when a number does not fit.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }
    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes
    }
    pub(super) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.bytes.split_at_checked(len)?;
        self.bytes = rest;
        Some(head)
    }
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.bytes.split_first_chunk::<N>()?;
        self.bytes = rest;
        Some(*head)
    }
    pub(super) fn be32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }
    pub(super) fn be64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }
    /// LEB128.
    pub(super) fn uvarint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array::<1>()?;
            let part = u64::from(byte & 0x7F);
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
}

/// The signed number behind an unsigned one: 0, -1, 1, -2, …
pub(super) fn zigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}
