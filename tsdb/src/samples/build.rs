//! Writing a file of samples.

use super::columns::Columns;
use super::directory::{self, Extras, Located, RunRef, TimeRef};
use super::exemplars::{self, PageEntry};
use super::{
    COLUMNS, DATA, DIRECTORY, INDEX, KIND, MAX_RUN, PARTITION_MS, PartMeta, Run, SeriesId, partition_of,
};
use crate::bytes::{put_int, put_uint};
use crate::codec::{self, Effort};
use model::metric::HistogramSample;
use model::{Error, Fs, Result};
use std::path::Path;
use std::sync::Arc;
use storage::PartWriter;

/// Histograms of one chunk at most.
pub(super) const HISTOGRAM_CHUNK: usize = 128;
/// Bytes gathered before they are written, so that checksums are made of long pieces.
const BUFFER: usize = 64 << 10;

/// Builds one file, series by series in ascending order of their ids. Memory: the time columns that are open (up to
/// 32 MiB), 20 bytes for each that is closed, and the directory.
pub(crate) struct Builder {
    writer: PartWriter,
    effort: Effort,
    /// Set by the first series.
    partition: Option<i64>,
    /// Bytes of the data section that are not written yet, and where they will stand.
    buffer: Vec<u8>,
    offset: u64,
    columns: Columns,
    /// The times of the run before.
    times: TimeRef,
    /// The times of one run, since the start of the partition.
    narrow: Vec<u32>,
    directory: directory::Writer,
    exemplars: exemplars::Writer,
    exemplar_pages: Vec<PageEntry>,
    last: Option<SeriesId>,
    meta: PartMeta,
}

/// Where a series' pieces lie that are copied as they are.
pub(super) struct Copied<'a> {
    pub located: &'a Located,
    /// The series' piece of the data section.
    pub bytes: &'a [u8],
    /// The times of its runs, one after the other.
    pub times: &'a [i64],
    /// The first and the last time of its histograms.
    pub histograms: Option<(i64, i64)>,
}

impl Builder {
    /// Starts a file.
    pub(crate) fn create(fs: Arc<dyn Fs>, path: &Path, effort: Effort) -> Result<Self> {
        let mut writer = PartWriter::create(fs, path, KIND)?;
        writer.begin(DATA)?;
        Ok(Self {
            writer,
            effort,
            partition: None,
            buffer: Vec::with_capacity(2 * BUFFER),
            offset: 0,
            columns: Columns::default(),
            times: TimeRef::default(),
            narrow: Vec::new(),
            directory: directory::Writer::default(),
            exemplars: exemplars::Writer::default(),
            exemplar_pages: Vec::new(),
            last: None,
            meta: PartMeta {
                partition: 0,
                min_ms: i64::MAX,
                max_ms: i64::MIN,
                series: 0,
                samples: 0,
                generation: 0,
                resolution_ms: 0,
                deletions_done: 0,
                retention_done: 0,
            },
        })
    }
    /// How runs are encoded.
    pub(crate) fn effort(&self) -> Effort {
        self.effort
    }
    /// Whether no series was added.
    pub(crate) fn is_empty(&self) -> bool {
        self.last.is_none()
    }

    /// Adds a series; ids ascend, and all samples are of one partition. A series without anything is left out.
    pub(crate) fn add(&mut self, id: SeriesId, run: &Run) -> Result<()> {
        if run.is_empty() {
            return Ok(());
        }
        self.begin(id)?;
        let mut located = Located {
            id,
            offset: self.offset,
            ..Located::default()
        };
        let mut extras = Extras::default();
        if run.times.len() != run.values.len() {
            return Err(wrong(id, "as many values as times"));
        }
        for (i, (times, values)) in run
            .times
            .chunks(MAX_RUN)
            .zip(run.values.chunks(MAX_RUN))
            .enumerate()
        {
            let start = self.buffer.len();
            codec::values::encode(&mut self.buffer, values, self.effort);
            let bytes = self.length(start, id)?;
            let times = self.time_ref(id, times)?;
            let run = RunRef { times, bytes };
            if i == 0 {
                located.run = run;
            } else {
                extras.runs.push(run);
            }
        }
        if !run.starts.is_empty() && !run.times.is_empty() {
            let start = self.buffer.len();
            let partition_ms = self.partition_ms();
            put_starts(&mut self.buffer, &run.starts, partition_ms);
            extras.starts_bytes = self.length(start, id)?;
        }
        if !run.histograms.is_empty() {
            self.put_histograms(id, &run.histograms, &mut extras)?;
        }
        extras.exemplars = !run.exemplars.is_empty();
        self.end(located, extras)?;
        self.put_exemplars(id, &run.exemplars)
    }

