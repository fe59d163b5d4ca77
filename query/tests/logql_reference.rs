//! The LogQL engine against a plain evaluator that looks at every line.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use model::plain::PlainStore;
use model::{
    Answer, Batch, Budget, BudgetLimits, Direction, ErrorKind, Labels, LogBatch, LogEntry, LogStream, Logs,
    ManualClock, Predicate, QueryLimits, Read, Result, Scan, ScanRequest, Tenant,
};
use proptest::prelude::*;
use query::logql::{Engine, LogParams, LogResult, parse};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const S: i64 = 1_000_000_000;

#[derive(Debug, Clone)]
struct Line {
    app: String,
    time_s: i64,
    text: String,
}

fn stream(app: &str) -> Labels {
    Labels::from_pairs([("app", app)])
}

fn store(lines: &[Line]) -> Arc<PlainStore> {
    let store = Arc::new(PlainStore::default());
    let of = |line: &Line| LogStream {
        labels: stream(&line.app),
        entries: vec![LogEntry {
            timestamp_ns: line.time_s * S,
            line: line.text.clone(),
            metadata: Vec::new(),
        }],
    };
    store.write_logs(Batch::new(
        Tenant::default(),
        Logs {
            streams: lines.iter().map(of).collect(),
        },
    ));
    store
}

/// A store that answers with more than was asked for, in batches of several lines, and counts them.
struct Superset {
    inner: Arc<PlainStore>,
    batches: Arc<AtomicUsize>,
}

