//! Holds the table of crates: who may depend on whom, what each file opens with, and what stays out of the agent.

#![allow(clippy::unwrap_used, reason = "these files hold tests and their helpers")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Crate, and the crates of ours that it may depend on. This is the table of ARCHITECTURE.md.
const TABLE: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("storage", &["model"]),
    ("wire", &["model"]),
    ("runtime", &["model"]),
    ("receive", &["model", "wire", "runtime"]),
    ("scrape", &["model", "wire", "runtime"]),
    ("tsdb", &["model", "storage"]),
    ("eventdb", &["model", "storage"]),
    ("query", &["model"]),
    ("alert", &["model", "storage", "runtime", "query"]),
    ("dashboard", &["model", "query"]),
    (
        "agent",
        &["model", "storage", "wire", "runtime", "receive", "scrape"],
    ),
    ("collector", ALL),
    ("tests", ALL),
    ("xtask", &[]),
];

const ALL: &[&str] = &[
    "model",
    "storage",
    "wire",
    "runtime",
    "receive",
    "scrape",
    "tsdb",
    "eventdb",
    "query",
    "alert",
    "dashboard",
    "agent",
    "collector",
];

/// Crates that the small program for a DaemonSet must not link.
const NOT_IN_AGENT: &[&str] = &[
    "tantivy",
    "plotters",
    "promql-parser",
    "dashboard",
    "eventdb",
    "tsdb",
    "query",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ stands in the workspace")
        .to_owned()
}

/// This machine's triple: what other platforms need may never have been downloaded.
fn host() -> String {
    let output = Command::new("rustc").arg("-vV").output().expect("rustc runs");
    let text = String::from_utf8(output.stdout).expect("versions are text");
    let host = text.lines().find_map(|l| l.strip_prefix("host: "));
    host.expect("rustc names its host").to_owned()
}

fn metadata() -> serde_json::Value {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--filter-platform",
            &host(),
        ])
        .current_dir(root())
        .output()
        .expect("cargo metadata runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON")
}

fn text(v: &serde_json::Value) -> &str {
    v.as_str().unwrap_or_default()
}

/// Name of each crate of ours, and the kinds and names of its direct dependencies among ours.
fn our_dependencies(metadata: &serde_json::Value) -> BTreeMap<String, Vec<(String, String)>> {
    let packages = metadata["packages"].as_array().expect("packages");
    let ours = packages.iter().filter(|p| p["source"].is_null());
    let names: BTreeSet<&str> = ours.clone().map(|p| text(&p["name"])).collect();
    ours.map(|p| {
        let of_ours = p["dependencies"].as_array().expect("dependencies").iter();
        let of_ours = of_ours.filter(|d| names.contains(text(&d["name"])));
        let pairs = of_ours
            .map(|d| (text(&d["kind"]).to_owned(), text(&d["name"]).to_owned()))
            .collect();
        (text(&p["name"]).to_owned(), pairs)
    })
    .collect()
}

#[test]
fn dependencies_follow_the_table() {
    let found = our_dependencies(&metadata());
    let named: BTreeSet<_> = TABLE.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(
        found.keys().cloned().collect::<BTreeSet<_>>(),
        named,
        "the crates and the table differ"
    );
    for (name, allowed) in TABLE {
        for (kind, dependency) in &found[*name] {
            // Tests may use the oracle and the faulty disk, which live at the bottom of the house.
            let for_tests = kind == "dev" && ["model", "storage"].contains(&dependency.as_str());
            assert!(
                allowed.contains(&dependency.as_str()) || for_tests,
                "{name} must not depend on {dependency}"
            );
        }
    }
}

