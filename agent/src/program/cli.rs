//! The command line of `binnacle-agent`.

use clap::Parser;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Flags. Each is also a key of the configuration file and a variable of the environment; a flag wins over the
/// environment, which wins over the file.
#[derive(Debug, Clone, Default, Parser)]
#[command(
    name = "binnacle-agent",
    version,
    about = "Collects this node's containers, logs and metrics, receives OTLP, and sends everything to a binnacle",
    after_help = "Examples:
  binnacle-agent --collector http://collector:9090
  binnacle-agent --config agent.yml --data-dir /var/lib/binnacle-agent
  binnacle-agent --collector https://collector:9090 --host-root /host --otlp-grpc 0.0.0.0:4317 --insecure
  BINNACLE_COLLECTOR=http://collector:9090 binnacle-agent

In a DaemonSet, mount the node's root directory read-only at /host and say --host-root /host.

A configuration file:
  collector:
    url: https://collector:9090
    bearer_token_file: /etc/binnacle/token
    tls_config: { ca_file: /etc/binnacle/ca.pem }
  spool: { max_bytes: 1073741824 }
  agent:
    interval: 15s
    logs:
      files:
        - { glob: /var/log/pods/*/*/*.log }
        - { glob: /var/log/nginx/*.log, labels: { app: nginx } }"
)]
pub struct Args {
    /// Configuration file (YAML)
    #[arg(long, env = "BINNACLE_AGENT_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the spool and the checkpoints are [default: ./binnacle-agent-data]
    #[arg(long, env = "BINNACLE_AGENT_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// The collector's main address [default: http://127.0.0.1:9090]
    #[arg(long, env = "BINNACLE_COLLECTOR", value_name = "URL")]
    pub collector: Option<String>,
    /// Where OTLP over gRPC is received [default: 127.0.0.1:4317]
    #[arg(long, env = "BINNACLE_AGENT_OTLP_GRPC", value_name = "ADDR")]
    pub otlp_grpc: Option<SocketAddr>,
    /// Where OTLP over HTTP is received [default: 127.0.0.1:4318]
    #[arg(long, env = "BINNACLE_AGENT_OTLP_HTTP", value_name = "ADDR")]
    pub otlp_http: Option<SocketAddr>,
    /// The agent's own /metrics and /-/healthy, and remote write and Loki push to relay [default: 127.0.0.1:9099]
    #[arg(long, env = "BINNACLE_AGENT_LISTEN", value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// Where the node's root directory is seen from here [default: /]
    #[arg(long, env = "BINNACLE_HOST_ROOT", value_name = "DIR")]
    pub host_root: Option<PathBuf>,
    /// The node's name, where the host's own is not the right one
    #[arg(long, env = "BINNACLE_NODE_NAME", value_name = "NAME")]
    pub node_name: Option<String>,
    /// Allow an address that other machines reach without any authentication
    #[arg(long, env = "BINNACLE_AGENT_INSECURE", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    pub insecure: Option<bool>,
}
