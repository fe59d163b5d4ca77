//! The built programs under test: `binnacle` and `binnacle-agent` on free ports, with a data directory of their own.

use crate::process::Process;
use anyhow::{Context as _, Result};
use serde_json::Value;
use std::path::{Path, PathBuf};
use tokio::process::Command;

/// The built `binnacle`: from `BINNACLE_BIN`, else beside the test's own program.
pub fn program() -> PathBuf {
    built("BINNACLE_BIN", "binnacle")
}

/// The built `binnacle-agent`: from `BINNACLE_AGENT_BIN`, else beside the test's own program.
pub fn agent_program() -> PathBuf {
    built("BINNACLE_AGENT_BIN", "binnacle-agent")
}

fn built(variable: &str, name: &str) -> PathBuf {
    if let Some(path) = std::env::var_os(variable) {
        return path.into();
    }
    // target/debug/deps/this-test -> target/debug/name
    let here = std::env::current_exe().unwrap_or_default();
    let path = here
        .parent()
        .and_then(Path::parent)
        .unwrap_or(Path::new("."))
        .join(name);
    assert!(
        path.exists(),
        "{} is not built: run cargo xtask test, or cargo build --workspace",
        path.display()
    );
    path
}

/// How to start the program.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Arguments after those that the harness gives.
    pub arguments: Vec<String>,
    /// The configuration file's text.
    pub config: Option<String>,
    /// Environment.
    pub environment: Vec<(String, String)>,
}

impl Options {
    /// Without the node's agent.
    pub fn no_agent() -> Self {
        Self {
            arguments: vec!["--no-agent".into()],
            ..Self::default()
        }
    }
    /// With a configuration file.
    #[must_use]
    pub fn with_config(mut self, text: impl Into<String>) -> Self {
        self.config = Some(text.into());
        self
    }
    /// With one more argument.
    #[must_use]
    pub fn with_argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }
}

/// A running `binnacle`.
pub struct Binnacle {
    /// The process.
    pub process: Process,
    /// `http://127.0.0.1:PORT` of the main port.
    pub url: String,
    /// `127.0.0.1:PORT` of OTLP over gRPC.
    pub otlp_grpc: String,
    /// `http://127.0.0.1:PORT` of OTLP over HTTP.
    pub otlp_http: String,
    client: reqwest::Client,
}

/// A client that talks to loopback without any proxy.
pub fn client() -> reqwest::Client {
    // Several tests in one process: the second installation finds the first, which is the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a client without options")
}

/// The command with everything on free ports of loopback; for tests that look at a refused start.
pub fn command(data: &Path, options: &Options) -> Result<Command> {
    let mut command = Command::new(program());
    command.arg("run").arg("--data-dir").arg(data);
    for flag in ["--listen", "--otlp-grpc", "--otlp-http"] {
        if !options.arguments.iter().any(|a| a == flag) {
            command.args([flag, "127.0.0.1:0"]);
        }
    }
    if let Some(text) = &options.config {
        std::fs::create_dir_all(data.parent().context("the data directory has a parent")?)?;
        let file = data.with_extension("yml");
        std::fs::write(&file, text)?;
        command.arg("--config").arg(file);
    }
    command.args(&options.arguments);
    command.envs(options.environment.iter().map(|(k, v)| (k.as_str(), v.as_str())));
    command.env_remove("RUST_LOG");
    Ok(command)
}

impl Binnacle {
    /// Starts it and waits until it says that it is ready.
    pub async fn start(data: &Path, options: &Options) -> Result<Self> {
        let mut process = Process::start("binnacle", command(data, options)?)?;
        let word = |line: &str, key: &str, nth: usize| -> Option<String> {
            let rest = line.trim().strip_prefix(key)?.strip_prefix(' ')?;
            rest.split_whitespace()
                .nth(nth)
                .map(|w| w.trim_end_matches([',', '/']).to_owned())
        };
        let url = process
            .wait_for_line("the page's address", |l| word(l, "page", 0))
            .await?;
        let otlp_grpc = process
            .wait_for_line("OTLP's address", |l| word(l, "otlp", 1))
            .await?;
        let otlp_http = process
            .wait_for_line("OTLP's address", |l| word(l, "otlp", 3))
            .await?;
        process
            .wait_for_line("ready", |l| (l.trim() == "ready").then_some(()))
            .await?;
        Ok(Self {
            process,
            url,
            otlp_grpc,
            otlp_http,
            client: client(),
        })
    }
    /// A GET request; the answer's status and text.
    pub async fn get(&self, path: &str) -> Result<(u16, String)> {
        let response = self.client.get(format!("{}{path}", self.url)).send().await?;
        Ok((response.status().as_u16(), response.text().await?))
    }
    /// A GET request with parameters whose answer must be JSON and 200.
    pub async fn json(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Value> {
        let response = self
            .client
            .get(format!("{}{path}", self.url))
            .query(parameters)
            .send()
            .await?;
        let (status, text) = (response.status(), response.text().await?);
        anyhow::ensure!(status.is_success(), "{path} {parameters:?}: {status}: {text}");
        serde_json::from_str(&text).with_context(|| format!("{path}: not JSON: {text}"))
    }
    /// A PromQL instant query; the result list.
    pub async fn promql(&self, expression: &str) -> Result<Vec<Value>> {
        let answer = self.json("/api/v1/query", &[("query", expression)]).await?;
        Ok(answer["data"]["result"].as_array().cloned().unwrap_or_default())
    }
    /// The value of a PromQL instant query that gives one series.
    pub async fn promql_value(&self, expression: &str) -> Result<f64> {
        let result = self.promql(expression).await?;
        anyhow::ensure!(
            result.len() == 1,
            "{expression}: {} series: {result:?}",
            result.len()
        );
        let text = result[0]["value"][1]
            .as_str()
            .context("a sample's value is text")?;
        Ok(text.parse()?)
    }
    /// A LogQL range query over all of the last hour; `(stream, nanoseconds, line)` in order of the answer.
    pub async fn logql(&self, expression: &str) -> Result<Vec<(Value, String, String)>> {
        let parameters = [
            ("query", expression),
            ("limit", "5000"),
            ("since", "1h"),
            ("direction", "forward"),
        ];
        let answer = self.json("/loki/api/v1/query_range", &parameters).await?;
        let streams = answer["data"]["result"].as_array().cloned().unwrap_or_default();
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        Ok(streams
            .iter()
            .flat_map(|s| {
                let values = s["values"].as_array().cloned().unwrap_or_default();
                values
                    .into_iter()
                    .map(|v| (s["stream"].clone(), text(&v[0]), text(&v[1])))
            })
            .collect())
    }
    /// The client, for requests of other shapes.
    pub fn client(&self) -> &reqwest::Client {
        &self.client
    }
}
