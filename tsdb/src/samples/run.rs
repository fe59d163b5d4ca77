//! The data of one series in one partition of time, and how newer data joins older.

use model::Exemplar;
use model::metric::HistogramSample;

/// What one series has in one partition, in columns.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Run {
    /// Times of the float samples: ascending, each once.
    pub times: Vec<i64>,
    /// As many values.
    pub values: Vec<f64>,
    /// When the counter began: from the sample at the first time on at the second; 0 where nobody said. A step
    /// function, ascending.
    pub starts: Vec<(i64, i64)>,
    /// Native histograms, ascending, one per time.
    pub histograms: Vec<HistogramSample>,
    /// Exemplars, ascending.
    pub exemplars: Vec<Exemplar>,
}

impl Run {
    /// Whether there is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.times.is_empty() && self.histograms.is_empty() && self.exemplars.is_empty()
    }
    /// Float samples and histograms.
    pub(crate) fn samples(&self) -> u64 {
        (self.times.len() + self.histograms.len()) as u64
    }
    /// Takes everything out and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.times.clear();
        self.values.clear();
        self.starts.clear();
        self.histograms.clear();
        self.exemplars.clear();
    }
    /// Keeps what is at times that `keep` wants.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(i64) -> bool) {
        let mut kept = 0;
        for i in 0..self.times.len() {
            if keep(self.times[i]) {
                self.times[kept] = self.times[i];
                self.values[kept] = self.values[i];
                kept += 1;
            }
        }
        self.times.truncate(kept);
        self.values.truncate(kept);
        self.histograms.retain(|h| keep(h.timestamp_ms));
        self.exemplars.retain(|e| keep(e.timestamp_ms));
    }
    /// When the counter behind the sample at a time began; 0 where nobody said.
    #[cfg(test)]
    pub(crate) fn start_at(&self, time_ms: i64) -> i64 {
        let after = self.starts.partition_point(|(from, _)| *from <= time_ms);
        after.checked_sub(1).map_or(0, |step| self.starts[step].1)
    }

    /// Adds newer data, which supersedes what is there at the same times. Returns how many samples had another value.
    pub(crate) fn add_newer(&mut self, newer: &mut Self) -> u64 {
        let replaced = self.add_floats(&newer.times, &newer.values, &newer.starts)
            + add_histograms(&mut self.histograms, &mut newer.histograms);
        add_exemplars(&mut self.exemplars, &mut newer.exemplars);
        replaced
    }

    fn add_floats(&mut self, times: &[i64], values: &[f64], starts: &[(i64, i64)]) -> u64 {
        let Some(first) = times.first().copied() else {
            return 0;
        };
        if self.times.last().is_some_and(|last| *last >= first) {
            return self.interleave(times, values, starts);
        }
        self.append_starts(first, starts);
        self.times.extend_from_slice(times);
        self.values.extend_from_slice(values);
        0
    }

    /// The steps of samples that follow what is there, the first one at `first`.
    pub(super) fn append_starts(&mut self, first: i64, starts: &[(i64, i64)]) {
        if self.starts.is_empty() && starts.is_empty() {
            return;
        }
        let known = self.starts.partition_point(|s| s.0 < first);
        self.starts.truncate(known);
        let before = starts.partition_point(|s| s.0 <= first);
        let start = before.checked_sub(1).map_or(0, |i| starts[i].1);
        push_step(&mut self.starts, first, start);
        for (time, start) in &starts[before..] {
            push_step(&mut self.starts, *time, *start);
        }
    }

    /// Newer samples among older ones.
    fn interleave(&mut self, times: &[i64], values: &[f64], starts: &[(i64, i64)]) -> u64 {
        let has_starts = !self.starts.is_empty() || !starts.is_empty();
        // Without starts, what lies before the newer ones stays as it is.
        let from = if has_starts {
            0
        } else {
            self.times.partition_point(|t| *t < times[0])
        };
        let (old_times, old_values) = (self.times.split_off(from), self.values.split_off(from));
        let old_starts = std::mem::take(&mut self.starts);
        let (mut older, mut newer) = (Starts::new(&old_starts), Starts::new(starts));
        let (mut old, mut new, mut replaced) = (0, 0, 0);
        while old < old_times.len() || new < times.len() {
            let is_newer = old == old_times.len() || (new < times.len() && times[new] <= old_times[old]);
            let (time, value) = if is_newer {
                (times[new], values[new])
            } else {
                (old_times[old], old_values[old])
            };
            if has_starts {
                let start = if is_newer { newer.at(time) } else { older.at(time) };
                push_step(&mut self.starts, time, start);
            }
            if is_newer && old_times.get(old) == Some(&time) {
                replaced += u64::from(old_values[old].to_bits() != value.to_bits());
                old += 1;
            }
            old += usize::from(!is_newer);
            new += usize::from(is_newer);
            self.times.push(time);
            self.values.push(value);
        }
        replaced
    }
}

