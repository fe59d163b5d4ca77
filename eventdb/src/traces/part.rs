//! Parts of spans: the table of blocks, the index of traces, reading both. `docs/formats/eventdb.md` draws the bytes.

use super::spans::{self, Row};
use crate::codec::{Compressor, Decoder, checksum, put_int, put_str, put_uint};
use model::{Result, TimeRange, TraceId};
use std::sync::Arc;
use storage::{PartKind, PartReader};

/// Tag and version of part files with spans.
pub(crate) const SPAN_PART: PartKind = PartKind {
    tag: *b"SPAN",
    version: 1,
};

pub(super) const BLOCKS: &str = "blocks";
pub(super) const BLOOMS: &str = "blooms";
pub(super) const INDEX: &str = "index";
pub(super) const TRACES: &str = "traces";

/// One block in the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BlockInfo {
    pub(super) rows: u32,
    /// Bytes before compression.
    pub(super) raw_bytes: u32,
    /// Of the spans' starts.
    pub(super) range: TimeRange,
    pub(super) min_duration_ns: i64,
    pub(super) max_duration_ns: i64,
    pub(super) offset: u64,
    pub(super) len: u32,
    pub(super) bloom_offset: u64,
    pub(super) bloom_len: u32,
}

/// The table of a part.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SpanIndex {
    pub(super) blocks: Vec<BlockInfo>,
    /// Names of all attributes of spans and resources, sorted.
    pub(super) keys: Vec<String>,
}

