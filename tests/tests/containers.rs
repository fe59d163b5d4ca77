//! Containers of Debian's runc: their load and limits, the OOM kill that reaches a webhook, one identity in three signals.

#![allow(clippy::unwrap_used, reason = "these files hold tests and their helpers")]

use anyhow::{Result, ensure};
use serde_json::Value;
use tests::binnacle::{Binnacle, Options};
use tests::peers::{Container, Limits};
use tests::wait;
use tests::webhook::Webhook;

const MIB: u64 = 1 << 20;

fn collecting_each_second(more: &str) -> Options {
    Options::default().with_config(format!(
        "agent:\n  interval: 1s\n  logs: {{ enabled: false }}\nglobal: {{ scrape_interval: 1s, evaluation_interval: 1s }}\n{more}"
    ))
}

/// Reads a cgroup file of a container, whichever version the host has: `(v1 controller, v1 file, v2 file)`.
fn cgroup_file(name: &str, controller: &str, v1: &str, v2: &str) -> String {
    let old = format!("/sys/fs/cgroup/{controller}/binnacle-test/{name}/{v1}");
    let new = format!("/sys/fs/cgroup/binnacle-test/{name}/{v2}");
    std::fs::read_to_string(&old)
        .or_else(|_| std::fs::read_to_string(&new))
        .unwrap_or_else(|e| panic!("{old}, {new}: {e}"))
}

/// Seconds of processor time that the cgroup has used.
fn cpu_seconds(name: &str) -> f64 {
    let text = cgroup_file(name, "cpuacct", "cpuacct.usage", "cpu.stat");
    match text.lines().find_map(|l| l.strip_prefix("usage_usec ")) {
        Some(micros) => micros.trim().parse::<f64>().unwrap() / 1e6,
        None => text.trim().parse::<f64>().unwrap() / 1e9,
    }
}

