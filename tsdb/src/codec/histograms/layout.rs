//! What histograms of a series have in common: schema, buckets, bounds.

use crate::bytes::{Cursor, bad, put_float, put_int, put_uint};
use crate::record::histogram::{hint_of_byte, hint_to_byte};
use model::Result;
use model::metric::{Histogram, HistogramSample, ResetHint};
use std::collections::HashMap;

/// Buckets of all layouts of a column together, as far as a reader goes along.
const MAX_LAYOUT_BUCKETS: usize = super::MAX_BUCKETS;

/// Everything of a histogram but what it counted. Floats as bits, so that equal means the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Layout {
    reset_hint: ResetHint,
    schema: i32,
    zero_threshold: u64,
    positive: Vec<i32>,
    negative: Vec<i32>,
    custom_bounds: Vec<u64>,
}

/// The layouts of samples in the order in which they occur first, and the index of each sample's.
pub(super) fn of(samples: &[HistogramSample]) -> (Vec<Layout>, Vec<usize>) {
    let mut layouts: Vec<Layout> = Vec::new();
    let mut known = HashMap::new();
    let mut indexes: Vec<usize> = Vec::with_capacity(samples.len());
    for sample in samples {
        let last = indexes
            .last()
            .filter(|index| layouts[**index].is_of(&sample.histogram));
        let index = last.copied().unwrap_or_else(|| {
            let layout = Layout::of(&sample.histogram);
            *known.entry(layout.clone()).or_insert_with(|| {
                layouts.push(layout);
                layouts.len() - 1
            })
        });
        indexes.push(index);
    }
    (layouts, indexes)
}

/// Reads layouts, with their count in front.
pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<Vec<Layout>> {
    let count = cursor.count(13)?;
    let mut left = MAX_LAYOUT_BUCKETS;
    (0..count).map(|_| Layout::read(cursor, &mut left)).collect()
}

/// Indexes of layouts that are there.
pub(super) fn check(indexes: &[i64], layouts: usize) -> Result<Vec<usize>> {
    let check = |index: &i64| usize::try_from(*index).ok().filter(|index| *index < layouts);
    let indexes: Option<Vec<usize>> = indexes.iter().map(check).collect();
    indexes.ok_or_else(|| bad("a histogram's layout is not there"))
}

