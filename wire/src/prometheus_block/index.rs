//! `index`: the symbol table, and the series with the places of their chunks.

use super::crc32c;
use super::source::{Cursor, Source, Window};
use model::{Error, Labels, LabelsBuilder, Result};

const MAGIC: u32 = 0xBAAA_D700;
const HEADER: u64 = 5;
/// Six offsets and a checksum.
const TOC: u64 = 6 * 8 + 4;
const CRC: u64 = 4;
/// The longest length of a series' entry, as LEB128.
const MAX_LENGTH: u64 = 10;
/// Kept in memory. Prometheus allows 4 GiB; the largest servers have a tenth of this.
const MAX_SYMBOLS: u64 = 1 << 30;
/// A series of a month with a chunk per ten seconds stays below this.
const MAX_ENTRY: u64 = 16 << 20;
/// From version 2 on series begin at multiples of this, and are numbered by them.
const ALIGNMENT: u64 = 16;

/// An open index, and the place in it.
pub(super) struct Index {
    window: Window,
    symbols: Symbols,
    version: u8,
    at: u64,
    end: u64,
}

/// A series of a block: who it is, and where its samples are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockSeries {
    /// The identity, metric name included.
    pub labels: Labels,
    /// The chunks, by time.
    pub chunks: Vec<ChunkPlace>,
    id: u64,
    offset: u64,
}

impl BlockSeries {
    pub(super) fn id(&self) -> u64 {
        self.id
    }
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }
}

/// Where a chunk is, and the times of its samples, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkPlace {
    /// The first time, in milliseconds since the epoch.
    pub min_ms: i64,
    /// The last time.
    pub max_ms: i64,
    reference: u64,
}

impl ChunkPlace {
    /// Which of the chunk files, from 0.
    pub(super) fn segment(&self) -> usize {
        (self.reference >> 32) as usize
    }
    pub(super) fn offset(&self) -> u64 {
        self.reference & 0xFFFF_FFFF
    }
}

impl Index {
    pub(super) fn open(source: Source) -> Result<Self> {
        let len = source.len();
        if len < HEADER + TOC {
            return Err(source.damaged(0, "it is too short for an index"));
        }
        let header = source.read(0, HEADER)?;
        if Cursor::new(&header).be32() != Some(MAGIC) {
            return Err(source.damaged(0, "it does not begin as an index does"));
        }
        let version = header[4];
        if !(1..=3).contains(&version) {
            return Err(source.unknown(&format!("version {version} of the index")));
        }
        let toc_offset = len - TOC;
        let toc = source.read(toc_offset, TOC)?;
        let (body, crc) = toc.split_last_chunk::<4>().expect("the size was asked for");
        if crc32c::checksum(body) != u32::from_be_bytes(*crc) {
            return Err(source.damaged(toc_offset, "the table of contents does not fit its checksum"));
        }
        let mut at = Cursor::new(body);
        let sections: [u64; 6] = std::array::from_fn(|_| at.be64().expect("the size was asked for"));
        let [symbols, series, ..] = sections;
        // What follows the series need not exist in every version.
        let end = sections
            .into_iter()
            .filter(|s| *s > series)
            .min()
            .unwrap_or(toc_offset);
        if end > toc_offset {
            return Err(source.damaged(toc_offset, "the table of contents points beyond the file"));
        }
        let symbols = match symbols {
            0 => Symbols::default(),
            at => Symbols::read(&source, at, version)?,
        };
        Ok(Self {
            // Without a section of series there are none.
            at: if series == 0 { end } else { series },
            window: Window::new(source),
            symbols,
            version,
            end,
        })
    }

    /// The error for damage at an offset.
    pub(super) fn damaged(&self, offset: u64, why: &str) -> Error {
        self.window.source().damaged(offset, why)
    }

    pub(super) fn next_series(&mut self) -> Result<Option<BlockSeries>> {
        let series = self.entry();
        if series.is_err() {
            self.at = self.end;
        }
        series
    }

    fn entry(&mut self) -> Result<Option<BlockSeries>> {
        self.skip_padding()?;
        if self.at >= self.end {
            return Ok(None);
        }
        let offset = self.at;
        let head = self.window.get_up_to(offset, MAX_LENGTH)?;
        let mut at = Cursor::new(head);
        let (len, before) = (at.uvarint(), (head.len() - at.rest().len()) as u64);
        let next = len
            .filter(|len| *len <= MAX_ENTRY)
            .map(|len| offset + before + len + CRC)
            .filter(|next| *next <= self.end);
        let (Some(len), Some(next)) = (len, next) else {
            return Err(self.damaged(offset, "a series should be here, but its length makes no sense"));
        };
        let bytes = self.window.get(offset + before, len + CRC)?;
        let (body, crc) = bytes
            .split_last_chunk::<4>()
            .expect("four bytes more were asked for");
        let (found, expected) = (crc32c::checksum(body), u32::from_be_bytes(*crc));
        if found != expected {
            return Err(self.damaged(offset, "the series does not fit its checksum"));
        }
        let id = if self.version == 1 {
            offset
        } else {
            offset / ALIGNMENT
        };
        let decoded = decode(body, &self.symbols);
        let (labels, chunks) = decoded.ok_or_else(|| self.damaged(offset, "the series makes no sense"))?;
        self.at = next;
        Ok(Some(BlockSeries {
            labels,
            chunks,
            id,
            offset,
        }))
    }

