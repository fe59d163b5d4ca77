//! What is kept, and how much of it: deletion over HTTP, retention by rule, limits of series, a cardinality bomb.

#![allow(clippy::unwrap_used, reason = "these files hold tests and their helpers")]

use serde_json::Value;
use tests::binnacle::{Binnacle, Options, client};
use tests::remote_write::{self, Series};
use tests::wait;

const DAY_MS: i64 = 86_400_000;

fn now_ms() -> i64 {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap();
    i64::try_from(now.as_millis()).unwrap()
}

fn one(name: &str, job: &str, samples: &[(i64, f64)]) -> Series<'static> {
    let labels = vec![("__name__", name.to_owned()), ("job", job.to_owned())];
    (labels, samples.to_vec())
}

async fn write(binnacle: &Binnacle, series: &[Series<'_>]) -> (u16, String) {
    let body = remote_write::body(series).unwrap();
    remote_write::send(binnacle.client(), &binnacle.url, body)
        .await
        .unwrap()
}

async fn post(binnacle: &Binnacle, path: &str) -> (u16, String) {
    let answer = client()
        .post(format!("{}{path}", binnacle.url))
        .send()
        .await
        .unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// The values of a metric's series over the last 30 days, by job.
async fn stored(binnacle: &Binnacle, name: &str) -> Vec<(String, Vec<String>)> {
    let parameters = [("query", format!("{name}[30d]"))];
    let parameters: Vec<_> = parameters.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let answer = binnacle.json("/api/v1/query", &parameters).await.unwrap();
    let series = answer["data"]["result"].as_array().unwrap().iter();
    let mut found: Vec<_> = series
        .map(|s| {
            let values = s["values"].as_array().unwrap().iter();
            let values = values.map(|v| v[1].as_str().unwrap().to_owned()).collect();
            (s["metric"]["job"].as_str().unwrap().to_owned(), values)
        })
        .collect();
    found.sort();
    found
}

#[tokio::test]
async fn series_are_deleted_over_prometheus_api() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut binnacle = Binnacle::start(&data, &Options::no_agent()).await.unwrap();
    let now = now_ms();
    let samples = [(now - 3000, 1.0), (now - 2000, 2.0), (now - 1000, 3.0)];
    let (status, text) = write(&binnacle, &[one("m", "a", &samples), one("m", "b", &samples)]).await;
    assert!(status < 300, "{status} {text}");
    let delete = "/api/v1/admin/tsdb/delete_series";
    let secs = |ms: i64| format!("{}.{:03}", ms / 1000, ms % 1000);
    let range = format!("&start={}&end={}", secs(now - 2500), secs(now - 1500));
    let (status, text) = post(&binnacle, &format!("{delete}?match[]=m{{job=\"a\"}}{range}")).await;
    assert_eq!((status, text.as_str()), (204, ""));
    let values = |all: &[&str]| all.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>();
    let left = vec![
        ("a".to_owned(), values(&["1", "3"])),
        ("b".to_owned(), values(&["1", "2", "3"])),
    ];
    assert_eq!(stored(&binnacle, "m").await, left);
    // What is wrong is said, and deletes nothing.
    for (query, says) in [
        ("", "no match[] parameter provided"),
        ("?match[]={job=", "match[]"),
        (
            "?match[]=m&start=2&end=1",
            "end timestamp must not be before start time",
        ),
        ("?match[]=m&start=soon", "start"),
    ] {
        let (status, text) = post(&binnacle, &format!("{delete}{query}")).await;
        assert_eq!(status, 400, "{query}: {text}");
        let error: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(error["errorType"], "bad_data", "{text}");
        assert!(error["error"].as_str().unwrap().contains(says), "{text}");
    }
    let (status, _) = post(&binnacle, &format!("{delete}?match[]=m{{job=\"b\"}}")).await;
    assert_eq!(status, 204);
    assert_eq!(
        post(&binnacle, "/api/v1/admin/tsdb/clean_tombstones").await.0,
        204
    );
    let left = vec![("a".to_owned(), values(&["1", "3"]))];
    assert_eq!(stored(&binnacle, "m").await, left);
    binnacle.process.kill().await.unwrap();
    let mut binnacle = Binnacle::start(&data, &Options::no_agent()).await.unwrap();
    assert_eq!(stored(&binnacle, "m").await, left);
    // A deleted series may come back.
    write(&binnacle, &[one("m", "b", &[(now, 4.0)])]).await;
    assert_eq!(stored(&binnacle, "m").await[1], ("b".to_owned(), values(&["4"])));
    binnacle.process.terminate().await.unwrap();
}

#[tokio::test]
async fn rules_keep_some_series_longer_than_others() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let config = "retention:
  metrics: 10d
  metrics_rules:
    - { match: '{job=\"debug\"}', keep: 2d }
    - { match: 'slo', keep: 20d }
";
    let mut binnacle = Binnacle::start(&data, &Options::no_agent().with_config(config))
        .await
        .unwrap();
    let now = now_ms();
    let samples: Vec<_> = [15, 5, 0]
        .iter()
        .map(|day| (now - day * DAY_MS, *day as f64))
        .collect();
    let all = [
        one("m", "debug", &samples),
        one("m", "web", &samples),
        one("slo", "web", &samples),
    ];
    let (status, text) = write(&binnacle, &all).await;
    assert!(status < 300, "{status} {text}");
    assert_eq!(post(&binnacle, "/-/compact").await.0, 200);
    let days = |found: Vec<(String, Vec<String>)>| -> Vec<String> {
        found
            .into_iter()
            .map(|(job, values)| format!("{job}:{}", values.join(",")))
            .collect()
    };
    assert_eq!(days(stored(&binnacle, "m").await), ["debug:0", "web:5,0"]);
    assert_eq!(days(stored(&binnacle, "slo").await), ["web:15,5,0"]);
    let removed = binnacle
        .get("/metrics")
        .await
        .unwrap()
        .1
        .lines()
        .find_map(|line| {
            line.strip_prefix("binnacle_tsdb_removed_samples_total{reason=\"rule\"} ")?
                .parse()
                .ok()
        });
    assert_eq!(removed, Some(3), "what is removed is counted");
    binnacle.process.terminate().await.unwrap();
}

