//! Runs cases of the reference systems' test suites: `cargo run -p tests --bin conformance -- promql FOLDER`.

use anyhow::Result;
use clap::Parser;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use tests::conformance::{FileReport, Suite, failing, indented};
use tests::say;

#[derive(Parser)]
#[command(
    name = "conformance",
    about = "Runs cases of the reference systems' test suites against our engines",
    after_help = "Exit codes: 0 all passed, 1 some failed, 2 nothing could be run.

Examples:
  conformance promql ../shared/conformance/promql
  conformance promql --list-failing ../shared/conformance/promql > tests/conformance/promql.failing"
)]
struct Arguments {
    /// Which suite: promql, dashboards.
    suite: String,
    /// Case files, and folders with them.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Print only where the failures are: file:line, the file inside its folder.
    #[arg(long)]
    list_failing: bool,
    /// Print the totals of each file too.
    #[arg(long)]
    totals: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let reports = Suite::find(&arguments.suite).and_then(|suite| suite.run(&arguments.paths));
    let reports = match reports {
        Ok(reports) => reports,
        Err(problem) => {
            say(&format!("{problem:#}"));
            return ExitCode::from(2);
        }
    };
    let printed = if arguments.list_failing {
        print_list(&reports)
    } else {
        print(&reports, arguments.totals)
    };
    if let Err(problem) = printed {
        say(&format!("cannot print: {problem:#}"));
        return ExitCode::from(2);
    }
    let any_failed = reports.iter().any(|r| r.failures().next().is_some());
    ExitCode::from(u8::from(any_failed))
}

fn print_list(reports: &[FileReport]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    for place in failing(reports) {
        writeln!(out, "{place}")?;
    }
    Ok(())
}

fn print(reports: &[FileReport], with_totals: bool) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let (mut passed, mut failed) = (0, 0);
    for report in reports {
        for (case, failure) in report.failures() {
            writeln!(out, "{}:{}: {}", report.path.display(), case.line, case.name)?;
            writeln!(out, "{}", indented(failure))?;
        }
        passed += report.passed();
        failed += report.failures().count();
    }
    for report in reports.iter().filter(|_| with_totals) {
        let (file, failed) = (report.inside.display(), report.failures().count());
        writeln!(out, "{file}: {} passed, {failed} failed", report.passed())?;
    }
    writeln!(out, "{passed} passed, {failed} failed")?;
    Ok(())
}
