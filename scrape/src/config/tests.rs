//! Good and bad entries of `scrape_configs`.

use super::*;

fn read(yaml: &str) -> std::result::Result<ScrapeConfig, String> {
    runtime::config::parse(yaml, "f.yml").map_err(|e| e.to_string())
}

#[test]
fn an_entry_with_everything() {
    let config = read(
        r#"
job_name: node
scrape_interval: 5s
scrape_timeout: 2s
metrics_path: /probe
scheme: https
params: {module: [a, b]}
honor_labels: true
honor_timestamps: false
track_timestamps_staleness: true
enable_compression: false
scrape_protocols: [OpenMetricsText1.0.0, PrometheusText0.0.4]
fallback_scrape_protocol: PrometheusText0.0.4
basic_auth: {username: u, password: p}
tls_config: {ca_file: ca.pem, insecure_skip_verify: true}
follow_redirects: false
http_headers: {X-Scope-OrgID: {values: [a, b]}}
static_configs:
  - targets: ['a:1', 'b:2']
    labels: {env: prod}
file_sd_configs: [{files: ['t/*.yml'], refresh_interval: 1m}]
relabel_configs: [{source_labels: [__address__], target_label: x}]
metric_relabel_configs: [{action: labeldrop, regex: y}]
sample_limit: 10
label_limit: 20
label_name_length_limit: 30
label_value_length_limit: 40
body_size_limit: 10MB
target_limit: 50
"#,
    )
    .unwrap();
    let limits = ScrapeLimits {
        sample_limit: 10,
        label_limit: 20,
        label_name_length_limit: 30,
        label_value_length_limit: 40,
        body_size_limit: 10 << 20,
        target_limit: 50,
    };
    assert_eq!(config.limits, limits);
    assert_eq!(config.headers["X-Scope-OrgID"], "a, b");
    assert_eq!(config.params["module"], ["a", "b"]);
    assert_eq!(
        (config.scheme.as_str(), config.metrics_path.as_str()),
        ("https", "/probe")
    );
    assert!(config.honor_labels && !config.honor_timestamps && config.track_timestamps_staleness);
    assert!(!config.enable_compression && !config.http.follow_redirects);
    assert_eq!(config.http.tls_config.ca_file, Some("ca.pem".into()));
    assert_eq!(config.static_configs[0].targets, ["a:1", "b:2"]);
    assert_eq!(config.static_configs[0].labels["env"], "prod");
    assert_eq!(config.file_sd_configs[0].files, [PathBuf::from("t/*.yml")]);
    assert_eq!(
        (config.relabel_configs.len(), config.metric_relabel_configs.len()),
        (1, 1)
    );
    let timing = config.timing(Defaults::default()).unwrap();
    assert_eq!(timing, (Duration::from_secs(5), Duration::from_secs(2)));
}

#[test]
fn defaults_are_those_of_prometheus() {
    let config = read("job_name: x").unwrap();
    assert_eq!(config, ScrapeConfig::new("x"));
    assert_eq!(config.metrics_path, "/metrics");
    assert!(config.honor_timestamps && config.enable_compression && !config.honor_labels);
    assert_eq!(config.limits.body_bytes(), DEFAULT_BODY_LIMIT);
    // A timeout that was not set follows a short interval.
    let short = read("{job_name: x, scrape_interval: 3s}").unwrap();
    let timing = short.timing(Defaults::default()).unwrap();
    assert_eq!(timing, (Duration::from_secs(3), Duration::from_secs(3)));
}

#[test]
fn bad_entries_say_why() {
    let check = |yaml: &str, says: &str| {
        let error = read(yaml).unwrap_err();
        assert!(error.contains(says), "{error} instead of {says}");
    };
    check(
        "job_name: x\nscrape_intervall: 5s\n",
        "f.yml:2:1: unknown field `scrape_intervall`",
    );
    check("scrape_interval: 5s\n", "missing field `job_name`");
    check("job_name: ''", "job_name is empty");
    check(
        "{job_name: x, kubernetes_sd_configs: [{role: pod}]}",
        "job \"x\": not supported yet: kubernetes_sd_configs",
    );
    check(
        "{job_name: x, oauth2: {client_id: y}}",
        "job \"x\": not supported yet: oauth2",
    );
    check(
        "{job_name: x, proxy_url: 'http://y'}",
        "not supported yet: proxy_url",
    );
    check(
        "job_name: x\nscrape_interval: fast\n",
        "f.yml:2:18: \"fast\" is not a duration",
    );
    check(
        "{job_name: x, scrape_interval: 5s, scrape_timeout: 6s}",
        "job \"x\": scrape_timeout (6s) is longer than scrape_interval (5s)",
    );
    check(
        "{job_name: x, scrape_interval: 5s, scrape_timeout: 0s}",
        "must be more than zero",
    );
    check(
        "{job_name: x, scheme: ftp}",
        "unknown variant `ftp`, expected one of http, https",
    );
    check(
        "{job_name: x, body_size_limit: 10PB}",
        "\"10PB\" is not a size: write for instance 512KB or 10MB",
    );
    check(
        "{job_name: x, static_configs: [{targets: ['http://a:1/metrics']}]}",
        "target \"http://a:1/metrics\" is not host:port; the scheme and the path have keys of their own",
    );
    check(
        "{job_name: x, static_configs: [{target: ['a:1']}]}",
        "unknown field `target`",
    );
    check(
        "{job_name: x, http_headers: {Accept: {values: [y]}}}",
        "http_headers: Accept cannot be set here",
    );
    check(
        "job_name: x\nrelabel_configs:\n  - action: keep\n  - action: hashmod\n    target_label: y\n",
        "relabel action hashmod requires a modulus",
    );
}

#[test]
fn what_only_shows_over_all_jobs() {
    let check = |configs: &[ScrapeConfig], says: &str| {
        let error = check_all(configs, Defaults::default()).unwrap_err();
        assert_eq!(error.message(), says);
    };
    let x = ScrapeConfig::new("x");
    assert!(check_all(&[x.clone(), ScrapeConfig::new("y")], Defaults::default()).is_ok());
    check(
        &[x.clone(), x.clone()],
        "scrape_configs: job \"x\": two jobs have this name",
    );
    let slow = ScrapeConfig {
        scrape_timeout: Some(Duration::from_secs(16)),
        ..x
    };
    check(
        &[slow],
        "scrape_configs: job \"x\": scrape_timeout (16s) is longer than scrape_interval (15s)",
    );
}

#[test]
fn sizes() {
    let check = |text: &str, bytes: u64| {
        let config = read(&format!("{{job_name: x, body_size_limit: {text}}}")).unwrap();
        assert_eq!(config.limits.body_size_limit, bytes, "{text}");
    };
    check("0", 0);
    check("4096", 4096);
    check("512B", 512);
    check("10KB", 10 << 10);
    check("3MiB", 3 << 20);
    check("1GB", 1 << 30);
}
