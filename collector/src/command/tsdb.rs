//! `binnacle tsdb`: the stores' files from a shell: bringing samples in and out, checking and looking.

pub mod dump;
pub mod import;
pub mod inspect;
mod output;
mod progress;
pub mod restore;
pub mod verify;

use crate::config::Config;
use clap::{Args, Subcommand};
use model::{Clock, Error, Matcher, Predicate, Result, Tenant};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

/// Flags of `tsdb`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  binnacle tsdb import /var/lib/prometheus --data-dir /var/lib/binnacle
  binnacle tsdb dump --match 'up{job=\"node\"}' > up.om
  binnacle tsdb verify --data-dir /var/lib/binnacle
  binnacle tsdb inspect
  binnacle tsdb restore /backup/20261121T171500Z-0123456789abcdef --data-dir /var/lib/binnacle")]
pub struct TsdbArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: TsdbCommand,
}

/// What `tsdb` can do.
#[derive(Debug, Clone, Subcommand)]
pub enum TsdbCommand {
    /// Bring Prometheus' blocks and OpenMetrics text into a stopped binnacle's data directory
    Import(import::ImportArgs),
    /// Write samples of a stopped binnacle as OpenMetrics text or JSON
    Dump(dump::DumpArgs),
    /// Check every page of every part, the logs and the manifests; changes nothing
    Verify(verify::VerifyArgs),
    /// Show what is in a data directory, or in one part file; changes nothing
    Inspect(inspect::InspectArgs),
    /// Bring a snapshot into the data directory of a stopped binnacle
    Restore(restore::RestoreArgs),
}

/// Everything went well, but something was refused, left out or could not be read.
const INCOMPLETE: u8 = 3;

/// Does what the flags say.
///
/// # Errors
/// One sentence for the person at the shell.
pub fn run(args: &TsdbArgs, clock: Arc<dyn Clock>) -> anyhow::Result<ExitCode> {
    match &args.command {
        TsdbCommand::Import(args) => import::run(args, &clock),
        TsdbCommand::Dump(args) => dump::run(args, clock),
        TsdbCommand::Verify(args) => verify::run(args),
        TsdbCommand::Inspect(args) => inspect::run(args),
        TsdbCommand::Restore(args) => restore::run(args),
    }
}

/// Where the data is.
#[derive(Debug, Clone, Args)]
pub struct DataDirArgs {
    /// Where everything is stored [default: ./binnacle-data]
    #[arg(long, env = "BINNACLE_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

impl DataDirArgs {
    /// The directory that a flag, the environment or else the configuration says.
    fn path(&self, config: &Config) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(|| config.data_dir.clone())
    }
}

/// The series that satisfy one of some selectors; all series when there is none.
fn predicate(selectors: &[Vec<Matcher>]) -> Predicate {
    match selectors {
        [] => Predicate::all(),
        [one] => Predicate::labels(one.iter().cloned()),
        many => Predicate::Or(
            many.iter()
                .map(|s| Predicate::labels(s.iter().cloned()))
                .collect(),
        ),
    }
}

fn parse_selectors(texts: &[String]) -> Result<Vec<Vec<Matcher>>> {
    let parse = |text: &String| query::promql::parse_selector(text).map_err(|e| e.within("--match"));
    texts.iter().map(parse).collect()
}

fn parse_tenant(name: &str) -> Result<Tenant, String> {
    Tenant::new(name).map_err(|e| e.to_string())
}

fn parse_time(text: &str) -> Result<i64, String> {
    crate::api::params::time_ms(text).map_err(|e| e.to_string())
}

fn parse_duration(text: &str) -> Result<std::time::Duration, String> {
    model::duration::parse(text).map_err(|e| e.to_string())
}

/// A time for people, to the second.
fn shown_time(ms: i64) -> String {
    let ns = ms.div_euclid(1000).saturating_mul(model::time::NS_PER_S);
    wire::rfc3339::format_ns(ns).replace(".000000000", "")
}

/// Bytes for people.
fn shown_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} B"),
        _ => format!("{value:.1} {}", UNITS[unit]),
    }
}

/// A count for people: `1,234,567`.
fn shown_count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count and its word: `1 block`, `2 blocks`.
fn counted(count: u64, word: &str) -> String {
    match (count, word.strip_suffix('y')) {
        (1, _) => format!("1 {word}"),
        (n, _) if word == "series" => format!("{} series", shown_count(n)),
        (n, Some(stem)) => format!("{} {stem}ies", shown_count(n)),
        (n, None) => format!("{} {word}s", shown_count(n)),
    }
}

fn io(path: &std::path::Path) -> impl Fn(std::io::Error) -> Error {
    move |e| Error::from(e).within(path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(
            [0, 999, 1000, 1_234_567].map(shown_count),
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!([1, 2048, 3 << 30].map(shown_bytes), ["1 B", "2.0 KiB", "3.0 GiB"]);
        assert_eq!(shown_time(1_700_000_000_123), "2023-11-14T22:13:20Z");
        assert_eq!(counted(1, "block"), "1 block");
        assert_eq!(counted(2000, "series"), "2,000 series");
        assert_eq!(counted(0, "entry"), "0 entries");
    }
}
