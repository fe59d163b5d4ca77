//! A file of chunks.

use super::chunk::{self, Samples};
use super::crc32c;
use super::source::{Cursor, Source, Window};
use model::Result;

const MAGIC: u32 = 0x85BD_40DD;
const VERSION: u8 = 1;
const HEADER: u64 = 8;
/// A length of at most five bytes.
const MAX_LENGTH: u64 = 5;
const CRC: u64 = 4;
/// Prometheus aims at 1 KiB; ten histograms of ten thousand buckets each stay below this.
const MAX_CHUNK: u64 = 1 << 20;

/// An open file of chunks.
pub(super) struct Segment {
    window: Window,
}

impl Segment {
    pub(super) fn open(source: Source) -> Result<Self> {
        let mut window = Window::new(source);
        let header = window.get_up_to(0, HEADER)?.to_vec();
        let source = window.source();
        if header.len() < 5 || Cursor::new(&header).be32() != Some(MAGIC) {
            return Err(source.damaged(0, "it does not begin as a file of chunks does"));
        }
        if header[4] != VERSION {
            return Err(source.unknown(&format!("version {} of chunk files", header[4])));
        }
        Ok(Self { window })
    }
    /// The samples of the chunk at an offset.
    pub(super) fn read(&mut self, offset: u64) -> Result<Samples> {
        let head = self.window.get_up_to(offset, MAX_LENGTH)?;
        let mut at = Cursor::new(head);
        let (len, before) = (at.uvarint(), head.len() - at.rest().len());
        let damaged = |window: &Window, why: &str| Err(window.source().damaged(offset, why));
        let Some(len) = len.filter(|len| *len <= MAX_CHUNK) else {
            return damaged(
                &self.window,
                "a chunk should be here, but its length makes no sense",
            );
        };
        let start = offset + before as u64;
        let bytes = self.window.get(start, 1 + len + CRC)?;
        let (body, crc) = bytes
            .split_last_chunk::<4>()
            .expect("four bytes more were asked for");
        if crc32c::checksum(body) != u32::from_be_bytes(*crc) {
            return damaged(&self.window, "the chunk does not fit its checksum");
        }
        match chunk::decode(body[0], &body[1..]) {
            Ok(samples) => Ok(samples),
            Err(why) => damaged(&self.window, &why),
        }
    }
}
