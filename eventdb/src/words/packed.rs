//! tantivy's files as sections of a part: taken out of memory after writing, a read-only `Directory` afterwards.

use model::{Error, Result};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, io};
use storage::{PartReader, PartWriter};
use tantivy::directory::error::{DeleteError, OpenReadError, OpenWriteError};
use tantivy::directory::{
    Directory, FileHandle, OwnedBytes, RamDirectory, WatchCallback, WatchHandle, WritePtr,
};
use tantivy::{HasLen, Index};

/// The sections that hold tantivy's files have this before the file's name.
const SECTION_PREFIX: &str = "words/";

/// tantivy's files by name, ready for a part.
pub(crate) struct PackedFiles(BTreeMap<String, Vec<u8>>);

impl PackedFiles {
    /// Writes each file as a section.
    pub(crate) fn write(&self, part: &mut PartWriter) -> Result<()> {
        self.0
            .iter()
            .try_for_each(|(name, content)| part.section(&format!("{SECTION_PREFIX}{name}"), content))
    }
}

/// Takes the files of a finished index of one segment. tantivy names them by a random id; here it becomes zeros,
/// so that the same blocks give the same bytes.
pub(super) fn pack(index: &Index, directory: &RamDirectory) -> Result<PackedFiles> {
    let bad = |e: &dyn fmt::Display| Error::internal(format!("the word index could not be packed: {e}"));
    let ids = index.searchable_segment_ids().map_err(|e| bad(&e))?;
    let [id] = ids.as_slice() else {
        return Err(bad(&"there must be exactly one segment"));
    };
    let plain = id.uuid_string().replace('-', "");
    let dashed = with_dashes(&plain);
    let nameless = |text: &str| {
        text.replace(&plain, &"0".repeat(plain.len()))
            .replace(&dashed, &with_dashes(&"0".repeat(plain.len())))
    };
    let mut files = BTreeMap::new();
    for path in index.directory().list_managed_files() {
        let name = path.to_string_lossy().into_owned();
        let content = match directory.atomic_read(&path) {
            Ok(content) => content,
            Err(OpenReadError::FileDoesNotExist(_)) => continue,
            Err(e) => return Err(bad(&e)),
        };
        let content = match name.ends_with(".json") {
            true => nameless(&String::from_utf8_lossy(&content)).into_bytes(),
            false => content,
        };
        files.insert(nameless(&name), content);
    }
    Ok(PackedFiles(files))
}

/// Bytes of the packed files of a part.
pub(super) fn size_bytes(part: &PartReader) -> usize {
    let names = part.sections().filter(|name| name.starts_with(SECTION_PREFIX));
    names.filter_map(|name| part.section_len(name)).sum::<u64>() as usize
}

/// An id as it stands in tantivy's `meta.json`.
fn with_dashes(id: &str) -> String {
    let mut text = String::new();
    for (i, c) in id.chars().enumerate() {
        if matches!(i, 8 | 12 | 16 | 20) {
            text.push('-');
        }
        text.push(c);
    }
    text
}

/// The packed files as tantivy wants to see them. Read-only; the part checks every byte that it hands out.
#[derive(Clone)]
pub(super) struct PackedDirectory(Arc<PartReader>);

impl PackedDirectory {
    pub(super) fn new(part: Arc<PartReader>) -> Self {
        Self(part)
    }
    fn find(&self, path: &Path) -> Result<PackedFile, OpenReadError> {
        let section = format!("{SECTION_PREFIX}{}", path.display());
        match self.0.section_len(&section) {
            Some(len) => Ok(PackedFile {
                part: Arc::clone(&self.0),
                section,
                len: usize::try_from(len).unwrap_or(usize::MAX),
            }),
            None => Err(OpenReadError::FileDoesNotExist(path.to_owned())),
        }
    }
}

impl fmt::Debug for PackedDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PackedDirectory({})", self.0.path().display())
    }
}

struct PackedFile {
    part: Arc<PartReader>,
    section: String,
    len: usize,
}

impl fmt::Debug for PackedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PackedFile({}, {})", self.part.path().display(), self.section)
    }
}

impl HasLen for PackedFile {
    fn len(&self) -> usize {
        self.len
    }
}

impl FileHandle for PackedFile {
    fn read_bytes(&self, range: Range<usize>) -> io::Result<OwnedBytes> {
        let bytes = self
            .part
            .read_range(&self.section, range.start as u64, range.len() as u64)
            .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
        Ok(OwnedBytes::new(bytes))
    }
}

fn read_only() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "a part is never changed")
}

impl Directory for PackedDirectory {
    fn get_file_handle(&self, path: &Path) -> Result<Arc<dyn FileHandle>, OpenReadError> {
        Ok(Arc::new(self.find(path)?))
    }
    fn exists(&self, path: &Path) -> Result<bool, OpenReadError> {
        Ok(self.find(path).is_ok())
    }
    fn atomic_read(&self, path: &Path) -> Result<Vec<u8>, OpenReadError> {
        let file = self.find(path)?;
        let bytes = file.read_bytes(0..file.len);
        bytes
            .map(|b| b.to_vec())
            .map_err(|e| OpenReadError::wrap_io_error(e, path.to_owned()))
    }
    fn delete(&self, path: &Path) -> Result<(), DeleteError> {
        Err(DeleteError::IoError {
            io_error: Arc::new(read_only()),
            filepath: PathBuf::from(path),
        })
    }
    fn open_write(&self, path: &Path) -> Result<WritePtr, OpenWriteError> {
        Err(OpenWriteError::wrap_io_error(read_only(), path.to_owned()))
    }
    fn atomic_write(&self, _: &Path, _: &[u8]) -> io::Result<()> {
        Err(read_only())
    }
    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }
    fn watch(&self, _: WatchCallback) -> tantivy::Result<WatchHandle> {
        Ok(WatchHandle::empty())
    }
}
