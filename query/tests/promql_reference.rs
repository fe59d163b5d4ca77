//! The PromQL engine against a naive evaluator that looks at every sample for every step.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use model::metric::{is_stale, stale_nan};
use model::plain::PlainStore;
use model::{
    Batch, Budget, BudgetLimits, Clock, ErrorKind, Labels, ManualClock, Metrics, Sample, Series, Tenant,
};
use proptest::prelude::*;
use query::promql::{Engine, Options, QueryValue, RangeParams};
use std::collections::BTreeMap;
use std::sync::Arc;

type Points = Vec<(i64, f64)>;
type Answer = BTreeMap<Labels, BTreeMap<i64, f64>>;

fn labels(i: usize) -> Labels {
    Labels::from_pairs([
        ("__name__", "m_total".to_owned()),
        ("i", i.to_string()),
        ("g", (i % 2).to_string()),
    ])
}

fn store(series: &[Points]) -> Arc<PlainStore> {
    let store = Arc::new(PlainStore::default());
    let of = |(i, points): (usize, &Points)| Series {
        labels: labels(i),
        samples: points
            .iter()
            .map(|(timestamp_ms, value)| Sample {
                timestamp_ms: *timestamp_ms,
                value: *value,
            })
            .collect(),
        ..Series::default()
    };
    let payload = Metrics {
        series: series.iter().enumerate().map(of).collect(),
        metadata: Vec::new(),
    };
    store.write_metrics(Batch::new(Tenant::default(), payload));
    store
}

fn ask(store: &Arc<PlainStore>, expr: &str, params: RangeParams) -> Answer {
    let engine = Engine::new(store.clone());
    let answer = engine
        .range(&Tenant::default(), expr, params, &Budget::unlimited())
        .unwrap();
    let QueryValue::Matrix(matrix) = answer.value else {
        panic!("no matrix")
    };
    assert!(matrix.is_sorted_by(|a, b| a.labels < b.labels));
    matrix
        .into_iter()
        .map(|s| (s.labels, s.timestamps_ms.into_iter().zip(s.values).collect()))
        .collect()
}

fn same(a: f64, b: f64) -> bool {
    (a.is_nan() && b.is_nan()) || a == b || (a - b).abs() <= 1e-9 * (1.0 + a.abs().max(b.abs()))
}

fn assert_same(expr: &str, got: &Answer, expected: &Answer) -> Result<(), TestCaseError> {
    let equal = got.len() == expected.len()
        && got.iter().zip(expected).all(|((gl, gp), (el, ep))| {
            gl == el
                && gp.len() == ep.len()
                && gp
                    .iter()
                    .zip(ep)
                    .all(|((gt, gv), (et, ev))| gt == et && same(*gv, *ev))
        });
    prop_assert!(equal, "{}\n got      {:?}\n expected {:?}", expr, got, expected);
    Ok(())
}

/// Evaluates step by step; series without any value are left out.
fn naive(
    params: RangeParams,
    keys: impl IntoIterator<Item = Labels>,
    value: impl Fn(&Labels, i64) -> Option<f64>,
) -> Answer {
    let mut answer = Answer::new();
    for key in keys {
        let mut time = params.start_ms;
        while time <= params.end_ms {
            if let Some(v) = value(&key, time) {
                answer.entry(key.clone()).or_default().insert(time, v);
            }
            time += params.step_ms;
        }
    }
    answer
}

