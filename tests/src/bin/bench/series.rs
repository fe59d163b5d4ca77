//! The series of a node and of a pod: what node_exporter, cAdvisor and an instrumented service show, a hundred each.

use crate::random::Random;

/// How a series' values move from scrape to scrape.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// A counter of whole things, so many a second.
    Integer(f64),
    /// A counter that stands still in most scrapes.
    Idle(f64),
    /// An error counter that nearly never moves.
    Flat,
    /// Seconds of a processor at the kernel's 0.01 s; this share of a core.
    Centiseconds(f64),
    /// Seconds of a control group at 1 ns; this share of a core.
    Nanoseconds(f64),
    /// Throttled seconds at 1 ns, in few scrapes.
    IdleNanoseconds,
    /// Memory or disk in 4 KiB pages, wandering around these bytes.
    Pages(f64),
    /// Limits and facts.
    Constant(f64),
    /// A load average with two decimals.
    Load(f64),
    /// Threads, sockets and the like.
    SmallInteger(f64),
    /// The time of the scrape in whole seconds.
    Now,
    /// One bucket of the group's histogram.
    Bucket(usize),
    /// The count of the group's histogram.
    BucketCount,
    /// The sum of the group's histogram.
    BucketSum,
}

impl Kind {
    /// Whether it counts (buckets are counted apart).
    #[cfg(test)]
    pub(crate) fn is_counter(self) -> bool {
        use Kind::{BucketCount, BucketSum, Centiseconds, Flat, Idle, IdleNanoseconds, Integer, Nanoseconds};
        matches!(
            self,
            Integer(_)
                | Idle(_)
                | Flat
                | Centiseconds(_)
                | Nanoseconds(_)
                | IdleNanoseconds
                | BucketCount
                | BucketSum
        )
    }
}

