//! Sets of series' ids, as runs of consecutive ones: ids are given out in the order in which series appear, so what
//! belongs together mostly lies together.

use crate::bytes::{Cursor, bad, put_uint};
use crate::samples::SeriesId;
use model::Result;
use std::ops::Range;

/// Ids, ascending and unique.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct IdSet {
    /// Never empty ones, none that touches the next.
    runs: Vec<Range<SeriesId>>,
}

impl IdSet {
    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }
    /// How many ids.
    pub(crate) fn len(&self) -> u64 {
        self.runs.iter().map(|r| r.end - r.start).sum()
    }
    pub(crate) fn contains(&self, id: SeriesId) -> bool {
        let after = self.runs.partition_point(|r| r.start <= id);
        after.checked_sub(1).is_some_and(|at| id < self.runs[at].end)
    }
    /// All of them, ascending.
    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = SeriesId> + '_ {
        self.runs.iter().cloned().flatten()
    }
    /// What is in this set and not in the other.
    pub(crate) fn without(&self, other: &Self) -> Self {
        let mut left = Vec::with_capacity(self.runs.len());
        for run in &self.runs {
            let mut start = run.start;
            let first = other.runs.partition_point(|gone| gone.end <= start);
            for gone in other.runs[first..].iter().take_while(|gone| gone.start < run.end) {
                if start < gone.start {
                    left.push(start..gone.start);
                }
                start = gone.end;
            }
            if start < run.end {
                left.push(start..run.end);
            }
        }
        Self { runs: left }
    }
    /// What is in either.
    pub(crate) fn with(self, other: &Self) -> Self {
        let mut runs = self.runs;
        runs.extend_from_slice(&other.runs);
        Self::from_runs(runs)
    }
    /// Appends the set as it stands in a file.
    pub(crate) fn encode(&self, into: &mut Vec<u8>) {
        put_uint(into, self.runs.len() as u64);
        let mut end = 0;
        for run in &self.runs {
            put_uint(into, run.start - end);
            put_uint(into, run.end - run.start);
            end = run.end;
        }
    }
    /// Reads what [`IdSet::encode`] wrote.
    pub(crate) fn decode(cursor: &mut Cursor<'_>) -> Result<Self> {
        let count = cursor.count(2)?;
        let (mut runs, mut end) = (Vec::with_capacity(count), 0u64);
        for number in 0..count {
            let (gap, len) = (cursor.uint()?, cursor.uint()?);
            let run = end
                .checked_add(gap)
                .and_then(|start| Some(start..start.checked_add(len)?));
            let run = run.filter(|_| len > 0 && (gap > 0 || number == 0));
            let run = run.ok_or_else(|| bad("a list of series does not ascend"))?;
            end = run.end;
            runs.push(run);
        }
        Ok(Self { runs })
    }

    /// Runs in any order, which may overlap.
    fn from_runs(mut runs: Vec<Range<SeriesId>>) -> Self {
        runs.sort_unstable_by_key(|r| r.start);
        let mut set = Self::default();
        for run in runs {
            match set.runs.last_mut() {
                Some(last) if run.start <= last.end => last.end = last.end.max(run.end),
                _ => set.runs.push(run),
            }
        }
        set
    }
}

impl FromIterator<SeriesId> for IdSet {
    /// Of ids in any order, ascending ones best.
    fn from_iter<I: IntoIterator<Item = SeriesId>>(ids: I) -> Self {
        let (mut runs, mut is_sorted) = (Vec::<Range<SeriesId>>::new(), true);
        for id in ids {
            match runs.last_mut() {
                Some(last) if last.end == id => last.end += 1,
                last => {
                    is_sorted &= last.is_none_or(|last| last.end < id);
                    runs.push(id..id + 1);
                }
            }
        }
        if is_sorted {
            Self { runs }
        } else {
            Self::from_runs(runs)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn it_is_a_set(a in prop::collection::vec(0u64..40, 0..30), b in prop::collection::btree_set(0u64..40, 0..30)) {
            let (ours, other): (IdSet, IdSet) = (a.iter().copied().collect(), b.iter().copied().collect());
            let model: BTreeSet<u64> = a.into_iter().collect();
            prop_assert_eq!(ours.len(), model.len() as u64);
            prop_assert_eq!(ours.is_empty(), model.is_empty());
            prop_assert!((0..41).all(|id| ours.contains(id) == model.contains(&id)));
            let ids = |set: &IdSet| set.iter().collect::<Vec<_>>();
            prop_assert_eq!(ids(&ours), model.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(ids(&ours.without(&other)), model.difference(&b).copied().collect::<Vec<_>>());
            prop_assert_eq!(ids(&ours.clone().with(&other)), model.union(&b).copied().collect::<Vec<_>>());
            let mut bytes = Vec::new();
            ours.encode(&mut bytes);
            prop_assert_eq!(IdSet::decode(&mut Cursor::new(&bytes)).unwrap(), ours);
        }

        #[test]
        fn garbage_is_an_error_and_no_panic(bytes: Vec<u8>) {
            if let Ok(set) = IdSet::decode(&mut Cursor::new(&bytes)) {
                prop_assert!(set.runs.windows(2).all(|w| w[0].end < w[1].start));
            }
        }
    }
}
