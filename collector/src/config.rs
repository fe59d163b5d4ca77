//! The configuration of `binnacle`: one YAML file, with flags and the environment over it.

use crate::cli::RunArgs;
use model::{Error, IngestLimits, QueryLimits, Result};
use runtime::auth::AuthConfig;
use runtime::client::HttpConfig;
use runtime::tls::ServerTls;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Everything that can be configured. Every key has a default; unknown keys are refused.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where everything is stored.
    pub data_dir: PathBuf,
    /// The main port.
    pub listen: SocketAddr,
    /// OTLP over gRPC.
    pub otlp_grpc: SocketAddr,
    /// OTLP over HTTP.
    pub otlp_http: SocketAddr,
    /// Leave this node and its containers alone.
    pub no_agent: bool,
    /// Allow an address that other machines reach without authentication.
    pub insecure: bool,
    /// What an acknowledgement means.
    pub durability: Durability,
    /// The address under which people reach the page, for links in alerts; guessed from `listen` when empty.
    pub external_url: String,
    /// TLS for every listener.
    pub tls: Option<ServerTls>,
    /// Who may read, write and administer.
    pub auth: AuthConfig,
    /// Limits on what comes in and on what queries use.
    pub limits: Limits,
    /// How long data is kept.
    pub retention: Retention,
    /// Prometheus' `global` section.
    pub global: Global,
    /// Prometheus' `scrape_configs`; binnacle itself is always scraped.
    pub scrape_configs: Vec<scrape::ScrapeConfig>,
    /// Rule files, as paths with `*` relative to this file.
    pub rule_files: Vec<String>,
    /// Whether the default pack of alerts is active.
    pub default_rules: bool,
    /// Alertmanager's `route`.
    pub route: Option<alert::config::Route>,
    /// Alertmanager's `receivers`.
    pub receivers: Vec<alert::config::Receiver>,
    /// What the agent collects.
    pub agent: agent::Config,
    /// What binnacle says about itself.
    pub telemetry: Telemetry,
}

impl Default for Config {
    fn default() -> Self {
        let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self {
            data_dir: "./binnacle-data".into(),
            listen: loopback(9090),
            otlp_grpc: loopback(4317),
            otlp_http: loopback(4318),
            no_agent: false,
            insecure: false,
            durability: Durability::default(),
            external_url: String::new(),
            tls: None,
            auth: AuthConfig::default(),
            limits: Limits::default(),
            retention: Retention::default(),
            global: Global::default(),
            scrape_configs: Vec::new(),
            rule_files: Vec::new(),
            default_rules: true,
            route: None,
            receivers: Vec::new(),
            agent: agent::Config::default(),
            telemetry: Telemetry::default(),
        }
    }
}

/// What an acknowledgement means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// On disk.
    #[default]
    Fsync,
    /// Written, perhaps not yet on disk: a crash of the machine loses what was acknowledged last.
    Memory,
}

/// `limits:`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// On what comes in.
    pub ingest: IngestLimits,
    /// On what one query may use.
    pub query: QueryLimits,
    /// Snapshots that are kept in the data directory; one more is refused until an old one is removed. 0 allows none.
    pub max_snapshots: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            ingest: IngestLimits::default(),
            query: QueryLimits::default(),
            max_snapshots: 16,
        }
    }
}

/// `retention:`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Of samples.
    #[serde(with = "model::duration::serde_text")]
    pub metrics: Duration,
    /// Of the samples of some series; the first rule that fits a series holds.
    pub metrics_rules: Vec<MetricsRule>,
    /// The oldest days of samples are removed while the metrics of all tenants take more bytes on disk.
    pub metrics_max_bytes: Option<u64>,
    /// Of samples rolled up to windows of 5 minutes; none are made when it is not there.
    #[serde(with = "model::duration::serde_optional")]
    pub metrics_5m: Option<Duration>,
    /// Of samples rolled up to windows of an hour; none are made when it is not there.
    #[serde(with = "model::duration::serde_optional")]
    pub metrics_1h: Option<Duration>,
    /// Of log entries.
    #[serde(with = "model::duration::serde_text")]
    pub logs: Duration,
    /// Of spans.
    #[serde(with = "model::duration::serde_text")]
    pub traces: Duration,
}

/// One of `retention.metrics_rules`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricsRule {
    /// Which series: a selector as PromQL has it.
    pub r#match: String,
    /// How long their samples are kept.
    #[serde(with = "model::duration::serde_text")]
    pub keep: Duration,
}

