//! Which stretch of time a query is answered for from which resolution.

use crate::options::Options;
use crate::samples::{PARTITION_MS, Part, PartMeta};
use crate::validate;
use model::{Resolution, RolledUp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Samples as they came.
pub(super) const RAW: i64 = 0;

/// From when on there is data inside the retention.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    /// The first time of samples as they came.
    raw_ms: i64,
    /// By resolution: the first end of a window.
    windows_ms: BTreeMap<i64, i64>,
}

impl Kept {
    /// What is inside the retention at a time.
    pub(crate) fn new(options: &Options, now_ms: i64) -> Self {
        let first = |rollup: &crate::Rollup| {
            let first_ms = now_ms.saturating_sub_unsigned(rollup.retention_ms);
            (as_signed(rollup.resolution_ms), first_ms)
        };
        Self {
            raw_ms: validate::first_kept_ms(options, now_ms),
            windows_ms: options.rollups.iter().map(first).collect(),
        }
    }
    /// The first time kept of a resolution. What is not configured any more is kept: a typing error must not cost years.
    pub(crate) fn first_ms(&self, resolution_ms: i64) -> i64 {
        match resolution_ms {
            RAW => self.raw_ms,
            windows => self.windows_ms.get(&windows).copied().unwrap_or(i64::MIN),
        }
    }
}

/// The stretches of a query: ascending and disjoint. Times in none of them have no data inside the retention.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Resolution 0: samples as they came.
    stretches: Vec<RolledUp>,
    /// The request begins after this time.
    asked_after_ms: i64,
}

/// What is there, by partition.
#[derive(Debug, Clone, Default)]
pub(super) struct Available {
    /// The resolutions of windows, ascending.
    windows: BTreeMap<i64, BTreeSet<i64>>,
    /// Partitions with parts of samples as they came.
    raw: BTreeSet<i64>,
}

impl Plan {
    /// A plan for the times of a request, both included. Each point of time comes from one resolution. Where the first
    /// stretch is of windows, it begins one window earlier than asked.
    pub(super) fn of(
        available: &Available,
        (start_ms, end_ms): (i64, i64),
        resolution: Resolution,
        kept: &Kept,
    ) -> Self {
        let stretches_from = |start_ms| stretches(available, (start_ms, end_ms), resolution, kept);
        let mut stretches = stretches_from(start_ms);
        if let Some(first) = stretches.first().filter(|s| s.resolution_ms > 0) {
            stretches = stretches_from(start_ms.saturating_sub(first.resolution_ms));
        }
        Self {
            stretches,
            asked_after_ms: start_ms.saturating_sub(1),
        }
    }

