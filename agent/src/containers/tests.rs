//! Recorded trees of control groups, and the exact samples that come out of them.

use super::*;
use model::metric::is_stale;
use std::path::Path;

/// A collector over a recorded tree.
pub(crate) fn recorded(tree: &str) -> Containers {
    let host = Host::at(&Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(tree));
    at(host)
}

fn at(host: Host) -> Containers {
    let names = Arc::new(Names::new(host.clone()));
    let counters = Arc::new(Counters::new(Arc::new(model::NoMeter)));
    Containers::new(host, "n1", names, counters)
}

/// Samples as text, sorted, with long ids shortened.
fn table(metrics: &model::Metrics) -> String {
    let mut lines: Vec<String> = metrics
        .series
        .iter()
        .flat_map(|s| s.samples.iter().map(move |sample| (s, sample)))
        .map(|(s, sample)| {
            let value = if is_stale(sample.value) {
                "stale".to_owned()
            } else {
                sample.value.to_string()
            };
            format!(
                "{} {value} @{}",
                shortened(&s.labels.to_string()),
                sample.timestamp_ms
            )
        })
        .collect();
    lines.sort();
    lines.join("\n")
}

fn shortened(text: &str) -> String {
    let mut out = String::new();
    let mut run = String::new();
    for c in text.chars().chain(['\0']) {
        if c.is_ascii_hexdigit() {
            run.push(c);
            continue;
        }
        match run.len() {
            64 => out.push_str(&run[..6]),
            _ => out.push_str(&run),
        }
        run.clear();
        out.push(c);
    }
    out.trim_end_matches('\0').to_owned()
}

fn round(containers: &mut Containers, g: &mut Gatherer, round: u64) -> model::Metrics {
    g.begin(1_800_000_000_000 + i64::try_from(round).unwrap() * 15_000);
    containers.collect(g, round);
    g.finish()
}

#[test]
fn version_1() {
    let mut containers = recorded("v1");
    assert_eq!(containers.describe(), "5 containers (cgroup v1)");
    let metrics = round(&mut containers, &mut Gatherer::default(), 1);
    insta::assert_snapshot!(table(&metrics));
}

#[test]
fn version_2() {
    let mut containers = recorded("v2");
    assert_eq!(containers.describe(), "6 containers (cgroup v2)");
    let metrics = round(&mut containers, &mut Gatherer::default(), 1);
    insta::assert_snapshot!(table(&metrics));
}

#[test]
fn nothing_to_see_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let mut containers = at(Host::at(dir.path()));
    assert!(containers.describe().starts_with("no containers: "));
    assert!(
        round(&mut containers, &mut Gatherer::default(), 1)
            .series
            .is_empty()
    );
}

/// A tree that changes while it is looked at.
struct Live {
    dir: tempfile::TempDir,
}

