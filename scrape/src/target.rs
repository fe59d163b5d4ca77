//! Targets: from an address and labels, through relabelling, to a URL and final labels.

use crate::config::{Defaults, ScrapeConfig, TargetGroup, check_timing};
use crate::relabel;
use model::{Error, Labels, LabelsBuilder, Result};
use serde::{Serialize, Serializer};
use std::time::Duration;
use url::Url;

const ADDRESS: &str = "__address__";
const SCHEME: &str = "__scheme__";
const PATH: &str = "__metrics_path__";
const INTERVAL: &str = "__scrape_interval__";
const TIMEOUT: &str = "__scrape_timeout__";
const PARAM: &str = "__param_";

/// What is scraped, and with which labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// The job's name in the configuration.
    pub pool: String,
    /// The final labels, `job` and `instance` among them.
    pub labels: Labels,
    /// The labels before relabelling.
    pub discovered: Labels,
    /// The URL.
    pub url: Url,
    /// Distance between two scrapes.
    pub interval: Duration,
    /// Time for one scrape.
    pub timeout: Duration,
}

/// A target that the rules dropped, with its labels before them.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DroppedTarget {
    /// The labels before relabelling.
    pub discovered_labels: Labels,
    /// The job's name.
    pub scrape_pool: String,
}

/// The targets of a job: kept, dropped, and those whose labels make no target, each with the reason.
#[derive(Debug, Default)]
pub(crate) struct Built {
    pub(crate) targets: Vec<Target>,
    pub(crate) dropped: Vec<DroppedTarget>,
    pub(crate) errors: Vec<Error>,
}

/// Makes the targets of a job. Equal targets count once.
pub(crate) fn build(config: &ScrapeConfig, defaults: Defaults, groups: &[TargetGroup]) -> Result<Built> {
    let mut built = Built::default();
    for group in groups {
        for address in &group.targets {
            let discovered = discovered(config, defaults, group, address)?;
            match resolve(config, discovered.clone()) {
                Ok(Some(target)) if !built.targets.iter().any(|t| t.is_same(&target)) => {
                    built.targets.push(target);
                }
                Ok(Some(_)) => {}
                Ok(None) => built.dropped.push(DroppedTarget {
                    discovered_labels: discovered,
                    scrape_pool: config.job_name.clone(),
                }),
                Err(e) => built
                    .errors
                    .push(e.within(format!("job {:?}, target {address:?}", config.job_name))),
            }
        }
    }
    let limit = config.limits.target_limit;
    if limit > 0 && built.targets.len() > limit {
        return Err(Error::limit(format!(
            "job {:?} has {} targets, more than its target_limit of {limit}",
            config.job_name,
            built.targets.len()
        )));
    }
    Ok(built)
}

/// The labels that the rules start from.
fn discovered(
    config: &ScrapeConfig,
    defaults: Defaults,
    group: &TargetGroup,
    address: &str,
) -> Result<Labels> {
    let (interval, timeout) = config.timing(defaults)?;
    let mut labels = LabelsBuilder::default();
    for (name, value) in &group.labels {
        labels.set(name, value);
    }
    labels.set(ADDRESS, address);
    let defaults = [
        ("job", config.job_name.clone()),
        (INTERVAL, model::duration::format(interval)),
        (TIMEOUT, model::duration::format(timeout)),
        (PATH, config.metrics_path.clone()),
        (SCHEME, config.scheme.clone()),
    ];
    let params = config.params.iter().filter_map(|(name, values)| {
        values
            .first()
            .map(|value| (format!("{PARAM}{name}"), value.clone()))
    });
    let defaults = defaults.into_iter().map(|(n, v)| (n.to_owned(), v));
    for (name, value) in defaults.chain(params) {
        if labels.get(&name).is_none() {
            labels.set(name, value);
        }
    }
    Ok(labels.build())
}

/// Applies the rules; `None` when they drop the target.
fn resolve(config: &ScrapeConfig, discovered: Labels) -> Result<Option<Target>> {
    let mut labels = discovered.to_builder();
    if !relabel::apply(&config.relabel_configs, &mut labels) {
        return Ok(None);
    }
    let address = labels.get(ADDRESS).unwrap_or_default().to_owned();
    if address.is_empty() || address.contains('/') {
        return Err(Error::bad_data(format!("{ADDRESS} {address:?} is not host:port")));
    }
    let duration = |name: &str| {
        let text = labels.get(name).unwrap_or_default();
        model::duration::parse(text).map_err(|e| e.within(name))
    };
    let (interval, timeout) = (duration(INTERVAL)?, duration(TIMEOUT)?);
    check_timing(interval, timeout)?;
    let url = url(config, &labels, &address)?;
    if labels.get("instance").is_none() {
        labels.set("instance", address);
    }
    let labels = labels.build();
    let public = labels.iter().filter(|(name, _)| !name.starts_with("__"));
    Ok(Some(Target {
        pool: config.job_name.clone(),
        labels: Labels::from_pairs(public),
        discovered,
        url,
        interval,
        timeout,
    }))
}

