//! Which native histograms stand for all of a window.

use super::windows::end_of;
use model::metric::{Histogram, HistogramSample, ResetHint, is_stale};

/// The last one of each window, and of counters the last one before each reset: so what was counted between any two windows
/// can be told as from all of them. They keep their own times.
pub(crate) fn kept(all: &[HistogramSample], resolution_ms: i64) -> Vec<HistogramSample> {
    let ends_window = |i: usize| {
        let end = end_of(all[i].timestamp_ms, resolution_ms);
        all.get(i + 1)
            .is_none_or(|next| end_of(next.timestamp_ms, resolution_ms) != end)
    };
    let ends_count = |i: usize| {
        all.get(i + 1)
            .is_some_and(|next| is_reset(&all[i].histogram, &next.histogram))
    };
    let mut kept: Vec<HistogramSample> = Vec::new();
    let mut next = 0;
    for i in (0..all.len()).filter(|i| ends_window(*i) || ends_count(*i)) {
        let mut sample = all[i].clone();
        // A reset that only the samples between show.
        let has_between = next > 0 && next < i;
        if has_between && begins_anew(&all[next - 1].histogram, &all[next].histogram) {
            sample.histogram.reset_hint = ResetHint::Reset;
        }
        kept.push(sample);
        next = i + 1;
    }
    kept
}

/// Whether a counter was reset, staleness markers aside.
fn begins_anew(before: &Histogram, after: &Histogram) -> bool {
    let is_counter = |h: &Histogram| !h.is_gauge() && !h.is_stale();
    is_counter(before) && is_counter(after) && is_reset(before, after)
}

/// Whether the second one does not count on where the first one stood. A staleness marker counts as a reset: what was
/// before it would be lost otherwise. In doubt yes: one too many does no harm.
fn is_reset(before: &Histogram, after: &Histogram) -> bool {
    if is_stale(before.sum) || is_stale(after.sum) || before.is_gauge() != after.is_gauge() {
        return true;
    }
    if after.is_gauge() {
        return false;
    }
    after.reset_hint == ResetHint::Reset
        || before.schema != after.schema
        || before.zero_threshold.to_bits() != after.zero_threshold.to_bits()
        || before.custom_bounds != after.custom_bounds
        || after.count < before.count
        || after.zero_count < before.zero_count
        || has_fewer(&before.positive, &after.positive)
        || has_fewer(&before.negative, &after.negative)
}

/// Whether a bucket has lost observations.
fn has_fewer(before: &[(i32, f64)], after: &[(i32, f64)]) -> bool {
    let mut after = after.iter().peekable();
    before.iter().any(|(index, count)| {
        while after.next_if(|(i, _)| i < index).is_some() {}
        let now = after
            .next_if(|(i, _)| i == index)
            .map_or(0.0, |(_, count)| *count);
        now < *count
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::metric::stale_nan;

    fn at(time_ms: i64, counts: &[(i32, f64)]) -> HistogramSample {
        HistogramSample {
            timestamp_ms: time_ms,
            start_timestamp_ms: 0,
            histogram: Histogram {
                count: counts.iter().map(|c| c.1).sum(),
                positive: counts.to_vec(),
                ..Histogram::default()
            },
        }
    }

    #[test]
    fn the_last_of_a_window_and_before_a_reset_is_kept() {
        let check = |all: Vec<HistogramSample>, expected: &[i64]| {
            let times: Vec<i64> = kept(&all, 100).iter().map(|h| h.timestamp_ms).collect();
            assert_eq!(times, expected);
        };
        check(Vec::new(), &[]);
        check(
            vec![at(10, &[(1, 1.0)]), at(20, &[(1, 2.0)]), at(100, &[(1, 3.0)])],
            &[100],
        );
        check(vec![at(100, &[(1, 1.0)]), at(101, &[(1, 2.0)])], &[100, 101]);
        check(vec![at(10, &[(1, 5.0)]), at(20, &[(1, 2.0)])], &[10, 20]);
        // As many in all, but one bucket has fewer, or is gone.
        check(
            vec![at(10, &[(1, 2.0), (3, 1.0)]), at(20, &[(1, 1.0), (3, 5.0)])],
            &[10, 20],
        );
        check(vec![at(10, &[(1, 2.0)]), at(20, &[(2, 5.0)])], &[10, 20]);
        let mut marker = at(20, &[]);
        marker.histogram.sum = stale_nan();
        check(vec![at(10, &[(1, 2.0)]), marker], &[10, 20]);
        let gauge = |mut h: HistogramSample| {
            h.histogram.reset_hint = ResetHint::Gauge;
            h
        };
        check(
            vec![gauge(at(10, &[(1, 5.0)])), gauge(at(20, &[(1, 2.0)]))],
            &[20],
        );
    }

    #[test]
    fn a_reset_between_is_told() {
        let check = |counts: &[f64], expected: &[(i64, ResetHint)]| {
            let all: Vec<_> = (1..).zip(counts).map(|(i, n)| at(10 * i, &[(1, *n)])).collect();
            let kept = kept(&all, 1000);
            let hints: Vec<_> = kept
                .iter()
                .map(|h| (h.timestamp_ms, h.histogram.reset_hint))
                .collect();
            assert_eq!(hints, expected);
        };
        use ResetHint::{Reset, Unknown};
        check(&[1.0, 2.0, 3.0], &[(30, Unknown)]);
        // The two that are left do not show it.
        check(&[1.0, 0.0, 3.0], &[(10, Unknown), (30, Reset)]);
        check(&[5.0, 3.0], &[(10, Unknown), (20, Unknown)]);
        check(&[5.0, 3.0, 1.0], &[(10, Unknown), (20, Unknown), (30, Unknown)]);
    }
}
