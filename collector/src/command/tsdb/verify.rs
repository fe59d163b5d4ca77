//! `binnacle tsdb verify`: every byte on disk against its checksum.

use super::progress::{Progress, Unit};
use super::{DataDirArgs, counted, output, shown_bytes};
use crate::config::Config;
use anyhow::Result;
use clap::Args;
use model::{Fs, Tenant};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use storage::verify::{self, Event};
use storage::{RealFs, StoreName, layout};

/// Flags of `tsdb verify`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  binnacle tsdb verify
  binnacle tsdb verify --data-dir /var/lib/binnacle && echo sound

Metrics, logs and traces of all tenants are checked: each manifest, every page of each part that it names, and the log \
behind it. Nothing is changed, and binnacle may run meanwhile. The small files of alerts and of the agent are not looked \
at.

Exit code 0 when everything is sound, 1 when something is damaged or missing.")]
pub struct VerifyArgs {
    /// Where the data is.
    #[command(flatten)]
    pub data: DataDirArgs,
}

/// Checks everything and tells what is wrong.
///
/// # Errors
/// When the directory is no data directory.
pub fn run(args: &VerifyArgs) -> Result<ExitCode> {
    let data = args.data.path(&Config::default());
    let fs: Arc<dyn Fs> = Arc::new(RealFs);
    verify::data_dir(fs.as_ref(), &data)?;
    let all = everything(fs.as_ref(), &data)?;
    let total = all
        .iter()
        .map(|(store, tenant)| verify::size_bytes(&fs, &data, tenant, *store))
        .sum();
    let progress = Progress::start("checking", total, Unit::Bytes);
    let mut problems = 0;
    for (store, tenant) in &all {
        problems += check(&fs, &data, *store, tenant, &progress);
    }
    drop(progress);
    if problems == 0 {
        output::answer(&format!("{} is sound", data.display()));
        return Ok(ExitCode::SUCCESS);
    }
    output::answer(&format!("{}: {}", data.display(), counted(problems, "problem")));
    Ok(ExitCode::FAILURE)
}

/// What there is on disk.
pub(super) fn everything(fs: &dyn Fs, data: &Path) -> model::Result<Vec<(StoreName, Tenant)>> {
    let mut all = Vec::new();
    for store in StoreName::ALL {
        let tenants = layout::tenants(fs, data, store)?;
        all.extend(tenants.into_iter().map(|tenant| (store, tenant)));
    }
    Ok(all)
}

/// Checks one store of one tenant; the number of problems.
fn check(fs: &Arc<dyn Fs>, data: &Path, store: StoreName, tenant: &Tenant, progress: &Progress) -> u64 {
    let mut problems = 0;
    let checked = verify::store(fs, data, tenant, store, &mut |event| match event {
        Event::Read(bytes) => progress.advance(bytes),
        Event::Note(note) => progress.remark(&format!("note: {note}")),
        Event::Problem(e) => {
            problems += 1;
            progress.answer(&format!("problem: {e}"));
        }
    });
    progress.answer(&format!(
        "{}, tenant {tenant}: {} ({}), {} of the log ({}): {}",
        store.as_str(),
        counted(checked.parts, "part"),
        shown_bytes(checked.part_bytes),
        counted(checked.records, "record"),
        shown_bytes(checked.record_bytes),
        match problems {
            0 => "sound".to_owned(),
            n => counted(n, "problem"),
        }
    ));
    problems
}
