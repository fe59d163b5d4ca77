//! The catalog of a tenant: which series there are, by id, and their labels.
//!
//! New series stand in memory parts until [`Catalog::write_memory`] makes a segment of them; background merges make
//! large segments of small ones and leave out series that are not wanted any more. A [`View`] is a consistent look at
//! all of it for one query. `docs/formats/catalog.md` draws a segment.

mod cardinality;
mod ids;
mod matching;
mod memory;
mod merge;
mod postings;
mod segment;
mod select;
mod slots;
mod source;
mod view;

pub use cardinality::Cardinality;
pub(crate) use segment::{KIND, fuzz_page};
pub(crate) use view::View;

use crate::cache::Cache;
use crate::idset::IdSet;
use ids::Ids;
use memory::{Inserted, MemoryPart, MemoryView};
use merge::Input;
use model::{Error, ErrorKind, Fs, Labels, Result};
use segment::Segment;
use serde::{Deserialize, Serialize};
use source::Source;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Names a series of a tenant. Counted from 1; never used for another one.
pub(crate) type SeriesId = u64;

/// What the manifest says of a segment.
pub(crate) type SegmentEntry = storage::PartEntry<SegmentMeta>;

/// What the manifest says of a segment's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SegmentMeta {
    /// How many series.
    pub series: u64,
    /// The lowest id.
    pub first_id: SeriesId,
    /// The highest id.
    pub last_id: SeriesId,
    /// How many different pairs of a label name and a value.
    pub pairs: u64,
}

/// What a merge reads through, so that it does not throw everything else out of the shared cache.
const MERGE_CACHE_BYTES: usize = 4 << 20;

/// The catalog. Shared by threads: readers and inserting do not wait for writing segments or merging.
pub(crate) struct Catalog {
    fs: Arc<dyn Fs>,
    store_dir: PathBuf,
    cache: Arc<Cache>,
    state: RwLock<State>,
}

struct State {
    /// The last one takes new series, the others are on their way to a segment.
    memory: Vec<Held>,
    /// By first id.
    segments: Arc<[Arc<Segment>]>,
}

struct Held {
    part: Arc<MemoryPart>,
    /// The file that holds it too, once there is one.
    file: Option<u64>,
}

impl Held {
    fn empty() -> Self {
        Self {
            part: Arc::new(MemoryPart::new()),
            file: None,
        }
    }
}

