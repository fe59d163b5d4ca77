//! Checking what is on disk, without changing it and without the directory's lock: every page of every part that a
//! manifest names, the manifest, and the log behind it.
//!
//! Nothing here knows what a store keeps in its parts, so it works for all of them. It may run while a program uses
//! the directory: what that program replaces meanwhile is looked up again.

use crate::log::{Log, LogOptions, Position};
use crate::part::{PartKind, PartReader};
use crate::{LogMetrics, Manifest, StoreName, data_dir, layout};
use model::fs::{AppendFile, DirEntry, LockGuard, ReadFile, Space};
use model::{Error, ErrorKind, Fs, NoMeter, Result, Tenant};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a check says while it goes.
#[derive(Debug)]
pub enum Event {
    /// So many bytes more were read and are sound, or are told as a [`Event::Problem`].
    Read(u64),
    /// Something is damaged or missing; the sentence names file, section and offset.
    Problem(Error),
    /// Something that is not damage, but that one would want to know.
    Note(String),
}

/// What a check looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Checked {
    /// Part files.
    pub parts: u64,
    /// Bytes of their sections.
    pub part_bytes: u64,
    /// Records of the log.
    pub records: u64,
    /// Bytes of their payloads.
    pub record_bytes: u64,
}

/// A part file that a manifest names, or a file of the same form that the store's own state in it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedPart {
    /// Names the file, see [`layout::part_file`].
    pub id: u64,
    /// The file's size.
    pub size_bytes: u64,
    /// What the store says of it.
    pub meta: Value,
}

/// A manifest of any store.
pub type AnyManifest = Manifest<Value, Value>;

/// Bytes that are read at once.
const PIECE: u64 = 1 << 20;
/// A page of a section, see `docs/formats/part.md`.
const PAGE: u64 = 16 << 10;
/// The part of a part file's header before the zero bytes.
const HEADER: usize = 14;

/// Fails when a path is no data directory of this program and this format.
///
/// # Errors
/// Those of [`crate::DataDir::open`], but nothing is created or locked.
pub fn data_dir(fs: &dyn Fs, root: &Path) -> Result<()> {
    let path = layout::format_file(root);
    let bytes = match fs.read(&path, 4096) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::bad_data(format!(
                "{} is not a data directory: it has no FORMAT file; say where the data is with --data-dir",
                root.display()
            )));
        }
        Err(e) => return Err(Error::from(e).within(path.display())),
    };
    let line = String::from_utf8_lossy(&bytes);
    let expected = format!("binnacle data directory, format {}", data_dir::FORMAT);
    if line.trim_end() == expected {
        return Ok(());
    }
    Err(Error::corrupt(format!(
        "{} is damaged or of another version: expected {expected:?}, found {:?}",
        path.display(),
        line.trim_end().chars().take(80).collect::<String>()
    )))
}

/// The manifest of a store's directory; an empty one when there is none.
///
/// # Errors
/// As [`Manifest::load`].
pub fn manifest(fs: &Arc<dyn Fs>, store_dir: &Path) -> Result<AnyManifest> {
    Manifest::load(&ReadOnly(fs.clone()), store_dir)
}

/// Every part file that counts, by id: those of the manifest's list, and those that its state names in the same form
/// (an object with `id` and `size_bytes`).
pub fn named_parts(manifest: &AnyManifest) -> Vec<NamedPart> {
    let listed = manifest.parts.iter().map(|entry| NamedPart {
        id: entry.id,
        size_bytes: entry.size_bytes,
        meta: entry.meta.clone(),
    });
    let mut named: Vec<_> = listed.collect();
    collect_named(&manifest.state, &mut named);
    named.sort_by_key(|part| part.id);
    named.dedup_by_key(|part| part.id);
    named
}

fn collect_named(value: &Value, named: &mut Vec<NamedPart>) {
    match value {
        Value::Array(values) => values.iter().for_each(|v| collect_named(v, named)),
        Value::Object(fields) => {
            let number = |key: &str| fields.get(key).and_then(Value::as_u64);
            match (number("id"), number("size_bytes")) {
                (Some(id), Some(size_bytes)) => named.push(NamedPart {
                    id,
                    size_bytes,
                    meta: fields.get("meta").cloned().unwrap_or(Value::Null),
                }),
                _ => fields.values().for_each(|v| collect_named(v, named)),
            }
        }
        _ => {}
    }
}

/// Opens a part file of any store and any version of its sections, and checks header and directory.
///
/// # Errors
/// As [`PartReader::open`].
pub fn open_part(fs: &dyn Fs, path: &Path) -> Result<(PartKind, PartReader)> {
    let within = |e: std::io::Error| Error::from(e).within(path.display());
    let file = fs.open(path).map_err(within)?;
    let mut header = [0; HEADER];
    if file.len() >= HEADER as u64 {
        file.read_exact_at(0, &mut header).map_err(within)?;
    }
    // The reader checks these bytes with the rest of the header.
    let kind = PartKind {
        tag: [header[8], header[9], header[10], header[11]],
        version: u16::from_le_bytes([header[12], header[13]]),
    };
    Ok((kind, PartReader::open(fs, path, kind)?))
}

