//! Writing a part of the metrics store.

use super::{CHUNK_INDEX, CHUNKS, KIND, POSTINGS, PartMeta, SERIES, SYMBOLS, pack, partition_of};
use crate::bytes::{put_bytes, put_int, put_uint};
use crate::chunk::{self, Effort};
use crate::histogram;
use crate::part::ChunkKind;
use model::metric::HistogramSample;
use model::{Error, Fs, Labels, Result};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use storage::PartWriter;

/// Histogram samples of one chunk at most.
const MAX_HISTOGRAMS: usize = 256;

/// A label's value: its text, its symbol, and the ids of the series that have it.
type ValueIds<'a> = (&'a str, u32, &'a [u32]);

/// Builds one part file, series by series in ascending order of their labels.
pub(crate) struct Builder {
    writer: PartWriter,
    effort: Effort,
    symbols: HashMap<Box<str>, u32>,
    symbol_bytes: Vec<u8>,
    series: Vec<u8>,
    chunk_index: Vec<u8>,
    postings: HashMap<(u32, u32), Vec<u32>>,
    buffer: Vec<u8>,
    last: Option<Labels>,
    count: u32,
    samples: u64,
    times: (i64, i64),
}

impl Builder {
    /// Starts a part file.
    pub(crate) fn create(fs: Arc<dyn Fs>, path: &Path, effort: Effort) -> Result<Self> {
        let mut writer = PartWriter::create(fs, path, KIND)?;
        writer.begin(CHUNKS)?;
        Ok(Self {
            writer,
            effort,
            symbols: HashMap::new(),
            symbol_bytes: Vec::new(),
            series: Vec::new(),
            chunk_index: Vec::new(),
            postings: HashMap::new(),
            buffer: Vec::new(),
            last: None,
            count: 0,
            samples: 0,
            times: (i64::MAX, i64::MIN),
        })
    }

    /// Adds a series with its samples: ascending, one per time. A series without any is left out.
    pub(crate) fn add(
        &mut self,
        labels: &Labels,
        times: &[i64],
        values: &[f64],
        histograms: &[HistogramSample],
    ) -> Result<()> {
        if times.is_empty() && histograms.is_empty() {
            return Ok(());
        }
        debug_assert!(
            self.last.as_ref().is_none_or(|last| last < labels),
            "series come in order"
        );
        self.last = Some(labels.clone());
        put_uint(&mut self.series, labels.len() as u64);
        for (name, value) in labels.iter() {
            let (name, value) = (self.symbol(name)?, self.symbol(value)?);
            put_uint(&mut self.series, u64::from(name));
            put_uint(&mut self.series, u64::from(value));
            self.postings.entry((name, value)).or_default().push(self.count);
        }
        self.count = self
            .count
            .checked_add(1)
            .ok_or_else(|| Error::internal("a part has too many series"))?;
        let chunks = times.len().div_ceil(chunk::MAX_SAMPLES) + histograms.len().div_ceil(MAX_HISTOGRAMS);
        put_uint(&mut self.chunk_index, chunks as u64);
        for (times, values) in times
            .chunks(chunk::MAX_SAMPLES)
            .zip(values.chunks(chunk::MAX_SAMPLES))
        {
            self.buffer.clear();
            chunk::encode(&mut self.buffer, times, values, self.effort);
            self.put_chunk(ChunkKind::Floats, times[0], times[times.len() - 1], times.len())?;
        }
        for samples in histograms.chunks(MAX_HISTOGRAMS) {
            self.buffer = histogram::encode_chunk(samples)?;
            let (first, last) = (samples[0].timestamp_ms, samples[samples.len() - 1].timestamp_ms);
            self.put_chunk(ChunkKind::Histograms, first, last, samples.len())?;
        }
        Ok(())
    }

    fn put_chunk(&mut self, kind: ChunkKind, first: i64, last: i64, count: usize) -> Result<()> {
        self.writer.write(&self.buffer)?;
        let into = &mut self.chunk_index;
        into.push(kind as u8);
        put_int(into, first);
        put_uint(into, last.wrapping_sub(first) as u64);
        put_uint(into, count as u64);
        // Chunks lie one after the other, so the lengths say the offsets.
        put_uint(into, self.buffer.len() as u64);
        self.samples += count as u64;
        self.times = (self.times.0.min(first), self.times.1.max(last));
        Ok(())
    }

    fn symbol(&mut self, text: &str) -> Result<u32> {
        if let Some(symbol) = self.symbols.get(text) {
            return Ok(*symbol);
        }
        let symbol =
            u32::try_from(self.symbols.len()).map_err(|_| Error::internal("a part has too many symbols"))?;
        self.symbols.insert(text.into(), symbol);
        put_bytes(&mut self.symbol_bytes, text.as_bytes());
        Ok(symbol)
    }

    /// Whether nothing was added.
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Writes the index and publishes the file. Returns its size and what the manifest says of it.
    pub(crate) fn finish(mut self, generation: u64) -> Result<(u64, PartMeta)> {
        self.writer.end();
        let with_count = |count: u64, body: &[u8]| {
            let mut bytes = Vec::with_capacity(body.len() + 10);
            put_uint(&mut bytes, count);
            bytes.extend_from_slice(body);
            pack(&bytes)
        };
        let postings = self.encode_postings();
        self.writer.section(
            SYMBOLS,
            &with_count(self.symbols.len() as u64, &self.symbol_bytes)?,
        )?;
        self.writer
            .section(SERIES, &with_count(u64::from(self.count), &self.series)?)?;
        self.writer.section(CHUNK_INDEX, &pack(&self.chunk_index)?)?;
        self.writer.section(POSTINGS, &pack(&postings)?)?;
        let meta = PartMeta {
            partition: partition_of(self.times.0),
            min_ms: self.times.0,
            max_ms: self.times.1,
            series: u64::from(self.count),
            samples: self.samples,
            generation,
        };
        Ok((self.writer.finish()?, meta))
    }

    /// Names and values sorted by their text, so that a reader finds them by halving.
    fn encode_postings(&self) -> Vec<u8> {
        let mut texts: Vec<&str> = vec![""; self.symbols.len()];
        for (text, symbol) in &self.symbols {
            texts[*symbol as usize] = text;
        }
        let mut names: BTreeMap<&str, Vec<ValueIds<'_>>> = BTreeMap::new();
        for ((name, value), ids) in &self.postings {
            names
                .entry(texts[*name as usize])
                .or_default()
                .push((texts[*value as usize], *value, ids));
        }
        let mut bytes = Vec::new();
        put_uint(&mut bytes, names.len() as u64);
        for (name, mut values) in names {
            values.sort_unstable_by_key(|(text, ..)| *text);
            put_uint(&mut bytes, u64::from(self.symbols[name]));
            put_uint(&mut bytes, values.len() as u64);
            for (_, symbol, ids) in values {
                put_uint(&mut bytes, u64::from(symbol));
                put_uint(&mut bytes, ids.len() as u64);
                let mut previous = 0;
                for id in ids {
                    put_uint(&mut bytes, u64::from(id - previous));
                    previous = *id;
                }
            }
        }
        bytes
    }
}
