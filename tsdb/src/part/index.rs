//! The index of a part in memory: nearly as it stands in the file, with the places to jump to.

use super::{CHUNK_INDEX, POSTINGS, SERIES, SYMBOLS, unpack};
use crate::bytes::{Cursor, bad};
use crate::select::Index;
use model::{Labels, Result};
use storage::PartReader;

/// What a chunk holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChunkKind {
    Floats = 0,
    Histograms = 1,
}

/// Where a chunk lies in the section of chunks, and what it spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChunkRef {
    pub kind: ChunkKind,
    pub min_ms: i64,
    pub max_ms: i64,
    pub count: usize,
    pub offset: u64,
    pub len: u64,
}

/// A loaded index.
pub(crate) struct PartIndex {
    symbols: Strings,
    /// The bytes of the section, and where each series starts.
    series: (Vec<u8>, Vec<u32>),
    /// The bytes of the section; where each series starts there, and where its first chunk starts.
    chunks: (Vec<u8>, Vec<(u32, u64)>),
    postings: Vec<u8>,
    /// Name symbols in the order of their text, each with the end of its values in `values`.
    names: Vec<(u32, u32)>,
    /// Value symbols in the order of their text, per name, each with the place of its ids in `postings`.
    values: Vec<(u32, u32)>,
}

/// Texts, one after the other.
struct Strings {
    text: String,
    ends: Vec<u32>,
}

impl Strings {
    fn get(&self, i: u32) -> Result<&str> {
        let i = i as usize;
        let start = if i == 0 {
            0
        } else {
            self.ends.get(i - 1).copied().unwrap_or(u32::MAX)
        };
        let end = self
            .ends
            .get(i)
            .copied()
            .ok_or_else(|| bad("there is no such symbol"))?;
        self.text
            .get(start as usize..end as usize)
            .ok_or_else(|| bad("a symbol is not UTF-8"))
    }
}

fn offset(bytes: &[u8], cursor: &Cursor<'_>) -> Result<u32> {
    u32::try_from(bytes.len() - cursor.rest().len()).map_err(|_| bad("a section is too large"))
}

impl PartIndex {
    /// Reads the index sections of a part.
    pub(crate) fn load(reader: &PartReader) -> Result<Self> {
        let read = |section: &str| {
            let named =
                |e: model::Error| e.within(format_args!("{}: section {section:?}", reader.path().display()));
            unpack(&reader.read(section)?).map_err(named)
        };
        let (symbols, series) = (read(SYMBOLS)?, read(SERIES)?);
        let (chunks, postings) = (read(CHUNK_INDEX)?, read(POSTINGS)?);
        Self::parse(&symbols, series, chunks, postings).map_err(|e| e.within(reader.path().display()))
    }

    pub(super) fn parse(symbols: &[u8], series: Vec<u8>, chunks: Vec<u8>, postings: Vec<u8>) -> Result<Self> {
        let mut cursor = Cursor::new(symbols);
        let count = cursor.count(1)?;
        let mut strings = Strings {
            text: String::with_capacity(symbols.len()),
            ends: Vec::with_capacity(count),
        };
        for _ in 0..count {
            strings.text.push_str(cursor.text()?);
            strings
                .ends
                .push(u32::try_from(strings.text.len()).map_err(|_| bad("too many symbols"))?);
        }
        let series_starts = series_starts(&series)?;
        let chunk_starts = chunk_starts(&chunks, series_starts.len())?;
        let (names, values) = names_and_values(&postings)?;
        Ok(Self {
            symbols: strings,
            series: (series, series_starts),
            chunks: (chunks, chunk_starts),
            postings,
            names,
            values,
        })
    }

    /// The chunks of a series: floats in order of time, then histograms in order of time.
    pub(crate) fn chunks(&self, id: u32) -> Result<Vec<ChunkRef>> {
        let (start, mut offset) = *self
            .chunks
            .1
            .get(id as usize)
            .ok_or_else(|| bad("there is no such series"))?;
        let mut cursor = Cursor::at(&self.chunks.0, start as usize)?;
        let count = cursor.count(5)?;
        (0..count)
            .map(|_| {
                let chunk = read_chunk_ref(&mut cursor, offset)?;
                offset += chunk.len;
                Ok(chunk)
            })
            .collect()
    }
    /// Whether a series has a chunk that touches a range of times, both included.
    pub(crate) fn touches(&self, id: u32, start_ms: i64, end_ms: i64) -> Result<bool> {
        Ok(self
            .chunks(id)?
            .iter()
            .any(|c| c.min_ms <= end_ms && c.max_ms >= start_ms))
    }
    /// Memory taken, roughly.
    pub(crate) fn size_bytes(&self) -> usize {
        let bytes = self.symbols.text.len() + self.series.0.len() + self.chunks.0.len() + self.postings.len();
        let words = self.symbols.ends.len() + self.series.1.len() + 4 * self.chunks.1.len();
        bytes + 4 * words + 8 * (self.names.len() + self.values.len())
    }

