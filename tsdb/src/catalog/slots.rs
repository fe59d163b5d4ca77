//! A hash table of nothing but numbers: whoever owns it knows what stands behind a number.

/// Open addressing with linear probing; 4 bytes for each slot, at most three of four taken.
#[derive(Debug, Default)]
pub(super) struct Slots {
    /// 0 is free, everything else is a number plus 1. The length is a power of two, or 0.
    table: Vec<u32>,
    len: usize,
}

impl Slots {
    /// A number with this hash for which `is_it` says yes.
    pub(super) fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let mask = self.table.len().wrapping_sub(1);
        let mut at = hash as usize & mask;
        loop {
            match self.table.get(at)?.checked_sub(1) {
                None => return None,
                Some(number) if is_it(number) => return Some(number),
                Some(_) => at = (at + 1) & mask,
            }
        }
    }
    /// Adds a number, below `u32::MAX`, that is not there; `hash_of` says the hashes of those that are when the table grows.
    pub(super) fn insert(&mut self, hash: u64, number: u32, hash_of: impl Fn(u32) -> u64) {
        if (self.len + 1) * 4 > self.table.len() * 3 {
            let larger = vec![0; (self.table.len() * 2).max(16)];
            for taken in std::mem::replace(&mut self.table, larger) {
                if let Some(old) = taken.checked_sub(1) {
                    self.put(hash_of(old), old);
                }
            }
        }
        self.put(hash, number);
        self.len += 1;
    }
    pub(super) fn size_bytes(&self) -> usize {
        self.table.capacity() * 4
    }

    fn put(&mut self, hash: u64, number: u32) {
        let mask = self.table.len() - 1;
        let mut at = hash as usize & mask;
        while self.table[at] != 0 {
            at = (at + 1) & mask;
        }
        self.table[at] = number + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_among_colliding_ones() {
        let hash = |number: u32| u64::from(number / 10).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
        let mut slots = Slots::default();
        assert_eq!(slots.find(1, |_| true), None);
        for number in 0..5000 {
            assert_eq!(slots.find(hash(number), |n| n == number), None);
            slots.insert(hash(number), number, hash);
        }
        for number in 0..5000 {
            assert_eq!(slots.find(hash(number), |n| n == number), Some(number));
        }
        assert!(slots.size_bytes() <= 4 * 8192);
    }
}