    /// The range of times from the first to the last sample as it came; an empty one when none is wanted.
    pub(crate) fn raw_range(&self) -> (i64, i64) {
        let mut raw = self.stretches.iter().filter(|s| s.resolution_ms == RAW);
        match (raw.next(), raw.next_back()) {
            (Some(first), last) => (self.raw_from_ms(first), last.unwrap_or(first).until_ms),
            (None, _) => (i64::MAX, i64::MIN),
        }
    }
    /// The first time at which a stretch of samples is read. After windows that is where they end: the window of that
    /// time holds the number there, but the histogram stays with the day that begins.
    fn raw_from_ms(&self, stretch: &RolledUp) -> i64 {
        let has_windows_before = self
            .stretches
            .first()
            .is_some_and(|s| s.after_ms < stretch.after_ms);
        stretch.after_ms.saturating_add(i64::from(!has_windows_before))
    }
    /// Whether samples as they came are wanted at a time.
    #[cfg(test)]
    pub(crate) fn is_raw(&self, time_ms: i64) -> bool {
        let at = self.stretches.partition_point(|s| s.until_ms < time_ms);
        let stretch = self.stretches.get(at).filter(|s| s.after_ms < time_ms);
        stretch.is_some_and(|s| s.resolution_ms == RAW)
    }
    /// Whether all of it is samples as they came, in one stretch or none.
    pub(crate) fn is_all_raw(&self) -> bool {
        self.stretches.len() <= 1 && self.stretches.iter().all(|s| s.resolution_ms == RAW)
    }
    /// The stretches, those of samples included.
    pub(super) fn stretches(&self) -> &[RolledUp] {
        &self.stretches
    }
    /// The stretches of windows.
    pub(crate) fn rolled_up(&self) -> Arc<[RolledUp]> {
        let windows = self.stretches.iter().filter(|s| s.resolution_ms != RAW);
        windows.copied().collect()
    }
    /// Which of the times in a part are wanted, as ranges of times as they stand in the file, both included.
    pub(crate) fn ranges(&self, meta: &PartMeta) -> impl Iterator<Item = (i64, i64)> + '_ {
        let resolution_ms = as_signed(meta.resolution_ms);
        let (min_ms, max_ms) = (meta.min_ms, meta.max_ms);
        let first = self
            .stretches
            .partition_point(|s| s.until_ms.saturating_add(1) < min_ms);
        self.stretches[first..]
            .iter()
            .take_while(move |s| s.after_ms <= max_ms)
            .filter(move |s| s.resolution_ms == resolution_ms)
            .map(move |s| {
                // A window stands one millisecond before its end, a histogram at its own time.
                let from_ms = match resolution_ms {
                    RAW => self.raw_from_ms(s),
                    _ => s.after_ms,
                };
                (from_ms.max(min_ms), s.until_ms.min(max_ms))
            })
            .filter(|(from, to)| from <= to)
    }
    /// What a part of windows gives to the answer; for the note to the user.
    pub(crate) fn used(&self, meta: &PartMeta) -> Option<RolledUp> {
        if meta.resolution_ms == 0 {
            return None;
        }
        let resolution_ms = as_signed(meta.resolution_ms);
        let start_ms = round_up(meta.min_ms, resolution_ms).saturating_sub(resolution_ms);
        let end_ms = round_up(meta.max_ms, resolution_ms);
        let day_ms = meta.partition.saturating_mul(PARTITION_MS);
        let cut = |s: &RolledUp| RolledUp {
            after_ms: s.after_ms.max(start_ms).max(day_ms).max(self.asked_after_ms),
            until_ms: s.until_ms.min(end_ms),
            resolution_ms,
        };
        let here = self.stretches.iter().filter(|s| s.resolution_ms == resolution_ms);
        let mut here = here.map(cut).filter(|s| s.after_ms < s.until_ms);
        let first = here.next()?;
        Some(RolledUp {
            until_ms: here.next_back().unwrap_or(first).until_ms,
            ..first
        })
    }
}

/// The stretches of a request, exactly.
fn stretches(
    available: &Available,
    range_ms: (i64, i64),
    resolution: Resolution,
    kept: &Kept,
) -> Vec<RolledUp> {
    let mut stretches = Stretches {
        after_ms: range_ms.0.saturating_sub(1),
        until_ms: range_ms.1,
        done: Vec::new(),
    };
    // With windows configured, samples stay to be seen until the windows of their day are there.
    let before_raw_ms = if kept.windows_ms.is_empty() || resolution == Resolution::Raw {
        kept.raw_ms.saturating_sub(1)
    } else {
        i64::MIN
    };
    let mut end_ms = i64::MIN;
    let none = BTreeMap::new();
    let days = match resolution {
        Resolution::Raw => &none,
        _ => &available.windows,
    };
    for (partition, windows) in days {
        let (start_ms, day_end_ms) = of_partition(*partition);
        stretches.push(end_ms.max(before_raw_ms), start_ms, RAW);
        end_ms = day_end_ms;
        let has_raw = available.raw.contains(partition);
        for (after_ms, until_ms, resolution_ms) in
            of_day((start_ms, end_ms), has_raw, windows, resolution, kept)
        {
            stretches.push(after_ms, until_ms, resolution_ms);
        }
    }
    stretches.push(end_ms.max(before_raw_ms), i64::MAX, RAW);
    stretches.done
}

/// The stretches of a day for which there are windows, ascending, not yet cut to the request.
fn of_day(
    (start_ms, day_end_ms): (i64, i64),
    has_raw: bool,
    windows: &BTreeSet<i64>,
    resolution: Resolution,
    kept: &Kept,
) -> Vec<(i64, i64, i64)> {
    // Cuts lie where windows of all resolutions end.
    let widest_ms = windows.last().copied().unwrap_or(1).max(1);
    let mut until_ms = day_end_ms;
    let mut found = Vec::new();
    for layer in preference(windows, resolution) {
        let first_ms = match layer {
            RAW if !has_raw => i64::MAX,
            layer => kept.first_ms(layer),
        };
        let after_ms = round_up(first_ms.saturating_sub(1), widest_ms).clamp(start_ms, until_ms);
        if after_ms < until_ms {
            found.push((after_ms, until_ms, layer));
        }
        until_ms = after_ms;
    }
    found.reverse();
    found
}

