//! Parts of log entries: the table of blocks, reading blocks and blooms. `docs/formats/eventdb.md` draws the bytes.

use super::columns::Columns;
use super::record::{put_labels, read_labels};
use crate::codec::{Compressor, Decoder, put_int, put_uint};
use model::{Labels, Result, TimeRange};
use std::sync::Arc;
use storage::{PartKind, PartReader};

/// Tag and version of part files with log entries.
pub(crate) const LOG_PART: PartKind = PartKind {
    tag: *b"LOGS",
    version: 1,
};

pub(super) const BLOCKS: &str = "blocks";
pub(super) const BLOOMS: &str = "blooms";
pub(super) const INDEX: &str = "index";

/// One block in the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BlockInfo {
    /// Place of the stream in [`LogIndex::streams`].
    pub(super) stream: u32,
    pub(super) rows: u32,
    /// Bytes of the lines before compression.
    pub(super) text_bytes: u32,
    pub(super) range: TimeRange,
    pub(super) offset: u64,
    pub(super) len: u32,
    pub(super) bloom_offset: u64,
    pub(super) bloom_len: u32,
}

/// The table of a part: its streams, and its blocks by stream and time.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct LogIndex {
    pub(super) streams: Vec<Labels>,
    pub(super) blocks: Vec<BlockInfo>,
}

impl LogIndex {
    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        let mut raw = Vec::new();
        put_uint(&mut raw, self.streams.len() as u64);
        self.streams
            .iter()
            .for_each(|labels| put_labels(&mut raw, labels));
        put_uint(&mut raw, self.blocks.len() as u64);
        for block in &self.blocks {
            put_uint(&mut raw, u64::from(block.stream));
            put_uint(&mut raw, u64::from(block.rows));
            put_uint(&mut raw, u64::from(block.text_bytes));
            put_int(&mut raw, block.range.start_ns);
            put_uint(
                &mut raw,
                block.range.end_ns.wrapping_sub(block.range.start_ns) as u64,
            );
            put_uint(&mut raw, u64::from(block.len));
            put_uint(&mut raw, u64::from(block.bloom_len));
        }
        let mut out = Vec::new();
        Compressor::new(3)?.put(&mut out, &raw)?;
        Ok(out)
    }
    pub(super) fn decode(bytes: &[u8]) -> Result<Self> {
        let mut packed = Decoder::new("the table of a part", bytes);
        let raw = packed.packed()?.unpack()?;
        packed.finish()?;
        let mut decoder = Decoder::new("the table of a part", &raw);
        let mut index = Self::default();
        for _ in 0..decoder.count()? {
            index.streams.push(read_labels(&mut decoder)?);
        }
        let (mut offset, mut bloom_offset) = (0, 0);
        for _ in 0..decoder.count()? {
            let (stream, rows, text_bytes) = (decoder.u32()?, decoder.u32()?, decoder.u32()?);
            let start_ns = decoder.int()?;
            let end_ns = start_ns.wrapping_add(decoder.uint()? as i64);
            let (len, bloom_len) = (decoder.u32()?, decoder.u32()?);
            if stream as usize >= index.streams.len() {
                return Err(decoder.bad("a block of a stream that is not there"));
            }
            index.blocks.push(BlockInfo {
                stream,
                rows,
                text_bytes,
                range: TimeRange { start_ns, end_ns },
                offset,
                len,
                bloom_offset,
                bloom_len,
            });
            offset += u64::from(len);
            bloom_offset += u64::from(bloom_len);
        }
        decoder.finish()?;
        Ok(index)
    }
}

/// An open part with its table.
pub(super) struct OpenPart {
    pub(super) reader: Arc<PartReader>,
    pub(super) index: LogIndex,
}

impl OpenPart {
    /// Also says how many bytes of memory it takes, roughly.
    pub(super) fn load(reader: PartReader) -> Result<(Self, usize)> {
        let bytes = reader.read(INDEX)?;
        let place = |e: model::Error| e.within(reader.path().display());
        let index = LogIndex::decode(&bytes).map_err(place)?;
        let memory = index.streams.iter().map(Labels::size_bytes).sum::<usize>()
            + index.blocks.len() * size_of::<BlockInfo>()
            + (reader.size_bytes() / 4096) as usize;
        Ok((
            Self {
                reader: Arc::new(reader),
                index,
            },
            memory,
        ))
    }
    pub(super) fn read_block(&self, block: u32) -> Result<Columns> {
        let info = &self.index.blocks[block as usize];
        let bytes = self.reader.read_range(BLOCKS, info.offset, u64::from(info.len))?;
        Columns::decode(&bytes)
            .map_err(|e| e.within(format_args!("{}: block {block}", self.reader.path().display())))
    }
    pub(super) fn read_bloom(&self, block: u32) -> Result<Vec<u8>> {
        let info = &self.index.blocks[block as usize];
        self.reader
            .read_range(BLOOMS, info.bloom_offset, u64::from(info.bloom_len))
    }
}
