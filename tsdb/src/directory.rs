//! The directory: which series are active, found by the hash of their label bytes.
//!
//! A series that had samples lately has a slot. Senders repeat their series in the same order, so the slot that
//! followed the last time is tried first and nearly always right: then nothing is looked up at all. Label bytes that
//! are not in the canonical form get an alias, so that they too are decoded only once.

use hashbrown::HashTable;
use model::{Labels, raw};
use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::sync::atomic::{AtomicU32, Ordering};
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// Stands for a series: counted from 1, never used twice by a tenant.
pub(crate) type SeriesId = u64;
/// The place of an active series. Used again for another series once this one is no longer active.
pub(crate) type SlotId = u32;

/// No slot.
pub(crate) const NO_SLOT: SlotId = u32::MAX;

/// The hash by which label bytes are known. Its seed differs from run to run, so that nobody outside can make two
/// label sets of one hash; by chance it does not happen in 128 bits.
pub(crate) type Key = u128;

/// Stands for the target of a series whose labels are not known yet.
const UNNAMED: u32 = u32::MAX;

/// Label names whose values together say which target a series comes from.
const TARGET_LABELS: [&str; 2] = ["job", "instance"];

struct Slot {
    key: Key,
    id: SeriesId,
    /// Which of [`Directory::targets`].
    target: u32,
    /// The slot that followed this one in a batch.
    next: AtomicU32,
    /// When a batch last had this series: seconds on the monotonic clock.
    seen_s: AtomicU32,
    /// Whether a record with the series' definition is known to be on disk.
    is_defined: bool,
}

#[derive(Default)]
struct Target {
    hash: u64,
    series: u32,
}

/// The active series of a tenant.
pub(crate) struct Directory {
    seed: u64,
    slots: Vec<Slot>,
    free: Vec<SlotId>,
    by_key: HashTable<SlotId>,
    by_id: HashTable<SlotId>,
    /// Hashes of label bytes that are not in the canonical form.
    aliases: HashMap<Key, SlotId, BuildHasherDefault<KeyHasher>>,
    targets: Vec<Target>,
    target_by_hash: HashMap<u64, u32, BuildHasherDefault<KeyHasher>>,
}

/// Takes the low bits of a hash that is well mixed already.
#[derive(Default)]
pub(crate) struct KeyHasher(u64);

impl Hasher for KeyHasher {
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
    fn write_u128(&mut self, key: u128) {
        self.0 = key as u64;
    }
}

