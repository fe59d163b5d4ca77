//! From an exposition to series: final labels by line, what ended since the last scrape, and limits.
//!
//! Labels are worked out once per line and kept under the line's own text, so that a scrape whose series stay
//! the same costs one look-up per line.

use crate::config::ScrapeConfig;
use crate::fetch::Body;
use crate::relabel;
use model::{
    Error, Exemplar, Labels, LabelsBuilder, MetricMetadata, Metrics, Result, Sample, Series,
    metric::stale_nan,
};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use wire::exposition::{self, Entry, Parser};

/// Metadata is sent again after so many scrapes even when it has not changed.
const METADATA_ROUNDS: u64 = 120;

/// The names of the series that each scrape itself makes.
const REPORT: [&str; 5] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
];

/// What one target's scrapes have in common.
#[derive(Debug)]
pub(crate) struct Cache {
    config: Arc<ScrapeConfig>,
    target_labels: Labels,
    lines: HashMap<Box<str>, Line>,
    /// The series of the last good scrape, those with times of their own left out.
    current: HashSet<Labels>,
    families: HashMap<String, MetricMetadata>,
    round: u64,
    /// The time of the samples that were made last.
    last_time_ms: Option<i64>,
}

/// What is known of a line of the exposition.
#[derive(Debug)]
struct Line {
    /// `None` when the rules drop it.
    labels: Option<Labels>,
    first_round: u64,
    last_round: u64,
    exemplar: Option<Exemplar>,
}

/// How many samples a scrape had.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// In the exposition.
    pub(crate) scraped: u64,
    /// After relabelling.
    pub(crate) kept: u64,
    /// Series that the scrape before did not have.
    pub(crate) added: u64,
    /// Samples left out because their series occurred before in the same scrape.
    pub(crate) duplicates: u64,
}

impl Cache {
    /// A cache for a target that was never scraped.
    pub(crate) fn new(config: Arc<ScrapeConfig>, target_labels: Labels) -> Self {
        Self {
            config,
            target_labels,
            lines: HashMap::new(),
            current: HashSet::new(),
            families: HashMap::new(),
            round: 0,
            last_time_ms: None,
        }
    }
    /// Takes over from a loop that was replaced, so that what it showed last is marked stale when it is gone.
    pub(crate) fn take_over(&mut self, other: Self) {
        self.current = other.current;
        self.last_time_ms = other.last_time_ms;
    }
    /// The time of the samples that were made last, by this loop or the one before it.
    pub(crate) fn last_time_ms(&self) -> Option<i64> {
        self.last_time_ms
    }

    /// Reads an exposition. Samples without a time get `now_ms`; series of the last scrape that are gone get a
    /// staleness marker. On an error nothing is remembered, and the caller goes on with [`Cache::fail`].
    pub(crate) fn read(&mut self, body: &Body, now_ms: i64) -> (Counts, Result<Metrics>) {
        self.round += 1;
        self.last_time_ms = Some(now_ms);
        let mut pass = Pass::default();
        let outcome = self.walk(body, now_ms, &mut pass);
        let counts = pass.counts;
        let round = self.round;
        if let Err(e) = outcome {
            self.lines.retain(|_, line| line.first_round != round);
            return (counts, Err(e));
        }
        self.lines.retain(|_, line| line.last_round == round);
        let gone = self.current.difference(&pass.seen);
        let mut series = pass.series;
        series.extend(gone.map(|labels| stale(labels.clone(), now_ms)));
        self.current = pass.seen;
        let metadata = self.changed_metadata(pass.families);
        (counts, Ok(Metrics { series, metadata }))
    }

    /// Staleness markers for everything that the last good scrape showed: this scrape failed.
    pub(crate) fn fail(&mut self, now_ms: i64) -> Metrics {
        self.last_time_ms = Some(now_ms);
        Metrics {
            series: self.current.drain().map(|labels| stale(labels, now_ms)).collect(),
            metadata: Vec::new(),
        }
    }

