//! Tests of the `.test` reader, of pins, and of what counts as the same.

use super::at_modifier;
use super::compare::almost_equal;
use super::histogram;
use super::script::{self, Command, Expected, When};
use model::Series;
use model::metric::{Histogram, STALE_NAN_BITS, stale_nan};
use query::promql::RangeParams;
use query::promql::series_notation::{self, Item};
use query::promql::syntax::{self, At, Expr, Node};

fn loaded(text: &str) -> Vec<Series> {
    let mut commands = script::parse(text).unwrap();
    assert_eq!(commands.len(), 1);
    match commands.remove(0).command {
        Command::Load(series) => series,
        other => panic!("{other:?}"),
    }
}

#[test]
fn loads_place_samples_in_time() {
    let series = loaded("load 30s\n  a 1 _ 2 {{count:1}}\n  b@st _ -10s\n  b 5 6\n  a{x=\"y\"} stale\n");
    let times = |s: &Series| s.samples.iter().map(|s| s.timestamp_ms).collect::<Vec<_>>();
    assert_eq!(times(&series[0]), [0, 60_000]);
    assert_eq!(series[0].histograms[0].timestamp_ms, 90_000);
    assert_eq!(series[0].start_timestamps_ms, [0, 0]);
    assert_eq!(series[1].start_timestamps_ms, [0, 20_000]);
    assert_eq!(series[2].samples[0].value.to_bits(), STALE_NAN_BITS);
    // The last line of a series holds.
    let series = loaded("load 1m\n a 1\n b 2\n a 3 4");
    assert_eq!(series.len(), 2);
    assert_eq!(series[1].samples[1].value, 4.0);
}

