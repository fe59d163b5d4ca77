//! Knowing a file again: by device, inode, its first bytes and the bytes before a checkpoint.

use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Result;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

/// First bytes that are compared.
const HEAD_BYTES: u64 = 256;
/// Bytes before the checkpoint that are compared.
const TAIL_BYTES: u64 = 64;

/// A file's place on the disk. Unique only as long as the file exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FileId {
    /// The file system.
    pub device: u64,
    /// The file in it.
    pub inode: u64,
}

impl FileId {
    /// Of an open file's metadata.
    pub fn of(metadata: &std::fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}

/// What the bytes before a checkpoint look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Fingerprint {
    /// How many of the first bytes were looked at.
    pub head_len: u64,
    /// Their hash.
    pub head: u64,
    /// The checkpoint.
    pub offset: u64,
    /// The hash of up to 64 bytes before it.
    pub tail: u64,
}

impl Fingerprint {
    /// Of a file that has been read up to an offset.
    pub fn take(file: &File, offset: u64) -> Result<Self> {
        let head_len = offset.min(HEAD_BYTES);
        Ok(Self {
            head_len,
            head: hash(file, 0, head_len)?,
            offset,
            tail: hash(file, offset.saturating_sub(TAIL_BYTES), offset.min(TAIL_BYTES))?,
        })
    }
    /// Whether a file still holds what was read of it. A file that is shorter than the checkpoint does not.
    pub fn matches(&self, file: &File) -> bool {
        if self.offset == 0 {
            return true;
        }
        let tail_start = self.offset.saturating_sub(TAIL_BYTES);
        hash(file, 0, self.head_len).is_ok_and(|h| h == self.head)
            && hash(file, tail_start, self.offset - tail_start).is_ok_and(|h| h == self.tail)
    }
}

/// FNV-1a, 64 bits, over a piece of a file. Stands in the state file, so it must not change.
fn hash(file: &File, offset: u64, len: u64) -> Result<u64> {
    let mut buffer = [0; HEAD_BYTES as usize];
    let piece = &mut buffer[..usize::try_from(len).expect("at most 256")];
    file.read_exact_at(piece, offset)?;
    Ok(piece.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rewritten_file_is_another() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        let check = |before: &str, offset: usize, after: &str, same: bool| {
            std::fs::write(&path, before).unwrap();
            let print = Fingerprint::take(&File::open(&path).unwrap(), offset as u64).unwrap();
            std::fs::write(&path, after).unwrap();
            let found = print.matches(&File::open(&path).unwrap());
            assert_eq!(found, same, "{before:?} {offset} {after:?}");
        };
        check("one\ntwo\n", 4, "one\ntwo\nthree\n", true);
        check("one\ntwo\n", 4, "one\n", true);
        check("one\ntwo\n", 4, "on", false);
        check("one\ntwo\n", 4, "six\ntwo\n", false);
        check("", 0, "anything", true);
        let long = "x".repeat(1000);
        check(&format!("{long}one\n"), 1004, &format!("{long}two\n"), false);
        check(&format!("{long}one\n"), 1004, &format!("{long}one\nmore"), true);
    }
}