/// Checks one part file, page by page; returns the bytes of its sections.
///
/// # Errors
/// What keeps it from being opened. What is damaged inside is told.
pub fn part(fs: &dyn Fs, path: &Path, tell: &mut dyn FnMut(Event)) -> Result<u64> {
    let (_, reader) = open_part(fs, path)?;
    let mut bytes = 0;
    for name in reader.sections() {
        let len = reader.section_len(name).unwrap_or_default();
        bytes += len;
        for offset in (0..len).step_by(PIECE as usize) {
            let piece = PIECE.min(len - offset);
            if reader.read_range(name, offset, piece).is_err() {
                for page in (offset..offset + piece).step_by(PAGE as usize) {
                    if let Err(e) = reader.read_range(name, page, PAGE.min(len - page)) {
                        tell(Event::Problem(e));
                    }
                }
            }
            tell(Event::Read(piece));
        }
    }
    Ok(bytes)
}

/// Bytes that [`store`] is going to read, as far as one can tell.
pub fn size_bytes(fs: &Arc<dyn Fs>, data: &Path, tenant: &Tenant, store: StoreName) -> u64 {
    let parts = manifest(fs, &layout::store_dir(data, tenant, store))
        .map_or(0, |m| named_parts(&m).iter().map(|p| p.size_bytes).sum());
    let segments = fs
        .read_dir(&layout::wal_dir(data, tenant, store))
        .unwrap_or_default();
    let is_log = |e: &&DirEntry| e.name.ends_with(".wal");
    parts + segments.iter().filter(is_log).map(|e| e.len).sum::<u64>()
}

/// Checks what a store has of a tenant. Damage is told, never an error.
pub fn store(
    fs: &Arc<dyn Fs>,
    data: &Path,
    tenant: &Tenant,
    store: StoreName,
    tell: &mut dyn FnMut(Event),
) -> Checked {
    let mut check = Check {
        fs: Arc::new(ReadOnly(fs.clone())),
        store_dir: layout::store_dir(data, tenant, store),
        wal_dir: layout::wal_dir(data, tenant, store),
        checked: Checked::default(),
        tell,
    };
    if let Err(e) = check.run() {
        (check.tell)(Event::Problem(e));
    }
    check.checked
}

struct Check<'a> {
    fs: Arc<dyn Fs>,
    store_dir: PathBuf,
    wal_dir: PathBuf,
    checked: Checked,
    tell: &'a mut dyn FnMut(Event),
}

impl Check<'_> {
    fn run(&mut self) -> Result<()> {
        let manifest = self.parts()?;
        self.note_leftovers(&manifest)?;
        self.log(manifest)
    }
    fn manifest(&self) -> Result<AnyManifest> {
        Manifest::load(self.fs.as_ref(), &self.store_dir)
    }

    /// Checks the parts of a manifest, and then those of the manifest that came after it while this went on, until
    /// there is none; the last one is returned.
    fn parts(&mut self) -> Result<AnyManifest> {
        let mut done = BTreeSet::new();
        let mut manifest = self.manifest()?;
        loop {
            let mut missing = Vec::new();
            for part in named_parts(&manifest) {
                if done.contains(&part.id) {
                    continue;
                }
                match self.part(&part) {
                    Err(e) if e.kind() == ErrorKind::NotFound => missing.push(e),
                    result => {
                        done.insert(part.id);
                        result.unwrap_or_else(|e| (self.tell)(Event::Problem(e)));
                    }
                }
            }
            let newest = self.manifest()?;
            if newest == manifest {
                for e in missing {
                    let e = Error::corrupt(format!("{e}: the manifest names it, it is missing"));
                    (self.tell)(Event::Problem(e));
                }
                return Ok(manifest);
            }
            manifest = newest;
        }
    }

    fn part(&mut self, named: &NamedPart) -> Result<()> {
        let path = layout::part_file(&self.store_dir, named.id);
        let file = self
            .fs
            .open(&path)
            .map_err(|e| Error::from(e).within(path.display()))?;
        self.checked.parts += 1;
        if file.len() != named.size_bytes {
            return Err(Error::corrupt(format!(
                "{} has {} bytes, the manifest says {}",
                path.display(),
                file.len(),
                named.size_bytes
            )));
        }
        self.checked.part_bytes += part(self.fs.as_ref(), &path, self.tell)?;
        Ok(())
    }

    /// Part files that no manifest names are on their way into one, or a crash left them.
    fn note_leftovers(&mut self, manifest: &AnyManifest) -> Result<()> {
        let dir = layout::parts_dir(&self.store_dir);
        let named: BTreeSet<_> = named_parts(manifest)
            .iter()
            .map(|part| layout::part_file(&self.store_dir, part.id))
            .collect();
        for entry in entries(self.fs.as_ref(), &dir)? {
            let path = dir.join(&entry.name);
            if entry.name.ends_with(".part") && !named.contains(&path) {
                (self.tell)(Event::Note(format!(
                    "{} is skipped: no manifest names it; it was just written, or a crash left it",
                    path.display()
                )));
            }
        }
        Ok(())
    }

    /// Reads the log from where the manifest says, and again when the manifest has moved on meanwhile.
    fn log(&mut self, mut manifest: AnyManifest) -> Result<()> {
        let problems = loop {
            let position = manifest.log_position;
            let problems = self.log_from(position);
            let newest = self.manifest()?;
            if newest.log_position == position {
                break problems;
            }
            manifest = newest;
        };
        problems.into_iter().for_each(|e| (self.tell)(Event::Problem(e)));
        for entry in entries(self.fs.as_ref(), &self.wal_dir)? {
            if entry.name.ends_with(".damaged") {
                let path = self.wal_dir.join(&entry.name);
                (self.tell)(Event::Note(format!(
                    "{} holds damage that was found at an earlier start; nothing reads it any more",
                    path.display()
                )));
            }
        }
        Ok(())
    }

    fn log_from(&mut self, position: Position) -> Vec<Error> {
        match self.fs.exists(&self.wal_dir) {
            Ok(true) => {}
            Ok(false) if position.offset == 0 => return Vec::new(),
            Ok(false) => {
                let why = "the log is missing: what the manifest does not count yet is lost";
                return vec![Error::corrupt(why).within(self.wal_dir.display())];
            }
            Err(e) => return vec![Error::from(e).within(self.wal_dir.display())],
        }
        let (mut records, mut record_bytes) = (0, 0);
        let tell = &mut *self.tell;
        let opened = Log::open(
            self.fs.clone(),
            &self.wal_dir,
            LogOptions::default(),
            LogMetrics::new(&NoMeter, "verify"),
            position,
            &mut |_, record| {
                records += 1;
                record_bytes += record.payload.len() as u64;
                tell(Event::Read(record.payload.len() as u64));
                Ok(())
            },
        );
        (self.checked.records, self.checked.record_bytes) = (records, record_bytes);
        match opened {
            Ok((_, replay)) => {
                if replay.cut_bytes > 0 {
                    (self.tell)(Event::Note(format!(
                        "{}: the last {} bytes are an unfinished write that nobody was told is done",
                        self.wal_dir.display(),
                        replay.cut_bytes
                    )));
                }
                replay.damages.into_iter().map(|damage| damage.error).collect()
            }
            Err(e) => vec![e],
        }
    }
}

