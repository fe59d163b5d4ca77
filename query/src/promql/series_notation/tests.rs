//! Tests of the notation of series.

use super::*;
use model::metric::{ResetHint, STALE_NAN_BITS};

/// A short form of items: numbers, `_`, `stale`, and for histograms count, sum, buckets and hint if it is written.
fn shown(items: &[Item]) -> String {
    let one = |item: &Item| match item {
        Item::Gap => "_".to_owned(),
        Item::Value(v) if v.to_bits() == STALE_NAN_BITS => "stale".to_owned(),
        Item::Value(v) => v.to_string(),
        Item::Histogram {
            histogram: h,
            hint_is_written,
        } => {
            let buckets = |b: &[(i32, f64)]| format!("{b:?}").replace(' ', "");
            let mut text = format!("h({},{},{}", h.count, h.sum, buckets(&h.positive));
            if !h.negative.is_empty() {
                text += &format!(",-{}", buckets(&h.negative));
            }
            if *hint_is_written {
                text += &format!(",{:?}", h.reset_hint);
            }
            text + ")"
        }
    };
    items.iter().map(one).collect::<Vec<_>>().join(" ")
}

#[test]
fn items_of_series() {
    let check = |text: &str, expected: &str| {
        let (labels, items) = parse(&format!("m {text}")).unwrap();
        assert_eq!(labels, Labels::from_pairs([("__name__", "m")]), "{text}");
        assert_eq!(shown(&items), expected, "{text}");
    };
    check("", "");
    check("1 2.5 -3 +4", "1 2.5 -3 4");
    check("  1\t2  ", "1 2");
    check("1e3 1e-3 1_000 .5 010", "1000 0.001 1000 0.5 8");
    check("_ 1 _x3 2", "_ 1 _ _ _ 2");
    check("_x0 1", "1");
    check("7x2", "7 7 7");
    check("7x0", "7");
    check("1+2x3", "1 3 5 7");
    check("1-2x2", "1 -1 -3");
    check("-1-2x2", "-1 -3 -5");
    check("1e3+1e2x1", "1000 1100");
    check("stale 1 stale", "stale 1 stale");
    check("Inf -Inf +inf NaN", "inf -inf inf NaN");
    check("{{}}", "h(0,0,[])");
    check("{{ }} 1", "h(0,0,[]) 1");
    check("{{sum:3 count:22}}", "h(22,3,[])");
    check(
        "{{count:2 buckets:[1 0 1] offset:-1}}",
        "h(2,0,[(-1,1.0),(0,0.0),(1,1.0)])",
    );
    check("{{n_buckets:[2] n_offset:3}}", "h(0,0,[],-[(3,2.0)])");
    check("{{buckets:[1 2 ] sum:-Inf}}", "h(0,-inf,[(0,1.0),(1,2.0)])");
    check("{{count:1}}x2", "h(1,0,[]) h(1,0,[]) h(1,0,[])");
    check(
        "{{count:1 buckets:[1]}}+{{count:2 buckets:[2] offset:1}}x2",
        "h(1,0,[(0,1.0)]) h(3,0,[(0,1.0),(1,2.0)]) h(5,0,[(0,1.0),(1,4.0)])",
    );
    check("{{count:5}}-{{count:2}}x1", "h(5,0,[]) h(3,0,[])");
    check("{{count:1 counter_reset_hint:gauge}}", "h(1,0,[],Gauge)");
    check(
        "{{counter_reset_hint:unknown}} {{}}",
        "h(0,0,[],Unknown) h(0,0,[])",
    );
    // The last histogram says whether the hint counts.
    check("{{counter_reset_hint:reset}}+{{}}x1", "h(0,0,[]) h(0,0,[])");
    check(
        "{{}}+{{counter_reset_hint:gauge}}x1",
        "h(0,0,[],Unknown) h(0,0,[],Gauge)",
    );
}

#[test]
fn all_keys_of_histograms() {
    let text = "{{schema:1 sum:3 count:22 z_bucket:1 z_bucket_w:.001 buckets:[5 10 7] offset:-1 n_buckets:[4 5] \
                n_offset:2 counter_reset_hint:not_reset}}";
    let (_, items) = parse(&format!("m {text}")).unwrap();
    let Item::Histogram { histogram, .. } = &items[0] else {
        panic!("{items:?}");
    };
    let expected = Histogram {
        schema: 1,
        zero_threshold: 0.001,
        zero_count: 1.0,
        count: 22.0,
        sum: 3.0,
        positive: vec![(-1, 5.0), (0, 10.0), (1, 7.0)],
        negative: vec![(2, 4.0), (3, 5.0)],
        custom_bounds: Vec::new(),
        reset_hint: ResetHint::NotReset,
    };
    assert_eq!(**histogram, expected);
    let (_, items) = parse("m {{schema:-53 custom_values:[-5 10] buckets:[1]}}").unwrap();
    let Item::Histogram { histogram, .. } = &items[0] else {
        panic!("{items:?}");
    };
    assert_eq!(
        (histogram.schema, &histogram.custom_bounds[..]),
        (-53, &[-5.0, 10.0][..])
    );
}

