//! Quantiles and fractions of histograms: classic ones, which are `_bucket` series with `le` labels, and native ones.

use super::ast::{Call, Expr, Node, Place};
use super::eval::Evaluator;
use super::native;
use super::notes::Forced;
use crate::columns::{Column, Steps, charge, is_absent};
use crate::go;
use model::metric::Histogram as Native;
use model::{Labels, Result};
use std::collections::HashMap;

/// The label with a bucket's upper bound.
const BUCKET_LABEL: &str = "le";
/// Decreases smaller than this part of the counts are rounding errors, not broken histograms.
const SMALL_DELTA: f64 = 1e-12;

/// One histogram, in its two forms.
struct Histogram {
    /// Without `le`, with the metric's name.
    labels: Labels,
    /// Upper bounds and the series with their cumulative counts, by bound.
    buckets: Vec<(f64, Column)>,
    /// The series of native histograms with the same labels.
    native: Option<Column>,
}

/// A bucket at one step.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Bucket {
    upper_bound: f64,
    /// Observations up to the bound.
    count: f64,
}

/// A histogram at one step.
enum One<'a> {
    Classic(&'a mut Vec<Bucket>),
    Native(&'a Native),
}

impl Evaluator<'_> {
    /// Sorts the elements of a vector into histograms. What has no valid `le` is left out, with a warning.
    fn histograms(&self, arg: &Expr, steps: Steps) -> Result<Vec<Histogram>> {
        let mut ids: HashMap<Labels, usize> = HashMap::new();
        let mut histograms: Vec<Histogram> = Vec::new();
        let mut of_labels = |labels: Labels, histograms: &mut Vec<Histogram>| {
            *ids.entry(labels.clone()).or_insert_with(|| {
                histograms.push(Histogram {
                    labels,
                    buckets: Vec::new(),
                    native: None,
                });
                histograms.len() - 1
            })
        };
        for mut column in self.vector(arg, steps)? {
            if !column.histograms.is_empty() {
                let id = of_labels(column.labels.clone(), &mut histograms);
                let mut native = column.clone();
                native.values.iter_mut().for_each(|v| *v = crate::columns::ABSENT);
                histograms[id].native = Some(native);
                column.drop_histograms();
                if column.is_empty() {
                    continue;
                }
            }
            let bound = column.labels.get(BUCKET_LABEL).unwrap_or_default();
            let Some(upper_bound) = parse_bound(bound) else {
                let name = column.labels.metric_name().unwrap_or_default();
                self.notes.borrow_mut().bad_bucket_label(arg.place, bound, name);
                continue;
            };
            let id = of_labels(column.labels.drop(&[BUCKET_LABEL]), &mut histograms);
            histograms[id].buckets.push((upper_bound, column));
        }
        for histogram in &mut histograms {
            histogram.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        Ok(histograms)
    }

    /// Computes one value per histogram and step from what is there. Where both forms are, there is none.
    fn per_histogram(
        &self,
        histograms: &[Histogram],
        steps: Steps,
        place: Place,
        mut compute: impl FnMut(usize, One<'_>, &str) -> f64,
    ) -> Result<Vec<Column>> {
        charge(self.budget, histograms.len(), steps)?;
        let mut buckets = Vec::new();
        let mut columns = Vec::with_capacity(histograms.len());
        for histogram in histograms {
            self.budget.check()?;
            let name = histogram.labels.metric_name().unwrap_or_default();
            let mut column = Column::absent(histogram.labels.clone(), true, steps.count);
            for (step, value) in column.values.iter_mut().enumerate() {
                buckets.clear();
                let there = histogram.buckets.iter();
                let there = there.filter(|(_, c)| !is_absent(c.values[step]));
                buckets.extend(there.map(|(upper_bound, c)| Bucket {
                    upper_bound: *upper_bound,
                    count: c.values[step],
                }));
                let native = histogram.native.as_ref().and_then(|c| c.histogram(step));
                match (native, buckets.is_empty()) {
                    (None, true) => {}
                    (None, false) => *value = compute(step, One::Classic(&mut buckets), name),
                    (Some(native), true) => *value = compute(step, One::Native(native), name),
                    (Some(_), false) => self.notes.borrow_mut().mixed_kinds(place, name),
                }
            }
            columns.push(column);
        }
        columns.retain(|c| !c.is_empty());
        Ok(columns)
    }

    /// `histogram_quantile`.
    pub(crate) fn histogram_quantile(&self, arg: &Expr, q: &[f64], steps: Steps) -> Result<Vec<Column>> {
        let histograms = self.histograms(arg, steps)?;
        self.quantiles_of(&histograms, q, arg.place, steps)
    }

    fn quantiles_of(
        &self,
        histograms: &[Histogram],
        q: &[f64],
        place: Place,
        steps: Steps,
    ) -> Result<Vec<Column>> {
        self.per_histogram(
            histograms,
            steps,
            place,
            |step, histogram, name| match histogram {
                One::Classic(buckets) => {
                    let (value, mended) = quantile(q[step], buckets);
                    if let Some((bounds, difference)) = mended {
                        let time_ms = steps.time(step);
                        let forced = Forced {
                            times_ms: (time_ms, time_ms),
                            bounds,
                            difference,
                            samples: 1,
                        };
                        self.notes.borrow_mut().forced_monotonicity(place, name, forced);
                    }
                    value
                }
                One::Native(native) => {
                    let (value, nans) = native::quantile(q[step], native);
                    if let Some(nans) = nans {
                        self.notes.borrow_mut().quantile_of_nans(place, name, nans);
                    }
                    value
                }
            },
        )
    }

    /// `histogram_quantiles(vector, label, q, q, …)`.
    pub(crate) fn histogram_quantiles(&self, c: &Call, steps: Steps) -> Result<Vec<Column>> {
        let [arg, label, parameters @ ..] = c.args.as_slice() else {
            return Ok(Vec::new());
        };
        let Node::Text(label) = &label.node else {
            return Ok(Vec::new());
        };
        let histograms = self.histograms(arg, steps)?;
        let mut columns = Vec::new();
        for parameter in parameters {
            let q = self.scalar(parameter, steps)?;
            self.notes.borrow_mut().quantiles(parameter.place, &q);
            for column in self.quantiles_of(&histograms, &q, arg.place, steps)? {
                columns.extend(with_quantile(column, label, &q));
            }
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
        let place = arg.place;
        self.per_histogram(&histograms, steps, place, |step, histogram, name| {
            let (lower, upper) = (lower[step], upper[step]);
            match histogram {
                One::Classic(buckets) => fraction(lower, upper, buckets),
                One::Native(native) => {
                    let (value, nans) = native::fraction(lower, upper, native);
                    if nans.is_some() {
                        self.notes.borrow_mut().fraction_of_nans(place, name);
                    }
                    value
                }
            }
        })
    }
}

/// A column with the quantile in a label; where the quantile is not the same at all steps, one for each.
fn with_quantile(column: Column, label: &str, q: &[f64]) -> Vec<Column> {
    let named = |mut column: Column, q: f64| {
        let mut builder = column.labels.to_builder();
        builder.set(label, open_metrics_number(q));
        column.labels = builder.build();
        column
    };
    let first = q.first().copied().unwrap_or(f64::NAN);
    if q.iter().all(|q| q.to_bits() == first.to_bits()) {
        return vec![named(column, first)];
    }
    let mut by_quantile: HashMap<u64, Column> = HashMap::new();
    for (step, q) in q.iter().enumerate() {
        let of_quantile = by_quantile.entry(q.to_bits()).or_insert_with(|| {
            named(
                Column::absent(column.labels.clone(), column.drop_name, column.values.len()),
                *q,
            )
        });
        of_quantile.values[step] = column.values[step];
    }
    let mut columns: Vec<Column> = by_quantile.into_values().filter(|c| !c.is_empty()).collect();
    columns.sort_by(|a, b| a.labels.cmp(&b.labels));
    columns
}

/// A number as OpenMetrics writes it: there is a point or an exponent in it.
fn open_metrics_number(value: f64) -> String {
    match go::format_short_number(value) {
        text if value.is_finite() && !text.contains(['.', 'e']) => format!("{text}.0"),
        text => text,
    }
}

/// A bound as Go reads it: decimal or `+Inf`.
fn parse_bound(text: &str) -> Option<f64> {
    text.parse().ok()
}

/// Where counts had to be mended: the lowest and the highest bound of the buckets, and the largest decrease.
type Mended = ((f64, f64), f64);

/// The quantile by linear interpolation within its bucket, and whether decreasing counts had to be mended.
/// Follows Prometheus' `BucketQuantile`; buckets come sorted by bound.
fn quantile(q: f64, buckets: &mut Vec<Bucket>) -> (f64, Option<Mended>) {
    if q.is_nan() {
        return (f64::NAN, None);
    }
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    if buckets.last().is_none_or(|b| b.upper_bound != f64::INFINITY) {
        return (f64::NAN, None);
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

/// Lets no cumulative count be smaller than the one before; tells when one was by more than rounding.
fn make_monotonic(buckets: &mut [Bucket]) -> Option<Mended> {
    let mut mended: Option<Mended> = None;
    let mut previous = buckets.first()?.count;
    for bucket in &mut buckets[1..] {
        let current = bucket.count;
        if current == previous {
            continue;
        }
        if almost_equal(previous, current) {
            bucket.count = previous;
        } else if current < previous {
            bucket.count = previous;
            let bound = bucket.upper_bound;
            let (bounds, difference) = mended.unwrap_or(((bound, bound), 0.0));
            mended = Some((
                (bounds.0.min(bound), bounds.1.max(bound)),
                difference.max(previous - current),
            ));
        } else {
            previous = current;
        }
    }
    mended
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
            let forced = forced.is_some();
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
