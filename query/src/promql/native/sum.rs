//! Sums and means of many histograms, with what rounding would lose.

use super::running::{Running, Sign};
use super::{Outcome, Refused, Remarks};
use crate::columns::kahan;
use model::Result;
use model::metric::{Histogram, HistogramSample, ResetHint};

/// What all summands together say.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    reset: bool,
    not_reset: bool,
    remarks: Remarks,
}

impl Seen {
    fn note_hint(&mut self, h: &Histogram) {
        match h.reset_hint {
            ResetHint::Reset => self.reset = true,
            ResetHint::NotReset => self.not_reset = true,
            ResetHint::Unknown | ResetHint::Gauge => {}
        }
    }
    /// Notes what came of an addition, without the collision with the sum so far: that of all is told at the end.
    fn note(&mut self, added: std::result::Result<Remarks, Refused>) -> Result<Remarks> {
        let mut remarks = added.or_else(Refused::remarks)?;
        remarks.reset_collision = false;
        self.remarks |= remarks;
        Ok(remarks)
    }
    /// The result, unless there is none.
    fn outcome(mut self, histogram: impl FnOnce() -> Histogram) -> Outcome {
        self.remarks.reset_collision = self.reset && self.not_reset;
        Outcome {
            histogram: (!self.remarks.mixed_buckets).then(histogram),
            remarks: self.remarks,
        }
    }
}

/// A running sum.
#[derive(Debug, Clone)]
pub struct Sum {
    total: Running<kahan::Sum>,
    seen: Seen,
}

impl Sum {
    /// A sum of one histogram.
    pub fn new(first: &Histogram) -> Self {
        let mut seen = Seen::default();
        seen.note_hint(first);
        Self {
            total: Running::of(first),
            seen,
        }
    }
    /// Adds a histogram. Returns what came up with this one; once buckets were mixed there will be no result.
    ///
    /// # Errors
    /// `Execution` when the sum would have too many buckets.
    pub fn add(&mut self, h: &Histogram) -> Result<Remarks> {
        self.seen.note_hint(h);
        self.seen.note(self.total.add(h, Sign::Plus))
    }
    /// The sum, which may list buckets without observations, and all that came up.
    pub fn finish(self) -> Outcome {
        self.seen.outcome(|| self.total.into_histogram())
    }
}

/// A running mean: a sum and a count, until the sum would overflow; from there on a moving mean.
#[derive(Debug, Clone)]
pub struct Mean {
    total: Running<kahan::Sum>,
    count: f64,
    is_moving: bool,
    /// No number of the sum is larger.
    magnitude: f64,
    seen: Seen,
}

impl Mean {
    /// A mean of one histogram.
    pub fn new(first: &Histogram) -> Self {
        let mut seen = Seen::default();
        seen.note_hint(first);
        Self {
            total: Running::of(first),
            count: 1.0,
            is_moving: false,
            magnitude: magnitude(first),
            seen,
        }
    }
    /// Adds a histogram; see [`Sum::add`].
    ///
    /// # Errors
    /// `Execution` when the mean would have too many buckets.
    pub fn add(&mut self, h: &Histogram) -> Result<Remarks> {
        self.seen.note_hint(h);
        self.count += 1.0;
        if !self.is_moving {
            self.magnitude += magnitude(h);
            if self.magnitude < f64::MAX / 2.0 {
                return self.seen.note(self.total.add(h, Sign::Plus));
            }
            let mut next = self.total.clone();
            let added = next.add(h, Sign::Plus);
            if added.is_err() || !next.has_overflow() {
                if added.is_ok() {
                    self.total = next;
                }
                return self.seen.note(added);
            }
            // Bounds are put together even where the sum cannot be used.
            self.seen.note(added)?;
            self.is_moving = true;
            let before = self.count - 1.0;
            self.total.map(|n| n / before);
        }
        let (keep, count) = ((self.count - 1.0) / self.count, self.count);
        self.total.map(|n| n * keep);
        let mut part = h.clone();
        super::arithmetic::shrink(&mut part, count);
        self.seen.note(self.total.add(&part, Sign::Plus))
    }
    /// The mean, which may list buckets without observations, and all that came up.
    pub fn finish(mut self) -> Outcome {
        if !self.is_moving {
            let count = self.count;
            self.total.map(|n| n / count);
        }
        self.seen.outcome(|| self.total.into_histogram())
    }
}

/// A bound for all numbers of a histogram, in any schema; infinite, or not a number, where there is none.
fn magnitude(h: &Histogram) -> f64 {
    if h.custom_bounds.iter().any(|bound| bound.is_infinite()) {
        return f64::INFINITY;
    }
    let buckets = h.positive.iter().chain(&h.negative);
    let all = buckets.fold(h.zero_count.abs(), |sum, (_, count)| sum + count.abs());
    let sum = if h.sum.is_nan() { 0.0 } else { h.sum.abs() };
    all + h.count.abs() + sum
}

/// `sum_over_time`: of a mix of buckets nothing is told but that.
///
/// # Errors
/// As [`Sum::add`].
pub fn sum_over(samples: &[HistogramSample]) -> Result<Outcome> {
    let Some((first, rest)) = samples.split_first() else {
        return Ok(Outcome::default());
    };
    let mut sum = Sum::new(&first.histogram);
    for sample in rest {
        if sum.add(&sample.histogram)?.mixed_buckets {
            return Ok(Outcome::none(Remarks::MIXED));
        }
    }
    Ok(sum.finish())
}

/// `avg_over_time`; as [`sum_over`].
///
/// # Errors
/// As [`Mean::add`].
pub fn average_over(samples: &[HistogramSample]) -> Result<Outcome> {
    let Some((first, rest)) = samples.split_first() else {
        return Ok(Outcome::default());
    };
    let mut mean = Mean::new(&first.histogram);
    for sample in rest {
        if mean.add(&sample.histogram)?.mixed_buckets {
            return Ok(Outcome::none(Remarks::MIXED));
        }
    }
    Ok(mean.finish())
}
