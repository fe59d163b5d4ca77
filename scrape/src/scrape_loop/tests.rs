//! Loops against a local server, and on time that jumps: nothing here sleeps.

use super::*;
use crate::config::{Exposition, ScrapeConfig};
use crate::testing::{Harness, START_MS, Scripted, Server};
use std::sync::atomic::{AtomicU32, Ordering};

fn config(yaml: &str, address: &str) -> ScrapeConfig {
    let config: ScrapeConfig = runtime::config::parse(yaml, "f.yml").unwrap();
    config.with_target(address)
}

#[test]
fn planned_times_are_even() {
    let harness = Harness::new();
    let config = config("{job_name: j, scrape_interval: 10s}", "h:1");
    let scrape_loop = harness.scrape_loop(config);
    let offset = scrape_loop.target.offset_ms();
    let check = |now_ms: i64, last: Option<i64>, expected: i64| {
        harness.time.set_ms(now_ms);
        assert_eq!(scrape_loop.next_due(last), expected, "{now_ms} {last:?}");
    };
    let base = 1_000_000 + offset;
    check(base, None, base);
    check(base + 1, None, base + 10_000);
    check(base - 1, None, base);
    // Right after a scrape, also when the clock is a little behind its plan.
    check(base + 20, Some(base), base + 10_000);
    check(base - 2, Some(base), base + 10_000);
    // A slow one leaves out what it overslept, and counts it.
    check(base + 25_000, Some(base), base + 30_000);
    assert_eq!(scrape_loop.shared.missed.get(), 2);
    // Clocks that are set are followed, without a count.
    check(base - 500_000, Some(base), base - 490_000);
    check(base + 5_000_001, Some(base), base + 5_010_000);
    assert_eq!(scrape_loop.shared.missed.get(), 2);
}

