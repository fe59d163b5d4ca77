//! What targets show when they are scraped: Prometheus text 0.0.4 and OpenMetrics text 1.0, read as Prometheus'
//! scraper reads them.
//!
//! [`Parser`] walks the text without allocating. A scrape loop keeps the [`Sample::series`] text of each line as
//! the key of its cache and calls [`Sample::labels`] only for a series that it has not seen before. [`parse`]
//! is the short way for those who do not cache.

mod cursor;
mod number;
mod parser;

pub use number::format_bound;
pub use parser::{Entry, Exemplar, Parser, Sample};

use crate::Quota;
use model::{MetricMetadata, Metrics, Result, Series};
use std::collections::HashMap;

/// The `Accept` header of a scrape: the formats that [`Parser`] reads, OpenMetrics first.
pub const ACCEPT: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
text/plain;version=0.0.4;q=0.3,*/*;q=0.2";

/// Which of the two text formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Prometheus text, version 0.0.4 (and 1.0.0, which adds quoted names).
    Prometheus,
    /// OpenMetrics text, version 1.0.0 or 0.0.1.
    OpenMetrics,
}

impl Format {
    /// Reads a `Content-Type` header; `None` for a type that is neither.
    pub fn from_content_type(header: &str) -> Option<Self> {
        let media_type = header.split(';').next().unwrap_or_default().trim();
        if media_type.eq_ignore_ascii_case("application/openmetrics-text") {
            Some(Self::OpenMetrics)
        } else if media_type.eq_ignore_ascii_case("text/plain") {
            Some(Self::Prometheus)
        } else {
            None
        }
    }
}

/// Reads a whole exposition. Samples and exemplars without a time get `now_ms`.
///
/// # Errors
/// [`model::ErrorKind::BadData`] with the line's number, [`model::ErrorKind::TooLarge`] when the quota is spent.
pub fn parse(format: Format, body: &[u8], now_ms: i64, quota: &Quota) -> Result<Metrics> {
    let mut metrics = Metrics::default();
    let mut families = Families::default();
    for entry in Parser::new(format, body)? {
        match entry? {
            Entry::Type { family, metric_type } => {
                families.of(&mut metrics, &family, quota)?.metric_type = metric_type;
            }
            Entry::Help { family, text } => {
                families.of(&mut metrics, &family, quota)?.help = text.into_owned();
            }
            Entry::Unit { family, unit } => families.of(&mut metrics, &family, quota)?.unit = unit.to_owned(),
            Entry::Sample(sample) => {
                quota.take(size_of::<Series>() + size_of::<model::Sample>() + 3 * sample.series.len())?;
                metrics.series.push(series(&sample, now_ms)?);
            }
        }
    }
    Ok(metrics)
}

fn series(sample: &Sample<'_>, now_ms: i64) -> Result<Series> {
    let timestamp_ms = sample.timestamp_ms.unwrap_or(now_ms);
    let exemplars = match &sample.exemplar {
        None => Vec::new(),
        Some(exemplar) => vec![model::Exemplar {
            labels: exemplar.labels()?,
            timestamp_ms: exemplar.timestamp_ms.unwrap_or(timestamp_ms),
            value: exemplar.value,
        }],
    };
    Ok(Series {
        labels: sample.labels()?.build(),
        samples: vec![model::Sample {
            timestamp_ms,
            value: sample.value,
        }],
        exemplars,
        ..Series::default()
    })
}

/// Where each family's metadata stands in the list.
#[derive(Default)]
struct Families(HashMap<String, usize>);

impl Families {
    fn of<'m>(
        &mut self,
        metrics: &'m mut Metrics,
        family: &str,
        quota: &Quota,
    ) -> Result<&'m mut MetricMetadata> {
        let index = match self.0.get(family) {
            Some(index) => *index,
            None => {
                quota.take(size_of::<MetricMetadata>() + 2 * family.len())?;
                self.0.insert(family.to_owned(), metrics.metadata.len());
                metrics.metadata.push(MetricMetadata {
                    family: family.to_owned(),
                    ..MetricMetadata::default()
                });
                metrics.metadata.len() - 1
            }
        };
        Ok(&mut metrics.metadata[index])
    }
}

#[cfg(test)]
mod tests;
