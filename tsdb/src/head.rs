//! The head: what was acknowledged and is not yet in a part, in memory.
//!
//! Samples lie in blocks of a few raw ones, chained per slot of the directory: nothing is packed before it is written
//! to a part, so taking a sample costs a store or two. A chain says whose it is, so a slot that changed hands while
//! a batch was on its way to the disk is noticed; the samples of such a batch go among the extras.

use crate::directory::{KeyHasher, SeriesId, SlotId};
use crate::samples::Run;
use model::Exemplar;
use model::metric::HistogramSample;
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasherDefault;

/// Samples of a block.
const BLOCK_SAMPLES: usize = 8;
/// Blocks that are allocated together.
const PAGE_BLOCKS: usize = 1024;
const NO_BLOCK: u32 = u32::MAX;
const EXTRA_BYTES: usize = 160;
const EXEMPLAR_BYTES: usize = 120;

/// What became of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Put {
    /// It is the newest of its series.
    Appended,
    /// It lies before another sample of its series.
    Late,
    /// The series' newest sample was of that time and had another value: the later one counts. With late samples this
    /// shows only when they are put in order.
    Replaced,
    /// The series had the very same sample.
    Same,
}

#[derive(Clone, Copy)]
struct Block {
    /// The time that the offsets count from.
    base_ms: i64,
    values: [f64; BLOCK_SAMPLES],
    offsets_ms: [i32; BLOCK_SAMPLES],
    next: u32,
    len: u8,
}

#[derive(Clone, Copy)]
struct Chain {
    id: SeriesId,
    first: u32,
    last: u32,
    samples: u32,
    /// Whether times rise strictly from sample to sample.
    is_sorted: bool,
    /// Whether a sample said when its counter began.
    has_starts: bool,
}

const EMPTY_CHAIN: Chain = Chain {
    id: 0,
    first: NO_BLOCK,
    last: NO_BLOCK,
    samples: 0,
    is_sorted: true,
    has_starts: false,
};

/// What few series have.
#[derive(Default)]
struct Extra {
    /// Samples that found their slot taken by another series.
    strays: Vec<(i64, f64)>,
    histograms: Vec<HistogramSample>,
    exemplars: Vec<Exemplar>,
    /// From this sample time on the counter began at that time; both rise.
    starts: Vec<(i64, i64)>,
    /// The same for single samples that came late.
    late_starts: BTreeMap<i64, i64>,
}

/// Samples by slot, and the extras by series.
#[derive(Default)]
pub(crate) struct Head {
    chains: Vec<Chain>,
    pages: Vec<Vec<Block>>,
    extras: HashMap<SeriesId, Extra, BuildHasherDefault<KeyHasher>>,
    samples: u64,
    extra_bytes: usize,
    times: Option<(i64, i64)>,
}

impl Head {
    /// Puts a sample in; of two with the same series and time the one that comes later stays. `start_ms` says when the
    /// counter behind it began, 0 where nobody said.
    pub(crate) fn push(
        &mut self,
        slot: SlotId,
        id: SeriesId,
        time_ms: i64,
        value: f64,
        start_ms: i64,
    ) -> Put {
        let put = self.push_sample(slot, id, time_ms, value);
        let has_starts = self.chains[slot as usize].has_starts;
        if start_ms != 0 || has_starts {
            self.put_start(slot, id, time_ms, start_ms);
        }
        put
    }

    fn push_sample(&mut self, slot: SlotId, id: SeriesId, time_ms: i64, value: f64) -> Put {
        let at = slot as usize;
        if at >= self.chains.len() {
            self.chains.resize(at + 1, EMPTY_CHAIN);
        }
        self.samples += 1;
        widen(&mut self.times, time_ms);
        let mut chain = self.chains[at];
        if chain.samples == 0 {
            let block = self.new_block(time_ms);
            chain = Chain {
                id,
                first: block,
                last: block,
                ..EMPTY_CHAIN
            };
        } else if chain.id != id {
            self.extra(id).strays.push((time_ms, value));
            self.extra_bytes += size_of::<(i64, f64)>();
            return Put::Late;
        }
        let put = self.append(&mut chain, time_ms, value);
        self.chains[at] = chain;
        put
    }

