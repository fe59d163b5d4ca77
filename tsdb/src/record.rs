//! A batch of metrics as a record of the log. `docs/formats/tsdb.md` draws it.
//!
//! Series stand in a record by their ids, and samples that share a time in one group: what most records hold is a run
//! of ids, one time, and the values. The labels of a series are said in every record that is written before one with
//! them is known to be on disk, so a replay knows each series that it meets, whichever record came through.

pub(crate) mod histogram;

use crate::bytes::{Cursor, bad, put_bytes, put_float, put_int, put_uint};
use crate::directory::{NO_SLOT, SeriesId, SlotId};
use model::metric::HistogramSample;
use model::{Exemplar, MetricMetadata, MetricType, Origin, Result, Sample, raw};

/// The kind of the record.
pub(crate) const KIND: u8 = 1;
/// The version of its encoding.
pub(crate) const VERSION: u8 = 2;
const HAS_ORIGIN: u8 = 1;

/// What a record says: the accepted part of one batch.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Batch {
    pub origin: Option<Origin>,
    /// Series that are perhaps not yet known to the catalog, with their label bytes in the canonical form.
    pub definitions: Vec<(SeriesId, Vec<u8>)>,
    pub entries: Vec<Entry>,
    /// Of the first entry, then of the second, …
    pub samples: Vec<Sample>,
    /// As many as samples, or none.
    pub starts_ms: Vec<i64>,
    pub histograms: Vec<HistogramSample>,
    pub exemplars: Vec<Exemplar>,
    pub metadata: Vec<MetricMetadata>,
}

/// A series of a batch and how many points are its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub id: SeriesId,
    /// Where it is in the directory; not in the log.
    pub slot: SlotId,
    pub samples: u32,
    pub histograms: u32,
    pub exemplars: u32,
}

impl Batch {
    /// Samples and histograms.
    pub(crate) fn items(&self) -> u64 {
        (self.samples.len() + self.histograms.len()) as u64
    }
    /// Whether there is no point in writing it.
    pub(crate) fn is_empty(&self) -> bool {
        self.origin.is_none() && self.entries.is_empty() && self.metadata.is_empty()
    }
}

/// Writes a record's payload.
pub(crate) fn encode(batch: &Batch) -> Vec<u8> {
    let labels: usize = batch.definitions.iter().map(|(_, labels)| labels.len() + 8).sum();
    let mut into = Vec::with_capacity(labels + batch.samples.len() * 9 + 256);
    into.push(if batch.origin.is_some() { HAS_ORIGIN } else { 0 });
    if let Some(origin) = &batch.origin {
        put_bytes(&mut into, origin.agent.as_bytes());
        put_uint(&mut into, origin.epoch);
        put_bytes(&mut into, origin.stream.as_bytes());
        put_uint(&mut into, origin.sequence);
    }
    put_uint(&mut into, batch.definitions.len() as u64);
    let mut previous = 0;
    for (id, label_bytes) in &batch.definitions {
        put_int(&mut into, id.wrapping_sub(previous) as i64);
        previous = *id;
        put_bytes(&mut into, label_bytes);
    }
    put_samples(&mut into, batch);
    put_starts(&mut into, batch);
    put_histograms(&mut into, batch);
    put_exemplars(&mut into, batch);
    put_uint(&mut into, batch.metadata.len() as u64);
    for m in &batch.metadata {
        put_bytes(&mut into, m.family.as_bytes());
        into.push(type_code(m.metric_type));
        put_bytes(&mut into, m.help.as_bytes());
        put_bytes(&mut into, m.unit.as_bytes());
    }
    into
}

/// A run of ids that follow each other by one.
#[derive(Clone, Copy)]
struct IdRun {
    first: SeriesId,
    len: u64,
}

/// Samples that follow each other in a batch and share a time.
#[derive(Default)]
struct Group {
    time_ms: i64,
    runs: Vec<IdRun>,
}

