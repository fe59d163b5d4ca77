//! A soak: Debian's Prometheus and a direct sender write, while queries, merges, deletions, retention and snapshots go
//! on. At the end everything acknowledged is there, Prometheus answers the same, and memory was flat.
//!
//! One round is one scrape of the peer, a second. `BINNACLE_SOAK_MINUTES` makes it long, and prints figures.

#![allow(clippy::unwrap_used, reason = "these files hold tests and their helpers")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Stdio;
use storage::Rng;
use tests::answers::{RangeQuery, ensure_alike};
use tests::binnacle::{self, Binnacle, Options, client};
use tests::peers;
use tests::remote_write::{self, Series};
use tests::targets::{Shape, Targets};
use tests::usage::Usage;
use tests::wait;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

/// Rounds of the short version.
const SHORT_ROUNDS: u64 = 24;
const HOUR_MS: i64 = 3_600_000;
const ADMIN: &str = "/api/v1/admin/tsdb";

/// Series of a class are kept for 10 days, those of `short` for 2. Only those of `victim` are deleted.
const CLASSES: [(&str, u32); 3] = [("steady", 100), ("short", 40), ("victim", 40)];
const CONFIG: &str = "limits: { max_snapshots: 4 }
retention:
  metrics: 10d
  metrics_rules:
    - { match: 'soak_direct{class=\"short\"}', keep: 2d }
";

