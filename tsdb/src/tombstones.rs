//! Tombstones: files that say which series lost which times to a deletion.
//!
//! A tombstone hides what it names from reads at once; merges leave it out for good. It holds for what was written
//! before it: parts whose generation is below its number. `docs/formats/tombstones.md` draws the file.

use crate::bytes::Cursor;
use crate::codec::Effort;
use crate::idset::IdSet;
use crate::samples::{PartMeta, SeriesId, pack, unpack};
use model::{Error, ErrorKind, Fs, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;
use storage::{PartEntry, PartKind, PartReader, PartWriter, layout};

/// The kind and version of the files.
pub(crate) const KIND: PartKind = PartKind {
    tag: *b"TOMB",
    version: 1,
};
const IDS: &str = "ids";
/// What was deleted must not come back because of one bad page.
const IDS_COPY: &str = "ids_copy";
/// More than the runs of as many series as limits allow.
const MAX_BYTES: usize = 256 << 20;

/// What the manifest says of a tombstone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TombstoneMeta {
    /// The first time that is deleted.
    pub min_ms: i64,
    /// The last time that is deleted.
    pub max_ms: i64,
    /// Of how many series.
    pub series: u64,
    /// When it was asked for.
    pub created_ms: i64,
}

/// The file's number orders it among the generations of the parts.
pub(crate) type TombstoneEntry = PartEntry<TombstoneMeta>;

/// A deletion that some part may still lack.
pub(crate) struct Tombstone {
    pub entry: TombstoneEntry,
    ids: Result<IdSet>,
}

impl Tombstone {
    /// Writes the file of a deletion.
    pub(crate) fn write(
        fs: &Arc<dyn Fs>,
        store_dir: &Path,
        id: u64,
        meta: TombstoneMeta,
        ids: IdSet,
    ) -> Result<Self> {
        let parts_dir = layout::parts_dir(store_dir);
        fs.create_dir_all(&parts_dir)
            .map_err(|e| Error::from(e).within(parts_dir.display()))?;
        let (mut plain, mut packed) = (Vec::new(), Vec::new());
        ids.encode(&mut plain);
        if plain.len() > MAX_BYTES {
            return Err(Error::limit(format!(
                "{} series cannot be deleted at once; use narrower selectors",
                ids.len()
            )));
        }
        pack(&mut packed, &plain, Effort::Flush)?;
        let mut writer = PartWriter::create(fs.clone(), &layout::part_file(store_dir, id), KIND)?;
        writer.section(IDS, &packed)?;
        writer.section(IDS_COPY, &packed)?;
        let size_bytes = writer.finish()?;
        Ok(Self {
            entry: PartEntry { id, size_bytes, meta },
            ids: Ok(ids),
        })
    }
    /// Reads the file of a deletion that the manifest names. A damaged one is kept and says so: what it hid shows
    /// again, and nothing of it is removed.
    ///
    /// Errors: those of the disk.
    pub(crate) fn open(fs: &dyn Fs, store_dir: &Path, entry: TombstoneEntry) -> Result<Self> {
        let ids = read(fs, &layout::part_file(store_dir, entry.id));
        match &ids {
            Err(e) if !matches!(e.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) => Err(e.clone()),
            _ => Ok(Self { entry, ids }),
        }
    }
    /// Why it cannot be read, if so.
    pub(crate) fn unreadable(&self) -> Option<&Error> {
        self.ids.as_ref().err()
    }
    /// Whether it is about a series.
    pub(crate) fn names(&self, id: SeriesId) -> bool {
        self.ids.as_ref().is_ok_and(|ids| ids.contains(id))
    }
    /// Whether a part may hold something that it deletes.
    pub(crate) fn concerns(&self, part: &PartMeta) -> bool {
        self.entry.id > part.generation.max(part.deletions_done)
            && self.entry.meta.min_ms <= last_of_window(part, part.max_ms)
            && first_of_window(part, part.min_ms) <= self.entry.meta.max_ms
    }
    /// Whether it deletes what a part has at a time. Of summed-up samples the whole window goes.
    pub(crate) fn takes(&self, part: &PartMeta, time_ms: i64) -> bool {
        self.entry.meta.min_ms <= last_of_window(part, time_ms)
            && first_of_window(part, time_ms) <= self.entry.meta.max_ms
    }
    /// Whether it deletes all that a part may have of a series.
    pub(crate) fn takes_all(&self, part: &PartMeta) -> bool {
        self.takes(part, part.min_ms) && self.takes(part, part.max_ms)
    }
}

/// The first time that a sample under this time in a part stands for.
fn first_of_window(part: &PartMeta, time_ms: i64) -> i64 {
    match part.resolution_ms {
        0 => time_ms,
        width_ms => last_of_window(part, time_ms).saturating_sub_unsigned(width_ms - 1),
    }
}

