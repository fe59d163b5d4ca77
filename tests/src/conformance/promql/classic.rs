//! Classic histograms of a `load_with_nhcb`, merged as native histograms with custom buckets.

use model::Labels;
use model::labels::METRIC_NAME;
use model::metric::{Histogram, HistogramSample, Sample, Series};
use query::promql::series_notation::number;
use std::collections::BTreeMap;

/// What the series of one classic histogram say at one time.
#[derive(Default)]
struct Classic {
    /// Upper bounds and cumulative counts.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
}

/// The native series that belong to the classic ones.
pub(super) fn merged(series: &[Series]) -> Result<Vec<Series>, String> {
    let mut histograms: BTreeMap<Labels, BTreeMap<i64, Classic>> = BTreeMap::new();
    for one in series {
        let name = one.labels.metric_name().unwrap_or_default();
        let Some((base, part)) = part_of(name) else {
            continue;
        };
        let bound = match (part, one.labels.get("le")) {
            (Part::Bucket, None) => return Err(format!("{}: a bucket without the label le", one.labels)),
            (Part::Bucket, Some(le)) => match number(le) {
                Some(bound) if !bound.is_nan() => bound,
                _ => continue,
            },
            _ => 0.0,
        };
        let mut labels = one.labels.to_builder();
        labels.set(METRIC_NAME, base).remove("le");
        let by_time = histograms.entry(labels.build()).or_default();
        for Sample { timestamp_ms, value } in &one.samples {
            let at = by_time.entry(*timestamp_ms).or_default();
            match part {
                Part::Bucket => at.buckets.push((bound, *value)),
                Part::Count => at.count = Some(*value),
                Part::Sum => at.sum = *value,
            }
        }
    }
    histograms.into_iter().map(native_series).collect()
}

#[derive(Clone, Copy)]
enum Part {
    Bucket,
    Count,
    Sum,
}

fn part_of(name: &str) -> Option<(&str, Part)> {
    let parts = [
        ("_bucket", Part::Bucket),
        ("_sum", Part::Sum),
        ("_count", Part::Count),
    ];
    for (suffix, part) in parts {
        if let Some(base) = name.strip_suffix(suffix) {
            return Some((base, part));
        }
    }
    None
}

fn native_series((labels, by_time): (Labels, BTreeMap<i64, Classic>)) -> Result<Series, String> {
    let mut series = Series {
        labels,
        ..Series::default()
    };
    for (timestamp_ms, classic) in by_time {
        let histogram = native(classic).map_err(|e| format!("{}: {e}", series.labels))?;
        series.histograms.push(HistogramSample {
            timestamp_ms,
            start_timestamp_ms: 0,
            histogram,
        });
    }
    Ok(series)
}

fn native(classic: Classic) -> Result<Histogram, String> {
    let Classic {
        mut buckets,
        count,
        sum,
    } = classic;
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    buckets.dedup_by(|later, first| later.0 == first.0);
    if buckets.iter().any(|(_, n)| *n < 0.0) || buckets.windows(2).any(|w| w[1].1 < w[0].1) {
        return Err("the counts of its buckets are not cumulative".to_owned());
    }
    let count = count.or(buckets.last().map(|b| b.1)).unwrap_or(0.0);
    if buckets.last().is_none_or(|b| b.0 != f64::INFINITY) {
        buckets.push((f64::INFINITY, count));
    }
    if buckets.last().is_some_and(|b| b.1 != count) {
        return Err(format!("its count of {count} is not the one of its last bucket"));
    }
    let before = std::iter::once(0.0).chain(buckets.iter().map(|b| b.1));
    let counts = buckets.iter().zip(before).map(|((_, n), before)| n - before);
    Ok(Histogram {
        schema: -53,
        count,
        sum,
        positive: (0..).zip(counts).filter(|(_, n)| *n != 0.0).collect(),
        custom_bounds: buckets
            .iter()
            .map(|b| b.0)
            .filter(|b| *b != f64::INFINITY)
            .collect(),
        ..Histogram::default()
    })
}