async fn series(binnacle: &Binnacle, metric: &str, name: &str) -> Result<(Value, f64)> {
    let found = binnacle
        .promql(&format!(r#"{metric}{{id="/binnacle-test/{name}"}}"#))
        .await?;
    ensure!(found.len() == 1, "{metric}: {found:?}");
    Ok((
        found[0]["metric"].clone(),
        found[0]["value"][1].as_str().unwrap_or_default().parse()?,
    ))
}

#[tokio::test]
async fn a_containers_load_and_limit_are_those_of_its_cgroup() {
    let folder = tempfile::tempdir().unwrap();
    let name = format!("busy-{}", std::process::id());
    let limits = Limits {
        memory_bytes: 64 * MIB,
        cpu_quota_us: Some(20_000),
    };
    let container = Container::start(folder.path(), &name, "while true; do :; done", limits)
        .await
        .unwrap();
    let binnacle = Binnacle::start(&folder.path().join("data"), &collecting_each_second(""))
        .await
        .unwrap();

    let limit = wait::until("the memory limit", || {
        series(&binnacle, "container_spec_memory_limit_bytes", &name)
    })
    .await;
    assert_eq!(limit.1, (64 * MIB) as f64);
    // The figure lies between what the files said before and after it was asked.
    wait::until("its processor time", || async {
        let before = cpu_seconds(&name);
        let found = binnacle
            .promql(&format!(
                r#"sum by (id) (container_cpu_usage_seconds_total{{id="/binnacle-test/{name}"}})"#
            ))
            .await?;
        ensure!(found.len() == 1, "{found:?}");
        let value: f64 = found[0]["value"][1].as_str().unwrap_or_default().parse()?;
        ensure!(value > 0.2, "only {value} s yet");
        ensure!(
            value <= cpu_seconds(&name),
            "reported {value}, files say {before} before"
        );
        ensure!(value >= before - 1.0, "reported {value}, files say {before}");
        Ok(())
    })
    .await;
    // A fifth of a processor is all that it gets, and it is throttled for it.
    wait::until("its rate", || async {
        let rate = binnacle
            .promql_value(&format!(
                r#"sum(rate(container_cpu_usage_seconds_total{{id="/binnacle-test/{name}"}}[10s]))"#
            ))
            .await?;
        ensure!((0.1..0.3).contains(&rate), "{rate}");
        Ok(())
    })
    .await;
    let throttled = wait::until("throttling", || async {
        let (_, v) = series(&binnacle, "container_cpu_cfs_throttled_periods_total", &name).await?;
        ensure!(v > 0.0, "{v}");
        Ok(v)
    });
    throttled.await;
    let (labels, working_set) = series(&binnacle, "container_memory_working_set_bytes", &name)
        .await
        .unwrap();
    assert!(working_set < (64 * MIB) as f64, "{working_set}");
    assert_eq!(labels["container_id"], name.as_str(), "{labels}");
    assert!(labels["node"].as_str().is_some_and(|n| !n.is_empty()), "{labels}");
    let (_, processes) = series(&binnacle, "container_processes", &name).await.unwrap();
    assert_eq!(processes, 1.0);
    drop(container);
}

#[tokio::test]
async fn an_oom_kill_reaches_the_webhook() {
    let folder = tempfile::tempdir().unwrap();
    let webhook = Webhook::start().await.unwrap();
    webhook.refuse_next(1); // The first try fails: it is sent again.
    let receivers = format!(
        "route: {{ receiver: oncall, group_wait: 0s, group_interval: 1s, group_by: [alertname] }}\nreceivers:\n  - name: oncall\n    \
         webhook_configs: [{{ url: '{}' }}]\n",
        webhook.url
    );
    let binnacle = Binnacle::start(&folder.path().join("data"), &collecting_each_second(&receivers))
        .await
        .unwrap();
    let name = format!("hungry-{}", std::process::id());
    let script = "/bin/busybox sleep 3; x=a; while true; do x=$x$x; done";
    let limits = Limits {
        memory_bytes: 32 * MIB,
        cpu_quota_us: None,
    };
    let mut container = Container::start(folder.path(), &name, script, limits)
        .await
        .unwrap();
    let end = container.process().wait().await.unwrap();
    assert_eq!(end.code(), Some(137), "killed: {}", container.process().output());

    let alert = wait::until("the webhook", || async {
        let alerts = webhook.alerts("ContainerOomKilled");
        let found = alerts
            .iter()
            .find(|a| a["labels"]["id"] == format!("/binnacle-test/{name}"))
            .cloned();
        found.ok_or_else(|| format!("{:?}", webhook.payloads()))
    })
    .await;
    assert_eq!(alert["status"], "firing");
    assert_eq!(alert["labels"]["container_id"], name.as_str(), "{alert}");
    let payload = webhook
        .payloads()
        .into_iter()
        .find(|p| p["groupLabels"]["alertname"] == "ContainerOomKilled")
        .unwrap();
    assert_eq!(payload["version"], "4");
    assert_eq!(payload["receiver"], "oncall");
    assert!(
        !webhook.alerts("Watchdog").is_empty()
            || binnacle
                .promql("ALERTS{alertname=\"Watchdog\"}")
                .await
                .unwrap()
                .len()
                == 1
    );

    // The kill is a line in the container's own stream, too.
    wait::until("the kill in the log", || async {
        let lines = binnacle.logql(&format!(r#"{{container_id="{name}"}}"#)).await?;
        ensure!(!lines.is_empty(), "no line");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn one_container_is_one_identity_in_three_signals() {
    let folder = tempfile::tempdir().unwrap();
    let name = format!("whole-{}", std::process::id());
    let log = folder.path().join("whole.log");
    std::fs::write(&log, "a line of the container\n").unwrap();
    let config = format!(
        "agent:\n  interval: 1s\n  logs:\n    files: [{{ glob: '{}', labels: {{ container_id: {name}, container: {name} }} }}]\n",
        log.display()
    );
    let binnacle = Binnacle::start(
        &folder.path().join("data"),
        &Options::default().with_config(config),
    )
    .await
    .unwrap();
    let limits = Limits {
        memory_bytes: 64 * MIB,
        cpu_quota_us: None,
    };
    let _container = Container::start(folder.path(), &name, "/bin/busybox sleep 600", limits)
        .await
        .unwrap();
    let mut sdk = tokio::process::Command::new(tests::peers::python());
    sdk.args([
        "-c",
        include_str!("send_with_sdk.py"),
        "http",
        &binnacle.otlp_http,
        "whole",
        &name,
    ]);
    tests::peers::run(sdk).await.unwrap();

    let key = format!(r#"{{container_id="{name}"}}"#);
    let usage = format!("max(container_memory_usage_bytes{key})");
    wait::until("its metrics", || binnacle.promql_value(&usage)).await;
    wait::until("its log file and its SDK's log", || async {
        let lines = binnacle.logql(&key).await?;
        ensure!(
            lines.iter().any(|l| l.2 == "a line of the container"),
            "{lines:?}"
        );
        ensure!(lines.iter().any(|l| l.2 == "order 17 paid"), "{lines:?}");
        Ok(())
    })
    .await;
    let tags = serde_json::json!({ "container.id": name }).to_string();
    let traces = binnacle
        .json("/jaeger/api/traces", &[("service", "whole"), ("tags", &tags)])
        .await
        .unwrap();
    assert_eq!(traces["data"].as_array().map(Vec::len), Some(1), "{traces}");
    let own = binnacle
        .promql_value(&format!("max(shop_orders_total{key})"))
        .await;
    assert_eq!(
        own.unwrap(),
        3.0,
        "the program's own metrics carry the key as well"
    );
}
