//! Entries of one stream as columns: times, lines, structured metadata. Chunks of the head and blocks of a part
//! are both made of this.

use crate::codec::{Compressor, Decoder, put_int, put_str, put_uint};
use model::log::Metadata;
use model::{LogEntry, Result, TimeRange};
use std::collections::HashMap;
use std::sync::Arc;

/// Rows of one stream. In the head they stand in the order of arrival, in a part by time and then arrival.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Columns {
    times: Vec<i64>,
    /// Whether a row came from one of our agents: its repeats are real ones.
    kept: Vec<bool>,
    text: String,
    ends: Vec<u32>,
    sets: Vec<Arc<Metadata>>,
    /// For each row 0, or the place of its metadata in `sets` plus one.
    set_of: Vec<u32>,
}

/// Which rows of a block came from agents.
const KEPT_NONE: u8 = 0;
const KEPT_ALL: u8 = 1;
const KEPT_SOME: u8 = 2;

impl Columns {
    pub(crate) fn len(&self) -> usize {
        self.times.len()
    }
    pub(crate) fn is_empty(&self) -> bool {
        self.times.is_empty()
    }
    pub(crate) fn time(&self, row: usize) -> i64 {
        self.times[row]
    }
    pub(crate) fn times(&self) -> &[i64] {
        &self.times
    }
    pub(crate) fn is_kept(&self, row: usize) -> bool {
        self.kept[row]
    }
    pub(crate) fn line(&self, row: usize) -> &str {
        &self.text[self.line_start(row)..self.ends[row] as usize]
    }
    fn line_start(&self, row: usize) -> usize {
        if row == 0 { 0 } else { self.ends[row - 1] as usize }
    }
    pub(crate) fn metadata(&self, row: usize) -> Option<&Arc<Metadata>> {
        let place = self.set_of[row].checked_sub(1)?;
        Some(&self.sets[place as usize])
    }
    /// Bytes of all lines.
    pub(crate) fn text_bytes(&self) -> usize {
        self.text.len()
    }
    /// All lines, one directly after the other, and the row that holds a byte of it.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
    /// The row in whose line a byte of [`Columns::text`] stands, and where that line ends.
    pub(crate) fn row_at(&self, byte: usize) -> (usize, usize) {
        let row = self.ends.partition_point(|end| *end as usize <= byte);
        (row, self.ends[row] as usize)
    }
    pub(crate) fn entry(&self, row: usize) -> LogEntry {
        LogEntry {
            timestamp_ns: self.times[row],
            line: self.line(row).to_owned(),
            metadata: self.metadata(row).map(|m| m.as_ref().clone()).unwrap_or_default(),
        }
    }
    /// The times of the oldest and the newest row; rows may be in any order.
    pub(crate) fn range(&self) -> TimeRange {
        let (mut start_ns, mut end_ns) = (i64::MAX, i64::MIN);
        for t in &self.times {
            start_ns = start_ns.min(*t);
            end_ns = end_ns.max(*t);
        }
        TimeRange { start_ns, end_ns }
    }
    /// Appends a row; returns roughly how many bytes of memory it took.
    pub(crate) fn push(
        &mut self,
        time: i64,
        line: &str,
        metadata: Option<&Arc<Metadata>>,
        kept: bool,
    ) -> usize {
        let mut memory = line.len() + 17;
        let set = match metadata {
            None => 0,
            Some(set) => {
                // Neighbours mostly share their metadata.
                if self
                    .sets
                    .last()
                    .is_none_or(|last| !Arc::ptr_eq(last, set) && last != set)
                {
                    memory += set.iter().map(|(k, v)| k.len() + v.len() + 48).sum::<usize>() + 40;
                    self.sets.push(Arc::clone(set));
                }
                self.sets.len() as u32
            }
        };
        self.times.push(time);
        self.kept.push(kept);
        self.text.push_str(line);
        self.ends
            .push(u32::try_from(self.text.len()).expect("chunks and blocks are cut far below 4 GiB"));
        self.set_of.push(set);
        memory
    }

    /// The bytes of a block; see `docs/formats/eventdb.md`.
    pub(crate) fn encode(&self, compressor: &mut Compressor) -> Result<Vec<u8>> {
        let mut out = Vec::with_capacity(self.text.len() / 4 + 64);
        put_uint(&mut out, self.len() as u64);
        compressor.put(&mut out, &self.encode_rows())?;
        compressor.put(&mut out, self.text.as_bytes())?;
        compressor.put(&mut out, &self.encode_metadata())?;
        Ok(out)
    }
    fn encode_rows(&self) -> Vec<u8> {
        let mut raw = Vec::with_capacity(self.len() * 6);
        let mut last = 0_i64;
        for t in &self.times {
            put_int(&mut raw, t.wrapping_sub(last));
            last = *t;
        }
        for row in 0..self.len() {
            put_uint(&mut raw, (self.ends[row] as usize - self.line_start(row)) as u64);
        }
        let kept = self.kept.iter().filter(|k| **k).count();
        if kept == 0 {
            raw.push(KEPT_NONE);
        } else if kept == self.len() {
            raw.push(KEPT_ALL);
        } else {
            raw.push(KEPT_SOME);
            raw.extend(self.kept.iter().map(|k| u8::from(*k)));
        }
        raw
    }
    fn encode_metadata(&self) -> Vec<u8> {
        let mut raw = Vec::new();
        // A set may stand in `sets` several times; in a block it stands once.
        let mut places: HashMap<&Metadata, u32> = HashMap::new();
        let mut distinct: Vec<&Metadata> = Vec::new();
        let place_of: Vec<u32> = self
            .sets
            .iter()
            .map(|set| {
                *places.entry(set.as_ref()).or_insert_with(|| {
                    distinct.push(set);
                    distinct.len() as u32
                })
            })
            .collect();
        put_uint(&mut raw, distinct.len() as u64);
        for set in &distinct {
            put_uint(&mut raw, set.len() as u64);
            for (key, value) in *set {
                put_str(&mut raw, key);
                put_str(&mut raw, value);
            }
        }
        if !distinct.is_empty() {
            for set in &self.set_of {
                let place = set.checked_sub(1).map_or(0, |i| place_of[i as usize]);
                put_uint(&mut raw, u64::from(place));
            }
        }
        raw
    }

