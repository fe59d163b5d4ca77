//! Windows made anew of samples of which some have gone since: what was said of those stays.

use super::windows::{Windows, end_of, roll_up};
use super::{Column, column_in_file, end_ms};
use crate::samples::{Run, SeriesId};
use model::metric::is_stale;
use std::collections::BTreeMap;

/// The windows of one series as they were made before, by column.
#[derive(Debug, Default)]
pub(crate) struct Before {
    columns: [Run; Column::ALL.len()],
}

impl Before {
    /// Where a column is read to.
    pub(crate) fn column(&mut self, id_in_file: SeriesId) -> &mut Run {
        &mut self.columns[column_in_file(id_in_file) as usize]
    }
    pub(crate) fn clear(&mut self) {
        self.columns.iter_mut().for_each(Run::clear);
    }
    pub(crate) fn is_empty(&self) -> bool {
        self.columns.iter().all(Run::is_empty)
    }
    /// The columns, in the order of their numbers.
    pub(crate) fn columns(&self) -> impl Iterator<Item = (Column, &Run)> {
        Column::ALL.into_iter().zip(&self.columns)
    }
    /// The histograms.
    pub(crate) fn histograms(&self) -> &Run {
        &self.columns[Column::Histograms as usize]
    }

    /// Makes windows of samples as [`roll_up`] does, but keeps those that were made of more samples than there are now.
    /// A new window between old ones takes its growth from the next old one, which grew since the one before.
    pub(crate) fn mend(
        &self,
        samples: impl Iterator<Item = (i64, f64)>,
        before: Option<f64>,
        resolution_ms: i64,
    ) -> Windows {
        let mut now: BTreeMap<i64, Vec<(i64, f64)>> = BTreeMap::new();
        for sample in samples {
            now.entry(end_of(sample.0, resolution_ms))
                .or_default()
                .push(sample);
        }
        let counts = &self.columns[Column::Count as usize];
        let ended = &self.columns[Column::Ended as usize];
        let mut ends: Vec<i64> = counts
            .times
            .iter()
            .chain(&ended.times)
            .map(|t| end_ms(*t))
            .collect();
        ends.extend(now.keys());
        ends.sort_unstable();
        ends.dedup();
        let (mut windows, mut last, mut taken) = (Windows::default(), before, 0.0);
        for end in ends {
            let place = counts.times.binary_search(&super::stored_ms(end)).ok();
            let was = place.map(|at| counts.values[at]);
            let samples = now.get(&end).map(Vec::as_slice);
            let is = samples.map(|all| all.iter().filter(|s| !is_stale(s.1)).count() as f64);
            if is.is_none() || was > is {
                self.keep(end, place, taken, &mut windows);
                taken = 0.0;
            } else {
                windows.append(roll_up(
                    samples.unwrap_or_default().iter().copied(),
                    last,
                    resolution_ms,
                ));
                let grown = windows.last_of(Column::Increase).filter(|_| is > Some(0.0));
                taken = if was.is_some() {
                    0.0
                } else {
                    taken + grown.unwrap_or_default()
                };
            }
            last = windows.last_of(Column::Last).filter(|v| v.is_finite()).or(last);
        }
        windows
    }

    /// Adds the old window that ends at a time.
    fn keep(&self, end: i64, place: Option<usize>, taken: f64, windows: &mut Windows) {
        let ended = &self.columns[Column::Ended as usize];
        let has_ended = ended.times.binary_search(&super::stored_ms(end)).is_ok();
        let columns = place.map(|at| {
            let of = |column: Column| {
                let values = &self.columns[column as usize].values;
                // Columns of one file that are not of one length are damaged.
                let value = values.get(at).copied().unwrap_or(f64::NAN);
                match column {
                    Column::Increase if taken > 0.0 => (value - taken).max(0.0),
                    _ => value,
                }
            };
            Column::OF_SAMPLES.map(of)
        });
        windows.add(end, columns, has_ended);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollup::id_in_file;

    const WIDTH: i64 = 10;

    fn made(samples: &[(i64, f64)]) -> Before {
        let mut before = Before::default();
        for (column, run) in roll_up(samples.iter().copied(), None, WIDTH).into_columns() {
            *before.column(id_in_file(3, column).unwrap()) = run;
        }
        before
    }

    /// Ends, counts, last values and growth.
    fn check(was: &[(i64, f64)], is: &[(i64, f64)], expected: &[(i64, f64, f64, f64)]) {
        let mended = made(was).mend(is.iter().copied(), None, WIDTH);
        let columns: BTreeMap<Column, Run> = mended.into_columns().collect();
        let of = |column, at: usize| columns[&column].values[at];
        let found: Vec<_> = (0..columns[&Column::Count].times.len())
            .map(|at| {
                let end = end_ms(columns[&Column::Count].times[at]);
                (
                    end,
                    of(Column::Count, at),
                    of(Column::Last, at),
                    of(Column::Increase, at),
                )
            })
            .collect();
        assert_eq!(found, expected, "{was:?} {is:?}");
    }

    #[test]
    fn windows_of_more_samples_stay() {
        let was = [(1, 1.0), (5, 2.0), (21, 5.0), (22, 7.0)];
        let old = [(10, 2.0, 2.0, 1.0), (30, 2.0, 7.0, 5.0)];
        check(&was, &[], &old);
        check(&was, &was, &old);
        // One of two came again.
        check(&was, &[(5, 9.0)], &old);
        // More than there was: what is there now counts.
        check(
            &was,
            &[(1, 1.0), (5, 2.0), (6, 4.0)],
            &[(10, 3.0, 4.0, 3.0), old[1]],
        );
        // Between the two, and the whole growth stays what it was.
        check(
            &was,
            &[(15, 4.0)],
            &[old[0], (20, 1.0, 4.0, 2.0), (30, 2.0, 7.0, 3.0)],
        );
        check(&was, &[(35, 8.0)], &[old[0], old[1], (40, 1.0, 8.0, 1.0)]);
        check(&[], &[(15, 4.0)], &[(20, 1.0, 4.0, 0.0)]);
    }

    #[test]
    fn a_marker_alone_stays_too() {
        let stale = model::metric::stale_nan();
        let before = made(&[(1, 1.0), (12, stale)]);
        let mended = before.mend([(25, 3.0)].into_iter(), None, WIDTH);
        let columns: BTreeMap<Column, Run> = mended.into_columns().collect();
        assert_eq!(columns[&Column::Ended].times, [19]);
        assert_eq!(columns[&Column::Count].times, [9, 29]);
        assert_eq!(columns[&Column::Increase].values, [0.0, 2.0]);
    }
}
