//! Tables of expositions, errors with their lines, and the conformance data where it is at hand.

use super::*;
use crate::testdata::shared;
use model::{ErrorKind, MetricType};
use proptest::prelude::*;
use std::fmt::Write as _;

const NOW: i64 = 5000;

fn read(format: Format, text: &str) -> Result<Metrics> {
    parse(format, text.as_bytes(), NOW, &Quota::new(1 << 24))
}

/// One line per fact, for tables.
fn show(metrics: &Metrics) -> String {
    let mut out = String::new();
    for m in &metrics.metadata {
        writeln!(out, "{} {:?} {:?} {:?}", m.family, m.metric_type, m.help, m.unit).unwrap();
    }
    for s in &metrics.series {
        write!(
            out,
            "{} {:?}@{}",
            s.labels, s.samples[0].value, s.samples[0].timestamp_ms
        )
        .unwrap();
        for e in &s.exemplars {
            write!(out, " # {} {:?}@{}", e.labels, e.value, e.timestamp_ms).unwrap();
        }
        out.push('\n');
    }
    out
}

#[test]
fn prometheus_text() {
    let check = |text: &str, expected: &str| {
        assert_eq!(show(&read(Format::Prometheus, text).unwrap()), expected, "{text}");
    };
    check("a 1\n", "a 1.0@5000\n");
    check("a 1", "a 1.0@5000\n");
    check(
        "\n  \n# just a comment\n#a\n# HELPless words\na 1 1234\n",
        "a 1.0@1234\n",
    );
    check("a 1 -5\n", "a 1.0@-5\n");
    check("a{} 1\n", "a 1.0@5000\n");
    check("a{b=\"c\"} 1e3\n", "a{b=\"c\"} 1000.0@5000\n");
    check(" a {\tb = \"c\" , d=\"\", } -.5\t7 \n", "a{b=\"c\"} -0.5@7\n");
    check(
        "a{b=\"x\\\"\\\\\\n\\q}\"} +Inf\n",
        "a{b=\"x\\\"\\\\\\n\\\\q}\"} inf@5000\n",
    );
    check("a{b=\"two\nlines\"} -inf\n", "a{b=\"two\\nlines\"} -inf@5000\n");
    check("a NaN\na Infinity\n", "a NaN@5000\na inf@5000\n");
    check(
        "{\"dotted.name\",\"label.é\"=\"v\"} 1\n",
        "dotted.name{label.é=\"v\"} 1.0@5000\n",
    );
    check("a{\"b.c\"=\"d\"} 1\n", "a{b.c=\"d\"} 1.0@5000\n");
    check("job:x:rate5m 1\n", "job:x:rate5m 1.0@5000\n");
    check(
        "# HELP a Text\\n with \\\\ escapes \\\" kept\n# TYPE  a   counter \na 1\n# HELP b\n",
        "a Counter \"Text\\n with \\\\ escapes \\\\\\\" kept\" \"\"\nb Unknown \"\" \"\"\na 1.0@5000\n",
    );
    check("# TYPE \"a.b\" untyped\n", "a.b Unknown \"\" \"\"\n");
    check(
        "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_bucket{le=\"0.00001\"} 0\n",
        "h Histogram \"\" \"\"\nh_bucket{le=\"1.0\"} 1.0@5000\nh_bucket{le=\"+Inf\"} 1.0@5000\nh_bucket{le=\"1e-05\"} 0.0@5000\n",
    );
    check(
        "# TYPE s summary\ns{quantile=\"0.50\"} 1\n# TYPE g gauge\ng{quantile=\"1\",le=\"1\"} 1\n",
        "s Summary \"\" \"\"\ng Gauge \"\" \"\"\ns{quantile=\"0.5\"} 1.0@5000\ng{le=\"1\", quantile=\"1\"} 1.0@5000\n",
    );
}

