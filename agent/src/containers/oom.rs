//! Counting OOM kills, from two sources that each may miss some: the group's own counter, which vanishes with
//! the group, and the kernel's log, which may not be readable.

use super::kernel_log::OomKill;
use model::Labels;
use std::collections::HashMap;

/// How long the counter of a container that is gone is still shown, so that alerts over a few minutes see it.
const KEEP_MS: i64 = 15 * 60_000;
/// Containers that are gone and still shown.
const MAX_GONE: usize = 1000;

/// The count of one container.
#[derive(Debug, Clone, PartialEq)]
struct Count {
    labels: Labels,
    /// The group's counter when it was first seen, where that was before our time.
    base: u64,
    /// Which group the counter belongs to, and how far it was when last read.
    last: (u64, u64),
    /// How far the counters of all groups of this path got since.
    from_group: u64,
    /// Kills in the kernel's log since.
    from_log: u64,
    /// When the group was last there, or the kill was read.
    last_seen_ms: i64,
}

impl Count {
    fn new(labels: Labels, base: u64, last: (u64, u64), now_ms: i64) -> Self {
        Self {
            labels,
            base,
            last,
            from_group: 0,
            from_log: 0,
            last_seen_ms: now_ms,
        }
    }
    /// Each kill raises both sources by one, in either order; the one that saw more is right.
    fn total(&self) -> u64 {
        self.base + self.from_group.max(self.from_log)
    }
}

/// A value to show.
#[derive(Debug, Clone, PartialEq)]
pub struct OomValue {
    /// The container's labels.
    pub labels: Labels,
    /// Kills so far.
    pub total: u64,
    /// Whether a zero has to be shown before it: the counter was never shown and is not zero.
    pub zero_first: bool,
}

/// All counts, by the container's path in the memory tree.
#[derive(Debug, Default)]
pub struct OomCounts {
    counts: HashMap<String, Count>,
    /// Paths whose counter was shown at least once.
    shown: HashMap<String, ()>,
    /// Whether a first full round has passed. What has a count by then has it from before our time.
    started: bool,
}

impl OomCounts {
    /// A container is there, with its group's counter where that could be read. `group` tells groups apart that
    /// follow each other under one path.
    pub fn seen(&mut self, path: &str, labels: &Labels, group: u64, group_count: Option<u64>, now_ms: i64) {
        let now_count = group_count.unwrap_or(0);
        // A container that came after the first round has started from zero under our eyes.
        let base = if self.started { 0 } else { now_count };
        let count = self
            .counts
            .entry(path.to_owned())
            .or_insert_with(|| Count::new(labels.clone(), base, (group, base), now_ms));
        if count.last.0 != group {
            count.last = (group, 0);
        }
        count.from_group += now_count.saturating_sub(count.last.1);
        count.last.1 = count.last.1.max(now_count);
        if count.labels != *labels {
            count.labels = labels.clone();
        }
        count.last_seen_ms = now_ms;
    }
    /// The kernel's log tells of a kill in a container that was found by its path; `labels` are those to show
    /// when the container was never seen alive.
    pub fn killed(&mut self, path: &str, labels: impl FnOnce() -> Labels, now_ms: i64) -> Labels {
        let count = self
            .counts
            .entry(path.to_owned())
            .or_insert_with(|| Count::new(labels(), 0, (0, 0), now_ms));
        count.from_log += 1;
        count.last_seen_ms = now_ms;
        count.labels.clone()
    }
    /// The container of which a path in the kernel's log is part: itself or a group below it.
    pub fn path_of(&self, kill: &OomKill) -> Option<String> {
        let mut path = kill.group.as_str();
        loop {
            if self.counts.contains_key(path) {
                return Some(path.to_owned());
            }
            path = path.rsplit_once('/')?.0;
        }
    }
    /// What to show now. What is gone for long is forgotten.
    pub fn values(&mut self, now_ms: i64) -> Vec<OomValue> {
        self.counts.retain(|_, c| now_ms - c.last_seen_ms <= KEEP_MS);
        self.forget_oldest(now_ms);
        let counts = &self.counts;
        self.shown.retain(|path, ()| counts.contains_key(path));
        let mut values: Vec<(&String, OomValue)> = Vec::with_capacity(counts.len());
        for (path, count) in counts {
            let first = self.shown.insert(path.clone(), ()).is_none();
            let value = OomValue {
                labels: count.labels.clone(),
                total: count.total(),
                zero_first: first && count.total() > 0 && count.base == 0,
            };
            values.push((path, value));
        }
        values.sort_by(|a, b| a.0.cmp(b.0));
        values.into_iter().map(|(_, value)| value).collect()
    }
    /// Marks the end of a full round.
    pub fn round_done(&mut self) {
        self.started = true;
    }

