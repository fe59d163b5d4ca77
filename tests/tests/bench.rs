//! The short version of `cargo xtask bench`: it runs to its end and prints its ratios. Figures of a busy machine are
//! nothing to hold a test against, so none is looked at.

#![allow(clippy::unwrap_used, reason = "these files hold tests and their helpers")]

#[tokio::test]
async fn the_benchmark_runs_to_its_ratios() {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_bench"));
    command
        .env("BINNACLE_BIN", tests::binnacle::program())
        .env("BINNACLE_BENCH_SCRAPES", "2");
    let said = tests::peers::run(command).await.unwrap();
    assert!(said.contains("ours to theirs: ingestion"), "{said}");
}