#[test]
fn openmetrics_text() {
    let check = |text: &str, expected: &str| {
        assert_eq!(
            show(&read(Format::OpenMetrics, text).unwrap()),
            expected,
            "{text}"
        );
    };
    check("# EOF\n", "");
    check("# EOF", "");
    check("a 1\n# EOF\n", "a 1.0@5000\n");
    check("a 1 1.5\n# EOF\n", "a 1.0@1500\n");
    check("a 1 -1e-3\n# EOF\n", "a 1.0@-1\n");
    check(
        "# HELP a_s Say \\\"hi\\\"\n# TYPE a_s counter\n# UNIT a_s s\na_s_total{b=\"c\"} 1 2 # {trace_id=\"x\"} 0.5 1.25\na_s_total 2 # {} 3\n# EOF\n",
        "a_s Counter \"Say \\\"hi\\\"\" \"s\"\na_s_total{b=\"c\"} 1.0@2000 # {trace_id=\"x\"} 0.5@1250\na_s_total 2.0@5000 # {} 3.0@5000\n",
    );
    for (name, metric_type) in [
        ("unknown", MetricType::Unknown),
        ("gaugehistogram", MetricType::GaugeHistogram),
        ("info", MetricType::Info),
        ("stateset", MetricType::StateSet),
    ] {
        let metrics = read(Format::OpenMetrics, &format!("# TYPE a {name}\n# EOF\n")).unwrap();
        assert_eq!(metrics.metadata[0].metric_type, metric_type);
    }
}

#[test]
fn errors_name_the_line() {
    use Format::{OpenMetrics as O, Prometheus as P};
    let check = |format, text: &str, says: &str| {
        let e = read(format, text).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::BadData);
        assert_eq!(e.message(), says, "{text:?}");
    };
    check(P, "a 1\nb x\n", "line 2: expected a value, found \"x\"");
    check(P, "a\n", "line 1: expected a value, found the end of the line");
    check(
        P,
        "a{b=\"c\"} ",
        "line 1: expected a value, found the end of the text",
    );
    check(P, "a 1e999\n", "line 1: expected a value, found \"1e999\"");
    check(P, "a 1_0\n", "line 1: expected a value, found \"1_0\"");
    check(P, "a +nan\n", "line 1: expected a value, found \"+nan\"");
    check(P, "a 0x1p4\n", "line 1: expected a value, found \"0x1p4\"");
    check(
        P,
        "a 1 2.5\n",
        "line 1: expected a timestamp in milliseconds, found \"2.5\"",
    );
    check(
        P,
        "a 1 2 3\n",
        "line 1: expected the end of the line, found \"3\"",
    );
    check(
        P,
        "a 1 # {a=\"b\"} 1\n",
        "line 1: expected a timestamp in milliseconds, found \"# {a=\\\"b\\\"} 1\"",
    );
    check(P, "1a 1\n", "line 1: expected a metric name, found \"1a 1\"");
    check(
        P,
        "a{b=\"c\" 1\n",
        "line 1: expected \",\" or \"}\" after a label, found \"1\"",
    );
    check(P, "a{b=c} 1\n", "line 1: expected a quoted text, found \"c} 1\"");
    check(
        P,
        "a{b} 1\n",
        "line 1: expected \"=\" after a label name, found \"} 1\"",
    );
    check(
        P,
        "a{,} 1\n",
        "line 1: expected a label name or \"}\", found \",} 1\"",
    );
    check(P, "a{b=\"c\n", "line 1: a quoted text has no end");
    check(P, "a{b=\"1\",b=\"2\"} 1\n", "line 1: label \"b\" occurs twice");
    check(
        P,
        "a{\"name\"} 1\n",
        "line 1: expected \"=\" after a label name, found \"} 1\"",
    );
    check(
        P,
        "{b=\"c\"} 1\n",
        "line 1: the line has labels but no metric name",
    );
    check(P, "{\"\"} 1\n", "line 1: a name in quotes is empty");
    check(
        P,
        "a 1\n# TYPE a fancy\n",
        "line 2: \"fancy\" is not a metric type",
    );
    check(
        P,
        "# TYPE 1 gauge\n",
        "line 1: expected a metric name, found \"1 gauge\"",
    );
    check(O, "a 1\n", "line 2: the text does not end with \"# EOF\"");
    check(
        O,
        "a 1\n# EOF\nb 1\n",
        "line 3: expected nothing after \"# EOF\", found \"b 1\"",
    );
    check(
        O,
        "\n# EOF\n",
        "line 1: expected a metric name, found the end of the line",
    );
    check(O, "a  1\n# EOF\n", "line 1: expected a value, found \" 1\"");
    check(
        O,
        "a 1 \n# EOF\n",
        "line 1: expected a timestamp in seconds, found the end of the line",
    );
    check(
        O,
        "a 1 NaN\n# EOF\n",
        "line 1: expected a timestamp in seconds, found \"NaN\"",
    );
    check(
        O,
        "a{b=\"c\", d=\"e\"} 1\n# EOF\n",
        "line 1: expected a label name or \"}\", found \" d=\\\"e\\\"} 1\"",
    );
    check(
        O,
        "a{b=\"c\nd\"} 1\n# EOF\n",
        "line 1: a quoted text ends with its line",
    );
    check(
        O,
        "# TYPE a untyped\n# EOF\n",
        "line 1: \"untyped\" is not a metric type",
    );
    check(
        O,
        "# a comment\n# EOF\n",
        "line 1: expected # HELP, # TYPE, # UNIT or # EOF, found \"# a comment\"",
    );
    check(
        O,
        "# UNIT a s\n# EOF\n",
        "line 1: unit \"s\" is not a suffix of metric \"a\"",
    );
    check(
        O,
        "a 1 # \n# EOF\n",
        "line 1: expected the labels of an exemplar, found the end of the line",
    );
    check(
        O,
        "a 1 # {b=\"c\"}\n# EOF\n",
        "line 1: expected a space before the exemplar's value, found the end of the line",
    );
    let e = parse(P, b"a 1\nb{c=\"\xff\"} 1\n", NOW, &Quota::new(1 << 20)).unwrap_err();
    assert_eq!(e.message(), "line 2: the text is not valid UTF-8");
}

