//! The process's own metrics, read from `/proc/self`, under the names that every Prometheus client uses.

use super::{family, set_value};
use model::{MetricDef, MetricKind};
use prometheus::proto;

/// `USER_HZ`: the unit of times in `/proc/self/stat`, 100 on every Linux that we run on.
const TICKS_PER_SECOND: f64 = 100.0;

const fn def(name: &'static str, help: &'static str, kind: MetricKind) -> MetricDef {
    MetricDef {
        name,
        help,
        kind,
        labels: &[],
    }
}

static CPU: MetricDef = def(
    "process_cpu_seconds_total",
    "Total user and system CPU time spent in seconds.",
    MetricKind::Counter,
);
static RESIDENT: MetricDef = def(
    "process_resident_memory_bytes",
    "Resident memory size in bytes.",
    MetricKind::Gauge,
);
static VIRTUAL: MetricDef = def(
    "process_virtual_memory_bytes",
    "Virtual memory size in bytes.",
    MetricKind::Gauge,
);
static OPEN_FDS: MetricDef = def(
    "process_open_fds",
    "Number of open file descriptors.",
    MetricKind::Gauge,
);
static MAX_FDS: MetricDef = def(
    "process_max_fds",
    "Maximum number of open file descriptors.",
    MetricKind::Gauge,
);
static START: MetricDef = def(
    "process_start_time_seconds",
    "Start time of the process since unix epoch in seconds.",
    MetricKind::Gauge,
);

/// Reads `/proc/self` at each gathering. What cannot be read is left out.
pub(super) struct Process {
    start_seconds: Option<f64>,
}

impl Process {
    pub(super) fn new() -> Self {
        let read = |path| std::fs::read_to_string(path).ok();
        let start_seconds = read("/proc/self/stat")
            .zip(read("/proc/stat"))
            .and_then(|(own, system)| {
                Some(boot_seconds(&system)? + Stat::parse(&own)?.start_ticks / TICKS_PER_SECOND)
            });
        Self { start_seconds }
    }
    fn values(&self) -> Vec<(&'static MetricDef, Option<f64>)> {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let cpu = Stat::parse(&read("/proc/self/stat")).map(|s| s.cpu_ticks / TICKS_PER_SECOND);
        let status = read("/proc/self/status");
        let open_fds = std::fs::read_dir("/proc/self/fd").ok().map(|fds| {
            // The directory that is being read is one of them.
            fds.count().saturating_sub(1) as f64
        });
        vec![
            (&CPU, cpu),
            (&RESIDENT, status_bytes(&status, "VmRSS:")),
            (&VIRTUAL, status_bytes(&status, "VmSize:")),
            (&OPEN_FDS, open_fds),
            (&MAX_FDS, max_open_files(&read("/proc/self/limits"))),
            (&START, self.start_seconds),
        ]
    }
    pub(super) fn gather(&self) -> impl Iterator<Item = proto::MetricFamily> {
        self.values().into_iter().filter_map(|(def, value)| {
            let mut metric = proto::Metric::default();
            set_value(&mut metric, def.kind, value?);
            Some(family(def.name, def.help, def.kind, vec![metric]))
        })
    }
}

/// The fields of `/proc/self/stat` (see proc(5)) that we use, in ticks.
#[derive(Debug, PartialEq)]
struct Stat {
    cpu_ticks: f64,
    start_ticks: f64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The second field is the program's name in parentheses, which may itself hold spaces and parentheses.
        let rest = &text[text.rfind(')')? + 1..];
        let field = |number: usize| rest.split_ascii_whitespace().nth(number - 3)?.parse::<f64>().ok();
        Some(Self {
            cpu_ticks: field(14)? + field(15)?,
            start_ticks: field(22)?,
        })
    }
}

fn boot_seconds(proc_stat: &str) -> Option<f64> {
    let line = proc_stat.lines().find_map(|l| l.strip_prefix("btime "))?;
    line.trim().parse().ok()
}

fn status_bytes(status: &str, key: &str) -> Option<f64> {
    let line = status.lines().find_map(|l| l.strip_prefix(key))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024.0)
}

fn max_open_files(limits: &str) -> Option<f64> {
    let line = limits.lines().find_map(|l| l.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_writes() {
        let stat = "42 (a (b) c) S 1 1 1 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 4 0 777 1000 10 184";
        assert_eq!(
            Stat::parse(stat),
            Some(Stat {
                cpu_ticks: 300.0,
                start_ticks: 777.0
            })
        );
        assert_eq!(Stat::parse("42 (x) S 1"), None);
        assert_eq!(
            boot_seconds("cpu 1 2\nbtime 1700000000\nx"),
            Some(1_700_000_000.0)
        );
        let status = "Name:\tx\nVmSize:\t  2048 kB\nVmRSS:\t      10 kB\n";
        assert_eq!(status_bytes(status, "VmRSS:"), Some(10_240.0));
        assert_eq!(status_bytes(status, "VmPeak:"), None);
        let limits = "Limit  Soft Limit  Hard Limit Units\nMax open files            1024                 524288               files\n";
        assert_eq!(max_open_files(limits), Some(1024.0));
        assert_eq!(max_open_files("Max open files unlimited unlimited files"), None);
    }

    #[test]
    fn this_process_has_all_of_them() {
        let values = Process::new().values();
        let missing: Vec<_> = values.iter().filter(|(_, v)| v.is_none()).collect();
        assert!(missing.is_empty(), "{missing:?}");
        for (def, value) in values {
            assert!(value.unwrap() > 0.0 || def.name == CPU.name, "{}", def.name);
        }
    }
}
