//! Alertmanager's configuration, good and bad, with exact errors.

use super::*;

fn error_of(text: &str) -> String {
    match runtime::config::parse::<Config>(text, "x.yml") {
        Err(e) => e.to_string(),
        Ok(config) => config
            .validate()
            .map_or_else(|e| e.to_string(), |()| "fine".to_owned()),
    }
}

#[test]
fn a_usual_configuration_is_read() {
    let text = r#"
rule_files: [rules/*.yml]
external_labels: {cluster: eu}
global:
  resolve_timeout: 5m
  http_config: {follow_redirects: false}
route:
  receiver: hook
  group_by: [alertname, namespace]
  group_wait: 10s
  group_interval: 1m
  repeat_interval: 1h
  routes:
    - matchers: [severity = "page"]
      receiver: none
receivers:
  - name: hook
    webhook_configs:
      - url: https://user:secret@example.org/x
        send_resolved: false
        max_alerts: 10
        http_config:
          basic_auth: {username: u, password: p}
  - name: none
  - name: empty
    slack_configs: []
inhibit_rules: []
"#;
    assert_eq!(error_of(text), "fine");
    let config: Config = runtime::config::parse(text, "x.yml").unwrap();
    let hook = &config.receivers[0].webhook_configs[0];
    assert!(!hook.send_resolved);
    assert_eq!(hook.max_alerts, 10);
    assert!(
        !format!("{config:?}").contains("user:secret"),
        "secrets are not printed"
    );
    assert_eq!(error_of("{}"), "fine");
    assert!(config.global.http_config.is_some());
}

#[test]
fn what_does_not_fit_is_refused() {
    let check = |text: &str, error: &str| assert_eq!(error_of(text), error, "{text}");
    let with = |receivers: &str, route: &str| format!("route: {route}\nreceivers: {receivers}\n");
    check(
        &with(
            "[{name: a, pagerduty_configs: [{service_key: x}]}]",
            "{receiver: a}",
        ),
        "x.yml:2:13: the receiver \"a\" has pagerduty_configs, which is not supported yet; use webhook_configs\n  2 | receivers: [{name: a, pagerduty_configs: [{service_key: x}]}]",
    );
    check(
        &with("[{name: a, foo_configs: []}]", "{receiver: a}"),
        "x.yml:2:23: unknown field `foo_configs`, expected one of name, webhook_configs\n  2 | receivers: [{name: a, foo_configs: []}]",
    );
    check(
        &with("[{name: a}]", "{receiver: b}"),
        "route: the receiver \"b\" is not among receivers",
    );
    check(
        &with("[{name: a}, {name: a}]", "{receiver: a}"),
        "receivers: the name \"a\" is there twice",
    );
    check(&with("[{name: a}]", "{}"), "route: the root needs a receiver");
    check(
        "receivers: [{name: a}]",
        "there are receivers but no route that leads to them",
    );
    check(
        &with("[{name: a}]", "{receiver: a, matchers: [a=b]}"),
        "route: the root takes every alert and has no matchers",
    );
    check(
        &with("[{name: a}]", "{receiver: a, group_interval: 0s}"),
        "route: group_interval and repeat_interval must be longer than 0",
    );
    check(
        &with("[{name: a}]", "{receiver: a, group_by: [a, ...]}"),
        "route: group_by has ... and names; ... stands alone",
    );
    check(
        &with("[{name: a, webhook_configs: [{max_alerts: 1}]}]", "{receiver: a}"),
        "the receiver \"a\": a webhook needs url or url_file",
    );
    check(
        &with(
            "[{name: a, webhook_configs: [{url: 'ftp://x'}]}]",
            "{receiver: a}",
        ),
        "the receiver \"a\": the webhook's URL must start with http:// or https://",
    );
    assert!(error_of("inhibit_rules: [{}]").contains("inhibit_rules is not supported yet; leave it out"));
    assert!(
        error_of(&with("[{name: a}]", "{receiver: a, mute_time_intervals: [x]}"))
            .contains("mute_time_intervals is not supported yet")
    );
    assert!(
        error_of(&with("[{name: a}]", "{receiver: a, group_wait: soon}"))
            .contains("x.yml:1:34: \"soon\" is not a duration")
    );
    assert!(
        error_of(&with("[{name: a}]", "{receiver: a, routes: [{matchers: ['a']}]}"))
            .contains("the matcher \"a\" does not parse")
    );
    assert_eq!(
        error_of("evaluation_interval: 0s"),
        "evaluation_interval must be longer than 0"
    );
}

#[test]
fn rule_files_are_found_and_all_mistakes_told() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.yml"), "groups:\n- name: a\n").unwrap();
    std::fs::write(dir.path().join("b.yml"), "groups:\n- nam: b\n").unwrap();
    let load = |files: &[&str], default_rules: bool| {
        let config = Config {
            rule_files: files.iter().map(|s| (*s).to_owned()).collect(),
            default_rules,
            ..Config::default()
        };
        config.load_rules(dir.path())
    };
    assert_eq!(load(&["a.yml"], false).unwrap().len(), 1);
    assert_eq!(load(&["a.yml", "none-*.yml"], true).unwrap().len(), 2);
    let error = load(&["*.yml", "missing.yml"], false).unwrap_err();
    assert!(
        error.message().contains("b.yml:2:3: unknown field `nam`"),
        "{error}"
    );
    assert!(error.message().contains("there is no file"), "{error}");
}
