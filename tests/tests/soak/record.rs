//! What the program held while the soak went on, and what it counted.

use super::direct::Direct;
use std::fmt::Write as _;
use tests::usage::Usage;

/// Beside a tenth.
const MEMORY_MARGIN_BYTES: u64 = 16 << 20;
const MAX_OPEN_FILES: u64 = 150;
const MAX_FILES: u64 = 200;

/// The figure of a series in a page of metrics; 0 when it is not there.
pub(crate) fn figure(page: &str, series: &str) -> u64 {
    let value = page
        .lines()
        .find_map(|l| l.strip_prefix(series)?.strip_prefix(' '));
    value.map_or(0, |v| v.parse::<f64>().unwrap() as u64)
}

/// What was held in each round, and the page of metrics at the end of each minute.
#[derive(Default)]
pub(crate) struct Record {
    seen: Vec<Usage>,
    table: String,
}

impl Record {
    pub(crate) fn take(&mut self, usage: Usage) {
        self.seen.push(usage);
    }
    pub(crate) fn minute(&mut self, page: &str) {
        let last = &self.seen[self.seen.len().saturating_sub(60)..];
        let most = |of: fn(&Usage) -> u64| last.iter().map(of).max().unwrap_or_default();
        let events = figure(page, "binnacle_events_head_bytes{store=\"logs\"}")
            + figure(page, "binnacle_events_head_bytes{store=\"traces\"}");
        let _ = writeln!(
            self.table,
            "minute {:>3}: {:>6.1} MB at most, {:>6.1} MB now (store: head {:>4.1}, cache {:>4.1}; events' heads {:>4.1}), \
             {:>3} open files, {:>3} files, {:>9} samples, {:>4} flushes, {:>4} merges, {:>6} active series, {:>6} in all",
            self.seen.len() / 60,
            most(|u| u.anon_bytes) as f64 / 1e6,
            last.last().map_or(0.0, |u| u.anon_bytes as f64 / 1e6),
            figure(page, "binnacle_tsdb_head_bytes") as f64 / 1e6,
            figure(page, "binnacle_tsdb_cache_bytes") as f64 / 1e6,
            events as f64 / 1e6,
            most(|u| u.open_files as u64),
            most(|u| u.files as u64),
            figure(page, "binnacle_tsdb_samples_total"),
            figure(page, "binnacle_tsdb_flushes_total{outcome=\"done\"}"),
            figure(page, "binnacle_tsdb_merges_total{outcome=\"done\"}"),
            figure(page, "binnacle_tsdb_head_series"),
            figure(page, "binnacle_tsdb_catalog_series"),
        );
    }
    /// The most of a third of the rounds.
    fn third(&self, third: usize, of: fn(&Usage) -> u64) -> u64 {
        let len = self.seen.len();
        let seen = &self.seen[third * len / 3..(third + 1) * len / 3];
        seen.iter().map(of).max().unwrap()
    }
    /// A line for each minute, and the memory of the thirds.
    pub(crate) fn summary(&self) -> String {
        let thirds = [0, 1, 2].map(|third| self.third(third, |u| u.anon_bytes) / 1000);
        format!("{}memory of the thirds at most, in kB: {thirds:?}", self.table)
    }
    /// Memory was flat, and files were few.
    pub(crate) fn check(&self) {
        let (second, last) = (self.third(1, |u| u.anon_bytes), self.third(2, |u| u.anon_bytes));
        assert!(
            last <= second + second / 10 + MEMORY_MARGIN_BYTES,
            "memory grows: {second} bytes at most in the second third, {last} in the last\n{}",
            self.table
        );
        let open_files = self.third(2, |u| u.open_files as u64);
        let files = self.third(2, |u| u.files as u64);
        assert!(
            open_files <= MAX_OPEN_FILES && files <= MAX_FILES,
            "{open_files} open files, {files} files"
        );
    }
}

/// What went on until the end did what it is there for.
pub(crate) fn check_figures(page: &str, direct: &Direct, rounds: u64) {
    assert!(
        figure(page, "binnacle_tsdb_samples_total") >= direct.acknowledged + rounds * 2000,
        "{page}"
    );
    for (series, least) in [
        ("binnacle_tsdb_merges_total{outcome=\"done\"}", 3),
        ("binnacle_tsdb_flushes_total{outcome=\"done\"}", 3),
        ("binnacle_tsdb_late_samples_total", direct.acknowledged / 4),
        ("binnacle_tsdb_replaced_total", 1),
        (
            "binnacle_tsdb_removed_samples_total{reason=\"rule\"}",
            rounds * 100,
        ),
        ("binnacle_tsdb_removed_samples_total{reason=\"deleted\"}", 100),
        ("binnacle_tsdb_rejected_total{reason=\"too_old\"}", 1),
    ] {
        assert!(
            figure(page, series) >= least,
            "{series} is below {least}:\n{page}"
        );
    }
    for series in [
        "binnacle_tsdb_merges_total{outcome=\"failed\"}",
        "binnacle_tsdb_flushes_total{outcome=\"failed\"}",
        "binnacle_tsdb_unreadable_total",
        "binnacle_tsdb_unreadable_parts",
        "binnacle_tsdb_tombstones",
    ] {
        assert_eq!(figure(page, series), 0, "{series}:\n{page}");
    }
    let faults = page.lines().filter(|l| l.contains("code=\"5"));
    assert_eq!(faults.collect::<Vec<_>>(), [""; 0]);
}
