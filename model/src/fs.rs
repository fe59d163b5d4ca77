//! The disk, handed in.
//!
//! Stores reach files only through [`Fs`], so that the simulation can tear writes, lose what was not synced,
//! flip bits and fill the disk, all from a seed. `storage` holds the real and the faulty implementation.

use std::io::Result;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a directory holds under one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// The last segment of the path.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// A file's length in bytes.
    pub len: u64,
}

/// Room on the disk that holds a path, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Room for unprivileged writers.
    pub free_bytes: u64,
    /// Size of the file system.
    pub total_bytes: u64,
}

/// A file that is read at any place. Shared between threads.
pub trait ReadFile: Send + Sync {
    /// Its length in bytes.
    fn len(&self) -> u64;
    /// Whether it is empty.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Fills the buffer from an offset; a file that ends before is `UnexpectedEof`.
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()>;
    /// Reads a piece.
    fn read_vec(&self, offset: u64, len: usize) -> Result<Vec<u8>> {
        let mut buffer = vec![0; len];
        self.read_exact_at(offset, &mut buffer)?;
        Ok(buffer)
    }
}

/// A file that grows at its end. Has one owner.
pub trait AppendFile: Send {
    /// Its length in bytes, everything appended included.
    fn len(&self) -> u64;
    /// Whether it is empty.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Appends all bytes. After an error the file's end is undefined: call [`AppendFile::truncate`].
    fn append(&mut self, bytes: &[u8]) -> Result<()>;
    /// Cuts the file to a length.
    fn truncate(&mut self, len: u64) -> Result<()>;
    /// Returns once everything appended is on the disk. After an error nothing is known of what was appended
    /// since the last success, and trying again proves nothing: start a new file.
    fn sync(&mut self) -> Result<()>;
}

/// Held as long as the data directory is in use; released when dropped, and by the system when a process dies.
pub trait LockGuard: Send + Sync {}

/// A file system. All paths are as the caller gives them; nothing is relative to a hidden place.
pub trait Fs: Send + Sync + 'static {
    /// Creates a directory and its parents, durably.
    fn create_dir_all(&self, path: &Path) -> Result<()>;
    /// What a directory holds, sorted by name; `NotFound` when it does not exist.
    fn read_dir(&self, path: &Path) -> Result<Vec<DirEntry>>;
    /// Opens a file to read at any place.
    fn open(&self, path: &Path) -> Result<Arc<dyn ReadFile>>;
    /// Creates a new, empty file; `AlreadyExists` when it is there.
    fn create(&self, path: &Path) -> Result<Box<dyn AppendFile>>;
    /// Opens a file to go on at its end.
    fn open_append(&self, path: &Path) -> Result<Box<dyn AppendFile>>;
    /// Renames a file over another, or a directory to a name that is free, atomically; durable after
    /// [`Fs::sync_dir`] of the parent. What a directory holds is to be synced before.
    fn rename(&self, from: &Path, to: &Path) -> Result<()>;
    /// Gives a file a second name (a hard link); durable after [`Fs::sync_dir`] of the parent. `AlreadyExists` when
    /// the name is taken, another error where the file system cannot link: see [`cannot_link`].
    fn link(&self, from: &Path, to: &Path) -> Result<()>;
    /// Removes a file; durable after [`Fs::sync_dir`] of the parent.
    fn remove_file(&self, path: &Path) -> Result<()>;
    /// Removes a directory and what is in it.
    fn remove_dir_all(&self, path: &Path) -> Result<()>;
    /// Returns once the entries of a directory (creations, renames, removals) are on the disk.
    fn sync_dir(&self, path: &Path) -> Result<()>;
    /// Whether there is a file or a directory.
    fn exists(&self, path: &Path) -> Result<bool>;
    /// Room on the disk that holds a path.
    fn space(&self, path: &Path) -> Result<Space>;
    /// Takes an exclusive lock on a file, which is created; `WouldBlock` when somebody else holds it.
    fn lock(&self, path: &Path) -> Result<Box<dyn LockGuard>>;

    /// Reads a whole file of at most `limit` bytes; a longer one is an error.
    fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>> {
        let file = self.open(path)?;
        if file.len() > limit {
            let message = format!("{} has {} bytes, more than {limit}", path.display(), file.len());
            return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, message));
        }
        file.read_vec(0, usize::try_from(file.len()).expect("limited above"))
    }
    /// Replaces a file's content atomically and durably: a new file beside it, synced, renamed over it. A crash
    /// leaves the old or the new content, never a part.
    fn replace(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let temporary = temporary_name(path);
        if self.exists(&temporary)? {
            self.remove_file(&temporary)?;
        }
        let mut file = self.create(&temporary)?;
        let written = file.append(bytes).and_then(|()| file.sync());
        drop(file);
        if let Err(e) = written {
            // The write's error matters more than a failure to tidy up after it.
            let _ = self.remove_file(&temporary);
            return Err(e);
        }
        self.rename(&temporary, path)?;
        match path.parent() {
            Some(parent) => self.sync_dir(parent),
            None => Ok(()),
        }
    }
}

/// Whether an error of [`Fs::link`] says that these two places have no links, so that copying is the way.
pub fn cannot_link(e: &std::io::Error) -> bool {
    use std::io::ErrorKind::{CrossesDevices, PermissionDenied, TooManyLinks, Unsupported};
    // File systems without links answer EPERM.
    matches!(
        e.kind(),
        CrossesDevices | PermissionDenied | TooManyLinks | Unsupported
    )
}

/// The name under which [`Fs::replace`] writes before it renames. Left behind only by a crash; harmless.
pub fn temporary_name(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    path.with_file_name(name)
}
