//! How a change between samples is extrapolated to the ends of its window, as Prometheus does it.

/// Where the samples of a window lie.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sampled {
    /// The time from which on the change was measured.
    pub(crate) first_ms: i64,
    /// The last sample.
    pub(crate) last_ms: i64,
    /// How many distances between samples there are.
    pub(crate) gaps: usize,
    /// Where the window begins and ends.
    pub(crate) window_ms: (i64, i64),
}

impl Sampled {
    /// By how much to multiply a change: to each end of the window, or up to half of the average distance between samples
    /// when the end is further away than that distance and a tenth. `to_zero` is how many times the sampled time it is
    /// back to where a counter was zero; before that it was nothing.
    pub(crate) fn extrapolation(&self, to_zero: Option<f64>) -> f64 {
        let sampled = seconds(self.first_ms, self.last_ms);
        if sampled == 0.0 {
            return 1.0;
        }
        let average = sampled / self.gaps as f64;
        let limited = |to_end: f64| {
            if to_end >= average * 1.1 {
                average / 2.0
            } else {
                to_end
            }
        };
        let mut to_start = limited(seconds(self.window_ms.0, self.first_ms));
        if let Some(to_zero) = to_zero.map(|times| sampled * times)
            && to_zero < to_start
        {
            to_start = to_zero;
        }
        let to_end = limited(seconds(self.last_ms, self.window_ms.1));
        (sampled + to_start + to_end) / sampled
    }
    /// The same for a counter that is known to have been zero at `first_ms`, where no sample is: nothing is before it, and
    /// `since_ms` is the first sample.
    pub(crate) fn extrapolation_from_zero(&self, since_ms: i64) -> f64 {
        let sampled = seconds(self.first_ms, self.last_ms);
        if sampled == 0.0 {
            return 1.0;
        }
        let average = match self.gaps {
            0 => 0.0,
            gaps => seconds(since_ms, self.last_ms) / gaps as f64,
        };
        let mut to_end = seconds(self.last_ms, self.window_ms.1);
        if to_end >= average * 1.1 {
            to_end = average / 2.0;
        }
        (sampled + to_end) / sampled
    }
}

fn seconds(from_ms: i64, to_ms: i64) -> f64 {
    to_ms.saturating_sub(from_ms) as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_reach_the_ends_that_are_near() {
        let check = |first_ms: i64, last_ms: i64, gaps: usize, to_zero: Option<f64>, expected: f64| {
            let sampled = Sampled {
                first_ms,
                last_ms,
                gaps,
                window_ms: (0, 100_000),
            };
            let factor = sampled.extrapolation(to_zero);
            assert!((factor - expected).abs() < 1e-12, "{sampled:?}: {factor}");
        };
        check(10_000, 90_000, 8, None, 100.0 / 80.0);
        check(20_000, 90_000, 7, None, (70.0 + 5.0 + 10.0) / 70.0);
        check(10_000, 80_000, 7, None, (70.0 + 10.0 + 5.0) / 70.0);
        check(10_000, 90_000, 8, Some(0.05), (80.0 + 4.0 + 10.0) / 80.0);
        check(10_000, 90_000, 8, Some(0.5), 100.0 / 80.0);
        check(10_000, 10_000, 1, None, 1.0);
    }

    #[test]
    fn a_known_zero_is_not_passed() {
        let check = |first_ms: i64, since_ms: i64, last_ms: i64, gaps: usize, expected: f64| {
            let sampled = Sampled {
                first_ms,
                last_ms,
                gaps,
                window_ms: (0, 100_000),
            };
            let factor = sampled.extrapolation_from_zero(since_ms);
            assert!((factor - expected).abs() < 1e-12, "{sampled:?}: {factor}");
        };
        check(5_000, 10_000, 90_000, 8, (85.0 + 10.0) / 85.0);
        check(5_000, 10_000, 80_000, 7, (75.0 + 5.0) / 75.0);
        check(5_000, 10_000, 10_000, 0, 1.0);
    }
}
