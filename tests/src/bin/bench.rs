//! Ingestion and queries beside Debian's Prometheus in the same run: the same bodies, sent as fast as they are taken.
//!
//! Processor seconds come from /proc, bytes from the files; wall time is shown too but says little on a busy
//! machine. Nothing here passes or fails: it prints figures and ratios. Run it by `cargo xtask bench`.

use anyhow::{Context as _, Result, ensure};
use std::path::Path;
use tests::binnacle::{Binnacle, Options, client};
use tests::process::Process;
use tests::{peers, remote_write};
use tokio::process::Command;

const TARGETS: usize = 50;
const SERIES_PER_TARGET: usize = 200;
const QUERIES: [&str; 4] = [
    "sum by (job) (rate(bench_requests_total[5m]))",
    "topk(5, rate(bench_requests_total[1m]))",
    "count(bench_requests_total)",
    "histogram_quantile(0.9, sum by (le) (rate(bench_requests_total[5m])))",
];

struct Figures {
    name: &'static str,
    cpu_ingest_s: f64,
    cpu_query_s: f64,
    rss_mib: f64,
    disk_bytes: u64,
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
async fn main() -> Result<()> {
    let given = std::env::var("BINNACLE_BENCH_SCRAPES")
        .ok()
        .and_then(|n| n.parse().ok());
    let scrapes: usize = given.unwrap_or(60);
    let end_ms = i64::try_from(std::time::SystemTime::UNIX_EPOCH.elapsed()?.as_millis())?;
    let bodies = bodies(end_ms - 15_000 * scrapes as i64, scrapes)?;
    let samples = (TARGETS * SERIES_PER_TARGET * scrapes) as f64;
    let folder = tempfile::tempdir()?;

    let binnacle = Binnacle::start(&folder.path().join("binnacle"), &Options::no_agent()).await?;
    let ours = measure(
        "binnacle",
        &binnacle.process,
        &binnacle.url,
        &bodies,
        &folder.path().join("binnacle"),
    )
    .await?;
    drop(binnacle);
    let (process, url) = prometheus(folder.path()).await?;
    let theirs = measure(
        "prometheus",
        &process,
        &url,
        &bodies,
        &folder.path().join("prometheus"),
    )
    .await?;

    println!(
        "{samples} samples of {} series, one target's scrape a body",
        TARGETS * SERIES_PER_TARGET
    );
    println!(
        "{:<12} {:>22} {:>14} {:>9} {:>14}",
        "", "cpu s per 1M samples", "cpu s queries", "rss MiB", "bytes/sample"
    );
    for f in [&ours, &theirs] {
        let per_million = f.cpu_ingest_s / samples * 1e6;
        let bytes = f.disk_bytes as f64 / samples;
        println!(
            "{:<12} {per_million:>22.2} {:>14.2} {:>9.0} {bytes:>14.2}",
            f.name, f.cpu_query_s, f.rss_mib
        );
    }
    println!(
        "ours to theirs: ingestion {:.2}, queries {:.2}, memory {:.2}, disk before any compaction {:.2}",
        ours.cpu_ingest_s / theirs.cpu_ingest_s,
        ours.cpu_query_s / theirs.cpu_query_s,
        ours.rss_mib / theirs.rss_mib,
        ours.disk_bytes as f64 / theirs.disk_bytes as f64,
    );
    Ok(())
}

/// One body for each scrape of each target, in the order of time.
fn bodies(start_ms: i64, scrapes: usize) -> Result<Vec<Vec<u8>>> {
    let mut bodies = Vec::new();
    for scrape in 0..scrapes {
        for target in 0..TARGETS {
            let series: Vec<remote_write::Series<'_>> = (0..SERIES_PER_TARGET)
                .map(|s| {
                    let labels = vec![
                        ("__name__", "bench_requests_total".to_owned()),
                        ("instance", format!("10.0.0.{target}:8080")),
                        ("job", format!("job-{}", target % 5)),
                        ("path", format!("/api/v1/things/{s}")),
                        ("code", ["200", "404", "500"][s % 3].to_owned()),
                    ];
                    let at_ms = start_ms + scrape as i64 * 15_000 + (target * 7 % 10) as i64;
                    (labels, vec![(at_ms, (scrape * (s % 17 + 1)) as f64)])
                })
                .collect();
            bodies.push(remote_write::body(&series)?);
        }
    }
    Ok(bodies)
}

async fn prometheus(folder: &Path) -> Result<(Process, String)> {
    let address = format!("127.0.0.1:{}", peers::free_port()?);
    std::fs::write(folder.join("empty.yml"), "{}\n")?;
    let mut command = Command::new("prometheus");
    command.args([
        "--web.enable-remote-write-receiver",
        &format!("--web.listen-address={address}"),
    ]);
    command.arg(format!("--config.file={}", folder.join("empty.yml").display()));
    command.arg(format!(
        "--storage.tsdb.path={}",
        folder.join("prometheus").display()
    ));
    let mut process = Process::start("prometheus", command)?;
    process
        .wait_for_line("readiness", |l| {
            l.contains("ready to receive web requests").then_some(())
        })
        .await?;
    Ok((process, format!("http://{address}")))
}

async fn measure(
    name: &'static str,
    process: &Process,
    url: &str,
    bodies: &[Vec<u8>],
    disk: &Path,
) -> Result<Figures> {
    let client = client();
    let before = cpu_seconds(process)?;
    for body in bodies {
        let (status, text) = remote_write::send(&client, url, body.clone()).await?;
        ensure!((200..300).contains(&status), "{name}: {status}: {text}");
    }
    let ingested = cpu_seconds(process)?;
    for query in QUERIES.iter().cycle().take(QUERIES.len() * 20) {
        let response = client
            .get(format!("{url}/api/v1/query"))
            .query(&[("query", query)])
            .send()
            .await?;
        ensure!(
            response.status().is_success(),
            "{name}: {query}: {}",
            response.text().await?
        );
        response.bytes().await?;
    }
    Ok(Figures {
        name,
        cpu_ingest_s: ingested - before,
        cpu_query_s: cpu_seconds(process)? - ingested,
        rss_mib: rss_mib(process)?,
        disk_bytes: bytes_below(disk)?,
    })
}

fn proc_file(process: &Process, name: &str) -> Result<String> {
    let pid = process.pid().context("the server has ended")?;
    Ok(std::fs::read_to_string(format!(
        "/proc/{}/{name}",
        pid.as_raw_nonzero()
    ))?)
}

/// User and system time, at the kernel's 100 ticks a second.
fn cpu_seconds(process: &Process) -> Result<f64> {
    let stat = proc_file(process, "stat")?;
    let after_name = stat.rsplit(')').next().context("a name in brackets")?;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    Ok((fields[11].parse::<f64>()? + fields[12].parse::<f64>()?) / 100.0)
}

fn rss_mib(process: &Process) -> Result<f64> {
    let status = proc_file(process, "status")?;
    let line = status
        .lines()
        .find_map(|l| l.strip_prefix("VmRSS:"))
        .context("VmRSS")?;
    Ok(line
        .split_whitespace()
        .next()
        .context("a number")?
        .parse::<f64>()?
        / 1024.0)
}

fn bytes_below(folder: &Path) -> Result<u64> {
    let mut total = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.metadata()?;
        total += if kind.is_dir() {
            bytes_below(&entry.path())?
        } else {
            kind.len()
        };
    }
    Ok(total)
}
