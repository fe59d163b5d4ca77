//! The manifest: which parts count, and from where to replay the log. Replaced atomically.

use crate::log::Position;
use crate::{StoreName, layout, metrics};
use model::{Error, Fs, Meter, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::Path;

/// The manifest format that this version writes and reads.
pub const VERSION: u32 = 1;
const PREFIX: &str = "binnacle manifest, format ";
/// More than any manifest that the limits allow; guards the memory against a damaged file system.
const MAX_BYTES: u64 = 256 << 20;

/// One part that counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartEntry<P> {
    /// Names the file, see [`layout::part_file`]. Never used twice.
    pub id: u64,
    /// The file's size.
    pub size_bytes: u64,
    /// What the store wants to know before it opens the part, for instance its time range.
    pub meta: P,
}

/// The state of one store of one tenant that the parts and the rest of the log do not hold. `P` describes a part,
/// `S` is what else the store keeps, for instance [`crate::Sequences`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest<P, S = ()> {
    /// Replay starts here: everything before is in the parts.
    pub log_position: Position,
    /// The id of the next part.
    pub next_part: u64,
    /// The parts that count, by id.
    pub parts: Vec<PartEntry<P>>,
    /// What else the store keeps.
    pub state: S,
}

impl<P, S: Default> Default for Manifest<P, S> {
    fn default() -> Self {
        Self {
            log_position: Position::default(),
            next_part: 1,
            parts: Vec::new(),
            state: S::default(),
        }
    }
}

impl<P, S> Manifest<P, S>
where
    P: Serialize + DeserializeOwned,
    S: Serialize + DeserializeOwned + Default,
{
    /// Reads the manifest of a store's directory; an empty one when there is none yet.
    ///
    /// Errors: [`model::ErrorKind::Corrupt`] for a damaged file or a newer format; nothing is touched then.
    pub fn load(fs: &dyn Fs, store_dir: &Path) -> Result<Self> {
        let path = layout::manifest_file(store_dir);
        let within = |e: std::io::Error| Error::from(e).within(path.display());
        if !fs.exists(&path).map_err(within)? {
            return Ok(Self::default());
        }
        // The process may have died between renaming the manifest and syncing the directory. What is removed on
        // the word of this manifest must not come to be missed by the one before it after a power failure.
        fs.sync_dir(store_dir).map_err(within)?;
        let bytes = fs.read(&path, MAX_BYTES).map_err(within)?;
        parse(&bytes).map_err(|e| e.within(path.display()))
    }
    /// Replaces the manifest, atomically and durably. The directory is created when missing.
    pub fn store(&self, fs: &dyn Fs, store_dir: &Path) -> Result<()> {
        let path = layout::manifest_file(store_dir);
        let json = serde_json::to_string_pretty(self)
            .map_err(|e| Error::internal(format!("{}: {e}", path.display())))?;
        let head = format!(
            "{PREFIX}{VERSION}, crc32 {:08x}\n",
            crc32fast::hash(json.as_bytes())
        );
        let write = || {
            fs.create_dir_all(store_dir)?;
            fs.replace(&path, (head + &json + "\n").as_bytes())
        };
        write().map_err(|e| Error::from(e).within(path.display()))
    }
}

impl<P, S> Manifest<P, S> {
    /// Removes what no manifest names from the parts directory (left by a crash between a part and its
    /// manifest), and unfinished files; returns how many parts. `others` are files there that the manifest names
    /// elsewhere than among its parts. Creates the directory when missing.
    pub fn remove_leftovers(
        &self,
        fs: &dyn Fs,
        store_dir: &Path,
        others: &[u64],
        store: StoreName,
        meter: &dyn Meter,
    ) -> Result<usize> {
        let dir = layout::parts_dir(store_dir);
        let within = |e: std::io::Error| Error::from(e).within(dir.display());
        fs.create_dir_all(&dir).map_err(within)?;
        let named: BTreeSet<_> = self
            .parts
            .iter()
            .map(|p| p.id)
            .chain(others.iter().copied())
            .map(|id| layout::part_file(store_dir, id))
            .collect();
        let mut removed = 0;
        for entry in fs.read_dir(&dir).map_err(within)? {
            let path = dir.join(&entry.name);
            let is_part = entry.name.ends_with(".part");
            if entry.is_dir || named.contains(&path) || !(is_part || entry.name.ends_with(".tmp")) {
                continue;
            }
            fs.remove_file(&path).map_err(within)?;
            if is_part {
                removed += 1;
                tracing::info!(path = %path.display(), "removed a part that no manifest names");
            }
        }
        meter
            .counter(&metrics::LEFTOVER_PARTS, &[store.as_str()])
            .add(removed as u64);
        Ok(removed)
    }
}