    /// Staleness markers for everything, `up` and its kin included: the target is gone.
    pub(crate) fn end(mut self, now_ms: i64) -> Metrics {
        // A marker at the time of the last sample would take its place.
        let now_ms = self.last_time_ms.map_or(now_ms, |last| now_ms.max(last + 1));
        let mut metrics = self.fail(now_ms);
        let report = REPORT.map(|name| stale(report_labels(&self.target_labels, name), now_ms));
        metrics.series.extend(report);
        metrics
    }

    /// The series that the scrape itself makes.
    pub(crate) fn report(&self, now_ms: i64, up: bool, seconds: f64, counts: Counts) -> Vec<Series> {
        let values = [
            f64::from(u8::from(up)),
            seconds,
            counts.scraped as f64,
            counts.kept as f64,
            counts.added as f64,
        ];
        REPORT
            .into_iter()
            .zip(values)
            .map(|(name, value)| point(report_labels(&self.target_labels, name), now_ms, value))
            .collect()
    }

    fn walk(&mut self, body: &Body, now_ms: i64, pass: &mut Pass) -> Result<()> {
        for entry in Parser::new(body.format, &body.bytes)? {
            match entry? {
                Entry::Type { family, metric_type } => pass.family(&family).metric_type = metric_type,
                Entry::Help { family, text } => pass.family(&family).help = text.into_owned(),
                Entry::Unit { family, unit } => unit.clone_into(&mut pass.family(&family).unit),
                Entry::Sample(sample) => self.sample(&sample, now_ms, pass)?,
            }
        }
        Ok(())
    }

    fn sample(&mut self, sample: &exposition::Sample<'_>, now_ms: i64, pass: &mut Pass) -> Result<()> {
        pass.counts.scraped += 1;
        let is_new = !self.lines.contains_key(sample.series);
        if is_new {
            let labels = self.final_labels(sample.labels()?)?;
            let line = Line {
                labels,
                first_round: self.round,
                last_round: self.round,
                exemplar: None,
            };
            self.lines.insert(sample.series.into(), line);
        }
        let line = self
            .lines
            .get_mut(sample.series)
            .expect("it was there or has just been put there");
        line.last_round = self.round;
        let Some(labels) = line.labels.clone() else {
            return Ok(());
        };
        let own_time = sample.timestamp_ms.filter(|_| self.config.honor_timestamps);
        let tracked = own_time.is_none() || self.config.track_timestamps_staleness;
        let first = !tracked || pass.seen.insert(labels.clone());
        if !first && own_time.is_none() {
            pass.counts.duplicates += 1;
            return Ok(());
        }
        pass.counts.kept += 1;
        pass.counts.added += u64::from(is_new);
        let limit = self.config.limits.sample_limit;
        if limit > 0 && pass.counts.kept > limit as u64 {
            return Err(Error::limit(format!(
                "the scrape has more samples than sample_limit ({limit})"
            )));
        }
        let timestamp_ms = own_time.unwrap_or(now_ms);
        let mut series = point(labels, timestamp_ms, sample.value);
        if let Some(found) = &sample.exemplar {
            let exemplar = Exemplar {
                labels: found.labels()?,
                timestamp_ms: found.timestamp_ms.unwrap_or(timestamp_ms),
                value: found.value,
            };
            // One without a time of its own would be a new one at each scrape.
            let known = line.exemplar.as_ref().is_some_and(|old| {
                let same_time = found.timestamp_ms.is_none() || old.timestamp_ms == exemplar.timestamp_ms;
                same_time && old.labels == exemplar.labels && old.value.to_bits() == exemplar.value.to_bits()
            });
            if !known {
                line.exemplar = Some(exemplar.clone());
                series.exemplars.push(exemplar);
            }
        }
        pass.series.push(series);
        Ok(())
    }

