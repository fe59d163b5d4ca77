//! The file system of the operating system.

use model::Fs;
use model::fs::{AppendFile, DirEntry, LockGuard, ReadFile, Space};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Error, ErrorKind, Result, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Files as the operating system keeps them. Calls interrupted by a signal are repeated.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealFs;

struct Reader {
    file: File,
    len: u64,
}

impl ReadFile for Reader {
    fn len(&self) -> u64 {
        self.len
    }
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.file.read_exact_at(buffer, offset)
    }
}

struct Appender {
    file: File,
    len: u64,
}

impl AppendFile for Appender {
    fn len(&self) -> u64 {
        self.len
    }
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes)?;
        self.len += bytes.len() as u64;
        Ok(())
    }
    fn truncate(&mut self, len: u64) -> Result<()> {
        self.file.set_len(len)?;
        self.len = len;
        Ok(())
    }
    fn sync(&mut self) -> Result<()> {
        // fdatasync writes the length too, because the data could not be read without it.
        self.file.sync_data()
    }
}

struct Lock {
    _file: File,
}
impl LockGuard for Lock {}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        Some(_) => Path::new("."),
        None => path,
    }
}

impl Fs for RealFs {
    fn create_dir_all(&self, path: &Path) -> Result<()> {
        let mut missing: Vec<PathBuf> = Vec::new();
        let mut at = path;
        while !at.exists() {
            missing.push(at.to_owned());
            at = parent(at);
        }
        if !at.is_dir() {
            return Err(Error::new(
                ErrorKind::NotADirectory,
                format!("{} is not a directory", at.display()),
            ));
        }
        for dir in missing.iter().rev() {
            match std::fs::create_dir(dir) {
                Err(e) if e.kind() != ErrorKind::AlreadyExists => return Err(e),
                _ => self.sync_dir(parent(dir))?,
            }
        }
        Ok(())
    }
    fn read_dir(&self, path: &Path) -> Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(path)? {
            let entry = entry?;
            let metadata = match std::fs::metadata(entry.path()) {
                Ok(metadata) => metadata,
                // Removed between the listing and the look, or a link to nowhere.
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                Err(e) => return Err(e),
            };
            entries.push(DirEntry {
                name: entry.file_name().to_string_lossy().into_owned(),
                is_dir: metadata.is_dir(),
                len: if metadata.is_dir() { 0 } else { metadata.len() },
            });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }
    fn open(&self, path: &Path) -> Result<Arc<dyn ReadFile>> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        Ok(Arc::new(Reader { file, len }))
    }
    fn create(&self, path: &Path) -> Result<Box<dyn AppendFile>> {
        let file = OpenOptions::new().append(true).create_new(true).open(path)?;
        Ok(Box::new(Appender { file, len: 0 }))
    }
    fn open_append(&self, path: &Path) -> Result<Box<dyn AppendFile>> {
        let file = OpenOptions::new().append(true).open(path)?;
        let len = file.metadata()?.len();
        Ok(Box::new(Appender { file, len }))
    }
    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        std::fs::rename(from, to)
    }
    fn link(&self, from: &Path, to: &Path) -> Result<()> {
        std::fs::hard_link(from, to)
    }
    fn remove_file(&self, path: &Path) -> Result<()> {
        std::fs::remove_file(path)
    }
    fn remove_dir_all(&self, path: &Path) -> Result<()> {
        std::fs::remove_dir_all(path)?;
        self.sync_dir(parent(path))
    }
    fn sync_dir(&self, path: &Path) -> Result<()> {
        File::open(path)?.sync_all()
    }
    fn exists(&self, path: &Path) -> Result<bool> {
        match path.try_exists() {
            // A file stands where a directory of the path should be: then there is nothing below it.
            Err(e) if e.kind() == ErrorKind::NotADirectory => Ok(false),
            other => other,
        }
    }
    fn space(&self, path: &Path) -> Result<Space> {
        let s = rustix::io::retry_on_intr(|| rustix::fs::statvfs(path))?;
        Ok(Space {
            free_bytes: s.f_bavail.saturating_mul(s.f_frsize),
            total_bytes: s.f_blocks.saturating_mul(s.f_frsize),
        })
    }
    fn lock(&self, path: &Path) -> Result<Box<dyn LockGuard>> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(Lock { _file: file })),
            Err(TryLockError::WouldBlock) => Err(Error::new(
                ErrorKind::WouldBlock,
                format!("{} is locked", path.display()),
            )),
            Err(TryLockError::Error(e)) => Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn does_what_the_trait_says() {
        let temp = tempfile::tempdir().unwrap();
        let (fs, dir) = (RealFs, temp.path().join("a/b"));
        fs.create_dir_all(&dir).unwrap();
        fs.create_dir_all(&dir).unwrap();
        let path = dir.join("f");
        let mut file = fs.create(&path).unwrap();
        assert_eq!(fs.create(&path).err().unwrap().kind(), ErrorKind::AlreadyExists);
        file.append(b"hello world").unwrap();
        file.truncate(5).unwrap();
        file.append(b"!").unwrap();
        file.sync().unwrap();
        assert_eq!(file.len(), 6);
        drop(file);
        let mut file = fs.open_append(&path).unwrap();
        file.append(b"?").unwrap();
        drop(file);
        let reader = fs.open(&path).unwrap();
        assert_eq!(reader.read_vec(4, 3).unwrap(), b"o!?");
        assert_eq!(
            reader.read_vec(4, 9).unwrap_err().kind(),
            ErrorKind::UnexpectedEof
        );
        fs.replace(&dir.join("g"), b"1").unwrap();
        fs.replace(&dir.join("g"), b"22").unwrap();
        let names: Vec<_> = fs
            .read_dir(&dir)
            .unwrap()
            .into_iter()
            .map(|e| (e.name, e.len))
            .collect();
        assert_eq!(names, [("f".to_owned(), 7), ("g".to_owned(), 2)]);
        assert!(fs.space(&dir).unwrap().total_bytes > 0);
        fs.link(&path, &dir.join("h")).unwrap();
        fs.remove_file(&path).unwrap();
        assert_eq!(fs.read(&dir.join("h"), 10).unwrap(), b"hello!?");
        let taken = fs.link(&dir.join("g"), &dir.join("h")).unwrap_err();
        assert_eq!(taken.kind(), ErrorKind::AlreadyExists);
        fs.rename(&dir, &temp.path().join("c")).unwrap();
        fs.rename(&temp.path().join("c"), &dir).unwrap();
        fs.rename(&dir.join("h"), &path).unwrap();
        let below_a_file = path.join("x");
        assert!(!fs.exists(&below_a_file).unwrap());
        assert_eq!(
            fs.create_dir_all(&below_a_file).unwrap_err().kind(),
            ErrorKind::NotADirectory
        );
        assert_eq!(
            fs.read_dir(&dir.join("none")).unwrap_err().kind(),
            ErrorKind::NotFound
        );
        fs.remove_dir_all(&dir).unwrap();
        assert!(!fs.exists(&dir).unwrap());
    }
}
