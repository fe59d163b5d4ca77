//! A file system in memory that crashes, tears, fails and fills up, all from a seed.
//!
//! It keeps two worlds: what programs see, and what is on the disk. Bytes reach the disk by `sync`, names by
//! `sync_dir`. [`FaultyFs::crash`] drops the first world and builds the second anew: synced bytes stay, of the
//! rest a seeded, possibly torn part. Handles from before a crash fail ever after, as those of a dead process.
//!
//! The same seed and the same calls give the same run. What it models beyond that: a failed fsync may lose the
//! pages for good although a later fsync succeeds; sectors of an unsynced write may reach the disk out of order;
//! names created, renamed and removed since the last `sync_dir` may each be on the disk or not.

use crate::Rng;
use model::Fs;
use model::fs::{AppendFile, DirEntry, LockGuard, ReadFile, Space};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{Error, ErrorKind, Result};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What the disk writes as a whole or not at all.
const SECTOR: usize = 512;

/// Operations that can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// Opening and reading files and directories.
    Read,
    /// Appending and truncating.
    Write,
    /// Syncing a file.
    Sync,
    /// Syncing a directory.
    SyncDir,
    /// Creating, linking, renaming and removing.
    Name,
}

/// The file system. Clones share it.
#[derive(Clone)]
pub struct FaultyFs(Arc<Mutex<State>>);

type FileId = u64;

struct State {
    rng: Rng,
    dirs: BTreeSet<PathBuf>,
    names: BTreeMap<PathBuf, FileId>,
    /// The names on the disk.
    disk_names: BTreeMap<PathBuf, FileId>,
    /// Changes of names that may or may not be on the disk yet, in order, by directory.
    pending: BTreeMap<PathBuf, Vec<Change>>,
    files: HashMap<FileId, File>,
    next_file: FileId,
    locks: BTreeMap<PathBuf, u64>,
    next_lock: u64,
    /// Rises with every crash; handles of an older generation are dead.
    generation: u64,
    capacity: Option<u64>,
    used: u64,
    /// Operations that change something, since the start.
    operations: u64,
    power_fails_at: Option<u64>,
    planned: BTreeMap<Operation, BTreeMap<u64, ErrorKind>>,
    counts: BTreeMap<Operation, u64>,
    rates: BTreeMap<Operation, f64>,
    links: bool,
}

#[derive(Debug, Clone)]
enum Change {
    /// Of a new file, or a second name.
    Create(PathBuf, FileId),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf, FileId),
    RenameDir(PathBuf, PathBuf),
}

#[derive(Debug, Clone, Default)]
struct File {
    data: Vec<u8>,
    /// This many bytes of `data` are on the disk.
    synced: usize,
    /// What the disk holds beyond `synced` since a truncation that was not synced.
    old_tail: Vec<u8>,
    /// Pages that a failed fsync dropped: zeros on the disk, whatever later fsyncs say.
    lost: Vec<Range<usize>>,
    names: u32,
}

