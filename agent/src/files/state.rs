//! What is remembered of log files between two runs: checkpoints, and the batch that is under way.

use super::fingerprint::{FileId, Fingerprint};
use model::{Error, ErrorKind, Fs, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The version of the file's format.
const VERSION: u32 = 1;

/// What every version of the file begins with.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}
/// The file may not be larger than this.
const LIMIT_BYTES: u64 = 64 << 20;

/// Everything in `files.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The version of this format.
    version: u32,
    /// The epoch of the sequence numbers; a new one when the state was lost.
    pub epoch: u64,
    /// The number of the last batch that was made.
    pub sequence: u64,
    /// The files, with everything before their checkpoint acknowledged.
    pub files: Vec<Checkpoint>,
    /// The batch that may or may not have been taken.
    pub under_way: Option<Intent>,
}

impl State {
    /// Nothing read yet.
    pub fn new(epoch: u64) -> Self {
        Self {
            version: VERSION,
            epoch,
            sequence: 0,
            files: Vec::new(),
            under_way: None,
        }
    }
}

/// How far a file has been acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The file.
    pub id: FileId,
    /// Where it was seen last.
    pub path: PathBuf,
    /// Where it was seen first: its lines keep that name when rotation moves it.
    pub named: PathBuf,
    /// The offset, and what stands before it.
    pub fingerprint: Fingerprint,
    /// Whether the offset lies inside a line that was cut.
    pub skipping: bool,
}

/// A batch before it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Its number.
    pub sequence: u64,
    /// The time that lines without one get, in nanoseconds.
    pub read_at_ns: i64,
    /// What it is made of.
    pub ranges: Vec<Range>,
}

/// Bytes of one file. Begins at the file's checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// The file.
    pub id: FileId,
    /// The end of the range, and what stands before it.
    pub end: Fingerprint,
    /// Whether the range ends inside a line that was cut.
    pub skipping: bool,
}

/// The file on disk.
pub struct StateFile {
    fs: Arc<dyn Fs>,
    path: PathBuf,
}

impl StateFile {
    /// In a directory, which must exist.
    pub fn new(fs: Arc<dyn Fs>, dir: &Path) -> Self {
        Self {
            fs,
            path: dir.join("files.json"),
        }
    }
    /// What was saved last; `None` when nothing was.
    ///
    /// # Errors
    /// [`model::ErrorKind::Corrupt`] when it cannot be understood, [`model::ErrorKind::Unsupported`] when another
    /// version wrote it: then it is left as it is, because to begin anew would send every line again.
    pub fn load(&self) -> Result<Option<State>> {
        let bytes = match self.fs.read(&self.path, LIMIT_BYTES) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::from(e).within(self.path.display())),
        };
        let bad = |what: String| Error::corrupt(format!("{}: {what}", self.path.display()));
        let found: Versioned = serde_json::from_slice(&bytes).map_err(|e| bad(e.to_string()))?;
        if found.version != VERSION {
            let message = format!(
                "{}: written in format version {}, this program knows {VERSION}; nothing was touched: run the program \
                 that wrote it, or remove the file to read all log files from their beginning",
                self.path.display(),
                found.version
            );
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|e| bad(e.to_string()))
    }
    /// Replaces the file, durably.
    pub fn save(&self, state: &State) -> Result<()> {
        let bytes = serde_json::to_vec(state).map_err(|e| Error::internal(e.to_string()))?;
        self.fs
            .replace(&self.path, &bytes)
            .map_err(|e| Error::from(e).within(self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_versions_file_is_left_alone_and_damage_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("files.json");
        let check = |text: &str, kind: ErrorKind| {
            std::fs::write(&path, text).unwrap();
            let file = StateFile::new(Arc::new(storage::RealFs), folder.path());
            let error = file.load().err().unwrap();
            assert_eq!(error.kind(), kind, "{error}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        };
        check(r#"{"version":7,"unheard":"of"}"#, ErrorKind::Unsupported);
        check(r#"{"version":1,"#, ErrorKind::Corrupt);
    }
}
