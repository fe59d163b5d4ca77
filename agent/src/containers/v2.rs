//! Reading control groups of version 2: one directory for everything.

use super::stats::{Stats, device_number, limit_or_zero};
use crate::host::{Reader, flat_keyed};
use std::path::Path;

/// Reads everything.
pub(super) fn read(dir: &Path, reader: &mut Reader, stats: &mut Stats) {
    stats.clear();
    cpu(dir, reader, stats);
    memory(dir, reader, stats);
    io(dir, reader, stats);
    stats.threads = reader.number(dir, "pids.current");
}

fn cpu(dir: &Path, reader: &mut Reader, stats: &mut Stats) {
    for (key, value) in flat_keyed(reader.read_in(dir, "cpu.stat").unwrap_or_default()) {
        match key {
            "usage_usec" => stats.cpu_usage_ns = Some(value * 1000),
            "user_usec" => stats.cpu_user_ns = Some(value * 1000),
            "system_usec" => stats.cpu_system_ns = Some(value * 1000),
            "nr_periods" => stats.cfs_periods = Some(value),
            "nr_throttled" => stats.cfs_throttled_periods = Some(value),
            "throttled_usec" => stats.cfs_throttled_ns = Some(value * 1000),
            _ => {}
        }
    }
    // `quota period`, with `max` for no quota.
    if let Some(text) = reader.read_in(dir, "cpu.max") {
        let mut words = text.split_ascii_whitespace();
        stats.cpu_quota_us = words.next().map(|quota| quota.parse().unwrap_or(0));
        stats.cpu_period_us = words.next().and_then(|period| period.parse().ok());
    }
    stats.cpu_shares = reader.number(dir, "cpu.weight").map(shares_of_weight);
}

/// cAdvisor's mapping of weights 1 to 10000 to shares 2 to 262144.
fn shares_of_weight(weight: u64) -> u64 {
    2 + (weight.clamp(1, 10_000) - 1) * 262_142 / 9_999
}

fn memory(dir: &Path, reader: &mut Reader, stats: &mut Stats) {
    stats.memory_usage = reader.number(dir, "memory.current");
    stats.memory_max_usage = reader.number(dir, "memory.peak");
    stats.memory_swap = reader.number(dir, "memory.swap.current");
    stats.memory_limit = reader
        .read_in(dir, "memory.max")
        .map(|text| text.trim().parse().map_or(0, limit_or_zero));
    for (key, value) in flat_keyed(reader.read_in(dir, "memory.stat").unwrap_or_default()) {
        match key {
            "anon" => stats.memory_rss = Some(value),
            "file" => stats.memory_cache = Some(value),
            "file_mapped" => stats.memory_mapped_file = Some(value),
            "inactive_file" => stats.memory_inactive_file = Some(value),
            // Version 2 always counts the groups below too.
            "pgfault" => stats.pgfault = Some((value, value)),
            "pgmajfault" => stats.pgmajfault = Some((value, value)),
            _ => {}
        }
    }
    for (key, value) in flat_keyed(reader.read_in(dir, "memory.events").unwrap_or_default()) {
        match key {
            "max" => stats.memory_failcnt = Some(value),
            "oom_kill" => stats.oom_kills = Some(value),
            _ => {}
        }
    }
}

/// Lines `major:minor rbytes=… wbytes=… rios=… wios=… dbytes=… dios=…`.
fn io(dir: &Path, reader: &mut Reader, stats: &mut Stats) {
    for line in reader.read_in(dir, "io.stat").unwrap_or_default().lines() {
        let mut words = line.split_ascii_whitespace();
        let Some(device) = words.next().and_then(device_number) else {
            continue;
        };
        let entry = stats.device(device);
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            let Ok(value) = value.parse() else { continue };
            match key {
                "rbytes" => entry.read_bytes = value,
                "wbytes" => entry.written_bytes = value,
                "rios" => entry.reads = value,
                "wios" => entry.writes = value,
                _ => {}
            }
        }
    }
}