    /// Adds a series whose bytes come from another file of the same effort. Its exemplars are added apart.
    pub(super) fn copy(&mut self, copied: &Copied<'_>, exemplars: &[model::Exemplar]) -> Result<()> {
        let id = copied.located.id;
        self.begin(id)?;
        let mut located = Located {
            id,
            offset: self.offset,
            ..Located::default()
        };
        let mut extras = copied.located.extras.as_deref().cloned().unwrap_or_default();
        let mut left = copied.times;
        extras.runs.clear();
        for (i, from) in copied.located.runs().enumerate() {
            let (times, rest) = left
                .split_at_checked(from.times.count())
                .ok_or_else(|| wrong(id, "as many values as times"))?;
            left = rest;
            let run = RunRef {
                times: self.time_ref(id, times)?,
                bytes: from.bytes,
            };
            if i == 0 {
                located.run = run;
            } else {
                extras.runs.push(run);
            }
        }
        if let Some((first, last)) = copied.histograms {
            self.note_times(id, first, last)?;
        }
        extras.exemplars = !exemplars.is_empty();
        self.buffer.extend_from_slice(copied.bytes);
        self.end(located, extras)?;
        self.put_exemplars(id, exemplars)
    }

    /// Writes the rest and makes the file durable; its size and what to say of it in the manifest. `None` when no
    /// series was added: there is no file then.
    pub(crate) fn finish(mut self, generation: u64) -> Result<Option<(u64, PartMeta)>> {
        if self.is_empty() {
            return Ok(None);
        }
        self.meta.generation = generation;
        self.put_exemplar_page()?;
        self.close_columns(true)?;
        self.write_out()?;
        self.writer.begin(COLUMNS)?;
        for entry in self.columns.entries() {
            self.buffer.extend_from_slice(&entry.encode());
            if self.buffer.len() >= BUFFER {
                self.writer.write(&self.buffer)?;
                self.buffer.clear();
            }
        }
        self.writer.write(&self.buffer)?;
        self.directory.finish();
        self.writer.section(DIRECTORY, &self.directory.bytes)?;
        let index = self.index();
        self.writer.section(INDEX, &index)?;
        Ok(Some((self.writer.finish()?, self.meta)))
    }

    fn begin(&mut self, id: SeriesId) -> Result<()> {
        if self.last.is_some_and(|last| last >= id) {
            return Err(wrong(id, "ids in ascending order"));
        }
        self.last = Some(id);
        Ok(())
    }

    fn end(&mut self, located: Located, extras: Extras) -> Result<()> {
        let extras = (extras != Extras::default()).then(|| Box::new(extras));
        let located = Located { extras, ..located };
        self.offset += located.bytes();
        self.meta.series += 1;
        self.meta.samples += located.samples();
        self.directory.add(&located);
        if self.columns.is_full() {
            self.close_columns(false)?;
        }
        if self.buffer.len() >= BUFFER {
            self.write_out()?;
        }
        Ok(())
    }

    /// Where the times of a run stand.
    fn time_ref(&mut self, id: SeriesId, times: &[i64]) -> Result<TimeRef> {
        let (Some(first), Some(last)) = (times.first(), times.last()) else {
            return Err(wrong(id, "times"));
        };
        self.note_times(id, *first, *last)?;
        let base = self.partition_ms();
        self.narrow.clear();
        // They ascend, and so all of them lie in the partition when the first and the last one do.
        self.narrow
            .extend(times.iter().map(|t| t.wrapping_sub(base) as u32));
        if !self.columns.find(&self.narrow, &mut self.times)? {
            return Err(wrong(id, "ascending times"));
        }
        Ok(self.times.clone())
    }

    /// Takes note of the first and the last of times that must lie in the partition.
    fn note_times(&mut self, id: SeriesId, first: i64, last: i64) -> Result<()> {
        let partition = *self.partition.get_or_insert_with(|| partition_of(first));
        if partition_of(first) != partition || partition_of(last) != partition || first > last {
            return Err(wrong(id, "times of one partition"));
        }
        self.meta.partition = partition;
        self.meta.min_ms = self.meta.min_ms.min(first);
        self.meta.max_ms = self.meta.max_ms.max(last);
        Ok(())
    }

    fn partition_ms(&self) -> i64 {
        self.partition.unwrap_or(0) * PARTITION_MS
    }

