//! What a running process holds: memory, open files, files on disk.

use crate::process::Process;
use anyhow::{Context as _, Result};
use std::path::Path;

/// What was seen at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// Memory of its own, without mapped files (RssAnon).
    pub anon_bytes: u64,
    /// Open files and sockets.
    pub open_files: usize,
    /// Files below its data directory.
    pub files: usize,
}

impl Usage {
    /// Looks at a process and its data directory.
    pub fn of(process: &Process, data: &Path) -> Result<Self> {
        let pid = process.pid().context("it has ended")?.as_raw_nonzero();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let anon = status.lines().find_map(|l| l.strip_prefix("RssAnon:"));
        let anon = anon.and_then(|l| l.split_whitespace().next());
        let anon_kib: u64 = anon.context("no RssAnon in /proc")?.parse()?;
        Ok(Self {
            anon_bytes: anon_kib << 10,
            open_files: std::fs::read_dir(format!("/proc/{pid}/fd"))?.count(),
            files: files_below(data),
        })
    }
}

/// Folders that go away while they are looked at have no files.
fn files_below(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => files_below(&entry.path()),
            Ok(_) => 1,
            Err(_) => 0,
        })
        .sum()
}
