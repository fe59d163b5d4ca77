//! A snapshot of a running binnacle: taken while writing goes on, restored after kill -9, with the same answers.

#![allow(clippy::unwrap_used, reason = "these files hold tests and their helpers")]

use serde_json::Value;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tests::binnacle::{self, Binnacle, Options, client};
use tests::{remote_write, wait};
use tokio::process::Command;

const SNAPSHOT: &str = "/api/v1/admin/tsdb/snapshot";

fn now_ms() -> i64 {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    i64::try_from(now.as_millis()).unwrap()
}

/// Exit code and all output of `binnacle tsdb`.
async fn tsdb(arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(binnacle::program());
    command.arg("tsdb").args(arguments).stdin(Stdio::null());
    for variable in ["BINNACLE_DATA_DIR", "BINNACLE_CONFIG", "RUST_LOG"] {
        command.env_remove(variable);
    }
    let output = command.output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let said = text(&output.stdout) + &text(&output.stderr);
    (output.status.code().unwrap(), said)
}

/// Status and answer.
async fn ask(binnacle: &Binnacle, method: &str, path: &str) -> (u16, Value) {
    let url = format!("{}{path}", binnacle.url);
    let request = binnacle.client().request(method.parse().unwrap(), url);
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

async fn take(binnacle: &Binnacle, query: &str) -> String {
    let (status, answer) = ask(binnacle, "POST", &format!("{SNAPSHOT}{query}")).await;
    assert_eq!((status, &answer["status"]), (200, &"success".into()), "{answer}");
    answer["data"]["name"].as_str().unwrap().to_owned()
}

async fn names(binnacle: &Binnacle) -> Vec<String> {
    let (_, answer) = ask(binnacle, "GET", SNAPSHOT).await;
    let listed = answer["data"].as_array().unwrap();
    assert!(listed.iter().all(|s| s["sizeBytes"].as_u64().unwrap() > 0));
    let name = |s: &Value| s["name"].as_str().unwrap().to_owned();
    listed.iter().map(name).collect()
}

/// Writes one sample and one line with the same number after the other; what was answered counts.
async fn load(url: String, stop: Arc<AtomicBool>, acknowledged: Arc<Mutex<Vec<u64>>>) {
    let client = client();
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let at_ms = now_ms();
        let labels = vec![("__name__", "snapshot_number".to_owned()), ("n", n.to_string())];
        let body = remote_write::body(&[(labels, vec![(at_ms, n as f64)])]).unwrap();
        let sample = remote_write::send(&client, &url, body).await;
        let line = serde_json::json!({ "streams": [{ "stream": { "app": "snapshot" },
            "values": [[format!("{at_ms}000000"), format!("line {n}")]] }] });
        let line = client.post(format!("{url}/loki/api/v1/push")).json(&line).send();
        if sample.is_ok_and(|(status, _)| status < 300) && line.await.is_ok_and(|a| a.status().is_success()) {
            acknowledged.lock().unwrap().push(n);
        }
    }
}

/// Forty series over an hour, before anything else.
async fn write_history(binnacle: &Binnacle, from_ms: i64) {
    let values = |i: i64| (0..240).map(move |t| (from_ms + t * 15_000, ((i * 31 + t * 7) % 100) as f64));
    let series: Vec<_> = (0..40)
        .map(|i| {
            let labels = vec![("__name__", "history".to_owned()), ("i", i.to_string())];
            (labels, values(i).collect())
        })
        .collect();
    let body = remote_write::body(&series).unwrap();
    let sent = remote_write::send(binnacle.client(), &binnacle.url, body)
        .await
        .unwrap();
    assert!(sent.0 < 300, "{sent:?}");
}