fn url(config: &ScrapeConfig, labels: &LabelsBuilder, address: &str) -> Result<Url> {
    let scheme = labels.get(SCHEME).unwrap_or_default();
    if !matches!(scheme, "http" | "https") {
        return Err(Error::bad_data(format!(
            "{SCHEME} {scheme:?} is neither http nor https"
        )));
    }
    let text = format!("{scheme}://{address}");
    let mut url = Url::parse(&text)
        .map_err(|e| Error::bad_data(format!("{ADDRESS} {address:?} is not host:port: {e}")))?;
    // A path may bring its own query, as it may in Prometheus.
    let path = labels.get(PATH).unwrap_or_default();
    let (path, query) = path.split_once('?').map_or((path, None), |(p, q)| (p, Some(q)));
    url.set_path(path);
    url.set_query(query);
    let mut params = config.params.clone();
    for (name, value) in labels.iter() {
        let Some(name) = name.strip_prefix(PARAM) else {
            continue;
        };
        let values = params.entry(name.to_owned()).or_default();
        match values.first_mut() {
            Some(first) => value.clone_into(first),
            None => values.push(value.to_owned()),
        }
    }
    let mut pairs = params
        .iter()
        .flat_map(|(n, values)| values.iter().map(move |v| (n, v)))
        .peekable();
    if pairs.peek().is_some() {
        url.query_pairs_mut().extend_pairs(pairs);
    }
    Ok(url)
}

impl Target {
    /// Whether two targets make the same series from the same place.
    fn is_same(&self, other: &Self) -> bool {
        self.labels == other.labels && self.url == other.url
    }
    /// Where within its interval this target is scraped: spread evenly, and the same after each restart.
    pub(crate) fn offset_ms(&self) -> i64 {
        let place = Labels::from_pairs([("url", self.url.as_str())]);
        let hash = self.labels.hash() ^ place.hash().rotate_left(1);
        let interval_ms = u64::try_from(self.interval.as_millis())
            .unwrap_or(u64::MAX)
            .max(1);
        i64::try_from(hash % interval_ms).unwrap_or(0)
    }
}

/// How the last scrape went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Not scraped yet.
    #[default]
    Unknown,
    /// It went well.
    Up,
    /// It failed.
    Down,
}

/// A target as `/api/v1/targets` shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetStatus {
    /// The labels before relabelling.
    pub discovered_labels: Labels,
    /// The final labels.
    pub labels: Labels,
    /// The job's name.
    pub scrape_pool: String,
    /// The URL.
    pub scrape_url: String,
    /// The URL, as others reach it.
    pub global_url: String,
    /// What went wrong with the last scrape; empty when it went well.
    pub last_error: String,
    /// When the last scrape began, in nanoseconds since the epoch; shown as RFC 3339, year 1 when there was none.
    #[serde(serialize_with = "rfc3339")]
    pub last_scrape: Option<i64>,
    /// How long it took, in seconds.
    pub last_scrape_duration: f64,
    /// How it went.
    pub health: Health,
    /// Distance between two scrapes, as text.
    pub scrape_interval: String,
    /// Time for one scrape, as text.
    pub scrape_timeout: String,
}

impl TargetStatus {
    /// The status of a target that has not been scraped.
    pub(crate) fn new(target: &Target) -> Self {
        Self {
            discovered_labels: target.discovered.clone(),
            labels: target.labels.clone(),
            scrape_pool: target.pool.clone(),
            scrape_url: target.url.to_string(),
            global_url: target.url.to_string(),
            last_error: String::new(),
            last_scrape: None,
            last_scrape_duration: 0.0,
            health: Health::Unknown,
            scrape_interval: model::duration::format(target.interval),
            scrape_timeout: model::duration::format(target.timeout),
        }
    }
}

fn rfc3339<S: Serializer>(ns: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
    match ns {
        Some(ns) => serializer.serialize_str(&wire::rfc3339::format_ns(*ns)),
        None => serializer.serialize_str("0001-01-01T00:00:00Z"),
    }
}

#[cfg(test)]
mod tests;