    /// Reads the bytes of a block.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let mut decoder = Decoder::new("a block of log lines", bytes);
        let rows = decoder.u32()? as usize;
        let (times, text, sets) = (decoder.packed()?, decoder.packed()?, decoder.packed()?);
        let text_raw = text.unpack()?;
        let mut columns = Self {
            text: String::from_utf8(text_raw).map_err(|_| decoder.bad("lines are not UTF-8"))?,
            ..Self::default()
        };
        decoder.finish()?;
        columns.decode_rows(rows, &times.unpack()?)?;
        columns.decode_metadata(rows, &sets.unpack()?)?;
        Ok(columns)
    }
    fn decode_rows(&mut self, rows: usize, raw: &[u8]) -> Result<()> {
        let mut decoder = Decoder::new("the rows of a block of log lines", raw);
        // A row takes at least two bytes of `raw`: its time and its length.
        if rows > raw.len() / 2 {
            return Err(decoder.bad("there are fewer rows than the block says"));
        }
        let mut last = 0_i64;
        self.times.reserve_exact(rows);
        for _ in 0..rows {
            last = last.wrapping_add(decoder.int()?);
            self.times.push(last);
        }
        let mut end = 0_u64;
        self.ends.reserve_exact(rows);
        for _ in 0..rows {
            end = end.saturating_add(decoder.uint()?);
            let fits = usize::try_from(end).is_ok_and(|end| self.text.is_char_boundary(end));
            if !fits {
                return Err(decoder.bad("a line ends outside of the text"));
            }
            self.ends.push(end as u32);
        }
        if end != self.text.len() as u64 {
            return Err(decoder.bad("the lines do not fill the text"));
        }
        self.kept = match decoder.u8()? {
            KEPT_NONE => vec![false; rows],
            KEPT_ALL => vec![true; rows],
            KEPT_SOME => decoder.take(rows)?.iter().map(|b| *b != 0).collect(),
            _ => return Err(decoder.bad("unknown kind of origin flags")),
        };
        decoder.finish()
    }
    fn decode_metadata(&mut self, rows: usize, raw: &[u8]) -> Result<()> {
        let mut decoder = Decoder::new("the metadata of a block of log lines", raw);
        for _ in 0..decoder.count()? {
            let pairs = decoder.count()?;
            let set: Result<Metadata> = (0..pairs)
                .map(|_| Ok((decoder.string()?, decoder.string()?)))
                .collect();
            self.sets.push(Arc::new(set?));
        }
        if self.sets.is_empty() {
            self.set_of = vec![0; rows];
        } else {
            self.set_of.reserve_exact(rows);
            for _ in 0..rows {
                let place = decoder.u32()?;
                if place as usize > self.sets.len() {
                    return Err(decoder.bad("metadata that is not there"));
                }
                self.set_of.push(place);
            }
        }
        decoder.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn build(rows: &[(i64, String, u8, bool)]) -> Columns {
        let mut columns = Columns::default();
        for (time, line, set, kept) in rows {
            let metadata = (*set > 0).then(|| Arc::new(vec![("k".to_owned(), set.to_string())]));
            columns.push(*time, line, metadata.as_ref(), *kept);
        }
        columns
    }

    proptest! {
        #[test]
        fn a_block_reads_as_written(rows in prop::collection::vec((any::<i64>(), ".{0,9}", 0..4_u8, any::<bool>()), 0..20)) {
            let columns = build(&rows);
            let bytes = columns.encode(&mut Compressor::new(1).unwrap()).unwrap();
            let again = Columns::decode(&bytes).unwrap();
            prop_assert_eq!(again.len(), columns.len());
            for row in 0..columns.len() {
                prop_assert_eq!(again.entry(row), columns.entry(row));
                prop_assert_eq!(again.is_kept(row), columns.is_kept(row));
            }
        }

        #[test]
        fn garbage_is_an_error_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..60), at in any::<prop::sample::Index>(), bit in 0..8_u32) {
            let _ = Columns::decode(&bytes);
            let columns = build(&[(1, "one".into(), 1, true), (2, "two".into(), 0, false)]);
            let mut block = columns.encode(&mut Compressor::new(1).unwrap()).unwrap();
            let at = at.index(block.len());
            block[at] ^= 1_u8 << bit;
            let _ = Columns::decode(&block);
        }
    }

    #[test]
    fn rows_are_found_by_a_byte_of_the_text() {
        let columns = build(&[
            (1, "ab".into(), 0, false),
            (2, String::new(), 0, false),
            (3, "c".into(), 0, false),
        ]);
        assert_eq!(columns.row_at(0), (0, 2));
        assert_eq!(columns.row_at(1), (0, 2));
        assert_eq!(columns.row_at(2), (2, 3));
    }
}
