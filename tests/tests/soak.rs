//! A soak: Debian's Prometheus and a direct sender write, while queries, merges, deletions, retention and snapshots go
//! on. At the end everything acknowledged is there, Prometheus answers the same, and memory was flat.
//!
//! One round is one scrape of the peer, a second. `BINNACLE_SOAK_MINUTES` makes it long, and prints figures.

#![allow(clippy::unwrap_used, reason = "these files hold tests and their helpers")]

#[path = "soak/direct.rs"]
mod direct;
#[path = "soak/peer.rs"]
mod peer;
#[path = "soak/record.rs"]
mod record;

use direct::{Direct, now_ms};
use record::{Record, check_figures, figure};
use std::path::Path;
use std::process::Stdio;
use tests::binnacle::{self, Binnacle, Options, client};
use tests::targets::{Shape, Targets};
use tests::usage::Usage;
use tests::{peers, remote_write, wait};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

/// Rounds of the short version.
const SHORT_ROUNDS: u64 = 24;
const HOUR_MS: i64 = 3_600_000;
const ADMIN: &str = "/api/v1/admin/tsdb";
const CONFIG: &str = "limits: { max_snapshots: 4 }
retention:
  metrics: 10d
  metrics_rules:
    - { match: 'soak_direct{class=\"short\"}', keep: 2d }
";

/// Status and text of a request; never a fault of the server.
async fn ask(binnacle: &Binnacle, method: &str, path: &str) -> (u16, String) {
    let url = format!("{}{path}", binnacle.url);
    let request = binnacle.client().request(method.parse().unwrap(), url);
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    assert!(status < 500, "{method} {path}: {status}: {text}");
    (status, text)
}