impl Catalog {
    /// Opens the segments that the manifest names. A damaged one is kept and named by [`Catalog::damage`].
    ///
    /// Errors: those of the disk.
    pub(crate) fn open(
        fs: Arc<dyn Fs>,
        store_dir: PathBuf,
        segments: &[SegmentEntry],
        cache: Arc<Cache>,
    ) -> Result<Self> {
        let open = |entry| Segment::open(fs.as_ref(), &store_dir, entry, cache.clone()).map(Arc::new);
        let mut opened: Vec<_> = segments.iter().map(open).collect::<Result<_>>()?;
        opened.sort_by_key(|s| s.entry().meta.first_id);
        let state = State {
            memory: vec![Held::empty()],
            segments: opened.into(),
        };
        Ok(Self {
            fs,
            store_dir,
            cache,
            state: RwLock::new(state),
        })
    }
    /// What is wrong with segments that can't be used at all.
    pub(crate) fn damage(&self) -> Vec<Error> {
        self.segments()
            .iter()
            .filter_map(|s| s.error().cloned())
            .collect()
    }
    /// The series with exactly these labels.
    ///
    /// Errors: those of the disk, and [`model::ErrorKind::Corrupt`] when a segment that could have the series is
    /// damaged there. Who takes the series for a new one then gives it a second id, which readers can bear.
    pub(crate) fn find(&self, labels: &Labels) -> Result<Option<SeriesId>> {
        let (found, segments) = {
            let state = self.read();
            let found = state.memory.iter().rev().find_map(|held| held.part.find(labels));
            (found, state.segments.clone())
        };
        if found.is_some() {
            return Ok(found);
        }
        let mut failed = None;
        for segment in segments.iter().rev() {
            match select::find(segment.as_ref(), labels) {
                Ok(Some(offset)) => return Ok(Some(segment.base() + u64::from(offset))),
                Ok(None) => {}
                Err(e) => failed = Some(e),
            }
        }
        failed.map_or(Ok(None), Err)
    }
    /// Adds a series to memory, unless its id is known.
    pub(crate) fn insert(&self, id: SeriesId, labels: &Labels, created_ms: i64) {
        loop {
            let full = {
                let state = self.read();
                let Some((active, frozen)) = state.memory.split_last() else {
                    return;
                };
                // A segment that can't be read may have it: twice does no harm.
                let is_known = frozen.iter().any(|held| held.part.contains(id))
                    || state.segments.iter().any(|s| s.contains(id).unwrap_or(false));
                if is_known || active.part.insert(id, labels, created_ms) == Inserted::Here {
                    return;
                }
                active.part.clone()
            };
            self.freeze(&full);
        }
    }
    /// Whether the labels of a series are known.
    #[cfg(test)]
    pub(crate) fn contains(&self, id: SeriesId) -> Result<bool> {
        let segments = {
            let state = self.read();
            if state.memory.iter().any(|held| held.part.contains(id)) {
                return Ok(true);
            }
            state.segments.clone()
        };
        for segment in segments.iter() {
            if segment.contains(id)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
    /// How many series are in memory and in no segment that counts.
    pub(crate) fn memory_series(&self) -> usize {
        self.read().memory.iter().map(|held| held.part.len()).sum()
    }
    /// The memory that they take.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.read().memory.iter().map(|held| held.part.size_bytes()).sum()
    }
    /// Whether a series with an id below this one is in memory only.
    pub(crate) fn holds_below(&self, id: SeriesId) -> bool {
        let parts: Vec<_> = self.read().memory.iter().map(|held| held.part.clone()).collect();
        let mut views = parts
            .iter()
            .filter(|part| part.len() > 0)
            .filter_map(MemoryView::of);
        views.any(|view| view.base() < id)
    }
    /// Series in segments and in memory, and the size of the segments' files.
    pub(crate) fn stats(&self) -> (u64, u64) {
        let segments = self.segments();
        let series = segments.iter().map(|s| s.entry().meta.series).sum::<u64>();
        let bytes = segments.iter().map(|s| s.entry().size_bytes).sum();
        (series + self.memory_series() as u64, bytes)
    }
    /// The memory that the open segments take, cached pages apart.
    pub(crate) fn segment_bytes(&self) -> usize {
        self.segments().iter().map(|s| s.size_bytes()).sum()
    }
    /// Writes everything in memory as one new segment file; `None` when there is nothing. It stays readable in memory
    /// until [`Catalog::replace`] names the file. What the file lacks because its ids lie too far from the others is
    /// still there afterwards: call again.
    pub(crate) fn write_memory(&self, file_id: u64) -> Result<Option<SegmentEntry>> {
        let active = self.read().memory.last().map(|held| held.part.clone());
        if let Some(active) = active.filter(|part| part.len() > 0) {
            self.freeze(&active);
        }
        let parts = self.frozen();
        let Some(base) = parts.iter().map(|(_, view)| view.base()).min() else {
            return Ok(None);
        };
        let mut inputs = Vec::with_capacity(parts.len());
        let mut written = Vec::with_capacity(parts.len());
        for (part, view) in &parts {
            let kept = view.all()?;
            let last = view.base() + u64::from(kept.last().unwrap_or(0));
            if last - base < ids::OFFSETS {
                inputs.push(Input { source: view, kept });
                written.push(part);
            }
        }
        let entry = merge::write(&self.fs, &self.store_dir, file_id, &inputs)?;
        let mut state = self.write();
        for held in &mut state.memory {
            if written.iter().any(|part| Arc::ptr_eq(part, &held.part)) {
                held.file = Some(file_id);
            }
        }
        Ok(entry)
    }
    /// The series of each segment, by the segment's id; without damaged segments.
    ///
    /// Errors: those of the disk.
    pub(crate) fn segment_ids(&self) -> Result<Vec<(u64, IdSet)>> {
        let mut found = Vec::new();
        for segment in self.segments().iter().filter(|s| !s.is_damaged()) {
            match segment.all() {
                Ok(offsets) => {
                    let ids = offsets.iter().map(|offset| segment.base() + u64::from(offset));
                    found.push((segment.entry().id, ids.collect()));
                }
                Err(e) if e.kind() == ErrorKind::Corrupt => segment.mark_damaged(),
                Err(e) => return Err(e),
            }
        }
        Ok(found)
    }
    /// Segments that should become one now; none that is damaged.
    pub(crate) fn choose_merge(&self) -> Option<Vec<u64>> {
        let segments = self.segments();
        let sound = segments.iter().filter(|s| !s.is_damaged()).map(|s| s.entry());
        merge::choose(&sound.map(|entry| (entry.id, &entry.meta)).collect::<Vec<_>>())
    }
    /// Writes a new segment file with the series of these segments for which `is_alive` says yes; `None` when it
    /// says so for none. One segment may be merged alone, to get rid of dead series. Nothing changes before
    /// [`Catalog::replace`]; readers and inserting do not wait.
    ///
    /// Errors: those of the disk, and damage; a damaged segment is not chosen again.
    pub(crate) fn merge(
        &self,
        ids: &[u64],
        file_id: u64,
        is_alive: &dyn Fn(SeriesId) -> bool,
    ) -> Result<Option<SegmentEntry>> {
        let segments = self.segments();
        let chosen: Vec<_> = segments.iter().filter(|s| ids.contains(&s.entry().id)).collect();
        let cache = Arc::new(Cache::new(MERGE_CACHE_BYTES));
        let readers: Vec<_> = chosen.iter().map(|s| s.through(&cache)).collect();
        let merged = merge_segments(&self.fs, &self.store_dir, file_id, &readers, is_alive);
        if let Err(e) = &merged
            && e.kind() == ErrorKind::Corrupt
        {
            mark_damaged(&chosen);
        }
        merged
    }
    /// Makes the look of the manifest that was just stored the look of new views: segments go and come, and memory
    /// that a new segment holds is dropped.
    ///
    /// Errors: those of the disk, from opening the new segments; nothing has changed then.
    pub(crate) fn replace(&self, gone: &[u64], added: &[SegmentEntry]) -> Result<()> {
        let open =
            |entry| Segment::open(self.fs.as_ref(), &self.store_dir, entry, self.cache.clone()).map(Arc::new);
        let opened: Vec<_> = added.iter().map(open).collect::<Result<_>>()?;
        let mut state = self.write();
        let mut segments: Vec<_> = state.segments.to_vec();
        segments.retain(|s| !gone.contains(&s.entry().id));
        segments.extend(opened);
        segments.sort_by_key(|s| s.entry().meta.first_id);
        state.segments = segments.into();
        state.memory.retain(|held| {
            held.file
                .is_none_or(|file| added.iter().all(|entry| entry.id != file))
        });
        Ok(())
    }
    /// A consistent look for one query. What is inserted later is not in it; files that are removed later stay
    /// readable for it.
    pub(crate) fn view(&self) -> View {
        let state = self.read();
        View::new(
            state
                .memory
                .iter()
                .filter_map(|held| MemoryView::of(&held.part))
                .collect(),
            state.segments.clone(),
        )
    }

    /// Lets new series go to a new memory part, if that has not happened yet.
    fn freeze(&self, active: &Arc<MemoryPart>) {
        let mut state = self.write();
        if state
            .memory
            .last()
            .is_some_and(|held| Arc::ptr_eq(&held.part, active))
        {
            state.memory.push(Held::empty());
        }
    }
    fn frozen(&self) -> Vec<(Arc<MemoryPart>, MemoryView)> {
        let state = self.read();
        let frozen = state.memory.split_last().map_or(&[][..], |(_, frozen)| frozen);
        let views = frozen
            .iter()
            .map(|held| Some((held.part.clone(), MemoryView::of(&held.part)?)));
        views.flatten().collect()
    }
    fn segments(&self) -> Arc<[Arc<Segment>]> {
        self.read().segments.clone()
    }
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn merge_segments(
    fs: &Arc<dyn Fs>,
    store_dir: &std::path::Path,
    file_id: u64,
    segments: &[Segment],
    is_alive: &dyn Fn(SeriesId) -> bool,
) -> Result<Option<SegmentEntry>> {
    let mut inputs = Vec::with_capacity(segments.len());
    for segment in segments {
        let base = segment.base();
        let alive = segment.all()?;
        let alive = alive.iter().filter(|offset| is_alive(base + u64::from(*offset)));
        inputs.push(Input {
            source: segment,
            kept: Ids::from_sorted(alive),
        });
    }
    merge::write(fs, store_dir, file_id, &inputs)
}

/// Leaves those out of merges whose pages can't all be read.
fn mark_damaged(segments: &[&Arc<Segment>]) {
    for segment in segments {
        if segment.verify().is_err() {
            segment.mark_damaged();
        }
    }
}

#[cfg(test)]
mod tests;