/// The last time that it stands for: windows stand in a file one millisecond before they end.
fn last_of_window(part: &PartMeta, time_ms: i64) -> i64 {
    time_ms.saturating_add(i64::from(part.resolution_ms > 0))
}

fn read(fs: &dyn Fs, path: &Path) -> Result<IdSet> {
    let reader = PartReader::open(fs, path, KIND)?;
    let packed = reader.read(IDS).or_else(|e| match e.kind() {
        ErrorKind::Corrupt => reader.read(IDS_COPY),
        _ => Err(e),
    })?;
    let ids = unpack(&packed, MAX_BYTES).and_then(|plain| IdSet::decode(&mut Cursor::new(&plain)));
    ids.map_err(|e| e.within(path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use storage::FaultyFs;

    fn meta(min_ms: i64, max_ms: i64) -> TombstoneMeta {
        TombstoneMeta {
            min_ms,
            max_ms,
            series: 3,
            created_ms: 5,
        }
    }

    #[test]
    fn a_flipped_bit_in_one_copy_brings_nothing_back() {
        let (fs, dir) = (FaultyFs::new(1), Path::new("/d"));
        let shared: Arc<dyn Fs> = Arc::new(fs.clone());
        let ids: IdSet = [3, 4, 900].into_iter().collect();
        let written = Tombstone::write(&shared, dir, 7, meta(10, 20), ids).unwrap();
        let path = layout::part_file(dir, 7);
        let (mut whole, mut named) = (0, 0);
        for bit in 0..fs.open(&path).unwrap().len() * 8 {
            fs.flip_bit(&path, bit);
            let read = Tombstone::open(&fs, dir, written.entry.clone()).unwrap();
            match read.unreadable() {
                None => {
                    assert!(read.names(3) && read.names(900) && !read.names(5), "bit {bit}");
                    whole += 1;
                }
                // The container's own head and foot stand once.
                Some(e) => {
                    assert!(e.message().contains("00000000000000000007.part"), "{e}");
                    named += 1;
                }
            }
            fs.flip_bit(&path, bit);
        }
        assert!(whole > 0 && named > 0, "{whole} {named}");
    }

    /// To write the file anew after the format has changed: `BINNACLE_WRITE_KEPT=1 cargo test -p tsdb kept_file`.
    #[test]
    fn a_kept_file_of_format_1_is_read_and_written_the_same() {
        let (fs, dir) = (FaultyFs::new(1), Path::new("/d"));
        let shared: Arc<dyn Fs> = Arc::new(fs.clone());
        let ids: IdSet = (1..=100).chain([105, 1 << 40]).collect();
        let written = Tombstone::write(&shared, dir, 7, meta(10, 20), ids).unwrap();
        let path = layout::part_file(dir, 7);
        let bytes = fs.read(&path, 1 << 20).unwrap();
        let kept =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/tombstones-1/00000000000000000007.part");
        if std::env::var_os("BINNACLE_WRITE_KEPT").is_some() {
            std::fs::write(&kept, &bytes).unwrap();
        }
        assert!(
            std::fs::read(&kept).unwrap() == bytes,
            "the writer writes other bytes than it did"
        );
        let read = Tombstone::open(&fs, dir, written.entry).unwrap();
        assert!(read.unreadable().is_none() && read.names(100) && read.names(1 << 40) && !read.names(101));
    }

    #[test]
    fn it_concerns_what_was_written_before() {
        let part = |generation, deletions_done, resolution_ms| PartMeta {
            partition: 0,
            min_ms: 100,
            max_ms: 200,
            series: 1,
            samples: 2,
            generation,
            resolution_ms,
            deletions_done,
            retention_done: 0,
        };
        let check = |range: (i64, i64), part: PartMeta, concerns: bool, takes_all: bool| {
            let entry = PartEntry {
                id: 7,
                size_bytes: 0,
                meta: meta(range.0, range.1),
            };
            let tombstone = Tombstone {
                entry,
                ids: Ok([3].into_iter().collect()),
            };
            assert_eq!(
                (tombstone.concerns(&part), tombstone.takes_all(&part)),
                (concerns, takes_all),
                "{range:?} {part:?}"
            );
        };
        check((0, 300), part(6, 0, 0), true, true);
        check((0, 300), part(7, 0, 0), false, true);
        check((0, 300), part(6, 7, 0), false, true);
        check((150, 300), part(6, 0, 0), true, false);
        check((100, 200), part(6, 0, 0), true, true);
        check((0, 99), part(6, 0, 0), false, false);
        // A window that stands under 100 has what came from 62 to 101.
        check((0, 62), part(6, 0, 40), true, false);
        check((0, 61), part(6, 0, 40), false, false);
        check((201, 300), part(6, 0, 40), true, false);
        check((202, 300), part(6, 0, 40), false, false);
    }
}
