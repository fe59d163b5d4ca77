//! Chunks of native histograms: the layout of the buckets once, then each sample's numbers.

use super::super::bits::{Bits, XorFloat};
use super::{MAKES_NO_SENSE, Samples, Starts};
use model::metric::{Histogram, HistogramSample, ResetHint, is_stale};

/// The schema whose bounds are listed.
const CUSTOM_BOUNDS: i32 = -53;
/// The two highest bits of the flags when all are set: a gauge.
const GAUGE: u8 = 0b1100_0000;
/// A chunk may not unpack to more; real ones unpack to a hundredth.
const MAX_DECODED_BYTES: usize = 64 << 20;
const TOO_LARGE: &str = "the chunk's histograms would take more than 64 MiB of memory";
const UNKNOWN_SCHEMA: &str = "the chunk's histograms have a schema that is neither -4 to 8 nor -53";

/// How the numbers of a chunk are written.
pub(super) trait Numbers: Default {
    /// Count, count of the zero bucket and sum of the next sample; the first one stands as it is.
    fn head(&mut self, bits: &mut Bits<'_>, is_first: bool) -> Option<[f64; 3]>;
    /// The counts of the next sample's buckets, of one side (0 above zero, 1 below).
    fn side(&mut self, bits: &mut Bits<'_>, side: usize, indexes: &[i32], is_first: bool) -> Option<Buckets>;
}

type Buckets = Vec<(i32, f64)>;

/// A number that is stored as the change of its difference to the one before.
#[derive(Debug, Clone, Copy, Default)]
struct Delta {
    value: i64,
    delta: i64,
}

impl Delta {
    fn new(value: i64) -> Self {
        Self { value, delta: 0 }
    }
    fn read(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        self.delta = self.delta.wrapping_add(bits.varbit_int()?);
        self.value = self.value.wrapping_add(self.delta);
        Some(())
    }
}

/// Whole counts; each bucket's is the difference to that of the bucket before.
#[derive(Default)]
pub(super) struct Integers {
    count: Delta,
    zero_count: Delta,
    sum: XorFloat,
    sides: [Vec<Delta>; 2],
}

impl Numbers for Integers {
    fn head(&mut self, bits: &mut Bits<'_>, is_first: bool) -> Option<[f64; 3]> {
        if is_first {
            self.count = Delta::new(bits.varbit_uint()?.cast_signed());
            self.zero_count = Delta::new(bits.varbit_uint()?.cast_signed());
            self.sum = XorFloat::new(bits.float()?);
        } else {
            self.count.read(bits)?;
            self.zero_count.read(bits)?;
            self.sum.read(bits)?;
        }
        let count = |delta: Delta| delta.value.cast_unsigned() as f64;
        Some([count(self.count), count(self.zero_count), self.sum.value])
    }
    fn side(&mut self, bits: &mut Bits<'_>, side: usize, indexes: &[i32], is_first: bool) -> Option<Buckets> {
        let numbers = &mut self.sides[side];
        if is_first {
            let first = indexes.iter().map(|_| bits.varbit_int().map(Delta::new));
            *numbers = first.collect::<Option<_>>()?;
        } else {
            numbers.iter_mut().try_for_each(|n| n.read(bits))?;
        }
        let counts = numbers.iter().scan(0i64, |count, n| {
            *count = count.wrapping_add(n.value);
            Some(*count as f64)
        });
        Some(indexes.iter().copied().zip(counts).collect())
    }
}

/// Counts that are floats, and absolute.
#[derive(Default)]
pub(super) struct Floats {
    head: [XorFloat; 3],
    sides: [Vec<XorFloat>; 2],
}

impl Numbers for Floats {
    fn head(&mut self, bits: &mut Bits<'_>, is_first: bool) -> Option<[f64; 3]> {
        for number in &mut self.head {
            if is_first {
                *number = XorFloat::new(bits.float()?);
            } else {
                number.read(bits)?;
            }
        }
        Some(self.head.map(|n| n.value))
    }
    fn side(&mut self, bits: &mut Bits<'_>, side: usize, indexes: &[i32], is_first: bool) -> Option<Buckets> {
        let numbers = &mut self.sides[side];
        if is_first {
            let first = indexes.iter().map(|_| bits.float().map(XorFloat::new));
            *numbers = first.collect::<Option<_>>()?;
        } else {
            numbers.iter_mut().try_for_each(|n| n.read(bits))?;
        }
        Some(
            indexes
                .iter()
                .copied()
                .zip(numbers.iter().map(|n| n.value))
                .collect(),
        )
    }
}

/// Encodings 2 and 3, and with start timestamps 5 and 6.
pub(super) fn decode<N: Numbers>(bytes: &[u8], has_starts: bool) -> Result<Samples, &'static str> {
    let (header, body) = bytes.split_first_chunk::<3>().ok_or(MAKES_NO_SENSE)?;
    let count = u16::from_be_bytes([header[0], header[1]]);
    // With start timestamps their header takes the place of the flags, which move into the count.
    let (count, flags, mut starts) = if has_starts {
        (count & 0x3FFF, header[0], Some(Starts::new(header[2])))
    } else {
        (count, header[2], None)
    };
    let mut samples = Samples::default();
    if count == 0 {
        return Ok(samples);
    }
    let mut bits = Bits::new(body);
    let reset_hint = match flags & GAUGE == GAUGE {
        true => ResetHint::Gauge,
        false => ResetHint::Unknown,
    };
    let layout = Layout::read(&mut bits, reset_hint).ok_or(MAKES_NO_SENSE)?;
    let schema = layout.empty.schema;
    if !(-4..=8).contains(&schema) && schema != CUSTOM_BOUNDS {
        return Err(UNKNOWN_SCHEMA);
    }
    let (mut time, mut numbers) = (Delta::default(), N::default());
    let each_bytes = layout.histogram_bytes();
    for i in 0..usize::from(count) {
        let before = time.value;
        let mut next = || {
            match i {
                0 => time = Delta::new(bits.varbit_int()?),
                _ => time.read(&mut bits)?,
            }
            let histogram = layout.histogram(&mut bits, &mut numbers, i == 0)?;
            let start = match &mut starts {
                Some(starts) => starts.read(&mut bits, i, time.value, before)?,
                None => 0,
            };
            Some(HistogramSample {
                timestamp_ms: time.value,
                start_timestamp_ms: start,
                histogram,
            })
        };
        samples.histograms.push(next().ok_or(MAKES_NO_SENSE)?);
        if samples.histograms.len() * each_bytes > MAX_DECODED_BYTES {
            return Err(TOO_LARGE);
        }
    }
    Ok(samples)
}

/// What all histograms of a chunk share.
struct Layout {
    /// A histogram without any observation.
    empty: Histogram,
    /// Indexes of the buckets above and below zero.
    sides: [Vec<i32>; 2],
}

impl Layout {
    fn read(bits: &mut Bits<'_>, reset_hint: ResetHint) -> Option<Self> {
        let zero_threshold = zero_threshold(bits)?;
        let schema = i32::try_from(bits.varbit_int()?).ok()?;
        let sides = [indexes(bits)?, indexes(bits)?];
        let mut custom_bounds = Vec::new();
        if schema == CUSTOM_BOUNDS {
            for _ in 0..bits.varbit_uint()? {
                custom_bounds.push(custom_bound(bits)?);
            }
        }
        let empty = Histogram {
            schema,
            zero_threshold,
            custom_bounds,
            reset_hint,
            ..Histogram::default()
        };
        Some(Self { empty, sides })
    }
    /// What one histogram takes in memory.
    fn histogram_bytes(&self) -> usize {
        let buckets: usize = self.sides.iter().map(Vec::len).sum();
        size_of::<HistogramSample>()
            + buckets * size_of::<(i32, f64)>()
            + self.empty.custom_bounds.len() * size_of::<f64>()
    }
    fn histogram(
        &self,
        bits: &mut Bits<'_>,
        numbers: &mut impl Numbers,
        is_first: bool,
    ) -> Option<Histogram> {
        let [count, zero_count, sum] = numbers.head(bits, is_first)?;
        if is_stale(sum) {
            // Of a staleness marker only the sum counts. The first sample has its buckets all the same.
            if is_first {
                for (side, indexes) in self.sides.iter().enumerate() {
                    numbers.side(bits, side, indexes, is_first)?;
                }
            }
            return Some(Histogram {
                sum,
                ..Histogram::default()
            });
        }
        Some(Histogram {
            zero_count,
            count,
            sum,
            positive: numbers.side(bits, 0, &self.sides[0], is_first)?,
            negative: numbers.side(bits, 1, &self.sides[1], is_first)?,
            ..self.empty.clone()
        })
    }
}

/// 0; or a power of two, as its exponent; or any float.
fn zero_threshold(bits: &mut Bits<'_>) -> Option<f64> {
    Some(match bits.bits(8)? {
        0 => 0.0,
        255 => bits.float()?,
        exponent => 2f64.powi(i32::try_from(exponent).ok()? - 244),
    })
}

/// A multiple of 0.001, plus one; or 0 and any float.
fn custom_bound(bits: &mut Bits<'_>) -> Option<f64> {
    match bits.varbit_uint()? {
        0 => bits.float(),
        number => Some((number - 1) as f64 / 1000.0),
    }
}

/// The indexes of the buckets of one side: runs, each with the gap before it.
fn indexes(bits: &mut Bits<'_>) -> Option<Vec<i32>> {
    let (mut indexes, mut next) = (Vec::new(), 0i64);
    for i in 0..bits.varbit_uint()? {
        let (length, gap) = (bits.varbit_uint()?, bits.varbit_int()?);
        if i > 0 && gap < 0 {
            return None;
        }
        next = next.checked_add(gap)?;
        // Each bucket takes at least a bit of the first sample: what is claimed is no reason to allocate.
        let most = bits.left().saturating_sub(indexes.len()) as u64;
        if length > most {
            return None;
        }
        for _ in 0..length {
            indexes.push(i32::try_from(next).ok()?);
            next += 1;
        }
    }
    Some(indexes)
}
