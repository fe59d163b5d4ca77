//! Bloom filters for tokens that are too many to be words: ids, hexadecimal, numbers.

/// Bits for each item; with [`PROBES`] about 1 in 45 absent items is taken for present.
const BITS_PER_ITEM: usize = 8;
const PROBES: u32 = 5;

/// Builds the filter of a set of hashes; empty for an empty set.
pub(crate) fn build(hashes: &[u64]) -> Vec<u8> {
    let mut bits = vec![0_u8; (hashes.len() * BITS_PER_ITEM).div_ceil(8)];
    for hash in hashes {
        for at in places(*hash, bits.len()) {
            bits[at / 8] |= 1 << (at % 8);
        }
    }
    bits
}

/// Whether a hash may be in the set that a filter was built from; never false for one that is.
pub(crate) fn may_contain(bits: &[u8], hash: u64) -> bool {
    !bits.is_empty() && places(hash, bits.len()).all(|at| bits[at / 8] & (1 << (at % 8)) != 0)
}

/// Double hashing: the halves of one hash give all places. Stands in files; never change it.
fn places(hash: u64, bytes: usize) -> impl Iterator<Item = usize> {
    let (start, step) = (hash as u32, (hash >> 32) as u32 | 1);
    let bits = bytes as u64 * 8;
    (0..PROBES).map(move |i| {
        let h = start.wrapping_add(step.wrapping_mul(i));
        // Multiply and shift spreads 32 bits over any number of places without a division.
        ((u64::from(h) * bits) >> 32) as usize
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_there_is_denied_and_little_else_is_granted() {
        let hash = |i: u64| xxhash_rust::xxh3::xxh3_64(&i.to_le_bytes());
        for n in [0, 1, 3, 1000] {
            let set: Vec<u64> = (0..n).map(hash).collect();
            let bits = build(&set);
            assert!(set.iter().all(|h| may_contain(&bits, *h)));
            let granted = (n..n + 10_000).filter(|i| may_contain(&bits, hash(*i))).count();
            assert!(
                n < 3 && granted < 3_000 || granted < 600,
                "{granted} of 10000 with {n} items"
            );
        }
    }
}
