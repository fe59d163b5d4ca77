//! The numbers of one control group, read the same way from both versions.

/// What a control group says of itself. `None` and empty where it says nothing.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Stats {
    /// Processor time in nanoseconds.
    pub(super) cpu_usage_ns: Option<u64>,
    /// Processor time in user mode, in nanoseconds.
    pub(super) cpu_user_ns: Option<u64>,
    /// Processor time in the kernel, in nanoseconds.
    pub(super) cpu_system_ns: Option<u64>,
    /// Enforcement periods that passed.
    pub(super) cfs_periods: Option<u64>,
    /// Enforcement periods in which the group was throttled.
    pub(super) cfs_throttled_periods: Option<u64>,
    /// Time for which it was throttled, in nanoseconds.
    pub(super) cfs_throttled_ns: Option<u64>,
    /// Processor time per period in microseconds; 0 when unlimited.
    pub(super) cpu_quota_us: Option<u64>,
    /// Length of a period in microseconds.
    pub(super) cpu_period_us: Option<u64>,
    /// Weight against other groups, in shares (1024 is one processor's worth).
    pub(super) cpu_shares: Option<u64>,
    /// Memory in use, page cache included.
    pub(super) memory_usage: Option<u64>,
    /// The most memory that was ever in use.
    pub(super) memory_max_usage: Option<u64>,
    /// How often the limit was hit.
    pub(super) memory_failcnt: Option<u64>,
    /// The limit; 0 when unlimited.
    pub(super) memory_limit: Option<u64>,
    /// Anonymous memory.
    pub(super) memory_rss: Option<u64>,
    /// Page cache.
    pub(super) memory_cache: Option<u64>,
    /// Swapped-out memory.
    pub(super) memory_swap: Option<u64>,
    /// Mapped files.
    pub(super) memory_mapped_file: Option<u64>,
    /// Page cache that was not used lately.
    pub(super) memory_inactive_file: Option<u64>,
    /// Page faults of the group alone, and of it and the groups below.
    pub(super) pgfault: Option<(u64, u64)>,
    /// Major page faults, likewise.
    pub(super) pgmajfault: Option<(u64, u64)>,
    /// Processes of the group that the kernel killed for lack of memory.
    pub(super) oom_kills: Option<u64>,
    /// Threads.
    pub(super) threads: Option<u64>,
    /// Input and output by device.
    pub(super) io: Vec<DeviceIo>,
}

/// Input and output on one block device.
#[derive(Debug, Default, PartialEq)]
pub(super) struct DeviceIo {
    /// Major and minor number.
    pub(super) device: (u32, u32),
    /// Bytes read.
    pub(super) read_bytes: u64,
    /// Bytes written.
    pub(super) written_bytes: u64,
    /// Reads.
    pub(super) reads: u64,
    /// Writes.
    pub(super) writes: u64,
}

impl Stats {
    /// Forgets everything, but keeps the allocations.
    pub(super) fn clear(&mut self) {
        let mut io = std::mem::take(&mut self.io);
        io.clear();
        *self = Self {
            io,
            ..Self::default()
        };
    }
    /// The entry of a device, added when it is new.
    pub(super) fn device(&mut self, device: (u32, u32)) -> &mut DeviceIo {
        let index = match self.io.iter().position(|d| d.device == device) {
            Some(index) => index,
            None => {
                self.io.push(DeviceIo {
                    device,
                    ..DeviceIo::default()
                });
                self.io.len() - 1
            }
        };
        &mut self.io[index]
    }
    /// Usage without page cache that could go at any time; what the kernel would have to find elsewhere.
    pub(super) fn working_set(&self) -> Option<u64> {
        Some(
            self.memory_usage?
                .saturating_sub(self.memory_inactive_file.unwrap_or(0)),
        )
    }
}

/// A `major:minor` pair.
pub(super) fn device_number(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// cAdvisor's rule: a limit of 2^62 bytes and more is none, and none is shown as 0.
pub(super) fn limit_or_zero(limit: u64) -> u64 {
    if limit >= 1 << 62 { 0 } else { limit }
}
