//! Unpacked pages of files, as many as fit into a bound of memory; shared by all segments, parts and tenants.
//!
//! What is thrown out is chosen by the clock algorithm (second chance): a hit only sets a flag, so readers of the
//! same shard do not wait for each other, and one long scan does not throw out what is used all the time.

use model::{Counter, Result};
use std::any::Any;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// What an entry costs besides its page: the slot, the key, counts of references.
const ENTRY_BYTES: usize = 128;
/// At least so many bytes in each shard, so that a shard holds a good number of pages.
const MIN_SHARD_BYTES: usize = 4 << 20;
const MAX_SHARDS: usize = 16;

/// Names a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct PageKey {
    /// An open file, by the number that [`Cache::new_file`] gave it.
    pub file: u64,
    /// Which sequence of pages in the file; up to the owner of the file.
    pub section: u32,
    /// Which page.
    pub page: u32,
}

/// What can stand in the cache.
pub(crate) trait Page: Any + Send + Sync {
    /// The memory that it takes.
    fn size_bytes(&self) -> usize;
}

impl Page for Vec<u8> {
    fn size_bytes(&self) -> usize {
        self.capacity()
    }
}

/// The cache.
pub(crate) struct Cache {
    shards: Box<[RwLock<Shard>]>,
    /// The limit of each shard.
    shard_bytes: usize,
    next_file: AtomicU64,
    hits: Counter,
    misses: Counter,
}

#[derive(Default)]
struct Shard {
    places: HashMap<PageKey, usize>,
    slots: Vec<Option<Slot>>,
    /// Places in `slots` that are free.
    free: Vec<usize>,
    /// Where the search for something to throw out goes on.
    hand: usize,
    bytes: usize,
}

struct Slot {
    key: PageKey,
    page: Arc<dyn Any + Send + Sync>,
    bytes: usize,
    used: AtomicBool,
}

impl Cache {
    /// A cache of at most so many bytes.
    pub(crate) fn new(limit_bytes: usize) -> Self {
        let shards = (limit_bytes / MIN_SHARD_BYTES).clamp(1, MAX_SHARDS);
        Self {
            shards: (0..shards).map(|_| RwLock::default()).collect(),
            shard_bytes: limit_bytes / shards,
            next_file: AtomicU64::new(1),
            hits: Counter::default(),
            misses: Counter::default(),
        }
    }
    /// A number for a file that was opened; never given twice.
    pub(crate) fn new_file(&self) -> u64 {
        self.next_file.fetch_add(1, Ordering::Relaxed)
    }
    /// A page, loaded when it is not there. Two that miss at once both load; one page stays. A page that is larger
    /// than a shard is handed out and not kept.
    pub(crate) fn get_or_load<P: Page>(
        &self,
        key: PageKey,
        load: impl FnOnce() -> Result<P>,
    ) -> Result<Arc<P>> {
        if let Some(page) = self.get(key) {
            return Ok(page);
        }
        let page = Arc::new(load()?);
        self.put(key, &page);
        Ok(page)
    }
    /// A page if it is there.
    pub(crate) fn get<P: Page>(&self, key: PageKey) -> Option<Arc<P>> {
        let found = {
            let shard = read(self.shard(key));
            let slot = shard
                .places
                .get(&key)
                .and_then(|place| shard.slots[*place].as_ref());
            slot.map(|slot| {
                // A plain look first: a write by every reader would take the line from the others.
                if !slot.used.load(Ordering::Relaxed) {
                    slot.used.store(true, Ordering::Relaxed);
                }
                slot.page.clone()
            })
        };
        let page = found.and_then(|page| page.downcast().ok());
        match page {
            Some(_) => self.hits.inc(),
            None => self.misses.inc(),
        }
        page
    }
    /// Keeps a page.
    pub(crate) fn put<P: Page>(&self, key: PageKey, page: &Arc<P>) {
        let bytes = page.size_bytes() + ENTRY_BYTES;
        if bytes > self.shard_bytes {
            return;
        }
        let mut shard = write(self.shard(key));
        if let Some(place) = shard.places.get(&key).copied() {
            shard.remove(place);
        }
        while shard.bytes + bytes > self.shard_bytes {
            shard.throw_one_out();
        }
        let slot = Slot {
            key,
            page: page.clone(),
            bytes,
            used: AtomicBool::new(false),
        };
        shard.insert(slot);
    }
    /// Forgets the pages of a file that is gone.
    pub(crate) fn forget_file(&self, file: u64) {
        for shard in &self.shards {
            let mut shard = write(shard);
            let places = shard.places.iter().filter(|(key, _)| key.file == file);
            for place in places.map(|(_, place)| *place).collect::<Vec<_>>() {
                shard.remove(place);
            }
        }
    }
    /// Memory taken now.
    pub(crate) fn used_bytes(&self) -> usize {
        self.shards.iter().map(|shard| read(shard).bytes).sum()
    }
    /// How often a page was there.
    #[cfg(test)]
    pub(crate) fn hits(&self) -> u64 {
        self.hits.get()
    }
    /// How often it was not.
    #[cfg(test)]
    pub(crate) fn misses(&self) -> u64 {
        self.misses.get()
    }