/// Takes a snapshot, and removes those that are older than the last two.
async fn snapshot(binnacle: &Binnacle, skip_head: bool) -> String {
    let path = format!("{ADMIN}/snapshot");
    let (status, text) = ask(binnacle, "POST", &format!("{path}?skip_head={skip_head}")).await;
    assert_eq!(status, 200, "{text}");
    let taken: serde_json::Value = serde_json::from_str(&text).unwrap();
    let listed = binnacle.json(&path, &[]).await.unwrap();
    let listed = listed["data"].as_array().unwrap().iter();
    let mut names: Vec<&str> = listed.map(|s| s["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    for old in &names[..names.len().saturating_sub(2)] {
        let (status, text) = ask(binnacle, "DELETE", &format!("{path}/{old}")).await;
        assert_eq!(status, 204, "{text}");
    }
    taken["data"]["name"].as_str().unwrap().to_owned()
}

async fn compact(binnacle: &Binnacle) {
    let (status, text) = ask(binnacle, "POST", "/-/compact").await;
    assert_eq!(status, 200, "{text}");
}

/// Asks one range query after the other until it is told to stop; how many were answered.
async fn queries(url: String, start_ms: i64, stop: CancellationToken) -> u64 {
    let client = client();
    // Some CPU is left to the writers: a slow machine has other tests to run.
    let mut pause = tokio::time::interval(std::time::Duration::from_millis(100));
    pause.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let all = [
        ("sum by (class) (soak_direct)", 72 * 3600),
        (
            "avg_over_time(soak_direct{class=\"steady\",n=~\"1.\"}[1h])",
            6 * 3600,
        ),
        ("sum by (instance) (rate(soak_requests_total[1m]))", 120),
        ("count by (job) ({__name__=~\"soak_.+|node_cpu.+\"})", 120),
        ("topk(3, soak_load{slot=~\"1.*\"})", 120),
        ("max_over_time(soak_direct{class=\"victim\"}[1d])", 3 * 86_400),
    ];
    for n in 0.. {
        tokio::select! {
            () = stop.cancelled() => return n,
            _ = pause.tick() => {}
        }
        let (query, range_s) = all[n as usize % all.len()];
        let end_s = now_ms() / 1000;
        let (start, end, step) = (
            (end_s - range_s).to_string(),
            end_s.to_string(),
            (range_s / 60).to_string(),
        );
        let parameters = [
            ("query", query),
            ("start", &start),
            ("end", &end),
            ("step", &step),
        ];
        let request = client.get(format!("{url}/api/v1/query_range")).query(&parameters);
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(
            status.is_success() && !text.contains("\"warnings\""),
            "{query}: {status}: {text:.500}"
        );
        // What is there for good is there in every answer.
        if query.contains("n=~") {
            let series = text.matches("\"metric\":").count();
            assert!(series == 10 || now_ms() < start_ms + 2000, "{query}: {text:.500}");
        }
    }
    0
}

async fn verify(data: &Path) {
    let mut command = Command::new(binnacle::program());
    command
        .args(["tsdb", "verify", "--data-dir"])
        .arg(data)
        .stdin(Stdio::null());
    peers::run(command).await.unwrap();
}

/// A sample before everything that is kept is refused.
async fn send_too_old(binnacle: &Binnacle, start_ms: i64) {
    let labels = vec![("__name__", "soak_direct".to_owned()), ("n", "0".to_owned())];
    let body = remote_write::body(&[(labels, vec![(start_ms - 300 * HOUR_MS, 1.0)])]).unwrap();
    let sent = remote_write::send(binnacle.client(), &binnacle.url, body).await;
    let (status, text) = sent.unwrap();
    assert_eq!(status, 400, "{text}");
}

/// What the rounds leave behind.
#[derive(Default)]
struct Rounds {
    record: Record,
    snapshots: Vec<String>,
}

impl Rounds {
    /// One scrape of the peer after the other; in each a batch, and now and then something else.
    async fn run(
        &mut self,
        count: u64,
        binnacle: &Binnacle,
        data: &Path,
        targets: &mut Targets,
        direct: &mut Direct,
    ) {
        for round in 1..=count {
            targets.next_scrape().await.unwrap();
            let batch = direct.batch(round);
            let upkeep = async {
                if round % (count / 4) == count / 8 {
                    compact(binnacle).await;
                }
                if round % 7 == 3 {
                    self.snapshots.push(snapshot(binnacle, round % 2 == 0).await);
                }
            };
            tokio::join!(direct.send(binnacle, batch), upkeep);
            if round % 3 == 0 {
                direct.delete(binnacle).await;
            }
            if round % 20 == 5 {
                send_too_old(binnacle, direct.start_ms).await;
            }
            self.record.take(Usage::of(&binnacle.process, data).unwrap());
            if round % 60 == 0 {
                self.record.minute(&binnacle.get("/metrics").await.unwrap().1);
            }
        }
    }
}

/// Everything that is deleted or expired is gone from the disk.
async fn clean(binnacle: &Binnacle) {
    compact(binnacle).await;
    let (status, text) = ask(binnacle, "POST", &format!("{ADMIN}/clean_tombstones")).await;
    assert_eq!(status, 204, "{text}");
    wait::until("no deletion that waits", || async {
        let page = binnacle.get("/metrics").await?.1;
        anyhow::ensure!(figure(&page, "binnacle_tsdb_tombstones") == 0, "{page}");
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_at_once_for_a_while() {
    let minutes = std::env::var("BINNACLE_SOAK_MINUTES").ok();
    let minutes: Option<u64> = minutes.map(|v| v.parse().unwrap());
    let count = minutes.map_or(SHORT_ROUNDS, |m| m * 60);
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let options = Options::no_agent().with_config(CONFIG);
    let mut binnacle = Binnacle::start(&data, &options).await.unwrap();
    let shape = Shape {
        targets: 4,
        series: 800,
        lifetime: 300,
    };
    let mut targets = Targets::start(shape).await.unwrap();
    let (_exporter, exporter) = peers::node_exporter().await.unwrap();
    let node = format!("  - job_name: node\n    static_configs: [{{ targets: ['{exporter}'] }}]\n");
    let jobs = targets.job("soak") + &node;
    let prometheus = peers::prometheus(folder.path(), &binnacle.url, &jobs).await;
    let (_prometheus, peer_url) = prometheus.unwrap();
    let mut direct = Direct::new();
    let first = direct.batch(0);
    direct.send(&binnacle, first).await;
    let stop = CancellationToken::new();
    let asking = tokio::spawn(queries(binnacle.url.clone(), direct.start_ms, stop.clone()));
    let mut rounds = Rounds::default();
    rounds
        .run(count, &binnacle, &data, &mut targets, &mut direct)
        .await;
    stop.cancel();
    let asked = asking.await.unwrap();

    peer::check_alike(&peer_url, &binnacle, count).await;
    peer::check_nothing_was_refused(&peer_url).await;
    direct.check(&binnacle, "at the end", false).await;
    clean(&binnacle).await;
    direct.check(&binnacle, "after compaction", true).await;
    check_figures(&binnacle.get("/metrics").await.unwrap().1, &direct, count);
    assert_eq!(binnacle.process.terminate().await.unwrap().code(), Some(0));
    verify(&data).await;
    verify(&data.join("snapshots").join(rounds.snapshots.last().unwrap())).await;
    let binnacle = Binnacle::start(&data, &options).await.unwrap();
    direct.check(&binnacle, "after a restart", true).await;
    if minutes.is_some() {
        tests::say(&format!(
            "{}\n{} samples of the direct sender, {} deleted, {asked} queries, {} snapshots",
            rounds.record.summary(),
            direct.acknowledged,
            direct.deleted,
            rounds.snapshots.len()
        ));
    }
    rounds.record.check();
}
