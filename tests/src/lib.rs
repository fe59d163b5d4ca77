//! The harness of the end-to-end tests: starts the built programs and real peers on loopback, and ends them.
//!
//! Nothing here sleeps to synchronise: [`wait`] asks until a condition holds or its time is over, and says then
//! what it last saw.

pub mod answers;
pub mod binnacle;
pub mod conformance;
pub mod peers;
pub mod process;
pub mod remote_write;
pub mod targets;
pub mod usage;
pub mod wait;
pub mod webhook;

use std::path::{Path, PathBuf};

/// The workspace's root folder.
pub fn workspace_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."))
        .to_owned()
}

/// The folder of data for tests beside the checkout, or `None` with a visible line where it is missing.
pub fn shared() -> Option<PathBuf> {
    let path =
        std::env::var_os("BINNACLE_SHARED").map_or_else(|| workspace_root().join("../shared"), PathBuf::from);
    if path.is_dir() {
        return Some(path);
    }
    skipped(&format!(
        "{} is missing; this test needs the data there",
        path.display()
    ));
    None
}

/// Lines for whoever watches. Written straight to standard error: the test runner hides what passing tests print.
pub fn say(what: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{what}");
}

/// Says that a test is left out.
pub fn skipped(why: &str) {
    say(&format!("SKIPPED: {why}"));
}