fn parse<M: DeserializeOwned>(bytes: &[u8]) -> Result<M> {
    let damaged = |why: &str| Error::corrupt(format!("the manifest is damaged: {why}; nothing was touched"));
    let end = bytes
        .iter()
        .position(|b| *b == b'\n')
        .ok_or_else(|| damaged("no first line"))?;
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| damaged("the first line is not text"))?;
    let rest = head
        .strip_prefix(PREFIX)
        .ok_or_else(|| damaged("the first line does not say a format"))?;
    let (version, crc) = rest
        .split_once(", crc32 ")
        .ok_or_else(|| damaged("no checksum"))?;
    let version: u32 = version.parse().map_err(|_| damaged("no format number"))?;
    if version != VERSION {
        return Err(Error::corrupt(format!(
            "the manifest was written by a newer version: format {version}, this one knows {VERSION}; nothing was \
             touched"
        )));
    }
    let json = bytes[end + 1..]
        .strip_suffix(b"\n")
        .ok_or_else(|| damaged("the end is missing"))?;
    if crc != format!("{:08x}", crc32fast::hash(json)) {
        return Err(damaged("the checksum does not fit"));
    }
    serde_json::from_slice(json).map_err(|e| damaged(&e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FaultyFs;
    use model::{ErrorKind, NoMeter};

    type M = Manifest<String, u32>;

    fn sample() -> M {
        M {
            log_position: Position {
                segment: 3,
                offset: 99,
            },
            next_part: 8,
            parts: vec![PartEntry {
                id: 7,
                size_bytes: 5,
                meta: "x".into(),
            }],
            state: 4,
        }
    }

    #[test]
    fn what_is_stored_survives_a_crash() {
        let (fs, dir) = (FaultyFs::new(1), Path::new("/d/metrics/t"));
        assert_eq!(M::load(&fs, dir).unwrap(), M::default());
        sample().store(&fs, dir).unwrap();
        fs.crash();
        assert_eq!(M::load(&fs, dir).unwrap(), sample());
    }

    #[test]
    fn every_flipped_bit_is_found_and_the_file_is_named() {
        let (fs, dir) = (FaultyFs::new(1), Path::new("/d"));
        sample().store(&fs, dir).unwrap();
        let path = layout::manifest_file(dir);
        let len = fs.open(&path).unwrap().len();
        for bit in 0..len * 8 {
            fs.flip_bit(&path, bit);
            let e = M::load(&fs, dir).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::Corrupt, "bit {bit}");
            assert!(e.message().contains("/d/MANIFEST"), "{e}");
            fs.flip_bit(&path, bit);
        }
        M::load(&fs, dir).unwrap();
    }

    #[test]
    fn a_newer_manifest_is_left_alone() {
        let (fs, dir) = (FaultyFs::new(1), Path::new("/d"));
        fs.create_dir_all(dir).unwrap();
        fs.replace(
            &layout::manifest_file(dir),
            b"binnacle manifest, format 9, crc32 00000000\n{}\n",
        )
        .unwrap();
        let e = M::load(&fs, dir).unwrap_err();
        assert!(
            e.message().contains("newer version: format 9, this one knows 1"),
            "{e}"
        );
    }

    #[test]
    fn a_kept_manifest_of_format_1_is_readable() {
        let bytes = include_bytes!("../testdata/manifest-v1");
        assert_eq!(parse::<M>(bytes).unwrap(), sample());
    }

    #[test]
    fn leftovers_go_and_named_parts_stay() {
        let (fs, dir) = (FaultyFs::new(1), Path::new("/d"));
        let parts = layout::parts_dir(dir);
        fs.create_dir_all(&parts).unwrap();
        for name in [
            "00000000000000000007.part",
            "00000000000000000008.part",
            "9.part.tmp",
            "note.txt",
        ] {
            fs.replace(&parts.join(name), b"x").unwrap();
        }
        assert_eq!(
            sample()
                .remove_leftovers(&fs, dir, &[], StoreName::Metrics, &NoMeter)
                .unwrap(),
            1
        );
        let names: Vec<_> = fs.read_dir(&parts).unwrap().into_iter().map(|e| e.name).collect();
        assert_eq!(names, ["00000000000000000007.part", "note.txt"]);
    }
}
