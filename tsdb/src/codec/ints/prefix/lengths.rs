//! The lengths of Huffman codes, none longer than a table for decoding allows.

use super::MAX_LEN;

/// The lengths of the codes of tokens, from how many there are of each: complete, and the best up to the limit.
pub(super) fn of(counts: &[(u8, u32)]) -> Vec<(u8, u32)> {
    let mut tokens = counts.to_vec();
    tokens.sort_unstable_by_key(|(_, count)| *count);
    let depths = depths(&tokens);
    let mut lens: Vec<(u8, u32)> = tokens
        .iter()
        .zip(depths)
        .map(|((token, _), depth)| (*token, depth))
        .collect();
    limit(&mut lens);
    lens.sort_unstable();
    lens
}

/// Depths in the Huffman tree of tokens in ascending order of their counts.
fn depths(tokens: &[(u8, u32)]) -> Vec<u32> {
    let leaves = tokens.len();
    let mut weights: Vec<u64> = tokens.iter().map(|(_, count)| u64::from(*count)).collect();
    let mut parents = vec![0usize; leaves.saturating_sub(1) * 2 + 1];
    // Inner nodes come to be in ascending order too, so the lightest is at the front of one of two queues.
    let (mut leaf, mut inner) = (0, leaves);
    for _ in 1..leaves {
        let mut weight = 0;
        for _ in 0..2 {
            let take_leaf = leaf < leaves && (inner >= weights.len() || weights[leaf] <= weights[inner]);
            let lightest = if take_leaf { &mut leaf } else { &mut inner };
            weight += weights[*lightest];
            parents[*lightest] = weights.len();
            *lightest += 1;
        }
        weights.push(weight);
    }
    let mut depths = vec![0; weights.len()];
    for node in (0..weights.len().saturating_sub(1)).rev() {
        depths[node] = depths[parents[node]] + 1;
    }
    depths.truncate(leaves);
    depths
}

/// Shortens what is too long and pays for it with the rarest of the others; tokens ascend by count.
fn limit(lens: &mut [(u8, u32)]) {
    const FULL: u32 = 1 << MAX_LEN;
    let share = |len: u32| FULL >> len;
    lens.iter_mut().for_each(|(_, len)| *len = (*len).min(MAX_LEN));
    let mut used: u32 = lens.iter().map(|(_, len)| share(*len)).sum();
    while used > FULL {
        let (_, len) = lens
            .iter_mut()
            .filter(|(_, len)| *len < MAX_LEN)
            .max_by_key(|(_, len)| *len)
            .expect("256 codes of the greatest length do not fill the table");
        used -= share(*len + 1);
        *len += 1;
    }
    // What is left over is a sum of shares that codes have: all shares are powers of two.
    while used < FULL && lens.len() > 1 {
        let (_, len) = lens
            .iter_mut()
            .rev()
            .filter(|(_, len)| share(*len) <= FULL - used)
            .min_by_key(|(_, len)| *len)
            .expect("the smallest share divides what is left over");
        used += share(*len);
        *len -= 1;
    }
}
