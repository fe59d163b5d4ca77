//! Metrics as they came in: samples in columns, the identity of each series as bytes that nobody has looked into.
//!
//! A store that has seen those bytes before knows the series by their hash, and need not decode a label. The bytes
//! are the labels as remote write 1.0 sends them: per label a protobuf field 1 that holds the name (field 1) and the
//! value (field 2). Decoders of other protocols write the same form with [`put_labels`].

use crate::metric::HistogramSample;
use crate::{
    Batch, BoxFuture, Error, Exemplar, Labels, LabelsBuilder, MetricMetadata, Metrics, Result, Sample,
    Series, Write, WriteOutcome,
};
use std::ops::Range;
use std::sync::Arc;

const FIELD_1: u8 = 0x0A;
const FIELD_2: u8 = 0x12;

/// The payload of a batch of metrics on the fast way in.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RawMetrics {
    /// Holds the label bytes of all series, and perhaps other bytes between them.
    pub bytes: Vec<u8>,
    /// The series, each with how many of the points below are its own. A series may occur more than once.
    pub series: Vec<RawSeries>,
    /// Float samples: those of the first series, then those of the second, …
    pub samples: Vec<Sample>,
    /// When the counter behind each sample began, in milliseconds; 0 where nobody said. Empty when nobody said at all.
    pub start_timestamps_ms: Vec<i64>,
    /// Native histograms, in the order of the series.
    pub histograms: Vec<HistogramSample>,
    /// Exemplars, in the order of the series.
    pub exemplars: Vec<Exemplar>,
    /// What the sender says of its families.
    pub metadata: Vec<MetricMetadata>,
}

/// One series of [`RawMetrics`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RawSeries {
    /// Where its label bytes begin.
    pub labels_start: u32,
    /// Where they end.
    pub labels_end: u32,
    /// How many float samples it has.
    pub samples: u32,
    /// How many native histograms.
    pub histograms: u32,
    /// How many exemplars.
    pub exemplars: u32,
}

impl RawSeries {
    /// The place of its label bytes in [`RawMetrics::bytes`].
    pub fn labels(&self) -> Range<usize> {
        self.labels_start as usize..self.labels_end as usize
    }
}

impl RawMetrics {
    /// Samples and native histograms.
    pub fn items(&self) -> u64 {
        (self.samples.len() + self.histograms.len()) as u64
    }
    /// Whether there is nothing at all in it.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty() && self.metadata.is_empty()
    }
    /// Adds a series whose labels are known already.
    ///
    /// # Errors
    /// [`crate::ErrorKind::TooLarge`] when the label bytes of all series are over 4 GiB.
    pub fn push(&mut self, series: Series) -> Result<()> {
        let labels_start = self.position()?;
        put_labels(&mut self.bytes, series.labels.iter());
        let labels_end = self.position()?;
        if !series.start_timestamps_ms.is_empty() || !self.start_timestamps_ms.is_empty() {
            self.start_timestamps_ms.resize(self.samples.len(), 0);
            self.start_timestamps_ms
                .extend_from_slice(&series.start_timestamps_ms);
            self.start_timestamps_ms
                .resize(self.samples.len() + series.samples.len(), 0);
        }
        let count = |n: usize| u32::try_from(n).map_err(|_| too_large());
        self.series.push(RawSeries {
            labels_start,
            labels_end,
            samples: count(series.samples.len())?,
            histograms: count(series.histograms.len())?,
            exemplars: count(series.exemplars.len())?,
        });
        self.samples.extend_from_slice(&series.samples);
        self.histograms.extend(series.histograms);
        self.exemplars.extend(series.exemplars);
        Ok(())
    }
    fn position(&self) -> Result<u32> {
        u32::try_from(self.bytes.len()).map_err(|_| too_large())
    }
    /// The same with labels decoded.
    ///
    /// # Errors
    /// [`crate::ErrorKind::BadData`] when a label can't be decoded, or the counts do not add up.
    pub fn decode(self) -> Result<Metrics> {
        let (mut samples, mut starts) = (self.samples.into_iter(), self.start_timestamps_ms.into_iter());
        let (mut histograms, mut exemplars) = (self.histograms.into_iter(), self.exemplars.into_iter());
        let mut series = Vec::with_capacity(self.series.len());
        for s in &self.series {
            let bytes = self.bytes.get(s.labels()).ok_or_else(bad_labels)?;
            series.push(Series {
                labels: decode_labels(bytes)?,
                samples: samples.by_ref().take(s.samples as usize).collect(),
                start_timestamps_ms: starts.by_ref().take(s.samples as usize).collect(),
                histograms: histograms.by_ref().take(s.histograms as usize).collect(),
                exemplars: exemplars.by_ref().take(s.exemplars as usize).collect(),
            });
        }
        Ok(Metrics {
            series,
            metadata: self.metadata,
        })
    }
}

impl TryFrom<Metrics> for RawMetrics {
    type Error = Error;
    fn try_from(metrics: Metrics) -> Result<Self> {
        let mut raw = Self {
            metadata: metrics.metadata,
            ..Self::default()
        };
        metrics.series.into_iter().try_for_each(|s| raw.push(s))?;
        Ok(raw)
    }
}

/// Appends label bytes. In the canonical form the pairs are sorted by name, names are unique and no value is empty,
/// as [`Labels::iter`] hands them out.
pub fn put_labels<'a>(into: &mut Vec<u8>, labels: impl IntoIterator<Item = (&'a str, &'a str)>) {
    for (name, value) in labels {
        let (name_len, value_len) = (name.len() as u64, value.len() as u64);
        into.push(FIELD_1);
        put_varint(
            into,
            2 + varint_len(name_len) + name_len + varint_len(value_len) + value_len,
        );
        for (field, text) in [(FIELD_1, name), (FIELD_2, value)] {
            into.push(field);
            put_varint(into, text.len() as u64);
            into.extend_from_slice(text.as_bytes());
        }
    }
}

