//! kill -9 under load, again and again: nothing acknowledged is missing, nothing shows twice.

#![allow(clippy::unwrap_used, reason = "these files hold tests and their helpers")]

use anyhow::Result;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tests::binnacle::{Binnacle, Options, client};
use tests::{remote_write, wait};

/// What one sender got acknowledged. Each send carries one sample, one line and one span with the same number.
#[derive(Default)]
struct Acknowledged {
    metrics: Mutex<Vec<u64>>,
    logs: Mutex<Vec<u64>>,
    spans: Mutex<Vec<u64>>,
}

fn now_ms() -> i64 {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    i64::try_from(now.as_millis()).unwrap()
}

async fn send_metric(url: &str, client: &reqwest::Client, n: u64, at_ms: i64) -> Result<u16> {
    let labels = vec![("__name__", "crash_number".to_owned()), ("n", n.to_string())];
    let body = remote_write::body(&[(labels, vec![(at_ms, n as f64)])])?;
    Ok(remote_write::send(client, url, body).await?.0)
}

async fn send_log(url: &str, client: &reqwest::Client, n: u64, at_ms: i64) -> Result<u16> {
    let body = serde_json::json!({ "streams": [{ "stream": { "app": "crash" },
        "values": [[format!("{at_ms}000000"), format!("line number {n} of the crash test")]] }] });
    Ok(client
        .post(format!("{url}/loki/api/v1/push"))
        .json(&body)
        .send()
        .await?
        .status()
        .as_u16())
}

async fn send_span(otlp: &str, client: &reqwest::Client, n: u64, at_ms: i64) -> Result<u16> {
    let body = serde_json::json!({ "resourceSpans": [{ "resource": { "attributes": [
        { "key": "service.name", "value": { "stringValue": "crash" } }] }, "scopeSpans": [{ "spans": [{
        "traceId": format!("{:032x}", n + 1), "spanId": format!("{:016x}", n + 1), "name": "crash", "kind": 2,
        "startTimeUnixNano": format!("{at_ms}000000"), "endTimeUnixNano": format!("{at_ms}000000"),
        "attributes": [{ "key": "n", "value": { "intValue": n.to_string() } }] }] }] }] });
    Ok(client
        .post(format!("{otlp}/v1/traces"))
        .json(&body)
        .send()
        .await?
        .status()
        .as_u16())
}

/// What a sender still owes: a number whose answer it never saw, with its time and the signals that are missing.
struct Owed {
    n: u64,
    at_ms: i64,
    signals: [bool; 3],
}

/// Sends until it is told to stop; a number counts only when the answer came. What was not answered is sent again,
/// the same to the byte, by whoever comes next: it may be stored already, and must show once all the same.
async fn load(
    urls: (String, String),
    next: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<Acknowledged>,
    owed: Arc<Mutex<Vec<Owed>>>,
) {
    let client = client();
    while !stop.load(Ordering::Relaxed) {
        let again = owed.lock().unwrap().pop();
        let mut send = again.unwrap_or_else(|| Owed {
            n: next.fetch_add(1, Ordering::Relaxed),
            at_ms: now_ms(),
            signals: [true; 3],
        });
        let ok = |r: Result<u16>| r.is_ok_and(|status| (200..300).contains(&status));
        let (n, at_ms) = (send.n, send.at_ms);
        if send.signals[0] && ok(send_metric(&urls.0, &client, n, at_ms).await) {
            send.signals[0] = false;
            acknowledged.metrics.lock().unwrap().push(n);
        }
        if send.signals[1] && ok(send_log(&urls.0, &client, n, at_ms).await) {
            send.signals[1] = false;
            acknowledged.logs.lock().unwrap().push(n);
        }
        if send.signals[2] && ok(send_span(&urls.1, &client, n, at_ms).await) {
            send.signals[2] = false;
            acknowledged.spans.lock().unwrap().push(n);
        }
        if send.signals.contains(&true) {
            owed.lock().unwrap().push(send);
        }
    }
}

async fn stored_metrics(binnacle: &Binnacle) -> Result<BTreeMap<u64, usize>> {
    let mut found = BTreeMap::new();
    for series in binnacle.promql("count_over_time(crash_number[1h])").await? {
        let n = series["metric"]["n"].as_str().unwrap_or_default().parse()?;
        *found.entry(n).or_default() += series["value"][1].as_str().unwrap_or_default().parse::<usize>()?;
    }
    Ok(found)
}

