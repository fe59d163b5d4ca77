//! OOM kills in the kernel's log.
//!
//! `/dev/kmsg` gives one record per read: `priority,sequence,microseconds,flags;text`. A kill writes
//! `oom-kill:constraint=CONSTRAINT_MEMCG,…,oom_memcg=<path>,task_memcg=<path>,task=<name>,pid=<pid>,uid=<uid>`
//! (since 4.19) and then `Memory cgroup out of memory: Killed process <pid> (<name>) …`. The first names the
//! group, so that a kill is seen even when the container is gone a moment later.

use crate::host::Host;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt as _;

/// Records read at one go.
const MAX_RECORDS: usize = 10_000;
/// The kernel writes no longer record.
const RECORD_BYTES: usize = 8192;

/// One kill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OomKill {
    /// The record's number; grows by one with each record since boot.
    pub sequence: u64,
    /// Time since boot in microseconds.
    pub since_boot_us: u64,
    /// The group whose limit was hit; empty when the whole machine was out of memory.
    pub limited_group: String,
    /// The group of the process that was killed.
    pub group: String,
    /// The name of the process.
    pub process: String,
    /// The process.
    pub pid: u32,
    /// The line as the kernel wrote it.
    pub line: String,
}

/// Reads the kernel's log from where it stopped.
#[derive(Debug)]
pub struct KernelLog {
    file: std::fs::File,
    /// How often records were overwritten before they were read.
    pub lost: u64,
}

impl KernelLog {
    /// Opens it; `None` where that is not allowed. What is there already comes first.
    pub fn open(host: &Host) -> Option<Self> {
        let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).ok()?;
        let file = std::fs::OpenOptions::new()
            .read(true)
            .custom_flags(nonblocking)
            .open(host.path("/dev/kmsg"))
            .ok()?;
        Some(Self { file, lost: 0 })
    }
    /// The kills since the last call. Never waits.
    pub fn poll(&mut self) -> Vec<OomKill> {
        let mut kills = Vec::new();
        let mut buffer = [0; RECORD_BYTES];
        for _ in 0..MAX_RECORDS {
            match self.file.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => kills.extend(parse(&String::from_utf8_lossy(&buffer[..n]))),
                // EPIPE: the record was overwritten; the next read goes on with the oldest that is left.
                Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => self.lost += 1,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        kills
    }
}

/// A record, if it tells of a kill.
pub fn parse(record: &str) -> Option<OomKill> {
    let (header, text) = record.split_once(';')?;
    let line = text.lines().next()?;
    let fields = line.strip_prefix("oom-kill:")?;
    let mut numbers = header.split(',').skip(1);
    let sequence = numbers.next()?.parse().ok()?;
    let since_boot_us = numbers.next()?.parse().ok()?;
    // Group names may hold commas; the known keys around them are the borders.
    let between = |from: &str, to: &str| {
        let start = fields.find(from)? + from.len();
        let rest = &fields[start..];
        Some(rest[..rest.find(to)?].to_owned())
    };
    let group = between("task_memcg=", ",task=")?;
    Some(OomKill {
        sequence,
        since_boot_us,
        limited_group: between("oom_memcg=", ",task_memcg=").unwrap_or_default(),
        group,
        process: between(",task=", ",pid=")?,
        pid: between(",pid=", ",uid=")?.parse().ok()?,
        line: line.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kills_are_told_from_other_records() {
        let record = "6,1234,175572346,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=abc,\
            mems_allowed=0,oom_memcg=/pods/p,task_memcg=/pods/p/a,b,task=busybox,pid=5270,uid=0\n SUBSYSTEM=x\n";
        let kill = parse(record).unwrap();
        assert_eq!((kill.sequence, kill.since_boot_us), (1234, 175_572_346));
        assert_eq!(
            (kill.limited_group.as_str(), kill.group.as_str()),
            ("/pods/p", "/pods/p/a,b")
        );
        assert_eq!((kill.process.as_str(), kill.pid), ("busybox", 5270));
        assert!(kill.line.ends_with("uid=0"));
        let global = "4,1,2,-;oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,\
            global_oom,task_memcg=/docker/x,task=java,pid=7,uid=0";
        let kill = parse(global).unwrap();
        assert_eq!(
            (kill.limited_group.as_str(), kill.group.as_str()),
            ("", "/docker/x")
        );
        for other in [
            "",
            "6,1,2,-;Memory cgroup out of memory: Killed process 5270 (busybox) total-vm:1kB",
            "6,1,2,-;oom-kill:constraint=CONSTRAINT_MEMCG",
            "junk",
        ] {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
