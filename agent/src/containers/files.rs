//! Block devices by number, and a container's root file system.

use crate::host::{Host, Reader};
use crate::series::{Family, Gatherer};
use model::Labels;
use std::collections::HashMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

static FS_USAGE: Family = Family::gauge(
    "container_fs_usage_bytes",
    "Number of bytes that are consumed by the container on this filesystem.",
);
static FS_LIMIT: Family = Family::gauge(
    "container_fs_limit_bytes",
    "Number of bytes that can be consumed by the container on this filesystem.",
);

/// Names of block devices by major and minor number, as `/dev/<name>`.
#[derive(Debug, Default)]
pub(super) struct Devices {
    names: HashMap<(u32, u32), String>,
}

impl Devices {
    pub(super) fn refresh(&mut self, host: &Host, reader: &mut Reader) {
        self.names.clear();
        for line in reader.read(&host.proc("diskstats")).unwrap_or_default().lines() {
            let mut words = line.split_ascii_whitespace();
            if let (Some(Ok(major)), Some(Ok(minor)), Some(name)) = (
                words.next().map(str::parse),
                words.next().map(str::parse),
                words.next(),
            ) {
                self.names.insert((major, minor), format!("/dev/{name}"));
            }
        }
    }
    pub(super) fn name(&self, device: (u32, u32)) -> Option<&str> {
        self.names.get(&device).map(String::as_str)
    }
}

/// Rounds between two measurements of a writable layer.
const MEASURE_EVERY_MS: i64 = 60_000;
/// Files of a writable layer that are counted at most; of a larger one the usage is not told.
const MAX_FILES: usize = 50_000;

/// A container's root file system: its size, and for an overlay what the writable layer holds.
#[derive(Debug, Default)]
pub(super) struct RootFs {
    measured_ms: Option<i64>,
    usage: Option<u64>,
}

impl RootFs {
    pub(super) fn emit(
        &mut self,
        g: &mut Gatherer,
        host: &Host,
        reader: &mut Reader,
        devices: &Devices,
        pid: Option<u32>,
        labels: &Labels,
    ) {
        let Some(pid) = pid else { return };
        let Some((device, upper)) = root_mount(host, reader, devices, pid) else {
            return;
        };
        let extra = [("device", device.as_str())];
        if let Ok(space) = rustix::fs::statvfs(host.proc(&format!("{pid}/root"))) {
            let size = space.f_blocks.saturating_mul(space.f_frsize);
            g.emit(&FS_LIMIT, labels, &extra, size as f64);
        }
        let due = self
            .measured_ms
            .is_none_or(|at| g.now_ms() - at >= MEASURE_EVERY_MS || g.now_ms() < at);
        if due {
            self.measured_ms = Some(g.now_ms());
            self.usage = upper.and_then(|dir| disk_usage(&host.path(&dir)));
        }
        if let Some(usage) = self.usage {
            g.emit(&FS_USAGE, labels, &extra, usage as f64);
        }
    }
}

/// The device under a process's root directory, and the overlay's writable directory.
fn root_mount(
    host: &Host,
    reader: &mut Reader,
    devices: &Devices,
    pid: u32,
) -> Option<(String, Option<String>)> {
    let text = reader.read(&host.proc(&format!("{pid}/mountinfo")))?;
    // `id parent major:minor root mountpoint options… - type source superoptions`; the last mount on `/` counts.
    let line = text.lines().rfind(|line| line.split(' ').nth(4) == Some("/"))?;
    let (before, after) = line.split_once(" - ")?;
    let mut after = after.split(' ');
    let (kind, source, options) = (after.next()?, after.next()?, after.next().unwrap_or_default());
    if kind == "overlay" {
        let upper = options
            .split(',')
            .find_map(|option| option.strip_prefix("upperdir="))
            .map(str::to_owned);
        let device = upper
            .as_ref()
            .and_then(|dir| std::fs::metadata(host.path(dir)).ok())
            .and_then(|m| {
                let device = (rustix::fs::major(m.dev()), rustix::fs::minor(m.dev()));
                devices.name(device).map(str::to_owned)
            });
        return Some((device.unwrap_or_else(|| "overlay".to_owned()), upper));
    }
    let number = before.split(' ').nth(2).and_then(super::stats::device_number);
    let device = number.and_then(|n| devices.name(n)).unwrap_or(source);
    Some((device.to_owned(), None))
}

/// Bytes on disk below a directory, hard links once; `None` when there are too many files to count.
fn disk_usage(dir: &Path) -> Option<u64> {
    let mut waiting: Vec<PathBuf> = vec![dir.to_owned()];
    let mut linked = std::collections::HashSet::new();
    let (mut files, mut bytes) = (0, 0);
    while let Some(dir) = waiting.pop() {
        for entry in std::fs::read_dir(&dir).ok()?.flatten() {
            files += 1;
            if files > MAX_FILES {
                return None;
            }
            // Of the entry itself: a link in a container must not lead us elsewhere.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.nlink() == 1 || metadata.is_dir() || linked.insert(metadata.ino()) {
                bytes += metadata.blocks() * 512;
            }
            if metadata.is_dir() {
                waiting.push(entry.path());
            }
        }
    }
    Some(bytes)
}