#[test]
fn classic_histograms_are_merged() {
    let text = "load_with_nhcb 1m
  h_bucket{le=\"0.5\",a=\"b\"} 1 2
  h_bucket{le=\"+Inf\",a=\"b\"} 4 4
  h_bucket{le=\"-1\",a=\"b\"} 0 1
  h_count{a=\"b\"} 4 4
  h_sum{a=\"b\"} 2.5 3
  other 1";
    let series = loaded(text);
    assert_eq!(series.len(), 7);
    let native = &series[6];
    assert_eq!(native.labels.to_string(), "h{a=\"b\"}");
    let h = &native.histograms[1].histogram;
    assert_eq!(
        (native.histograms.len(), h.schema, h.count, h.sum),
        (2, -53, 4.0, 3.0)
    );
    assert_eq!(h.custom_bounds, [-1.0, 0.5]);
    assert_eq!(h.positive, [(0, 1.0), (1, 1.0), (2, 2.0)]);
    // Without a count the last bucket has it; without the bucket of infinity the count is it.
    let h = |text: &str| {
        let series = loaded(text);
        series.last().unwrap().histograms[0].histogram.clone()
    };
    let no_count = h("load_with_nhcb 1m\n h_bucket{le=\"1\"} 3");
    assert_eq!((no_count.count, no_count.positive), (3.0, vec![(0, 3.0)]));
    let no_infinity = h("load_with_nhcb 1m\n h_bucket{le=\"1\"} 3\n h_count 5");
    assert_eq!(
        (no_infinity.count, no_infinity.positive),
        (5.0, vec![(0, 3.0), (1, 2.0)])
    );
    let check = |text: &str, says: &str| {
        let problem = script::parse(text).unwrap_err().to_string();
        assert!(problem.contains(says), "{problem}");
    };
    check("load_with_nhcb 1m\n h_bucket 1", "without the label le");
    check(
        "load_with_nhcb 1m\n h_bucket{le=\"1\"} 3\n h_bucket{le=\"2\"} 2",
        "not cumulative",
    );
    check(
        "load_with_nhcb 1m\n h_bucket{le=\"+Inf\"} 3\n h_count 2",
        "not the one of its last bucket",
    );
}

fn eval(text: &str) -> script::Eval {
    let mut commands = script::parse(text).unwrap();
    assert_eq!(commands.len(), 1, "{commands:?}");
    match commands.remove(0).command {
        Command::Eval(eval) => *eval,
        other => panic!("{other:?}"),
    }
}

#[test]
fn evals_and_expectations() {
    let e = eval("eval instant at 1m30s sum(x) + 1\n\t{a=\"b\"} 3\n\t{} 4\n");
    assert_eq!((e.expr.as_str(), e.when), ("sum(x) + 1", When::Instant(90_000)));
    let Expected::Series(series) = &e.expected else {
        panic!("{e:?}");
    };
    assert_eq!((series.len(), series[1].1[0].clone()), (2, Item::Value(4.0)));
    let e = eval("eval range from 0 to 4m step 1m x offset -1m\n  x 1+1x4");
    let params = RangeParams {
        start_ms: 0,
        end_ms: 240_000,
        step_ms: 60_000,
    };
    assert_eq!((e.expr.as_str(), e.when), ("x offset -1m", When::Range(params)));
    let number = |text: &str| eval(&format!("eval instant at 0 x\n {text}")).expected;
    assert_eq!(number("-3.5"), Expected::Scalar(-3.5));
    assert_eq!(number("0x1F"), Expected::Scalar(31.0));
    assert_eq!(number("+Inf"), Expected::Scalar(f64::INFINITY));
    assert_eq!(
        number("expect string \"a\\\"b\""),
        Expected::Text("a\"b".to_owned())
    );
    assert_eq!(number("expect string ``"), Expected::Text(String::new()));
    let e = eval("eval instant at 0 x\n expect range vector from 0 to 1m step 30s\n x 1 2 3");
    assert_eq!(e.range_vector.unwrap().step_ms, 30_000);
    assert!(eval("eval_ordered instant at 0 x").is_ordered);
    assert!(eval("eval instant at 0 x\n expect ordered\n {} 1").is_ordered);
    assert!(eval("eval_warn instant at 0 x").warnings.at_least_one);
    assert!(eval("eval_info range from 0 to 1m step 1m x").infos.at_least_one);
    assert!(
        eval("eval instant at 0 x\n expect no_warn\n expect no_info")
            .infos
            .none
    );
    // A metric may be called expect.
    let Expected::Series(series) = eval("eval instant at 0 x\n expect{} 1").expected else {
        panic!("no series");
    };
    assert_eq!(series[0].0.metric_name(), Some("expect"));
    // A comment ends a block, and commands need no empty line between them.
    let commands = script::parse("clear\nload 1m\n a 1\n# b 2\nclear\n\n# c\n").unwrap();
    let lines: Vec<_> = commands.iter().map(|c| c.line).collect();
    assert_eq!(lines, [1, 2, 5]);
}

#[test]
fn expected_texts() {
    let check = |text: &str, message: &str, is_met: bool| {
        let e = eval(&format!("eval instant at 0 x\n expect fail{text}"));
        assert_eq!(e.fail.unwrap().is_met_by(message), is_met, "{text} {message}");
    };
    check("", "whatever", true);
    check(" msg: too long", "too long", true);
    check(" msg:too long", "too long", true);
    check(" msg: too long", "far too long", false);
    check(" regex: too +l", "far too   long", true);
    check(" regex: ^too", "far too long", false);
    let old = |line: &str| eval(&format!("eval_fail instant at 0 x\n {line}")).fail.unwrap();
    assert!(old("expected_fail_message a b").is_met_by("a b"));
    assert!(!old("expected_fail_message a b").is_met_by("a b c"));
    assert!(old("expected_fail_regexp a.b").is_met_by("a b c"));
}

#[test]
fn malformed_files_are_refused_with_the_line() {
    let check = |text: &str, line: usize, says: &str| {
        let problem = script::parse(text).unwrap_err();
        assert_eq!(problem.line, line, "{text}: {problem}");
        assert!(problem.to_string().contains(says), "{text}: {problem}");
    };
    check("\nlod 1m", 2, "unknown command");
    check("load", 1, "without a step");
    check("load 1x", 1, "duration");
    check("load 99999999y", 1, "too long");
    check("load_all 1m", 1, "unknown command");
    check("load 1m\n a 1\n b 1 q", 3, "not a number");
    check("load 1m\n a@st _\n b 1", 3, "start timestamps before are of a");
    check("load 1m\n a@st _ _\n a 1", 3, "2 start timestamps for 1 samples");
    check("load 1m\n a@st _\n a@st _", 3, "without a line of samples");
    check("load 1m\n a@st _\n", 2, "without a line of samples");
    check("eval instant x", 1, "neither");
    check("eval instant at 5q x", 1, "duration");
    check("eval range from 1m to 0 step 1m x", 1, "before");
    check("eval range from 0 to 1m step 0 x", 1, "no step");
    check("eval_ordered range from 0 to 1m step 1m x", 1, "neither");
    check("eval instant at 0 x\n x 1 2", 2, "several values");
    check("eval instant at 0 x\n x", 2, "without a value");
    check("eval instant at 0 x\n expect nothing", 2, "unknown expectation");
    check(
        "eval instant at 0 x\n expect warn about it",
        2,
        "unknown expectation",
    );
    check("eval instant at 0 x\n expect warn regex: (", 2, "unclosed");
    check("eval instant at 0 x\n expect string a", 2, "quoted");
    check(
        "eval instant at 0 x\n expect range vector from 0",
        2,
        "unknown expectation",
    );
    check(
        "eval instant at 0 x\n expect warn\n expect no_warn",
        3,
        "contradicts",
    );
    check(
        "eval instant at 0 x\n expect fail msg: a\n expect fail",
        3,
        "only once",
    );
    // Nothing may follow a scalar.
    check("eval instant at 0 x\n 1\n x 1", 3, "unknown command");
}

#[test]
fn pins_go_to_selectors_and_subqueries() {
    let check = |expr: &str, expected: Option<&str>| {
        let found = at_modifier::pinned(expr, 90_500).unwrap();
        let expected = expected.map(|e| e.replace('!', " @ 90.500"));
        assert_eq!(found, expected, "{expr}");
    };
    let pins = |expected: &str| check(&expected.replace('!', ""), Some(expected));
    pins("x!");
    pins("x{a=\"b\"}!");
    pins("{\"x y\", a=~\"]}[\"}!");
    pins("a:b:c!");
    pins("rate(x[5m]!)");
    pins("rate(x{a=\"b\"}[5m]! offset 1m)");
    pins("x! offset -5m");
    pins("x! offset (1m + step())");
    pins("x! offset min_of(1m, step())");
    pins("x! + y!");
    pins("-x!");
    pins("x!+-y!");
    pins("1 + x! * 2e-3");
    pins("(x!)");
    pins("sum(x!) by (a, b)");
    pins("sum by (a) (x!)");
    pins("sum by(a)(x!) / on (a) group_left (b) y!");
    pins("x! == bool y!");
    pins("x! * ignoring() group_right y!");
    pins("x! AND y! or z! unless on(a) w!");
    pins("topk(5, x!)");
    pins("quantile_over_time(0.5, x[1h:5m]!)");
    pins("sum(rate(x[1m]))[5m:]!");
    pins("(x + y)[5m:1m]!");
    pins("x[5m:1m][10m:1m]!");
    pins("x @ 5 [5m:1m]!");
    pins("sum by (a) (x)[5m:1m]! + y!");
    pins("a! + sum(x) by (a)[5m:1m]!");
    pins("max_over_time(timestamp(x)[5m:1m]!)");
    pins("label_replace(x!, \"a\", \"$1 x(\\\"\", 'b', `(.*)\\`)");
    pins("x! # a comment with y\n + z!");
    pins("info(x!, {data=~\".+\"}!)");
    pins("rate(x[5m]! anchored)");
    pins("x! smoothed + y!");
    pins("rate(x[5m + 3m]!)");
    pins("x! + fill(0) y!");
    pins("x! + fill_left(0) fill_right(1) y!");
    pins("x! + fill(0) fill!");
    pins("sum! + count!");
    check("x @ 5", Some("x @ 5"));
    check("x @ start()", Some("x!"));
    check("x @ START( ) + y", Some("x! + y!"));
    check("x offset 5m @ end() + y", Some("x offset 5m! + y!"));
    check("x[5m:1m] @ end()", Some("x[5m:1m]!"));
    check("(x @ start())[5m:1m]", Some("(x @ start())[5m:1m]!"));
    check("x[5m:1m] @ 7", Some("x[5m:1m] @ 7"));
    check("1 + 2", Some("1 + 2"));
    check("Inf + nan", Some("Inf + nan"));
    check("\"a\"", Some("\"a\""));
    check("vector(1)", Some("vector(1)"));
    // The answer depends on the time of evaluation.
    check("time()", None);
    check("x + vector(time())", None);
    check("timestamp(x)", None);
    check("predict_linear(x[5m], 60)", None);
    check("timestamp(x)[5m:1m] + hour()", None);
}

#[test]
fn pins_name_the_time() {
    let check = |at_ms: i64, expected: &str| {
        assert_eq!(at_modifier::pinned("x", at_ms).unwrap().unwrap(), expected);
    };
    check(0, "x @ 0.000");
    check(1, "x @ 0.001");
    check(-500, "x @ -0.500");
    check(-61_007, "x @ -61.007");
    assert_eq!(at_modifier::other_times(0), [-1000, 0, 1000]);
    assert_eq!(at_modifier::other_times(50), [-500, 0, 10, 50, 500]);
}

#[test]
fn each_eval_is_asked_again_at_other_times() {
    let asked = super::pinned("x + 1", 50_000).unwrap();
    let times: Vec<_> = asked.iter().map(|(_, at_ms)| *at_ms).collect();
    assert_eq!(times, [-500_000, 0, 10_000, 50_000, 500_000]);
    assert!(asked.iter().all(|(expr, _)| expr == "x @ 50.000 + 1"));
    assert!(super::pinned("time()", 50_000).unwrap().is_empty());
}

/// The times of selectors and subqueries, in order, without those in subqueries that have one; and whether a function is
/// called that depends on the time.
fn times_of(expr: &Expr, is_inside: bool, times: &mut Vec<Option<At>>, calls: &mut Vec<&str>) {
    let mut inner = |e: &Expr, is_inside: bool| times_of(e, is_inside, times, calls);
    match expr.node() {
        Node::Number(_) | Node::String(_) => {}
        Node::Paren(e) | Node::Unary(_, e) => inner(e, is_inside),
        Node::Binary(b) => [&b.left, &b.right].into_iter().for_each(|e| inner(e, is_inside)),
        Node::Aggregate(a) => a.param.iter().chain([&a.expr]).for_each(|e| inner(e, is_inside)),
        Node::Call(c) => {
            c.args.iter().for_each(|e| inner(e, is_inside));
            if !is_inside {
                calls.push(c.function.name);
            }
        }
        Node::Subquery(s) => {
            inner(&s.expr, true);
            times.extend((!is_inside).then_some(s.at));
        }
        Node::Vector(s) => times.extend((!is_inside).then_some(s.at)),
        Node::Matrix(m) => times.extend((!is_inside).then_some(m.selector.at)),
    }
}

/// The parser as the second opinion on the pins.
#[test]
fn the_parser_finds_every_pin() {
    const AT_MS: i64 = 123_456;
    let Some(shared) = crate::shared() else { return };
    let mut checked = 0;
    for file in std::fs::read_dir(shared.join("conformance/promql")).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        for placed in script::parse(&text).unwrap() {
            let Command::Eval(eval) = placed.command else {
                continue;
            };
            let Ok(original) = syntax::parse(&eval.expr) else {
                continue;
            };
            let (mut times, mut calls) = (Vec::new(), Vec::new());
            times_of(&original, false, &mut times, &mut calls);
            let Some(pinned) = at_modifier::pinned(&eval.expr, AT_MS).unwrap() else {
                assert!(
                    calls.iter().any(|c| at_modifier::DEPEND_ON_TIME.contains(c)),
                    "{}",
                    eval.expr
                );
                continue;
            };
            assert!(
                !calls.iter().any(|c| at_modifier::DEPEND_ON_TIME.contains(c)),
                "{}",
                eval.expr
            );
            let parsed = syntax::parse(&pinned).unwrap_or_else(|e| panic!("{pinned}: {e}"));
            let expected: Vec<_> = times
                .into_iter()
                .map(|at| {
                    Some(
                        at.filter(|at| matches!(at, At::Time(_)))
                            .unwrap_or(At::Time(AT_MS)),
                    )
                })
                .collect();
            let mut found = Vec::new();
            times_of(&parsed, false, &mut found, &mut Vec::new());
            assert_eq!(found, expected, "{pinned}");
            // Nothing else changed.
            if !eval.expr.contains('@') {
                let without = parsed.to_string().replace(" @ 123.456", "");
                assert_eq!(without, original.to_string());
            }
            checked += 1;
        }
    }
    assert!(checked > 500, "{checked}");
}

#[test]
fn what_is_no_expression_cannot_be_pinned() {
    for text in [
        "(x",
        "x)",
        "\"x",
        "x[5m",
        "x{",
        "sum by (a x",
        &"(".repeat(100_000),
    ] {
        assert!(at_modifier::pinned(text, 0).is_err(), "{text:.20}");
    }
}

#[test]
fn nearly_the_same_numbers() {
    let check = |a: f64, b: f64, expected: bool| {
        assert_eq!(almost_equal(a, b), expected, "{a} {b}");
        assert_eq!(almost_equal(b, a), expected, "{b} {a}");
    };
    check(1.0, 1.0, true);
    check(1.0, 1.000_001, true);
    check(1.0, 1.000_003, false);
    check(0.0, -0.0, true);
    check(0.0, 1e-300, false);
    check(1e-320, 2e-320, true);
    check(1e-310, 2e-310, false);
    check(1.0, -1.0, false);
    check(f64::NAN, -f64::NAN, true);
    check(f64::NAN, 1.0, false);
    check(f64::NAN, stale_nan(), false);
    check(stale_nan(), stale_nan(), true);
    check(f64::INFINITY, f64::INFINITY, true);
    check(f64::INFINITY, f64::NEG_INFINITY, false);
    check(f64::MAX, f64::MAX / 2.0, false);
}

fn native(text: &str) -> Histogram {
    match &series_notation::parse_items(text).unwrap()[..] {
        [Item::Histogram { histogram, .. }] => histogram.as_ref().clone(),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn the_same_histograms() {
    let check = |a: &str, b: &str, with_hint: bool, expected: bool| {
        let (a, b) = (native(a), native(b));
        assert_eq!(histogram::is_same(&a, &b, with_hint), expected, "{a:?} {b:?}");
    };
    check(
        "{{count:1 buckets:[0 1 0]}}",
        "{{count:1 buckets:[1] offset:1}}",
        false,
        true,
    );
    check(
        "{{count:1 buckets:[1]}}",
        "{{count:1 buckets:[1] offset:1}}",
        false,
        false,
    );
    check("{{buckets:[1]}}", "{{buckets:[1 1]}}", false, false);
    check("{{n_buckets:[1]}}", "{{buckets:[1]}}", false, false);
    check("{{sum:1}}", "{{sum:1.0000001}}", false, true);
    check("{{sum:1}}", "{{sum:2}}", false, false);
    check("{{count:1}}", "{{count:2}}", false, false);
    check("{{schema:1}}", "{{schema:2}}", false, false);
    check("{{z_bucket:1}}", "{{z_bucket:2}}", false, false);
    check("{{z_bucket_w:1}}", "{{z_bucket_w:1.0000001}}", false, false);
    check(
        "{{schema:-53 custom_values:[1]}}",
        "{{schema:-53 custom_values:[2]}}",
        false,
        false,
    );
    check("{{counter_reset_hint:gauge}}", "{{}}", false, true);
    check("{{counter_reset_hint:gauge}}", "{{}}", true, false);
    check("{{counter_reset_hint:unknown}}", "{{}}", true, true);
}