impl FaultyFs {
    /// An empty file system without faults; the seed decides what a crash keeps and which random faults happen.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            rng: Rng::new(seed),
            dirs: BTreeSet::from([PathBuf::from("/")]),
            names: BTreeMap::new(),
            disk_names: BTreeMap::new(),
            pending: BTreeMap::new(),
            files: HashMap::new(),
            next_file: 1,
            locks: BTreeMap::new(),
            next_lock: 1,
            generation: 0,
            capacity: None,
            used: 0,
            operations: 0,
            power_fails_at: None,
            planned: BTreeMap::new(),
            counts: BTreeMap::new(),
            rates: BTreeMap::new(),
            links: true,
        })))
    }
    /// Makes this a file system with or without hard links.
    pub fn set_links(&self, links: bool) {
        self.state().links = links;
    }
    /// The machine loses power and starts again: what was not synced is lost, kept or torn, as the seed says.
    /// Capacity and error rates stay, planned faults and a planned power failure are forgotten, locks are free.
    pub fn crash(&self) {
        self.state().crash();
    }
    /// The process is killed and started again: nothing is lost that was written, but handles are dead and locks
    /// free.
    pub fn kill(&self) {
        let mut state = self.state();
        state.generation += 1;
        state.locks.clear();
        state.power_fails_at = None;
    }
    /// Lets the power fail after this many more changing operations: the one that hits it may be done in part,
    /// and everything fails until [`FaultyFs::crash`].
    pub fn fail_power_after(&self, operations: u64) {
        let mut state = self.state();
        state.power_fails_at = Some(state.operations + operations);
    }
    /// Whether a planned power failure has happened.
    pub fn is_powerless(&self) -> bool {
        self.state().is_powerless()
    }
    /// Operations that changed something so far.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }
    /// Limits the sum of all files' lengths; more is `StorageFull`. `None` is no limit.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().capacity = bytes;
    }
    /// The sum of all files' lengths.
    pub fn used_bytes(&self) -> u64 {
        self.state().used
    }
    /// Fails the nth next operation of a kind (1 is the next one) with an error.
    pub fn fail_nth(&self, operation: Operation, nth: u64, error: ErrorKind) {
        let mut state = self.state();
        let at = state.counts.get(&operation).copied().unwrap_or(0) + nth;
        state.planned.entry(operation).or_default().insert(at, error);
    }
    /// Fails operations of a kind with this probability (EIO), by the seed.
    pub fn set_error_rate(&self, operation: Operation, probability: f64) {
        self.state().rates.insert(operation, probability);
    }
    /// Forgets planned faults, error rates and the capacity.
    pub fn heal(&self) {
        let mut state = self.state();
        state.planned.clear();
        state.rates.clear();
        state.capacity = None;
    }
    /// Flips one bit of a file, on the disk and for every reader. Counts bits from the start; a bit beyond the
    /// end changes nothing.
    pub fn flip_bit(&self, path: &Path, bit: u64) {
        let mut state = self.state();
        let Some(id) = state.names.get(path).copied() else {
            return;
        };
        let at = usize::try_from(bit / 8).unwrap_or(usize::MAX);
        if let Some(byte) = state.files.get_mut(&id).and_then(|f| f.data.get_mut(at)) {
            *byte ^= 1 << (bit % 8);
        }
    }
    /// Every file with its content, as programs see it.
    pub fn snapshot(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let state = self.state();
        state
            .names
            .iter()
            .map(|(path, id)| (path.clone(), state.files[id].data.clone()))
            .collect()
    }
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn handle(&self, id: FileId, generation: u64) -> Handle {
        Handle {
            fs: self.clone(),
            id,
            generation,
        }
    }
}

impl State {
    fn is_powerless(&self) -> bool {
        self.power_fails_at.is_some_and(|at| self.operations > at)
    }
    /// Counts an operation, and fails it when a fault is due.
    fn begin(&mut self, operation: Operation) -> Result<()> {
        if operation != Operation::Read {
            self.operations += 1;
        }
        if self.is_powerless() {
            return Err(no_power());
        }
        let count = self.counts.entry(operation).or_default();
        *count += 1;
        if let Some(kind) = self.planned.get_mut(&operation).and_then(|p| p.remove(count)) {
            return Err(Error::new(kind, "a planned fault"));
        }
        let rate = self.rates.get(&operation).copied().unwrap_or(0.0);
        if rate > 0.0 && self.rng.chance(rate) {
            return Err(Error::other("a seeded input/output error"));
        }
        Ok(())
    }
    fn parent_exists(&self, path: &Path) -> Result<PathBuf> {
        let parent = path.parent().unwrap_or(Path::new("/"));
        if self.dirs.contains(parent) {
            Ok(parent.to_owned())
        } else {
            Err(not_found(parent))
        }
    }
    fn file(&self, path: &Path) -> Result<FileId> {
        self.names
            .get(path)
            .copied()
            .ok_or_else(|| match self.dirs.contains(path) {
                true => Error::new(
                    ErrorKind::IsADirectory,
                    format!("{} is a directory", path.display()),
                ),
                false => not_found(path),
            })
    }
    fn unlink(&mut self, id: FileId) {
        if let Some(file) = self.files.get_mut(&id) {
            file.names -= 1;
            if file.names == 0 {
                self.used -= file.data.len() as u64;
            }
        }
    }
    fn note(&mut self, path: &Path, change: Change) {
        let parent = path.parent().unwrap_or(Path::new("/")).to_owned();
        self.pending.entry(parent).or_default().push(change);
    }
    fn live(&mut self, handle: &Handle) -> Result<&mut File> {
        if handle.generation != self.generation {
            return Err(Error::other("this handle is from before the crash"));
        }
        self.files
            .get_mut(&handle.id)
            .ok_or_else(|| Error::other("the file is gone"))
    }
    fn free(&self) -> u64 {
        self.capacity.map_or(u64::MAX, |c| c.saturating_sub(self.used))
    }

