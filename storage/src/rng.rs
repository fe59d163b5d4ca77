//! A small seeded generator for simulations: the same seed gives the same run on every machine.

/// SplitMix64 (Steele, Lea, Flood 2014). Not for secrets.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// A generator for a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }
    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    /// A number below `end`; 0 when `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        // The bias of a plain remainder does not matter for simulations.
        if end == 0 { 0 } else { self.next_u64() % end }
    }
    /// True once in `n` calls on average; never for 0.
    pub fn one_in(&mut self, n: u64) -> bool {
        n != 0 && self.below(n) == 0
    }
    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        // 53 random bits fill the mantissa: a number from 0 up to but not including 1.
        ((self.next_u64() >> 11) as f64) / ((1u64 << 53) as f64) < probability
    }
}
