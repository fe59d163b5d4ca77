//! The configuration of `binnacle-agent`: one YAML file, with flags and the environment over it.

use super::cli::Args;
use crate::spool::sender::Addresses;
use model::{Error, IngestLimits, Result};
use runtime::Secret;
use runtime::auth::AuthConfig;
use runtime::client::{Authorization, BasicAuth, HttpConfig};
use runtime::tls::{ClientTls, ServerTls};
use serde::Deserialize;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// Everything that can be configured. Every key has a default; unknown keys are refused.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the spool and the checkpoints are.
    pub data_dir: PathBuf,
    /// Where everything is sent.
    pub collector: Collector,
    /// The agent's own port.
    pub listen: SocketAddr,
    /// OTLP over gRPC.
    pub otlp_grpc: SocketAddr,
    /// OTLP over HTTP.
    pub otlp_http: SocketAddr,
    /// Allow an address that other machines reach without authentication.
    pub insecure: bool,
    /// TLS for every listener.
    pub tls: Option<ServerTls>,
    /// Who may send to this agent and read its metrics.
    pub auth: AuthConfig,
    /// Limits on what is received.
    pub limits: Limits,
    /// What waits for the collector.
    pub spool: Spool,
    /// Prometheus' `scrape_configs`: targets near this node.
    pub scrape_configs: Vec<scrape::ScrapeConfig>,
    /// What is collected.
    pub agent: crate::Config,
    /// What the agent says about itself.
    pub telemetry: Telemetry,
}

impl Default for Config {
    fn default() -> Self {
        let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self {
            data_dir: "./binnacle-agent-data".into(),
            collector: Collector::default(),
            listen: loopback(9099),
            otlp_grpc: loopback(4317),
            otlp_http: loopback(4318),
            insecure: false,
            tls: None,
            auth: AuthConfig::default(),
            limits: Limits::default(),
            spool: Spool::default(),
            scrape_configs: Vec::new(),
            agent: crate::Config::default(),
            telemetry: Telemetry::default(),
        }
    }
}

/// `collector:`, with the keys of Prometheus' `remote_write` for TLS and credentials.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Collector {
    /// The collector's main address.
    pub url: String,
    /// Where it takes OTLP over HTTP; the main address when left out, which takes it too.
    pub otlp_url: Option<String>,
    /// Time for one batch.
    #[serde(with = "model::duration::serde_text")]
    pub timeout: Duration,
    /// User and password.
    pub basic_auth: Option<BasicAuth>,
    /// An `Authorization` header with a type of its own.
    pub authorization: Option<Authorization>,
    /// A token.
    pub bearer_token: Option<Secret>,
    /// A file that holds the token.
    pub bearer_token_file: Option<PathBuf>,
    /// TLS.
    pub tls_config: ClientTls,
}

impl Default for Collector {
    fn default() -> Self {
        Self {
            url: "http://127.0.0.1:9090".to_owned(),
            otlp_url: None,
            timeout: Duration::from_secs(30),
            basic_auth: None,
            authorization: None,
            bearer_token: None,
            bearer_token_file: None,
            tls_config: ClientTls::default(),
        }
    }
}

impl Collector {
    /// How to reach it.
    pub fn http(&self) -> HttpConfig {
        HttpConfig {
            basic_auth: self.basic_auth.clone(),
            authorization: self.authorization.clone(),
            bearer_token: self.bearer_token.clone(),
            bearer_token_file: self.bearer_token_file.clone(),
            tls_config: self.tls_config.clone(),
            ..HttpConfig::default()
        }
    }
    /// Where each signal goes.
    pub fn addresses(&self) -> Result<Addresses> {
        let main = url_of("collector.url", &self.url)?;
        let otlp = match &self.otlp_url {
            Some(text) => url_of("collector.otlp_url", text)?,
            None => main.clone(),
        };
        Ok(Addresses::new(main.as_str(), Some(otlp.as_str())))
    }
}

fn url_of(key: &str, text: &str) -> Result<Url> {
    let bad =
        |why: String| Error::bad_data(format!("{key}: {text:?} is not an address of a collector: {why}"));
    let url = Url::parse(text).map_err(|e| bad(e.to_string()))?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
        other => Err(bad(format!("{other} is neither http nor https"))),
    }
}

/// `limits:`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// On what comes in.
    pub ingest: IngestLimits,
}

