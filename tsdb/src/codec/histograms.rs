//! Columns of native histograms.
//!
//! What repeats from sample to sample (the *layout*: schema, buckets, bounds) is said once; the counts of each bucket
//! are a float column of their own. Every field comes back bit by bit, in whatever order buckets are.

mod layout;

use super::{Effort, ints, times, values};
use crate::bytes::{Cursor, bad, put_bytes, put_uint};
use layout::{Layout, Slots};
use model::metric::{Histogram, HistogramSample};
use model::{Error, Result};

/// Buckets and bounds of all samples of a column together: 16 MiB in memory, a day of 180 buckets every 15 s.
pub(crate) const MAX_BUCKETS: usize = 1 << 20;

const COUNTS_ARE_SUMS: u8 = 1;

/// Appends a column of histograms. One with more than [`MAX_BUCKETS`] is an error: it must be given in parts.
pub(crate) fn encode(into: &mut Vec<u8>, samples: &[HistogramSample], effort: Effort) -> Result<()> {
    if samples.is_empty() {
        return Ok(());
    }
    let (layouts, indexes) = layout::of(samples);
    if buckets(&layouts, &indexes) > MAX_BUCKETS {
        return Err(Error::internal(format!(
            "a run of {} histograms has more than {MAX_BUCKETS} buckets",
            samples.len()
        )));
    }
    let counts_are_sums = samples
        .iter()
        .all(|s| s.histogram.count.to_bits() == total(&s.histogram).to_bits());
    into.push(if counts_are_sums { COUNTS_ARE_SUMS } else { 0 });
    put_uint(into, layouts.len() as u64);
    layouts.iter().for_each(|layout| layout.write(into));

    let mut columns = ColumnWriter {
        into,
        effort,
        bytes: Vec::new(),
    };
    let integers = |of: fn(&HistogramSample) -> i64| samples.iter().map(of).collect::<Vec<_>>();
    let floats = |of: fn(&Histogram) -> f64| samples.iter().map(|s| of(&s.histogram)).collect::<Vec<_>>();
    columns.put(&integers(|s| s.timestamp_ms), times::encode);
    columns.put(&integers(|s| s.start_timestamp_ms), ints::encode);
    columns.put(
        &indexes.iter().map(|i| *i as i64).collect::<Vec<_>>(),
        ints::encode,
    );
    columns.put(&floats(|h| h.sum), values::encode);
    columns.put(&floats(|h| h.zero_count), values::encode);
    if !counts_are_sums {
        columns.put(&floats(|h| h.count), values::encode);
    }
    let slots = Slots::of(&layouts);
    let mut counts = vec![Vec::new(); slots.len()];
    for (sample, index) in samples.iter().zip(&indexes) {
        let histogram = &sample.histogram;
        let buckets = histogram.positive.iter().chain(&histogram.negative);
        for (slot, (_, count)) in slots.of_layout(*index).iter().zip(buckets) {
            counts[*slot].push(*count);
        }
    }
    counts
        .iter()
        .for_each(|counts| columns.put(counts, values::encode));
    Ok(())
}

struct ColumnWriter<'a> {
    into: &'a mut Vec<u8>,
    effort: Effort,
    bytes: Vec<u8>,
}

impl ColumnWriter<'_> {
    fn put<T>(&mut self, column: &[T], encode: impl Fn(&mut Vec<u8>, &[T], Effort)) {
        self.bytes.clear();
        encode(&mut self.bytes, column, self.effort);
        put_bytes(self.into, &self.bytes);
    }
}

/// The count that the buckets add up to, added in the order in which they are.
fn total(histogram: &Histogram) -> f64 {
    let buckets = histogram.positive.iter().chain(&histogram.negative);
    buckets.fold(histogram.zero_count, |total, (_, count)| total + count)
}

/// Buckets and bounds of all samples together.
fn buckets(layouts: &[Layout], indexes: &[usize]) -> usize {
    let sizes = indexes.iter().map(|index| layouts[*index].size());
    sizes.fold(0, usize::saturating_add)
}

/// Appends the `count` histograms of a column, from exactly the column's bytes.
pub(crate) fn decode(bytes: &[u8], count: usize, into: &mut Vec<HistogramSample>) -> Result<()> {
    if count == 0 {
        return Ok(());
    }
    let mut cursor = Cursor::new(bytes);
    let flags = cursor.byte()?;
    if flags > COUNTS_ARE_SUMS {
        return Err(bad("a column of histograms of this kind is not known"));
    }
    let layouts = layout::read(&mut cursor)?;
    let integers = |bytes: &[u8]| -> Result<Vec<i64>> {
        let mut numbers = Vec::new();
        ints::decode(bytes, count, 0..count, &mut numbers)?;
        Ok(numbers)
    };
    let floats = |bytes: &[u8], count: usize| -> Result<Vec<f64>> {
        let mut numbers = Vec::new();
        values::decode(bytes, count, 0..count, &mut numbers)?;
        Ok(numbers)
    };
    let mut timestamps = Vec::new();
    times::decode(cursor.bytes()?, count, &mut timestamps)?;
    let starts = integers(cursor.bytes()?)?;
    let indexes = layout::check(&integers(cursor.bytes()?)?, layouts.len())?;
    if buckets(&layouts, &indexes) > MAX_BUCKETS {
        return Err(bad("a column of histograms has too many buckets"));
    }
    let sums = floats(cursor.bytes()?, count)?;
    let zero_counts = floats(cursor.bytes()?, count)?;
    let counts = match flags & COUNTS_ARE_SUMS {
        0 => Some(floats(cursor.bytes()?, count)?),
        _ => None,
    };
    let slots = Slots::of(&layouts);
    let mut bucket_counts = Vec::with_capacity(slots.len());
    for samples in slots.samples(&indexes) {
        bucket_counts.push(floats(cursor.bytes()?, samples)?.into_iter());
    }
    for (sample, index) in indexes.iter().enumerate() {
        let mut next = slots.of_layout(*index).iter().map(|slot| {
            let counts = bucket_counts[*slot].next();
            counts.expect("the column has a count for each sample with the slot")
        });
        let mut histogram = layouts[*index].histogram(&mut next);
        histogram.sum = sums[sample];
        histogram.zero_count = zero_counts[sample];
        histogram.count = counts.as_ref().map_or_else(|| total(&histogram), |c| c[sample]);
        into.push(HistogramSample {
            timestamp_ms: timestamps[sample],
            start_timestamp_ms: starts[sample],
            histogram,
        });
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests;