impl MetricsRule {
    /// The rule as the store takes it.
    pub fn compiled(&self) -> Result<tsdb::RetentionRule> {
        let matchers = query::promql::parse_selector(&self.r#match)?;
        let keep_ms = u64::try_from(self.keep.as_millis()).unwrap_or(u64::MAX);
        Ok(tsdb::RetentionRule {
            name: format!("{} {keep_ms}", self.r#match),
            selector: model::Predicate::labels(matchers),
            keep_ms,
        })
    }
}

impl Retention {
    /// How long metrics are kept, as Prometheus says it: `15d or 1073741824B`.
    pub fn of_metrics(&self) -> String {
        let time = model::duration::format(self.metrics);
        match self.metrics_max_bytes {
            Some(bytes) => format!("{time} or {bytes}B"),
            None => time,
        }
    }
    /// The rules for some series as the store takes them.
    pub fn rules(&self) -> Result<Vec<tsdb::RetentionRule>> {
        let rules = self.metrics_rules.iter().enumerate();
        rules
            .map(|(i, rule)| {
                let key = format!("retention.metrics_rules[{i}]");
                if rule.keep.is_zero() {
                    return Err(Error::bad_data(format!("{key}.keep must be more than zero")));
                }
                rule.compiled().map_err(|e| e.within(format_args!("{key}.match")))
            })
            .collect()
    }
}

const DAY: Duration = Duration::from_secs(86_400);

impl Retention {
    /// Of rolled-up samples: the width of the windows, the key, and how long they are kept.
    pub fn rolled_up(&self) -> impl Iterator<Item = (Duration, &'static str, Duration)> {
        let kept = [
            (300, "retention.metrics_5m", self.metrics_5m),
            (3600, "retention.metrics_1h", self.metrics_1h),
        ];
        kept.into_iter()
            .filter_map(|(seconds, key, kept)| Some((Duration::from_secs(seconds), key, kept?)))
    }
    /// Windows that go before what they stand for would never be seen.
    fn check(&self) -> Result<()> {
        let mut longest = ("retention.metrics", self.metrics);
        for (_, key, kept) in self.rolled_up() {
            if kept < longest.1 {
                return Err(Error::bad_data(format!(
                    "{key} must not be shorter than {}",
                    longest.0
                )));
            }
            longest = (key, kept);
        }
        Ok(())
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            metrics: 30 * DAY,
            metrics_rules: Vec::new(),
            metrics_max_bytes: None,
            metrics_5m: None,
            metrics_1h: None,
            logs: 30 * DAY,
            traces: 14 * DAY,
        }
    }
}

/// `global:`, as Prometheus and Alertmanager have it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Global {
    /// Of targets that name none.
    #[serde(with = "model::duration::serde_text")]
    pub scrape_interval: Duration,
    /// Of targets that name none.
    #[serde(with = "model::duration::serde_text")]
    pub scrape_timeout: Duration,
    /// Of rule groups that name none.
    #[serde(with = "model::duration::serde_text")]
    pub evaluation_interval: Duration,
    /// Labels of this installation, added to alerts.
    pub external_labels: BTreeMap<String, String>,
    /// Alertmanager's: accepted, because rules say when an alert ends.
    pub resolve_timeout: Option<String>,
    /// Alertmanager's: how webhooks without their own `http_config` reach their servers.
    pub http_config: Option<HttpConfig>,
}

impl Default for Global {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            scrape_interval: seconds(15),
            scrape_timeout: seconds(10),
            evaluation_interval: seconds(15),
            external_labels: BTreeMap::new(),
            resolve_timeout: None,
            http_config: None,
        }
    }
}

/// `telemetry:`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Telemetry {
    /// Which of our own log lines: a level, or directives as `info,tsdb=debug`.
    pub log: String,
    /// JSON lines instead of text for people.
    pub json: bool,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            log: "info".to_owned(),
            json: false,
        }
    }
}

