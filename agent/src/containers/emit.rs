//! cAdvisor's metric families for one container.

use super::files::Devices;
use super::stats::Stats;
use crate::series::{Family, Gatherer};
use model::Labels;

macro_rules! families {
    ($($id:ident = $kind:ident $name:literal $help:literal;)*) => {
        $(pub(super) static $id: Family = Family::$kind($name, $help);)*
    };
}

families! {
    CPU_USAGE = counter "container_cpu_usage_seconds_total" "Cumulative cpu time consumed in seconds.";
    CPU_USER = counter "container_cpu_user_seconds_total" "Cumulative user cpu time consumed in seconds.";
    CPU_SYSTEM = counter "container_cpu_system_seconds_total" "Cumulative system cpu time consumed in seconds.";
    CFS_PERIODS = counter "container_cpu_cfs_periods_total" "Number of elapsed enforcement period intervals.";
    CFS_THROTTLED_PERIODS = counter "container_cpu_cfs_throttled_periods_total" "Number of throttled period intervals.";
    CFS_THROTTLED_SECONDS = counter "container_cpu_cfs_throttled_seconds_total" "Total time duration the container has been throttled.";
    MEMORY_USAGE = gauge "container_memory_usage_bytes" "Current memory usage in bytes, including all memory regardless of when it was accessed.";
    MEMORY_MAX_USAGE = gauge "container_memory_max_usage_bytes" "Maximum memory usage recorded in bytes.";
    MEMORY_WORKING_SET = gauge "container_memory_working_set_bytes" "Current working set in bytes.";
    MEMORY_RSS = gauge "container_memory_rss" "Size of RSS in bytes.";
    MEMORY_CACHE = gauge "container_memory_cache" "Number of bytes of page cache memory.";
    MEMORY_SWAP = gauge "container_memory_swap" "Container swap usage in bytes.";
    MEMORY_MAPPED_FILE = gauge "container_memory_mapped_file" "Size of memory mapped files in bytes.";
    MEMORY_FAILCNT = counter "container_memory_failcnt" "Number of memory usage hits limits.";
    MEMORY_FAILURES = counter "container_memory_failures_total" "Cumulative count of memory allocation failures.";
    SPEC_MEMORY_LIMIT = gauge "container_spec_memory_limit_bytes" "Memory limit for the container.";
    SPEC_CPU_QUOTA = gauge "container_spec_cpu_quota" "CPU quota of the container.";
    SPEC_CPU_PERIOD = gauge "container_spec_cpu_period" "CPU period of the container.";
    SPEC_CPU_SHARES = gauge "container_spec_cpu_shares" "CPU share of the container.";
    OOM_EVENTS = counter "container_oom_events_total" "Count of out of memory events observed for the container.";
    PROCESSES = gauge "container_processes" "Number of processes running inside the container.";
    THREADS = gauge "container_threads" "Number of threads running inside the container.";
    FS_READS_BYTES = counter "container_fs_reads_bytes_total" "Cumulative count of bytes read.";
    FS_WRITES_BYTES = counter "container_fs_writes_bytes_total" "Cumulative count of bytes written.";
    FS_READS = counter "container_fs_reads_total" "Cumulative count of reads completed.";
    FS_WRITES = counter "container_fs_writes_total" "Cumulative count of writes completed.";
    START_TIME = gauge "container_start_time_seconds" "Start time of the container since unix epoch in seconds.";
    LAST_SEEN = gauge "container_last_seen" "Last time a container was seen by the exporter.";
}

/// What is known besides the group's own numbers.
pub(super) struct Now {
    pub(super) processes: u64,
    pub(super) start_time_s: Option<f64>,
}

const NS_PER_S: f64 = 1e9;

/// Adds a container's samples.
pub(super) fn emit(g: &mut Gatherer, labels: &Labels, s: &Stats, now: &Now, devices: &Devices) {
    cpu(g, labels, s);
    memory(g, labels, s);
    io(g, labels, s, devices);
    let mut plain = |family, value: Option<f64>| {
        if let Some(value) = value {
            g.emit(family, labels, &[], value);
        }
    };
    plain(&PROCESSES, Some(now.processes as f64));
    plain(&THREADS, s.threads.map(|n| n as f64));
    plain(&START_TIME, now.start_time_s);
    let now_s = g.now_ms().div_euclid(1000);
    g.emit(&LAST_SEEN, labels, &[], now_s as f64);
}

fn cpu(g: &mut Gatherer, labels: &Labels, s: &Stats) {
    if let Some(ns) = s.cpu_usage_ns {
        g.emit(&CPU_USAGE, labels, &[("cpu", "total")], ns as f64 / NS_PER_S);
    }
    let mut plain = |family, value: Option<f64>| {
        if let Some(value) = value {
            g.emit(family, labels, &[], value);
        }
    };
    plain(&CPU_USER, s.cpu_user_ns.map(|ns| ns as f64 / NS_PER_S));
    plain(&CPU_SYSTEM, s.cpu_system_ns.map(|ns| ns as f64 / NS_PER_S));
    plain(&SPEC_CPU_SHARES, s.cpu_shares.map(|n| n as f64));
    plain(&SPEC_CPU_PERIOD, s.cpu_period_us.map(|n| n as f64));
    // Like cAdvisor: without a quota there is no enforcement to tell of.
    if let Some(quota) = s.cpu_quota_us.filter(|quota| *quota > 0) {
        plain(&SPEC_CPU_QUOTA, Some(quota as f64));
        plain(&CFS_PERIODS, s.cfs_periods.map(|n| n as f64));
        plain(&CFS_THROTTLED_PERIODS, s.cfs_throttled_periods.map(|n| n as f64));
        plain(
            &CFS_THROTTLED_SECONDS,
            s.cfs_throttled_ns.map(|ns| ns as f64 / NS_PER_S),
        );
    }
}

fn memory(g: &mut Gatherer, labels: &Labels, s: &Stats) {
    for (family, value) in [
        (&MEMORY_USAGE, s.memory_usage),
        (&MEMORY_MAX_USAGE, s.memory_max_usage),
        (&MEMORY_WORKING_SET, s.working_set()),
        (&MEMORY_RSS, s.memory_rss),
        (&MEMORY_CACHE, s.memory_cache),
        (&MEMORY_SWAP, s.memory_swap),
        (&MEMORY_MAPPED_FILE, s.memory_mapped_file),
        (&MEMORY_FAILCNT, s.memory_failcnt),
        (&SPEC_MEMORY_LIMIT, s.memory_limit),
    ] {
        if let Some(value) = value {
            g.emit(family, labels, &[], value as f64);
        }
    }
    for (kind, counts) in [("pgfault", s.pgfault), ("pgmajfault", s.pgmajfault)] {
        let Some((own, all)) = counts else { continue };
        for (scope, count) in [("container", own), ("hierarchy", all)] {
            let extra = [("failure_type", kind), ("scope", scope)];
            g.emit(&MEMORY_FAILURES, labels, &extra, count as f64);
        }
    }
}

fn io(g: &mut Gatherer, labels: &Labels, s: &Stats, devices: &Devices) {
    for device in &s.io {
        let Some(name) = devices.name(device.device) else {
            continue;
        };
        let extra = [("device", name)];
        for (family, value) in [
            (&FS_READS_BYTES, device.read_bytes),
            (&FS_WRITES_BYTES, device.written_bytes),
            (&FS_READS, device.reads),
            (&FS_WRITES, device.writes),
        ] {
            g.emit(family, labels, &extra, value as f64);
        }
    }
}