impl Read<LogBatch> for Superset {
    fn scan(&self, request: &ScanRequest) -> Result<Scan<LogBatch>> {
        let mut all = request.clone();
        all.predicate = Predicate::all();
        let scan: Scan<LogBatch> = self.inner.scan(&all)?;
        let counter = self.batches.clone();
        let counted = scan.batches.inspect(move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        Ok(Scan {
            predicates: vec![Answer::Superset; request.predicate.leaves().len()],
            aggregate: Answer::NotDone,
            batches: Box::new(counted),
        })
    }
    fn label_names(&self, request: &ScanRequest) -> Result<Vec<String>> {
        Read::<LogBatch>::label_names(&*self.inner, request)
    }
    fn label_values(&self, request: &ScanRequest, name: &str) -> Result<Vec<String>> {
        Read::<LogBatch>::label_values(&*self.inner, request, name)
    }
    fn series(&self, request: &ScanRequest) -> Result<Vec<Labels>> {
        Read::<LogBatch>::series(&*self.inner, request)
    }
}

#[derive(Debug, Clone)]
struct Filter {
    op: &'static str,
    texts: Vec<String>,
}

impl Filter {
    fn keeps(&self, text: &str) -> bool {
        let any = self.texts.iter().any(|t| match self.op {
            "|=" | "!=" => text.contains(t.as_str()),
            _ => regex::Regex::new(t).unwrap().is_match(text),
        });
        any != self.op.starts_with('!')
    }
    fn shown(&self) -> String {
        let texts: Vec<String> = self.texts.iter().map(|t| format!("{t:?}")).collect();
        format!(" {} {}", self.op, texts.join(" or "))
    }
}

fn lines() -> impl Strategy<Value = Vec<Line>> {
    let line = ("[ab]", 0..60i64, "[xyz]{0,3}( k=[0-9]{1,2})?");
    prop::collection::vec(
        line.prop_map(|(app, time_s, text)| Line { app, time_s, text }),
        0..40,
    )
    // Equal lines of foreign senders show once.
    .prop_map(|mut lines| {
        lines.sort_by(|a, b| (&a.app, a.time_s, &a.text).cmp(&(&b.app, b.time_s, &b.text)));
        lines.dedup_by(|a, b| (&a.app, a.time_s, &a.text) == (&b.app, b.time_s, &b.text));
        lines
    })
}

fn filters() -> impl Strategy<Value = Vec<Filter>> {
    let op = prop::sample::select(vec!["|=", "!=", "|~", "!~"]);
    let filter = (op, prop::collection::vec("[xyz]{1,2}", 1..3)).prop_map(|(op, texts)| Filter { op, texts });
    prop::collection::vec(filter, 0..3)
}

fn shown(filters: &[Filter]) -> String {
    filters.iter().map(Filter::shown).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn log_queries_give_the_first_lines_in_their_direction(
        lines in lines(),
        filters in filters(),
        apps in prop::sample::select(vec!["a", "b", "a|b"]),
        (start, len, limit) in (0..50i64, 1..60i64, 1..20usize),
        backward in any::<bool>(),
        superset in any::<bool>(),
    ) {
        let expr = format!("{{app=~\"{apps}\"}}{}", shown(&filters));
        let direction = if backward { Direction::Backward } else { Direction::Forward };
        let params = LogParams { start_ns: start * S, end_ns: (start + len) * S, step_ns: S, limit, direction };
        let engine = if superset {
            Engine::new(Arc::new(Superset { inner: store(&lines), batches: Arc::default() }))
        } else {
            Engine::new(store(&lines))
        };
        let answer = engine.range(&Tenant::default(), &expr, params, &Budget::unlimited()).unwrap();
        let LogResult::Streams(streams) = answer else { panic!("no streams") };
        prop_assert!(streams.is_sorted_by(|a, b| a.labels < b.labels));
        for s in &streams {
            let times: Vec<i64> = s.entries.iter().map(|e| e.timestamp_ns).collect();
            let sorted = if backward { times.is_sorted_by(|a, b| a >= b) } else { times.is_sorted() };
            prop_assert!(sorted);
        }
        let mut got: Vec<i64> = streams.iter().flat_map(|s| s.entries.iter().map(|e| e.timestamp_ns / S)).collect();
        let passing: Vec<&Line> = lines
            .iter()
            .filter(|l| apps.contains(&l.app) && (start..start + len).contains(&l.time_s))
            .filter(|l| filters.iter().all(|f| f.keeps(&l.text)))
            .collect();
        let mut expected: Vec<i64> = passing.iter().map(|l| l.time_s).collect();
        got.sort_unstable();
        expected.sort_unstable();
        if backward {
            expected.reverse();
        }
        expected.truncate(limit);
        expected.sort_unstable();
        prop_assert_eq!(got, expected, "{}", expr);
        for s in &streams {
            for e in &s.entries {
                let there = passing.iter().any(|l| {
                    stream(&l.app) == s.labels && l.text == e.line && l.time_s * S == e.timestamp_ns
                });
                prop_assert!(there, "{} gave {:?}", expr, e);
            }
        }
    }

    #[test]
    fn metric_queries_count_windows(
        lines in lines(),
        filters in filters(),
        (start, step, count, range) in (0..50i64, 1..20i64, 0..8i64, 1..40i64),
        offset in -5..5i64,
        function in prop::sample::select(vec!["count_over_time", "rate", "bytes_over_time", "bytes_rate"]),
        parsed in any::<bool>(),
    ) {
        let condition = if parsed { " | logfmt | k > 20" } else { "" };
        let expr = format!(
            "sum by (app) ({function}({{app=~\"a|b\"}}{}{condition} [{range}s] offset {offset}s))",
            shown(&filters)
        );
        let params = LogParams {
            start_ns: start * S,
            end_ns: (start + step * count) * S,
            step_ns: step * S,
            limit: 1,
            direction: Direction::Forward,
        };
        let engine = Engine::new(store(&lines));
        let answer = engine.range(&Tenant::default(), &expr, params, &Budget::unlimited()).unwrap();
        let LogResult::Matrix(matrix) = answer else { panic!("no matrix") };
        let got: BTreeMap<(Labels, i64), f64> = matrix
            .iter()
            .flat_map(|s| s.timestamps_ms.iter().zip(&s.values).map(|(t, v)| ((s.labels.clone(), *t), *v)))
            .collect();
        let k = |text: &str| text.split_once("k=").map(|(_, k)| k.parse::<i64>().unwrap());
        let mut expected: BTreeMap<(Labels, i64), f64> = BTreeMap::new();
        for i in 0..=count {
            let time = start + i * step;
            for line in &lines {
                let in_window = time - offset - range < line.time_s && line.time_s <= time - offset;
                let kept = filters.iter().all(|f| f.keeps(&line.text)) && (!parsed || k(&line.text) > Some(20));
                if in_window && kept {
                    let weight = if function.starts_with("bytes") { line.text.len() as f64 } else { 1.0 };
                    let weight = if function.ends_with("rate") { weight / range as f64 } else { weight };
                    *expected.entry((stream(&line.app), time * 1000)).or_default() += weight;
                }
            }
        }
        prop_assert_eq!(got.len(), expected.len(), "{}: {:?} {:?}", expr, got, expected);
        for ((gk, gv), (ek, ev)) in got.iter().zip(&expected) {
            prop_assert!(gk == ek && (gv - ev).abs() < 1e-9, "{}: {:?} {:?}", expr, got, expected);
        }
    }
}

#[test]
fn the_newest_lines_are_found_without_reading_the_rest() {
    let lines: Vec<Line> = (0..1000)
        .map(|time_s| Line {
            app: "a".into(),
            time_s,
            text: format!("x{time_s}"),
        })
        .collect();
    let batches = Arc::new(AtomicUsize::new(0));
    let engine = Engine::new(Arc::new(Superset {
        inner: store(&lines),
        batches: batches.clone(),
    }));
    let params = LogParams {
        start_ns: 0,
        end_ns: 2000 * S,
        step_ns: S,
        limit: 10,
        direction: Direction::Backward,
    };
    let answer = engine
        .range(
            &Tenant::default(),
            "{app=\"a\"} |= \"x\"",
            params,
            &Budget::unlimited(),
        )
        .unwrap();
    let LogResult::Streams(streams) = answer else {
        panic!("no streams")
    };
    let got: Vec<&str> = streams[0].entries.iter().map(|e| e.line.as_str()).collect();
    assert_eq!((got.len(), got[0], got[9]), (10, "x999", "x990"));
    assert!(
        batches.load(Ordering::Relaxed) <= 12,
        "{batches:?} batches were read"
    );
}

#[test]
fn errors_name_the_place_and_the_stage() {
    let check = |query: &str, expected: &str| {
        let error = parse(query).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadData);
        assert!(error.message().contains(expected), "{query}: {error}");
    };
    check("{foo=\"bar}", "line 1, col 6: literal not terminated");
    check(
        "{foo=\"bar\"",
        "line 1, col 11: syntax error: unexpected end of the query, expecting } or ,",
    );
    check(
        "{foo=\"bar\"}\n | line_format \"x\"",
        "line 2, col 4: the stage line_format is not supported yet",
    );
    check("{foo=\"bar\"} | unwrap x", "the stage unwrap");
    check("{foo=\"bar\"} |> \"<_> x\"", "the pattern filter |>");
    check(
        "{foo=\"bar\"} |= ip(\"1.2.3.4\")",
        "line 1, col 16: the filter ip()",
    );
    check(
        "sum_over_time({foo=\"bar\"} [5m])",
        "sum_over_time is not supported yet",
    );
    check("{foo=\"bar\"} |~ \"(\"", "line 1, col 16: error parsing regexp");
    check("{foo=~\"(\"}", "error parsing regexp");
    check(
        "{foo!=\"bar\"}",
        "queries require at least one regexp or equality matcher",
    );
    check("{app=~\".*\"}", "queries require at least one");
    check("{}", "queries require at least one");
    check(
        "1 + count_over_time({app=~\".*\"}[5m])",
        "line 1, col 21: queries require at least one",
    );
    check("count_over_time({a=\"b\"})", "expecting a range");
    check(
        "min({foo=\"bar\"}[5m])",
        "line 1, col 5: min needs a metric query",
    );
    check(
        "{foo=\"bar\"} / 2",
        "unexpected type for left leg of binary operation (/)",
    );
    check(
        "2 > {foo=\"bar\"}",
        "unexpected type for right leg of binary operation (>)",
    );
    check("1 and 2", "unexpected literal for left leg");
    check(
        "topk(rate({a=\"b\"}[5m]))",
        "parameter required for operation topk",
    );
    check("topk(1.5, rate({a=\"b\"}[5m]))", "invalid parameter topk(1.5,");
    check(
        "sum(3, rate({a=\"b\"}[5m]))",
        "unsupported parameter for operation sum(3,",
    );
    check(
        "rate({a=\"b\"}[5m]) by (a)",
        "grouping not allowed for rate aggregation",
    );
    check(
        "unk({a=\"b\"}[5m])",
        "line 1, col 1: syntax error: unexpected IDENTIFIER unk",
    );
    check("-rate({a=\"b\"}[5m])", "expecting NUMBER");
    check("", "expecting a query");
}

