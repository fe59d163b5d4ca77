//! The default pack over the series of an agent: what fires, what does not, and what it says.

use super::*;
use crate::config::Config;
use crate::core::Core;
use model::plain::PlainStore;
use model::{Batch, Budget, Labels, Metrics, Read, Sample, Series, SeriesData, Tenant};
use query::promql::Engine;
use std::collections::BTreeSet;

const BEGIN_S: i64 = 1_800_000_000;
const EVERY_S: i64 = 15;

/// A series over the minutes since the beginning; `None` where it has no sample.
type Shape = Box<dyn Fn(f64) -> Option<f64>>;

fn always(value: f64) -> Shape {
    Box::new(move |_| Some(value))
}
fn steps(at_min: f64, before: f64, after: f64) -> Shape {
    Box::new(move |t| Some(if t < at_min { before } else { after }))
}
fn line(start: f64, per_min: f64) -> Shape {
    Box::new(move |t| Some(start + per_min * t))
}
fn from(at_min: f64, shape: Shape) -> Shape {
    Box::new(move |t| if t < at_min { None } else { shape(t) })
}
fn until(at_min: f64, shape: Shape) -> Shape {
    Box::new(move |t| if t > at_min { None } else { shape(t) })
}

/// Runs the pack for some minutes over these series (name with labels as in the exposition format, without quotes),
/// and gives what fires then, with its summary.
fn firing(series: Vec<(&str, Shape)>, minutes: i64) -> BTreeSet<String> {
    let store = Arc::new(PlainStore::default());
    for (name, shape) in series {
        let (metric, pairs) = name.trim_end_matches('}').split_once('{').unwrap_or((name, ""));
        let pairs = pairs.split(',').filter_map(|p| p.split_once('='));
        let labels = Labels::from_pairs(pairs.chain([("__name__", metric)]));
        let samples = (0..=minutes * 60)
            .step_by(EVERY_S as usize)
            .filter_map(|s| {
                Some(Sample {
                    timestamp_ms: (BEGIN_S + s) * 1000,
                    value: shape(s as f64 / 60.0)?,
                })
            })
            .collect();
        let series = Series {
            labels,
            samples,
            ..Series::default()
        };
        let payload = Metrics {
            series: vec![series],
            metadata: Vec::new(),
        };
        store.write_metrics(Batch::new(Tenant::default(), payload));
    }
    let engine = Engine::new(store as Arc<dyn Read<SeriesData>>);
    let mut core = Core::start(
        &[default_pack()],
        &Config::default(),
        "http://b",
        None,
        BEGIN_S * 1000,
    )
    .unwrap();
    for s in (0..=minutes * 60).step_by(EVERY_S as usize) {
        let now_ms = (BEGIN_S + s) * 1000;
        for group in 0..core.groups.len() {
            if !s
                .unsigned_abs()
                .is_multiple_of(core.groups[group].interval.as_secs())
            {
                continue;
            }
            for (number, rule) in core.groups[group].group.clone().rules.iter().enumerate() {
                let answer = engine.instant(&Tenant::default(), &rule.expr, now_ms, &Budget::unlimited());
                assert!(answer.is_ok(), "{}: {answer:?}", rule.name);
                core.apply(group, number, answer.map(|r| r.value), Duration::ZERO, now_ms);
            }
        }
    }
    let alerts = core.alerts().alerts.into_iter();
    alerts
        .filter(|a| a.state == "firing")
        .map(|a| {
            for text in a.annotations.values() {
                assert!(
                    !text.contains("error expanding") && !text.contains("<no value>"),
                    "{text}"
                );
                assert!(!text.contains("  "), "{text:?}");
            }
            format!(
                "{}: {}",
                a.labels.get("alertname").unwrap(),
                a.annotations["summary"]
            )
        })
        .filter(|a| !a.starts_with("Watchdog: "))
        .collect()
}