    /// Zero bytes may stand between entries; no entry begins with one.
    fn skip_padding(&mut self) -> Result<()> {
        while self.at < self.end {
            let bytes = self.window.get_up_to(self.at, ALIGNMENT)?;
            let zeros = bytes.iter().take_while(|b| **b == 0).count() as u64;
            self.at += zeros;
            if zeros < ALIGNMENT {
                break;
            }
        }
        Ok(())
    }
}

/// Labels and chunks of an entry.
fn decode(body: &[u8], symbols: &Symbols) -> Option<(Labels, Vec<ChunkPlace>)> {
    let mut at = Cursor::new(body);
    let mut labels = LabelsBuilder::default();
    for _ in 0..at.uvarint()? {
        labels.push(symbols.get(at.uvarint()?)?, symbols.get(at.uvarint()?)?);
    }
    let count = at.uvarint()?;
    // A chunk takes at least three bytes: what is claimed is no reason to allocate.
    let mut chunks: Vec<ChunkPlace> =
        Vec::with_capacity(usize::try_from(count).ok()?.min(at.rest().len() / 3));
    for _ in 0..count {
        let (min_ms, reference) = match chunks.last() {
            None => (at.varint()?, None),
            Some(last) => (
                last.max_ms.checked_add_unsigned(at.uvarint()?)?,
                Some(last.reference),
            ),
        };
        let max_ms = min_ms.checked_add_unsigned(at.uvarint()?)?;
        let reference = match reference {
            None => at.uvarint()?,
            Some(last) => last.checked_add_signed(at.varint()?)?,
        };
        chunks.push(ChunkPlace {
            min_ms,
            max_ms,
            reference,
        });
    }
    at.rest().is_empty().then(|| (labels.build(), chunks))
}

/// The texts of an index.
#[derive(Default)]
struct Symbols {
    text: String,
    /// Where each symbol ends in `text`; it begins where the one before ends.
    ends: Vec<u32>,
    /// Version 1 names a symbol by its place in the file, later ones by its number: the places, ascending.
    places: Option<Vec<u64>>,
}

impl Symbols {
    fn read(source: &Source, offset: u64, version: u8) -> Result<Self> {
        let len = source.read(offset, 4)?;
        let len = u64::from(Cursor::new(&len).be32().expect("the size was asked for"));
        if len > MAX_SYMBOLS {
            return Err(source.damaged(offset, "the symbol table is larger than 1 GiB"));
        }
        let start = offset + 4;
        let bytes = source.read(start, len + CRC)?;
        let (body, crc) = bytes
            .split_last_chunk::<4>()
            .expect("four bytes more were asked for");
        if crc32c::checksum(body) != u32::from_be_bytes(*crc) {
            return Err(source.damaged(offset, "the symbol table does not fit its checksum"));
        }
        let mut at = Cursor::new(body);
        let count = at.be32();
        let mut symbols = Self {
            text: String::with_capacity(body.len()),
            ends: Vec::new(),
            places: (version == 1).then(Vec::new),
        };
        let count = count.ok_or_else(|| source.damaged(start, "the symbol table is cut off"))?;
        for _ in 0..count {
            let place = start + (body.len() - at.rest().len()) as u64;
            let mut text = || {
                let len = usize::try_from(at.uvarint()?).ok()?;
                std::str::from_utf8(at.take(len)?).ok()
            };
            let text = text().ok_or_else(|| source.damaged(place, "a symbol is cut off or not UTF-8"))?;
            symbols.text.push_str(text);
            symbols
                .ends
                .push(u32::try_from(symbols.text.len()).expect("the table is below 1 GiB"));
            if let Some(places) = &mut symbols.places {
                places.push(place);
            }
        }
        Ok(symbols)
    }
    fn get(&self, reference: u64) -> Option<&str> {
        let number = match &self.places {
            Some(places) => places.binary_search(&reference).ok()?,
            None => usize::try_from(reference).ok()?,
        };
        let end = *self.ends.get(number)? as usize;
        let start = number
            .checked_sub(1)
            .map_or(0, |before| self.ends[before] as usize);
        self.text.get(start..end)
    }
}
