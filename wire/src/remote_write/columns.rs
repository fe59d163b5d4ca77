//! Points of both protocols on their way into the columns of [`RawMetrics`].

use super::histogram;
use crate::protobuf::{Field, Reader};
use crate::{Decoded, Quota};
use model::metric::HistogramSample;
use model::{Error, ErrorKind, Exemplar, Labels, MetricMetadata, RawMetrics, RawSeries, Result, Sample, raw};
use std::ops::Range;

/// What has been read so far, with the series that is being read at its end.
pub(super) struct Columns<'q> {
    decoded: Decoded<RawMetrics>,
    /// The points of the open series.
    open: RawSeries,
    /// How many histograms of the open series contradict themselves, and how the last one does.
    bad_histograms: Option<(u64, String)>,
    quota: &'q Quota,
}

impl<'q> Columns<'q> {
    pub(super) fn new(quota: &'q Quota) -> Self {
        Self {
            decoded: Decoded::default(),
            open: RawSeries::default(),
            bad_histograms: None,
            quota,
        }
    }
    pub(super) fn quota(&self) -> &'q Quota {
        self.quota
    }
    /// Adds a sample to the open series; a start of 0 is an unknown one.
    #[inline]
    pub(super) fn sample(&mut self, sample: Sample, start_timestamp_ms: i64) -> Result<()> {
        self.quota.take_one::<Sample>()?;
        let raw = &mut self.decoded.payload;
        if start_timestamp_ms != 0 || !raw.start_timestamps_ms.is_empty() {
            self.quota.take_one::<i64>()?;
            raw.start_timestamps_ms.resize(raw.samples.len(), 0);
            raw.start_timestamps_ms.push(start_timestamp_ms);
        }
        raw.samples.push(sample);
        self.open.samples += 1;
        Ok(())
    }
    /// Adds a `Histogram` to the open series.
    pub(super) fn histogram(&mut self, message: &[u8]) -> Result<()> {
        self.quota.take_one::<HistogramSample>()?;
        match histogram::decode(message, self.quota)? {
            Ok(histogram) => {
                self.decoded.payload.histograms.push(histogram);
                self.open.histograms += 1;
            }
            Err(why) => {
                let before = self.bad_histograms.take().map_or(0, |(count, _)| count);
                self.bad_histograms = Some((before + 1, why));
            }
        }
        Ok(())
    }
    /// Adds an exemplar to the open series.
    pub(super) fn exemplar(&mut self, exemplar: Exemplar) -> Result<()> {
        self.quota.take_one::<Exemplar>()?;
        self.decoded.payload.exemplars.push(exemplar);
        self.open.exemplars += 1;
        Ok(())
    }
    /// Says when the counters began behind those points of the open series that do not say so themselves.
    pub(super) fn began(&mut self, start_timestamp_ms: i64) -> Result<()> {
        let raw = &mut self.decoded.payload;
        if start_timestamp_ms == 0 {
            return Ok(());
        }
        if raw.start_timestamps_ms.len() < raw.samples.len() {
            self.quota.take(self.open.samples as usize * size_of::<i64>())?;
            raw.start_timestamps_ms.resize(raw.samples.len(), 0);
        }
        let samples = raw.start_timestamps_ms.len() - self.open.samples as usize;
        for start in &mut raw.start_timestamps_ms[samples..] {
            if *start == 0 {
                *start = start_timestamp_ms;
            }
        }
        let histograms = raw.histograms.len() - self.open.histograms as usize;
        for histogram in &mut raw.histograms[histograms..] {
            if histogram.start_timestamp_ms == 0 {
                histogram.start_timestamp_ms = start_timestamp_ms;
            }
        }
        Ok(())
    }
    /// Whether the labels of the open series matter: it holds something, or something is to be said of it.
    pub(super) fn needs_labels(&self) -> bool {
        self.open != RawSeries::default() || self.bad_histograms.is_some()
    }
    /// Closes the series, which has its label bytes there.
    #[inline]
    pub(super) fn end(&mut self, labels: Range<usize>, label_bytes: &[u8]) -> Result<()> {
        let mut series = std::mem::take(&mut self.open);
        if let Some((count, why)) = self.bad_histograms.take() {
            self.decoded.reject("invalid_histogram", count, || {
                let labels = raw::decode_labels(label_bytes).unwrap_or_else(|_| Labels::empty());
                format!("a native histogram of {labels} {why}")
            });
        }
        if series == RawSeries::default() {
            return Ok(());
        }
        self.quota.take_one::<RawSeries>()?;
        series.labels_start = position(labels.start)?;
        series.labels_end = position(labels.end)?;
        self.decoded.payload.series.push(series);
        Ok(())
    }
    pub(super) fn metadata(&mut self, metadata: MetricMetadata) -> Result<()> {
        self.quota.take_one::<MetricMetadata>()?;
        self.decoded.payload.metadata.push(metadata);
        Ok(())
    }
    /// What came of it; `bytes` hold the labels of all series.
    pub(super) fn finish(self, bytes: Vec<u8>) -> Decoded<RawMetrics> {
        let mut decoded = self.decoded;
        let raw = &mut decoded.payload;
        if !raw.start_timestamps_ms.is_empty() {
            raw.start_timestamps_ms.resize(raw.samples.len(), 0);
        }
        if !raw.series.is_empty() {
            raw.bytes = bytes;
        }
        decoded
    }
}