#[tokio::test]
async fn a_target_is_scraped_in_its_rhythm() {
    let harness = Harness::new();
    let calls = Arc::new(AtomicU32::new(0));
    let exposition = {
        let calls = calls.clone();
        Exposition(Arc::new(move || {
            format!("n {}\n", calls.fetch_add(1, Ordering::SeqCst) + 1)
        }))
    };
    let mut config = ScrapeConfig::in_process("self", "here", exposition);
    config.scrape_interval = Some(Duration::from_secs(15));
    let running = harness.start(config);
    let offset = running.target.offset_ms();
    harness.wait_for(3).await;
    running.shutdown().await;

    let start = START_MS;
    let first = start + (offset - start).rem_euclid(15_000);
    assert_eq!(
        harness.values(r#"n{instance="here", job="self"}"#),
        [
            (first, "1".to_owned()),
            (first + 15_000, "2".to_owned()),
            (first + 30_000, "3".to_owned())
        ]
    );
    assert_eq!(harness.values(r#"up{instance="here", job="self"}"#).len(), 3);
    // A shutdown writes no markers: the program comes back.
    assert_eq!(harness.sink.written(), 3);
    let status = lock(&running.status).clone();
    assert_eq!((status.health, status.last_error.as_str()), (Health::Up, ""));
    assert_eq!(status.last_scrape, Some((first + 30_000) * 1_000_000));
}

#[tokio::test]
async fn a_real_server_is_asked_as_prometheus_asks() {
    let server = Server::start().await;
    let harness = Harness::real();
    let yaml = r#"{job_name: j, scrape_interval: 60s, metrics_path: /m, params: {a: [b]}, bearer_token: abc,
        http_headers: {X-Extra: {values: [e]}}}"#;
    let mut scrape_loop = harness.scrape_loop(config(yaml, &server.address));
    server.answer("text/plain; version=0.0.4", "a 1\n");
    scrape_loop.once(1000).await;
    let request = server.last_request();
    assert_eq!(request.uri, "/m?a=b");
    assert_eq!(request.header("accept"), wire::exposition::ACCEPT);
    assert_eq!(request.header("accept-encoding"), "gzip");
    assert_eq!(request.header("authorization"), "Bearer abc");
    assert_eq!(request.header("x-prometheus-scrape-timeout-seconds"), "10");
    assert_eq!(request.header("x-extra"), "e");

    let labels = format!(r#"{{instance="{}", job="j"}}"#, server.address);
    let value = |name: &str| {
        harness
            .values(&format!("{name}{labels}"))
            .last()
            .cloned()
            .unwrap()
    };
    assert_eq!(value("a"), (1000, "1".to_owned()));
    assert_eq!(value("up"), (1000, "1".to_owned()));
    assert_eq!(value("scrape_samples_scraped"), (1000, "1".to_owned()));
    assert_eq!(value("scrape_series_added"), (1000, "1".to_owned()));

    // OpenMetrics by its type, and packed.
    server.answer("application/openmetrics-text; version=1.0.0", "b 2\n# EOF\n");
    scrape_loop.once(2000).await;
    assert_eq!(
        (value("b"), value("a").1),
        ((2000, "2".to_owned()), "stale".to_owned())
    );
    server.answer_packed("a 3\n");
    scrape_loop.once(3000).await;
    assert_eq!(value("a"), (3000, "3".to_owned()));
}

#[tokio::test]
async fn failures_are_seen() {
    let server = Server::start().await;
    let harness = Harness::real();
    let yaml =
        "{job_name: j, scrape_interval: 60s, scrape_timeout: 50ms, sample_limit: 3, body_size_limit: 200B}";
    let mut scrape_loop = harness.scrape_loop(config(yaml, &server.address));
    let labels = format!(r#"{{instance="{}", job="j"}}"#, server.address);
    let value = |name: &str| {
        harness
            .values(&format!("{name}{labels}"))
            .last()
            .cloned()
            .unwrap()
    };
    let long = format!("# {}\na 1\n", "x".repeat(300));
    let mut time_ms = 0;
    for (what, says) in [
        (Scripted::text("a 1\nb{ 2\n"), "line 2: "),
        (
            Scripted::text("a 1\nb 1\nc 1\nd 1\n"),
            "the scrape has more samples than sample_limit (3)",
        ),
        (
            Scripted::text(&long),
            "the body is larger than the body_size_limit of 200 bytes",
        ),
        (
            Scripted::packed(&long),
            "the body is larger than the body_size_limit of 200 bytes",
        ),
        (
            Scripted::status(500),
            "server returned HTTP status 500 Internal Server Error",
        ),
        (
            Scripted::status(204),
            "server returned HTTP status 204 No Content",
        ),
        (Scripted::Hang, "no answer within the scrape_timeout of 50ms"),
        (
            Scripted::HangInBody,
            "no answer within the scrape_timeout of 50ms",
        ),
    ] {
        server.answer("text/plain", "a 1\n");
        time_ms += 1000;
        scrape_loop.once(time_ms).await;
        assert_eq!(lock(&scrape_loop.status).health, Health::Up);
        assert_eq!((value("up").1.as_str(), value("a").1.as_str()), ("1", "1"));
        server.script(what);
        time_ms += 1000;
        scrape_loop.once(time_ms).await;
        let status = lock(&scrape_loop.status).clone();
        assert!(
            status.last_error.contains(says),
            "{} instead of {says}",
            status.last_error
        );
        assert_eq!(status.health, Health::Down);
        // Down, and everything that was there is stale.
        assert_eq!(
            (value("up"), value("a")),
            ((time_ms, "0".into()), (time_ms, "stale".into()))
        );
    }
    server.stop();
    scrape_loop.once(time_ms + 1000).await;
    let status = lock(&scrape_loop.status).clone();
    assert!(
        status.last_error.starts_with("cannot connect: "),
        "{}",
        status.last_error
    );
    assert_eq!(
        (scrape_loop.shared.up.get(), scrape_loop.shared.down.get()),
        (8, 9)
    );
}

#[tokio::test]
async fn a_full_store_is_asked_again_and_what_is_lost_is_counted() {
    let harness = Harness::new();
    let config = ScrapeConfig::in_process("self", "here", Exposition(Arc::new(|| "a 1\n".to_owned())));
    let mut scrape_loop = harness.scrape_loop(config);
    let up = r#"up{instance="here", job="self"}"#;
    // Two refusals of two seconds each fit into the fifteen seconds of the interval.
    harness.sink.refuse(2, Duration::from_secs(2));
    harness.time.drive(scrape_loop.once(START_MS)).await;
    assert_eq!(harness.values(up).len(), 1);
    assert_eq!(scrape_loop.shared.write_failed.get(), 0);
    // A store that stays full loses the scrape: one sample and the five of the report.
    harness.sink.refuse(u32::MAX, Duration::from_secs(60));
    let before = harness.time.now_ms();
    harness.time.drive(scrape_loop.once(before)).await;
    assert_eq!(scrape_loop.shared.write_failed.get(), 6);
    assert!(harness.time.now_ms() - before < 15_000);
    harness.sink.refuse(0, Duration::ZERO);
    harness.time.drive(scrape_loop.once(harness.time.now_ms())).await;
    assert_eq!(harness.values(up).len(), 2);
}

#[tokio::test]
async fn late_scrapes_get_their_own_time() {
    let harness = Harness::new();
    let config = ScrapeConfig::in_process("self", "here", Exposition(Arc::new(|| "a 1\n".to_owned())));
    let mut scrape_loop = harness.scrape_loop(config);
    // One hundredth of fifteen seconds is in time.
    for (due_ms, start_ms) in [(0, 150), (15_000, 15_151), (30_000, 29_999)] {
        let body = scrape_loop.timed_fetch().await;
        scrape_loop.finish(due_ms, start_ms, body).await;
    }
    let times: Vec<i64> = harness
        .values(r#"a{instance="here", job="self"}"#)
        .iter()
        .map(|(t, _)| *t)
        .collect();
    assert_eq!(times, [0, 15_151, 30_000]);
}
