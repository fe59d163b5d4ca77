//! From exposition text to series.

use super::*;
use model::metric::is_stale;
use wire::exposition::Format;

const TARGET: [(&str, &str); 2] = [("instance", "h:1"), ("job", "j")];

fn cache(yaml: &str) -> Cache {
    let config: ScrapeConfig = runtime::config::parse(&format!("job_name: j\n{yaml}"), "f.yml").unwrap();
    Cache::new(Arc::new(config), Labels::from_pairs(TARGET))
}

fn body(text: &str) -> Body {
    let format = if text.ends_with("# EOF\n") {
        Format::OpenMetrics
    } else {
        Format::Prometheus
    };
    Body {
        format,
        bytes: text.as_bytes().to_vec(),
    }
}

/// `series value @time` of each sample, sorted.
fn shown(metrics: &Metrics) -> Vec<String> {
    let mut lines: Vec<String> = metrics
        .series
        .iter()
        .flat_map(|series| {
            series.samples.iter().map(|s| {
                let value = if is_stale(s.value) {
                    "stale".to_owned()
                } else {
                    s.value.to_string()
                };
                format!("{} {value} @{}", series.labels, s.timestamp_ms)
            })
        })
        .collect();
    lines.sort();
    lines
}

fn read(cache: &mut Cache, text: &str, now_ms: i64) -> Vec<String> {
    shown(&cache.read(&body(text), now_ms).1.unwrap())
}

