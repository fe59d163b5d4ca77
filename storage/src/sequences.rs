//! The last sequence of each sender, by which a retry is recognised.

use model::Origin;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::HashMap;

/// Senders remembered by default.
pub const DEFAULT_CAPACITY: usize = 100_000;

/// The last sequence taken from each `(agent, epoch, stream)`. Part of a store's state: changed by `apply` in
/// log order, kept in the manifest. When more senders turn up than fit, the ones longest silent are forgotten.
#[derive(Debug, Clone)]
pub struct Sequences {
    last: HashMap<(String, u64, String), Entry>,
    /// Counts observations, to know who was silent longest.
    tick: u64,
    capacity: usize,
    forgotten: u64,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    sequence: u64,
    seen: u64,
}

#[derive(Serialize, Deserialize)]
struct Row {
    agent: String,
    epoch: u64,
    stream: String,
    sequence: u64,
}

impl Default for Sequences {
    fn default() -> Self {
        Self::with_capacity(DEFAULT_CAPACITY)
    }
}

impl Sequences {
    /// Remembers at most this many senders.
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            last: HashMap::new(),
            tick: 0,
            capacity: capacity.max(1),
            forgotten: 0,
        }
    }
    /// Whether a batch of this origin was taken before.
    pub fn is_retry(&self, origin: &Origin) -> bool {
        let key = (origin.agent.clone(), origin.epoch, origin.stream.clone());
        origin.sequence <= self.last.get(&key).map_or(0, |e| e.sequence)
    }
    /// Takes note of a batch; false when it was taken before.
    pub fn observe(&mut self, origin: &Origin) -> bool {
        self.tick += 1;
        let seen = self.tick;
        let key = (origin.agent.clone(), origin.epoch, origin.stream.clone());
        if let Some(entry) = self.last.get_mut(&key) {
            entry.seen = seen;
            let new = origin.sequence > entry.sequence;
            entry.sequence = entry.sequence.max(origin.sequence);
            return new;
        }
        if self.last.len() >= self.capacity {
            self.forget_some();
        }
        let sequence = origin.sequence;
        self.last.insert(key, Entry { sequence, seen });
        // Sequences count from 1, so that a 0 is never new.
        sequence > 0
    }
    /// Senders remembered now.
    pub fn len(&self) -> usize {
        self.last.len()
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.last.is_empty()
    }
    /// Senders forgotten since the start because there were too many.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Forgets a quarter at once, so that many new senders do not cost a search each.
    fn forget_some(&mut self) {
        let mut seen: Vec<u64> = self.last.values().map(|e| e.seen).collect();
        seen.sort_unstable();
        let oldest_kept = seen[seen.len().div_ceil(4).min(seen.len() - 1)];
        let before = self.last.len();
        self.last.retain(|_, e| e.seen >= oldest_kept && before > 1);
        self.forgotten += (before - self.last.len()) as u64;
    }
}

impl Serialize for Sequences {
    /// A list, the longest silent first, so that reading it back gives the same order.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut entries: Vec<_> = self.last.iter().collect();
        entries.sort_by_key(|(_, e)| e.seen);
        serializer.collect_seq(entries.into_iter().map(|((agent, epoch, stream), e)| Row {
            agent: agent.clone(),
            epoch: *epoch,
            stream: stream.clone(),
            sequence: e.sequence,
        }))
    }
}

impl<'de> Deserialize<'de> for Sequences {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut sequences = Self::default();
        for row in Vec::<Row>::deserialize(deserializer)? {
            sequences.observe(&Origin {
                agent: row.agent,
                epoch: row.epoch,
                stream: row.stream,
                sequence: row.sequence,
            });
        }
        Ok(sequences)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(agent: &str, sequence: u64) -> Origin {
        Origin {
            agent: agent.into(),
            epoch: 1,
            stream: "s".into(),
            sequence,
        }
    }

    #[test]
    fn a_retry_is_known_also_after_reading_back() {
        let mut s = Sequences::default();
        let check = |s: &mut Sequences, agent: &str, sequence: u64, new: bool| {
            assert_eq!(s.is_retry(&origin(agent, sequence)), !new);
            assert_eq!(s.observe(&origin(agent, sequence)), new, "{agent} {sequence}");
        };
        check(&mut s, "a", 1, true);
        check(&mut s, "a", 1, false);
        check(&mut s, "a", 5, true);
        check(&mut s, "a", 4, false);
        check(&mut s, "b", 1, true);
        let mut again: Sequences = serde_json::from_str(&serde_json::to_string(&s).unwrap()).unwrap();
        check(&mut again, "a", 5, false);
        check(&mut again, "b", 2, true);
    }

    #[test]
    fn the_longest_silent_are_forgotten_first() {
        let mut s = Sequences::with_capacity(4);
        for agent in ["a", "b", "c", "d"] {
            s.observe(&origin(agent, 1));
        }
        s.observe(&origin("a", 2));
        s.observe(&origin("e", 1));
        assert_eq!((s.len(), s.forgotten()), (4, 1));
        assert!(s.is_retry(&origin("a", 2)) && s.is_retry(&origin("c", 1)) && !s.is_retry(&origin("b", 1)));
        let mut one = Sequences::with_capacity(1);
        one.observe(&origin("a", 1));
        one.observe(&origin("b", 1));
        assert_eq!(one.len(), 1);
    }
}
