//! The head: what was acknowledged and is not yet in a part, in memory.

use crate::select::Index;
use model::metric::HistogramSample;
use model::{Labels, Result, Sample, Series};
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

/// Passes on the hash that the labels carry: XXH3 has mixed it already.
#[derive(Default)]
pub(crate) struct PassHasher(u64);

impl Hasher for PassHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// What became of the samples that were put in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Inserted {
    /// Samples for a time that the series had already, with another value: the later one counts.
    pub replaced: u64,
    /// Series that the head did not know.
    pub new_series: u64,
}

/// Series by label set, with postings. Samples of a series are kept sorted by time, one per time.
#[derive(Default)]
pub(crate) struct Head {
    ids: HashMap<Labels, u32, BuildHasherDefault<PassHasher>>,
    series: Vec<HeadSeries>,
    /// Label name, then value, then the ids of the series that have it, ascending.
    postings: HashMap<Box<str>, HashMap<Box<str>, Vec<u32>>>,
    samples: u64,
    size_bytes: usize,
    times: Option<(i64, i64)>,
}

/// One series of the head.
pub(crate) struct HeadSeries {
    pub labels: Labels,
    /// In order of time; almost every sample is appended here.
    samples: Vec<Sample>,
    /// Samples that came late, none of a time in `samples`.
    late: BTreeMap<i64, f64>,
    pub histograms: BTreeMap<i64, HistogramSample>,
}

const SERIES_BYTES: usize = size_of::<HeadSeries>() + 64;
const POSTING_BYTES: usize = 8;
const LATE_BYTES: usize = 40;

impl Head {
    /// Puts samples in; of two with the same series and time the one that comes later stays.
    pub(crate) fn insert(&mut self, batch: &[Series]) -> Inserted {
        let mut inserted = Inserted::default();
        for series in batch {
            if series.samples.is_empty() && series.histograms.is_empty() {
                continue;
            }
            let id = match self.ids.get(&series.labels) {
                Some(id) => *id,
                None => {
                    inserted.new_series += 1;
                    self.add_series(&series.labels)
                }
            };
            let target = &mut self.series[id as usize];
            for sample in &series.samples {
                match target.put(*sample) {
                    Put::Appended => self.size_bytes += size_of::<Sample>(),
                    Put::Late => self.size_bytes += LATE_BYTES,
                    Put::Replaced { differs } => {
                        inserted.replaced += u64::from(differs);
                        continue;
                    }
                }
                self.samples += 1;
                widen(&mut self.times, sample.timestamp_ms);
            }
            for sample in &series.histograms {
                let size = size_of::<HistogramSample>()
                    + 16 * (sample.histogram.positive.len() + sample.histogram.negative.len());
                match target.histograms.insert(sample.timestamp_ms, sample.clone()) {
                    Some(old) => inserted.replaced += u64::from(old != *sample),
                    None => {
                        self.samples += 1;
                        self.size_bytes += size;
                        widen(&mut self.times, sample.timestamp_ms);
                    }
                }
            }
        }
        inserted
    }

    fn add_series(&mut self, labels: &Labels) -> u32 {
        let id = u32::try_from(self.series.len()).expect("the limit of series is far below 4 billion");
        self.ids.insert(labels.clone(), id);
        self.size_bytes += SERIES_BYTES + labels.size_bytes();
        for (name, value) in labels.iter() {
            // Looked up before they are copied: nearly all names and values are known.
            if !self.postings.contains_key(name) {
                self.postings.insert(name.into(), HashMap::new());
            }
            let values = self.postings.get_mut(name).expect("put in above");
            match values.get_mut(value) {
                Some(ids) => ids.push(id),
                None => {
                    values.insert(value.into(), vec![id]);
                    self.size_bytes += value.len() + 64;
                }
            }
            self.size_bytes += POSTING_BYTES;
        }
        self.series.push(HeadSeries {
            labels: labels.clone(),
            samples: Vec::new(),
            late: BTreeMap::new(),
            histograms: BTreeMap::new(),
        });
        id
    }

    /// Whether the head knows a series.
    pub(crate) fn contains(&self, labels: &Labels) -> bool {
        self.ids.contains_key(labels)
    }
    /// Samples held.
    pub(crate) fn samples(&self) -> u64 {
        self.samples
    }
    /// Series held.
    pub(crate) fn series_count(&self) -> u64 {
        self.series.len() as u64
    }
    /// Memory taken, roughly.
    pub(crate) fn size_bytes(&self) -> usize {
        self.size_bytes
    }
    /// The first and the last time, `None` without samples.
    pub(crate) fn times(&self) -> Option<(i64, i64)> {
        self.times
    }
    /// The series, by id.
    pub(crate) fn series(&self) -> &[HeadSeries] {
        &self.series
    }
}

fn widen(times: &mut Option<(i64, i64)>, time: i64) {
    *times = Some(times.map_or((time, time), |(first, last)| (first.min(time), last.max(time))));
}

enum Put {
    Appended,
    Late,
    Replaced { differs: bool },
}

impl HeadSeries {
    fn put(&mut self, sample: Sample) -> Put {
        let differs = |old: f64| old.to_bits() != sample.value.to_bits();
        match self.samples.last_mut() {
            Some(last) if sample.timestamp_ms == last.timestamp_ms => {
                let differs = differs(last.value);
                last.value = sample.value;
                Put::Replaced { differs }
            }
            Some(last) if sample.timestamp_ms < last.timestamp_ms => {
                if let Ok(at) = self
                    .samples
                    .binary_search_by_key(&sample.timestamp_ms, |s| s.timestamp_ms)
                {
                    let old = std::mem::replace(&mut self.samples[at].value, sample.value);
                    return Put::Replaced {
                        differs: differs(old),
                    };
                }
                match self.late.insert(sample.timestamp_ms, sample.value) {
                    Some(old) => Put::Replaced {
                        differs: differs(old),
                    },
                    None => Put::Late,
                }
            }
            _ => {
                self.samples.push(sample);
                Put::Appended
            }
        }
    }

