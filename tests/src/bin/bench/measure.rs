//! The measurements, and what they share: the plan, the programs, the folder and the report.

pub(crate) mod curve;
pub(crate) mod ingest;
pub(crate) mod memory;
pub(crate) mod query;
pub(crate) mod recorded;
pub(crate) mod restart;

use crate::plan::Plan;
use crate::program::Program;
use crate::report::{Figures, Report};
use crate::started;
use anyhow::Result;
use clap::ValueEnum;
use std::path::{Path, PathBuf};

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Measure {
    /// Processor time, latency and memory of taking samples in.
    Ingest,
    /// Bytes per sample after compaction, and with and without jitter.
    Disk,
    /// Memory per active series after two hours' worth of churn.
    Memory,
    /// kill -9 under load: what is missing, and how long the start takes.
    Restart,
    /// Time and processor time of dashboard queries; answers beside Prometheus'.
    Query,
    /// Processor time per sample over the number of series.
    Curve,
    /// Bytes per sample of recorded scrapes.
    Recorded,
}

impl Measure {
    /// Its name, as on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Disk => "disk",
            Self::Memory => "memory",
            Self::Restart => "restart",
            Self::Query => "query",
            Self::Curve => "curve",
            Self::Recorded => "recorded",
        }
    }
}

/// One run of the benchmark.
pub(crate) struct Bench {
    pub(crate) plan: Plan,
    /// Prometheus stands before those whose answers are compared with its own.
    pub(crate) programs: Vec<Program>,
    pub(crate) only: Vec<Measure>,
    /// Everything that is written goes below.
    pub(crate) folder: PathBuf,
    pub(crate) report: Report,
}

impl Bench {
    /// Whether one of these was asked for.
    pub(crate) fn wants(&self, measures: &[Measure]) -> bool {
        measures.iter().any(|m| self.only.contains(m))
    }
    /// Keeps and shows what a program's measurement gave. A failure is a result too: the others go on, unless all
    /// is over.
    pub(crate) fn put(
        &mut self,
        measure: Measure,
        title: &str,
        program: Program,
        figures: Result<Figures>,
    ) -> Result<()> {
        started::check()?;
        if self.wants(&[measure]) {
            let figures = figures.map_err(|e| format!("{e:#}"));
            self.report.put(measure.name(), title, program, figures);
        }
        Ok(())
    }
    /// Prints what a section has, if it was asked for.
    #[expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
    pub(crate) fn show_section(&self, measure: Measure, title: &str) {
        if let Some(table) = self.report.table(measure.name(), title) {
            println!("{table}");
        }
    }
}

/// A line for whoever waits.
#[expect(clippy::print_stderr, reason = "this is a program for a terminal")]
pub(crate) fn say(line: &str) {
    eprintln!("bench: {line}");
}

/// A data directory that is removed with the value.
pub(crate) struct DataFolder(PathBuf);

impl DataFolder {
    pub(crate) fn new(folder: &Path, program: Program) -> Self {
        Self(folder.join(format!("data-{}", program.name())))
    }
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
    /// Removes what is there.
    pub(crate) fn clear(&self) {
        // Fails only when there is nothing.
        let _ = std::fs::remove_dir_all(&self.0);
        let _ = std::fs::remove_file(self.0.with_extension("log"));
        let _ = std::fs::remove_file(self.0.with_extension("yml"));
    }
}

impl Drop for DataFolder {
    fn drop(&mut self) {
        // The whole run's folder goes in the end; this only makes room early.
        self.clear();
    }
}
