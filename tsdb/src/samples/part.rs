//! An open file of samples: its sparse index, and finding series in its directory.

use super::directory::{LEAF, Located, Walk};
use super::exemplars::PageEntry;
use super::{DIRECTORY, Damaged, INDEX, KIND, PARTITION_MS, PartMeta, SeriesId, build};
use crate::bytes::{Cursor, bad};
use crate::cache::{Cache, PageKey};
use crate::codec::Effort;
use model::{Error, ErrorKind, Fs, Result};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use storage::{PartEntry, PartReader, layout};

/// Sequences of pages in the cache.
pub(super) mod cached {
    /// Leaves of the directory.
    pub(in super::super) const LEAVES: u32 = 0;
    /// Pieces of the section of columns.
    pub(in super::super) const ENTRIES: u32 = 1;
    /// Pages of exemplars.
    pub(in super::super) const EXEMPLARS: u32 = 2;
    /// Time columns: packed when of several blocks, else the block.
    pub(in super::super) const COLUMNS: u32 = 3;
    /// The blocks number 0 of the columns; those number 1 stand under the next number, …
    pub(in super::super) const BLOCKS: u32 = 4;
}

/// A file of samples that counts.
pub(crate) struct Part {
    pub entry: PartEntry<PartMeta>,
    /// Names the file in the cache.
    pub(super) file: u64,
    pub(super) cache: Arc<Cache>,
    /// The open file, or why it cannot be read: the rest of the store goes on without it.
    opened: Result<Opened>,
    /// Whether damage was met in it; such a file is not merged, so that it can be mended from a copy.
    damaged: AtomicBool,
}

/// What stays in memory of a file that can be read.
pub(super) struct Opened {
    pub reader: PartReader,
    pub index: Index,
}

/// The section `index`.
pub(super) struct Index {
    pub partition_ms: i64,
    pub effort: Effort,
    /// First id, offset, length.
    pub leaves: Vec<(SeriesId, u64, u64)>,
    pub exemplars: Vec<PageEntry>,
}

impl Part {
    /// Opens a file that the manifest names. One that is damaged is opened as unreadable; one of a newer format
    /// cannot be told from it here and is treated alike: nothing of it is touched.
    ///
    /// Errors: those of the disk.
    pub(crate) fn open(
        fs: &dyn Fs,
        store_dir: &Path,
        entry: PartEntry<PartMeta>,
        cache: &Arc<Cache>,
    ) -> Result<Self> {
        let opened = Opened::open(fs, &layout::part_file(store_dir, entry.id), &entry.meta);
        if let Err(e) = &opened
            && !matches!(e.kind(), ErrorKind::Corrupt | ErrorKind::NotFound)
        {
            return Err(e.clone());
        }
        Ok(Self {
            entry,
            file: cache.new_file(),
            cache: cache.clone(),
            opened,
            damaged: AtomicBool::new(false),
        })
    }
    /// Takes note of damage.
    pub(crate) fn mark_damaged(&self) {
        self.damaged.store(true, Ordering::Relaxed);
    }
    /// Whether damage was met.
    pub(crate) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Relaxed)
    }
    /// Why the file cannot be read, if so.
    pub(crate) fn unreadable(&self) -> Option<&Error> {
        self.opened.as_ref().err()
    }
    /// Whether its runs are packed as well as they can be: by a merge.
    pub(crate) fn is_merged(&self) -> bool {
        let opened = self.opened.as_ref();
        opened.is_ok_and(|opened| opened.index.effort == Effort::Merge)
    }
    /// Takes what the cache has of the file out of it: the file is gone.
    pub(crate) fn forget(&self) {
        self.cache.forget_file(self.file);
    }
    /// Reads and checks every byte of the file.
    #[cfg(test)]
    pub(crate) fn verify(&self) -> Result<()> {
        self.opened()?.reader.verify()
    }

    /// Which of some series, given in ascending order, are in the file, and where. Damage costs the series of a leaf.
    pub(crate) fn find(&self, ids: &[SeriesId], damaged: Damaged<'_>) -> Result<Vec<Located>> {
        let leaves = match self.opened() {
            Ok(opened) => &opened.index.leaves,
            Err(e) => return damaged(e).map(|()| Vec::new()),
        };
        let (mut found, mut ids) = (Vec::new(), ids);
        while let Some(id) = ids.first() {
            let after = leaves.partition_point(|leaf| leaf.0 <= *id);
            let end = leaves.get(after).map_or(ids.len(), |(next, ..)| {
                // Mostly few of them lie in one leaf.
                ids.iter().position(|id| id >= next).unwrap_or(ids.len())
            });
            let (here, rest) = ids.split_at(end);
            ids = rest;
            let Some(number) = after.checked_sub(1) else {
                continue;
            };
            let before = found.len();
            if let Err(e) = self.find_in_leaf(number, here, &mut found) {
                found.truncate(before);
                damaged(e)?;
            }
        }
        Ok(found)
    }

    /// All ids of the file, in ascending order. A leaf that cannot be read is one error.
    pub(crate) fn ids(&self) -> impl Iterator<Item = Result<SeriesId>> + '_ {
        let leaves = self.opened.as_ref().map_or(0, |o| o.index.leaves.len());
        let unreadable = self.unreadable().cloned().map(Err);
        let ids_of = |number: usize| {
            let (mut ids, mut failed) = (Vec::new(), None);
            if let Err(e) = self.each_id(number, &mut ids) {
                ids.clear();
                failed = Some(Err(e));
            }
            ids.into_iter().map(Ok).chain(failed)
        };
        unreadable.into_iter().chain((0..leaves).flat_map(ids_of))
    }

    pub(super) fn opened(&self) -> Result<&Opened> {
        self.opened.as_ref().map_err(Clone::clone)
    }

    fn find_in_leaf(&self, number: usize, ids: &[SeriesId], found: &mut Vec<Located>) -> Result<()> {
        let opened = self.opened()?;
        let key = PageKey {
            file: self.file,
            section: cached::LEAVES,
            page: number as u32,
        };
        let leaf = self.cache.get_or_load(key, || opened.leaf(number))?;
        let in_leaf = |e| opened.at(e, DIRECTORY, opened.index.leaves[number].1);
        let mut walk = Walk::new(&**leaf, opened.index.leaves[number].0).map_err(in_leaf)?;
        for id in ids {
            match walk.seek(*id).map_err(in_leaf)? {
                Some(located) if located.id == *id => found.push(located.clone()),
                Some(_) => {}
                None => break,
            }
        }
        Ok(())
    }

    fn each_id(&self, number: usize, ids: &mut Vec<SeriesId>) -> Result<()> {
        let opened = self.opened()?;
        let (first, offset, _) = opened.index.leaves[number];
        let in_leaf = |e| opened.at(e, DIRECTORY, offset);
        let mut walk = Walk::new(opened.leaf(number)?, first).map_err(in_leaf)?;
        while let Some(located) = walk.next().map_err(in_leaf)? {
            ids.push(located.id);
        }
        Ok(())
    }
}

