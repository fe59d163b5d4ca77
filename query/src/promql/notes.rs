//! Warnings and infos that come with an answer, in Prometheus' words.

use super::functions::utc;
use model::RolledUp;
use std::collections::BTreeSet;
use std::time::Duration;

/// Collects notes; equal ones show once.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub(crate) warnings: BTreeSet<String>,
    pub(crate) infos: BTreeSet<String>,
}

impl Notes {
    fn warn(&mut self, text: impl std::fmt::Display) {
        self.warnings.insert(format!("PromQL warning: {text}"));
    }
    fn info(&mut self, text: impl std::fmt::Display) {
        self.infos.insert(format!("PromQL info: {text}"));
    }
    /// Quantiles outside of 0 to 1.
    pub(crate) fn quantiles(&mut self, values: &[f64]) {
        for q in values.iter().filter(|q| !(0.0..=1.0).contains(*q)) {
            let shown = match *q {
                q if q == f64::INFINITY => "+Inf".to_owned(),
                q if q == f64::NEG_INFINITY => "-Inf".to_owned(),
                q => q.to_string(),
            };
            self.warn(format_args!(
                "quantile value should be between 0 and 1, got {shown}"
            ));
        }
    }
    /// The name of a series of which a rate is taken.
    pub(crate) fn counter_name(&mut self, name: &str) {
        let fits = ["_total", "_sum", "_count", "_bucket"]
            .iter()
            .any(|suffix| name.ends_with(suffix));
        if !name.is_empty() && !fits {
            self.info(format_args!(
                "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {name:?}"
            ));
        }
    }
    /// What was answered from windows that stand for samples.
    pub(crate) fn rolled_up(&mut self, stretches: &[RolledUp]) {
        let shown = stretches.iter().map(|s| {
            format!(
                "windows of {} from {} to {}",
                width(s.resolution_ms),
                utc(s.after_ms),
                utc(s.until_ms)
            )
        });
        let shown: Vec<String> = shown.collect();
        if !shown.is_empty() {
            self.info(format_args!("rolled-up samples were used: {}", shown.join(", ")));
        }
    }
    pub(crate) fn sort_is_ineffective(&mut self) {
        self.warn("sort is ineffective for range queries since results are always ordered by labels");
    }
    pub(crate) fn bad_bucket_label(&mut self, value: &str, name: &str) {
        self.warn(format_args!(
            "bucket label \"le\" is missing or has a malformed value of {value:?}{}",
            for_metric(name)
        ));
    }
    pub(crate) fn forced_monotonicity(&mut self, name: &str) {
        self.info(format_args!(
            "input to histogram_quantile needed to be fixed for monotonicity (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile){}",
            for_metric(name)
        ));
    }
}

/// A width of windows as people write it.
fn width(ms: i64) -> String {
    model::duration::format(Duration::from_millis(ms.unsigned_abs()))
}

fn for_metric(name: &str) -> String {
    if name.is_empty() {
        String::new()
    } else {
        format!(" for metric name {name:?}")
    }
}
