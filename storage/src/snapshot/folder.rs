//! The folder of snapshots below a data directory: made whole or not at all, listed, removed, limited in number.

use super::check_room;
use crate::{data_dir, layout};
use model::{Error, ErrorKind, Fs, Result};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::Duration;

/// What is not whole yet, or not any more.
const UNFINISHED: &str = ".tmp";

/// A snapshot in the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name, which begins with the time at which it was made.
    pub name: String,
    /// Bytes of its files. Those that the stores still use take no room of their own.
    pub size_bytes: u64,
}

/// The snapshots of one data directory.
pub struct Snapshots {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    max: usize,
    /// Held by whoever changes the folder.
    changing: Mutex<()>,
}

/// Whether a text is the name of a snapshot: a time in UTC and 16 hex digits, `20261121T171500Z-0123456789abcdef`.
pub fn is_name(text: &str) -> bool {
    const FORM: &[u8] = b"00000000T000000Z-xxxxxxxxxxxxxxxx";
    let fits = |(form, given): (&u8, &u8)| match form {
        b'0' => given.is_ascii_digit(),
        b'x' => matches!(given, b'0'..=b'9' | b'a'..=b'f'),
        same => given == same,
    };
    text.len() == FORM.len() && FORM.iter().zip(text.as_bytes()).all(fits)
}

impl Snapshots {
    /// The snapshots of a data directory, at most `max`; what a crash left unfinished is removed.
    pub fn open(fs: Arc<dyn Fs>, data: &Path, max: usize) -> Self {
        let snapshots = Self {
            fs,
            dir: layout::snapshots_dir(data),
            max,
            changing: Mutex::new(()),
        };
        if let Err(e) = snapshots.remove_unfinished() {
            tracing::warn!(error = %e, "an unfinished snapshot stays until the next one is made");
        }
        snapshots
    }

    /// Makes a snapshot. `fill` gets a folder in which it builds a data directory, everything in it synced; only
    /// when that has gone well does the folder get the snapshot's name. One snapshot is made at a time.
    ///
    /// # Errors
    /// [`ErrorKind::LimitReached`] when there are as many as there may be, [`ErrorKind::Unavailable`] when there is no
    /// room or another one is being made; those of `fill` and of the disk. Nothing is left behind then, at the latest
    /// after the next start.
    pub fn create<T>(&self, name: &str, fill: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
        let _one = match self.changing.try_lock() {
            Err(TryLockError::WouldBlock) => {
                return Err(Error::unavailable(
                    "another snapshot is being made or removed; try again when that is done",
                    Duration::from_secs(5),
                ));
            }
            Err(TryLockError::Poisoned(e)) => e.into_inner(),
            Ok(guard) => guard,
        };
        self.remove_unfinished()?;
        let kept = self.names()?.len();
        if kept >= self.max {
            return Err(Error::limit(format!(
                "there are {kept} snapshots, and {} is the limit (limits.max_snapshots): remove old ones with DELETE \
                 /api/v1/admin/tsdb/snapshot/NAME",
                self.max
            )));
        }
        let building = self.dir.join(format!("{name}{UNFINISHED}"));
        self.fs
            .create_dir_all(&building)
            .map_err(|e| Error::from(e).within(building.display()))?;
        check_room(self.fs.as_ref(), &self.dir, 0)?;
        let built = fill(&building).and_then(|taken| {
            self.publish(&building, &self.dir.join(name))?;
            Ok(taken)
        });
        if built.is_err()
            && let Err(e) = self.remove_unfinished()
        {
            tracing::warn!(error = %e, "an unfinished snapshot stays until the next one is made");
        }
        built
    }

    fn publish(&self, building: &Path, path: &Path) -> Result<()> {
        // The line that makes it a data directory comes last, so that nothing else than a whole one has it.
        data_dir::write_format(self.fs.as_ref(), building)
            .and_then(|()| self.fs.rename(building, path))
            .map_err(|e| Error::from(e).within(building.display()))?;
        let published = self.fs.sync_dir(&self.dir);
        published.map_err(|e| {
            // It is whole, but nobody is told of it.
            let _ = self.fs.rename(path, building);
            Error::from(e).within(self.dir.display())
        })
    }

    /// All snapshots, the oldest first.
    pub fn list(&self) -> Result<Vec<Listed>> {
        let list = |name: String| {
            let size_bytes = self.size_bytes(&self.dir.join(&name));
            size_bytes.map(|size_bytes| Listed { name, size_bytes })
        };
        let listed = self.names()?.into_iter().map(list);
        listed
            .collect::<std::io::Result<_>>()
            .map_err(|e| Error::from(e).within(self.dir.display()))
    }

    /// Removes a snapshot.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is none of that name; those of the disk.
    pub fn remove(&self, name: &str) -> Result<()> {
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.dir.join(name);
        let exists =
            is_name(name) && (self.fs.exists(&path)).map_err(|e| Error::from(e).within(path.display()))?;
        if !exists {
            let message = format!("there is no snapshot {name:?}");
            return Err(Error::new(ErrorKind::NotFound, message));
        }
        // Under its own name there is never a part of it.
        let going = self.dir.join(format!("{name}{UNFINISHED}"));
        self.fs
            .rename(&path, &going)
            .and_then(|()| self.fs.sync_dir(&self.dir))
            .map_err(|e| Error::from(e).within(path.display()))?;
        self.remove_unfinished()
    }

    fn remove_unfinished(&self) -> Result<()> {
        let is_unfinished = |name: &String| name.strip_suffix(UNFINISHED).is_some_and(is_name);
        let unfinished: Vec<String> = self.entries()?.into_iter().filter(is_unfinished).collect();
        if !unfinished.is_empty() {
            // A power failure must not bring back the name of a whole one for what is taken apart here.
            self.fs
                .sync_dir(&self.dir)
                .map_err(|e| Error::from(e).within(self.dir.display()))?;
        }
        for name in unfinished {
            let path = self.dir.join(&name);
            self.fs
                .remove_dir_all(&path)
                .map_err(|e| Error::from(e).within(path.display()))?;
        }
        Ok(())
    }
    fn names(&self) -> Result<Vec<String>> {
        let names = self.entries()?.into_iter();
        Ok(names.filter(|name| is_name(name)).collect())
    }
    fn entries(&self) -> Result<Vec<String>> {
        match self.fs.read_dir(&self.dir) {
            Ok(entries) => Ok(entries.into_iter().filter(|e| e.is_dir).map(|e| e.name).collect()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(e) => Err(Error::from(e).within(self.dir.display())),
        }
    }
    fn size_bytes(&self, dir: &Path) -> std::io::Result<u64> {
        let mut size_bytes = 0;
        for entry in self.fs.read_dir(dir)? {
            size_bytes += match entry.is_dir {
                true => self.size_bytes(&dir.join(&entry.name))?,
                false => entry.len,
            };
        }
        Ok(size_bytes)
    }
}
