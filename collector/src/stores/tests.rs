//! Queries over rolled-up samples: what they give, against the same queries over all samples.

use model::plain::PlainStore;
use model::{
    Batch, Budget, Clock, Labels, ManualClock, Metrics, NoMeter, Resolution, Sample, Series, Tenant, Write,
};
use query::promql::{Engine, QueryResult, QueryValue, RangeParams};
use std::sync::Arc;
use storage::{CommitOptions, RealFs};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
/// A midnight of 2023.
const START_MS: i64 = 1_700_006_400_000;
const DAYS: i64 = 12;
const NOW_MS: i64 = START_MS + DAYS * DAY_MS;
/// Windows of an hour up to here, of 5 minutes up to `RAW_MS`.
const M5_MS: i64 = NOW_MS - 6 * DAY_MS;
const RAW_MS: i64 = NOW_MS - 3 * DAY_MS;

/// Twelve days in a store that keeps samples for three and windows of 5 minutes for six, and all of it in a plain one.
struct Bed {
    rolled: Engine,
    plain: Engine,
    _dir: tempfile::TempDir,
}

/// A sample a minute: a counter that is reset now and then, and a gauge.
fn of_day(day: i64) -> Metrics {
    let series = |name: &str, value: &dyn Fn(i64) -> i64| {
        let samples = (0..DAY_MS / MINUTE_MS).map(|i| {
            let minute = day * (DAY_MS / MINUTE_MS) + i;
            Sample {
                timestamp_ms: START_MS + minute * MINUTE_MS,
                value: value(minute) as f64,
            }
        });
        Series {
            labels: Labels::from_pairs([("__name__", name), ("job", "a")]),
            samples: samples.collect(),
            ..Series::default()
        }
    };
    Metrics {
        series: vec![
            series("requests_total", &|i| (i * i / 7) % 9000 + i % 500),
            series("depth", &|i| (i * 37) % 101),
        ],
        metadata: Vec::new(),
    }
}

async fn bed() -> Bed {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at_ns(START_MS * 1_000_000));
    let rollup = |resolution_ms: i64, days: i64| tsdb::Rollup {
        resolution_ms: resolution_ms as u64,
        retention_ms: (days * DAY_MS) as u64,
    };
    let options = tsdb::Options {
        retention_ms: Some(3 * DAY_MS as u64),
        rollups: vec![rollup(5 * MINUTE_MS, 6), rollup(HOUR_MS, 100)],
        commit: CommitOptions::inline(),
        ..tsdb::Options::default()
    };
    let store = tsdb::Store::open(Arc::new(RealFs), dir.path(), options, clock.clone(), &NoMeter).unwrap();
    let plain = Arc::new(PlainStore::default());
    for day in 0..DAYS {
        clock.advance_ns(DAY_MS as u64 * 1_000_000);
        let batch = Batch::new(Tenant::default(), of_day(day));
        plain.write_metrics(batch.clone());
        assert_eq!(store.write(batch).await.unwrap().rejected_count(), 0);
        store.compact().unwrap();
        store.maintain().unwrap();
    }
    assert_eq!(clock.now_ms(), NOW_MS);
    Bed {
        rolled: Engine::new(Arc::new(store)),
        plain: Engine::new(plain),
        _dir: dir,
    }
}

fn values(result: QueryResult) -> Vec<(i64, f64)> {
    let QueryValue::Matrix(mut matrix) = result.value else {
        panic!("a matrix was expected");
    };
    let one = matrix.pop().unwrap_or_default();
    one.timestamps_ms.into_iter().zip(one.values).collect()
}

fn ask(engine: &Engine, expr: &str, start_ms: i64, end_ms: i64, step_ms: i64) -> QueryResult {
    let params = RangeParams {
        start_ms,
        end_ms,
        step_ms,
    };
    let result = engine.range(&Tenant::default(), expr, params, &Budget::unlimited());
    result.unwrap()
}

/// How much the counter grew after one time until another.
fn growth(after_ms: i64, until_ms: i64) -> f64 {
    let samples = (0..DAYS).flat_map(|day| of_day(day).series.swap_remove(0).samples);
    let values: Vec<f64> = samples
        .filter(|s| after_ms <= s.timestamp_ms && s.timestamp_ms <= until_ms)
        .map(|s| s.value)
        .collect();
    let steps = values.windows(2);
    steps.map(|w| if w[1] < w[0] { w[1] } else { w[1] - w[0] }).sum()
}

