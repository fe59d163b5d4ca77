//! Reading control groups of version 1: a directory per controller.

use super::stats::{Stats, device_number, limit_or_zero};
use crate::host::{Reader, flat_keyed};
use std::path::{Path, PathBuf};

/// Nanoseconds per tick of `cpuacct.stat`. The kernel shows user space 100 ticks a second on every architecture.
const NS_PER_TICK: u64 = 1_000_000_000 / 100;

/// Where a container's control groups are, by controller.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dirs {
    /// Bandwidth and weight.
    pub cpu: Option<PathBuf>,
    /// Processor time.
    pub cpuacct: Option<PathBuf>,
    /// Memory.
    pub memory: Option<PathBuf>,
    /// Block devices.
    pub blkio: Option<PathBuf>,
    /// Threads.
    pub pids: Option<PathBuf>,
}

/// Reads everything.
pub(super) fn read(dirs: &Dirs, reader: &mut Reader, stats: &mut Stats) {
    stats.clear();
    if let Some(dir) = &dirs.cpuacct {
        cpuacct(dir, reader, stats);
    }
    if let Some(dir) = &dirs.cpu {
        cpu(dir, reader, stats);
    }
    if let Some(dir) = &dirs.memory {
        memory(dir, reader, stats);
    }
    if let Some(dir) = &dirs.blkio {
        blkio(dir, reader, stats);
    }
    if let Some(dir) = &dirs.pids {
        stats.threads = reader.number(dir, "pids.current");
    }
}

fn cpuacct(dir: &Path, reader: &mut Reader, stats: &mut Stats) {
    stats.cpu_usage_ns = reader.number(dir, "cpuacct.usage");
    for (key, ticks) in flat_keyed(reader.read_in(dir, "cpuacct.stat").unwrap_or_default()) {
        match key {
            "user" => stats.cpu_user_ns = Some(ticks * NS_PER_TICK),
            "system" => stats.cpu_system_ns = Some(ticks * NS_PER_TICK),
            _ => {}
        }
    }
}

fn cpu(dir: &Path, reader: &mut Reader, stats: &mut Stats) {
    for (key, value) in flat_keyed(reader.read_in(dir, "cpu.stat").unwrap_or_default()) {
        match key {
            "nr_periods" => stats.cfs_periods = Some(value),
            "nr_throttled" => stats.cfs_throttled_periods = Some(value),
            "throttled_time" => stats.cfs_throttled_ns = Some(value),
            _ => {}
        }
    }
    // No limit is written as -1, which is no number here.
    stats.cpu_quota_us = reader
        .read_in(dir, "cpu.cfs_quota_us")
        .map(|text| text.trim().parse().unwrap_or(0));
    stats.cpu_period_us = reader.number(dir, "cpu.cfs_period_us");
    stats.cpu_shares = reader.number(dir, "cpu.shares");
}

fn memory(dir: &Path, reader: &mut Reader, stats: &mut Stats) {
    stats.memory_usage = reader.number(dir, "memory.usage_in_bytes");
    stats.memory_max_usage = reader.number(dir, "memory.max_usage_in_bytes");
    stats.memory_failcnt = reader.number(dir, "memory.failcnt");
    stats.memory_limit = reader.number(dir, "memory.limit_in_bytes").map(limit_or_zero);
    let (mut faults, mut total_faults, mut major, mut total_major) = (None, None, None, None);
    for (key, value) in flat_keyed(reader.read_in(dir, "memory.stat").unwrap_or_default()) {
        match key {
            "total_rss" => stats.memory_rss = Some(value),
            "total_cache" => stats.memory_cache = Some(value),
            "total_swap" => stats.memory_swap = Some(value),
            "total_mapped_file" => stats.memory_mapped_file = Some(value),
            "total_inactive_file" => stats.memory_inactive_file = Some(value),
            "pgfault" => faults = Some(value),
            "pgmajfault" => major = Some(value),
            "total_pgfault" => total_faults = Some(value),
            "total_pgmajfault" => total_major = Some(value),
            _ => {}
        }
    }
    stats.pgfault = faults.zip(total_faults);
    stats.pgmajfault = major.zip(total_major);
    stats.oom_kills = reader
        .read_in(dir, "memory.oom_control")
        .and_then(|text| crate::host::keyed_value(text, "oom_kill"));
}

/// Lines `major:minor Operation value`. The recursive file counts the groups below too; old kernels lack it.
fn blkio(dir: &Path, reader: &mut Reader, stats: &mut Stats) {
    for (names, is_bytes) in [
        (
            [
                "blkio.throttle.io_service_bytes_recursive",
                "blkio.throttle.io_service_bytes",
            ],
            true,
        ),
        (
            [
                "blkio.throttle.io_serviced_recursive",
                "blkio.throttle.io_serviced",
            ],
            false,
        ),
    ] {
        let recursive = reader.read_in(dir, names[0]).is_some();
        let text = reader
            .read_in(dir, names[usize::from(!recursive)])
            .unwrap_or_default();
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            let (Some(device), Some(operation), Some(value)) = (
                words.next().and_then(device_number),
                words.next(),
                words.next().and_then(|v| v.parse().ok()),
            ) else {
                continue;
            };
            let entry = stats.device(device);
            match (operation, is_bytes) {
                ("Read", true) => entry.read_bytes = value,
                ("Write", true) => entry.written_bytes = value,
                ("Read", false) => entry.reads = value,
                ("Write", false) => entry.writes = value,
                _ => {}
            }
        }
    }
}
