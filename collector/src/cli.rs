//! The command line: what `binnacle` can be asked to do.

use crate::command::test::TestArgs;
use crate::command::tsdb::TsdbArgs;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;

/// One observability stack for metrics, logs and traces.
#[derive(Debug, Parser)]
#[command(
    name = "binnacle",
    version,
    about = "One observability stack for metrics, logs and traces, with this node's agent inside",
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  binnacle                                     collect this node, store under ./binnacle-data, serve on 127.0.0.1:9090
  binnacle run --config binnacle.yml           the same, with a configuration
  binnacle query 'up'                          ask a running binnacle in PromQL
  binnacle query '{container=\"web\"} |= \"error\"'   ask in LogQL
  binnacle check binnacle.yml rules/*.yml      check configuration and rule files
  binnacle test rules tests/*.yml              run unit tests of rule files, as promtool has them
  binnacle tsdb import /var/lib/prometheus     bring Prometheus' blocks into a stopped binnacle's data directory"
)]
pub struct Cli {
    /// What to do; `run` when nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The flags of `run`, which may stand without the word.
    #[command(flatten)]
    pub run: RunArgs,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Collect, store, answer queries, fire alerts and serve the page (the default)
    Run(RunArgs),
    /// Ask a running binnacle: PromQL, LogQL or a trace id
    Query(QueryArgs),
    /// Check configuration and rule files without starting anything
    Check(CheckArgs),
    /// Run unit tests of rule files
    Test(TestArgs),
    /// Import, dump, verify and inspect what is stored
    Tsdb(TsdbArgs),
}

/// Flags of `run`. Each is also a key of the configuration file and a variable of the environment; a flag wins over
/// the environment, which wins over the file.
#[derive(Debug, Clone, Default, Args)]
#[command(after_help = "Examples:
  binnacle run
  binnacle run --data-dir /var/lib/binnacle --listen 127.0.0.1:9091
  binnacle run --no-agent --config binnacle.yml
  BINNACLE_LISTEN=0.0.0.0:9090 binnacle run --config with-auth.yml")]
pub struct RunArgs {
    /// Configuration file (YAML); Prometheus' scrape_configs and rule_files and Alertmanager's route and receivers are
    /// accepted in it as they are
    #[arg(long, env = "BINNACLE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where everything is stored [default: ./binnacle-data]
    #[arg(long, env = "BINNACLE_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// The main port: page, query APIs, remote write, Loki push [default: 127.0.0.1:9090]
    #[arg(long, env = "BINNACLE_LISTEN", value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// OTLP over gRPC [default: 127.0.0.1:4317]
    #[arg(long, env = "BINNACLE_OTLP_GRPC", value_name = "ADDR")]
    pub otlp_grpc: Option<SocketAddr>,
    /// OTLP over HTTP [default: 127.0.0.1:4318]
    #[arg(long, env = "BINNACLE_OTLP_HTTP", value_name = "ADDR")]
    pub otlp_http: Option<SocketAddr>,
    /// Do not collect this node and its containers
    #[arg(long, env = "BINNACLE_NO_AGENT", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    pub no_agent: Option<bool>,
    /// Allow an address that other machines reach without any authentication
    #[arg(long, env = "BINNACLE_INSECURE", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    pub insecure: Option<bool>,
}

/// How `query` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Columns for people.
    Table,
    /// The API's own JSON.
    Json,
}

/// What a query is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Language {
    /// Metrics.
    Promql,
    /// Logs.
    Logql,
    /// A trace by its id.
    Trace,
}

/// Flags of `query`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  binnacle query 'sum by (container) (rate(container_cpu_usage_seconds_total[5m]))'
  binnacle query --since 1h --step 1m 'node_load1'
  binnacle query '{service_name=\"shop\"} |= \"timeout\"' --limit 50
  binnacle query 0af7651916cd43dd8448eb211c80319c
  binnacle query --output json up | jq .")]
pub struct QueryArgs {
    /// PromQL, LogQL (its selectors stand in braces without a metric name) or a trace id (32 hexadecimal digits)
    pub query: String,
    /// Which language it is, where the guess would be wrong
    #[arg(long, value_enum)]
    pub language: Option<Language>,
    /// The running binnacle
    #[arg(
        long,
        env = "BINNACLE_URL",
        default_value = "http://127.0.0.1:9090",
        value_name = "URL"
    )]
    pub url: String,
    /// A token with read access
    #[arg(long, env = "BINNACLE_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub token: Option<String>,
    /// A certificate authority for https (PEM)
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// How far back to look; for PromQL this asks for a range instead of now
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub since: Option<std::time::Duration>,
    /// Distance of points of a PromQL range
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub step: Option<std::time::Duration>,
    /// Log lines at most
    #[arg(long, default_value_t = 100)]
    pub limit: u32,
    /// For people or for programs
    #[arg(long, short, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// Flags of `check`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  binnacle check binnacle.yml
  binnacle check rules/*.yml

Exit code 0 when every file is right, 1 when one is not.")]
pub struct CheckArgs {
    /// Configuration files, and rule files (those with `groups:` at the top)
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

fn parse_duration(text: &str) -> Result<std::time::Duration, String> {
    model::duration::parse(text).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn run_is_the_default() {
        let cli = Cli::parse_from(["binnacle", "--no-agent", "--listen", "127.0.0.1:1"]);
        assert!(cli.command.is_none());
        assert_eq!(cli.run.no_agent, Some(true));
        let cli = Cli::parse_from(["binnacle", "run", "--insecure"]);
        assert!(matches!(
            cli.command,
            Some(Command::Run(RunArgs {
                insecure: Some(true),
                ..
            }))
        ));
    }
}