/// Resolutions in the order in which they are taken: the next where the one before has ended.
fn preference(windows: &BTreeSet<i64>, resolution: Resolution) -> Vec<i64> {
    let at_most = match resolution {
        Resolution::Auto | Resolution::Raw => 0,
        Resolution::AtMost(ms) => ms,
    };
    let asked = windows.iter().rev().filter(|r| **r <= at_most);
    let wider = windows.iter().filter(|r| **r > at_most);
    asked.chain([&RAW]).chain(wider).copied().collect()
}

fn round_up(time_ms: i64, to_ms: i64) -> i64 {
    let rest = time_ms.rem_euclid(to_ms);
    match rest {
        0 => time_ms,
        rest => time_ms.saturating_add(to_ms - rest),
    }
}

fn as_signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

/// When a partition begins, and the midnight that ends it.
pub(super) fn of_partition(partition: i64) -> (i64, i64) {
    let start_ms = partition.saturating_mul(PARTITION_MS);
    (start_ms, start_ms.saturating_add(PARTITION_MS))
}

impl Available {
    /// What matters of the parts of a store.
    pub(super) fn of_parts(parts: &[Arc<Part>]) -> Self {
        // Parts of windows come last.
        match parts.last() {
            Some(last) if last.entry.meta.resolution_ms > 0 => Self::of(parts.iter().map(|p| &p.entry.meta)),
            _ => Self::default(),
        }
    }
    /// The widest windows of a day.
    pub(super) fn widest_ms(&self, partition: i64) -> Option<i64> {
        self.windows.get(&partition)?.last().copied()
    }
    /// The same as if some days had no samples.
    pub(super) fn without_samples(&self, days: &[i64]) -> Self {
        let mut without = self.clone();
        without.raw.retain(|day| days.binary_search(day).is_err());
        without
    }
    fn of<'a>(parts: impl Iterator<Item = &'a PartMeta>) -> Self {
        let mut available = Self::default();
        for meta in parts {
            if meta.resolution_ms == 0 {
                available.raw.insert(meta.partition);
            } else {
                let of_day = available.windows.entry(meta.partition).or_default();
                of_day.insert(as_signed(meta.resolution_ms));
            }
        }
        available
    }
}

/// Stretches that grow together where they touch.
struct Stretches {
    after_ms: i64,
    until_ms: i64,
    done: Vec<RolledUp>,
}

