//! The buckets of a native histogram with their bounds.

use super::Histogram;
use super::bounds::{self, upper_bound};

/// A stretch of values and how many observations lie in it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    /// Where it begins.
    pub lower: f64,
    /// Where it ends.
    pub upper: f64,
    /// Whether a value at the beginning belongs to it.
    pub includes_lower: bool,
    /// Whether a value at the end belongs to it.
    pub includes_upper: bool,
    /// Observations.
    pub count: f64,
}

impl Bucket {
    /// What the HTTP API says of the bounds: 0 includes the upper one, 1 the lower one, 2 none, 3 both.
    pub fn boundary_rule(&self) -> u8 {
        match (self.includes_lower, self.includes_upper) {
            (false, true) => 0,
            (true, false) => 1,
            (false, false) => 2,
            (true, true) => 3,
        }
    }
}

impl Histogram {
    /// The bucket above zero of an index, as the schema has it.
    pub fn positive_bucket(&self, index: i32, count: f64) -> Bucket {
        let (lower, upper) = (self.upper_bound(index.saturating_sub(1)), self.upper_bound(index));
        let is_custom = self.has_custom_bounds();
        Bucket {
            lower,
            upper,
            includes_lower: if is_custom { index == 0 } else { lower < 0.0 },
            includes_upper: is_custom || upper > 0.0,
            count,
        }
    }
    /// The bucket below zero of an index, as the schema has it.
    pub fn negative_bucket(&self, index: i32, count: f64) -> Bucket {
        let lower = -upper_bound(index, self.schema, &[]);
        let upper = -upper_bound(index.saturating_sub(1), self.schema, &[]);
        Bucket {
            lower,
            upper,
            includes_lower: lower < 0.0,
            includes_upper: upper > 0.0,
            count,
        }
    }
    /// The bucket around zero; histograms with custom bounds have none.
    pub fn zero_bucket(&self) -> Option<Bucket> {
        (!self.has_custom_bounds()).then_some(Bucket {
            lower: -self.zero_threshold,
            upper: self.zero_threshold,
            includes_lower: true,
            includes_upper: true,
            count: self.zero_count,
        })
    }
    /// All buckets from the lowest to the highest, empty ones that are listed included, the one around zero only with
    /// observations. Where a bucket reaches into the one around zero, it ends or begins there.
    pub fn buckets(&self) -> impl DoubleEndedIterator<Item = Bucket> + '_ {
        let negative: &[_] = if self.has_custom_bounds() {
            &[]
        } else {
            &self.negative
        };
        let threshold = self.zero_threshold;
        let negative = negative.iter().rev().map(move |(index, count)| {
            let mut bucket = self.negative_bucket(*index, *count);
            if bucket.upper < 0.0 && bucket.upper > -threshold {
                bucket.upper = -threshold;
            }
            bucket
        });
        let positive = self.positive.iter().map(move |(index, count)| {
            let mut bucket = self.positive_bucket(*index, *count);
            if bucket.lower > 0.0 && bucket.lower < threshold {
                bucket.lower = threshold;
            } else if bucket.upper < 0.0 && bucket.upper > -threshold {
                bucket.upper = -threshold;
            }
            bucket
        });
        let zero = self.zero_bucket().filter(|b| b.count > 0.0);
        negative.chain(zero).chain(positive)
    }

    /// The smallest width of the bucket around zero that is not less than `threshold` and does not end within another
    /// bucket that has observations.
    pub fn zero_threshold_from(&self, threshold: f64) -> f64 {
        if threshold == self.zero_threshold {
            return threshold;
        }
        let all = self.positive.iter().chain(&self.negative);
        let populated = all.filter(|(_, count)| *count != 0.0).map(|(index, _)| *index);
        bounds::threshold_outside(threshold, self.schema, &populated)
    }
    /// How many buckets of a list, above or below zero, begin before a threshold and so belong to a bucket around zero of
    /// that width.
    pub fn buckets_within<T>(list: &[(i32, T)], schema: i32, threshold: f64) -> usize {
        list.partition_point(|(index, _)| upper_bound(index.saturating_sub(1), schema, &[]) < threshold)
    }
    /// The observations of the bucket around zero if it had a width that [`Self::zero_threshold_from`] says.
    pub fn zero_count_within(&self, threshold: f64) -> f64 {
        if threshold == self.zero_threshold {
            return self.zero_count;
        }
        let within = |list: &[(i32, f64)]| Self::buckets_within(list, self.schema, threshold);
        let positive = &self.positive[..within(&self.positive)];
        let negative = &self.negative[..within(&self.negative)];
        { positive.iter().chain(negative) }.fold(self.zero_count, |sum, (_, count)| sum + count)
    }
}