fn position(at: usize) -> Result<u32> {
    u32::try_from(at).map_err(|_| {
        Error::new(
            ErrorKind::TooLarge,
            "the labels of one request are larger than 4 GiB; send smaller batches",
        )
    })
}

/// A `Sample` of either protocol, and when its counter began; 1.0 never says so.
#[inline]
pub(super) fn sample(message: &[u8]) -> Result<(Sample, i64)> {
    // As all senders write it: value and time, or only a time where the value is zero.
    let common = match message {
        [0x09, a, b, c, d, e, f, g, h, 0x10, time @ ..] => {
            Some((f64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), time))
        }
        [0x10, time @ ..] => Some((0.0, time)),
        _ => None,
    };
    if let Some((value, time)) = common
        && let Some(time) = whole_varint(time)
    {
        let sample = Sample {
            timestamp_ms: time.cast_signed(),
            value,
        };
        return Ok((sample, 0));
    }
    uncommon_sample(message)
}

/// The number that the bytes are, if they are one varint of at most nine bytes and nothing else.
fn whole_varint(bytes: &[u8]) -> Option<u64> {
    let (last, head) = bytes.split_last()?;
    if head.len() > 8 || *last >= 0x80 {
        return None;
    }
    let mut number = u64::from(*last);
    for byte in head.iter().rev() {
        if *byte < 0x80 {
            return None;
        }
        number = number << 7 | u64::from(byte & 0x7f);
    }
    Some(number)
}

fn uncommon_sample(message: &[u8]) -> Result<(Sample, i64)> {
    let (mut value, mut timestamp_ms, mut start_timestamp_ms) = (0.0, 0, 0);
    let mut reader = Reader::new(message);
    while let Some((number, field)) = reader.next()? {
        match number {
            1 => value = field.double()?,
            2 => timestamp_ms = field.int()?,
            3 => start_timestamp_ms = field.int()?,
            _ => {}
        }
    }
    let sample = Sample { timestamp_ms, value };
    Ok((sample, start_timestamp_ms))
}

/// An `Exemplar` of either protocol; `label` reads its field 1.
pub(super) fn exemplar<'a>(
    message: &'a [u8],
    mut label: impl FnMut(Field<'a>) -> Result<()>,
) -> Result<(f64, i64)> {
    let (mut value, mut timestamp_ms) = (0.0, 0);
    let mut reader = Reader::new(message);
    while let Some((number, field)) = reader.next()? {
        match number {
            1 => label(field)?,
            2 => value = field.double()?,
            3 => timestamp_ms = field.int()?,
            _ => {}
        }
    }
    Ok((value, timestamp_ms))
}
