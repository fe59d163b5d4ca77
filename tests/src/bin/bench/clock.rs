//! Time of a benchmark: the only place here that asks the operating system for it, and the only one that waits.

use std::time::{Duration, Instant};

/// Now, for durations.
#[expect(
    clippy::disallowed_methods,
    reason = "a benchmark measures the time that passes"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Milliseconds since 1970.
pub(crate) fn unix_ms() -> i64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Lets time pass: between two looks at another process, or to keep a rate.
#[expect(
    clippy::disallowed_methods,
    reason = "a rate is kept by waiting; nothing is synchronised by it"
)]
pub(crate) fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

/// Seconds since `start`.
pub(crate) fn seconds_since(start: Instant) -> f64 {
    now().duration_since(start).as_secs_f64()
}
