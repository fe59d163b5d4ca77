//! Writing one segment out of several sources, and choosing which segments to merge.
//!
//! Pairs go by in the order of their text, series in the order of their ids. What stays in memory meanwhile: the ids
//! that are kept, as runs; a number for each pair of each source; the index of the new segment; a few pages.

use super::ids::{Ids, OFFSETS};
use super::segment::SegmentWriter;
use super::source::{Damage, Pair, PairText, SeriesRef, Source};
use super::{SegmentEntry, SegmentMeta, SeriesId};
use crate::bytes::bad;
use model::{Error, Fs, Result};
use std::path::Path;
use std::sync::Arc;
use storage::layout;

/// A merge makes no segment of more series.
pub(super) const MAX_SERIES: u64 = 2_000_000;
/// So many neighbours of about the same size become one, …
const MIN_MERGED: usize = 4;
/// … and not more than so many at a time.
const MAX_MERGED: usize = 8;
/// Segments of fewer series are all of the smallest size.
const SMALLEST: u64 = 1024;
/// Series that are brought into the order of their ids at a time.
const PIECE: usize = 4096;
/// The number of a pair that no kept series has.
const GONE: u32 = u32::MAX;

/// What goes into a merge.
pub(super) struct Input<'a> {
    pub source: &'a dyn Source,
    /// The offsets of the series that are kept.
    pub kept: Ids,
}

/// Writes a segment with the series that are kept; `None` when there are none.
pub(super) fn write(
    fs: &Arc<dyn Fs>,
    store_dir: &Path,
    file_id: u64,
    inputs: &[Input<'_>],
) -> Result<Option<SegmentEntry>> {
    let id = |input: &Input<'_>, offset: u32| input.source.base() + u64::from(offset);
    let firsts = inputs.iter().filter_map(|i| i.kept.first().map(|o| id(i, o)));
    let lasts = inputs.iter().filter_map(|i| i.kept.last().map(|o| id(i, o)));
    let (Some(base), Some(last)) = (firsts.min(), lasts.max()) else {
        return Ok(None);
    };
    if last - base >= OFFSETS {
        return Err(Error::internal(
            "segments whose ids lie too far apart can't be merged",
        ));
    }
    let mut merging = Vec::with_capacity(inputs.len());
    let mut runs = Vec::new();
    for input in inputs {
        let merge = Merging::start(input, base)?;
        runs.extend_from_slice(input.kept.shifted(merge.shift)?.runs());
        merging.push(merge);
    }
    let all = Ids::from_unsorted(runs);
    let mut writer = SegmentWriter::create(fs.clone(), &layout::part_file(store_dir, file_id), base, &all)?;
    merge_pairs(&mut merging, &mut writer)?;
    merge_series(&merging, &all, base, &mut writer)?;
    writer.finish(file_id).map(Some)
}

/// One input on its way.
struct Merging<'a> {
    input: &'a Input<'a>,
    /// What is added to its offsets.
    shift: i64,
    /// The numbers that its pairs have in the new segment.
    numbers: Vec<u32>,
    order: Option<Vec<u32>>,
    /// How many pairs have gone by.
    passed: usize,
    current: Option<Pair>,
    text: PairText,
}

impl<'a> Merging<'a> {
    fn start(input: &'a Input<'a>, base: SeriesId) -> Result<Self> {
        let mut started = Self {
            input,
            // Wraps when the input begins before the first series that is kept; both are less than 2³² apart then.
            shift: input.source.base().wrapping_sub(base) as i64,
            numbers: vec![GONE; input.source.pairs() as usize],
            order: input.source.sorted_pairs(),
            passed: 0,
            current: None,
            text: PairText::default(),
        };
        started.advance()?;
        Ok(started)
    }
    fn advance(&mut self) -> Result<()> {
        let number = match &self.order {
            Some(order) => order.get(self.passed).copied(),
            None => Some(self.passed as u32).filter(|n| *n < self.input.source.pairs()),
        };
        self.passed += 1;
        self.current = match number {
            Some(number) => Some(self.input.source.pair(number, &mut self.text)?),
            None => None,
        };
        Ok(())
    }
    fn key(&self) -> Option<(&str, &str)> {
        let key = (self.text.name.as_str(), self.text.value.as_str());
        self.current.map(|_| key)
    }
}

