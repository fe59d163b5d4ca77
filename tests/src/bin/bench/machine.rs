//! The machine and the versions that figures belong to.

use crate::plan::Size;
use crate::program::Program;
use clap::ValueEnum as _;
use serde_json::{Map, Value, json};

/// Facts that stand beside the figures.
pub(crate) fn describe(programs: &[Program], size: Size) -> Value {
    let system = rustix::system::uname();
    let versions: Map<String, Value> = programs
        .iter()
        .map(|p| (p.name().to_owned(), p.version().into()))
        .collect();
    json!({
        "processors": std::thread::available_parallelism().map_or(0, usize::from),
        "processor": proc_value("/proc/cpuinfo", "model name"),
        "memory_kib": proc_value("/proc/meminfo", "MemTotal"),
        "load": std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim(),
        "kernel": format!("{} {}", system.sysname().to_string_lossy(), system.release().to_string_lossy()),
        "size": size.to_possible_value().map(|v| v.get_name().to_owned()),
        "versions": versions,
    })
}

fn proc_value(file: &str, key: &str) -> String {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let value = text
        .lines()
        .find_map(|l| l.strip_prefix(key)?.trim_start().strip_prefix(':'));
    value
        .unwrap_or_default()
        .trim()
        .trim_end_matches(" kB")
        .to_owned()
}
