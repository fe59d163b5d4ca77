//! Native histograms of remote write: spans of buckets with deltas or absolute counts.

use crate::Quota;
use crate::protobuf::{Field, Reader, Writer, doubles, sint64s};
use model::Result;
use model::metric::{Histogram, HistogramSample, ResetHint};

/// Runs of buckets that follow each other: the gap before the run, and its length.
type Spans = Vec<(i32, u32)>;

#[derive(Default)]
struct Side {
    spans: Spans,
    deltas: Vec<i64>,
    counts: Vec<f64>,
}

/// Schema of histograms whose bounds are listed.
const CUSTOM_BOUNDS: i32 = -53;

/// Reads a `prometheus.Histogram`. The inner error says why a well-formed message is no histogram.
pub(super) fn decode(message: &[u8], quota: &Quota) -> Result<Result<HistogramSample, String>> {
    let (mut negative, mut positive) = (Side::default(), Side::default());
    let mut h = Histogram::default();
    let (mut timestamp_ms, mut start_timestamp_ms) = (0, 0);
    let mut whole_count = None;
    let mut reader = Reader::new(message);
    while let Some((number, field)) = reader.next()? {
        match number {
            1 => whole_count = Some(field.uint()?),
            2 => h.count = field.double()?,
            3 => h.sum = field.double()?,
            4 => h.schema = field.sint32()?,
            5 => h.zero_threshold = field.double()?,
            6 => h.zero_count = field.uint()? as f64,
            7 => h.zero_count = field.double()?,
            8 => negative.spans.push(span(field, quota)?),
            9 => negative.read_deltas(field, quota)?,
            10 => doubles(field, &mut negative.counts)?,
            11 => positive.spans.push(span(field, quota)?),
            12 => positive.read_deltas(field, quota)?,
            13 => doubles(field, &mut positive.counts)?,
            14 => {
                h.reset_hint = match field.uint()? {
                    1 => ResetHint::Reset,
                    2 => ResetHint::NotReset,
                    3 => ResetHint::Gauge,
                    _ => ResetHint::Unknown,
                }
            }
            15 => timestamp_ms = field.int()?,
            16 => doubles(field, &mut h.custom_bounds)?,
            17 => start_timestamp_ms = field.int()?,
            _ => {}
        }
    }
    Ok(
        finish(h, whole_count, positive, negative).map(|histogram| HistogramSample {
            timestamp_ms,
            start_timestamp_ms,
            histogram,
        }),
    )
}

fn finish(
    mut h: Histogram,
    whole_count: Option<u64>,
    positive: Side,
    negative: Side,
) -> Result<Histogram, String> {
    if !(-4..=8).contains(&h.schema) && h.schema != CUSTOM_BOUNDS {
        return Err(format!(
            "has schema {}, which is neither -4 to 8 nor {CUSTOM_BOUNDS}",
            h.schema
        ));
    }
    if h.custom_bounds.iter().any(|b| b.is_nan()) || h.custom_bounds.windows(2).any(|w| w[0] >= w[1]) {
        return Err("has custom bounds that do not rise".to_owned());
    }
    h.positive = positive.buckets()?;
    h.negative = negative.buckets()?;
    if h.schema == CUSTOM_BOUNDS
        && h.positive
            .last()
            .is_some_and(|(i, _)| *i as usize > h.custom_bounds.len())
    {
        return Err("has more buckets than custom bounds".to_owned());
    }
    let counts = [&h.positive, &h.negative].into_iter().flatten().map(|(_, c)| *c);
    if counts.chain([h.count, h.zero_count]).any(|c| c < 0.0) {
        return Err("has a negative count".to_owned());
    }
    if let Some(count) = whole_count {
        h.count = count as f64;
        check_count(&h)?;
    }
    Ok(h)
}

/// Whole counts add up; observations of NaN are in the count and in no bucket. Counts with fractions or beyond 53 bits
/// are not looked at, since adding them up rounds.
fn check_count(h: &Histogram) -> Result<(), String> {
    const MOST_EXACT: f64 = (1u64 << f64::MANTISSA_DIGITS) as f64;
    if h.count >= MOST_EXACT {
        return Ok(());
    }
    let buckets = h.positive.iter().chain(&h.negative).map(|(_, count)| count);
    let sum = h.zero_count + buckets.sum::<f64>();
    let fits = if h.sum.is_nan() {
        sum <= h.count
    } else {
        sum == h.count
    };
    if fits {
        Ok(())
    } else {
        Err(format!(
            "has a count of {}, but its buckets add up to {sum}",
            h.count
        ))
    }
}