    /// All times, those of one kind of sample after those of another.
    pub(crate) fn times(&self) -> impl Iterator<Item = i64> {
        let in_order = self.samples.iter().map(|s| s.timestamp_ms);
        in_order
            .chain(self.late.keys().copied())
            .chain(self.histograms.keys().copied())
    }
    /// Whether anything lies in a range of times, both included.
    pub(crate) fn has_any(&self, start_ms: i64, end_ms: i64) -> bool {
        start_ms <= end_ms
            && (!self.in_order(start_ms, end_ms).is_empty()
                || self.late.range(start_ms..=end_ms).next().is_some()
                || self.histograms.range(start_ms..=end_ms).next().is_some())
    }
    /// Appends the float samples of a range to columns, ascending.
    pub(crate) fn copy(&self, start_ms: i64, end_ms: i64, times: &mut Vec<i64>, values: &mut Vec<f64>) {
        if start_ms > end_ms {
            return;
        }
        let in_order = self.in_order(start_ms, end_ms);
        times.reserve(in_order.len());
        values.reserve(in_order.len());
        let mut push = |time: i64, value: f64| {
            times.push(time);
            values.push(value);
        };
        let mut late = self.late.range(start_ms..=end_ms).peekable();
        for sample in in_order {
            while let Some((time, value)) = late.next_if(|(time, _)| **time < sample.timestamp_ms) {
                push(*time, *value);
            }
            push(sample.timestamp_ms, sample.value);
        }
        late.for_each(|(time, value)| push(*time, *value));
    }
    /// The histograms of a range, ascending.
    pub(crate) fn histograms_in(&self, start_ms: i64, end_ms: i64) -> Vec<HistogramSample> {
        if start_ms > end_ms || self.histograms.is_empty() {
            return Vec::new();
        }
        self.histograms
            .range(start_ms..=end_ms)
            .map(|(_, h)| h.clone())
            .collect()
    }
    fn in_order(&self, start_ms: i64, end_ms: i64) -> &[Sample] {
        let from = self.samples.partition_point(|s| s.timestamp_ms < start_ms);
        let to = self.samples.partition_point(|s| s.timestamp_ms <= end_ms);
        &self.samples[from..to.max(from)]
    }
}

impl Index for Head {
    fn len(&self) -> u32 {
        self.series.len() as u32
    }
    fn postings(&self, name: &str, value: &str) -> Result<Vec<u32>> {
        Ok(self
            .postings
            .get(name)
            .and_then(|values| values.get(value))
            .cloned()
            .unwrap_or_default())
    }
    fn postings_where(&self, name: &str, wanted: &mut dyn FnMut(&str) -> bool) -> Result<Vec<u32>> {
        let values = self.postings.get(name).into_iter().flatten();
        Ok(values
            .filter(|(value, _)| wanted(value))
            .flat_map(|(_, ids)| ids)
            .copied()
            .collect())
    }
    fn labels(&self, id: u32) -> Result<Labels> {
        Ok(self.series[id as usize].labels.clone())
    }
    fn with_value(&self, id: u32, name: &str, visit: &mut dyn FnMut(&str)) -> Result<()> {
        self.series[id as usize]
            .labels
            .get(name)
            .into_iter()
            .for_each(visit);
        Ok(())
    }
    fn names(&self) -> Result<Vec<String>> {
        let mut names: Vec<String> = self.postings.keys().map(ToString::to_string).collect();
        names.sort_unstable();
        Ok(names)
    }
    fn values(&self, name: &str) -> Result<Vec<String>> {
        let values = self.postings.get(name).into_iter().flat_map(|v| v.keys());
        let mut values: Vec<String> = values.map(ToString::to_string).collect();
        values.sort_unstable();
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_series_is_a_map_by_time(samples in prop::collection::vec((0i64..60, 0u8..4), 0..80), start in 0i64..60, len in -5i64..60) {
            let labels = Labels::from_pairs([("a", "b")]);
            let (mut head, mut map, mut replaced) = (Head::default(), BTreeMap::new(), 0);
            for (timestamp_ms, v) in samples {
                let sample = Sample { timestamp_ms, value: f64::from(v) };
                let series = Series { labels: labels.clone(), samples: vec![sample], ..Series::default() };
                replaced += head.insert(&[series]).replaced;
                if let Some(old) = map.insert(timestamp_ms, sample.value) {
                    replaced -= u64::from(old != sample.value);
                }
            }
            prop_assert_eq!(replaced, 0, "as many replaced as in the map");
            prop_assert_eq!(head.samples(), map.len() as u64);
            prop_assert_eq!(head.times(), map.keys().next().map(|first| (*first, *map.keys().last().unwrap())));
            let (mut times, mut values) = (Vec::new(), Vec::new());
            if let Some(series) = head.series().first() {
                series.copy(start, start + len, &mut times, &mut values);
                prop_assert_eq!(series.has_any(start, start + len), !times.is_empty());
            }
            let expected: Vec<_> = map.into_iter().filter(|(t, _)| (start..=start + len).contains(t)).collect();
            prop_assert_eq!(times.into_iter().zip(values).collect::<Vec<_>>(), expected);
        }
    }
}
