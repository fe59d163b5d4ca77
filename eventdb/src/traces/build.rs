//! Writes a part of spans: traces by their start, each trace's spans side by side.

use super::part::{BLOCKS, BLOOMS, BlockInfo, INDEX, SpanIndex, TRACES, fingerprint};
use super::spans::{self, Row, span_size};
use super::terms::{BlockTerms, keys_of};
use crate::Options;
use crate::bloom;
use crate::codec::Compressor;
use crate::engine::PartFactory;
use crate::words::WordsWriter;
use model::{Result, TimeRange};
use std::collections::BTreeSet;
use storage::PartWriter;

/// Blocks of spans are smaller than those of lines, because one trace is often all that is wanted of one.
const BLOCK_SHARE: usize = 4;

/// Writes one part.
pub(super) struct SpanPartWriter {
    part: PartWriter,
    words: WordsWriter,
    compressor: Compressor,
    block_bytes: usize,
    index: SpanIndex,
    keys: BTreeSet<String>,
    blooms: Vec<u8>,
    /// Fingerprint and block of each trace.
    traces: Vec<(u64, u32)>,
    current: Vec<Row>,
    current_bytes: usize,
    range: Option<TimeRange>,
    rows: u64,
    raw_bytes: u64,
}

impl SpanPartWriter {
    pub(super) fn new(mut part: PartWriter, options: &Options, level: i32) -> Result<Self> {
        part.begin(BLOCKS)?;
        Ok(Self {
            part,
            words: WordsWriter::new()?,
            compressor: Compressor::new(level)?,
            block_bytes: options.block_bytes / BLOCK_SHARE,
            index: SpanIndex::default(),
            keys: BTreeSet::new(),
            blooms: Vec::new(),
            traces: Vec::new(),
            current: Vec::new(),
            current_bytes: 0,
            range: None,
            rows: 0,
            raw_bytes: 0,
        })
    }
    /// Appends the spans of one trace; each trace comes once, in the order of their starts.
    pub(super) fn push_trace(&mut self, mut rows: Vec<Row>) -> Result<()> {
        rows.sort_by_key(|row| row.span.start_ns);
        for row in rows {
            let fingerprint = fingerprint(&row.span.trace_id);
            let block = self.index.blocks.len() as u32;
            if self.traces.last() != Some(&(fingerprint, block)) {
                self.traces.push((fingerprint, block));
            }
            self.current_bytes += span_size(&row.span).1;
            self.current.push(row);
            // A trace that alone is larger than a few blocks is cut; other traces stay whole.
            if self.current_bytes >= self.block_bytes * 4 {
                self.end_block()?;
            }
        }
        if self.current_bytes >= self.block_bytes {
            self.end_block()
        } else {
            Ok(())
        }
    }
    fn end_block(&mut self) -> Result<()> {
        let rows = std::mem::take(&mut self.current);
        self.current_bytes = 0;
        if rows.is_empty() {
            return Ok(());
        }
        let mut raw = Vec::new();
        spans::encode(
            rows.iter().map(|row| (row.group.as_ref(), row.span.as_ref())),
            &mut raw,
        );
        let mut bytes = Vec::new();
        self.compressor.put(&mut bytes, &raw)?;
        let offset = self.part.write(&bytes)?;
        let mut terms = BlockTerms::default();
        for row in &rows {
            terms.add(row);
            for key in keys_of(row) {
                if !self.keys.contains(key) {
                    self.keys.insert(key.to_owned());
                }
            }
        }
        let starts = rows.iter().map(|row| row.span.start_ns);
        let durations = rows.iter().map(|row| row.span.duration_ns());
        let range = TimeRange {
            start_ns: starts.clone().min().unwrap_or_default(),
            end_ns: starts.max().unwrap_or_default(),
        };
        let pairs: Vec<Vec<u8>> = terms.pairs().collect();
        self.words
            .add_block(pairs.iter().map(Vec::as_slice), terms.wide(), range)?;
        terms.hashes.sort_unstable();
        terms.hashes.dedup();
        let bloom = bloom::build(&terms.hashes);
        self.index.blocks.push(BlockInfo {
            rows: rows.len() as u32,
            raw_bytes: raw.len() as u32,
            range,
            min_duration_ns: durations.clone().min().unwrap_or_default(),
            max_duration_ns: durations.max().unwrap_or_default(),
            offset,
            len: bytes.len() as u32,
            bloom_offset: self.blooms.len() as u64,
            bloom_len: bloom.len() as u32,
        });
        self.blooms.extend_from_slice(&bloom);
        self.range = Some(self.range.map_or(range, |r| r.union(&range)));
        self.rows += rows.len() as u64;
        self.raw_bytes += raw.len() as u64;
        Ok(())
    }
    /// Writes the rest of the part.
    pub(super) fn finish(mut self, factory: &mut PartFactory) -> Result<()> {
        self.end_block()?;
        let Some(range) = self.range else {
            // Nothing was pushed; the unfinished file goes with the writer.
            return Ok(());
        };
        self.part.section(BLOOMS, &self.blooms)?;
        self.traces.sort_unstable();
        self.part.begin(TRACES)?;
        let mut buffer = Vec::with_capacity(self.traces.len() * super::part::ENTRY_BYTES);
        for (fingerprint, block) in &self.traces {
            buffer.extend_from_slice(&fingerprint.to_le_bytes());
            buffer.extend_from_slice(&block.to_le_bytes());
        }
        self.part.write(&buffer)?;
        self.index.keys = self.keys.into_iter().collect();
        self.part.section(INDEX, &self.index.encode()?)?;
        self.words.finish()?.write(&mut self.part)?;
        factory.finish(self.part, range, self.rows, self.raw_bytes)
    }
}
