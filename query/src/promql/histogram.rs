//! Classic histograms: quantiles and fractions from `_bucket` series with `le` labels.

use super::ast::{Call, Expr};
use super::eval::Evaluator;
use crate::columns::{ABSENT, Column, Steps, charge, is_absent};
use model::{Labels, Result};
use std::collections::HashMap;

/// The label with a bucket's upper bound.
const BUCKET_LABEL: &str = "le";
/// Decreases smaller than this part of the counts are rounding errors, not broken histograms.
const SMALL_DELTA: f64 = 1e-12;

/// The buckets of one histogram.
struct Histogram {
    /// Without `le`, with the metric's name.
    labels: Labels,
    drop_name: bool,
    /// Upper bounds and the series with their cumulative counts, by bound.
    buckets: Vec<(f64, Column)>,
}

/// A bucket at one step.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Bucket {
    upper_bound: f64,
    /// Observations up to the bound.
    count: f64,
}

impl Evaluator<'_> {
    /// Sorts the elements of a vector into histograms. What has no valid `le` is left out, with a warning.
    fn histograms(&self, arg: &Expr, steps: Steps) -> Result<Vec<Histogram>> {
        let mut ids: HashMap<Labels, usize> = HashMap::new();
        let mut histograms: Vec<Histogram> = Vec::new();
        for column in self.vector(arg, steps)? {
            let bound = column.labels.get(BUCKET_LABEL).unwrap_or_default();
            let Some(upper_bound) = parse_bound(bound) else {
                let name = column.labels.metric_name().unwrap_or_default();
                self.notes.borrow_mut().bad_bucket_label(bound, name);
                continue;
            };
            let labels = column.labels.drop(&[BUCKET_LABEL]);
            let id = *ids.entry(labels.clone()).or_insert_with(|| {
                histograms.push(Histogram {
                    labels,
                    drop_name: true,
                    buckets: Vec::new(),
                });
                histograms.len() - 1
            });
            histograms[id].buckets.push((upper_bound, column));
        }
        for histogram in &mut histograms {
            histogram.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        Ok(histograms)
    }

    /// Computes one value per histogram and step from the buckets that are there.
    fn per_histogram(
        &self,
        histograms: &[Histogram],
        steps: Steps,
        mut compute: impl FnMut(usize, &mut Vec<Bucket>, &Histogram) -> f64,
    ) -> Result<Vec<Column>> {
        charge(self.budget, histograms.len(), steps)?;
        let mut buckets = Vec::new();
        let mut columns = Vec::with_capacity(histograms.len());
        for histogram in histograms {
            self.budget.check()?;
            let values = (0..steps.count).map(|step| {
                buckets.clear();
                buckets.extend(
                    histogram
                        .buckets
                        .iter()
                        .filter(|(_, c)| !is_absent(c.values[step]))
                        .map(|(upper_bound, c)| Bucket {
                            upper_bound: *upper_bound,
                            count: c.values[step],
                        }),
                );
                if buckets.is_empty() {
                    ABSENT
                } else {
                    compute(step, &mut buckets, histogram)
                }
            });
            columns.push(Column {
                labels: histogram.labels.clone(),
                values: values.collect(),
                drop_name: histogram.drop_name,
            });
        }
        columns.retain(|c| !c.is_empty());
        Ok(columns)
    }

    /// `histogram_quantile`; with a label, each result carries the quantile's text in it.
    pub(crate) fn histogram_quantile(
        &self,
        arg: &Expr,
        q: &[f64],
        label: Option<(&str, &str)>,
        steps: Steps,
    ) -> Result<Vec<Column>> {
        let histograms = self.histograms(arg, steps)?;
        let mut columns = self.per_histogram(&histograms, steps, |step, buckets, histogram| {
            let (value, forced) = quantile(q[step], buckets);
            if forced {
                let name = histogram.labels.metric_name().unwrap_or_default();
                self.notes.borrow_mut().forced_monotonicity(name);
            }
            value
        })?;
        if let Some((name, value)) = label {
            for column in &mut columns {
                let mut builder = column.labels.to_builder();
                builder.set(name, value);
                column.labels = builder.build();
            }
        }
        Ok(columns)
    }

    /// `histogram_quantiles(vector, label, q, q, …)`.
    pub(crate) fn histogram_quantiles(&self, c: &Call, steps: Steps) -> Result<Vec<Column>> {
        let Expr::Text(label) = &c.args[1] else {
            return Ok(Vec::new());
        };
        let mut columns = Vec::new();
        for q in &c.args[2..] {
            let q = self.scalar(q, steps)?;
            self.notes.borrow_mut().quantiles(&q);
            let text = q.first().copied().unwrap_or(f64::NAN).to_string();
            columns.extend(self.histogram_quantile(&c.args[0], &q, Some((label, &text)), steps)?);
        }
        Ok(columns)
    }

    /// `histogram_fraction`: the part of the observations between two bounds.
    pub(crate) fn histogram_fraction(
        &self,
        arg: &Expr,
        lower: &[f64],
        upper: &[f64],
        steps: Steps,
    ) -> Result<Vec<Column>> {
        let histograms = self.histograms(arg, steps)?;
        self.per_histogram(&histograms, steps, |step, buckets, _| {
            fraction(lower[step], upper[step], buckets)
        })
    }
}

/// A bound as Go reads it: decimal or `+Inf`.
fn parse_bound(text: &str) -> Option<f64> {
    text.parse().ok()
}

