//! Sets of series as runs of consecutive offsets, their algebra, and how a list of postings stands in a file.

use crate::bytes::{Cursor, bad, put_uint};
use model::Result;
use std::ops::Range;

/// One more than the highest offset; so the end of a run is an offset's type too.
pub(super) const OFFSETS: u64 = u32::MAX as u64;

/// Offsets from the base of a source, ascending and unique.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Ids {
    /// Never empty ones, none that touches the next.
    runs: Vec<Range<u32>>,
}

impl Ids {
    /// Collects runs in any order; they may overlap.
    pub(super) fn from_unsorted(mut runs: Vec<Range<u32>>) -> Self {
        runs.sort_by_key(|r| r.start);
        let mut ids = Self::default();
        runs.into_iter().for_each(|run| ids.push(run));
        ids
    }
    /// Collects ascending offsets.
    pub(super) fn from_sorted(offsets: impl IntoIterator<Item = u32>) -> Self {
        let mut ids = Self::default();
        offsets.into_iter().for_each(|o| ids.push(o..o + 1));
        ids
    }
    /// Adds a run that starts at or after the start of the last one.
    pub(super) fn push(&mut self, run: Range<u32>) {
        match self.runs.last_mut() {
            _ if run.is_empty() => {}
            Some(last) if run.start <= last.end => last.end = last.end.max(run.end),
            _ => self.runs.push(run),
        }
    }
    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }
    /// How many offsets.
    pub(super) fn len(&self) -> u64 {
        self.runs.iter().map(|r| u64::from(r.end - r.start)).sum()
    }
    pub(super) fn runs(&self) -> &[Range<u32>] {
        &self.runs
    }
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.runs.iter().cloned().flatten()
    }
    pub(super) fn first(&self) -> Option<u32> {
        self.runs.first().map(|r| r.start)
    }
    pub(super) fn last(&self) -> Option<u32> {
        self.runs.last().map(|r| r.end - 1)
    }
    /// What is in both.
    pub(super) fn intersect(&self, other: &Self) -> Self {
        let (mut a, mut b) = (&self.runs[..], &other.runs[..]);
        let mut both = Self::default();
        while let (Some(x), Some(y)) = (a.first(), b.first()) {
            if x.end <= y.start {
                a = skip_to(a, y.start);
            } else if y.end <= x.start {
                b = skip_to(b, x.start);
            } else {
                both.push(x.start.max(y.start)..x.end.min(y.end));
                if x.end <= y.end {
                    a = &a[1..];
                } else {
                    b = &b[1..];
                }
            }
        }
        both
    }
    /// What is in this one and not in the other.
    pub(super) fn subtract(&self, other: &Self) -> Self {
        let mut out = &other.runs[..];
        let mut left = Self::default();
        for run in &self.runs {
            let mut start = run.start;
            out = skip_to(out, start);
            for gone in out.iter().take_while(|gone| gone.start < run.end) {
                left.push(start..gone.start.max(start));
                start = gone.end;
            }
            left.push(start.min(run.end)..run.end);
        }
        left
    }
    /// What lies in a range.
    pub(super) fn within(&self, range: Range<u32>) -> Self {
        let runs = skip_to(&self.runs, range.start);
        let mut ids = Self::default();
        for run in runs.iter().take_while(|run| run.start < range.end) {
            ids.push(run.start.max(range.start)..run.end.min(range.end));
        }
        ids
    }
    /// The same ids as offsets from another base; what would not fit is an error.
    pub(super) fn shifted(&self, by: i64) -> Result<Self> {
        let shift = |offset: u32| {
            let moved = u32::try_from(i64::from(offset) + by);
            moved.map_err(|_| bad("a series lies too far from the others"))
        };
        let runs = self.runs.iter().map(|r| Ok(shift(r.start)?..shift(r.end)?));
        Ok(Self {
            runs: runs.collect::<Result<_>>()?,
        })
    }
    /// Appends the list as it stands in a file.
    pub(super) fn encode(&self, into: &mut Vec<u8>) {
        let mut end = 0;
        for run in &self.runs {
            let len = run.end - run.start;
            put_uint(into, u64::from(run.start - end) << 1 | u64::from(len > 1));
            if len > 1 {
                put_uint(into, u64::from(len - 2));
            }
            end = run.end;
        }
    }
    /// Reads a list that fills the bytes.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self> {
        let mut cursor = Cursor::new(bytes);
        let (mut runs, mut end) = (Vec::with_capacity(bytes.len() / 2), 0u64);
        while !cursor.is_empty() {
            let head = cursor.uint()?;
            let len = match head & 1 {
                0 => 1,
                _ => cursor.uint()?.saturating_add(2),
            };
            let start = end + (head >> 1);
            end = start.saturating_add(len);
            if end > OFFSETS {
                return Err(bad("a list of series goes too far"));
            }
            if head >> 1 == 0 && !runs.is_empty() {
                return Err(bad("a list of series has runs that touch"));
            }
            runs.push(start as u32..end as u32);
        }
        Ok(Self { runs })
    }
}

/// The rest of the runs from the first one that ends after an offset, found by galloping.
fn skip_to(runs: &[Range<u32>], offset: u32) -> &[Range<u32>] {
    let mut step = 1;
    while step < runs.len() && runs[step].end <= offset {
        step *= 2;
    }
    let window = &runs[..runs.len().min(step + 1)];
    &runs[window.partition_point(|run| run.end <= offset)..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn ids(set: &BTreeSet<u32>) -> Ids {
        Ids::from_sorted(set.iter().copied())
    }
    fn sets() -> impl Strategy<Value = BTreeSet<u32>> {
        prop::collection::vec((0u32..400, 1u32..20), 0..30).prop_map(|runs| {
            runs.into_iter()
                .flat_map(|(start, len)| start..start + len)
                .collect()
        })
    }

    proptest! {
        #[test]
        fn they_are_sets(a in sets(), b in sets(), low in 0u32..420, len in 0u32..200) {
            let (x, y) = (ids(&a), ids(&b));
            prop_assert_eq!(x.len(), a.len() as u64);
            prop_assert_eq!((x.first(), x.last()), (a.first().copied(), a.last().copied()));
            prop_assert!(x.iter().eq(a.iter().copied()));
            prop_assert_eq!(x.intersect(&y), ids(&a.intersection(&b).copied().collect()));
            prop_assert_eq!(x.subtract(&y), ids(&a.difference(&b).copied().collect()));
            let both: Vec<_> = x.runs().iter().chain(y.runs()).cloned().collect();
            prop_assert_eq!(Ids::from_unsorted(both), ids(&a.union(&b).copied().collect()));
            prop_assert_eq!(x.within(low..low + len), ids(&a.range(low..low + len).copied().collect()));
            prop_assert_eq!(x.shifted(7).unwrap().shifted(-7).unwrap(), x);
        }
        #[test]
        fn lists_come_back(a in sets()) {
            let mut bytes = Vec::new();
            ids(&a).encode(&mut bytes);
            prop_assert_eq!(Ids::decode(&bytes).unwrap(), ids(&a));
        }
        #[test]
        fn garbage_is_an_error_or_a_proper_set(bytes: Vec<u8>) {
            if let Ok(ids) = Ids::decode(&bytes) {
                prop_assert!(ids.runs().windows(2).all(|pair| pair[0].end < pair[1].start));
                prop_assert!(ids.runs().iter().all(|run| run.start < run.end));
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        assert!(Ids::from_sorted([3]).shifted(-4).is_err());
        assert!(Ids::from_sorted([3]).shifted(i64::from(u32::MAX)).is_err());
    }
}