impl Live {
    fn new() -> Self {
        let live = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        live.write("sys/fs/cgroup/cgroup.controllers", "memory pids\n");
        live.write("proc/stat", "btime 1000\n");
        live
    }
    fn write(&self, path: &str, text: &str) {
        let path = self.dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    fn start(&self, name: &str, pid: u32, oom_kills: u64) {
        self.write(&format!("sys/fs/cgroup/{name}/cgroup.procs"), &format!("{pid}\n"));
        self.write(&format!("sys/fs/cgroup/{name}/memory.current"), "1000\n");
        self.oom_kills(name, oom_kills);
        self.write(&format!("proc/{pid}/status"), &format!("NSpid:\t{pid}\t1\n"));
        self.write(
            &format!("proc/{pid}/stat"),
            &format!("{pid} (a) b) S{} 500 0", " 0".repeat(18)),
        );
    }
    fn oom_kills(&self, name: &str, count: u64) {
        let text = format!("oom 9\noom_kill {count}\n");
        self.write(&format!("sys/fs/cgroup/{name}/memory.events"), &text);
    }
    fn stop(&self, name: &str) {
        std::fs::remove_dir_all(self.dir.path().join("sys/fs/cgroup").join(name)).unwrap();
    }
}

fn of_family(metrics: &model::Metrics, family: &str) -> Vec<String> {
    let table = table(metrics);
    table
        .lines()
        .filter(|line| line.starts_with(&format!("{family}{{")))
        .map(|line| {
            let name = line.split("name=\"").nth(1).unwrap().split('"').next().unwrap();
            let (_, rest) = line.rsplit_once("} ").unwrap();
            format!("{name} {rest}")
        })
        .collect()
}

fn kill(group: &str, limited: &str) -> OomKill {
    OomKill {
        sequence: 1,
        since_boot_us: 2_000_000,
        limited_group: limited.to_owned(),
        group: group.to_owned(),
        process: "eater".into(),
        pid: 77,
        line: "oom-kill:…".into(),
    }
}

#[test]
fn containers_come_and_go() {
    let live = Live::new();
    live.start("a", 10, 0);
    let mut containers = at(Host::at(live.dir.path()));
    let mut g = Gatherer::default();
    let first = round(&mut containers, &mut g, 1);
    assert_eq!(
        of_family(&first, "container_memory_usage_bytes"),
        ["a 1000 @1800000015000"]
    );
    assert_eq!(
        of_family(&first, "container_start_time_seconds"),
        ["a 1005 @1800000015000"]
    );
    assert_eq!(
        of_family(&first, "container_oom_events_total"),
        ["a 0 @1800000015000"]
    );
    live.stop("a");
    live.start("b", 11, 0);
    let second = round(&mut containers, &mut g, 2);
    assert_eq!(
        of_family(&second, "container_memory_usage_bytes"),
        ["a stale @1800000030000", "b 1000 @1800000030000"]
    );
    // The counter of what is gone is shown on.
    assert_eq!(
        of_family(&second, "container_oom_events_total"),
        ["a 0 @1800000030000", "b 0 @1800000030000"]
    );
}

#[test]
fn a_container_is_shown_once_it_is_complete() {
    let live = Live::new();
    live.start("a", 10, 0);
    live.write("proc/10/comm", "runc:[2:INIT]\n");
    let mut containers = at(Host::at(live.dir.path()));
    let mut g = Gatherer::default();
    assert!(round(&mut containers, &mut g, 1).series.is_empty());
    live.write("proc/10/comm", "web\n");
    let second = round(&mut containers, &mut g, 2);
    assert_eq!(of_family(&second, "container_memory_usage_bytes").len(), 1);
}

#[test]
fn an_oom_kill_is_seen_however_short_the_container_lived() {
    let live = Live::new();
    live.start("a", 10, 0);
    let mut containers = at(Host::at(live.dir.path()));
    let mut g = Gatherer::default();
    round(&mut containers, &mut g, 1);
    // A known container dies and is gone before the next round.
    live.stop("a");
    let streams = containers.killed(&[kill("/a", "/a")], 5_000_000_000, 1_800_000_016_000);
    assert_eq!(
        streams[0].labels.to_string(),
        r#"{container="a", container_id="a", node="n1", service_name="a", stream="kernel"}"#
    );
    let entry = &streams[0].entries[0];
    assert_eq!(entry.timestamp_ns, 7_000_000_000);
    assert!(
        entry.line.contains("killed process 77 (eater) of container a"),
        "{}",
        entry.line
    );
    g.begin_extra(1_800_000_016_000);
    containers.emit_ooms(&mut g);
    assert_eq!(
        of_family(&g.finish_extra(), "container_oom_events_total"),
        ["a 1 @1800000016000"]
    );
    // One that was never seen.
    assert_eq!(
        containers.killed(&[kill("/b", "/b")], 0, 1_800_000_017_000).len(),
        1
    );
    // Units of systemd, and processes that no group's limit hit, are nobody's containers.
    let others = [
        kill("/system.slice/x.service", "/system.slice/x.service"),
        kill("/c", ""),
    ];
    assert_eq!(containers.killed(&others, 0, 1_800_000_017_000), []);
    let next = round(&mut containers, &mut g, 2);
    assert_eq!(
        of_family(&next, "container_oom_events_total"),
        ["a 1 @1800000030000", "b 0 @1800000029000", "b 1 @1800000030000"]
    );
    // Without the kernel's log: the group's own counter.
    live.start("d", 12, 1);
    let next = round(&mut containers, &mut g, 3);
    assert!(of_family(&next, "container_oom_events_total").contains(&"d 0 @1800000044000".to_owned()));
    assert!(of_family(&next, "container_oom_events_total").contains(&"d 1 @1800000045000".to_owned()));
}

#[test]
fn the_second_round_builds_no_labels() {
    let mut containers = recorded("v1");
    let mut g = Gatherer::default();
    let first = round(&mut containers, &mut g, 1);
    let second = round(&mut containers, &mut g, 2);
    assert_eq!(first.series.len(), second.series.len());
    // Equal label sets of both rounds share one allocation, which their addresses show.
    let address = |s: &model::Series| s.labels.iter().next().map(|(n, _)| n.as_ptr());
    for (a, b) in first.series.iter().zip(&second.series) {
        assert_eq!((&a.labels, address(a)), (&b.labels, address(b)));
    }
}
