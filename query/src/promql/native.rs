//! What PromQL does with native histograms: arithmetic, sums and means, quantiles, rates.
//!
//! Everything works on [`model::metric::Histogram`] and gives new ones, or values. What is worth a warning or an info
//! comes back in [`Remarks`]; the engine makes the texts. Buckets without observations count for what Prometheus lets them
//! count: operators leave them out of their results, sums and means over time keep them.

mod arithmetic;
mod change;
mod extended;
mod layout;
mod quantile;
mod running;
mod sum;
mod trim;

pub(crate) use arithmetic::subtract_as_counter;
pub use arithmetic::{add, compact, divide, is_equal, multiply, subtract};
pub use change::{Change, Window, change, detect_hints, instant_change, is_reset};
pub use extended::{extended_change, interpolate};
pub use quantile::{NanObservations, average, fraction, quantile, variance};
pub use sum::{Mean, Sum, average_over, sum_over};
pub use trim::{trim_lower, trim_upper};

use model::metric::Histogram;
use model::{Error, ErrorKind, Result};
use std::ops::BitOrAssign;

/// The most buckets, above or below zero, that a result may have.
const MAX_BUCKETS: usize = 100_000;

/// What came up besides the result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Remarks {
    /// Histograms of exponential and of custom buckets came together: there is no result.
    pub mixed_buckets: bool,
    /// In a sum, custom buckets of different bounds were put together to the bounds that both have.
    pub reconciled_in_addition: bool,
    /// The same in a difference.
    pub reconciled_in_subtraction: bool,
    /// One of the histograms says that its counting began anew, another one that it did not.
    pub reset_collision: bool,
    /// A function of counters got a gauge.
    pub not_counter: bool,
    /// A function of gauges got a counter.
    pub not_gauge: bool,
    /// A counter began before the sample before it, and at another time than that.
    pub start_overlap: bool,
}

impl Remarks {
    const MIXED: Self = Self {
        mixed_buckets: true,
        reconciled_in_addition: false,
        reconciled_in_subtraction: false,
        reset_collision: false,
        not_counter: false,
        not_gauge: false,
        start_overlap: false,
    };
}

impl BitOrAssign for Remarks {
    fn bitor_assign(&mut self, other: Self) {
        self.mixed_buckets |= other.mixed_buckets;
        self.reconciled_in_addition |= other.reconciled_in_addition;
        self.reconciled_in_subtraction |= other.reconciled_in_subtraction;
        self.reset_collision |= other.reset_collision;
        self.not_counter |= other.not_counter;
        self.not_gauge |= other.not_gauge;
        self.start_overlap |= other.start_overlap;
    }
}

/// A result and what came up.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    /// The result; `None` where there is none.
    pub histogram: Option<Histogram>,
    /// What came up.
    pub remarks: Remarks,
}

impl Outcome {
    fn none(remarks: Remarks) -> Self {
        Self {
            histogram: None,
            remarks,
        }
    }
    fn some(histogram: Histogram, remarks: Remarks) -> Self {
        Self {
            histogram: Some(histogram),
            remarks,
        }
    }
}

/// Why two histograms cannot be put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refused {
    /// One has exponential buckets, the other one custom ones.
    MixedBuckets,
    /// The result would have more than [`MAX_BUCKETS`].
    TooManyBuckets,
}

impl Refused {
    /// A mix is a remark; what breaks the limit ends the query.
    fn remarks(self) -> Result<Remarks> {
        match self {
            Self::MixedBuckets => Ok(Remarks::MIXED),
            Self::TooManyBuckets => Err(Error::new(
                ErrorKind::Execution,
                format!("a native histogram would have more than {MAX_BUCKETS} buckets"),
            )),
        }
    }
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
