//! Where tests find the data of the reference systems, which is no part of this project.

use std::io::Write as _;
use std::path::PathBuf;

/// The folder of that data, relative to the workspace; the environment variable BINNACLE_SHARED names another.
const SHARED: &str = "../shared";

/// A folder of conformance data, or a visible word that it is not there.
pub(crate) fn shared(folder: &str) -> Option<PathBuf> {
    let root = std::env::var("BINNACLE_SHARED").unwrap_or_else(|_| SHARED.to_owned());
    let workspace = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let path = workspace.join(root).join("conformance").join(folder);
    if path.is_dir() {
        return Some(path);
    }
    // Not `eprintln!`: the test runner hides what that writes when a test passes.
    let word = format!("SKIPPED: {} is not here; set BINNACLE_SHARED\n", path.display());
    std::io::stderr()
        .write_all(word.as_bytes())
        .expect("stderr is open");
    None
}