type Key = (&'static str, u32);
type Samples = Vec<(i64, f64)>;

/// The direct sender, and what it got acknowledged and must find again.
struct Direct {
    rng: Rng,
    start_ms: i64,
    expected: BTreeMap<Key, BTreeMap<i64, f64>>,
    last: Vec<(Key, Samples)>,
    acknowledged: u64,
    deleted: u64,
}

fn now_ms() -> i64 {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap();
    i64::try_from(now.as_millis()).unwrap()
}

fn seconds(ms: i64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

impl Direct {
    fn new() -> Self {
        Self {
            rng: Rng::new(7),
            start_ms: now_ms(),
            expected: BTreeMap::new(),
            last: Vec::new(),
            acknowledged: 0,
            deleted: 0,
        }
    }
    fn value(&mut self) -> f64 {
        (self.rng.below(200_000) as f64 - 100_000.0) / 100.0
    }
    fn below(&mut self, end: i64) -> i64 {
        self.rng.below(end.unsigned_abs()).cast_signed()
    }
    /// A quarter of an hour of a series, some hours before the start. There are few such quarters, so that they are
    /// written again and again, and the load on the store stays what it is.
    fn block(&mut self, key: Key, hours_ago: i64) -> (Key, Samples) {
        let to_ms = self.start_ms - hours_ago * HOUR_MS;
        let samples = (0..60).map(|i| (to_ms - i * 15_000, self.value())).collect();
        (key, samples)
    }
    /// One new sample of each series, and old ones of some; now and then the batch before with some other values.
    fn batch(&mut self, round: u64) -> Vec<(Key, Samples)> {
        if round % 10 == 9 {
            let mut again = self.last.clone();
            for (_, samples) in again.iter_mut().take(20) {
                samples[0].1 += 1.0;
            }
            return again;
        }
        let at_ms = self.start_ms + round.cast_signed() * 1000;
        let mut batch = Vec::new();
        for (class, count) in CLASSES {
            for n in 0..count {
                batch.push(((class, n), vec![(at_ms, self.value())]));
            }
        }
        for (class, count) in CLASSES {
            for _ in 0..15 {
                let key = (class, self.below(i64::from(count)) as u32);
                let hours_ago = match (class, self.rng.one_in(2)) {
                    // Four days and more: it goes by the rule.
                    ("short", true) => 96 + 24 * self.below(4),
                    ("short", false) => 1 + 6 * self.below(2),
                    _ => 1 + 6 * self.below(12),
                };
                batch.push(self.block(key, hours_ago));
            }
        }
        batch
    }
    /// Sends a batch; all of it must be taken.
    async fn send(&mut self, binnacle: &Binnacle, batch: Vec<(Key, Samples)>) {
        let series: Vec<Series<'_>> = batch
            .iter()
            .map(|((class, n), samples)| {
                let labels = vec![
                    ("__name__", "soak_direct".to_owned()),
                    ("class", (*class).to_owned()),
                    ("n", n.to_string()),
                ];
                (labels, samples.clone())
            })
            .collect();
        let body = remote_write::body(&series).unwrap();
        let (status, text) = remote_write::send(binnacle.client(), &binnacle.url, body)
            .await
            .unwrap();
        assert!(status < 300, "{status} {text}");
        for (key, samples) in &batch {
            self.acknowledged += samples.len() as u64;
            for (at_ms, value) in samples {
                if key.0 != "short" || *at_ms > self.start_ms - 48 * HOUR_MS {
                    self.expected.entry(*key).or_default().insert(*at_ms, *value);
                }
            }
        }
        self.last = batch;
    }
    /// Deletes some of a series, or all of it.
    async fn delete(&mut self, binnacle: &Binnacle) {
        let n = self.below(40) as u32;
        let from_ms = self.start_ms - self.below(72 * HOUR_MS);
        let (mut query, mut range) = (String::new(), i64::MIN..=i64::MAX);
        if !self.rng.one_in(4) {
            range = from_ms..=from_ms + 24 * HOUR_MS;
            query = format!("&start={}&end={}", seconds(*range.start()), seconds(*range.end()));
        }
        let selector = format!("soak_direct%7Bclass=%22victim%22,n=%22{n}%22%7D");
        let path = format!("{ADMIN}/delete_series?match[]={selector}{query}");
        let (status, text) = ask(binnacle, "POST", &path).await;
        assert_eq!(status, 204, "{text}");
        let samples = self.expected.entry(("victim", n)).or_default();
        let before = samples.len();
        samples.retain(|at_ms, _| !range.contains(at_ms));
        self.deleted += (before - samples.len()) as u64;
    }
    /// Everything that must be there is, once and with its value, and nothing else.
    async fn check(&self, binnacle: &Binnacle, when: &str, is_cleaned: bool) {
        // What a rule takes may show until files are written anew.
        let classes = CLASSES
            .iter()
            .filter(|(class, _)| is_cleaned || *class != "short");
        for &(class, count) in classes {
            for n in 0..count {
                let query = format!("soak_direct{{class=\"{class}\",n=\"{n}\"}}[12d]");
                let found = binnacle.promql(&query).await.unwrap();
                let values = found.iter().flat_map(|s| s["values"].as_array().unwrap());
                let found: Samples = values
                    .map(|v| {
                        let at_ms = (v[0].as_f64().unwrap() * 1000.0).round() as i64;
                        (at_ms, v[1].as_str().unwrap().parse().unwrap())
                    })
                    .collect();
                let expected = self.expected.get(&(class, n)).into_iter().flatten();
                let expected: Samples = expected.map(|(at_ms, value)| (*at_ms, *value)).collect();
                let first = found.iter().zip(&expected).find(|(a, b)| a != b);
                assert!(
                    found == expected,
                    "{query} {when}: {} samples, {} expected; the first that differ: {first:?}",
                    found.len(),
                    expected.len()
                );
            }
        }
    }
}

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

/// The figure of a series in a page of metrics; 0 when it is not there.
fn figure(page: &str, series: &str) -> u64 {
    let value = page
        .lines()
        .find_map(|l| l.strip_prefix(series)?.strip_prefix(' '));
    value.map_or(0, |v| v.parse::<f64>().unwrap() as u64)
}

/// Both answer alike, at times that lie between the scrapes: whether the edge of a window counts differs between
/// Prometheus' version 2 and 3. What is on its way still is waited for.
async fn check_against(peer: &str, binnacle: &Binnacle, rounds: u64) {
    let instants = binnacle.promql("timestamp(up{peer=\"debian\"})").await.unwrap();
    let times = instants
        .iter()
        .map(|s| s["value"][1].as_str().unwrap().parse::<f64>().unwrap());
    let times: Vec<i64> = times.map(|s| (s * 1000.0).round() as i64).collect();
    assert_eq!(times.len(), 6, "{instants:?}");
    // The middle of the widest gap between the targets' moments in a second.
    let mut phases: Vec<i64> = times.iter().map(|t| t % 1000).collect();
    phases.sort_unstable();
    phases.push(phases[0] + 1000);
    let gap = phases.windows(2).max_by_key(|w| w[1] - w[0]).unwrap();
    let phase = (gap[0] + gap[1]) / 2 % 1000;
    let end_ms = (times.iter().min().unwrap() / 1000 - 2) * 1000 + phase;
    let start_ms = end_ms - (rounds.cast_signed() - 6).min(240) * 1000;
    for query in [
        "sum by (instance) (soak_requests_total)",
        "count by (instance, life) (soak_load)",
        "sum by (instance) (rate(soak_requests_total[10s]))",
        "quantile by (instance) (0.9, soak_load)",
        "sum by (slot) (increase(soak_requests_total{slot=~\"..\"}[15s]))",
        "sum by (mode) (rate(node_cpu_seconds_total[10s]))",
        "sum by (code) (prometheus_http_requests_total)",
        "sum by (job) (count_over_time(up{job=~\"soak|node|prometheus\"}[10s]))",
    ] {
        let asked = RangeQuery {
            query: query.to_owned(),
            start: seconds(start_ms),
            end: seconds(end_ms),
            step: "1".to_owned(),
        };
        wait::until(query, || async {
            let ours = asked.ask(binnacle.client(), &binnacle.url).await?;
            let theirs = asked.ask(binnacle.client(), peer).await?;
            ensure_alike(&ours, &theirs)
        })
        .await;
    }
}

/// What was held in each round, and the page of metrics at the end of each minute.
#[derive(Default)]
struct Record {
    seen: Vec<Usage>,
    table: String,
}

impl Record {
    fn take(&mut self, usage: Usage) {
        self.seen.push(usage);
    }
    fn minute(&mut self, page: &str) {
        let last = &self.seen[self.seen.len().saturating_sub(60)..];
        let most = |of: fn(&Usage) -> u64| last.iter().map(of).max().unwrap_or_default();
        let _ = writeln!(
            self.table,
            "minute {:>3}: {:>6.1} MB at most, {:>6.1} MB now (store: head {:>4.1}, cache {:>4.1}; events' heads {:>4.1}), \
             {:>3} open files, {:>3} files, {:>9} samples, {:>4} flushes, {:>4} merges, {:>6} active series, {:>6} in all",
            self.seen.len() / 60,
            most(|u| u.anon_bytes) as f64 / 1e6,
            last.last().map_or(0.0, |u| u.anon_bytes as f64 / 1e6),
            figure(page, "binnacle_tsdb_head_bytes") as f64 / 1e6,
            figure(page, "binnacle_tsdb_cache_bytes") as f64 / 1e6,
            ["logs", "traces"]
                .map(
                    |store| figure(page, &format!("binnacle_events_head_bytes{{store=\"{store}\"}}")) as f64
                        / 1e6
                )
                .iter()
                .sum::<f64>(),
            most(|u| u.open_files as u64),
            most(|u| u.files as u64),
            figure(page, "binnacle_tsdb_samples_total"),
            figure(page, "binnacle_tsdb_flushes_total{outcome=\"done\"}"),
            figure(page, "binnacle_tsdb_merges_total{outcome=\"done\"}"),
            figure(page, "binnacle_tsdb_head_series"),
            figure(page, "binnacle_tsdb_catalog_series"),
        );
    }
    /// The most of a third of the rounds.
    fn third(&self, third: usize, of: fn(&Usage) -> u64) -> u64 {
        let len = self.seen.len();
        let seen = &self.seen[third * len / 3..(third + 1) * len / 3];
        seen.iter().map(of).max().unwrap()
    }
    fn check(&self) {
        let (second, last) = (self.third(1, |u| u.anon_bytes), self.third(2, |u| u.anon_bytes));
        assert!(
            last <= second + second / 10 + MEMORY_MARGIN_BYTES,
            "memory grows: {second} bytes at most in the second third, {last} in the last\n{}",
            self.table
        );
        let open_files = self.third(2, |u| u.open_files as u64);
        let files = self.third(2, |u| u.files as u64);
        assert!(
            open_files <= MAX_OPEN_FILES && files <= MAX_FILES,
            "{open_files} {files}"
        );
    }
}

/// Beside a tenth.
const MEMORY_MARGIN_BYTES: u64 = 16 << 20;
const MAX_OPEN_FILES: u64 = 200;
const MAX_FILES: u64 = 400;

/// What went on until the end did what it is there for.
fn check_figures(page: &str, direct: &Direct, rounds: u64) {
    assert!(
        figure(page, "binnacle_tsdb_samples_total") >= direct.acknowledged + rounds * 2000,
        "{page}"
    );
    for (series, least) in [
        ("binnacle_tsdb_merges_total{outcome=\"done\"}", 3),
        ("binnacle_tsdb_flushes_total{outcome=\"done\"}", 3),
        ("binnacle_tsdb_late_samples_total", direct.acknowledged / 4),
        ("binnacle_tsdb_replaced_total", 1),
        (
            "binnacle_tsdb_removed_samples_total{reason=\"rule\"}",
            rounds * 100,
        ),
        ("binnacle_tsdb_removed_samples_total{reason=\"deleted\"}", 100),
        ("binnacle_tsdb_rejected_total{reason=\"too_old\"}", 1),
    ] {
        assert!(
            figure(page, series) >= least,
            "{series} is below {least}:\n{page}"
        );
    }
    for series in [
        "binnacle_tsdb_merges_total{outcome=\"failed\"}",
        "binnacle_tsdb_flushes_total{outcome=\"failed\"}",
        "binnacle_tsdb_unreadable_total",
        "binnacle_tsdb_unreadable_parts",
        "binnacle_tsdb_tombstones",
    ] {
        assert_eq!(figure(page, series), 0, "{series}:\n{page}");
    }
    let faults = page.lines().filter(|l| l.contains("code=\"5"));
    assert_eq!(faults.collect::<Vec<_>>(), [""; 0]);
}

async fn verify(data: &Path) {
    let mut command = Command::new(binnacle::program());
    command
        .args(["tsdb", "verify", "--data-dir"])
        .arg(data)
        .stdin(Stdio::null());
    peers::run(command).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_at_once_for_a_while() {
    let minutes: Option<u64> = std::env::var("BINNACLE_SOAK_MINUTES")
        .ok()
        .map(|v| v.parse().unwrap());
    let rounds = minutes.map_or(SHORT_ROUNDS, |m| m * 60);
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
    let jobs = format!(
        "{}  - job_name: node\n    static_configs: [{{ targets: ['{exporter}'] }}]\n",
        targets.job("soak")
    );
    let (_prometheus, peer) = peers::prometheus(folder.path(), &binnacle.url, &jobs)
        .await
        .unwrap();
    let mut direct = Direct::new();
    let first = direct.batch(0);
    direct.send(&binnacle, first).await;
    let stop = CancellationToken::new();
    let asking = tokio::spawn(queries(binnacle.url.clone(), direct.start_ms, stop.clone()));
    let (mut record, mut snapshots, mut last_snapshot) = (Record::default(), 0u64, String::new());
    for round in 1..=rounds {
        targets.next_scrape().await.unwrap();
        let batch = direct.batch(round);
        let upkeep = async {
            if round % (rounds / 4) == rounds / 8 {
                compact(&binnacle).await;
            }
            if round % 7 == 3 {
                last_snapshot = snapshot(&binnacle, round % 2 == 0).await;
                snapshots += 1;
            }
        };
        tokio::join!(direct.send(&binnacle, batch), upkeep);
        if round % 3 == 0 {
            direct.delete(&binnacle).await;
        }
        if round % 20 == 5 {
            let too_old = vec![("__name__", "soak_direct".to_owned()), ("n", "0".to_owned())];
            let too_old =
                remote_write::body(&[(too_old, vec![(direct.start_ms - 300 * HOUR_MS, 1.0)])]).unwrap();
            let (status, text) = remote_write::send(binnacle.client(), &binnacle.url, too_old)
                .await
                .unwrap();
            assert_eq!(status, 400, "{text}");
        }
        record.take(Usage::of(&binnacle.process, &data).unwrap());
        if round % 60 == 0 {
            record.minute(&binnacle.get("/metrics").await.unwrap().1);
        }
    }
    stop.cancel();
    let asked = asking.await.unwrap();
    check_against(&peer, &binnacle, rounds).await;
    let said = client().get(format!("{peer}/metrics")).send().await.unwrap();
    let said = said.text().await.unwrap();
    let failed = said
        .lines()
        .filter(|l| l.starts_with("prometheus_remote_storage_samples_failed_total"));
    assert!(
        failed.clone().count() == 1 && failed.clone().all(|l| l.ends_with(" 0")),
        "{said}"
    );
    direct.check(&binnacle, "at the end", false).await;
    compact(&binnacle).await;
    let (status, text) = ask(&binnacle, "POST", &format!("{ADMIN}/clean_tombstones")).await;
    assert_eq!(status, 204, "{text}");
    direct.check(&binnacle, "after compaction", true).await;
    wait::until("gauges of now", || async {
        let page = binnacle.get("/metrics").await?.1;
        anyhow::ensure!(figure(&page, "binnacle_tsdb_tombstones") == 0, "{page}");
        Ok(())
    })
    .await;
    check_figures(&binnacle.get("/metrics").await.unwrap().1, &direct, rounds);
    assert_eq!(binnacle.process.terminate().await.unwrap().code(), Some(0));
    verify(&data).await;
    verify(&data.join("snapshots").join(&last_snapshot)).await;
    let binnacle = Binnacle::start(&data, &options).await.unwrap();
    direct.check(&binnacle, "after a restart", true).await;
    record.check();
    if minutes.is_some() {
        let thirds = [0, 1, 2].map(|third| record.third(third, |u| u.anon_bytes) / 1000);
        tests::say(&format!(
            "{}memory of the thirds at most, in kB: {thirds:?}\n{} samples of the direct sender, {} deleted, \
             {asked} queries, {snapshots} snapshots",
            record.table, direct.acknowledged, direct.deleted
        ));
    }
}