/// Writes groups as they end.
struct Groups<'a> {
    into: &'a mut Vec<u8>,
    group: Group,
    count: u64,
    /// The time and the id before, which the next ones are written as differences to.
    time_ms: i64,
    id: SeriesId,
}

impl Groups<'_> {
    fn add(&mut self, id: SeriesId, time_ms: i64) {
        if time_ms != self.group.time_ms {
            self.end();
            self.group.time_ms = time_ms;
        }
        match self.group.runs.last_mut() {
            Some(run) if run.first.wrapping_add(run.len) == id => run.len += 1,
            _ => self.group.runs.push(IdRun { first: id, len: 1 }),
        }
    }
    fn end(&mut self) {
        if self.group.runs.is_empty() {
            return;
        }
        self.count += 1;
        put_int(self.into, self.group.time_ms.wrapping_sub(self.time_ms));
        self.time_ms = self.group.time_ms;
        put_uint(self.into, self.group.runs.len() as u64);
        for run in self.group.runs.drain(..) {
            put_int(self.into, run.first.wrapping_sub(self.id) as i64);
            put_uint(self.into, run.len);
            self.id = run.first.wrapping_add(run.len);
        }
    }
}

fn put_samples(into: &mut Vec<u8>, batch: &Batch) {
    let mut heads = Vec::with_capacity(64);
    let mut groups = Groups {
        into: &mut heads,
        group: Group::default(),
        count: 0,
        time_ms: 0,
        id: 0,
    };
    let mut at = 0;
    for entry in &batch.entries {
        let end = at + entry.samples as usize;
        for sample in &batch.samples[at..end] {
            groups.add(entry.id, sample.timestamp_ms);
        }
        at = end;
    }
    groups.end();
    let count = groups.count;
    put_uint(into, count);
    put_bytes(into, &heads);
    for sample in &batch.samples {
        put_float(into, sample.value);
    }
}

fn put_starts(into: &mut Vec<u8>, batch: &Batch) {
    put_uint(into, batch.starts_ms.len() as u64);
    let mut previous = 0i64;
    for start in &batch.starts_ms {
        put_int(into, start.wrapping_sub(previous));
        previous = *start;
    }
}

fn put_histograms(into: &mut Vec<u8>, batch: &Batch) {
    put_uint(into, batch.histograms.len() as u64);
    let mut histograms = batch.histograms.iter();
    for entry in &batch.entries {
        for h in histograms.by_ref().take(entry.histograms as usize) {
            put_uint(into, entry.id);
            put_int(into, h.timestamp_ms);
            put_int(into, h.start_timestamp_ms);
            histogram::encode(into, &h.histogram);
        }
    }
}

fn put_exemplars(into: &mut Vec<u8>, batch: &Batch) {
    put_uint(into, batch.exemplars.len() as u64);
    let mut exemplars = batch.exemplars.iter();
    let mut label_bytes = Vec::new();
    for entry in &batch.entries {
        for e in exemplars.by_ref().take(entry.exemplars as usize) {
            put_uint(into, entry.id);
            put_int(into, e.timestamp_ms);
            put_float(into, e.value);
            label_bytes.clear();
            raw::put_labels(&mut label_bytes, e.labels.iter());
            put_bytes(into, &label_bytes);
        }
    }
}

