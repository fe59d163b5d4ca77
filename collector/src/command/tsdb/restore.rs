//! `binnacle tsdb restore`: a snapshot into the data directory of a stopped binnacle.

use super::progress::{Progress, Unit};
use super::{DataDirArgs, counted, output, shown_bytes, verify};
use crate::config::Config;
use anyhow::{Result, bail};
use clap::Args;
use model::Fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use storage::verify as check;
use storage::{DataDir, RealFs, snapshot};

/// Flags of `tsdb restore`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  binnacle tsdb restore /backup/20261121T171500Z-0123456789abcdef --data-dir /var/lib/binnacle
  binnacle tsdb restore ./20261121T171500Z-0123456789abcdef --data-dir ./elsewhere --no-verify

SNAPSHOT is a folder below snapshots/ of a data directory (POST /api/v1/admin/tsdb/snapshot makes them), or a copy of one. \
Every byte of it is checked first. The data directory must have nothing of what the snapshot holds: metrics, logs, traces. \
Files are linked where both are on one file system, and copied elsewhere; the snapshot stays as it is.

Exit code 0 when everything was restored, 1 when not; what was refused has changed nothing.")]
pub struct RestoreArgs {
    /// The snapshot
    #[arg(value_name = "SNAPSHOT")]
    pub snapshot: PathBuf,
    /// Where the data is to be.
    #[command(flatten)]
    pub data: DataDirArgs,
    /// Do not read the whole snapshot first to check it
    #[arg(long)]
    pub no_verify: bool,
}

/// Checks, restores, says what came.
///
/// # Errors
/// Anything that keeps it from being restored.
pub fn run(args: &RestoreArgs) -> Result<ExitCode> {
    let fs: Arc<dyn Fs> = Arc::new(RealFs);
    let total = snapshot::size_bytes(&fs, &args.snapshot)?;
    let to = args.data.path(&Config::default());
    let data = DataDir::open(fs.clone(), &to)?;
    snapshot::check_empty(&fs, &args.snapshot, &data)?;
    if !args.no_verify {
        verify_first(&fs, &args.snapshot, total)?;
    }
    let progress = Progress::start("restoring", total, Unit::Bytes);
    let restored = snapshot::restore(&fs, &args.snapshot, &data, &mut |bytes| progress.advance(bytes))?;
    for (store, taken) in restored {
        progress.answer(&format!(
            "{}: {}, {} ({}{})",
            store.as_str(),
            counted(taken.tenants, "tenant"),
            counted(taken.files, "file"),
            shown_bytes(taken.bytes),
            match taken.copied_bytes {
                0 => "; linked".to_owned(),
                copied => format!("; {} of them copied", shown_bytes(copied)),
            }
        ));
    }
    drop(progress);
    output::answer(&format!(
        "{} is restored into {}",
        args.snapshot.display(),
        to.display()
    ));
    Ok(ExitCode::SUCCESS)
}

fn verify_first(fs: &Arc<dyn Fs>, from: &Path, total: u64) -> Result<()> {
    let progress = Progress::start("checking", total, Unit::Bytes);
    let mut problems = 0;
    for (store, tenant) in verify::everything(fs.as_ref(), from)? {
        check::store(fs, from, &tenant, store, &mut |event| match event {
            check::Event::Read(bytes) => progress.advance(bytes),
            check::Event::Note(note) => progress.remark(&format!("note: {note}")),
            check::Event::Problem(e) => {
                problems += 1;
                progress.remark(&format!("problem: {e}"));
            }
        });
    }
    drop(progress);
    if problems > 0 {
        bail!(
            "{}: {}; nothing was restored. Take another snapshot, or restore it as it is with --no-verify",
            from.display(),
            counted(problems, "problem")
        );
    }
    Ok(())
}