fn span(field: Field<'_>, quota: &Quota) -> Result<(i32, u32)> {
    quota.take_one::<(i32, u32)>()?;
    let (mut offset, mut length) = (0, 0);
    let mut reader = Reader::new(field.bytes()?);
    while let Some((number, field)) = reader.next()? {
        match number {
            1 => offset = field.sint32()?,
            2 => length = field.int32()?.cast_unsigned(),
            _ => {}
        }
    }
    Ok((offset, length))
}

impl Side {
    /// A delta of one byte becomes a count and a bucket.
    fn read_deltas(&mut self, field: Field<'_>, quota: &Quota) -> Result<()> {
        let most = if let Field::Bytes(bytes) = field {
            bytes.len()
        } else {
            1
        };
        quota.take(most * (size_of::<i64>() + size_of::<(i32, f64)>()))?;
        sint64s(field, &mut self.deltas)
    }
    /// Buckets with their indexes. The spans only claim a number of buckets, so the counts that are really there
    /// are compared with the claim before anything is made from it.
    fn buckets(self) -> Result<Vec<(i32, f64)>, String> {
        let counts = if self.counts.is_empty() {
            absolute(&self.deltas)
        } else {
            self.counts
        };
        let claimed: u64 = self.spans.iter().map(|(_, length)| u64::from(*length)).sum();
        if claimed != counts.len() as u64 {
            return Err(format!(
                "has spans for {claimed} buckets and counts for {}",
                counts.len()
            ));
        }
        let mut buckets = Vec::with_capacity(counts.len());
        let (mut index, mut counts) = (0i64, counts.into_iter());
        for (i, (offset, length)) in self.spans.iter().enumerate() {
            if i > 0 && *offset < 0 {
                return Err("has spans that overlap".to_owned());
            }
            index += i64::from(*offset);
            for count in counts.by_ref().take(*length as usize) {
                let bucket = i32::try_from(index).map_err(|_| "has a bucket out of range".to_owned())?;
                buckets.push((bucket, count));
                index += 1;
            }
        }
        Ok(buckets)
    }
}

fn absolute(deltas: &[i64]) -> Vec<f64> {
    let running = deltas.iter().scan(0i64, |sum, delta| {
        *sum = sum.saturating_add(*delta);
        Some(*sum as f64)
    });
    running.collect()
}

/// Writes a `prometheus.Histogram` with absolute counts.
pub(super) fn encode(sample: &HistogramSample, w: &mut Writer) {
    let h = &sample.histogram;
    w.double_always(2, h.count);
    w.double(3, h.sum);
    w.sint32(4, h.schema);
    w.double(5, h.zero_threshold);
    w.double_always(7, h.zero_count);
    for (side, spans_field, counts_field) in [(&h.negative, 8, 10), (&h.positive, 11, 13)] {
        for (offset, length) in spans(side) {
            w.message(spans_field, |w| {
                w.sint32(1, offset);
                w.uint(2, u64::from(length));
            });
        }
        w.doubles(counts_field, side.iter().map(|(_, count)| *count));
    }
    let hint = match h.reset_hint {
        ResetHint::Unknown => 0,
        ResetHint::Reset => 1,
        ResetHint::NotReset => 2,
        ResetHint::Gauge => 3,
    };
    w.uint(14, hint);
    w.int(15, sample.timestamp_ms);
    w.doubles(16, h.custom_bounds.iter().copied());
    w.int(17, sample.start_timestamp_ms);
}

fn spans(buckets: &[(i32, f64)]) -> Spans {
    let mut spans = Spans::new();
    let mut next = 0;
    for (index, _) in buckets {
        match spans.last_mut() {
            Some((_, length)) if *index == next => *length += 1,
            _ => spans.push((index.wrapping_sub(next), 1)),
        }
        next = index.wrapping_add(1);
    }
    spans
}