fn merge_pairs(merging: &mut [Merging<'_>], writer: &mut SegmentWriter) -> Result<()> {
    let mut next = 0;
    loop {
        let Some((name, value)) = merging.iter().filter_map(Merging::key).min() else {
            return writer.end_pairs();
        };
        let (name, value) = (name.to_owned(), value.to_owned());
        let mut runs = Vec::new();
        let mut lists = 0;
        for merge in merging.iter_mut() {
            let Some(pair) = merge
                .current
                .filter(|_| merge.text.name == name && merge.text.value == value)
            else {
                continue;
            };
            let kept = merge.input.source.list(&pair)?.intersect(&merge.input.kept);
            if !kept.is_empty() {
                let number = merge.numbers.get_mut(pair.number as usize);
                *number.ok_or_else(|| bad("there is no such pair"))? = next;
                runs.extend_from_slice(kept.shifted(merge.shift)?.runs());
                lists += 1;
            }
            merge.advance()?;
        }
        if lists > 0 {
            writer.pair(&name, &value, &Ids::from_unsorted(runs))?;
            next += 1;
        }
    }
}

fn merge_series(
    merging: &[Merging<'_>],
    all: &Ids,
    base: SeriesId,
    writer: &mut SegmentWriter,
) -> Result<()> {
    let mut offsets = all.iter().peekable();
    let (mut found, mut pairs) = (Vec::with_capacity(PIECE), Vec::new());
    let mut written = 0;
    while let Some(first) = offsets.peek().copied() {
        let last = offsets.by_ref().take(PIECE).last().unwrap_or(first);
        found.clear();
        pairs.clear();
        for merge in merging {
            merge.piece(base, first, last, &mut |series, numbers| {
                let start = pairs.len();
                pairs.extend(numbers);
                found.push((series.offset, series.hour, start..pairs.len()));
                Ok(())
            })?;
        }
        // Stable, so that of two with the same id the one of the first input stays.
        found.sort_by_key(|(offset, ..)| *offset);
        found.dedup_by_key(|(offset, ..)| *offset);
        for (offset, hour, range) in &found {
            let pairs = &pairs[range.clone()];
            if pairs.contains(&GONE) || !pairs.is_sorted() {
                return Err(bad("the postings of a segment lack a series"));
            }
            writer.series(SeriesRef {
                offset: *offset,
                hour: *hour,
                pairs,
            })?;
            written += 1;
        }
    }
    match written == all.len() {
        true => Ok(()),
        false => Err(bad("a segment lacks a series that it lists")),
    }
}

impl Merging<'_> {
    /// Hands out the kept series of this input in a range of new offsets, with the new numbers of their pairs.
    fn piece(
        &self,
        base: SeriesId,
        first: u32,
        last: u32,
        visit: &mut dyn FnMut(SeriesRef<'_>, &mut dyn Iterator<Item = u32>) -> Result<()>,
    ) -> Result<()> {
        let own = |new: u32| (base + u64::from(new)).checked_sub(self.input.source.base());
        let Some(end) = own(last) else {
            return Ok(());
        };
        let start = own(first).unwrap_or(0).min(OFFSETS) as u32;
        let end = (end + 1).min(OFFSETS) as u32;
        let wanted = self.input.kept.within(start..end);
        if wanted.is_empty() {
            return Ok(());
        }
        self.input
            .source
            .series(Some(&wanted), Damage::default(), &mut |series| {
                let offset = i64::from(series.offset) + self.shift;
                let moved = SeriesRef {
                    offset: u32::try_from(offset).map_err(|_| bad("a series lies outside of its segment"))?,
                    ..series
                };
                let number = |pair: &u32| self.numbers.get(*pair as usize).copied().unwrap_or(GONE);
                visit(moved, &mut series.pairs.iter().map(number))
            })
    }
}

/// Neighbours, by their first ids, that should become one segment. Sizes go by powers of four: as soon as four
/// neighbours are of one size or smaller they are merged, so of each size a few are left.
pub(super) fn choose(segments: &[(u64, &SegmentMeta)]) -> Option<Vec<u64>> {
    let mut segments = segments.to_vec();
    segments.sort_by_key(|(_, meta)| meta.first_id);
    let size = |meta: &SegmentMeta| (meta.series.max(SMALLEST) / SMALLEST).ilog(4);
    let largest = segments.iter().map(|(_, meta)| size(meta)).max()?;
    (0..=largest).find_map(|limit| {
        let groups = segments.split(|(_, meta)| size(meta) > limit);
        groups.into_iter().find_map(first_that_fit)
    })
}

/// The first of some neighbours that together make no more than a segment may hold.
fn first_that_fit(group: &[(u64, &SegmentMeta)]) -> Option<Vec<u64>> {
    (0..group.len()).find_map(|start| {
        let (mut series, mut largest, first) = (0, 0, group[start].1.first_id);
        let mut ids = Vec::new();
        for (id, meta) in group[start..].iter().take(MAX_MERGED) {
            if series + meta.series > MAX_SERIES || meta.last_id.saturating_sub(first) >= OFFSETS {
                break;
            }
            series += meta.series;
            largest = largest.max(meta.series);
            ids.push(*id);
        }
        // One that is most of it is not written again for the sake of the others.
        (ids.len() >= MIN_MERGED && largest * 5 <= series * 3).then_some(ids)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_leaves_about_as_many_segments_as_the_size_has_digits() {
        // Series come in a steady stream; each flush makes a segment of them.
        let (mut segments, mut next_id, mut written) = (Vec::<(u64, SegmentMeta)>::new(), 1, 0);
        for flush in 0..2000u64 {
            let series = 500 + flush * 37 % 1000;
            segments.push((flush, meta(next_id, series)));
            next_id += series;
            while let Some(ids) = choose(&segments.iter().map(|(id, m)| (*id, m)).collect::<Vec<_>>()) {
                let merged = segments.iter().filter(|(id, _)| ids.contains(id));
                let first = merged.clone().map(|(_, m)| m.first_id).min().unwrap();
                let series: u64 = merged.map(|(_, m)| m.series).sum();
                assert!(series <= MAX_SERIES);
                written += series;
                segments.retain(|(id, _)| !ids.contains(id));
                segments.push((10_000 + written, meta(first, series)));
            }
            assert!(segments.len() <= 20, "{} after {flush}", segments.len());
        }
        assert!(
            written < next_id * 8,
            "each series was written {} times",
            written / next_id
        );
    }

    fn meta(first_id: u64, series: u64) -> SegmentMeta {
        SegmentMeta {
            series,
            first_id,
            last_id: first_id + series - 1,
            pairs: 1,
        }
    }

    #[test]
    fn what_is_too_large_or_too_far_away_stays_as_it_is() {
        let check = |metas: &[(u64, u64)], expected: Option<Vec<u64>>| {
            let metas: Vec<_> = metas
                .iter()
                .map(|(first, series)| meta(*first, *series))
                .collect();
            let named: Vec<_> = metas.iter().enumerate().map(|(i, m)| (i as u64, m)).collect();
            assert_eq!(choose(&named), expected);
        };
        check(&[], None);
        check(&[(1, 5), (11, 5), (21, 5)], None);
        check(&[(1, 5), (11, 5), (21, 5), (31, 5)], Some(vec![0, 1, 2, 3]));
        check(&[(31, 5), (1, 5), (11, 5), (21, 5)], Some(vec![1, 2, 3, 0]));
        check(&[(1, 5), (11, 5), (21, 5), (1 << 40, 5)], None);
        let million = 1_000_000;
        check(
            &[
                (1, million),
                (million * 2, million),
                (million * 3, million),
                (million * 4, million),
            ],
            None,
        );
        let (far, small) = (1 << 40, 5);
        check(
            &[
                (1, million),
                (far, small),
                (far + 10, small),
                (far + 20, small),
                (far + 30, small),
            ],
            Some(vec![1, 2, 3, 4]),
        );
    }
}
