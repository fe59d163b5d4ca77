//! A histogram that others are added to, with plain or with compensated counts.

use super::layout::{Number, common_bounds, merge, remap};
use super::{Refused, Remarks};
use model::metric::bounds::{CUSTOM_SCHEMA, coarser_index, is_exponential, threshold_outside, upper_bound};
use model::metric::{Histogram, ResetHint};

/// What is done with the other histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    Plus,
    Minus,
}

/// The fields of a histogram, with counts of some kind.
#[derive(Debug, Clone)]
pub(super) struct Running<N> {
    schema: i32,
    zero_threshold: f64,
    zero_count: N,
    count: N,
    sum: N,
    positive: Vec<(i32, N)>,
    negative: Vec<(i32, N)>,
    custom_bounds: Vec<f64>,
    pub(super) reset_hint: ResetHint,
}

impl From<Histogram> for Running<f64> {
    fn from(h: Histogram) -> Self {
        Self {
            schema: h.schema,
            zero_threshold: h.zero_threshold,
            zero_count: h.zero_count,
            count: h.count,
            sum: h.sum,
            positive: h.positive,
            negative: h.negative,
            custom_bounds: h.custom_bounds,
            reset_hint: h.reset_hint,
        }
    }
}

impl From<Running<f64>> for Histogram {
    fn from(r: Running<f64>) -> Self {
        Self {
            schema: r.schema,
            zero_threshold: r.zero_threshold,
            zero_count: r.zero_count,
            count: r.count,
            sum: r.sum,
            positive: r.positive,
            negative: r.negative,
            custom_bounds: r.custom_bounds,
            reset_hint: r.reset_hint,
        }
    }
}

impl<N: Number> Running<N> {
    pub(super) fn of(h: &Histogram) -> Self {
        let buckets = |list: &[(i32, f64)]| list.iter().map(|(i, n)| (*i, N::of(*n))).collect();
        Self {
            schema: h.schema,
            zero_threshold: h.zero_threshold,
            zero_count: N::of(h.zero_count),
            count: N::of(h.count),
            sum: N::of(h.sum),
            positive: buckets(&h.positive),
            negative: buckets(&h.negative),
            custom_bounds: h.custom_bounds.clone(),
            reset_hint: h.reset_hint,
        }
    }

    pub(super) fn into_histogram(self) -> Histogram {
        let buckets = |list: Vec<(i32, N)>| list.into_iter().map(|(i, n)| (i, n.value())).collect();
        Histogram {
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count.value(),
            count: self.count.value(),
            sum: self.sum.value(),
            positive: buckets(self.positive),
            negative: buckets(self.negative),
            custom_bounds: self.custom_bounds,
            reset_hint: self.reset_hint,
        }
    }

    /// Applies a function to all counts and the sum.
    pub(super) fn map(&mut self, f: impl Fn(f64) -> f64) {
        for number in [&mut self.zero_count, &mut self.count, &mut self.sum] {
            *number = number.map(&f);
        }
        for (_, number) in self.positive.iter_mut().chain(&mut self.negative) {
            *number = number.map(&f);
        }
    }

    /// Whether anything in it is infinite.
    pub(super) fn has_overflow(&self) -> bool {
        let buckets = self.positive.iter().chain(&self.negative).map(|(_, n)| *n);
        buckets
            .chain([self.zero_count, self.count, self.sum])
            .any(|n| n.value().is_infinite())
            || self.custom_bounds.iter().any(|bound| bound.is_infinite())
    }

    /// Adds another histogram, or takes it away. The result has the coarser schema of both, a bucket around zero that holds
    /// those of both, and the custom bounds that both have. It may list buckets without observations.
    ///
    /// After an error nothing is said of the counts.
    pub(super) fn add(&mut self, other: &Histogram, sign: Sign) -> Result<Remarks, Refused> {
        let is_custom = self.schema == CUSTOM_SCHEMA;
        if is_custom != other.has_custom_bounds() {
            return Err(Refused::MixedBuckets);
        }
        let of = |count: f64| match sign {
            Sign::Plus => N::of(count),
            Sign::Minus => N::of(-count),
        };
        let mut remarks = Remarks::default();
        (self.reset_hint, remarks.reset_collision) = joined_hints(self.reset_hint, other.reset_hint);
        self.count.increase(of(other.count));
        self.sum.increase(of(other.sum));
        if !is_custom {
            self.join_zero_buckets(other, &of);
            self.add_exponential(other, &of)?;
        } else if self.custom_bounds == other.custom_bounds {
            let buckets = other.positive.iter().map(|(index, n)| (*index, of(*n)));
            merge(&mut self.positive, buckets)?;
        } else {
            *match sign {
                Sign::Plus => &mut remarks.reconciled_in_addition,
                Sign::Minus => &mut remarks.reconciled_in_subtraction,
            } = true;
            self.add_at_common_bounds(other, &of)?;
        }
        Ok(remarks)
    }

