//! A cache with a limit in bytes: what was used longest ago goes first.

use model::Result;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A cache of shared values by number.
pub(crate) struct Cache<V> {
    inner: Mutex<Inner<V>>,
    max_bytes: usize,
}

struct Inner<V> {
    entries: HashMap<u64, Entry<V>>,
    bytes: usize,
    tick: u64,
}

struct Entry<V> {
    value: Arc<V>,
    bytes: usize,
    used: u64,
}

/// Every entry costs at least this, so that the number of entries (and of open files) is limited as well.
const MIN_ENTRY_BYTES: usize = 128 << 10;

impl<V> Cache<V> {
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self {
            inner: Mutex::new(Inner {
                entries: HashMap::new(),
                bytes: 0,
                tick: 0,
            }),
            max_bytes,
        }
    }
    fn inner(&self) -> MutexGuard<'_, Inner<V>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// The value, loaded when it is not there. `load` says how many bytes it takes; it runs without the lock, so
    /// two callers may load the same value at once and one of them wins.
    pub(crate) fn get(&self, key: u64, load: impl FnOnce() -> Result<(V, usize)>) -> Result<Arc<V>> {
        {
            let mut inner = self.inner();
            inner.tick += 1;
            let tick = inner.tick;
            if let Some(entry) = inner.entries.get_mut(&key) {
                entry.used = tick;
                return Ok(Arc::clone(&entry.value));
            }
        }
        let (value, bytes) = load()?;
        let (value, bytes) = (Arc::new(value), bytes.max(MIN_ENTRY_BYTES));
        let mut inner = self.inner();
        let entry = Entry {
            value: Arc::clone(&value),
            bytes,
            used: inner.tick,
        };
        inner.bytes += bytes;
        if let Some(old) = inner.entries.insert(key, entry) {
            inner.bytes -= old.bytes;
        }
        while inner.bytes > self.max_bytes && inner.entries.len() > 1 {
            let Some(oldest) = inner.entries.iter().min_by_key(|(_, e)| e.used).map(|(k, _)| *k) else {
                break;
            };
            if let Some(old) = inner.entries.remove(&oldest) {
                inner.bytes -= old.bytes;
            }
        }
        Ok(value)
    }
    /// Forgets a value.
    pub(crate) fn remove(&self, key: u64) {
        let mut inner = self.inner();
        if let Some(old) = inner.entries.remove(&key) {
            inner.bytes -= old.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_unused_goes_first() {
        let cache = Cache::new(2 * MIN_ENTRY_BYTES);
        let get = |key: u64| {
            let mut loaded = false;
            let value = cache.get(key, || {
                loaded = true;
                Ok((key * 10, 1))
            });
            assert_eq!(*value.unwrap(), key * 10);
            loaded
        };
        assert!(get(1) && get(2));
        assert!(!get(1));
        assert!(get(3), "2 was used longest ago and goes");
        assert!(!get(1) && get(2));
        cache.remove(2);
        assert!(get(2));
    }

    #[test]
    fn an_error_is_not_kept() {
        let cache = Cache::new(1);
        assert!(cache.get(1, || Err(model::Error::corrupt("x"))).is_err());
        assert_eq!(*cache.get(1, || Ok((5, 1))).unwrap(), 5);
    }
}