impl Config {
    /// Reads the file that the flags name, if they name one, and puts flags and environment over it.
    pub fn load(args: &RunArgs) -> Result<Self> {
        let mut config = match &args.config {
            Some(file) => Self::read(file)?,
            None => Self::default(),
        };
        config.apply(args);
        match &args.config {
            Some(file) => config.check_file(file)?,
            None => config.check()?,
        }
        Ok(config)
    }
    /// As [`Config::check`]; the error says the file, and the line where the key that it names stands.
    pub fn check_file(&self, file: &Path) -> Result<()> {
        self.check().map_err(|e| {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            match line_of(&text, e.message()) {
                Some(line) => e.within(format!("{}:{line}", file.display())),
                None => e.within(file.display()),
            }
        })
    }
    /// Reads a file. Rule files become absolute patterns.
    pub fn read(file: &Path) -> Result<Self> {
        let mut config: Self = runtime::config::load(file)?;
        let folder = file.parent().unwrap_or(Path::new("."));
        for pattern in &mut config.rule_files {
            *pattern = folder.join(&pattern).display().to_string();
        }
        Ok(config)
    }
    fn apply(&mut self, args: &RunArgs) {
        fn over<T: Clone>(target: &mut T, given: Option<&T>) {
            if let Some(given) = given {
                *target = given.clone();
            }
        }
        over(&mut self.data_dir, args.data_dir.as_ref());
        over(&mut self.listen, args.listen.as_ref());
        over(&mut self.otlp_grpc, args.otlp_grpc.as_ref());
        over(&mut self.otlp_http, args.otlp_http.as_ref());
        over(&mut self.no_agent, args.no_agent.as_ref());
        over(&mut self.insecure, args.insecure.as_ref());
    }
    /// What the types do not say.
    pub fn check(&self) -> Result<()> {
        self.agent.check()?;
        let positive = [
            ("retention.metrics", self.retention.metrics),
            ("retention.logs", self.retention.logs),
            ("retention.traces", self.retention.traces),
            ("global.scrape_interval", self.global.scrape_interval),
            ("global.evaluation_interval", self.global.evaluation_interval),
        ];
        if let Some((key, _)) = positive.iter().find(|(_, d)| d.is_zero()) {
            return Err(Error::bad_data(format!("{key} must be more than zero")));
        }
        self.retention.rules()?;
        self.retention.check()?;
        self.check_limits()?;
        let url = &self.external_url;
        if !url.is_empty()
            && !url::Url::parse(url).is_ok_and(|u| u.has_host() && u.scheme().starts_with("http"))
        {
            return Err(Error::bad_data(format!(
                "external_url: {url:?} is not an http or https address"
            )));
        }
        // Read here too, so that `check` says what `run` would.
        runtime::auth::Auth::new(&self.auth)?;
        if let Some(tls) = &self.tls {
            runtime::tls::server_config(tls).map_err(|e| e.within("tls"))?;
        }
        self.alert().validate()
    }
    fn check_limits(&self) -> Result<()> {
        let (ingest, query) = (&self.limits.ingest, &self.limits.query);
        let positive = [
            ("ingest.max_body_bytes", ingest.max_body_bytes),
            ("ingest.max_decompressed_bytes", ingest.max_decompressed_bytes),
            (
                "ingest.max_inflight_requests",
                ingest.max_inflight_requests as u64,
            ),
            ("ingest.max_labels", ingest.max_labels as u64),
            ("ingest.max_label_name_bytes", ingest.max_label_name_bytes as u64),
            (
                "ingest.max_label_value_bytes",
                ingest.max_label_value_bytes as u64,
            ),
            ("ingest.max_series", ingest.max_series),
            ("ingest.max_streams", ingest.max_streams),
            ("ingest.max_line_bytes", ingest.max_line_bytes as u64),
            ("ingest.max_span_bytes", ingest.max_span_bytes as u64),
            ("ingest.max_tenants", ingest.max_tenants as u64),
            ("query.max_series", query.max_series),
            ("query.max_samples", query.max_samples),
            ("query.max_bytes", query.max_bytes),
            ("query.timeout_ms", query.timeout_ms),
            ("query.max_points_per_series", query.max_points_per_series),
            ("query.max_rows", query.max_rows),
            ("query.max_response_bytes", query.max_response_bytes),
            ("query.max_concurrent", query.max_concurrent as u64),
        ];
        match positive.iter().find(|(_, value)| *value == 0) {
            Some((key, _)) => Err(Error::bad_data(format!("limits.{key} must be more than zero"))),
            None => Ok(()),
        }
    }
    /// Where people reach the page.
    pub fn page_url(&self, bound: SocketAddr) -> String {
        if !self.external_url.is_empty() {
            return self.external_url.trim_end_matches('/').to_owned();
        }
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        if bound.ip().is_unspecified() {
            return format!("{scheme}://127.0.0.1:{}", bound.port());
        }
        format!("{scheme}://{bound}")
    }
    /// What the alert crate needs of this.
    pub fn alert(&self) -> alert::Config {
        alert::Config {
            rule_files: self.rule_files.clone(),
            default_rules: self.default_rules,
            evaluation_interval: self.global.evaluation_interval,
            external_labels: self.global.external_labels.clone(),
            external_url: Some(self.external_url.clone()).filter(|url| !url.is_empty()),
            global: alert::config::Global {
                resolve_timeout: self.global.resolve_timeout.clone(),
                http_config: self.global.http_config.clone(),
            },
            route: self.route.clone(),
            receivers: self.receivers.clone(),
            ..alert::Config::default()
        }
    }
    /// Intervals of targets that name none.
    pub fn scrape_defaults(&self) -> scrape::Defaults {
        scrape::Defaults {
            scrape_interval: self.global.scrape_interval,
            scrape_timeout: self.global.scrape_timeout.min(self.global.scrape_interval),
        }
    }
}

