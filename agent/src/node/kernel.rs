//! `/proc/stat`, load, and single numbers of the kernel.

use super::families;
use crate::host::{Host, Reader, flat_keyed};
use crate::series::Gatherer;
use model::Labels;

families! {
    CPU = counter "node_cpu_seconds_total" "Seconds the CPUs spent in each mode.";
    CPU_GUEST = counter "node_cpu_guest_seconds_total" "Seconds the CPUs spent in guests (VMs) for each mode.";
    INTR = counter "node_intr_total" "Total number of interrupts serviced.";
    CONTEXT_SWITCHES = counter "node_context_switches_total" "Total number of context switches.";
    FORKS = counter "node_forks_total" "Total number of forks.";
    BOOT_TIME = gauge "node_boot_time_seconds" "Node boot time, in unixtime.";
    PROCS_RUNNING = gauge "node_procs_running" "Number of processes in runnable state.";
    PROCS_BLOCKED = gauge "node_procs_blocked" "Number of processes blocked waiting for I/O to complete.";
    LOAD1 = gauge "node_load1" "1m load average.";
    LOAD5 = gauge "node_load5" "5m load average.";
    LOAD15 = gauge "node_load15" "15m load average.";
    FILEFD_ALLOCATED = gauge "node_filefd_allocated" "File descriptor statistics: allocated.";
    FILEFD_MAXIMUM = gauge "node_filefd_maximum" "File descriptor statistics: maximum.";
    VMSTAT_OOM_KILL = counter "node_vmstat_oom_kill" "/proc/vmstat information field oom_kill.";
    VMSTAT_PGFAULT = counter "node_vmstat_pgfault" "/proc/vmstat information field pgfault.";
    VMSTAT_PGMAJFAULT = counter "node_vmstat_pgmajfault" "/proc/vmstat information field pgmajfault.";
    VMSTAT_PGPGIN = counter "node_vmstat_pgpgin" "/proc/vmstat information field pgpgin.";
    VMSTAT_PGPGOUT = counter "node_vmstat_pgpgout" "/proc/vmstat information field pgpgout.";
    VMSTAT_PSWPIN = counter "node_vmstat_pswpin" "/proc/vmstat information field pswpin.";
    VMSTAT_PSWPOUT = counter "node_vmstat_pswpout" "/proc/vmstat information field pswpout.";
    PRESSURE_CPU_WAITING = counter "node_pressure_cpu_waiting_seconds_total" "Total time in seconds that processes have waited for CPU time.";
    PRESSURE_IO_WAITING = counter "node_pressure_io_waiting_seconds_total" "Total time in seconds that processes have waited due to IO congestion.";
    PRESSURE_IO_STALLED = counter "node_pressure_io_stalled_seconds_total" "Total time in seconds no process could make progress due to IO congestion.";
    PRESSURE_MEMORY_WAITING = counter "node_pressure_memory_waiting_seconds_total" "Total time in seconds that processes have waited for memory.";
    PRESSURE_MEMORY_STALLED = counter "node_pressure_memory_stalled_seconds_total" "Total time in seconds no process could make progress due to memory congestion.";
    TIME = gauge "node_time_seconds" "System time in seconds since epoch (1970).";
    UNAME = gauge "node_uname_info" "Labeled system information as provided by the uname system call.";
}

/// The kernel shows user space 100 ticks a second on every architecture.
const TICKS_PER_S: f64 = 100.0;
const MODES: [&str; 8] = [
    "user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal",
];

/// `/proc/stat`.
pub(super) fn stat(host: &Host, reader: &mut Reader, g: &mut Gatherer, labels: &Labels) {
    let text = reader.read(&host.proc("stat")).unwrap_or_default();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let Some(key) = words.next() else { continue };
        // Only the first word is wanted of `intr`, which may have thousands.
        let mut number = || words.next().and_then(|w| w.parse::<f64>().ok());
        let family = match key {
            "intr" => &INTR,
            "ctxt" => &CONTEXT_SWITCHES,
            "processes" => &FORKS,
            "btime" => &BOOT_TIME,
            "procs_running" => &PROCS_RUNNING,
            "procs_blocked" => &PROCS_BLOCKED,
            _ => {
                if let Some(cpu) = key.strip_prefix("cpu").filter(|cpu| !cpu.is_empty()) {
                    for mode in MODES {
                        let Some(ticks) = number() else { break };
                        g.emit(&CPU, labels, &[("cpu", cpu), ("mode", mode)], ticks / TICKS_PER_S);
                    }
                    for mode in ["user", "nice"] {
                        let Some(ticks) = number() else { break };
                        let extra = [("cpu", cpu), ("mode", mode)];
                        g.emit(&CPU_GUEST, labels, &extra, ticks / TICKS_PER_S);
                    }
                }
                continue;
            }
        };
        if let Some(value) = number() {
            g.emit(family, labels, &[], value);
        }
    }
}