    fn append(&mut self, chain: &mut Chain, time_ms: i64, value: f64) -> Put {
        let block = self.block_mut(chain.last);
        let mut put = Put::Appended;
        if block.len > 0 {
            let end = usize::from(block.len) - 1;
            let newest_ms = block.time(end);
            if time_ms == newest_ms && chain.is_sorted {
                let is_same = block.values[end].to_bits() == value.to_bits();
                block.values[end] = value;
                self.samples -= 1;
                return if is_same { Put::Same } else { Put::Replaced };
            }
            if time_ms <= newest_ms {
                chain.is_sorted = false;
                put = Put::Late;
            }
        }
        chain.samples += 1;
        if !self.block_mut(chain.last).push(time_ms, value) {
            let next = self.new_block(time_ms);
            self.block_mut(chain.last).next = next;
            chain.last = next;
            let fits = self.block_mut(next).push(time_ms, value);
            debug_assert!(fits, "an empty block takes any time as its base");
        }
        put
    }

    fn new_block(&mut self, base_ms: i64) -> u32 {
        if self.pages.last().is_none_or(|page| page.len() == PAGE_BLOCKS) {
            self.pages.push(Vec::with_capacity(PAGE_BLOCKS));
        }
        let pages = self.pages.len();
        let page = self.pages.last_mut().expect("pushed above when there was none");
        page.push(Block {
            base_ms,
            values: [0.0; BLOCK_SAMPLES],
            offsets_ms: [0; BLOCK_SAMPLES],
            next: NO_BLOCK,
            len: 0,
        });
        u32::try_from((pages - 1) * PAGE_BLOCKS + page.len() - 1).expect("the head is flushed long before")
    }
    fn block(&self, at: u32) -> &Block {
        &self.pages[at as usize / PAGE_BLOCKS][at as usize % PAGE_BLOCKS]
    }
    fn block_mut(&mut self, at: u32) -> &mut Block {
        &mut self.pages[at as usize / PAGE_BLOCKS][at as usize % PAGE_BLOCKS]
    }
    fn extra(&mut self, id: SeriesId) -> &mut Extra {
        let bytes = &mut self.extra_bytes;
        self.extras.entry(id).or_insert_with(|| {
            *bytes += EXTRA_BYTES;
            Extra::default()
        })
    }

    fn put_start(&mut self, slot: SlotId, id: SeriesId, time_ms: i64, start_ms: i64) {
        let chain = &mut self.chains[slot as usize];
        let is_own = chain.id == id;
        chain.has_starts = true;
        let is_newest = is_own && chain.is_sorted;
        let extra = self.extra(id);
        let mut added = 0;
        if !is_newest {
            extra.late_starts.insert(time_ms, start_ms);
            added = 48;
        } else if extra.starts.last().map_or(0, |(_, same)| *same) != start_ms {
            extra.starts.push((time_ms, start_ms));
            added = size_of::<(i64, i64)>();
        }
        self.extra_bytes += added;
    }
    /// Puts a native histogram in.
    pub(crate) fn push_histogram(&mut self, id: SeriesId, sample: HistogramSample) {
        self.samples += 1;
        widen(&mut self.times, sample.timestamp_ms);
        let h = &sample.histogram;
        let buckets = h.positive.len() + h.negative.len();
        let bytes = size_of::<HistogramSample>() + 16 * buckets + 8 * h.custom_bounds.len();
        self.extra(id).histograms.push(sample);
        self.extra_bytes += bytes;
    }
    /// Puts an exemplar in; false when the series has the same one already.
    pub(crate) fn push_exemplar(&mut self, id: SeriesId, exemplar: Exemplar) -> bool {
        let extra = self.extra(id);
        // Senders repeat the last exemplar with every scrape until there is a new one.
        if extra.exemplars.iter().rev().take(4).any(|e| *e == exemplar) {
            return false;
        }
        let bytes = EXEMPLAR_BYTES + exemplar.labels.size_bytes();
        extra.exemplars.push(exemplar);
        self.extra_bytes += bytes;
        true
    }