/// The label set that label bytes stand for, whether they are in the canonical form or not: pairs in any order, empty
/// values vanish.
///
/// # Errors
/// [`crate::ErrorKind::BadData`] for bytes that are no labels, for text that is not UTF-8, and for a name that stands
/// twice: which value was meant, nobody knows.
pub fn decode_labels(mut bytes: &[u8]) -> Result<Labels> {
    let mut labels = LabelsBuilder::default();
    while !bytes.is_empty() {
        let mut pair = take_field(&mut bytes, FIELD_1)?;
        let (mut name, mut value) = ("", "");
        while let Some(tag) = pair.first().copied() {
            let text = take_field(&mut pair, tag)?;
            let text = std::str::from_utf8(text).map_err(|_| Error::bad_data("a label is not UTF-8"))?;
            match tag {
                FIELD_1 => name = text,
                FIELD_2 => value = text,
                _ => return Err(bad_labels()),
            }
        }
        labels.push(name, value);
    }
    match labels.repeated() {
        Some(name) => Err(Error::bad_data(format!(
            "the label {name:?} stands twice in one series"
        ))),
        None => Ok(labels.build()),
    }
}

fn take_field<'a>(bytes: &mut &'a [u8], tag: u8) -> Result<&'a [u8]> {
    let (first, rest) = bytes.split_first().ok_or_else(bad_labels)?;
    if *first != tag {
        return Err(bad_labels());
    }
    *bytes = rest;
    let len = usize::try_from(take_varint(bytes)?).map_err(|_| bad_labels())?;
    let (field, rest) = bytes.split_at_checked(len).ok_or_else(bad_labels)?;
    *bytes = rest;
    Ok(field)
}

fn take_varint(bytes: &mut &[u8]) -> Result<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or_else(bad_labels)?;
        *bytes = rest;
        value |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(bad_labels())
}

fn put_varint(into: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        into.push(value as u8 | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}

fn varint_len(value: u64) -> u64 {
    u64::from(64 - (value | 1).leading_zeros()).div_ceil(7)
}

fn bad_labels() -> Error {
    Error::bad_data("a series' labels are damaged")
}
fn too_large() -> Error {
    Error::new(
        crate::ErrorKind::TooLarge,
        "the labels of one batch are larger than 4 GiB",
    )
}

/// Takes metrics as they came in for somebody who wants them decoded.
#[derive(Clone)]
pub struct Decoding(pub Arc<dyn Write<Metrics>>);

impl Write<RawMetrics> for Decoding {
    fn write(&self, batch: Batch<RawMetrics>) -> BoxFuture<'_, Result<WriteOutcome>> {
        Box::pin(async move {
            let batch = Batch {
                tenant: batch.tenant,
                origin: batch.origin,
                payload: batch.payload.decode()?,
            };
            self.0.write(batch).await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Histogram;
    use proptest::prelude::*;

    fn series() -> impl Strategy<Value = Series> {
        let labels = prop::collection::vec(("[a-d]{1,2}", "[xyü]{0,200}"), 0..5).prop_map(Labels::from_pairs);
        let counts = (0usize..4, 0usize..3, 0usize..3, any::<bool>());
        (labels, counts).prop_map(|(labels, (samples, histograms, exemplars, starts))| Series {
            samples: (0..samples)
                .map(|i| Sample {
                    timestamp_ms: i as i64,
                    value: 0.5,
                })
                .collect(),
            start_timestamps_ms: if starts {
                vec![7; samples]
            } else {
                vec![0; samples]
            },
            histograms: (0..histograms)
                .map(|i| HistogramSample {
                    timestamp_ms: i as i64,
                    start_timestamp_ms: 3,
                    histogram: Histogram::default(),
                })
                .collect(),
            exemplars: vec![
                Exemplar {
                    labels: labels.clone(),
                    timestamp_ms: 1,
                    value: 2.0
                };
                exemplars
            ],
            labels,
        })
    }

    proptest! {
        #[test]
        fn series_come_back(mut series in prop::collection::vec(series(), 0..6)) {
            let metrics = Metrics { series: series.clone(), metadata: Vec::new() };
            let raw = RawMetrics::try_from(metrics).unwrap();
            if raw.start_timestamps_ms.is_empty() {
                series.iter_mut().for_each(|s| s.start_timestamps_ms.clear());
            }
            prop_assert_eq!(raw.decode().unwrap().series, series);
        }
        #[test]
        fn garbage_is_an_error_and_no_panic(bytes: Vec<u8>) {
            let _ = decode_labels(&bytes);
        }
        #[test]
        fn lengths_of_varints(value: u64) {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            prop_assert_eq!(bytes.len() as u64, varint_len(value));
            prop_assert_eq!(take_varint(&mut &bytes[..]).unwrap(), value);
        }
    }

    #[test]
    fn labels_in_any_order_are_one_set() {
        let mut bytes = Vec::new();
        put_labels(&mut bytes, [("b", "2"), ("a", "1"), ("c", "")]);
        assert_eq!(
            decode_labels(&bytes).unwrap(),
            Labels::from_pairs([("a", "1"), ("b", "2")])
        );
        put_labels(&mut bytes, [("a", "")]);
        let e = decode_labels(&bytes).unwrap_err();
        assert!(e.message().contains("\"a\" stands twice"), "{e}");
    }
}
