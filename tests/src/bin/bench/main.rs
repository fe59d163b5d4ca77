//! Benchmarks of the built programs beside Debian's: run them by `cargo xtask bench`, which builds and installs first.
//!
//! `metrics` sends the same requests to each program, one after another, and prints what they cost and how ours
//! relates to the others'; `record` keeps real scrapes for it. docs/benchmarks.md says what is measured and how.

mod answers;
mod api;
mod bodies;
mod clock;
mod exposition;
mod group;
mod http;
mod machine;
mod measure;
mod plan;
mod program;
mod protobuf;
mod queries;
mod random;
mod read_store;
mod record;
mod recording;
mod report;
mod sender;
mod series;
mod server;
mod started;
mod target;
mod verify;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Parser, Subcommand, ValueEnum as _};
use measure::{Bench, Measure, say};
use plan::{Plan, Size};
use program::Program;
use report::Report;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

#[derive(Parser)]
#[command(
    name = "cargo xtask bench",
    about = "Benchmarks of the built programs beside Debian's"
)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Measure the metrics store through remote write and PromQL.
    #[command(after_help = "Examples:
  cargo xtask bench metrics
  cargo xtask bench metrics --only ingest,disk --peers victoria-metrics
  cargo xtask bench metrics --size full --out figures.json
  cargo xtask bench metrics --only restart --size full --kills 50 --peers none
  cargo xtask bench metrics --only recorded --recorded scrapes/")]
    Metrics(Metrics),
    /// Record scrapes for `metrics --recorded`.
    #[command(after_help = "Examples:
  cargo xtask bench record --out scrapes --target http://127.0.0.1:9100/metrics
  cargo xtask bench record --out scrapes --for 4h --target http://127.0.0.1:9100/metrics cadvisor=http://127.0.0.1:4194/metrics
  cargo xtask bench record --out scrapes --for 2h --from http://127.0.0.1:9090")]
    Record(record::Record),
}

#[derive(Debug, Args)]
struct Metrics {
    /// Debian's programs to measure beside ours, or `none`; one that is not installed is said and left out.
    #[arg(long, value_delimiter = ',', default_value = "prometheus,victoria-metrics")]
    peers: Vec<String>,
    /// What to measure; `recorded` only with --recorded.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "ingest,disk,memory,restart,query,curve,recorded"
    )]
    only: Vec<Measure>,
    /// How much.
    #[arg(long, default_value = "small")]
    size: Size,
    /// File for all figures and ratios as JSON.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Folder of recorded scrapes.
    #[arg(long, value_name = "DIR")]
    recorded: Option<PathBuf>,
    /// Rounds of `restart` instead of the size's.
    #[arg(long, value_name = "N")]
    kills: Option<usize>,
    /// Folder for data directories and requests, on a real disk: a folder within it is made and removed.
    #[arg(long, value_name = "DIR", env = "BINNACLE_BENCH_DIR")]
    folder: Option<PathBuf>,
}

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stderr, reason = "this is a program for a terminal")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (end, ended) = tokio::sync::oneshot::channel();
    let work = std::thread::spawn(move || {
        let result = match arguments.what {
            What::Metrics(metrics) => run(&metrics),
            What::Record(record) => record::run(&record),
        };
        // Fails only when a signal was faster.
        let _ = end.send(result);
    });
    let result = tokio::select! {
        result = ended => result.unwrap_or_else(|_| Err(anyhow::anyhow!("the benchmark ended in a bug"))),
        name = interrupted() => Err(anyhow::anyhow!("ended by {name}")),
    };
    // Servers first: what waits for them ends with them, and then nobody writes to the folder any more.
    started::kill_all();
    let _ = work.join();
    started::remove_folder();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("bench: {e:#}");
            ExitCode::FAILURE
        }
    }
}

/// Ends with the name of a signal that asks for the end.
async fn interrupted() -> &'static str {
    let listen = |kind| async move {
        match signal(kind) {
            Ok(mut signal) => signal.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = listen(SignalKind::interrupt()) => "SIGINT",
        _ = listen(SignalKind::terminate()) => "SIGTERM",
        _ = listen(SignalKind::hangup()) => "SIGHUP",
    }
}

/// Ours first in tables; Prometheus before those that are compared with it.
fn programs(peers: &[String]) -> Result<Vec<Program>> {
    let mut all = vec![Program::Binnacle];
    for name in peers.iter().filter(|n| *n != "none" && !n.is_empty()) {
        all.push(Program::from_str(name, false).map_err(|e| anyhow::anyhow!("--peers: {e}"))?);
    }
    all.sort();
    all.dedup();
    if Program::Binnacle.version().is_none() {
        bail!("binnacle does not start; BINNACLE_BIN names it");
    }
    all.retain(|program| {
        let is_there = program.version().is_some();
        if !is_there {
            say(&format!(
                "{}: LEFT OUT, it is not installed (apt-get install {0})",
                program.name()
            ));
        }
        is_there
    });
    Ok(all)
}

fn run(metrics: &Metrics) -> Result<()> {
    let programs = programs(&metrics.peers)?;
    let mut plan = Plan::new(metrics.size, clock::unix_ms());
    plan.kills.rounds = metrics.kills.unwrap_or(plan.kills.rounds);
    let machine = machine::describe(&programs, metrics.size);
    say(&machine.to_string());
    let parent = metrics.folder.clone().unwrap_or_else(std::env::temp_dir);
    let mut bench = Bench {
        plan,
        report: Report::new(machine, &programs),
        programs,
        only: metrics.only.clone(),
        folder: started::folder(&parent)?,
    };
    let result = measure_all(&mut bench, metrics.recorded.as_deref());
    if let Some(path) = &metrics.out {
        // Also after an error: hours of figures are worth keeping.
        let text = serde_json::to_string_pretty(&bench.report.json())? + "\n";
        std::fs::write(path, text).with_context(|| path.display().to_string())?;
    }
    result?;
    let failures = bench.report.failures(Program::Binnacle);
    if !failures.is_empty() {
        bail!("measurements of ours failed:\n{}", failures.join("\n"));
    }
    Ok(())
}

fn measure_all(bench: &mut Bench, recorded: Option<&std::path::Path>) -> Result<()> {
    measure::ingest::measure(bench)?;
    if bench.wants(&[Measure::Memory]) {
        measure::memory::measure(bench)?;
    }
    if bench.wants(&[Measure::Restart]) {
        measure::restart::measure(bench)?;
    }
    if bench.wants(&[Measure::Curve]) {
        measure::curve::measure(bench)?;
    }
    match recorded {
        Some(folder) if bench.wants(&[Measure::Recorded]) => measure::recorded::measure(bench, folder),
        None if bench.only == [Measure::Recorded] => bail!("recorded needs --recorded DIR"),
        _ => Ok(()),
    }
}