    fn append(&mut self, handle: &Handle, bytes: &[u8]) -> Result<()> {
        self.live(handle)?;
        let begun = self.begin(Operation::Write);
        let free = usize::try_from(self.free()).unwrap_or(usize::MAX);
        let counts_space = self.files.get(&handle.id).is_some_and(|f| f.names > 0);
        // A failing write may have written a part.
        let (written, result) = match begun {
            Err(e) => {
                let part = usize::try_from(self.rng.below(bytes.len() as u64 + 1)).unwrap_or(0);
                (part.min(free), Err(e))
            }
            Ok(()) if bytes.len() > free => (free, Err(Error::new(ErrorKind::StorageFull, "no space left"))),
            Ok(()) => (bytes.len(), Ok(())),
        };
        if counts_space {
            self.used += written as u64;
        }
        self.live(handle)?.data.extend_from_slice(&bytes[..written]);
        result
    }
    fn truncate(&mut self, handle: &Handle, len: u64) -> Result<()> {
        self.live(handle)?;
        self.begin(Operation::Write)?;
        let file = self.live(handle)?;
        let len = usize::try_from(len).unwrap_or(usize::MAX).min(file.data.len());
        let (cut, counts_space) = (file.data.len() - len, file.names > 0);
        if len < file.synced {
            let mut tail = file.data[len..file.synced].to_vec();
            tail.append(&mut file.old_tail);
            file.old_tail = tail;
            file.synced = len;
        }
        file.data.truncate(len);
        file.lost.retain_mut(|range| {
            range.end = range.end.min(len);
            range.start < range.end
        });
        if counts_space {
            self.used -= cut as u64;
        }
        Ok(())
    }
    fn sync(&mut self, handle: &Handle) -> Result<()> {
        self.live(handle)?;
        let begun = self.begin(Operation::Sync);
        let is_powerless = self.is_powerless();
        let loses_pages = self.rng.one_in(2);
        let file = self.live(handle)?;
        let unsynced = file.synced..file.data.len();
        if let Err(e) = begun {
            if !is_powerless && loses_pages && unsynced.start < unsynced.end {
                file.lost.push(unsynced);
            }
            return Err(e);
        }
        file.synced = file.data.len();
        file.old_tail.clear();
        Ok(())
    }
    fn sync_dir(&mut self, path: &Path) -> Result<()> {
        self.begin(Operation::SyncDir)?;
        for change in self.pending.remove(path).unwrap_or_default() {
            self.put_on_disk(change);
        }
        Ok(())
    }
    fn put_on_disk(&mut self, change: Change) {
        match change {
            Change::Create(path, id) => {
                self.disk_names.insert(path, id);
            }
            Change::Remove(path) => {
                self.disk_names.remove(&path);
            }
            Change::Rename(from, to, id) => {
                self.disk_names.remove(&from);
                self.disk_names.insert(to, id);
            }
            Change::RenameDir(from, to) => move_below(&mut self.disk_names, &from, &to),
        }
    }
    /// Undoes a renaming of a directory that the disk never saw. Directories themselves are there at once.
    fn forget(&mut self, change: &Change) {
        if let Change::RenameDir(from, to) = change {
            self.move_dirs(to, from);
        }
    }
    fn move_dirs(&mut self, from: &Path, to: &Path) {
        let moved: Vec<_> = self
            .dirs
            .iter()
            .filter(|p| p.starts_with(from))
            .cloned()
            .collect();
        for dir in moved {
            self.dirs.remove(&dir);
            self.dirs.insert(below(&dir, from, to));
        }
    }
    fn rename_dir(&mut self, from: &Path, to: &Path) -> Result<()> {
        if self.dirs.contains(to) || self.names.contains_key(to) {
            return Err(Error::new(
                ErrorKind::AlreadyExists,
                format!("{} is there", to.display()),
            ));
        }
        // Real file systems do not ask; but whoever renames a directory to publish it must have synced it.
        if let Some((unsynced, _)) = self.pending.iter().find(|(dir, _)| dir.starts_with(from)) {
            return Err(Error::other(format!("{} is not synced", unsynced.display())));
        }
        move_below(&mut self.names, from, to);
        self.move_dirs(from, to);
        self.note(to, Change::RenameDir(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn crash(&mut self) {
        for (_, changes) in std::mem::take(&mut self.pending) {
            // Journals keep order: mostly a prefix of the changes is there. Without one, any of them.
            let in_order = self.rng.one_in(2);
            let kept = self.rng.below(changes.len() as u64 + 1);
            let mut lost = Vec::new();
            for (i, change) in changes.into_iter().enumerate() {
                let keep = if in_order {
                    (i as u64) < kept
                } else {
                    self.rng.one_in(2)
                };
                if keep {
                    self.put_on_disk(change);
                } else {
                    lost.push(change);
                }
            }
            // The last one first: a directory that was renamed back is where it was.
            lost.iter().rev().for_each(|change| self.forget(change));
        }
        let old = std::mem::take(&mut self.files);
        self.names.clear();
        self.used = 0;
        let mut renumbered: HashMap<FileId, FileId> = HashMap::new();
        let names: Vec<_> = std::mem::take(&mut self.disk_names).into_iter().collect();
        for (path, id) in names {
            // Two names of one file can be left by a rename that got half through.
            if let Some(new) = renumbered.get(&id).copied() {
                self.files.entry(new).and_modify(|f| f.names += 1);
                self.names.insert(path, new);
                continue;
            }
            let data = old
                .get(&id)
                .map(|f| survive(f, &mut self.rng))
                .unwrap_or_default();
            self.used += data.len() as u64;
            let new = self.next_file;
            self.next_file += 1;
            renumbered.insert(id, new);
            let file = File {
                synced: data.len(),
                data,
                names: 1,
                ..File::default()
            };
            self.files.insert(new, file);
            self.names.insert(path, new);
        }
        self.disk_names = self.names.clone();
        self.generation += 1;
        self.locks.clear();
        self.power_fails_at = None;
        self.planned.clear();
    }
}

fn renames_to(change: &Change, path: &Path) -> bool {
    matches!(change, Change::RenameDir(_, to) if to == path)
}

fn below(path: &Path, from: &Path, to: &Path) -> PathBuf {
    match path.strip_prefix(from) {
        Ok(rest) if rest.as_os_str().is_empty() => to.to_owned(),
        Ok(rest) => to.join(rest),
        Err(_) => path.to_owned(),
    }
}

fn move_below(names: &mut BTreeMap<PathBuf, FileId>, from: &Path, to: &Path) {
    let old = std::mem::take(names);
    names.extend(old.into_iter().map(|(path, id)| (below(&path, from, to), id)));
}

/// What is left of a file after a crash.
fn survive(file: &File, rng: &mut Rng) -> Vec<u8> {
    let mut data = file.data[..file.synced].to_vec();
    let unsynced = &file.data[file.synced..];
    if !file.old_tail.is_empty() && (unsynced.is_empty() || rng.one_in(2)) {
        // The truncation never got there, or did.
        if rng.one_in(2) {
            data.extend_from_slice(&file.old_tail);
        }
    } else {
        let kept = match rng.below(4) {
            0 => 0,
            1 => unsynced.len(),
            _ => usize::try_from(rng.below(unsynced.len() as u64 + 1)).unwrap_or(0),
        };
        data.extend_from_slice(&unsynced[..kept]);
        // The length got to the disk before some of the bytes.
        if kept > 0 && rng.one_in(4) {
            let start = file.synced + usize::try_from(rng.below(kept as u64)).unwrap_or(0);
            let sector_end = (start / SECTOR + 1) * SECTOR;
            let end = sector_end.min(data.len());
            data[start..end].fill(0);
        }
    }
    for range in &file.lost {
        let end = range.end.min(data.len());
        if range.start < end {
            data[range.start..end].fill(0);
        }
    }
    data
}

fn not_found(path: &Path) -> Error {
    Error::new(ErrorKind::NotFound, format!("{} does not exist", path.display()))
}
fn no_power() -> Error {
    Error::other("the power is off")
}

struct Handle {
    fs: FaultyFs,
    id: FileId,
    generation: u64,
}

impl ReadFile for Handle {
    fn len(&self) -> u64 {
        let state = self.fs.state();
        state
            .files
            .get(&self.id)
            .filter(|_| state.generation == self.generation)
            .map_or(0, |f| f.data.len() as u64)
    }
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let mut state = self.fs.state();
        state.begin(Operation::Read)?;
        let data = &state.live(self)?.data;
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let piece = start
            .checked_add(buffer.len())
            .and_then(|end| data.get(start..end));
        let piece = piece.ok_or_else(|| Error::new(ErrorKind::UnexpectedEof, "the file ends before"))?;
        buffer.copy_from_slice(piece);
        Ok(())
    }
}

impl AppendFile for Handle {
    fn len(&self) -> u64 {
        ReadFile::len(self)
    }
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.fs.state().append(self, bytes)
    }
    fn truncate(&mut self, len: u64) -> Result<()> {
        self.fs.state().truncate(self, len)
    }
    fn sync(&mut self) -> Result<()> {
        self.fs.state().sync(self)
    }
}

struct Lock {
    fs: FaultyFs,
    path: PathBuf,
    id: u64,
}
impl LockGuard for Lock {}
impl Drop for Lock {
    fn drop(&mut self) {
        let mut state = self.fs.state();
        // After a crash the lock may belong to somebody else.
        if state.locks.get(&self.path) == Some(&self.id) {
            state.locks.remove(&self.path);
        }
    }
}

impl Fs for FaultyFs {
    fn create_dir_all(&self, path: &Path) -> Result<()> {
        let mut state = self.state();
        if state.dirs.contains(path) {
            return Ok(());
        }
        state.begin(Operation::Name)?;
        for dir in path.ancestors() {
            if state.names.contains_key(dir) {
                let message = format!("{} is not a directory", dir.display());
                return Err(Error::new(ErrorKind::NotADirectory, message));
            }
        }
        state.dirs.extend(path.ancestors().map(Path::to_owned));
        Ok(())
    }
    fn read_dir(&self, path: &Path) -> Result<Vec<DirEntry>> {
        let mut state = self.state();
        state.begin(Operation::Read)?;
        if state.names.contains_key(path) {
            let message = format!("{} is not a directory", path.display());
            return Err(Error::new(ErrorKind::NotADirectory, message));
        }
        if !state.dirs.contains(path) {
            return Err(not_found(path));
        }
        let below = |p: &&PathBuf| p.parent() == Some(path);
        let name = |p: &Path| p.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // Everything below a directory sorts directly after it.
        let dirs = state
            .dirs
            .range(path.to_owned()..)
            .take_while(|p| p.starts_with(path));
        let names = state
            .names
            .range(path.to_owned()..)
            .take_while(|(p, _)| p.starts_with(path));
        let mut entries: Vec<DirEntry> = dirs
            .filter(below)
            .map(|p| DirEntry {
                name: name(p),
                is_dir: true,
                len: 0,
            })
            .chain(names.filter(|(p, _)| below(p)).map(|(p, id)| DirEntry {
                name: name(p),
                is_dir: false,
                len: state.files[id].data.len() as u64,
            }))
            .collect();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }
    fn open(&self, path: &Path) -> Result<Arc<dyn ReadFile>> {
        let mut state = self.state();
        state.begin(Operation::Read)?;
        let id = state.file(path)?;
        Ok(Arc::new(self.handle(id, state.generation)))
    }
    fn create(&self, path: &Path) -> Result<Box<dyn AppendFile>> {
        let mut state = self.state();
        state.begin(Operation::Name)?;
        state.parent_exists(path)?;
        if state.names.contains_key(path) || state.dirs.contains(path) {
            return Err(Error::new(
                ErrorKind::AlreadyExists,
                format!("{} is there", path.display()),
            ));
        }
        if state.free() == 0 {
            return Err(Error::new(ErrorKind::StorageFull, "no space left"));
        }
        let id = state.next_file;
        state.next_file += 1;
        let file = File {
            names: 1,
            ..File::default()
        };
        state.files.insert(id, file);
        state.names.insert(path.to_owned(), id);
        state.note(path, Change::Create(path.to_owned(), id));
        Ok(Box::new(self.handle(id, state.generation)))
    }
    fn open_append(&self, path: &Path) -> Result<Box<dyn AppendFile>> {
        let mut state = self.state();
        state.begin(Operation::Read)?;
        let id = state.file(path)?;
        Ok(Box::new(self.handle(id, state.generation)))
    }
    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        let mut state = self.state();
        state.begin(Operation::Name)?;
        state.parent_exists(to)?;
        if state.dirs.contains(from) {
            return state.rename_dir(from, to);
        }
        let id = state.file(from)?;
        if state.dirs.contains(to) {
            return Err(Error::new(
                ErrorKind::IsADirectory,
                format!("{} is a directory", to.display()),
            ));
        }
        state.names.remove(from);
        if let Some(replaced) = state.names.insert(to.to_owned(), id) {
            state.unlink(replaced);
        }
        state.note(to, Change::Rename(from.to_owned(), to.to_owned(), id));
        Ok(())
    }
    fn link(&self, from: &Path, to: &Path) -> Result<()> {
        let mut state = self.state();
        state.begin(Operation::Name)?;
        if !state.links {
            return Err(Error::new(ErrorKind::Unsupported, "no links here"));
        }
        let id = state.file(from)?;
        state.parent_exists(to)?;
        if state.names.contains_key(to) || state.dirs.contains(to) {
            return Err(Error::new(
                ErrorKind::AlreadyExists,
                format!("{} is there", to.display()),
            ));
        }
        if let Some(file) = state.files.get_mut(&id) {
            file.names += 1;
        }
        state.names.insert(to.to_owned(), id);
        state.note(to, Change::Create(to.to_owned(), id));
        Ok(())
    }
    fn remove_file(&self, path: &Path) -> Result<()> {
        let mut state = self.state();
        state.begin(Operation::Name)?;
        let id = state.file(path)?;
        state.names.remove(path);
        state.unlink(id);
        state.note(path, Change::Remove(path.to_owned()));
        Ok(())
    }
    fn remove_dir_all(&self, path: &Path) -> Result<()> {
        let mut state = self.state();
        state.begin(Operation::Name)?;
        if !state.dirs.contains(path) {
            return Err(not_found(path));
        }
        let gone: Vec<_> = state
            .names
            .keys()
            .filter(|p| p.starts_with(path))
            .cloned()
            .collect();
        for file in gone {
            if let Some(id) = state.names.remove(&file) {
                state.unlink(id);
            }
        }
        // Renamed and removed since the last sync: on the disk the names are the old ones.
        let mut former = path.to_owned();
        for change in state
            .pending
            .values_mut()
            .flat_map(|c| c.extract_if(.., |c| renames_to(c, path)))
        {
            if let Change::RenameDir(from, _) = change {
                former = from;
            }
        }
        state
            .disk_names
            .retain(|p, _| !p.starts_with(path) && !p.starts_with(&former));
        state.dirs.retain(|p| !p.starts_with(path));
        state.pending.retain(|p, _| !p.starts_with(path));
        Ok(())
    }
    fn sync_dir(&self, path: &Path) -> Result<()> {
        self.state().sync_dir(path)
    }
    fn exists(&self, path: &Path) -> Result<bool> {
        let mut state = self.state();
        state.begin(Operation::Read)?;
        Ok(state.names.contains_key(path) || state.dirs.contains(path))
    }
    fn space(&self, _: &Path) -> Result<Space> {
        let state = self.state();
        Ok(Space {
            free_bytes: state.free(),
            total_bytes: state.capacity.unwrap_or(u64::MAX),
        })
    }
    fn lock(&self, path: &Path) -> Result<Box<dyn LockGuard>> {
        let mut state = self.state();
        state.begin(Operation::Name)?;
        state.parent_exists(path)?;
        if state.locks.contains_key(path) {
            return Err(Error::new(
                ErrorKind::WouldBlock,
                format!("{} is locked", path.display()),
            ));
        }
        if !state.names.contains_key(path) {
            let id = state.next_file;
            state.next_file += 1;
            let file = File {
                names: 1,
                ..File::default()
            };
            state.files.insert(id, file);
            state.names.insert(path.to_owned(), id);
            state.note(path, Change::Create(path.to_owned(), id));
        }
        let id = state.next_lock;
        state.next_lock += 1;
        state.locks.insert(path.to_owned(), id);
        Ok(Box::new(Lock {
            fs: self.clone(),
            path: path.to_owned(),
            id,
        }))
    }
}

#[cfg(test)]
mod tests;
