//! Holds the results of the conformance suites against the lists of cases that fail still; the lists only shrink.

#![allow(clippy::unwrap_used, reason = "these files hold tests and their helpers")]

use std::path::Path;
use tests::conformance::{FileReport, Suite, hold};

/// Runs a suite over a folder beside the checkout, and compares it with its list. `None` where the folder is missing.
fn run(suite: &str, folder: &str) -> Option<Vec<FileReport>> {
    let folder = tests::shared()?.join(folder);
    if !folder.is_dir() {
        tests::skipped(&format!("{} is missing", folder.display()));
        return None;
    }
    let reports = Suite::find(suite)
        .unwrap()
        .run(std::slice::from_ref(&folder))
        .unwrap();
    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("conformance/{suite}.failing"));
    if let Err(problem) = hold(suite, &folder, &reports, &list) {
        panic!("{problem:#}");
    }
    Some(reports)
}

#[test]
fn promql_fails_only_where_it_is_listed() {
    run("promql", "conformance/promql");
}

#[test]
fn the_expressions_of_dashboards_parse() {
    run("dashboards", "dashboards");
}

#[test]
fn our_own_cases_pass() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/promql");
    for report in Suite::find("promql").unwrap().run(&[folder]).unwrap() {
        let failures: Vec<_> = report.failures().collect();
        assert!(failures.is_empty(), "{failures:#?}");
    }
}