async fn history(binnacle: &Binnacle, from_ms: i64) -> Value {
    let (from, to) = (from_ms / 1000, from_ms / 1000 + 3600);
    let parameters = [
        ("query", "sum by (i) (rate(history[5m])) or history"),
        ("start", &from.to_string()),
        ("end", &to.to_string()),
        ("step", "30"),
    ];
    let answer = binnacle.json("/api/v1/query_range", &parameters).await.unwrap();
    let mut result = answer["data"]["result"].clone();
    let series = result.as_array_mut().unwrap();
    assert_eq!(series.len(), 80);
    series.sort_by_key(|s| s["metric"].to_string());
    result
}

/// How often each number is there: as a sample, and as a line.
async fn stored(binnacle: &Binnacle) -> (Vec<u64>, Vec<u64>) {
    let mut samples = Vec::new();
    for series in binnacle
        .promql("count_over_time(snapshot_number[1h])")
        .await
        .unwrap()
    {
        assert_eq!(series["value"][1], "1", "{series}");
        samples.push(series["metric"]["n"].as_str().unwrap().parse().unwrap());
    }
    let parameters = [("query", r#"{app="snapshot"}"#), ("limit", "5000")];
    let answer = binnacle
        .json("/loki/api/v1/query_range", &parameters)
        .await
        .unwrap();
    let streams = answer["data"]["result"].as_array().unwrap();
    let values = streams.iter().flat_map(|s| s["values"].as_array().unwrap());
    let number = |value: &Value| value[1].as_str().unwrap()["line ".len()..].parse().unwrap();
    let mut lines: Vec<u64> = values.map(number).collect();
    samples.sort_unstable();
    lines.sort_unstable();
    assert!(
        lines.is_sorted_by(|a, b| a < b),
        "each line is there once: {lines:?}"
    );
    (samples, lines)
}

fn shown(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test]
async fn a_snapshot_taken_under_load_answers_like_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let (data, restored) = (folder.path().join("data"), folder.path().join("restored"));
    let mut binnacle = Binnacle::start(&data, &Options::no_agent()).await.unwrap();
    let from_ms = now_ms() / 60_000 * 60_000 - 2 * 3_600_000;
    write_history(&binnacle, from_ms).await;
    let before = history(&binnacle, from_ms).await;

    let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::default());
    let sender = tokio::spawn(load(
        binnacle.url.clone(),
        stop.clone(),
        Arc::clone(&acknowledged),
    ));
    let some_load = async |more: usize| {
        let wanted = acknowledged.lock().unwrap().len() + more;
        wait::until("some load", || {
            let count = acknowledged.lock().unwrap().len();
            std::future::ready(if count >= wanted { Ok(()) } else { Err(count) })
        })
        .await;
    };
    some_load(30).await;
    let promised = acknowledged.lock().unwrap().clone();
    let name = take(&binnacle, "").await;
    some_load(30).await;
    // The files that it was made of are merged away, and so is the log.
    let compacted = ask(&binnacle, "POST", "/-/compact").await;
    assert_eq!(compacted.0, 200, "{compacted:?}");
    some_load(10).await;
    assert_eq!(names(&binnacle).await, [name.as_str()]);
    binnacle.process.kill().await.unwrap();
    stop.store(true, Ordering::Relaxed);
    sender.await.unwrap();

    let snapshot = data.join("snapshots").join(&name);
    let verified = tsdb(&["verify", "--data-dir", shown(&snapshot)]).await;
    assert_eq!(verified.0, 0, "{}", verified.1);
    let (code, said) = tsdb(&["restore", shown(&snapshot), "--data-dir", shown(&restored)]).await;
    assert_eq!(code, 0, "{said}");
    for part in ["metrics: 1 tenant", "logs: 1 tenant", "is restored into"] {
        assert!(said.contains(part), "lacks {part:?}:\n{said}");
    }
    let (code, said) = tsdb(&["restore", shown(&snapshot), "--data-dir", shown(&restored)]).await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("has metrics of tenant default already"), "{said}");

    let binnacle = Binnacle::start(&restored, &Options::no_agent()).await.unwrap();
    assert_eq!(history(&binnacle, from_ms).await, before);
    let (samples, lines) = stored(&binnacle).await;
    for n in &promised {
        assert!(
            samples.binary_search(n).is_ok(),
            "sample {n} was acknowledged before"
        );
        assert!(lines.binary_search(n).is_ok(), "line {n} was acknowledged before");
    }
    assert!(
        samples.len() < acknowledged.lock().unwrap().len(),
        "it is of its time"
    );
    // It goes on from there, and both stand beside each other.
    write_history(&binnacle, from_ms).await;
    assert_eq!(history(&binnacle, from_ms).await, before);
    let original = Binnacle::start(&data, &Options::no_agent()).await.unwrap();
    assert_eq!(history(&original, from_ms).await, before);
    assert_eq!(names(&original).await, [name.as_str()]);
}