/// The quantile by linear interpolation within its bucket, and whether decreasing counts had to be mended.
/// Follows Prometheus' `BucketQuantile`; buckets come sorted by bound.
fn quantile(q: f64, buckets: &mut Vec<Bucket>) -> (f64, bool) {
    if q.is_nan() {
        return (f64::NAN, false);
    }
    if q < 0.0 {
        return (f64::NEG_INFINITY, false);
    }
    if q > 1.0 {
        return (f64::INFINITY, false);
    }
    if buckets.last().is_none_or(|b| b.upper_bound != f64::INFINITY) {
        return (f64::NAN, false);
    }
    coalesce(buckets);
    let forced = make_monotonic(buckets);
    let last = buckets.len() - 1;
    let observations = buckets[last].count;
    if last == 0 || observations == 0.0 {
        return (f64::NAN, forced);
    }
    let mut rank = q * observations;
    let found = buckets[..last].partition_point(|b| b.count < rank || b.count.is_nan() || rank.is_nan());
    if found == last {
        return (buckets[last - 1].upper_bound, forced);
    }
    if found == 0 && buckets[0].upper_bound <= 0.0 {
        return (buckets[0].upper_bound, forced);
    }
    let Bucket {
        upper_bound: end,
        mut count,
    } = buckets[found];
    let mut start = 0.0;
    if found > 0 {
        let before = buckets[found - 1];
        start = before.upper_bound;
        count -= before.count;
        rank -= before.count;
    }
    (start + (end - start) * (rank / count), forced)
}

/// Adds up buckets with the same bound.
fn coalesce(buckets: &mut Vec<Bucket>) {
    buckets.dedup_by(|next, kept| {
        let same = next.upper_bound == kept.upper_bound;
        if same {
            kept.count += next.count;
        }
        same
    });
}

/// Lets no cumulative count be smaller than the one before; true when one was by more than rounding.
fn make_monotonic(buckets: &mut [Bucket]) -> bool {
    let mut forced = false;
    let Some(mut previous) = buckets.first().map(|b| b.count) else {
        return false;
    };
    for bucket in &mut buckets[1..] {
        let current = bucket.count;
        if current == previous {
            continue;
        }
        if almost_equal(previous, current) {
            bucket.count = previous;
        } else if current < previous {
            bucket.count = previous;
            forced = true;
        } else {
            previous = current;
        }
    }
    forced
}

fn almost_equal(a: f64, b: f64) -> bool {
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < SMALL_DELTA * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < SMALL_DELTA
}

/// The part of the observations between two bounds, by linear interpolation (Prometheus' `BucketFraction`).
fn fraction(lower: f64, upper: f64, buckets: &mut Vec<Bucket>) -> f64 {
    if lower.is_nan() || upper.is_nan() || buckets.last().is_none_or(|b| b.upper_bound != f64::INFINITY) {
        return f64::NAN;
    }
    coalesce(buckets);
    let count = buckets[buckets.len() - 1].count;
    if count == 0.0 || count.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    (rank(upper, buckets) - rank(lower, buckets)) / count
}

/// How many observations lie at or below a value.
fn rank(value: f64, buckets: &[Bucket]) -> f64 {
    let mut start = if buckets[0].upper_bound > 0.0 {
        0.0
    } else {
        f64::NEG_INFINITY
    };
    let mut below = 0.0;
    for bucket in buckets {
        if value <= start {
            return below;
        }
        if value < bucket.upper_bound {
            // Nothing is known of how observations lie in a bucket without an end.
            if bucket.upper_bound.is_infinite() || start.is_infinite() {
                return below;
            }
            return below + (bucket.count - below) * (value - start) / (bucket.upper_bound - start);
        }
        (start, below) = (bucket.upper_bound, bucket.count);
    }
    below
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(pairs: &[(f64, f64)]) -> Vec<Bucket> {
        pairs
            .iter()
            .map(|(upper_bound, count)| Bucket {
                upper_bound: *upper_bound,
                count: *count,
            })
            .collect()
    }

    #[test]
    fn quantiles_interpolate_within_a_bucket() {
        let check = |q: f64, pairs: &[(f64, f64)], expected: (f64, bool)| {
            let (value, forced) = quantile(q, &mut buckets(pairs));
            let same = (value.is_nan() && expected.0.is_nan())
                || (value - expected.0).abs() < 1e-9
                || value == expected.0;
            assert!(same && forced == expected.1, "{q} of {pairs:?}: {value} {forced}");
        };
        let inf = f64::INFINITY;
        let usual = [(0.1, 10.0), (0.2, 20.0), (inf, 20.0)];
        check(0.5, &usual, (0.1, false));
        check(0.75, &usual, (0.15, false));
        check(0.25, &usual, (0.05, false));
        check(1.0, &usual, (0.2, false));
        check(-1.0, &usual, (f64::NEG_INFINITY, false));
        check(1.1, &usual, (inf, false));
        check(f64::NAN, &usual, (f64::NAN, false));
        check(0.5, &[(0.1, 1.0)], (f64::NAN, false));
        check(0.5, &[(inf, 1.0)], (f64::NAN, false));
        check(0.5, &[(0.1, 0.0), (inf, 0.0)], (f64::NAN, false));
        check(0.5, &[(-1.0, 5.0), (inf, 5.0)], (-1.0, false));
        check(0.99, &[(1.0, 10.0), (inf, 20.0)], (1.0, false));
        // 2, 1, 5, 4, 9, 8 becomes 2, 2, 5, 5, 9, 9.
        let broken = [
            (0.1, 2.0),
            (1.0, 1.0),
            (10.0, 5.0),
            (100.0, 4.0),
            (1000.0, 9.0),
            (inf, 8.0),
        ];
        check(0.5, &broken, (8.5, true));
        check(
            0.5,
            &[(1.0, 10.0), (2.0, 10.0 - 1e-13), (inf, 10.0)],
            (0.5, false),
        );
    }
}