#[test]
fn target_labels_are_added() {
    let check = |yaml: &str, line: &str, expected: &str| {
        let lines = read(&mut cache(yaml), &format!("{line} 1\n"), 5);
        assert_eq!(lines, [format!("{expected} 1 @5")], "{yaml} {line}");
    };
    check("", "m", r#"m{instance="h:1", job="j"}"#);
    check("", r#"m{a="1"}"#, r#"m{a="1", instance="h:1", job="j"}"#);
    // Conflicts move aside, also when the other place is taken.
    check(
        "",
        r#"m{job="x"}"#,
        r#"m{exported_job="x", instance="h:1", job="j"}"#,
    );
    check(
        "",
        r#"m{job="x",exported_job="y"}"#,
        r#"m{exported_exported_job="x", exported_job="y", instance="h:1", job="j"}"#,
    );
    check("", r#"m{job=""}"#, r#"m{instance="h:1", job="j"}"#);
    // With honor_labels they stay, and an empty one keeps the target's away.
    check(
        "honor_labels: true",
        r#"m{job="x"}"#,
        r#"m{instance="h:1", job="x"}"#,
    );
    check("honor_labels: true", r#"m{job="x",instance=""}"#, r#"m{job="x"}"#);
    // Rules see the labels of the target.
    check(
        "metric_relabel_configs: [{source_labels: [__name__, job], target_label: __name__, separator: _}]",
        "m",
        r#"m_j{instance="h:1", job="j"}"#,
    );
    check(
        "metric_relabel_configs: [{action: labeldrop, regex: instance}]",
        r#"m{a="1"}"#,
        r#"m{a="1", job="j"}"#,
    );
}

#[test]
fn series_that_vanish_are_marked() {
    let mut cache = cache("");
    let s = |name: &str, value: &str, t: i64| format!(r#"{name}{{instance="h:1", job="j"}} {value} @{t}"#);
    assert_eq!(
        read(&mut cache, "a 1\nb 2\n", 10),
        [s("a", "1", 10), s("b", "2", 10)]
    );
    assert_eq!(
        read(&mut cache, "a 1\n", 20),
        [s("a", "1", 20), s("b", "stale", 20)]
    );
    // Once, and not again when it comes back.
    assert_eq!(read(&mut cache, "a 1\n", 30), [s("a", "1", 30)]);
    assert_eq!(
        read(&mut cache, "a 1\nb 3\n", 40),
        [s("a", "1", 40), s("b", "3", 40)]
    );
    // A failed scrape ends all of them, once.
    assert_eq!(shown(&cache.fail(50)), [s("a", "stale", 50), s("b", "stale", 50)]);
    assert_eq!(shown(&cache.fail(60)), [""; 0]);
    assert_eq!(read(&mut cache, "a 1\n", 70), [s("a", "1", 70)]);
    // A target that is gone ends with its report series.
    assert_eq!(
        shown(&cache.end(80)),
        [
            s("a", "stale", 80),
            s("scrape_duration_seconds", "stale", 80),
            s("scrape_samples_post_metric_relabeling", "stale", 80),
            s("scrape_samples_scraped", "stale", 80),
            s("scrape_series_added", "stale", 80),
            s("up", "stale", 80),
        ]
    );
}

#[test]
fn a_broken_body_leaves_nothing_behind() {
    let mut cache = cache("");
    read(&mut cache, "a 1\n", 10);
    let (counts, outcome) = cache.read(&body("a 1\nnew 1\nb{ 2\n"), 20);
    assert_eq!((counts.scraped, counts.kept), (2, 2));
    assert!(outcome.unwrap_err().message().contains("line 3"));
    assert_eq!(
        shown(&cache.fail(20)),
        [r#"a{instance="h:1", job="j"} stale @20"#]
    );
    // `new` counts as new the next time too.
    let (counts, _) = cache.read(&body("a 1\nnew 1\n"), 30);
    assert_eq!(counts.added, 1);
    assert_eq!(cache.lines.len(), 2);
}

#[test]
fn counts_before_and_after_the_rules() {
    let mut cache =
        cache("metric_relabel_configs: [{source_labels: [__name__], regex: 'go_.*', action: drop}]");
    let text = "go_a 1\ngo_b 1\na 1\nb 1\nb 2\n";
    let (counts, metrics) = cache.read(&body(text), 10);
    let expected = Counts {
        scraped: 5,
        kept: 2,
        added: 2,
        duplicates: 1,
    };
    assert_eq!(counts, expected);
    // The first of two equal series wins, as in Prometheus.
    assert_eq!(shown(&metrics.unwrap())[1], r#"b{instance="h:1", job="j"} 1 @10"#);
    let (counts, _) = cache.read(&body(text), 20);
    assert_eq!(counts, Counts { added: 0, ..expected });
    // Lines that are gone are forgotten.
    cache.read(&body("a 1\n"), 30).1.unwrap();
    assert_eq!(cache.lines.len(), 1);
    let (counts, _) = cache.read(&body("a 1\nb 1\n"), 40);
    assert_eq!(counts.added, 1);
}

#[test]
fn times_of_the_exposition() {
    let check = |yaml: &str, first: &str, second: &str, expected: &[&str]| {
        let mut cache = cache(yaml);
        read(&mut cache, first, 1000);
        let lines = read(&mut cache, second, 2000);
        let expected: Vec<String> = expected
            .iter()
            .map(|e| e.replacen(' ', r#"{instance="h:1", job="j"} "#, 1))
            .collect();
        assert_eq!(lines, expected, "{yaml} {second}");
    };
    check("", "a 1 500\n", "a 1 600\n", &["a 1 @600"]);
    check(
        "honor_timestamps: false",
        "a 1 500\n",
        "a 1 600\n",
        &["a 1 @2000"],
    );
    // Series with times of their own are not marked, unless that is wanted.
    check("", "a 1 500\nb 1\n", "c 1\n", &["b stale @2000", "c 1 @2000"]);
    check(
        "track_timestamps_staleness: true",
        "a 1 500\n",
        "c 1\n",
        &["a stale @2000", "c 1 @2000"],
    );
    check(
        "honor_timestamps: false",
        "a 1 500\n",
        "c 1\n",
        &["a stale @2000", "c 1 @2000"],
    );
    // One series at several times is no duplicate.
    check(
        "",
        "a 1\n",
        "b 1 500\nb 2 600\n",
        &["a stale @2000", "b 1 @500", "b 2 @600"],
    );
}

#[test]
fn limits_fail_the_whole_scrape() {
    let check = |yaml: &str, text: &str, says: &str| {
        let (_, outcome) = cache(yaml).read(&body(text), 10);
        let error = outcome.unwrap_err();
        assert_eq!(error.message(), says);
    };
    check(
        "sample_limit: 2",
        "a 1\nb 1\nc 1\n",
        "the scrape has more samples than sample_limit (2)",
    );
    assert!(cache("sample_limit: 2").read(&body("a 1\nb 1\n"), 10).1.is_ok());
    check(
        "label_limit: 3",
        "m{a=\"1\"} 1\n",
        "label_limit exceeded: metric \"m\" has a number of labels of 4, more than 3",
    );
    assert!(
        cache("label_limit: 4")
            .read(&body("m{a=\"1\"} 1\n"), 10)
            .1
            .is_ok()
    );
    check(
        "label_name_length_limit: 8",
        "m{long_name=\"1\"} 1\n",
        "label_name_length_limit exceeded: metric \"m\" has a label name of length 9, more than 8",
    );
    check(
        "label_value_length_limit: 3",
        "m{a=\"1234\"} 1\n",
        "label_value_length_limit exceeded: metric \"m\" has a label value of length 4, more than 3",
    );
    check(
        "metric_relabel_configs: [{target_label: __name__, replacement: ''}]",
        "m 1\n",
        "relabelling left no metric name in {instance=\"h:1\", job=\"j\"}",
    );
}

#[test]
fn metadata_is_sent_when_it_changes() {
    let mut cache = cache("");
    let mut families = |text: &str| -> Vec<String> {
        let metrics = cache.read(&body(text), 10).1.unwrap();
        let mut names: Vec<_> = metrics
            .metadata
            .iter()
            .map(|m| format!("{} {:?} {}", m.family, m.metric_type, m.help))
            .collect();
        names.sort();
        names
    };
    let text = "# TYPE a counter\n# HELP a Counts.\na 1\n# TYPE b gauge\nb 1\n";
    assert_eq!(families(text), ["a Counter Counts.", "b Gauge "]);
    assert_eq!(families(text), [""; 0]);
    assert_eq!(families(&text.replace("Counts", "Sums")), ["a Counter Sums."]);
    for _ in 0..METADATA_ROUNDS - 3 {
        assert_eq!(families(&text.replace("Counts", "Sums")), [""; 0]);
    }
    assert_eq!(families(&text.replace("Counts", "Sums")).len(), 2);
}

#[test]
fn exemplars_are_sent_once() {
    let mut cache = cache("");
    let mut exemplars = |exemplar: &str| -> Vec<String> {
        let text = format!("# TYPE a counter\na_total 1 # {exemplar}\n# EOF\n");
        let metrics = cache.read(&body(&text), 7000).1.unwrap();
        let all = metrics.series.iter().flat_map(|s| &s.exemplars);
        all.map(|e| format!("{} {} @{}", e.labels, e.value, e.timestamp_ms))
            .collect()
    };
    assert_eq!(
        exemplars(r#"{trace_id="x"} 0.5"#),
        [r#"{trace_id="x"} 0.5 @7000"#]
    );
    assert_eq!(exemplars(r#"{trace_id="x"} 0.5"#), [""; 0]);
    assert_eq!(exemplars(r#"{trace_id="x"} 0.6"#).len(), 1);
    assert_eq!(
        exemplars(r#"{trace_id="y"} 0.6 3"#),
        [r#"{trace_id="y"} 0.6 @3000"#]
    );
    assert_eq!(exemplars(r#"{trace_id="y"} 0.6 3"#), [""; 0]);
    assert_eq!(exemplars(r#"{trace_id="y"} 0.6 4"#).len(), 1);
}

#[test]
fn the_report() {
    let counts = Counts {
        scraped: 9,
        kept: 7,
        added: 2,
        duplicates: 0,
    };
    let metrics = Metrics {
        series: cache("").report(5, true, 0.25, counts),
        metadata: Vec::new(),
    };
    let l = r#"{instance="h:1", job="j"}"#;
    assert_eq!(
        shown(&metrics),
        [
            format!("scrape_duration_seconds{l} 0.25 @5"),
            format!("scrape_samples_post_metric_relabeling{l} 7 @5"),
            format!("scrape_samples_scraped{l} 9 @5"),
            format!("scrape_series_added{l} 2 @5"),
            format!("up{l} 1 @5"),
        ]
    );
}

proptest::proptest! {
    /// Against a plain model: after any scrapes, what was shown last and is missing now is stale, once.
    #[test]
    fn staleness_is_a_set_difference(scrapes in proptest::collection::vec(proptest::option::of(proptest::collection::btree_set(0u8..6, 0..6)), 1..12)) {
        let mut cache = cache("");
        let mut last = std::collections::BTreeSet::new();
        for (i, scrape) in scrapes.into_iter().enumerate() {
            let now_ms = i as i64;
            let (metrics, now) = match scrape {
                None => (cache.fail(now_ms), std::collections::BTreeSet::new()),
                Some(set) => {
                    let text: String = set.iter().map(|n| format!("m{n} 1\n")).collect();
                    (cache.read(&body(&text), now_ms).1.unwrap(), set)
                }
            };
            let expected: Vec<String> = (0..6u8)
                .filter(|n| now.contains(n) || last.contains(n))
                .map(|n| {
                    let value = if now.contains(&n) { "1" } else { "stale" };
                    format!(r#"m{n}{{instance="h:1", job="j"}} {value} @{now_ms}"#)
                })
                .collect();
            proptest::prop_assert_eq!(shown(&metrics), expected);
            last = now;
        }
    }
}
