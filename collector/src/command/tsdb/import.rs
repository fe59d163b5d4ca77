//! `binnacle tsdb import`: Prometheus' blocks and OpenMetrics text into the data directory of a stopped binnacle.

mod blocks;
mod openmetrics;
mod plan;
mod writer;

use super::progress::{Progress, Unit};
use super::{
    DataDirArgs, INCOMPLETE, counted, output, parse_duration, parse_selectors, parse_tenant, shown_time,
};
use crate::config::Config;
use anyhow::Result;
use clap::Args;
use model::{Clock, Error, NoMeter, Predicate, Tenant};
use plan::{Input, Plan};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use storage::{DataDir, RealFs};
use tsdb::metrics::reason;
use writer::Writer;

/// Flags of `tsdb import`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  binnacle tsdb import /var/lib/prometheus --data-dir /var/lib/binnacle
  binnacle tsdb import 01HF7Q1GZ3 01HF8X2M4A --match '{job=\"node\"}' --match 'up'
  binnacle tsdb import history.om --retention 2y --tenant team-a

A folder is a block of Prometheus, or a data folder that holds several. A file is OpenMetrics text in which every \
sample has its time. Samples that are there already change nothing, so an import that was interrupted can be started \
again. Prometheus' write-ahead log is not read: what is in no block yet comes with a snapshot (POST \
/api/v1/admin/tsdb/snapshot).

Exit code 0 when everything was taken, 3 when something was refused or could not be read, 1 when the import ended early \
or did not begin.")]
pub struct ImportArgs {
    /// Blocks, folders of blocks, OpenMetrics text files
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Where the data is.
    #[command(flatten)]
    pub data: DataDirArgs,
    /// Whose the samples are to be
    #[arg(long, value_name = "TENANT", default_value = Tenant::DEFAULT, value_parser = parse_tenant)]
    pub tenant: Tenant,
    /// Only series that this selector selects; may be given more than once
    #[arg(long = "match", value_name = "SELECTOR")]
    pub selectors: Vec<String>,
    /// The configuration of the binnacle that is to serve the samples: data_dir, retention and limits are read from it
    #[arg(long, env = "BINNACLE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Take samples up to this age [default: retention.metrics of the configuration, or 30d]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub retention: Option<Duration>,
    /// Leave out samples that are older than the retention, instead of not beginning
    #[arg(long)]
    pub skip_old: bool,
}

/// Plans, asks, imports, sums up.
///
/// # Errors
/// Anything that keeps the import from beginning or from going on.
pub fn run(args: &ImportArgs, clock: &Arc<dyn Clock>) -> Result<ExitCode> {
    let config = match &args.config {
        Some(file) => Config::read(file)?,
        None => Config::default(),
    };
    let predicate = super::predicate(&parse_selectors(&args.selectors)?);
    let plan = Plan::of(&args.paths)?;
    plan.remarks.iter().for_each(|r| output::remark(r));
    check_age(&plan, args, &config, clock.now_ms())?;

    let started_ns = clock.monotonic_ns();
    let data = DataDir::open(Arc::new(RealFs), &args.data.path(&config))?;
    let options = tsdb::Options {
        limits: config.limits.ingest.clone(),
        retention_ms: Some(millis(retention(args, &config))),
        ..tsdb::Options::default()
    };
    let store = tsdb::Store::open(data.fs().clone(), data.root(), options, clock.clone(), &NoMeter)?;
    let mut writer = Writer::new(store.clone(), args.tenant.clone(), clock.clone())?;
    let imported = import(&plan, &predicate, &mut writer);
    // What was taken before an error stays, and is made to parts as after a whole import.
    let flushed = writer
        .finish()
        .and_then(|()| store.flush())
        .and_then(|()| store.close());
    let seconds = (clock.monotonic_ns() - started_ns) as f64 / 1e9;
    sum_up(&writer, seconds);
    let unread = imported.map_err(ended_early)?;
    flushed.map_err(ended_early)?;
    let expected = |reason: &str| args.skip_old && reason == reason::TOO_OLD;
    let is_whole = unread == 0 && writer.outcome().rejected.iter().all(|r| expected(r.reason));
    Ok(if is_whole {
        ExitCode::SUCCESS
    } else {
        INCOMPLETE.into()
    })
}

fn ended_early(e: Error) -> Error {
    e.within("the import ended early (run it again to go on; what is there already changes nothing)")
}

