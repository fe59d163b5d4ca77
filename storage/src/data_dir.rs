//! The data directory: its format line, its lock, and clear words when it cannot be used.

use crate::layout;
use model::fs::LockGuard;
use model::{Error, ErrorKind, Fs, Result};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The directory format that this version writes and reads.
pub const FORMAT: u32 = 1;
const FORMAT_PREFIX: &str = "binnacle data directory, format ";

/// An open data directory. Holds the lock until it is dropped.
pub struct DataDir {
    fs: Arc<dyn Fs>,
    root: PathBuf,
    _lock: Box<dyn LockGuard>,
}

impl DataDir {
    /// Opens a data directory, and creates it when it is missing or empty.
    ///
    /// Errors: [`ErrorKind::BadData`] when the path is not a directory or holds files of somebody else,
    /// [`ErrorKind::Forbidden`] when it cannot be written, [`ErrorKind::Unavailable`] when another process uses
    /// it, [`ErrorKind::Corrupt`] for a format that this version does not know. Nothing is changed then.
    pub fn open(fs: Arc<dyn Fs>, root: &Path) -> Result<Self> {
        let fail = |e: std::io::Error| explain(&e, root);
        let is_new = !fs.exists(root).map_err(fail)?;
        if is_new {
            fs.create_dir_all(root).map_err(fail)?;
        }
        let has_format = check_contents(fs.as_ref(), root)?;
        let lock = fs.lock(&layout::lock_file(root)).map_err(|e| match e.kind() {
            std::io::ErrorKind::WouldBlock => Error::unavailable(
                format!(
                    "data directory {} is in use: another binnacle runs there; stop it or choose another --data-dir",
                    root.display()
                ),
                Duration::from_secs(10),
            ),
            _ => explain(&e, root),
        })?;
        if !has_format {
            write_format(fs.as_ref(), root).map_err(fail)?;
        }
        Ok(Self {
            fs,
            root: root.to_owned(),
            _lock: lock,
        })
    }
    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }
    /// The file system that it lives on.
    pub fn fs(&self) -> &Arc<dyn Fs> {
        &self.fs
    }
}

/// Writes the line that makes a directory a data directory.
pub(crate) fn write_format(fs: &dyn Fs, root: &Path) -> std::io::Result<()> {
    let line = format!("{FORMAT_PREFIX}{FORMAT}\n");
    fs.replace(&layout::format_file(root), line.as_bytes())
}

/// Whether there is a format line that this version knows. A directory without one must be empty, so that a
/// mistyped path does not scatter files through somebody's home.
fn check_contents(fs: &dyn Fs, root: &Path) -> Result<bool> {
    let entries = fs.read_dir(root).map_err(|e| explain(&e, root))?;
    let path = layout::format_file(root);
    if !entries.iter().any(|e| e.name == "FORMAT") {
        let ours = |name: &str| matches!(name, "LOCK" | "FORMAT.tmp" | "lost+found") || name.starts_with('.');
        return match entries.iter().find(|e| !ours(&e.name)) {
            None => Ok(false),
            Some(other) => Err(Error::bad_data(format!(
                "{} is not a data directory: it holds {:?} and no FORMAT file; choose an empty directory",
                root.display(),
                other.name
            ))),
        };
    }
    let bytes = fs.read(&path, 4096).map_err(|e| explain(&e, &path))?;
    let line = String::from_utf8_lossy(&bytes);
    let version = line
        .trim_end()
        .strip_prefix(FORMAT_PREFIX)
        .and_then(|v| v.parse::<u32>().ok());
    match version {
        Some(FORMAT) => Ok(true),
        Some(newer) if newer > FORMAT => Err(Error::corrupt(format!(
            "data directory {} was written by a newer version: format {newer}, this one knows {FORMAT}; nothing \
             was touched; use the newer version, or another --data-dir",
            root.display()
        ))),
        _ => Err(Error::corrupt(format!(
            "{} does not say a format: expected \"{FORMAT_PREFIX}{FORMAT}\", found {:?}; nothing was touched",
            path.display(),
            line.trim_end().chars().take(80).collect::<String>()
        ))),
    }
}