/// Licences that may come into the house: those of deny.toml, which `cargo deny` checks in more depth.
#[test]
fn every_dependency_has_a_licence_of_the_list() {
    let deny = std::fs::read_to_string(root().join("deny.toml")).expect("deny.toml");
    let list = deny
        .split_once("allow = [")
        .expect("a list")
        .1
        .split_once(']')
        .expect("its end")
        .0;
    let allowed: BTreeSet<&str> = list
        .split(',')
        .map(|l| l.trim().trim_matches('"'))
        .filter(|l| !l.is_empty())
        .collect();
    assert!(allowed.contains("Apache-2.0"), "{allowed:?}");
    let metadata = metadata();
    let used: BTreeSet<&str> = metadata["resolve"]["nodes"]
        .as_array()
        .expect("nodes")
        .iter()
        .map(|n| text(&n["id"]))
        .collect();
    for package in metadata["packages"].as_array().expect("packages") {
        if !used.contains(text(&package["id"])) {
            continue;
        }
        let licence = text(&package["license"])
            .replace(['(', ')'], " ")
            .replace('/', " OR ");
        // Enough for the forms that occur: one alternative all of whose parts are allowed.
        let fits = licence
            .split(" OR ")
            .any(|one| one.split(" AND ").all(|part| allowed.contains(part.trim())))
            || licence
                .split(" AND ")
                .all(|part| part.split(" OR ").any(|one| allowed.contains(one.trim())));
        assert!(
            fits,
            "{} {}: {:?} is not in deny.toml",
            package["name"], package["version"], package["license"]
        );
    }
}

#[test]
fn the_folder_is_the_package_name() {
    for package in metadata()["packages"].as_array().expect("packages") {
        if package["source"].is_null() {
            let manifest = PathBuf::from(text(&package["manifest_path"]));
            let folder = manifest.parent().and_then(Path::file_name).expect("a folder");
            assert_eq!(folder, text(&package["name"]));
        }
    }
}

#[test]
fn the_agent_stays_small() {
    let metadata = metadata();
    let nodes = metadata["resolve"]["nodes"].as_array().expect("nodes");
    let by_id: BTreeMap<&str, &serde_json::Value> = nodes.iter().map(|n| (text(&n["id"]), n)).collect();
    let name_of: BTreeMap<&str, &str> = metadata["packages"]
        .as_array()
        .expect("packages")
        .iter()
        .map(|p| (text(&p["id"]), text(&p["name"])))
        .collect();
    let agent = *name_of
        .iter()
        .find(|(_, n)| **n == "agent")
        .expect("the agent is a package")
        .0;
    let (mut seen, mut open) = (BTreeSet::new(), vec![agent]);
    while let Some(id) = open.pop() {
        if !seen.insert(id) {
            continue;
        }
        for dep in by_id[id]["deps"].as_array().expect("deps") {
            let kinds = dep["dep_kinds"].as_array().expect("kinds");
            if kinds.iter().any(|k| k["kind"].is_null()) {
                open.push(text(&dep["pkg"]));
            }
        }
    }
    let linked: BTreeSet<&str> = seen.iter().map(|id| name_of[id]).collect();
    for name in NOT_IN_AGENT {
        assert!(!linked.contains(name), "binnacle-agent links {name}");
    }
}

#[test]
fn architecture_md_shows_the_same_table() {
    let page = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    for (name, allowed) in TABLE.iter().filter(|(n, _)| *n != "collector" && *n != "tests") {
        let row = page
            .lines()
            .find(|l| l.starts_with(&format!("| `{name}` |")))
            .unwrap_or_else(|| panic!("ARCHITECTURE.md has no row for {name}"));
        let last = row
            .trim_end_matches(" |")
            .rsplit('|')
            .next()
            .expect("a cell")
            .trim();
        let written: BTreeSet<&str> = last
            .split(", ")
            .map(|w| w.trim_matches('`'))
            .filter(|w| *w != "nothing of ours")
            .collect();
        assert_eq!(
            written,
            allowed.iter().copied().collect(),
            "the row of {name} in ARCHITECTURE.md"
        );
    }
}

#[test]
fn every_file_says_what_lives_there() {
    let output = Command::new("git")
        .args(["ls-files", "*.rs"])
        .current_dir(root())
        .output()
        .expect("git runs");
    let files = String::from_utf8(output.stdout).expect("paths are text");
    for file in files.lines() {
        // A file that was removed but not committed yet is still listed.
        let Ok(content) = std::fs::read_to_string(root().join(file)) else {
            continue;
        };
        assert!(
            content.starts_with("//! "),
            "{file} does not open with a //! line"
        );
        assert!(
            !file.ends_with("/mod.rs"),
            "{file}: foo.rs beside foo/, no mod.rs"
        );
    }
}