impl SpanIndex {
    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        let mut raw = Vec::new();
        put_uint(&mut raw, self.keys.len() as u64);
        self.keys.iter().for_each(|key| put_str(&mut raw, key));
        put_uint(&mut raw, self.blocks.len() as u64);
        for block in &self.blocks {
            put_uint(&mut raw, u64::from(block.rows));
            put_uint(&mut raw, u64::from(block.raw_bytes));
            put_int(&mut raw, block.range.start_ns);
            put_uint(
                &mut raw,
                block.range.end_ns.wrapping_sub(block.range.start_ns) as u64,
            );
            put_int(&mut raw, block.min_duration_ns);
            put_int(&mut raw, block.max_duration_ns);
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
            index.keys.push(decoder.string()?);
        }
        let (mut offset, mut bloom_offset) = (0, 0);
        for _ in 0..decoder.count()? {
            let (rows, raw_bytes) = (decoder.u32()?, decoder.u32()?);
            let start_ns = decoder.int()?;
            let end_ns = start_ns.wrapping_add(decoder.uint()? as i64);
            let (min_duration_ns, max_duration_ns) = (decoder.int()?, decoder.int()?);
            let (len, bloom_len) = (decoder.u32()?, decoder.u32()?);
            index.blocks.push(BlockInfo {
                rows,
                raw_bytes,
                range: TimeRange { start_ns, end_ns },
                min_duration_ns,
                max_duration_ns,
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

/// The number by which a trace is looked up. Spreads evenly whatever the ids look like.
pub(super) fn fingerprint(id: &TraceId) -> u64 {
    checksum(&id.0)
}

/// Bytes of an entry of the index of traces: fingerprint and block, little-endian, sorted.
pub(super) const ENTRY_BYTES: usize = 12;
/// Entries that are read at once when one trace is looked up; about a page of the part file.
const WINDOW: u64 = 1024;

fn entry(bytes: &[u8]) -> (u64, u32) {
    let (fingerprint, block) = bytes.split_at(8);
    (
        u64::from_le_bytes(fingerprint.try_into().expect("split at 8")),
        u32::from_le_bytes(block.try_into().expect("entries have 12 bytes")),
    )
}

/// An open part with its table.
pub(super) struct OpenPart {
    pub(super) reader: Arc<PartReader>,
    pub(super) index: SpanIndex,
    traces: u64,
}

impl OpenPart {
    /// Also says how many bytes of memory it takes, roughly.
    pub(super) fn load(reader: PartReader) -> Result<(Self, usize)> {
        let bytes = reader.read(INDEX)?;
        let index = SpanIndex::decode(&bytes).map_err(|e| e.within(reader.path().display()))?;
        let memory = index.blocks.len() * size_of::<BlockInfo>()
            + index
                .keys
                .iter()
                .map(|k| k.len() + size_of::<String>())
                .sum::<usize>()
            + (reader.size_bytes() / 4096) as usize;
        let traces = reader.section_len(TRACES).unwrap_or(0) / ENTRY_BYTES as u64;
        Ok((
            Self {
                reader: Arc::new(reader),
                index,
                traces,
            },
            memory,
        ))
    }
    pub(super) fn read_block(&self, block: u32) -> Result<Vec<Row>> {
        let place =
            |e: model::Error| e.within(format_args!("{}: block {block}", self.reader.path().display()));
        let info = self.index.blocks.get(block as usize).ok_or_else(|| {
            place(model::Error::corrupt(
                "the index of traces names a block that is not there",
            ))
        })?;
        let bytes = self.reader.read_range(BLOCKS, info.offset, u64::from(info.len))?;
        let read = || {
            let mut packed = Decoder::new("a block of spans", &bytes);
            let raw = packed.packed()?.unpack()?;
            packed.finish()?;
            let mut decoder = Decoder::new("a block of spans", &raw);
            let rows = spans::decode(&mut decoder)?;
            decoder.finish()?;
            Ok(rows)
        };
        read().map_err(place)
    }
    pub(super) fn read_bloom(&self, block: u32) -> Result<Vec<u8>> {
        let info = &self.index.blocks[block as usize];
        self.reader
            .read_range(BLOOMS, info.bloom_offset, u64::from(info.bloom_len))
    }
    fn read_entries(&self, from: u64, to: u64) -> Result<Vec<u8>> {
        let size = ENTRY_BYTES as u64;
        self.reader.read_range(TRACES, from * size, (to - from) * size)
    }
    /// The blocks that hold spans of any of these traces (fingerprints, sorted), rising.
    pub(super) fn blocks_of(&self, fingerprints: &[u64]) -> Result<Vec<u32>> {
        let mut blocks = Vec::new();
        if fingerprints.len() as u64 * WINDOW < self.traces {
            for wanted in fingerprints {
                self.look_up(*wanted, &mut blocks)?;
            }
        } else if !fingerprints.is_empty() {
            // Reading all of it costs less than many places of it.
            let bytes = self.read_entries(0, self.traces)?;
            let entries = bytes.chunks_exact(ENTRY_BYTES).map(entry);
            blocks.extend(
                entries
                    .filter(|(f, _)| fingerprints.binary_search(f).is_ok())
                    .map(|(_, b)| b),
            );
        }
        blocks.sort_unstable();
        blocks.dedup();
        Ok(blocks)
    }
    /// Fingerprints spread evenly, so the place of one can be guessed and a window around it mostly has it.
    fn look_up(&self, wanted: u64, blocks: &mut Vec<u32>) -> Result<()> {
        let (mut low, mut high) = (0, self.traces);
        let mut guess = ((u128::from(wanted) * u128::from(self.traces)) >> 64) as u64;
        while low < high {
            let from = guess.saturating_sub(WINDOW / 2).clamp(low, high - 1);
            let to = (from + WINDOW).min(high);
            let bytes = self.read_entries(from, to)?;
            let at = |i: u64| entry(&bytes[i as usize * ENTRY_BYTES..][..ENTRY_BYTES]);
            let len = to - from;
            if at(0).0 >= wanted && from > low {
                // It may begin before the window.
                high = if at(0).0 > wanted { from } else { from + 1 };
                guess = low + (from - low) / 2;
                if at(0).0 == wanted {
                    return self.look_around(wanted, from, blocks);
                }
            } else if at(len - 1).0 < wanted {
                low = to;
                guess = low + (high - low) / 2;
            } else {
                let place = (0..len).find(|i| at(*i).0 >= wanted).unwrap_or(0);
                if at(place).0 == wanted {
                    return self.look_around(wanted, from + place, blocks);
                }
                return Ok(());
            }
        }
        Ok(())
    }
    /// Takes all neighbours of an entry with the same fingerprint: one for each block of a long trace.
    fn look_around(&self, wanted: u64, place: u64, blocks: &mut Vec<u32>) -> Result<()> {
        let mut from = place;
        while from > 0 {
            let start = from.saturating_sub(WINDOW);
            let bytes = self.read_entries(start, from)?;
            let same = bytes
                .chunks_exact(ENTRY_BYTES)
                .rev()
                .take_while(|e| entry(e).0 == wanted)
                .count() as u64;
            from -= same;
            if same < WINDOW {
                break;
            }
        }
        while from < self.traces {
            let to = (from + WINDOW).min(self.traces);
            let bytes = self.read_entries(from, to)?;
            let same = bytes
                .chunks_exact(ENTRY_BYTES)
                .map(entry)
                .take_while(|(f, _)| *f == wanted);
            let before = blocks.len();
            blocks.extend(same.map(|(_, block)| block));
            from += WINDOW;
            if ((blocks.len() - before) as u64) < WINDOW {
                break;
            }
        }
        Ok(())
    }
}