/// Written straight from the definition, one window at a time.
fn over_window(function: &str, w: &[(i64, f64)], start: i64, end: i64) -> Option<f64> {
    let values: Vec<f64> = w.iter().map(|p| p.1).collect();
    let (first, last) = (w.first()?, w.last()?);
    let n = values.len() as f64;
    let extrapolated = |counter: bool| {
        if w.len() < 2 {
            return None;
        }
        let mut change = last.1 - first.1;
        for pair in w.windows(2) {
            if counter && pair[1].1 < pair[0].1 {
                change += pair[0].1;
            }
        }
        let seconds = |ms: i64| ms as f64 / 1000.0;
        let sampled = seconds(last.0 - first.0);
        let average = sampled / (n - 1.0);
        let limit = |gap: f64| if gap >= average * 1.1 { average / 2.0 } else { gap };
        let mut before = limit(seconds(first.0 - start));
        if counter && change > 0.0 && first.1 >= 0.0 {
            before = before.min(sampled * first.1 / change);
        }
        Some(change * (sampled + before + limit(seconds(end - last.0))) / sampled)
    };
    let finite = || values.iter().copied().filter(|v| !v.is_nan());
    Some(match function {
        "rate" => extrapolated(true)? / ((end - start) as f64 / 1000.0),
        "increase" => extrapolated(true)?,
        "delta" => extrapolated(false)?,
        "sum_over_time" => values.iter().sum(),
        "avg_over_time" => values.iter().sum::<f64>() / n,
        "count_over_time" => n,
        "last_over_time" => last.1,
        "min_over_time" => finite().reduce(f64::min).unwrap_or(f64::NAN),
        "max_over_time" => finite().reduce(f64::max).unwrap_or(f64::NAN),
        "changes" => w
            .windows(2)
            .filter(|p| p[0].1 != p[1].1 && !(p[0].1.is_nan() && p[1].1.is_nan()))
            .count() as f64,
        "resets" => w.windows(2).filter(|p| p[1].1 < p[0].1).count() as f64,
        "stdvar_over_time" => {
            let mean = values.iter().sum::<f64>() / n;
            values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n
        }
        "present_over_time" => 1.0,
        _ => unreachable!(),
    })
}

const RANGE_FUNCTIONS: [&str; 13] = [
    "rate",
    "increase",
    "delta",
    "sum_over_time",
    "avg_over_time",
    "count_over_time",
    "last_over_time",
    "min_over_time",
    "max_over_time",
    "changes",
    "resets",
    "stdvar_over_time",
    "present_over_time",
];

fn aggregate(function: &str, values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let finite = || values.iter().copied().filter(|v| !v.is_nan());
    match function {
        "sum" => values.iter().sum(),
        "avg" => values.iter().sum::<f64>() / n,
        "count" => n,
        "min" => finite().reduce(f64::min).unwrap_or(f64::NAN),
        "max" => finite().reduce(f64::max).unwrap_or(f64::NAN),
        "stdvar" => {
            let mean = values.iter().sum::<f64>() / n;
            values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n
        }
        _ => unreachable!(),
    }
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        12 => (0..50i32).prop_map(f64::from),
        2 => (-50..50i32).prop_map(|v| f64::from(v) / 4.0),
        1 => Just(f64::NAN),
        1 => Just(stale_nan()),
    ]
}

/// Irregular times, so that edges of windows are hit and missed.
fn points() -> impl Strategy<Value = Points> {
    prop::collection::vec((1..40i64, value()), 0..40).prop_map(|steps| {
        let mut time = 0;
        let step = |(gap, value): (i64, f64)| {
            time += gap * 5_000;
            (time, value)
        };
        steps.into_iter().map(step).collect()
    })
}

fn params() -> impl Strategy<Value = RangeParams> {
    (-10..60i64, 1..30i64, 1..20i64).prop_map(|(start, step, count)| RangeParams {
        start_ms: start * 5_000,
        end_ms: start * 5_000 + step * 5_000 * count,
        step_ms: step * 5_000,
    })
}

fn window(points: &Points, start: i64, end: i64) -> Vec<(i64, f64)> {
    points
        .iter()
        .copied()
        .filter(|(t, v)| start < *t && *t <= end && !is_stale(*v))
        .collect()
}

