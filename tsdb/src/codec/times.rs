//! Time columns: the slots of a regular grid, and how far each time is from its slot.

use super::{Effort, ints};
use crate::bytes::{Cursor, bad, put_int, put_uint};
use model::Result;

/// Where scrapes were due: at `first + step * slot`.
#[derive(Debug, PartialEq)]
struct Grid {
    step: i64,
    /// Where the slot is not the one after the last, by index: how many more, or -1 where it is the same.
    jumps: Vec<(usize, i64)>,
}

/// Appends a column of at least one time in milliseconds.
pub(crate) fn encode(into: &mut Vec<u8>, times: &[i64], effort: Effort) {
    let grid = Grid::of(times).unwrap_or(Grid {
        step: 0,
        jumps: Vec::new(),
    });
    put_int(into, times[0]);
    put_uint(into, grid.step as u64);
    put_uint(into, grid.jumps.len() as u64);
    let mut previous = 0;
    for (at, jump) in &grid.jumps {
        put_uint(into, (at - previous) as u64);
        put_int(into, *jump);
        previous = *at;
    }
    let due = grid.due(times[0], times.len());
    let deviations: Vec<i64> = times
        .iter()
        .zip(due)
        .map(|(time, due)| time.wrapping_sub(due))
        .collect();
    ints::encode(into, &deviations, effort);
}

/// Appends the `count` times of a column, from exactly the column's bytes.
pub(crate) fn decode(bytes: &[u8], count: usize, into: &mut Vec<i64>) -> Result<()> {
    let mut cursor = Cursor::new(bytes);
    let first = cursor.int()?;
    let step = cursor.uint()? as i64;
    let mut jumps = Vec::new();
    let mut at = 0usize;
    for _ in 0..cursor.count(2)? {
        let gap = usize::try_from(cursor.uint()?).unwrap_or(usize::MAX);
        at = at.saturating_add(gap);
        if at >= count {
            return Err(bad("a jump in time lies outside of its column"));
        }
        jumps.push((at, cursor.int()?));
    }
    let start = into.len();
    ints::decode(cursor.rest(), count, 0..count, into)?;
    let due = Grid { step, jumps }.due(first, count);
    for (time, due) in into[start..].iter_mut().zip(due) {
        *time = time.wrapping_add(due);
    }
    Ok(())
}

impl Grid {
    /// The grid of ascending times, unless hardly any of them keep to one.
    fn of(times: &[i64]) -> Option<Self> {
        let span = times.last()?.checked_sub(times[0])?;
        if times.len() < 2 || !times.is_sorted_by(|a, b| a < b) {
            return None;
        }
        let mut steps: Vec<i64> = times.windows(2).map(|w| w[1] - w[0]).collect();
        let middle = steps.len() / 2;
        let usual = *steps.select_nth_unstable(middle).1;
        // One step may be off by the jitter; all of them together are not.
        let jumps = Self::with_step(times, usual)?.jumps;
        let slots = times.len() as i64 - 1 + jumps.iter().map(|(_, jump)| jump).sum::<i64>();
        let step = (span + slots / 2) / slots.max(1);
        Self::with_step(times, step.max(1))
    }
    fn with_step(times: &[i64], step: i64) -> Option<Self> {
        let mut jumps = Vec::new();
        for (before, pair) in times.windows(2).enumerate() {
            let slots = (pair[1] - pair[0]).checked_add(step / 2)? / step;
            if slots != 1 {
                jumps.push((before + 1, slots - 1));
                if jumps.len() > times.len() / 8 {
                    return None;
                }
            }
        }
        Some(Self { step, jumps })
    }
    /// When each of `count` scrapes was due.
    fn due(self, first: i64, count: usize) -> impl Iterator<Item = i64> {
        let mut jumps = self.jumps.into_iter().peekable();
        let mut due = first;
        (0..count).map(move |index| {
            if index > 0 {
                due = due.wrapping_add(self.step);
            }
            while let Some((_, jump)) = jumps.next_if(|(at, _)| *at == index) {
                due = due.wrapping_add(jump.wrapping_mul(self.step));
            }
            due
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(times: &[i64]) -> usize {
        let mut sizes = vec![];
        for effort in [Effort::Flush, Effort::Merge] {
            let mut bytes = vec![];
            encode(&mut bytes, times, effort);
            let mut back = vec![7];
            decode(&bytes, times.len(), &mut back).unwrap();
            assert_eq!(&back[1..], times);
            sizes.push(bytes.len());
        }
        sizes[1]
    }

    #[test]
    fn usual_columns_become_small() {
        let check = |name: &str, count: i64, time: &dyn Fn(i64) -> i64, at_most: usize| {
            let times: Vec<i64> = (0..count).map(|i| 1_795_132_807_123 + time(i)).collect();
            let size = round_trip(&times);
            assert!(size <= at_most, "{name}: {size} bytes");
        };
        let noise = |i: i64| i.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64) >> 40 & 7;
        check("one", 1, &|_| 0, 12);
        check("two", 2, &|i| i * 15_000, 16);
        check("regular", 480, &|i| i * 15_000, 16);
        check("a day", 5760, &|i| i * 15_000, 16);
        check("a scrape is missing", 480, &|i| (i + i / 200) * 15_000, 24);
        check("jitter", 480, &|i| i * 15_000 + noise(i), 210);
        check(
            "jitter and missing",
            480,
            &|i| (i + i / 100) * 15_000 + noise(i),
            225,
        );
        check("drift", 5760, &|i| i * 15_001 + i / 3, 2000);
    }

    proptest! {
        #[test]
        fn any_times_come_back(times in prop::collection::vec(any::<i64>(), 1..600), steps in prop::collection::vec(-3i64..40, 1..600), step in 0i64..100_000) {
            round_trip(&times);
            let mut ascending = times;
            ascending.sort_unstable();
            round_trip(&ascending);
            let mut time = 0;
            let stepping: Vec<i64> = steps.iter().map(|s| { time += step + s * s / 100 * step + s; time }).collect();
            round_trip(&stepping);
        }
        #[test]
        fn garbage_is_an_error_and_no_panic(bytes: Vec<u8>, count in 0usize..70_000) {
            let _ = decode(&bytes, count, &mut vec![]);
        }
        #[test]
        fn a_flipped_bit_makes_no_panic(steps in prop::collection::vec(0i64..20, 1..600), flip in any::<prop::sample::Index>(), bit in 0u8..8) {
            let mut time = 0;
            let times: Vec<i64> = steps.iter().map(|s| { time += 1000 + s * s / 300 * 1000 + s; time }).collect();
            let mut bytes = vec![];
            encode(&mut bytes, &times, Effort::Merge);
            *flip.get_mut(&mut bytes) ^= 1 << bit;
            let _ = decode(&bytes, times.len(), &mut vec![]);
        }
    }
}