    fn add_exponential(&mut self, other: &Histogram, of: &impl Fn(f64) -> N) -> Result<(), Refused> {
        let (schema, others) = (self.schema, other.schema);
        if others < schema {
            remap(&mut self.positive, |index| coarser_index(index, schema, others));
            remap(&mut self.negative, |index| coarser_index(index, schema, others));
            self.schema = others;
        }
        let (schema, threshold) = (self.schema, self.zero_threshold);
        let sides = [
            (&mut self.positive, &other.positive),
            (&mut self.negative, &other.negative),
        ];
        for (own, list) in sides {
            if others > schema {
                let mut list: Vec<_> = list.iter().map(|(index, n)| (*index, of(*n))).collect();
                remap(&mut list, |index| coarser_index(index, others, schema));
                let from = first_outside(&list, schema, threshold);
                merge(own, list[from..].iter().copied())?;
            } else {
                let from = first_outside(list, schema, threshold);
                merge(own, list[from..].iter().map(|(index, n)| (*index, of(*n))))?;
            }
        }
        Ok(())
    }

    fn add_at_common_bounds(&mut self, other: &Histogram, of: &impl Fn(f64) -> N) -> Result<(), Refused> {
        let common = common_bounds(&self.custom_bounds, &other.custom_bounds);
        let index_of = |index: i32, bounds: &[f64]| {
            let bound = upper_bound(index, CUSTOM_SCHEMA, bounds);
            i32::try_from(common.partition_point(|b| *b < bound)).unwrap_or(i32::MAX)
        };
        remap(&mut self.positive, |index| index_of(index, &self.custom_bounds));
        let buckets = other.positive.iter();
        let buckets = buckets.map(|(index, n)| (index_of(*index, &other.custom_bounds), of(*n)));
        merge(&mut self.positive, buckets)?;
        self.positive.retain(|(_, n)| !n.is_zero());
        self.custom_bounds = common;
        Ok(())
    }

    /// Finds a bucket around zero that holds those of both and ends within no other bucket of either, and adds what the
    /// other histogram has there.
    fn join_zero_buckets(&mut self, other: &Histogram, of: &impl Fn(f64) -> N) {
        let mut threshold = other.zero_threshold;
        loop {
            if self.zero_threshold > threshold {
                threshold = other.zero_threshold_from(self.zero_threshold);
            } else if threshold > self.zero_threshold {
                self.widen_zero_bucket(threshold);
            } else {
                break;
            }
        }
        let mut count = of(other.zero_count);
        if threshold != other.zero_threshold {
            for list in [&other.positive, &other.negative] {
                let within = Histogram::buckets_within(list, other.schema, threshold);
                list[..within].iter().for_each(|(_, n)| count.increase(of(*n)));
            }
        }
        self.zero_count.increase(count);
    }

    fn widen_zero_bucket(&mut self, threshold: f64) {
        let all = self.positive.iter().chain(&self.negative);
        let populated = all.filter(|(_, n)| n.value() != 0.0).map(|(index, _)| *index);
        let threshold = threshold_outside(threshold, self.schema, &populated);
        self.zero_threshold = threshold;
        for list in [&mut self.positive, &mut self.negative] {
            let within = Histogram::buckets_within(list, self.schema, threshold);
            for (_, count) in list.drain(..within) {
                self.zero_count.increase(count);
            }
            list.retain(|(_, n)| !n.is_zero());
        }
    }
}

/// The place of the first bucket that does not end within the bucket around zero.
fn first_outside<T>(list: &[(i32, T)], schema: i32, threshold: f64) -> usize {
    if !is_exponential(schema) {
        return 0;
    }
    let is_outside = |(index, _): &(i32, T)| upper_bound(*index, schema, &[]) > threshold;
    list.iter().position(is_outside).unwrap_or(list.len())
}

/// The hint of a sum or difference, and whether one hint says the contrary of the other.
fn joined_hints(a: ResetHint, b: ResetHint) -> (ResetHint, bool) {
    use ResetHint::{Gauge, Unknown};
    match (a, b) {
        _ if a == b => (a, false),
        (Gauge, _) | (_, Gauge) => (Gauge, false),
        (Unknown, _) | (_, Unknown) => (Unknown, false),
        _ => (Unknown, true),
    }
}