#[tokio::test]
async fn answers_over_windows_are_those_over_samples() {
    let bed = bed().await;
    let (start_ms, end_ms) = (START_MS + 2 * DAY_MS, NOW_MS - HOUR_MS);
    for expr in [
        "sum_over_time(depth[2h])",
        "count_over_time(depth[2h])",
        "avg_over_time(depth[2h])",
        "min_over_time(depth[2h])",
        "max_over_time(depth[2h])",
        "last_over_time(depth[1h])",
        "present_over_time(depth[1h])",
        "depth",
        "sum(depth) by (job)",
        "max_over_time(depth[26h])",
        "count_over_time(depth[5d])",
    ] {
        let got = values(ask(&bed.rolled, expr, start_ms, end_ms, HOUR_MS));
        let expected = values(ask(&bed.plain, expr, start_ms, end_ms, HOUR_MS));
        assert_eq!(got.len(), expected.len(), "{expr}");
        let differs = got.iter().zip(&expected).find(|(a, b)| a != b);
        assert_eq!(differs, None, "{expr}");
    }
}

#[tokio::test]
async fn rates_over_windows_are_exact_and_join_the_samples() {
    let bed = bed().await;
    let check = |expr: &str, range_ms: i64, from_ms: i64, per: f64| {
        let start_ms = START_MS + 4 * DAY_MS;
        let got = values(ask(&bed.rolled, expr, start_ms, NOW_MS - HOUR_MS, HOUR_MS));
        let plain = values(ask(&bed.plain, expr, start_ms, NOW_MS - HOUR_MS, HOUR_MS));
        assert_eq!(got.len(), plain.len(), "{expr}");
        for ((time_ms, value), (_, of_samples)) in got.into_iter().zip(plain) {
            // From the samples on, it is as ever.
            let expected = if time_ms - range_ms > from_ms {
                of_samples
            } else {
                growth(time_ms - range_ms, time_ms) / per
            };
            let error = (value - expected).abs() / expected.abs().max(1e-9);
            assert!(
                error < 1e-12,
                "{expr} at {time_ms}: {value} instead of {expected}"
            );
        }
    };
    check("increase(requests_total[2h])", 2 * HOUR_MS, RAW_MS, 1.0);
    check("rate(requests_total[3h])", 3 * HOUR_MS, RAW_MS, 10_800.0);
    check("increase(requests_total[3d])", 3 * DAY_MS, RAW_MS, 1.0);
}

#[tokio::test]
async fn ranges_shorter_than_a_window_see_the_whole_window() {
    let bed = bed().await;
    let at = |expr: &str, time_ms: i64| {
        let result = bed
            .rolled
            .instant(&Tenant::default(), expr, time_ms, &Budget::unlimited());
        let QueryValue::Vector(vector) = result.unwrap().value else {
            panic!("a vector was expected");
        };
        vector.first().map(|s| s.value)
    };
    let hour_ms = START_MS + 3 * DAY_MS;
    let grown = growth(hour_ms - HOUR_MS, hour_ms);
    assert_eq!(at("rate(requests_total[5m])", hour_ms), Some(grown / 3600.0));
    assert_eq!(at("irate(requests_total[5m])", hour_ms), Some(grown / 3600.0));
    assert_eq!(at("increase(requests_total[5m])", hour_ms), Some(grown / 12.0));
    assert_eq!(at("count_over_time(depth[1m])", hour_ms), Some(60.0));
    // Between the ends of windows, the last one that ended is what is known.
    let between_ms = hour_ms + 20 * MINUTE_MS;
    assert_eq!(at("rate(requests_total[5m])", between_ms), Some(grown / 3600.0));
    assert_eq!(at("depth", between_ms), at("depth", hour_ms));
    assert!(at("depth", hour_ms).is_some());
    assert_eq!(at("timestamp(depth)", between_ms), Some(hour_ms as f64 / 1000.0));
}

#[tokio::test]
async fn an_info_says_what_was_rolled_up() {
    let bed = bed().await;
    let infos = |resolution, start_ms| {
        let engine = bed.rolled.at_resolution(resolution);
        ask(&engine, "sum(depth)", start_ms, NOW_MS, DAY_MS).infos
    };
    let all = infos(Resolution::Auto, START_MS);
    assert_eq!(
        all,
        [
            "PromQL info: rolled-up samples were used: windows of 1h from 2023-11-14T23:55:00Z to \
          2023-11-21T00:00:00Z, windows of 5m from 2023-11-21T00:00:00Z to 2023-11-24T00:00:00Z"
        ]
    );
    assert!(infos(Resolution::Auto, RAW_MS + HOUR_MS).is_empty());
    assert!(infos(Resolution::Raw, START_MS).is_empty());
    let asked = infos(Resolution::AtMost(HOUR_MS), RAW_MS + HOUR_MS);
    assert!(
        asked[0].contains("windows of 1h from 2023-11-24T00:"),
        "{asked:?}"
    );
    let m5 = infos(Resolution::AtMost(5 * MINUTE_MS), M5_MS + HOUR_MS);
    assert!(m5.len() == 1 && !m5[0].contains("1h"), "{m5:?}");
}