/// A step function that is asked for ascending times.
struct Starts<'a> {
    steps: &'a [(i64, i64)],
    start: i64,
}

impl<'a> Starts<'a> {
    fn new(steps: &'a [(i64, i64)]) -> Self {
        Self { steps, start: 0 }
    }
    fn at(&mut self, time: i64) -> i64 {
        while let Some(((from, start), rest)) = self.steps.split_first()
            && *from <= time
        {
            (self.start, self.steps) = (*start, rest);
        }
        self.start
    }
}

/// Adds a step, unless it changes nothing.
pub(super) fn push_step(steps: &mut Vec<(i64, i64)>, time: i64, start: i64) {
    if steps.last().map_or(0, |s| s.1) != start {
        steps.push((time, start));
    }
}

pub(super) fn add_histograms(into: &mut Vec<HistogramSample>, newer: &mut Vec<HistogramSample>) -> u64 {
    let Some(first) = newer.first() else { return 0 };
    let from = into.partition_point(|h| h.timestamp_ms < first.timestamp_ms);
    let mut replaced = 0;
    let mut old = into.split_off(from).into_iter().peekable();
    for sample in newer.drain(..) {
        while let Some(h) = old.next_if(|h| h.timestamp_ms < sample.timestamp_ms) {
            into.push(h);
        }
        if let Some(h) = old.next_if(|h| h.timestamp_ms == sample.timestamp_ms) {
            replaced += u64::from(h != sample);
        }
        into.push(sample);
    }
    into.extend(old);
    replaced
}

/// Exemplars of one time may be several; equal ones stay once.
pub(super) fn add_exemplars(into: &mut Vec<Exemplar>, newer: &mut Vec<Exemplar>) {
    for exemplar in newer.drain(..) {
        let to = into.partition_point(|e| e.timestamp_ms <= exemplar.timestamp_ms);
        let same_time = into[..to]
            .iter()
            .rev()
            .take_while(|e| e.timestamp_ms == exemplar.timestamp_ms);
        let is_there =
            |e: &Exemplar| e.value.to_bits() == exemplar.value.to_bits() && e.labels == exemplar.labels;
        if !{ same_time }.any(is_there) {
            into.insert(to, exemplar);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Labels;
    use model::metric::Histogram;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    type Point = (u8, i64);

    proptest! {
        #[test]
        fn the_newer_sample_wins(runs in prop::collection::vec(
            (prop::collection::btree_map(0i64..40, (0u8..3, 0i64..3), 0..20), prop::bool::ANY), 0..6)) {
            let (mut all, mut map, mut replaced) = (Run::default(), BTreeMap::<i64, Point>::new(), 0);
            for (mut points, has_starts) in runs {
                if !has_starts {
                    points.values_mut().for_each(|p| p.1 = 0);
                }
                let mut run = Run::default();
                for (time, (value, start)) in &points {
                    run.times.push(*time);
                    run.values.push(f64::from(*value));
                    push_step(&mut run.starts, *time, *start);
                    let histogram = Histogram { count: f64::from(*value), ..Histogram::default() };
                    run.histograms.push(HistogramSample { timestamp_ms: *time, start_timestamp_ms: 0, histogram });
                    run.exemplars.push(Exemplar { labels: Labels::empty(), timestamp_ms: *time, value: 0.0 });
                }
                replaced -= all.add_newer(&mut run) as i64;
                for (time, point) in points {
                    replaced += map.insert(time, point).map_or(0, |old| 2 * i64::from(old.0 != point.0));
                }
            }
            prop_assert_eq!(replaced, 0);
            let got: Vec<_> = all.times.iter().zip(&all.values).map(|(t, v)| (*t, (*v as u8, all.start_at(*t)))).collect();
            prop_assert_eq!(got, map.clone().into_iter().collect::<Vec<_>>());
            let got: Vec<_> = all.histograms.iter().map(|h| (h.timestamp_ms, h.histogram.count as u8)).collect();
            prop_assert_eq!(got, map.iter().map(|(t, p)| (*t, p.0)).collect::<Vec<_>>());
            let got: Vec<_> = all.exemplars.iter().map(|e| e.timestamp_ms).collect();
            prop_assert_eq!(got, map.keys().copied().collect::<Vec<_>>());
            prop_assert!(all.starts.is_sorted_by(|a, b| a.0 < b.0 && a.1 != b.1));
            all.retain(|t| t % 2 == 0);
            prop_assert_eq!(all.times, map.keys().copied().filter(|t| t % 2 == 0).collect::<Vec<_>>());
        }
    }
}
