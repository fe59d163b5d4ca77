//! Random numbers from a seed: the same on every machine, so that two runs send the same data.

/// SplitMix64: one word of state, so that each group of series can have its own.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// From parts that together name what is drawn for.
    pub(crate) fn new(parts: &[u64]) -> Self {
        let mut random = Self(0x5EED_0000_0000_0001);
        for part in parts {
            random.0 ^= part.wrapping_mul(0xD6E8_FEB8_6659_FD93);
            random.0 = random.word();
        }
        random
    }
    /// 64 random bits.
    pub(crate) fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
    /// A whole number below `end`, which is small against 2^64.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.word() % end
    }
    /// In [0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        (self.word() >> 11) as f64 / (1_u64 << 53) as f64
    }
    /// True once in `1 / share` draws.
    pub(crate) fn happens(&mut self, share: f64) -> bool {
        self.unit() < share
    }
    /// Normal with mean 0 and deviation 1 (Box and Muller).
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
    /// exp of a normal.
    pub(crate) fn lognormal(&mut self, mean: f64, deviation: f64) -> f64 {
        (mean + deviation * self.normal()).exp()
    }
    /// Exponential with this mean.
    pub(crate) fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }
    /// Poisson with this mean: Knuth's product for small means, else the normal that comes close.
    pub(crate) fn poisson(&mut self, mean: f64) -> f64 {
        if mean > 30.0 {
            return (mean + mean.sqrt() * self.normal()).max(0.0).round();
        }
        let (floor, mut product, mut n) = ((-mean).exp(), self.unit(), 0.0);
        while product > floor {
            product *= self.unit();
            n += 1.0;
        }
        n
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn means_are_what_is_asked_for() {
        let check = |expected: f64, draw: &mut dyn FnMut(&mut Random) -> f64| {
            let mut random = Random::new(&[1, 2]);
            let n = 20_000;
            let mean = (0..n).map(|_| draw(&mut random)).sum::<f64>() / f64::from(n);
            assert!(
                (mean - expected).abs() < 0.05 * expected.max(1.0),
                "{mean} for {expected}"
            );
        };
        check(0.5, &mut Random::unit);
        check(0.0, &mut Random::normal);
        check(0.2, &mut |r| r.poisson(0.2));
        check(20.0, &mut |r| r.poisson(20.0));
        check(400.0, &mut |r| r.poisson(400.0));
        check(3.0, &mut |r| r.exponential(3.0));
        check(0.1, &mut |r| f64::from(u8::from(r.happens(0.1))));
    }

    #[test]
    fn a_seed_gives_its_numbers_again() {
        let draw = |parts: &[u64]| Random::new(parts).word();
        assert_eq!(draw(&[1, 2]), draw(&[1, 2]));
        assert_ne!(draw(&[1, 2]), draw(&[2, 1]));
    }
}
