//! Which targets come out of which configuration.

use super::*;

fn config(yaml: &str) -> ScrapeConfig {
    runtime::config::parse(yaml, "f.yml").unwrap()
}

fn built(yaml: &str) -> Built {
    let config = config(yaml);
    build(&config, Defaults::default(), &config.static_configs).unwrap()
}

/// `labels url` of each target.
fn shown(yaml: &str) -> Vec<String> {
    let built = built(yaml);
    assert_eq!(built.errors.len(), 0, "{:?}", built.errors);
    built
        .targets
        .iter()
        .map(|t| format!("{} {}", t.labels, t.url))
        .collect()
}

#[test]
fn targets_get_labels_and_urls() {
    let check = |yaml: &str, expected: &[&str]| assert_eq!(shown(yaml), expected, "{yaml}");
    check(
        "{job_name: node, static_configs: [{targets: ['a:9100', '[::1]:1'], labels: {env: prod}}]}",
        &[
            r#"{env="prod", instance="a:9100", job="node"} http://a:9100/metrics"#,
            r#"{env="prod", instance="[::1]:1", job="node"} http://[::1]:1/metrics"#,
        ],
    );
    check(
        "{job_name: j, scheme: https, metrics_path: /probe, params: {module: [x, y], q: ['a b']}, static_configs: [{targets: [h]}]}",
        &[r#"{instance="h", job="j"} https://h/probe?module=x&module=y&q=a+b"#],
    );
    // Labels of the group win over the job's own settings.
    check(
        "{job_name: j, static_configs: [{targets: [h], labels: {job: other, instance: i, __metrics_path__: '/m?x=1', __scheme__: https}}]}",
        &[r#"{instance="i", job="other"} https://h/m?x=1"#],
    );
    // The probe pattern: the address becomes a parameter.
    check(
        r#"
job_name: probe
static_configs: [{targets: ['http-host:80']}]
relabel_configs:
  - {source_labels: [__address__], target_label: __param_target}
  - {source_labels: [__param_target], target_label: instance}
  - {target_label: __address__, replacement: 'prober:9115'}
  - {source_labels: [__param_target], target_label: __meta_x}
"#,
        &[r#"{instance="http-host:80", job="probe"} http://prober:9115/metrics?target=http-host%3A80"#],
    );
    // Equal targets count once.
    check(
        "{job_name: j, static_configs: [{targets: [h, h]}, {targets: [h]}]}",
        &[r#"{instance="h", job="j"} http://h/metrics"#],
    );
}

#[test]
fn rules_may_set_the_times() {
    let built = built(
        "{job_name: j, static_configs: [{targets: [h]}], relabel_configs: [{target_label: __scrape_interval__, replacement: 1m}, {target_label: __scrape_timeout__, replacement: 30s}]}",
    );
    let times = (built.targets[0].interval, built.targets[0].timeout);
    assert_eq!(times, (Duration::from_secs(60), Duration::from_secs(30)));
}

#[test]
fn dropped_and_impossible_targets_are_told_apart() {
    let built = built(
        r#"
job_name: j
static_configs: [{targets: [keep, drop, lost, slow]}]
relabel_configs:
  - {source_labels: [__address__], regex: drop, action: drop}
  - {source_labels: [__address__], regex: slow, target_label: __scrape_timeout__, replacement: 5m}
  - {source_labels: [__address__], regex: lost, target_label: __address__, replacement: ''}
"#,
    );
    assert_eq!(built.targets.len(), 1);
    assert_eq!(built.dropped.len(), 1);
    assert_eq!(
        built.dropped[0].discovered_labels.to_string(),
        r#"{__address__="drop", __metrics_path__="/metrics", __scheme__="http", __scrape_interval__="15s", __scrape_timeout__="10s", job="j"}"#
    );
    let errors: Vec<_> = built.errors.iter().map(Error::message).collect();
    assert_eq!(
        errors,
        [
            "job \"j\", target \"lost\": __address__ \"\" is not host:port",
            "job \"j\", target \"slow\": scrape_timeout (5m) is longer than scrape_interval (15s)"
        ]
    );
}

#[test]
fn too_many_targets() {
    let config = config("{job_name: j, target_limit: 1, static_configs: [{targets: [a, b]}]}");
    let error = build(&config, Defaults::default(), &config.static_configs).unwrap_err();
    assert_eq!(
        error.message(),
        "job \"j\" has 2 targets, more than its target_limit of 1"
    );
}

#[test]
fn offsets_are_spread_and_stable() {
    let targets = |n: usize| {
        let group = TargetGroup {
            targets: (0..n).map(|i| format!("host-{i}:9100")).collect(),
            ..TargetGroup::default()
        };
        let config = ScrapeConfig::new("j");
        build(&config, Defaults::default(), &[group]).unwrap().targets
    };
    let offsets: Vec<i64> = targets(300).iter().map(Target::offset_ms).collect();
    assert_eq!(
        offsets,
        targets(300).iter().map(Target::offset_ms).collect::<Vec<_>>()
    );
    for third in 0..3 {
        let range = third * 5000..(third + 1) * 5000;
        let inside = offsets.iter().filter(|o| range.contains(*o)).count();
        assert!((60..=140).contains(&inside), "{inside} of 300 in {range:?}");
    }
}

#[test]
fn the_status_is_what_prometheus_shows() {
    let built = built("{job_name: j, static_configs: [{targets: [h]}]}");
    let mut status = TargetStatus::new(&built.targets[0]);
    let json = serde_json::to_value(&status).unwrap();
    assert_eq!(
        json,
        serde_json::json!({
            "discoveredLabels": {
                "__address__": "h", "__metrics_path__": "/metrics", "__scheme__": "http",
                "__scrape_interval__": "15s", "__scrape_timeout__": "10s", "job": "j"
            },
            "labels": {"instance": "h", "job": "j"},
            "scrapePool": "j", "scrapeUrl": "http://h/metrics", "globalUrl": "http://h/metrics",
            "lastError": "", "lastScrape": "0001-01-01T00:00:00Z", "lastScrapeDuration": 0.0,
            "health": "unknown", "scrapeInterval": "15s", "scrapeTimeout": "10s"
        })
    );
    status.last_scrape = Some(1_700_000_000_123_000_000);
    status.health = Health::Down;
    let json = serde_json::to_value(&status).unwrap();
    assert_eq!(json["health"], "down");
    assert!(
        json["lastScrape"]
            .as_str()
            .unwrap()
            .starts_with("2023-11-14T22:13:20.123")
    );
}