#[test]
fn well_formed_queries_parse() {
    for query in [
        "{a=\"b\", c!=\"d\", e=~\"f.+\", g!~\"h\"}",
        "({a=\"b\"} |= \"x\") | json",
        "{a=\"b\"} # comment\n |= `raw \"text\"` or \"two\" != \"three\"",
        "rate(({a=\"b\"} |= \"x\")[5m])",
        "rate({a=\"b\"}[5m] |= \"x\" offset 1h)",
        "rate({a=\"b\"} |= \"x\" [5m] offset -1h)",
        "sum by (a) (rate({a=\"b\"}[1h30m])) / on (a) group_left (c) sum without (d) (rate({a=\"b\"}[5m]))",
        "topk(3, sum(count_over_time({a=\"b\"}[5m])) by (c)) > bool 2",
        "{a=\"b\"} | logfmt --strict --keep-empty | (x > 250ms or y <= 2.5KiB), z = \"q\" and w != 5",
        "{a=\"b\"} | json first=\"a[0].b\", second=\"c[\\\"d e\\\"]\" | first != \"\"",
        "vector(1)+vector(1)",
        "label_replace(rate({a=\"b\"}[5m]), \"x\", \"$1\", \"a\", \"(.*)\")",
        "1 + -2 / 1",
        "1+1--1",
    ] {
        parse(query).unwrap_or_else(|e| panic!("{query}: {e}"));
    }
}