    /// Samples held, those that a later one supersedes included.
    pub(crate) fn samples(&self) -> u64 {
        self.samples
    }
    /// Memory taken.
    pub(crate) fn size_bytes(&self) -> usize {
        self.pages.len() * PAGE_BLOCKS * size_of::<Block>()
            + self.chains.capacity() * size_of::<Chain>()
            + self.extra_bytes
    }
    /// The first and the last time, `None` without samples.
    pub(crate) fn times(&self) -> Option<(i64, i64)> {
        self.times
    }
    /// Whether any series has exemplars.
    pub(crate) fn has_exemplars(&self) -> bool {
        self.extras.values().any(|e| !e.exemplars.is_empty())
    }
    /// The exemplars of some series, in the order in which they came; series without any are left out.
    pub(crate) fn exemplars<'a>(
        &'a self,
        ids: &'a [SeriesId],
    ) -> impl Iterator<Item = (SeriesId, &'a [Exemplar])> {
        let of = |id: &SeriesId| Some((*id, self.extras.get(id)?.exemplars.as_slice()));
        ids.iter()
            .filter_map(of)
            .filter(|(_, exemplars)| !exemplars.is_empty())
    }
    /// The time of the sample that a slot got last.
    pub(crate) fn newest_ms(&self, slot: SlotId) -> Option<i64> {
        let chain = self.chains.get(slot as usize).filter(|c| c.samples > 0)?;
        let block = self.block(chain.last);
        Some(block.time(usize::from(block.len) - 1))
    }
    /// Whether a slot has no samples.
    pub(crate) fn is_idle(&self, slot: SlotId) -> bool {
        self.chains.get(slot as usize).is_none_or(|c| c.samples == 0)
    }

    /// The series that have anything, ascending, each with its slot if it has one here.
    pub(crate) fn series(&self) -> Vec<(SeriesId, Option<SlotId>)> {
        let chains = self.chains.iter().enumerate().filter(|(_, c)| c.samples > 0);
        let mut all: Vec<_> = chains.map(|(slot, c)| (c.id, Some(slot as SlotId))).collect();
        all.extend(self.extras.keys().map(|id| (*id, None)));
        // A series with both comes with its slot first.
        all.sort_unstable_by_key(|(id, slot)| (*id, slot.is_none()));
        all.dedup_by_key(|(id, _)| *id);
        all
    }

    /// Blocks of samples.
    pub(crate) fn blocks(&self) -> u64 {
        self.pages.iter().map(|page| page.len() as u64).sum()
    }

    /// Whether a series has samples or histograms in a range of times, both included.
    pub(crate) fn has_any(&self, id: SeriesId, slot: Option<SlotId>, range: (i64, i64)) -> bool {
        let within = |time: i64| range.0 <= time && time <= range.1;
        let mut found = false;
        self.each_sample(id, slot, &mut |time, _| found |= within(time));
        found
            || self
                .extras
                .get(&id)
                .is_some_and(|e| e.histograms.iter().any(|h| within(h.timestamp_ms)))
    }

    /// Visits the times of all samples, histograms and exemplars of a series.
    pub(crate) fn each_time(&self, id: SeriesId, slot: Option<SlotId>, visit: &mut dyn FnMut(i64)) {
        self.each_sample(id, slot, &mut |time, _| visit(time));
        if let Some(extra) = self.extras.get(&id) {
            extra.histograms.iter().for_each(|h| visit(h.timestamp_ms));
            extra.exemplars.iter().for_each(|e| visit(e.timestamp_ms));
        }
    }

    fn each_sample(&self, id: SeriesId, slot: Option<SlotId>, visit: &mut dyn FnMut(i64, f64)) {
        if let Some(chain) = self.chain(id, slot) {
            let mut at = chain.first;
            while at != NO_BLOCK {
                let block = self.block(at);
                for i in 0..usize::from(block.len) {
                    visit(block.time(i), block.values[i]);
                }
                at = block.next;
            }
        }
        if let Some(extra) = self.extras.get(&id) {
            extra.strays.iter().for_each(|(time, value)| visit(*time, *value));
        }
    }
    fn chain(&self, id: SeriesId, slot: Option<SlotId>) -> Option<&Chain> {
        let chain = self.chains.get(slot? as usize)?;
        (chain.samples > 0 && chain.id == id).then_some(chain)
    }

    /// Copies what a series has in a range of times, both included, into an empty run: ascending, one sample per
    /// time. Returns how many samples a later one with another value superseded, as far as that shows here.
    pub(crate) fn copy(&self, id: SeriesId, slot: Option<SlotId>, range: (i64, i64), into: &mut Run) -> u64 {
        self.copy_with_lead(id, slot, range, 0, into)
    }
    /// As [`Head::copy`], with the histograms of some time before the range, too.
    pub(crate) fn copy_with_lead(
        &self,
        id: SeriesId,
        slot: Option<SlotId>,
        range: (i64, i64),
        lead_ms: i64,
        into: &mut Run,
    ) -> u64 {
        let (times, values) = (&mut into.times, &mut into.values);
        self.each_sample(id, slot, &mut |time, value| {
            if range.0 <= time && time <= range.1 {
                times.push(time);
                values.push(value);
            }
        });
        let mut replaced = 0;
        let extra = self.extras.get(&id);
        let is_sorted = self.chain(id, slot).is_none_or(|c| c.is_sorted);
        if !is_sorted || extra.is_some_and(|e| !e.strays.is_empty()) {
            replaced += sort_columns(times, values);
        }
        if let Some(extra) = extra {
            extra.copy_starts(into);
            let with_lead = (range.0.saturating_sub(lead_ms), range.1);
            replaced += extra.copy_histograms(with_lead, &mut into.histograms);
            let exemplars = extra.exemplars.iter();
            into.exemplars.extend(
                exemplars
                    .filter(|e| range.0 <= e.timestamp_ms && e.timestamp_ms <= range.1)
                    .cloned(),
            );
            into.exemplars.sort_by_key(|e| e.timestamp_ms);
        }
        replaced
    }
}