#[tokio::test]
async fn snapshots_are_limited_listed_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let (data, other) = (folder.path().join("data"), folder.path().join("other"));
    let options = Options::no_agent().with_config("limits: { max_snapshots: 2 }\n");
    let binnacle = Binnacle::start(&data, &options).await.unwrap();
    write_history(&binnacle, now_ms() - 3_600_000).await;
    assert_eq!(names(&binnacle).await, [""; 0]);
    let (status, answer) = ask(&binnacle, "POST", &format!("{SNAPSHOT}?skip_head=perhaps")).await;
    assert_eq!(
        (status, &answer["errorType"]),
        (400, &"bad_data".into()),
        "{answer}"
    );
    let without_head = take(&binnacle, "?skip_head=true").await;
    let (status, answer) = ask(&binnacle, "PUT", SNAPSHOT).await;
    assert_eq!(status, 200, "{answer}");
    let whole = answer["data"]["name"].as_str().unwrap().to_owned();
    let (status, answer) = ask(&binnacle, "POST", SNAPSHOT).await;
    assert_eq!(status, 422, "{answer}");
    assert!(
        answer["error"]
            .as_str()
            .unwrap()
            .contains("2 is the limit (limits.max_snapshots)"),
        "{answer}"
    );
    let remove = async |name: &str| ask(&binnacle, "DELETE", &format!("{SNAPSHOT}/{name}")).await.0;
    assert_eq!(remove("..%2F..%2Fdata").await, 404);
    assert_eq!(remove(&whole.replace('Z', "Y")).await, 404);

    // In use, and not a snapshot.
    let snapshot = data.join("snapshots").join(&whole);
    let locked = tsdb(&["restore", shown(&snapshot), "--data-dir", shown(&data)]).await;
    assert!(locked.0 == 1 && locked.1.contains("in use"), "{locked:?}");
    let none = tsdb(&["restore", shown(folder.path()), "--data-dir", shown(&other)]).await;
    assert!(none.0 == 1 && none.1.contains("no snapshot"), "{none:?}");
    // Damage is found before anything is restored.
    let part = std::fs::read_dir(snapshot.join("metrics/default/parts"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let mut bytes = std::fs::read(&part).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    // Not in place: the store has the same file.
    std::fs::remove_file(&part).unwrap();
    std::fs::write(&part, &bytes).unwrap();
    let damaged = tsdb(&["restore", shown(&snapshot), "--data-dir", shown(&other)]).await;
    assert!(
        damaged.0 == 1 && damaged.1.contains("nothing was restored"),
        "{damaged:?}"
    );
    let anyway = [
        "restore",
        shown(&snapshot),
        "--data-dir",
        shown(&other),
        "--no-verify",
    ];
    let anyway = tsdb(&anyway).await;
    assert_eq!(anyway.0, 0, "{}", anyway.1);

    for name in [&without_head, &whole] {
        assert_eq!(remove(name).await, 204);
        assert_eq!(remove(name).await, 404);
    }
    assert_eq!(names(&binnacle).await, [""; 0]);
    let verified = tsdb(&["verify", "--data-dir", shown(&data)]).await;
    assert_eq!(verified.0, 0, "{}", verified.1);
}