/// Buckets of a coarser schema from those of a finer one: indexes rise, what lies in one bucket is added up.
pub(super) fn coarser(
    list: &[(i32, f64)],
    schema: i32,
    target: i32,
) -> impl Iterator<Item = (i32, f64)> + '_ {
    let mut list = list
        .iter()
        .map(move |(index, count)| (bounds::coarser_index(*index, schema, target), *count))
        .peekable();
    std::iter::from_fn(move || {
        let (index, mut count) = list.next()?;
        while let Some((_, more)) = list.next_if(|(next, _)| *next == index) {
            count += more;
        }
        Some((index, count))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(histogram: &Histogram) -> Vec<(u8, f64, f64, f64)> {
        let list = histogram.buckets();
        list.map(|b| (b.boundary_rule(), b.lower, b.upper, b.count))
            .collect()
    }

    #[test]
    fn buckets_come_in_ascending_order() {
        let mut histogram = Histogram {
            zero_threshold: 0.75,
            zero_count: 2.0,
            positive: vec![(0, 1.0), (2, 4.0)],
            negative: vec![(0, 3.0), (1, 5.0)],
            ..Histogram::default()
        };
        let expected = [
            (1, -2.0, -1.0, 5.0),
            (1, -1.0, -0.75, 3.0),
            (3, -0.75, 0.75, 2.0),
            (0, 0.75, 1.0, 1.0),
            (0, 2.0, 4.0, 4.0),
        ];
        assert_eq!(shown(&histogram), expected);
        let mut reversed: Vec<_> = histogram.buckets().rev().map(|b| b.count).collect();
        reversed.reverse();
        assert_eq!(reversed, [5.0, 3.0, 2.0, 1.0, 4.0]);
        histogram.zero_count = 0.0;
        assert_eq!(histogram.buckets().count(), 4);
    }

    #[test]
    fn custom_buckets_have_open_ends() {
        let histogram = Histogram {
            schema: bounds::CUSTOM_SCHEMA,
            custom_bounds: vec![5.0, 10.0],
            positive: vec![(0, 1.0), (1, 2.0), (2, 3.0)],
            ..Histogram::default()
        };
        let expected = [
            (3, f64::NEG_INFINITY, 5.0, 1.0),
            (0, 5.0, 10.0, 2.0),
            (0, 10.0, f64::INFINITY, 3.0),
        ];
        assert_eq!(shown(&histogram), expected);
    }

    #[test]
    fn the_bucket_around_zero_ends_at_a_bound() {
        let histogram = Histogram {
            zero_threshold: 0.01,
            zero_count: 5.5,
            positive: vec![(-2, 1.0), (0, 2.0), (1, 0.0), (2, 3.0)],
            negative: vec![(1, 10.0), (3, 20.0)],
            ..Histogram::default()
        };
        let check = |threshold: f64, expected: (f64, f64)| {
            let found = histogram.zero_threshold_from(threshold);
            assert_eq!(
                (found, histogram.zero_count_within(found)),
                expected,
                "{threshold}"
            );
        };
        check(0.01, (0.01, 5.5));
        check(0.1, (0.1, 5.5));
        check(0.125, (0.125, 5.5));
        check(0.2, (0.25, 6.5));
        check(0.25, (0.25, 6.5));
        check(0.6, (1.0, 8.5));
        // Within an empty bucket above zero and a full one below.
        check(1.5, (2.0, 18.5));
        check(2.5, (4.0, 21.5));
        check(5.0, (8.0, 41.5));
        check(100.0, (100.0, 41.5));
    }
}