    fn shard(&self, key: PageKey) -> &RwLock<Shard> {
        // Fibonacci hashing: neighbouring pages go to different shards.
        let mixed = (key.file ^ (u64::from(key.section) << 40) ^ (u64::from(key.page) << 8))
            .wrapping_mul(0x9E37_79B9_7F4A_7C15);
        &self.shards[(mixed >> 40) as usize % self.shards.len()]
    }
}

impl Shard {
    fn insert(&mut self, slot: Slot) {
        self.bytes += slot.bytes;
        let key = slot.key;
        let place = match self.free.pop() {
            Some(place) => {
                self.slots[place] = Some(slot);
                place
            }
            None => {
                self.slots.push(Some(slot));
                self.slots.len() - 1
            }
        };
        self.places.insert(key, place);
    }
    fn remove(&mut self, place: usize) {
        if let Some(slot) = self.slots[place].take() {
            self.bytes -= slot.bytes;
            self.places.remove(&slot.key);
            self.free.push(place);
        }
    }
    /// Moves the hand on: what was used since it last came by is spared once. There is something in the shard, or
    /// nothing would have to go.
    fn throw_one_out(&mut self) {
        loop {
            let place = self.hand % self.slots.len();
            self.hand = place + 1;
            let spared = match &self.slots[place] {
                Some(slot) => slot.used.swap(false, Ordering::Relaxed),
                None => true,
            };
            if !spared {
                self.remove(place);
                return;
            }
        }
    }
}

fn read(shard: &RwLock<Shard>) -> RwLockReadGuard<'_, Shard> {
    shard.read().unwrap_or_else(PoisonError::into_inner)
}
fn write(shard: &RwLock<Shard>) -> RwLockWriteGuard<'_, Shard> {
    shard.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(file: u64, page: u32) -> PageKey {
        PageKey {
            file,
            section: 0,
            page,
        }
    }
    fn page(len: usize) -> Vec<u8> {
        vec![7; len]
    }

    #[test]
    fn a_page_is_loaded_once_and_what_is_used_stays() {
        let cache = Cache::new(10 * (1000 + ENTRY_BYTES));
        let get = |number: u32| {
            let mut loaded = false;
            let load = || {
                loaded = true;
                Ok(page(1000))
            };
            cache.get_or_load(key(1, number), load).unwrap();
            loaded
        };
        assert!(get(0) && !get(0));
        for number in 1..200 {
            get(number);
            assert!(!get(0), "used all the time, at {number}");
        }
        assert_eq!(cache.used_bytes(), 10 * (1000 + ENTRY_BYTES));
        assert!(get(1), "thrown out long ago");
        assert_eq!((cache.hits(), cache.misses()), (200, 201));
    }

    #[test]
    fn errors_and_pages_that_are_too_large_are_not_kept() {
        let cache = Cache::new(1000);
        let failed = cache.get_or_load::<Vec<u8>>(key(1, 0), || Err(model::Error::corrupt("x")));
        assert!(failed.is_err());
        let large = cache.get_or_load(key(1, 0), || Ok(page(5000))).unwrap();
        assert_eq!((large.len(), cache.used_bytes()), (5000, 0));
    }

    #[test]
    fn a_page_of_another_type_is_a_miss() {
        struct Other;
        impl Page for Other {
            fn size_bytes(&self) -> usize {
                0
            }
        }
        let cache = Cache::new(1000);
        cache.put(key(1, 0), &Arc::new(Other));
        assert!(cache.get::<Vec<u8>>(key(1, 0)).is_none());
        assert!(cache.get::<Other>(key(1, 0)).is_some());
    }

    proptest! {
        #[test]
        fn it_never_holds_more_than_its_limit_nor_a_wrong_page(
            steps in prop::collection::vec((0u64..4, 0u32..30, 0usize..3000), 1..300)
        ) {
            let cache = Cache::new(20_000);
            for (file, number, len) in steps {
                if len == 0 {
                    cache.forget_file(file);
                    prop_assert!((0..30).all(|n| cache.get::<Vec<u8>>(key(file, n)).is_none()));
                    continue;
                }
                let bytes = vec![(file * 30) as u8 + number as u8; len];
                let got = cache.get_or_load(key(file, number), || Ok(bytes.clone())).unwrap();
                prop_assert_eq!(got[0], bytes[0]);
                prop_assert!(cache.used_bytes() <= 20_000);
                let held: usize = cache.shards.iter().map(|s| read(s).places.len()).sum();
                let slots: usize = cache.shards.iter().map(|s| read(s).slots.iter().flatten().count()).sum();
                prop_assert_eq!(held, slots);
            }
        }
    }
}