fn entries(fs: &dyn Fs, dir: &Path) -> Result<Vec<DirEntry>> {
    match fs.read_dir(dir) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries.map_err(|e| Error::from(e).within(dir.display())),
    }
}

/// A file system of which nothing can be changed: what would tidy up after a crash does nothing, and what would write
/// fails. So the log and the manifest are read by the code that reads them at a start.
#[derive(Clone)]
pub struct ReadOnly(pub Arc<dyn Fs>);

fn refused<T>() -> std::io::Result<T> {
    Err(std::io::ErrorKind::ReadOnlyFilesystem.into())
}

impl Fs for ReadOnly {
    fn create_dir_all(&self, _: &Path) -> std::io::Result<()> {
        Ok(())
    }
    fn read_dir(&self, path: &Path) -> std::io::Result<Vec<DirEntry>> {
        self.0.read_dir(path)
    }
    fn open(&self, path: &Path) -> std::io::Result<Arc<dyn ReadFile>> {
        self.0.open(path)
    }
    fn create(&self, _: &Path) -> std::io::Result<Box<dyn AppendFile>> {
        refused()
    }
    fn open_append(&self, path: &Path) -> std::io::Result<Box<dyn AppendFile>> {
        Ok(Box::new(Unchanged(self.0.open(path)?.len())))
    }
    fn replace(&self, _: &Path, _: &[u8]) -> std::io::Result<()> {
        Ok(())
    }
    fn rename(&self, _: &Path, _: &Path) -> std::io::Result<()> {
        Ok(())
    }
    fn link(&self, _: &Path, _: &Path) -> std::io::Result<()> {
        refused()
    }
    fn remove_file(&self, _: &Path) -> std::io::Result<()> {
        Ok(())
    }
    fn remove_dir_all(&self, _: &Path) -> std::io::Result<()> {
        Ok(())
    }
    fn sync_dir(&self, _: &Path) -> std::io::Result<()> {
        Ok(())
    }
    fn exists(&self, path: &Path) -> std::io::Result<bool> {
        self.0.exists(path)
    }
    fn space(&self, path: &Path) -> std::io::Result<Space> {
        self.0.space(path)
    }
    fn lock(&self, _: &Path) -> std::io::Result<Box<dyn LockGuard>> {
        refused()
    }
}

/// A file of a [`ReadOnly`] file system that somebody wants to cut.
struct Unchanged(u64);

impl AppendFile for Unchanged {
    fn len(&self) -> u64 {
        self.0
    }
    fn append(&mut self, _: &[u8]) -> std::io::Result<()> {
        refused()
    }
    fn truncate(&mut self, _: u64) -> std::io::Result<()> {
        Ok(())
    }
    fn sync(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