impl Block {
    fn time(&self, i: usize) -> i64 {
        self.base_ms.wrapping_add(i64::from(self.offsets_ms[i]))
    }
    /// Adds a sample unless the block is full or the time too far from its base.
    fn push(&mut self, time_ms: i64, value: f64) -> bool {
        let at = usize::from(self.len);
        if at == 0 {
            self.base_ms = time_ms;
        }
        let offset = time_ms.checked_sub(self.base_ms).map(i32::try_from);
        let Some(Ok(offset_ms)) = offset.filter(|_| at < BLOCK_SAMPLES) else {
            return false;
        };
        self.offsets_ms[at] = offset_ms;
        self.values[at] = value;
        self.len += 1;
        true
    }
}

impl Extra {
    /// The start of each sample in the run, as the steps that a run says.
    fn copy_starts(&self, into: &mut Run) {
        if self.starts.is_empty() && self.late_starts.is_empty() {
            return;
        }
        let mut last = 0;
        for time in &into.times {
            let start = self.late_starts.get(time).copied().unwrap_or_else(|| {
                let after = self.starts.partition_point(|(from, _)| from <= time);
                after.checked_sub(1).map_or(0, |at| self.starts[at].1)
            });
            if start != last {
                into.starts.push((*time, start));
                last = start;
            }
        }
    }
    fn copy_histograms(&self, range: (i64, i64), into: &mut Vec<HistogramSample>) -> u64 {
        let within = |h: &&HistogramSample| range.0 <= h.timestamp_ms && h.timestamp_ms <= range.1;
        into.extend(self.histograms.iter().filter(within).cloned());
        if into.is_sorted_by(|a, b| a.timestamp_ms < b.timestamp_ms) {
            return 0;
        }
        let mut replaced = 0;
        // The sort is stable: of equal times the last one came last.
        into.sort_by_key(|h| h.timestamp_ms);
        into.dedup_by(|later, earlier| {
            let is_same_time = later.timestamp_ms == earlier.timestamp_ms;
            if is_same_time {
                replaced += u64::from(later != earlier);
                std::mem::swap(later, earlier);
            }
            is_same_time
        });
        replaced
    }
}

/// Sorts by time; of samples with equal times the last one stays.
fn sort_columns(times: &mut Vec<i64>, values: &mut Vec<f64>) -> u64 {
    let mut samples: Vec<(i64, f64)> = times.drain(..).zip(values.drain(..)).collect();
    samples.sort_by_key(|(time, _)| *time);
    let mut replaced = 0;
    for (time, value) in samples {
        match (times.last(), values.last_mut()) {
            (Some(last), Some(old)) if *last == time => {
                replaced += u64::from(old.to_bits() != value.to_bits());
                *old = value;
            }
            _ => {
                times.push(time);
                values.push(value);
            }
        }
    }
    replaced
}

fn widen(times: &mut Option<(i64, i64)>, time: i64) {
    *times = Some(times.map_or((time, time), |(first, last)| (first.min(time), last.max(time))));
}

#[cfg(test)]
mod tests;
