//! Tests of the comparison, of the diff and of the YAML form.

use super::cases::Failure;
use super::compare::{diff, expected_samples, same_samples, shown_samples};
use super::file::{ExpectedSample, TestFile};
use super::report::{Case, Suite, junit};
use std::time::Duration;

fn sample(labels: &str, value: f64, histogram: &str) -> ExpectedSample {
    ExpectedSample {
        labels: labels.to_owned(),
        value,
        histogram: histogram.to_owned(),
    }
}

#[test]
fn samples_are_compared() {
    let check = |a: ExpectedSample, b: ExpectedSample, exactly: bool, nearly: bool| {
        let (a, b) = (expected_samples(&[a]).unwrap(), expected_samples(&[b]).unwrap());
        let what = format!("{} and {}", shown_samples(&a), shown_samples(&b));
        assert_eq!(same_samples(&a, &b, false), exactly, "{what}");
        assert_eq!(same_samples(&a, &b, true), nearly, "{what}, nearly");
    };
    let number = |value| sample("m", value, "");
    check(number(1.0), number(1.0), true, true);
    check(number(0.0), number(-0.0), true, true);
    check(number(3.0), number(3.0f64.next_up()), false, true);
    check(number(3.0), number(3.0f64.next_down()), false, true);
    check(number(3.0), number(3.0f64.next_up().next_up()), false, false);
    check(number(f64::NAN), number(f64::NAN), false, false);
    check(number(f64::INFINITY), number(f64::INFINITY), true, true);
    check(number(1.0), sample("m{a='b'}", 1.0, ""), false, false);
    check(
        sample("m", 5.0, "{{count:1 buckets:[0 1]}}"),
        sample("m", 0.0, "{{offset:1 buckets:[1] count:1}}"),
        true,
        true,
    );
    check(sample("m", 0.0, "{{}}"), number(0.0), false, false);
    check(
        sample("m", 0.0, "{{counter_reset_hint:gauge}}"),
        sample("m", 0.0, "{{}}"),
        false,
        false,
    );
    let two = [sample("b", 1.0, ""), sample("a", 2e300, "")];
    let two = expected_samples(&two).unwrap();
    assert_eq!(shown_samples(&two), "a 2E+300,\nb 1E+00");
    assert!(!same_samples(&two, &two[..1], false));
    for bad in ["1", "{{}} {{}}", "{{", ""] {
        let result = expected_samples(&[sample("m", 0.0, bad)]);
        assert_eq!(result.is_ok(), bad.is_empty(), "{bad}");
    }
}

#[test]
fn diffs_mark_what_is_on_one_side() {
    let check = |a: &str, b: &str, expected: &str| {
        let (a, b) = (a.replace(' ', "\n"), b.replace(' ', "\n"));
        assert_eq!(diff(&a, &b).replace('\n', "|"), expected);
    };
    check("a b c", "a b c", "  a|  b|  c");
    check("a b c", "a x c", "  a|- b|+ x|  c");
    check("a", "", "- a");
    check("", "a", "+ a");
    check("a b", "b a", "- a|  b|+ a");
    let long = "x\n".repeat(3000);
    assert_eq!(diff(&long, &long).lines().count(), 6000);
}

#[test]
fn files_are_read() {
    let file = TestFile::parse(
        "rule_files:\nevaluation_interval: 1d\ntests:\n- name: 5\n  interval: 1m30s\n  start_timestamp: 1.5\n  input_series:\n  \
         - {series: m, values: 2.9999999999999996}\n  alert_rule_test:\n  - alertname: A\n    exp_alerts:\n    - exp_labels: \
         {code: 500, on: true, none: }\n",
    )
    .unwrap();
    assert!(file.rule_files.is_empty());
    assert_eq!(file.evaluation_interval, Duration::from_secs(86_400));
    let group = &file.tests[0];
    assert_eq!(group.name.as_deref(), Some("5"));
    assert_eq!(group.interval, Duration::from_secs(90));
    assert_eq!(group.start_timestamp, 1500);
    assert_eq!(group.input_series[0].values, "2.9999999999999996");
    let labels: Vec<_> = group.alert_rule_test[0].exp_alerts[0].exp_labels.iter().collect();
    let shown: Vec<_> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(shown, ["code=500", "none=", "on=true"]);
    let empty = TestFile::parse("# nothing\n").unwrap();
    assert_eq!(
        (empty.tests.len(), empty.evaluation_interval),
        (0, Duration::from_secs(60))
    );
    assert_eq!(
        TestFile::parse("evaluation_interval: 0\n")
            .unwrap()
            .evaluation_interval,
        Duration::from_secs(60)
    );
    let check = |text: &str, says: &str| {
        let problem = TestFile::parse(text).unwrap_err();
        assert!(problem.contains(says), "{text}: {problem}");
    };
    check("test: []", "test");
    check("tests: [{exp: 1}]", "exp");
    check("tests: [{interval: soon}]", "soon");
    check("tests: [{start_timestamp: yesterday}]", "yesterday");
    check("tests: [{alert_rule_test: [{eval_time: -1m}]}]", "-1m");
    check(
        "tests: [{promql_expr_test: [{exp_samples: [{value: much}]}]}]",
        "much",
    );
    check("fuzzy_compare: perhaps", "perhaps");
}

#[test]
fn junit_is_well_formed() {
    let mut suite = Suite::new("a<b>\".yml".to_owned(), 1_700_000_000_000);
    suite.cases.push(Case {
        name: "x & y".to_owned(),
        failures: vec![Failure::new("one\n\ttwo\u{1}")],
    });
    let aborted = Suite::new("c.yml".to_owned(), 0).aborted("no <YAML>".to_owned());
    assert_eq!(
        junit(&[suite, aborted]),
        "<testsuites><testsuite name=\"a&lt;b&gt;&quot;.yml\" tests=\"1\" failures=\"1\" errors=\"0\" skipped=\"0\" \
         timestamp=\"2023-11-14T22:13:20\"><testcase name=\"x &amp; y\"><failure>one&#xA;&#x9;two\u{fffd}</failure></testcase></testsuite>\
         <testsuite name=\"c.yml\" tests=\"1\" failures=\"0\" errors=\"1\" skipped=\"0\" timestamp=\"1970-01-01T00:00:00\">\
         <testcase name=\"unknown\"><error>no &lt;YAML&gt;</error></testcase></testsuite></testsuites>\n"
    );
}
