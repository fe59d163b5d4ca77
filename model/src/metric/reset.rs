//! Whether the counting behind a native histogram began anew since the one before it.

use super::bounds::{is_exponential, upper_bound};
use super::buckets::coarser;
use super::{Histogram, HistogramSample, ResetHint};

/// Sets the hints of one series' histograms, which are in time order, to what comparing neighbours shows: a counter that
/// counts on gets [`ResetHint::NotReset`]. One of which that cannot be told from its neighbour is left to whoever asks:
/// the first one, one that counts less or has other buckets, and one behind a gauge, a staleness marker or a float sample
/// (at the times `floats_ms`) has [`ResetHint::Unknown`]. Gauges stay, and so do resets that were sent as such.
///
/// These are the hints with which Prometheus reads its chunks.
pub fn mark_continued(histograms: &mut [HistogramSample], floats_ms: &[i64]) {
    let is_counter = |h: &Histogram| !h.is_gauge() && !h.is_stale();
    for i in 0..histograms.len() {
        let (before, from) = histograms.split_at_mut(i);
        let current = &mut from[0];
        if matches!(current.histogram.reset_hint, ResetHint::Gauge | ResetHint::Reset) {
            continue;
        }
        // What was sent is not asked: the neighbour may be another one than the sender's.
        current.histogram.reset_hint = ResetHint::Unknown;
        let Some(previous) = before.last() else { continue };
        let floats = floats_ms.partition_point(|t| *t <= previous.timestamp_ms);
        let is_next = floats_ms.get(floats).is_none_or(|t| *t > current.timestamp_ms);
        if is_next
            && is_counter(&previous.histogram)
            && is_counter(&current.histogram)
            && current.histogram.has_layout_of(&previous.histogram)
            && !current.histogram.is_reset_after(&previous.histogram)
        {
            current.histogram.reset_hint = ResetHint::NotReset;
        }
    }
}

impl Histogram {
    fn has_layout_of(&self, other: &Self) -> bool {
        self.schema == other.schema
            && self.zero_threshold == other.zero_threshold
            && self.custom_bounds == other.custom_bounds
    }

    /// Whether the counting began anew between an earlier histogram of the series and this one: any count is smaller, or the
    /// buckets have become finer or, with exponential ones, the one around zero narrower. What the hint says goes before;
    /// gauges are compared as if they were counters. A coarser schema or a wider bucket around zero is no reset in itself:
    /// the earlier buckets are put together as the later ones are.
    pub fn is_reset_after(&self, previous: &Self) -> bool {
        match self.reset_hint {
            ResetHint::Reset => return true,
            ResetHint::NotReset => return false,
            ResetHint::Unknown | ResetHint::Gauge => {}
        }
        if self.count < previous.count {
            return true;
        }
        if self.has_custom_bounds() {
            if !previous.has_custom_bounds() {
                return true;
            }
            if self.custom_bounds != previous.custom_bounds {
                return self.is_reset_at_common_bounds(previous);
            }
        }
        if self.schema > previous.schema || self.zero_threshold < previous.zero_threshold {
            return true;
        }
        let threshold = self.zero_threshold;
        if previous.zero_threshold_from(threshold) != threshold {
            return true;
        }
        self.zero_count < previous.zero_count_within(threshold)
            || self.has_fewer(&self.positive, previous, &previous.positive)
            || self.has_fewer(&self.negative, previous, &previous.negative)
    }

    /// Whether a bucket outside of the one around zero has lost observations.
    fn has_fewer(&self, now: &[(i32, f64)], previous: &Self, before: &[(i32, f64)]) -> bool {
        let first = if self.zero_threshold == 0.0 || !is_exponential(self.schema) {
            i32::MIN
        } else {
            self.first_index_outside(before, previous.schema)
        };
        let mut now = now.iter().peekable();
        coarser(before, previous.schema, self.schema)
            .filter(|(index, _)| *index >= first)
            .any(|(index, count)| {
                while now.next_if(|(i, _)| *i < index).is_some() {}
                match now.next_if(|(i, _)| *i == index) {
                    Some((_, now)) => *now < count,
                    None => count != 0.0,
                }
            })
    }

    /// The lowest index in this schema of an earlier bucket that does not end within the bucket around zero.
    fn first_index_outside(&self, before: &[(i32, f64)], schema: i32) -> i32 {
        let ends_within = |index: i32| upper_bound(index, self.schema, &[]) <= self.zero_threshold;
        coarser(before, schema, self.schema)
            .map(|(index, _)| index)
            .find(|index| !ends_within(*index))
            .unwrap_or(i32::MAX)
    }

    /// Compares what lies between the bounds that both have.
    fn is_reset_at_common_bounds(&self, previous: &Self) -> bool {
        let ends = |h: &Self| {
            h.custom_bounds
                .iter()
                .copied()
                .chain([f64::INFINITY])
                .collect::<Vec<_>>()
        };
        let (own, theirs) = (ends(self), ends(previous));
        let mut theirs = theirs.iter().peekable();
        let (mut now, mut before) = (Upto::new(self), Upto::new(previous));
        own.iter().any(|bound| {
            while theirs.next_if(|b| *b < bound).is_some() {}
            theirs.next_if(|b| *b == bound).is_some() && now.take(*bound) < before.take(*bound)
        })
    }
}

/// Adds up buckets from bound to bound.
struct Upto<'a> {
    histogram: &'a Histogram,
    taken: usize,
}

impl<'a> Upto<'a> {
    fn new(histogram: &'a Histogram) -> Self {
        Self { histogram, taken: 0 }
    }
    /// The observations since the last bound up to this one.
    fn take(&mut self, bound: f64) -> f64 {
        let rest = &self.histogram.positive[self.taken..];
        let within = rest.partition_point(|(index, _)| self.histogram.upper_bound(*index) <= bound);
        self.taken += within;
        rest[..within].iter().map(|(_, count)| count).sum()
    }
}

#[cfg(test)]
mod tests;
