//! The program `binnacle`: reads the command line and runs what it says.

use anyhow::Result;
use clap::Parser as _;
use collector::cli::{Cli, Command, RunArgs};
use model::Clock as _;
use std::process::ExitCode;
use std::sync::Arc;

/// docs/decisions/0011: what threads free comes back to all of them, and to the system.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = |()| ExitCode::SUCCESS;
    let result = match cli.command.unwrap_or(Command::Run(cli.run)) {
        Command::Run(args) => run(&args).map(done),
        Command::Query(args) => query(&args).map(done),
        Command::Check(args) => {
            return if collector::command::check::run(&args) == 0 {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            };
        }
        Command::Test(args) => {
            let clock: Arc<dyn model::Clock> = Arc::new(runtime::clock::SystemClock::new());
            collector::command::test::run(&args, &clock)
        }
        Command::Tsdb(args) => {
            collector::command::tsdb::run(&args, Arc::new(runtime::clock::SystemClock::new()))
        }
    };
    match result {
        Ok(code) => code,
        Err(e) => {
            complain(&e);
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "the last word of a program that ends")]
fn complain(error: &anyhow::Error) {
    eprintln!("binnacle: {error:#}");
}

fn run(args: &RunArgs) -> Result<()> {
    let config = collector::config::Config::load(args)?;
    let workers = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("binnacle")
        .build()?;
    workers.block_on(collector::run::run(config))
}

fn query(args: &collector::cli::QueryArgs) -> Result<()> {
    let now_ms = runtime::clock::SystemClock::new().now_ms();
    let worker = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    worker.block_on(collector::command::query::run(args, now_ms))
}
