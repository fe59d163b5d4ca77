//! `/proc/diskstats`.

use super::families;
use crate::host::{Host, Reader};
use crate::series::{Family, Gatherer};
use model::Labels;

families! {
    READS = counter "node_disk_reads_completed_total" "The total number of reads completed successfully.";
    READS_MERGED = counter "node_disk_reads_merged_total" "The total number of reads merged.";
    READ_BYTES = counter "node_disk_read_bytes_total" "The total number of bytes read successfully.";
    READ_TIME = counter "node_disk_read_time_seconds_total" "The total number of seconds spent by all reads.";
    WRITES = counter "node_disk_writes_completed_total" "The total number of writes completed successfully.";
    WRITES_MERGED = counter "node_disk_writes_merged_total" "The number of writes merged.";
    WRITTEN_BYTES = counter "node_disk_written_bytes_total" "The total number of bytes written successfully.";
    WRITE_TIME = counter "node_disk_write_time_seconds_total" "This is the total number of seconds spent by all writes.";
    IO_NOW = gauge "node_disk_io_now" "The number of I/Os currently in progress.";
    IO_TIME = counter "node_disk_io_time_seconds_total" "Total seconds spent doing I/Os.";
    IO_TIME_WEIGHTED = counter "node_disk_io_time_weighted_seconds_total" "The weighted # of seconds spent doing I/Os.";
    DISCARDS = counter "node_disk_discards_completed_total" "The total number of discards completed successfully.";
    DISCARDS_MERGED = counter "node_disk_discards_merged_total" "The total number of discards merged.";
    DISCARDED_SECTORS = counter "node_disk_discarded_sectors_total" "The total number of sectors discarded successfully.";
    DISCARD_TIME = counter "node_disk_discard_time_seconds_total" "This is the total number of seconds spent by all discards.";
    FLUSHES = counter "node_disk_flush_requests_total" "The total number of flush requests completed successfully";
    FLUSH_TIME = counter "node_disk_flush_requests_time_seconds_total" "This is the total number of seconds spent by all flush requests.";
}

/// Sectors in this file have 512 bytes, whatever the disk has.
const SECTOR: f64 = 512.0;
const MS: f64 = 1.0 / 1000.0;

/// A column after the device's name: its family and its unit.
fn columns() -> [(&'static Family, f64); 17] {
    [
        (&READS, 1.0),
        (&READS_MERGED, 1.0),
        (&READ_BYTES, SECTOR),
        (&READ_TIME, MS),
        (&WRITES, 1.0),
        (&WRITES_MERGED, 1.0),
        (&WRITTEN_BYTES, SECTOR),
        (&WRITE_TIME, MS),
        (&IO_NOW, 1.0),
        (&IO_TIME, MS),
        (&IO_TIME_WEIGHTED, MS),
        (&DISCARDS, 1.0),
        (&DISCARDS_MERGED, 1.0),
        (&DISCARDED_SECTORS, 1.0),
        (&DISCARD_TIME, MS),
        (&FLUSHES, 1.0),
        (&FLUSH_TIME, MS),
    ]
}

pub(super) fn collect(host: &Host, reader: &mut Reader, g: &mut Gatherer, labels: &Labels) {
    for line in reader.read(&host.proc("diskstats")).unwrap_or_default().lines() {
        let mut words = line.split_ascii_whitespace().skip(2);
        let Some(device) = words.next().filter(|name| !is_ignored(name)) else {
            continue;
        };
        for ((family, unit), word) in columns().into_iter().zip(words) {
            if let Ok(value) = word.parse::<f64>() {
                g.emit(family, labels, &[("device", device)], value * unit);
            }
        }
    }
}

/// node_exporter's default: `^(ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$`, which leaves out RAM disks,
/// loop devices and partitions.
fn is_ignored(name: &str) -> bool {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    if stem.len() == name.len() {
        return false;
    }
    if matches!(stem, "ram" | "loop" | "fd") {
        return true;
    }
    let disk = ["xvd", "hd", "sd", "vd"]
        .iter()
        .find_map(|prefix| stem.strip_prefix(prefix));
    if disk.is_some_and(|letter| letter.len() == 1 && letter.bytes().all(|b| b.is_ascii_lowercase())) {
        return true;
    }
    let namespace = stem
        .strip_prefix("nvme")
        .and_then(|rest| rest.strip_suffix('p'))
        .and_then(|rest| rest.split_once('n'));
    let number = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    namespace.is_some_and(|(controller, n)| number(controller) && number(n))
}

#[cfg(test)]
mod tests {
    #[test]
    fn whole_disks_are_kept() {
        for (name, ignored) in [
            ("vda", false),
            ("sda", false),
            ("sda1", true),
            ("xvdb2", true),
            ("nvme0n1", false),
            ("nvme0n1p1", true),
            ("loop7", true),
            ("ram0", true),
            ("zram0", false),
            ("dm-0", false),
            ("md127", false),
            ("mmcblk0", false),
            ("sdaa1", false),
        ] {
            assert_eq!(super::is_ignored(name), ignored, "{name}");
        }
    }
}