fn instant(points: &Points, time: i64) -> Option<f64> {
    let found = points.iter().rfind(|(t, _)| time - 300_000 < *t && *t <= time)?;
    (!is_stale(found.1)).then_some(found.1)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn functions_over_ranges(
        series in prop::collection::vec(points(), 1..4),
        params in params(),
        function in prop::sample::select(&RANGE_FUNCTIONS[..]),
        range in 1..60i64,
        offset in -10..10i64,
    ) {
        let (range_ms, offset_ms) = (range * 5_000, offset * 5_000);
        // An offset of nothing does not parse.
        let shift = if offset == 0 { String::new() } else { format!(" offset {}s", offset * 5) };
        let expr = format!("{function}(m_total[{}s]{shift})", range * 5);
        let drop_name = function != "last_over_time";
        let key = |i| if drop_name { labels(i).without_metric_name() } else { labels(i) };
        let expected = naive(params, (0..series.len()).map(key), |labels, time| {
            let i: usize = labels.get("i").unwrap().parse().unwrap();
            let end = time - offset_ms;
            over_window(function, &window(&series[i], end - range_ms, end), end - range_ms, end)
        });
        assert_same(&expr, &ask(&store(&series), &expr, params), &expected)?;
    }

    #[test]
    fn aggregations(
        series in prop::collection::vec(points(), 1..6),
        params in params(),
        function in prop::sample::select(vec!["sum", "avg", "count", "min", "max", "stdvar"]),
        by_group in any::<bool>(),
    ) {
        let expr = if by_group { format!("{function} by (g) (m_total)") } else { format!("{function} without (i, g) (m_total)") };
        let groups: Vec<Labels> = if by_group {
            ["0", "1"].map(|g| Labels::from_pairs([("g", g)])).into()
        } else {
            vec![Labels::empty()]
        };
        let expected = naive(params, groups, |group, time| {
            let member = |i: &usize| group.get("g").is_none_or(|g| labels(*i).get("g") == Some(g));
            let values: Vec<f64> =
                (0..series.len()).filter(member).filter_map(|i| instant(&series[i], time)).collect();
            (!values.is_empty()).then(|| aggregate(function, &values))
        });
        assert_same(&expr, &ask(&store(&series), &expr, params), &expected)?;
    }

    #[test]
    fn subqueries_are_ranges_over_instants(
        series in prop::collection::vec(points(), 1..3),
        params in params(),
        range in 1..60i64,
        step in 1..20i64,
    ) {
        let (range_ms, step_ms) = (range * 5_000, step * 5_000);
        let expr = format!("sum_over_time(m_total[{}s:{}s])", range * 5, step * 5);
        let keys = (0..series.len()).map(|i| labels(i).without_metric_name());
        let expected = naive(params, keys, |labels, time| {
            let i: usize = labels.get("i").unwrap().parse().unwrap();
            let inner = (-1000..2000).map(|k| k * step_ms).filter(|t| time - range_ms < *t && *t <= time);
            let values: Vec<f64> = inner.filter_map(|t| instant(&series[i], t)).collect();
            (!values.is_empty()).then(|| values.iter().sum())
        });
        assert_same(&expr, &ask(&store(&series), &expr, params), &expected)?;
    }

    #[test]
    fn an_instant_query_is_one_step_of_a_range_query(
        series in prop::collection::vec(points(), 1..5),
        at in 0..60i64,
        expr in prop::sample::select(vec![
            "m_total", "rate(m_total[1m])", "sum by (g) (m_total) / 2", "topk(2, m_total)", "-m_total or m_total",
            "m_total > on (g, i) m_total offset 1m", "absent(m_total)", "sort(m_total)", "m_total @ 60",
            "quantile(0.3, m_total)", "count_values(\"v\", m_total)", "scalar(m_total{i=\"0\"})", "time()",
        ]),
    ) {
        let (store, at_ms) = (store(&series), at * 5_000);
        let engine = Engine::new(store.clone());
        let answer = engine.instant(&Tenant::default(), expr, at_ms, &Budget::unlimited()).unwrap();
        let got: Answer = match answer.value {
            QueryValue::Vector(v) => v.into_iter().map(|s| (s.labels, [(at_ms, s.value)].into())).collect(),
            QueryValue::Scalar(s) => [(Labels::empty(), [(at_ms, s.value)].into())].into(),
            other => panic!("{other:?}"),
        };
        let params = RangeParams { start_ms: at_ms - 35_000, end_ms: at_ms + 35_000, step_ms: 35_000 };
        let mut expected = ask(&store, expr, params);
        expected.values_mut().for_each(|points| points.retain(|t, _| *t == at_ms));
        expected.retain(|_, points| !points.is_empty());
        assert_same(expr, &got, &expected)?;
    }

    #[test]
    fn any_text_is_parsed_or_refused(text in "[a-z0-9(){}\\[\\]\"'=~!+*/^%@:,. -]{0,60}") {
        let _ = query::promql::parse(&text);
        let _ = query::logql::parse(&text);
    }
}

