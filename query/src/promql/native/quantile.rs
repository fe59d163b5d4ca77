//! Quantiles, fractions, the mean and the variance of a histogram.

use crate::columns::kahan;
use model::metric::{Bucket, Histogram};

/// What observations that are not numbers, which are in no bucket, do to a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NanObservations {
    /// The quantile is one of them.
    ResultIsNan,
    /// They count as larger than all others, so the quantile is too high.
    ResultIsSkewed,
    /// They are not in the fraction.
    LeftOut,
}

/// `histogram_avg`: the mean of the observations.
pub fn average(h: &Histogram) -> f64 {
    h.sum / h.count
}

/// `histogram_stdvar`: the variance of the observations, as if each was in the middle of its bucket.
pub fn variance(h: &Histogram) -> f64 {
    let mean = average(h);
    let mut sum = kahan::Sum::default();
    for bucket in h.buckets().filter(|b| b.count != 0.0) {
        let value = if h.has_custom_bounds() {
            (bucket.upper + bucket.lower) / 2.0
        } else if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
            0.0
        } else {
            let middle = (bucket.upper * bucket.lower).sqrt();
            if bucket.upper < 0.0 { -middle } else { middle }
        };
        let delta = value - mean;
        sum.add(bucket.count * delta * delta);
    }
    sum.value() / h.count
}

/// `histogram_quantile`: linear between the bounds of custom buckets and of the one around zero, exponential in others.
pub fn quantile(q: f64, h: &Histogram) -> (f64, Option<NanObservations>) {
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    if h.count == 0.0 || q.is_nan() {
        return (f64::NAN, None);
    }
    let has_nan = h.sum.is_nan();
    let is_forward = has_nan || q < 0.5;
    let rank = if is_forward {
        q * h.count
    } else {
        (1.0 - q) * h.count
    };
    let mut buckets = h.buckets();
    let (mut bucket, mut count) = if is_forward {
        find_rank(rank, &mut buckets)
    } else {
        find_rank(rank, &mut h.buckets().rev())
    };
    if !h.has_custom_bounds() {
        if bucket.lower < 0.0 && bucket.upper > 0.0 {
            end_at_zero(&mut bucket, h);
        }
    } else if bucket.lower == f64::NEG_INFINITY {
        if bucket.upper <= 0.0 {
            return (bucket.upper, None);
        }
        bucket.lower = 0.0;
    } else if bucket.upper == f64::INFINITY {
        return (bucket.lower, None);
    }
    // Rounding can make the buckets more than all.
    count = if count > h.count { h.count } else { count };
    if count < rank {
        if has_nan {
            return (f64::NAN, Some(NanObservations::ResultIsNan));
        }
        return (bucket.upper, None);
    }
    let within = if is_forward {
        rank - (count - bucket.count)
    } else {
        count - rank
    };
    let mut note = None;
    if has_nan {
        // Prometheus goes on to the last bucket to count, and then interpolates in that one.
        for next in buckets {
            bucket = next;
            count += next.count;
        }
        note = (count < h.count).then_some(NanObservations::ResultIsSkewed);
    }
    (interpolated(&bucket, within / bucket.count, h), note)
}

/// The bucket in which a rank lies, and the observations up to its end; the last one where the rank lies behind all.
fn find_rank(rank: f64, buckets: &mut dyn Iterator<Item = Bucket>) -> (Bucket, f64) {
    let mut count = 0.0;
    let mut last = Bucket {
        lower: 0.0,
        upper: 0.0,
        includes_lower: false,
        includes_upper: false,
        count: 0.0,
    };
    for bucket in buckets {
        last = bucket;
        if bucket.count != 0.0 {
            count += bucket.count;
            if count >= rank {
                break;
            }
        }
    }
    (last, count)
}

/// Where there are only buckets above zero, or only ones below, the one around zero begins or ends there.
fn end_at_zero(bucket: &mut Bucket, h: &Histogram) {
    if h.negative.is_empty() && !h.positive.is_empty() {
        bucket.lower = 0.0;
    } else if h.positive.is_empty() && !h.negative.is_empty() {
        bucket.upper = 0.0;
    }
}

/// The value at a fraction of the way through a bucket.
fn interpolated(bucket: &Bucket, fraction: f64, h: &Histogram) -> f64 {
    let Bucket { lower, upper, .. } = *bucket;
    if h.has_custom_bounds() || (lower <= 0.0 && upper >= 0.0) {
        return lower + (upper - lower) * fraction;
    }
    let (log_lower, log_upper) = (lower.abs().log2(), upper.abs().log2());
    if lower > 0.0 {
        (log_lower + (log_upper - log_lower) * fraction).exp2()
    } else {
        -(log_upper + (log_lower - log_upper) * (1.0 - fraction)).exp2()
    }
}

/// `histogram_fraction`: the part of the observations between two values.
pub fn fraction(lower: f64, upper: f64, h: &Histogram) -> (f64, Option<NanObservations>) {
    if h.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return (f64::NAN, None);
    }
    if lower >= upper {
        return (0.0, None);
    }
    let mut ranks = [Rank::new(lower), Rank::new(upper)];
    let (mut below, mut count) = (0.0, 0.0);
    let mut buckets = h.buckets();
    for mut bucket in buckets.by_ref() {
        count += bucket.count;
        let is_around_zero = bucket.lower <= 0.0 && bucket.upper >= 0.0;
        if is_around_zero {
            end_at_zero(&mut bucket, h);
        }
        let is_linear = h.has_custom_bounds() || is_around_zero;
        ranks.iter_mut().for_each(|r| r.pass(&bucket, below, is_linear));
        if ranks.iter().all(|r| r.rank.is_some()) {
            break;
        }
        below += bucket.count;
    }
    let mut note = None;
    if h.sum.is_nan() {
        buckets.for_each(|b| count += b.count);
        note = (count < h.count).then_some(NanObservations::LeftOut);
    } else {
        count = h.count;
    }
    let [lower, upper] = ranks.map(|r| match r.rank {
        None => count,
        Some(rank) if rank > count => count,
        Some(rank) => rank,
    });
    ((upper - lower) / h.count, note)
}

/// How many observations lie below a value, found by passing the buckets from the lowest on.
struct Rank {
    value: f64,
    rank: Option<f64>,
}

impl Rank {
    fn new(value: f64) -> Self {
        Self { value, rank: None }
    }
    fn pass(&mut self, bucket: &Bucket, below: f64, is_linear: bool) {
        if self.rank.is_some() {
            return;
        }
        if bucket.lower >= self.value {
            self.rank = Some(below);
        } else if bucket.upper > self.value {
            // Nothing is known of how observations lie in a bucket without a beginning.
            self.rank = Some(if is_linear && bucket.lower == f64::NEG_INFINITY {
                bucket.count
            } else {
                below + bucket.count * fraction_below(bucket, self.value, is_linear)
            });
        }
    }
}

/// The part of a bucket with finite bounds that lies below a value within it.
pub(super) fn fraction_below(bucket: &Bucket, value: f64, is_linear: bool) -> f64 {
    let Bucket { lower, upper, .. } = *bucket;
    if is_linear {
        return (value - lower) / (upper - lower);
    }
    let [lower, upper, at] = [lower, upper, value].map(|v| v.abs().log2());
    if value > 0.0 {
        (at - lower) / (upper - lower)
    } else {
        1.0 - (at - upper) / (lower - upper)
    }
}
