//! How long to wait before trying again.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(30);

/// Doubles the pause with each failure, up to 30 s, and takes a random part of it away, so that many agents do not
/// come back at the same moment.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
    random: u64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
    }
}

impl Backoff {
    /// No failure yet.
    pub fn new() -> Self {
        // A fresh allocation's hash keys are random per process; that is random enough to spread retries.
        use std::hash::{BuildHasher as _, Hasher as _};
        let seed = std::hash::RandomState::new().build_hasher().finish();
        Self {
            next: FIRST,
            random: seed | 1,
        }
    }
    /// The last attempt succeeded.
    pub fn reset(&mut self) {
        self.next = FIRST;
    }
    /// The pause after another failure; not shorter than what the other side asked for.
    pub fn next(&mut self, asked_for: Option<Duration>) -> Duration {
        let full = self.next;
        self.next = (full * 2).min(LONGEST);
        // xorshift64*, enough for jitter.
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        let part = (self.random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32) as u32;
        let jittered = full - full / 2 * (part >> 16) / 0x1_0000;
        jittered.max(asked_for.unwrap_or_default().min(LONGEST * 10))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_within_bounds_and_respect_the_other_side() {
        let mut backoff = Backoff::new();
        let mut full = FIRST;
        for _ in 0..20 {
            let pause = backoff.next(None);
            assert!(pause >= full / 2 && pause <= full, "{pause:?} of {full:?}");
            full = (full * 2).min(LONGEST);
        }
        assert_eq!(
            backoff.next(Some(Duration::from_secs(60))),
            Duration::from_secs(60)
        );
        backoff.reset();
        assert!(backoff.next(None) <= FIRST);
    }
}
