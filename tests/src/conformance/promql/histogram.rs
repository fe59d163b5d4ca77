//! Native histograms of `.test` files: when two are the same, and how a failure shows them.

use super::compare::almost_equal;
use model::metric::bounds::CUSTOM_SCHEMA;
use model::metric::{Histogram, ResetHint};
use std::fmt::Write as _;

/// Whether two histograms are the same as far as a case can tell: empty buckets don't matter, counts and sums may differ a
/// little, and the reset hint matters only where it is asked for.
pub(super) fn is_same(expected: &Histogram, got: &Histogram, with_hint: bool) -> bool {
    let same_buckets = |a: &[(i32, f64)], b: &[(i32, f64)]| {
        let (mut a, mut b) = (filled(a), filled(b));
        loop {
            match (a.next(), b.next()) {
                (None, None) => return true,
                (Some((i, x)), Some((j, y))) if i == j && almost_equal(x, y) => {}
                _ => return false,
            }
        }
    };
    expected.schema == got.schema
        && almost_equal(expected.count, got.count)
        && almost_equal(expected.sum, got.sum)
        && (expected.schema != CUSTOM_SCHEMA || expected.custom_bounds == got.custom_bounds)
        && expected.zero_threshold == got.zero_threshold
        && almost_equal(expected.zero_count, got.zero_count)
        && same_buckets(&expected.positive, &got.positive)
        && same_buckets(&expected.negative, &got.negative)
        && (!with_hint || expected.reset_hint == got.reset_hint)
}

fn filled(buckets: &[(i32, f64)]) -> impl Iterator<Item = (i32, f64)> {
    buckets.iter().copied().filter(|(_, count)| *count != 0.0)
}

/// A histogram for a reader: like the notation, but each bucket that is not empty with its index.
pub(super) fn show(h: &Histogram) -> String {
    let mut text = format!("{{{{schema:{} count:{:?} sum:{:?}", h.schema, h.count, h.sum);
    if h.zero_count != 0.0 || h.zero_threshold != 0.0 {
        let _ = write!(
            text,
            " z_bucket:{:?} z_bucket_w:{:?}",
            h.zero_count, h.zero_threshold
        );
    }
    if !h.custom_bounds.is_empty() {
        let _ = write!(text, " custom_values:{:?}", h.custom_bounds);
    }
    for (name, buckets) in [("buckets", &h.positive), ("n_buckets", &h.negative)] {
        let shown: Vec<_> = filled(buckets).map(|(i, n)| format!("{i}={n:?}")).collect();
        if !shown.is_empty() {
            let _ = write!(text, " {name}:[{}]", shown.join(" "));
        }
    }
    if h.reset_hint != ResetHint::Unknown {
        let _ = write!(text, " hint:{:?}", h.reset_hint);
    }
    text + "}}"
}