    fn put_histograms(&mut self, id: SeriesId, all: &[HistogramSample], extras: &mut Extras) -> Result<()> {
        if !all.is_sorted_by(|a, b| a.timestamp_ms < b.timestamp_ms) {
            return Err(wrong(id, "ascending times of histograms"));
        }
        let time = |h: Option<&HistogramSample>| h.map_or(0, |h| h.timestamp_ms);
        self.note_times(id, time(all.first()), time(all.last()))?;
        let (mut header, mut chunks, mut before) = (Vec::new(), Vec::new(), self.partition_ms());
        put_uint(&mut header, all.len().div_ceil(HISTOGRAM_CHUNK) as u64);
        for chunk in all.chunks(HISTOGRAM_CHUNK) {
            let start = chunks.len();
            codec::histograms::encode(&mut chunks, chunk, self.effort)?;
            put_uint(&mut header, chunk.len() as u64);
            put_uint(&mut header, (chunks.len() - start) as u64);
            let (first, last) = (time(chunk.first()), time(chunk.last()));
            put_uint(&mut header, (first - before) as u64);
            put_uint(&mut header, (last - first) as u64);
            before = last;
        }
        extras.histograms = u32::try_from(all.len()).map_err(|_| wrong(id, "fewer histograms"))?;
        extras.histogram_header_bytes =
            u32::try_from(header.len()).map_err(|_| wrong(id, "fewer histograms"))?;
        extras.histogram_bytes = (header.len() + chunks.len()) as u64;
        self.buffer.extend_from_slice(&header);
        self.buffer.extend_from_slice(&chunks);
        Ok(())
    }

    fn put_exemplars(&mut self, id: SeriesId, mut exemplars: &[model::Exemplar]) -> Result<()> {
        for e in exemplars {
            self.note_times(id, e.timestamp_ms, e.timestamp_ms)?;
        }
        while !exemplars.is_empty() {
            let added = self.exemplars.add(id, self.partition_ms(), exemplars);
            exemplars = &exemplars[added..];
            if self.exemplars.is_full() {
                self.put_exemplar_page()?;
            }
        }
        Ok(())
    }

    fn put_exemplar_page(&mut self) -> Result<()> {
        let page = self.exemplars.take(&mut self.buffer, self.offset, self.effort)?;
        if let Some(page) = page {
            self.offset += page.bytes;
            self.exemplar_pages.push(page);
        }
        Ok(())
    }

    fn close_columns(&mut self, all: bool) -> Result<()> {
        let start = self.buffer.len();
        self.columns
            .close(all, &mut self.buffer, self.offset, self.effort);
        self.offset += (self.buffer.len() - start) as u64;
        self.write_out()
    }

    fn write_out(&mut self) -> Result<()> {
        self.writer.write(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    fn length(&self, start: usize, id: SeriesId) -> Result<u32> {
        u32::try_from(self.buffer.len() - start).map_err(|_| wrong(id, "fewer bytes"))
    }

    fn index(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_int(&mut bytes, self.meta.partition);
        bytes.push(effort_byte(self.effort));
        put_uint(&mut bytes, self.meta.series);
        put_uint(&mut bytes, self.meta.samples);
        put_uint(&mut bytes, self.directory.leaves.len() as u64);
        let mut before = 0;
        for (first, len) in &self.directory.leaves {
            put_uint(&mut bytes, first - before);
            put_uint(&mut bytes, *len as u64);
            before = *first;
        }
        put_uint(&mut bytes, self.exemplar_pages.len() as u64);
        before = 0;
        for page in &self.exemplar_pages {
            put_uint(&mut bytes, page.first - before);
            put_uint(&mut bytes, page.last - page.first);
            put_uint(&mut bytes, page.offset);
            put_uint(&mut bytes, page.bytes);
            before = page.last;
        }
        bytes
    }
}

/// The effort as it stands in the index.
pub(super) fn effort_byte(effort: Effort) -> u8 {
    match effort {
        Effort::Flush => 0,
        Effort::Merge => 1,
    }
}

fn put_starts(into: &mut Vec<u8>, starts: &[(i64, i64)], partition_ms: i64) {
    put_uint(into, starts.len() as u64);
    let mut before = (partition_ms, 0i64);
    for step in starts {
        put_int(into, step.0.wrapping_sub(before.0));
        put_int(into, step.1.wrapping_sub(before.1));
        before = *step;
    }
}

fn wrong(id: SeriesId, wanted: &str) -> Error {
    Error::internal(format!(
        "series {id} of a file of samples: {wanted} were expected"
    ))
}
