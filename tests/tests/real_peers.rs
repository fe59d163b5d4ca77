//! Real peers and clients: Debian's node exporter and Prometheus, promtool, the Python OpenTelemetry SDK.

#![allow(clippy::unwrap_used, reason = "these files hold tests and their helpers")]

use tests::binnacle::{Binnacle, Options};
use tests::peers;
use tests::wait;
use tokio::process::Command;

#[tokio::test]
async fn debians_node_exporter_is_scraped() {
    let (_exporter, address) = peers::node_exporter().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    // A piece of a prometheus.yml as people have it.
    let config = format!(
        "global: {{ scrape_interval: 1s }}\nscrape_configs:\n  - job_name: node\n    static_configs:\n      - targets: ['{address}']\n        \
         labels: {{ rack: r1 }}\n    metric_relabel_configs:\n      - source_labels: [__name__]\n        regex: go_.*\n        action: drop\n"
    );
    let binnacle = Binnacle::start(
        &folder.path().join("data"),
        &Options::no_agent().with_config(config),
    )
    .await
    .unwrap();
    let up = wait::until("the target is up", || async {
        let found = binnacle.promql(r#"up{job="node"} == 1"#).await?;
        anyhow::ensure!(found.len() == 1, "{found:?}");
        Ok(found[0].clone())
    })
    .await;
    assert_eq!(up["metric"]["instance"], address.as_str());
    assert_eq!(up["metric"]["rack"], "r1");
    let memory = wait::until("its series", || {
        binnacle.promql_value(r#"node_memory_MemTotal_bytes{job="node"}"#)
    })
    .await;
    let info = std::fs::read_to_string("/proc/meminfo").unwrap();
    assert_eq!(
        memory,
        info.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * 1024.0
    );
    assert!(
        binnacle
            .promql("go_goroutines{job=\"node\"}")
            .await
            .unwrap()
            .is_empty(),
        "dropped by relabelling"
    );
    let targets = binnacle.json("/api/v1/targets", &[]).await.unwrap();
    let active = targets["data"]["activeTargets"].as_array().unwrap();
    assert!(
        active
            .iter()
            .any(|t| t["labels"]["job"] == "node" && t["health"] == "up"),
        "{targets}"
    );
}

#[tokio::test]
async fn debians_prometheus_writes_to_us_and_promtool_asks() {
    let folder = tempfile::tempdir().unwrap();
    let binnacle = Binnacle::start(&folder.path().join("data"), &Options::no_agent())
        .await
        .unwrap();
    let (_prometheus, prometheus) = peers::prometheus(folder.path(), &binnacle.url, "").await.unwrap();
    wait::until("remote-written series", || {
        binnacle.promql_value(r#"prometheus_build_info{peer="debian"}"#)
    })
    .await;
    let ready = wait::until("samples of more than one scrape", || async {
        let v = binnacle
            .promql_value(r#"count_over_time(up{peer="debian"}[5m])"#)
            .await?;
        anyhow::ensure!(v >= 4.0, "{v}");
        Ok(v)
    });
    ready.await;

    // The same question at the same time in the past gets the same answer from both.
    let at = binnacle
        .promql_value(r#"max(timestamp(up{peer="debian"}))"#)
        .await
        .unwrap()
        - 1.0;
    let time = at.to_string();
    for expression in [
        r#"sum by (code) (prometheus_http_requests_total)"#,
        r#"count({__name__=~"prometheus_.+"})"#,
        r#"prometheus_tsdb_head_series > 0"#,
        r#"histogram_quantile(0.9, sum by (le) (prometheus_http_request_duration_seconds_bucket))"#,
        r#"topk(3, go_memstats_alloc_bytes)"#,
    ] {
        let parameters = [("query", expression), ("time", time.as_str())];
        let ours = binnacle.json("/api/v1/query", &parameters).await.unwrap();
        let theirs: serde_json::Value = binnacle
            .client()
            .get(format!("{prometheus}/api/v1/query"))
            .query(&parameters)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        let values = |answer: &serde_json::Value| {
            let mut rows: Vec<String> = answer["data"]["result"]
                .as_array()
                .unwrap()
                .iter()
                .map(|r| r["value"][1].to_string())
                .collect();
            rows.sort();
            rows
        };
        assert_eq!(
            values(&ours),
            values(&theirs),
            "{expression} at {time}:\n{ours}\n{theirs}"
        );
    }

    let mut promtool = Command::new("promtool");
    promtool.args(["query", "instant", &binnacle.url, r#"up{peer="debian"}"#]);
    let said = peers::run(promtool).await.unwrap();
    assert!(said.contains("=> 1"), "{said}");
    let mut promtool = Command::new("promtool");
    promtool.args(["query", "labels", &binnacle.url, "job"]);
    assert!(peers::run(promtool).await.unwrap().contains("prometheus"));
    let mut promtool = Command::new("promtool");
    promtool.args(["query", "series", "--match", "up", &binnacle.url]);
    assert!(peers::run(promtool).await.unwrap().contains("debian"));
}

/// Sends all three signals with the SDK; arguments: protocol, endpoint, service.
const SDK: &str = include_str!("send_with_sdk.py");

#[tokio::test]
async fn the_python_sdk_sends_all_three_signals_both_ways() {
    let folder = tempfile::tempdir().unwrap();
    let binnacle = Binnacle::start(&folder.path().join("data"), &Options::no_agent())
        .await
        .unwrap();
    for (protocol, endpoint) in [
        ("grpc", format!("http://{}", binnacle.otlp_grpc)),
        ("http", binnacle.otlp_http.clone()),
    ] {
        let service = format!("sdk-{protocol}");
        let mut command = Command::new(peers::python());
        command.args(["-c", SDK, protocol, &endpoint, &service, "container-of-the-sdk"]);
        let said = peers::run(command).await.unwrap();
        assert!(said.contains("sent"), "{said}");

        // What the SDK got acknowledged is visible at once: no waiting here.
        let orders = binnacle
            .promql_value(&format!(r#"shop_orders_total{{job="{service}"}}"#))
            .await
            .unwrap();
        assert_eq!(orders, 3.0);
        let slow = binnacle
            .promql_value(&format!(r#"shop_latency_seconds_count{{job="{service}"}}"#))
            .await
            .unwrap();
        assert_eq!(slow, 2.0);
        let lines = binnacle
            .logql(&format!(r#"{{service_name="{service}"}} |= "order""#))
            .await
            .unwrap();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert_eq!(lines[0].0["container_id"], "container-of-the-sdk", "{lines:?}");
        let trace = lines[0].0["trace_id"]
            .as_str()
            .expect("the line knows its trace")
            .to_owned();
        let found = binnacle
            .json(&format!("/jaeger/api/traces/{trace}"), &[])
            .await
            .unwrap();
        let spans = found["data"][0]["spans"].as_array().unwrap();
        assert_eq!(spans.len(), 2, "{found}");
        let tags = r#"{"order.id":"17"}"#;
        let parameters = [
            ("service", service.as_str()),
            ("operation", "checkout"),
            ("tags", tags),
            ("minDuration", "1us"),
        ];
        let search = binnacle.json("/jaeger/api/traces", &parameters).await.unwrap();
        assert_eq!(search["data"][0]["traceID"], trace.as_str(), "{search}");
        let operations = binnacle
            .json(&format!("/jaeger/api/services/{service}/operations"), &[])
            .await
            .unwrap();
        assert_eq!(operations["data"], serde_json::json!(["checkout", "pay"]));
    }
}