/// The line, from 1, on which a key stands that an error's sentence begins with, for instance `retention.logs`. The
/// parts of the key are looked for one below the other, which is right for block style and close for flow style.
fn line_of(text: &str, message: &str) -> Option<usize> {
    let key = message.split([' ', ':']).next()?;
    let mut found = None;
    for part in key.split('.') {
        let part = part.split('[').next()?;
        let from = found.unwrap_or(0);
        let is_here = |line: &str| {
            line.match_indices(part)
                .any(|(i, _)| line[i + part.len()..].trim_start().starts_with(':'))
        };
        match text.lines().skip(from).position(is_here) {
            Some(at) => found = Some(from + at),
            None => break,
        }
    }
    found.map(|at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_win_over_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("b.yml");
        std::fs::write(
            &file,
            "listen: 127.0.0.1:1\notlp_http: 127.0.0.1:2\nno_agent: true\nrule_files: [r/*.yml]\n",
        )
        .unwrap();
        let args = RunArgs {
            config: Some(file),
            listen: Some("127.0.0.1:3".parse().unwrap()),
            ..RunArgs::default()
        };
        let config = Config::load(&args).unwrap();
        assert_eq!(config.listen.port(), 3);
        assert_eq!(config.otlp_http.port(), 2);
        assert_eq!(config.otlp_grpc.port(), 4317);
        assert!(config.no_agent);
        assert_eq!(
            config.rule_files[0],
            folder.path().join("r/*.yml").display().to_string()
        );
    }

    #[test]
    fn mistakes_are_named() {
        let check = |text: &str, says: &str| {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("b.yml");
            std::fs::write(&file, text).unwrap();
            let args = RunArgs {
                config: Some(file),
                ..RunArgs::default()
            };
            let error = Config::load(&args).unwrap_err().to_string();
            assert!(error.contains(says), "{text:?}: {error}");
        };
        check("lissten: 127.0.0.1:1", "lissten");
        check("retention:\n  metrics: soon\n", "b.yml:2");
        check("retention: { metrics: 0s }", "b.yml:1: retention.metrics");
        check(
            "retention: { metrics: 2d, metrics_5m: 1d }",
            "b.yml:1: retention.metrics_5m must not be shorter than retention.metrics",
        );
        check(
            "retention:\n  metrics_rules:\n    - { match: '{job=}', keep: 1d }\n",
            "b.yml:3: retention.metrics_rules[0].match",
        );
        check(
            "retention:\n  metrics_rules:\n    - { match: 'up', keep: 0s }\n",
            "retention.metrics_rules[0].keep must be more",
        );
        check(
            "no_agent: true\nretention:\n  logs: 0s\n",
            "b.yml:3: retention.logs",
        );
        check(
            "no_agent: true\nroute: { receiver: nobody }\nreceivers: []\n",
            "b.yml:2: route",
        );
        check("agent:\n  interval: 0s\n", "b.yml:2: agent.interval");
        check(
            "limits:\n  ingest:\n    max_body_bytes: 0\n",
            "b.yml:3: limits.ingest.max_body_bytes",
        );
        check("external_url: '::'", "b.yml:1: external_url");
        check(
            "auth:\n  bearer:\n    - { token_file: /nope, access: [read] }\n",
            "/nope",
        );
        check("tls: { cert_file: /nope, key_file: /nope }", "b.yml:1: tls");
        check("limits: { query: { max_seris: 1 } }", "max_seris");
        check("listen: [", "b.yml:1");
    }
}