#[test]
fn metrics_of_series() {
    let check = |text: &str, expected: &[(&str, &str)]| {
        let (labels, items) = parse(&format!("{text} 1")).unwrap();
        assert_eq!(labels, Labels::from_pairs(expected.iter().copied()), "{text}");
        assert_eq!(items, [Item::Value(1.0)], "{text}");
    };
    check("up", &[("__name__", "up")]);
    check("a:b_1", &[("__name__", "a:b_1")]);
    check("{}", &[]);
    check("up{}", &[("__name__", "up")]);
    check(r#"up{a="b"}"#, &[("__name__", "up"), ("a", "b")]);
    check(
        r#"up{ a = "b" , c='d',}"#,
        &[("__name__", "up"), ("a", "b"), ("c", "d")],
    );
    check(
        r#"{"my.metric", "x.y"="z"}"#,
        &[("__name__", "my.metric"), ("x.y", "z")],
    );
    check(r#"{__name__="up"}"#, &[("__name__", "up")]);
    check(
        r#"m{a="\"\\\n\t\x41\u00e4\101'"}"#,
        &[("__name__", "m"), ("a", "\"\\\n\tAäA'")],
    );
    check(r#"m{a=`\n"`}"#, &[("__name__", "m"), ("a", "\\n\"")]);
    check(r#"m{a="{b} #,"}"#, &[("__name__", "m"), ("a", "{b} #,")]);
}

#[test]
fn malformed_series_are_refused() {
    let check = |line: &str, says: &str| {
        let problem = parse(line).unwrap_err();
        assert!(problem.message().contains(says), "{line}: {problem}");
    };
    check("1", "no metric");
    check("m{", "quoted text is missing");
    check("m{a}", "no value");
    check(r#"m{a="b} 1"#, "without an end");
    check(r#"m{a="b" c="d"}"#, "no comma");
    check(r#"m{a="\q"}"#, "escape");
    check(r#"m{a="\xff"}"#, "UTF-8");
    check("m{}1", "blank is missing");
    check("m 1y", "blank is missing");
    check("m x3", "not a number");
    check("m 1x", "repetitions");
    check("m 1+2", "without a number of repetitions");
    check("m 0x1F", "blank is missing");
    check("m 1e", "not a number");
    check("m stalex2", "not a number");
    check("m 1x99999999999", "more than");
    check("m 1x999999 1x999999", "more than");
    check("m {{}}x99999999999", "more than");
    check("m {{}}+{{}}x99999999999", "more than");
    check("m {{}}+{{}}", "without a number of repetitions");
    check("m {{count:1", "without an end");
    check("m {{count}}", "no `key:`");
    check("m {{total:1}}", "no \"total\"");
    check("m {{count:1 count:2}}", "twice");
    check("m {{buckets:5}}", "no list");
    check("m {{buckets:[5}}", "not a number");
    check("m {{schema:1.5}}", "without an end");
    check("m {{offset:9999999999}}", "whole number");
    check("m {{z_bucket_w:NaN}}", "negative");
    check("m {{counter_reset_hint:maybe}}", "reset hint");
    check("m {{schema:1}}+{{schema:0}}x1", "cannot merge");
    check("m {{schema:-53}}-{{}}x1", "cannot merge");
}

#[test]
fn lines_of_start_timestamps() {
    let check = |items: &str, expected: &[Option<i64>]| {
        let line = format!("m{{a=\"b\"}}@st {items}");
        assert!(is_of_starts(&line));
        let (labels, offsets) = parse_starts(&line).unwrap();
        assert_eq!(labels.to_string(), "m{a=\"b\"}");
        assert_eq!(offsets, expected, "{items}");
    };
    check("_ -1m", &[None, Some(-60_000)]);
    check("_x2 0s", &[None, None, Some(0)]);
    check("-30sx1", &[Some(-30_000), Some(-30_000)]);
    check("-1s-1mx2", &[Some(-1000), Some(-61_000), Some(-121_000)]);
    check("-59999ms+1sx1 +5ms", &[Some(-59_999), Some(-58_999), Some(5)]);
    assert!(!is_of_starts("m{a=\"@st\"} 1"));
    let check = |line: &str, says: &str| {
        let problem = parse_starts(line).unwrap_err();
        assert!(problem.message().contains(says), "{line}: {problem}");
    };
    check("m@st 5", "duration");
    check("m@st _x0", "repetitions");
    check("m@st -1m-1m", "repetitions");
    check("m@st -1mx", "repetitions");
    check("m@st -1m,", "unexpected");
    check("m@st -1mx99999999999", "more than");
    check("m{}{}@st 1m", "after the metric");
}

fn native(text: &str) -> Histogram {
    match &parse_items(text).unwrap()[..] {
        [Item::Histogram { histogram, .. }] => histogram.as_ref().clone(),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn sequences_of_histograms() {
    let check = |sequence: &str, expected: &str| {
        let items = parse_items(&format!("{sequence}x1")).unwrap();
        let [_, Item::Histogram { histogram, .. }] = &items[..] else {
            panic!("{items:?}");
        };
        assert_eq!(print_histogram(histogram), expected, "{sequence}");
    };
    check("{{count:1 sum:2}}+{{count:3 sum:4}}", "{{count:4 sum:6}}");
    check("{{count:1 sum:2}}-{{count:3 sum:4}}", "{{count:-2 sum:-2}}");
    // Two buckets of the finer schema make one.
    check(
        "{{schema:0 buckets:[1 1]}}+{{schema:1 buckets:[1 2 4 8] offset:-1 n_buckets:[3] n_offset:1}}",
        "{{buckets:[4 13] n_offset:1 n_buckets:[3]}}",
    );
    // The wider zero bucket swallows what lies in it, and grows to the end of what it would cut.
    check(
        "{{z_bucket:1 z_bucket_w:1 buckets:[5 7] offset:1}}+{{z_bucket:2 z_bucket_w:3 buckets:[1] offset:3}}",
        "{{z_bucket:15 z_bucket_w:4 offset:3 buckets:[1]}}",
    );
    check("{{z_bucket_w:1}}+{{}}", "{{z_bucket_w:1}}");
    check(
        "{{schema:-53 custom_values:[1 5] buckets:[1 1 1]}}+{{schema:-53 custom_values:[5] buckets:[1]}}",
        "{{schema:-53 custom_values:[5] buckets:[3 1]}}",
    );
    let hints = |a: &str, b: &str, expected: &str| {
        let with = |hint: &str| format!("{{{{counter_reset_hint:{hint}}}}}");
        for sign in ["+", "-"] {
            check(&format!("{}{sign}{}", with(a), with(b)), expected);
        }
    };
    hints("gauge", "unknown", "{{counter_reset_hint:gauge}}");
    hints("reset", "gauge", "{{counter_reset_hint:gauge}}");
    hints("reset", "reset", "{{counter_reset_hint:reset}}");
    hints("reset", "not_reset", "{{}}");
    hints("not_reset", "unknown", "{{}}");
}

#[test]
fn printed_histograms_are_read_back() {
    let check = |text: &str, expected: &str| {
        let printed = print_histogram(&native(text));
        assert_eq!(printed, expected, "{text}");
        assert_eq!(print_histogram(&native(&printed)), printed, "{text}");
    };
    check("{{}}", "{{}}");
    check(
        "{{n_offset:-5 n_buckets:[4.1 5] buckets:[5.1 10 7] offset:-3 z_bucket_w:0.05 z_bucket:7.1 count:32.1 sum:-0.3 schema:1}}",
        "{{schema:1 count:32.1 sum:-0.3 z_bucket:7.1 z_bucket_w:0.05 offset:-3 buckets:[5.1 10 7] n_offset:-5 n_buckets:[4.1 5]}}",
    );
    check("{{buckets:[0 0 1 0 2 0]}}", "{{offset:2 buckets:[1 0 2]}}");
    check("{{buckets:[0] n_buckets:[0 0]}}", "{{}}");
    check(
        "{{schema:-53 custom_values:[0.5 1e30] buckets:[1 2] counter_reset_hint:not_reset}}",
        "{{schema:-53 custom_values:[0.5 1e+30] counter_reset_hint:not_reset buckets:[1 2]}}",
    );
    let far = Histogram {
        positive: vec![(i32::MIN, 1.0), (i32::MAX, 1.0)],
        ..Histogram::default()
    };
    assert_eq!(
        print_histogram(&far),
        "{{offset:-2147483648 buckets:[1 (4294967294 times 0) 1]}}"
    );
}

#[test]
fn points_stand_at_their_times() {
    let (labels, items) = parse("m 1 _\n 3 {{count:1}}").unwrap();
    let series = series(labels, items, &[None, None, Some(-5)], 1000, 10);
    let times: Vec<_> = series.samples.iter().map(|s| (s.timestamp_ms, s.value)).collect();
    assert_eq!(times, [(1000, 1.0), (1020, 3.0)]);
    assert_eq!(series.start_timestamps_ms, [0, 1015]);
    assert_eq!(series.histograms[0].timestamp_ms, 1030);
    assert_eq!(parse_metric(" ").unwrap(), Labels::empty());
    assert_eq!(parse_metric("m{a='b'} ").unwrap().to_string(), "m{a=\"b\"}");
    assert!(parse_metric("m 1").is_err());
}

#[test]
fn numbers_as_go_reads_them() {
    let check = |text: &str, expected: Option<f64>| assert_eq!(number(text), expected, "{text}");
    check("5", Some(5.0));
    check("-5", Some(-5.0));
    check("0x1f", Some(31.0));
    check("010", Some(8.0));
    check("0b11", Some(3.0));
    check("09.5", Some(9.5));
    check("1_000", Some(1000.0));
    check("1e3", Some(1000.0));
    check("-inf", Some(f64::NEG_INFINITY));
    check("--5", None);
    check("0x-5", None);
    check("", None);
    check("x", None);
}