/// `spool:`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Spool {
    /// Bytes on disk.
    pub max_bytes: u64,
}

impl Default for Spool {
    fn default() -> Self {
        Self { max_bytes: 1 << 30 }
    }
}

/// `telemetry:`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Telemetry {
    /// Which of our own log lines: a level, or directives as `info,agent=debug`.
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

/// The smallest spool that makes sense: a few batches of the largest size.
const MIN_SPOOL_BYTES: u64 = 1 << 20;

impl Config {
    /// Reads the file that the flags name, if they name one, and puts flags and environment over it.
    ///
    /// # Errors
    /// The file with its line, or the key that makes no sense.
    pub fn load(args: &Args) -> anyhow::Result<Self> {
        let mut config = match &args.config {
            Some(file) => runtime::config::load(file)?,
            None => Self::default(),
        };
        config.apply(args);
        config.check()?;
        Ok(config)
    }
    fn apply(&mut self, args: &Args) {
        fn over<T: Clone>(target: &mut T, given: Option<&T>) {
            if let Some(given) = given {
                *target = given.clone();
            }
        }
        over(&mut self.data_dir, args.data_dir.as_ref());
        over(&mut self.collector.url, args.collector.as_ref());
        over(&mut self.listen, args.listen.as_ref());
        over(&mut self.otlp_grpc, args.otlp_grpc.as_ref());
        over(&mut self.otlp_http, args.otlp_http.as_ref());
        over(&mut self.insecure, args.insecure.as_ref());
        over(&mut self.agent.host_root, args.host_root.as_ref());
        over(&mut self.agent.node_name, args.node_name.as_ref());
    }
    fn check(&self) -> Result<()> {
        self.agent.check()?;
        self.collector.addresses()?;
        if self.collector.timeout.is_zero() {
            return Err(Error::bad_data("collector.timeout must be more than zero"));
        }
        if self.spool.max_bytes < MIN_SPOOL_BYTES {
            return Err(Error::bad_data(format!(
                "spool.max_bytes must be at least {MIN_SPOOL_BYTES}"
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    fn load(yaml: &str, args: &[&str]) -> Result<Config, String> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("agent.yml");
        std::fs::write(&file, yaml).unwrap();
        let mut args = Args::parse_from([&["binnacle-agent"], args].concat());
        args.config = Some(file);
        Config::load(&args).map_err(|e| format!("{e:#}"))
    }

    #[test]
    fn flags_win_over_the_file() {
        let config = load("{}", &[]).unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:9099");
        let yaml =
            "listen: 127.0.0.1:1\ncollector: {url: 'http://a:1', bearer_token: t}\nagent: {interval: 1s}\n";
        let args = ["--listen", "127.0.0.1:2", "--host-root", "/host", "--insecure"];
        let config = load(yaml, &args).unwrap();
        assert_eq!(config.listen.port(), 2);
        assert_eq!(
            (config.collector.url.as_str(), config.insecure),
            ("http://a:1", true)
        );
        assert_eq!(config.agent.host_root, PathBuf::from("/host"));
        assert!(config.collector.http().bearer_token.is_some());
    }

    #[test]
    fn what_makes_no_sense_is_said_with_its_place() {
        for (yaml, says) in [
            ("colector: {}", "agent.yml:1"),
            ("agent:\n  intervall: 1s", "agent.yml:2"),
            ("collector: {url: 'ftp://x'}", "neither http nor https"),
            ("collector: {url: 'x'}", "collector.url"),
            ("spool: {max_bytes: 5}", "spool.max_bytes"),
            ("agent: {tenant: 'a/b'}", "agent.tenant"),
        ] {
            let e = load(yaml, &[]).unwrap_err();
            assert!(e.contains(says), "{yaml}: {e}");
        }
    }

    #[test]
    fn otlp_goes_to_the_main_address_unless_told() {
        let addresses = |url: &str, otlp: Option<&str>| {
            Collector {
                url: url.to_owned(),
                otlp_url: otlp.map(str::to_owned),
                ..Collector::default()
            }
            .addresses()
            .unwrap()
        };
        assert_eq!(
            addresses("https://c:9090", None),
            Addresses::new("https://c:9090", Some("https://c:9090"))
        );
        assert_eq!(
            addresses("http://c/binnacle/", Some("http://c/otlp")),
            Addresses::new("http://c/binnacle", Some("http://c/otlp"))
        );
    }
}