/// All lines, page by page: the API gives 5,000 at most.
async fn stored_logs(binnacle: &Binnacle, from_ms: i64) -> Result<BTreeMap<u64, usize>> {
    let mut found = BTreeMap::new();
    let mut seen = std::collections::HashSet::new();
    let mut start = i128::from(from_ms) * 1_000_000;
    loop {
        let from = start.to_string();
        let parameters = [
            ("query", r#"{app="crash"}"#),
            ("limit", "5000"),
            ("start", &from),
            ("direction", "forward"),
        ];
        let answer = binnacle.json("/loki/api/v1/query_range", &parameters).await?;
        let mut page = 0;
        let mut last = start;
        for value in answer["data"]["result"]
            .as_array()
            .into_iter()
            .flatten()
            .flat_map(|s| s["values"].as_array().into_iter().flatten())
        {
            let (ns, line) = (
                value[0].as_str().unwrap_or_default(),
                value[1].as_str().unwrap_or_default(),
            );
            let n: u64 = line.split(' ').nth(2).unwrap_or_default().parse()?;
            page += 1;
            last = last.max(ns.parse()?);
            // Lines of the last millisecond come again on the next page; only then may one be seen twice.
            if ns.parse::<i128>()? > start || seen.insert((ns.to_owned(), n)) {
                *found.entry(n).or_default() += 1;
                seen.insert((ns.to_owned(), n));
            }
        }
        if page < 5000 {
            return Ok(found);
        }
        start = last;
    }
}

async fn has_span(binnacle: &Binnacle, n: u64) -> Result<usize> {
    let (status, text) = binnacle
        .get(&format!("/jaeger/api/traces/{:032x}", n + 1))
        .await?;
    if status == 404 {
        return Ok(0);
    }
    let json: serde_json::Value = serde_json::from_str(&text)?;
    Ok(json["data"][0]["spans"].as_array().map_or(0, Vec::len))
}

fn check(what: &str, acknowledged: &[u64], stored: &BTreeMap<u64, usize>) {
    let missing: Vec<_> = acknowledged.iter().filter(|n| !stored.contains_key(n)).collect();
    assert!(
        missing.is_empty(),
        "{what}: {} of {} acknowledged are missing: {missing:?}",
        missing.len(),
        acknowledged.len()
    );
    let doubled: Vec<_> = stored.iter().filter(|(_, count)| **count != 1).collect();
    assert!(doubled.is_empty(), "{what}: shown more than once: {doubled:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_under_load_loses_nothing_acknowledged() {
    let rounds: u32 = std::env::var("BINNACLE_KILLS")
        .ok()
        .and_then(|v| v.parse().ok())
        .unwrap_or(10);
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let started_ms = now_ms() - 1_000;
    let next = Arc::new(AtomicU64::new(0));
    let acknowledged = Arc::new(Acknowledged::default());
    let owed = Arc::new(Mutex::new(Vec::new()));
    let mut sent_again = 0;
    for round in 0..rounds {
        let mut binnacle = Binnacle::start(&data, &Options::no_agent()).await.unwrap();
        let before = acknowledged.logs.lock().unwrap().len();
        let stop = Arc::new(AtomicBool::new(false));
        let urls = (binnacle.url.clone(), binnacle.otlp_http.clone());
        let senders: Vec<_> = (0..4)
            .map(|_| {
                tokio::spawn(load(
                    urls.clone(),
                    next.clone(),
                    stop.clone(),
                    acknowledged.clone(),
                    owed.clone(),
                ))
            })
            .collect();
        // A different amount of load each round, so that the kill falls into different moments.
        let wanted = before + 40 + 17 * round as usize % 60;
        wait::until("some load", || {
            let count = acknowledged.logs.lock().unwrap().len();
            std::future::ready(if count >= wanted { Ok(()) } else { Err(count) })
        })
        .await;
        binnacle.process.kill().await.unwrap();
        stop.store(true, Ordering::Relaxed);
        for sender in senders {
            tokio::time::timeout(Duration::from_secs(30), sender)
                .await
                .unwrap()
                .unwrap();
        }
        sent_again += owed.lock().unwrap().len();
    }
    assert!(
        sent_again > 0,
        "no answer was ever lost, so nothing shows that a retry shows once"
    );
    let metrics = acknowledged.metrics.lock().unwrap().clone();
    let logs = acknowledged.logs.lock().unwrap().clone();
    let spans = acknowledged.spans.lock().unwrap().clone();
    let check_all = async |binnacle: &Binnacle, when: &str| {
        check(
            &format!("samples {when}"),
            &metrics,
            &stored_metrics(binnacle).await.unwrap(),
        );
        check(
            &format!("lines {when}"),
            &logs,
            &stored_logs(binnacle, started_ms).await.unwrap(),
        );
        for n in &spans {
            assert_eq!(has_span(binnacle, *n).await.unwrap(), 1, "span {n} {when}");
        }
    };
    let mut binnacle = Binnacle::start(&data, &Options::no_agent()).await.unwrap();
    check_all(&binnacle, "after the last crash").await;
    assert_eq!(
        binnacle.process.terminate().await.unwrap().code(),
        Some(0),
        "{}",
        binnacle.process.output()
    );
    let binnacle = Binnacle::start(&data, &Options::no_agent()).await.unwrap();
    check_all(&binnacle, "after a clean restart").await;
    // The stores hold together after everything is sealed and merged, too.
    let compacted = binnacle
        .client()
        .post(format!("{}/-/compact", binnacle.url))
        .send()
        .await
        .unwrap();
    assert_eq!(compacted.status(), 200);
    check_all(&binnacle, "after compaction").await;
}
