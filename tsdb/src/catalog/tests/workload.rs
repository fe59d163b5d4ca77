//! Label sets like those of a Kubernetes cluster: a node exporter for each node, and pods of 100 series.

use ::model::Labels;
use storage::Rng;

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
const CONTAINER: [&str; 20] = [
    "cpu_usage_seconds_total",
    "cpu_user_seconds_total",
    "cpu_system_seconds_total",
    "cpu_cfs_periods_total",
    "cpu_cfs_throttled_periods_total",
    "cpu_cfs_throttled_seconds_total",
    "memory_failcnt",
    "memory_working_set_bytes",
    "memory_usage_bytes",
    "memory_rss",
    "memory_cache",
    "memory_mapped_file",
    "memory_swap",
    "memory_max_usage_bytes",
    "spec_memory_limit_bytes",
    "spec_cpu_quota",
    "spec_cpu_shares",
    "start_time_seconds",
    "threads",
    "processes",
];
const LE: [&str; 10] = [
    "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "+Inf",
];

fn set(base: &[(&str, &str)], more: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(base.iter().chain(more).copied())
}

/// 100 series of a node.
pub(super) fn node(number: u32) -> Vec<Labels> {
    let instance = format!("node-{number:04}.c1.local:9100");
    let pod = format!("node-exporter-{number:04}");
    let base = [
        ("job", "node-exporter"),
        ("instance", &instance),
        ("node", &instance),
        ("namespace", "monitoring"),
        ("cluster", "c1"),
        ("container", "node-exporter"),
        ("pod", &pod),
        ("endpoint", "https"),
    ];
    let mut series = Vec::with_capacity(100);
    for cpu in ["0", "1", "2", "3"] {
        for mode in [
            "idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user",
        ] {
            series.push(set(
                &base,
                &[
                    ("__name__", "node_cpu_seconds_total"),
                    ("cpu", cpu),
                    ("mode", mode),
                ],
            ));
        }
    }
    for device in ["eth0", "cni0", "lo", "nvme0n1"] {
        for what in [
            "receive_bytes",
            "transmit_bytes",
            "receive_packets",
            "transmit_packets",
            "errors",
        ] {
            let name = format!("node_network_{what}_total");
            series.push(set(&base, &[("__name__", &name), ("device", device)]));
        }
    }
    for number in 0..48 {
        let name = format!("node_memory_part_{number}_bytes");
        series.push(set(&base, &[("__name__", &name)]));
    }
    series
}

/// 100 series of a pod with two containers.
pub(super) fn pod(on_node: u32, rng: &mut Rng) -> Vec<Labels> {
    let instance = format!("node-{on_node:04}.c1.local:9100");
    let namespace = NAMESPACES[rng.below(10) as usize];
    let app = APPS[rng.below(8) as usize];
    let uid = format!("{:08x}", rng.below(1 << 32));
    let pod = format!("{app}-{:09x}-{}", rng.below(1 << 36), &uid[..5]);
    let mut series = Vec::with_capacity(100);
    for container in [app, "istio-proxy"] {
        let image = format!("registry.local/{namespace}/{container}:v1.{}", rng.below(40));
        let id = format!("/kubepods/burstable/pod{uid}/{container}");
        let base = [
            ("job", "kubelet"),
            ("metrics_path", "/metrics/cadvisor"),
            ("instance", &*instance),
            ("node", &instance),
            ("namespace", namespace),
            ("pod", &pod),
            ("container", container),
            ("image", &image),
            ("id", &id),
        ];
        for name in CONTAINER {
            let name = format!("container_{name}");
            series.push(set(&base, &[("__name__", &name)]));
        }
        for kind in ["pgfault", "pgmajfault"] {
            for scope in ["container", "hierarchy"] {
                let name = ("__name__", "container_memory_failures_total");
                series.push(set(&base, &[name, ("failure_type", kind), ("scope", scope)]));
            }
        }
        for what in [
            "reads_bytes",
            "writes_bytes",
            "reads",
            "writes",
            "io_time",
            "limit",
        ] {
            let name = format!("container_fs_{what}_total");
            series.push(set(&base, &[("__name__", &name), ("device", "/dev/nvme1n1")]));
        }
    }
    let base = [
        ("job", app),
        ("instance", &*instance),
        ("node", &instance),
        ("namespace", namespace),
        ("pod", &pod),
        ("container", app),
        ("endpoint", "http"),
        ("service", app),
    ];
    for handler in [
        "/",
        "/api/v1/items",
        "/api/v1/users",
        "/login",
        "/healthz",
        "/metrics",
    ] {
        for method in ["GET", "POST"] {
            for code in ["200", "404", "500"] {
                let name = ("__name__", "http_requests_total");
                series.push(set(
                    &base,
                    &[name, ("method", method), ("handler", handler), ("code", code)],
                ));
            }
        }
    }
    for le in LE {
        let name = ("__name__", "http_request_duration_seconds_bucket");
        series.push(set(&base, &[name, ("le", le)]));
    }
    series.truncate(100);
    series
}

/// So many series, target by target: each node with its pods.
pub(super) fn cluster(series: usize, pods_per_node: u32, seed: u64) -> impl Iterator<Item = Labels> {
    let mut rng = Rng::new(seed);
    let nodes = (0..).flat_map(move |number| {
        let mut of_node = node(number);
        for _ in 0..pods_per_node {
            of_node.append(&mut pod(number, &mut rng));
        }
        of_node
    });
    nodes.take(series)
}