fn id_hash(id: SeriesId) -> u64 {
    // Fibonacci hashing: ids are counted up, and the table wants its bits at the top as well.
    id.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// A series that came in and is not active.
pub(crate) struct Stranger {
    /// The canonical form's hash.
    pub key: Key,
    pub target: u64,
}

impl Default for Directory {
    fn default() -> Self {
        Self {
            seed: RandomState::new().hash_one(0u8),
            slots: Vec::new(),
            free: Vec::new(),
            by_key: HashTable::new(),
            by_id: HashTable::new(),
            aliases: HashMap::default(),
            targets: Vec::new(),
            target_by_hash: HashMap::default(),
        }
    }
}

impl Directory {
    /// The key of label bytes.
    pub(crate) fn key(&self, label_bytes: &[u8]) -> Key {
        xxh3_128_with_seed(label_bytes, self.seed)
    }

    /// The key and the target of a label set.
    pub(crate) fn stranger(&self, labels: &Labels) -> Stranger {
        let mut bytes = Vec::with_capacity(512);
        raw::put_labels(&mut bytes, labels.iter());
        Stranger {
            key: self.key(&bytes),
            target: self.target_hash(labels),
        }
    }

    fn target_hash(&self, labels: &Labels) -> u64 {
        let mut bytes = Vec::with_capacity(64);
        for name in TARGET_LABELS {
            bytes.extend_from_slice(labels.get(name).unwrap_or_default().as_bytes());
            bytes.push(0xFF);
        }
        xxhash_rust::xxh3::xxh3_64_with_seed(&bytes, self.seed)
    }

    /// The slot of a key; `after` is the slot of the series before it in the batch.
    pub(crate) fn find(&self, key: Key, after: SlotId, now_s: u32) -> Option<SlotId> {
        let before = self.slots.get(after as usize);
        let guess = before.map_or(0, |slot| slot.next.load(Ordering::Relaxed));
        if let Some(slot) = self.slots.get(guess as usize)
            && slot.key == key
            && slot.id != 0
        {
            slot.see(now_s);
            return Some(guess);
        }
        let found = self
            .by_key
            .find(key as u64, |slot| self.slots[*slot as usize].key == key);
        let found = *found.or_else(|| self.aliases.get(&key))?;
        if let Some(before) = before {
            before.next.store(found, Ordering::Relaxed);
        }
        self.slots[found as usize].see(now_s);
        Some(found)
    }

    /// The slot of a series.
    pub(crate) fn slot_of(&self, id: SeriesId) -> Option<SlotId> {
        self.by_id
            .find(id_hash(id), |slot| self.slots[*slot as usize].id == id)
            .copied()
    }
    /// The series in a slot, 0 when it is free.
    pub(crate) fn id(&self, slot: SlotId) -> SeriesId {
        self.slots[slot as usize].id
    }
    /// Whether a series' definition is known to be on disk.
    pub(crate) fn is_defined(&self, slot: SlotId) -> bool {
        self.slots[slot as usize].is_defined
    }
    /// Notes that a record with the definition of a series is on disk.
    pub(crate) fn set_defined(&mut self, id: SeriesId) {
        if let Some(slot) = self.slot_of(id) {
            self.slots[slot as usize].is_defined = true;
        }
    }
    /// Active series.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
    /// Slots, free ones included: slot numbers are below.
    pub(crate) fn slots(&self) -> usize {
        self.slots.len()
    }
    /// Active series of a target.
    pub(crate) fn target_series(&self, target: u64) -> u32 {
        self.target_by_hash
            .get(&target)
            .map_or(0, |at| self.targets[*at as usize].series)
    }
    /// Bytes of memory that the directory takes.
    pub(crate) fn size_bytes(&self) -> usize {
        let table = |t: &HashTable<SlotId>| t.capacity() * 8 / 7 * (size_of::<SlotId>() + 1);
        self.slots.capacity() * size_of::<Slot>()
            + table(&self.by_key)
            + table(&self.by_id)
            + self.free.capacity() * size_of::<SlotId>()
            + self.aliases.capacity() * (size_of::<(Key, SlotId)>() + 1)
            + self.targets.capacity() * (size_of::<Target>() + 16)
    }

    /// Gives a series a slot. It must have none.
    pub(crate) fn add(&mut self, id: SeriesId, stranger: &Stranger, is_defined: bool, now_s: u32) -> SlotId {
        debug_assert!(self.slot_of(id).is_none(), "series {id} has a slot");
        let target = self.enter_target(stranger.target);
        let slot = Slot {
            key: stranger.key,
            id,
            target,
            next: AtomicU32::new(0),
            seen_s: AtomicU32::new(now_s),
            is_defined,
        };
        let at = match self.free.pop() {
            Some(at) => {
                self.slots[at as usize] = slot;
                at
            }
            None => {
                let at = u32::try_from(self.slots.len()).expect("limited to far fewer than 4 billion series");
                // The next one will most likely stand behind this one.
                slot.next.store(at.saturating_add(1), Ordering::Relaxed);
                self.grow();
                self.slots.push(slot);
                at
            }
        };
        let slots = &self.slots;
        let key_of = |slot: &SlotId| slots[*slot as usize].key as u64;
        self.by_key.insert_unique(stranger.key as u64, at, key_of);
        let hash_of = |slot: &SlotId| id_hash(slots[*slot as usize].id);
        self.by_id.insert_unique(id_hash(id), at, hash_of);
        at
    }

    /// Gives a series a slot before its labels are known. It must have none.
    pub(crate) fn add_unnamed(&mut self, id: SeriesId, now_s: u32) -> SlotId {
        let at = u32::try_from(self.slots.len()).expect("limited to far fewer than 4 billion series");
        self.grow();
        self.slots.push(Slot {
            key: 0,
            id,
            target: UNNAMED,
            next: AtomicU32::new(at.saturating_add(1)),
            seen_s: AtomicU32::new(now_s),
            is_defined: true,
        });
        let slots = &self.slots;
        let hash_of = |slot: &SlotId| id_hash(slots[*slot as usize].id);
        self.by_id.insert_unique(id_hash(id), at, hash_of);
        at
    }

    /// Says what the labels of a series are that got its slot without.
    pub(crate) fn name(&mut self, id: SeriesId, stranger: &Stranger) {
        let Some(at) = self
            .slot_of(id)
            .filter(|at| self.slots[*at as usize].target == UNNAMED)
        else {
            return;
        };
        let target = self.enter_target(stranger.target);
        let slot = &mut self.slots[at as usize];
        (slot.key, slot.target) = (stranger.key, target);
        let slots = &self.slots;
        let key_of = |slot: &SlotId| slots[*slot as usize].key as u64;
        self.by_key.insert_unique(stranger.key as u64, at, key_of);
    }

    /// Room for one slot more, in steps of an eighth: doubling would waste half of the largest table that there is.
    fn grow(&mut self) {
        if self.slots.len() == self.slots.capacity() {
            self.slots.reserve_exact(self.slots.len() / 8 + 256);
        }
    }

    /// Lets a key that is not the canonical one stand for a series as well.
    pub(crate) fn add_alias(&mut self, key: Key, slot: SlotId) {
        // A sender that changes its form with every request must not fill the memory.
        if self.aliases.len() > 1024 + 2 * self.slots.len() {
            self.aliases.clear();
        }
        self.aliases.insert(key, slot);
    }

    fn enter_target(&mut self, hash: u64) -> u32 {
        let next = self.targets.len() as u32;
        let at = *self.target_by_hash.entry(hash).or_insert(next);
        if at == next {
            self.targets.push(Target { hash, series: 0 });
        }
        self.targets[at as usize].series += 1;
        at
    }

    /// Takes the slots of series that no batch had for so many seconds and for which `is_idle` says yes; returns how
    /// many.
    pub(crate) fn evict(
        &mut self,
        now_s: u32,
        idle_s: u32,
        mut is_idle: impl FnMut(SlotId) -> bool,
    ) -> usize {
        let mut gone = Vec::new();
        for (at, slot) in self.slots.iter().enumerate() {
            let unseen_s = now_s.saturating_sub(slot.seen_s.load(Ordering::Relaxed));
            if slot.id != 0 && unseen_s >= idle_s && is_idle(at as SlotId) {
                gone.push(at as SlotId);
            }
        }
        for at in &gone {
            self.remove(*at);
        }
        if !gone.is_empty() {
            let slots = &self.slots;
            self.aliases.retain(|_, slot| slots[*slot as usize].id != 0);
            self.drop_empty_targets();
        }
        gone.len()
    }

    fn remove(&mut self, at: SlotId) {
        let slot = &mut self.slots[at as usize];
        let (key, id) = (slot.key, slot.id);
        if let Some(target) = self.targets.get_mut(slot.target as usize) {
            target.series -= 1;
        }
        slot.id = 0;
        slot.key = 0;
        if let Ok(entry) = self.by_key.find_entry(key as u64, |slot| *slot == at) {
            entry.remove();
        }
        if let Ok(entry) = self.by_id.find_entry(id_hash(id), |slot| *slot == at) {
            entry.remove();
        }
        self.free.push(at);
    }

    /// Targets come and go with their pods; without this their list would only grow.
    fn drop_empty_targets(&mut self) {
        let empty = self.targets.iter().filter(|t| t.series == 0).count();
        if empty < 64 || empty * 2 < self.targets.len() {
            return;
        }
        let mut moved = vec![0u32; self.targets.len()];
        let mut kept = Vec::with_capacity(self.targets.len() - empty);
        for (at, target) in self.targets.drain(..).enumerate() {
            if target.series > 0 {
                moved[at] = kept.len() as u32;
                kept.push(target);
            }
        }
        self.targets = kept;
        self.target_by_hash = self
            .targets
            .iter()
            .enumerate()
            .map(|(at, t)| (t.hash, at as u32))
            .collect();
        for slot in self.slots.iter_mut().filter(|s| s.id != 0 && s.target != UNNAMED) {
            slot.target = moved[slot.target as usize];
        }
    }
}

impl Slot {
    fn see(&self, now_s: u32) {
        // Most series come every few seconds: not every time must be a write to shared memory.
        if self.seen_s.load(Ordering::Relaxed) != now_s {
            self.seen_s.store(now_s, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests;
