//! A batch of metrics as a record of the log. `docs/formats/tsdb.md` draws it.

use crate::bytes::{Cursor, bad, put_bytes, put_float, put_int, put_uint};
use crate::head::PassHasher;
use crate::histogram;
use model::metric::HistogramSample;
use model::{Labels, MetricMetadata, MetricType, Origin, Result, Sample, Series};
use std::collections::HashMap;
use std::hash::BuildHasherDefault;

/// The kind of the record.
pub(crate) const KIND: u8 = 1;
/// The version of its encoding.
pub(crate) const VERSION: u8 = 1;
const HAS_ORIGIN: u8 = 1;

/// What a record says: the accepted part of one batch.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Batch {
    pub origin: Option<Origin>,
    pub series: Vec<Series>,
    pub metadata: Vec<MetricMetadata>,
}

/// Writes a record's payload. Each text stands in it once.
pub(crate) fn encode(batch: &Batch) -> Vec<u8> {
    let mut symbols = Symbols::default();
    let mut body = Vec::with_capacity(batch.series.len() * 48);
    put_uint(&mut body, batch.series.len() as u64);
    let mut time_ms = 0i64;
    let mut previous: Vec<Pair<'_>> = Vec::new();
    let mut pairs: Vec<Pair<'_>> = Vec::new();
    for series in &batch.series {
        pairs.clear();
        put_uint(&mut body, series.labels.len() as u64);
        for (i, (name, value)) in series.labels.iter().enumerate() {
            // Series of one target differ in few labels: mostly the symbols of the series before are right.
            let pair = match previous.get(i) {
                Some(p) if p.name == name && p.value == value => *p,
                Some(p) if p.name == name => Pair {
                    value,
                    value_symbol: symbols.get(value),
                    ..*p
                },
                _ => Pair {
                    name,
                    value,
                    name_symbol: symbols.get(name),
                    value_symbol: symbols.get(value),
                },
            };
            put_uint(&mut body, pair.name_symbol);
            put_uint(&mut body, pair.value_symbol);
            pairs.push(pair);
        }
        std::mem::swap(&mut previous, &mut pairs);
        encode_samples(&mut body, series, &mut time_ms);
    }
    put_uint(&mut body, batch.metadata.len() as u64);
    for m in &batch.metadata {
        put_bytes(&mut body, m.family.as_bytes());
        body.push(type_code(m.metric_type));
        put_bytes(&mut body, m.help.as_bytes());
        put_bytes(&mut body, m.unit.as_bytes());
    }
    let mut payload = Vec::with_capacity(body.len() + symbols.bytes.len() + 64);
    payload.push(if batch.origin.is_some() { HAS_ORIGIN } else { 0 });
    if let Some(origin) = &batch.origin {
        put_bytes(&mut payload, origin.agent.as_bytes());
        put_uint(&mut payload, origin.epoch);
        put_bytes(&mut payload, origin.stream.as_bytes());
        put_uint(&mut payload, origin.sequence);
    }
    put_uint(&mut payload, symbols.ids.len() as u64);
    payload.extend_from_slice(&symbols.bytes);
    payload.extend_from_slice(&body);
    payload
}

#[derive(Clone, Copy)]
struct Pair<'a> {
    name: &'a str,
    value: &'a str,
    name_symbol: u64,
    value_symbol: u64,
}

#[derive(Default)]
struct Symbols<'a> {
    ids: HashMap<&'a str, u64>,
    bytes: Vec<u8>,
}

impl<'a> Symbols<'a> {
    fn get(&mut self, text: &'a str) -> u64 {
        let next = self.ids.len() as u64;
        *self.ids.entry(text).or_insert_with(|| {
            put_bytes(&mut self.bytes, text.as_bytes());
            next
        })
    }
}

fn encode_samples(body: &mut Vec<u8>, series: &Series, time_ms: &mut i64) {
    let mut put_time = |body: &mut Vec<u8>, to: i64| {
        put_int(body, to.wrapping_sub(*time_ms));
        *time_ms = to;
    };
    put_uint(body, series.samples.len() as u64);
    for sample in &series.samples {
        put_time(body, sample.timestamp_ms);
        put_float(body, sample.value);
    }
    put_uint(body, series.histograms.len() as u64);
    for sample in &series.histograms {
        put_time(body, sample.timestamp_ms);
        histogram::encode(body, &sample.histogram);
    }
}

/// Reads payloads; remembers label sets, so that a replay allocates each only once.
#[derive(Default)]
pub(crate) struct Decoder {
    known: HashMap<u64, Vec<Labels>, BuildHasherDefault<PassHasher>>,
}

