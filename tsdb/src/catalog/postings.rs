//! The series of one pair in memory: offsets in the order in which they came, runs folded together.

use std::ops::Range;

/// Marks the last offset of a run whose first stands before it.
const RUN: u32 = 1 << 31;
/// Offsets are below.
pub(super) const MAX_POSITIONS: u32 = RUN;

/// Ascending positions: one number for each, or two for a run of three and more.
#[derive(Debug, Default)]
pub(super) struct Postings {
    words: Vec<u32>,
    len: u32,
}

impl Postings {
    /// Adds a position above all that are there. Says how many bytes more this takes.
    pub(super) fn push(&mut self, position: u32) -> usize {
        self.len += 1;
        match self.words[..] {
            [.., last] if last & RUN != 0 && (last & !RUN) + 1 == position => {
                *self.words.last_mut().expect("there is a last one") = position | RUN;
                return 0;
            }
            [.., a, b] if a & RUN == 0 && a + 1 == b && b + 1 == position => {
                *self.words.last_mut().expect("there is a last one") = position | RUN;
                return 0;
            }
            _ => {}
        }
        let before = self.words.capacity();
        if before == self.words.len() {
            // By half, not to the double: there are many of these, and most stay as they are.
            self.words.reserve_exact((before / 2).max(2));
        }
        self.words.push(position);
        (self.words.capacity() - before) * 4
    }
    /// How many positions.
    pub(super) fn len(&self) -> u32 {
        self.len
    }
    /// How many bytes the list takes here, roughly what it takes anywhere.
    pub(super) fn list_bytes(&self) -> u32 {
        (self.words.len() * 2) as u32
    }
    pub(super) fn first(&self) -> Option<u32> {
        self.words.first().copied()
    }
    /// The runs below a bound.
    pub(super) fn runs(&self, bound: u32) -> impl Iterator<Item = Range<u32>> + '_ {
        let mut words = self.words.iter().copied().peekable();
        std::iter::from_fn(move || {
            let start = words.next().filter(|start| *start < bound)?;
            let end = words.next_if(|w| w & RUN != 0).map_or(start, |w| w & !RUN);
            Some(start..(end + 1).min(bound))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn positions_come_back(set in prop::collection::btree_set(0u32..60, 0..50), bound in 0u32..70) {
            let mut postings = Postings::default();
            let bytes: usize = set.iter().map(|p| postings.push(*p)).sum();
            prop_assert_eq!(bytes, postings.words.capacity() * 4);
            prop_assert!(postings.words.len() <= set.len());
            prop_assert_eq!(postings.len() as usize, set.len());
            prop_assert_eq!(postings.first(), set.first().copied());
            let expected: Vec<u32> = set.range(..bound).copied().collect();
            prop_assert_eq!(postings.runs(bound).flatten().collect::<Vec<_>>(), expected);
        }
    }
}
