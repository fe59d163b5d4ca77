//! Sums and means that keep what rounding would lose: Kahan's sum in Neumaier's form, as Prometheus has it.

/// A running sum with its correction.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sum {
    sum: f64,
    correction: f64,
}

impl Sum {
    pub(crate) fn add(&mut self, value: f64) {
        let total = self.sum + value;
        if total.is_infinite() {
            self.correction = 0.0;
        } else if self.sum.abs() >= value.abs() {
            self.correction += (self.sum - total) + value;
        } else {
            self.correction += (value - total) + self.sum;
        }
        self.sum = total;
    }
    /// A sum of one value.
    pub(crate) fn of(value: f64) -> Self {
        Self {
            sum: value,
            correction: 0.0,
        }
    }
    /// Adds what another one has summed.
    pub(crate) fn add_sum(&mut self, other: Self) {
        self.add(other.sum);
        if other.correction != 0.0 {
            self.add(other.correction);
        }
    }
    /// Multiplies or divides: what is done to the sum is done to its correction.
    pub(crate) fn map(self, f: impl Fn(f64) -> f64) -> Self {
        Self {
            sum: f(self.sum),
            correction: f(self.correction),
        }
    }
    /// The sum; the correction means nothing once the sum is infinite.
    pub(crate) fn value(&self) -> f64 {
        if self.sum.is_infinite() {
            self.sum
        } else {
            self.sum + self.correction
        }
    }
}

/// A running mean: a sum and a count, until the sum would overflow; from there on a moving mean.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mean {
    count: f64,
    total: Sum,
    moving: bool,
}

impl Mean {
    pub(crate) fn add(&mut self, value: f64) {
        self.count += 1.0;
        if !self.moving {
            let mut next = self.total;
            next.add(value);
            if self.count == 1.0 || !next.sum.is_infinite() {
                self.total = next;
                return;
            }
            self.moving = true;
            self.total.sum /= self.count - 1.0;
            self.total.correction /= self.count - 1.0;
        }
        let mean = self.total.sum;
        if mean.is_infinite() {
            // An infinite mean stays what it is, unless a NaN or the other infinity comes.
            let same_infinity = value.is_infinite() && (mean > 0.0) == (value > 0.0);
            if same_infinity || value.is_finite() {
                return;
            }
        }
        let keep = (self.count - 1.0) / self.count;
        self.total = Sum {
            sum: keep * mean,
            correction: keep * self.total.correction,
        };
        self.total.add(value / self.count);
    }
    /// The mean; NaN when nothing was added.
    pub(crate) fn value(&self) -> f64 {
        if self.moving {
            self.total.sum + self.total.correction
        } else {
            self.total.sum / self.count + self.total.correction / self.count
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(values: &[f64]) -> f64 {
        let mut s = Sum::default();
        values.iter().for_each(|v| s.add(*v));
        s.value()
    }
    fn mean(values: &[f64]) -> f64 {
        let mut m = Mean::default();
        values.iter().for_each(|v| m.add(*v));
        m.value()
    }

    #[test]
    fn small_terms_survive_large_ones() {
        assert_eq!(sum(&[1.0, 1e100, 1.0, -1e100]), 2.0);
        assert_eq!(sum(&[f64::INFINITY, 1.0]), f64::INFINITY);
        assert!(sum(&[f64::INFINITY, f64::NEG_INFINITY]).is_nan());
    }

    #[test]
    fn means_do_not_overflow() {
        let big = f64::MAX / 1.75;
        assert_eq!(mean(&[big, big]), big);
        assert_eq!(mean(&[-big, -big, -big]), -big);
        assert_eq!(mean(&[f64::INFINITY, 0.0, f64::INFINITY]), f64::INFINITY);
        assert!(mean(&[f64::INFINITY, f64::NEG_INFINITY]).is_nan());
        assert!(mean(&[]).is_nan());
        assert_eq!(mean(&[52.0; 12]), 52.0);
    }
}
