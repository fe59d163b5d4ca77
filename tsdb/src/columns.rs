//! The samples of one series, put together from several sources.

use crate::part::{ChunkKind, ChunkReader, ChunkRef};
use model::metric::HistogramSample;
use model::{Error, Result};

/// Columns in order of time, one sample per time. Sources are added from old to new: the newer sample wins.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    pub times: Vec<i64>,
    pub values: Vec<f64>,
    pub histograms: Vec<HistogramSample>,
    /// Samples that a newer one with another value superseded.
    pub replaced: u64,
}

/// Memory that is used again from series to series.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    times: Vec<i64>,
    values: Vec<f64>,
}

impl Columns {
    pub(crate) fn is_empty(&self) -> bool {
        self.times.is_empty() && self.histograms.is_empty()
    }
    pub(crate) fn len(&self) -> u64 {
        (self.times.len() + self.histograms.len()) as u64
    }

    /// Adds float samples, ascending, that supersede what is there.
    pub(crate) fn add_floats(&mut self, times: &[i64], values: &[f64]) {
        let Some(first) = times.first() else { return };
        let from = self.times.partition_point(|t| t < first);
        if from == self.times.len() {
            self.times.extend_from_slice(times);
            self.values.extend_from_slice(values);
            return;
        }
        let (old_times, old_values) = (self.times.split_off(from), self.values.split_off(from));
        let mut old = old_times.into_iter().zip(old_values).peekable();
        for (time, value) in times.iter().zip(values) {
            while let Some((t, v)) = old.next_if(|(t, _)| t < time) {
                self.push(t, v);
            }
            if let Some((_, v)) = old.next_if(|(t, _)| t == time) {
                self.replaced += u64::from(v.to_bits() != value.to_bits());
            }
            self.push(*time, *value);
        }
        old.for_each(|(t, v)| self.push(t, v));
    }

    /// Adds histogram samples, ascending, that supersede what is there.
    pub(crate) fn add_histograms(&mut self, samples: Vec<HistogramSample>) {
        let Some(first) = samples.first() else { return };
        let from = self
            .histograms
            .partition_point(|h| h.timestamp_ms < first.timestamp_ms);
        let mut old = self.histograms.split_off(from).into_iter().peekable();
        for sample in samples {
            while let Some(h) = old.next_if(|h| h.timestamp_ms < sample.timestamp_ms) {
                self.histograms.push(h);
            }
            if let Some(h) = old.next_if(|h| h.timestamp_ms == sample.timestamp_ms) {
                self.replaced += u64::from(h != sample);
            }
            self.histograms.push(sample);
        }
        self.histograms.extend(old);
    }

    /// Adds the chunks of a series of a part, as far as they lie in a range. `damaged` decides about a chunk that
    /// cannot be read: to go on without it, or to fail.
    pub(crate) fn add_chunks(
        &mut self,
        reader: &mut ChunkReader,
        chunks: &[ChunkRef],
        range: (i64, i64),
        scratch: &mut Scratch,
        damaged: &mut dyn FnMut(Error) -> Result<()>,
    ) -> Result<()> {
        for chunk in chunks
            .iter()
            .filter(|c| c.min_ms <= range.1 && c.max_ms >= range.0)
        {
            let added = match chunk.kind {
                ChunkKind::Histograms => reader.histograms(chunk, range).map(|h| self.add_histograms(h)),
                // Nearly always the chunk follows what is there, and is decoded in place.
                ChunkKind::Floats if self.times.last().is_none_or(|last| *last < chunk.min_ms) => {
                    reader.floats(chunk, range, &mut self.times, &mut self.values)
                }
                ChunkKind::Floats => {
                    scratch.times.clear();
                    scratch.values.clear();
                    reader
                        .floats(chunk, range, &mut scratch.times, &mut scratch.values)
                        .map(|()| self.add_floats(&scratch.times, &scratch.values))
                }
            };
            added.or_else(&mut *damaged)?;
        }
        Ok(())
    }

    fn push(&mut self, time: i64, value: f64) {
        self.times.push(time);
        self.values.push(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn the_newer_sample_wins(runs in prop::collection::vec(prop::collection::btree_map(0i64..50, 0u8..3, 0..20), 0..6)) {
            let (mut columns, mut map, mut replaced) = (Columns::default(), BTreeMap::new(), 0);
            for run in runs {
                let times: Vec<i64> = run.keys().copied().collect();
                let values: Vec<f64> = run.values().map(|v| f64::from(*v)).collect();
                columns.add_floats(&times, &values);
                columns.add_histograms(run.iter().map(|(t, v)| HistogramSample {
                    start_timestamp_ms: 0,
                    timestamp_ms: *t,
                    histogram: model::metric::Histogram { count: f64::from(*v), ..Default::default() },
                }).collect());
                for (t, v) in run {
                    replaced += map.insert(t, v).map_or(0, |old| 2 * u64::from(old != v));
                }
            }
            let floats: Vec<_> = columns.times.iter().copied().zip(columns.values.iter().map(|v| *v as u8)).collect();
            let histograms: Vec<_> = columns.histograms.iter().map(|h| (h.timestamp_ms, h.histogram.count as u8)).collect();
            let expected: Vec<_> = map.into_iter().collect();
            prop_assert_eq!(&floats, &expected);
            prop_assert_eq!(&histograms, &expected);
            prop_assert_eq!(columns.replaced, replaced);
        }
    }
}
