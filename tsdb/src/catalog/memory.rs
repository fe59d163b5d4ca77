//! Series in memory until a segment holds them: labels as numbers of interned pairs, with postings.
//!
//! A series is known here by its position: how many came before it. So a view of the first so many positions is a
//! consistent look, whatever comes after it, and postings grow at their end only, whatever order ids come in.

mod view;

pub(super) use view::MemoryView;

use super::SeriesId;
use super::ids::OFFSETS;
use super::postings::{MAX_POSITIONS, Postings};
use super::slots::Slots;
use super::source::HOUR_MS;
use model::Labels;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// One memory part. Grows until it is frozen: then nobody inserts any more.
pub(super) struct MemoryPart {
    /// Nobody outside can make hashes collide on purpose.
    seed: u64,
    inner: RwLock<Inner>,
}

#[derive(Default)]
struct Inner {
    // By position.
    ids: Vec<SeriesId>,
    hashes: Vec<u32>,
    /// Where the pairs of each series end in `refs`.
    ends: Vec<u32>,
    /// Numbers of pairs, for each series by label name.
    refs: Vec<u32>,
    /// From which position on series were created in which hour.
    hours: Vec<(u32, i64)>,
    by_labels: Slots,
    by_id: Slots,
    pairs: Vec<PairEntry>,
    pair_slots: Slots,
    names: Vec<NameEntry>,
    name_slots: Slots,
    /// Names and values.
    text: String,
    /// Lowest and highest id.
    span: Option<(SeriesId, SeriesId)>,
    /// Whether each id was above the one before.
    is_ascending: bool,
    /// What the postings and the lists of names have outside of the vectors above.
    list_bytes: usize,
}

struct PairEntry {
    name: u32,
    start: u32,
    end: u32,
    postings: Postings,
}

struct NameEntry {
    start: u32,
    end: u32,
    pairs: Vec<u32>,
}

/// What became of an insertion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Inserted {
    /// The series is here, now or since before.
    Here,
    /// There is no room for it in this part: start another one.
    Full,
}

impl MemoryPart {
    pub(super) fn new() -> Self {
        let inner = Inner {
            is_ascending: true,
            ..Inner::default()
        };
        Self {
            seed: RandomState::new().hash_one(0),
            inner: RwLock::new(inner),
        }
    }
    /// The series with exactly these labels.
    pub(super) fn find(&self, labels: &Labels) -> Option<SeriesId> {
        let inner = self.read();
        let hash = self.labels_hash(labels);
        let position = inner.by_labels.find(u64::from(hash), |position| {
            inner.hashes[position as usize] == hash && inner.has_labels(position, labels)
        })?;
        Some(inner.ids[position as usize])
    }
    pub(super) fn contains(&self, id: SeriesId) -> bool {
        self.read().position(self.seed, id).is_some()
    }
    pub(super) fn len(&self) -> usize {
        self.read().ids.len()
    }
    pub(super) fn size_bytes(&self) -> usize {
        self.read().size_bytes()
    }
    /// Adds a series, unless its id is here.
    pub(super) fn insert(&self, id: SeriesId, labels: &Labels, created_ms: i64) -> Inserted {
        let mut inner = self.write();
        if inner.position(self.seed, id).is_some() {
            return Inserted::Here;
        }
        if !inner.has_room(id, labels) {
            return Inserted::Full;
        }
        let position = inner.ids.len() as u32;
        inner.add_pairs(self.seed, position, labels);
        inner.add_id(self.seed, position, id, self.labels_hash(labels));
        let hour = created_ms.div_euclid(HOUR_MS);
        if inner.hours.last().is_none_or(|(_, last)| *last != hour) {
            inner.hours.push((position, hour));
        }
        Inserted::Here
    }

    fn labels_hash(&self, labels: &Labels) -> u32 {
        xxh3_64_with_seed(&labels.hash().to_le_bytes(), self.seed) as u32
    }
    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }
    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn id_hash(seed: u64, id: SeriesId) -> u64 {
    xxh3_64_with_seed(&id.to_le_bytes(), seed)
}
fn pair_hash(seed: u64, name: u32, value: &str) -> u64 {
    xxh3_64_with_seed(value.as_bytes(), seed ^ (u64::from(name) << 20))
}
fn name_hash(seed: u64, name: &str) -> u64 {
    xxh3_64_with_seed(name.as_bytes(), !seed)
}