#[test]
fn budgets_and_limits_end_queries_by_name() {
    let lines: Vec<Line> = (0..100)
        .map(|time_s| Line {
            app: "a".into(),
            time_s,
            text: "x".repeat(100),
        })
        .collect();
    let store = store(&lines);
    let params = LogParams {
        start_ns: 0,
        end_ns: 100 * S,
        step_ns: S,
        limit: 100,
        direction: Direction::Forward,
    };
    let check = |expr: &str,
                 limits: BudgetLimits,
                 own: QueryLimits,
                 params: LogParams,
                 kind: ErrorKind,
                 text: &str| {
        let engine = Engine::with_limits(store.clone(), own);
        let budget = Budget::new(limits, Arc::new(ManualClock::default()));
        let error = engine
            .range(&Tenant::default(), expr, params, &budget)
            .unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.message().contains(text), "{error}");
    };
    let (free, own) = (BudgetLimits::UNLIMITED, QueryLimits::default());
    let log = "{app=\"a\"}";
    let metric = "count_over_time({app=\"a\"}[1m])";
    let limited = ErrorKind::LimitReached;
    check(
        log,
        BudgetLimits {
            max_samples: 50,
            ..free
        },
        own.clone(),
        params,
        limited,
        "max_samples",
    );
    check(
        log,
        BudgetLimits {
            max_bytes: 1000,
            ..free
        },
        own.clone(),
        params,
        limited,
        "max_bytes",
    );
    check(
        log,
        free,
        QueryLimits {
            max_response_bytes: 1000,
            ..own.clone()
        },
        params,
        limited,
        "max_response_bytes",
    );
    check(
        log,
        free,
        QueryLimits {
            max_rows: 10,
            ..own.clone()
        },
        params,
        ErrorKind::BadData,
        "max_rows",
    );
    check(
        metric,
        BudgetLimits {
            timeout_ms: 0,
            ..free
        },
        own.clone(),
        params,
        ErrorKind::Timeout,
        "timeout_ms",
    );
    check(
        metric,
        BudgetLimits {
            max_bytes: 1000,
            ..free
        },
        own.clone(),
        params,
        limited,
        "max_bytes",
    );
    let few = QueryLimits {
        max_points_per_series: 10,
        ..own.clone()
    };
    check(
        metric,
        free,
        few,
        params,
        ErrorKind::BadData,
        "max_points_per_series",
    );
    check(
        metric,
        free,
        own,
        LogParams { step_ns: 0, ..params },
        ErrorKind::BadData,
        "step",
    );
    let engine = Engine::new(store.clone());
    let error = engine
        .instant(&Tenant::default(), log, 0, &Budget::unlimited())
        .unwrap_err();
    assert!(
        error.message().contains("not supported as an instant query"),
        "{error}"
    );
}