impl Opened {
    fn open(fs: &dyn Fs, path: &Path, meta: &PartMeta) -> Result<Self> {
        let reader = PartReader::open(fs, path, KIND)?;
        let bytes = reader.read(INDEX)?;
        let index = Index::parse(&bytes, reader.section_len(DIRECTORY).unwrap_or(0))
            .and_then(|index| {
                if index.partition_ms == meta.partition.saturating_mul(PARTITION_MS) {
                    Ok(index)
                } else {
                    Err(bad("it is of another partition than the manifest says"))
                }
            })
            .map_err(|e| e.within(format_args!("{}: section {INDEX:?}", path.display())))?;
        Ok(Self { reader, index })
    }
    /// The bytes of a leaf.
    pub(super) fn leaf(&self, number: usize) -> Result<Vec<u8>> {
        let (_, offset, len) = self.index.leaves[number];
        self.reader.read_range(DIRECTORY, offset, len)
    }
    /// Names the place of bytes that make no sense.
    pub(super) fn at(&self, e: Error, section: &str, offset: u64) -> Error {
        let path = self.reader.path().display();
        e.within(format_args!("{path}: section {section:?} at {offset}"))
    }
}

impl Index {
    /// Reads the index of a file whose directory has so many bytes.
    fn parse(bytes: &[u8], directory_bytes: u64) -> Result<Self> {
        let mut cursor = Cursor::new(bytes);
        let add = |a: u64, b: u64| a.checked_add(b).ok_or_else(|| bad("the index does not add up"));
        let partition_ms = cursor
            .int()?
            .checked_mul(PARTITION_MS)
            .ok_or_else(|| bad("its partition makes no sense"))?;
        let effort = match cursor.byte()? {
            e if e == build::effort_byte(Effort::Merge) => Effort::Merge,
            _ => Effort::Flush,
        };
        let _counts = (cursor.uint()?, cursor.uint()?);
        let (mut leaves, mut first, mut end) = (Vec::new(), 0, 0u64);
        for _ in 0..cursor.count(2)? {
            first = add(first, cursor.uint()?)?;
            let (offset, len) = (end.next_multiple_of(LEAF as u64), cursor.uint()?);
            end = add(offset, len)?;
            if end > directory_bytes {
                return Err(bad("the index does not fit the directory"));
            }
            leaves.push((first, offset, len));
        }
        let (mut exemplars, mut before) = (Vec::new(), 0);
        for _ in 0..cursor.count(4)? {
            let first = add(before, cursor.uint()?)?;
            let last = add(first, cursor.uint()?)?;
            exemplars.push(PageEntry {
                first,
                last,
                offset: cursor.uint()?,
                bytes: cursor.uint()?,
            });
            before = last;
        }
        leaves.shrink_to_fit();
        Ok(Self {
            partition_ms,
            effort,
            leaves,
            exemplars,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn garbage_is_an_error_and_no_panic(bytes: Vec<u8>) {
            let _ = Index::parse(&bytes, 1 << 20);
        }
    }
}