impl Decoder {
    /// Reads a payload. Errors: [`model::ErrorKind::Corrupt`] for a kind or version that is not known, and for
    /// bytes that do not add up.
    pub(crate) fn decode(&mut self, kind: u8, version: u8, payload: &[u8]) -> Result<Batch> {
        if (kind, version) != (KIND, VERSION) {
            return Err(bad(&format!(
                "record kind {kind} version {version} is not known; it was written by a newer version"
            )));
        }
        let mut cursor = Cursor::new(payload);
        let origin = if cursor.byte()? & HAS_ORIGIN != 0 {
            Some(decode_origin(&mut cursor)?)
        } else {
            None
        };
        let symbols = (0..cursor.count(1)?)
            .map(|_| {
                let text = cursor.text()?;
                let hash = xxhash_rust::xxh3::xxh3_64(text.as_bytes());
                Ok(Symbol { text, hash })
            })
            .collect::<Result<Vec<_>>>()?;
        let mut batch = Batch {
            origin,
            ..Batch::default()
        };
        let mut time_ms = 0i64;
        for _ in 0..cursor.count(3)? {
            let labels = self.labels(&mut cursor, &symbols)?;
            batch
                .series
                .push(decode_series(&mut cursor, labels, &mut time_ms)?);
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

    fn labels(&mut self, cursor: &mut Cursor<'_>, symbols: &[Symbol<'_>]) -> Result<Labels> {
        let count = cursor.count(2)?;
        let (mut pairs, mut hash) = (Vec::with_capacity(count), 0u64);
        for _ in 0..count {
            let mut symbol = || {
                let symbol = symbols
                    .get(cursor.u32()? as usize)
                    .ok_or_else(|| bad("there is no such symbol"))?;
                hash = (hash.rotate_left(5) ^ symbol.hash).wrapping_mul(HASH_FACTOR);
                Ok::<&str, model::Error>(symbol.text)
            };
            pairs.push((symbol()?, symbol()?));
        }
        let known = self.known.entry(hash).or_default();
        if let Some(labels) = known.iter().find(|l| l.iter().eq(pairs.iter().copied())) {
            return Ok(labels.clone());
        }
        let labels = Labels::from_pairs(pairs);
        known.push(labels.clone());
        Ok(labels)
    }
}

/// A text of a record, hashed once however many series have it.
struct Symbol<'a> {
    text: &'a str,
    hash: u64,
}

/// Any odd number with well mixed bits; the hash lives only as long as a replay.
const HASH_FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

fn decode_origin(cursor: &mut Cursor<'_>) -> Result<Origin> {
    Ok(Origin {
        agent: cursor.text()?.to_owned(),
        epoch: cursor.uint()?,
        stream: cursor.text()?.to_owned(),
        sequence: cursor.uint()?,
    })
}

fn decode_series(cursor: &mut Cursor<'_>, labels: Labels, time_ms: &mut i64) -> Result<Series> {
    let mut time = |cursor: &mut Cursor<'_>| -> Result<i64> {
        *time_ms = time_ms.wrapping_add(cursor.int()?);
        Ok(*time_ms)
    };
    let mut series = Series {
        labels,
        ..Series::default()
    };
    let count = cursor.count(9)?;
    series.samples.reserve_exact(count);
    for _ in 0..count {
        series.samples.push(Sample {
            timestamp_ms: time(cursor)?,
            value: cursor.float()?,
        });
    }
    for _ in 0..cursor.count(30)? {
        series.histograms.push(HistogramSample {
            start_timestamp_ms: 0,
            timestamp_ms: time(cursor)?,
            histogram: histogram::decode(cursor)?,
        });
    }
    Ok(series)
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
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn series() -> impl Strategy<Value = Series> {
        let labels = prop::collection::vec(("[a-c]{1,2}", "[x-zü]{1,2}"), 0..4).prop_map(Labels::from_pairs);
        let samples = prop::collection::vec((any::<i64>(), any::<u64>()), 0..4);
        let histograms = prop::collection::vec((any::<i64>(), 0u32..9), 0..2);
        (labels, samples, histograms).prop_map(|(labels, samples, histograms)| Series {
            start_timestamps_ms: Vec::new(),
            labels,
            samples: samples
                .into_iter()
                .map(|(timestamp_ms, bits)| Sample {
                    timestamp_ms,
                    value: f64::from_bits(bits),
                })
                .collect(),
            histograms: histograms
                .into_iter()
                .map(|(timestamp_ms, n)| HistogramSample {
                    start_timestamp_ms: 0,
                    timestamp_ms,
                    histogram: model::metric::Histogram {
                        count: f64::from(n),
                        positive: vec![(3, f64::from(n))],
                        ..Default::default()
                    },
                })
                .collect(),
            exemplars: Vec::new(),
        })
    }

    proptest! {
        #[test]
        fn batches_come_back(series in prop::collection::vec(series(), 0..8), origin: Option<(String, u64, String, u64)>, help: String) {
            let batch = Batch {
                origin: origin.map(|(agent, epoch, stream, sequence)| Origin { agent, epoch, stream, sequence }),
                series,
                metadata: TYPES.iter().map(|t| MetricMetadata { family: "f".into(), metric_type: *t, help: help.clone(), unit: "s".into() }).collect(),
            };
            let mut decoder = Decoder::default();
            let payload = encode(&batch);
            for _ in 0..2 {
                prop_assert_eq!(&decoder.decode(KIND, VERSION, &payload).unwrap(), &batch);
            }
        }
        #[test]
        fn garbage_is_an_error_and_no_panic(bytes: Vec<u8>) {
            let _ = Decoder::default().decode(KIND, VERSION, &bytes);
        }
    }

    #[test]
    fn a_record_of_a_newer_version_is_refused() {
        let e = Decoder::default().decode(KIND, VERSION + 1, &[]).unwrap_err();
        assert!(e.message().contains("version 2 is not known"), "{e}");
    }
}
