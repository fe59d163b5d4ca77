//! Points and ranges of time. Metrics count in milliseconds, logs and spans in nanoseconds since the epoch;
//! ranges are in nanoseconds for all of them.

/// Nanoseconds in a millisecond.
pub const NS_PER_MS: i64 = 1_000_000;
/// Nanoseconds in a second.
pub const NS_PER_S: i64 = 1_000_000_000;

/// A range of time in nanoseconds since the epoch, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeRange {
    /// The first nanosecond.
    pub start_ns: i64,
    /// The last nanosecond.
    pub end_ns: i64,
}

impl TimeRange {
    /// Everything.
    pub const ALL: Self = Self {
        start_ns: i64::MIN,
        end_ns: i64::MAX,
    };

    /// From milliseconds, both included; saturates at the ends of what nanoseconds can say.
    pub fn from_ms(start_ms: i64, end_ms: i64) -> Self {
        Self {
            start_ns: start_ms.saturating_mul(NS_PER_MS),
            end_ns: end_ms.saturating_mul(NS_PER_MS).saturating_add(NS_PER_MS - 1),
        }
    }
    /// The first millisecond that is not before the start.
    pub fn start_ms(&self) -> i64 {
        self.start_ns.div_euclid(NS_PER_MS) + i64::from(self.start_ns.rem_euclid(NS_PER_MS) != 0)
    }
    /// The last millisecond that is not after the end.
    pub fn end_ms(&self) -> i64 {
        self.end_ns.div_euclid(NS_PER_MS)
    }
    /// Whether a point lies inside.
    pub fn contains(&self, ns: i64) -> bool {
        self.start_ns <= ns && ns <= self.end_ns
    }
    /// Whether two ranges share a point.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.start_ns <= other.end_ns && other.start_ns <= self.end_ns
    }
    /// The smallest range that holds both.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self {
            start_ns: self.start_ns.min(other.start_ns),
            end_ns: self.end_ns.max(other.end_ns),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_round_inwards() {
        let r = TimeRange {
            start_ns: 1,
            end_ns: 2 * NS_PER_MS - 1,
        };
        assert_eq!((r.start_ms(), r.end_ms()), (1, 1));
        let r = TimeRange {
            start_ns: -1,
            end_ns: -1,
        };
        assert_eq!((r.start_ms(), r.end_ms()), (0, -1));
        let r = TimeRange::from_ms(-5, 7);
        assert_eq!((r.start_ms(), r.end_ms()), (-5, 7));
    }
}