/// Reads a payload. Points of one series may come back as several entries, without slots.
///
/// Errors: [`model::ErrorKind::Corrupt`] for a kind or version that is not known, and for bytes that do not add up.
pub(crate) fn decode(kind: u8, version: u8, payload: &[u8]) -> Result<Batch> {
    if (kind, version) != (KIND, VERSION) {
        return Err(bad(&format!(
            "record kind {kind} version {version} is not known; it was written by another version"
        )));
    }
    let mut cursor = Cursor::new(payload);
    let mut batch = Batch::default();
    if cursor.byte()? & HAS_ORIGIN != 0 {
        batch.origin = Some(take_origin(&mut cursor)?);
    }
    let mut id = 0u64;
    for _ in 0..cursor.count(2)? {
        id = id.wrapping_add(cursor.int()? as u64);
        batch.definitions.push((id, cursor.bytes()?.to_vec()));
    }
    take_samples(&mut cursor, &mut batch)?;
    take_starts(&mut cursor, &mut batch)?;
    for _ in 0..cursor.count(32)? {
        let id = cursor.uint()?;
        batch.entries.push(entry(id, 0, 1, 0));
        batch.histograms.push(HistogramSample {
            timestamp_ms: cursor.int()?,
            start_timestamp_ms: cursor.int()?,
            histogram: histogram::decode(&mut cursor)?,
        });
    }
    for _ in 0..cursor.count(11)? {
        let id = cursor.uint()?;
        batch.entries.push(entry(id, 0, 0, 1));
        batch.exemplars.push(Exemplar {
            timestamp_ms: cursor.int()?,
            value: cursor.float()?,
            labels: raw::decode_labels(cursor.bytes()?).map_err(|e| bad(e.message()))?,
        });
    }
    for _ in 0..cursor.count(4)? {
        batch.metadata.push(MetricMetadata {
            family: cursor.text()?.to_owned(),
            metric_type: type_of(cursor.byte()?)?,
            help: cursor.text()?.to_owned(),
            unit: cursor.text()?.to_owned(),
        });
    }
    if cursor.is_empty() {
        Ok(batch)
    } else {
        Err(bad("the record has bytes after its end"))
    }
}

fn entry(id: SeriesId, samples: u32, histograms: u32, exemplars: u32) -> Entry {
    Entry {
        id,
        slot: NO_SLOT,
        samples,
        histograms,
        exemplars,
    }
}

fn take_samples(cursor: &mut Cursor<'_>, batch: &mut Batch) -> Result<()> {
    let groups = cursor.uint()?;
    let mut heads = Cursor::new(cursor.bytes()?);
    let mut values = *cursor;
    let (mut time_ms, mut id) = (0i64, 0u64);
    for _ in 0..groups {
        time_ms = time_ms.wrapping_add(heads.int()?);
        for _ in 0..heads.count(2)? {
            id = id.wrapping_add(heads.int()? as u64);
            let len = heads.uint()?;
            if len.saturating_mul(8) > values.rest().len() as u64 {
                return Err(bad("a record has fewer values than it says"));
            }
            for _ in 0..len {
                batch.entries.push(entry(id, 1, 0, 0));
                batch.samples.push(Sample {
                    timestamp_ms: time_ms,
                    value: values.float()?,
                });
                id = id.wrapping_add(1);
            }
        }
    }
    *cursor = values;
    Ok(())
}

fn take_starts(cursor: &mut Cursor<'_>, batch: &mut Batch) -> Result<()> {
    let count = cursor.count(1)?;
    if count != 0 && count != batch.samples.len() {
        return Err(bad("a record has another number of start times than of samples"));
    }
    let mut start = 0i64;
    for _ in 0..count {
        start = start.wrapping_add(cursor.int()?);
        batch.starts_ms.push(start);
    }
    Ok(())
}

fn take_origin(cursor: &mut Cursor<'_>) -> Result<Origin> {
    Ok(Origin {
        agent: cursor.text()?.to_owned(),
        epoch: cursor.uint()?,
        stream: cursor.text()?.to_owned(),
        sequence: cursor.uint()?,
    })
}

const TYPES: [MetricType; 8] = [
    MetricType::Unknown,
    MetricType::Counter,
    MetricType::Gauge,
    MetricType::Histogram,
    MetricType::GaugeHistogram,
    MetricType::Summary,
    MetricType::Info,
    MetricType::StateSet,
];

fn type_code(metric_type: MetricType) -> u8 {
    TYPES.iter().position(|t| *t == metric_type).unwrap_or_default() as u8
}
fn type_of(code: u8) -> Result<MetricType> {
    TYPES
        .get(usize::from(code))
        .copied()
        .ok_or_else(|| bad(&format!("metric type {code} is not known")))
}

#[cfg(test)]
mod tests;
