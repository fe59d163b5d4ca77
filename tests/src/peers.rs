//! Real peers from Debian's packages and the registries, started on loopback and ended with the test.

use crate::process::Process;
use anyhow::{Context as _, Result, ensure};
use std::path::{Path, PathBuf};
use tokio::process::Command;

/// A port of loopback that was free a moment ago; for peers that cannot choose one and tell.
pub fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// The Python of the tests' environment, with the OpenTelemetry SDK.
pub fn python() -> PathBuf {
    std::env::var_os("BINNACLE_TEST_PYTHON").map_or_else(
        || crate::workspace_root().join("target/test-python/bin/python"),
        PathBuf::from,
    )
}

/// A program's complete output; fails with what it said when it fails.
pub async fn run(mut command: Command) -> Result<String> {
    let shown = format!("{command:?}");
    let output = command
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("{shown} does not start"))?;
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    ensure!(output.status.success(), "{shown}: {}\n{text}", output.status);
    Ok(text)
}

/// Debian's node exporter; gives its address.
pub async fn node_exporter() -> Result<(Process, String)> {
    let address = format!("127.0.0.1:{}", free_port()?);
    let mut command = Command::new("prometheus-node-exporter");
    command.arg(format!("--web.listen-address={address}"));
    let mut process = Process::start("prometheus-node-exporter", command)?;
    process
        .wait_for_line("its listener", |l| {
            (l.contains("Listening on") || l.contains("TLS is disabled")).then_some(())
        })
        .await?;
    Ok((process, address))
}

/// Debian's Prometheus, scraping itself every second and remote-writing to `write_url`. `jobs` is YAML: more items of
/// its list of scrape jobs.
pub async fn prometheus(folder: &Path, write_url: &str, jobs: &str) -> Result<(Process, String)> {
    let address = format!("127.0.0.1:{}", free_port()?);
    let config = format!(
        "global:\n  scrape_interval: 1s\n  external_labels: {{ peer: debian }}\nscrape_configs:\n  - job_name: prometheus\n    \
         static_configs: [{{ targets: ['{address}'] }}]\n{jobs}remote_write:\n  - url: {write_url}/api/v1/write\n    \
         queue_config: {{ batch_send_deadline: 500ms }}\n"
    );
    start_prometheus(folder, &address, &config, &[]).await
}

/// Debian's Prometheus that takes remote writes of everything and scrapes itself every second; `None`, with a visible
/// line, where it is not installed.
pub async fn prometheus_receiver(folder: &Path) -> Result<Option<(Process, String)>> {
    if std::process::Command::new("prometheus")
        .arg("--version")
        .output()
        .is_err()
    {
        crate::skipped("Debian's prometheus is not installed; this test compares with it");
        return Ok(None);
    }
    let address = format!("127.0.0.1:{}", free_port()?);
    let config = format!(
        "global: {{ scrape_interval: 1s }}\nscrape_configs:\n  - job_name: prometheus\n    \
         static_configs: [{{ targets: ['{address}'] }}]\n"
    );
    let flags = [
        "--web.enable-remote-write-receiver",
        "--enable-feature=native-histograms,exemplar-storage",
    ];
    start_prometheus(folder, &address, &config, &flags)
        .await
        .map(Some)
}

async fn start_prometheus(
    folder: &Path,
    address: &str,
    config: &str,
    flags: &[&str],
) -> Result<(Process, String)> {
    std::fs::write(folder.join("prometheus.yml"), config)?;
    let mut command = Command::new("prometheus");
    command.arg(format!(
        "--config.file={}",
        folder.join("prometheus.yml").display()
    ));
    command.arg(format!(
        "--storage.tsdb.path={}",
        folder.join("prometheus").display()
    ));
    command.arg(format!("--web.listen-address={address}"));
    command.args(flags);
    let mut process = Process::start("prometheus", command)?;
    process
        .wait_for_line("readiness", |l| {
            l.contains("ready to receive web requests").then_some(())
        })
        .await?;
    Ok((process, format!("http://{address}")))
}

/// A container of Debian's runc over busybox; deleted with the value.
pub struct Container {
    name: String,
    process: Process,
}

/// What a container may use.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Memory without swap, in bytes.
    pub memory_bytes: u64,
    /// Microseconds of processor time in each 100 ms; `None` for no limit.
    pub cpu_quota_us: Option<u64>,
}

impl Container {
    /// Starts `/bin/busybox sh -c SCRIPT` in a cgroup of its own name under `/binnacle-test/`.
    pub async fn start(folder: &Path, name: &str, script: &str, limits: Limits) -> Result<Self> {
        let bundle = folder.join(name);
        let bin = bundle.join("rootfs/bin");
        std::fs::create_dir_all(&bin)?;
        std::fs::copy("/bin/busybox", bin.join("busybox")).context("Debian's busybox-static")?;
        let mut spec = Command::new("runc");
        spec.arg("spec").current_dir(&bundle);
        run(spec).await?;
        let file = bundle.join("config.json");
        let mut config: serde_json::Value = serde_json::from_slice(&std::fs::read(&file)?)?;
        config["process"]["terminal"] = false.into();
        config["process"]["args"] = serde_json::json!(["/bin/busybox", "sh", "-c", script]);
        config["linux"]["cgroupsPath"] = format!("/binnacle-test/{name}").into();
        config["linux"]["resources"]["memory"] =
            serde_json::json!({ "limit": limits.memory_bytes, "swap": limits.memory_bytes });
        if let Some(quota) = limits.cpu_quota_us {
            config["linux"]["resources"]["cpu"] = serde_json::json!({ "quota": quota, "period": 100_000 });
        }
        std::fs::write(&file, serde_json::to_vec(&config)?)?;
        let mut command = Command::new("runc");
        command.args(["run", name]).current_dir(&bundle);
        let process = Process::start(&format!("runc {name}"), command)?;
        Ok(Self {
            name: name.to_owned(),
            process,
        })
    }
    /// Its name, which is the last segment of its cgroup's path.
    pub fn name(&self) -> &str {
        &self.name
    }
    /// The `runc run` process, which lives as long as the container.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
    /// Runs a command inside.
    pub async fn exec(&self, script: &str) -> Result<String> {
        let mut command = Command::new("runc");
        command.args(["exec", &self.name, "/bin/busybox", "sh", "-c", script]);
        run(command).await
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // Ends the container and removes its cgroup, also when the test panicked.
        let _ = std::process::Command::new("runc")
            .args(["delete", "--force", &self.name])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .status();
    }
}
