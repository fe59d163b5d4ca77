//! Time, handed in.

use std::sync::atomic::{AtomicI64, Ordering};

/// Where the time comes from. Cores never ask the operating system; the programs hand in the real clock,
/// tests and the simulation hand in [`ManualClock`].
pub trait Clock: Send + Sync + 'static {
    /// Wall time in nanoseconds since the epoch. May jump in both directions.
    fn now_ns(&self) -> i64;
    /// Nanoseconds since an arbitrary start; never goes back.
    fn monotonic_ns(&self) -> u64;
    /// Wall time in milliseconds since the epoch.
    fn now_ms(&self) -> i64 {
        self.now_ns().div_euclid(crate::time::NS_PER_MS)
    }
}

/// A clock that stands still until it is told to move.
#[derive(Debug, Default)]
pub struct ManualClock {
    wall_ns: AtomicI64,
    monotonic_ns: std::sync::atomic::AtomicU64,
}

impl ManualClock {
    /// A clock that shows this wall time.
    pub fn at_ns(wall_ns: i64) -> Self {
        Self {
            wall_ns: AtomicI64::new(wall_ns),
            ..Self::default()
        }
    }
    /// Lets time pass.
    pub fn advance_ns(&self, by: u64) {
        self.wall_ns
            .fetch_add(i64::try_from(by).unwrap_or(i64::MAX), Ordering::SeqCst);
        self.monotonic_ns.fetch_add(by, Ordering::SeqCst);
    }
    /// Sets the wall clock, as an administrator or a time server would; monotonic time does not move.
    pub fn jump_to_ns(&self, wall_ns: i64) {
        self.wall_ns.store(wall_ns, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_ns(&self) -> i64 {
        self.wall_ns.load(Ordering::SeqCst)
    }
    fn monotonic_ns(&self) -> u64 {
        self.monotonic_ns.load(Ordering::SeqCst)
    }
}
