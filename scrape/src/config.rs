//! `scrape_configs` as Prometheus writes them. Keys of Prometheus that change nothing here are accepted; those
//! whose effect would be missed are refused with a sentence that names them.

mod raw;

use crate::relabel::Relabel;
use model::{Error, Result};
use runtime::client::HttpConfig;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What is used when a body has no `body_size_limit`: every body has a limit.
pub const DEFAULT_BODY_LIMIT: u64 = 64 << 20;

/// Prometheus' `global` values that scraping uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Defaults {
    /// Distance between two scrapes of a target.
    pub scrape_interval: Duration,
    /// Time for one scrape.
    pub scrape_timeout: Duration,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            scrape_interval: Duration::from_secs(15),
            scrape_timeout: Duration::from_secs(10),
        }
    }
}

/// One entry of `scrape_configs`, checked.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "raw::RawScrapeConfig")]
pub struct ScrapeConfig {
    /// The name of the job; becomes the label `job`.
    pub job_name: String,
    /// Distance between two scrapes; the global one when `None`.
    pub scrape_interval: Option<Duration>,
    /// Time for one scrape; the global one, but not more than the interval, when `None`.
    pub scrape_timeout: Option<Duration>,
    /// Path of the URL.
    pub metrics_path: String,
    /// `http` or `https`.
    pub scheme: String,
    /// Query parameters of the URL.
    pub params: BTreeMap<String, Vec<String>>,
    /// Whether labels of the exposition win over those of the target.
    pub honor_labels: bool,
    /// Whether times of the exposition are used.
    pub honor_timestamps: bool,
    /// Whether series that come with times get staleness markers too.
    pub track_timestamps_staleness: bool,
    /// Whether packed answers are asked for.
    pub enable_compression: bool,
    /// TLS, credentials, redirects.
    pub http: HttpConfig,
    /// Further headers of the request.
    pub headers: BTreeMap<String, String>,
    /// Targets that stand in the configuration.
    pub static_configs: Vec<TargetGroup>,
    /// Targets that stand in other files.
    pub file_sd_configs: Vec<FileDiscovery>,
    /// Rules for targets.
    pub relabel_configs: Vec<Relabel>,
    /// Rules for samples.
    pub metric_relabel_configs: Vec<Relabel>,
    /// Limits of one scrape.
    pub limits: ScrapeLimits,
    /// Where the exposition comes from without HTTP.
    pub in_process: Option<Exposition>,
}

/// Limits of one scrape; 0 is none. A scrape that exceeds one fails as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ScrapeLimits {
    /// Samples after relabelling.
    pub sample_limit: usize,
    /// Labels of a sample.
    pub label_limit: usize,
    /// Bytes of a label's name.
    pub label_name_length_limit: usize,
    /// Bytes of a label's value.
    pub label_value_length_limit: usize,
    /// Bytes of a body, unpacked; 0 is [`DEFAULT_BODY_LIMIT`].
    pub body_size_limit: u64,
    /// Targets of the job after relabelling.
    pub target_limit: usize,
}

impl ScrapeLimits {
    /// The limit of a body, the default included.
    pub fn body_bytes(&self) -> u64 {
        match self.body_size_limit {
            0 => DEFAULT_BODY_LIMIT,
            limit => limit,
        }
    }
}

/// A group of targets with common labels: an entry of `static_configs` and of the files of `file_sd_configs`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetGroup {
    /// `host:port`.
    #[serde(default)]
    pub targets: Vec<String>,
    /// Labels of each of them.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// Targets from files, JSON or YAML lists of [`TargetGroup`], which are read again when they change.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileDiscovery {
    /// Paths; the last part may hold `*`.
    pub files: Vec<PathBuf>,
    /// Accepted for Prometheus' sake: changes are seen within seconds anyway.
    #[serde(default = "five_minutes", with = "model::duration::serde_text")]
    pub refresh_interval: Duration,
}

fn five_minutes() -> Duration {
    Duration::from_secs(300)
}

/// A function that gives an exposition in Prometheus' text format, for a program that scrapes itself.
#[derive(Clone)]
pub struct Exposition(pub Arc<dyn Fn() -> String + Send + Sync>);

impl std::fmt::Debug for Exposition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Exposition")
    }
}
impl PartialEq for Exposition {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl ScrapeConfig {
    /// A job with Prometheus' defaults and no targets.
    pub fn new(job_name: &str) -> Self {
        Self {
            job_name: job_name.to_owned(),
            scrape_interval: None,
            scrape_timeout: None,
            metrics_path: "/metrics".to_owned(),
            scheme: "http".to_owned(),
            params: BTreeMap::new(),
            honor_labels: false,
            honor_timestamps: true,
            track_timestamps_staleness: false,
            enable_compression: true,
            http: HttpConfig::default(),
            headers: BTreeMap::new(),
            static_configs: Vec::new(),
            file_sd_configs: Vec::new(),
            relabel_configs: Vec::new(),
            metric_relabel_configs: Vec::new(),
            limits: ScrapeLimits::default(),
            in_process: None,
        }
    }
    /// Adds a target.
    #[must_use]
    pub fn with_target(mut self, address: &str) -> Self {
        self.static_configs.push(TargetGroup {
            targets: vec![address.to_owned()],
            labels: BTreeMap::new(),
        });
        self
    }
    /// A job whose one target is a function; `instance` is the address that it shows.
    pub fn in_process(job_name: &str, instance: &str, exposition: Exposition) -> Self {
        Self {
            in_process: Some(exposition),
            ..Self::new(job_name).with_target(instance)
        }
    }
    /// Interval and timeout with the defaults filled in.
    pub fn timing(&self, defaults: Defaults) -> Result<(Duration, Duration)> {
        let interval = self.scrape_interval.unwrap_or(defaults.scrape_interval);
        let timeout = self
            .scrape_timeout
            .unwrap_or_else(|| defaults.scrape_timeout.min(interval));
        check_timing(interval, timeout).map_err(|e| self.named(e))?;
        Ok((interval, timeout))
    }
    fn named(&self, error: Error) -> Error {
        error.within(format!("scrape_configs: job {:?}", self.job_name))
    }
}

/// Checks that a scrape can end before the next one begins.
pub(crate) fn check_timing(interval: Duration, timeout: Duration) -> Result<()> {
    if interval.is_zero() || timeout.is_zero() {
        return Err(Error::bad_data(
            "scrape_interval and scrape_timeout must be more than zero",
        ));
    }
    if timeout > interval {
        return Err(Error::bad_data(format!(
            "scrape_timeout ({}) is longer than scrape_interval ({})",
            model::duration::format(timeout),
            model::duration::format(interval)
        )));
    }
    Ok(())
}

/// Checks what can only be seen over all jobs: names occur once, and the times fit.
pub(crate) fn check_all(configs: &[ScrapeConfig], defaults: Defaults) -> Result<()> {
    let mut names = std::collections::BTreeSet::new();
    for config in configs {
        if !names.insert(&config.job_name) {
            return Err(config.named(Error::bad_data("two jobs have this name")));
        }
        config.timing(defaults)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
