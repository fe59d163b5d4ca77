//! Good and bad rule files with their exact errors.

use super::*;

fn errors_of(text: &str) -> String {
    load(text, "x.yml")
        .map(|f| format!("{f:#?}"))
        .unwrap_err()
        .to_string()
}

#[test]
fn a_full_file_is_read() {
    let file = load(
        r#"
groups:
  - name: node
    interval: 30s
    query_offset: 10s
    limit: 7
    labels: {team: ops, tier: "1"}
    rules:
      - record: job:up:sum
        expr: sum by (job) (up)
        labels: {tier: 2}
      - alert: Down
        expr: |
          up
            == 0
        for: 5m
        keep_firing_for: 1m
        labels: {severity: "{{ if gt $value 1.0 }}a{{ else }}b{{ end }}"}
        annotations: {summary: "{{ $labels.instance }} is down"}
  - name: empty
"#,
        "x.yml",
    )
    .unwrap();
    let node = &file.groups[0];
    assert_eq!(
        (node.name.as_str(), node.interval, node.query_offset, node.limit),
        ("node", Some(Duration::from_secs(30)), Duration::from_secs(10), 7)
    );
    let record = &node.rules[0];
    assert_eq!((record.name.as_str(), &record.alert), ("job:up:sum", &None));
    let labels: Vec<_> = record.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(labels, ["team=ops", "tier=2"]);
    let down = &node.rules[1];
    assert_eq!(down.expr, "up\n  == 0");
    let spec = down.alert.as_ref().unwrap();
    assert_eq!(
        (spec.hold, spec.keep_firing_for),
        (Duration::from_secs(300), Duration::from_secs(60))
    );
    assert_eq!(file.groups[1].rules.len(), 0);
    assert_eq!(load("# nothing\n", "x.yml").unwrap().groups.len(), 0);
}

#[test]
fn mistakes_have_a_place_and_the_text() {
    let check = |text: &str, error: &str| assert_eq!(errors_of(text), error, "{text}");
    let rule = |body: &str| format!("groups:\n- name: a\n  rules:\n  - {body}\n");
    let error = errors_of(&rule("{alert: A, expr: up ==}"));
    assert!(
        error.starts_with("x.yml:4:22: the expression does not parse: "),
        "{error}"
    );
    assert!(error.ends_with("\n  4 |   - {alert: A, expr: up ==}"), "{error}");
    check(
        &rule("{alert: A, expr: up, fore: 5m}"),
        "x.yml:4:26: unknown field `fore`, expected one of record, alert, expr, for, keep_firing_for, labels, annotations\n  4 |   - {alert: A, expr: up, fore: 5m}",
    );
    check(
        &rule("{alert: A, expr: up, for: 5 minutes}"),
        "x.yml:4:31: \"5 minutes\" is not a duration: write for instance 15s, 1h30m or 250ms (units y w d h m s ms)\n  4 |   - {alert: A, expr: up, for: 5 minutes}",
    );
    check(
        &rule("{alert: A, record: b, expr: up}"),
        "x.yml:4:5: a rule has either record or alert, not both\n  4 |   - {alert: A, record: b, expr: up}",
    );
    check(
        &rule("{expr: up}"),
        "x.yml:4:5: a rule needs a name: record or alert\n  4 |   - {expr: up}",
    );
    check(
        &rule("{alert: A}"),
        "x.yml:4:5: a rule needs an expression: expr\n  4 |   - {alert: A}",
    );
    check(
        &rule("{record: a-b, expr: up, for: 1m}"),
        "x.yml:4:14: \"a-b\" is not a metric name\n  4 |   - {record: a-b, expr: up, for: 1m}\n\
         x.yml:4:34: a recording rule cannot have for\n  4 |   - {record: a-b, expr: up, for: 1m}",
    );
    check(
        &rule("{alert: A, expr: up, labels: {a-b: c, __name__: d}}"),
        "x.yml:4:53: \"__name__\" is not a label's name\n  4 |   - {alert: A, expr: up, labels: {a-b: c, __name__: d}}\n\
         x.yml:4:40: \"a-b\" is not a label's name\n  4 |   - {alert: A, expr: up, labels: {a-b: c, __name__: d}}",
    );
    check(
        &rule("{alert: A, expr: up, annotations: {s: '{{ $labels.x'}}"),
        "x.yml:4:43: the template of \"s\" does not parse: an action is not closed with }}\n  4 |   - {alert: A, expr: up, annotations: {s: '{{ $labels.x'}}",
    );
    check(
        "groups:\n- name: a\n- name: a\n",
        "x.yml:3:9: the group \"a\" is in this file twice\n  3 | - name: a",
    );
    assert!(errors_of("groups: [").starts_with("x.yml:1"));
    assert!(errors_of("groups: 5").starts_with("x.yml:1:9: "));
}

#[test]
fn the_default_pack_is_sound() {
    let pack = default_pack();
    let names: Vec<_> = pack
        .groups
        .iter()
        .flat_map(|g| &g.rules)
        .map(|r| r.name.as_str())
        .collect();
    for name in [
        "Watchdog",
        "TargetDown",
        "ContainerOomKilled",
        "ContainerCpuThrottled",
        "ContainerMemoryNearLimit",
        "DiskFillingUp",
        "AgentSilent",
    ] {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    for rule in pack.groups.iter().flat_map(|g| &g.rules) {
        let alert = rule.alert.as_ref().unwrap();
        assert!(rule.labels.contains_key("severity"), "{}", rule.name);
        assert!(alert.annotations.contains_key("summary"), "{}", rule.name);
        assert!(alert.annotations.contains_key("description"), "{}", rule.name);
    }
}

#[test]
fn lenient_reading_passes_over_unknown_keys_only() {
    let text = "groups:\n- name: g\n  owner: me\n  interval: 5s\n  limit: 3\n  query_offset: 2s\n  labels: {a: b}\n  rules:\n  - \
                alert: A\n    expr: up == 0\n    runbook: {url: x}\n    for: 1m\n    keep_firing_for: 2m\n    annotations: {s: t}\n\
                version: 7\n";
    let plain: String = text
        .lines()
        .filter(|l| !["owner", "runbook", "version"].iter().any(|k| l.contains(k)))
        .map(|l| format!("{l}\n"))
        .collect();
    assert_eq!(load_lenient(text, "x.yml"), load(&plain, "x.yml"));
    assert!(load(text, "x.yml").is_err());
    let wrong = text.replace("up == 0", "up ==").replace("for: 1m", "for: soon");
    let says = load_lenient(&wrong, "x.yml").unwrap_err().to_string();
    assert!(says.starts_with("x.yml:12:"), "{says}");
}