/// What `/api/v1/cardinality` says.
async fn cardinality(binnacle: &Binnacle) -> Value {
    binnacle
        .json("/api/v1/cardinality", &[("limit", "3")])
        .await
        .unwrap()["data"]
        .clone()
}

#[tokio::test]
async fn a_cardinality_bomb_fails_alone() {
    let folder = tempfile::tempdir().unwrap();
    let config = "limits: { ingest: { max_series: 30000 } }";
    let options = Options::no_agent().with_config(config);
    let mut binnacle = Binnacle::start(&folder.path().join("data"), &options)
        .await
        .unwrap();
    let now = now_ms();
    let earlier: Vec<_> = (0..100)
        .map(|i| one("good", &format!("job-{i}"), &[(now, f64::from(i))]))
        .collect();
    assert!(write(&binnacle, &earlier).await.0 < 300);
    let (mut refused, mut asked) = (0, 0);
    for round in 0..50 {
        let bomb: Vec<_> = (0..2000)
            .map(|i| one("bomb", &format!("request-{round}-{i}"), &[(now + round, 1.0)]))
            .collect();
        let (status, text) = write(&binnacle, &bomb).await;
        if status >= 400 {
            refused += 1;
            assert!(
                status == 400 && text.contains("limits.ingest.max_series"),
                "{status} {text}"
            );
        }
        // The earlier series take their samples, and queries are answered, all the while.
        let next: Vec<_> = (0..100)
            .map(|i| one("good", &format!("job-{i}"), &[(now + round + 1, f64::from(i))]))
            .collect();
        let (status, text) = write(&binnacle, &next).await;
        assert!(status < 300, "{status} {text}");
        if round % 10 == 0 {
            let count = binnacle.promql_value("count(good)").await.unwrap();
            assert!((count - 100.0).abs() < 0.5, "{count}");
            asked += 1;
        }
    }
    assert!(refused >= 30 && asked == 5, "{refused}");
    let all = binnacle
        .promql_value("sum(count_over_time(good[1h]))")
        .await
        .unwrap();
    assert!((all - 5100.0).abs() < 0.5, "{all}");
    // It is seen whose fault it was.
    let seen = cardinality(&binnacle).await;
    assert_eq!(seen["seriesByMetricName"][0]["name"], "bomb", "{seen}");
    assert_eq!(seen["valuesByLabelName"][0]["name"], "job", "{seen}");
    let active = seen["activeSeries"].as_u64().unwrap();
    assert!(active <= 30_000, "{active}");
    let status = binnacle.json("/api/v1/status/tsdb", &[]).await.unwrap();
    assert_eq!(status["data"]["seriesCountByMetricName"][0]["name"], "bomb");
    let counted = wait::until("the refusals to be counted", || async {
        let text = binnacle.get("/metrics").await.map_err(|e| e.to_string())?.1;
        text.lines()
            .find_map(|line| {
                line.strip_prefix("binnacle_tsdb_rejected_total{reason=\"series_limit\"} ")?
                    .parse()
                    .ok()
            })
            .filter(|n: &u64| *n >= 60_000)
            .ok_or_else(|| "too few".to_owned())
    })
    .await;
    assert!(counted <= 100_000);
    binnacle.process.terminate().await.unwrap();
}