impl Inner {
    fn refs_of(&self, position: u32) -> &[u32] {
        let end = self.ends[position as usize] as usize;
        let start = position.checked_sub(1).map_or(0, |p| self.ends[p as usize]);
        &self.refs[start as usize..end]
    }
    fn text(&self, range: Range<u32>) -> &str {
        &self.text[range.start as usize..range.end as usize]
    }
    fn name_text(&self, number: u32) -> &str {
        let name = &self.names[number as usize];
        self.text(name.start..name.end)
    }
    fn value_text(&self, pair: u32) -> &str {
        let pair = &self.pairs[pair as usize];
        self.text(pair.start..pair.end)
    }
    fn position(&self, seed: u64, id: SeriesId) -> Option<u32> {
        self.by_id
            .find(id_hash(seed, id), |position| self.ids[position as usize] == id)
    }
    fn has_labels(&self, position: u32, labels: &Labels) -> bool {
        let refs = self.refs_of(position);
        refs.len() == labels.len()
            && refs.iter().zip(labels.iter()).all(|(pair, (name, value))| {
                self.value_text(*pair) == value && self.name_text(self.pairs[*pair as usize].name) == name
            })
    }
    fn has_room(&self, id: SeriesId, labels: &Labels) -> bool {
        let fits = |len: usize, more: usize| (len + more) < u32::MAX as usize;
        let (low, high) = self.span.unwrap_or((id, id));
        self.ids.len() < MAX_POSITIONS as usize - 1
            && fits(self.text.len(), labels.size_bytes())
            && fits(self.refs.len(), labels.len())
            && high.max(id) - low.min(id) < OFFSETS
    }
    fn add_pairs(&mut self, seed: u64, position: u32, labels: &Labels) {
        // Series come target by target: most labels are those of the series before.
        let mut before = position
            .checked_sub(1)
            .map_or(0..0, |p| {
                let end = self.ends[p as usize] as usize;
                end - self.refs_of(p).len()..end
            })
            .peekable();
        for (name, value) in labels.iter() {
            let pair_before = loop {
                let Some(at) = before.peek() else { break None };
                let pair = self.refs[*at];
                match self.name_text(self.pairs[pair as usize].name).cmp(name) {
                    std::cmp::Ordering::Less => before.next(),
                    std::cmp::Ordering::Equal => break Some(pair),
                    std::cmp::Ordering::Greater => break None,
                };
            };
            let pair = match pair_before {
                Some(pair) if self.value_text(pair) == value => pair,
                Some(pair) => self.intern_value(seed, self.pairs[pair as usize].name, value),
                None => {
                    let name = self.intern_name(seed, name);
                    self.intern_value(seed, name, value)
                }
            };
            self.refs.push(pair);
            self.list_bytes += self.pairs[pair as usize].postings.push(position);
        }
        self.ends.push(self.refs.len() as u32);
    }
    fn add_id(&mut self, seed: u64, position: u32, id: SeriesId, hash: u32) {
        self.is_ascending &= self.ids.last().is_none_or(|last| *last < id);
        self.ids.push(id);
        self.hashes.push(hash);
        let (hashes, ids) = (&self.hashes, &self.ids);
        self.by_labels
            .insert(u64::from(hash), position, |p| u64::from(hashes[p as usize]));
        self.by_id
            .insert(id_hash(seed, id), position, |p| id_hash(seed, ids[p as usize]));
        let (low, high) = self.span.unwrap_or((id, id));
        self.span = Some((low.min(id), high.max(id)));
    }
    fn append(&mut self, text: &str) -> Range<u32> {
        let start = self.text.len() as u32;
        self.text.push_str(text);
        start..self.text.len() as u32
    }
    fn find_name(&self, seed: u64, name: &str) -> Option<u32> {
        self.name_slots
            .find(name_hash(seed, name), |number| self.name_text(number) == name)
    }
    fn find_value(&self, seed: u64, name: u32, value: &str) -> Option<u32> {
        self.pair_slots.find(pair_hash(seed, name, value), |pair| {
            self.pairs[pair as usize].name == name && self.value_text(pair) == value
        })
    }
    fn intern_name(&mut self, seed: u64, name: &str) -> u32 {
        if let Some(number) = self.find_name(seed, name) {
            return number;
        }
        let number = self.names.len() as u32;
        let range = self.append(name);
        self.names.push(NameEntry {
            start: range.start,
            end: range.end,
            pairs: Vec::new(),
        });
        let (names, text) = (&self.names, &self.text);
        self.name_slots.insert(name_hash(seed, name), number, |n| {
            let name = &names[n as usize];
            name_hash(seed, &text[name.start as usize..name.end as usize])
        });
        number
    }
    fn intern_value(&mut self, seed: u64, name: u32, value: &str) -> u32 {
        if let Some(pair) = self.find_value(seed, name, value) {
            return pair;
        }
        let pair = self.pairs.len() as u32;
        let range = self.append(value);
        self.pairs.push(PairEntry {
            name,
            start: range.start,
            end: range.end,
            postings: Postings::default(),
        });
        let of_name = &mut self.names[name as usize].pairs;
        let before = of_name.capacity();
        of_name.push(pair);
        self.list_bytes += (of_name.capacity() - before) * 4;
        let (pairs, text) = (&self.pairs, &self.text);
        self.pair_slots.insert(pair_hash(seed, name, value), pair, |p| {
            let pair = &pairs[p as usize];
            pair_hash(seed, pair.name, &text[pair.start as usize..pair.end as usize])
        });
        pair
    }
    fn hour(&self, position: u32) -> i64 {
        let after = self.hours.partition_point(|(first, _)| *first <= position);
        after.checked_sub(1).map_or(0, |at| self.hours[at].1)
    }
    fn size_bytes(&self) -> usize {
        let by_series = self.ids.capacity() * 8 + (self.hashes.capacity() + self.ends.capacity()) * 4;
        let slots = [&self.by_labels, &self.by_id, &self.pair_slots, &self.name_slots];
        by_series
            + self.refs.capacity() * 4
            + self.hours.capacity() * size_of::<(u32, i64)>()
            + slots.iter().map(|s| s.size_bytes()).sum::<usize>()
            + self.pairs.capacity() * size_of::<PairEntry>()
            + self.names.capacity() * size_of::<NameEntry>()
            + self.text.capacity()
            + self.list_bytes
    }
}
