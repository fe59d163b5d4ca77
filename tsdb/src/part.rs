//! Parts of the metrics store: one immutable file of series, their labels, postings and chunks.
//!
//! `docs/formats/tsdb.md` draws the sections. The index (labels, postings, where the chunks lie) is loaded when a
//! query first needs it and kept in a bounded cache; chunks are read as they are wanted.

mod build;
mod cache;
mod index;
mod read;

pub(crate) use build::Builder;
pub(crate) use cache::IndexCache;
pub(crate) use index::{ChunkKind, ChunkRef, PartIndex};
pub(crate) use read::{ChunkReader, Part};

use crate::bytes::{Cursor, bad, put_uint};
use model::{Error, Result};
use serde::{Deserialize, Serialize};
use storage::PartKind;

/// The kind and version of the part files of this store.
pub(crate) const KIND: PartKind = PartKind {
    tag: *b"METR",
    version: 1,
};
/// Parts hold the samples of one partition of time: whole days in UTC. Fixed by the format, because the order
/// in which equal samples supersede each other is kept per partition.
pub(crate) const PARTITION_MS: i64 = 86_400_000;
pub(crate) const SYMBOLS: &str = "symbols";
pub(crate) const SERIES: &str = "series";
pub(crate) const POSTINGS: &str = "postings";
pub(crate) const CHUNK_INDEX: &str = "chunk_index";
pub(crate) const CHUNKS: &str = "chunks";
/// The most that a packed section may unpack to.
const MAX_SECTION: usize = 2 << 30;

/// What the manifest says of a part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PartMeta {
    /// Which partition of time: days since the epoch.
    pub partition: i64,
    /// The first time in it.
    pub min_ms: i64,
    /// The last time in it.
    pub max_ms: i64,
    /// How many series.
    pub series: u64,
    /// How many samples.
    pub samples: u64,
    /// Within a partition the sample of a higher generation supersedes that of a lower one.
    pub generation: u64,
}

/// The partition of a time.
pub(crate) fn partition_of(time_ms: i64) -> i64 {
    time_ms.div_euclid(PARTITION_MS)
}

/// Packs a section: its length and zstd.
pub(crate) fn pack(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut packed = Vec::new();
    put_uint(&mut packed, bytes.len() as u64);
    let body = zstd::bulk::compress(bytes, 1).map_err(|e| Error::internal(format!("zstd: {e}")))?;
    packed.extend_from_slice(&body);
    Ok(packed)
}

/// Unpacks what [`pack`] packed.
pub(crate) fn unpack(packed: &[u8]) -> Result<Vec<u8>> {
    let mut cursor = Cursor::new(packed);
    let len = usize::try_from(cursor.uint()?)
        .ok()
        .filter(|len| *len <= MAX_SECTION);
    let len = len.ok_or_else(|| bad("a section is too large"))?;
    let bytes = zstd::bulk::decompress(cursor.rest(), len).map_err(|e| bad(&format!("zstd: {e}")))?;
    if bytes.len() == len {
        Ok(bytes)
    } else {
        Err(bad("a section has another length than it says"))
    }
}

#[cfg(test)]
mod tests;