#[tokio::test]
async fn limits_of_a_target_and_of_labels_refuse_what_is_over_and_take_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let config = "limits: { ingest: { max_series_per_target: 3, max_labels: 4, max_label_value_bytes: 20 } }";
    let options = Options::no_agent().with_config(config);
    let mut binnacle = Binnacle::start(&folder.path().join("data"), &options)
        .await
        .unwrap();
    let now = now_ms();
    let series = |pairs: &[(&'static str, &str)]| -> Series<'static> {
        let labels = pairs
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect();
        (labels, vec![(now, 1.0)])
    };
    let long = "x".repeat(21);
    let of_target = |n: &'static str| series(&[("__name__", "m"), ("job", "j"), ("instance", "i"), ("n", n)]);
    let check = async |over: Series<'static>, says: &str| {
        let fine = series(&[("__name__", "fine"), ("job", says.get(..16).unwrap_or(says))]);
        let (status, text) = write(&binnacle, &[over, fine.clone()]).await;
        assert!(status == 400 && text.contains(says), "{says}: {status} {text}");
        let labels = fine.0.iter().filter(|(name, _)| *name != "__name__");
        let matchers: Vec<_> = labels.map(|(name, value)| format!("{name}={value:?}")).collect();
        let found = binnacle
            .promql(&format!("fine{{{}}}", matchers.join(",")))
            .await
            .unwrap();
        assert_eq!(found.len(), 1, "{says}: the rest is taken");
    };
    let three: Vec<_> = ["1", "2", "3"].into_iter().map(of_target).collect();
    assert!(write(&binnacle, &three).await.0 < 300);
    check(of_target("4"), "max_series_per_target").await;
    check(
        series(&[("__name__", "m"), ("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")]),
        "max_labels",
    )
    .await;
    check(
        series(&[("__name__", "m"), ("a", &long)]),
        "max_label_value_bytes",
    )
    .await;
    check(series(&[("job", "a")]), "without a metric name").await;
    check(
        series(&[("__name__", "m"), ("a", "1"), ("a", "2")]),
        "stands twice",
    )
    .await;
    binnacle.process.terminate().await.unwrap();
}