fn explain(e: &std::io::Error, path: &Path) -> Error {
    let shown = path.display();
    match e.kind() {
        std::io::ErrorKind::NotADirectory | std::io::ErrorKind::AlreadyExists => {
            Error::bad_data(format!("{shown} is not a directory; choose another --data-dir"))
        }
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => Error::new(
            ErrorKind::Forbidden,
            format!("data directory {shown} is not writable ({e}); give this user the right to write there"),
        ),
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Error::unavailable(
            format!("data directory {shown}: the disk is full ({e})"),
            Duration::from_secs(10),
        ),
        _ => Error::internal(format!("data directory {shown}: {e}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FaultyFs, RealFs};

    fn fs() -> Arc<FaultyFs> {
        Arc::new(FaultyFs::new(1))
    }
    fn put(fs: &FaultyFs, path: &str, content: &[u8]) {
        fs.create_dir_all(Path::new(path).parent().unwrap()).unwrap();
        fs.replace(Path::new(path), content).unwrap();
    }

    #[test]
    fn a_new_directory_gets_one_readable_line() {
        let fs = fs();
        let dir = DataDir::open(fs.clone(), Path::new("/d/data")).unwrap();
        let line = fs.read(&layout::format_file(dir.root()), 100).unwrap();
        assert_eq!(line, b"binnacle data directory, format 1\n");
        drop(dir);
        fs.crash();
        DataDir::open(fs, Path::new("/d/data")).unwrap();
    }

    #[test]
    fn what_cannot_be_used_says_why() {
        let check = |file: &str, content: &[u8], kind: ErrorKind, says: &str| {
            let fs = fs();
            put(&fs, file, content);
            let before = fs.snapshot();
            let e = DataDir::open(fs.clone(), Path::new("/d")).err().unwrap();
            assert_eq!(e.kind(), kind, "{e}");
            assert!(e.message().contains(says), "{e}");
            assert_eq!(fs.snapshot(), before, "nothing was touched");
        };
        let newer = b"binnacle data directory, format 7\n";
        check(
            "/d/FORMAT",
            newer,
            ErrorKind::Corrupt,
            "format 7, this one knows 1; nothing was touched",
        );
        check(
            "/d/FORMAT",
            b"hello",
            ErrorKind::Corrupt,
            "/d/FORMAT does not say a format",
        );
        check("/d/thesis.doc", b"hello", ErrorKind::BadData, "thesis.doc");
        check("/d", b"a file", ErrorKind::BadData, "/d is not a directory");
    }

    #[test]
    fn a_directory_has_one_user() {
        let fs = fs();
        let first = DataDir::open(fs.clone(), Path::new("/d")).unwrap();
        let e = DataDir::open(fs.clone(), Path::new("/d")).err().unwrap();
        assert_eq!(e.kind(), ErrorKind::Unavailable);
        assert!(
            e.message().contains("/d is in use: another binnacle runs there"),
            "{e}"
        );
        drop(first);
        DataDir::open(fs, Path::new("/d")).unwrap();
    }

    #[test]
    fn the_real_lock_holds_too() {
        let temp = tempfile::tempdir().unwrap();
        let first = DataDir::open(Arc::new(RealFs), temp.path()).unwrap();
        let e = DataDir::open(Arc::new(RealFs), temp.path()).err().unwrap();
        assert!(e.message().contains("another binnacle runs there"), "{e}");
        drop(first);
        DataDir::open(Arc::new(RealFs), temp.path()).unwrap();
        let file = temp.path().join("f");
        std::fs::write(&file, b"").unwrap();
        let e = DataDir::open(Arc::new(RealFs), &file).err().unwrap();
        assert!(e.message().contains("is not a directory"), "{e}");
    }
}