#[test]
fn a_parser_stops_after_its_error() {
    let mut parser = Parser::new(Format::Prometheus, b"a x\nb 1\n").unwrap();
    assert!(parser.next().unwrap().is_err());
    assert!(parser.next().is_none());
}

#[test]
fn series_text_is_a_key() {
    let text = b"a{b=\"c\"}  1 5\na{b=\"c\"}  2\n";
    let keys: Vec<&str> = Parser::new(Format::Prometheus, text)
        .unwrap()
        .map(|e| match e.unwrap() {
            Entry::Sample(s) => s.series,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(keys, ["a{b=\"c\"}", "a{b=\"c\"}"]);
}

#[test]
fn bounds_look_like_gos() {
    for (value, text) in [
        (0.0, "0.0"),
        (1.0, "1.0"),
        (-1.0, "-1.0"),
        (0.25, "0.25"),
        (100_000.0, "100000.0"),
        (1_000_000.0, "1e+06"),
        (1_234_567.0, "1.234567e+06"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (1e100, "1e+100"),
        (f64::INFINITY, "+Inf"),
        (f64::NEG_INFINITY, "-Inf"),
        (f64::NAN, "NaN"),
    ] {
        assert_eq!(format_bound(value), text);
    }
}

#[test]
fn a_quota_ends_a_long_exposition() {
    let text = "a 1\n".repeat(1000);
    let e = parse(Format::Prometheus, text.as_bytes(), NOW, &Quota::new(10_000)).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::TooLarge);
}

#[test]
fn content_types() {
    let of = Format::from_content_type;
    assert_eq!(
        of("text/plain; version=0.0.4; charset=utf-8"),
        Some(Format::Prometheus)
    );
    assert_eq!(
        of("application/openmetrics-text; version=1.0.0"),
        Some(Format::OpenMetrics)
    );
    assert_eq!(of("text/html"), None);
}

#[test]
fn real_scrapes_parse() {
    let Some(folder) = shared("exposition") else {
        return;
    };
    let mut lines = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let mut text = std::fs::read_to_string(&path).unwrap();
        let openmetrics = path.to_string_lossy().contains(".om.");
        let format = if openmetrics {
            Format::OpenMetrics
        } else {
            Format::Prometheus
        };
        // Some samples were cut out of longer texts and lack the end.
        if openmetrics && !text.trim_end().ends_with("# EOF") {
            text.push_str("# EOF\n");
        }
        let values = text
            .lines()
            .filter(|l| !l.starts_with('#') && !l.trim().is_empty())
            .count();
        let metrics = read(format, &text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert_eq!(metrics.series.len(), values, "{}", path.display());
        lines += values;
    }
    assert!(lines > 1000, "only {lines} lines");
}

/// Texts that a strict OpenMetrics parser refuses are no matter here; texts that it takes must parse.
#[test]
fn openmetrics_suite() {
    let Some(folder) = shared("openmetrics") else {
        return;
    };
    let (mut taken, mut refused, mut lenient) = (0, 0, 0);
    for case in std::fs::read_dir(folder).unwrap() {
        let path = case.unwrap().path();
        let text = std::fs::read(path.join("metrics")).unwrap();
        let test: serde_json::Value =
            serde_json::from_slice(&std::fs::read(path.join("test.json")).unwrap()).unwrap();
        let result = parse(Format::OpenMetrics, &text, NOW, &Quota::new(1 << 24));
        match (test["shouldParse"].as_bool().unwrap(), result) {
            (true, Ok(_)) => taken += 1,
            (true, Err(e)) => panic!("{} must parse: {e}", path.display()),
            (false, Err(_)) => refused += 1,
            (false, Ok(_)) => lenient += 1,
        }
    }
    eprintln!(
        "OpenMetrics suite: {taken} taken, {refused} refused, {lenient} taken that a strict parser refuses"
    );
    assert!(taken > 0 && refused > 0);
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_not_panic(bytes: Vec<u8>) {
        for format in [Format::Prometheus, Format::OpenMetrics] {
            let _ = parse(format, &bytes, NOW, &Quota::new(1 << 20));
        }
    }

    #[test]
    fn nearly_right_texts_do_not_panic(text in r#"([a-z"{}=,#\\ \n0-9é.-]|# TYPE |# HELP |# UNIT |# EOF|NaN|="){0,60}"#) {
        for format in [Format::Prometheus, Format::OpenMetrics] {
            let _ = read(format, &text);
        }
    }

    #[test]
    fn written_series_read_back(
        name in "[a-zA-Z_:][a-zA-Z0-9_:]{0,8}",
        labels in prop::collection::btree_map("[a-z][a-z0-9_]{0,5}|[a-z]\\.[a-z]", "[ -~é\n]{1,8}", 0..4),
        value: f64,
        time in prop::option::of(-(1i64 << 40)..1i64 << 40),
    ) {
        let pairs: Vec<String> = labels
            .iter()
            .map(|(n, v)| {
                let v = v.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
                if n.contains('.') { format!("\"{n}\"=\"{v}\"") } else { format!("{n}=\"{v}\"") }
            })
            .collect();
        let expected = model::Labels::from_pairs(
            labels.iter().map(|(n, v)| (n.clone(), v.clone())).chain([("__name__".to_owned(), name.clone())]),
        );
        let line = format!("{name}{{{}}} {value:?}", pairs.join(","));
        let prometheus = format!("{line}{}\n", time.map(|t| format!(" {t}")).unwrap_or_default());
        let openmetrics = format!("{line}\n# EOF\n");
        for (format, text, time) in [(Format::Prometheus, prometheus, time), (Format::OpenMetrics, openmetrics, None)] {
            let metrics = read(format, &text).unwrap();
            prop_assert_eq!(&metrics.series[0].labels, &expected);
            let sample = metrics.series[0].samples[0];
            prop_assert_eq!(sample.timestamp_ms, time.unwrap_or(NOW));
            prop_assert!(sample.value.to_bits() == value.to_bits() || sample.value.is_nan() && value.is_nan());
        }
    }
}