    fn pairs(&self, id: u32) -> Result<impl Iterator<Item = Result<(&str, &str)>>> {
        let start = *self
            .series
            .1
            .get(id as usize)
            .ok_or_else(|| bad("there is no such series"))?;
        let mut cursor = Cursor::at(&self.series.0, start as usize)?;
        let count = cursor.count(2)?;
        Ok((0..count).map(move |_| {
            let (name, value) = (cursor.u32()?, cursor.u32()?);
            Ok((self.symbols.get(name)?, self.symbols.get(value)?))
        }))
    }
    /// The range of `values` that belongs to a name.
    fn values_of(&self, name: &str) -> Result<&[(u32, u32)]> {
        let Some(at) = find(&self.symbols, &self.names, name)? else {
            return Ok(&[]);
        };
        let start = if at == 0 { 0 } else { self.names[at - 1].1 };
        Ok(&self.values[start as usize..self.names[at].1 as usize])
    }
    fn ids(&self, place: u32, into: &mut Vec<u32>) -> Result<()> {
        let mut cursor = Cursor::at(&self.postings, place as usize)?;
        let count = cursor.count(1)?;
        into.reserve(count);
        let mut id = 0u32;
        for _ in 0..count {
            id = id
                .checked_add(cursor.u32()?)
                .ok_or_else(|| bad("an id is too large"))?;
            into.push(id);
        }
        Ok(())
    }
}

/// Finds a text among symbols sorted by text.
fn find(symbols: &Strings, list: &[(u32, u32)], text: &str) -> Result<Option<usize>> {
    let (mut low, mut high) = (0, list.len());
    while low < high {
        let middle = (low + high) / 2;
        match symbols.get(list[middle].0)?.cmp(text) {
            std::cmp::Ordering::Equal => return Ok(Some(middle)),
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Greater => high = middle,
        }
    }
    Ok(None)
}

fn series_starts(bytes: &[u8]) -> Result<Vec<u32>> {
    let mut cursor = Cursor::new(bytes);
    let count = cursor.count(1)?;
    let mut starts = Vec::with_capacity(count);
    for _ in 0..count {
        starts.push(offset(bytes, &cursor)?);
        for _ in 0..cursor.count(2)? * 2 {
            cursor.uint()?;
        }
    }
    Ok(starts)
}

fn chunk_starts(bytes: &[u8], series: usize) -> Result<Vec<(u32, u64)>> {
    let (mut cursor, mut place) = (Cursor::new(bytes), 0u64);
    let mut starts = Vec::with_capacity(series);
    for _ in 0..series {
        starts.push((offset(bytes, &cursor)?, place));
        for _ in 0..cursor.count(5)? {
            let len = read_chunk_ref(&mut cursor, place)?.len;
            place = place.checked_add(len).ok_or_else(|| bad("a chunk is too long"))?;
        }
    }
    Ok(starts)
}

fn read_chunk_ref(cursor: &mut Cursor<'_>, offset: u64) -> Result<ChunkRef> {
    let kind = match cursor.byte()? {
        0 => ChunkKind::Floats,
        1 => ChunkKind::Histograms,
        other => return Err(bad(&format!("chunk kind {other} is not known"))),
    };
    let min_ms = cursor.int()?;
    Ok(ChunkRef {
        kind,
        min_ms,
        max_ms: min_ms.wrapping_add(cursor.uint()? as i64),
        count: cursor.u32()? as usize,
        offset,
        len: cursor.uint()?,
    })
}

type NamesAndValues = (Vec<(u32, u32)>, Vec<(u32, u32)>);

fn names_and_values(bytes: &[u8]) -> Result<NamesAndValues> {
    let mut cursor = Cursor::new(bytes);
    let (mut names, mut values) = (Vec::new(), Vec::new());
    for _ in 0..cursor.count(2)? {
        let name = cursor.u32()?;
        for _ in 0..cursor.count(2)? {
            let value = cursor.u32()?;
            values.push((value, offset(bytes, &cursor)?));
            for _ in 0..cursor.count(1)? {
                cursor.uint()?;
            }
        }
        names.push((
            name,
            u32::try_from(values.len()).map_err(|_| bad("too many values"))?,
        ));
    }
    Ok((names, values))
}

impl Index for PartIndex {
    fn len(&self) -> u32 {
        self.series.1.len() as u32
    }
    fn postings(&self, name: &str, value: &str) -> Result<Vec<u32>> {
        let values = self.values_of(name)?;
        let mut ids = Vec::new();
        if let Some(at) = find(&self.symbols, values, value)? {
            self.ids(values[at].1, &mut ids)?;
        }
        Ok(ids)
    }
    fn postings_where(&self, name: &str, wanted: &mut dyn FnMut(&str) -> bool) -> Result<Vec<u32>> {
        let mut ids = Vec::new();
        for (symbol, place) in self.values_of(name)? {
            if wanted(self.symbols.get(*symbol)?) {
                self.ids(*place, &mut ids)?;
            }
        }
        Ok(ids)
    }
    fn labels(&self, id: u32) -> Result<Labels> {
        let pairs: Vec<(&str, &str)> = self.pairs(id)?.collect::<Result<_>>()?;
        Ok(Labels::from_pairs(pairs))
    }
    fn with_value(&self, id: u32, name: &str, visit: &mut dyn FnMut(&str)) -> Result<()> {
        for pair in self.pairs(id)? {
            let (n, v) = pair?;
            if n == name {
                visit(v);
            }
        }
        Ok(())
    }
    fn names(&self) -> Result<Vec<String>> {
        self.names
            .iter()
            .map(|(symbol, _)| self.symbols.get(*symbol).map(str::to_owned))
            .collect()
    }
    fn values(&self, name: &str) -> Result<Vec<String>> {
        let values = self.values_of(name)?;
        values
            .iter()
            .map(|(symbol, _)| self.symbols.get(*symbol).map(str::to_owned))
            .collect()
    }
}
