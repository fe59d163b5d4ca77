//! Snapshots: a second name for every file that counts, in a folder that is a data directory of its own.
//!
//! [`StoreSnapshot`] takes one store of one tenant, [`Snapshots`] keeps the folders with all of them, [`restore`] brings
//! one back. Files that a manifest names never change, so a hard link is as good as a copy and costs nothing until a
//! merge replaces the file in the store. `docs/formats/layout.md` says what a snapshot looks like.

mod folder;
mod restore;

pub use folder::{Listed, Snapshots, is_name};
pub use restore::{Contents, check_empty, restore, size_bytes};

use crate::log::Position;
use crate::verify::{self, AnyManifest};
use crate::{Manifest, layout};
use model::fs::{ReadFile, cannot_link};
use model::{Error, Fs, Result};
use serde::Serialize;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Bytes that are copied at once where files cannot be linked.
const PIECE: u64 = 1 << 20;
/// A snapshot does not begin, and copies nothing, when less than this would be left: a full disk stops all writing.
pub const MIN_FREE_BYTES: u64 = 64 << 20;

/// What was taken into a snapshot, or out of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Taken {
    /// Tenants, counted for each store.
    pub tenants: u64,
    /// Files besides the manifests.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes of those that had to be copied because the file system could not link them.
    pub copied_bytes: u64,
}

impl std::ops::AddAssign for Taken {
    fn add_assign(&mut self, other: Self) {
        self.tenants += other.tenants;
        self.files += other.files;
        self.bytes += other.bytes;
        self.copied_bytes += other.copied_bytes;
    }
}

/// One store of one tenant on its way into another data directory.
#[must_use = "nothing counts before `finish`"]
pub struct StoreSnapshot {
    fs: Arc<dyn Fs>,
    to: PathBuf,
    manifest: AnyManifest,
    taken: Taken,
    copies: Vec<Copy>,
}

/// A file that could not be linked. Held open, so that it can be read when the store has removed it.
struct Copy {
    file: Arc<dyn ReadFile>,
    from: PathBuf,
    to: PathBuf,
}

impl StoreSnapshot {
    /// Gets hold of every file that a manifest names, in its list of parts or in its state. `from` and `to` are
    /// directories of the store, see [`layout::store_dir`]. The caller keeps the files from being removed meanwhile;
    /// that does not take long, because files that cannot be linked are only opened here.
    ///
    /// # Errors
    /// Those of the disk; [`model::ErrorKind::Corrupt`] when a file is missing: what is left out would be missing
    /// without anybody being told.
    pub fn begin<P: Serialize, S: Serialize>(
        fs: &Arc<dyn Fs>,
        manifest: &Manifest<P, S>,
        from: &Path,
        to: &Path,
    ) -> Result<Self> {
        let json = serde_json::to_value(manifest).and_then(serde_json::from_value);
        let mut manifest: AnyManifest =
            json.map_err(|e| Error::internal(format!("{}: {e}", layout::manifest_file(from).display())))?;
        // The log stays behind: everything before the position is in the parts.
        manifest.log_position = Position::default();
        let mut begun = Self {
            fs: fs.clone(),
            to: to.to_owned(),
            manifest,
            taken: Taken {
                tenants: 1,
                ..Taken::default()
            },
            copies: Vec::new(),
        };
        let parts_dir = layout::parts_dir(to);
        fs.create_dir_all(&parts_dir)
            .map_err(|e| Error::from(e).within(parts_dir.display()))?;
        for part in verify::named_parts(&begun.manifest) {
            begun.take(&layout::part_file(from, part.id), &layout::part_file(to, part.id))?;
            begun.taken.files += 1;
            begun.taken.bytes += part.size_bytes;
        }
        Ok(begun)
    }

    fn take(&mut self, from: &Path, to: &Path) -> Result<()> {
        // Where one file cannot be linked the others cannot either.
        let linked = match self.copies.is_empty() {
            true => self.fs.link(from, to),
            false => Err(ErrorKind::Unsupported.into()),
        };
        let taken = match linked {
            Err(e) if cannot_link(&e) => self.fs.open(from).map(|file| {
                self.copies.push(Copy {
                    file,
                    from: from.to_owned(),
                    to: to.to_owned(),
                });
            }),
            linked => linked,
        };
        taken.map_err(|e| match e.kind() {
            ErrorKind::NotFound => Error::corrupt(format!(
                "{} is missing, the manifest names it: a snapshot would not be whole",
                from.display()
            )),
            _ => Error::from(e).within(from.display()),
        })
    }

    /// Copies what could not be linked, and writes the manifest; all of it is on the disk when this returns. `tell` is
    /// called with the bytes that are done in this step.
    ///
    /// # Errors
    /// Those of the disk; [`model::ErrorKind::Unavailable`] when copying would fill it.
    pub fn finish(mut self, tell: &mut dyn FnMut(u64)) -> Result<Taken> {
        let to_copy: u64 = self.copies.iter().map(|c| c.file.len()).sum();
        tell(self.taken.bytes.saturating_sub(to_copy));
        if to_copy > 0 {
            check_room(self.fs.as_ref(), &self.to, to_copy)?;
        }
        for copy in std::mem::take(&mut self.copies) {
            self.taken.copied_bytes += copy.file.len();
            copy.run(self.fs.as_ref(), tell)?;
        }
        let parts_dir = layout::parts_dir(&self.to);
        self.fs
            .sync_dir(&parts_dir)
            .map_err(|e| Error::from(e).within(parts_dir.display()))?;
        self.manifest.store(self.fs.as_ref(), &self.to)?;
        Ok(self.taken)
    }
}

impl Copy {
    fn run(self, fs: &dyn Fs, tell: &mut dyn FnMut(u64)) -> Result<()> {
        let reading = |e: std::io::Error| Error::from(e).within(self.from.display());
        let writing = |e: std::io::Error| Error::from(e).within(self.to.display());
        let mut to = fs.create(&self.to).map_err(writing)?;
        let len = self.file.len();
        let mut piece = vec![0; usize::try_from(PIECE.min(len)).expect("a piece is small")];
        let mut offset = 0;
        while offset < len {
            let count = usize::try_from(PIECE.min(len - offset)).expect("a piece is small");
            let piece = &mut piece[..count];
            self.file.read_exact_at(offset, piece).map_err(reading)?;
            to.append(piece).map_err(writing)?;
            offset += count as u64;
            tell(count as u64);
        }
        to.sync().map_err(writing)
    }
}

/// Refuses what would leave less than [`MIN_FREE_BYTES`].
fn check_room(fs: &dyn Fs, path: &Path, needed: u64) -> Result<()> {
    let space = fs
        .space(path)
        .map_err(|e| Error::from(e).within(path.display()))?;
    if space.free_bytes.saturating_sub(needed) >= MIN_FREE_BYTES {
        return Ok(());
    }
    Err(Error::unavailable(
        format!(
            "{}: the disk has {} bytes free; {} are needed, and {MIN_FREE_BYTES} must be left: make room, old snapshots \
             are what goes first",
            path.display(),
            space.free_bytes,
            needed
        ),
        Duration::from_secs(60),
    ))
}

#[cfg(test)]
mod tests;