impl Stretches {
    fn push(&mut self, after_ms: i64, until_ms: i64, resolution_ms: i64) {
        let (after_ms, until_ms) = (after_ms.max(self.after_ms), until_ms.min(self.until_ms));
        if after_ms >= until_ms {
            return;
        }
        if let Some(last) = self.done.last_mut()
            && last.until_ms == after_ms
            && last.resolution_ms == resolution_ms
        {
            last.until_ms = until_ms;
            return;
        }
        self.done.push(RolledUp {
            after_ms,
            until_ms,
            resolution_ms,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const M5: i64 = 300_000;
    const H1: i64 = 3_600_000;
    const DAY: i64 = PARTITION_MS;

    /// Days 0 to 9: samples from day 5 on, windows up to day 7, those of 5 minutes from day 3 on.
    fn available() -> Available {
        let mut available = Available::default();
        available.raw.extend(5..10);
        for day in 0..=7 {
            let of_day = available.windows.entry(day).or_default();
            of_day.insert(H1);
            if day >= 3 {
                of_day.insert(M5);
            }
        }
        available
    }

    fn kept_from(raw_ms: i64, m5_ms: i64) -> Kept {
        Kept {
            raw_ms,
            windows_ms: BTreeMap::from([(M5, m5_ms), (H1, 0)]),
        }
    }

    fn check(resolution: Resolution, range: (i64, i64), kept: &Kept, expected: &[(i64, i64, i64)]) {
        let plan = Plan::of(&available(), range, resolution, kept);
        let found: Vec<_> = plan
            .stretches
            .iter()
            .map(|s| (s.after_ms, s.until_ms, s.resolution_ms))
            .collect();
        assert_eq!(found, expected, "{resolution:?} {range:?}");
    }

    #[test]
    fn windows_are_used_where_the_samples_have_ended() {
        // Retention cuts through windows: the whole window is answered from the wider resolution.
        let kept = kept_from(5 * DAY + H1 + 1, 3 * DAY + 1);
        let all = (DAY + 1, 9 * DAY);
        check(
            Resolution::Auto,
            all,
            &kept,
            &[
                (DAY - H1, 3 * DAY, H1),
                (3 * DAY, 5 * DAY + H1, M5),
                (5 * DAY + H1, 9 * DAY, 0),
            ],
        );
        let later = kept_from(5 * DAY + H1 + 2, 3 * DAY + 2);
        check(
            Resolution::Auto,
            all,
            &later,
            &[
                (DAY - H1, 3 * DAY + H1, H1),
                (3 * DAY + H1, 5 * DAY + 2 * H1, M5),
                (5 * DAY + 2 * H1, 9 * DAY, 0),
            ],
        );
        check(
            Resolution::Auto,
            (6 * DAY, 7 * DAY),
            &kept,
            &[(6 * DAY - 1, 7 * DAY, 0)],
        );
        check(Resolution::Raw, all, &kept, &[(5 * DAY + H1, 9 * DAY, 0)]);
        check(
            Resolution::AtMost(H1),
            all,
            &kept,
            &[(DAY - H1, 8 * DAY, H1), (8 * DAY, 9 * DAY, 0)],
        );
        check(
            Resolution::AtMost(H1 - 1),
            all,
            &kept,
            &[
                (DAY - H1, 3 * DAY, H1),
                (3 * DAY, 8 * DAY, M5),
                (8 * DAY, 9 * DAY, 0),
            ],
        );
    }

    #[test]
    fn a_day_without_samples_is_answered_from_its_windows() {
        // Removed for their size, say, though inside the retention.
        let kept = Kept {
            raw_ms: i64::MIN,
            windows_ms: BTreeMap::new(),
        };
        check(
            Resolution::Auto,
            (4 * DAY + 1, 6 * DAY),
            &kept,
            &[(4 * DAY - M5, 5 * DAY, M5), (5 * DAY, 6 * DAY, 0)],
        );
    }

    #[test]
    fn without_windows_the_retention_is_the_border() {
        let kept = Kept {
            raw_ms: 500,
            windows_ms: BTreeMap::new(),
        };
        let plan = |range| Plan::of(&Available::default(), range, Resolution::Auto, &kept);
        assert_eq!(plan((0, 900)).raw_range(), (500, 900));
        assert_eq!(plan((600, 900)).raw_range(), (600, 900));
        assert!(plan((0, 900)).is_raw(500) && !plan((0, 900)).is_raw(499));
        let nothing = plan((0, 400));
        assert!(nothing.is_all_raw() && nothing.raw_range().0 > nothing.raw_range().1);
    }

    #[test]
    fn ranges_of_a_file_are_those_of_its_resolution() {
        let kept = kept_from(5 * DAY + H1 + 1, 3 * DAY + 1);
        let plan = Plan::of(&available(), (DAY + 1, 9 * DAY), Resolution::Auto, &kept);
        let meta = |partition: i64, resolution_ms: i64| PartMeta {
            partition,
            min_ms: partition * DAY,
            max_ms: partition * DAY + DAY - 1,
            series: 0,
            samples: 0,
            generation: 0,
            resolution_ms: resolution_ms as u64,
            deletions_done: 0,
            retention_done: 0,
        };
        let check = |partition, resolution, expected: &[(i64, i64)]| {
            let found: Vec<_> = plan.ranges(&meta(partition, resolution)).collect();
            assert_eq!(found, expected, "{partition} {resolution}");
        };
        let day = |n: i64| n * DAY;
        // With the place where the windows end: a histogram may stand there.
        check(5, 0, &[(day(5) + H1, day(6) - 1)]);
        check(4, 0, &[]);
        check(5, M5, &[(day(5), day(5) + H1)]);
        check(4, M5, &[(day(4), day(5) - 1)]);
        check(4, H1, &[]);
        check(0, H1, &[(day(1) - H1, day(1) - 1)]);
        assert_eq!(
            plan.used(&meta(5, M5)).map(|u| (u.after_ms, u.until_ms)),
            Some((day(5), day(5) + H1))
        );
    }
}