    fn forget_oldest(&mut self, now_ms: i64) {
        let gone = self.counts.values().filter(|c| c.last_seen_ms < now_ms).count();
        if gone <= MAX_GONE {
            return;
        }
        let mut times: Vec<i64> = self
            .counts
            .values()
            .map(|c| c.last_seen_ms)
            .filter(|t| *t < now_ms)
            .collect();
        times.sort_unstable();
        let oldest_kept = times[gone - MAX_GONE];
        self.counts
            .retain(|_, c| c.last_seen_ms >= oldest_kept || c.last_seen_ms >= now_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(name: &str) -> Labels {
        Labels::from_pairs([("name", name)])
    }

    fn totals(counts: &mut OomCounts, now_ms: i64) -> Vec<(u64, bool)> {
        counts
            .values(now_ms)
            .iter()
            .map(|v| (v.total, v.zero_first))
            .collect()
    }

    #[test]
    fn each_kill_counts_once_whichever_source_sees_it_first() {
        let mut c = OomCounts::default();
        c.seen("/a", &labels("a"), 1, Some(3), 0);
        c.round_done();
        assert_eq!(
            totals(&mut c, 0),
            [(3, false)],
            "from before our time: as it stands"
        );
        c.killed("/a", || labels("a"), 1);
        assert_eq!(totals(&mut c, 1), [(4, false)]);
        c.seen("/a", &labels("a"), 1, Some(4), 2);
        assert_eq!(totals(&mut c, 2), [(4, false)]);
        c.seen("/a", &labels("a"), 1, Some(5), 3);
        c.killed("/a", || labels("a"), 4);
        assert_eq!(totals(&mut c, 4), [(5, false)]);
    }

    #[test]
    fn a_container_that_dies_at_once_is_shown_from_zero_and_for_a_while() {
        let mut c = OomCounts::default();
        c.round_done();
        c.killed("/short", || labels("short"), 10);
        assert_eq!(totals(&mut c, 10), [(1, true)]);
        assert_eq!(totals(&mut c, 20), [(1, false)]);
        assert_eq!(totals(&mut c, 10 + KEEP_MS), [(1, false)]);
        // A second container of the same name, killed as well; the first one's group is gone.
        c.seen("/short", &labels("short"), 2, Some(0), 30);
        c.seen("/short", &labels("short"), 2, Some(1), 31);
        c.killed("/short", || labels("short"), 32);
        assert_eq!(totals(&mut c, 32), [(2, false)]);
        assert_eq!(totals(&mut c, 33 + KEEP_MS), []);
        // Without the kernel's log: a new container whose counter stands at one at first sight.
        c.seen("/new", &labels("new"), 1, Some(1), 0);
        assert_eq!(totals(&mut c, 1), [(1, true)]);
    }

    #[test]
    fn a_kill_is_found_by_the_nearest_known_group() {
        let mut c = OomCounts::default();
        c.seen("/docker/a", &labels("a"), 1, Some(0), 0);
        let kill = |group: &str| OomKill {
            sequence: 1,
            since_boot_us: 1,
            limited_group: String::new(),
            group: group.to_owned(),
            process: "p".into(),
            pid: 1,
            line: String::new(),
        };
        assert_eq!(c.path_of(&kill("/docker/a/init.scope")), Some("/docker/a".into()));
        assert_eq!(c.path_of(&kill("/docker/b")), None);
        for i in 0..(MAX_GONE + 5) {
            c.killed(&format!("/gone/{i}"), || labels("x"), i64::try_from(i).unwrap());
        }
        c.seen("/docker/a", &labels("a"), 1, Some(0), 10_000);
        assert_eq!(c.values(10_000).len(), MAX_GONE + 1);
    }
}
