//! The page in headless Chromium: Playwright's tests against a running program with all three signals in it.

#![allow(clippy::unwrap_used, reason = "these files hold tests and their helpers")]

use tests::binnacle::{Binnacle, Options};
use tests::peers::{self, Container, Limits};
use tests::wait;
use tokio::process::Command;

#[tokio::test]
async fn the_page_shows_all_three_signals() {
    let folder = tempfile::tempdir().unwrap();
    let config = "agent: { interval: 1s }\nglobal: { scrape_interval: 1s, evaluation_interval: 1s }\n";
    let options = Options::default().with_config(config);
    let binnacle = Binnacle::start(&folder.path().join("data"), &options)
        .await
        .unwrap();
    let name = format!("web-{}", std::process::id());
    let limits = Limits {
        memory_bytes: 64 << 20,
        cpu_quota_us: Some(20_000),
    };
    let _container = Container::start(folder.path(), &name, "while true; do :; done", limits)
        .await
        .unwrap();
    for service in ["shop", "checkout-service"] {
        let mut sdk = Command::new(peers::python());
        sdk.args([
            "-c",
            include_str!("send_with_sdk.py"),
            "http",
            &binnacle.otlp_http,
            service,
            &name,
        ]);
        peers::run(sdk).await.unwrap();
    }
    let usage = format!(r#"sum(rate(container_cpu_usage_seconds_total{{container_id="{name}"}}[30s]))"#);
    wait::until("the container's metrics", || binnacle.promql_value(&usage)).await;
    let mut node = Command::new("node");
    node.args(["--test", "--test-reporter=spec"])
        .current_dir(tests::workspace_root().join("tests/browser"));
    node.env("BINNACLE_URL", &binnacle.url);
    let said = peers::run(node).await.unwrap();
    assert!(said.contains("fail 0"), "{said}");
}