    /// Adds the target's labels and applies the rules; `None` when they drop the sample.
    fn final_labels(&self, mut labels: LabelsBuilder) -> Result<Option<Labels>> {
        add_target_labels(&mut labels, &self.target_labels, self.config.honor_labels);
        if !relabel::apply(&self.config.metric_relabel_configs, &mut labels) {
            return Ok(None);
        }
        let labels = labels.build();
        if labels.metric_name().is_none() {
            return Err(Error::bad_data(format!(
                "relabelling left no metric name in {labels}"
            )));
        }
        self.check_limits(&labels)?;
        Ok(Some(labels))
    }

    fn check_limits(&self, labels: &Labels) -> Result<()> {
        let limits = &self.config.limits;
        let name = labels.metric_name().unwrap_or_default();
        let exceeds = |value: usize, limit: usize| limit > 0 && value > limit;
        let refuse = |key: &str, what: &str, value: usize, limit: usize| {
            let message = format!("{key} exceeded: metric {name:?} has {what} {value}, more than {limit}");
            Err(Error::limit(message))
        };
        if exceeds(labels.len(), limits.label_limit) {
            return refuse(
                "label_limit",
                "a number of labels of",
                labels.len(),
                limits.label_limit,
            );
        }
        for (label, value) in labels.iter() {
            let limit = limits.label_name_length_limit;
            if exceeds(label.len(), limit) {
                return refuse(
                    "label_name_length_limit",
                    "a label name of length",
                    label.len(),
                    limit,
                );
            }
            let limit = limits.label_value_length_limit;
            if exceeds(value.len(), limit) {
                return refuse(
                    "label_value_length_limit",
                    "a label value of length",
                    value.len(),
                    limit,
                );
            }
        }
        Ok(())
    }

    /// What is new or different about the families, or all of it when it is time again.
    fn changed_metadata(&mut self, found: HashMap<String, MetricMetadata>) -> Vec<MetricMetadata> {
        let all = self.round % METADATA_ROUNDS == 1;
        let changed = found
            .values()
            .filter(|m| all || self.families.get(&m.family) != Some(m))
            .cloned()
            .collect();
        self.families = found;
        changed
    }
}

/// What one reading gathers before it counts.
#[derive(Default)]
struct Pass {
    counts: Counts,
    series: Vec<Series>,
    seen: HashSet<Labels>,
    families: HashMap<String, MetricMetadata>,
}

impl Pass {
    fn family(&mut self, name: &str) -> &mut MetricMetadata {
        self.families
            .entry(name.to_owned())
            .or_insert_with(|| MetricMetadata {
                family: name.to_owned(),
                ..MetricMetadata::default()
            })
    }
}

/// With `honor` the exposition's labels win, also by an empty value; otherwise the target's do, and those of the
/// exposition move to `exported_…`.
fn add_target_labels(labels: &mut LabelsBuilder, target: &Labels, honor: bool) {
    let mut conflicts = Vec::new();
    for (name, value) in target.iter() {
        if honor && labels.iter().any(|(n, _)| n == name) {
            continue;
        }
        if let Some(exposed) = labels.get(name) {
            conflicts.push((name, exposed.to_owned()));
        }
        labels.set(name, value);
    }
    conflicts.sort_by_key(|(name, _)| name.len());
    for (name, exposed) in conflicts {
        let mut exported = format!("exported_{name}");
        while labels.get(&exported).is_some() {
            exported.insert_str(0, "exported_");
        }
        labels.set(exported, exposed);
    }
}

fn report_labels(target: &Labels, name: &str) -> Labels {
    let mut labels = target.to_builder();
    labels.set(model::labels::METRIC_NAME, name);
    labels.build()
}

fn point(labels: Labels, timestamp_ms: i64, value: f64) -> Series {
    Series {
        labels,
        samples: vec![Sample { timestamp_ms, value }],
        ..Series::default()
    }
}

fn stale(labels: Labels, timestamp_ms: i64) -> Series {
    point(labels, timestamp_ms, stale_nan())
}

#[cfg(test)]
mod tests;
