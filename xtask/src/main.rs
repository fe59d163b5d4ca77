//! The chores of the project: `cargo xtask test|soak|fuzz|bench`.
//!
//! `test` is the README's second command and all that CI calls: it installs what the tests need, checks format
//! and lints, builds the programs once, and runs every test against them. The long runs are chores of their own, and
//! each has a short version among the tests: fewer seeds, rounds and kills (soak), the kept corpora with seeded mutations (fuzz),
//! tiny sizes and only our program (bench).

mod shell;
mod toolbox;

use anyhow::Result;
use clap::{Parser, Subcommand};
use shell::{Step, root};

#[derive(Parser)]
#[command(about = "The chores of the project", long_about = None)]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Install what tests need, then format, clippy, unit, browser and end-to-end tests. All that CI calls.
    Test,
    /// The crash simulations with many seeds, minutes of everything at once, and kill -9 with many rounds.
    ///
    /// The metrics store's simulation runs about 300 seeds a second, so 100,000 take some six minutes.
    Soak {
        /// Seeds of each simulation.
        #[arg(long, default_value_t = 100_000)]
        seeds: u64,
        /// Minutes in which a peer and a sender write while queries, merges, deletions, retention and snapshots go on.
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
        minutes: u64,
        /// Rounds of kill -9 under load.
        #[arg(long, default_value_t = 200)]
        kills: u32,
    },
    /// Fuzz each decoder of foreign bytes (needs cargo-fuzz and a nightly toolchain).
    Fuzz {
        /// Seconds for each target.
        #[arg(long, default_value_t = 600)]
        seconds: u64,
        /// One target instead of all.
        target: Option<String>,
    },
    /// Measure beside Debian's programs in the same run: `cargo xtask bench metrics --help`, `cargo xtask bench record --help`.
    Bench {
        /// What to measure, and how.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() -> Result<()> {
    match Arguments::parse().chore {
        Chore::Test => test(),
        Chore::Soak {
            seeds,
            minutes,
            kills,
        } => soak(seeds, minutes, kills),
        Chore::Fuzz { seconds, target } => fuzz(seconds, target),
        Chore::Bench { arguments } => bench(&arguments),
    }
}

/// Programs that the tests drive, built once in the profile of the tests.
fn build_programs() -> Result<Vec<(&'static str, String)>> {
    Step::cargo(
        "build the programs",
        &["build", "--package", "collector", "--package", "agent", "--bins"],
    )
    .run()?;
    let folder = shell::target_dir()?.join("debug");
    Ok(vec![
        ("BINNACLE_BIN", folder.join("binnacle").display().to_string()),
        (
            "BINNACLE_AGENT_BIN",
            folder.join("binnacle-agent").display().to_string(),
        ),
    ])
}

fn test() -> Result<()> {
    let tools = toolbox::install()?;
    Step::cargo("format", &["fmt", "--all", "--check"]).run()?;
    Step::cargo(
        "clippy",
        &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"],
    )
    .run()?;
    if shell::succeeds("cargo", &["deny", "--version"]) {
        Step::cargo(
            "licences and sources",
            &["deny", "check", "licenses", "bans", "sources"],
        )
        .run()?;
    } else {
        shell::say("licences and sources: SKIPPED, cargo-deny is not installed (cargo install cargo-deny)");
    }
    let programs = build_programs()?;
    Step::cargo("unit tests", &["test", "--workspace", "--exclude", "tests"]).run()?;
    // Last, so that the run ends with the test runner's own closing lines. Two at a time: each test starts several
    // programs, and two processors are all that CI has.
    Step::cargo(
        "end-to-end and browser tests",
        &["test", "--package", "tests", "--", "--test-threads=2"],
    )
    .envs(programs)
    .envs(tools)
    .run()
}

fn soak(seeds: u64, minutes: u64, kills: u32) -> Result<()> {
    let tools = toolbox::install()?;
    let programs = build_programs()?;
    Step::cargo(
        "crash simulations",
        &[
            "test",
            "--release",
            "--package",
            "storage",
            "--package",
            "tsdb",
            "--package",
            "eventdb",
        ],
    )
    .env("BINNACLE_SEEDS", seeds.to_string())
    .run()?;
    Step::cargo(
        "everything at once",
        &["test", "--package", "tests", "--test", "soak"],
    )
    .env("BINNACLE_SOAK_MINUTES", minutes.to_string())
    .envs(programs.clone())
    .envs(tools.clone())
    .run()?;
    Step::cargo(
        "kill -9 under load",
        &["test", "--package", "tests", "--test", "crash"],
    )
    .env("BINNACLE_KILLS", kills.to_string())
    .envs(programs)
    .envs(tools)
    .run()
}

fn fuzz(seconds: u64, target: Option<String>) -> Result<()> {
    let targets = match target {
        Some(one) => vec![one],
        None => shell::output("cargo", &["fuzz", "list"], &root().join("fuzz"))?
            .lines()
            .map(str::to_owned)
            .collect(),
    };
    for target in targets {
        let limit = format!("-max_total_time={seconds}");
        Step::cargo(
            &format!("fuzz {target}"),
            &["+nightly", "fuzz", "run", &target, "--", &limit],
        )
        .folder(root().join("fuzz"))
        .run()?;
    }
    Ok(())
}

fn bench(arguments: &[String]) -> Result<()> {
    let is_help = arguments.iter().any(|a| a == "--help" || a == "-h");
    let measures = arguments.first().is_some_and(|a| a != "record") && !is_help;
    let mut run = Step::cargo(
        "benchmark",
        &[
            "run",
            "--quiet",
            "--release",
            "--package",
            "tests",
            "--bin",
            "bench",
            "--",
        ],
    )
    .arguments(arguments)
    // Paths on the command line are the caller's.
    .folder(std::env::current_dir()?);
    if measures {
        toolbox::install_peers();
        run = run.env("BINNACLE_BIN", release_program()?);
    }
    run.run()
}

/// The program to measure: the one that `BINNACLE_BIN` names, else a new build.
fn release_program() -> Result<String> {
    if let Ok(given) = std::env::var("BINNACLE_BIN") {
        return Ok(std::path::absolute(given)?.display().to_string());
    }
    let mut build = Step::cargo(
        "build the program",
        &["build", "--release", "--package", "collector", "--bins"],
    );
    if !toolbox::has_node() {
        shell::say("Node.js is missing: the program is built without its page, which is not measured");
        build = build.env("BINNACLE_UI_SKIP", "1".into());
    }
    build.run()?;
    Ok(shell::target_dir()?
        .join("release/binnacle")
        .display()
        .to_string())
}
