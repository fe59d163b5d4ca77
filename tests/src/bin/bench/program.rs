//! The programs that are measured: how each is started, asked for readiness, and made to put all on disk.

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program that takes remote write and answers PromQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Program {
    /// Ours.
    Binnacle,
    /// Debian's package of this name.
    Prometheus,
    /// Debian's package of this name.
    VictoriaMetrics,
}

/// Limits that no measurement is to meet, for all programs alike; and nothing is too old.
const OUR_CONFIG: &str = "retention: { metrics: 36500d }
limits:
  ingest: { max_series: 4000000 }
  query: { max_series: 4000000, max_samples: 1000000000, max_bytes: 8589934592, max_response_bytes: 4294967296 }
";

impl Program {
    /// Its name, as on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Binnacle => "binnacle",
            Self::Prometheus => "prometheus",
            Self::VictoriaMetrics => "victoria-metrics",
        }
    }
    fn path(self) -> PathBuf {
        match self {
            Self::Binnacle => tests::binnacle::program(),
            _ => self.name().into(),
        }
    }
    /// What it says about its version, or `None` where it is not installed.
    pub(crate) fn version(self) -> Option<String> {
        let output = Command::new(self.path()).arg("--version").output().ok()?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let first = said
            .lines()
            .map(str::trim)
            .find(|l| !l.is_empty())
            .map(str::to_owned);
        first.or_else(|| debian_version(self.name()))
    }
    /// The command that serves `data` on a port of loopback.
    pub(crate) fn command(self, data: &Path, port: u16) -> Result<Command> {
        let mut command = Command::new(self.path());
        let config = data.with_extension("yml");
        let address = format!("127.0.0.1:{port}");
        match self {
            Self::Binnacle => {
                std::fs::write(&config, OUR_CONFIG)?;
                command.args(["run", "--no-agent", "--listen", &address]);
                command.args(["--otlp-grpc", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0"]);
                command.arg("--config").arg(config).arg("--data-dir").arg(data);
                command.env_remove("RUST_LOG");
            }
            Self::Prometheus => {
                std::fs::write(&config, "global: { scrape_interval: 15s }\n")?;
                command.args([
                    "--web.enable-remote-write-receiver",
                    "--web.enable-admin-api",
                    "--log.level=warn",
                ]);
                command.args([
                    "--storage.tsdb.retention.time=100y",
                    "--query.max-samples=1000000000",
                    "--query.timeout=10m",
                ]);
                command.arg(format!("--web.listen-address={address}"));
                command.arg(format!("--config.file={}", config.display()));
                command.arg(format!("--storage.tsdb.path={}", data.display()));
            }
            Self::VictoriaMetrics => {
                command.args(["-retentionPeriod=100y", "-loggerLevel=WARN"]);
                command.args(["-search.maxUniqueTimeseries=4000000", "-search.maxSeries=4000000"]);
                command.args([
                    "-search.maxSamplesPerQuery=1000000000",
                    "-search.maxQueryDuration=10m",
                ]);
                command.arg(format!("-httpListenAddr={address}"));
                command.arg(format!("-storageDataPath={}", data.display()));
            }
        }
        Ok(command)
    }
    /// Answers 200 when it serves.
    pub(crate) fn ready_path(self) -> &'static str {
        match self {
            Self::VictoriaMetrics => "/health",
            _ => "/-/ready",
        }
    }
    /// Goes behind every query: no answers from a cache of answers.
    pub(crate) fn query_parameters(self) -> &'static str {
        match self {
            Self::VictoriaMetrics => "&nocache=1",
            _ => "",
        }
    }
    /// Requests after which all data stands in its final form on disk: method and path.
    pub(crate) fn flush(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Binnacle => &[("POST", "/-/compact")],
            Self::Prometheus => &[("POST", "/api/v1/admin/tsdb/snapshot")],
            Self::VictoriaMetrics => &[("GET", "/internal/force_flush"), ("GET", "/internal/force_merge")],
        }
    }
    /// The folder whose bytes count after [`Self::flush`]: Prometheus' snapshot holds all blocks and the head as a
    /// block, without its log.
    pub(crate) fn flushed(self, data: &Path) -> PathBuf {
        match self {
            Self::Prometheus => data.join("snapshots"),
            _ => data.to_owned(),
        }
    }
}

/// Debian's build of victoria-metrics says nothing about its version.
fn debian_version(package: &str) -> Option<String> {
    let arguments = ["--show", "--showformat=${Version}", package];
    let output = Command::new("dpkg-query").args(arguments).output().ok()?;
    let version = String::from_utf8(output.stdout)
        .context("a version is text")
        .ok()?;
    Some(format!("{package} {version}"))
}
