//! The same questions to Prometheus and to us.

use super::direct::seconds;
use tests::answers::{RangeQuery, ensure_alike};
use tests::binnacle::{Binnacle, client};
use tests::wait;

/// Both answer alike, at times that lie between the scrapes: whether the edge of a window counts differs between
/// Prometheus' version 2 and 3. What is on its way still is waited for.
pub(crate) async fn check_alike(peer: &str, binnacle: &Binnacle, rounds: u64) {
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

/// Nothing that it sent was refused for good.
pub(crate) async fn check_nothing_was_refused(peer: &str) {
    let said = client().get(format!("{peer}/metrics")).send().await.unwrap();
    let said = said.text().await.unwrap();
    let failed = said
        .lines()
        .filter(|l| l.starts_with("prometheus_remote_storage_samples_failed_total"));
    let failed: Vec<&str> = failed.collect();
    assert!(failed.len() == 1 && failed[0].ends_with(" 0"), "{failed:?}");
}
