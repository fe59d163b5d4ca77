//! Files of samples: the runs of series in one partition of time, by series id, without labels.
//!
//! `docs/formats/samples.md` draws them. [`Builder`] writes one, [`Part`] finds series in one, [`Reader`] reads what was
//! found, [`merge`] makes one of many. Of a file only a sparse index stays in memory; leaves of the directory and
//! time columns go through the cache.

mod build;
mod columns;
mod directory;
mod exemplars;
mod merge;
mod part;
mod read;
mod run;
mod times;

pub(crate) use build::Builder;
pub(crate) use directory::Located;
#[cfg(test)]
pub(crate) use merge::KeepAll;
pub(crate) use merge::{Cursor, Dropped, Fate, Merged, Reason, Sieve, merge};
pub(crate) use part::Part;
pub(crate) use read::Reader;
pub(crate) use run::Run;

use crate::bytes::{Cursor as Bytes, bad, put_uint};
use crate::codec::Effort;
use crate::pack::unpack_frame;
use model::{Error, Result};
use serde::{Deserialize, Serialize};
use storage::PartKind;

/// Names a series; counted from 1, never used twice.
pub(crate) type SeriesId = u64;

/// The kind and version of the files.
pub(crate) const KIND: PartKind = PartKind {
    tag: *b"SMPL",
    version: 1,
};
/// A file holds the samples of one partition of time: whole days in UTC. Fixed by the format.
pub(crate) const PARTITION_MS: i64 = 86_400_000;
/// The most float samples of a run, and times of a column.
pub(crate) const MAX_RUN: usize = 1 << 16;

/// Decides about damage that was met: to go on without what is damaged, or to fail.
pub(crate) type Damaged<'a> = &'a mut dyn FnMut(Error) -> Result<()>;

const DATA: &str = "data";
const COLUMNS: &str = "columns";
const DIRECTORY: &str = "directory";
const INDEX: &str = "index";

/// What the manifest says of a file of samples.
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
    /// How many samples, histograms included.
    pub samples: u64,
    /// Within a partition the sample of a higher generation supersedes that of a lower one.
    pub generation: u64,
    /// 0 for samples as they came; otherwise the width of the windows that they were rolled up to, and ids are those of
    /// `rollup::id_in_file`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub resolution_ms: u64,
    /// Deletions up to this number are done in this file, besides those that its generation is above.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub deletions_done: u64,
    /// The rules of retention that were applied to it; 0 for none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retention_done: u64,
}

/// Columns of summed-up samples under one series: its id times this many, and the column's number.
pub(crate) const COLUMNS_PER_SERIES: u64 = 8;

impl PartMeta {
    /// The series of an id in the file.
    pub(crate) fn series_of(&self, id: SeriesId) -> SeriesId {
        match self.resolution_ms {
            0 => id,
            _ => id / COLUMNS_PER_SERIES,
        }
    }
}

/// Leaves out of a manifest what is not said.
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// The partition of a time.
pub(crate) fn partition_of(time_ms: i64) -> i64 {
    time_ms.div_euclid(PARTITION_MS)
}

/// Packs bytes: their length and zstd.
pub(crate) fn pack(into: &mut Vec<u8>, bytes: &[u8], effort: Effort) -> Result<()> {
    let level = match effort {
        Effort::Flush => 1,
        Effort::Merge => 6,
    };
    put_uint(into, bytes.len() as u64);
    let body = zstd::bulk::compress(bytes, level).map_err(|e| Error::internal(format!("zstd: {e}")))?;
    into.extend_from_slice(&body);
    Ok(())
}

/// Unpacks what [`pack`] packed, up to a limit.
pub(crate) fn unpack(packed: &[u8], max_bytes: usize) -> Result<Vec<u8>> {
    let mut cursor = Bytes::new(packed);
    let len = usize::try_from(cursor.uint()?)
        .ok()
        .filter(|len| *len <= max_bytes)
        .ok_or_else(|| bad("a page is too large"))?;
    unpack_frame(cursor.rest(), len)
}

#[cfg(test)]
mod tests;
