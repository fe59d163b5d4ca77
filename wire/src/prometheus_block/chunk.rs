//! Chunks: about 120 samples of one series.

mod float;
mod histogram;

use super::bits::Bits;
use model::metric::HistogramSample;
use model::{Sample, Series};

/// What a chunk held.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Samples {
    pub floats: Vec<Sample>,
    /// As many as floats, or none when the encoding has no start timestamps.
    pub starts: Vec<i64>,
    pub histograms: Vec<HistogramSample>,
}

impl Samples {
    /// Leaves out the samples at other times than those that `keep` wants.
    pub(super) fn retain(&mut self, keep: impl Fn(i64) -> bool) {
        if !self.starts.is_empty() {
            let mut times = self.floats.iter().map(|s| s.timestamp_ms);
            self.starts.retain(|_| times.next().is_some_and(&keep));
        }
        self.floats.retain(|s| keep(s.timestamp_ms));
        self.histograms.retain(|h| keep(h.timestamp_ms));
    }
    /// Appends the samples to those of a series.
    pub(super) fn append_to(self, series: &mut Series) {
        let starts = &mut series.start_timestamps_ms;
        if !starts.is_empty() || self.starts.iter().any(|start| *start != 0) {
            starts.resize(series.samples.len(), 0);
            starts.extend(&self.starts);
            starts.resize(series.samples.len() + self.floats.len(), 0);
        }
        series.samples.extend(self.floats);
        series.histograms.extend(self.histograms);
    }
}

/// The encodings by their byte.
mod encoding {
    pub(super) const XOR: u8 = 1;
    pub(super) const HISTOGRAM: u8 = 2;
    pub(super) const FLOAT_HISTOGRAM: u8 = 3;
    pub(super) const XOR_WITH_START: u8 = 4;
    pub(super) const HISTOGRAM_WITH_START: u8 = 5;
    pub(super) const FLOAT_HISTOGRAM_WITH_START: u8 = 6;
}

/// Decodes the bytes after the encoding; the error says why they make no sense.
pub(super) fn decode(encoding: u8, bytes: &[u8]) -> Result<Samples, String> {
    let samples = match encoding {
        encoding::XOR => float::xor(bytes),
        encoding::XOR_WITH_START => float::xor_with_start(bytes),
        encoding::HISTOGRAM => histogram::decode::<histogram::Integers>(bytes, false),
        encoding::FLOAT_HISTOGRAM => histogram::decode::<histogram::Floats>(bytes, false),
        encoding::HISTOGRAM_WITH_START => histogram::decode::<histogram::Integers>(bytes, true),
        encoding::FLOAT_HISTOGRAM_WITH_START => histogram::decode::<histogram::Floats>(bytes, true),
        other => return Err(format!("chunk encoding {other} is not known to this version")),
    };
    samples.map_err(str::to_owned)
}

/// What a chunk is whose bits end too early, or hold a number that cannot be.
const MAKES_NO_SENSE: &str = "the chunk fits its checksum but makes no sense";

/// Start timestamps, which stand after each sample as its difference to the time of the sample before.
struct Starts {
    /// Whether the first sample has one.
    first: bool,
    /// The first later sample that has one, from which on all have; 0 for none.
    from: usize,
    start: i64,
    difference: i64,
}

impl Starts {
    /// From the header's byte.
    fn new(header: u8) -> Self {
        Self {
            first: header & 0x80 != 0,
            from: usize::from(header & 0x7F),
            start: 0,
            difference: 0,
        }
    }
    /// The start of sample number `i` at a time, with the time of the sample before it.
    fn read(&mut self, bits: &mut Bits<'_>, i: usize, time: i64, before: i64) -> Option<i64> {
        if i == 0 {
            if self.first {
                self.start = time.wrapping_sub(bits.varint()?);
            }
        } else if self.from > 0 && i >= self.from {
            let number = bits.varbit_int()?;
            self.difference = if i == self.from {
                number
            } else {
                self.difference.wrapping_add(number)
            };
            self.start = before.wrapping_sub(self.difference);
        }
        Some(self.start)
    }
}
