//! Exponential histograms to native ones.

use model::metric::{Histogram, ResetHint};
use opentelemetry_proto::tonic::metrics::v1::ExponentialHistogramDataPoint;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;

/// The range of native schemas.
const MIN_SCHEMA: i32 = -4;
const MAX_SCHEMA: i32 = 8;
/// The width of the zero bucket where the sender does not say one, as in Prometheus.
const DEFAULT_ZERO_THRESHOLD: f64 = 1e-128;

/// The same distribution; a finer scale than native histograms have is merged down. The error says why a point
/// has no native form.
pub(super) fn histogram(point: &ExponentialHistogramDataPoint) -> Result<Histogram, String> {
    if point.scale < MIN_SCHEMA {
        return Err(format!(
            "has scale {}, but native histograms begin at {MIN_SCHEMA}",
            point.scale
        ));
    }
    let merge = point.scale.saturating_sub(MAX_SCHEMA).max(0);
    Ok(Histogram {
        schema: point.scale - merge,
        zero_threshold: if point.zero_threshold == 0.0 {
            DEFAULT_ZERO_THRESHOLD
        } else {
            point.zero_threshold
        },
        zero_count: point.zero_count as f64,
        count: point.count as f64,
        sum: point.sum.unwrap_or_default(),
        positive: buckets(point.positive.as_ref(), merge)?,
        negative: buckets(point.negative.as_ref(), merge)?,
        custom_bounds: Vec::new(),
        reset_hint: ResetHint::Unknown,
    })
}

/// OpenTelemetry's bucket `i` ends at `base^(i+1)`, the native bucket `i` at `base^i`: one more. Halving the
/// resolution joins two neighbours, which is a shift of the index.
fn buckets(buckets: Option<&Buckets>, merge: i32) -> Result<Vec<(i32, f64)>, String> {
    let Some(buckets) = buckets else {
        return Ok(Vec::new());
    };
    let shift = u32::try_from(merge).map_or(31, |m| m.min(31));
    let mut merged: Vec<(i32, f64)> = Vec::new();
    for (i, count) in buckets
        .bucket_counts
        .iter()
        .enumerate()
        .filter(|(_, count)| **count != 0)
    {
        let index = i32::try_from(i).ok().and_then(|i| buckets.offset.checked_add(i));
        let index = index.and_then(|index| (index >> shift).checked_add(1));
        let index = index.ok_or_else(|| "has a bucket out of range".to_owned())?;
        match merged.last_mut() {
            Some((last, sum)) if *last == index => *sum += *count as f64,
            _ => merged.push((index, *count as f64)),
        }
    }
    Ok(merged)
}
