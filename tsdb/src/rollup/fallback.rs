//! Series of which the samples left a day before those of others did: each gets a plan of its own.

use super::plan::{Available, Kept, Plan, RAW, of_partition};
use crate::samples::Part;
use model::{Resolution, RolledUp};
use std::collections::HashMap;
use std::sync::Arc;

/// The plans of a query: one for most series, and one for each set of days from which samples of a series have gone while
/// others have theirs.
pub(crate) struct Plans {
    plans: Vec<(Plan, Arc<[RolledUp]>)>,
    /// The days in question, ascending; none in a store without rules.
    pub days: Vec<Day>,
    /// Plans by the days that are answered from windows.
    known: HashMap<Vec<i64>, usize>,
    available: Available,
    asked: (i64, i64),
    resolution: Resolution,
    kept: Kept,
}

/// A day that has windows, and samples of some series only.
pub(crate) struct Day {
    pub partition: i64,
    /// By the place of a series: whether it has a sample.
    pub has_samples: Places,
    /// Whether it has a window.
    pub has_windows: Places,
}

impl Day {
    /// The first and the last time of its samples.
    pub(crate) fn times(&self) -> (i64, i64) {
        let (start_ms, end_ms) = of_partition(self.partition);
        (start_ms, end_ms.saturating_sub(1))
    }
}

impl Plans {
    pub(crate) fn new(parts: &[Arc<Part>], asked: (i64, i64), resolution: Resolution, kept: Kept) -> Self {
        let available = Available::of_parts(parts);
        let plan = Plan::of(&available, asked, resolution, &kept);
        let mut days: Vec<i64> = Vec::new();
        if resolution != Resolution::Raw {
            let metas = parts.iter().map(|p| &p.entry.meta);
            let with_loss = metas.filter(|m| m.resolution_ms == 0 && m.retention_done != 0);
            days.extend(with_loss.map(|m| m.partition));
            days.dedup();
            days.retain(|day| is_in_question(*day, &available, &plan, asked));
        }
        let day = |partition| Day {
            partition,
            has_samples: Places::default(),
            has_windows: Places::default(),
        };
        let rolled_up = plan.rolled_up();
        Self {
            plans: vec![(plan, rolled_up)],
            days: days.into_iter().map(day).collect(),
            known: HashMap::from([(Vec::new(), 0)]),
            available,
            asked,
            resolution,
            kept,
        }
    }
    /// The plan of most series.
    pub(crate) fn first(&self) -> &Plan {
        &self.plans[0].0
    }
    pub(crate) fn get(&self, number: usize) -> &Plan {
        &self.plans[number].0
    }
    /// What of a plan is windows.
    pub(crate) fn rolled_up(&self, number: usize) -> &Arc<[RolledUp]> {
        &self.plans[number].1
    }
    /// The number of the plan for the series at a place, once it is known what it has on the days in question.
    pub(crate) fn of(&mut self, place: usize) -> usize {
        let is_gone = |day: &&Day| day.has_windows.contains(place) && !day.has_samples.contains(place);
        let gone: Vec<i64> = self.days.iter().filter(is_gone).map(|d| d.partition).collect();
        if let Some(number) = self.known.get(&gone) {
            return *number;
        }
        let plan = Plan::of(
            &self.available.without_samples(&gone),
            self.asked,
            self.resolution,
            &self.kept,
        );
        let rolled_up = plan.rolled_up();
        self.plans.push((plan, rolled_up));
        self.known.insert(gone, self.plans.len() - 1);
        self.plans.len() - 1
    }
    /// Two places turn out to be one series; gives its plan.
    pub(crate) fn join(&mut self, place: usize, other: usize) -> usize {
        for day in &mut self.days {
            day.has_samples.join(place, other);
            day.has_windows.join(place, other);
        }
        self.of(place)
    }
}

/// Whether a day has windows, and the request gets samples of it; or ends so shortly before it that a window of it may
/// belong to the answer.
fn is_in_question(day: i64, available: &Available, plan: &Plan, asked: (i64, i64)) -> bool {
    let (start_ms, end_ms) = of_partition(day);
    let Some(widest_ms) = available.widest_ms(day) else {
        return false;
    };
    let is_near = end_ms < asked.0 && asked.0.saturating_sub(widest_ms) <= end_ms;
    let mut raw = plan.stretches().iter().filter(|s| s.resolution_ms == RAW);
    is_near || raw.any(|s| s.after_ms < end_ms && start_ms < s.until_ms)
}

/// Places in a list, as bits.
#[derive(Debug, Default)]
pub(crate) struct Places(Vec<u64>);

impl Places {
    pub(crate) fn insert(&mut self, place: usize) {
        let word = place / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (place % 64);
    }
    pub(crate) fn contains(&self, place: usize) -> bool {
        self.0
            .get(place / 64)
            .is_some_and(|word| word >> (place % 64) & 1 == 1)
    }
    fn join(&mut self, place: usize, other: usize) {
        if self.contains(other) {
            self.insert(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_a_set() {
        let mut places = Places::default();
        for place in [0, 63, 64, 200] {
            places.insert(place);
        }
        let found: Vec<usize> = (0..300).filter(|p| places.contains(*p)).collect();
        assert_eq!(found, [0, 63, 64, 200]);
        places.join(5, 64);
        places.join(6, 65);
        assert!(places.contains(5) && !places.contains(6));
    }
}