/// Label pairs sorted by name.
pub(crate) type Labels = Vec<(&'static str, String)>;

/// One series.
pub(crate) struct Series {
    /// Sorted by name, `__name__` among them.
    pub(crate) labels: Labels,
    /// How it moves.
    pub(crate) kind: Kind,
}

/// Series of one node or one pod.
pub(crate) const GROUP: usize = 100;
/// Upper bounds of the histogram.
pub(crate) const BOUNDS: [&str; 10] = [
    "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "+Inf",
];

const NAMESPACES: [&str; 10] = [
    "payments",
    "search",
    "checkout",
    "catalog",
    "auth",
    "monitoring",
    "ingress",
    "batch",
    "ml",
    "default",
];
const APPS: [&str; 8] = [
    "web",
    "api",
    "worker",
    "cache",
    "gateway",
    "indexer",
    "scheduler",
    "proxy",
];
const HANDLERS: [&str; 5] = ["/", "/api/v1/items", "/api/v1/users", "/login", "/healthz"];
const MODES: [(&str, f64); 8] = [
    ("idle", 0.7),
    ("iowait", 0.005),
    ("irq", 0.005),
    ("nice", 0.005),
    ("softirq", 0.005),
    ("steal", 0.005),
    ("system", 0.08),
    ("user", 0.15),
];
const BOOT_S: f64 = 1.79e9;

struct List {
    base: Labels,
    series: Vec<Series>,
}

impl List {
    fn base(&mut self, base: &[(&'static str, &str)]) {
        self.base = base.iter().map(|(k, v)| (*k, (*v).to_owned())).collect();
    }
    fn add(&mut self, name: &str, kind: Kind, more: &[(&'static str, &str)]) {
        let mut labels = self.base.clone();
        labels.push(("__name__", name.to_owned()));
        labels.extend(more.iter().map(|(k, v)| (*k, (*v).to_owned())));
        labels.sort();
        self.series.push(Series { labels, kind });
    }
}

/// The `instance` of a target.
pub(crate) fn instance(target: usize) -> String {
    format!("node-{target:04}.c1.local:9100")
}

/// 60 counters and 40 gauges of a node.
pub(crate) fn node(target: usize, random: &mut Random) -> Vec<Series> {
    let instance = instance(target);
    let mut list = List {
        base: Vec::new(),
        series: Vec::with_capacity(GROUP),
    };
    list.base(&[
        ("job", "node-exporter"),
        ("instance", &instance),
        ("node", &instance),
        ("namespace", "monitoring"),
        ("cluster", "c1"),
        ("container", "node-exporter"),
        ("pod", &format!("node-exporter-{target:04}")),
        ("endpoint", "https"),
    ]);
    node_counters(&mut list, random);
    node_memory(&mut list);
    for (mount, device, kind) in [
        ("/", "/dev/nvme0n1p1", "ext4"),
        ("/var/lib/containerd", "/dev/nvme1n1", "ext4"),
        ("/run", "tmpfs", "tmpfs"),
    ] {
        let more = [("device", device), ("mountpoint", mount), ("fstype", kind)];
        list.add(
            "node_filesystem_size_bytes",
            Kind::Constant(2_f64.powi(38)),
            &more,
        );
        list.add("node_filesystem_avail_bytes", Kind::Pages(2_f64.powi(37)), &more);
        list.add("node_filesystem_free_bytes", Kind::Pages(2_f64.powi(37)), &more);
        list.add("node_filesystem_files_free", Kind::SmallInteger(1e6), &more);
    }
    for name in ["node_load1", "node_load5", "node_load15"] {
        list.add(name, Kind::Load(2.0), &[]);
    }
    list.add("up", Kind::Constant(1.0), &[]);
    list.add("node_boot_time_seconds", Kind::Constant(BOOT_S), &[]);
    list.add("node_time_seconds", Kind::Now, &[]);
    for (name, mean) in [
        ("node_procs_running", 4.0),
        ("node_procs_blocked", 1.0),
        ("node_sockstat_TCP_inuse", 300.0),
        ("node_sockstat_TCP_tw", 80.0),
        ("node_filefd_allocated", 4000.0),
    ] {
        list.add(name, Kind::SmallInteger(mean), &[]);
    }
    let uname = [
        ("release", "6.1.0-18-amd64"),
        ("machine", "x86_64"),
        ("sysname", "Linux"),
    ];
    list.add("node_uname_info", Kind::Constant(1.0), &uname);
    list.series
}

fn node_counters(list: &mut List, random: &mut Random) {
    for cpu in ["0", "1", "2", "3"] {
        for (mode, share) in MODES {
            list.add(
                "node_cpu_seconds_total",
                Kind::Centiseconds(share),
                &[("cpu", cpu), ("mode", mode)],
            );
        }
    }
    for device in ["eth0", "cni0", "lo"] {
        for (what, rate) in [
            ("receive_bytes", 4e5),
            ("transmit_bytes", 3e5),
            ("receive_packets", 600.0),
            ("transmit_packets", 500.0),
        ] {
            let kind = Kind::Integer(rate * random.lognormal(0.0, 1.0));
            list.add(&format!("node_network_{what}_total"), kind, &[("device", device)]);
        }
    }
    for device in ["nvme0n1", "nvme1n1"] {
        for (what, rate) in [
            ("read_bytes", 1e5),
            ("written_bytes", 6e5),
            ("reads_completed", 12.0),
            ("writes_completed", 60.0),
        ] {
            let kind = Kind::Integer(rate * random.lognormal(0.0, 1.0));
            list.add(&format!("node_disk_{what}_total"), kind, &[("device", device)]);
        }
        list.add(
            "node_disk_io_time_seconds_total",
            Kind::Centiseconds(0.03),
            &[("device", device)],
        );
    }
    for (name, rate) in [
        ("node_context_switches_total", 9000.0),
        ("node_forks_total", 14.0),
        ("node_intr_total", 6000.0),
        ("node_vmstat_pgfault", 5e3),
        ("node_vmstat_pgmajfault", 0.3),
    ] {
        list.add(name, Kind::Integer(rate), &[]);
    }
    list.add("node_vmstat_oom_kill", Kind::Flat, &[]);
}

fn node_memory(list: &mut List) {
    let total = 2_f64.powi(34);
    list.add("node_memory_MemTotal_bytes", Kind::Constant(total), &[]);
    list.add("node_memory_SwapTotal_bytes", Kind::Constant(0.0), &[]);
    for (what, share) in [
        ("MemFree", 0.1),
        ("MemAvailable", 0.5),
        ("Buffers", 0.01),
        ("Cached", 0.35),
        ("Active", 0.4),
        ("Inactive", 0.3),
        ("AnonPages", 0.3),
        ("Mapped", 0.05),
        ("Slab", 0.02),
        ("SReclaimable", 0.015),
        ("Dirty", 0.001),
        ("Writeback", 0.0001),
        ("Shmem", 0.01),
        ("PageTables", 0.002),
    ] {
        list.add(
            &format!("node_memory_{what}_bytes"),
            Kind::Pages(total * share),
            &[],
        );
    }
}

/// 60 counters, 30 gauges and 10 buckets of one pod with two containers. A slot keeps its namespace and its
/// service when churn replaces the pod; the pod's name is new.
pub(crate) fn pod(target: usize, slot: usize, random: &mut Random) -> Vec<Series> {
    let instance = instance(target);
    let fixed = Random::new(&[77, target as u64, slot as u64]).word() >> 8;
    let namespace = NAMESPACES[(fixed % 10) as usize];
    let app = APPS[((fixed >> 8) % 8) as usize];
    let uid = format!("{:08x}", random.below(1 << 32));
    let set = format!("{app}-{:09x}", fixed.wrapping_mul(2_654_435_761) % (1 << 36));
    let pod = format!("{set}-{}", &uid[..5]);
    let mut list = List {
        base: Vec::new(),
        series: Vec::with_capacity(GROUP),
    };
    for container in [app, "istio-proxy"] {
        list.base(&[
            ("job", "kubelet"),
            ("metrics_path", "/metrics/cadvisor"),
            ("instance", &instance),
            ("node", &instance),
            ("namespace", namespace),
            ("pod", &pod),
            ("container", container),
            (
                "image",
                &format!("registry.local/{namespace}/{container}:v1.{}", fixed % 40),
            ),
            ("id", &format!("/kubepods/burstable/pod{uid}/{container}")),
        ]);
        container_series(&mut list, BOOT_S + (fixed % 100_000) as f64, random);
    }
    list.add("container_last_seen", Kind::Now, &[]);
    list.base(&[
        ("job", "kube-state-metrics"),
        ("instance", &instance),
        ("node", &instance),
        ("namespace", namespace),
        ("pod", &pod),
        ("uid", &uid),
        ("host_ip", &format!("10.0.{}.{}", target / 250, target % 250)),
        ("created_by_kind", "ReplicaSet"),
        ("created_by_name", &set),
        ("priority_class", "default"),
    ]);
    list.add("kube_pod_info", Kind::Constant(1.0), &[]);
    list.base(&[
        ("job", "kubelet"),
        ("metrics_path", "/metrics/cadvisor"),
        ("instance", &instance),
        ("node", &instance),
        ("namespace", namespace),
        ("pod", &pod),
        ("id", &format!("/kubepods/burstable/pod{uid}")),
        ("image", "registry.local/pause:3.9"),
        ("interface", "eth0"),
    ]);
    pod_network(&mut list, random);
    list.base(&[
        ("job", app),
        ("instance", &instance),
        ("node", &instance),
        ("namespace", namespace),
        ("pod", &pod),
        ("container", app),
        ("endpoint", "http"),
        ("service", app),
    ]);
    service_series(&mut list, random);
    list.series
}

fn container_series(list: &mut List, started_s: f64, random: &mut Random) {
    let share = 0.3 * random.lognormal(-1.0, 1.0);
    list.add(
        "container_cpu_usage_seconds_total",
        Kind::Nanoseconds(share),
        &[("cpu", "total")],
    );
    list.add(
        "container_cpu_user_seconds_total",
        Kind::Nanoseconds(share * 0.7),
        &[],
    );
    list.add(
        "container_cpu_system_seconds_total",
        Kind::Nanoseconds(share * 0.3),
        &[],
    );
    list.add("container_cpu_cfs_periods_total", Kind::Integer(10.0), &[]);
    list.add("container_cpu_cfs_throttled_periods_total", Kind::Idle(0.5), &[]);
    list.add(
        "container_cpu_cfs_throttled_seconds_total",
        Kind::IdleNanoseconds,
        &[],
    );
    list.add("container_memory_failcnt", Kind::Flat, &[]);
    for scope in ["container", "hierarchy"] {
        for (failure, kind) in [("pgfault", Kind::Integer(40.0)), ("pgmajfault", Kind::Flat)] {
            let more = [("failure_type", failure), ("scope", scope)];
            list.add("container_memory_failures_total", kind, &more);
        }
    }
    for (what, kind) in [
        ("reads_bytes", Kind::Idle(2e3)),
        ("writes_bytes", Kind::Integer(3e4)),
        ("reads", Kind::Idle(0.2)),
        ("writes", Kind::Integer(3.0)),
    ] {
        list.add(
            &format!("container_fs_{what}_total"),
            kind,
            &[("device", "/dev/nvme1n1")],
        );
    }
    let limit = 2_f64.powi(27 + random.below(5) as i32);
    for (what, share) in [
        ("working_set_bytes", 0.55),
        ("usage_bytes", 0.65),
        ("rss", 0.45),
        ("cache", 0.1),
        ("mapped_file", 0.02),
    ] {
        list.add(
            &format!("container_memory_{what}"),
            Kind::Pages(limit * share),
            &[],
        );
    }
    for (name, value) in [
        ("container_memory_swap", 0.0),
        ("container_memory_max_usage_bytes", limit * 0.9),
        ("container_spec_memory_limit_bytes", limit),
        ("container_spec_cpu_quota", 50_000.0),
        ("container_spec_cpu_shares", 256.0),
        ("container_start_time_seconds", started_s),
    ] {
        list.add(name, Kind::Constant(value), &[]);
    }
    for (what, mean) in [("threads", 24.0), ("processes", 2.0), ("file_descriptors", 60.0)] {
        list.add(&format!("container_{what}"), Kind::SmallInteger(mean), &[]);
    }
}

fn pod_network(list: &mut List, random: &mut Random) {
    for (what, rate) in [
        ("receive_bytes", 2e4),
        ("transmit_bytes", 3e4),
        ("receive_packets", 50.0),
        ("transmit_packets", 50.0),
    ] {
        let kind = Kind::Integer(rate * random.lognormal(0.0, 1.0));
        list.add(&format!("container_network_{what}_total"), kind, &[]);
    }
    for what in [
        "receive_errors",
        "transmit_errors",
        "receive_packets_dropped",
        "transmit_packets_dropped",
    ] {
        list.add(&format!("container_network_{what}_total"), Kind::Flat, &[]);
    }
}

fn service_series(list: &mut List, random: &mut Random) {
    for handler in HANDLERS {
        for method in ["GET", "POST"] {
            let rate = 8.0 * random.lognormal(0.0, 0.7);
            for (code, kind) in [("200", Kind::Integer(rate)), ("500", Kind::Idle(rate * 0.01))] {
                let more = [("method", method), ("handler", handler), ("code", code)];
                list.add("http_requests_total", kind, &more);
            }
        }
    }
    list.add("http_request_duration_seconds_count", Kind::BucketCount, &[]);
    list.add("http_request_duration_seconds_sum", Kind::BucketSum, &[]);
    for (i, bound) in BOUNDS.iter().enumerate() {
        list.add(
            "http_request_duration_seconds_bucket",
            Kind::Bucket(i),
            &[("le", bound)],
        );
    }
}

#[cfg(test)]
mod tests {
    use super::{GROUP, Kind, Series, node, pod};
    use crate::random::Random;
    use std::collections::BTreeSet;

    fn check(series: &[Series], counters: usize, buckets: usize) {
        assert_eq!(series.len(), GROUP);
        assert_eq!(series.iter().filter(|s| s.kind.is_counter()).count(), counters);
        let is_bucket = |s: &&Series| matches!(s.kind, Kind::Bucket(_));
        assert_eq!(series.iter().filter(is_bucket).count(), buckets);
        let sets: BTreeSet<_> = series.iter().map(|s| &s.labels).collect();
        assert_eq!(sets.len(), GROUP, "a label set stands twice");
        for one in series {
            assert!((9..=12).contains(&one.labels.len()), "{:?}", one.labels);
            assert!(one.labels.is_sorted());
        }
    }

    #[test]
    fn the_mix_is_sixty_thirty_ten() {
        check(&node(3, &mut Random::new(&[1])), 60, 0);
        check(&pod(3, 1, &mut Random::new(&[1])), 60, 10);
    }
}
