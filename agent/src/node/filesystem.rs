//! Mounted file systems and the room on them.

use super::families;
use crate::host::{Host, Reader};
use crate::series::Gatherer;
use model::Labels;
use std::collections::HashSet;

families! {
    SIZE = gauge "node_filesystem_size_bytes" "Filesystem size in bytes.";
    FREE = gauge "node_filesystem_free_bytes" "Filesystem free space in bytes.";
    AVAIL = gauge "node_filesystem_avail_bytes" "Filesystem space available to non-root users in bytes.";
    FILES = gauge "node_filesystem_files" "Filesystem total file nodes.";
    FILES_FREE = gauge "node_filesystem_files_free" "Filesystem total free file nodes.";
    READONLY = gauge "node_filesystem_readonly" "Filesystem read-only status.";
    DEVICE_ERROR = gauge "node_filesystem_device_error" "Whether an error occurred while getting statistics for the given device.";
}

/// node_exporter's default: file systems that hold no files of anybody.
const IGNORED_TYPES: [&str; 27] = [
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "fusectl",
    "hugetlbfs",
    "iso9660",
    "mqueue",
    "nsfs",
    "overlay",
    "proc",
    "procfs",
    "pstore",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "squashfs",
    "sysfs",
    "tracefs",
    "sunrpc",
    "erofs",
    "efivarfs",
];
/// File systems over a network may hang; asking them could stop the whole round.
const REMOTE_TYPES: [&str; 7] = ["nfs", "nfs4", "cifs", "smb3", "ceph", "9p", "fuse.sshfs"];
/// Mounts that are looked at.
const MAX_MOUNTS: usize = 2000;

pub(super) fn collect(host: &Host, reader: &mut Reader, g: &mut Gatherer, labels: &Labels) {
    let first = reader.read(&host.proc("1/mounts")).map(str::to_owned);
    let text = match &first {
        Some(text) => text,
        None => reader.read(&host.proc("self/mounts")).unwrap_or_default(),
    };
    let mut seen = HashSet::new();
    for line in text.lines().take(MAX_MOUNTS) {
        let mut words = line.split(' ');
        let (Some(device), Some(mountpoint), Some(kind), Some(options)) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            continue;
        };
        let mountpoint = unescape(mountpoint);
        if IGNORED_TYPES.contains(&kind) || REMOTE_TYPES.contains(&kind) || is_ignored(&mountpoint) {
            continue;
        }
        if !seen.insert((device.to_owned(), mountpoint.clone())) {
            continue;
        }
        let device = unescape(device);
        let extra = [
            ("device", device.as_str()),
            ("fstype", kind),
            ("mountpoint", mountpoint.as_str()),
        ];
        let space = rustix::fs::statvfs(host.path(&mountpoint));
        g.emit(&DEVICE_ERROR, labels, &extra, f64::from(u8::from(space.is_err())));
        let Ok(space) = space else { continue };
        let bytes = |blocks: u64| blocks.saturating_mul(space.f_frsize) as f64;
        let readonly = options.split(',').any(|option| option == "ro");
        for (family, value) in [
            (&SIZE, bytes(space.f_blocks)),
            (&FREE, bytes(space.f_bfree)),
            (&AVAIL, bytes(space.f_bavail)),
            (&FILES, space.f_files as f64),
            (&FILES_FREE, space.f_ffree as f64),
            (&READONLY, f64::from(u8::from(readonly))),
        ] {
            g.emit(family, labels, &extra, value);
        }
    }
}

/// node_exporter's default: `^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)`,
/// and containerd's mounts for the same reason.
fn is_ignored(mountpoint: &str) -> bool {
    let below = |dir: &str| {
        mountpoint
            .strip_prefix(dir)
            .is_some_and(|rest| rest.starts_with('/') && rest.len() > 1)
    };
    ["/dev", "/proc", "/sys"]
        .iter()
        .any(|dir| mountpoint == *dir || below(dir))
        || [
            "/run/credentials",
            "/var/lib/docker",
            "/var/lib/containers/storage",
            "/run/containerd",
            "/var/lib/kubelet/pods",
        ]
        .iter()
        .any(|dir| below(dir))
}

/// Spaces and the like stand as `\040` in the kernel's list.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let code = rest
            .get(at + 1..at + 4)
            .and_then(|octal| u8::from_str_radix(octal, 8).ok());
        match code {
            Some(code) if code.is_ascii() => {
                out.push(char::from(code));
                rest = &rest[at + 4..];
            }
            _ => {
                out.push('\\');
                rest = &rest[at + 1..];
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn mounts_of_the_system_and_of_containers_are_left_out() {
        for (mountpoint, ignored) in [
            ("/", false),
            ("/home", false),
            ("/dev/shm", true),
            ("/devices", false),
            ("/sys", true),
            ("/var/lib/docker", false),
            ("/var/lib/docker/overlay2/x/merged", true),
        ] {
            assert_eq!(super::is_ignored(mountpoint), ignored, "{mountpoint}");
        }
        assert_eq!(super::unescape(r"/mnt/my\040disk\x"), r"/mnt/my disk\x");
    }
}