/// `/proc/loadavg`.
pub(super) fn load(host: &Host, reader: &mut Reader, g: &mut Gatherer, labels: &Labels) {
    let text = reader.read(&host.proc("loadavg")).unwrap_or_default();
    for (family, word) in [&LOAD1, &LOAD5, &LOAD15]
        .into_iter()
        .zip(text.split_ascii_whitespace())
    {
        if let Ok(value) = word.parse() {
            g.emit(family, labels, &[], value);
        }
    }
}

/// `/proc/vmstat`, `/proc/sys/fs/file-nr`, `/proc/pressure`.
pub(super) fn counts(host: &Host, reader: &mut Reader, g: &mut Gatherer, labels: &Labels) {
    for (key, value) in flat_keyed(reader.read(&host.proc("vmstat")).unwrap_or_default()) {
        let family = match key {
            "oom_kill" => &VMSTAT_OOM_KILL,
            "pgfault" => &VMSTAT_PGFAULT,
            "pgmajfault" => &VMSTAT_PGMAJFAULT,
            "pgpgin" => &VMSTAT_PGPGIN,
            "pgpgout" => &VMSTAT_PGPGOUT,
            "pswpin" => &VMSTAT_PSWPIN,
            "pswpout" => &VMSTAT_PSWPOUT,
            _ => continue,
        };
        g.emit(family, labels, &[], value as f64);
    }
    // `allocated free maximum`
    let text = reader.read(&host.proc("sys/fs/file-nr")).unwrap_or_default();
    let mut words = text.split_ascii_whitespace().map(str::parse::<f64>);
    if let (Some(Ok(allocated)), Some(Ok(maximum))) = (words.next(), words.nth(1)) {
        g.emit(&FILEFD_ALLOCATED, labels, &[], allocated);
        g.emit(&FILEFD_MAXIMUM, labels, &[], maximum);
    }
    for (file, waiting, stalled) in [
        ("cpu", &PRESSURE_CPU_WAITING, None),
        ("io", &PRESSURE_IO_WAITING, Some(&PRESSURE_IO_STALLED)),
        ("memory", &PRESSURE_MEMORY_WAITING, Some(&PRESSURE_MEMORY_STALLED)),
    ] {
        let text = reader
            .read(&host.proc(&format!("pressure/{file}")))
            .unwrap_or_default();
        for (kind, family) in [("some", Some(waiting)), ("full", stalled)] {
            if let (Some(family), Some(us)) = (family, pressure_us(text, kind)) {
                g.emit(family, labels, &[], us as f64 / 1e6);
            }
        }
    }
}

/// The total of a line `some avg10=0.00 avg60=0.00 avg300=0.00 total=123`, in microseconds.
fn pressure_us(text: &str, kind: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(kind))?;
    line.rsplit_once("total=")?.1.trim().parse().ok()
}

/// The time and `uname`.
pub(super) fn identity(g: &mut Gatherer, labels: &Labels, uname: &[(&'static str, String); 6], now_ns: i64) {
    g.emit(&TIME, labels, &[], now_ns as f64 / 1e9);
    let extra: [(&str, &str); 6] = std::array::from_fn(|i| (uname[i].0, uname[i].1.as_str()));
    g.emit(&UNAME, labels, &extra, 1.0);
}

/// What `uname` says of the node, from `/proc/sys/kernel` so that it is the node's also from within a container.
pub(super) fn uname(host: &Host, reader: &mut Reader) -> [(&'static str, String); 6] {
    let mut of = |file: &str| {
        reader
            .read(&host.proc(&format!("sys/kernel/{file}")))
            .map(|text| text.trim().to_owned())
            .unwrap_or_default()
    };
    [
        ("sysname", of("ostype")),
        ("release", of("osrelease")),
        ("version", of("version")),
        // The kernel does not write its architecture there; it is the one that we run on.
        (
            "machine",
            rustix::system::uname().machine().to_string_lossy().into_owned(),
        ),
        ("nodename", of("hostname")),
        ("domainname", of("domainname")),
    ]
}
