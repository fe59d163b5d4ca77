//! Loaded indexes of parts, as many as fit into a bound of memory.

use super::PartIndex;
use model::Result;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Keeps the indexes used last. Shared by all tenants of a store.
pub(crate) struct IndexCache {
    limit_bytes: usize,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    entries: HashMap<u64, Entry>,
    bytes: usize,
    tick: u64,
}

struct Entry {
    index: Arc<PartIndex>,
    bytes: usize,
    used: u64,
}

impl IndexCache {
    pub(crate) fn new(limit_bytes: usize) -> Self {
        Self {
            limit_bytes,
            inner: Mutex::default(),
        }
    }
    /// The index under a key, loaded when it is not there. Two that miss at once both load; one result stays.
    pub(crate) fn get(&self, key: u64, load: impl FnOnce() -> Result<PartIndex>) -> Result<Arc<PartIndex>> {
        {
            let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            inner.tick += 1;
            let tick = inner.tick;
            if let Some(entry) = inner.entries.get_mut(&key) {
                entry.used = tick;
                return Ok(entry.index.clone());
            }
        }
        let index = Arc::new(load()?);
        self.put(key, &index);
        Ok(index)
    }
    /// Forgets the index of a part that is gone.
    pub(crate) fn remove(&self, key: u64) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = inner.entries.remove(&key) {
            inner.bytes -= entry.bytes;
        }
    }

    fn put(&self, key: u64, index: &Arc<PartIndex>) {
        let bytes = index.size_bytes();
        if bytes > self.limit_bytes {
            return;
        }
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        while inner.bytes + bytes > self.limit_bytes {
            let Some(oldest) = inner
                .entries
                .iter()
                .min_by_key(|(_, e)| e.used)
                .map(|(key, _)| *key)
            else {
                break;
            };
            if let Some(entry) = inner.entries.remove(&oldest) {
                inner.bytes -= entry.bytes;
            }
        }
        let used = inner.tick;
        let entry = Entry {
            index: index.clone(),
            bytes,
            used,
        };
        inner.bytes += bytes;
        if let Some(old) = inner.entries.insert(key, entry) {
            inner.bytes -= old.bytes;
        }
    }
}
