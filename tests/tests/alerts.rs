//! Alerts: rule files, the webhook's payload, and a restart that pages nobody twice and forgets nothing.

#![allow(clippy::unwrap_used, reason = "these files hold tests and their helpers")]

use serde_json::Value;
use std::path::Path;
use tests::binnacle::{Binnacle, Options};
use tests::remote_write;
use tests::wait;
use tests::webhook::Webhook;

fn options(folder: &Path, webhook: &Webhook) -> Options {
    let rules = "groups:\n  - name: shop\n    interval: 500ms\n    rules:\n      - record: shop:errors:max\n        expr: max(shop_errors)\n      \
                 - alert: ShopErrors\n        expr: shop:errors:max > 5\n        for: 1s\n        labels: { severity: page }\n        \
                 annotations: { summary: '{{ $value | humanize }} errors in {{ $externalLabels.site }}' }\n";
    std::fs::write(folder.join("shop.yml"), rules).unwrap();
    Options::no_agent().with_config(format!(
        "global: {{ external_labels: {{ site: lab }} }}\nrule_files: [shop.yml]\ndefault_rules: false\nroute:\n  receiver: oncall\n  \
         group_by: [alertname]\n  group_wait: 100ms\n  group_interval: 500ms\n  repeat_interval: 1h\nreceivers:\n  - name: oncall\n    \
         webhook_configs: [{{ url: '{}', send_resolved: true }}]\n",
        webhook.url
    ))
}

async fn errors(binnacle: &Binnacle, value: f64) {
    let now = i64::try_from(std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    let body =
        remote_write::body(&[(vec![("__name__", "shop_errors".to_owned())], vec![(now, value)])]).unwrap();
    assert_eq!(
        remote_write::send(binnacle.client(), &binnacle.url, body)
            .await
            .unwrap()
            .0,
        204
    );
}

async fn received(webhook: &Webhook, status: &str, count: usize) -> Value {
    wait::until(&format!("{count} webhooks that are {status}"), || {
        let alerts: Vec<_> = webhook
            .alerts("ShopErrors")
            .into_iter()
            .filter(|a| a["status"] == status)
            .collect();
        std::future::ready(if alerts.len() == count {
            Ok(alerts[count - 1].clone())
        } else {
            Err(alerts)
        })
    })
    .await
}

/// Waits until the rules ran several times more, so that a wrong notification would have come.
async fn some_evaluations(binnacle: &Binnacle) {
    let count = || binnacle.promql_value("count_over_time(shop:errors:max[10m])");
    let before = count().await.unwrap();
    wait::until("further evaluations", || async {
        let now = count().await?;
        anyhow::ensure!(now >= before + 5.0, "{before} then {now}");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_restart_pages_nobody_twice_and_forgets_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let webhook = Webhook::start().await.unwrap();
    let options = options(folder.path(), &webhook);
    let mut binnacle = Binnacle::start(&data, &options).await.unwrap();

    errors(&binnacle, 7.0).await;
    let alert = received(&webhook, "firing", 1).await;
    assert_eq!(alert["labels"]["severity"], "page");
    assert_eq!(alert["annotations"]["summary"], "7 errors in lab");
    let payload = &webhook.payloads()[0];
    for key in [
        "version",
        "groupKey",
        "truncatedAlerts",
        "status",
        "receiver",
        "groupLabels",
        "commonLabels",
        "commonAnnotations",
        "externalURL",
        "alerts",
    ] {
        assert!(payload.get(key).is_some(), "the payload lacks {key}: {payload}");
    }
    assert_eq!(payload["version"], "4");
    let states = binnacle.json("/api/v1/alerts", &[]).await.unwrap();
    assert_eq!(states["data"]["alerts"][0]["state"], "firing", "{states}");
    let rules = binnacle.json("/api/v1/rules", &[]).await.unwrap();
    assert_eq!(rules["data"]["groups"][0]["rules"][1]["health"], "ok", "{rules}");

    // Killed while it fires: the next start knows that this was sent.
    binnacle.process.kill().await.unwrap();
    binnacle = Binnacle::start(&data, &options).await.unwrap();
    errors(&binnacle, 8.0).await;
    some_evaluations(&binnacle).await;
    assert_eq!(
        webhook.alerts("ShopErrors").len(),
        1,
        "paged twice: {:?}",
        webhook.payloads()
    );

    // The end of the trouble comes while it is down, and is told all the same.
    assert_eq!(binnacle.process.terminate().await.unwrap().code(), Some(0));
    binnacle = Binnacle::start(&data, &options).await.unwrap();
    errors(&binnacle, 0.0).await;
    let resolved = received(&webhook, "resolved", 1).await;
    assert_eq!(resolved["startsAt"], alert["startsAt"], "the same alert");

    // A second trouble is a second page; a receiver that is away gets it later.
    webhook.refuse_next(2);
    errors(&binnacle, 9.0).await;
    received(&webhook, "firing", 2).await;
}

#[tokio::test]
async fn the_default_pack_watches_and_the_watchdog_fires() {
    let folder = tempfile::tempdir().unwrap();
    let webhook = Webhook::start().await.unwrap();
    let config = format!(
        "global: {{ scrape_interval: 500ms, evaluation_interval: 500ms }}\nroute: {{ receiver: r, group_by: [alertname], group_wait: 0s }}\n\
         receivers: [{{ name: r, webhook_configs: [{{ url: '{}' }}] }}]\nscrape_configs:\n  - job_name: gone\n    \
         static_configs: [{{ targets: ['127.0.0.1:1'] }}]\n",
        webhook.url
    );
    let binnacle = Binnacle::start(
        &folder.path().join("data"),
        &Options::no_agent().with_config(config),
    )
    .await
    .unwrap();
    wait::until("the watchdog", || {
        let alerts = webhook.alerts("Watchdog");
        std::future::ready(if alerts.is_empty() {
            Err(webhook.payloads())
        } else {
            Ok(())
        })
    })
    .await;
    let rules = binnacle.json("/api/v1/rules", &[]).await.unwrap();
    let names: Vec<String> = rules["data"]["groups"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|g| {
            g["rules"]
                .as_array()
                .unwrap()
                .iter()
                .map(|r| r["name"].as_str().unwrap_or_default().to_owned())
        })
        .collect();
    for name in [
        "Watchdog",
        "TargetDown",
        "ContainerOomKilled",
        "ContainerCpuThrottled",
        "ContainerMemoryNearLimit",
        "AgentSilent",
    ] {
        assert!(
            names.iter().any(|n| n == name),
            "the default pack lacks {name}: {names:?}"
        );
    }
    wait::until("the target that is down is pending or firing", || async {
        let found = binnacle
            .promql(r#"ALERTS{alertname="TargetDown", job="gone"}"#)
            .await?;
        anyhow::ensure!(!found.is_empty(), "nothing yet");
        Ok(())
    })
    .await;
}
