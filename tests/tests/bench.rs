//! The short version of `cargo xtask bench`: every measurement yields figures, and what was sent is there. Times of a
//! busy machine are nothing to hold a test against, so none is compared.

#![allow(clippy::unwrap_used, reason = "these files hold tests and their helpers")]

use serde_json::Value;
use std::path::Path;
use tests::binnacle::{Binnacle, Options};
use tokio::process::Command;

fn bench(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
    command
        .env("BINNACLE_BIN", tests::binnacle::program())
        .args(arguments);
    command
}

/// Runs measurements of our program alone; gives `measure data`, the notes, and a figure's value by its name.
async fn measure(folder: &Path, only: &str, more: &[&str]) -> Vec<(String, Value)> {
    let out = folder.join("figures.json");
    let mut command = bench(&["metrics", "--size", "tiny", "--peers", "none", "--only", only]);
    command
        .arg("--out")
        .arg(&out)
        .arg("--folder")
        .arg(folder)
        .args(more);
    let said = tests::peers::run(command).await.unwrap();
    let report: Value = serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap();
    let left: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    let stayed = left
        .iter()
        .any(|n| n.to_string_lossy().starts_with("binnacle-bench-"));
    assert!(!stayed, "the benchmark's folder stayed: {left:?}");
    let measurements = report["measurements"].as_array().unwrap().clone();
    let ours = measurements.iter().map(|m| {
        let name = m["measure"].as_str().unwrap();
        assert!(
            said.contains(&format!("{name}: {}", m["data"].as_str().unwrap())),
            "{said}"
        );
        (name.to_owned(), m["programs"]["binnacle"].clone())
    });
    ours.collect()
}

/// Figures that are to be more than zero, and those that are to be zero.
fn check(measured: &[(String, Value)], measure: &str, some: &[&str], none: &[&str]) {
    let of_measure: Vec<_> = measured.iter().filter(|(m, _)| m == measure).collect();
    let value = |name: &str| {
        of_measure
            .iter()
            .find_map(|(_, program)| program["figures"][name].as_f64())
    };
    for name in some {
        assert!(
            value(name).is_some_and(|v| v > 0.0),
            "{measure}: {name}: {of_measure:#?}"
        );
    }
    for name in none {
        assert_eq!(value(name), Some(0.0), "{measure}: {name}: {of_measure:#?}");
    }
}

#[tokio::test]
async fn every_measurement_yields_figures_and_all_samples_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let all = measure(folder.path(), "ingest,disk,memory,restart,query,curve", &[]).await;
    check(
        &all,
        "ingest",
        &[
            "samples/s",
            "acknowledgement p50 ms",
            "RSS peak MB",
            "samples sent",
            "values read back",
        ],
        &["samples missing", "values missing", "values not bit-exact"],
    );
    check(
        &all,
        "disk",
        &["bytes per sample, compacted", "bytes per sample, as left"],
        &[],
    );
    check(
        &all,
        "memory",
        &[
            "active series",
            "series ever",
            "RssAnon bytes per active series, all in",
        ],
        &[],
    );
    check(
        &all,
        "restart",
        &[
            "ready, s",
            "first right answer, s",
            "acknowledged samples",
            "samples taken after the start",
        ],
        &["acknowledged samples missing", "values not bit-exact"],
    );
    check(&all, "query", &["asked", "answered", "sum of medians, ms"], &[]);
    check(&all, "curve", &["samples/s"], &[]);
    for (measure, program) in &all {
        assert!(program["failed"].is_null(), "{measure}: {program:#}");
        assert_eq!(program["notes"], serde_json::json!([]), "{measure}");
    }
}

#[tokio::test]
async fn what_is_recorded_can_be_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let binnacle = Binnacle::start(&folder.path().join("data"), &Options::no_agent())
        .await
        .unwrap();
    let scrapes = folder.path().join("scrapes");
    let target = format!("binnacle={}/metrics", binnacle.url);
    let mut command = bench(&[
        "record",
        "--interval",
        "50ms",
        "--for",
        "500ms",
        "--target",
        &target,
    ]);
    command.arg("--out").arg(&scrapes);
    let said = tests::peers::run(command).await.unwrap();
    assert!(said.contains("scrapes in"), "{said}");
    let recorded = ["--recorded", scrapes.to_str().unwrap()];
    let all = measure(folder.path(), "recorded", &recorded).await;
    assert_eq!(all.len(), 2, "{all:#?}");
    for one in all {
        check(
            &[one],
            "recorded",
            &["bytes per sample, compacted", "samples sent"],
            &["samples missing"],
        );
    }
}

/// The processes that any thread of a process has started and that run.
fn children(of: u32) -> Vec<String> {
    let threads = std::fs::read_dir(format!("/proc/{of}/task"))
        .into_iter()
        .flatten()
        .flatten();
    let lists = threads.map(|t| std::fs::read_to_string(t.path().join("children")).unwrap_or_default());
    lists
        .flat_map(|l| l.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

#[tokio::test]
async fn an_interrupt_ends_the_servers_and_removes_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let endless = [
        "metrics", "--size", "tiny", "--peers", "none", "--only", "restart", "--kills", "1000000",
    ];
    let mut command = bench(&endless);
    command.arg("--folder").arg(folder.path());
    let mut bench = tests::process::Process::start("bench", command).unwrap();
    bench
        .wait_for_line("the first round", |l| l.contains("kill 1 of").then_some(()))
        .await
        .unwrap();
    let id = bench.pid().unwrap().as_raw_nonzero().get().cast_unsigned();
    let servers = tests::wait::until("a server", || async {
        let servers = children(id);
        if servers.is_empty() {
            Err("none")
        } else {
            Ok(servers)
        }
    })
    .await;
    bench.signal(rustix::process::Signal::INT).unwrap();
    let status = bench.wait().await.unwrap();
    assert!(
        !status.success() && bench.output().contains("ended by SIGINT"),
        "{}",
        bench.output()
    );
    for server in servers {
        assert!(
            !Path::new(&format!("/proc/{server}")).exists(),
            "server {server} lives on"
        );
    }
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        0,
        "the folder stayed"
    );
}