#[test]
fn deep_and_long_expressions_are_refused_before_they_overflow() {
    let check = || {
        for (text, fits) in [
            (format!("{}1{}", "(".repeat(150), ")".repeat(150)), true),
            (format!("{}1{}", "(".repeat(5000), ")".repeat(5000)), false),
            (format!("1{}", "+1".repeat(190)), true),
            (format!("1{}", "+1".repeat(1900)), false),
            (format!("a{}", " or a".repeat(1900)), false),
            (format!("{}a", "-".repeat(1900)), false),
            (format!("{}a{}", "sum(".repeat(900), ")".repeat(900)), false),
            ("x".repeat(100_000), false),
        ] {
            let shown: String = text.chars().take(20).collect();
            assert_eq!(query::promql::parse(&text).is_ok(), fits, "{shown}");
        }
        for (text, fits) in [
            (format!("{}1{}", "(".repeat(5000), ")".repeat(5000)), false),
            (format!("1{}", "+1".repeat(190)), true),
            (format!("1{}", "+1".repeat(5000)), false),
            (
                format!("{{a=\"b\"}} | {}x=1{}", "(".repeat(5000), ")".repeat(5000)),
                false,
            ),
        ] {
            let shown: String = text.chars().take(20).collect();
            assert_eq!(query::logql::parse(&text).is_ok(), fits, "{shown}");
        }
    };
    // The stack of a worker thread.
    std::thread::Builder::new()
        .stack_size(2 << 20)
        .spawn(check)
        .unwrap()
        .join()
        .unwrap();
}

#[test]
fn budgets_and_limits_end_queries_by_name() {
    let series: Vec<Points> = (0..20)
        .map(|i| (0..100).map(|t| (t * 1000, f64::from(i))).collect())
        .collect();
    let store = store(&series);
    let params = RangeParams {
        start_ms: 0,
        end_ms: 100_000,
        step_ms: 1000,
    };
    let check = |limits: BudgetLimits, options: Options, params: RangeParams, kind: ErrorKind, text: &str| {
        let engine = Engine::with_options(store.clone(), options);
        let budget = Budget::new(limits, Arc::new(ManualClock::default()));
        let error = engine
            .range(&Tenant::default(), "m_total * 2", params, &budget)
            .unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.message().contains(text), "{error}");
    };
    let unlimited = BudgetLimits::UNLIMITED;
    let usual = Options::default();
    check(
        BudgetLimits {
            max_series: 5,
            ..unlimited
        },
        usual.clone(),
        params,
        ErrorKind::LimitReached,
        "max_series",
    );
    check(
        BudgetLimits {
            max_samples: 50,
            ..unlimited
        },
        usual.clone(),
        params,
        ErrorKind::LimitReached,
        "max_samples",
    );
    check(
        BudgetLimits {
            max_bytes: 5000,
            ..unlimited
        },
        usual.clone(),
        params,
        ErrorKind::LimitReached,
        "max_bytes",
    );
    check(
        BudgetLimits {
            timeout_ms: 0,
            ..unlimited
        },
        usual.clone(),
        params,
        ErrorKind::Timeout,
        "timeout_ms",
    );
    let few_points = Options {
        max_points_per_series: 10,
        ..usual.clone()
    };
    check(
        unlimited,
        few_points,
        params,
        ErrorKind::BadData,
        "max_points_per_series",
    );
    let small = Options {
        max_response_bytes: 1000,
        ..usual.clone()
    };
    check(
        unlimited,
        small,
        params,
        ErrorKind::LimitReached,
        "max_response_bytes",
    );
    check(
        unlimited,
        usual.clone(),
        RangeParams { step_ms: 0, ..params },
        ErrorKind::BadData,
        "step",
    );
    check(
        unlimited,
        usual,
        RangeParams { end_ms: -1, ..params },
        ErrorKind::BadData,
        "before its start",
    );
}

#[test]
fn a_subquery_with_too_many_steps_is_refused_at_once() {
    let engine = Engine::new(store(&[vec![(0, 1.0)]]));
    let budget = Budget::new(
        BudgetLimits {
            max_bytes: 1 << 30,
            ..BudgetLimits::UNLIMITED
        },
        Arc::new(ManualClock::default()),
    );
    let error = engine
        .instant(
            &Tenant::default(),
            "sum_over_time((1 + vector(1))[100y:1ms])",
            0,
            &budget,
        )
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitReached, "{error}");
}

#[test]
fn a_cancelled_query_stops() {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    let budget = Budget::new(BudgetLimits::UNLIMITED, clock);
    budget.cancel_token().cancel();
    let engine = Engine::new(store(&[vec![(0, 1.0)]]));
    let error = engine
        .instant(&Tenant::default(), "m_total", 0, &budget)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
}

#[test]
fn tenants_do_not_see_each_other() {
    let engine = Engine::new(store(&[vec![(0, 1.0)]]));
    let answer = engine
        .instant(&Tenant::new("other").unwrap(), "m_total", 0, &Budget::unlimited())
        .unwrap();
    assert!(matches!(answer.value, QueryValue::Vector(v) if v.is_empty()));
}
