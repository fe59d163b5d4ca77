//! The trim operators: what lies below or above a value.

use super::compact;
use super::quantile::fraction_below;
use model::metric::{Bucket, Histogram};

/// `h </ at`: the observations up to a value. The new sum is estimated from the middles of the buckets.
pub fn trim_upper(h: &Histogram, at: f64) -> Histogram {
    trim(
        h,
        Trim {
            at,
            keeps_below: true,
        },
    )
}

/// `h >/ at`: the observations from a value on; see [`trim_upper`].
pub fn trim_lower(h: &Histogram, at: f64) -> Histogram {
    trim(
        h,
        Trim {
            at,
            keeps_below: false,
        },
    )
}

/// Where to cut, and what to keep.
#[derive(Debug, Clone, Copy)]
struct Trim {
    at: f64,
    keeps_below: bool,
}

/// A part of a bucket: its observations, and the value that stands for them.
#[derive(Debug, Clone, Copy)]
struct Part {
    count: f64,
    middle: f64,
}

const NOTHING: Part = Part {
    count: 0.0,
    middle: 0.0,
};

/// How observations lie in a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spread {
    Linear,
    ExponentialAbove,
    ExponentialBelow,
}

fn trim(h: &Histogram, trim: Trim) -> Histogram {
    let mut result = h.clone();
    let (mut count, mut sum, mut is_trimmed) = (0.0, 0.0, false);
    let mut keep = |old: &mut f64, part: Part| {
        count += part.count;
        sum += part.middle * part.count;
        is_trimmed |= *old != part.count;
        *old = part.count;
    };
    let above = match h.has_custom_bounds() {
        true => Spread::Linear,
        false => Spread::ExponentialAbove,
    };
    for (index, old) in result.positive.iter_mut().filter(|(_, n)| *n != 0.0) {
        keep(old, trim.part_of(h.positive_bucket(*index, *old), above));
    }
    for (index, old) in result.negative.iter_mut().filter(|(_, n)| *n != 0.0) {
        let below = match h.has_custom_bounds() {
            true => Spread::Linear,
            false => Spread::ExponentialBelow,
        };
        keep(old, trim.part_of(h.negative_bucket(*index, *old), below));
    }
    if let Some(zero) = h.zero_bucket().filter(|b| b.count > 0.0) {
        keep(&mut result.zero_count, trim.part_of_zero_bucket(zero, h));
    }
    if is_trimmed {
        (result.count, result.sum) = (count, sum);
        compact(&mut result);
    }
    result
}

impl Trim {
    fn part_of(self, bucket: Bucket, spread: Spread) -> Part {
        let (is_whole, is_cut) = if self.keeps_below {
            (bucket.upper <= self.at, bucket.lower < self.at)
        } else {
            (bucket.lower >= self.at, bucket.upper > self.at)
        };
        if is_whole {
            return Part {
                count: bucket.count,
                middle: middle(bucket.lower, bucket.upper, spread),
            };
        }
        if !is_cut {
            return NOTHING;
        }
        if bucket.lower == f64::NEG_INFINITY || bucket.upper == f64::INFINITY {
            return self.part_of_endless(bucket);
        }
        let below = bucket.count * fraction_below(&bucket, self.at, spread == Spread::Linear);
        if self.keeps_below {
            Part {
                count: below,
                middle: middle(bucket.lower, self.at, spread),
            }
        } else {
            Part {
                count: bucket.count - below,
                middle: middle(self.at, bucket.upper, spread),
            }
        }
    }

    /// A part of a bucket that is cut and has no end on one side: nobody knows how observations lie in it. All of them count
    /// as lying at the cut, or none is kept; but a first bucket that ends above zero counts as if it began there.
    fn part_of_endless(self, bucket: Bucket) -> Part {
        let Self { at, keeps_below } = self;
        let Bucket { upper, count, .. } = bucket;
        if bucket.lower != f64::NEG_INFINITY {
            return if keeps_below {
                NOTHING
            } else {
                Part { count, middle: at }
            };
        }
        if keeps_below {
            if at > 0.0 && upper > 0.0 && upper != f64::INFINITY {
                let count = count * at / upper;
                return Part {
                    count,
                    middle: at / 2.0,
                };
            }
            return if upper <= 0.0 {
                Part { count, middle: at }
            } else {
                NOTHING
            };
        }
        if at >= 0.0 && upper != f64::INFINITY {
            let count = count * (1.0 - at / upper);
            let middle = (at + upper) / 2.0;
            return Part { count, middle };
        }
        NOTHING
    }

    /// A part of the bucket around zero, which begins or ends at zero when all others lie above or below.
    fn part_of_zero_bucket(self, zero: Bucket, h: &Histogram) -> Part {
        let has_any = |list: &[(i32, f64)]| list.iter().any(|(_, n)| *n != 0.0);
        let (has_negative, has_positive) = (has_any(&h.negative), has_any(&h.positive));
        let lower = if has_positive && !has_negative {
            0.0
        } else {
            zero.lower
        };
        let upper = if has_negative && !has_positive {
            0.0
        } else {
            zero.upper
        };
        let whole = Part {
            count: zero.count,
            middle: (lower + upper) / 2.0,
        };
        let (from, to) = if self.keeps_below {
            (lower, self.at)
        } else {
            (self.at, upper)
        };
        if self.at <= lower {
            return if self.keeps_below { NOTHING } else { whole };
        }
        if self.at >= upper {
            return if self.keeps_below { whole } else { NOTHING };
        }
        Part {
            count: zero.count * ((to - from) / (upper - lower)),
            middle: (from + to) / 2.0,
        }
    }
}

/// The value that stands for the observations between two values.
fn middle(lower: f64, upper: f64, spread: Spread) -> f64 {
    match (lower.is_infinite(), upper.is_infinite()) {
        (true, true) => 0.0,
        (true, false) if upper > 0.0 => upper / 2.0,
        (true, false) => upper,
        (false, true) => lower,
        (false, false) => {
            let geometric = (lower * upper).abs().sqrt();
            match spread {
                Spread::Linear => (lower + upper) / 2.0,
                Spread::ExponentialAbove => geometric,
                Spread::ExponentialBelow => -geometric,
            }
        }
    }
}
