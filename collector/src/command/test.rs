//! `binnacle test`: unit tests of rule files, as promtool has them.

mod cases;
mod compare;
mod database;
mod file;
mod report;
#[cfg(test)]
mod tests;

use alert::rules::RuleFile;
use cases::{Failure, Settings};
use clap::{Args, Subcommand};
use file::TestFile;
use model::{Clock, MatchOp, Matcher};
use report::{Case, Suite};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// Flags of `test`.
#[derive(Debug, Clone, Args)]
pub struct TestArgs {
    /// What to test.
    #[command(subcommand)]
    pub command: TestCommand,
    /// Write the results as JUnit XML
    #[arg(long, global = true, value_name = "FILE")]
    pub junit: Option<PathBuf>,
}

/// What `test` can do.
#[derive(Debug, Clone, Subcommand)]
pub enum TestCommand {
    /// Run unit tests of rule files, in promtool's format
    Rules(RulesArgs),
}

/// Flags of `test rules`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  binnacle test rules tests/*.yml
  binnacle test rules --run 'Instance.*' --diff tests/alerts.yml
  binnacle test rules --junit results.xml tests/*.yml

Exit code 0 when every test passes, 1 when one fails or a file cannot be read.")]
pub struct RulesArgs {
    /// Files of unit tests
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Run only the groups of tests whose names this regular expression finds; may be given several times
    #[arg(long, value_name = "REGEX", value_parser = parse_search)]
    pub run: Vec<String>,
    /// Show what is expected and what came out as one text with marked lines
    #[arg(long)]
    pub diff: bool,
    /// Show each group's start and end, and all of its series
    #[arg(long)]
    pub debug: bool,
    /// Pass over unknown keys in rule files
    #[arg(long)]
    pub ignore_unknown_fields: bool,
}

/// Runs the tests and tells how they went.
///
/// # Errors
/// When a file is not there, or the results cannot be written.
pub fn run(args: &TestArgs, clock: &Arc<dyn Clock>) -> anyhow::Result<ExitCode> {
    let TestCommand::Rules(rules) = &args.command;
    if let Some(missing) = rules.files.iter().find(|f| !f.exists()) {
        anyhow::bail!("there is no file {}", missing.display());
    }
    let wanted = wanted(&rules.run)?;
    let mut suites = Vec::with_capacity(rules.files.len());
    for file in &rules.files {
        report::begin(file);
        let suite = run_file(file, rules, wanted.as_ref(), clock);
        report::end(&suite);
        suites.push(suite);
    }
    if let Some(path) = &args.junit {
        std::fs::write(path, report::junit(&suites))
            .map_err(|e| anyhow::anyhow!("cannot write {}: {e}", path.display()))?;
    }
    Ok(if suites.iter().all(Suite::passed) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// A matcher for the names of groups that one of some expressions finds.
fn wanted(run: &[String]) -> model::Result<Option<Matcher>> {
    if run.is_empty() {
        return Ok(None);
    }
    let pattern = format!("(?s:.*)(?:{})(?s:.*)", run.join("|"));
    Matcher::new("name", MatchOp::Regex, pattern).map(Some)
}

/// Checks that a text is a regular expression by itself.
fn parse_search(text: &str) -> Result<String, String> {
    wanted(&[text.to_owned()]).map_err(|e| e.to_string())?;
    Ok(text.to_owned())
}

/// Runs the tests of one file.
fn run_file(path: &Path, args: &RulesArgs, wanted: Option<&Matcher>, clock: &Arc<dyn Clock>) -> Suite {
    let mut suite = Suite::new(path.display().to_string(), clock.now_ms());
    let (file, rules) = match TestFile::read(path) {
        Ok(file) => {
            let rules = rule_files(&file, path, args.ignore_unknown_fields);
            (file, rules)
        }
        Err(e) => return suite.aborted(e),
    };
    let order = match group_order(&file.group_eval_order) {
        Ok(order) => order,
        Err(e) => return suite.aborted(e),
    };
    for (number, group) in file.tests.iter().enumerate() {
        let name = group.name.as_deref().unwrap_or_default();
        if wanted.is_some_and(|w| !w.matches(name)) {
            continue;
        }
        let shown = if name.is_empty() {
            format!("unnamed#{number}")
        } else {
            name.to_owned()
        };
        let started_ns = clock.monotonic_ns();
        if args.debug {
            report::debug(&format!("starting test {shown}"));
        }
        let failures = match &rules {
            Ok(rules) => {
                let settings = Settings {
                    name: &shown,
                    evaluation_interval: file.evaluation_interval,
                    order: &order,
                    is_fuzzy: file.fuzzy_compare,
                    shows_diff: args.diff,
                    dumps: args.debug,
                    rules,
                    clock,
                };
                cases::run(group, &settings)
            }
            Err(e) => vec![Failure::new(e.clone())],
        };
        if args.debug {
            let took_ms = (clock.monotonic_ns().saturating_sub(started_ns)) / 1_000_000;
            report::debug(&format!("test {shown} finished, took {took_ms} ms"));
        }
        suite.cases.push(Case {
            name: shown,
            failures,
        });
    }
    suite
}

/// The rule files of a file of tests, or everything that is wrong with them.
fn rule_files(file: &TestFile, path: &Path, is_lenient: bool) -> Result<Vec<RuleFile>, String> {
    let base = path.parent().unwrap_or(Path::new(""));
    let (mut files, mut mistakes) = (Vec::new(), Vec::new());
    for pattern in &file.rule_files {
        match alert::config::rule_paths(pattern, base) {
            Ok(paths) => {
                if paths.is_empty() {
                    report::warn(&format!("no file matches {}", base.join(pattern).display()));
                }
                for path in paths {
                    let read = if is_lenient {
                        alert::config::read_rules_lenient(&path)
                    } else {
                        alert::config::read_rules(&path)
                    };
                    match read {
                        Ok(file) => files.push(file),
                        Err(e) => mistakes.push(e.message().to_owned()),
                    }
                }
            }
            Err(e) => mistakes.push(e.message().to_owned()),
        }
    }
    if mistakes.is_empty() {
        Ok(files)
    } else {
        Err(mistakes.join("\n"))
    }
}

/// The places of the groups that have to be evaluated in an order.
fn group_order(names: &[String]) -> Result<BTreeMap<String, usize>, String> {
    let mut order = BTreeMap::new();
    for (place, name) in names.iter().enumerate() {
        if order.insert(name.clone(), place).is_some() {
            return Err(format!("group name repeated in evaluation order: {name}"));
        }
    }
    Ok(order)
}
