//! What the start times of neighbouring samples say of a counter.

use super::{Samples, Windows};

/// When the counting behind a sample began (0: nobody said), and its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) start_ms: i64,
    pub(crate) time_ms: i64,
}

/// Whether the counting began anew between two samples.
pub(crate) fn is_reset(before: Point, now: Point) -> bool {
    // A start at the sample itself means that it is not known, one behind it makes no sense.
    if now.start_ms == 0 || now.start_ms >= now.time_ms || now.start_ms < before.time_ms {
        return false;
    }
    if now.start_ms > before.time_ms {
        return true;
    }
    // It began where the sample before stands: so do deltas, and counters of which the start is not known. It shows in
    // the sample before which of the two.
    before.start_ms != 0 && before.start_ms < before.time_ms
}

/// Whether a sample says that its counting began before the sample before it was taken, and not together with that one's.
pub(crate) fn overlaps(before: Point, now: Point) -> bool {
    now.start_ms != 0 && now.start_ms < before.time_ms && now.start_ms != before.start_ms
}

/// At how many windows start times overlap.
pub(crate) fn count_overlaps(samples: Samples<'_>, windows: &Windows<'_>) -> u64 {
    if samples.starts_ms.is_empty() {
        return 0;
    }
    let is_overlap = |i: &usize| overlaps(samples.point(i - 1), samples.point(*i));
    let all: Vec<usize> = (1..samples.timestamps_ms.len()).filter(is_overlap).collect();
    if all.is_empty() {
        return 0;
    }
    let has_overlap = super::slide(samples, windows, &mut |w| {
        let from = all.partition_point(|i| *i <= w.first);
        f64::from(u8::from(all.get(from).is_some_and(|i| *i < w.end())))
    });
    has_overlap.iter().filter(|v| **v == 1.0).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_tell_resets_and_overlaps() {
        let check = |before: (i64, i64), now: (i64, i64), resets: bool, overlap: bool| {
            let point = |(start_ms, time_ms)| Point { start_ms, time_ms };
            assert_eq!(is_reset(point(before), point(now)), resets, "{before:?} {now:?}");
            assert_eq!(overlaps(point(before), point(now)), overlap, "{before:?} {now:?}");
        };
        check((0, 10), (0, 20), false, false);
        check((5, 10), (5, 20), false, false);
        check((5, 10), (15, 20), true, false);
        check((0, 10), (15, 20), true, false);
        // Deltas.
        check((5, 10), (10, 20), true, false);
        // Counters that begin with a sample of which the start is not known.
        check((10, 10), (10, 20), false, false);
        check((0, 10), (10, 20), false, false);
        check((12, 10), (10, 20), false, false);
        check((5, 10), (20, 20), false, false);
        check((5, 10), (25, 20), false, false);
        check((5, 10), (7, 20), false, true);
    }
}
