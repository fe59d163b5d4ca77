//! The agent's own id, made once and kept, and the epochs of its sequence numbers.

use model::{Error, Fs, Result};
use serde::{Deserialize, Serialize};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The agent's id. An epoch is handed out once, to one sequence of batches; whoever loses its sequence takes a new
/// epoch, so that its numbers may begin again.
pub struct AgentId {
    fs: Arc<dyn Fs>,
    path: PathBuf,
    stored: Mutex<Stored>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Stored {
    id: String,
    last_epoch: u64,
}

impl AgentId {
    /// Reads `<dir>/id`, or makes it. The directory is created.
    pub fn open(fs: Arc<dyn Fs>, dir: &Path) -> Result<Self> {
        let path = dir.join("id");
        let at = |e: std::io::Error| Error::from(e).within(path.display());
        fs.create_dir_all(dir).map_err(at)?;
        let stored = match fs.read(&path, 4096) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| {
                Error::corrupt(format!(
                    "{}: {e}; remove the file to let the agent take a new id",
                    path.display()
                ))
            })?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Stored {
                id: random_id().map_err(at)?,
                last_epoch: 0,
            },
            Err(e) => return Err(at(e)),
        };
        let id = Self {
            fs,
            path,
            stored: Mutex::new(stored.clone()),
        };
        if stored.last_epoch == 0 {
            id.save(&stored)?;
        }
        Ok(id)
    }
    /// The id.
    pub fn id(&self) -> String {
        self.stored().id.clone()
    }
    /// An epoch that was never used; on disk before it is returned.
    pub fn new_epoch(&self) -> Result<u64> {
        let mut stored = self.stored();
        let next = Stored {
            last_epoch: stored.last_epoch + 1,
            ..stored.clone()
        };
        self.save(&next)?;
        *stored = next;
        Ok(stored.last_epoch)
    }

    fn stored(&self) -> std::sync::MutexGuard<'_, Stored> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn save(&self, stored: &Stored) -> Result<()> {
        let bytes = serde_json::to_vec(stored).map_err(|e| Error::internal(e.to_string()))?;
        self.fs
            .replace(&self.path, &bytes)
            .map_err(|e| Error::from(e).within(self.path.display()))
    }
}

/// 128 random bits in hexadecimal.
fn random_id() -> std::io::Result<String> {
    use std::fmt::Write as _;
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().fold(String::new(), |mut id, byte| {
        let _ = write!(id, "{byte:02x}");
        id
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_stays_and_epochs_are_never_used_twice() {
        let dir = tempfile::tempdir().unwrap();
        let open = || AgentId::open(Arc::new(storage::RealFs), dir.path()).unwrap();
        let first = open();
        let id = first.id();
        assert_eq!(id.len(), 32);
        assert_eq!((first.new_epoch().unwrap(), first.new_epoch().unwrap()), (1, 2));
        let again = open();
        assert_eq!((again.id(), again.new_epoch().unwrap()), (id, 3));
        std::fs::write(dir.path().join("id"), "{").unwrap();
        let e = AgentId::open(Arc::new(storage::RealFs), dir.path())
            .err()
            .unwrap();
        assert!(e.message().contains("remove the file"), "{e}");
    }
}
