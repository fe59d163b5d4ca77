//! The program `binnacle-agent`: reads the command line and runs what it says.

use agent::program::{self, cli::Args, config::Config};
use anyhow::Result;
use clap::Parser as _;
use std::process::ExitCode;

/// docs/decisions/0011: what threads free comes back to all of them, and to the system.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match start(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            complain(&e);
            ExitCode::FAILURE
        }
    }
}

fn start(args: &Args) -> Result<()> {
    let config = Config::load(args)?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(program::run(config))
}

#[expect(clippy::print_stderr, reason = "the last word of a program that ends")]
fn complain(error: &anyhow::Error) {
    eprintln!("binnacle-agent: {error:#}");
}