impl Layout {
    fn of(histogram: &Histogram) -> Self {
        let indexes = |buckets: &[(i32, f64)]| buckets.iter().map(|(index, _)| *index).collect();
        Self {
            reset_hint: histogram.reset_hint,
            schema: histogram.schema,
            zero_threshold: histogram.zero_threshold.to_bits(),
            positive: indexes(&histogram.positive),
            negative: indexes(&histogram.negative),
            custom_bounds: histogram.custom_bounds.iter().map(|b| b.to_bits()).collect(),
        }
    }
    fn is_of(&self, histogram: &Histogram) -> bool {
        let same = |indexes: &[i32], buckets: &[(i32, f64)]| {
            indexes.iter().eq(buckets.iter().map(|(index, _)| index))
        };
        self.reset_hint == histogram.reset_hint
            && self.schema == histogram.schema
            && self.zero_threshold == histogram.zero_threshold.to_bits()
            && same(&self.positive, &histogram.positive)
            && same(&self.negative, &histogram.negative)
            && self
                .custom_bounds
                .iter()
                .copied()
                .eq(histogram.custom_bounds.iter().map(|b| b.to_bits()))
    }
    /// How many buckets and bounds a histogram has.
    pub(super) fn size(&self) -> usize {
        self.positive.len() + self.negative.len() + self.custom_bounds.len()
    }
    /// A histogram with the counts of its buckets.
    pub(super) fn histogram(&self, counts: &mut impl Iterator<Item = f64>) -> Histogram {
        let positive = self.positive.iter().copied().zip(&mut *counts).collect();
        let negative = self.negative.iter().copied().zip(&mut *counts).collect();
        Histogram {
            schema: self.schema,
            zero_threshold: f64::from_bits(self.zero_threshold),
            positive,
            negative,
            custom_bounds: self.custom_bounds.iter().map(|b| f64::from_bits(*b)).collect(),
            reset_hint: self.reset_hint,
            ..Histogram::default()
        }
    }
    /// Flags, schema and threshold; twice spans of consecutive indexes; bounds.
    pub(super) fn write(&self, into: &mut Vec<u8>) {
        into.push(hint_to_byte(self.reset_hint));
        put_int(into, i64::from(self.schema));
        put_float(into, f64::from_bits(self.zero_threshold));
        for indexes in [&self.positive, &self.negative] {
            let spans = || indexes.chunk_by(|a, b| a.checked_add(1) == Some(*b));
            put_uint(into, spans().count() as u64);
            let mut next = 0;
            for span in spans() {
                put_int(into, i64::from(span[0]) - next);
                put_uint(into, span.len() as u64);
                next = i64::from(span[0]) + span.len() as i64;
            }
        }
        put_uint(into, self.custom_bounds.len() as u64);
        self.custom_bounds
            .iter()
            .for_each(|bound| put_float(into, f64::from_bits(*bound)));
    }
    /// Reads what [`Self::write`] wrote; buckets are taken from what is left.
    fn read(cursor: &mut Cursor<'_>, left: &mut usize) -> Result<Self> {
        let flags = cursor.byte()?;
        let schema = i32::try_from(cursor.int()?).map_err(|_| bad("a schema is too large"))?;
        let zero_threshold = cursor.float()?.to_bits();
        let mut indexes = || -> Result<Vec<i32>> {
            let mut indexes = Vec::new();
            let mut next = 0i64;
            for _ in 0..cursor.count(2)? {
                let first = next.wrapping_add(cursor.int()?);
                let length = cursor.uint()?;
                *left = usize::try_from(length)
                    .ok()
                    .and_then(|length| left.checked_sub(length))
                    .ok_or_else(|| bad("histograms have too many buckets"))?;
                next = first.wrapping_add(length as i64);
                let too_large = |_| bad("a histogram's index is too large");
                let span = i32::try_from(first).map_err(too_large)?
                    ..=i32::try_from(next.wrapping_sub(1)).map_err(too_large)?;
                indexes.extend(span);
            }
            Ok(indexes)
        };
        let (positive, negative) = (indexes()?, indexes()?);
        let bounds = cursor.count(8)?;
        let custom_bounds = (0..bounds)
            .map(|_| Ok(cursor.float()?.to_bits()))
            .collect::<Result<_>>()?;
        Ok(Self {
            reset_hint: hint_of_byte(flags),
            schema,
            zero_threshold,
            positive,
            negative,
            custom_bounds,
        })
    }
}

/// The columns of bucket counts: one for each index above and below zero that any layout has. An index that occurs
/// more than once in a layout has as many.
#[derive(Debug)]
pub(super) struct Slots {
    /// Of each layout, the column of each bucket.
    by_layout: Vec<Vec<usize>>,
    count: usize,
}

impl Slots {
    pub(super) fn of(layouts: &[Layout]) -> Self {
        let mut known = HashMap::new();
        let by_layout = layouts.iter().map(|layout| {
            let mut seen: HashMap<(bool, i32), u32> = HashMap::new();
            let sides = [(true, &layout.positive), (false, &layout.negative)];
            let buckets = sides
                .into_iter()
                .flat_map(|(above, indexes)| indexes.iter().map(move |index| (above, *index)));
            let slots = buckets.map(|bucket| {
                let occurrence = seen.entry(bucket).or_default();
                *occurrence += 1;
                let next = known.len();
                *known.entry((bucket, *occurrence)).or_insert(next)
            });
            slots.collect()
        });
        Self {
            by_layout: by_layout.collect(),
            count: known.len(),
        }
    }
    pub(super) fn len(&self) -> usize {
        self.count
    }
    pub(super) fn of_layout(&self, layout: usize) -> &[usize] {
        &self.by_layout[layout]
    }
    /// How many samples have each slot.
    pub(super) fn samples(&self, indexes: &[usize]) -> Vec<usize> {
        let mut samples = vec![0; self.count];
        for index in indexes {
            self.by_layout[*index].iter().for_each(|slot| samples[*slot] += 1);
        }
        samples
    }
}
