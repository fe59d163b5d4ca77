//! The real clock: the one place that asks the operating system for the time.

use model::Clock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The operating system's clock. Programs make one and hand it in everywhere.
#[derive(Debug, Clone)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that asks the operating system"
    )]
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that asks the operating system"
    )]
    fn now_ns(&self) -> i64 {
        wall_ns(SystemTime::now())
    }
    fn monotonic_ns(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// A point of wall time as nanoseconds since the epoch; saturates at what 64 bits can say.
pub fn wall_ns(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |ns| -ns),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn wall_time_counts_from_the_epoch_in_both_directions() {
        let check = |time: SystemTime, ns: i64| assert_eq!(wall_ns(time), ns);
        check(UNIX_EPOCH, 0);
        check(UNIX_EPOCH + Duration::from_millis(1500), 1_500_000_000);
        check(UNIX_EPOCH - Duration::from_nanos(7), -7);
    }

    #[test]
    fn the_system_clock_runs() {
        let clock = SystemClock::new();
        let first = clock.monotonic_ns();
        // 2024-01-01: a machine whose clock is older than this program is not set.
        assert!(clock.now_ns() > 1_704_067_200_000_000_000);
        assert!(clock.monotonic_ns() >= first);
    }
}