/// Brings in one input after the other; how many pieces could not be read.
fn import(plan: &Plan, predicate: &Predicate, writer: &mut Writer) -> model::Result<u64> {
    let progress = Progress::start("importing", plan.samples(), Unit::Samples);
    let (mut done, mut unread) = (0, 0);
    for input in &plan.inputs {
        let report = match input {
            Input::Block(block) => blocks::import(block, predicate, writer, &mut |n| progress.at(done + n)),
            Input::Text(text) => openmetrics::import(text, predicate, writer, &mut |n| progress.at(done + n)),
        }?;
        done += input.samples();
        progress.at(done);
        progress.remark(&format!(
            "{}: {}, {}",
            input.path().display(),
            counted(report.series, "series"),
            counted(report.samples, "sample")
        ));
        for problem in &report.unread {
            progress.remark(&format!("binnacle: not imported: {problem}"));
        }
        unread += report.unread.len() as u64 + report.unread_more;
        if report.unread_more > 0 {
            progress.remark(&format!(
                "binnacle: not imported: {} more like these",
                report.unread_more
            ));
        }
    }
    Ok(unread)
}

/// What became of one input.
#[derive(Debug, Default)]
struct Report {
    /// Series that the selectors selected.
    series: u64,
    /// Their samples and histograms.
    samples: u64,
    /// Pieces that could not be read: the first of them.
    unread: Vec<Error>,
    /// How many more there are.
    unread_more: u64,
}

impl Report {
    fn add_unread(&mut self, e: Error) {
        const SHOWN: usize = 20;
        if self.unread.len() < SHOWN {
            self.unread.push(e);
        } else {
            self.unread_more += 1;
        }
    }
}

fn retention(args: &ImportArgs, config: &Config) -> Duration {
    args.retention.unwrap_or(config.retention.metrics)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

const DAY_MS: u64 = 86_400_000;

/// Old samples are refused, or taken and removed again by the running program: both want to be known before.
fn check_age(plan: &Plan, args: &ImportArgs, config: &Config, now_ms: i64) -> model::Result<()> {
    let (retention, configured) = (retention(args, config), config.retention.metrics);
    let first_kept = |kept: Duration| now_ms.saturating_sub_unsigned(millis(kept));
    let Some(oldest_ms) = plan.inputs.iter().filter_map(Input::min_ms).min() else {
        return Ok(());
    };
    let days = now_ms.abs_diff(oldest_ms) / DAY_MS + 2;
    let old = |kept: Duration| {
        let inputs = plan.inputs.iter().filter_map(Input::min_ms);
        inputs.filter(|min_ms| *min_ms < first_kept(kept)).count()
    };
    let is_kept_in = |kept: Duration| {
        let text = model::duration::format(kept);
        format!("the retention of {text} (from {})", shown_time(first_kept(kept)))
    };
    if old(retention) > 0 {
        let found = format!(
            "{} of {} inputs hold samples before {}; the oldest is of {}",
            old(retention),
            plan.inputs.len(),
            is_kept_in(retention),
            shown_time(oldest_ms)
        );
        if !args.skip_old {
            return Err(Error::bad_data(format!(
                "{found}. Nothing was imported. Take them with --retention {days}d, and set retention.metrics to as much \
                 in the configuration, or leave them out with --skip-old"
            )));
        }
        output::remark(&format!("binnacle: {found}: these are left out"));
    }
    if retention > configured && old(configured) > 0 {
        output::remark(&format!(
            "binnacle: note: samples before {} are removed when binnacle runs: set retention.metrics to {days}d or more",
            is_kept_in(configured)
        ));
    }
    Ok(())
}

fn sum_up(writer: &Writer, seconds: f64) {
    let outcome = writer.outcome();
    let taken = outcome.accepted + outcome.duplicates;
    let mut line = format!(
        "imported {} of {}",
        counted(taken, "sample"),
        counted(writer.series(), "series")
    );
    if outcome.accepted_histograms > 0 {
        line += &format!(
            ", {} of them histograms",
            super::shown_count(outcome.accepted_histograms)
        );
    }
    if outcome.accepted_exemplars > 0 {
        line += &format!(", {}", counted(outcome.accepted_exemplars, "exemplar"));
    }
    output::answer(&format!("{line} in {seconds:.1} s"));
    for r in &outcome.rejected {
        output::answer(&format!(
            "refused {}: {}: {}",
            counted(r.count, "sample"),
            r.reason,
            r.message
        ));
    }
}
