//! `limit_ratio`: a part of the series, the same ones each time.

use super::super::{Column, Steps};
use model::{Budget, Labels, Result};
use xxhash_rust::xxh64::xxh64;

/// Keeps at each step the given part of the series: those whose labels hash low; for a negative ratio the others, so that
/// `r` and `r - 1` share nothing and miss nothing. Ratios outside of -1 to 1 count as these.
pub(crate) fn limit_ratio(
    ratios: &[f64],
    mut columns: Vec<Column>,
    steps: Steps,
    budget: &Budget,
) -> Result<Vec<Column>> {
    for column in &mut columns {
        budget.check()?;
        let place = hash(&column.labels) as f64 / u64::MAX as f64;
        for (step, ratio) in ratios.iter().enumerate().take(steps.count) {
            let ratio = ratio.clamp(-1.0, 1.0);
            let is_kept = if ratio >= 0.0 {
                place < ratio
            } else {
                place >= 1.0 + ratio
            };
            if !is_kept || ratio == 0.0 {
                column.clear(step);
            }
        }
    }
    columns.retain(|c| !c.is_empty());
    Ok(columns)
}

/// Prometheus' hash of labels, so that it would keep the same ones: xxHash64 over names and values with their lengths in
/// front, one byte each, or 255 and three bytes.
fn hash(labels: &Labels) -> u64 {
    let mut bytes = Vec::with_capacity(labels.size_bytes() + 8);
    let mut put = |text: &str| {
        match u8::try_from(text.len()) {
            Ok(len) if len < 255 => bytes.push(len),
            _ => {
                bytes.push(255);
                bytes.extend_from_slice(&(text.len() as u64).to_le_bytes()[..3]);
            }
        }
        bytes.extend_from_slice(text.as_bytes());
    };
    for (name, value) in labels.iter() {
        put(name);
        put(value);
    }
    xxh64(&bytes, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_and_the_rest_are_the_whole() {
        let columns = || -> Vec<Column> {
            let labels = |i: usize| Labels::from_pairs([("i", i.to_string().as_str())]);
            (0..1000).map(|i| Column::new(labels(i), vec![1.0])).collect()
        };
        let kept = |ratio: f64| {
            limit_ratio(&[ratio], columns(), Steps::at(0), &Budget::unlimited())
                .unwrap()
                .len()
        };
        for ratio in [0.1, 0.5, 0.9] {
            let some = kept(ratio);
            assert!((some as f64 / 1000.0 - ratio).abs() < 0.06, "{some} for {ratio}");
            assert_eq!(some + kept(ratio - 1.0), 1000);
        }
        assert_eq!(
            [kept(0.0), kept(1.0), kept(-1.0), kept(-7.0)],
            [0, 1000, 1000, 1000]
        );
    }
}