fn check(mut series: Vec<(&'static str, Shape)>, minutes: i64, expected: &[&str]) {
    // A node where all is well stands beside every case.
    for (name, value) in [
        ("up{job=node,instance=n1}", 1.0),
        ("container_oom_events_total{id=/ok,container=ok,node=n1}", 7.0),
        (
            "container_cpu_cfs_periods_total{id=/idle,container=idle,node=n1}",
            0.0,
        ),
        (
            "container_cpu_cfs_throttled_periods_total{id=/idle,container=idle,node=n1}",
            0.0,
        ),
        (
            "container_memory_working_set_bytes{id=/ok,container=ok,node=n1}",
            1e9,
        ),
        (
            "container_spec_memory_limit_bytes{id=/ok,container=ok,node=n1}",
            0.0,
        ),
        (
            "node_filesystem_avail_bytes{fstype=ext4,mountpoint=/,device=/dev/a,instance=n1}",
            5e9,
        ),
        (
            "node_filesystem_size_bytes{fstype=ext4,mountpoint=/,device=/dev/a,instance=n1}",
            9e9,
        ),
        (
            "node_filesystem_readonly{fstype=ext4,mountpoint=/,device=/dev/a,instance=n1}",
            0.0,
        ),
        (
            "node_filesystem_avail_bytes{fstype=squashfs,mountpoint=/snap,device=/dev/b,instance=n1}",
            0.0,
        ),
        (
            "node_filesystem_size_bytes{fstype=squashfs,mountpoint=/snap,device=/dev/b,instance=n1}",
            9e9,
        ),
        (
            "node_filesystem_readonly{fstype=squashfs,mountpoint=/snap,device=/dev/b,instance=n1}",
            0.0,
        ),
        ("node_memory_MemAvailable_bytes{instance=n1}", 3e9),
        ("node_memory_MemTotal_bytes{instance=n1}", 8e9),
        (
            "binnacle_wal_failures_total{log=metrics,reason=sync,instance=n1}",
            0.0,
        ),
        ("binnacle_wal_damages_total{log=metrics,instance=n1}", 0.0),
        ("binnacle_tsdb_unreadable_parts{instance=n1}", 0.0),
    ] {
        series.push((name, always(value)));
    }
    series.push((
        "binnacle_agent_last_collection_timestamp_seconds{instance=n1}",
        line(BEGIN_S as f64, 60.0),
    ));
    if !expected.iter().any(|e| e.starts_with("BinnacleNotScraped")) {
        series.push(("binnacle_build_info{instance=n1,version=1}", always(1.0)));
    }
    let expected: BTreeSet<String> = expected.iter().map(|s| (*s).to_owned()).collect();
    assert_eq!(firing(series, minutes), expected);
}

#[test]
fn a_healthy_node_is_quiet() {
    check(vec![], 12, &[]);
}

#[test]
fn a_container_killed_for_memory_is_seen_at_once() {
    let name = "container_oom_events_total{id=/k,namespace=shop,pod=cart-1,container=cart,node=n1}";
    let says = "ContainerOomKilled: cart was killed because it ran out of memory";
    check(vec![(name, steps(8.0, 0.0, 1.0))], 8, &[says]);
    check(vec![(name, steps(8.0, 0.0, 1.0))], 12, &[says]);
    check(vec![(name, steps(8.0, 0.0, 1.0))], 14, &[]);
    // It was never seen before: the agent writes a 0 first.
    let young: Shape = Box::new(|t| (t >= 7.75).then_some(if t < 8.0 { 0.0 } else { 1.0 }));
    check(vec![(name, young)], 8, &[says]);
    // The whole machine's counter is not a container's.
    check(
        vec![("container_oom_events_total{id=/,node=n1}", steps(8.0, 0.0, 1.0))],
        9,
        &[],
    );
}

#[test]
fn containers_at_their_limits() {
    let throttled = || {
        vec![
            (
                "container_cpu_cfs_periods_total{id=/t,container=busy,node=n1}",
                line(0.0, 600.0),
            ),
            (
                "container_cpu_cfs_throttled_periods_total{id=/t,container=busy,node=n1}",
                line(0.0, 300.0),
            ),
        ]
    };
    check(throttled(), 10, &[]);
    check(
        throttled(),
        12,
        &["ContainerCpuThrottled: busy is held back by its CPU limit"],
    );
    let memory = |limit: f64| {
        vec![
            ("container_memory_working_set_bytes{id=/m,node=n1}", always(95.0)),
            ("container_spec_memory_limit_bytes{id=/m,node=n1}", always(limit)),
        ]
    };
    check(
        memory(100.0),
        3,
        &["ContainerMemoryNearLimit: /m uses 95% of its memory limit"],
    );
    check(memory(200.0), 3, &[]);
    check(memory(0.0), 3, &[]);
}

#[test]
fn targets_and_agents_that_are_silent() {
    let down = || vec![("up{job=db,instance=h:1}", steps(2.0, 1.0, 0.0))];
    check(down(), 2, &[]);
    check(down(), 4, &["TargetDown: db on h:1 cannot be scraped"]);
    let name = "binnacle_agent_last_collection_timestamp_seconds{instance=n2}";
    let silent = || vec![(name, until(2.0, line(BEGIN_S as f64, 60.0)))];
    check(silent(), 3, &[]);
    // Also when its series is long out of sight.
    for minutes in [5, 20] {
        check(silent(), minutes, &["AgentSilent: The agent on n2 is silent"]);
    }
}

#[test]
fn disks_and_memory() {
    let disk = |avail: Shape, readonly: f64| {
        vec![
            (
                "node_filesystem_avail_bytes{fstype=xfs,mountpoint=/var,device=/dev/c,instance=n1}",
                avail,
            ),
            (
                "node_filesystem_size_bytes{fstype=xfs,mountpoint=/var,device=/dev/c,instance=n1}",
                always(1000.0),
            ),
            (
                "node_filesystem_readonly{fstype=xfs,mountpoint=/var,device=/dev/c,instance=n1}",
                always(readonly),
            ),
        ]
    };
    check(
        disk(always(30.0), 0.0),
        3,
        &["DiskAlmostFull: /var on n1 has 3% left"],
    );
    check(disk(always(30.0), 1.0), 3, &[]);
    check(
        disk(line(390.0, -1.0), 0.0),
        35,
        &["DiskFillingUp: /var on n1 will be full within a day"],
    );
    check(disk(line(390.0, -0.1), 0.0), 35, &[]);
    check(disk(line(900.0, -1.0), 0.0), 35, &[]);
    check(
        vec![
            ("node_memory_MemAvailable_bytes{instance=n3}", always(4.0)),
            ("node_memory_MemTotal_bytes{instance=n3}", always(100.0)),
        ],
        6,
        &["NodeMemoryAlmostUsedUp: n3 has 4% of its memory left"],
    );
}

#[test]
fn binnacle_in_trouble() {
    let one = |name: &'static str, shape: Shape| vec![(name, shape)];
    check(
        vec![],
        6,
        &["BinnacleNotScraped: Binnacle's own metrics are missing"],
    );
    let failures = "binnacle_wal_failures_total{log=logs,reason=full,instance=n1}";
    let says = "BinnacleCannotWrite: Binnacle on n1 cannot make data durable";
    check(one(failures, steps(8.0, 1.0, 2.0)), 9, &[says]);
    check(one(failures, from(8.0, always(1.0))), 9, &[says]);
    check(one(failures, from(8.0, always(1.0))), 14, &[]);
    let damaged = "BinnacleDataDamaged: Stored data of Binnacle on n1 is damaged";
    check(
        one("binnacle_wal_damages_total{log=logs,instance=n1}", always(1.0)),
        8,
        &[damaged],
    );
    check(
        one(
            "binnacle_receive_rejected_total{protocol=otlp,signal=logs,reason=limit,instance=n1}",
            line(0.0, 5.0),
        ),
        8,
        &["BinnacleRejectsData: Binnacle on n1 refuses data"],
    );
    check(
        one(
            "binnacle_telemetry_dropped_total{signal=logs,reason=queue_full,instance=n1}",
            line(0.0, 5.0),
        ),
        8,
        &["BinnacleDropsData: Binnacle on n1 drops data"],
    );
    check(
        one(
            "binnacle_agent_spool_dropped_total{queue=logs,reason=full,instance=n1}",
            from(8.0, always(4.0)),
        ),
        9,
        &["AgentDropsData: The agent on n1 loses data"],
    );
    check(
        one(
            "binnacle_alert_notification_attempts_failed_total{receiver=hook,instance=n1}",
            line(0.0, 2.0),
        ),
        8,
        &["BinnacleNotificationsFail: The receiver hook does not take notifications"],
    );
    check(
        one(
            "binnacle_alert_rule_evaluation_failures_total{instance=n1}",
            line(0.0, 2.0),
        ),
        8,
        &["BinnacleRulesFail: Rules on n1 fail"],
    );
}
